//! What liars say in requests: steps that are not theirs to take, in requests that are not theirs, in another's name, or twice.
//! Nothing of that may change what a request has come to.

use std::collections::BTreeMap;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::request::{By, Request};
use mufakat_record::kinds::request_step::{RequestStep, Step};
use mufakat_record::{AgencyId, Reason, RecordId, Reference, Relation, Verified};
use mufakat_store::Queries;
use mufakat_views::Rows;
use mufakat_views::requests::{Entry, NAME};

use crate::community::{header, sign};
use crate::invariant::{Invariant, Stop};
use crate::liar::Expect;
use crate::requests::{request, steps};
use crate::world::{Minted, World};

/// How many sorts of lies there are here.
pub(crate) const STEP_LIES_MORE: u64 = 10;

/// What each request has come to at a node, by partner.
pub(crate) type Standing = BTreeMap<(RecordId, AgencyId), Entry>;

impl World {
    /// The records of a lie about requests, and what must come of them.
    pub(crate) fn lie_of_step(&mut self, lie: u64, node: usize, victim: usize) -> Result<(Vec<Vec<u8>>, Expect), Stop> {
        let me = self.nodes[node].id.clone();
        let own = self.requests_with(victim, &me)?;
        let others = self.requests_without(victim, &me);
        let one = |record: Verified| vec![record.into_bytes()];
        let stranger = || Expect::Rejected(&[Reason::NoSuchRequest]);
        Ok(match (lie, self.dice.pick(&own), self.dice.pick(&others)) {
            (1 | 2, _, Some(theirs)) => (one(self.lying_step(node, victim, &me, theirs, None)?), stranger()),
            (3, ..) => {
                let unknown = RecordId(self.dice.bytes());
                (one(self.lying_step(node, victim, &me, unknown, None)?), stranger())
            }
            (4, _, Some(theirs)) => {
                // In the name of whoever asks or is asked there.
                let minted = &self.minted[&theirs];
                let names = minted.audience.iter().chain([&minted.author]).filter(|id| **id != me).cloned();
                let names: Vec<AgencyId> = names.filter(|id| *id != self.nodes[victim].id).collect();
                let name = self.dice.pick(&names).unwrap_or(me);
                let record = self.lying_step(node, victim, &name, theirs, None)?;
                let named = if name == self.nodes[node].id {
                    stranger()
                } else {
                    Expect::Rejected(&[Reason::UnknownKey, Reason::SenderNotAuthor])
                };
                (one(record), named)
            }
            (5, ..) => match self.genuine_step(victim, &me) {
                Some(bytes) => (vec![bytes], Expect::Rejected(&[Reason::SenderNotAuthor, Reason::UnknownKey])),
                None => self.liar_asks(node, victim)?,
            },
            // A step of the side on which it does not stand, once or twice.
            (6.., Some((request, asking)), _) => {
                let record = self.lying_step(node, victim, &me, request, Some(!asking))?.into_bytes();
                let times = if lie.is_multiple_of(2) { 1 } else { 2 };
                (vec![record; times], Expect::Accepted)
            }
            _ => self.liar_asks(node, victim)?,
        })
    }

    fn liar_asks(&mut self, node: usize, victim: usize) -> Result<(Vec<Vec<u8>>, Expect), Stop> {
        let register = self.directory(victim)?.chain().hash();
        let (me, to) = (self.nodes[node].id.clone(), vec![self.nodes[victim].id.clone()]);
        let header = header(&me, to, register, Request::KIND, self.clock_ms(victim) / 1000);
        let words: [u8; 8] = self.dice.bytes();
        let body = request(&format!("EXERCISE {words:?}"), None, None);
        Ok((vec![sign(header, &body, &self.nodes[node].keys.newest()).into_bytes()], Expect::Accepted))
    }

    /// A step in a request, signed by the liar; of the asking or the asked side, or of either.
    fn lying_step(
        &mut self,
        node: usize,
        victim: usize,
        name: &AgencyId,
        request: RecordId,
        askers: Option<bool>,
    ) -> Result<Verified, Stop> {
        let register = self.directory(victim)?.chain().hash();
        let at_ms = self.clock_ms(victim);
        let words: [u8; 8] = self.dice.bytes();
        let mut choice = steps(&format!("EXERCISE {words:?}"), at_ms / 1000);
        choice.push(Step::Received { time_zone: "UTC".to_owned(), within_s: Some(1) });
        choice.retain(|step| askers.is_none_or(|askers| step.is_askers() == askers));
        let step = self.dice.pick(&choice).unwrap_or(Step::Closed);
        let to = vec![self.nodes[victim].id.clone()];
        let mut header = header(name, to, register, RequestStep::KIND, at_ms / 1000);
        header.references = vec![Reference { relation: Relation::Answers, record: request }];
        let body = RequestStep { at_ms, by: Some(By::default()), step };
        Ok(sign(header, &body, &self.nodes[node].keys.newest()))
    }

    /// The requests that stand between a node and the liar there, each with whether it is the liar that asks.
    fn requests_with(&mut self, victim: usize, liar: &AgencyId) -> Result<Vec<(RecordId, bool)>, Stop> {
        let rows = self.core(victim)?.store.rows(NAME, &[], Some(("partner", liar.as_str()))).unwrap_or_default();
        let side = |row: &mufakat_views::Row| row.body["side"].as_str().map(str::to_owned);
        let rows = rows.into_iter().filter(|row| row.body["rejected"].is_null());
        let rows = rows.filter_map(|row| Some((row.record, side(&row)?)));
        let ours = rows.filter(|(_, side)| side != "copy").map(|(record, side)| (record, side == "asked"));
        let ours: Vec<_> = ours.collect();
        let store = &self.core(victim)?.store;
        Ok(ours.into_iter().filter(|(id, _)| matches!(store.record_bytes(id), Ok(Some(_)))).collect())
    }

    /// Requests that a node has or has had, and in which the liar has no say.
    fn requests_without(&self, victim: usize, liar: &AgencyId) -> Vec<RecordId> {
        let id = &self.nodes[victim].id;
        let without = |minted: &&Minted| {
            let known = minted.author == *id || minted.audience.contains(id);
            let record = Verified::from_own_store(minted.bytes.clone()).ok().filter(|_| known);
            record.is_some_and(|record| {
                // It may be asked the same, or have a copy: with the victim it has nothing to do there unless that asks it.
                let (header, asks_liar) = (record.header(), |body: &Request| body.asks(record.header(), liar));
                let body = Request::from_body(header, record.body());
                body.is_ok_and(|body| header.author != *id || !asks_liar(&body))
            })
        };
        self.minted.iter().filter(|(_, minted)| without(minted)).map(|(id, _)| *id).collect()
    }

    /// A step that another took, as it was signed.
    fn genuine_step(&mut self, victim: usize, liar: &AgencyId) -> Option<Vec<u8>> {
        let id = &self.nodes[victim].id;
        let theirs = self.minted.values().filter(|m| m.author != *liar && (m.author == *id || m.audience.contains(id)));
        let read = theirs.filter_map(|m| Verified::from_own_store(m.bytes.clone()).ok());
        let steps = read.filter(|record| record.header().kind == RequestStep::KIND).map(Verified::into_bytes);
        let steps: Vec<_> = steps.collect();
        self.dice.pick(&steps)
    }

    /// What the requests of a node have come to.
    pub(crate) fn standing(&mut self, node: usize) -> Result<Standing, Stop> {
        if self.options.without_desks {
            return Ok(Standing::new());
        }
        let rows = self.core(node)?.store.rows(NAME, &[], None).unwrap_or_default();
        let entries = rows.iter().filter_map(|row| Some((row.record, Entry::of(&row.body)?)));
        Ok(entries.map(|(record, entry)| ((record, entry.partner.clone()), entry)).collect())
    }

    /// A lie has changed nothing: requests between others are as they were, and those with the liar have come to the same.
    pub(crate) fn nothing_changed(
        &mut self,
        victim: usize,
        node: usize,
        lie: u64,
        before: &Standing,
    ) -> Result<(), Stop> {
        if !self.is_up(victim) {
            return Ok(());
        }
        let (now, liar) = (self.standing(victim)?, self.nodes[node].id.clone());
        for (which, entry) in before {
            let mut now = now.get(which).cloned();
            if let Some(now) = now.as_mut().filter(|_| which.1 == liar) {
                // What it may say of its own requests is on record, and out of turn.
                now.steps.retain(|line| entry.steps.contains(line) || !line.out_of_turn);
                now.steps_left_out = entry.steps_left_out;
            }
            if now.as_ref() != Some(entry) {
                let what = format!("lie {lie}: request {} was {entry:?}, and is {now:?}", which.0);
                return Err(self.failure(Invariant::BadInputIsAnswer, &[victim, node], what).into());
            }
        }
        Ok(())
    }
}
