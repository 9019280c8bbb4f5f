//! `saved-search`: a question that an officer wants asked again of everything that comes. A home record. One of the same officer
//! and name takes the place of an earlier one; one without a question only ends that.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::{Header, OfficerId};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 60;
/// The longest question, in bytes.
pub const QUESTION_BYTES_MAX: usize = 4_000;

/// A question with a name.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct SavedSearch {
    /// Whose it is; nobody's when it was saved at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// Its name.
    #[n(2)]
    pub name: String,
    /// The parameters of the search, as in the query of a URL; empty to end it.
    #[n(3)]
    pub question: String,
}

impl Body for SavedSearch {
    const KIND: &'static str = "saved-search";
    const HOME: bool = true;

    fn is_sound(&self, _: &Header) -> bool {
        self.fault().is_none()
    }

    fn fault(&self) -> Option<&'static str> {
        if !(1..=NAME_BYTES_MAX).contains(&self.name.len()) || self.name.chars().any(char::is_control) {
            Some("`name` has 1 to 60 bytes, without control characters")
        } else if self.question.len() > QUESTION_BYTES_MAX {
            Some("`question` has at most 4000 bytes")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named() {
        let search =
            |name: &str, question: &str| SavedSearch { by: None, name: name.into(), question: question.into() };
        assert_eq!(search("tàu cá", "q=kapal").fault(), None);
        assert_eq!(search("x", "").fault(), None);
        for (search, word) in [
            (search("", ""), "`name`"),
            (search("a\nb", ""), "`name`"),
            (search(&"x".repeat(NAME_BYTES_MAX + 1), ""), "`name`"),
            (search("x", &"q".repeat(QUESTION_BYTES_MAX + 1)), "`question`"),
        ] {
            assert!(search.fault().is_some_and(|fault| fault.contains(word)), "{word}");
        }
    }
}
