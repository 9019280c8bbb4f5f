//! What a verified bundle says, in the shape in which it is shown and written as JSON (docs/protocol.md, section 14.2).

use mufakat_record::{AgencyId, Digest, Handling, RecordId, ThreadId};
use serde::Serialize;

/// Everything that a reader of the evidence wants to know. A value of this type has been verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The hash of register version 1, on which all else rests.
    pub root: Digest,
    /// The same in twelve words.
    pub fingerprint: String,
    /// Whether the verifier named this root beforehand. If not, it must be compared with what is known of the community.
    pub root_expected: bool,
    /// The community's name.
    pub community: String,
    /// The record's id.
    pub record: RecordId,
    /// The agency that signed it.
    pub author: AgencyId,
    /// The author's party.
    pub party: AgencyId,
    /// When the author says that it signed, in seconds since 1970.
    pub signed_at: u64,
    /// Since when the signing key is revoked; the record was in the ledger before.
    pub key_revoked: Option<u64>,
    /// The matter it belongs to.
    pub thread: ThreadId,
    /// Its kind.
    pub kind: String,
    /// Whether that kind is known here, and the body therefore checked.
    pub understood: bool,
    /// The agencies that may read it.
    pub audience: Vec<AgencyId>,
    /// The number of the register version under which the audience was chosen.
    pub register_version: u64,
    /// The handling rules.
    pub handling: Handling,
    /// When it ceases to be of use.
    pub expires: Option<u64>,
    /// The agency whose ledger proves the time.
    pub holder: AgencyId,
    /// The record's place in that ledger.
    pub leaf: Holding,
    /// The checkpoint that the proofs lead to.
    pub checkpoint: Checkpoint,
    /// Who cosigned it, ascending.
    pub witnesses: Vec<Witness>,
    /// Whether that is enough by the register's rules.
    pub quorum: Quorum,
    /// What the recipients said, in the bundle's order.
    pub receipts: Vec<Outcome>,
    /// Retractions, corrections and answers, in the bundle's order.
    pub related: Vec<Related>,
}

/// The record's place in the holder's ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// The index of its leaf.
    pub index: u64,
    /// When, in milliseconds since 1970 by the holder's clock.
    pub at_ms: u64,
    /// `authored`, `accepted`, or the name of the reason for which the holder rejected it.
    pub outcome: String,
}

/// The state of the ledger that was signed and cosigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// The ledger's name.
    pub origin: String,
    /// How many leaves it had.
    pub size: u64,
    /// Its root.
    pub root: Digest,
}

/// A cosignature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// The witness.
    pub agency: AgencyId,
    /// When it cosigned, in seconds since 1970 by its own clock.
    pub cosigned_at: u64,
}

/// How many witnesses there should be, and whether there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// How many should cosign.
    pub needed: u64,
    /// Whether as many did.
    pub met: bool,
}

/// What a recipient said on the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The recipient.
    pub agency: AgencyId,
    /// The id of its receipt.
    pub receipt: RecordId,
    /// Whether it accepted the record.
    pub accepted: bool,
    /// The name of the reason, if not.
    pub rejected: Option<String>,
    /// When, in milliseconds since 1970 by the recipient's clock.
    pub at_ms: u64,
    /// The index of the leaf in the recipient's ledger.
    pub index: u64,
    /// The name of the recipient's ledger.
    pub ledger: String,
}

/// A record that bears on the one that the bundle is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Its id.
    pub record: RecordId,
    /// `retraction`, `correction` or `answer`.
    pub kind: String,
    /// The agency that signed it.
    pub author: AgencyId,
    /// When that agency says that it signed, in seconds since 1970.
    pub signed_at: u64,
    /// The index of its leaf in the holder's ledger.
    pub index: u64,
    /// When it came into the holder's ledger, in milliseconds since 1970.
    pub at_ms: u64,
}
