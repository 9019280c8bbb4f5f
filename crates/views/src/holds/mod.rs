//! `holds`: the legal holds that this agency placed, those that were lifted included.
//!
//! - Key: 0 and the record that it is on, 32 bytes, or 1 and the thread, 16 bytes; then the index of the hold's leaf, 8 bytes,
//!   big-endian. So whatever holds a record stands together. A hold on several records has a row for each.
//! - Facets: `hold`, the id of the hold; `on`, the record or thread; `state`.
//! - Body: `hold`, `on`, `by` (absent at the socket), `reason`, `until` (seconds) if it has an end, `placed_at_ms` and `state`,
//!   which is `in-force` or `lifted`; then also `lifted_by`, `lifted_reason` and `lifted_at_ms`.
//!
//! A hold whose `until` has passed holds nothing any more; its row says so by that time, as no record tells of it.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::hold::{Hold, HoldLifted};
use mufakat_record::{RecordId, Relation, ThreadId, Verified};
use serde_json::{Value, json};

use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "holds";

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Holds;

impl View for Holds {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["hold", "on", "state"]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Authored(record) if record.header().kind == Hold::KIND => Ok(placed(event, record)),
            Happening::Authored(record) if record.header().kind == HoldLifted::KIND => lifted(event, record, rows),
            _ => Ok(Vec::new()),
        }
    }
}

/// What begins the keys of rows about a record, or about a thread.
pub fn prefix(on: &On) -> Vec<u8> {
    match on {
        On::Record(record) => [&[0][..], record.as_bytes()].concat(),
        On::Thread(thread) => [&[1][..], thread.as_bytes()].concat(),
    }
}

/// What a hold is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// A record.
    Record(RecordId),
    /// All records of a thread.
    Thread(ThreadId),
}

/// Whether the hold of a row is in force at a time, in milliseconds since 1970.
pub fn in_force(row: &Row, at_ms: u64) -> bool {
    row.body["state"] == "in-force" && row.body["until"].as_u64().is_none_or(|until| at_ms / 1000 < until)
}

fn placed(event: &Event<'_>, record: &Verified) -> Vec<RowChange> {
    let Ok(hold) = Hold::from_body(record.header(), record.body()) else { return Vec::new() };
    let records = record.header().references.iter().filter(|r| r.relation == Relation::About);
    let on = records.map(|r| On::Record(r.record)).chain(hold.thread.map(On::Thread));
    let row = |on: On| {
        let name = match on {
            On::Record(record) => record.to_string(),
            On::Thread(thread) => thread.to_string(),
        };
        let mut body = json!({
            "hold": record.id(), "on": name, "reason": hold.reason, "placed_at_ms": event.at_ms, "state": "in-force",
        });
        if let Some(by) = &hold.by {
            body["by"] = json!(by);
        }
        if let Some(until) = hold.until {
            body["until"] = until.into();
        }
        let facets = vec![("hold", record.id().to_string()), ("on", name), ("state", "in-force".to_owned())];
        let key = [&prefix(&on)[..], &event.leaf.to_be_bytes()].concat();
        RowChange::Put(Row { view: NAME, key, time_ms: event.at_ms, record: record.id(), facets, body })
    };
    on.map(row).collect()
}

fn lifted(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Ok(said) = HoldLifted::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let Some(hold) = record.header().the_one(Relation::About) else { return Ok(Vec::new()) };
    let of_hold = rows.rows(NAME, &[], Some(("hold", &hold.to_string())))?;
    let lift = |mut row: Row| {
        row.facets.retain(|(name, _)| *name != "state");
        row.facets.push(("state", "lifted".to_owned()));
        row.body["state"] = "lifted".into();
        row.body["lifted_reason"] = said.reason.clone().into();
        row.body["lifted_at_ms"] = event.at_ms.into();
        row.body["lifted_by"] = said.by.as_ref().map_or(Value::Null, |by| json!(by));
        RowChange::Put(row)
    };
    // The first word counts.
    Ok(of_hold.into_iter().filter(|row| row.body["state"] == "in-force").map(lift).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ME, MemoryRows, START_S, Step, header, sign};
    use mufakat_record::Reference;

    fn about(kind: &str, records: &[RecordId]) -> mufakat_record::Header {
        let about = |record: &RecordId| Reference { relation: Relation::About, record: *record };
        mufakat_record::Header { references: records.iter().map(about).collect(), ..header(ME, &[ME], kind) }
    }

    #[test]
    fn holds_begin_and_end() {
        let (one, two, thread) = (RecordId([1; 32]), RecordId([2; 32]), ThreadId([7; 16]));
        let until = Some(START_S + 100);
        let body = Hold { by: None, thread: Some(thread), reason: "EXERCISE case".into(), until };
        let hold = sign(about(Hold::KIND, &[one, two]), body.to_body());
        let lift = |reason: &str| {
            let body = HoldLifted { by: Some("d3-night".parse().unwrap()), reason: reason.into() };
            Step::Authored(sign(about(HoldLifted::KIND, &[hold.id()]), body.to_body()))
        };
        let steps = [Step::Authored(hold.clone()), lift("EXERCISE closed"), lift("EXERCISE again")];
        let rows = MemoryRows::of(&steps[..1]);
        for on in [On::Record(one), On::Record(two), On::Thread(thread)] {
            let held = rows.rows(NAME, &prefix(&on), None).unwrap();
            assert_eq!(held.len(), 1, "{on:?}");
            assert!(in_force(&held[0], (START_S + 99) * 1000) && !in_force(&held[0], (START_S + 100) * 1000));
        }
        assert!(rows.rows(NAME, &prefix(&On::Record(RecordId([3; 32]))), None).unwrap().is_empty());
        let rows = MemoryRows::of(&steps);
        assert_eq!(rows.rows, MemoryRows::again(&steps).rows);
        for row in rows.of_view(NAME) {
            assert!(!in_force(row, START_S * 1000));
            let said = [&row.body["lifted_reason"], &row.body["lifted_by"]];
            assert_eq!(said, [&json!("EXERCISE closed"), &json!("d3-night")]);
        }
    }
}
