//! The list of all views.
//!
//! To add a view:
//!
//! 1. Make a folder beside `inbox`, with a `mod.rs` that says which rows there are, what their keys, facets and body fields mean,
//!    and a unit struct that implements [`View`]; add `pub mod` for it in `lib.rs` and the struct to [`VIEWS`].
//! 2. The fold is a function of the event and of rows of its own view. It has no memory, never looks at another view's rows,
//!    and counts on rows already reflecting every earlier event.
//! 3. Think of deletion first. When a view is folded again, a record that was deleted since is seen as
//!    [`Happening::Erased`](crate::Happening::Erased), or, if this agency authored it, not at all. So upon
//!    [`Happening::Deleted`](crate::Happening::Deleted) a fold leaves the rows that it would have made without the record's
//!    content. `rebuilt_rows_are_the_same` in the tests of this file checks it for every view that is listed.
//!    Only records for people are ever deleted: a node lives by key sets, register versions, approvals, receipts, answers and
//!    what it has on record of its officers, and an event that deletes one of those would leave rows that cannot be folded again.
//! 4. Keep it cheap: an event reads and writes few rows, and each facet is one more index entry.

use crate::View;
use crate::drafts::Drafts;
use crate::holds::Holds;
use crate::inbox::Inbox;
use crate::matching::Matching;
use crate::officers::Officers;
use crate::policies::Policies;
use crate::refused::Refused;
use crate::requests::Requests;
use crate::retention::Retention;
use crate::searches::Searches;
use crate::sign_ins::SignIns;
use crate::track::Track;
use crate::used_by::UsedBy;
use crate::uses::Uses;

/// Every view of a node, in the order in which an event is folded into them.
pub static VIEWS: &[&dyn View] = &[
    &Inbox, &Refused, &Track, &Drafts, &Uses, &UsedBy, &Policies, &Requests, &Holds, &Retention, &Officers, &SignIns,
    &Searches, &Matching,
];

/// The view of this name.
pub fn view(name: &str) -> Option<&'static dyn View> {
    VIEWS.iter().copied().find(|view| view.name() == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{MemoryRows, histories};

    #[test]
    fn names_are_unique_and_found() {
        let names: BTreeSet<_> = VIEWS.iter().map(|view| view.name()).collect();
        assert_eq!(names.len(), VIEWS.len());
        for name in names {
            assert_eq!(view(name).map(View::name), Some(name));
        }
        assert!(view("no-such-view").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn rows_do_not_depend_on_where_folding_was_interrupted(steps in histories(), cut in any::<prop::sample::Index>()) {
            let cut = cut.index(steps.len() + 1);
            let mut pieces = MemoryRows::default();
            pieces.fold(&steps[..cut], 0);
            let mut pieces = pieces.through_text();
            pieces.fold(&steps[cut..], cut as u64);
            prop_assert_eq!(pieces.through_text().rows, MemoryRows::of(&steps).through_text().rows);
        }

        #[test]
        fn rebuilt_rows_are_the_same(steps in histories()) {
            prop_assert_eq!(MemoryRows::again(&steps).rows, MemoryRows::of(&steps).rows);
        }
    }
}
