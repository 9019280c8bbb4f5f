//! Tests of the view `track`: each state, and a model that says in another way what the fold must come to.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::deletion_receipt::{DeletionReceipt, Why};
use mufakat_record::kinds::escalation::Level;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::{AgencyId, Header, RecordId, Reference, Relation, Verified};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::NAME;
use crate::testing::{
    ME, MemoryRows, START_S, Step, agency, answer, correction, escalation, header, histories, receipt, report,
    retraction, sign,
};
use crate::{Row, Rows, requests};

const RU: &str = "ru-police";
const SG: &str = "sg-fusion";

/// The row for a recipient of the record at a leaf after these steps, which comes out the same when folded again.
fn row(steps: &[Step], leaf: u64, to: &str) -> Option<Row> {
    let rows = MemoryRows::of(steps);
    assert_eq!(rows.rows, MemoryRows::again(steps).rows);
    rows.row(NAME, &[&leaf.to_be_bytes(), to.as_bytes()].concat()).unwrap()
}

fn body(steps: &[Step], to: &str) -> Value {
    row(steps, 0, to).unwrap().body
}

fn removed(name: &str) -> Step {
    Step::Removed(vec![agency(name)])
}

#[test]
fn one_row_for_each_recipient() {
    let record = report(ME, &[RU, SG, ME], "EXERCISE");
    let steps = [Step::Authored(record.clone())];
    assert_eq!(MemoryRows::of(&steps).of_view(NAME).len(), 2);
    assert_eq!(row(&steps, 0, ME), None);
    let row = row(&steps, 0, RU).unwrap();
    assert_eq!((row.record, row.time_ms), (record.id(), START_S * 1000));
    assert_eq!(row.facets, [("queued_to", RU.to_owned()), ("state", "queued".to_owned())]);
    assert_eq!(row.body, json!({ "to": RU, "kind": "report", "state": "queued" }));
    // Receipts are not tracked, and neither is what others authored.
    let own = receipt(ME, RU, &[(record.id(), None)]);
    let quiet = [Step::Authored(own.clone()), Step::Receipt(own), Step::Received(report(RU, &[ME], "EXERCISE"))];
    assert!(MemoryRows::of(&quiet).of_view(NAME).is_empty());
}

#[test]
fn states() {
    let record = report(ME, &[RU, SG], "EXERCISE");
    let authored = || Step::Authored(record.clone());
    let yes = receipt(RU, ME, &[(record.id(), None)]);
    let no = receipt(RU, ME, &[(RecordId([9; 32]), None), (record.id(), Some("expired"))]);
    let accepted = json!({
        "to": RU, "kind": "report", "state": "accepted", "ledger": "mufakat/ru-police/1", "index": 501, "at_ms": 9_001,
        "receipt": yes.id(),
    });
    let rejected = json!({
        "to": RU, "kind": "report", "state": "rejected", "ledger": "mufakat/ru-police/1", "index": 502, "at_ms": 9_002,
        "receipt": no.id(), "reason": "expired",
    });
    let failed = json!({
        "to": RU, "kind": "report", "state": "failed", "reason": "recipient-removed", "at_ms": (START_S + 1) * 1000,
    });
    let (yes, no) = (Step::Receipt(yes), Step::Receipt(no));
    let check = |then: &[Step], expect: &Value| {
        let steps = [vec![authored()], then.to_vec()].concat();
        assert_eq!(body(&steps, RU), *expect);
        assert_eq!(body(&steps, SG)["state"], "queued", "the other recipient is not concerned");
    };
    check(std::slice::from_ref(&yes), &accepted);
    check(std::slice::from_ref(&no), &rejected);
    check(&[removed(RU)], &failed);
    // The first word counts.
    check(&[yes.clone(), no.clone(), removed(RU)], &accepted);
    check(&[no, yes.clone(), removed(RU)], &rejected);
    check(&[removed(RU), yes.clone()], &failed);
    // Nobody else's word counts: neither another partner's nor one of our own receipts.
    let ours = Step::Receipt(receipt(ME, RU, &[(record.id(), None)]));
    let third = Step::Receipt(receipt("id-coastguard", ME, &[(record.id(), None)]));
    check(&[ours, third, removed("id-coastguard"), yes], &accepted);
}

#[test]
fn facets_follow_the_state() {
    let record = report(ME, &[RU], "EXERCISE");
    let settle = Step::Receipt(receipt(RU, ME, &[(record.id(), None)]));
    for (then, state) in [(settle, "accepted"), (removed(RU), "failed")] {
        let row = row(&[Step::Authored(record.clone()), then], 0, RU).unwrap();
        assert_eq!(row.facets, [("settled_to", RU.to_owned()), ("state", state.to_owned())]);
    }
}

#[test]
fn several_removed_at_once() {
    let steps = [
        Step::Authored(report(ME, &[RU, SG, "id-coastguard"], "EXERCISE")),
        Step::Removed(vec![agency(RU), agency(SG)]),
    ];
    let states: Vec<_> = [RU, SG, "id-coastguard"].map(|to| body(&steps, to)["state"].clone()).into();
    assert_eq!(states, ["failed", "failed", "queued"]);
}

#[test]
fn answers_stand_on_what_they_answer() {
    let record = report(ME, &[RU, SG], "EXERCISE");
    let retraction = retraction(ME, &[RU, SG], record.id(), "EXERCISE");
    let correction = correction(ME, &[RU, SG], record.id(), "EXERCISE");
    for asked in [&retraction, &correction] {
        let kept = Step::Received(answer(RU, asked.id(), Action::Kept, Some("EXERCISE law"), 77));
        let later = Step::Received(answer(RU, asked.id(), Action::Deleted, None, 78));
        let accepted = Step::Receipt(receipt(RU, ME, &[(asked.id(), None)]));
        let expect = json!({ "action": "kept", "reason": "EXERCISE law", "at": 77 });
        let check = |then: &[Step], state: &str, expect: &Value| {
            let steps = [vec![Step::Authored(asked.clone())], then.to_vec()].concat();
            let body = body(&steps, RU);
            assert_eq!((&body["state"], &body["answer"]), (&json!(state), expect));
            assert_eq!(self::body(&steps, SG)["answer"], Value::Null);
        };
        // An answer can come before the receipt or after it.
        check(&[kept.clone(), accepted.clone()], "accepted", &expect);
        check(&[accepted, kept.clone()], "accepted", &expect);
        check(&[kept, later], "queued", &json!({ "action": "deleted", "at": 78 }));
        // One who was not asked does not answer.
        let stranger = Step::Received(answer("id-coastguard", asked.id(), Action::Deleted, None, 1));
        check(&[stranger], "queued", &Value::Null);
    }
    // A report asks nothing.
    let steps = [Step::Authored(record.clone()), Step::Received(answer(RU, record.id(), Action::Deleted, None, 1))];
    assert_eq!(body(&steps, RU)["answer"], Value::Null);
}

#[test]
fn an_escalation_stands_on_what_is_unanswered_then() {
    let record = report(ME, &[RU, SG], "EXERCISE");
    for asked in
        [retraction(ME, &[RU, SG], record.id(), "EXERCISE"), correction(ME, &[RU, SG], record.id(), "EXERCISE")]
    {
        let told = |level, due_ms| escalation(asked.id(), level, due_ms);
        let (deputy, supervisor, again) = (told(Level::Deputy, 5), told(Level::Supervisor, 6), told(Level::Deputy, 7));
        let said = |record: &Verified, level: &str, due_ms: u64, leaf: u64| {
            let at_ms = (START_S + leaf) * 1000;
            json!({ "record": record.id(), "level": level, "mark_ms": due_ms, "due_ms": due_ms, "at_ms": at_ms })
        };
        let (first, second) = (said(&deputy, "deputy", 5, 1), said(&supervisor, "supervisor", 6, 3));
        let steps = [
            Step::Authored(asked.clone()),
            Step::Authored(deputy),
            Step::Received(answer(RU, asked.id(), Action::Deleted, None, 77)),
            Step::Authored(supervisor),
            Step::Authored(again),
            Step::Receipt(receipt(SG, ME, &[(asked.id(), None)])),
        ];
        // What has been answered keeps what was said of it before, and a level is told once.
        assert_eq!(body(&steps, RU)["escalated"], json!([first]));
        assert_eq!(body(&steps, SG)["escalated"], json!([first, second]));
        assert!(row(&steps, 0, SG).unwrap().facets.contains(&("unanswered", asked.header().kind.clone())));
        assert!(MemoryRows::of(&steps).of_view(requests::NAME).is_empty());
    }
    // A report awaits no answer, and neither does a correction that was rejected. Who rejects a retraction holds what was taken back.
    let steps = [Step::Authored(record.clone()), Step::Authored(escalation(record.id(), Level::Deputy, 5))];
    assert_eq!(body(&steps, RU), json!({ "to": RU, "kind": "report", "state": "queued" }));
    for (asked, told) in [
        (correction(ME, &[RU], record.id(), "EXERCISE"), None),
        (retraction(ME, &[RU], record.id(), "EXERCISE"), Some("deputy")),
    ] {
        let rejected = Step::Receipt(receipt(RU, ME, &[(asked.id(), Some("expired"))]));
        let late = Step::Authored(escalation(asked.id(), Level::Deputy, 5));
        let body = body(&[Step::Authored(asked), rejected, late], RU);
        assert_eq!((&body["state"], body["escalated"][0]["level"].as_str()), (&json!("rejected"), told));
    }
}

#[test]
fn nothing_is_awaited_of_who_was_removed() {
    let record = report(ME, &[RU, SG], "EXERCISE");
    for asked in
        [retraction(ME, &[RU, SG], record.id(), "EXERCISE"), correction(ME, &[RU, SG], record.id(), "EXERCISE")]
    {
        let told = |to| Step::Receipt(receipt(to, ME, &[(asked.id(), None)]));
        let late = Step::Authored(escalation(asked.id(), Level::Deputy, 5));
        let steps = [Step::Authored(asked.clone()), told(RU), told(SG), removed(RU), late];
        let unanswered = |to| row(&steps, 0, to).unwrap().facets.iter().any(|(name, _)| *name == "unanswered");
        assert_eq!([RU, SG].map(unanswered), [false, true]);
        let (gone, there) = (body(&steps, RU), body(&steps, SG));
        assert_eq!((&gone["state"], &gone["escalated"]), (&json!("accepted"), &Value::Null));
        assert_eq!(gone["recipient_removed_ms"], (START_S + 3) * 1000);
        assert_eq!((&there["escalated"][0]["level"], &there["recipient_removed_ms"]), (&json!("deputy"), &Value::Null));
    }
}

#[test]
fn nothing_remains_of_what_is_deleted() {
    let record = report(ME, &[RU, SG], "EXERCISE");
    let other = report(ME, &[RU], "EXERCISE other");
    let late = Step::Receipt(receipt(RU, ME, &[(record.id(), None)]));
    let steps = [Step::Authored(record.clone()), Step::Authored(other), Step::Deleted(record.id()), late];
    assert_eq!(row(&steps, 0, RU), None);
    assert_eq!(row(&steps, 0, SG), None);
    assert!(row(&steps, 1, RU).is_some());
}

#[test]
fn bodies_that_cannot_be_read_change_nothing() {
    let record = retraction(ME, &[RU], RecordId([4; 32]), "EXERCISE");
    let empty = |kind| sign(header(RU, &[ME], kind), vec![0xa0]);
    let steps = [Step::Authored(record), Step::Receipt(empty(Receipt::KIND)), Step::Received(empty(Answer::KIND))];
    assert_eq!(body(&steps, RU), json!({ "to": RU, "kind": "retraction", "state": "queued" }));
}

/// What the view must hold for a record and a recipient: state and action answered.
fn model(steps: &[Step], leaf: usize, record: &Verified, to: &AgencyId) -> (Value, Value) {
    let id = record.id();
    let word = steps[leaf..].iter().find_map(|step| match step {
        Step::Receipt(said) if said.header().author == *to => {
            let receipt = Receipt::from_body(said.header(), said.body()).unwrap();
            let entry = receipt.entries.into_iter().find(|entry| entry.record == id)?;
            Some(if entry.rejected.is_some() { "rejected" } else { "accepted" })
        }
        Step::Removed(gone) if gone.contains(to) => Some("failed"),
        _ => None,
    });
    let answer = steps[leaf..].iter().rev().find_map(|step| match step {
        Step::Received(said)
            if said.header().kind == Answer::KIND
                && said.header().author == *to
                && said.header().the_one(Relation::Answers) == Some(id) =>
        {
            Some(json!(Answer::from_body(said.header(), said.body()).unwrap().action))
        }
        _ => None,
    });
    let answer = answer.filter(|_| record.header().kind == "retraction");
    (word.unwrap_or("queued").into(), answer.unwrap_or_default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_fold_comes_to_what_the_model_says(steps in histories()) {
        let rows = MemoryRows::of(&steps);
        let mut expect = Vec::new();
        for (leaf, step) in steps.iter().enumerate() {
            let Step::Authored(record) = step else { continue };
            if steps.iter().any(|step| matches!(step, Step::Deleted(gone) if *gone == record.id())) {
                continue;
            }
            for to in record.header().audience.iter().filter(|to| to.as_str() != ME) {
                let key = [&(leaf as u64).to_be_bytes(), to.as_str().as_bytes()].concat();
                expect.push((key, model(&steps, leaf, record, to)));
            }
        }
        let said = |row: &Row| (row.body["state"].clone(), row.body["answer"]["action"].clone());
        let found: Vec<_> = rows.of_view(NAME).into_iter().map(|row| (row.key.clone(), said(row))).collect();
        prop_assert_eq!(found, expect);
    }
}

#[test]
fn a_third_hand_is_shown_with_the_recipient_that_passed_it_on() {
    let record = report(ME, &[RU], "EXERCISE");
    let deleted = |author: &str, through: &str| {
        let body =
            DeletionReceipt { why: Why::Order, at: 9, copies: 1, attachments: 0, through: Some(agency(through)) };
        let references = vec![Reference { relation: Relation::About, record: record.id() }];
        let header = Header { references, ..header(author, &[ME], DeletionReceipt::KIND) };
        Step::Received(sign(header, body.to_body()))
    };
    let rows = |claims: &[Step]| {
        let rows = MemoryRows::of(&[&[Step::Authored(record.clone())], claims].concat());
        let told = |row: &&Row| (row.body["to"].clone(), row.body["through"].clone(), row.body["state"].clone());
        rows.of_view(NAME).iter().map(told).collect::<Vec<_>>()
    };
    let queued = (json!(RU), Value::Null, json!("queued"));
    let third = (json!(SG), json!(RU), json!("through"));
    assert_eq!(rows(&[deleted(SG, RU), deleted(SG, RU)]), [queued.clone(), third.clone()]);
    // One behind the third hand, once that is known; and nobody by way of one that never had it.
    let fourth = (json!("id-coastguard"), json!(SG), json!("through"));
    let known = rows(&[deleted(SG, RU), deleted("id-coastguard", SG)]);
    assert!(known.len() == 3 && known.contains(&fourth), "{known:?}");
    assert_eq!(rows(&[deleted(SG, "id-coastguard"), deleted("id-coastguard", "ru-polis")]), [queued]);
}
