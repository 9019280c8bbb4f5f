//! What the exchange must hold against: each bad input with its reason, the register, channels and receipts, retractions, and
//! histories of loss, repetition, reordering and crashes.

mod bad_input;
mod channel;
mod passing_on;
mod properties;
mod receipts;
mod register;
mod requests;
mod retraction;
mod store;
mod support;
