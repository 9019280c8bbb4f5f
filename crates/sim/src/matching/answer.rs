//! Answering partners, once: a question is refused by name, or charged to the partner's budget and evaluated.

use mufakat_matching::question::{self, Question};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_list::{Mark, MatchAlarm, MatchBudget};
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::{AgencyId, RecordId, Reference, Relation, Verified};
use mufakat_views::Row;
use mufakat_views::matching::{Asked, Key};

use super::DAY_S;
use crate::Sabotage;
use crate::community::sign;
use crate::invariant::Stop;
use crate::world::World;

/// Why a question is refused.
type Reason = &'static str;

impl World {
    /// Answers every question that waits.
    pub(super) fn answer_all(&mut self, node: usize) -> Result<(), Stop> {
        for row in self.matched(node, ("state", "open"))? {
            if let Some(asked) = Asked::of(&row) {
                self.answer_question(node, &row, &asked)?;
            }
        }
        Ok(())
    }

    fn answer_question(&mut self, node: usize, row: &Row, asked: &Asked) -> Result<(), Stop> {
        let outcome = match self.judged(node, row, asked)? {
            Ok((body, key)) => self.evaluated(node, body, &key)?,
            Err(reason) => Err(reason),
        };
        let outcome = outcome.unwrap_or_else(|reason| Outcome::Refused { reason: reason.to_owned() });
        let said = match &outcome {
            Outcome::Evaluated { .. } => "answered",
            Outcome::Refused { reason } => reason.as_str(),
        };
        self.tell(|_| format!("{node}: question {} of {}: {said}", row.record, asked.partner));
        let Some(record) = self.an_answer(node, &asked.partner, row.record, outcome)? else { return Ok(()) };
        self.say_once(node, record, &format!("match-answer\n{}", row.record))?;
        if self.sabotage(Sabotage::AnswerTwice, 300) {
            let refused = Outcome::Refused { reason: "no-budget".to_owned() };
            let again = self.an_answer(node, &asked.partner, row.record, refused)?;
            self.say(node, again.into_iter().collect())?;
        }
        Ok(())
    }

    /// An answer to a partner, unless it is not in the register any more.
    fn an_answer(
        &mut self,
        node: usize,
        partner: &AgencyId,
        question: RecordId,
        outcome: Outcome,
    ) -> Result<Option<Verified>, Stop> {
        let (mut header, signer) = self.head(node, vec![partner.clone()], MatchAnswer::KIND)?;
        if header.audience.is_empty() {
            return Ok(None);
        }
        header.references = vec![Reference { relation: Relation::Answers, record: question }];
        Ok(Some(sign(header, &MatchAnswer { outcome }, &signer)))
    }

    /// Whether a question may be answered: its key, its commitment and the budget. The gate is not simulated.
    fn judged(&mut self, node: usize, row: &Row, asked: &Asked) -> Result<Result<(MatchQuestion, Key), Reason>, Stop> {
        let Some(record) = self.held_record(node, &row.record)? else { return Ok(Err("not-found")) };
        let key = self.matched_one(node, ("key", &asked.key.to_string()), Key::of)?.map(|(_, key)| key);
        let Some(key) = key.filter(|key| key.side == "given" && key.partner == asked.partner) else {
            return Ok(Err("unknown-key"));
        };
        if !(key.from..key.until).contains(&(self.clock_ms(node) / 1000)) {
            return Ok(Err("key-over"));
        }
        let Ok(body) = MatchQuestion::from_body(record.header(), record.body()) else { return Ok(Err("malformed")) };
        let same = self.matched(node, ("commitment", &body.commitment.to_string()))?;
        let before = |earlier: &Row| earlier.key < row.key && earlier.body["partner"] == asked.partner.as_str();
        if same.iter().any(before) && !self.sabotage(Sabotage::AnswerReplays, 1000) {
            return Ok(Err("replayed"));
        }
        let Some((said, budget, used)) = self.used(node, &asked.partner)? else { return Ok(Err("no-budget")) };
        let (limit, wanted) = (u64::from(budget.limit), used + u64::from(asked.size));
        if wanted > limit {
            self.alarm(node, (said, budget), Mark::Exhausted, used, row.record)?;
            return Ok(Err("budget-exhausted"));
        }
        if wanted * 5 >= limit * 4 {
            self.alarm(node, (said, budget), Mark::Near, used, row.record)?;
        }
        Ok(Ok((body, key)))
    }

    /// The budget of a partner with the record that says so, and how much of it is used now.
    fn used(&mut self, node: usize, partner: &AgencyId) -> Result<Option<(RecordId, MatchBudget, u64)>, Stop> {
        let read = |row: &Row| {
            let number = |field: &str| row.body[field].as_u64().and_then(|number| u32::try_from(number).ok());
            let (limit, window_days) = (number("limit")?, number("window_days")?);
            Some(MatchBudget { by: None, partner: partner.clone(), limit, window_days })
        };
        let Some((said, budget)) = self.matched_one(node, ("budget", partner.as_str()), read)? else { return Ok(None) };
        let since_ms = self.clock_ms(node).saturating_sub(u64::from(budget.window_days) * DAY_S * 1000);
        let rows = self.matched(node, ("partner", partner.as_str()))?;
        let answered = rows.iter().filter_map(Asked::of).filter(|asked| asked.state == "answered");
        let within = answered.filter(|asked| asked.answered_ms.is_some_and(|at_ms| at_ms >= since_ms));
        let used = within.map(|asked| u64::from(asked.size)).sum();
        Ok(Some((said.record, budget, if self.sabotage(Sabotage::ForgetBudget, 1000) { 0 } else { used })))
    }

    /// Puts on record that a budget has come to a mark: once for each mark, budget and day.
    fn alarm(
        &mut self,
        node: usize,
        (said, budget): (RecordId, MatchBudget),
        mark: Mark,
        used: u64,
        question: RecordId,
    ) -> Result<(), Stop> {
        let MatchBudget { partner, limit, .. } = budget;
        let day = self.clock_ms(node) / 1000 / DAY_S;
        let name = format!("match-alarm\n{said}\n{}\n{day}", mark.name());
        let record = self.home(node, &MatchAlarm { partner, mark, used, limit }, &[question])?;
        self.say_once(node, record, &name)
    }

    /// Evaluates the elements under the key that the question names, if its secret is still there.
    fn evaluated(&mut self, node: usize, body: MatchQuestion, key: &Key) -> Result<Result<Outcome, Reason>, Stop> {
        let secret = self.with_lists(node, |lists, _| lists.secret_if_there(key.epoch))?;
        let Some(secret) = secret else { return Ok(Err("key-over")) };
        let secret = self.derived(node, *secret, &key.partner, key.epoch)?;
        // The file with the secret was lost, and a new one has taken its place: under that one there would be no proof.
        if *secret.public().as_bytes() != key.key.0 {
            return Ok(Err("key-over"));
        }
        let question = asked_in(&body);
        let answered = question::answer(&secret, &question, &self.dice.bytes());
        Ok(answered
            .map(|answer| Outcome::Evaluated { elements: answer.evaluated.concat(), proof: answer.proof })
            .map_err(|fault| fault.reason()))
    }
}

/// The question in a record.
pub(super) fn asked_in(body: &MatchQuestion) -> Question {
    Question { elements: body.elements.as_chunks::<32>().0.to_vec(), count: body.count, commitment: body.commitment.0 }
}
