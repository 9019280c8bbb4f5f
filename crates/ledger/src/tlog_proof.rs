//! The text form of a proof that something is in a ledger (C2SP tlog-proof), which a third party checks offline.

use crate::checkpoint::{self, SignedCheckpoint};
use crate::hash::Hash;
use crate::note::{NOTE_BYTES_MAX, VerifierKey};
use crate::proof::{self, PROOF_HASHES_MAX, verify_inclusion};
use crate::text;

/// First line of the format.
pub const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Bytes of the extra data.
pub const EXTRA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a whole proof.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + EXTRA_BYTES_MAX * 4 / 3 + 4 * 1024;

/// Why text is not a proof, or does not prove.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`PROOF_BYTES_MAX`].
    #[error("the proof has {bytes} bytes, more than {PROOF_BYTES_MAX}")]
    TooLong {
        /// Bytes that came.
        bytes: usize,
    },
    /// Not UTF-8, or another first line.
    #[error("this is not a proof of a known version")]
    Header,
    /// The extra data is not base64 or too long.
    #[error("the extra data of the proof is malformed")]
    Extra,
    /// The index is not a canonical decimal.
    #[error("the index in the proof is malformed")]
    Index,
    /// A line is not a hash, there are too many, or no empty line follows.
    #[error("the hashes of the proof are malformed")]
    Hashes,
    /// The checkpoint is not one that this log signed.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The leaf is not in the tree of the checkpoint.
    #[error(transparent)]
    Inclusion(#[from] proof::Invalid),
}

/// A proof of inclusion with the checkpoint it leads to. Nothing about it is verified before [`TlogProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Data for the application, which nothing authenticates.
    pub extra: Option<Vec<u8>>,
    /// Index of the leaf.
    pub index: u64,
    /// The inclusion proof, from the leaf's sibling up.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint as it was issued, with its cosignatures.
    pub checkpoint: String,
}

impl TlogProof {
    /// The text of the proof.
    pub fn encode(&self) -> String {
        let extra = match &self.extra {
            Some(extra) => format!("extra {}\n", text::encode_base64(extra)),
            None => String::new(),
        };
        format!("{HEADER}\n{extra}index {}\n{}\n{}", self.index, text::hash_lines(&self.hashes), self.checkpoint)
    }

    /// Reads a proof from a stranger's bytes. The checkpoint in it is read when it is verified.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(Error::TooLong { bytes: bytes.len() });
        }
        let proof = std::str::from_utf8(bytes).map_err(|_| Error::Header)?;
        let rest = match text::take_line(proof) {
            Some((HEADER, rest)) => rest,
            _ => return Err(Error::Header),
        };
        let (line, rest) = text::take_line(rest).ok_or(Error::Index)?;
        let (extra, line, rest) = match line.strip_prefix("extra ") {
            Some(encoded) => {
                let extra = text::decode_base64(encoded, EXTRA_BYTES_MAX).ok_or(Error::Extra)?;
                let (line, rest) = text::take_line(rest).ok_or(Error::Index)?;
                (Some(extra), line, rest)
            }
            None => (None, line, rest),
        };
        let index = line.strip_prefix("index ").and_then(text::decimal).ok_or(Error::Index)?;
        let (hashes, checkpoint) = text::take_hashes(rest, PROOF_HASHES_MAX).ok_or(Error::Hashes)?;
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Verifies that `leaf` is in the ledger whose key is given, and gives the checkpoint, whose cosigners the caller then counts.
    pub fn verify(&self, leaf: &Hash, log: &VerifierKey) -> Result<SignedCheckpoint, Error> {
        let signed = SignedCheckpoint::open(&self.checkpoint, log)?;
        let checkpoint = signed.checkpoint();
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok(signed)
    }
}
