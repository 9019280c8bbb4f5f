//! The register: what is in force and how it came about, proposals, approvals, and invitations.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderName, StatusCode, header};
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{AgencyId, Digest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::{Json, Problem, read_json};
use crate::governance::{self, ProposalRequest, Standing};
use crate::join;
use crate::node::Node;
use crate::wire::Card;
use crate::writer::Fault;

/// How long an invitation may be valid, in seconds.
const INVITATION_S_MAX: u64 = 90 * 86_400;
/// Whether the founding file in an answer is complete and in force.
const ENACTED: HeaderName = HeaderName::from_static("mufakat-enacted");
/// The media type of a founding file.
const OCTETS: &str = "application/octet-stream";

pub(super) fn routes() -> Router<Arc<Node>> {
    Router::new()
        .route("/api/v1/register", get(show))
        .route("/api/v1/register/log", get(log))
        .route("/api/v1/register/found", post(founded_already))
        .route("/api/v1/register/approve", post(approve))
        .route("/api/v1/register/propose", post(propose))
        .route("/api/v1/invitations", get(pending).post(invite))
        .route("/api/v1/join", post(founded_already))
}

async fn show(State(node): State<Arc<Node>>) -> Result<axum::Json<Value>, Problem> {
    let proposals = governance::open(&node).await?;
    let directory = node.directory();
    let chain = directory.chain();
    let shown = describe(chain.current(), chain.hash(), chain.root(), &chain.fingerprint().to_string(), &proposals);
    Ok(axum::Json(shown))
}

/// A version as it stands in the register, with what is known of it besides.
fn describe(version: &RegisterVersion, hash: Digest, root: Digest, fingerprint: &str, proposals: &[Standing]) -> Value {
    let mut value = json!(version);
    value["hash"] = json!(hash);
    value["root"] = json!(root);
    value["fingerprint"] = json!(fingerprint);
    value["proposals"] = json!(proposals);
    value
}

async fn log(State(node): State<Arc<Node>>) -> Result<axum::Json<Value>, Problem> {
    // Each approval is verified again, and there may be many.
    let directory = node.directory();
    let listed = tokio::task::spawn_blocking(move || {
        let chain = directory.chain();
        let entry = |(standing, enacted): (Standing, &mufakat_exchange::Enacted)| {
            let mut value = json!(standing);
            value["issued_at"] = json!(enacted.version.issued_at);
            value
        };
        governance::log(chain).into_iter().zip(chain.versions()).map(entry).collect::<Vec<Value>>()
    });
    let versions = listed.await.map_err(|e| Fault::Store(e.to_string()))?;
    Ok(axum::Json(json!({ "versions": versions })))
}

async fn founded_already() -> Problem {
    has_register()
}

fn has_register() -> Problem {
    Problem::conflict("has-register", "this node has a register already; a node belongs to one community")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approve {
    hash: Digest,
}

/// An open proposal by its hash, or the founding file once more for those who have not got it yet.
async fn approve(State(node): State<Arc<Node>>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media_type == OCTETS {
        return approve_founding(&node, &body);
    }
    let asked: Approve = read_json(&body)?;
    let standing = governance::approve(&node, asked.hash).await??;
    Ok(axum::Json(standing).into_response())
}

fn approve_founding(node: &Node, file: &[u8]) -> Result<Response, Problem> {
    let approved = governance::approve_founding(&node.me, &node.keyring.load().identity(), file);
    let (file, standing, _) = approved
        .map_err(|reason| Problem::refused(reason.name(), "this is no founding file that this agency can approve"))?;
    if standing.hash != node.directory().chain().root() {
        return Err(has_register());
    }
    let enacted = standing.enacted.to_string();
    let headers = [(header::CONTENT_TYPE, OCTETS), (ENACTED, enacted.as_str())];
    Ok((headers, file).into_response())
}

async fn propose(State(node): State<Arc<Node>>, Json(asked): Json<ProposalRequest>) -> Result<Response, Problem> {
    let standing = governance::propose(&node, asked).await??;
    Ok((StatusCode::CREATED, axum::Json(standing)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invite {
    agency: AgencyId,
    party: AgencyId,
    valid_s: u64,
}

impl Invite {
    fn check(&self, register: &RegisterVersion) -> Result<(), Problem> {
        if !(1..=INVITATION_S_MAX).contains(&self.valid_s) {
            return Err(Problem::malformed(format!("`valid_s` is a number from 1 to {INVITATION_S_MAX}")));
        }
        // One that is removed stays removed, so that its name cannot be used again either.
        match register.agency(&self.agency) {
            Some(agency) if agency.removed.is_some() => {
                Err(Problem::conflict("removed", format!("{} was removed from the register", self.agency)))
            }
            Some(_) => Err(Problem::conflict("member-already", format!("{} is in the register", self.agency))),
            None => Ok(()),
        }
    }
}

async fn invite(State(node): State<Arc<Node>>, Json(asked): Json<Invite>) -> Result<Response, Problem> {
    asked.check(node.directory().chain().current())?;
    let invited = blocking(move || join::invite(&node, asked.agency, asked.party, asked.valid_s)).await?;
    let answer = json!({ "invitation": invited.text, "words": invited.words });
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

async fn pending(State(node): State<Arc<Node>>) -> Result<axum::Json<Value>, Problem> {
    let (cards, open) = blocking(move || join::pending(&node)).await?;
    let pending: Vec<Value> = cards.iter().map(shown_card).collect();
    Ok(axum::Json(json!({ "pending": pending, "open": open })))
}

fn shown_card(card: &Card) -> Value {
    json!({
        "agency": card.agency, "party": card.party, "name": card.name, "party_name": card.party_name,
        "endpoint": card.endpoint, "relay": card.relay, "fingerprint": join::words_of(&card.identity),
    })
}

/// Invitations are kept in a file, and writing it waits for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| Fault::Store(e.to_string()))?;
    Ok(done?)
}

#[cfg(test)]
mod tests {
    use mufakat_record::kinds::register_version::Agency;

    use super::*;

    fn register() -> RegisterVersion {
        let agency = |id: &str, removed| Agency {
            id: id.parse().unwrap(),
            party: "vn".parse().unwrap(),
            name: "EXERCISE".to_owned(),
            identity: Digest([1; 32]),
            endpoint: "localhost:1".to_owned(),
            relay: false,
            removed,
        };
        RegisterVersion {
            community: "EXERCISE".to_owned(),
            version: 3,
            previous: Some(Digest([2; 32])),
            issued_at: 1,
            expires: 2,
            threshold: 1,
            parties: Vec::new(),
            agencies: vec![agency("ru-police", Some(5)), agency("vn-police", None)],
            forums: Vec::new(),
            rules: governance::default_rules(),
        }
    }

    #[test]
    fn a_version_is_shown_with_its_hashes() {
        let shown = describe(&register(), Digest([3; 32]), Digest([4; 32]), "twelve words", &[]);
        assert_eq!((&shown["version"], &shown["threshold"], &shown["expires"]), (&json!(3), &json!(1), &json!(2)));
        assert_eq!((&shown["hash"], &shown["root"]), (&json!(Digest([3; 32])), &json!(Digest([4; 32]))));
        assert_eq!((&shown["fingerprint"], &shown["proposals"]), (&json!("twelve words"), &json!([])));
        assert_eq!(shown["agencies"][0]["removed"], 5);
    }

    #[test]
    fn who_is_or_was_a_member_is_not_invited() {
        let check = |agency: &str, valid_s: u64, reason: Option<&str>| {
            let asked = Invite { agency: agency.parse().unwrap(), party: "vn".parse().unwrap(), valid_s };
            assert_eq!(asked.check(&register()).map_err(|problem| problem.reason()).err(), reason);
        };
        check("id-coastguard", 1, None);
        check("id-coastguard", INVITATION_S_MAX, None);
        check("id-coastguard", 0, Some("malformed"));
        check("id-coastguard", INVITATION_S_MAX + 1, Some("malformed"));
        check("vn-police", 60, Some("member-already"));
        check("ru-police", 60, Some("removed"));
    }
}
