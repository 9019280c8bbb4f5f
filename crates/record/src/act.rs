//! What an officer did, as a leaf of the agency's own ledger keeps it. An act never leaves the node: partners see its
//! commitment, and the originator a summary.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{Digest, OfficerId, RecordId, cbor};

/// How many further records one act may name.
pub const ACT_RECORDS_MAX: usize = 500;

/// What officers are at their agency. An officer may have several roles; each act is done in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Role {
    /// Mans the desk: takes in, asks, answers, routes.
    #[n(0)]
    DutyOfficer,
    /// Searches and writes reports.
    #[n(1)]
    Analyst,
    /// Approves what leaves the agency.
    #[n(2)]
    Releaser,
    /// Sees what is overdue, decides on holds and deletions.
    #[n(3)]
    Supervisor,
    /// Speaks with partners.
    #[n(4)]
    Liaison,
    /// Prepares meetings; sees counts, and no content that is not for it.
    #[n(5)]
    Secretariat,
    /// Speaks for the party in a forum.
    #[n(6)]
    Signatory,
    /// Sees who knew what and when.
    #[n(7)]
    Auditor,
    /// Enrols officers and keeps the node; reads no content.
    #[n(8)]
    Administrator,
}

impl Role {
    /// Every role with its name.
    pub const ALL: [(Role, &str); 9] = [
        (Role::DutyOfficer, "duty-officer"),
        (Role::Analyst, "analyst"),
        (Role::Releaser, "releaser"),
        (Role::Supervisor, "supervisor"),
        (Role::Liaison, "liaison"),
        (Role::Secretariat, "secretariat"),
        (Role::Signatory, "signatory"),
        (Role::Auditor, "auditor"),
        (Role::Administrator, "administrator"),
    ];

    /// The role's name.
    pub fn name(self) -> &'static str {
        // The table holds every variant in the order of its discriminants.
        Self::ALL[self as usize].1
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text.trim());
        let names = || Self::ALL.map(|(_, name)| name).join(", ");
        found.map(|(role, _)| *role).ok_or_else(|| format!("one of {}", names()))
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum How {
    /// A record was shown.
    #[n(0)]
    Read,
    /// A search found it.
    #[n(1)]
    Hit,
    /// It was taken out of the system: a file, another format, an evidence bundle.
    #[n(2)]
    Export,
    /// It was shared onward.
    #[n(3)]
    Forward,
    /// It was shared with its audience.
    #[n(4)]
    Release,
    /// An officer signed in.
    #[n(5)]
    SignIn,
    /// Somebody tried to sign in as the officer, and failed.
    #[n(6)]
    SignInFailed,
    /// A session ended: by the officer, by idleness, or because it was revoked.
    #[n(7)]
    SignOut,
    /// An operation of the API was asked for; its name stands in the note.
    #[n(8)]
    Operation,
}

impl How {
    /// The name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            How::Read => "read",
            How::Hit => "hit",
            How::Export => "export",
            How::Forward => "forward",
            How::Release => "release",
            How::SignIn => "sign-in",
            How::SignInFailed => "sign-in-failed",
            How::SignOut => "sign-out",
            How::Operation => "operation",
        }
    }
}

/// An act, as it stands in the detail of a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Act {
    /// What was done.
    #[n(1)]
    pub how: How,
    /// By whom; nobody when the agency's own programs did it at the node's socket.
    #[n(2)]
    pub officer: Option<OfficerId>,
    /// In which role.
    #[n(3)]
    pub role: Option<Role>,
    /// For which purpose.
    #[n(4)]
    pub purpose: Option<String>,
    /// The hash of the policy set that decided.
    #[n(5)]
    pub policy: Digest,
    /// The rule that refused; absent when it was allowed and done.
    #[n(6)]
    pub refused: Option<String>,
    /// The records that it was done to besides the leaf's subject.
    #[n(7)]
    pub records: Option<Vec<RecordId>>,
    /// More, such as by which means somebody signed in. Never content.
    #[n(8)]
    pub note: Option<String>,
}

impl Act {
    /// An act of the agency's own programs.
    pub fn of_the_node(how: How, policy: Digest) -> Self {
        Self { how, officer: None, role: None, purpose: None, policy, refused: None, records: None, note: None }
    }

    /// The detail of a leaf.
    pub fn to_detail(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads the detail of a leaf.
    pub fn from_detail(detail: &[u8]) -> Option<Self> {
        cbor::decode(detail).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_come_back() {
        let act = Act {
            officer: Some("d3-night".parse().unwrap()),
            role: Some(Role::Analyst),
            records: Some(vec![RecordId([7; 32])]),
            ..Act::of_the_node(How::Hit, Digest([1; 32]))
        };
        assert_eq!(Act::from_detail(&act.to_detail()), Some(act));
        assert_eq!(Act::from_detail(b"read"), None);
    }

    #[test]
    fn roles_have_their_names() {
        for (role, name) in Role::ALL {
            assert_eq!((name.parse(), role.name()), (Ok(role), name));
            assert_eq!(serde_json::to_value(role).unwrap(), name);
        }
        assert!("king".parse::<Role>().is_err());
    }
}
