//! Requests to partners: one HTTP/2 connection to each, shared by all requests to it, opened anew when it breaks.
//!
//! Each call has a time limit and a limit on its answer's size, and its error says what the caller's next step depends
//! on: nobody there, somebody else there, too slow, too large, or not speaking our protocol. Whether to try again later
//! is the caller's decision.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex as SyncMutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{self, ClientTls};
use super::{H2_CONNECTION_WINDOW_BYTES, H2_FRAME_BYTES_MAX, H2_HEADERS_BYTES_MAX, H2_STREAM_WINDOW_BYTES};

/// How often an open connection is probed, and how long the answer may take until it counts as broken.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that never left, because the connection had just been closed, is sent once more on a new one.
const ATTEMPTS: usize = 2;

/// A partner, as the register describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The agency's id.
    pub agency: String,
    /// Where its node listens for partners: a name or address, a colon, a port.
    pub host_port: String,
}

/// The limits of one call.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// How long the whole call may take, connecting included.
    pub total_timeout: Duration,
    /// The largest acceptable body of an answer.
    pub response_bytes_max: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(60),
            response_bytes_max: 4 << 20,
        }
    }
}

/// A partner's answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers at that address.
    #[error("cannot reach {agency}: {source}")]
    Connect {
        /// The agency that was called.
        agency: String,
        /// What the network says.
        source: io::Error,
    },
    /// The peer is not who the register says, or says that of us.
    #[error("no trust between us and {agency}: {reason}")]
    Handshake {
        /// The agency that was called.
        agency: String,
        /// Which side refused, and why.
        reason: String,
    },
    /// The limits of time were reached.
    #[error("{agency} took too long")]
    Timeout {
        /// The agency that was called.
        agency: String,
    },
    /// The answer is larger than accepted.
    #[error("the answer of {agency} is larger than {bytes_max} bytes")]
    TooLarge {
        /// The agency that was called.
        agency: String,
        /// The limit.
        bytes_max: usize,
    },
    /// The connection broke in the middle, or the peer does not keep to HTTP/2.
    #[error("the connection to {agency} failed: {reason}")]
    Protocol {
        /// The agency that was called.
        agency: String,
        /// What happened.
        reason: String,
    },
}

/// One for the whole node. Clones share the connections.
#[derive(Clone)]
pub struct PeerClient {
    tls: ClientTls,
    lines: Arc<SyncMutex<HashMap<String, Arc<Line>>>>,
}

/// The connection to one agency. Whoever finds it broken opens the next while the others wait for it.
type Line = Mutex<Option<Open>>;

#[derive(Clone)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    host_port: String,
    /// The identity key that the register had for the peer when the connection was opened.
    key: [u8; 32],
    refusal: Refusal,
}

/// What TLS said when it ended a connection. HTTP/2 above it does not always pass this on.
type Refusal = Arc<OnceLock<String>>;

impl PeerClient {
    /// A client with no connection yet.
    pub fn new(tls: ClientTls) -> Self {
        Self { tls, lines: Arc::default() }
    }

    /// One request and its whole answer. `path` begins with `/` and may have a query; a body that is not empty is
    /// declared as CBOR.
    pub async fn request(
        &self,
        peer: &Peer,
        method: Method,
        path: &str,
        body: Bytes,
        limits: &CallLimits,
    ) -> Result<Response, Error> {
        let call = self.call(peer, method, path, body, limits);
        timeout(limits.total_timeout, call)
            .await
            .unwrap_or_else(|_| Err(Error::Timeout { agency: peer.agency.clone() }))
    }

    async fn call(
        &self,
        peer: &Peer,
        method: Method,
        path: &str,
        body: Bytes,
        limits: &CallLimits,
    ) -> Result<Response, Error> {
        let mut request = build(peer, method, path, body)?;
        for attempt in 1.. {
            let mut open = self.open(peer, limits).await?;
            let mut failed = match open.sender.try_send_request(request).await {
                Ok(response) => return receive(peer, response, limits, &open.refusal).await,
                Err(failed) => failed,
            };
            match failed.take_message() {
                Some(unsent) if attempt < ATTEMPTS && open.refusal.get().is_none() => request = unsent,
                _ => return Err(broken(peer, &failed.into_error(), &open.refusal)),
            }
        }
        unreachable!("the loop ends by returning in its last attempt")
    }

    /// The open connection to this peer, or a new one.
    async fn open(&self, peer: &Peer, limits: &CallLimits) -> Result<Open, Error> {
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.entry(peer.agency.clone()).or_default().clone()
        };
        let mut line = line.lock().await;
        // An agency that leaves the register, or changes its identity key, is not talked to on an old connection.
        let Some(key) = self.tls.directory().identity_key(&peer.agency) else {
            *line = None;
            return Err(untrusted(peer, &tls::Error::NotInRegister(peer.agency.clone())));
        };
        if let Some(open) = &*line
            && !open.sender.is_closed()
            && open.host_port == peer.host_port
            && open.key == key
        {
            return Ok(open.clone());
        }
        *line = None;
        let connecting = self.connect(peer, key);
        let open = timeout(limits.connect_timeout, connecting)
            .await
            .unwrap_or_else(|_| Err(Error::Timeout { agency: peer.agency.clone() }))?;
        Ok(line.insert(open).clone())
    }

    async fn connect(&self, peer: &Peer, key: [u8; 32]) -> Result<Open, Error> {
        let unreachable = |source| Error::Connect { agency: peer.agency.clone(), source };
        let name = tls::server_name(&peer.agency).map_err(|e| untrusted(peer, &e))?;
        let tcp = TcpStream::connect(&peer.host_port).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let stream = match TlsConnector::from(self.tls.config()).connect(name, tcp).await {
            Ok(stream) => stream,
            Err(e) => return Err(tls_reason(&e).map_or_else(|| unreachable(e), |reason| refused(peer, reason))),
        };
        let refusal = Refusal::default();
        let watched = Watched { stream, refusal: refusal.clone() };
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
            .max_frame_size(H2_FRAME_BYTES_MAX)
            .max_header_list_size(H2_HEADERS_BYTES_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(watched))
            .await
            .map_err(|e| broken(peer, &e, &refusal))?;
        let agency = peer.agency.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(agency, %error, "a connection to a partner ended");
            }
        });
        Ok(Open { sender, host_port: peer.host_port.clone(), key, refusal })
    }
}

fn build(peer: &Peer, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Error> {
    let uri = format!("https://{}{path}", peer.host_port);
    let mut request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
    }
    request.body(Full::new(body)).map_err(|e| protocol(peer, e.to_string()))
}

async fn receive(
    peer: &Peer,
    response: http::Response<Incoming>,
    limits: &CallLimits,
    refusal: &Refusal,
) -> Result<Response, Error> {
    let bytes_max = limits.response_bytes_max;
    let too_large = || Error::TooLarge { agency: peer.agency.clone(), bytes_max };
    let (head, body) = response.into_parts();
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(Response { status: head.status, headers: head.headers, body: body.to_bytes() }),
        Err(e) if e.is::<LengthLimitError>() => Err(too_large()),
        Err(e) => Err(refusal.get().map_or_else(|| protocol(peer, chain(&*e)), |why| refused(peer, why.clone()))),
    }
}

fn broken(peer: &Peer, error: &hyper::Error, refusal: &Refusal) -> Error {
    refusal.get().map_or_else(|| protocol(peer, chain(error)), |why| refused(peer, why.clone()))
}

fn protocol(peer: &Peer, reason: String) -> Error {
    Error::Protocol { agency: peer.agency.clone(), reason }
}

fn refused(peer: &Peer, reason: String) -> Error {
    Error::Handshake { agency: peer.agency.clone(), reason }
}

fn untrusted(peer: &Peer, error: &tls::Error) -> Error {
    refused(peer, chain(error))
}

/// What an error says, with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What TLS has against the peer, or the peer against us; nothing, if the network alone failed.
fn tls_reason(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    match inner {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(ours)) => Some(chain(&*ours.0)),
        rustls::Error::AlertReceived(alert) => Some(format!("it refused us ({alert:?})")),
        other => Some(other.to_string()),
    }
}

/// A TLS stream that keeps what TLS said when it ended.
struct Watched {
    stream: TlsStream<TcpStream>,
    refusal: Refusal,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &read
            && let Some(reason) = tls_reason(error)
        {
            // Only the first reason counts; later ones are its consequences.
            let _ = self.refusal.set(reason);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
