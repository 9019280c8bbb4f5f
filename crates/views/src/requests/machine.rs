//! What becomes of a request: a function of the request and of the set of its steps, so that both sides come to the same,
//! whatever the order in which they learn of them.
//!
//! Steps count in the order of the asked side's time: of its own steps the signed time, of the asking side's the time at which
//! the asked side took them in. At the same time the asking side comes first, and then the lesser id. `received` comes before
//! everything, because the clock starts with it. A step that does not fit where it stands is kept, shown as out of turn, and
//! changes nothing.

use std::cmp::Ordering;

use mufakat_record::RecordId;
use mufakat_record::kinds::request::{By, Urgency};
use mufakat_record::kinds::request_step::{Ground, Step};
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Term};

/// A step as a row keeps it; long texts are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The record.
    pub record: RecordId,
    /// When it was taken, by the asked side's time, in milliseconds since 1970; absent while it is under way to the asked side,
    /// and for ever if that rejected it.
    pub at_ms: Option<u64>,
    /// Whether the asking side took it.
    pub by_asker: bool,
    /// Who took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// What it is.
    pub says: Step,
    /// Records that it cites, and files that it carries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cites: Vec<RecordId>,
    /// Why the asked side rejected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// Whether it did not fit where it stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_turn: bool,
}

impl Line {
    /// The order in which steps count. Those that are still under way come last.
    pub fn order(&self, other: &Self) -> Ordering {
        let key = |line: &Self| {
            let begins = matches!(line.says, Step::Received { .. });
            (line.at_ms.is_none(), !begins, line.at_ms, !line.by_asker, line.record)
        };
        key(self).cmp(&key(other))
    }
}

/// The states of a request, as far as steps decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It is on its way.
    Sent,
    /// The asked side has it.
    Received,
    /// The asked side gave it to a desk or an officer.
    Routed,
    /// The asked side waits for a clarification.
    Clarification,
    /// The asked side waits for a judge.
    AwaitingJudge,
    /// It is answered in part, and the rest refused.
    AnsweredInPart,
    /// It is answered in full.
    Answered,
    /// It is refused.
    Refused,
    /// The asking side took it back.
    Withdrawn,
    /// The asking side said what the answer was worth.
    Feedback,
    /// The asking side is done with it.
    Closed,
}

impl State {
    /// Every state with its name.
    pub const ALL: [(State, &str); 11] = [
        (State::Sent, "sent"),
        (State::Received, "received"),
        (State::Routed, "routed"),
        (State::Clarification, "clarification"),
        (State::AwaitingJudge, "awaiting-judge"),
        (State::AnsweredInPart, "answered-in-part"),
        (State::Answered, "answered"),
        (State::Refused, "refused"),
        (State::Withdrawn, "withdrawn"),
        (State::Feedback, "feedback"),
        (State::Closed, "closed"),
    ];

    /// The states in which the clock runs or stands still.
    pub const OPEN: [State; 4] = [State::Received, State::Routed, State::Clarification, State::AwaitingJudge];

    /// The state's name.
    pub fn name(self) -> &'static str {
        // The table holds every variant in the order of its discriminants.
        Self::ALL[self as usize].1
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered { in_full: bool },
    Refused,
    Withdrawn,
}

/// A request with all that its steps came to.
#[derive(Debug, Clone)]
pub struct Matter {
    term: Term,
    clock: Option<Clock>,
    routed: bool,
    judge: bool,
    judicial_delay: bool,
    /// A clarification was asked at some time, as must be before a refusal for an invalid request.
    clarified: bool,
    /// A clarification is awaited now. Past the end of the clock one can be asked, though it stops nothing any more.
    awaited: bool,
    outcome: Option<Outcome>,
    feedback: bool,
    closed: bool,
    evidence: bool,
    grounds: Vec<Ground>,
    latest_ms: u64,
}

impl Matter {
    /// What a request of this urgency comes to with these steps, each of which is marked if it is out of turn. They need not be
    /// in order, and are afterwards.
    pub fn of(urgency: Option<Urgency>, lines: &mut [Line]) -> Self {
        let mut matter = Self {
            term: Term::of(urgency),
            clock: None,
            routed: false,
            judge: false,
            judicial_delay: false,
            clarified: false,
            awaited: false,
            outcome: None,
            feedback: false,
            closed: false,
            evidence: false,
            grounds: Vec::new(),
            latest_ms: 0,
        };
        lines.sort_by(Line::order);
        for line in lines {
            // What has not arrived is in no order yet.
            line.out_of_turn = match line.at_ms {
                Some(at_ms) => !(line.by_asker == line.says.is_askers() && matter.take(at_ms, &line.says)),
                None => false,
            };
        }
        matter
    }

    /// The state.
    pub fn state(&self) -> State {
        match self.outcome {
            _ if self.closed => State::Closed,
            _ if self.feedback => State::Feedback,
            Some(Outcome::Answered { in_full: true }) => State::Answered,
            Some(Outcome::Answered { in_full: false }) => State::AnsweredInPart,
            Some(Outcome::Refused) => State::Refused,
            Some(Outcome::Withdrawn) => State::Withdrawn,
            None if self.clock.is_none() => State::Sent,
            None if self.awaited => State::Clarification,
            None if self.judge => State::AwaitingJudge,
            None if self.routed => State::Routed,
            None => State::Received,
        }
    }

    /// The clock, once the asked side has the request.
    pub fn clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// The grounds on which all or parts of it were refused, ascending.
    pub fn grounds(&self) -> &[Ground] {
        &self.grounds
    }

    /// Whether the answer may be used as evidence.
    pub fn evidence(&self) -> bool {
        self.evidence
    }

    /// Whether an answer or a refusal was given, and which: `answered`, `answered-in-part` or `refused`.
    pub fn outcome(&self) -> Option<State> {
        match self.outcome {
            Some(Outcome::Answered { in_full: true }) => Some(State::Answered),
            Some(Outcome::Answered { in_full: false }) => Some(State::AnsweredInPart),
            Some(Outcome::Refused) => Some(State::Refused),
            Some(Outcome::Withdrawn) | None => None,
        }
    }

    /// Whether the asked side ever waited for a judge.
    pub fn judicial_delay(&self) -> bool {
        self.judicial_delay
    }

    /// Whether a step of this form would fit now.
    pub fn would_take(&self, step: &Step) -> bool {
        self.clone().take(self.latest_ms, step)
    }

    fn is_open(&self) -> bool {
        self.clock.is_some() && self.outcome.is_none()
    }

    /// Takes a step; false, and nothing happens, if it does not fit.
    fn take(&mut self, at_ms: u64, step: &Step) -> bool {
        // Steps come in order; only the one that starts the clock may be later than what follows it.
        let now_ms = at_ms.max(self.latest_ms);
        let fits = self.fits(step);
        if !fits {
            return false;
        }
        match step {
            Step::Received { time_zone, within_s } => {
                self.clock = Some(Clock::start(now_ms, self.term, time_zone, *within_s));
            }
            Step::Routed { .. } => self.routed = true,
            Step::ClarificationAsked { text } => {
                (self.clarified, self.awaited) = (true, true);
                self.with_clock(|clock| clock.pause(now_ms, text));
            }
            Step::ClarificationGiven { .. } => {
                self.awaited = false;
                self.with_clock(|clock| clock.resume(now_ms));
            }
            Step::AwaitingJudge { until, why } | Step::Extended { until, why } => {
                (self.judge, self.judicial_delay) = (true, true);
                self.with_clock(|clock| clock.extend(now_ms, until.saturating_mul(1000), why));
            }
            Step::Answered { refused, evidence, .. } => {
                let refused = refused.as_deref().unwrap_or_default();
                self.evidence |= *evidence;
                self.end(now_ms, Outcome::Answered { in_full: refused.is_empty() });
                self.grounds = refused.iter().map(|part| part.ground).collect();
                self.grounds.sort_unstable();
                self.grounds.dedup();
            }
            Step::Refused { grounds, .. } => {
                self.end(now_ms, Outcome::Refused);
                self.grounds.clone_from(grounds);
            }
            Step::Withdrawn { .. } => self.end(now_ms, Outcome::Withdrawn),
            Step::Feedback { .. } => self.feedback = true,
            Step::EvidencePermitted { .. } => self.evidence = true,
            Step::Closed => self.closed = true,
        }
        self.latest_ms = now_ms;
        true
    }

    fn fits(&self, step: &Step) -> bool {
        let replied = matches!(self.outcome, Some(Outcome::Answered { .. } | Outcome::Refused));
        match step {
            Step::Received { .. } => self.clock.is_none(),
            Step::Routed { .. } => self.is_open(),
            Step::ClarificationAsked { .. } => self.is_open() && !self.awaited,
            Step::ClarificationGiven { .. } => self.is_open() && self.awaited,
            Step::AwaitingJudge { .. } => self.is_open() && !self.awaited && !self.judge,
            Step::Extended { .. } => self.is_open() && !self.awaited && self.judge,
            // What was refused at first may be given after all.
            Step::Answered { refused, .. } => {
                let parts = refused.as_deref().unwrap_or_default();
                let supplements = self.outcome == Some(Outcome::Answered { in_full: false });
                ((self.is_open() || supplements) && !self.closed)
                    && self.may_refuse(parts.iter().map(|part| part.ground))
            }
            Step::Refused { grounds, .. } => self.is_open() && self.may_refuse(grounds.iter().copied()),
            Step::Withdrawn { .. } => self.is_open(),
            Step::Feedback { .. } => replied && !self.closed,
            Step::EvidencePermitted { .. } => matches!(self.outcome, Some(Outcome::Answered { .. })) && !self.evidence,
            Step::Closed => self.outcome.is_some() && !self.closed,
        }
    }

    /// What a clarification could mend is not refused before one was asked (Directive (EU) 2023/977, article 6(3)).
    fn may_refuse(&self, mut grounds: impl Iterator<Item = Ground>) -> bool {
        self.clarified || grounds.all(|ground| ground != Ground::InvalidRequest)
    }

    fn end(&mut self, at_ms: u64, outcome: Outcome) {
        (self.outcome, self.awaited) = (Some(outcome), false);
        self.with_clock(|clock| clock.end(at_ms));
    }

    fn with_clock(&mut self, change: impl FnOnce(&mut Clock)) {
        if let Some(clock) = &mut self.clock {
            change(clock);
        }
    }
}
