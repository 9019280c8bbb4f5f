//! `attachment`: a file that a report carries; its chunks travel apart, sealed under the key that stands here.

use minicbor::{Decode, Encode};

use super::Body;
use crate::attachment::{ATTACHMENT_BYTES_MAX, CHUNK_BYTES};
use crate::{Digest, Header};

/// The description of an attached file.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Attachment {
    /// The file's name, without folders.
    #[n(1)]
    pub name: String,
    /// The media type (RFC 6838) that the author gives; not to be trusted when showing it.
    #[n(2)]
    pub media_type: String,
    /// The size of the content, in bytes.
    #[n(3)]
    pub size: u64,
    /// SHA-256 of the content.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// The key of its chunks.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// The names of the sealed chunks, 32 bytes each, in order. Every chunk but the last holds 1 MiB of content.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub chunks: Vec<u8>,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of anything that may be printed.
        write!(f, "Attachment({} bytes in {} chunks)", self.size, self.chunks.len() / 32)
    }
}

impl Attachment {
    /// The names of the chunks.
    pub fn chunk_names(&self) -> impl ExactSizeIterator<Item = Digest> + '_ {
        // chunks_exact gives slices of just this length.
        self.chunks.chunks_exact(32).map(|name| Digest::from_slice(name).expect("32 bytes"))
    }
}

impl Body for Attachment {
    const KIND: &'static str = "attachment";

    fn is_sound(&self, _: &Header) -> bool {
        let plain_name = !self.name.is_empty()
            && self.name.len() <= 255
            && !self.name.contains(['/', '\\'])
            && !self.name.contains(char::is_control)
            && !matches!(self.name.as_str(), "." | "..");
        // An empty file has one empty chunk.
        let chunks = self.size.div_ceil(CHUNK_BYTES as u64).max(1);
        plain_name
            && (3..=127).contains(&self.media_type.len())
            && !self.media_type.contains(char::is_control)
            && self.size <= ATTACHMENT_BYTES_MAX
            && self.chunks.len() as u64 == chunks * 32
    }
}
