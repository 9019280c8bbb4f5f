//! Calls to ordinary web servers: the agency's identity provider, and the desk's listener of a node that a command asks. TLS is
//! verified against certificates of a file; plain HTTP goes to this machine alone.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// The largest file of certificates, in bytes.
const CERTIFICATES_BYTES_MAX: u64 = 4 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is none that can be called.
    #[error("{0} cannot be called: {1}")]
    Url(String, &'static str),
    /// The server cannot be reached, or does not prove its name.
    #[error("{0} cannot be reached: {1}")]
    Connect(String, io::Error),
    /// The exchange broke off.
    #[error("the exchange broke off: {0}")]
    Exchange(#[from] hyper::Error),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// The answer is larger than accepted, or broke off.
    #[error("the answer cannot be read: {0}")]
    Answer(String),
}

/// A connection, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How web servers are reached.
#[derive(Clone)]
pub struct Web {
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Web({})", if self.tls.is_some() { "tls" } else { "plain" })
    }
}

impl Web {
    /// Plain HTTP to this machine alone.
    pub fn plain() -> Self {
        Self { tls: None }
    }

    /// Also TLS, with the certificates that a file in PEM holds as roots.
    pub fn trusting(certificates: &Path) -> io::Result<Self> {
        if std::fs::metadata(certificates)?.len() > CERTIFICATES_BYTES_MAX {
            return Err(io::Error::other("too large for a file of certificates"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(certificates).map_err(io::Error::other)? {
            // A certificate that is damaged or of a form that is no longer used is no reason to trust none.
            let _ = roots.add(certificate.map_err(io::Error::other)?);
        }
        if roots.is_empty() {
            return Err(io::Error::other("it holds no certificate"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    /// Connects to the server of a URL.
    pub async fn connect(&self, url: &Url) -> Result<Box<dyn Stream>, Error> {
        let wrong = |why| Error::Url(url.to_string(), why);
        let host = url.host().ok_or_else(|| wrong("it names no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| wrong("it names no port"))?;
        let secure = match url.scheme() {
            "https" => true,
            "http" if is_local(&host) => false,
            "http" => return Err(wrong("plain HTTP goes to this machine alone; use https")),
            _ => return Err(wrong("it is neither http nor https")),
        };
        let failed = |error| Error::Connect(url.origin().ascii_serialization(), error);
        let tcp = match &host {
            Host::Domain(name) => TcpStream::connect((*name, port)).await,
            Host::Ipv4(address) => TcpStream::connect((*address, port)).await,
            Host::Ipv6(address) => TcpStream::connect((*address, port)).await,
        };
        let tcp = tcp.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        if !secure {
            return Ok(Box::new(tcp));
        }
        let tls = self.tls.as_ref().ok_or_else(|| wrong("no certificates are given to verify it with"))?;
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| wrong("its host is no name"))?,
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(address)),
        };
        Ok(Box::new(tls.connect(name, tcp).await.map_err(failed)?))
    }
}

/// Whether a host is this machine.
pub fn is_local(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Carries out one call, within a time and with an answer of limited size. Redirections are not followed.
pub async fn call(
    web: &Web,
    request: Request<Vec<u8>>,
    time_max: Duration,
    bytes_max: usize,
) -> Result<Response<Vec<u8>>, Error> {
    tokio::time::timeout(time_max, exchange(web, request, bytes_max)).await.unwrap_or(Err(Error::Timeout))
}

async fn exchange(web: &Web, request: Request<Vec<u8>>, bytes_max: usize) -> Result<Response<Vec<u8>>, Error> {
    let text = request.uri().to_string();
    let url = Url::parse(&text).map_err(|_| Error::Url(text, "it is no URL"))?;
    let stream = web.connect(&url).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = origin_form(request.map(|body| Body::from(Bytes::from(body))), &url)?;
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, bytes_max).collect().await.map_err(|e| Error::Answer(e.to_string()))?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    };
    let answer = answered.await;
    connection.abort();
    answer
}

/// A request as it goes to the server itself: with the path alone, and the host in its field (RFC 9112 §3.2.1).
pub(super) fn origin_form<B>(mut request: Request<B>, url: &Url) -> Result<Request<B>, Error> {
    let wrong = || Error::Url(url.to_string(), "it does not make a request");
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = url[url::Position::BeforeHost..url::Position::AfterPort].parse().map_err(|_| wrong())?;
    *request.uri_mut() = path.parse().map_err(|_| wrong())?;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_verified_is_not_called() {
        for (url, why) in [
            ("http://192.0.2.1/", "plain HTTP"),
            ("http://example.org/", "plain HTTP"),
            ("http://localhost.example.org/", "plain HTTP"),
            ("ftp://localhost/", "neither"),
            ("https://localhost:1/", "cannot be reached"),
        ] {
            let error = Web::plain().connect(&Url::parse(url).unwrap()).await.err().unwrap().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn a_request_goes_to_the_server_itself() {
        let url = Url::parse("https://id.example:8443/a/b?c=d%20e").unwrap();
        let request = origin_form(Request::get(url.as_str()).body(()).unwrap(), &url).unwrap();
        assert_eq!(request.uri(), "/a/b?c=d%20e");
        assert_eq!(request.headers()[header::HOST], "id.example:8443");
    }

    #[test]
    fn a_file_without_certificates_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Web::trusting(file.path()).is_err());
        assert!(Web::trusting(Path::new("/nonexistent")).is_err());
    }
}
