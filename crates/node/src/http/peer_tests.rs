//! A member of the register that means harm, and others that do, against a whole node: each gets a named reason, it is
//! counted, and nobody else is worse off.

mod stage;
mod trouble;

use axum::body::Bytes;
use futures_util::future::join_all;
use http::{Method, StatusCode, header};
use minicbor::bytes::ByteVec;
use mufakat_record::kinds::Body as _;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::parcel::PARCEL_BYTES_MAX;
use mufakat_record::{Digest, Reason, SealingKey, Unverified, cbor};
use serde_json::json;

use self::stage::{ATTACKER, Member, OTHER, Stage, Tap, VICTIM, problem};
use crate::clock;
use crate::net::peer_client::{CallLimits, Error, Response};
use crate::wire::{Card, Join, Mailbox, chain_parts};

/// Bytes that are no message, and why.
const GARBAGE: [(&str, &str); 11] = [
    ("", "truncated"),
    ("a20102", "truncated"),
    ("5903e8aa", "truncated"),
    ("a201020103", "duplicate-key"),
    ("5f4161ff", "indefinite-length"),
    ("1817", "non-canonical"),
    ("0000", "trailing-bytes"),
    ("8181818181818181818181818100", "too-deep"),
    ("991001", "list-too-long"),
    ("00", "malformed"),
    ("f97e00", "malformed"),
];

fn refused(answer: &Response) -> (u16, String) {
    let (status, reason, _) = problem(answer);
    (status, reason)
}

fn no(status: u16, reason: Reason) -> (u16, String) {
    (status, reason.name().to_owned())
}

fn receipt(answer: &Response) -> Receipt {
    assert_eq!(answer.status, StatusCode::OK, "{:?}", problem(answer));
    let record = Unverified::parse(answer.body.to_vec()).unwrap();
    let header = record.header().clone();
    let record = mufakat_record::Verified::from_own_store(answer.body.to_vec()).unwrap();
    Receipt::from_body(&header, record.body()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_route_has_a_named_reason_and_is_counted() {
    let stage = Stage::set(true);
    let (victim, attacker) = (stage.serve(VICTIM).await, stage.member(ATTACKER));
    let routes = ["parcel", "sync", "register", "relay", "join", "witness/seen"];
    for (body, reason) in GARBAGE {
        let before = victim.rejected(reason).await;
        for route in routes {
            let answer = attacker.post(route, hex::decode(body).unwrap()).await;
            assert_eq!(refused(&answer), (422, reason.to_owned()), "{body} at {route}");
        }
        assert_eq!(victim.rejected(reason).await - before, routes.len() as f64, "{reason}");
    }
    // A request to a witness is text, and so is the refusal (C2SP tlog-witness).
    let answer = attacker.post("witness/add-checkpoint", "old three\n\n").await;
    assert_ne!(answer.status, StatusCode::OK);
    assert!(answer.status.is_client_error());
    for route in ["mailbox", "mailbox?after=x", "relay/chunk/zz", "relay/chunk/zz?to=ru_police"] {
        let method = if route.starts_with("relay") { Method::PUT } else { Method::GET };
        assert_eq!(attacker.call(method, route, "").await.status, StatusCode::BAD_REQUEST, "{route}");
    }
    for route in ["chunk/zz", "keys/Z", "keys/nobody", "tile/0/00", "consistency?from=2&to=1"] {
        assert_eq!(refused(&attacker.get(route).await), no(404, Reason::NotFound), "{route}");
    }
    let name = Digest([5; 32]);
    let answer = attacker.call(Method::PUT, &format!("relay/chunk/{name}?to={OTHER}"), "EXERCISE").await;
    assert_eq!(refused(&answer), no(422, Reason::Malformed));
    victim.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_that_do_not_belong_here_are_refused_by_name() {
    let stage = Stage::set(false);
    let (victim, attacker, other) = (stage.serve(VICTIM).await, stage.member(ATTACKER), stage.member(OTHER));
    let key = attacker.greet().await;
    let record = [attacker.record(VICTIM, 1)];

    let for_another = attacker.seal(attacker.outer(OTHER, 1), &record, &key);
    assert_eq!(refused(&attacker.post("parcel", for_another).await), no(422, Reason::WrongRecipient));
    let sound = attacker.parcel(1, 1, &key);
    assert_eq!(refused(&other.post("parcel", sound.clone()).await), no(422, Reason::SenderNotAuthor));
    let mut outer = attacker.outer(VICTIM, 1);
    outer.register_version = 9;
    let future = attacker.seal(outer, &record, &key);
    assert_eq!(refused(&attacker.post("parcel", future).await), no(409, Reason::UnknownRegister));
    let unknown = attacker.seal(attacker.outer(VICTIM, 1), &record, SealingKey::from_seed(&[9; 32]).public());
    assert_eq!(refused(&attacker.post("parcel", unknown).await), no(409, Reason::UnknownSealingKey));
    // It has not told its keys.
    let early = other.parcel(1, 1, &key);
    assert_eq!(refused(&other.post("parcel", early).await), no(409, Reason::UnknownKey));
    let mut changed = sound.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&attacker.post("parcel", changed).await), no(422, Reason::CannotOpen));
    let cut = sound[..sound.len() - 1].to_vec();
    assert_eq!(refused(&attacker.post("parcel", cut).await), no(422, Reason::Truncated));
    for reason in [
        Reason::WrongRecipient,
        Reason::SenderNotAuthor,
        Reason::UnknownRegister,
        Reason::UnknownSealingKey,
        Reason::UnknownKey,
        Reason::CannotOpen,
        Reason::Truncated,
    ] {
        assert_eq!(victim.rejected(reason.name()).await, 1.0, "{reason}");
    }
    assert_eq!(receipt(&attacker.post("parcel", sound).await).entries[0].rejected, None);
    victim.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_do_not_hold_are_rejected_in_the_receipt_one_by_one() {
    let stage = Stage::set(false);
    let (victim, attacker, other) = (stage.serve(VICTIM).await, stage.member(ATTACKER), stage.member(OTHER));
    let key = attacker.greet().await;
    other.greet().await;
    let mut forged = attacker.record(VICTIM, 1);
    *forged.last_mut().unwrap() ^= 1;
    let unknown_register = attacker.record_with(VICTIM, 2, |header| header.register = Digest([8; 32]));
    let expired = attacker.record_with(VICTIM, 3, |header| header.expires = Some(clock::now_s() - 1));
    let not_of_kind = attacker.record_with(VICTIM, 4, |header| header.kind = "report".into());
    let old_key = attacker.record_with(VICTIM, 5, |header| header.issued_at = 1_000_000);
    let records = [
        (other.record(VICTIM, 1), Some(Reason::SenderNotAuthor)),
        (attacker.record(OTHER, 1), Some(Reason::NotInAudience)),
        (forged, Some(Reason::WrongSignature)),
        (unknown_register, Some(Reason::UnknownRegister)),
        (expired, Some(Reason::Expired)),
        (not_of_kind, Some(Reason::BodyNotOfKind)),
        (old_key, Some(Reason::KeyNotYetValid)),
        (b"\x84".to_vec(), Some(Reason::Truncated)),
        (attacker.record(VICTIM, 6), None),
    ];
    let bytes: Vec<_> = records.iter().map(|(bytes, _)| bytes.clone()).collect();
    let answer = attacker.post("parcel", attacker.seal(attacker.outer(VICTIM, 1), &bytes, &key)).await;
    let entries = receipt(&answer).entries;
    assert_eq!(entries.len(), records.len());
    for (entry, (_, expected)) in entries.iter().zip(&records) {
        assert_eq!(entry.rejected.as_deref(), expected.map(Reason::name));
        if let Some(reason) = expected {
            assert_eq!(victim.rejected(reason.name()).await, 1.0, "{reason}");
        }
    }
    assert_eq!(victim.get("/api/v1/views/inbox").await.1["rows"].as_array().map(Vec::len), Some(1));
    victim.until("/api/v1/views/refused", |page| page["rows"].as_array().is_some_and(|rows| rows.len() == 8)).await;
    victim.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_gets_the_same_word_and_a_gap_is_told_where_to_go_on() {
    let stage = Stage::set(false);
    let (victim, attacker) = (stage.serve(VICTIM).await, stage.member(ATTACKER));
    let key = attacker.greet().await;
    let first = attacker.parcel(1, 1, &key);
    let entries = receipt(&attacker.post("parcel", first.clone()).await).entries;
    for _ in 0..3 {
        assert_eq!(receipt(&attacker.post("parcel", first.clone()).await).entries, entries);
    }
    let (second, third) = (attacker.parcel(2, 2, &key), attacker.parcel(3, 3, &key));
    assert_eq!(problem(&attacker.post("parcel", third.clone()).await), (409, "gap".into(), Some(2)));
    assert_eq!(victim.rejected("gap").await, 1.0);
    for (parcel, position) in [(second, 2), (third, 3)] {
        assert_eq!(receipt(&attacker.post("parcel", parcel).await).entries[0].position, position);
    }
    // Another record in a place that is taken changes nothing there.
    let word = receipt(&attacker.post("parcel", attacker.parcel(1, 9, &key)).await).entries;
    assert_eq!((word[0].record, word[0].position), (entries[0].record, 1));
    let mut outer = attacker.outer(VICTIM, 1);
    outer.epoch = 2;
    let restored = attacker.seal(outer, &[attacker.record(VICTIM, 4)], &key);
    assert_eq!(receipt(&attacker.post("parcel", restored).await).entries[0].rejected, None);
    assert_eq!(refused(&attacker.post("parcel", attacker.parcel(4, 5, &key)).await), no(409, Reason::StaleEpoch));
    assert_eq!(victim.get("/api/v1/views/inbox").await.1["rows"].as_array().map(Vec::len), Some(4));
    victim.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_cost_neither_node_nor_connection() {
    let stage = Stage::set(true);
    let (victim, mut attacker) = (stage.serve(VICTIM).await, stage.member(ATTACKER));
    let tap = Tap::before(&mut attacker).await;
    let key = attacker.greet().await;
    let oversize = no(413, Reason::Oversize);
    for route in ["parcel", "relay"] {
        assert_eq!(refused(&attacker.post(route, vec![0; PARCEL_BYTES_MAX + 1]).await), oversize, "{route}");
    }
    let (parcel, register) = (PARCEL_BYTES_MAX + 1025, 4 * 1024 * 1024 + 1);
    let limits = [("parcel", parcel), ("relay", parcel), ("register", register), ("witness/add-checkpoint", 8193)];
    for (route, bytes) in limits {
        assert_eq!(attacker.post(route, vec![0; bytes]).await.status, StatusCode::PAYLOAD_TOO_LARGE, "{route}");
    }
    assert_eq!(victim.rejected("oversize").await, 6.0);
    assert_eq!(receipt(&attacker.post("parcel", attacker.parcel(1, 1, &key)).await).entries.len(), 1);
    assert_eq!(tap.connections(), 1);
    victim.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reaches_nothing_but_joining_and_a_member_no_path_that_is_none() {
    let stage = Stage::set(true);
    let (victim, attacker) = (stage.serve(VICTIM).await, stage.member(ATTACKER));
    for path in ["nothing", "relay/nothing", "../api/v1/status", "mailbox/sg-fusion"] {
        assert_eq!(refused(&attacker.get(path).await), no(404, Reason::NotFound), "{path}");
    }
    assert_eq!(attacker.call(Method::DELETE, "parcel", "").await.status, StatusCode::METHOD_NOT_ALLOWED);

    let stranger = stage.stranger("xx-nobody");
    let mut answers = Vec::new();
    for path in ["register", "mailbox?after=0", "keys/sg-fusion", "checkpoint", "nothing"] {
        let answer = stranger.get(path).await;
        assert_eq!(refused(&answer), no(403, Reason::AuthorNotInRegister), "{path}");
        answers.push(same(answer));
    }
    for path in ["parcel", "sync", "register", "relay", "witness/seen", "witness/add-checkpoint"] {
        answers.push(same(stranger.post(path, "EXERCISE").await));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "whether a path is there is not said");

    let identity = Digest(*stranger.keyring.identity().public().as_bytes());
    let card = Card {
        agency: stranger.id.clone(),
        name: "EXERCISE".into(),
        party: "p-nobody".parse().unwrap(),
        party_name: "EXERCISE".into(),
        endpoint: "localhost:1".into(),
        identity,
        relay: false,
    };
    let join = cbor::encode(&Join { token: Digest([1; 32]), card });
    assert_eq!(refused(&stranger.post("join", join).await), no(404, Reason::NotFound));
    // A name of the register with another key does not even get through the handshake.
    let mallory = stage.stranger(OTHER);
    let limits = CallLimits::default();
    let call = mallory.client.request(&mallory.peer, Method::GET, "/peer/v1/register", Bytes::new(), &limits);
    assert!(matches!(call.await, Err(Error::Handshake { .. })));
    victim.end().await;
}

/// An answer as it can be compared: all of it but the time.
fn same(mut answer: Response) -> (StatusCode, http::HeaderMap, Bytes) {
    answer.headers.remove(header::DATE);
    (answer.status, answer.headers, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_of_somebody_else_is_as_absent_as_one_that_is_not_there() {
    let stage = Stage::set(false);
    let (victim, attacker, other) = (stage.serve(VICTIM).await, stage.member(ATTACKER), stage.member(OTHER));
    let octets = "application/octet-stream";
    let path = "/api/v1/attachments?name=EXERCISE.txt&media_type=text/plain";
    let (status, upload) = victim.ask(Method::POST, path, octets, "EXERCISE content").await;
    assert!(status.is_success(), "{upload}");
    let envelope =
        json!({"to": [OTHER], "tlp": "AMBER", "attachments": [upload["upload"]], "body": {"title": "EXERCISE"}});
    let (status, shared) = victim.post("/api/v1/records", &envelope).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");

    let mut found = Vec::new();
    for folder in std::fs::read_dir(victim.dir.join("chunks")).unwrap().map(Result::unwrap) {
        if folder.path().is_dir() {
            let files = std::fs::read_dir(folder.path()).unwrap();
            found.extend(files.map(|file| file.unwrap().file_name().into_string().unwrap()));
        }
    }
    let names: Vec<String> = found.into_iter().filter(|name| name.parse::<Digest>().is_ok()).collect();
    assert_eq!(names.len(), 1, "one chunk was made");
    assert_eq!(other.get(&format!("chunk/{}", names[0])).await.status, StatusCode::OK, "its recipient gets it");
    let theirs = attacker.get(&format!("chunk/{}", names[0])).await;
    assert_eq!(refused(&theirs), no(404, Reason::NotFound));
    let absent = attacker.get(&format!("chunk/{}", Digest([1; 32]))).await;
    let nonsense = attacker.get("chunk/nonsense").await;
    let theirs = same(theirs);
    assert_eq!(theirs, same(absent));
    assert_eq!(theirs, same(nonsense));
    victim.end().await;
}

async fn mail(member: &Member) -> Mailbox {
    let answer = member.get("mailbox?after=0").await;
    assert_eq!(answer.status, StatusCode::OK);
    cbor::decode(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_its_owners_alone_and_only_a_relay_has_any() {
    let plain = Stage::set(false);
    let (victim, attacker, other) = (plain.serve(VICTIM).await, plain.member(ATTACKER), plain.member(OTHER));
    let key = attacker.greet().await;
    let parcel = |to: &str| attacker.seal(attacker.outer(to, 1), &[attacker.record(to, 1)], &key);
    assert_eq!(refused(&attacker.post("relay", parcel(OTHER)).await), no(404, Reason::NotFound));
    let chunk = format!("relay/chunk/{}?to={OTHER}", Digest::of(b"EXERCISE"));
    assert_eq!(refused(&attacker.call(Method::PUT, &chunk, "EXERCISE").await), no(404, Reason::NotFound));
    assert!(mail(&other).await.is_empty());
    victim.end().await;

    let stage = Stage::set(true);
    let (victim, attacker, other) = (stage.serve(VICTIM).await, stage.member(ATTACKER), stage.member(OTHER));
    let key = attacker.greet().await;
    let sealed = attacker.seal(attacker.outer(OTHER, 1), &[attacker.record(OTHER, 1)], &key);
    assert_eq!(refused(&other.post("relay", sealed.clone()).await), no(422, Reason::SenderNotAuthor));
    assert_eq!(attacker.post("relay", sealed.clone()).await.status, StatusCode::ACCEPTED);
    let mut expired = attacker.outer(OTHER, 2);
    expired.expires = clock::now_s() - 1;
    let expired = attacker.seal(expired, &[attacker.record(OTHER, 2)], &key);
    assert_eq!(refused(&attacker.post("relay", expired).await), no(422, Reason::Expired));
    // Nobody can name another's mailbox, neither to read it nor to clear it.
    assert!(mail(&attacker).await.is_empty());
    assert_eq!(attacker.get("mailbox?after=999999").await.status, StatusCode::OK);
    assert_eq!(attacker.get("mailbox?after=999999&of=sg-fusion").await.status, StatusCode::OK);
    let got = mail(&other).await;
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].1, ByteVec::from(sealed), "as it was left");
    victim.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_is_out_at_once_and_everyone_else_is_not() {
    let stage = Stage::set(true);
    let (victim, mut attacker, other) = (stage.serve(VICTIM).await, stage.member(ATTACKER), stage.member(OTHER));
    let tap = Tap::before(&mut attacker).await;
    let key = attacker.greet().await;
    let sealed = attacker.seal(attacker.outer(OTHER, 1), &[attacker.record(OTHER, 1)], &key);
    assert_eq!(attacker.post("relay", sealed).await.status, StatusCode::ACCEPTED);
    let for_it = other.seal(other.outer(ATTACKER, 1), &[other.record(ATTACKER, 1)], &key);
    assert_eq!(other.post("relay", for_it.clone()).await.status, StatusCode::ACCEPTED);
    assert_eq!((mail(&other).await.len(), mail(&attacker).await.len()), (1, 1));

    let chain = stage.without(ATTACKER);
    let mut parts = chain_parts(&chain);
    parts[1].1.clear();
    let answer = other.post("register", cbor::encode(&parts)).await;
    assert_eq!(refused(&answer), no(422, Reason::TooFewApprovals));
    assert_eq!(other.show(&chain).await.status, StatusCode::NO_CONTENT);

    let answer = attacker.get("mailbox?after=0").await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::FORBIDDEN, &b"not in the register"[..]));
    assert_eq!(attacker.post("parcel", attacker.parcel(1, 1, &key)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(tap.connections(), 1, "on the connection that it has");
    assert_eq!(refused(&other.post("relay", for_it).await), no(422, Reason::RecipientRemoved));
    let chunk = format!("relay/chunk/{}?to={ATTACKER}", Digest::of(b"EXERCISE"));
    assert_eq!(refused(&other.call(Method::PUT, &chunk, "EXERCISE").await), no(422, Reason::RecipientRemoved));
    // Nor does anything reach others that it left here before.
    for _ in 0..200 {
        if mail(&other).await.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(mail(&other).await.is_empty());
    let key = other.greet_later(2).await;
    let mut outer = other.outer(VICTIM, 1);
    outer.register_version = 2;
    let sealed = other.seal(outer, &[other.record(VICTIM, 1)], &key);
    assert_eq!(receipt(&other.post("parcel", sealed).await).entries[0].rejected, None);
    // The older register does not come back, nor does another take its place.
    assert_eq!(other.show(&stage.chain).await.status, StatusCode::NO_CONTENT);
    assert_eq!(refused(&other.show(&stage.without(OTHER)).await), no(422, Reason::BadRegister));
    assert_eq!(other.get("register").await.body, cbor::encode(&chain_parts(&chain)));
    assert_eq!(attacker.get("register").await.status, StatusCode::FORBIDDEN);
    victim.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_told_to_wait_and_nobody_else_is() {
    let mut stage = Stage::set(false);
    let limits = &mut stage.config(VICTIM).limits;
    (limits.peer_requests_per_s, limits.peer_burst) = (1, 5);
    let (victim, attacker, other) = (stage.serve(VICTIM).await, stage.member(ATTACKER), stage.member(OTHER));
    let answers = join_all((0..40).map(|_| attacker.get("register"))).await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == StatusCode::OK);
    assert!((5..10).contains(&served.len()), "{} were served", served.len());
    for answer in &refused {
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::SERVICE_UNAVAILABLE, &b"overloaded"[..]));
        let wait_s: u64 = answer.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait_s));
    }
    assert_eq!(other.get("register").await.status, StatusCode::OK);
    let counted = victim.metric("mufakat_flood_refusals_total{caller=\"ru-police\"}").await;
    assert_eq!(counted, refused.len() as f64);
    victim.end().await;
}
