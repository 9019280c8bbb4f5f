//! `uses`: who did what with which record, and when; for auditors. One row for each act that stands in the ledger, and one for
//! each deletion.
//!
//! - Key: the index of the leaf, 8 bytes, big-endian.
//! - Record: the first record of the act.
//! - Facets: `on`, the id of each record that it was done to, so that everything about one record can be asked for; `officer`;
//!   `how`; `refused`, the rule that refused.
//! - Body: `leaf`; `how` (`read`, `hit`, `export`, `forward`, `release` or `deleted`); where it is known `officer`, `role`,
//!   `purpose`, `refused` and `note`; `policy`, the hash of the policy set; and `more`, how many records besides the first the act
//!   was done to, if there are any. Which they are stands in the leaf.
//!
//! A page of a search is one act, and so one row with as many `on` as it has hits: a row for each hit would make a search that is
//! read cost more room than the records that it found. No content is in a row, so deletion takes nothing out of it.

use mufakat_record::{Act, RecordId};
use serde_json::{Map, Value, json};

use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "uses";
/// What stands for `how` when the content of a record was deleted.
pub const DELETED: &str = "deleted";

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Uses;

impl View for Uses {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["on", "officer", "how", "refused"]
    }

    fn fold(&self, event: &Event<'_>, _: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        Ok(match event.happening {
            Happening::Used { record, act } | Happening::Decided { record, act } => vec![done(event, record, act)],
            Happening::Deleted(record) => vec![deleted(event, record)],
            _ => Vec::new(),
        })
    }
}

fn done(event: &Event<'_>, record: RecordId, act: &Act) -> RowChange {
    let others = act.records.as_deref().unwrap_or_default();
    let mut facets = vec![("how", act.how.name().to_owned()), ("on", record.to_string())];
    let mut body = Map::new();
    body.insert("leaf".into(), event.leaf.into());
    body.insert("how".into(), act.how.name().into());
    body.insert("policy".into(), json!(act.policy));
    let mut say = |field: &str, value: Option<Value>| value.map(|value| body.insert(field.to_owned(), value));
    say("officer", act.officer.as_ref().map(|officer| json!(officer)));
    say("role", act.role.map(|role| json!(role)));
    say("purpose", act.purpose.as_ref().map(|purpose| json!(purpose)));
    say("refused", act.refused.as_ref().map(|rule| json!(rule)));
    say("note", act.note.as_ref().map(|note| json!(note)));
    say("more", (!others.is_empty()).then(|| others.len().into()));
    facets.extend(act.officer.iter().map(|officer| ("officer", officer.to_string())));
    facets.extend(act.refused.iter().map(|rule| ("refused", rule.clone())));
    facets.extend(others.iter().filter(|other| **other != record).map(|other| ("on", other.to_string())));
    row(event, record, facets, Value::Object(body))
}

fn deleted(event: &Event<'_>, record: RecordId) -> RowChange {
    let facets = vec![("how", DELETED.to_owned()), ("on", record.to_string())];
    row(event, record, facets, json!({ "leaf": event.leaf, "how": DELETED }))
}

fn row(event: &Event<'_>, record: RecordId, facets: Vec<(&'static str, String)>, body: Value) -> RowChange {
    let key = event.leaf.to_be_bytes().to_vec();
    RowChange::Put(Row { view: NAME, key, time_ms: event.at_ms, record, facets, body })
}

#[cfg(test)]
mod tests {
    use mufakat_record::{Digest, How};

    use super::*;
    use crate::testing::{ME, MemoryRows, Step, act, report};

    #[test]
    fn an_act_is_one_row_that_is_found_by_each_of_its_records() {
        let others: Vec<RecordId> = (1..=50).map(|n| RecordId([n; 32])).collect();
        let hit = Act { records: Some(others.clone()), ..act(How::Hit) };
        let rows = MemoryRows::of(&[Step::Used(RecordId([0; 32]), hit)]);
        let found = rows.of_view(NAME);
        assert_eq!(found.len(), 1);
        for on in others.iter().chain([&RecordId([0; 32])]) {
            assert_eq!(rows.rows(NAME, &[], Some(("on", &on.to_string()))).unwrap().len(), 1, "{on}");
        }
        assert_eq!(rows.rows(NAME, &[], Some(("on", &RecordId([99; 32]).to_string()))).unwrap().len(), 0);
        let body = &found[0].body;
        let expect = json!({
            "leaf": 0, "how": "hit", "officer": "d3-night", "role": "analyst", "purpose": "piracy", "more": 50,
            "policy": Digest([1; 32]),
        });
        assert_eq!(*body, expect);
    }

    #[test]
    fn refusals_and_deletions_are_listed_and_nothing_else() {
        let record = report("ru-police", &[ME], "EXERCISE secret");
        let id = record.id();
        let refused = Act { refused: Some("clearance".to_owned()), ..act(How::Read) };
        let steps =
            [Step::Received(record), Step::Decided(id, refused), Step::Deleted(id), Step::Session(act(How::SignIn))];
        let rows = MemoryRows::of(&steps);
        let found: Vec<_> = rows.of_view(NAME).iter().map(|row| row.body["how"].clone()).collect();
        assert_eq!(found, ["read", "deleted"]);
        assert_eq!(rows.rows(NAME, &[], Some(("refused", "clearance"))).unwrap().len(), 1);
        assert!(rows.of_view(NAME).iter().all(|row| !row.body.to_string().contains("secret")));
    }
}
