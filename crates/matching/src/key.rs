//! Which key of the VOPRF answers whom: one for each asker, type of identifier and epoch, all from one secret of the epoch.
//! When that secret is erased, nobody can compute a tag of the epoch any more.

use mufakat_record::AgencyId;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::voprf::{Fault, SecretKey, expand};

/// Separates this derivation from every other that starts with a secret.
const DOMAIN: &[u8] = b"mufakat matching key 1";

/// What the keys of one epoch come from: 32 random bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct EpochSecret([u8; 32]);

impl EpochSecret {
    /// The secret that is these bytes, random or kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key for what `asker` asks about `kind` (the name of a type of identifier, or `name`) in the epoch of this number:
    /// `DeriveKeyPair` of RFC 9497 with a seed of its own for each of them, so that one key tells nothing about another, and
    /// with the same three as its public `info`.
    pub fn key(&self, asker: &AgencyId, kind: &str, epoch: u32) -> Result<SecretKey, Fault> {
        let kind_bytes = u16::try_from(kind.len()).map_err(|_| Fault::Seed)?.to_be_bytes();
        // No name of an agency is longer than 40 bytes; lengths before both names keep two triples from reading the same.
        let asker_bytes = (asker.as_str().len() as u16).to_be_bytes();
        let (asker, kind, epoch) = (asker.as_str().as_bytes(), kind.as_bytes(), epoch.to_be_bytes());
        let info = [DOMAIN, &asker_bytes, asker, &kind_bytes, kind, &epoch].concat();
        let wide = Zeroizing::new(expand(&[&self.0, &info], &[DOMAIN]));
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&wide[..32]);
        SecretKey::derive(&seed, &info)
    }
}

impl std::fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EpochSecret")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_asker_type_and_epoch_has_a_key_of_its_own() {
        let public = |secret: u8, asker: &str, kind: &str, epoch| {
            let asker = asker.parse().unwrap();
            *EpochSecret::from_bytes([secret; 32]).key(&asker, kind, epoch).unwrap().public().as_bytes()
        };
        let first = public(1, "id-police", "phone", 700);
        assert_eq!(first, public(1, "id-police", "phone", 700));
        let all = BTreeSet::from([
            first,
            public(2, "id-police", "phone", 700),
            public(1, "id-police", "phone", 701),
            public(1, "id-police", "mmsi", 700),
            public(1, "id-navy", "phone", 700),
            // The same letters, divided otherwise.
            public(1, "id-policep", "hone", 700),
        ]);
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = EpochSecret::from_bytes([7; 32]);
        let key = secret.key(&"id-police".parse().unwrap(), "phone", 1).unwrap();
        assert_eq!(format!("{secret:?} {key:?}"), "EpochSecret SecretKey");
    }

    #[test]
    fn a_name_that_two_bytes_cannot_count_is_refused() {
        let long = "x".repeat(1 << 16);
        let key = EpochSecret::from_bytes([7; 32]).key(&"id-police".parse().unwrap(), &long, 1);
        assert_eq!(key.unwrap_err(), Fault::Seed);
    }
}
