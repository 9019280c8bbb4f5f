//! Who asks.

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use mufakat_record::{Act, Digest, How, OfficerId, RecordId, Role, Tlp};

use crate::http::api::problem::Problem;

/// By which way a caller came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Via {
    /// The node's Unix socket: the operator and the agency's own programs. The file's mode says who can open it.
    Socket,
    /// A session that a passkey or an identity provider opened.
    Session,
    /// A token, for the operations that it names; for all that its officer may do when it names none.
    Token {
        /// The names of the operations.
        scopes: Vec<String>,
    },
}

/// Whoever asks something of the node, after it was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The officer; nobody for the agency's own programs at the socket.
    pub(crate) officer: Option<OfficerId>,
    /// The grant under which the officer was let in.
    pub(crate) grant: Option<RecordId>,
    /// What the officer may act as.
    pub(crate) roles: Vec<Role>,
    /// The narrowest label that the officer is cleared for.
    pub(crate) clearance: Tlp,
    /// The purposes that the officer may act for; for any, when none is named.
    pub(crate) purposes: Vec<String>,
    /// The purpose of this request, when one was said.
    pub(crate) purpose: Option<String>,
    /// By which way it came.
    pub(crate) via: Via,
}

impl Caller {
    /// The operator at the socket, who is the agency: every role, every label, any purpose.
    pub(crate) fn operator() -> Self {
        Self {
            officer: None,
            grant: None,
            roles: Role::ALL.iter().map(|(role, _)| *role).collect(),
            clearance: Tlp::Red,
            purposes: Vec::new(),
            purpose: None,
            via: Via::Socket,
        }
    }

    /// What the ledger keeps of something that this caller does.
    pub(crate) fn act(&self, how: How, policy: Digest) -> Act {
        Act {
            officer: self.officer.clone(),
            // An officer is known by the first role of the grant.
            role: if self.officer.is_some() { self.roles.first().copied() } else { None },
            purpose: self.purpose.clone(),
            ..Act::of_the_node(how, policy)
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Every listener puts a caller in, or answers itself; without one nobody is let in.
        let nobody = || Problem::new(StatusCode::UNAUTHORIZED, "not-signed-in", "sign in first");
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}
