//! An invented community of three agencies, all of whose secrets are hashes of their names.

use mufakat_ledger::{Algorithm, Signer};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::key_set::{KeySet, Sealing, Signing};
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{Agency as Listed, Party, RegisterVersion, Rules};
use mufakat_record::{
    AgencyId, Digest, Draft, Handling, Header, KeyId, RecordId, Reference, Relation, SealingKey, SigningKey, ThreadId,
    sha256,
};

/// When the story takes place, in seconds since 1970.
pub(crate) const NOW: u64 = 1_795_000_000;
/// How long a relay holds a parcel there.
pub(crate) const RELAY_MAX_S: u64 = 604_800;

/// The secret that a label stands for.
pub(crate) fn seed(label: &str) -> [u8; 32] {
    sha256(format!("mufakat test vector {label}").as_bytes())
}

pub(crate) fn salt(label: &str) -> [u8; 16] {
    let mut salt = [0; 16];
    salt.copy_from_slice(&seed(&format!("salt {label}"))[..16]);
    salt
}

pub(crate) fn name(text: &str) -> AgencyId {
    text.parse().expect("a name")
}

/// An agency with all its secrets.
pub(crate) struct Agency {
    pub(crate) id: AgencyId,
    pub(crate) party: AgencyId,
    pub(crate) identity: SigningKey,
    pub(crate) signing: SigningKey,
    pub(crate) sealing: SealingKey,
    pub(crate) ledger: [u8; 32],
    pub(crate) witness: [u8; 32],
}

impl Agency {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: name(id),
            party: name(&id[..2]),
            identity: SigningKey::from_seed(&seed(&format!("{id} identity"))),
            signing: SigningKey::from_seed(&seed(&format!("{id} signing"))),
            sealing: SealingKey::from_seed(&seed(&format!("{id} sealing"))),
            ledger: seed(&format!("{id} ledger")),
            witness: seed(&format!("{id} witness")),
        }
    }

    pub(crate) fn origin(&self) -> String {
        format!("mufakat/{}/1", self.id)
    }

    pub(crate) fn log(&self) -> Signer {
        Signer::from_seed(&self.origin(), Algorithm::Ed25519, &self.ledger).expect("a seed")
    }

    pub(crate) fn cosigner(&self) -> Signer {
        Signer::from_seed(&format!("mufakat/{}/witness", self.id), Algorithm::Cosignature, &self.witness)
            .expect("a seed")
    }

    pub(crate) fn listed(&self) -> Listed {
        Listed {
            id: self.id.clone(),
            party: self.party.clone(),
            name: format!("EXERCISE {}", self.id),
            identity: Digest(*self.identity.public().as_bytes()),
            endpoint: format!("{}.example:8443", self.id),
            relay: false,
            removed: None,
        }
    }

    pub(crate) fn voice(&self) -> Party {
        Party { id: self.party.clone(), name: format!("EXERCISE party {}", self.party), speaker: self.id.clone() }
    }

    /// A signing key with the times in which it may sign.
    pub(crate) fn signing_entry(key: &SigningKey, from: u64, until: u64, revoked: Option<u64>) -> Signing {
        Signing { key: *key.public().as_bytes(), from, until, revoked }
    }

    pub(crate) fn keys(&self) -> KeySet {
        KeySet {
            serial: 1,
            signing: vec![Self::signing_entry(&self.signing, NOW - 1_000_000, NOW + 1_000_000, None)],
            sealing: vec![Sealing {
                suite: 1,
                key: self.sealing.public().to_bytes(),
                from: NOW - 100_000,
                until: NOW + 100_000,
            }],
            ledger_origin: self.origin(),
            ledger_key: *self.log().verifier().public(),
            witness_key: *self.cosigner().verifier().public(),
        }
    }

    /// A header of this agency's, for everyone.
    pub(crate) fn header(&self, kind: &str) -> Header {
        let audience = ["ru-police", "sg-fusion", "vn-police"].map(name);
        Header {
            key: KeyId([0; 16]),
            author: self.id.clone(),
            issued_at: NOW,
            thread: ThreadId(salt("thread")),
            kind: kind.to_owned(),
            audience: audience.into_iter().filter(|id| *id != self.id).collect(),
            register: Register::current().hash,
            handling: Handling::community(),
            references: Vec::new(),
            expires: None,
        }
    }

    /// Signs with the key for records.
    pub(crate) fn sign<B: Body>(&self, header: Header, body: &B) -> Vec<u8> {
        sign(header, body, &self.signing)
    }

    /// Signs with the identity key.
    pub(crate) fn sign_as_identity<B: Body>(&self, header: Header, body: &B) -> Vec<u8> {
        sign(header, body, &self.identity)
    }

    pub(crate) fn key_set(&self, set: &KeySet) -> Vec<u8> {
        self.sign_as_identity(self.header(KeySet::KIND), set)
    }

    pub(crate) fn approve(&self, version: &RegisterVersion) -> Vec<u8> {
        let hash = version.hash();
        let mut header = self.header(RegisterApproval::KIND);
        header.register = version.previous.unwrap_or(hash);
        self.sign_as_identity(header, &RegisterApproval { version: version.version, hash })
    }
}

fn sign<B: Body>(mut header: Header, body: &B, key: &SigningKey) -> Vec<u8> {
    header.kind = B::KIND.to_owned();
    Draft { header, body: body.to_body() }.sign(key).expect("a sound record").into_bytes()
}

pub(crate) fn refers(relation: Relation, record: &[u8]) -> Vec<Reference> {
    vec![Reference { relation, record: RecordId::of(record) }]
}

/// The register of the story: two founders, and a third that joins with version 2.
pub(crate) struct Register {
    pub(crate) hash: Digest,
    pub(crate) parts: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

impl Register {
    pub(crate) fn current() -> Self {
        // Headers name the current version, and approvals have headers: the hashes come from the bodies alone.
        Self { hash: version_2().hash(), parts: Vec::new() }
    }

    pub(crate) fn whole() -> Self {
        let (ru, vn) = (Agency::new("ru-police"), Agency::new("vn-police"));
        let parts = [version_1(), version_2()].map(|version| {
            let approvals = vec![ru.approve(&version), vn.approve(&version)];
            (version.to_body(), approvals)
        });
        Self { parts: parts.into(), ..Self::current() }
    }
}

pub(crate) fn version_1() -> RegisterVersion {
    let founders = [Agency::new("ru-police"), Agency::new("vn-police")];
    RegisterVersion {
        community: "EXERCISE community".into(),
        version: 1,
        previous: None,
        issued_at: NOW - 2_000_000,
        expires: NOW + 30_000_000,
        threshold: 2,
        parties: founders.iter().map(Agency::voice).collect(),
        agencies: founders.iter().map(Agency::listed).collect(),
        forums: Vec::new(),
        rules: Rules { witness_quorum: 2, witness_interval_s: 60, relay_max_s: RELAY_MAX_S },
    }
}

pub(crate) fn version_2() -> RegisterVersion {
    let first = version_1();
    let mut next = follow(&first);
    let sg = Agency::new("sg-fusion");
    next.parties.insert(1, sg.voice());
    next.agencies.insert(1, sg.listed());
    next
}

/// The third agency is removed.
pub(crate) fn version_3() -> RegisterVersion {
    let mut next = follow(&version_2());
    next.agencies[1].removed = Some(NOW);
    // With the agency gone its party speaks through nobody, so the party goes, too.
    next.parties.remove(1);
    next
}

/// The same register as the next version.
pub(crate) fn follow(version: &RegisterVersion) -> RegisterVersion {
    RegisterVersion {
        version: version.version + 1,
        previous: Some(version.hash()),
        issued_at: version.issued_at + 1000,
        ..version.clone()
    }
}
