//! Notes, keys, checkpoints, cosignatures and the text of proofs: published answers, hostile text, and a changed byte in each field.

mod common;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{grown, leaf};
use mufakat_ledger::checkpoint::{self, EXTENSIONS_MAX};
use mufakat_ledger::note::{self, NOTE_BYTES_MAX, SIGNATURES_MAX};
use mufakat_ledger::proof::{self, Invalid};
use mufakat_ledger::tlog_proof::{self, TlogProof};
use mufakat_ledger::{Algorithm, Checkpoint, Hash, Note, SignedCheckpoint, Signer, VerifierKey, cosign, empty_root};
use proptest::prelude::*;

/// The key and note in the documentation of Go's `note` package.
const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// The type and the seed of its published private key.
const SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const LINE: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ORIGIN: &str = "vn-police.example/ledger";
const TIME_S: u64 = 1_800_000_000;

fn log() -> Signer {
    Signer::from_seed(ORIGIN, Algorithm::Ed25519, &[1; 32]).unwrap()
}

fn witness(seed: u8) -> Signer {
    Signer::from_seed(&format!("w{seed}.example"), Algorithm::Cosignature, &[seed; 32]).unwrap()
}

fn checkpoint(size: u64, root: Hash) -> Checkpoint {
    Checkpoint { origin: ORIGIN.into(), size, root, extensions: Vec::new() }
}

fn signed() -> SignedCheckpoint {
    SignedCheckpoint::sign(checkpoint(7, leaf(7)), &log()).unwrap()
}

#[test]
fn the_published_note_verifies_and_is_signed_again_alike() {
    let key = VerifierKey::parse(KEY).unwrap();
    assert_eq!(key.encode(), KEY);
    assert_eq!((key.name(), key.key_id(), key.algorithm()), ("PeterNeumann", 0xc74f_20a3, Algorithm::Ed25519));
    let encoded = format!("{TEXT}\n{LINE}");
    let note = Note::parse(&encoded).unwrap();
    assert_eq!((note.text.as_str(), note.encode()), (TEXT, encoded));
    assert_eq!(note.verify_one(&key), Ok(()));
    let material = STANDARD.decode(SEED).unwrap();
    let seed = material.strip_prefix(&[0x01]).unwrap().try_into().unwrap();
    let signer = Signer::from_seed("PeterNeumann", Algorithm::Ed25519, seed).unwrap();
    assert_eq!(signer.verifier(), &key);
    assert_eq!(signer.sign(TEXT).unwrap().line(), LINE);
}

#[test]
fn keys_are_strict() {
    let id = |key: &VerifierKey| key.key_id();
    let (log, cosigner) = (log(), Signer::from_seed(ORIGIN, Algorithm::Cosignature, &[1; 32]).unwrap());
    assert_eq!(log.verifier().public(), cosigner.verifier().public());
    assert_ne!(id(log.verifier()), id(cosigner.verifier()), "the type is part of the id");
    for signer in [&log, &cosigner] {
        assert_eq!(VerifierKey::parse(&signer.verifier().encode()).as_ref(), Ok(signer.verifier()));
        assert!(!format!("{signer:?}").contains("0101"), "a signer shows nothing of its seed");
    }
    let check = |bad: &str, expect| assert_eq!(VerifierKey::parse(bad), Err(expect), "{bad:?}");
    check("", note::Error::KeyEncoding);
    check("PeterNeumann", note::Error::KeyEncoding);
    check("PeterNeumann+c74f20a3", note::Error::KeyEncoding);
    check("PeterNeumann+c74f20a3+", note::Error::KeyEncoding);
    check(&KEY.replace("c74f20a3", "c74f20a4"), note::Error::KeyEncoding);
    check(&KEY.replace("c74f20a3", "C74F20A3"), note::Error::KeyEncoding);
    check(&KEY.replace("ARpc", "ARqc"), note::Error::KeyEncoding);
    check(&KEY.replace("ARpc", "Ahpc"), note::Error::KeyType(0x02));
    check(&KEY.replace("10TW", "10TWAA=="), note::Error::KeyEncoding);
    check(&KEY.replace("Peter", "Peter "), note::Error::KeyName);
    check(&KEY.replace("PeterNeumann", ""), note::Error::KeyName);
    for bad in ["", "a b", "a+b", "a\u{2003}b", "a\nb", "a\u{1}b", &"a".repeat(256)] {
        assert_eq!(VerifierKey::new(bad, Algorithm::Ed25519, [0; 32]), Err(note::Error::KeyName), "{bad:?}");
    }
}

#[test]
fn malformed_notes_are_named() {
    let check = |bad: &str, expect| assert_eq!(Note::parse(bad), Err(expect), "{bad:?}");
    check("", note::Error::NoSignatures);
    check(TEXT, note::Error::NoSignatures);
    check(&format!("{TEXT}\n"), note::Error::NoSignatures);
    check(&format!("{TEXT}{LINE}"), note::Error::NoSignatures);
    check(&format!("{TEXT}\n{}", LINE.trim_end()), note::Error::SignatureLine);
    check(&format!("{TEXT}\n{LINE}junk\n"), note::Error::SignatureLine);
    check(&format!("{TEXT}\n{}", LINE.replace('—', "-")), note::Error::SignatureLine);
    check(&format!("{TEXT}\n{}", LINE.replace("nAM=", "nAM")), note::Error::SignatureLine);
    check(&format!("{TEXT}\n{}", LINE.replace("nAM=", "nAN=")), note::Error::SignatureLine);
    check(&format!("{TEXT}\n— PeterNeumann x08gow==\n"), note::Error::SignatureLine);
    check(&format!("{TEXT}\n— PeterNeumann\n"), note::Error::SignatureLine);
    check(&format!("{TEXT}\n{}", LINE.replace("Neumann ", "+Neumann ")), note::Error::KeyName);
    check(&format!("{TEXT}\n—  {}", &LINE["— ".len()..]), note::Error::KeyName);
    check(&format!("tab\t{TEXT}\n{LINE}"), note::Error::NotPlain);
    check(&format!("{TEXT}\r\n{LINE}"), note::Error::NotPlain);
    assert_eq!(Note::parse([0xff, b'\n', b'\n']), Err(note::Error::NotPlain));
    let long = "a".repeat(NOTE_BYTES_MAX + 1);
    check(&long, note::Error::TooLong { bytes: long.len() });
    assert!(Note::parse(format!("{TEXT}\n{}", LINE.repeat(SIGNATURES_MAX))).is_ok());
    check(&format!("{TEXT}\n{}", LINE.repeat(SIGNATURES_MAX + 1)), note::Error::TooManySignatures);
    // The text may have empty lines; the last one separates.
    assert_eq!(Note::parse(format!("a\n\n{TEXT}\n{LINE}")).unwrap().text, format!("a\n\n{TEXT}"));
}

#[test]
fn unknown_signatures_are_passed_over_and_wrong_ones_refused() {
    let known = VerifierKey::parse(KEY).unwrap();
    let bad = Err(note::Error::BadSignature { name: "PeterNeumann".into() });
    let note = Note::parse(format!("{TEXT}\n{LINE}")).unwrap();
    let stranger = log();
    let mut both = note.clone();
    both.signatures.insert(0, stranger.sign(TEXT).unwrap());
    assert_eq!(both.verify_one(&known), Ok(()));
    assert_eq!(both.verify(&[known.clone(), stranger.verifier().clone()]).unwrap().len(), 2);
    assert_eq!(note.verify_one(stranger.verifier()), Err(note::Error::Unsigned));
    // The same name with another id, and the same id with another name, are strangers.
    let mut other = note.clone();
    other.signatures[0].key_id ^= 1;
    assert_eq!(other.verify_one(&known), Err(note::Error::Unsigned));
    other = note.clone();
    other.signatures[0].name.push('x');
    assert_eq!(other.verify_one(&known), Err(note::Error::Unsigned));
    other = note.clone();
    other.text.push_str("more\n");
    assert_eq!(other.verify_one(&known), bad);
    for at in 0..64 {
        other = note.clone();
        other.signatures[0].bytes[at] ^= 1;
        assert_eq!(other.verify_one(&known), bad, "byte {at}");
    }
    // A good signature does not excuse a wrong one by the same key.
    other.signatures.push(note.signatures[0].clone());
    assert_eq!(other.verify_one(&known), bad);
    other = note.clone();
    other.signatures[0].bytes.truncate(63);
    assert_eq!(other.verify_one(&known), bad);
}

#[test]
fn the_checkpoint_of_the_specification() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let checkpoint = Checkpoint::parse(text).unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.encode().unwrap(), text);
    let extended = format!("{text}one\ntwo words\n");
    let checkpoint = Checkpoint::parse(&extended).unwrap();
    assert_eq!(checkpoint.extensions, ["one", "two words"]);
    assert_eq!(checkpoint.encode().unwrap(), extended);
    let check = |bad: &str, expect| assert_eq!(Checkpoint::parse(bad), Err(expect), "{bad:?}");
    check("", checkpoint::Error::Origin);
    check(&format!("\n{text}"), checkpoint::Error::Size);
    check(&text.replace("example.com/behind-the-sofa", ""), checkpoint::Error::Origin);
    check(&text.replace("example", "exam\tple"), checkpoint::Error::Origin);
    check(&text.replace("example", &"e".repeat(256)), checkpoint::Error::Origin);
    check(&text.replace("20852163", "020852163"), checkpoint::Error::Size);
    check(&text.replace("20852163", "+20852163"), checkpoint::Error::Size);
    check(&text.replace("20852163", ""), checkpoint::Error::Size);
    check(&text.replace("20852163", "18446744073709551616"), checkpoint::Error::Size);
    check(&text.replace("20852163", "0"), checkpoint::Error::Root);
    check(&text.replace("q2I=", "q2I"), checkpoint::Error::Root);
    check(&text.replace("q2I=", "q2J="), checkpoint::Error::Root);
    check(text.trim_end(), checkpoint::Error::Root);
    check(&format!("{text}\n"), checkpoint::Error::Extension);
    check(&format!("{text}one"), checkpoint::Error::Extension);
    check(&format!("{text}{}\n", "x".repeat(1025)), checkpoint::Error::Extension);
    check(&format!("{text}{}", "x\n".repeat(EXTENSIONS_MAX + 1)), checkpoint::Error::Extension);
    let injected = Checkpoint { origin: "a\n5".into(), size: 0, root: empty_root(), extensions: vec![] };
    assert_eq!(injected.encode(), Err(checkpoint::Error::Origin));
    let injected = Checkpoint { extensions: vec!["a\nb".into()], origin: "a".into(), ..injected };
    assert_eq!(injected.encode(), Err(checkpoint::Error::Extension));
}

#[test]
fn a_signed_checkpoint_refuses_each_changed_field() {
    let (good, key) = (signed().encode(), log().verifier().clone());
    assert_eq!(SignedCheckpoint::open(&good, &key), Ok(signed()));
    let bad = || checkpoint::Error::Note(note::Error::BadSignature { name: ORIGIN.into() });
    let check = |text: String, expect| assert_eq!(SignedCheckpoint::open(&text, &key), Err(expect), "{text}");
    check(good.replace("\n7\n", "\n8\n"), bad());
    check(good.replace(&leaf(7).to_string(), &leaf(8).to_string()), bad());
    check(good.replace("\n\n", "\nextension\n\n"), bad());
    check(good.replacen("vn-police", "ru-police", 1), other("ru-police.example/ledger", ORIGIN));
    check(good.replace("vn-police", "ru-police"), other("ru-police.example/ledger", ORIGIN));
    let wrong_key = Signer::from_seed(ORIGIN, Algorithm::Ed25519, &[2; 32]).unwrap();
    let unsigned = Err(checkpoint::Error::Note(note::Error::Unsigned));
    assert_eq!(SignedCheckpoint::open(&good, wrong_key.verifier()), unsigned);
    let wrong_name = Signer::from_seed("ru-police.example/ledger", Algorithm::Ed25519, &[1; 32]).unwrap();
    assert_eq!(SignedCheckpoint::open(&good, wrong_name.verifier()), Err(other(ORIGIN, "ru-police.example/ledger")));
    assert!(SignedCheckpoint::sign(checkpoint(7, leaf(7)), &wrong_name).is_err());
    let kind = Signer::from_seed(ORIGIN, Algorithm::Cosignature, &[1; 32]).unwrap();
    let expect = checkpoint::Error::Note(note::Error::WrongAlgorithm(ORIGIN.into()));
    assert_eq!(SignedCheckpoint::open(&good, kind.verifier()), Err(expect.clone()));
    assert_eq!(SignedCheckpoint::sign(checkpoint(7, leaf(7)), &kind), Err(expect));
}

fn other(found: &str, expected: &str) -> checkpoint::Error {
    checkpoint::Error::OtherLog { found: found.into(), expected: expected.into() }
}

/// The signed message is written out here by hand, from the text of the specification.
#[test]
fn a_cosignature_signs_what_the_specification_says() {
    let signer = witness(4);
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let signature = cosign::sign(&signer, text, 1_679_315_147).unwrap();
    let (time, bytes) = signature.bytes.split_at(8);
    assert_eq!(time, [0, 0, 0, 0, 0x64, 0x18, 0x50, 0xcb]);
    let message = "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
                   CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    UnparsedPublicKey::new(&ED25519, signer.verifier().public()).verify(message.as_bytes(), bytes).unwrap();
    assert_eq!(cosign::verify(signer.verifier(), text, &signature), Ok(1_679_315_147));
    let bad = Err(note::Error::BadSignature { name: "w4.example".into() });
    for at in 0..signature.bytes.len() {
        let mut changed = signature.clone();
        changed.bytes[at] ^= 1;
        assert_eq!(cosign::verify(signer.verifier(), text, &changed), bad, "byte {at}");
    }
    assert_eq!(cosign::verify(signer.verifier(), &text.replace("163", "164"), &signature), bad);
    let mut changed = signature.clone();
    changed.bytes.push(0);
    assert_eq!(cosign::verify(signer.verifier(), text, &changed), bad);
    assert!(cosign::verify(witness(5).verifier(), text, &signature).is_err());
    assert!(cosign::verify(log().verifier(), text, &signature).is_err());
    assert!(cosign::sign(&log(), text, 1).is_err());
    assert!(signer.sign(text).is_err());
    assert!(cosign::sign(&signer, text, cosign::TIME_S_MAX).is_ok());
    assert_eq!(cosign::sign(&signer, text, cosign::TIME_S_MAX + 1), Err(note::Error::Time(1 << 63)));
}

#[test]
fn cosigners_are_counted_once_each() {
    let mut signed = signed();
    let keys: Vec<VerifierKey> = [4, 5, 6].map(|seed| witness(seed).verifier().clone()).to_vec();
    let line = |seed, time_s| cosign::sign(&witness(seed), &signed.note().text, time_s).unwrap().line();
    let (five, four, newer, stranger) = (line(5, TIME_S), line(4, TIME_S + 1), line(4, TIME_S + 9), line(9, TIME_S));
    assert_eq!(signed.cosigners(&keys), Ok(vec![]));
    assert_eq!(signed.add(&format!("{five}{stranger}{four}"), &keys), Ok(vec![(1, TIME_S), (0, TIME_S + 1)]));
    assert_eq!(signed.add(&newer, &keys), Ok(vec![(0, TIME_S + 9)]));
    assert_eq!(signed.cosigners(&keys), Ok(vec![(0, TIME_S + 9), (1, TIME_S)]));
    assert_eq!(signed.note().signatures.len(), 3);
    // Two lines by one witness are one cosigner.
    let reopened = SignedCheckpoint::open(format!("{}{four}", signed.encode()), log().verifier()).unwrap();
    assert_eq!(reopened.cosigners(&keys), Ok(vec![(0, TIME_S + 9), (1, TIME_S)]));
    let before = signed.clone();
    let elsewhere = cosign::sign(&witness(6), "other\n", TIME_S).unwrap().line();
    assert!(signed.add(&elsewhere, &keys).is_err());
    assert!(signed.add("junk", &keys).is_err());
    assert_eq!(signed, before, "a refused answer changes nothing");
    let forged = SignedCheckpoint::open(format!("{}{elsewhere}", signed.encode()), log().verifier()).unwrap();
    assert!(forged.cosigners(&keys).is_err());
}

fn proof_of(index: u64) -> TlogProof {
    let (edge, memory) = grown(300);
    let signed = SignedCheckpoint::sign(checkpoint(300, edge.root()), &log()).unwrap();
    let hashes = proof::inclusion(&memory, index, 300).unwrap();
    TlogProof { extra: None, index, hashes, checkpoint: signed.encode() }
}

#[test]
fn a_proof_in_text_refuses_each_changed_field() {
    let key = log().verifier().clone();
    let good = proof_of(137);
    let text = good.encode();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 137\n"));
    assert_eq!(TlogProof::parse(&text), Ok(good.clone()));
    assert_eq!(good.verify(&leaf(137), &key).unwrap().checkpoint().size, 300);
    let extra = TlogProof { extra: Some(b"salt".to_vec()), ..good.clone() };
    assert!(extra.encode().starts_with("c2sp.org/tlog-proof@v1\nextra c2FsdA==\nindex 137\n"));
    assert_eq!(TlogProof::parse(extra.encode()), Ok(extra));
    let check = |proof: TlogProof, expect| assert_eq!(proof.verify(&leaf(137), &key), Err(expect));
    assert_eq!(good.verify(&leaf(138), &key), Err(tlog_proof::Error::Inclusion(Invalid::Root)));
    check(TlogProof { index: 138, ..good.clone() }, tlog_proof::Error::Inclusion(Invalid::Root));
    check(TlogProof { index: 300, ..good.clone() }, tlog_proof::Error::Inclusion(Invalid::NoSuchLeaf));
    check(TlogProof { hashes: vec![], ..good.clone() }, tlog_proof::Error::Inclusion(Invalid::Length));
    let forged = good.checkpoint.replace("\n300\n", "\n301\n");
    let bad = checkpoint::Error::Note(note::Error::BadSignature { name: ORIGIN.into() });
    check(TlogProof { checkpoint: forged, ..good.clone() }, tlog_proof::Error::Checkpoint(bad));
    let refuse = |bad: String, expect| assert_eq!(TlogProof::parse(&bad), Err(expect), "{bad}");
    refuse(String::new(), tlog_proof::Error::Header);
    refuse(text.replace("@v1", "@v2"), tlog_proof::Error::Header);
    refuse(text.replace("index 137", "index 0137"), tlog_proof::Error::Index);
    refuse(text.replace("index 137", "extra !\nindex 137"), tlog_proof::Error::Extra);
    refuse(text.replace("index 137\n", ""), tlog_proof::Error::Index);
    refuse(text.replace("index 137\n", "index 137\nnot a hash\n"), tlog_proof::Error::Hashes);
    let many = format!("index 137\n{}", format!("{}\n", leaf(1)).repeat(64));
    refuse(text.replace("index 137\n", &many), tlog_proof::Error::Hashes);
    let long = "a".repeat(tlog_proof::PROOF_BYTES_MAX + 1);
    refuse(long, tlog_proof::Error::TooLong { bytes: tlog_proof::PROOF_BYTES_MAX + 1 });
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Note::parse(&bytes);
        let _ = TlogProof::parse(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = Checkpoint::parse(&text);
        let _ = VerifierKey::parse(&text);
    }

    #[test]
    fn what_is_read_is_written_the_same(at: prop::sample::Index, byte in prop::sample::select(b"\n +=/-0aZ\xe2\x80".to_vec()), insert: bool) {
        let mut bytes = signed().encode().into_bytes();
        let at = at.index(bytes.len());
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.encode().into_bytes(), bytes);
            if let Ok(checkpoint) = Checkpoint::parse(&note.text) {
                prop_assert_eq!(checkpoint.encode().unwrap(), note.text);
            }
        }
    }

    #[test]
    fn a_proof_that_is_read_is_written_the_same(at: prop::sample::Index, byte: u8) {
        let mut bytes = TlogProof { extra: Some(vec![1, 2, 3]), ..proof_of(5) }.encode().into_bytes();
        let at = at.index(bytes.len());
        let changed = bytes[at] != byte;
        bytes[at] = byte;
        if let Ok(proof) = TlogProof::parse(&bytes) {
            prop_assert_eq!(proof.encode().into_bytes(), bytes);
            // The extra data and strangers' signatures are all that is not authenticated, and here no stranger signed.
            if changed && proof.extra == Some(vec![1, 2, 3]) {
                prop_assert!(proof.verify(&leaf(5), log().verifier()).is_err());
            }
        }
    }
}
