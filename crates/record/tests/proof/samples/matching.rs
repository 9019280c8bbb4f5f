//! Sound examples of the records of private matching.

use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome, PROOF_BYTES};
use mufakat_record::kinds::match_ask::{Item, MatchAsk, MatchEnd, MatchSent, Sent};
use mufakat_record::kinds::match_filter::MatchFilter;
use mufakat_record::kinds::match_key::{ELEMENT_BYTES, MatchKey};
use mufakat_record::kinds::match_list::{Mark, MatchAlarm, MatchBudget, MatchList};
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::match_result::{Confidence, Hit, MatchResult};
use mufakat_record::kinds::request::By;
use mufakat_record::matching::{Category, Label, Subject};
use mufakat_record::{Digest, Header, RecordId, Reference, Relation, Role, Tlp};

use super::{ISSUED_AT, NOW, agency, at_home, header, of, referring};

/// A header for one partner, which refers to one record in this way.
pub(crate) fn to_one(relation: Relation) -> Header {
    Header { audience: vec![agency("ru-police")], ..referring("", relation) }
}

/// The header of a filter: the key, and the attachment.
pub(crate) fn of_filter() -> Header {
    let reference = |relation, byte| Reference { relation, record: RecordId([byte; 32]) };
    let references = vec![reference(Relation::About, 7), reference(Relation::Attaches, 8)];
    Header { references, ..to_one(Relation::About) }
}

/// The header of a home record about another one.
pub(crate) fn about_at_home() -> Header {
    at_home(referring("", Relation::About))
}

pub(crate) fn subject(name: &str) -> Subject {
    name.parse().unwrap()
}

pub(crate) fn match_key() -> MatchKey {
    MatchKey { subject: subject("passport"), epoch: 694, key: [9; ELEMENT_BYTES], from: ISSUED_AT, until: NOW }
}

pub(crate) fn match_filter() -> MatchFilter {
    MatchFilter { number: 3, class: 1000, digest: Digest([10; 32]) }
}

pub(crate) fn match_question() -> MatchQuestion {
    MatchQuestion {
        by: By { role: Role::Analyst, officer: Some("d3-night".parse().unwrap()) },
        case: Digest([11; 32]),
        basis: "EXERCISE act, section 7".to_owned(),
        count: 3,
        commitment: Digest([12; 32]),
        elements: vec![13; 16 * ELEMENT_BYTES],
    }
}

pub(crate) fn match_answer() -> MatchAnswer {
    MatchAnswer { outcome: Outcome::Evaluated { elements: vec![14; 16 * ELEMENT_BYTES], proof: [15; PROOF_BYTES] } }
}

pub(crate) fn match_ask() -> MatchAsk {
    let item = |name: &str, value: &str, birth_year| Item { subject: subject(name), value: value.into(), birth_year };
    MatchAsk {
        by: Some("d3-night".parse().unwrap()),
        purpose: "EXERCISE".to_owned(),
        case: "EXERCISE case 7".to_owned(),
        basis: "EXERCISE act, section 7".to_owned(),
        partners: vec![agency("ru-police"), agency("id-coastguard")],
        items: vec![item("passport", "VN:B1234567", None), item("name", "EXERCISE Nguyễn Văn A", Some(1980))],
        secret: [16; 32],
        watch_until: Some(NOW + 86_400),
    }
}

/// One of the questions that were sent.
pub(crate) fn sent(number: u32) -> Sent {
    let mut question = [17; 32];
    question[..4].copy_from_slice(&number.to_be_bytes());
    Sent {
        question: RecordId(question),
        partner: agency("ru-police"),
        subject: Subject::Name,
        key: RecordId([7; 32]),
        part: number,
        count: 3,
    }
}

pub(crate) fn match_sent() -> MatchSent {
    MatchSent { questions: vec![sent(0), sent(1)] }
}

pub(crate) fn match_end() -> MatchEnd {
    MatchEnd { by: Some("d3-night".parse().unwrap()) }
}

pub(crate) fn hit(item: u32) -> Hit {
    let label = Label::Listed { category: Category::Stolen, tlp: Tlp::Amber, handle: 77 };
    Hit { item, confidence: Confidence::Exact, label: label.to_bits() }
}

pub(crate) fn match_result() -> MatchResult {
    MatchResult { through: 3, hits: vec![hit(0), hit(2)], fault: None }
}

pub(crate) fn match_list() -> MatchList {
    let by = Some("d3-night".parse().unwrap());
    MatchList { by, new: 5, changed: 4, same: 3, removed: 2, refused: 1, digest: Digest([18; 32]) }
}

pub(crate) fn match_budget() -> MatchBudget {
    let by = Some("d3-night".parse().unwrap());
    MatchBudget { by, partner: agency("ru-police"), limit: 20_000, window_days: 10 }
}

pub(crate) fn match_alarm() -> MatchAlarm {
    MatchAlarm { partner: agency("ru-police"), mark: Mark::Near, used: 16_000, limit: 20_000 }
}

/// One sound body of each kind, with a header that goes with it.
pub(super) fn bodies() -> Vec<(Header, Vec<u8>)> {
    vec![
        of(to_one(Relation::About), &match_key()),
        of(of_filter(), &match_filter()),
        of(to_one(Relation::About), &match_question()),
        of(to_one(Relation::Answers), &match_answer()),
        of(at_home(header("")), &match_ask()),
        of(about_at_home(), &match_sent()),
        of(about_at_home(), &match_end()),
        of(about_at_home(), &match_result()),
        of(at_home(header("")), &match_list()),
        of(at_home(header("")), &match_budget()),
        of(about_at_home(), &match_alarm()),
    ]
}
