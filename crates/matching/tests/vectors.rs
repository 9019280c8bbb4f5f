//! `docs/vectors/matching.json`: the code makes exactly these keys, questions, answers and tags, reads the filters, and refuses the
//! broken ones by the names that stand there.

use std::path::Path;

use mufakat_matching::filter::Filter;
use mufakat_matching::key::EpochSecret;
use mufakat_matching::question::{self, Question, Secret};
use mufakat_matching::tag::Tag;
use mufakat_matching::voprf::{self, PublicKey, SecretKey};
use serde_json::Value;

fn load() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/matching.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member].as_str().unwrap_or_else(|| panic!("no text {member} in {object}"))
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(object: &Value, member: &str) -> [u8; N] {
    bytes(&object[member]).try_into().unwrap()
}

fn list<'a>(object: &'a Value, member: &str) -> &'a [Value] {
    object[member].as_array().unwrap_or_else(|| panic!("no list {member} in {object}"))
}

fn elements(object: &Value, member: &str) -> Vec<[u8; 32]> {
    list(object, member).iter().map(|one| bytes(one).try_into().unwrap()).collect()
}

fn named<'a>(file: &'a Value, member: &str, name: &str) -> &'a Value {
    list(file, member).iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {member}"))
}

fn key(vector: &Value) -> SecretKey {
    let (asker, epoch) = (text(vector, "asker").parse().unwrap(), vector["epoch"].as_u64().unwrap() as u32);
    EpochSecret::from_bytes(array(vector, "epoch_secret")).key(&asker, text(vector, "subject"), epoch).unwrap()
}

fn question(vector: &Value) -> Question {
    let count = vector["count"].as_u64().unwrap() as u32;
    Question { elements: elements(vector, "elements"), count, commitment: array(vector, "commitment") }
}

/// The secret and the inputs of a question that is good.
fn asked(vector: &Value) -> (Secret, Vec<Vec<u8>>) {
    (Secret::from_bytes(array(vector, "secret")), list(vector, "inputs").iter().map(bytes).collect())
}

/// Runs a check on the vectors with this outcome, of which there are so many; gives what it found wrong with each.
fn each(member: &str, at_least: usize, check: impl Fn(&Value, &Value) -> Result<(), &'static str>) {
    let file = load();
    let vectors = list(&file, member);
    assert!(vectors.len() >= at_least, "only {} {member}", vectors.len());
    for vector in vectors {
        let found = check(&file, vector).map_or_else(|reason| reason, |()| "ok");
        assert_eq!(found, vector["expect"].as_str().unwrap_or("ok"), "{}", vector["name"]);
    }
}

#[test]
fn keys() {
    each("keys", 4, |_, vector| {
        assert_eq!(*key(vector).public().as_bytes(), array(vector, "public"), "{}", vector["name"]);
        Ok(())
    });
}

#[test]
fn questions() {
    each("questions", 14, |_, vector| {
        let question = question(vector);
        question.check().map_err(|fault| fault.reason())?;
        let (secret, inputs) = asked(vector);
        assert!(question::ask(&secret, &inputs).unwrap() == question, "{}", vector["name"]);
        question::audit(&secret, &inputs, &question).map_err(|fault| fault.reason())
    });
}

#[test]
fn answers() {
    each("answers", 16, |file, vector| {
        let of = named(file, "questions", text(vector, "question"));
        let key = key(named(file, "keys", text(vector, "key")));
        let public = PublicKey::from_bytes(key.public().as_bytes()).unwrap();
        let ((secret, inputs), question) = (asked(of), question(of));
        let (evaluated, proof) = (elements(vector, "evaluated"), array(vector, "proof"));
        let tags = question::take(&secret, &inputs, &question, &public, &evaluated, &proof);
        let tags = tags.map_err(|fault| fault.reason())?;
        let answer = question::answer(&key, &question, &array(vector, "random")).unwrap();
        assert_eq!((answer.evaluated, answer.proof), (evaluated, proof), "{}", vector["name"]);
        let expected: Vec<Vec<u8>> = list(vector, "tags").iter().map(bytes).collect();
        assert_eq!(tags.iter().map(|tag| tag.to_bytes().to_vec()).collect::<Vec<_>>(), expected, "{}", vector["name"]);
        // The holder comes to the same ones for its own list.
        let listed = voprf::outputs(&key, &inputs).unwrap();
        assert!(listed.iter().map(Tag::of).eq(tags), "{}", vector["name"]);
        Ok(())
    });
}

#[test]
fn filters() {
    each("filters", 5, |_, vector| {
        let filter = Filter::from_bytes(bytes(&vector["bytes"])).map_err(|fault| fault.reason())?;
        assert_eq!(filter.class().capacity() as u64, vector["class"].as_u64().unwrap());
        let look_ups = list(vector, "look_ups");
        let found = |one: &&Value| filter.look_up(&Tag::from_bytes(&array(one, "tag"))).map(u64::from);
        assert!(look_ups.iter().all(|one| found(&one) == one["label"].as_u64()), "{}", vector["name"]);
        // Some are listed, and most are not.
        let hits = look_ups.iter().filter_map(|one| found(&one)).count();
        assert!(hits > 3 && look_ups.len() > 2 * hits, "{hits} of {}", look_ups.len());
        Ok(())
    });
}
