//! The agency's policy: shown, explained, compared, proposed and approved.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use mufakat_record::kinds::approval::Decision as Said;
use mufakat_record::kinds::policy_set::{PolicyFile, PolicySet};
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{AgencyId, Digest, Header, OfficerId, RecordId, Role, Tlp, Verified, cbor};
use mufakat_store::{Class, Page, Queries, Reader};
use mufakat_views::{inbox, track};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Id, Json, Problem};
use crate::clock;
use crate::desk::{self, Caller, Via};
use crate::gate::{self, Action, Explanation, Policies, Request};
use crate::node::Node;
use crate::policy::{self, NotChanged};

/// Over how many of the newest records two policies can be compared.
const COMPARED_MAX: usize = 500;
/// How many differences are listed.
const DIFFERENCES_MAX: usize = 200;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(show_policy))
        .routes(routes!(explain_policy))
        .routes(routes!(diff_policy))
        .routes(routes!(propose_policy))
        .routes(routes!(decide_policy))
}

/// The policy in force.
#[derive(Serialize, ToSchema)]
struct InForce {
    /// The hash that stands in the ledger with every decision.
    hash: Digest,
    /// The rules in their order.
    rules: Vec<ShownRule>,
    /// What rules can speak of, in Cedar's language for schemas.
    schema: &'static str,
}

/// A rule.
#[derive(Serialize, ToSchema)]
struct ShownRule {
    name: &'static str,
    /// The sentence for people.
    why: String,
    /// Where the rule comes from.
    source: String,
    /// Whether it forbids; otherwise it permits.
    forbids: bool,
    /// Whether it is one of the default set.
    default: bool,
    /// The rule itself, in Cedar's language.
    text: String,
}

/// The policy in force with every rule.
#[utoipa::path(
    get, path = "/api/v1/policy", operation_id = "show_policy", tag = "policy",
    responses((status = 200, description = "The policy.", body = InForce))
)]
async fn show_policy(State(node): State<Arc<Node>>) -> axum::Json<InForce> {
    let policies = node.gate.policies();
    let shown = |rule: &gate::Rule| ShownRule {
        name: rule.name,
        why: rule.why.clone(),
        source: rule.source.clone(),
        forbids: rule.forbids,
        default: rule.default,
        text: rule.text.clone(),
    };
    let rules = policies.rules().iter().map(shown).collect();
    axum::Json(InForce { hash: policies.hash(), rules, schema: gate::SCHEMA })
}

/// A question to the gate about a record that is held.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Question {
    record: RecordId,
    /// `list`, `search`, `read`, `export`, `forward` or `release`.
    #[schema(example = "read")]
    action: String,
    /// The roles of whoever would ask.
    #[serde(rename = "as")]
    roles: Vec<Role>,
    /// The pseudonym of whoever would ask.
    #[serde(default)]
    officer: Option<OfficerId>,
    /// The clearance; RED when nothing is said.
    #[serde(default)]
    clearance: Option<Tlp>,
    /// The purposes; any when none is named.
    #[serde(default)]
    purposes: Vec<String>,
    /// The agencies to which it would be forwarded or released.
    #[serde(default)]
    to: Vec<AgencyId>,
}

/// What the gate would decide, and by which rules.
#[utoipa::path(
    post, path = "/api/v1/policy/explain", operation_id = "explain_policy", tag = "policy", request_body = Question,
    responses((status = 200, description = "The decision.", body = Explanation))
)]
async fn explain_policy(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(asked): Json<Question>,
) -> Result<axum::Json<Explanation>, Problem> {
    let id = asked.record;
    let held = node.read(move |reader| reader.record_bytes(&id)).await?;
    let record = held.and_then(|bytes| Verified::from_own_store(bytes).ok()).ok_or_else(Problem::not_found)?;
    let directory = node.directory();
    let (register, now_s) = (directory.chain().current(), clock::now_s());
    let header = record.header();
    // Whoever may not see that it is there hears nothing about it. What would be decided tells of handling, never of content.
    let listed = node.gate.decide(&Request::about(&caller, header, Action::List, &node.me, register, now_s));
    if !listed.allow {
        desk::note_refusal(&node, &caller, mufakat_record::How::Read, Some(id), listed.rule).await?;
        return Err(Problem::not_found());
    }
    let action = gate::cases::action_of(&asked.action, &asked.to)
        .ok_or_else(|| Problem::malformed("`action` is list, search, read, export, forward or release"))?;
    let who = hypothetical(asked.officer, asked.roles, asked.clearance.unwrap_or(Tlp::Red), asked.purposes);
    let request = Request::about(&who, header, action, &node.me, register, now_s);
    Ok(axum::Json(gate::explain(&node.gate.policies(), &request)))
}

fn hypothetical(officer: Option<OfficerId>, roles: Vec<Role>, clearance: Tlp, purposes: Vec<String>) -> Caller {
    Caller { officer, grant: None, roles, clearance, purposes, purpose: None, via: Via::Session }
}

/// A set of rules to compare with the policy in force.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Compared {
    /// The name under which it would be proposed; what is in force under it would be replaced.
    #[serde(default = "Compared::unnamed")]
    name: String,
    files: Vec<PolicyFile>,
    /// Over how many of the newest records; 100 when nothing is said.
    #[schema(minimum = 1, maximum = 500)]
    #[serde(default)]
    newest: Option<usize>,
}

impl Compared {
    fn unnamed() -> String {
        "compared".to_owned()
    }
}

/// What a set of rules would change.
#[derive(Serialize, ToSchema)]
struct Differences {
    /// Decisions that were compared.
    decisions: usize,
    /// Decisions that would change.
    changed: usize,
    /// The first of them.
    differences: Vec<Difference>,
}

/// A decision that would change.
#[derive(Serialize, ToSchema)]
struct Difference {
    record: RecordId,
    role: Role,
    action: &'static str,
    /// The rule that refuses now; `none` when it is allowed.
    now: &'static str,
    /// The rule that would refuse; `none` when it would be allowed.
    then: &'static str,
}

/// Which decisions a set of rules would change, over the newest records and every role.
#[utoipa::path(
    post, path = "/api/v1/policy/diff", operation_id = "diff_policy", tag = "policy", request_body = Compared,
    responses((status = 200, description = "What would change.", body = Differences))
)]
async fn diff_policy(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(asked): Json<Compared>,
) -> Result<axum::Json<Differences>, Problem> {
    let newest = asked.newest.unwrap_or(100);
    if !(1..=COMPARED_MAX).contains(&newest) {
        return Err(Problem::malformed(format!("`newest` is a number from 1 to {COMPARED_MAX}")));
    }
    let set = PolicySet { by: caller.officer.clone(), name: asked.name, files: asked.files, tests: None };
    let then = policy::with(&node, set).await?;
    // One at a time: it decides anew on every handling in every role, which keeps a reader from others for a while.
    let _alone = node.gate.comparing.lock().await;
    let (now, reading) = (node.gate.policies(), Arc::clone(&node));
    let compared = node.read(move |reader| {
        let classes = desk::classes(&reading, &caller, Action::List, reader)?;
        let headers = newest_headers(reader, newest, &classes)?;
        let directory = reading.directory();
        let compared = Comparison { me: &reading.me, register: directory.chain().current(), now_s: clock::now_s() };
        Ok(compared.of(&headers, &now, &then))
    });
    Ok(axum::Json(compared.await?))
}

/// The headers of the newest records that came or were sent, as far as the caller may list them.
fn newest_headers(
    reader: &Reader,
    newest: usize,
    classes: &[mufakat_store::ClassNumber],
) -> Result<Vec<(RecordId, Header)>, mufakat_store::Error> {
    let mut found: Vec<(RecordId, Header)> = Vec::new();
    for view in [inbox::NAME, track::NAME] {
        let page = Page { view, after: None, limit: newest, facets: &[], newest_first: true, classes: Some(classes) };
        for row in reader.view_page(&page)? {
            let known = found.iter().any(|(id, _)| *id == row.record);
            let bytes = if known { None } else { reader.record_bytes(&row.record)? };
            let record = bytes.and_then(|bytes| Verified::from_own_store(bytes).ok());
            found.extend(record.map(|record| (row.record, record.header().clone())));
        }
    }
    found.sort_by_key(|(_, header)| std::cmp::Reverse(header.issued_at));
    found.truncate(newest);
    Ok(found)
}

/// What two policies are compared under.
struct Comparison<'a> {
    me: &'a AgencyId,
    register: &'a RegisterVersion,
    now_s: u64,
}

impl Comparison<'_> {
    fn of(&self, headers: &[(RecordId, Header)], now: &Policies, then: &Policies) -> Differences {
        let mut compared = Differences { decisions: 0, changed: 0, differences: Vec::new() };
        let alike = self.alike(headers);
        for (role, _) in Role::ALL {
            let who = hypothetical(None, vec![role], Tlp::Red, Vec::new());
            for (header, records) in &alike {
                let forward = [self.me.clone()];
                let released = Action::Release { named: &header.audience };
                let own = (header.author == *self.me).then_some(released);
                let others = [Action::Search, Action::Read, Action::Export, Action::Forward { to: &forward }];
                for action in others.into_iter().chain(own) {
                    let request = Request::about(&who, header, action, self.me, self.register, self.now_s);
                    let (before, after) = (gate::decide(now, &request), gate::decide(then, &request));
                    compared.decisions += records.len();
                    if before.rule == after.rule {
                        continue;
                    }
                    compared.changed += records.len();
                    let (action, now, then) = (action.name(), before.rule, after.rule);
                    let room = DIFFERENCES_MAX - compared.differences.len();
                    let some = records.iter().take(room);
                    compared.differences.extend(some.map(|record| Difference {
                        record: *record,
                        role,
                        action,
                        now,
                        then,
                    }));
                }
            }
        }
        compared
    }

    /// The records by what a decision on them rests on, with the header of the newest of each.
    fn alike<'h>(&self, headers: &'h [(RecordId, Header)]) -> Vec<(&'h Header, Vec<RecordId>)> {
        let mut alike: Vec<(&Header, Vec<RecordId>)> = Vec::new();
        let mut places = HashMap::new();
        for (record, header) in headers {
            // A class leaves out what a caveat says, which matters when a record is released.
            let caveat = header.handling.caveat.as_ref().is_some_and(|caveat| caveat.trim().is_empty());
            let expired = header.expires.is_some_and(|expires| expires < self.now_s);
            let place = *places.entry((cbor::encode(&Class::of(header)), caveat, expired)).or_insert(alike.len());
            match alike.get_mut(place) {
                Some((_, records)) => records.push(*record),
                None => alike.push((header, vec![*record])),
            }
        }
        alike
    }
}

/// A set of rules to propose.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Proposed {
    /// The name of the set; what is in force under it will be replaced.
    #[schema(example = "evenings")]
    name: String,
    /// The files; none to end what is in force under the name.
    files: Vec<PolicyFile>,
    /// Cases with the decisions that are expected (TOML). They have to come out as they say.
    #[serde(default)]
    tests: Option<String>,
}

/// What was put on record.
#[derive(Serialize, ToSchema)]
struct OnRecord {
    /// The record.
    id: RecordId,
    /// The hash of the policy in force.
    in_force: Digest,
}

/// Proposes a set of rules. Nothing changes until another officer approves it.
#[utoipa::path(
    post, path = "/api/v1/policy/sets", operation_id = "propose_policy", tag = "policy", request_body = Proposed,
    responses((status = 201, description = "It is proposed.", body = OnRecord))
)]
async fn propose_policy(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(asked): Json<Proposed>,
) -> Result<(StatusCode, axum::Json<OnRecord>), Problem> {
    let set = PolicySet { by: None, name: asked.name, files: asked.files, tests: asked.tests };
    let id = policy::propose(&node, &caller, set).await?;
    Ok((StatusCode::CREATED, axum::Json(OnRecord { id, in_force: node.gate.hash() })))
}

/// A word on a set that was proposed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Decided {
    decision: Said,
    /// Why, in words.
    #[serde(default)]
    words: Option<String>,
}

/// Approves a set of rules, which is then in force, or rejects it.
#[utoipa::path(
    post, path = "/api/v1/policy/sets/{id}/decision", operation_id = "decide_policy", tag = "policy",
    params(("id" = RecordId, Path, description = "The set.")), request_body = Decided,
    responses((status = 201, description = "It is decided.", body = OnRecord))
)]
async fn decide_policy(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Json(asked): Json<Decided>,
) -> Result<(StatusCode, axum::Json<OnRecord>), Problem> {
    let id = policy::decide(&node, &caller, id, asked.decision, asked.words).await?;
    Ok((StatusCode::CREATED, axum::Json(OnRecord { id, in_force: node.gate.hash() })))
}

impl From<NotChanged> for Problem {
    fn from(no: NotChanged) -> Self {
        let said = no.to_string();
        match no {
            NotChanged::NotFound => Problem::not_found(),
            NotChanged::Decided(_) => Problem::conflict("decided", said),
            NotChanged::SameOfficer => Problem::new(StatusCode::FORBIDDEN, "same-officer", said),
            NotChanged::Flawed(flaws) => {
                Problem::refused("policy-flawed", said).with("flaws", serde_json::json!(flaws))
            }
            NotChanged::Untrue(_) => Problem::refused("policy-untrue", said),
            NotChanged::NotShared(no) => no.into(),
            NotChanged::Fault(fault) => fault.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use mufakat_record::{Handling, KeyId, ThreadId};

    use super::super::matrix;
    use super::*;

    #[test]
    fn what_is_handled_alike_is_decided_once_and_counted_for_each() {
        let (me, register) = (matrix::agency("vn-police"), matrix::register());
        let header = |tlp, expires| Header {
            key: KeyId([0; 16]),
            author: me.clone(),
            issued_at: 1,
            thread: ThreadId([2; 16]),
            kind: "report".to_owned(),
            audience: vec![matrix::agency("ru-police")],
            register: Digest([3; 32]),
            handling: Handling::with(tlp),
            references: Vec::new(),
            expires,
        };
        let (green, over, red) = (header(Tlp::Green, None), header(Tlp::Green, Some(5)), header(Tlp::Red, None));
        let later = Header { issued_at: 2, thread: ThreadId([4; 16]), ..green.clone() };
        let headers = [green, over, later, red].into_iter().zip(1..);
        let headers: Vec<_> = headers.map(|(header, n)| (RecordId([n; 32]), header)).collect();
        let comparison = Comparison { me: &me, register: &register, now_s: 10 };
        let alike = comparison.alike(&headers);
        let numbers: Vec<Vec<u8>> = alike.iter().map(|(_, some)| some.iter().map(|id| id.0[0]).collect()).collect();
        assert_eq!(numbers, [vec![1, 3], vec![2], vec![4]]);

        let text = r#"@id("own") @why("w") forbid (principal, action == Action::"search", resource)
            when { resource.tlp == "GREEN" };"#;
        let files = [PolicyFile { name: "own.cedar".to_owned(), text: text.to_owned() }];
        let (now, then) = (Policies::default_set(), Policies::read(&files).unwrap());
        let compared = comparison.of(&headers, &now, &then);
        assert_eq!(compared.decisions, 4 * 5 * Role::ALL.len());
        // Each role's refusal of the three that are GREEN has another name.
        assert_eq!((compared.changed, compared.differences.len()), (3 * Role::ALL.len(), 3 * Role::ALL.len()));
        assert!(compared.differences.iter().all(|differs| differs.then == "own" && differs.record.0[0] != 4));
    }
}
