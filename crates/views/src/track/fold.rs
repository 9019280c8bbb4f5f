//! How rows of the view `track` come about and change.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::Answer;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, Reason, RecordId, Relation, Verified};
use serde_json::json;

use super::NAME;
use crate::{Event, Row, RowChange, Rows, RowsUnavailable};

/// A queued row for each recipient.
pub(super) fn authored(event: &Event<'_>, record: &Verified) -> Vec<RowChange> {
    let header = record.header();
    let queued = |to: &AgencyId| {
        RowChange::Put(Row {
            view: NAME,
            key: key(event.leaf, to),
            time_ms: event.at_ms,
            record: record.id(),
            facets: vec![("queued_to", to.to_string()), ("state", "queued".to_owned())],
            body: json!({ "to": to, "kind": header.kind, "state": "queued" }),
        })
    };
    header.audience.iter().filter(|to| *to != event.me).map(queued).collect()
}

/// The recipient's word on each record of a receipt that is still queued to it.
pub(super) fn receipted(record: &Verified, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    // The exchange has read the body before; a receipt that cannot be read says nothing.
    let Ok(receipt) = Receipt::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let from = &record.header().author;
    let mut changes = Vec::with_capacity(receipt.entries.len());
    for entry in &receipt.entries {
        let Some(mut row) = row_of(&entry.record, from, rows)? else { continue };
        if row.body["state"] == "queued" {
            settle(&mut row, from, entry, &receipt.ledger, &record.id());
            changes.push(RowChange::Put(row));
        }
    }
    Ok(changes)
}

fn settle(row: &mut Row, from: &AgencyId, entry: &Entry, ledger: &str, receipt: &RecordId) {
    let state = if entry.rejected.is_some() { "rejected" } else { "accepted" };
    set_state(row, from, state);
    row.body["ledger"] = ledger.into();
    row.body["index"] = entry.index.into();
    row.body["at_ms"] = entry.at_ms.into();
    row.body["receipt"] = json!(receipt);
    if let Some(reason) = &entry.rejected {
        row.body["reason"] = reason.as_str().into();
    }
}

/// What a recipient did about a retraction or correction. The latest answer counts: what was kept may be deleted later.
pub(super) fn answered(record: &Verified, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    let header = record.header();
    let Some(about) = header.the_one(Relation::Answers) else { return Ok(Vec::new()) };
    let Some(mut row) = row_of(&about, &header.author, rows)? else { return Ok(Vec::new()) };
    let asks = row.body["kind"] == Retraction::KIND || row.body["kind"] == Correction::KIND;
    let Some(answer) = Answer::from_body(header, record.body()).ok().filter(|_| asks) else { return Ok(Vec::new()) };
    let mut said = json!({ "action": answer.action, "at": answer.at });
    if let Some(reason) = answer.reason {
        said["reason"] = reason.into();
    }
    row.body["answer"] = said;
    Ok(vec![RowChange::Put(row)])
}

/// What is still queued to removed agencies will never be sent.
pub(super) fn removed(
    event: &Event<'_>,
    agencies: &[AgencyId],
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let mut changes = Vec::new();
    for agency in agencies {
        for mut row in rows.rows(NAME, &[], Some(("queued_to", agency.as_str())))? {
            set_state(&mut row, agency, "failed");
            row.body["reason"] = Reason::RecipientRemoved.name().into();
            row.body["at_ms"] = event.at_ms.into();
            changes.push(RowChange::Put(row));
        }
    }
    Ok(changes)
}

/// With the content of a record its audience is gone too, and nobody could fold its rows again.
pub(super) fn deleted(record: &RecordId, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Some(leaf) = rows.leaf_of(record)? else { return Ok(Vec::new()) };
    let of_record = rows.rows(NAME, &leaf.to_be_bytes(), None)?;
    Ok(of_record.into_iter().map(|row| RowChange::Delete { view: NAME, key: row.key }).collect())
}

fn set_state(row: &mut Row, to: &AgencyId, state: &str) {
    row.facets = vec![("settled_to", to.to_string()), ("state", state.to_owned())];
    row.body["state"] = state.into();
}

fn row_of(record: &RecordId, to: &AgencyId, rows: &dyn Rows) -> Result<Option<Row>, RowsUnavailable> {
    let Some(leaf) = rows.leaf_of(record)? else { return Ok(None) };
    rows.row(NAME, &key(leaf, to))
}

fn key(leaf: u64, to: &AgencyId) -> Vec<u8> {
    [&leaf.to_be_bytes(), to.as_str().as_bytes()].concat()
}
