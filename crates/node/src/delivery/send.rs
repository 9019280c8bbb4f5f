//! The sender of one channel: takes what waits, seals it, brings it to the recipient or to a relay, and takes the receipt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use mufakat_exchange::{Departed, Outbound, Plan, UNDER_WAY_MAX};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::onward::attachment_of;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::parcel::{self, Outer};
use mufakat_record::{AgencyId, KeyId, Reason, RecordId, Unverified, Verified};
use mufakat_store::{Queries, Queued};
use tokio::sync::Notify;

use super::{Undelivered, call, sync};
use crate::net::Peer;
use crate::node::Node;
use crate::writer::{Core, Fault, entropy, refused};
use crate::{chunks, clock};

/// How long a sender sleeps when it has been given no time to wake.
const NAP: Duration = Duration::from_secs(30);

/// What is told of an attempt, in the same transaction in which the next one is planned.
type Conclusion = Box<dyn FnOnce(&mut Core) -> Result<(), Fault> + Send>;

/// What to do next about a channel, and what there is to send.
struct Planned {
    plan: Plan,
    load: Vec<Queued>,
    epoch: u64,
    attempt: Attempt,
}

/// An attempt, for whoever concludes it.
struct Attempt {
    node: Arc<Node>,
    to: AgencyId,
    /// What left, if it left for the recipient itself.
    departed: Option<Departed>,
    /// See [`Core::loads`].
    loads: u64,
}

impl Attempt {
    /// Tells the channel how this ended, unless the exchange was read anew and knows of no such attempt.
    fn on_channel(self, tell: impl FnOnce(&mut Outbound, u64) + Send + 'static) -> Conclusion {
        Box::new(move |core| {
            if let Some(channel) = core.exchange.outbound(&self.to).filter(|_| core.loads == self.loads) {
                tell(channel, clock::now_ms());
            }
            Ok(())
        })
    }
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
    // If this task was begun again after a fault of ours, nobody will tell how the attempts of the last one ended.
    let recipient = to.clone();
    let begun = node.writer.call_in_turn(move |core| {
        if let Some(channel) = core.exchange.outbound(&recipient) {
            channel.abandoned();
        }
        Ok(())
    });
    if let Err(fault) = begun.await {
        tracing::warn!(partner = %to, %fault, "delivery does not begin");
        return;
    }
    // Each of these has at most one parcel under way; the channel says when another may follow.
    join_all((0..UNDER_WAY_MAX).map(|_| lane(&node, &to, &bell))).await;
}

async fn lane(node: &Arc<Node>, to: &AgencyId, bell: &Notify) {
    let mut last = None;
    loop {
        let planned = plan(node, to, last.take()).await;
        if node.is_stopping() {
            return;
        }
        let nap = match planned {
            Ok(None) => return,
            Ok(Some(Planned { plan: Plan::Idle, .. })) => NAP,
            Ok(Some(Planned { plan: Plan::Wait(at_ms), .. })) => {
                Duration::from_millis(at_ms.saturating_sub(clock::now_ms())).min(NAP)
            }
            Ok(Some(planned)) => {
                last = tokio::select! {
                    conclusion = carry_out(planned) => Some(conclusion),
                    // A partner that does not answer must not hold up the end. What is under way is sent again after the start.
                    () = node.stopping() => return,
                };
                continue;
            }
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

/// Concludes the last attempt and plans the next; nothing when the recipient is no longer in the register.
async fn plan(node: &Arc<Node>, to: &AgencyId, last: Option<Conclusion>) -> Result<Option<Planned>, Fault> {
    let (shared, recipient, delivery) = (Arc::clone(node), to.clone(), node.config.delivery.clone());
    let has_relay = !node.relays(to).is_empty();
    let planned = node.writer.call_in_turn(move |core| {
        if let Some(conclude) = last {
            conclude(core)?;
        }
        let full = delivery.count_max as u64;
        let (epoch, loads) = (core.exchange.epoch(), core.loads);
        let Some(channel) = core.exchange.outbound(&recipient) else { return Ok(None) };
        let plan = channel.plan_on(clock::now_ms(), has_relay, full);
        let load = match plan {
            Plan::Direct(first) | Plan::Relay(first) => {
                core.store.outbox(&recipient, first, delivery.count_max, delivery.bytes_max)?
            }
            Plan::Idle | Plan::Wait(_) => Vec::new(),
        };
        let last = load.last().map_or(0, |queued| queued.position);
        let departed = match plan {
            Plan::Direct(first) => Some(channel.departs(first, last)),
            _ => None,
        };
        if departed.is_some() && channel.waiting() >= full {
            shared.bells.channel(&recipient).notify_one();
        }
        Ok(Some(Planned { plan, load, epoch, attempt: Attempt { node: shared, to: recipient, departed, loads } }))
    });
    planned.await
}

/// Carries a plan out.
async fn carry_out(planned: Planned) -> Conclusion {
    let Planned { plan, load, epoch, attempt } = planned;
    let (node, to) = (Arc::clone(&attempt.node), attempt.to.clone());
    if let Plan::Relay(_) = plan {
        let outcome = hand_over(&node, &to, &node.relays(&to), epoch, &load).await;
        let through = load.last().map_or(0, |queued| queued.position);
        return relayed(attempt, through, outcome).await;
    }
    match bring(&node, &to, epoch, &load).await {
        Ok(receipt) => brought(attempt, receipt),
        Err(error) => not_brought(attempt, error).await,
    }
}

/// Brings a load to the recipient itself and gets its receipt.
async fn bring(node: &Arc<Node>, to: &AgencyId, epoch: u64, load: &[Queued]) -> Result<Verified, Undelivered> {
    let peer = node.peer(to).ok_or_else(|| Undelivered::Unknown(to.clone()))?;
    let parcel = seal(node, to, epoch, load)?;
    node.metrics.parcel_sent(to);
    let receipt = call(node, &peer, Method::POST, "/peer/v1/parcel", parcel.into()).await?;
    check_receipt(node, to, receipt.to_vec())
}

/// Checks that a receipt came from where it should.
fn check_receipt(node: &Node, from: &AgencyId, receipt: Vec<u8>) -> Result<Verified, Undelivered> {
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
    Ok(receipt)
}

/// Takes a receipt that came by itself.
pub(super) async fn take_receipt(node: &Arc<Node>, from: &AgencyId, receipt: Vec<u8>) -> Result<(), Undelivered> {
    let receipt = check_receipt(node, from, receipt)?;
    let taken = node.writer.call(move |core| settle(core, receipt));
    taken.await?.map_err(|_| NOT_OURS)
}

/// A receipt for something else.
const NOT_OURS: Undelivered = Undelivered::Nonsense("a receipt for something else");

fn settle(core: &mut Core, receipt: Verified) -> Result<Result<(), Reason>, Fault> {
    let taken = core.exchange.take_receipt(receipt, clock::now_ms(), &mut core.random, &core.store);
    match refused(taken)? {
        Ok(batch) => core.apply(batch).map(Ok),
        Err((reason, _)) => Ok(Err(reason)),
    }
}

/// Concludes an attempt for which a receipt came.
fn brought(attempt: Attempt, receipt: Verified) -> Conclusion {
    let jitter = jitter();
    attempt.node.heard_of(&attempt.to);
    Box::new(move |core| {
        let ours = settle(core, receipt)?.is_ok();
        let (node, to) = (Arc::clone(&attempt.node), attempt.to.clone());
        let departed = attempt.departed.filter(|_| ours);
        let tell = attempt.on_channel(move |channel, now_ms| {
            match departed {
                Some(departed) if channel.answered(&departed, now_ms, jitter) => return,
                Some(_) => {}
                None => channel.failed(now_ms, jitter),
            }
            node.metrics.delivery_failed(&to, NOT_OURS.cause());
            tracing::info!(partner = %to, error = %NOT_OURS, "not delivered");
        });
        tell(core)
    })
}

/// Does what helps against the cause of a failure, and concludes the attempt.
async fn not_brought(attempt: Attempt, error: Undelivered) -> Conclusion {
    let (node, to, departed) = (&attempt.node, &attempt.to, attempt.departed);
    node.metrics.delivery_failed(to, error.cause());
    tracing::info!(partner = %to, %error, "not delivered");
    let jitter = jitter();
    let mut least_ms = 0;
    match &error {
        Undelivered::Refused { reason: Reason::Gap, expected: Some(expected), .. } => {
            let expected = *expected;
            return attempt.on_channel(move |channel, now_ms| match departed {
                Some(departed) => channel.gap(&departed, expected, now_ms, jitter),
                None => channel.failed(now_ms, jitter),
            });
        }
        // One of us does not know the other's latest keys or register yet.
        Undelivered::Refused {
            reason:
                Reason::UnknownKey
                | Reason::UnknownSealingKey
                | Reason::CannotOpen
                | Reason::UnknownRegister
                | Reason::KeyRevoked,
            ..
        } => {
            if let Err(error) = sync::with(node, to).await {
                tracing::debug!(partner = %to, %error, "could not bring keys in step");
            }
        }
        Undelivered::Refused { retry_after_s: Some(s), .. } => least_ms = s.saturating_mul(1000),
        // Without its keys nothing can be sealed; ask itself, and failing that a relay.
        Undelivered::Unknown(_) => sync::learn_keys(node, to).await,
        _ => {}
    }
    attempt.on_channel(move |channel, now_ms| {
        channel.failed(now_ms, jitter);
        channel.wait_at_least(now_ms.saturating_add(least_ms));
    })
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
        if let Some(attachment) = attachment_of(&record) {
            chunks::hand_over(node, relay, to, &attachment).await?;
        }
    }
    Ok(())
}

async fn relayed(attempt: Attempt, through: u64, outcome: Result<(), Undelivered>) -> Conclusion {
    let (node, to) = (&attempt.node, &attempt.to);
    let Err(error) = outcome else {
        return attempt.on_channel(move |channel, now_ms| channel.relayed(through, now_ms));
    };
    tracing::info!(partner = %to, %error, "not relayed");
    node.metrics.delivery_failed(to, error.cause());
    if matches!(error, Undelivered::Unknown(_)) {
        sync::learn_keys(node, to).await;
    }
    attempt.on_channel(|channel, now_ms| channel.relay_failed(now_ms))
}

fn jitter() -> u32 {
    u32::from_le_bytes(entropy()[..4].try_into().unwrap_or_default())
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
