//! What the store knows about the records of a delivery, asked before anything is decided.

use std::collections::BTreeMap;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::onward::{Carried, Onward, attachment_of};
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::request::Request;
use mufakat_record::kinds::request_step::RequestStep;
use mufakat_record::{AgencyId, RecordId, Relation, Verified};

use crate::engine::Item;
use crate::{Facts, Held, Inbound, Unavailable};

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
    pub(crate) passed_on: Vec<PassedOn>,
    /// Whether a legal hold is on it, on what it carries, or on what we passed on of it.
    pub(crate) on_hold: bool,
}

/// A record of ours with which we passed another on.
pub(crate) struct PassedOn {
    pub(crate) record: Verified,
    /// The attachments that went with it, each in a record of ours.
    pub(crate) attached: Vec<RecordId>,
    /// Whether we took it back already.
    pub(crate) taken_back: bool,
    /// Whether somebody has not confirmed it yet, so that it must stay for now.
    pub(crate) on_its_way: bool,
}

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
        Self::with(facts, me, record, None, attached, at_ms)
    }

    fn with(
        facts: &dyn Facts,
        me: &AgencyId,
        record: Verified,
        at: Option<usize>,
        attached: Vec<(RecordId, Option<usize>)>,
        at_ms: u64,
    ) -> Result<Self, Unavailable> {
        let mut on_hold = is_on_hold(facts, &record, at_ms)?;
        for (id, _) in &attached {
            on_hold = on_hold || facts.on_hold(id, &record.header().thread, at_ms)?;
        }
        let mut passed_on = Vec::new();
        let mut onwards = facts.referring(&record.id(), Relation::About)?;
        // Whoever lets go of what it passed on takes that back, too.
        onwards.push(record.clone());
        for onward in onwards {
            if onward.header().kind != Onward::KIND || onward.header().author != *me {
                continue;
            }
            let find = |id: &RecordId| Ok(facts.held(id)?.map(|held| (held.record, None)));
            let attached: Vec<RecordId> = attached_to(&onward, find)?.into_iter().map(|(id, _)| id).collect();
            let mut on_its_way = false;
            // A copy that stays holds what was carried: as long as one must stay, so must the others.
            on_hold = on_hold || is_on_hold(facts, &onward, at_ms)?;
            for id in std::iter::once(&onward.id()).chain(&attached) {
                on_its_way = on_its_way || facts.on_its_way(id)?;
                on_hold = on_hold || facts.on_hold(id, &onward.header().thread, at_ms)?;
            }
            let retractions = facts.referring(&onward.id(), Relation::Retracts)?;
            let taken_back = retractions.iter().any(|by| by.header().author == *me);
            passed_on.push(PassedOn { record: onward, attached, taken_back, on_its_way });
        }
        Ok(Self { record: Some(record), at, attached, passed_on, on_hold })
    }
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
                                let target = Self::target(facts, me, record, &within, (items, at_ms))?;
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
        within: &BTreeMap<RecordId, usize>,
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
            return Ok(Some(Target { record: found, at, attached: Vec::new(), passed_on: Vec::new(), on_hold: false }));
        }
        // What hangs on somebody else's record is no matter of this author.
        let Some(found) = found.filter(|found| found.header().author == header.author) else {
            return Ok(Some(Target { record: None, at, attached: Vec::new(), passed_on: Vec::new(), on_hold: false }));
        };
        let attached = attached_to(&found, find)?;
        Target::with(facts, me, found, at, attached, at_ms).map(Some)
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
