//! Formats for the world outside: evidence bundles, which a third party checks offline.
//!
//! Pure: bytes go in, a statement or a fault comes out. `docs/protocol.md`, section 14, describes every byte.

pub mod evidence;
mod statement;
mod verify;

pub use evidence::{Bundle, EVIDENCE_BYTES_MAX, ProvenLeaf};
pub use statement::{Checkpoint, Holding, Outcome, Quorum, Related, Statement, Witness};
pub use verify::{Fault, verify};
