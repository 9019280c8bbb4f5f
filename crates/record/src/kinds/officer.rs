//! `officer`: a grant, by which an agency says who one of its officers is and what the officer may do. A home record: the
//! latest grant of a pseudonym counts.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::{Header, OfficerId, Role, Tlp};

/// The longest name of an officer, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// How many purposes one grant may name.
pub const PURPOSES_MAX: usize = 32;
/// The longest name of a purpose, in bytes.
pub const PURPOSE_BYTES_MAX: usize = 100;

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Officer {
    /// The pseudonym, at home and towards other agencies.
    #[n(1)]
    pub officer: OfficerId,
    /// The name for people at home; other agencies never see it.
    #[n(2)]
    pub name: String,
    /// What the officer may act as, ascending; the first is the one that partners see.
    #[n(3)]
    pub roles: Vec<Role>,
    /// The narrowest label that the officer is cleared for.
    #[n(4)]
    pub clearance: Tlp,
    /// The purposes that the officer may act for; for any, when none is named.
    #[n(5)]
    pub purposes: Option<Vec<String>>,
    /// Whether the officer can sign in now. One who is on leave keeps the credentials.
    #[n(6)]
    pub active: bool,
    /// By whom; nobody when it was done at the node's socket.
    #[n(7)]
    pub by: Option<OfficerId>,
}

impl Body for Officer {
    const KIND: &'static str = "officer";
    const HOME: bool = true;

    fn is_sound(&self, _: &Header) -> bool {
        self.fault().is_none()
    }

    fn fault(&self) -> Option<&'static str> {
        let named = |name: &str, bytes_max| !name.trim().is_empty() && name.len() <= bytes_max;
        let ascending = |purposes: &Vec<String>| purposes.windows(2).all(|pair| pair[0] < pair[1]);
        let purposes_sound = self.purposes.as_ref().is_none_or(|purposes| {
            (1..=PURPOSES_MAX).contains(&purposes.len())
                && purposes.iter().all(|purpose| named(purpose, PURPOSE_BYTES_MAX))
                && ascending(purposes)
        });
        if !named(&self.name, NAME_BYTES_MAX) {
            Some("`name` has 1 to 200 bytes")
        } else if self.roles.is_empty() || !self.roles.windows(2).all(|pair| pair[0] < pair[1]) {
            Some("`roles` names one role at least, and each once")
        } else if !purposes_sound {
            Some("`purposes` names at most 32 purposes, each once and in 1 to 100 bytes")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn grant() -> Officer {
        Officer {
            officer: "d3-night".parse().unwrap(),
            name: "EXERCISE Nguyễn".to_owned(),
            roles: vec![Role::DutyOfficer, Role::Analyst],
            clearance: Tlp::Amber,
            purposes: Some(vec!["counter-terrorism".to_owned(), "piracy".to_owned()]),
            active: true,
            by: None,
        }
    }

    #[test]
    fn a_grant_says_who_and_what() {
        assert_eq!(grant().fault(), None);
        let wrong: [fn(&mut Officer); 8] = [
            |grant| grant.name = " ".to_owned(),
            |grant| grant.name = "x".repeat(NAME_BYTES_MAX + 1),
            |grant| grant.roles.clear(),
            |grant| grant.roles = vec![Role::Analyst, Role::DutyOfficer],
            |grant| grant.roles = vec![Role::Analyst, Role::Analyst],
            |grant| grant.purposes = Some(Vec::new()),
            |grant| grant.purposes = Some(vec!["piracy".to_owned(); 2]),
            |grant| grant.purposes = Some(vec!["x".repeat(PURPOSE_BYTES_MAX + 1)]),
        ];
        for break_it in wrong {
            let mut broken = grant();
            break_it(&mut broken);
            assert!(broken.fault().is_some(), "{broken:?}");
        }
    }
}
