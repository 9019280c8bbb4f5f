//! `drafts`: what officers wrote and what became of it. Drafts stay home, and so do these rows.
//!
//! - Key: the index of the draft's leaf, 8 bytes, big-endian.
//! - Facets: `state`; `by`, the officer who wrote it; `kind`, what it is to become; `became`, each record that it became.
//! - Body: `state`, `kind`, `tlp`, `to`, `created_ms` always; where it is known `by`, `title` (of a step its name), `codes`;
//!   `target`, what it corrects, or the request in which it is a step; `replaces`, the draft that this one was made from, and
//!   `replaced_by`, those that were made from it; `submitted`, `released` and `discarded`, each with `by` and `at_ms`;
//!   `decisions`, what second officers said, each with `by`, `decision`, `at_ms`, `words`, `checks`, how many questions were
//!   answered, and `approval`, the record in which it stands; and `records`, what it became.
//!
//! ```text
//! draft ── submitted ──┬── approved ── released
//!   │                  └── rejected
//!   ├── released       (where no second officer is demanded)
//!   └── discarded      (from each but released)
//! ```
//!
//! A step that does not fit changes nothing: the node asks the row, in the transaction in which it writes the step, whether it
//! does. When the content of a draft is deleted its row goes.

mod fold;
#[cfg(test)]
mod tests;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::Approval;
use mufakat_record::kinds::draft::Draft;
use mufakat_record::kinds::draft_step::DraftStep;

use crate::{Event, Happening, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "drafts";

/// The facet with the records that a draft became.
pub const BECAME: &str = "became";

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Drafts;

impl View for Drafts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["state", "by", "kind", BECAME]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Authored(record) => match record.header().kind.as_str() {
                Draft::KIND => fold::written(event, record, rows),
                DraftStep::KIND => fold::stepped(event, record, rows),
                Approval::KIND => fold::decided(event, record, rows),
                _ => Ok(Vec::new()),
            },
            Happening::Deleted(record) => fold::deleted(record, rows),
            _ => Ok(Vec::new()),
        }
    }
}

/// Where a draft stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Written.
    Draft,
    /// Put before a second officer.
    Submitted,
    /// A second officer approved it.
    Approved,
    /// A second officer rejected it.
    Rejected,
    /// It became a record.
    Released,
    /// It was given up.
    Discarded,
}

impl State {
    const ALL: [(State, &'static str); 6] = [
        (State::Draft, "draft"),
        (State::Submitted, "submitted"),
        (State::Approved, "approved"),
        (State::Rejected, "rejected"),
        (State::Released, "released"),
        (State::Discarded, "discarded"),
    ];

    /// The state's name.
    pub fn name(self) -> &'static str {
        // The table holds every variant in the order of its discriminants.
        Self::ALL[self as usize].1
    }

    /// The state that a row is in.
    pub fn of(body: &serde_json::Value) -> Option<Self> {
        let name = body["state"].as_str()?;
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(state, _)| *state)
    }

    /// Whether this can follow on another.
    pub fn follows(self, before: State) -> bool {
        use State::{Approved, Discarded, Draft, Rejected, Released, Submitted};
        match self {
            Draft => false,
            Submitted => before == Draft,
            Approved | Rejected => before == Submitted,
            Released => matches!(before, Draft | Submitted | Approved),
            Discarded => matches!(before, Draft | Submitted | Approved | Rejected),
        }
    }
}
