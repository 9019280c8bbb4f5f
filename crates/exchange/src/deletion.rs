//! Taking back and deleting: what a retraction does here, how it follows what this agency passed on, and what is told of it.
//!
//! Whoever passed a record on and lets go of it takes back what it passed on: otherwise a later retraction could not follow.
//! A legal hold keeps every copy that is here, and nothing that is elsewhere.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::deletable;
use mufakat_record::kinds::deletion_receipt::{DeletionReceipt, Why};
use mufakat_record::kinds::onward::{CARRIED_BYTES_MAX, ONWARD_DEPTH_MAX, Onward, original_of};
use mufakat_record::kinds::request_step::RequestStep;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, KeyBook, Reason, RecordId, Reference, Relation, ThreadId, Unverified, Verified};
use rand_chacha::ChaCha20Rng;

use crate::engine::salt;
use crate::known::{PassedOn, Target, is_by};
use crate::{Batch, Change, Exchange, Facts, Leaf, OnRetraction, SAID_MAX, Said, Unavailable, What};

/// What a retracting agency is told when a legal hold keeps the record: nothing of the case.
pub const ON_HOLD: &str = "a legal hold is on it";

/// Why content was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDeleted {
    /// There is no such record here, or its content is gone already.
    #[error("it is not held here")]
    NotHeld,
    /// A legal hold is on it.
    #[error("{ON_HOLD}")]
    OnHold,
    /// A partner has not confirmed it yet; it is deleted when it needs to be sent no more.
    #[error("it is still on its way to somebody")]
    OnItsWay,
    /// The community works by records of this kind.
    #[error("records of the community's own working are kept")]
    OfTheCommunity,
    /// This agency does not delete what is taken back.
    #[error("what is taken back is not deleted here")]
    KeptByRule,
}

/// The retraction with which a record that was passed on is taken back carries that of its originator; this is it. Everything
/// is compared and verified, as far as the record that is taken back is at hand. Where a key of the originator's is not known
/// here, or serves no more, there is none: whoever passed the record on takes it back in its own name all the same.
pub(crate) fn origin(
    retraction: &Verified,
    target: Option<&Target>,
    keys: &dyn KeyBook,
) -> Result<Option<Unverified>, Reason> {
    let origin = match innermost(retraction, |r| r.clone().verify(keys, r.header().issued_at).map(drop)) {
        Ok(Some(origin)) => origin,
        Ok(None) | Err(Reason::UnknownKey | Reason::KeyRevoked | Reason::KeyExpired | Reason::KeyNotYetValid) => {
            return Ok(None);
        }
        Err(reason) => return Err(reason),
    };
    if let Some(held) = target.and_then(|target| target.record.as_ref()) {
        let (id, header, _) = original_of(held)?;
        let fits = origin.header().author == header.author && origin.header().the_one(Relation::Retracts) == Some(id);
        if !fits || held.header().kind != Onward::KIND {
            return Err(Reason::CarriedMismatch);
        }
    }
    Ok(Some(origin))
}

/// The innermost of the retractions that one carries in another, each of which is checked on the way.
fn innermost(
    retraction: &Verified,
    check: impl Fn(&Unverified) -> Result<(), Reason>,
) -> Result<Option<Unverified>, Reason> {
    let mut carried = Retraction::from_body(retraction.header(), retraction.body())?.carries;
    let mut found = None;
    for _ in 0..ONWARD_DEPTH_MAX {
        let Some(bytes) = carried.take() else { return Ok(found) };
        let record = Unverified::parse(bytes)?;
        let body =
            Retraction::from_body(record.header(), record.claimed_body()).map_err(|_| Reason::CarriedMismatch)?;
        check(&record)?;
        carried = body.carries;
        found = Some(record);
    }
    if carried.is_some() { Err(Reason::PassedOnTooOften) } else { Ok(found) }
}

impl Exchange {
    /// Does what a retraction asks for, and says what was done.
    pub(crate) fn retract(
        &mut self,
        batch: &mut Batch,
        retraction: &Verified,
        target: Option<&Target>,
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) -> (Action, Option<String>) {
        // A record that we do not hold and one that is not the retracting agency's get the same answer.
        let author = &retraction.header().author;
        let held = target.and_then(|target| Some((target, target.record.as_ref().filter(|r| is_by(Some(r), author))?)));
        let Some((target, record)) = held.filter(|(_, record)| !is_erased(batch, &record.id())) else {
            return (Action::NotHeld, None);
        };
        if !deletable(&record.header().kind) {
            return (Action::Kept, Some(NotDeleted::OfTheCommunity.to_string()));
        }
        // Whatever this agency does itself, those to whom it passed the record on must hear of it.
        self.take_back(batch, target, Some(retraction), "its originator took it back", at_ms, random);
        match &self.on_retraction {
            OnRetraction::Mark => (Action::Marked, None),
            OnRetraction::Keep(law) => (Action::Kept, Some(law.clone())),
            OnRetraction::Delete if target.on_hold => (Action::Kept, Some(ON_HOLD.to_owned())),
            OnRetraction::Delete => {
                let record = record.clone();
                self.erase(batch, &record, target, Why::Retracted, at_ms, random);
                (Action::Deleted, None)
            }
        }
    }

    /// Does what a correction asks for, and says what was done. What was passed on of the record is taken back: whether the
    /// corrected record may follow is for people to decide.
    pub(crate) fn correct(
        &mut self,
        batch: &mut Batch,
        correction: &Verified,
        target: Option<&Target>,
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) -> (Action, Option<String>) {
        match target.filter(|target| is_by(target.record.as_ref(), &correction.header().author)) {
            None => (Action::NotHeld, None),
            Some(target) => {
                self.take_back(batch, target, None, "its originator corrected it", at_ms, random);
                (Action::Corrected, None)
            }
        }
    }

    /// Deletes the content of records, with all that belongs to it and may go, or says why not. What was passed on is taken
    /// back, the originators get their receipts, and where a retraction waited for it its answer.
    #[allow(clippy::type_complexity)]
    pub fn delete(
        &mut self,
        wanted: &[(RecordId, Why)],
        at_ms: u64,
        random: &mut ChaCha20Rng,
        facts: &dyn Facts,
    ) -> Result<(Batch, Vec<Result<(), NotDeleted>>), Unavailable> {
        // Everything is looked up before the first change: when the store cannot answer, nothing is half done.
        let mut found = Vec::with_capacity(wanted.len());
        for (id, why) in wanted {
            found.push((may_delete(facts, &self.me, &self.on_retraction, (id, *why), at_ms)?, *why));
        }
        let mut batch = Batch::default();
        let mut outcomes = Vec::with_capacity(found.len());
        for (judged, why) in found {
            outcomes.push(judged.and_then(|(record, target, asked_by)| {
                if is_erased(&batch, &record.id()) {
                    return Err(NotDeleted::NotHeld);
                }
                let reason =
                    if why == Why::Retracted { "its originator took it back" } else { "it is no longer held here" };
                self.take_back(&mut batch, &target, None, reason, at_ms, random);
                self.erase(&mut batch, &record, &target, why, at_ms, random);
                for retraction in asked_by {
                    self.answer(&mut batch, &retraction, (Action::Deleted, None), None, at_ms, random);
                }
                Ok(())
            }));
        }
        self.finish(&mut batch);
        Ok((batch, outcomes))
    }

    /// Takes back what this agency passed on of a record. The originator's retraction goes with it.
    fn take_back(
        &mut self,
        batch: &mut Batch,
        target: &Target,
        cause: Option<&Verified>,
        reason: &str,
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) {
        for passed_on in target.passed_on.iter() {
            let (header, id) = (&passed_on.header, passed_on.id);
            let audience: Vec<AgencyId> =
                header.audience.iter().filter(|to| self.outbound.contains_key(*to)).cloned().collect();
            if passed_on.taken_back || audience.is_empty() || is_taken_back(batch, &id) {
                continue;
            }
            let cause = cause.filter(|cause| is_rooted(cause, passed_on));
            let carries = cause.map(|cause| cause.bytes().to_vec()).filter(|bytes| bytes.len() <= CARRIED_BYTES_MAX);
            let body = Retraction { reason: reason.to_owned(), carries };
            let references = vec![Reference { relation: Relation::Retracts, record: id }];
            let (thread, handling) = (header.thread, header.handling.clone());
            let record = self.sign_as::<Retraction>(body, thread, audience, references, handling, at_ms);
            self.author(batch, record, &[], at_ms, random);
        }
    }

    /// Erases a record, the attachments that it carries, and what was passed on of it as far as nobody waits for that, and
    /// tells the originator. What stays waits for that, as it was taken back.
    fn erase(
        &mut self,
        batch: &mut Batch,
        record: &Verified,
        target: &Target,
        why: Why,
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) {
        let mut copies = vec![record.id()];
        let mut attachments: Vec<RecordId> = target.attached.iter().map(|(id, _)| *id).collect();
        for passed_on in target.passed_on.iter().filter(|passed_on| !passed_on.on_its_way) {
            copies.push(passed_on.id);
            attachments.extend(&passed_on.attached);
        }
        // A record that was passed on is among what was passed on of it.
        for ids in [&mut copies, &mut attachments] {
            ids.sort();
            ids.dedup();
        }
        copies.retain(|id| !is_erased(batch, id));
        attachments.retain(|id| !is_erased(batch, id) && !copies.contains(id));
        for id in copies.iter().chain(&attachments) {
            self.leaf(batch, Leaf::about(What::Deletion, id, at_ms, why.name().as_bytes(), salt(random)));
            batch.changes.push(Change::Erase { record: *id });
        }
        self.tell_originator(batch, record, why, [copies.len(), attachments.len()], at_ms, random);
    }

    /// The deletion receipt, which stands in the same batch as what it tells of.
    fn tell_originator(
        &mut self,
        batch: &mut Batch,
        record: &Verified,
        why: Why,
        [copies, attachments]: [usize; 2],
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) {
        // What is held was read when it came.
        let Ok((original, header, _)) = original_of(record) else { return };
        let bearer = &record.header().author;
        let audience = self.reachable([header.author.clone(), bearer.clone()]);
        if audience.is_empty() {
            return;
        }
        let through = (*bearer != header.author && *bearer != self.me).then(|| bearer.clone());
        let (copies, attachments) = (copies as u64, attachments as u64);
        let body = DeletionReceipt { why, at: at_ms / 1000, copies, attachments, through };
        let references = vec![Reference { relation: Relation::About, record: original }];
        // Two receipts of one second may say the same of two copies, and are two all the same.
        let thread = ThreadId(salt(random));
        let handling = header.handling.of_a_word_on_it();
        let receipt = self.sign_as::<DeletionReceipt>(body, thread, audience, references, handling, at_ms);
        self.author(batch, receipt, &[], at_ms, random);
    }

    /// Answers a retraction or correction: its author, and the originator whose retraction it carries.
    pub(crate) fn answer(
        &mut self,
        batch: &mut Batch,
        to: &Verified,
        (action, reason): (Action, Option<String>),
        kept: Option<RecordId>,
        at_ms: u64,
        random: &mut ChaCha20Rng,
    ) {
        let carries = to.header().kind == Retraction::KIND;
        let origin = carries.then(|| origin(to, None, &*self.directory).ok().flatten()).flatten();
        let asking = [Some(to.header().author.clone()), origin.as_ref().map(|origin| origin.header().author.clone())];
        let audience = self.reachable(asking.into_iter().flatten());
        if audience.is_empty() {
            // The same parcel removed its sender from the register: there is nobody to answer.
            return;
        }
        let body = Answer { action, reason, at: at_ms / 1000 };
        let about = |record| Reference { relation: Relation::About, record };
        let mut references = vec![Reference { relation: Relation::Answers, record: to.id() }];
        references.extend(origin.map(|origin| about(origin.id())).into_iter().chain(kept.map(about)));
        references.sort();
        references.dedup();
        let thread = to.header().thread;
        let handling = to.header().handling.of_a_word_on_it();
        let record = self.sign_as::<Answer>(body, thread, audience, references, handling, at_ms);
        self.author(batch, record, &[], at_ms, random);
    }

    /// Those of some agencies to whom there is a channel, ascending and once each.
    fn reachable(&self, agencies: impl IntoIterator<Item = AgencyId>) -> Vec<AgencyId> {
        let mut reachable: Vec<_> = agencies.into_iter().filter(|to| self.outbound.contains_key(to)).collect();
        reachable.sort_unstable();
        reachable.dedup();
        reachable
    }
}

/// Whether a record could be deleted now: the judgement of [`Exchange::delete`] on its own, for those who look through many.
pub fn could_delete(
    facts: &dyn Facts,
    me: &AgencyId,
    on_retraction: &OnRetraction,
    wanted: (&RecordId, Why),
    at_ms: u64,
) -> Result<Result<(), NotDeleted>, Unavailable> {
    Ok(may_delete(facts, me, on_retraction, wanted, at_ms)?.map(drop))
}

/// A record that may be deleted, with what hangs on it and the retractions that wait for it; or why it may not.
#[allow(clippy::type_complexity)]
fn may_delete(
    facts: &dyn Facts,
    me: &AgencyId,
    on_retraction: &OnRetraction,
    (id, why): (&RecordId, Why),
    at_ms: u64,
) -> Result<Result<(Verified, Target, Vec<Verified>), NotDeleted>, Unavailable> {
    let Some(record) = facts.held(id)?.and_then(|held| held.record) else { return Ok(Err(NotDeleted::NotHeld)) };
    if !deletable(&record.header().kind) && !outlived_its_request(facts, &record)? {
        return Ok(Err(NotDeleted::OfTheCommunity));
    }
    let mut asked_by = Vec::new();
    if why == Why::Retracted {
        if *on_retraction != OnRetraction::Delete {
            return Ok(Err(NotDeleted::KeptByRule));
        }
        let (relation, by, kind) = (Relation::Retracts, &record.header().author, Retraction::KIND);
        // Each is answered; who says it more often than that has had an answer to each before, and gets a receipt anyway.
        asked_by = facts.referring(id, Said { relation, by, kind, latest: SAID_MAX })?;
        if asked_by.is_empty() {
            return Ok(Err(NotDeleted::KeptByRule));
        }
        // Our own retractions, of what we passed on, ask nobody here for an answer.
        asked_by.retain(|by| by.header().author != *me);
    }
    let target = Target::held(facts, me, record.clone(), at_ms)?;
    if target.on_hold {
        return Ok(Err(NotDeleted::OnHold));
    }
    if record.header().author == *me {
        for id in std::iter::once(id).chain(target.attached.iter().map(|(id, _)| id)) {
            if facts.on_its_way(id)? {
                return Ok(Err(NotDeleted::OnItsWay));
            }
        }
    }
    Ok(Ok((record, target, asked_by)))
}

/// Whether a record is a step of a request whose content is deleted. Before that the state of the request rests on it.
fn outlived_its_request(facts: &dyn Facts, record: &Verified) -> Result<bool, Unavailable> {
    let request = record.header().the_one(Relation::Answers).filter(|_| record.header().kind == RequestStep::KIND);
    let held = request.map_or(Ok(None), |request| facts.held(&request))?;
    Ok(held.is_some_and(|held| held.record.is_none()))
}

/// Whether a retraction is the originator's, or carries it. One of those in between says only that it holds it no longer.
fn is_rooted(retraction: &Verified, passed_on: &PassedOn) -> bool {
    let by_originator = passed_on.originator.as_ref() == Some(&retraction.header().author);
    by_originator || innermost(retraction, |_| Ok(())).is_ok_and(|origin| origin.is_some())
}

fn is_erased(batch: &Batch, id: &RecordId) -> bool {
    batch.changes.iter().any(|change| matches!(change, Change::Erase { record } if record == id))
}

fn is_taken_back(batch: &Batch, id: &RecordId) -> bool {
    let retracts = |record: &Verified| record.header().the_one(Relation::Retracts) == Some(*id);
    batch.changes.iter().any(|change| matches!(change, Change::Keep { record, .. } if retracts(record)))
}
