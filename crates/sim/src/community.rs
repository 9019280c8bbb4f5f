//! The community of a run: keys of agencies, the founding register, and how records are signed.

use std::sync::Arc;

use mufakat_exchange::{Chain, Enacted, ledger_origin};
use mufakat_ledger::{Algorithm, Signer};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::key_set::{KeySet, Sealing, Signing};
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{Agency, Party, RegisterVersion, Rules};
use mufakat_record::{
    AgencyId, Digest, Draft, Handling, Header, KeyId, Reference, SealingKey, SigningKey, ThreadId, Verified, sha256,
};

/// When every run begins, in seconds since 1970.
pub(crate) const BEGIN_S: u64 = 1_800_000_000;
/// Keys serve for so long before and after the beginning that no clock of a run is outside: what a run is about is that skewed
/// clocks block nothing, and not how an operator chooses the time of keys.
const KEY_LIFE_S: u64 = 200 * 86_400;
/// How many sealing keys are held; a parcel to an older one cannot be opened any more.
const SEALING_KEYS_HELD: usize = 2;

/// An agency's keys. They outlive crashes and restores, as if they were on a device of their own.
pub(crate) struct Keys {
    id: AgencyId,
    pub(crate) identity: SigningKey,
    /// Oldest first.
    pub(crate) signing: Vec<Arc<SigningKey>>,
    sealing: Vec<Arc<SealingKey>>,
    ledger_seed: [u8; 32],
    pub(crate) witness: Signer,
    /// The serial of the latest key set.
    serial: u64,
}

impl Keys {
    pub(crate) fn new(id: &AgencyId) -> Self {
        let mut keys = Self {
            id: id.clone(),
            identity: SigningKey::from_seed(&seed(id, "identity", 0)),
            signing: Vec::new(),
            sealing: Vec::new(),
            ledger_seed: seed(id, "ledger", 0),
            witness: Signer::from_seed(
                &format!("mufakat/{id}/witness"),
                Algorithm::Cosignature,
                &seed(id, "witness", 0),
            )
            .expect("a sound name"),
            serial: 0,
        };
        keys.rotate();
        keys
    }

    /// Adds a signing and a sealing key.
    pub(crate) fn rotate(&mut self) {
        let number = self.signing.len();
        self.signing.push(Arc::new(SigningKey::from_seed(&seed(&self.id, "signing", number))));
        self.sealing.push(Arc::new(SealingKey::from_seed(&seed(&self.id, "sealing", number))));
        if self.sealing.len() > SEALING_KEYS_HELD {
            self.sealing.remove(0);
        }
    }

    pub(crate) fn newest(&self) -> Arc<SigningKey> {
        // There is one from the start.
        Arc::clone(self.signing.last().expect("a signing key"))
    }

    pub(crate) fn sealing(&self, id: &KeyId) -> Option<Arc<SealingKey>> {
        self.sealing.iter().find(|key| key.public().id() == *id).cloned()
    }

    pub(crate) fn ledger(&self, epoch: u64) -> Signer {
        Signer::from_seed(&ledger_origin(&self.id, epoch), Algorithm::Ed25519, &self.ledger_seed).expect("a sound name")
    }

    /// The next key set, as a record to these agencies.
    pub(crate) fn key_set(&mut self, epoch: u64, register: Digest, audience: Vec<AgencyId>) -> Verified {
        self.serial += 1;
        let (from, until) = (BEGIN_S - KEY_LIFE_S, BEGIN_S + KEY_LIFE_S);
        let signing = |key: &Arc<SigningKey>| Signing { key: *key.public().as_bytes(), from, until, revoked: None };
        let sealing = |key: &Arc<SealingKey>| Sealing { suite: 1, key: key.public().to_bytes(), from, until };
        let body = KeySet {
            serial: self.serial,
            signing: self.signing.iter().map(signing).collect(),
            sealing: self.sealing.iter().map(sealing).collect(),
            ledger_origin: ledger_origin(&self.id, epoch),
            ledger_key: *self.ledger(epoch).verifier().public(),
            witness_key: *self.witness.verifier().public(),
        };
        let header = header(&self.id, audience, register, KeySet::KIND, BEGIN_S);
        sign(header, &body, &self.identity)
    }
}

fn seed(id: &AgencyId, purpose: &str, number: usize) -> [u8; 32] {
    sha256(format!("{id} {purpose} {number}").as_bytes())
}

/// A header that says little.
pub(crate) fn header(
    author: &AgencyId,
    mut audience: Vec<AgencyId>,
    register: Digest,
    kind: &str,
    issued_at: u64,
) -> Header {
    audience.sort();
    Header {
        key: KeyId([0; 16]),
        author: author.clone(),
        issued_at,
        thread: ThreadId([7; 16]),
        kind: kind.to_owned(),
        audience,
        register,
        handling: Handling::community(),
        references: Vec::<Reference>::new(),
        expires: None,
    }
}

/// Signs a record that is known to be of the right form.
pub(crate) fn sign<B: Body>(header: Header, body: &B, key: &SigningKey) -> Verified {
    Draft { header, body: body.to_body() }.sign(key).expect("a record of the right form")
}

/// An approval of a version.
pub(crate) fn approval(keys: &Keys, version: u64, hash: Digest, register: Digest, audience: Vec<AgencyId>) -> Verified {
    let header = header(&keys.id, audience, register, RegisterApproval::KIND, BEGIN_S);
    sign(header, &RegisterApproval { version, hash }, &keys.identity)
}

/// How an agency stands in the register.
pub(crate) fn entry(keys: &Keys, party: &AgencyId, relay: bool) -> Agency {
    Agency {
        id: keys.id.clone(),
        party: party.clone(),
        name: "EXERCISE".into(),
        identity: Digest(*keys.identity.public().as_bytes()),
        endpoint: format!("{}.example:1", keys.id),
        relay,
        removed: None,
    }
}

/// The name of the party for which an agency speaks.
pub(crate) fn party_of(speaker: &AgencyId) -> AgencyId {
    format!("party-of-{speaker}").parse().expect("a sound name")
}

/// Founds a register of these agencies. Each speaker is of its own party; the others are spread over the parties.
pub(crate) fn found(agencies: &[(&Keys, bool)], speakers: &[AgencyId], witness_quorum: u64) -> Chain {
    let parties = speakers.iter().map(|s| Party { id: party_of(s), name: "EXERCISE".into(), speaker: s.clone() });
    let bodies = agencies.iter().enumerate().map(|(index, (keys, relay))| {
        let own = speakers.iter().find(|speaker| **speaker == keys.id);
        entry(keys, &party_of(own.unwrap_or(&speakers[index % speakers.len()])), *relay)
    });
    let version = RegisterVersion {
        community: "EXERCISE".into(),
        version: 1,
        previous: None,
        issued_at: BEGIN_S,
        expires: BEGIN_S + 1_000_000_000,
        threshold: speakers.len() as u64 / 2 + 1,
        parties: parties.collect(),
        agencies: bodies.collect(),
        forums: Vec::new(),
        rules: Rules { witness_quorum, witness_interval_s: 60, relay_max_s: 40 * 86_400 },
    };
    let hash = version.hash();
    let approve = |speaker: &AgencyId| {
        // Every speaker is among the agencies.
        let (keys, _) = agencies.iter().find(|(keys, _)| keys.id == *speaker).expect("an agency");
        approval(keys, 1, hash, hash, speakers.to_vec()).into_bytes()
    };
    Chain::found(version, speakers.iter().map(approve).collect()).expect("a sound founding version")
}

/// The parts of a chain, as they travel.
pub(crate) fn parts(chain: &Chain) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    let part = |enacted: &Enacted| (mufakat_record::cbor::encode(&enacted.version), enacted.approvals.clone());
    chain.versions().iter().map(part).collect()
}
