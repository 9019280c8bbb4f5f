//! The storage port: what the node, its senders, its relay and its people ask of a store.

use std::path::PathBuf;

use mufakat_exchange::{Change, Enacted, Facts, Leaf, Said, Snapshot};
use mufakat_ledger::witness::Seen;
use mufakat_ledger::{Place, TileSource};
use mufakat_record::{AgencyId, Digest, KeyId, RecordId, Relation};
use mufakat_views::{Row, Rows};
use zeroize::Zeroizing;

use crate::{Class, ClassNumber};

/// What a state file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The agency whose state it is.
    pub me: AgencyId,
    /// The node's epoch; it grows with each restore from a backup.
    pub epoch: u64,
    /// The version of the schema.
    pub schema: u32,
}

/// A record on the channel to a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its place on the channel.
    pub position: u64,
    /// Its id.
    pub record: RecordId,
    /// The signed bytes.
    pub bytes: Vec<u8>,
}

/// Which rows of a view are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The view's name.
    pub view: &'static str,
    /// The key of the last row of the page before; absent for the first page.
    pub after: Option<&'a [u8]>,
    /// How many rows at most.
    pub limit: usize,
    /// Facets that a row must have, all of them.
    pub facets: &'a [(&'a str, &'a str)],
    /// From the greatest key down.
    pub newest_first: bool,
    /// Only rows about records of these classes; rows of others are not visited. Absent: all rows.
    pub classes: Option<&'a [ClassNumber]>,
}

/// A receipt that names a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptOn {
    /// The receipt, as the signed record.
    pub bytes: Vec<u8>,
    /// The index of its leaf in our ledger.
    pub index: u64,
    /// Its leaf.
    pub leaf: Leaf,
}

/// A record that refers to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Its id.
    pub record: RecordId,
    /// The signed bytes.
    pub bytes: Vec<u8>,
    /// The index of its leaf in our ledger.
    pub index: u64,
    /// Its leaf.
    pub leaf: Leaf,
}

/// That a record refers to another one. Its leaf's subject is its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// How it refers to it.
    pub relation: Relation,
    /// Its kind.
    pub kind: String,
    /// Whose it is.
    pub author: AgencyId,
    /// The index of its leaf in our ledger.
    pub index: u64,
    /// Its leaf.
    pub leaf: Leaf,
}

/// A leaf of our ledger with the record that came with it, for those who follow what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The index of the leaf.
    pub index: u64,
    /// The leaf. Its salt is left out.
    pub leaf: Leaf,
    /// The record's class.
    pub class: ClassNumber,
    /// The signed bytes, if the leaf is the one with which a record came or was authored and its content is there.
    pub record: Option<Vec<u8>>,
}

/// How much there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records kept, with those whose content was deleted.
    pub records: u64,
    /// Leaves of the ledger.
    pub leaves: u64,
    /// Records without a receipt, for each recipient that has some.
    pub queued: Vec<(AgencyId, u64)>,
    /// Parcels that wait in mailboxes for others.
    pub mailbox: u64,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// The agency's identity.
    Identity = 1,
    /// Signing records and parcels.
    Signing = 2,
    /// Opening parcels.
    Sealing = 3,
    /// Signing the ledger's checkpoints.
    Ledger = 4,
    /// Witnessing others' checkpoints.
    Witness = 5,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [Self::Identity, Self::Signing, Self::Sealing, Self::Ledger, Self::Witness];
}

/// The seed of a secret key. It is wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// What it is for.
    pub purpose: Purpose,
    /// The id of the public half.
    pub key: KeyId,
    /// The seed.
    pub seed: Zeroizing<[u8; 32]>,
    /// From when it is used, in seconds since 1970.
    pub from: u64,
    /// Until when.
    pub until: u64,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The seed stays out of anything that may be printed.
        write!(f, "Secret({:?}, {})", self.purpose, self.key)
    }
}

/// How much a relay holds for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Parcels.
    pub count_max: u64,
    /// Bytes of parcels.
    pub bytes_max: u64,
}

impl Default for MailboxLimits {
    fn default() -> Self {
        Self { count_max: 100_000, bytes_max: 1024 * 1024 * 1024 }
    }
}

/// The part of a store that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The database itself.
    Database,
    /// The leaf with this index.
    Leaf(u64),
    /// A tile of the tree.
    Tile(Place),
    /// The tree as a whole.
    Tree,
    /// Our own latest checkpoint.
    Checkpoint,
    /// A record.
    Record(RecordId),
    /// The channel to an agency.
    Outbox(AgencyId),
    /// The channel from an agency.
    Arrivals(AgencyId),
    /// The rows of a view.
    View(String),
    /// The lists of keys by facet and class.
    Facets,
    /// The handling class with this number.
    Class(ClassNumber),
    /// The index for searching, which is made anew from the records.
    Search,
    /// The register, or the key set of an agency.
    Register,
    /// The bookkeeping of mailboxes.
    Mailbox,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database => f.write_str("database"),
            Self::Leaf(index) => write!(f, "leaf {index}"),
            Self::Tile(place) => place.fmt(f),
            Self::Tree => f.write_str("tree"),
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Record(id) => write!(f, "record {id}"),
            Self::Outbox(to) => write!(f, "outbox to {to}"),
            Self::Arrivals(from) => write!(f, "arrivals from {from}"),
            Self::View(name) => write!(f, "view {name}"),
            Self::Facets => f.write_str("facets"),
            Self::Class(number) => write!(f, "class {number}"),
            Self::Search => f.write_str("search index"),
            Self::Register => f.write_str("register"),
            Self::Mailbox => f.write_str("mailbox"),
        }
    }
}

/// Something that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is damaged.
    pub part: Part,
    /// In what way.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.part, self.what)
    }
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk or the cap on the file's size leaves no room. What is there stays readable.
    #[error("no room left for the state file")]
    Full,
    /// Another process works on this state.
    #[error("a node already runs on {0}, or another command works on it")]
    Locked(PathBuf),
    /// A newer program wrote this state.
    #[error("the state file has schema {found}, and this program knows none above {known}; use the newer program")]
    Newer {
        /// The version of the file.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// There is something already where a new file was to be made.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// The file is missing, or is not a state file.
    #[error("{0} is not there, or is not a state file of a node (is `--dir` right?)")]
    NotState(PathBuf),
    /// What is stored cannot be what was stored.
    #[error("{part} is damaged: {what}")]
    Damaged {
        /// What is damaged.
        part: Part,
        /// In what way.
        what: String,
    },
    /// The recipient's mailbox holds as much as it may.
    #[error("the mailbox of {0} is full")]
    MailboxFull(AgencyId),
    /// The operation is not possible within a transaction.
    #[error("not within a transaction")]
    InTransaction,
    /// The operation needs a transaction.
    #[error("no transaction was begun")]
    NoTransaction,
    /// There is a register already.
    #[error("this node has a register already")]
    HasRegister,
    /// Something was erased, but readers that have not finished keep a copy alive; `scrub` is to be called again.
    #[error("a reader has not finished, so a copy of what was erased may remain for now")]
    NotScrubbed,
    /// The store could not answer.
    #[error("the store could not answer: {0}")]
    Unavailable(String),
}

/// What is asked of a store. Reading never waits for the writer.
pub trait Queries: Facts + TileSource + Rows {
    /// Whose state this is.
    fn state(&self) -> Result<State, Error>;

    /// What an exchange starts from; nothing before there is a register.
    fn snapshot(&self) -> Result<Option<Snapshot>, Error>;

    /// Records on the channel to `to`, at consecutive positions from `from` on, those settled already included: at most
    /// `count_max`, and of at most `bytes_max` bytes together, but one at least if there is one. They end before a record whose
    /// recipient is removed. At a place whose record was deleted since it was settled stands
    /// [`STAND_IN`](mufakat_record::STAND_IN).
    fn outbox(&self, to: &AgencyId, from: u64, count_max: usize, bytes_max: usize) -> Result<Vec<Queued>, Error>;

    /// A page of a view's rows.
    fn view_page(&self, page: &Page<'_>) -> Result<Vec<Row>, Error>;

    /// The handling classes with numbers above `after`, ascending. A class keeps its number and is never taken back, so that
    /// whoever knows some asks for those that came since.
    fn classes(&self, after: ClassNumber) -> Result<Vec<(ClassNumber, Class)>, Error>;

    /// The class of a record, also when its content was deleted; [`NO_CLASS`](crate::NO_CLASS) when it is not held.
    fn class_of(&self, record: &RecordId) -> Result<ClassNumber, Error>;

    /// The signed bytes of a record; nothing if it is not held or its content was deleted.
    fn record_bytes(&self, record: &RecordId) -> Result<Option<Vec<u8>>, Error>;

    /// The signed bytes of records whose content is there, in the order of their leaves, which stand beside them: those with
    /// this leaf and later ones.
    fn records_from(&self, leaf: u64, count_max: usize) -> Result<Vec<(u64, Vec<u8>)>, Error>;

    /// A leaf of our ledger. Its salt is zeroes when the content that it stands for was deleted.
    fn leaf(&self, index: u64) -> Result<Option<Leaf>, Error>;

    /// Leaves from an index on with their records: at most `count_max`, and with at most `bytes_max` bytes of records, but one
    /// at least if there is one.
    fn follow(&self, from: u64, count_max: usize, bytes_max: usize) -> Result<Vec<Followed>, Error>;

    /// The leaf with which a record came or was authored.
    fn record_leaf(&self, record: &RecordId) -> Result<Option<(u64, Leaf)>, Error>;

    /// The receipts that partners gave for a record of ours, or the first one that we gave for a partner's.
    fn receipts_on(&self, record: &RecordId) -> Result<Vec<ReceiptOn>, Error>;

    /// The records that say something of a record, as [`Facts::referring`] gives them, with their leaves.
    fn said_of(&self, record: &RecordId, said: Said<'_>) -> Result<Vec<Related>, Error>;

    /// What refers to a record, whoever says what: the latest, in the order in which they came. No record is read for it.
    fn related(&self, record: &RecordId, latest: usize) -> Result<Vec<Mention>, Error>;

    /// How much there is.
    fn counts(&self) -> Result<Counts, Error>;

    /// What our witness has seen of a ledger.
    fn seen(&self, origin: &str) -> Result<Option<Seen>, Error>;

    /// Our own latest checkpoint, as a signed note.
    fn own_checkpoint(&self) -> Result<Option<String>, Error>;

    /// The secret keys that have not been erased, in the order in which they were put.
    fn secrets(&self) -> Result<Vec<Secret>, Error>;

    /// Parcels that wait for a recipient, with their cursors, after a cursor (0 at first): at most `count_max`, and of at most
    /// `bytes_max` bytes together, but one at least if there is one.
    fn mailbox_take_after(
        &self,
        recipient: &AgencyId,
        cursor: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Error>;

    /// Whether a sender asked that a chunk be kept for an agency.
    fn relay_chunk_allowed(&self, name: &Digest, agency: &AgencyId) -> Result<bool, Error>;

    /// Whether an attachment that we authored, whose audience has the agency in it, lists a chunk.
    fn chunk_allowed(&self, name: &Digest, agency: &AgencyId) -> Result<bool, Error>;

    /// Attachments that came and whose chunks are not all here.
    fn attachments_incomplete(&self) -> Result<Vec<RecordId>, Error>;

    /// Chunks that no attachment and no recipient needs any longer, so that their files can be deleted; then comes
    /// [`Store::chunk_deleted`].
    fn chunks_unreferenced(&self, count_max: usize) -> Result<Vec<Digest>, Error>;

    /// Checks everything against everything, without changing anything. An error means that not even that was possible.
    fn fsck(&self) -> Result<Vec<Finding>, Error>;
}

/// A store. There is one writer, and it owns this.
///
/// Each change outside of a transaction is durable when its method returns. Between [`Store::begin`] and [`Store::commit`]
/// changes are seen by this value only, and all become durable with the commit or not at all. After an error in a transaction
/// the caller rolls back.
pub trait Store: Queries {
    /// Begins a transaction.
    fn begin(&mut self) -> Result<(), Error>;

    /// Makes the changes of one batch, and the changes to rows that follow from them. The batch holds a leaf and what it tells of
    /// together. Erasing a record that we authored changes nothing as long as it, or one before it on the same channel, has no
    /// receipt: what was promised to its audience must be at hand.
    fn apply(&mut self, changes: &[Change]) -> Result<(), Error>;

    /// Makes everything since [`Store::begin`] durable.
    fn commit(&mut self) -> Result<(), Error>;

    /// Forgets everything since [`Store::begin`]. Without a transaction it does nothing.
    fn rollback(&mut self) -> Result<(), Error>;

    /// Takes the register over with which this node begins. Later versions come as [`Change::Register`].
    fn adopt_register(&mut self, versions: &[Enacted]) -> Result<(), Error>;

    /// Begins the next epoch, as after a restore: what is queued is numbered from 1 again; what is settled stays on record under
    /// the old epoch; the old ledger's checkpoint is forgotten. Gives the epoch.
    fn begin_epoch(&mut self) -> Result<u64, Error>;

    /// Keeps a parcel for a recipient until it expires, in seconds since 1970.
    fn mailbox_put(
        &mut self,
        sender: &AgencyId,
        recipient: &AgencyId,
        parcel: &[u8],
        expires_s: u64,
    ) -> Result<(), Error>;

    /// The recipient has everything up to and with this cursor.
    fn mailbox_drop_through(&mut self, recipient: &AgencyId, cursor: u64) -> Result<(), Error>;

    /// An agency was removed: drops what comes from it and what goes to it, chunks included.
    fn mailbox_drop(&mut self, agency: &AgencyId) -> Result<(), Error>;

    /// Drops the parcels and chunks that expired before now, in seconds since 1970. Gives the number of parcels.
    fn mailbox_expire(&mut self, now_s: u64) -> Result<u64, Error>;

    /// A sender asks that a chunk be kept for a recipient until it expires, in seconds since 1970.
    fn relay_chunk_put(&mut self, name: &Digest, recipient: &AgencyId, expires_s: u64) -> Result<(), Error>;

    /// The file of a chunk is deleted; it is kept for nobody any longer.
    fn chunk_deleted(&mut self, name: &Digest) -> Result<(), Error>;

    /// All chunks of an attachment are here.
    fn attachment_done(&mut self, record: &RecordId) -> Result<(), Error>;

    /// What our witness has seen of a ledger now. The witness answers only after this is durable.
    fn set_seen(&mut self, origin: &str, seen: &Seen) -> Result<(), Error>;

    /// Our own latest checkpoint, as a signed note.
    fn set_own_checkpoint(&mut self, note: &str) -> Result<(), Error>;

    /// Keeps a secret, in place of one with the same purpose and key.
    fn put_secret(&mut self, secret: &Secret) -> Result<(), Error>;

    /// Erases a secret so that no copy of it stays on the disk. Not within a transaction.
    fn erase_secret(&mut self, purpose: Purpose, key: &KeyId) -> Result<(), Error>;

    /// Removes the copies of what was erased that a log of writes still holds. Not within a transaction.
    fn scrub(&mut self) -> Result<(), Error>;

    /// Throws all rows of views away and folds them again from the records.
    fn rebuild_views(&mut self) -> Result<(), Error>;
}
