//! The ledger of a node: an append-only Merkle tree in tiles, signed checkpoints, proofs, cosignatures and the decisions of a witness.
//!
//! Everything follows the C2SP transparency-log specifications (tlog-tiles, tlog-checkpoint, signed-note, tlog-cosignature, tlog-witness and
//! tlog-proof) over the hashing of RFC 6962. The crate is pure: tiles are read through [`TileSource`], time is an argument, keys are made from
//! seeds that the caller drew, and what has to be written is handed back to the caller. Why this is our own code is told in
//! `docs/decisions/0002-ledger-code.md`.

pub mod checkpoint;
pub mod cosign;
pub mod hash;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tlog_proof;
pub mod tree;
pub mod witness;

mod text;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use hash::{Hash, empty_root, leaf_hash, node_hash};
pub use note::{Algorithm, Note, Signature, Signer, VerifierKey};
pub use proof::{verify_consistency, verify_inclusion};
pub use tile::{Place, SourceError, Tile, TileSource};
pub use tree::Edge;
