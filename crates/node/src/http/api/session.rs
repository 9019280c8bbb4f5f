//! Signing in and out at the desk's listener: registration by a one-time link, passkeys, the identity provider, and who one is.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use mufakat_record::{OfficerId, RecordId, Role, Tlp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use webauthn_rs::prelude::{PublicKeyCredential, RegisterPublicKeyCredential};

use super::problem::{Json, Problem, Query};
use crate::desk::officers::Officer;
use crate::desk::secret::Secret;
use crate::desk::sessions::Shown;
use crate::desk::{self, Address, Caller, Ticket, Via};
use crate::node::Node;

/// The largest body of a request by somebody who is not signed in, in bytes.
const OPEN_BODY_BYTES_MAX: usize = 64 << 10;
/// The longest code and state that come back from an identity provider, in bytes.
const CODE_BYTES_MAX: usize = 4096;

/// What whoever is signed in can ask.
pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(who_am_i, sign_out))
}

/// What anybody can ask at the desk's listener, and nobody at the socket.
pub(super) fn open_routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(begin_registration))
        .routes(routes!(finish_registration))
        .routes(routes!(begin_sign_in))
        .routes(routes!(finish_sign_in))
        .routes(routes!(begin_oidc))
        .routes(routes!(finish_oidc))
        .layer(DefaultBodyLimit::max(OPEN_BODY_BYTES_MAX))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Invited {
    /// The secret of the one-time link.
    invitation: String,
}

/// What has begun between the node and an authenticator.
#[derive(Serialize, ToSchema)]
#[schema(as = CeremonyBegun)]
struct Begun {
    /// What to finish it with.
    ceremony: String,
    /// What the browser hands to the authenticator (W3C Web Authentication, `CredentialCreationOptions` or
    /// `CredentialRequestOptions`, their binary members in base64url).
    #[schema(value_type = Object)]
    options: Value,
}

/// Begins the registration of a passkey.
#[utoipa::path(post, path = "/api/v1/session/registration/begin", operation_id = "begin_registration", tag = "session", security(()),
    request_body = Invited,
    responses((status = 200, description = "`ceremony`, and `options` for the authenticator", body = Begun)))]
async fn begin_registration(
    State(node): State<Arc<Node>>,
    Address(from): Address,
    Json(asked): Json<Invited>,
) -> Result<axum::Json<Begun>, Problem> {
    let (ceremony, options) = desk::begin_registration(&node, from, &asked.invitation)?;
    Ok(axum::Json(Begun { ceremony, options }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Registered {
    /// What began the registration.
    ceremony: String,
    /// What the officer calls the passkey.
    label: String,
    /// What the authenticator made (W3C Web Authentication, `RegistrationResponseJSON`).
    #[schema(value_type = Object)]
    credential: RegisterPublicKeyCredential,
}

/// A passkey that is registered.
#[derive(Serialize, ToSchema)]
struct Enrolled {
    /// Whose it is.
    officer: OfficerId,
    /// The record of it.
    credential: RecordId,
}

/// Finishes the registration of a passkey; the one-time link is used up.
#[utoipa::path(post, path = "/api/v1/session/registration/finish", operation_id = "finish_registration", tag = "session", security(()),
    request_body = Registered,
    responses((status = 201, description = "the `officer`, and the `credential`'s record", body = Enrolled)))]
async fn finish_registration(
    State(node): State<Arc<Node>>,
    Address(from): Address,
    Json(asked): Json<Registered>,
) -> Result<(StatusCode, axum::Json<Enrolled>), Problem> {
    let Registered { ceremony, label, credential } = asked;
    let (officer, credential) = desk::finish_registration(&node, from, &ceremony, &label, &credential).await?;
    Ok((StatusCode::CREATED, axum::Json(Enrolled { officer, credential })))
}

/// Begins a sign-in with a passkey.
#[utoipa::path(post, path = "/api/v1/session/begin", operation_id = "begin_sign_in", tag = "session", security(()),
    responses((status = 200, description = "`ceremony`, and `options` for the authenticator", body = Begun)))]
async fn begin_sign_in(State(node): State<Arc<Node>>, Address(from): Address) -> Result<axum::Json<Begun>, Problem> {
    let (ceremony, options) = desk::begin_sign_in(&node, from)?;
    Ok(axum::Json(Begun { ceremony, options }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Asserted {
    /// What began the sign-in.
    ceremony: String,
    /// What the authenticator made (W3C Web Authentication, `AuthenticationResponseJSON`).
    #[schema(value_type = Object)]
    credential: PublicKeyCredential,
}

/// Finishes a sign-in with a passkey. The session is in the cookie of the answer.
#[utoipa::path(post, path = "/api/v1/session/finish", operation_id = "finish_sign_in", tag = "session", security(()),
    request_body = Asserted, responses((status = 201, description = "the officer", body = Value)))]
async fn finish_sign_in(
    State(node): State<Arc<Node>>,
    Address(from): Address,
    Json(asked): Json<Asserted>,
) -> Result<Response, Problem> {
    let (officer, secret) = desk::finish_sign_in(&node, from, &asked.ceremony, &asked.credential).await?;
    let cookie = session_cookie(&node, &secret);
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], axum::Json(described(&officer))).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ByProvider {
    /// The secret of the one-time link, at the first sign-in.
    #[serde(default)]
    invitation: Option<String>,
}

/// Begins a sign-in by the identity provider.
#[utoipa::path(post, path = "/api/v1/session/oidc/begin", operation_id = "begin_oidc", tag = "session", security(()),
    request_body = ByProvider, responses((status = 200, description = "the `url` to go to", body = Value)))]
async fn begin_oidc(
    State(node): State<Arc<Node>>,
    Address(from): Address,
    Json(asked): Json<ByProvider>,
) -> Result<Response, Problem> {
    let (url, state) = desk::begin_oidc(&node, from, asked.invitation.as_deref()).await?;
    let cookie = cookie(desk::OIDC_COOKIE, &state, "Lax", desk::CEREMONY_MAX.as_secs());
    Ok(([(header::SET_COOKIE, cookie)], axum::Json(json!({ "url": url }))).into_response())
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct CameBack {
    /// The code, when the provider signed somebody in.
    code: Option<String>,
    /// The state with which the browser was sent.
    state: Option<String>,
}

/// Where the identity provider sends the browser back to. The session is in the cookie of the answer.
#[utoipa::path(get, path = "/api/v1/session/oidc/callback", operation_id = "finish_oidc", tag = "session", security(()),
    params(CameBack), responses((status = 303, description = "signed in; on to the console")))]
async fn finish_oidc(
    State(node): State<Arc<Node>>,
    Address(from): Address,
    headers: HeaderMap,
    Query(asked): Query<CameBack>,
) -> Result<Response, Problem> {
    // A provider that refuses sends no code; the node's answer is then the same as to a wrong one.
    let (code, state) = (asked.code.unwrap_or_default(), asked.state.unwrap_or_default());
    if code.len() > CODE_BYTES_MAX || state.len() > CODE_BYTES_MAX {
        return Err(Problem::malformed("`code` and `state` have at most 4096 bytes"));
    }
    let kept = desk::cookie(&headers, desk::OIDC_COOKIE);
    let (_, secret) = desk::finish_oidc(&node, from, (&state, kept), code).await?;
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("/"))]).into_response();
    for cookie in [session_cookie(&node, &secret), cookie(desk::OIDC_COOKIE, "", "Lax", 0)] {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Who one is, and by what one was let in.
#[derive(Serialize, ToSchema)]
struct WhoAmI {
    /// The pseudonym, by which partners know the officer; at the socket nobody.
    officer: Option<OfficerId>,
    /// The name, which stays at home.
    name: Option<String>,
    roles: Vec<Role>,
    clearance: Tlp,
    /// For what the officer may act; for anything, when there are none.
    purposes: Vec<String>,
    /// `socket`, `session` or `token`.
    via: &'static str,
    /// The operations for which a token was given; all, when there are none. Without a token nothing.
    scopes: Option<Vec<String>>,
    /// The session, when there is one.
    session: Option<Shown>,
}

/// Who one is, and by what one was let in.
#[utoipa::path(get, path = "/api/v1/session", operation_id = "who_am_i", tag = "session",
    responses((status = 200, description = "the officer; at the socket nobody", body = WhoAmI)))]
async fn who_am_i(
    State(node): State<Arc<Node>>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
) -> axum::Json<WhoAmI> {
    let known = caller.officer.as_ref().and_then(|officer| node.desk.officer(officer));
    let now = std::time::Instant::now();
    let session = match ticket {
        Some(Extension(Ticket::Session(hash))) => {
            let sessions = node.desk.sessions();
            sessions.find(&hash, now).map(|session| sessions.show(session, now))
        }
        _ => None,
    };
    let (via, scopes) = match caller.via {
        Via::Socket => ("socket", None),
        Via::Session => ("session", None),
        Via::Token { scopes } => ("token", Some(scopes)),
    };
    axum::Json(WhoAmI {
        officer: caller.officer,
        name: known.map(|officer| officer.name.clone()),
        roles: caller.roles,
        clearance: caller.clearance,
        purposes: caller.purposes,
        via,
        scopes,
        session,
    })
}

/// Signs out: ends the session that asks.
#[utoipa::path(delete, path = "/api/v1/session", operation_id = "sign_out", tag = "session",
    responses((status = 204, description = "signed out"), (status = 409, description = "there is no session to end")))]
async fn sign_out(State(node): State<Arc<Node>>, ticket: Option<Extension<Ticket>>) -> Result<Response, Problem> {
    let Some(Extension(Ticket::Session(hash))) = ticket else {
        return Err(Problem::conflict("no-session", "there is no session to end"));
    };
    desk::sign_out(&node, &hash).await;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(desk::COOKIE, "", "Strict", 0))]).into_response())
}

fn described(officer: &Officer) -> Value {
    json!({
        "officer": officer.id, "name": officer.name, "roles": officer.roles, "clearance": officer.clearance,
        "purposes": officer.purposes,
    })
}

fn session_cookie(node: &Node, secret: &Secret) -> HeaderValue {
    cookie(desk::COOKIE, &secret.text(), "Strict", node.config.desk.session_max_s)
}

fn cookie(name: &str, value: &str, same_site: &str, max_age_s: u64) -> HeaderValue {
    let text = format!("{name}={value}; Secure; HttpOnly; SameSite={same_site}; Path=/; Max-Age={max_age_s}");
    // Names and secrets are letters, digits, hyphens and underscores.
    HeaderValue::try_from(text).expect("a cookie as a header")
}
