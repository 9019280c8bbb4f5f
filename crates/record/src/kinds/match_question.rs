//! `match-question`: an agency asks a holder to evaluate blinded identifiers. The holder learns who asks, for which purpose and on
//! which legal basis, how many identifiers there are, and nothing of what they are.

use minicbor::{Decode, Encode};

use super::match_key::ELEMENT_BYTES;
use super::request::By;
use super::{Body, refers_once};
use crate::{Digest, Header, Relation};

/// To how many elements a question is filled up: to the first of these that holds what is asked.
pub const SIZES: [usize; 4] = [16, 64, 256, COUNT_MAX];
/// The most identifiers of one question.
pub const COUNT_MAX: usize = 1024;
/// The longest legal basis, in bytes.
pub const BASIS_BYTES_MAX: usize = 400;

/// A question. The header names the one purpose among its handling, and refers to the key of the holder (about).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MatchQuestion {
    /// Who asks.
    #[n(1)]
    pub by: By,
    /// A salted hash of the case, by which the asker's inspectors find it.
    #[n(2)]
    pub case: Digest,
    /// The legal basis.
    #[n(3)]
    pub basis: String,
    /// How many of the elements stand for identifiers. The others fill up.
    #[n(4)]
    pub count: u32,
    /// The asker's commitment to the identifiers, salted.
    #[n(5)]
    pub commitment: Digest,
    /// The blinded elements, one after the other.
    #[n(6)]
    #[cbor(with = "minicbor::bytes")]
    pub elements: Vec<u8>,
}

impl MatchQuestion {
    /// How many elements it has.
    pub fn size(&self) -> usize {
        self.elements.len() / ELEMENT_BYTES
    }

    /// How many elements a question about this many identifiers has; nothing when one question cannot hold them.
    pub fn size_for(count: usize) -> Option<usize> {
        if count == 0 { None } else { SIZES.into_iter().find(|size| count <= *size) }
    }
}

impl Body for MatchQuestion {
    const KIND: &'static str = "match-question";

    fn is_sound(&self, header: &Header) -> bool {
        let one_purpose = header.handling.purposes.as_ref().is_some_and(|purposes| purposes.len() == 1);
        super::to_one_partner(header)
            && one_purpose
            && refers_once(header, Relation::About)
            && !self.basis.trim().is_empty()
            && self.basis.len() <= BASIS_BYTES_MAX
            && self.elements.len().is_multiple_of(ELEMENT_BYTES)
            && Self::size_for(self.count as usize) == Some(self.size())
    }
}
