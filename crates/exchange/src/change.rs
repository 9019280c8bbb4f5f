//! What the exchange asks its surroundings: facts that it does not hold in memory, and changes to be made durable together.

use mufakat_ledger::Tile;
use mufakat_record::kinds::receipt::Entry;
use mufakat_record::{AgencyId, RecordId, Relation, ThreadId, Verified};

use crate::{Enacted, Leaf};

/// One durable change. The changes of one batch are made together or not at all, before anything is said to anyone.
// Most changes are records and leaves; a box around each record would only cost its allocation.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
pub enum Change {
    /// Keep a record.
    Keep {
        /// The record, with its bytes as they came.
        record: Verified,
        /// The index of the leaf that tells of its coming.
        leaf: u64,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// Remember that a submission was carried out, so that the same one is not carried out twice.
    Submitted {
        /// What the submitter calls it.
        key: [u8; 16],
        /// The record that came of it.
        record: RecordId,
    },
    /// Add a leaf.
    Leaf {
        /// Its index.
        index: u64,
        /// The leaf in the clear.
        leaf: Leaf,
    },
    /// Write a tile of the tree, in place of a narrower one.
    Tile(Tile),
    /// Put a record on the channel to a recipient.
    Queue {
        /// The recipient.
        to: AgencyId,
        /// The place on the channel.
        position: u64,
        /// The index of the record's leaf.
        leaf: u64,
    },
    /// The recipient has given the same word on some records in a row.
    Settle {
        /// The recipient.
        to: AgencyId,
        /// The place of the first on the channel.
        first: u64,
        /// The place of the last.
        last: u64,
        /// Whether they were accepted.
        accepted: bool,
    },
    /// The recipient is removed from the register: what is queued to it will never be sent.
    Cancel {
        /// The recipient.
        to: AgencyId,
    },
    /// A record came, accepted or rejected.
    Arrived {
        /// The sender.
        from: AgencyId,
        /// The sender's epoch.
        epoch: u64,
        /// The place on the channel.
        position: u64,
        /// The index of the leaf that tells of it.
        leaf: u64,
    },
    /// A channel from a partner goes on from here.
    Expect {
        /// The sender.
        from: AgencyId,
        /// The sender's epoch.
        epoch: u64,
        /// The position that comes next.
        next: u64,
    },
    /// Delete the content of a record: body, header and salt. Its id and the ledger's commitment remain.
    Erase {
        /// The record.
        record: RecordId,
    },
    /// A register version came into force.
    Register(Box<Enacted>),
    /// An agency has a new key set.
    KeySet {
        /// The agency.
        agency: AgencyId,
        /// The signed record.
        record: Vec<u8>,
    },
}

/// A record that this node has or has had.
#[derive(Debug, Clone)]
pub struct Held {
    /// The record; absent when its content was deleted.
    pub record: Option<Verified>,
    /// The index of its leaf.
    pub leaf: u64,
    /// The leaf's time, in milliseconds since 1970.
    pub at_ms: u64,
    /// The leaf's salt; zeroes when the content was deleted.
    pub salt: [u8; 16],
}

/// The store could not answer. Nothing is known about what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store could not answer: {0}")]
pub struct Unavailable(pub String);

/// How many records of one agency are looked at that say the same thing of a record, where more would change nothing: the
/// latest count.
pub const SAID_MAX: usize = 64;

/// Which of the records that refer to a record are wanted. Anybody may refer to anything, so it is always said whose count.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// How they refer to it.
    pub relation: Relation,
    /// Whose they are.
    pub by: &'a AgencyId,
    /// Of what kind they are.
    pub kind: &'a str,
    /// How many of them: the latest.
    pub latest: usize,
}

/// What the exchange looks up in the store while it decides.
pub trait Facts {
    /// A record by its id.
    fn held(&self, id: &RecordId) -> Result<Option<Held>, Unavailable>;

    /// The receipt's entry for a record that came at this place of a partner's channel.
    fn arrival(&self, from: &AgencyId, epoch: u64, position: u64) -> Result<Option<Entry>, Unavailable>;

    /// The records at `count` places of our channel to a partner, from `first` on, each with whether it has its receipt; fewer
    /// where the channel ends before that.
    fn queued(&self, to: &AgencyId, first: u64, count: usize) -> Result<Vec<(RecordId, bool)>, Unavailable>;

    /// The records that say this of a record and whose content is there, in the order in which they came. What others say of
    /// it is not visited.
    fn referring(&self, id: &RecordId, said: Said<'_>) -> Result<Vec<Verified>, Unavailable>;

    /// Whether a channel may still have to bring a record of ours to somebody: not everything up to its place is settled.
    fn on_its_way(&self, id: &RecordId) -> Result<bool, Unavailable>;

    /// Whether a legal hold that is in force at this time is on a record or on its thread.
    fn on_hold(&self, record: &RecordId, thread: &ThreadId, at_ms: u64) -> Result<bool, Unavailable>;

    /// The record that came of a submission.
    fn submitted(&self, key: &[u8; 16]) -> Result<Option<RecordId>, Unavailable>;
}
