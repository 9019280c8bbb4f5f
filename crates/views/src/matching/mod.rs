//! `matching`: private matching at both ends. What officers ask, what came of each question, what partners ask here, whose keys and
//! filters there are, what was taken in for the lists, and how much a partner may ask.
//!
//! - Key: the index of a leaf, 8 bytes, big-endian, and two bytes: 0, or the place of a question among those that went out together,
//!   counted from 1.
//! - Time: when the row came about.
//! - Facets: `row`, what sort of row it is (below); and by what the fold, the node and people find it: `ask`, `question`, `key`, `side`,
//!   `partner`, `subject`, `state`, `by`, `current`, `budget`, `watch`, `commitment`.
//! - Body: one of these, by `row`:
//!   - `ask` ([`Ask`]): what an officer asks, without the identifiers. Record: the `match-ask`.
//!   - `question` ([`Question`]): one question to one partner, with its hits. Record: the `match-ask`, so whoever may not see the ask
//!     does not see the hits.
//!   - `asked` ([`Asked`]): a question of a partner. Record: the `match-question`.
//!   - `key` ([`Key`]): a key of this agency's for a partner, or of a partner's for this agency, with the filters made under it. Record:
//!     the `match-key`.
//!   - `list`, `budget`, `alarm`: the bodies of `match-list`, `match-budget` and `match-alarm`. Record: that.
//!
//! An ask can be deleted; its rows go with it. Everything else here holds nothing of what was asked.

mod fold;
#[cfg(test)]
mod tests;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::MatchAnswer;
use mufakat_record::kinds::match_ask::{MatchAsk, MatchEnd, MatchSent};
use mufakat_record::kinds::match_filter::MatchFilter;
use mufakat_record::kinds::match_key::MatchKey;
use mufakat_record::kinds::match_list::{MatchAlarm, MatchBudget, MatchList};
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::match_result::{Confidence, MatchResult};
use mufakat_record::kinds::request::By;
use mufakat_record::matching::{Category, Subject};
use mufakat_record::{AgencyId, Digest, OfficerId, RecordId, Tlp};
use serde::{Deserialize, Serialize};

use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "matching";
/// The media type of a filter, by which it is told from what people attach.
pub const FILTER_MEDIA_TYPE: &str = "application/vnd.mufakat.match-filter";

/// The kinds of which this view tells, and which no other view lists.
pub const KINDS: [&str; 11] = [
    MatchAlarm::KIND,
    MatchAnswer::KIND,
    MatchAsk::KIND,
    MatchBudget::KIND,
    MatchEnd::KIND,
    MatchFilter::KIND,
    MatchKey::KIND,
    MatchList::KIND,
    MatchQuestion::KIND,
    MatchResult::KIND,
    MatchSent::KIND,
];

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The partner has not answered.
    Waiting,
    /// The partner's answer is here and has not been looked into.
    Answered,
    /// Something is listed.
    Hit,
    /// Nothing is listed.
    Miss,
    /// The partner refused.
    Refused,
    /// The answer or the filter is not sound, so nothing can be said.
    Fault,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Waiting, Self::Answered, Self::Hit, Self::Miss, Self::Refused, Self::Fault];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Answered => "answered",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Refused => "refused",
            Self::Fault => "fault",
        }
    }
}

/// A row of what an officer asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Always `ask`.
    pub row: String,
    /// Who asks; nobody when it was handed in at the node's socket.
    pub by: Option<OfficerId>,
    /// For which purpose.
    pub purpose: String,
    /// The case.
    pub case: String,
    /// The legal basis.
    pub basis: String,
    /// The partners.
    pub partners: Vec<AgencyId>,
    /// How many identifiers and names.
    pub items: u32,
    /// Until when it is watched, in seconds since 1970.
    pub watch_until: Option<u64>,
    /// When the watching was ended, in milliseconds since 1970.
    pub ended_ms: Option<u64>,
    /// How many questions went out for it.
    pub questions: u32,
}

/// An identifier that a partner lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Which item of the ask, counted from 0.
    pub item: u32,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why it is listed.
    pub category: Category,
    /// How the holder wants the hit handled.
    pub tlp: Tlp,
    /// The holder's number for the entry.
    pub handle: u32,
}

/// A row of one question to one partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Always `question`.
    pub row: String,
    /// The ask.
    pub ask: RecordId,
    /// The question.
    pub question: RecordId,
    /// To whom.
    pub partner: AgencyId,
    /// About what.
    pub subject: Subject,
    /// Under which key of the partner.
    pub key: RecordId,
    /// Which part of the subject's identifiers.
    pub part: u32,
    /// How many identifiers it asks for; of a name, each key by which it is compared counts.
    pub count: u32,
    /// When it went out, in milliseconds since 1970.
    pub asked_ms: u64,
    /// What became of it.
    pub state: State,
    /// The partner's answer.
    pub answer: Option<RecordId>,
    /// When it came, in milliseconds since 1970.
    pub answered_ms: Option<u64>,
    /// Why it was refused, or what is not sound.
    pub reason: Option<String>,
    /// The number of the last filter of changes that was looked into.
    pub through: Option<u32>,
    /// When it was last looked into, in milliseconds since 1970.
    pub looked_ms: Option<u64>,
    /// When the partner told of the last filter that was looked into, in milliseconds since 1970.
    pub list_at_ms: Option<u64>,
    /// What is listed.
    pub hits: Vec<Hit>,
}

/// A row of a partner's question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Always `asked`.
    pub row: String,
    /// Who asks.
    pub partner: AgencyId,
    /// The officer behind it, as the partner names him or her.
    pub by: By,
    /// For which purpose.
    pub purpose: String,
    /// The partner's salted hash of the case.
    pub case: Digest,
    /// The legal basis.
    pub basis: String,
    /// About what, if the key is one of this agency's for that partner.
    pub subject: Option<Subject>,
    /// Under which key.
    pub key: RecordId,
    /// How many identifiers it says that it asks for.
    pub count: u32,
    /// How many elements it has, which is what counts for the budget: nobody but the partner knows which of them fill up.
    pub size: u32,
    /// `open`, `answered` or `refused`.
    pub state: String,
    /// Why it was refused.
    pub reason: Option<String>,
    /// When it was answered or refused, in milliseconds since 1970.
    pub answered_ms: Option<u64>,
}

/// A filter, as the row of its key tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// 0 for the whole list, and from 1 what changed since.
    pub number: u32,
    /// How many identifiers it has room for.
    pub class: u32,
    /// The hash of its bytes.
    pub digest: Digest,
    /// The record that tells of it.
    pub record: RecordId,
    /// The attachment that it is.
    pub attachment: RecordId,
    /// When it was told of, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A row of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Always `key`.
    pub row: String,
    /// `given` by this agency to the partner, or `got` from it.
    pub side: String,
    /// The partner.
    pub partner: AgencyId,
    /// What it is for.
    pub subject: Subject,
    /// Whether there are so few of these that a list of them is accounted for and not secret.
    pub enumerable: bool,
    /// The number of the epoch.
    pub epoch: u32,
    /// The public key.
    pub key: Digest,
    /// From when the holder answers under it, in seconds since 1970.
    pub from: u64,
    /// Until when.
    pub until: u64,
    /// Whether a later key of the same holder, partner and subject has taken its place.
    pub replaced: bool,
    /// The latest filter of the whole list and those of what changed since.
    pub filters: Vec<Filter>,
}

macro_rules! reads {
    ($($sort:ident $name:literal),*) => { $(
        impl $sort {
            /// The name of this sort of row.
            pub const ROW: &str = $name;

            /// What a row says; nothing if it is of another sort.
            pub fn of(row: &Row) -> Option<Self> {
                let found = row.body["row"] == Self::ROW;
                found.then(|| serde_json::from_value(row.body.clone()).ok()).flatten()
            }
        }
    )* };
}
reads!(Ask "ask", Question "question", Asked "asked", Key "key");

/// The facet `current` of the latest key of a side, partner and subject.
pub fn current(side: &str, partner: &AgencyId, subject: Subject) -> String {
    format!("{side} {partner} {subject}")
}

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Matching;

impl View for Matching {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &[
            "ask",
            "budget",
            "by",
            "commitment",
            "current",
            "key",
            "partner",
            "question",
            "row",
            "side",
            "state",
            "subject",
            "watch",
        ]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Authored(record) => match record.header().kind.as_str() {
                MatchAsk::KIND => Ok(fold::ask(event, record)),
                MatchSent::KIND => fold::sent(event, record, rows),
                MatchResult::KIND => fold::result(event, record, rows),
                MatchEnd::KIND => fold::ended(event, record, rows),
                MatchAnswer::KIND => fold::given(event, record, rows),
                MatchKey::KIND => fold::key(event, record, ("given", record.header().audience.first()), rows),
                MatchFilter::KIND => fold::filter(event, record, "given", rows),
                MatchList::KIND => Ok(fold::list(event, record)),
                MatchBudget::KIND => fold::budget(event, record, rows),
                MatchAlarm::KIND => Ok(fold::alarm(event, record)),
                _ => Ok(Vec::new()),
            },
            Happening::Received(record) => match record.header().kind.as_str() {
                MatchQuestion::KIND => fold::asked(event, record, rows),
                MatchAnswer::KIND => fold::got(event, record, rows),
                MatchKey::KIND => fold::key(event, record, ("got", Some(&record.header().author)), rows),
                MatchFilter::KIND => fold::filter(event, record, "got", rows),
                _ => Ok(Vec::new()),
            },
            Happening::Deleted(record) => fold::deleted(&record, rows),
            _ => Ok(Vec::new()),
        }
    }
}
