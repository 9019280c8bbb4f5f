//! Names and hashes. Each is its own type, so that one cannot stand where another is meant.

use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

macro_rules! byte_name {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes themselves.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Takes exactly as many bytes as the name has, or none.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(&self.0[..6]))
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let mut out = [0; $len];
                hex::decode_to_slice(text, &mut out).map_err(|_| InvalidName)?;
                Ok(Self(out))
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Self::from_slice(d.bytes()?)
                    .ok_or_else(|| minicbor::decode::Error::message(concat!("wrong length of ", stringify!($name))))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

byte_name!(
    /// SHA-256 of a whole signed record. Two records with the same id are the same bytes.
    RecordId, 32
);
byte_name!(
    /// SHA-256 of something that is not a record: a register version, a chunk of an attachment.
    Digest, 32
);
byte_name!(
    /// What ties records of one matter together; chosen at random by whoever opens the matter.
    ThreadId, 16
);
byte_name!(
    /// The first 16 bytes of SHA-256 of a public key.
    KeyId, 16
);

impl RecordId {
    /// The id of a signed message.
    pub fn of(message: &[u8]) -> Self {
        Self(sha256(message))
    }
}

impl Digest {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }
}

impl KeyId {
    /// The id of a public key, whatever its algorithm.
    pub fn of(public: &[u8]) -> Self {
        let mut out = [0; 16];
        out.copy_from_slice(&sha256(public)[..16]);
        Self(out)
    }
}

/// A text that is not a name of the kind that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a valid name: 2 to 40 of a-z, 0-9 and inner hyphens for an agency, party, forum or officer; hexadecimal for an id"
)]
pub struct InvalidName;

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $wrong:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if is_text_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                d.str()?.parse().map_err(|_| minicbor::decode::Error::message($wrong))
            }
        }
    };
}

fn is_text_name(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (2..=40).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

text_name!(
    /// The name of an agency, a party or a forum: 2 to 40 of `a-z`, `0-9` and inner hyphens.
    AgencyId, "not a valid agency name"
);
text_name!(
    /// The pseudonym by which an officer is known, at home and to other agencies: 2 to 40 of `a-z`, `0-9` and inner hyphens.
    OfficerId, "not a valid pseudonym of an officer"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["vn-police", "ru", "a1", "asean-secretariat"] {
            assert!(good.parse::<AgencyId>().is_ok(), "{good}");
        }
        for bad in ["", "a", "-ab", "ab-", "AB", "a b", "a.b", "ă", &"x".repeat(41)] {
            assert!(bad.parse::<AgencyId>().is_err(), "{bad}");
        }
    }
}
