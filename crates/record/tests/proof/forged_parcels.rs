//! Every bad parcel that this crate can see: changed by a relay, sealed again by a recipient, or made up by a stranger who
//! knows the recipient's public key. None of them can sign as the sender.

use ciborium::Value;
use hpke::{Deserializable, OpModeR, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::XWing};
use mufakat_record::parcel::{self, CONTENT_BYTES_MAX, COUNT_MAX, Outer, PARCEL_BYTES_MAX, Parcel};
use mufakat_record::{KeyId, KeyState, RECORD_BYTES_MAX, Reason, RecordId, SealingKey, cbor};

use crate::samples::*;

/// A named change to an outer header.
type Change = (&'static str, fn(&mut Outer));

/// What the recipient makes of bytes from outside.
fn opened(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Reason> {
    // The recipient knows keys of another agency too, so that a changed sender or signer can be one that exists.
    let mut keys = book();
    keys.0.push((agency("vn-police"), valid(&stranger_key())));
    keys.0.push((agency("vn-navy"), valid(&signing_key())));
    Parcel::parse(bytes)?.open(&sealing_key(), &keys, NOW)
}

fn by_sender(records: &[&[u8]]) -> Vec<u8> {
    let records: Vec<_> = records.iter().map(|bytes| (RecordId::of(bytes), *bytes)).collect();
    let count = records.len() as u64;
    parcel::seal(outer(count), &records, sealing_key().public(), &signing_key(), [1; 32]).unwrap().to_bytes()
}

fn to_parts(bytes: &[u8]) -> [Vec<u8>; 3] {
    let parts = decoded(bytes).into_array().unwrap().into_iter().map(|part| part.into_bytes().unwrap());
    parts.collect::<Vec<_>>().try_into().unwrap()
}

/// What the recipient of a parcel has in hand once it is opened, the sender's signature included.
fn content_for_the_recipient(parcel: &[u8]) -> Vec<u8> {
    let [outer_bytes, encapsulated, ciphertext] = to_parts(parcel);
    let secret = <XWing as hpke::Kem>::PrivateKey::from_bytes(sealing_key().seed()).unwrap();
    let encapsulated = <XWing as hpke::Kem>::EncappedKey::from_bytes(&encapsulated).unwrap();
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        &secret,
        &encapsulated,
        b"mufakat parcel 1",
        &ciphertext,
        &outer_bytes,
    )
    .unwrap()
}

/// A parcel made by hand in every part, as if by its sender.
fn by_hand(outer_bytes: &[u8], carried: &[&[u8]]) -> Vec<u8> {
    sealed(outer_bytes, &content(outer_bytes, carried, carried, &signing_key()), sealing_key().public())
}

#[test]
fn sealing_by_hand_and_by_the_crate_agree() {
    let record = record();
    let records: [&[u8]; 3] = [b"EXERCISE one", b"", record.bytes()];
    let expected: Vec<Vec<u8>> = records.iter().map(|r| r.to_vec()).collect();
    assert_eq!(opened(&by_sender(&records)), Ok(expected.clone()));
    assert_eq!(opened(&by_hand(&cbor::encode(&outer(3)), &records)), Ok(expected));
    let [outer_bytes, ..] = to_parts(&by_sender(&records));
    assert_eq!(outer_bytes, cbor::encode(&outer(3)));
    assert!(!by_sender(&records).windows(8).any(|window| window == b"EXERCISE"));
}

/// Each field of the outer header changed on the way, on its own. All ten stand in this list.
const CHANGES: [Change; 10] = [
    ("suite", |outer| outer.suite = 2),
    ("sender", |outer| outer.sender = agency("vn-navy")),
    ("recipient", |outer| outer.recipient = agency("id-coastguard")),
    ("epoch", |outer| outer.epoch += 1),
    ("first", |outer| outer.first += 1),
    ("count", |outer| outer.count += 1),
    ("sealing_key", |outer| outer.sealing_key = KeyId([0; 16])),
    ("signing_key", |outer| outer.signing_key = stranger_key().id()),
    ("register_version", |outer| outer.register_version += 1),
    ("expires", |outer| outer.expires += 1),
];

#[test]
fn a_relay_cannot_change_the_outer_header() {
    let good = by_sender(&[b"EXERCISE one", b"EXERCISE two"]);
    let [outer_bytes, encapsulated, ciphertext] = to_parts(&good);
    assert_eq!(decoded(&outer_bytes).into_map().unwrap().len(), CHANGES.len());
    for (name, change) in CHANGES {
        let mut changed = outer(2);
        change(&mut changed);
        assert_ne!(changed, outer(2));
        let reason = match name {
            "suite" => Reason::UnknownSuite,
            "sealing_key" => Reason::UnknownSealingKey,
            _ => Reason::CannotOpen,
        };
        let bytes = parts(&cbor::encode(&changed), &encapsulated, &ciphertext);
        assert_eq!(opened(&bytes), Err(reason), "{name}");
    }
}

/// A recipient, or anyone to whom one gave the opened content, seals it again under a changed header: the sender's signature
/// does not go with it. This is what sealing without a signature inside would let pass.
#[test]
fn a_recipient_cannot_pass_the_content_on_as_if_from_the_sender() {
    let records: [&[u8]; 2] = [b"EXERCISE one", b"EXERCISE two"];
    let content = content_for_the_recipient(&by_sender(&records));
    let elsewhere = SealingKey::from_seed(&[99; 32]);
    for (name, change) in CHANGES {
        let mut changed = outer(2);
        change(&mut changed);
        if name == "sealing_key" {
            changed.sealing_key = elsewhere.public().id();
            let bytes = sealed(&cbor::encode(&changed), &content, elsewhere.public());
            assert_eq!(Parcel::parse(&bytes).unwrap().open(&elsewhere, &book(), NOW), Err(Reason::WrongSignature));
            continue;
        }
        let reason = match name {
            "suite" => Reason::UnknownSuite,
            "count" => Reason::CountMismatch,
            _ => Reason::WrongSignature,
        };
        let bytes = sealed(&cbor::encode(&changed), &content, sealing_key().public());
        assert_eq!(opened(&bytes), Err(reason), "{name}");
    }
}

#[test]
fn a_relay_cannot_change_the_records() {
    let (one, two, three): (&[u8], &[u8], &[u8]) = (b"EXERCISE one", b"EXERCISE two", b"EXERCISE three");
    let (signed, signer) = ([one, two], signing_key());
    let opened_by_hand = content_for_the_recipient(&by_sender(&signed));
    assert_eq!(opened_by_hand, content(&cbor::encode(&outer(2)), &signed, &signed, &signer));
    let forged = |count: u64, carried: &[&[u8]], key| {
        let outer_bytes = cbor::encode(&outer(count));
        // The signature that the sender made, over its own header of two records.
        let signature_over = cbor::encode(&outer(2));
        opened(&sealed(&outer_bytes, &content(&signature_over, &signed, carried, key), sealing_key().public()))
    };
    assert!(forged(2, &[one, two], &signer).is_ok());
    let cases: [(&str, u64, &[&[u8]], Reason); 10] = [
        ("swapped", 2, &[two, one], Reason::WrongSignature),
        ("one replaced", 2, &[one, three], Reason::WrongSignature),
        ("one doubled for the other", 2, &[one, one], Reason::WrongSignature),
        ("one emptied", 2, &[one, b""], Reason::WrongSignature),
        ("one dropped", 2, &[one], Reason::CountMismatch),
        ("one dropped and counted so", 1, &[one], Reason::WrongSignature),
        ("one added", 2, &[one, two, three], Reason::CountMismatch),
        ("one added and counted so", 3, &[one, two, three], Reason::WrongSignature),
        ("all dropped", 2, &[], Reason::CountMismatch),
        ("counted as more", 3, &[one, two], Reason::CountMismatch),
    ];
    for (name, count, carried, reason) in cases {
        assert_eq!(forged(count, carried, &signer), Err(reason), "{name}");
    }
    assert_eq!(forged(2, &[one, two], &stranger_key()), Err(Reason::WrongSignature), "signed by someone else");
    let outer_bytes = cbor::encode(&outer(1));
    for signature in [&[0u8; 64][..], &[], &signer.sign(one), &signer.sign(&outer_bytes)] {
        let bytes = sealed(&outer_bytes, &content_of(signature, &[one]), sealing_key().public());
        assert_eq!(opened(&bytes), Err(Reason::WrongSignature));
    }
}

#[test]
fn a_wrap_for_someone_else() {
    let parcel = Parcel::parse(&by_sender(&[b"EXERCISE"])).unwrap();
    let other = SealingKey::from_seed(&[99; 32]);
    assert_eq!(parcel.open(&other, &book(), NOW), Err(Reason::UnknownSealingKey));
    // The same, with our key's name on it.
    let outer_bytes = cbor::encode(&outer(1));
    let content = content(&outer_bytes, &[b"EXERCISE"], &[b"EXERCISE"], &signing_key());
    assert_eq!(opened(&sealed(&outer_bytes, &content, other.public())), Err(Reason::CannotOpen));
    // The encapsulated key of another parcel, one too short, and none.
    let [outer_bytes, _, ciphertext] = to_parts(&by_sender(&[b"EXERCISE"]));
    let [_, encapsulated, _] = to_parts(&sealed(&outer_bytes, &content, sealing_key().public()));
    for encapsulated in [&encapsulated[..], &encapsulated[1..], &[]] {
        assert_eq!(opened(&parts(&outer_bytes, encapsulated, &ciphertext)), Err(Reason::CannotOpen));
    }
    assert_eq!(opened(&parts(&outer_bytes, &encapsulated, &[])), Err(Reason::CannotOpen));
}

#[test]
fn keys() {
    let parcel = Parcel::parse(&by_sender(&[b"EXERCISE"])).unwrap();
    let with = |keys: Book| parcel.open(&sealing_key(), &keys, NOW).map(drop);
    let state = valid(&signing_key());
    assert_eq!(with(book()), Ok(()));
    assert_eq!(with(Book(vec![])), Err(Reason::UnknownKey));
    assert_eq!(with(Book(vec![(agency("vn-navy"), state)])), Err(Reason::UnknownKey));
    assert_eq!(with(Book(vec![(agency("vn-police"), valid(&stranger_key()))])), Err(Reason::UnknownKey));
    let revoked = KeyState { revoked: Some(1), ..state };
    assert_eq!(with(Book(vec![(agency("vn-police"), revoked)])), Err(Reason::KeyRevoked));
    let at = |now_s| parcel.open(&sealing_key(), &book(), now_s).map(drop);
    let last = state.until + state.grace_s;
    // A clock that is behind does not make a key too new.
    for now_s in [0, state.from - 1, state.until + 1, last] {
        assert_eq!(at(now_s), Ok(()), "{now_s}");
    }
    for now_s in [last + 1, u64::MAX] {
        assert_eq!(at(now_s), Err(Reason::KeyExpired), "{now_s}");
    }
    let both = Book(vec![(agency("vn-police"), revoked)]);
    assert_eq!(parcel.open(&sealing_key(), &both, last + 1), Err(Reason::KeyRevoked));
    // Nobody learns about a key's state with a signature that the key did not make.
    let forged = content(&cbor::encode(&outer(1)), &[b"EXERCISE"], &[b"EXERCISE"], &stranger_key());
    let forged = Parcel::parse(&sealed(&cbor::encode(&outer(1)), &forged, sealing_key().public())).unwrap();
    assert_eq!(forged.open(&sealing_key(), &book(), last + 1), Err(Reason::WrongSignature));
}

#[test]
fn framing_and_limits() {
    let good = by_sender(&[b"EXERCISE"]);
    let [outer_bytes, encapsulated, ciphertext] = to_parts(&good);
    let with_outer = |bytes: &[u8]| parts(bytes, &encapsulated, &ciphertext);
    let entries = |change: fn(&mut Vec<(Value, Value)>)| {
        let mut entries = decoded(&outer_bytes).into_map().unwrap();
        change(&mut entries);
        with_outer(&encoded(&Value::Map(entries)))
    };
    let with = |change: fn(&mut Outer)| {
        let mut changed = outer(1);
        change(&mut changed);
        with_outer(&cbor::encode(&changed))
    };
    let array = |items: &[&[u8]]| encoded(&Value::Array(items.iter().map(|i| Value::Bytes(i.to_vec())).collect()));
    let cases = [
        ("nothing", vec![], Reason::Truncated),
        ("one byte short", good[..good.len() - 1].to_vec(), Reason::Truncated),
        ("a byte too many", [&good[..], b"\0"].concat(), Reason::TrailingBytes),
        ("too large", vec![0; PARCEL_BYTES_MAX + 1], Reason::Oversize),
        ("indefinite", [b"\x9f", &good[1..], b"\xff"].concat(), Reason::IndefiniteLength),
        ("a long array length", [b"\x98\x03", &good[1..]].concat(), Reason::NonCanonical),
        ("two parts", array(&[&outer_bytes, &encapsulated]), Reason::Malformed),
        ("four parts", array(&[&outer_bytes, &encapsulated, &ciphertext, b""]), Reason::Malformed),
        ("a tag", [b"\xc4", &good[..]].concat(), Reason::Malformed),
        ("a record", record().into_bytes(), Reason::Malformed),
        ("an empty outer header", with_outer(&[]), Reason::Truncated),
        ("an empty outer map", with_outer(b"\xa0"), Reason::Malformed),
        ("an outer header that is no map", with_outer(b"\x82\x01\x01"), Reason::Malformed),
        ("an outer header cut", with_outer(&outer_bytes[..outer_bytes.len() - 1]), Reason::Truncated),
        ("an outer header too long", with_outer(&[&outer_bytes[..], b"\0"].concat()), Reason::TrailingBytes),
        (
            "an indefinite outer header",
            with_outer(&[b"\xbf", &outer_bytes[1..], b"\xff"].concat()),
            Reason::IndefiniteLength,
        ),
        ("unsorted", entries(|e| e.swap(1, 2)), Reason::NonCanonical),
        ("a field twice", entries(|e| e.insert(1, e[1].clone())), Reason::DuplicateKey),
        ("an unknown field", entries(|e| e.push((11.into(), 0.into()))), Reason::Malformed),
        ("a field missing", entries(|e| drop(e.pop())), Reason::Malformed),
        ("no suite", entries(|e| drop(e.remove(0))), Reason::Malformed),
        ("a bad name", entries(|e| e[1].1 = "VN".into()), Reason::Malformed),
        ("a key id too short", entries(|e| e[6].1 = vec![0; 15].into()), Reason::Malformed),
        ("a negative epoch", entries(|e| e[3].1 = (-1).into()), Reason::Malformed),
        ("the suite 0", with(|o| o.suite = 0), Reason::UnknownSuite),
        ("a suite to come", with(|o| o.suite = 2), Reason::UnknownSuite),
        ("a suite of two bytes", entries(|e| e[0].1 = 257.into()), Reason::UnknownSuite),
        (
            "a suite to come, with fields to come",
            entries(|e| {
                e[0].1 = 2.into();
                e.push((11.into(), 0.into()))
            }),
            Reason::UnknownSuite,
        ),
        ("no records", with(|o| o.count = 0), Reason::Malformed),
        ("too many records", with(|o| o.count = COUNT_MAX as u64 + 1), Reason::Malformed),
        ("beyond the last position", with(|o| o.first = u64::MAX), Reason::Malformed),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(opened(&bytes), Err(reason), "{name}");
    }
}

#[test]
fn content_that_is_none() {
    let outer_bytes = cbor::encode(&outer(1));
    let right = content(&outer_bytes, &[b"EXERCISE"], &[b"EXERCISE"], &signing_key());
    let many = vec![&b""[..]; 4097];
    for (name, content) in [
        ("nothing", vec![]),
        ("no list", b"\x00".to_vec()),
        ("cut", right[..right.len() - 1].to_vec()),
        ("too long", [&right[..], b"\0"].concat()),
        ("three parts", [b"\x83", &right[1..], b"\0"].concat()),
        ("records of text", [b"\x82\x40\x81\x61a".as_slice()].concat()),
        ("indefinite", [b"\x82\x40\x9f\xff".as_slice()].concat()),
        ("very many", content_of(&[0; 64], &many)),
    ] {
        assert_eq!(opened(&sealed(&outer_bytes, &content, sealing_key().public())), Err(Reason::Malformed), "{name}");
    }
    assert!(opened(&sealed(&outer_bytes, &right, sealing_key().public())).is_ok());
}

#[test]
fn the_sender_keeps_to_the_limits() {
    let seal = |records: &[(RecordId, &[u8])]| {
        parcel::seal(outer(1), records, sealing_key().public(), &signing_key(), [1; 32]).map(|p| p.to_bytes())
    };
    let large = vec![0; RECORD_BYTES_MAX];
    let large = (RecordId::of(&large), &large[..]);
    let small = (RecordId::of(b"x"), &b"x"[..]);
    assert_eq!(seal(&[]), Err(Reason::Oversize));
    assert_eq!(seal(&vec![small; COUNT_MAX + 1]), Err(Reason::Oversize));
    assert_eq!(seal(&[large, large, large, large, small]), Err(Reason::Oversize));

    // The fullest parcels fit the wire's limit and open.
    assert_eq!(CONTENT_BYTES_MAX, 4 * RECORD_BYTES_MAX);
    let each = vec![0; CONTENT_BYTES_MAX / COUNT_MAX];
    for records in [vec![large; 4], vec![(RecordId::of(&each), &each[..]); COUNT_MAX]] {
        let bytes = seal(&records).unwrap();
        assert!(bytes.len() <= PARCEL_BYTES_MAX, "{}", bytes.len());
        assert_eq!(opened(&bytes).unwrap().len(), records.len());
    }
}
