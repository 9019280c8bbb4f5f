//! Attachments between whole nodes: straight from the author, and through a relay while the author or the recipient is away.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::files::check_chunks;
use super::tests::left;
use crate::config::{Agency, Config, Listen};
use crate::net::free_address;
use crate::net::local_client::{body_from_reader, request};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agency with its folder, whether its node runs or not.
struct Place {
    dir: TempDir,
    config: Config,
    card: String,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Place {
    fn new(id: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = free_address().unwrap();
        let agency = Agency {
            id: id.parse().unwrap(),
            party: format!("p-{id}").parse().unwrap(),
            name: "EXERCISE".to_owned(),
            party_name: None,
            endpoint: address.to_string(),
            relay: id == "hub",
        };
        let config = Config { listen: Listen { peers: address, ops: None }, ..Config::new(agency) };
        let card = crate::init(dir.path(), &config).unwrap().card;
        Self { dir, config, card, running: None }
    }

    fn start(&mut self) {
        let (stop, stopped) = watch::channel(false);
        let (dir, config) = (self.dir.path().to_owned(), self.config.clone());
        let run = async move { crate::run(&dir, config, stopped).await.unwrap() };
        self.running = Some((stop, tokio::spawn(run)));
    }

    async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.send_replace(true);
        task.await.unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join(crate::SOCKET)
    }

    /// Calls the node; a node that does not answer yet is waited for.
    async fn call(&self, method: Method, path: &str, body: &[u8]) -> (StatusCode, Bytes) {
        let json = (body.first() == Some(&b'{')).then_some("application/json");
        for _ in 0..600 {
            let body = Body::from(body.to_vec());
            if let Ok(answer) = request(&self.socket(), method.clone(), path, json, body).await {
                let status = answer.status;
                if let Ok(bytes) = answer.bytes(64 << 20).await {
                    return (status, bytes);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} does not answer", self.config.agency.id);
    }

    async fn expect(&self, method: Method, path: &str, body: &[u8]) -> Bytes {
        let (status, answer) = self.call(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&answer));
        answer
    }

    /// Uploads a file and shares it; gives the ids of the records.
    async fn share(&self, content: &[u8], to: &str) -> Vec<String> {
        let path = "/api/v1/attachments?name=EXERCISE.bin&media_type=application/octet-stream";
        let upload: Value = serde_json::from_slice(&self.expect(Method::POST, path, content).await).unwrap();
        let envelope = json!({
            "to": [to], "tlp": "AMBER", "attachments": [upload["upload"]], "body": { "title": "EXERCISE attachment" },
        });
        let shared = self.expect(Method::POST, "/api/v1/records", envelope.to_string().as_bytes()).await;
        let shared: Value = serde_json::from_slice(&shared).unwrap();
        shared["records"].as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the content of one of the records is here, which is then the attachment.
    async fn content(&self, records: &[String]) -> Vec<u8> {
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut last = String::new();
        while tokio::time::Instant::now() < until {
            for record in records {
                let (status, body) = self.call(Method::GET, &format!("/api/v1/records/{record}/content"), b"").await;
                if status.is_success() {
                    return body.to_vec();
                }
                last = String::from_utf8_lossy(&body).into_owned();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the content does not come: {last}");
    }
}

/// A community of an author, a relay and a recipient, all running.
async fn community() -> [Place; 3] {
    let mut places = ["author", "hub", "recipient"].map(Place::new);
    places.iter_mut().for_each(Place::start);
    let cards = [&places[1].card, &places[2].card];
    let founding = json!({ "community": "EXERCISE", "cards": cards, "threshold": 1, "relays": ["hub"] });
    let path = "/api/v1/register/found";
    let mut file = places[0].expect(Method::POST, path, founding.to_string().as_bytes()).await;
    for place in &places[1..] {
        file = place.expect(Method::POST, "/api/v1/register/approve", &file).await;
    }
    // The complete file goes back to those who approved before it was.
    for place in &places[..2] {
        place.expect(Method::POST, "/api/v1/register/approve", &file).await;
    }
    for place in &places {
        until(async || {
            let (_, status) = place.call(Method::GET, "/api/v1/status", b"").await;
            serde_json::from_slice::<Value>(&status).is_ok_and(|status| status["phase"] == "running")
        })
        .await;
    }
    places
}

async fn until(holds: impl AsyncFn() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "it does not come to pass");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn content(seed: u8) -> Vec<u8> {
    (0..2_700_000_u32).map(|i| (i % 249) as u8 ^ seed).collect()
}

fn chunk_files(place: &Place) -> usize {
    left(place.dir.path()).iter().filter(|path| path.starts_with("chunks/") && path.len() > 70).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_comes_straight_and_through_a_relay() {
    let [mut author, mut hub, mut recipient] = community().await;
    let records = author.share(&content(1), "recipient").await;
    assert!(recipient.content(&records).await == content(1));
    assert!(author.content(&records).await == content(1));
    assert_eq!(chunk_files(&hub), 0);

    // While the recipient is away the relay keeps the chunks, and then the author goes.
    recipient.stop().await;
    let records = author.share(&content(2), "recipient").await;
    until(async || chunk_files(&hub) == 3).await;
    let named: Vec<_> = left(hub.dir.path()).into_iter().filter(|path| path.starts_with("chunks/")).collect();
    assert!(named.iter().all(|path| left(author.dir.path()).contains(path)));
    author.stop().await;
    recipient.start();
    assert!(recipient.content(&records).await == content(2));
    recipient.stop().await;
    hub.stop().await;
    for place in [&author, &hub, &recipient] {
        assert!(check_chunks(place.dir.path()).is_empty());
    }
    assert_eq!((chunk_files(&author), chunk_files(&hub), chunk_files(&recipient)), (6, 3, 6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_at_the_socket_leaves_nothing() {
    let [mut author, hub, recipient] = community().await;
    let (mut sender, reader) = tokio::io::duplex(1 << 16);
    let path = "/api/v1/attachments?name=EXERCISE.bin&media_type=application/octet-stream";
    let socket = author.socket();
    let sending =
        tokio::spawn(async move { request(&socket, Method::POST, path, None, body_from_reader(reader)).await.is_ok() });
    tokio::io::AsyncWriteExt::write_all(&mut sender, &content(3)).await.unwrap();
    until(async || chunk_files(&author) == 2).await;
    // The connection closes in the middle of the body.
    sending.abort();
    assert!(sending.await.is_err());
    until(async || chunk_files(&author) == 0).await;
    drop(sender);
    author.stop().await;
    drop((hub, recipient));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chunks_of_an_erased_attachment_are_deleted() {
    let [mut author, hub, mut recipient] = community().await;
    let kept = author.share(&content(4), "recipient").await;
    let erased = author.share(&content(5), "recipient").await;
    assert!(recipient.content(&kept).await == content(4));
    assert!(recipient.content(&erased).await == content(5));
    assert_eq!(chunk_files(&recipient), 6);
    // The attachment's own record is taken back; by default its recipient deletes it.
    let attachment = erased.last().unwrap();
    let why = json!({ "reason": "EXERCISE" }).to_string();
    author.expect(Method::POST, &format!("/api/v1/records/{attachment}/retract"), why.as_bytes()).await;
    let path = format!("/api/v1/records/{attachment}/content");
    until(async || recipient.call(Method::GET, &path, b"").await.0 == StatusCode::GONE).await;
    recipient.stop().await;
    recipient.start();
    until(async || chunk_files(&recipient) == 3).await;
    assert!(recipient.content(&kept).await == content(4));
    // What an author promised to its audience stays at hand.
    assert_eq!(chunk_files(&author), 6);
    recipient.stop().await;
    author.stop().await;
    drop(hub);
}
