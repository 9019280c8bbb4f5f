//! What witnesses tell each other: the latest checkpoints that each has cosigned. A ledger that shows one history to some and
//! another to others is found out as soon as two of its witnesses have spoken.
//!
//! Two checkpoints of one size with different roots are proof at once. Of two with different sizes the ledger's node is asked
//! how they belong together; if it has been asked often enough and gives no proof, that is told, too. A node that is away is
//! not suspect for it, but one that talks to us and evades this question is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use mufakat_exchange::Directory;
use mufakat_ledger::witness::{Comparison, Seen, compare};
use mufakat_ledger::{Hash, SignedCheckpoint, VerifierKey};
use mufakat_record::kinds::witness_alarm::{Finding, WitnessAlarm};
use mufakat_record::{AgencyId, Digest, cbor};
use mufakat_store::{Queries, Store};

use super::{CALL_LIMITS, NOTE_BYTES_MAX, agency_of, alarm, bare, log_key, origin_of};
use crate::clock;
use crate::node::Node;
use crate::writer::Fault;

/// How many checkpoints one message may hold.
pub(super) const TOLD_MAX: usize = 256;
/// How often a ledger's node is asked for a proof that it should have.
pub(super) const TRIES_MAX: usize = 3;
/// How long to wait between two tries.
const TRY_PAUSE: Duration = Duration::from_secs(2);
/// After how many intervals without an answer a node that is otherwise there counts as evading.
const EVADING_INTERVALS: u64 = 10;

/// Tells each partner what this node has cosigned of the others.
pub(super) async fn tell(node: &Arc<Node>) {
    let directory = node.directory();
    let partners: Vec<_> = directory.partners(&node.me).cloned().collect();
    let origin = |agency: &AgencyId| Some((agency.clone(), directory.key_set(agency)?.ledger_origin.clone()));
    let origins: Vec<_> = partners.iter().filter_map(origin).collect();
    let seen = node.read(move |reader| {
        let note =
            |(agency, origin): (AgencyId, String)| Ok(reader.seen(&origin)?.map(|seen| (agency, seen.note_text)));
        origins.into_iter().filter_map(|each| note(each).transpose()).collect::<Result<Vec<_>, mufakat_store::Error>>()
    });
    match seen.await {
        Ok(seen) => drop(join_all(partners.iter().map(|to| tell_one(node, to, &seen))).await),
        Err(fault) => tracing::warn!(%fault, "the partners were not told what this node has witnessed"),
    }
}

async fn tell_one(node: &Node, to: &AgencyId, seen: &[(AgencyId, String)]) {
    // A partner knows its own ledger.
    let notes: Vec<&String> = seen.iter().filter(|(of, _)| of != to).map(|(_, note)| note).take(TOLD_MAX).collect();
    let Some(peer) = node.peer(to).filter(|_| !notes.is_empty()) else { return };
    let body = Bytes::from(cbor::encode(&notes));
    match node.client.request(&peer, Method::POST, "/peer/v1/witness/seen", body, &CALL_LIMITS).await {
        Ok(answer) if answer.status.is_success() => node.heard_of(to),
        Ok(answer) => {
            tracing::debug!(partner = %to, status = %answer.status, "a partner does not listen to what was witnessed")
        }
        Err(error) => tracing::debug!(partner = %to, %error, "a partner is away"),
    }
}

/// A partner's checkpoint, signed by its ledger as our directory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// Whose ledger.
    pub(super) agency: AgencyId,
    /// The ledger's key.
    pub(super) log: VerifierKey,
    /// The checkpoint, with the ledger's signature alone.
    pub(super) signed: SignedCheckpoint,
}

impl Told {
    /// Reads a note. What is not about a ledger of ours to watch, or not signed by it, says nothing.
    pub(super) fn read(note: &str, directory: &Directory, me: &AgencyId) -> Option<Self> {
        let agency = agency_of(origin_of(note)?).filter(|agency| agency != me && note.len() <= NOTE_BYTES_MAX)?;
        directory.chain().member(&agency)?;
        let log = log_key(directory, &agency)?;
        let signed = bare(&SignedCheckpoint::open(note, &log).ok()?, &log)?;
        Some(Self { agency, log, signed })
    }
}

/// Two checkpoints of one ledger that nobody has shown to belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    /// Whose ledger.
    pub(super) agency: AgencyId,
    /// The smaller one.
    pub(super) older: SignedCheckpoint,
    /// The larger one.
    pub(super) newer: SignedCheckpoint,
}

impl Case {
    /// A case of two checkpoints of different sizes, in whatever order they come.
    pub(super) fn new(agency: AgencyId, a: SignedCheckpoint, b: SignedCheckpoint) -> Self {
        let (older, newer) = if a.checkpoint().size <= b.checkpoint().size { (a, b) } else { (b, a) };
        Self { agency, older, newer }
    }

    fn alarm(&self) -> WitnessAlarm {
        WitnessAlarm {
            agency: self.agency.clone(),
            finding: Finding::NoConsistencyProof,
            first: self.older.encode(),
            second: self.newer.encode(),
        }
    }
}

/// What follows from a checkpoint that a partner told us of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Weighed {
    /// Nothing: it is what we have seen, or we have seen nothing.
    Nothing,
    /// An alarm.
    Alarm(WitnessAlarm),
    /// The ledger's node is to be asked.
    Open(Box<Case>),
}

/// Compares what we were told with what our own witness has seen of that ledger.
pub(super) fn weigh(seen: Option<&Seen>, told: Told) -> Weighed {
    let mine = seen.and_then(|seen| SignedCheckpoint::open(&seen.note_text, &told.log).ok());
    // What was signed with a key that the ledger no longer has cannot be compared.
    let Some(mine) = mine.and_then(|mine| bare(&mine, &told.log)) else { return Weighed::Nothing };
    match compare(&mine, &told.signed, None) {
        Comparison::Split(view) => Weighed::Alarm(WitnessAlarm {
            agency: told.agency,
            finding: Finding::SplitView,
            first: view.first,
            second: view.second,
        }),
        Comparison::NeedProof { .. } => Weighed::Open(Box::new(Case::new(told.agency, mine, told.signed))),
        Comparison::Same | Comparison::Extends | Comparison::OtherLog | Comparison::BadProof(_) => Weighed::Nothing,
    }
}

/// Takes in what a partner has cosigned of others.
pub(super) async fn hear(node: &Arc<Node>, desk: &Desk, from: &AgencyId, notes: Vec<String>) -> Result<(), Fault> {
    let (directory, me) = (node.directory(), node.me.clone());
    let weighed = node.read(move |reader| {
        let told = notes.iter().filter_map(|note| Told::read(note, &directory, &me));
        let weigh = |told: Told| {
            let origin = told.log.name();
            let latest = reader.seen(&latest_key(&told.agency))?;
            let new_origin = latest.is_none_or(|latest| origin_of(&latest.note_text) != Some(origin));
            let fresh = new_origin.then(|| (told.agency.clone(), seen_of(&told.signed)));
            Ok((fresh, weigh(reader.seen(origin)?.as_ref(), told)))
        };
        told.map(weigh).collect::<Result<Vec<_>, mufakat_store::Error>>()
    });
    for (fresh, weighed) in weighed.await? {
        if let Some((agency, seen)) = fresh {
            let restarted = node.writer.call(move |core| note_origin(&mut core.store, &agency, &seen)).await?;
            if let Some(restarted) = restarted {
                alarm::raise(node, restarted).await?;
            }
        }
        match weighed {
            Weighed::Nothing => {}
            Weighed::Alarm(found) => alarm::raise(node, found).await?,
            Weighed::Open(case) => desk.look_into(node, from, *case),
        }
    }
    Ok(())
}

fn seen_of(signed: &SignedCheckpoint) -> Seen {
    let checkpoint = signed.checkpoint();
    Seen { size: checkpoint.size, root: checkpoint.root, note_text: signed.encode() }
}

/// Under this name the store keeps a checkpoint of the ledger that an agency had last. It is the origin without the epoch.
fn latest_key(agency: &AgencyId) -> String {
    format!("mufakat/{agency}")
}

/// Takes note of the ledger that an agency has now. When it had another one before, that is worth an alarm.
pub(super) fn note_origin(
    store: &mut impl Store,
    agency: &AgencyId,
    now: &Seen,
) -> Result<Option<WitnessAlarm>, Fault> {
    let key = latest_key(agency);
    let before = store.seen(&key)?;
    if before.as_ref().is_some_and(|before| origin_of(&before.note_text) == origin_of(&now.note_text)) {
        return Ok(None);
    }
    store.set_seen(&key, now)?;
    let Some(before) = before else { return Ok(None) };
    // The latest that we cosigned of the earlier ledger says more than its first checkpoint.
    let cosigned = origin_of(&before.note_text).map(|origin| store.seen(origin)).transpose()?.flatten();
    Ok(Some(WitnessAlarm {
        agency: agency.clone(),
        finding: Finding::Restarted,
        first: cosigned.unwrap_or(before).note_text,
        second: now.note_text.clone(),
    }))
}

/// The cases that are being looked into: one at a time for each ledger and partner that told of it. What is not taken up now
/// comes again in the next round.
#[derive(Clone, Default)]
pub(super) struct Desk {
    open: Arc<Mutex<BTreeMap<(String, AgencyId), Open>>>,
}

struct Open {
    since_ms: u64,
    busy: bool,
}

/// What came of looking into a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The ledger proved that the two belong together.
    Proven,
    /// It was asked often enough and did not prove it.
    Unproven,
    /// It could not be asked often enough.
    Unanswered,
}

impl Desk {
    /// Looks into a case, in a task of its own.
    pub(super) fn look_into(&self, node: &Arc<Node>, told_by: &AgencyId, case: Case) {
        let key = (case.older.checkpoint().origin.clone(), told_by.clone());
        let Some(since_ms) = self.begin(&key, clock::now_ms()) else { return };
        let (desk, node) = (self.clone(), Arc::clone(node));
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = ask(&node, &case) => outcome,
                () = node.stopping() => return,
            };
            desk.end(&key, outcome);
            let interval_ms = node.directory().chain().current().rules.witness_interval_s.saturating_mul(1000);
            let heard_ms = node.last_contact_ms(&case.agency);
            let found = match outcome {
                Outcome::Proven => false,
                Outcome::Unproven => true,
                Outcome::Unanswered => evades(since_ms, heard_ms, clock::now_ms(), interval_ms),
            };
            // An agency that was restored from a backup meanwhile has another ledger, and cannot speak for that one any more.
            let log = log_key(&node.directory(), &case.agency);
            if found && log.is_some_and(|log| log.name() == key.0) {
                let raised = alarm::raise(&node, case.alarm()).await;
                raised.unwrap_or_else(
                    |fault| tracing::error!(%fault, agency = %case.agency, "an alarm could not be raised"),
                );
            }
        });
    }

    /// Opens a case, or takes it up again; gives since when it is open, in milliseconds since 1970. Nothing when somebody is at it.
    pub(super) fn begin(&self, key: &(String, AgencyId), now_ms: u64) -> Option<u64> {
        let mut cases = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let case = cases.entry(key.clone()).or_insert(Open { since_ms: now_ms, busy: false });
        let free = !std::mem::replace(&mut case.busy, true);
        free.then_some(case.since_ms)
    }

    /// Whether no case is open.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Closes a case, unless it is still to be answered.
    pub(super) fn end(&self, key: &(String, AgencyId), outcome: Outcome) {
        let mut cases = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome == Outcome::Unanswered
            && let Some(case) = cases.get_mut(key)
        {
            case.busy = false;
        } else {
            cases.remove(key);
        }
    }
}

/// Whether a node that has not answered for so long does not want to: it has been heard of all the while.
pub(super) fn evades(since_ms: u64, heard_ms: Option<u64>, now_ms: u64, interval_ms: u64) -> bool {
    let long = now_ms.saturating_sub(since_ms) > interval_ms.saturating_mul(EVADING_INTERVALS);
    long && heard_ms.is_some_and(|heard_ms| now_ms.saturating_sub(heard_ms) <= interval_ms.saturating_mul(2))
}

/// Asks a ledger's node how two of its checkpoints belong together.
async fn ask(node: &Node, case: &Case) -> Outcome {
    let mut refusals = 0;
    for attempt in 0..TRIES_MAX {
        if attempt > 0 {
            tokio::time::sleep(TRY_PAUSE).await;
        }
        match consistency(node, case).await {
            Ok(proof) if compare(&case.older, &case.newer, Some(&proof)) == Comparison::Extends => {
                return Outcome::Proven;
            }
            Ok(_) | Err(true) => refusals += 1,
            Err(false) => {}
        }
    }
    if refusals == TRIES_MAX { Outcome::Unproven } else { Outcome::Unanswered }
}

/// The proof that a ledger's node gives. An error says whether that was an answer, and not want of a connection or of time.
async fn consistency(node: &Node, case: &Case) -> Result<Vec<Hash>, bool> {
    let (from, to) = (case.older.checkpoint().size, case.newer.checkpoint().size);
    let peer = node.peer(&case.agency).ok_or(false)?;
    let path = format!("/peer/v1/consistency?from={from}&to={to}");
    let answer = node.client.request(&peer, Method::GET, &path, Bytes::new(), &CALL_LIMITS).await.map_err(|_| false)?;
    match answer.status {
        StatusCode::OK => {
            let hashes: Vec<Digest> = cbor::decode(&answer.body).map_err(|_| true)?;
            Ok(hashes.into_iter().map(|hash| Hash::from(hash.0)).collect())
        }
        status => Err(status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS),
    }
}
