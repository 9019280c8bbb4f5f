//! `escalation`: a home record by which a node notes that the clock of a request that it was asked, or the time in which a
//! retraction or correction of its own is to be answered, has come to a mark, such as its end, so that the deputy or the
//! supervisor is told once. The node makes it by itself, so no officer stands in it.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Body, refers_once};
use crate::{Header, Relation};

/// Whom it is brought before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Level {
    /// The deputy of whoever has it.
    #[n(0)]
    Deputy,
    /// The supervisor.
    #[n(1)]
    Supervisor,
}

impl Level {
    /// The level's name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Deputy => "deputy",
            Level::Supervisor => "supervisor",
        }
    }
}

/// An escalation. The request, retraction or correction stands in the header's references (about).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Escalation {
    /// Whom it is brought before.
    #[n(1)]
    pub level: Level,
    /// When the mark was, in milliseconds since 1970.
    #[n(2)]
    pub mark_ms: u64,
    /// When the clock ends or ended, in milliseconds since 1970.
    #[n(3)]
    pub due_ms: u64,
}

impl Body for Escalation {
    const KIND: &'static str = "escalation";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        self.mark_ms <= self.due_ms && refers_once(header, Relation::About)
    }
}
