//! What must always hold, and what is told when it does not.

use std::fmt;

/// What a run checks: the invariants of the design, under the design's numbers, and after those what the matters of desks must
/// hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Invariant {
    /// Each record sent ends in a receipt or in a visible, reasoned failure, once; nothing acknowledged is lost.
    NoSilentLoss = 1,
    /// Nobody outside the audience reads it.
    AudienceOnly = 2,
    /// The originator's signed bytes travel unchanged.
    BytesUnchanged = 3,
    /// History cannot be rewritten quietly.
    HistoryHolds = 4,
    /// Every view can be rebuilt to the same rows, and a store is sound.
    ViewsRebuild = 6,
    /// Bad input from a peer is an answer, not a crash.
    BadInputIsAnswer = 7,
    /// A node works alone.
    WorksAlone = 8,
    /// The register never goes back, and an agency that it removed is outside.
    RegisterHolds = 9,
    /// Clocks lie, and that blocks nothing.
    ClocksLie = 10,
    /// Both sides of a request come to the same state, clock and steps.
    SidesAgree = 11,
    /// Summaries of use are without gaps, and tell of what was done.
    UsesTold = 12,
    /// What a legal hold is on is not deleted.
    HeldStays = 13,
    /// Every question of matching is answered or refused, once, and both sides tell the same of it.
    QuestionsEnd = 14,
    /// A hit is shown if and only if the holder's list has the identifier, as of the last filter that came.
    HitsTrue = 15,
    /// Nothing outside the asker's own ask says what is asked, nor that two questions ask the same.
    NothingLearned = 16,
    /// What was asked before is not answered again.
    ReplaysRefused = 17,
    /// An answer that is not sound, or of somebody who was not asked, says nothing of any identifier.
    LiesAreFaults = 18,
    /// No more is evaluated for a partner within a window than its budget.
    BudgetsHold = 19,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NoSilentLoss => "no silent loss",
            Self::AudienceOnly => "nobody outside the audience reads it",
            Self::BytesUnchanged => "signed bytes travel unchanged",
            Self::HistoryHolds => "history cannot be rewritten quietly",
            Self::ViewsRebuild => "every view can be rebuilt",
            Self::BadInputIsAnswer => "bad input is an answer, not a crash",
            Self::WorksAlone => "a node works alone",
            Self::RegisterHolds => "the register never goes back",
            Self::ClocksLie => "clocks lie",
            Self::SidesAgree => "both sides of a request come to the same",
            Self::UsesTold => "summaries of use tell of what was done",
            Self::HeldStays => "what a legal hold is on is not deleted",
            Self::QuestionsEnd => "every question of matching ends once, and both sides agree",
            Self::HitsTrue => "a hit is shown if and only if it is listed",
            Self::NothingLearned => "nobody learns what is asked",
            Self::ReplaysRefused => "what was asked before is not answered again",
            Self::LiesAreFaults => "an answer that is not sound says nothing",
            Self::BudgetsHold => "no more is evaluated than a budget holds",
        };
        write!(f, "{} ({text})", *self as u8)
    }
}

/// An invariant did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// After how many events.
    pub step: u64,
    /// The invariant.
    pub invariant: Invariant,
    /// The agencies concerned.
    pub agencies: Vec<String>,
    /// What was found.
    pub what: String,
    /// The last events before that.
    pub trail: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, step {}: invariant {} is broken", self.seed, self.step, self.invariant)?;
        writeln!(f, "  {}", self.what)?;
        writeln!(f, "  agencies: {}", self.agencies.join(", "))?;
        writeln!(f, "  the last events:")?;
        for line in &self.trail {
            writeln!(f, "    {line}")?;
        }
        write!(f, "  again: cargo run -p mufakat-sim -- --from {} --seeds 1", self.seed)
    }
}

impl std::error::Error for Failure {}

/// Why the handling of an event ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The node is down, or went down.
    Down,
    /// The node's disk is full; nothing was done.
    Full,
    /// An invariant is broken.
    Failed(Box<Failure>),
}

impl From<Box<Failure>> for Stop {
    fn from(failure: Box<Failure>) -> Self {
        Stop::Failed(failure)
    }
}
