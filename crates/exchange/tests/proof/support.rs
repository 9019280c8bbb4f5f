//! A community of four agencies of three parties, and their nodes.

use std::sync::Arc;

use mufakat_exchange::{
    Batch, Chain, Change, Delivery, Directory, Exchange, Inbound, Item, Leaf, OnRetraction, Refusal, Refused,
    Submission, What, ledger_origin,
};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::key_set::{KeySet, Sealing, Signing};
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{Agency, Forum, Party, RegisterVersion, Rules};
use mufakat_record::kinds::report::{Report, ReportType};
use mufakat_record::{
    AgencyId, Code, Digest, Draft, Handling, Header, KeyId, Reason, RecordId, Reference, Relation, SealingKey,
    SigningKey, ThreadId, Tlp, Unverified, Verified, sha256,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::store::Store;

/// When it all happens, in seconds since 1970.
pub(crate) const NOW_S: u64 = 1_800_000_000;
/// The signing keys serve until then.
pub(crate) const KEYS_UNTIL_S: u64 = NOW_S + 1000;
/// How long parcels may be on their way, in seconds.
pub(crate) const RELAY_MAX_S: u64 = 500;
/// The agencies; the first three speak for a party each, the last is of the party of the first.
pub(crate) const AGENCIES: [&str; 4] = ["aa", "bb", "cc", "dd"];
/// An agency that is not in the register at first.
pub(crate) const OUTSIDER: &str = "ee";

pub(crate) fn name(name: &str) -> AgencyId {
    name.parse().expect("a sound name")
}

fn seed(agency: &str, purpose: &str) -> [u8; 32] {
    sha256(format!("{agency} {purpose}").as_bytes())
}

/// The identity key of an agency.
pub(crate) fn identity(agency: &str) -> SigningKey {
    SigningKey::from_seed(&seed(agency, "identity"))
}

/// The key with which an agency signs its records.
pub(crate) fn signer(agency: &str) -> SigningKey {
    SigningKey::from_seed(&seed(agency, "signing"))
}

/// A header that says little.
pub(crate) fn header(author: &str, to: &[&str], kind: &str, register: Digest) -> Header {
    Header {
        key: KeyId([0; 16]),
        author: name(author),
        issued_at: NOW_S,
        thread: ThreadId([7; 16]),
        kind: kind.to_owned(),
        audience: to.iter().map(|to| name(to)).collect(),
        register,
        handling: Handling::community(),
        references: Vec::new(),
        expires: None,
    }
}

/// Signs a body, whatever it is.
pub(crate) fn signed(header: Header, body: &[u8], key: &SigningKey) -> Verified {
    Draft { header, body: body.to_vec() }.sign(key).expect("a record in form")
}

/// Handling that says all that it can, for the eyes of one officer.
pub(crate) fn narrow(officer: &str) -> Handling {
    Handling {
        codes: Some(vec![Code::H3]),
        purposes: Some(vec!["EXERCISE".into()]),
        orcon: Some(true),
        caveat: Some("EXERCISE".into()),
        eyes: Some(vec![officer.parse().expect("a sound officer")]),
        review: Some(NOW_S + 1000),
        ..Handling::with(Tlp::Red)
    }
}

pub(crate) fn report_body(text: &str) -> Report {
    Report {
        report_type: ReportType::Incident,
        title: "EXERCISE".into(),
        text: text.into(),
        entities: None,
        place: None,
        time: None,
        evaluation: None,
        language: None,
        source: None,
    }
}

pub(crate) fn referring(mut header: Header, references: &[(Relation, RecordId)]) -> Header {
    header.references =
        references.iter().map(|(relation, record)| Reference { relation: *relation, record: *record }).collect();
    header.references.sort();
    header
}

/// A key set of an agency, changed as the test needs it, signed with a given key.
pub(crate) fn key_set_with(
    agency: &str,
    serial: u64,
    register: Digest,
    key: &SigningKey,
    change: impl FnOnce(&mut KeySet),
) -> Verified {
    let public = *signer(agency).public().as_bytes();
    let sealing = SealingKey::from_seed(&seed(agency, "sealing")).public().to_bytes();
    let mut body = KeySet {
        serial,
        signing: vec![Signing { key: public, from: NOW_S - 1000, until: KEYS_UNTIL_S, revoked: None }],
        sealing: vec![Sealing { suite: 1, key: sealing, from: NOW_S - 1000, until: KEYS_UNTIL_S }],
        ledger_origin: ledger_origin(&name(agency), 1),
        ledger_key: public,
        witness_key: public,
    };
    change(&mut body);
    let others: Vec<_> = AGENCIES.into_iter().filter(|other| *other != agency).collect();
    signed(header(agency, &others, KeySet::KIND, register), &body.to_body(), key)
}

pub(crate) fn key_set(agency: &str, serial: u64, register: Digest) -> Verified {
    key_set_with(agency, serial, register, &identity(agency), |_| {})
}

/// An approval of a version, in the right form, whoever the author is.
pub(crate) fn approval(by: &str, version: u64, hash: Digest, register: Digest) -> Verified {
    approval_with(by, version, hash, register, &identity(by))
}

pub(crate) fn approval_with(by: &str, version: u64, hash: Digest, register: Digest, key: &SigningKey) -> Verified {
    let others: Vec<_> = AGENCIES.into_iter().filter(|other| *other != by).collect();
    let body = RegisterApproval { version, hash }.to_body();
    signed(header(by, &others, RegisterApproval::KIND, register), &body, key)
}

pub(crate) fn agency(id: &str, party: &str) -> Agency {
    Agency {
        id: name(id),
        party: name(party),
        name: "EXERCISE".into(),
        identity: Digest(*identity(id).public().as_bytes()),
        endpoint: format!("{id}.example:1"),
        relay: false,
        removed: None,
    }
}

/// The founding version: three parties, of which two must approve what comes next.
pub(crate) fn founding() -> RegisterVersion {
    let party = |id: &str, speaker: &str| Party { id: name(id), name: "EXERCISE".into(), speaker: name(speaker) };
    RegisterVersion {
        community: "EXERCISE".into(),
        version: 1,
        previous: None,
        issued_at: NOW_S - 100,
        expires: NOW_S + 1_000_000,
        threshold: 2,
        parties: vec![party("party-a", "aa"), party("party-b", "bb"), party("party-c", "cc")],
        agencies: vec![
            agency("aa", "party-a"),
            agency("bb", "party-b"),
            agency("cc", "party-c"),
            agency("dd", "party-a"),
        ],
        forums: vec![Forum {
            id: name("forum"),
            name: "EXERCISE".into(),
            members: vec![name("party-a"), name("party-b")],
            chair_rule: "EXERCISE".into(),
        }],
        rules: Rules { witness_quorum: 1, witness_interval_s: 60, relay_max_s: RELAY_MAX_S },
    }
}

/// The version after another one, changed as the test needs it.
pub(crate) fn following(before: &RegisterVersion, change: impl FnOnce(&mut RegisterVersion)) -> RegisterVersion {
    let mut next = before.clone();
    next.version += 1;
    next.previous = Some(before.hash());
    next.issued_at += 1;
    change(&mut next);
    next
}

/// Removes an agency in a version.
pub(crate) fn remove(version: &mut RegisterVersion, id: &str) {
    let place = version.agencies.iter_mut().find(|agency| agency.id == name(id)).expect("an agency");
    place.removed = Some(NOW_S);
}

/// A party and its only agency leave.
pub(crate) fn remove_with_party(version: &mut RegisterVersion, id: &str) {
    remove(version, id);
    version.parties.retain(|party| party.speaker != name(id));
    version.forums.clear();
}

/// The approvals of a version by these agencies.
pub(crate) fn approvals(version: &RegisterVersion, by: &[&str]) -> Vec<Vec<u8>> {
    let register = version.previous.unwrap_or_else(|| version.hash());
    by.iter().map(|by| approval(by, version.version, version.hash(), register).into_bytes()).collect()
}

/// The chain of the founding version.
pub(crate) fn chain() -> Chain {
    Chain::found(founding(), approvals(&founding(), &["aa", "bb", "cc"])).expect("a sound founding version")
}

/// A chain of these versions, each approved by aa and bb.
pub(crate) fn chain_of(versions: &[RegisterVersion]) -> Chain {
    let mut chain = chain();
    for version in versions {
        chain.extend(version.clone(), approvals(version, &["aa", "bb"])).expect("a version that follows");
    }
    chain
}

/// The node of one agency: an exchange, and what of it is durable.
pub(crate) struct Node {
    pub(crate) exchange: Exchange,
    pub(crate) store: Store,
    pub(crate) random: ChaCha20Rng,
    pub(crate) now_ms: u64,
    pub(crate) on_retraction: OnRetraction,
    agency: &'static str,
    written: u64,
}

impl Node {
    pub(crate) fn new(agency: &'static str) -> Self {
        Self::with(agency, OnRetraction::Delete, chain())
    }

    pub(crate) fn with(agency: &'static str, on_retraction: OnRetraction, chain: Chain) -> Self {
        let register = chain.hash();
        let mut directory = Directory::new(chain);
        for other in AGENCIES
            .into_iter()
            .chain([OUTSIDER])
            .filter(|id| directory.chain().identity(&name(id)).is_some())
            .collect::<Vec<_>>()
        {
            assert_eq!(directory.take_key_set(key_set(other, 1, register).bytes()), Ok(true));
        }
        let store = Store::new(&name(agency), directory);
        let exchange =
            Exchange::load(store.snapshot(), &store, Arc::new(signer(agency)), on_retraction.clone()).expect("a store");
        let random = ChaCha20Rng::from_seed(seed(agency, "random"));
        Self { exchange, store, random, now_ms: NOW_S * 1000, on_retraction, agency, written: 0 }
    }

    pub(crate) fn id(&self) -> AgencyId {
        name(self.agency)
    }

    /// Loses what is only in memory, and starts again from what is durable.
    pub(crate) fn crash(&mut self) {
        let signer = self.exchange.signer();
        self.exchange =
            Exchange::load(self.store.snapshot(), &self.store, signer, self.on_retraction.clone()).expect("a store");
    }

    pub(crate) fn register(&self) -> Digest {
        self.exchange.directory().chain().hash()
    }

    pub(crate) fn version(&self) -> u64 {
        self.exchange.directory().chain().current().version
    }

    /// A record of this agency of any kind.
    pub(crate) fn record<B: Body>(&self, to: &[&str], body: &B, references: &[(Relation, RecordId)]) -> Verified {
        let header = referring(header(self.agency, to, B::KIND, self.register()), references);
        signed(header, &body.to_body(), &signer(self.agency))
    }

    /// A report, different from every other.
    pub(crate) fn report(&mut self, to: &[&str]) -> Verified {
        self.written += 1;
        self.record(to, &report_body(&format!("EXERCISE {}", self.written)), &[])
    }

    pub(crate) fn submit(&mut self, submissions: Vec<Submission>) -> Result<(Batch, Vec<RecordId>), Refusal> {
        let (exchange, random, store) = (&mut self.exchange, &mut self.random, &self.store);
        let (batch, ids) = exchange.submit(submissions, &Digest([9; 32]), self.now_ms, random, store)?;
        self.apply(&batch);
        Ok((batch, ids))
    }

    pub(crate) fn share(&mut self, records: &[&Verified]) -> Batch {
        let submission = |record: &&Verified| Submission { record: (*record).clone(), key: None };
        self.submit(records.iter().map(submission).collect()).expect("records that may be shared").0
    }

    /// Writes a report to these agencies and shares it.
    pub(crate) fn share_report(&mut self, to: &[&str]) -> Verified {
        let report = self.report(to);
        self.share(&[&report]);
        report
    }

    pub(crate) fn apply(&mut self, batch: &Batch) {
        self.store.apply(&batch.changes);
        assert_eq!(self.exchange.ledger().0, self.store.leaves.len() as u64);
        assert_eq!(self.exchange.ledger().1, crate::store::root_of(&self.store.hashes));
    }

    /// Records as they come out of a parcel.
    pub(crate) fn items(&self, records: Vec<Vec<u8>>) -> Vec<Item> {
        let directory = self.exchange.directory();
        let item = |bytes: Vec<u8>| Item {
            id: RecordId::of(&bytes),
            record: Unverified::parse(bytes).and_then(|record| record.verify(&**directory, self.now_ms / 1000)),
        };
        records.into_iter().map(item).collect()
    }

    /// Takes records in at a place of a partner's channel.
    pub(crate) fn take_at(
        &mut self,
        from: &str,
        epoch: u64,
        first: u64,
        items: Vec<Item>,
    ) -> Result<(Batch, Verified), Refused> {
        let delivery = Delivery { sender: name(from), epoch, first, items };
        let before = self.exchange.ledger();
        let result = self.exchange.deliver(delivery, self.now_ms, &mut self.random, &self.store);
        match &result {
            Ok((batch, receipt)) => {
                self.apply(batch);
                self.check_receipt(from, epoch, receipt);
            }
            Err(_) => assert_eq!(self.exchange.ledger(), before, "a refusal left something"),
        }
        result
    }

    /// Takes records in that come next on a partner's channel; gives the receipt's entries.
    pub(crate) fn take(&mut self, from: &str, records: &[&Verified]) -> Vec<Entry> {
        let items = self.items(records.iter().map(|record| record.bytes().to_vec()).collect());
        let Inbound { expected, .. } = self.exchange.inbound(&name(from));
        entries(&self.take_at(from, 1, expected, items).expect("the next records").1)
    }

    /// Takes records in when this node's own key, too, is past its time, so that its receipt proves nothing.
    pub(crate) fn take_late(&mut self, from: &str, items: Vec<Item>) -> Verified {
        let delivery = Delivery { sender: name(from), epoch: 1, first: 1, items };
        let (batch, receipt) =
            self.exchange.deliver(delivery, self.now_ms, &mut self.random, &self.store).expect("a delivery");
        self.apply(&batch);
        receipt
    }

    /// Takes over what a partner has on its channel from a position on.
    pub(crate) fn take_from(&mut self, sender: &Node, first: u64, count: usize) -> Result<Verified, Refused> {
        let items = self.items(sender.store.outbox(&self.id(), first, count));
        self.take_at(sender.agency, sender.exchange.epoch(), first, items).map(|(_, receipt)| receipt)
    }

    /// A receipt is good for its recipient, and each word in it can be proved from the ledger.
    fn check_receipt(&self, to: &str, epoch: u64, receipt: &Verified) {
        let directory = self.exchange.directory();
        let read = Unverified::parse(receipt.bytes().to_vec()).unwrap();
        assert!(read.verify(&**directory, self.now_ms / 1000).is_ok());
        assert_eq!(receipt.header().audience, [name(to)]);
        let body = Receipt::from_body(receipt.header(), receipt.body()).expect("a sound receipt");
        assert_eq!((body.epoch, body.ledger), (epoch, self.exchange.ledger_origin()));
        for entry in &body.entries {
            let detail = entry.rejected.clone().unwrap_or_default();
            let leaf = Leaf::about(What::Received, &entry.record, entry.at_ms, detail.as_bytes(), entry.salt);
            let erased = self.store.records.get(&entry.record).is_some_and(|kept| kept.record.is_none());
            assert!(erased || leaf.hash() == self.store.hashes[entry.index as usize], "{entry:?}");
            assert!(entry.rejected.is_some() || self.store.records.contains_key(&entry.record));
        }
    }

    pub(crate) fn take_receipt(&mut self, receipt: &Verified) -> Result<Batch, Refused> {
        let before = self.exchange.ledger();
        let result = self.exchange.take_receipt(receipt.clone(), self.now_ms, &mut self.random, &self.store);
        match &result {
            Ok(batch) => self.apply(batch),
            Err(_) => assert_eq!(self.exchange.ledger(), before, "a refusal left something"),
        }
        result
    }

    pub(crate) fn adopt_chain(&mut self, chain: Chain) -> Result<Batch, Reason> {
        let batch = self.exchange.adopt_chain(chain, self.now_ms, &mut self.random)?;
        self.apply(&batch);
        Ok(batch)
    }

    pub(crate) fn adopt_key_set(&mut self, record: &Verified) -> Result<Batch, Reason> {
        let batch = self.exchange.adopt_key_set(record.bytes())?;
        self.apply(&batch);
        Ok(batch)
    }

    /// How many records to a partner have no receipt yet.
    pub(crate) fn backlog(&mut self, to: &str) -> u64 {
        self.exchange.outbound(&name(to)).expect("a channel").backlog()
    }
}

/// Delivers all that waits on one channel, and takes the receipt back.
pub(crate) fn deliver(from: &mut Node, to: &mut Node) -> Vec<Entry> {
    let channel = from.exchange.outbound(&to.id()).expect("a channel");
    if channel.backlog() == 0 {
        return Vec::new();
    }
    let first = channel.settled_through() + 1;
    let receipt = to.take_from(from, first, 512).expect("a delivery in order");
    from.take_receipt(&receipt).expect("a receipt for it");
    assert_eq!(from.backlog(to.agency), 0);
    entries(&receipt)
}

pub(crate) fn entries(receipt: &Verified) -> Vec<Entry> {
    Receipt::from_body(receipt.header(), receipt.body()).expect("a receipt").entries
}

/// Why each record was rejected, if it was.
pub(crate) fn reasons(entries: &[Entry]) -> Vec<Option<Reason>> {
    entries.iter().map(|e| e.rejected.as_deref().map(|name| name.parse().expect("a named reason"))).collect()
}

/// What a refusal says.
pub(crate) fn refused<T>(result: Result<T, Refused>) -> (Reason, u64) {
    match result {
        Err(Refused::Because { reason, expected }) => (reason, expected),
        Err(Refused::Unavailable(e)) => panic!("{e}"),
        Ok(_) => panic!("a refusal was due"),
    }
}

/// The changes of a batch that a test looks for.
pub(crate) fn count(batch: &Batch, wanted: impl Fn(&Change) -> bool) -> usize {
    batch.changes.iter().filter(|change| wanted(change)).count()
}
