//! Requests: the node confirms each one that it is asked, once, and takes steps only from the two sides of a request.

use std::sync::Arc;

use mufakat_exchange::{Answering, Exchange, NotDeleted, OnRetraction};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::deletion_receipt::Why;
use mufakat_record::kinds::request::{By, Request};
use mufakat_record::kinds::request_step::{RequestStep, Step};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{Handling, Header, Reason, RecordId, Relation, Verified};

use crate::support::*;

fn body(copied: &[&str]) -> Request {
    let text = || "EXERCISE".to_owned();
    let copied: Vec<_> = copied.iter().map(|agency| name(agency)).collect();
    Request {
        by: By::default(),
        title: text(),
        text: text(),
        offence: text(),
        purpose: text(),
        link: text(),
        necessity: text(),
        holding: text(),
        urgency: None,
        restrictions: None,
        language: "en".into(),
        legal_basis: text(),
        judge_needed: false,
        subjects: None,
        copied: (!copied.is_empty()).then_some(copied),
        not_copied: None,
    }
}

fn request(by: &'static str, to: &[&str], copied: &[&str]) -> Verified {
    Node::new(by).record(to, &body(copied), &[])
}

fn step(by: &'static str, to: &str, on: RecordId, step: Step) -> Verified {
    let body = RequestStep { at_ms: NOW_S * 1000, by: Some(By::default()), step };
    Node::new(by).record(&[to], &body, &[(Relation::Answers, on)])
}

/// What a node said by itself on requests: to whom, on what, and the step, with the time of its leaf.
fn confirmed(node: &Node) -> Vec<(Verified, RequestStep)> {
    let kept = node.store.records.values().filter_map(|kept| kept.record.as_ref());
    let own = kept.filter(|r| r.header().kind == RequestStep::KIND && r.header().author == node.id());
    own.map(|r| (r.clone(), RequestStep::from_body(r.header(), r.body()).unwrap())).collect()
}

#[test]
fn a_request_is_confirmed_at_once_and_once() {
    let mut bb = Node::new("bb");
    let answering = Answering { time_zone: "Asia/Jakarta".into(), within_s: Some(60) };
    let load = |node: &Node| {
        Exchange::load(node.store.snapshot(), &node.store, Arc::new(signer("bb")), OnRetraction::Delete)
            .expect("a store")
    };
    bb.exchange = load(&bb).answering(answering);
    let plain = request("aa", &["bb", "cc"], &[]);
    let handling = narrow("bb/d3");
    let asked = signed(Header { handling: handling.clone(), ..plain.header().clone() }, plain.body(), &signer("aa"));
    let taken = bb.take("aa", &[&asked]);
    assert_eq!(reasons(&taken), [None]);
    let said = confirmed(&bb);
    let [(record, body)] = &said[..] else { panic!("{said:?}") };
    let received = Step::Received { time_zone: "Asia/Jakarta".into(), within_s: Some(60) };
    // The clock starts at the time in the receipt.
    assert_eq!((body.at_ms, &body.by, &body.step), (taken[0].at_ms, &None, &received));
    let header = record.header();
    assert_eq!(
        (header.audience.as_slice(), header.the_one(Relation::Answers)),
        ([name("aa")].as_slice(), Some(asked.id()))
    );
    assert_eq!(header.thread, asked.header().thread);
    // That there is such a request is told to nobody who may not read it.
    assert_eq!(header.handling, Handling { review: None, ..handling });
    // Again, at another place and after a crash: nothing more is said.
    bb.take("aa", &[&asked, &asked]);
    bb.crash();
    bb.take("aa", &[&asked]);
    assert_eq!((confirmed(&bb).len(), bb.backlog("aa")), (1, 1));
    // The asking side takes it.
    let mut aa = Node::new("aa");
    aa.share(&[&asked]);
    assert_eq!(reasons(&entries(&aa.take_from(&bb, 1, 9).unwrap())), [None]);
}

#[test]
fn who_has_a_copy_confirms_nothing() {
    let asked = request("aa", &["bb", "cc"], &["cc"]);
    let mut cc = Node::new("cc");
    assert_eq!(reasons(&cc.take("aa", &[&asked])), [None]);
    assert!(confirmed(&cc).is_empty());
    // And it is no side of the request, neither for the asking agency nor as an author of steps.
    let withdrawn = step("aa", "cc", asked.id(), Step::Withdrawn { why: "EXERCISE".into() });
    assert_eq!(reasons(&cc.take("aa", &[&withdrawn])), [Some(Reason::NoSuchRequest)]);
    let mut aa = Node::new("aa");
    aa.share(&[&asked]);
    let routed = step("cc", "aa", asked.id(), Step::Routed { to: "EXERCISE".into() });
    assert_eq!(reasons(&aa.take("cc", &[&routed])), [Some(Reason::NoSuchRequest)]);
    let routed = step("bb", "aa", asked.id(), Step::Routed { to: "EXERCISE".into() });
    assert_eq!(reasons(&aa.take("bb", &[&routed])), [None]);
}

#[test]
fn steps_come_from_the_two_sides_only() {
    let mut bb = Node::new("bb");
    let asked = request("aa", &["bb"], &[]);
    let closed = |by, on| step(by, "bb", on, Step::Closed);
    // A request and a step of it may come in one parcel; a step that comes first belongs to nothing.
    let (early, late) =
        (closed("aa", asked.id()), step("aa", "bb", asked.id(), Step::Withdrawn { why: "EXERCISE".into() }));
    let none = Some(Reason::NoSuchRequest);
    assert_eq!(reasons(&bb.take("aa", &[&early, &asked, &late])), [none, None, None]);
    // A stranger to the request, a request that nobody holds, and a report get the same answer.
    let report = bb.share_report(&["aa", "cc"]);
    let cases = [closed("cc", asked.id()), closed("cc", RecordId([1; 32])), closed("cc", report.id())];
    assert_eq!(reasons(&bb.take("cc", &cases.each_ref())), [none; 3]);
    // Steps by agencies that are asked by ours.
    let ours = bb.record(&["cc"], &body(&[]), &[]);
    bb.share(&[&ours]);
    assert_eq!(reasons(&bb.take("cc", &[&closed("cc", ours.id())])), [None]);
    assert_eq!(reasons(&bb.take("dd", &[&closed("dd", ours.id())])), [none]);
    // A request whose content was deleted takes no more steps.
    let retraction = Node::new("aa").record(
        &["bb"],
        &Retraction { reason: "EXERCISE".into(), carries: None },
        &[(Relation::Retracts, asked.id())],
    );
    let after = step("aa", "bb", asked.id(), Step::Closed);
    let again = step("aa", "bb", asked.id(), Step::Feedback { text: "EXERCISE".into(), useful: true });
    assert_eq!(reasons(&bb.take("aa", &[&after])), [None]);
    // The state rests on a step as long as there is the request. Then somebody may order that it goes, and its author is told.
    let delete = |node: &mut Node| {
        let wanted = [(after.id(), Why::Order)];
        let (batch, outcomes) =
            node.exchange.delete(&wanted, node.now_ms, &mut node.random, &node.store).expect("a store");
        node.apply(&batch);
        outcomes[0]
    };
    assert_eq!(delete(&mut bb), Err(NotDeleted::OfTheCommunity));
    assert_eq!(reasons(&bb.take("aa", &[&retraction])), [None]);
    assert_eq!(reasons(&bb.take("aa", &[&again])), [none]);
    let told = bb.store.kept("deletion-receipt");
    assert_eq!(delete(&mut bb), Ok(()));
    assert_eq!((delete(&mut bb), bb.store.kept("deletion-receipt")), (Err(NotDeleted::NotHeld), told + 1));
}
