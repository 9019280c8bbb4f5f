//! Bodies of private matching that are not what their kind says.

use ciborium::Value;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome, PROOF_BYTES};
use mufakat_record::kinds::match_ask::{
    CASE_BYTES_MAX, ITEMS_BYTES_MAX, ITEMS_MAX, Item, MatchAsk, MatchSent, PARTNERS_MAX, QUESTIONS_MAX,
};
use mufakat_record::kinds::match_filter::{CLASS_MAX, DELTAS_MAX, MatchFilter};
use mufakat_record::kinds::match_key::{ELEMENT_BYTES, MatchKey, SPAN_S_MAX};
use mufakat_record::kinds::match_list::{MatchBudget, WINDOW_DAYS_MAX};
use mufakat_record::kinds::match_question::{BASIS_BYTES_MAX, MatchQuestion, SIZES};
use mufakat_record::kinds::match_result::{Confidence, MatchResult};
use mufakat_record::kinds::{self, Body};
use mufakat_record::matching::{Category, HANDLES, Label, Subject};
use mufakat_record::{Header, PURPOSE_BYTES_MAX, Reason, RecordId, Reference, Relation, Tlp};

use crate::samples::matching::*;
use crate::samples::*;
use crate::unsound_bodies::expect;

const RELATIONS: [Relation; 5] =
    [Relation::About, Relation::Attaches, Relation::Retracts, Relation::Corrects, Relation::Answers];

/// What goes to a partner goes to one, who is somebody else, and refers once in the way of its kind.
fn to_one_partner<B: Body>(sound: &Header, relation: Relation, body: &B) {
    expect(true, sound.clone(), body);
    for audience in [vec!["vn-police"], vec!["id-coastguard", "ru-police"], vec!["ru-police", "vn-police"]] {
        let audience = audience.into_iter().map(agency).collect();
        expect(false, Header { audience, ..sound.clone() }, body);
    }
    refers_once(sound, relation, body);
}

fn refers_once<B: Body>(sound: &Header, relation: Relation, body: &B) {
    let with = |references: Vec<Reference>| Header { references, ..sound.clone() };
    let others: Vec<_> = sound.references.iter().filter(|one| one.relation != relation).copied().collect();
    let one = |relation, byte| Reference { relation, record: RecordId([byte; 32]) };
    expect(false, with(others.clone()), body);
    expect(false, with([vec![one(relation, 1), one(relation, 2)], others.clone()].concat()), body);
    for other in RELATIONS {
        expect(other == relation, with([vec![one(other, 1)], others.clone()].concat()), body);
    }
}

/// What an agency keeps for itself goes to nobody else.
fn at_home_only<B: Body>(sound: &Header, body: &B) {
    expect(true, sound.clone(), body);
    for audience in [vec!["ru-police"], vec!["ru-police", "vn-police"]] {
        let audience = audience.into_iter().map(agency).collect();
        expect(false, Header { audience, ..sound.clone() }, body);
    }
}

#[test]
fn keys() {
    let check = |taken, change: &dyn Fn(&mut MatchKey)| {
        let mut changed = match_key();
        change(&mut changed);
        expect(taken, to_one(Relation::About), &changed);
    };
    check(true, &|_| ());
    check(true, &|k| k.until = k.from + 1);
    check(false, &|k| k.until = k.from);
    check(false, &|k| k.until = k.from - 1);
    check(true, &|k| k.until = k.from + SPAN_S_MAX);
    check(false, &|k| k.until = k.from + SPAN_S_MAX + 1);
    check(false, &|k| k.until = u64::MAX);
    for audience in [vec![agency("vn-police")], vec![agency("id-coastguard"), agency("ru-police")]] {
        expect(false, Header { audience, ..header("") }, &match_key());
    }
    // An identifier of the type `other` is no subject, and neither is the text of none.
    let header = Header { kind: MatchKey::KIND.to_owned(), ..to_one(Relation::About) };
    for (name, taken) in [("passport", true), ("name", true), ("other", false), ("", false), ("Name", false)] {
        let mut body = decoded(&match_key().to_body());
        body.as_map_mut().unwrap()[0].1 = Value::Text(name.to_owned());
        assert_eq!(kinds::check(&header, &encoded(&body)).is_ok(), taken, "{name}");
    }
    // A key has one length.
    for length in [0, ELEMENT_BYTES - 1, ELEMENT_BYTES + 1] {
        let mut body = decoded(&match_key().to_body());
        body.as_map_mut().unwrap()[2].1 = Value::Bytes(vec![9; length]);
        assert_eq!(kinds::check(&header, &encoded(&body)), Err(Reason::BodyNotOfKind), "{length}");
    }
}

#[test]
fn filters() {
    let check = |taken, change: &dyn Fn(&mut MatchFilter)| {
        let mut changed = match_filter();
        change(&mut changed);
        expect(taken, of_filter(), &changed);
    };
    check(true, &|f| f.number = 0);
    check(true, &|f| f.number = DELTAS_MAX);
    check(false, &|f| f.number = DELTAS_MAX + 1);
    check(false, &|f| f.class = 0);
    check(true, &|f| f.class = CLASS_MAX);
    check(false, &|f| f.class = CLASS_MAX + 1);
    to_one_partner(&of_filter(), Relation::About, &match_filter());
    refers_once(&of_filter(), Relation::Attaches, &match_filter());
}

#[test]
fn questions() {
    let header = to_one(Relation::About);
    let check = |taken, change: &dyn Fn(&mut MatchQuestion)| {
        let mut changed = match_question();
        change(&mut changed);
        expect(taken, header.clone(), &changed);
    };
    check(false, &|q| q.basis.clear());
    check(false, &|q| q.basis = " \t".to_owned());
    check(true, &|q| q.basis = "x".repeat(BASIS_BYTES_MAX));
    check(false, &|q| q.basis = "x".repeat(BASIS_BYTES_MAX + 1));
    // As many elements as the count is padded to, and no others.
    let sized = |count: u32, bytes: usize| move |q: &mut MatchQuestion| (q.count, q.elements) = (count, vec![7; bytes]);
    let mut least = 1;
    for size in SIZES {
        let bytes = size * ELEMENT_BYTES;
        check(true, &sized(least, bytes));
        check(true, &sized(size as u32, bytes));
        check(false, &sized(least - 1, bytes));
        check(false, &sized(size as u32 + 1, bytes));
        check(false, &sized(size as u32, bytes - ELEMENT_BYTES));
        check(false, &sized(size as u32, bytes + ELEMENT_BYTES));
        check(false, &sized(size as u32, bytes - 1));
        check(false, &sized(size as u32, bytes + 1));
        least = size as u32 + 1;
    }
    check(false, &sized(0, 0));
    check(false, &sized(1, 0));
    check(false, &sized(u32::MAX, 1024 * ELEMENT_BYTES));
    // One purpose, which is what the holder's policy goes by.
    for purposes in [None, Some(vec![]), Some(vec!["EXERCISE".to_owned(), "EXERCISE other".to_owned()])] {
        let mut header = header.clone();
        header.handling.purposes = purposes;
        expect(false, header, &match_question());
    }
    to_one_partner(&header, Relation::About, &match_question());
}

#[test]
fn answers() {
    let header = to_one(Relation::Answers);
    let check = |taken, outcome| expect(taken, header.clone(), &MatchAnswer { outcome });
    let evaluated = |bytes| Outcome::Evaluated { elements: vec![7; bytes], proof: [8; PROOF_BYTES] };
    check(false, evaluated(0));
    for size in SIZES {
        let bytes = size * ELEMENT_BYTES;
        check(true, evaluated(bytes));
        check(false, evaluated(bytes - 1));
        check(false, evaluated(bytes + 1));
        check(false, evaluated(bytes - ELEMENT_BYTES));
        check(false, evaluated(bytes + ELEMENT_BYTES));
    }
    let refused = |reason: &str| Outcome::Refused { reason: reason.to_owned() };
    check(true, refused("budget-exhausted"));
    check(true, refused(&"x".repeat(60)));
    for reason in ["", &"x".repeat(61), "Budget", "budget exhausted", "budget_exhausted", "b\u{fc}dget", "a\n"] {
        check(false, refused(reason));
    }
    to_one_partner(&header, Relation::Answers, &match_answer());
    to_one_partner(&header, Relation::Answers, &MatchAnswer { outcome: refused("key-over") });
}

#[test]
fn asks() {
    let home = at_home(header(""));
    let check = |taken, change: &dyn Fn(&mut MatchAsk)| {
        let mut changed = match_ask();
        change(&mut changed);
        expect(taken, home.clone(), &changed);
        // Whoever hands in what is not taken is told what is wrong with it.
        assert_eq!(changed.fault().is_none(), taken, "{:?}", changed.fault());
    };
    check(true, &|a| (a.by, a.watch_until) = (None, None));
    type Field = fn(&mut MatchAsk) -> &mut String;
    let texts: [(Field, usize); 3] = [
        (|a| &mut a.purpose, PURPOSE_BYTES_MAX),
        (|a| &mut a.case, CASE_BYTES_MAX),
        (|a| &mut a.basis, BASIS_BYTES_MAX),
    ];
    for (field, bytes_max) in texts {
        check(false, &|a| field(a).clear());
        check(false, &|a| *field(a) = " \n".to_owned());
        check(true, &|a| *field(a) = "x".repeat(bytes_max));
        check(false, &|a| *field(a) = "x".repeat(bytes_max + 1));
    }
    let partners = |count: usize| (0..count).map(|n| agency(&format!("agency-{n}"))).collect();
    check(false, &|a| a.partners.clear());
    check(true, &|a| a.partners = partners(PARTNERS_MAX));
    check(false, &|a| a.partners = partners(PARTNERS_MAX + 1));
    check(false, &|a| a.partners = vec![agency("ru-police"); 2]);
    check(false, &|a| a.partners.push(agency("ru-police")));
    // Nobody asks itself.
    expect(false, home.clone(), &MatchAsk { partners: vec![agency("vn-police")], ..match_ask() });

    let item = |value: usize| Item { value: "x".repeat(value), ..match_ask().items.swap_remove(0) };
    check(false, &|a| a.items.clear());
    check(true, &|a| a.items = vec![item(1); ITEMS_MAX]);
    check(false, &|a| a.items = vec![item(1); ITEMS_MAX + 1]);
    check(true, &|a| a.items = vec![item(400)]);
    check(false, &|a| a.items = vec![item(401)]);
    check(false, &|a| a.items = vec![item(1), item(0)]);
    check(true, &|a| a.items = vec![item(160); ITEMS_BYTES_MAX / 160]);
    check(false, &|a| a.items = [vec![item(161)], vec![item(160); ITEMS_BYTES_MAX / 160 - 1]].concat());
    // A year of birth is what a name has, and nothing else.
    check(false, &|a| a.items[0].birth_year = Some(1980));
    check(false, &|a| a.items[1].birth_year = None);
    at_home_only(&home, &match_ask());
}

#[test]
fn questions_that_were_sent() {
    let check = |taken, change: &dyn Fn(&mut MatchSent)| {
        let mut changed = match_sent();
        change(&mut changed);
        expect(taken, about_at_home(), &changed);
    };
    check(false, &|s| s.questions.clear());
    check(true, &|s| s.questions = (0..QUESTIONS_MAX as u32).map(sent).collect());
    check(false, &|s| s.questions = (0..=QUESTIONS_MAX as u32).map(sent).collect());
    // The same question twice, and another one for the same part.
    check(false, &|s| s.questions[1] = s.questions[0].clone());
    check(false, &|s| s.questions[1].question = s.questions[0].question);
    check(false, &|s| s.questions[1].part = s.questions[0].part);
    check(true, &|s| (s.questions[1].part, s.questions[1].partner) = (0, agency("id-coastguard")));
    check(true, &|s| (s.questions[1].part, s.questions[1].subject) = (0, subject("phone")));
    for (count, taken) in [(0, false), (1, true), (1024, true), (1025, false), (u32::MAX, false)] {
        check(taken, &|s| s.questions[1].count = count);
    }
    at_home_only(&about_at_home(), &match_sent());
    refers_once(&about_at_home(), Relation::About, &match_sent());
}

#[test]
fn ends() {
    at_home_only(&about_at_home(), &match_end());
    refers_once(&about_at_home(), Relation::About, &match_end());
}

#[test]
fn results() {
    let check = |taken, change: &dyn Fn(&mut MatchResult)| {
        let mut changed = match_result();
        change(&mut changed);
        expect(taken, about_at_home(), &changed);
    };
    check(true, &|r| r.hits.clear());
    check(true, &|r| r.hits = (0..ITEMS_MAX as u32).map(hit).collect());
    check(false, &|r| r.hits.reverse());
    check(false, &|r| r.hits[1].item = r.hits[0].item);
    check(true, &|r| r.hits[1].item = ITEMS_MAX as u32 - 1);
    check(false, &|r| r.hits[1].item = ITEMS_MAX as u32);
    check(true, &|r| r.through = DELTAS_MAX);
    check(false, &|r| r.through = DELTAS_MAX + 1);
    check(true, &|r| r.hits[0].confidence = Confidence::NameCoarse);
    // A label that says something, and not that it is listed no more.
    let listed = Label::Listed { category: Category::Other, tlp: Tlp::Red, handle: HANDLES - 1 };
    check(true, &|r| r.hits[1].label = listed.to_bits());
    check(false, &|r| r.hits[1].label = Label::Removed.to_bits());
    check(false, &|r| r.hits[0].label = u32::MAX);
    // What is wrong with an answer has a name, and then nothing is said of any identifier.
    let fault = |fault: &str| MatchResult { through: 0, hits: Vec::new(), fault: Some(fault.to_owned()) };
    for (name, taken) in [("wrong-proof", true), ("", false), ("Wrong proof", false), (&"x".repeat(61), false)] {
        expect(taken, about_at_home(), &fault(name));
    }
    check(false, &|r| r.fault = Some("wrong-proof".to_owned()));
    at_home_only(&about_at_home(), &match_result());
    refers_once(&about_at_home(), Relation::About, &match_result());
}

#[test]
fn lists_budgets_and_alarms() {
    at_home_only(&at_home(header("")), &match_list());
    at_home_only(&at_home(header("")), &match_budget());
    for (window_days, taken) in [(0, false), (1, true), (WINDOW_DAYS_MAX, true), (WINDOW_DAYS_MAX + 1, false)] {
        expect(taken, at_home(header("")), &MatchBudget { window_days, ..match_budget() });
    }
    expect(true, at_home(header("")), &MatchBudget { limit: 0, by: None, ..match_budget() });
    at_home_only(&about_at_home(), &match_alarm());
    refers_once(&about_at_home(), Relation::About, &match_alarm());
}

/// Every subject stands in records as the text that is its name.
#[test]
fn subjects() {
    let header = Header { kind: MatchKey::KIND.to_owned(), ..to_one(Relation::About) };
    for subject in Subject::all() {
        let body = MatchKey { subject, ..match_key() }.to_body();
        assert_eq!(decoded(&body).as_map().unwrap()[0].1, Value::Text(subject.name().to_owned()));
        assert_eq!(MatchKey::from_body(&header, &body).unwrap().subject, subject);
    }
}
