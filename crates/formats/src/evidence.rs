//! The evidence bundle: one file that holds a record, the receipts for it, the proofs that a ledger has them, the cosigned
//! checkpoint, and the register and keys that all of it rests on.
//!
//! Nothing that is read here is believed: [`crate::verify`] does that.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use mufakat_exchange::{Leaf, What};
use mufakat_ledger::Hash;
use mufakat_ledger::proof::PROOF_HASHES_MAX;
use mufakat_record::{AgencyId, Digest, Reason, cbor};

/// The largest bundle, in bytes (32 MiB).
pub const EVIDENCE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The longest detail of a leaf, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1024;

/// What the first entry of a bundle says.
const FORMAT: &str = "mufakat evidence 1";

/// The parts of a bundle, as they stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Register versions from the first on, each with its approvals.
    pub register: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    /// Key sets, ascending by their authors.
    pub key_sets: Vec<Vec<u8>>,
    /// The record that the bundle is about.
    pub record: Vec<u8>,
    /// The agency whose ledger proves the time.
    pub holder: AgencyId,
    /// A checkpoint of that ledger, as a signed note with cosignatures.
    pub checkpoint: String,
    /// The leaf of the record, then those of the receipts and of the related records, in their order.
    pub leaves: Vec<ProvenLeaf>,
    /// Receipts for the record.
    pub receipts: Vec<Vec<u8>>,
    /// Retractions, corrections, and the answers to them.
    pub related: Vec<Vec<u8>>,
}

/// A leaf in the clear, with its place in the ledger and the proof of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenLeaf {
    /// Its index.
    pub index: u64,
    /// What it commits to.
    pub leaf: Leaf,
    /// The inclusion proof to the checkpoint, from the leaf's sibling up.
    pub proof: Vec<Hash>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Wire {
    #[n(1)]
    format: String,
    #[n(2)]
    register: Vec<(ByteVec, Vec<ByteVec>)>,
    #[n(3)]
    key_sets: Vec<ByteVec>,
    #[n(4)]
    record: ByteVec,
    #[n(5)]
    holder: AgencyId,
    #[n(6)]
    checkpoint: String,
    #[n(7)]
    leaves: Vec<WireLeaf>,
    #[n(8)]
    receipts: Vec<ByteVec>,
    #[n(9)]
    related: Vec<ByteVec>,
}

#[derive(Encode, Decode)]
struct WireLeaf {
    #[n(0)]
    index: u64,
    #[n(1)]
    salt: ByteArray<16>,
    #[n(2)]
    what: u8,
    #[n(3)]
    at_ms: u64,
    #[n(4)]
    subject: Digest,
    #[n(5)]
    detail: ByteVec,
    #[n(6)]
    proof: Vec<ByteArray<32>>,
}

impl Bundle {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(&Wire {
            format: FORMAT.to_owned(),
            register: self.register.iter().map(|(body, approvals)| (body.clone().into(), wrap(approvals))).collect(),
            key_sets: wrap(&self.key_sets),
            record: self.record.clone().into(),
            holder: self.holder.clone(),
            checkpoint: self.checkpoint.clone(),
            leaves: self.leaves.iter().map(WireLeaf::of).collect(),
            receipts: wrap(&self.receipts),
            related: wrap(&self.related),
        })
    }

    /// Reads a bundle, strictly: form, limits, and one leaf for each thing that has to have one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Reason> {
        if bytes.len() > EVIDENCE_BYTES_MAX {
            return Err(Reason::Oversize);
        }
        let wire: Wire = cbor::decode(bytes)?;
        let leaves: Option<Vec<_>> = wire.leaves.into_iter().map(WireLeaf::read).collect();
        let bundle = Self {
            register: wire.register.into_iter().map(|(body, approvals)| (body.into(), unwrap(approvals))).collect(),
            key_sets: unwrap(wire.key_sets),
            record: wire.record.into(),
            holder: wire.holder,
            checkpoint: wire.checkpoint,
            leaves: leaves.ok_or(Reason::Malformed)?,
            receipts: unwrap(wire.receipts),
            related: unwrap(wire.related),
        };
        let complete = wire.format == FORMAT
            && !bundle.register.is_empty()
            && !bundle.key_sets.is_empty()
            && bundle.leaves.len() == 1 + bundle.receipts.len() + bundle.related.len();
        if complete { Ok(bundle) } else { Err(Reason::Malformed) }
    }
}

impl WireLeaf {
    fn of(proven: &ProvenLeaf) -> Self {
        let leaf = &proven.leaf;
        Self {
            index: proven.index,
            salt: leaf.salt.into(),
            what: leaf.what.number(),
            at_ms: leaf.at_ms,
            subject: leaf.subject,
            detail: leaf.detail.clone().into(),
            proof: proven.proof.iter().map(|hash| (*hash.as_bytes()).into()).collect(),
        }
    }

    fn read(self) -> Option<ProvenLeaf> {
        if self.detail.len() > DETAIL_BYTES_MAX || self.proof.len() > PROOF_HASHES_MAX {
            return None;
        }
        let leaf = Leaf {
            what: What::from_number(self.what)?,
            at_ms: self.at_ms,
            subject: self.subject,
            detail: self.detail.into(),
            salt: self.salt.into(),
        };
        let proof = self.proof.into_iter().map(|hash| Hash::from(<[u8; 32]>::from(hash))).collect();
        Some(ProvenLeaf { index: self.index, leaf, proof })
    }
}

fn wrap(list: &[Vec<u8>]) -> Vec<ByteVec> {
    list.iter().cloned().map(ByteVec::from).collect()
}

fn unwrap(list: Vec<ByteVec>) -> Vec<Vec<u8>> {
    list.into_iter().map(Vec::from).collect()
}
