//! How the holder's list changes: entries are put, removed, and purged when every partner was told.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::entries::key;
use super::number::{NEVER, Status, small, wide, wide_or_never};
use super::{ENTRIES_AT_ONCE_MAX, ENTRIES_MAX, Error, Lists, NewEntry, Put, SUBJECTS_MAX, at_most, damaged};
use crate::sqlite::{clamped, uint};

/// The length of a handle in bytes.
const HANDLE_BYTES: usize = 3;
/// How many handles are drawn at once.
const HANDLES_DRAWN: usize = 256;
/// How often a handle is drawn for one entry. When as many are taken as [`ENTRIES_MAX`] allows, a thousand times in vain happens
/// by chance once in 10^48 entries; otherwise the source is not random.
const DRAWS_MAX: usize = 1_000;

impl Lists {
    /// Puts entries on the list, all or none: at most [`ENTRIES_AT_ONCE_MAX`]. One about the same as an entry that is there takes
    /// its place and keeps its handle; only if its category or marking is another is it a change that partners are told of. Gives
    /// what was done with how many. `random` gives the handles of new ones.
    pub fn put(&mut self, entries: &[NewEntry<'_>], random: &mut impl FnMut(&mut [u8])) -> Result<Put, Error> {
        at_most("entries at once", entries.len(), ENTRIES_AT_ONCE_MAX)?;
        entries.iter().try_for_each(NewEntry::check)?;
        let transaction = self.begin()?;
        let mut change = Change::begin(&transaction)?;
        let mut handles = Handles { random, drawn: [0; HANDLE_BYTES * HANDLES_DRAWN], left: 0 };
        let mut put = Put::default();
        for entry in entries {
            let (subject, key) = (change.subject(entry.subject)?, key(entry.subject, entry.canonical));
            match change.held(subject, key, entry.canonical)? {
                None => {
                    change.add(subject, key, entry, &mut handles)?;
                    put.new += 1;
                }
                Some(held) if held.is(entry) => put.same += 1,
                Some(held) => {
                    if held.status == Status::Listed {
                        put.changed += 1
                    } else {
                        put.new += 1
                    }
                    change.replace(subject, key, &held, entry)?;
                }
            }
        }
        change.finish()?;
        transaction.commit()?;
        Ok(put)
    }

    /// Takes entries off the list, each by its subject and canonical form, all or none: at most [`ENTRIES_AT_ONCE_MAX`]. Gives how
    /// many of them were on it. They are kept, without their notes, until they are [purged](Self::purge_removed).
    pub fn remove(&mut self, about: &[(&str, &str)]) -> Result<usize, Error> {
        at_most("entries at once", about.len(), ENTRIES_AT_ONCE_MAX)?;
        let transaction = self.begin()?;
        let mut change = Change::begin(&transaction)?;
        let mut removed = 0;
        for (subject, canonical) in about {
            let Some(number) = change.subjects.get(*subject).copied() else { continue };
            let held = change.held(number, key(subject, canonical), canonical)?;
            if let Some(held) = held.filter(|held| held.status == Status::Listed) {
                change.remove(number, &held)?;
                removed += 1;
            }
        }
        change.finish()?;
        transaction.commit()?;
        Ok(removed)
    }

    /// Erases what was taken off the list up to a change, which every partner was [told](Self::told_through), and gives how much
    /// that was.
    pub fn purge_removed(&mut self, through_change: u64) -> Result<usize, Error> {
        let mut purged = 0;
        loop {
            let transaction = self.begin()?;
            let mut change = Change::begin(&transaction)?;
            let some = change.purge(through_change)?;
            change.finish()?;
            transaction.commit()?;
            purged += some;
            if some < ENTRIES_AT_ONCE_MAX {
                break;
            }
        }
        // Also when there was nothing to erase: that which was erased before a crash may still be in the log.
        self.scrub()?;
        Ok(purged)
    }
}

/// What is there about something.
struct Held {
    number: i64,
    handle: u32,
    status: Status,
    /// As they are stored.
    category: u8,
    tlp: u8,
    change: i64,
    expires: i64,
    note: Option<Vec<u8>>,
}

impl Held {
    /// Whether a partner would be told the same.
    fn is_labelled(&self, entry: &NewEntry<'_>) -> bool {
        self.status == Status::Listed && self.category == small(entry.category) && self.tlp == small(entry.tlp)
    }

    fn is(&self, entry: &NewEntry<'_>) -> bool {
        self.is_labelled(entry)
            && self.expires == wide_or_never(entry.expires_s)
            && self.note.as_deref() == entry.note.map(str::as_bytes)
    }
}

/// Handles at random, drawn many at a time.
struct Handles<'a, R> {
    random: &'a mut R,
    drawn: [u8; HANDLE_BYTES * HANDLES_DRAWN],
    left: usize,
}

impl<R: FnMut(&mut [u8])> Handles<'_, R> {
    fn draw(&mut self) -> u32 {
        if self.left == 0 {
            (self.random)(&mut self.drawn);
            self.left = HANDLES_DRAWN;
        }
        self.left -= 1;
        let [a, b, c] = self.drawn.as_chunks::<HANDLE_BYTES>().0[self.left];
        u32::from_be_bytes([0, a, b, c])
    }
}

/// A change of the list within a transaction.
struct Change<'c> {
    connection: &'c Connection,
    subjects: HashMap<String, i64>,
    changed: u64,
    held: u64,
    /// By how much the counts of entries on the list change, by subject and category.
    counts: BTreeMap<(i64, u8), i64>,
}

impl<'c> Change<'c> {
    fn begin(connection: &'c Connection) -> Result<Self, Error> {
        let mut statement = connection.prepare_cached("SELECT name, number FROM subject")?;
        let subjects = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let mark = |row: &rusqlite::Row<'_>| Ok((uint(row.get(0)?), uint(row.get(1)?)));
        let (changed, held) = connection.query_row("SELECT changed, held FROM mark", [], mark)?;
        Ok(Self { connection, subjects, changed, held, counts: BTreeMap::new() })
    }

    fn finish(self) -> Result<(), Error> {
        let sql = "INSERT INTO count VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count";
        for ((subject, category), by) in self.counts {
            self.connection.prepare_cached(sql)?.execute(params![subject, category, by])?;
        }
        let sql = "UPDATE mark SET changed = ?, held = ?";
        self.connection.prepare_cached(sql)?.execute([clamped(self.changed), clamped(self.held)])?;
        Ok(())
    }

    /// The number of a subject, which it gets if it has none.
    fn subject(&mut self, name: &str) -> Result<i64, Error> {
        if let Some(number) = self.subjects.get(name) {
            return Ok(*number);
        }
        at_most("subjects", self.subjects.len() + 1, SUBJECTS_MAX)?;
        self.connection.execute("INSERT INTO subject (name) VALUES (?)", [name])?;
        let number = self.connection.last_insert_rowid();
        self.subjects.insert(name.to_owned(), number);
        Ok(number)
    }

    fn held(&self, subject: i64, key: i64, canonical: &str) -> Result<Option<Held>, Error> {
        let sql = "SELECT number, e.handle, e.status, e.category, e.tlp, e.change, e.expires, e.note
            FROM known k JOIN entry e USING (number) WHERE k.key = ? AND e.subject = ? AND e.canonical = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let held = statement.query_row(params![key, subject, canonical.as_bytes()], |row| {
            Ok(Held {
                number: row.get(0)?,
                handle: row.get(1)?,
                status: if row.get::<_, u8>(2)? == Status::Listed as u8 { Status::Listed } else { Status::Removed },
                category: row.get(3)?,
                tlp: row.get(4)?,
                change: row.get(5)?,
                expires: row.get(6)?,
                note: row.get(7)?,
            })
        });
        Ok(held.optional()?)
    }

    fn count(&mut self, subject: i64, category: u8, by: i64) {
        *self.counts.entry((subject, category)).or_default() += by;
    }

    fn next(&mut self) -> i64 {
        self.changed += 1;
        wide(self.changed)
    }

    /// Puts what is not there.
    fn add<R: FnMut(&mut [u8])>(
        &mut self,
        subject: i64,
        key: i64,
        entry: &NewEntry<'_>,
        handles: &mut Handles<'_, R>,
    ) -> Result<(), Error> {
        if self.held >= ENTRIES_MAX {
            return Err(Error::TooMany { what: "entries", max: ENTRIES_MAX });
        }
        let sql = "SELECT coalesce(max(number), 0) + 1 FROM entry";
        let number: i64 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let mut claim = self.connection.prepare_cached("INSERT INTO handle VALUES (?, ?) ON CONFLICT DO NOTHING")?;
        let mut draws = (0..DRAWS_MAX).map(|_| handles.draw());
        let handle = loop {
            let handle = draws.next().ok_or(Error::NoHandle)?;
            if claim.execute(params![handle, number])? == 1 {
                break handle;
            }
        };
        drop(claim);
        self.held += 1;
        self.count(subject, entry.category, 1);
        let change = self.next();
        self.write(number, subject, key, handle, change, entry)
    }

    fn write(
        &self,
        number: i64,
        subject: i64,
        key: i64,
        handle: u32,
        change: i64,
        entry: &NewEntry<'_>,
    ) -> Result<(), Error> {
        let (category, tlp) = (small(entry.category), small(entry.tlp));
        let (canonical, note) = (entry.canonical.as_bytes(), entry.note.map(str::as_bytes));
        let expires = wide_or_never(entry.expires_s);
        let status = Status::Listed as u8;
        let values = params![number, subject, handle, status, category, tlp, change, expires, canonical, note];
        self.connection.prepare_cached("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(values)?;
        self.connection.prepare_cached("INSERT INTO known VALUES (?, ?)")?.execute([key, number])?;
        Ok(())
    }

    /// Puts what is there and is otherwise.
    fn replace(&mut self, subject: i64, key: i64, held: &Held, entry: &NewEntry<'_>) -> Result<(), Error> {
        let change = if held.is_labelled(entry) { held.change } else { self.next() };
        if held.status == Status::Listed {
            self.count(subject, super::number::from_small(held.category)?, -1);
        }
        self.count(subject, entry.category, 1);
        let note = entry.note.map(str::as_bytes);
        if held.note.as_ref().map(Vec::len) == note.map(<[u8]>::len) {
            let sql = "UPDATE entry SET status = ?, category = ?, tlp = ?, change = ?, expires = ?, note = ?
                WHERE number = ?";
            let (category, tlp) = (small(entry.category), small(entry.tlp));
            let expires = wide_or_never(entry.expires_s);
            let values = params![Status::Listed as u8, category, tlp, change, expires, note, held.number];
            self.connection.prepare_cached(sql)?.execute(values)?;
            return Ok(());
        }
        // A row that would be of another length is written at the end, and where it was it is blank.
        self.blank(held.number, key)?;
        let sql = "SELECT max(number) + 1 FROM entry";
        let number: i64 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let sql = "UPDATE handle SET number = ? WHERE handle = ?";
        self.connection.prepare_cached(sql)?.execute(params![number, held.handle])?;
        self.write(number, subject, key, held.handle, change, entry)
    }

    fn remove(&mut self, subject: i64, held: &Held) -> Result<(), Error> {
        self.count(subject, super::number::from_small(held.category)?, -1);
        let sql = "UPDATE entry SET status = ?, change = ?, expires = ?,
            note = iif(note IS NULL, NULL, zeroblob(length(note))) WHERE number = ?";
        let values = params![Status::Removed as u8, self.next(), NEVER, held.number];
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Overwrites an entry with zeroes; it cannot be found any more.
    fn blank(&self, number: i64, key: i64) -> Result<(), Error> {
        let sql = "UPDATE entry SET status = ?, category = ?, tlp = ?, change = ?, expires = ?,
            canonical = zeroblob(length(canonical)), note = iif(note IS NULL, NULL, zeroblob(length(note)))
            WHERE number = ?";
        let values = params![Status::Blank as u8, small(0), small(0), wide(0), NEVER, number];
        self.connection.prepare_cached(sql)?.execute(values)?;
        self.connection.prepare_cached("DELETE FROM known WHERE key = ? AND number = ?")?.execute([key, number])?;
        Ok(())
    }

    /// Erases some of what was removed up to a change, and gives how much that was.
    fn purge(&mut self, through: u64) -> Result<usize, Error> {
        let sql = "SELECT e.number, e.handle, s.name, e.canonical FROM entry e JOIN subject s ON s.number = e.subject
            WHERE e.status = 3 AND e.change <= ? ORDER BY e.change LIMIT ?";
        let removed: Vec<(i64, u32, String, Vec<u8>)> = self
            .connection
            .prepare_cached(sql)?
            .query_map(params![wide(through), clamped(ENTRIES_AT_ONCE_MAX as u64)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<Result<_, _>>()?;
        for (number, handle, subject, canonical) in &removed {
            let canonical = std::str::from_utf8(canonical).map_err(|_| damaged("an entry is no text"))?;
            self.blank(*number, key(subject, canonical))?;
            self.connection.prepare_cached("DELETE FROM handle WHERE handle = ?")?.execute([handle])?;
        }
        self.held = self.held.saturating_sub(removed.len() as u64);
        Ok(removed.len())
    }
}
