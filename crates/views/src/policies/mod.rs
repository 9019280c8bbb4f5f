//! `policies`: the sets of rules that were proposed at this agency, and what became of them. They stay home.
//!
//! - Key: the index of the leaf of the set, 8 bytes, big-endian.
//! - Facets: `state`; `name`, that of the set; `in_force`, the name of the set while it is.
//! - Body: `state`, `name`, `files` (the names of its files; none in a set that ends another), `proposed_ms` always; `by` where it
//!   is known; `decided_ms`, and `decisions`, what others said, each with `by`, `decision`, `at_ms`, `words` and `approval`, the
//!   record in which it stands.
//!
//! ```text
//! proposed ──┬── in-force ── replaced
//!            └── rejected
//! ```
//!
//! A set comes into force when another officer approves it, and the set of its name that was in force is replaced. An approval
//! by whoever proposed it changes nothing; anybody may reject. The texts themselves stand in the records. Sets and what is said
//! of them are never deleted: a node decides by them.

mod fold;
#[cfg(test)]
mod tests;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::Approval;
use mufakat_record::kinds::policy_set::PolicySet;

use crate::{Event, Happening, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "policies";
/// The state of a set that waits for another officer.
pub const PROPOSED: &str = "proposed";
/// The state of a set by which the node decides.
pub const IN_FORCE: &str = "in-force";

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Policies;

impl View for Policies {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["in_force", "name", "state"]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Authored(record) => match record.header().kind.as_str() {
                PolicySet::KIND => Ok(fold::proposed(event, record)),
                Approval::KIND => fold::decided(event, record, rows),
                _ => Ok(Vec::new()),
            },
            _ => Ok(Vec::new()),
        }
    }
}
