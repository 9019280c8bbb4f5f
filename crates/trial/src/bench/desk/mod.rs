//! The benchmark of the desk. Each part measures figures of its own; a new one is a file here and a line in [`PARTS`].

mod filled;
mod ingest;
mod policy;
mod search;
mod views;

use anyhow::Result;

use super::{Figures, Size};

/// Measures some figures, if they are wanted.
type Part = fn(&Figures, Size) -> Result<()>;

/// The parts in the order in which they are measured.
const PARTS: &[Part] = &[policy::measure, ingest::measure, views::measure];

/// Measures every part.
pub(crate) fn measure(figures: &Figures, size: Size) -> Result<()> {
    PARTS.iter().try_for_each(|part| part(figures, size))
}
