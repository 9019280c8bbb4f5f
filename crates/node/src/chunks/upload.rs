//! Taking a file in: read piece by piece, sealed chunk by chunk, and described for the share that will name it.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use mufakat_record::attachment::{ATTACHMENT_BYTES_MAX, CHUNK_BYTES, CHUNK_OVERHEAD, ChunkKey};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::{AgencyId, Digest, Handling, Header, KeyId, ThreadId, cbor};
use mufakat_store::Store;
use tokio::runtime::Handle;

use super::files::Files;
use super::sniff::{self, SNIFFED_BYTES, Wrong};
use super::{blocking, fault, hold};
use crate::clock;
use crate::node::Node;
use crate::writer::{Fault, entropy};

/// How long an upload waits for its share, in seconds.
pub(super) const KEPT_S: u64 = 24 * 3600;
/// How long its chunks are held, in seconds: longer, so that none goes while a share that named it in time is on its way.
const HELD_S: u64 = KEPT_S + 3600;
/// How many uploads may wait for their share.
const WAITING_MAX: usize = 1024;
/// How long the next piece of a file may take. Tests do not wait for a minute.
const STALL_MAX: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 60 });

/// A file that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    /// The name by which a share attaches it: 16 random bytes in hexadecimal.
    pub(crate) id: String,
    /// The body of the attachment's record.
    pub(crate) attachment: Attachment,
}

/// Why a file was not taken in. Nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// It is larger than allowed.
    #[error("the file is larger than {bytes_max} bytes")]
    Oversize {
        /// The limit.
        bytes_max: u64,
    },
    /// Its name or media type cannot stand in a record.
    #[error("a name has 1 to 255 bytes without slashes and control characters; a media type has 3 to 127 bytes")]
    BadName,
    /// It runs when somebody opens it, and is declared to be something else than bytes.
    #[error("it is {0}, which can run: declare it as application/octet-stream, so that nothing opens it by itself")]
    Active(String),
    /// It is not what it is declared to be.
    #[error("it is declared as {declared} and looks like {found}")]
    OtherType {
        /// What it is declared to be.
        declared: String,
        /// What it looks like.
        found: String,
    },
    /// Nothing came for too long.
    #[error("nothing came for {STALL_MAX:?}")]
    Stalled,
    /// The sender broke off.
    #[error("the file ended before it was complete")]
    CutOff,
    /// Too many uploads wait for a share that names them.
    #[error("{WAITING_MAX} uploads wait to be shared; share some, or wait until they expire")]
    TooMany,
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Takes a file in. It is durable when this returns.
pub(crate) async fn take_in<E>(
    node: &Arc<Node>,
    body: impl Stream<Item = Result<Bytes, E>> + Send,
    name: String,
    media_type: String,
) -> Result<Upload, NotTaken> {
    let mut attachment = Attachment { name, media_type, size: 0, digest: [0; 32], key: entropy(), chunks: vec![0; 32] };
    if !can_be_shared(&attachment, &node.me) {
        return Err(NotTaken::BadName);
    }
    let files = Files::of(&node.dir);
    let counting = files.clone();
    if blocking(move || counting.expire_uploads(KEPT_S)).await?.map_err(fault)? >= WAITING_MAX {
        return Err(NotTaken::TooMany);
    }
    let body = sniffed(&attachment.media_type, body, STALL_MAX).await?;
    let bytes_max = node.config.limits.api_attachment_bytes_max.min(ATTACHMENT_BYTES_MAX);
    let keep = |names| hold(node, names, node.me.clone(), clock::now_s() + HELD_S);
    let forgetting = Arc::clone(node);
    let unfinished = Arc::new(Unfinished::new(files.clone(), move |names| forget(&forgetting, names)));
    let sealed = seal_all(&unfinished, body, bytes_max, &attachment.key, keep).await?;
    // An upload may take hours; its time begins when it is complete.
    keep(sealed.names.clone()).await?;
    attachment.size = sealed.size;
    attachment.digest = sealed.digest;
    attachment.chunks = sealed.names.iter().flat_map(|name| name.0).collect();
    let mut id = [0; 16];
    id.copy_from_slice(&entropy()[..16]);
    let description = cbor::encode(&attachment);
    let written = blocking(move || {
        files.settle(&sealed.names)?;
        if sealed.names.iter().all(|name| files.has(name)) {
            files.write_upload(id, &description)?;
            // Only now: if the caller went away before, nothing of the file is left.
            unfinished.finish();
            Ok(Ok(()))
        } else {
            Ok(Err(NotTaken::from(Fault::Store("the upload took longer than its chunks are held".to_owned()))))
        }
    });
    written.await?.map_err(fault)??;
    Ok(Upload { id: hex::encode(id), attachment })
}

/// Takes back the notes that chunks are held, after their files were deleted. Where the node stops meanwhile they expire.
fn forget(node: &Arc<Node>, names: Vec<Digest>) {
    let Ok(runtime) = Handle::try_current() else { return };
    let node = Arc::clone(node);
    runtime.spawn(async move {
        let forgotten = node.writer.call(move |core| Ok(names.iter().try_for_each(|n| core.store.chunk_deleted(n))?));
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "the chunks of an upload that was given up stay noted until they expire");
        }
    });
}

/// What was uploaded under this name, unless it has expired. The same upload may be shared more than once.
pub(crate) fn uploaded(node: &Node, id: &str) -> Option<Attachment> {
    read_upload(&Files::of(&node.dir), id)
}

fn read_upload(files: &Files, id: &str) -> Option<Attachment> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(id, &mut bytes).ok()?;
    let description = files.read_upload(bytes, KEPT_S).unwrap_or_else(|error| {
        tracing::warn!(%error, "the description of an upload cannot be read");
        None
    });
    cbor::decode(&description?).ok()
}

/// Whether a record may carry this description. Asked before the content comes, so that nobody sends 2 GiB in vain.
fn can_be_shared(attachment: &Attachment, me: &AgencyId) -> bool {
    let header = Header {
        key: KeyId([0; 16]),
        author: me.clone(),
        issued_at: 0,
        thread: ThreadId([0; 16]),
        kind: Attachment::KIND.to_owned(),
        audience: Vec::new(),
        register: Digest([0; 32]),
        handling: Handling::community(),
        references: Vec::new(),
        expires: None,
    };
    attachment.is_sound(&header)
}

/// The same pieces, after the first of them were found to be what they are declared to be. The next piece may take so long.
async fn sniffed<E>(
    declared: &str,
    body: impl Stream<Item = Result<Bytes, E>> + Send,
    stall_max: Duration,
) -> Result<impl Stream<Item = Result<Bytes, NotTaken>> + Send, NotTaken> {
    let body = Box::pin(body);
    let mut body = Box::pin(stream::unfold(body, move |mut body| async move {
        let piece = match tokio::time::timeout(stall_max, body.next()).await {
            Ok(piece) => piece?.map_err(|_| NotTaken::CutOff),
            Err(_) => Err(NotTaken::Stalled),
        };
        Some((piece, body))
    }))
    // The end may be met while the beginning is looked at, and is then asked for once more.
    .fuse();
    let (mut head, mut pieces) = (Vec::new(), Vec::new());
    while head.len() < SNIFFED_BYTES
        && let Some(piece) = body.next().await
    {
        let piece = piece?;
        head.extend_from_slice(&piece[..piece.len().min(SNIFFED_BYTES - head.len())]);
        pieces.push(Ok(piece));
    }
    sniff::check(declared, &head).map_err(|wrong| match wrong {
        Wrong::Active(what) => NotTaken::Active(what),
        Wrong::Other { declared, found } => NotTaken::OtherType { declared, found },
    })?;
    Ok(stream::iter(pieces).chain(body))
}

/// What came of sealing a whole file.
#[derive(Debug)]
struct Sealed {
    size: u64,
    digest: [u8; 32],
    names: Vec<Digest>,
}

/// Seals what comes, in chunks, and writes them. No more than one chunk is in memory.
async fn seal_all<K: Future<Output = Result<(), Fault>>>(
    unfinished: &Arc<Unfinished>,
    body: impl Stream<Item = Result<Bytes, NotTaken>> + Send,
    bytes_max: u64,
    key: &[u8; 32],
    keep: impl Fn(Vec<Digest>) -> K,
) -> Result<Sealed, NotTaken> {
    let mut body = pin!(body);
    let mut bench = Bench::new(key);
    let (mut size, mut names) = (0, Vec::new());
    loop {
        let piece = body.next().await.transpose()?;
        let last = piece.is_none();
        let mut piece = piece.unwrap_or_default();
        size += piece.len() as u64;
        if size > bytes_max {
            return Err(NotTaken::Oversize { bytes_max });
        }
        while last || !piece.is_empty() {
            // A full chunk is sealed only when it is known whether another one follows.
            if last || bench.chunk.len() == CHUNK_BYTES {
                let name;
                (bench, name) = blocking(move || bench.seal(last)).await?;
                unfinished.begin(name);
                keep(vec![name]).await?;
                bench = unfinished.write(name, bench).await?;
                names.push(name);
            }
            if last {
                return Ok(Sealed { size, digest: bench.digest(), names });
            }
            let room = CHUNK_BYTES - bench.chunk.len();
            bench.chunk.extend_from_slice(&piece.split_to(piece.len().min(room)));
        }
    }
}

/// Where one chunk at a time is filled and sealed.
struct Bench {
    key: ChunkKey,
    content: digest::Context,
    number: u32,
    chunk: Vec<u8>,
}

impl Bench {
    fn new(key: &[u8; 32]) -> Self {
        let content = digest::Context::new(&digest::SHA256);
        Self { key: ChunkKey::new(key), content, number: 0, chunk: Vec::with_capacity(CHUNK_BYTES + CHUNK_OVERHEAD) }
    }

    fn seal(mut self, last: bool) -> (Self, Digest) {
        self.content.update(&self.chunk);
        let name = self.key.seal(self.number, last, &mut self.chunk);
        self.number += 1;
        (self, name)
    }

    fn digest(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.content.finish().as_ref());
        out
    }
}

/// The chunks of an upload that is not complete. They are deleted and forgotten when it is given up, however that happens.
struct Unfinished {
    files: Files,
    names: Mutex<Vec<Digest>>,
    finished: AtomicBool,
    forget: Box<dyn Fn(Vec<Digest>) + Send + Sync>,
}

impl Unfinished {
    fn new(files: Files, forget: impl Fn(Vec<Digest>) + Send + Sync + 'static) -> Self {
        Self { files, names: Mutex::default(), finished: AtomicBool::new(false), forget: Box::new(forget) }
    }

    /// Before anything is kept of a chunk.
    fn begin(&self, name: Digest) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }

    /// Writes the chunk and gives the bench back, empty.
    async fn write(self: &Arc<Self>, name: Digest, mut bench: Bench) -> Result<Bench, Fault> {
        let unfinished = Arc::clone(self);
        let written = blocking(move || {
            // This holds on to what deletes the file until it is there: a caller that goes away now does not leave it behind.
            let written = unfinished.files.write(&name, &bench.chunk);
            bench.chunk.clear();
            written.map(|()| bench)
        });
        written.await?.map_err(fault)
    }

    fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.finished.load(Ordering::Relaxed) {
            return;
        }
        // Each chunk is sealed under a key of its own upload, so nobody else can need it.
        let names = std::mem::take(self.names.get_mut().unwrap_or_else(PoisonError::into_inner));
        for name in &names {
            if let Err(error) = self.files.remove(name) {
                tracing::warn!(%name, %error, "a chunk of an upload that was given up could not be deleted");
            }
        }
        if !names.is_empty() {
            (self.forget)(names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::Unreadable;
    use super::super::content::tests::read_all;
    use super::super::files::check_chunks;
    use super::super::tests::{folder, left};
    use super::*;

    const KEY: [u8; 32] = [9; 32];

    async fn no_hold(_: Vec<Digest>) -> Result<(), Fault> {
        Ok(())
    }

    fn some_bytes(size: usize) -> Vec<u8> {
        (0..size).map(|i| (i % 251) as u8).collect()
    }

    /// Pieces as they come from a socket: of sizes that have nothing to do with those of chunks.
    fn pieces(content: &[u8], size: usize) -> impl Stream<Item = Result<Bytes, NotTaken>> + Send + use<> {
        let pieces: Vec<_> = content.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        stream::iter(pieces)
    }

    async fn seal(files: &Files, content: &[u8], piece: usize) -> (Arc<Unfinished>, Result<Attachment, NotTaken>) {
        let unfinished = Arc::new(Unfinished::new(files.clone(), drop));
        let sealed = seal_all(&unfinished, pieces(content, piece), 10 << 20, &KEY, no_hold).await;
        let attachment = sealed.map(|sealed| Attachment {
            name: "EXERCISE.bin".to_owned(),
            media_type: "application/octet-stream".to_owned(),
            size: sealed.size,
            digest: sealed.digest,
            key: KEY,
            chunks: sealed.names.iter().flat_map(|name| name.0).collect(),
        });
        (unfinished, attachment)
    }

    #[tokio::test]
    async fn what_is_sealed_can_be_read_again() {
        let me: AgencyId = "vn-police".parse().unwrap();
        for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 77] {
            let folder = folder();
            let files = Files::of(folder.path());
            let content = some_bytes(size);
            let (_unfinished, attachment) = seal(&files, &content, 70_001).await;
            let attachment = attachment.unwrap();
            assert!(can_be_shared(&attachment, &me), "{size}");
            assert_eq!(attachment.size, size as u64);
            assert_eq!(attachment.digest, mufakat_record::sha256(&content));
            assert!(read_all(&files, &attachment).await.unwrap() == content, "{size}");
            assert!(check_chunks(folder.path()).is_empty());
            // Nothing of the content is on the disk as it is.
            for path in left(folder.path()) {
                let sealed = std::fs::read(folder.path().join(path)).unwrap();
                assert!(size < 100 || !sealed.windows(50).any(|window| window == &content[..50]));
            }
        }
    }

    #[tokio::test]
    async fn an_upload_that_is_cut_off_leaves_nothing() {
        let folder = folder();
        let files = Files::of(folder.path());
        let content = some_bytes(2 * CHUNK_BYTES + 5);
        let broken = pieces(&content, 70_001).chain(stream::iter([Err(NotTaken::CutOff)]));
        let unfinished = Arc::new(Unfinished::new(files.clone(), drop));
        let cut = seal_all(&unfinished, broken, 10 << 20, &KEY, no_hold).await;
        assert_eq!(cut.unwrap_err(), NotTaken::CutOff);
        assert!(!left(folder.path()).is_empty());
        drop(unfinished);
        assert!(left(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn an_upload_that_stalls_or_is_something_else_leaves_nothing() {
        let folder = folder();
        let files = Files::of(folder.path());
        let content = some_bytes(2 * CHUNK_BYTES);
        let stall_max = Duration::from_millis(100);
        let stuck = pieces(&content, 70_001).chain(stream::pending());
        let stuck = sniffed("application/octet-stream", stuck, stall_max).await.unwrap();
        let unfinished = Arc::new(Unfinished::new(files.clone(), drop));
        let sealed = seal_all(&unfinished, stuck, 10 << 20, &KEY, no_hold).await;
        assert_eq!(sealed.err(), Some(NotTaken::Stalled));
        assert!(!left(folder.path()).is_empty());
        drop(unfinished);
        assert!(left(folder.path()).is_empty());
        // Before anything was written.
        let silent = sniffed("text/plain", stream::pending::<Result<Bytes, ()>>(), stall_max).await;
        assert_eq!(silent.err(), Some(NotTaken::Stalled));
        let page = pieces(b"<html>EXERCISE</html>", 3);
        assert_eq!(sniffed("text/plain", page, stall_max).await.err(), Some(NotTaken::Active("text/html".to_owned())));
        // Nothing of what was looked at is lost.
        let whole = sniffed("text/plain", pieces(&[b'a'; 3 * SNIFFED_BYTES], 1000), stall_max).await.unwrap();
        let sizes: Vec<_> = whole.map(|piece| piece.unwrap().len()).collect().await;
        assert_eq!(sizes.iter().sum::<usize>(), 3 * SNIFFED_BYTES);
    }

    #[tokio::test]
    async fn an_upload_whose_sender_vanishes_leaves_nothing() {
        let folder = folder();
        let files = Files::of(folder.path());
        let content = some_bytes(3 * CHUNK_BYTES);
        let stuck = pieces(&content, 70_001).chain(stream::pending());
        let unfinished = Arc::new(Unfinished::new(files.clone(), drop));
        let sealing = seal_all(&unfinished, stuck, 10 << 20, &KEY, no_hold);
        assert!(tokio::time::timeout(Duration::from_millis(500), sealing).await.is_err());
        drop(unfinished);
        assert!(left(folder.path()).is_empty());
    }

    #[tokio::test]
    async fn a_sender_that_vanishes_while_a_chunk_is_written_leaves_nothing() {
        let folder = folder();
        let files = Files::of(folder.path());
        for _ in 0..20 {
            let unfinished = Arc::new(Unfinished::new(files.clone(), drop));
            let mut bench = Bench::new(&KEY);
            bench.chunk = some_bytes(CHUNK_BYTES);
            let (bench, name) = bench.seal(true);
            // Polled once: the chunk is being written on another thread when its caller goes away.
            unfinished.begin(name);
            let _ = tokio::time::timeout(Duration::ZERO, unfinished.write(name, bench)).await;
            let weak = Arc::downgrade(&unfinished);
            drop(unfinished);
            while weak.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // The last to hold on to the list deletes what is on it; give that thread the moment it takes.
            for _ in 0..1000 {
                if left(folder.path()).is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(left(folder.path()).is_empty());
        }
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_is_refused_and_leaves_nothing() {
        let folder = folder();
        let files = Files::of(folder.path());
        let content = some_bytes(2 * CHUNK_BYTES);
        for (bytes_max, fits) in [(content.len() as u64, true), (content.len() as u64 - 1, false)] {
            let unfinished = Arc::new(Unfinished::new(files.clone(), drop));
            let sealed = seal_all(&unfinished, pieces(&content, 70_001), bytes_max, &KEY, no_hold).await;
            assert_eq!(sealed.err(), (!fits).then_some(NotTaken::Oversize { bytes_max }));
            drop(unfinished);
            assert!(left(folder.path()).is_empty());
        }
    }

    #[tokio::test]
    async fn a_flipped_bit_is_named_when_the_content_is_read() {
        let folder = folder();
        let files = Files::of(folder.path());
        let (_unfinished, attachment) = seal(&files, &some_bytes(3 * CHUNK_BYTES), 70_001).await;
        let attachment = attachment.unwrap();
        let name = attachment.chunk_names().nth(1).unwrap();
        let path = folder.path().join(format!("chunks/{}/{name}", &name.to_string()[..2]));
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[1000] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        let damaged = |what: &str| Err(Unreadable::Damaged(what.to_owned()));
        let named = damaged("chunk 1 does not hold the bytes that its name stands for");
        assert_eq!(read_all(&files, &attachment).await, named);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read_all(&files, &attachment).await, Err(Unreadable::Incomplete { have: 2, of: 3 }));
        std::fs::write(&path, whole).unwrap();
        // What the record says must hold too: order, key, length and digest.
        let mut other = attachment.clone();
        other.chunks = attachment.chunks.chunks(32).rev().flatten().copied().collect();
        let wrong_place = "cannot be opened with the attachment's key in this place";
        assert_eq!(read_all(&files, &other).await, damaged(&format!("chunk 0 {wrong_place}")));
        other = Attachment { key: [1; 32], ..attachment.clone() };
        assert_eq!(read_all(&files, &other).await, damaged(&format!("chunk 0 {wrong_place}")));
        other = Attachment { chunks: attachment.chunks[..64].to_vec(), size: 2 << 20, ..attachment.clone() };
        assert_eq!(read_all(&files, &other).await, damaged(&format!("chunk 1 {wrong_place}")));
        other = Attachment { size: attachment.size - 1, ..attachment.clone() };
        assert_eq!(read_all(&files, &other).await, damaged("chunk 2 does not have the length that belongs here"));
        other = Attachment { size: 5, ..attachment.clone() };
        assert_eq!(read_all(&files, &other).await, damaged("chunk 0 does not have the length that belongs here"));
        other = Attachment { digest: [1; 32], ..attachment.clone() };
        let digest = "the content does not have the digest that the record gives";
        assert_eq!(read_all(&files, &other).await, damaged(digest));
    }

    #[test]
    fn names_of_files_and_uploads_lead_nowhere_else() {
        let me: AgencyId = "vn-police".parse().unwrap();
        let named = |name: &str, media_type: &str| Attachment {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            size: 0,
            digest: [0; 32],
            key: KEY,
            chunks: vec![0; 32],
        };
        assert!(can_be_shared(&named("EXERCISE report.pdf", "application/pdf"), &me));
        for name in ["", ".", "..", "a/b", "a\\b", "a\nb", &"x".repeat(256)] {
            assert!(!can_be_shared(&named(name, "application/pdf"), &me), "{name}");
        }
        assert!(!can_be_shared(&named("EXERCISE", ""), &me));
        let folder = folder();
        let files = Files::of(folder.path());
        let attachment = named("EXERCISE", "text/plain");
        files.write_upload([0xAB; 16], &cbor::encode(&attachment)).unwrap();
        assert_eq!(read_upload(&files, &"ab".repeat(16)), Some(attachment));
        std::fs::write(folder.path().join("secret"), b"EXERCISE").unwrap();
        for id in ["../../secret", "", "..", &"cd".repeat(16), &"ab".repeat(15), "ab/../../../../../secret"] {
            assert_eq!(read_upload(&files, id), None, "{id}");
        }
    }
}
