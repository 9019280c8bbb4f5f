//! Vectors for the records of private matching. The elements in them are hashes, not points: whether they are of the group is no
//! matter of a record, and is shown in `matching.json`.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_ask::{Item, MatchAsk, MatchEnd, MatchSent, Sent};
use mufakat_record::kinds::match_filter::MatchFilter;
use mufakat_record::kinds::match_key::MatchKey;
use mufakat_record::kinds::match_list::{Mark, MatchAlarm, MatchBudget, MatchList};
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::match_result::{Confidence, Hit, MatchResult};
use mufakat_record::kinds::request::By;
use mufakat_record::matching::{Category, Label, Subject};
use mufakat_record::{Digest, Handling, Header, RecordId, Reference, Relation, Tlp};
use serde_json::Value;

use super::community::{Agency, NOW, name, seed};
use super::records::{bad, good, sign_raw};

/// Thirty days, in seconds.
const EPOCH_S: u64 = 30 * 86_400;

fn to(relation: Relation, label: &str) -> Reference {
    Reference { relation, record: RecordId(seed(label)) }
}

/// The header of what goes to one partner, for one purpose, and refers like this.
fn to_ru(vn: &Agency, kind: &str, references: Vec<Reference>) -> Header {
    let handling = Handling { purposes: Some(vec!["EXERCISE piracy".into()]), ..Handling::with(Tlp::AmberStrict) };
    Header { audience: vec![name("ru-police")], handling, references, ..vn.header(kind) }
}

fn of_key(vn: &Agency) -> Header {
    to_ru(vn, MatchKey::KIND, Vec::new())
}

fn of_filter(vn: &Agency) -> Header {
    to_ru(vn, MatchFilter::KIND, vec![to(Relation::About, "a key of matching"), to(Relation::Attaches, "a filter")])
}

fn of_question(vn: &Agency) -> Header {
    to_ru(vn, MatchQuestion::KIND, vec![to(Relation::About, "a key of matching")])
}

fn of_answer(vn: &Agency) -> Header {
    to_ru(vn, MatchAnswer::KIND, vec![to(Relation::Answers, "a question of matching")])
}

fn home(vn: &Agency) -> Header {
    Header { audience: vec![vn.id.clone()], handling: Handling::with(Tlp::Red), ..vn.header("") }
}

fn about(vn: &Agency, label: &str) -> Header {
    Header { references: vec![to(Relation::About, label)], ..home(vn) }
}

fn elements(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| seed(&format!("element {number}"))).collect()
}

fn subject(name: &str) -> Subject {
    name.parse().expect("a subject")
}

fn key() -> MatchKey {
    let from = NOW - NOW % EPOCH_S;
    let epoch = (NOW / EPOCH_S) as u32;
    MatchKey { subject: subject("passport"), epoch, key: seed("a public key"), from, until: from + EPOCH_S }
}

fn filter() -> MatchFilter {
    MatchFilter { number: 0, class: 1000, digest: Digest(seed("filter")) }
}

fn question() -> MatchQuestion {
    MatchQuestion {
        by: By::default(),
        case: Digest(seed("case")),
        basis: "EXERCISE act, section 7".into(),
        count: 3,
        commitment: Digest(seed("commitment")),
        elements: elements(16),
    }
}

fn evaluated(elements: Vec<u8>) -> MatchAnswer {
    let proof = [seed("c"), seed("s")].concat().try_into().expect("64 bytes");
    MatchAnswer { outcome: Outcome::Evaluated { elements, proof } }
}

fn refused(reason: &str) -> MatchAnswer {
    MatchAnswer { outcome: Outcome::Refused { reason: reason.into() } }
}

/// Records of each of these kinds.
pub(super) fn good_ones(vn: &Agency) -> Vec<Value> {
    let of_64 = MatchQuestion { count: 17, elements: elements(64), ..question() };
    let other = MatchKey { subject: Subject::Name, ..key() };
    let change = MatchFilter { number: 60, class: 1 << 24, ..filter() };
    let travelling = vec![
        good("key of matching", &vn.sign(of_key(vn), &key())),
        good("key of matching for names", &vn.sign(of_key(vn), &other)),
        good("filter of a whole list", &vn.sign(of_filter(vn), &filter())),
        good("filter of changes", &vn.sign(of_filter(vn), &change)),
        good("question of matching", &vn.sign(of_question(vn), &question())),
        good("question of matching with 64 elements", &vn.sign(of_question(vn), &of_64)),
        good("answer of matching", &vn.sign(of_answer(vn), &evaluated(elements(16)))),
        good("answer of matching: refused", &vn.sign(of_answer(vn), &refused("budget-exhausted"))),
    ];
    travelling.into_iter().chain(good_at_home(vn)).collect()
}

fn good_at_home(vn: &Agency) -> Vec<Value> {
    let by = || Some("d3-night".parse().expect("a pseudonym"));
    let item = |name: &str, value: &str, birth_year| Item { subject: subject(name), value: value.into(), birth_year };
    let ask = MatchAsk {
        by: by(),
        purpose: "EXERCISE piracy".into(),
        case: "EXERCISE case 7".into(),
        basis: "EXERCISE act, section 7".into(),
        partners: vec![name("ru-police"), name("sg-fusion")],
        items: vec![item("passport", "UTO:L898902C3", None), item("name", "EXERCISE Anna Eriksson", Some(1974))],
        secret: seed("ask"),
        watch_until: Some(NOW + 86_400),
    };
    let sent = Sent {
        question: RecordId(seed("a question of matching")),
        partner: name("ru-police"),
        subject: subject("passport"),
        key: RecordId(seed("a key of matching")),
        part: 0,
        count: 1,
    };
    let label = Label::Listed { category: Category::Stolen, tlp: Tlp::Amber, handle: 77 }.to_bits();
    let hit =
        MatchResult { through: 2, hits: vec![Hit { item: 0, confidence: Confidence::Exact, label }], fault: None };
    let list =
        MatchList { by: by(), new: 5, changed: 4, same: 3, removed: 2, refused: 1, digest: Digest(seed("list")) };
    let partner = || name("ru-police");
    let budget = MatchBudget { by: by(), partner: partner(), limit: 20_000, window_days: 10 };
    let alarm = MatchAlarm { partner: partner(), mark: Mark::Near, used: 16_000, limit: 20_000 };
    let of_question = || about(vn, "a question of matching");
    vec![
        good("ask of matching", &vn.sign(home(vn), &ask)),
        good("questions of an ask", &vn.sign(about(vn, "an ask of matching"), &MatchSent { questions: vec![sent] })),
        good("end of an ask", &vn.sign(about(vn, "an ask of matching"), &MatchEnd { by: by() })),
        good("result of matching", &vn.sign(of_question(), &hit)),
        good("list of matching", &vn.sign(home(vn), &list)),
        good("budget of matching", &vn.sign(home(vn), &budget)),
        good("alarm of matching", &vn.sign(of_question(), &alarm)),
    ]
}

/// Each way in which one of them can be refused that other records do not show.
pub(super) fn bad_ones(vn: &Agency) -> Vec<Value> {
    let signed = |name: &str, header: Header, body: Vec<u8>| {
        let header = Header { key: vn.signing.id(), ..header };
        bad(name, &sign_raw(&header.encode(), &body, &vn.signing), "body-not-of-kind")
    };
    let to_both = |header: Header| Header { audience: vec![name("ru-police"), name("sg-fusion")], ..header };
    let to_itself = |header: Header| Header { audience: vec![vn.id.clone()], ..header };
    let referring = |header: Header, references: Vec<Reference>| Header { references, ..header };
    let with_purposes = |purposes: Option<&[&str]>| {
        let mut header = of_question(vn);
        header.handling.purposes = purposes.map(|list| list.iter().map(|&one| one.into()).collect());
        header
    };
    let filled = |count, elements| MatchQuestion { count, elements, ..question() }.to_body();
    // The subject is the first text in the body: eight letters behind a head of one byte.
    let of_other_subject = {
        let body = key().to_body();
        let at = super::position(&body, b"passport") - 1;
        [&body[..at], b"\x65other", &body[at + 9..]].concat()
    };
    let away = to_ru(vn, MatchEnd::KIND, vec![to(Relation::About, "an ask of matching")]);
    vec![
        signed("key of matching for two", to_both(of_key(vn)), key().to_body()),
        signed("key of matching for its author", to_itself(of_key(vn)), key().to_body()),
        signed("key of matching for no time", of_key(vn), MatchKey { until: key().from, ..key() }.to_body()),
        signed("key of matching for other identifiers", of_key(vn), of_other_subject),
        signed("filter for two", to_both(of_filter(vn)), filter().to_body()),
        signed(
            "filter without an attachment",
            referring(of_filter(vn), vec![to(Relation::About, "a key of matching")]),
            filter().to_body(),
        ),
        signed(
            "filter under no key",
            referring(of_filter(vn), vec![to(Relation::Attaches, "a filter")]),
            filter().to_body(),
        ),
        signed("filter of too many changes", of_filter(vn), MatchFilter { number: 61, ..filter() }.to_body()),
        signed("filter for nothing", of_filter(vn), MatchFilter { class: 0, ..filter() }.to_body()),
        signed("filter for too much", of_filter(vn), MatchFilter { class: (1 << 24) + 1, ..filter() }.to_body()),
        signed("question of matching for two", to_both(of_question(vn)), question().to_body()),
        signed("question under no key", referring(of_question(vn), Vec::new()), question().to_body()),
        signed("question without a purpose", with_purposes(None), question().to_body()),
        signed("question for two purposes", with_purposes(Some(&["EXERCISE", "EXERCISE 2"])), question().to_body()),
        signed(
            "question on a blank basis",
            of_question(vn),
            MatchQuestion { basis: " ".into(), ..question() }.to_body(),
        ),
        signed("question about nothing", of_question(vn), filled(0, elements(16))),
        signed("question that is padded too little", of_question(vn), filled(17, elements(16))),
        signed("question that is padded too much", of_question(vn), filled(16, elements(64))),
        signed("question with an element cut", of_question(vn), filled(3, elements(16)[1..].to_vec())),
        signed("answer of matching to nothing", referring(of_answer(vn), Vec::new()), refused("key-over").to_body()),
        signed("answer of matching for two", to_both(of_answer(vn)), refused("key-over").to_body()),
        signed("answer to a part of a question", of_answer(vn), evaluated(elements(15)).to_body()),
        signed("refusal without a name", of_answer(vn), refused("").to_body()),
        signed("refusal in words", of_answer(vn), refused("No answer").to_body()),
        signed("end of an ask, for a partner", away, MatchEnd { by: None }.to_body()),
    ]
}
