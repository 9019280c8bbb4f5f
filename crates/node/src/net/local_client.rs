//! Requests to the agency's own node, for commands: over its Unix socket as its operator, or at the desk's listener as the
//! officer whose token it is.
//!
//! Bodies stream in both directions: a bulk submission is read from a file while it is sent, and its progress is read line
//! by line while it goes on. Each request has its own connection.

use std::io;
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

use super::web::{self, Web};

/// How much of a reader's bytes is sent at a time.
const READ_BYTES: usize = 64 << 10;

/// Why a request to our own node failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No node listens on that socket, or not for this user.
    #[error("no node answers on {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The desk's listener cannot be reached, or does not prove its name.
    #[error(transparent)]
    Desk(#[from] web::Error),
    /// Method, path or content type do not make a request.
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    /// The exchange broke off.
    #[error("the exchange with the node broke off")]
    Exchange(#[from] hyper::Error),
    /// The answer, or a line of it, is larger than accepted.
    #[error("the answer has more than {bytes_max} bytes where that is the limit")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
}

/// A request body that is read from `reader` while it is sent.
pub fn body_from_reader<R>(reader: R) -> Body
where
    R: AsyncRead + Send + Unpin + 'static,
{
    Body::from_stream(stream::try_unfold(reader, async |mut reader| {
        let mut chunk = BytesMut::with_capacity(READ_BYTES);
        let read = reader.read_buf(&mut chunk).await?;
        io::Result::Ok((read > 0).then(|| (chunk.freeze(), reader)))
    }))
}

/// A request body that is sent as it comes out of a channel, and ends with it.
pub fn body_from_channel(receiver: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|chunk| (io::Result::Ok(chunk), receiver))
    }))
}

/// An answer whose body is read as it comes. Dropping it ends the exchange.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    body: Incoming,
    /// Read from the body and not yet given out as a line.
    rest: BytesMut,
    connection: JoinHandle<()>,
}

impl Drop for Response {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Where the agency's own node is asked.
#[derive(Clone)]
pub enum Node {
    /// At its Unix socket, as its operator.
    Socket(PathBuf),
    /// At the desk's listener, as an officer.
    Desk {
        /// The origin of the desk.
        url: Url,
        /// How it is reached.
        web: Web,
        /// The officer's token.
        token: String,
    },
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of anything that may be printed.
        match self {
            Node::Socket(path) => write!(f, "Socket({})", path.display()),
            Node::Desk { url, .. } => write!(f, "Desk({url})"),
        }
    }
}

/// Sends a request to the node. Resolves when the answer begins, which may be before the body is sent.
///
/// There is no time limit here: commands that wait are meant to, and the user can interrupt them.
pub async fn ask(
    node: &Node,
    method: Method,
    path: &str,
    content_type: Option<&str>,
    body: Body,
) -> Result<Response, Error> {
    let mut builder = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    if let Some(content_type) = content_type {
        builder = builder.header(header::CONTENT_TYPE, HeaderValue::try_from(content_type).map_err(http::Error::from)?);
    }
    match node {
        Node::Socket(socket) => {
            let connected = UnixStream::connect(socket).await;
            let stream = connected.map_err(|source| Error::Connect { path: socket.clone(), source })?;
            exchange(stream, builder.body(body)?).await
        }
        Node::Desk { url, web, token } => {
            let bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(http::Error::from)?;
            let mut request = builder.header(header::AUTHORIZATION, bearer).body(body)?;
            let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
            request.headers_mut().insert(header::HOST, HeaderValue::try_from(host).map_err(http::Error::from)?);
            exchange(web.connect(url).await?, request).await
        }
    }
}

/// Sends a request to the node on `socket`, as its operator.
pub async fn request(
    socket: &Path,
    method: Method,
    path: &str,
    content_type: Option<&str>,
    body: Body,
) -> Result<Response, Error> {
    ask(&Node::Socket(socket.to_owned()), method, path, content_type, body).await
}

/// Sends a request of a test to the server of its URL.
#[cfg(test)]
pub(crate) async fn send(web: &Web, request: Request<Vec<u8>>) -> Result<Response, Error> {
    let url = Url::parse(&request.uri().to_string()).map_err(|e| web::Error::Answer(e.to_string()))?;
    let request = web::origin_form(request.map(Body::from), &url)?;
    exchange(web.connect(&url).await?, request).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Body>,
) -> Result<Response, Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the node ended early");
        }
    });
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Response { status: head.status, headers: head.headers, body, rest: BytesMut::new(), connection })
}

impl Response {
    /// The next bytes of the body, as many as have come; nothing at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.rest.is_empty() {
            return Ok(Some(self.rest.split().freeze()));
        }
        self.receive().await
    }

    /// The next line of the body without its end (`\n` or `\r\n`), of at most `bytes_max` bytes; nothing at the end of
    /// the body. A last line without an end is a line too.
    pub async fn line(&mut self, bytes_max: usize) -> Result<Option<Bytes>, Error> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.rest[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.rest.split_to(searched + end + 1);
                line.truncate(line.len() - 1);
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return if line.len() > bytes_max {
                    Err(Error::TooLarge { bytes_max })
                } else {
                    Ok(Some(line.freeze()))
                };
            }
            searched = self.rest.len();
            if searched > bytes_max {
                return Err(Error::TooLarge { bytes_max });
            }
            match self.receive().await? {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None if self.rest.is_empty() => return Ok(None),
                None => return Ok(Some(self.rest.split().freeze())),
            }
        }
    }

    /// The rest of the body, of at most `bytes_max` bytes.
    pub async fn bytes(mut self, bytes_max: usize) -> Result<Bytes, Error> {
        let mut all = self.rest.split();
        while all.len() <= bytes_max {
            match self.receive().await? {
                Some(chunk) => all.extend_from_slice(&chunk),
                None => return Ok(all.freeze()),
            }
        }
        Err(Error::TooLarge { bytes_max })
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.body.frame().await {
            // Frames without data are trailers, which our node does not send.
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use axum::Router;
    use axum::routing::{get, post};
    use tokio::net::UnixListener;
    use tokio::sync::watch;

    use super::*;
    use crate::net::listen::{bind_local, serve_local};

    /// A folder of its own that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("mufakat-{}-{test}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("node.sock")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn serve(listener: UnixListener) -> watch::Sender<bool> {
        let (stop, stopped) = watch::channel(false);
        let router = Router::new()
            .route("/echo", post(|body: Body| async { body }))
            .route("/lines", get(|| async { "one\r\ntwo\n\nlast" }));
        tokio::spawn(serve_local(listener, router, stopped));
        stop
    }

    #[tokio::test]
    async fn only_its_own_user_may_open_the_socket() {
        let folder = Folder::new("socket");
        let socket = folder.socket();
        let mode = || std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777;

        let first = bind_local(&socket).unwrap();
        assert_eq!(mode(), 0o600);
        assert_eq!(bind_local(&socket).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let refused = request(&socket, Method::GET, "/lines", None, Body::empty()).await.unwrap_err();
        assert!(matches!(refused, Error::Connect { .. }), "{refused}");

        let _stop = serve(bind_local(&socket).unwrap());
        assert_eq!(mode(), 0o600);
        let answer = request(&socket, Method::GET, "/lines", None, Body::empty()).await.unwrap();
        assert_eq!(answer.bytes(100).await.unwrap(), "one\r\ntwo\n\nlast");
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "nothing else is left in the folder");

        let file = folder.0.join("file");
        std::fs::write(&file, "kept").unwrap();
        assert_eq!(bind_local(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }

    #[tokio::test]
    async fn lines_come_one_by_one_while_the_request_is_still_being_sent() {
        let folder = Folder::new("duplex");
        let socket = folder.socket();
        let _stop = serve(bind_local(&socket).unwrap());
        let (sender, receiver) = mpsc::channel(1);
        let body = body_from_channel(receiver);
        let mut answer = request(&socket, Method::POST, "/echo", Some("application/x-ndjson"), body).await.unwrap();
        for n in 0..5 {
            sender.send(Bytes::from(format!("line {n}\n"))).await.unwrap();
            assert_eq!(answer.line(100).await.unwrap().unwrap(), format!("line {n}"));
        }
        drop(sender);
        assert_eq!(answer.line(100).await.unwrap(), None);
    }

    #[tokio::test]
    async fn lines_end_in_several_ways_and_have_a_limit() {
        let folder = Folder::new("lines");
        let socket = folder.socket();
        let _stop = serve(bind_local(&socket).unwrap());
        let get = async || request(&socket, Method::GET, "/lines", None, Body::empty()).await.unwrap();
        let mut answer = get().await;
        for expect in ["one", "two", "", "last"] {
            assert_eq!(answer.line(4).await.unwrap().unwrap(), expect);
        }
        assert_eq!(answer.line(4).await.unwrap(), None);
        assert!(matches!(get().await.line(2).await, Err(Error::TooLarge { bytes_max: 2 })));
        assert!(matches!(get().await.bytes(13).await, Err(Error::TooLarge { bytes_max: 13 })));
        assert_eq!(get().await.bytes(14).await.unwrap().len(), 14);
    }

    #[tokio::test]
    async fn a_reader_is_sent_as_it_is_read() {
        let folder = Folder::new("reader");
        let socket = folder.socket();
        let _stop = serve(bind_local(&socket).unwrap());
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let body = body_from_reader(io::Cursor::new(sent.clone()));
        let mut answer = request(&socket, Method::POST, "/echo", None, body).await.unwrap();
        let mut back = Vec::new();
        while let Some(chunk) = answer.chunk().await.unwrap() {
            back.extend_from_slice(&chunk);
        }
        assert!(back == sent);
    }
}
