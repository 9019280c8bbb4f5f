//! The node: the one place where the pure parts meet sockets, files and clocks.

pub mod net;
