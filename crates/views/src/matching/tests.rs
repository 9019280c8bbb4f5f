//! Rows of private matching, from records that come and go.

use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome, PROOF_BYTES};
use mufakat_record::kinds::match_ask::{Item, MatchAsk, MatchEnd, MatchSent, Sent};
use mufakat_record::kinds::match_filter::MatchFilter;
use mufakat_record::kinds::match_key::MatchKey;
use mufakat_record::kinds::match_list::MatchBudget;
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::match_result::{self, MatchResult};
use mufakat_record::kinds::request::By;
use mufakat_record::matching::{Category, Label, Subject};
use mufakat_record::{Digest, Handling, Header, RecordId, Reference, Relation, Tlp, Verified};

use super::*;
use crate::testing::{ME, MemoryRows, PARTNERS, Step, agency, header, sign};

fn signed<B: Body>(header: Header, body: &B) -> Verified {
    sign(Header { kind: B::KIND.to_owned(), ..header }, body.to_body())
}

fn at(name: &str, to: &str, about: &[(Relation, RecordId)]) -> Header {
    let mut references: Vec<_> =
        about.iter().map(|(relation, record)| Reference { relation: *relation, record: *record }).collect();
    references.sort();
    Header { references, ..header(name, &[to], "") }
}

fn home<B: Body>(body: &B, about: &[(Relation, RecordId)]) -> Step {
    Step::Authored(signed(at(ME, ME, about), body))
}

fn subject() -> Subject {
    "passport".parse().unwrap()
}

fn key_record(from: &str, to: &str, epoch: u32) -> Verified {
    let key = MatchKey { subject: subject(), epoch, key: [epoch as u8; 32], from: 1, until: 2 };
    signed(at(from, to, &[]), &key)
}

fn filter_record(from: &str, to: &str, key: RecordId, number: u32) -> Verified {
    let filter = MatchFilter { number, class: 1000, digest: Digest([number as u8; 32]) };
    let attached = RecordId([100 + number as u8; 32]);
    signed(at(from, to, &[(Relation::About, key), (Relation::Attaches, attached)]), &filter)
}

fn question_record(from: &str, to: &str, key: RecordId) -> Verified {
    let question = MatchQuestion {
        by: By::default(),
        case: Digest([1; 32]),
        basis: "EXERCISE".into(),
        count: 3,
        commitment: Digest([2; 32]),
        elements: vec![7; 16 * 32],
    };
    let handling = Handling { purposes: Some(vec!["EXERCISE".into()]), ..Handling::with(Tlp::Amber) };
    signed(Header { handling, ..at(from, to, &[(Relation::About, key)]) }, &question)
}

fn answer_record(from: &str, to: &str, question: RecordId, refused: Option<&str>) -> Verified {
    let outcome = match refused {
        Some(reason) => Outcome::Refused { reason: reason.into() },
        None => Outcome::Evaluated { elements: vec![7; 16 * 32], proof: [0; PROOF_BYTES] },
    };
    signed(at(from, to, &[(Relation::Answers, question)]), &MatchAnswer { outcome })
}

fn ask_body() -> MatchAsk {
    MatchAsk {
        by: Some("d3-night".parse().unwrap()),
        purpose: "EXERCISE".into(),
        case: "EXERCISE 1".into(),
        basis: "EXERCISE".into(),
        partners: vec![agency(PARTNERS[1])],
        items: vec![Item { subject: subject(), value: "VNM:C1234567".into(), birth_year: None }],
        secret: [9; 32],
        watch_until: Some(2_000_000_000),
    }
}

/// An ask with one question, up to the question being out.
struct Asking {
    steps: Vec<Step>,
    ask: RecordId,
    question: RecordId,
}

fn asking() -> Asking {
    let key = key_record(PARTNERS[1], ME, 7);
    let ask = signed(at(ME, ME, &[]), &ask_body());
    let question = question_record(ME, PARTNERS[1], key.id());
    let one = Sent {
        question: question.id(),
        partner: agency(PARTNERS[1]),
        subject: subject(),
        key: key.id(),
        part: 0,
        count: 1,
    };
    let sent = home(&MatchSent { questions: vec![one] }, &[(Relation::About, ask.id())]);
    let (ask_id, question_id) = (ask.id(), question.id());
    let steps = vec![Step::Received(key), Step::Authored(ask), Step::Authored(question), sent];
    Asking { steps, ask: ask_id, question: question_id }
}

fn result(question: RecordId, hits: usize, through: u32, fault: Option<&str>) -> Step {
    let label = Label::Listed { category: Category::Stolen, tlp: Tlp::Amber, handle: 5 }.to_bits();
    let hit = |item| match_result::Hit { item, confidence: Confidence::Exact, label };
    let hits = (0..hits as u32).map(hit).collect();
    home(&MatchResult { through, hits, fault: fault.map(Into::into) }, &[(Relation::About, question)])
}

fn questions(steps: &[Step]) -> Vec<Question> {
    MemoryRows::of(steps).rows.values().filter_map(Question::of).collect()
}

fn state(steps: &[Step]) -> (State, usize, Option<String>) {
    let [question] = questions(steps).try_into().unwrap();
    (question.state, question.hits.len(), question.reason)
}

#[test]
fn a_question_goes_from_waiting_to_hit_and_back_to_miss() {
    let Asking { mut steps, question, .. } = asking();
    assert_eq!(state(&steps), (State::Waiting, 0, None));
    // Neither a third party's answer nor one of this agency's own counts.
    steps.push(Step::Received(answer_record(PARTNERS[0], ME, question, None)));
    steps.push(Step::Authored(answer_record(ME, PARTNERS[1], question, None)));
    assert_eq!(state(&steps), (State::Waiting, 0, None));
    steps.push(Step::Received(answer_record(PARTNERS[1], ME, question, None)));
    assert_eq!(state(&steps), (State::Answered, 0, None));
    // The first answer counts.
    steps.push(Step::Received(answer_record(PARTNERS[1], ME, question, Some("budget-exhausted"))));
    assert_eq!(state(&steps), (State::Answered, 0, None));
    for (hits, through, fault, expect) in [
        (1, 0, None, (State::Hit, 1, None)),
        (0, 1, None, (State::Miss, 0, None)),
        (0, 2, Some("hits-everything"), (State::Fault, 0, Some("hits-everything".to_owned()))),
        (1, 3, None, (State::Hit, 1, None)),
    ] {
        steps.push(result(question, hits, through, fault));
        assert_eq!(state(&steps), expect);
        assert_eq!(questions(&steps)[0].through, Some(through));
    }
}

#[test]
fn a_refusal_has_its_reason() {
    let Asking { mut steps, question, .. } = asking();
    steps.push(Step::Received(answer_record(PARTNERS[1], ME, question, Some("budget-exhausted"))));
    assert_eq!(state(&steps), (State::Refused, 0, Some("budget-exhausted".to_owned())));
}

#[test]
fn a_deleted_ask_leaves_no_row_and_comes_not_back() {
    let Asking { mut steps, ask, question } = asking();
    let of_ask = |steps: &[Step]| {
        let rows = MemoryRows::of(steps);
        let again = MemoryRows::again(steps);
        assert_eq!(rows.rows, again.rows);
        rows.rows.values().filter(|row| row.view == NAME && row.record == ask).count()
    };
    assert_eq!(of_ask(&steps), 2);
    steps.push(Step::Deleted(ask));
    assert_eq!(of_ask(&steps), 0);
    steps.push(Step::Received(answer_record(PARTNERS[1], ME, question, None)));
    steps.push(result(question, 1, 0, None));
    assert_eq!(of_ask(&steps), 0);
}

#[test]
fn a_watch_is_open_until_it_is_ended() {
    let Asking { mut steps, ask, .. } = asking();
    let open = |steps: &[Step]| {
        let rows = MemoryRows::of(steps);
        rows.rows.values().filter(|row| row.facets.contains(&("watch", "open".to_owned()))).count()
    };
    assert_eq!(open(&steps), 1);
    steps.push(home(&MatchEnd { by: None }, &[(Relation::About, ask)]));
    assert_eq!(open(&steps), 0);
}

#[test]
fn a_partners_question_is_open_until_it_is_answered() {
    let key = key_record(ME, PARTNERS[1], 7);
    let question = question_record(PARTNERS[1], ME, key.id());
    let of_stranger = question_record(PARTNERS[0], ME, key.id());
    let id = question.id();
    let mut steps = vec![Step::Authored(key), Step::Received(question), Step::Received(of_stranger)];
    let asked = |steps: &[Step]| -> Vec<_> {
        let rows = MemoryRows::of(steps);
        rows.rows.values().filter_map(Asked::of).map(|a| (a.subject, a.size, a.state, a.reason)).collect()
    };
    // A key that is somebody else's gives no subject: the node refuses it.
    let open = |subject| (subject, 16, "open".to_owned(), None);
    assert_eq!(asked(&steps), [open(Some(subject())), open(None)]);
    steps.push(Step::Authored(answer_record(ME, PARTNERS[1], id, Some("unknown-key"))));
    assert_eq!(asked(&steps)[0], (Some(subject()), 16, "refused".to_owned(), Some("unknown-key".to_owned())));
}

#[test]
fn keys_take_the_place_of_earlier_ones_and_filters_follow_in_order() {
    let (one, two) = (key_record(PARTNERS[1], ME, 7), key_record(PARTNERS[1], ME, 8));
    let (first, second) = (one.id(), two.id());
    let mut steps = vec![Step::Received(one)];
    let filters = |steps: &[Step]| -> Vec<(u32, bool, Vec<u32>)> {
        let rows = MemoryRows::of(steps);
        let keys = rows.rows.values().filter_map(Key::of);
        keys.map(|k| (k.epoch, k.replaced, k.filters.iter().map(|f| f.number).collect())).collect()
    };
    // What changed cannot be read before the whole.
    for number in [1, 0, 2, 1, 1, 2] {
        steps.push(Step::Received(filter_record(PARTNERS[1], ME, first, number)));
    }
    assert_eq!(filters(&steps), [(7, false, vec![0, 1, 2])]);
    // A filter of somebody else under that key is none.
    steps.push(Step::Received(filter_record(PARTNERS[0], ME, first, 3)));
    steps.push(Step::Authored(filter_record(ME, PARTNERS[1], first, 3)));
    assert_eq!(filters(&steps), [(7, false, vec![0, 1, 2])]);
    steps.push(Step::Received(filter_record(PARTNERS[1], ME, first, 0)));
    steps.push(Step::Received(two));
    steps.push(Step::Received(filter_record(PARTNERS[1], ME, second, 0)));
    assert_eq!(filters(&steps), [(7, true, vec![0]), (8, false, vec![0])]);
    let rows = MemoryRows::of(&steps);
    let place = ("current", current("got", &agency(PARTNERS[1]), subject()));
    let latest: Vec<_> = rows.rows.values().filter(|row| row.facets.contains(&place)).map(|row| row.record).collect();
    assert_eq!(latest, [second]);
}

#[test]
fn a_partner_fills_the_memory_of_nobody() {
    let key = key_record(PARTNERS[1], ME, 7);
    let id = key.id();
    let filter = |number: u32, class: u32| {
        let filter = MatchFilter { number, class, digest: Digest([number as u8; 32]) };
        let attached = RecordId([100 + number as u8; 32]);
        Step::Received(signed(at(PARTNERS[1], ME, &[(Relation::About, id), (Relation::Attaches, attached)]), &filter))
    };
    let numbers = |steps: &[Step]| -> Vec<u32> {
        let rows = MemoryRows::of(steps);
        rows.rows.values().filter_map(Key::of).flat_map(|key| key.filters).map(|filter| filter.number).collect()
    };
    let mut steps = vec![Step::Received(key), filter(0, 1 << 24), filter(1, 1 << 24)];
    assert_eq!(numbers(&steps), [0, 1]);
    steps.push(filter(2, 1_000));
    assert_eq!(numbers(&steps), [0, 1]);
    // A whole list begins anew.
    steps.push(filter(0, 1_000));
    assert_eq!(numbers(&steps), [0]);
    steps.push(filter(1, 1_000));
    assert_eq!(numbers(&steps), [0, 1]);
}

#[test]
fn the_latest_budget_of_a_partner_counts() {
    let budget =
        |partner: &str, limit| home(&MatchBudget { by: None, partner: agency(partner), limit, window_days: 10 }, &[]);
    let steps = [budget(PARTNERS[0], 5), budget(PARTNERS[1], 6), budget(PARTNERS[0], 7)];
    let rows = MemoryRows::of(&steps);
    let limits: Vec<_> = rows.rows.values().filter_map(|row| row.body["limit"].as_u64()).collect();
    assert_eq!(limits, [6, 7]);
}

#[test]
fn rows_hold_nothing_of_what_is_asked() {
    let Asking { steps, .. } = asking();
    let rows = MemoryRows::of(&steps);
    let text: String = rows.rows.values().map(|row| format!("{} {:?}", row.body, row.facets)).collect();
    assert!(text.contains("passport") && !text.contains("C1234567"), "{text}");
}
