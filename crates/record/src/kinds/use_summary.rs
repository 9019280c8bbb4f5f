//! `use-summary`: an agency tells the originator of records how they were used.
//!
//! A summary covers a run of leaves of its author's ledger. The next one for the same originator begins where it ends, so the
//! originator sees that none is missing. It names roles, never officers.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::{Body, is_own_origin};
use crate::{Header, How, RecordId, Role};

/// How many lines one summary may have.
pub const USES_MAX: usize = 1024;
/// The longest purpose, in bytes.
pub const PURPOSE_BYTES_MAX: usize = 200;

/// One way in which one record was used.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct Use {
    /// The record.
    #[n(1)]
    pub record: RecordId,
    /// How.
    #[n(2)]
    pub how: How,
    /// In which role; none for the agency's own programs.
    #[n(3)]
    pub role: Option<Role>,
    /// For which purpose, if one was said.
    #[n(4)]
    pub purpose: Option<String>,
    /// How often.
    #[n(5)]
    pub count: u64,
    /// When for the first time, in seconds since 1970 by the author's clock.
    #[n(6)]
    pub first: u64,
    /// When for the last time.
    #[n(7)]
    pub last: u64,
}

impl Use {
    /// By what lines are told apart, and the order in which they stand.
    pub fn key(&self) -> (RecordId, How, Option<Role>, Option<&str>) {
        (self.record, self.how, self.role, self.purpose.as_deref())
    }

    fn is_sound(&self) -> bool {
        matches!(self.how, How::Read | How::Hit | How::Export | How::Forward)
            && self.purpose.as_ref().is_none_or(|purpose| (1..=PURPOSE_BYTES_MAX).contains(&purpose.len()))
            && self.count > 0
            && self.first <= self.last
    }
}

/// A summary. It goes to the originator alone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct UseSummary {
    /// The origin of the ledger in which the uses stand.
    #[n(1)]
    pub ledger: String,
    /// The first leaf that it covers.
    #[n(2)]
    pub from: u64,
    /// The first leaf that it no longer covers.
    #[n(3)]
    pub until: u64,
    /// How the originator's records were used within these leaves, in ascending order.
    #[n(4)]
    pub uses: Vec<Use>,
}

impl Body for UseSummary {
    const KIND: &'static str = "use-summary";

    fn is_sound(&self, header: &Header) -> bool {
        header.audience.len() == 1
            && is_own_origin(header, &self.ledger)
            && self.from < self.until
            && (1..=USES_MAX).contains(&self.uses.len())
            && self.uses.iter().all(Use::is_sound)
            && self.uses.windows(2).all(|pair| pair[0].key() < pair[1].key())
    }
}
