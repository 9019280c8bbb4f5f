//! Tests of `officers`.

use mufakat_record::{Digest, Role, Tlp};
use proptest::prelude::*;

use super::*;
use crate::testing::{ME, MemoryRows, START_S, Step, header, sign};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::credential::{Credential, Means};
use mufakat_record::kinds::officer::Officer;
use mufakat_record::kinds::revocation::{Revocation, Revoked};
use mufakat_record::{Act, How, OfficerId, Verified};
use serde_json::{Value, json};

fn home<B: Body>(body: &B) -> Verified {
    sign(header(ME, &[ME], B::KIND), body.to_body())
}

fn officer(number: usize) -> OfficerId {
    format!("officer-{number}").parse().unwrap()
}

fn grant(number: usize, roles: &[Role], active: bool) -> Verified {
    home(&Officer {
        officer: officer(number),
        name: "EXERCISE".to_owned(),
        roles: roles.to_vec(),
        clearance: Tlp::Amber,
        purposes: None,
        active,
        by: None,
    })
}

fn credential(number: usize, means: Means) -> Verified {
    home(&Credential { officer: officer(number), means, by: None })
}

fn invitation(number: usize, secret: u8) -> Verified {
    credential(number, Means::Invitation { secret: Digest([secret; 32]), expires: 9 })
}

fn passkey(number: usize, invitation: RecordId) -> Verified {
    credential(number, Means::Passkey { label: "EXERCISE key".to_owned(), passkey: vec![1], invitation })
}

fn revocation(number: usize, what: Revoked) -> Verified {
    home(&Revocation { officer: officer(number), what, reason: "EXERCISE".to_owned(), by: Some(officer(9)) })
}

fn sign_in(number: usize, credential: RecordId, counter: Option<u32>) -> Step {
    let note = SignInNote { means: "passkey".to_owned(), credential, counter };
    let act = Act::of_the_node(How::SignIn, Digest([0; 32]));
    Step::Session(Act { officer: Some(officer(number)), note: Some(note.to_string()), ..act })
}

fn body_of(steps: &[Step]) -> Value {
    MemoryRows::of(steps).of_view(NAME)[0].body.clone()
}

#[test]
fn the_latest_grant_counts_and_credentials_stay() {
    let invited = invitation(1, 1);
    let latest = grant(1, &[Role::Auditor], false);
    let steps = [grant(1, &[Role::Analyst, Role::Releaser], true), invited.clone(), latest.clone()].map(Step::Authored);
    let rows = MemoryRows::of(&steps);
    let row = rows.of_view(NAME)[0];
    assert_eq!((row.key.as_slice(), row.record), (&b"officer-1"[..], latest.id()));
    assert_eq!(row.facets, [("role", "auditor".to_owned()), ("state", "suspended".to_owned())]);
    let expect = json!({
        "officer": "officer-1", "name": "EXERCISE", "roles": ["auditor"], "clearance": "AMBER", "purposes": [],
        "state": "suspended", "by": null, "at_ms": (START_S + 2) * 1000, "last_sign_in_ms": null,
        "credentials": [
            { "id": invited.id(), "type": "invitation", "by": null, "at_ms": (START_S + 1) * 1000, "expires": 9 }
        ],
    });
    assert_eq!(row.body, expect);
}

#[test]
fn an_invitation_is_used_up() {
    let (first, second) = (invitation(1, 1), invitation(1, 2));
    let key = passkey(1, first.id());
    let steps = [grant(1, &[Role::Analyst], true), first, second.clone(), key.clone()].map(Step::Authored);
    let credentials = body_of(&steps)["credentials"].clone();
    assert_eq!(credentials[0]["id"], second.id().to_string());
    assert_eq!((&credentials[1]["id"], &credentials[1]["label"]), (&json!(key.id()), &json!("EXERCISE key")));
    assert_eq!(credentials.as_array().map(Vec::len), Some(2));
    assert!(!credentials.to_string().contains(&"02".repeat(32)), "the hash of a secret is shown");
}

#[test]
fn what_is_revoked_is_gone() {
    let (key, other) = (passkey(1, RecordId([1; 32])), passkey(1, RecordId([2; 32])));
    let mut steps = vec![Step::Authored(grant(1, &[Role::Analyst], true))];
    steps.extend([&key, &other].map(|key| Step::Authored(key.clone())));
    steps.push(Step::Authored(revocation(1, Revoked::Credential { credential: key.id() })));
    steps.push(Step::Authored(revocation(1, Revoked::Sessions)));
    let body = body_of(&steps);
    assert_eq!((&body["credentials"][0]["id"], &body["state"]), (&json!(other.id()), &json!("active")));
    assert_eq!(body["credentials"].as_array().map(Vec::len), Some(1));
    steps.push(Step::Authored(revocation(1, Revoked::Officer)));
    let rows = MemoryRows::of(&steps);
    let row = rows.of_view(NAME)[0];
    assert_eq!((&row.body["state"], &row.body["credentials"]), (&json!("revoked"), &json!([])));
    assert!(row.facets.contains(&("state", "revoked".to_owned())));
    // A new grant brings the officer back, and nothing that was taken away.
    steps.push(Step::Authored(grant(1, &[Role::Analyst], true)));
    let body = body_of(&steps);
    assert_eq!((&body["state"], &body["credentials"]), (&json!("active"), &json!([])));
}

#[test]
fn signing_in_leaves_the_time_and_the_count() {
    let key = passkey(1, RecordId([1; 32]));
    let mut steps = vec![Step::Authored(grant(1, &[Role::Analyst], true)), Step::Authored(key.clone())];
    steps.push(sign_in(1, key.id(), Some(7)));
    let at_ms = (START_S + 2) * 1000;
    let body = body_of(&steps);
    let credential = &body["credentials"][0];
    assert_eq!((&body["last_sign_in_ms"], &credential["last_used_ms"]), (&json!(at_ms), &json!(at_ms)));
    assert_eq!(credential["counter"], 7);
    let failed = Act { officer: Some(officer(1)), ..Act::of_the_node(How::SignInFailed, Digest([0; 32])) };
    steps.push(Step::Session(failed));
    assert_eq!(body_of(&steps), body);
}

#[test]
fn nobody_is_known_without_a_grant() {
    let steps = [passkey(1, RecordId([1; 32])), revocation(1, Revoked::Officer)].map(Step::Authored);
    assert!(MemoryRows::of(&steps).of_view(NAME).is_empty());
    assert!(MemoryRows::of(&[sign_in(1, RecordId([1; 32]), None)]).of_view(NAME).is_empty());
}

#[test]
fn notes_come_back() {
    for counter in [None, Some(0), Some(u32::MAX)] {
        let note = SignInNote { means: "passkey".to_owned(), credential: RecordId([9; 32]), counter };
        assert_eq!(SignInNote::read(&note.to_string()), Some(note));
    }
    let id = RecordId([9; 32]);
    for wrong in ["", "passkey", "passkey 00", &format!("passkey {id} x"), &format!("passkey {id} 1 2")] {
        assert_eq!(SignInNote::read(wrong), None, "{wrong}");
    }
}

/// Random histories of grants, credentials, revocations and sign-ins of two officers.
fn histories() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..7u8, 0..2usize, any::<prop::sample::Index>(), any::<bool>()), 1..40).prop_map(|choices| {
        let mut credentials = vec![RecordId([0; 32])];
        let steps = choices.into_iter().enumerate().map(|(place, (what, number, which, flag))| {
            let one = *which.get(&credentials);
            let mut kept = |record: Verified| {
                credentials.push(record.id());
                Step::Authored(record)
            };
            match what {
                0 => Step::Authored(grant(number, &[Role::Analyst], flag)),
                1 => kept(invitation(number, place as u8)),
                2 | 3 => kept(passkey(number, one)),
                4 => Step::Authored(revocation(number, Revoked::Credential { credential: one })),
                5 => Step::Authored(revocation(number, if flag { Revoked::Officer } else { Revoked::Sessions })),
                _ => sign_in(number, one, flag.then_some(place as u32)),
            }
        });
        steps.collect()
    })
}

proptest! {
    #[test]
    fn rows_are_the_same_when_folded_again_or_in_pieces(steps in histories(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(steps.len() + 1);
        let mut pieces = MemoryRows::default();
        pieces.fold(&steps[..cut], 0);
        let mut pieces = pieces.through_text();
        pieces.fold(&steps[cut..], cut as u64);
        let whole = MemoryRows::of(&steps).through_text();
        prop_assert_eq!(&pieces.through_text().rows, &whole.rows);
        for row in whole.of_view(NAME).iter().filter(|row| row.body["state"] == "revoked") {
            prop_assert_eq!(&row.body["credentials"], &json!([]));
        }
    }
}
