//! The list against a plain model: whatever is put, removed, purged, compacted and opened again, both hold the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Folder, Lists, NewEntry, Put, agency, all, random, told};
use crate::lists::Entry;

const SUBJECTS: [&str; 3] = ["imo", "name", "passport"];
/// Texts of several lengths, so that rows stay where they are and move.
const NOTES: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("EXERCISE a longer note")];
const EXPIRIES: [Option<u64>; 4] = [None, Some(0), Some(90), Some(1 << 40)];

/// An entry by the places of its parts in the lists above; its canonical form is a number.
#[derive(Debug, Clone, Copy)]
struct New {
    subject: usize,
    canonical: u8,
    category: u8,
    tlp: u8,
    note: usize,
    expires: usize,
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<New>),
    Remove(Vec<(usize, u8)>),
    /// Up to as many changes before the last one.
    Purge(u64),
    Compact,
    /// Another partner was told this much less than all.
    Tell(u64),
    OpenAgain,
}

fn new() -> impl Strategy<Value = New> {
    (0..3_usize, 0..12_u8, 0..3_u8, 0..2_u8, 0..4_usize, 0..4_usize).prop_map(
        |(subject, canonical, category, tlp, note, expires)| New { subject, canonical, category, tlp, note, expires },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec(new(), 0..12).prop_map(Step::Put),
        3 => prop::collection::vec((0..3_usize, 0..12_u8), 0..8).prop_map(Step::Remove),
        2 => (0..6_u64).prop_map(Step::Purge),
        1 => Just(Step::Compact),
        1 => (0..6_u64).prop_map(Step::Tell),
        1 => Just(Step::OpenAgain),
    ]
}

/// What the list is to hold, with handles left out: they are taken from what is there and must stay.
#[derive(Default)]
struct Model {
    entries: BTreeMap<(usize, u8), Entry>,
    last: u64,
    told: Option<u64>,
}

impl Model {
    fn put(&mut self, new: New, put: &mut Put) {
        let entry = Entry {
            subject: SUBJECTS[new.subject].to_owned(),
            canonical: canonical(new.canonical),
            category: new.category,
            tlp: new.tlp,
            handle: 0,
            note: NOTES[new.note].map(str::to_owned),
            expires_s: EXPIRIES[new.expires],
            change: self.last + 1,
            removed: false,
        };
        let was = self.entries.get(&(new.subject, new.canonical)).filter(|was| !was.removed);
        let told_same = was.filter(|was| (was.category, was.tlp) == (new.category, new.tlp));
        let entry = Entry { change: told_same.map_or(entry.change, |was| was.change), ..entry };
        match was {
            None => put.new += 1,
            Some(was) if *was == entry => put.same += 1,
            Some(_) => put.changed += 1,
        }
        self.last = self.last.max(entry.change);
        self.entries.insert((new.subject, new.canonical), entry);
    }

    fn remove(&mut self, about: (usize, u8)) -> usize {
        let Some(entry) = self.entries.get_mut(&about).filter(|entry| !entry.removed) else { return 0 };
        self.last += 1;
        (entry.removed, entry.change, entry.note, entry.expires_s) = (true, self.last, None, None);
        1
    }

    fn purge(&mut self, through: u64) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| !entry.removed || entry.change > through);
        before - self.entries.len()
    }

    fn each(&self, subject: &str, since: u64) -> Vec<Entry> {
        let about = |entry: &&Entry| entry.subject == subject && entry.change > since;
        let mut entries: Vec<_> = self.entries.values().filter(about).cloned().collect();
        entries.sort_by_key(|entry| entry.change);
        entries
    }
}

fn canonical(number: u8) -> String {
    format!("EXERCISE{number}")
}

fn run(lists: &mut Lists, model: &mut Model, step: &Step, seed: u64) {
    match step {
        Step::Put(news) => {
            let canonicals: Vec<_> = news.iter().map(|new| canonical(new.canonical)).collect();
            let entry = |(new, canonical)| -> NewEntry<'_> {
                let (new, canonical): (&New, &String) = (new, canonical);
                NewEntry {
                    subject: SUBJECTS[new.subject],
                    canonical,
                    category: new.category,
                    tlp: new.tlp,
                    note: NOTES[new.note],
                    expires_s: EXPIRIES[new.expires],
                }
            };
            let entries: Vec<_> = news.iter().zip(&canonicals).map(entry).collect();
            let mut put = Put::default();
            news.iter().for_each(|new| model.put(*new, &mut put));
            assert_eq!(lists.put(&entries, &mut random(seed)).unwrap(), put);
        }
        Step::Remove(about) => {
            let canonicals: Vec<_> = about.iter().map(|(_, number)| canonical(*number)).collect();
            let names: Vec<_> =
                about.iter().zip(&canonicals).map(|((subject, _), text)| (SUBJECTS[*subject], text.as_str())).collect();
            let removed: usize = about.iter().map(|about| model.remove(*about)).sum();
            assert_eq!(lists.remove(&names).unwrap(), removed);
        }
        Step::Purge(before_last) => {
            let through = model.last.saturating_sub(*before_last);
            assert_eq!(lists.purge_removed(through).unwrap(), model.purge(through));
        }
        Step::Compact => lists.compact().unwrap(),
        Step::Tell(less) => {
            let through = model.last.saturating_sub(*less);
            lists.note_published(&agency(&format!("partner-{seed}")), "name", &told(through)).unwrap();
            model.told = Some(model.told.map_or(through, |told| told.min(through)));
        }
        Step::OpenAgain => unreachable!("the caller does it"),
    }
}

fn compare(lists: &Lists, model: &Model) {
    lists.check().unwrap();
    assert_eq!(lists.last_change().unwrap(), model.last);
    assert_eq!(lists.told_through().unwrap(), model.told);
    for subject in SUBJECTS {
        for since in [0, model.last / 2, model.last] {
            let found = all(lists, subject, since);
            let without_handles: Vec<_> = found.iter().map(|entry| Entry { handle: 0, ..entry.clone() }).collect();
            assert_eq!(without_handles, model.each(subject, since));
            for entry in found {
                assert_eq!(lists.by_handle(entry.handle).unwrap().as_ref(), Some(&entry));
                let by_name = lists.find(subject, &entry.canonical).unwrap();
                assert_eq!(by_name, Some(entry).filter(|entry| !entry.removed));
            }
        }
    }
    let mut counts = BTreeMap::<_, u64>::new();
    for entry in model.entries.values().filter(|entry| !entry.removed) {
        *counts.entry((entry.subject.clone(), entry.category)).or_default() += 1;
    }
    let counted = lists.counts().unwrap().into_iter().map(|count| ((count.subject, count.category), count.count));
    assert_eq!(counted.collect::<BTreeMap<_, _>>(), counts);
    let due = model.entries.values().filter(|entry| entry.expires_s.is_some_and(|at_s| at_s <= 90)).count();
    assert_eq!(lists.expired(90, 100).unwrap().len(), due);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_list_is_as_the_model_says(steps in prop::collection::vec(step(), 1..20)) {
        let folder = Folder::new();
        let mut lists = folder.open();
        let mut model = Model::default();
        let mut handles = BTreeMap::new();
        for (seed, step) in (0..).zip(&steps) {
            match step {
                // Forgotten, not closed: nothing is moved from the log into the file.
                Step::OpenAgain => std::mem::forget(std::mem::replace(&mut lists, folder.open())),
                step => run(&mut lists, &mut model, step, seed),
            }
            compare(&lists, &model);
            // What is there keeps its handle.
            let now: BTreeMap<_, _> = SUBJECTS
                .iter()
                .flat_map(|subject| all(&lists, subject, 0))
                .map(|entry| ((entry.subject, entry.canonical), entry.handle))
                .collect();
            for (about, handle) in &now {
                prop_assert_eq!(handles.get(about).unwrap_or(handle), handle);
            }
            handles = now;
        }
    }
}
