//! `match-list` and `match-budget`: home records of what was done to this agency's lists for private matching, and of how much a
//! partner may ask.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::{AgencyId, Digest, Header, OfficerId};

/// The longest window of a budget, in days.
pub const WINDOW_DAYS_MAX: u32 = 366;

/// What was taken in for the lists in one go. The identifiers are in no record: they stay in the node's own file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct MatchList {
    /// Who did it; nobody at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// How many identifiers are new.
    #[n(2)]
    pub new: u64,
    /// How many were listed before and have another category or handling now.
    #[n(3)]
    pub changed: u64,
    /// How many were listed before as they are.
    #[n(4)]
    pub same: u64,
    /// How many are no longer listed.
    #[n(5)]
    pub removed: u64,
    /// How many were refused.
    #[n(6)]
    pub refused: u64,
    /// The SHA-256 hash of what was handed in.
    #[n(7)]
    pub digest: Digest,
}

impl Body for MatchList {
    const KIND: &'static str = "match-list";
    const HOME: bool = true;

    fn is_sound(&self, _: &Header) -> bool {
        true
    }
}

/// How many identifiers partners may ask for within a sliding window. The latest one about a partner counts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct MatchBudget {
    /// Who set it; nobody at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// Whose it is.
    #[n(2)]
    pub partner: AgencyId,
    /// How many; 0 stops all questions of that partner.
    #[n(3)]
    pub limit: u32,
    /// Within how many days.
    #[n(4)]
    pub window_days: u32,
}

impl Body for MatchBudget {
    const KIND: &'static str = "match-budget";
    const HOME: bool = true;

    fn is_sound(&self, _: &Header) -> bool {
        (1..=WINDOW_DAYS_MAX).contains(&self.window_days)
    }
}
