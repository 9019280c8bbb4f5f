//! Private matching: whether a partner holds an identifier, told to nobody but the asker, and shown to nobody unless there is a
//! hit. Keys and proofs, the filters in which holders publish their lists, questions with their audit, and names across scripts.
//!
//! Pure: random bytes and time are arguments. `docs/matching.md` describes the protocol, its threats and what leaks.

pub mod filter;
pub mod key;
pub mod names;
pub mod question;
pub mod tag;
pub mod voprf;
