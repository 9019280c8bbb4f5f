//! How rows of policy sets come about and change.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::{Approval, Decision};
use mufakat_record::kinds::policy_set::PolicySet;
use mufakat_record::{OfficerId, Relation, Verified};
use serde_json::json;

use super::{IN_FORCE, NAME, PROPOSED};
use crate::{Event, Row, RowChange, Rows, RowsUnavailable};

/// A row for a set that waits for another officer.
pub(super) fn proposed(event: &Event<'_>, record: &Verified) -> Vec<RowChange> {
    // The body was checked when it was submitted; one that cannot be read all the same is no set.
    let Ok(set) = PolicySet::from_body(record.header(), record.body()) else { return Vec::new() };
    let files: Vec<_> = set.files.iter().map(|file| &file.name).collect();
    let mut body = json!({
        "state": PROPOSED, "name": set.name, "files": files, "proposed_ms": event.at_ms, "decisions": [],
    });
    if let Some(by) = &set.by {
        body["by"] = json!(by);
    }
    let facets = facets(PROPOSED, &set.name);
    let key = event.leaf.to_be_bytes().to_vec();
    vec![RowChange::Put(Row { view: NAME, key, time_ms: event.at_ms, record: record.id(), facets, body })]
}

/// What another officer said about a set. An approval may be of something that is no set; then no row is here.
pub(super) fn decided(
    event: &Event<'_>,
    record: &Verified,
    rows: &dyn Rows,
) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Ok(approval) = Approval::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let Some(about) = record.header().the_one(Relation::About) else { return Ok(Vec::new()) };
    let Some(leaf) = rows.leaf_of(&about)? else { return Ok(Vec::new()) };
    let Some(mut row) = rows.row(NAME, &leaf.to_be_bytes())? else { return Ok(Vec::new()) };
    let proposed_by: Option<OfficerId> = row.body["by"].as_str().and_then(|by| by.parse().ok());
    let approve = approval.decision == Decision::Approve;
    if row.body["state"] != PROPOSED || (approve && !approval.is_by_another(proposed_by.as_ref())) {
        return Ok(Vec::new());
    }
    let mut changes = Vec::new();
    if approve {
        let name = row.body["name"].as_str().unwrap_or_default().to_owned();
        for mut before in rows.rows(NAME, &[], Some(("in_force", &name)))? {
            enter(&mut before, "replaced");
            changes.push(RowChange::Put(before));
        }
    }
    enter(&mut row, if approve { IN_FORCE } else { "rejected" });
    let mut said =
        json!({ "by": approval.by, "decision": approval.decision, "at_ms": event.at_ms, "approval": record.id() });
    if let Some(words) = &approval.words {
        said["words"] = words.as_str().into();
    }
    row.body["decided_ms"] = event.at_ms.into();
    row.body["decisions"] = json!([said]);
    changes.push(RowChange::Put(row));
    Ok(changes)
}

fn enter(row: &mut Row, state: &str) {
    row.facets = facets(state, row.body["name"].as_str().unwrap_or_default());
    row.body["state"] = state.into();
}

fn facets(state: &str, name: &str) -> Vec<(&'static str, String)> {
    let mut facets = vec![("name", name.to_owned()), ("state", state.to_owned())];
    if state == IN_FORCE {
        facets.push(("in_force", name.to_owned()));
    }
    facets
}
