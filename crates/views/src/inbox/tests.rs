//! Tests of the inbox: each state, each field, and a model that says in another way what the fold must come to.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::Action;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::{Code, Header, RecordId, Relation, SKEW_SHOWN_S, Verified};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NAME, NOT_FOR_PEOPLE};
use crate::testing::{
    ME, MemoryRows, START_S, Step, answer, correction, header, histories, of_unknown_kind, report, report_body,
    retraction, sign,
};
use crate::{Row, Rows};

const THEM: &str = "ru-police";

/// The row of a leaf after these steps, which comes out the same when folded again.
fn row(steps: &[Step], leaf: u64) -> Option<Row> {
    let rows = MemoryRows::of(steps);
    assert_eq!(rows.rows, MemoryRows::again(steps).rows);
    rows.row(NAME, &leaf.to_be_bytes()).unwrap()
}

fn from_them(title: &str) -> Verified {
    report(THEM, &[ME], title)
}

#[test]
fn a_row_says_what_people_need() {
    let report = from_them("EXERCISE boarding");
    let row = row(&[Step::Received(report.clone())], 0).unwrap();
    assert_eq!((row.record, row.time_ms, row.key), (report.id(), START_S * 1000, vec![0; 8]));
    assert_eq!(row.facets, [("author", THEM.to_owned()), ("kind", "report".to_owned())]);
    let expect = json!({
        "author": THEM, "kind": "report", "tlp": "AMBER", "thread": "07".repeat(16), "issued_at": START_S,
        "received_at_ms": START_S * 1000, "state": "current", "title": "EXERCISE boarding",
    });
    assert_eq!(row.body, expect);
}

#[test]
fn what_there_is_to_say_is_said() {
    let with = |change: fn(&mut Header)| {
        let mut header = header(THEM, &[ME], "report");
        change(&mut header);
        sign(header, report_body("EXERCISE").to_body())
    };
    let file = Attachment {
        name: "exercise.json".to_owned(),
        media_type: "application/json".to_owned(),
        size: 1,
        digest: [0; 32],
        key: [1; 32],
        chunks: vec![2; 32],
    };
    let file = sign(header(THEM, &[ME], "attachment"), file.to_body());
    let check = |record: Verified, field: &str, expect: Value| {
        let row = row(&[Step::Received(record)], 0).unwrap();
        assert_eq!(row.body[field], expect, "{field}");
        // The key of an attachment must stay where it is.
        assert!(!row.body.to_string().contains(&"01".repeat(32)));
    };
    check(with(|h| h.handling.codes = Some(vec![Code::H1, Code::H3])), "codes", json!(["H1", "H3"]));
    check(with(|h| h.expires = Some(START_S + 60)), "expires", json!(START_S + 60));
    check(with(|h| h.issued_at = START_S + SKEW_SHOWN_S), "skew_s", Value::Null);
    check(with(|h| h.issued_at = START_S + SKEW_SHOWN_S + 1), "skew_s", json!(SKEW_SHOWN_S + 1));
    check(with(|h| h.issued_at = START_S - SKEW_SHOWN_S), "skew_s", Value::Null);
    check(with(|h| h.issued_at = START_S - 86_400), "skew_s", json!(-86_400));
    check(with(|h| h.issued_at = u64::MAX), "skew_s", json!(i64::MAX));
    check(with(|_| ()), "understood", Value::Null);
    check(of_unknown_kind(THEM, "EXERCISE"), "understood", json!(false));
    check(of_unknown_kind(THEM, "EXERCISE"), "title", Value::Null);
    check(file, "title", json!("exercise.json"));
    let on = RecordId([5; 32]);
    check(correction(THEM, &[ME], on, "EXERCISE mended"), "title", json!("EXERCISE mended"));
    check(correction(THEM, &[ME], on, "EXERCISE mended"), "corrects", json!(on));
    check(retraction(THEM, &[ME], on, ""), "retracts", json!(on));
}

#[test]
fn what_nodes_tell_each_other_is_not_for_people() {
    let by_kind = |kind: &str| sign(header(THEM, &[ME], kind), vec![0xa0]);
    for kind in NOT_FOR_PEOPLE {
        assert_eq!(row(&[Step::Received(by_kind(kind))], 0), None, "{kind}");
    }
    assert!(NOT_FOR_PEOPLE.contains(&KeySet::KIND));
    // A proposed register version is something to be read and decided on; an alarm even more so.
    for kind in ["register-version", "witness-alarm"] {
        assert_eq!(row(&[Step::Received(by_kind(kind))], 0).unwrap().body["kind"], kind);
    }
    // What this agency authored, and what it refused, did not come in.
    let other = from_them("EXERCISE");
    let own = report(ME, &[THEM], "EXERCISE");
    assert!(MemoryRows::of(&[Step::Authored(own), Step::Rejected(other.id(), "expired")]).of_view(NAME).is_empty());
    let answered = answer(THEM, other.id(), Action::Marked, None, 0);
    assert!(MemoryRows::of(&[Step::Received(answered)]).of_view(NAME).is_empty());
}

/// The state of a report of theirs at leaf 0 after these steps, and the place of the step to which it is due.
fn state_after(said: impl Fn(RecordId) -> Vec<Step>) -> (String, Option<usize>) {
    let report = from_them("EXERCISE one");
    let mut steps = vec![Step::Received(report.clone())];
    steps.extend(said(report.id()));
    let row = row(&steps, 0).unwrap();
    assert_eq!(row.record, report.id());
    let by = row.body.get("by").map(|by| {
        let is_it = |step: &Step| matches!(step, Step::Received(r) if json!(r.id()) == *by);
        steps.iter().position(is_it).unwrap()
    });
    (row.body["state"].as_str().unwrap().to_owned(), by)
}

#[test]
fn states() {
    let retracts = |on, why: &str| Step::Received(retraction(THEM, &[ME], on, why));
    let corrects = |on, title: &str| Step::Received(correction(THEM, &[ME], on, title));
    let id = |step: &Step| if let Step::Received(record) = step { record.id() } else { unreachable!() };
    let check = |said: &dyn Fn(RecordId) -> Vec<Step>, state: &str, by: Option<usize>| {
        assert_eq!(state_after(said), (state.to_owned(), by));
    };
    check(&|_| vec![], "current", None);
    check(&|on| vec![retracts(on, "a")], "retracted", Some(1));
    check(&|on| vec![corrects(on, "a")], "corrected", Some(1));
    // The latest correction counts, the first retraction counts, and a retraction counts more.
    check(&|on| vec![corrects(on, "a"), corrects(on, "b")], "corrected", Some(2));
    check(&|on| vec![retracts(on, "a"), retracts(on, "b")], "retracted", Some(1));
    check(&|on| vec![corrects(on, "a"), retracts(on, "b"), corrects(on, "c")], "retracted", Some(2));
    // Deletion, with or without a retraction.
    check(&|on| vec![Step::Deleted(on)], "deleted", None);
    check(&|on| vec![retracts(on, "a"), Step::Deleted(on)], "deleted", None);
    check(&|on| vec![Step::Deleted(on), retracts(on, "a"), corrects(on, "b")], "deleted", None);
    // A correction or retraction whose own content is deleted no longer counts.
    check(&|on| vec![corrects(on, "a"), Step::Deleted(id(&corrects(on, "a")))], "current", None);
    check(
        &|on| vec![corrects(on, "a"), corrects(on, "b"), Step::Deleted(id(&corrects(on, "b")))],
        "corrected",
        Some(1),
    );
    check(
        &|on| vec![corrects(on, "a"), corrects(on, "b"), Step::Deleted(id(&corrects(on, "a")))],
        "corrected",
        Some(2),
    );
    check(
        &|on| vec![corrects(on, "a"), retracts(on, "b"), Step::Deleted(id(&retracts(on, "b")))],
        "corrected",
        Some(1),
    );
}

#[test]
fn somebody_elses_word_changes_nothing() {
    for other in ["id-coastguard", "sg-fusion"] {
        let say = |on| {
            vec![
                Step::Received(retraction(other, &[ME], on, "EXERCISE")),
                Step::Received(correction(other, &[ME], on, "EXERCISE")),
            ]
        };
        assert_eq!(state_after(say), ("current".to_owned(), None));
        // Nor does it come to count when the author's own correction goes.
        let own = |on| correction(THEM, &[ME], on, "EXERCISE own");
        let gone = |on| [say(on), vec![Step::Received(own(on)), Step::Deleted(own(on).id())]].concat();
        assert_eq!(state_after(gone), ("current".to_owned(), None));
    }
}

#[test]
fn a_tombstone_holds_nothing_of_the_content() {
    let report = from_them("EXERCISE secret");
    let steps = [Step::Received(report.clone()), Step::Nothing, Step::Deleted(report.id())];
    let row = row(&steps, 0).unwrap();
    assert_eq!((row.record, row.time_ms, row.facets), (report.id(), START_S * 1000, vec![]));
    assert_eq!(row.body, json!({ "state": "deleted", "received_at_ms": START_S * 1000 }));
    // What was never here, such as an attachment that did not come, leaves no trace.
    assert!(MemoryRows::of(&[Step::Deleted(report.id())]).of_view(NAME).is_empty());
}

fn came(step: &Step) -> Option<&Verified> {
    if let Step::Received(record) = step { Some(record) } else { None }
}

/// What the inbox must hold after a history: key, state, and the record to which the state is due.
fn model(steps: &[Step]) -> Vec<(Vec<u8>, String, Value)> {
    let deleted = |id: RecordId| steps.iter().any(|step| matches!(step, Step::Deleted(gone) if *gone == id));
    let for_people = |record: &&Verified| !matches!(record.header().kind.as_str(), "answer" | "use-summary");
    let mut expect = Vec::new();
    for (leaf, step) in steps.iter().enumerate() {
        let Some(record) = came(step).filter(for_people) else { continue };
        let own = |other: &&Verified| other.header().author == record.header().author && !deleted(other.id());
        let later: Vec<_> = steps[leaf..].iter().filter_map(came).filter(own).collect();
        let says = |other: &&&Verified, relation| other.header().the_one(relation) == Some(record.id());
        let retracted = later.iter().find(|other| says(other, Relation::Retracts));
        let corrected = later.iter().rfind(|other| says(other, Relation::Corrects));
        let (state, by) = match (retracted, corrected) {
            _ if deleted(record.id()) => ("deleted", Value::Null),
            (Some(by), _) => ("retracted", json!(by.id())),
            (None, Some(by)) => ("corrected", json!(by.id())),
            (None, None) => ("current", Value::Null),
        };
        expect.push(((leaf as u64).to_be_bytes().to_vec(), state.to_owned(), by));
    }
    expect
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_fold_comes_to_what_the_model_says(steps in histories()) {
        let rows = MemoryRows::of(&steps);
        let state = |row: &Row| row.body["state"].as_str().unwrap().to_owned();
        let found: Vec<_> =
            rows.of_view(NAME).into_iter().map(|row| (row.key.clone(), state(row), row.body["by"].clone())).collect();
        prop_assert_eq!(found, model(&steps));
    }
}
