//! Published vectors for signatures and for the signed message.

use std::collections::BTreeSet;

use mufakat_record::kinds::{Body, report::Report};
use mufakat_record::{Header, Reason, Unverified, VerifyingKey};
use serde_json::Value as Json;

use crate::samples::*;
use crate::vectors::{bytes, files, load, wycheproof};

/// Every Wycheproof test of Ed25519 verification, through the one function that checks signatures of records and parcels.
#[test]
fn wycheproof_ed25519() {
    let file = load("wycheproof_ed25519_test.json");
    for (group, test) in wycheproof(&file) {
        let key = VerifyingKey::from_bytes(&bytes(&group["publicKey"], "pk")).unwrap();
        let verdict = key.verify(&bytes(test, "msg"), &bytes(test, "sig"));
        let expected = match test["result"].as_str() {
            Some("valid") => Ok(()),
            Some("invalid") => Err(Reason::WrongSignature),
            other => panic!("a result that this test does not know: {other:?}"),
        };
        assert_eq!(verdict, expected, "{test}");
    }
}

/// The C2SP CCTV corner cases, in which Ed25519 verifiers differ. Ours belongs to this class: the equation is cofactorless
/// (`[S]B = R + [k]A`, by comparing the encoding of the computed R with the one given), S is canonical, R is canonical by that
/// comparison, k is computed over the bytes as they came, and keys of small order are refused altogether. Therefore a
/// vector is accepted exactly if it has none of these flags:
///
/// * `low_order_A`: the key is refused before any signature is looked at (every non-canonical A in the corpus is of low order);
/// * `low_order_residue`: the equation holds only when multiplied by the cofactor;
/// * `non_canonical_R`: the bytes of R are not those that we compute;
/// * `reencoded_k`: k was computed over another encoding than the one that travels.
///
/// Low-order R, and components of low order in R or in A, do no harm in this class.
#[test]
fn cctv_ed25519() {
    let file = load("cctv_ed25519vectors.json");
    let vectors = file.as_array().unwrap();
    assert_eq!(vectors.len(), 914);
    let mut accepted = 0;
    for vector in vectors {
        let flags: BTreeSet<&str> =
            vector["flags"].as_array().into_iter().flatten().map(|flag| flag.as_str().unwrap()).collect();
        assert!(
            !flags.contains("non_canonical_A") || flags.contains("low_order_A"),
            "the class above leaves this open"
        );
        let key = VerifyingKey::from_bytes(&bytes(vector, "key"));
        assert_eq!(key.is_err(), flags.contains("low_order_A"), "{vector}");
        let Ok(key) = key else { continue };
        let good = ["low_order_residue", "non_canonical_R", "reencoded_k"].iter().all(|flag| !flags.contains(flag));
        let message = vector["msg"].as_str().unwrap().as_bytes();
        let verdict = key.verify(message, &bytes(vector, "sig"));
        assert_eq!(verdict, if good { Ok(()) } else { Err(Reason::WrongSignature) }, "{vector}");
        accepted += usize::from(good);
    }
    assert!(accepted > 50, "only {accepted} vectors are accepted");
}

/// The COSE working group's Sign1 examples. They show which bytes are signed; a record is verified with the same structure.
/// Only `eddsa-sig-01` is signed with a key that we can check (the others use P-256 or Ed448).
#[test]
fn cose_sig_structure() {
    let mut checked = 0;
    for name in files("cose") {
        let example = load(&name);
        // sign-fail-06 and -07 change the protected header after signing; sign-pass-01 writes the empty one in another way.
        let signed_as_it_stands = !["sign-fail-03", "sign-fail-04", "sign-fail-06", "sign-fail-07", "sign-pass-01"]
            .iter()
            .any(|other| name.contains(other));
        let external = hex::decode(example["input"]["sign0"]["external"].as_str().unwrap_or_default()).unwrap();
        let expected = hex::decode(example["intermediates"]["ToBeSign_hex"].as_str().unwrap()).unwrap();
        let [protected, _, _, _] = parts_of(&example);
        let plaintext = example["input"]["plaintext"].as_str().unwrap().as_bytes();
        let built = sig_structure(protected.as_bytes().unwrap(), &external, plaintext);
        assert_eq!(built == expected, signed_as_it_stands, "{name}");
        checked += usize::from(signed_as_it_stands);
    }
    assert_eq!(checked, 6);

    let example = load("cose/eddsa-sig-01.json");
    let key = VerifyingKey::from_bytes(&bytes(&example["input"]["sign0"]["key"], "x_hex")).unwrap();
    let [_, _, _, signature] = parts_of(&example);
    let signed = hex::decode(example["intermediates"]["ToBeSign_hex"].as_str().unwrap()).unwrap();
    assert_eq!(key.verify(&signed, signature.as_bytes().unwrap()), Ok(()));

    // Ours: the structure built here is what a record's signature is over.
    let record = record();
    let ciborium::Value::Tag(18, array) = decoded(record.bytes()) else { panic!("not tagged") };
    let parts = array.into_array().unwrap();
    let signed = sig_structure(parts[0].as_bytes().unwrap(), &[], record.body());
    assert_eq!(signing_key().public().verify(&signed, parts[3].as_bytes().unwrap()), Ok(()));
}

/// None of the COSE examples is a record of our profile, and each is refused for the first thing that is wrong: no tag or
/// another tag, an unprotected header, or an algorithm other than Ed25519 (-19).
#[test]
fn cose_examples_are_refused() {
    let names = files("cose");
    assert_eq!(names.len(), 11);
    for name in names {
        let example = load(&name);
        let bytes = hex::decode(example["output"]["cbor"].as_str().unwrap()).unwrap();
        // All have the unprotected key id that our profile forbids.
        assert_eq!(Unverified::parse(bytes), Err(Reason::Malformed), "{name}");

        // With the unprotected header emptied, the protected one is looked at.
        let [protected, _, payload, signature] = parts_of(&example);
        let parts = [protected, payload, signature].map(|part| part.into_bytes().unwrap());
        let bytes = message(&parts[0], ciborium::Value::Map(vec![]), &parts[1], &parts[2]);
        let expected = match name.as_str() {
            // The algorithm stands in the unprotected header, which proves nothing.
            "cose/sign-pass-01.json" => Reason::Malformed,
            _ => Reason::UnknownAlgorithm,
        };
        assert_eq!(Unverified::parse(bytes), Err(expected), "{name}");

        // Under our own header, the examples' untagged and wrongly tagged frames are refused all the same.
        let good = record();
        let untagged = &good.bytes()[1..];
        let verdict = match name.as_str() {
            "cose/sign-fail-01.json" => Unverified::parse([b"\xd9\x03\xe6", untagged].concat()),
            "cose/sign-pass-03.json" => Unverified::parse(untagged.to_vec()),
            _ => continue,
        };
        assert_eq!(verdict, Err(Reason::Malformed), "{name}");
    }
}

/// The same key and plaintext as `eddsa-sig-01`, in a record: what that example signs, our framing takes once the header is ours.
#[test]
fn the_cose_example_key_signs_a_record() {
    let example = load("cose/eddsa-sig-01.json");
    let key = mufakat_record::SigningKey::from_seed(
        bytes(&example["input"]["sign0"]["key"], "d_hex").as_slice().try_into().unwrap(),
    );
    assert_eq!(key.public().as_bytes().as_slice(), bytes(&example["input"]["sign0"]["key"], "x_hex"));
    let protected = Header { key: key.id(), ..header(Report::KIND) }.encode();
    let body = report().to_body();
    let bytes =
        message(&protected, ciborium::Value::Map(vec![]), &body, &key.sign(&sig_structure(&protected, &[], &body)));
    assert!(Unverified::parse(bytes).unwrap().verify_with(&key.public()).is_ok());
}

/// The four parts of an example's message, whatever its tag.
fn parts_of(example: &Json) -> [ciborium::Value; 4] {
    let bytes = hex::decode(example["output"]["cbor"].as_str().unwrap()).unwrap();
    let mut value = decoded(&bytes);
    if let ciborium::Value::Tag(_, inner) = value {
        value = *inner;
    }
    value.into_array().unwrap().try_into().unwrap()
}
