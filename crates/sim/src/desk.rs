//! What officers do at their desks: they look things up, tell originators of it, place and lift legal holds, and order deletions.
//! Requests and drafts have files of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mufakat_exchange::{Batch, Change, Facts, Leaf, Refusal, Submission, What};
use mufakat_record::kinds::deletion_order::DeletionOrder;
use mufakat_record::kinds::deletion_receipt::Why;
use mufakat_record::kinds::hold::{Hold, HoldLifted};
use mufakat_record::kinds::onward::{Carried, original_of};
use mufakat_record::kinds::use_summary::UseSummary;
use mufakat_record::kinds::{Body, deletable};
use mufakat_record::{
    Act as Deed, AgencyId, Digest, Header, How, RecordId, Reference, Relation, Role, SigningKey, ThreadId, Verified,
};
use mufakat_store::summaries::gather;
use mufakat_store::{Error, Queries};
use rand_chacha::rand_core::Rng;

use crate::Sabotage;
use crate::acts::Act;
use crate::community::{header, sign};
use crate::invariant::{Invariant, Stop};
use crate::node::unavailable;
use crate::receive::marker_text;
use crate::world::World;

/// The policy set under which everything is done.
pub(crate) const POLICY: Digest = Digest([9; 32]);
/// After how long at most people have stopped working, once the faults have ended.
const OVERTIME_MS: u64 = 10_000;

/// The run's own account of what was done at desks.
#[derive(Default)]
pub(crate) struct Desks {
    /// The leaves that tell of each use, by who used which record.
    pub(crate) uses: BTreeMap<(usize, RecordId), Vec<u64>>,
    /// How often copies of a record that were passed on were used, by who used them and what they carry.
    pub(crate) uses_passed_on: BTreeMap<(usize, RecordId), u64>,
    holds: Vec<Placed>,
    /// The matter of each record that was ever kept, and what it carries.
    matters: BTreeMap<RecordId, (ThreadId, Vec<RecordId>)>,
    /// What was deleted because somebody ordered it, and where.
    pub(crate) ordered: BTreeSet<(usize, RecordId)>,
}

/// A legal hold.
#[derive(Debug, Clone)]
struct Placed {
    node: usize,
    hold: RecordId,
    on: Vec<RecordId>,
    thread: Option<ThreadId>,
    until: Option<u64>,
    lifted: Option<RecordId>,
}

impl Placed {
    fn keeps(&self, node: usize, record: &RecordId, (thread, carried): &(ThreadId, Vec<RecordId>), now_s: u64) -> bool {
        self.node == node
            && self.lifted.is_none()
            && self.until.is_none_or(|until| now_s < until)
            && (self.thread == Some(*thread)
                || self.on.contains(record)
                || self.on.iter().any(|on| carried.contains(on)))
    }
}

/// Whether a record is for its author alone.
pub(crate) fn is_home(header: &Header) -> bool {
    header.audience == [header.author.clone()]
}

impl World {
    /// Draws when people are at their desks.
    pub(crate) fn plan_desks(&mut self) {
        let end = self.plan.chaos_ms + OVERTIME_MS;
        let honest = self.honest();
        for _ in 0..self.dice.between(20, 50) {
            let (at, node) = (self.dice.below(end), self.dice.pick(&honest).unwrap_or_default());
            self.act_after(at, Act::Desk { node });
        }
    }

    /// How long people will work yet.
    pub(crate) fn hours_left(&self) -> u64 {
        (self.plan.chaos_ms + OVERTIME_MS).saturating_sub(self.now).max(1)
    }

    /// Somebody at an agency does something.
    pub(crate) fn at_desk(&mut self, node: usize) -> Result<(), Stop> {
        let me = self.nodes[node].id.clone();
        if self.directory(node)?.chain().member(&me).is_none() {
            return Ok(());
        }
        match self.dice.below(20) {
            0..4 => self.ask_partners(node),
            4..10 => self.work_on_draft(node),
            10..15 => self.use_records(node),
            15 => {
                let now_ms = self.clock_ms(node);
                self.tell_of_uses(node, now_ms)
            }
            16..18 => self.place_hold(node),
            18 => self.lift_hold(node),
            _ => self.order_deletion(node),
        }
    }

    /// What of a change has to do with desks, and what must hold of it.
    pub(crate) fn note_at_desk(&mut self, node: usize, change: &Change) -> Result<(), Stop> {
        match change {
            Change::Keep { record, .. } => self.note_kept(node, record),
            Change::Leaf { index, leaf } => {
                if leaf.what == What::Use {
                    let others = Deed::from_detail(&leaf.detail).and_then(|deed| deed.records).unwrap_or_default();
                    let used: BTreeSet<_> = others.into_iter().chain([RecordId(leaf.subject.0)]).collect();
                    for record in used {
                        self.desks.uses.entry((node, record)).or_default().push(*index);
                        if let Some(original) = self.carried_by(&record) {
                            *self.desks.uses_passed_on.entry((node, original)).or_default() += 1;
                        }
                    }
                } else if leaf.what == What::Deletion && leaf.detail == Why::Order.name().as_bytes() {
                    self.desks.ordered.insert((node, RecordId(leaf.subject.0)));
                }
                Ok(())
            }
            Change::Erase { record } => self.may_erase(node, record),
            _ => Ok(()),
        }
    }

    /// What a record that was passed on carries in the end.
    pub(crate) fn carried_by(&self, record: &RecordId) -> Option<RecordId> {
        let held = Verified::from_own_store(self.minted.get(record)?.bytes.clone()).ok()?;
        original_of(&held).ok().map(|(original, ..)| original).filter(|original| original != record)
    }

    fn note_kept(&mut self, node: usize, record: &Verified) -> Result<(), Stop> {
        let header = record.header();
        let carried = Carried::read(header, record.body()).map(|carried| carried.ids().collect()).unwrap_or_default();
        self.desks.matters.insert(record.id(), (header.thread, carried));
        if header.author != self.nodes[node].id {
            if is_home(header) {
                let what = format!("the home record {} of {} is kept", record.id(), header.author);
                return Err(self.failure(Invariant::AudienceOnly, &[node], what).into());
            }
            return Ok(());
        }
        let about = |relation| header.references.iter().filter(move |r| r.relation == relation).map(|r| r.record);
        if let Ok(hold) = Hold::from_body(header, record.body()) {
            let (on, Hold { thread, until, .. }) = (about(Relation::About).collect(), hold);
            self.desks.holds.push(Placed { node, hold: record.id(), on, thread, until, lifted: None });
        } else if header.kind == HoldLifted::KIND {
            let lifted = header.the_one(Relation::About);
            let holds = self.desks.holds.iter_mut();
            holds
                .filter(|placed| placed.node == node && Some(placed.hold) == lifted)
                .for_each(|placed| placed.lifted = placed.lifted.or(Some(record.id())));
        }
        Ok(())
    }

    /// A record is deleted: no legal hold may be on it.
    fn may_erase(&mut self, node: usize, record: &RecordId) -> Result<(), Stop> {
        let now_s = self.clock_ms(node) / 1000;
        let Some(matter) = self.desks.matters.get(record) else { return Ok(()) };
        let Some(placed) = self.desks.holds.iter().find(|placed| placed.keeps(node, record, matter, now_s)) else {
            return Ok(());
        };
        let what = format!("record {record} is deleted, though a legal hold is on it: {placed:?}");
        Err(self.failure(Invariant::HeldStays, &[node], what).into())
    }

    /// What a node that was restored from a backup has forgotten.
    pub(crate) fn forget_at_desk(&mut self, node: usize, leaves: u64, store: &mufakat_store::Sqlite) {
        let has = |id: &RecordId| matches!(store.record_bytes(id), Ok(Some(_)));
        self.desks.holds.retain(|placed| placed.node != node || has(&placed.hold));
        for placed in self.desks.holds.iter_mut().filter(|placed| placed.node == node) {
            placed.lifted = placed.lifted.filter(has);
        }
        for (_, indexes) in self.desks.uses.iter_mut().filter(|((by, _), _)| *by == node) {
            indexes.retain(|index| *index < leaves);
        }
    }

    /// A header for something that is said now, and the key that signs it. Who is no longer a member is left out.
    pub(crate) fn head(
        &mut self,
        node: usize,
        mut to: Vec<AgencyId>,
        kind: &str,
    ) -> Result<(Header, Arc<SigningKey>), Stop> {
        let (directory, now_s) = (self.directory(node)?, self.clock_ms(node) / 1000);
        let signer = self.core(node)?.exchange.signer();
        to.retain(|to| directory.chain().member(to).is_some());
        let mut header = header(&self.nodes[node].id, to, directory.chain().hash(), kind, now_s);
        header.thread = ThreadId(self.dice.bytes());
        Ok((header, signer))
    }

    /// A home record about some others.
    pub(crate) fn home<B: Body>(&mut self, node: usize, body: &B, about: &[RecordId]) -> Result<Verified, Stop> {
        let me = self.nodes[node].id.clone();
        let (mut header, signer) = self.head(node, vec![me], B::KIND)?;
        header.references = about.iter().map(|id| Reference { relation: Relation::About, record: *id }).collect();
        header.references.sort();
        header.references.dedup();
        Ok(sign(header, body, &signer))
    }

    /// Puts records on record, and on their way.
    pub(crate) fn say(&mut self, node: usize, records: Vec<Verified>) -> Result<(), Stop> {
        self.stats.records += records.len() as u64;
        let submissions: Vec<_> = records.into_iter().map(|record| Submission { record, key: None }).collect();
        self.submit_all(node, submissions)
    }

    pub(crate) fn submit_all(&mut self, node: usize, submissions: Vec<Submission>) -> Result<(), Stop> {
        let said = self.transact(node, |exchange, store, random, now_ms| {
            match exchange.submit(submissions, &POLICY, now_ms, random, store) {
                Ok((batch, _)) => Ok((batch, Ok(()))),
                Err(Refusal::Unavailable(error)) => Err(unavailable(error)),
                Err(refusal) => Ok((Batch::default(), Err(refusal))),
            }
        })?;
        said.map_err(|refusal| {
            let what = format!("what is said at a desk is refused: {refusal}");
            self.failure(Invariant::WorksAlone, &[node], what).into()
        })
    }

    /// A new marker, which these may see.
    pub(crate) fn mark(&mut self, may_see: impl IntoIterator<Item = usize>) -> String {
        self.markers.push(may_see.into_iter().collect());
        marker_text(self.markers.len() - 1)
    }

    /// Some of the records that people at a node can look up.
    fn some_held(&mut self, node: usize, most: usize) -> Result<Vec<Verified>, Stop> {
        let me = self.nodes[node].id.clone();
        let theirs = self.minted.iter().filter(|(_, m)| m.author == me || m.audience.contains(&me)).map(|(id, _)| *id);
        let theirs: Vec<RecordId> = theirs.collect();
        let mut found = Vec::new();
        for _ in 0..most {
            let Some(id) = self.dice.pick(&theirs) else { break };
            let bytes = self.core(node)?.store.record_bytes(&id).ok().flatten();
            let record = bytes.and_then(|bytes| Verified::from_own_store(bytes).ok());
            found.extend(record.filter(|record| deletable(&record.header().kind)));
        }
        Ok(found)
    }

    /// Somebody reads, finds or exports records.
    fn use_records(&mut self, node: usize) -> Result<(), Stop> {
        let records: Vec<RecordId> = self.some_held(node, 5)?.iter().map(Verified::id).collect();
        let Some((first, others)) = records.split_first() else { return Ok(()) };
        let deed = Deed {
            officer: Some("d3-night".parse().expect("a sound name")),
            role: self.dice.pick(&[None, Some(Role::Analyst), Some(Role::DutyOfficer)]).flatten(),
            purpose: self.dice.pick(&[None, Some("piracy".to_owned())]).flatten(),
            records: (!others.is_empty()).then(|| others.to_vec()),
            ..Deed::of_the_node(self.dice.pick(&[How::Read, How::Hit, How::Export]).unwrap_or(How::Read), POLICY)
        };
        let first = *first;
        self.transact(node, |exchange, _, random, now_ms| {
            let mut salt = [0; 16];
            random.fill_bytes(&mut salt);
            Ok((exchange.note(Leaf::about(What::Use, &first, now_ms, &deed.to_detail(), salt)), ()))
        })
    }

    /// Tells originators how their records were used before a time.
    pub(crate) fn tell_of_uses(&mut self, node: usize, before_ms: u64) -> Result<(), Stop> {
        let miscounts = self.sabotage(Sabotage::MiscountUse, 500);
        let core = self.core(node)?;
        let gathered = gather(&core.store, core.told, core.exchange.ledger().0, before_ms..=u64::MAX);
        let gathered = gathered
            .map_err(|e| self.failure(Invariant::WorksAlone, &[node], format!("uses cannot be gathered: {e}")))?;
        let mut submissions = Vec::new();
        for (originator, mut summary, key) in gathered.summaries() {
            summary.uses[0].count += u64::from(miscounts);
            let (header, signer) = self.head(node, vec![originator.clone()], UseSummary::KIND)?;
            if !header.audience.is_empty() {
                submissions.push(Submission { record: sign(header, &summary, &signer), key: Some(key) });
            }
        }
        if !submissions.is_empty() {
            self.submit_all(node, submissions)?;
        }
        self.core(node)?.told = Some(gathered.until);
        Ok(())
    }

    fn place_hold(&mut self, node: usize) -> Result<(), Stop> {
        let records = self.some_held(node, 2)?;
        let Some(first) = records.first() else { return Ok(()) };
        let thread = self.dice.chance(400).then_some(first.header().thread);
        let on: Vec<RecordId> = if thread.is_some() { Vec::new() } else { records.iter().map(Verified::id).collect() };
        let until = self.dice.chance(300).then(|| self.clock_ms(node) / 1000 + self.dice.between(30, 600));
        let reason = format!("EXERCISE {}", self.mark([node]));
        let hold = self.home(node, &Hold { by: None, thread, reason, until }, &on)?;
        self.say(node, vec![hold])?;
        self.tell(|_| format!("{node}: a legal hold on {on:?} {thread:?}"));
        let first = first.id();
        if self.sabotage(Sabotage::DeleteHeld, 1000) {
            self.transact(node, |exchange, _, _, now_ms| {
                let mut batch = exchange.note(Leaf::about(What::Deletion, &first, now_ms, b"order", [1; 16]));
                batch.changes.push(Change::Erase { record: first });
                Ok((batch, ()))
            })?;
        }
        Ok(())
    }

    /// Lifts a legal hold; then what waited for that is deleted.
    fn lift_hold(&mut self, node: usize) -> Result<(), Stop> {
        let placed: Vec<RecordId> = self
            .desks
            .holds
            .iter()
            .filter(|placed| placed.node == node && placed.lifted.is_none())
            .map(|placed| placed.hold)
            .collect();
        let Some(hold) = self.dice.pick(&placed) else { return Ok(()) };
        let reason = format!("EXERCISE {}", self.mark([node]));
        let lifted = self.home(node, &HoldLifted { by: None, reason }, &[hold])?;
        self.say(node, vec![lifted])?;
        self.delete_waiting(node)
    }

    /// Somebody who may do so has a record deleted.
    fn order_deletion(&mut self, node: usize) -> Result<(), Stop> {
        let Some(record) = self.some_held(node, 1)?.pop() else { return Ok(()) };
        let id = record.id();
        let reason = format!("EXERCISE {}", self.mark([node]));
        let order = self.home(node, &DeletionOrder { by: None, why: Why::Order, reason }, &[id])?;
        let done = self.transact(node, |exchange, store, random, now_ms| {
            let (mut batch, outcomes) =
                exchange.delete(&[(id, Why::Order)], now_ms, random, store).map_err(unavailable)?;
            if !outcomes.iter().all(Result::is_ok) {
                return Ok((Batch::default(), false));
            }
            let order = vec![Submission { record: order, key: None }];
            let ordered = exchange.submit(order, &POLICY, now_ms, random, store);
            let (ordered, _) = ordered.map_err(|refusal| Error::Unavailable(refusal.to_string()))?;
            batch.changes.extend(ordered.changes);
            Ok((batch, true))
        })?;
        self.tell(|_| format!("{node}: an order to delete {id}: {done}"));
        Ok(())
    }

    /// Whether a node has the content of a record.
    pub(crate) fn has(&mut self, node: usize, id: &RecordId) -> Result<bool, Stop> {
        Ok(self.core(node)?.store.held(id).is_ok_and(|held| held.is_some_and(|held| held.record.is_some())))
    }
}
