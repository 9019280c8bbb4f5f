//! Evidence: what this node can show to a third party about a record. The bundle is checked here in the same way in which the
//! third party will check it, before it is handed out.

use std::collections::BTreeSet;
use std::sync::Arc;

use mufakat_exchange::{Directory, Leaf, SAID_MAX, Said};
use mufakat_formats::{Bundle, EVIDENCE_BYTES_MAX, ProvenLeaf, verify};
use mufakat_ledger::note::Note;
use mufakat_ledger::proof::Prover;
use mufakat_ledger::tlog_proof::TlogProof;
use mufakat_ledger::{Checkpoint, TileSource};
use mufakat_record::kinds::Body as _;
use mufakat_record::kinds::answer::Answer;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, How, RecordId, Relation, Verified, cbor};
use mufakat_store::{Queries, Reader, Related};

use crate::desk::{self, Caller};
use crate::gate::{Action, Decision, Request};
use crate::node::Node;
use crate::writer::Fault;
use crate::{clock, witness};

/// Why there is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EvidenceError {
    /// The record is not here, or its content was deleted.
    #[error("there is no such record here")]
    NotFound,
    /// The policy gate says no.
    #[error("policy rule {}: {}", .0.rule, .0.why)]
    NotAllowed(Decision),
    /// There is no checkpoint that covers the record.
    #[error("the ledger has no checkpoint that covers it: {0}")]
    NotWitnessedYet(witness::Error),
    /// The bundle would not convince anybody, for instance because an agency's key set is not known here.
    #[error("what this node has does not make a bundle that holds: {0}")]
    DoesNotHold(String),
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<witness::Error> for EvidenceError {
    fn from(error: witness::Error) -> Self {
        match error {
            witness::Error::Fault(fault) => Self::Fault(fault),
            other => Self::NotWitnessedYet(other),
        }
    }
}

/// What is shown of one record, with its place in our ledger.
struct Shown {
    bytes: Vec<u8>,
    index: u64,
    leaf: Leaf,
}

impl From<Related> for Shown {
    fn from(related: Related) -> Self {
        Self { bytes: related.bytes, index: related.index, leaf: related.leaf }
    }
}

/// Everything about a record that goes into a bundle, but for the checkpoint and the proofs.
struct Gathered {
    record: Shown,
    header: mufakat_record::Header,
    receipts: Vec<Shown>,
    related: Vec<Shown>,
}

impl Gathered {
    /// The record first, then receipts, then related records: the order in which a bundle has their leaves.
    fn all(&self) -> impl Iterator<Item = &Shown> {
        std::iter::once(&self.record).chain(&self.receipts).chain(&self.related)
    }
}

/// The evidence bundle for a record: the bytes of a file.
pub(crate) async fn bundle(node: &Arc<Node>, caller: &Caller, record: RecordId) -> Result<Vec<u8>, EvidenceError> {
    let found = node.read(move |reader| gather(reader, &record)).await?;
    let gathered = found.ok_or(EvidenceError::NotFound)?;
    allow(node, caller, record, &gathered).await?;
    desk::note(node, caller, How::Export, record, Vec::new()).await?;
    let leaves = gathered.all().map(|shown| shown.index + 1).max().unwrap_or(0);
    let checkpoint = witness::checkpoint_now(node, leaves).await?;
    let (directory, me) = (node.directory(), node.me.clone());
    let built = node.read(move |reader| Ok(build(reader, &directory, &me, gathered, &checkpoint)));
    built.await?.map_err(EvidenceError::DoesNotHold)
}

/// Asks the policy gate, and notes a refusal.
async fn allow(node: &Arc<Node>, caller: &Caller, record: RecordId, gathered: &Gathered) -> Result<(), EvidenceError> {
    let directory = node.directory();
    let register = directory.chain().current();
    let request = Request::about(caller, &gathered.header, Action::Export, &node.me, register, clock::now_s());
    let decision = node.gate.decide(&request);
    if decision.allow {
        return Ok(());
    }
    desk::note_refusal(node, caller, How::Export, Some(record), decision.rule).await?;
    Err(EvidenceError::NotAllowed(decision))
}

fn gather(reader: &Reader, id: &RecordId) -> Result<Option<Gathered>, mufakat_store::Error> {
    let (Some(bytes), Some((index, leaf))) = (reader.record_bytes(id)?, reader.record_leaf(id)?) else {
        return Ok(None);
    };
    let Ok(record) = Verified::from_own_store(bytes.clone()) else { return Ok(None) };
    let header = record.header().clone();
    let receipts = reader.receipts_on(id)?.into_iter();
    let receipts = receipts.map(|on| Shown { bytes: on.bytes, index: on.index, leaf: on.leaf }).collect();
    let mut related = Vec::new();
    for (about, shown) in follow_ups(reader, id, &header.author)? {
        related.push(shown);
        related.extend(answers(reader, &about, &header)?);
    }
    Ok(Some(Gathered { record: Shown { bytes, index, leaf }, header, receipts, related }))
}

/// The author's own retractions and corrections of a record. What others say of it is not theirs to say.
fn follow_ups(
    reader: &Reader,
    id: &RecordId,
    author: &AgencyId,
) -> Result<Vec<(RecordId, Shown)>, mufakat_store::Error> {
    let said = |relation, kind| reader.said_of(id, Said { relation, by: author, kind, latest: SAID_MAX });
    let mut changes = said(Relation::Retracts, Retraction::KIND)?;
    changes.extend(said(Relation::Corrects, Correction::KIND)?);
    changes.sort_by_key(|change| change.index);
    Ok(changes.into_iter().map(|change| (change.record, Shown::from(change))).collect())
}

/// What the audience answered to a retraction or correction.
fn answers(reader: &Reader, to: &RecordId, about: &mufakat_record::Header) -> Result<Vec<Shown>, mufakat_store::Error> {
    let mut answers = Vec::new();
    for by in &about.audience {
        let said = Said { relation: Relation::Answers, by, kind: Answer::KIND, latest: SAID_MAX };
        answers.extend(reader.said_of(to, said)?);
    }
    answers.sort_by_key(|answer| answer.index);
    Ok(answers.into_iter().map(Shown::from).collect())
}

/// Puts the bundle together and checks it.
fn build(
    reader: &Reader,
    directory: &Directory,
    me: &AgencyId,
    gathered: Gathered,
    checkpoint: &str,
) -> Result<Vec<u8>, String> {
    let note = Note::parse(checkpoint).map_err(|e| e.to_string())?;
    let size = Checkpoint::parse(&note.text).map_err(|e| e.to_string())?.size;
    let (note, witnesses) = with_known_witnesses(note, directory, me);
    let mut prover = Prover::new();
    let prove = |shown: &Shown| prove(&mut prover, reader, shown, size);
    let leaves = gathered.all().map(prove).collect::<Result<Vec<_>, _>>()?;
    let mut agencies: BTreeSet<AgencyId> = witnesses.into_iter().chain([me.clone()]).collect();
    for shown in gathered.all() {
        let record = Verified::from_own_store(shown.bytes.clone()).map_err(|e| e.to_string())?;
        agencies.insert(record.header().author.clone());
    }
    let key_set = |agency| {
        let record = directory.key_set_record(agency).ok_or_else(|| format!("the key set of {agency} is not known"))?;
        Ok(record.to_vec())
    };
    let versions = directory.chain().versions().iter();
    let bundle = Bundle {
        register: versions.map(|enacted| (cbor::encode(&enacted.version), enacted.approvals.clone())).collect(),
        key_sets: agencies.iter().map(key_set).collect::<Result<_, String>>()?,
        record: gathered.record.bytes,
        holder: me.clone(),
        checkpoint: note.encode(),
        leaves,
        receipts: gathered.receipts.into_iter().map(|shown| shown.bytes).collect(),
        related: gathered.related.into_iter().map(|shown| shown.bytes).collect(),
    };
    let bytes = bundle.encode();
    if bytes.len() > EVIDENCE_BYTES_MAX {
        return Err(format!("it has {} bytes, more than {EVIDENCE_BYTES_MAX}", bytes.len()));
    }
    verify(&bytes, Some(directory.chain().root())).map_err(|fault| fault.to_string())?;
    Ok(bytes)
}

/// The note without cosignatures by keys that the agencies no longer have, and the witnesses that remain. Evidence holds no
/// line that its reader cannot check.
fn with_known_witnesses(mut note: Note, directory: &Directory, me: &AgencyId) -> (Note, Vec<AgencyId>) {
    let agencies = directory.chain().current().agencies.iter().map(|agency| &agency.id);
    let keys: Vec<_> = agencies
        .filter(|agency| *agency != me)
        .filter_map(|agency| Some((agency.clone(), witness::witness_key(directory, agency)?)))
        .collect();
    let mut witnesses = Vec::new();
    let log = directory.key_set(me).map(|keys| keys.ledger_origin.as_str());
    note.signatures.retain(|line| {
        let by = keys.iter().find(|(_, key)| key.name() == line.name && key.key_id() == line.key_id);
        witnesses.extend(by.map(|(agency, _)| agency.clone()));
        by.is_some() || log == Some(line.name.as_str())
    });
    (note, witnesses)
}

fn prove(prover: &mut Prover, tiles: &dyn TileSource, shown: &Shown, size: u64) -> Result<ProvenLeaf, String> {
    let proof = prover.inclusion(tiles, shown.index, size).map_err(|e| e.to_string())?;
    Ok(ProvenLeaf { index: shown.index, leaf: shown.leaf.clone(), proof })
}

/// The proof that a record has its place in our ledger, as a C2SP tlog-proof. The extra data is the ledger's entry, the
/// commitment whose leaf is proven; what it commits to is told by an evidence bundle.
pub(crate) async fn proof(node: &Arc<Node>, record: RecordId) -> Result<String, EvidenceError> {
    let held = node.read(move |reader| Ok((reader.record_bytes(&record)?, reader.record_leaf(&record)?)));
    // The salt goes with the content, and without it nobody can say what the entry is.
    let (Some(_), Some((index, leaf))) = held.await? else { return Err(EvidenceError::NotFound) };
    let checkpoint = witness::checkpoint_now(node, index + 1).await?;
    let proven = node.read(move |reader| Ok(proof_text(reader, index, &leaf, checkpoint)));
    proven.await?.map_err(EvidenceError::DoesNotHold)
}

fn proof_text(tiles: &dyn TileSource, index: u64, leaf: &Leaf, checkpoint: String) -> Result<String, String> {
    let note = Note::parse(&checkpoint).map_err(|e| e.to_string())?;
    let Checkpoint { size, root, .. } = Checkpoint::parse(&note.text).map_err(|e| e.to_string())?;
    let hashes = Prover::new().inclusion(tiles, index, size).map_err(|e| e.to_string())?;
    mufakat_ledger::verify_inclusion(&leaf.hash(), index, size, &hashes, &root).map_err(|e| e.to_string())?;
    Ok(TlogProof { extra: Some(leaf.commitment().to_vec()), index, hashes, checkpoint }.encode())
}

#[cfg(test)]
mod tests;
