//! Rows of views: written, read, and folded again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use mufakat_exchange::What;
use mufakat_record::{RecordId, Verified};
use mufakat_views::{Row, RowChange, Rows, RowsUnavailable};
use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};

use super::{Sqlite, clamped, damaged, int, uint};
use crate::{Error, Page, Part};

/// Stands around each facet, so that one can be found among others. No facet has it inside.
const SEPARATOR: char = '\u{1f}';

/// A store as it was when a leaf was added: a fold sees no record that came later, whether or not it is there by now.
pub(super) struct UpTo<'a, Mode> {
    pub(super) store: &'a Sqlite<Mode>,
    pub(super) leaf: u64,
}

impl<Mode> Rows for UpTo<'_, Mode> {
    fn row(&self, view: &'static str, key: &[u8]) -> Result<Option<Row>, RowsUnavailable> {
        self.store.row(view, key)
    }

    fn leaf_of(&self, record: &RecordId) -> Result<Option<u64>, RowsUnavailable> {
        Ok(self.store.leaf_of(record)?.filter(|leaf| *leaf <= self.leaf))
    }

    fn rows(
        &self,
        view: &'static str,
        prefix: &[u8],
        facet: Option<(&'static str, &str)>,
    ) -> Result<Vec<Row>, RowsUnavailable> {
        self.store.rows(view, prefix, facet)
    }
}

impl<Mode> Rows for Sqlite<Mode> {
    fn row(&self, view: &'static str, key: &[u8]) -> Result<Option<Row>, RowsUnavailable> {
        let sql = "SELECT k.key, r.time_ms, r.record, r.facets, r.body
            FROM view_key k JOIN view_row r ON r.number = k.number WHERE k.view = ? AND k.key = ?";
        let raw = self.one(sql, params![view, key], Raw::read).map_err(not_now)?;
        raw.map(|raw| raw.row(view)).transpose().map_err(not_now)
    }

    fn leaf_of(&self, record: &RecordId) -> Result<Option<u64>, RowsUnavailable> {
        let leaf = self.one("SELECT leaf FROM record WHERE id = ?", [&record.0], |row| row.get(0));
        Ok(leaf.map_err(not_now)?.map(uint))
    }

    fn rows(
        &self,
        view: &'static str,
        prefix: &[u8],
        facet: Option<(&'static str, &str)>,
    ) -> Result<Vec<Row>, RowsUnavailable> {
        let mut select = Select::of(view);
        select.and("k.key >= ?", Value::Blob(prefix.to_vec()));
        if let Some(end) = after_prefix(prefix) {
            select.and("k.key < ?", Value::Blob(end));
        }
        if let Some((name, value)) = facet {
            select.facet(name, value);
        }
        select.rows(self, "ORDER BY k.key").map_err(not_now)
    }
}

impl<Mode> Sqlite<Mode> {
    pub(super) fn page(&self, page: &Page<'_>) -> Result<Vec<Row>, Error> {
        let mut select = Select::of(page.view);
        if let Some(after) = page.after {
            let beyond = if page.newest_first { "k.key < ?" } else { "k.key > ?" };
            select.and(beyond, Value::Blob(after.to_vec()));
        }
        for (name, value) in page.facets {
            select.facet(name, value);
        }
        select.values.push(Value::Integer(clamped(page.limit as u64)));
        select.rows(self, if page.newest_first { "ORDER BY k.key DESC LIMIT ?" } else { "ORDER BY k.key LIMIT ?" })
    }

    /// Writes what a fold gave. The content of a row that it replaces or deletes is overwritten where it stands.
    pub(super) fn write_row(&self, change: &RowChange) -> Result<(), Error> {
        let (view, key) = match change {
            RowChange::Put(row) => (row.view, &row.key),
            RowChange::Delete { view, key } => (*view, key),
        };
        let blank = "UPDATE view_row SET facets = zeroblob(length(facets)), body = zeroblob(length(body))
            WHERE number = (SELECT number FROM view_key WHERE view = ? AND key = ?)";
        self.execute(blank, params![view, key])?;
        let RowChange::Put(row) = change else {
            return self.execute("DELETE FROM view_key WHERE view = ? AND key = ?", params![view, key]).map(drop);
        };
        let (facets, body) = (facets(row), row.body.to_string());
        let values = params![int(row.time_ms), row.record.0, facets.as_bytes(), body.as_bytes()];
        self.execute("INSERT INTO view_row (time_ms, record, facets, body) VALUES (?, ?, ?, ?)", values)?;
        let number = self.connection.last_insert_rowid();
        let sql = "INSERT INTO view_key VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = excluded.number";
        self.execute(sql, params![view, key, number]).map(drop)
    }
}

impl Sqlite {
    pub(super) fn fold_again(&self) -> Result<(), Error> {
        self.execute("DELETE FROM view_row", [])?;
        self.execute("DELETE FROM view_key", [])?;
        self.fold_all()
    }
}

impl<Mode> Sqlite<Mode> {
    /// Folds every leaf with its record into empty tables.
    pub(super) fn fold_all(&self) -> Result<(), Error> {
        let sql = "SELECT l.number, l.what, l.at_ms, l.subject, l.detail, l.salt, r.bytes FROM leaf l
            LEFT JOIN record r ON l.what IN (1, 2, 3) AND r.id = l.subject
                AND NOT EXISTS (SELECT 1 FROM erased e WHERE e.leaf = r.leaf)
            ORDER BY l.number";
        let mut statement = self.connection.prepare(sql).map_err(super::failed)?;
        let mut leaves = statement.query([]).map_err(super::failed)?;
        while let Some(row) = leaves.next().map_err(super::failed)? {
            let index = uint(row.get(0).map_err(super::failed)?);
            let leaf = super::read::leaf(index, row)?;
            let bytes: Option<Vec<u8>> = row.get(6).map_err(super::failed)?;
            let record = bytes.filter(|_| matches!(leaf.what, What::Authored | What::Received | What::Receipt));
            let id = RecordId(leaf.subject.0);
            let record = record
                .map(Verified::from_own_store)
                .transpose()
                .map_err(|reason| damaged(Part::Record(id), reason.name()))?;
            self.fold_leaf(index, &leaf, record.as_ref())?;
        }
        Ok(())
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

    fn and(&mut self, condition: &str, value: Value) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value);
    }

    fn facet(&mut self, name: &str, value: &str) {
        let wanted = format!("{SEPARATOR}{name}={}{SEPARATOR}", plain(value));
        self.and("instr(r.facets, ?) > 0", Value::Blob(wanted.into_bytes()));
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

fn facets(row: &Row) -> String {
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

/// A facet's value without the separator, which nothing that people read has in it.
fn plain(value: &str) -> String {
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

fn not_now(error: Error) -> RowsUnavailable {
    RowsUnavailable(error.to_string())
}
