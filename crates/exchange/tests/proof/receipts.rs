//! Receipts: a word on another record, of another epoch or agency, and words that come late, in parts, or again.

use mufakat_exchange::{Change, What};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::{Reason, RecordId, SigningKey, Verified};

use crate::store::State;
use crate::support::*;

/// aa with three reports to bb and one to cc.
fn sender() -> (Node, [RecordId; 3], RecordId) {
    let mut aa = Node::new("aa");
    let to_bb = [0; 3].map(|_| aa.share_report(&["bb"]).id());
    let to_cc = aa.share_report(&["cc"]).id();
    (aa, to_bb, to_cc)
}

fn receipt_by(
    author: &str,
    to: &str,
    epoch: u64,
    words: &[(u64, RecordId, Option<&str>)],
    key: &SigningKey,
) -> Verified {
    let entry = |(position, record, rejected): &(u64, RecordId, Option<&str>)| Entry {
        position: *position,
        record: *record,
        rejected: rejected.map(str::to_owned),
        at_ms: 5,
        index: 3,
        salt: [4; 16],
    };
    let body = Receipt { epoch, ledger: format!("mufakat/{author}/1"), entries: words.iter().map(entry).collect() };
    signed(header(author, &[to], "receipt", chain().hash()), &body.to_body(), key)
}

fn accepting(words: &[(u64, RecordId)]) -> Verified {
    let words: Vec<_> = words.iter().map(|(position, record)| (*position, *record, None)).collect();
    receipt_by("bb", "aa", 1, &words, &signer("bb"))
}

#[test]
fn receipts_that_are_no_word_on_our_records() {
    let (mut aa, [one, two, three], to_cc) = sender();
    let by = |author, to, epoch, words: &[(u64, RecordId)]| {
        let words: Vec<_> = words.iter().map(|(position, record)| (*position, *record, None)).collect();
        receipt_by(author, to, epoch, &words, &signer(author))
    };
    let of_another_kind =
        signed(header("bb", &["aa"], "report", chain().hash()), &report_body("EXERCISE").to_body(), &signer("bb"));
    let unsound = signed(header("bb", &["aa"], "receipt", chain().hash()), &[0], &signer("bb"));
    let two_recipients = {
        let body = Receipt::from_body(accepting(&[(1, one)]).header(), accepting(&[(1, one)]).body()).unwrap();
        signed(header("bb", &["aa", "cc"], "receipt", chain().hash()), &body.to_body(), &signer("bb"))
    };
    let cases = [
        ("another record at this position", accepting(&[(1, two)]), Reason::Malformed),
        ("a record that we never sent", accepting(&[(1, RecordId([9; 32]))]), Reason::Malformed),
        ("the record of another channel", accepting(&[(1, to_cc)]), Reason::Malformed),
        ("a position never given out", accepting(&[(4, one)]), Reason::Malformed),
        ("position 0", accepting(&[(0, one)]), Reason::Malformed),
        ("all, from position 0", accepting(&[(0, one), (1, two), (2, three)]), Reason::Malformed),
        ("all, far away", accepting(&[(1 << 63, one), ((1 << 63) + 1, two)]), Reason::Malformed),
        ("the last position there is", accepting(&[(u64::MAX, one)]), Reason::Malformed),
        ("one wrong word among good ones", accepting(&[(1, one), (2, two), (3, two)]), Reason::Malformed),
        ("positions that do not ascend", accepting(&[(2, two), (1, one)]), Reason::BodyNotOfKind),
        ("a position twice", accepting(&[(1, one), (1, one)]), Reason::BodyNotOfKind),
        ("nothing", accepting(&[]), Reason::BodyNotOfKind),
        ("the epoch before", by("bb", "aa", 0, &[(1, one)]), Reason::StaleEpoch),
        ("an epoch to come", by("bb", "aa", 2, &[(1, one)]), Reason::StaleEpoch),
        ("by an agency that was not sent it", by("cc", "aa", 1, &[(2, two)]), Reason::Malformed),
        ("by an agency on whose channel another stands", by("cc", "aa", 1, &[(1, one)]), Reason::Malformed),
        ("by ourselves", by("aa", "aa", 1, &[(1, one)]), Reason::Malformed),
        ("for another agency", by("bb", "cc", 1, &[(1, one)]), Reason::NotInAudience),
        ("for several", two_recipients, Reason::BodyNotOfKind),
        ("by nobody in the register", by("zz", "aa", 1, &[(1, one)]), Reason::AuthorNotInRegister),
        ("by the identity key", receipt_by("bb", "aa", 1, &[(1, one, None)], &identity("bb")), Reason::UnknownKey),
        (
            "of a ledger of another agency",
            {
                let body = Receipt {
                    epoch: 1,
                    ledger: "mufakat/cc/1".into(),
                    entries: Receipt::from_body(accepting(&[(1, one)]).header(), accepting(&[(1, one)]).body())
                        .unwrap()
                        .entries,
                };
                signed(header("bb", &["aa"], "receipt", chain().hash()), &body.to_body(), &signer("bb"))
            },
            Reason::BodyNotOfKind,
        ),
        ("another kind", of_another_kind, Reason::BodyNotOfKind),
        ("another body", unsound, Reason::BodyNotOfKind),
    ];
    for (what, receipt, reason) in cases {
        assert_eq!(refused(aa.take_receipt(&receipt)), (reason, 0), "{what}");
        assert_eq!((aa.backlog("bb"), aa.backlog("cc")), (3, 1), "{what}");
        assert!(!aa.store.records.contains_key(&receipt.id()), "{what}");
    }
    let batch = aa.take_receipt(&accepting(&[(1, one), (2, two), (3, three)])).unwrap();
    assert_eq!(count(&batch, |c| matches!(c, Change::Settle { first: 1, last: 3, accepted: true, .. })), 1);
    assert_eq!(count(&batch, |c| matches!(c, Change::Settle { .. })), 1);
    assert_eq!((aa.backlog("bb"), aa.backlog("cc")), (0, 1));
}

#[test]
fn receipts_in_parts_in_any_order_and_again() {
    let (mut aa, [one, two, three], _) = sender();
    let settled = |aa: &mut Node| {
        let channel = aa.exchange.outbound(&name("bb")).unwrap();
        (channel.settled_through(), channel.backlog())
    };
    let late = receipt_by("bb", "aa", 1, &[(2, two, None), (3, three, Some("expired"))], &signer("bb"));
    let batch = aa.take_receipt(&late).unwrap();
    assert_eq!(settled(&mut aa), (0, 1));
    assert_eq!(count(&batch, |c| matches!(c, Change::Settle { accepted: true, first: 2, last: 2, .. })), 1);
    assert_eq!(count(&batch, |c| matches!(c, Change::Settle { accepted: false, first: 3, last: 3, .. })), 1);
    assert_eq!(aa.store.told(What::Receipt), 1);
    // The same again changes nothing, and so does the same word in another receipt, or another word.
    for again in
        [&late, &accepting(&[(3, three)]), &receipt_by("bb", "aa", 1, &[(2, two, Some("stale"))], &signer("bb"))]
    {
        assert!(aa.take_receipt(again).unwrap().changes.is_empty());
        assert_eq!(settled(&mut aa), (0, 1));
    }
    assert_eq!(aa.store.queue[&(name("bb"), 2)].1, State::Accepted);
    assert_eq!(aa.store.queue[&(name("bb"), 3)].1, State::Rejected);
    // What came out of order is durable all the same.
    aa.crash();
    assert_eq!(settled(&mut aa), (0, 3));
    let batch = aa.take_receipt(&accepting(&[(1, one), (2, two)])).unwrap();
    assert_eq!(count(&batch, |c| matches!(c, Change::Settle { .. })), 1);
    assert_eq!(settled(&mut aa), (2, 1));
    // The third was settled before the crash; the word on it comes again with the next attempt.
    assert!(aa.take_receipt(&late).unwrap().changes.is_empty());
    assert_eq!(settled(&mut aa), (3, 0));
    aa.crash();
    assert_eq!(settled(&mut aa), (3, 0));
}

#[test]
fn an_unknown_reason_settles_as_any() {
    let (mut aa, [one, ..], _) = sender();
    let receipt = receipt_by("bb", "aa", 1, &[(1, one, Some("a-reason-to-come"))], &signer("bb"));
    aa.take_receipt(&receipt).unwrap();
    assert_eq!(aa.store.queue[&(name("bb"), 1)].1, State::Rejected);
}

#[test]
fn a_receipt_of_a_removed_agency() {
    let (mut aa, _, _) = sender();
    let report = aa.share_report(&["dd"]);
    let receipt = receipt_by("dd", "aa", 1, &[(1, report.id(), None)], &signer("dd"));
    aa.adopt_chain(chain_of(&[following(&founding(), |v| remove(v, "dd"))])).unwrap();
    assert_eq!(refused(aa.take_receipt(&receipt)), (Reason::AuthorRemoved, 0));
    assert_eq!(aa.store.queue[&(name("dd"), 1)].1, State::Cancelled);
}
