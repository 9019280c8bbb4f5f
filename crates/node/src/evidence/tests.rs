//! Tests of evidence: what two agencies have after an exchange makes bundles that hold, and what they lack makes none.

use mufakat_formats::verify;
use mufakat_ledger::leaf_hash;
use mufakat_ledger::tlog_proof::TlogProof;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{Reference, Relation, Verified};
use mufakat_store::Queries;

use super::*;
use crate::witness::testing::{Agency, NOW_S, community};

/// Authored, brought to one of two recipients, retracted, and answered.
fn exchanged() -> ([Agency; 3], Verified) {
    let [mut id, mut ru, sg] = community(["id-coastguard", "ru-police", "sg-fusion"]);
    let record = id.author("exercise", vec![0x01], &[&ru, &sg], Vec::new());
    ru.receive(&record, 1, &mut id);
    let body = Retraction { reason: "EXERCISE".into(), carries: None }.to_body();
    let references = vec![Reference { relation: Relation::Retracts, record: record.id() }];
    let retraction = id.author(Retraction::KIND, body, &[&ru, &sg], references);
    ru.receive(&retraction, 2, &mut id);
    let answer = ru.store.related(&retraction.id(), 9).unwrap().pop().expect("an answer");
    let answer = ru.store.record_bytes(&RecordId(answer.leaf.subject.0)).unwrap().expect("its content");
    let answer = Verified::from_own_store(answer).unwrap();
    id.receive(&answer, 1, &mut ru);
    ([id, ru, sg], record)
}

fn built(holder: &Agency, record: &Verified, checkpoint: &str) -> Result<Vec<u8>, String> {
    let reader = holder.store.reader().unwrap();
    let gathered = gather(&reader, &record.id()).unwrap().expect("the record");
    build(&reader, &holder.directory(), &holder.id, gathered, checkpoint)
}

#[test]
fn both_sides_can_prove_what_was_exchanged() {
    let ([id, mut ru, mut sg], record) = exchanged();
    let root = id.directory().chain().root();
    let cosigned = id.cosigned_by(id.checkpoint(), &mut [&mut ru, &mut sg]);
    let bytes = built(&id, &record, &cosigned.encode()).unwrap();
    let statement = verify(&bytes, Some(root)).unwrap();
    assert_eq!((statement.record, &statement.holder), (record.id(), &id.id));
    assert_eq!(statement.witnesses.len(), 2);
    assert!(statement.quorum.met);
    assert_eq!(statement.receipts.len(), 1);
    assert_eq!(statement.receipts[0].agency, ru.id);
    let kinds: Vec<_> = statement.related.iter().map(|related| related.kind.as_str()).collect();
    assert_eq!(kinds, ["retraction", "answer"]);

    let bytes = built(&ru, &record, &ru.checkpoint().encode()).unwrap();
    let statement = verify(&bytes, Some(root)).unwrap();
    assert_eq!((statement.leaf.outcome.as_str(), &statement.holder), ("accepted", &ru.id));
    assert!(!statement.quorum.met, "nobody has cosigned");
    assert_eq!(statement.receipts.len(), 1, "its own word");
}

#[test]
fn what_does_not_hold_is_not_handed_out() {
    let ([mut id, mut ru, mut sg], record) = exchanged();
    let early = id.checkpoint_of(1, 1, mufakat_ledger::proof::root(&id.store, 1).unwrap());
    assert!(built(&id, &record, &early.encode()).is_err(), "a checkpoint that does not cover it");
    let (size, _) = id.exchange.ledger();
    let forged = id.checkpoint_of(1, size, mufakat_ledger::empty_root());
    assert!(built(&id, &record, &forged.encode()).unwrap_err().starts_with("leaf[0]"));
    // A cosignature by a key that its agency has no longer is left out, and the rest still holds.
    let cosigned = id.cosigned_by(id.checkpoint(), &mut [&mut ru, &mut sg]);
    let changed = cosigned.encode().replace("mufakat/sg-fusion/witness", "mufakat/xx-fusion/witness");
    let bytes = built(&id, &record, &changed).unwrap();
    assert_eq!(verify(&bytes, None).unwrap().witnesses.len(), 1);
    let reader = ru.store.reader().unwrap();
    assert!(gather(&reader, &RecordId([9; 32])).unwrap().is_none());
    id.grow(1);
    assert!(built(&id, &record, &cosigned.encode()).is_ok(), "the ledger may have grown since");
}

#[test]
fn a_proof_is_one_of_the_specification() {
    let ([mut id, ..], record) = exchanged();
    id.grow(300);
    let (index, leaf) = id.store.record_leaf(&record.id()).unwrap().unwrap();
    let text = proof_text(&id.store, index, &leaf, id.checkpoint().encode()).unwrap();
    let proof = TlogProof::parse(&text).unwrap();
    let log = id.keyring.ledger_signer("mufakat/id-coastguard/1").unwrap().verifier().clone();
    let entry = proof.extra.clone().unwrap();
    assert_eq!(proof.verify(&leaf_hash(&entry), &log).unwrap().checkpoint().size, id.exchange.ledger().0);
    assert_eq!(leaf.at_ms, NOW_S * 1000);
    assert!(proof_text(&id.store, index + 1, &leaf, id.checkpoint().encode()).is_err());
}
