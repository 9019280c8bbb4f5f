//! `match-result`: a home record of what an answer and the holder's filters say of the identifiers of a question: which of them the
//! holder lists, or why that cannot be said.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::match_answer::is_reason;
use super::match_ask::ITEMS_MAX;
use super::match_filter::DELTAS_MAX;
use super::{Body, refers_once};
use crate::matching::Label;
use crate::{Header, Relation};

/// How sure a hit is. An identifier is listed or not; names are candidates only, and no more than that at any level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = MatchConfidence))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Confidence {
    /// The identifier itself is listed.
    #[n(0)]
    Exact,
    /// The name is spelt alike, letter by letter after folding, with the same year of birth or one beside it.
    #[n(1)]
    NameFolded,
    /// The consonants of the name are the same.
    #[n(2)]
    NameSkeleton,
    /// The consonants of the name are alike.
    #[n(3)]
    NameCoarse,
}

impl Confidence {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::NameFolded => "name-folded",
            Self::NameSkeleton => "name-skeleton",
            Self::NameCoarse => "name-coarse",
        }
    }
}

/// One identifier that the holder lists.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hit {
    /// Which item of the ask, counted from 0.
    #[n(1)]
    pub item: u32,
    /// How sure that is.
    #[n(2)]
    pub confidence: Confidence,
    /// What the holder says of it: the 32 bits of a [`Label`].
    #[n(3)]
    pub label: u32,
}

/// A result. The question stands in the header's references (about).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MatchResult {
    /// The number of the last filter of changes that was looked into.
    #[n(1)]
    pub through: u32,
    /// What is listed, ascending by item; nothing if none is.
    #[n(2)]
    pub hits: Vec<Hit>,
    /// The name of what was wrong with the answer or a filter; it then says nothing of any identifier.
    #[n(3)]
    pub fault: Option<String>,
}

impl Body for MatchResult {
    const KIND: &'static str = "match-result";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        let listed = |hit: &Hit| matches!(Label::from_bits(hit.label), Some(Label::Listed { .. }));
        refers_once(header, Relation::About)
            && self.through <= DELTAS_MAX
            && self.hits.iter().all(listed)
            && self.hits.last().is_none_or(|hit| (hit.item as usize) < ITEMS_MAX)
            && self.hits.windows(2).all(|pair| pair[0].item < pair[1].item)
            && self.fault.as_ref().is_none_or(|fault| is_reason(fault) && self.hits.is_empty())
    }
}
