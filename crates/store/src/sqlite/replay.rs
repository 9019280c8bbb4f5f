//! A view as it was: the leaves up to some instant are folded again, into a store in memory.
//!
//! What was deleted since then stays deleted: its content is gone, so its row is what remains of it.

use mufakat_record::{RecordId, Verified};
use mufakat_views::{Event, View};
use rusqlite::{Connection, params};

use super::rows::UpTo;
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
                let rows = UpTo { rows: &past, records: self, leaf: index };
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

#[cfg(test)]
mod tests {
    use mufakat_views::registry::VIEWS;
    use mufakat_views::{Row, Rows};
    use tempfile::TempDir;

    use super::*;
    use crate::conformance::community::{Community, Node, name, send};
    use crate::{ClassNumber, Page, Queries as _};

    const BYTES_MAX: u64 = 64 << 20;

    fn node(folder: &TempDir, community: &Community, me: &str) -> Node<Sqlite> {
        let file = folder.path().join(me);
        Node::start(Sqlite::create(&file, &name(me), Options::default()).unwrap(), community)
    }

    fn rows_of(reader: &Reader, view: &'static dyn View) -> Vec<Row> {
        reader.rows(view.name(), &[], None).unwrap()
    }

    fn view(name: &str) -> usize {
        VIEWS.iter().position(|view| view.name() == name).unwrap()
    }

    fn everything(reader: &Reader) -> Vec<Vec<Row>> {
        VIEWS.iter().map(|view| rows_of(reader, *view)).collect()
    }

    fn replayed(reader: &Reader, leaves: u64) -> Vec<Vec<Row>> {
        let one = |view: &&'static dyn View| {
            let folded = std::cell::Cell::new(0);
            let past = reader.replay(*view, leaves, BYTES_MAX, |done| folded.set(done)).unwrap();
            assert_eq!(folded.get(), leaves);
            rows_of(&past, *view)
        };
        VIEWS.iter().map(one).collect()
    }

    #[test]
    fn a_view_is_as_it_was_and_what_was_deleted_since_stays_deleted() {
        let folder = TempDir::new().unwrap();
        let community = Community::found(&["aa", "bb"]);
        let (mut a, mut b) = (node(&folder, &community, "aa"), node(&folder, &community, "bb"));
        let to = name("bb");
        let (mut seen, mut last) = (Vec::new(), None);
        for number in 0..4 {
            last = a.share(vec![a.report(&[&to], &format!("SECRET{number}"), &[])]).unwrap().pop();
            send(&mut a, &mut b, number + 1, 1);
            let reader = b.store.reader().unwrap();
            let leaves = b.exchange.ledger().0;
            let at_ms = reader.leaf(leaves - 1).unwrap().unwrap().at_ms;
            seen.push((at_ms, leaves, everything(&reader)));
        }
        let reader = b.store.reader().unwrap();
        for (at_ms, leaves, rows) in &seen {
            assert_eq!(reader.leaves_at(*at_ms).unwrap(), *leaves);
            assert_eq!(replayed(&reader, *leaves), *rows);
        }
        assert_eq!(reader.leaves_at(0).unwrap(), 0);
        assert_eq!(reader.leaves_at(u64::MAX >> 1).unwrap(), b.exchange.ledger().0);
        assert!(replayed(&reader, 0).iter().all(Vec::is_empty));

        // Rows of the past are of the classes that they have now, so that the gate decides on them as on any others.
        let (inbox_view, leaves) = (VIEWS[view("inbox")], b.exchange.ledger().0);
        let past = reader.replay(inbox_view, leaves, BYTES_MAX, |_| ()).unwrap();
        let page = |from: &Reader, classes: &[ClassNumber]| {
            let page = Page {
                view: inbox_view.name(),
                after: None,
                limit: 10,
                facets: &[("kind", "report")],
                newest_first: true,
                classes: Some(classes),
            };
            from.view_page(&page).unwrap()
        };
        let class = reader.class_of(&last.unwrap()).unwrap();
        for classes in [&[][..], &[class], &[class + 1]] {
            assert_eq!(page(&past, classes), page(&reader, classes), "{classes:?}");
        }
        assert!(!page(&past, &[class]).is_empty());

        // What is taken back is gone from the past as well, and nothing else is.
        let retraction = a.retraction(&[&to], last.unwrap());
        a.share(vec![retraction]).unwrap();
        send(&mut a, &mut b, 5, 1);
        let reader = b.store.reader().unwrap();
        let (_, leaves, rows) = seen.last().unwrap();
        let again = replayed(&reader, *leaves);
        assert!(!format!("{again:?}").contains("SECRET3"));
        assert!(format!("{again:?}").contains("SECRET2"));
        let inbox = |rows: &[Vec<Row>]| rows[view("inbox")].iter().filter(|row| row.body["state"] == "current").count();
        assert_eq!((inbox(rows), inbox(&again)), (4, 3));
        assert_eq!(again[view("inbox")].iter().filter(|row| row.body["state"] == "deleted").count(), 1);
    }

    #[test]
    fn a_replay_takes_no_more_memory_than_it_may() {
        let folder = TempDir::new().unwrap();
        let community = Community::found(&["aa", "bb"]);
        let mut a = node(&folder, &community, "aa");
        let to = name("bb");
        for round in 0..60 {
            let report = |n: usize| a.report(&[&to], &format!("{round} {n}"), &[]);
            a.share((0..50).map(report).collect()).unwrap();
        }
        let reader = a.store.reader().unwrap();
        let track = &VIEWS[view("track")];
        let leaves = a.exchange.ledger().0;
        let small = |leaves| reader.replay(*track, leaves, 400 << 10, |_| ()).map(drop);
        assert!(small(0).is_ok(), "{:?}", small(0));
        assert!(matches!(small(leaves), Err(Error::Full)), "{:?}", small(leaves));
        assert_eq!(rows_of(&reader.replay(*track, leaves, BYTES_MAX, |_| ()).unwrap(), *track).len(), 3000);
    }
}
