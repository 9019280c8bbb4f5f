//! `credential`: something by which an officer is known to the node: an invitation, a passkey, an account at an identity
//! provider, or a token. A home record. It holds no secret: of secrets only hashes.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Body;
use crate::{Digest, Header, OfficerId, RecordId};

/// The longest label, in bytes.
pub const LABEL_BYTES_MAX: usize = 100;
/// The largest passkey, in bytes.
pub const PASSKEY_BYTES_MAX: usize = 8 * 1024;
/// The longest issuer or subject, in bytes (OpenID Connect Core 1.0 §2 allows a subject 255 characters).
pub const ACCOUNT_BYTES_MAX: usize = 1024;
/// How many operations a token may name.
pub const SCOPES_MAX: usize = 128;
/// The longest name of an operation, in bytes.
pub const SCOPE_BYTES_MAX: usize = 60;

/// A credential.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct Credential {
    /// Whose it is.
    #[n(1)]
    pub officer: OfficerId,
    /// What it is.
    #[n(2)]
    pub means: Means,
    /// By whom; nobody when it was done at the node's socket. An officer who uses an invitation does so.
    #[n(3)]
    pub by: Option<OfficerId>,
}

/// What a credential is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[cbor(map)]
pub enum Means {
    /// A link by which the officer gives the node a passkey or an account, once.
    #[n(0)]
    Invitation {
        /// The hash of its secret.
        #[n(1)]
        #[serde(skip)]
        secret: Digest,
        /// Until when it can be used, in seconds since 1970.
        #[n(2)]
        expires: u64,
    },
    /// A passkey (W3C Web Authentication, Level 3).
    #[n(1)]
    Passkey {
        /// What the officer calls it.
        #[n(1)]
        label: String,
        /// The public key with what belongs to it, as JSON of webauthn-rs.
        #[cbor(n(2), with = "minicbor::bytes")]
        #[serde(skip)]
        passkey: Vec<u8>,
        /// The invitation that it used up.
        #[n(3)]
        invitation: RecordId,
    },
    /// An account at the identity provider (OpenID Connect Core 1.0).
    #[n(2)]
    Oidc {
        /// The provider.
        #[n(1)]
        issuer: String,
        /// The account there. It is never given to anybody else.
        #[n(2)]
        subject: String,
        /// The invitation that it used up.
        #[n(3)]
        invitation: RecordId,
    },
    /// A token, for programs.
    #[n(3)]
    Token {
        /// The hash of its secret.
        #[n(1)]
        #[serde(skip)]
        secret: Digest,
        /// What it is for.
        #[n(2)]
        label: String,
        /// The operations that it is good for, ascending; for all that its officer may do, when none is named.
        #[n(3)]
        scopes: Vec<String>,
        /// Until when, in seconds since 1970.
        #[n(4)]
        expires: u64,
    },
}

impl Means {
    /// The name of the kind of means.
    pub fn name(&self) -> &'static str {
        match self {
            Means::Invitation { .. } => "invitation",
            Means::Passkey { .. } => "passkey",
            Means::Oidc { .. } => "oidc",
            Means::Token { .. } => "token",
        }
    }

    /// The invitation that it used up, if it did.
    pub fn invitation(&self) -> Option<RecordId> {
        match self {
            Means::Passkey { invitation, .. } | Means::Oidc { invitation, .. } => Some(*invitation),
            Means::Invitation { .. } | Means::Token { .. } => None,
        }
    }
}

impl Body for Credential {
    const KIND: &'static str = "credential";
    const HOME: bool = true;

    fn is_sound(&self, _: &Header) -> bool {
        self.fault().is_none()
    }

    fn fault(&self) -> Option<&'static str> {
        let text = |text: &str, bytes_max| !text.trim().is_empty() && text.len() <= bytes_max;
        match &self.means {
            Means::Invitation { .. } => None,
            Means::Passkey { label, passkey, .. } => {
                let sound = text(label, LABEL_BYTES_MAX) && (1..=PASSKEY_BYTES_MAX).contains(&passkey.len());
                (!sound).then_some("a passkey has at most 8 KiB, and its `label` has 1 to 100 bytes")
            }
            Means::Oidc { issuer, subject, .. } => {
                let sound = text(issuer, ACCOUNT_BYTES_MAX) && text(subject, ACCOUNT_BYTES_MAX);
                (!sound).then_some("an issuer and a subject have 1 to 1,024 bytes")
            }
            Means::Token { label, scopes, .. } => {
                let sound = text(label, LABEL_BYTES_MAX)
                    && scopes.len() <= SCOPES_MAX
                    && scopes.iter().all(|scope| text(scope, SCOPE_BYTES_MAX))
                    && scopes.windows(2).all(|pair| pair[0] < pair[1]);
                (!sound).then_some("`label` has 1 to 100 bytes, and `scopes` names at most 128 operations, each once")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_sound_or_not() {
        let check = |means: Means, sound: bool| {
            let credential = Credential { officer: "d3-night".parse().unwrap(), means, by: None };
            assert_eq!(credential.fault().is_none(), sound, "{credential:?}");
            assert_eq!(crate::cbor::decode::<Credential>(&credential.to_body()), Ok(credential));
        };
        let invitation = RecordId([1; 32]);
        check(Means::Invitation { secret: Digest([2; 32]), expires: 0 }, true);
        let passkey =
            |label: &str, bytes| Means::Passkey { label: label.to_owned(), passkey: vec![1; bytes], invitation };
        check(passkey("EXERCISE key", PASSKEY_BYTES_MAX), true);
        check(passkey("EXERCISE key", PASSKEY_BYTES_MAX + 1), false);
        check(passkey("EXERCISE key", 0), false);
        check(passkey(" ", 1), false);
        let oidc = |subject: &str| Means::Oidc {
            issuer: "https://id.example".to_owned(),
            subject: subject.to_owned(),
            invitation,
        };
        check(oidc("248289761001"), true);
        check(oidc(""), false);
        check(oidc(&"x".repeat(ACCOUNT_BYTES_MAX + 1)), false);
        let token = |label: &str, scopes: &[&str]| Means::Token {
            secret: Digest([2; 32]),
            label: label.to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            expires: 1,
        };
        check(token("EXERCISE feed", &[]), true);
        check(token("EXERCISE feed", &["list_view", "share_record"]), true);
        check(token("EXERCISE feed", &["share_record", "list_view"]), false);
        check(token("EXERCISE feed", &["list_view", "list_view"]), false);
        check(token("", &[]), false);
        check(token(&"x".repeat(LABEL_BYTES_MAX + 1), &[]), false);
    }
}
