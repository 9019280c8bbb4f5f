//! Bad input on a channel and from the own desk: each with its reason, and none of it stops what comes after.

use mufakat_exchange::{Change, Delivery, Item, Refusal, Refused, Submission, What};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{Digest, Header, Reason, RecordId, Verified};

use crate::store::Broken;
use crate::support::*;

fn sound_report(header: Header) -> Verified {
    signed(header, &report_body("EXERCISE").to_body(), &signer("aa"))
}

/// A record of some author for bb, changed as the case needs it.
fn report_with(change: impl FnOnce(&mut Header)) -> Verified {
    let mut header = header("aa", &["bb"], "report", chain().hash());
    change(&mut header);
    sound_report(header)
}

fn receipt_of(author: &str, to: &str, entries: Vec<Entry>) -> Verified {
    let body = Receipt { epoch: 1, ledger: format!("mufakat/{author}/1"), entries };
    signed(header(author, &[to], "receipt", chain().hash()), &body.to_body(), &signer(author))
}

fn entry(position: u64, record: RecordId) -> Entry {
    Entry { position, record, rejected: None, at_ms: 1, index: 0, salt: [0; 16] }
}

/// Records whose signatures hold, and what bb says to each when it comes on the channel of aa.
fn cases() -> Vec<(&'static str, Verified, Option<Reason>)> {
    use Reason::*;
    let register = chain().hash();
    let of_kind = |kind: &str, body: &[u8], key| signed(header("aa", &["bb"], kind, register), body, &key);
    let hash = founding().hash();
    let of_cc = header("cc", &["bb"], "report", register);
    let of_cc_to_dd = Header { audience: vec![name("dd")], ..of_cc.clone() };
    let report = report_body("EXERCISE").to_body();
    vec![
        ("sound", report_with(|_| {}), None),
        ("for somebody else", report_with(|h| h.audience = vec![name("cc")]), Some(NotInAudience)),
        ("for its author alone", report_with(|h| h.audience = vec![name("aa")]), Some(NotInAudience)),
        ("for us and others, one of them unknown", report_with(|h| h.audience.push(name("zz"))), None),
        ("by another agency", signed(of_cc, &report, &signer("cc")), Some(SenderNotAuthor)),
        ("by another agency for another", signed(of_cc_to_dd, &report, &signer("cc")), Some(SenderNotAuthor)),
        ("under an unknown register", report_with(|h| h.register = Digest([9; 32])), Some(UnknownRegister)),
        ("expired a second ago", report_with(|h| h.expires = Some(NOW_S - 1)), Some(Expired)),
        ("expires now", report_with(|h| h.expires = Some(NOW_S)), None),
        ("a report by the identity key", of_kind("report", &report, identity("aa")), Some(UnknownKey)),
        ("an unknown kind by the identity key", of_kind("new", &[0], identity("aa")), Some(UnknownKey)),
        ("a key set by a signing key", key_set_with("aa", 2, register, &signer("aa"), |_| {}), Some(UnknownKey)),
        ("an approval by a signing key", approval_with("aa", 2, hash, register, &signer("aa")), Some(UnknownKey)),
        ("a key set", key_set("aa", 2, register), None),
        ("an approval", approval("aa", 2, hash, register), None),
        (
            "an unsound key set",
            key_set_with("aa", 3, register, &identity("aa"), |k| k.signing.clear()),
            Some(BodyNotOfKind),
        ),
        ("a receipt", receipt_of("aa", "bb", vec![entry(1, RecordId([1; 32]))]), Some(BodyNotOfKind)),
        ("a report with another body", of_kind("report", &[0x60], signer("aa")), Some(BodyNotOfKind)),
        ("a report without a body", of_kind("report", &[], signer("aa")), Some(BodyNotOfKind)),
        ("a report with more", of_kind("report", &[&report[..], &[0]].concat(), signer("aa")), Some(BodyNotOfKind)),
        (
            "a retraction of nothing",
            of_kind("retraction", &Retraction { reason: String::new(), carries: None }.to_body(), signer("aa")),
            Some(BodyNotOfKind),
        ),
        ("a kind to come", of_kind("question/2", &[0x81, 0x00], signer("aa")), None),
        ("a kind to come that is no CBOR", of_kind("question/2", &[0x9f, 0xff], signer("aa")), Some(BodyNotOfKind)),
        ("a kind with a bad name", of_kind("Report", &report, signer("aa")), Some(BodyNotOfKind)),
        ("signed a day ahead", report_with(|h| h.issued_at = KEYS_UNTIL_S), None),
        // The first check that fails gives the reason.
        (
            "not for us, under an unknown register",
            report_with(|h| (h.audience, h.register) = (vec![name("cc")], Digest([9; 32]))),
            Some(NotInAudience),
        ),
        (
            "unknown register and expired",
            report_with(|h| (h.expires, h.register) = (Some(1), Digest([9; 32]))),
            Some(UnknownRegister),
        ),
        (
            "expired, by the identity key",
            signed(Header { expires: Some(1), ..header("aa", &["bb"], "report", register) }, &report, &identity("aa")),
            Some(Expired),
        ),
        (
            "a receipt by the identity key",
            signed(header("aa", &["bb"], "receipt", register), &[0], &identity("aa")),
            Some(UnknownKey),
        ),
    ]
}

#[test]
fn each_record_has_its_reason_and_the_channel_goes_on() {
    let cases = cases();
    let mut bb = Node::new("bb");
    let items = bb.items(cases.iter().map(|(_, record, _)| record.bytes().to_vec()).collect());
    let (batch, receipt) = bb.take_at("aa", 1, 1, items).unwrap();
    let said = reasons(&entries(&receipt));
    for (number, (what, record, reason)) in cases.iter().enumerate() {
        assert_eq!(said[number], *reason, "{what}");
        let entry = &entries(&receipt)[number];
        assert_eq!((entry.position, entry.record), (number as u64 + 1, record.id()), "{what}");
        assert_eq!(bb.store.records.contains_key(&record.id()), reason.is_none(), "{what}");
        let leaf = &bb.store.leaves[entry.index as usize];
        assert_eq!((leaf.what, leaf.subject.0), (What::Received, record.id().0), "{what}");
        assert_eq!(leaf.detail, reason.map_or("", Reason::name).as_bytes(), "{what}");
    }
    assert_eq!(bb.exchange.inbound(&name("aa")).expected, cases.len() as u64 + 1);
    let kept = cases.iter().filter(|(.., reason)| reason.is_none()).count();
    // The receipt itself is kept, too.
    assert_eq!(count(&batch, |c| matches!(c, Change::Keep { .. })), kept + 1);
    // Each by itself is judged in the same way.
    for (what, record, reason) in &cases {
        assert_eq!(reasons(&Node::new("bb").take("aa", &[record])), [*reason], "{what}");
    }
}

#[test]
fn what_is_no_record_gets_the_reason_why() {
    let mut bb = Node::new("bb");
    let good = report_with(|_| {});
    let mut items = Vec::new();
    for (number, reason) in Reason::ALL.iter().enumerate() {
        items.push(Item { id: RecordId([number as u8 + 1; 32]), record: Err(*reason) });
    }
    items.push(Item { id: good.id(), record: Ok(good.clone()) });
    let (_, receipt) = bb.take_at("aa", 1, 1, items).unwrap();
    let expected: Vec<_> = Reason::ALL.iter().copied().map(Some).chain([None]).collect();
    assert_eq!(reasons(&entries(&receipt)), expected);
    assert_eq!(entries(&receipt)[0].record, RecordId([1; 32]));
    // The good report and the receipt: nothing else is kept.
    assert_eq!(bb.store.records.len(), 2);
    assert_eq!(bb.exchange.inbound(&name("aa")).expected, Reason::ALL.len() as u64 + 2);
}

#[test]
fn keys_and_signatures() {
    let flip = |at: fn(usize) -> usize| {
        let mut bytes = report_with(|_| {}).into_bytes();
        let at = at(bytes.len());
        bytes[at] ^= 1;
        bytes
    };
    let stranger =
        signed(header("aa", &["bb"], "report", chain().hash()), &report_body("EXERCISE").to_body(), &signer("cc"));
    let by_identity_of_another = signed(header("aa", &["bb"], "report", chain().hash()), &[0], &identity("bb"));
    let cases = [
        ("a changed signature", flip(|len| len - 1), Reason::WrongSignature),
        ("a changed body", flip(|len| len - 70), Reason::WrongSignature),
        ("the key of another agency", stranger.into_bytes(), Reason::UnknownKey),
        ("the identity key of another agency", by_identity_of_another.into_bytes(), Reason::UnknownKey),
        ("before the key's time", report_with(|h| h.issued_at = NOW_S - 1001).into_bytes(), Reason::KeyNotYetValid),
        ("after the key's time", report_with(|h| h.issued_at = KEYS_UNTIL_S + 1).into_bytes(), Reason::KeyExpired),
        ("cut", report_with(|_| {}).bytes()[..100].to_vec(), Reason::Truncated),
        ("nothing", Vec::new(), Reason::Truncated),
    ];
    for (what, bytes, reason) in cases {
        let mut bb = Node::new("bb");
        let items = bb.items(vec![bytes, report_with(|_| {}).into_bytes()]);
        let (_, receipt) = bb.take_at("aa", 1, 1, items).unwrap();
        assert_eq!(reasons(&entries(&receipt)), [Some(reason), None], "{what}");
    }
    // Signed in time, and on its way for too long.
    let mut bb = Node::new("bb");
    bb.now_ms = (KEYS_UNTIL_S + RELAY_MAX_S) * 1000;
    let report = report_with(|_| {}).into_bytes();
    assert!(bb.items(vec![report.clone()])[0].record.is_ok());
    bb.now_ms += 1000;
    let items = bb.items(vec![report.clone()]);
    assert_eq!(reasons(&entries(&bb.take_late("aa", items))), [Some(Reason::KeyExpired)]);
    // Revoked.
    let mut bb = Node::new("bb");
    let revoking = key_set_with("aa", 2, chain().hash(), &identity("aa"), |k| k.signing[0].revoked = Some(NOW_S + 900));
    assert!(bb.adopt_key_set(&revoking).unwrap().directory_changed);
    let items = bb.items(vec![report]);
    assert_eq!(reasons(&entries(&bb.take_at("aa", 1, 1, items).unwrap().1)), [Some(Reason::KeyRevoked)]);
}

#[test]
fn senders_that_are_not_in_the_register() {
    let report = report_with(|_| {});
    let item = || vec![Item { id: report.id(), record: Ok(report.clone()) }];
    let mut bb = Node::new("bb");
    assert_eq!(refused(bb.take_at("zz", 1, 1, item())), (Reason::AuthorNotInRegister, 0));
    let next = following(&founding(), |v| remove(v, "dd"));
    bb.adopt_chain(chain_of(&[next])).unwrap();
    assert_eq!(refused(bb.take_at("dd", 1, 1, item())), (Reason::AuthorRemoved, 0));
    // Before anything else is looked at.
    assert_eq!(refused(bb.take_at("dd", 0, 9, Vec::new())), (Reason::AuthorRemoved, 0));
    assert_eq!(bb.take_at("aa", 1, 1, item()).map(|(_, receipt)| reasons(&entries(&receipt))), Ok(vec![None]));
}

#[test]
fn a_receipt_that_is_held_is_still_none_on_a_channel() {
    let (mut aa, mut bb) = (Node::new("aa"), Node::new("bb"));
    aa.share_report(&["bb"]);
    let receipt = bb.take_from(&aa, 1, 1).unwrap();
    aa.take_receipt(&receipt).unwrap();
    assert!(aa.store.records.contains_key(&receipt.id()));
    assert_eq!(reasons(&aa.take("bb", &[&receipt])), [Some(Reason::BodyNotOfKind)]);
}

/// Whether a record of a third agency is held is not told to those who send it.
#[test]
fn holding_is_not_told() {
    let mut bb = Node::new("bb");
    let of_cc =
        signed(header("cc", &["bb"], "report", chain().hash()), &report_body("EXERCISE").to_body(), &signer("cc"));
    assert_eq!(reasons(&bb.take("cc", &[&of_cc])), [None]);
    assert_eq!(reasons(&bb.take("aa", &[&of_cc])), [Some(Reason::SenderNotAuthor)]);
    assert_eq!(reasons(&Node::new("bb").take("aa", &[&of_cc])), [Some(Reason::SenderNotAuthor)]);
}

#[test]
fn what_the_own_desk_may_not_share() {
    let mut aa = Node::new("aa");
    let register = chain().hash();
    let report = report_body("EXERCISE").to_body();
    let of_kind = |kind: &str, body: &[u8], key| signed(header("aa", &["bb"], kind, register), body, &key);
    let unfit = |reason| Some(Refusal::Unfit(reason));
    let cases = [
        ("sound", report_with(|_| {}), None),
        (
            "of another agency",
            signed(header("bb", &["cc"], "report", register), &report, &signer("bb")),
            unfit(Reason::SenderNotAuthor),
        ),
        ("under another register", report_with(|h| h.register = Digest([9; 32])), Some(Refusal::RegisterChanged)),
        ("to nobody there is", report_with(|h| h.audience.push(name("zz"))), Some(Refusal::RegisterChanged)),
        ("a receipt", receipt_of("aa", "bb", vec![entry(1, RecordId([1; 32]))]), unfit(Reason::BodyNotOfKind)),
        ("another body", of_kind("report", &[0x60], signer("aa")), unfit(Reason::BodyNotOfKind)),
        ("by the identity key", of_kind("report", &report, identity("aa")), unfit(Reason::UnknownKey)),
        (
            "a key set by a signing key",
            key_set_with("aa", 2, register, &signer("aa"), |_| {}),
            unfit(Reason::UnknownKey),
        ),
        ("a key set", key_set("aa", 2, register), None),
        ("a kind to come", of_kind("question", &[0], signer("aa")), None),
    ];
    for (what, record, refusal) in cases {
        let before = aa.exchange.ledger();
        // A sound one in front of it is not taken either.
        let sound = aa.report(&["bb"]);
        let submissions = [&sound, &record].map(|record| Submission { record: record.clone(), key: None });
        assert_eq!(aa.submit(submissions.to_vec()).err(), refusal, "{what}");
        assert_eq!(aa.exchange.ledger() == before, refusal.is_some(), "{what}");
        assert_eq!(aa.store.records.contains_key(&sound.id()), refusal.is_none(), "{what}");
    }
}

#[test]
fn an_empty_audience_is_refused_before_it_is_signed() {
    let header = header("aa", &[], "report", chain().hash());
    let draft = mufakat_record::Draft { header, body: report_body("EXERCISE").to_body() };
    assert_eq!(draft.sign(&signer("aa")).err(), Some(Reason::EmptyAudience));
}

/// When the store cannot answer, nothing is decided and nothing has happened.
#[test]
fn a_store_that_cannot_answer() {
    let (mut aa, mut bb) = (Node::new("aa"), Node::new("bb"));
    aa.share_report(&["bb"]);
    let receipt = bb.take_from(&aa, 1, 1).unwrap();
    let report = aa.report(&["bb"]);
    let (before, to) = (aa.exchange.ledger(), name("bb"));
    let now_ms = aa.now_ms;
    for key in [None, Some([1; 16])] {
        let submission = Submission { record: report.clone(), key };
        let result = aa.exchange.submit(vec![submission], &Digest([9; 32]), now_ms, &mut aa.random, &Broken);
        assert!(matches!(result, Err(Refusal::Unavailable(_))));
    }
    let result = aa.exchange.take_receipt(receipt, now_ms, &mut aa.random, &Broken);
    assert!(matches!(result, Err(Refused::Unavailable(_))));
    assert_eq!((aa.exchange.ledger(), aa.exchange.outbound(&to).unwrap().backlog()), (before, 1));

    let before = (bb.exchange.ledger(), bb.exchange.inbound(&name("aa")));
    for first in [1, 2] {
        let delivery = Delivery { sender: name("aa"), epoch: 1, first, items: bb.items(vec![report.bytes().to_vec()]) };
        let result = bb.exchange.deliver(delivery, bb.now_ms, &mut bb.random, &Broken);
        assert!(matches!(result, Err(Refused::Unavailable(_))));
    }
    assert_eq!((bb.exchange.ledger(), bb.exchange.inbound(&name("aa"))), before);
}
