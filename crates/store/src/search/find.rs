//! The reading side: which records answer a question, the newest first.

use std::ops::RangeInclusive;
use std::path::Path;

use mufakat_record::RecordId;
use mufakat_views::text::place::Area;
use mufakat_views::text::{Phrase, Point};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::{APPLICATION_ID, Scope, VERSION, damaged, failed, number};
use crate::sqlite::{clamped, uint};
use crate::{ClassNumber, Error, Reader};

/// Up to how many records are counted; of more it is said that there are more.
pub const COUNTED_MAX: usize = 1_000;
/// Memory for pages of one reader, in KiB.
const CACHE_KIB: u32 = 4 * 1024;

/// What is looked for. Everything that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct Question<'a> {
    /// Phrases, all of which a record must have.
    pub phrases: &'a [Phrase],
    /// Facets; of each list a record must have one.
    pub facets: &'a [Vec<String>],
    /// Where it is about.
    pub area: Option<Area>,
    /// Came at this time or later, in milliseconds since 1970 by the ledger, whose time never goes back.
    pub from_ms: Option<u64>,
    /// Came at this time or earlier.
    pub until_ms: Option<u64>,
    /// What the asker may find; everything if absent.
    pub scope: Option<&'a Scope>,
    /// Only records whose leaf is before this one: the last of the page before.
    pub before: Option<u64>,
    /// Only records whose leaf is this one or a later one.
    pub since: Option<u64>,
    /// How many at most.
    pub limit: usize,
    /// Whether to count all that answer it, those of earlier pages included.
    pub count: bool,
}

impl Question<'_> {
    /// Whether nothing can answer it: one of several is wanted where there are none, or nothing may be found.
    fn is_void(&self) -> bool {
        self.scope.is_some_and(Scope::is_empty) || self.facets.iter().any(Vec::is_empty)
    }
}

/// A record that answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// The leaf with which it came or was authored.
    pub leaf: u64,
    /// Its id.
    pub record: RecordId,
    /// Its class.
    pub class: ClassNumber,
}

/// How many records answer a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// So many.
    pub number: usize,
    /// And more.
    pub more: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The records, the newest first.
    pub hits: Vec<Hit>,
    /// Whether there are more behind them.
    pub more: bool,
    /// How many answer it, if that was asked.
    pub count: Option<Count>,
    /// The first leaf that the index has not followed yet.
    pub next: u64,
}

impl Found {
    /// What is found as long as there is no index.
    pub fn nothing() -> Self {
        Self { hits: Vec::new(), more: false, count: Some(Count { number: 0, more: false }), next: 0 }
    }
}

/// The index, open for reading.
pub struct Searcher {
    connection: Connection,
}

impl Searcher {
    /// Opens an index.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(failed)?;
        connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB)).map_err(failed)?;
        let is_ours = number(&connection, "PRAGMA application_id")? == i64::from(APPLICATION_ID)
            && number(&connection, "PRAGMA user_version")? == i64::from(VERSION);
        if is_ours { Ok(Self { connection }) } else { Err(damaged("it is of another version")) }
    }

    /// The first leaf that the index has not followed yet.
    pub fn next(&self) -> Result<u64, Error> {
        number(&self.connection, "SELECT next FROM mark").map(uint)
    }

    /// Answers a question. What was deleted from the state file is not found, however far behind the index is.
    pub fn find(&self, store: &Reader, question: &Question<'_>) -> Result<Found, Error> {
        // One moment of the index for the whole answer.
        let moment = self.connection.unchecked_transaction().map_err(failed)?;
        let next = self.next()?;
        let mut found = Found { hits: Vec::new(), more: false, count: None, next };
        if !question.is_void()
            && let Some(leaves) = self.leaves(question)?
        {
            self.walk(store, question, leaves, &mut found)?;
        }
        if question.count && found.count.is_none() {
            found.count = Some(Count { number: 0, more: false });
        }
        drop(moment);
        Ok(found)
    }

    /// The leaves among which the answer is; nothing if there are none.
    fn leaves(&self, question: &Question<'_>) -> Result<Option<RangeInclusive<i64>>, Error> {
        let (mut first, mut last) = (0, i64::MAX);
        if let Some(since) = question.since {
            first = clamped(since);
        }
        if let Some(from_ms) = question.from_ms {
            let Some(leaf) = self.first_at(from_ms)? else { return Ok(None) };
            first = first.max(leaf);
        }
        if let Some(leaf) = question.until_ms.map(|until| self.first_at(until.saturating_add(1))).transpose()?.flatten()
        {
            last = leaf - 1;
        }
        // Whoever counts begins with the first page's records, and passes over them.
        if let Some(before) = question.before.filter(|_| !question.count) {
            last = last.min(clamped(before) - 1);
        }
        Ok((first <= last).then_some(first..=last))
    }

    /// The first leaf listed at a time or later. The times of leaves never go back, so half of what is left is put aside at each
    /// step.
    fn first_at(&self, at_ms: u64) -> Result<Option<i64>, Error> {
        let at_ms = clamped(at_ms);
        let mut low = 0;
        let mut high = number(&self.connection, "SELECT coalesce(max(leaf), -1) FROM listed")? + 1;
        let mut first = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let sql = "SELECT leaf, at_ms FROM listed WHERE leaf >= ? ORDER BY leaf LIMIT 1";
            let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
            let at: Option<(i64, i64)> =
                statement.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(failed)?;
            match at {
                Some((leaf, at)) if at < at_ms => low = leaf + 1,
                Some((leaf, _)) => {
                    first = Some(leaf);
                    high = middle;
                }
                None => high = middle,
            }
        }
        Ok(first)
    }

    fn walk(
        &self,
        store: &Reader,
        question: &Question<'_>,
        leaves: RangeInclusive<i64>,
        found: &mut Found,
    ) -> Result<(), Error> {
        let (first, last) = leaves.into_inner();
        let expression = expression(question);
        let listed = "SELECT leaf, class, point FROM listed WHERE leaf BETWEEN ? AND ? ORDER BY leaf DESC";
        let matching = "SELECT f.rowid, l.class, l.point FROM found f CROSS JOIN listed l ON l.leaf = f.rowid
            WHERE f.found MATCH ?3 AND f.rowid BETWEEN ?1 AND ?2 ORDER BY f.rowid DESC";
        let sql = if expression.is_some() { matching } else { listed };
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = match &expression {
            Some(expression) => statement.query(params![first, last, expression]),
            None => statement.query(params![first, last]),
        }
        .map_err(failed)?;
        let before = question.before.unwrap_or(u64::MAX);
        let mut number = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            let Some(hit) = answers(store, question, row)? else { continue };
            number += 1;
            if hit.leaf < before {
                if found.hits.len() < question.limit {
                    found.hits.push(hit);
                } else {
                    found.more = true;
                }
            }
            if found.more && (!question.count || number > COUNTED_MAX) {
                break;
            }
        }
        if question.count {
            found.count = Some(Count { number: number.min(COUNTED_MAX), more: number > COUNTED_MAX });
        }
        Ok(())
    }
}

/// What stands in a row, if it may be found, is there still, and lies in the area.
fn answers(store: &Reader, question: &Question<'_>, row: &Row<'_>) -> Result<Option<Hit>, Error> {
    let read = || -> rusqlite::Result<_> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
    let (leaf, class, point): (i64, ClassNumber, Option<[u8; 8]>) = read().map_err(failed)?;
    if question.scope.is_some_and(|scope| !scope.holds(class)) {
        return Ok(None);
    }
    if question.area.is_some_and(|area| !point.is_some_and(|point| area.holds(Point::from_bytes(point)))) {
        return Ok(None);
    }
    let leaf = uint(leaf);
    Ok(store.kept_at(leaf)?.map(|record| Hit { leaf, record, class }))
}

/// The question in the language of FTS5; nothing if it has no words and no facets. Every token stands in quotation marks, and no
/// token has one in it.
fn expression(question: &Question<'_>) -> Option<String> {
    let quoted = |token: &String| format!("\"{token}\"");
    let any = |tokens: &[String]| format!("({})", tokens.iter().map(quoted).collect::<Vec<_>>().join(" OR "));
    let mut parts = Vec::new();
    for phrase in question.phrases {
        let star = if phrase.prefix { " *" } else { "" };
        parts.push(format!("\"{}\"{star}", phrase.tokens.join(" ")));
    }
    parts.extend(question.facets.iter().map(|tokens| any(tokens)));
    parts.extend(question.area.map(|area| any(&area.cells())));
    parts.extend(question.scope.and_then(Scope::tokens).map(any));
    (!parts.is_empty()).then(|| parts.join(" AND "))
}
