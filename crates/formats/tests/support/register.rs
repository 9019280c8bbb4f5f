//! Vectors for the register and for key sets.

use mufakat_exchange::Chain;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::key_set::{KeySet, Sealing};
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{Digest, Header, SigningKey};
use serde_json::{Value, json};

use super::community::{Agency, NOW, Register, follow, name, seed, version_1, version_2, version_3};
use super::records::sign_raw;
use super::{flipped, position};

type Part = (Vec<u8>, Vec<Vec<u8>>);

pub(crate) fn to_json(parts: &[Part]) -> Value {
    let part = |(version, approvals): &Part| json!({"version": hex::encode(version), "approvals": approvals.iter().map(hex::encode).collect::<Vec<_>>()});
    parts.iter().map(part).collect()
}

/// A version with approvals.
fn approved(version: &RegisterVersion, by: &[&Agency]) -> Part {
    (version.to_body(), by.iter().map(|agency| agency.approve(version)).collect())
}

fn changed(version: &RegisterVersion, change: impl FnOnce(&mut RegisterVersion)) -> RegisterVersion {
    let mut version = version.clone();
    change(&mut version);
    version
}

pub(crate) fn chains() -> Value {
    let [vn, ru, sg] = ["vn-police", "ru-police", "sg-fusion"].map(Agency::new);
    let (one, two, three) = (version_1(), version_2(), version_3());
    let first = || approved(&one, &[&ru, &vn]);
    let second = || approved(&two, &[&ru, &vn]);
    let third = || approved(&three, &[&ru, &sg]);
    let good = |title: &str, parts: Vec<Part>| {
        let chain = Chain::verify(&parts).expect("a good chain");
        let hashes: Vec<_> = chain.versions().iter().map(|enacted| enacted.hash.to_string()).collect();
        json!({
            "name": title, "chain": to_json(&parts), "expect": "ok", "hashes": hashes,
            "fingerprint": chain.fingerprint().to_string(),
        })
    };
    // `at` is the number that the refused version ought to have.
    let bad = |title: &str, parts: Vec<Part>, expect: &str| json!({"name": title, "chain": to_json(&parts), "expect": expect, "at": parts.len()});
    let first_changed = |change: &dyn Fn(&mut RegisterVersion)| {
        let mut version = one.clone();
        change(&mut version);
        vec![approved(&version, &[&ru, &vn])]
    };
    let then = |change: &dyn Fn(&mut RegisterVersion)| {
        let mut version = follow(&two);
        change(&mut version);
        vec![first(), second(), approved(&version, &[&ru, &vn])]
    };
    let then_by = |version: &RegisterVersion, approvals: Vec<Vec<u8>>| vec![first(), (version.to_body(), approvals)];
    let stranger = |agency: &Agency, version: &RegisterVersion, key: &SigningKey| {
        let header = Header { key: key.id(), ..agency.header(RegisterApproval::KIND) };
        let body = RegisterApproval { version: version.version, hash: version.hash() }.to_body();
        sign_raw(&header.encode(), &body, key)
    };
    let other_word = |agency: &Agency, number: u64, hash: Digest| {
        agency.sign_as_identity(agency.header(""), &RegisterApproval { version: number, hash })
    };
    let fork = changed(&two, |v| v.expires += 1);
    let returned = changed(&follow(&three), |v| v.agencies[1].removed = None);
    let moved = changed(&follow(&three), |v| v.agencies[1].removed = Some(NOW + 1));
    let after_three = |version: &RegisterVersion| vec![first(), second(), third(), approved(version, &[&ru, &vn])];
    let rekeyed = changed(&follow(&two), |v| {
        v.agencies[2].identity = Digest(*SigningKey::from_seed(&seed("vn-police identity 2")).public().as_bytes());
    });
    let approval = vn.approve(&two);
    json!({
        "about": "Chains of register versions with their approvals (section 10). `at` is the number that the refused version \
                  ought to have.",
        "vectors": [
            good("founded", vec![first()]),
            good("one joins", vec![first(), second()]),
            good("one is removed", vec![first(), second(), third()]),
            good("one party approves twice and another once", then_by(&two, vec![vn.approve(&two), ru.approve(&two), vn.approve(&two)])),
            good("an identity key is changed", vec![first(), second(), approved(&rekeyed, &[&ru, &vn])]),
            bad("founded by one of two", vec![approved(&one, &[&ru])], "too-few-approvals"),
            bad("founded as version 2", vec![approved(&two, &[&ru, &vn])], "bad-register"),
            bad("founded with an agency removed", first_changed(&|v| {
                let mut gone = Agency::new("id-police").listed();
                gone.removed = Some(NOW);
                v.agencies.insert(0, gone);
            }), "bad-register"),
            bad("founded with nobody's threshold", first_changed(&|v| v.threshold = 0), "bad-register"),
            bad("founded for no time", first_changed(&|v| v.expires = v.issued_at), "bad-register"),
            bad("founded with an agency that has no endpoint", first_changed(&|v| v.agencies[1].endpoint.clear()), "bad-register"),
            bad("body with a byte behind", vec![([&first().0[..], b"\0"].concat(), first().1)], "trailing-bytes"),
            bad("body that is something else", vec![(vec![0xa0], first().1)], "malformed"),
            bad("one approval of two", then_by(&two, vec![vn.approve(&two)]), "too-few-approvals"),
            bad("one party's approval twice", then_by(&two, vec![vn.approve(&two), vn.approve(&two)]), "too-few-approvals"),
            bad("approved by one that joins with it", then_by(&two, vec![vn.approve(&two), sg.approve(&two)]), "author-not-in-register"),
            bad("approved with the signing key", then_by(&two, vec![ru.approve(&two), stranger(&vn, &two, &vn.signing)]), "unknown-key"),
            bad("approval with a bit changed", then_by(&two, vec![ru.approve(&two), flipped(&approval, approval.len() - 1)]), "wrong-signature"),
            bad("a bad approval beside enough good ones", then_by(&two, vec![ru.approve(&two), vn.approve(&two), flipped(&approval, approval.len() - 1)]), "wrong-signature"),
            bad("approval of another version", then_by(&two, vec![ru.approve(&two), vn.approve(&fork)]), "bad-register"),
            bad("approval with another number", then_by(&two, vec![ru.approve(&two), other_word(&vn, 3, two.hash())]), "bad-register"),
            bad("a key set as approval", then_by(&two, vec![ru.approve(&two), vn.key_set(&vn.keys())]), "body-not-of-kind"),
            bad("approval cut short", then_by(&two, vec![ru.approve(&two), approval[..approval.len() - 1].to_vec()]), "truncated"),
            bad("version changed after the approvals", vec![first(), {
                let (body, approvals) = second();
                let at = position(&body, b"EXERCISE sg-fusion");
                (flipped(&body, at), approvals)
            }], "bad-register"),
            bad("rolled back to version 1", vec![first(), second(), first()], "stale"),
            bad("version 2 again", vec![first(), second(), second()], "stale"),
            bad("another version 2", vec![first(), second(), approved(&fork, &[&ru, &vn])], "stale"),
            bad("a number left out", then(&|v| v.version = 4), "bad-register"),
            bad("follows another version", then(&|v| v.previous = Some(fork.hash())), "bad-register"),
            bad("another community", then(&|v| v.community = "EXERCISE other".into()), "bad-register"),
            bad("drawn up before the one before", then(&|v| v.issued_at = two.issued_at - 1), "bad-register"),
            bad("an agency forgotten", then(&|v| {
                v.agencies.remove(1);
                v.parties.remove(1);
            }), "bad-register"),
            bad("a removed agency comes back", after_three(&changed(&returned, |v| v.parties.insert(1, sg.voice()))), "bad-register"),
            bad("a removal moved", after_three(&moved), "bad-register"),
            bad("approved by one that was removed", vec![first(), second(), third(), {
                let four = follow(&three);
                (four.to_body(), vec![ru.approve(&four), sg.approve(&four)])
            }], "author-not-in-register"),
        ],
    })
}

pub(crate) fn key_sets() -> Value {
    let [vn, ru] = ["vn-police", "ru-police"].map(Agency::new);
    let register = Register::whole();
    let with = |change: &dyn Fn(&mut KeySet)| {
        let mut set = vn.keys();
        change(&mut set);
        // Signing does not check the body, so unsound ones can be signed, too.
        vn.key_set(&set)
    };
    let first = vn.key_set(&vn.keys());
    let second = with(&|set| {
        set.serial = 2;
        set.signing[0].until = NOW;
        let next = SigningKey::from_seed(&seed("vn-police signing 2"));
        set.signing.push(Agency::signing_entry(&next, NOW, NOW + 1_000_000, None));
    });
    let later_suite =
        with(&|set| set.sealing.push(Sealing { suite: 2, key: vec![1, 2, 3], from: NOW, until: NOW + 1 }));
    let header = |agency: &Agency, key: &SigningKey| Header { key: key.id(), ..agency.header(KeySet::KIND) };
    let by_signing_key = sign_raw(&header(&vn, &vn.signing).encode(), &vn.keys().to_body(), &vn.signing);
    let outsider = Agency::new("xx-police");
    let by_outsider = outsider.key_set(&outsider.keys());
    let for_another = Header { author: name("ru-police"), ..header(&vn, &vn.identity) };
    let for_another = sign_raw(&for_another.encode(), &vn.keys().to_body(), &vn.identity);
    let zeros = [0; 32];
    let case = |title: &str, known: Option<&[u8]>, bytes: &[u8], expect: &str| json!({"name": title, "known": known.map(hex::encode), "bytes": hex::encode(bytes), "expect": expect});
    json!({
        "about": "Key sets (section 11) under the register given. `known`: the set that the reader has already.",
        "register": to_json(&register.parts),
        "vectors": [
            case("first", None, &first, "ok"),
            case("next", Some(&first), &second, "ok"),
            case("with a sealing key of a later suite", None, &later_suite, "ok"),
            case("of another agency", Some(&first), &ru.key_set(&ru.keys()), "ok"),
            case("older than known", Some(&second), &first, "stale"),
            case("another with the same serial", Some(&first), &later_suite, "stale"),
            case("signed with the signing key", None, &by_signing_key, "unknown-key"),
            case("of an agency that is not in the register", None, &by_outsider, "author-not-in-register"),
            case("in another agency's name", None, &for_another, "unknown-key"),
            case("a bit changed", None, &flipped(&first, position(&first, &vn.keys().ledger_key)), "wrong-signature"),
            case("cut short", None, &first[..first.len() - 1], "truncated"),
            case("an approval", None, &vn.approve(&version_2()), "body-not-of-kind"),
            case("no signing keys", None, &with(&|set| set.signing.clear()), "body-not-of-kind"),
            case("no sealing keys", None, &with(&|set| set.sealing.clear()), "body-not-of-kind"),
            case("signing key of small order", None, &with(&|set| set.signing[0].key = zeros), "body-not-of-kind"),
            case("ledger key of small order", None, &with(&|set| set.ledger_key = zeros), "body-not-of-kind"),
            case("witness key of small order", None, &with(&|set| set.witness_key = zeros), "body-not-of-kind"),
            case("a key that ends before it begins", None, &with(&|set| set.signing[0].until = 0), "body-not-of-kind"),
            case("sealing key of the wrong length", None, &with(&|set| set.sealing[0].key.truncate(1215)), "body-not-of-kind"),
            case("sealing key that ML-KEM refuses", None, &with(&|set| set.sealing[0].key[..3].fill(0xff)), "body-not-of-kind"),
            case("another agency's ledger", None, &with(&|set| set.ledger_origin = ru.origin()), "body-not-of-kind"),
            case("ledger with a leading zero", None, &with(&|set| set.ledger_origin = "mufakat/vn-police/01".into()), "body-not-of-kind"),
            case("no ledger origin", None, &with(&|set| set.ledger_origin.clear()), "body-not-of-kind"),
        ],
    })
}
