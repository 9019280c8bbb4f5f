//! Nodes that talk over loopback: who gets in, as whom, and what too much, too slow and too large come to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::routing::{get, post};
use axum::{Router, http::StatusCode};
use futures_util::future::join_all;
use http::{Method, header};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, SignatureScheme, sign::CertifiedKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::flood;
use super::listen::{PeerCounters, PeerLimits, PeerRoutes};
use super::peer_client::{CallLimits, Error, Response};
use super::tls::tests::{lying_leaf, stolen_leaf};
use super::tls::{Leaf, issue_leaf, server_name};
use super::*;

const DAY_S: i64 = 86_400;

/// A register that tests change under way.
#[derive(Default)]
struct Register(Mutex<HashMap<String, [u8; 32]>>);

impl Register {
    fn of(identities: &[&Identity]) -> Arc<Self> {
        let register = Arc::<Self>::default();
        for identity in identities {
            register.set(identity.agency(), Some(identity.public_key()));
        }
        register
    }

    fn set(&self, agency: &str, key: Option<[u8; 32]>) {
        let mut keys = self.0.lock().unwrap();
        match key {
            Some(key) => drop(keys.insert(agency.to_owned(), key)),
            None => drop(keys.remove(agency)),
        }
    }
}

impl Directory for Register {
    fn identity_key(&self, agency: &str) -> Option<[u8; 32]> {
        self.0.lock().unwrap().get(agency).copied()
    }
}

fn identity(agency: &str, seed: u8) -> Identity {
    Identity::from_seed(agency, &[seed; 32]).unwrap()
}

fn leaf_at(identity: &Identity, skew_s: i64) -> Leaf {
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    issue_leaf(identity, now_s.checked_add_signed(skew_s).unwrap()).unwrap()
}

fn client_with(leaf: Leaf, register: &Arc<Register>) -> PeerClient {
    PeerClient::new(ClientTls::new(LeafSlot::new(leaf), register.clone()).unwrap())
}

fn client(identity: &Identity, register: &Arc<Register>) -> PeerClient {
    client_with(leaf_at(identity, 0), register)
}

struct Node {
    address: SocketAddr,
    slot: Arc<LeafSlot>,
    counters: Arc<PeerCounters>,
    stop: watch::Sender<bool>,
    done: JoinHandle<()>,
}

impl Node {
    fn peer(&self, agency: &str) -> Peer {
        Peer { agency: agency.to_owned(), host_port: self.address.to_string() }
    }

    fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::Relaxed)
    }

    fn failed(&self) -> u64 {
        self.counters.handshakes_failed.load(Ordering::Relaxed)
    }
}

async fn whoami(Extension(caller): Extension<Caller>) -> String {
    match caller {
        Caller::Agency(agency) => format!("agency {agency}"),
        Caller::Stranger { agency, key } => format!("stranger {agency} {}", hex::encode(key)),
    }
}

fn routes() -> PeerRoutes {
    let parts = |n: usize| (0..n).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![7; 1_000])));
    PeerRoutes {
        agencies: Router::new()
            .route("/echo", post(|body: Bytes| async { body }))
            .route("/never", get(std::future::pending::<()>))
            .route("/soon", get(|| async { tokio::time::sleep(Duration::from_millis(300)).await }))
            .route("/big", get(|| async { vec![7; 10_000] }))
            .route("/streamed", get(move || async move { Body::from_stream(futures_util::stream::iter(parts(10))) })),
        open: Router::new().route("/whoami", get(whoami)),
    }
}

async fn node_on(address: &str, leaf: Leaf, register: &Arc<Register>, limits: PeerLimits, routes: PeerRoutes) -> Node {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (slot, counters) = (LeafSlot::new(leaf), Arc::<PeerCounters>::default());
    let tls = ServerTls::new(slot.clone(), register.clone()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let server = PeerServer { tls, routes, limits, counters: counters.clone() };
    let done = tokio::spawn(serve_peers(listener, server, stopped));
    Node { address, slot, counters, stop, done }
}

async fn node(identity: &Identity, register: &Arc<Register>) -> Node {
    node_on("127.0.0.1:0", leaf_at(identity, 0), register, PeerLimits::default(), routes()).await
}

async fn node_limited(identity: &Identity, register: &Arc<Register>, limits: PeerLimits) -> Node {
    node_on("127.0.0.1:0", leaf_at(identity, 0), register, limits, routes()).await
}

async fn call(client: &PeerClient, peer: &Peer, path: &str) -> Result<Response, Error> {
    client.request(peer, Method::GET, path, Bytes::new(), &CallLimits::default()).await
}

async fn text(client: &PeerClient, peer: &Peer, path: &str) -> (u16, String) {
    let answer = call(client, peer, path).await.unwrap();
    (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
}

#[track_caller]
fn assert_untrusted(answer: Result<Response, Error>, expect: &str) {
    match answer {
        Err(Error::Handshake { reason, .. }) => assert!(reason.contains(expect), "{reason:?} lacks {expect:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_agencies_talk_over_one_connection() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    let node = node(&beta, &register).await;
    let (client, peer) = (client(&alpha, &register), node.peer("beta"));
    assert_eq!(text(&client, &peer, "/whoami").await, (200, "agency alpha".into()));

    let echo = async |n: u8| {
        let body = Bytes::from(vec![n; 1 << 20]);
        let answer = client.request(&peer, Method::POST, "/echo", body.clone(), &CallLimits::default()).await.unwrap();
        assert_eq!(answer.body, body);
    };
    join_all((0..30).map(echo)).await;
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn whoever_answers_must_be_whom_the_register_says() {
    let (alpha, beta, mallory) = (identity("alpha", 1), identity("beta", 2), identity("beta", 66));
    let servers = Register::of(&[&alpha, &beta]);
    let node = node(&beta, &servers).await;

    let other_key = Register::of(&[&alpha, &mallory]);
    let answer = call(&client(&alpha, &other_key), &node.peer("beta"), "/whoami").await;
    assert_untrusted(answer, "the identity key is not the one that the register has for beta");
    let answer = call(&client(&alpha, &servers), &node.peer("alpha"), "/whoami").await;
    assert_untrusted(answer, "called alpha, but beta answered");
    let answer = call(&client(&alpha, &servers), &node.peer("gamma"), "/whoami").await;
    assert_untrusted(answer, "gamma is not in the register");
    assert_eq!(node.connections(), 0);
}

#[tokio::test]
async fn nobody_comes_in_under_another_agencys_name() {
    let (alpha, beta, mallory) = (identity("alpha", 1), identity("beta", 2), identity("mallory", 66));
    let register = Register::of(&[&alpha, &beta, &mallory]);
    let node = node(&beta, &register).await;
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let lies = [
        lying_leaf(&mallory, "alpha", &mallory.public_key(), now_s),
        lying_leaf(&mallory, "alpha", &alpha.public_key(), now_s),
        stolen_leaf(&leaf_at(&alpha, 0), &leaf_at(&mallory, 0)),
        leaf_at(&alpha, -200 * DAY_S),
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        assert_untrusted(call(&client_with(lie, &register), &node.peer("beta"), "/whoami").await, "it refused us");
        assert_eq!(node.failed(), n as u64 + 1);
    }
    assert_eq!(node.connections(), 0);
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn no_certificate_no_old_tls_and_no_other_protocol() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    let node = node(&beta, &register).await;
    let good = ClientTls::new(LeafSlot::new(leaf_at(&alpha, 0)), register.clone()).unwrap().config();
    let mut nameless = (*good).clone();
    nameless.client_auth_cert_resolver = Arc::new(NoCertificate);
    let mut http1 = (*good).clone();
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut silent = (*good).clone();
    silent.alpn_protocols.clear();
    let old = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();

    let cases = [(*good).clone(), nameless, http1, silent, old];
    for (n, config) in cases.into_iter().enumerate() {
        let tcp = TcpStream::connect(node.address).await.unwrap();
        let name: ServerName<'static> = server_name("beta").unwrap();
        // Whether the client learns of the refusal in the handshake or at its first read is up to TLS.
        let heard = match TlsConnector::from(Arc::new(config)).connect(name, tcp).await {
            Ok(mut stream) => stream.read(&mut [0; 64]).await.unwrap_or(0),
            Err(_) => 0,
        };
        assert_eq!(heard > 0, n == 0, "case {n}");
    }
    assert_eq!((node.connections(), node.failed()), (1, 4));
}

#[tokio::test]
async fn a_stranger_reaches_only_what_is_open_until_the_register_takes_it_in() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let (server, own) = (Register::of(&[&beta]), Register::of(&[&beta]));
    let node = node(&beta, &server).await;
    let (client, peer) = (client(&alpha, &own), node.peer("beta"));
    let as_stranger = format!("stranger alpha {}", hex::encode(alpha.public_key()));
    assert_eq!(text(&client, &peer, "/whoami").await, (200, as_stranger));
    assert_eq!(call(&client, &peer, "/big").await.unwrap().status, StatusCode::NOT_FOUND);

    server.set("alpha", Some(alpha.public_key()));
    assert_eq!(text(&client, &peer, "/whoami").await, (200, "agency alpha".into()));
    assert_eq!(call(&client, &peer, "/big").await.unwrap().status, StatusCode::OK);
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn removal_from_the_register_acts_on_open_connections_in_both_directions() {
    let (alpha, beta, gamma) = (identity("alpha", 1), identity("beta", 2), identity("gamma", 3));
    let register = Register::of(&[&alpha, &beta, &gamma]);
    let own = Register::of(&[&beta]);
    let node = node(&beta, &register).await;
    let (client, other, peer) = (client(&alpha, &own), client(&gamma, &own), node.peer("beta"));
    assert_eq!(text(&client, &peer, "/whoami").await.0, 200);
    assert_eq!(text(&other, &peer, "/whoami").await.0, 200);

    register.set("alpha", None);
    assert_eq!(text(&client, &peer, "/whoami").await.0, 403);
    register.set("alpha", Some([9; 32]));
    assert_eq!(text(&client, &peer, "/whoami").await.0, 403);
    assert_eq!(node.counters.requests_refused.load(Ordering::Relaxed), 2);
    assert_eq!(text(&other, &peer, "/whoami").await.0, 200);
    assert_eq!(node.connections(), 2);

    own.set("beta", None);
    assert_untrusted(call(&other, &peer, "/whoami").await, "beta is not in the register");
    own.set("beta", Some([9; 32]));
    assert_untrusted(call(&client, &peer, "/whoami").await, "the identity key is not the one");
}

#[tokio::test]
async fn clocks_that_are_weeks_off_do_not_part_us() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    for days in [-20, 20] {
        let leaf = leaf_at(&beta, -days * DAY_S);
        let node = node_on("127.0.0.1:0", leaf, &register, PeerLimits::default(), routes()).await;
        let client = client_with(leaf_at(&alpha, days * DAY_S), &register);
        assert_eq!(text(&client, &node.peer("beta"), "/whoami").await.0, 200);
    }
}

#[tokio::test]
async fn who_floods_is_told_to_wait_and_others_are_served() {
    let (alpha, beta, gamma) = (identity("alpha", 1), identity("beta", 2), identity("gamma", 3));
    let register = Register::of(&[&alpha, &beta, &gamma]);
    let flood = Flood::new(flood::Limits { per_second: 0.01, burst: 5.0, in_flight_max: 10 });
    let mut routes = routes();
    routes.open = flood.guard(routes.open);
    let node = node_on("127.0.0.1:0", leaf_at(&beta, 0), &register, PeerLimits::default(), routes).await;
    let (noisy, quiet, peer) = (client(&alpha, &register), client(&gamma, &register), node.peer("beta"));
    let answers = join_all((0..20).map(|_| call(&noisy, &peer, "/whoami"))).await;
    let (served, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().map(Result::unwrap).partition(|answer| answer.status == StatusCode::OK);
    assert_eq!((served.len(), refused.len(), flood.refused()), (5, 15, 15));
    for answer in refused {
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::SERVICE_UNAVAILABLE, &b"overloaded"[..]));
        let wait_s: u64 = answer.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=100).contains(&wait_s), "{wait_s}");
    }
    assert_eq!(text(&quiet, &peer, "/whoami").await.0, 200);
}

#[tokio::test]
async fn handshakes_that_never_end_hold_up_nobody_and_are_cut() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    let limits = PeerLimits { handshake_timeout: Duration::from_millis(500), ..PeerLimits::default() };
    let node = node_limited(&beta, &register, limits).await;
    let mut slow = Vec::new();
    for n in 0..50 {
        let mut tcp = TcpStream::connect(node.address).await.unwrap();
        tcp.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00][..n % 6]).await.unwrap();
        slow.push(tcp);
    }
    assert_eq!(text(&client(&alpha, &register), &node.peer("beta"), "/whoami").await.0, 200);
    assert_eq!(node.failed(), 0, "the request was served while the others were still waiting");
    for mut tcp in slow {
        let cut = tokio::time::timeout(Duration::from_secs(3), async { tcp.read(&mut [0; 16]).await.unwrap_or(0) });
        assert_eq!(cut.await, Ok(0));
    }
    assert_eq!(node.failed(), 50);
}

#[tokio::test]
async fn beyond_the_number_of_connections_or_handshakes_newcomers_are_turned_away() {
    let beta = identity("beta", 2);
    let register = Register::of(&[&beta]);
    let all = PeerLimits { connections_max: 2, ..PeerLimits::default() };
    let shaking = PeerLimits { handshakes_max: 2, ..PeerLimits::default() };
    for limits in [all, shaking] {
        let node = node_limited(&beta, &register, limits).await;
        let _first = TcpStream::connect(node.address).await.unwrap();
        let _second = TcpStream::connect(node.address).await.unwrap();
        let mut third = TcpStream::connect(node.address).await.unwrap();
        let cut = tokio::time::timeout(Duration::from_secs(3), async { third.read(&mut [0; 16]).await.unwrap_or(0) });
        assert_eq!(cut.await, Ok(0));
        assert_eq!(node.counters.connections_over_limit.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn too_many_connections_of_one_agency_are_turned_away_alone() {
    let (alpha, beta, gamma) = (identity("alpha", 1), identity("beta", 2), identity("gamma", 3));
    let register = Register::of(&[&alpha, &beta, &gamma]);
    let limits = PeerLimits { connections_per_agency_max: 1, ..PeerLimits::default() };
    let node = node_limited(&beta, &register, limits).await;
    let peer = node.peer("beta");
    let (first, second, other) = (client(&alpha, &register), client(&alpha, &register), client(&gamma, &register));
    assert_eq!(text(&first, &peer, "/whoami").await.0, 200);
    assert!(matches!(call(&second, &peer, "/whoami").await, Err(Error::Protocol { .. })));
    assert_eq!(text(&other, &peer, "/whoami").await.0, 200);
    assert_eq!(text(&first, &peer, "/whoami").await.0, 200);
    assert!(node.counters.connections_over_limit.load(Ordering::Relaxed) >= 1);
}

#[tokio::test]
async fn a_peer_that_never_answers_costs_no_more_than_the_time_limit() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    let node = node(&beta, &register).await;
    let (client, peer) = (client(&alpha, &register), node.peer("beta"));
    let hasty = CallLimits { total_timeout: Duration::from_millis(200), ..CallLimits::default() };
    let answer = client.request(&peer, Method::GET, "/never", Bytes::new(), &hasty).await;
    assert!(matches!(answer, Err(Error::Timeout { .. })), "{answer:?}");
    assert_eq!(text(&client, &peer, "/whoami").await.0, 200);
    assert_eq!(node.connections(), 1, "one slow answer does not cost the connection");

    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer { agency: "beta".into(), host_port: mute.local_addr().unwrap().to_string() };
    let hasty = CallLimits { connect_timeout: Duration::from_millis(200), ..CallLimits::default() };
    let answer = client.request(&peer, Method::GET, "/whoami", Bytes::new(), &hasty).await;
    assert!(matches!(answer, Err(Error::Timeout { .. })), "{answer:?}");

    let nobody = mute.local_addr().unwrap();
    drop(mute);
    let peer = Peer { agency: "beta".into(), host_port: nobody.to_string() };
    let answer = call(&client, &peer, "/whoami").await;
    assert!(matches!(answer, Err(Error::Connect { .. })), "{answer:?}");
}

#[tokio::test]
async fn answers_that_are_too_large_are_not_taken_in() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    let node = node(&beta, &register).await;
    let (client, peer) = (client(&alpha, &register), node.peer("beta"));
    for path in ["/big", "/streamed"] {
        for (response_bytes_max, expect) in [(9_999, false), (10_000, true)] {
            let limits = CallLimits { response_bytes_max, ..CallLimits::default() };
            match client.request(&peer, Method::GET, path, Bytes::new(), &limits).await {
                Ok(answer) => assert!(expect && answer.body.len() == 10_000, "{path}"),
                Err(Error::TooLarge { bytes_max, .. }) => assert!(!expect && bytes_max == 9_999, "{path}"),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn a_new_certificate_breaks_nothing() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    let old = leaf_at(&beta, -200 * DAY_S);
    let node = node_on("127.0.0.1:0", old, &register, PeerLimits::default(), routes()).await;
    let slot = LeafSlot::new(leaf_at(&alpha, 0));
    let client = PeerClient::new(ClientTls::new(slot.clone(), register.clone()).unwrap());
    let peer = node.peer("beta");
    assert_untrusted(call(&client, &peer, "/whoami").await, "the certificate for beta does not hold");
    node.slot.rotate(leaf_at(&beta, 0));
    assert_eq!(text(&client, &peer, "/whoami").await.0, 200);

    let running = call(&client, &peer, "/soon");
    node.slot.rotate(leaf_at(&beta, 0));
    slot.rotate(leaf_at(&alpha, 0));
    assert_eq!(running.await.unwrap().status, StatusCode::OK);
    assert_eq!(text(&client, &peer, "/whoami").await.0, 200);
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn a_node_that_comes_back_is_found_again() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    let first = node(&beta, &register).await;
    let (client, peer) = (client(&alpha, &register), first.peer("beta"));
    assert_eq!(text(&client, &peer, "/whoami").await.0, 200);

    // What is being answered when the node is told to stop is still answered.
    let running = tokio::spawn({
        let (client, peer) = (client.clone(), peer.clone());
        async move { call(&client, &peer, "/soon").await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    first.stop.send(true).unwrap();
    assert_eq!(running.await.unwrap().unwrap().status, StatusCode::OK);
    first.done.await.unwrap();
    assert!(matches!(call(&client, &peer, "/whoami").await, Err(Error::Connect { .. })));

    let address = peer.host_port.clone();
    let second = node_on(&address, leaf_at(&beta, 0), &register, PeerLimits::default(), routes()).await;
    assert_eq!(text(&client, &peer, "/whoami").await.0, 200);
    assert_eq!(second.connections(), 1);
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    let limits = PeerLimits { idle_timeout: Duration::from_millis(100), ..PeerLimits::default() };
    let node = node_limited(&beta, &register, limits).await;
    let (client, peer) = (client(&alpha, &register), node.peer("beta"));
    assert_eq!(call(&client, &peer, "/soon").await.unwrap().status, StatusCode::OK);
    assert_eq!(node.connections(), 1);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(text(&client, &peer, "/whoami").await.0, 200);
    assert_eq!(node.connections(), 2);
}

#[tokio::test]
async fn a_request_that_takes_too_long_here_is_ended_here() {
    let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
    let register = Register::of(&[&alpha, &beta]);
    let limits = PeerLimits { request_timeout: Duration::from_millis(100), ..PeerLimits::default() };
    let node = node_limited(&beta, &register, limits).await;
    let client = client(&alpha, &register);
    assert_eq!(text(&client, &node.peer("beta"), "/never").await, (408, "too slow".into()));
}

#[tokio::test]
async fn the_operators_listener_speaks_plain_http() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let router = Router::new().route("/healthz", get(|| async { "well" }));
    let done = tokio::spawn(serve_http(listener, router, stopped));
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nwell"), "{answer}");
    drop(stop);
    done.await.unwrap();
}
