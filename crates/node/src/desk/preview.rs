//! What a release would do, before anything of it leaves: who will be able to read it, who will not, and by which rule.

use mufakat_exchange::Directory;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::report::Report;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Caller, four_eyes};
use crate::clock;
use crate::gate::{self, Action, Preview, Request};
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

/// Who will be able to read what an envelope says, who will not, and why.
pub(crate) fn preview(
    node: &Node,
    caller: &Caller,
    directory: &Directory,
    envelope: &Envelope,
) -> Result<Previewed, NotShared> {
    let chain = directory.chain();
    let mut audience = chain.resolve(&envelope.to).map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
    audience.retain(|to| *to != node.me);
    let handling = share::handling_of(envelope);
    share::check_handling(&handling, &audience, &node.me)?;
    let request = Request {
        caller,
        action: Action::Release { named: &envelope.to },
        kind: Report::KIND,
        handling: &handling,
        audience: &audience,
        author: &node.me,
        expires: envelope.expires,
        permitted_to: &[],
        notice: four_eyes::is_notice(&envelope.body),
        second: true,
        me: &node.me,
        register: chain.current(),
        now_s: clock::now_s(),
    };
    Ok(Previewed {
        preview: gate::preview(&node.gate.policies(), &request),
        four_eyes: four_eyes::needed(node, directory, envelope),
        records: if envelope.hidden_audience { audience.len() } else { 1 },
    })
}
