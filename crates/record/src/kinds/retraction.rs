//! `retraction`: the author takes a record back; every recipient answers with what it did.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Body, refers_once};
use crate::{Header, Relation};

/// A retraction. The record that is taken back stands in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Retraction {
    /// Why, in the author's words.
    #[n(1)]
    pub reason: String,
}

impl Body for Retraction {
    const KIND: &'static str = "retraction";

    fn is_sound(&self, header: &Header) -> bool {
        self.reason.len() <= 2000 && refers_once(header, Relation::Retracts)
    }
}
