//! `policy-set`: rules with which an agency adds to the default policy of its node. A home record. It is proposed by one officer and
//! comes into force when another approves it; it then takes the place of the earlier set of its name, and one without files just
//! ends that one.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::{Header, OfficerId};

/// How many files one set may have.
pub const FILES_MAX: usize = 32;
/// The longest name of a set or a file, in bytes.
pub const NAME_BYTES_MAX: usize = 60;
/// How many bytes the texts of one set may have together, its tests included.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// A text with rules, in the language Cedar.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct PolicyFile {
    /// The name of the file, such as `evenings.cedar`.
    #[n(1)]
    pub name: String,
    /// The rules.
    #[n(2)]
    pub text: String,
}

/// A set of rules.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct PolicySet {
    /// Who proposes it; nobody when it was done at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// The name of the set, such as `evenings`.
    #[n(2)]
    pub name: String,
    /// Its files; none to end what is in force under this name.
    #[n(3)]
    pub files: Vec<PolicyFile>,
    /// Cases with the decisions that are expected.
    #[n(4)]
    pub tests: Option<String>,
}

impl Body for PolicySet {
    const KIND: &'static str = "policy-set";
    const HOME: bool = true;

    fn is_sound(&self, _: &Header) -> bool {
        self.fault().is_none()
    }

    fn fault(&self) -> Option<&'static str> {
        let of_a_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let named = (1..=NAME_BYTES_MAX).contains(&self.name.len()) && self.name.bytes().all(of_a_name);
        let file = |file: &PolicyFile| {
            (1..=NAME_BYTES_MAX).contains(&file.name.len()) && !file.name.chars().any(char::is_control)
        };
        let unique =
            |(place, file): (usize, &PolicyFile)| self.files[..place].iter().all(|other| other.name != file.name);
        let texts = self.files.iter().map(|file| file.text.len()).chain(self.tests.iter().map(String::len));
        if !named {
            Some("`name` has 1 to 60 of a-z, 0-9 and hyphens")
        } else if self.files.len() > FILES_MAX {
            Some("`files` has at most 32 files")
        } else if !self.files.iter().all(file) || !self.files.iter().enumerate().all(unique) {
            Some("each file has a name of its own of 1 to 60 bytes")
        } else if texts.sum::<usize>() > TEXT_BYTES_MAX {
            Some("the texts have at most 262144 bytes together")
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
        let file = |name: &str, text: &str| PolicyFile { name: name.into(), text: text.into() };
        let set = |name: &str, files| PolicySet { by: None, name: name.into(), files, tests: None };
        assert_eq!(set("evenings", vec![]).fault(), None);
        assert_eq!(set("e", vec![file("a.cedar", ""), file("b.cedar", "x")]).fault(), None);
        assert_eq!(set("e", vec![file("a", &"x".repeat(TEXT_BYTES_MAX))]).fault(), None);
        for (set, word) in [
            (set("", vec![]), "`name`"),
            (set("Evenings", vec![]), "`name`"),
            (set(&"x".repeat(NAME_BYTES_MAX + 1), vec![]), "`name`"),
            (set("e", (0..=FILES_MAX).map(|n| file(&n.to_string(), "")).collect()), "32 files"),
            (set("e", vec![file("a", ""), file("a", "")]), "name of its own"),
            (set("e", vec![file("", "")]), "name of its own"),
            (set("e", vec![file("a\n", "")]), "name of its own"),
            (set("e", vec![file("a", &"x".repeat(TEXT_BYTES_MAX)), file("b", "x")]), "262144"),
            (PolicySet { tests: Some("x".repeat(TEXT_BYTES_MAX + 1)), ..set("e", vec![]) }, "262144"),
        ] {
            assert!(set.fault().is_some_and(|fault| fault.contains(word)), "{word}");
        }
    }
}
