//! Asking partners, and watching: what is watched is looked up again in each filter that comes, and asked again under each new key.

use std::collections::BTreeSet;

use mufakat_matching::question::{self, Secret};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_ask::{Item, MatchAsk, MatchEnd, MatchSent, Sent};
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::request::By;
use mufakat_record::{AgencyId, Digest, Handling, RecordId, Reference, Relation, ThreadId, Tlp, Verified, sha256};
use mufakat_views::matching::{Ask, Key, Question, State, current};

use super::publish::partner_of;
use super::{ASK_AGAIN_MS, DAY_S, IDENTIFIERS, SUBJECT, identifier, input_of};
use crate::Sabotage;
use crate::community::sign;
use crate::invariant::{Invariant, Stop};
use crate::world::World;

impl World {
    /// An officer asks some partners about some identifiers, and may have them watched.
    pub(super) fn ask_by_matching(&mut self, node: usize) -> Result<(), Stop> {
        if !self.matches(node)? {
            return Ok(());
        }
        let mut holders: BTreeSet<AgencyId> = BTreeSet::new();
        for row in self.matched(node, ("side", "got"))? {
            holders.extend(partner_of(&row));
        }
        let members = self.directory(node)?;
        let holders: Vec<AgencyId> = holders.into_iter().filter(|id| members.chain().member(id).is_some()).collect();
        if holders.is_empty() {
            return Ok(());
        }
        let partners = self.dice.some(&holders, 4);
        let all: Vec<u64> = (0..IDENTIFIERS).collect();
        let mut numbers = self.dice.some(&all, 4);
        if self.dice.chance(60) {
            // So many that the question is of the next size.
            numbers = (0..17).collect();
        }
        let item = |number| Item { subject: SUBJECT, value: identifier(number), birth_year: None };
        let now_s = self.clock_ms(node) / 1000;
        let ask = MatchAsk {
            by: None,
            purpose: "EXERCISE piracy".to_owned(),
            case: format!("EXERCISE {}", self.mark([node])),
            basis: "EXERCISE law".to_owned(),
            partners,
            items: numbers.into_iter().map(item).collect(),
            secret: if self.sabotage(Sabotage::ReuseBlinds, 1000) { [1; 32] } else { self.dice.bytes() },
            watch_until: self.dice.chance(600).then(|| now_s + self.dice.between(300, 30 * DAY_S)),
        };
        let targets = self.targets(node, &ask.partners, &[])?;
        if targets.is_empty() && ask.watch_until.is_none() {
            return Ok(());
        }
        let record = self.home(node, &ask, &[])?;
        let id = record.id();
        self.tell(|_| {
            format!("{node}: asks {targets:?} about {:?}", ask.items.iter().map(|i| &i.value).collect::<Vec<_>>())
        });
        self.send_questions(node, Some(record), id, &ask, targets)
    }

    /// Whom to ask, and under which key: those under whose key nothing was asked yet, and of whom nothing was asked within a day.
    fn targets(
        &mut self,
        node: usize,
        partners: &[AgencyId],
        before: &[Question],
    ) -> Result<Vec<(AgencyId, RecordId)>, Stop> {
        let directory = self.directory(node)?;
        let mut targets = Vec::new();
        for partner in partners.iter().filter(|partner| directory.chain().member(partner).is_some()) {
            let before: Vec<_> = before.iter().filter(|question| question.partner == *partner).collect();
            let now_ms = self.clock_ms(node);
            if before.iter().any(|question| (question.asked_ms..question.asked_ms + ASK_AGAIN_MS).contains(&now_ms)) {
                continue;
            }
            let key = self.usable_key(node, partner)?.filter(|key| before.iter().all(|question| question.key != *key));
            targets.extend(key.map(|key| (partner.clone(), key)));
        }
        Ok(targets)
    }

    /// The key under which a partner answers now: the latest one that has a filter.
    fn usable_key(&mut self, node: usize, partner: &AgencyId) -> Result<Option<RecordId>, Stop> {
        let now_s = self.clock_ms(node) / 1000;
        let usable = |key: &Key| !key.filters.is_empty() && (key.from..key.until).contains(&now_s);
        let latest = current("got", partner, SUBJECT);
        if let Some((row, _)) = self.matched_one(node, ("current", &latest), |row| Key::of(row).filter(usable))? {
            return Ok(Some(row.record));
        }
        // Between a new key and its filter the earlier one still serves.
        let rows = self.matched(node, ("partner", partner.as_str()))?;
        let usable = |row: &&mufakat_views::Row| Key::of(row).is_some_and(|key| key.side == "got" && usable(&key));
        Ok(rows.iter().rev().find(usable).map(|row| row.record))
    }

    /// Puts an ask and its questions on record, all or none.
    fn send_questions(
        &mut self,
        node: usize,
        first: Option<Verified>,
        id: RecordId,
        ask: &MatchAsk,
        targets: Vec<(AgencyId, RecordId)>,
    ) -> Result<(), Stop> {
        let inputs = inputs(ask);
        let mut records: Vec<Verified> = first.into_iter().collect();
        let mut sent = Vec::new();
        for (partner, key) in targets {
            let (mut header, signer) = self.head(node, vec![partner.clone()], MatchQuestion::KIND)?;
            // What is made from one secret and nothing else is the same in two questions.
            let thread = if self.sabotage(Sabotage::ReuseBlinds, 1000) { ThreadId([1; 16]) } else { header.thread };
            header.thread = thread;
            let made = question::ask(&secret_of(&ask.secret, &partner, &key, &thread), &inputs);
            let made = made.map_err(|fault| {
                self.failure(Invariant::WorksAlone, &[node], format!("nothing can be asked: {fault}"))
            })?;
            let in_clear = self.sabotage(Sabotage::AskInClear, 1000).then(|| ask.items[0].value.clone());
            let body = MatchQuestion {
                by: By::default(),
                case: case_of(&ask.secret, &partner, &key, &thread, &ask.case),
                basis: in_clear.unwrap_or_else(|| ask.basis.clone()),
                count: made.count,
                commitment: Digest(made.commitment),
                elements: made.elements.concat(),
            };
            header.handling = Handling { purposes: Some(vec![ask.purpose.clone()]), ..Handling::with(Tlp::Amber) };
            header.references = vec![Reference { relation: Relation::About, record: key }];
            let record = sign(header, &body, &signer);
            sent.push(Sent { question: record.id(), partner, subject: SUBJECT, key, part: 0, count: made.count });
            records.push(record);
        }
        if !sent.is_empty() {
            records.push(self.home(node, &MatchSent { questions: sent }, &[id])?);
        }
        self.say(node, records)
    }

    /// Looks after every watch.
    pub(super) fn keep_watches(&mut self, node: usize) -> Result<(), Stop> {
        for row in self.matched(node, ("watch", "open"))? {
            let (id, Some(ask)) = (row.record, Ask::of(&row)) else { continue };
            if ask.watch_until.is_none_or(|until| until <= self.clock_ms(node) / 1000) {
                self.end_watch(node, id)?;
                continue;
            }
            let Some(asked) = self.read_ask(node, &id)? else { continue };
            let questions = self.questions_of(node, &id)?;
            for partner in &ask.partners {
                for question in questions.iter().filter(|question| question.partner == *partner) {
                    self.look_again(node, question, &asked)?;
                }
                let targets = self.targets(node, std::slice::from_ref(partner), &questions)?;
                if !targets.is_empty() {
                    self.tell(|_| format!("{node}: asks again for {id}: {targets:?}"));
                    self.send_questions(node, None, id, &asked, targets)?;
                }
            }
        }
        self.forget_tags(node)
    }

    /// Looks a question up again if its holder has told of a filter since.
    fn look_again(&mut self, node: usize, question: &Question, asked: &MatchAsk) -> Result<(), Stop> {
        let looked_into = matches!(question.state, State::Hit | State::Miss | State::Fault);
        let key = self.matched_one(node, ("key", &question.key.to_string()), Key::of)?;
        // When its key is over nothing new comes under it.
        let now_s = self.clock_ms(node) / 1000;
        let last =
            key.filter(|(_, key)| now_s < key.until).and_then(|(_, key)| key.filters.last().map(|last| last.record));
        let (Some(last), true, true) = (last, looked_into, question.answer.is_some()) else { return Ok(()) };
        if self.core(node)?.looked.get(&question.question) == Some(&last) {
            return Ok(());
        }
        match self.tags_of(node, question, asked)? {
            Ok(tags) => self.look_up(node, question, tags),
            Err(_) => {
                self.core(node)?.looked.insert(question.question, last);
                Ok(())
            }
        }
    }

    /// Erases the tags that nothing needs.
    fn forget_tags(&mut self, node: usize) -> Result<(), Stop> {
        if self.matched(node, ("row", Question::ROW))?.is_empty() {
            return Ok(());
        }
        for question in self.with_lists(node, |lists, _| lists.tagged())? {
            let row = self.matched_one(node, ("question", &question.to_string()), Question::of)?;
            let needed = match row {
                None => false,
                Some((_, row)) => row.state == State::Answered || self.open_watch(node, &row.ask)?.is_some(),
            };
            if !needed {
                self.with_lists(node, |lists, _| lists.drop_tags(&question))?;
            }
        }
        Ok(())
    }

    /// An ask that is watched and was not ended.
    pub(super) fn open_watch(&mut self, node: usize, ask: &RecordId) -> Result<Option<Ask>, Stop> {
        let rows = self.matched(node, ("watch", "open"))?;
        Ok(rows.iter().find(|row| row.record == *ask).and_then(Ask::of))
    }

    /// An officer ends a watch.
    pub(super) fn end_some_watch(&mut self, node: usize) -> Result<(), Stop> {
        let open: Vec<RecordId> = self.matched(node, ("watch", "open"))?.iter().map(|row| row.record).collect();
        match self.dice.pick(&open) {
            Some(id) if self.matches(node)? => self.end_watch(node, id),
            _ => Ok(()),
        }
    }

    fn end_watch(&mut self, node: usize, id: RecordId) -> Result<(), Stop> {
        let record = self.home(node, &MatchEnd { by: None }, &[id])?;
        self.say(node, vec![record])
    }

    /// Every question of an ask.
    fn questions_of(&mut self, node: usize, ask: &RecordId) -> Result<Vec<Question>, Stop> {
        Ok(self.matched(node, ("ask", &ask.to_string()))?.iter().filter_map(Question::of).collect())
    }

    /// An ask of a node that was not deleted.
    pub(super) fn read_ask(&mut self, node: usize, id: &RecordId) -> Result<Option<MatchAsk>, Stop> {
        let record = self.held_record(node, id)?;
        Ok(record.and_then(|record| MatchAsk::from_body(record.header(), record.body()).ok()))
    }
}

/// The inputs of an ask, one for each item.
pub(super) fn inputs(ask: &MatchAsk) -> Vec<Vec<u8>> {
    ask.items.iter().filter_map(input_of).map(|(_, input)| input).collect()
}

/// The secret of one question, which follows from the ask's and from its own thread.
pub(super) fn secret_of(ask: &[u8; 32], partner: &AgencyId, key: &RecordId, thread: &ThreadId) -> Secret {
    Secret::from_bytes(sha256(&own(b"mufakat match question 1", ask, partner, key, thread)))
}

/// The salted hash of a case, as one question has it.
fn case_of(ask: &[u8; 32], partner: &AgencyId, key: &RecordId, thread: &ThreadId, case: &str) -> Digest {
    Digest::of(&[own(b"mufakat match case 1", ask, partner, key, thread).as_slice(), case.as_bytes()].concat())
}

/// What no other question has.
fn own(what: &[u8], ask: &[u8; 32], partner: &AgencyId, key: &RecordId, thread: &ThreadId) -> Vec<u8> {
    let parts: [&[u8]; 6] = [ask, what, &key.0, &thread.0, partner.as_str().as_bytes(), b"\0"];
    parts.concat()
}
