//! How rows of drafts come about and change.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::{Approval, Decision};
use mufakat_record::kinds::draft::Draft;
use mufakat_record::kinds::draft_step::{DraftStep, Step};
use mufakat_record::{RecordId, Relation, Verified};
use serde_json::{Value, json};

use super::{BECAME, NAME, State};
use crate::{Event, Row, RowChange, Rows, RowsUnavailable};

/// A row for a draft, and the changed row of the one that it was made from.
pub(super) fn written(
    event: &Event<'_>,
    record: &Verified,
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    // The body was checked when it was submitted; one that cannot be read all the same is no draft.
    let Ok(draft) = Draft::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let mut body = json!({
        "state": State::Draft.name(), "kind": draft.kind, "tlp": draft.handling.tlp, "to": draft.to,
        "created_ms": event.at_ms,
    });
    let mut facets = vec![("state", State::Draft.name().to_owned()), ("kind", draft.kind.clone())];
    if let Some(by) = &draft.by {
        facets.push(("by", by.to_string()));
        body["by"] = json!(by);
    }
    if let Some(drafted) = draft.drafted(record.header()) {
        body["title"] = drafted.title().into();
    }
    if let Some(target) = &draft.target {
        body["target"] = json!(target);
    }
    if let Some(codes) = &draft.handling.codes {
        body["codes"] = json!(codes);
    }
    let replaces = record.header().the_one(Relation::Corrects);
    if let Some(replaces) = replaces {
        body["replaces"] = json!(replaces);
    }
    let key = event.leaf.to_be_bytes().to_vec();
    let mut changes =
        vec![RowChange::Put(Row { view: NAME, key, time_ms: event.at_ms, record: record.id(), facets, body })];
    if let Some(mut before) = replaces.map(|replaces| row_of(&replaces, rows)).transpose()?.flatten() {
        push(&mut before.body, "replaced_by", json!(record.id()));
        changes.push(RowChange::Put(before));
    }
    Ok(changes)
}

/// A submission, a release, or that it was given up.
pub(super) fn stepped(
    event: &Event<'_>,
    record: &Verified,
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Ok(step) = DraftStep::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let state = match step.step {
        Step::Submitted => State::Submitted,
        Step::Discarded => State::Discarded,
        Step::Released => State::Released,
    };
    advance(record, state, rows, |row| {
        row.body[state.name()] = json!({ "by": step.by, "at_ms": event.at_ms });
        if let Some(records) = &step.records {
            row.body["records"] = json!(records);
            row.facets.extend(records.iter().map(|became| (BECAME, became.to_string())));
        }
    })
}

/// What a second officer said. An approval may be of something that is no draft; then no row is here.
pub(super) fn decided(
    event: &Event<'_>,
    record: &Verified,
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Ok(approval) = Approval::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let state = match approval.decision {
        Decision::Approve => State::Approved,
        Decision::Reject => State::Rejected,
    };
    advance(record, state, rows, |row| {
        let mut said = json!({
            "by": approval.by, "decision": approval.decision, "at_ms": event.at_ms, "approval": record.id(),
            "checks": approval.checks.len(),
        });
        if let Some(words) = &approval.words {
            said["words"] = words.as_str().into();
        }
        push(&mut row.body, "decisions", said);
    })
}

/// The row goes, and what was made from it stands alone. The one that it was made from is as it was.
pub(super) fn deleted(record: RecordId, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Some(row) = row_of(&record, rows)? else { return Ok(Vec::new()) };
    let mut changes = Vec::new();
    let replaces = row.body["replaces"].as_str().and_then(|id| id.parse().ok());
    if let Some(mut before) = replaces.map(|id| row_of(&id, rows)).transpose()?.flatten()
        && let Some(replaced_by) = before.body.get_mut("replaced_by").and_then(Value::as_array_mut)
    {
        replaced_by.retain(|id| *id != json!(record));
        if replaced_by.is_empty() {
            before.body.as_object_mut().map(|body| body.remove("replaced_by"));
        }
        changes.push(RowChange::Put(before));
    }
    changes.push(RowChange::Delete { view: NAME, key: row.key });
    Ok(changes)
}

fn advance(
    record: &Verified,
    state: State,
    rows: &dyn Rows,
    change: impl FnOnce(&mut Row),
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Some(about) = record.header().the_one(Relation::About) else { return Ok(Vec::new()) };
    let Some(mut row) = row_of(&about, rows)? else { return Ok(Vec::new()) };
    if !State::of(&row.body).is_some_and(|before| state.follows(before)) {
        return Ok(Vec::new());
    }
    row.body["state"] = state.name().into();
    row.facets.iter_mut().filter(|(name, _)| *name == "state").for_each(|(_, value)| state.name().clone_into(value));
    change(&mut row);
    Ok(vec![RowChange::Put(row)])
}

fn push(body: &mut Value, list: &str, value: Value) {
    match body[list].as_array_mut() {
        Some(list) => list.push(value),
        None => body[list] = json!([value]),
    }
}

fn row_of(record: &RecordId, rows: &dyn Rows) -> Result<Option<Row>, RowsUnavailable> {
    let Some(leaf) = rows.leaf_of(record)? else { return Ok(None) };
    rows.row(NAME, &leaf.to_be_bytes())
}
