//! `revocation`: an agency takes back a grant or a credential of an officer, or ends the officer's sessions. A home record. It
//! acts from the moment at which it is on record.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::{Header, OfficerId, RecordId};

/// The longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 400;

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Revocation {
    /// Whose grant, credential or sessions.
    #[n(1)]
    pub officer: OfficerId,
    /// What is revoked.
    #[n(2)]
    pub what: Revoked,
    /// Why.
    #[n(3)]
    pub reason: String,
    /// By whom; nobody when it was done at the node's socket.
    #[n(4)]
    pub by: Option<OfficerId>,
}

/// What is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cbor(map)]
pub enum Revoked {
    /// The grant, and with it every credential and session.
    #[n(0)]
    Officer,
    /// One credential, and the sessions that it opened.
    #[n(1)]
    Credential {
        /// The record of the credential.
        #[n(1)]
        credential: RecordId,
    },
    /// The sessions that are open.
    #[n(2)]
    Sessions,
}

impl Body for Revocation {
    const KIND: &'static str = "revocation";
    const HOME: bool = true;

    fn is_sound(&self, _: &Header) -> bool {
        self.fault().is_none()
    }

    fn fault(&self) -> Option<&'static str> {
        let sound = !self.reason.trim().is_empty() && self.reason.len() <= REASON_BYTES_MAX;
        (!sound).then_some("`reason` has 1 to 400 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_says_why() {
        let check = |what, reason: &str, sound: bool| {
            let revocation =
                Revocation { officer: "d3-night".parse().unwrap(), what, reason: reason.to_owned(), by: None };
            assert_eq!(revocation.fault().is_none(), sound, "{revocation:?}");
            assert_eq!(crate::cbor::decode::<Revocation>(&revocation.to_body()), Ok(revocation));
        };
        check(Revoked::Officer, "EXERCISE left", true);
        check(Revoked::Credential { credential: RecordId([1; 32]) }, &"x".repeat(REASON_BYTES_MAX), true);
        check(Revoked::Sessions, &"x".repeat(REASON_BYTES_MAX + 1), false);
        check(Revoked::Sessions, " ", false);
    }
}
