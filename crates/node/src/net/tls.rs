//! TLS between agencies: who a peer is, proved by the identity key that the register names.
//!
//! The identity key of an agency issues its node's TLS certificates, so that TLS keys rotate without telling anyone: a
//! partner that knows the identity key can check any of them. The certificate says which agency it speaks for (a DNS
//! name under `.mufakat.invalid`, RFC 6761 §6.4) and which identity key issued it (a URI name). It is verified against
//! that key and nothing else, and the key against the register, at each handshake and again at each request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyUsagePurpose, SanType};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs as provider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName as TlsName, OtherError, PeerIncompatible,
    ServerConfig, ServerConnection, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

/// What an agency's DNS name ends in. `.invalid` never resolves, so no certificate authority can issue for it.
const NAME_SUFFIX: &str = ".mufakat.invalid";
/// What stands before the identity key, in hex, in the certificate's URI name.
const KEY_PREFIX: &str = "mufakat-identity:";
/// The issuer's name in every certificate. Only its key counts.
const ISSUER_NAME: &str = "mufakat identity";
/// How long before its issue a certificate is already valid: partners' clocks may be weeks behind ours.
pub const VALID_BEFORE_S: u64 = 30 * 86_400;
/// How long after its issue a certificate is still valid. Nodes rotate far more often than this.
pub const VALID_AFTER_S: u64 = 90 * 86_400;
/// An agency id has this many characters at least and at most; with its suffix it must stay a DNS label (RFC 1035).
const AGENCY_CHARS: std::ops::RangeInclusive<usize> = 2..=40;
/// The start of the SubjectPublicKeyInfo of an Ed25519 key, without the outer SEQUENCE (RFC 8410 §4).
const ED25519_SPKI_START: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// HTTP/2 and nothing else (RFC 9113 §3.2).
const ALPN_H2: &[u8] = b"h2";

/// Certificates and handshakes are signed with Ed25519 alone.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::aws_lc_rs::ED25519])],
};

/// The identity keys of the agencies in the register, as they are now.
///
/// It is asked at each handshake and at each request, so that a change of the register acts at once; an answer should
/// cost no more than a look into a map.
pub trait Directory: Send + Sync {
    /// The public identity key (raw Ed25519) of this agency, or nothing if the register does not hold it (any more).
    fn identity_key(&self, agency: &str) -> Option<[u8; 32]>;
}

/// Why a peer's certificate was refused, or why ours could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an agency id: 2 to 40 of `a-z`, `0-9` and `-`, with no `-` at either end.
    #[error("{0:?} is not an agency id")]
    AgencyId(String),
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable(#[source] webpki::Error),
    /// The certificate does not name exactly one agency and one identity key.
    #[error("the certificate does not name one agency and its identity key")]
    Names,
    /// The peer that answered is not the one that we called.
    #[error("called {wanted}, but {answered} answered")]
    OtherAgency {
        /// The agency that was called.
        wanted: String,
        /// The agency that the certificate names.
        answered: String,
    },
    /// We called an agency that is not in the register.
    #[error("{0} is not in the register")]
    NotInRegister(String),
    /// The certificate names an agency of the register, and another identity key than the register does.
    #[error("the identity key is not the one that the register has for {0}")]
    OtherKey(String),
    /// The certificate was not issued by the identity key that it names, has expired, or is not for this use.
    #[error("the certificate for {agency} does not hold")]
    Certificate {
        /// The agency that the certificate names.
        agency: String,
        /// What failed.
        source: webpki::Error,
    },
    /// Our own certificate could not be made.
    #[error("could not issue a certificate: {0}")]
    Issue(String),
}

/// An agency's identity key, as the issuer of its node's TLS certificates.
pub struct Identity {
    agency: String,
    key: Ed25519KeyPair,
}

impl Identity {
    /// The identity of `agency` from the 32-byte Ed25519 seed (RFC 8032 §5.1.5).
    pub fn from_seed(agency: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        check_agency(agency)?;
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|e| Error::Issue(e.to_string()))?;
        Ok(Self { agency: agency.to_owned(), key })
    }

    /// The agency's id.
    pub fn agency(&self) -> &str {
        &self.agency
    }

    /// The public half, raw.
    pub fn public_key(&self) -> [u8; 32] {
        let mut raw = [0; 32];
        raw.copy_from_slice(self.key.public_key().as_ref()); // An Ed25519 public key has 32 bytes.
        raw
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("agency", &self.agency).finish_non_exhaustive()
    }
}

impl rcgen::PublicKeyData for &Identity {
    fn der_bytes(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for &Identity {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.key.sign(message).as_ref().to_vec())
    }
}

/// A TLS certificate with its own fresh key, issued by an identity key.
#[derive(Debug, Clone)]
pub struct Leaf(Arc<CertifiedKey>);

/// Issues a certificate with a fresh key; `now_s` is the issuer's time in seconds since 1970.
pub fn issue_leaf(identity: &Identity, now_s: u64) -> Result<Leaf, Error> {
    let public_key = identity.public_key();
    issue(identity, &identity.agency, &public_key, now_s).map_err(|e| Error::Issue(e.to_string()))
}

/// Names and key are arguments of their own so that tests can issue certificates that lie.
fn issue(
    issuer: &Identity,
    agency: &str,
    named_key: &[u8; 32],
    now_s: u64,
) -> Result<Leaf, Box<dyn std::error::Error + Send + Sync>> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + Duration::from_secs(now_s.saturating_sub(VALID_BEFORE_S));
    params.not_after = epoch + Duration::from_secs(now_s.saturating_add(VALID_AFTER_S));
    params.distinguished_name = common_name(agency);
    params.subject_alt_names = vec![
        SanType::DnsName(format!("{agency}{NAME_SUFFIX}").try_into()?),
        SanType::URI(format!("{KEY_PREFIX}{}", hex::encode(named_key)).try_into()?),
    ];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];

    let mut issuer_params = CertificateParams::default();
    issuer_params.distinguished_name = common_name(ISSUER_NAME);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let certificate = params.signed_by(&key, &Issuer::from_params(&issuer_params, issuer))?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(Leaf(Arc::new(CertifiedKey::from_der(vec![certificate.der().clone()], private, &crypto())?)))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut full = DistinguishedName::new();
    full.push(DnType::CommonName, name);
    full
}

/// The node's current certificate, shared by its listener and its client.
pub struct LeafSlot(ArcSwap<CertifiedKey>);

impl LeafSlot {
    /// A slot that holds `leaf`.
    pub fn new(leaf: Leaf) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(leaf.0)))
    }

    /// From now on new connections use `leaf`; open ones go on.
    pub fn rotate(&self, leaf: Leaf) {
        self.0.store(leaf.0);
    }
}

impl fmt::Debug for LeafSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeafSlot")
    }
}

impl ResolvesServerCert for LeafSlot {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for LeafSlot {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// An agency of the register, by its id.
    Agency(String),
    /// Someone who holds the identity key that their certificate names, under a name that the register does not hold.
    Stranger {
        /// The id that they claim.
        agency: String,
        /// Their public identity key, raw.
        key: [u8; 32],
    },
}

/// What a certificate says of its holder. Whether the register agrees is asked anew each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) agency: String,
    pub(super) key: [u8; 32],
}

impl Claim {
    /// Reads the names; nothing is verified yet.
    fn read(certificate: &EndEntityCert<'_>) -> Result<Self, Error> {
        let agency = only(certificate.valid_dns_names()).and_then(|name| name.strip_suffix(NAME_SUFFIX));
        let key = only(certificate.valid_uri_names()).and_then(|uri| uri.strip_prefix(KEY_PREFIX));
        let (Some(agency), Some(key)) = (agency, key) else { return Err(Error::Names) };
        check_agency(agency)?;
        let mut raw = [0; 32];
        hex::decode_to_slice(key, &mut raw).map_err(|_| Error::Names)?;
        Ok(Self { agency: agency.to_owned(), key: raw })
    }

    /// Reads the names and verifies that the key which they name issued the certificate, for this use, at this time.
    fn verify(certificate: &CertificateDer<'_>, usage: KeyUsage, now: UnixTime) -> Result<Self, Error> {
        let certificate = EndEntityCert::try_from(certificate).map_err(Error::Unreadable)?;
        let claim = Self::read(&certificate)?;
        let spki = [ED25519_SPKI_START.as_slice(), &claim.key].concat();
        let anchor = TrustAnchor {
            subject: certificate.issuer().into(), // The issuer's name says nothing; its key does.
            subject_public_key_info: spki.into(),
            name_constraints: None,
        };
        certificate
            .verify_for_usage(SIGNATURES.all, &[anchor], &[], now, usage, None, None)
            .map_err(|source| Error::Certificate { agency: claim.agency.clone(), source })?;
        Ok(claim)
    }

    /// Who that is by the register as it is now: another key than the register's is nobody.
    pub(super) fn caller(&self, directory: &dyn Directory) -> Result<Caller, Error> {
        match directory.identity_key(&self.agency) {
            Some(key) if key == self.key => Ok(Caller::Agency(self.agency.clone())),
            Some(_) => Err(Error::OtherKey(self.agency.clone())),
            None => Ok(Caller::Stranger { agency: self.agency.clone(), key: self.key }),
        }
    }
}

/// The single item of an iterator; nothing if there are none or several.
fn only<'a>(mut items: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

fn check_agency(agency: &str) -> Result<(), Error> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let ok = AGENCY_CHARS.contains(&agency.len())
        && agency.bytes().all(plain)
        && !agency.starts_with('-')
        && !agency.ends_with('-');
    ok.then_some(()).ok_or_else(|| Error::AgencyId(agency.to_owned()))
}

/// aws-lc-rs with the hybrid key exchange first: what is recorded today must not be read by tomorrow's quantum computer.
fn crypto() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![provider::kx_group::X25519MLKEM768, provider::kx_group::X25519],
        cipher_suites: vec![
            provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
            provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        signature_verification_algorithms: SIGNATURES,
        ..provider::default_provider()
    }
}

/// The server's side of TLS: its certificate, and whom it lets in.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    directory: Arc<dyn Directory>,
}

impl ServerTls {
    /// A server that shows the certificate in `leaf` and knows callers by `directory`.
    pub fn new(leaf: Arc<LeafSlot>, directory: Arc<dyn Directory>) -> Result<Self, rustls::Error> {
        let verifier = Arc::new(Verifier { directory: directory.clone() });
        let mut config = ServerConfig::builder_with_provider(Arc::new(crypto()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(leaf);
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        // A resumed session would skip the register.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), directory })
    }

    /// Who is at the other end, by the register as it is now. Nobody, if the handshake is not over or the register has
    /// another key for that agency by now.
    pub fn caller_of(&self, connection: &ServerConnection) -> Option<Caller> {
        self.claim_of(connection)?.caller(&*self.directory).ok()
    }

    /// What the peer's certificate says, which the handshake has verified.
    pub(super) fn claim_of(&self, connection: &ServerConnection) -> Option<Claim> {
        let certificate = connection.peer_certificates()?.first()?;
        Claim::read(&EndEntityCert::try_from(certificate).ok()?).ok()
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    pub(super) fn directory(&self) -> &dyn Directory {
        &*self.directory
    }
}

/// The client's side of TLS: its certificate, and how it knows the agency that it calls.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    directory: Arc<dyn Directory>,
}

impl ClientTls {
    /// A client that shows the certificate in `leaf` and knows those whom it calls by `directory`.
    pub fn new(leaf: Arc<LeafSlot>, directory: Arc<dyn Directory>) -> Result<Self, rustls::Error> {
        let verifier = Arc::new(Verifier { directory: directory.clone() });
        let mut config = ClientConfig::builder_with_provider(Arc::new(crypto()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(leaf);
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.resumption = Resumption::disabled();
        // The name that we call would travel in clear, and the peer has only one certificate to choose from.
        config.enable_sni = false;
        Ok(Self { config: Arc::new(config), directory })
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    pub(super) fn directory(&self) -> &dyn Directory {
        &*self.directory
    }
}

/// The name under which TLS knows an agency.
pub(crate) fn server_name(agency: &str) -> Result<ServerName<'static>, Error> {
    check_agency(agency)?;
    ServerName::try_from(format!("{agency}{NAME_SUFFIX}")).map_err(|_| Error::AgencyId(agency.to_owned()))
}

/// Verifies both sides' certificates against the register.
struct Verifier {
    directory: Arc<dyn Directory>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn client(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<Caller, Error> {
        Claim::verify(certificate, KeyUsage::client_auth(), now)?.caller(&*self.directory)
    }

    fn server(&self, certificate: &CertificateDer<'_>, called: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let claim = Claim::verify(certificate, KeyUsage::server_auth(), now)?;
        let called = called.to_str();
        let wanted = called.strip_suffix(NAME_SUFFIX).unwrap_or(&called);
        if wanted != claim.agency {
            return Err(Error::OtherAgency { wanted: wanted.to_owned(), answered: claim.agency });
        }
        match claim.caller(&*self.directory)? {
            Caller::Agency(_) => Ok(()),
            Caller::Stranger { agency, .. } => Err(Error::NotInRegister(agency)),
        }
    }
}

fn refuse(error: Error) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[TlsName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.client(certificate, now).map(|_| ClientCertVerified::assertion()).map_err(refuse)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        called: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.server(certificate, called, now).map(|()| ServerCertVerified::assertion()).map_err(refuse)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;
    const DAY_S: u64 = 86_400;

    /// A certificate for `agency` which names `named_key`, issued by `issuer`, whether or not that is so.
    pub(in crate::net) fn lying_leaf(issuer: &Identity, agency: &str, named_key: &[u8; 32], now_s: u64) -> Leaf {
        issue(issuer, agency, named_key, now_s).unwrap()
    }

    /// The certificate of one with the private key of another.
    pub(in crate::net) fn stolen_leaf(certificate: &Leaf, key: &Leaf) -> Leaf {
        Leaf(Arc::new(CertifiedKey::new(certificate.0.cert.clone(), key.0.key.clone())))
    }

    struct One(&'static str, [u8; 32]);

    impl Directory for One {
        fn identity_key(&self, agency: &str) -> Option<[u8; 32]> {
            (agency == self.0).then_some(self.1)
        }
    }

    fn identity(agency: &str, seed: u8) -> Identity {
        Identity::from_seed(agency, &[seed; 32]).unwrap()
    }

    fn at(now_s: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(now_s))
    }

    #[test]
    fn a_certificate_is_judged_by_its_names_its_issuer_and_the_register() {
        let (alpha, beta) = (identity("alpha", 1), identity("beta", 2));
        let (alpha_key, beta_key) = (alpha.public_key(), beta.public_key());
        let verifier = Verifier { directory: Arc::new(One("alpha", alpha_key)) };
        let check = |issuer: &Identity, agency: &str, named: &[u8; 32], expect: &str| {
            let leaf = lying_leaf(issuer, agency, named, NOW_S);
            let found = match verifier.client(&leaf.0.cert[0], at(NOW_S)) {
                Ok(Caller::Agency(agency)) => format!("agency {agency}"),
                Ok(Caller::Stranger { agency, key }) => format!("stranger {agency} {}", key == *named),
                Err(Error::OtherKey(_)) => "other key".into(),
                Err(Error::Certificate { .. }) => "certificate".into(),
                Err(other) => other.to_string(),
            };
            assert_eq!(found, expect);
        };
        check(&alpha, "alpha", &alpha_key, "agency alpha");
        check(&beta, "beta", &beta_key, "stranger beta true");
        check(&beta, "alpha", &beta_key, "other key");
        check(&beta, "alpha", &alpha_key, "certificate");
        check(&alpha, "beta", &beta_key, "certificate");
        check(&alpha, "beta", &alpha_key, "stranger beta true");
        check(&alpha, "a.b", &alpha_key, "\"a.b\" is not an agency id");
    }

    #[test]
    fn a_server_must_be_the_one_that_was_called_and_in_the_register() {
        let alpha = identity("alpha", 1);
        let leaf = issue_leaf(&alpha, NOW_S).unwrap();
        let check = |directory: One, called: &str, expect: Option<&str>| {
            let verifier = Verifier { directory: Arc::new(directory) };
            let found = verifier.server(&leaf.0.cert[0], &server_name(called).unwrap(), at(NOW_S));
            assert_eq!(found.err().map(|e| e.to_string()).as_deref(), expect);
        };
        let key = alpha.public_key();
        check(One("alpha", key), "alpha", None);
        check(One("alpha", key), "beta", Some("called beta, but alpha answered"));
        check(One("beta", key), "alpha", Some("alpha is not in the register"));
        check(One("alpha", [7; 32]), "alpha", Some("the identity key is not the one that the register has for alpha"));
    }

    #[test]
    fn clocks_weeks_apart_still_agree_and_months_do_not() {
        let alpha = identity("alpha", 1);
        let verifier = Verifier { directory: Arc::new(One("alpha", alpha.public_key())) };
        let check = |issued_s: u64, expect: bool| {
            let leaf = issue_leaf(&alpha, issued_s).unwrap();
            assert_eq!(verifier.client(&leaf.0.cert[0], at(NOW_S)).is_ok(), expect, "issued at {issued_s}");
        };
        check(NOW_S + 20 * DAY_S, true);
        check(NOW_S - 20 * DAY_S, true);
        check(NOW_S + VALID_BEFORE_S + 1, false);
        check(NOW_S - VALID_AFTER_S - 1, false);
    }

    #[test]
    fn every_byte_of_a_certificate_counts() {
        let alpha = identity("alpha", 1);
        let verifier = Verifier { directory: Arc::new(One("alpha", alpha.public_key())) };
        let good = issue_leaf(&alpha, NOW_S).unwrap().0.cert[0].to_vec();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            assert!(verifier.client(&CertificateDer::from(bad), at(NOW_S)).is_err(), "byte {place}");
        }
        for length in 0..good.len() {
            assert!(verifier.client(&CertificateDer::from(good[..length].to_vec()), at(NOW_S)).is_err());
        }
    }

    #[test]
    fn agency_ids() {
        let check = |id: &str, expect: bool| assert_eq!(Identity::from_seed(id, &[1; 32]).is_ok(), expect, "{id:?}");
        check("vn-mps", true);
        check("a1", true);
        check("007", true);
        check(&"a".repeat(40), true);
        check(&"a".repeat(41), false);
        for bad in ["", "a", "-a", "a-", "A1", "a.b", "a b", "ä1", "*"] {
            check(bad, false);
        }
    }
}
