//! Secrets that the desk gives out once: for sessions, invitations, tokens and ceremonies.
//!
//! A secret is 256 random bits, so that nobody finds one by trying. The node keeps its hash alone. The hash covers what the
//! secret is for, the agency and the node's epoch: a secret is good for one thing at one node, and one that was given out
//! before a backup was restored is good for nothing, because the restored node may have forgotten that it was revoked.
//! Looking a hash up need not take constant time: whoever tries chooses the secret, not its hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mufakat_record::{AgencyId, Digest};
use zeroize::Zeroizing;

use crate::writer::entropy;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A session; a browser keeps it as a cookie.
    Session,
    /// An invitation, in the one-time link of an officer.
    Invitation,
    /// A token of a program.
    Token,
    /// A ceremony between its beginning and its end.
    Ceremony,
}

impl Use {
    /// How the text of such a secret begins, so that people and scanners know what they found.
    fn prefix(self) -> &'static str {
        match self {
            Use::Session => "mfs_",
            Use::Invitation => "mfi_",
            Use::Token => "mft_",
            Use::Ceremony => "mfc_",
        }
    }
}

/// A secret. It is wiped from memory when dropped.
pub(crate) struct Secret {
    what: Use,
    bytes: Zeroizing<[u8; 32]>,
}

impl Secret {
    /// A new one.
    pub(crate) fn fresh(what: Use) -> Self {
        Self { what, bytes: Zeroizing::new(entropy()) }
    }

    /// Reads the text of one.
    pub(crate) fn read(what: Use, text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(what.prefix())?).ok()?);
        Some(Self { what, bytes: Zeroizing::new(bytes.as_slice().try_into().ok()?) })
    }

    /// The text of it.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.what.prefix(), URL_SAFE_NO_PAD.encode(*self.bytes))
    }
}

/// The node at which secrets are good.
#[derive(Debug, Clone)]
pub(crate) struct Realm {
    agency: AgencyId,
    epoch: u64,
}

impl Realm {
    /// The node of an agency in an epoch.
    pub(crate) fn new(agency: AgencyId, epoch: u64) -> Self {
        Self { agency, epoch }
    }

    /// What this node keeps of a secret.
    pub(crate) fn hash(&self, secret: &Secret) -> Digest {
        let domain = format!("mufakat/desk/{}/{}/{}/", secret.what.prefix(), self.agency, self.epoch);
        let text = Zeroizing::new([domain.as_bytes(), &secret.bytes[..]].concat());
        Digest::of(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_from_its_text() {
        let secret = Secret::fresh(Use::Token);
        let again = Secret::read(Use::Token, &secret.text()).unwrap();
        assert_eq!(again.bytes, secret.bytes);
        assert_ne!(Secret::fresh(Use::Token).bytes, secret.bytes);
        assert!(Secret::read(Use::Session, &secret.text()).is_none());
        for wrong in ["", "mft_", "mft_AAAA", &format!("{}A", secret.text()), &secret.text()[4..]] {
            assert!(Secret::read(Use::Token, wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_good_for_one_thing_at_one_node() {
        let realm = |agency: &str, epoch| Realm::new(agency.parse().unwrap(), epoch);
        let secret = Secret::fresh(Use::Token);
        let hash = realm("vn-police", 1).hash(&secret);
        assert_eq!(realm("vn-police", 1).hash(&secret), hash);
        assert_ne!(realm("ru-police", 1).hash(&secret), hash);
        assert_ne!(realm("vn-police", 2).hash(&secret), hash);
        let other = Secret { what: Use::Invitation, bytes: secret.bytes.clone() };
        assert_ne!(realm("vn-police", 1).hash(&other), hash);
    }
}
