//! The node: the one place where the pure parts meet sockets, files and clocks.

mod alerts;
mod chunks;
mod clock;
pub mod config;
mod delivery;
mod desk;
mod evidence;
mod follow_up;
pub mod gate;
mod governance;
mod http;
mod join;
pub mod keyring;
mod keys;
pub mod logs;
mod matching;
pub mod metrics;
pub mod net;
mod node;
mod passing_on;
mod policy;
mod retention;
mod search;
mod serve;
mod share;
mod subject;
mod submitted;
mod waiting;
mod wire;
mod witness;
mod writer;

pub use chunks::check_chunks;
pub use matching::LISTS;
pub use serve::{Error, Made, init, run, serve};
pub use writer::Fault;

/// The name of the state file in a node's folder.
pub const DATABASE: &str = "node.db";
/// The name of the index for searching in a node's folder.
pub const SEARCH: &str = "search.db";
/// The name of the socket in a node's folder, at which the agency's own commands reach the node.
pub const SOCKET: &str = "mufakat.sock";
