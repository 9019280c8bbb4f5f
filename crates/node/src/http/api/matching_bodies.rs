//! Bodies of records of private matching as JSON. What blinds, and what was blinded, stays out: nobody reads anything in it, and with
//! an ask's secret everybody could find out what its questions ask.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_ask::{MatchAsk, MatchEnd, MatchSent};
use mufakat_record::kinds::match_filter::MatchFilter;
use mufakat_record::kinds::match_key::{ELEMENT_BYTES, MatchKey};
use mufakat_record::kinds::match_list::{MatchAlarm, MatchBudget, MatchList};
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::match_result::{self, MatchResult};
use mufakat_record::matching::Label;
use mufakat_record::{Digest, Header, Reason};
use serde_json::{Value, json};

/// The body as JSON; nothing if it is of another kind.
pub(super) fn as_json(header: &Header, body: &[u8]) -> Option<Result<Value, Reason>> {
    Some(match header.kind.as_str() {
        MatchAsk::KIND => MatchAsk::from_body(header, body).map(|ask| of_ask(&ask)),
        MatchSent::KIND => MatchSent::from_body(header, body).map(|sent| json!(sent)),
        MatchEnd::KIND => MatchEnd::from_body(header, body).map(|end| json!(end)),
        MatchQuestion::KIND => MatchQuestion::from_body(header, body).map(|question| of_question(&question)),
        MatchAnswer::KIND => MatchAnswer::from_body(header, body).map(|answer| of_answer(&answer)),
        MatchResult::KIND => MatchResult::from_body(header, body).map(|result| of_result(&result)),
        MatchKey::KIND => MatchKey::from_body(header, body).map(|key| of_key(&key)),
        MatchFilter::KIND => MatchFilter::from_body(header, body).map(|filter| json!(filter)),
        MatchList::KIND => MatchList::from_body(header, body).map(|list| json!(list)),
        MatchBudget::KIND => MatchBudget::from_body(header, body).map(|budget| json!(budget)),
        MatchAlarm::KIND => MatchAlarm::from_body(header, body).map(|alarm| json!(alarm)),
        _ => return None,
    })
}

fn of_ask(ask: &MatchAsk) -> Value {
    json!({
        "by": ask.by, "purpose": ask.purpose, "case": ask.case, "basis": ask.basis, "partners": ask.partners,
        "items": ask.items, "watch_until": ask.watch_until,
    })
}

fn of_question(question: &MatchQuestion) -> Value {
    json!({
        "by": question.by, "case": question.case, "basis": question.basis, "count": question.count,
        "size": question.size(), "commitment": question.commitment,
    })
}

fn of_answer(answer: &MatchAnswer) -> Value {
    match &answer.outcome {
        Outcome::Evaluated { elements, .. } => {
            json!({ "outcome": "evaluated", "size": elements.len() / ELEMENT_BYTES })
        }
        Outcome::Refused { reason } => json!({ "outcome": "refused", "reason": reason }),
    }
}

fn of_result(result: &MatchResult) -> Value {
    let hit = |hit: &match_result::Hit| {
        let mut shown = json!({ "item": hit.item, "confidence": hit.confidence });
        if let Some(Label::Listed { category, tlp, handle }) = Label::from_bits(hit.label) {
            shown["category"] = json!(category);
            shown["tlp"] = json!(tlp);
            shown["handle"] = handle.into();
        }
        shown
    };
    let hits: Vec<_> = result.hits.iter().map(hit).collect();
    json!({ "through": result.through, "hits": hits, "fault": result.fault })
}

fn of_key(key: &MatchKey) -> Value {
    json!({
        "subject": key.subject, "epoch": key.epoch, "key": Digest(key.key), "from": key.from, "until": key.until,
    })
}
