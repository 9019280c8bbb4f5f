//! The protected header of a record: COSE header parameters (RFC 9052), CWT claims (RFC 9597) and one private map.

use minicbor::{Decode, Decoder, Encode, Encoder, data::Type};
use serde::Serialize;

use crate::{AgencyId, Digest, Handling, KeyId, Reason, RecordId, ThreadId, cbor};

/// How many agencies one audience may name.
pub const AUDIENCE_MAX: usize = 256;
/// How many references one record may have.
pub const REFERENCES_MAX: usize = 64;
/// The largest protected header, in bytes.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// COSE algorithm Ed25519, fully specified (RFC 9864).
const ALG_ED25519: i64 = -19;
/// What the payload is. The kind, in the private map, says which structure it has.
const CONTENT_TYPE: &str = "application/cbor";
/// The label of the private map; labels below -65536 are for private use (RFC 9052 §11.1).
const PRIVATE_LABEL: i64 = -70001;

/// How one record refers to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Relation {
    /// It concerns the other record.
    #[n(0)]
    About,
    /// It carries the other record, an attachment, with it.
    #[n(1)]
    Attaches,
    /// It retracts the other record.
    #[n(2)]
    Retracts,
    /// It replaces the other record's body.
    #[n(3)]
    Corrects,
    /// It answers the other record.
    #[n(4)]
    Answers,
}

/// A reference to another record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Reference {
    /// What the reference means.
    #[n(0)]
    pub relation: Relation,
    /// The other record.
    #[n(1)]
    pub record: RecordId,
}

/// What a record says about itself, under its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The id of the key that signs.
    pub key: KeyId,
    /// The agency that speaks (CWT issuer).
    pub author: AgencyId,
    /// When the author says it signed, in seconds since 1970 (CWT issued-at). A claim.
    pub issued_at: u64,
    /// The matter it belongs to (CWT subject, in hexadecimal).
    pub thread: ThreadId,
    /// What the body is, such as `report`.
    pub kind: String,
    /// The agencies that may read it, ascending, without repetition. Empty means nobody.
    pub audience: Vec<AgencyId>,
    /// The hash of the register version under which the audience was chosen.
    pub register: Digest,
    /// The handling rules.
    pub handling: Handling,
    /// Other records that this one refers to, ascending.
    pub references: Vec<Reference>,
    /// When it ceases to be of use, in seconds since 1970.
    pub expires: Option<u64>,
}

impl Header {
    /// The deterministic encoding, which is what gets signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::with_capacity(256));
        // Writing into a Vec cannot fail.
        self.write(&mut e).expect("encoding into memory");
        e.into_writer()
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.map(5)?;
        e.u8(1)?.i64(ALG_ED25519)?;
        e.u8(3)?.str(CONTENT_TYPE)?;
        e.u8(4)?.encode(self.key)?;
        e.u8(15)?.map(3)?;
        e.u8(1)?.encode(&self.author)?;
        e.u8(2)?.str(&self.thread.to_string())?;
        e.u8(6)?.u64(self.issued_at)?;
        let references = u64::from(!self.references.is_empty());
        e.i64(PRIVATE_LABEL)?.map(4 + references + u64::from(self.expires.is_some()))?;
        e.u8(1)?.str(&self.kind)?;
        e.u8(2)?.encode(&self.audience)?;
        e.u8(3)?.encode(self.register)?;
        e.u8(4)?.encode(&self.handling)?;
        if references == 1 {
            e.u8(5)?.encode(&self.references)?;
        }
        if let Some(expires) = self.expires {
            e.u8(6)?.u64(expires)?;
        }
        Ok(())
    }

    /// Reads a protected header. What it does not know it refuses: a restriction overlooked is a leak.
    pub fn decode(bytes: &[u8]) -> Result<Self, Reason> {
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(Reason::Oversize);
        }
        cbor::check(bytes)?;
        let mut d = Decoder::new(bytes);
        Self::check_algorithm(bytes)?;
        let header = Self::read(&mut d).map_err(|_| Reason::Malformed)?;
        if header.references.len() > REFERENCES_MAX || header.audience.len() > AUDIENCE_MAX {
            return Err(Reason::ListTooLong);
        }
        // One form only: what decodes must encode to the same bytes, so nothing hides in a header.
        let sound = header.audience.windows(2).all(|pair| pair[0] < pair[1])
            && header.references.windows(2).all(|pair| pair[0] < pair[1])
            && header.handling.fault().is_none();
        if !sound || header.encode() != bytes {
            return Err(Reason::Malformed);
        }
        if header.audience.is_empty() {
            return Err(Reason::EmptyAudience);
        }
        Ok(header)
    }

    /// The algorithm is looked at first, so that a new one is named as unknown and not as malformed.
    fn check_algorithm(bytes: &[u8]) -> Result<(), Reason> {
        let mut d = Decoder::new(bytes);
        let mut first = || -> Result<(u64, bool), minicbor::decode::Error> {
            d.map()?;
            let label = d.u64()?;
            // COSE names algorithms by integer or by text (RFC 9052 §3.1); no text is one that we know.
            let known = if d.datatype()? == Type::String { false } else { d.i64()? == ALG_ED25519 };
            Ok((label, known))
        };
        match first() {
            Ok((1, true)) => Ok(()),
            Ok((1, false)) => Err(Reason::UnknownAlgorithm),
            _ => Err(Reason::Malformed),
        }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        let wrong = || minicbor::decode::Error::message("not a record header");
        // The values of constant entries are compared when the header is encoded again.
        d.map()?;
        d.u8()?;
        d.i64()?;
        d.u8()?;
        d.str()?;
        d.u8()?;
        let key = d.decode()?;
        d.u8()?;
        d.map()?;
        d.u8()?;
        let author = d.decode()?;
        d.u8()?;
        let thread = d.str()?.parse().map_err(|_| wrong())?;
        d.u8()?;
        let issued_at = d.u64()?;
        d.i64()?;
        let mut entries = d.map()?.ok_or_else(wrong)?;
        d.u8()?;
        let kind = d.str()?.to_owned();
        d.u8()?;
        let audience = d.decode()?;
        d.u8()?;
        let register = d.decode()?;
        d.u8()?;
        let handling = d.decode()?;
        entries = entries.checked_sub(4).ok_or_else(wrong)?;
        let (mut references, mut expires) = (Vec::new(), None);
        for _ in 0..entries {
            match d.u8()? {
                5 => references = d.decode()?,
                6 => expires = Some(d.u64()?),
                _ => return Err(wrong()),
            }
        }
        Ok(Self { key, author, issued_at, thread, kind, audience, register, handling, references, expires })
    }

    /// The one record that this one refers to in a given way, if it is exactly one.
    pub fn the_one(&self, relation: Relation) -> Option<RecordId> {
        let mut found = self.references.iter().filter(|r| r.relation == relation);
        match (found.next(), found.next()) {
            (Some(reference), None) => Some(reference.record),
            _ => None,
        }
    }

    /// Whether an agency is in the audience.
    pub fn reaches(&self, agency: &AgencyId) -> bool {
        self.audience.binary_search(agency).is_ok()
    }
}
