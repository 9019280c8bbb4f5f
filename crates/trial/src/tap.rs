//! A tap on a wire: passes bytes on between partners and a node, counts them, and keeps them if asked, so that a trial can say
//! what crossed the wire and look for what must not.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A tap that runs as long as its runtime.
#[derive(Clone, Default)]
pub(crate) struct Tap {
    passed: Arc<AtomicU64>,
    kept: Option<Arc<Mutex<Vec<u8>>>>,
}

impl Tap {
    /// A tap that only counts.
    pub(crate) fn counting() -> Self {
        Self::default()
    }

    /// A tap that keeps what passes.
    pub(crate) fn keeping() -> Self {
        Self { kept: Some(Arc::default()), ..Self::default() }
    }

    /// How many bytes have passed, both ways together: TLS, HTTP/2 and all.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// What has passed, as far as it is kept.
    pub(crate) fn kept(&self) -> Vec<u8> {
        self.kept.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }

    /// Passes everything that comes to `listen` on to `to`, on loopback.
    pub(crate) async fn run(self, listen: u16, to: u16) -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", listen)).await?;
        tokio::spawn(async move {
            while let Ok((partner, _)) = listener.accept().await {
                let tap = self.clone();
                tokio::spawn(async move {
                    // When the node does not listen, the partner's connection closes, as it would without a tap.
                    let Ok(node) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                    let quick = partner.set_nodelay(true).and_then(|()| node.set_nodelay(true));
                    if quick.is_ok() {
                        let (from_partner, to_partner) = partner.into_split();
                        let (from_node, to_node) = node.into_split();
                        tokio::join!(tap.pass(from_partner, to_node), tap.pass(from_node, to_partner));
                    }
                });
            }
        });
        Ok(())
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            self.passed.fetch_add(n as u64, Ordering::Relaxed);
            if let Some(kept) = &self.kept {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..n]);
            }
            if to.write_all(&buffer[..n]).await.is_err() {
                break;
            }
        }
        // The other direction ends by itself when its reader is closed.
        let _ = to.shutdown().await;
    }
}
