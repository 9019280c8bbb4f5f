//! Vectors for the ledger: leaves, proofs, checkpoints with cosignatures.

use mufakat_exchange::{Leaf, What};
use mufakat_ledger::{Algorithm, Checkpoint, Hash, Note, SignedCheckpoint, Signer, cosign};
use mufakat_record::Digest;
use serde_json::{Value, json};

use super::community::{Agency, NOW, salt, seed};
use super::tree;

pub(crate) fn leaves() -> Value {
    let cases = [
        ("authored", What::Authored, &seed("policy")[..]),
        ("authored by the node itself", What::Authored, b""),
        ("received and accepted", What::Received, b""),
        ("received and rejected", What::Received, b"not-in-audience"),
        ("receipt", What::Receipt, b""),
        ("use", What::Use, b"EXERCISE read"),
        ("register version", What::Register, b""),
    ];
    let vectors: Vec<_> = cases
        .iter()
        .map(|(title, what, detail)| {
            let leaf = Leaf {
                what: *what,
                at_ms: NOW * 1000 + 7,
                subject: Digest(seed(title)),
                detail: detail.to_vec(),
                salt: salt(title),
            };
            json!({
                "name": title,
                "salt": hex::encode(leaf.salt),
                "type": leaf.what.number(),
                "at_ms": leaf.at_ms,
                "subject": leaf.subject.to_string(),
                "detail": hex::encode(&leaf.detail),
                "entry": hex::encode(leaf.commitment()),
                "leaf_hash": hex::encode(leaf.hash()),
            })
        })
        .collect();
    json!({"about": "Leaves in the clear and what the ledger has of them (section 12).", "vectors": vectors})
}

fn hashes(n: usize) -> Vec<Hash> {
    (0..n).map(|i| Hash::from(seed(&format!("leaf {i}")))).collect()
}

fn hexes(list: &[Hash]) -> Vec<String> {
    list.iter().map(hex::encode).collect()
}

pub(crate) fn proofs() -> Value {
    let mut included = Vec::new();
    let mut add = |name: String, index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash, holds: bool| {
        included.push(json!({
            "name": name, "index": index, "size": size, "leaf": hex::encode(leaf), "proof": hexes(proof),
            "root": hex::encode(root), "holds": holds,
        }));
    };
    for (index, size) in
        [(0, 1), (0, 2), (1, 2), (2, 3), (0, 5), (4, 5), (3, 7), (6, 7), (7, 8), (8, 9), (5, 13), (12, 13)]
    {
        let leaves = hashes(size);
        let (root, proof) = (tree::root(&leaves), tree::inclusion(index, &leaves));
        let (i, n) = (index as u64, size as u64);
        add(format!("leaf {i} of {n}"), i, n, &leaves[index], &proof, &root, true);
        if (index, size) == (5, 13) {
            add("another index".into(), 4, n, &leaves[index], &proof, &root, false);
            add("an index beyond the tree".into(), 13, n, &leaves[index], &proof, &root, false);
            add("a size that asks for another number of hashes".into(), i, 6, &leaves[index], &proof, &root, false);
            add("another leaf".into(), i, n, &leaves[4], &proof, &root, false);
            add("another root".into(), i, n, &leaves[index], &proof, &leaves[0], false);
            add("one hash too few".into(), i, n, &leaves[index], &proof[..3], &root, false);
            let more = [&proof[..], &leaves[..1]].concat();
            add("one hash too many".into(), i, n, &leaves[index], &more, &root, false);
            let swapped = [proof[1], proof[0], proof[2], proof[3]];
            add("hashes in another order".into(), i, n, &leaves[index], &swapped, &root, false);
        }
    }
    let mut grown = Vec::new();
    let mut add = |name: String, old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash], holds: bool| {
        grown.push(json!({
            "name": name, "old_size": old, "old_root": hex::encode(old_root), "new_size": new,
            "new_root": hex::encode(new_root), "proof": hexes(proof), "holds": holds,
        }));
    };
    for (old, new) in [(0, 0), (0, 5), (1, 1), (1, 2), (2, 3), (3, 7), (4, 7), (6, 8), (8, 8), (8, 13), (7, 13)] {
        let leaves = hashes(new);
        let (old_root, new_root) = (tree::root(&leaves[..old]), tree::root(&leaves));
        let proof = tree::consistency(old, &leaves);
        let (m, n) = (old as u64, new as u64);
        add(format!("{m} to {n}"), m, &old_root, n, &new_root, &proof, true);
        if (old, new) == (7, 13) {
            add("another old root".into(), m, &leaves[0], n, &new_root, &proof, false);
            add("another new root".into(), m, &old_root, n, &leaves[0], &proof, false);
            add("another old size".into(), 6, &old_root, n, &new_root, &proof, false);
            add("from new to old".into(), n, &new_root, m, &old_root, &proof, false);
            add("one hash too few".into(), m, &old_root, n, &new_root, &proof[1..], false);
            let more = [&proof[..], &leaves[..1]].concat();
            add("one hash too many".into(), m, &old_root, n, &new_root, &more, false);
            add("no proof".into(), m, &old_root, n, &new_root, &[], false);
        }
        if (old, new) == (8, 8) {
            add("the same size with another root".into(), m, &leaves[0], n, &new_root, &[], false);
            add("the same tree with a hash to spare".into(), m, &old_root, n, &new_root, &leaves[..1], false);
        }
    }
    json!({"about": "Inclusion and consistency proofs (section 12).", "inclusion": included, "consistency": grown})
}

/// A checkpoint signed by its log and cosigned.
pub(crate) fn checkpoint(log: &Signer, size: u64, root: Hash, cosigners: &[(Signer, u64)]) -> String {
    let origin = log.verifier().name().to_owned();
    let text = Checkpoint { origin, size, root, extensions: Vec::new() }.encode().expect("a sound checkpoint");
    let mut signatures = vec![log.sign(&text).expect("a log's key")];
    for (signer, time_s) in cosigners {
        signatures.push(cosign::sign(signer, &text, *time_s).expect("a witness's key"));
    }
    Note { text, signatures }.encode()
}

pub(crate) fn checkpoints() -> Value {
    let [vn, ru, sg] = ["vn-police", "ru-police", "sg-fusion"].map(Agency::new);
    let root = tree::root(&hashes(5));
    let by = |agency: &Agency, time_s| (agency.cosigner(), time_s);
    let bare = checkpoint(&vn.log(), 5, root, &[]);
    let good = checkpoint(&vn.log(), 5, root, &[by(&ru, NOW), by(&sg, NOW + 1)]);
    let empty = checkpoint(&vn.log(), 0, mufakat_ledger::empty_root(), &[by(&ru, NOW)]);
    let stranger = Signer::from_seed("mufakat/xx-police/witness", Algorithm::Cosignature, &seed("xx")).expect("a seed");
    let other = checkpoint(&vn.log(), 5, tree::root(&hashes(4)), &[by(&ru, NOW)]);
    let others_line = other.lines().last().expect("a cosignature");
    let stolen = Signer::from_seed(&vn.origin(), Algorithm::Ed25519, &seed("thief")).expect("a seed");
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    let (text, signatures) = (lines[..4].concat(), &lines[4..]);
    let cases = [
        ("not cosigned", bare.clone(), true),
        ("cosigned by two", good.clone(), true),
        ("the empty tree", empty, true),
        ("a stranger's line is passed over", checkpoint(&vn.log(), 5, root, &[by(&ru, NOW), (stranger, NOW)]), true),
        ("another ledger's", checkpoint(&ru.log(), 5, root, &[]), false),
        ("signed by another key under this name", checkpoint(&stolen, 5, root, &[]), false),
        ("another size", good.replace("\n5\n", "\n6\n"), false),
        ("size with a leading zero", good.replace("\n5\n", "\n05\n"), false),
        ("another root", good.replace(&root.to_string(), &tree::root(&hashes(4)).to_string()), false),
        ("an empty tree with a root", checkpoint_unchecked(&vn.log(), 0, root), false),
        ("cosignatures alone", [&text, signatures[1]].concat(), false),
        ("no signature", text.clone(), false),
        ("no newline at the end", good.trim_end().to_owned(), false),
        ("carriage returns", good.replace('\n', "\r\n"), false),
        ("a known witness's cosignature of another checkpoint", format!("{bare}{others_line}\n"), false),
        ("base64 with loose bits", loosened(&bare), false),
        ("a hyphen for the dash", bare.replace('\u{2014}', "-"), false),
    ];
    let vectors: Vec<_> = cases
        .into_iter()
        .map(|(name, note, good)| {
            let mut vector = json!({"name": name, "note": note, "expect": if good { "ok" } else { "refused" }});
            if good {
                let opened = SignedCheckpoint::open(&note, vn.log().verifier()).expect("a good checkpoint");
                let checkpoint = opened.checkpoint();
                let witnesses = [&ru, &sg].map(|agency| agency.cosigner().verifier().clone());
                let cosigners = opened.cosigners(&witnesses).expect("good cosignatures");
                vector["origin"] = json!(checkpoint.origin);
                vector["size"] = json!(checkpoint.size);
                vector["root"] = json!(hex::encode(checkpoint.root));
                vector["cosigned"] =
                    cosigners.iter().map(|(i, time)| json!({"name": witnesses[*i].name(), "time": time})).collect();
            }
            vector
        })
        .collect();
    let key = |signer: Signer| {
        let key = signer.verifier().clone();
        json!({"name": key.name(), "public": hex::encode(key.public()), "key_id": format!("{:08x}", key.key_id())})
    };
    json!({
        "about": "Checkpoints of one ledger (section 13). Lines by keys other than those given are passed over; a wrong \
                  signature beside one of these refuses the whole. Section 14 is stricter within evidence.",
        "ledger": key(vn.log()),
        "witnesses": [key(ru.cosigner()), key(sg.cosigner())],
        "vectors": vectors,
    })
}

fn checkpoint_unchecked(log: &Signer, size: u64, root: Hash) -> String {
    let text = format!("{}\n{size}\n{root}\n", log.verifier().name());
    let signatures = vec![log.sign(&text).expect("a log's key")];
    Note { text, signatures }.encode()
}

/// The note with a bit set that its last base64 character has no use for. A log's signature with its key id has 68 bytes,
/// which leaves two such bits in the character before the padding.
fn loosened(note: &str) -> String {
    let end = note.trim_end().trim_end_matches('=').len();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = note.as_bytes().to_vec();
    let value = alphabet.iter().position(|c| *c == bytes[end - 1]).expect("base64");
    bytes[end - 1] = alphabet[value | 1];
    assert_ne!(bytes, note.as_bytes(), "the loose bit was set already");
    String::from_utf8(bytes).expect("ASCII")
}
