//! Our VOPRF against the `voprf` crate, each of the two on either side, and what both refuse.

use mufakat_matching::voprf::{self as ours, Blind, Elements, Fault, PublicKey, SecretKey};
use proptest::prelude::*;
use rand_core_06::{CryptoRng, RngCore};
use voprf::{BlindedElement, EvaluationElement, Group, Proof, Ristretto255, VoprfClient, VoprfServer};

type Theirs = Ristretto255;

/// Random bytes in a row: what a property test drew, told apart by their number.
struct Drawn(u64);

impl RngCore for Drawn {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        // SplitMix64: the values only have to differ.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Drawn {}

impl Drawn {
    fn wide(&mut self) -> [u8; 64] {
        let mut bytes = [0; 64];
        self.fill_bytes(&mut bytes);
        bytes
    }

    fn blinds(&mut self, count: usize) -> Vec<Blind> {
        (0..count).map(|_| Blind::from_random(&self.wide()).unwrap()).collect()
    }
}

/// The same key on both sides.
fn keys(seed: [u8; 32], info: &[u8]) -> (SecretKey, VoprfServer<Theirs>) {
    let key = SecretKey::derive(&seed, info).unwrap();
    let server = VoprfServer::<Theirs>::new_from_seed(&seed, info).unwrap();
    assert_eq!(key.public().as_bytes()[..], Ristretto255::serialize_elem(server.get_public_key())[..]);
    (key, server)
}

fn inputs() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn we_ask_and_they_answer(
        seed: [u8; 32], info in prop::collection::vec(any::<u8>(), 0..40), inputs in inputs(), drawn: u64,
    ) {
        let mut drawn = Drawn(drawn);
        let (key, server) = keys(seed, &info);
        let blinds = drawn.blinds(inputs.len());
        let blinded = ours::blind(&inputs, &blinds).unwrap();

        let their_blinded: Vec<_> =
            blinded.iter().map(|bytes| BlindedElement::<Theirs>::deserialize(bytes).unwrap()).collect();
        let answer = server.batch_blind_evaluate(&mut drawn, &their_blinded).unwrap();

        let evaluated: Vec<[u8; 32]> =
            answer.messages.iter().map(|element| element.serialize().as_slice().try_into().unwrap()).collect();
        let proof: [u8; 64] = answer.proof.serialize().as_slice().try_into().unwrap();
        let (blinded, evaluated) = (Elements::decode(&blinded).unwrap(), Elements::decode(&evaluated).unwrap());
        let verified = ours::verify(key.public(), &blinded, evaluated, &proof).unwrap();
        let outputs = ours::finalize(&inputs, &blinds, &verified).unwrap();
        for (input, output) in inputs.iter().zip(&*outputs) {
            prop_assert_eq!(&server.evaluate(input).unwrap()[..], &output[..]);
        }
        prop_assert_eq!(outputs, ours::outputs(&key, &inputs).unwrap());
    }

    #[test]
    fn they_ask_and_we_answer(seed: [u8; 32], inputs in inputs(), drawn: u64) {
        let mut drawn = Drawn(drawn);
        let (key, server) = keys(seed, b"EXERCISE");
        let asked: Vec<_> =
            inputs.iter().map(|input| VoprfClient::<Theirs>::blind(input, &mut drawn).unwrap()).collect();
        let blinded: Vec<[u8; 32]> =
            asked.iter().map(|one| one.message.serialize().as_slice().try_into().unwrap()).collect();

        let answer = ours::evaluate(&key, &Elements::decode(&blinded).unwrap(), &drawn.wide()).unwrap();

        let clients: Vec<_> = asked.into_iter().map(|one| one.state).collect();
        let messages: Vec<_> = answer
            .evaluated
            .iter()
            .map(|bytes| EvaluationElement::<Theirs>::deserialize(bytes).unwrap())
            .collect();
        let proof = Proof::<Theirs>::deserialize(&answer.proof).unwrap();
        let public = Ristretto255::deserialize_elem(key.public().as_bytes()).unwrap();
        let outputs = VoprfClient::batch_finalize(&inputs, &clients, &messages, &proof, public).unwrap();
        for (mine, theirs) in ours::outputs(&key, &inputs).unwrap().iter().zip(outputs) {
            prop_assert_eq!(&mine[..], &theirs.unwrap()[..]);
        }
        prop_assert!(server.get_public_key() == public);
    }

    /// The same blind gives the same element on both sides, and neither takes an encoding that the other refuses.
    #[test]
    fn both_blind_and_decode_alike(input in prop::collection::vec(any::<u8>(), 0..300), drawn: u64, bytes: [u8; 32]) {
        let mut scalar = [0; 32];
        Drawn(drawn).fill_bytes(&mut scalar);
        scalar[31] &= 0x0f;
        let mut wide = [0; 64];
        wide[..32].copy_from_slice(&scalar);
        let mine = ours::blind(&[&input], &[Blind::from_random(&wide).unwrap()]).unwrap();
        let theirs = VoprfClient::<Theirs>::deterministic_blind_unchecked(
            &input, Ristretto255::deserialize_scalar(&scalar).unwrap(),
        );
        prop_assert_eq!(&mine[0][..], &theirs.unwrap().message.serialize()[..]);

        // Of even numbers below the field's prime, some are encodings and some are not.
        let mut bytes = bytes;
        bytes[0] &= 0xfe;
        bytes[31] &= 0x7f;
        let taken = BlindedElement::<Theirs>::deserialize(&bytes).is_ok();
        prop_assert_eq!(Elements::decode(&[bytes]).is_ok(), taken);
        prop_assert_eq!(PublicKey::from_bytes(&bytes).is_ok(), taken);
    }

    /// One bit of the proof, of what was asked or of what was answered, and the proof is wrong.
    #[test]
    fn a_changed_bit_is_found(drawn: u64, count in 1..6_usize, which in 0..3_u8, at: prop::sample::Index) {
        let mut drawn = Drawn(drawn);
        let (key, _) = keys([5; 32], b"EXERCISE");
        let inputs: Vec<_> = (0..count).map(|n| vec![n as u8]).collect();
        let mut blinded = ours::blind(&inputs, &drawn.blinds(count)).unwrap();
        let mut answer = ours::evaluate(&key, &Elements::decode(&blinded).unwrap(), &drawn.wide()).unwrap();
        let bytes = match which {
            0 => &mut answer.proof[..],
            1 => blinded.as_flattened_mut(),
            _ => answer.evaluated.as_flattened_mut(),
        };
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let fault = Elements::decode(&blinded).and_then(|blinded| {
            ours::verify(key.public(), &blinded, Elements::decode(&answer.evaluated)?, &answer.proof)
        });
        let fault = fault.err().expect("it is found");
        if which == 0 {
            prop_assert_eq!(fault, Fault::Proof);
        } else {
            prop_assert!(matches!(fault, Fault::Proof | Fault::NotCanonical(_)), "{fault:?}");
        }
    }
}

/// The encodings that RFC 9496, appendix A.3, wants refused: of each kind one or more, and the identity.
#[test]
fn bad_encodings_are_named() {
    let good = *SecretKey::derive(&[1; 32], b"").unwrap().public().as_bytes();
    let kinds = [
        // Not below the prime.
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        // Negative.
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
        // Its square has no root.
        "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
        // Its product of coordinates is negative.
        "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
        // Minus one: its y is zero.
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for kind in kinds {
        let bytes: [u8; 32] = hex::decode(kind).unwrap().try_into().unwrap();
        let fault = Elements::decode(&[good, bytes]).unwrap_err();
        assert_eq!((fault, fault.reason()), (Fault::NotCanonical(1), "not-canonical"), "{kind}");
        assert_eq!(PublicKey::from_bytes(&bytes).unwrap_err(), Fault::NotCanonical(0), "{kind}");
        assert!(BlindedElement::<Theirs>::deserialize(&bytes).is_err(), "{kind}");
    }
    let fault = Elements::decode(&[good, good, [0; 32]]).unwrap_err();
    assert_eq!((fault, fault.reason()), (Fault::Identity(2), "identity"));
    assert_eq!(PublicKey::from_bytes(&[0; 32]).unwrap_err(), Fault::Identity(0));
}

#[test]
fn other_keys_counts_orders_and_scalars_are_refused() {
    let mut drawn = Drawn(1);
    let (key, _) = keys([5; 32], b"EXERCISE");
    let inputs: [&[u8]; 3] = [b"one", b"two", b"three"];
    let blinds = drawn.blinds(3);
    let encoded = ours::blind(&inputs, &blinds).unwrap();
    let blinded = Elements::decode(&encoded).unwrap();
    let answer = ours::evaluate(&key, &blinded, &drawn.wide()).unwrap();
    let check = |public: &PublicKey, evaluated: &[[u8; 32]], proof: &[u8; 64]| {
        ours::verify(public, &blinded, Elements::decode(evaluated).unwrap(), proof).err()
    };
    assert_eq!(check(key.public(), &answer.evaluated, &answer.proof), None);

    let (other, _) = keys([6; 32], b"EXERCISE");
    assert_eq!(check(other.public(), &answer.evaluated, &answer.proof), Some(Fault::Proof));
    let of_other = ours::evaluate(&other, &blinded, &drawn.wide()).unwrap();
    assert_eq!(check(key.public(), &of_other.evaluated, &of_other.proof), Some(Fault::Proof));
    // One answer of three under another key.
    let mut mixed = answer.evaluated.clone();
    mixed[1] = of_other.evaluated[1];
    assert_eq!(check(key.public(), &mixed, &answer.proof), Some(Fault::Proof));
    let mut swapped = answer.evaluated.clone();
    swapped.swap(0, 2);
    assert_eq!(check(key.public(), &swapped, &answer.proof), Some(Fault::Proof));
    let subset = check(key.public(), &answer.evaluated[..2], &answer.proof);
    assert_eq!(subset, Some(Fault::Count { wanted: 3, given: 2 }));

    // The order of the group added to s: the same scalar, spelled otherwise.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    for half in [0, 32] {
        let mut proof = answer.proof;
        let mut carry = 0;
        for (byte, add) in proof[half..half + 32].iter_mut().zip(&order) {
            let sum = u16::from(*byte) + u16::from(*add) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        assert_eq!(carry, 0);
        assert_eq!(check(key.public(), &answer.evaluated, &proof), Some(Fault::Proof));
    }

    let verified = ours::verify(key.public(), &blinded, Elements::decode(&answer.evaluated).unwrap(), &answer.proof);
    let verified = verified.unwrap();
    assert_eq!(ours::finalize(&inputs[..2], &blinds, &verified).unwrap_err().reason(), "wrong-count");
    assert_eq!(ours::finalize(&inputs[..2], &blinds[..2], &verified).unwrap_err().reason(), "wrong-count");
    assert_eq!(ours::blind(&inputs[..2], &blinds).unwrap_err().reason(), "wrong-count");
    assert_eq!(Elements::decode(&[]).unwrap_err(), Fault::Count { wanted: 1, given: 0 });
    let many = vec![encoded[0]; ours::BATCH_MAX + 1];
    assert_eq!(Elements::decode(&many).unwrap_err().reason(), "wrong-count");
}

#[test]
fn inputs_and_random_bytes_have_their_limits() {
    let (key, server) = keys([5; 32], b"");
    let longest = vec![7; ours::INPUT_BYTES_MAX];
    assert_eq!(ours::outputs(&key, &[&longest]).unwrap()[0][..], server.evaluate(&longest).unwrap()[..]);
    let longer = vec![7; ours::INPUT_BYTES_MAX + 1];
    assert_eq!(ours::outputs(&key, &[&[][..], &longer]).unwrap_err(), Fault::Input(1));
    assert_eq!(ours::blind(&[&longer], &Drawn(1).blinds(1)).unwrap_err().reason(), "input-too-long");
    assert!(ours::outputs(&key, &[] as &[&[u8]]).unwrap().is_empty());

    // A proof made with the scalar zero would show the key: s = -c k.
    let blinded = Elements::decode(&[*key.public().as_bytes()]).unwrap();
    let fault = ours::evaluate(&key, &blinded, &[0; 64]).unwrap_err();
    assert_eq!((fault, fault.reason()), (Fault::Random, "not-random"));
    assert_eq!(Blind::from_random(&[0; 64]).err(), Some(Fault::Random));
    assert_eq!(SecretKey::derive(&[1; 32], &[0; 1 << 16]).unwrap_err().reason(), "no-key");
}
