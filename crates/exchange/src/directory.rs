//! The directory: the register with the key sets of its agencies. It answers whose key a key is, and to which key to seal.

use std::collections::BTreeMap;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::{
    AgencyId, KeyBook, KeyId, KeyState, Reason, SealingPublic, Suite, Unverified, Verified, VerifyingKey,
};

use crate::Chain;

/// The register and the key sets, all verified.
#[derive(Debug, Clone)]
pub struct Directory {
    chain: Chain,
    keys: BTreeMap<AgencyId, Held>,
}

#[derive(Debug, Clone)]
struct Held {
    set: KeySet,
    record: Vec<u8>,
    signing: BTreeMap<KeyId, KeyState>,
    /// The identity key that signed the set.
    signed_by: KeyId,
}

impl Directory {
    /// A directory without key sets.
    pub fn new(chain: Chain) -> Self {
        Self { chain, keys: BTreeMap::new() }
    }

    /// The register.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Puts a longer chain in the place of this one.
    pub fn set_chain(&mut self, chain: Chain) {
        self.chain = chain;
        // A key set stands and falls with the identity key that signed it.
        let chain = &self.chain;
        self.keys.retain(|agency, held| chain.identity(agency).is_some_and(|key| key.id() == held.signed_by));
    }

    /// Takes a key set, if the identity key signed it and it is newer than the one at hand. False when it is the same one.
    pub fn take_key_set(&mut self, record: &[u8]) -> Result<bool, Reason> {
        let record = Unverified::parse(record.to_vec())?;
        let agency = record.header().author.clone();
        if self.keys.get(&agency).is_some_and(|held| held.record == record.bytes()) {
            // It was verified when it was taken; partners show theirs with each greeting.
            return Ok(false);
        }
        let identity = self.chain.identity(&agency).ok_or(Reason::AuthorNotInRegister)?;
        let record = record.verify_with(&identity)?;
        let set = KeySet::from_body(record.header(), record.body())?;
        if self.keys.get(&agency).is_some_and(|held| held.set.serial >= set.serial) {
            return Err(Reason::Stale);
        }
        // One ledger has one key: another one under the same name could show other people another history.
        let other_key =
            |held: &Held| held.set.ledger_origin == set.ledger_origin && held.set.ledger_key != set.ledger_key;
        if self.keys.get(&agency).is_some_and(other_key) {
            return Err(Reason::ForkedCheckpoint);
        }
        let held = Held::new(set, record, self.chain.current().rules.relay_max_s);
        self.keys.insert(agency, held);
        Ok(true)
    }

    /// The latest key set of an agency.
    pub fn key_set(&self, agency: &AgencyId) -> Option<&KeySet> {
        self.keys.get(agency).map(|held| &held.set)
    }

    /// The latest key set of an agency, as the signed record.
    pub fn key_set_record(&self, agency: &AgencyId) -> Option<&[u8]> {
        self.keys.get(agency).map(|held| held.record.as_slice())
    }

    /// The key to which parcels for an agency are sealed now: the newest of a suite that we know, unless it is past its end.
    pub fn sealing_key(&self, agency: &AgencyId, now_s: u64) -> Option<SealingPublic> {
        let usable =
            |k: &&mufakat_record::kinds::key_set::Sealing| Suite::from_number(k.suite).is_ok() && now_s <= k.until;
        let newest = self.key_set(agency)?.sealing.iter().rev().find(usable)?;
        SealingPublic::from_bytes(&newest.key).ok()
    }

    /// The agencies with whom this one exchanges parcels: members other than itself.
    pub fn partners<'a>(&'a self, me: &'a AgencyId) -> impl Iterator<Item = &'a AgencyId> {
        self.chain.current().members().map(|a| &a.id).filter(move |id| *id != me)
    }
}

impl Held {
    fn new(set: KeySet, record: Verified, grace_s: u64) -> Self {
        let state = |k: &mufakat_record::kinds::key_set::Signing| {
            let key = VerifyingKey::from_bytes(&k.key).ok()?;
            Some((key.id(), KeyState { key, from: k.from, until: k.until, revoked: k.revoked, grace_s }))
        };
        let signing = set.signing.iter().filter_map(state).collect();
        let signed_by = record.header().key;
        Self { set, record: record.into_bytes(), signing, signed_by }
    }
}

impl KeyBook for Directory {
    fn key(&self, agency: &AgencyId, id: &KeyId) -> Option<KeyState> {
        if let Some(state) = self.keys.get(agency).and_then(|held| held.signing.get(id)) {
            return Some(*state);
        }
        let key = self.chain.identity(agency).filter(|key| key.id() == *id)?;
        Some(KeyState { key, from: 0, until: u64::MAX, revoked: None, grace_s: 0 })
    }
}
