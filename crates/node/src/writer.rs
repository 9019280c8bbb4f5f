//! The one thread that changes the node's state. Work from everywhere is queued to it; it carries out as much as waits in one
//! transaction, and only when that is durable does anyone hear of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mufakat_exchange::{Answering, Batch, Change, Exchange, OnRetraction, Refusal, Refused};
use mufakat_record::kinds::Body as _;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{RecordId, SigningKey};
use mufakat_store::{Queries, Sqlite, Store};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::sync::{mpsc, oneshot};

/// How many pieces of work may wait; beyond that a caller is told that the node is overloaded.
pub(crate) const QUEUE_MAX: usize = 1024;
/// How many pieces of work one transaction may hold.
const GROUP_MAX: usize = 128;
/// How long a transaction may gather work.
const GROUP_TIME_MAX: Duration = Duration::from_millis(25);

/// Why the node could not carry something out. Its own trouble, never a partner's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The disk, or what the operator allows of it, is full. Reading goes on.
    #[error("no room left to store anything")]
    Full,
    /// More work waits than the node can hold.
    #[error("the node has more work than it can hold; try again later")]
    Overloaded,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(String),
}

impl From<mufakat_store::Error> for Fault {
    fn from(error: mufakat_store::Error) -> Self {
        match error {
            mufakat_store::Error::Full => Fault::Full,
            other => Fault::Store(other.to_string()),
        }
    }
}

impl From<mufakat_exchange::Unavailable> for Fault {
    fn from(error: mufakat_exchange::Unavailable) -> Self {
        Fault::Store(error.to_string())
    }
}

/// What the node does by itself about what comes.
#[derive(Debug, Clone)]
pub(crate) struct Conduct {
    /// When an originator takes a record back.
    pub(crate) on_retraction: OnRetraction,
    /// When it is asked something.
    pub(crate) answering: Answering,
}

/// What work sees: the exchange, and the store within a transaction.
pub(crate) struct Core {
    /// The exchange.
    pub(crate) exchange: Exchange,
    /// The store.
    pub(crate) store: Sqlite,
    /// Random bytes, seeded by the operating system when the node starts and with every transaction.
    pub(crate) random: ChaCha20Rng,
    /// How often the exchange was read from the store. What was planned before the last time is no longer known to it.
    pub(crate) loads: u64,
    after: After,
}

/// What is to be done once the transaction is durable.
#[derive(Debug, Default)]
pub(crate) struct After {
    /// Recipients for whom there is something new to send.
    pub(crate) wake: BTreeSet<mufakat_record::AgencyId>,
    /// The register or a key set changed.
    pub(crate) directory_changed: bool,
    /// Attachments whose chunks are to be fetched.
    pub(crate) attachments: Vec<RecordId>,
    /// The ledger has grown.
    pub(crate) grew: bool,
    /// The content of records was deleted.
    pub(crate) erased: bool,
    /// Something on a channel is settled, or something was taken back: what waits to be deleted may go now.
    pub(crate) settled: bool,
}

impl Core {
    /// Applies what the exchange decided.
    pub(crate) fn apply(&mut self, batch: Batch) -> Result<(), Fault> {
        self.store.apply(&batch.changes)?;
        self.after.wake.extend(batch.wake);
        self.after.directory_changed |= batch.directory_changed;
        self.after.attachments.extend(batch.attachments);
        self.after.grew |= !batch.changes.is_empty();
        let settles = |change: &Change| match change {
            Change::Settle { .. } | Change::Cancel { .. } => true,
            Change::Keep { record, .. } => record.header().kind == Retraction::KIND,
            _ => false,
        };
        self.after.settled |= batch.changes.iter().any(settles);
        self.after.erased |= batch.changes.iter().any(|change| matches!(change, Change::Erase { .. }));
        Ok(())
    }

    /// Wakes the sender of a channel once the transaction is durable.
    pub(crate) fn wake(&mut self, to: &mufakat_record::AgencyId) {
        self.after.wake.insert(to.clone());
    }
}

type Done = Box<dyn FnOnce(Result<(), Fault>) + Send>;
type Step = Box<dyn FnOnce(&mut Core) -> Result<Done, Fault> + Send>;

/// A piece of work.
enum Work {
    /// Part of a transaction that others may share.
    Shared(Step),
    /// Something that cannot be done within a transaction, such as erasing a secret so that no copy stays.
    Alone(Box<dyn FnOnce(&mut Core) + Send>),
}

/// The way to the writer's thread.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Work>,
}

/// How the writer tells of what it did.
pub(crate) trait Listener: Send + 'static {
    /// The exchange was read from the store: at the start, and after a failed transaction.
    fn loaded(&mut self, exchange: &Exchange);
    /// A transaction became durable. `exchange` is as it is now.
    fn committed(&mut self, after: After, exchange: &Exchange, took: Duration, pieces: usize);
    /// A transaction failed, and nothing of it happened.
    fn failed(&mut self, fault: &Fault);
}

impl Writer {
    /// Starts the thread. It ends when every handle is gone and what was queued is done.
    pub(crate) fn start(
        store: Sqlite,
        signer: Arc<SigningKey>,
        conduct: Conduct,
        mut listener: impl Listener,
    ) -> Result<(Self, std::thread::JoinHandle<()>), Fault> {
        let exchange = load(&store, signer, conduct.clone())?;
        listener.loaded(&exchange);
        let mut core = Core { exchange, store, random: fresh_random(), loads: 1, after: After::default() };
        let (queue, mut waiting) = mpsc::channel::<Work>(QUEUE_MAX);
        let run = move || {
            while let Some(work) = waiting.blocking_recv() {
                let mut next = Some(work);
                while let Some(work) = next.take() {
                    match work {
                        Work::Shared(step) => {
                            next = group(&mut core, step, &mut waiting, &mut listener, &conduct);
                        }
                        Work::Alone(work) => work(&mut core),
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("writer".into()).spawn(run);
        let thread = thread.map_err(|e| Fault::Store(e.to_string()))?;
        Ok((Self { queue }, thread))
    }

    /// Has something carried out, and gives its result once it is durable.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (work, answer) = shared(work);
        self.queue(work)?;
        answer.await.unwrap_or(Err(Fault::Stopping))
    }

    /// Like [`Self::call`], for the few tasks of the node's own that would only have to try again: it waits for a place in the
    /// queue.
    pub(crate) async fn call_in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (work, answer) = shared(work);
        self.queue.send(work).await.map_err(|_| Fault::Stopping)?;
        answer.await.unwrap_or(Err(Fault::Stopping))
    }

    /// Has something carried out outside of any transaction.
    pub(crate) async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        self.queue(Work::Alone(Box::new(move |core| drop(reply.send(work(core))))))?;
        answer.await.unwrap_or(Err(Fault::Stopping))
    }

    /// Resolves when the thread is gone.
    pub(crate) async fn ended(&self) {
        self.queue.closed().await;
    }

    fn queue(&self, work: Work) -> Result<(), Fault> {
        self.queue.try_send(work).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Fault::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Fault::Stopping,
        })
    }
}

fn shared<T: Send + 'static>(
    work: impl FnOnce(&mut Core) -> Result<T, Fault> + Send + 'static,
) -> (Work, oneshot::Receiver<Result<T, Fault>>) {
    let (reply, answer) = oneshot::channel();
    let step: Step = Box::new(move |core| {
        // The caller may have gone away; then nobody wants the answer.
        let value = match work(core) {
            Ok(value) => value,
            Err(fault) => {
                drop(reply.send(Err(fault.clone())));
                return Err(fault);
            }
        };
        Ok(Box::new(move |outcome: Result<(), Fault>| drop(reply.send(outcome.map(|()| value)))))
    });
    (Work::Shared(step), answer)
}

/// Carries out one transaction's worth of work. Gives back what was taken from the queue and must be done by itself.
fn group(
    core: &mut Core,
    first: Step,
    waiting: &mut mpsc::Receiver<Work>,
    listener: &mut impl Listener,
    conduct: &Conduct,
) -> Option<Work> {
    let started = Instant::now();
    let mut done: Vec<Done> = Vec::new();
    let mut left = None;
    let outcome = carry_out(core, first, waiting, &mut done, &mut left, started);
    let after = std::mem::take(&mut core.after);
    match &outcome {
        Ok(()) => {
            let erased = after.erased;
            listener.committed(after, &core.exchange, started.elapsed(), done.len());
            if erased && let Err(error) = core.store.scrub() {
                tracing::info!(%error, "what was deleted will be scrubbed from the log of writes later");
            }
        }
        Err(fault) => {
            // Nothing of the group happened; the exchange in memory must forget it too.
            if let Err(error) = core.store.rollback() {
                tracing::error!(%error, "a failed transaction could not be rolled back");
            }
            core.random = fresh_random();
            listener.failed(fault);
            match load(&core.store, core.exchange.signer(), conduct.clone()) {
                Ok(exchange) => {
                    listener.loaded(&exchange);
                    core.exchange = exchange;
                    core.loads += 1;
                }
                // Without a readable store the node cannot go on; a restart tells the operator what is wrong.
                Err(fault) => {
                    tracing::error!(%fault, "the state cannot be read after a failed transaction; stopping");
                    std::process::exit(70);
                }
            }
        }
    }
    for done in done {
        done(outcome.clone());
    }
    left
}

fn carry_out(
    core: &mut Core,
    first: Step,
    waiting: &mut mpsc::Receiver<Work>,
    done: &mut Vec<Done>,
    left: &mut Option<Work>,
    started: Instant,
) -> Result<(), Fault> {
    core.store.begin()?;
    let mut next = Some(first);
    while let Some(step) = next.take() {
        done.push(step(core)?);
        if done.len() < GROUP_MAX && started.elapsed() < GROUP_TIME_MAX {
            match waiting.try_recv() {
                Ok(Work::Shared(step)) => next = Some(step),
                Ok(alone) => *left = Some(alone),
                Err(_) => {}
            }
        }
    }
    Ok(core.store.commit()?)
}

fn load(store: &Sqlite, signer: Arc<SigningKey>, conduct: Conduct) -> Result<Exchange, Fault> {
    let snapshot = store.snapshot()?.ok_or_else(|| Fault::Store("the node has no register yet".into()))?;
    Ok(Exchange::load(snapshot, store, signer, conduct.on_retraction)?.answering(conduct.answering))
}

/// A generator seeded by the operating system.
pub(crate) fn fresh_random() -> ChaCha20Rng {
    ChaCha20Rng::from_seed(entropy())
}

/// 32 bytes from the operating system.
pub(crate) fn entropy() -> [u8; 32] {
    let mut seed = [0; 32];
    // Without randomness no key and no seal is safe: stop rather than go on.
    getrandom::fill(&mut seed).expect("the operating system gives random bytes");
    seed
}

/// Separates what is the caller's fault from what is ours.
pub(crate) fn refused<T>(result: Result<T, Refused>) -> Result<Result<T, (mufakat_record::Reason, u64)>, Fault> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Refused::Because { reason, expected }) => Ok(Err((reason, expected))),
        Err(Refused::Unavailable(e)) => Err(e.into()),
    }
}

/// Separates what is the submitter's fault from what is ours.
pub(crate) fn refusal<T>(result: Result<T, Refusal>) -> Result<Result<T, Refusal>, Fault> {
    match result {
        Err(Refusal::Unavailable(e)) => Err(e.into()),
        other => Ok(other),
    }
}
