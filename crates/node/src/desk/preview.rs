//! What a release would do, before anything of it leaves: who will be able to read it, who will not, and by which rule.

use mufakat_exchange::Directory;
use serde::Serialize;
use utoipa::ToSchema;

use super::four_eyes::Leaving;
use super::{Caller, four_eyes};
use crate::gate::{self, Preview};
use crate::node::Node;
use crate::share::{self, Envelope, NotShared};

/// What would come of a release.
#[derive(Serialize, ToSchema)]
pub(crate) struct Previewed {
    #[serde(flatten)]
    preview: Preview,
    /// Whether an officer needs a second one to release it. The decision stands as if that one had approved it.
    four_eyes: bool,
    /// How many records it becomes, its files not counted.
    records: usize,
}

/// Who will be able to read what is to leave, who will not, and why. Where each recipient is to get a record of its own, `apart`
/// says how many get a copy of each.
pub(crate) fn preview(
    node: &Node,
    caller: &Caller,
    directory: &Directory,
    leaving: Leaving<'_>,
    apart: Option<usize>,
) -> Result<Previewed, NotShared> {
    let chain = directory.chain();
    let mut audience = chain.resolve(leaving.to).map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
    audience.retain(|to| *to != node.me);
    let request = leaving.request(node, caller, chain.current(), &audience, true);
    Ok(Previewed {
        preview: gate::preview(&node.gate.policies(), &request),
        four_eyes: four_eyes::needed(node, directory, leaving),
        records: apart.map_or(1, |copies| audience.len().saturating_sub(copies)),
    })
}

/// The same for an envelope that nobody has kept.
pub(crate) fn of_envelope(
    node: &Node,
    caller: &Caller,
    directory: &Directory,
    envelope: &Envelope,
) -> Result<Previewed, NotShared> {
    // What cannot be released has nobody who could read it.
    share::body_of(&envelope.body)?;
    let (_, handling) = share::addressed(node, directory, envelope)?;
    let apart = envelope.hidden_audience.then_some(0);
    preview(node, caller, directory, Leaving::of(envelope, &handling), apart)
}
