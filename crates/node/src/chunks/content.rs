//! The content of an attachment, put together chunk by chunk, each verified, and the whole before its last chunk is given.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use mufakat_record::attachment::{CHUNK_BYTES, ChunkKey};
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::onward;
use mufakat_record::{AgencyId, Digest, RecordId, Verified};
use mufakat_store::Queries;

use super::files::{self, Files};
use super::{blocking, fault};
use crate::node::Node;
use crate::writer::Fault;

/// The content of an attachment.
pub(crate) struct Content {
    /// Its description.
    pub(crate) attachment: Attachment,
    /// The content. If it ends with an error, nothing of what came before is to be used.
    pub(crate) stream: BoxStream<'static, Result<Bytes, Unreadable>>,
}

/// Why there is no content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// No attachment with this id is held here.
    #[error("there is no such attachment")]
    NotFound,
    /// Not all of it has come.
    #[error("{have} of {of} chunks are here")]
    Incomplete {
        /// How many chunks are here.
        have: usize,
        /// How many there are.
        of: usize,
    },
    /// Something is not what the record says.
    #[error("{0}")]
    Damaged(String),
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The content of an attachment that is held here, ours or a partner's.
pub(crate) async fn content(node: &Arc<Node>, record: RecordId) -> Result<Content, Unreadable> {
    let (_, attachment) = attachment_of(node, record).await?.ok_or(Unreadable::NotFound)?;
    open(Files::of(&node.dir), attachment).await
}

/// The content of a file that is held here for a draft.
pub(crate) async fn content_of(node: &Arc<Node>, attachment: Attachment) -> Result<Content, Unreadable> {
    open(Files::of(&node.dir), attachment).await
}

/// The attachment that a record describes, with the agency that has its chunks: the author, or whoever passed it on to us; nothing if it is not held or is no attachment.
pub(super) async fn attachment_of(node: &Arc<Node>, record: RecordId) -> Result<Option<(AgencyId, Attachment)>, Fault> {
    let bytes = node.read(move |reader| reader.record_bytes(&record)).await?;
    let record = bytes.and_then(|bytes| Verified::from_own_store(bytes).ok());
    Ok(record.and_then(|record| {
        let attachment = onward::attachment_of(&record)?;
        Some((record.header().author.clone(), attachment))
    }))
}

async fn open(files: Files, attachment: Attachment) -> Result<Content, Unreadable> {
    let names: Vec<Digest> = attachment.chunk_names().collect();
    let looking = files.clone();
    let (names, have) = blocking(move || {
        let have = names.iter().filter(|name| looking.has(name)).count();
        (names, have)
    })
    .await?;
    if have < names.len() {
        return Err(Unreadable::Incomplete { have, of: names.len() });
    }
    let opening = Opening {
        files,
        names,
        key: ChunkKey::new(&attachment.key),
        number: 0,
        content: digest::Context::new(&digest::SHA256),
        size: attachment.size,
        digest: attachment.digest,
    };
    let step = |opening: Opening| async move {
        if opening.number == opening.names.len() { Ok(None) } else { blocking(move || opening.next()).await? }
    };
    Ok(Content { attachment, stream: stream::try_unfold(opening, step).boxed() })
}

/// What it takes to open one chunk after the other.
struct Opening {
    files: Files,
    names: Vec<Digest>,
    key: ChunkKey,
    number: usize,
    content: digest::Context,
    size: u64,
    digest: [u8; 32],
}

impl Opening {
    fn next(mut self) -> Result<Option<(Bytes, Self)>, Unreadable> {
        let number = self.number;
        let last = number + 1 == self.names.len();
        let damaged = |what: &str| Unreadable::Damaged(format!("chunk {number} {what}"));
        let mut sealed = match self.files.read(&self.names[number]) {
            Ok(Some(sealed)) => sealed,
            Ok(None) => return Err(Unreadable::Incomplete { have: number, of: self.names.len() }),
            Err(files::Error::Damaged(_)) => return Err(damaged("does not hold the bytes that its name stands for")),
            Err(files::Error::Disk(e)) => return Err(fault(e).into()),
        };
        // There are at most 2048 chunks.
        let place = u32::try_from(number).map_err(|_| damaged("is one too many"))?;
        let opened = self.key.open(place, last, &mut sealed);
        let length = opened.map_err(|_| damaged("cannot be opened with the attachment's key in this place"))?.len();
        let left = self.size - (number * CHUNK_BYTES) as u64;
        if length as u64 != left.min(CHUNK_BYTES as u64) {
            return Err(damaged("does not have the length that belongs here"));
        }
        sealed.truncate(length);
        self.content.update(&sealed);
        if last && self.content.clone().finish().as_ref() != self.digest {
            return Err(Unreadable::Damaged("the content does not have the digest that the record gives".to_owned()));
        }
        self.number += 1;
        // An empty file has one empty chunk, and nothing to give.
        Ok((length > 0).then(|| (Bytes::from(sealed), self)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    /// The whole content, as somebody gets it who reads to the end.
    pub(in super::super) async fn read_all(files: &Files, attachment: &Attachment) -> Result<Vec<u8>, Unreadable> {
        let content = open(files.clone(), attachment.clone()).await?;
        let pieces: Vec<Bytes> = content.stream.try_collect().await?;
        Ok(pieces.concat())
    }
}
