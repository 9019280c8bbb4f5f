//! The door of the desk's listener: who a request comes from, what a browser may be made to do, and what every answer says.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::HttpBody as _;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use mufakat_record::kinds::credential::Means;
use mufakat_record::kinds::officer::PURPOSE_BYTES_MAX;
use mufakat_record::{Digest, OfficerId, RecordId};

use super::measure::network_of;
use super::officers::{Key, Officer};
use super::secret::{Secret, Use};
use super::state::lock;
use super::{Caller, Desk, Via};
use crate::http::api::problem::Problem;
use crate::node::Node;

/// The cookie of a session. A browser keeps a name with this prefix to the one origin that set it (RFC 6265bis §4.1.3.2).
pub(crate) const COOKIE: &str = "__Host-mufakat";
/// The cookie that ties the state of a sign-in by an identity provider to the browser that began it.
pub(crate) const OIDC_COOKIE: &str = "__Host-mufakat-oidc";
/// The header in which the purpose of a request is said.
const PURPOSE: HeaderName = HeaderName::from_static("mufakat-purpose");
/// How often an answer that goes on looks whether it still may.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) IpAddr);

/// By what a request was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// A session, by the hash of its secret.
    Session(Digest),
    /// A token.
    Token {
        /// Whose it is.
        officer: OfficerId,
        /// The grant under which the request was let in; what is answered ends when another counts.
        grant: RecordId,
        /// The record of the token.
        token: RecordId,
    },
}

/// Lets a request in, or answers that nobody is signed in. What is answered over a while ends when its ground is gone.
pub(crate) async fn authenticate(State(node): State<Arc<Node>>, mut request: Request, next: Next) -> Response {
    let (caller, ticket) = match let_in(&node.desk, request.headers(), from(&request)) {
        Ok(let_in) => let_in,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(ticket.clone());
    let response = next.run(request).await;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| while_it_stands(node, ticket, body))
}

/// Looks at what every request has in common, signed in or not, and says in every answer how a browser is to treat it.
pub(crate) async fn guard(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let mut response = match same_origin(&node.desk, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    let mut say = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(header::CACHE_CONTROL, "no-store");
    say(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    say(header::X_FRAME_OPTIONS, "DENY");
    say(header::REFERRER_POLICY, "no-referrer");
    say(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if node.desk.origin().is_some_and(|origin| origin.starts_with("https:")) {
        say(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// Where a request comes from, as the listener said.
pub(crate) fn from(request: &Request) -> IpAddr {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    network_of(request.extensions().get::<Address>().map_or(unknown, |address| address.0))
}

/// A request that changes something and is not a program's own comes from the desk's own pages, or from nowhere: a browser says
/// the origin of every such request (Fetch Standard, "Origin" header).
fn same_origin(desk: &Desk, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || headers.contains_key(header::AUTHORIZATION) {
        return Ok(());
    }
    let said = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if said.is_some() && said == desk.origin() {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "wrong-origin", "`Origin` must be that of the desk where a browser asks"))
}

fn let_in(desk: &Desk, headers: &HeaderMap, address: IpAddr) -> Result<(Caller, Ticket), Problem> {
    let found = match headers.get(header::AUTHORIZATION) {
        Some(authorization) => by_token(desk, authorization),
        None => by_cookie(desk, headers),
    };
    let Some((officer, ticket, via)) = found else {
        // Only who shows something that is wrong has tried something.
        let tried = headers.contains_key(header::AUTHORIZATION) || cookie(headers, COOKIE).is_some();
        return Err(if tried { not_let_in(desk, address) } else { not_signed_in() });
    };
    let purpose = purpose_of(headers, &officer)?;
    let caller = Caller {
        officer: Some(officer.id.clone()),
        grant: Some(officer.grant),
        roles: officer.roles.clone(),
        clearance: officer.clearance,
        purposes: officer.purposes.clone(),
        purpose,
        via,
    };
    Ok((caller, ticket))
}

/// One answer for everything that does not let anybody in.
fn not_signed_in() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "not-signed-in", "sign in first")
}

fn not_let_in(desk: &Desk, address: IpAddr) -> Problem {
    match failed_from(desk, address) {
        Some(wait) => too_many(wait),
        None => not_signed_in(),
    }
}

/// Counts a failure of an address; gives how long to wait when there were too many before.
pub(super) fn failed_from(desk: &Desk, address: IpAddr) -> Option<Duration> {
    let (now, mut failed) = (Instant::now(), lock(&desk.failed_from));
    let wait = failed.wait(&address, now);
    if wait.is_none() {
        failed.count(&address, now);
    }
    wait
}

/// The answer to whoever tries too often.
pub(super) fn too_many(wait: Duration) -> Problem {
    let problem =
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", "too many attempts; come back later");
    problem.retry_after(wait.as_secs() + 1)
}

type Found = Option<(Arc<Officer>, Ticket, Via)>;

fn by_token(desk: &Desk, authorization: &HeaderValue) -> Found {
    let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
    let secret = scheme.eq_ignore_ascii_case("bearer").then(|| Secret::read(Use::Token, token.trim()))??;
    let hash = desk.hash(&secret);
    let (officer, held) = desk.officers(|officers| officers.by_key(&Key::Secret(hash)))?;
    let Means::Token { scopes, expires, .. } = held.means else { return None };
    let ticket = Ticket::Token { officer: officer.id.clone(), grant: officer.grant, token: held.id };
    (desk.now_s() < expires).then_some((officer, ticket, Via::Token { scopes }))
}

fn by_cookie(desk: &Desk, headers: &HeaderMap) -> Found {
    let hash = desk.hash(&Secret::read(Use::Session, cookie(headers, COOKIE)?)?);
    let now = Instant::now();
    // A session that stands for nothing is not used, even before it is swept away.
    let found = desk.sessions().find(&hash, now).cloned().filter(|session| desk.stands(session))?;
    desk.sessions().touch(&hash, now)?;
    Some((desk.officer(&found.officer)?, Ticket::Session(hash), Via::Session))
}

/// The value of a cookie; nothing when there are two of the name, of which one could be another's.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(of, _)| *of == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

fn purpose_of(headers: &HeaderMap, officer: &Officer) -> Result<Option<String>, Problem> {
    let mut said = headers.get_all(PURPOSE).iter();
    let Some(purpose) = said.next() else { return Ok(None) };
    let wrong = || Problem::malformed("`mufakat-purpose` is one purpose in 1 to 100 bytes of text");
    let purpose = std::str::from_utf8(purpose.as_bytes()).map(str::trim).map_err(|_| wrong())?;
    if said.next().is_some() || purpose.is_empty() || purpose.len() > PURPOSE_BYTES_MAX {
        return Err(wrong());
    }
    if officer.purposes.is_empty() || officer.purposes.iter().any(|own| own == purpose) {
        return Ok(Some(purpose.to_owned()));
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "purpose-not-granted", "this purpose is not among those of the officer"))
}

impl Desk {
    /// Whether what let a request in still does.
    pub(crate) fn still(&self, ticket: &Ticket) -> bool {
        match ticket {
            Ticket::Session(hash) => {
                let session = self.sessions().find(hash, Instant::now()).cloned();
                session.is_some_and(|session| self.stands(&session))
            }
            Ticket::Token { officer, grant, token } => {
                let officer = self.officer(officer).filter(|officer| officer.active && officer.grant == *grant);
                officer.is_some_and(|officer| match officer.credential(token).map(|held| &held.means) {
                    Some(Means::Token { expires, .. }) => self.now_s() < *expires,
                    _ => false,
                })
            }
        }
    }
}

/// An answer that goes on for as long as what let its request in still does.
fn while_it_stands(node: Arc<Node>, ticket: Ticket, body: Body) -> Body {
    let changed = node.desk.changed.subscribe();
    let begun = (body.into_data_stream(), node, ticket, changed);
    let pieces = stream::unfold(begun, |(mut body, node, ticket, mut changed)| async move {
        loop {
            if !node.desk.still(&ticket) {
                return None;
            }
            tokio::select! {
                piece = body.next() => {
                    let piece: Result<Bytes, axum::Error> = piece?;
                    return Some((piece, (body, node, ticket, changed)));
                }
                _ = changed.changed() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    });
    Body::from_stream(pieces)
}

/// Never refused: extracts where a request comes from.
impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Infallible> {
        let unknown = Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Ok(Address(network_of(parts.extensions.get::<Self>().copied().unwrap_or(unknown).0)))
    }
}
