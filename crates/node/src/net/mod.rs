//! The transport: how one node reaches another, and how people and programs of its own agency reach it.
//!
//! Partners speak HTTP/2 over TLS 1.3 with mutual authentication ([`tls`], [`listen`], [`peer_client`]); the agency's own
//! commands speak HTTP over a Unix socket ([`listen::serve_local`], [`local_client`]); the operator's listener is plain
//! HTTP on loopback ([`listen::serve_http`]); officers come over HTTP with or without TLS ([`listen::serve_desk`]). Nothing here knows what a record is: callers, bytes and limits only.
//! `docs/decisions/0004-transport.md` gives the reasons.

pub mod flood;
mod free;
mod held;
pub mod listen;
pub mod local_client;
pub mod peer_client;
mod read_out;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod web;

pub use flood::Flood;
pub use free::free_address;
pub(crate) use held::hold;
pub use listen::{PeerServer, serve_desk, serve_http, serve_local, serve_peers};
pub use peer_client::{Peer, PeerClient};
pub use tls::{Caller, ClientTls, Directory, Identity, LeafSlot, ServerTls};

/// How much of one body a peer may send before we have read it. A chunk of an attachment fits four times, so that a long
/// way between nodes does not slow it down.
const H2_STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The same for all bodies of one connection together, which bounds the memory that a peer can claim.
const H2_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The largest frame that we accept; the smallest that HTTP/2 allows (16 KiB) would cost 64 headers for each chunk.
const H2_FRAME_BYTES_MAX: u32 = 256 << 10;
/// The header fields of one request or answer.
const H2_HEADERS_BYTES_MAX: u32 = 16 << 10;
