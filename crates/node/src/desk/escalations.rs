//! Escalation: when the clock of a request that this agency is asked comes to a mark, or the time in which a retraction or
//! correction of its own is to be answered, the node puts it on record once, so that deputy and supervisor see it in the row
//! and among the events. What was noted is read from the rows, so a restart forgets nothing and repeats nothing.

use std::sync::Arc;
use std::time::Duration;

use mufakat_record::kinds::escalation::{Escalation, Level};
use mufakat_record::{AgencyId, Handling, RecordId, Reference, Relation, Tlp, Verified};
use mufakat_store::{Page, Queries, Reader};
use mufakat_views::clock::Shares;
use mufakat_views::requests::machine::State;
use mufakat_views::requests::{self, Entry};
use mufakat_views::{Row, track};

use super::requests::escalation_key;
use crate::node::Node;
use crate::writer::Fault;
use crate::{clock, share};

/// The longest time between two looks at the clocks; a clock that is set forward is noticed by then.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// How long the ledger may grow before the clocks are looked at again.
const GATHER: Duration = Duration::from_millis(500);
/// How many rows are read at a time.
const ROWS_MAX: usize = 256;
/// How many marks there are of one time: the deputy's and the supervisor's.
const LEVELS: usize = 2;

/// A mark that is due.
struct Mark {
    record: RecordId,
    key: [u8; 16],
    body: Escalation,
}

/// Looks after the clocks until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut size = node.ledger_size.subscribe();
    loop {
        let wait = match look(&node, clock::now_ms()).await {
            Ok(next_ms) => {
                let next =
                    next_ms.map(|at| Duration::from_millis(at.saturating_sub(clock::now_ms()).saturating_add(1)));
                next.map_or(LOOK_MAX, |next| next.min(LOOK_MAX))
            }
            Err(fault) => {
                tracing::warn!(%fault, "what awaits a reply could not be looked after");
                LOOK_MAX
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = size.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(GATHER).await;
                // What came meanwhile is seen by this look.
                size.mark_unchanged();
            }
            () = node.stopping() => return,
        }
    }
}

/// Puts on record what is due, and gives the time of the next mark.
pub(super) async fn look(node: &Arc<Node>, now_ms: u64) -> Result<Option<u64>, Fault> {
    let (due, next_ms) = marks(node, now_ms).await?;
    for mark in due {
        let references = vec![Reference { relation: Relation::About, record: mark.record }];
        let level = mark.body.level.name();
        let handling = handling_of(node, mark.record).await?;
        match share::keep_once(node, mark.body, handling, references, mark.key).await? {
            Ok(_) => tracing::info!(record = %mark.record, level, "the time for a reply has come to a mark"),
            Err(no) => {
                tracing::warn!(record = %mark.record, reason = no.reason, "an escalation was not put on record")
            }
        }
    }
    Ok(next_ms)
}

/// The handling of what is said about a record: the record's, or the narrowest where its content is gone.
async fn handling_of(node: &Arc<Node>, record: RecordId) -> Result<Handling, Fault> {
    let bytes = node.read(move |reader| reader.record_bytes(&record)).await?;
    let record = bytes.and_then(|bytes| Verified::from_own_store(bytes).ok());
    Ok(record.map_or_else(|| Handling::with(Tlp::Red), |record| record.header().handling.of_a_word_on_it()))
}

/// What is due at an instant, and the next mark after it.
struct Marks {
    shares: Shares,
    now_ms: u64,
    due: Vec<Mark>,
    next_ms: Option<u64>,
}

impl Marks {
    /// Looks at a mark of what is waited for until `due_ms`; `told` says whether it is on record.
    fn mark(&mut self, (record, of): (RecordId, &AgencyId), (level, mark_ms): (Level, u64), due_ms: u64, told: bool) {
        if mark_ms > self.now_ms {
            self.next_ms = Some(self.next_ms.map_or(mark_ms, |next| next.min(mark_ms)));
        } else if !told {
            let key = escalation_key(&record, of, level.name(), due_ms);
            // A retraction has a row for each recipient that has not answered.
            if self.due.iter().rev().take(LEVELS).all(|mark| mark.key != key) {
                self.due.push(Mark { record, key, body: Escalation { level, mark_ms, due_ms } });
            }
        }
    }

    /// The clock of a request that this agency is asked.
    fn request(&mut self, row: &Row) {
        let Some(entry) = Entry::of(&row.body) else { return };
        let Some(running) = &entry.clock else { return };
        for mark in running.marks(self.shares) {
            self.mark((row.record, &entry.partner), mark, running.due_ms, entry.is_escalated(mark.0));
        }
    }

    /// A retraction or correction of this agency that a recipient has not answered.
    fn unanswered(&mut self, row: &Row, me: &AgencyId, length_ms: u64) {
        let due_ms = row.time_ms.saturating_add(length_ms);
        for mark in self.shares.marks(length_ms, due_ms) {
            self.mark((row.record, me), mark, due_ms, track::is_escalated(row, mark.0));
        }
    }
}

async fn marks(node: &Arc<Node>, now_ms: u64) -> Result<(Vec<Mark>, Option<u64>), Fault> {
    let desk = &node.config.desk;
    let shares = Shares { deputy_percent: desk.deputy_percent, supervisor_percent: desk.supervisor_percent };
    let (me, length_ms) = (node.me.clone(), node.config.retention.answer_ms());
    node.read(move |reader| {
        let mut marks = Marks { shares, now_ms, due: Vec::new(), next_ms: None };
        for state in State::OPEN {
            let facets = [("side", "asked"), ("state", state.name())];
            each_row(reader, requests::NAME, &facets, |row| marks.request(row))?;
        }
        for kind in track::ANSWERED_KINDS {
            each_row(reader, track::NAME, &[(track::UNANSWERED, kind)], |row| marks.unanswered(row, &me, length_ms))?;
        }
        Ok((marks.due, marks.next_ms))
    })
    .await
}

/// Calls back for each row of a view with these facets, the oldest first.
fn each_row(
    reader: &Reader,
    view: &'static str,
    facets: &[(&str, &str)],
    mut tell: impl FnMut(&Row),
) -> Result<(), mufakat_store::Error> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let (limit, newest_first, classes) = (ROWS_MAX, false, None);
        let rows = reader.view_page(&Page { view, after: after.as_deref(), limit, facets, newest_first, classes })?;
        rows.iter().for_each(&mut tell);
        match rows.last() {
            Some(last) if rows.len() == ROWS_MAX => after = Some(last.key.clone()),
            _ => return Ok(()),
        }
    }
}
