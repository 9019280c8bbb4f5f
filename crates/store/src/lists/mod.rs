//! What private matching keeps that is no record: a file of its own beside the state file.
//!
//! A holder keeps its list there, the secrets of its epochs, and what it last told each partner; an asker keeps the tags it was
//! answered, and which identifiers it spent of its budget. The file can be thrown away: lists are imported
//! again from where they come from, new keys are published, tags are asked again. It is never thrown away unasked, as the budget
//! would begin anew.
//!
//! What is erased leaves the disk. SQLite overwrites what it deletes and still leaves copies behind where it shared out rows to
//! other pages; so identifiers, notes, tags and secrets stand in tables to which rows are only added, and are overwritten there in
//! place, never changed in length (numbers have a fixed width too). Rows of zeroes remain until [`Lists::compact`].
//! After each erasure the write-ahead log is cut to nothing.
//!
//! What identifiers are found by is an index of hashes. Eight bytes of a hash can stay behind in it until the file is compacted.

mod budget;
mod entries;
mod epochs;
mod number;
mod put;
mod tags;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use budget::{FINGERPRINTS_MAX, PURPOSE_BYTES_MAX, Standing};
pub use entries::{
    CANONICAL_BYTES_MAX, CATEGORY_MAX, Count, ENTRIES_AT_ONCE_MAX, ENTRIES_MAX, Entry, NOTE_BYTES_MAX, NewEntry,
    PAGE_MAX, Put, SUBJECT_BYTES_MAX, SUBJECTS_MAX, TLP_MAX,
};
pub use epochs::Published;
pub use tags::{TAG_BYTES, TAGS_MAX, Tagged};

use crate::sqlite::no_file;

/// The version of the tables. A newer file is refused.
pub const VERSION: u32 = 1;
/// Marks the file as one of this program ("MUFM").
const APPLICATION_ID: i32 = 0x4d55_464d;
/// How long a statement waits for another connection.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// Bytes of a page: an entry of a long list changes a page of each index at random, so small ones make importing cheaper.
const PAGE_BYTES: u32 = 4096;
/// Memory for pages, in KiB: the indices of some million entries.
const CACHE_KIB: u32 = 64 * 1024;
/// Pages of the write-ahead log after which they are moved into the file, 250 MiB: in an import each transaction changes most
/// pages of the indices again, and they are moved once for several.
const WAL_PAGES: u32 = 64_000;
/// To how many bytes the write-ahead log is cut when it was longer.
const WAL_BYTES_KEPT: u64 = 64 * 1024 * 1024;
/// Statements that are kept prepared.
const STATEMENTS_MAX: usize = 64;

/// `mark.changed` is the number of the last change, and `mark.held` how many entries have a handle. `entry.status` is one of
/// [`number::Status`]; `category` and `tlp` are [small](number::small), `change` and `expires` [wide](number::wide). Entries that
/// are not blank stand in `known` by a hash of what they are about, and in `handle`. `count` has those that are listed. A secret that
/// was erased is zero. Of tags that were dropped nothing stands in `asked`.
const TABLES: &str = "
CREATE TABLE mark (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    changed INTEGER NOT NULL, held INTEGER NOT NULL
) STRICT;
INSERT INTO mark VALUES (1, 0, 0);

CREATE TABLE subject (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE entry (
    number INTEGER PRIMARY KEY,
    subject INTEGER NOT NULL, handle INTEGER NOT NULL,
    status INTEGER NOT NULL, category INTEGER NOT NULL, tlp INTEGER NOT NULL,
    change INTEGER NOT NULL, expires INTEGER NOT NULL,
    canonical BLOB NOT NULL, note BLOB
) STRICT;
CREATE INDEX entry_change ON entry (subject, change) WHERE status < 4;
CREATE INDEX entry_removed ON entry (change) WHERE status = 3;
CREATE INDEX entry_expires ON entry (expires) WHERE expires <> 9223372036854775807;
CREATE TABLE known (key INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (key, number)) STRICT, WITHOUT ROWID;
CREATE TABLE handle (handle INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;
CREATE TABLE count (
    subject INTEGER NOT NULL, category INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (subject, category)
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (epoch INTEGER PRIMARY KEY, seed BLOB NOT NULL) STRICT;
CREATE TABLE published (
    partner TEXT NOT NULL, subject TEXT NOT NULL,
    epoch INTEGER NOT NULL, key BLOB NOT NULL, number INTEGER NOT NULL, through INTEGER NOT NULL, at_s INTEGER NOT NULL,
    filter BLOB NOT NULL,
    PRIMARY KEY (partner, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (number INTEGER PRIMARY KEY, tags BLOB NOT NULL) STRICT;
CREATE TABLE asked (question BLOB PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    number INTEGER PRIMARY KEY,
    partner TEXT NOT NULL, officer TEXT NOT NULL, purpose TEXT NOT NULL,
    UNIQUE (partner, officer, purpose)
) STRICT;
CREATE TABLE spent (
    account INTEGER NOT NULL, fingerprint BLOB NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (account, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_at ON spent (account, at_ms);
";

/// Writes the file anew without the rows that are only zeroes, so that nothing is in it but what is in use.
const COMPACT: &str = "
BEGIN IMMEDIATE;
DELETE FROM entry WHERE status = 4;
DELETE FROM tags WHERE number NOT IN (SELECT number FROM asked);
COMMIT;
VACUUM;
";

/// Each finds what should not be there: how many entries are counted wrongly, cannot be found by what they are about, or not by
/// their handle.
const CHECKS: [(&str, &str); 4] = [
    (
        "entries are miscounted",
        "SELECT count(*) FROM (
            SELECT subject, category - 2, count(*) FROM entry WHERE status = 2 GROUP BY 1, 2
            EXCEPT SELECT subject, category, count FROM count)",
    ),
    (
        "entries of no category are counted",
        "SELECT count(*) FROM (
            SELECT subject, category FROM count WHERE count > 0
            EXCEPT SELECT subject, category - 2 FROM entry WHERE status = 2)",
    ),
    (
        "entries cannot be found",
        "SELECT (SELECT count(*) FROM entry WHERE status < 4 AND number NOT IN (SELECT number FROM known))
            + abs((SELECT held FROM mark) - (SELECT count(*) FROM known))",
    ),
    (
        "handles lead nowhere",
        "SELECT (SELECT count(*) FROM handle h LEFT JOIN entry e ON e.number = h.number AND e.handle = h.handle
            AND e.status < 4 WHERE e.number IS NULL) + abs((SELECT held FROM mark) - (SELECT count(*) FROM handle))",
    ),
];

/// Why the lists did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk leaves no room. What is there stays readable.
    #[error("no room left for the file of private matching")]
    Full,
    /// A newer program wrote this file.
    #[error("the file of private matching has version {found}, and this program knows none above {known}")]
    Newer {
        /// The version of the file.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The file is something else.
    #[error("{0} is not a file of private matching")]
    NotLists(PathBuf),
    /// What is stored cannot be what was stored. The file may be made anew.
    #[error("the file of private matching is damaged: {0}")]
    Damaged(String),
    /// More than fits: at once, or at all.
    #[error("more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: u64,
    },
    /// A text is empty or too long.
    #[error("{what} is not of 1 to {bytes_max} bytes")]
    Length {
        /// Which text.
        what: &'static str,
        /// How many bytes it may have.
        bytes_max: usize,
    },
    /// A category or a marking that no label has room for.
    #[error("no label can say category {category} and marking {tlp}")]
    NoLabel {
        /// The category.
        category: u8,
        /// The number of the marking.
        tlp: u8,
    },
    /// The source of random bytes gave no handle that is free.
    #[error("no free handle was found at random")]
    NoHandle,
    /// Something was erased, but another connection has not finished reading; [`Lists::scrub`] is to be called again.
    #[error("a reader has not finished, so a copy of what was erased may remain for now")]
    NotScrubbed,
    /// The file could not be read or written.
    #[error("the file of private matching could not be used: {0}")]
    Unavailable(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        crate::sqlite::failed(error).into()
    }
}

impl From<crate::Error> for Error {
    /// What can be wrong with any file of the store, in the words of this one.
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Full => Self::Full,
            crate::Error::Damaged { what, .. } => Self::Damaged(what),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// The file of private matching. It can be sent to another thread and not be shared; another one may be opened on the same path,
/// to read a long list while this one goes on.
pub struct Lists {
    connection: Connection,
}

impl Lists {
    /// Opens the file, and makes it if there is none. A damaged one is an error.
    pub fn open(path: &Path) -> Result<Self, Error> {
        create(path)?;
        let connection = connect(path)?;
        let mark = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let marks = (mark("PRAGMA application_id")?, mark("PRAGMA user_version")?);
        let known = (i64::from(APPLICATION_ID), i64::from(VERSION));
        if marks == (0, 0) && mark("SELECT count(*) FROM sqlite_schema")? == 0 {
            let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};");
            connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} {marks} COMMIT"))?;
        } else if marks.0 == known.0 && marks.1 > known.1 {
            return Err(Error::Newer { found: u32::try_from(marks.1).unwrap_or(u32::MAX), known: VERSION });
        } else if marks != known {
            return Err(Error::NotLists(path.to_owned()));
        }
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(Self { connection })
    }

    /// Moves the write-ahead log into the file and cuts it to nothing, so that it holds no older copy of any page. Whatever erases
    /// does this by itself.
    pub fn scrub(&self) -> Result<(), Error> {
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(Error::NotScrubbed) }
    }

    /// Writes the file anew, so that nothing is in it but what is in use; once an epoch, and when a list was given up. It takes
    /// room for a second copy, in the folder for temporary files and in the log, while it is at work.
    pub fn compact(&mut self) -> Result<(), Error> {
        self.connection.execute_batch(COMPACT)?;
        self.scrub()
    }

    /// Checks the file against itself.
    pub fn check(&self) -> Result<(), Error> {
        let lines: String = self.connection.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
        if lines != "ok" {
            return Err(Error::Damaged(lines));
        }
        for (what, sql) in CHECKS {
            let wrong: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
            if wrong != 0 {
                return Err(Error::Damaged(what.to_owned()));
            }
        }
        Ok(())
    }

    /// Begins a change that is made whole or not at all.
    fn begin(&mut self) -> Result<Transaction<'_>, Error> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

/// Makes an empty file if there is none. Only the node's own account may read it, as it holds secrets; what SQLite puts beside it
/// has the same mode.
fn create(path: &Path) -> Result<(), Error> {
    let mut file = OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    match file.open(path) {
        Ok(_) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|error| no_file(error).into())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(no_file(error).into()),
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    // secure_delete overwrites what is deleted; synchronous = FULL makes each commit survive the loss of power.
    let settings = format!(
        "PRAGMA trusted_schema = OFF;
        PRAGMA cell_size_check = ON;
        PRAGMA page_size = {PAGE_BYTES};
        PRAGMA secure_delete = ON;
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA cache_size = -{CACHE_KIB};
        PRAGMA wal_autocheckpoint = {WAL_PAGES};
        PRAGMA journal_size_limit = {WAL_BYTES_KEPT};"
    );
    connection.execute_batch(&settings)?;
    Ok(connection)
}

/// Refuses more than fits.
fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), Error> {
    if count <= max { Ok(()) } else { Err(Error::TooMany { what, max: max as u64 }) }
}

/// Refuses a text that is empty or too long.
fn length(what: &'static str, text: &str, bytes_max: usize) -> Result<(), Error> {
    if (1..=bytes_max).contains(&text.len()) { Ok(()) } else { Err(Error::Length { what, bytes_max }) }
}

fn damaged(what: &str) -> Error {
    Error::Damaged(what.to_owned())
}
