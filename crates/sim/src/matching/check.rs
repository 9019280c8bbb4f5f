//! What must hold of matching: some of it of every record that becomes durable, the rest at the end of a run.

use std::collections::{BTreeMap, BTreeSet};

use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_ask::MatchAsk;
use mufakat_record::kinds::match_list::MatchBudget;
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::match_result::MatchResult;
use mufakat_record::{AgencyId, RecordId, Relation, Verified};
use mufakat_store::Queries;
use mufakat_views::matching::{Asked, Key, NAME, Question, State};
use mufakat_views::{Row, Rows};

use super::{DAY_S, IDENTIFIER, input_of};
use crate::invariant::{Invariant, Stop};
use crate::world::World;

impl World {
    /// What must hold of a record of matching that a node has just kept.
    pub(super) fn check_kept(&mut self, node: usize, record: &Verified) -> Result<(), Stop> {
        let header = record.header();
        let own = header.author == self.nodes[node].id;
        if header.kind != MatchAsk::KIND && tells_of_an_identifier(record.bytes()) {
            let what = format!("record {} ({}) holds an identifier", record.id(), header.kind);
            return Err(self.failure(Invariant::NothingLearned, &[node], what).into());
        }
        if !own {
            return Ok(());
        }
        if let Ok(question) = MatchQuestion::from_body(header, record.body()) {
            self.stats.questions += 1;
            return self.check_unlinked(node, &question);
        }
        if let Ok(budget) = MatchBudget::from_body(header, record.body()) {
            let said = (u64::from(budget.limit), u64::from(budget.window_days));
            self.matching.budgets.insert((node, budget.partner), said);
        }
        match header.the_one(Relation::About) {
            Some(question) if header.kind == MatchResult::KIND => {
                self.stats.results += 1;
                self.check_result(node, &question)
            }
            _ if header.kind == MatchAnswer::KIND => self.check_budget(node, record),
            _ => Ok(()),
        }
    }

    /// No two questions have an element in common, so nobody sees that two ask the same.
    fn check_unlinked(&mut self, node: usize, question: &MatchQuestion) -> Result<(), Stop> {
        for element in question.elements.as_chunks::<32>().0 {
            if !self.matching.elements.insert(*element) {
                let what = "two questions have an element in common".to_owned();
                return Err(self.failure(Invariant::NothingLearned, &[node], what).into());
            }
        }
        Ok(())
    }

    /// No more was evaluated for a partner within a window than its budget. How long a window is, a clock that is set back cannot
    /// say.
    fn check_budget(&mut self, node: usize, answer: &Verified) -> Result<(), Stop> {
        let said = MatchAnswer::from_body(answer.header(), answer.body());
        let Ok(MatchAnswer { outcome: Outcome::Evaluated { elements, .. } }) = said else { return Ok(()) };
        let Some(partner) = answer.header().audience.first().cloned() else { return Ok(()) };
        if self.nodes[node].restored {
            return Ok(());
        }
        let now_ms = self.clock_ms(node);
        let both = (node, partner.clone());
        let (limit, days) = self.matching.budgets.get(&both).copied().unwrap_or_default();
        let since_ms = now_ms.saturating_sub(days * DAY_S * 1000);
        let evaluated = self.matching.evaluated.entry(both).or_default();
        evaluated.push((now_ms, elements.len() as u64 / 32));
        let went_on = evaluated.windows(2).all(|pair| pair[0].0 <= pair[1].0);
        let used: u64 = evaluated.iter().filter(|(at_ms, _)| *at_ms >= since_ms).map(|(_, size)| size).sum();
        if went_on && used > limit {
            let what = format!("{used} elements were evaluated for {partner} within {days} days, of {limit}");
            return Err(self.failure(Invariant::BudgetsHold, &[node], what).into());
        }
        Ok(())
    }

    /// What a result says is true of the last filter that came; and of an answer that is not sound none says anything.
    fn check_result(&mut self, node: usize, question: &RecordId) -> Result<(), Stop> {
        let found = self.matched_one(node, ("question", &question.to_string()), Question::of)?;
        // The ask may be deleted.
        let Some((_, question)) = found else { return Ok(()) };
        if is_filter_missing(&question) {
            let key = self.matched_one(node, ("key", &question.key.to_string()), Key::of)?;
            if key.is_none_or(|(_, key)| self.clock_ms(node) / 1000 < key.until) {
                let what = format!("a filter is given up while its key is in force: {question:?}");
                return Err(self.failure(Invariant::HitsTrue, &[node], what).into());
            }
        }
        self.check_said(node, &question)
    }

    fn check_said(&mut self, node: usize, question: &Question) -> Result<(), Stop> {
        let lie = question.answer.is_some_and(|answer| self.matching.liars.lied.contains(&answer));
        let holder = self.index(&question.partner);
        let concerned: Vec<usize> = [node].into_iter().chain(holder).collect();
        match (question.state, lie) {
            (State::Fault, true) => return Ok(()),
            (State::Hit | State::Miss, true) => {
                let what = format!("an answer that is not sound was believed: {question:?}");
                return Err(self.failure(Invariant::LiesAreFaults, &concerned, what).into());
            }
            (State::Hit | State::Miss, false) => {}
            // Its bytes had not come when the key was over, by a clock that may have been set on.
            (State::Fault, false) if is_filter_missing(question) => return Ok(()),
            _ => {
                let what = format!("nothing can be said of a sound answer: {question:?}");
                return Err(self.failure(Invariant::HitsTrue, &concerned, what).into());
            }
        }
        let key = self.matched_one(node, ("key", &question.key.to_string()), Key::of)?;
        let last = key.and_then(|(_, key)| key.filters.last().map(|last| last.record));
        let truth = last.and_then(|last| self.matching.truth.get(&last)).cloned().unwrap_or_default();
        let listed = self.items_of(&question.ask).into_iter().enumerate();
        let listed: Vec<(u32, u32)> =
            listed.filter_map(|(item, name)| Some((item as u32, *truth.get(&name)? & 0xff_ffff))).collect();
        let shown: Vec<(u32, u32)> = question.hits.iter().map(|hit| (hit.item, hit.handle)).collect();
        if shown != listed || (question.state == State::Hit) == listed.is_empty() {
            let what = format!("{shown:?} is shown where {listed:?} is listed, by the last filter: {question:?}");
            return Err(self.failure(Invariant::HitsTrue, &concerned, what).into());
        }
        Ok(())
    }

    /// What an ask is about, also when it was deleted since.
    fn items_of(&self, ask: &RecordId) -> Vec<String> {
        let record = self.minted.get(ask).and_then(|minted| Verified::from_own_store(minted.bytes.clone()).ok());
        let ask = record.and_then(|record| MatchAsk::from_body(record.header(), record.body()).ok());
        let items = ask.into_iter().flat_map(|ask| ask.items);
        items.filter_map(|item| input_of(&item)).map(|(canonical, _)| canonical).collect()
    }

    /// Everything that must hold of matching at the end.
    pub(crate) fn check_matching(&mut self) -> Result<(), Stop> {
        if self.options.without_matching {
            return Ok(());
        }
        let answers = self.answers();
        let sound: Vec<usize> = self.honest().into_iter().filter(|node| self.is_sound(*node)).collect();
        for node in sound {
            let rows = self.core(node)?.store.rows(NAME, &[], None).unwrap_or_default();
            let open: BTreeSet<RecordId> = rows
                .iter()
                .filter(|row| row.facets.contains(&("watch", "open".to_owned())))
                .map(|row| row.record)
                .collect();
            for question in rows.iter().filter_map(Question::of) {
                self.check_question(node, &question, open.contains(&question.ask))?;
            }
            self.check_asked(node, &rows, &answers)?;
            self.check_texts(node, &rows)?;
        }
        Ok(())
    }

    /// How often each question was answered, by whom.
    fn answers(&self) -> BTreeMap<(AgencyId, RecordId), u64> {
        let mut answers = BTreeMap::new();
        let records = self.minted.values().filter_map(|minted| Verified::from_own_store(minted.bytes.clone()).ok());
        for record in records.filter(|record| record.header().kind == MatchAnswer::KIND) {
            let question = record.header().the_one(Relation::Answers);
            if let Some(question) = question {
                *answers.entry((record.header().author.clone(), question)).or_default() += 1;
            }
        }
        answers
    }

    /// A question that an agency asked: both sides tell the same of it, and what is shown is true.
    fn check_question(&mut self, node: usize, mine: &Question, watched: bool) -> Result<(), Stop> {
        if mine.answer.is_some_and(|answer| self.matching.liars.meddled.contains(&answer)) {
            let what = format!("an answer of somebody who was not asked counts: {mine:?}");
            return Err(self.failure(Invariant::LiesAreFaults, &[node], what).into());
        }
        let looked_into = matches!(mine.state, State::Hit | State::Miss | State::Fault);
        let key = self.matched_one(node, ("key", &mine.key.to_string()), Key::of)?;
        let in_force = key.is_some_and(|(_, key)| self.clock_ms(node) / 1000 < key.until);
        if looked_into && (watched && in_force || mine.state == State::Fault) {
            self.check_said(node, mine)?;
        }
        let Some(holder) = self.index(&mine.partner).filter(|holder| self.is_sound(*holder)) else { return Ok(()) };
        let theirs = self.matched(holder, ("question", &mine.question.to_string()))?;
        let theirs: Vec<Asked> = theirs.iter().filter_map(Asked::of).collect();
        let agreed = match theirs.as_slice() {
            [theirs] => match mine.state {
                State::Hit | State::Miss => theirs.state == "answered",
                // No honest asker asks what it asked before.
                State::Refused => {
                    theirs.state == "refused"
                        && theirs.reason == mine.reason
                        && mine.reason.as_deref() != Some("replayed")
                }
                State::Fault => theirs.state == "answered" && is_filter_missing(mine),
                State::Waiting | State::Answered => false,
            },
            _ => false,
        };
        if agreed {
            return Ok(());
        }
        let what = format!("the asker says {mine:?}, and the holder {theirs:?}");
        Err(self.failure(Invariant::QuestionsEnd, &[node, holder], what).into())
    }

    /// The questions that came to an agency: each was answered once or refused, and what nobody may ask was refused.
    fn check_asked(
        &mut self,
        node: usize,
        rows: &[Row],
        answers: &BTreeMap<(AgencyId, RecordId), u64>,
    ) -> Result<(), Stop> {
        let me = self.nodes[node].id.clone();
        let mut commitments = BTreeSet::new();
        for (row, asked) in rows.iter().filter_map(|row| Some((row, Asked::of(row)?))) {
            let asker = self.index(&asked.partner);
            let concerned: Vec<usize> = [node].into_iter().chain(asker).collect();
            let fails = |world: &Self, invariant, what: &str| {
                Err(world.failure(invariant, &concerned, format!("{what}: {} {asked:?}", row.record)).into())
            };
            let commitment = row.facets.iter().find(|(name, _)| *name == "commitment").cloned();
            let again = !commitments.insert((asked.partner.clone(), commitment));
            if again && asked.state == "answered" {
                return fails(self, Invariant::ReplaysRefused, "a question that was asked before was answered");
            }
            if asked.state == "answered" && self.matching.liars.unfit.contains(&row.record) {
                return fails(self, Invariant::BadInputIsAnswer, "a question that is not sound was answered");
            }
            let Some(asker) = asker.filter(|asker| self.is_sound(*asker)) else { continue };
            if asked.state == "open" || answers.get(&(me.clone(), row.record)) != Some(&1) {
                return fails(self, Invariant::QuestionsEnd, "a question was not answered once");
            }
            let known = self.matched_one(asker, ("question", &row.record.to_string()), Question::of)?;
            // With an ask that was deleted its questions are gone.
            let gone = self.desks.ordered.iter().any(|(at, id)| *at == asker && !self.items_of(id).is_empty());
            if known.is_none() && !gone {
                return fails(self, Invariant::QuestionsEnd, "its asker does not know of a question");
            }
        }
        Ok(())
    }

    /// Neither rows nor leaves hold an identifier, nor does anything that came from others.
    fn check_texts(&mut self, node: usize, rows: &[Row]) -> Result<(), Stop> {
        let texts = rows.iter().map(|row| format!("{} {:?}", row.body, row.facets));
        let mut found = texts.into_iter().find(|text| tells_of_an_identifier(text.as_bytes()));
        let core = self.core(node)?;
        let (size, _) = core.exchange.ledger();
        for index in 0..size {
            let leaf = core.store.leaf(index).ok().flatten();
            let detail = leaf.map(|leaf| leaf.detail).unwrap_or_default();
            if tells_of_an_identifier(&detail) {
                found = Some(format!("leaf {index}: {}", String::from_utf8_lossy(&detail)));
            }
        }
        let Some(found) = found else { return Ok(()) };
        let what = format!("an identifier stands where it can be read: {found}");
        Err(self.failure(Invariant::NothingLearned, &[node], what).into())
    }
}

fn is_filter_missing(question: &Question) -> bool {
    question.state == State::Fault && question.reason.as_deref() == Some("filter-missing")
}

fn tells_of_an_identifier(bytes: &[u8]) -> bool {
    // The library's search is compiled with optimisation, and one written here would not be.
    String::from_utf8_lossy(bytes).contains(IDENTIFIER)
}
