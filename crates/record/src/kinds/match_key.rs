//! `match-key`: a holder's public key for private matching with one partner about one subject, in one epoch. It stands in the
//! holder's witnessed ledger, so that nobody is given a key that others could not be shown.

use minicbor::{Decode, Encode};

use super::Body;
use crate::Header;
use crate::matching::Subject;

/// The length of a public key and of any group element, in bytes (ristretto255, RFC 9496; `Ne` of RFC 9497).
pub const ELEMENT_BYTES: usize = 32;

/// The longest time for which a key is answered under, in seconds: partners keep what belongs to it so long.
pub const SPAN_S_MAX: u64 = 500 * 86_400;

/// A public key. It goes to the partner alone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MatchKey {
    /// What it is for.
    #[n(1)]
    pub subject: Subject,
    /// The epoch: the day since 1970 on which it began.
    #[n(2)]
    pub epoch: u32,
    /// The public key of the VOPRF (RFC 9497, ristretto255-SHA512).
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub key: [u8; ELEMENT_BYTES],
    /// From when the holder answers under it, in seconds since 1970.
    #[n(4)]
    pub from: u64,
    /// Until when. Soon after that the holder erases the secret half.
    #[n(5)]
    pub until: u64,
}

impl Body for MatchKey {
    const KIND: &'static str = "match-key";

    fn is_sound(&self, header: &Header) -> bool {
        let span_s = self.until.checked_sub(self.from);
        super::to_one_partner(header) && span_s.is_some_and(|span_s| (1..=SPAN_S_MAX).contains(&span_s))
    }
}
