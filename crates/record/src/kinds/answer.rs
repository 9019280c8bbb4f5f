//! `answer`: what a recipient did about a retraction or a correction.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Body, refers_once};
use crate::{Header, Relation};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Action {
    /// The record's content is deleted; its commitment in the ledger remains.
    #[n(0)]
    Deleted,
    /// The record is marked as taken back and no longer used.
    #[n(1)]
    Marked,
    /// The record is kept under the recipient's law, for the reason given.
    #[n(2)]
    Kept,
    /// The correction is shown in place of the record.
    #[n(3)]
    Corrected,
    /// The recipient does not hold the record.
    #[n(4)]
    NotHeld,
}

/// An answer. The retraction or correction that it answers stands in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Answer {
    /// What was done.
    #[n(1)]
    pub action: Action,
    /// Why, where it needs saying; always for `kept`.
    #[n(2)]
    pub reason: Option<String>,
    /// When, in seconds since 1970 by the recipient's clock.
    #[n(3)]
    pub at: u64,
}

impl Body for Answer {
    const KIND: &'static str = "answer";

    fn is_sound(&self, header: &Header) -> bool {
        let reason = self.reason.as_deref().unwrap_or_default();
        reason.len() <= 2000
            && (self.action != Action::Kept || !reason.trim().is_empty())
            && refers_once(header, Relation::Answers)
    }
}
