//! A request body that is read to its end even if its handler wants no more of it.
//!
//! A handler that refuses a body answers before the client has sent all of it. If the connection closed then, the client would
//! find it broken while it still sends, and would never read why it was refused.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, SizeHint};

/// How much of an unwanted body is read, in bytes.
const UNWANTED_BYTES_MAX: usize = 64 << 20;
/// How long an unwanted body is read.
const UNWANTED_TIME_MAX: Duration = Duration::from_secs(5);

struct ReadOut(Body);

impl HttpBody for ReadOut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for ReadOut {
    fn drop(&mut self) {
        if !self.0.is_end_stream() {
            let mut rest = Limited::new(std::mem::take(&mut self.0), UNWANTED_BYTES_MAX);
            tokio::spawn(async move {
                let read = async { while let Some(Ok(_)) = rest.frame().await {} };
                // Who takes longer learns no reason.
                let _ = tokio::time::timeout(UNWANTED_TIME_MAX, read).await;
            });
        }
    }
}

/// Reads the body to its end, or to the limits, once its handler lets it go.
pub(super) fn read_out(body: Body) -> Body {
    Body::new(ReadOut(body))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn what_a_handler_leaves_is_read() {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let chunks = stream::iter(0..100).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::io::Result::Ok(Bytes::from_static(&[0; 1000]))
        });
        let mut body = read_out(Body::from_stream(chunks));
        assert!(body.frame().await.is_some());
        drop(body);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(read.load(Ordering::Relaxed), 100);
    }
}
