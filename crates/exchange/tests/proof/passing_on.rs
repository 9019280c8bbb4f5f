//! Passing on: what an onward record must be, and that a retraction follows it to the third hand, from where the answer comes
//! to both. Legal holds and deletions that wait.

use mufakat_exchange::{NotDeleted, ON_HOLD, OnRetraction, Refusal, What, could_delete};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::deletion_receipt::{DeletionReceipt, Why};
use mufakat_record::kinds::onward::{Carried, ONWARD_DEPTH_MAX, Onward};
use mufakat_record::kinds::permission::Permission;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{Code, Handling, Header, Reason, RecordId, Reference, Relation, Tlp, Verified};
use proptest::prelude::*;

use crate::support::*;

/// A report of an agency with this handling.
fn report_handled(by: &str, to: &[&str], handling: Handling) -> Verified {
    let header = Header { handling, ..header(by, to, "report", chain().hash()) };
    signed(header, &report_body("EXERCISE").to_body(), &signer(by))
}

fn permission(by: &str, about: RecordId, to: &[&str]) -> Verified {
    let forward_to = Some(to.iter().map(|to| name(to)).collect());
    let body = Permission { evidence: false, forward_to, note: None };
    let header = referring(header(by, &["bb"], "permission", chain().hash()), &[(Relation::About, about)]);
    signed(header, &body.to_body(), &signer(by))
}

/// An onward record as it should be, changed as the test needs it.
fn onward_with(
    by: &str,
    to: &[&str],
    carried: &Verified,
    permission: Option<&Verified>,
    change: impl FnOnce(&mut Header, &mut Onward),
) -> Verified {
    let header = referring(header(by, to, "onward", chain().hash()), &[(Relation::About, carried.id())]);
    let (handling, expires) = (carried.header().handling.clone(), carried.header().expires);
    let mut header = Header { handling, expires, ..header };
    let mut body =
        Onward { record: carried.bytes().to_vec(), permission: permission.map(|p| p.bytes().to_vec()), note: None };
    change(&mut header, &mut body);
    signed(header, &body.to_body(), &signer(by))
}

fn onward(by: &str, to: &[&str], carried: &Verified) -> Verified {
    onward_with(by, to, carried, None, |_, _| ())
}

fn retraction_of(by: &'static str, to: &[&str], record: RecordId) -> Verified {
    let body = Retraction { reason: "EXERCISE".into(), carries: None };
    Node::new(by).record(to, &body, &[(Relation::Retracts, record)])
}

/// Delivers all that waits between all, until nothing does.
fn settle(nodes: &mut [Node]) {
    for _ in 0..8 {
        for from in 0..nodes.len() {
            for to in (0..nodes.len()).filter(|to| *to != from).collect::<Vec<_>>() {
                let [from, to] = nodes.get_disjoint_mut([from, to]).expect("two nodes");
                deliver(from, to);
            }
        }
    }
}

/// What reached a node in records of a kind: from whom, and the body.
fn came<B: Body>(node: &Node) -> Vec<(String, Header, B)> {
    let kept = node.store.records.values().filter_map(|kept| kept.record.as_ref());
    let of_kind = kept.filter(|r| r.header().kind == B::KIND && r.header().author != node.id());
    of_kind
        .map(|r| (r.header().author.to_string(), r.header().clone(), B::from_body(r.header(), r.body()).unwrap()))
        .collect()
}

fn holds(node: &Node, record: &Verified) -> bool {
    node.store.records.get(&record.id()).is_some_and(|kept| kept.record.is_some())
}

/// Whether a text stands anywhere in what a node holds.
fn is_left(node: &Node, text: &str) -> bool {
    let kept = node.store.records.values().filter_map(|kept| kept.record.as_ref());
    kept.into_iter().any(|record| record.bytes().windows(text.len()).any(|part| part == text.as_bytes()))
}

#[test]
fn what_is_passed_on_is_verified() {
    let free = report_handled("aa", &["bb"], Handling::community());
    let taken = |record: &Verified| {
        let mut cc = Node::new("cc");
        let reason = reasons(&cc.take("bb", &[record]))[0];
        assert_eq!(reason.is_none(), holds(&cc, record));
        reason
    };
    let changed = |change: fn(&mut Header, &mut Onward)| taken(&onward_with("bb", &["cc"], &free, None, change));
    assert_eq!(taken(&onward("bb", &["cc"], &free)), None);
    assert_eq!(changed(|h, _| h.references[0].record = RecordId([1; 32])), Some(Reason::CarriedMismatch));
    assert_eq!(changed(|h, _| h.references.clear()), Some(Reason::BodyNotOfKind));
    assert_eq!(changed(|h, _| h.handling.tlp = Tlp::Clear), Some(Reason::HandlingLoosened));
    assert_eq!(changed(|_, b| b.record.truncate(b.record.len() - 1)), Some(Reason::Truncated));
    assert_eq!(changed(|_, b| b.record.push(0)), Some(Reason::TrailingBytes));
    assert_eq!(changed(|_, b| b.permission = Some(vec![0xf6])), Some(Reason::Malformed));
    // The originator's own key signed, and nobody else's; and its bytes are as they were.
    let forged = signed(free.header().clone(), free.body(), &signer("bb"));
    assert_eq!(taken(&onward("bb", &["cc"], &forged)), Some(Reason::UnknownKey));
    let mut bytes = free.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let broken = Verified::from_own_store(bytes).unwrap();
    assert_eq!(taken(&onward("bb", &["cc"], &broken)), Some(Reason::WrongSignature));
    // Nobody passes a record of its own on, and nothing but what people share.
    let own = report_handled("bb", &["cc"], Handling::community());
    assert_eq!(taken(&onward("bb", &["cc"], &own)), Some(Reason::BearerIsAuthor));
    let question = retraction_of("aa", &["bb"], RecordId([1; 32]));
    assert_eq!(taken(&onward("bb", &["cc"], &question)), Some(Reason::CarriedMismatch));
    // An expiry goes with it.
    let expiring = signed(Header { expires: Some(NOW_S + 60), ..free.header().clone() }, free.body(), &signer("aa"));
    let later = |h: &mut Header, _: &mut Onward| h.expires = Some(NOW_S + 61);
    assert_eq!(taken(&onward("bb", &["cc"], &expiring)), None);
    assert_eq!(taken(&onward_with("bb", &["cc"], &expiring, None, later)), Some(Reason::HandlingLoosened));
    assert_eq!(
        taken(&onward_with("bb", &["cc"], &expiring, None, |h, _| h.expires = None)),
        Some(Reason::HandlingLoosened)
    );
    // The one who passes it on is held to the same before it leaves.
    let mut bb = Node::new("bb");
    let loose = onward_with("bb", &["cc"], &free, None, |h, _| h.handling.tlp = Tlp::Clear);
    let submission = mufakat_exchange::Submission { record: loose, key: None };
    assert!(matches!(bb.submit(vec![submission]), Err(Refusal::Unfit(Reason::HandlingLoosened))));
}

#[test]
fn what_needs_its_originators_permission() {
    let with = |tlp, codes: &[Code], orcon| Handling {
        codes: (!codes.is_empty()).then(|| codes.to_vec()),
        orcon,
        ..Handling::with(tlp)
    };
    // Whether it takes a permission to pass it on to cc, which is of another party, and to dd, which is of aa's and not of bb's.
    let cases = [
        (with(Tlp::Clear, &[], None), false),
        (with(Tlp::Green, &[Code::H1], None), false),
        (with(Tlp::Amber, &[], None), true),
        (with(Tlp::AmberStrict, &[], None), true),
        (with(Tlp::Red, &[], None), true),
        (with(Tlp::Green, &[Code::H2], None), true),
        (with(Tlp::Clear, &[], Some(true)), true),
    ];
    for (handling, needed) in cases {
        let report = report_handled("aa", &["bb"], handling.clone());
        let judge = |permission: Option<&Verified>| {
            let record = onward_with("bb", &["cc"], &report, permission, |_, _| ());
            reasons(&Node::new("cc").take("bb", &[&record]))[0]
        };
        let refused = needed.then_some(Reason::OnwardNotPermitted);
        assert_eq!(judge(None), refused, "{handling:?}");
        assert_eq!(judge(Some(&permission("aa", report.id(), &["cc", "dd"]))), None);
        assert_eq!(judge(Some(&permission("aa", report.id(), &["dd"]))), refused);
        // Somebody else's permission, one for another record, and one that nobody signed.
        assert_eq!(judge(Some(&permission("dd", report.id(), &["cc"]))), Some(Reason::CarriedMismatch));
        assert_eq!(judge(Some(&permission("aa", RecordId([1; 32]), &["cc"]))), Some(Reason::CarriedMismatch));
        let real = permission("aa", report.id(), &["cc"]);
        let forged = signed(real.header().clone(), real.body(), &signer("bb"));
        assert_eq!(judge(Some(&forged)), Some(Reason::UnknownKey));
    }
    // Within the party of whoever passes it on, AMBER is free.
    let report = report_handled("bb", &["aa"], with(Tlp::Amber, &[], None));
    assert_eq!(reasons(&Node::new("dd").take("aa", &[&onward("aa", &["dd"], &report)])), [None]);
}

#[test]
fn a_record_is_passed_on_so_often_and_no_more() {
    let mut carried = report_handled("aa", &["bb"], Handling::community());
    let hands = ["b1", "b2", "b3", "b4", "b5", "b6"];
    let mut judged = Vec::new();
    for pair in hands.windows(2) {
        carried = onward(pair[0], &[pair[1]], &carried);
        judged.push(Carried::read(carried.header(), carried.body()).map(|c| c.original().header().author.to_string()));
    }
    let aa = || Ok("aa".to_owned());
    assert_eq!(judged, [aa(), aa(), aa(), aa(), Err(Reason::PassedOnTooOften)]);
    assert_eq!(ONWARD_DEPTH_MAX, 4);
    // Nobody passes on what it passed on before.
    let once = onward("bb", &["cc"], &report_handled("aa", &["bb"], Handling::community()));
    let twice = onward("bb", &["dd"], &onward("cc", &["bb"], &once));
    assert_eq!(Carried::read(twice.header(), twice.body()), Err(Reason::BearerIsAuthor));
}

/// aa's report goes to bb, from there to cc, and from there to dd.
fn passed_on(on_retraction: [OnRetraction; 4]) -> (Vec<Node>, [Verified; 3]) {
    let mut nodes: Vec<_> =
        AGENCIES.into_iter().zip(on_retraction).map(|(id, how)| Node::with(id, how, chain())).collect();
    let report = report_handled("aa", &["bb"], Handling::community());
    let (second, third) = (onward("bb", &["cc"], &report), onward("cc", &["dd"], &onward("bb", &["cc"], &report)));
    for (node, record) in [&report, &second, &third].into_iter().enumerate() {
        nodes[node].share(&[record]);
        settle(&mut nodes);
    }
    assert!(nodes.iter().all(|node| is_left(node, "EXERCISE")));
    (nodes, [report, second, third])
}

fn deleting() -> [OnRetraction; 4] {
    [OnRetraction::Delete, OnRetraction::Delete, OnRetraction::Delete, OnRetraction::Delete]
}

/// What this agency passed on of a record is looked up once, however many records of one delivery are about it.
#[test]
fn many_records_about_one_cost_one_look() {
    let asked = |count: usize| {
        let (mut nodes, [report, ..]) = passed_on(deleting());
        let about = |n: usize| {
            let body = Correction { reason: format!("EXERCISE {n}"), report: report_body("EXERCISE corrected") };
            nodes[0].record(&["bb"], &body, &[(Relation::Corrects, report.id())])
        };
        let corrections: Vec<_> = (0..count).map(about).collect();
        nodes[0].share(&corrections.iter().collect::<Vec<_>>());
        let before = nodes[1].store.asked.get();
        settle(&mut nodes[..2]);
        assert_eq!(nodes[1].store.kept(Correction::KIND), count);
        nodes[1].store.asked.get() - before
    };
    assert_eq!(asked(40), asked(1));
}

#[test]
fn a_retraction_reaches_every_hand() {
    let (mut nodes, [report, second, third]) = passed_on(deleting());
    let retraction = retraction_of("aa", &["bb"], report.id());
    nodes[0].share(&[&retraction]);
    settle(&mut nodes);
    // Nobody but the originator has any of it left.
    for (node, record) in [(1, &report), (1, &second), (2, &second), (2, &third), (3, &third)] {
        assert!(!holds(&nodes[node], record), "{node}");
    }
    // The originator has the answer of each hand, and those who passed it on that of the next one.
    let about = |header: &Header| header.references.iter().any(|r| r.record == retraction.id());
    let mut answered: Vec<_> = came::<Answer>(&nodes[0])
        .into_iter()
        .map(|(from, header, answer)| {
            assert!(about(&header));
            (from, answer.action)
        })
        .collect();
    answered.sort_by(|a, b| a.0.cmp(&b.0));
    let deleted = |from: &str| (from.to_owned(), Action::Deleted);
    assert_eq!(answered, [deleted("bb"), deleted("cc"), deleted("dd")]);
    let from = |node: usize| came::<Answer>(&nodes[node]).into_iter().map(|(from, ..)| from).collect::<Vec<_>>();
    assert_eq!((from(1), from(2), from(3)), (vec!["cc".to_owned()], vec!["dd".to_owned()], vec![]));
    // And the receipts for what was deleted, copies included.
    let mut receipts: Vec<_> = came::<DeletionReceipt>(&nodes[0])
        .into_iter()
        .map(|(from, header, r)| {
            assert_eq!(header.the_one(Relation::About), Some(report.id()));
            (from, r.why, r.copies, r.through.map(|t| t.to_string()))
        })
        .collect();
    receipts.sort_by(|a, b| a.0.cmp(&b.0));
    let receipt = |from: &str, copies, through: Option<&str>| {
        (from.to_owned(), Why::Retracted, copies, through.map(str::to_owned))
    };
    assert_eq!(receipts, [receipt("bb", 2, None), receipt("cc", 2, Some("bb")), receipt("dd", 1, Some("cc"))]);
    // A second retraction finds nothing, and nothing goes out again.
    let leaves = nodes[3].store.leaves.len();
    nodes[0].share(&[&Node::new("aa").record(
        &["bb"],
        &Retraction { reason: "EXERCISE again".into(), carries: None },
        &[(Relation::Retracts, report.id())],
    )]);
    settle(&mut nodes);
    assert_eq!(nodes[3].store.leaves.len(), leaves);
}

/// What somebody keeps does not keep others from deleting.
#[test]
fn it_goes_on_beyond_those_who_keep_it() {
    let keeps = OnRetraction::Keep("EXERCISE Act".into());
    let (mut nodes, [report, second, third]) =
        passed_on([OnRetraction::Delete, keeps, OnRetraction::Mark, OnRetraction::Delete]);
    nodes[0].share(&[&retraction_of("aa", &["bb"], report.id())]);
    settle(&mut nodes);
    assert!(holds(&nodes[1], &report) && holds(&nodes[2], &second) && !holds(&nodes[3], &third));
    let mut actions: Vec<_> = came::<Answer>(&nodes[0]).into_iter().map(|(from, _, a)| (from, a.action)).collect();
    actions.sort_by(|a, b| a.0.cmp(&b.0));
    let expect = [("bb", Action::Kept), ("cc", Action::Marked), ("dd", Action::Deleted)];
    assert_eq!(actions, expect.map(|(from, action)| (from.to_owned(), action)));
}

#[test]
fn a_correction_takes_back_what_was_passed_on() {
    let (mut nodes, [report, _, third]) = passed_on(deleting());
    let body = mufakat_record::kinds::correction::Correction {
        reason: "EXERCISE".into(),
        report: report_body("EXERCISE corrected"),
    };
    let correction = Node::new("aa").record(&["bb"], &body, &[(Relation::Corrects, report.id())]);
    nodes[0].share(&[&correction]);
    settle(&mut nodes);
    assert!(holds(&nodes[1], &report) && !holds(&nodes[3], &third));
}

#[test]
fn a_retraction_that_is_carried_is_verified() {
    let (mut nodes, [report, second, _]) = passed_on(deleting());
    let real = retraction_of("aa", &["bb"], report.id());
    let carrying = |carried: &Verified| {
        let body = Retraction { reason: "EXERCISE".into(), carries: Some(carried.bytes().to_vec()) };
        Node::new("bb").record(&["cc"], &body, &[(Relation::Retracts, second.id())])
    };
    let forged = signed(real.header().clone(), real.body(), &signer("bb"));
    let other = retraction_of("aa", &["bb"], RecordId([1; 32]));
    let of_dd = retraction_of("dd", &["bb"], report.id());
    let wrong = [
        (carrying(&other), Reason::CarriedMismatch),
        (carrying(&of_dd), Reason::CarriedMismatch),
        (carrying(&report), Reason::CarriedMismatch),
    ];
    for (record, reason) in wrong {
        assert_eq!(reasons(&nodes[2].take("bb", &[&record])), [Some(reason)]);
        assert!(holds(&nodes[2], &second));
    }
    // What cannot be checked for want of a key is the word of whoever passed it on, and nobody else is answered.
    let said = |node: &Node| {
        let kept = node.store.records.values().filter_map(|kept| kept.record.as_ref());
        let own = kept.filter(|r| r.header().kind == "answer" && r.header().author == node.id());
        own.map(|r| r.header().audience.len()).collect::<Vec<_>>()
    };
    let mut cc = Node::new("cc");
    cc.store = nodes[2].store.clone();
    cc.crash();
    assert_eq!(reasons(&cc.take("bb", &[&carrying(&forged)])), [None]);
    assert!(!holds(&cc, &second));
    assert_eq!(said(&cc), [1]);
    assert_eq!(reasons(&nodes[2].take("bb", &[&carrying(&real)])), [None]);
    assert!(!holds(&nodes[2], &second));
    assert_eq!(said(&nodes[2]), [2]);
}

#[test]
fn attachments_go_with_what_is_passed_on() {
    let file = Node::new("aa").record(
        &["bb"],
        &mufakat_record::kinds::attachment::Attachment {
            name: "EXERCISE.txt".into(),
            media_type: "text/plain".into(),
            size: 1,
            digest: [1; 32],
            key: [1; 32],
            chunks: vec![1; 32],
        },
        &[],
    );
    let report = Node::new("aa").record(&["bb"], &report_body("EXERCISE"), &[(Relation::Attaches, file.id())]);
    let (mut aa, mut bb, mut cc) = (Node::new("aa"), Node::new("bb"), Node::new("cc"));
    aa.share(&[&file, &report]);
    deliver(&mut aa, &mut bb);
    let file_on = onward("bb", &["cc"], &file);
    let attaches = Reference { relation: Relation::Attaches, record: file_on.id() };
    let report_on = onward_with("bb", &["cc"], &report, None, |h, _| h.references.push(attaches));
    bb.share(&[&file_on, &report_on]);
    let items = cc.items(bb.store.outbox(&name("cc"), 1, 9));
    let (batch, receipt) = cc.take_at("bb", 1, 1, items).unwrap();
    bb.take_receipt(&receipt).unwrap();
    // Its chunks are to be fetched.
    assert_eq!(batch.attachments, [file_on.id()]);
    aa.share(&[&retraction_of("aa", &["bb"], report.id())]);
    deliver(&mut aa, &mut bb);
    deliver(&mut bb, &mut cc);
    assert!([&file, &report, &file_on, &report_on].iter().all(|r| !holds(&bb, r) && !holds(&cc, r)));
    deliver(&mut bb, &mut aa);
    let (_, _, told) = came::<DeletionReceipt>(&aa).remove(0);
    assert_eq!((told.copies, told.attachments), (2, 2));
}

/// What is still under way to the third hand is taken back behind it, and deleted here when it is through.
#[test]
fn what_is_on_its_way_is_deleted_when_it_has_arrived() {
    let (mut aa, mut bb, mut cc) = (Node::new("aa"), Node::new("bb"), Node::new("cc"));
    let report = report_handled("aa", &["bb"], Handling::community());
    aa.share(&[&report]);
    deliver(&mut aa, &mut bb);
    let second = onward("bb", &["cc"], &report);
    bb.share(&[&second]);
    aa.share(&[&retraction_of("aa", &["bb"], report.id())]);
    deliver(&mut aa, &mut bb);
    assert!(!holds(&bb, &report) && holds(&bb, &second));
    let delete = |node: &mut Node, id, why| {
        let (batch, outcomes) = node.exchange.delete(&[(id, why)], node.now_ms, &mut node.random, &node.store).unwrap();
        node.apply(&batch);
        outcomes[0]
    };
    assert_eq!(delete(&mut bb, second.id(), Why::Retracted), Err(NotDeleted::OnItsWay));
    bb.crash();
    deliver(&mut bb, &mut cc);
    assert!(!holds(&cc, &second));
    assert_eq!(delete(&mut bb, second.id(), Why::Retracted), Ok(()));
    assert_eq!(delete(&mut bb, second.id(), Why::Retracted), Err(NotDeleted::NotHeld));
    assert!(!holds(&bb, &second));
    // A third hand that lost its disk asks for what it had confirmed: a stand-in keeps the channel going.
    let again = vec![mufakat_record::STAND_IN.to_vec(), bb.store.outbox(&name("cc"), 2, 1).remove(0)];
    let mut cc = Node::new("cc");
    let items = cc.items(again);
    let (_, receipt) = cc.take_at("bb", 1, 1, items).unwrap();
    assert_eq!(reasons(&entries(&receipt)), [Some(Reason::Malformed), None]);
    bb.take_receipt(&receipt).unwrap();
}

#[test]
fn a_legal_hold_keeps_it_until_it_ends() {
    let (mut nodes, [report, second, third]) = passed_on(deleting());
    let end = NOW_S * 1000 + 60_000;
    // A hold on what was carried holds the record that carries it.
    nodes[2].store.holds.insert(report.id(), end);
    nodes[0].share(&[&retraction_of("aa", &["bb"], report.id())]);
    settle(&mut nodes);
    assert!(!holds(&nodes[1], &report) && holds(&nodes[2], &second) && !holds(&nodes[3], &third));
    let of_cc = |node: &Node| {
        let of_cc = came::<Answer>(node).into_iter().filter(|(from, ..)| from == "cc");
        of_cc.map(|(_, _, answer)| (answer.action, answer.reason)).collect::<Vec<_>>()
    };
    assert_eq!(of_cc(&nodes[0]), [(Action::Kept, Some(ON_HOLD.to_owned()))]);
    let cc = &mut nodes[2];
    let delete = |node: &mut Node, why| {
        let (batch, outcomes) =
            node.exchange.delete(&[(second.id(), why)], node.now_ms, &mut node.random, &node.store).unwrap();
        node.apply(&batch);
        outcomes[0]
    };
    let could = |node: &Node, why| {
        let rule = &node.on_retraction;
        could_delete(&node.store, &node.id(), rule, (&second.id(), why), node.now_ms).expect("a store")
    };
    for why in [Why::Retracted, Why::Expired, Why::Review, Why::Order] {
        // Whoever only looks comes to the same.
        assert_eq!((could(cc, why), delete(cc, why)), (Err(NotDeleted::OnHold), Err(NotDeleted::OnHold)));
    }
    cc.now_ms = end;
    assert_eq!(could(cc, Why::Retracted), Ok(()));
    assert_eq!(delete(cc, Why::Retracted), Ok(()));
    assert!(!holds(cc, &second));
    // Both who asked hear that it is gone now.
    settle(&mut nodes);
    for node in [0, 1] {
        assert!(of_cc(&nodes[node]).contains(&(Action::Deleted, None)), "{node}");
    }
}

/// A hold on what was passed on keeps that copy and what it carries, when that is taken back.
#[test]
fn a_legal_hold_on_what_was_passed_on_keeps_both() {
    let (mut nodes, [report, second, third]) = passed_on(deleting());
    let end = NOW_S * 1000 + 60_000;
    nodes[1].store.holds.insert(second.id(), end);
    nodes[0].share(&[&retraction_of("aa", &["bb"], report.id())]);
    settle(&mut nodes);
    assert!(holds(&nodes[1], &report) && holds(&nodes[1], &second));
    assert!(!holds(&nodes[2], &second) && !holds(&nodes[3], &third));
    let of_bb = came::<Answer>(&nodes[0]).into_iter().find(|(from, ..)| from == "bb");
    assert_eq!(of_bb.map(|(_, _, answer)| answer.action), Some(Action::Kept));
    let bb = &mut nodes[1];
    bb.now_ms = end;
    let wanted = [(report.id(), Why::Retracted)];
    let (batch, outcomes) = bb.exchange.delete(&wanted, bb.now_ms, &mut bb.random, &bb.store).unwrap();
    bb.apply(&batch);
    assert_eq!(outcomes, [Ok(())]);
    assert!(!holds(bb, &report) && !holds(bb, &second));
}

/// Whoever deletes what it passed on, and not what that carries, takes it back all the same.
#[test]
fn what_was_passed_on_and_is_deleted_is_taken_back() {
    let (mut nodes, [report, second, third]) = passed_on(deleting());
    let bb = &mut nodes[1];
    let wanted = [(second.id(), Why::Order)];
    let (batch, outcomes) = bb.exchange.delete(&wanted, bb.now_ms, &mut bb.random, &bb.store).unwrap();
    bb.apply(&batch);
    assert_eq!(outcomes, [Ok(())]);
    settle(&mut nodes);
    assert!(holds(&nodes[1], &report) && !holds(&nodes[1], &second));
    assert!(!holds(&nodes[2], &second) && !holds(&nodes[3], &third));
    let told = came::<DeletionReceipt>(&nodes[0]).into_iter().find(|(from, ..)| from == "bb");
    assert_eq!(told.map(|(_, _, told)| (told.copies, told.attachments)), Some((1, 0)));
}

#[test]
fn deleting_for_other_reasons() {
    let (mut nodes, [report, second, _]) = passed_on(deleting());
    let delete = |node: &mut Node, id, why| {
        let (batch, outcomes) = node.exchange.delete(&[(id, why)], node.now_ms, &mut node.random, &node.store).unwrap();
        node.apply(&batch);
        outcomes[0]
    };
    // What nobody took back is not deleted for that.
    assert_eq!(delete(&mut nodes[1], report.id(), Why::Retracted), Err(NotDeleted::KeptByRule));
    assert_eq!(delete(&mut nodes[1], RecordId([1; 32]), Why::Order), Err(NotDeleted::NotHeld));
    let receipt = nodes[1]
        .store
        .records
        .iter()
        .find(|(_, kept)| kept.record.as_ref().is_some_and(|record| record.header().kind == "receipt"));
    let receipt = *receipt.unwrap().0;
    assert_eq!(delete(&mut nodes[1], receipt, Why::Order), Err(NotDeleted::OfTheCommunity));
    // Whoever lets go of a record takes back what it passed on: otherwise a retraction could not follow any more.
    assert_eq!(delete(&mut nodes[1], report.id(), Why::Expired), Ok(()));
    settle(&mut nodes);
    assert!(!holds(&nodes[1], &second) && !holds(&nodes[2], &second));
    let told: Vec<_> = came::<DeletionReceipt>(&nodes[0]).into_iter().map(|(from, _, r)| (from, r.why)).collect();
    assert!(told.contains(&("bb".to_owned(), Why::Expired)) && told.contains(&("cc".to_owned(), Why::Retracted)));
    // One's own record goes when it has arrived, and nobody is told.
    let said = nodes[0].store.kept("deletion-receipt");
    assert_eq!(delete(&mut nodes[0], report.id(), Why::Order), Ok(()));
    assert_eq!(nodes[0].store.kept("deletion-receipt"), said);
    assert!(nodes[0].store.told(What::Deletion) == 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whoever passes a record on to whom, and whenever its originator takes it back: at the end nobody holds it.
    #[test]
    fn nobody_is_left_out(
        hops in prop::collection::vec((1usize..4, 1usize..4, any::<bool>()), 1..6),
        at in 0usize..6,
    ) {
        let mut nodes: Vec<_> = AGENCIES.into_iter().map(Node::new).collect();
        let report = report_handled("aa", &["bb"], Handling::community());
        nodes[0].share(&[&report]);
        settle(&mut nodes);
        let retraction = retraction_of("aa", &["bb"], report.id());
        let mut retracted = false;
        for (step, (from, to, settled)) in hops.into_iter().enumerate() {
            if step == at {
                nodes[0].share(&[&retraction]);
                retracted = true;
            }
            let (by, dest) = (AGENCIES[from], AGENCIES[to]);
            // Any copy that can go to this agency by the rules.
            let held: Vec<Verified> = nodes[from].store.records.values().filter_map(|k| k.record.clone()).collect();
            let mine = |r: &Verified| r.header().author == name(by);
            let taken_back = |r: &Verified| {
                held.iter().any(|other| other.header().the_one(Relation::Retracts) == Some(r.id()))
            };
            let copies = held.iter().filter(|r| ["report", "onward"].contains(&r.header().kind.as_str()) && !mine(r) && !taken_back(r));
            let next = copies.map(|copy| onward_with(by, &[dest], copy, None, |h, b| {
                h.issued_at += step as u64;
                b.note = Some(format!("EXERCISE {step}"));
            })).find(|next| from != to && Carried::read(next.header(), next.body()).is_ok());
            if let Some(next) = next {
                nodes[from].share(&[&next]);
            }
            if settled {
                settle(&mut nodes);
            }
        }
        if !retracted {
            nodes[0].share(&[&retraction]);
        }
        settle(&mut nodes);
        for node in &mut nodes[1..] {
            // What had to wait for its way is due now.
            let own: Vec<_> = node.store.records.iter().filter_map(|(id, kept)| {
                let record = kept.record.as_ref()?;
                (record.header().kind == "onward" && record.header().author == node.id()).then_some((*id, Why::Retracted))
            }).collect();
            let (batch, outcomes) = node.exchange.delete(&own, node.now_ms, &mut node.random, &node.store).unwrap();
            prop_assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
            node.apply(&batch);
            let left = node.store.records.values().filter_map(|kept| kept.record.as_ref());
            let left: Vec<_> = left.filter(|r| ["report", "onward"].contains(&r.header().kind.as_str())).collect();
            prop_assert!(left.is_empty(), "{} holds {left:?}", node.id());
        }
    }
}
