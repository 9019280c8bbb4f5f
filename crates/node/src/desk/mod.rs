//! The desk: who asks, and what is put on record of it.
//!
//! Whoever is let in, at the socket or at the desk's own listener, becomes a [`Caller`]; handlers take it as an argument, pass
//! it to the gate, and note with it what was done. Officers, credentials and revocations are home records; what stands in memory
//! ([`Desk`]) is read from them. Sessions are in memory alone.

mod caller;
mod ceremonies;
mod classes;
mod door;
pub(crate) mod drafts;
mod enrol;
pub(crate) mod escalations;
pub(crate) mod four_eyes;
mod listen;
mod measure;
pub(crate) mod officers;
mod oidc;
mod passkeys;
pub(crate) mod preview;
pub(crate) mod replay;
pub(crate) mod requests;
pub(crate) mod secret;
pub(crate) mod sessions;
mod state;
mod summaries;
#[cfg(test)]
mod tests;
mod time;
pub(crate) mod together;
mod uses;

pub(crate) use caller::{Caller, Via};
pub(crate) use ceremonies::CEREMONY_MAX;
pub(crate) use classes::{classes, seen};
pub(crate) use door::{Address, COOKIE, OIDC_COOKIE, Ticket, authenticate, cookie, guard};
pub(crate) use enrol::{NotEnrolled, begin_registration, finish_registration, give, invite};
pub(crate) use listen::{know, listen};
pub(crate) use oidc::{begin as begin_oidc, finish as finish_oidc};
pub(crate) use passkeys::{begin as begin_sign_in, finish as finish_sign_in};
pub(crate) use replay::Replays;
pub(crate) use state::Error;
pub(crate) use state::{Desk, alone, decree, end_sessions, load, run, sign_out};
pub(crate) use summaries::run as tell_uses;
pub(crate) use uses::{may_read, note, note_alert, note_operation, note_refusal};
