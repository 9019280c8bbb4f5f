//! What every back end must do, as checks that any of them can run: each takes a fresh place for stores and panics when
//! something does not hold.

mod classes;
pub mod community;
mod keeping;
mod sharing;

use mufakat_record::AgencyId;
use mufakat_views::Row;
use mufakat_views::registry::VIEWS;

use crate::{Error, MailboxLimits, Page, Queries, Store};

/// A place where one back end keeps the stores of some agencies.
pub trait Place {
    /// The store.
    type Store: Store;
    /// What reads beside it.
    type Reader: Queries;

    /// Makes a new store.
    fn create(&self, me: &AgencyId, mailbox: MailboxLimits) -> Result<Self::Store, Error>;

    /// Opens a store again after it was dropped.
    fn open(&self, me: &AgencyId) -> Result<Self::Store, Error>;

    /// Reads beside the writer.
    fn reader(&self, me: &AgencyId) -> Result<Self::Reader, Error>;

    /// Leaves no more room than `bytes` in all, or as much as there is.
    fn cap(&self, store: &mut Self::Store, bytes: Option<u64>) -> Result<(), Error>;
}

/// A check.
pub type Check<P> = fn(&P);

/// Every check, with its name.
pub fn checks<P: Place>() -> Vec<(&'static str, Check<P>)> {
    vec![
        ("a new store", sharing::new_store),
        ("records, receipts and what is said of them", sharing::exchange),
        ("what others say of a record", sharing::said),
        ("a transaction", sharing::transaction),
        ("a delivery that comes again", sharing::replay),
        ("a rejected record", sharing::rejected),
        ("a new epoch", sharing::epoch),
        ("a removed agency", sharing::removed),
        ("a retracted record", sharing::erased),
        ("a record of one's own that is deleted", sharing::erased_own),
        ("many turns, failures and restarts", sharing::turns),
        ("no room", sharing::no_room),
        ("pages of a view", keeping::pages),
        ("handling classes", classes::classes),
        ("pages by class and facet", classes::pages),
        ("mailboxes", keeping::mailboxes),
        ("chunks", keeping::chunks),
        ("the witness", keeping::witness),
        ("secrets", keeping::secrets),
    ]
}

/// Runs every check, each in a place of its own.
pub fn run<P: Place>(mut place: impl FnMut() -> P) {
    for (name, check) in checks::<P>() {
        let here = place();
        // The name is all that a failing check lacks.
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&here)));
        assert!(held.is_ok(), "the check of {name} failed");
    }
}

/// All rows of all views.
pub fn all_rows(store: &impl Queries) -> Vec<Row> {
    let page = |view: &&dyn mufakat_views::View| {
        let page =
            Page { view: view.name(), after: None, limit: usize::MAX, facets: &[], newest_first: false, classes: None };
        store.view_page(&page).expect("rows")
    };
    VIEWS.iter().flat_map(page).collect()
}

/// Checks that a store is sound, and that folding its views again gives the same rows.
fn sound(store: &mut impl Store) {
    assert_eq!(store.fsck().expect("a check"), []);
    let before = all_rows(store);
    store.rebuild_views().expect("rows");
    assert_eq!(all_rows(store), before);
    assert_eq!(store.fsck().expect("a check"), []);
}
