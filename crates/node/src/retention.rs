//! Keeping and deleting: legal holds, what is due, deletions that wait, and orders to delete. The exchange decides each deletion;
//! here is what asks it to.
//!
//! What cannot go is found by reading, in pages, and never takes the writer's time. What waits is looked at again when
//! something happened that may let it go: a hold was lifted or came to its end, something on a channel was settled, the node
//! started, perhaps with another rule; and once a day.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mufakat_exchange::{NotDeleted, Submission, could_delete, is_on_hold};
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

/// How often is looked whether something happened that lets go what waited.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often everything is looked through, and what is past its expiry deleted by itself.
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

/// What is looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// What waits until it has arrived everywhere.
    UnderWay,
    /// All that waits.
    Waiting,
    /// That, and what is past its expiry.
    Due,
}

/// Deletes what is past its expiry, and what waited. A caller is told of what the caller may list; the node itself of everything.
pub(crate) async fn run(node: &Arc<Node>, caller: Option<&Caller>) -> Result<Done, Fault> {
    delete_all(node, caller, Which::Due).await
}

/// Goes through all of it in pages. Only what can go takes the writer's time.
async fn delete_all(node: &Arc<Node>, caller: Option<&Caller>, which: Which) -> Result<Done, Fault> {
    let (mut done, mut after) = (Done::default(), None);
    loop {
        let shared = Arc::clone(node);
        let looked = node.read(move |reader| look(&shared, reader, which, after.as_deref())).await?;
        let records =
            looked.can_go.iter().map(|(record, _)| record).chain(looked.kept.iter().map(|stayed| &stayed.record));
        let told = listed(node, caller, records.copied().collect()).await?;
        let room = LISTED_MAX - done.kept.len();
        done.kept.extend(looked.kept.into_iter().filter(|stayed| told.contains(&stayed.record)).take(room));
        for some in looked.can_go.chunks(DELETED_AT_ONCE) {
            let some = some.to_vec();
            // Whatever came between is judged again; what can no longer go has its turn another time.
            let deleted = node.writer.call(move |core| {
                let outcomes = delete(core, &some)?;
                Ok(some.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()).collect::<Vec<_>>())
            });
            done.deleted += deleted.await?.iter().filter(|((record, _), _)| told.contains(record)).count() as u64;
        }
        match looked.last {
            Some(last) => after = Some(last),
            None => return Ok(done),
        }
    }
}

/// A page of what was looked through.
struct Looked {
    /// What can be deleted.
    can_go: Vec<(RecordId, Why)>,
    /// What stays.
    kept: Vec<Stayed>,
    /// The key of the last row, if there are more.
    last: Option<Vec<u8>>,
}

fn look(node: &Node, reader: &Reader, which: Which, after: Option<&[u8]>) -> Result<Looked, mufakat_store::Error> {
    let facets: &[(&str, &str)] = match which {
        Which::UnderWay => &[("for", retention::FOR_DELIVERY)],
        Which::Waiting => &[("state", "waiting")],
        Which::Due => &[],
    };
    let (now_ms, on_retraction) = (clock::now_ms(), node.config.retraction.on_retraction());
    let (rows, last) = rows_after(reader, facets, None, after)?;
    let mut looked = Looked { can_go: Vec::new(), kept: Vec::new(), last };
    for row in rows {
        let why = match due(&row, now_ms / 1000) {
            Some(("expired", _)) => Why::Expired,
            Some(("retracted", _)) => Why::Retracted,
            _ => continue,
        };
        let judged = could_delete(reader, &node.me, &on_retraction, (&row.record, why), now_ms);
        match judged.map_err(|e| mufakat_store::Error::Unavailable(e.0))? {
            Ok(()) => looked.can_go.push((row.record, why)),
            // It went together with another one.
            Err(NotDeleted::NotHeld) => {}
            Err(not) => looked.kept.push(Stayed { record: row.record, reason: reason_of(not) }),
        }
    }
    Ok(looked)
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
    let placed = share::keep(node, Hold { by: caller.officer.clone(), thread, reason, until }, references).await?;
    if placed.is_ok() {
        node.bells.holds.store(true, Ordering::SeqCst);
    }
    Ok(placed)
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
        Ok(id) => Ok((id, delete_all(node, Some(caller), Which::Waiting).await?)),
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
    /// Before whom it was brought: `deputy`, `supervisor`.
    escalated: Vec<String>,
}

/// The retractions and corrections that are not answered in time, the oldest first; of those the ones that a caller may list.
pub(crate) async fn overdue(node: &Arc<Node>, caller: Option<&Caller>, now_ms: u64) -> Result<Vec<Overdue>, Fault> {
    let before_ms = now_ms.saturating_sub(node.config.retention.answer_ms());
    let found = node.read(move |reader| {
        let mut found = Vec::new();
        for kind in track::ANSWERED_KINDS {
            let rows = reader.rows(track::NAME, &[], Some((track::UNANSWERED, kind)));
            let rows = rows.map_err(|e| mufakat_store::Error::Unavailable(e.0))?;
            let text = |row: &Row, name: &str| row.body[name].as_str().unwrap_or_default().to_owned();
            let told = |row: &Row| {
                let levels = row.body["escalated"].as_array().into_iter().flatten();
                levels.filter_map(|told| told["level"].as_str().map(str::to_owned)).collect()
            };
            found.extend(rows.into_iter().filter(|row| row.time_ms <= before_ms).map(|row| Overdue {
                record: row.record,
                agency: text(&row, "to"),
                kind: kind.to_owned(),
                state: text(&row, "state"),
                since_ms: row.time_ms,
                escalated: told(&row),
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
    let (mut wanted, mut next_end) = (Some(Which::Waiting), None);
    let mut last_run: Option<Instant> = None;
    node.bells.holds.store(true, Ordering::SeqCst);
    loop {
        if node.bells.holds.swap(false, Ordering::SeqCst) {
            match next_end_of_a_hold(&node).await {
                Ok(next) => next_end = next,
                Err(fault) => {
                    node.bells.holds.store(true, Ordering::SeqCst);
                    tracing::warn!(%fault, "the ends of legal holds could not be looked for");
                }
            }
        }
        if next_end.is_some_and(|end| end <= clock::now_s()) {
            (wanted, next_end) = (Some(Which::Waiting), None);
            node.bells.holds.store(true, Ordering::SeqCst);
        }
        if node.bells.settled.swap(false, Ordering::SeqCst) {
            wanted = wanted.or(Some(Which::UnderWay));
        }
        if let Some(which) = wanted {
            match delete_all(&node, None, which).await {
                Ok(_) => wanted = None,
                Err(fault) => tracing::warn!(%fault, "what waits to be deleted has to wait longer"),
            }
        }
        if last_run.is_none_or(|at| at.elapsed() >= RUN_EVERY) {
            wanted = wanted.or(last_run.map(|_| Which::Waiting));
            last_run = Some(Instant::now());
            daily(&node).await;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = node.stopping() => return,
        }
    }
}

/// When the next legal hold ends that has an end and is in force, in seconds since 1970.
async fn next_end_of_a_hold(node: &Arc<Node>) -> Result<Option<u64>, Fault> {
    let now_ms = clock::now_ms();
    let rows = node.read(|reader| {
        let rows = reader.rows(holds::NAME, &[], Some(("state", "in-force")));
        rows.map_err(|e| mufakat_store::Error::Unavailable(e.0))
    });
    let rows = rows.await?.into_iter().filter(|row| holds::in_force(row, now_ms));
    Ok(rows.filter_map(|row| row.body["until"].as_u64()).min())
}

async fn daily(node: &Arc<Node>) {
    if node.config.retention.automatic {
        match run(node, None).await {
            Ok(done) if done.deleted > 0 => tracing::info!(deleted = done.deleted, "deleted what is past its expiry"),
            Ok(_) => {}
            Err(fault) => tracing::warn!(%fault, "what is past its expiry could not be deleted"),
        }
    }
    match overdue(node, None, clock::now_ms()).await {
        Ok(late) if !late.is_empty() => {
            tracing::warn!(answers = late.len(), "retractions or corrections are not answered in time");
        }
        Ok(_) => {}
        Err(fault) => tracing::warn!(%fault, "overdue answers could not be looked for"),
    }
}

/// A page of rows, of these classes if some are named, and the key of the last one if there may be more.
fn rows_after(
    reader: &Reader,
    facets: &[(&str, &str)],
    classes: Option<&[ClassNumber]>,
    after: Option<&[u8]>,
) -> Result<(Vec<Row>, Option<Vec<u8>>), mufakat_store::Error> {
    let page = Page { view: retention::NAME, after, limit: ROWS_AT_ONCE, facets, classes, newest_first: false };
    let rows = reader.view_page(&page)?;
    let last = rows.last().filter(|_| rows.len() == ROWS_AT_ONCE).map(|row| row.key.clone());
    Ok((rows, last))
}

/// Why a record is due, and since when.
fn due(row: &Row, now_s: u64) -> Option<(&'static str, u64)> {
    let passed = |field: &str| row.body[field].as_u64().filter(|at| *at <= now_s);
    match row.body["state"].as_str() {
        Some("waiting") => Some(("retracted", row.time_ms / 1000)),
        // What this agency passed on goes when it is taken back; its date is the carried record's.
        _ if row.body["passed_on"] == true => None,
        _ => passed("expires").map(|at| ("expired", at)).or(passed("review").map(|at| ("review", at))),
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
        let (rows, last) = rows_after(reader, &[], classes, after.as_deref())?;
        for row in &rows {
            let Some((why, since)) = due(row, now_s) else { continue };
            let bytes = reader.record_bytes(&row.record)?;
            let Some(record) = bytes.and_then(|bytes| Verified::from_own_store(bytes).ok()) else { continue };
            let held = is_on_hold(reader, &record, now_s.saturating_mul(1000));
            let held = held.map_err(|e| mufakat_store::Error::Unavailable(e.0))?;
            let header = record.header();
            let (author, kind) = (Some(header.author.clone()), Some(header.kind.clone()));
            tell(Due { record: row.record, author, kind, why, since, held });
        }
        match last {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}
