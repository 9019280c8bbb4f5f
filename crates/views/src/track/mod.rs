//! `track`: what became of each record that this agency shared, for each agency that is to receive it.
//!
//! - Key: the index of the record's leaf, 8 bytes, big-endian, and the recipient's id; so the rows of a record stand together.
//! - Facets: `state`; `unanswered`, the kind of a retraction or correction that its recipient has not answered, be it that it
//!   rejected a retraction; while it is queued `queued_to`, and after that `settled_to`, the recipient.
//! - Body: `to`, `kind` and `state` always; then
//!   - `accepted` or `rejected`: `ledger`, the origin of the recipient's ledger, `index`, the leaf's place in it, `at_ms`, the
//!     leaf's time, and `receipt`, the record in which the recipient says so; and `reason` if it was rejected;
//!   - `failed`, which means that it will never be sent: `reason` and `at_ms`;
//!   - for a retraction or correction `answer`, what the recipient says that it did: `action`, `at` (seconds, by its clock)
//!     and, if it gave one, `reason`; until then the facet `unanswered`, which goes when the recipient is removed from the
//!     register, and then there is `recipient_removed_ms`; `escalated`, before whom it was brought while it was
//!     unanswered, each level once, as the view `requests` has it;
//!   - once the recipient has deleted the record, `deletion`: `why`, `at` (seconds, by its clock), and how many `copies` and
//!     `attachments` it deleted in all.
//! - An agency to whom a recipient passed the record on has a row of its own, with a zero byte and that recipient's id at the
//!   end of the key: `state` is then `through`, and `through` the recipient, and it tells of `answer` and `deletion`.
//!
//! `state` is `queued` until the recipient's first word on the record; later words, as in a receipt that was asked for again,
//! change nothing. The time of a row is that of authoring.

mod fold;
#[cfg(test)]
mod tests;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::Answer;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::deletion_receipt::DeletionReceipt;
use mufakat_record::kinds::escalation::{Escalation, Level};
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::retraction::Retraction;

use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "track";
/// The facet of a row that awaits an answer: the kind of what is to be answered.
pub const UNANSWERED: &str = "unanswered";
/// The kinds that recipients answer.
pub const ANSWERED_KINDS: [&str; 2] = [Retraction::KIND, Correction::KIND];

/// Whether deputy or supervisor has been told that an answer is not there.
pub fn is_escalated(row: &Row, level: Level) -> bool {
    let mut told = row.body["escalated"].as_array().into_iter().flatten();
    told.any(|told| told["level"] == level.name())
}

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Track;

impl View for Track {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["queued_to", "settled_to", "state", UNANSWERED]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Authored(record) if record.header().kind == Escalation::KIND => {
                fold::escalated(event, record, rows)
            }
            Happening::Authored(record) if record.header().kind != Receipt::KIND => Ok(fold::authored(event, record)),
            // Receipts that this agency gave name no record of its own; that need not be looked up for each entry.
            Happening::Receipt(record) if record.header().author != *event.me => fold::receipted(record, rows),
            Happening::Received(record) if record.header().kind == Answer::KIND => fold::answered(event, record, rows),
            Happening::Received(record) if record.header().kind == DeletionReceipt::KIND => {
                fold::deleted_there(event, record, rows)
            }
            Happening::Removed(agencies) => fold::removed(event, agencies, rows),
            Happening::Deleted(record) => fold::deleted(&record, rows),
            _ => Ok(Vec::new()),
        }
    }
}
