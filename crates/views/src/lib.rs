//! Views: folds over what the ledger says happened, into rows that people query. A view can be thrown away and folded again
//! from the records to the same rows.
//!
//! Pure, and without SQL: a fold gets an [`Event`] and reads the rows there are through [`Rows`]; what it returns is written
//! by a generic row store. A new view is a folder and one line in [`registry`].

pub mod clock;
pub mod drafts;
pub mod holds;
pub mod inbox;
pub mod matching;
pub mod officers;
pub mod policies;
pub mod refused;
pub mod registry;
pub mod requests;
pub mod retention;
pub mod searches;
pub mod sign_ins;
#[cfg(test)]
mod testing;
pub mod text;
pub mod track;
pub mod used_by;
pub mod uses;

use mufakat_record::{Act, AgencyId, RecordId, Verified};

/// A row of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The view's name.
    pub view: &'static str,
    /// The row's key; keys of one view sort in the order in which people page through it.
    pub key: Vec<u8>,
    /// The time by which the view is ordered, in milliseconds since 1970.
    pub time_ms: u64,
    /// The record that the row is about.
    pub record: RecordId,
    /// What rows can be filtered by, such as `kind=report`; few and short.
    pub facets: Vec<(&'static str, String)>,
    /// What people see, as a JSON object.
    pub body: serde_json::Value,
}

/// A change to a view's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// Write a row, in place of one with the same key.
    Put(Row),
    /// Take a row away.
    Delete {
        /// The view's name.
        view: &'static str,
        /// The row's key.
        key: Vec<u8>,
    },
}

/// What happened, in the order of the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// This agency.
    pub me: &'a AgencyId,
    /// The index of the leaf that tells of it.
    pub leaf: u64,
    /// When, in milliseconds since 1970 by this node's clock.
    pub at_ms: u64,
    /// What.
    pub happening: Happening<'a>,
}

/// What can happen.
#[derive(Debug, Clone, Copy)]
pub enum Happening<'a> {
    /// This agency authored a record.
    Authored(&'a Verified),
    /// A record came and was accepted.
    Received(&'a Verified),
    /// A record came whose content has been deleted since; seen only when a view is folded again. A record of this agency's own
    /// whose content has been deleted is then passed over.
    Erased(RecordId),
    /// A record came and was rejected.
    Rejected {
        /// The id, or the hash of bytes that are no record.
        record: RecordId,
        /// The name of the reason.
        reason: &'a str,
    },
    /// A receipt was given or taken.
    Receipt(&'a Verified),
    /// The content of a record was deleted now.
    Deleted(RecordId),
    /// Agencies were removed from the register.
    Removed(&'a [AgencyId]),
    /// A record was read, found, exported or forwarded.
    Used {
        /// The record.
        record: RecordId,
        /// How, by whom and for what.
        act: &'a Act,
    },
    /// The gate decided on a release, or refused something.
    Decided {
        /// The record.
        record: RecordId,
        /// What was asked, by whom, and the rule that refused.
        act: &'a Act,
    },
    /// An officer signed in or out, or failed to.
    Session(&'a Act),
}

/// What a fold may look up.
pub trait Rows {
    /// A row by its key.
    fn row(&self, view: &'static str, key: &[u8]) -> Result<Option<Row>, RowsUnavailable>;

    /// The index of the leaf with which a record came or was authored.
    fn leaf_of(&self, record: &RecordId) -> Result<Option<u64>, RowsUnavailable>;

    /// The rows of a view whose key begins with `prefix`, or, with a facet, those that have it; ascending by key.
    fn rows(
        &self,
        view: &'static str,
        prefix: &[u8],
        facet: Option<(&'static str, &str)>,
    ) -> Result<Vec<Row>, RowsUnavailable>;
}

/// The row store could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the row store could not answer: {0}")]
pub struct RowsUnavailable(pub String);

/// A view.
pub trait View: Sync {
    /// The name under which it is queried.
    fn name(&self) -> &'static str;

    /// The names of its rows' facets.
    fn facets(&self) -> &'static [&'static str];

    /// What an event changes in its rows.
    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable>;
}
