//! The node's keys at work: the key set is kept in step with the secrets, keys are replaced when due, and sealing keys erased.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::{Fingerprint, KeyId, Reason};
use mufakat_store::Store;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock;
use crate::keyring::{Changes, Keyring, Schedule, What};
use crate::net::tls;
use crate::node::Node;
use crate::share::{NotShared, say};
use crate::writer::{Fault, entropy};

/// What may be replaced when somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rotation {
    /// The key that signs records and parcels.
    Signing,
    /// The key to which partners seal.
    Sealing,
    /// The certificate of the transport.
    Tls,
    /// All of them.
    All,
}

impl From<crate::keyring::Error> for Fault {
    fn from(error: crate::keyring::Error) -> Self {
        Fault::Store(error.to_string())
    }
}

/// Makes the key set known in which the secrets of a keyring stand, if it is not the one on record, and only then takes the
/// keyring into use: nothing is signed with a key of which partners cannot know yet.
pub(crate) async fn publish(node: &Arc<Node>, keyring: Keyring) -> Result<Result<(), NotShared>, Fault> {
    let directory = node.directory();
    let origin = node.writer.call(|core| Ok(core.exchange.ledger_origin())).await?;
    let known = directory.key_set(&node.me);
    let mut next = keyring.key_set(known, &origin)?;
    // A node that was restored from a backup does not know how far it had counted; time has gone on in any case.
    next.serial = next.serial.max(clock::now_s());
    if known.is_none_or(|known| *known != KeySet { serial: known.serial, ..next.clone() })
        && let Err(no) = say(node, next, true).await?
    {
        return Ok(Err(no));
    }
    let signer = keyring.signer();
    node.keyring.store(Arc::new(keyring));
    node.writer
        .call(move |core| {
            core.exchange.set_signer(signer);
            Ok(())
        })
        .await?;
    Ok(Ok(()))
}

/// Replaces keys now, without a pause: what is signed or sealed with the old ones stays good.
pub(crate) async fn rotate(node: &Arc<Node>, what: Rotation) -> Result<Result<(), NotShared>, Fault> {
    let all = what == Rotation::All;
    if all || what == Rotation::Tls {
        rotate_tls(node)?;
    }
    let mut keys = Vec::new();
    if all || what == Rotation::Signing {
        keys.push(What::Signing);
    }
    if all || what == Rotation::Sealing {
        keys.push(What::Sealing);
    }
    replace(node, &keys).await
}

/// Replaces what is due and erases what has served. Called now and then.
pub(crate) async fn upkeep(node: &Arc<Node>) -> Result<(), Fault> {
    let age_s = clock::now_s().saturating_sub(node.tls_issued_s.load(Ordering::Relaxed));
    if age_s >= node.config.keys.tls_days * 86_400 {
        rotate_tls(node)?;
    }
    let due = node.keyring.load().due(clock::now_s(), &schedule(node));
    if !due.is_empty() {
        tracing::info!(keys = ?due, "keys are due");
        if let Err(no) = replace(node, &due).await? {
            tracing::warn!(reason = no.reason, "a key set could not be shared");
        }
    }
    Ok(())
}

fn schedule(node: &Node) -> Schedule {
    Schedule::new(&node.config.keys, node.directory().chain().current().rules.relay_max_s)
}

/// Revokes a signing key: partners take nothing that it signs from the moment in which they learn of it.
pub(crate) async fn revoke(node: &Arc<Node>, key: KeyId) -> Result<Result<(), NotShared>, Fault> {
    let mut next = Keyring::clone(&node.keyring.load());
    let directory = node.directory();
    match next.revoke(&key, directory.key_set(&node.me), clock::now_s(), &schedule(node), &mut entropy) {
        Ok(changes) => put_in_use(node, next, changes).await,
        Err(error) => Ok(Err(NotShared { reason: Reason::UnknownKey.name(), detail: error.to_string() })),
    }
}

/// New secrets are durable before anything is signed with them or sealed to them; old ones are erased only after the key set
/// that no longer names them is.
async fn replace(node: &Arc<Node>, what: &[What]) -> Result<Result<(), NotShared>, Fault> {
    if what.is_empty() {
        return Ok(Ok(()));
    }
    let mut next = Keyring::clone(&node.keyring.load());
    let mut changes = Changes::default();
    for one in what {
        let more = next.rotate(*one, clock::now_s(), &schedule(node), &mut entropy)?;
        changes.keep.extend(more.keep);
        changes.erase.extend(more.erase);
    }
    put_in_use(node, next, changes).await
}

async fn put_in_use(node: &Arc<Node>, next: Keyring, changes: Changes) -> Result<Result<(), NotShared>, Fault> {
    node.writer
        .call(move |core| {
            for secret in &changes.keep {
                core.store.put_secret(secret)?;
            }
            Ok(())
        })
        .await?;
    if let Err(no) = publish(node, next).await? {
        return Ok(Err(no));
    }
    for (purpose, key) in changes.erase {
        node.writer.alone(move |core| Ok(core.store.erase_secret(purpose, &key)?)).await?;
        tracing::info!(?purpose, %key, "a secret key is erased");
    }
    Ok(Ok(()))
}

/// A new certificate for new connections; those that stand go on.
fn rotate_tls(node: &Node) -> Result<(), Fault> {
    let identity = tls::Identity::from_seed(node.me.as_str(), node.keyring.load().identity().seed());
    let leaf = identity.and_then(|identity| tls::issue_leaf(&identity, clock::now_s()));
    node.leaf.rotate(leaf.map_err(|e| Fault::Store(e.to_string()))?);
    node.tls_issued_s.store(clock::now_s(), Ordering::Relaxed);
    Ok(())
}

/// The public halves of the agency's keys, as people look at them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PublicKeys {
    identity: IdentityKey,
    /// The number of the key set that is published.
    serial: Option<u64>,
    signing: Vec<SigningKeyShown>,
    sealing: Vec<SealingKeyShown>,
    ledger: Option<KeyId>,
    witness: Option<KeyId>,
}

/// The identity key.
#[derive(Debug, Serialize, ToSchema)]
struct IdentityKey {
    id: KeyId,
    /// Its fingerprint as twelve words.
    words: String,
}

/// A key that signs records. Times are in seconds since 1970.
#[derive(Debug, Serialize, ToSchema)]
struct SigningKeyShown {
    id: KeyId,
    from: u64,
    until: u64,
    revoked: Option<u64>,
    current: bool,
}

/// A key to which partners seal. Times are in seconds since 1970.
#[derive(Debug, Serialize, ToSchema)]
struct SealingKeyShown {
    id: KeyId,
    from: u64,
    until: u64,
    current: bool,
}

/// The public halves, of the key set that is published if there is one.
pub(crate) fn describe(keyring: &Keyring, published: Option<&KeySet>) -> PublicKeys {
    let identity = keyring.identity().public();
    let signer = keyring.signer().id();
    let signing = published.iter().flat_map(|set| &set.signing).map(|key| {
        let id = KeyId::of(&key.key);
        SigningKeyShown { id, from: key.from, until: key.until, revoked: key.revoked, current: id == signer }
    });
    let sealing = published.iter().flat_map(|set| &set.sealing).map(|key| {
        let current = published.and_then(|set| set.sealing.last()).is_some_and(|last| last.key == key.key);
        SealingKeyShown { id: KeyId::of(&key.key), from: key.from, until: key.until, current }
    });
    PublicKeys {
        identity: IdentityKey { id: identity.id(), words: Fingerprint::of(identity.as_bytes()).to_string() },
        serial: published.map(|set| set.serial),
        signing: signing.collect(),
        sealing: sealing.collect(),
        ledger: published.map(|set| KeyId::of(&set.ledger_key)),
        witness: published.map(|set| KeyId::of(&set.witness_key)),
    }
}
