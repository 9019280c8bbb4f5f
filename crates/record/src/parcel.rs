//! Parcels: records on one channel, sealed to one recipient, so that a relay sees only where they go.
//!
//! A parcel is HPKE base mode (RFC 9180) in one shot; its outer header is associated data. HPKE does not say who sealed, so
//! the sender's signature stands inside, over the outer header and the ids of all records: a relay, or a recipient of the same
//! records, can neither forge a place in the channel nor move records to another recipient.

use hpke::{Deserializable, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::XWing};
use minicbor::{Decode, Decoder, Encode, Encoder, bytes::ByteVec};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{AgencyId, KeyBook, KeyId, Reason, RecordId, SealingKey, SealingPublic, SigningKey, Suite, cbor, sha256};

/// The most records in one parcel.
pub const COUNT_MAX: usize = 512;
/// The most bytes of records in one parcel; one record of the largest size always fits.
pub const CONTENT_BYTES_MAX: usize = 1024 * 1024;
/// The largest parcel on the wire.
pub const PARCEL_BYTES_MAX: usize = CONTENT_BYTES_MAX + COUNT_MAX * 8 + 4096;

const INFO: &[u8] = b"mufakat parcel 1";
const SIGNATURE_DOMAIN: &[u8] = b"mufakat parcel signature 1\0";

/// The outer header: all that a relay learns.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Outer {
    /// The sealing suite.
    #[n(1)]
    pub suite: u8,
    /// The agency whose channel this is.
    #[n(2)]
    pub sender: AgencyId,
    /// The only agency that can open it.
    #[n(3)]
    pub recipient: AgencyId,
    /// The sender's epoch: it grows when the sender's node was restored from a backup.
    #[n(4)]
    pub epoch: u64,
    /// The channel position of the first record, from 1; 0 says that the parcel carries receipts, which have no position.
    #[n(5)]
    pub first: u64,
    /// How many records it carries.
    #[n(6)]
    pub count: u64,
    /// The recipient's sealing key.
    #[n(7)]
    pub sealing_key: KeyId,
    /// The sender's signing key.
    #[n(8)]
    pub signing_key: KeyId,
    /// The register version that the sender goes by.
    #[n(9)]
    pub register_version: u64,
    /// When a relay may throw it away, in seconds since 1970.
    #[n(10)]
    pub expires: u64,
}

/// A parcel as it travels: outer header, encapsulated key, ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// What a relay may read.
    pub outer: Outer,
    outer_bytes: Vec<u8>,
    encapsulated: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Parcel {
    /// Reads a parcel, strictly.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        if bytes.len() > PARCEL_BYTES_MAX {
            return Err(Reason::Oversize);
        }
        cbor::check(bytes)?;
        let parts: (ByteVec, ByteVec, ByteVec) = minicbor::decode(bytes).map_err(|_| Reason::Malformed)?;
        let (outer_bytes, encapsulated, ciphertext): (Vec<u8>, Vec<u8>, Vec<u8>) =
            (parts.0.into(), parts.1.into(), parts.2.into());
        let suite = first_entry(&outer_bytes)?;
        Suite::from_number(u8::try_from(suite).map_err(|_| Reason::UnknownSuite)?)?;
        let outer: Outer = cbor::decode(&outer_bytes)?;
        if outer.count == 0 || outer.count > COUNT_MAX as u64 || outer.first.checked_add(outer.count).is_none() {
            return Err(Reason::Malformed);
        }
        Ok(Self { outer, outer_bytes, encapsulated, ciphertext })
    }

    /// The bytes that travel.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::with_capacity(self.ciphertext.len() + self.outer_bytes.len() + 1200));
        e.array(3)
            .and_then(|e| e.bytes(&self.outer_bytes))
            .and_then(|e| e.bytes(&self.encapsulated))
            .and_then(|e| e.bytes(&self.ciphertext))
            .expect("encoding into memory");
        e.into_writer()
    }

    /// Opens the parcel and checks that its sender sealed just this, with a key that at `now_s` is neither revoked nor past its
    /// end and grace. The records come out as they were put in, unparsed.
    pub fn open(&self, key: &SealingKey, keys: &dyn KeyBook, now_s: u64) -> Result<Vec<Vec<u8>>, Reason> {
        if key.public().id() != self.outer.sealing_key {
            return Err(Reason::UnknownSealingKey);
        }
        let encapsulated =
            <XWing as hpke::Kem>::EncappedKey::from_bytes(&self.encapsulated).map_err(|_| Reason::CannotOpen)?;
        let content = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &key.key,
            &encapsulated,
            INFO,
            &self.ciphertext,
            &self.outer_bytes,
        )
        .map_err(|_| Reason::CannotOpen)?;
        let (signature, records) = read_content(&content).map_err(|_| Reason::Malformed)?;
        if records.len() as u64 != self.outer.count {
            return Err(Reason::CountMismatch);
        }
        let state = keys.key(&self.outer.sender, &self.outer.signing_key).ok_or(Reason::UnknownKey)?;
        let ids = records.iter().map(|record| RecordId::of(record));
        state.key.verify(&to_be_signed(&self.outer_bytes, ids), signature)?;
        // The parcel does not say when it was sealed, so the key counts as used at its last good moment.
        state.permits(state.until, now_s)?;
        Ok(records.into_iter().map(<[u8]>::to_vec).collect())
    }
}

/// Seals records to one recipient. `entropy` must be fresh random bytes, used for nothing else.
pub fn seal(
    mut outer: Outer,
    records: &[(RecordId, &[u8])],
    to: &SealingPublic,
    from: &SigningKey,
    entropy: [u8; 32],
) -> Result<Parcel, Reason> {
    let bytes: usize = records.iter().map(|(_, bytes)| bytes.len()).sum();
    if records.is_empty() || records.len() > COUNT_MAX || bytes > CONTENT_BYTES_MAX {
        return Err(Reason::Oversize);
    }
    outer.suite = Suite::XWingChaCha.number();
    outer.count = records.len() as u64;
    outer.sealing_key = to.id();
    outer.signing_key = from.id();
    let outer_bytes = cbor::encode(&outer);
    let signature = from.sign(&to_be_signed(&outer_bytes, records.iter().map(|(id, _)| *id)));
    let content = write_content(&signature, records, bytes);
    let mut random = ChaCha20Rng::from_seed(entropy);
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &to.key,
        INFO,
        &content,
        &outer_bytes,
        &mut random,
    )
    .map_err(|_| Reason::CannotOpen)?;
    Ok(Parcel { outer, outer_bytes, encapsulated: encapsulated.to_bytes().to_vec(), ciphertext })
}

fn to_be_signed(outer_bytes: &[u8], ids: impl Iterator<Item = RecordId>) -> Vec<u8> {
    let ids: Vec<u8> = ids.flat_map(|id| id.0).collect();
    [SIGNATURE_DOMAIN, &sha256(outer_bytes), &sha256(&ids)].concat()
}

fn write_content(signature: &[u8; 64], records: &[(RecordId, &[u8])], bytes: usize) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(bytes + records.len() * 5 + 80));
    e.array(2)
        .and_then(|e| e.bytes(signature))
        .and_then(|e| e.array(records.len() as u64))
        .expect("encoding into memory");
    for (_, record) in records {
        e.bytes(record).expect("encoding into memory");
    }
    e.into_writer()
}

fn read_content(content: &[u8]) -> Result<(&[u8], Vec<&[u8]>), minicbor::decode::Error> {
    let wrong = || minicbor::decode::Error::message("not the content of a parcel");
    cbor::check(content).map_err(|_| wrong())?;
    let mut d = Decoder::new(content);
    if d.array()? != Some(2) {
        return Err(wrong());
    }
    let signature = d.bytes()?;
    let records = d.array_iter::<&minicbor::bytes::ByteSlice>()?;
    Ok((signature, records.map(|r| r.map(|r| -> &[u8] { r })).collect::<Result<_, _>>()?))
}

/// The suite stands first, so that a new one is named as unknown and not as malformed.
fn first_entry(outer_bytes: &[u8]) -> Result<u64, Reason> {
    cbor::check(outer_bytes)?;
    let mut d = Decoder::new(outer_bytes);
    let mut first = || -> Result<(u64, u64), minicbor::decode::Error> {
        d.map()?;
        Ok((d.u64()?, d.u64()?))
    };
    match first() {
        Ok((1, suite)) => Ok(suite),
        _ => Err(Reason::Malformed),
    }
}
