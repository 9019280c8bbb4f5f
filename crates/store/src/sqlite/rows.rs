//! Rows of views: written, read, and folded again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use mufakat_record::RecordId;
use mufakat_views::{Row, RowChange, Rows, RowsUnavailable};
use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};

use super::pages::list;
use super::{Sqlite, clamped, damaged, int, uint};
use crate::{ClassNumber, Error, NO_CLASS, Page, Part};

/// Stands around each facet, so that one can be found among others. No facet has it inside.
pub(super) const SEPARATOR: char = '\u{1f}';

/// A store as it was when a leaf was added: a fold sees no record that came later, whether or not it is there by now. The rows
/// may stand in another store than the records.
pub(super) struct UpTo<'a, Mode> {
    pub(super) rows: &'a Sqlite<Mode>,
    pub(super) records: &'a Sqlite<Mode>,
    pub(super) leaf: u64,
}

impl<Mode> Rows for UpTo<'_, Mode> {
    fn row(&self, view: &'static str, key: &[u8]) -> Result<Option<Row>, RowsUnavailable> {
        self.rows.row(view, key)
    }

    fn leaf_of(&self, record: &RecordId) -> Result<Option<u64>, RowsUnavailable> {
        Ok(self.records.leaf_of(record)?.filter(|leaf| *leaf <= self.leaf))
    }

    fn rows(
        &self,
        view: &'static str,
        prefix: &[u8],
        facet: Option<(&'static str, &str)>,
    ) -> Result<Vec<Row>, RowsUnavailable> {
        self.rows.rows(view, prefix, facet)
    }
}

impl<Mode> Rows for Sqlite<Mode> {
    fn row(&self, view: &'static str, key: &[u8]) -> Result<Option<Row>, RowsUnavailable> {
        self.read_row(view, key).map_err(not_now)
    }

    fn leaf_of(&self, record: &RecordId) -> Result<Option<u64>, RowsUnavailable> {
        self.came_at(record).map_err(not_now)
    }

    fn rows(
        &self,
        view: &'static str,
        prefix: &[u8],
        facet: Option<(&'static str, &str)>,
    ) -> Result<Vec<Row>, RowsUnavailable> {
        let mut select = match facet {
            Some(facet) => Select::listed(view, list(view, Some(facet))),
            None => Select::of(view),
        };
        select.and("k.key >= ?", Value::Blob(prefix.to_vec()));
        if let Some(end) = after_prefix(prefix) {
            select.and("k.key < ?", Value::Blob(end));
        }
        let mut rows = select.rows(self, "ORDER BY k.key").map_err(not_now)?;
        if let Some((name, value)) = facet {
            let value = plain(value);
            rows.retain(|row| row.facets.iter().any(|(n, v)| *n == name && *v == value));
        }
        Ok(rows)
    }
}

impl<Mode> Sqlite<Mode> {
    pub(super) fn page(&self, page: &Page<'_>) -> Result<Vec<Row>, Error> {
        if page.classes.is_some() || !page.facets.is_empty() {
            return self.merged(page);
        }
        let mut select = Select::of(page.view);
        if let Some(after) = page.after {
            let beyond = if page.newest_first { "k.key < ?" } else { "k.key > ?" };
            select.and(beyond, Value::Blob(after.to_vec()));
        }
        select.values.push(Value::Integer(clamped(page.limit as u64)));
        select.rows(self, if page.newest_first { "ORDER BY k.key DESC LIMIT ?" } else { "ORDER BY k.key LIMIT ?" })
    }

    pub(super) fn read_row(&self, view: &'static str, key: &[u8]) -> Result<Option<Row>, Error> {
        let sql = "SELECT k.key, r.time_ms, r.record, r.facets, r.body
            FROM view_key k JOIN view_row r ON r.number = k.number WHERE k.view = ? AND k.key = ?";
        self.one(sql, params![view, key], Raw::read)?.map(|raw| raw.row(view)).transpose()
    }

    /// The leaf with which a record came or was authored.
    pub(super) fn came_at(&self, record: &RecordId) -> Result<Option<u64>, Error> {
        self.one("SELECT leaf FROM record WHERE id = ?", [&record.0], |row| row.get(0).map(uint))
    }

    /// Writes what a fold gave.
    pub(super) fn write_row(&self, change: &RowChange, class: ClassNumber) -> Result<(), Error> {
        match change {
            RowChange::Put(row) => self.put_row(row, class),
            RowChange::Delete { view, key } => self.delete_row(view, key),
        }
    }

    /// The class of the row that a fold gave when it saw a leaf.
    pub(super) fn row_class(&self, change: &RowChange, leaf: u64) -> Result<ClassNumber, Error> {
        match change {
            RowChange::Put(row) => self.record_class(&row.record, leaf),
            RowChange::Delete { .. } => Ok(NO_CLASS),
        }
    }

    /// Writes a row, in place of the one with its key if there is one.
    pub(super) fn put_row(&self, row: &Row, class: ClassNumber) -> Result<(), Error> {
        let old = self.blank_row(row.view, &row.key)?;
        let facets = facets(row);
        self.insert_row(row, class, &facets)?;
        let new = Listed { class, facets: facets.into_bytes() };
        self.list_anew(row.view, &row.key, old.as_ref(), Some(&new))
    }

    /// Takes a row away.
    pub(super) fn delete_row(&self, view: &str, key: &[u8]) -> Result<(), Error> {
        let old = self.blank_row(view, key)?;
        self.list_anew(view, key, old.as_ref(), None)?;
        self.execute("DELETE FROM view_key WHERE view = ? AND key = ?", params![view, key]).map(drop)
    }

    /// Overwrites the content of a row where it stands; tells by what it was listed.
    fn blank_row(&self, view: &str, key: &[u8]) -> Result<Option<Listed>, Error> {
        let sql = "SELECT r.number, r.class, r.facets
            FROM view_key k JOIN view_row r ON r.number = k.number WHERE k.view = ? AND k.key = ?";
        let old = self.one(sql, params![view, key], |row| {
            Ok((row.get::<_, i64>(0)?, Listed { class: row.get(1)?, facets: row.get(2)? }))
        })?;
        if let Some((number, _)) = &old {
            let blank = "UPDATE view_row SET facets = zeroblob(length(facets)), body = zeroblob(length(body))
                WHERE number = ?";
            self.execute(blank, [number])?;
        }
        Ok(old.map(|(_, listed)| listed))
    }

    /// Writes a row and lets its key point to it; the lists are the caller's to write.
    pub(super) fn insert_row(&self, row: &Row, class: ClassNumber, facets: &str) -> Result<(), Error> {
        let body = row.body.to_string();
        let values = params![class, int(row.time_ms), row.record.0, facets.as_bytes(), body.as_bytes()];
        let sql = "INSERT INTO view_row (class, time_ms, record, facets, body) VALUES (?, ?, ?, ?, ?)";
        self.execute(sql, values)?;
        let number = self.connection.last_insert_rowid();
        let sql = "INSERT INTO view_key VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = excluded.number";
        self.execute(sql, params![row.view, row.key, number]).map(drop)
    }

    /// Brings the lists in which a row's key stands from what the row was to what it is.
    fn list_anew(&self, view: &str, key: &[u8], old: Option<&Listed>, new: Option<&Listed>) -> Result<(), Error> {
        if old == new {
            return Ok(());
        }
        let (old, new) = (
            old.map_or_else(BTreeSet::new, |row| row.lists(view)),
            new.map_or_else(BTreeSet::new, |row| row.lists(view)),
        );
        for (facet, class) in old.difference(&new) {
            let sql = "DELETE FROM view_facet WHERE facet = ? AND class = ? AND key = ?";
            self.execute(sql, params![facet, class, key])?;
        }
        for (facet, class) in new.difference(&old) {
            self.execute("INSERT INTO view_facet VALUES (?, ?, ?)", params![facet, class, key])?;
        }
        Ok(())
    }
}

/// By what a row is listed.
#[derive(PartialEq, Eq)]
struct Listed {
    class: ClassNumber,
    facets: Vec<u8>,
}

impl Listed {
    /// The lists in which the row's key stands, each with the class.
    fn lists(&self, view: &str) -> BTreeSet<(i64, ClassNumber)> {
        // What a row is listed by was written by us as text.
        let facets = String::from_utf8_lossy(&self.facets);
        let lists = facets_of(&facets).map(|facet| list(view, Some(facet))).chain([list(view, None)]);
        lists.map(|list| (list, self.class)).collect()
    }
}

impl Sqlite {
    pub(super) fn fold_again(&self) -> Result<(), Error> {
        self.execute("DELETE FROM view_row", [])?;
        self.execute("DELETE FROM view_key", [])?;
        self.execute("DELETE FROM view_facet", [])?;
        self.fold_all()
    }
}

/// A question for rows of one view.
struct Select {
    sql: String,
    values: Vec<Value>,
    view: &'static str,
}

impl Select {
    fn of(view: &'static str) -> Self {
        let sql = "SELECT k.key, r.time_ms, r.record, r.facets, r.body
            FROM view_key k JOIN view_row r ON r.number = k.number WHERE k.view = ?";
        Self { sql: sql.to_owned(), values: vec![Value::Text(view.to_owned())], view }
    }

    /// Only the rows whose keys are in a list, whatever their class.
    fn listed(view: &'static str, list: i64) -> Self {
        let sql = "SELECT k.key, r.time_ms, r.record, r.facets, r.body
            FROM view_facet f JOIN view_key k ON k.view = ? AND k.key = f.key JOIN view_row r ON r.number = k.number
            WHERE f.facet = ?";
        Self { sql: sql.to_owned(), values: vec![Value::Text(view.to_owned()), Value::Integer(list)], view }
    }

    fn and(&mut self, condition: &str, value: Value) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value);
    }

    fn rows<Mode>(mut self, store: &Sqlite<Mode>, rest: &str) -> Result<Vec<Row>, Error> {
        self.sql.push(' ');
        self.sql.push_str(rest);
        let raw = store.all(&self.sql, params_from_iter(self.values), Raw::read)?;
        raw.into_iter().map(|raw| raw.row(self.view)).collect()
    }
}

/// A row as it is stored.
struct Raw {
    key: Vec<u8>,
    time_ms: i64,
    record: [u8; 32],
    facets: Vec<u8>,
    body: Vec<u8>,
}

impl Raw {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { key: row.get(0)?, time_ms: row.get(1)?, record: row.get(2)?, facets: row.get(3)?, body: row.get(4)? })
    }

    fn row(self, view: &'static str) -> Result<Row, Error> {
        let wrong = |what: &str| damaged(Part::View(view.to_owned()), format!("row {}: {what}", Hex(&self.key)));
        let facets = std::str::from_utf8(&self.facets).map_err(|_| wrong("its facets are no text"))?;
        let facets = facets.split(SEPARATOR).filter(|facet| !facet.is_empty());
        let facets = facets.map(|facet| facet.split_once('=').map(|(name, value)| (known(name), value.to_owned())));
        let facets = facets.collect::<Option<Vec<_>>>().ok_or_else(|| wrong("a facet has no name"))?;
        let body = serde_json::from_slice(&self.body).map_err(|_| wrong("its body is not JSON"))?;
        Ok(Row { view, time_ms: uint(self.time_ms), record: RecordId(self.record), facets, body, key: self.key })
    }
}

/// Bytes in hexadecimal.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(super) fn facets(row: &Row) -> String {
    let mut text = String::new();
    for (name, value) in &row.facets {
        text.push(SEPARATOR);
        text.push_str(name);
        text.push('=');
        text.push_str(&plain(value));
    }
    if !text.is_empty() {
        text.push(SEPARATOR);
    }
    text
}

/// The names and values in what [`facets`] gave.
pub(super) fn facets_of(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(SEPARATOR).filter_map(|facet| facet.split_once('='))
}

/// A facet's value without the separator, which nothing that people read has in it.
pub(super) fn plain(value: &str) -> String {
    value.replace(SEPARATOR, " ")
}

/// The first key after all those that begin with the prefix; none if there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// A facet's name that lives as long as the program. Views name their facets in their code, so there are few.
fn known(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    // A set of names is sound whoever panicked while holding it.
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = name.to_owned().leak();
    names.insert(name);
    name
}

pub(super) fn not_now(error: Error) -> RowsUnavailable {
    RowsUnavailable(error.to_string())
}
