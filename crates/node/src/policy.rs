//! The agency's own policy: proposing and approving sets of rules, and putting into force what the view `policies` says.

use std::sync::Arc;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::{Approval, Decision};
use mufakat_record::kinds::policy_set::PolicySet;
use mufakat_record::{OfficerId, RecordId, Reference, Relation, Verified};
use mufakat_store::{Queries, Reader};
use mufakat_views::{Row, Rows, policies as view};

use crate::desk::Caller;
use crate::gate::cases::{self, Cases};
use crate::gate::{Flaw, Policies, PolicyFile};
use crate::node::Node;
use crate::share::{self, NotShared};
use crate::writer::Fault;

/// Why a policy set was not proposed or decided on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotChanged {
    /// There is no such set here.
    #[error("there is no such policy set here")]
    NotFound,
    /// It was decided on before.
    #[error("it is {0} already")]
    Decided(String),
    /// Whoever proposed it cannot approve it.
    #[error("another officer than the one who proposed it has to approve it")]
    SameOfficer,
    /// The rules are wrong.
    #[error("{}", first(.0))]
    Flawed(Vec<Flaw>),
    /// The rules do not decide as their tests say.
    #[error("a test of the set fails: {0}")]
    Untrue(String),
    /// The record could not be made.
    #[error("{}", .0.detail)]
    NotShared(NotShared),
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

fn first(flaws: &[Flaw]) -> String {
    let more = flaws.len().saturating_sub(1);
    let first = flaws.first().map(ToString::to_string).unwrap_or_default();
    if more == 0 { first } else { format!("{first} (and {more} more)") }
}

/// Puts the sets in force on record into force in the gate: at the start, and after each approval.
///
/// When they cannot be read, as after a change of the program, nobody but the operator may do anything until a set that can be
/// read has taken their place. To go on without them would allow what they forbid.
pub(crate) async fn enforce(node: &Arc<Node>) -> Result<(), Fault> {
    let files = node.read(|reader| in_force(reader, None)).await?;
    match Policies::read(&files) {
        Ok(policies) => {
            tracing::info!(hash = %policies.hash(), files = files.len(), "policy in force");
            node.gate.enforce(policies);
        }
        Err(flaws) => {
            tracing::error!(
                flaw = first(&flaws),
                "the agency's policy cannot be read: only the operator may do anything"
            );
            node.gate.enforce(Policies::locked());
        }
    }
    Ok(())
}

/// The files of the sets in force in the order of their names, without the set of one name.
fn in_force(reader: &Reader, without: Option<&str>) -> Result<Vec<PolicyFile>, mufakat_store::Error> {
    let rows = reader.rows(view::NAME, &[], None).map_err(|e| mufakat_store::Error::Unavailable(e.0))?;
    let mut sets = Vec::new();
    for row in rows.iter().filter(|row| row.body["state"] == view::IN_FORCE) {
        if let Some(set) = set_of(reader, &row.record)?.filter(|set| Some(set.name.as_str()) != without) {
            sets.push(set);
        }
    }
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sets.into_iter().flat_map(files_of).collect())
}

/// The files of a set, each under its name within the set.
fn files_of(set: PolicySet) -> impl Iterator<Item = PolicyFile> {
    let named = move |file: PolicyFile| PolicyFile { name: format!("{}/{}", set.name, file.name), text: file.text };
    set.files.into_iter().map(named)
}

fn set_of(reader: &Reader, id: &RecordId) -> Result<Option<PolicySet>, mufakat_store::Error> {
    let record = reader.record_bytes(id)?.and_then(|bytes| Verified::from_own_store(bytes).ok());
    Ok(record.and_then(|record| PolicySet::from_body(record.header(), record.body()).ok()))
}

/// What would be in force with this set in the place of the one of its name.
pub(crate) async fn with(node: &Arc<Node>, set: PolicySet) -> Result<Policies, NotChanged> {
    let name = set.name.clone();
    let mut files = node.read(move |reader| in_force(reader, Some(&name))).await?;
    files.extend(files_of(set));
    // The order is that of the names, whenever each came into force.
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Policies::read(&files).map_err(NotChanged::Flawed)
}

/// Checks a set against everything that is in force besides it, and against its own tests.
async fn check(node: &Arc<Node>, set: PolicySet) -> Result<Policies, NotChanged> {
    let tests = set.tests.clone();
    let policies = with(node, set).await?;
    if let Some(tests) = tests {
        let cases = Cases::read(&tests).map_err(|error| NotChanged::Untrue(error.to_string()))?;
        let wrong = cases::run(&policies, &cases).into_iter().find(|outcome| !outcome.as_expected);
        if let Some(wrong) = wrong {
            return Err(NotChanged::Untrue(wrong.to_string()));
        }
    }
    Ok(policies)
}

/// Proposes a set. It changes nothing until another officer approves it.
pub(crate) async fn propose(node: &Arc<Node>, caller: &Caller, set: PolicySet) -> Result<RecordId, NotChanged> {
    let set = PolicySet { by: caller.officer.clone(), ..set };
    check(node, set.clone()).await?;
    share::keep(node, set, Vec::new()).await?.map_err(NotChanged::NotShared)
}

/// Decides on a set that was proposed. When this returns with an approval, the set is durably in force.
pub(crate) async fn decide(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    decision: Decision,
    words: Option<String>,
) -> Result<RecordId, NotChanged> {
    // One change at a time, so that each is checked against what it will stand beside.
    let _turn = node.gate.changing.lock().await;
    let found = node.read(move |reader| {
        let row = row_of(reader, &id)?;
        Ok(row.zip(set_of(reader, &id)?))
    });
    let (row, set) = found.await?.ok_or(NotChanged::NotFound)?;
    let state = row.body["state"].as_str().unwrap_or_default();
    if state != view::PROPOSED {
        return Err(NotChanged::Decided(state.to_owned()));
    }
    let approval = Approval { by: caller.officer.clone(), decision, checks: Vec::new(), words };
    let proposed_by: Option<OfficerId> = set.by.clone();
    if decision == Decision::Approve {
        if !approval.is_by_another(proposed_by.as_ref()) {
            return Err(NotChanged::SameOfficer);
        }
        check(node, set).await?;
    }
    let about = Reference { relation: Relation::About, record: id };
    let approval = share::keep(node, approval, vec![about]).await?.map_err(NotChanged::NotShared)?;
    enforce(node).await?;
    Ok(approval)
}

fn row_of(reader: &Reader, id: &RecordId) -> Result<Option<Row>, mufakat_store::Error> {
    let unavailable = |e: mufakat_views::RowsUnavailable| mufakat_store::Error::Unavailable(e.0);
    let Some(leaf) = reader.leaf_of(id).map_err(unavailable)? else { return Ok(None) };
    reader.row(view::NAME, &leaf.to_be_bytes()).map_err(unavailable)
}
