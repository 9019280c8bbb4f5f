//! `retention`: what is to be deleted, or looked at again, and when.
//!
//! - Key: 0 for what waits to be deleted, 1 for what has a date or was passed on; then the index of the record's leaf, 8 bytes,
//!   big-endian.
//! - Facets: `author`; `kind`; `state`; `for`.
//! - Body: `state`, which is
//!   - `waiting`: it was taken back and could not be deleted then, because of a legal hold or because it was on its way to
//!     somebody. `why` is `retracted`, `by` the record that took it back or answers for it, `for` what it waited for at first:
//!     `hold`, or `delivery`;
//!   - `kept`: it came from a partner, or was passed on by this agency (`passed_on`). `author`, `kind` and `tlp`; `expires`, the
//!     end that its author gave it, and `review`, by when it is to be looked at again, both in seconds, as far as there are any.
//!
//! Of records without a date, which nobody passed on and nobody took back, there are no rows; and none of deleted ones.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::onward::Onward;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::kinds::{self};
use mufakat_record::{RecordId, Relation, Verified};
use serde_json::{Value, json};

use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "retention";
/// What begins the keys of what waits to be deleted.
pub const WAITING: [u8; 1] = [0];
/// The facet `for` of what a legal hold kept.
pub const FOR_HOLD: &str = "hold";
/// The facet `for` of what had not arrived everywhere.
pub const FOR_DELIVERY: &str = "delivery";
/// What begins the keys of what has a date.
pub const KEPT: [u8; 1] = [1];

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Retention;

impl View for Retention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["author", "kind", "state", "for"]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Received(record) if kinds::deletable(&record.header().kind) => Ok(kept(event, record)),
            Happening::Authored(record) => match record.header().kind.as_str() {
                Onward::KIND => Ok(kept(event, record)),
                Retraction::KIND => took_back(event, record, rows),
                Answer::KIND => answered(event, record, rows),
                _ => Ok(Vec::new()),
            },
            Happening::Deleted(record) => deleted(&record, rows),
            _ => Ok(Vec::new()),
        }
    }
}

fn key(of: [u8; 1], leaf: u64) -> Vec<u8> {
    [&of[..], &leaf.to_be_bytes()].concat()
}

/// A record that has a date, or that this agency passed on.
fn kept(event: &Event<'_>, record: &Verified) -> Vec<RowChange> {
    let header = record.header();
    let passed_on = header.author == *event.me;
    if header.expires.is_none() && header.handling.review.is_none() && !passed_on {
        return Vec::new();
    }
    let mut body = json!({
        "state": "kept", "author": header.author, "kind": header.kind, "tlp": header.handling.tlp,
    });
    let mut say = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[field] = value;
        }
    };
    say("passed_on", passed_on.then_some(json!(true)));
    say("expires", header.expires.map(Value::from));
    say("review", header.handling.review.map(Value::from));
    let facets =
        vec![("author", header.author.to_string()), ("kind", header.kind.clone()), ("state", "kept".to_owned())];
    let key = key(KEPT, event.leaf);
    vec![RowChange::Put(Row { view: NAME, key, time_ms: event.at_ms, record: record.id(), facets, body })]
}

/// What this agency passed on and took back is to be deleted here as well.
fn took_back(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Some(on) = record.header().the_one(Relation::Retracts) else { return Ok(Vec::new()) };
    let Some(leaf) = rows.leaf_of(&on)? else { return Ok(Vec::new()) };
    let passed_on = rows.row(NAME, &key(KEPT, leaf))?.is_some_and(|row| row.body["passed_on"] == true);
    Ok(if passed_on { vec![waiting(event, on, leaf, &record.id(), FOR_DELIVERY)] } else { Vec::new() })
}

/// What a legal hold keeps stands in the answer that says so.
fn answered(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    let header = record.header();
    let kept = Answer::from_body(header, record.body()).is_ok_and(|answer| answer.action == Action::Kept);
    let mut changes = Vec::new();
    for about in header.references.iter().filter(|r| kept && r.relation == Relation::About) {
        // An originator's retraction that was carried here is not held as such.
        if let Some(leaf) = rows.leaf_of(&about.record)? {
            changes.push(waiting(event, about.record, leaf, &record.id(), FOR_HOLD));
        }
    }
    Ok(changes)
}

fn waiting(event: &Event<'_>, record: RecordId, leaf: u64, by: &RecordId, what_for: &str) -> RowChange {
    let body = json!({ "state": "waiting", "why": "retracted", "by": by, "for": what_for });
    let facets = vec![("state", "waiting".to_owned()), ("for", what_for.to_owned())];
    RowChange::Put(Row { view: NAME, key: key(WAITING, leaf), time_ms: event.at_ms, record, facets, body })
}

fn deleted(record: &RecordId, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Some(leaf) = rows.leaf_of(record)? else { return Ok(Vec::new()) };
    let mut changes = Vec::new();
    for key in [key(WAITING, leaf), key(KEPT, leaf)] {
        if rows.row(NAME, &key)?.is_some() {
            changes.push(RowChange::Delete { view: NAME, key });
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use mufakat_record::{Header, Reference};

    use super::*;
    use crate::testing::{ME, MemoryRows, START_S, Step, header, report, report_body, retraction, sign};

    const THEM: &str = "ru-police";

    /// The state of each row after these steps, which comes out the same when folded again.
    fn states(steps: &[Step]) -> Vec<(u8, u8, String)> {
        let rows = MemoryRows::of(steps);
        assert_eq!(rows.rows, MemoryRows::again(steps).rows);
        let state = |row: &Row| row.body["state"].as_str().unwrap().to_owned();
        rows.of_view(NAME).into_iter().map(|row| (row.key[0], row.key[8], state(row))).collect()
    }

    fn dated(change: fn(&mut Header)) -> Verified {
        let mut header = header(THEM, &[ME], "report");
        change(&mut header);
        sign(header, report_body("EXERCISE").to_body())
    }

    fn onward(carried: &Verified) -> Verified {
        let references = vec![Reference { relation: Relation::About, record: carried.id() }];
        let header = Header { references, ..header(ME, &[THEM], Onward::KIND) };
        let body = Onward { record: carried.bytes().to_vec(), permission: None, note: None };
        sign(header, body.to_body())
    }

    fn kept_for_a_hold(retraction: RecordId, record: RecordId) -> Verified {
        let reference = |relation, record| Reference { relation, record };
        let references = vec![reference(Relation::About, record), reference(Relation::Answers, retraction)];
        let body = Answer { action: Action::Kept, reason: Some("EXERCISE".into()), at: 1 };
        sign(Header { references, ..header(ME, &[THEM], "answer") }, body.to_body())
    }

    #[test]
    fn what_has_a_date_has_a_row() {
        let plain = report(THEM, &[ME], "EXERCISE");
        assert!(states(&[Step::Received(plain)]).is_empty());
        assert!(states(&[Step::Authored(dated(|h| h.expires = Some(START_S + 9)))]).is_empty());
        for record in [dated(|h| h.expires = Some(START_S + 9)), dated(|h| h.handling.review = Some(START_S + 9))] {
            let steps = [Step::Received(record.clone()), Step::Nothing, Step::Deleted(record.id())];
            assert_eq!(states(&steps[..2]), [(1, 0, "kept".to_owned())]);
            assert!(states(&steps).is_empty());
        }
    }

    #[test]
    fn what_was_passed_on_waits_when_it_is_taken_back() {
        let carried = report(THEM, &[ME], "EXERCISE");
        let passed_on = onward(&carried);
        let own = report(ME, &[THEM], "EXERCISE own");
        let back = |on| Step::Authored(retraction(ME, &[THEM], on, ""));
        let steps = [
            Step::Received(carried),
            Step::Authored(passed_on.clone()),
            Step::Authored(own.clone()),
            back(own.id()),
            back(passed_on.id()),
            Step::Deleted(passed_on.id()),
        ];
        assert_eq!(states(&steps[..4]), [(1, 1, "kept".to_owned())]);
        assert_eq!(states(&steps[..5]), [(0, 1, "waiting".to_owned()), (1, 1, "kept".to_owned())]);
        assert_eq!(MemoryRows::of(&steps[..5]).of_view(NAME)[0].body["for"], FOR_DELIVERY);
        assert!(states(&steps).is_empty());
    }

    #[test]
    fn what_a_hold_keeps_waits() {
        let record = report(THEM, &[ME], "EXERCISE");
        let taken_back = retraction(THEM, &[ME], record.id(), "");
        let steps = [
            Step::Received(record.clone()),
            Step::Received(taken_back.clone()),
            Step::Authored(kept_for_a_hold(taken_back.id(), record.id())),
            Step::Deleted(record.id()),
        ];
        assert!(states(&steps[..2]).is_empty());
        assert_eq!(states(&steps[..3]), [(0, 0, "waiting".to_owned())]);
        assert_eq!(MemoryRows::of(&steps[..3]).of_view(NAME)[0].body["for"], FOR_HOLD);
        assert!(states(&steps).is_empty());
    }
}
