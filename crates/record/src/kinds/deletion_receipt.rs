//! `deletion-receipt`: an agency tells the originator that it deleted the content of a record, why, and how much of it there was.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Body, refers_once};
use crate::{AgencyId, Header, Relation};

/// Why content is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Why {
    /// Its originator, or whoever passed it on, took it back.
    #[n(0)]
    Retracted,
    /// It was past its expiry.
    #[n(1)]
    Expired,
    /// It was looked at again, and is needed no longer.
    #[n(2)]
    Review,
    /// Somebody who may do so ordered it.
    #[n(3)]
    Order,
}

impl Why {
    /// The name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Why::Retracted => "retracted",
            Why::Expired => "expired",
            Why::Review => "review",
            Why::Order => "order",
        }
    }
}

/// A deletion receipt. The originator's record, by the id that the originator gave it, stands in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct DeletionReceipt {
    /// Why.
    #[n(1)]
    pub why: Why,
    /// When, in seconds since 1970 by the clock of whoever deleted it.
    #[n(2)]
    pub at: u64,
    /// How many records with its content were deleted, the record itself included.
    #[n(3)]
    pub copies: u64,
    /// How many attachments were deleted with it.
    #[n(4)]
    pub attachments: u64,
    /// Through which agency it had come, if not from the originator.
    #[n(5)]
    pub through: Option<AgencyId>,
}

impl Body for DeletionReceipt {
    const KIND: &'static str = "deletion-receipt";

    fn is_sound(&self, header: &Header) -> bool {
        self.copies > 0 && refers_once(header, Relation::About)
    }
}
