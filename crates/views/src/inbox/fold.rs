//! How rows of the inbox come about and change.

use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::onward::{Onward, original_of};
use mufakat_record::kinds::report::Report;
use mufakat_record::kinds::request::Request;
use mufakat_record::kinds::request_step::RequestStep;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::kinds::{self, Body};
use mufakat_record::{Header, RecordId, Relation, SKEW_SHOWN_S, Verified};
use serde_json::{Map, Value, json};

use super::NAME;
use crate::{Event, Row, RowChange, Rows, RowsUnavailable};

/// What one record says about an earlier one.
struct Mark {
    /// The field of the marking row that names the earlier record.
    field: &'static str,
    /// The state that it puts the earlier record in.
    state: &'static str,
    /// The earlier record.
    on: RecordId,
}

/// A row for the record, and the changed row of the one that it retracts or corrects.
pub(super) fn received(
    event: &Event<'_>,
    record: &Verified,
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let header = record.header();
    let mark = mark(header);
    let mut facets = vec![("author", header.author.to_string()), ("kind", header.kind.clone())];
    let mut body = describe(event, record);
    // The row says what the record is about whether or not that is held here or the author's own. It must not depend on it:
    // once the other record's content is deleted, nobody can tell any more.
    if let Some(mark) = &mark {
        facets.push(("on", mark.on.to_string()));
        body.insert(mark.field.into(), json!(mark.on));
    }
    let row = Row {
        view: NAME,
        key: event.leaf.to_be_bytes().to_vec(),
        time_ms: event.at_ms,
        record: record.id(),
        facets,
        body: Value::Object(body),
    };
    let mut changes = vec![RowChange::Put(row)];
    // A tombstone has no author, so nothing that is said about a deleted record changes its row.
    if let Some(mark) = mark
        && let Some(mut target) = row_of(&mark.on, rows)?
        && target.body["author"] == header.author.as_str()
        && target.body["state"] != "retracted"
    {
        target.body["state"] = mark.state.into();
        target.body["by"] = json!(record.id());
        changes.push(RowChange::Put(target));
    }
    Ok(changes)
}

/// The tombstone of the record, and the row of the one that it had retracted or corrected, without that.
pub(super) fn deleted(record: RecordId, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Some(row) = row_of(&record, rows)? else { return Ok(Vec::new()) };
    let mut changes = vec![RowChange::Put(tombstone(row.key, row.time_ms, record))];
    let Some((_, on)) = row.facets.iter().find(|(name, _)| *name == "on") else { return Ok(changes) };
    let target = on.parse().ok().map(|on| row_of(&on, rows)).transpose()?.flatten();
    if let Some(mut target) = target
        && target.body["by"] == json!(record)
    {
        let said = rows.rows(NAME, &[], Some(("on", on)))?;
        let counts = |mark: &&Row| {
            mark.record != record && mark.key > target.key && mark.body["author"] == target.body["author"]
        };
        let mut said = said.iter().filter(counts);
        let retraction = said.clone().find(|mark| mark.body.get("retracts").is_some());
        let (state, by) = match (retraction, said.next_back()) {
            (Some(first), _) => ("retracted", Some(first.record)),
            (None, Some(last)) => ("corrected", Some(last.record)),
            (None, None) => ("current", None),
        };
        target.body["state"] = state.into();
        match (by, target.body.as_object_mut()) {
            (None, Some(body)) => drop(body.remove("by")),
            (by, _) => target.body["by"] = json!(by),
        }
        changes.push(RowChange::Put(target));
    }
    Ok(changes)
}

/// What remains of a row whose record's content is deleted.
pub(super) fn tombstone(key: Vec<u8>, at_ms: u64, record: RecordId) -> Row {
    Row {
        view: NAME,
        key,
        time_ms: at_ms,
        record,
        facets: Vec::new(),
        body: json!({ "state": "deleted", "received_at_ms": at_ms }),
    }
}

fn row_of(record: &RecordId, rows: &dyn Rows) -> Result<Option<Row>, RowsUnavailable> {
    let Some(leaf) = rows.leaf_of(record)? else { return Ok(None) };
    rows.row(NAME, &leaf.to_be_bytes())
}

fn mark(header: &Header) -> Option<Mark> {
    let (field, state, relation) = match header.kind.as_str() {
        Retraction::KIND => ("retracts", "retracted", Relation::Retracts),
        Correction::KIND => ("corrects", "corrected", Relation::Corrects),
        _ => return None,
    };
    header.the_one(relation).map(|on| Mark { field, state, on })
}

fn describe(event: &Event<'_>, record: &Verified) -> Map<String, Value> {
    let header = record.header();
    let mut body = Map::new();
    let mut say = |field: &str, value: Value| body.insert(field.to_owned(), value);
    say("author", json!(header.author));
    say("kind", json!(header.kind));
    say("tlp", json!(header.handling.tlp));
    say("thread", json!(header.thread));
    say("issued_at", json!(header.issued_at));
    say("received_at_ms", json!(event.at_ms));
    say("state", json!("current"));
    if !kinds::KINDS.iter().any(|(name, _)| *name == header.kind) {
        say("understood", json!(false));
    }
    if let Some(title) = title(record) {
        say("title", json!(title));
    }
    if header.kind == Onward::KIND
        && let Ok((record, original, _)) = original_of(record)
    {
        say("original", json!({ "record": record, "author": original.author, "kind": original.kind }));
    }
    if let Some(codes) = &header.handling.codes {
        say("codes", json!(codes));
    }
    if let Some(expires) = header.expires {
        say("expires", json!(expires));
    }
    if let Some(skew_s) = skew_s(header.issued_at, event.at_ms) {
        say("skew_s", json!(skew_s));
    }
    body
}

/// The title of a report or of a correction's report, or the file name of an attachment. The body was checked when the record was
/// accepted; one that cannot be read all the same has no title.
pub fn title(record: &Verified) -> Option<String> {
    let (_, header, body) = original_of(record).ok()?;
    let (header, body) = (&header, body.as_slice());
    match header.kind.as_str() {
        RequestStep::KIND => RequestStep::from_body(header, body).ok().map(|step| step.step.name().to_owned()),
        Request::KIND => Request::from_body(header, body).ok().map(|request| request.title),
        Report::KIND => Report::from_body(header, body).ok().map(|report| report.title),
        Correction::KIND => Correction::from_body(header, body).ok().map(|correction| correction.report.title),
        Attachment::KIND => Attachment::from_body(header, body).ok().map(|attachment| attachment.name),
        _ => None,
    }
}

/// How far the claimed time is ahead of ours, when that is worth showing. The claim may be any number.
fn skew_s(claimed_s: u64, ours_ms: u64) -> Option<i64> {
    let ours_s = ours_ms / 1000;
    let apart = i64::try_from(claimed_s.abs_diff(ours_s)).unwrap_or(i64::MAX);
    let shown = apart.unsigned_abs() > SKEW_SHOWN_S;
    shown.then_some(if claimed_s > ours_s { apart } else { -apart })
}
