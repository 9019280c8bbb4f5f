//! Trouble that is nobody's malice: slow and silent peers, a full disk, a second process, a wrong clock.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mufakat_record::Reason;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::stage::{ATTACKER, Members, OTHER, Stage, VICTIM};
use super::{no, receipt, refused};
use crate::net::listen::{PeerCounters, PeerLimits, PeerRoutes};
use crate::net::{ClientTls, LeafSlot, PeerServer, ServerTls, serve_peers, tls};
use crate::{Error, clock, run};

/// How long the listener of this test waits for a request.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_body_that_drips_is_cut() {
    let stage = Stage::set(false);
    let members = Arc::new(Members(stage.chain.clone()));
    let leaf = |id: &str| {
        let identity = tls::Identity::from_seed(id, stage.member(id).keyring.identity().seed()).unwrap();
        LeafSlot::new(tls::issue_leaf(&identity, clock::now_s()).unwrap())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = Router::new().route("/echo", post(|body: Bytes| async { body }));
    let server = PeerServer {
        tls: ServerTls::new(leaf(VICTIM), members.clone()).unwrap(),
        routes: PeerRoutes { agencies: echo, open: Router::new() },
        limits: PeerLimits { request_timeout: REQUEST_TIMEOUT, ..PeerLimits::default() },
        counters: Arc::new(PeerCounters::default()),
    };
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(serve_peers(listener, server, stopped));

    let connector = TlsConnector::from(ClientTls::new(leaf(ATTACKER), members).unwrap().config());
    let tcp = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect(tls::server_name(VICTIM).unwrap(), tcp).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // One byte at a time, in a time that would suffice if each were counted alone.
    let drip = futures_util::stream::unfold(0, |sent| async move {
        tokio::time::sleep(REQUEST_TIMEOUT / 10).await;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), sent + 1))
    });
    let request = Request::builder().method(Method::POST).uri("https://id-coastguard/echo");
    let request = request.body(BodyExt::boxed_unsync(StreamBody::new(drip))).unwrap();
    let began = std::time::Instant::now();
    let answer = tokio::time::timeout(REQUEST_TIMEOUT * 10, sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert!(began.elapsed() >= REQUEST_TIMEOUT);
    // The connection is still of use.
    let whole = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"whole")))]);
    let request = Request::builder().method(Method::POST).uri("https://id-coastguard/echo");
    let request = request.body(BodyExt::boxed_unsync(StreamBody::new(whole))).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
}

fn report(to: &[&str], number: usize, bytes: usize) -> Value {
    json!({"to": to, "tlp": "AMBER", "body": {"title": format!("EXERCISE {number}"), "text": "x".repeat(bytes)}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_answers_keeps_nothing_from_the_others() {
    let mut stage = Stage::set(false);
    let mute = TcpListener::bind(stage.config(ATTACKER).listen.peers).await.unwrap();
    let (accepted, heard) = watch::channel(0);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((tcp, _)) = mute.accept().await {
            kept.push(tcp);
            accepted.send_replace(kept.len());
        }
    });
    let (victim, other) = (stage.serve(VICTIM).await, stage.serve(OTHER).await);
    let mut ids = Vec::new();
    for number in 0..20 {
        let (status, shared) = victim.post("/api/v1/records", &report(&[ATTACKER, OTHER], number, 10)).await;
        assert_eq!(status, StatusCode::CREATED, "{shared}");
        ids.push(shared["records"][0]["id"].as_str().unwrap().to_owned());
    }
    let all = |page: &Value| page["rows"].as_array().is_some_and(|rows| rows.len() == 20);
    other.until("/api/v1/views/inbox", all).await;
    let path = format!("/api/v1/records/{}/track", ids[19]);
    let track = victim
        .until(&path, |track| {
            let recipients = track["recipients"].as_array().into_iter().flatten();
            recipients.filter(|one| one["agency"] == OTHER).any(|one| one["state"] == "accepted")
        })
        .await;
    let silent = track["recipients"].as_array().unwrap().iter().find(|one| one["agency"] == ATTACKER).unwrap();
    assert_eq!(silent["state"], "queued", "visible as what it is");
    assert!(*heard.borrow() > 0, "the silent one was called");
    victim.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_stays_readable_and_recovers() {
    let mut stage = Stage::set(false);
    let file = stage.dir(VICTIM).join(crate::DATABASE);
    stage.config(VICTIM).store.max_bytes = Some(std::fs::metadata(file).unwrap().len() + (256 << 10));
    let (victim, attacker) = (stage.serve(VICTIM).await, stage.member(ATTACKER));
    let key = attacker.greet().await;
    let mut taken = Vec::new();
    let refusal = loop {
        let (status, answer) = victim.post("/api/v1/records", &report(&[OTHER], taken.len(), 8_000)).await;
        if status != StatusCode::CREATED {
            break (status, answer);
        }
        taken.push(answer["records"][0]["id"].as_str().unwrap().to_owned());
        assert!(taken.len() < 1_000, "the cap does not hold");
    };
    assert_eq!(refusal.0, StatusCode::INSUFFICIENT_STORAGE, "{}", refusal.1);
    assert_eq!(refusal.1["reason"], "storage-full");
    assert!(!taken.is_empty());
    // What the node notes meanwhile may be small enough to find room, which resets the gauge until the next refusal.
    let mut tries = 0;
    while victim.metric("mufakat_storage_full").await != 1.0 {
        let (status, _) = victim.post("/api/v1/records", &report(&[OTHER], 0, 8_000)).await;
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
        tries += 1;
        assert!(tries < 20, "refusals are not shown");
    }
    // Small things may still find room in pages that are half full; what is large does not.
    let large: Vec<_> = (0..8)
        .map(|number| {
            attacker.record_with(VICTIM, number, |header| {
                header.handling.caveat = Some("x".repeat(400));
            })
        })
        .collect();
    let mut position = 1;
    let answer = loop {
        let answer = attacker.post("parcel", attacker.seal(attacker.outer(VICTIM, position), &large, &key)).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        position += large.len() as u64;
        assert!(position < 10_000, "the cap does not hold");
    };
    assert_eq!(refused(&answer), no(507, Reason::StorageFull));
    assert_eq!(victim.rejected("storage-full").await, 1.0);
    // What is here can be read.
    let (status, page) = victim.get("/api/v1/views/track").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!page["rows"].as_array().unwrap().is_empty());
    assert_eq!(victim.get("/api/v1/status").await.0, StatusCode::OK);
    // Each reading is noted in the ledger, and goes on when there is no room for the note.
    for id in taken.iter().cycle().take(400) {
        let (status, read) = victim.get(&format!("/api/v1/records/{id}")).await;
        assert_eq!(status, StatusCode::OK, "{read}");
    }
    victim.end().await;

    stage.config(VICTIM).store.max_bytes = None;
    let victim = stage.serve(VICTIM).await;
    assert_eq!(victim.post("/api/v1/records", &report(&[OTHER], 0, 8_000)).await.0, StatusCode::CREATED);
    let parcel = attacker.seal(attacker.outer(VICTIM, position), &large, &key);
    assert_eq!(receipt(&attacker.post("parcel", parcel).await).entries.len(), large.len());
    assert_eq!(victim.metric("mufakat_storage_full").await, 0.0);
    let (status, read) = victim.get(&format!("/api/v1/records/{}", taken[0])).await;
    assert_eq!(status, StatusCode::OK, "{read}");
    victim.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_folder_is_refused() {
    let mut stage = Stage::set(false);
    let victim = stage.serve(VICTIM).await;
    let (_stop, stopped) = watch::channel(false);
    let second = run(&stage.dir(VICTIM), stage.config(VICTIM).clone(), stopped).await;
    assert!(matches!(second, Err(Error::Store(mufakat_store::Error::Locked(_)))), "{second:?}");
    assert_eq!(victim.get("/api/v1/status").await.0, StatusCode::OK);
    victim.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_day_off_is_shown_and_not_punished() {
    let stage = Stage::set(false);
    let (victim, attacker) = (stage.serve(VICTIM).await, stage.member(ATTACKER));
    let key = attacker.greet().await;
    for (position, days) in [(1, -1_i64), (2, 1)] {
        let record = attacker.record_with(VICTIM, 1, |header| {
            header.issued_at = header.issued_at.checked_add_signed(days * 86_400).unwrap();
        });
        let parcel = attacker.seal(attacker.outer(VICTIM, position), &[record], &key);
        assert_eq!(receipt(&attacker.post("parcel", parcel).await).entries[0].rejected, None);
        let rows = victim.get("/api/v1/views/inbox?order=oldest").await.1;
        let shown = rows["rows"][position as usize - 1]["body"]["skew_s"].as_i64().unwrap();
        assert!((shown - days * 86_400).abs() < 60, "{shown}");
    }
    let metric = victim.metric("mufakat_clock_skew_seconds{partner=\"ru-police\"}").await;
    assert!((metric - 86_400.0).abs() < 60.0, "{metric}");
    victim.end().await;
}
