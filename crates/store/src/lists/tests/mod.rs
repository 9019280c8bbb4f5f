//! What the file keeps, what it gives up, and what remains of that.

mod model;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mufakat_record::{AgencyId, Digest, OfficerId, RecordId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

/// A folder for one file, and a source of handles that is the same in each run.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("matching.db")
    }

    fn open(&self) -> Lists {
        Lists::open(&self.file()).unwrap()
    }

    /// Whether some bytes stand in any file of the folder.
    fn holds(&self, bytes: &[u8]) -> bool {
        fs::read_dir(self.0.path()).unwrap().any(|file| {
            let content = fs::read(file.unwrap().path()).unwrap();
            content.windows(bytes.len()).any(|window| window == bytes)
        })
    }
}

fn random(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    move |bytes| random.fill_bytes(bytes)
}

fn passport(canonical: &str) -> NewEntry<'_> {
    NewEntry { subject: "passport", canonical, category: 3, tlp: 2, note: None, expires_s: None }
}

fn all(lists: &Lists, subject: &str, since: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    lists.each(subject, since, |entry| entries.push(entry.clone())).unwrap();
    entries
}

fn agency(name: &str) -> AgencyId {
    name.parse().unwrap()
}

fn officer(name: &str) -> OfficerId {
    name.parse().unwrap()
}

fn question(number: u64) -> RecordId {
    RecordId::of(&number.to_be_bytes())
}

fn told(through: u64) -> Published {
    Published { epoch: 688, key: question(1), number: 4, through, at_s: 1_790_000_000, filter: Digest([7; 32]) }
}

#[test]
fn entries_are_put_changed_removed_and_purged() {
    let folder = Folder::new();
    let mut lists = folder.open();
    let random = &mut random(1);
    let entries = [passport("EXERCISE1"), NewEntry { note: Some("a note"), ..passport("EXERCISE2") }];
    assert_eq!(lists.put(&entries, random).unwrap(), Put { new: 2, changed: 0, same: 0 });
    let first = lists.find("passport", "EXERCISE1").unwrap().unwrap();
    let second = lists.find("passport", "EXERCISE2").unwrap().unwrap();
    assert_eq!((first.change, second.change, second.note.as_deref()), (1, 2, Some("a note")));
    assert_ne!(first.handle, second.handle);
    assert_eq!(lists.find("name", "EXERCISE1").unwrap(), None);
    assert_eq!(lists.find("passport", "EXERCISE3").unwrap(), None);

    // What only we see of it is no change that partners are told of; the label is.
    let noted = [NewEntry { note: Some("another, longer note"), expires_s: Some(9), ..passport("EXERCISE2") }];
    assert_eq!(lists.put(&noted, random).unwrap(), Put { new: 0, changed: 1, same: 0 });
    assert_eq!(lists.put(&noted, random).unwrap(), Put { new: 0, changed: 0, same: 1 });
    let again = lists.by_handle(second.handle).unwrap().unwrap();
    assert_eq!(again, Entry { note: noted[0].note.map(str::to_owned), expires_s: Some(9), ..second.clone() });
    assert_eq!(lists.last_change().unwrap(), 2);
    let labelled = [NewEntry { category: 30, tlp: 7, ..passport("EXERCISE1") }];
    assert_eq!(lists.put(&labelled, random).unwrap(), Put { new: 0, changed: 1, same: 0 });
    assert_eq!(all(&lists, "passport", 2), [Entry { category: 30, tlp: 7, change: 3, ..first.clone() }]);
    let count = |category, count| Count { subject: "passport".to_owned(), category, count };
    assert_eq!(lists.counts().unwrap(), [count(3, 1), count(30, 1)]);

    assert_eq!(lists.expired(8, 10).unwrap(), []);
    assert_eq!(lists.expired(9, 10).unwrap(), std::slice::from_ref(&again));
    assert_eq!(
        lists.remove(&[("passport", "EXERCISE2"), ("passport", "EXERCISE4"), ("name", "EXERCISE1")]).unwrap(),
        1
    );
    assert_eq!(lists.remove(&[("passport", "EXERCISE2")]).unwrap(), 0);
    assert_eq!((lists.expired(9, 10).unwrap(), lists.find("passport", "EXERCISE2").unwrap()), (vec![], None));
    let removed = Entry { removed: true, change: 4, note: None, expires_s: None, ..second };
    assert_eq!(lists.by_handle(removed.handle).unwrap().as_ref(), Some(&removed));
    assert_eq!(all(&lists, "passport", 3), std::slice::from_ref(&removed));
    assert_eq!(all(&lists, "passport", 0).iter().filter(|entry| !entry.removed).count(), 1);
    assert_eq!(lists.counts().unwrap(), [count(30, 1)]);

    assert_eq!(lists.purge_removed(3).unwrap(), 0);
    assert_eq!(lists.purge_removed(4).unwrap(), 1);
    assert_eq!(lists.by_handle(removed.handle).unwrap(), None);
    assert_eq!(all(&lists, "passport", 0).len(), 1);
    lists.check().unwrap();
}

#[test]
fn changes_are_never_numbered_twice() {
    let folder = Folder::new();
    let mut lists = folder.open();
    lists.put(&[passport("EXERCISE1"), passport("EXERCISE2")], &mut random(1)).unwrap();
    lists.remove(&[("passport", "EXERCISE1"), ("passport", "EXERCISE2")]).unwrap();
    assert_eq!(lists.purge_removed(u64::MAX).unwrap(), 2);
    lists.compact().unwrap();
    drop(lists);
    let mut lists = folder.open();
    assert_eq!(lists.last_change().unwrap(), 4);
    lists.put(&[passport("EXERCISE1")], &mut random(1)).unwrap();
    assert_eq!(lists.find("passport", "EXERCISE1").unwrap().unwrap().change, 5);
}

#[test]
fn what_is_removed_and_listed_again_keeps_its_handle() {
    let folder = Folder::new();
    let mut lists = folder.open();
    let entry = NewEntry { note: Some("a note"), ..passport("EXERCISE1") };
    lists.put(&[entry], &mut random(1)).unwrap();
    let handle = lists.find("passport", "EXERCISE1").unwrap().unwrap().handle;
    for (again, change) in [(entry, 3), (passport("EXERCISE1"), 5)] {
        lists.remove(&[("passport", "EXERCISE1")]).unwrap();
        assert_eq!(lists.put(&[again], &mut random(2)).unwrap().new, 1);
        let found = lists.find("passport", "EXERCISE1").unwrap().unwrap();
        assert_eq!((found.handle, found.change, found.note.as_deref()), (handle, change, again.note));
        lists.check().unwrap();
    }
    assert_eq!(lists.purge_removed(u64::MAX).unwrap(), 0);
}

#[test]
fn a_handle_that_is_taken_is_drawn_again() {
    let folder = Folder::new();
    let mut lists = folder.open();
    // The first byte tells the handles apart, and each comes three times.
    let mut drawn = 0_u32;
    let mut thrice = |bytes: &mut [u8]| {
        bytes.fill(0);
        for handle in bytes.as_chunks_mut::<3>().0.iter_mut().rev() {
            handle[0] = u8::try_from(drawn / 3 % 256).unwrap();
            drawn += 1;
        }
    };
    let names: Vec<String> = (0..200).map(|n| format!("EXERCISE{n}")).collect();
    let entries: Vec<_> = names.iter().map(|name| passport(name)).collect();
    assert_eq!(lists.put(&entries, &mut thrice).unwrap().new, 200);
    let handles: Vec<_> = all(&lists, "passport", 0).iter().map(|entry| entry.handle >> 16).collect();
    assert_eq!(handles, (0..200).collect::<Vec<_>>());
    // A source that is not random is noticed, and nothing was put.
    let more = [passport("EXERCISE-A"), passport("EXERCISE-B")];
    assert!(matches!(lists.put(&more, &mut |bytes| bytes.fill(9)), Err(Error::NoHandle)));
    assert_eq!((lists.find("passport", "EXERCISE-A").unwrap(), lists.last_change().unwrap()), (None, 200));
}

#[test]
fn those_expire_first_whose_time_came_first() {
    let folder = Folder::new();
    let mut lists = folder.open();
    let names: Vec<String> = (0..25).map(|n| format!("EXERCISE{n:02}")).collect();
    let numbered = (0..).zip(&names);
    let entries: Vec<_> = numbered.map(|(n, name)| NewEntry { expires_s: Some(100 - n), ..passport(name) }).collect();
    lists.put(&entries, &mut random(3)).unwrap();
    lists.put(&[NewEntry { subject: "name", ..passport("EXERCISE") }], &mut random(4)).unwrap();
    let expired: Vec<_> = lists.expired(78, 2).unwrap().into_iter().map(|entry| entry.canonical).collect();
    assert_eq!(expired, ["EXERCISE24", "EXERCISE23"]);
    assert_eq!(lists.expired(78, 99).unwrap().len(), 3);
}

#[test]
fn limits_hold_and_nothing_is_done_beyond() {
    let folder = Folder::new();
    let mut lists = folder.open();
    let long = |bytes: usize| "x".repeat(bytes);
    let (subject, canonical, note) = (long(SUBJECT_BYTES_MAX), long(CANONICAL_BYTES_MAX), long(NOTE_BYTES_MAX));
    let greatest = NewEntry {
        subject: &subject,
        canonical: &canonical,
        category: CATEGORY_MAX,
        tlp: TLP_MAX,
        note: Some(&note),
        expires_s: Some(u64::MAX),
    };
    let over = [long(SUBJECT_BYTES_MAX + 1), long(CANONICAL_BYTES_MAX + 1), long(NOTE_BYTES_MAX + 1)];
    let bad = [
        NewEntry { subject: &over[0], ..greatest },
        NewEntry { subject: "", ..greatest },
        NewEntry { canonical: &over[1], ..greatest },
        NewEntry { canonical: "", ..greatest },
        NewEntry { note: Some(&over[2]), ..greatest },
        NewEntry { category: CATEGORY_MAX + 1, ..greatest },
        NewEntry { tlp: TLP_MAX + 1, ..greatest },
    ];
    for bad in bad {
        let refused = lists.put(&[passport("EXERCISE"), bad], &mut random(1));
        assert!(matches!(refused, Err(Error::Length { .. } | Error::NoLabel { .. })), "{bad:?}");
    }
    let many = vec![passport("EXERCISE"); ENTRIES_AT_ONCE_MAX + 1];
    assert!(matches!(lists.put(&many, &mut random(1)), Err(Error::TooMany { .. })));
    assert!(matches!(lists.remove(&vec![("a", "b"); ENTRIES_AT_ONCE_MAX + 1]), Err(Error::TooMany { .. })));
    assert_eq!(lists.last_change().unwrap(), 0);

    assert_eq!(lists.put(&[greatest], &mut random(1)).unwrap().new, 1);
    let subjects: Vec<String> = (1..=SUBJECTS_MAX).map(|n| format!("subject{n}")).collect();
    let entries: Vec<_> = subjects.iter().map(|subject| NewEntry { subject, ..passport("EXERCISE") }).collect();
    assert!(matches!(lists.put(&entries, &mut random(1)), Err(Error::TooMany { what: "subjects", .. })));
    assert_eq!(lists.put(&entries[1..], &mut random(1)).unwrap().new, SUBJECTS_MAX - 1);
    lists.connection.execute("UPDATE mark SET held = ?", [ENTRIES_MAX.cast_signed()]).unwrap();
    assert!(matches!(lists.put(&[passport("EXERCISE")], &mut random(1)), Err(Error::TooMany { .. })));

    assert!(matches!(lists.keep_tags(&question(1), &[(0, [0; 24]); TAGS_MAX + 1]), Err(Error::TooMany { .. })));
    let many = vec![[0; 32]; FINGERPRINTS_MAX + 1];
    let (partner, officer) = (agency("th-police"), officer("k-07"));
    assert!(matches!(lists.spend(&partner, &officer, "p", &many, 1), Err(Error::TooMany { .. })));
    assert!(matches!(lists.fresh(&partner, &officer, "p", 1, &many), Err(Error::TooMany { .. })));
    let purpose = long(PURPOSE_BYTES_MAX + 1);
    assert!(matches!(lists.spend(&partner, &officer, &purpose, &[[0; 32]], 1), Err(Error::Length { .. })));
}

#[test]
fn secrets_are_made_once_and_erased_for_good() {
    let folder = Folder::new();
    let mut lists = folder.open();
    assert_eq!(lists.secret_if_there(5).unwrap(), None);
    let secrets: Vec<_> = (5..9).map(|epoch| lists.secret(epoch, &mut random(u64::from(epoch))).unwrap()).collect();
    assert_eq!(lists.secret(6, &mut random(99)).unwrap(), secrets[1]);
    drop(lists);
    let mut lists = folder.open();
    assert_eq!(lists.secret_if_there(7).unwrap().as_ref(), Some(&secrets[2]));
    assert!(secrets.iter().all(|secret| folder.holds(secret.as_slice())));
    assert_eq!(lists.erase_before(7).unwrap(), 2);
    assert_eq!(lists.erase_before(7).unwrap(), 0);
    let held: Vec<_> = secrets.iter().map(|secret| folder.holds(secret.as_slice())).collect();
    assert_eq!(held, [false, false, true, true]);
    // The newest one up to a day; what was erased is none.
    let newest = [6, 7, 8, 100].map(|day| lists.newest_epoch(day).unwrap());
    assert_eq!(newest, [None, Some(7), Some(8), Some(8)]);
    // To erase less than was erased brings nothing back.
    assert_eq!(lists.erase_before(2).unwrap(), 0);
    assert!((4..7).all(|gone| lists.secret_if_there(gone).unwrap().is_none()));
    // The clock that had them erased may have run ahead: another one comes in the place of what is gone for good.
    let another = lists.secret(6, &mut random(99)).unwrap();
    assert_ne!(another, secrets[1]);
    assert_eq!(lists.secret(6, &mut random(1)).unwrap(), another);
    assert_eq!(lists.erase_before(7).unwrap(), 1);
    assert!(lists.secret_if_there(6).unwrap().is_none() && !folder.holds(another.as_slice()));
    assert_eq!(lists.secret(8, &mut random(1)).unwrap(), secrets[3]);
}

#[test]
fn what_was_told_is_known_of_each_partner_and_subject() {
    let folder = Folder::new();
    let mut lists = folder.open();
    let (a, b) = (agency("my-police"), agency("th-police"));
    assert_eq!((lists.told_through().unwrap(), lists.published(&a, "name").unwrap()), (None, None));
    lists.note_published(&a, "name", &told(10)).unwrap();
    lists.note_published(&a, "passport", &told(30)).unwrap();
    lists.note_published(&b, "name", &told(20)).unwrap();
    assert_eq!(lists.published(&a, "passport").unwrap(), Some(told(30)));
    assert_eq!(lists.told_through().unwrap(), Some(10));
    lists.note_published(&a, "name", &told(40)).unwrap();
    assert_eq!((lists.told_through().unwrap(), lists.published(&a, "name").unwrap()), (Some(20), Some(told(40))));
    lists.forget_partner(&b).unwrap();
    assert_eq!((lists.told_through().unwrap(), lists.published(&b, "name").unwrap()), (Some(30), None));
}

#[test]
fn tags_are_kept_by_question() {
    let folder = Folder::new();
    let mut lists = folder.open();
    let tags = |n: u8| -> Vec<Tagged> { (0..200).map(|at| (at * 3, [n; TAG_BYTES])).collect() };
    for n in 0..5 {
        lists.keep_tags(&question(u64::from(n)), &tags(n)).unwrap();
    }
    assert_eq!((lists.tags(&question(3)).unwrap(), lists.tags(&question(9)).unwrap()), (tags(3), vec![]));
    lists.keep_tags(&question(3), &tags(33)[..7]).unwrap();
    lists.drop_tags(&question(4)).unwrap();
    lists.drop_tags(&question(4)).unwrap();
    let mut seen = Vec::new();
    let asked = [question(3), question(9), question(4), question(0)];
    lists.tags_of(&asked, |question, number, tag| seen.push((*question, (number, *tag)))).unwrap();
    let of = |n: u64, tags: &[Tagged]| tags.iter().map(|tag| (question(n), *tag)).collect::<Vec<_>>();
    assert_eq!(seen, [of(3, &tags(33)[..7]), of(0, &tags(0))].concat());
    lists.compact().unwrap();
    let left: i64 = lists.connection.query_row("SELECT count(*) FROM tags", [], |row| row.get(0)).unwrap();
    assert_eq!((left, lists.tags(&question(0)).unwrap()), (4, tags(0)));
}

#[test]
fn a_budget_counts_each_identifier_once_in_its_window() {
    let folder = Folder::new();
    let mut lists = folder.open();
    let (partner, other, officer) = (agency("my-police"), agency("th-police"), officer("k-07"));
    let of = |numbers: std::ops::Range<u8>| -> Vec<[u8; 32]> { numbers.map(|n| [n; 32]).collect() };
    assert_eq!(lists.fresh(&partner, &officer, "smuggling", 0, &of(0..10)).unwrap(), 10);
    lists.spend(&partner, &officer, "smuggling", &of(0..10), 1_000).unwrap();
    lists.spend(&partner, &officer, "smuggling", &of(5..12), 2_000).unwrap();
    // A late note of an earlier question takes nothing back.
    lists.spend(&partner, &officer, "smuggling", &of(11..12), 1_500).unwrap();
    lists.spend(&other, &officer, "smuggling", &of(0..1), 1_000).unwrap();
    lists.spend(&partner, &officer, "fraud", &of(0..2), 3_000).unwrap();
    let spent = |since| lists.spent(&partner, &officer, "smuggling", since).unwrap();
    assert_eq!([0, 1_000, 1_001, 2_000, 2_001].map(spent), [12, 12, 7, 7, 0]);
    assert_eq!(lists.fresh(&partner, &officer, "smuggling", 2_000, &of(0..20)).unwrap(), 13);
    assert_eq!(lists.fresh(&partner, &officer, "smuggling", 0, &[[40; 32]; 3]).unwrap(), 1);
    assert_eq!(lists.spent(&other, &officer, "fraud", 0).unwrap(), 0);
    let standing = |since| -> Vec<_> {
        let standing = lists.standing(since).unwrap();
        standing.into_iter().map(|s| format!("{} {} {} {}", s.partner, s.officer, s.purpose, s.count)).collect()
    };
    assert_eq!(
        standing(1_000),
        ["my-police k-07 fraud 2", "my-police k-07 smuggling 12", "th-police k-07 smuggling 1"]
    );
    assert_eq!(standing(2_500), ["my-police k-07 fraud 2"]);
    assert_eq!(lists.forget_spent_before(2_000).unwrap(), 6);
    assert_eq!(lists.spent(&partner, &officer, "smuggling", 0).unwrap(), 7);
    assert_eq!(lists.standing(0).unwrap().len(), 2);
    assert!(!folder.holds(&[3; 32]));
}

/// Texts of which nothing may remain, and others of the same size all around them, so that they share pages.
fn secrets_of(n: u32) -> (String, String) {
    (format!("EXERCISE-CANARY-{n:06}"), format!("EXERCISE-NOTE-{n:06}"))
}

#[test]
fn what_is_erased_leaves_the_disk() {
    let folder = Folder::new();
    let mut lists = folder.open();
    let texts: Vec<_> = (0..20_000).map(secrets_of).collect();
    let mut random = random(5);
    for some in texts.chunks(1_000) {
        let entry = |(canonical, note)| NewEntry { note: Some(note), ..passport(canonical) };
        let entries: Vec<_> = some.iter().map(|(canonical, note)| entry((canonical.as_str(), note.as_str()))).collect();
        lists.put(&entries, &mut random).unwrap();
    }
    // Labels and times change in between, and notes get longer, before some are taken off: at random, and a whole stretch.
    for (n, some) in (0..).zip(texts.chunks(1_000)) {
        let changed: Vec<_> = some
            .iter()
            .step_by(7)
            .map(|(canonical, note)| NewEntry {
                note: Some(note),
                category: 9,
                expires_s: Some(1 << (n * 2)),
                ..passport(canonical)
            })
            .collect();
        lists.put(&changed, &mut random).unwrap();
        let longer: Vec<_> = some
            .iter()
            .step_by(11)
            .map(|(canonical, _)| NewEntry {
                note: Some("a note that is quite a bit longer than it was"),
                ..passport(canonical)
            })
            .collect();
        lists.put(&longer, &mut random).unwrap();
    }
    let gone = |n: usize| n.is_multiple_of(3) || (4_000..9_000).contains(&n);
    let removed: Vec<_> = (0..).zip(&texts).filter(|(n, _)| gone(*n)).map(|(_, (text, _))| text.as_str()).collect();
    let about: Vec<_> = removed.iter().map(|canonical| ("passport", *canonical)).collect();
    for about in about.chunks(ENTRIES_AT_ONCE_MAX) {
        assert_eq!(lists.remove(about).unwrap(), about.len());
    }
    let tags: Vec<_> = (0..300).map(|n| (n, *b"EXERCISE-CANARY-TAG-0000")).collect();
    for n in 0..50 {
        lists.keep_tags(&question(n), &if n == 20 { tags.clone() } else { vec![(0, [1; 24]); 150] }).unwrap();
    }
    assert!(removed.iter().take(9).all(|text| folder.holds(text.as_bytes())) && folder.holds(b"EXERCISE-CANARY-TAG"));

    assert_eq!(lists.purge_removed(lists.last_change().unwrap()).unwrap(), removed.len());
    lists.drop_tags(&question(20)).unwrap();
    let left = remains(folder.0.path());
    let kept: Vec<_> = (0..texts.len()).filter(|n| !gone(*n)).collect();
    assert_eq!(left.canaries, kept);
    // A note that was replaced by another is gone, too.
    assert_eq!(left.notes, kept.iter().copied().filter(|n| n % 1_000 % 11 != 0).collect::<Vec<_>>());
    assert!(!folder.holds(b"EXERCISE-CANARY-TAG"));
    lists.check().unwrap();
    let before = fs::metadata(folder.file()).unwrap().len();
    lists.compact().unwrap();
    assert!(fs::metadata(folder.file()).unwrap().len() < before * 3 / 4);
    assert_eq!(remains(folder.0.path()).canaries, kept);
    assert_eq!(all(&lists, "passport", 0).len(), kept.len());
    lists.check().unwrap();
}

/// The numbers behind the canaries in all files of a folder.
struct Remains {
    canaries: Vec<usize>,
    notes: Vec<usize>,
}

fn remains(folder: &Path) -> Remains {
    let (mut canaries, mut notes) = (Vec::new(), Vec::new());
    for file in fs::read_dir(folder).unwrap() {
        let content = fs::read(file.unwrap().path()).unwrap();
        for (at, _) in content.iter().enumerate().filter(|(_, byte)| **byte == b'E') {
            for (word, found) in [("EXERCISE-CANARY-", &mut canaries), ("EXERCISE-NOTE-", &mut notes)] {
                let digits = content[at..].strip_prefix(word.as_bytes()).and_then(|rest| rest.get(..6));
                found.extend(digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok()));
            }
        }
    }
    for found in [&mut canaries, &mut notes] {
        found.sort_unstable();
        found.dedup();
    }
    Remains { canaries, notes }
}

#[test]
fn a_reader_that_has_not_finished_is_told_of() {
    let folder = Folder::new();
    let mut lists = folder.open();
    lists.connection.busy_timeout(Duration::ZERO).unwrap();
    lists.secret(1, &mut random(1)).unwrap();
    let reader = folder.open();
    lists.put(&[passport("EXERCISE1")], &mut random(1)).unwrap();
    reader.each("passport", 0, |_| assert!(matches!(lists.erase_before(2), Err(Error::NotScrubbed)))).unwrap();
    lists.scrub().unwrap();
    assert_eq!(lists.secret_if_there(1).unwrap(), None);
}

#[test]
fn other_files_are_refused_and_can_be_made_anew() {
    let folder = Folder::new();
    let file = folder.file();
    let refused = || Lists::open(&file).err();
    // An empty file is what a crash leaves between making it and its first commit.
    fs::write(&file, "").unwrap();
    drop(folder.open());
    Connection::open(&file).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
    assert!(matches!(refused(), Some(Error::Newer { found, known: VERSION }) if found == VERSION + 1));
    fs::write(&file, "EXERCISE: not a database at all, but long enough to be looked at".repeat(100)).unwrap();
    assert!(matches!(refused(), Some(Error::Damaged(_))));
    fs::remove_file(&file).unwrap();
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    assert!(matches!(refused(), Some(Error::NotLists(path)) if path == file));
    fs::remove_file(&file).unwrap();
    folder.open().check().unwrap();
}

#[test]
fn damage_is_found() {
    for damage in [
        "UPDATE count SET count = count + 1",
        "INSERT INTO count VALUES (1, 17, 2)",
        "DELETE FROM known WHERE number = 2",
        "DELETE FROM handle WHERE number = 2",
        "UPDATE handle SET number = 3 WHERE number = 2",
        "UPDATE mark SET held = held - 1",
    ] {
        let folder = Folder::new();
        let mut lists = folder.open();
        lists.put(&[passport("EXERCISE1"), passport("EXERCISE2"), passport("EXERCISE3")], &mut random(1)).unwrap();
        lists.check().unwrap();
        lists.connection.execute_batch(damage).unwrap();
        assert!(matches!(lists.check(), Err(Error::Damaged(_))), "{damage}");
    }
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let mut lists = folder.open();
    lists.secret(1, &mut random(1)).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let mode = fs::metadata(format!("{}{suffix}", folder.file().display())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

/// Names the file to the process that is to be killed.
const TO_BE_KILLED: &str = "MUFAKAT_TEST_LISTS_TO_BE_KILLED";

#[test]
fn what_was_committed_survives_a_kill() {
    if let Some(file) = std::env::var_os(TO_BE_KILLED) {
        return put_until_killed(Path::new(&file));
    }
    let folder = Folder::new();
    let mut told = 0;
    for kill in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lists::tests::what_was_committed_survives_a_kill", "--nocapture"])
            .env(TO_BE_KILLED, folder.file())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let committed = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("committed ")?.parse().ok());
        told = committed.take(5 + kill).last().expect("the process must have committed something");
        child.kill().unwrap();
        child.wait().unwrap();
        let lists = folder.open();
        lists.check().unwrap();
        let entries = all(&lists, "passport", 0);
        assert!(lists.last_change().unwrap() >= told);
        assert!(entries.len() as u64 >= told && entries.len().is_multiple_of(100));
        assert!(lists.secret_if_there(1).unwrap().is_some());
        assert_eq!(lists.tags(&question(told)).unwrap(), [(7, [7; 24])]);
        let (partner, officer) = (agency("my-police"), officer("k-07"));
        // Each earlier kill may have come between entries and what is spent after them.
        assert!(lists.spent(&partner, &officer, "p", 0).unwrap() + kill as u64 >= told / 100);
    }
    assert!(told >= 300);
}

fn put_until_killed(file: &Path) {
    let mut lists = Lists::open(file).unwrap();
    let mut random = random(u64::from(std::process::id()));
    lists.secret(1, &mut random).unwrap();
    loop {
        let from = lists.last_change().unwrap();
        let names: Vec<_> = (from..from + 100).map(|n| format!("EXERCISE{n}")).collect();
        lists.put(&names.iter().map(|name| passport(name)).collect::<Vec<_>>(), &mut random).unwrap();
        let to = lists.last_change().unwrap();
        lists.keep_tags(&question(to), &[(7, [7; 24])]).unwrap();
        let fingerprint = RecordId::of(&to.to_be_bytes()).0;
        lists.spend(&agency("my-police"), &officer("k-07"), "p", &[fingerprint], to).unwrap();
        println!("\ncommitted {to}");
    }
}
