//! The published vectors of RFC 9497 (appendix A.1.2: mode VOPRF, ristretto255-SHA512), every step of them, proofs included.

use std::path::Path;

use mufakat_matching::voprf::{self, Blind, Elements, PublicKey, SecretKey};
use serde_json::Value;

const FILE: &str = "shared/data/vectors/rfc9497_voprf.json";

/// The suite and mode that we implement. The file is in a folder beside the repository, wherever the checkout is below it.
fn suite() -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = here.ancestors().map(|folder| folder.join(FILE)).find(|path| path.exists()).unwrap_or_else(|| {
        panic!(
            "no {FILE} in any folder above {}: it belongs beside the repository (github.com/cfrg/draft-irtf-cfrg-voprf, \
             poc/vectors/allVectors.json)",
            here.display()
        )
    });
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut ours = all.as_array().unwrap().iter().filter(|suite| {
        suite["identifier"] == "ristretto255-SHA512" && suite["mode"] == 1 && suite["hash"] == "SHA512"
    });
    let suite = ours.next().expect("the file has our suite").clone();
    assert!(ours.next().is_none());
    suite
}

fn list(object: &Value, field: &str) -> Vec<Vec<u8>> {
    let text = object[field].as_str().unwrap_or_else(|| panic!("no {field} in {object}"));
    text.split(',').map(|part| hex::decode(part).unwrap()).collect()
}

fn fixed<const N: usize>(object: &Value, field: &str) -> [u8; N] {
    let [one] = list(object, field).try_into().unwrap();
    one.try_into().unwrap()
}

fn fixed_list<const N: usize>(object: &Value, field: &str) -> Vec<[u8; N]> {
    list(object, field).into_iter().map(|one| one.try_into().unwrap()).collect()
}

/// 64 bytes whose wide reduction is this scalar.
fn wide(scalar: &[u8; 32]) -> [u8; 64] {
    std::array::from_fn(|n| scalar.get(n).copied().unwrap_or(0))
}

#[test]
fn the_key_pair_is_derived() {
    let suite = suite();
    let [info] = list(&suite, "keyInfo").try_into().unwrap();
    let key = SecretKey::derive(&fixed(&suite, "seed"), &info).unwrap();
    assert_eq!(*key.public().as_bytes(), fixed(&suite, "pkSm"));
    assert_eq!(PublicKey::from_bytes(&fixed(&suite, "pkSm")).unwrap(), *key.public());
}

#[test]
fn every_step_gives_the_published_bytes() {
    let suite = suite();
    let [info] = list(&suite, "keyInfo").try_into().unwrap();
    let key = SecretKey::derive(&fixed(&suite, "seed"), &info).unwrap();
    let vectors = suite["vectors"].as_array().unwrap();
    assert_eq!(vectors.iter().map(|vector| vector["Batch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 1, 2]);
    for vector in vectors {
        let inputs = list(vector, "Input");
        let blinds: Vec<_> =
            fixed_list(vector, "Blind").iter().map(|scalar| Blind::from_random(&wide(scalar)).unwrap()).collect();
        assert_eq!(inputs.len() as u64, vector["Batch"].as_u64().unwrap());

        let blinded = voprf::blind(&inputs, &blinds).unwrap();
        assert_eq!(blinded, fixed_list(vector, "BlindedElement"));

        let blinded = Elements::decode(&blinded).unwrap();
        let proof = &vector["Proof"];
        let answer = voprf::evaluate(&key, &blinded, &wide(&fixed(proof, "r"))).unwrap();
        assert_eq!(answer.evaluated, fixed_list(vector, "EvaluationElement"));
        assert_eq!(answer.proof, fixed(proof, "proof"));

        let evaluated = Elements::decode(&answer.evaluated).unwrap();
        let verified = voprf::verify(key.public(), &blinded, evaluated, &answer.proof).unwrap();
        let outputs = voprf::finalize(&inputs, &blinds, &verified).unwrap();
        assert_eq!(*outputs, fixed_list(vector, "Output"));
        assert_eq!(outputs, voprf::outputs(&key, &inputs).unwrap());
    }
}
