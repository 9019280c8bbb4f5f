//! Questions: what they show, what an audit finds, and what bad questions and bad answers get.

use mufakat_matching::key::EpochSecret;
use mufakat_matching::question::{self, Fault, Question, Secret};
use mufakat_matching::tag::Tag;
use mufakat_matching::voprf::{self, Answer, SecretKey};
use mufakat_record::kinds::match_question::{COUNT_MAX, SIZES};
use proptest::prelude::*;

fn key(epoch: u32) -> SecretKey {
    EpochSecret::from_bytes([3; 32]).key(&"ru-police".parse().unwrap(), "phone", epoch).unwrap()
}

fn phones(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("phone\x1f+62215550{number:04}")).collect()
}

fn secret(byte: u8) -> Secret {
    Secret::from_bytes([byte; 32])
}

/// Distinct identifiers; few enough that a test is quick.
fn inputs() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::btree_set(prop::collection::vec(any::<u8>(), 0..40), 1..40)
        .prop_map(|set| set.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

fn take(
    secret: &Secret,
    inputs: &[impl AsRef<[u8]>],
    question: &Question,
    key: &SecretKey,
    answer: &Answer,
) -> Result<Vec<Tag>, Fault> {
    question::take(secret, inputs, question, key.public(), &answer.evaluated, &answer.proof)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The asker gets what the holder computed for its own list, in the order of the identifiers.
    #[test]
    fn both_sides_have_the_same_tags(inputs in inputs(), bytes: [u8; 32], random: [u8; 32]) {
        let (key, secret) = (key(1), Secret::from_bytes(bytes));
        let question = question::ask(&secret, &inputs).unwrap();
        prop_assert_eq!(question.count as usize, inputs.len());
        let class = SIZES.into_iter().find(|&class| class >= inputs.len());
        prop_assert_eq!(Some(question.elements.len()), class);
        let random = std::array::from_fn(|n| random[n % 32] ^ n as u8);
        let answer = question::answer(&key, &question, &random).unwrap();
        let tags = take(&secret, &inputs, &question, &key, &answer).unwrap();
        let listed: Vec<_> = voprf::outputs(&key, &inputs).unwrap().iter().map(Tag::of).collect();
        prop_assert!(tags == listed);
        question::audit(&secret, &inputs, &question).unwrap();
    }

    /// An audit finds any change of an identifier, of their order or number, of the secret, of any one element.
    #[test]
    fn an_audit_finds_every_change(inputs in inputs(), bytes: [u8; 32], at: prop::sample::Index, bit in 0..8_u8) {
        let secret = Secret::from_bytes(bytes);
        let question = question::ask(&secret, &inputs).unwrap();

        let mut other = inputs.clone();
        at.get_mut(&mut other).push(1 << bit);
        prop_assert_eq!(question::audit(&secret, &other, &question), Err(Fault::Commitment));
        let mut more = inputs.clone();
        more.push(vec![0; 41]);
        prop_assert_eq!(question::audit(&secret, &more, &question), Err(Fault::Count(inputs.len() + 1)));
        let less = &inputs[1..];
        prop_assert_eq!(question::audit(&secret, less, &question), Err(Fault::Count(inputs.len() - 1)));
        if inputs.len() > 1 {
            let mut turned = inputs.clone();
            turned.rotate_left(1);
            prop_assert_eq!(question::audit(&secret, &turned, &question), Err(Fault::Commitment));
        }

        let mut bytes = bytes;
        *at.get_mut(&mut bytes) ^= 1 << bit;
        prop_assert_eq!(question::audit(&Secret::from_bytes(bytes), &inputs, &question), Err(Fault::Commitment));

        let place = at.index(question.elements.len());
        let mut changed = question.clone();
        changed.elements[place][usize::from(bit)] ^= 1;
        prop_assert_eq!(question::audit(&secret, &inputs, &changed), Err(Fault::Element(place)));
        let mut swapped = question.clone();
        let next = (place + 1) % swapped.elements.len();
        swapped.elements.swap(place, next);
        prop_assert_eq!(question::audit(&secret, &inputs, &swapped), Err(Fault::Element(place.min(next))));
        let mut changed = question.clone();
        *at.get_mut(&mut changed.commitment) ^= 1 << bit;
        prop_assert_eq!(question::audit(&secret, &inputs, &changed), Err(Fault::Commitment));
        let mut longer = question.clone();
        longer.elements.push(question.elements[0]);
        let padding = Fault::Padding { count: question.count, elements: longer.elements.len() };
        prop_assert_eq!(question::audit(&secret, &inputs, &longer), Err(padding));
    }
}

/// What a holder sees of two questions with one count differs only in bytes that look random, and so does what it answers.
#[test]
fn questions_of_one_count_look_alike() {
    let ours: Vec<String> = phones(20);
    let theirs: Vec<String> = (0..20).map(|number| format!("name\x1f{}", "a".repeat(number * 50 + 1))).collect();
    let key = key(1);
    let mut shapes = Vec::new();
    for (byte, inputs) in [(1, &ours), (2, &theirs), (3, &ours)] {
        let question = question::ask(&secret(byte), inputs).unwrap();
        let answer = question::answer(&key, &question, &[byte; 64]).unwrap();
        shapes.push((question.count, question.elements.len(), answer.evaluated.len()));
        // Each byte of an encoding but the first and the last takes any value: no class of elements has a mark.
        let mut mean = [0.0_f64; 32];
        for element in &question.elements {
            for (sum, byte) in mean.iter_mut().zip(element) {
                *sum += f64::from(*byte) / question.elements.len() as f64;
            }
        }
        assert!(mean[1..31].iter().all(|mean| (80.0..175.0).contains(mean)), "{mean:?}");
    }
    assert!(shapes.iter().all(|shape| *shape == (20, 64, 64)), "{shapes:?}");
}

/// The same identifiers under another secret share nothing, not even an order.
#[test]
fn a_secret_hides_all_of_it() {
    let inputs = phones(16);
    let (one, two) = (question::ask(&secret(1), &inputs).unwrap(), question::ask(&secret(2), &inputs).unwrap());
    assert!(one.elements.iter().all(|element| !two.elements.contains(element)));
    assert_ne!(one.commitment, two.commitment);
    assert_eq!(one, question::ask(&secret(1), &inputs).unwrap());
    assert_eq!(format!("{:?}", secret(1)), "Secret");
}

/// Over many secrets each of the places has the first identifier about equally often, and so it has the last.
#[test]
fn the_place_of_an_identifier_says_nothing() {
    let inputs = phones(2);
    let mut found = [[0_u32; 16]; 2];
    for number in 0..1600_u32 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let secret = Secret::from_bytes(bytes);
        let both = question::ask(&secret, &inputs).unwrap();
        let first = question::ask(&secret, &inputs[..1]).unwrap();
        // With one identifier less, the second becomes padding; the first is the one that stays.
        let changed: Vec<_> = (0..16).filter(|&place| both.elements[place] != first.elements[place]).collect();
        let [second] = changed[..] else { panic!("one element differs, not {changed:?}") };
        found[1][second] += 1;
        let mut other = inputs.clone();
        other[0].push('0');
        let other = question::ask(&secret, &other).unwrap();
        let first = (0..16).find(|&place| both.elements[place] != other.elements[place]).unwrap();
        found[0][first] += 1;
    }
    // 100 are expected; a binomial's deviation is below 10.
    assert!(found.as_flattened().iter().all(|&times| (55..=145).contains(&times)), "{found:?}");
}

#[test]
fn each_class_is_filled_and_no_more() {
    for (count, size) in [(1, 16), (16, 16), (17, 64), (64, 64), (65, 256), (256, 256), (257, 1024), (1024, 1024)] {
        let question = question::ask(&secret(1), &phones(count)).unwrap();
        assert_eq!((question.elements.len(), question.count as usize), (size, count));
        question.check().unwrap();
    }
    for count in [0, COUNT_MAX + 1] {
        let fault = question::ask(&secret(1), &phones(count)).unwrap_err();
        assert_eq!((fault, fault.reason()), (Fault::Count(count), "wrong-count"));
    }
    let mut twice = phones(3);
    twice.push(twice[1].clone());
    let fault = question::ask(&secret(1), &twice).unwrap_err();
    assert_eq!((fault, fault.reason()), (Fault::Repeated(3), "repeated"));
}

#[test]
fn a_holder_refuses_unsound_questions() {
    let key = key(1);
    let good = question::ask(&secret(1), &phones(5)).unwrap();
    let refused = |change: &dyn Fn(&mut Question)| {
        let mut question = good.clone();
        change(&mut question);
        let fault = question::answer(&key, &question, &[1; 64]).unwrap_err();
        (fault, fault.reason())
    };
    let padding = |count| Fault::Padding { count, elements: 16 };
    // A count that lies about the class.
    assert_eq!(refused(&|question| question.count = 17), (padding(17), "wrong-padding"));
    assert_eq!(refused(&|question| question.count = 0), (Fault::Count(0), "wrong-count"));
    assert_eq!(refused(&|question| question.count = 1025), (Fault::Count(1025), "wrong-count"));
    assert_eq!(refused(&|question| question.elements.truncate(15)).1, "wrong-padding");
    assert_eq!(refused(&|question| question.elements.clear()).1, "wrong-padding");
    assert_eq!(refused(&|question| question.elements[9] = question.elements[2]), (Fault::Repeated(9), "repeated"));
    let identity = (Fault::Voprf(voprf::Fault::Identity(4)), "identity");
    assert_eq!(refused(&|question| question.elements[4] = [0; 32]), identity);
    let other = (Fault::Voprf(voprf::Fault::NotCanonical(4)), "not-canonical");
    assert_eq!(refused(&|question| question.elements[4][0] ^= 1), other);
    assert_eq!(refused(&|question| question.elements[4] = [0xff; 32]), other);
}

#[test]
fn an_asker_refuses_unsound_answers() {
    let (inputs, secret, key_now, key_before) = (phones(5), secret(1), key(2), key(1));
    let question = question::ask(&secret, &inputs).unwrap();
    let answer = question::answer(&key_now, &question, &[1; 64]).unwrap();
    assert_eq!(take(&secret, &inputs, &question, &key_now, &answer).unwrap().len(), 5);
    let refused = |change: &dyn Fn(&mut Answer)| {
        let mut answer = answer.clone();
        change(&mut answer);
        take(&secret, &inputs, &question, &key_now, &answer).unwrap_err().reason()
    };
    // A part of the answers, even one in which all that was asked may be.
    let fault = Fault::NotAllAnswered { asked: 16, answered: 15 };
    let mut less = answer.clone();
    less.evaluated.pop();
    assert_eq!(take(&secret, &inputs, &question, &key_now, &less).unwrap_err(), fault);
    assert_eq!(refused(&|answer| answer.evaluated.truncate(15)), "not-all-answered");
    assert_eq!(refused(&|answer| answer.evaluated.clear()), "not-all-answered");
    assert_eq!(refused(&|answer| answer.evaluated.push(answer.evaluated[0])), "not-all-answered");
    assert_eq!(refused(&|answer| answer.evaluated.swap(0, 1)), "wrong-proof");
    assert_eq!(refused(&|answer| answer.evaluated[0] = answer.evaluated[1]), "wrong-proof");
    assert_eq!(refused(&|answer| answer.proof[40] ^= 1), "wrong-proof");
    assert_eq!(refused(&|answer| answer.proof = [0; 64]), "wrong-proof");
    assert_eq!(refused(&|answer| answer.evaluated[3] = [0; 32]), "identity");
    assert_eq!(refused(&|answer| answer.evaluated[3] = [0xff; 32]), "not-canonical");

    // Another epoch's key, and the answer to another question.
    let fault = take(&secret, &inputs, &question, &key_before, &answer).unwrap_err();
    assert_eq!((fault, fault.reason()), (Fault::Voprf(voprf::Fault::Proof), "wrong-proof"));
    let old = question::answer(&key_before, &question, &[1; 64]).unwrap();
    assert_eq!(take(&secret, &inputs, &question, &key_now, &old).unwrap_err().reason(), "wrong-proof");
    let (other_secret, other) = (Secret::from_bytes([2; 32]), phones(6));
    let elsewhere = question::ask(&other_secret, &inputs).unwrap();
    let elsewhere = question::answer(&key_now, &elsewhere, &[1; 64]).unwrap();
    assert_eq!(take(&secret, &inputs, &question, &key_now, &elsewhere).unwrap_err().reason(), "wrong-proof");

    // Our own mistakes: another secret or other identifiers than were asked about.
    let mistaken = take(&other_secret, &inputs, &question, &key_now, &answer).unwrap_err();
    assert_eq!((mistaken, mistaken.reason()), (Fault::Commitment, "other-identifiers"));
    assert_eq!(take(&secret, &other[1..], &question, &key_now, &answer).unwrap_err(), Fault::Commitment);
    assert_eq!(take(&secret, &other, &question, &key_now, &answer).unwrap_err(), Fault::Count(6));
}
