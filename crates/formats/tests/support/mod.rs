//! The test vectors of `docs/vectors/`, made from fixed seeds. The generator and the tests share this code.

pub(crate) mod community;
mod desk;
mod evidence;
mod ledger;
mod match_records;
mod matching;
mod parcels;
mod plain;
mod records;
mod register;
pub(crate) mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// Every file of the folder with its content.
pub(crate) fn files() -> Vec<(&'static str, String)> {
    let files = [
        ("attachments.json", plain::attachments()),
        ("cbor.json", plain::cbor()),
        ("checkpoints.json", ledger::checkpoints()),
        ("evidence.json", evidence::bundles()),
        ("key-sets.json", register::key_sets()),
        ("keys.json", plain::keys()),
        ("leaves.json", ledger::leaves()),
        ("matching.json", matching::matching()),
        ("parcels.json", parcels::parcels()),
        ("proofs.json", ledger::proofs()),
        ("receipts.json", records::receipts()),
        ("records.json", records::records()),
        ("register.json", register::chains()),
    ];
    files.into_iter().map(|(name, value)| (name, render(&value))).collect()
}

/// The folder in the repository.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors")
}

/// JSON with sorted members, whatever order the JSON library was built to keep.
fn render(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(&Sorted(value)).expect("JSON");
    text.push('\n');
    text
}

struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let sorted: BTreeMap<_, _> = members.iter().map(|(name, value)| (name, Sorted(value))).collect();
                s.collect_map(sorted)
            }
            Value::Array(items) => s.collect_seq(items.iter().map(Sorted)),
            other => other.serialize(s),
        }
    }
}

/// Bytes with one bit changed.
pub(crate) fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at] ^= 1;
    changed
}

/// Where a part stands in a whole.
pub(crate) fn position(whole: &[u8], part: &[u8]) -> usize {
    whole.windows(part.len()).position(|window| window == part).expect("the part is in the whole")
}
