//! Attachments: large content in chunks, each sealed once under the attachment's own key and named by the hash of its sealed
//! bytes. The key stands in the attachment's record, which only its audience can open; chunks can therefore wait anywhere.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::{Digest, Reason};

/// How much content one chunk holds, in bytes.
pub const CHUNK_BYTES: usize = 1024 * 1024;
/// The largest attachment, in bytes (2 GiB).
pub const ATTACHMENT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// What sealing adds to a chunk, in bytes.
pub const CHUNK_OVERHEAD: usize = 16;

/// Seals and opens the chunks of one attachment.
pub struct ChunkKey(LessSafeKey);

impl ChunkKey {
    /// The key must be fresh random bytes for each attachment, because the chunk's number is the nonce.
    pub fn new(key: &[u8; 32]) -> Self {
        // 32 bytes are a key of ChaCha20-Poly1305.
        Self(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("a key of 32 bytes")))
    }

    /// Seals a chunk in place and gives its name. `last` is authenticated, so that a chunk list cannot be cut short.
    pub fn seal(&self, number: u32, last: bool, chunk: &mut Vec<u8>) -> Digest {
        self.0
            .seal_in_place_append_tag(nonce(number), Aad::from([u8::from(last)]), chunk)
            .expect("a chunk is far below the cipher's limit");
        Digest::of(chunk)
    }

    /// Opens a chunk in place, after its name has been compared.
    pub fn open<'a>(&self, number: u32, last: bool, sealed: &'a mut [u8]) -> Result<&'a [u8], Reason> {
        let opened = self.0.open_in_place(nonce(number), Aad::from([u8::from(last)]), sealed);
        opened.map(|bytes| &*bytes).map_err(|_| Reason::CannotOpen)
    }
}

fn nonce(number: u32) -> Nonce {
    let mut bytes = [0; 12];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_opens_only_in_its_place() {
        let key = ChunkKey::new(&[7; 32]);
        let mut sealed = b"EXERCISE".to_vec();
        let name = key.seal(3, true, &mut sealed);
        assert_eq!(name, Digest::of(&sealed));
        assert_eq!(key.open(3, true, &mut sealed.clone()), Ok(&b"EXERCISE"[..]));
        assert_eq!(key.open(2, true, &mut sealed.clone()), Err(Reason::CannotOpen));
        assert_eq!(key.open(3, false, &mut sealed.clone()), Err(Reason::CannotOpen));
        assert_eq!(ChunkKey::new(&[8; 32]).open(3, true, &mut sealed.clone()), Err(Reason::CannotOpen));
        sealed[0] ^= 1;
        assert_eq!(key.open(3, true, &mut sealed), Err(Reason::CannotOpen));
    }
}
