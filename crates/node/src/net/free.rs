//! Free addresses for tests, demonstrations and benchmarks.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that common systems give to outgoing connections (Linux: from 32,768), any of which could take a port between
/// our looking and its use.
const PORTS: Range<u16> = 12_000..32_000;

/// An address of loopback on which nobody listens just now. No address is given twice by one process until all have been.
pub fn free_address() -> io::Result<SocketAddr> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Processes that run side by side begin at places far apart.
    let begin = std::process::id().wrapping_mul(131);
    for _ in PORTS {
        let step = u32::from(GIVEN.fetch_add(1, Ordering::Relaxed)).wrapping_add(begin);
        let port = PORTS.start + (step % u32::from(PORTS.end - PORTS.start)) as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return listener.local_addr(),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
