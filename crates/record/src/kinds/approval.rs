//! `approval`: a second officer's word on what another one proposed: a draft, or a set of policies.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Body, refers_once};
use crate::{Header, OfficerId, Relation};

/// How many questions one approval may answer.
pub const CHECKS_MAX: usize = 32;
/// The longest question, in bytes.
pub const QUESTION_BYTES_MAX: usize = 500;
/// The longest reason, in bytes.
pub const WORDS_BYTES_MAX: usize = 2000;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Decision {
    /// It may go on.
    #[n(0)]
    Approve,
    /// It may not.
    #[n(1)]
    Reject,
}

/// A question that the second officer had to answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Check {
    /// The question, in the words in which it was asked.
    #[n(1)]
    pub question: String,
    /// The answer: yes or no.
    #[n(2)]
    pub answer: bool,
}

/// An approval, or a rejection. What it is about stands in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct Approval {
    /// Who decided; nobody when it was done at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// What was decided.
    #[n(2)]
    pub decision: Decision,
    /// What was asked, and the answers.
    #[n(3)]
    pub checks: Vec<Check>,
    /// Why, in the officer's words.
    #[n(4)]
    pub words: Option<String>,
}

impl Approval {
    /// Whether the officer who decided is another one than who proposed. Two are told apart by their pseudonyms; whoever holds
    /// the node's socket is the agency, and decides alone.
    pub fn is_by_another(&self, proposed_by: Option<&OfficerId>) -> bool {
        match (&self.by, proposed_by) {
            (None, _) => true,
            (Some(by), Some(other)) => by != other,
            (Some(_), None) => false,
        }
    }
}

impl Body for Approval {
    const KIND: &'static str = "approval";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        let asked = |check: &Check| (1..=QUESTION_BYTES_MAX).contains(&check.question.len());
        self.checks.len() <= CHECKS_MAX
            && self.checks.iter().all(asked)
            && self.words.as_ref().is_none_or(|words| (1..=WORDS_BYTES_MAX).contains(&words.len()))
            && refers_once(header, Relation::About)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_officers_or_the_operator() {
        let officer = |name: &str| -> Option<OfficerId> { Some(name.parse().unwrap()) };
        let by = |by| Approval { by, decision: Decision::Approve, checks: Vec::new(), words: None };
        assert!(by(officer("one")).is_by_another(officer("two").as_ref()));
        assert!(!by(officer("one")).is_by_another(officer("one").as_ref()));
        // Whoever proposed it at the socket may be the same person.
        assert!(!by(officer("one")).is_by_another(None));
        assert!(by(None).is_by_another(officer("one").as_ref()) && by(None).is_by_another(None));
    }
}
