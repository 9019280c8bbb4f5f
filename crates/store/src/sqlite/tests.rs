//! The conformance suite on SQLite, and what only a file can suffer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mufakat_exchange::{Facts as _, Leaf, What, ledger_origin};
use mufakat_ledger::{Algorithm, Checkpoint, SignedCheckpoint, Signer, TileSource as _};
use mufakat_record::{Act, AgencyId, Digest, How, KeyId, RecordId};
use mufakat_views::{Row, RowChange, Rows as _};
use rusqlite::Connection;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::rows::UpTo;
use super::{Options, Reader, SCHEMA, Sqlite};
use crate::conformance::community::{Community, Node, name, send};
use crate::conformance::{self, Place};
use crate::summaries::gather;
use crate::{
    CLASSES_OF_AUTHOR_MAX, Error, Finding, MailboxLimits, NO_CLASS, Part, Purpose, Queries as _, Secret, Store as _,
};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self, me: &AgencyId) -> PathBuf {
        self.0.path().join(format!("{me}.db"))
    }
}

impl Place for Folder {
    type Store = Sqlite;
    type Reader = Reader;

    fn create(&self, me: &AgencyId, mailbox: MailboxLimits) -> Result<Sqlite, Error> {
        Sqlite::create(&self.file(me), me, Options { mailbox, ..Options::default() })
    }

    fn open(&self, me: &AgencyId) -> Result<Sqlite, Error> {
        Sqlite::open(&self.file(me), Options::default())
    }

    fn reader(&self, me: &AgencyId) -> Result<Reader, Error> {
        Reader::open_to_read(&self.file(me))
    }

    fn cap(&self, store: &mut Sqlite, bytes: Option<u64>) -> Result<(), Error> {
        store.set_bytes_max(bytes)
    }
}

#[test]
fn conforms() {
    conformance::run(Folder::new);
}

fn node(folder: &Folder, community: &Community, me: &str) -> Node<Sqlite> {
    Node::start(folder.create(&name(me), MailboxLimits::default()).unwrap(), community)
}

/// The numbers behind the word MARKER anywhere in the file and what SQLite puts beside it.
fn markers(file: &Path) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for suffix in ["", "-wal"] {
        let content = fs::read(format!("{}{suffix}", file.display())).unwrap_or_default();
        for (at, _) in content.iter().enumerate().filter(|(_, byte)| **byte == b'M') {
            let digits = content[at..].strip_prefix(b"MARKER").and_then(|rest| rest.get(..4));
            found.extend(digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok()));
        }
    }
    found
}

/// How often some bytes stand in the file and what SQLite puts beside it.
fn occurrences(file: &Path, bytes: &[u8]) -> usize {
    let count = |suffix: &str| {
        let path = PathBuf::from(format!("{}{suffix}", file.display()));
        fs::read(path).map_or(0, |content| content.windows(bytes.len()).filter(|window| *window == bytes).count())
    };
    count("") + count("-wal") + count("-journal")
}

/// Inverts a bit of the only place at which some bytes stand.
fn flip(file: &Path, bytes: &[u8]) {
    let mut content = fs::read(file).unwrap();
    let places: Vec<_> =
        content.windows(bytes.len()).enumerate().filter(|(_, w)| *w == bytes).map(|(at, _)| at).collect();
    assert_eq!(places.len(), 1, "the bytes must stand at one place");
    content[places[0] + bytes.len() / 2] ^= 4;
    fs::write(file, content).unwrap();
}

fn findings(file: &Path) -> Vec<Finding> {
    Reader::open_to_read(file).unwrap().fsck().unwrap()
}

fn parts(file: &Path) -> Vec<Part> {
    findings(file).into_iter().map(|finding| finding.part).collect()
}

#[test]
fn one_process_at_a_time() {
    let folder = Folder::new();
    let first = folder.create(&name("aa"), MailboxLimits::default()).unwrap();
    assert!(matches!(folder.open(&name("aa")), Err(Error::Locked(path)) if path == folder.file(&name("aa"))));
    assert!(matches!(folder.create(&name("aa"), MailboxLimits::default()), Err(Error::Locked(_))));
    // Reading beside it is allowed.
    assert_eq!(folder.reader(&name("aa")).unwrap().fsck().unwrap(), []);
    drop(first);
    assert!(matches!(folder.create(&name("aa"), MailboxLimits::default()), Err(Error::Exists(_))));
    folder.open(&name("aa")).unwrap();
}

#[test]
fn other_files_are_refused() {
    let folder = Folder::new();
    let file = folder.file(&name("aa"));
    let refused = || (folder.open(&name("aa")).err(), folder.reader(&name("aa")).err());
    assert!(matches!(refused(), (Some(Error::NotState(_)), Some(Error::NotState(_)))));
    fs::write(&file, "").unwrap();
    assert!(matches!(refused(), (Some(Error::NotState(_)), Some(Error::NotState(_)))));
    fs::write(&file, "EXERCISE: not a database at all, but long enough to be looked at".repeat(100)).unwrap();
    assert!(matches!(refused(), (Some(Error::Damaged { .. }), Some(Error::Damaged { .. }))));
    fs::remove_file(&file).unwrap();
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    assert!(matches!(refused(), (Some(Error::NotState(_)), Some(Error::NotState(_)))));
    fs::remove_file(&file).unwrap();
    drop(folder.create(&name("aa"), MailboxLimits::default()).unwrap());
    Connection::open(&file).unwrap().pragma_update(None, "user_version", SCHEMA + 1).unwrap();
    let (Some(Error::Newer { found, known }), Some(Error::Newer { .. })) = refused() else { panic!("a newer file") };
    assert_eq!((found, known), (SCHEMA + 1, SCHEMA));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let mut store = folder.create(&name("aa"), MailboxLimits::default()).unwrap();
    store.set_own_checkpoint("a note").unwrap();
    store.backup_to(&folder.0.path().join("copy.db")).unwrap();
    for file in ["aa.db", "aa.db-wal", "aa.db-shm", "copy.db"] {
        let mode = fs::metadata(folder.0.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// The bytes of what is on disk at this moment, as after the loss of power, in a folder of their own.
fn as_if_killed(folder: &Folder, me: &AgencyId) -> Folder {
    let copy = Folder::new();
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", folder.file(me).display());
        fs::copy(from, format!("{}{suffix}", copy.file(me).display())).unwrap();
    }
    copy
}

#[test]
fn a_kill_loses_what_was_not_committed_and_nothing_else() {
    let (folder, community) = (Folder::new(), Community::found(&["aa", "bb"]));
    let mut a = node(&folder, &community, "aa");
    let reports = |a: &Node<Sqlite>, texts: std::ops::Range<usize>| {
        texts.map(|n| a.report(&[&name("bb")], &"x".repeat(n + 1), &[])).collect::<Vec<_>>()
    };
    let kept = a.share(reports(&a, 0..300)).unwrap();
    a.store.begin().unwrap();
    // Enough to spill from memory into the log before the commit.
    let lost = a.share(reports(&a, 1000..6000)).unwrap();
    let killed = as_if_killed(&folder, &name("aa"));
    a.store.commit().unwrap();
    let committed = as_if_killed(&folder, &name("aa"));
    for (folder, both) in [(&killed, false), (&committed, true)] {
        // A reader may come first, before any writer has looked at what the kill left.
        assert_eq!(findings(&folder.file(&name("aa"))), []);
        let store = folder.open(&name("aa")).unwrap();
        assert!(store.held(&kept[299]).unwrap().is_some());
        assert_eq!(store.held(&lost[0]).unwrap().is_some(), both);
        assert_eq!(store.counts().unwrap().queued[0].1, if both { 5300 } else { 300 });
    }
}

#[test]
fn what_is_erased_leaves_the_disk() {
    let (folder, community) = (Folder::new(), Community::found(&["aa", "bb"]));
    let (mut a, mut b) = (node(&folder, &community, "aa"), node(&folder, &community, "bb"));
    let (file, bb) = (folder.file(&name("bb")), name("bb"));
    let mut reports = Vec::new();
    for n in 0..400 {
        // Titles carry the marker into rows of views, and sizes vary so that pages have to be shared out anew.
        let text = format!("MARKER{n:04}{}", "y".repeat(n * 7919 % 1499));
        reports.push(a.report(&[&bb], &text, &[]));
    }
    a.share(reports.clone()).unwrap();
    let mut first = 1;
    while first <= 400 {
        first += send(&mut a, &mut b, first as u64, 37);
    }
    b.store.scrub().unwrap();
    assert_eq!(markers(&file), (0..400).collect());
    let reader = folder.reader(&bb).unwrap();
    // In two turns and no order: the first leaves pages nearly empty, and whatever is moved on that account is erased in the second.
    let turn_of = |n: usize| if n.is_multiple_of(10) { 1 + n / 10 % 2 } else { 0 };
    for turn in 0..2 {
        let gone = (0..400).map(|n| n * 173 % 400).filter(|n| turn_of(*n) == turn);
        let retractions = gone.map(|n| a.retraction(&[&bb], reports[n].id())).collect();
        a.share(retractions).unwrap();
        loop {
            match send(&mut a, &mut b, first as u64, 29) {
                0 => break,
                sent => first += sent,
            }
        }
        b.store.scrub().unwrap();
        assert_eq!(markers(&file), (0..400).filter(|n| turn_of(*n) > turn).collect());
    }
    assert_eq!(reader.held(&reports[0].id()).unwrap().unwrap().salt, [0; 16]);
    assert_eq!(findings(&file), []);
}

#[test]
fn a_row_that_changed_leaves_the_disk() {
    let folder = Folder::new();
    let mut store = folder.create(&name("aa"), MailboxLimits::default()).unwrap();
    let key = |n: usize| (n as u64).to_be_bytes().to_vec();
    let row = |n: usize, length: usize| Row {
        view: "inbox",
        key: key(n),
        time_ms: 1,
        record: RecordId([1; 32]),
        facets: vec![("kind", format!("MARKER{n:04}"))],
        body: format!("MARKER{n:04}{}", "y".repeat(length)).into(),
    };
    store.begin().unwrap();
    for n in 0..1000 {
        store.write_row(&RowChange::Put(row(n, n * 7919 % 899)), 0).unwrap();
    }
    let any_order = || (0..1000).map(|n| n * 389 % 1000);
    for n in any_order().take(500) {
        store.write_row(&RowChange::Put(row(n, n * 6007 % 1999)), 0).unwrap();
    }
    store.commit().unwrap();
    for n in any_order().take(900) {
        store.write_row(&RowChange::Delete { view: "inbox", key: key(n) }, 0).unwrap();
    }
    store.scrub().unwrap();
    assert_eq!(markers(&folder.file(&name("aa"))), any_order().skip(900).collect());
}

#[test]
fn an_erased_secret_leaves_the_disk() {
    let folder = Folder::new();
    let mut store = folder.create(&name("aa"), MailboxLimits::default()).unwrap();
    let file = folder.file(&name("aa"));
    let seed = |n: u8| Zeroizing::new(std::array::from_fn(|at| n ^ (at as u8).wrapping_mul(37) | 128));
    for n in 0..120 {
        let secret =
            Secret { purpose: Purpose::Sealing, key: KeyId([n; 16]), seed: seed(n), from: 0, until: u64::from(n) };
        store.put_secret(&secret).unwrap();
    }
    for n in (0..120).step_by(2) {
        assert!(occurrences(&file, &*seed(n)) > 0);
        store.erase_secret(Purpose::Sealing, &KeyId([n; 16])).unwrap();
        assert_eq!(occurrences(&file, &*seed(n)), 0);
    }
    assert_eq!(store.secrets().unwrap().len(), 60);

    // A reader in the middle of something holds the log; that is told, and comes right when it has finished.
    let reader = folder.reader(&name("aa")).unwrap();
    reader.connection.execute_batch("BEGIN; SELECT * FROM state").unwrap();
    store.connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert!(matches!(store.erase_secret(Purpose::Sealing, &KeyId([1; 16])), Err(Error::NotScrubbed)));
    assert_eq!(store.secrets().unwrap().len(), 59);
    reader.connection.execute_batch("COMMIT").unwrap();
    store.scrub().unwrap();
    assert_eq!(occurrences(&file, &*seed(1)), 0);
}

/// A closed state file with some records and a checkpoint over all leaves but the last ten.
fn with_checkpoint(folder: &Folder, records: usize) -> (PathBuf, Vec<RecordId>) {
    let community = Community::found(&["aa", "bb"]);
    let mut a = node(folder, &community, "aa");
    let share = |a: &mut Node<Sqlite>, texts: std::ops::Range<usize>| {
        a.share(texts.map(|n| a.report(&[&name("bb")], &format!("MARKER{n:04}"), &[])).collect()).unwrap()
    };
    let mut ids = share(&mut a, 0..records - 10);
    let (size, root) = a.exchange.ledger();
    let origin = ledger_origin(&name("aa"), 1);
    let signer = Signer::from_seed(&origin, Algorithm::Ed25519, &[1; 32]).unwrap();
    let checkpoint = Checkpoint { origin, size, root, extensions: Vec::new() };
    a.store.set_own_checkpoint(&SignedCheckpoint::sign(checkpoint, &signer).unwrap().encode()).unwrap();
    ids.extend(share(&mut a, records - 10..records));
    a.store.scrub().unwrap();
    (folder.file(&name("aa")), ids)
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let folder = Folder::new();
    let (file, ids) = with_checkpoint(&folder, 600);
    let store = folder.open(&name("aa")).unwrap();
    let salt = |index| store.leaf(index).unwrap().unwrap().salt;
    let hash = |level, index, at: usize| store.tile(level, index).unwrap().unwrap()[at * 32..at * 32 + 32].to_vec();
    let body = store.record_bytes(&ids[7]).unwrap().unwrap();
    let tile = |level, index, width| Part::Tile(mufakat_ledger::Place { level, index, width });
    let cases: Vec<(Vec<u8>, Part)> = vec![
        (body[body.len() - 40..].to_vec(), Part::Record(ids[7])),
        (salt(5).to_vec(), Part::Leaf(5)),
        (salt(555).to_vec(), Part::Leaf(555)),
        // Behind the checkpoint nothing tells a damaged leaf from a damaged tile, so both are named.
        (salt(595).to_vec(), Part::Leaf(595)),
        (hash(0, 2, 595 - 512), Part::Leaf(595)),
        (hash(0, 0, 9), tile(0, 0, 256)),
        (hash(0, 2, 555 - 512), tile(0, 2, 88)),
        (hash(1, 0, 1), tile(1, 0, 2)),
    ];
    drop(store);
    let pristine = fs::read(&file).unwrap();
    assert_eq!(parts(&file), []);
    for (bytes, part) in cases {
        flip(&file, &bytes);
        let found = findings(&file);
        assert!(found.iter().any(|finding| finding.part == part), "{part}: {found:?}");
        if part == Part::Leaf(595) {
            assert!(found.iter().any(|finding| finding.to_string().contains("tile/0/002.p/88")), "{found:?}");
        }
        fs::write(&file, &pristine).unwrap();
    }
    assert_eq!(parts(&file), []);
}

#[test]
fn whatever_is_changed_is_found() {
    let folder = Folder::new();
    let (file, ids) = with_checkpoint(&folder, 20);
    let pristine = fs::read(&file).unwrap();
    let check = |change: &str, expect: Part| {
        Connection::open(&file).unwrap().execute_batch(change).unwrap();
        let found = parts(&file);
        assert!(found.contains(&expect), "{change}: {found:?}");
        fs::write(&file, &pristine).unwrap();
    };
    check("DELETE FROM record WHERE leaf = 3", Part::Leaf(3));
    check("DELETE FROM record WHERE leaf = 3", Part::Outbox(name("bb")));
    check("DELETE FROM leaf WHERE number = 3", Part::Leaf(3));
    check("DELETE FROM leaf WHERE number = 3", Part::Record(ids[3]));
    check("UPDATE leaf SET at_ms = at_ms + 1 WHERE number = 3", Part::Leaf(3));
    check("UPDATE leaf SET what = 99 WHERE number = 3", Part::Leaf(3));
    check("DELETE FROM leaf WHERE number > 5", Part::Checkpoint);
    check("DELETE FROM tile", Part::Tile(mufakat_ledger::Place { level: 0, index: 0, width: 20 }));
    check("UPDATE state SET checkpoint = 'x'", Part::Checkpoint);
    check("UPDATE state SET records = 19", Part::Database);
    check("DELETE FROM outbox WHERE position = 4", Part::Outbox(name("bb")));
    check("DELETE FROM outbox WHERE position = 1", Part::Outbox(name("bb")));
    check("INSERT INTO arrived VALUES (2, 1, 2, 0)", Part::Arrivals(name("bb")));
    check("INSERT INTO arrived VALUES (2, 1, 1, 999)", Part::Arrivals(name("bb")));
    check("INSERT INTO inbound VALUES (2, 1, 2)", Part::Arrivals(name("bb")));
    check("INSERT INTO mailbox_load VALUES (1, 1, 1)", Part::Mailbox);
    check("UPDATE view_row SET body = CAST('{}' AS BLOB) WHERE number = 4", Part::View("track".to_owned()));
    check("DELETE FROM view_key WHERE number = 4", Part::View("track".to_owned()));
    check("DELETE FROM view_facet WHERE key = (SELECT key FROM view_key WHERE number = 4)", Part::Facets);
    check("UPDATE view_row SET class = 0 WHERE number = 4", Part::View("track".to_owned()));
    check("UPDATE record SET class = 0 WHERE leaf = 3", Part::Record(ids[3]));
    check("UPDATE record SET class = 77 WHERE leaf = 3", Part::Record(ids[3]));
    check("UPDATE class SET class = zeroblob(9)", Part::Record(ids[3]));
    check("UPDATE approval SET record = zeroblob(9)", Part::Register);
    check("UPDATE register SET body = zeroblob(9)", Part::Register);
    check("UPDATE key_set SET record = zeroblob(9) WHERE agency = 1", Part::Register);
    check("INSERT INTO erased VALUES (3, zeroblob(32))", Part::Record(ids[3]));
    assert_eq!(parts(&file), []);
}

#[test]
fn a_backup_is_a_whole_state_of_one_moment() {
    let (folder, community) = (Folder::new(), Community::found(&["aa", "bb"]));
    let mut a = node(&folder, &community, "aa");
    let copies = Folder::new();
    let mut made = 0;
    std::thread::scope(|scope| {
        let file = folder.file(&name("aa"));
        let copies = &copies;
        let copying = scope.spawn(move || {
            let reader = Reader::open_to_read(&file).unwrap();
            for n in 0..5 {
                reader.backup_to(&copies.0.path().join(format!("{n}.db"))).unwrap();
            }
        });
        while !copying.is_finished() || made < 100 {
            let texts = made..made + 20;
            a.share(texts.map(|n| a.report(&[&name("bb")], &n.to_string(), &[])).collect()).unwrap();
            made += 20;
        }
    });
    for n in 0..5 {
        let copy = copies.0.path().join(format!("{n}.db"));
        assert_eq!(findings(&copy), []);
        assert!(matches!(a.store.backup_to(&copy), Err(Error::Exists(_))));
        let mut restored = Sqlite::open(&copy, Options::default()).unwrap();
        assert_eq!(restored.counts().unwrap().records % 20, 0);
        assert_eq!(restored.begin_epoch().unwrap(), 2);
        assert_eq!(restored.fsck().unwrap(), []);
    }
    assert!(
        fs::read_dir(copies.0.path()).unwrap().all(|e| !e
            .unwrap()
            .file_name()
            .display()
            .to_string()
            .contains("unfinished"))
    );
    assert!(a.store.backup_to(Path::new("/no/such/folder/copy.db")).is_err());
}

#[test]
fn a_fold_does_not_see_what_came_later() {
    let folder = Folder::new();
    let (_, ids) = with_checkpoint(&folder, 20);
    let store = folder.open(&name("aa")).unwrap();
    let leaf_of = |leaf| UpTo { rows: &store, records: &store, leaf }.leaf_of(&ids[7]).unwrap();
    assert_eq!((leaf_of(6), leaf_of(7), leaf_of(8)), (None, Some(7), Some(7)));
}

#[test]
fn starting_looks_at_few_rows() {
    let folder = Folder::new();
    let (file, _) = with_checkpoint(&folder, 20);
    let store = Sqlite::open(&file, Options::default()).unwrap();
    for (sql, wanted) in [
        (
            "SELECT min(position) FROM outbox WHERE agency = 1 AND epoch = 1 AND state = 0",
            "SEARCH outbox USING COVERING INDEX outbox_queued",
        ),
        ("SELECT max(position) FROM outbox WHERE agency = 1 AND epoch = 1", "SEARCH outbox USING PRIMARY KEY"),
        ("SELECT max(number) FROM leaf", "SEARCH leaf"),
        (
            "SELECT key FROM view_facet WHERE facet = 1 AND class = 1 AND key < x'00' ORDER BY key DESC LIMIT 1",
            "SEARCH view_facet USING PRIMARY KEY (facet=? AND class=? AND key<?)",
        ),
        (
            "SELECT class FROM view_facet WHERE facet = 1 AND class > 1 ORDER BY class LIMIT 1",
            "SEARCH view_facet USING PRIMARY KEY (facet=? AND class>?)",
        ),
        (
            "SELECT 1 FROM outbox o JOIN outbox q
                ON q.agency = o.agency AND q.epoch = o.epoch AND q.position <= o.position AND q.state = 0
                WHERE o.leaf = 1 LIMIT 1",
            "SEARCH q USING COVERING INDEX outbox_queued",
        ),
        (
            "SELECT leaf FROM reference WHERE target = x'00' AND relation = 0 AND author = 1 AND kind = 'onward'
                ORDER BY leaf DESC LIMIT 9",
            "SEARCH reference USING PRIMARY KEY (target=? AND relation=? AND author=? AND kind=?)",
        ),
        (
            "UPDATE outbox SET state = 3 WHERE agency = 1 AND epoch = (SELECT epoch FROM state) AND state = 0",
            "SEARCH outbox USING",
        ),
    ] {
        let plan: Vec<String> = store.all(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get(3)).unwrap();
        assert!(plan.iter().any(|step| step.starts_with(wanted)), "{sql}: {plan:?}");
    }
}

/// A state file of version 1 with what there is in a newer one.
fn as_version_1(newer: &Path, older: &Path) {
    let older = Connection::open(older).unwrap();
    older.execute_batch(super::schema::VERSION_1).unwrap();
    older.execute("ATTACH ? AS newer", [newer.display().to_string()]).unwrap();
    let column = |sql: &str| -> Vec<String> {
        older.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for table in column("SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'") {
        let names = column(&format!("SELECT name FROM pragma_table_info('{table}', 'main')")).join(", ");
        let sql = format!("INSERT INTO main.{table} ({names}) SELECT {names} FROM newer.{table}");
        older.execute(&sql, []).unwrap();
    }
    older.execute_batch("PRAGMA main.application_id = 0x4d55464b; PRAGMA main.user_version = 1").unwrap();
}

#[test]
fn a_file_of_version_1_is_brought_up_to_date() {
    let (folder, community) = (Folder::new(), Community::found(&["aa", "bb"]));
    let (mut a, mut b) = (node(&folder, &community, "aa"), node(&folder, &community, "bb"));
    let reports: Vec<_> = (0..20).map(|n| a.report(&[&name("bb")], &format!("MARKER{n:04}"), &[])).collect();
    a.share(reports.clone()).unwrap();
    a.share(vec![a.retraction(&[&name("bb")], reports[3].id())]).unwrap();
    send(&mut a, &mut b, 1, 30);
    b.store.scrub().unwrap();
    let rows = conformance::all_rows(&b.store);
    drop(b);
    let (file, older) = (folder.file(&name("bb")), Folder::new());
    as_version_1(&file, &older.file(&name("bb")));
    let before = Reader::open_to_read(&older.file(&name("bb"))).err();
    assert!(matches!(before, Some(Error::Unavailable(what)) if what.contains("schema 1")));
    let mut store = older.open(&name("bb")).unwrap();
    assert_eq!(store.state().unwrap().schema, SCHEMA);
    assert_eq!(store.fsck().unwrap(), []);
    assert_eq!(conformance::all_rows(&store), rows);
    assert!(store.class_of(&reports[4].id()).unwrap() > 0);
    // Nothing tells any more how the deleted one was handled.
    assert_eq!(store.class_of(&reports[3].id()).unwrap(), NO_CLASS);
    store.scrub().unwrap();
    assert_eq!(markers(&older.file(&name("bb"))), (0..20).filter(|n| *n != 3).collect());
    drop(store);
    older.open(&name("bb")).unwrap();
}

#[test]
fn uses_under_a_clock_that_was_ahead_keep_no_summary_waiting() {
    let (folder, community) = (Folder::new(), Community::found(&["aa", "bb"]));
    let (mut a, mut b) = (node(&folder, &community, "aa"), node(&folder, &community, "bb"));
    let report = a.report(&[&name("bb")], "EXERCISE read", &[]);
    a.share(vec![report.clone()]).unwrap();
    send(&mut a, &mut b, 1, 1);
    let (stretch, now) = (2_000, 3_000);
    for at_ms in [1_000, 9_000, 1_500, 2_500, 1_600] {
        let act = Act::of_the_node(How::Read, Digest([7; 32])).to_detail();
        let batch = b.exchange.note(Leaf::about(What::Use, &report.id(), at_ms, &act, [1; 16]));
        b.store.apply(&batch.changes).unwrap();
    }
    let size = b.exchange.ledger().0;
    let told = |mark, later| {
        let gathered = gather(&b.store, mark, size, later).unwrap();
        let counts: Vec<_> = gathered.summaries().map(|(_, summary, _)| summary.uses[0].count).collect();
        (gathered.until, counts)
    };
    // Three up to the first of the present stretch, the one in the future among them; the others at its end.
    let (until, counts) = told(None, stretch..=now);
    assert_eq!((until, counts), (size - 2, vec![3]));
    assert_eq!(told(Some(until), 4_000..=4_500), (size, vec![2]));
}

#[test]
fn a_partner_has_so_many_classes_and_this_agency_as_it_needs() {
    let (folder, community) = (Folder::new(), Community::found(&["aa", "bb"]));
    let (mut a, mut b) = (node(&folder, &community, "aa"), node(&folder, &community, "bb"));
    let first = a.report(&[&name("bb")], "one", &[]);
    a.share(vec![first.clone()]).unwrap();
    send(&mut a, &mut b, 1, 1);
    let sql = "WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n LIMIT ? - 1)
        INSERT INTO class (author, class) SELECT (SELECT number FROM agency WHERE name = 'aa'), randomblob(9) FROM n";
    for store in [&a.store, &b.store] {
        store.execute(sql, [CLASSES_OF_AUTHOR_MAX]).unwrap();
    }
    let other = a.retraction(&[&name("bb")], first.id());
    let (same, other_id) = (a.report(&[&name("bb")], "two", &[]), other.id());
    a.share(vec![same.clone(), other]).unwrap();
    send(&mut a, &mut b, 2, 2);
    assert_eq!(b.store.class_of(&same.id()).unwrap(), b.store.class_of(&first.id()).unwrap());
    assert_eq!(b.store.class_of(&other_id).unwrap(), NO_CLASS);
    assert_ne!(a.store.class_of(&other_id).unwrap(), NO_CLASS);
    for store in [&a.store, &b.store] {
        assert_eq!(store.fsck().unwrap(), []);
    }
}
