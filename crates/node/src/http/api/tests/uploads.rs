//! Uploads that do not arrive: whatever goes wrong in the middle, nothing of them is left.

use std::path::{Path, PathBuf};

use mufakat_record::Digest;
use mufakat_record::attachment::CHUNK_BYTES;
use mufakat_store::{Queries, Reader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;

/// The largest upload here: a little more than two chunks.
const BYTES_MAX: usize = 2 * CHUNK_BYTES + 10;

/// Every file in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Waits until something is so.
async fn becomes<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = tokio::time::timeout(PATIENCE, async {
        loop {
            match look() {
                Some(found) => break found,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    looking.await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// An upload of which the first chunk is written and the rest has not come.
struct Begun {
    stream: UnixStream,
    chunk: Digest,
}

impl Begun {
    /// Begins one that is said to be so long, or that comes in pieces of whatever length.
    async fn new(node: &Running, length: Option<usize>) -> Self {
        let mut stream = UnixStream::connect(node.socket()).await.unwrap();
        let framing =
            length.map_or("Transfer-Encoding: chunked".to_owned(), |bytes| format!("Content-Length: {bytes}"));
        let path = "/api/v1/attachments?name=EXERCISE.bin&media_type=application%2Foctet-stream";
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // One byte more than a chunk, so that it is sealed.
        let bytes = vec![7; CHUNK_BYTES + 1];
        if length.is_none() {
            stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await.unwrap();
        }
        stream.write_all(&bytes).await.unwrap();
        if length.is_none() {
            stream.write_all(b"\r\n").await.unwrap();
        }
        let name = |file: &PathBuf| file.file_name().and_then(|name| name.to_str()?.parse::<Digest>().ok());
        let folder = chunks(node);
        let chunk = becomes("the first chunk is written", || files(&folder).iter().find_map(name)).await;
        assert!(noted(node, &chunk), "what is written is held");
        Self { stream, chunk }
    }

    /// The status and the reason that the node gives, if it gives any.
    async fn answer(&mut self) -> Option<(u16, String)> {
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, async {
            while let Ok(bytes @ 1..) = self.stream.read(&mut piece).await {
                text.extend_from_slice(&piece[..bytes]);
                if text.ends_with(b"}") {
                    break;
                }
            }
        });
        read.await.expect("the node answers or hangs up");
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        Some((head.split(' ').nth(1)?.parse().ok()?, body["reason"].as_str().unwrap_or_default().to_owned()))
    }
}

fn chunks(node: &Running) -> PathBuf {
    node.dir.path().join("node/chunks")
}

/// Whether the state says that the chunk is held.
fn noted(node: &Running, chunk: &Digest) -> bool {
    let reader = Reader::open_to_read(&node.dir.path().join("node").join(crate::DATABASE)).unwrap();
    reader.relay_chunk_allowed(chunk, &"vn-police".parse().unwrap()).unwrap()
}

/// Waits until neither file nor note is left.
async fn nothing_is_left(node: &Running, chunk: Digest, how: &str) {
    let folder = chunks(node);
    becomes(&format!("{how}: the files go"), || files(&folder).is_empty().then_some(())).await;
    becomes(&format!("{how}: the note goes"), || (!noted(node, &chunk)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_does_not_arrive_leaves_nothing() {
    let (vn, ru) = two_of(|config| config.limits.api_attachment_bytes_max = BYTES_MAX as u64).await;
    let told = |status: u16, reason: &str| Some((status, reason.to_owned()));

    let begun = Begun::new(&vn, Some(BYTES_MAX)).await;
    drop(begun.stream);
    nothing_is_left(&vn, begun.chunk, "cancelled").await;

    let mut short = Begun::new(&vn, Some(BYTES_MAX)).await;
    short.stream.shutdown().await.unwrap();
    let answer = short.answer().await;
    assert!(answer.is_none() || answer == told(400, "malformed"), "{answer:?}");
    nothing_is_left(&vn, short.chunk, "shorter than it said").await;

    let mut malformed = Begun::new(&vn, None).await;
    malformed.stream.write_all(b"no length\r\n").await.unwrap();
    assert_eq!(malformed.answer().await, told(400, "malformed"));
    nothing_is_left(&vn, malformed.chunk, "malformed").await;

    let mut slow = Begun::new(&vn, Some(BYTES_MAX)).await;
    assert_eq!(slow.answer().await, told(408, "stalled"));
    nothing_is_left(&vn, slow.chunk, "slow").await;

    let mut large = Begun::new(&vn, Some(4 * CHUNK_BYTES)).await;
    // The node may hang up while the rest is on its way.
    let _ = large.stream.write_all(&vec![7; CHUNK_BYTES + 10]).await;
    assert_eq!(large.answer().await, told(413, "oversize"));
    nothing_is_left(&vn, large.chunk, "larger than allowed").await;

    // What is as large as allowed is taken, and is held until it is shared.
    let path = "/api/v1/attachments?name=EXERCISE.bin";
    assert_eq!(vn.bytes(Method::POST, path, vec![7; BYTES_MAX]).await.0, StatusCode::CREATED);
    assert_eq!(files(&chunks(&vn)).len(), 4, "three chunks and what is said of them");
    vn.end().await;
    ru.end().await;
}
