//! The strict form against another CBOR library, ciborium: whatever our walk accepts, ciborium reads, and writing it again in
//! deterministic order gives the same bytes; and the other way round.

use ciborium::Value;
use mufakat_record::cbor::{DEPTH_MAX, check};
use proptest::prelude::*;

use crate::samples::encoded;

/// Writes a value in the order of RFC 8949 §4.2.1: map entries by the bytes of their encoded keys.
fn deterministic(value: &Value) -> Vec<u8> {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            Value::Tag(tag, inner) => Value::Tag(*tag, Box::new(sorted(inner))),
            Value::Map(entries) => {
                let mut entries: Vec<_> = entries.iter().map(|(k, v)| (sorted(k), sorted(v))).collect();
                entries.sort_by_key(|(key, _)| encoded(key));
                Value::Map(entries)
            }
            other => other.clone(),
        }
    }
    encoded(&sorted(value))
}

/// What the protocol allows of CBOR beyond its deterministic form, judged from ciborium's values.
fn allowed(value: &Value, depth: usize) -> bool {
    depth <= DEPTH_MAX
        && match value {
            Value::Integer(number) => {
                let number = i128::from(*number);
                (-(1 << 64)..1 << 64).contains(&number)
            }
            Value::Bytes(_) | Value::Text(_) | Value::Bool(_) | Value::Null => true,
            Value::Array(items) => items.iter().all(|item| allowed(item, depth + 1)),
            Value::Tag(tag, inner) => !matches!(tag, 2 | 3) && allowed(inner, depth + 1),
            Value::Map(entries) => {
                let mut keys: Vec<_> = entries.iter().map(|(key, _)| encoded(key)).collect();
                keys.sort();
                keys.windows(2).all(|pair| pair[0] != pair[1])
                    && entries.iter().all(|(key, value)| {
                        matches!(key, Value::Integer(_) | Value::Text(_))
                            && allowed(key, depth)
                            && allowed(value, depth + 1)
                    })
            }
            _ => false,
        }
}

/// The same judgement as [`check`], made by reading, looking and writing again.
fn accepted_by_ciborium(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let Ok(value) = ciborium::from_reader::<Value, _>(&mut rest) else { return false };
    rest.is_empty() && allowed(&value, 0) && deterministic(&value) == bytes
}

fn keys() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-z\u{e9}]{0,30}".prop_map(Value::from),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let negative = any::<u64>().prop_map(|n| Value::Integer((-1 - i128::from(n)).try_into().unwrap()));
    let leaf = prop_oneof![
        keys(),
        negative,
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(Value::Array),
            prop::collection::btree_map(any::<u32>(), inner.clone(), 0..30)
                .prop_map(|map| Value::Map(map.into_iter().map(|(k, v)| (Value::from(k), v)).collect())),
            prop::collection::vec((keys(), inner.clone()), 0..8).prop_map(Value::Map),
            (4..u64::MAX, inner).prop_map(|(tag, value)| Value::Tag(tag, Box::new(value))),
        ]
    })
}

proptest! {
    #[test]
    fn both_judge_sorted_values_alike(value in values()) {
        let bytes = deterministic(&value);
        prop_assert_eq!(check(&bytes).is_ok(), accepted_by_ciborium(&bytes));
        prop_assert_eq!(check(&bytes).is_ok(), allowed(&value, 0));
    }

    #[test]
    fn both_judge_mutations_alike(
        value in values(),
        mutations in prop::collection::vec((0..4u8, any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = deterministic(&value);
        for (how, index, byte) in mutations {
            let place = index.index(bytes.len().max(1));
            match how {
                0 if !bytes.is_empty() => bytes[place] ^= 1 << (byte % 8),
                1 if !bytes.is_empty() => bytes[place] = byte,
                2 if !bytes.is_empty() => drop(bytes.remove(place)),
                _ => bytes.insert(place, byte),
            }
        }
        prop_assert_eq!(check(&bytes).is_ok(), accepted_by_ciborium(&bytes), "{}", hex::encode(&bytes));
    }

    #[test]
    fn both_judge_random_bytes_alike(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        prop_assert_eq!(check(&bytes).is_ok(), accepted_by_ciborium(&bytes), "{}", hex::encode(&bytes));
    }
}

/// Every item of one and of two bytes, and every pair of bytes with some that they may need.
#[test]
fn both_judge_all_short_items_alike() {
    for first in 0..=u8::MAX {
        assert_eq!(check(&[first]).is_ok(), accepted_by_ciborium(&[first]), "{first:02x}");
        for second in 0..=u8::MAX {
            for rest in [&b""[..], b"\0", b"\x01\x02", b"\0\0\0", b"\x41\x01\x02\x03", b"\x01\0\0\0\0\0\0\0"] {
                let bytes = [&[first, second], rest].concat();
                assert_eq!(check(&bytes).is_ok(), accepted_by_ciborium(&bytes), "{}", hex::encode(&bytes));
            }
        }
    }
}

/// The limits are where they are said to be.
#[test]
fn depth_is_counted_in_arrays_maps_and_tags() {
    for opening in [&b"\x81"[..], b"\xa1\x01", b"\xc4"] {
        let nested = |depth: usize| [opening.repeat(depth), vec![0]].concat();
        assert!(check(&nested(DEPTH_MAX)).is_ok() && accepted_by_ciborium(&nested(DEPTH_MAX)));
        assert_eq!(check(&nested(DEPTH_MAX + 1)), Err(mufakat_record::Reason::TooDeep));
        assert!(!accepted_by_ciborium(&nested(DEPTH_MAX + 1)));
    }
}
