//! A question of private matching, as a holder gets it: four bytes with the count, a proof, and elements. What is sound is answered.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mufakat_matching::question::{Question, answer};
use mufakat_matching::voprf::{ELEMENT_BYTES, Elements, PROOF_BYTES, SecretKey, verify};

/// A larger question is answered as this one is, and takes longer.
const ANSWERED_MAX: usize = 64;

static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::derive(&[1; 32], b"EXERCISE").expect("a key"));

fuzz_target!(|data: &[u8]| {
    let Some((count, rest)) = data.split_first_chunk() else { return };
    let Some((proof, rest)) = rest.split_first_chunk::<PROOF_BYTES>() else { return };
    let elements = rest.as_chunks::<ELEMENT_BYTES>().0.to_vec();
    let read = Elements::decode(&elements);
    if let Ok(read) = &read {
        assert_eq!(read.as_bytes(), elements, "an element has one form");
        let stranger = verify(KEY.public(), read, read.clone(), proof);
        assert!(stranger.is_err(), "nobody without the key proves an answer");
    }
    let question = Question { elements, count: u32::from_be_bytes(*count), commitment: [0; 32] };
    let sound = match question.check() {
        Ok(sound) => sound,
        Err(fault) => return assert!(!fault.reason().is_empty(), "a refusal has a name"),
    };
    assert!(read.is_ok(), "all elements of a sound question are elements");
    if question.elements.len() <= ANSWERED_MAX {
        let answer = answer(&KEY, &question, &[7; 64]).expect("a sound question is answered");
        let evaluated = Elements::decode(&answer.evaluated).expect("answers are elements");
        assert!(verify(KEY.public(), &sound, evaluated, &answer.proof).is_ok(), "an answer is proved");
    }
});
