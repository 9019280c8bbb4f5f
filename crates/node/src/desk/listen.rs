//! The desk's own listener: for officers' browsers and programs, over TLS, or in plain HTTP on loopback.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Address, Error};
use crate::config;
use crate::serve;

/// The field in which a proxy says for whom it asks.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Opens the listener of the configuration, if there is one.
pub(crate) async fn listen(desk: &config::Desk) -> Result<Option<(TcpListener, Option<TlsAcceptor>)>, serve::Error> {
    let Some(address) = desk.listen else { return Ok(None) };
    let acceptor = match (&desk.tls_certificate, &desk.tls_key) {
        (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
        // A sound configuration listens without TLS on loopback alone.
        _ => None,
    };
    Ok(Some((serve::listen("desk.listen", address).await?, acceptor)))
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Error> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| Error::File(path.to_owned(), why.to_string());
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).map_err(|e| wrong(certificate, &e))?.collect();
    let chain = chain.map_err(|e| wrong(certificate, &e))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, &e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(certificate, &e))?;
    let mut tls = tls.with_no_client_auth().with_single_cert(chain, secret).map_err(|e| wrong(certificate, &e))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

/// Puts into a request where it comes from.
pub(crate) fn know(request: &mut Request<Body>, peer: IpAddr) {
    let address = Address(asked_for(peer, request.headers()));
    request.extensions_mut().insert(address);
}

/// Whom a request is for. Who connects on loopback is the agency's own proxy, or a program on the node's own machine; the last
/// address that a proxy names is the one that it saw itself.
fn asked_for(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !peer.to_canonical().is_loopback() {
        return peer;
    }
    let said = headers.get_all(FORWARDED_FOR).iter().next_back().and_then(|value| value.to_str().ok());
    let last = said.and_then(|value| value.rsplit(',').next()).and_then(|address| address.trim().parse().ok());
    last.unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_our_own_proxy_speaks_for_others() {
        let check = |peer: &str, said: &'static str, expect: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, HeaderValue::from_static(said));
            assert_eq!(asked_for(peer.parse().unwrap(), &headers).to_string(), expect);
        };
        check("127.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7");
        check("::1", "192.0.2.7", "192.0.2.7");
        check("127.0.0.1", "nonsense", "127.0.0.1");
        check("203.0.113.5", "192.0.2.7", "203.0.113.5");
        assert_eq!(asked_for("127.0.0.1".parse().unwrap(), &HeaderMap::new()).to_string(), "127.0.0.1");
    }
}
