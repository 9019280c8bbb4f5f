//! `request-step`: one step in what becomes of a [`request`](super::request), by the asking or the asked side, to the other
//! side. The request stands in the header's references (answers); an answer cites records (about) and carries files (attaches).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::report::{ENTITIES_MAX, Entity, Identifier, TEXT_BYTES_MAX, without_canonical_form};
use super::request::{By, GROUNDS_BYTES_MAX};
use super::{Body, refers_once};
use crate::{Header, Relation};

/// The longest time for which a step can put an answer off, in seconds: a leap year.
pub const WAIT_S_MAX: u64 = 366 * 86_400;
/// How many parts of a request one answer may refuse.
pub const REFUSED_PARTS_MAX: usize = 64;
/// The longest name of a time zone, in bytes.
const ZONE_BYTES_MAX: usize = 64;

/// A step of a request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cbor(map)]
pub struct RequestStep {
    /// When its author took it, in milliseconds since 1970. It lies in the second of the header's issued-at. Of the asked
    /// side's steps this is the time that counts.
    #[n(1)]
    pub at_ms: u64,
    /// Who took it; absent when the node did so by itself.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// What it is.
    #[n(3)]
    pub step: Step,
}

/// What can be done about a request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = RequestStepForm))]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
#[cbor(map)]
pub enum Step {
    /// The asked side has it, and its clock runs. The asked node says so by itself.
    #[n(0)]
    Received {
        /// The time zone of the asked agency, by its name in the IANA database. Days end there.
        #[n(0)]
        time_zone: String,
        /// Within how many seconds the asked agency promises an answer, where it promises one sooner than it must.
        #[n(1)]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within_s: Option<u64>,
    },
    /// The asked side gave it to a desk or an officer.
    #[n(1)]
    Routed {
        /// The desk, or the officer's pseudonym.
        #[n(0)]
        to: String,
    },
    /// The asked side needs to know more; its clock stands still.
    #[n(2)]
    ClarificationAsked {
        /// The question, and why the clock stands still for it.
        #[n(0)]
        text: String,
    },
    /// The asking side says more; the clock goes on.
    #[n(3)]
    ClarificationGiven {
        /// The answer to the question.
        #[n(0)]
        text: String,
    },
    /// The asked side needs a judge's authorisation (Directive (EU) 2023/977, article 5(2)).
    #[n(4)]
    AwaitingJudge {
        /// Until when, in seconds since 1970.
        #[n(0)]
        until: u64,
        /// Why.
        #[n(1)]
        why: String,
    },
    /// The judge needs longer.
    #[n(5)]
    Extended {
        /// Until when now, in seconds since 1970.
        #[n(0)]
        until: u64,
        /// Why.
        #[n(1)]
        why: String,
    },
    /// The asked side answers, in full unless it refuses parts.
    #[n(6)]
    Answered {
        /// The answer.
        #[n(0)]
        text: String,
        /// What it is about.
        #[n(1)]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entities: Option<Vec<Entity>>,
        /// The parts that are refused.
        #[n(2)]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<Vec<RefusedPart>>,
        /// Whether it may be used as evidence.
        #[n(3)]
        #[serde(default)]
        evidence: bool,
    },
    /// The asked side refuses the whole.
    #[n(7)]
    Refused {
        /// The grounds, ascending, without repetition.
        #[n(0)]
        grounds: Vec<Ground>,
        /// In words.
        #[n(1)]
        words: String,
    },
    /// The asking side takes the request back.
    #[n(8)]
    Withdrawn {
        /// Why.
        #[n(0)]
        why: String,
    },
    /// The asking side says what the answer was worth.
    #[n(9)]
    Feedback {
        /// In words.
        #[n(0)]
        text: String,
        /// Whether it was of use.
        #[n(1)]
        useful: bool,
    },
    /// The asked side allows that its answer be used as evidence, which it had not.
    #[n(10)]
    EvidencePermitted {
        /// In which proceedings and under which conditions.
        #[n(0)]
        words: String,
    },
    /// The asking side is done with it.
    #[n(11)]
    Closed,
}

/// A part of a request that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct RefusedPart {
    /// Which part.
    #[n(1)]
    pub part: String,
    /// On which ground.
    #[n(2)]
    pub ground: Ground,
    /// In words.
    #[n(3)]
    pub words: String,
}

/// The grounds of a refusal, coded a to h (after Directive (EU) 2023/977, article 6(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = RefusalGround))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Ground {
    /// a: it is not held.
    #[n(0)]
    NotHeld,
    /// b: the request is not valid.
    #[n(1)]
    InvalidRequest,
    /// c: a judge refused.
    #[n(2)]
    JudgeRefused,
    /// d: it lies outside of the data that may be given.
    #[n(3)]
    OutsidePermittedData,
    /// e: what is held is inaccurate or outdated.
    #[n(4)]
    Inaccurate,
    /// f: it would harm security, an investigation or a person's safety.
    #[n(5)]
    Security,
    /// g: the offence is minor, or none here.
    #[n(6)]
    MinorOffence,
    /// h: a third party that owns it did not consent.
    #[n(7)]
    ThirdParty,
}

impl Ground {
    /// Every ground with its letter and its name.
    pub const ALL: [(Ground, char, &str); 8] = [
        (Ground::NotHeld, 'a', "not-held"),
        (Ground::InvalidRequest, 'b', "invalid-request"),
        (Ground::JudgeRefused, 'c', "judge-refused"),
        (Ground::OutsidePermittedData, 'd', "outside-permitted-data"),
        (Ground::Inaccurate, 'e', "inaccurate"),
        (Ground::Security, 'f', "security"),
        (Ground::MinorOffence, 'g', "minor-offence"),
        (Ground::ThirdParty, 'h', "third-party"),
    ];

    /// The ground's name.
    pub fn name(self) -> &'static str {
        // The table holds every variant in the order of its discriminants.
        Self::ALL[self as usize].2
    }

    /// The ground's letter.
    pub fn letter(self) -> char {
        Self::ALL[self as usize].1
    }
}

impl std::str::FromStr for Ground {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.trim().to_ascii_lowercase();
        let found = Self::ALL.iter().find(|(_, letter, name)| *name == wanted || wanted == letter.to_string());
        let names = || Self::ALL.map(|(_, letter, name)| format!("{letter} ({name})")).join(", ");
        found.map(|(ground, ..)| *ground).ok_or_else(|| format!("one of {}", names()))
    }
}

impl Step {
    /// The step's name.
    pub fn name(&self) -> &'static str {
        match self {
            Step::Received { .. } => "received",
            Step::Routed { .. } => "routed",
            Step::ClarificationAsked { .. } => "clarification-asked",
            Step::ClarificationGiven { .. } => "clarification-given",
            Step::AwaitingJudge { .. } => "awaiting-judge",
            Step::Extended { .. } => "extended",
            Step::Answered { .. } => "answered",
            Step::Refused { .. } => "refused",
            Step::Withdrawn { .. } => "withdrawn",
            Step::Feedback { .. } => "feedback",
            Step::EvidencePermitted { .. } => "evidence-permitted",
            Step::Closed => "closed",
        }
    }

    /// Whether it is the asking side that takes it; all others are the asked side's.
    pub fn is_askers(&self) -> bool {
        matches!(self, Step::ClarificationGiven { .. } | Step::Withdrawn { .. } | Step::Feedback { .. } | Step::Closed)
    }

    /// Until when it puts the answer off, in seconds since 1970.
    fn until(&self) -> Option<u64> {
        match self {
            Step::AwaitingJudge { until, .. } | Step::Extended { until, .. } => Some(*until),
            _ => None,
        }
    }

    fn fault(&self) -> Option<&'static str> {
        let short = |text: &str| !text.trim().is_empty() && text.len() <= GROUNDS_BYTES_MAX;
        let say = |holds: bool, fault: &'static str| (!holds).then_some(fault);
        match self {
            Step::Received { time_zone, within_s } => {
                say(is_zone(time_zone), "`time_zone` is no name of a time zone (IANA)")
                    .or(say(within_s.is_none_or(|s| s > 0), "`within_s` is 0"))
            }
            Step::Routed { to } => say(short(to), "`to` is empty or has more than 4000 bytes"),
            Step::ClarificationAsked { text } | Step::ClarificationGiven { text } | Step::Feedback { text, .. } => {
                say(short(text), "`text` is empty or has more than 4000 bytes")
            }
            Step::AwaitingJudge { why, .. } | Step::Extended { why, .. } | Step::Withdrawn { why } => {
                say(short(why), "`why` is empty or has more than 4000 bytes")
            }
            Step::Answered { text, entities, refused, .. } => {
                answer_fault(text, entities.as_deref(), refused.as_deref())
            }
            Step::Refused { grounds, words } => {
                say(!grounds.is_empty(), "`grounds` are missing: a refusal names at least one of a to h")
                    .or(say(
                        grounds.windows(2).all(|pair| pair[0] < pair[1]),
                        "`grounds` are not ascending without repetition",
                    ))
                    .or(say(short(words), "`words` are empty or have more than 4000 bytes"))
            }
            Step::EvidencePermitted { words } => say(short(words), "`words` are empty or have more than 4000 bytes"),
            Step::Closed => None,
        }
    }
}

fn answer_fault(text: &str, entities: Option<&[Entity]>, refused: Option<&[RefusedPart]>) -> Option<&'static str> {
    let entities = entities.unwrap_or_default();
    let mut identifiers = entities.iter().flat_map(|e| e.identifiers.iter().flatten());
    let short = |text: &str| !text.trim().is_empty() && text.len() <= GROUNDS_BYTES_MAX;
    let checks = [
        (!text.trim().is_empty(), "`text` is empty"),
        (text.len() <= TEXT_BYTES_MAX, "`text` has more than 128 KiB; longer matter belongs in an attachment"),
        (entities.len() <= ENTITIES_MAX, "`entities` are more than 256"),
        (
            identifiers.all(Identifier::is_sound),
            "an identifier in `entities` is not one of its type, or its check digit is wrong",
        ),
        (
            refused.is_none_or(|parts| (1..=REFUSED_PARTS_MAX).contains(&parts.len())),
            "`refused` names no part or more than 64",
        ),
        (
            refused.unwrap_or_default().iter().all(|part| short(&part.part) && short(&part.words)),
            "a part in `refused` has no `part` or no `words`, or more than 4000 bytes of them",
        ),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map(|(_, fault)| fault)
}

/// Whether a text has the form of a time zone's name; whether there is such a zone, its users find out.
fn is_zone(name: &str) -> bool {
    (1..=ZONE_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"/_+-".contains(&c))
        && !name.starts_with('/')
}

impl Body for RequestStep {
    const KIND: &'static str = "request-step";

    fn is_sound(&self, header: &Header) -> bool {
        let wait = self.step.until().map(|until| until.checked_sub(header.issued_at));
        self.fault().is_none()
            && refers_once(header, Relation::Answers)
            && self.at_ms / 1000 == header.issued_at
            && wait.is_none_or(|wait| wait.is_some_and(|wait| (1..=WAIT_S_MAX).contains(&wait)))
    }

    fn shortcoming(&self) -> Option<String> {
        let entities = match &self.step {
            Step::Answered { entities, .. } => entities.as_deref().unwrap_or_default(),
            _ => &[],
        };
        without_canonical_form("entities", entities).or_else(|| self.fault().map(str::to_owned))
    }

    fn fault(&self) -> Option<&'static str> {
        let at_s = self.at_ms / 1000;
        let waits = self.step.until().is_none_or(|until| until > at_s && until - at_s <= WAIT_S_MAX);
        let automatic = matches!(self.step, Step::Received { .. });
        let named = if automatic || self.by.is_some() { None } else { Some("`by` is missing") };
        let waits = if waits { None } else { Some("`until` is not after the step, or more than 366 days after it") };
        self.step.fault().or(named).or(waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grounds_have_letters_and_names() {
        for (at, (ground, letter, name)) in Ground::ALL.into_iter().enumerate() {
            assert_eq!((ground as usize, ground.letter(), ground.name()), (at, letter, name));
            assert_eq!((letter.to_string().parse(), name.parse()), (Ok(ground), Ok(ground)));
            assert_eq!(serde_json::to_value(ground).unwrap(), name);
        }
        assert!("i".parse::<Ground>().is_err());
    }

    #[test]
    fn zones_have_a_form() {
        for good in ["UTC", "Asia/Ho_Chi_Minh", "Etc/GMT+5", "America/Argentina/Buenos_Aires"] {
            assert!(is_zone(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "Asia/Jakarta\n", "Asia/..", &"x".repeat(65)] {
            assert!(!is_zone(bad), "{bad}");
        }
    }

    #[test]
    fn steps_read_as_they_are_written() {
        let step: Step =
            serde_json::from_str(r#"{"step":"refused","grounds":["not-held"],"words":"EXERCISE"}"#).unwrap();
        assert_eq!(step, Step::Refused { grounds: vec![Ground::NotHeld], words: "EXERCISE".into() });
        assert_eq!(serde_json::to_value(&step).unwrap()["step"], step.name());
        assert!(serde_json::from_str::<Step>(r#"{"step":"routed","to":"x","too":"y"}"#).is_err());
    }
}
