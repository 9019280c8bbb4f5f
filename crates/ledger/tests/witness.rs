//! A witness: what it cosigns, what it refuses and how, and how a split view is found and proved.

mod common;

use common::{grown, leaf, leaves, naive_root};
use mufakat_ledger::proof::{self, Invalid};
use mufakat_ledger::witness::{
    Comparison, NoSplit, ParseError, REQUEST_BYTES_MAX, Refusal, Request, Seen, SplitView, compare, decide,
};
use mufakat_ledger::{Algorithm, Checkpoint, Hash, SignedCheckpoint, Signer, VerifierKey, cosign, empty_root};
use proptest::prelude::*;

const ORIGIN: &str = "vn-police.example/ledger";
const NOW_S: u64 = 1_800_000_000;

fn log() -> Signer {
    Signer::from_seed(ORIGIN, Algorithm::Ed25519, &[1; 32]).unwrap()
}

fn key() -> VerifierKey {
    log().verifier().clone()
}

fn witness() -> Signer {
    Signer::from_seed("witness.example/w1", Algorithm::Cosignature, &[2; 32]).unwrap()
}

fn signed(size: u64, root: Hash) -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root, extensions: Vec::new() };
    SignedCheckpoint::sign(checkpoint, &log()).unwrap()
}

fn honest(size: u64) -> SignedCheckpoint {
    signed(size, naive_root(&leaves(size)))
}

fn consistency(old: u64, new: u64) -> Vec<Hash> {
    proof::consistency(&grown(new).1, old, new).unwrap()
}

fn seen(size: u64) -> Seen {
    let request = Request::new(0, vec![], &honest(size));
    decide(None, request, Some(&key()), &witness(), NOW_S).unwrap().0
}

fn refusal(seen: Option<&Seen>, request: Request) -> Refusal {
    decide(seen, request, Some(&key()), &witness(), NOW_S).unwrap_err()
}

#[test]
fn a_log_that_grows_is_cosigned_each_time() {
    let mut state: Option<Seen> = None;
    for size in [0, 0, 5, 5, 6, 300, 301] {
        let old = state.as_ref().map_or(0, |seen| seen.size);
        let checkpoint = honest(size);
        let request = Request::new(old, consistency(old, size), &checkpoint);
        let request = Request::parse(request.encode()).unwrap();
        let (seen, line) = decide(state.as_ref(), request, Some(&key()), &witness(), NOW_S + size).unwrap();
        assert_eq!((seen.size, seen.root), (size, checkpoint.checkpoint().root));
        let mut cosigned = checkpoint.clone();
        let witnesses = [witness().verifier().clone()];
        assert_eq!(cosigned.add(&line, &witnesses), Ok(vec![(0, NOW_S + size)]));
        assert_eq!(cosigned.encode(), seen.note_text, "what was cosigned is what is kept");
        state = Some(seen);
    }
}

#[test]
fn a_request_is_text_of_the_specification() {
    let request = Request::new(5, consistency(5, 7), &honest(7));
    let text = request.encode();
    assert_eq!(
        text,
        format!("old 5\n{}\n{}\n{}\n{}\n\n{}", leaf(4), leaf(5), leaf(6), naive_root(&leaves(4)), honest(7).encode())
    );
    assert_eq!(Request::parse(&text).as_ref(), Ok(&request));
    assert_eq!(request.origin(), ORIGIN);
    let check = |bad: String, expect| {
        let error = Request::parse(&bad).unwrap_err();
        assert_eq!(error, expect, "{bad}");
        assert_eq!(Refusal::from(error).status(), 400);
    };
    check(String::new(), ParseError::OldSize);
    check(text.replace("old 5\n", ""), ParseError::OldSize);
    check(text.replace("old 5", "old 05"), ParseError::OldSize);
    check(text.replace("old 5", "old  5"), ParseError::OldSize);
    check(text.replace("old 5", "old 18446744073709551616"), ParseError::OldSize);
    check("old 5\n".into(), ParseError::Proof);
    check(text.replacen("old 5\n", "old 5\nAAAA\n", 1), ParseError::Proof);
    let many = format!("old 5\n{}", format!("{}\n", leaf(1)).repeat(60));
    check(text.replace("old 5\n", &many), ParseError::Proof);
    let long = "a".repeat(REQUEST_BYTES_MAX + 1);
    check(long, ParseError::TooLong { bytes: REQUEST_BYTES_MAX + 1 });
    assert_eq!(Request::parse([0xff]), Err(ParseError::NotText));
    assert!(matches!(Request::parse(format!("old 0\n\n{ORIGIN}\n")), Err(ParseError::Checkpoint(_))));
    assert!(matches!(Request::parse(text.replace("\n7\n", "\n07\n")), Err(ParseError::Checkpoint(_))));
}

#[test]
fn each_refusal_has_its_status() {
    let good = || Request::new(5, consistency(5, 7), &honest(7));
    let five = seen(5);
    // Unknown origin: 404.
    let refused = decide(Some(&five), good(), None, &witness(), NOW_S).unwrap_err();
    assert_eq!((refused.status(), refused), (404, Refusal::UnknownLog(ORIGIN.into())));
    // Signed by another key, not signed at all, another log's key: 403.
    let impostor = Signer::from_seed(ORIGIN, Algorithm::Ed25519, &[9; 32]).unwrap();
    let elsewhere = Signer::from_seed("ru-police.example/ledger", Algorithm::Ed25519, &[1; 32]).unwrap();
    for wrong in [impostor, elsewhere] {
        let refused = decide(Some(&five), good(), Some(wrong.verifier()), &witness(), NOW_S).unwrap_err();
        assert_eq!((refused.status(), refused.size_body()), (403, None));
    }
    let forged = Request::parse(good().encode().replace("\n7\n", "\n8\n")).unwrap();
    assert_eq!(refusal(Some(&five), forged).status(), 403);
    // Old size beyond the checkpoint: 400.
    let refused = refusal(Some(&five), Request::new(8, vec![], &honest(7)));
    assert_eq!((refused.status(), refused), (400, Refusal::OldSize { old: 8, size: 7 }));
    // Wrong old size, with and without anything seen: 409 and the size.
    for (state, old, size) in [(Some(&five), 0, 5), (Some(&five), 6, 5), (None, 3, 0)] {
        let refused = refusal(state, Request::new(old, consistency(old, 7), &honest(7)));
        assert_eq!(refused, Refusal::Conflict { size });
        assert_eq!((refused.status(), refused.size_body()), (409, Some(format!("{size}\n"))));
    }
    // Rollback: a smaller tree is never cosigned, whatever old size is claimed.
    assert_eq!(refusal(Some(&five), Request::new(3, consistency(3, 4), &honest(4))), Refusal::Conflict { size: 5 });
    assert_eq!(refusal(Some(&five), Request::new(5, vec![], &honest(4))).status(), 400);
    assert_eq!(refusal(Some(&five), Request::new(0, vec![], &signed(0, empty_root()))), Refusal::Conflict { size: 5 });
    // A proof that does not prove: 422.
    for wrong in [vec![], consistency(4, 7), consistency(5, 8)] {
        let refused = refusal(Some(&five), Request::new(5, wrong, &honest(7)));
        assert_eq!(refused.status(), 422);
    }
    let refused = refusal(None, Request::new(0, vec![leaf(1)], &honest(7)));
    assert_eq!((refused.status(), refused), (422, Refusal::Inconsistent(Invalid::Length)));
    // A fork with another size shows as a proof that fails.
    let refused = refusal(Some(&five), Request::new(5, consistency(5, 7), &signed(7, leaf(99))));
    assert_eq!((refused.status(), refused), (422, Refusal::Inconsistent(Invalid::Root)));
    // Our own key of the wrong kind is our own fault: 500.
    let refused = decide(Some(&five), good(), Some(&key()), &log(), NOW_S).unwrap_err();
    assert_eq!(refused.status(), 500);
}

/// Same size and another root is a fork whatever old size the request states, and the evidence stands on its own.
#[test]
fn a_fork_is_proved_before_a_wrong_old_size_is_answered() {
    let five = seen(5);
    let mut fork = signed(5, leaf(99));
    for old in [0, 3, 5] {
        let refused = refusal(Some(&five), Request::new(old, vec![], &fork));
        assert_eq!((refused.status(), refused.size_body()), (409, None));
        let Refusal::Split(split) = refused else { panic!("{refused:?}") };
        assert_eq!(split.verify(&key()), Ok(()));
    }
    // Junk signatures in the request do not get into the evidence or into what is kept.
    let stranger = Signer::from_seed("stranger.example", Algorithm::Cosignature, &[7; 32]).unwrap();
    let line = cosign::sign(&stranger, &fork.note().text, NOW_S).unwrap().line();
    fork.add(&line, &[stranger.verifier().clone()]).unwrap();
    let Refusal::Split(split) = refusal(Some(&five), Request::new(5, vec![], &fork)) else { panic!("no split") };
    assert_eq!(split.second, signed(5, leaf(99)).encode());
    let mut fresh = honest(5);
    let line = cosign::sign(&stranger, &fresh.note().text, NOW_S).unwrap().line();
    fresh.add(&line, &[stranger.verifier().clone()]).unwrap();
    let request = Request::new(0, vec![], &fresh);
    assert_eq!(decide(None, request, Some(&key()), &witness(), NOW_S).unwrap().0, five);
}

#[test]
fn a_split_view_refuses_each_changed_field() {
    let (first, second) = (honest(5).encode(), signed(5, leaf(99)).encode());
    let good = SplitView { origin: ORIGIN.into(), first, second };
    assert_eq!(good.verify(&key()), Ok(()));
    let check = |split: SplitView, expect| assert_eq!(split.verify(&key()), Err(expect));
    check(SplitView { origin: "other".into(), ..good.clone() }, NoSplit::Origin("other".into()));
    check(SplitView { second: good.first.clone(), ..good.clone() }, NoSplit::Roots);
    check(SplitView { second: signed(6, leaf(99)).encode(), ..good.clone() }, NoSplit::Sizes);
    let forged = good.first.replace(&naive_root(&leaves(5)).to_string(), &leaf(98).to_string());
    for split in [SplitView { first: forged.clone(), ..good.clone() }, SplitView { second: forged, ..good.clone() }] {
        assert!(matches!(split.verify(&key()), Err(NoSplit::Checkpoint(_))));
    }
    let other = Signer::from_seed(ORIGIN, Algorithm::Ed25519, &[9; 32]).unwrap();
    assert!(matches!(good.verify(other.verifier()), Err(NoSplit::Checkpoint(_))));
    assert!(matches!(SplitView { first: String::new(), ..good }.verify(&key()), Err(NoSplit::Checkpoint(_))));
}

#[test]
fn witnesses_compare_what_they_saw() {
    let (five, seven) = (honest(5), honest(7));
    let proof = consistency(5, 7);
    assert_eq!(compare(&five, &five, None), Comparison::Same);
    for (a, b) in [(&five, &seven), (&seven, &five)] {
        assert_eq!(compare(a, b, None), Comparison::NeedProof { from: 5, to: 7 });
        assert_eq!(compare(a, b, Some(&proof)), Comparison::Extends);
        assert_eq!(compare(a, b, Some(&proof[1..])), Comparison::BadProof(Invalid::Length));
    }
    assert_eq!(compare(&five, &signed(7, leaf(99)), Some(&proof)), Comparison::BadProof(Invalid::Root));
    assert_eq!(compare(&signed(0, empty_root()), &five, None), Comparison::Extends);
    let Comparison::Split(split) = compare(&five, &signed(5, leaf(99)), None) else { panic!("no split") };
    assert_eq!(split.verify(&key()), Ok(()));
    let elsewhere = Signer::from_seed("ru-police.example/ledger", Algorithm::Ed25519, &[3; 32]).unwrap();
    let checkpoint = Checkpoint { origin: "ru-police.example/ledger".into(), ..five.checkpoint().clone() };
    let other = SignedCheckpoint::sign(checkpoint, &elsewhere).unwrap();
    assert_eq!(compare(&five, &other, None), Comparison::OtherLog);
}

/// One thing that a log, honest or not, may ask of the witness.
#[derive(Clone, Debug)]
struct Ask {
    size: u64,
    fork: bool,
    old: Option<u64>,
}

fn ask() -> impl Strategy<Value = Ask> {
    (0u64..30, prop::bool::weighted(0.3), prop::option::weighted(0.3, 0u64..30)).prop_map(|(size, fork, old)| Ask {
        size,
        fork,
        old,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is asked in whatever order, everything that the witness cosigned is one history that only grows.
    #[test]
    fn a_witness_cosigns_one_history(asks in prop::collection::vec(ask(), 1..40)) {
        let mut state: Option<Seen> = None;
        let (_, honest_tiles) = grown(30);
        let forked_leaves = |size: u64| (0..size).map(|index| leaf(if index == 3 { 333 } else { index })).collect::<Vec<_>>();
        let mut all: Vec<Vec<Hash>> = Vec::new();
        for Ask { size, fork, old } in asks {
            let seen_size = state.as_ref().map_or(0, |seen| seen.size);
            let old = old.unwrap_or(seen_size);
            let content = if fork { forked_leaves(size) } else { leaves(size) };
            let proof = match (old <= size, fork) {
                (true, true) => common::naive_consistency(old as usize, &content),
                (true, false) => proof::consistency(&honest_tiles, old, size).unwrap(),
                (false, _) => vec![],
            };
            let request = Request::new(old, proof, &signed(size, naive_root(&content)));
            match decide(state.as_ref(), request, Some(&key()), &witness(), NOW_S) {
                Ok((seen, _)) => {
                    prop_assert!(size >= seen_size);
                    for earlier in &all {
                        prop_assert!(content.starts_with(earlier));
                    }
                    all.push(content);
                    state = Some(seen);
                }
                Err(Refusal::Split(split)) => {
                    prop_assert_eq!(size, seen_size);
                    prop_assert_eq!(split.verify(&key()), Ok(()));
                }
                Err(refusal) => prop_assert!([400, 409, 422].contains(&refusal.status()), "{}", refusal),
            }
        }
    }

    #[test]
    fn any_request_is_read_or_refused(bytes: Vec<u8>, at: prop::sample::Index, byte: u8) {
        let _ = Request::parse(&bytes);
        let mut bytes = Request::new(5, consistency(5, 7), &honest(7)).encode().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(request) = Request::parse(&bytes) {
            prop_assert_eq!(request.encode().into_bytes(), bytes);
        }
    }
}
