//! Fetching what attachments are made of: from the author, and failing that from relays. What is here is not fetched again.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use mufakat_record::{AgencyId, Digest, Reason, RecordId};
use mufakat_store::{Queries, Store};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::content::attachment_of;
use super::files::Files;
use super::{IN_FLIGHT_MAX, blocking, fault, hold, sweep};
use crate::clock;
use crate::delivery::{Undelivered, call};
use crate::node::Node;
use crate::writer::{Fault, entropy};

/// How many attachments are fetched side by side; their chunks share [`IN_FLIGHT_MAX`] places.
const ATTACHMENTS_MAX: usize = 4;
/// The first rest after a pass that brought nothing; it doubles with each further one.
const REST_MIN: Duration = Duration::from_secs(1);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(60);
/// How long a partner that could not be reached is left alone.
const SOURCE_REST: Duration = Duration::from_secs(5);
/// The longest time that a partner can ask to be left alone.
const SOURCE_REST_MAX: Duration = Duration::from_secs(120);
/// After how many chunks that a source does not have, or that are not what was asked for, it is not asked for more in this pass.
const MISSES_MAX: u32 = 8;
/// How often everything is looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// How long after one look the bell leads to the next.
const SWEEP_REST: Duration = Duration::from_secs(60);

/// Fetches attachments and lets unneeded chunks go, until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let fetcher = Arc::new(Fetcher { places: Semaphore::new(IN_FLIGHT_MAX), rests: Rests::default() });
    let mut queue = Queue::default();
    let mut passes = JoinSet::new();
    let mut last = Instant::now();
    let mut next = last;
    loop {
        if next <= Instant::now() {
            look_through(&node, &mut queue).await;
            last = Instant::now();
            next = last + SWEEP_INTERVAL;
        }
        queue.add(node.bells.wanted());
        while passes.len() < ATTACHMENTS_MAX
            && let Some(record) = queue.take_due(Instant::now())
        {
            let (node, fetcher) = (Arc::clone(&node), Arc::clone(&fetcher));
            passes.spawn(async move { (record, fetcher.pass(&node, record).await) });
        }
        // With all places taken, only a pass that ends makes room.
        let due = if passes.len() < ATTACHMENTS_MAX { queue.next_due() } else { None };
        tokio::select! {
            () = node.bells.fetch.notified() => next = next.min(last + SWEEP_REST),
            Some(ended) = passes.join_next() => match ended {
                Ok((record, pass)) => queue.passed(record, pass, Instant::now()),
                Err(error) => tracing::error!(%error, "fetching an attachment broke off until the next start"),
            },
            () = tokio::time::sleep_until(due.map_or(next, |due| due.min(next))) => {}
            () = node.stopping() => break,
        }
    }
    passes.shutdown().await;
}

/// Lets go what is not needed and finds what is missing.
async fn look_through(node: &Arc<Node>, queue: &mut Queue) {
    if let Err(fault) = sweep(node).await {
        tracing::warn!(%fault, "chunks that nobody needs could not be let go");
    }
    match node.read(|reader| reader.attachments_incomplete()).await {
        Ok(incomplete) => queue.add(incomplete),
        Err(fault) => tracing::warn!(%fault, "the attachments that are not complete could not be listed"),
    }
}

/// What came of one pass over an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// It is complete, or there is nothing to fetch any longer.
    Done,
    /// Something came, and something is still missing.
    Progress,
    /// Nothing came.
    Nothing,
}

/// The attachments that are to be fetched, each with its next time.
#[derive(Debug, Default)]
struct Queue(BTreeMap<RecordId, Turn>);

#[derive(Debug)]
struct Turn {
    due: Instant,
    failures: u32,
    running: bool,
}

impl Queue {
    fn add(&mut self, records: Vec<RecordId>) {
        for record in records {
            self.0.entry(record).or_insert_with(|| Turn { due: Instant::now(), failures: 0, running: false });
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<RecordId> {
        let waiting = self.0.iter_mut().filter(|(_, turn)| !turn.running && turn.due <= now);
        let (record, turn) = waiting.min_by_key(|(_, turn)| turn.due)?;
        turn.running = true;
        Some(*record)
    }

    fn next_due(&self) -> Option<Instant> {
        self.0.values().filter(|turn| !turn.running).map(|turn| turn.due).min()
    }

    fn passed(&mut self, record: RecordId, pass: Result<Pass, Fault>, now: Instant) {
        let pass = pass.unwrap_or_else(|fault| {
            tracing::warn!(%record, %fault, "an attachment could not be fetched for now");
            Pass::Nothing
        });
        if pass == Pass::Done {
            self.0.remove(&record);
        } else if let Some(turn) = self.0.get_mut(&record) {
            turn.failures = if pass == Pass::Progress { 0 } else { turn.failures.saturating_add(1) };
            turn.due = now + rest(turn.failures);
            turn.running = false;
        }
    }
}

/// The rest after so many passes without progress, with up to a quarter more by chance, so that nodes that lost the same
/// partner do not all come back together.
fn rest(failures: u32) -> Duration {
    let rest = REST_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(REST_MAX);
    rest + rest.mul_f64(f64::from(entropy()[0]) / 1024.0)
}

/// What all passes share.
struct Fetcher {
    places: Semaphore,
    rests: Rests,
}

/// Until when partners are left alone.
#[derive(Debug, Default)]
struct Rests(Mutex<HashMap<AgencyId, Instant>>);

impl Rests {
    fn is_resting(&self, agency: &AgencyId, now: Instant) -> bool {
        let rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rests.get(agency).is_some_and(|until| now < *until)
    }

    fn leave_alone(&self, agency: &AgencyId, asked: Option<u64>, now: Instant) {
        let rest = asked.map_or(SOURCE_REST, Duration::from_secs).clamp(REST_MIN, SOURCE_REST_MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(agency.clone(), now + rest);
    }
}

/// A partner that may have the chunks of an attachment.
#[derive(Debug)]
struct Source {
    agency: AgencyId,
    misses: AtomicU32,
}

impl Source {
    fn new(agency: AgencyId) -> Self {
        Self { agency, misses: AtomicU32::new(0) }
    }
}

impl Fetcher {
    async fn pass(&self, node: &Arc<Node>, record: RecordId) -> Result<Pass, Fault> {
        let Some((author, attachment)) = attachment_of(node, record).await? else { return Ok(Pass::Done) };
        let files = Files::of(&node.dir);
        let names: Vec<Digest> = attachment.chunk_names().collect();
        let (all, looking) = (names.clone(), files.clone());
        let mut missing =
            blocking(move || names.into_iter().filter(|name| !looking.has(name)).collect::<Vec<_>>()).await?;
        let relays = node.relays(&author).into_iter();
        let sources: Vec<Source> = std::iter::once(author.clone()).chain(relays).map(Source::new).collect();
        let get = |agency: AgencyId, name: Digest| async move {
            let peer = node.peer(&agency).ok_or(Undelivered::Unknown(agency))?;
            call(node, &peer, Method::GET, &format!("/peer/v1/chunk/{name}"), Bytes::new()).await
        };
        let wanted = missing.len();
        // Beginning elsewhere each time: a few chunks that nobody has any longer must not hide those behind them.
        let [low, high, ..] = entropy();
        missing.rotate_left(usize::from(u16::from_le_bytes([low, high])) % wanted.max(1));
        let came = self.gather(&files, missing, &sources, get).await?;
        if came < wanted {
            tracing::debug!(%record, partner = %author, came, wanted, "an attachment is not complete yet");
            return Ok(if came > 0 { Pass::Progress } else { Pass::Nothing });
        }
        let settling = all.clone();
        blocking(move || files.settle(&settling)).await?.map_err(fault)?;
        let done = node.writer.call(move |core| {
            let held = core.store.record_bytes(&record)?.is_some();
            if held {
                core.store.attachment_done(&record)?;
            }
            Ok(held)
        });
        if !done.await? {
            // The record was erased meanwhile, and its chunks were let go before the last of them came: let them go again.
            hold(node, all, node.me.clone(), clock::now_s().saturating_sub(1)).await?;
        }
        Ok(Pass::Done)
    }

    /// Fetches chunks, each from the first source that gives it. Gives the number of those that came and are kept.
    async fn gather<G: Future<Output = Result<Bytes, Undelivered>>>(
        &self,
        files: &Files,
        missing: Vec<Digest>,
        sources: &[Source],
        get: impl Fn(AgencyId, Digest) -> G,
    ) -> Result<usize, Fault> {
        // When nobody can give anything, thousands of chunks need not be gone through.
        let hopeless = AtomicBool::new(false);
        let one = |name: Digest| {
            let (get, hopeless) = (&get, &hopeless);
            async move {
                if hopeless.load(Ordering::Relaxed) {
                    return Ok::<_, Fault>(false);
                }
                // The semaphore is never closed.
                let _place = self.places.acquire().await.map_err(|_| Fault::Stopping)?;
                let came = self.fetch(files, name, sources, get).await?;
                let usable = |source: &Source| self.is_usable(source);
                hopeless.store(!came && !sources.iter().any(usable), Ordering::Relaxed);
                Ok(came)
            }
        };
        let mut fetched = stream::iter(missing).map(one).buffer_unordered(IN_FLIGHT_MAX);
        let mut came = 0;
        while let Some(one) = fetched.next().await {
            came += usize::from(one?);
        }
        Ok(came)
    }

    fn is_usable(&self, source: &Source) -> bool {
        source.misses.load(Ordering::Relaxed) < MISSES_MAX && !self.rests.is_resting(&source.agency, Instant::now())
    }

    async fn fetch<G: Future<Output = Result<Bytes, Undelivered>>>(
        &self,
        files: &Files,
        name: Digest,
        sources: &[Source],
        get: impl Fn(AgencyId, Digest) -> G,
    ) -> Result<bool, Fault> {
        for source in sources.iter().filter(|source| self.is_usable(source)) {
            match get(source.agency.clone(), name).await {
                Ok(sealed) => {
                    let files = files.clone();
                    if blocking(move || keep(&files, name, &sealed)).await?? {
                        source.misses.store(0, Ordering::Relaxed);
                        return Ok(true);
                    }
                    tracing::warn!(partner = %source.agency, chunk = %name, "the partner sent something else than the chunk");
                    source.misses.fetch_add(1, Ordering::Relaxed);
                }
                Err(Undelivered::Refused { reason: Reason::NotFound, .. }) => {
                    source.misses.fetch_add(1, Ordering::Relaxed);
                }
                Err(Undelivered::Fault(fault)) => return Err(fault),
                Err(error) => {
                    tracing::debug!(partner = %source.agency, %error, "no chunks from there for now");
                    let asked = match error {
                        Undelivered::Refused { retry_after_s, .. } => retry_after_s,
                        _ => None,
                    };
                    self.rests.leave_alone(&source.agency, asked, Instant::now());
                }
            }
        }
        Ok(false)
    }
}

/// Keeps what a partner sent, if it is what was asked for.
fn keep(files: &Files, name: Digest, sealed: &[u8]) -> Result<bool, Fault> {
    if Digest::of(sealed) != name {
        return Ok(false);
    }
    files.write(&name, sealed).map(|()| true).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{folder, left};
    use super::*;

    /// What partners have, and which of them are away.
    #[derive(Default)]
    struct World {
        has: HashMap<(AgencyId, Digest), Bytes>,
        away: Vec<AgencyId>,
        asked: Mutex<Vec<(AgencyId, Digest)>>,
    }

    impl World {
        fn give(&mut self, to: &str, name: Digest, sealed: &[u8]) {
            self.has.insert((agency(to), name), Bytes::copy_from_slice(sealed));
        }

        async fn get(&self, agency: AgencyId, name: Digest) -> Result<Bytes, Undelivered> {
            self.asked.lock().unwrap().push((agency.clone(), name));
            if self.away.contains(&agency) {
                return Err(Undelivered::Unknown(agency));
            }
            let refused = || Undelivered::Refused { reason: Reason::NotFound, expected: None, retry_after_s: None };
            self.has.get(&(agency, name)).cloned().ok_or_else(refused)
        }

        fn times_asked(&self, of: &str) -> usize {
            self.asked.lock().unwrap().iter().filter(|(asked, _)| *asked == agency(of)).count()
        }

        async fn gather(&self, files: &Files, missing: &[Digest]) -> usize {
            let fetcher = Fetcher { places: Semaphore::new(IN_FLIGHT_MAX), rests: Rests::default() };
            let sources = ["author", "hub", "hub-2"].map(|name| Source::new(agency(name)));
            let get = |agency, name| self.get(agency, name);
            fetcher.gather(files, missing.to_vec(), &sources, get).await.unwrap()
        }
    }

    fn agency(name: &str) -> AgencyId {
        name.parse().unwrap()
    }

    fn chunks(count: usize) -> Vec<(Digest, Vec<u8>)> {
        (0..count).map(|n| format!("EXERCISE {n}").into_bytes()).map(|bytes| (Digest::of(&bytes), bytes)).collect()
    }

    fn names(chunks: &[(Digest, Vec<u8>)]) -> Vec<Digest> {
        chunks.iter().map(|(name, _)| *name).collect()
    }

    #[tokio::test]
    async fn chunks_come_from_the_author_and_failing_that_from_relays() {
        let folder = folder();
        let files = Files::of(folder.path());
        let (mut world, chunks) = (World::default(), chunks(20));
        for (n, (name, sealed)) in chunks.iter().enumerate() {
            world.give(["author", "hub", "hub-2"][n % 3], *name, sealed);
        }
        assert_eq!(world.gather(&files, &names(&chunks)).await, 20);
        assert!(chunks.iter().all(|(name, sealed)| files.read(name).unwrap().as_ref() == Some(sealed)));
    }

    #[tokio::test]
    async fn what_is_not_the_chunk_is_not_kept() {
        let folder = folder();
        let files = Files::of(folder.path());
        let (mut world, chunks) = (World::default(), chunks(3));
        for (name, sealed) in &chunks {
            world.give("author", *name, b"EXERCISE something else");
            world.give("hub", *name, &sealed[..sealed.len() - 1]);
        }
        assert_eq!(world.gather(&files, &names(&chunks)).await, 0);
        assert!(left(folder.path()).is_empty());
        // An honest relay still helps.
        world.give("hub-2", chunks[1].0, &chunks[1].1);
        assert_eq!(world.gather(&files, &names(&chunks)).await, 1);
        assert_eq!(files.read(&chunks[1].0).unwrap().as_ref(), Some(&chunks[1].1));
    }

    #[tokio::test]
    async fn nobody_is_asked_again_and_again_in_vain() {
        let folder = folder();
        let files = Files::of(folder.path());
        let (mut world, chunks) = (World::default(), chunks(500));
        world.away.push(agency("author"));
        assert_eq!(world.gather(&files, &names(&chunks)).await, 0);
        // Those already on their way are not called back.
        assert!((1..=IN_FLIGHT_MAX).contains(&world.times_asked("author")));
        let misses = MISSES_MAX as usize;
        assert!((misses..=misses + IN_FLIGHT_MAX).contains(&world.times_asked("hub")), "{}", world.times_asked("hub"));
    }

    #[tokio::test]
    async fn a_relay_that_has_most_chunks_gives_all_of_them() {
        let folder = folder();
        let files = Files::of(folder.path());
        let (mut world, chunks) = (World::default(), chunks(400));
        world.away.push(agency("author"));
        for (name, sealed) in chunks.iter().step_by(2) {
            world.give("hub", *name, sealed);
        }
        assert_eq!(world.gather(&files, &names(&chunks)).await, 200);
    }

    #[tokio::test]
    async fn the_queue_rests_longer_each_time_and_forgets_rests_with_progress() {
        let (mut queue, now, record) = (Queue::default(), Instant::now(), RecordId([1; 32]));
        queue.add(vec![record, record]);
        let later = now + Duration::from_secs(1);
        assert_eq!(queue.take_due(later), Some(record));
        assert_eq!((queue.take_due(later), queue.next_due()), (None, None));
        let mut turn = |pass| {
            queue.passed(record, pass, now);
            let rest = queue.next_due().unwrap() - now;
            assert_eq!(queue.take_due(now), None);
            assert_eq!(queue.take_due(now + rest), Some(record));
            rest
        };
        let rests: Vec<u64> = (0..12).map(|_| turn(Ok(Pass::Nothing)).as_millis() as u64).collect();
        for (rest, least) in rests.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]) {
            assert!((least * 1000..=least * 1250).contains(rest), "{rests:?}");
        }
        assert!(turn(Ok(Pass::Progress)) < Duration::from_millis(1251));
        assert!(turn(Err(Fault::Full)) < Duration::from_millis(1251));
        queue.passed(record, Ok(Pass::Done), now);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn a_partner_is_left_alone_as_long_as_it_asks() {
        let (rests, hub, now) = (Rests::default(), agency("hub"), Instant::now());
        assert!(!rests.is_resting(&hub, now));
        for (asked, rest_s) in [(None, 5), (Some(30), 30), (Some(0), 1), (Some(u64::MAX), 120)] {
            rests.leave_alone(&hub, asked, now);
            let end = now + Duration::from_secs(rest_s);
            assert!(rests.is_resting(&hub, end - Duration::from_millis(1)), "{asked:?}");
            assert!(!rests.is_resting(&hub, end), "{asked:?}");
        }
        assert!(!rests.is_resting(&agency("author"), now));
    }
}
