//! The sender of one channel: takes what waits, seals it, brings it to the recipient or to a relay, and takes the receipt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use mufakat_exchange::Plan;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::parcel::{self, Outer};
use mufakat_record::{AgencyId, KeyId, Reason, RecordId, Unverified, Verified};
use mufakat_store::{Queries, Queued};

use super::{Undelivered, call, sync};
use crate::net::Peer;
use crate::node::Node;
use crate::writer::{Fault, entropy, refused};
use crate::{chunks, clock};

/// How long a sender sleeps when it has been given no time to wake.
const NAP: Duration = Duration::from_secs(30);

/// What came of one round.
enum Round {
    /// Something was brought; look again at once.
    Again,
    /// Nothing to do until the bell rings.
    Idle,
    /// Nothing to do until then, in milliseconds since 1970.
    Until(u64),
    /// The recipient is no longer in the register.
    Gone,
}

/// Runs until the node stops or the recipient is removed.
pub(super) async fn run(node: Arc<Node>, to: AgencyId) {
    let bell = node.bells.channel(&to);
    // A node that comes up tells its partners, so that what waits for it comes at once.
    let greeted = tokio::select! {
        greeted = sync::with(&node, &to) => greeted,
        () = node.stopping() => return,
    };
    if let Err(error) = greeted {
        tracing::debug!(partner = %to, %error, "could not greet");
    }
    while !node.is_stopping() {
        let came_of_it = tokio::select! {
            came_of_it = round(&node, &to) => came_of_it,
            // A partner that does not answer must not hold up the end. What is under way is sent again after the start.
            () = node.stopping() => return,
        };
        let nap = match came_of_it {
            Ok(Round::Again) => continue,
            Ok(Round::Gone) => return,
            Ok(Round::Idle) => NAP,
            Ok(Round::Until(at_ms)) => Duration::from_millis(at_ms.saturating_sub(clock::now_ms())).min(NAP),
            Err(fault) => {
                tracing::warn!(partner = %to, %fault, "delivery rests");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = bell.notified() => {}
            () = tokio::time::sleep(nap) => {}
            () = node.stopping() => return,
        }
    }
}

async fn round(node: &Arc<Node>, to: &AgencyId) -> Result<Round, Fault> {
    let (recipient, delivery) = (to.clone(), node.config.delivery.clone());
    let relays = node.relays(to);
    let has_relay = !relays.is_empty();
    let planned = node.writer.call(move |core| {
        let Some(channel) = core.exchange.outbound(&recipient) else { return Ok(None) };
        let plan = channel.plan(clock::now_ms(), has_relay);
        let load = match plan {
            Plan::Direct(first) | Plan::Relay(first) => {
                core.store.outbox(&recipient, first, delivery.count_max, delivery.bytes_max)?
            }
            Plan::Idle | Plan::Wait(_) => Vec::new(),
        };
        Ok(Some((plan, load, core.exchange.epoch())))
    });
    let Some((plan, load, epoch)) = planned.await? else { return Ok(Round::Gone) };
    match plan {
        Plan::Idle => Ok(Round::Idle),
        Plan::Wait(until) => Ok(Round::Until(until)),
        Plan::Direct(first) => {
            let outcome = bring(node, to, epoch, &load).await;
            direct_outcome(node, to, first, outcome).await
        }
        Plan::Relay(_) => {
            let outcome = hand_over(node, to, &relays, epoch, &load).await;
            let through = load.last().map_or(0, |queued| queued.position);
            relay_outcome(node, to, through, outcome).await
        }
    }
}

/// Brings a load to the recipient itself and takes its receipt.
async fn bring(node: &Arc<Node>, to: &AgencyId, epoch: u64, load: &[Queued]) -> Result<(), Undelivered> {
    let peer = node.peer(to).ok_or_else(|| Undelivered::Unknown(to.clone()))?;
    let parcel = seal(node, to, epoch, load)?;
    node.metrics.parcel_sent(to);
    let receipt = call(node, &peer, Method::POST, "/peer/v1/parcel", parcel.into()).await?;
    take_receipt(node, to, receipt.to_vec()).await
}

/// Checks and takes a receipt that came from where it should.
pub(super) async fn take_receipt(node: &Arc<Node>, from: &AgencyId, receipt: Vec<u8>) -> Result<(), Undelivered> {
    let wrong = |_| Undelivered::Nonsense("a receipt that does not hold");
    let receipt = Unverified::parse(receipt).map_err(wrong)?;
    let receipt = receipt.verify(&*node.directory(), clock::now_s()).map_err(wrong)?;
    if receipt.header().author != *from {
        return Err(Undelivered::Nonsense("a receipt of somebody else"));
    }
    if let Ok(body) = Receipt::from_body(receipt.header(), receipt.body()) {
        for entry in &body.entries {
            node.metrics.receipt(from, entry.rejected.as_deref());
        }
    }
    let taken = node.writer.call(move |core| {
        let at_ms = clock::now_ms();
        let taken = core.exchange.take_receipt(receipt, at_ms, &mut core.random, &core.store);
        match refused(taken)? {
            Ok(batch) => core.apply(batch).map(|()| Ok(())),
            Err((reason, _)) => Ok(Err(reason)),
        }
    });
    taken.await?.map_err(|_| Undelivered::Nonsense("a receipt for something else"))
}

async fn direct_outcome(
    node: &Arc<Node>,
    to: &AgencyId,
    first: u64,
    outcome: Result<(), Undelivered>,
) -> Result<Round, Fault> {
    let jitter = u32::from_le_bytes(entropy()[..4].try_into().unwrap_or_default());
    let error = match outcome {
        Ok(()) => {
            node.heard_of(to);
            note(node, to, move |channel, now_ms| {
                // A receipt for something else does not bring the channel on; answered with it again and again, a sender
                // would neither wait nor turn to a relay.
                if channel.settled_through() >= first { channel.sent() } else { channel.failed(now_ms, jitter) }
            })
            .await?;
            return Ok(Round::Again);
        }
        Err(error) => error,
    };
    node.metrics.delivery_failed(to, error.cause());
    tracing::info!(partner = %to, %error, "not delivered");
    if let Undelivered::Refused { reason, expected, .. } = &error {
        match (reason, expected) {
            // It has lost what it had confirmed, and says from where to go on.
            (Reason::Gap, Some(expected)) => {
                let expected = *expected;
                note(node, to, move |channel, now_ms| {
                    if (1..=channel.settled_through()).contains(&expected) {
                        channel.sent();
                        channel.synced(expected);
                    } else {
                        channel.failed(now_ms, jitter);
                    }
                })
                .await?;
                return Ok(Round::Again);
            }
            // One of us does not know the other's latest keys or register yet.
            (
                Reason::UnknownKey
                | Reason::UnknownSealingKey
                | Reason::CannotOpen
                | Reason::UnknownRegister
                | Reason::KeyRevoked,
                _,
            ) => {
                if let Err(error) = sync::with(node, to).await {
                    tracing::debug!(partner = %to, %error, "could not bring keys in step");
                }
            }
            _ => {}
        }
    }
    if matches!(error, Undelivered::Unknown(_)) {
        // Without its keys nothing can be sealed; ask itself, and failing that a relay.
        sync::learn_keys(node, to).await;
    }
    let least = match &error {
        Undelivered::Refused { retry_after_s: Some(s), .. } => s.saturating_mul(1000),
        _ => 0,
    };
    note(node, to, move |channel, now_ms| {
        channel.failed(now_ms, jitter);
        channel.wait_at_least(now_ms.saturating_add(least));
    })
    .await?;
    Ok(Round::Again)
}

/// Hands a load to the first relay that takes it.
async fn hand_over(
    node: &Arc<Node>,
    to: &AgencyId,
    relays: &[AgencyId],
    epoch: u64,
    load: &[Queued],
) -> Result<(), Undelivered> {
    let parcel: Bytes = seal(node, to, epoch, load)?.into();
    let mut last = Undelivered::Unknown(to.clone());
    for relay in relays {
        let Some(peer) = node.peer(relay) else { continue };
        match hand_to(node, &peer, to, parcel.clone(), load).await {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn hand_to(
    node: &Arc<Node>,
    relay: &Peer,
    to: &AgencyId,
    parcel: Bytes,
    load: &[Queued],
) -> Result<(), Undelivered> {
    call(node, relay, Method::POST, "/peer/v1/relay", parcel).await?;
    for queued in load {
        // Records in the outbox are our own; a chunk list goes with the attachment that it belongs to.
        let Ok(record) = Verified::from_own_store(queued.bytes.clone()) else { continue };
        if record.header().kind == Attachment::KIND
            && let Ok(attachment) = Attachment::from_body(record.header(), record.body())
        {
            chunks::hand_over(node, relay, to, &attachment).await?;
        }
    }
    Ok(())
}

async fn relay_outcome(
    node: &Arc<Node>,
    to: &AgencyId,
    through: u64,
    outcome: Result<(), Undelivered>,
) -> Result<Round, Fault> {
    match outcome {
        Ok(()) => note(node, to, move |channel, now_ms| channel.relayed(through, now_ms)).await?,
        Err(error) => {
            tracing::info!(partner = %to, %error, "not relayed");
            node.metrics.delivery_failed(to, error.cause());
            if matches!(error, Undelivered::Unknown(_)) {
                sync::learn_keys(node, to).await;
            }
            note(node, to, |channel, now_ms| channel.relay_failed(now_ms)).await?;
        }
    }
    Ok(Round::Again)
}

async fn note(
    node: &Node,
    to: &AgencyId,
    note: impl FnOnce(&mut mufakat_exchange::Outbound, u64) + Send + 'static,
) -> Result<(), Fault> {
    let to = to.clone();
    let noted = node.writer.call(move |core| {
        if let Some(channel) = core.exchange.outbound(&to) {
            note(channel, clock::now_ms());
        }
        Ok(())
    });
    noted.await
}

/// Seals a load to its recipient's newest sealing key.
fn seal(node: &Node, to: &AgencyId, epoch: u64, load: &[Queued]) -> Result<Vec<u8>, Undelivered> {
    let first = load.first().map_or(0, |queued| queued.position);
    let records: Vec<(RecordId, &[u8])> = load.iter().map(|queued| (queued.record, queued.bytes.as_slice())).collect();
    sealed_for(node, to, epoch, first, &records)
}

/// Seals records to a partner; `first` is 0 for receipts.
pub(crate) fn sealed_for(
    node: &Node,
    to: &AgencyId,
    epoch: u64,
    first: u64,
    records: &[(RecordId, &[u8])],
) -> Result<Vec<u8>, Undelivered> {
    let directory = node.directory();
    let now_s = clock::now_s();
    if directory.chain().member(to).is_none() {
        return Err(Undelivered::Unknown(to.clone()));
    }
    let key = directory.sealing_key(to, now_s).ok_or_else(|| Undelivered::Unknown(to.clone()))?;
    let outer = Outer {
        suite: 0,
        sender: node.me.clone(),
        recipient: to.clone(),
        epoch,
        first,
        count: 0,
        sealing_key: KeyId([0; 16]),
        signing_key: KeyId([0; 16]),
        register_version: directory.chain().current().version,
        expires: now_s.saturating_add(directory.chain().current().rules.relay_max_s),
    };
    let sealed = parcel::seal(outer, records, &key, &node.keyring.load().signer(), entropy());
    sealed.map(|parcel| parcel.to_bytes()).map_err(|_| Undelivered::Nonsense("a load that cannot be sealed"))
}
