//! The API of two real nodes, asked over their sockets.

mod again;
mod drafts;
mod matching;
mod reach;
mod release;
mod requests;
mod search;
mod second;
mod subject;
mod uploads;

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{Method, StatusCode};
use mufakat_record::RecordId;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::{Agency, Config};
use crate::desk::Caller;
use crate::net::free_address;
use crate::net::local_client::{Response, body_from_channel, request};
use crate::{SOCKET, init, run};

const ANSWER_BYTES_MAX: usize = 8 << 20;
/// How long nodes may take for what they do by themselves.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Running {
    pub(super) dir: TempDir,
    card: String,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: JoinHandle<Result<(), crate::Error>>,
}

impl Running {
    pub(super) fn start(id: &str, party: &str) -> Self {
        Self::start_with(id, party, |_| ())
    }

    fn start_with(id: &str, party: &str, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_address().unwrap();
        let mut config = Config::new(Agency {
            id: id.parse().unwrap(),
            party: party.parse().unwrap(),
            name: format!("EXERCISE {id}"),
            party_name: None,
            endpoint: port.to_string(),
            relay: false,
        });
        config.listen.peers = port;
        change(&mut config);
        let folder = dir.path().join("node");
        let made = init(&folder, &config).unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move { run(&folder, config, stopped).await });
        Self { dir, card: made.card, stop, task }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("node").join(SOCKET)
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: impl Into<Body>,
    ) -> Option<Response> {
        request(&self.socket(), method, path, Some(media_type), body.into()).await.ok()
    }

    pub(super) async fn bytes(&self, method: Method, path: &str, body: impl Into<Body>) -> (StatusCode, Bytes) {
        let octets = "application/octet-stream";
        let response = self.ask(method, path, octets, body).await.expect("the node answers");
        (response.status, response.bytes(ANSWER_BYTES_MAX).await.unwrap())
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let body = body.to_string().into();
        let response = request(&self.socket(), Method::POST, path, Some("application/json"), body).await;
        let response = response.expect("the node answers");
        let status = response.status;
        let body = response.bytes(ANSWER_BYTES_MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let Some(response) = self.ask(Method::GET, path, "application/json", Body::empty()).await else {
            return (StatusCode::SERVICE_UNAVAILABLE, Value::Null);
        };
        let status = response.status;
        let body = response.bytes(ANSWER_BYTES_MAX).await.unwrap_or_default();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Asks until the answer is as wanted.
    pub(super) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let asked = tokio::time::timeout(PATIENCE, async {
            loop {
                last = self.get(path).await.1;
                if wanted(&last) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if asked.await.is_err() {
            panic!("{path} stays {last}");
        }
        last
    }

    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// Asking as an officer, named by pseudonym, roles and clearance.
impl Running {
    async fn as_officer(&self, officer: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let media_type = format!("application/json; caller={officer}");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = request(&self.socket(), method, path, Some(&media_type), body).await.unwrap();
        let status = response.status;
        let body = response.bytes(ANSWER_BYTES_MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// What an officer asks for, with the name of the reason if it is refused.
    async fn tell(&self, officer: &str, path: &str, body: Value) -> (u16, String) {
        let (status, answer) = self.as_officer(officer, Method::POST, path, body).await;
        (status.as_u16(), answer["reason"].as_str().unwrap_or_default().to_owned())
    }
}

fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

fn done() -> (u16, String) {
    refused(201, "")
}

/// Three agencies of three parties, and a register that all have approved.
pub(super) async fn three() -> [Running; 3] {
    three_of(|_| ()).await
}

async fn three_of(change: impl Fn(&mut Config)) -> [Running; 3] {
    let nodes = [("vn-police", "vn"), ("ru-police", "ru"), ("id-coastguard", "id")];
    let nodes = nodes.map(|(id, party)| Running::start_with(id, party, &change));
    for node in &nodes {
        node.until("/api/v1/status", |status| status["phase"] == "waiting").await;
    }
    let rules = json!({ "witness_quorum": 1, "witness_interval_s": 60, "relay_max_s": 86400 });
    let cards = [&nodes[1].card, &nodes[2].card];
    let founding = json!({ "community": "EXERCISE", "cards": cards, "threshold": 2, "rules": rules });
    let path = "/api/v1/register/found";
    let response = nodes[0].ask(Method::POST, path, "application/json", founding.to_string()).await.unwrap();
    let mut file = response.bytes(ANSWER_BYTES_MAX).await.unwrap();
    // The last approval makes it whole, and then each takes it over.
    for node in [1, 2, 1, 0] {
        file = nodes[node].bytes(Method::POST, "/api/v1/register/approve", file).await.1;
    }
    for node in &nodes {
        node.until("/api/v1/status", |status| status["phase"] == "running").await;
    }
    nodes
}

/// Lets a request be that of an officer: `caller=NAME:ROLE+ROLE:CLEARANCE` stands in its media type, and after it `:PURPOSE` when the
/// officer acts for one alone, or `:gone` when what let the officer in has ended meanwhile. The listener at which
/// officers sign in has tests of its own.
pub(super) async fn as_officer(
    mut request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let named = request.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let officer = named.and_then(|named| named.split_once("caller=")).map(|(_, officer)| officer.to_owned());
    if let Some(officer) = officer {
        let mut parts = officer.split(':');
        let mut part = || parts.next().unwrap();
        let mut caller = Caller {
            officer: Some(part().parse().unwrap()),
            roles: part().split('+').map(|role| role.parse().unwrap()).collect(),
            clearance: part().parse().unwrap(),
            via: crate::desk::Via::Session,
            ..Caller::operator()
        };
        let more = parts.next();
        caller.purposes.extend(more.filter(|more| *more != "gone").map(str::to_owned));
        if more == Some("gone") {
            let (grant, token) = (RecordId([0; 32]), RecordId([0; 32]));
            // The socket's node knows no such officer, so this lets nobody in.
            let officer = caller.officer.clone().unwrap();
            request.extensions_mut().insert(crate::desk::Ticket::Token { officer, grant, token });
        }
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// Two agencies of two parties, and a register that both have approved.
async fn two() -> (Running, Running) {
    two_of(|_| ()).await
}

async fn two_of(change: impl Fn(&mut Config)) -> (Running, Running) {
    let (vn, ru) = (Running::start_with("vn-police", "vn", &change), Running::start_with("ru-police", "ru", &change));
    for node in [&vn, &ru] {
        let status = node.until("/api/v1/status", |status| status["phase"] == "waiting").await;
        assert_eq!(status["card"], node.card);
        let (status, problem) = node.get("/api/v1/records/00").await;
        assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("no-register")));
    }
    let rules = json!({ "witness_quorum": 1, "witness_interval_s": 1, "relay_max_s": 86400 });
    let founding = json!({ "community": "EXERCISE", "cards": [ru.card], "threshold": 2, "rules": rules });
    let response =
        vn.ask(Method::POST, "/api/v1/register/found", "application/json", founding.to_string()).await.unwrap();
    let file = response.bytes(ANSWER_BYTES_MAX).await.unwrap();
    let (status, file) = ru.bytes(Method::POST, "/api/v1/register/approve", file).await;
    assert_eq!(status, StatusCode::OK);
    let (status, file) = vn.bytes(Method::POST, "/api/v1/register/approve", file).await;
    assert_eq!(status, StatusCode::OK);
    for node in [&vn, &ru] {
        node.until("/api/v1/status", |status| status["phase"] == "running").await;
    }
    // Who asks once more gets the file once more.
    assert_eq!(vn.bytes(Method::POST, "/api/v1/register/approve", file).await.0, StatusCode::OK);
    (vn, ru)
}

fn envelope(title: &str) -> Value {
    json!({ "to": ["ru-police"], "tlp": "GREEN", "body": { "title": title, "text": "EXERCISE marker" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_shared_read_followed_and_proved() {
    let (vn, ru) = two().await;
    let (status, shared) = vn.post("/api/v1/records", &envelope("EXERCISE one")).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    assert_eq!(shared["records"][0]["audience"], json!(["ru-police"]));
    let id = shared["records"][0]["id"].as_str().unwrap().to_owned();
    let record = format!("/api/v1/records/{id}");

    // The node says what it can be asked.
    let described = vn.ask(Method::GET, "/api/v1/openapi.json", "", Body::empty()).await.unwrap();
    assert!(described.headers.contains_key(http::header::ETAG));
    let described: Value = serde_json::from_slice(&described.bytes(ANSWER_BYTES_MAX).await.unwrap()).unwrap();
    assert_eq!(described["paths"]["/api/v1/records"]["post"]["operationId"], "share_record");

    // There.
    ru.until("/api/v1/views/inbox?facet=kind:report", |page| page["rows"][0]["record"] == id).await;
    let (status, problem) = ru.get("/api/v1/views/inbox?facet=tlp:AMBER").await;
    let named =
        problem["detail"].as_str().unwrap_or_default().contains("no facet `tlp`; it has `author`, `kind`, `on`");
    assert!(status == StatusCode::BAD_REQUEST && named, "{problem}");
    let (_, shown) = ru.get(&record).await;
    assert_eq!((&shown["body"]["title"], &shown["state"]), (&json!("EXERCISE one"), &json!("current")));
    let raw = ru.bytes(Method::GET, &format!("{record}/raw"), Body::empty()).await;
    assert_eq!(raw, vn.bytes(Method::GET, &format!("{record}/raw"), Body::empty()).await);
    assert_eq!(mufakat_record::RecordId::of(&raw.1).to_string(), id);

    // Both uses stand in the ledger, and the stream of events tells of them.
    let path = "/api/v1/events?after=-1";
    let mut events = ru.ask(Method::GET, path, "application/json", Body::empty()).await.unwrap();
    let uses = tokio::time::timeout(PATIENCE, async {
        let mut uses = Vec::new();
        while uses.len() < 2 {
            let line = events.line(10_000).await.unwrap().expect("the stream goes on");
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let event: Value = serde_json::from_slice(data).unwrap();
            if event["what"] == "use" && event["record"] == id {
                uses.push(event["detail"].clone());
            }
        }
        uses
    });
    let uses = uses.await.expect("both uses are told of");
    assert_eq!(uses, ["read", "export"]);
    drop(events);

    // Back here.
    let track = vn.until(&format!("{record}/track"), |track| track["recipients"][0]["state"] == "accepted").await;
    assert_eq!(track["recipients"][0]["index"], shown["leaf"]["index"]);
    let (status, evidence) = vn.bytes(Method::GET, &format!("{record}/evidence"), Body::empty()).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&evidence));
    assert!(mufakat_formats::verify(&evidence, None).is_ok());
    assert_eq!(vn.bytes(Method::GET, &format!("{record}/proof"), Body::empty()).await.0, StatusCode::OK);

    // Taken back.
    let corrected = json!({ "reason": "a slip", "body": { "title": "EXERCISE two" } });
    assert_eq!(vn.post(&format!("{record}/correct"), &corrected).await.0, StatusCode::CREATED);
    assert_eq!(vn.get(&record).await.1["state"], "corrected");
    let (status, retraction) = vn.post(&format!("{record}/retract"), &json!({ "reason": "EXERCISE over" })).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(vn.get(&record).await.1["state"], "retracted");
    let path = format!("/api/v1/records/{}/track", retraction["id"].as_str().unwrap());
    vn.until(&path, |track| track["recipients"][0]["answer"]["action"] == "deleted").await;
    let tombstone = ru.get(&record).await.1;
    assert_eq!((&tombstone["state"], &tombstone["body"]), (&json!("deleted"), &Value::Null));
    assert_eq!(ru.get(&format!("{record}/raw")).await.0, StatusCode::GONE);

    // What is not there, what is not asked rightly.
    let unknown = format!("/api/v1/records/{}", "ab".repeat(32));
    for path in ["", "/raw", "/content", "/evidence", "/proof", "/track"] {
        let (status, problem) = vn.get(&format!("{unknown}{path}")).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::NOT_FOUND, &json!("not-found")), "{path}");
    }
    assert_eq!(vn.post(&format!("{unknown}/retract"), &json!({ "reason": "" })).await.0, StatusCode::NOT_FOUND);
    let check = async |path: &str, body: &Value, status: u16, reason: &str| {
        let (found, problem) = vn.post(path, body).await;
        assert_eq!((found.as_u16(), &problem["reason"]), (status, &json!(reason)), "{problem}");
    };
    let mut bad = envelope("EXERCISE");
    bad["to"] = json!(["nobody"]);
    check("/api/v1/records", &bad, 422, "unknown-recipient").await;
    bad["purge"] = json!(true);
    check("/api/v1/records", &bad, 400, "malformed").await;
    check(&format!("{record}/retract"), &json!({ "reason": "EXERCISE again" }), 409, "already-retracted").await;
    check(&format!("{record}/correct"), &corrected, 409, "already-retracted").await;
    let with = |name: &str, value: Value| {
        let mut envelope = envelope("EXERCISE");
        envelope[name] = value;
        envelope
    };
    check("/api/v1/records", &with("about", json!(["ab".repeat(32)])), 422, "unknown-record").await;
    let strangers = json!([{ "agency": "vn-police", "officer": "d3" }, { "agency": "ru-polise", "officer": "d3" }]);
    check("/api/v1/records", &with("eyes", strangers), 422, "eyes-not-in-audience").await;
    check("/api/v1/records", &with("purposes", json!([" "])), 422, "malformed").await;
    let phone = json!([{ "class": "phone", "identifiers": [{ "type": "phone", "value": "024 3825 0000" }] }]);
    let phone = with("body", json!({ "title": "EXERCISE", "entities": phone }));
    let (_, problem) = vn.post("/api/v1/records", &phone).await;
    assert_eq!(problem["reason"], "body-not-of-kind");
    assert!(problem["detail"].as_str().unwrap().starts_with("`entities[0].identifiers[0]` (phone): "), "{problem}");
    let seizure = with("body", json!({ "title": "EXERCISE", "report_type": "seizure" }));
    check("/api/v1/records", &seizure, 422, "body-not-of-kind").await;
    let large = json!({ "text": "x".repeat(2 << 20) });
    check("/api/v1/records", &large, 413, "oversize").await;
    check("/api/v1/register/found", &json!({}), 409, "has-register").await;
    check("/api/v1/nothing", &json!({}), 404, "not-found").await;
    check("/api/v1/status", &json!({}), 405, "method-not-allowed").await;
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_answers_every_line_in_order() {
    const LINES: u64 = 1000;
    let (vn, ru) = two().await;
    let (lines, body) = mpsc::channel::<Bytes>(4);
    let path = "/api/v1/records/bulk";
    let mut answer = vn.ask(Method::POST, path, "application/x-ndjson", body_from_channel(body)).await.unwrap();
    let line = |number: u64| match number {
        7 => "{\"to\":[]}".to_owned(),
        8 => String::new(),
        9 => " ".repeat(2 << 20),
        n => {
            // Two lines in a row are the same report under the same key; but line 11 puts another under the key of line 10.
            let title = if n == 11 { n } else { n / 2 };
            let mut line = envelope(&format!("EXERCISE {title}"));
            line["key"] = json!(format!("line {}", n / 2));
            line.to_string()
        }
    };
    // One line alone is answered while the request goes on.
    lines.send(format!("{}\n", line(1)).into()).await.unwrap();
    let first = tokio::time::timeout(PATIENCE, answer.line(10_000)).await.unwrap().unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&first).unwrap()["line"], 1);
    let sender = tokio::spawn(async move {
        for number in 2..=LINES {
            let end = if number == LINES { "" } else { "\n" };
            lines.send(format!("{}{end}", line(number)).into()).await.unwrap();
        }
    });
    let mut ids = vec![String::new(); 2];
    for number in 2..=LINES {
        let line = tokio::time::timeout(PATIENCE, answer.line(10_000)).await.unwrap().unwrap().unwrap();
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["line"], number);
        let reason = match number {
            7 | 8 => json!("malformed"),
            9 => json!("oversize"),
            // Whichever of the two comes first; they may be in groups that are under way side by side.
            10 | 11 if !line["error"].is_null() => json!("key-taken"),
            _ => Value::Null,
        };
        assert_eq!(line["error"]["reason"], reason, "{line}");
        ids.push(line["id"].as_str().unwrap_or_default().to_owned());
    }
    assert!(answer.line(10_000).await.unwrap().is_none());
    sender.await.unwrap();
    assert!(ids[10].is_empty() != ids[11].is_empty(), "one of the two reports under one key is refused");
    // Together in one group only the second of two reports under one key is refused.
    let lines = ["one", "two"].map(|title| {
        let mut line = envelope(&format!("EXERCISE {title}"));
        line["key"] = json!("twice");
        line.to_string()
    });
    let (_, both) = vn.bytes(Method::POST, path, lines.join("\n") + "\n").await;
    let both: Vec<Value> = both.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!((both.len(), &both[1]["error"]["reason"]), (2, &json!("key-taken")), "{both:?}");
    assert!(both[0]["id"].is_string(), "{}", both[0]);
    // Two lines with one key are one record.
    assert_eq!((ids[12] == ids[13], ids[12] == ids[14]), (true, false));
    let backlog = |status: &Value| status["partners"][0]["backlog"].as_u64();
    vn.until("/api/v1/status", |status| backlog(status) == Some(0)).await;

    let mut seen = 0;
    let mut path = "/api/v1/views/inbox?limit=100&order=oldest&facet=kind:report".to_owned();
    loop {
        let (_, page) = ru.get(&path).await;
        seen += page["rows"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/views/inbox?limit=100&order=oldest&facet=kind:report&after={next}");
    }
    // Keys go from 0 to half the lines; only the one of lines 8 and 9, which are no envelopes, has no record.
    // And one came of the two lines by themselves.
    assert_eq!(seen as u64, LINES / 2 + 1);
    let rows = ru.post("/api/v1/rebuild", &json!({})).await.1["rows"].as_u64().unwrap();
    assert!(rows >= seen as u64, "{rows}");
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_parcels_carries_what_the_network_does_not() {
    let (vn, ru) = two().await;
    vn.until("/api/v1/status", |status| status["partners"][0]["last_contact_ms"].is_u64()).await;
    let content = vec![7; 3 << 20];
    let path = "/api/v1/attachments?name=EXERCISE.bin";
    let (status, upload) = vn.bytes(Method::POST, path, content.clone()).await;
    assert_eq!(status, StatusCode::CREATED);
    let upload: Value = serde_json::from_slice(&upload).unwrap();
    assert_eq!((&upload["size"], &upload["chunks"]), (&json!(content.len()), &json!(3)));
    let ru_folder = ru.dir.path().join("node");
    let ru_dir = TempDir::new().unwrap();
    let config = Config::load(&ru_folder).unwrap();
    let Running { dir, card, stop, task } = ru;
    stop.send_replace(true);
    task.await.unwrap().unwrap();

    let mut with = envelope("EXERCISE with a file");
    with["attachments"] = json!([upload["upload"]]);
    let (_, shared) = vn.post("/api/v1/records", &with).await;
    let id = shared["records"][0]["id"].as_str().unwrap().to_owned();
    let (status, file) =
        vn.bytes(Method::POST, "/api/v1/parcels/export", json!({ "to": "ru-police" }).to_string()).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&file));
    assert!(!file.windows(8).any(|window| window == b"EXERCISE"));
    // Without its partner: what follows came in the file.
    vn.end().await;

    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(async move { run(&ru_folder, config, stopped).await });
    let ru = Running { dir, card, stop, task };
    ru.until("/api/v1/status", |status| status["phase"] == "running").await;
    let (status, imported) = ru.bytes(Method::POST, "/api/v1/parcels/import", file.clone()).await;
    let imported: Value = serde_json::from_slice(&imported).unwrap();
    assert_eq!(status, StatusCode::OK, "{imported}");
    assert_eq!((&imported["chunks_taken"], &imported["rejected"]), (&json!(3), &json!([])), "{imported}");
    assert!(imported["accepted"].as_u64() >= Some(2));
    let (_, shown) = ru.get(&format!("/api/v1/records/{id}")).await;
    let attached = shown["references"][0]["record"].as_str().unwrap();
    let (status, received) = ru.bytes(Method::GET, &format!("/api/v1/records/{attached}/content"), Body::empty()).await;
    assert_eq!((status, received == content), (StatusCode::OK, true));
    // The receipt is owed; the way back is a file too.
    let (status, back) =
        ru.bytes(Method::POST, "/api/v1/parcels/export", json!({ "to": "vn-police" }).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(back.len() > 1000);
    // A file that was taken in already does no harm.
    let again = ru.bytes(Method::POST, "/api/v1/parcels/import", file.slice(..file.len() - 1)).await;
    assert_eq!(again.0, StatusCode::BAD_REQUEST);
    assert_eq!(ru.bytes(Method::POST, "/api/v1/parcels/import", file).await.0, StatusCode::OK);
    check_backup(&ru, &ru_dir.path().join("backup")).await;
    ru.end().await;
}

async fn check_backup(node: &Running, to: &Path) {
    let (status, answer) = node.post("/api/v1/backup", &json!({ "path": to })).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert!(answer["bytes"].as_u64() > Some(3 << 20), "the chunks are in it: {answer}");
    assert!(mufakat_store::Reader::open_to_read(&to.join(crate::DATABASE)).is_ok());
    assert_eq!(node.post("/api/v1/backup", &json!({ "path": to })).await.1["reason"], "exists");
    assert_eq!(node.post("/api/v1/backup", &json!({ "path": "backup" })).await.1["reason"], "malformed");
    let within = node.dir.path().join("node/copy");
    assert_eq!(node.post("/api/v1/backup", &json!({ "path": within })).await.1["reason"], "within-the-node");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_community_governs_itself() {
    let (vn, ru) = two().await;
    let (_, keys) = vn.get("/api/v1/keys").await;
    let (status, rotated) = vn.post("/api/v1/keys/rotate", &json!({ "what": "all" })).await;
    assert_eq!(status, StatusCode::OK, "{rotated}");
    assert_eq!((&keys["identity"], keys["signing"][0]["current"].as_bool()), (&rotated["identity"], Some(true)));
    assert_eq!((rotated["signing"].as_array().unwrap().len(), &rotated["signing"][0]["current"]), (2, &json!(false)));
    assert_eq!(vn.post("/api/v1/keys/rotate", &json!({ "what": "none" })).await.0, StatusCode::BAD_REQUEST);

    let id = Running::start("id-coastguard", "id");
    id.until("/api/v1/status", |status| status["phase"] == "waiting").await;
    let asked = json!({ "agency": "id-coastguard", "party": "id", "valid_s": 600 });
    let (status, invited) = vn.post("/api/v1/invitations", &asked).await;
    assert_eq!(status, StatusCode::CREATED, "{invited}");
    let (status, joining) = id.post("/api/v1/join", &json!({ "invitation": invited["invitation"] })).await;
    assert_eq!((status, &joining["community_root_words"]), (StatusCode::ACCEPTED, &invited["words"]));
    vn.until("/api/v1/invitations", |list| list["pending"][0]["agency"] == "id-coastguard").await;
    let (status, proposed) = vn.post("/api/v1/register/propose", &json!({ "admit": ["id-coastguard"] })).await;
    assert_eq!((status, &proposed["enacted"]), (StatusCode::CREATED, &json!(false)), "{proposed}");
    let hash = &proposed["hash"];
    // Proposing approves too, and the approval is a record of its own.
    let open = |register: &Value| register["proposals"][0].clone();
    ru.until("/api/v1/register", |register| open(register)["approvals"] == json!(["vn"])).await;
    assert_eq!(open(&ru.get("/api/v1/register").await.1)["hash"], *hash);
    let (status, approved) = ru.post("/api/v1/register/approve", &json!({ "hash": hash })).await;
    assert_eq!((status, &approved["enacted"]), (StatusCode::OK, &json!(true)), "{approved}");
    vn.until("/api/v1/register", |register| register["version"] == 2).await;
    id.until("/api/v1/status", |status| status["phase"] == "running").await;
    let (_, log) = id.get("/api/v1/register/log").await;
    assert_eq!(log["versions"][1]["approvals"], json!(["ru", "vn"]));
    assert!(log["versions"][1]["issued_at"].is_u64());
    assert_eq!(vn.get("/api/v1/alarms").await.1, json!({ "alarms": [] }));
    for node in [vn, ru, id] {
        node.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agency_changes_its_policy() {
    let (vn, ru) = two().await;
    let (_, shared) = vn.post("/api/v1/records", &envelope("EXERCISE one")).await;
    let id = shared["records"][0]["id"].as_str().unwrap().to_owned();
    let raw = format!("/api/v1/records/{id}/raw");
    let default = vn.get("/api/v1/policy").await.1;
    assert!(default["rules"].as_array().unwrap().iter().all(|rule| rule["default"] == true), "{default}");
    let text =
        r#"@id("stays") @why("EXERCISE nothing leaves") forbid (principal, action == Action::"export", resource);"#;
    let set = |text: &str, tests: Option<&str>| json!({ "name": "nights", "files": [{ "name": "a.cedar", "text": text }], "tests": tests });
    let ending = json!({ "name": "nights", "files": [] });
    let check = async |body: &Value, reason: &str| {
        let (status, problem) = vn.post("/api/v1/policy/sets", body).await;
        assert_eq!((status.as_u16(), &problem["reason"]), (422, &json!(reason)), "{problem}");
        problem
    };
    let flawed = check(&set("\n permit", None), "policy-flawed").await;
    assert_eq!((&flawed["flaws"][0]["file"], &flawed["flaws"][0]["line"]), (&json!("nights/a.cedar"), &json!(2)));
    let untrue =
        "me = \"vn-police\"\n[[case]]\nname = \"x\"\nas = [\"operator\"]\nview = \"inbox\"\nexpect = \"stays\"";
    check(&set(text, Some(untrue)), "policy-untrue").await;
    check(&json!({ "name": "Nights", "files": [] }), "body-not-of-kind").await;

    // What it would change is told, proposing changes nothing, and with the approval it is in force.
    let mut compared = set(text, None);
    compared.as_object_mut().unwrap().remove("tests");
    let (_, differences) = vn.post("/api/v1/policy/diff", &compared).await;
    let exports = |difference: &Value| difference["action"] == "export" && difference["then"] == "stays";
    assert!(differences["changed"].as_u64() > Some(0), "{differences}");
    assert!(differences["differences"].as_array().unwrap().iter().all(exports), "{differences}");
    let (status, proposed) = vn.post("/api/v1/policy/sets", &set(text, None)).await;
    assert_eq!((status, &proposed["in_force"]), (StatusCode::CREATED, &default["hash"]), "{proposed}");
    assert_eq!(vn.bytes(Method::GET, &raw, Body::empty()).await.0, StatusCode::OK);
    let decision = format!("/api/v1/policy/sets/{}/decision", proposed["id"].as_str().unwrap());
    let (status, approved) = vn.post(&decision, &json!({ "decision": "approve" })).await;
    assert_eq!(status, StatusCode::CREATED, "{approved}");
    assert_ne!(approved["in_force"], default["hash"]);
    let (status, problem) = vn.get(&raw).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("stays")), "{problem}");
    let again = vn.post(&decision, &json!({ "decision": "approve" })).await;
    assert_eq!((again.0, &again.1["reason"]), (StatusCode::CONFLICT, &json!("decided")));
    let asked = json!({ "record": id, "action": "export", "as": ["analyst"] });
    let (_, explained) = vn.post("/api/v1/policy/explain", &asked).await;
    assert_eq!((&explained["rules"][0]["name"], &explained["hidden"]), (&json!("stays"), &json!(false)), "{explained}");

    // It outlives the process, and is ended in the same way.
    let (folder, dir) = (vn.dir.path().join("node"), vn.dir);
    vn.stop.send_replace(true);
    tokio::time::timeout(PATIENCE, vn.task).await.unwrap().unwrap().unwrap();
    let (stop, stopped) = watch::channel(false);
    let config = Config::load(&folder).unwrap();
    let task = tokio::spawn(async move { run(&folder, config, stopped).await });
    let vn = Running { dir, card: String::new(), stop, task };
    vn.until("/api/v1/status", |status| status["phase"] == "running").await;
    assert_eq!(vn.get("/api/v1/policy").await.1["hash"], approved["in_force"]);
    assert_eq!(vn.get(&raw).await.0, StatusCode::FORBIDDEN);
    let (_, ended) = vn.post("/api/v1/policy/sets", &ending).await;
    let decision = format!("/api/v1/policy/sets/{}/decision", ended["id"].as_str().unwrap());
    assert_eq!(vn.post(&decision, &json!({ "decision": "approve" })).await.1["in_force"], default["hash"]);
    assert_eq!(vn.bytes(Method::GET, &raw, Body::empty()).await.0, StatusCode::OK);
    let states = vn.get("/api/v1/views/policies?order=oldest").await.1;
    let states: Vec<_> = states["rows"].as_array().unwrap().iter().map(|row| row["body"]["state"].clone()).collect();
    assert_eq!(states, ["replaced", "in-force"]);
    // The refusals stand in the ledger as decisions.
    let (mut events, mut refused) =
        (vn.ask(Method::GET, "/api/v1/events?after=-1", "", Body::empty()).await.unwrap(), 0);
    let found = tokio::time::timeout(PATIENCE, async {
        while refused < 2 {
            let line = events.line(10_000).await.unwrap().expect("the stream goes on");
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let event: Value = serde_json::from_slice(data).unwrap();
            refused += usize::from(event["what"] == "decision" && event["record"] == id);
        }
    });
    found.await.expect("both refusals are told of");
    drop(events);
    vn.end().await;
    ru.end().await;
}
