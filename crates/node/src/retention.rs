//! Keeping and deleting: legal holds, what is due, deletions that wait, and orders to delete. The exchange decides each deletion;
//! here is what asks it to.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mufakat_exchange::{NotDeleted, Submission, is_on_hold};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::deletion_order::DeletionOrder;
use mufakat_record::kinds::deletion_receipt::Why;
use mufakat_record::kinds::hold::{Hold, HoldLifted};
use mufakat_record::{AgencyId, Handling, Header, Reason, RecordId, Reference, Relation, ThreadId, Tlp, Verified};
use mufakat_store::{ClassNumber, Page, Queries, Reader};
use mufakat_views::{Row, Rows, holds, retention, track};
use serde::Serialize;

use crate::clock;
use crate::desk::{self, Caller};
use crate::gate::Action;
use crate::node::Node;
use crate::share::{self, NotShared};
use crate::writer::{Core, Fault, refusal};

/// How often is looked whether something that waited can be deleted.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often what is past its expiry is deleted by itself.
const RUN_EVERY: Duration = Duration::from_secs(86_400);
/// How many records are deleted in one transaction, so that the writer is not kept from others for long.
const DELETED_AT_ONCE: usize = 64;
/// How many rows are read at once while everything is looked through.
const ROWS_AT_ONCE: usize = 1_000;
/// How many records a preview or a run lists.
const LISTED_MAX: usize = 1_000;
/// How many records a hold can name; each attachment counts.
const HELD_MAX: usize = mufakat_record::REFERENCES_MAX;

/// What is due.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Due {
    /// The record.
    pub(crate) record: RecordId,
    /// Whose it is.
    pub(crate) author: Option<AgencyId>,
    /// What it is.
    pub(crate) kind: Option<String>,
    /// `expired` and `retracted` are deleted; `review` is for people to look at.
    pub(crate) why: &'static str,
    /// Since when, in seconds since 1970.
    pub(crate) since: u64,
    /// Whether a legal hold keeps it.
    pub(crate) held: bool,
}

/// What is due, and how much of it there is.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
#[schema(as = RetentionPreview)]
pub(crate) struct Preview {
    /// How many records would be deleted now.
    pub(crate) to_delete: u64,
    /// How many are to be looked at again.
    pub(crate) to_review: u64,
    /// How many legal holds keep.
    pub(crate) held: u64,
    /// The first of all these.
    pub(crate) due: Vec<Due>,
}

/// What a run did.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct Done {
    /// How many records were deleted, each with its attachments.
    pub(crate) deleted: u64,
    /// Those that were due and stayed, with the reason.
    pub(crate) kept: Vec<Stayed>,
}

/// A record that was due and stayed.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Stayed {
    record: RecordId,
    reason: &'static str,
}

/// The name of a reason for programs.
pub(crate) fn reason_of(not: NotDeleted) -> &'static str {
    match not {
        NotDeleted::NotHeld => Reason::NotFound.name(),
        NotDeleted::OnHold => "legal-hold",
        NotDeleted::OnItsWay => "on-its-way",
        NotDeleted::OfTheCommunity => "not-deletable",
        NotDeleted::KeptByRule => "kept-by-rule",
    }
}

/// Looks through everything that has a date, and says what of it is due now that the caller may list.
pub(crate) async fn preview(node: &Arc<Node>, caller: &Caller) -> Result<Preview, Fault> {
    let now_s = clock::now_s();
    let (reading, caller) = (Arc::clone(node), caller.clone());
    node.read(move |reader| {
        let mut preview = Preview::default();
        let classes = desk::classes(&reading, &caller, Action::List, reader)?;
        each_due(reader, now_s, Some(&classes), &mut |due| {
            let count = match (due.held, due.why) {
                (true, _) => &mut preview.held,
                (false, "review") => &mut preview.to_review,
                (false, _) => &mut preview.to_delete,
            };
            *count += 1;
            if preview.due.len() < LISTED_MAX {
                preview.due.push(due);
            }
        })?;
        Ok(preview)
    })
    .await
}

/// Deletes what is past its expiry, and what waited. A caller is told of what the caller may list; the node itself of everything.
pub(crate) async fn run(node: &Arc<Node>, caller: Option<&Caller>) -> Result<Done, Fault> {
    let now_s = clock::now_s();
    let due = node.read(move |reader| {
        let mut wanted = Vec::new();
        each_due(reader, now_s, None, &mut |due| match due.why {
            "expired" => wanted.push((due.record, Why::Expired)),
            "retracted" => wanted.push((due.record, Why::Retracted)),
            _ => {}
        })?;
        Ok(wanted)
    });
    delete_all(node, caller, due.await?).await
}

/// Deletes what was taken back and had to wait, as far as it can go now.
pub(crate) async fn run_waiting(node: &Arc<Node>, caller: Option<&Caller>) -> Result<Done, Fault> {
    let waiting = node.read(|reader| {
        let rows = reader.rows(retention::NAME, &retention::WAITING, None);
        rows.map_err(|e| mufakat_store::Error::Unavailable(e.0))
    });
    let wanted = waiting.await?.into_iter().map(|row| (row.record, Why::Retracted)).collect();
    delete_all(node, caller, wanted).await
}

async fn delete_all(node: &Arc<Node>, caller: Option<&Caller>, wanted: Vec<(RecordId, Why)>) -> Result<Done, Fault> {
    let mut done = Done::default();
    let told = listed(node, caller, wanted.iter().map(|(record, _)| *record).collect()).await?;
    for some in wanted.chunks(DELETED_AT_ONCE) {
        let some = some.to_vec();
        let outcomes = node.writer.call(move |core| {
            let outcomes = delete(core, &some)?;
            Ok(some.into_iter().map(|(record, _)| record).zip(outcomes).collect::<Vec<_>>())
        });
        for (record, outcome) in outcomes.await?.into_iter().filter(|(record, _)| told.contains(record)) {
            match outcome {
                Ok(()) => done.deleted += 1,
                // It went together with another one.
                Err(NotDeleted::NotHeld) => {}
                Err(not) if done.kept.len() < LISTED_MAX => done.kept.push(Stayed { record, reason: reason_of(not) }),
                Err(_) => {}
            }
        }
    }
    Ok(done)
}

/// Those of some records that a caller may list; all for the node itself.
async fn listed(node: &Arc<Node>, caller: Option<&Caller>, records: Vec<RecordId>) -> Result<HashSet<RecordId>, Fault> {
    let Some(caller) = caller.cloned() else { return Ok(records.into_iter().collect()) };
    let reading = Arc::clone(node);
    node.read(move |reader| {
        let classes = desk::classes(&reading, &caller, Action::List, reader)?;
        Ok(desk::seen(reader, &classes, &records)?.into_iter().collect())
    })
    .await
}

fn delete(core: &mut Core, wanted: &[(RecordId, Why)]) -> Result<Vec<Result<(), NotDeleted>>, Fault> {
    let (batch, outcomes) = core.exchange.delete(wanted, clock::now_ms(), &mut core.random, &core.store)?;
    if outcomes.iter().any(Result::is_ok) {
        core.apply(batch)?;
    }
    Ok(outcomes)
}

/// Deletes one record because somebody who may do so says so. The order goes on record in the same transaction.
pub(crate) async fn delete_by_order(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    why: Why,
    reason: String,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let order = DeletionOrder { by: caller.officer.clone(), why, reason };
    let shared = Arc::clone(node);
    node.writer
        .call(move |core| {
            let directory = Arc::clone(core.exchange.directory());
            let me = vec![shared.me.clone()];
            let (handling, thread) = (Handling::with(Tlp::Red), share::new_thread());
            let header = Header {
                references: vec![Reference { relation: Relation::About, record: id }],
                ..share::header_for(&shared, &directory, DeletionOrder::KIND, me, handling, thread)
            };
            let record = match share::sign(header, &order, &core.exchange.signer()) {
                Ok(record) => record,
                Err(no) => return Ok(Err(no)),
            };
            if let Some(Err(not)) = delete(core, &[(id, why)])?.pop() {
                return Ok(Err(NotShared::new(reason_of(not), not.to_string())));
            }
            let (submission, policy) = (Submission { record: record.clone(), key: None }, shared.gate.hash());
            let result =
                core.exchange.submit(vec![submission], &policy, clock::now_ms(), &mut core.random, &core.store);
            match refusal(result)? {
                Ok((batch, _)) => core.apply(batch).map(|()| Ok(record.id())),
                // It was made under the very register that the exchange has.
                Err(refusal) => Err(Fault::Store(format!("a deletion order was refused: {refusal}"))),
            }
        })
        .await
}

/// Places a legal hold on records, with what they carry, or on a thread.
pub(crate) async fn place_hold(
    node: &Arc<Node>,
    caller: &Caller,
    records: Vec<RecordId>,
    thread: Option<ThreadId>,
    reason: String,
    until: Option<u64>,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let found = node.read(move |reader| {
        let mut held = Vec::new();
        for id in records {
            let Some(record) = reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok()) else {
                return Ok(None);
            };
            let attached = record.header().references.iter().filter(|r| r.relation == Relation::Attaches);
            held.extend(attached.map(|r| r.record).chain([id]));
        }
        held.sort();
        held.dedup();
        Ok(Some(held))
    });
    let Some(held) = found.await? else {
        return Ok(Err(NotShared::new(Reason::NotFound.name(), "one of the records is not held here")));
    };
    if held.len() > HELD_MAX {
        let detail = format!(
            "a hold names at most {HELD_MAX} records, attachments included; place several, or one on the thread"
        );
        return Ok(Err(NotShared::new(Reason::ListTooLong.name(), detail)));
    }
    if until.is_some_and(|until| until <= clock::now_s()) {
        return Ok(Err(NotShared::new("until-is-past", "`until` is a time to come")));
    }
    let references = held.into_iter().map(|record| Reference { relation: Relation::About, record }).collect();
    share::keep(node, Hold { by: caller.officer.clone(), thread, reason, until }, references).await
}

/// Lifts a legal hold, and carries out what waited for that.
pub(crate) async fn lift_hold(
    node: &Arc<Node>,
    caller: &Caller,
    hold: RecordId,
    reason: String,
) -> Result<Result<(RecordId, Done), NotShared>, Fault> {
    let rows = node.read(move |reader| {
        let rows = reader.rows(holds::NAME, &[], Some(("hold", &hold.to_string())));
        rows.map_err(|e| mufakat_store::Error::Unavailable(e.0))
    });
    let rows = rows.await?;
    if rows.is_empty() {
        return Ok(Err(NotShared::new(Reason::NotFound.name(), "there is no such hold")));
    }
    if rows.iter().all(|row| row.body["state"] != "in-force") {
        return Ok(Err(NotShared::new("already-lifted", "this hold was lifted before")));
    }
    let references = vec![Reference { relation: Relation::About, record: hold }];
    let lifted = share::keep(node, HoldLifted { by: caller.officer.clone(), reason }, references).await?;
    Ok(match lifted {
        Ok(id) => Ok((id, run_waiting(node, Some(caller)).await?)),
        Err(no) => Err(no),
    })
}

/// A retraction or correction that a recipient has not answered in time.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Overdue {
    /// The retraction or correction.
    record: RecordId,
    /// Who has not answered.
    agency: String,
    /// `retraction` or `correction`.
    kind: String,
    /// `accepted`, or `queued` when it has not got through yet.
    state: String,
    /// When it was made, in milliseconds since 1970.
    since_ms: u64,
}

/// The retractions and corrections that are not answered in time, the oldest first; of those the ones that a caller may list.
pub(crate) async fn overdue(node: &Arc<Node>, caller: Option<&Caller>) -> Result<Vec<Overdue>, Fault> {
    let before_ms = clock::now_ms().saturating_sub(node.config.retention.answer_days.saturating_mul(86_400_000));
    let found = node.read(move |reader| {
        let mut found = Vec::new();
        for kind in ["retraction", "correction"] {
            let rows = reader.rows(track::NAME, &[], Some(("unanswered", kind)));
            let rows = rows.map_err(|e| mufakat_store::Error::Unavailable(e.0))?;
            let text = |row: &Row, name: &str| row.body[name].as_str().unwrap_or_default().to_owned();
            found.extend(rows.into_iter().filter(|row| row.time_ms <= before_ms).map(|row| Overdue {
                record: row.record,
                agency: text(&row, "to"),
                kind: kind.to_owned(),
                state: text(&row, "state"),
                since_ms: row.time_ms,
            }));
        }
        Ok(found)
    });
    let mut found: Vec<Overdue> = found.await?;
    let told = listed(node, caller, found.iter().map(|overdue| overdue.record).collect()).await?;
    found.retain(|overdue| told.contains(&overdue.record));
    found.sort_by_key(|overdue| overdue.since_ms);
    found.truncate(LISTED_MAX);
    Ok(found)
}

/// Deletes what is due, as long as the node runs.
pub(crate) async fn keep_up(node: Arc<Node>) {
    let mut last_run: Option<Instant> = None;
    loop {
        if let Err(fault) = run_waiting(&node, None).await {
            tracing::warn!(%fault, "what waits to be deleted has to wait longer");
        }
        if last_run.is_none_or(|at| at.elapsed() >= RUN_EVERY) {
            last_run = Some(Instant::now());
            daily(&node).await;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = node.stopping() => return,
        }
    }
}

async fn daily(node: &Arc<Node>) {
    if node.config.retention.automatic {
        match run(node, None).await {
            Ok(done) if done.deleted > 0 => tracing::info!(deleted = done.deleted, "deleted what is past its expiry"),
            Ok(_) => {}
            Err(fault) => tracing::warn!(%fault, "what is past its expiry could not be deleted"),
        }
    }
    match overdue(node, None).await {
        Ok(late) if !late.is_empty() => {
            tracing::warn!(answers = late.len(), "retractions or corrections are not answered in time");
        }
        Ok(_) => {}
        Err(fault) => tracing::warn!(%fault, "overdue answers could not be looked for"),
    }
}

/// Calls back for all that waits, and for each record with a date that has come, of these classes if some are named.
fn each_due(
    reader: &Reader,
    now_s: u64,
    classes: Option<&[ClassNumber]>,
    tell: &mut dyn FnMut(Due),
) -> Result<(), mufakat_store::Error> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = Page {
            view: retention::NAME,
            after: after.as_deref(),
            limit: ROWS_AT_ONCE,
            facets: &[],
            classes,
            newest_first: false,
        };
        let rows = reader.view_page(&page)?;
        for row in &rows {
            let passed = |field: &str| row.body[field].as_u64().filter(|at| *at <= now_s);
            let due = match row.body["state"].as_str() {
                Some("waiting") => Some(("retracted", row.time_ms / 1000)),
                _ => passed("expires").map(|at| ("expired", at)).or(passed("review").map(|at| ("review", at))),
            };
            // What this agency passed on goes when it is taken back; its date is the carried record's.
            let Some((why, since)) = due.filter(|(why, _)| *why == "retracted" || row.body["passed_on"] != true) else {
                continue;
            };
            let bytes = reader.record_bytes(&row.record)?;
            let Some(record) = bytes.and_then(|bytes| Verified::from_own_store(bytes).ok()) else { continue };
            let held = is_on_hold(reader, &record, now_s.saturating_mul(1000));
            let held = held.map_err(|e| mufakat_store::Error::Unavailable(e.0))?;
            let header = record.header();
            let (author, kind) = (Some(header.author.clone()), Some(header.kind.clone()));
            tell(Due { record: row.record, author, kind, why, since, held });
        }
        match rows.last() {
            Some(last) if rows.len() == ROWS_AT_ONCE => after = Some(last.key.clone()),
            _ => return Ok(()),
        }
    }
}
