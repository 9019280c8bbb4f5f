//! Retractions and corrections: who may take what back, what is done then, and that the answer goes out once.

use mufakat_exchange::{Change, Item, OnRetraction, What};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{Handling, Header, Reason, RecordId, Relation, Verified};

use crate::support::*;

fn keeping() -> OnRetraction {
    OnRetraction::Keep("EXERCISE Act".into())
}

fn with(on_retraction: OnRetraction) -> Node {
    Node::with("bb", on_retraction, chain())
}

fn retraction(by: &'static str, record: RecordId) -> Verified {
    Node::new(by).record(
        &["bb"],
        &Retraction { reason: "EXERCISE".into(), carries: None },
        &[(Relation::Retracts, record)],
    )
}

fn report_with(by: &'static str, text: &str, attached: &[RecordId]) -> Verified {
    let references: Vec<_> = attached.iter().map(|id| (Relation::Attaches, *id)).collect();
    Node::new(by).record(&["bb"], &report_body(text), &references)
}

fn attachment(by: &'static str, n: u8) -> Verified {
    let body = Attachment {
        name: "EXERCISE.txt".into(),
        media_type: "text/plain".into(),
        size: 1,
        digest: [n; 32],
        key: [n; 32],
        chunks: vec![n; 32],
    };
    Node::new(by).record(&["bb"], &body, &[])
}

/// What bb answered, in order: to whom, on what, and what was done.
fn answers(node: &Node) -> Vec<(String, RecordId, Action, Option<String>)> {
    let mut found: Vec<_> = node
        .store
        .records
        .values()
        .filter_map(|kept| Some((kept.leaf, kept.record.as_ref()?)))
        .filter(|(_, record)| record.header().kind == Answer::KIND && record.header().author == name("bb"))
        .map(|(leaf, record)| {
            let body = Answer::from_body(record.header(), record.body()).expect("a sound answer");
            assert_eq!(body.at, NOW_S);
            let to = record.header().audience.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
            (leaf, (to, record.header().the_one(Relation::Answers).unwrap(), body.action, body.reason))
        })
        .collect();
    found.sort_by_key(|(leaf, _)| *leaf);
    found.into_iter().map(|(_, answer)| answer).collect()
}

fn is_erased(node: &Node, record: &Verified) -> bool {
    node.store.records[&record.id()].record.is_none()
}

#[test]
fn what_is_done_with_a_record_that_is_taken_back() {
    let cases = [
        (OnRetraction::Delete, Action::Deleted, None, true),
        (OnRetraction::Mark, Action::Marked, None, false),
        (keeping(), Action::Kept, Some("EXERCISE Act".to_owned()), false),
    ];
    for (on_retraction, action, reason, erased) in cases {
        let mut bb = with(on_retraction);
        let (file, other) = (attachment("aa", 1), attachment("aa", 2));
        let report = report_with("aa", "EXERCISE", &[file.id()]);
        bb.take("aa", &[&file, &other, &report]);
        let retraction = retraction("aa", report.id());
        let items = bb.items(vec![retraction.bytes().to_vec()]);
        let (batch, receipt) = bb.take_at("aa", 1, 4, items).unwrap();
        assert_eq!(reasons(&entries(&receipt)), [None]);
        assert_eq!(answers(&bb), [("aa".to_owned(), retraction.id(), action, reason)]);
        assert_eq!([is_erased(&bb, &report), is_erased(&bb, &file), is_erased(&bb, &other)], [erased, erased, false]);
        assert_eq!(bb.store.told(What::Deletion), if erased { 2 } else { 0 });
        // The answer waits on the channel, with the deletion receipt, and whoever sends is woken.
        let said = if erased { 2 } else { 1 };
        assert_eq!((bb.backlog("aa"), bb.store.kept("deletion-receipt")), (said, said as usize - 1));
        assert!(batch.wake.contains(&name("aa")));
        // The same retraction again, in the same parcel and at a new place: no second answer.
        let items = bb.items(vec![retraction.bytes().to_vec()]);
        bb.take_at("aa", 1, 4, items).unwrap();
        bb.take("aa", &[&retraction, &retraction]);
        bb.crash();
        bb.take("aa", &[&retraction]);
        assert_eq!((answers(&bb).len(), bb.backlog("aa")), (1, said));
        assert_eq!(bb.store.told(What::Deletion), if erased { 2 } else { 0 });
        // The author gets it and knows whose word it is.
        let mut aa = Node::new("aa");
        aa.take_from(&bb, 1, 9).unwrap();
        assert_eq!((aa.store.kept("answer"), aa.store.kept("deletion-receipt")), (1, said as usize - 1));
    }
}

/// What is said of a record is handled as the record is, so that nobody learns of it who may not read it.
#[test]
fn a_word_on_a_record_is_handled_as_the_record() {
    let handling = narrow("bb/d3");
    let narrowed = |record: Verified| {
        let header = Header { handling: handling.clone(), ..record.header().clone() };
        signed(header, record.body(), &signer("aa"))
    };
    let mut bb = with(OnRetraction::Delete);
    let report = narrowed(report_with("aa", "EXERCISE", &[]));
    let corrected = narrowed(correction("aa", report.id()));
    let retracted = narrowed(retraction("aa", report.id()));
    assert_eq!(reasons(&bb.take("aa", &[&report, &corrected, &retracted])), [None, None, None]);
    let said: Vec<_> =
        bb.store.records.values().filter_map(|kept| kept.record.as_ref()).map(Verified::header).collect();
    for (kind, count) in [("answer", 2), ("deletion-receipt", 1)] {
        let of_kind: Vec<_> = said.iter().filter(|header| header.kind == kind).collect();
        assert_eq!(of_kind.len(), count);
        let expect = Handling { review: None, ..handling.clone() };
        assert!(of_kind.iter().all(|header| header.handling == expect), "{of_kind:?}");
    }
}

/// A record that is not held and one that is another agency's get the same answer: nothing is told about what is held.
#[test]
fn what_is_not_the_authors_to_take_back() {
    for on_retraction in [OnRetraction::Delete, OnRetraction::Mark, keeping()] {
        let mut bb = with(on_retraction.clone());
        let of_cc = report_with("cc", "EXERCISE", &[]);
        bb.take("cc", &[&of_cc]);
        let own = bb.share_report(&["aa"]);
        let targets = [of_cc.id(), own.id(), RecordId([1; 32])];
        let retractions = targets.map(|id| retraction("aa", id));
        let before = bb.store.leaves.len();
        assert_eq!(reasons(&bb.take("aa", &retractions.each_ref())), [None, None, None]);
        let expected = retractions.each_ref().map(|r| ("aa".to_owned(), r.id(), Action::NotHeld, None));
        assert_eq!(answers(&bb), expected, "{on_retraction:?}");
        assert!(!is_erased(&bb, &of_cc) && !is_erased(&bb, &own));
        // Three retractions, three answers, one receipt.
        assert_eq!(bb.store.leaves.len() - before, 7);
    }
}

#[test]
fn only_the_authors_own_attachments_go_with_a_report() {
    let mut bb = with(OnRetraction::Delete);
    let of_cc = report_with("cc", "EXERCISE", &[]);
    let (file_of_cc, file) = (attachment("cc", 1), attachment("aa", 2));
    bb.take("cc", &[&of_cc, &file_of_cc]);
    let mine = report_with("aa", "EXERCISE mine", &[]);
    let to_come = RecordId([9; 32]);
    // It names others' records, a report of its own, and one that is not held as its attachments.
    let report = report_with("aa", "EXERCISE", &[of_cc.id(), file_of_cc.id(), file.id(), mine.id(), to_come]);
    bb.take("aa", &[&file, &mine, &report]);
    bb.take("aa", &[&retraction("aa", report.id())]);
    let erased = [&report, &file].map(|record| is_erased(&bb, record));
    let kept = [&of_cc, &file_of_cc, &mine].map(|record| is_erased(&bb, record));
    assert_eq!((erased, kept), ([true; 2], [false; 3]));
    assert_eq!(bb.store.told(What::Deletion), 2);
}

#[test]
fn what_the_community_works_by_is_kept() {
    let register = chain().hash();
    let next = following(&founding(), |v| v.threshold = 3);
    for on_retraction in [OnRetraction::Delete, OnRetraction::Mark] {
        let mut bb = with(on_retraction.clone());
        let first = retraction("aa", RecordId([1; 32]));
        let proposal = Node::new("aa").record(&["bb"], &next, &[]);
        let answer = Node::new("aa").record(
            &["bb"],
            &Answer { action: Action::Marked, reason: None, at: 1 },
            &[(Relation::Answers, RecordId([2; 32]))],
        );
        let own_approval = approval("aa", 2, next.hash(), register);
        let working = [&key_set("aa", 2, register), &own_approval, &proposal, &answer, &first];
        assert_eq!(reasons(&bb.take("aa", &working)), [None; 5]);
        for record in working {
            bb.take("aa", &[&retraction("aa", record.id())]);
            assert!(!is_erased(&bb, record), "{}", record.header().kind);
        }
        assert_eq!(answers(&bb).iter().filter(|answer| answer.2 == Action::Kept && answer.3.is_some()).count(), 5);
        // A kind that is not known can be taken back as a report can, and so can a correction.
        let unknown = signed(header("aa", &["bb"], "question", register), &[0], &signer("aa"));
        let correction = correction("aa", RecordId([3; 32]));
        bb.take("aa", &[&unknown, &correction]);
        bb.take("aa", &[&retraction("aa", unknown.id()), &retraction("aa", correction.id())]);
        let delete = on_retraction == OnRetraction::Delete;
        assert_eq!([is_erased(&bb, &unknown), is_erased(&bb, &correction)], [delete; 2]);
    }
}

/// A receipt that a partner gave can be retracted by it in form; it stays evidence all the same.
#[test]
fn receipts_are_not_taken_back() {
    let (mut aa, mut bb) = (Node::new("aa"), with(OnRetraction::Delete));
    bb.share_report(&["aa"]);
    deliver(&mut bb, &mut aa);
    let receipt = bb
        .store
        .records
        .values()
        .filter_map(|kept| kept.record.clone())
        .find(|r| r.header().kind == "receipt")
        .unwrap();
    assert_eq!(receipt.header().author, name("aa"));
    bb.take("aa", &[&retraction("aa", receipt.id())]);
    assert!(!is_erased(&bb, &receipt));
    assert_eq!(answers(&bb)[0].2, Action::Kept);
}

#[test]
fn a_report_and_its_retraction_in_one_parcel() {
    let mut bb = with(OnRetraction::Delete);
    let file = attachment("aa", 1);
    let report = report_with("aa", "EXERCISE", &[file.id()]);
    let taken_back = retraction("aa", report.id());
    bb.take("aa", &[&file, &report, &taken_back, &taken_back]);
    assert!(is_erased(&bb, &report) && is_erased(&bb, &file));
    assert_eq!((answers(&bb).len(), answers(&bb)[0].2), (1, Action::Deleted));

    // The other way round it is not held yet.
    let mut bb = with(OnRetraction::Delete);
    bb.take("aa", &[&taken_back, &report]);
    assert!(!is_erased(&bb, &report));
    assert_eq!(answers(&bb)[0].2, Action::NotHeld);

    // A report that was rejected in the same parcel is not held, and neither is its attachment that was.
    let mut bb = with(OnRetraction::Delete);
    let expired = |record: &Verified| {
        let mut header = record.header().clone();
        header.expires = Some(1);
        signed(header, record.body(), &signer("aa"))
    };
    let gone = expired(&report);
    let late_file = expired(&file);
    let with_late_file = report_with("aa", "EXERCISE 2", &[late_file.id()]);
    let (one, two) = (retraction("aa", gone.id()), retraction("aa", with_late_file.id()));
    let said = bb.take("aa", &[&gone, &one, &late_file, &with_late_file, &two]);
    assert_eq!(reasons(&said), [Some(Reason::Expired), None, Some(Reason::Expired), None, None]);
    assert_eq!(answers(&bb).iter().map(|answer| answer.2).collect::<Vec<_>>(), [Action::NotHeld, Action::Deleted]);
    assert_eq!(bb.store.told(What::Deletion), 1);
}

/// A record whose content is gone is not held; coming again, it is not taken in again.
#[test]
fn what_is_erased_stays_erased() {
    let mut bb = with(OnRetraction::Delete);
    let report = report_with("aa", "EXERCISE", &[]);
    let first = bb.take("aa", &[&report]);
    bb.take("aa", &[&retraction("aa", report.id())]);
    let again = bb.take("aa", &[&report]);
    assert_eq!((reasons(&again), again[0].index), (vec![None], first[0].index));
    assert!(is_erased(&bb, &report));
    let second = Node::new("aa").record(
        &["bb"],
        &Retraction { reason: "EXERCISE again".into(), carries: None },
        &[(Relation::Retracts, report.id())],
    );
    bb.take("aa", &[&second]);
    assert_eq!(answers(&bb).iter().map(|answer| answer.2).collect::<Vec<_>>(), [Action::Deleted, Action::NotHeld]);
}

#[test]
fn a_rejected_retraction_does_nothing() {
    let mut bb = with(OnRetraction::Delete);
    let report = report_with("aa", "EXERCISE", &[]);
    bb.take("aa", &[&report]);
    let good = retraction("aa", report.id());
    let to_cc = signed(
        {
            let mut h = good.header().clone();
            h.audience = vec![name("cc")];
            h
        },
        good.body(),
        &signer("aa"),
    );
    let two_at_once = signed(
        referring(
            header("aa", &["bb"], "retraction", chain().hash()),
            &[(Relation::Retracts, report.id()), (Relation::Retracts, RecordId([1; 32]))],
        ),
        good.body(),
        &signer("aa"),
    );
    let said = bb.take("aa", &[&to_cc, &two_at_once]);
    assert_eq!(reasons(&said), [Some(Reason::NotInAudience), Some(Reason::BodyNotOfKind)]);
    let mut items = bb.items(vec![good.bytes().to_vec()]);
    items[0] = Item { id: good.id(), record: Err(Reason::WrongSignature) };
    bb.take_at("aa", 1, 4, items).unwrap();
    assert_eq!(reasons(&bb.take("cc", &[&good])), [Some(Reason::SenderNotAuthor)]);
    assert!(!is_erased(&bb, &report));
    assert_eq!(answers(&bb), []);
}

fn correction(by: &'static str, record: RecordId) -> Verified {
    let body = Correction { reason: "EXERCISE".into(), report: report_body("EXERCISE corrected") };
    Node::new(by).record(&["bb"], &body, &[(Relation::Corrects, record)])
}

#[test]
fn corrections() {
    // What is done about retractions does not matter to a correction.
    for on_retraction in [OnRetraction::Delete, keeping()] {
        let mut bb = with(on_retraction);
        let (report, of_cc) = (report_with("aa", "EXERCISE", &[]), report_with("cc", "EXERCISE", &[]));
        bb.take("aa", &[&report]);
        bb.take("cc", &[&of_cc]);
        let corrections = [report.id(), of_cc.id(), RecordId([1; 32])].map(|id| correction("aa", id));
        let said = bb.take("aa", &[&corrections[0], &corrections[1], &corrections[2], &corrections[0]]);
        assert_eq!(reasons(&said), [None; 4]);
        let done: Vec<_> = answers(&bb).into_iter().map(|answer| (answer.1, answer.2)).collect();
        let [one, two, three] = corrections.each_ref().map(Verified::id);
        assert_eq!(done, [(one, Action::Corrected), (two, Action::NotHeld), (three, Action::NotHeld)]);
        assert!(!is_erased(&bb, &report) && !is_erased(&bb, &of_cc));
        assert_eq!(bb.backlog("aa"), 3);
    }
}

#[test]
fn attachments_are_named_for_fetching() {
    let mut bb = with(OnRetraction::Delete);
    let (file, report) = (attachment("aa", 1), report_with("aa", "EXERCISE", &[]));
    let to_cc = signed(header("aa", &["cc"], "attachment", chain().hash()), file.body(), &signer("aa"));
    let items = bb.items([&report, &file, &to_cc, &file].map(|r| r.bytes().to_vec()).to_vec());
    let (batch, _) = bb.take_at("aa", 1, 1, items.clone()).unwrap();
    assert_eq!(batch.attachments, [file.id()]);
    let (batch, _) = bb.take_at("aa", 1, 1, items).unwrap();
    assert!(batch.attachments.is_empty());
    assert_eq!(count(&batch, |c| matches!(c, Change::Keep { .. })), 1);
}
