//! The schema of the state file, its versions, and the way from one to the next.
//!
//! Three rules shape it. Everything but record ids, submission keys and reference targets is inserted in ascending order, so
//! that writing stays cheap however large the file grows. What may have to be erased (`record.bytes`, `leaf.salt`,
//! `view_row.facets`, `view_row.body`, `secret.seed`) is only ever appended and overwritten in place with as many zeroes: rows
//! that never change their size never move between pages, so no forgotten copy of them stays behind in a page. And agencies are
//! small numbers.
//!
//! The index of facets, `view_facet`, holds hashes and keys and nothing that could have to be erased, so its entries may come
//! and go. A class says which agency handled records in which way and nothing of their content; it stays.

use mufakat_record::{RecordId, Verified};
use rusqlite::{Connection, params};

use super::{Sqlite, damaged, failed};
use crate::{Error, NO_CLASS, Part, Store};

/// The version of the schema that this program writes.
pub const SCHEMA: u32 = MIGRATIONS.len() as u32;

/// Marks the file as a state file of this program ("MUFK").
const APPLICATION_ID: i32 = 0x4d55_464b;

/// What leads from each version to the next; the first entry makes version 1 of an empty file.
const MIGRATIONS: [&str; 2] = [VERSION_1, VERSION_2];

pub(super) const VERSION_1: &str = "
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    me TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    records INTEGER NOT NULL,
    checkpoint TEXT
) STRICT;
CREATE TABLE agency (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- The register and the key sets.
CREATE TABLE register (version INTEGER PRIMARY KEY, hash BLOB NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE approval (
    version INTEGER NOT NULL, ordinal INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (version, ordinal)
) STRICT, WITHOUT ROWID;
CREATE TABLE key_set (agency INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT;

-- The ledger. A tile's place is its level in the upper 8 bits and its index below; its hashes are filled up with zeroes to 256.
CREATE TABLE leaf (
    number INTEGER PRIMARY KEY,
    what INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    subject BLOB NOT NULL,
    detail BLOB NOT NULL,
    salt BLOB NOT NULL
) STRICT;
CREATE TABLE tile (place INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT;

-- Records, by the number of the leaf with which they came. Of an erased one zeroes remain, and its leaf's commitment.
CREATE TABLE record (leaf INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL) STRICT;
CREATE TABLE erased (leaf INTEGER PRIMARY KEY, commitment BLOB NOT NULL) STRICT;
CREATE TABLE submission (key BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE reference (
    target BLOB NOT NULL, leaf INTEGER NOT NULL, relation INTEGER NOT NULL,
    PRIMARY KEY (target, leaf, relation)
) STRICT, WITHOUT ROWID;
CREATE TABLE governance (leaf INTEGER PRIMARY KEY) STRICT;

-- Channels. `outbox.state`: 0 queued, 1 accepted, 2 rejected, 3 cancelled, 4 carried over into the next epoch.
CREATE TABLE outbox (
    agency INTEGER NOT NULL, epoch INTEGER NOT NULL, position INTEGER NOT NULL,
    leaf INTEGER NOT NULL, state INTEGER NOT NULL,
    PRIMARY KEY (agency, epoch, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_queued ON outbox (agency, epoch, position) WHERE state = 0;
CREATE INDEX outbox_leaf ON outbox (leaf);
CREATE TABLE receipt_taken (
    agency INTEGER NOT NULL, epoch INTEGER NOT NULL, first INTEGER NOT NULL, leaf INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (agency, epoch, first, leaf)
) STRICT, WITHOUT ROWID;
CREATE TABLE arrived (
    agency INTEGER NOT NULL, epoch INTEGER NOT NULL, position INTEGER NOT NULL, leaf INTEGER NOT NULL,
    PRIMARY KEY (agency, epoch, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE inbound (agency INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, expected INTEGER NOT NULL) STRICT;

-- Rows of views. A changed row is a new one, to which its key points from then on.
CREATE TABLE view_row (
    number INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    record BLOB NOT NULL,
    facets BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE view_key (
    view TEXT NOT NULL, key BLOB NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (view, key)
) STRICT, WITHOUT ROWID;

-- Attachments.
CREATE TABLE chunk (name BLOB NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY (name, leaf)) STRICT, WITHOUT ROWID;
CREATE TABLE incomplete (leaf INTEGER PRIMARY KEY) STRICT;
CREATE TABLE chunk_let_go (name BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;

-- The relay. Cursors are never given twice.
CREATE TABLE mailbox (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    sender INTEGER NOT NULL, recipient INTEGER NOT NULL, expires_s INTEGER NOT NULL,
    parcel BLOB NOT NULL
) STRICT;
CREATE INDEX mailbox_recipient ON mailbox (recipient, cursor);
CREATE INDEX mailbox_expires ON mailbox (expires_s);
CREATE TABLE mailbox_load (recipient INTEGER PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE relay_chunk (
    name BLOB NOT NULL, recipient INTEGER NOT NULL, expires_s INTEGER NOT NULL,
    PRIMARY KEY (name, recipient)
) STRICT, WITHOUT ROWID;

-- The witness, and secrets. An erased secret's seed is zeroes.
CREATE TABLE seen (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL) STRICT;
CREATE TABLE secret (
    number INTEGER PRIMARY KEY,
    purpose INTEGER NOT NULL, key BLOB NOT NULL, seed BLOB NOT NULL,
    from_s INTEGER NOT NULL, until_s INTEGER NOT NULL
) STRICT;
";

/// Handling classes, the index of facets, and who refers to what. What version 1 held is brought over by [`Sqlite::classify`], as only the records
/// themselves tell of what class they are.
const VERSION_2: &str = "
-- `author` is the agency's number, by which the classes of one author are counted.
CREATE TABLE class (number INTEGER PRIMARY KEY, author INTEGER NOT NULL, class BLOB NOT NULL UNIQUE) STRICT;
CREATE INDEX class_author ON class (author);

-- The class stands before the bytes, so that it is read without them.
ALTER TABLE record RENAME TO record_1;
CREATE TABLE record (
    leaf INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, class INTEGER NOT NULL, bytes BLOB NOT NULL
) STRICT;

DROP TABLE view_row;
CREATE TABLE view_row (
    number INTEGER PRIMARY KEY,
    class INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    record BLOB NOT NULL,
    facets BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
DELETE FROM view_key;
-- The keys of the rows that have a facet, by class. `facet` is a hash of view, name and value; that of the view alone lists all.
CREATE TABLE view_facet (
    facet INTEGER NOT NULL, class INTEGER NOT NULL, key BLOB NOT NULL,
    PRIMARY KEY (facet, class, key)
) STRICT, WITHOUT ROWID;

-- What is asked of a record is what one agency said of it: what others say, however much, is not visited. `author` is the
-- agency's number.
DROP TABLE reference;
CREATE TABLE reference (
    target BLOB NOT NULL, relation INTEGER NOT NULL, author INTEGER NOT NULL, kind TEXT NOT NULL, leaf INTEGER NOT NULL,
    PRIMARY KEY (target, relation, author, kind, leaf)
) STRICT, WITHOUT ROWID;
";

/// What a file is, judged by its own marks.
pub(super) enum Kind {
    /// It holds nothing.
    Empty,
    /// A state file of this version.
    State(u32),
    /// Something else.
    Foreign,
}

pub(super) fn kind(connection: &Connection) -> Result<Kind, Error> {
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let version = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match (u32::try_from(version), application == i64::from(APPLICATION_ID)) {
        (Ok(version), true) if version > 0 => Kind::State(version),
        (Ok(0), false) if tables == 0 => Kind::Empty,
        _ => Kind::Foreign,
    })
}

/// Makes the tables of the newest version in an empty database that is not kept.
pub(super) fn make_tables(connection: &Connection) -> Result<(), Error> {
    MIGRATIONS.iter().try_for_each(|step| connection.execute_batch(step)).map_err(failed)?;
    connection.execute_batch("DROP TABLE record_1").map_err(failed)
}

impl Sqlite {
    /// Brings the schema from one version to the newest, in one transaction.
    pub(super) fn migrate(&mut self, from: u32) -> Result<(), Error> {
        if from > SCHEMA {
            return Err(Error::Newer { found: from, known: SCHEMA });
        }
        if from == SCHEMA {
            return Ok(());
        }
        self.begin()?;
        match self.migrate_on(from) {
            Ok(()) => self.commit(),
            Err(error) => self.rollback().and(Err(error)),
        }
    }

    fn migrate_on(&self, from: u32) -> Result<(), Error> {
        for (version, step) in (1..).zip(MIGRATIONS).skip(from as usize) {
            self.connection.execute_batch(step).map_err(failed)?;
            if version == 2 {
                self.classify()?;
            }
        }
        let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA}");
        self.connection.execute_batch(&marks).map_err(failed)
    }

    /// Brings the records of version 1 over, each with its class and what it refers to, and folds the views again. Of an erased
    /// one nothing tells what class it was of.
    fn classify(&self) -> Result<(), Error> {
        let sql = "SELECT r.leaf, r.id, r.bytes, e.leaf IS NOT NULL FROM record_1 r
            LEFT JOIN erased e ON e.leaf = r.leaf ORDER BY r.leaf";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let read = || -> rusqlite::Result<_> { Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)) };
            let (leaf, id, bytes, erased): (i64, [u8; 32], Vec<u8>, bool) = read().map_err(failed)?;
            let class = if erased {
                NO_CLASS
            } else {
                let id = RecordId(id);
                let record = Verified::from_own_store(bytes.clone());
                let record = record.map_err(|reason| damaged(Part::Record(id), reason.name()))?;
                self.refer(record.header(), leaf)?;
                self.class_number(record.header())?
            };
            self.execute("INSERT INTO record VALUES (?, ?, ?, ?)", params![leaf, id, class, bytes])?;
        }
        drop(rows);
        drop(statement);
        self.execute("DROP TABLE record_1", [])?;
        self.fold_again()
    }
}
