//! How rows of the view `track` come about and change.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::Answer;
use mufakat_record::kinds::deletion_receipt::DeletionReceipt;
use mufakat_record::kinds::escalation::Escalation;
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, Reason, RecordId, Relation, Verified};
use serde_json::{Value, json};

use super::{ANSWERED_KINDS, NAME, UNANSWERED};
use crate::requests::Escalated;
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
            facets: facets("queued_to", to, "queued", asks(&json!(header.kind)).then_some(header.kind.as_str())),
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

/// What a recipient did about a retraction or correction. The latest answer counts: what was kept may be deleted later. One to
/// whom a recipient passed the record on answers that recipient, and names what it was about.
pub(super) fn answered(
    event: &Event<'_>,
    record: &Verified,
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let header = record.header();
    let Ok(answer) = Answer::from_body(header, record.body()) else { return Ok(Vec::new()) };
    let direct = header.the_one(Relation::Answers).map(|about| row_of(&about, &header.author, rows));
    let row = match direct.transpose()?.flatten() {
        Some(row) => Some(row).filter(|row| asks(&row.body["kind"])),
        None => {
            let through = header.audience.iter().find(|to| *to != event.me);
            through_row(event, record, through, rows)?.filter(|row| asks(&row.body["kind"]))
        }
    };
    let Some(mut row) = row else { return Ok(Vec::new()) };
    let mut said = json!({ "action": answer.action, "at": answer.at });
    if let Some(reason) = answer.reason {
        said["reason"] = reason.into();
    }
    row.body["answer"] = said;
    row.facets.retain(|(name, _)| *name != UNANSWERED);
    Ok(vec![RowChange::Put(row)])
}

fn asks(kind: &Value) -> bool {
    ANSWERED_KINDS.iter().any(|answered| kind == answered)
}

/// An escalation of a retraction or correction stands on each row that is unanswered then.
pub(super) fn escalated(
    event: &Event<'_>,
    record: &Verified,
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Some(about) = record.header().the_one(Relation::About) else { return Ok(Vec::new()) };
    let Ok(body) = Escalation::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let Some(leaf) = rows.leaf_of(&about)? else { return Ok(Vec::new()) };
    let Escalation { level, mark_ms, due_ms } = body;
    let told = Escalated { record: record.id(), level, mark_ms, due_ms, at_ms: event.at_ms };
    let mut changes = Vec::new();
    for mut row in rows.rows(NAME, &leaf.to_be_bytes(), None)? {
        // Once is enough for each level, so the list stays short.
        if row.facets.iter().any(|(name, _)| *name == UNANSWERED) && !super::is_escalated(&row, level) {
            let mut all = row.body["escalated"].take().as_array().cloned().unwrap_or_default();
            all.push(json!(told));
            row.body["escalated"] = all.into();
            changes.push(RowChange::Put(row));
        }
    }
    Ok(changes)
}

/// What a recipient, or one to whom a recipient passed it on, deleted of a record.
pub(super) fn deleted_there(
    event: &Event<'_>,
    record: &Verified,
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let header = record.header();
    let Ok(receipt) = DeletionReceipt::from_body(header, record.body()) else { return Ok(Vec::new()) };
    let row = match (&receipt.through, header.the_one(Relation::About)) {
        (Some(through), _) => through_row(event, record, Some(through), rows)?,
        (None, Some(about)) => row_of(&about, &header.author, rows)?,
        (None, None) => None,
    };
    let Some(mut row) = row else { return Ok(Vec::new()) };
    let before = |field: &str| row.body["deletion"][field].as_u64().unwrap_or_default();
    let copies = before("copies").saturating_add(receipt.copies);
    let attachments = before("attachments").saturating_add(receipt.attachments);
    row.body["deletion"] =
        json!({ "why": receipt.why, "at": receipt.at, "copies": copies, "attachments": attachments });
    Ok(vec![RowChange::Put(row)])
}

/// The row of an agency to whom a recipient passed on what a record is about: the one there is, or a new one. Nothing if that is
/// not a record of this agency, or if it was not known to be with that recipient: anybody can say from whom a record came.
fn through_row(
    event: &Event<'_>,
    record: &Verified,
    through: Option<&AgencyId>,
    rows: &dyn Rows,
) -> Result<Option<Row>, RowsUnavailable> {
    let header = record.header();
    let Some(through) = through.filter(|through| **through != header.author) else { return Ok(None) };
    for about in header.references.iter().filter(|r| r.relation == Relation::About) {
        let Some(leaf) = rows.leaf_of(&about.record)? else { continue };
        let key = [&key(leaf, &header.author)[..], &[0], through.as_str().as_bytes()].concat();
        if let Some(row) = rows.row(NAME, &key)? {
            return Ok(Some(row));
        }
        // What this agency shared has rows, and what it holds of others has none.
        let bearers = rows.rows(NAME, &self::key(leaf, through), None)?;
        let Some(bearer) = bearers.into_iter().find(|row| row.body["to"] == through.as_str()) else { continue };
        let body = json!({
            "to": header.author, "kind": bearer.body["kind"], "state": "through", "through": through,
        });
        let facets = vec![("settled_to", header.author.to_string()), ("state", "through".to_owned())];
        let (time_ms, record) = (event.at_ms, about.record);
        return Ok(Some(Row { view: NAME, key, time_ms, record, facets, body }));
    }
    Ok(None)
}

/// What is still queued to removed agencies will never be sent, and what they have not answered they never will.
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
    for kind in ANSWERED_KINDS {
        for mut row in rows.rows(NAME, &[], Some((UNANSWERED, kind)))? {
            let gone = agencies.iter().any(|agency| row.body["to"] == agency.as_str());
            if gone && row.body["state"] != "queued" {
                row.facets.retain(|(name, _)| *name != UNANSWERED);
                row.body["recipient_removed_ms"] = event.at_ms.into();
                changes.push(RowChange::Put(row));
            }
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
    row.body["state"] = state.into();
    // Nobody answers what it will never get; who refused a retraction holds what was taken back, and people have to see to it.
    let refused = state == "rejected" && row.body["kind"] == Retraction::KIND;
    let open = (state == "accepted" || refused) && asks(&row.body["kind"]) && row.body["answer"].is_null();
    row.facets = facets("settled_to", to, state, row.body["kind"].as_str().filter(|_| open));
}

fn facets(
    direction: &'static str,
    to: &AgencyId,
    state: &str,
    unanswered: Option<&str>,
) -> Vec<(&'static str, String)> {
    let mut facets = vec![(direction, to.to_string()), ("state", state.to_owned())];
    facets.extend(unanswered.map(|kind| (UNANSWERED, kind.to_owned())));
    facets
}

fn row_of(record: &RecordId, to: &AgencyId, rows: &dyn Rows) -> Result<Option<Row>, RowsUnavailable> {
    let Some(leaf) = rows.leaf_of(record)? else { return Ok(None) };
    rows.row(NAME, &key(leaf, to))
}

fn key(leaf: u64, to: &AgencyId) -> Vec<u8> {
    [&leaf.to_be_bytes(), to.as_str().as_bytes()].concat()
}
