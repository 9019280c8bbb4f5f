//! Tests of the view `policies`.

use mufakat_record::RecordId;
use mufakat_record::kinds::approval::Decision;
use serde_json::{Value, json};

use super::NAME;
use crate::testing::{MemoryRows, Step, approval, policy_set};

fn states(steps: &[Step]) -> Vec<(Value, Value)> {
    let rows = MemoryRows::of(steps);
    let rows = rows.of_view(NAME).into_iter().map(|row| (row.body["name"].clone(), row.body["state"].clone()));
    rows.collect()
}

#[track_caller]
fn check(steps: &[Step], expect: &[(&str, &str)]) {
    let expect: Vec<_> = expect.iter().map(|(name, state)| (json!(name), json!(state))).collect();
    assert_eq!(states(steps), expect);
}

#[test]
fn a_set_waits_for_another_officer() {
    let set = policy_set("nights", Some("one"), 1);
    let says = |by: Option<&str>, decision| Step::Authored(approval(by, decision, set.id()));
    let proposed = Step::Authored(set.clone());
    check(std::slice::from_ref(&proposed), &[("nights", "proposed")]);
    for (by, decision, state) in [
        (Some("two"), Decision::Approve, "in-force"),
        (None, Decision::Approve, "in-force"),
        (Some("one"), Decision::Approve, "proposed"),
        (Some("two"), Decision::Reject, "rejected"),
        (Some("one"), Decision::Reject, "rejected"),
    ] {
        check(&[proposed.clone(), says(by, decision)], &[("nights", state)]);
    }
    // What was decided stays decided.
    let again = [proposed.clone(), says(Some("two"), Decision::Reject), says(Some("two"), Decision::Approve)];
    check(&again, &[("nights", "rejected")]);
    let rows = MemoryRows::of(&[proposed, says(Some("two"), Decision::Approve)]);
    let row = rows.of_view(NAME)[0];
    assert_eq!((&row.body["by"], &row.body["decisions"][0]["by"]), (&json!("one"), &json!("two")));
    assert_eq!(row.body["files"], json!(["exercise.cedar"]));
}

#[test]
fn at_the_socket_one_decides_alone_and_an_officer_does_not() {
    let set = policy_set("nights", None, 1);
    let says = |by: Option<&str>| Step::Authored(approval(by, Decision::Approve, set.id()));
    check(&[Step::Authored(set.clone()), says(Some("two"))], &[("nights", "proposed")]);
    check(&[Step::Authored(set.clone()), says(Some("two")), says(None)], &[("nights", "in-force")]);
}

#[test]
fn a_set_takes_the_place_of_the_earlier_one_of_its_name() {
    let (first, other, second) = (
        policy_set("nights", Some("one"), 1),
        policy_set("drugs", Some("one"), 1),
        policy_set("nights", Some("two"), 0),
    );
    let approved = |by: &str, id: RecordId| Step::Authored(approval(Some(by), Decision::Approve, id));
    let steps = [
        Step::Authored(first.clone()),
        Step::Authored(other.clone()),
        approved("two", first.id()),
        approved("two", other.id()),
        Step::Authored(second.clone()),
    ];
    check(&steps, &[("nights", "in-force"), ("drugs", "in-force"), ("nights", "proposed")]);
    let ended = [&steps[..], &[approved("one", second.id())]].concat();
    check(&ended, &[("nights", "replaced"), ("drugs", "in-force"), ("nights", "in-force")]);
    let rows = MemoryRows::of(&ended);
    let in_force = |row: &&crate::Row| row.facets.contains(&("in_force", "nights".to_owned()));
    assert_eq!(rows.of_view(NAME).into_iter().filter(in_force).count(), 1);
}
