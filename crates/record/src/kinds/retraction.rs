//! `retraction`: the author takes a record back; every recipient answers with what it did.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Body, refers_once};
use crate::{Header, RECORD_BYTES_MAX, Relation};

/// A retraction. The record that is taken back stands in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Retraction {
    /// Why, in the author's words.
    #[n(1)]
    pub reason: String,
    /// When a record that was passed on is taken back because its originator took it back or corrected it: the retraction or
    /// correction, as it came. So those to whom it was passed on can check whose word it is.
    #[cbor(n(2), with = "minicbor::bytes")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carries: Option<Vec<u8>>,
}

impl Body for Retraction {
    const KIND: &'static str = "retraction";

    fn is_sound(&self, header: &Header) -> bool {
        self.reason.len() <= 2000
            && self.carries.as_ref().is_none_or(|carried| carried.len() < RECORD_BYTES_MAX)
            && refers_once(header, Relation::Retracts)
    }
}
