//! The writing side: follows the ledger, lists what is new, takes out what was deleted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mufakat_exchange::{Leaf, What};
use mufakat_record::{RecordId, Verified, sha256};
use mufakat_views::Rows as _;
use mufakat_views::text::{Document, document, facets};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{APPLICATION_ID, Groups, VERSION, damaged, failed, number};
use crate::sqlite::{clamped, no_file, uint};
use crate::{ClassNumber, Error, Followed, Queries, Reader};

/// How many leaves one transaction takes in.
const LEAVES_MAX: usize = 1_024;
/// How many bytes of records one transaction takes in.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Memory for pages, in KiB.
const CACHE_KIB: u32 = 16 * 1024;
/// How many times as long as it took to write the file anew lies at least between two such times: a small one is written anew
/// at once, and a large one does not do much else for it.
const COMPACT_SHARE: u32 = 20;
/// How long a statement waits for another connection.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// `mark.next` is the first leaf that was not followed yet, `mark.before` tells which leaf came before it, `mark.ledger_ms` is the
/// greatest time of a leaf so far, and `mark.stale` says that records were taken out since the file was last written anew.
/// `listed.point` is 8 bytes or nothing; it and the tokens are overwritten with zeroes, never changed in length.
const TABLES: &str = "
CREATE TABLE mark (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    next INTEGER NOT NULL, before BLOB NOT NULL, ledger_ms INTEGER NOT NULL, stale INTEGER NOT NULL
) STRICT;
INSERT INTO mark VALUES (1, 0, x'', 0, 0);
CREATE TABLE listed (leaf INTEGER PRIMARY KEY, class INTEGER NOT NULL, at_ms INTEGER NOT NULL, point BLOB) STRICT;
CREATE TABLE words (leaf INTEGER PRIMARY KEY, tokens BLOB NOT NULL) STRICT;
CREATE VIRTUAL TABLE found USING fts5(tokens, content = '', columnsize = 0, tokenize = \"ascii tokenchars '=.-'\");
INSERT INTO found (found, rank) VALUES ('secure-delete', 1);
INSERT INTO found (found, rank) VALUES ('pgsz', 7600);
INSERT INTO found (found, rank) VALUES ('hashsize', 8388608);
";

/// Words that separate the pages of the full-text index stay in it as long as the pages do. They go when all its segments are
/// merged into one, which is done only if there are two; so one is added, with a token that every record has, and taken out again.
/// Then the file is written anew.
const COMPACT: &str = "
BEGIN;
INSERT INTO found (rowid, tokens) VALUES (-1, '=');
INSERT INTO found (found) VALUES ('optimize');
INSERT INTO found (found, rowid, tokens) VALUES ('delete', -1, '=');
UPDATE mark SET stale = 0;
COMMIT;
VACUUM;
";

/// How far an index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The first leaf that was not followed yet.
    pub next: u64,
    /// How many records were listed in this turn.
    pub listed: u64,
    /// How many were taken out.
    pub removed: u64,
    /// Whether more leaves were there when the turn ended.
    pub more: bool,
}

/// The index, open for writing.
pub struct Index {
    connection: Connection,
    groups: Groups,
    /// When the file was written anew last, and how long that took.
    compacted: Option<(Instant, Duration)>,
}

impl Index {
    /// Opens the index beside a state file. One that is missing, damaged, of another version or of another ledger is made anew.
    pub fn open(path: &Path, store: &Reader) -> Result<Self, Error> {
        if let Ok(index) = Self::open_there(path)
            && index.is_of(store).unwrap_or(false)
        {
            return Ok(index);
        }
        Self::make(path)
    }

    /// Makes the index anew, empty.
    pub fn make(path: &Path) -> Result<Self, Error> {
        for suffix in ["", "-wal", "-shm"] {
            match fs::remove_file(beside(path, suffix)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(no_file(error)),
                _ => {}
            }
        }
        let mut file = fs::OpenOptions::new();
        file.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        file.open(path).map_err(no_file)?;
        let connection = connect(path)?;
        let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};");
        connection.execute_batch(&format!("BEGIN; {TABLES} {marks} COMMIT")).map_err(failed)?;
        Ok(Self { connection, groups: Groups::default(), compacted: None })
    }

    fn open_there(path: &Path) -> Result<Self, Error> {
        let connection = connect(path)?;
        let is_ours = number(&connection, "PRAGMA application_id")? == i64::from(APPLICATION_ID)
            && number(&connection, "PRAGMA user_version")? == i64::from(VERSION);
        if !is_ours {
            return Err(damaged("it is of another version"));
        }
        Ok(Self { connection, groups: Groups::default(), compacted: None })
    }

    /// Whether the leaf before the mark is the one that was followed: a state file that was restored from a backup may have
    /// gone another way since.
    fn is_of(&self, store: &Reader) -> Result<bool, Error> {
        let (next, before, _) = self.mark()?;
        let Some(last) = next.checked_sub(1) else { return Ok(true) };
        Ok(store.leaf(last)?.is_some_and(|leaf| name_of(&leaf).as_slice() == before))
    }

    fn mark(&self) -> Result<(u64, Vec<u8>, i64), Error> {
        let mark = "SELECT next, before, ledger_ms FROM mark";
        self.connection.query_row(mark, [], |row| Ok((uint(row.get(0)?), row.get(1)?, row.get(2)?))).map_err(failed)
    }

    /// Takes in what is new in the ledger, at most as much as fits in one transaction.
    pub fn follow(&mut self, store: &Reader) -> Result<Progress, Error> {
        let (next, _, mut ledger_ms) = self.mark()?;
        let leaves = store.follow(next, LEAVES_MAX, BYTES_MAX)?;
        let Some(last) = leaves.last() else { return Ok(Progress { next, listed: 0, removed: 0, more: false }) };
        let (next, before) = (last.index + 1, name_of(&last.leaf));
        self.groups.learn(&store.classes(self.groups.last())?);
        let documents: Vec<_> = leaves.iter().map(listed).collect();
        let (mut listed, mut removed) = (0, 0);
        let transaction = self.connection.transaction().map_err(failed)?;
        for (followed, document) in leaves.iter().zip(documents) {
            ledger_ms = ledger_ms.max(clamped(followed.leaf.at_ms));
            if let Some(document) = document {
                let group = self.groups.of(followed.class);
                list(&transaction, followed.index, (followed.class, group), ledger_ms, document)?;
                listed += 1;
            }
            if followed.leaf.what == What::Deletion {
                let record = RecordId(followed.leaf.subject.0);
                let leaf = store.leaf_of(&record).map_err(|e| Error::Unavailable(e.0))?;
                removed += leaf.map_or(Ok(0), |leaf| unlist(&transaction, leaf))?;
            }
        }
        let mark = "UPDATE mark SET next = ?, before = ?, ledger_ms = ?, stale = stale OR ?";
        transaction.execute(mark, params![clamped(next), before, ledger_ms, removed > 0]).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        if removed > 0 {
            self.cut_log()?;
        }
        let more = store.leaf(next)?.is_some();
        Ok(Progress { next, listed, removed, more })
    }

    /// Writes the file anew if records were taken out of it, and not too often: where pages were shared out anew, copies of words
    /// have stayed behind between what is in use. Gives whether that is still to be done.
    pub fn upkeep(&mut self) -> Result<bool, Error> {
        let lately = self.compacted.is_some_and(|(at, took)| at.elapsed() < took * COMPACT_SHARE);
        let stale = number(&self.connection, "SELECT stale FROM mark")? != 0;
        if stale && !lately {
            self.compact()?;
        }
        Ok(stale && lately)
    }

    /// Writes the file anew, so that nothing is in it but what is in use.
    pub fn compact(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        self.connection.execute_batch(COMPACT).map_err(failed)?;
        self.compacted = Some((Instant::now(), begun.elapsed()));
        self.cut_log()
    }

    /// Checks the index against itself.
    pub fn check(&self) -> Result<(), Error> {
        let lines: String = self.connection.query_row("PRAGMA quick_check", [], |row| row.get(0)).map_err(failed)?;
        if lines != "ok" {
            return Err(damaged(&lines));
        }
        self.connection.execute("INSERT INTO found (found) VALUES ('integrity-check')", []).map_err(failed).map(drop)
    }

    /// Moves what was written into the file and empties the log; what a reader still needs stays until the next time.
    fn cut_log(&self) -> Result<(), Error> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    // What the loss of power takes from the end is followed again, so no commit waits for the disk.
    let settings = format!(
        "PRAGMA page_size = 8192; PRAGMA secure_delete = ON; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
        PRAGMA cache_size = -{CACHE_KIB}; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF;"
    );
    connection.execute_batch(&settings).map_err(failed)?;
    Ok(connection)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// By what a leaf is known again, also when the content that it stands for was deleted since.
fn name_of(leaf: &Leaf) -> [u8; 32] {
    sha256(&[&leaf.subject.0[..], &leaf.at_ms.to_be_bytes(), &[leaf.what.number()]].concat())
}

/// What is listed of the record that came with a leaf.
fn listed(followed: &Followed) -> Option<Document> {
    let record = Verified::from_own_store(followed.record.clone()?).ok()?;
    document(&record)
}

fn list(
    connection: &Connection,
    leaf: u64,
    (class, group): (ClassNumber, Option<ClassNumber>),
    at_ms: i64,
    mut document: Document,
) -> Result<(), Error> {
    document.add(&facets::class(class));
    // Records of no class are no group.
    if let Some(group) = group {
        document.add(&facets::group(group));
    }
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed).map(drop)
    };
    let leaf = clamped(leaf);
    let point = document.point.map(|point| point.to_bytes());
    run("INSERT INTO listed VALUES (?, ?, ?, ?)", &[&leaf, &class, &at_ms, &point])?;
    run("INSERT INTO words VALUES (?, ?)", &[&leaf, &document.tokens.as_bytes()])?;
    run("INSERT INTO found (rowid, tokens) VALUES (?, ?)", &[&leaf, &document.tokens])
}

/// Takes the record of a leaf out; gives how many that were.
fn unlist(connection: &Connection, leaf: u64) -> Result<u64, Error> {
    let leaf = clamped(leaf);
    let tokens = connection
        .query_row("SELECT tokens FROM words WHERE leaf = ?", [leaf], |row| row.get::<_, Vec<u8>>(0))
        .optional()
        .map_err(failed)?;
    let Some(tokens) = tokens.filter(|tokens| tokens.iter().any(|byte| *byte != 0)) else { return Ok(0) };
    let tokens = String::from_utf8(tokens).map_err(|_| damaged("words are no text"))?;
    let sql = "INSERT INTO found (found, rowid, tokens) VALUES ('delete', ?, ?)";
    connection.execute(sql, params![leaf, tokens]).map_err(failed)?;
    let sql = "UPDATE words SET tokens = zeroblob(length(tokens)) WHERE leaf = ?";
    connection.execute(sql, [leaf]).map_err(failed)?;
    let sql = "UPDATE listed SET point = zeroblob(length(point)) WHERE leaf = ? AND point IS NOT NULL";
    connection.execute(sql, [leaf]).map_err(failed)?;
    Ok(1)
}
