//! A small community for the checks: agencies with fixed keys, their register, and nodes that exchange through stores.

use std::sync::Arc;

use mufakat_exchange::{
    Batch, Chain, Delivery, Enacted, Exchange, Item, OnRetraction, Refused, Submission, ledger_origin,
};
use mufakat_record::attachment::CHUNK_BYTES;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::key_set::{KeySet, Sealing, Signing};
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{Agency, Party, RegisterVersion, Rules};
use mufakat_record::kinds::report::{Report, ReportType};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{
    AgencyId, Digest, Draft, Handling, Header, KeyId, Reason, RecordId, Reference, Relation, SealingKey, SigningKey,
    ThreadId, Unverified, Verified, sha256,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::{Error, Store};

/// When everything in the checks begins, in seconds since 1970.
pub const BEGIN_S: u64 = 1_800_000_000;

/// Parses a name that is known to be one.
pub fn name(text: &str) -> AgencyId {
    text.parse().expect("a sound name")
}

fn key(of: &AgencyId, purpose: &str) -> SigningKey {
    SigningKey::from_seed(&sha256(format!("{of} {purpose}").as_bytes()))
}

/// Agencies, each of a party of its own, and their register.
pub struct Community {
    /// The agencies, ascending.
    pub agencies: Vec<AgencyId>,
    /// The register's versions.
    pub versions: Vec<Enacted>,
}

impl Community {
    /// Founds a community.
    pub fn found(agencies: &[&str]) -> Self {
        let mut agencies: Vec<_> = agencies.iter().map(|text| name(text)).collect();
        agencies.sort();
        let party = |agency: &AgencyId| name(&format!("{agency}-party"));
        let parties = agencies.iter().map(|a| Party { id: party(a), name: "EXERCISE".into(), speaker: a.clone() });
        let bodies = agencies.iter().map(|a| Agency {
            id: a.clone(),
            party: party(a),
            name: "EXERCISE".into(),
            identity: Digest(*key(a, "identity").public().as_bytes()),
            endpoint: format!("{a}.example:1"),
            relay: false,
            removed: None,
        });
        let version = RegisterVersion {
            community: "EXERCISE".into(),
            version: 1,
            previous: None,
            issued_at: BEGIN_S,
            expires: BEGIN_S + 1_000_000_000,
            threshold: 2.min(agencies.len() as u64),
            parties: parties.collect(),
            agencies: bodies.collect(),
            forums: Vec::new(),
            rules: Rules { witness_quorum: 1, witness_interval_s: 60, relay_max_s: 3_600 },
        };
        let mut community = Self { agencies, versions: Vec::new() };
        let approvals = community.approvals(&version);
        community.versions.push(Enacted { hash: version.hash(), version, approvals });
        community
    }

    /// Enacts a version that removes an agency; its party ends with it.
    pub fn remove(&mut self, agency: &AgencyId) {
        let mut next = self.current().version.clone();
        next.version += 1;
        next.previous = Some(self.current().hash);
        next.issued_at += 1;
        next.parties.retain(|party| party.speaker != *agency);
        for body in next.agencies.iter_mut().filter(|body| body.id == *agency) {
            body.removed = Some(next.issued_at);
        }
        self.agencies.retain(|other| other != agency);
        let approvals = self.approvals(&next);
        self.versions.push(Enacted { hash: next.hash(), version: next, approvals });
    }

    /// The register's chain.
    pub fn chain(&self) -> Chain {
        let (first, later) = self.versions.split_first().expect("a founding version");
        let mut chain = Chain::found(first.version.clone(), first.approvals.clone()).expect("a sound founding");
        for enacted in later {
            chain.extend(enacted.version.clone(), enacted.approvals.clone()).expect("a sound version");
        }
        chain
    }

    /// The version in force.
    pub fn current(&self) -> &Enacted {
        self.versions.last().expect("a founding version")
    }

    fn approvals(&self, version: &RegisterVersion) -> Vec<Vec<u8>> {
        let hash = version.hash();
        let approve = |agency: &AgencyId| {
            let body = RegisterApproval { version: version.version, hash };
            let audience = self.agencies.clone();
            sign::<RegisterApproval>(agency, &key(agency, "identity"), hash, audience, Vec::new(), &body).into_bytes()
        };
        self.agencies.iter().map(approve).collect()
    }

    fn key_set(&self, agency: &AgencyId) -> Vec<u8> {
        let until = BEGIN_S + 100_000_000;
        let sealing = SealingKey::from_seed(&sha256(format!("{agency} sealing").as_bytes()));
        let body = KeySet {
            serial: 1,
            signing: vec![Signing { key: *key(agency, "signing").public().as_bytes(), from: 0, until, revoked: None }],
            sealing: vec![Sealing { suite: 1, key: sealing.public().to_bytes(), from: 0, until }],
            ledger_origin: ledger_origin(agency, 1),
            ledger_key: *key(agency, "ledger").public().as_bytes(),
            witness_key: *key(agency, "witness").public().as_bytes(),
        };
        let (identity, register) = (key(agency, "identity"), self.versions[0].hash);
        sign::<KeySet>(agency, &identity, register, self.agencies.clone(), Vec::new(), &body).into_bytes()
    }
}

fn sign<B: Body>(
    author: &AgencyId,
    key: &SigningKey,
    register: Digest,
    audience: Vec<AgencyId>,
    references: Vec<Reference>,
    body: &B,
) -> Verified {
    let header = Header {
        key: KeyId([0; 16]),
        author: author.clone(),
        issued_at: BEGIN_S,
        thread: ThreadId([7; 16]),
        kind: B::KIND.to_owned(),
        audience,
        register,
        handling: Handling::community(),
        references,
        expires: None,
    };
    Draft { header, body: body.to_body() }.sign(key).expect("a sound record")
}

/// A node without a network: an exchange over a store.
pub struct Node<S> {
    /// The store.
    pub store: S,
    /// The exchange.
    pub exchange: Exchange,
    random: ChaCha20Rng,
    now_ms: u64,
}

impl<S: Store> Node<S> {
    /// Gives a new store the community's register and key sets, and starts on it.
    pub fn start(mut store: S, community: &Community) -> Self {
        store.adopt_register(&community.versions).expect("a register");
        let mut node = Self::load(store);
        for agency in &community.agencies {
            let batch = node.exchange.adopt_key_set(&community.key_set(agency)).expect("a key set");
            node.store.apply(&batch.changes).expect("room");
        }
        node
    }

    /// Starts on what the store has.
    pub fn load(store: S) -> Self {
        let snapshot = store.snapshot().expect("a snapshot").expect("a register");
        let signer = Arc::new(key(&snapshot.me, "signing"));
        let random = ChaCha20Rng::from_seed(sha256(format!("{} {}", snapshot.me, snapshot.ledger_size).as_bytes()));
        let now_ms = BEGIN_S * 1000 + snapshot.ledger_size;
        let exchange = Exchange::load(snapshot, &store, signer, OnRetraction::Delete).expect("a sound store");
        Self { store, exchange, random, now_ms }
    }

    /// Loads the exchange again, as after a rollback.
    pub fn reload(self) -> Self {
        Self::load(self.store)
    }

    /// The agency.
    pub fn me(&self) -> AgencyId {
        self.exchange.me().clone()
    }

    fn now(&mut self) -> u64 {
        self.now_ms += 1;
        self.now_ms
    }

    fn sign<B: Body>(&self, to: &[&AgencyId], references: Vec<Reference>, body: &B) -> Verified {
        let mut audience: Vec<_> = to.iter().map(|to| (*to).clone()).collect();
        audience.sort();
        let register = self.exchange.directory().chain().hash();
        sign(self.exchange.me(), &key(self.exchange.me(), "signing"), register, audience, references, body)
    }

    /// A report.
    pub fn report(&self, to: &[&AgencyId], text: &str, attached: &[RecordId]) -> Verified {
        let body = Report {
            report_type: ReportType::Information,
            title: format!("EXERCISE {}", text.chars().take(300).collect::<String>()),
            text: text.to_owned(),
            entities: None,
            place: None,
            time: None,
            evaluation: None,
            language: None,
            source: None,
        };
        let mut references: Vec<_> =
            attached.iter().map(|record| Reference { relation: Relation::Attaches, record: *record }).collect();
        references.sort();
        self.sign(to, references, &body)
    }

    /// A report that is handled in a way of its own.
    pub fn report_with(&self, to: &[&AgencyId], text: &str, handling: Handling) -> Verified {
        let report = self.report(to, text, &[]);
        let body = Report::from_body(report.header(), report.body()).expect("a report");
        self.signed(to, handling, &body)
    }

    /// A record with any body that is handled in a way of its own.
    pub fn signed<B: Body>(&self, to: &[&AgencyId], handling: Handling, body: &B) -> Verified {
        let plain = self.sign(to, Vec::new(), body);
        let header = Header { handling, ..plain.header().clone() };
        let draft = Draft { header, body: plain.body().to_vec() };
        draft.sign(&key(self.exchange.me(), "signing")).expect("a sound record")
    }

    /// An attachment with the given chunk names; the last holds one byte.
    pub fn attachment(&self, to: &[&AgencyId], chunks: &[Digest]) -> Verified {
        let size = (chunks.len() as u64 - 1) * CHUNK_BYTES as u64 + 1;
        let chunks = chunks.iter().flat_map(|name| name.0).collect();
        let (name, media_type) = ("EXERCISE.bin".to_owned(), "application/octet-stream".to_owned());
        self.sign(to, Vec::new(), &Attachment { name, media_type, size, digest: [1; 32], key: [2; 32], chunks })
    }

    /// A retraction of a record.
    pub fn retraction(&self, to: &[&AgencyId], record: RecordId) -> Verified {
        let references = vec![Reference { relation: Relation::Retracts, record }];
        self.sign(to, references, &Retraction { reason: "EXERCISE".to_owned(), carries: None })
    }

    /// Submits records; the changes are applied and not committed by this.
    pub fn share(&mut self, records: Vec<Verified>) -> Result<Vec<RecordId>, Error> {
        let submissions = records.into_iter().map(|record| {
            let key = <[u8; 16]>::try_from(&record.id().0[..16]).expect("16 bytes");
            Submission { record, key: Some(key) }
        });
        let now = self.now();
        let submitted =
            self.exchange.submit(submissions.collect(), &Digest([9; 32]), now, &mut self.random, &self.store);
        let (batch, ids) = submitted.expect("fit to be shared");
        self.store.apply(&batch.changes)?;
        Ok(ids)
    }

    /// Takes records in as if a parcel of the sender had held them, and gives the receipt.
    pub fn take(
        &mut self,
        sender: &AgencyId,
        epoch: u64,
        first: u64,
        records: Vec<Vec<u8>>,
    ) -> Result<(Batch, Verified), Refused> {
        let directory = self.exchange.directory().clone();
        let item = |bytes: Vec<u8>| {
            let id = RecordId::of(&bytes);
            let record = Unverified::parse(bytes).and_then(|record| record.verify(&*directory, BEGIN_S));
            Item { id, record }
        };
        let items = records.into_iter().map(item).collect();
        let delivery = Delivery { sender: sender.clone(), epoch, first, items };
        let now = self.now();
        let (batch, receipt) = self.exchange.deliver(delivery, now, &mut self.random, &self.store)?;
        self.store.apply(&batch.changes).expect("room");
        Ok((batch, receipt))
    }

    /// Takes a partner's receipt.
    pub fn take_receipt(&mut self, receipt: Verified) -> Result<Batch, Refused> {
        let now = self.now();
        let batch = self.exchange.take_receipt(receipt, now, &mut self.random, &self.store)?;
        self.store.apply(&batch.changes).expect("room");
        Ok(batch)
    }

    /// Takes a longer register over.
    pub fn adopt(&mut self, community: &Community) -> Result<(), Reason> {
        let now = self.now();
        let batch = self.exchange.adopt_chain(community.chain(), now, &mut self.random)?;
        self.store.apply(&batch.changes).expect("room");
        Ok(())
    }
}

/// Sends what is queued from one node to another, at most `count` records from a position on, and the receipt back.
pub fn send<S: Store, T: Store>(from: &mut Node<S>, to: &mut Node<T>, first: u64, count: usize) -> usize {
    let queued = from.store.outbox(&to.me(), first, count, usize::MAX).expect("an outbox");
    if queued.is_empty() {
        return 0;
    }
    let sent = queued.len();
    let records = queued.into_iter().map(|queued| queued.bytes).collect();
    let (_, receipt) = to.take(&from.me(), from.exchange.epoch(), first, records).expect("a fit delivery");
    from.take_receipt(receipt).expect("a fit receipt");
    sent
}
