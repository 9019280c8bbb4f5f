//! Escalation: when the clock of a request that this agency is asked comes to a mark, the node puts it on record once, so that
//! deputy and supervisor see it in the row and among the events. What was noted is read from the rows, so a restart forgets
//! nothing and repeats nothing.

use std::sync::Arc;
use std::time::Duration;

use mufakat_record::kinds::escalation::Escalation;
use mufakat_record::{RecordId, Reference, Relation};
use mufakat_store::{Page, Queries};
use mufakat_views::clock::Shares;
use mufakat_views::requests::machine::State;
use mufakat_views::requests::{Entry, NAME};

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

/// A mark that is due.
struct Mark {
    request: RecordId,
    key: [u8; 16],
    body: Escalation,
}

/// Looks after the clocks until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut size = node.ledger_size.subscribe();
    loop {
        let wait = match look(&node).await {
            Ok(next_ms) => {
                let next =
                    next_ms.map(|at| Duration::from_millis(at.saturating_sub(clock::now_ms()).saturating_add(1)));
                next.map_or(LOOK_MAX, |next| next.min(LOOK_MAX))
            }
            Err(fault) => {
                tracing::warn!(%fault, "the clocks of requests could not be looked after");
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
async fn look(node: &Arc<Node>) -> Result<Option<u64>, Fault> {
    let now_ms = clock::now_ms();
    let (due, next_ms) = marks(node, now_ms).await?;
    for mark in due {
        let references = vec![Reference { relation: Relation::About, record: mark.request }];
        let level = mark.body.level.name();
        match share::keep_once(node, mark.body, references, mark.key).await? {
            Ok(_) => tracing::info!(request = %mark.request, level, "the clock of a request has come to a mark"),
            Err(no) => {
                tracing::warn!(request = %mark.request, reason = no.reason, "an escalation was not put on record")
            }
        }
    }
    Ok(next_ms)
}

async fn marks(node: &Arc<Node>, now_ms: u64) -> Result<(Vec<Mark>, Option<u64>), Fault> {
    let desk = &node.config.desk;
    let shares = Shares { deputy_percent: desk.deputy_percent, supervisor_percent: desk.supervisor_percent };
    node.read(move |reader| {
        let (mut due, mut next_ms) = (Vec::new(), None::<u64>);
        for state in State::OPEN {
            let facets = [("side", "asked"), ("state", state.name())];
            let mut after: Option<Vec<u8>> = None;
            loop {
                let (limit, newest_first, classes) = (ROWS_MAX, false, None);
                let page = Page { view: NAME, after: after.as_deref(), limit, facets: &facets, newest_first, classes };
                let rows = reader.view_page(&page)?;
                for row in &rows {
                    let Some(entry) = Entry::of(&row.body) else { continue };
                    let Some(running) = &entry.clock else { continue };
                    for (level, mark_ms) in running.marks(shares) {
                        if mark_ms > now_ms {
                            next_ms = Some(next_ms.map_or(mark_ms, |next| next.min(mark_ms)));
                        } else if !entry.is_escalated(level) {
                            let key = escalation_key(&row.record, &entry.partner, level.name(), running.due_ms);
                            let body = Escalation { level, mark_ms, due_ms: running.due_ms };
                            due.push(Mark { request: row.record, key, body });
                        }
                    }
                }
                match rows.last() {
                    Some(last) if rows.len() == ROWS_MAX => after = Some(last.key.clone()),
                    _ => break,
                }
            }
        }
        Ok((due, next_ms))
    })
    .await
}
