//! Saved searches: saved, replaced, ended, and what they found.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::saved_search::SavedSearch;
use mufakat_record::{Act, Digest, How, RecordId, Verified};
use serde_json::json;

use super::{ALERT, NAME};
use crate::testing::{ME, MemoryRows, START_S, Step, header, sign};

fn search(by: Option<&str>, name: &str, question: &str) -> Verified {
    let by = by.map(|by| by.parse().unwrap());
    let body = SavedSearch { by, name: name.to_owned(), question: question.to_owned() };
    sign(header(ME, &[ME], SavedSearch::KIND), body.to_body())
}

fn hit(note: Option<String>, first: u8, others: &[u8]) -> Step {
    let records = others.iter().map(|n| RecordId([*n; 32])).collect::<Vec<_>>();
    let records = (!records.is_empty()).then_some(records);
    Step::Used(RecordId([first; 32]), Act { note, records, ..Act::of_the_node(How::Hit, Digest([0; 32])) })
}

#[test]
fn one_takes_the_place_of_another_of_its_officer_and_name() {
    let steps = [
        Step::Authored(search(Some("d3"), "boats", "q=kapal")),
        Step::Authored(search(None, "boats", "q=tau")),
        Step::Authored(search(Some("d3"), "boats", "q=perahu")),
        Step::Authored(search(None, "planes", "q=pesawat")),
        Step::Authored(search(None, "planes", "")),
        Step::Authored(search(Some("d4"), "planes", "")),
    ];
    let rows = MemoryRows::of(&steps);
    let shown: Vec<_> =
        rows.of_view(NAME).iter().map(|row| (row.body["question"].clone(), row.body.get("by").cloned())).collect();
    assert_eq!(shown, [(json!("q=tau"), None), (json!("q=perahu"), Some(json!("d3")))]);
    assert_eq!(rows.of_view(NAME)[0].body["through"], 2);
}

#[test]
fn what_it_found_is_told_and_other_hits_are_not() {
    let saved = search(None, "boats", "q=kapal");
    let alert = |through: u64| Some(format!("{ALERT}{} {through}", saved.id()));
    let steps = [
        Step::Authored(saved.clone()),
        hit(None, 7, &[]),
        hit(Some("EXERCISE".to_owned()), 7, &[]),
        hit(Some(format!("{ALERT}{} 9", RecordId([1; 32]))), 7, &[]),
        hit(Some(format!("{ALERT}{} x", saved.id())), 7, &[]),
        hit(alert(3), 5, &[6]),
        hit(alert(6), 8, &[]),
    ];
    let row = MemoryRows::of(&steps[..6]).of_view(NAME)[0].clone();
    let records = [RecordId([5; 32]), RecordId([6; 32])];
    let at_ms = (START_S + 5) * 1000;
    assert_eq!(row.body["last"], json!({ "at_ms": at_ms, "leaf": 5, "records": records }));
    assert_eq!((row.time_ms, &row.body["alerts"], &row.body["through"]), (at_ms, &json!(1), &json!(3)));
    let rows = MemoryRows::of(&steps);
    let row = rows.of_view(NAME)[0];
    assert_eq!((&row.body["alerts"], &row.body["through"]), (&json!(2), &json!(6)));
}
