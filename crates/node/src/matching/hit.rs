//! From a hit to a request: what the partner is to be asked is drafted from the ask and the hit, and stays home until an officer
//! releases it.

use std::sync::Arc;

use mufakat_record::identifier::IdentifierType;
use mufakat_record::kinds::match_ask::{Item, MatchAsk};
use mufakat_record::kinds::match_result::Confidence;
use mufakat_record::matching::Subject;
use mufakat_record::{RecordId, Tlp};
use mufakat_views::matching::{Hit, Question};
use serde_json::{Value, json};

use super::ask::read_ask;
use super::look::questions_of;
use crate::desk::drafts::{self, Proposed};
use crate::desk::{Caller, requests};
use crate::node::Node;
use crate::share::NotShared;
use crate::writer::Fault;

/// The language in which drafts are written; who edits one may choose another.
const LANGUAGE: &str = "en";

/// Drafts a request about a hit. Gives the draft's id.
pub(crate) async fn draft(
    node: &Arc<Node>,
    caller: &Caller,
    ask: RecordId,
    question: RecordId,
    item: u32,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let not_found = || NotShared::new("not-found", "there is no such thing here");
    let Some(asked) = read_ask(node, ask).await? else { return Ok(Err(not_found())) };
    let rows = questions_of(node, ask).await?;
    let Some(row) = rows.iter().find(|row| row.question == question) else { return Ok(Err(not_found())) };
    let hit = row.hits.iter().find(|hit| hit.item == item);
    let (Some(hit), Some(what)) = (hit, asked.items.get(item as usize)) else {
        return Ok(Err(NotShared::new("no-hit", "this partner does not list this item")));
    };
    let envelope = envelope(&asked, row, hit, what);
    let request: requests::Question = serde_json::from_value(envelope)
        .map_err(|error| Fault::Store(format!("a request could not be drafted from a hit: {error}")))?;
    drafts::write(node, caller, Proposed::Request(Box::new(request)), None).await
}

/// The request as it would be handed in.
fn envelope(asked: &MatchAsk, row: &Question, hit: &Hit, what: &Item) -> Value {
    let (subject, number, category) = (what.subject, hit.handle, hit.category.name());
    // A name that is written alike may be another person's, and the partner is to know that it was no more than that.
    let (found, what_is_listed) = match alike(hit.confidence) {
        None => ("found by private matching", format!("a {subject} that we asked about")),
        Some(how) => (
            "a candidate of private matching",
            format!(
                "a person, who may be another one, whose name {how} that of a person that we asked about{}",
                born(what)
            ),
        ),
    };
    // As narrowly as the partner wants its hit handled, and not wider than the question was.
    let tlp = hit.tlp.max(Tlp::Amber);
    json!({
        "to": [row.partner], "tlp": tlp, "purposes": [asked.purpose],
        "body": {
            "title": format!("Your entry {number} ({category}), {found}"),
            "text": format!(
                "By private matching you list {what_is_listed}, under your number {number} as {category}. \
                 What do you hold on it, and may we use it?"
            ),
            "offence": asked.purpose,
            "purpose": asked.purpose,
            "link": "It came up in an inquiry of ours.",
            "necessity": "Only you can say what stands behind the entry.",
            "holding": format!("Your filter for private matching says so, under the number {number}."),
            "language": LANGUAGE,
            "legal_basis": asked.basis,
            "subjects": [entity(what)],
        },
    })
}

/// What it is about, as it was asked.
fn entity(what: &Item) -> Value {
    use IdentifierType::{Email, Iban, Icao24, Imo, Mmsi, NumberPlate, Passport, Phone, Wallet};
    let class = match what.subject {
        Subject::Name => return json!({ "class": "person", "name": what.value }),
        Subject::Identifier(Imo | Mmsi) => "vessel",
        Subject::Identifier(Icao24) => "aircraft",
        Subject::Identifier(Passport) => "document",
        Subject::Identifier(Phone) => "phone",
        Subject::Identifier(Iban | Email) => "account",
        Subject::Identifier(Wallet) => "wallet",
        Subject::Identifier(NumberPlate) => "vehicle",
        Subject::Identifier(_) => "other-object",
    };
    json!({ "class": class, "identifiers": [{ "type": what.subject.name(), "value": what.value }] })
}

/// How alike two names are; nothing when it is the identifier itself that is listed.
fn alike(confidence: Confidence) -> Option<&'static str> {
    match confidence {
        Confidence::Exact => None,
        Confidence::NameFolded => Some("is spelt like"),
        Confidence::NameSkeleton => Some("has the same consonants as"),
        Confidence::NameCoarse => Some("has consonants like"),
    }
}

fn born(what: &Item) -> String {
    what.birth_year.map(|year| format!(" (born {year} or a year beside)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mufakat_record::kinds::request::Request;
    use mufakat_record::matching::Category;
    use mufakat_views::matching::State;

    use super::*;

    #[test]
    fn a_request_from_a_hit_can_be_sent() {
        for subject in Subject::all() {
            let birth_year = (subject == Subject::Name).then_some(1980);
            let what = Item { subject, value: "EXERCISE-1".into(), birth_year };
            let asked = MatchAsk {
                by: None,
                purpose: "EXERCISE".into(),
                case: "EXERCISE 1".into(),
                basis: "EXERCISE".into(),
                partners: vec!["ru-police".parse().unwrap()],
                items: vec![what.clone()],
                secret: [0; 32],
                watch_until: None,
            };
            let id = RecordId([1; 32]);
            let confidence = if subject == Subject::Name { Confidence::NameSkeleton } else { Confidence::Exact };
            let hit = Hit { item: 0, confidence, category: Category::Stolen, tlp: Tlp::Green, handle: 7 };
            let row = Question {
                row: Question::ROW.into(),
                ask: id,
                question: id,
                partner: "ru-police".parse().unwrap(),
                subject,
                key: id,
                part: 0,
                count: 1,
                asked_ms: 0,
                state: State::Hit,
                answer: None,
                answered_ms: None,
                reason: None,
                through: None,
                looked_ms: None,
                list_at_ms: None,
                hits: vec![hit.clone()],
            };
            let envelope = envelope(&asked, &row, &hit, &what);
            assert_eq!(envelope["tlp"], "AMBER");
            assert!(!envelope.to_string().contains(&asked.case), "the case stays home");
            let said = envelope["body"].to_string();
            assert_eq!(said.contains("may be another one"), subject == Subject::Name, "{said}");
            assert!(!said.contains("EXERCISE-1, born"), "{said}");
            let body: Request = serde_json::from_value(envelope["body"].clone()).unwrap();
            assert!(body.subjects.is_some_and(|subjects| subjects.len() == 1), "{subject}");
            assert!(serde_json::from_value::<requests::Question>(envelope).is_ok(), "{subject}");
        }
    }
}
