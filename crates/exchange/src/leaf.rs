//! Leaves of the ledger: salted commitments to what happened, never the content.

use minicbor::Encoder;
use mufakat_ledger::{Hash, leaf_hash};
use mufakat_record::{Digest, RecordId, sha256};

const DOMAIN: &[u8] = b"mufakat leaf 1\0";

/// What a leaf says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum What {
    /// This agency authored the record. The detail is the hash of the policy set under which it was released.
    Authored = 1,
    /// A record came. The detail is the name of the reason if it was rejected, and empty if it was accepted.
    Received = 2,
    /// A receipt was given or taken. The subject is the receipt's record.
    Receipt = 3,
    /// A record was read, found, exported or forwarded. The detail is the [act](mufakat_record::Act).
    Use = 4,
    /// The policy gate decided on a release, or refused something. The detail is the [act](mufakat_record::Act).
    Decision = 5,
    /// The content of a record was deleted.
    Deletion = 6,
    /// A register version came into force. The subject is its hash.
    Register = 7,
    /// An officer signed in or out, or failed to. The subject is the hash of the officer's pseudonym; the detail is the
    /// [act](mufakat_record::Act).
    Session = 8,
}

impl What {
    /// The number that is committed to.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The meaning of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        use What::*;
        [Authored, Received, Receipt, Use, Decision, Deletion, Register, Session]
            .into_iter()
            .find(|w| w.number() == number)
    }
}

/// A leaf in the clear. Without its salt nobody can tell what the ledger's commitment stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// What happened.
    pub what: What,
    /// When, in milliseconds since 1970 by the node's own clock.
    pub at_ms: u64,
    /// The record or register version that it happened to.
    pub subject: Digest,
    /// More, as the kind of leaf says.
    pub detail: Vec<u8>,
    /// Random bytes that hide the rest.
    pub salt: [u8; 16],
}

impl Leaf {
    /// A leaf about a record.
    pub fn about(what: What, record: &RecordId, at_ms: u64, detail: &[u8], salt: [u8; 16]) -> Self {
        Self { what, at_ms, subject: Digest(record.0), detail: detail.to_vec(), salt }
    }

    /// The entry of the log: SHA-256 over a domain, the salt and the CBOR of the rest.
    pub fn commitment(&self) -> [u8; 32] {
        let mut e = Encoder::new(Vec::with_capacity(64 + self.detail.len()));
        e.array(4)
            .and_then(|e| e.u8(self.what.number()))
            .and_then(|e| e.u64(self.at_ms))
            .and_then(|e| e.bytes(self.subject.as_bytes()))
            .and_then(|e| e.bytes(&self.detail))
            .expect("encoding into memory");
        sha256(&[DOMAIN, &self.salt, &e.into_writer()].concat())
    }

    /// The hash that goes into the tree (RFC 6962 §2.1 over the commitment).
    pub fn hash(&self) -> Hash {
        leaf_hash(&self.commitment())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_committed_to() {
        let leaf = Leaf { what: What::Use, at_ms: 1, subject: Digest([2; 32]), detail: vec![3], salt: [4; 16] };
        let others = [
            Leaf { what: What::Decision, ..leaf.clone() },
            Leaf { at_ms: 2, ..leaf.clone() },
            Leaf { subject: Digest([3; 32]), ..leaf.clone() },
            Leaf { detail: vec![], ..leaf.clone() },
            Leaf { salt: [5; 16], ..leaf.clone() },
        ];
        for other in others {
            assert_ne!(leaf.commitment(), other.commitment());
        }
        for number in 0..=255 {
            assert!(What::from_number(number).is_none_or(|what| what.number() == number));
        }
    }
}
