//! The measure of each officer: so many requests a second, and so many at a time, so that nobody's program keeps the others from
//! working. The socket, which is the operator's, is not measured.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};

use super::problem::Problem;
use crate::desk::Caller;
use crate::net::Flood;
use crate::net::flood::Limits;

/// What is left of the measure, and when all of it is there again (draft-ietf-httpapi-ratelimit-headers).
const LEFT: HeaderName = HeaderName::from_static("ratelimit");
/// The measure itself.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Counts a request of an officer, or tells the officer to come back.
pub(super) async fn measure(State(flood): State<Flood>, request: Request, next: Next) -> Response {
    let officer = request.extensions().get::<Caller>().and_then(|caller| caller.officer.as_ref());
    let Some(officer) = officer.map(ToString::to_string) else { return next.run(request).await };
    let (mut response, left) = match flood.admit_officer(&officer, Instant::now()) {
        Ok((place, left)) => (crate::net::hold(next.run(request).await, place), left),
        Err(over) => {
            let detail = "you have asked more than an officer may at a time; come back in a moment";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail);
            (problem.retry_after(over.retry_after_s).into_response(), 0)
        }
    };
    let Limits { per_second, burst, .. } = flood.limits();
    let say = |text: String| HeaderValue::try_from(text).expect("numbers and quotes");
    let whole_s = ((burst - left as f64) / per_second).ceil().max(0.0);
    let headers = response.headers_mut();
    headers.insert(POLICY, say(format!("\"officer\";q={burst};w={}", (burst / per_second).ceil())));
    headers.insert(LEFT, say(format!("\"officer\";r={left};t={whole_s}")));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use axum::{Extension, Router};
    use http::header;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn an_officer_who_asks_too_much_is_told_when_to_come_back() {
        let flood = Flood::new(Limits { per_second: 0.5, burst: 2.0, in_flight_max: 10 });
        let ask = async |officer: Option<&str>| {
            let caller = Caller { officer: officer.map(|id| id.parse().unwrap()), ..Caller::operator() };
            let router = Router::new().route("/", get(|| async { "EXERCISE" }));
            let router = router.layer(from_fn_with_state(flood.clone(), measure)).layer(Extension(caller));
            router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap()
        };
        let said = |response: &Response, name: &HeaderName| response.headers().get(name).cloned();
        let first = ask(Some("d3-night")).await;
        assert_eq!(said(&first, &POLICY).unwrap(), "\"officer\";q=2;w=4");
        assert_eq!(said(&first, &LEFT).unwrap(), "\"officer\";r=1;t=2");
        assert_eq!(ask(Some("d3-night")).await.status(), 200);
        let refused = ask(Some("d3-night")).await;
        assert_eq!(
            (refused.status(), said(&refused, &header::RETRY_AFTER).unwrap()),
            (StatusCode::TOO_MANY_REQUESTS, "2".parse().unwrap())
        );
        assert_eq!(said(&refused, &LEFT).unwrap(), "\"officer\";r=0;t=4");
        // Others and the operator are unharmed.
        assert_eq!(ask(Some("d4-day")).await.status(), 200);
        for _ in 0..10 {
            let response = ask(None).await;
            assert_eq!((response.status(), said(&response, &LEFT)), (StatusCode::OK, None));
        }
    }
}
