//! The register: what is in force and how it came about, proposals, approvals, and invitations.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{AgencyId, Digest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::Octets;
use super::problem::{Json, Problem, read_json};
use crate::governance::{self, Founding, ProposalRequest, Standing};
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

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(show_register))
        .routes(routes!(list_register_versions))
        .routes(routes!(found_register))
        .routes(routes!(approve_register))
        .routes(routes!(propose_register))
        .routes(routes!(list_invitations, invite_agency))
        .routes(routes!(join_community))
}

/// The register in force, with what is known of it besides.
#[derive(Debug, Serialize, ToSchema)]
struct Register {
    #[serde(flatten)]
    version: RegisterVersion,
    hash: Digest,
    /// The hash of the founding version.
    root: Digest,
    /// The founding version's fingerprint as twelve words.
    fingerprint: String,
    /// Versions that wait for approvals.
    proposals: Vec<Standing>,
}

/// The register in force and the proposals that are open.
#[utoipa::path(
    get, path = "/api/v1/register", operation_id = "show_register", tag = "register",
    responses((status = 200, description = "The register.", body = Register))
)]
async fn show_register(State(node): State<Arc<Node>>) -> Result<axum::Json<Register>, Problem> {
    let proposals = governance::open(&node).await?;
    let directory = node.directory();
    let chain = directory.chain();
    Ok(axum::Json(Register {
        version: chain.current().clone(),
        hash: chain.hash(),
        root: chain.root(),
        fingerprint: chain.fingerprint().to_string(),
        proposals,
    }))
}

/// Every version of the register that has come into force.
#[derive(Serialize, ToSchema)]
struct Versions {
    versions: Vec<EnactedVersion>,
}

/// A version that has come into force.
#[derive(Serialize, ToSchema)]
struct EnactedVersion {
    #[serde(flatten)]
    standing: Standing,
    /// In seconds since 1970.
    issued_at: u64,
}

/// How the register came about: every version that has come into force, the founding one first.
#[utoipa::path(
    get, path = "/api/v1/register/log", operation_id = "list_register_versions", tag = "register",
    responses((status = 200, description = "The versions.", body = Versions))
)]
async fn list_register_versions(State(node): State<Arc<Node>>) -> Result<axum::Json<Versions>, Problem> {
    // Each approval is verified again, and there may be many.
    let directory = node.directory();
    let listed = tokio::task::spawn_blocking(move || {
        let chain = directory.chain();
        let entry = |(standing, enacted): (Standing, &mufakat_exchange::Enacted)| EnactedVersion {
            standing,
            issued_at: enacted.version.issued_at,
        };
        governance::log(chain).into_iter().zip(chain.versions()).map(entry).collect()
    });
    let versions = listed.await.map_err(|e| Fault::Store(e.to_string()))?;
    Ok(axum::Json(Versions { versions }))
}

/// Founds a community. Only a node that has no register yet can do it; this one answers that it has one.
#[utoipa::path(
    post, path = "/api/v1/register/found", operation_id = "found_register", tag = "register", request_body = Founding,
    responses((status = 200, description = "The founding file, with this agency's approval.",
        body = Octets, content_type = "application/octet-stream"))
)]
async fn found_register() -> Problem {
    has_register()
}

/// An invitation as it was handed over.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Joining {
    pub(crate) invitation: String,
}

/// Joins a community. Only a node that has no register yet can do it; this one answers that it has one.
#[utoipa::path(
    post, path = "/api/v1/join", operation_id = "join_community", tag = "register", request_body = Joining,
    responses((status = 202, description = "The node asks to be let in.", body = Object))
)]
async fn join_community() -> Problem {
    has_register()
}

fn has_register() -> Problem {
    Problem::conflict("has-register", "this node has a register already; a node belongs to one community")
}

/// Which proposal is approved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Approve {
    hash: Digest,
}

/// Approves an open proposal by its hash, or gives the founding file once more to those who have not got it yet.
#[utoipa::path(
    post, path = "/api/v1/register/approve", operation_id = "approve_register", tag = "register",
    request_body(content((Approve = "application/json"), (Octets = "application/octet-stream"))),
    responses((status = 200, description = "How the version stands, or the founding file.",
        content((Standing = "application/json"), (Octets = "application/octet-stream"))))
)]
async fn approve_register(State(node): State<Arc<Node>>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
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

/// Proposes the next version of the register, and approves it for this agency's party if the agency speaks for it.
#[utoipa::path(
    post, path = "/api/v1/register/propose", operation_id = "propose_register", tag = "register",
    request_body = ProposalRequest, responses((status = 201, description = "The proposal.", body = Standing))
)]
async fn propose_register(
    State(node): State<Arc<Node>>,
    Json(asked): Json<ProposalRequest>,
) -> Result<(StatusCode, axum::Json<Standing>), Problem> {
    let standing = governance::propose(&node, asked).await??;
    Ok((StatusCode::CREATED, axum::Json(standing)))
}

/// Who is invited, and for how long.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InviteAgency)]
struct Invite {
    agency: AgencyId,
    party: AgencyId,
    #[schema(minimum = 1, maximum = 7_776_000)]
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

/// An invitation.
#[derive(Serialize, ToSchema)]
struct Invitation {
    /// The text to hand over.
    invitation: String,
    /// The fingerprint of the founding version, to be read out.
    words: String,
}

/// Invites an agency to join the community.
#[utoipa::path(
    post, path = "/api/v1/invitations", operation_id = "invite_agency", tag = "register", request_body = Invite,
    responses((status = 201, description = "The invitation.", body = Invitation))
)]
async fn invite_agency(
    State(node): State<Arc<Node>>,
    Json(asked): Json<Invite>,
) -> Result<(StatusCode, axum::Json<Invitation>), Problem> {
    asked.check(node.directory().chain().current())?;
    let invited = blocking(move || join::invite(&node, asked.agency, asked.party, asked.valid_s)).await?;
    Ok((StatusCode::CREATED, axum::Json(Invitation { invitation: invited.text, words: invited.words })))
}

/// Who wants to join.
#[derive(Serialize, ToSchema)]
struct Invitations {
    /// Those who came with an invitation and are not in the register yet.
    pending: Vec<Candidate>,
    /// How many invitations are open.
    open: usize,
}

/// An agency that came with an invitation.
#[derive(Serialize, ToSchema)]
struct Candidate {
    agency: AgencyId,
    party: AgencyId,
    name: String,
    party_name: String,
    endpoint: String,
    relay: bool,
    /// The fingerprint of its identity key as twelve words.
    fingerprint: String,
}

/// The agencies that came with an invitation and are not in the register yet.
#[utoipa::path(
    get, path = "/api/v1/invitations", operation_id = "list_invitations", tag = "register",
    responses((status = 200, description = "Who wants to join.", body = Invitations))
)]
async fn list_invitations(State(node): State<Arc<Node>>) -> Result<axum::Json<Invitations>, Problem> {
    let (cards, open) = blocking(move || join::pending(&node)).await?;
    Ok(axum::Json(Invitations { pending: cards.into_iter().map(candidate).collect(), open }))
}

fn candidate(card: Card) -> Candidate {
    Candidate {
        fingerprint: join::words_of(&card.identity),
        agency: card.agency,
        party: card.party,
        name: card.name,
        party_name: card.party_name,
        endpoint: card.endpoint,
        relay: card.relay,
    }
}

/// Invitations are kept in a file, and writing it waits for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| Fault::Store(e.to_string()))?;
    Ok(done?)
}

#[cfg(test)]
mod tests {
    use mufakat_record::kinds::register_version::Agency;
    use serde_json::json;

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
        let shown = json!(Register {
            version: register(),
            hash: Digest([3; 32]),
            root: Digest([4; 32]),
            fingerprint: "twelve words".to_owned(),
            proposals: Vec::new(),
        });
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
