//! A proof of inclusion with its checkpoint (C2SP).
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_ledger::leaf_hash;
use mufakat_ledger::note::{Algorithm, VerifierKey};
use mufakat_ledger::tlog_proof::TlogProof;

fuzz_target!(|data: &[u8]| {
    let Ok(proof) = TlogProof::parse(data) else { return };
    assert_eq!(proof.encode().as_bytes(), data, "a proof has one form");
    // The base point of the curve: a key that is sound, and under which nobody signs.
    let mut public = [0x66; 32];
    public[0] = 0x58;
    let log = VerifierKey::new("mufakat/vn-police/1", Algorithm::Ed25519, public).expect("the base point is a key");
    assert!(proof.verify(&leaf_hash(b"leaf"), &log).is_err(), "nobody signs with this key");
});
