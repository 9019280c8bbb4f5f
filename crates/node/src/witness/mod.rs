//! Witnessing: partners cosign each other's checkpoints, so that no node rewrites its history quietly or shows different
//! histories to different partners.
//!
//! [`log`] is the side of one's own ledger: it makes checkpoints and asks for cosignatures. [`routes`] is the witness's side
//! (C2SP tlog-witness). In [`gossip`] witnesses tell each other what they have cosigned, and look into what does not go
//! together; [`alarm`] tells everybody what they found. `docs/protocol.md`, section 13, says what goes over the wire.

mod alarm;
mod gossip;
#[cfg(test)]
pub(crate) mod live_tests;
mod log;
mod routes;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use mufakat_exchange::Directory;
use mufakat_ledger::{Algorithm, Note, SignedCheckpoint, VerifierKey};
use mufakat_record::AgencyId;
use tokio::time::Instant;

use crate::clock;
use crate::net::peer_client::CallLimits;
use crate::node::Node;
use crate::writer::entropy;

pub(crate) use alarm::{Alarm, alarms};
pub(crate) use log::{Error, checkpoint_now, standing};
pub(crate) use routes::routes;

/// The largest checkpoint of a partner that is looked at, in bytes of the note. Two of them fit into an alarm, and an honest
/// one with the cosignatures of a large community stays far below.
const NOTE_BYTES_MAX: usize = 12 * 1024;
/// How long the node waits after its start before it makes the first checkpoint.
const FIRST_NAP: Duration = Duration::from_secs(1);
/// After how many rounds in which nothing happened the witnesses are asked again all the same, so that the age of the
/// cosignatures shows that they are there.
const QUIET_ROUNDS_MAX: u64 = 10;
/// How long one round waits for its witnesses.
const ROUND_PATIENCE: Duration = Duration::from_secs(20);

/// Runs until the node stops: a checkpoint and its cosignatures in each interval, and what was seen of others.
pub(crate) async fn run(node: Arc<Node>) {
    let mut rounds = Rounds { since_ms: clock::now_ms(), quiet: 0, made_ms: None, witnessed_ms: None };
    let mut next = Instant::now() + FIRST_NAP;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = node.stopping() => return,
        }
        next = Instant::now() + shortened(node.directory().chain().current().rules.witness_interval_s);
        tokio::select! {
            () = rounds.round(&node) => {}
            () = node.stopping() => return,
        }
    }
}

/// An interval less up to a fifth of it: each interval sees a round, and the nodes of a community do not all act at once.
fn shortened(interval_s: u64) -> Duration {
    let interval_ms = interval_s.saturating_mul(1000);
    let [a, b, ..] = entropy();
    let part = u64::from(u16::from_le_bytes([a, b]));
    Duration::from_millis(interval_ms - (interval_ms / 5).saturating_mul(part) / u64::from(u16::MAX))
}

/// What one round remembers for the next.
struct Rounds {
    /// When the first of them began, in milliseconds since 1970.
    since_ms: u64,
    /// Rounds since the ledger last grew.
    quiet: u64,
    /// When the latest checkpoint was made, in milliseconds since 1970.
    made_ms: Option<u64>,
    /// When a checkpoint last had enough cosignatures.
    witnessed_ms: Option<u64>,
}

impl Rounds {
    async fn round(&mut self, node: &Arc<Node>) {
        match log::make(node).await {
            Ok(made) => {
                self.quiet = if made.fresh { 0 } else { self.quiet + 1 };
                if made.fresh || self.made_ms.is_none() {
                    self.made_ms = Some(clock::now_ms());
                }
                self.witness(node, made).await;
            }
            Err(error) => tracing::error!(%error, "no checkpoint was made"),
        }
        self.show(node);
        gossip::tell(node).await;
    }

    /// Has a checkpoint cosigned, unless that would say nothing new.
    async fn witness(&mut self, node: &Arc<Node>, made: log::Made) {
        let enough = log::quorum(node);
        let renew = self.quiet.is_multiple_of(QUIET_ROUNDS_MAX);
        if !renew && log::cosigners(node, &made.signed).len() >= enough {
            return;
        }
        match log::collect(node, made, renew, None, ROUND_PATIENCE).await {
            Ok(signed) => {
                let have = log::cosigners(node, &signed).len();
                if have >= enough {
                    self.witnessed_ms = Some(clock::now_ms());
                } else {
                    tracing::warn!(have, enough, "too few witnesses answered; they are asked again in the next round");
                }
            }
            Err(fault) => tracing::warn!(%fault, "the cosignatures could not be kept"),
        }
    }

    fn show(&self, node: &Node) {
        let now_ms = clock::now_ms();
        let age_s = |since_ms: u64| now_ms.saturating_sub(since_ms) as f64 / 1000.0;
        node.metrics.checkpoint_age_s.set(age_s(self.made_ms.unwrap_or(self.since_ms)));
        node.metrics.witness_age_s.set(age_s(self.witnessed_ms.unwrap_or(self.since_ms)));
    }
}

/// The limits of one call to a witness or to a ledger's node. All answers are short.
const CALL_LIMITS: CallLimits = CallLimits {
    connect_timeout: Duration::from_secs(5),
    total_timeout: Duration::from_secs(15),
    response_bytes_max: 64 * 1024,
};

/// The key that signs an agency's checkpoints, as its latest key set gives it; its name is the ledger's origin.
fn log_key(directory: &Directory, agency: &AgencyId) -> Option<VerifierKey> {
    let keys = directory.key_set(agency)?;
    VerifierKey::new(&keys.ledger_origin, Algorithm::Ed25519, keys.ledger_key).ok()
}

/// The key with which an agency cosigns.
pub(crate) fn witness_key(directory: &Directory, agency: &AgencyId) -> Option<VerifierKey> {
    let keys = directory.key_set(agency)?;
    VerifierKey::new(&format!("mufakat/{agency}/witness"), Algorithm::Cosignature, keys.witness_key).ok()
}

/// The agency whose ledger has this origin, `mufakat/<agency>/<epoch>`.
fn agency_of(origin: &str) -> Option<AgencyId> {
    origin.strip_prefix("mufakat/")?.rsplit_once('/')?.0.parse().ok()
}

/// The origin that a note states in its first line.
fn origin_of(note: &str) -> Option<&str> {
    note.split_once('\n').map(|(origin, _)| origin)
}

/// The same checkpoint with one signature of its ledger and no others: nobody's lines are carried on but the ledger's own.
fn bare(signed: &SignedCheckpoint, log: &VerifierKey) -> Option<SignedCheckpoint> {
    let note = signed.note();
    let own = note.signatures.iter().find(|s| s.name == log.name() && s.key_id == log.key_id())?.clone();
    SignedCheckpoint::open(Note { text: note.text.clone(), signatures: vec![own] }.encode(), log).ok()
}
