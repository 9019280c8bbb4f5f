//! Agencies for tests: each with keys, a state file and an exchange, all in one community, and no network between them.

use std::sync::Arc;

use mufakat_exchange::{Batch, Chain, Delivery, Exchange, Item, OnRetraction, Submission};
use mufakat_ledger::witness::{Refusal, Request};
use mufakat_ledger::{Checkpoint, Hash, SignedCheckpoint, proof};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{self, Party, RegisterVersion, Rules};
use mufakat_record::kinds::witness_alarm::WitnessAlarm;
use mufakat_record::{
    AgencyId, Digest, Draft, Handling, Header, KeyId, RecordId, Reference, SigningKey, ThreadId, Verified,
};
use mufakat_store::{Options, Queries, Sqlite, Store};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::routes::judge;
use crate::config;
use crate::keyring::{Keyring, Schedule};
use crate::writer::entropy;

/// The time in all tests, in seconds since 1970.
pub(crate) const NOW_S: u64 = 1_800_000_000;

/// One agency.
pub(crate) struct Agency {
    pub(crate) id: AgencyId,
    pub(crate) keyring: Keyring,
    pub(crate) store: Sqlite,
    pub(crate) exchange: Exchange,
    pub(crate) random: ChaCha20Rng,
    pub(crate) dir: tempfile::TempDir,
}

/// Agencies of as many parties, which know each other's keys and cannot reach each other.
pub(crate) fn community<const N: usize>(names: [&str; N]) -> [Agency; N] {
    community_at(NOW_S, names.map(|name| (name, "localhost:1".to_owned())))
}

/// The same at a given time, in seconds since 1970, and with endpoints.
pub(crate) fn community_at<const N: usize>(now_s: u64, members: [(&str, String); N]) -> [Agency; N] {
    assert!(members.is_sorted_by_key(|(name, _)| *name), "a register has its agencies in order");
    let schedule = Schedule::new(&config::Keys::default(), 86_400);
    let endpoints = members.clone().map(|(_, endpoint)| endpoint);
    let keyrings = members.map(|(name, _)| {
        let id: AgencyId = name.parse().unwrap();
        let keyring = Keyring::generate(now_s - 60, &schedule, &mut entropy);
        (id, keyring)
    });
    let chain = found(now_s, &keyrings, &endpoints);
    let mut agencies = keyrings.map(|(id, keyring)| Agency::new(id, keyring, &chain));
    let sets: Vec<_> = agencies.iter().map(|agency| agency.key_set(1).into_bytes()).collect();
    for agency in &mut agencies {
        for set in &sets {
            agency.adopt_key_set(set);
        }
    }
    agencies
}

fn found(now_s: u64, agencies: &[(AgencyId, Keyring)], endpoints: &[String]) -> Chain {
    let party = |id: &AgencyId| format!("p-{id}").parse::<AgencyId>().unwrap();
    let member = |((id, keyring), endpoint): (&(AgencyId, Keyring), &String)| register_version::Agency {
        id: id.clone(),
        party: party(id),
        name: "EXERCISE".into(),
        identity: Digest(*keyring.identity().public().as_bytes()),
        endpoint: endpoint.clone(),
        relay: false,
        removed: None,
    };
    let speaker = |(id, _): &(AgencyId, Keyring)| Party { id: party(id), name: "EXERCISE".into(), speaker: id.clone() };
    let version = RegisterVersion {
        community: "EXERCISE".into(),
        version: 1,
        previous: None,
        issued_at: now_s - 60,
        expires: now_s + 86_400,
        threshold: 1,
        parties: agencies.iter().map(speaker).collect(),
        agencies: agencies.iter().zip(endpoints).map(member).collect(),
        forums: Vec::new(),
        rules: Rules { witness_quorum: 2, witness_interval_s: 60, relay_max_s: 86_400 },
    };
    let hash = version.hash();
    let approve = |(id, keyring): &(AgencyId, Keyring)| {
        let approval = RegisterApproval { version: 1, hash };
        let header = header(id, RegisterApproval::KIND, vec![id.clone()], hash);
        signed(header, approval.to_body(), &keyring.identity()).into_bytes()
    };
    let approvals = agencies.iter().map(approve).collect();
    Chain::found(version, approvals).unwrap()
}

fn header(author: &AgencyId, kind: &str, audience: Vec<AgencyId>, register: Digest) -> Header {
    Header {
        key: KeyId([0; 16]),
        author: author.clone(),
        issued_at: NOW_S,
        thread: ThreadId([7; 16]),
        kind: kind.into(),
        audience,
        register,
        handling: Handling::community(),
        references: Vec::new(),
        expires: None,
    }
}

fn signed(header: Header, body: Vec<u8>, key: &SigningKey) -> Verified {
    Draft { header, body }.sign(key).unwrap()
}

impl Agency {
    fn new(id: AgencyId, keyring: Keyring, chain: &Chain) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Sqlite::create(&dir.path().join("node.db"), &id, Options::default()).unwrap();
        store.adopt_register(chain.versions()).unwrap();
        let snapshot = store.snapshot().unwrap().unwrap();
        let exchange = Exchange::load(snapshot, &store, keyring.signer(), OnRetraction::Mark).unwrap();
        Self { id, keyring, store, exchange, random: ChaCha20Rng::from_seed([1; 32]), dir }
    }

    pub(crate) fn apply(&mut self, batch: Batch) {
        self.store.apply(&batch.changes).unwrap();
    }

    /// The key set with which the agency has its ledger of an epoch.
    pub(crate) fn key_set(&self, epoch: u64) -> Verified {
        let origin = mufakat_exchange::ledger_origin(&self.id, epoch);
        let body = KeySet { serial: epoch, ..self.keyring.key_set(None, &origin).unwrap() };
        let header = header(&self.id, KeySet::KIND, vec![self.id.clone()], self.exchange.directory().chain().hash());
        signed(header, body.to_body(), &self.keyring.identity())
    }

    pub(crate) fn adopt_key_set(&mut self, record: &[u8]) {
        let batch = self.exchange.adopt_key_set(record).unwrap();
        self.apply(batch);
    }

    /// Authors a record for others. Without references its kind is one that nobody knows.
    pub(crate) fn author(&mut self, kind: &str, body: Vec<u8>, to: &[&Agency], references: Vec<Reference>) -> Verified {
        let mut audience: Vec<_> = to.iter().map(|to| to.id.clone()).collect();
        audience.sort();
        let header = header(&self.id, kind, audience, self.exchange.directory().chain().hash());
        let record = signed(Header { references, ..header }, body, &self.keyring.signer());
        self.submit(record.clone(), None);
        record
    }

    /// Authors something that only matters because it makes the ledger grow.
    pub(crate) fn grow(&mut self, leaves: u64) {
        for _ in 0..leaves {
            let leaf = mufakat_exchange::Leaf::about(
                mufakat_exchange::What::Use,
                &RecordId([9; 32]),
                NOW_S * 1000,
                b"read",
                entropy()[..16].try_into().unwrap(),
            );
            let batch = self.exchange.note(leaf);
            self.apply(batch);
        }
    }

    pub(crate) fn submit(&mut self, record: Verified, key: Option<[u8; 16]>) {
        let submissions = vec![Submission { record, key }];
        let at_ms = NOW_S * 1000;
        let submitted =
            self.exchange.submit(submissions, &Digest([5; 32]), at_ms, &mut self.random, &self.store).unwrap();
        self.apply(submitted.0);
    }

    /// Brings a record to this agency, at a place on its author's channel, and the receipt back to the author.
    pub(crate) fn receive(&mut self, record: &Verified, position: u64, author: &mut Agency) {
        let items = vec![Item { id: record.id(), record: Ok(record.clone()) }];
        let delivery = Delivery { sender: author.id.clone(), epoch: 1, first: position, items };
        let at_ms = NOW_S * 1000 + 5;
        let (batch, receipt) = self.exchange.deliver(delivery, at_ms, &mut self.random, &self.store).unwrap();
        self.apply(batch);
        let taken = author.exchange.take_receipt(receipt, at_ms, &mut author.random, &author.store).unwrap();
        author.apply(taken);
    }

    /// A checkpoint of the ledger as it is.
    pub(crate) fn checkpoint(&self) -> SignedCheckpoint {
        let (size, root) = self.exchange.ledger();
        self.checkpoint_of(1, size, root)
    }

    /// A checkpoint of this agency that says what the test wants.
    pub(crate) fn checkpoint_of(&self, epoch: u64, size: u64, root: Hash) -> SignedCheckpoint {
        let origin = mufakat_exchange::ledger_origin(&self.id, epoch);
        let signer = self.keyring.ledger_signer(&origin).unwrap();
        SignedCheckpoint::sign(Checkpoint { origin, size, root, extensions: Vec::new() }, &signer).unwrap()
    }

    /// A request to cosign a checkpoint, with the proof that our ledger gives.
    pub(crate) fn request(&self, old: u64, checkpoint: &SignedCheckpoint) -> Request {
        let proof = proof::consistency(&self.store, old, checkpoint.checkpoint().size).unwrap_or_default();
        Request::parse(Request::new(old, proof, checkpoint).encode()).unwrap()
    }

    /// Cosigns, or refuses to.
    pub(crate) fn judge(&mut self, of: &AgencyId, request: Request) -> Result<(String, Option<WitnessAlarm>), Refusal> {
        let log = super::log_key(self.exchange.directory(), of).filter(|log| log.name() == request.origin());
        let signer = self.keyring.witness_signer(&self.id).unwrap();
        judge(&mut self.store, of, request, log.as_ref(), &signer, NOW_S).unwrap()
    }

    /// Has the others cosign a checkpoint that they have seen nothing before.
    pub(crate) fn cosigned_by(&self, checkpoint: SignedCheckpoint, others: &mut [&mut Agency]) -> SignedCheckpoint {
        let mut signed = checkpoint.clone();
        for other in others {
            let (line, _) = other.judge(&self.id, self.request(0, &checkpoint)).unwrap();
            let key = super::witness_key(self.exchange.directory(), &other.id).unwrap();
            assert_eq!(signed.add(&line, &[key]).unwrap().len(), 1);
        }
        signed
    }

    pub(crate) fn directory(&self) -> Arc<mufakat_exchange::Directory> {
        Arc::clone(self.exchange.directory())
    }
}
