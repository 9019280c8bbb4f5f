//! The register: founding, succession, approvals, removal and admission; and the key sets that hang on it.

use mufakat_exchange::{
    Chain, Change, Directory, EARLY_APPROVALS_MAX, OnRetraction, PROPOSALS_MAX, What, check_approval,
};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::register_version::{Party, RegisterVersion};
use mufakat_record::{Digest, KeyBook, Reason, RecordId, Relation, Verified, cbor};

use crate::store::State;
use crate::support::*;

#[test]
fn founding_needs_every_party() {
    let version = founding();
    let found = |by: &[&str]| Chain::found(version.clone(), approvals(&version, by)).map(|chain| chain.root());
    assert_eq!(found(&["aa", "bb", "cc"]), Ok(version.hash()));
    // In any order, and more than once.
    assert_eq!(found(&["cc", "aa", "bb", "aa"]), Ok(version.hash()));
    for by in [&["aa", "bb"][..], &["aa", "aa", "aa"], &["aa", "bb", "bb"], &[]] {
        assert_eq!(found(by), Err(Reason::TooFewApprovals), "{by:?}");
    }
    assert_eq!(found(&["aa", "bb", "cc", "dd"]), Err(Reason::AuthorNotInRegister));
}

#[test]
fn founding_versions_that_are_none() {
    let found = |change: &dyn Fn(&mut RegisterVersion)| {
        let mut version = founding();
        change(&mut version);
        Chain::found(version.clone(), approvals(&version, &["aa", "bb", "cc"])).map(drop)
    };
    assert_eq!(found(&|_| {}), Ok(()));
    let bad: [&dyn Fn(&mut RegisterVersion); 8] = [
        &|v| (v.version, v.previous) = (2, Some(Digest([1; 32]))),
        &|v| v.previous = Some(Digest([1; 32])),
        &|v| remove(v, "dd"),
        &|v| v.threshold = 0,
        &|v| v.threshold = 4,
        &|v| v.agencies.swap(0, 1),
        &|v| v.parties[0].speaker = name("bb"),
        &|v| v.agencies[3].identity = v.agencies[0].identity,
    ];
    for (number, change) in bad.into_iter().enumerate() {
        assert_eq!(found(change), Err(Reason::BadRegister), "{number}");
    }
}

#[test]
fn what_one_approval_says() {
    let (now, next) = (founding(), following(&founding(), |_| {}));
    let (hash, register) = (next.hash(), now.hash());
    let check = |record: Verified| check_approval(&now, 2, hash, record.bytes()).map(|party| party.id.to_string());
    assert_eq!(check(approval("bb", 2, hash, register)), Ok("party-b".into()));
    // The header's own register entry is not relied on.
    assert_eq!(check(approval("bb", 2, hash, hash)), Ok("party-b".into()));
    let other = following(&now, |v| v.threshold = 3);
    let report = signed(header("bb", &["aa"], "report", register), &report_body("EXERCISE").to_body(), &identity("bb"));
    let key_of_another = approval_with("bb", 2, hash, register, &identity("cc"));
    let cases = [
        ("for another version of the same number", approval("bb", 2, other.hash(), register), Reason::BadRegister),
        ("for the same hash under another number", approval("bb", 3, hash, register), Reason::BadRegister),
        ("for the version before", approval("bb", 1, register, register), Reason::BadRegister),
        ("by one who does not speak for its party", approval("dd", 2, hash, register), Reason::AuthorNotInRegister),
        ("by a stranger", approval("zz", 2, hash, register), Reason::AuthorNotInRegister),
        ("with a signing key", approval_with("bb", 2, hash, register, &signer("bb")), Reason::UnknownKey),
        ("with another's identity key", key_of_another, Reason::UnknownKey),
        ("a report", report, Reason::BodyNotOfKind),
    ];
    for (what, record, reason) in cases {
        assert_eq!(check(record.clone()), Err(reason), "{what}");
        // One that fails refuses the version, however many good ones there are.
        let all = [approvals(&next, &["aa", "bb", "cc"]), vec![record.into_bytes()]].concat();
        assert_eq!(chain().extend(next.clone(), all), Err(reason), "{what}");
    }
    let mut changed = approval("bb", 2, hash, register).into_bytes();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(check_approval(&now, 2, hash, &changed), Err(Reason::WrongSignature));
    assert_eq!(check_approval(&now, 2, hash, &changed[..9]), Err(Reason::Truncated));
}

#[test]
fn two_parties_are_needed_and_each_counts_once() {
    let next = following(&founding(), |_| {});
    let extend = |by: &[&str]| chain().extend(next.clone(), approvals(&next, by));
    for by in [&["aa", "bb"][..], &["cc", "aa"], &["aa", "bb", "cc"], &["bb", "bb", "cc"]] {
        assert_eq!(extend(by), Ok(()), "{by:?}");
    }
    for by in [&[][..], &["aa"], &["aa", "aa"], &["bb", "bb", "bb"]] {
        assert_eq!(extend(by), Err(Reason::TooFewApprovals), "{by:?}");
    }
    // An agency that speaks for two parties approves for the first it speaks for; two different records of one party count once.
    let again = approval_with("aa", 2, next.hash(), next.hash(), &identity("aa")).into_bytes();
    let two = [approvals(&next, &["aa"]), vec![again]].concat();
    assert_ne!(two[0], two[1]);
    assert_eq!(chain().extend(next, two), Err(Reason::TooFewApprovals));
}

/// The threshold of the version before counts, and those who speak in the version before.
#[test]
fn the_version_before_decides() {
    let lax = following(&founding(), |v| v.threshold = 1);
    assert_eq!(chain().extend(lax.clone(), approvals(&lax, &["aa"])), Err(Reason::TooFewApprovals));
    let mut chain = chain_of(std::slice::from_ref(&lax));
    let next = following(&lax, |v| v.parties[0].speaker = name("dd"));
    assert_eq!(chain.extend(next.clone(), approvals(&next, &["dd"])), Err(Reason::AuthorNotInRegister));
    assert_eq!(chain.extend(next.clone(), approvals(&next, &["cc"])), Ok(()));
    let third = following(&next, |_| {});
    assert_eq!(chain.extend(third.clone(), approvals(&third, &["aa"])), Err(Reason::AuthorNotInRegister));
    assert_eq!(chain.extend(third.clone(), approvals(&third, &["dd"])), Ok(()));
    assert_eq!((chain.current().version, chain.knows(&lax.hash()), chain.root()), (4, true, founding().hash()));
}

#[test]
fn versions_that_do_not_follow() {
    let removed = following(&founding(), |v| remove(v, "dd"));
    let extend = |change: &dyn Fn(&mut RegisterVersion)| {
        let next = following(&removed, change);
        let mut chain = chain_of(std::slice::from_ref(&removed));
        assert_eq!(
            chain.may_follow(&next).err(),
            chain.clone().extend(next.clone(), approvals(&next, &["aa", "bb"])).err()
        );
        chain.extend(next.clone(), approvals(&next, &["aa", "bb"]))
    };
    assert_eq!(extend(&|_| {}), Ok(()));
    assert_eq!(extend(&|v| v.agencies[0].endpoint = "elsewhere.example:1".into()), Ok(()));
    type Case<'a> = (&'a str, &'a dyn Fn(&mut RegisterVersion), Reason);
    let cases: [Case<'_>; 15] = [
        ("the same number", &|v| v.version = 2, Reason::Stale),
        ("a rollback", &|v| (v.version, v.previous) = (1, None), Reason::Stale),
        ("a number left out", &|v| v.version = 4, Reason::BadRegister),
        ("another one before", &|v| v.previous = Some(founding().hash()), Reason::BadRegister),
        ("none before", &|v| v.previous = None, Reason::BadRegister),
        ("another community", &|v| v.community = "OTHER".into(), Reason::BadRegister),
        ("drawn up earlier", &|v| v.issued_at -= 2, Reason::BadRegister),
        ("expired when drawn up", &|v| v.expires = v.issued_at, Reason::BadRegister),
        ("an agency is forgotten", &|v| drop(v.agencies.remove(2)), Reason::BadRegister),
        ("a removed agency is forgotten", &|v| drop(v.agencies.pop()), Reason::BadRegister),
        ("a removed agency is back", &|v| v.agencies[3].removed = None, Reason::BadRegister),
        ("a removed agency was removed later", &|v| v.agencies[3].removed = Some(NOW_S + 1), Reason::BadRegister),
        (
            "a removed agency is elsewhere",
            &|v| v.agencies[3].endpoint = "elsewhere.example:1".into(),
            Reason::BadRegister,
        ),
        ("a removed agency speaks", &|v| v.parties[0].speaker = name("dd"), Reason::BadRegister),
        ("more parties are needed than there are", &|v| v.threshold = 4, Reason::BadRegister),
    ];
    for (what, change, reason) in cases {
        assert_eq!(extend(change), Err(reason), "{what}");
    }
}

#[test]
fn a_chain_is_read_from_its_parts() {
    let second = following(&founding(), |_| {});
    let third = following(&second, |v| remove(v, "dd"));
    let whole = chain_of(&[second.clone(), third.clone()]);
    let parts: Vec<_> = whole.versions().iter().map(|e| (cbor::encode(&e.version), e.approvals.clone())).collect();
    assert_eq!(Chain::verify(&parts).map(|chain| chain.hash()), Ok(third.hash()));
    assert_eq!(Chain::verify(&[]).err(), Some(Reason::BadRegister));
    assert_eq!(Chain::verify(&parts[1..]).err(), Some(Reason::BadRegister));
    assert_eq!(Chain::verify(&[parts[0].clone(), parts[2].clone()]).err(), Some(Reason::BadRegister));
    assert_eq!(Chain::verify(&[&parts[..2], &parts[..1]].concat()).err(), Some(Reason::Stale));
    let mut cut = parts.clone();
    cut[2].0.pop();
    assert_eq!(Chain::verify(&cut).err(), Some(Reason::Truncated));
    let mut unapproved = parts.clone();
    unapproved[1].1.pop();
    assert_eq!(Chain::verify(&unapproved).err(), Some(Reason::TooFewApprovals));
    // The approvals of one version are none of another.
    let mut moved = parts.clone();
    moved[2].1 = parts[1].1.clone();
    assert_eq!(Chain::verify(&moved).err(), Some(Reason::BadRegister));
    assert_eq!(whole.fingerprint(), chain().fingerprint());
}

#[test]
fn audiences_are_chosen_by_name() {
    let next = following(&founding(), |v| remove(v, "dd"));
    let (before, after) = (chain(), chain_of(&[next]));
    let resolve = |chain: &Chain, names: &[&str]| {
        let names: Vec<_> = names.iter().map(|n| name(n)).collect();
        chain
            .resolve(&names)
            .map(|ids| ids.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(" "))
            .map_err(|e| e.0.to_string())
    };
    assert_eq!(resolve(&before, &["bb", "party-a", "aa"]).as_deref(), Ok("aa bb dd"));
    assert_eq!(resolve(&before, &["forum"]).as_deref(), Ok("aa bb dd"));
    assert_eq!(resolve(&after, &["forum"]).as_deref(), Ok("aa bb"));
    assert_eq!(resolve(&after, &["party-a"]).as_deref(), Ok("aa"));
    assert_eq!(resolve(&after, &["aa", "dd"]), Err("dd".into()));
    assert_eq!(resolve(&after, &["zz"]), Err("zz".into()));
    assert_eq!(resolve(&after, &[]).as_deref(), Ok(""));
}

#[test]
fn chains_are_taken_over_only_from_their_beginning() {
    let second = following(&founding(), |_| {});
    let third = following(&second, |v| remove(v, "dd"));
    let longer = chain_of(&[second.clone(), third.clone()]);
    let mut aa = Node::new("aa");
    let batch = aa.adopt_chain(longer.clone()).unwrap();
    assert_eq!((aa.version(), aa.store.told(What::Register)), (3, 2));
    assert_eq!(count(&batch, |c| matches!(c, Change::Register(_))), 2);
    assert_eq!(count(&batch, |c| matches!(c, Change::Cancel { to } if *to == name("dd"))), 1);
    assert!(batch.directory_changed);
    // The same, and a shorter one, change nothing.
    for chain in [longer, chain_of(std::slice::from_ref(&second)), chain()] {
        let batch = aa.adopt_chain(chain).unwrap();
        assert!(batch.changes.is_empty() && !batch.directory_changed);
    }
    // Forks: at the last version, in the middle, and from the first on; longer ones, too.
    let fork = following(&second, |v| v.threshold = 3);
    let longer_fork = following(&fork, |_| {});
    let mut other = founding();
    other.community = "OTHER".into();
    let other = Chain::found(other.clone(), approvals(&other, &["aa", "bb", "cc"])).unwrap();
    let mut long = chain_of(&[second.clone(), fork.clone()]);
    long.extend(longer_fork.clone(), approvals(&longer_fork, &["aa", "bb", "cc"])).unwrap();
    for chain in [chain_of(&[second, fork]), long, other] {
        assert_eq!(aa.adopt_chain(chain).err(), Some(Reason::BadRegister));
        assert_eq!(aa.version(), 3);
    }
    aa.crash();
    assert_eq!(aa.exchange.directory().chain().hash(), third.hash());
}

#[test]
fn key_sets() {
    let register = chain().hash();
    let mut aa = Node::new("aa");
    let revoked = |serial, key: &mufakat_record::SigningKey| {
        key_set_with("bb", serial, register, key, |k| k.signing[0].revoked = Some(1))
    };
    let cases = [
        ("signed by a signing key", revoked(2, &signer("bb")), Reason::UnknownKey),
        ("signed by another's identity key", revoked(2, &identity("cc")), Reason::UnknownKey),
        ("with the same serial", revoked(1, &identity("bb")), Reason::Stale),
        ("with a lower serial", revoked(0, &identity("bb")), Reason::Stale),
        ("of nobody in the register", key_set("zz", 9, register), Reason::AuthorNotInRegister),
        (
            "with another's ledger",
            key_set_with("bb", 2, register, &identity("bb"), |k| k.ledger_origin = "mufakat/cc/1".into()),
            Reason::BodyNotOfKind,
        ),
        (
            "with the same key twice",
            key_set_with("bb", 2, register, &identity("bb"), |k| k.signing.push(k.signing[0].clone())),
            Reason::BodyNotOfKind,
        ),
        (
            "another kind",
            signed(header("bb", &["aa"], "report", register), &report_body("EXERCISE").to_body(), &identity("bb")),
            Reason::BodyNotOfKind,
        ),
    ];
    for (what, record, reason) in cases {
        assert_eq!(aa.adopt_key_set(&record).err(), Some(reason), "{what}");
    }
    let mut changed = revoked(2, &identity("bb")).into_bytes();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(aa.exchange.adopt_key_set(&changed).err(), Some(Reason::WrongSignature));
    assert_eq!(aa.exchange.adopt_key_set(&changed[..20]).err(), Some(Reason::Truncated));
    let state = |node: &Node| node.exchange.directory().key(&name("bb"), &signer("bb").id()).unwrap().revoked;
    assert_eq!(state(&aa), None);
    // The one at hand again changes nothing; a newer one takes its place, also on a channel, and stays after a crash.
    assert!(aa.adopt_key_set(&key_set("bb", 1, register)).unwrap().changes.is_empty());
    let said = aa.take("bb", &[&revoked(3, &identity("bb")), &revoked(2, &identity("bb"))]);
    assert_eq!(reasons(&said), [None, None]);
    assert_eq!(state(&aa), Some(1));
    assert_eq!(aa.exchange.directory().key_set(&name("bb")).unwrap().serial, 3);
    aa.crash();
    assert_eq!(state(&aa), Some(1));
    // An agency's own, which it shares like any other record.
    let own = key_set("aa", 2, register);
    assert!(aa.share(&[&own]).directory_changed);
    assert_eq!(aa.exchange.directory().key_set_record(&name("aa")), Some(own.bytes()));
    // Not for another agency: its key book knows only its own keys.
    assert!(aa.exchange.directory().key(&name("cc"), &signer("bb").id()).is_none());
    let by_identity = aa.exchange.directory().key(&name("bb"), &identity("bb").id()).unwrap();
    assert_eq!((by_identity.from, by_identity.until, by_identity.revoked), (0, u64::MAX, None));
}

#[test]
fn parcels_are_sealed_to_the_newest_key_that_can_be_used() {
    let register = chain().hash();
    let mut directory = Directory::new(chain());
    assert!(directory.sealing_key(&name("bb"), NOW_S).is_none());
    let record = key_set_with("bb", 1, register, &identity("bb"), |k| {
        let mut newer = k.sealing[0].clone();
        newer.key = mufakat_record::SealingKey::from_seed(&[1; 32]).public().to_bytes();
        newer.until = NOW_S + 10;
        let mut to_come = newer.clone();
        (to_come.suite, to_come.key) = (2, vec![1]);
        k.sealing.extend([newer, to_come]);
    });
    directory.take_key_set(record.bytes()).unwrap();
    let (older, newer) = {
        let set = directory.key_set(&name("bb")).unwrap();
        (set.sealing[0].key.clone(), set.sealing[1].key.clone())
    };
    let sealed_to = |now_s| directory.sealing_key(&name("bb"), now_s).map(|key| key.to_bytes());
    assert_eq!(sealed_to(NOW_S + 10), Some(newer));
    assert_eq!(sealed_to(NOW_S + 11), Some(older));
    assert_eq!(sealed_to(KEYS_UNTIL_S + 1), None);
}

/// bb proposes, aa approves before and after, and a third hears all of it in any order.
#[test]
fn proposals_and_approvals_in_any_order() {
    let next = following(&founding(), |v| remove(v, "dd"));
    let hash = next.hash();
    let by = |agency: &str| approval(agency, 2, hash, founding().hash());
    let proposal = Node::new("bb").record(&["aa", "cc", "dd"], &next, &[]);
    let [one, two] = [by("aa"), by("bb")];
    for early in 0..3 {
        let mut cc = Node::new("cc");
        let mut turn = |sender: &str, record: &Verified, crash: bool| {
            assert_eq!(reasons(&cc.take(sender, &[record])), [None]);
            if crash {
                cc.crash();
            }
            cc.version()
        };
        let versions = match early {
            0 => [turn("bb", &proposal, true), turn("aa", &one, true), turn("bb", &two, true)],
            1 => [turn("aa", &one, true), turn("bb", &proposal, true), turn("bb", &two, true)],
            _ => [turn("aa", &one, false), turn("bb", &two, true), turn("bb", &proposal, false)],
        };
        assert_eq!(versions, [1, 1, 2], "{early}");
        assert_eq!(cc.exchange.directory().chain().hash(), hash);
        assert_eq!(cc.exchange.governance().open().count(), 0);
        assert_eq!(cc.store.told(What::Register), 1);
        cc.crash();
        assert_eq!((cc.version(), cc.exchange.governance().open().count()), (2, 0));
    }
}

#[test]
fn approvals_that_do_not_count() {
    let next = following(&founding(), |v| remove(v, "dd"));
    let register = founding().hash();
    let proposal = Node::new("bb").record(&["aa", "cc", "dd"], &next, &[]);
    let mut cc = Node::new("cc");
    // Early or not: twice the same party, one that speaks for nobody, one for another version.
    let wrong_number = approval("aa", 3, next.hash(), register);
    cc.take("aa", &[&wrong_number]);
    cc.take("dd", &[&approval("dd", 2, next.hash(), register)]);
    cc.take("bb", &[&approval("bb", 2, next.hash(), register)]);
    cc.take("bb", &[&proposal]);
    let approving = |cc: &Node| {
        let open: Vec<_> = cc.exchange.governance().open().map(|(_, _, by)| by.len()).collect();
        (cc.version(), open)
    };
    assert_eq!(approving(&cc), (1, vec![1]));
    cc.take("bb", &[&approval("bb", 2, next.hash(), next.hash())]);
    cc.take("aa", &[&approval("aa", 3, next.hash(), next.hash())]);
    cc.take("dd", &[&approval("dd", 2, next.hash(), next.hash())]);
    assert_eq!(approving(&cc), (1, vec![1]));
    cc.crash();
    assert_eq!(approving(&cc), (1, vec![1]));
    // Its own word is the second.
    cc.share(&[&{
        let mut own = header("cc", &["aa", "bb", "dd"], "register-approval", register);
        own.issued_at += 1;
        let body = mufakat_record::kinds::register_approval::RegisterApproval { version: 2, hash: next.hash() };
        signed(own, &body.to_body(), &identity("cc"))
    }]);
    assert_eq!(approving(&cc), (2, vec![]));
}

fn proposal_by(node: &Node, threshold: u64, at: u64) -> (RegisterVersion, Verified) {
    let version = following(&founding(), |v| (v.threshold, v.issued_at) = (threshold, v.issued_at + at));
    let others: Vec<_> = AGENCIES.into_iter().filter(|id| name(id) != node.id()).collect();
    let record = node.record(&others, &version, &[]);
    (version, record)
}

/// Nobody can use up the room for others' proposals and approvals, such as those that would remove it.
#[test]
fn one_agency_cannot_crowd_out_the_others() {
    let mut cc = Node::new("cc");
    let dd = Node::new("dd");
    for n in 0..PROPOSALS_MAX as u64 + 3 {
        assert_eq!(reasons(&cc.take("dd", &[&proposal_by(&dd, 3, n).1])), [None]);
    }
    assert_eq!(cc.exchange.governance().open().count(), PROPOSALS_MAX);
    for n in 0..EARLY_APPROVALS_MAX as u8 + 40 {
        let invented = approval("dd", 2, Digest([n; 32]), founding().hash());
        assert_eq!(reasons(&cc.take("dd", &[&invented])), [None]);
    }
    cc.crash();
    let next = following(&founding(), |v| remove(v, "dd"));
    let proposal = Node::new("bb").record(&["aa", "cc", "dd"], &next, &[]);
    cc.take("aa", &[&approval("aa", 2, next.hash(), founding().hash())]);
    cc.take("bb", &[&proposal]);
    assert_eq!(cc.exchange.governance().open().count(), PROPOSALS_MAX + 1);
    cc.take("bb", &[&approval("bb", 2, next.hash(), founding().hash())]);
    assert_eq!((cc.version(), cc.exchange.governance().open().count()), (2, 0));
}

/// What is beyond the limit is kept as what its author said, and has no effect.
#[test]
fn proposals_and_early_approvals_beyond_the_limit() {
    let mut cc = Node::new("cc");
    let bb = Node::new("bb");
    let proposals: Vec<_> = (0..=PROPOSALS_MAX as u64).map(|n| proposal_by(&bb, 2, n)).collect();
    for (_, record) in &proposals {
        cc.take("bb", &[record]);
    }
    assert_eq!(cc.store.kept("register-version"), PROPOSALS_MAX + 1);
    let (beyond, first) = (&proposals[PROPOSALS_MAX].0, &proposals[0].0);
    for by in ["aa", "bb"] {
        cc.take(by, &[&approval(by, 2, beyond.hash(), founding().hash())]);
    }
    assert_eq!(cc.version(), 1);
    // A proposal that is open already needs no room.
    cc.take("aa", &[&Node::new("aa").record(&["bb", "cc", "dd"], first, &[])]);
    assert_eq!(cc.exchange.governance().open().count(), PROPOSALS_MAX);

    // The same proposal by another agency that has room, and the approvals that waited for it count.
    cc.take("aa", &[&Node::new("aa").record(&["bb", "cc", "dd"], beyond, &[])]);
    assert_eq!(cc.exchange.directory().chain().hash(), beyond.hash());

    let mut cc = Node::new("cc");
    for n in 0..EARLY_APPROVALS_MAX as u8 {
        cc.take("aa", &[&approval("aa", 2, Digest([n; 32]), founding().hash())]);
    }
    let (version, record) = proposal_by(&bb, 2, 0);
    cc.take("aa", &[&approval("aa", 2, version.hash(), founding().hash())]);
    cc.take("bb", &[&record]);
    cc.take("bb", &[&approval("bb", 2, version.hash(), founding().hash())]);
    assert_eq!(cc.version(), 1, "an approval beyond the limit counts");
}

/// Approvals of what was decided without them do not stay in the way of those to come.
#[test]
fn a_decision_makes_room() {
    let next = following(&founding(), |_| {});
    let third = following(&next, |v| remove(v, "dd"));
    for (crash, taken_over) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut cc = Node::new("cc");
        for n in 0..EARLY_APPROVALS_MAX as u8 {
            cc.take("aa", &[&approval("aa", 2, Digest([n; 32]), founding().hash())]);
        }
        if taken_over {
            cc.adopt_chain(chain_of(std::slice::from_ref(&next))).unwrap();
        } else {
            cc.take("bb", &[&Node::new("bb").record(&["aa", "cc", "dd"], &next, &[])]);
            cc.take("bb", &[&approval("bb", 2, next.hash(), founding().hash())]);
            cc.share(&[&approval("cc", 2, next.hash(), founding().hash())]);
        }
        assert_eq!(cc.version(), 2);
        if crash {
            cc.crash();
        }
        cc.take("aa", &[&approval("aa", 3, third.hash(), next.hash())]);
        cc.take("bb", &[&approval("bb", 3, third.hash(), next.hash())]);
        let header = header("bb", &["aa", "cc"], "register-version", next.hash());
        cc.take("bb", &[&signed(header, &third.to_body(), &signer("bb"))]);
        assert_eq!(cc.version(), 3, "crash {crash}, taken over {taken_over}");
    }
}

#[test]
fn proposals_that_do_not_follow_have_no_effect() {
    let mut cc = Node::new("cc");
    let bb = Node::new("bb");
    let forgets = following(&founding(), |v| drop(v.agencies.pop()));
    let far = following(&following(&founding(), |_| {}), |_| {});
    for version in [forgets, far, founding()] {
        assert_eq!(reasons(&cc.take("bb", &[&bb.record(&["cc"], &version, &[])])), [None]);
        for by in ["aa", "bb"] {
            cc.take(by, &[&approval(by, version.version, version.hash(), founding().hash())]);
        }
        assert_eq!((cc.version(), cc.exchange.governance().open().count()), (1, 0));
    }
    // An unsound one is not even of its kind.
    let unsound = following(&founding(), |v| v.threshold = 9);
    assert_eq!(reasons(&cc.take("bb", &[&bb.record(&["cc"], &unsound, &[])])), [Some(Reason::BodyNotOfKind)]);
}

/// Two proposals compete: the one that is decided first drops the other.
#[test]
fn competing_proposals() {
    let mut cc = Node::new("cc");
    let (bb, register) = (Node::new("bb"), founding().hash());
    let (first, one) = proposal_by(&bb, 3, 0);
    let (second, two) = proposal_by(&bb, 1, 0);
    cc.take("bb", &[&one, &two]);
    cc.take("aa", &[&approval("aa", 2, first.hash(), register), &approval("aa", 2, second.hash(), register)]);
    assert_eq!((cc.version(), cc.exchange.governance().open().count()), (1, 2));
    cc.take("bb", &[&approval("bb", 2, second.hash(), register)]);
    assert_eq!((cc.exchange.directory().chain().hash(), cc.exchange.governance().open().count()), (second.hash(), 0));
    cc.take("bb", &[&approval("bb", 2, first.hash(), register)]);
    cc.crash();
    assert_eq!((cc.exchange.directory().chain().hash(), cc.version()), (second.hash(), 2));
}

#[test]
fn a_removed_agency_gets_nothing_more_and_the_others_go_on() {
    let next = following(&founding(), |v| remove(v, "dd"));
    let (mut aa, mut cc) = (Node::new("aa"), Node::new("cc"));
    let before = aa.share_report(&["cc", "dd"]);
    aa.share_report(&["dd"]);
    let of_dd = Node::new("dd").report(&["aa"]);
    assert_eq!(reasons(&aa.take("dd", &[&of_dd])), [None]);
    // aa approves, and hears bb's proposal and approval.
    let proposal = Node::new("bb").record(&["aa", "cc", "dd"], &next, &[]);
    aa.take("bb", &[&proposal]);
    let own = approval("aa", 2, next.hash(), founding().hash());
    aa.share(&[&own]);
    assert_eq!(aa.store.queue[&(name("dd"), 3)].0, own.id());
    let items = aa.items(vec![approval("bb", 2, next.hash(), founding().hash()).into_bytes()]);
    let (batch, _) = aa.take_at("bb", 1, 2, items).unwrap();
    assert_eq!(count(&batch, |c| matches!(c, Change::Cancel { to } if *to == name("dd"))), 1);
    assert!(batch.directory_changed);
    assert!(aa.exchange.outbound(&name("dd")).is_none());
    for position in 1..=3 {
        assert_eq!(aa.store.queue[&(name("dd"), position)].1, State::Cancelled);
    }
    // What it still signs is refused; what it said before stays.
    let late = Node::new("dd").report(&["aa"]);
    let items = aa.items(vec![late.bytes().to_vec()]);
    assert_eq!(refused(aa.take_at("dd", 1, 2, items)).0, Reason::AuthorRemoved);
    assert!(aa.store.records.contains_key(&of_dd.id()));
    // Passed on by another, it is refused, too.
    assert_eq!(reasons(&aa.take("bb", &[&late])), [Some(Reason::SenderNotAuthor)]);
    // The others go on: what was queued to them, and what is new, under either version.
    let said = deliver(&mut aa, &mut cc);
    assert_eq!((said[0].record, reasons(&said)), (before.id(), vec![None, None]));
    aa.share_report(&["bb", "cc"]);
    let mut bb = Node::new("bb");
    // bb has not heard of the new version yet.
    let said = deliver(&mut aa, &mut bb);
    assert_eq!(reasons(&said), [None, Some(Reason::UnknownRegister)]);
    aa.crash();
    assert!(aa.exchange.outbound(&name("dd")).is_none());
    assert_eq!(aa.exchange.channels().count(), 2);
}

/// The very record that brings a removal into force is not sent to whom it removes, and its parcel gets no answer from us.
#[test]
fn a_removal_takes_effect_within_its_own_batch() {
    let next = following(&founding(), |v| remove_with_party(v, "bb"));
    let mut aa = Node::with("aa", OnRetraction::Delete, chain());
    let report = Node::new("bb").report(&["aa"]);
    let proposal = Node::new("cc").record(&["aa", "bb", "dd"], &next, &[]);
    aa.take("cc", &[&proposal, &approval("cc", 2, next.hash(), founding().hash())]);
    let own = approval("aa", 2, next.hash(), founding().hash());
    let batch = aa.share(&[&own]);
    let to: Vec<_> = batch
        .changes
        .iter()
        .filter_map(|c| if let Change::Queue { to, .. } = c { Some(to.as_str()) } else { None })
        .collect();
    assert_eq!((to, aa.version()), (vec!["cc", "dd"], 2));
    assert!(!batch.wake.contains(&name("bb")));

    // bb's own approval removes it, and a retraction comes with it: there is nobody to answer.
    let mut aa = Node::new("aa");
    aa.take("bb", &[&report]);
    aa.take("cc", &[&proposal, &approval("cc", 2, next.hash(), founding().hash())]);
    let retraction = Node::new("bb").record(
        &["aa"],
        &mufakat_record::kinds::retraction::Retraction { reason: "EXERCISE".into(), carries: None },
        &[(Relation::Retracts, report.id())],
    );
    let said = aa.take("bb", &[&approval("bb", 2, next.hash(), founding().hash()), &retraction]);
    assert_eq!((reasons(&said), aa.version()), (vec![None, None], 2));
    assert_eq!(aa.store.kept("answer"), 0);
    assert!(aa.store.records[&report.id()].record.is_none());
}

#[test]
fn an_admission_opens_channels() {
    let next = following(&founding(), |v| {
        v.agencies.push(agency(OUTSIDER, "party-e"));
        v.parties.push(Party { id: name("party-e"), name: "EXERCISE".into(), speaker: name(OUTSIDER) });
    });
    let chain = chain_of(std::slice::from_ref(&next));
    let mut aa = Node::new("aa");
    assert!(aa.exchange.outbound(&name(OUTSIDER)).is_none());
    aa.adopt_chain(chain.clone()).unwrap();
    aa.adopt_key_set(&key_set(OUTSIDER, 1, next.hash())).unwrap();
    let report = aa.share_report(&["bb", OUTSIDER]);
    let mut ee = Node::with(OUTSIDER, OnRetraction::Mark, chain.clone());
    assert_eq!(deliver(&mut aa, &mut ee)[0].record, report.id());
    let answer = ee.share_report(&["aa"]);
    assert_eq!(deliver(&mut ee, &mut aa)[0].record, answer.id());
    aa.crash();
    assert_eq!(aa.backlog(OUTSIDER), 0);
    // Its party has a voice now.
    let mut chain = chain;
    let third = following(&next, |_| {});
    assert_eq!(chain.extend(third.clone(), approvals(&third, &[OUTSIDER, "bb"])), Ok(()));
}

/// A record is judged by what it names, and an old version that is known is good enough.
#[test]
fn records_of_earlier_versions_are_taken() {
    let next = following(&founding(), |_| {});
    let old = Node::new("aa").report(&["bb"]);
    let mut bb = Node::with("bb", OnRetraction::Delete, chain_of(std::slice::from_ref(&next)));
    let new = signed(header("aa", &["bb"], "report", next.hash()), &report_body("EXERCISE").to_body(), &signer("aa"));
    assert_eq!(reasons(&bb.take("aa", &[&old, &new])), [None, None]);
    assert_ne!(old.id(), RecordId([0; 32]));
}
