//! The desk of a real node, asked over HTTP by a browser and an authenticator of our own.

mod authenticator;
mod elsewhere;
mod meanwhile;
mod overdue;
mod policy;
mod sessions;
mod sign_in;
mod stage;
mod tokens;
