//! Vectors for what stands by itself: strict CBOR, keys, attachments.

use mufakat_record::attachment::ChunkKey;
use mufakat_record::{Fingerprint, KeyId, SealingKey, SigningKey};
use serde_json::{Value, json};

use super::community::seed;

pub(crate) fn cbor() -> Value {
    let deep = |n: usize| format!("{}00", "81".repeat(n));
    let cases = [
        ("smallest", "00", "ok"),
        ("one byte follows", "1818", "ok"),
        ("largest unsigned", "1bffffffffffffffff", "ok"),
        ("smallest negative", "3bffffffffffffffff", "ok"),
        ("false, true, null", "83f4f5f6", "ok"),
        ("map with ascending integer keys", "a301020304200a", "ok"),
        ("negative keys come after positive ones", "a218200020f5", "ok"),
        ("text keys, the shorter first", "a2617a0062616100", "ok"),
        ("text keys, the longer first", "a262616100617a00", "non-canonical"),
        ("integer key, then text key", "a2010261610a", "ok"),
        ("tagged", "d28440a04040", "ok"),
        ("big number", "c24101", "non-canonical"),
        ("negative big number", "c349010000000000000000", "non-canonical"),
        ("big number in a key", "a1c2410100", "malformed"),
        ("twelve levels", &deep(12), "ok"),
        ("thirteen levels", &deep(13), "too-deep"),
        ("a tag is a level", &format!("d2{}", deep(12)), "too-deep"),
        ("too deep comes before truncated", &"81".repeat(13), "too-deep"),
        ("nothing", "", "truncated"),
        ("short byte string", "4261", "truncated"),
        ("byte string longer than memory", "5b7fffffffffffffff", "truncated"),
        ("array without its items", "82", "truncated"),
        ("argument missing", "19ff", "truncated"),
        ("two items", "0000", "trailing-bytes"),
        ("23 in two bytes", "1817", "non-canonical"),
        ("255 in three bytes", "1900ff", "non-canonical"),
        ("65535 in five bytes", "1a0000ffff", "non-canonical"),
        ("2^32-1 in nine bytes", "1b00000000ffffffff", "non-canonical"),
        ("length in two bytes", "580161", "non-canonical"),
        ("count in two bytes", "980100", "non-canonical"),
        ("keys out of order", "a203040102", "non-canonical"),
        ("negative key before positive one", "a220000100", "non-canonical"),
        ("key twice", "a201020103", "duplicate-key"),
        ("text key twice", "a2616100616101", "duplicate-key"),
        ("indefinite bytes", "5f4161ff", "indefinite-length"),
        ("indefinite text", "7f6161ff", "indefinite-length"),
        ("indefinite array", "9f00ff", "indefinite-length"),
        ("indefinite map", "bf0000ff", "indefinite-length"),
        ("integer with information 31", "1f", "indefinite-length"),
        ("reserved information 28", "1c", "malformed"),
        ("half float", "f93c00", "malformed"),
        ("double", "fb3ff0000000000000", "malformed"),
        ("undefined", "f7", "malformed"),
        ("simple value in two bytes", "f8ff", "malformed"),
        ("break", "ff", "malformed"),
        ("text that is not UTF-8", "61ff", "malformed"),
        ("text with a surrogate", "63eda080", "malformed"),
        ("byte string as key", "a14000", "malformed"),
        ("array as key", "a18000", "malformed"),
        ("null as key", "a1f600", "malformed"),
        ("4,097 entries", "991001", "list-too-long"),
        ("4,097 entries of a map", "b91001", "list-too-long"),
        ("4,096 entries that are not there", "991000", "truncated"),
        ("far too many entries", "9b7fffffffffffffff", "list-too-long"),
    ];
    let vectors: Vec<_> =
        cases.iter().map(|(name, bytes, expect)| json!({"name": name, "bytes": bytes, "expect": expect})).collect();
    json!({"about": "Strict form (section 2): one item each, with the reason for which it is refused.", "vectors": vectors})
}

pub(crate) fn keys() -> Value {
    let signing: Vec<_> = ["one", "two"]
        .map(|label| {
            let seed = seed(label);
            let key = SigningKey::from_seed(&seed);
            let public = key.public();
            json!({
                "seed": hex::encode(seed),
                "public": hex::encode(public.as_bytes()),
                "id": key.id().to_string(),
                "fingerprint": Fingerprint::of(public.as_bytes()).to_string(),
            })
        })
        .into();
    let sealing: Vec<_> = ["three", "four"]
        .map(|label| {
            let seed = seed(label);
            let public = SealingKey::from_seed(&seed).public().to_bytes();
            json!({"seed": hex::encode(seed), "public": hex::encode(&public), "id": KeyId::of(&public).to_string()})
        })
        .into();
    let refused = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];
    json!({
        "about": "Keys, their ids and fingerprints (sections 3 and 4). `refused`: public Ed25519 keys of small order.",
        "signing": signing,
        "sealing": sealing,
        "refused": refused,
    })
}

pub(crate) fn attachments() -> Value {
    let key = seed("chunks");
    let sealer = ChunkKey::new(&key);
    let seal = |number, last, content: &[u8]| {
        let mut chunk = content.to_vec();
        let name = sealer.seal(number, last, &mut chunk);
        (chunk, name)
    };
    let (sealed, name) = seal(3, true, b"EXERCISE: the end of a file");
    let case = |title: &str, number: u32, last: bool, bytes: &[u8], expect: Result<&[u8], &str>| {
        json!({
            "name": title,
            "number": number,
            "last": last,
            "bytes": hex::encode(bytes),
            "chunk": mufakat_record::Digest::of(bytes).to_string(),
            "expect": if expect.is_ok() { "ok" } else { expect.expect_err("a reason") },
            "content": expect.ok().map(hex::encode),
        })
    };
    let (middle, _) = seal(0, false, b"EXERCISE: not the end");
    let (empty, _) = seal(0, true, b"");
    assert_eq!(name, mufakat_record::Digest::of(&sealed));
    json!({
        "about": "Chunks of attachments (section 8) under one key. `chunk` is the chunk's name.",
        "key": hex::encode(key),
        "vectors": [
            case("last chunk", 3, true, &sealed, Ok(b"EXERCISE: the end of a file")),
            case("a chunk that is not the last", 0, false, &middle, Ok(b"EXERCISE: not the end")),
            case("the one chunk of an empty file", 0, true, &empty, Ok(b"")),
            case("at another place", 2, true, &sealed, Err("cannot-open")),
            case("said not to be the last", 3, false, &sealed, Err("cannot-open")),
            case("changed", 3, true, &super::flipped(&sealed, 4), Err("cannot-open")),
            case("cut short", 3, true, &sealed[..sealed.len() - 1], Err("cannot-open")),
            case("shorter than a tag", 3, true, &sealed[..15], Err("cannot-open")),
        ],
    })
}
