//! The running node: what its parts share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use mufakat_exchange::Directory;
use mufakat_record::{AgencyId, RecordId};
use mufakat_store::Reader;
use tokio::sync::{Notify, watch};

use crate::config::Config;
use crate::delivery::Turns;
use crate::desk::Desk;
use crate::desk::Replays;
use crate::gate::Gate;
use crate::keyring::Keyring;
use crate::matching;
use crate::metrics::Metrics;
use crate::net::{LeafSlot, Peer, PeerClient};
use crate::search::Search;
use crate::writer::{Fault, Writer};

/// How many read-only connections are kept open.
const READERS_KEPT: usize = 4;

/// What the parts of a running node share.
pub(crate) struct Node {
    /// This agency.
    pub(crate) me: AgencyId,
    /// Where its files are.
    pub(crate) dir: PathBuf,
    /// The configuration.
    pub(crate) config: Config,
    /// The way to change anything.
    pub(crate) writer: Writer,
    /// The register and the key sets as they are now.
    pub(crate) directory: Arc<ArcSwapOption<Directory>>,
    /// The agency's secret keys.
    pub(crate) keyring: ArcSwap<Keyring>,
    /// The policy gate.
    pub(crate) gate: Gate,
    /// Who the officers are and who is signed in.
    pub(crate) desk: Desk,
    /// What the operator watches.
    pub(crate) metrics: Arc<Metrics>,
    /// The way to partners.
    pub(crate) client: PeerClient,
    /// The certificate in use.
    pub(crate) leaf: Arc<LeafSlot>,
    /// When it was issued, in seconds since 1970.
    pub(crate) tls_issued_s: AtomicU64,
    /// Bells that wake tasks.
    pub(crate) bells: Bells,
    /// How many leaves the ledger has; tasks and streams wait on it.
    pub(crate) ledger_size: watch::Sender<u64>,
    /// Becomes true when the node stops.
    pub(crate) stop: watch::Receiver<bool>,
    /// The order in which parcels at hand are taken in.
    pub(crate) turns: Turns,
    /// Views as they were, which auditors ask for.
    pub(crate) replays: Replays,
    /// The index for searching.
    pub(crate) search: Search,
    /// What private matching keeps.
    pub(crate) matching: matching::State,
    readers: Mutex<Vec<Reader>>,
    open_reader: Box<dyn Fn() -> Result<Reader, mufakat_store::Error> + Send + Sync>,
    contacts: Mutex<HashMap<AgencyId, u64>>,
}

/// What a node is put together from.
pub(crate) struct Parts {
    /// This agency.
    pub(crate) me: AgencyId,
    /// Where its files are.
    pub(crate) dir: PathBuf,
    /// The configuration.
    pub(crate) config: Config,
    /// The way to change anything.
    pub(crate) writer: Writer,
    /// Opens another read-only connection.
    pub(crate) open_reader: Box<dyn Fn() -> Result<Reader, mufakat_store::Error> + Send + Sync>,
    /// The register and the key sets.
    pub(crate) directory: Arc<ArcSwapOption<Directory>>,
    /// The agency's secret keys.
    pub(crate) keyring: Keyring,
    /// Who the officers are and who is signed in.
    pub(crate) desk: Desk,
    /// What the operator watches.
    pub(crate) metrics: Arc<Metrics>,
    /// The way to partners.
    pub(crate) client: PeerClient,
    /// The certificate in use.
    pub(crate) leaf: Arc<LeafSlot>,
    /// Bells that wake tasks.
    pub(crate) bells: Bells,
    /// How many leaves the ledger has.
    pub(crate) ledger_size: watch::Sender<u64>,
    /// Becomes true when the node stops.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Node {
    /// Puts a node together.
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let search = Search::new(parts.dir.join(crate::SEARCH));
        Arc::new(Self {
            me: parts.me,
            dir: parts.dir,
            config: parts.config,
            writer: parts.writer,
            directory: parts.directory,
            keyring: ArcSwap::from_pointee(parts.keyring),
            gate: Gate::new(),
            desk: parts.desk,
            metrics: parts.metrics,
            client: parts.client,
            leaf: parts.leaf,
            tls_issued_s: AtomicU64::new(crate::clock::now_s()),
            bells: parts.bells,
            ledger_size: parts.ledger_size,
            stop: parts.stop,
            turns: Turns::default(),
            replays: Replays::default(),
            search,
            matching: matching::State::default(),
            readers: Mutex::default(),
            open_reader: parts.open_reader,
            contacts: Mutex::default(),
        })
    }

    /// The register and the key sets as they are now.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        // A node is put together only once it has a register, and a register never goes away.
        self.directory.load_full().expect("a running node has a register")
    }

    /// Reads from the store without waiting for the writer.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Reader) -> Result<T, mufakat_store::Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let node = Arc::clone(self);
        let work = move || {
            let kept = node.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = kept.map_or_else(|| (node.open_reader)(), Ok)?;
            let result = read(&reader);
            let mut readers = node.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < READERS_KEPT {
                readers.push(reader);
            }
            result
        };
        let result = tokio::task::spawn_blocking(work).await;
        result.map_err(|e| Fault::Store(e.to_string()))?.map_err(Fault::from)
    }

    /// How a partner is reached, if it is in the register.
    pub(crate) fn peer(&self, agency: &AgencyId) -> Option<Peer> {
        let directory = self.directory();
        let member = directory.chain().member(agency)?;
        Some(Peer { agency: agency.to_string(), host_port: member.endpoint.clone() })
    }

    /// The members of the register that relay for others, this node and `other` left out.
    pub(crate) fn relays(&self, other: &AgencyId) -> Vec<AgencyId> {
        let directory = self.directory();
        let members = directory.chain().current().members();
        members.filter(|a| a.relay && a.id != self.me && a.id != *other).map(|a| a.id.clone()).collect()
    }

    /// Takes note that a partner has been heard of just now.
    pub(crate) fn heard_of(&self, agency: &AgencyId) {
        let mut contacts = self.contacts.lock().unwrap_or_else(PoisonError::into_inner);
        contacts.insert(agency.clone(), crate::clock::now_ms());
    }

    /// When a partner was last heard of, in milliseconds since 1970.
    pub(crate) fn last_contact_ms(&self, agency: &AgencyId) -> Option<u64> {
        self.contacts.lock().unwrap_or_else(PoisonError::into_inner).get(agency).copied()
    }

    /// Resolves when the node is told to stop.
    pub(crate) async fn stopping(&self) {
        let mut stop = self.stop.clone();
        // An error means that the sender is gone, and with it the node.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Whether the node is told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }
}

/// Bells by agency: one for the sender of its channel, one for those who wait at its mailbox; and a few for the whole node.
#[derive(Clone, Default)]
pub(crate) struct Bells {
    channels: Arc<Mutex<HashMap<AgencyId, Arc<Notify>>>>,
    mailboxes: Arc<Mutex<HashMap<AgencyId, Arc<Notify>>>>,
    attachments: Arc<Mutex<Vec<RecordId>>>,
    /// The register or a key set changed.
    pub(crate) directory: Arc<Notify>,
    /// There are attachments to fetch.
    pub(crate) fetch: Arc<Notify>,
    /// Something was settled on a channel, or taken back, since this was last looked at.
    pub(crate) settled: Arc<AtomicBool>,
    /// Legal holds were placed since this was last looked at.
    pub(crate) holds: Arc<AtomicBool>,
    alarms: Arc<AtomicU64>,
    erasures: Arc<AtomicU64>,
}

impl Bells {
    /// The bell of a channel's sender.
    pub(crate) fn channel(&self, to: &AgencyId) -> Arc<Notify> {
        let mut bells = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(to.clone()).or_default())
    }

    /// The bell of a mailbox.
    pub(crate) fn mailbox(&self, of: &AgencyId) -> Arc<Notify> {
        let mut bells = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(of.clone()).or_default())
    }

    /// Asks for attachments to be fetched.
    pub(crate) fn want(&self, attachments: Vec<RecordId>) {
        if !attachments.is_empty() {
            self.attachments.lock().unwrap_or_else(PoisonError::into_inner).extend(attachments);
            self.fetch.notify_one();
        }
    }

    /// The attachments that were asked for since the last time.
    pub(crate) fn wanted(&self) -> Vec<RecordId> {
        std::mem::take(&mut *self.attachments.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Content of records was deleted.
    pub(crate) fn erased(&self) {
        self.erasures.fetch_add(1, Ordering::SeqCst);
    }

    /// How often content was deleted since the start. What was put together before the last time may hold what is gone.
    pub(crate) fn erasures(&self) -> u64 {
        self.erasures.load(Ordering::SeqCst)
    }

    /// Counts an alarm; gives how many there have been since the start.
    pub(crate) fn alarm(&self) -> u64 {
        self.alarms.fetch_add(1, Ordering::Relaxed) + 1
    }
}
