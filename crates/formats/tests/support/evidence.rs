//! Vectors for evidence bundles: good ones, one with a changed byte in each part, and bundles in which every signature and
//! every proof is good, but of something else than it stands for.

use std::collections::BTreeMap;

use mufakat_exchange::{Leaf, What};
use mufakat_formats::{Bundle, ProvenLeaf, verify};
use mufakat_ledger::{Hash, Signer, leaf_hash};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::report::Report;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, Digest, Draft, Handling, Header, RecordId, Relation, SigningKey, Tlp};
use serde_json::{Value, json};

use super::community::{Agency, NOW, Register, name, refers, salt, seed, version_1, version_3};
use super::ledger::checkpoint;
use super::records::{plain_report, sign_raw};
use super::{flipped, position, tree};

/// What a bundle is made from. Each part can be replaced before the proofs are made, which then are good for it.
struct Case {
    register: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    key_sets: Vec<Vec<u8>>,
    record: Vec<u8>,
    holder: AgencyId,
    log: Signer,
    cosigners: Vec<(Signer, u64)>,
    receipts: Vec<Vec<u8>>,
    related: Vec<Vec<u8>>,
    leaves: Vec<Leaf>,
}

struct Cast {
    vn: Agency,
    ru: Agency,
    sg: Agency,
}

fn leaf(what: What, record: &[u8], detail: &[u8], n: u64) -> Leaf {
    Leaf::about(what, &RecordId::of(record), NOW * 1000 + n * 250, detail, salt(&format!("evidence {n}")))
}

/// The index of the n-th proven leaf; others stand between.
fn index(n: usize) -> usize {
    3 * n + 2
}

impl Case {
    /// The bundle with its proofs.
    fn build(&self) -> Bundle {
        let size = index(self.leaves.len()) + 2;
        let mut tree: Vec<Hash> = (0..size).map(|i| leaf_hash(&seed(&format!("other leaf {i}")))).collect();
        for (n, leaf) in self.leaves.iter().enumerate() {
            tree[index(n)] = leaf.hash();
        }
        let proven = |(n, leaf): (usize, &Leaf)| ProvenLeaf {
            index: index(n) as u64,
            leaf: leaf.clone(),
            proof: tree::inclusion(index(n), &tree),
        };
        Bundle {
            register: self.register.clone(),
            key_sets: self.key_sets.clone(),
            record: self.record.clone(),
            holder: self.holder.clone(),
            checkpoint: checkpoint(&self.log, size as u64, tree::root(&tree), &self.cosigners),
            leaves: self.leaves.iter().enumerate().map(proven).collect(),
            receipts: self.receipts.clone(),
            related: self.related.clone(),
        }
    }
}

impl Cast {
    fn new() -> Self {
        let [vn, ru, sg] = ["vn-police", "ru-police", "sg-fusion"].map(Agency::new);
        Self { vn, ru, sg }
    }

    fn report(&self) -> Vec<u8> {
        let mut header = self.vn.header("");
        header.handling = Handling { orcon: Some(true), ..Handling::with(Tlp::Amber) };
        header.expires = Some(NOW + 86_400);
        self.vn.sign(header, &plain_report("what it is all about"))
    }

    fn receipt(&self, by: &Agency, record: &[u8], rejected: Option<&str>) -> Receipt {
        let entry = |position, record| Entry {
            position,
            record,
            rejected: rejected.map(Into::into),
            at_ms: NOW * 1000 + 400 + position,
            index: 70 + position,
            salt: salt(&format!("{} {position}", by.id)),
        };
        let entries = vec![entry(4, RecordId(seed("another record"))), entry(5, RecordId::of(record))];
        Receipt { epoch: 1, ledger: by.origin(), entries }
    }

    fn to_author(&self, by: &Agency) -> Header {
        Header { audience: vec![self.vn.id.clone()], ..by.header("") }
    }

    fn retract(&self, by: &Agency, record: &[u8]) -> Vec<u8> {
        let header = Header { references: refers(Relation::Retracts, record), ..by.header("") };
        by.sign(header, &Retraction { reason: "EXERCISE mistaken".into(), carries: None })
    }

    fn correct(&self, by: &Agency, record: &[u8]) -> Vec<u8> {
        let header = Header { references: refers(Relation::Corrects, record), ..by.header("") };
        by.sign(header, &Correction { reason: "EXERCISE".into(), report: plain_report("as it should have been") })
    }

    fn answer(&self, by: &Agency, to: &[u8]) -> Vec<u8> {
        let header = Header { references: refers(Relation::Answers, to), ..self.to_author(by) };
        by.sign(header, &Answer { action: Action::Deleted, reason: None, at: NOW + 1 })
    }

    /// Evidence from the author: two receipts, a retraction and an answer to it.
    fn told(&self) -> Case {
        let Self { vn, ru, sg } = self;
        let record = self.report();
        let receipts = vec![
            ru.sign(self.to_author(ru), &self.receipt(ru, &record, None)),
            sg.sign(self.to_author(sg), &self.receipt(sg, &record, Some("unknown-register"))),
        ];
        let retraction = self.retract(vn, &record);
        let answer = self.answer(ru, &retraction);
        let leaves = vec![
            leaf(What::Authored, &record, &seed("policy"), 0),
            leaf(What::Receipt, &receipts[0], b"", 1),
            leaf(What::Receipt, &receipts[1], b"", 2),
            leaf(What::Authored, &retraction, &seed("policy"), 3),
            leaf(What::Received, &answer, b"", 4),
        ];
        Case {
            register: Register::whole().parts,
            key_sets: [ru, sg, vn].map(|agency| agency.key_set(&agency.keys())).into(),
            record,
            holder: vn.id.clone(),
            log: vn.log(),
            cosigners: vec![(ru.cosigner(), NOW + 30), (sg.cosigner(), NOW + 31)],
            receipts,
            related: vec![retraction, answer],
            leaves,
        }
    }

    /// Evidence from a recipient that has the record and nothing more; one witness was away.
    fn received(&self) -> Case {
        let record = self.report();
        Case {
            holder: self.ru.id.clone(),
            log: self.ru.log(),
            cosigners: vec![(self.vn.cosigner(), NOW + 40)],
            receipts: Vec::new(),
            related: Vec::new(),
            leaves: vec![leaf(What::Received, &record, b"", 9)],
            record,
            ..self.told()
        }
    }

    /// The version that removes one of the recipients.
    fn third_version(&self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let version = version_3();
        (version.to_body(), vec![self.ru.approve(&version), self.vn.approve(&version)])
    }

    /// The author's key set in another state.
    fn with_keys(&self, case: &mut Case, change: impl FnOnce(&mut KeySet)) {
        let mut set = self.vn.keys();
        change(&mut set);
        case.key_sets[2] = self.vn.key_set(&set);
    }
}

/// Puts another record in the place of one, together with its leaf.
fn replace(case: &mut Case, n: usize, bytes: Vec<u8>) {
    case.leaves[n].subject = Digest(RecordId::of(&bytes).0);
    let receipts = case.receipts.len();
    match n {
        0 => case.record = bytes,
        n if n <= receipts => case.receipts[n - 1] = bytes,
        n => case.related[n - 1 - receipts] = bytes,
    }
}

pub(crate) fn bundles() -> Value {
    let cast = Cast::new();
    let root = version_1().hash();
    let mut vectors = Vec::new();
    let mut good: Vec<Vec<u8>> = Vec::new();
    for (title, case) in good_cases(&cast) {
        let bytes = case.build().encode();
        let statement = verify(&bytes, Some(root)).expect(title);
        let mut vector =
            json!({"name": title, "expected_root": root.to_string(), "expect": "ok", "statement": statement});
        match good.first() {
            None => vector["bytes"] = json!(hex::encode(&bytes)),
            Some(told) => vector["change"] = pieces("told by the author", told, &bytes),
        }
        vectors.push(vector);
        good.push(bytes);
    }
    let told = &good[0];
    vectors.push(json!({
        "name": "told to one who expects no root", "expected_root": null, "expect": "ok",
        "statement": verify(told, None).expect("a good bundle"), "change": pieces("told by the author", told, told),
    }));
    let mut bad = |title: &str, bytes: Vec<u8>, part: &str| {
        vectors.push(json!({
            "name": title, "expected_root": root.to_string(), "expect": part,
            "change": pieces("told by the author", told, &bytes),
        }));
    };
    for (title, bytes, part) in changed_bytes(&cast, told) {
        bad(&title, bytes, &part);
    }
    for (title, bytes, part) in wrong_forms(&cast) {
        bad(title, bytes, part);
    }
    for (title, case, part) in wrong_objects(&cast) {
        bad(title, case.build().encode(), part);
    }
    for (title, bundle, part) in wrong_proofs(&cast) {
        bad(title, bundle.encode(), part);
    }
    let elsewhere = Digest(seed("another community"));
    vectors.push(json!({
        "name": "another community than the one expected", "expected_root": elsewhere.to_string(),
        "expect": "register[1]", "change": pieces("told by the author", told, told),
    }));
    json!({
        "about": "Evidence bundles (section 14). `expect` is `ok` or the part that the refusal names. `change` in place of \
                  `bytes`: joined `pieces`, each of which is hexadecimal or, as a pair, from where to before where to copy \
                  from the bytes of the vector named `of`.",
        "vectors": vectors,
    })
}

/// How long a stretch must be to be told as taken from the other bytes.
const STRETCH_MIN: usize = 24;

/// Bytes told as stretches of others, with what is new between them in hexadecimal.
fn pieces(of: &str, base: &[u8], bytes: &[u8]) -> Value {
    let mut places = BTreeMap::new();
    for (at, window) in base.windows(STRETCH_MIN).enumerate() {
        places.entry(window).or_insert(at);
    }
    let (mut pieces, mut new, mut at) = (Vec::new(), Vec::new(), 0);
    while at < bytes.len() {
        let found = bytes.get(at..at + STRETCH_MIN).and_then(|window| places.get(window));
        let Some(from) = found.copied() else {
            new.push(bytes[at]);
            at += 1;
            continue;
        };
        let length = base[from..].iter().zip(&bytes[at..]).take_while(|(a, b)| a == b).count();
        if !new.is_empty() {
            pieces.push(json!(hex::encode(std::mem::take(&mut new))));
        }
        pieces.push(json!([from, from + length]));
        at += length;
    }
    if !new.is_empty() {
        pieces.push(json!(hex::encode(new)));
    }
    json!({"of": of, "pieces": pieces})
}

fn good_cases(cast: &Cast) -> Vec<(&'static str, Case)> {
    let (vn, ru) = (&cast.vn, &cast.ru);
    let mut later = cast.told();
    // The key was revoked after the last of its records had come into the ledger.
    cast.with_keys(&mut later, |set| set.signing[0].revoked = Some(NOW + 2));
    let mut corrected = cast.told();
    let correction = cast.correct(vn, &corrected.record);
    let answer = cast.answer(ru, &correction);
    replace(&mut corrected, 3, correction);
    replace(&mut corrected, 4, answer);
    let mut removed = cast.told();
    removed.register.push(cast.third_version());
    let mut unknown = cast.received();
    let header = Draft { header: vn.header("request/v2"), body: vec![0x80] };
    replace(&mut unknown, 0, header.sign(&vn.signing).expect("a record").into_bytes());
    let mut rejected = cast.received();
    rejected.leaves[0].detail = b"expired".to_vec();
    vec![
        ("told by the author", cast.told()),
        ("told by a recipient, one witness away", cast.received()),
        ("signing key revoked later", later),
        ("corrected and answered", corrected),
        ("a kind that is not known", unknown),
        ("a recipient removed later", removed),
        ("rejected by the holder", rejected),
    ]
}

/// The good bundle with one bit changed somewhere in each part.
fn changed_bytes(cast: &Cast, told: &[u8]) -> Vec<(String, Vec<u8>, String)> {
    let case = cast.told();
    let bundle = case.build();
    let mut all = Vec::new();
    let mut add = |title: &str, at: usize, part: String| {
        all.push((format!("a bit changed in {title}"), flipped(told, at), part));
    };
    add("the format's name", position(told, b"mufakat evidence 1"), "format".into());
    for (i, (body, approvals)) in bundle.register.iter().enumerate() {
        let part = format!("register[{}]", i + 1);
        add(&format!("register version {}", i + 1), position(told, body) + 8, part.clone());
        for (n, approval) in approvals.iter().enumerate() {
            add(
                &format!("approval {n} of version {}", i + 1),
                position(told, approval) + approval.len() - 1,
                part.clone(),
            );
        }
    }
    for (record, agency) in bundle.key_sets.iter().zip(["ru-police", "sg-fusion", "vn-police"]) {
        let at = position(told, record) + record.len() / 2;
        add(&format!("the key set of {agency}"), at, format!("key-set[{agency}]"));
    }
    let record = position(told, &bundle.record);
    add("the record's signature", record + bundle.record.len() - 1, "record".into());
    add("the record's body", record + position(&bundle.record, b"what it is"), "record".into());
    add("the record's handling", record + position(&bundle.record, &[0x04, 0xa2, 0x01, 0x02]) + 3, "record".into());
    let note = position(told, bundle.checkpoint.as_bytes());
    // Letters of which the next in the alphabet differs by the lowest bit, so that base64 stays base64.
    let letter = |from: usize| (from..).find(|at| b"BDFHJLNPRTVXacegikmoqsuw".contains(&told[*at])).expect("a letter");
    let lines: Vec<usize> = std::iter::once(0)
        .chain(bundle.checkpoint.match_indices('\n').map(|(at, _)| at + 1))
        .map(|at| note + at)
        .collect();
    add("the checkpoint's size", lines[1] + 1, "checkpoint".into());
    add("the checkpoint's root", letter(lines[2] + 5), "checkpoint".into());
    add("the ledger's signature", letter(lines[4] + 60), "checkpoint".into());
    add("the first cosignature", letter(lines[5] + 80), "cosignatures".into());
    add("the second cosignature", letter(lines[6] + 80), "cosignatures".into());
    add("a witness's name", lines[6] + 15, "cosignatures".into());
    for (i, proven) in bundle.leaves.iter().enumerate() {
        let salt = position(told, &proven.leaf.salt);
        add(&format!("the salt of leaf {i}"), salt, format!("leaf[{i}]"));
        add(&format!("the index of leaf {i}"), salt - 2, format!("leaf[{i}]"));
    }
    let first = position(told, &bundle.leaves[0].leaf.salt);
    add("the time of leaf 0", first + 16 + 9, "leaf[0]".into());
    add("the detail of leaf 0", position(told, &bundle.leaves[0].leaf.detail), "leaf[0]".into());
    add("the proof of leaf 0", position(told, bundle.leaves[0].proof[0].as_ref()), "leaf[0]".into());
    for (i, receipt) in bundle.receipts.iter().enumerate() {
        add(&format!("receipt {i}"), position(told, receipt) + receipt.len() - 70, format!("receipt[{i}]"));
    }
    for (i, related) in bundle.related.iter().enumerate() {
        add(&format!("related record {i}"), position(told, related) + related.len() - 1, format!("related[{i}]"));
    }
    all
}

fn wrong_forms(cast: &Cast) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let told = cast.told().build();
    let bytes = told.encode();
    let with = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = told.clone();
        change(&mut bundle);
        bundle.encode()
    };
    let mut one_more = [&bytes[..], &[0x0a, 0x01]].concat();
    one_more[0] += 1;
    vec![
        ("nothing", Vec::new(), "format"),
        ("one byte too few", bytes[..bytes.len() - 1].to_vec(), "format"),
        ("one byte too many", [&bytes[..], b"\0"].concat(), "format"),
        ("an entry more", one_more, "format"),
        ("no register", with(&|b| b.register.clear()), "format"),
        ("no key sets", with(&|b| b.key_sets.clear()), "format"),
        ("a leaf too few", with(&|b| drop(b.leaves.pop())), "format"),
        ("a leaf too many", with(&|b| b.leaves.push(b.leaves[0].clone())), "format"),
        ("no leaves", with(&|b| b.leaves.clear()), "format"),
        ("a detail of 1,025 bytes", with(&|b| b.leaves[0].leaf.detail = vec![7; 1025]), "format"),
        ("a proof of 65 hashes", with(&|b| b.leaves[0].proof = vec![b.leaves[0].proof[0]; 65]), "format"),
        ("a receipt without its leaf", with(&|b| b.receipts.push(b.receipts[0].clone())), "format"),
        ("a key set that is no record", with(&|b| b.key_sets[1].truncate(9)), "key-set[1]"),
        ("a receipt that is no record", with(&|b| b.receipts[1].truncate(9)), "receipt[1]"),
        ("a related record that is none", with(&|b| b.related[0].truncate(9)), "related[0]"),
        ("the record missing", with(&|b| b.record.clear()), "record"),
        ("the checkpoint missing", with(&|b| b.checkpoint.clear()), "checkpoint"),
    ]
}

/// Bundles in which everything is signed and proven, but something is not what it stands for.
fn wrong_objects(cast: &Cast) -> Vec<(&'static str, Case, &'static str)> {
    let Cast { vn, ru, sg } = cast;
    let mut all = Vec::new();
    let mut add = |title: &'static str, part: &'static str, change: &dyn Fn(&mut Case)| {
        let mut case = cast.told();
        change(&mut case);
        all.push((title, case, part));
    };
    let outsider = Agency::new("xx-police");
    let other = vn.sign(vn.header(""), &plain_report("something else"));
    let revoked_at = |since| move |set: &mut KeySet| set.signing[0].revoked = Some(since);

    add("version 2 not approved", "register[2]", &|c| c.register[1].1.clear());
    add("the founding version not there", "register[1]", &|c| drop(c.register.remove(0)));
    add("version 2 not there", "key-set[sg-fusion]", &|c| drop(c.register.pop()));
    add("version 2 not there, nor who joined with it", "record", &|c| {
        c.register.pop();
        c.key_sets.remove(1);
    });
    add("key set of an agency that is not in the register", "key-set[xx-police]", &|c| {
        c.key_sets.push(outsider.key_set(&outsider.keys()));
    });
    add("key set signed with the signing key", "key-set[vn-police]", &|c| {
        let header = Header { key: vn.signing.id(), ..vn.header(KeySet::KIND) };
        c.key_sets[2] = sign_raw(&header.encode(), &vn.keys().to_body(), &vn.signing);
    });
    add("an approval in the place of a key set", "key-set[vn-police]", &|c| c.key_sets[2] = vn.approve(&version_1()));
    add("key sets out of order", "key-set[ru-police]", &|c| c.key_sets.swap(0, 1));
    add("a key set twice", "key-set[vn-police]", &|c| c.key_sets.push(c.key_sets[2].clone()));
    add("no key set of the author", "record", &|c| drop(c.key_sets.pop()));
    add("no key set of a recipient that gave a receipt", "receipt[1]", &|c| {
        c.key_sets.remove(1);
        c.cosigners.pop();
    });
    add("no key set of a witness", "cosignatures", &|c| {
        c.key_sets.remove(1);
        c.receipts.pop();
        c.leaves.remove(2);
    });

    add("another record of the author, with its leaf", "receipt[0]", &|c| replace(c, 0, other.clone()));
    add("another record of the author, with the leaf of this one", "leaf[0]", &|c| {
        c.record = other.clone();
        c.receipts.clear();
        c.related.clear();
        c.leaves.truncate(1);
    });
    add("signed by an outsider", "record", &|c| {
        replace(c, 0, outsider.sign(outsider.header(""), &plain_report("by an outsider")));
    });
    add("signed by another agency in the author's name", "record", &|c| {
        let header = Header { key: ru.signing.id(), ..vn.header(Report::KIND) };
        replace(c, 0, sign_raw(&header.encode(), &plain_report("forged").to_body(), &ru.signing));
    });
    add("signed with a key that is not in the set", "record", &|c| {
        let key = SigningKey::from_seed(&seed("thief"));
        let header = Header { key: key.id(), ..vn.header(Report::KIND) };
        replace(c, 0, sign_raw(&header.encode(), &plain_report("forged").to_body(), &key));
    });
    add("signed with the identity key", "record", &|c| {
        replace(c, 0, vn.sign_as_identity(vn.header(""), &plain_report("by the wrong key")));
    });
    add("body that is not of its kind", "record", &|c| {
        let header = Header { key: vn.signing.id(), ..vn.header(Report::KIND) };
        replace(c, 0, sign_raw(&header.encode(), &[0x80], &vn.signing));
    });
    add("audience chosen under a register that is not there", "record", &|c| {
        let header = Header { register: Digest(seed("no register")), ..vn.header("") };
        replace(c, 0, vn.sign(header, &plain_report("elsewhere")));
    });
    add("author not yet in the register that the record names", "record", &|c| {
        let header = Header { register: version_1().hash(), ..sg.header("") };
        replace(c, 0, sg.sign(header, &plain_report("too early")));
    });
    add("author removed in the register that the record names", "record", &|c| {
        c.register.push(cast.third_version());
        let header = Header { register: version_3().hash(), ..sg.header("") };
        replace(c, 0, sg.sign(header, &plain_report("too late")));
        (c.leaves[0].what, c.leaves[0].detail) = (What::Received, Vec::new());
        c.receipts.clear();
        c.related.clear();
        c.leaves.truncate(1);
    });
    add("signed before the key was valid", "record", &|c| cast.with_keys(c, |set| set.signing[0].from = NOW + 1));
    add("signed after the key was valid", "record", &|c| cast.with_keys(c, |set| set.signing[0].until = NOW - 1));
    add("in the ledger when the key was revoked", "record", &|c| cast.with_keys(c, revoked_at(NOW)));
    add("retracted with a key that was revoked by then", "related[0]", &|c| {
        // The record's leaf is a second older than the retraction's.
        c.leaves[0].at_ms = (NOW - 1) * 1000;
        cast.with_keys(c, revoked_at(NOW));
    });

    add("a holder that has nothing to do with it", "checkpoint", &|c| {
        let header = Header { audience: vec![sg.id.clone()], ..vn.header("") };
        replace(c, 0, vn.sign(header, &plain_report("for another")));
        (c.holder, c.log, c.cosigners) = (ru.id.clone(), ru.log(), Vec::new());
    });
    add("a holder without a key set", "checkpoint", &|c| {
        c.key_sets.remove(0);
        (c.holder, c.log, c.cosigners) = (ru.id.clone(), ru.log(), Vec::new());
    });
    add("the checkpoint of another agency's ledger", "checkpoint", &|c| c.log = ru.log());
    add("a checkpoint signed with another key", "checkpoint", &|c| {
        c.log = Signer::from_seed(&vn.origin(), mufakat_ledger::Algorithm::Ed25519, &ru.ledger).expect("a seed");
    });
    add("a ledger in another agency's name", "key-set[vn-police]", &|c| {
        cast.with_keys(c, |set| set.ledger_origin = ru.origin());
        c.log = Signer::from_seed(&ru.origin(), mufakat_ledger::Algorithm::Ed25519, &vn.ledger).expect("a seed");
    });
    add("a ledger with a name that is none", "key-set[vn-police]", &|c| {
        let origin = "mufakat/vn-police/01";
        cast.with_keys(c, |set| set.ledger_origin = origin.into());
        c.log = Signer::from_seed(origin, mufakat_ledger::Algorithm::Ed25519, &vn.ledger).expect("a seed");
    });
    add("a checkpoint of an earlier ledger of the holder", "checkpoint", &|c| {
        cast.with_keys(c, |set| set.ledger_origin = "mufakat/vn-police/2".into());
    });
    add("cosigned by the holder itself", "cosignatures", &|c| c.cosigners[0] = (vn.cosigner(), NOW + 30));
    add("cosigned by a stranger", "cosignatures", &|c| c.cosigners.push((outsider.cosigner(), NOW + 30)));
    add("cosigned twice by one", "cosignatures", &|c| c.cosigners.push((ru.cosigner(), NOW + 32)));
    add("cosigned with another agency's key", "cosignatures", &|c| {
        let name = "mufakat/ru-police/witness";
        c.cosigners[0].0 =
            Signer::from_seed(name, mufakat_ledger::Algorithm::Cosignature, &sg.witness).expect("a seed");
    });

    add("the record's leaf is about another record", "leaf[0]", &|c| c.leaves[0].subject = Digest(seed("another")));
    add("the record's leaf says received", "leaf[0]", &|c| {
        (c.leaves[0].what, c.leaves[0].detail) = (What::Received, Vec::new());
    });
    add("the record's leaf says used", "leaf[0]", &|c| c.leaves[0].what = What::Use);
    add("a policy hash of 31 bytes", "leaf[0]", &|c| c.leaves[0].detail.truncate(31));
    add("the receipts' leaves exchanged", "leaf[1]", &|c| c.leaves.swap(1, 2));
    add("a receipt's leaf says authored", "leaf[1]", &|c| c.leaves[1].what = What::Authored);
    add("a receipt's leaf with a detail", "leaf[2]", &|c| c.leaves[2].detail = b"expired".to_vec());
    add("the retraction's leaf says received", "leaf[3]", &|c| {
        (c.leaves[3].what, c.leaves[3].detail) = (What::Received, Vec::new());
    });
    add("the answer was rejected", "leaf[4]", &|c| c.leaves[4].detail = b"expired".to_vec());

    let receipt = |by: &Agency, body: &Receipt| by.sign(cast.to_author(by), body);
    add("a receipt for another record", "receipt[0]", &|c| {
        replace(c, 1, receipt(ru, &cast.receipt(ru, &other, None)));
    });
    add("a receipt by the author itself", "receipt[0]", &|c| {
        replace(c, 1, receipt(vn, &cast.receipt(vn, &c.record, None)));
    });
    add("a receipt by one outside the audience", "receipt[1]", &|c| {
        let header = Header { audience: vec![ru.id.clone()], ..vn.header("") };
        replace(c, 0, vn.sign(header, &plain_report("for one")));
        replace(c, 1, receipt(ru, &cast.receipt(ru, &c.record, None)));
        replace(c, 2, receipt(sg, &cast.receipt(sg, &c.record, None)));
    });
    add("a receipt to another agency", "receipt[0]", &|c| {
        let header = Header { audience: vec![sg.id.clone()], ..ru.header("") };
        replace(c, 1, ru.sign(header, &cast.receipt(ru, &c.record, None)));
    });
    add("a receipt with another agency's ledger", "receipt[0]", &|c| {
        let body = Receipt { ledger: sg.origin(), ..cast.receipt(ru, &c.record, None) };
        replace(c, 1, receipt(ru, &body));
    });
    add("a receipt that rejects for no reason", "receipt[0]", &|c| {
        replace(c, 1, receipt(ru, &cast.receipt(ru, &c.record, Some("No reason"))));
    });
    add("a report in the place of a receipt", "receipt[0]", &|c| {
        replace(c, 1, ru.sign(cast.to_author(ru), &plain_report("no receipt")));
    });

    add("a retraction of another record", "related[0]", &|c| replace(c, 3, cast.retract(vn, &other)));
    add("a retraction by a recipient", "related[0]", &|c| {
        replace(c, 3, cast.retract(ru, &c.record));
        (c.leaves[3].what, c.leaves[3].detail) = (What::Received, Vec::new());
    });
    add("a correction of another record", "related[0]", &|c| replace(c, 3, cast.correct(vn, &other)));
    add("a correction by a recipient", "related[0]", &|c| {
        replace(c, 3, cast.correct(ru, &c.record));
        (c.leaves[3].what, c.leaves[3].detail) = (What::Received, Vec::new());
    });
    add("an answer to another retraction", "related[1]", &|c| {
        replace(c, 4, cast.answer(ru, &cast.retract(vn, &other)));
    });
    add("an answer to the record itself", "related[1]", &|c| replace(c, 4, cast.answer(ru, &c.record)));
    add("an answer to an answer", "related[1]", &|c| {
        let answer = cast.answer(ru, &c.related[0]);
        replace(c, 4, cast.answer(ru, &answer));
    });
    add("an answer to an answer that is there", "related[2]", &|c| {
        c.related.push(cast.answer(sg, &c.related[1]));
        c.leaves.push(leaf(What::Received, &c.related[2], b"", 5));
    });
    add("an answer before what it answers", "related[0]", &|c| {
        c.related.swap(0, 1);
        c.leaves.swap(3, 4);
    });
    add("an answer by one outside the audience", "related[1]", &|c| {
        replace(c, 4, cast.answer(vn, &c.related[0]));
        (c.leaves[4].what, c.leaves[4].detail) = (What::Authored, Vec::new());
    });
    add("a report as related record", "related[0]", &|c| replace(c, 3, other.clone()));
    all
}

/// The good bundle with proofs, leaves or cosignatures of other things.
fn wrong_proofs(cast: &Cast) -> Vec<(&'static str, Bundle, &'static str)> {
    let told = cast.told().build();
    let mut all = Vec::new();
    let mut add = |title: &'static str, part: &'static str, change: &dyn Fn(&mut Bundle)| {
        let mut bundle = told.clone();
        change(&mut bundle);
        all.push((title, bundle, part));
    };
    let mut larger = cast.told();
    larger.leaves.push(larger.leaves[0].clone());
    let larger = larger.build().checkpoint;
    let with_lines = |bundle: &Bundle, text: &str, note: &str| {
        let (_, signatures) = note.split_once("\n\n").expect("a note");
        let own = bundle.checkpoint.lines().nth(4).expect("the ledger's line");
        let cosignatures: Vec<&str> = signatures.lines().skip(1).collect();
        format!("{text}\n{own}\n{}\n", cosignatures.join("\n"))
    };
    add("the checkpoint of a larger tree", "leaf[0]", &|b| b.checkpoint = larger.clone());
    add("cosignatures of another checkpoint", "cosignatures", &|b| {
        let (text, _) = b.checkpoint.split_once("\n\n").expect("a note");
        b.checkpoint = with_lines(b, &format!("{text}\n"), &larger);
    });
    add("the ledger's signature twice", "cosignatures", &|b| {
        let own = b.checkpoint.lines().nth(4).expect("the ledger's line").to_owned();
        b.checkpoint.push_str(&format!("{own}\n"));
    });
    add("signatures of another checkpoint", "checkpoint", &|b| {
        let (_, signatures) = larger.split_once("\n\n").expect("a note");
        let (text, _) = b.checkpoint.split_once("\n\n").expect("a note");
        b.checkpoint = format!("{text}\n\n{signatures}");
    });
    add("another leaf's proof", "leaf[0]", &|b| b.leaves[0].proof = b.leaves[1].proof.clone());
    add("another leaf's place", "leaf[0]", &|b| {
        (b.leaves[0].index, b.leaves[0].proof) = (b.leaves[1].index, b.leaves[1].proof.clone());
    });
    add("a place beyond the tree", "leaf[0]", &|b| b.leaves[0].index = 1 << 40);
    add("no proof", "leaf[2]", &|b| b.leaves[2].proof.clear());
    add("a holder that did not sign the checkpoint", "checkpoint", &|b| b.holder = name("ru-police"));
    all
}
