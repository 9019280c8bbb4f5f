//! The committed vectors are those that the generator makes, and our own code agrees with every one of them.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use mufakat_exchange::{Chain, Directory, Leaf, What};
use mufakat_formats::{Bundle, verify};
use mufakat_ledger::{Algorithm, Hash, SignedCheckpoint, VerifierKey, verify_consistency, verify_inclusion};
use mufakat_record::attachment::ChunkKey;
use mufakat_record::kinds::{self, Understanding};
use mufakat_record::parcel::Parcel;
use mufakat_record::{
    AgencyId, Digest, Fingerprint, KeyBook, KeyId, KeyState, Reason, RecordId, SealingKey, SigningKey, Unverified,
    VerifyingKey, cbor,
};
use serde_json::Value;

fn load(name: &str) -> Value {
    let path = support::folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("{member} is text in {value}"))
}

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_else(|| panic!("{member} is a number in {value}"))
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().unwrap_or_else(|| panic!("{member} is a list in {value}"))
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hexadecimal")
}

/// The bytes of a vector, with the zeros that may follow.
fn bytes(vector: &Value) -> Vec<u8> {
    let mut bytes = unhex(text(vector, "bytes"));
    bytes.resize(bytes.len() + vector["zeros"].as_u64().unwrap_or(0) as usize, 0);
    bytes
}

fn array<const N: usize>(value: &Value, member: &str) -> [u8; N] {
    unhex(text(value, member)).try_into().expect("a fixed length")
}

fn hash(value: &Value, member: &str) -> Hash {
    Hash::from(array::<32>(value, member))
}

fn outcome<T>(result: &Result<T, Reason>) -> &str {
    result.as_ref().map_or_else(|reason| reason.name(), |_| "ok")
}

/// Runs a check on each vector and counts them, so that an empty file is noticed.
fn each(file: &Value, member: &str, at_least: usize, check: impl Fn(&str, &Value)) {
    let vectors = list(file, member);
    assert!(vectors.len() >= at_least, "only {} vectors", vectors.len());
    for vector in vectors {
        check(vector["name"].as_str().unwrap_or_default(), vector);
    }
}

#[test]
fn the_committed_files_are_what_the_generator_makes() {
    let mut size = 0;
    for (name, content) in support::files() {
        let path = support::folder().join(name);
        let committed = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let same = committed == content;
        assert!(same, "{name} differs: run `cargo run -p mufakat-formats --example vectors` and look at the changes");
        size += content.len();
        let file: Value = serde_json::from_str(&content).expect("JSON");
        let mut names = BTreeSet::new();
        for vector in file["vectors"].as_array().into_iter().flatten() {
            assert!(names.insert(vector["name"].to_string()), "{name} has two vectors called {}", vector["name"]);
        }
    }
    assert!(size < 1280 * 1024, "the vectors have {size} bytes, which is too much");
    let files = std::fs::read_dir(support::folder()).expect("the folder").filter_map(Result::ok);
    let json = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "json")).count();
    assert_eq!(json, support::files().len(), "a file that the generator does not know");
}

#[test]
fn strict_cbor() {
    each(&load("cbor.json"), "vectors", 40, |name, vector| {
        assert_eq!(outcome(&cbor::check(&bytes(vector))), text(vector, "expect"), "{name}");
    });
}

#[test]
fn keys() {
    let file = load("keys.json");
    each(&file, "signing", 2, |_, vector| {
        let key = SigningKey::from_seed(&array(vector, "seed")).public();
        assert_eq!(hex::encode(key.as_bytes()), text(vector, "public"));
        assert_eq!(key.id().to_string(), text(vector, "id"));
        assert_eq!(Fingerprint::of(key.as_bytes()).to_string(), text(vector, "fingerprint"));
    });
    each(&file, "sealing", 2, |_, vector| {
        let key = SealingKey::from_seed(&array(vector, "seed"));
        assert_eq!(hex::encode(key.public().to_bytes()), text(vector, "public"));
        assert_eq!(key.public().id().to_string(), text(vector, "id"));
    });
    for refused in list(&file, "refused") {
        assert!(VerifyingKey::from_bytes(&unhex(refused.as_str().unwrap())).is_err());
    }
}

#[test]
fn attachments() {
    let file = load("attachments.json");
    let key = ChunkKey::new(&array(&file, "key"));
    each(&file, "vectors", 8, |name, vector| {
        let mut sealed = bytes(vector);
        assert_eq!(Digest::of(&sealed).to_string(), text(vector, "chunk"), "{name}");
        let last = vector["last"].as_bool().unwrap();
        let opened = key.open(number(vector, "number") as u32, last, &mut sealed);
        assert_eq!(outcome(&opened), text(vector, "expect"), "{name}");
        if let Ok(content) = opened {
            assert_eq!(hex::encode(content), text(vector, "content"), "{name}");
        }
    });
}

/// The keys that a file of vectors gives.
struct Book(BTreeMap<(AgencyId, KeyId), KeyState>);

impl Book {
    fn of(file: &Value) -> Self {
        let grace_s = file["relay_max_s"].as_u64().unwrap_or(0);
        let read = |entry: &Value| {
            let key = VerifyingKey::from_bytes(&unhex(text(entry, "key"))).expect("a key");
            let (from, until) = (entry["from"].as_u64().unwrap_or(0), entry["until"].as_u64().unwrap_or(u64::MAX));
            let state = KeyState { key, from, until, revoked: entry["revoked"].as_u64(), grace_s };
            ((text(entry, "agency").parse().expect("a name"), key.id()), state)
        };
        Self(list(file, "keys").iter().map(read).collect())
    }
}

impl KeyBook for Book {
    fn key(&self, agency: &AgencyId, id: &KeyId) -> Option<KeyState> {
        self.0.get(&(agency.clone(), *id)).copied()
    }
}

fn check_records(name: &str, at_least: usize) -> BTreeMap<String, usize> {
    let file = load(name);
    let book = Book::of(&file);
    let mut seen = BTreeMap::new();
    for vector in list(&file, "vectors") {
        *seen.entry(text(vector, "expect").to_owned()).or_insert(0) += 1;
    }
    each(&file, "vectors", at_least, |name, vector| {
        let result = Unverified::parse(bytes(vector))
            .and_then(|record| record.verify(&book, number(vector, "now")))
            .and_then(|record| kinds::check(record.header(), record.body()).map(|understood| (record, understood)));
        assert_eq!(outcome(&result), text(vector, "expect"), "{name}");
        let (Ok((record, understood)), Some(header)) = (result, vector.get("header")) else { return };
        assert_eq!(record.id().to_string(), text(vector, "id"), "{name}");
        assert_eq!(hex::encode(record.body()), text(vector, "body"), "{name}");
        assert_eq!(understood == Understanding::Understood, vector["understood"], "{name}");
        let found = record.header();
        assert_eq!(found.author.as_str(), text(header, "author"), "{name}");
        assert_eq!(found.issued_at, number(header, "signed_at"), "{name}");
        assert_eq!(serde_json::to_value(&found.handling).unwrap(), header["handling"], "{name}");
        assert_eq!(serde_json::to_value(&found.audience).unwrap(), header["audience"], "{name}");
    });
    seen
}

#[test]
fn records() {
    let seen = check_records("records.json", 100);
    use Reason::*;
    let of_records = [
        Truncated,
        TrailingBytes,
        IndefiniteLength,
        NonCanonical,
        DuplicateKey,
        TooDeep,
        ListTooLong,
        Oversize,
        Malformed,
        UnknownAlgorithm,
        WrongSignature,
        UnknownKey,
        KeyNotYetValid,
        KeyExpired,
        KeyRevoked,
        EmptyAudience,
        BodyNotOfKind,
    ];
    for reason in of_records {
        assert!(seen.contains_key(reason.name()), "no vector for {reason}");
    }
    for (kind, _) in kinds::KINDS {
        let file = if *kind == "receipt" { "receipts.json" } else { "records.json" };
        let is_good = |v: &Value| v["expect"] == "ok" && v["header"]["kind"] == *kind;
        assert!(list(&load(file), "vectors").iter().any(is_good), "no good {kind}");
    }
}

#[test]
fn receipts() {
    check_records("receipts.json", 10);
}

#[test]
fn parcels() {
    let file = load("parcels.json");
    let book = Book::of(&file);
    let recipient = &file["recipient"];
    let key = SealingKey::from_seed(&array(recipient, "sealing_seed"));
    each(&file, "vectors", 40, |name, vector| {
        let result = Parcel::parse(&bytes(vector)).and_then(|parcel| {
            // Whose parcel it is the node compares, and not the parcel itself.
            if parcel.outer.recipient.as_str() != text(recipient, "agency") {
                return Err(Reason::WrongRecipient);
            }
            parcel.open(&key, &book, 0).map(|records| (parcel, records))
        });
        assert_eq!(outcome(&result), text(vector, "expect"), "{name}");
        if let Ok((parcel, records)) = result {
            let records: Vec<_> = records.iter().map(hex::encode).collect();
            assert_eq!(serde_json::to_value(records).unwrap(), vector["records"], "{name}");
            assert_eq!(parcel.outer.first, number(&vector["outer"], "first"), "{name}");
            assert_eq!(parcel.to_bytes(), bytes(vector), "{name}");
        }
    });
}

#[test]
fn leaves() {
    each(&load("leaves.json"), "vectors", 7, |name, vector| {
        let leaf = Leaf {
            what: What::from_number(number(vector, "type") as u8).expect("a type"),
            at_ms: number(vector, "at_ms"),
            subject: Digest(array(vector, "subject")),
            detail: unhex(text(vector, "detail")),
            salt: array(vector, "salt"),
        };
        assert_eq!(hex::encode(leaf.commitment()), text(vector, "entry"), "{name}");
        assert_eq!(leaf.hash(), hash(vector, "leaf_hash"), "{name}");
    });
}

#[test]
fn proofs() {
    let file = load("proofs.json");
    let hashes = |vector: &Value| -> Vec<Hash> {
        list(vector, "proof")
            .iter()
            .map(|h| Hash::from(<[u8; 32]>::try_from(unhex(h.as_str().unwrap())).unwrap()))
            .collect()
    };
    each(&file, "inclusion", 15, |name, vector| {
        let (index, size) = (number(vector, "index"), number(vector, "size"));
        let result = verify_inclusion(&hash(vector, "leaf"), index, size, &hashes(vector), &hash(vector, "root"));
        assert_eq!(result.is_ok(), vector["holds"], "{name}");
    });
    each(&file, "consistency", 15, |name, vector| {
        let (old, new) = (number(vector, "old_size"), number(vector, "new_size"));
        let (old_root, new_root) = (hash(vector, "old_root"), hash(vector, "new_root"));
        let result = verify_consistency(old, &old_root, new, &new_root, &hashes(vector));
        assert_eq!(result.is_ok(), vector["holds"], "{name}");
    });
}

#[test]
fn checkpoints() {
    let file = load("checkpoints.json");
    let key = |value: &Value, algorithm| {
        let key = VerifierKey::new(text(value, "name"), algorithm, array(value, "public")).expect("a key");
        assert_eq!(format!("{:08x}", key.key_id()), text(value, "key_id"));
        key
    };
    let log = key(&file["ledger"], Algorithm::Ed25519);
    let witnesses: Vec<_> = list(&file, "witnesses").iter().map(|w| key(w, Algorithm::Cosignature)).collect();
    each(&file, "vectors", 15, |name, vector| {
        let opened = SignedCheckpoint::open(text(vector, "note"), &log);
        let result = opened.and_then(|signed| signed.cosigners(&witnesses).map(|cosigners| (signed, cosigners)));
        assert_eq!(if result.is_ok() { "ok" } else { "refused" }, text(vector, "expect"), "{name}");
        let Ok((signed, cosigners)) = result else { return };
        assert_eq!(signed.checkpoint().size, number(vector, "size"), "{name}");
        assert_eq!(signed.checkpoint().root, hash(vector, "root"), "{name}");
        let found: Vec<_> =
            cosigners.iter().map(|(i, time)| serde_json::json!({"name": witnesses[*i].name(), "time": time})).collect();
        assert_eq!(Value::from(found), vector["cosigned"], "{name}");
    });
}

fn parts(value: &Value) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    let part = |part: &Value| {
        let approvals = list(part, "approvals").iter().map(|a| unhex(a.as_str().unwrap())).collect();
        (unhex(text(part, "version")), approvals)
    };
    value.as_array().expect("a chain").iter().map(part).collect()
}

#[test]
fn register() {
    each(&load("register.json"), "vectors", 30, |name, vector| {
        let parts = parts(&vector["chain"]);
        let result = Chain::verify(&parts);
        assert_eq!(outcome(&result), text(vector, "expect"), "{name}");
        match result {
            Ok(chain) => {
                let hashes: Vec<_> = chain.versions().iter().map(|v| v.hash.to_string()).collect();
                assert_eq!(serde_json::to_value(hashes).unwrap(), vector["hashes"], "{name}");
                assert_eq!(chain.fingerprint().to_string(), text(vector, "fingerprint"), "{name}");
            }
            // All before the refused version is good, so it is that one that is refused.
            Err(_) => {
                assert_eq!(parts.len() as u64, number(vector, "at"), "{name}");
                assert!(parts.len() == 1 || Chain::verify(&parts[..parts.len() - 1]).is_ok(), "{name}");
            }
        }
    });
}

#[test]
fn key_sets() {
    let file = load("key-sets.json");
    let chain = Chain::verify(&parts(&file["register"])).expect("a good chain");
    each(&file, "vectors", 20, |name, vector| {
        let mut directory = Directory::new(chain.clone());
        if let Some(known) = vector["known"].as_str() {
            assert_eq!(directory.take_key_set(&unhex(known)), Ok(true), "{name}");
        }
        assert_eq!(outcome(&directory.take_key_set(&bytes(vector))), text(vector, "expect"), "{name}");
    });
}

/// The bytes of a bundle, which may be told as a change of another one.
fn bundle(file: &Value, vector: &Value) -> Vec<u8> {
    let Some(change) = vector.get("change") else { return bytes(vector) };
    let base = list(file, "vectors").iter().find(|v| v["name"] == change["of"]).expect("the vector that it is of");
    let base = bytes(base);
    let piece = |piece: &Value| match piece.as_str() {
        Some(new) => unhex(new),
        None => base[piece[0].as_u64().unwrap() as usize..piece[1].as_u64().unwrap() as usize].to_vec(),
    };
    list(change, "pieces").iter().flat_map(piece).collect()
}

#[test]
fn evidence() {
    let file = load("evidence.json");
    each(&file, "vectors", 100, |name, vector| {
        let root = vector["expected_root"].as_str().map(|root| root.parse().expect("a hash"));
        match verify(&bundle(&file, vector), root) {
            Ok(statement) => {
                assert_eq!("ok", text(vector, "expect"), "{name}");
                assert_eq!(serde_json::to_value(statement).unwrap(), vector["statement"], "{name}");
            }
            Err(fault) => assert_eq!(fault.part, text(vector, "expect"), "{name}: {fault}"),
        }
    });
}

#[test]
fn no_bit_of_a_bundle_can_be_changed() {
    let file = load("evidence.json");
    let told = bytes(&list(&file, "vectors")[0]);
    assert!(verify(&told, None).is_ok());
    assert_eq!(Bundle::decode(&told).expect("a bundle").encode(), told);
    for at in 0..told.len() {
        // One bit in each byte, a different one from byte to byte.
        let mut changed = told.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(verify(&changed, None).is_err(), "byte {at} can be changed");
    }
}

#[test]
fn the_document_gives_every_reason_in_order() {
    let document = std::fs::read_to_string(support::folder().join("../protocol.md")).expect("the document");
    let (_, section) = document.split_once("\n## 15 Reasons\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("the next section");
    let named: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)).collect();
    let all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(named, all);
}

#[test]
fn ids_are_those_of_the_bytes() {
    let file = load("records.json");
    for vector in list(&file, "vectors").iter().filter(|v| v.get("id").is_some()) {
        assert_eq!(RecordId::of(&bytes(vector)).to_string(), text(vector, "id"));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// A stretch of the good bundle exchanged for anything is refused with a part, and never a panic.
    #[test]
    fn strange_bundles_are_refused(
        from in 0usize..10_000,
        length in 0usize..300,
        new in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
    ) {
        let told = bytes(&list(&load("evidence.json"), "vectors")[0]);
        let to = (from + length).min(told.len());
        let changed = [&told[..from], &new, &told[to..]].concat();
        if changed != told {
            let fault = verify(&changed, None).expect_err("a changed bundle");
            proptest::prop_assert!(!fault.part.is_empty() && !fault.why.is_empty());
        }
    }
}
