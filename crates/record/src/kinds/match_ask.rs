//! `match-ask`, `match-sent` and `match-end`: what an officer asks partners by private matching, the questions that went out for it,
//! and that it is asked no more. Home records: the partners see the questions alone.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::match_question::{BASIS_BYTES_MAX, MatchQuestion};
use super::{Body, refers_once};
use crate::identifier::VALUE_BYTES_MAX;
use crate::matching::Subject;
use crate::{AgencyId, Header, OfficerId, PURPOSE_BYTES_MAX, RecordId, Relation};

/// How many identifiers and names may be asked about at once.
pub const ITEMS_MAX: usize = 1024;
/// How many bytes of them.
pub const ITEMS_BYTES_MAX: usize = 160 * 1024;
/// How many partners may be asked at once.
pub const PARTNERS_MAX: usize = 64;
/// How many questions may go out together for one ask.
pub const QUESTIONS_MAX: usize = 512;
/// The longest name of a case, in bytes.
pub const CASE_BYTES_MAX: usize = 200;

/// An identifier or a name that is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = MatchItem))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Item {
    /// What it is.
    #[n(1)]
    pub subject: Subject,
    /// As given.
    #[n(2)]
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 400))]
    pub value: String,
    /// The year of birth; of a name, and of nothing else.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_year: Option<u16>,
}

/// An ask.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MatchAsk {
    /// Who asks; nobody when it was handed in at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// For which purpose.
    #[n(2)]
    pub purpose: String,
    /// The case. Partners get a salted hash of it.
    #[n(3)]
    pub case: String,
    /// The legal basis.
    #[n(4)]
    pub basis: String,
    /// The partners.
    #[n(5)]
    pub partners: Vec<AgencyId>,
    /// What is asked about.
    #[n(6)]
    pub items: Vec<Item>,
    /// From this every secret of every question follows; with it an inspector can recompute them.
    #[n(7)]
    #[cbor(with = "minicbor::bytes")]
    pub secret: [u8; 32],
    /// Until when it is watched whether one of them comes to be listed, in seconds since 1970; nothing if it is asked once.
    #[n(8)]
    pub watch_until: Option<u64>,
}

impl Body for MatchAsk {
    const KIND: &'static str = "match-ask";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        self.fault().is_none() && !self.partners.contains(&header.author)
    }

    fn fault(&self) -> Option<&'static str> {
        let bytes: usize = self.items.iter().map(|item| item.value.len()).sum();
        let said = |text: &str, bytes_max| !text.trim().is_empty() && text.len() <= bytes_max;
        let in_range = |item: &Item| (1..=VALUE_BYTES_MAX).contains(&item.value.len());
        if !said(&self.purpose, PURPOSE_BYTES_MAX) {
            Some("`purpose` has 1 to 100 bytes and is not blank")
        } else if !said(&self.case, CASE_BYTES_MAX) {
            Some("`case` has 1 to 200 bytes and is not blank")
        } else if !said(&self.basis, BASIS_BYTES_MAX) {
            Some("`basis` has 1 to 400 bytes and is not blank")
        } else if !(1..=PARTNERS_MAX).contains(&self.partners.len()) {
            Some("`partners` names 1 to 64 agencies")
        } else if !distinct(&self.partners) {
            Some("`partners` names no agency twice")
        } else if !(1..=ITEMS_MAX).contains(&self.items.len()) || bytes > ITEMS_BYTES_MAX {
            Some("`items` has 1 to 1024 identifiers and names, of 160 KiB together")
        } else if !self.items.iter().all(in_range) {
            Some("`value` has 1 to 400 bytes")
        } else if self.items.iter().any(|item| item.birth_year.is_some() != (item.subject == Subject::Name)) {
            Some("`birth_year` goes with a name, and with nothing else")
        } else {
            None
        }
    }
}

/// One question of an ask.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct Sent {
    /// The question.
    #[n(1)]
    pub question: RecordId,
    /// To whom.
    #[n(2)]
    pub partner: AgencyId,
    /// About what.
    #[n(3)]
    pub subject: Subject,
    /// Under which key of the partner.
    #[n(4)]
    pub key: RecordId,
    /// Which part of the subject's identifiers, counted from 0: one question holds so many.
    #[n(5)]
    pub part: u32,
    /// How many identifiers it asks for.
    #[n(6)]
    pub count: u32,
}

/// The questions that went out for an ask. The ask stands in the header's references (about).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct MatchSent {
    /// The questions.
    #[n(1)]
    pub questions: Vec<Sent>,
}

impl Body for MatchSent {
    const KIND: &'static str = "match-sent";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        let places = self.questions.iter().map(|sent| (&sent.partner, sent.subject, sent.part));
        refers_once(header, Relation::About)
            && (1..=QUESTIONS_MAX).contains(&self.questions.len())
            && distinct(self.questions.iter().map(|sent| sent.question))
            && distinct(places)
            && self.questions.iter().all(|sent| MatchQuestion::size_for(sent.count as usize).is_some())
    }
}

/// Whether all of them differ.
fn distinct<T: Ord>(all: impl IntoIterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    all.into_iter().all(|one| seen.insert(one))
}

/// An ask is watched no more. It stands in the header's references (about).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct MatchEnd {
    /// Who ended it; nobody at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
}

impl Body for MatchEnd {
    const KIND: &'static str = "match-end";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        refers_once(header, Relation::About)
    }
}
