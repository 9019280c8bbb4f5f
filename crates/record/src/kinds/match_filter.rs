//! `match-filter`: a holder tells one partner that the filter of its list, or of what changed in it, is there. The filter itself is
//! the attachment to which the record refers.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::{Body, refers_once};
use crate::{Digest, Header, Relation};

/// How many filters of changes may follow one of a whole list; after these comes another one of the whole.
pub const DELTAS_MAX: u32 = 60;

/// The most identifiers of one filter: as many as there are numbers by which a holder finds them ([`crate::matching::Label`]).
pub const CLASS_MAX: u32 = crate::matching::HANDLES;

/// A filter. The header refers to the key under which it was made (about), and to the attachment (attaches).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct MatchFilter {
    /// 0 for the whole list; the filters of what changed since are counted from 1.
    #[n(1)]
    pub number: u32,
    /// How many identifiers the filter has room for. How many it holds, nobody can see.
    #[n(2)]
    pub class: u32,
    /// The SHA-256 hash of the filter's bytes.
    #[n(3)]
    pub digest: Digest,
}

impl Body for MatchFilter {
    const KIND: &'static str = "match-filter";

    fn is_sound(&self, header: &Header) -> bool {
        super::to_one_partner(header)
            && self.number <= DELTAS_MAX
            && (1..=CLASS_MAX).contains(&self.class)
            && refers_once(header, Relation::About)
            && refers_once(header, Relation::Attaches)
    }
}
