//! Vectors for private matching: keys, questions with what an audit recomputes, answers with their tags, and a filter.

use mufakat_matching::filter::{Class, Filter};
use mufakat_matching::key::EpochSecret;
use mufakat_matching::question::{self, Question, Secret};
use mufakat_matching::tag::Tag;
use mufakat_matching::voprf::{self, Answer, ELEMENT_BYTES, SecretKey};
use mufakat_record::matching::{Category, Label};
use mufakat_record::{Tlp, sha256};
use serde_json::{Value, json};

use super::community::{name, seed};
use super::flipped;

/// What stands between the parts of an input.
const BETWEEN: char = '\x1f';

/// A key with what it follows from.
struct Key {
    label: &'static str,
    asker: &'static str,
    subject: &'static str,
    epoch: u32,
}

const KEYS: [Key; 4] = [
    Key { label: "key", asker: "ru-police", subject: "passport", epoch: 692 },
    Key { label: "key of the next epoch", asker: "ru-police", subject: "passport", epoch: 693 },
    Key { label: "key for another asker", asker: "sg-fusion", subject: "passport", epoch: 692 },
    Key { label: "key for names", asker: "ru-police", subject: "name", epoch: 692 },
];

impl Key {
    fn epoch_secret(&self) -> [u8; 32] {
        seed(&format!("secret of epoch {}", self.epoch))
    }

    fn secret(&self) -> SecretKey {
        let secret = EpochSecret::from_bytes(self.epoch_secret());
        secret.key(&name(self.asker), self.subject, self.epoch).expect("a key")
    }

    fn json(&self) -> Value {
        json!({
            "name": self.label, "epoch_secret": hex::encode(self.epoch_secret()), "asker": self.asker,
            "subject": self.subject, "epoch": self.epoch, "public": hex::encode(self.secret().public().as_bytes()),
        })
    }
}

/// Inputs of so many passports.
fn passports(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("passport{BETWEEN}UTO:L{number:08}")).collect()
}

/// A question with what it follows from.
struct Asked {
    label: &'static str,
    secret: Secret,
    inputs: Vec<String>,
    question: Question,
}

impl Asked {
    fn new(label: &'static str, secret: &str, inputs: Vec<String>) -> Self {
        let secret = Secret::from_bytes(seed(secret));
        let question = question::ask(&secret, &inputs).expect("a question");
        Self { label, secret, inputs, question }
    }

    fn json(&self) -> Value {
        let mut vector = told(self.label, &self.question, "ok");
        vector["secret"] = json!(hex::encode(self.secret.as_bytes()));
        vector["inputs"] = self.inputs.iter().map(hex::encode).collect();
        vector
    }
}

/// A question as the holder gets it.
fn told(name: &str, question: &Question, expect: &str) -> Value {
    json!({
        "name": name, "count": question.count, "commitment": hex::encode(question.commitment),
        "elements": list(&question.elements), "expect": expect,
    })
}

fn list(elements: &[[u8; ELEMENT_BYTES]]) -> Value {
    elements.iter().map(hex::encode).collect()
}

/// Questions that a holder refuses: changes of a sound one.
fn bad_questions(sound: &Question) -> Vec<Value> {
    let bad = |name: &str, expect: &str, change: &dyn Fn(&mut Question)| {
        let mut changed = sound.clone();
        change(&mut changed);
        assert_eq!(changed.check().expect_err(name).reason(), expect, "{name}");
        told(name, &changed, expect)
    };
    // RFC 9496, appendix A.2: what no encoder writes, though it is below the prime or the same number modulo the prime.
    let negative = std::array::from_fn(|n| u8::from(n == 0));
    let not_reduced = std::array::from_fn(|n| [0xed, 0xff, 0x7f][usize::from(n > 0) + usize::from(n == 31)]);
    vec![
        bad("about nothing", "wrong-count", &|q| q.count = 0),
        bad("about more than there can be", "wrong-count", &|q| q.count = 1025),
        bad("padded too little", "wrong-padding", &|q| q.count = 17),
        bad("an element too few", "wrong-padding", &|q| q.elements.truncate(15)),
        bad("an element twice", "repeated", &|q| q.elements[15] = q.elements[0]),
        bad("an element that is negative", "not-canonical", &|q| q.elements[3] = negative),
        bad("an element that is the prime", "not-canonical", &|q| q.elements[3] = not_reduced),
        bad("an element that is no point", "not-canonical", &|q| {
            q.elements[3] = seed("no point").map(|byte| byte & 0x7e)
        }),
        bad("an element that is the identity", "identity", &|q| q.elements[3] = [0; ELEMENT_BYTES]),
    ]
}

/// An answer as the asker gets it.
fn came(name: &str, key: &Key, asked: &Asked, answer: &Answer, expect: &str) -> Value {
    json!({
        "name": name, "key": key.label, "question": asked.label, "evaluated": list(&answer.evaluated),
        "proof": hex::encode(answer.proof), "expect": expect,
    })
}

fn answer(key: &Key, asked: &Asked, random: &[u8; 64]) -> Answer {
    question::answer(&key.secret(), &asked.question, random).expect("an answer")
}

fn take(key: &Key, asked: &Asked, answer: &Answer) -> Result<Vec<Tag>, question::Fault> {
    let key = key.secret();
    question::take(&asked.secret, &asked.inputs, &asked.question, key.public(), &answer.evaluated, &answer.proof)
}

fn random(label: &str) -> [u8; 64] {
    let halves = [seed(label), seed(&format!("{label}, second half"))].concat();
    halves.try_into().expect("64 bytes")
}

fn good_answer(name: &str, key: &Key, asked: &Asked) -> Value {
    let random = random(name);
    let answer = answer(key, asked, &random);
    let tags = take(key, asked, &answer).expect("a sound answer");
    let mut vector = came(name, key, asked, &answer, "ok");
    vector["random"] = json!(hex::encode(random));
    vector["tags"] = tags.iter().map(|tag| hex::encode(tag.to_bytes())).collect();
    vector
}

/// Answers that an asker refuses: changes of a sound one.
fn bad_answers(key: &Key, asked: &Asked) -> Vec<Value> {
    let sound = answer(key, asked, &random("a sound answer"));
    let bad = |name: &str, key: &Key, expect: &str, change: &dyn Fn(&mut Answer)| {
        let mut changed = sound.clone();
        change(&mut changed);
        let reason = take(key, asked, &changed).map(drop).expect_err(name).reason();
        assert_eq!(reason, expect, "{name}");
        came(name, key, asked, &changed, expect)
    };
    let proof =
        |at: usize| move |a: &mut Answer| a.proof = flipped(&a.proof, at).try_into().expect("as long as before");
    // A scalar beyond the order of the group.
    let not_reduced = |a: &mut Answer| a.proof[63] |= 0x10;
    vec![
        bad("under another key", &KEYS[1], "wrong-proof", &|_| ()),
        bad("first half of the proof changed", key, "wrong-proof", &proof(7)),
        bad("second half of the proof changed", key, "wrong-proof", &proof(40)),
        bad("a scalar of the proof that is not reduced", key, "wrong-proof", &not_reduced),
        bad("two answers exchanged", key, "wrong-proof", &|a| a.evaluated.swap(4, 5)),
        bad("one answer given twice", key, "wrong-proof", &|a| a.evaluated[5] = a.evaluated[4]),
        bad("an element not evaluated", key, "wrong-proof", &|a| a.evaluated[5] = asked.question.elements[5]),
        bad("a part answered", key, "not-all-answered", &|a| a.evaluated.truncate(15)),
        bad("more answered than asked", key, "not-all-answered", &|a| a.evaluated.push(a.evaluated[0])),
        bad("an answer that is the identity", key, "identity", &|a| a.evaluated[5] = [0; ELEMENT_BYTES]),
        bad("an answer that is not canonical", key, "not-canonical", &|a| a.evaluated[5] = [0xff; ELEMENT_BYTES]),
    ]
}

/// A filter that lists some of the passports, and what looking all of them up gives.
fn filters(key: &Key) -> Vec<Value> {
    let outputs = voprf::outputs(&key.secret(), &passports(17)).expect("inputs");
    let tags: Vec<Tag> = outputs.iter().map(Tag::of).collect();
    let listed = |category, tlp, handle| Label::Listed { category, tlp, handle }.to_bits();
    let labels = [
        (0, listed(Category::Wanted, Tlp::Clear, 0)),
        (2, listed(Category::Stolen, Tlp::Amber, 77)),
        (3, Label::Removed.to_bits()),
        (16, listed(Category::Other, Tlp::Red, 0x00ff_ffff)),
    ];
    let entries: Vec<_> = labels.iter().map(|(at, label)| (tags[*at].clone(), *label)).collect();
    let mut drawn = 0_u32;
    let mut random = |bytes: &mut [u8]| {
        for piece in bytes.chunks_mut(32) {
            piece.copy_from_slice(&seed(&format!("filter {drawn}"))[..piece.len()]);
            drawn += 1;
        }
    };
    let class = Class::holding(entries.len()).expect("a class");
    let filter = Filter::build(class, &entries, &mut random).expect("a filter");
    let found = |tag: &Tag| json!({"tag": hex::encode(tag.to_bytes()), "label": filter.look_up(tag)});
    let bytes = filter.as_bytes();
    let bad = |name: &str, expect: &str, at: usize, byte: u8| {
        // The head and one slot: what is wrong with the head is found first.
        let mut head = bytes[..32].to_vec();
        head[at] = byte;
        assert_eq!(Filter::from_bytes(head.clone()).expect_err(name).reason(), expect, "{name}");
        json!({"name": name, "bytes": hex::encode(head), "expect": expect})
    };
    vec![
        json!({
            "name": "four of seventeen are listed", "bytes": hex::encode(bytes), "expect": "ok",
            "sha256": hex::encode(sha256(bytes)), "class": class.capacity(), "key": key.label,
            "look_ups": tags.iter().map(found).collect::<Vec<_>>(),
        }),
        bad("something else than a filter", "wrong-magic", 0, b'm'),
        bad("a later version", "unknown-version", 8, 2),
        bad("a class that there is not", "unknown-class", 12, 0xe9),
        bad("slots missing", "wrong-size", 16, 0),
    ]
}

pub(crate) fn matching() -> Value {
    let three = passports(3);
    let turned = three.iter().rev().cloned().collect();
    let asked = [
        Asked::new("one identifier", "question 1", passports(1)),
        Asked::new("three identifiers", "question 2", three.clone()),
        Asked::new("the same three in another order", "question 2", turned),
        Asked::new("the same three with another secret", "question 3", three),
        Asked::new("seventeen identifiers", "question 4", passports(17)),
    ];
    let questions = asked.iter().map(Asked::json).chain(bad_questions(&asked[1].question));
    let [key, next, ..] = &KEYS;
    let good = [
        good_answer("one answered", key, &asked[0]),
        good_answer("three answered", key, &asked[1]),
        good_answer("three answered in the next epoch", next, &asked[1]),
        good_answer("the same three in another order answered", key, &asked[2]),
        good_answer("seventeen answered", key, &asked[4]),
    ];
    json!({
        "about": "Private matching: what follows from secrets and inputs. In use the secrets are random bytes.",
        "keys": KEYS.iter().map(Key::json).collect::<Vec<_>>(),
        "questions": questions.collect::<Vec<_>>(),
        "answers": good.into_iter().chain(bad_answers(key, &asked[1])).collect::<Vec<_>>(),
        "filters": filters(key),
    })
}
