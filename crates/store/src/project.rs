//! From leaves to rows: what each leaf tells the views, and what they make of it. The same code folds what just happened and
//! what is folded again later, so that both give the same rows.

use mufakat_exchange::{Leaf, What};
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{Act, AgencyId, RecordId, Verified};
use mufakat_views::registry::VIEWS;
use mufakat_views::{Event, Happening, RowChange, Rows};

use crate::Error;

/// What a leaf tells the views, if anything. `record` is the record that it is about, if its content is there; `removed` are the
/// agencies that a register leaf's version removes; `act` is what the leaf's detail says that an officer did.
pub(crate) fn happening<'a>(
    leaf: &'a Leaf,
    record: Option<&'a Verified>,
    removed: &'a [AgencyId],
    act: Option<&'a Act>,
) -> Option<Happening<'a>> {
    let subject = RecordId(leaf.subject.0);
    match leaf.what {
        // One of ours whose content was deleted is passed over.
        What::Authored => record.map(Happening::Authored),
        What::Received if !leaf.detail.is_empty() => {
            // The detail is the name of a reason, which our own exchange wrote.
            let reason = std::str::from_utf8(&leaf.detail).unwrap_or_default();
            Some(Happening::Rejected { record: subject, reason })
        }
        What::Received => Some(record.map_or(Happening::Erased(subject), Happening::Received)),
        What::Receipt => record.map(Happening::Receipt),
        What::Deletion => Some(Happening::Deleted(subject)),
        What::Register => (!removed.is_empty()).then_some(Happening::Removed(removed)),
        What::Use => act.map(|act| Happening::Used { record: subject, act }),
        What::Decision => act.map(|act| Happening::Decided { record: subject, act }),
        What::Session => act.map(Happening::Session),
    }
}

/// What the detail of a leaf says that an officer did.
pub(crate) fn act(leaf: &Leaf) -> Option<Act> {
    matches!(leaf.what, What::Use | What::Decision | What::Session).then(|| Act::from_detail(&leaf.detail)).flatten()
}

/// The agencies that a version removes and the one before it did not.
pub(crate) fn newly_removed(before: Option<&RegisterVersion>, now: &RegisterVersion) -> Vec<AgencyId> {
    let was_removed = |id: &AgencyId| before.and_then(|b| b.agency(id)).is_some_and(|a| a.removed.is_some());
    let removed = now.agencies.iter().filter(|a| a.removed.is_some() && !was_removed(&a.id));
    removed.map(|a| a.id.clone()).collect()
}

/// Folds one event into every view; each view's changes are written before the next view looks.
pub(crate) fn fold(
    event: &Event<'_>,
    rows: &dyn Rows,
    write: &mut dyn FnMut(RowChange) -> Result<(), Error>,
) -> Result<(), Error> {
    for view in VIEWS {
        let changes = view.fold(event, rows).map_err(|e| Error::Unavailable(e.0))?;
        changes.into_iter().try_for_each(&mut *write)?;
    }
    Ok(())
}
