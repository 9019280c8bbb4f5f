//! Checks of handling classes and of pages that are made by them.

use mufakat_record::{Handling, Tlp};
use mufakat_views::{Row, Rows as _, inbox, refused, track};

use super::community::{Community, Node, name, send};
use super::sharing::next;
use super::{Place, sound};
use crate::{Class, ClassNumber, MailboxLimits, NO_CLASS, Page, Queries, Store};

fn node<P: Place>(place: &P, community: &Community, me: &str) -> Node<P::Store> {
    Node::start(place.create(&name(me), MailboxLimits::default()).expect("a new store"), community)
}

fn with(tlp: Tlp) -> Handling {
    Handling::with(tlp)
}

pub(super) fn classes<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb", "cc"]);
    let (mut a, mut b) = (node(place, &community, "aa"), node(place, &community, "bb"));
    let (bb, cc) = (name("bb"), name("cc"));
    let first = a.report_with(&[&bb], "one", with(Tlp::Green));
    let same = a.report_with(&[&bb], "two", Handling { review: Some(9), ..with(Tlp::Green) });
    let wider = a.report_with(&[&bb, &cc], "three", with(Tlp::Green));
    let red = a.report_with(&[&bb], "four", with(Tlp::Red));
    a.share(vec![first.clone(), same.clone(), wider.clone(), red.clone()]).unwrap();
    let before = b.store.classes(NO_CLASS).unwrap();
    assert_eq!(send(&mut a, &mut b, 1, 10), 4);
    let class = |record: &mufakat_record::Verified| b.store.class_of(&record.id()).unwrap();
    assert_eq!(class(&first), class(&same));
    assert_eq!([&first, &wider, &red].map(class).iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    let since = b.store.classes(before.last().map_or(NO_CLASS, |(number, _)| *number)).unwrap();
    assert_eq!([before, since.clone()].concat(), b.store.classes(NO_CLASS).unwrap());
    assert!(since.windows(2).all(|pair| pair[0].0 < pair[1].0));
    for record in [&first, &wider, &red] {
        assert!(since.contains(&(class(record), Class::of(record.header()))));
    }
    // Those that a transaction gave and that was given up are given again.
    let mut a = a;
    a.store.begin().unwrap();
    let other = a.report_with(&[&bb], "five", with(Tlp::Clear));
    a.share(vec![other.clone()]).unwrap();
    let number = a.store.class_of(&other.id()).unwrap();
    a.store.rollback().unwrap();
    let mut a = a.reload();
    assert_eq!(a.store.class_of(&other.id()).unwrap(), NO_CLASS);
    let strict = a.report_with(&[&bb], "six", with(Tlp::AmberStrict));
    a.share(vec![strict.clone()]).unwrap();
    assert_eq!(a.store.class_of(&strict.id()).unwrap(), number);
    assert_eq!(a.store.classes(number - 1).unwrap(), [(number, Class::of(strict.header()))]);
    sound(&mut a.store);
    sound(&mut b.store);
}

/// All rows of a view with some facets and of some classes, page by page.
fn paged(store: &impl Queries, page: &Page<'_>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.key.clone());
        let more = store.view_page(&Page { after: after.as_deref(), ..*page }).unwrap();
        assert!(more.len() <= page.limit);
        if more.is_empty() {
            return rows;
        }
        rows.extend(more);
    }
}

pub(super) fn pages<P: Place>(place: &P) {
    let community = Community::found(&["aa", "bb", "cc"]);
    let (mut a, mut b) = (node(place, &community, "aa"), node(place, &community, "bb"));
    let (bb, cc) = (name("bb"), name("cc"));
    let mut seed = 3;
    let mut shared = Vec::new();
    for n in 0..90 {
        let tlp = Tlp::ALL[next(&mut seed) as usize % 5].0;
        let to = if next(&mut seed).is_multiple_of(3) { vec![&bb, &cc] } else { vec![&bb] };
        shared.push(a.report_with(&to, &format!("EXERCISE {n}"), with(tlp)));
    }
    let on = shared[7].id();
    shared.push(a.retraction(&[&bb], on));
    a.share(shared).unwrap();
    assert_eq!(send(&mut a, &mut b, 1, 200), 91);
    b.take(&name("aa"), 1, 92, vec![b"no record".to_vec()]).unwrap();
    // Some of ours are settled and some are not, so that one class has rows of both states.
    a.share((0..20).map(|n| a.report_with(&[&bb], &n.to_string(), with(Tlp::Red))).collect()).unwrap();

    for (store, view, facets) in [
        (
            &b.store,
            inbox::NAME,
            vec![("kind", "report".to_owned()), ("author", "aa".to_owned()), ("on", on.to_string())],
        ),
        (&b.store, refused::NAME, vec![("reason", "truncated".to_owned())]),
        (
            &a.store,
            track::NAME,
            vec![("state", "queued".to_owned()), ("state", "accepted".to_owned()), ("queued_to", "bb".to_owned())],
        ),
    ] {
        let every = Page { view, after: None, limit: 500, facets: &[], newest_first: false, classes: None };
        let rows = store.view_page(&every).unwrap();
        assert!(!rows.is_empty());
        let numbers: Vec<ClassNumber> = store.classes(NO_CLASS).unwrap().iter().map(|(number, _)| *number).collect();
        for turn in 0..60 {
            let mut classes: Vec<_> = numbers.iter().copied().filter(|_| next(&mut seed).is_multiple_of(2)).collect();
            classes.extend([NO_CLASS, ClassNumber::MAX].iter().filter(|_| next(&mut seed).is_multiple_of(2)));
            let facets: Vec<_> = facets.iter().filter(|_| next(&mut seed).is_multiple_of(3)).collect();
            let facets: Vec<_> = facets.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let newest_first = next(&mut seed).is_multiple_of(2);
            let classes = (turn % 4 != 0).then_some(&*classes);
            let mut wanted: Vec<_> = rows
                .iter()
                .filter(|row| classes.is_none_or(|classes| classes.contains(&store.class_of(&row.record).unwrap())))
                .filter(|row| {
                    facets.iter().all(|(name, value)| row.facets.iter().any(|(n, v)| n == name && v == value))
                })
                .cloned()
                .collect();
            if newest_first {
                wanted.reverse();
            }
            let limit = 1 + next(&mut seed) as usize % 20;
            let page = Page { view, after: None, limit, facets: &facets, newest_first, classes };
            assert_eq!(paged(store, &page), wanted, "{view} {facets:?} {classes:?}");
        }
        // No class is no row, and not every row.
        assert_eq!(store.view_page(&Page { classes: Some(&[]), ..every }).unwrap(), []);
    }
    // All but the retraction and what it took back.
    assert_eq!(b.store.rows(inbox::NAME, &[], Some(("kind", "report"))).unwrap().len(), 89);
    assert_eq!(b.store.rows(inbox::NAME, &[], Some(("kind", "repor"))).unwrap(), []);
    sound(&mut a.store);
    sound(&mut b.store);
}
