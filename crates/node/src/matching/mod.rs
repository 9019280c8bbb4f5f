//! Private matching: what this agency lists, whom it lets ask, what it asks others, and what comes of it.
//!
//! Everything that passes between agencies is a record, and so is what an officer asks, what came of it, and who may ask how much.
//! What is no record stands in a file of its own ([`Lists`]): the identifiers that are listed, the secrets of the epochs, and what
//! partners answered. One task keeps up with the ledger; each of its steps does what the rows of the view say is still to be done,
//! so a restart forgets nothing; what is looked up once more then is put on record only if it says anything new. `docs/matching.md` describes the whole.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod audit;
pub(crate) mod budget;
mod filters;
pub(crate) mod hit;
pub(crate) mod list;
pub(crate) mod look;
mod publish;
pub(crate) mod subject;
mod watch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mufakat_record::matching::Subject;
use mufakat_record::{AgencyId, RecordId};
use mufakat_store::lists::Lists;
use mufakat_store::{Page, Queries, Reader};
use mufakat_views::Row;
use mufakat_views::matching::NAME;
use tokio::time::Instant;

use self::filters::Loaded;
use crate::node::Node;
use crate::writer::Fault;

/// The name of the file with lists, secrets of epochs and answers, in the node's folder.
pub const LISTS: &str = "matching.db";
/// The longest time between two looks at what is to be done; epochs and watches end by the clock.
const LOOK_MAX: Duration = Duration::from_secs(30);
/// How long the ledger may grow before the rows are looked at again.
const GATHER: Duration = Duration::from_millis(20);
/// After how many seconds is tried again what takes much work and could not be done.
const TRY_AGAIN_S: u64 = 3600;
/// How many rows are read at once.
const ROWS_MAX: usize = 256;

/// What a running node keeps of matching.
#[derive(Default)]
pub(crate) struct State {
    lists: Mutex<Option<Lists>>,
    loaded: Mutex<Loaded>,
    /// Held while a filter is read from the disk.
    loading: tokio::sync::Mutex<()>,
    /// When a partner could not be told of a list.
    unmade: Mutex<HashMap<(AgencyId, Subject), u64>>,
    /// When a watch could not ask a partner again.
    not_asked: Mutex<HashMap<(RecordId, AgencyId), u64>>,
    /// The filter up to which each question was looked into, where that came to nothing new.
    looked: Mutex<HashMap<RecordId, RecordId>>,
}

/// Works with the file of lists, away from the asynchronous threads.
pub(crate) async fn with_lists<T: Send + 'static>(
    node: &Arc<Node>,
    work: impl FnOnce(&mut Lists) -> Result<T, mufakat_store::lists::Error> + Send + 'static,
) -> Result<T, Fault> {
    let node = Arc::clone(node);
    let worked = tokio::task::spawn_blocking(move || {
        let path: PathBuf = node.dir.join(LISTS);
        let mut held = node.matching.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = Some(Lists::open(&path)?);
        }
        // It was put there in the line before.
        work(held.as_mut().expect("the file is open"))
    });
    let worked = worked.await.map_err(|e| Fault::Store(e.to_string()))?;
    worked.map_err(|error| Fault::Store(format!("the file of lists: {error}")))
}

/// Does what is to be done, until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut size = node.ledger_size.subscribe();
    let mut watches_at = Instant::now();
    loop {
        let began = Instant::now();
        // Watches wait for the clock and for filters, which come once a day; they are not gone through for every record.
        let watches = began >= watches_at;
        if watches {
            watches_at = began + look_every(&node);
        }
        if let Err(fault) = step(&node, watches).await {
            tracing::warn!(%fault, "matching could not be looked after");
        }
        // Under a flood of records this task takes a small part of the time, and what waits is done together.
        let rest = GATHER.max(began.elapsed());
        tokio::select! {
            () = tokio::time::sleep_until(watches_at) => {}
            changed = size.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(rest.min(LOOK_MAX)).await;
                size.mark_unchanged();
            }
            () = node.stopping() => return,
        }
    }
}

/// One look at everything. What one part cannot do keeps no other part from its work.
async fn step(node: &Arc<Node>, watches: bool) -> Result<(), Fault> {
    let answered = answer::answer_all(node).await;
    let looked = look::take_answers(node).await;
    let watched = if watches { watch::keep(node).await } else { Ok(()) };
    answered.and(looked).and(watched)
}

/// Tells partners of keys and lists, until the node stops. It is a task of its own: a large list takes minutes.
pub(crate) async fn run_publishing(node: Arc<Node>) {
    let mut size = node.ledger_size.subscribe();
    loop {
        if let Err(fault) = publish::publish_all(&node).await {
            tracing::warn!(%fault, "partners could not be told of lists");
        }
        // Lists, budgets and members stand in the ledger; what is to be told later is looked for when that time has passed.
        tokio::select! {
            () = tokio::time::sleep(look_every(&node)) => {}
            () = grown(&mut size) => {}
            () = node.stopping() => return,
        }
    }
}

/// How often is looked for what the clock brings.
fn look_every(node: &Node) -> Duration {
    Duration::from_secs(node.config.matching.delta_s).min(LOOK_MAX)
}

/// Whether something was done less than a time ago, all in the same unit. What was done in the future was done before the clock was
/// set back, and keeps nothing waiting.
fn is_recent(done_at: u64, wait: u64, now: u64) -> bool {
    (done_at..done_at.saturating_add(wait)).contains(&now)
}

/// Waits for a time after the ledger has grown.
async fn grown(size: &mut tokio::sync::watch::Receiver<u64>) {
    if size.changed().await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        size.mark_unchanged();
    }
}

/// Every row of the view with these facets, in the order of their keys.
fn each_row(reader: &Reader, facets: &[(&str, &str)], mut each: impl FnMut(Row)) -> Result<(), mufakat_store::Error> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let (limit, newest_first, classes) = (ROWS_MAX, false, None);
        let page = Page { view: NAME, after: after.as_deref(), limit, facets, newest_first, classes };
        let rows = reader.view_page(&page)?;
        let (full, last) = (rows.len() == ROWS_MAX, rows.last().map(|row| row.key.clone()));
        rows.into_iter().for_each(&mut each);
        match last {
            Some(last) if full => after = Some(last),
            _ => return Ok(()),
        }
    }
}

/// The first row with these facets that reads as what is wanted.
fn find_row<T>(
    reader: &Reader,
    facets: &[(&str, &str)],
    read: impl Fn(&Row) -> Option<T>,
) -> Result<Option<(Row, T)>, mufakat_store::Error> {
    let (limit, newest_first, classes) = (ROWS_MAX, false, None);
    let rows = reader.view_page(&Page { view: NAME, after: None, limit, facets, newest_first, classes })?;
    Ok(rows.into_iter().find_map(|row| read(&row).map(|said| (row, said))))
}

/// Work that computes long.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Fault::Store(e.to_string()))
}

/// Does the same with each of some things, on all cores, and gives what came of them in their order.
fn on_all_cores<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = things.len().div_ceil(cores).max(1);
    if things.len() <= share {
        return things.iter().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            things.chunks(share).map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<_>>())).collect();
        // A panic in the work is a defect of this program, and goes on in whoever waits for it.
        threads.into_iter().flat_map(|thread| thread.join().expect("work on one core")).collect()
    })
}

/// Fills bytes from the system's random source.
fn random(bytes: &mut [u8]) {
    for part in bytes.chunks_mut(32) {
        part.copy_from_slice(&crate::writer::entropy()[..part.len()]);
    }
}
