//! Views folded from nothing: every leaf with its record, in order. Rows stay in memory until there are many, because a row that
//! changes does so soon, and because rows and lists are written faster in the order of their keys.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use mufakat_exchange::{Leaf, What};
use mufakat_record::{RecordId, Verified};
use mufakat_views::{Row, RowChange, Rows, RowsUnavailable};
use rusqlite::params;

use super::pages::list;
use super::rows::{facets, facets_of, not_now, plain};
use super::{Sqlite, damaged, failed, uint};
use crate::{ClassNumber, Error, NO_CLASS, Part};

/// How many rows are held in memory before they are written.
const ROWS_HELD_MAX: usize = 8_192;
/// How many lists' numbers are kept in memory.
const LISTS_KNOWN_MAX: usize = 8_192;

impl<Mode> Sqlite<Mode> {
    /// Folds every leaf with its record into empty tables.
    pub(super) fn fold_all(&self) -> Result<(), Error> {
        let mut folding = Folding::into_nothing(self);
        // A record mostly stands at the leaf that tells of it, which is found without looking for its id.
        let sql = "SELECT l.number, l.what, l.at_ms, l.subject, l.detail, l.salt, r.bytes, r.class FROM leaf l
            LEFT JOIN record r ON r.leaf = l.number AND r.id = l.subject
                AND NOT EXISTS (SELECT 1 FROM erased e WHERE e.leaf = r.leaf)
            ORDER BY l.number";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut leaves = statement.query([]).map_err(failed)?;
        while let Some(row) = leaves.next().map_err(failed)? {
            let index = uint(row.get(0).map_err(failed)?);
            let leaf = super::read::leaf(index, row)?;
            let held = row.get::<_, Option<Vec<u8>>>(6).map_err(failed)?;
            let held = match held {
                Some(bytes) => Some((index, row.get(7).map_err(failed)?, bytes)),
                None => self.told_again(&leaf)?,
            };
            let of_record = matches!(leaf.what, What::Authored | What::Received | What::Receipt);
            let record = held.filter(|_| of_record).map(|(came, class, bytes)| {
                let record = Verified::from_own_store(bytes);
                let record = record.map_err(|reason| damaged(Part::Record(RecordId(leaf.subject.0)), reason.name()))?;
                self.classes.borrow_mut().remember(record.id(), came, class);
                Ok::<_, Error>(record)
            });
            let record = record.transpose()?;
            let folded = folding.fold(index, &leaf, record.as_ref());
            self.classes.borrow_mut().forget_records();
            folded?;
        }
        folding.write()
    }

    /// The record of a leaf that tells of one which came with an earlier leaf.
    fn told_again(&self, leaf: &Leaf) -> Result<Option<(u64, ClassNumber, Vec<u8>)>, Error> {
        if !matches!(leaf.what, What::Authored | What::Received | What::Receipt) {
            return Ok(None);
        }
        let sql = "SELECT r.leaf, r.class, r.bytes FROM record r
            WHERE r.id = ? AND NOT EXISTS (SELECT 1 FROM erased e WHERE e.leaf = r.leaf)";
        self.one(sql, [&leaf.subject.0], |row| Ok((uint(row.get(0)?), row.get(1)?, row.get(2)?)))
    }
}

/// A view and a key.
type Place = (&'static str, Vec<u8>);

/// A row that is not written yet.
struct Held {
    row: Row,
    class: ClassNumber,
}

/// Rows on their way into empty tables. What is taken away is held as nothing.
struct Folding<'a, Mode> {
    store: &'a Sqlite<Mode>,
    held: BTreeMap<Place, Option<Held>>,
    /// The greatest key of each view that has been written: beyond it there is nothing.
    written: BTreeMap<&'static str, Vec<u8>>,
    lists: HashMap<(&'static str, Option<String>), i64>,
}

impl<'a, Mode> Folding<'a, Mode> {
    fn into_nothing(store: &'a Sqlite<Mode>) -> Self {
        Self { store, held: BTreeMap::new(), written: BTreeMap::new(), lists: HashMap::new() }
    }

    fn fold(&mut self, index: u64, leaf: &Leaf, record: Option<&Verified>) -> Result<(), Error> {
        let store = self.store;
        let this = RefCell::new(&mut *self);
        let rows = UpTo { folding: &this, leaf: index };
        store.fold_leaf(index, leaf, record, &rows, &mut |change| this.borrow_mut().hold(change, index))?;
        if self.held.len() >= ROWS_HELD_MAX { self.write() } else { Ok(()) }
    }

    fn hold(&mut self, change: RowChange, leaf: u64) -> Result<(), Error> {
        let row = match change {
            RowChange::Put(row) => row,
            RowChange::Delete { view, key } => {
                self.held.insert((view, key), None);
                return Ok(());
            }
        };
        let place = (row.view, row.key.clone());
        // The class of a record that is held never changes.
        let known = self.held.get(&place).and_then(Option::as_ref).filter(|held| held.row.record == row.record);
        let class = match known.map(|held| held.class).filter(|class| *class != NO_CLASS) {
            Some(class) => class,
            None => self.store.record_class(&row.record, leaf)?,
        };
        self.held.insert(place, Some(Held { row, class }));
        Ok(())
    }

    fn is_new(&self, view: &str, key: &[u8]) -> bool {
        self.written.get(view).is_none_or(|written| key > written.as_slice())
    }

    /// Writes what is held, in the order of keys and lists.
    fn write(&mut self) -> Result<(), Error> {
        let mut listed = Vec::new();
        for ((view, key), held) in std::mem::take(&mut self.held) {
            match (held, self.is_new(view, &key)) {
                (Some(Held { row, class }), true) => {
                    let facets = facets(&row);
                    self.store.insert_row(&row, class, &facets)?;
                    // Two facets may share a list.
                    let lists = facets_of(&facets).map(Some).chain([None]).map(|facet| self.list(view, facet));
                    let lists: BTreeSet<i64> = lists.collect();
                    listed.extend(lists.into_iter().map(|list| (list, class, key.clone())));
                    self.written.insert(view, key);
                }
                (None, true) => {}
                (Some(Held { row, class }), false) => self.store.put_row(&row, class)?,
                (None, false) => self.store.delete_row(view, &key)?,
            }
        }
        listed.sort_unstable();
        for (list, class, key) in listed {
            self.store.execute("INSERT INTO view_facet VALUES (?, ?, ?)", params![list, class, key])?;
        }
        Ok(())
    }

    /// The number of a list, which is a hash and mostly known.
    fn list(&mut self, view: &'static str, facet: Option<(&str, &str)>) -> i64 {
        let name = (view, facet.map(|(name, value)| format!("{name}={value}")));
        if let Some(number) = self.lists.get(&name) {
            return *number;
        }
        if self.lists.len() >= LISTS_KNOWN_MAX {
            self.lists.clear();
        }
        let number = list(view, facet);
        self.lists.insert(name, number);
        number
    }
}

/// The rows there are while a leaf is folded, held or written; a fold sees no record that came later.
struct UpTo<'a, 'b, 'c, Mode> {
    folding: &'a RefCell<&'b mut Folding<'c, Mode>>,
    leaf: u64,
}

impl<Mode> Rows for UpTo<'_, '_, '_, Mode> {
    fn row(&self, view: &'static str, key: &[u8]) -> Result<Option<Row>, RowsUnavailable> {
        let folding = self.folding.borrow();
        if let Some(held) = folding.held.get(&(view, key.to_vec())) {
            return Ok(held.as_ref().map(|held| held.row.clone()));
        }
        if folding.is_new(view, key) { Ok(None) } else { folding.store.row(view, key) }
    }

    fn leaf_of(&self, record: &RecordId) -> Result<Option<u64>, RowsUnavailable> {
        let store = self.folding.borrow().store;
        Ok(store.came_at(record).map_err(not_now)?.filter(|leaf| *leaf <= self.leaf))
    }

    fn rows(
        &self,
        view: &'static str,
        prefix: &[u8],
        facet: Option<(&'static str, &str)>,
    ) -> Result<Vec<Row>, RowsUnavailable> {
        let folding = self.folding.borrow();
        let mut rows =
            if folding.written.contains_key(view) { folding.store.rows(view, prefix, facet)? } else { Vec::new() };
        rows.retain(|row| !folding.held.contains_key(&(view, row.key.clone())));
        let value = facet.map(|(_, value)| plain(value));
        let wanted = |row: &&Row| match (facet, &value) {
            (Some((name, _)), Some(value)) => row.facets.iter().any(|(n, v)| *n == name && plain(v) == *value),
            _ => true,
        };
        let from = (Bound::Included((view, prefix.to_vec())), Bound::Unbounded);
        let held = folding.held.range(from).take_while(|((v, key), _)| *v == view && key.starts_with(prefix));
        rows.extend(held.filter_map(|(_, held)| held.as_ref().map(|held| &held.row)).filter(wanted).cloned());
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(rows)
    }
}
