//! Answering partners: each question is looked at, charged to the partner's budget and evaluated, or refused by name. What is
//! asked stays unknown: nothing here sees an identifier, and whether one is listed is not known either.

use std::sync::Arc;

use mufakat_exchange::{Directory, Submission};
use mufakat_matching::key::EpochSecret;
use mufakat_matching::question;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_key::ELEMENT_BYTES;
use mufakat_record::kinds::match_list::{Mark, MatchAlarm};
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::{
    AgencyId, Digest, Handling, Header, Reason, RecordId, Reference, Relation, SigningKey, Tlp, Verified, sha256,
};
use mufakat_store::{Page, Queries, Reader};
use mufakat_views::Row;
use mufakat_views::matching::{Asked, Key, NAME};

use super::budget::PartnerBudget;
use super::{blocking, budget, find_row, random, with_lists};
use crate::clock;
use crate::desk::Caller;
use crate::gate::{Action, Request};
use crate::node::Node;
use crate::share::{self, NotShared, Together};
use crate::writer::Fault;

/// How many questions are taken up at once.
const QUESTIONS_MAX: usize = 32;

/// Answers every question that waits, each once in a look. One that cannot be answered for a reason of this node's own, or because
/// its partner is not in the register, waits on and keeps no other waiting.
pub(super) async fn answer_all(node: &Arc<Node>) -> Result<(), Fault> {
    // A policy that cannot be read forbids everything; that is no answer to give to partners.
    if node.gate.policies().is_locked() {
        return Ok(());
    }
    let mut after: Option<Vec<u8>> = None;
    loop {
        let from = after.take();
        let rows = node.read(move |reader| {
            let facets = [("row", Asked::ROW), ("state", "open")];
            let (after, limit, newest_first, classes) = (from.as_deref(), QUESTIONS_MAX, false, None);
            reader.view_page(&Page { view: NAME, after, limit, facets: &facets, newest_first, classes })
        });
        let rows = rows.await?;
        for row in &rows {
            let Some(asked) = Asked::of(row) else { continue };
            if node.directory().chain().member(&asked.partner).is_none() {
                continue;
            }
            match answer(node, row, asked).await {
                Ok(()) => {}
                Err(Fault::Stopping) => return Err(Fault::Stopping),
                Err(fault) => {
                    tracing::warn!(question = %row.record, %fault, "a question of matching is not answered yet")
                }
            }
        }
        match rows.last() {
            Some(last) if rows.len() == QUESTIONS_MAX && !node.is_stopping() => after = Some(last.key.clone()),
            _ => return Ok(()),
        }
    }
}

/// Answers one question.
async fn answer(node: &Arc<Node>, row: &Row, asked: Asked) -> Result<(), Fault> {
    let id = row.record;
    let outcome = match sound(node, row, &asked).await? {
        Err(reason) => Outcome::Refused { reason: reason.to_owned() },
        Ok(sound) => match evaluate(node, sound, &asked.partner).await? {
            Ok(outcome) => outcome,
            Err(reason) => Outcome::Refused { reason: reason.to_owned() },
        },
    };
    if let Outcome::Refused { reason } = &outcome {
        tracing::info!(partner = %asked.partner, question = %id, reason, "a question of matching is refused");
    }
    let partner = asked.partner.clone();
    match say(node, partner, id, MatchAnswer { outcome }).await? {
        Ok(_) => Ok(()),
        // It stays open and is tried again: the partner may come back into the register.
        Err(no) => {
            tracing::warn!(question = %id, reason = no.reason, "an answer of matching was not sent");
            Ok(())
        }
    }
}

/// A question that may be answered.
struct Sound {
    body: MatchQuestion,
    subject: String,
    epoch: u32,
    /// The public half of the key that it names.
    public: Digest,
}

/// Whether a question may be answered: its key, its commitment, the budget and the gate.
async fn sound(node: &Arc<Node>, row: &Row, asked: &Asked) -> Result<Result<Sound, &'static str>, Fault> {
    let (id, key, own_key) = (row.record, asked.key, row.key.clone());
    let (partner, size) = (asked.partner.clone(), u64::from(asked.size));
    let (now_ms, waited_ms) = (clock::now_ms(), budget::waited_ms(node));
    let looked = node.read(move |reader| {
        let record = reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok());
        let key = find_row(reader, &[("key", &key.to_string())], Key::of)?.map(|(_, key)| key);
        let budget = budget::of_partner(reader, &partner, now_ms, waited_ms)?;
        let again = match &record {
            Some(record) => asked_before(reader, record, &partner, &own_key)?,
            None => false,
        };
        Ok((record, key, budget, again))
    });
    let (record, key, budget, again) = looked.await?;
    let Some(record) = record else { return Ok(Err("not-found")) };
    let Some(key) = key.filter(|key| key.side == "given" && key.partner == asked.partner) else {
        return Ok(Err("unknown-key"));
    };
    if !(key.from..key.until).contains(&clock::now_s()) {
        return Ok(Err("key-over"));
    }
    if again {
        return Ok(Err("replayed"));
    }
    let Ok(body) = MatchQuestion::from_body(record.header(), record.body()) else { return Ok(Err("malformed")) };
    if let Some(rule) = refused(node, &record) {
        return Ok(Err(rule));
    }
    let Some(budget) = budget.filter(|budget| budget.limit > 0) else { return Ok(Err("no-budget")) };
    if budget.used + size > u64::from(budget.limit) {
        alarm(node, &budget, Mark::Exhausted, id).await?;
        return Ok(Err("budget-exhausted"));
    }
    if let Some(mark) = budget.mark(size) {
        alarm(node, &budget, mark, id).await?;
    }
    Ok(Ok(Sound { body, subject: key.subject.to_string(), epoch: key.epoch, public: key.key }))
}

/// Whether the partner asked with this commitment before. An honest asker never does: each question has a salt of its own.
fn asked_before(
    reader: &Reader,
    record: &Verified,
    partner: &AgencyId,
    own_key: &[u8],
) -> Result<bool, mufakat_store::Error> {
    let Ok(body) = MatchQuestion::from_body(record.header(), record.body()) else { return Ok(false) };
    let commitment = body.commitment.to_string();
    let facets = [("commitment", commitment.as_str()), ("partner", partner.as_str())];
    let earlier = find_row(reader, &facets, |row| Asked::of(row).filter(|_| row.key.as_slice() < own_key))?;
    Ok(earlier.is_some())
}

/// The rule by which the gate refuses to answer, if one does. The node answers by itself, so only what an agency forbids counts:
/// a purpose, a party, a legal basis.
fn refused(node: &Node, record: &Verified) -> Option<&'static str> {
    let directory = node.directory();
    let caller = Caller::operator();
    let register = directory.chain().current();
    let request = Request::about(&caller, record.header(), Action::Answer, &node.me, register, clock::now_s());
    let decision = node.gate.decide(&request);
    (!decision.allow).then_some(decision.rule)
}

/// Evaluates the elements under the key, with a proof, away from the asynchronous threads.
async fn evaluate(node: &Arc<Node>, sound: Sound, partner: &AgencyId) -> Result<Result<Outcome, &'static str>, Fault> {
    let epoch = sound.epoch;
    let secret = with_lists(node, move |lists| lists.secret_if_there(epoch)).await?;
    // Erased, or lost with the file: another key comes.
    let Some(secret) = secret else { return Ok(Err("key-over")) };
    let partner = partner.clone();
    blocking(move || {
        let mut fresh = [0; 64];
        random(&mut fresh);
        evaluate_under(&EpochSecret::from_bytes(*secret), &sound, &partner, &fresh)
    })
    .await
}

fn evaluate_under(
    secret: &EpochSecret,
    sound: &Sound,
    partner: &AgencyId,
    fresh: &[u8; 64],
) -> Result<Outcome, &'static str> {
    let key = secret.key(partner, &sound.subject, sound.epoch).map_err(|fault| fault.reason())?;
    // The secret was lost with the file, and the epoch has another one: what it evaluates has no proof under the key that the
    // question names, and the asker would take it for a lie.
    if *key.public().as_bytes() != sound.public.0 {
        return Err("key-over");
    }
    let (elements, _) = sound.body.elements.as_chunks::<ELEMENT_BYTES>();
    let question = question::Question {
        elements: elements.to_vec(),
        count: sound.body.count,
        commitment: sound.body.commitment.0,
    };
    let answer = question::answer(&key, &question, fresh).map_err(|fault| fault.reason())?;
    Ok(Outcome::Evaluated { elements: answer.evaluated.concat(), proof: answer.proof })
}

/// Puts on record that a budget has come to a mark: once for each mark, budget and day.
async fn alarm(node: &Arc<Node>, budget: &PartnerBudget, mark: Mark, question: RecordId) -> Result<(), Fault> {
    let day = clock::now_s() / 86_400;
    let text = format!("match-alarm\n{}\n{}\n{day}", budget.record, mark.name());
    let mut key = [0; 16];
    key.copy_from_slice(&sha256(text.as_bytes())[..16]);
    tracing::warn!(partner = %budget.partner, used = budget.used, limit = budget.limit, mark = mark.name(), "a budget of matching");
    let body = MatchAlarm { partner: budget.partner.clone(), mark, used: budget.used, limit: budget.limit };
    let references = vec![Reference { relation: Relation::About, record: question }];
    // A second alarm of the same day has the same key and another body, which is refused; the first one stands.
    let _ = share::keep_once(node, body, Handling::with(Tlp::Red), references, key).await?;
    Ok(())
}

/// Sends the answer to a question, once.
async fn say(
    node: &Arc<Node>,
    partner: AgencyId,
    question: RecordId,
    body: MatchAnswer,
) -> Result<Result<(), NotShared>, Fault> {
    let mut key = [0; 16];
    key.copy_from_slice(&sha256(format!("match-answer\n{question}").as_bytes())[..16]);
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        if directory.chain().member(&partner).is_none() {
            return vec![Err(NotShared::new(Reason::NotFound.name(), "the partner is not in the register"))];
        }
        let references = vec![Reference { relation: Relation::Answers, record: question }];
        let (audience, handling) = (vec![partner.clone()], Handling::with(Tlp::AmberStrict));
        let header = share::header_for(node, directory, MatchAnswer::KIND, audience, handling, share::new_thread());
        let record = share::sign(Header { references, ..header }, &body, signer);
        vec![record.map(|record| Together::of(vec![Submission { record, key: Some(key) }]))]
    };
    let outcome = share::submit_signed(node, compose).await?.into_iter().next();
    Ok(outcome.unwrap_or_else(|| Err(Reason::Malformed.into())).map(drop))
}

#[cfg(test)]
mod tests {
    use mufakat_matching::question::{Secret, ask};
    use mufakat_record::kinds::request::By;

    use super::*;

    #[test]
    fn a_key_whose_secret_was_lost_is_over() {
        let (partner, epoch): (AgencyId, _) = ("vn-police".parse().unwrap(), 690);
        let (kept, lost) = (EpochSecret::from_bytes([1; 32]), EpochSecret::from_bytes([2; 32]));
        let made = ask(&Secret::from_bytes([3; 32]), &["EXERCISE"]).unwrap();
        let body = MatchQuestion {
            by: By::default(),
            case: Digest([4; 32]),
            basis: "EXERCISE law".to_owned(),
            count: made.count,
            commitment: Digest(made.commitment),
            elements: made.elements.concat(),
        };
        let public = Digest(*kept.key(&partner, "passport", epoch).unwrap().public().as_bytes());
        let sound = Sound { body, subject: "passport".to_owned(), epoch, public };
        assert!(matches!(evaluate_under(&kept, &sound, &partner, &[5; 64]), Ok(Outcome::Evaluated { .. })));
        assert_eq!(evaluate_under(&lost, &sound, &partner, &[5; 64]), Err("key-over"));
    }
}
