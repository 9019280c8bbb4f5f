//! The index for searching: a second file beside the state file, which follows the ledger.
//!
//! The writer of the state file knows nothing of it. [`Index`] reads what is new in the ledger and notes how far it has come, in
//! the same transaction as what it listed; so it can be behind, and never wrong about that. It can be thrown away at any time
//! and follows from the beginning then. What it finds are leaves; whoever shows something looks it up in the state file, where
//! a deleted record is gone at once. The newest come first: an order that what somebody may not read has no part in, as a score
//! by rareness of words would have.
//!
//! The words stand in a full-text index of SQLite (FTS5) that keeps no texts of its own. To take a record out of it one has to
//! say which words it was listed by; they stand in `listed`, and are overwritten there with zeroes.

mod find;
mod index;
mod scope;
#[cfg(test)]
mod tests;

use rusqlite::Connection;

pub use find::{COUNTED_MAX, Count, Found, Hit, Question, Searcher};
pub use index::{Index, Progress};
pub use scope::{Groups, Scope};

use crate::{Error, Part};

/// The version of what is listed and how. An index of another version is made anew; so whoever changes what a record is listed
/// by counts this up.
pub const VERSION: u32 = 1;

/// Marks the file as an index of this program ("MUFS").
const APPLICATION_ID: i32 = 0x4d55_4653;

/// What SQLite says of this file, in the words of the port.
fn failed(error: rusqlite::Error) -> Error {
    match crate::sqlite::failed(error) {
        Error::Damaged { what, .. } => Error::Damaged { part: Part::Search, what },
        other => other,
    }
}

/// A number that a table holds.
fn number(connection: &Connection, sql: &str) -> Result<i64, Error> {
    connection.query_row(sql, [], |row| row.get(0)).map_err(failed)
}

fn damaged(what: &str) -> Error {
    Error::Damaged { part: Part::Search, what: what.to_owned() }
}
