//! Records: what they are made of, how they are signed, verified, sealed and opened.
//!
//! Pure: nothing here reads a clock, a file or a random source; time and random bytes are arguments.
//! `docs/protocol.md` describes every byte that this crate writes.

mod act;
pub mod attachment;
pub mod cbor;
mod handling;
mod header;
mod id;
pub mod identifier;
mod json;
mod keys;
pub mod kinds;
pub mod matching;
mod message;
pub mod parcel;
mod reason;
#[cfg(feature = "schema")]
mod schema;

pub use act::{ACT_RECORDS_MAX, Act, How, Role};
pub use handling::{
    CAVEAT_BYTES_MAX, Code, EYES_MAX, Evaluation, Eyes, Handling, PURPOSE_BYTES_MAX, PURPOSES_MAX, Tlp,
};
pub use header::{AUDIENCE_MAX, HEADER_BYTES_MAX, Header, REFERENCES_MAX, Reference, Relation};
pub use id::{AgencyId, Digest, InvalidName, KeyId, OfficerId, RecordId, ThreadId, sha256};
pub use keys::{Fingerprint, InvalidKey, SealingKey, SealingPublic, SigningKey, Suite, VerifyingKey};
pub use message::{Draft, KeyBook, KeyState, Unverified, Verified};
pub use reason::Reason;

/// The largest record that a node takes in, in bytes of the whole signed message.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// What goes to a place of a channel in place of a record that was deleted at its author's after it had been confirmed, when
/// the recipient lost what it confirmed and asks again: CBOR's null. It is no record and is refused as `malformed`; so the
/// channel goes on.
pub const STAND_IN: &[u8] = &[0xf6];

/// How far ahead of or behind our own clock a record's claimed time may be before people are told, in seconds.
pub const SKEW_SHOWN_S: u64 = 300;
