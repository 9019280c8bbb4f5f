//! `correction`: the author replaces the body of an earlier report; every recipient answers with what it did.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::report::Report;
use super::{Body, refers_once};
use crate::{Header, Relation};

/// A correction. The record that it corrects stands in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct Correction {
    /// Why, in the author's words.
    #[n(1)]
    pub reason: String,
    /// The report as it should have been.
    #[n(2)]
    pub report: Report,
}

impl Body for Correction {
    const KIND: &'static str = "correction";

    fn is_sound(&self, header: &Header) -> bool {
        self.reason.len() <= 2000 && refers_once(header, Relation::Corrects) && self.report.is_sound(header)
    }

    fn shortcoming(&self) -> Option<String> {
        self.report.shortcoming()
    }
}
