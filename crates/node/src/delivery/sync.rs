//! Keeping in step: two nodes tell each other where their channels stand, which register they go by, and their keys.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use mufakat_record::{AgencyId, Digest, Reason, cbor};

use super::{Undelivered, call};
use crate::clock;
use crate::net::Peer;
use crate::node::Node;
use crate::wire::{ChainParts, Sync, chain_parts, read_chain};
use crate::writer::Fault;

/// Greets a partner: one round trip when there is nothing new.
pub(super) async fn with(node: &Arc<Node>, to: &AgencyId) -> Result<(), Undelivered> {
    let peer = node.peer(to).ok_or_else(|| Undelivered::Unknown(to.clone()))?;
    let ours = our_sync(node, to).await?;
    let version = ours.register_version;
    let answer = call(node, &peer, Method::POST, "/peer/v1/sync", cbor::encode(&ours).into()).await?;
    let theirs: Sync = cbor::decode(&answer).map_err(|_| Undelivered::Nonsense("a greeting that cannot be read"))?;
    if theirs.register_version < version {
        let chain = cbor::encode(&chain_parts(node.directory().chain()));
        call(node, &peer, Method::POST, "/peer/v1/register", chain.into()).await?;
    } else if theirs.register_version > version {
        fetch_register(node, &peer).await?;
    }
    hear(node, to, &theirs).await.map_err(|reason| match reason {
        Ok(reason) => Undelivered::Refused { reason, expected: None, retry_after_s: None },
        Err(fault) => Undelivered::Fault(fault),
    })
}

/// Answers a partner's greeting.
pub(crate) async fn answer_sync(
    node: &Arc<Node>,
    from: &AgencyId,
    theirs: &Sync,
) -> Result<Sync, Result<Reason, Fault>> {
    hear(node, from, theirs).await?;
    our_sync(node, from).await.map_err(|error| match error {
        Undelivered::Fault(fault) => Err(fault),
        _ => Ok(Reason::NotFound),
    })
}

/// Takes in what a partner said of itself, and sends what waits for it.
async fn hear(node: &Arc<Node>, from: &AgencyId, theirs: &Sync) -> Result<(), Result<Reason, Fault>> {
    adopt_key_set(node, theirs.key_set.to_vec()).await.map_err(Err)?.or_else(passed_over).map_err(Ok)?;
    let (from, epoch, expected) = (from.clone(), theirs.channel_epoch, theirs.expected);
    let heard = node.writer.call(move |core| {
        let expected = match epoch.cmp(&core.exchange.epoch()) {
            // It has seen nothing of this epoch, or has lost it.
            std::cmp::Ordering::Less => 1,
            std::cmp::Ordering::Equal => expected,
            // It has seen more than this node remembers: nothing of ours is missing there.
            std::cmp::Ordering::Greater => u64::MAX,
        };
        if let Some(channel) = core.exchange.outbound(&from) {
            channel.synced(expected);
            core.wake(&from);
        }
        Ok(())
    });
    heard.await.map_err(Err)
}

/// An older key set than the one at hand says nothing new.
fn passed_over(reason: Reason) -> Result<(), Reason> {
    if reason == Reason::Stale { Ok(()) } else { Err(reason) }
}

async fn our_sync(node: &Arc<Node>, to: &AgencyId) -> Result<Sync, Undelivered> {
    let directory = node.directory();
    let key_set = directory.key_set_record(&node.me).ok_or_else(|| Undelivered::Unknown(node.me.clone()))?.to_vec();
    let register_version = directory.chain().current().version;
    let to = to.clone();
    let sync = node.writer.call(move |core| {
        let inbound = core.exchange.inbound(&to);
        Ok(Sync {
            epoch: core.exchange.epoch(),
            channel_epoch: inbound.epoch,
            expected: inbound.expected,
            register_version,
            key_set: key_set.into(),
        })
    });
    Ok(sync.await?)
}

/// Takes a key set over, from whomever it comes: its signature speaks for it.
pub(crate) async fn adopt_key_set(node: &Node, record: Vec<u8>) -> Result<Result<(), Reason>, Fault> {
    let adopted = node.writer.call(move |core| match core.exchange.adopt_key_set(&record) {
        Ok(batch) => core.apply(batch).map(|()| Ok(())),
        Err(reason) => Ok(Err(reason)),
    });
    adopted.await
}

/// Takes a register chain over, from whomever it comes: its approvals speak for it.
pub(crate) async fn adopt_chain(node: &Node, parts: ChainParts) -> Result<Result<(), Reason>, Fault> {
    let directory = node.directory();
    let ours = directory.chain().versions();
    if parts.len() <= ours.len() {
        // Nothing to learn from it; whether it is a part of ours is seen without checking a signature.
        let same = parts.iter().zip(ours).all(|((body, _), ours)| Digest::of(body) == ours.hash);
        return Ok(if same { Ok(()) } else { Err(Reason::BadRegister) });
    }
    let chain = match tokio::task::spawn_blocking(move || read_chain(parts)).await {
        Ok(Ok(chain)) => chain,
        Ok(Err(reason)) => return Ok(Err(reason)),
        Err(e) => return Err(Fault::Store(e.to_string())),
    };
    let adopted =
        node.writer.call(move |core| match core.exchange.adopt_chain(chain, clock::now_ms(), &mut core.random) {
            Ok(batch) => core.apply(batch).map(|()| Ok(())),
            Err(reason) => Ok(Err(reason)),
        });
    adopted.await
}

async fn fetch_register(node: &Arc<Node>, peer: &Peer) -> Result<(), Undelivered> {
    let body = call(node, peer, Method::GET, "/peer/v1/register", Bytes::new()).await?;
    let parts: ChainParts = cbor::decode(&body).map_err(|_| Undelivered::Nonsense("a register that cannot be read"))?;
    adopt_chain(node, parts).await?.map_err(|reason| {
        tracing::warn!(partner = %peer.agency, %reason, "the partner's register is not a continuation of ours");
        Undelivered::Refused { reason, expected: None, retry_after_s: None }
    })
}

/// Asks a partner for its register, if there may be a newer one.
pub(super) async fn learn_register(node: &Arc<Node>, at: &AgencyId) {
    let Some(peer) = node.peer(at) else { return };
    if let Err(error) = fetch_register(node, &peer).await {
        tracing::debug!(partner = %at, %error, "no newer register");
    }
}

/// Learns an agency's key set from itself, and failing that from a relay.
pub(super) async fn learn_keys(node: &Arc<Node>, agency: &AgencyId) {
    if with(node, agency).await.is_ok() {
        return;
    }
    for relay in node.relays(agency) {
        learn_keys_at(node, &relay, agency).await;
    }
}

/// Learns an agency's key set from another partner.
pub(super) async fn learn_keys_at(node: &Arc<Node>, at: &AgencyId, agency: &AgencyId) {
    let Some(peer) = node.peer(at) else { return };
    let path = format!("/peer/v1/keys/{agency}");
    match call(node, &peer, Method::GET, &path, Bytes::new()).await {
        Ok(record) => match adopt_key_set(node, record.to_vec()).await {
            Ok(Ok(()) | Err(Reason::Stale)) => {}
            Ok(Err(reason)) => tracing::warn!(partner = %at, %agency, %reason, "a key set that does not hold"),
            Err(fault) => tracing::warn!(%fault, "a key set could not be kept"),
        },
        Err(error) => tracing::debug!(partner = %at, %agency, %error, "no key set there"),
    }
}
