//! Alerts: what saved searches find among what is new. Each is asked with the eyes of the officer whose it is; what it finds is
//! noted in the ledger as a hit, which is the alert.

use std::collections::HashMap;
use std::sync::Arc;

use mufakat_record::{OfficerId, RecordId};
use mufakat_store::Reader;
use mufakat_store::search::{Found, Question};
use mufakat_views::{Row, Rows, searches};

use crate::desk::{self, Caller, Via};
use crate::gate::Action;
use crate::http::api::search::Asked;
use crate::node::Node;
use crate::writer::Fault;

/// How many records one alert names; more become several.
const HITS_MAX: usize = 200;

/// How far each saved search has been asked. What it found is in its row; that it found nothing is only here.
#[derive(Debug, Default)]
pub(crate) struct Asking(HashMap<RecordId, u64>);

/// Asks every saved search of what came since it was asked last.
pub(crate) async fn run(node: &Arc<Node>, asking: &mut Asking) -> Result<(), Fault> {
    let rows = node.read(|reader| {
        let rows = reader.rows(searches::NAME, &[], None);
        rows.map_err(|error| mufakat_store::Error::Unavailable(error.0))
    });
    let rows = rows.await?;
    asking.0.retain(|id, _| rows.iter().any(|row| row.record == *id));
    for row in rows {
        let through = row.body["through"].as_u64().unwrap_or(u64::MAX);
        let since = asking.0.get(&row.record).copied().unwrap_or_default().max(through);
        let next = ask(node, &row, since).await?;
        asking.0.insert(row.record, next);
    }
    Ok(())
}

/// Asks one saved search of what came at a leaf or later. Gives the first leaf that it has not been asked of.
async fn ask(node: &Arc<Node>, row: &Row, since: u64) -> Result<u64, Fault> {
    let by: Option<OfficerId> = row.body["by"].as_str().and_then(|by| by.parse().ok());
    let Some(caller) = owner(node, by) else { return Ok(since) };
    // A question that was sound when it was saved may have become none, as when a party is no more.
    let Ok(asked) = Asked::saved(row.body["question"].as_str().unwrap_or_default(), node) else { return Ok(since) };
    let asked = Arc::new(asked);
    let mut before = None;
    loop {
        let (searching, who, asked) = (Arc::clone(node), caller.clone(), Arc::clone(&asked));
        let found = node.read(move |reader| find(&searching, &who, &asked, since, before, reader)).await?;
        let Some(last) = found.hits.last() else { return Ok(found.next) };
        before = Some(last.leaf);
        // Only the last alert says that everything up to here was asked of: what is cut off is asked again rather than lost.
        let through = if found.more { since } else { found.next };
        let note = format!("{}{} {through}", searches::ALERT, row.record);
        let mut ids = found.hits.iter().map(|hit| hit.record);
        if let Some(first) = ids.next() {
            desk::note_alert(node, &caller, first, ids.collect(), note).await?;
        }
        if !found.more {
            return Ok(found.next);
        }
    }
}

/// Whoever has something done for himself or herself, such as a saved search or a watch, as he or she may act now; nobody who can no
/// longer sign in.
pub(crate) fn owner(node: &Node, by: Option<OfficerId>) -> Option<Caller> {
    let Some(by) = by else { return Some(Caller::operator()) };
    let officer = node.desk.officer(&by).filter(|officer| officer.active)?;
    Some(Caller {
        officer: Some(by),
        grant: Some(officer.grant),
        roles: officer.roles.clone(),
        clearance: officer.clearance,
        purposes: officer.purposes.clone(),
        purpose: None,
        via: Via::Session,
    })
}

fn find(
    node: &Node,
    caller: &Caller,
    asked: &Asked,
    since: u64,
    before: Option<u64>,
    reader: &Reader,
) -> Result<Found, mufakat_store::Error> {
    let classes = desk::classes(node, caller, Action::Search, reader)?;
    let scope = node.search.scope(reader, &classes)?;
    let question =
        Question { scope: Some(&scope), since: Some(since), before, limit: HITS_MAX, count: false, ..asked.question() };
    node.search.find(reader, &question)
}
