//! The store: what a node keeps, in the words of those who need it kept, and the SQLite back end.
//!
//! [`Store`] and [`Queries`] are the port. A back end makes the changes of the exchange durable together with the rows of the
//! views that follow from them, and passes the checks of [`conformance`].

mod class;
pub mod conformance;
pub mod lists;
mod port;
mod project;
pub mod search;
mod sqlite;
pub mod summaries;

pub use class::{CLASSES_OF_AUTHOR_MAX, Class, ClassNumber, NO_CLASS};
pub use port::{
    Counts, Error, Finding, Followed, MailboxLimits, Mention, Page, Part, Purpose, Queries, Queued, ReceiptOn, Related,
    Secret, State, Store,
};
pub use sqlite::{Options, Reader, Reading, SCHEMA, Sqlite, Writing};
