//! Alarms: a signed record to everybody about a ledger that has shown different histories. It carries the proof.

use std::sync::Arc;

use mufakat_exchange::{Exchange, Facts, Refusal, Submission};
use mufakat_ledger::Note;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::witness_alarm::{Finding, WitnessAlarm};
use mufakat_record::{AgencyId, Draft, Handling, Header, KeyId, Reason, RecordId, ThreadId, Verified, sha256};
use mufakat_store::{Page, Queries};
use mufakat_views::inbox;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;
use serde::Serialize;

use crate::clock;
use crate::node::Node;
use crate::writer::{Fault, refusal};

/// How long the same finding about the same agency stays the last word, in milliseconds. Every alarm goes to everybody, and
/// whoever has a ledger's key can make as many forks as it likes: it must not be able to make us send as many records.
const ALARM_GAP_MS: u64 = 3_600_000;
/// How many alarms of others are listed at most.
const LISTED_MAX: usize = 200;
/// How many alarms of our own about one agency are looked at.
const OWN_MAX: u32 = 100_000;

/// An alarm on file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Alarm {
    /// The record.
    pub(crate) record: RecordId,
    /// Who raised it.
    pub(crate) by: AgencyId,
    /// When it came into our ledger, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// What it says.
    #[serde(flatten)]
    pub(crate) alarm: WitnessAlarm,
}

/// Makes it known that something is wrong: to the operator, by the metrics.
pub(super) fn ring(node: &Node) {
    let count = node.bells.alarm();
    node.metrics.alarms.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// Raises an alarm with everybody, unless that was done already.
pub(super) async fn raise(node: &Arc<Node>, alarm: WitnessAlarm) -> Result<(), Fault> {
    let (agency, finding) = (alarm.agency.clone(), alarm.finding);
    let policy = node.gate.hash();
    let raised = node.writer.call(move |core| {
        let at_ms = clock::now_ms();
        let Some(key) = due(&core.store, &alarm, at_ms)? else { return Ok(Ok(None)) };
        let record = match sign(&core.exchange, &alarm, at_ms, &mut core.random) {
            Ok(record) => record,
            Err(reason) => return Ok(Err(Refusal::Unfit(reason))),
        };
        let id = record.id();
        let submissions = vec![Submission { record, key: Some(key) }];
        match refusal(core.exchange.submit(submissions, &policy, at_ms, &mut core.random, &core.store))? {
            Ok((batch, _)) => core.apply(batch).map(|()| Ok(Some(id))),
            Err(refusal) => Ok(Err(refusal)),
        }
    });
    match raised.await? {
        Ok(Some(record)) => {
            ring(node);
            tracing::error!(%agency, ?finding, %record, "a ledger has shown different histories; all members are told");
        }
        Ok(None) => tracing::warn!(%agency, ?finding, "found again; the members have been told"),
        Err(refusal) => {
            ring(node);
            tracing::error!(%agency, ?finding, %refusal, "a ledger has shown different histories, but no alarm could be sent");
        }
    }
    Ok(())
}

/// The name under which the next alarm is submitted; nothing when one like it went out already.
pub(super) fn due<S: Queries + ?Sized>(store: &S, alarm: &WitnessAlarm, at_ms: u64) -> Result<Option<[u8; 16]>, Fault> {
    let mut next = 0;
    for (id, earlier) in own(store, &alarm.agency, alarm.finding)? {
        next += 1;
        let recent = store.record_leaf(&id)?.is_some_and(|(_, leaf)| leaf.at_ms.saturating_add(ALARM_GAP_MS) > at_ms);
        let same = earlier.is_some_and(|earlier| said(&earlier) == said(alarm));
        if recent || same {
            return Ok(None);
        }
    }
    Ok((next < OWN_MAX).then(|| key(&alarm.agency, alarm.finding, next)))
}

/// What an alarm says, whoever cosigned the two checkpoints.
fn said(alarm: &WitnessAlarm) -> [Option<String>; 2] {
    let text = |note: &str| Note::parse(note).ok().map(|note| note.text);
    let mut both = [text(&alarm.first), text(&alarm.second)];
    both.sort();
    both
}

/// Alarms of our own are submitted under numbered names, which keeps one from going out twice and finds them again.
fn key(agency: &AgencyId, finding: Finding, number: u32) -> [u8; 16] {
    let hash = sha256(format!("witness-alarm\0{agency}\0{finding:?}\0{number}").as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    key
}

/// Our own alarms of one sort about one agency, in order.
fn own<S: Queries + ?Sized>(
    store: &S,
    agency: &AgencyId,
    finding: Finding,
) -> Result<Vec<(RecordId, Option<WitnessAlarm>)>, Fault> {
    let mut found = Vec::new();
    for number in 0..OWN_MAX {
        let Some(id) = Facts::submitted(store, &key(agency, finding, number))? else { break };
        found.push((id, store.record_bytes(&id)?.and_then(|bytes| read(bytes).map(|(_, alarm)| alarm))));
    }
    Ok(found)
}

/// The alarm that a record of ours or of a partner's is.
fn read(bytes: Vec<u8>) -> Option<(Verified, WitnessAlarm)> {
    let record = Verified::from_own_store(bytes).ok()?;
    let alarm = WitnessAlarm::from_body(record.header(), record.body()).ok()?;
    Some((record, alarm))
}

/// Signs an alarm to all other members.
pub(super) fn sign(
    exchange: &Exchange,
    alarm: &WitnessAlarm,
    at_ms: u64,
    random: &mut ChaCha20Rng,
) -> Result<Verified, Reason> {
    let directory = exchange.directory();
    let mut thread = [0; 16];
    random.fill_bytes(&mut thread);
    let header = Header {
        // Set when it is signed.
        key: KeyId([0; 16]),
        author: exchange.me().clone(),
        issued_at: at_ms / 1000,
        thread: ThreadId(thread),
        kind: WitnessAlarm::KIND.to_owned(),
        audience: directory.partners(exchange.me()).cloned().collect(),
        register: directory.chain().hash(),
        handling: Handling::community(),
        references: Vec::new(),
        expires: None,
    };
    Draft { header, body: alarm.to_body() }.sign(&exchange.signer())
}

/// The alarms on file, newest first: our own, and the latest of others.
pub(crate) async fn alarms(node: &Arc<Node>) -> Result<Vec<Alarm>, Fault> {
    let agencies: Vec<_> = node.directory().chain().current().agencies.iter().map(|agency| agency.id.clone()).collect();
    let listed = node.read(move |reader| Ok(list(reader, &agencies)));
    listed.await?
}

pub(super) fn list<S: Queries>(store: &S, agencies: &[AgencyId]) -> Result<Vec<Alarm>, Fault> {
    let page = Page {
        view: inbox::NAME,
        after: None,
        limit: LISTED_MAX,
        facets: &[("kind", WitnessAlarm::KIND)],
        newest_first: true,
        classes: None,
    };
    let mut ids: Vec<RecordId> = store.view_page(&page)?.into_iter().map(|row| row.record).collect();
    for agency in agencies {
        for finding in [Finding::SplitView, Finding::NoConsistencyProof, Finding::Restarted] {
            ids.extend(own(store, agency, finding)?.into_iter().map(|(id, _)| id));
        }
    }
    let mut alarms = Vec::with_capacity(ids.len());
    for id in ids {
        let Some((_, leaf)) = store.record_leaf(&id)? else { continue };
        let Some((record, alarm)) = store.record_bytes(&id)?.and_then(read) else { continue };
        alarms.push(Alarm { record: id, by: record.header().author.clone(), at_ms: leaf.at_ms, alarm });
    }
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.at_ms));
    Ok(alarms)
}
