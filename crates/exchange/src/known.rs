//! What the store knows about the records of a delivery, asked before anything is decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::onward::{Carried, Onward, attachment_of, original_of};
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::request::Request;
use mufakat_record::kinds::request_step::RequestStep;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, Header, RecordId, Relation, Verified};

use crate::engine::Item;
use crate::{Facts, Held, Inbound, Said, Unavailable};

/// A record, unless its content was deleted, with its place in the same delivery if it comes with that.
type Found = (Option<Verified>, Option<usize>);

/// What a retraction, a correction or a step of a request is about, as far as it is held.
pub(crate) struct Target {
    /// The record; absent when its content was deleted.
    pub(crate) record: Option<Verified>,
    /// Where it stands in the same delivery, if it comes with that.
    at: Option<usize>,
    /// Attachments that it carries, of the same author, with their places in the same delivery.
    pub(crate) attached: Vec<(RecordId, Option<usize>)>,
    /// What we passed on of it.
    pub(crate) passed_on: Arc<[PassedOn]>,
    /// Whether a legal hold is on it, on what it carries, or on what we passed on of it.
    pub(crate) on_hold: bool,
}

/// A record of ours with which we passed another on. Its bytes are not kept: many records of one delivery may be about the same.
pub(crate) struct PassedOn {
    pub(crate) id: RecordId,
    pub(crate) header: Header,
    /// Who wrote what it carries; nobody if that cannot be read.
    pub(crate) originator: Option<AgencyId>,
    /// The attachments that went with it, each in a record of ours.
    pub(crate) attached: Vec<RecordId>,
    /// Whether we took it back already.
    pub(crate) taken_back: bool,
    /// Whether somebody has not confirmed it yet, so that it must stay for now.
    pub(crate) on_its_way: bool,
    /// Whether a legal hold is on it, or on what went with it.
    pub(crate) on_hold: bool,
}

/// What was passed on of each record that was asked about.
type PassedOnOf = BTreeMap<RecordId, Arc<[PassedOn]>>;

impl Target {
    /// What is left of it when those that came in the same delivery and were rejected are left out.
    pub(crate) fn without_rejected(mut self, entries: &[Entry]) -> Option<Self> {
        let taken = |at: Option<usize>| at.is_none_or(|at| entries[at].rejected.is_none());
        self.attached.retain(|(_, at)| taken(*at));
        taken(self.at).then_some(self)
    }

    /// A record that is held, with all that hangs on it.
    pub(crate) fn held(facts: &dyn Facts, me: &AgencyId, record: Verified, at_ms: u64) -> Result<Self, Unavailable> {
        let find = |id: &RecordId| Ok(facts.held(id)?.map(|held| (held.record, None)));
        let attached = attached_to(&record, find)?;
        let passed_on = passed_on(facts, me, &record, at_ms)?;
        let on_hold = stays(facts, &record, (&attached, &passed_on), at_ms)?;
        Ok(Self { record: Some(record), at: None, attached, passed_on, on_hold })
    }

    /// One of which nothing is known but its place.
    fn bare(record: Option<Verified>, at: Option<usize>) -> Self {
        Self { record, at, attached: Vec::new(), passed_on: Arc::new([]), on_hold: false }
    }
}

/// What we passed on of a record; of one that we passed on itself, that too: whoever lets go of it takes it back.
fn passed_on(facts: &dyn Facts, me: &AgencyId, record: &Verified, at_ms: u64) -> Result<Arc<[PassedOn]>, Unavailable> {
    let ours = |relation, kind, latest| Said { relation, by: me, kind, latest };
    let mut passed_on = Vec::new();
    // None of them may be missed, and there is one for each time that an agency was given it.
    let mut onwards = facts.referring(&record.id(), ours(Relation::About, Onward::KIND, usize::MAX))?;
    if record.header().kind == Onward::KIND && record.header().author == *me {
        onwards.push(record.clone());
    }
    for onward in onwards {
        let find = |id: &RecordId| Ok(facts.held(id)?.map(|held| (held.record, None)));
        let attached: Vec<RecordId> = attached_to(&onward, find)?.into_iter().map(|(id, _)| id).collect();
        let mut on_its_way = false;
        for id in std::iter::once(&onward.id()).chain(&attached) {
            on_its_way = on_its_way || facts.on_its_way(id)?;
        }
        let taken_back = !facts.referring(&onward.id(), ours(Relation::Retracts, Retraction::KIND, 1))?.is_empty();
        let on_hold = is_on_hold_with(facts, &onward, &attached, at_ms)?;
        let originator = original_of(&onward).ok().map(|(_, header, _)| header.author);
        let (id, header) = (onward.id(), onward.header().clone());
        passed_on.push(PassedOn { id, header, originator, attached, taken_back, on_its_way, on_hold });
    }
    Ok(passed_on.into())
}

/// Whether a legal hold keeps a record. A copy that was passed on holds what it carries: as long as one must stay, so must the
/// other.
fn stays(
    facts: &dyn Facts,
    record: &Verified,
    (attached, passed_on): (&[(RecordId, Option<usize>)], &[PassedOn]),
    at_ms: u64,
) -> Result<bool, Unavailable> {
    let on_hold = is_on_hold_with(facts, record, attached.iter().map(|(id, _)| id), at_ms)?;
    Ok(on_hold || passed_on.iter().any(|passed_on| passed_on.on_hold))
}

/// Whether a legal hold is on a record, or on one of its attachments.
fn is_on_hold_with<'a>(
    facts: &dyn Facts,
    record: &Verified,
    attached: impl IntoIterator<Item = &'a RecordId>,
    at_ms: u64,
) -> Result<bool, Unavailable> {
    let mut on_hold = is_on_hold(facts, record, at_ms)?;
    for id in attached {
        on_hold = on_hold || facts.on_hold(id, &record.header().thread, at_ms)?;
    }
    Ok(on_hold)
}

/// Whether a legal hold is on a record, on its thread, or on what it carries.
pub fn is_on_hold(facts: &dyn Facts, record: &Verified, at_ms: u64) -> Result<bool, Unavailable> {
    let header = record.header();
    let mut ids = vec![record.id()];
    if header.kind == Onward::KIND
        && let Ok(carried) = Carried::read(header, record.body())
    {
        ids.extend(carried.ids());
    }
    for id in ids {
        if facts.on_hold(&id, &header.thread, at_ms)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The attachments that a record carries and that are its author's: naming somebody else's record as one's attachment gives no
/// say over it.
fn attached_to(
    record: &Verified,
    find: impl Fn(&RecordId) -> Result<Option<Found>, Unavailable>,
) -> Result<Vec<(RecordId, Option<usize>)>, Unavailable> {
    let mut attached = Vec::new();
    for reference in record.header().references.iter().filter(|r| r.relation == Relation::Attaches) {
        let Some((Some(found), at)) = find(&reference.record)? else { continue };
        if found.header().author == record.header().author && attachment_of(&found).is_some() {
            attached.push((reference.record, at));
        }
    }
    Ok(attached)
}

/// What the store knows about one item of a delivery.
pub(crate) enum Known {
    /// It came at this very place before; this is what was said on it.
    Before(Entry),
    /// The record came at another place before.
    Record(Held),
    /// The same record stands earlier in the same delivery, at this index.
    Within(usize),
    /// It is new. For a retraction or correction: the record that it is about, if it is held.
    New(Option<Target>),
}

impl Known {
    pub(crate) fn look_up(
        facts: &dyn Facts,
        me: &AgencyId,
        sender: &AgencyId,
        channel: Inbound,
        (first, at_ms): (u64, u64),
        items: &[Item],
    ) -> Result<Vec<Self>, Unavailable> {
        let mut within = BTreeMap::new();
        // A delivery may hold many records about the same one.
        let mut passed_on = BTreeMap::new();
        let mut known = Vec::with_capacity(items.len());
        for (at, (position, item)) in (first..).zip(items).enumerate() {
            let before =
                if position < channel.expected { facts.arrival(sender, channel.epoch, position)? } else { None };
            known.push(match (before, &item.record) {
                (Some(entry), _) => Known::Before(entry),
                // Whether we hold somebody else's record is not told to those who send it. Receipts have no place on a channel.
                (None, Ok(record)) if record.header().author == *sender && record.header().kind != Receipt::KIND => {
                    match facts.held(&item.id)? {
                        Some(held) => Known::Record(held),
                        None => match within.get(&item.id) {
                            Some(earlier) => Known::Within(*earlier),
                            None => {
                                let target =
                                    Self::target(facts, me, record, (&within, &mut passed_on), (items, at_ms))?;
                                within.insert(item.id, at);
                                Known::New(target)
                            }
                        },
                    }
                }
                (None, _) => Known::New(None),
            });
        }
        Ok(known)
    }

    /// What a record is about, be it held already or new in the same delivery.
    fn target(
        facts: &dyn Facts,
        me: &AgencyId,
        record: &Verified,
        (within, known): (&BTreeMap<RecordId, usize>, &mut PassedOnOf),
        (items, at_ms): (&[Item], u64),
    ) -> Result<Option<Target>, Unavailable> {
        let header = record.header();
        let target = match header.kind.as_str() {
            "retraction" => header.the_one(Relation::Retracts),
            "correction" => header.the_one(Relation::Corrects),
            RequestStep::KIND => header.the_one(Relation::Answers),
            _ => None,
        };
        let find = |id: &RecordId| -> Result<Option<Found>, Unavailable> {
            match within.get(id) {
                Some(at) => Ok(Some((items[*at].record.clone().ok(), Some(*at)))),
                None => Ok(facts.held(id)?.map(|held| (held.record, None))),
            }
        };
        let Some((found, at)) = target.map_or(Ok(None), |id| find(&id))? else { return Ok(None) };
        if header.kind == RequestStep::KIND {
            return Ok(Some(Target::bare(found, at)));
        }
        // What hangs on somebody else's record is no matter of this author.
        let Some(found) = found.filter(|found| found.header().author == header.author) else {
            return Ok(Some(Target::bare(None, at)));
        };
        let attached = attached_to(&found, find)?;
        let passed_on = match known.get(&found.id()) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(known.entry(found.id()).or_insert(passed_on(facts, me, &found, at_ms)?)),
        };
        let on_hold = stays(facts, &found, (&attached, &passed_on), at_ms)?;
        Ok(Some(Target { record: Some(found), at, attached, passed_on, on_hold }))
    }
}

/// Whether a record is there and is this agency's.
pub(crate) fn is_by(record: Option<&Verified>, author: &AgencyId) -> bool {
    record.is_some_and(|record| record.header().author == *author)
}

/// Whether a record is a request that one of the two agencies asks the other.
pub(crate) fn is_between(record: &Verified, one: &AgencyId, other: &AgencyId) -> bool {
    let header = record.header();
    let asked = if header.author == *one { other } else { one };
    (header.author == *one || header.author == *other)
        && Request::from_body(header, record.body()).is_ok_and(|request| request.asks(header, asked))
}
