//! Signing in with a passkey (W3C Web Authentication, Level 3). The officer names nobody: the authenticator knows its officer,
//! so that who is not signed in learns of no pseudonym. The person is verified by the authenticator, by PIN or fingerprint.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use mufakat_record::{How, OfficerId};
use mufakat_views::officers::SignInNote;
use serde_json::Value;
use webauthn_rs::prelude::{PublicKeyCredential, Url, WebauthnError};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use super::door::{failed_from, too_many};
use super::officers::{Held, Key, Officer, user_handle};
use super::secret::{Secret, Use};
use super::state::{Ceremony, Error, alone, lock, note_session, open_session, refresh};
use crate::http::api::problem::Problem;
use crate::node::Node;
use crate::writer::Fault;

/// The name by which authenticators show the node.
const NAME: &str = "Mufakat";

/// The desk as authenticators know it: by the host of its origin.
pub(super) fn relying_party(origin: &str) -> Result<Webauthn, Error> {
    let wrong = |why: &dyn std::fmt::Display| Error::Origin(why.to_string());
    let url = Url::parse(origin).map_err(|e| wrong(&e))?;
    let host = url.domain().ok_or_else(|| wrong(&"it must name a host, and no address"))?;
    WebauthnBuilder::new(host, &url).and_then(|builder| builder.rp_name(NAME).build()).map_err(|e| wrong(&e))
}

/// Begins a sign-in: the secret of the ceremony, and what the browser hands to `navigator.credentials.get`.
pub(crate) fn begin(node: &Node, from: IpAddr) -> Result<(String, Value), Problem> {
    let (options, state) =
        may_begin(node, from)?.start_discoverable_authentication().map_err(|error| not_set_up(&error))?;
    let mut options = serde_json::to_value(options).map_err(|error| not_set_up(&error))?;
    // The library serves forms that fill themselves in; here a person presses a button.
    if let Some(options) = options.as_object_mut() {
        options.remove("mediation");
    }
    Ok((remember(node, Ceremony::SignIn(Box::new(state)))?, options))
}

/// What ceremonies are held with, for an address that has not begun too many.
pub(super) fn may_begin(node: &Node, from: IpAddr) -> Result<&Webauthn, Problem> {
    count_beginning(node, from)?;
    node.desk.passkeys.as_ref().ok_or_else(|| not_set_up(&"`desk.origin` is not set"))
}

/// Counts a beginning; refuses when there were too many.
pub(super) fn count_beginning(node: &Node, from: IpAddr) -> Result<(), Problem> {
    let (now, mut begun) = (Instant::now(), lock(&node.desk.begun_from));
    if let Some(wait) = begun.wait(&from, now) {
        return Err(too_many(wait));
    }
    begun.count(&from, now);
    Ok(())
}

/// Keeps a ceremony; gives the text of its secret.
pub(super) fn remember(node: &Node, ceremony: Ceremony) -> Result<String, Problem> {
    let secret = Secret::fresh(Use::Ceremony);
    let hash = node.desk.hash(&secret);
    if lock(&node.desk.ceremonies).begin(hash, ceremony, Instant::now()) {
        return Ok(secret.text());
    }
    Err(Fault::Overloaded.into())
}

/// Takes a ceremony out by the text of its secret.
pub(super) fn take(node: &Node, text: &str) -> Option<Ceremony> {
    let hash = node.desk.hash(&Secret::read(Use::Ceremony, text)?);
    lock(&node.desk.ceremonies).take(&hash, Instant::now())
}

pub(super) fn not_set_up(why: &dyn std::fmt::Display) -> Problem {
    tracing::warn!(%why, "a ceremony could not be begun");
    Problem::conflict("not-set-up", "this way of signing in is not set up at this node")
}

/// The one answer to whoever fails to sign in, whatever was wrong.
pub(super) fn failed(node: &Node, from: IpAddr) -> Problem {
    match failed_from(&node.desk, from) {
        Some(wait) => too_many(wait),
        None => Problem::new(http::StatusCode::UNAUTHORIZED, "sign-in-failed", "that did not sign anybody in"),
    }
}

/// Whether an address or an officer has failed too often.
pub(super) fn may_try(node: &Node, from: IpAddr, officer: Option<&OfficerId>) -> Result<(), Problem> {
    let now = Instant::now();
    let wait = lock(&node.desk.failed_from).wait(&from, now);
    let wait = wait.or_else(|| lock(&node.desk.failed_for).wait(officer?, now));
    wait.map_or(Ok(()), |wait| Err(too_many(wait)))
}

/// Finishes a sign-in: the officer and the secret of a session.
pub(crate) async fn finish(
    node: &Arc<Node>,
    from: IpAddr,
    ceremony: &str,
    assertion: &PublicKeyCredential,
) -> Result<(Arc<Officer>, Secret), Problem> {
    may_try(node, from, None)?;
    let (Some(Ceremony::SignIn(state)), Some(passkeys)) = (take(node, ceremony), node.desk.passkeys.as_ref()) else {
        return Err(failed(node, from));
    };
    // Two sign-ins with one passkey at the same time must not both pass with the same count.
    let _alone = alone(node).await;
    let key = Key::Passkey(assertion.get_credential_id().to_vec());
    let Some((officer, held)) = node.desk.officers(|officers| officers.by_key(&key)) else {
        return Err(failed(node, from));
    };
    may_try(node, from, Some(&officer.id))?;
    let verified = verify(node, passkeys, &officer, &held, assertion, *state);
    let counter = match verified {
        Ok(counter) => counter,
        Err(error) => return Err(failed_as(node, from, &officer, &held, &error).await?),
    };
    let note = SignInNote { means: held.means.name().to_owned(), credential: held.id, counter: Some(counter) };
    let session = open_session(node, &officer, held.id, note.to_string()).await?.ok_or(Fault::Overloaded)?;
    refresh(node, &officer.id).await?;
    Ok((officer, session))
}

/// Verifies an assertion; gives the passkey's count of its uses.
fn verify(
    node: &Node,
    passkeys: &Webauthn,
    officer: &Officer,
    held: &Held,
    assertion: &PublicKeyCredential,
    state: webauthn_rs::prelude::DiscoverableAuthentication,
) -> Result<u32, WebauthnError> {
    let (handle, _) = passkeys.identify_discoverable_authentication(assertion)?;
    if handle != user_handle(&node.me, &officer.id) {
        return Err(WebauthnError::InvalidUserUniqueId);
    }
    let passkey = held.passkey.as_ref().ok_or(WebauthnError::CredentialNotFound)?;
    let result = passkeys.finish_discoverable_authentication_v2(assertion, state, passkey)?;
    // The library compares with the count at the registration; the last one stands in the ledger. A passkey that counts and
    // does not go on is a copy, or there is one (§7.2, step 22).
    let counts = result.counter() > 0 || held.counter > 0;
    if counts && result.counter() <= held.counter {
        return Err(WebauthnError::CredentialPossibleCompromise);
    }
    Ok(result.counter())
}

/// Counts and notes a failure for an officer.
async fn failed_as(
    node: &Arc<Node>,
    from: IpAddr,
    officer: &Officer,
    held: &Held,
    error: &WebauthnError,
) -> Result<Problem, Fault> {
    lock(&node.desk.failed_for).count(&officer.id, Instant::now());
    let why = match error {
        WebauthnError::CredentialPossibleCompromise => "copied",
        _ => "refused",
    };
    if why == "copied" {
        tracing::warn!(officer = %officer.id, credential = %held.id, "a passkey counts backwards: there may be a copy of it");
    }
    note_session(node, How::SignInFailed, &officer.id, format!("{} {} {why}", held.means.name(), held.id)).await?;
    Ok(failed(node, from))
}
