//! `inbox`: one row for each record that came, was accepted and is for people to read.
//!
//! - Key: the index of the record's leaf, 8 bytes, big-endian; so rows sort by arrival.
//! - Facets: `author`; `kind`; `on`, for a retraction or correction, the id of the record that it is about.
//! - Body: `author`, `kind`, `tlp`, `thread`, `issued_at` (what the author claims, in seconds), `received_at_ms` and `state`
//!   always; where there is something to say also
//!   - `understood`: false, when this node does not know the kind;
//!   - `title`, of a report or a request, of a correction's report, the file name of an attachment, or the name of a step;
//!   - `codes`, the handling codes; `expires`, in seconds;
//!   - `skew_s`, by how much the claimed time is ahead of ours (behind when negative) if that is more than
//!     [`SKEW_SHOWN_S`](mufakat_record::SKEW_SHOWN_S): the author's clock is off, or the record was long under way;
//!   - `original`, of a record that was passed on: `record`, `author` and `kind` of the originator's; the title is its title;
//!   - `retracts` or `corrects`, the record that this one is about;
//!   - `by`, the retraction or correction to which `state` is due.
//!
//! `state` is `current`, `retracted`, `corrected` or `deleted`. A record is retracted by the first retraction and otherwise
//! corrected by the latest correction that its own author sent after it and whose content is not deleted; what anybody else
//! says changes nothing. The row of a deleted record keeps the id, the state and the time of arrival, and nothing else.

mod fold;
#[cfg(test)]
mod tests;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::Answer;
use mufakat_record::kinds::deletion_receipt::DeletionReceipt;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::use_summary::UseSummary;

pub use fold::title;

use crate::{Event, Happening, RowChange, Rows, RowsUnavailable, View, matching};

/// The view's name.
pub const NAME: &str = "inbox";

/// Kinds that nodes exchange among themselves. People see what follows from them elsewhere: answers and deletions in the view
/// `track`, summaries of use in `used-by`, private matching in `matching`.
const NOT_FOR_PEOPLE: [&str; 6] =
    [Answer::KIND, DeletionReceipt::KIND, KeySet::KIND, Receipt::KIND, RegisterApproval::KIND, UseSummary::KIND];

fn is_for_people(kind: &str) -> bool {
    !NOT_FOR_PEOPLE.contains(&kind) && !matching::KINDS.contains(&kind)
}

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Inbox;

impl View for Inbox {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["author", "kind", "on"]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Received(record) if is_for_people(&record.header().kind) => fold::received(event, record, rows),
            Happening::Erased(record) => {
                let key = event.leaf.to_be_bytes().to_vec();
                Ok(vec![RowChange::Put(fold::tombstone(key, event.at_ms, record))])
            }
            Happening::Deleted(record) => fold::deleted(record, rows),
            _ => Ok(Vec::new()),
        }
    }
}
