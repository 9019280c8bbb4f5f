//! The receiving end: opens a parcel, verifies what is in it, hands it to the exchange, and gives the receipt.

use std::num::NonZero;
use std::sync::Arc;

use mufakat_exchange::{Delivery, Directory, Item};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::parcel::Parcel;
use mufakat_record::{AgencyId, Reason, RecordId, SKEW_SHOWN_S, Unverified, Verified};

use super::send::take_receipt;
use crate::clock;
use crate::node::Node;
use crate::writer::{Fault, refused};

/// Fewer records than this are not worth another thread.
const VERIFIED_TOGETHER_MIN: usize = 16;

/// How a parcel came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Via {
    /// From this agency itself, by its own connection.
    Direct(AgencyId),
    /// Through a relay, or in a file: nothing is known of who brought it.
    Carried,
}

/// What came of a parcel.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Records; this is the receipt for their sender.
    Records {
        /// Whose records.
        sender: AgencyId,
        /// The receipt.
        receipt: Box<Verified>,
    },
    /// Receipts of ours; nothing to answer.
    Receipts(usize),
}

/// Why a parcel was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untaken {
    /// For this reason, which the sender gets to know.
    #[error("{reason}")]
    Refused {
        /// The reason.
        reason: Reason,
        /// The position expected next, where it matters.
        expected: Option<u64>,
        /// Whose parcel it says it is.
        sender: Option<AgencyId>,
    },
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Takes a parcel in.
pub(crate) async fn take_parcel(node: &Arc<Node>, bytes: &[u8], via: Via) -> Result<Taken, Untaken> {
    let no = |reason, sender: Option<&AgencyId>| Untaken::Refused { reason, expected: None, sender: sender.cloned() };
    let parcel = Parcel::parse(bytes).map_err(|reason| no(reason, None))?;
    let outer = parcel.outer.clone();
    let sender = outer.sender.clone();
    node.metrics.parcel_received(&sender);
    if outer.recipient != node.me {
        return Err(no(Reason::WrongRecipient, Some(&sender)));
    }
    if matches!(&via, Via::Direct(caller) if *caller != sender) {
        return Err(no(Reason::SenderNotAuthor, Some(&sender)));
    }
    let directory = node.directory();
    match directory.chain().current().agency(&sender) {
        None => return Err(no(Reason::AuthorNotInRegister, Some(&sender))),
        Some(agency) if agency.removed.is_some() => return Err(no(Reason::AuthorRemoved, Some(&sender))),
        Some(_) => {}
    }
    if outer.register_version > directory.chain().current().version {
        return Err(no(Reason::UnknownRegister, Some(&sender)));
    }
    let key = node.keyring.load().sealing(&outer.sealing_key);
    let key = key.ok_or_else(|| no(Reason::UnknownSealingKey, Some(&sender)))?;
    // What is carried comes one by one, and anyone may have put it there: it must not hold up what the sender itself brings.
    let direct = matches!(via, Via::Direct(_)) && outer.first > 0;
    let turn = direct.then(|| node.turns.enter(&sender, outer.epoch, outer.first));
    let now_s = clock::now_s();
    let opened = Arc::clone(&directory);
    let opened = aside(move || parcel.open(&key, &*opened, now_s)).await?;
    let items = verify_all(opened.map_err(|reason| no(reason, Some(&sender)))?, &directory, now_s).await?;
    if outer.first == 0 {
        return take_receipts(node, &sender, items).await;
    }
    tell_skew(node, &sender, &items, now_s);
    let delivery = Delivery { sender: sender.clone(), epoch: outer.epoch, first: outer.first, items };
    if let Some(turn) = &turn {
        turn.come().await;
    }
    let receipt = node.writer.call(move |core| {
        let at_ms = clock::now_ms();
        match refused(core.exchange.deliver(delivery, at_ms, &mut core.random, &core.store))? {
            Ok((batch, receipt)) => core.apply(batch).map(|()| Ok(receipt)),
            Err(refused) => Ok(Err(refused)),
        }
    });
    match receipt.await? {
        Ok(receipt) => {
            node.heard_of(&sender);
            count(node, &receipt);
            Ok(Taken::Records { sender, receipt: Box::new(receipt) })
        }
        Err((reason, expected)) => Err(Untaken::Refused { reason, expected: Some(expected), sender: Some(sender) }),
    }
}

/// Verifies records, which is the bulk of the work, on as many processors as there are: their sender waits for it.
async fn verify_all(mut records: Vec<Vec<u8>>, directory: &Arc<Directory>, now_s: u64) -> Result<Vec<Item>, Fault> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = records.len().div_ceil(processors).max(VERIFIED_TOGETHER_MIN);
    let mut tasks = Vec::new();
    while !records.is_empty() {
        let rest = records.split_off(share.min(records.len()));
        let (some, directory) = (std::mem::replace(&mut records, rest), Arc::clone(directory));
        // A copy costs less than a second hash.
        let item = move |bytes: Vec<u8>| match Unverified::parse(bytes.clone()) {
            Ok(record) => Item { id: record.id(), record: record.verify(&*directory, now_s) },
            Err(reason) => Item { id: RecordId::of(&bytes), record: Err(reason) },
        };
        tasks.push(aside(move || some.into_iter().map(item).collect::<Vec<_>>()));
    }
    let mut items = Vec::new();
    for task in tasks {
        items.append(&mut task.await?);
    }
    Ok(items)
}

/// Begins work at once that would hold up others on this thread.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = Result<T, Fault>> {
    let task = tokio::task::spawn_blocking(work);
    async { task.await.map_err(|e| Fault::Store(e.to_string())) }
}

async fn take_receipts(node: &Arc<Node>, sender: &AgencyId, items: Vec<Item>) -> Result<Taken, Untaken> {
    let mut taken = 0;
    for item in items {
        let Ok(record) = item.record else { continue };
        match take_receipt(node, sender, record.into_bytes()).await {
            Ok(()) => taken += 1,
            Err(super::Undelivered::Fault(fault)) => return Err(fault.into()),
            Err(error) => tracing::info!(partner = %sender, %error, "a receipt was not taken"),
        }
    }
    node.bells.channel(sender).notify_one();
    Ok(Taken::Receipts(taken))
}

fn count(node: &Node, receipt: &Verified) {
    let Ok(body) = Receipt::from_body(receipt.header(), receipt.body()) else { return };
    for entry in &body.entries {
        match entry.rejected.as_deref().map(str::parse) {
            None => drop(node.metrics.records_received.inc()),
            Some(Ok(reason)) => node.metrics.rejected(reason),
            Some(Err(())) => {}
        }
    }
}

/// A partner's clock that is far from ours is shown, not punished.
fn tell_skew(node: &Node, sender: &AgencyId, items: &[Item], now_s: u64) {
    let Some(Ok(newest)) = items.last().map(|item| item.record.as_ref()) else { return };
    let issued_at = newest.header().issued_at;
    // A record may have waited long; only a time ahead of ours tells of a clock for certain.
    let ahead = issued_at.saturating_sub(now_s);
    node.metrics.set_clock_skew(sender, ahead as f64);
    if ahead > SKEW_SHOWN_S {
        tracing::warn!(partner = %sender, ahead_s = ahead, "the partner's clock is ahead of ours");
    }
}
