//! `searches`: the questions that officers have asked again of everything that comes, and what they last found.
//!
//! - Key: the index of the leaf with which the question was saved, 8 bytes, big-endian.
//! - Time: that of the last alert, or of saving.
//! - Record: the saved search.
//! - Facets: `mine`, the officer whose it is, a space (which no pseudonym has), and the name; `by`, the officer, or a hyphen for the
//!   socket; `search`, the record's id.
//! - Body: `name`, `question`, `saved_ms`, `alerts` (how many there were) and `through`, the first leaf that it has not been asked of,
//!   always; `by` where it is an officer's; and `last`, once it has found something: `at_ms`, `leaf`, and `records`.
//!
//! An alert is an act in the ledger: a hit whose note begins with [`ALERT`]. A saved search that ends, or in whose place another one
//! comes, has no row any more. Saved searches are never deleted: a node alerts by them.

mod fold;
#[cfg(test)]
mod tests;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::saved_search::SavedSearch;

use crate::{Event, Happening, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "searches";
/// How the note of an alert begins; the id of the saved search follows, a space, and the first leaf that it has not been asked of.
pub const ALERT: &str = "saved-search ";

/// The facet by which a saved search is found.
pub use fold::mine;

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Searches;

impl View for Searches {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["by", "mine", "search"]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Authored(record) if record.header().kind == SavedSearch::KIND => {
                fold::saved(event, record, rows)
            }
            Happening::Used { record, act } => fold::alerted(event, record, act, rows),
            _ => Ok(Vec::new()),
        }
    }
}
