//! `permission`: the originator says what may be done with a record of its own beyond what its handling allows: to whom it may
//! be passed on, and whether it may be used as evidence.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::{AgencyId, Header, Relation};

/// How many agencies one permission may name.
pub const PERMITTED_MAX: usize = 64;

/// A permission. The record that it is about stands in the header's references, with the attachments that it carries; its
/// author is that record's author.
///
/// It says all that is permitted, and the latest one counts; so one that permits nothing withdraws what was permitted before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Permission {
    /// Whether it may be used as evidence.
    #[n(1)]
    pub evidence: bool,
    /// The agencies to whom it may be passed on, ascending, without repetition. They may pass it on among themselves.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_to: Option<Vec<AgencyId>>,
    /// Under which conditions, in the originator's words.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Permission {
    /// Whether it permits that the record is passed on to this agency.
    pub fn permits(&self, to: &AgencyId) -> bool {
        self.forward_to.as_ref().is_some_and(|list| list.contains(to))
    }
}

impl Body for Permission {
    const KIND: &'static str = "permission";

    fn is_sound(&self, header: &Header) -> bool {
        let list = self.forward_to.as_deref();
        list.is_none_or(|list| {
            (1..=PERMITTED_MAX).contains(&list.len()) && list.windows(2).all(|pair| pair[0] < pair[1])
        }) && self.note.as_ref().is_none_or(|note| note.len() <= 2000)
            && header.references.iter().any(|reference| reference.relation == Relation::About)
    }
}
