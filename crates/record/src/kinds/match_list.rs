//! `match-list`, `match-budget` and `match-alarm`: home records of what was done to this agency's lists for private matching, of how
//! much a partner may ask, and of when it has asked nearly that much or all of it.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Body, refers_once};
use crate::{AgencyId, Digest, Header, OfficerId, Relation};

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

/// How far a partner has come in its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Mark {
    /// Four fifths of it are used.
    #[n(0)]
    Near,
    /// A question was refused because it would not hold it.
    #[n(1)]
    Exhausted,
}

impl Mark {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A partner's budget has come to a mark. The question that brought it there stands in the header's references (about). The node
/// makes it by itself, so no officer stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct MatchAlarm {
    /// Whose budget.
    #[n(1)]
    pub partner: AgencyId,
    /// Which mark.
    #[n(2)]
    pub mark: Mark,
    /// How many elements of that partner's questions were evaluated within the window.
    #[n(3)]
    pub used: u64,
    /// How many may be.
    #[n(4)]
    pub limit: u32,
}

impl Body for MatchAlarm {
    const KIND: &'static str = "match-alarm";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        refers_once(header, Relation::About)
    }
}
