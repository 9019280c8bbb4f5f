//! Enrolment: an administrator's one-time link, with which an officer gives the node a passkey.

use std::net::IpAddr;
use std::sync::Arc;

use mufakat_record::kinds::credential::{Credential, LABEL_BYTES_MAX, Means};
use mufakat_record::{How, OfficerId, RecordId};
use serde_json::{Value, json};
use webauthn_rs::prelude::RegisterPublicKeyCredential;

use super::officers::{Held, Key, Officer, user_handle};
use super::passkeys::{failed, may_begin, may_try, not_set_up, remember, take};
use super::secret::{Secret, Use};
use super::state::{Ceremony, alone, note_session, put};
use crate::http::api::problem::Problem;
use crate::node::Node;
use crate::share::NotShared;
use crate::writer::Fault;

/// How many credentials an officer may have.
pub(crate) const CREDENTIALS_MAX: usize = 32;

/// Why a credential was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotEnrolled {
    /// The officer has as many as an officer may have.
    #[error("an officer has at most {CREDENTIALS_MAX} credentials; revoke one")]
    TooMany,
    /// No such officer can sign in.
    #[error("there is no such active officer")]
    NoOfficer,
    /// It could not be put on record.
    #[error("{}", .0.detail)]
    NotShared(NotShared),
    /// The node's own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Gives an officer something new to be known by.
pub(crate) async fn give(
    node: &Arc<Node>,
    officer: &OfficerId,
    means: Means,
    by: Option<OfficerId>,
) -> Result<RecordId, NotEnrolled> {
    let alone = alone(node).await;
    let known = node.desk.officer(officer).filter(|officer| officer.active).ok_or(NotEnrolled::NoOfficer)?;
    if known.credentials.len() >= CREDENTIALS_MAX {
        return Err(NotEnrolled::TooMany);
    }
    let credential = Credential { officer: officer.clone(), means, by };
    put(node, &alone, officer, credential).await?.map_err(NotEnrolled::NotShared)
}

/// Makes the secret of a one-time link for an officer. Where the officer can sign in already it gives somebody another way into that
/// officer's place, which is noted before the secret is told.
pub(crate) async fn invite(
    node: &Arc<Node>,
    officer: &OfficerId,
    valid_s: u64,
    by: Option<OfficerId>,
) -> Result<(RecordId, Secret, u64), NotEnrolled> {
    let secret = Secret::fresh(Use::Invitation);
    let expires = node.desk.now_s().saturating_add(valid_s);
    let means = Means::Invitation { secret: node.desk.hash(&secret), expires };
    let id = give(node, officer, means, by.clone()).await?;
    let enters = |held: &Held| !matches!(held.means, Means::Invitation { .. });
    if node.desk.officer(officer).is_some_and(|officer| officer.credentials.iter().any(enters)) {
        let by = by.as_ref().map_or("the operator", OfficerId::as_str);
        note_session(node, How::Operation, officer, format!("invite_officer {id} by {by}")).await?;
    }
    Ok((id, secret, expires))
}

/// The officer and the invitation to which a secret belongs, if it can be used.
pub(super) fn invited(node: &Node, text: &str) -> Option<(Arc<Officer>, Held)> {
    let hash = node.desk.hash(&Secret::read(Use::Invitation, text)?);
    let (officer, held) = node.desk.officers(|officers| officers.by_key(&Key::Secret(hash)))?;
    match held.means {
        Means::Invitation { expires, .. } if node.desk.now_s() < expires => Some((officer, held)),
        _ => None,
    }
}

/// Begins a registration: the secret of the ceremony, and what the browser hands to `navigator.credentials.create`.
pub(crate) fn begin_registration(node: &Node, from: IpAddr, invitation: &str) -> Result<(String, Value), Problem> {
    may_try(node, from, None)?;
    let passkeys = may_begin(node, from)?;
    let (officer, held) = invited(node, invitation).ok_or_else(|| failed(node, from))?;
    let own = officer.passkeys().map(|passkey| passkey.cred_id().clone()).collect();
    let handle = user_handle(&node.me, &officer.id);
    let started = passkeys.start_passkey_registration(handle, officer.id.as_str(), &officer.name, Some(own));
    let (options, state) = started.map_err(|error| not_set_up(&error))?;
    let mut options = serde_json::to_value(options).map_err(|error| not_set_up(&error))?;
    // Signing in names nobody, so the authenticator must remember whose passkey it is (§5.4.6).
    options["publicKey"]["authenticatorSelection"]["residentKey"] = json!("required");
    options["publicKey"]["authenticatorSelection"]["requireResidentKey"] = json!(true);
    let ceremony = Ceremony::Registration { officer: officer.id.clone(), invitation: held.id, state: Box::new(state) };
    Ok((remember(node, ceremony)?, options))
}

/// Finishes a registration: the officer and the record of the passkey. The invitation is used up.
pub(crate) async fn finish_registration(
    node: &Arc<Node>,
    from: IpAddr,
    ceremony: &str,
    label: &str,
    attestation: &RegisterPublicKeyCredential,
) -> Result<(OfficerId, RecordId), Problem> {
    may_try(node, from, None)?;
    if label.trim().is_empty() || label.len() > LABEL_BYTES_MAX {
        return Err(Problem::malformed("`label` has 1 to 100 bytes"));
    }
    let (Some(Ceremony::Registration { officer, invitation, state }), Some(passkeys)) =
        (take(node, ceremony), node.desk.passkeys.as_ref())
    else {
        return Err(failed(node, from));
    };
    let registered = passkeys.finish_passkey_registration(attestation, &state);
    let passkey = registered.map_err(|error| {
        tracing::info!(%officer, %error, "a passkey was refused");
        failed(node, from)
    })?;
    let alone = alone(node).await;
    // The invitation may have been used or revoked, and the officer too, while the browser was asked.
    let known = node.desk.officer(&officer).filter(|known| known.active && known.credential(&invitation).is_some());
    let taken = node.desk.officers(|officers| officers.knows(&Key::Passkey(passkey.cred_id().as_slice().to_vec())));
    if known.is_none() || taken {
        return Err(failed(node, from));
    }
    let passkey = serde_json::to_vec(&passkey).map_err(|e| Fault::Store(e.to_string()))?;
    let means = Means::Passkey { label: label.trim().to_owned(), passkey, invitation };
    let credential = Credential { officer: officer.clone(), means, by: Some(officer.clone()) };
    let id = put(node, &alone, &officer, credential).await??;
    Ok((officer, id))
}
