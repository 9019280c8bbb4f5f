//! Pages of views by facets and handling classes. The index of facets holds one list of keys for each facet and class; a page
//! is what the lists of the wanted classes give, merged by key. A list that is not wanted is not touched.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use mufakat_record::sha256;
use mufakat_views::Row;
use rusqlite::params;

use super::Sqlite;
use super::rows::{SEPARATOR, plain};
use crate::{ClassNumber, Error, Page};

/// The number under which the keys of the rows with a facet are listed; without one, those of all rows of the view. Two facets
/// that share a number by chance share a list, so a row's own facets are looked at before it is given.
pub(super) fn list(view: &str, facet: Option<(&str, &str)>) -> i64 {
    let mut text = view.to_owned();
    if let Some((name, value)) = facet {
        text.extend([SEPARATOR]);
        text.extend([name, "=", &plain(value)]);
    }
    let hash = sha256(text.as_bytes());
    let mut number = [0; 8];
    number.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(number)
}

fn has(row: &Row, (name, value): (&str, &str)) -> bool {
    let value = plain(value);
    row.facets.iter().any(|(n, v)| *n == name && *v == value)
}

/// From where a list is read on.
#[derive(Clone, Copy)]
enum From<'a> {
    /// From its beginning in the direction of the page.
    Start,
    /// From this key on.
    At(&'a [u8]),
    /// From behind this key on.
    Beyond(&'a [u8]),
}

/// The lists that a page is made of.
struct Lists {
    numbers: Vec<i64>,
    newest_first: bool,
}

/// The next key of a class, ordered so that the one that comes first on the page is the greatest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Newest(Vec<u8>, ClassNumber),
    Oldest(Reverse<Vec<u8>>, ClassNumber),
}

impl<Mode> Sqlite<Mode> {
    /// A page of the rows with some facets, or of some classes.
    pub(super) fn merged(&self, page: &Page<'_>) -> Result<Vec<Row>, Error> {
        let numbers = match page.facets {
            [] => vec![list(page.view, None)],
            facets => facets.iter().map(|facet| list(page.view, Some(*facet))).collect(),
        };
        let mut classes = match page.classes {
            Some(classes) => classes.to_vec(),
            None => self.classes_of_list(numbers[0])?,
        };
        classes.sort_unstable();
        classes.dedup();
        let lists = Lists { numbers, newest_first: page.newest_first };
        let mut heads = BinaryHeap::with_capacity(classes.len());
        for class in classes {
            let from = page.after.map_or(From::Start, From::Beyond);
            heads.extend(self.next_key(&lists, class, from)?.map(|key| lists.next(key, class)));
        }
        let mut rows: Vec<Row> = Vec::new();
        while rows.len() < page.limit
            && let Some(next) = heads.pop()
        {
            let (key, class) = next.into_parts();
            heads.extend(self.next_key(&lists, class, From::Beyond(&key))?.map(|key| lists.next(key, class)));
            if let Some(row) = self.read_row(page.view, &key)?
                && page.facets.iter().all(|facet| has(&row, *facet))
            {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// The first key that is in all lists of a class.
    fn next_key(&self, lists: &Lists, class: ClassNumber, from: From<'_>) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut key) = self.seek(lists, lists.numbers[0], class, from)? else { return Ok(None) };
        loop {
            let before = key.clone();
            for number in &lists.numbers[1..] {
                let Some(found) = self.seek(lists, *number, class, From::At(&key))? else { return Ok(None) };
                key = found;
            }
            // Every list went on to where the one before it stood; where nobody had to move, all have the key.
            if key == before {
                return Ok(Some(key));
            }
            let Some(found) = self.seek(lists, lists.numbers[0], class, From::At(&key))? else { return Ok(None) };
            key = found;
        }
    }

    fn seek(&self, lists: &Lists, number: i64, class: ClassNumber, from: From<'_>) -> Result<Option<Vec<u8>>, Error> {
        let sql = match (from, lists.newest_first) {
            (From::Start, false) => "SELECT key FROM view_facet WHERE facet = ? AND class = ? ORDER BY key LIMIT 1",
            (From::Start, true) => "SELECT key FROM view_facet WHERE facet = ? AND class = ? ORDER BY key DESC LIMIT 1",
            (From::At(_), false) => {
                "SELECT key FROM view_facet WHERE facet = ? AND class = ? AND key >= ? ORDER BY key LIMIT 1"
            }
            (From::At(_), true) => {
                "SELECT key FROM view_facet WHERE facet = ? AND class = ? AND key <= ? ORDER BY key DESC LIMIT 1"
            }
            (From::Beyond(_), false) => {
                "SELECT key FROM view_facet WHERE facet = ? AND class = ? AND key > ? ORDER BY key LIMIT 1"
            }
            (From::Beyond(_), true) => {
                "SELECT key FROM view_facet WHERE facet = ? AND class = ? AND key < ? ORDER BY key DESC LIMIT 1"
            }
        };
        match from {
            From::Start => self.one(sql, params![number, class], |row| row.get(0)),
            From::At(key) | From::Beyond(key) => self.one(sql, params![number, class, key], |row| row.get(0)),
        }
    }

    /// The classes for which a list has keys, each found without reading the keys between.
    fn classes_of_list(&self, number: i64) -> Result<Vec<ClassNumber>, Error> {
        let sql = "SELECT class FROM view_facet WHERE facet = ? AND class > ? ORDER BY class LIMIT 1";
        let (mut classes, mut last) = (Vec::new(), -1);
        while let Some(class) = self.one(sql, params![number, last], |row| row.get::<_, ClassNumber>(0))? {
            classes.push(class);
            last = i64::from(class);
        }
        Ok(classes)
    }
}

impl Lists {
    fn next(&self, key: Vec<u8>, class: ClassNumber) -> Next {
        if self.newest_first { Next::Newest(key, class) } else { Next::Oldest(Reverse(key), class) }
    }
}

impl Next {
    fn into_parts(self) -> (Vec<u8>, ClassNumber) {
        match self {
            Self::Newest(key, class) | Self::Oldest(Reverse(key), class) => (key, class),
        }
    }
}
