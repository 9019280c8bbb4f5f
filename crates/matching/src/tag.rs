//! Tags: what an identifier is known by under one key. Whoever has the tag can look it up in the filters of that key, and nobody
//! can work it out without either the key or an answer of the key's owner.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The length of a tag in bytes.
pub const TAG_BYTES: usize = 24;

/// The tag of an identifier: the beginning of the output of the VOPRF (RFC 9497), which is 64 bytes.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Tag {
    /// Where it is looked up.
    pub(crate) place: u128,
    /// What is found there when it is listed.
    pub(crate) check: u32,
    /// What hides its label.
    pub(crate) mask: u32,
}

impl Tag {
    /// The tag in an output of the VOPRF.
    pub fn of(output: &[u8; 64]) -> Self {
        let [head, ..] = output.as_chunks::<TAG_BYTES>().0 else { unreachable!("64 bytes hold a tag") };
        Self::from_bytes(head)
    }

    /// The tag that was kept as bytes.
    pub fn from_bytes(bytes: &[u8; TAG_BYTES]) -> Self {
        let number = |from: usize| u32::from_le_bytes([bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]]);
        let mut place = [0; 16];
        place.copy_from_slice(&bytes[..16]);
        Self { place: u128::from_le_bytes(place), check: number(16), mask: number(20) }
    }

    /// The tag as bytes, to be kept.
    pub fn to_bytes(&self) -> [u8; TAG_BYTES] {
        let mut bytes = [0; TAG_BYTES];
        bytes[..16].copy_from_slice(&self.place.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.check.to_le_bytes());
        bytes[20..].copy_from_slice(&self.mask.to_le_bytes());
        bytes
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A tag is a secret: it says whether the identifier is listed.
        f.write_str("Tag")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back() {
        let output: [u8; 64] = std::array::from_fn(|n| n as u8);
        let tag = Tag::of(&output);
        assert_eq!(tag.to_bytes(), output[..TAG_BYTES]);
        assert!(Tag::from_bytes(&tag.to_bytes()) == tag);
        assert_eq!(format!("{tag:?}"), "Tag");
    }
}
