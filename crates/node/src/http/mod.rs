//! The HTTP interfaces of the node, one file for each kind of caller.

pub(crate) mod api;
pub(crate) mod console;
pub(crate) mod ops;
pub(crate) mod peer;
#[cfg(test)]
mod peer_tests;
