//! A view as it was: the leaves up to some instant are folded again, into a store in memory.
//!
//! What was deleted since then stays deleted: its content is gone, so its row is what remains of it.

use mufakat_record::{RecordId, Verified};
use mufakat_views::{Event, Row, Rows, RowsUnavailable, View};
use rusqlite::{Connection, params};

use super::{Options, Reader, Sqlite, cap, failed, int, schema, uint};
use crate::{Error, Part, project};

/// How many leaves are read at once. Between two reads nothing keeps the log of writes from being cut.
const LEAVES_AT_ONCE: u64 = 1_000;

impl Reader {
    /// How many leaves the ledger had at a time, in milliseconds since 1970. Where the node's clock was set back, one of the
    /// places that the time then had.
    pub fn leaves_at(&self, at_ms: u64) -> Result<u64, Error> {
        let leaves = self.one("SELECT coalesce(max(number) + 1, 0) FROM leaf", [], |row| row.get(0).map(uint))?;
        let (mut low, mut high) = (0, leaves.unwrap_or_default());
        while low < high {
            let middle = low + (high - low) / 2;
            let leaf = self.read_leaf(middle)?;
            if leaf.is_some_and(|leaf| leaf.at_ms <= at_ms) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// The rows that a view had when the ledger had so many leaves. They take at most `bytes_max` of memory, and otherwise the
    /// error is [`Error::Full`]. `folded` is told how many leaves are done.
    pub fn replay(
        &self,
        view: &'static dyn View,
        until: u64,
        bytes_max: u64,
        folded: impl Fn(u64),
    ) -> Result<Reader, Error> {
        let past = self.empty_past(bytes_max)?;
        past.execute("BEGIN", [])?;
        let mut from = 0;
        while from < until {
            let to = until.min(from + LEAVES_AT_ONCE);
            for (index, leaf, record) in self.leaves_with_records(from, to)? {
                let removed = self.removed_with(&leaf)?;
                let act = project::act(&leaf);
                let happening = project::happening(&leaf, record.as_ref(), &removed, act.as_ref());
                let Some(happening) = happening else { continue };
                let event = Event { me: &self.me, leaf: index, at_ms: leaf.at_ms, happening };
                let rows = Past { past: &past, now: self, leaf: index };
                let changes = view.fold(&event, &rows).map_err(|e| Error::Unavailable(e.0))?;
                for change in &changes {
                    past.write_row(change, self.row_class(change, index)?)?;
                }
            }
            from = to;
            folded(from);
        }
        past.execute("COMMIT", [])?;
        Ok(past)
    }

    fn empty_past(&self, bytes_max: u64) -> Result<Reader, Error> {
        let connection = Connection::open_in_memory().map_err(failed)?;
        connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA trusted_schema = OFF").map_err(failed)?;
        cap(&connection, Some(bytes_max))?;
        schema::make_tables(&connection)?;
        Ok(Sqlite::with(connection, self.path(), self.me.clone(), Options::default(), None))
    }

    fn leaves_with_records(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, mufakat_exchange::Leaf, Option<Verified>)>, Error> {
        let sql = "SELECT l.number, l.what, l.at_ms, l.subject, l.detail, l.salt, r.bytes FROM leaf l
            LEFT JOIN record r ON l.what IN (1, 2, 3) AND r.id = l.subject
                AND NOT EXISTS (SELECT 1 FROM erased e WHERE e.leaf = r.leaf)
            WHERE l.number >= ? AND l.number < ? ORDER BY l.number";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params![int(from), int(to)]).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let index = uint(row.get(0).map_err(failed)?);
            let leaf = super::read::leaf(index, row)?;
            let bytes: Option<Vec<u8>> = row.get(6).map_err(failed)?;
            let wrong =
                |reason: mufakat_record::Reason| super::damaged(Part::Record(RecordId(leaf.subject.0)), reason.name());
            let record = bytes.map(Verified::from_own_store).transpose().map_err(wrong)?;
            found.push((index, leaf, record));
        }
        Ok(found)
    }
}

/// The rows so far, and where records stood when a leaf was added.
struct Past<'a> {
    past: &'a Reader,
    now: &'a Reader,
    leaf: u64,
}

impl Rows for Past<'_> {
    fn row(&self, view: &'static str, key: &[u8]) -> Result<Option<Row>, RowsUnavailable> {
        self.past.row(view, key)
    }

    fn leaf_of(&self, record: &RecordId) -> Result<Option<u64>, RowsUnavailable> {
        Ok(self.now.leaf_of(record)?.filter(|leaf| *leaf <= self.leaf))
    }

    fn rows(
        &self,
        view: &'static str,
        prefix: &[u8],
        facet: Option<(&'static str, &str)>,
    ) -> Result<Vec<Row>, RowsUnavailable> {
        self.past.rows(view, prefix, facet)
    }
}
