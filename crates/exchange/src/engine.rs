//! The exchange of one node: submissions, deliveries and receipts go in; durable changes and answers come out.
//!
//! The caller commits a [`Batch`] before it acts on it or says anything to anyone. When a commit fails, or the process dies
//! before it, the caller loads the exchange again from the store: what is in memory is never ahead of what others were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mufakat_ledger::{Edge, Hash, TileSource};
use mufakat_record::kinds::onward::{Onward, attachment_of};
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::request::Request;
use mufakat_record::kinds::request_step::{RequestStep, Step};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::kinds::{self, Body};
use mufakat_record::{
    AgencyId, Digest, Draft, Handling, Header, KeyId, Reason, RecordId, Reference, Relation, STAND_IN, SigningKey,
    ThreadId, Unverified, Verified,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use crate::deletion;
use crate::infrastructure::{Governance, needs_identity_key};
use crate::known::{Known, Target, is_between};
use crate::passing_on::check_onward;
use crate::{Chain, Change, Directory, Facts, Inbound, Leaf, Outbound, Unavailable, What};

/// What this agency does when an originator takes a record back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnRetraction {
    /// Delete the content.
    Delete,
    /// Keep it, marked.
    Mark,
    /// Keep it under a law, which is named.
    Keep(String),
}

/// What this node says by itself when it is asked something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answering {
    /// The time zone of the agency, by its name in the IANA database, in which the days of a request's clock end.
    pub time_zone: String,
    /// Within how many seconds the agency promises an answer, where that is sooner than it must.
    pub within_s: Option<u64>,
}

impl Default for Answering {
    fn default() -> Self {
        Self { time_zone: "UTC".to_owned(), within_s: None }
    }
}

/// Everything that an exchange starts from; the store has it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// This agency.
    pub me: AgencyId,
    /// This node's epoch.
    pub epoch: u64,
    /// The register and the key sets.
    pub directory: Directory,
    /// Register proposals and approvals on record, in the order in which they came.
    pub governance: Vec<Verified>,
    /// How many leaves the ledger has.
    pub ledger_size: u64,
    /// The sending ends: recipient, how far everything is settled, the next position.
    pub outbound: Vec<(AgencyId, u64, u64)>,
    /// The receiving ends.
    pub inbound: Vec<(AgencyId, Inbound)>,
}

/// What must become durable together, and what to do after that.
#[derive(Debug, Default)]
pub struct Batch {
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// Recipients for whom there is something new to send.
    pub wake: BTreeSet<AgencyId>,
    /// The register or a key set changed.
    pub directory_changed: bool,
    /// Attachments that came; their chunks are to be fetched.
    pub attachments: Vec<RecordId>,
}

/// A signed record that somebody at this agency wants to share.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The record.
    pub record: Verified,
    /// What the submitter calls it, if it may be submitted again.
    pub key: Option<[u8; 16]>,
}

/// Why a submission was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The register changed after the audience was chosen; choose and sign again.
    #[error("the register has changed meanwhile")]
    RegisterChanged,
    /// The record is not fit to be shared.
    #[error("the record is refused: {0}")]
    Unfit(Reason),
    /// The store could not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The records of one parcel, opened, each verified or refused.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Whose channel.
    pub sender: AgencyId,
    /// The sender's epoch.
    pub epoch: u64,
    /// The place of the first record.
    pub first: u64,
    /// The records, in order.
    pub items: Vec<Item>,
}

/// One record of a parcel.
#[derive(Debug, Clone)]
pub struct Item {
    /// The hash of the bytes.
    pub id: RecordId,
    /// The record, or why it is none.
    pub record: Result<Verified, Reason>,
}

/// Why a whole delivery was refused; nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// For this reason. With [`Reason::Gap`] the position says where to go on from.
    #[error("{reason}, expected position {expected}")]
    Because {
        /// The reason.
        reason: Reason,
        /// The position that this node expects.
        expected: u64,
    },
    /// The store could not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The exchange of one node.
pub struct Exchange {
    pub(crate) me: AgencyId,
    epoch: u64,
    signer: Arc<SigningKey>,
    pub(crate) on_retraction: OnRetraction,
    answering: Answering,
    pub(crate) directory: Arc<Directory>,
    governance: Governance,
    tree: Edge,
    pub(crate) outbound: BTreeMap<AgencyId, Outbound>,
    inbound: BTreeMap<AgencyId, Inbound>,
}

impl Exchange {
    /// Starts from what the store has.
    pub fn load(
        snapshot: Snapshot,
        tiles: &dyn TileSource,
        signer: Arc<SigningKey>,
        on_retraction: OnRetraction,
    ) -> Result<Self, Unavailable> {
        let tree = Edge::load(snapshot.ledger_size, tiles).map_err(|e| Unavailable(e.to_string()))?;
        let mut outbound: BTreeMap<_, _> = snapshot
            .outbound
            .into_iter()
            .filter(|(to, ..)| snapshot.directory.chain().member(to).is_some())
            .map(|(to, settled, next)| (to, Outbound::new(settled, next)))
            .collect();
        for partner in snapshot.directory.partners(&snapshot.me) {
            outbound.entry(partner.clone()).or_insert_with(|| Outbound::new(0, 1));
        }
        Ok(Self {
            governance: Governance::replay(snapshot.directory.chain(), &snapshot.governance),
            me: snapshot.me,
            epoch: snapshot.epoch,
            signer,
            on_retraction,
            answering: Answering::default(),
            directory: Arc::new(snapshot.directory),
            tree,
            outbound,
            inbound: snapshot.inbound.into_iter().collect(),
        })
    }

    /// Says from now on this when it is asked something.
    #[must_use]
    pub fn answering(self, answering: Answering) -> Self {
        Self { answering, ..self }
    }

    /// This agency.
    pub fn me(&self) -> &AgencyId {
        &self.me
    }

    /// This node's epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The register and key sets as they are now.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Open register proposals and what they lack.
    pub fn governance(&self) -> &Governance {
        &self.governance
    }

    /// The key with which this node signs what it says itself.
    pub fn signer(&self) -> Arc<SigningKey> {
        Arc::clone(&self.signer)
    }

    /// Signs from now on with another key, which the agency's key set already holds.
    pub fn set_signer(&mut self, signer: Arc<SigningKey>) {
        self.signer = signer;
    }

    /// Size and root of the ledger.
    pub fn ledger(&self) -> (u64, Hash) {
        (self.tree.size(), self.tree.root())
    }

    /// The origin line of this node's ledger.
    pub fn ledger_origin(&self) -> String {
        ledger_origin(&self.me, self.epoch)
    }

    /// The sending end of the channel to a partner.
    pub fn outbound(&mut self, to: &AgencyId) -> Option<&mut Outbound> {
        self.outbound.get_mut(to)
    }

    /// Every sending end.
    pub fn channels(&self) -> impl Iterator<Item = (&AgencyId, &Outbound)> {
        self.outbound.iter()
    }

    /// The receiving end of the channel from a partner.
    pub fn inbound(&self, from: &AgencyId) -> Inbound {
        self.inbound.get(from).copied().unwrap_or_else(Inbound::fresh)
    }

    /// Takes signed records of this agency in and puts them on the channels to their audiences. `policy` is the hash of the
    /// policy set under which they were released. Gives each record's id, in order.
    pub fn submit(
        &mut self,
        submissions: Vec<Submission>,
        policy: &Digest,
        at_ms: u64,
        random: &mut ChaCha20Rng,
        facts: &dyn Facts,
    ) -> Result<(Batch, Vec<RecordId>), Refusal> {
        // All checks come before the first change: a refusal leaves nothing half-done.
        let mut fresh = BTreeMap::new();
        let mut authored = BTreeSet::new();
        let mut ids = Vec::with_capacity(submissions.len());
        let mut new = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let earlier = match &submission.key {
                Some(key) => {
                    fresh.get(key).copied().map(Ok).or_else(|| facts.submitted(key).transpose()).transpose()?
                }
                None => None,
            };
            if let Some(earlier) = earlier {
                ids.push(earlier);
                continue;
            }
            self.may_share(&submission.record)?;
            let id = submission.record.id();
            ids.push(id);
            if let Some(key) = submission.key {
                fresh.insert(key, id);
            }
            // The same record is authored once, whatever its submitters call it.
            let once = authored.insert(id) && facts.held(&id)?.is_none();
            new.push((submission, once));
        }
        let mut batch = Batch::default();
        for (Submission { record, key }, once) in new {
            if let Some(key) = key {
                batch.changes.push(Change::Submitted { key, record: record.id() });
            }
            if once {
                self.author(&mut batch, record, policy.as_bytes(), at_ms, random);
            }
        }
        self.finish(&mut batch);
        Ok((batch, ids))
    }

    fn may_share(&self, record: &Verified) -> Result<(), Refusal> {
        let header = record.header();
        if header.author != self.me {
            return Err(Refusal::Unfit(Reason::SenderNotAuthor));
        }
        if header.register != self.directory.chain().hash() {
            return Err(Refusal::RegisterChanged);
        }
        if header.audience.iter().any(|to| self.directory.chain().member(to).is_none()) {
            return Err(Refusal::RegisterChanged);
        }
        self.fits(record).map_err(Refusal::Unfit)
    }

    /// What must hold of a record on any channel, whoever its author is: the right kind of key, and the body of its kind.
    fn fits(&self, record: &Verified) -> Result<(), Reason> {
        let header = record.header();
        if self.by_identity(header) != needs_identity_key(&header.kind) {
            return Err(Reason::UnknownKey);
        }
        if header.kind == Receipt::KIND {
            return Err(Reason::BodyNotOfKind);
        }
        kinds::check(header, record.body())?;
        if header.kind == Onward::KIND {
            check_onward(&self.directory, record)?;
        }
        Ok(())
    }

    /// Whether the author's identity key signed. It signs what it must and nothing else; other keys cannot take its place.
    fn by_identity(&self, header: &Header) -> bool {
        self.directory.chain().identity(&header.author).is_some_and(|key| key.id() == header.key)
    }

    /// Keeps a record of our own and queues it to its audience.
    pub(crate) fn author(
        &mut self,
        batch: &mut Batch,
        record: Verified,
        detail: &[u8],
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) {
        let id = record.id();
        let leaf = self.leaf(batch, Leaf::about(What::Authored, &id, at_ms, detail, salt(random)));
        // What the record changes in the register comes first: a newly removed agency gets nothing of it.
        let audience = record.header().audience.clone();
        self.govern(batch, &record, at_ms, random);
        batch.changes.push(Change::Keep { record, leaf, at_ms });
        for to in audience {
            if let Some(channel) = self.outbound.get_mut(&to) {
                let position = channel.assign();
                batch.wake.insert(to.clone());
                batch.changes.push(Change::Queue { to, position, leaf });
            }
        }
    }

    /// Takes a delivery in and gives the receipt for it.
    pub fn deliver(
        &mut self,
        delivery: Delivery,
        at_ms: u64,
        random: &mut ChaCha20Rng,
        facts: &dyn Facts,
    ) -> Result<(Batch, Verified), Refused> {
        let Delivery { sender, epoch, first, items } = delivery;
        let mut channel = self.inbound(&sender);
        let refuse = |reason, expected| Err(Refused::Because { reason, expected });
        match self.directory.chain().current().agency(&sender) {
            None => return refuse(Reason::AuthorNotInRegister, 0),
            Some(agency) if agency.removed.is_some() => return refuse(Reason::AuthorRemoved, 0),
            Some(_) => {}
        }
        if epoch < channel.epoch {
            return refuse(Reason::StaleEpoch, channel.expected);
        }
        if epoch > channel.epoch {
            channel = Inbound { epoch, expected: 1 };
        }
        if first > channel.expected {
            return refuse(Reason::Gap, channel.expected);
        }
        if items.is_empty() || first == 0 {
            return refuse(Reason::Malformed, channel.expected);
        }
        // What the store must tell is asked before the first change.
        let known = Known::look_up(facts, &self.me, &sender, channel, (first, at_ms), &items)?;
        let mut batch = Batch::default();
        let mut entries: Vec<Entry> = Vec::with_capacity(items.len());
        for (position, (item, known)) in (first..).zip(items.into_iter().zip(known)) {
            let entry = match known {
                Known::Before(entry) => entry,
                Known::Within(earlier) => {
                    let entry = Entry { position, ..entries[earlier].clone() };
                    self.arrived(&mut batch, &sender, &mut channel, position, entry.index);
                    entry
                }
                Known::Record(held) => {
                    // The same record at a second place: one record, one leaf, the same word on it.
                    self.arrived(&mut batch, &sender, &mut channel, position, held.leaf);
                    accepted(position, item.id, held.at_ms, held.leaf, held.salt)
                }
                Known::New(target) => {
                    let target = target.and_then(|target| target.without_rejected(&entries));
                    let entry = self.take(&mut batch, &sender, position, item, target, at_ms, random);
                    self.arrived(&mut batch, &sender, &mut channel, position, entry.index);
                    entry
                }
            };
            entries.push(entry);
        }
        self.inbound.insert(sender.clone(), channel);
        batch.changes.push(Change::Expect { from: sender.clone(), epoch, next: channel.expected });
        let receipt = self.give_receipt(&mut batch, sender, epoch, entries, at_ms, random);
        self.finish(&mut batch);
        Ok((batch, receipt))
    }

    fn arrived(&self, batch: &mut Batch, from: &AgencyId, channel: &mut Inbound, position: u64, leaf: u64) {
        batch.changes.push(Change::Arrived { from: from.clone(), epoch: channel.epoch, position, leaf });
        channel.expected = channel.expected.max(position + 1);
    }

    /// Takes one new record in, or rejects it; either way it gets a leaf.
    #[allow(clippy::too_many_arguments)]
    fn take(
        &mut self,
        batch: &mut Batch,
        sender: &AgencyId,
        position: u64,
        item: Item,
        target: Option<Target>,
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) -> Entry {
        let salt = salt(random);
        let judged = item.record.and_then(|record| {
            self.admit(&record, sender, target.as_ref(), at_ms)?;
            self.belongs(&record, target.as_ref())?;
            Ok(record)
        });
        let detail = judged.as_ref().err().map_or("", |reason| reason.name());
        let leaf = Leaf::about(What::Received, &item.id, at_ms, detail.as_bytes(), salt);
        let index = self.leaf(batch, leaf);
        match judged {
            Err(reason) => {
                Entry { rejected: Some(reason.name().to_owned()), ..accepted(position, item.id, at_ms, index, salt) }
            }
            Ok(record) => {
                batch.changes.push(Change::Keep { record: record.clone(), leaf: index, at_ms });
                self.act_on(batch, &record, target, at_ms, random);
                accepted(position, item.id, at_ms, index, salt)
            }
        }
    }

    /// Whether a record from a partner may come in.
    fn admit(&self, record: &Verified, sender: &AgencyId, target: Option<&Target>, at_ms: u64) -> Result<(), Reason> {
        let header = record.header();
        let chain = self.directory.chain();
        if header.author != *sender {
            return Err(Reason::SenderNotAuthor);
        }
        if !header.reaches(&self.me) {
            return Err(Reason::NotInAudience);
        }
        if !chain.knows(&header.register) {
            return Err(Reason::UnknownRegister);
        }
        if header.expires.is_some_and(|expires| expires < at_ms / 1000) {
            return Err(Reason::Expired);
        }
        self.fits(record)?;
        if header.kind == Retraction::KIND {
            deletion::origin(record, target, &*self.directory)?;
        }
        Ok(())
    }

    /// Whether a step belongs to a request between its author and this agency. A request that we do not hold and one that is
    /// not between the two get the same answer: nothing is told about what is held.
    fn belongs(&self, record: &Verified, target: Option<&Target>) -> Result<(), Reason> {
        if record.header().kind != RequestStep::KIND {
            return Ok(());
        }
        let request = target.and_then(|target| target.record.as_ref());
        let ours = request.is_some_and(|request| is_between(request, &self.me, &record.header().author));
        if ours { Ok(()) } else { Err(Reason::NoSuchRequest) }
    }

    /// Does what a record asks of its recipients.
    fn act_on(
        &mut self,
        batch: &mut Batch,
        record: &Verified,
        target: Option<Target>,
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) {
        self.govern(batch, record, at_ms, random);
        match record.header().kind.as_str() {
            "request" => self.confirm(batch, record, at_ms, random),
            "attachment" | "onward" if attachment_of(record).is_some() => batch.attachments.push(record.id()),
            "retraction" => {
                let action = self.retract(batch, record, target.as_ref(), at_ms, random);
                // What a legal hold keeps is named, so that it can go when the hold is lifted.
                let on_hold = action.1.as_deref() == Some(deletion::ON_HOLD);
                let kept = target.and_then(|target| target.record).map(|kept| kept.id()).filter(|_| on_hold);
                self.answer(batch, record, action, kept, at_ms, random);
            }
            "correction" => {
                let action = self.correct(batch, record, target.as_ref(), at_ms, random);
                self.answer(batch, record, action, None, at_ms, random);
            }
            _ => {}
        }
    }

    /// Tells who asks, in the same batch, that the clock of the request runs, and where this agency's days end.
    fn confirm(&mut self, batch: &mut Batch, request: &Verified, at_ms: u64, random: &mut ChaCha20Rng) {
        let header = request.header();
        let asked = Request::from_body(header, request.body()).is_ok_and(|body| body.asks(header, &self.me));
        // Who only has a copy has no clock, and whom the same parcel removed from the register is out of reach.
        if !asked || !self.outbound.contains_key(&header.author) {
            return;
        }
        let Answering { time_zone, within_s } = self.answering.clone();
        let body = RequestStep { at_ms, by: None, step: Step::Received { time_zone, within_s } };
        let references = vec![Reference { relation: Relation::Answers, record: request.id() }];
        let (thread, audience) = (header.thread, vec![header.author.clone()]);
        let handling = header.handling.of_a_word_on_it();
        let record = self.sign_as::<RequestStep>(body, thread, audience, references, handling, at_ms);
        self.author(batch, record, &[], at_ms, random);
    }

    /// Takes the receipt of a partner: its word on records that we sent it.
    pub fn take_receipt(
        &mut self,
        receipt: Verified,
        at_ms: u64,
        random: &mut ChaCha20Rng,
        facts: &dyn Facts,
    ) -> Result<Batch, Refused> {
        let refuse = |reason| Err(Refused::Because { reason, expected: 0 });
        let from = receipt.header().author.clone();
        match self.directory.chain().current().agency(&from) {
            None => return refuse(Reason::AuthorNotInRegister),
            Some(agency) if agency.removed.is_some() => return refuse(Reason::AuthorRemoved),
            Some(_) => {}
        }
        if !receipt.header().reaches(&self.me) {
            return refuse(Reason::NotInAudience);
        }
        if self.by_identity(receipt.header()) {
            return refuse(Reason::UnknownKey);
        }
        let body = match Receipt::from_body(receipt.header(), receipt.body()) {
            Ok(body) => body,
            Err(reason) => return refuse(reason),
        };
        if body.epoch != self.epoch {
            return refuse(Reason::StaleEpoch);
        }
        let mut settled = Vec::new();
        for run in body.entries.chunk_by(|entry, next| entry.position.checked_add(1) == Some(next.position)) {
            let queued = facts.queued(&from, run[0].position, run.len())?;
            // A word on another record than the one that stands there is no word at all.
            // Of a record that was deleted here since it was settled, whoever asks for it again gets the stand-in.
            let stand_in = RecordId::of(STAND_IN);
            let told_of = |((record, settled), entry): (&(RecordId, bool), &Entry)| {
                entry.record == *record || *settled && entry.record == stand_in
            };
            if queued.len() != run.len() || !queued.iter().zip(run).all(told_of) {
                return refuse(Reason::Malformed);
            }
            let new = run.iter().zip(queued).filter(|(_, (_, settled))| !settled).map(|(entry, _)| entry);
            settled.extend(new.map(|entry| (entry.position, entry.rejected.is_none())));
        }
        let mut batch = Batch::default();
        if let Some(channel) = self.outbound.get_mut(&from) {
            for entry in &body.entries {
                channel.settle(entry.position);
            }
        }
        if settled.is_empty() {
            return Ok(batch);
        }
        for run in settled.chunk_by(|(position, accepted), next| *next == (position + 1, *accepted)) {
            let ((first, accepted), (last, _)) = (run[0], run[run.len() - 1]);
            batch.changes.push(Change::Settle { to: from.clone(), first, last, accepted });
        }
        let leaf = self.leaf(&mut batch, Leaf::about(What::Receipt, &receipt.id(), at_ms, &[], salt(random)));
        batch.changes.push(Change::Keep { record: receipt, leaf, at_ms });
        self.finish(&mut batch);
        Ok(batch)
    }

    fn give_receipt(
        &mut self,
        batch: &mut Batch,
        to: AgencyId,
        epoch: u64,
        entries: Vec<Entry>,
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) -> Verified {
        let body = Receipt { epoch, ledger: self.ledger_origin(), entries };
        let mut thread = [0; 16];
        random.fill_bytes(&mut thread);
        let receipt = self.sign::<Receipt>(body, ThreadId(thread), vec![to], Vec::new(), at_ms);
        let leaf = self.leaf(batch, Leaf::about(What::Receipt, &receipt.id(), at_ms, &[], salt(random)));
        batch.changes.push(Change::Keep { record: receipt.clone(), leaf, at_ms });
        receipt
    }

    /// Signs a record that the node itself has to say.
    fn sign<B: Body>(
        &self,
        body: B,
        thread: ThreadId,
        audience: Vec<AgencyId>,
        references: Vec<Reference>,
        at_ms: u64,
    ) -> Verified {
        self.sign_as(body, thread, audience, references, Handling::community(), at_ms)
    }

    /// The same, with other handling.
    pub(crate) fn sign_as<B: Body>(
        &self,
        body: B,
        thread: ThreadId,
        audience: Vec<AgencyId>,
        references: Vec<Reference>,
        handling: Handling,
        at_ms: u64,
    ) -> Verified {
        let header = Header {
            key: KeyId([0; 16]),
            author: self.me.clone(),
            issued_at: at_ms / 1000,
            thread,
            kind: B::KIND.to_owned(),
            audience,
            register: self.directory.chain().hash(),
            handling,
            references,
            expires: None,
        };
        // Bodies that the node makes are within every limit; a parcel bounds a receipt.
        Draft { header, body: body.to_body() }.sign(&self.signer).expect("a record of the node's own making is sound")
    }

    /// Records something that was done, such as a use of a record.
    pub fn note(&mut self, leaf: Leaf) -> Batch {
        let mut batch = Batch::default();
        self.leaf(&mut batch, leaf);
        self.finish(&mut batch);
        batch
    }

    /// Lets a register version, a proposal, an approval or a key set take effect.
    fn govern(&mut self, batch: &mut Batch, record: &Verified, at_ms: u64, random: &mut ChaCha20Rng) {
        if !crate::infrastructure::governs(&record.header().kind) {
            return;
        }
        let mut directory = (*self.directory).clone();
        let before = directory.chain().current().version;
        self.governance.take(&mut directory, batch, record);
        self.adopt_directory(batch, directory, before, at_ms, random);
    }

    /// Takes a longer register chain over from a partner, if it begins with the one at hand.
    pub fn adopt_chain(&mut self, chain: Chain, at_ms: u64, random: &mut ChaCha20Rng) -> Result<Batch, Reason> {
        let mut batch = Batch::default();
        let ours = self.directory.chain().versions();
        let same = chain.versions().iter().zip(ours).all(|(theirs, ours)| theirs.hash == ours.hash);
        if !same {
            return Err(Reason::BadRegister);
        }
        if chain.versions().len() <= ours.len() {
            return Ok(batch);
        }
        let before = self.directory.chain().current().version;
        let mut directory = (*self.directory).clone();
        directory.set_chain(chain);
        self.governance.settle(directory.chain());
        self.adopt_directory(&mut batch, directory, before, at_ms, random);
        self.finish(&mut batch);
        Ok(batch)
    }

    /// Takes a key set over that a partner handed us, its own or another's.
    pub fn adopt_key_set(&mut self, record: &[u8]) -> Result<Batch, Reason> {
        let mut batch = Batch::default();
        let mut directory = (*self.directory).clone();
        if directory.take_key_set(record)? {
            // The directory has just parsed it.
            let agency = Unverified::parse(record.to_vec())?.header().author.clone();
            batch.changes.push(Change::KeySet { agency, record: record.to_vec() });
            batch.directory_changed = true;
            self.directory = Arc::new(directory);
        }
        Ok(batch)
    }

    fn adopt_directory(
        &mut self,
        batch: &mut Batch,
        directory: Directory,
        before: u64,
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) {
        for enacted in directory.chain().versions().iter().filter(|e| e.version.version > before) {
            batch.changes.push(Change::Register(Box::new(enacted.clone())));
            let leaf =
                Leaf { what: What::Register, at_ms, subject: enacted.hash, detail: Vec::new(), salt: salt(random) };
            self.leaf(batch, leaf);
        }
        let gone: Vec<_> = self.outbound.keys().filter(|to| directory.chain().member(to).is_none()).cloned().collect();
        for to in gone {
            self.outbound.remove(&to);
            batch.changes.push(Change::Cancel { to });
        }
        for partner in directory.partners(&self.me) {
            self.outbound.entry(partner.clone()).or_insert_with(|| Outbound::new(0, 1));
        }
        batch.directory_changed = true;
        self.directory = Arc::new(directory);
    }

    pub(crate) fn leaf(&mut self, batch: &mut Batch, leaf: Leaf) -> u64 {
        let index = self.tree.push(leaf.hash());
        batch.changes.push(Change::Leaf { index, leaf });
        index
    }

    pub(crate) fn finish(&mut self, batch: &mut Batch) {
        batch.changes.extend(self.tree.take_changed().into_iter().map(Change::Tile));
    }
}

/// The origin line of an agency's ledger.
pub fn ledger_origin(agency: &AgencyId, epoch: u64) -> String {
    format!("mufakat/{agency}/{epoch}")
}

pub(crate) fn salt(random: &mut ChaCha20Rng) -> [u8; 16] {
    let mut salt = [0; 16];
    random.fill_bytes(&mut salt);
    salt
}

fn accepted(position: u64, record: RecordId, at_ms: u64, index: u64, salt: [u8; 16]) -> Entry {
    Entry { position, record, rejected: None, at_ms, index, salt }
}
