//! The chunks of attachments: taken from those who hand files in, kept in the node's folder, brought to relays, fetched from
//! authors, and put together again.
//!
//! A chunk is sealed before it is written, and named by the hash of its sealed bytes; whoever keeps it reads nothing. What
//! may be given to whom, and what is needed no longer, the store knows. A chunk that no attachment lists yet is held for this
//! agency itself, in the way in which a relay keeps chunks for others: until a time, after which it is let go.

mod content;
mod fetch;
mod files;
mod sniff;
mod upload;
#[cfg(test)]
mod whole;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::{AgencyId, Digest, Reason};
use mufakat_store::{Queries, Store};

use crate::clock;
use crate::delivery::{Undelivered, call};
use crate::net::Peer;
use crate::node::Node;
use crate::writer::Fault;

pub(crate) use content::{Content, Unreadable, content, content_of};
pub(crate) use fetch::run;
use files::Files;
pub use files::check_chunks;
pub(crate) use upload::{NotTaken, take_in, uploaded};

/// How many chunks are on their way at once, to a relay and from partners each.
const IN_FLIGHT_MAX: usize = 4;
/// How often a chunk is brought to a relay that is busy or breaks off, before the whole parcel waits for another time.
const HAND_TRIES: u32 = 4;
/// The longest rest between two of these tries.
const HAND_REST_MAX: Duration = Duration::from_secs(30);
/// How many chunks are let go in one piece of work, so that the writer is not kept from others for long.
const LET_GO_MAX: usize = 64;

/// Brings the chunks of an attachment of ours to a relay, for a recipient that is away.
pub(crate) async fn hand_over(
    node: &Arc<Node>,
    relay: &Peer,
    to: &AgencyId,
    attachment: &Attachment,
) -> Result<(), Undelivered> {
    let names: Vec<Digest> = attachment.chunk_names().collect();
    let hand = async {
        let mut handed =
            stream::iter(names).map(|name| hand_one(node, relay, to, name)).buffer_unordered(IN_FLIGHT_MAX);
        while let Some(one) = handed.next().await {
            one?;
        }
        Ok(())
    };
    tokio::select! {
        handed = hand => handed,
        () = node.stopping() => Err(Fault::Stopping.into()),
    }
}

async fn hand_one(node: &Arc<Node>, relay: &Peer, to: &AgencyId, name: Digest) -> Result<(), Undelivered> {
    let path = format!("/peer/v1/relay/chunk/{name}?to={to}");
    for attempt in 1.. {
        // A large attachment takes long; a recipient that is removed meanwhile gets no more of it.
        if node.directory().chain().member(to).is_none() {
            return Err(Undelivered::Unknown(to.clone()));
        }
        let Some(sealed) = read(node, name).await? else {
            // Reading it has told the operator. The records must not wait for a disk that is damaged here.
            return Ok(());
        };
        let error = match call(node, relay, Method::PUT, &path, sealed).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let asked = match &error {
            Undelivered::Refused { reason: Reason::Overloaded, retry_after_s, .. } => retry_after_s.unwrap_or_default(),
            Undelivered::Unreached(_) => 0,
            _ => return Err(error),
        };
        if attempt >= HAND_TRIES {
            return Err(error);
        }
        let rest = Duration::from_secs(asked.max(1 << attempt)).min(HAND_REST_MAX);
        tokio::time::sleep(rest).await;
    }
    unreachable!("the loop ends by returning in its last attempt")
}

/// The sealed chunk, if there is one and the caller may have it: as recipient of an attachment of ours, or as one for whom it
/// was left here.
pub(crate) async fn read_for(node: &Arc<Node>, caller: &AgencyId, name: Digest) -> Result<Option<Bytes>, Fault> {
    if node.directory().chain().member(caller).is_none() {
        return Ok(None);
    }
    let asking = caller.clone();
    let allowed = move |reader: &mufakat_store::Reader| {
        Ok(reader.chunk_allowed(&name, &asking)? || reader.relay_chunk_allowed(&name, &asking)?)
    };
    if node.read(allowed).await? { read(node, name).await } else { Ok(None) }
}

/// Keeps a chunk, whose name the caller has compared, for a recipient that fetches it later.
pub(crate) async fn keep_for(node: &Arc<Node>, name: Digest, to: AgencyId, body: Bytes) -> Result<(), Fault> {
    let until = clock::now_s().saturating_add(node.directory().chain().current().rules.relay_max_s);
    // First the note, then the file: whatever lets chunks go either has done so or sees that this one is needed.
    hold(node, vec![name], to, until).await?;
    let files = Files::of(&node.dir);
    blocking(move || files.write(&name, &body).and_then(|()| files.settle([&name]))).await?.map_err(fault)
}

/// Notes that chunks are kept for an agency until then, in seconds since 1970.
async fn hold(node: &Node, names: Vec<Digest>, to: AgencyId, until_s: u64) -> Result<(), Fault> {
    let held = node.writer.call(move |core| {
        for name in &names {
            core.store.relay_chunk_put(name, &to, until_s)?;
        }
        Ok(())
    });
    held.await
}

/// Holds the chunks of what somebody here has not shared yet, until a time in seconds since 1970.
pub(crate) async fn hold_for_us(node: &Node, attachments: &[Attachment], until_s: u64) -> Result<(), Fault> {
    let names: Vec<Digest> = attachments.iter().flat_map(Attachment::chunk_names).collect();
    if names.is_empty() { Ok(()) } else { hold(node, names, node.me.clone(), until_s).await }
}

/// Whether every chunk of these attachments is here. It looks at the disk.
pub(crate) fn are_here(node: &Node, attachments: &[Attachment]) -> bool {
    let files = Files::of(&node.dir);
    attachments.iter().flat_map(Attachment::chunk_names).all(|name| files.has(&name))
}

/// Deletes the files of chunks that nobody needs any longer, and what interrupted work left.
async fn sweep(node: &Node) -> Result<(), Fault> {
    node.writer.call(|core| Ok(core.store.mailbox_expire(clock::now_s()).map(drop)?)).await?;
    loop {
        let files = Files::of(&node.dir);
        let again = node.writer.call(move |core| {
            let names = core.store.chunks_unreferenced(LET_GO_MAX)?;
            let mut deleted = 0;
            for name in &names {
                match files.remove(name) {
                    Ok(()) => {
                        core.store.chunk_deleted(name)?;
                        deleted += 1;
                    }
                    // It stays on the list; others in the same transaction are not to suffer for it.
                    Err(error) => tracing::warn!(%name, %error, "a chunk could not be deleted"),
                }
            }
            Ok(deleted == LET_GO_MAX)
        });
        if !again.await? {
            break;
        }
    }
    let files = Files::of(&node.dir);
    let swept = blocking(move || files.remove_strays().and_then(|()| files.expire_uploads(upload::KEPT_S)));
    swept.await?.map(drop).map_err(fault)
}

/// The sealed chunk, if it is here and whole. The operator is told of one that is not.
async fn read(node: &Node, name: Digest) -> Result<Option<Bytes>, Fault> {
    let files = Files::of(&node.dir);
    match blocking(move || files.read(&name)).await? {
        Ok(Some(sealed)) => Ok(Some(sealed.into())),
        Ok(None) => {
            tracing::warn!(%name, "a chunk that should be here is not");
            Ok(None)
        }
        Err(error @ files::Error::Damaged(_)) => {
            tracing::error!(%error, "a chunk cannot be given out");
            Ok(None)
        }
        Err(files::Error::Disk(e)) => Err(fault(e)),
    }
}

/// Work that waits for the disk or computes long.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Fault::Store(e.to_string()))
}

fn fault(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::Full,
        _ => Fault::Store(format!("the files of chunks: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    pub(super) fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    /// Every file in a folder, by its path within it.
    pub(super) fn left(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(folder).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert_eq!(fault(kind.into()), Fault::Full);
        }
        assert!(matches!(fault(io::ErrorKind::PermissionDenied.into()), Fault::Store(_)));
    }
}
