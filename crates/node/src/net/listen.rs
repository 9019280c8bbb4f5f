//! The node's listeners: for partners (HTTP/2 over TLS 1.3), for the agency's own commands (Unix socket), and for its
//! operator (HTTP on loopback).
//!
//! Partners are not trusted to be quick, few or polite: each step has a time limit, and each kind of place (handshakes,
//! connections, streams) has a number. Whoever exceeds one is cut; nobody else notices.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::held::hold;
use super::read_out::read_out;
use super::tls::{Caller, Claim, ServerTls};
use super::{H2_CONNECTION_WINDOW_BYTES, H2_FRAME_BYTES_MAX, H2_HEADERS_BYTES_MAX, H2_STREAM_WINDOW_BYTES};

/// Connections on each of the agency's own listeners.
pub const LOCAL_CONNECTIONS_MAX: usize = 256;
/// Connections at the desk's listener.
pub const DESK_CONNECTIONS_MAX: usize = 1_024;
/// How long one of the agency's own clients may take over a request's header.
pub const LOCAL_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the agency's own requests may run on once the node is told to stop.
pub const LOCAL_SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// How long a refused peer may take to read why. Closing at once, with its bytes unread, could destroy the alert.
const LINGER: Duration = Duration::from_millis(500);
/// How long accepting rests after it failed, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a partner's connection is probed, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of the partners' listener.
#[derive(Debug, Clone)]
pub struct PeerLimits {
    /// Connections in all, those in handshake included.
    pub connections_max: usize,
    /// Connections of one agency; all strangers together count as one.
    pub connections_per_agency_max: usize,
    /// Handshakes at the same time.
    pub handshakes_max: usize,
    /// Requests at the same time on one connection.
    pub streams_per_connection_max: u32,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// How long a request may take until its answer begins, the reading of its body included.
    pub request_timeout: Duration,
    /// After how long without a request a connection is closed.
    pub idle_timeout: Duration,
    /// How long requests may run on once the node is told to stop.
    pub shutdown_grace: Duration,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_agency_max: 16,
            handshakes_max: 128,
            streams_per_connection_max: 128,
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(300),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// What the partners' listener has seen since the start.
#[derive(Debug, Default)]
pub struct PeerCounters {
    /// Connections whose handshake succeeded.
    pub connections: AtomicU64,
    /// Connections turned away because a limit was reached.
    pub connections_over_limit: AtomicU64,
    /// Handshakes that failed: no or a wrong certificate, not TLS 1.3, or too slow.
    pub handshakes_failed: AtomicU64,
    /// Requests refused because the register no longer holds the caller as it did at the handshake.
    pub requests_refused: AtomicU64,
}

/// What partners and strangers can reach.
#[derive(Debug, Clone)]
pub struct PeerRoutes {
    /// Routes for agencies of the register. To a stranger they do not exist.
    pub agencies: Router,
    /// Routes for everyone whose certificate holds, strangers included. Without a fallback of their own.
    pub open: Router,
}

/// All that the partners' listener needs. Each request carries its [`Caller`] as an extension.
#[derive(Clone)]
pub struct PeerServer {
    /// Our certificate, and who may come in.
    pub tls: ServerTls,
    /// What they reach.
    pub routes: PeerRoutes,
    /// How much of it.
    pub limits: PeerLimits,
    /// What has happened.
    pub counters: Arc<PeerCounters>,
}

/// Serves partners until `stop` becomes true (or its sender is gone), and then until the requests at hand are answered.
pub async fn serve_peers(listener: TcpListener, server: PeerServer, stop: watch::Receiver<bool>) {
    let hall = Arc::new(Hall {
        all: server.routes.open.clone().merge(server.routes.agencies),
        open: server.routes.open,
        acceptor: TlsAcceptor::from(server.tls.config()),
        tls: server.tls,
        handshakes: Semaphore::new(server.limits.handshakes_max),
        open_connections: Mutex::default(),
        http: peer_http(&server.limits),
        limits: server.limits,
        counters: server.counters,
    });
    let (limits, counters) = (hall.limits.clone(), hall.counters.clone());
    let turned_away = || {
        counters.connections_over_limit.fetch_add(1, Ordering::Relaxed);
    };
    let serve = |tcp| serve_peer(hall.clone(), tcp, stop.clone());
    accept_all(listener, serve, limits.connections_max, turned_away, stop.clone(), limits.shutdown_grace).await;
}

/// Serves the agency's own commands on a Unix socket that only its own user can open.
pub async fn serve_local(listener: UnixListener, router: Router, stop: watch::Receiver<bool>) {
    serve_plain(listener, router, stop).await;
}

/// Serves the operator over plain HTTP; for loopback addresses only.
pub async fn serve_http(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    serve_plain(listener, router, stop).await;
}

/// Serves officers' browsers and programs, over TLS if there is an acceptor. `know` puts into each request where it comes from.
pub async fn serve_desk(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    know: fn(&mut Request<Body>, std::net::IpAddr),
    stop: watch::Receiver<bool>,
) {
    let http = Arc::new(plain_http());
    let serve = |socket: TcpStream| {
        let (http, router, acceptor, mut stop) = (http.clone(), router.clone(), acceptor.clone(), stop.clone());
        async move {
            let Ok(address) = socket.peer_addr().map(|address| address.ip()) else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let mut request = request.map(|body| read_out(Body::new(body)));
                know(&mut request, address);
                router.clone().oneshot(request)
            });
            let Some(acceptor) = acceptor else {
                return drive(&http, socket, service, stopped(&mut stop), LOCAL_SHUTDOWN_GRACE).await;
            };
            match timeout(LOCAL_HEADER_TIMEOUT, acceptor.accept(socket)).await {
                Ok(Ok(stream)) => drive(&http, stream, service, stopped(&mut stop), LOCAL_SHUTDOWN_GRACE).await,
                Ok(Err(error)) => tracing::debug!(%error, "a handshake at the desk failed"),
                Err(_) => tracing::debug!("a handshake at the desk took too long"),
            }
        }
    };
    let turned_away = || tracing::warn!("too many connections at the desk");
    accept_all(listener, serve, DESK_CONNECTIONS_MAX, turned_away, stop.clone(), LOCAL_SHUTDOWN_GRACE).await;
}

/// Opens the Unix socket at `path`, readable and writable by this user alone (0600).
///
/// A socket that a dead process left is replaced; one on which somebody still answers is not (`AddrInUse`), nor is a file
/// of another sort (`AlreadyExists`). The socket is made in a folder that nobody else can enter and only then moved to
/// its place, so that there is no moment at which others could open it.
pub fn bind_local(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = parent.join(format!(".s{}", std::process::id()));
    let fresh = folder.join("s");
    DirBuilder::new().mode(0o700).create(&folder)?;
    let bound = UnixListener::bind(&fresh).and_then(|listener| {
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
        std::fs::rename(&fresh, path)?;
        Ok(listener)
    });
    if bound.is_err() {
        // The first error says what is wrong; that nothing was there to remove does not.
        let _ = std::fs::remove_file(&fresh);
    }
    std::fs::remove_dir(&folder)?;
    bound
}

/// Resolves when `stop` becomes true or its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A missing sender means that whoever could have asked for more service is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What connections come from.
trait Door: Send + Sync + 'static {
    type Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection. Safe to drop and ask again.
    fn next(&self) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}

impl Door for TcpListener {
    type Socket = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        let (tcp, _from) = self.accept().await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }
}

impl Door for UnixListener {
    type Socket = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        let (socket, _from) = self.accept().await?;
        Ok(socket)
    }
}

/// Accepts until told to stop, with at most `connections_max` at the same time, then waits for those at hand.
async fn accept_all<D: Door, T>(
    door: D,
    serve: impl Fn(D::Socket) -> T,
    connections_max: usize,
    turned_away: impl Fn(),
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) where
    T: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = door.next() => match accepted {
                Ok(socket) => {
                    while connections.try_join_next().is_some() {} // Those that have ended do not count.
                    if connections.len() < connections_max {
                        connections.spawn(serve(socket));
                    } else {
                        turned_away();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(door);
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(grace, rest).await.is_err() {
        connections.shutdown().await;
    }
}

/// HTTP for the agency's own people and programs.
fn plain_http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(LOCAL_HEADER_TIMEOUT);
    http.http2().timer(TokioTimer::new()).max_header_list_size(H2_HEADERS_BYTES_MAX);
    http
}

async fn serve_plain<D: Door>(door: D, router: Router, stop: watch::Receiver<bool>) {
    let http = Arc::new(plain_http());
    let serve = |socket: D::Socket| {
        let (http, router, mut stop) = (http.clone(), router.clone(), stop.clone());
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                router.clone().oneshot(request.map(|body| read_out(Body::new(body))))
            });
            drive(&http, socket, service, stopped(&mut stop), LOCAL_SHUTDOWN_GRACE).await;
        }
    };
    let turned_away = || tracing::warn!("too many connections on one of the agency's own listeners");
    accept_all(door, serve, LOCAL_CONNECTIONS_MAX, turned_away, stop.clone(), LOCAL_SHUTDOWN_GRACE).await;
}

/// Serves one connection until it ends or `leave` resolves; then the requests at hand have `grace`.
async fn drive<S, V>(
    http: &auto::Builder<TokioExecutor>,
    io: S,
    service: V,
    leave: impl Future<Output = ()>,
    grace: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + 'static,
    V::Future: Send + 'static,
{
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = leave => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            // What has not ended by then is cut when the connection is dropped.
            timeout(grace, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended early");
    }
}

/// What the connections of partners share.
struct Hall {
    acceptor: TlsAcceptor,
    tls: ServerTls,
    all: Router,
    open: Router,
    handshakes: Semaphore,
    open_connections: Mutex<HashMap<String, usize>>,
    http: auto::Builder<TokioExecutor>,
    limits: PeerLimits,
    counters: Arc<PeerCounters>,
}

fn peer_http(limits: &PeerLimits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new()).http2_only();
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_frame_size(H2_FRAME_BYTES_MAX)
        .max_header_list_size(H2_HEADERS_BYTES_MAX)
        .max_concurrent_streams(limits.streams_per_connection_max)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

async fn serve_peer(hall: Arc<Hall>, tcp: TcpStream, mut stop: watch::Receiver<bool>) {
    let Ok(handshake) = hall.handshakes.try_acquire() else {
        hall.counters.connections_over_limit.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let (stream, claim, caller) = match shake_hands(&hall, tcp).await {
        Ok(known) => known,
        Err(refused) => {
            hall.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            if let Some(tcp) = refused {
                linger(tcp).await;
            }
            return;
        }
    };
    drop(handshake);
    let Some(seat) = Seat::take(&hall, &caller) else {
        hall.counters.connections_over_limit.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(agency = claim.agency, "too many connections");
        return;
    };
    hall.counters.connections.fetch_add(1, Ordering::Relaxed);
    let limits = hall.limits.clone();
    let visit = Arc::new(Visit {
        was_agency: matches!(caller, Caller::Agency(_)),
        requests: AtomicU64::new(0),
        hall: seat.hall.clone(),
        claim,
    });
    let leave = async {
        tokio::select! {
            () = stopped(&mut stop) => {}
            () = visit.idle(limits.idle_timeout) => {}
        }
    };
    let service = service_fn({
        let visit = visit.clone();
        move |request| answer(visit.clone(), request)
    });
    drive(&hall.http, stream, service, leave, limits.shutdown_grace).await;
    drop(seat);
}

/// TLS, and who it is; or the connection of one who was refused and may still read why.
async fn shake_hands(hall: &Hall, tcp: TcpStream) -> Result<(TlsStream<TcpStream>, Claim, Caller), Option<TcpStream>> {
    let stream = match timeout(hall.limits.handshake_timeout, hall.acceptor.accept(tcp).into_fallible()).await {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, tcp))) => {
            tracing::debug!(%error, "a handshake was refused");
            return Err(Some(tcp));
        }
        Err(_) => {
            tracing::debug!("a handshake took too long");
            return Err(None);
        }
    };
    let connection = stream.get_ref().1;
    // Only h2 is offered; a client without ALPN would not know what to speak.
    connection.alpn_protocol().ok_or(None)?;
    let claim = hall.tls.claim_of(connection).ok_or(None)?;
    let caller = hall.tls.caller_of(connection).ok_or(None)?;
    Ok((stream, claim, caller))
}

async fn linger(mut tcp: TcpStream) {
    let read_out = async {
        let mut sink = [0; 1024];
        tcp.shutdown().await?;
        while tcp.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the peer was still there does not matter: it has been refused.
    let _ = timeout(LINGER, read_out).await;
}

/// A place among the connections of one agency; given back when dropped.
struct Seat {
    hall: Arc<Hall>,
    name: String,
}

impl Seat {
    fn take(hall: &Arc<Hall>, caller: &Caller) -> Option<Self> {
        let name = match caller {
            Caller::Agency(agency) => agency.clone(),
            Caller::Stranger { .. } => String::new(),
        };
        let mut open = hall.open_connections.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(name.clone()).or_default();
        if *count >= hall.limits.connections_per_agency_max {
            return None;
        }
        *count += 1;
        Some(Self { hall: hall.clone(), name })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.hall.open_connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.name);
            }
        }
    }
}

/// One connection of a partner.
struct Visit {
    hall: Arc<Hall>,
    claim: Claim,
    was_agency: bool,
    /// Requests so far. Those in flight are counted by the references to this visit.
    requests: AtomicU64,
}

impl Visit {
    /// Resolves after a whole period in which no request began or was still being answered.
    async fn idle(self: &Arc<Self>, period: Duration) {
        // The connection's own references: the one that this is called on and the one in its service.
        const AT_REST: usize = 2;
        loop {
            let before = self.requests.load(Ordering::Relaxed);
            sleep(period).await;
            if self.requests.load(Ordering::Relaxed) == before && Arc::strong_count(self) <= AT_REST {
                return;
            }
        }
    }

    /// Who calls, by the register as it is at this moment; nobody, if it no longer holds them as at the handshake. A
    /// stranger whom the register has taken in meanwhile is an agency from now on.
    fn caller(&self) -> Option<Caller> {
        let caller = self.claim.caller(self.hall.tls.directory()).ok()?;
        let removed = self.was_agency && matches!(caller, Caller::Stranger { .. });
        (!removed).then_some(caller)
    }
}

async fn answer(visit: Arc<Visit>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let hall = &visit.hall;
    visit.requests.fetch_add(1, Ordering::Relaxed);
    let Some(caller) = visit.caller() else {
        hall.counters.requests_refused.fetch_add(1, Ordering::Relaxed);
        return Ok(plain(StatusCode::FORBIDDEN, "not in the register"));
    };
    let router = match caller {
        Caller::Agency(_) => hall.all.clone(),
        Caller::Stranger { .. } => hall.open.clone(),
    };
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(caller);
    let response = match timeout(hall.limits.request_timeout, router.oneshot(request)).await {
        Ok(Ok(response)) => response,
        Err(_) => plain(StatusCode::REQUEST_TIMEOUT, "too slow"),
    };
    Ok(hold(response, visit))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
