//! How rows of saved searches come about and change.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::saved_search::SavedSearch;
use mufakat_record::{Act, OfficerId, RecordId, Verified};
use serde_json::json;

use super::{ALERT, NAME};
use crate::{Event, Row, RowChange, Rows, RowsUnavailable};

/// By what an officer's saved search of a name is found.
pub fn mine(by: Option<&OfficerId>, name: &str) -> String {
    format!("{} {name}", whose(by))
}

fn whose(by: Option<&OfficerId>) -> String {
    by.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// A row for a search, in place of the one of its officer and name.
pub(super) fn saved(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    // The body was checked when it was submitted; one that cannot be read all the same is no search.
    let Ok(search) = SavedSearch::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let mine = mine(search.by.as_ref(), &search.name);
    let before = rows.rows(NAME, &[], Some(("mine", &mine)))?;
    let mut changes: Vec<_> = before.into_iter().map(|row| RowChange::Delete { view: NAME, key: row.key }).collect();
    if search.question.is_empty() {
        return Ok(changes);
    }
    let mut body = json!({
        "name": search.name, "question": search.question, "saved_ms": event.at_ms, "alerts": 0, "through": event.leaf + 1,
    });
    if let Some(by) = &search.by {
        body["by"] = json!(by);
    }
    changes.push(RowChange::Put(Row {
        view: NAME,
        key: event.leaf.to_be_bytes().to_vec(),
        time_ms: event.at_ms,
        record: record.id(),
        facets: vec![("by", whose(search.by.as_ref())), ("mine", mine), ("search", record.id().to_string())],
        body,
    }));
    Ok(changes)
}

/// What a saved search found.
pub(super) fn alerted(
    event: &Event<'_>,
    first: RecordId,
    act: &Act,
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let note = act.note.as_deref().and_then(|note| note.strip_prefix(ALERT)).and_then(|rest| rest.split_once(' '));
    let Some((search, through)) = note.and_then(|(id, through)| Some((id, through.parse::<u64>().ok()?))) else {
        return Ok(Vec::new());
    };
    let mut changes = Vec::new();
    for mut row in rows.rows(NAME, &[], Some(("search", search)))? {
        let records: Vec<_> = std::iter::once(first).chain(act.records.iter().flatten().copied()).collect();
        row.time_ms = event.at_ms;
        row.body["alerts"] = (row.body["alerts"].as_u64().unwrap_or_default() + 1).into();
        row.body["through"] = through.into();
        row.body["last"] = json!({ "at_ms": event.at_ms, "leaf": event.leaf, "records": records });
        changes.push(RowChange::Put(row));
    }
    Ok(changes)
}
