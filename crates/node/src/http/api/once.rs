//! Idempotency keys: a request that is sent again with its key is carried out once, and answered the same
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! A key belongs to its officer, under one grant, and to its operation. Kept is what came of a request that made something (201):
//! ids, and no content. Whatever only shows something is done again, past the gate and into the ledger, and what shows a secret
//! takes no key. The request is carried out to its end even if the caller leaves meanwhile, so
//! that whoever comes back with the key learns what became of it. Answers are kept in memory; what must hold over a restart,
//! sharing a report, is kept by the store as well, under the same key. Each officer has a share of the memory: when it is full,
//! whoever keeps most loses the oldest.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use mufakat_record::{Digest, OfficerId, RecordId};

use super::openapi::Operation;
use super::problem::{Problem, read_in_time};
use crate::desk::Caller;

/// The header with the key.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 200;
/// What a key looks like: what may stand in it, and that it neither begins nor ends with a space or a quote.
pub(super) const KEY_PATTERN: &str = r##"^(?:"[!#-~](?:[ -~]{0,198}[!#-~])?"|[!#-~](?:[ -~]{0,198}[!#-~])?)$"##;
/// How many answers are kept.
const KEPT_MAX: usize = 4_096;
/// How long an answer is kept.
const KEPT_TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// The largest answer that is kept, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 << 10;
/// The operations whose bodies go by without being held, so that nobody can tell whether they are the same.
const STREAMED: [&str; 3] = ["share_records", "attach_file", "import_parcels"];
/// The operations whose answers have a secret that is shown once.
const SECRET: [&str; 3] = ["create_token", "invite_agency", "invite_officer"];

/// Who a key belongs to and under which grant, for what, and the key.
type Name = (Option<OfficerId>, Option<RecordId>, Operation, String);

/// Why an operation takes no key; nothing when it takes one.
pub(super) fn no_key(operation: &str) -> Option<&'static str> {
    if STREAMED.contains(&operation) {
        Some("`Idempotency-Key` does nothing here: what goes by is not held")
    } else if SECRET.contains(&operation) {
        Some("`Idempotency-Key` does nothing here: the answer has a secret, which is shown once and not kept")
    } else {
        None
    }
}

/// What became of a request.
enum Kept {
    /// It is being carried out.
    UnderWay(Digest),
    /// It was carried out.
    Done { request: Digest, at: Instant, status: StatusCode, headers: HeaderMap, body: Bytes },
}

/// The keys that were used. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Once(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    kept: HashMap<Name, Kept>,
    /// The names of what was carried out, by their officers, oldest first.
    order: HashMap<Option<OfficerId>, VecDeque<Name>>,
}

impl Once {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        // Each step leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    /// Forgets answers that are too old, and the oldest of whoever keeps most while there are too many.
    fn tidy(&mut self, now: Instant) {
        let Self { kept, order } = self;
        let too_old = |name: &Name| match kept.get(name) {
            Some(Kept::Done { at, .. }) => now.saturating_duration_since(*at) > KEPT_TIME_MAX,
            _ => true,
        };
        let mut forgotten = Vec::new();
        for own in order.values_mut() {
            while own.front().is_some_and(too_old) {
                forgotten.extend(own.pop_front());
            }
        }
        let mut count: usize = order.values().map(VecDeque::len).sum();
        while count >= KEPT_MAX
            && let Some(most) = order.values_mut().max_by_key(|own| own.len())
        {
            forgotten.extend(most.pop_front());
            count -= 1;
        }
        order.retain(|_, own| !own.is_empty());
        for name in forgotten {
            kept.remove(&name);
        }
    }

    /// The answer for who comes again; nothing for who comes first.
    fn look(&self, name: &Name, request: Digest) -> Option<Response> {
        let (before, answer) = match self.kept.get(name)? {
            Kept::UnderWay(before) => {
                let detail = "the request with this key is still being carried out";
                let problem = Problem::conflict("under-way", detail).retry_after(1);
                (*before, problem.into_response())
            }
            Kept::Done { request, status, headers, body, .. } => {
                let mut answer = (*status, Body::from(body.clone())).into_response();
                *answer.headers_mut() = headers.clone();
                (*request, answer)
            }
        };
        if before == request {
            return Some(answer);
        }
        let (status, detail) = (StatusCode::UNPROCESSABLE_ENTITY, "`Idempotency-Key` was used for another request");
        Some(Problem::new(status, "key-taken", detail).into_response())
    }
}

/// Carries a request with a key out once.
pub(super) async fn once(State(once): State<Once>, request: Request, next: Next) -> Response {
    match carried_out(once, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn carried_out(once: Once, request: Request, next: Next) -> Result<Response, Problem> {
    let operation = request.extensions().get::<Operation>().cloned();
    let (Some(key), Some(operation)) = (request.headers().get(KEY), operation) else {
        return Ok(next.run(request).await);
    };
    if *request.method() != Method::POST {
        return Ok(next.run(request).await);
    }
    if let Some(why) = no_key(operation.id()) {
        return Err(Problem::malformed(why));
    }
    let key = read_key(key)?;
    let caller = request.extensions().get::<Caller>();
    let (officer, grant) = caller.map_or((None, None), |caller| (caller.officer.clone(), caller.grant));
    let name = (officer, grant, operation, key);
    let (parts, body) = request.into_parts();
    let mut head = Request::new(());
    *head.extensions_mut() = parts.extensions.clone();
    // The limit of this route's bodies stands among the extensions.
    let whole = read_in_time(Bytes::from_request(head.map(|()| body), &())).await?;
    let asked = [parts.uri.to_string().as_bytes(), b"\n", &whole].concat();
    let asked = Digest::of(&asked);
    {
        let mut answers = once.answers();
        answers.tidy(Instant::now());
        if let Some(answer) = answers.look(&name, asked) {
            return Ok(answer);
        }
        answers.kept.insert(name.clone(), Kept::UnderWay(asked));
    }
    let under_way = UnderWay { once, name, asked };
    let request = Request::from_parts(parts, Body::from(whole));
    // In a task of its own, which goes on when the caller leaves.
    let done = tokio::spawn(async move { under_way.keep(next.run(request).await).await });
    done.await.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "broken-off", "the request broke off"))
}

/// A key as it stands, or in quotes, as the draft has it (a string of RFC 9651); [`KEY_PATTERN`] says the same.
fn read_key(key: &HeaderValue) -> Result<String, Problem> {
    let key = key.to_str().ok().map(str::trim);
    let key = key.map(|key| key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key));
    let edge = |byte: Option<&u8>| matches!(byte, Some(b'!' | b'#'..=b'~'));
    let sound = |key: &[u8]| {
        let inner = key.iter().all(|byte| matches!(byte, b' '..=b'~'));
        key.len() <= KEY_BYTES_MAX && inner && edge(key.first()) && edge(key.last())
    };
    let key = key.filter(|key| sound(key.as_bytes()));
    key.map(str::to_owned)
        .ok_or_else(|| Problem::malformed(format!("`Idempotency-Key` has 1 to {KEY_BYTES_MAX} visible characters")))
}

/// The key of a request, for what keeps it longer than memory lasts.
pub(super) struct Key(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.headers.get(KEY).map(read_key).transpose().map(Self)
    }
}

/// A request that is being carried out. When it is given up its key is free again.
struct UnderWay {
    once: Once,
    name: Name,
    asked: Digest,
}

impl UnderWay {
    /// Keeps the answer if something was made; what was refused may be tried again under the same key, and what was looked at is
    /// looked at again.
    async fn keep(self, response: Response) -> Response {
        let small = response.body().size_hint().exact().is_some_and(|size| size <= ANSWER_BYTES_MAX);
        if response.status() != StatusCode::CREATED || !small {
            return response;
        }
        let (parts, body) = response.into_parts();
        // The body is in memory: its size is known.
        let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
            return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "broken-off", "the answer broke off")
                .into_response();
        };
        let mut headers = parts.headers.clone();
        headers.remove(header::SET_COOKIE);
        let at = Instant::now();
        let done = Kept::Done { request: self.asked, at, status: parts.status, headers, body: body.clone() };
        {
            let mut answers = self.once.answers();
            answers.kept.insert(self.name.clone(), done);
            answers.order.entry(self.name.0.clone()).or_default().push_back(self.name.clone());
        }
        Response::from_parts(parts, Body::from(body))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut answers = self.once.answers();
        if matches!(answers.kept.get(&self.name), Some(Kept::UnderWay(_))) {
            answers.kept.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::extract::DefaultBodyLimit;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use axum::{Extension, Router};
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;

    struct Stage {
        once: Once,
        done: Arc<AtomicUsize>,
        gate: Arc<Notify>,
        grant: RecordId,
        operation: &'static str,
    }

    impl Stage {
        fn new() -> Self {
            let (grant, operation) = (RecordId([1; 32]), "share_record");
            Self { once: Once::default(), done: Arc::default(), gate: Arc::default(), grant, operation }
        }

        /// Answers with the number of the request that was carried out; waits on `slow`, refuses `no` and makes nothing on `look`.
        fn router(&self, officer: &str) -> Router {
            let (done, gate) = (Arc::clone(&self.done), Arc::clone(&self.gate));
            let handler = move |body: String| async move {
                if body == "slow" {
                    gate.notified().await;
                }
                let number = done.fetch_add(1, Ordering::Relaxed);
                if body == "no" {
                    Err(Problem::refused("no", "EXERCISE"))
                } else {
                    let status = if body == "look" { StatusCode::OK } else { StatusCode::CREATED };
                    Ok((status, number.to_string()))
                }
            };
            let officer = Some(officer.parse().unwrap());
            let caller = Caller { officer, grant: Some(self.grant), ..Caller::operator() };
            Router::new()
                .route("/", post(handler))
                .layer(from_fn_with_state(self.once.clone(), once))
                .layer(DefaultBodyLimit::max(100))
                .layer(Extension(Operation::named(self.operation)))
                .layer(Extension(caller))
        }

        async fn ask(&self, officer: &str, key: &str, body: &str) -> (StatusCode, String) {
            let request = Request::post("/").header(KEY, key).body(Body::from(body.to_owned())).unwrap();
            let response = self.router(officer).oneshot(request).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    }

    #[test]
    fn a_key_stands_as_it_is_or_in_quotes() {
        let read = |text: &str| read_key(&HeaderValue::from_str(text).unwrap()).map_err(|no| no.reason());
        let long = "k".repeat(KEY_BYTES_MAX);
        for key in ["one", "a b", "a\"b", &long] {
            assert_eq!(read(key).as_deref(), Ok(key));
            assert_eq!(read(&format!("\"{key}\"")).as_deref(), Ok(key));
        }
        for no in ["", "\"", "\"\"", "\"one", "one\"", "\" \"", "\"\"one\"\"", "a\tb", &"k".repeat(KEY_BYTES_MAX + 1)] {
            assert_eq!(read(no), Err("malformed"), "{no}");
        }
    }

    #[tokio::test]
    async fn the_same_key_is_carried_out_once_and_for_its_officer() {
        let stage = Stage::new();
        let created = |number: &str| (StatusCode::CREATED, number.to_owned());
        assert_eq!(stage.ask("d3-night", "one", "a").await, created("0"));
        assert_eq!(stage.ask("d3-night", "one", "a").await, created("0"));
        let (status, problem) = stage.ask("d3-night", "one", "b").await;
        assert!(status == StatusCode::UNPROCESSABLE_ENTITY && problem.contains("key-taken"), "{problem}");
        assert_eq!(stage.ask("d4-day", "one", "b").await, created("1"));
        assert_eq!(stage.ask("d3-night", "two", "b").await, created("2"));
        // What was refused did nothing, and may be tried again.
        assert_eq!(stage.ask("d3-night", "three", "no").await.0, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(stage.ask("d3-night", "three", "yes").await, created("4"));
        assert_eq!(stage.ask("d3-night", &"k".repeat(KEY_BYTES_MAX + 1), "a").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(stage.ask("d3-night", "four", &"x".repeat(101)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn what_shows_something_is_done_again() {
        let mut stage = Stage::new();
        assert_eq!(stage.ask("d3-night", "one", "look").await, (StatusCode::OK, "0".to_owned()));
        assert_eq!(stage.ask("d3-night", "one", "look").await, (StatusCode::OK, "1".to_owned()));
        assert!(stage.once.answers().kept.is_empty());
        // Under another grant nothing of the time before is told.
        assert_eq!(stage.ask("d3-night", "two", "a").await.1, "2");
        assert_eq!(stage.ask("d3-night", "two", "a").await.1, "2");
        stage.grant = RecordId([2; 32]);
        assert_eq!(stage.ask("d3-night", "two", "a").await.1, "3");
        // A secret is shown once.
        for operation in SECRET.into_iter().chain(STREAMED) {
            stage.operation = operation;
            assert_eq!(stage.ask("d3-night", "three", "a").await.0, StatusCode::BAD_REQUEST, "{operation}");
        }
        assert_eq!(stage.done.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_caller_who_leaves_finds_what_became_of_it() {
        let stage = Stage::new();
        let request = Request::post("/").header(KEY, "one").body(Body::from("slow")).unwrap();
        let left = tokio::time::timeout(Duration::from_millis(20), stage.router("d3-night").oneshot(request)).await;
        assert!(left.is_err());
        let (status, problem) = stage.ask("d3-night", "one", "slow").await;
        assert!(status == StatusCode::CONFLICT && problem.contains("under-way"), "{problem}");
        stage.gate.notify_one();
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(stage.ask("d3-night", "one", "slow").await, (StatusCode::CREATED, "0".to_owned()));
        assert_eq!(stage.done.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_oldest_answers_are_forgotten() {
        let stage = Stage::new();
        assert_eq!(stage.ask("d3-night", "one", "a").await.1, "0");
        let later = Instant::now() + KEPT_TIME_MAX + Duration::from_secs(1);
        stage.once.answers().tidy(later);
        assert!(stage.once.answers().kept.is_empty());
        for number in 0..=KEPT_MAX {
            stage.ask("d3-night", &number.to_string(), "a").await;
        }
        assert_eq!(stage.once.answers().kept.len(), KEPT_MAX);
    }

    #[tokio::test]
    async fn whoever_keeps_most_loses_the_oldest() {
        let stage = Stage::new();
        assert_eq!(stage.ask("d4-day", "one", "a").await.1, "0");
        for number in 0..KEPT_MAX + 10 {
            stage.ask("d3-night", &number.to_string(), "a").await;
        }
        // One officer's many requests take nothing from another.
        assert_eq!(stage.ask("d4-day", "one", "a").await.1, "0");
        assert_eq!(stage.ask("d3-night", "0", "a").await.1, (KEPT_MAX + 11).to_string());
        let answers = stage.once.answers();
        let counted: usize = answers.order.values().map(VecDeque::len).sum();
        assert_eq!((answers.kept.len(), counted), (KEPT_MAX, KEPT_MAX));
    }
}
