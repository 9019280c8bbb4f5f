//! The one function that believes an evidence bundle. Whatever the bundle says is checked against the signed bytes, and each
//! of these against the thing that it is meant to be about: a valid proof for the wrong object is refused.

use std::collections::BTreeMap;

use mufakat_exchange::{Chain, Leaf, What};
use mufakat_ledger::checkpoint::Checkpoint as Seen;
use mufakat_ledger::{Algorithm, SignedCheckpoint, VerifierKey, cosign, verify_inclusion};
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::kinds::{self, Body, Understanding};
use mufakat_record::{AgencyId, Digest, Header, Reason, RecordId, Relation, Unverified, Verified, VerifyingKey, cbor};

use crate::evidence::{Bundle, ProvenLeaf};
use crate::statement::{Checkpoint, Holding, Outcome, Quorum, Related, Statement, Witness};

/// Which part of a bundle does not hold, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {why}")]
pub struct Fault {
    /// The part, named as in the protocol document: `register[1]`, `leaf[0]`, …
    pub part: String,
    /// Why, for people.
    pub why: String,
}

/// Checks a bundle. `expected_root` is the hash of register version 1 that the verifier trusts; without it the statement says
/// which one the evidence rests on, and the reader has to compare.
pub fn verify(bytes: &[u8], expected_root: Option<Digest>) -> Result<Statement, Fault> {
    let bundle = Bundle::decode(bytes).map_err(|reason| fault("format", reason))?;
    let chain = register(&bundle.register, expected_root)?;
    let keys = key_sets(&bundle.key_sets, &chain)?;
    let ground = Ground { chain, keys };

    let [first, others @ ..] = bundle.leaves.as_slice() else { return Err(fault("format", "no leaf")) };
    let held = ground.hold(&bundle.record, &first.leaf).map_err(|why| fault("record", why))?;
    let (record, header) = (&held.record, held.record.header());
    let ledger = Ledger::open(&ground, &bundle, header).map_err(|why| fault("checkpoint", why))?;
    let witnesses = ledger.witnesses(&ground).map_err(|why| fault("cosignatures", why))?;

    let (of_receipts, of_related) = others.split_at(bundle.receipts.len());
    let mut receipts = Vec::new();
    for (i, (bytes, proven)) in bundle.receipts.iter().zip(of_receipts).enumerate() {
        receipts.push(receipt(&ground, record, bytes, proven).map_err(|why| fault(format!("receipt[{i}]"), why))?);
    }
    let mut related: Vec<Related> = Vec::new();
    for (i, (bytes, proven)) in bundle.related.iter().zip(of_related).enumerate() {
        let next = relate(&ground, record, &related, bytes, proven);
        related.push(next.map_err(|why| fault(format!("related[{i}]"), why))?);
    }
    // The leaves come last, so that a changed record is named as such, and not the leaf that no longer fits it.
    let objects = std::iter::once((record.id(), ledger.type_for(&header.author)))
        .chain(receipts.iter().map(|receipt| (receipt.receipt, What::Receipt)))
        .chain(related.iter().map(|other| (other.record, ledger.type_for(&other.author))));
    for (i, (proven, (id, what))) in bundle.leaves.iter().zip(objects).enumerate() {
        ledger.prove(proven, id, what, i == 0).map_err(|why| fault(format!("leaf[{i}]"), why))?;
    }

    let now = ground.chain.current();
    let needed = now.rules.witness_quorum;
    Ok(Statement {
        root: ground.chain.root(),
        fingerprint: ground.chain.fingerprint().to_string(),
        root_expected: expected_root.is_some(),
        community: now.community.clone(),
        record: record.id(),
        author: header.author.clone(),
        party: held.party.clone(),
        signed_at: header.issued_at,
        key_revoked: held.key_revoked,
        thread: header.thread,
        kind: header.kind.clone(),
        understood: held.understood,
        audience: header.audience.clone(),
        register_version: held.register_version,
        handling: header.handling.clone(),
        expires: header.expires,
        leaf: Holding { index: first.index, at_ms: first.leaf.at_ms, outcome: outcome(&first.leaf) },
        checkpoint: ledger.checkpoint(),
        quorum: Quorum { needed, met: witnesses.len() as u64 >= needed },
        holder: ledger.holder,
        witnesses,
        receipts,
        related,
    })
}

fn fault(part: impl Into<String>, why: impl ToString) -> Fault {
    Fault { part: part.into(), why: why.to_string() }
}

/// Follows the register from its first version on.
fn register(parts: &[(Vec<u8>, Vec<Vec<u8>>)], expected_root: Option<Digest>) -> Result<Chain, Fault> {
    let mut chain: Option<Chain> = None;
    for (number, (body, approvals)) in (1..).zip(parts) {
        let wrong = |reason: Reason| fault(format!("register[{number}]"), reason);
        let version: RegisterVersion = cbor::decode(body).map_err(wrong)?;
        match chain.as_mut() {
            Some(chain) => chain.extend(version, approvals.clone()).map_err(wrong)?,
            None => {
                let founded = Chain::found(version, approvals.clone()).map_err(wrong)?;
                if expected_root.is_some_and(|expected| expected != founded.root()) {
                    return Err(fault(
                        "register[1]",
                        "this is the register of another community than the one expected",
                    ));
                }
                chain = Some(founded);
            }
        }
    }
    chain.ok_or_else(|| fault("format", "no register"))
}

/// Reads the key sets, each signed by the identity key that the register has for its author.
fn key_sets(records: &[Vec<u8>], chain: &Chain) -> Result<BTreeMap<AgencyId, KeySet>, Fault> {
    let mut sets: BTreeMap<AgencyId, KeySet> = BTreeMap::new();
    for (i, bytes) in records.iter().enumerate() {
        let record = Unverified::parse(bytes.clone()).map_err(|reason| fault(format!("key-set[{i}]"), reason))?;
        let author = record.header().author.clone();
        let part = format!("key-set[{author}]");
        let set = key_set(record, chain).map_err(|reason| fault(&*part, reason))?;
        if sets.last_key_value().is_some_and(|(last, _)| *last >= author) {
            return Err(fault(part, "the key sets do not ascend by agency"));
        }
        sets.insert(author, set);
    }
    Ok(sets)
}

fn key_set(record: Unverified, chain: &Chain) -> Result<KeySet, Reason> {
    let identity = chain.identity(&record.header().author).ok_or(Reason::AuthorNotInRegister)?;
    let record = record.verify_with(&identity)?;
    KeySet::from_body(record.header(), record.body())
}

/// What everything else is checked against.
struct Ground {
    chain: Chain,
    keys: BTreeMap<AgencyId, KeySet>,
}

impl Ground {
    /// Checks a record as of the time of its leaf: form, register, key, signature, body.
    fn hold(&self, bytes: &[u8], leaf: &Leaf) -> Result<Holds, Reason> {
        let record = Unverified::parse(bytes.to_vec())?;
        let header = record.header();
        let version = self.version(&header.register).ok_or(Reason::UnknownRegister)?;
        let agency = version.agency(&header.author).ok_or(Reason::AuthorNotInRegister)?;
        if agency.removed.is_some() {
            return Err(Reason::AuthorRemoved);
        }
        let (key, state) = self.signing_key(header).ok_or(Reason::UnknownKey)?;
        let issued_at = header.issued_at;
        let record = record.verify_with(&key)?;
        if issued_at < state.from {
            return Err(Reason::KeyNotYetValid);
        }
        if issued_at > state.until {
            return Err(Reason::KeyExpired);
        }
        // What was in a ledger before the revocation was signed by the agency and not by a thief.
        if state.revoked.is_some_and(|since| leaf.at_ms >= since.saturating_mul(1000)) {
            return Err(Reason::KeyRevoked);
        }
        let understood = kinds::check(record.header(), record.body())? == Understanding::Understood;
        Ok(Holds {
            record,
            understood,
            key_revoked: state.revoked,
            party: agency.party.clone(),
            register_version: version.version,
        })
    }

    fn version(&self, hash: &Digest) -> Option<&RegisterVersion> {
        self.chain.versions().iter().find(|enacted| enacted.hash == *hash).map(|enacted| &enacted.version)
    }

    /// The key that the header names, with its times.
    fn signing_key(&self, header: &Header) -> Option<(VerifyingKey, &kinds::key_set::Signing)> {
        let keys = self.keys.get(&header.author)?.signing.iter().rev();
        keys.filter_map(|state| Some((VerifyingKey::from_bytes(&state.key).ok()?, state)))
            .find(|(key, _)| key.id() == header.key)
    }
}

/// A record that holds, with what was found on the way.
struct Holds {
    record: Verified,
    understood: bool,
    key_revoked: Option<u64>,
    party: AgencyId,
    register_version: u64,
}

/// The holder's ledger as its checkpoint shows it.
struct Ledger {
    holder: AgencyId,
    log: VerifierKey,
    signed: SignedCheckpoint,
}

impl Ledger {
    /// Checks that the holder has to do with the record and signed the checkpoint as one of its own ledger.
    fn open(ground: &Ground, bundle: &Bundle, header: &Header) -> Result<Self, String> {
        let holder = bundle.holder.clone();
        if holder != header.author && !header.reaches(&holder) {
            return Err(format!("{holder} is neither the record's author nor in its audience"));
        }
        let keys = ground.keys.get(&holder).ok_or_else(|| format!("there is no key set of {holder}"))?;
        // The key set has been checked: the origin in it is one of its author's own.
        let log =
            VerifierKey::new(&keys.ledger_origin, Algorithm::Ed25519, keys.ledger_key).map_err(|e| e.to_string())?;
        let signed = SignedCheckpoint::open(&bundle.checkpoint, &log).map_err(|e| e.to_string())?;
        Ok(Self { holder, log, signed })
    }

    fn checkpoint(&self) -> Checkpoint {
        let Seen { origin, size, root, .. } = self.signed.checkpoint();
        Checkpoint { origin: origin.clone(), size: *size, root: Digest(*root.as_bytes()) }
    }

    /// Checks every other signature. In a log's notes a stranger's line is passed over; in evidence it is refused, because a
    /// changed cosignature would look like one.
    fn witnesses(&self, ground: &Ground) -> Result<Vec<Witness>, String> {
        let mut found = BTreeMap::new();
        let mut own = 0;
        let note = self.signed.note();
        for signature in &note.signatures {
            let by = |key: &VerifierKey| key.name() == signature.name && key.key_id() == signature.key_id;
            if by(&self.log) {
                own += 1;
                continue;
            }
            let keys = ground.keys.iter().filter(|(agency, _)| **agency != self.holder);
            let witness =
                keys.filter_map(|(agency, set)| Some((agency, witness_key(agency, set)?))).find(|(_, key)| by(key));
            let (agency, key) = witness.ok_or_else(|| format!("{} is not a witness known here", signature.name))?;
            let time_s = cosign::verify(&key, &note.text, signature).map_err(|e| e.to_string())?;
            if found.insert(agency.clone(), time_s).is_some() {
                return Err(format!("{agency} cosigned twice"));
            }
        }
        if own > 1 {
            return Err("the ledger signed twice".to_owned());
        }
        Ok(found.into_iter().map(|(agency, cosigned_at)| Witness { agency, cosigned_at }).collect())
    }

    /// What the holder's leaf for a record of this author says.
    fn type_for(&self, author: &AgencyId) -> What {
        if *author == self.holder { What::Authored } else { What::Received }
    }

    /// Checks a leaf: that it is about this object, says what may be said of it, and is in the ledger.
    fn prove(&self, proven: &ProvenLeaf, id: RecordId, what: What, may_be_rejected: bool) -> Result<(), String> {
        let leaf = &proven.leaf;
        if leaf.subject.as_bytes() != id.as_bytes() {
            return Err("it is about another record".to_owned());
        }
        if leaf.what != what {
            return Err(format!("it says {:?}, where {what:?} belongs", leaf.what));
        }
        let detail_fits = match what {
            What::Authored => matches!(leaf.detail.len(), 0 | 32),
            What::Received if may_be_rejected => leaf.detail.is_empty() || is_reason_name(&leaf.detail),
            _ => leaf.detail.is_empty(),
        };
        if !detail_fits {
            return Err("its detail does not belong there".to_owned());
        }
        let checkpoint = self.signed.checkpoint();
        verify_inclusion(&leaf.hash(), proven.index, checkpoint.size, &proven.proof, &checkpoint.root)
            .map_err(|e| e.to_string())
    }
}

fn witness_key(agency: &AgencyId, set: &KeySet) -> Option<VerifierKey> {
    VerifierKey::new(&format!("mufakat/{agency}/witness"), Algorithm::Cosignature, set.witness_key).ok()
}

/// Checks a receipt: a recipient's word to the author, and on this record.
fn receipt(ground: &Ground, record: &Verified, bytes: &[u8], proven: &ProvenLeaf) -> Result<Outcome, String> {
    let receipt = ground.hold(bytes, &proven.leaf).map_err(|reason| reason.to_string())?.record;
    let (header, about) = (receipt.header(), record.header());
    let body = Receipt::from_body(header, receipt.body()).map_err(|reason| reason.to_string())?;
    if !about.reaches(&header.author) {
        return Err(format!("{} is not in the record's audience", header.author));
    }
    if header.audience != [about.author.clone()] {
        return Err(format!("it is not for {}", about.author));
    }
    let entry = body.entries.into_iter().find(|entry| entry.record == record.id());
    let entry = entry.ok_or("it says nothing on the record")?;
    if entry.rejected.as_ref().is_some_and(|reason| !is_reason_name(reason.as_bytes())) {
        return Err("it rejects the record for something that is no reason".to_owned());
    }
    Ok(Outcome {
        agency: header.author.clone(),
        receipt: receipt.id(),
        accepted: entry.rejected.is_none(),
        rejected: entry.rejected,
        at_ms: entry.at_ms,
        index: entry.index,
        ledger: body.ledger,
    })
}

/// Checks a retraction or correction by the author, or a recipient's answer to one that stands earlier in the list.
fn relate(
    ground: &Ground,
    record: &Verified,
    earlier: &[Related],
    bytes: &[u8],
    proven: &ProvenLeaf,
) -> Result<Related, String> {
    let related = ground.hold(bytes, &proven.leaf).map_err(|reason| reason.to_string())?.record;
    let (header, about) = (related.header(), record.header());
    let by_author = header.author == about.author;
    let concerns = |relation| header.the_one(relation) == Some(record.id());
    let belongs = match header.kind.as_str() {
        "retraction" => by_author && concerns(Relation::Retracts),
        "correction" => by_author && concerns(Relation::Corrects),
        "answer" => {
            let answered = |other: &Related| header.the_one(Relation::Answers) == Some(other.record);
            about.reaches(&header.author) && earlier.iter().filter(|other| other.kind != "answer").any(answered)
        }
        _ => false,
    };
    if !belongs {
        return Err(format!("this {} by {} does not concern the record", header.kind, header.author));
    }
    Ok(Related {
        record: related.id(),
        kind: header.kind.clone(),
        author: header.author.clone(),
        signed_at: header.issued_at,
        index: proven.index,
        at_ms: proven.leaf.at_ms,
    })
}

/// Whether this can be the name of a reason. Later versions of the protocol may have more than we know.
fn is_reason_name(bytes: &[u8]) -> bool {
    (1..=60).contains(&bytes.len()) && bytes.iter().all(|c| c.is_ascii_lowercase() || *c == b'-')
}

fn outcome(leaf: &Leaf) -> String {
    match leaf.what {
        What::Authored => "authored".to_owned(),
        // A reason's name is ASCII, which was checked with the leaf.
        _ if leaf.detail.is_empty() => "accepted".to_owned(),
        _ => String::from_utf8_lossy(&leaf.detail).into_owned(),
    }
}
