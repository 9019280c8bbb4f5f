//! Officers: who they are and what they may do, their one-time links, what they are known by, and their tokens.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mufakat_record::kinds::credential::Means;
use mufakat_record::kinds::officer::Officer;
use mufakat_record::kinds::revocation::{Revocation, Revoked};
use mufakat_record::{OfficerId, RecordId, Role, Tlp};
use mufakat_store::{Page, Queries};
use mufakat_views::{Row, Rows, officers};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Json, Problem, Query};
use crate::desk::secret::{Secret, Use};
use crate::desk::{self, Caller, Via};
use crate::gate::UNKNOWN_OPERATION;
use crate::node::Node;
use crate::writer::Fault;

/// How many officers an agency can have.
const OFFICERS_MAX: usize = 10_000;
/// How long a one-time link may be valid, in seconds.
const INVITATION_S_MAX: u64 = 7 * 86_400;
/// How long a token may be valid, in seconds.
const TOKEN_S_MAX: u64 = 366 * 86_400;
/// How many officers a page has when nothing is said, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 500;
/// The page of the console on which a one-time link is used. Browsers do not send what stands behind the `#`, so it comes to no log.
const ENROL: &str = "/#/enrol/";

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, grant))
        .routes(routes!(invite))
        .routes(routes!(revoke))
        .routes(routes!(revoke_credential))
        .routes(routes!(end_sessions))
        .routes(routes!(sessions))
        .routes(routes!(tokens, create_token))
        .routes(routes!(revoke_token))
}

/// The pseudonym in a path.
fn officer_in(path: &str) -> Result<OfficerId, Problem> {
    path.parse().map_err(|_| Problem::malformed("a pseudonym has 2 to 40 of a-z, 0-9 and inner hyphens"))
}

/// The record of a credential in a path.
fn credential_in(path: &str) -> Result<RecordId, Problem> {
    path.parse().map_err(|_| Problem::malformed("a credential's id is 64 hexadecimal digits"))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The last pseudonym of the page before.
    after: Option<String>,
    /// How many officers at most: 1 to 500.
    limit: Option<usize>,
}

/// The officers, with what they may do and what they are known by.
#[utoipa::path(get, path = "/api/v1/officers", operation_id = "list_officers", tag = "officers", params(Asked),
    responses((status = 200, description = "`officers` by pseudonym, and `next` if there are more", body = Value)))]
async fn list(State(node): State<Arc<Node>>, Query(asked): Query<Asked>) -> Result<axum::Json<Value>, Problem> {
    let limit = asked.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::malformed(format!("`limit` is a number from 1 to {PAGE_MAX}")));
    }
    let rows = node.read(move |reader| {
        let after = asked.after.as_deref().map(str::as_bytes);
        reader.view_page(&Page {
            view: officers::NAME,
            after,
            limit: limit + 1,
            facets: &[],
            classes: None,
            newest_first: false,
        })
    });
    let mut rows = rows.await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.body["officer"].clone());
    let shown: Vec<Value> = rows.into_iter().map(shown).collect();
    Ok(axum::Json(json!({ "officers": shown, "next": next })))
}

fn shown(row: Row) -> Value {
    let mut body = row.body;
    body["grant"] = json!(row.record);
    body
}

/// One officer.
#[utoipa::path(get, path = "/api/v1/officers/{officer}", operation_id = "show_officer", tag = "officers",
    params(("officer" = String, Path, description = "the pseudonym")),
    responses((status = 200, description = "the officer", body = Value), (status = 404, description = "no such officer")))]
async fn show(State(node): State<Arc<Node>>, Path(officer): Path<String>) -> Result<axum::Json<Value>, Problem> {
    let officer = officer_in(&officer)?;
    let row = node.read(move |reader| {
        let row = reader.row(officers::NAME, officer.as_str().as_bytes());
        row.map_err(|e| mufakat_store::Error::Unavailable(e.0))
    });
    row.await?.map(|row| axum::Json(shown(row))).ok_or_else(Problem::not_found)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Grant {
    /// The name for people at home.
    name: String,
    /// What the officer may act as.
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
    /// The narrowest TLP label that the officer is cleared for.
    #[schema(value_type = String)]
    clearance: Tlp,
    /// The purposes that the officer may act for; for any, when none is named.
    #[serde(default)]
    purposes: Vec<String>,
    /// Whether the officer can sign in.
    #[serde(default = "yes")]
    active: bool,
}

fn yes() -> bool {
    true
}

/// Grants: makes somebody an officer, or changes what the officer may do. Open sessions of the officer end.
#[utoipa::path(put, path = "/api/v1/officers/{officer}", operation_id = "grant_officer", tag = "officers",
    params(("officer" = String, Path, description = "the pseudonym")), request_body = Grant,
    responses((status = 201, description = "`grant`, the record", body = Value)))]
async fn grant(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path(officer): Path<String>,
    Json(asked): Json<Grant>,
) -> Result<Response, Problem> {
    let officer = officer_in(&officer)?;
    not_oneself(&caller, &officer)?;
    by_a_person(&caller)?;
    let Grant { name, mut roles, clearance, mut purposes, active } = asked;
    roles.sort_unstable();
    roles.dedup();
    purposes.sort_unstable();
    purposes.dedup();
    let purposes = (!purposes.is_empty()).then_some(purposes);
    let by = caller.officer.clone();
    let body = Officer { officer: officer.clone(), name, roles, clearance, purposes, active, by };
    let alone = desk::alone(&node).await;
    if node.desk.officer(&officer).is_none() && node.desk.officers(desk::officers::Officers::len) >= OFFICERS_MAX {
        let detail = format!("an agency has at most {OFFICERS_MAX} officers");
        return Err(Problem::conflict("too-many-officers", detail));
    }
    let id = desk::decree(&node, &alone, &officer, body).await??;
    Ok((StatusCode::CREATED, axum::Json(json!({ "officer": officer, "grant": id }))).into_response())
}

/// Nobody decides about what oneself may do.
fn not_oneself(caller: &Caller, officer: &OfficerId) -> Result<(), Problem> {
    if caller.officer.as_ref() != Some(officer) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "own-grant", "another administrator decides about this officer"))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InviteOfficer)]
struct Invite {
    /// For how many seconds the link can be used.
    valid_s: u64,
}

/// Makes a one-time link with which the officer gives the node a passkey or an account. Whoever uses it is the officer, so another
/// person makes it; one for an officer who can sign in already is noted among the sign-ins.
#[utoipa::path(post, path = "/api/v1/officers/{officer}/invitations", operation_id = "invite_officer", tag = "officers",
    params(("officer" = String, Path, description = "the pseudonym")), request_body = Invite,
    responses((status = 201, description = "the `secret`, shown once, and the `link` with it", body = Value)))]
async fn invite(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path(officer): Path<String>,
    Json(asked): Json<Invite>,
) -> Result<Response, Problem> {
    let officer = officer_in(&officer)?;
    not_oneself(&caller, &officer)?;
    by_a_person(&caller)?;
    within(asked.valid_s, INVITATION_S_MAX)?;
    let (id, secret, expires) = desk::invite(&node, &officer, asked.valid_s, caller.officer).await?;
    let secret = secret.text();
    let link = node.desk.origin().map(|origin| format!("{origin}{ENROL}{secret}"));
    let answer = json!({ "officer": officer, "id": id, "secret": secret, "link": link, "expires": expires });
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

fn within(valid_s: u64, max: u64) -> Result<(), Problem> {
    let sound = (1..=max).contains(&valid_s);
    if sound { Ok(()) } else { Err(Problem::malformed(format!("`valid_s` is a number from 1 to {max}"))) }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// Why.
    reason: String,
}

/// Takes the grant of an officer back, and with it every credential and session.
#[utoipa::path(post, path = "/api/v1/officers/{officer}/revoke", operation_id = "revoke_officer", tag = "officers",
    params(("officer" = String, Path, description = "the pseudonym")), request_body = Reason,
    responses((status = 201, description = "`id`, the record of the revocation", body = Value)))]
async fn revoke(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path(officer): Path<String>,
    Json(asked): Json<Reason>,
) -> Result<Response, Problem> {
    let officer = officer_in(&officer)?;
    not_oneself(&caller, &officer)?;
    revoked(&node, caller, officer, Revoked::Officer, asked.reason).await
}

/// Takes one credential of an officer back, and the sessions that it opened.
#[utoipa::path(post, path = "/api/v1/officers/{officer}/credentials/{credential}/revoke",
    operation_id = "revoke_credential", tag = "officers",
    params(("officer" = String, Path, description = "the pseudonym"),
        ("credential" = String, Path, description = "the record of the credential")), request_body = Reason,
    responses((status = 201, description = "`id`, the record of the revocation", body = Value)))]
async fn revoke_credential(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path((officer, credential)): Path<(String, String)>,
    Json(asked): Json<Reason>,
) -> Result<Response, Problem> {
    let (officer, credential) = (officer_in(&officer)?, credential_in(&credential)?);
    revoked(&node, caller, officer, Revoked::Credential { credential }, asked.reason).await
}

/// Ends every open session of an officer.
#[utoipa::path(post, path = "/api/v1/officers/{officer}/sessions/end", operation_id = "end_sessions", tag = "officers",
    params(("officer" = String, Path, description = "the pseudonym")), request_body = Reason,
    responses((status = 201, description = "`id`, the record of the revocation", body = Value)))]
async fn end_sessions(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path(officer): Path<String>,
    Json(asked): Json<Reason>,
) -> Result<Response, Problem> {
    revoked(&node, caller, officer_in(&officer)?, Revoked::Sessions, asked.reason).await
}

async fn revoked(
    node: &Arc<Node>,
    caller: Caller,
    officer: OfficerId,
    what: Revoked,
    reason: String,
) -> Result<Response, Problem> {
    let alone = desk::alone(node).await;
    let known = node.desk.officer(&officer).ok_or_else(Problem::not_found)?;
    if let Revoked::Credential { credential } = what
        && known.credential(&credential).is_none()
    {
        return Err(Problem::not_found());
    }
    let body = Revocation { officer: officer.clone(), what, reason, by: caller.officer };
    let id = desk::decree(node, &alone, &officer, body).await??;
    if what == Revoked::Sessions {
        desk::end_sessions(node, &officer).await;
    }
    Ok((StatusCode::CREATED, axum::Json(json!({ "officer": officer, "id": id }))).into_response())
}

/// The sessions that are open.
#[utoipa::path(get, path = "/api/v1/sessions", operation_id = "list_sessions", tag = "officers",
    responses((status = 200, description = "`sessions` by officer", body = Value)))]
async fn sessions(State(node): State<Arc<Node>>) -> axum::Json<Value> {
    let open = node.desk.sessions().shown(std::time::Instant::now());
    axum::Json(json!({ "sessions": open }))
}

/// The caller's own tokens; at the socket all tokens.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "tokens",
    responses((status = 200, description = "`tokens`, without their secrets", body = Value)))]
async fn tokens(State(node): State<Arc<Node>>, caller: Caller) -> axum::Json<Value> {
    let tokens = node.desk.officers(|officers| {
        let mut tokens = Vec::new();
        for officer in officers.all().filter(|officer| caller.officer.as_ref().is_none_or(|own| *own == officer.id)) {
            for held in &officer.credentials {
                if let Means::Token { label, scopes, expires, .. } = &held.means {
                    tokens.push(json!({
                        "id": held.id, "officer": officer.id, "label": label, "scopes": scopes, "expires": expires,
                    }));
                }
            }
        }
        tokens
    });
    axum::Json(json!({ "tokens": tokens }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// Whose it is to be: the caller's own; only at the socket another's, as for a program that is an officer of its own.
    #[schema(value_type = Option<String>)]
    officer: Option<OfficerId>,
    /// What it is for.
    label: String,
    /// The operations that it is good for, by their operation ids; for all that its officer may do, when none is named.
    #[serde(default)]
    scopes: Vec<String>,
    /// For how many seconds it is valid.
    valid_s: u64,
}

/// Makes a token for a program.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "create_token", tag = "tokens", request_body = NewToken,
    responses((status = 201, description = "the `token`, shown once", body = Value)))]
async fn create_token(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(asked): Json<NewToken>,
) -> Result<Response, Problem> {
    let officer = match (caller.officer.clone(), asked.officer) {
        (None, Some(officer)) => officer,
        (Some(own), None) => own,
        (Some(own), Some(officer)) if own == officer => own,
        (None, None) => return Err(Problem::malformed("`officer` says whose token it is to be")),
        (Some(_), Some(_)) => {
            let detail = "an officer makes tokens for oneself; the operator makes them for others";
            return Err(Problem::new(StatusCode::FORBIDDEN, "not-own-token", detail));
        }
    };
    by_a_person(&caller)?;
    within(asked.valid_s, TOKEN_S_MAX)?;
    let secret = Secret::fresh(Use::Token);
    let expires = node.desk.now_s().saturating_add(asked.valid_s);
    let mut scopes = asked.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    // A name that nothing goes by would make a token that is good for nothing.
    let unknown =
        |scope: &&String| node.gate.decide_operation(Some(&caller), &node.me, scope).rule == UNKNOWN_OPERATION;
    if let Some(scope) = scopes.iter().find(unknown) {
        let detail = format!("`scopes`: no operation is called {scope:?}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, UNKNOWN_OPERATION, detail));
    }
    let means = Means::Token { secret: node.desk.hash(&secret), label: asked.label, scopes, expires };
    let id = desk::give(&node, &officer, means, caller.officer).await?;
    let answer = json!({ "id": id, "officer": officer, "token": secret.text(), "expires": expires });
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

/// A token makes no other, no grant and no one-time link: whoever steals one has it for its time only.
fn by_a_person(caller: &Caller) -> Result<(), Problem> {
    if !matches!(caller.via, Via::Token { .. }) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "not-by-token", "grants, one-time links and tokens are made by people"))
}

/// Takes a token back: one of the caller's own, or at the socket any.
#[utoipa::path(post, path = "/api/v1/tokens/{token}/revoke", operation_id = "revoke_token", tag = "tokens",
    params(("token" = String, Path, description = "the record of the token")), request_body = Reason,
    responses((status = 201, description = "`id`, the record of the revocation", body = Value)))]
async fn revoke_token(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path(token): Path<String>,
    Json(asked): Json<Reason>,
) -> Result<Response, Problem> {
    let credential = credential_in(&token)?;
    let holder = node.desk.officers(|officers| {
        let mut all = officers.all();
        let holder = all.find(|officer| {
            let held = officer.credential(&credential);
            held.is_some_and(|held| matches!(held.means, Means::Token { .. }))
        });
        holder.map(|officer| officer.id.clone())
    });
    let own = holder.filter(|holder| caller.officer.as_ref().is_none_or(|own| own == holder));
    // Another's token is as absent as one that is not there.
    let officer = own.ok_or_else(Problem::not_found)?;
    revoked(&node, caller, officer, Revoked::Credential { credential }, asked.reason).await
}

impl From<desk::NotEnrolled> for Problem {
    fn from(no: desk::NotEnrolled) -> Self {
        use desk::NotEnrolled;
        let detail = no.to_string();
        match no {
            NotEnrolled::TooMany => Problem::conflict("too-many-credentials", detail),
            NotEnrolled::NoOfficer => Problem::not_found(),
            NotEnrolled::NotShared(no) => no.into(),
            NotEnrolled::Fault(fault) => Fault::into(fault),
        }
    }
}
