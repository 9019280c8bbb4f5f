//! How rows of the view `requests` come about and change.

use std::collections::BTreeSet;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::escalation::Escalation;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::report::Identifier;
use mufakat_record::kinds::request::{Request, Urgency};
use mufakat_record::kinds::request_step::{RefusedPart, RequestStep, Step};
use mufakat_record::{AgencyId, Reason, RecordId, Relation, Verified, sha256};
use serde_json::json;

use super::machine::{Line, Matter};
use super::{DUPLICATES_MAX, ESCALATIONS_MAX, Entry, Escalated, NAME, STEPS_MAX, SUBJECTS_MAX, Side, key};
use crate::clock::local;
use crate::{Event, Row, RowChange, Rows, RowsUnavailable};

/// How many characters of a text in a step a row keeps.
const TEXT_CHARS: usize = 160;
/// How many hexadecimal digits stand for an identifier or a step in a facet.
const FACET_DIGITS: usize = 16;

type Changes = Result<Vec<RowChange>, RowsUnavailable>;

/// A row for each agency that is asked, or the row of the one that asks.
pub(super) fn request(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let header = record.header();
    // The exchange has read the body before; one that cannot be read asks nothing.
    let Ok(body) = Request::from_body(header, record.body()) else { return Ok(Vec::new()) };
    let mine = header.author == *event.me;
    let subjects = if mine { subjects(&body) } else { Vec::new() };
    let duplicates = if mine { duplicates(&subjects, event.leaf, record, rows, None)? } else { Vec::new() };
    let entry = |side, partner: &AgencyId| Entry {
        side,
        partner: partner.clone(),
        title: body.title.clone(),
        by: body.by.clone(),
        urgency: body.urgency,
        tlp: header.handling.tlp,
        thread: header.thread,
        state: String::new(),
        clock: None,
        due_local: None,
        outcome: None,
        grounds: Vec::new(),
        evidence: false,
        judicial_delay: false,
        steps: Vec::new(),
        steps_left_out: 0,
        escalated: Vec::new(),
        duplicates: duplicates.clone(),
        settled: !mine,
        rejected: None,
        partner_removed_ms: None,
    };
    let row = |entry: Entry| {
        let (key, time_ms) = (key(event.leaf, &entry.partner), event.at_ms);
        let row = Row { view: NAME, key, time_ms, record: record.id(), facets: Vec::new(), body: json!({}) };
        RowChange::Put(filled(row, entry, &subjects))
    };
    Ok(if mine {
        let asked = header.audience.iter().filter(|agency| body.asks(header, agency));
        asked.map(|partner| row(entry(Side::Asking, partner))).collect()
    } else if body.asks(header, event.me) {
        vec![row(entry(Side::Asked, &header.author))]
    } else {
        vec![row(entry(Side::Copy, &header.author))]
    })
}

/// A step, at whichever side it was taken.
pub(super) fn step(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let header = record.header();
    let Some(about) = header.the_one(Relation::Answers) else { return Ok(Vec::new()) };
    let Ok(body) = RequestStep::from_body(header, record.body()) else { return Ok(Vec::new()) };
    let Some(leaf) = rows.leaf_of(&about)? else { return Ok(Vec::new()) };
    let mine = header.author == *event.me;
    let partners = if mine { header.audience.as_slice() } else { std::slice::from_ref(&header.author) };
    let mut changes = Vec::new();
    for partner in partners {
        let Some((row, mut entry)) = read(rows.row(NAME, &key(leaf, partner))?) else { continue };
        let by_asker = match entry.side {
            Side::Asking => mine,
            Side::Asked => !mine,
            Side::Copy => continue,
        };
        let at_ms = match (by_asker, mine) {
            (false, _) => Some(body.at_ms),
            (true, false) => Some(event.at_ms),
            // The asked side's receipt says when it took it in.
            (true, true) => None,
        };
        let cited = header.references.iter().filter(|r| matches!(r.relation, Relation::About | Relation::Attaches));
        entry.steps.push(Line {
            record: record.id(),
            at_ms,
            by_asker,
            by: body.by.clone(),
            says: brief(&body.step),
            cites: cited.map(|reference| reference.record).collect(),
            rejected: None,
            out_of_turn: false,
        });
        changes.push(changed(row, entry));
    }
    Ok(changes)
}

/// An escalation of a request that this agency is asked.
pub(super) fn escalation(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let Some(about) = record.header().the_one(Relation::About) else { return Ok(Vec::new()) };
    let Ok(body) = Escalation::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let Some(leaf) = rows.leaf_of(&about)? else { return Ok(Vec::new()) };
    let mut changes = Vec::new();
    for row in rows.rows(NAME, &leaf.to_be_bytes(), None)? {
        let Some((row, mut entry)) = read(Some(row)).filter(|(_, entry)| entry.side == Side::Asked) else { continue };
        let Escalation { level, mark_ms, due_ms } = body;
        entry.escalated.push(Escalated { record: record.id(), level, mark_ms, due_ms, at_ms: event.at_ms });
        let more = entry.escalated.len().saturating_sub(ESCALATIONS_MAX);
        entry.escalated.drain(..more);
        changes.push(changed(row, entry));
    }
    Ok(changes)
}

/// The asked side's word on requests and steps of this agency.
pub(super) fn receipt(record: &Verified, rows: &dyn Rows) -> Changes {
    let from = &record.header().author;
    let waiting = rows.rows(NAME, &[], Some(("awaits", from.as_str())))?;
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(receipt) = Receipt::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let mut changes = Vec::new();
    for row in waiting {
        let Some((row, mut entry)) = read(Some(row)) else { continue };
        let mut told = false;
        for word in &receipt.entries {
            if word.record == row.record && !entry.settled {
                (entry.settled, entry.rejected, told) = (true, word.rejected.clone(), true);
            }
            let under_way =
                |line: &&mut Line| line.record == word.record && line.at_ms.is_none() && line.rejected.is_none();
            if let Some(line) = entry.steps.iter_mut().find(under_way) {
                match &word.rejected {
                    None => line.at_ms = Some(word.at_ms),
                    Some(reason) => line.rejected = Some(reason.clone()),
                }
                told = true;
            }
        }
        if told {
            changes.push(changed(row, entry));
        }
    }
    Ok(changes)
}

/// What is under way to removed agencies never arrives, and they ask and answer nothing any more.
pub(super) fn removed(at_ms: u64, agencies: &[AgencyId], rows: &dyn Rows) -> Changes {
    let mut changes = Vec::new();
    for agency in agencies {
        for row in rows.rows(NAME, &[], Some(("partner", agency.as_str())))? {
            let Some((row, mut entry)) = read(Some(row)) else { continue };
            if entry.partner_removed_ms.is_some() {
                continue;
            }
            let reason = || Some(Reason::RecipientRemoved.name().to_owned());
            entry.partner_removed_ms = Some(at_ms);
            if !entry.settled {
                (entry.settled, entry.rejected) = (true, reason());
            }
            for line in entry.steps.iter_mut().filter(|line| line.at_ms.is_none() && line.rejected.is_none()) {
                line.rejected = reason();
            }
            changes.push(changed(row, entry));
        }
    }
    Ok(changes)
}

/// Of a deleted request nothing remains; a deleted step or escalation is as if it had not been.
pub(super) fn deleted(record: RecordId, rows: &dyn Rows) -> Changes {
    let Some(leaf) = rows.leaf_of(&record)? else { return Ok(Vec::new()) };
    let of_request = rows.rows(NAME, &leaf.to_be_bytes(), None)?;
    let mut changes = Vec::new();
    if let Some(first) = of_request.first() {
        for later in sharing(&facet_values(first, "subject"), rows)? {
            let Some((row, mut entry)) = read(Some(later)).filter(|(_, entry)| entry.duplicates.contains(&record))
            else {
                continue;
            };
            entry.duplicates = remaining_duplicates(&row, &entry, rows, record)?;
            changes.push(changed(row, entry));
        }
        changes.extend(of_request.into_iter().map(|row| RowChange::Delete { view: NAME, key: row.key }));
        return Ok(changes);
    }
    for row in rows.rows(NAME, &[], Some(("step", &digits(&record.0))))? {
        let Some((row, mut entry)) = read(Some(row)) else { continue };
        entry.steps.retain(|line| line.record != record);
        entry.escalated.retain(|told| told.record != record);
        changes.push(changed(row, entry));
    }
    Ok(changes)
}

/// A row with what it holds. One that this view did not write is passed over.
fn read(row: Option<Row>) -> Option<(Row, Entry)> {
    let row = row?;
    let entry = Entry::of(&row.body)?;
    Some((row, entry))
}

fn changed(row: Row, entry: Entry) -> RowChange {
    let subjects = facet_values(&row, "subject");
    RowChange::Put(filled(row, entry, &subjects))
}

/// The row with its state worked out anew.
fn filled(mut row: Row, mut entry: Entry, subjects: &[String]) -> Row {
    entry.steps.sort_by(Line::order);
    // Each side has places of its own, so that neither can fill those of the other.
    let (before, mut taken) = (entry.steps.len(), [0; 2]);
    entry.steps.retain(|line| {
        let taken = &mut taken[usize::from(line.by_asker)];
        *taken += 1;
        *taken <= STEPS_MAX
    });
    let left_out = before - entry.steps.len();
    entry.steps_left_out = entry.steps_left_out.saturating_add(left_out as u64);
    let matter = Matter::of(entry.urgency, &mut entry.steps);
    entry.state = matter.state().name().to_owned();
    entry.clock = matter.clock().cloned();
    entry.due_local = entry.clock.as_ref().and_then(|clock| local(clock.due_ms, &clock.time_zone));
    entry.outcome = matter.outcome().map(|outcome| outcome.name().to_owned());
    entry.grounds = matter.grounds().to_vec();
    entry.evidence = matter.evidence();
    entry.judicial_delay = matter.judicial_delay();
    match (&entry.rejected, entry.partner_removed_ms) {
        (Some(reason), _) if reason == Reason::RecipientRemoved.name() => entry.state = "failed".to_owned(),
        (Some(_), _) => entry.state = "rejected".to_owned(),
        (None, Some(_)) if entry.is_open() || entry.clock.is_none() => entry.state = "lapsed".to_owned(),
        _ => {}
    }
    let urgency = Urgency::name_of(entry.urgency);
    row.facets = vec![
        ("side", entry.side.name().to_owned()),
        ("state", entry.state.clone()),
        ("partner", entry.partner.to_string()),
        ("urgency", urgency.to_owned()),
        ("on", row.record.to_string()),
    ];
    let under_way = entry.steps.iter().any(|line| line.at_ms.is_none() && line.rejected.is_none());
    if entry.side == Side::Asking && (!entry.settled || under_way) {
        row.facets.push(("awaits", entry.partner.to_string()));
    }
    row.facets.extend(subjects.iter().map(|subject| ("subject", subject.clone())));
    let steps = entry.steps.iter().map(|line| line.record);
    let parts: BTreeSet<String> =
        steps.chain(entry.escalated.iter().map(|told| told.record)).map(|id| digits(&id.0)).collect();
    row.facets.extend(parts.into_iter().map(|part| ("step", part)));
    row.body = json!(entry);
    row
}

fn facet_values(row: &Row, wanted: &str) -> Vec<String> {
    row.facets.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| value.clone()).collect()
}

/// The canonical identifiers of the subjects, hashed.
fn subjects(body: &Request) -> Vec<String> {
    let identifiers = body.subjects.iter().flatten().flat_map(|entity| entity.identifiers.iter().flatten());
    let hashed = identifiers.map(|identifier| digits(&sha256(canonical(identifier).as_bytes())));
    hashed.collect::<BTreeSet<_>>().into_iter().take(SUBJECTS_MAX).collect()
}

/// An identifier with its type in canonical form, or as it was given where it has none.
fn canonical(identifier: &Identifier) -> String {
    let value = identifier.canonical().unwrap_or_else(|_| identifier.value.trim().to_uppercase());
    format!("{:?}:{value}", identifier.identifier_type)
}

fn digits(bytes: &[u8; 32]) -> String {
    let mut text = RecordId(*bytes).to_string();
    text.truncate(FACET_DIGITS);
    text
}

/// The rows of this agency's own requests on any of these subjects, in the order of their keys.
fn sharing(subjects: &[String], rows: &dyn Rows) -> Result<Vec<Row>, RowsUnavailable> {
    let mut found = std::collections::BTreeMap::new();
    for subject in subjects {
        for row in rows.rows(NAME, &[], Some(("subject", subject)))? {
            found.insert(row.key.clone(), row);
        }
    }
    Ok(found.into_values().collect())
}

/// Earlier requests in other matters on these subjects: the latest, without the one that is being deleted.
fn duplicates(
    subjects: &[String],
    leaf: u64,
    record: &Verified,
    rows: &dyn Rows,
    gone: Option<RecordId>,
) -> Result<Vec<RecordId>, RowsUnavailable> {
    latest(subjects, &leaf.to_be_bytes(), &json!(record.header().thread), rows, gone)
}

fn remaining_duplicates(
    row: &Row,
    entry: &Entry,
    rows: &dyn Rows,
    gone: RecordId,
) -> Result<Vec<RecordId>, RowsUnavailable> {
    latest(&facet_values(row, "subject"), &row.key[..8], &json!(entry.thread), rows, Some(gone))
}

fn latest(
    subjects: &[String],
    before: &[u8],
    thread: &serde_json::Value,
    rows: &dyn Rows,
    gone: Option<RecordId>,
) -> Result<Vec<RecordId>, RowsUnavailable> {
    let mut found: Vec<RecordId> = Vec::new();
    for row in sharing(subjects, rows)? {
        let earlier = row.key[..] < *before && row.body["thread"] != *thread && Some(row.record) != gone;
        if earlier && found.last() != Some(&row.record) {
            found.push(row.record);
        }
    }
    Ok(found.split_off(found.len().saturating_sub(DUPLICATES_MAX)))
}

/// A step without what is long in it.
fn brief(step: &Step) -> Step {
    let cut = |text: &String| match text.char_indices().nth(TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.clone(),
    };
    let mut step = step.clone();
    match &mut step {
        Step::Routed { to: text }
        | Step::ClarificationAsked { text }
        | Step::ClarificationGiven { text }
        | Step::AwaitingJudge { why: text, .. }
        | Step::Extended { why: text, .. }
        | Step::Refused { words: text, .. }
        | Step::Withdrawn { why: text }
        | Step::Feedback { text, .. }
        | Step::EvidencePermitted { words: text } => *text = cut(text),
        Step::Answered { text, entities, refused, .. } => {
            *text = cut(text);
            *entities = None;
            for RefusedPart { part, words, .. } in refused.iter_mut().flatten() {
                (*part, *words) = (cut(part), cut(words));
            }
        }
        Step::Received { .. } | Step::Closed => {}
    }
    step
}
