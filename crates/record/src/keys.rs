//! Keys: Ed25519 for signing, X-Wing (ML-KEM-768 with X25519) for sealing. Secret halves are wiped when dropped.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use hpke::{Deserializable, Kem, Serializable, kem::XWing};
use zeroize::Zeroizing;

use crate::{KeyId, Reason, sha256};

/// Bytes that are not a usable public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a usable public key")]
pub struct InvalidKey;

/// The y coordinates of the points of small order on edwards25519, in every encoding, without the sign bit. Such a "key"
/// accepts signatures that nobody made.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// A public Ed25519 key (RFC 8032), not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// Takes the 32 bytes of RFC 8032; refuses points of small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| InvalidKey)?;
        let mut unsigned = bytes;
        unsigned[31] &= 0x7f;
        if SMALL_ORDER.contains(&hex::encode(unsigned).as_str()) {
            return Err(InvalidKey);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes of RFC 8032.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
    }

    /// Checks a signature over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Reason> {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).map_err(|_| Reason::WrongSignature)
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyingKey({})", hex::encode(&self.0[..6]))
    }
}

/// A secret Ed25519 key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
    public: VerifyingKey,
}

impl SigningKey {
    /// Makes the key pair of a 32-byte seed (RFC 8032 §5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        // A 32-byte seed always makes a key pair.
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed of 32 bytes");
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Self { pair, seed: Zeroizing::new(*seed), public: VerifyingKey(public) }
    }

    /// The seed, for keeping.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> VerifyingKey {
        self.public
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// Signs a message; Ed25519 needs no randomness.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }
}

/// How parcels are sealed. The number stands on the wire, so that a suite can be replaced from a date on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// HPKE base mode (RFC 9180): KEM X-Wing (0x647A), KDF HKDF-SHA256 (0x0001), AEAD ChaCha20-Poly1305 (0x0003).
    XWingChaCha,
}

impl Suite {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Suite::XWingChaCha => 1,
        }
    }

    /// The suite of a number.
    pub fn from_number(number: u8) -> Result<Self, Reason> {
        if number == 1 { Ok(Suite::XWingChaCha) } else { Err(Reason::UnknownSuite) }
    }
}

type XWingPublic = <XWing as Kem>::PublicKey;
type XWingSecret = <XWing as Kem>::PrivateKey;

/// The public half of a sealing key: 1216 bytes of X-Wing.
#[derive(Clone)]
pub struct SealingPublic {
    pub(crate) key: XWingPublic,
    id: KeyId,
}

impl SealingPublic {
    /// Takes the encoding of the X-Wing draft.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let key = XWingPublic::from_bytes(bytes).map_err(|_| InvalidKey)?;
        Ok(Self { key, id: KeyId::of(bytes) })
    }

    /// The encoding of the X-Wing draft.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.key.to_bytes().to_vec()
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

/// A secret sealing key. Its 32-byte seed is what a node keeps, and erases on schedule.
pub struct SealingKey {
    pub(crate) key: XWingSecret,
    public: SealingPublic,
    seed: Zeroizing<[u8; 32]>,
}

impl SealingKey {
    /// Makes the key pair of a 32-byte X-Wing seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        // X-Wing takes any 32 bytes as its private key.
        let key = XWingSecret::from_bytes(seed).expect("an X-Wing seed of 32 bytes");
        let public = XWing::sk_to_pk(&key);
        let id = KeyId::of(&public.to_bytes());
        Self { key, public: SealingPublic { key: public, id }, seed: Zeroizing::new(*seed) }
    }

    /// The seed, for keeping.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> &SealingPublic {
        &self.public
    }
}

/// A fingerprint that two people compare by voice: the first 128 bits of SHA-256 as twelve words of the BIP 39 list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a key or of a register version's hash.
    pub fn of(bytes: &[u8]) -> Self {
        // 16 bytes are always a valid BIP 39 entropy.
        let words = bip39::Mnemonic::from_entropy(&sha256(bytes)[..16]).expect("16 bytes of entropy");
        Self(words.words().collect::<Vec<_>>().join(" "))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_order_keys_are_refused() {
        for y in SMALL_ORDER {
            let mut bytes = hex::decode(y).unwrap();
            assert_eq!(VerifyingKey::from_bytes(&bytes), Err(InvalidKey));
            bytes[31] |= 0x80;
            assert_eq!(VerifyingKey::from_bytes(&bytes), Err(InvalidKey));
        }
    }

    #[test]
    fn fingerprints_are_twelve_words() {
        let one = Fingerprint::of(b"one").to_string();
        assert_eq!(one.split(' ').count(), 12);
        assert_ne!(one, Fingerprint::of(b"two").to_string());
    }
}
