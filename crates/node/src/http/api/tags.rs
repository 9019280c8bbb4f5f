//! Entity tags (RFC 9110 §8.8.3): an answer says which state of a thing it shows, so that nobody is sent twice what has not
//! changed, and nobody changes what has changed since it was looked at.

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use mufakat_record::Digest;
use serde::Serialize;

use super::problem::Problem;

/// The largest answer that is given a tag, in bytes.
const TAGGED_BYTES_MAX: u64 = 4 << 20;
/// How many hexadecimal digits a tag has.
const TAG_DIGITS: usize = 32;

/// Gives what is shown a tag, and does not show it again to who has it.
pub(super) async fn tag(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let size = response.body().size_hint().exact();
    let has_one = response.headers().contains_key(header::ETAG);
    if !reads || has_one || response.status() != StatusCode::OK || size.is_none_or(|size| size > TAGGED_BYTES_MAX) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The body is in memory: its size is known.
    let Ok(bytes) = body.collect().await.map(|body| body.to_bytes()) else {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "broken-off", "the answer broke off").into_response();
    };
    let tag = tag_of(&bytes);
    let unchanged = known.is_some_and(|known| names(&known, &tag));
    parts.headers.insert(header::ETAG, tag);
    if !unchanged {
        return Response::from_parts(parts, Body::from(bytes));
    }
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}

fn tag_of(bytes: &[u8]) -> HeaderValue {
    let hash = Digest::of(bytes).to_string();
    HeaderValue::try_from(format!("\"{}\"", &hash[..TAG_DIGITS])).expect("hexadecimal digits in quotes")
}

/// Whether a list of tags names one, or any (`*`). Tags are compared weakly, as what is not sent again is not changed.
fn names(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(list), Ok(tag)) = (list.to_str(), tag.to_str()) else { return false };
    list.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || one == tag)
}

/// The state of a thing that a request wants to find unchanged (RFC 9110 §13.1.1).
pub(super) struct IfMatch(Option<HeaderValue>);

impl IfMatch {
    /// Whether there is a state that is wanted.
    pub(super) fn is_said(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses when the thing, as it is shown, is no longer in that state.
    pub(super) fn check(&self, shown: &impl Serialize) -> Result<(), Problem> {
        let Some(wanted) = &self.0 else { return Ok(()) };
        let now = serde_json::to_vec(shown).map(|bytes| tag_of(&bytes));
        if now.is_ok_and(|now| names(wanted, &now)) {
            return Ok(());
        }
        let detail = "`If-Match` names another state; look at it again before you change it";
        Err(Problem::new(StatusCode::PRECONDITION_FAILED, "changed-meanwhile", detail))
    }
}

impl From<&HeaderMap> for IfMatch {
    fn from(headers: &HeaderMap) -> Self {
        Self(headers.get(header::IF_MATCH).cloned())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::from(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: Method, known: Option<&str>) -> (StatusCode, Option<String>, String) {
        let thing = || async { axum::Json(serde_json::json!({ "state": "EXERCISE" })) };
        let router = Router::new().route("/", get(thing).post(thing)).layer(from_fn(tag));
        let mut request = Request::builder().method(method).uri("/");
        if let Some(known) = known {
            request = request.header(header::IF_NONE_MATCH, known);
        }
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let tag = response.headers().get(header::ETAG).map(|tag| tag.to_str().unwrap().to_owned());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, tag, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_is_known_is_not_sent_again() {
        let (status, tag, body) = ask(Method::GET, None).await;
        assert_eq!((status, body.contains("EXERCISE")), (StatusCode::OK, true));
        let tag = tag.unwrap();
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let (status, again, body) = ask(Method::GET, Some(&known)).await;
            assert_eq!((status, again, body.as_str()), (StatusCode::NOT_MODIFIED, Some(tag.clone()), ""), "{known}");
        }
        assert_eq!(ask(Method::GET, Some("\"x\"")).await.0, StatusCode::OK);
        // What changes something is not shown by its tag.
        assert_eq!((ask(Method::POST, Some(&tag)).await.0, ask(Method::POST, None).await.1), (StatusCode::OK, None));
    }

    #[test]
    fn a_change_meets_the_state_that_was_looked_at() {
        let wanted = |text: &str| IfMatch(Some(HeaderValue::try_from(text).unwrap()));
        let state = serde_json::json!({ "state": "current" });
        let tag = tag_of(state.to_string().as_bytes());
        assert!(IfMatch(None).check(&state).is_ok());
        assert!(wanted(tag.to_str().unwrap()).check(&state).is_ok());
        assert!(wanted("*").check(&state).is_ok());
        assert_eq!(wanted("\"x\"").check(&state).unwrap_err().reason(), "changed-meanwhile");
        assert!(wanted(tag.to_str().unwrap()).check(&serde_json::json!({ "state": "retracted" })).is_err());
    }
}
