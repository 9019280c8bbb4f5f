//! What the operator asks: does the process live, can it work, how is it doing. Plain HTTP, on loopback.
//!
//! Nothing here touches the store or waits for anybody: the node notes its state in [`Health`], and the answers read it, so
//! that they come at once however busy the node is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::Serialize;

use crate::metrics::Metrics;

/// How long the writer thread may be silent before the node counts as stuck. The node asks it far more often; a full disk or
/// a long commit takes seconds, not this.
const WRITER_SILENCE_MAX: Duration = Duration::from_secs(30);

/// The media type of metrics (OpenMetrics 1.0).
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the node is, as far as its threads have noted it.
#[derive(Debug)]
pub(crate) struct Health {
    started: Instant,
    /// When the writer thread last answered, in milliseconds since the start.
    writer_at_ms: AtomicU64,
    register: AtomicBool,
    writable: AtomicBool,
}

impl Health {
    /// A node that has just started: its writer counts as alive, its register as absent, its store as not yet writable.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            writer_at_ms: AtomicU64::new(0),
            register: AtomicBool::new(false),
            writable: AtomicBool::new(false),
        }
    }

    /// The writer thread has just answered.
    pub(crate) fn writer_answered(&self) {
        self.writer_answered_at(Instant::now());
    }

    fn writer_answered_at(&self, now: Instant) {
        let at_ms = now.saturating_duration_since(self.started).as_millis() as u64;
        self.writer_at_ms.fetch_max(at_ms, Ordering::Relaxed);
    }

    /// Whether there is a register.
    pub(crate) fn set_register(&self, present: bool) {
        self.register.store(present, Ordering::Relaxed);
    }

    /// Whether the store takes in records: false when the disk is full or a commit failed.
    pub(crate) fn set_writable(&self, writable: bool) {
        self.writable.store(writable, Ordering::Relaxed);
    }

    fn writer_lives(&self, now: Instant) -> bool {
        let at = Duration::from_millis(self.writer_at_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(self.started).saturating_sub(at) <= WRITER_SILENCE_MAX
    }

    fn readiness(&self, now: Instant) -> Readiness {
        let checks = Checks {
            register: Check::of(self.register.load(Ordering::Relaxed), "there is no register yet"),
            store: Check::of(self.writable.load(Ordering::Relaxed), "the store takes in nothing; look for a full disk"),
            writer: Check::of(self.writer_lives(now), "the writer thread has not answered for too long"),
        };
        Readiness { ready: checks.register.ok && checks.store.ok && checks.writer.ok, checks }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    checks: Checks,
}

#[derive(Debug, Serialize)]
struct Checks {
    register: Check,
    store: Check,
    writer: Check,
}

#[derive(Debug, Serialize)]
struct Check {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

impl Check {
    fn of(ok: bool, why: &'static str) -> Self {
        Self { ok, why: (!ok).then_some(why) }
    }
}

/// The operator's routes: `/healthz`, `/readyz` and `/metrics`.
pub(crate) fn router(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    let health_routes = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).with_state(health);
    health_routes.merge(Router::new().route("/metrics", get(scrape)).with_state(metrics))
}

/// 200 while the process should be left alone, 503 when restarting it is the remedy.
async fn healthz(State(health): State<Arc<Health>>) -> (StatusCode, &'static str) {
    if health.writer_lives(Instant::now()) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the writer thread does not answer\n")
    }
}

/// 200 when the node can share records, 503 otherwise; either way with each check by name.
async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let readiness = health.readiness(Instant::now());
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics.encode()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    /// Status, media type and body of an answer.
    async fn ask(health: &Arc<Health>, metrics: &Arc<Metrics>, path: &str) -> (u16, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(health.clone(), metrics.clone()).oneshot(request).await.unwrap();
        let media_type = response.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, media_type.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }

    /// A node that started so long before now.
    fn started_before(age: Duration) -> Arc<Health> {
        let started = Instant::now().checked_sub(age).expect("the machine has been up for so long");
        Arc::new(Health { started, ..Health::new() })
    }

    #[tokio::test]
    async fn healthy_while_the_writer_answers() {
        let metrics = Arc::new(Metrics::new());
        let fresh = Arc::new(Health::new());
        assert_eq!(ask(&fresh, &metrics, "/healthz").await.0, 200);
        let silent = started_before(WRITER_SILENCE_MAX + Duration::from_secs(1));
        assert_eq!(ask(&silent, &metrics, "/healthz").await.0, 503);
        silent.writer_answered();
        assert_eq!(ask(&silent, &metrics, "/healthz").await.0, 200);
        // A late note of an earlier answer does not make the writer look dead.
        silent.writer_answered_at(silent.started);
        assert_eq!(ask(&silent, &metrics, "/healthz").await.0, 200);
    }

    #[tokio::test]
    async fn ready_when_every_check_holds() {
        let metrics = Arc::new(Metrics::new());
        for (register, writable, stuck) in
            [(false, true, false), (true, false, false), (true, true, true), (true, true, false), (false, false, true)]
        {
            let age = if stuck { WRITER_SILENCE_MAX * 2 } else { Duration::ZERO };
            let health = started_before(age);
            health.set_register(register);
            health.set_writable(writable);
            let (status, media_type, body) = ask(&health, &metrics, "/readyz").await;
            let ready = register && writable && !stuck;
            assert_eq!((status, media_type.as_str()), (if ready { 200 } else { 503 }, "application/json"));
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["ready"], ready);
            for (name, ok) in [("register", register), ("store", writable), ("writer", !stuck)] {
                assert_eq!(body["checks"][name]["ok"], ok, "{name}");
                assert_eq!(body["checks"][name]["why"].is_string(), !ok, "{name}");
            }
        }
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let (status, media_type, body) = ask(&Arc::new(Health::new()), &Arc::new(Metrics::new()), "/metrics").await;
        assert_eq!((status, media_type.as_str()), (200, METRICS_TYPE));
        assert!(body.ends_with("# EOF\n"));
        assert_eq!(ask(&Arc::new(Health::new()), &Arc::new(Metrics::new()), "/other").await.0, 404);
    }
}
