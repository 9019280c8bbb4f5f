//! Delivery: taking records from the outbox to partners and to relays, and taking in what they bring.

pub(crate) mod receive;
mod relay;
mod send;
mod sync;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;

use mufakat_record::{AgencyId, Reason};
use tokio::task::JoinHandle;

use crate::metrics::Failure;
use crate::net::{Peer, peer_client};
use crate::node::Node;
use crate::wire::Problem;
use crate::writer::Fault;

pub(crate) use receive::{Via, take_parcel};
pub(crate) use send::sealed_for;
pub(crate) use sync::{adopt_chain, answer_sync};
pub(crate) use turns::Turns;

/// The largest answer that is taken from a partner: a mailbox, or a register.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often tasks are looked after.
const LOOK_AFTER: std::time::Duration = std::time::Duration::from_secs(20);

/// Why something could not be brought to a partner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undelivered {
    /// The partner could not be reached, or did not behave as one.
    #[error(transparent)]
    Unreached(#[from] peer_client::Error),
    /// The partner refused it, for a reason.
    #[error("refused with {reason}")]
    Refused {
        /// The reason.
        reason: Reason,
        /// The position that the partner expects next.
        expected: Option<u64>,
        /// After how many seconds the partner asks to be tried again.
        retry_after_s: Option<u64>,
    },
    /// The partner's answer makes no sense.
    #[error("an answer that makes no sense: {0}")]
    Nonsense(&'static str),
    /// Its sealing key is not known, or it is not in the register.
    #[error("no way to reach {0}: no key set or no endpoint")]
    Unknown(AgencyId),
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Undelivered {
    /// The cause of this failure in metrics.
    pub(crate) fn cause(&self) -> Failure {
        match self {
            Undelivered::Unreached(error) => Failure::from(error),
            Undelivered::Refused { reason: Reason::Overloaded, .. } => Failure::Overloaded,
            Undelivered::Refused { .. } => Failure::Refused,
            Undelivered::Unknown(_) => Failure::NoSealingKey,
            Undelivered::Nonsense(_) | Undelivered::Fault(_) => Failure::Protocol,
        }
    }
}

/// Calls a partner and gives the body of its answer; anything but success becomes an error that names the reason.
pub(crate) async fn call(
    node: &Node,
    peer: &Peer,
    method: http::Method,
    path: &str,
    body: bytes::Bytes,
) -> Result<bytes::Bytes, Undelivered> {
    let limits = node.config.delivery.call(ANSWER_BYTES_MAX);
    let sent = body.len() as u64;
    let answer = node.client.request(peer, method, path, body, &limits).await?;
    if let Ok(agency) = peer.agency.parse() {
        node.heard_of(&agency);
        node.metrics.wire(&agency, sent, answer.body.len() as u64);
    }
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let retry_after_s = answer.headers.get(http::header::RETRY_AFTER);
    let retry_after_s = retry_after_s.and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if answer.status == http::StatusCode::SERVICE_UNAVAILABLE {
        return Err(Undelivered::Refused { reason: Reason::Overloaded, expected: None, retry_after_s });
    }
    if answer.status == http::StatusCode::FORBIDDEN {
        return Err(Undelivered::Refused { reason: Reason::AuthorRemoved, expected: None, retry_after_s });
    }
    let problem: Problem =
        mufakat_record::cbor::decode(&answer.body).map_err(|_| Undelivered::Nonsense("an error without a reason"))?;
    let reason = problem.reason.parse().map_err(|()| Undelivered::Nonsense("a reason that nobody knows"))?;
    Err(Undelivered::Refused { reason, expected: problem.expected, retry_after_s })
}

/// Runs the tasks of delivery, one for each partner and one for each relay, and keeps them in step with the register.
pub(crate) async fn run(node: Arc<Node>) {
    let mut senders: HashMap<AgencyId, JoinHandle<()>> = HashMap::new();
    let mut pollers: HashMap<AgencyId, JoinHandle<()>> = HashMap::new();
    loop {
        let changed = Arc::clone(&node.bells.directory);
        let changed = changed.notified();
        let directory = node.directory();
        let partners: Vec<_> = directory.partners(&node.me).cloned().collect();
        senders.retain(|to, task| keep(partners.contains(to), task));
        let relays = node.relays(&node.me);
        pollers.retain(|at, task| keep(relays.contains(at), task));
        for to in &partners {
            let start = || tokio::spawn(send::run(Arc::clone(&node), to.clone()));
            senders.entry(to.clone()).or_insert_with(start);
        }
        for at in relays {
            let start = || tokio::spawn(relay::poll(Arc::clone(&node), at.clone()));
            pollers.entry(at.clone()).or_insert_with(start);
        }
        tokio::select! {
            () = changed => {}
            // A task that ended by a fault of ours is begun again.
            () = tokio::time::sleep(LOOK_AFTER) => {}
            () = node.stopping() => break,
        }
    }
    for (_, task) in senders.into_iter().chain(pollers) {
        // Each sees by itself that the node stops.
        let _ = task.await;
    }
}

fn keep(wanted: bool, task: &JoinHandle<()>) -> bool {
    if !wanted {
        task.abort();
    }
    wanted && !task.is_finished()
}
