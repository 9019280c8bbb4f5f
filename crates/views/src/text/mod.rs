//! Text: what of a record can be searched for, as tokens, and what a question means in the same tokens.
//!
//! Both sides of a search pass the same [`fold`]: letters without case and accents, so that `nguyen` finds `Nguyễn`; then
//! [`words`]: words where a script has spaces, overlapping pairs of letters where it has none. Besides its words a record has
//! [`facets`]: what can be said of it exactly, such as its author, as tokens that no text contains. Pure.

mod document;
pub mod facets;
mod fold;
pub mod place;
mod query;
mod words;

pub use document::{Document, document};
pub use fold::fold;
pub use place::Point;
pub use query::{ITEMS_MAX, PREFIX_CHARS_MIN, Phrase, QUERY_BYTES_MAX, Unclear, phrases};
pub use words::{TOKEN_BYTES_MAX, words};
