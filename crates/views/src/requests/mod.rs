//! `requests`: each request for information, for each agency that it asks, on both sides with the same state and clock.
//!
//! - Key: the index of the request's leaf, 8 bytes, big-endian, and the partner's id.
//! - Facets: `side`, which is `asking`, `asked`, or `copy` for a single point of contact; `state`; `partner`; `urgency`; `on`, the
//!   request's id. For the fold itself: `subject`, a hash of each canonical identifier that this agency asks about; `step`, the
//!   beginning of the id of each step and escalation; `awaits`, the partner whose receipts are still to come.
//! - Body: an [`Entry`].
//!
//! `state` is what the [machine] says, or `rejected` when the asked node rejected the request, `failed` when it was never
//! sent because the agency was removed from the register, `lapsed` when the partner was removed while the request was open.
//!
//! Of a side that took more than [`STEPS_MAX`] steps a request shows those that come first in the order in which they count,
//! which is the same on both sides; the others have no effect. So what one side sends, however much and out of turn, never
//! keeps the other from ending a request. Of a request whose content is deleted no row remains, and a step whose content is
//! deleted is as if it had not been: so a node deletes no step before its request.

mod fold;
pub mod machine;
pub mod table;
#[cfg(test)]
mod tests;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::escalation::{Escalation, Level};
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::request::{By, Request, Urgency};
use mufakat_record::kinds::request_step::{Ground, RequestStep};
use mufakat_record::{AgencyId, RecordId, ThreadId, Tlp};
use serde::{Deserialize, Serialize};

use self::machine::Line;
use crate::clock::Clock;
use crate::{Event, Happening, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "requests";
/// How many steps of one side of a request are shown and have an effect.
pub const STEPS_MAX: usize = 64;
/// How many escalations a row shows: the latest.
pub const ESCALATIONS_MAX: usize = 16;
/// How many earlier requests on the same subject a row shows: the latest.
pub const DUPLICATES_MAX: usize = 16;
/// How many identifiers of one request are compared with those of other requests.
pub const SUBJECTS_MAX: usize = 32;

/// On which side of a request this agency stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// It asks.
    Asking,
    /// It is asked.
    Asked,
    /// It has a copy.
    Copy,
}

impl Side {
    /// The side's name.
    pub fn name(self) -> &'static str {
        match self {
            Side::Asking => "asking",
            Side::Asked => "asked",
            Side::Copy => "copy",
        }
    }
}

/// The body of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where this agency stands.
    pub side: Side,
    /// The agency on the other side.
    pub partner: AgencyId,
    /// The request's one line.
    pub title: String,
    /// Who asks.
    pub by: By,
    /// Why it is urgent, if it is.
    pub urgency: Option<Urgency>,
    /// Its label.
    pub tlp: Tlp,
    /// Its matter.
    pub thread: ThreadId,
    /// What became of it.
    pub state: String,
    /// Its clock, once the asked side has it. Whether it is over now depends on the time at which one looks.
    pub clock: Option<Clock>,
    /// When it is due, as the clocks of the asked side show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_local: Option<String>,
    /// How it was replied to: `answered`, `answered-in-part` or `refused`.
    pub outcome: Option<String>,
    /// The grounds on which all or parts of it were refused.
    pub grounds: Vec<Ground>,
    /// Whether the answer may be used as evidence.
    pub evidence: bool,
    /// Whether the asked side ever waited for a judge.
    pub judicial_delay: bool,
    /// What was done about it, in the order in which it counts.
    pub steps: Vec<Line>,
    /// How many more steps there are, without effect.
    pub steps_left_out: u64,
    /// Before whom the asked agency brought it, at that agency only.
    pub escalated: Vec<Escalated>,
    /// Earlier requests of this agency on the same subject, at this agency only.
    pub duplicates: Vec<RecordId>,
    /// Whether the asked node's word on it has come, on the asking side.
    pub settled: bool,
    /// Why the asked node rejected it, or why it was never sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// When the partner was removed from the register, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner_removed_ms: Option<u64>,
}

/// An escalation, as a row keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalated {
    /// The record.
    pub record: RecordId,
    /// Before whom it was brought.
    pub level: Level,
    /// When the mark was, in milliseconds since 1970.
    pub mark_ms: u64,
    /// When it was due.
    pub due_ms: u64,
    /// When it was brought before them.
    pub at_ms: u64,
}

impl Entry {
    /// Reads the body of a row.
    pub fn of(body: &serde_json::Value) -> Option<Self> {
        Self::deserialize(body).ok()
    }

    /// Whether its clock runs or stands still.
    pub fn is_open(&self) -> bool {
        machine::State::OPEN.iter().any(|state| state.name() == self.state)
    }

    /// Whether one more step of a side would be shown and have an effect.
    pub fn has_room(&self, by_asker: bool) -> bool {
        self.steps.iter().filter(|line| line.by_asker == by_asker).count() < STEPS_MAX
    }

    /// What its steps come to.
    pub fn matter(&self) -> machine::Matter {
        machine::Matter::of(self.urgency, &mut self.steps.clone())
    }

    /// Whether deputy or supervisor has been told of the end that the clock has now.
    pub fn is_escalated(&self, level: Level) -> bool {
        let due_ms = self.clock.as_ref().map(|clock| clock.due_ms);
        self.escalated.iter().any(|told| told.level == level && Some(told.due_ms) == due_ms)
    }
}

/// The key of the row for a request and the agency on the other side.
pub fn key(leaf: u64, partner: &AgencyId) -> Vec<u8> {
    [&leaf.to_be_bytes(), partner.as_str().as_bytes()].concat()
}

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Requests;

impl View for Requests {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["side", "state", "partner", "urgency", "on", "subject", "step", "awaits"]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Authored(record) | Happening::Received(record) => match record.header().kind.as_str() {
                Request::KIND => fold::request(event, record, rows),
                RequestStep::KIND => fold::step(event, record, rows),
                Escalation::KIND => fold::escalation(event, record, rows),
                _ => Ok(Vec::new()),
            },
            Happening::Receipt(record)
                if record.header().kind == Receipt::KIND && record.header().author != *event.me =>
            {
                fold::receipt(record, rows)
            }
            Happening::Removed(agencies) => fold::removed(event.at_ms, agencies, rows),
            Happening::Deleted(record) => fold::deleted(record, rows),
            _ => Ok(Vec::new()),
        }
    }
}
