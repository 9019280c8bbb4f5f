//! The desk as it was: views folded again from the leaves up to some instant, kept in memory for a while.
//!
//! A replay is made beside everything else and asked for as often as somebody waits for it. When content is deleted, every
//! replay is thrown away: what is deleted now was there then, and stays deleted all the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use mufakat_store::Reader;
use mufakat_views::View;
use tokio::sync::watch;

use crate::node::Node;
use crate::writer::Fault;

/// How many replays there are at once, those that are being made included.
const REPLAYS_MAX: usize = 2;
/// How much memory one replay may take, in bytes.
const REPLAY_BYTES_MAX: u64 = 1 << 30;
/// How long a replay that nobody asks is kept.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// How long one request waits for a replay that is being made.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The replays of a node.
#[derive(Default)]
pub(crate) struct Replays {
    kept: Mutex<Vec<Arc<Replay>>>,
}

/// Why there is no replay. It is not the fault of whoever asks for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotReplayed {
    /// Others are being made.
    #[error("{REPLAYS_MAX} replays are being made; try again later")]
    Busy,
    /// It takes more memory than allowed.
    #[error("the rows of this view took more than {REPLAY_BYTES_MAX} bytes at that time")]
    TooLarge,
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// One view as it was.
pub(crate) struct Replay {
    view: &'static str,
    /// How many leaves the ledger had.
    pub(crate) leaves: u64,
    erasures: u64,
    folded: AtomicU64,
    began: Instant,
    took_ms: AtomicU64,
    asked: Mutex<Instant>,
    made: OnceLock<Result<Mutex<Reader>, NotReplayed>>,
    finished: watch::Sender<bool>,
}

impl Replay {
    /// How many leaves are folded.
    pub(crate) fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// How long it took to make, or has taken so far.
    pub(crate) fn took_ms(&self) -> u64 {
        match self.took_ms.load(Ordering::Relaxed) {
            0 => u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            took_ms => took_ms,
        }
    }

    /// Reads from it; nothing while it is being made.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, mufakat_store::Error>,
    ) -> Option<Result<T, NotReplayed>> {
        let read = |reader: &Mutex<Reader>| {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            read(&reader).map_err(|error| NotReplayed::from(Fault::from(error)))
        };
        self.made.get().map(|made| made.as_ref().map_err(Clone::clone).and_then(read))
    }

    fn is_finished(&self) -> bool {
        self.made.get().is_some()
    }

    fn finish(&self, made: Result<Reader, mufakat_store::Error>) {
        let made = made.map(Mutex::new).map_err(|error| match error {
            mufakat_store::Error::Full => NotReplayed::TooLarge,
            other => Fault::from(other).into(),
        });
        self.took_ms.store(self.took_ms().max(1), Ordering::Relaxed);
        // It is finished once, by the task that makes it.
        drop(self.made.set(made));
        self.finished.send_replace(true);
    }

    async fn wait(&self) {
        let mut finished = self.finished.subscribe();
        // The sender lives in the replay; either way the caller looks for itself.
        let _ = tokio::time::timeout(WAIT_MAX, finished.wait_for(|finished| *finished)).await;
    }
}

/// A view as it was when the ledger had so many leaves: one that is there, or one that is made now. It may not be finished when
/// this returns; whoever wants it asks again.
pub(crate) async fn replay(node: &Arc<Node>, view: &'static dyn View, leaves: u64) -> Result<Arc<Replay>, NotReplayed> {
    let (replay, is_new) = find(node, view.name(), leaves)?;
    if is_new {
        tokio::spawn(make(Arc::clone(node), view, Arc::clone(&replay)));
    }
    replay.wait().await;
    Ok(replay)
}

fn find(node: &Node, view: &'static str, leaves: u64) -> Result<(Arc<Replay>, bool), NotReplayed> {
    let erasures = node.bells.erasures();
    let mut kept = node.replays.kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|replay| replay.erasures == erasures);
    if let Some(replay) = kept.iter().find(|replay| replay.view == view && replay.leaves == leaves) {
        *replay.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        return Ok((Arc::clone(replay), false));
    }
    if kept.len() >= REPLAYS_MAX {
        let asked = |replay: &Arc<Replay>| *replay.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = kept.iter().enumerate().filter(|(_, replay)| replay.is_finished());
        let (oldest, _) = idle.min_by_key(|(_, replay)| asked(replay)).ok_or(NotReplayed::Busy)?;
        kept.remove(oldest);
    }
    let replay = Arc::new(Replay {
        view,
        leaves,
        erasures,
        folded: AtomicU64::new(0),
        began: Instant::now(),
        took_ms: AtomicU64::new(0),
        asked: Mutex::new(Instant::now()),
        made: OnceLock::new(),
        finished: watch::channel(false).0,
    });
    kept.push(Arc::clone(&replay));
    Ok((replay, true))
}

/// Makes a replay, and drops it when nobody has asked it for a while.
async fn make(node: Arc<Node>, view: &'static dyn View, replay: Arc<Replay>) {
    let making = Arc::clone(&replay);
    let made = node.read(move |reader| {
        let folded = |leaves| making.folded.store(leaves, Ordering::Relaxed);
        // An error is the replay's own, and no reason to doubt the store.
        Ok(reader.replay(view, making.leaves, REPLAY_BYTES_MAX, folded))
    });
    match made.await {
        Ok(made) => replay.finish(made),
        Err(fault) => replay.finish(Err(mufakat_store::Error::Unavailable(fault.to_string()))),
    }
    loop {
        let idle = replay.asked.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let Some(left) = IDLE_MAX.checked_sub(idle) else { break };
        tokio::select! {
            () = tokio::time::sleep(left + Duration::from_secs(1)) => {}
            () = node.stopping() => break,
        }
    }
    let mut kept = node.replays.kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|other| !Arc::ptr_eq(other, &replay));
}
