//! `draft-step`: what an officer did with a draft, other than approving or rejecting it, which an `approval` says.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::{Body, refers_once};
use crate::{AUDIENCE_MAX, Header, OfficerId, RecordId, Relation};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Step {
    /// It was put before a second officer.
    #[n(0)]
    Submitted,
    /// It was given up.
    #[n(1)]
    Discarded,
    /// It was released; the records that it became are named.
    #[n(2)]
    Released,
}

impl Step {
    /// The name for people and programs, which is also the state that a draft is in after it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Submitted => "submitted",
            Step::Discarded => "discarded",
            Step::Released => "released",
        }
    }
}

/// A step. The draft stands in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct DraftStep {
    /// Who did it; nobody when it was done at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// What.
    #[n(2)]
    pub step: Step,
    /// The records of its kind that it became, one for each recipient if the audience is hidden; for a release, and only for one. Its
    /// attachments stand in their references.
    #[n(3)]
    pub records: Option<Vec<RecordId>>,
}

impl Body for DraftStep {
    const KIND: &'static str = "draft-step";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        let records = self.records.as_ref().map(Vec::len);
        let named = match self.step {
            Step::Released => records.is_some_and(|count| (1..=AUDIENCE_MAX).contains(&count)),
            Step::Submitted | Step::Discarded => records.is_none(),
        };
        named && refers_once(header, Relation::About)
    }
}
