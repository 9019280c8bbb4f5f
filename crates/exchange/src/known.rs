//! What the store knows about the records of a delivery, asked before anything is decided.

use std::collections::BTreeMap;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::request::Request;
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
}

impl Target {
    /// What is left of it when those that came in the same delivery and were rejected are left out.
    pub(crate) fn without_rejected(mut self, entries: &[Entry]) -> Option<Self> {
        let taken = |at: Option<usize>| at.is_none_or(|at| entries[at].rejected.is_none());
        self.attached.retain(|(_, at)| taken(*at));
        taken(self.at).then_some(self)
    }
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
        sender: &AgencyId,
        channel: Inbound,
        first: u64,
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
                                let target = Self::target(facts, record, &within, items)?;
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
        record: &Verified,
        within: &BTreeMap<RecordId, usize>,
        items: &[Item],
    ) -> Result<Option<Target>, Unavailable> {
        let header = record.header();
        let target = match header.kind.as_str() {
            "retraction" => header.the_one(Relation::Retracts),
            "correction" => header.the_one(Relation::Corrects),
            "request-step" => header.the_one(Relation::Answers),
            _ => None,
        };
        let find = |id: &RecordId| -> Result<Option<Found>, Unavailable> {
            match within.get(id) {
                Some(at) => Ok(Some((items[*at].record.clone().ok(), Some(*at)))),
                None => Ok(facts.held(id)?.map(|held| (held.record, None))),
            }
        };
        let Some((target, at)) = target.map_or(Ok(None), |id| find(&id))? else { return Ok(None) };
        let mut attached = Vec::new();
        let references = target.iter().flat_map(|target| &target.header().references);
        for reference in references.filter(|r| r.relation == Relation::Attaches) {
            // Naming somebody else's record as one's attachment gives no say over it.
            let Some((Some(found), at)) = find(&reference.record)? else { continue };
            if found.header().kind == Attachment::KIND && found.header().author == header.author {
                attached.push((reference.record, at));
            }
        }
        Ok(Some(Target { record: target, at, attached }))
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
