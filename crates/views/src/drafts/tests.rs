//! What becomes of drafts.

use mufakat_record::kinds::approval::{Approval, Decision};
use mufakat_record::kinds::draft_step::{DraftStep, Step as Done};
use mufakat_record::{Header, RecordId, Reference, Relation};
use serde_json::json;

use super::*;
use crate::testing::{ME, MemoryRows, Step, draft, header, sign};

fn at_home(kind: &str, references: &[(Relation, RecordId)]) -> Header {
    let references = references.iter().map(|(relation, record)| Reference { relation: *relation, record: *record });
    Header { references: references.collect(), ..header(ME, &[ME], kind) }
}

fn step(on: RecordId, step: Done) -> Step {
    let records = (step == Done::Released).then(|| vec![RecordId([8; 32])]);
    let body = DraftStep { by: Some("s1-day".parse().unwrap()), step, records };
    Step::Authored(sign(at_home(DraftStep::KIND, &[(Relation::About, on)]), body.to_body()))
}

fn decision(on: RecordId, decision: Decision) -> Step {
    let body = Approval {
        by: Some("s1-day".parse().unwrap()),
        decision,
        checks: Vec::new(),
        words: Some("EXERCISE".to_owned()),
    };
    Step::Authored(sign(at_home(Approval::KIND, &[(Relation::About, on)]), body.to_body()))
}

fn state_after(steps: impl FnOnce(RecordId) -> Vec<Step>) -> String {
    let draft = draft("EXERCISE", None);
    let id = draft.id();
    let steps: Vec<_> = std::iter::once(Step::Authored(draft)).chain(steps(id)).collect();
    MemoryRows::of(&steps).of_view(NAME)[0].body["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_draft_goes_its_way() {
    use Decision::{Approve, Reject};
    use Done::{Discarded, Released, Submitted};
    assert_eq!(state_after(|_| vec![]), "draft");
    assert_eq!(state_after(|d| vec![step(d, Submitted)]), "submitted");
    assert_eq!(state_after(|d| vec![step(d, Submitted), decision(d, Approve)]), "approved");
    assert_eq!(state_after(|d| vec![step(d, Submitted), decision(d, Approve), step(d, Released)]), "released");
    assert_eq!(state_after(|d| vec![step(d, Submitted), decision(d, Reject)]), "rejected");
    assert_eq!(state_after(|d| vec![step(d, Released)]), "released");
    assert_eq!(state_after(|d| vec![step(d, Discarded)]), "discarded");
    // What does not fit changes nothing.
    assert_eq!(state_after(|d| vec![decision(d, Approve)]), "draft");
    assert_eq!(state_after(|d| vec![step(d, Submitted), decision(d, Reject), step(d, Released)]), "rejected");
    assert_eq!(state_after(|d| vec![step(d, Submitted), decision(d, Reject), decision(d, Approve)]), "rejected");
    assert_eq!(state_after(|d| vec![step(d, Discarded), step(d, Released)]), "discarded");
    assert_eq!(state_after(|d| vec![step(d, Released), step(d, Discarded)]), "released");
    assert_eq!(state_after(|_| vec![step(RecordId([4; 32]), Discarded)]), "draft");
}

#[test]
fn a_row_tells_who_did_what() {
    let draft = draft("EXERCISE title", None);
    let id = draft.id();
    let steps =
        [Step::Authored(draft), step(id, Done::Submitted), decision(id, Decision::Approve), step(id, Done::Released)];
    let rows = MemoryRows::of(&steps);
    let row = &rows.of_view(NAME)[0];
    let has = |name: &str, value: &str| row.facets.iter().any(|(n, v)| *n == name && v == value);
    assert!(has("state", "released") && has("by", "d3-night") && has("kind", "report"), "{:?}", row.facets);
    assert!(has("became", &RecordId([8; 32]).to_string()), "{:?}", row.facets);
    let body = &row.body;
    assert_eq!(
        (&body["title"], &body["tlp"], &body["by"]),
        (&json!("EXERCISE title"), &json!("RED"), &json!("d3-night"))
    );
    assert_eq!((&body["submitted"]["by"], &body["decisions"][0]["by"]), (&json!("s1-day"), &json!("s1-day")));
    assert_eq!((&body["decisions"][0]["decision"], &body["records"]), (&json!("approve"), &json!([RecordId([8; 32])])));
}

#[test]
fn a_deleted_draft_leaves_nothing_and_an_edited_one_is_shown() {
    let first = draft("EXERCISE first", None);
    let id = first.id();
    let second = draft("EXERCISE second", Some(id));
    let other = second.id();
    let mut steps = vec![Step::Authored(first), Step::Authored(second)];
    let rows = MemoryRows::of(&steps);
    assert_eq!(rows.of_view(NAME)[0].body["replaced_by"], json!([other]));
    assert_eq!(rows.of_view(NAME)[1].body["replaces"], json!(id));
    steps.push(Step::Deleted(other));
    let rows = MemoryRows::of(&steps);
    assert_eq!(rows.of_view(NAME).len(), 1);
    assert!(rows.of_view(NAME)[0].body.get("replaced_by").is_none());
    assert_eq!(MemoryRows::again(&steps).rows, rows.rows);
    steps.push(Step::Deleted(id));
    assert!(MemoryRows::of(&steps).of_view(NAME).is_empty());
}
