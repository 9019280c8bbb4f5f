//! The hashes of RFC 6962, section 2.1: SHA-256 with one leading byte that keeps leaves and inner nodes apart.

use std::fmt;

use aws_lc_rs::digest;

use crate::text;

/// Bytes of one hash.
pub const HASH_BYTES: usize = 32;

/// Prefix of what is hashed for a leaf (RFC 6962, section 2.1).
const LEAF_PREFIX: u8 = 0x00;
/// Prefix of what is hashed for an inner node (RFC 6962, section 2.1).
const NODE_PREFIX: u8 = 0x01;

/// The hash of a leaf, of an inner node or of a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_BYTES]);

impl Hash {
    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Reads the form that checkpoints and proofs carry: standard base64 with padding, 44 characters. Anything else is `None`.
    pub fn from_base64(encoded: &str) -> Option<Self> {
        text::decode_base64(encoded, HASH_BYTES)?.try_into().ok().map(Self)
    }
}

impl From<[u8; HASH_BYTES]> for Hash {
    fn from(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::encode_base64(&self.0))
    }
}

/// The hash of one entry as a leaf of the tree.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[LEAF_PREFIX]);
    context.update(entry);
    from_digest(&context.finish())
}

/// The hash of an inner node over its two children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // One call over one buffer is faster than three updates of a context, and this is the innermost loop of the ledger.
    let mut input = [NODE_PREFIX; 1 + 2 * HASH_BYTES];
    input[1..=HASH_BYTES].copy_from_slice(&left.0);
    input[1 + HASH_BYTES..].copy_from_slice(&right.0);
    sha256(&input)
}

/// The root of the tree without leaves: the SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256(&[])
}

pub(crate) fn sha256(input: &[u8]) -> Hash {
    from_digest(&digest::digest(&digest::SHA256, input))
}

fn from_digest(digest: &digest::Digest) -> Hash {
    let mut bytes = [0; HASH_BYTES];
    // SHA-256 always gives 32 bytes, so the lengths agree and the copy cannot panic.
    bytes.copy_from_slice(digest.as_ref());
    Hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_hex(hash: Hash, expect: &str) {
        assert_eq!(format!("{hash:?}"), expect);
    }

    #[test]
    fn known_answers() {
        check_hex(empty_root(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        check_hex(leaf_hash(b""), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        check_hex(leaf_hash(&[0x00]), "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7");
        check_hex(
            node_hash(&leaf_hash(b""), &leaf_hash(&[0x00])),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        );
    }

    #[test]
    fn base64_is_strict() {
        let hash = empty_root();
        assert_eq!(hash.to_string(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(Hash::from_base64(&hash.to_string()), Some(hash));
        for bad in [
            "",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= ",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuA==",
        ] {
            assert_eq!(Hash::from_base64(bad), None, "{bad:?}");
        }
    }
}
