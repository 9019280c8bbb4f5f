//! Signed notes (C2SP signed-note): a text, and signatures by named keys on lines of their own.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::hash::sha256;
use crate::{cosign, text};

/// Bytes of the longest note that is read. Sixteen signatures, post-quantum ones included, fit.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;
/// Signature lines in a note; the specification demands that at least 16 are accepted.
pub const SIGNATURES_MAX: usize = 64;
/// Bytes of a key name.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of one signature with its key id. Post-quantum signatures, which are passed over here, come close to 5 kB.
pub const SIGNATURE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of an Ed25519 public key, and of the seed of a private one.
pub const KEY_BYTES: usize = 32;

/// Bytes of a key id in front of a signature.
const KEY_ID_BYTES: usize = 4;
/// What a signature line begins with: an em dash and a space.
const LINE_PREFIX: &str = "\u{2014} ";

/// Why something is not a note, a key or a valid signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("the note has {bytes} bytes, more than {NOTE_BYTES_MAX}")]
    TooLong {
        /// Bytes that came.
        bytes: usize,
    },
    /// More signature lines than [`SIGNATURES_MAX`].
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// Not UTF-8, or with control characters other than newline.
    #[error("the note is not plain UTF-8 text")]
    NotPlain,
    /// No text that ends in a newline, an empty line, and signatures.
    #[error("the note has no text with signatures behind an empty line")]
    NoSignatures,
    /// A signature line that is none.
    #[error("a signature line is malformed")]
    SignatureLine,
    /// An empty or overlong key name, or one with spaces, control characters or a plus sign.
    #[error("the name of a key is empty, too long or has a forbidden character")]
    KeyName,
    /// Not the `name+id+base64` form, or the id is not that of the key.
    #[error("the verifier key is malformed")]
    KeyEncoding,
    /// A key of a kind that is not known here.
    #[error("keys of type {0:#04x} are not known")]
    KeyType(u8),
    /// The private key was refused by the cryptographic library.
    #[error("the seed gives no usable key")]
    Seed,
    /// The key is of another kind than this use needs.
    #[error("the key {0} is of the wrong kind for this use")]
    WrongAlgorithm(String),
    /// A known key stands beside a signature that it did not make.
    #[error("the signature by {name} is wrong")]
    BadSignature {
        /// Name of the key.
        name: String,
    },
    /// None of the keys that are known signed the note.
    #[error("no known key signed the note")]
    Unsigned,
    /// A time that a cosignature cannot carry.
    #[error("the time {0} is out of range")]
    Time(u64),
}

/// What a key signs (C2SP signed-note, signature types).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Type 0x01: Ed25519 over the text, which is how a log signs its checkpoints.
    Ed25519,
    /// Type 0x04: a timestamped Ed25519 cosignature, which is how a witness signs them.
    Cosignature,
}

impl Algorithm {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, Error> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::Cosignature),
            other => Err(Error::KeyType(other)),
        }
    }
}

/// A note as it was read; nothing about it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The signed text; it ends in a newline.
    pub text: String,
    /// The signatures, known and unknown ones, in their order.
    pub signatures: Vec<Signature>,
}

/// One signature line: who is said to have signed, and the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub name: String,
    /// Id of the key, which is no more than a hint for finding it.
    pub key_id: u32,
    /// What the key's algorithm gave.
    pub bytes: Vec<u8>,
}

/// A public key with its name and what it signs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    public: [u8; KEY_BYTES],
    key_id: u32,
}

/// A private key with its name and what it signs.
pub struct Signer {
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

/// A signature that verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Position of the key among those that were given.
    pub key: usize,
    /// Seconds since 1970 that a cosignature states; `None` for plain signatures.
    pub timestamp: Option<u64>,
}

impl Note {
    /// Reads a note from a stranger's bytes.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Error::TooLong { bytes: bytes.len() });
        }
        let note = std::str::from_utf8(bytes).map_err(|_| Error::NotPlain)?;
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(Error::NotPlain);
        }
        // The text may have empty lines of its own: the last one in the note is what separates.
        let end = note.rfind("\n\n").ok_or(Error::NoSignatures)?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        let signatures = parse_lines(lines)?;
        if signatures.is_empty() {
            return Err(Error::NoSignatures);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The note as it is sent and stored.
    pub fn encode(&self) -> String {
        let lines: String = self.signatures.iter().map(Signature::line).collect();
        format!("{}\n{lines}", self.text)
    }

    /// Verifies every signature whose name and id are those of a given key, and gives them in the note's order. Unknown signatures are passed
    /// over; a wrong signature beside a known key refuses the whole note. The list may be empty: [`Note::verify_one`] demands a key.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Vec<Verified>, Error> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            if let Some(key) = keys.iter().position(|key| key.made(signature)) {
                let timestamp = keys[key].verify(&self.text, signature)?;
                verified.push(Verified { key, timestamp });
            }
        }
        Ok(verified)
    }

    /// Verifies that this key signed the note.
    pub fn verify_one(&self, key: &VerifierKey) -> Result<(), Error> {
        if self.verify(std::slice::from_ref(key))?.is_empty() { Err(Error::Unsigned) } else { Ok(()) }
    }
}

/// Reads zero or more signature lines, such as a witness answers with.
pub(crate) fn parse_lines(lines: &str) -> Result<Vec<Signature>, Error> {
    let mut signatures = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let (line, behind) = text::take_line(rest).ok_or(Error::SignatureLine)?;
        if signatures.len() == SIGNATURES_MAX {
            return Err(Error::TooManySignatures);
        }
        signatures.push(Signature::parse(line)?);
        rest = behind;
    }
    Ok(signatures)
}

impl Signature {
    /// The signature line with its newline.
    pub fn line(&self) -> String {
        let mut bytes = self.key_id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.bytes);
        format!("{LINE_PREFIX}{} {}\n", self.name, text::encode_base64(&bytes))
    }

    /// Reads a signature line without its newline.
    fn parse(line: &str) -> Result<Self, Error> {
        let (name, encoded) =
            line.strip_prefix(LINE_PREFIX).and_then(|rest| rest.split_once(' ')).ok_or(Error::SignatureLine)?;
        check_name(name)?;
        let bytes = text::decode_base64(encoded, SIGNATURE_BYTES_MAX).ok_or(Error::SignatureLine)?;
        match bytes.split_first_chunk::<KEY_ID_BYTES>() {
            Some((key_id, bytes)) if !bytes.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: u32::from_be_bytes(*key_id), bytes: bytes.to_vec() })
            }
            _ => Err(Error::SignatureLine),
        }
    }
}

impl VerifierKey {
    /// A key from its parts.
    pub fn new(name: &str, algorithm: Algorithm, public: [u8; KEY_BYTES]) -> Result<Self, Error> {
        check_name(name)?;
        let key_id = key_id(name, algorithm, &public);
        Ok(Self { name: name.to_owned(), algorithm, public, key_id })
    }

    /// The `name+id+base64` form that configurations and registers carry.
    pub fn encode(&self) -> String {
        let mut material = vec![self.algorithm.byte()];
        material.extend_from_slice(&self.public);
        format!("{}+{:08x}+{}", self.name, self.key_id, text::encode_base64(&material))
    }

    /// Reads the `name+id+base64` form and checks the id.
    pub fn parse(encoded: &str) -> Result<Self, Error> {
        // Names have no plus sign, but base64 has, so only the first two separate.
        let mut parts = encoded.splitn(3, '+');
        let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::KeyEncoding);
        };
        let material = text::decode_base64(material, 1 + KEY_BYTES).ok_or(Error::KeyEncoding)?;
        let (algorithm, public) = material.split_first().ok_or(Error::KeyEncoding)?;
        let algorithm = Algorithm::from_byte(*algorithm)?;
        let key = Self::new(name, algorithm, public.try_into().map_err(|_| Error::KeyEncoding)?)?;
        if id == format!("{:08x}", key.key_id) { Ok(key) } else { Err(Error::KeyEncoding) }
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The bare public key.
    pub fn public(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    /// Id of the key: the first four bytes of a hash over name, type and key.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// True when the signature says that it is by this key.
    pub(crate) fn made(&self, signature: &Signature) -> bool {
        self.name == signature.name && self.key_id == signature.key_id
    }

    /// Verifies one signature over the text of a note and gives the time that a cosignature states.
    pub(crate) fn verify(&self, text: &str, signature: &Signature) -> Result<Option<u64>, Error> {
        match self.algorithm {
            Algorithm::Ed25519 => self.verify_bytes(text.as_bytes(), &signature.bytes).map(|()| None),
            Algorithm::Cosignature => cosign::verify(self, text, signature).map(Some),
        }
    }

    pub(crate) fn verify_bytes(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        UnparsedPublicKey::new(&ED25519, self.public)
            .verify(message, signature)
            .map_err(|_| Error::BadSignature { name: self.name.clone() })
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({})", self.encode())
    }
}

impl Signer {
    /// A signer from the 32-byte seed of RFC 8032 that the caller drew and keeps.
    pub fn from_seed(name: &str, algorithm: Algorithm, seed: &[u8; KEY_BYTES]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| Error::Seed)?;
        Ok(Self { key: VerifierKey::new(name, algorithm, public)?, pair })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs the text of a note with a plain key (type 0x01); a witness key signs with [`cosign::sign`].
    pub fn sign(&self, text: &str) -> Result<Signature, Error> {
        self.expect(Algorithm::Ed25519)?;
        Ok(self.signature(self.sign_bytes(text.as_bytes())))
    }

    pub(crate) fn expect(&self, algorithm: Algorithm) -> Result<(), Error> {
        if self.key.algorithm == algorithm { Ok(()) } else { Err(Error::WrongAlgorithm(self.key.name.clone())) }
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    pub(crate) fn signature(&self, bytes: Vec<u8>) -> Signature {
        Signature { name: self.key.name.clone(), key_id: self.key.key_id, bytes }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the public half is ever shown.
        write!(f, "Signer({})", self.key.encode())
    }
}

fn key_id(name: &str, algorithm: Algorithm, public: &[u8; KEY_BYTES]) -> u32 {
    let mut input = name.as_bytes().to_vec();
    input.extend_from_slice(&[b'\n', algorithm.byte()]);
    input.extend_from_slice(public);
    let [a, b, c, d, ..] = *sha256(&input).as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn check_name(name: &str) -> Result<(), Error> {
    let forbidden = |c: char| c.is_whitespace() || c == '+' || c < ' ';
    let good = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(forbidden);
    if good { Ok(()) } else { Err(Error::KeyName) }
}
