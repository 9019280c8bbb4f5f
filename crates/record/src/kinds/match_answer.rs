//! `match-answer`: a holder's answer to a [`match-question`](super::match_question): the elements evaluated under the key that the
//! question names, with one proof for all of them; or the reason why not.

use minicbor::{Decode, Encode};

use super::match_key::ELEMENT_BYTES;
use super::match_question::SIZES;
use super::{Body, refers_once};
use crate::{Header, Relation};

/// The length of a proof in bytes: two scalars (`Ns` of RFC 9497 each).
pub const PROOF_BYTES: usize = 64;
/// The longest name of a reason, in bytes.
const REASON_BYTES_MAX: usize = 60;

/// An answer. The question stands in the header's references (answers).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MatchAnswer {
    /// What came of it.
    #[n(1)]
    pub outcome: Outcome,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// It was answered.
    #[n(0)]
    #[cbor(map)]
    Evaluated {
        /// The evaluated elements, in the order of the question's.
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        elements: Vec<u8>,
        /// The proof that all were evaluated under the one key (RFC 9497, section 2.2).
        #[n(2)]
        #[cbor(with = "minicbor::bytes")]
        proof: [u8; PROOF_BYTES],
    },
    /// It was refused.
    #[n(1)]
    #[cbor(map)]
    Refused {
        /// The name of the reason.
        #[n(1)]
        reason: String,
    },
}

/// Whether this can be the name of a reason.
pub(super) fn is_reason(name: &str) -> bool {
    let letters = name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    (1..=REASON_BYTES_MAX).contains(&name.len()) && letters
}

impl Body for MatchAnswer {
    const KIND: &'static str = "match-answer";

    fn is_sound(&self, header: &Header) -> bool {
        let outcome = match &self.outcome {
            Outcome::Evaluated { elements, .. } => SIZES.iter().any(|size| size * ELEMENT_BYTES == elements.len()),
            Outcome::Refused { reason } => is_reason(reason),
        };
        super::to_one_partner(header) && refers_once(header, Relation::Answers) && outcome
    }
}
