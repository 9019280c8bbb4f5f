//! `hold` and `hold-lifted`: a legal hold keeps records from being deleted for as long as it is in force. Both stay at home:
//! that there is a case is nobody else's matter.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Body, refers_once};
use crate::{Header, OfficerId, Relation, ThreadId};

/// A legal hold. The records that it is on stand in the header's references, as what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Hold {
    /// By whom; nobody when it was placed at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// The thread that it is on, with all records of it that there are and will be.
    #[n(2)]
    pub thread: Option<ThreadId>,
    /// Why: the case, in the agency's own words. It never leaves the agency.
    #[n(3)]
    pub reason: String,
    /// Until when, in seconds since 1970; without it until it is lifted.
    #[n(4)]
    pub until: Option<u64>,
}

impl Body for Hold {
    const KIND: &'static str = "hold";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        let on_records = header.references.iter().any(|reference| reference.relation == Relation::About);
        (1..=2000).contains(&self.reason.trim().len()) && (on_records || self.thread.is_some())
    }

    fn fault(&self) -> Option<&'static str> {
        self.reason.trim().is_empty().then_some("a hold has a reason")
    }
}

/// The end of a legal hold, which stands in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct HoldLifted {
    /// By whom; nobody when it was lifted at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// Why.
    #[n(2)]
    pub reason: String,
}

impl Body for HoldLifted {
    const KIND: &'static str = "hold-lifted";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        (1..=2000).contains(&self.reason.trim().len()) && refers_once(header, Relation::About)
    }
}
