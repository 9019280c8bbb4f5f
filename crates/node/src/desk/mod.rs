//! The desk: who asks, and what is put on record of it.
//!
//! Whoever is let in, at the socket or at the desk's own listener, becomes a [`Caller`]; handlers take it as an argument, pass
//! it to the gate, and note with it what was done.

mod caller;
mod classes;
mod uses;

pub(crate) use caller::{Caller, Via};
pub(crate) use classes::classes;
pub(crate) use uses::{note, note_operation, note_refusal};
