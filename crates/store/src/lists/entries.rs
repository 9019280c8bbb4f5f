//! The holder's list: what an entry is, its limits, and how it is read.

use rusqlite::{Params, Row, Rows, params};

use super::number::{NEVER, Status, from_small, from_wide, from_wide_or_never, wide};
use super::{Error, Lists, damaged, length};
use crate::sqlite::{clamped, uint};

/// How many entries there may be, with those that are removed and not purged. There are 16,777,216 handles, and at random one
/// that is free must be found soon.
pub const ENTRIES_MAX: u64 = 15_000_000;
/// How many entries are put or removed at once. In a list of millions, each transaction changes most pages of the indices; so an
/// import that puts as many as this at once is twice as fast as one that puts a fifth.
pub const ENTRIES_AT_ONCE_MAX: usize = 50_000;
/// How many entries a page has at most.
pub const PAGE_MAX: usize = 10_000;
/// How many subjects there may be.
pub const SUBJECTS_MAX: usize = 64;
/// How long the name of a subject may be, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 40;
/// How long a canonical form may be, in bytes.
pub const CANONICAL_BYTES_MAX: usize = 256;
/// How long a note may be, in bytes.
pub const NOTE_BYTES_MAX: usize = 1_000;
/// The greatest category that a label has room for; 31 says that the entry is removed.
pub const CATEGORY_MAX: u8 = 30;
/// The greatest marking that a label has room for.
pub const TLP_MAX: u8 = 7;

/// What is read of an entry, from `entry e` and `subject s`.
const COLUMNS: &str = "s.name, e.handle, e.status, e.category, e.tlp, e.change, e.expires, e.canonical, e.note";

/// An entry that is to be on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEntry<'a> {
    /// The name of the type of what is listed, such as `passport` or `name`.
    pub subject: &'a str,
    /// Its canonical form.
    pub canonical: &'a str,
    /// The number of its category, at most [`CATEGORY_MAX`].
    pub category: u8,
    /// The number of its marking, at most [`TLP_MAX`].
    pub tlp: u8,
    /// What the holder noted of it, for its own people.
    pub note: Option<&'a str>,
    /// From when it is not to be on the list any more, in seconds since 1970.
    pub expires_s: Option<u64>,
}

impl NewEntry<'_> {
    pub(super) fn check(&self) -> Result<(), Error> {
        length("the subject", self.subject, SUBJECT_BYTES_MAX)?;
        length("the canonical form", self.canonical, CANONICAL_BYTES_MAX)?;
        self.note.map_or(Ok(()), |note| length("the note", note, NOTE_BYTES_MAX))?;
        let (category, tlp) = (self.category, self.tlp);
        if category > CATEGORY_MAX || tlp > TLP_MAX { Err(Error::NoLabel { category, tlp }) } else { Ok(()) }
    }
}

/// An entry on the list, or one that was taken off it and not purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of the type of what is listed.
    pub subject: String,
    /// Its canonical form.
    pub canonical: String,
    /// The number of its category.
    pub category: u8,
    /// The number of its marking.
    pub tlp: u8,
    /// By what a partner that had a hit names it: 24 bits at random, which it keeps until it is purged.
    pub handle: u32,
    /// What the holder noted of it.
    pub note: Option<String>,
    /// From when it is not to be on the list any more, in seconds since 1970.
    pub expires_s: Option<u64>,
    /// The change that made it what partners are told of it.
    pub change: u64,
    /// Whether it was taken off the list.
    pub removed: bool,
}

/// What was done with entries that were put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Put {
    /// Entries that were not on the list.
    pub new: usize,
    /// Entries that were on it otherwise.
    pub changed: usize,
    /// Entries that were on it just so.
    pub same: usize,
}

/// How many entries of a category are on the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// The name of the type of what is listed.
    pub subject: String,
    /// The number of the category.
    pub category: u8,
    /// How many.
    pub count: u64,
}

impl Lists {
    /// The number of the last change; 0 before the first. Numbers are never given twice.
    pub fn last_change(&self) -> Result<u64, Error> {
        Ok(self.connection.query_row("SELECT changed FROM mark", [], |row| row.get(0).map(uint))?)
    }

    /// The entry on the list about this.
    pub fn find(&self, subject: &str, canonical: &str) -> Result<Option<Entry>, Error> {
        let sql = "FROM known k JOIN entry e USING (number) JOIN subject s ON s.number = e.subject
            WHERE k.key = ? AND s.name = ? AND e.canonical = ? AND e.status = 2";
        self.one(sql, params![key(subject, canonical), subject, canonical.as_bytes()])
    }

    /// The entry with this handle, also when it was taken off the list and not purged.
    pub fn by_handle(&self, handle: u32) -> Result<Option<Entry>, Error> {
        let sql = "FROM handle h JOIN entry e USING (number) JOIN subject s ON s.number = e.subject WHERE h.handle = ?";
        self.one(sql, [handle])
    }

    /// Entries on the list that are not to be there any more now, at most `limit`, those first whose time came first. They are
    /// to be [removed](Lists::remove).
    pub fn expired(&self, now_s: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        // That one may not expire is said again, so that the index of those that do serves.
        let sql = format!(
            "FROM entry e JOIN subject s ON s.number = e.subject
            WHERE e.expires <> {NEVER} AND e.expires <= ? AND e.status = 2 ORDER BY e.expires LIMIT ?"
        );
        self.all(&sql, params![wide(now_s), clamped(limit.min(PAGE_MAX) as u64)])
    }

    /// How many entries are on the list, by subject and category.
    pub fn counts(&self) -> Result<Vec<Count>, Error> {
        let sql = "SELECT s.name, c.category, c.count FROM count c JOIN subject s ON s.number = c.subject
            WHERE c.count > 0 ORDER BY s.name, c.category";
        let mut statement = self.connection.prepare_cached(sql)?;
        let counts = statement
            .query_map([], |row| Ok(Count { subject: row.get(0)?, category: row.get(1)?, count: uint(row.get(2)?) }))?;
        Ok(counts.collect::<Result<_, _>>()?)
    }

    /// Goes through all entries of a subject that became what they are after a change, in the order of their changes, with those
    /// that were taken off the list: what a partner is to be told that was told everything up to that change.
    pub fn each(&self, subject: &str, since_change: u64, mut each: impl FnMut(&Entry)) -> Result<(), Error> {
        let sql = "FROM subject s JOIN entry e ON e.subject = s.number
            WHERE s.name = ? AND e.change > ? AND e.status < 4 ORDER BY e.change";
        self.rows(sql, params![subject, wide(since_change)], |rows| {
            while let Some(row) = rows.next()? {
                each(&entry(row)?);
            }
            Ok(())
        })
    }

    fn one(&self, from: &str, values: impl Params) -> Result<Option<Entry>, Error> {
        self.rows(from, values, |rows| rows.next()?.map(entry).transpose())
    }

    fn all(&self, from: &str, values: impl Params) -> Result<Vec<Entry>, Error> {
        self.rows(from, values, |rows| {
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                entries.push(entry(row)?);
            }
            Ok(entries)
        })
    }

    fn rows<T>(
        &self,
        from: &str,
        values: impl Params,
        read: impl FnOnce(&mut Rows<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut statement = self.connection.prepare_cached(&format!("SELECT {COLUMNS} {from}"))?;
        read(&mut statement.query(values)?)
    }
}

/// By what an entry is found. Two may have the same, so what they are about is compared, too.
pub(super) fn key(subject: &str, canonical: &str) -> i64 {
    let hash = mufakat_record::sha256(&[subject.as_bytes(), &[0x1f], canonical.as_bytes()].concat());
    i64::from_be_bytes(std::array::from_fn(|at| hash[at]))
}

fn entry(row: &Row<'_>) -> Result<Entry, Error> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| damaged("an entry is no text"));
    let status: u8 = row.get(2)?;
    let removed = status == Status::Removed as u8;
    let note: Option<Vec<u8>> = if removed { None } else { row.get(8)? };
    Ok(Entry {
        subject: row.get(0)?,
        handle: row.get(1)?,
        category: from_small(row.get(3)?)?,
        tlp: from_small(row.get(4)?)?,
        change: from_wide(row.get(5)?)?,
        expires_s: from_wide_or_never(row.get(6)?)?,
        canonical: text(row.get(7)?)?,
        note: note.map(text).transpose()?,
        removed,
    })
}
