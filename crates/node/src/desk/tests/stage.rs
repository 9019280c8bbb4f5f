//! A node with a desk, and a browser.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::authenticator::Authenticator;
use crate::config::{Agency, Config};
use crate::net::free_address;
use crate::net::local_client;
use crate::net::web::{self, Web};
use crate::{SOCKET, init, run};

/// How long a node may take for what it does by itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A node of a community of its own.
pub(super) struct Stage {
    pub(super) dir: TempDir,
    pub(super) config: Config,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), crate::Error>>,
}

impl Stage {
    pub(super) async fn start(id: &str) -> Self {
        Self::start_with(id, |_, _| ()).await
    }

    /// Starts a node whose configuration is changed first.
    pub(super) async fn start_with(id: &str, change: impl FnOnce(&mut Config, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (peers, desk) = (free_address().unwrap(), free_address().unwrap());
        let mut config = Config::new(Agency {
            id: id.parse().unwrap(),
            party: "vn".parse().unwrap(),
            name: format!("EXERCISE {id}"),
            party_name: None,
            endpoint: peers.to_string(),
            relay: false,
        });
        config.listen.peers = peers;
        config.desk.listen = Some(desk);
        config.desk.origin = Some(format!("http://localhost:{}", desk.port()));
        change(&mut config, dir.path());
        init(&dir.path().join("node"), &config).unwrap();
        let (stop, task) = launch(dir.path(), &config);
        let stage = Self { dir, config, stop, task };
        stage.until_phase("waiting").await;
        let rules = json!({ "witness_quorum": 1, "witness_interval_s": 60, "relay_max_s": 86400 });
        let founding = json!({ "community": "EXERCISE", "cards": [], "threshold": 1, "rules": rules });
        let (status, answer) = stage.socket(Method::POST, "/api/v1/register/found", &founding).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        stage.until_phase("running").await;
        stage
    }

    async fn until_phase(&self, phase: &str) {
        let asked = tokio::time::timeout(PATIENCE, async {
            while self
                .try_socket(Method::GET, "/api/v1/status", &Value::Null)
                .await
                .is_none_or(|(_, s)| s["phase"] != phase)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        asked.await.unwrap_or_else(|_| panic!("the node does not become {phase}"));
    }

    /// Stops the node and starts it again.
    pub(super) async fn restart(mut self) -> Self {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, &mut self.task).await.unwrap().unwrap().unwrap();
        (self.stop, self.task) = launch(self.dir.path(), &self.config);
        self.until_phase("running").await;
        self
    }

    pub(super) fn origin(&self) -> &str {
        self.config.desk.origin.as_deref().unwrap()
    }

    fn socket_path(&self) -> PathBuf {
        self.dir.path().join("node").join(SOCKET)
    }

    async fn try_socket(&self, method: Method, path: &str, body: &Value) -> Option<(StatusCode, Value)> {
        let body = Body::from(if body.is_null() { String::new() } else { body.to_string() });
        let socket = self.socket_path();
        let response = local_client::request(&socket, method, path, Some("application/json"), body);
        let response = response.await.ok()?;
        let status = response.status;
        let body = response.bytes(ANSWER_BYTES_MAX).await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Asks as the operator.
    pub(super) async fn socket(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        self.try_socket(method, path, body).await.expect("the node answers")
    }

    /// Reads as the operator.
    pub(super) async fn look(&self, path: &str) -> Value {
        let (status, answer) = self.socket(Method::GET, path, &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// Does something as the operator that must be done.
    pub(super) async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.socket(method, path, &body).await;
        assert_eq!(status, StatusCode::CREATED, "{path}: {answer}");
        answer
    }

    /// Grants.
    pub(super) async fn grant(&self, officer: &str, roles: &[&str]) {
        self.done(Method::PUT, &format!("/api/v1/officers/{officer}"), grant(roles)).await;
    }

    /// The secret of a new one-time link.
    pub(super) async fn invite(&self, officer: &str, valid_s: u64) -> String {
        let path = format!("/api/v1/officers/{officer}/invitations");
        let answer = self.done(Method::POST, &path, json!({ "valid_s": valid_s })).await;
        answer["secret"].as_str().unwrap().to_owned()
    }

    /// A token, made by the operator.
    pub(super) async fn token(&self, officer: &str, valid_s: u64) -> (String, String) {
        let asked = json!({ "officer": officer, "label": "EXERCISE", "valid_s": valid_s });
        let answer = self.done(Method::POST, "/api/v1/tokens", asked).await;
        (answer["token"].as_str().unwrap().to_owned(), answer["id"].as_str().unwrap().to_owned())
    }

    /// Grants, invites and enrols an officer; gives the passkey.
    pub(super) async fn enrolled(&self, officer: &str, roles: &[&str]) -> Authenticator {
        self.grant(officer, roles).await;
        let invitation = self.invite(officer, 600).await;
        let mut passkey = Authenticator::new(self.origin());
        let (status, answer) = self.browser().register(&mut passkey, &invitation).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        passkey
    }

    /// An enrolled officer who has signed in.
    pub(super) async fn signed_in(&self, officer: &str, roles: &[&str]) -> (Authenticator, Browser) {
        let mut passkey = self.enrolled(officer, roles).await;
        let mut browser = self.browser();
        let (status, answer) = browser.sign_in(&mut passkey).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        (passkey, browser)
    }

    /// A browser without cookies, at the desk.
    pub(super) fn browser(&self) -> Browser {
        let scheme = if self.config.desk.tls_certificate.is_some() { "https" } else { "http" };
        Browser {
            base: format!("{scheme}://127.0.0.1:{}", self.config.desk.listen.unwrap().port()),
            origin: Some(self.origin().to_owned()),
            cookies: Vec::new(),
            address: None,
            token: None,
            purpose: None,
            web: Web::plain(),
        }
    }

    /// The rows of `sign-ins`, oldest first: officer, how, note.
    pub(super) async fn sign_ins(&self) -> Vec<(String, String, String)> {
        let page = self.look("/api/v1/views/sign-ins?order=oldest&limit=500").await;
        let rows = page["rows"].as_array().unwrap().iter();
        let text = |row: &Value, name: &str| row["body"][name].as_str().unwrap_or_default().to_owned();
        rows.map(|row| (text(row, "officer"), text(row, "how"), text(row, "note"))).collect()
    }
}

fn launch(dir: &Path, config: &Config) -> (watch::Sender<bool>, JoinHandle<Result<(), crate::Error>>) {
    let (stop, stopped) = watch::channel(false);
    let (folder, config) = (dir.join("node"), config.clone());
    (stop, tokio::spawn(async move { run(&folder, config, stopped).await }))
}

pub(super) fn grant(roles: &[&str]) -> Value {
    json!({ "name": "EXERCISE Nguyễn", "roles": roles, "clearance": "AMBER", "purposes": ["piracy"] })
}

/// A browser, or a program if it has a token.
#[derive(Clone)]
pub(super) struct Browser {
    pub(super) base: String,
    pub(super) origin: Option<String>,
    pub(super) cookies: Vec<(String, String)>,
    pub(super) address: Option<String>,
    pub(super) token: Option<String>,
    pub(super) purpose: Option<String>,
    pub(super) web: Web,
}

impl Browser {
    pub(super) fn request(&self, method: &Method, path: &str, body: &Value) -> Request<Vec<u8>> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let mut request = Request::builder().method(method.clone()).uri(url);
        if let Some(origin) = self.origin.as_ref().filter(|_| *method != Method::GET) {
            request = request.header(header::ORIGIN, origin);
        }
        for (name, value) in &self.cookies {
            request = request.header(header::COOKIE, format!("{name}={value}"));
        }
        for (name, value) in [("x-forwarded-for", &self.address), ("mufakat-purpose", &self.purpose)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request = request.header(header::CONTENT_TYPE, "application/json");
        request.body(if body.is_null() { Vec::new() } else { body.to_string().into_bytes() }).unwrap()
    }

    pub(super) async fn send(&mut self, method: Method, path: &str, body: &Value) -> Response<Vec<u8>> {
        let request = self.request(&method, path, body);
        let response = web::call(&self.web, request, PATIENCE, ANSWER_BYTES_MAX).await.expect("the desk answers");
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.retain(|(of, _)| of != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        response
    }

    pub(super) async fn ask(&mut self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let response = self.send(method, path, body).await;
        (response.status(), serde_json::from_slice(response.body()).unwrap_or_default())
    }

    pub(super) async fn get(&mut self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, &Value::Null).await
    }

    pub(super) async fn post(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, body).await
    }

    /// The body with which a registration is finished.
    pub(super) async fn registration(
        &mut self,
        passkey: &mut Authenticator,
        invitation: &str,
    ) -> Result<Value, (StatusCode, Value)> {
        let asked = json!({ "invitation": invitation });
        let (status, begun) = self.post("/api/v1/session/registration/begin", &asked).await;
        if status != StatusCode::OK {
            return Err((status, begun));
        }
        let credential = passkey.create(&begun["options"]);
        Ok(json!({ "ceremony": begun["ceremony"], "label": "EXERCISE key", "credential": credential }))
    }

    pub(super) async fn register(&mut self, passkey: &mut Authenticator, invitation: &str) -> (StatusCode, Value) {
        match self.registration(passkey, invitation).await {
            Ok(body) => self.post("/api/v1/session/registration/finish", &body).await,
            Err(refused) => refused,
        }
    }

    /// The body with which a sign-in is finished.
    pub(super) async fn assertion(&mut self, passkey: &mut Authenticator) -> Value {
        let (status, begun) = self.post("/api/v1/session/begin", &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{begun}");
        json!({ "ceremony": begun["ceremony"], "credential": passkey.get(&begun["options"]) })
    }

    pub(super) async fn sign_in(&mut self, passkey: &mut Authenticator) -> (StatusCode, Value) {
        let body = self.assertion(passkey).await;
        self.post("/api/v1/session/finish", &body).await
    }
}
