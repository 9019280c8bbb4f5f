//! The signed message: COSE_Sign1 (RFC 9052 §4.2), shaped as a SCITT signed statement (RFC 9943).
//!
//! A [`Draft`] is signed into bytes; bytes from anywhere are parsed into an [`Unverified`] record, and only a signature that
//! holds makes it [`Verified`]. The bytes are kept as they came and are never encoded again.

use std::ops::Range;

use minicbor::{Decoder, Encoder};

use crate::{AgencyId, Header, KeyId, RECORD_BYTES_MAX, Reason, RecordId, SigningKey, VerifyingKey, cbor};

/// The length of an Ed25519 signature (RFC 8032 §5.1.6).
const SIGNATURE_BYTES: usize = 64;

/// A record before it is signed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The header; its key id is set when the record is signed.
    pub header: Header,
    /// The body, encoded.
    pub body: Vec<u8>,
}

impl Draft {
    /// Signs the record. The caller has checked the body against its kind.
    pub fn sign(mut self, key: &SigningKey) -> Result<Verified, Reason> {
        self.header.key = key.id();
        let protected = self.header.encode();
        let signature = key.sign(&to_be_signed(&protected, &self.body));
        let mut e = Encoder::new(Vec::with_capacity(protected.len() + self.body.len() + 80));
        e.tag(minicbor::data::Tag::new(18))
            .and_then(|e| e.array(4))
            .and_then(|e| e.bytes(&protected))
            .and_then(|e| e.map(0))
            .and_then(|e| e.bytes(&self.body))
            .and_then(|e| e.bytes(&signature))
            .expect("encoding into memory");
        // What we sign must pass the checks that a partner makes.
        Unverified::parse(e.into_writer()).map(Verified)
    }
}

/// RFC 9052 §4.4: the structure that is signed, with no external data.
fn to_be_signed(protected: &[u8], body: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(protected.len() + body.len() + 32));
    e.array(4)
        .and_then(|e| e.str("Signature1"))
        .and_then(|e| e.bytes(protected))
        .and_then(|e| e.bytes(&[]))
        .and_then(|e| e.bytes(body))
        .expect("encoding into memory");
    e.into_writer()
}

/// A record whose form is right and whose signature nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    id: RecordId,
    header: Header,
    bytes: Vec<u8>,
    protected: Range<usize>,
    body: Range<usize>,
}

impl Unverified {
    /// Reads a record, strictly: form, limits, header. The body is looked at when its kind is.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Reason> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(Reason::Oversize);
        }
        cbor::check(&bytes)?;
        let (protected, body, signature_bytes) = frame(&bytes).map_err(|_| Reason::Malformed)?;
        let header = Header::decode(&bytes[protected.clone()])?;
        // Only now: the signatures of an algorithm that we do not know may have another length.
        if signature_bytes != SIGNATURE_BYTES {
            return Err(Reason::Malformed);
        }
        Ok(Self { id: RecordId::of(&bytes), header, protected, body, bytes })
    }

    /// What the record claims about itself. Enough to look a key up; not to be believed.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The record's id.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The body, encoded, as the record claims it.
    pub fn claimed_body(&self) -> &[u8] {
        &self.bytes[self.body.clone()]
    }

    /// Checks the signature with the author's key, which must be valid at the time that the author claims, and at `now_s` not
    /// be revoked nor past its end and grace. Our own clock may be behind, so it does not make a key too new.
    pub fn verify(self, keys: &dyn KeyBook, now_s: u64) -> Result<Verified, Reason> {
        let state = keys.key(&self.header.author, &self.header.key).ok_or(Reason::UnknownKey)?;
        // The signature comes first: nobody learns about key states with bytes that the key did not sign.
        self.check_signature(&state.key)?;
        state.permits(self.header.issued_at, now_s)?;
        Ok(Verified(self))
    }

    /// Checks the signature with a given key and nothing about the key's validity.
    pub fn verify_with(self, key: &VerifyingKey) -> Result<Verified, Reason> {
        if key.id() != self.header.key {
            return Err(Reason::UnknownKey);
        }
        self.check_signature(key)?;
        Ok(Verified(self))
    }

    fn check_signature(&self, key: &VerifyingKey) -> Result<(), Reason> {
        let signed = to_be_signed(&self.bytes[self.protected.clone()], &self.bytes[self.body.clone()]);
        key.verify(&signed, &self.bytes[self.bytes.len() - SIGNATURE_BYTES..])
    }
}

/// Where protected header and body stand in a tagged COSE_Sign1 with an empty unprotected header, and the signature's length.
fn frame(bytes: &[u8]) -> Result<(Range<usize>, Range<usize>, usize), minicbor::decode::Error> {
    let wrong = || minicbor::decode::Error::message("not a COSE_Sign1");
    let mut d = Decoder::new(bytes);
    if d.tag()?.as_u64() != 18 || d.array()? != Some(4) {
        return Err(wrong());
    }
    let protected = d.bytes()?.len();
    let protected = d.position() - protected..d.position();
    if d.map()? != Some(0) {
        return Err(wrong());
    }
    let body = d.bytes()?.len();
    let body = d.position() - body..d.position();
    Ok((protected, body, d.bytes()?.len()))
}

/// A record whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified(Unverified);

impl Verified {
    /// Takes back a record that this node verified before it stored it; only the form is checked again.
    pub fn from_own_store(bytes: Vec<u8>) -> Result<Self, Reason> {
        Unverified::parse(bytes).map(Self)
    }

    /// The record's id.
    pub fn id(&self) -> RecordId {
        self.0.id
    }

    /// What the record says about itself.
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// The body, encoded.
    pub fn body(&self) -> &[u8] {
        &self.0.bytes[self.0.body.clone()]
    }

    /// The signed message as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The signed message as it came.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.bytes
    }
}

/// A key with the time in which it may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState {
    /// The public key.
    pub key: VerifyingKey,
    /// From when it may sign, in seconds since 1970.
    pub from: u64,
    /// Until when it may sign.
    pub until: u64,
    /// Since when it is revoked. Nothing that comes after we know is taken, whatever time it claims.
    pub revoked: Option<u64>,
    /// How long after `until` something signed in time may still arrive, in seconds.
    pub grace_s: u64,
}

impl KeyState {
    /// Whether the key may have signed at the claimed time what arrives now.
    pub fn permits(&self, issued_at: u64, now_s: u64) -> Result<(), Reason> {
        if self.revoked.is_some() {
            return Err(Reason::KeyRevoked);
        }
        if issued_at < self.from {
            return Err(Reason::KeyNotYetValid);
        }
        if issued_at > self.until || now_s > self.until.saturating_add(self.grace_s) {
            return Err(Reason::KeyExpired);
        }
        Ok(())
    }
}

/// Where the keys of agencies are found.
pub trait KeyBook {
    /// The key of an agency with this id, with its validity.
    fn key(&self, agency: &AgencyId, id: &KeyId) -> Option<KeyState>;
}
