//! Problems: what an answer says when it is not what was asked for (RFC 9457), and the extractors that give them.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query as AxumQuery, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use mufakat_record::{Reason, RecordId};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::share::NotShared;
use crate::writer::Fault;

/// The media type of a problem (RFC 9457 §3).
pub(super) const PROBLEM_TYPE: &str = "application/problem+json";
/// How long a body may take that is read as a whole.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// When to come back after the node had too much to do, in seconds.
const OVERLOADED_RETRY_S: u64 = 1;
/// When to come back to a node that is stopping, in seconds.
const STOPPING_RETRY_S: u64 = 5;

/// Why something was not done: an HTTP status, the name of the reason for programs, and what people need to know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    status: StatusCode,
    reason: &'static str,
    detail: String,
    retry_after_s: Option<u64>,
    // In a box, because a problem is the other half of many results.
    more: Box<Map<String, Value>>,
}

impl Problem {
    /// A problem with a status, a reason and words.
    pub(crate) fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { status, reason, detail: detail.into(), retry_after_s: None, more: Box::default() }
    }

    /// The one answer for what is not there and for what is not for this agency.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, Reason::NotFound.name(), "there is no such thing here")
    }

    /// What was asked for is understood, and refused for a reason of its own.
    pub(crate) fn refused(reason: &'static str, detail: impl Into<String>) -> Self {
        NotShared { reason, detail: detail.into() }.into()
    }

    /// What was asked for does not go with the state of things.
    pub(crate) fn conflict(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason, detail)
    }

    /// The request is not what it should be.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Reason::Malformed.name(), detail)
    }

    /// More than is taken at once.
    pub(crate) fn oversize(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::Oversize.name(), detail)
    }

    /// The same problem with a member of its own (RFC 9457 §3.2).
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The same problem with the seconds after which to come back (RFC 9110 §10.2.3).
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The name of the reason.
    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }

    /// The same in words.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    fn body(&self) -> Value {
        let mut body = (*self.more).clone();
        let mut say = |name: &str, value: Value| body.insert(name.to_owned(), value);
        say("type", json!("about:blank"));
        // With `about:blank` the title is the status in words (RFC 9457 §4.2.1).
        say("title", json!(self.status.canonical_reason().unwrap_or("Refused")));
        say("status", json!(self.status.as_u16()));
        say("detail", json!(self.detail));
        say("reason", json!(self.reason));
        Value::Object(body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE))];
        let mut response = (self.status, content_type, self.body().to_string()).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let (status, reason, retry_after_s) = match &fault {
            Fault::Full => (StatusCode::INSUFFICIENT_STORAGE, Reason::StorageFull.name(), None),
            Fault::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, Reason::Overloaded.name(), Some(OVERLOADED_RETRY_S)),
            Fault::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", Some(STOPPING_RETRY_S)),
            Fault::Store(_) => {
                // Faults of the store name parts and ids, never what is in records.
                tracing::error!(%fault, "a request could not be carried out");
                (StatusCode::INTERNAL_SERVER_ERROR, "store-failed", None)
            }
        };
        Self { retry_after_s, ..Self::new(status, reason, fault.to_string()) }
    }
}

impl From<NotShared> for Problem {
    fn from(no: NotShared) -> Self {
        let status = match no.reason {
            "not-found" => StatusCode::NOT_FOUND,
            "register-changed" | "stale" | "already-retracted" | "wrong-state" | "key-taken" => StatusCode::CONFLICT,
            "out-of-turn" | "not-yours" | "not-a-side" | "clarify-first" | "too-many-steps" => StatusCode::CONFLICT,
            "same-officer" | "not-the-author" => StatusCode::FORBIDDEN,
            "overloaded" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(OVERLOADED_RETRY_S);
        Self { retry_after_s, ..Self::new(status, no.reason, no.detail) }
    }
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Self {
        Self::refused(reason.name(), format!("refused: {reason}"))
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::oversize("the body is larger than this node takes at once")
        } else {
            Self::malformed("the body broke off")
        }
    }
}

/// A JSON body, read straight into its type. A field that the type does not have is refused by its name.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        read_json(&read_in_time(Bytes::from_request(request, state)).await?).map(Self)
    }
}

/// A body that is read as a whole, unless it comes too slowly.
pub(super) async fn read_in_time(body: impl Future<Output = Result<Bytes, BytesRejection>>) -> Result<Bytes, Problem> {
    let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "slow", "the body came too slowly");
    Ok(tokio::time::timeout(BODY_TIME_MAX, body).await.map_err(slow)??)
}

/// Reads a JSON body.
pub(super) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::malformed(wrong_json(&error)))
}

/// The query of a request. A parameter that the type does not have is refused by its name.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = AxumQuery::<T>::try_from_uri(&parts.uri);
        read.map(|AxumQuery(query)| Self(query)).map_err(|error| Problem::malformed(error.body_text()))
    }
}

/// The record id in a path.
pub(super) struct Id(pub(super) RecordId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(id)| id.parse().ok());
        id.map(Self).ok_or_else(|| Problem::malformed("a record's id is 64 hexadecimal digits"))
    }
}

/// What is wrong with JSON that was handed in. Where a value does not fit, the place is left out: a command may have put the
/// user's text into a larger one, so that it would name a column that nobody wrote.
pub(super) fn wrong_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) if error.is_data() => what.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde::Deserialize;

    use super::*;

    #[tokio::test]
    async fn a_problem_is_told_as_the_standard_says() {
        let problem =
            Problem::new(StatusCode::CONFLICT, "incomplete", "not all chunks are here").with("have", 3).with("of", 9);
        let response = problem.into_response();
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expect = json!({
            "type": "about:blank", "title": "Conflict", "status": 409, "detail": "not all chunks are here",
            "reason": "incomplete", "have": 3, "of": 9,
        });
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expect);
    }

    #[test]
    fn no_member_of_its_own_takes_the_place_of_a_standard_one() {
        let problem = Problem::not_found().with("status", 200).with("reason", "fine");
        assert_eq!((problem.body()["status"].as_u64(), &problem.body()["reason"]), (Some(404), &json!("not-found")));
    }

    #[test]
    fn faults_have_their_status() {
        let check = |fault: Fault, status: u16, reason: &str, retry: bool| {
            let problem = Problem::from(fault);
            assert_eq!((problem.status.as_u16(), problem.reason), (status, reason));
            assert_eq!(problem.into_response().headers().contains_key(header::RETRY_AFTER), retry, "{reason}");
        };
        check(Fault::Full, 507, "storage-full", false);
        check(Fault::Overloaded, 503, "overloaded", true);
        check(Fault::Stopping, 503, "stopping", true);
        check(Fault::Store("x".into()), 500, "store-failed", false);
    }

    #[test]
    fn what_was_not_shared_has_its_status() {
        let check = |reason: &'static str, status: u16| {
            let problem = Problem::from(NotShared { reason, detail: "why".into() });
            assert_eq!((problem.status.as_u16(), problem.reason(), problem.detail()), (status, reason, "why"));
        };
        check("not-found", 404);
        check("register-changed", 409);
        check("key-taken", 409);
        check("overloaded", 503);
        check("tlp-named", 422);
        assert_eq!(Problem::from(Reason::NotFound).status, 404);
        assert_eq!(Problem::from(Reason::BadRegister).status, 422);
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Small {
        reason: String,
    }

    #[test]
    fn a_field_too_many_is_named() {
        assert_eq!(read_json::<Small>(br#"{"reason":"a"}"#), Ok(Small { reason: "a".into() }));
        for (body, named) in [
            (&br#"{"reason":"a","purge":true}"#[..], "`purge`"),
            (br#"{"reason":"a","reason":"b"}"#, "`reason`"),
            (br"{}", "`reason`"),
        ] {
            let problem = read_json::<Small>(body).unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(problem.detail.contains(named), "{}", problem.detail);
        }
        for body in [&b""[..], b"{", b"null", br#"{"reason":"a"} x"#] {
            assert_eq!(read_json::<Small>(body).unwrap_err().reason, "malformed");
        }
    }

    #[tokio::test]
    async fn a_parameter_too_many_is_named() {
        let ask = async |uri: &str| {
            let (mut parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
            Query::<Small>::from_request_parts(&mut parts, &()).await.map(|Query(small)| small)
        };
        assert_eq!(ask("/x?reason=a%20b").await, Ok(Small { reason: "a b".into() }));
        assert!(ask("/x?reason=a&purge=1").await.unwrap_err().detail.contains("`purge`"));
        assert_eq!(ask("/x").await.unwrap_err().status, 400);
    }
}
