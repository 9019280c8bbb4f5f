//! Tests of witnessing without a network: what is verified before signing, what a witness remembers, and how a ledger that
//! shows different histories is found out.

use std::collections::BTreeMap;

use http::{StatusCode, header};
use mufakat_ledger::witness::{Refusal, SplitView};
use mufakat_ledger::{Edge, Hash, Place, SourceError, TileSource, leaf_hash};
use mufakat_record::AgencyId;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::witness_alarm::{Finding, WitnessAlarm};
use mufakat_store::Queries;

use super::gossip::{Case, Desk, Outcome, Told, Weighed, evades, note_origin, weigh};
use super::testing::{Agency, NOW_S, community};
use super::{agency_of, alarm, bare, log, log_key, routes, shortened};

/// Tiles in memory.
#[derive(Default)]
struct Tiles(BTreeMap<(u8, u64), Vec<u8>>);

impl TileSource for Tiles {
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.0.get(&(level, index)).cloned())
    }
}

fn leaf(number: u64) -> Hash {
    leaf_hash(&number.to_be_bytes())
}

/// The tiles and root of a tree, with one leaf changed where `fork` says so.
fn tree(leaves: u64, fork: Option<u64>) -> (Tiles, Hash) {
    let (mut edge, mut tiles) = (Edge::new(), Tiles::default());
    for number in 0..leaves {
        edge.push(if fork == Some(number) { leaf(u64::MAX) } else { leaf(number) });
    }
    for tile in edge.take_changed() {
        tiles.0.insert((tile.level, tile.index), tile.to_bytes());
    }
    (tiles, edge.root())
}

#[test]
fn only_what_reads_back_is_signed() {
    let (old, old_root) = tree(300, None);
    let (tiles, root) = tree(70_000, None);
    let before = Some((300, old_root));
    assert_eq!(log::check_written(&tiles, before, 70_000, root), Ok(()));
    assert_eq!(log::check_written(&tiles, None, 70_000, root), Ok(()));
    assert_eq!(log::check_written(&old, before, 300, old_root), Ok(()));
    assert_eq!(log::check_written(&Tiles::default(), None, 0, mufakat_ledger::empty_root()), Ok(()));
    // A flipped bit anywhere in what was written since is found: in filled tiles of each level and at the right edge.
    for (place, byte) in [((0, 100), 5), ((1, 0), 200 * 32), ((0, 273), 0), ((1, 1), 31), ((2, 0), 8)] {
        let mut damaged = Tiles(tiles.0.clone());
        damaged.0.get_mut(&place).unwrap()[byte] ^= 1;
        assert!(log::check_written(&damaged, before, 70_000, root).is_err(), "{place:?}");
    }
    let mut missing = Tiles(tiles.0.clone());
    missing.0.remove(&(0, 100));
    assert!(log::check_written(&missing, before, 70_000, root).is_err());
    // Sound tiles of another history are no continuation of what was signed.
    let (forked, forked_root) = tree(70_000, Some(17));
    assert!(log::check_written(&forked, None, 70_000, forked_root).is_ok());
    assert!(log::check_written(&forked, before, 70_000, forked_root).is_err());
    assert!(log::check_written(&old, Some((70_000, root)), 300, old_root).is_err());
}

#[test]
fn enough_is_as_many_as_the_rules_say() {
    for (times, enough, since) in [
        (vec![], 0, None),
        (vec![5], 0, Some(5)),
        (vec![5], 1, Some(5)),
        (vec![5], 2, None),
        (vec![3, 9, 5], 1, Some(9)),
        (vec![3, 9, 5], 2, Some(5)),
        (vec![3, 9, 5], 3, Some(3)),
    ] {
        assert_eq!(log::witnessed_since(times.clone(), enough), since, "{times:?} {enough}");
    }
    for _ in 0..100 {
        let nap_ms = shortened(60).as_millis();
        assert!((48_000..=60_000).contains(&nap_ms), "{nap_ms}");
    }
}

#[test]
fn origins_name_their_agencies() {
    let id: AgencyId = "vn-police".parse().unwrap();
    assert_eq!(agency_of(&mufakat_exchange::ledger_origin(&id, 7)), Some(id));
    for bad in ["", "mufakat/vn-police", "mufakat//1", "other/vn-police/1", "mufakat/a/b/1"] {
        assert_eq!(agency_of(bad), None, "{bad}");
    }
}

#[test]
fn a_witness_remembers_before_it_answers() {
    let [mut id, mut ru, _sg] = community(["id-coastguard", "ru-police", "sg-fusion"]);
    let mut old = 0;
    for leaves in [1, 300, 1] {
        id.grow(leaves);
        let checkpoint = id.checkpoint();
        let (line, restarted) = ru.judge(&id.id, id.request(old, &checkpoint)).unwrap();
        assert_eq!(restarted, None);
        old = checkpoint.checkpoint().size;
        let mut cosigned = checkpoint.clone();
        let key = super::witness_key(&id.directory(), &ru.id).unwrap();
        assert_eq!(cosigned.add(&line, &[key]).unwrap(), [(0, NOW_S)]);
        let seen = ru.store.seen("mufakat/id-coastguard/1").unwrap().unwrap();
        assert_eq!((seen.size, seen.note_text), (old, cosigned.encode()));
    }
    // It stands by what it has seen, also when the same size is asked for again.
    let refusal = ru.judge(&id.id, id.request(0, &id.checkpoint())).unwrap_err();
    assert_eq!(refusal.size_body(), Some(format!("{old}\n")));
    let (_, other_root) = tree(old, None);
    let fork = id.checkpoint_of(1, old, other_root);
    assert!(matches!(ru.judge(&id.id, id.request(old, &fork)), Err(Refusal::Split(_))));
    // Another ledger than the caller's own is not watched for it.
    let refusal = ru.judge(&"sg-fusion".parse().unwrap(), id.request(old, &id.checkpoint())).unwrap_err();
    assert_eq!(refusal.status(), 404);
    assert!(ru.judge(&id.id, id.request(old, &id.checkpoint())).is_ok());
}

#[test]
fn answers_have_the_forms_of_the_specification() {
    let check = |refusal: Refusal, status: u16, content_type: &str| {
        let answer = routes::refuse(&refusal);
        assert_eq!(answer.status(), StatusCode::from_u16(status).unwrap(), "{refusal}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], content_type, "{refusal}");
    };
    let plain = "text/plain; charset=utf-8";
    check(Refusal::Conflict { size: 7 }, 409, "text/x.tlog.size");
    check(Refusal::UnknownLog("mufakat/xx/1".into()), 404, plain);
    check(Refusal::OldSize { old: 2, size: 1 }, 400, plain);
    check(Refusal::Inconsistent(mufakat_ledger::proof::Invalid::Root), 422, plain);
    let view = SplitView { origin: "o".into(), first: String::new(), second: String::new() };
    check(Refusal::Split(view), 409, "application/cbor");

    let place = |width| Place { level: 0, index: 0, width };
    assert_eq!(routes::as_wide_as(place(2), vec![1; 96]), Some(vec![1; 64]));
    assert_eq!(routes::as_wide_as(place(3), vec![1; 96]), Some(vec![1; 96]));
    assert_eq!(routes::as_wide_as(place(4), vec![1; 96]), None);
}

/// What a witness would be told of its partner's ledger.
fn told(listener: &Agency, note: &str) -> Option<Told> {
    Told::read(note, &listener.directory(), &listener.id)
}

#[test]
fn two_witnesses_find_out_a_split_view() {
    let [mut id, mut ru, mut sg] = community(["id-coastguard", "ru-police", "sg-fusion"]);
    id.grow(5);
    let honest = id.checkpoint();
    let (_, root) = tree(5, None);
    let other = id.checkpoint_of(1, 5, root);
    // Each witness has seen one half, and each half is sound by itself.
    ru.judge(&id.id, id.request(0, &honest)).unwrap();
    sg.judge(&id.id, id.request(0, &other)).unwrap();
    let note = ru.store.seen("mufakat/id-coastguard/1").unwrap().unwrap().note_text;
    let seen = sg.store.seen("mufakat/id-coastguard/1").unwrap();
    let Weighed::Alarm(found) = weigh(seen.as_ref(), told(&sg, &note).unwrap()) else { panic!("not found out") };
    assert_eq!((&found.agency, found.finding), (&id.id, Finding::SplitView));
    let log = log_key(&sg.directory(), &id.id).unwrap();
    let view = SplitView { origin: log.name().into(), first: found.first, second: found.second };
    assert_eq!(view.verify(&log), Ok(()));
    // The one that saw the same has nothing to say, nor has one that saw nothing.
    let seen = ru.store.seen("mufakat/id-coastguard/1").unwrap();
    assert_eq!(weigh(seen.as_ref(), told(&ru, &note).unwrap()), Weighed::Nothing);
    assert_eq!(weigh(None, told(&ru, &note).unwrap()), Weighed::Nothing);
}

#[test]
fn different_sizes_are_a_case_for_the_ledgers_node() {
    let [mut id, mut ru, _sg] = community(["id-coastguard", "ru-police", "sg-fusion"]);
    id.grow(3);
    let first = id.checkpoint();
    ru.judge(&id.id, id.request(0, &first)).unwrap();
    id.grow(2);
    let later = id.checkpoint();
    let seen = ru.store.seen("mufakat/id-coastguard/1").unwrap();
    let log = log_key(&ru.directory(), &id.id).unwrap();
    let (first, later) = (bare(&first, &log).unwrap(), bare(&later, &log).unwrap());
    let open = weigh(seen.as_ref(), told(&ru, &later.encode()).unwrap());
    assert_eq!(open, Weighed::Open(Box::new(Case::new(id.id.clone(), later, first.clone()))));
    let Weighed::Open(case) = open else { unreachable!() };
    assert_eq!(case.older, first, "the smaller one comes first, however they came");
}

#[test]
fn strangers_and_their_lines_say_nothing() {
    let [mut id, mut ru, mut sg] = community(["id-coastguard", "ru-police", "sg-fusion"]);
    id.grow(3);
    let signed = id.checkpoint();
    let cosigned = id.cosigned_by(signed.clone(), &mut [&mut ru, &mut sg]).encode();
    assert_eq!(told(&ru, &cosigned).unwrap().signed, signed, "cosignatures are not carried on");
    assert_eq!(told(&id, &cosigned), None, "its own ledger");
    let foreign = cosigned.replacen("id-coastguard", "xx-coastguard", 1);
    assert_eq!(told(&ru, &foreign), None, "nobody's ledger");
    assert_eq!(told(&ru, &cosigned.replacen("\n3\n", "\n4\n", 1)), None, "not what was signed");
    let (_, root) = tree(3, None);
    assert_eq!(told(&ru, &id.checkpoint_of(2, 3, root).encode()), None, "a ledger that the key set does not name");
    let long = format!("{cosigned}{}", "\u{2014} x AAAAAAAA\n".repeat(1000));
    assert_eq!(told(&ru, &long), None, "too long");
    assert_eq!(told(&ru, ""), None);
}

#[test]
fn a_ledger_that_begins_anew_is_told_of_once() {
    let [mut id, mut ru, _sg] = community(["id-coastguard", "ru-police", "sg-fusion"]);
    id.grow(3);
    let first = id.checkpoint();
    ru.judge(&id.id, id.request(0, &first)).unwrap();
    id.grow(4);
    ru.judge(&id.id, id.request(3, &id.checkpoint())).unwrap();
    let latest = ru.store.seen("mufakat/id-coastguard/1").unwrap().unwrap();
    let set = id.key_set(2).into_bytes();
    ru.adopt_key_set(&set);
    let (_, root) = tree(1, None);
    let anew = id.checkpoint_of(2, 1, root);
    let (_, restarted) = ru.judge(&id.id, id.request(0, &anew)).unwrap();
    let restarted = restarted.expect("an alarm");
    assert_eq!(restarted.finding, Finding::Restarted);
    assert_eq!(restarted.first, latest.note_text, "the last that was seen of the earlier ledger");
    assert!(restarted.second.starts_with("mufakat/id-coastguard/2\n1\n"));
    let (_, again) = ru.judge(&id.id, id.request(1, &anew)).unwrap();
    assert_eq!(again, None);
    let seen = ru.store.seen("mufakat/id-coastguard/2").unwrap().unwrap();
    assert_eq!(note_origin(&mut ru.store, &id.id, &seen), Ok(None));
}

/// Raises an alarm as the node does, and says whether it went out.
fn raise(by: &mut Agency, alarm: &WitnessAlarm, at_ms: u64) -> bool {
    let Some(key) = alarm::due(&by.store, alarm, at_ms).unwrap() else { return false };
    let record = alarm::sign(&by.exchange, alarm, at_ms, &mut by.random).unwrap();
    by.submit(record, Some(key));
    true
}

#[test]
fn an_alarm_goes_out_once() {
    let [mut id, mut ru, mut sg] = community(["id-coastguard", "ru-police", "sg-fusion"]);
    id.grow(5);
    let (honest, fork) = (id.checkpoint(), id.checkpoint_of(1, 5, tree(5, None).1));
    let third = id.checkpoint_of(1, 5, tree(5, Some(0)).1);
    let alarm = |finding, a: &str, b: &str| WitnessAlarm {
        agency: "id-coastguard".parse().unwrap(),
        finding,
        first: a.into(),
        second: b.into(),
    };
    let split = alarm(Finding::SplitView, &honest.encode(), &fork.encode());
    let at_ms = NOW_S * 1000;
    assert!(raise(&mut ru, &split, at_ms));
    assert!(!raise(&mut ru, &split, at_ms));
    let hours = |hours: u64| at_ms + hours * 3_600_000;
    assert!(!raise(&mut ru, &split, hours(48)), "nor later");
    let swapped = alarm(Finding::SplitView, &fork.encode(), &honest.encode());
    assert!(!raise(&mut ru, &swapped, hours(48)), "nor the other way round");
    let cosigned = id.cosigned_by(honest.clone(), &mut [&mut sg]);
    let with_line = alarm(Finding::SplitView, &cosigned.encode(), &fork.encode());
    assert!(!raise(&mut ru, &with_line, hours(48)), "nor with a cosignature more");
    let another = alarm(Finding::SplitView, &honest.encode(), &third.encode());
    assert!(!raise(&mut ru, &another, hours(0)), "one an hour about one agency");
    assert!(raise(&mut ru, &another, hours(2)));
    let unproven = alarm(Finding::NoConsistencyProof, &honest.encode(), &fork.encode());
    assert!(raise(&mut ru, &unproven, at_ms), "another finding is another matter");

    let members: Vec<_> = ru.directory().chain().current().agencies.iter().map(|agency| agency.id.clone()).collect();
    let listed = alarm::list(&ru.store, &members).unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|on_file| on_file.by == ru.id));
    // Everybody else gets it, the agency that it is about included.
    let bytes = ru.store.record_bytes(&listed[0].record).unwrap().unwrap();
    let record = mufakat_record::Verified::from_own_store(bytes).unwrap();
    assert_eq!(record.header().audience, [id.id.clone(), sg.id.clone()]);
    assert!(WitnessAlarm::from_body(record.header(), record.body()).is_ok());
    sg.receive(&record, 1, &mut ru);
    let received = alarm::list(&sg.store, &members).unwrap();
    assert_eq!((received.len(), &received[0].by), (1, &ru.id));
}

#[test]
fn a_node_that_is_away_is_not_suspect_but_one_that_evades_is() {
    let interval_ms = 60_000;
    let now_ms = 100 * interval_ms;
    for (since_ms, heard_ms, expect) in [
        (now_ms - 5 * interval_ms, Some(now_ms), false),
        (now_ms - 50 * interval_ms, None, false),
        (now_ms - 50 * interval_ms, Some(now_ms - 20 * interval_ms), false),
        (now_ms - 50 * interval_ms, Some(now_ms - interval_ms), true),
    ] {
        assert_eq!(evades(since_ms, heard_ms, now_ms, interval_ms), expect, "{since_ms} {heard_ms:?}");
    }
    let desk = Desk::default();
    let key = ("mufakat/id-coastguard/1".to_owned(), "ru-police".parse().unwrap());
    assert_eq!(desk.begin(&key, 10), Some(10));
    assert_eq!(desk.begin(&key, 11), None, "one at a time");
    desk.end(&key, Outcome::Unanswered);
    assert_eq!(desk.begin(&key, 12), Some(10), "it is still the same case");
    desk.end(&key, Outcome::Proven);
    assert_eq!(desk.begin(&key, 13), Some(13));
}

#[test]
fn cosignatures_are_added_to_the_checkpoint_that_they_belong_to() {
    let [mut id, mut ru, mut sg] = community(["id-coastguard", "ru-police", "sg-fusion"]);
    let log = log_key(&id.directory(), &id.id).unwrap();
    let keys = [&ru.id, &sg.id].map(|agency| super::witness_key(&id.directory(), agency).unwrap());
    id.grow(2);
    let first = id.checkpoint();
    assert_eq!(log::keep(&mut id.store, first.clone(), &log).unwrap(), first);
    let (line, _) = ru.judge(&id.id, id.request(0, &first)).unwrap();
    log::add(&mut id.store, &log, &first, &line, &keys).unwrap();
    let kept = id.store.own_checkpoint().unwrap().unwrap();
    assert_eq!(kept, format!("{}{line}", first.encode()));
    id.grow(1);
    let second = id.checkpoint();
    log::keep(&mut id.store, second.clone(), &log).unwrap();
    // A late cosignature of the checkpoint before says nothing about this one.
    let (late, _) = sg.judge(&id.id, id.request(0, &first)).unwrap();
    log::add(&mut id.store, &log, &first, &late, &keys).unwrap();
    assert_eq!(id.store.own_checkpoint().unwrap().unwrap(), second.encode());
    // Nor does an earlier checkpoint take the place of a later one.
    assert_eq!(log::keep(&mut id.store, first, &log).unwrap(), second);
}
