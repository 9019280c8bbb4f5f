//! `deletion-order`: somebody who may do so has the content of a record deleted. It stays at home.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::deletion_receipt::Why;
use super::{Body, refers_once};
use crate::{Header, OfficerId, Relation};

/// An order to delete the content of the record that stands in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct DeletionOrder {
    /// By whom; nobody when it was given at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// After a review, or for another reason.
    #[n(2)]
    pub why: Why,
    /// The reason in words. It never leaves the agency.
    #[n(3)]
    pub reason: String,
}

impl Body for DeletionOrder {
    const KIND: &'static str = "deletion-order";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        matches!(self.why, Why::Review | Why::Order)
            && (1..=2000).contains(&self.reason.trim().len())
            && refers_once(header, Relation::About)
    }
}
