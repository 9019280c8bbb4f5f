//! Checks of what the exchange keeps.

use mufakat_exchange::{Change, Facts as _, Leaf, Said, What};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::{RecordId, Relation, STAND_IN, Verified};
use mufakat_views::Rows as _;

use super::community::{Community, Node, name, send};
use super::{Place, all_rows, sound};
use crate::{Error, MailboxLimits, Queries, Store};

fn node<P: Place>(place: &P, community: &Community, me: &str) -> Node<P::Store> {
    Node::start(place.create(&name(me), MailboxLimits::default()).expect("a new store"), community)
}

fn reopen<P: Place>(place: &P, node: Node<P::Store>) -> Node<P::Store> {
    let me = node.me();
    drop(node);
    Node::load(place.open(&me).expect("a store"))
}

fn reports<S: Store>(node: &Node<S>, to: &str, texts: std::ops::Range<usize>) -> Vec<Verified> {
    texts.map(|n| node.report(&[&name(to)], &format!("number {n}"), &[])).collect()
}

pub(super) fn new_store<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb"]);
    let mut store = place.create(&name("aa"), MailboxLimits::default()).unwrap();
    let state = store.state().unwrap();
    assert_eq!((state.me, state.epoch), (name("aa"), 1));
    assert!(store.snapshot().unwrap().is_none());
    assert!(place.create(&name("aa"), MailboxLimits::default()).is_err());
    store.adopt_register(&community.versions).unwrap();
    assert!(matches!(store.adopt_register(&community.versions), Err(Error::HasRegister)));
    drop(store);
    let mut store = place.open(&name("aa")).unwrap();
    let snapshot = store.snapshot().unwrap().unwrap();
    assert_eq!(snapshot.directory.chain().root(), community.versions[0].hash);
    assert_eq!((snapshot.ledger_size, snapshot.outbound.len(), snapshot.inbound.len()), (0, 0, 0));
    sound(&mut store);
}

pub(super) fn exchange<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb", "cc"]);
    let (mut a, mut b) = (node(place, &community, "aa"), node(place, &community, "bb"));
    let (bb, cc) = (name("bb"), name("cc"));
    let first = a.report(&[&bb, &cc], "first", &[]);
    let second = a.report(&[&bb], "second", &[first.id()]);
    let ids = a.share(vec![first.clone(), second.clone()]).unwrap();
    assert_eq!(ids, [first.id(), second.id()]);
    // The same submission again is the same record.
    assert_eq!(a.share(vec![first.clone()]).unwrap(), [first.id()]);
    assert_eq!(a.store.counts().unwrap().queued, [(bb.clone(), 2), (cc.clone(), 1)]);
    let one = a.store.outbox(&bb, 1, 10, 1).unwrap();
    assert_eq!((one.len(), one[0].record, one[0].bytes.as_slice()), (1, first.id(), first.bytes()));
    assert_eq!(send(&mut a, &mut b, 1, 1), 1);
    let (_, settled, next) = a.store.snapshot().unwrap().unwrap().outbound.remove(0);
    assert_eq!((settled, next), (1, 3));
    assert_eq!(send(&mut a, &mut b, 2, 10), 1);
    assert_eq!(a.store.queued(&bb, 2, 9).unwrap(), [(second.id(), true)]);
    assert_eq!(a.store.queued(&cc, 1, 1).unwrap(), [(first.id(), false)]);
    // The places that were asked for and no others, wherever they lie.
    assert_eq!(a.store.queued(&bb, 0, 2).unwrap(), [(first.id(), true)]);
    for (nowhere, count) in [(3, 1), (0, 1), (1 << 63, 2), (u64::MAX - 1, 2), (u64::MAX, 2)] {
        assert_eq!(a.store.queued(&bb, nowhere, count).unwrap(), [], "{nowhere}");
    }

    let (mut a, mut b) = (reopen(place, a), reopen(place, b));
    let snapshot = b.store.snapshot().unwrap().unwrap();
    assert_eq!((snapshot.inbound[0].0.clone(), snapshot.inbound[0].1.expected), (name("aa"), 3));
    let held = b.store.held(&second.id()).unwrap().unwrap();
    assert_eq!(held.record.as_ref().map(Verified::bytes), Some(second.bytes()));
    let (index, leaf) = b.store.record_leaf(&second.id()).unwrap().unwrap();
    assert_eq!((index, held.salt, leaf.what), (held.leaf, leaf.salt, What::Received));
    assert_eq!(b.store.leaf(index).unwrap(), Some(leaf));
    assert_eq!(b.store.leaf_of(&second.id()).unwrap(), Some(index));
    let entry = b.store.arrival(&name("aa"), 1, 2).unwrap().unwrap();
    assert_eq!((entry.position, entry.record, entry.index, entry.rejected), (2, second.id(), index, None));
    assert!(b.store.arrival(&name("aa"), 1, 3).unwrap().is_none());

    for store in [&a.store, &b.store] {
        for record in [&first, &second] {
            let receipts = store.receipts_on(&record.id()).unwrap();
            assert_eq!(receipts.len(), 1);
            let receipt = Verified::from_own_store(receipts[0].bytes.clone()).unwrap();
            let body = Receipt::from_body(receipt.header(), receipt.body()).unwrap();
            assert_eq!(body.entries[0].record, record.id());
            assert_eq!(receipts[0].leaf.subject.0, receipt.id().0);
        }
        let related = store.related(&first.id(), 9).unwrap();
        assert_eq!((related.len(), related[0].relation), (1, Relation::Attaches));
        assert_eq!((related[0].leaf.subject.0, &related[0].author), (second.id().0, &name("aa")));
        assert_eq!(store.record_bytes(&first.id()).unwrap().as_deref(), Some(first.bytes()));
        assert!(store.record_bytes(&RecordId([0; 32])).unwrap().is_none());
    }
    let counts = b.store.counts().unwrap();
    assert_eq!((counts.records, counts.leaves), (4, 4));
    assert!(counts.bytes > 0);
    sound(&mut a.store);
    sound(&mut b.store);
}

/// What others say of a record, however much, changes nothing in what one agency is asked for.
pub(super) fn said<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb"]);
    let (mut a, mut b) = (node(place, &community, "aa"), node(place, &community, "bb"));
    let first = a.report(&[&name("bb")], "first", &[]);
    a.share(vec![first.clone()]).unwrap();
    let asked = |by, kind, latest| Said { relation: Relation::Attaches, by, kind, latest };
    let flood: Vec<_> = (0..40).map(|n| b.report(&[&name("aa")], &format!("number {n}"), &[first.id()])).collect();
    b.share(flood.clone()).unwrap();
    send(&mut b, &mut a, 1, 40);
    let own = a.report(&[&name("bb")], "own", &[first.id()]);
    a.share(vec![own.clone()]).unwrap();
    let ids = |said: Said<'_>| -> Vec<RecordId> {
        let found = a.store.referring(&first.id(), said).unwrap().iter().map(Verified::id).collect();
        let with_leaves: Vec<_> = a.store.said_of(&first.id(), said).unwrap().iter().map(|said| said.record).collect();
        assert_eq!(with_leaves, found);
        found
    };
    let (aa, bb, nobody) = (name("aa"), name("bb"), name("nobody"));
    assert_eq!(ids(asked(&aa, "report", usize::MAX)), [own.id()]);
    assert_eq!(ids(asked(&aa, "onward", usize::MAX)), []);
    assert_eq!(ids(asked(&nobody, "report", 9)), []);
    // The latest, in the order in which they came.
    assert_eq!(ids(asked(&bb, "report", 2)), [flood[38].id(), flood[39].id()]);
    let mentions = a.store.related(&first.id(), 3).unwrap();
    let shown: Vec<_> = mentions.iter().map(|m| (&m.author, m.kind.as_str(), m.leaf.subject.0)).collect();
    assert_eq!(
        shown,
        [(&bb, "report", flood[38].id().0), (&bb, "report", flood[39].id().0), (&aa, "report", own.id().0)]
    );
    sound(&mut a.store);
}

pub(super) fn transaction<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb"]);
    let mut a = node(place, &community, "aa");
    assert!(matches!(a.store.commit(), Err(Error::NoTransaction)));
    a.store.rollback().unwrap();
    a.store.begin().unwrap();
    assert!(matches!(a.store.begin(), Err(Error::InTransaction)));
    let reader = place.reader(&name("aa")).unwrap();
    let ids = a.share(reports(&a, "bb", 0..3)).unwrap();
    // The writer sees what it wrote, and nobody else does before the commit.
    assert!(a.store.held(&ids[0]).unwrap().is_some());
    assert_eq!(a.store.queued(&name("bb"), 3, 1).unwrap(), [(ids[2], false)]);
    assert!(reader.held(&ids[0]).unwrap().is_none());
    a.store.commit().unwrap();
    assert!(reader.held(&ids[0]).unwrap().is_some());
    let rows = all_rows(&a.store);
    assert_eq!(all_rows(&reader), rows);

    for crash in [false, true] {
        a.store.begin().unwrap();
        let lost = a.share(reports(&a, "bb", 10..12)).unwrap();
        a.store.mailbox_put(&name("zz"), &name("yy"), b"parcel", 1).unwrap();
        a = if crash {
            reopen(place, a)
        } else {
            a.store.rollback().unwrap();
            a.reload()
        };
        assert!(a.store.held(&lost[0]).unwrap().is_none());
        assert_eq!(a.store.outbox(&name("bb"), 1, 100, usize::MAX).unwrap().len(), 3);
        assert_eq!(all_rows(&a.store), rows);
        // Agencies of a transaction that was given up are not remembered as known.
        a.store.mailbox_put(&name("zz"), &name("yy"), b"parcel", 1).unwrap();
        assert_eq!(reader.mailbox_take_after(&name("yy"), 0, 10, 10).unwrap().len(), 1);
        a.store.mailbox_drop(&name("yy")).unwrap();
        sound(&mut a.store);
    }
    let ids = a.share(reports(&a, "bb", 20..21)).unwrap();
    assert_eq!(a.store.queued(&name("bb"), 4, 1).unwrap(), [(ids[0], false)]);
}

pub(super) fn replay<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb"]);
    let (mut a, mut b) = (node(place, &community, "aa"), node(place, &community, "bb"));
    a.share(reports(&a, "bb", 0..3)).unwrap();
    let queued = a.store.outbox(&name("bb"), 1, 10, usize::MAX).unwrap();
    let records: Vec<_> = queued.into_iter().map(|queued| queued.bytes).collect();
    let (_, first) = b.take(&name("aa"), 1, 1, records[..2].to_vec()).unwrap();
    let leaves = b.store.counts().unwrap().leaves;
    let mut b = reopen(place, b);
    let (_, again) = b.take(&name("aa"), 1, 1, records.clone()).unwrap();
    let entries = |receipt: &Verified| Receipt::from_body(receipt.header(), receipt.body()).unwrap().entries;
    assert_eq!(entries(&first), entries(&again)[..2]);
    // One leaf for the one new record, and one for the receipt.
    assert_eq!(b.store.counts().unwrap().leaves, leaves + 2);
    a.take_receipt(again.clone()).unwrap();
    let settled = a.store.counts().unwrap();
    a.take_receipt(again).unwrap();
    a.take_receipt(first).unwrap();
    assert_eq!(a.store.counts().unwrap().leaves, settled.leaves);
    // The same records at later places: no new records, and a word on each place.
    let (_, moved) = b.take(&name("aa"), 1, 4, records).unwrap();
    assert_eq!(entries(&moved)[2].index, entries(&moved)[2].index);
    assert_eq!(b.store.arrival(&name("aa"), 1, 6).unwrap().unwrap().index, entries(&moved)[2].index);
    assert_eq!(b.store.snapshot().unwrap().unwrap().inbound[0].1.expected, 7);
    sound(&mut a.store);
    sound(&mut b.store);
}

pub(super) fn rejected<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb", "cc"]);
    let (mut a, mut b) = (node(place, &community, "aa"), node(place, &community, "bb"));
    let sound_one = a.report(&[&name("bb")], "for bb", &[]);
    let not_for_b = a.report(&[&name("cc")], "for cc", &[]);
    let records = vec![b"no record".to_vec(), sound_one.bytes().to_vec(), not_for_b.bytes().to_vec()];
    b.take(&name("aa"), 1, 1, records).unwrap();
    let arrival = |b: &Node<P::Store>, position| b.store.arrival(&name("aa"), 1, position).unwrap().unwrap();
    assert_eq!(arrival(&b, 1).rejected.as_deref(), Some("truncated"));
    assert_eq!(arrival(&b, 1).record, RecordId::of(b"no record"));
    assert_eq!(arrival(&b, 2).rejected, None);
    assert_eq!(arrival(&b, 3).rejected.as_deref(), Some("not-in-audience"));
    assert!(b.store.held(&not_for_b.id()).unwrap().is_none());
    // Where the leaf is that of authoring, its detail is no reason.
    let ours = b.report(&[&name("aa")], "ours", &[]);
    b.share(vec![ours.clone()]).unwrap();
    let (leaf, _) = b.store.record_leaf(&ours.id()).unwrap().unwrap();
    b.store.apply(&[Change::Arrived { from: name("aa"), epoch: 9, position: 1, leaf }]).unwrap();
    assert_eq!(b.store.arrival(&name("aa"), 9, 1).unwrap().unwrap().rejected, None);
    a.share(vec![sound_one]).unwrap();
    sound(&mut a.store);
    sound(&mut b.store);
}

pub(super) fn epoch<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb", "cc"]);
    let (mut a, mut b) = (node(place, &community, "aa"), node(place, &community, "bb"));
    let ids = a.share(reports(&a, "bb", 0..5)).unwrap();
    a.share(reports(&a, "cc", 5..6)).unwrap();
    assert_eq!(send(&mut a, &mut b, 1, 2), 2);
    a.store.set_own_checkpoint("a note").unwrap();
    assert_eq!(a.store.begin_epoch().unwrap(), 2);
    assert_eq!(a.store.own_checkpoint().unwrap(), None);
    let mut a = reopen(place, a);
    assert_eq!((a.store.state().unwrap().epoch, a.exchange.epoch()), (2, 2));
    let queued: Vec<_> = a.store.outbox(&name("bb"), 1, 10, usize::MAX).unwrap();
    assert_eq!(
        queued.iter().map(|q| (q.position, q.record)).collect::<Vec<_>>(),
        [(1, ids[2]), (2, ids[3]), (3, ids[4])]
    );
    assert_eq!(a.store.queued(&name("bb"), 1, 1).unwrap(), [(ids[2], false)]);
    let counts = a.store.counts().unwrap();
    assert_eq!(counts.queued, [(name("bb"), 3), (name("cc"), 1)]);
    // What was settled in the old epoch stays on record.
    assert_eq!(a.store.receipts_on(&ids[0]).unwrap().len(), 1);
    assert_eq!(send(&mut a, &mut b, 1, 10), 3);
    assert_eq!(a.store.receipts_on(&ids[4]).unwrap().len(), 1);
    assert_eq!(b.store.arrival(&name("aa"), 2, 3).unwrap().unwrap().record, ids[4]);
    assert_eq!(b.store.arrival(&name("aa"), 1, 2).unwrap().unwrap().record, ids[1]);
    assert_eq!(a.store.begin_epoch().unwrap(), 3);
    assert_eq!(a.store.outbox(&name("bb"), 1, 10, usize::MAX).unwrap(), []);
    assert_eq!(a.store.outbox(&name("cc"), 1, 10, usize::MAX).unwrap().len(), 1);
    sound(&mut a.store);
    sound(&mut b.store);
}

pub(super) fn removed<P: Place>(place: &P) {
    let mut community = Community::found(&["aa", "bb", "cc"]);
    let mut a = node(place, &community, "aa");
    a.share(vec![a.report(&[&name("bb"), &name("cc")], "both", &[])]).unwrap();
    community.remove(&name("cc"));
    a.adopt(&community).unwrap();
    assert_eq!(a.store.outbox(&name("cc"), 1, 10, usize::MAX).unwrap(), []);
    assert_eq!(a.store.outbox(&name("bb"), 1, 10, usize::MAX).unwrap().len(), 1);
    assert_eq!(a.store.counts().unwrap().queued, [(name("bb"), 1)]);
    let failed = all_rows(&a.store).into_iter().filter(|row| row.body["state"] == "failed").count();
    assert_eq!(failed, 1);
    let mut a = reopen(place, a);
    assert_eq!(a.exchange.directory().chain().versions().len(), 2);
    a.share(reports(&a, "bb", 0..1)).unwrap();
    sound(&mut a.store);
}

pub(super) fn erased<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb"]);
    let (mut a, mut b) = (node(place, &community, "aa"), node(place, &community, "bb"));
    let attachment = a.attachment(&[&name("bb")], &[mufakat_record::Digest([5; 32])]);
    let report = a.report(&[&name("bb")], "to be retracted", &[attachment.id()]);
    let other = a.report(&[&name("bb")], "to stay", &[]);
    let retraction = a.retraction(&[&name("bb")], report.id());
    a.share(vec![attachment.clone(), report.clone(), other.clone()]).unwrap();
    assert_eq!(send(&mut a, &mut b, 1, 10), 3);
    let (index, leaf) = b.store.record_leaf(&report.id()).unwrap().unwrap();
    assert_ne!(leaf.salt, [0; 16]);
    a.share(vec![retraction]).unwrap();
    assert_eq!(send(&mut a, &mut b, 4, 10), 1);
    b.store.scrub().unwrap();
    let mut b = reopen(place, b);
    for gone in [&report, &attachment] {
        let held = b.store.held(&gone.id()).unwrap().unwrap();
        assert!(held.record.is_none());
        assert_eq!(held.salt, [0; 16]);
        assert_eq!(b.store.record_bytes(&gone.id()).unwrap(), None);
    }
    assert_eq!(b.store.leaf(index).unwrap().unwrap().salt, [0; 16]);
    assert_eq!(b.store.related(&attachment.id(), 9).unwrap(), []);
    assert_eq!(b.store.chunks_unreferenced(10).unwrap(), [mufakat_record::Digest([5; 32])]);
    assert_eq!(b.store.attachments_incomplete().unwrap(), []);
    assert!(b.store.record_bytes(&other.id()).unwrap().is_some());
    let rows = all_rows(&b.store);
    assert!(rows.iter().any(|row| row.record == report.id() && row.body["state"] == "deleted"));
    assert!(!rows.iter().any(|row| row.body.to_string().contains("to be retracted")));
    // A record and its retraction that come together, as when the first was never delivered.
    let hasty = a.report(&[&name("bb")], "taken back at once", &[]);
    let regret = a.retraction(&[&name("bb")], hasty.id());
    a.share(vec![hasty.clone(), regret]).unwrap();
    assert_eq!(send(&mut a, &mut b, 5, 10), 2);
    assert!(b.store.held(&hasty.id()).unwrap().unwrap().record.is_none());
    // An answer and a deletion receipt for each of the two.
    assert_eq!(send(&mut b, &mut a, 1, 10), 4);
    sound(&mut a.store);
    sound(&mut b.store);
}

pub(super) fn erased_own<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb", "cc"]);
    let mut a = node(place, &community, "aa");
    let (bb, cc) = (name("bb"), name("cc"));
    let first = a.report(&[&bb], "EXERCISE the first", &[]);
    let report = a.report(&[&bb], "EXERCISE to be forgotten", &[]);
    let both = a.report(&[&bb, &cc], "EXERCISE to two", &[]);
    a.share(vec![first.clone(), report.clone(), both.clone()]).unwrap();
    let held = |a: &Node<P::Store>, record: &Verified| a.store.record_bytes(&record.id()).unwrap().is_some();
    let erase = |a: &mut Node<P::Store>, record: RecordId| a.store.apply(&[Change::Erase { record }]).unwrap();
    // What its audience has not got yet stays, whoever asks, and what we do not have cannot be erased.
    erase(&mut a, report.id());
    erase(&mut a, RecordId([1; 32]));
    assert!(held(&a, &report));
    // One that was settled out of turn would be sent again with what is before it.
    a.store.apply(&[Change::Settle { to: bb.clone(), first: 2, last: 2, accepted: true }]).unwrap();
    erase(&mut a, report.id());
    assert!(held(&a, &report));
    a.store.apply(&[Change::Settle { to: bb.clone(), first: 1, last: 3, accepted: true }]).unwrap();
    erase(&mut a, both.id());
    assert!(held(&a, &both), "one recipient of two has it");

    let class = a.store.class_of(&report.id()).unwrap();
    let (index, leaf) = a.store.record_leaf(&report.id()).unwrap().unwrap();
    let deletion = Leaf::about(What::Deletion, &report.id(), leaf.at_ms + 1, b"", [7; 16]);
    let mut batch = a.exchange.note(deletion);
    batch.changes.push(Change::Erase { record: report.id() });
    a.store.apply(&batch.changes).unwrap();
    a.store.scrub().unwrap();
    let mut a = reopen(place, a);
    assert!(!held(&a, &report) && held(&a, &first) && held(&a, &both));
    assert_eq!(a.store.leaf(index).unwrap().unwrap().salt, [0; 16]);
    assert_eq!(a.store.class_of(&report.id()).unwrap(), class);
    // That it was deleted, and when, is all that the rows still tell.
    assert!(all_rows(&a.store).iter().filter(|row| row.record == report.id()).all(|row| row.view == "uses"));
    // What is behind it goes on; to whoever asks for it again goes a stand-in, so that the channel does not end there.
    assert_eq!(a.store.outbox(&cc, 1, 10, usize::MAX).unwrap().len(), 1);
    let again: Vec<_> =
        a.store.outbox(&bb, 1, 10, usize::MAX).unwrap().into_iter().map(|queued| queued.bytes).collect();
    assert_eq!(again, [first.bytes(), STAND_IN, both.bytes()]);
    assert_eq!(a.store.outbox(&bb, 3, 10, usize::MAX).unwrap()[0].record, both.id());
    a.share(reports(&a, "bb", 0..2)).unwrap();
    assert_eq!(a.store.outbox(&bb, 3, 10, usize::MAX).unwrap().len(), 3);
    sound(&mut a.store);
}

/// A number that follows from another one; it only has to look irregular.
pub(super) fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

pub(super) fn turns<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb", "cc"]);
    let names = ["aa", "bb", "cc"];
    let mut nodes: Vec<_> = names.iter().map(|me| Some(node(place, &community, me))).collect();
    let mut seed = 1;
    for turn in 0..200 {
        let (from, to) = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)][next(&mut seed) as usize % 6];
        let mut sender = nodes[from].take().expect("a node");
        let first = sender.exchange.outbound(&name(names[to])).expect("a channel").plan(u64::MAX, false);
        sender = sender.reload();
        match (next(&mut seed) % 8, first) {
            (0..3, _) => {
                let count = 1 + next(&mut seed) as usize % 40;
                sender.share(reports(&sender, names[to], turn * 100..turn * 100 + count)).unwrap();
            }
            (3, _) => {
                sender.store.begin().unwrap();
                sender.share(reports(&sender, names[to], turn * 100..turn * 100 + 5)).unwrap();
                sender.store.rollback().unwrap();
                sender = sender.reload();
            }
            (4, _) => sender = reopen(place, sender),
            (_, mufakat_exchange::Plan::Direct(first)) => {
                let receiver = nodes[to].as_mut().expect("a node");
                send(&mut sender, receiver, first, 1 + next(&mut seed) as usize % 30);
            }
            _ => {}
        }
        nodes[from] = Some(sender);
    }
    for mut node in nodes.into_iter().flatten() {
        let counts = node.store.counts().unwrap();
        assert!(counts.leaves > 256, "enough for a full tile");
        sound(&mut node.store);
    }
}

pub(super) fn no_room<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb"]);
    let mut a = node(place, &community, "aa");
    let before = a.share(reports(&a, "bb", 0..5)).unwrap();
    let bytes = a.store.counts().unwrap().bytes;
    place.cap(&mut a.store, Some(bytes + 200_000)).unwrap();
    let mut shared = 5;
    let full = loop {
        a.store.begin().unwrap();
        match a.share(reports(&a, "bb", shared..shared + 20)).and_then(|_| a.store.commit()) {
            Ok(()) => shared += 20,
            Err(error) => break error,
        }
        assert!(shared < 10_000, "the cap does not hold");
    };
    assert!(matches!(full, Error::Full), "{full}");
    a.store.rollback().unwrap();
    // It stays readable, has all that was promised, and goes on when there is room.
    let mut a = a.reload();
    assert_eq!(a.store.record_bytes(&before[0]).unwrap().map(|b| RecordId::of(&b)), Some(before[0]));
    assert_eq!(a.store.outbox(&name("bb"), 1, usize::MAX, usize::MAX).unwrap().len(), shared);
    place.cap(&mut a.store, None).unwrap();
    a.share(reports(&a, "bb", shared..shared + 100)).unwrap();
    assert_eq!(a.store.outbox(&name("bb"), 1, usize::MAX, usize::MAX).unwrap().len(), shared + 100);
    sound(&mut a.store);
}
