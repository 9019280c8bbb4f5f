//! Channels: gaps, repetition, reordering, overlaps and epochs; submissions that come again.

use mufakat_exchange::{Change, FAILURES_BEFORE_RELAY, Inbound, Item, Plan, Refusal, Submission, What};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::receipt::Entry;
use mufakat_record::{Reason, RecordId, Verified};

use crate::support::*;

/// aa with some reports on its channel to bb, and bb.
fn pair(reports: usize) -> (Node, Node, Vec<Verified>) {
    let (mut aa, bb) = (Node::new("aa"), Node::new("bb"));
    let reports = (0..reports).map(|_| aa.share_report(&["bb"])).collect();
    (aa, bb, reports)
}

fn expected(node: &Node, from: &str) -> u64 {
    node.exchange.inbound(&name(from)).expected
}

#[test]
fn a_gap_is_refused_with_the_expected_position() {
    let (aa, mut bb, _) = pair(5);
    assert_eq!(refused(bb.take_from(&aa, 2, 4)), (Reason::Gap, 1));
    bb.take_from(&aa, 1, 2).unwrap();
    for first in [4, 5] {
        assert_eq!(refused(bb.take_from(&aa, first, 1)), (Reason::Gap, 3));
    }
    let item = || vec![Item { id: RecordId([1; 32]), record: Err(Reason::Malformed) }];
    for first in [u64::MAX - 1, u64::MAX] {
        assert_eq!(refused(bb.take_at("aa", 1, first, item())), (Reason::Gap, 3));
    }
    bb.take_from(&aa, 3, 9).unwrap();
    assert_eq!(expected(&bb, "aa"), 6);
    assert_eq!(bb.store.kept("report"), 5);
}

#[test]
fn no_position_and_no_records() {
    let (aa, mut bb, _) = pair(1);
    let items = bb.items(aa.store.outbox(&name("bb"), 1, 1));
    assert_eq!(refused(bb.take_at("aa", 1, 0, items)), (Reason::Malformed, 1));
    for first in [0, 1] {
        assert_eq!(refused(bb.take_at("aa", 1, first, Vec::new())), (Reason::Malformed, 1));
    }
    // An empty delivery beyond is a gap all the same, and of no epoch that is remembered.
    assert_eq!(refused(bb.take_at("aa", 7, 2, Vec::new())), (Reason::Gap, 1));
    assert_eq!(bb.exchange.inbound(&name("aa")), Inbound::fresh());
}

#[test]
fn a_whole_parcel_again_gets_the_same_words() {
    let (aa, mut bb, reports) = pair(3);
    let mut items = bb.items(aa.store.outbox(&name("bb"), 1, 3));
    items.insert(1, Item { id: RecordId([1; 32]), record: Err(Reason::WrongSignature) });
    let (_, first) = bb.take_at("aa", 1, 1, items.clone()).unwrap();
    let (told, expect) = (bb.store.told(What::Received), expected(&bb, "aa"));
    for crash in [false, true] {
        if crash {
            bb.crash();
        }
        bb.now_ms += 5000;
        let (batch, again) = bb.take_at("aa", 1, 1, items.clone()).unwrap();
        assert_eq!(entries(&again), entries(&first));
        assert_ne!(again.id(), first.id());
        // Only the new receipt is kept: what a partner may show as our word stands in our ledger.
        assert_eq!(count(&batch, |c| matches!(c, Change::Keep { .. })), 1);
        assert_eq!(count(&batch, |c| matches!(c, Change::Arrived { .. })), 0);
        assert_eq!((bb.store.told(What::Received), expected(&bb, "aa")), (told, expect));
    }
    assert_eq!(bb.store.kept("report"), reports.len());
}

/// Other bytes at a position that was taken change nothing: the word on what came first is repeated.
#[test]
fn a_taken_position_cannot_be_used_again() {
    let (aa, mut bb, reports) = pair(1);
    let first = bb.take_from(&aa, 1, 1).unwrap();
    let mut other = Node::new("aa");
    other.report(&["bb"]);
    let other = other.report(&["bb"]);
    let items = bb.items(vec![other.bytes().to_vec()]);
    let (batch, again) = bb.take_at("aa", 1, 1, items).unwrap();
    assert_eq!(entries(&again), entries(&first));
    assert_eq!(entries(&again)[0].record, reports[0].id());
    assert!(!bb.store.records.contains_key(&other.id()));
    assert_eq!(count(&batch, |c| matches!(c, Change::Arrived { .. } | Change::Queue { .. })), 0);
}

#[test]
fn the_same_record_at_another_position() {
    let (aa, mut bb, reports) = pair(2);
    let first = entries(&bb.take_from(&aa, 1, 2).unwrap());
    let again = bb.take("aa", &[&reports[1], &reports[0]]);
    for (entry, before) in again.iter().zip([&first[1], &first[0]]) {
        assert_eq!(
            (entry.record, entry.index, entry.at_ms, entry.salt),
            (before.record, before.index, before.at_ms, before.salt)
        );
    }
    assert_eq!([again[0].position, again[1].position], [3, 4]);
    assert_eq!((bb.store.kept("report"), bb.store.told(What::Received), expected(&bb, "aa")), (2, 2, 5));
    // What was said at the later place is repeated, too.
    let items = bb.items(vec![reports[1].bytes().to_vec()]);
    assert_eq!(entries(&bb.take_at("aa", 1, 3, items).unwrap().1), again[..1]);
}

#[test]
fn the_same_record_twice_in_one_parcel() {
    let (_, mut bb, reports) = pair(2);
    let refused = signed(header("aa", &["cc"], "report", chain().hash()), &[0], &signer("aa"));
    let said = bb.take("aa", &[&reports[0], &refused, &reports[0], &refused, &reports[1]]);
    assert_eq!(reasons(&said), [None, Some(Reason::NotInAudience), None, Some(Reason::NotInAudience), None]);
    for (first, again) in [(0, 2), (1, 3)] {
        assert_eq!(said[again], Entry { position: again as u64 + 1, ..said[first].clone() });
    }
    assert_eq!((bb.store.kept("report"), bb.store.told(What::Received)), (2, 3));
}

/// A record that was rejected is judged anew when it comes again: what was missing may be there now.
#[test]
fn what_was_rejected_is_judged_anew_at_a_new_position() {
    let next = following(&founding(), |_| {});
    let mut bb = Node::new("bb");
    let report =
        signed(header("aa", &["bb"], "report", next.hash()), &report_body("EXERCISE").to_body(), &signer("aa"));
    assert_eq!(reasons(&bb.take("aa", &[&report])), [Some(Reason::UnknownRegister)]);
    bb.adopt_chain(chain_of(&[next])).unwrap();
    assert_eq!(reasons(&bb.take("aa", &[&report])), [None]);
    let items = bb.items(vec![report.bytes().to_vec()]);
    assert_eq!(reasons(&entries(&bb.take_at("aa", 1, 1, items).unwrap().1)), [Some(Reason::UnknownRegister)]);
}

#[test]
fn parcels_that_overtake_one_another_and_overlap() {
    let (aa, mut bb, reports) = pair(6);
    assert_eq!(refused(bb.take_from(&aa, 4, 3)), (Reason::Gap, 1));
    let first = entries(&bb.take_from(&aa, 1, 3).unwrap());
    // Positions 2 to 5: two of them taken before, two new.
    let overlapping = entries(&bb.take_from(&aa, 2, 4).unwrap());
    assert_eq!(overlapping[..2], first[1..]);
    assert_eq!(overlapping.iter().map(|e| e.position).collect::<Vec<_>>(), [2, 3, 4, 5]);
    // Wholly behind.
    assert_eq!(entries(&bb.take_from(&aa, 1, 1).unwrap()), first[..1]);
    assert_eq!(expected(&bb, "aa"), 6);
    bb.take_from(&aa, 4, 3).unwrap();
    assert_eq!((bb.store.kept("report"), bb.store.told(What::Received)), (reports.len(), reports.len()));
}

#[test]
fn records_of_one_parcel_swapped_are_each_what_they_are() {
    let (mut aa, mut bb, reports) = pair(2);
    // The sender's signature over a parcel excludes this; the sender itself could do it.
    let said = bb.take("aa", &[&reports[1], &reports[0]]);
    assert_eq!([said[0].record, said[1].record], [reports[1].id(), reports[0].id()]);
    let receipt = bb.take_from(&aa, 1, 2).unwrap();
    // To the sender that put them in the other order this is no word on its records.
    assert_eq!(refused(aa.take_receipt(&receipt)), (Reason::Malformed, 0));
    assert_eq!(aa.backlog("bb"), 2);
}

#[test]
fn epochs() {
    let (mut aa, mut bb, reports) = pair(3);
    bb.take_from(&aa, 1, 2).unwrap();
    let item = |node: &Node, record: &Verified| node.items(vec![record.bytes().to_vec()]);
    // A higher epoch begins at 1, and only what is taken counts.
    let items = item(&bb, &reports[2]);
    assert_eq!(refused(bb.take_at("aa", 4, 3, items)), (Reason::Gap, 1));
    assert_eq!(bb.exchange.inbound(&name("aa")), Inbound { epoch: 1, expected: 3 });
    let items = item(&bb, &reports[0]);
    let (_, receipt) = bb.take_at("aa", 4, 1, items).unwrap();
    // It is the same record in another epoch: the same word on it.
    assert_eq!(entries(&receipt)[0].index, 0);
    assert_eq!(bb.store.kept("report"), 2);
    assert_eq!(bb.exchange.inbound(&name("aa")), Inbound { epoch: 4, expected: 2 });
    // The old one is over, also after a crash.
    bb.crash();
    for epoch in [0, 1, 3] {
        let items = item(&bb, &reports[2]);
        assert_eq!(refused(bb.take_at("aa", epoch, 3, items)), (Reason::StaleEpoch, 2));
    }
    let items = item(&bb, &reports[2]);
    bb.take_at("aa", 4, 2, items).unwrap();
    assert_eq!(bb.store.kept("report"), 3);
    // Receipts of the new epoch are none of the old one's.
    assert_eq!(refused(aa.take_receipt(&receipt)), (Reason::StaleEpoch, 0));
    // Other channels have epochs of their own.
    let of_cc = Node::new("cc").report(&["bb"]);
    assert_eq!(reasons(&bb.take("cc", &[&of_cc])), [None]);
}

#[test]
fn positions_are_given_out_for_each_recipient() {
    let mut aa = Node::new("aa");
    let batch = {
        let reports = [aa.report(&["bb", "cc"]), aa.report(&["cc"]), aa.report(&["aa", "bb"])];
        aa.share(&reports.each_ref())
    };
    let queued: Vec<_> = batch
        .changes
        .iter()
        .filter_map(|c| match c {
            Change::Queue { to, position, .. } => Some((to.as_str(), *position)),
            _ => None,
        })
        .collect();
    // Nothing is queued to itself.
    assert_eq!(queued, [("bb", 1), ("cc", 1), ("cc", 2), ("bb", 2)]);
    assert_eq!(batch.wake.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["bb", "cc"]);
    assert_eq!([aa.backlog("bb"), aa.backlog("cc"), aa.backlog("dd")], [2, 2, 0]);
}

#[test]
fn submissions_that_come_again() {
    let mut aa = Node::new("aa");
    let (one, two, three) = (aa.report(&["bb"]), aa.report(&["bb"]), aa.report(&["bb"]));
    let keyed = |record: &Verified, key: u8| Submission { record: record.clone(), key: Some([key; 16]) };
    let plain = |record: &Verified| Submission { record: record.clone(), key: None };
    let queued = |aa: &Node| aa.store.next(&name("bb")) - 1;
    // Within one batch: the same key again is the first record of that key; the same record again is that record.
    let batch = vec![keyed(&one, 1), keyed(&two, 1), plain(&three), plain(&three), keyed(&one, 2)];
    let (batch, ids) = aa.submit(batch).unwrap();
    assert_eq!(ids, [one.id(), one.id(), three.id(), three.id(), one.id()]);
    assert_eq!(queued(&aa), 2);
    assert_eq!(count(&batch, |c| matches!(c, Change::Submitted { .. })), 2);
    assert!(!aa.store.records.contains_key(&two.id()));
    // In later batches, and after a crash.
    for crash in [false, true] {
        if crash {
            aa.crash();
        }
        let again = vec![keyed(&two, 1), keyed(&two, 2), plain(&one), plain(&three)];
        let (batch, ids) = aa.submit(again).unwrap();
        assert_eq!(ids, [one.id(), one.id(), one.id(), three.id()]);
        assert!(batch.changes.is_empty() && batch.wake.is_empty());
    }
    // A new key for a record that is held is remembered, and the record goes out once.
    let (_, ids) = aa.submit(vec![keyed(&three, 3)]).unwrap();
    assert_eq!((ids, queued(&aa)), (vec![three.id()], 2));
    let (_, ids) = aa.submit(vec![keyed(&two, 3), keyed(&two, 4)]).unwrap();
    assert_eq!((ids, queued(&aa)), (vec![three.id(), two.id()], 3));
    assert_eq!(aa.store.told(What::Authored), 3);
}

/// A key that was carried out is answered even when the register has moved since; what is new is not taken.
#[test]
fn a_register_that_moved() {
    let mut aa = Node::new("aa");
    let (one, two) = (aa.report(&["bb"]), aa.report(&["bb"]));
    let keyed = |record: &Verified| Submission { record: record.clone(), key: Some([1; 16]) };
    aa.submit(vec![keyed(&one)]).unwrap();
    let next = following(&founding(), |v| remove(v, "dd"));
    aa.adopt_chain(chain_of(&[next])).unwrap();
    assert_eq!(aa.submit(vec![keyed(&two)]).unwrap().1, [one.id()]);
    let before = aa.exchange.ledger();
    let plain = Submission { record: two, key: None };
    assert_eq!(aa.submit(vec![plain]).err(), Some(Refusal::RegisterChanged));
    assert_eq!(aa.exchange.ledger(), before);
    let to_removed = aa.report(&["bb", "dd"]);
    assert_eq!(aa.submit(vec![Submission { record: to_removed, key: None }]).err(), Some(Refusal::RegisterChanged));
    aa.share_report(&["bb"]);
}

/// After a crash the channel goes on where what is durable says, with what has no receipt yet.
#[test]
fn a_sender_that_crashes_sends_what_is_unsettled() {
    let (mut aa, mut bb, _) = pair(4);
    let all = bb.take_from(&aa, 1, 2).unwrap();
    aa.take_receipt(&all).unwrap();
    aa.crash();
    let now_ms = aa.now_ms;
    let channel = aa.exchange.outbound(&name("bb")).unwrap();
    assert_eq!((channel.settled_through(), channel.backlog()), (2, 2));
    assert_eq!(channel.plan(now_ms, false), Plan::Direct(3));
    channel.failed(now_ms, 0);
    assert_eq!(channel.failures(), FAILURES_BEFORE_RELAY);
    assert_eq!(channel.plan(now_ms, true), Plan::Relay(3));
    assert_eq!(aa.exchange.channels().count(), 3);
}
