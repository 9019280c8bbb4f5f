//! Checks of what the rest of the node keeps.

use mufakat_ledger::Hash;
use mufakat_ledger::witness::Seen;
use mufakat_record::{AgencyId, Digest, KeyId};
use mufakat_views::Rows as _;
use zeroize::Zeroizing;

use super::community::{Community, Node, name, send};
use super::{Place, sound};
use crate::{Error, MailboxLimits, Page, Purpose, Queries, Secret, Store};

fn store<P: Place>(place: &P, mailbox: MailboxLimits) -> P::Store {
    place.create(&name("aa"), mailbox).expect("a new store")
}

pub(super) fn pages<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb", "cc"]);
    let mut a = Node::start(store(place, MailboxLimits::default()), &community);
    let to = |n: usize| name(if n.is_multiple_of(3) { "bb" } else { "cc" });
    a.share((0..30).map(|n| a.report(&[&to(n)], &n.to_string(), &[])).collect()).unwrap();
    let reader = place.reader(&name("aa")).unwrap();
    for newest_first in [false, true] {
        for (facets, count) in
            [(&[][..], 30), (&[("queued_to", "bb")][..], 10), (&[("state", "queued"), ("queued_to", "cc")], 20)]
        {
            let mut keys: Vec<Vec<u8>> = Vec::new();
            loop {
                let page = Page {
                    view: "track",
                    after: keys.last().map(Vec::as_slice),
                    limit: 7,
                    facets,
                    newest_first,
                    classes: None,
                };
                let rows = reader.view_page(&page).unwrap();
                assert!(rows.len() <= 7);
                if rows.is_empty() {
                    break;
                }
                keys.extend(rows.into_iter().map(|row| row.key));
            }
            assert_eq!(keys.len(), count);
            assert!(keys.windows(2).all(|pair| (pair[0] < pair[1]) != newest_first));
        }
    }
    let none = Page {
        view: "track",
        after: None,
        limit: 7,
        facets: &[("queued_to", "b")],
        newest_first: false,
        classes: None,
    };
    assert_eq!(reader.view_page(&none).unwrap(), []);
    // A leaf's rows are found by their common prefix.
    let row = reader.view_page(&Page { facets: &[], limit: 1, ..none }).unwrap().remove(0);
    assert_eq!(reader.rows("track", &row.key[..8], None).unwrap(), std::slice::from_ref(&row));
    assert_eq!(reader.rows("track", &[], Some(("queued_to", "bb"))).unwrap().len(), 10);
    assert_eq!(reader.row("track", &row.key).unwrap(), Some(row));
    assert_eq!(reader.row("track", b"nothing").unwrap(), None);
    assert_eq!(reader.rows("track", &[0xff], None).unwrap(), []);
}

pub(super) fn mailboxes<P: Place>(place: &P) {
    let mut store = store(place, MailboxLimits { count_max: 3, bytes_max: 100 });
    let (xx, yy, zz) = (name("xx"), name("yy"), name("zz"));
    let take = |store: &P::Store, who: &AgencyId, cursor: u64| store.mailbox_take_after(who, cursor, 10, 1000).unwrap();
    assert_eq!(take(&store, &yy, 0), []);
    for parcel in [&[1; 10][..], &[2; 20], &[3; 30]] {
        store.mailbox_put(&xx, &yy, parcel, 50).unwrap();
    }
    let full = |result| matches!(result, Err(Error::MailboxFull(who)) if who == name("yy"));
    assert!(full(store.mailbox_put(&xx, &yy, &[4], 50)));
    store.mailbox_put(&xx, &zz, &[5; 100], 10).unwrap();
    assert!(matches!(store.mailbox_put(&yy, &zz, &[5], 10), Err(Error::MailboxFull(_))));
    let parcels = take(&store, &yy, 0);
    assert_eq!(parcels.iter().map(|(_, p)| p.len()).collect::<Vec<_>>(), [10, 20, 30]);
    assert_eq!(take(&store, &yy, parcels[0].0), parcels[1..]);
    assert_eq!(store.mailbox_take_after(&yy, 0, 2, 1000).unwrap(), parcels[..2]);
    assert_eq!(store.mailbox_take_after(&yy, 0, 10, 30).unwrap(), parcels[..2]);
    assert_eq!(store.mailbox_take_after(&yy, 0, 10, 1).unwrap(), parcels[..1]);
    store.mailbox_drop_through(&yy, parcels[1].0).unwrap();
    assert_eq!(take(&store, &yy, 0), parcels[2..]);
    assert!(full(store.mailbox_put(&xx, &yy, &[6; 71], 50)));
    store.mailbox_put(&zz, &yy, &[7; 70], 50).unwrap();
    // Cursors are never given twice, even when the newest parcel was dropped.
    let newest = take(&store, &yy, 0).pop().unwrap().0;
    store.mailbox_drop_through(&yy, newest).unwrap();
    store.mailbox_put(&xx, &yy, &[8], 60).unwrap();
    assert!(take(&store, &yy, 0)[0].0 > newest);
    assert_eq!(store.counts().unwrap().mailbox, 2);
    assert_eq!(store.mailbox_expire(10).unwrap(), 0);
    assert_eq!(store.mailbox_expire(11).unwrap(), 1);
    assert_eq!(take(&store, &zz, 0), []);
    store.mailbox_put(&yy, &zz, &[9], u64::MAX).unwrap();
    store.mailbox_put(&zz, &xx, &[9], 60).unwrap();
    store.mailbox_drop(&yy).unwrap();
    assert_eq!((take(&store, &yy, 0), take(&store, &zz, 0)), (vec![], vec![]));
    assert_eq!(take(&store, &xx, 0).len(), 1);
    sound(&mut store);
}

pub(super) fn chunks<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb", "cc"]);
    let mut a = Node::start(store(place, MailboxLimits::default()), &community);
    let mut b = Node::start(place.create(&name("bb"), MailboxLimits::default()).unwrap(), &community);
    let (bb, cc) = (name("bb"), name("cc"));
    let (one, two) = (Digest([1; 32]), Digest([2; 32]));
    let attachment = a.attachment(&[&bb], &[one, two]);
    a.share(vec![attachment.clone()]).unwrap();
    let allowed = |store: &P::Store, chunk: &Digest, who: &AgencyId| store.chunk_allowed(chunk, who).unwrap();
    assert!(allowed(&a.store, &one, &bb) && allowed(&a.store, &two, &bb));
    assert!(!allowed(&a.store, &one, &cc) && !allowed(&a.store, &Digest([3; 32]), &bb));
    assert_eq!(a.store.attachments_incomplete().unwrap(), []);
    send(&mut a, &mut b, 1, 1);
    assert_eq!(b.store.attachments_incomplete().unwrap(), [attachment.id()]);
    // What came to us is not ours to hand on.
    assert!(!allowed(&b.store, &one, &bb) && !allowed(&b.store, &one, &cc));
    b.store.attachment_done(&attachment.id()).unwrap();
    assert_eq!(b.store.attachments_incomplete().unwrap(), []);

    let relayed = |store: &P::Store, chunk: &Digest, who: &AgencyId| store.relay_chunk_allowed(chunk, who).unwrap();
    b.store.relay_chunk_put(&one, &cc, 10).unwrap();
    b.store.relay_chunk_put(&Digest([4; 32]), &cc, 10).unwrap();
    b.store.relay_chunk_put(&Digest([4; 32]), &name("dd"), 20).unwrap();
    assert!(relayed(&b.store, &one, &cc) && !relayed(&b.store, &one, &name("dd")));
    b.store.mailbox_expire(11).unwrap();
    assert!(!relayed(&b.store, &one, &cc));
    // One is still listed by the attachment, the other is still kept for somebody else.
    assert_eq!(b.store.chunks_unreferenced(10).unwrap(), []);
    b.store.mailbox_drop(&name("dd")).unwrap();
    assert_eq!(b.store.chunks_unreferenced(10).unwrap(), [Digest([4; 32])]);
    b.store.chunk_deleted(&Digest([4; 32])).unwrap();
    assert_eq!(b.store.chunks_unreferenced(10).unwrap(), []);
    b.store.relay_chunk_put(&Digest([5; 32]), &cc, 20).unwrap();
    b.store.chunk_deleted(&Digest([5; 32])).unwrap();
    assert!(!relayed(&b.store, &Digest([5; 32]), &cc));
    sound(&mut b.store);
}

pub(super) fn witness<P: Place>(place: &P) {
    let mut store = store(place, MailboxLimits::default());
    let seen = |size| Seen { size, root: Hash::from([size as u8; 32]), note_text: format!("note {size}") };
    assert_eq!(store.seen("mufakat/bb/1").unwrap(), None);
    store.set_seen("mufakat/bb/1", &seen(1)).unwrap();
    store.set_seen("mufakat/bb/1", &seen(2)).unwrap();
    store.set_seen("mufakat/cc/1", &seen(3)).unwrap();
    assert_eq!(store.own_checkpoint().unwrap(), None);
    store.begin().unwrap();
    store.set_seen("mufakat/cc/1", &seen(4)).unwrap();
    store.set_own_checkpoint("forgotten").unwrap();
    drop(store);
    let mut store = place.open(&name("aa")).unwrap();
    assert_eq!(store.seen("mufakat/bb/1").unwrap(), Some(seen(2)));
    assert_eq!(store.seen("mufakat/cc/1").unwrap(), Some(seen(3)));
    assert_eq!(store.own_checkpoint().unwrap(), None);
    store.set_own_checkpoint("kept").unwrap();
    assert_eq!(place.reader(&name("aa")).unwrap().own_checkpoint().unwrap().as_deref(), Some("kept"));
}

pub(super) fn secrets<P: Place>(place: &P) {
    let mut store = store(place, MailboxLimits::default());
    let secret = |purpose, number: u8, until| Secret {
        purpose,
        key: KeyId([number; 16]),
        seed: Zeroizing::new([number; 32]),
        from: 1,
        until,
    };
    let identity = secret(Purpose::Identity, 1, u64::MAX);
    let sealing = secret(Purpose::Sealing, 2, 5);
    store.put_secret(&identity).unwrap();
    store.put_secret(&sealing).unwrap();
    let longer = Secret { until: 9, ..sealing.clone() };
    store.put_secret(&longer).unwrap();
    assert_eq!(store.secrets().unwrap(), [identity.clone(), longer]);
    store.begin().unwrap();
    assert!(matches!(store.erase_secret(Purpose::Sealing, &sealing.key), Err(Error::InTransaction)));
    store.rollback().unwrap();
    store.erase_secret(Purpose::Signing, &sealing.key).unwrap();
    assert_eq!(store.secrets().unwrap().len(), 2);
    store.erase_secret(Purpose::Sealing, &sealing.key).unwrap();
    drop(store);
    let store = place.open(&name("aa")).unwrap();
    assert_eq!(store.secrets().unwrap(), [identity]);
    assert!(!format!("{:?}", store.secrets().unwrap()).contains("1, 1, 1"));
}
