//! `key-set`: an agency's keys, signed by its identity key. Each set holds all signing keys there have been, so the latest one
//! is enough to check any record of the agency; sealing keys are only those that are still open.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use super::{Body, is_own_origin};
use crate::{Header, SealingPublic, VerifyingKey};

/// The most signing keys in a set.
pub const SIGNING_KEYS_MAX: usize = 1024;
/// The most sealing keys in a set.
pub const SEALING_KEYS_MAX: usize = 16;

/// The keys of an agency.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeySet {
    /// Grows by one with every set. A lower one than known is stale.
    #[n(1)]
    pub serial: u64,
    /// Signing keys, oldest first.
    #[n(2)]
    pub signing: Vec<Signing>,
    /// Sealing keys, oldest first. Partners seal to the last one.
    #[n(3)]
    pub sealing: Vec<Sealing>,
    /// The origin line of the agency's ledger; it changes when the node was restored from a backup.
    #[n(4)]
    pub ledger_origin: String,
    /// The Ed25519 key that signs the ledger's checkpoints.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub ledger_key: [u8; 32],
    /// The Ed25519 key with which the agency witnesses others' checkpoints.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub witness_key: [u8; 32],
}

/// A key that signs records and parcels.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Signing {
    /// The Ed25519 public key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// From when it may sign, in seconds since 1970.
    #[n(2)]
    pub from: u64,
    /// Until when it may sign.
    #[n(3)]
    pub until: u64,
    /// Since when it is revoked.
    #[n(4)]
    pub revoked: Option<u64>,
}

/// A key to which parcels are sealed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Sealing {
    /// The suite of the key.
    #[n(1)]
    pub suite: u8,
    /// The public key in the suite's encoding.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub key: Vec<u8>,
    /// From when it is used, in seconds since 1970.
    #[n(3)]
    pub from: u64,
    /// When its secret half is erased; nothing is sealed to it later.
    #[n(4)]
    pub until: u64,
}

impl Body for KeySet {
    const KIND: &'static str = "key-set";

    fn is_sound(&self, header: &Header) -> bool {
        // A key that stood there twice would have two times in which it may sign, and one of them revoked perhaps.
        let distinct: BTreeSet<_> = self.signing.iter().map(|k| k.key).collect();
        (1..=SIGNING_KEYS_MAX).contains(&self.signing.len())
            && distinct.len() == self.signing.len()
            && self.signing.iter().all(|k| VerifyingKey::from_bytes(&k.key).is_ok() && k.from <= k.until)
            && (1..=SEALING_KEYS_MAX).contains(&self.sealing.len())
            // A suite that we do not know yet is skipped when we seal; it does not spoil the set.
            && self.sealing.iter().all(|k| k.from <= k.until && (k.suite != 1 || SealingPublic::from_bytes(&k.key).is_ok()))
            && is_own_origin(header, &self.ledger_origin)
            && VerifyingKey::from_bytes(&self.ledger_key).is_ok()
            && VerifyingKey::from_bytes(&self.witness_key).is_ok()
    }
}
