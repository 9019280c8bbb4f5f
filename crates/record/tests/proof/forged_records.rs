//! Every bad record that this crate can see, each with the reason that its sender is told.

use ciborium::Value;
use mufakat_record::kinds::{self, Body, Understanding, report::Report};
use mufakat_record::{
    AUDIENCE_MAX, Draft, HEADER_BYTES_MAX, Header, KeyState, RECORD_BYTES_MAX, REFERENCES_MAX, Reason, RecordId,
    Reference, Relation, Unverified, cbor,
};

use crate::samples::*;

type Entries = Vec<(Value, Value)>;

/// The sample header as CBOR, changed, and signed by its author, who may well be the one who misbehaves.
fn with_header(change: impl FnOnce(&mut Entries)) -> Vec<u8> {
    let mut entries = decoded(&header(Report::KIND).encode()).into_map().unwrap();
    change(&mut entries);
    signed(&encoded(&Value::Map(entries)), &report().to_body())
}

/// The same for the private map, which stands last.
fn with_private(change: impl FnOnce(&mut Entries)) -> Vec<u8> {
    with_header(|entries| change(entries[4].1.as_map_mut().unwrap()))
}

/// The same for the handling rules within it.
fn with_handling(change: impl FnOnce(&mut Entries)) -> Vec<u8> {
    with_private(|entries| change(entries[3].1.as_map_mut().unwrap()))
}

/// A record of a header that the crate itself encodes without objecting.
fn of(header: Header) -> Vec<u8> {
    signed(&header.encode(), &report().to_body())
}

/// The sample record with bytes of its header replaced, and signed again.
fn with_header_bytes(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    signed(&change(header(Report::KIND).encode()), &report().to_body())
}

fn texts(names: &[&str]) -> Value {
    Value::Array(names.iter().map(|name| Value::from(*name)).collect())
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

#[test]
fn the_sample_is_sound() {
    assert_eq!(with_header(|_| {}), record().into_bytes());
    let verified = judge(record().bytes()).unwrap();
    assert_eq!(verified, record());
    assert_eq!(kinds::check(verified.header(), verified.body()), Ok(Understanding::Understood));
    assert_eq!(verified.id(), RecordId::of(verified.bytes()));
}

#[test]
fn framing_and_limits() {
    let good = record().into_bytes();
    let protected = header(Report::KIND).encode();
    let body = report().to_body();
    let map = || Value::Map(vec![]);
    let sign = signing_key().sign(&sig_structure(&protected, &[], &body));
    let array = |items: Vec<Value>| encoded(&Value::Tag(18, Box::new(Value::Array(items))));
    let items = || decoded(&good[1..]).into_array().unwrap();
    let with = |place: usize, value: Value| {
        let mut items = items();
        items[place] = value;
        array(items)
    };
    // The unprotected header is one byte, an empty map, which follows after the protected one.
    let at = 5 + protected.len();
    assert_eq!((&good[..3], &good[5..at], good[at]), (&b"\xd2\x84\x59"[..], &protected[..], 0xa0));
    let unprotected = |bytes: &[u8]| [&good[..at], bytes, &good[at + 1..]].concat();
    let cases = [
        ("nothing", vec![], Reason::Truncated),
        ("one byte short", good[..good.len() - 1].to_vec(), Reason::Truncated),
        ("a byte too many", [&good[..], b"\0"].concat(), Reason::TrailingBytes),
        ("twice", [&good[..], &good].concat(), Reason::TrailingBytes),
        ("no tag", good[1..].to_vec(), Reason::Malformed),
        ("the tag of COSE_Sign", [b"\xd8\x62", &good[1..]].concat(), Reason::Malformed),
        ("a tag around it", [b"\xd2", &good[..]].concat(), Reason::Malformed),
        ("a long tag", [b"\xd8\x12", &good[1..]].concat(), Reason::NonCanonical),
        ("a long array length", [b"\xd2\x98\x04", &good[2..]].concat(), Reason::NonCanonical),
        ("a long header length", [b"\xd2\x84\x5a\0\0", &good[3..]].concat(), Reason::NonCanonical),
        ("an indefinite array", [b"\xd2\x9f", &good[2..], b"\xff"].concat(), Reason::IndefiniteLength),
        ("an indefinite unprotected header", unprotected(b"\xbf\xff"), Reason::IndefiniteLength),
        ("duplicate keys outside the header", unprotected(b"\xa2\x01\0\x01\0"), Reason::DuplicateKey),
        ("unsorted keys outside the header", unprotected(b"\xa2\x02\0\x01\0"), Reason::NonCanonical),
        ("an unprotected header", with(1, Value::Map(vec![(4.into(), 1.into())])), Reason::Malformed),
        ("an unprotected header that is none", with(1, Value::Array(vec![])), Reason::Malformed),
        ("a detached body", with(2, Value::Null), Reason::Malformed),
        ("a body of text", with(2, Value::from("EXERCISE")), Reason::Malformed),
        ("a body too deep", with(2, nested(cbor::DEPTH_MAX)), Reason::TooDeep),
        ("a body of too many", with(2, Value::Array(vec![Value::Null; 4097])), Reason::ListTooLong),
        ("a body with a float", with(2, Value::Float(1.5)), Reason::Malformed),
        ("a header that is a map", with(0, decoded(&protected)), Reason::Malformed),
        ("no signature", array(items()[..3].to_vec()), Reason::Malformed),
        ("two signatures", array([&items()[..], &items()[3..]].concat()), Reason::Malformed),
        ("a short signature", message(&protected, map(), &body, &sign[..63]), Reason::Malformed),
        ("a long signature", message(&protected, map(), &body, &[&sign[..], b"\0"].concat()), Reason::Malformed),
        ("an empty signature", message(&protected, map(), &body, &[]), Reason::Malformed),
        ("a record too large", signed(&protected, &vec![0; RECORD_BYTES_MAX]), Reason::Oversize),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(judge(&bytes), Err(reason), "{name}");
    }
    // The largest body: its length takes five bytes then, and two in the sample.
    assert!((24..256).contains(&body.len()));
    let room = RECORD_BYTES_MAX - (good.len() - body.len()) - 3;
    assert_eq!(signed(&protected, &vec![0; room]).len(), RECORD_BYTES_MAX);
    assert!(judge(&signed(&protected, &vec![0; room])).is_ok());
    assert_eq!(judge(&signed(&protected, &vec![0; room + 1])), Err(Reason::Oversize));
}

#[test]
fn header_encoding() {
    let cases = [
        ("an empty header", signed(&[], &[]), Reason::Truncated),
        ("an empty map", signed(b"\xa0", &[]), Reason::Malformed),
        ("not a map", signed(b"\x85\x01\x32\x03\x04\x05", &[]), Reason::Malformed),
        ("truncated", with_header_bytes(|h| h[..h.len() - 1].to_vec()), Reason::Truncated),
        ("trailing", with_header_bytes(|h| [&h[..], b"\0"].concat()), Reason::TrailingBytes),
        ("indefinite", with_header_bytes(|h| [b"\xbf", &h[1..], b"\xff"].concat()), Reason::IndefiniteLength),
        ("a long map length", with_header_bytes(|h| [b"\xb8\x05", &h[1..]].concat()), Reason::NonCanonical),
        ("a long algorithm", with_header_bytes(|h| [b"\xa5\x01\x38\x12", &h[3..]].concat()), Reason::NonCanonical),
        ("a longer algorithm", with_header_bytes(|h| [b"\xa5\x01\x39\0\x12", &h[3..]].concat()), Reason::NonCanonical),
        (
            "the algorithm twice",
            with_header_bytes(|h| [b"\xa6\x01\x32\x01\x32", &h[3..]].concat()),
            Reason::DuplicateKey,
        ),
        ("unsorted", with_header(|e| e.swap(1, 2)), Reason::NonCanonical),
        ("the private map first", with_header(|e| e.rotate_right(1)), Reason::NonCanonical),
        ("a claim twice", with_header(|e| e.insert(3, e[3].clone())), Reason::DuplicateKey),
        ("a private entry twice", with_private(|e| e.insert(1, e[1].clone())), Reason::DuplicateKey),
        ("private entries unsorted", with_private(|e| e.swap(0, 1)), Reason::NonCanonical),
        ("too deep", with_private(|e| e.push((7.into(), nested(11)))), Reason::TooDeep),
        ("a list too long", with_private(|e| e[1].1 = texts(&vec!["ab"; 4097])), Reason::ListTooLong),
        ("too large", with_handling(|e| e[4].1 = "x".repeat(HEADER_BYTES_MAX).into()), Reason::Oversize),
        ("a float", with_handling(|e| e[4].1 = Value::Float(0.5)), Reason::Malformed),
        (
            "a big number",
            with_header(|e| e[3].1.as_map_mut().unwrap()[2].1 = Value::Tag(2, Box::new(Value::Bytes(vec![1])))),
            Reason::NonCanonical,
        ),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(judge(&bytes), Err(reason), "{name}");
    }
}

#[test]
fn header_content() {
    let many = |n: usize| (0..n).map(|i| agency(&format!("a{i:03}"))).collect::<Vec<_>>();
    let references = |n: usize| {
        (0..n).map(|i| Reference { relation: Relation::About, record: RecordId([i as u8; 32]) }).collect::<Vec<_>>()
    };
    let base = || header(Report::KIND);
    let swapped = vec![agency("ru-police"), agency("id-coastguard")];
    let doubled = vec![agency("ru-police"), agency("ru-police")];
    let cases = [
        ("nobody", of(Header { audience: vec![], ..base() }), Reason::EmptyAudience),
        ("an unsorted audience", of(Header { audience: swapped, ..base() }), Reason::Malformed),
        ("an agency twice", of(Header { audience: doubled, ..base() }), Reason::Malformed),
        ("too many agencies", of(Header { audience: many(AUDIENCE_MAX + 1), ..base() }), Reason::ListTooLong),
        (
            "too many references",
            of(Header { references: references(REFERENCES_MAX + 1), ..base() }),
            Reason::ListTooLong,
        ),
        (
            "unsorted references",
            of(Header { references: references(2).into_iter().rev().collect(), ..base() }),
            Reason::Malformed,
        ),
        (
            "a reference twice",
            of(Header { references: [references(1), references(1)].concat(), ..base() }),
            Reason::Malformed,
        ),
        ("no references, but said", with_private(|e| e[4].1 = Value::Array(vec![])), Reason::Malformed),
        (
            "an unknown relation",
            with_private(|e| e[4].1.as_array_mut().unwrap()[0].as_array_mut().unwrap()[0] = 5.into()),
            Reason::Malformed,
        ),
        (
            "a longer reference",
            with_private(|e| e[4].1.as_array_mut().unwrap()[0].as_array_mut().unwrap().push(5.into())),
            Reason::Malformed,
        ),
        ("a bad name in the audience", with_private(|e| e[1].1 = texts(&["RU-police"])), Reason::Malformed),
        ("one name for an audience", with_private(|e| e[1].1 = "ru-police".into()), Reason::Malformed),
        ("no audience", with_private(|e| drop(e.remove(1))), Reason::Malformed),
        ("no handling", with_private(|e| drop(e.remove(3))), Reason::Malformed),
        ("no register", with_private(|e| drop(e.remove(2))), Reason::Malformed),
        ("a register hash too short", with_private(|e| e[2].1 = vec![6; 31].into()), Reason::Malformed),
        ("no kind", with_private(|e| drop(e.remove(0))), Reason::Malformed),
        ("an expiry of null", with_private(|e| e[5].1 = Value::Null), Reason::Malformed),
        ("a negative expiry", with_private(|e| e[5].1 = (-1).into()), Reason::Malformed),
        ("an unknown private entry", with_private(|e| e.push((7.into(), 0.into()))), Reason::Malformed),
        ("another private label", with_header(|e| e[4].0 = (-70002).into()), Reason::Malformed),
        ("no private map", with_header(|e| drop(e.pop())), Reason::Malformed),
        ("an unknown label", with_header(|e| e.insert(4, (16.into(), 0.into()))), Reason::Malformed),
        ("a critical label", with_header(|e| e.insert(1, (2.into(), Value::Array(vec![4.into()])))), Reason::Malformed),
        ("another content type", with_header(|e| e[1].1 = "text/plain".into()), Reason::Malformed),
        ("a content type by number", with_header(|e| e[1].1 = 60.into()), Reason::Malformed),
        ("a key id too long", with_header(|e| e[2].1 = vec![1; 17].into()), Reason::Malformed),
        ("no key id", with_header(|e| drop(e.remove(2))), Reason::Malformed),
        (
            "an unknown claim",
            with_header(|e| e[3].1.as_map_mut().unwrap().push((7.into(), 0.into()))),
            Reason::Malformed,
        ),
        ("no author", with_header(|e| drop(e[3].1.as_map_mut().unwrap().remove(0))), Reason::Malformed),
        (
            "a thread in capitals",
            with_header(|e| e[3].1.as_map_mut().unwrap()[1].1 = "AB".repeat(16).into()),
            Reason::Malformed,
        ),
        (
            "a thread too short",
            with_header(|e| e[3].1.as_map_mut().unwrap()[1].1 = "ab".repeat(15).into()),
            Reason::Malformed,
        ),
        ("a time before 1970", with_header(|e| e[3].1.as_map_mut().unwrap()[2].1 = (-1).into()), Reason::Malformed),
        ("an unknown label of TLP", with_handling(|e| e[0].1 = 5.into()), Reason::Malformed),
        ("no TLP", with_handling(|e| drop(e.remove(0))), Reason::Malformed),
        ("an unknown code", with_handling(|e| e[1].1 = Value::Array(vec![4.into()])), Reason::Malformed),
        ("unsorted codes", with_handling(|e| e[1].1 = Value::Array(vec![3.into(), 1.into()])), Reason::Malformed),
        ("a code twice", with_handling(|e| e[1].1 = Value::Array(vec![1.into(), 1.into()])), Reason::Malformed),
        ("codes of null", with_handling(|e| e[1].1 = Value::Null), Reason::Malformed),
        ("no codes", with_handling(|e| e[1].1 = Value::Array(vec![])), Reason::Malformed),
        ("no purposes", with_handling(|e| e[2].1 = Value::Array(vec![])), Reason::Malformed),
        ("a blank purpose", with_handling(|e| e[2].1 = Value::Array(vec![" ".into()])), Reason::Malformed),
        ("a blank caveat", with_handling(|e| e[4].1 = "\n".into()), Reason::Malformed),
        ("no eyes", with_handling(|e| e[5].1 = Value::Array(vec![])), Reason::Malformed),
        ("eyes without an officer", with_handling(|e| drop(eyes(e).pop())), Reason::Malformed),
        ("eyes with more than an officer", with_handling(|e| eyes(e).push("d4".into())), Reason::Malformed),
        ("an officer without a name", with_handling(|e| eyes(e)[1] = "D 4".into()), Reason::Malformed),
        (
            "eyes twice",
            with_handling(|e| e[5].1 = Value::Array(vec![e[5].1.as_array().unwrap()[0].clone(); 2])),
            Reason::Malformed,
        ),
        ("a review before 1970", with_handling(|e| e[6].1 = (-1).into()), Reason::Malformed),
        ("an unknown rule", with_handling(|e| e.push((8.into(), true.into()))), Reason::Malformed),
        ("EdDSA of no fixed curve", with_header(|e| e[0].1 = (-8).into()), Reason::UnknownAlgorithm),
        ("ES256", with_header(|e| e[0].1 = (-7).into()), Reason::UnknownAlgorithm),
        ("an algorithm by text", with_header(|e| e[0].1 = "Ed25519".into()), Reason::UnknownAlgorithm),
        ("an algorithm of bytes", with_header(|e| e[0].1 = vec![1].into()), Reason::Malformed),
        ("no algorithm", with_header(|e| drop(e.remove(0))), Reason::Malformed),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(judge(&bytes), Err(reason), "{name}");
    }
    for good in [
        Header { audience: many(AUDIENCE_MAX), ..base() },
        Header { references: references(REFERENCES_MAX), ..base() },
        Header { references: vec![], expires: None, ..base() },
    ] {
        assert!(judge(&of(good)).is_ok());
    }
}

/// The agency and the officer of the first eyes in a handling.
fn eyes(handling: &mut [(Value, Value)]) -> &mut Vec<Value> {
    handling[5].1.as_array_mut().unwrap()[0].as_array_mut().unwrap()
}

/// ML-DSA-65 (RFC 9964) signs with 3,309 bytes; a node that does not know it yet must say just that.
#[test]
fn an_algorithm_to_come_is_named_as_unknown() {
    let mut entries = decoded(&header(Report::KIND).encode()).into_map().unwrap();
    entries[0].1 = (-49).into();
    let protected = encoded(&Value::Map(entries));
    let bytes = message(&protected, Value::Map(vec![]), &report().to_body(), &[0; 3309]);
    assert_eq!(Unverified::parse(bytes), Err(Reason::UnknownAlgorithm));
}

#[test]
fn what_the_author_signs_passes_the_same_checks() {
    let draft = |header| Draft { header, body: report().to_body() }.sign(&signing_key());
    assert_eq!(draft(Header { audience: vec![], ..header("report") }), Err(Reason::EmptyAudience));
    assert_eq!(
        draft(Header { audience: vec![agency("zz"), agency("aa")], ..header("report") }),
        Err(Reason::Malformed)
    );
    let large = Draft { header: header("report"), body: vec![0; RECORD_BYTES_MAX] };
    assert_eq!(large.sign(&signing_key()), Err(Reason::Oversize));
    // The key id is that of the key that signs, whatever the draft said.
    let draft = Draft { header: Header { key: stranger_key().id(), ..header("report") }, body: vec![] };
    assert_eq!(draft.sign(&signing_key()).unwrap().header().key, signing_key().id());
}

#[test]
fn signatures() {
    let protected = header(Report::KIND).encode();
    let body = report().to_body();
    let with = |signature: &[u8]| message(&protected, Value::Map(vec![]), &body, signature);
    let sign = |bytes: &[u8]| signing_key().sign(bytes);
    let sum = |s: &[u8; 64]| {
        // S + L, which the same equation holds for, and which a strict verifier refuses (RFC 8032 §5.1.7).
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
        let mut out = *s;
        let mut carry = 0u16;
        for i in 0..32 {
            carry += u16::from(s[32 + i]) + u16::from(order[i]);
            out[32 + i] = carry as u8;
            carry >>= 8;
        }
        out
    };
    let right = sign(&sig_structure(&protected, &[], &body));
    let context = |name: &str| {
        let parts = [&protected[..], &[], &body].map(|bytes| Value::Bytes(bytes.to_vec()));
        encoded(&Value::Array([Value::from(name)].into_iter().chain(parts).collect()))
    };
    assert!(judge(&with(&right)).is_ok());
    assert_eq!(context("Signature1"), sig_structure(&protected, &[], &body));
    let cases = [
        ("zeros", with(&[0; 64])),
        ("over the body alone", with(&sign(&body))),
        ("over the header alone", with(&sign(&protected))),
        ("over another body", with(&sign(&sig_structure(&protected, &[], b"EXERCISE")))),
        ("over another header", with(&sign(&sig_structure(&header("answer").encode(), &[], &body)))),
        ("over external data", with(&sign(&sig_structure(&protected, b"EXERCISE", &body)))),
        ("for COSE_Sign", with(&sign(&context("Signature")))),
        ("as a countersignature", with(&sign(&context("CounterSignature")))),
        ("of another key", with(&stranger_key().sign(&sig_structure(&protected, &[], &body)))),
        ("with a larger S", with(&sum(&right))),
        ("with a body swapped for another of the author's", message(&protected, Value::Map(vec![]), b"\xa0", &right)),
        ("with the header of another record", message(&header("answer").encode(), Value::Map(vec![]), &body, &right)),
    ];
    for (name, bytes) in cases {
        assert_eq!(judge(&bytes), Err(Reason::WrongSignature), "{name}");
    }
}

#[test]
fn keys() {
    let verdict = |state: KeyState, now: u64| {
        let unverified = Unverified::parse(record().into_bytes()).unwrap();
        unverified.verify(&Book(vec![(agency("vn-police"), state)]), now).map(drop)
    };
    let state = valid(&signing_key());
    let cases = [
        ("in time", state, NOW, Ok(())),
        ("from this very second", KeyState { from: ISSUED_AT, ..state }, NOW, Ok(())),
        ("not yet valid", KeyState { from: ISSUED_AT + 1, ..state }, NOW, Err(Reason::KeyNotYetValid)),
        ("until this very second", KeyState { until: ISSUED_AT, ..state }, NOW, Ok(())),
        ("signed too late", KeyState { until: ISSUED_AT - 1, ..state }, NOW, Err(Reason::KeyExpired)),
        ("at the end of grace", state, state.until + GRACE_S, Ok(())),
        ("after grace", state, state.until + GRACE_S + 1, Err(Reason::KeyExpired)),
        ("endless", KeyState { until: u64::MAX, ..state }, u64::MAX, Ok(())),
        ("revoked", KeyState { revoked: Some(ISSUED_AT), ..state }, NOW, Err(Reason::KeyRevoked)),
        ("revoked after it signed", KeyState { revoked: Some(NOW), ..state }, NOW, Err(Reason::KeyRevoked)),
        ("revoked for later", KeyState { revoked: Some(u64::MAX), ..state }, NOW, Err(Reason::KeyRevoked)),
        // Our own clock a day behind, or the author's a day ahead, within the key's time.
        ("our clock is behind", KeyState { from: 0, ..state }, ISSUED_AT - 86_400, Ok(())),
    ];
    for (name, state, now, expected) in cases {
        assert_eq!(verdict(state, now), expected, "{name}");
    }
    // Who did not sign learns nothing about the key's state.
    let mut bytes = record().into_bytes();
    *bytes.last_mut().unwrap() ^= 1;
    let revoked = Book(vec![(agency("vn-police"), KeyState { revoked: Some(1), ..state })]);
    assert_eq!(Unverified::parse(bytes).unwrap().verify(&revoked, NOW), Err(Reason::WrongSignature));
}

#[test]
fn unknown_keys() {
    let draft = || Draft { header: header(Report::KIND), body: report().to_body() };
    let stranger = draft().sign(&stranger_key()).unwrap();
    assert_eq!(judge(stranger.bytes()), Err(Reason::UnknownKey));
    // The key is known, but as another agency's.
    let other = Draft { header: Header { author: agency("ru-police"), ..draft().header }, ..draft() };
    assert_eq!(judge(other.sign(&signing_key()).unwrap().bytes()), Err(Reason::UnknownKey));

    let with = |key: &mufakat_record::SigningKey| {
        Unverified::parse(record().into_bytes()).unwrap().verify_with(&key.public()).map(drop)
    };
    assert_eq!(with(&signing_key()), Ok(()));
    assert_eq!(with(&stranger_key()), Err(Reason::UnknownKey));
    // A stranger who names the author's key.
    let protected = header(Report::KIND).encode();
    let signature = stranger_key().sign(&sig_structure(&protected, &[], &[]));
    let forged = Unverified::parse(message(&protected, Value::Map(vec![]), &[], &signature)).unwrap();
    assert_eq!(forged.verify_with(&signing_key().public()), Err(Reason::WrongSignature));
}

#[test]
fn a_record_from_our_own_store_is_still_read_strictly() {
    let good = record().into_bytes();
    assert_eq!(mufakat_record::Verified::from_own_store(good.clone()), Ok(record()));
    let longer = [&good[..], b"\0"].concat();
    assert_eq!(mufakat_record::Verified::from_own_store(longer), Err(Reason::TrailingBytes));
}
