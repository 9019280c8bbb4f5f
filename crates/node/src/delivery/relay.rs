//! A mailbox at a relay: fetches what waits there, takes it in, and sees that the receipts get back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use minicbor::bytes::ByteVec;
use mufakat_record::{AgencyId, Reason, Verified};

use super::receive::{Taken, Untaken};
use super::{Undelivered, Via, call, sealed_for, sync, take_parcel};
use crate::node::Node;
use crate::wire::Mailbox;

/// How long the relay may keep us waiting for something new, in seconds.
const WAIT_S: u64 = 20;
/// How long to rest after the relay could not be reached.
const REST: Duration = Duration::from_secs(3);

/// How many receipts may be on their way back at the same time; the others wait.
static GIVING_BACK: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(16);

/// Runs until the node stops or the relay is no longer one.
pub(super) async fn poll(node: Arc<Node>, relay: AgencyId) {
    let mut cursor = 0;
    while !node.is_stopping() {
        let asked = tokio::time::Instant::now();
        let fetched = tokio::select! {
            fetched = fetch(&node, &relay, cursor) => fetched,
            () = node.stopping() => return,
        };
        match fetched {
            Ok(mailbox) => {
                let before = cursor;
                // What stands before the cursor was taken already; a relay that shows it again gets nowhere with it.
                for (at, parcel) in mailbox.into_iter().filter(|(at, _)| *at > before) {
                    take(&node, &relay, &parcel).await;
                    cursor = cursor.max(at);
                }
                if cursor == before && asked.elapsed() < REST {
                    tokio::select! {
                        () = tokio::time::sleep(REST) => {}
                        () = node.stopping() => return,
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%relay, %error, "the relay does not answer");
                tokio::select! {
                    () = tokio::time::sleep(REST) => {}
                    () = node.stopping() => return,
                }
            }
        }
    }
}

/// One round trip: what came after the cursor; naming a cursor tells the relay that all before it is taken.
async fn fetch(node: &Arc<Node>, relay: &AgencyId, cursor: u64) -> Result<Mailbox, Undelivered> {
    let peer = node.peer(relay).ok_or_else(|| Undelivered::Unknown(relay.clone()))?;
    let path = format!("/peer/v1/mailbox?after={cursor}&wait={WAIT_S}");
    let body = call(node, &peer, Method::GET, &path, Bytes::new()).await?;
    mufakat_record::cbor::decode(&body).map_err(|_| Undelivered::Nonsense("a mailbox that cannot be read"))
}

/// Takes one carried parcel. What cannot be taken is left to its sender, who gets no receipt and sends it again.
async fn take(node: &Arc<Node>, relay: &AgencyId, parcel: &ByteVec) {
    for attempt in 0..2 {
        match take_parcel(node, parcel, Via::Carried).await {
            Ok(Taken::Receipts(_)) => return,
            Ok(Taken::Records { sender, receipt }) => {
                // A sender that does not answer must not hold up what others have left here.
                let node = Arc::clone(node);
                tokio::spawn(async move {
                    let Ok(_place) = GIVING_BACK.acquire().await else { return };
                    give_back(&node, &sender, &receipt).await;
                });
                return;
            }
            Err(Untaken::Refused {
                reason: Reason::UnknownKey | Reason::UnknownRegister,
                sender: Some(sender),
                ..
            }) if attempt == 0 => {
                // The sender may be away; the relay has the register and everyone's key sets too.
                sync::learn_register(node, relay).await;
                sync::learn_keys_at(node, relay, &sender).await;
            }
            Err(error) => {
                tracing::info!(%relay, %error, "a relayed parcel was not taken");
                return;
            }
        }
    }
}

/// Brings a receipt to the sender of the records: straight, or through a relay. If neither works the sender sends again.
pub(crate) async fn give_back(node: &Arc<Node>, sender: &AgencyId, receipt: &Verified) {
    let parcel = match sealed_for(node, sender, 0, 0, &[(receipt.id(), receipt.bytes())]) {
        Ok(parcel) => Bytes::from(parcel),
        Err(error) => {
            tracing::info!(partner = %sender, %error, "a receipt could not be sealed");
            return;
        }
    };
    if let Some(peer) = node.peer(sender)
        && call(node, &peer, Method::POST, "/peer/v1/parcel", parcel.clone()).await.is_ok()
    {
        return;
    }
    for relay in node.relays(sender) {
        let Some(peer) = node.peer(&relay) else { continue };
        if call(node, &peer, Method::POST, "/peer/v1/relay", parcel.clone()).await.is_ok() {
            return;
        }
    }
    tracing::info!(partner = %sender, "a receipt found no way; the sender will ask again");
}
