//! `draft`: what an officer wrote and has not been released. It stays home: only what is made of it leaves.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Body;
use super::attachment::Attachment;
use super::correction::Correction;
use super::report::Report;
use super::request::Request;
use super::request_step::RequestStep;
use crate::{AUDIENCE_MAX, AgencyId, EYES_MAX, Handling, Header, OfficerId, RecordId, Reference, Relation, ThreadId};

/// How many files one draft may carry.
pub const DRAFT_ATTACHMENTS_MAX: usize = 16;
/// How many records one draft may be about.
pub const DRAFT_ABOUT_MAX: usize = 32;

/// A draft. It never changes: an edited one is another draft, whose header says that it corrects the one before, so that an
/// approval is always of the very text that it was given for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Draft {
    /// Who wrote it; nobody when it was handed in at the node's socket.
    #[n(1)]
    pub by: Option<OfficerId>,
    /// The kind of record that it is to become.
    #[n(2)]
    pub kind: String,
    /// The body of that record. What a node fills in by itself when it releases it, the time of a step, is that of the draft.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub body: Vec<u8>,
    /// The agencies, parties and forums that are to get it, as they were named.
    #[n(4)]
    pub to: Vec<AgencyId>,
    /// The handling of that record.
    #[n(5)]
    pub handling: Handling,
    /// The matter that it belongs to.
    #[n(6)]
    pub thread: ThreadId,
    /// When what becomes of it expires, in seconds since 1970.
    #[n(7)]
    pub expires: Option<u64>,
    /// Whether each recipient is to get a record of its own, so that none learns of the others.
    #[n(8)]
    pub hidden_audience: bool,
    /// The files that go with it.
    #[n(9)]
    pub attachments: Option<Vec<Attachment>>,
    /// The records that it is about.
    #[n(10)]
    pub about: Option<Vec<RecordId>>,
    /// The record that it corrects, or the request in which it is a step; of nothing else.
    #[n(11)]
    pub target: Option<RecordId>,
}

/// What a draft is to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Drafted {
    /// A report.
    Report(Box<Report>),
    /// A report in the place of an earlier one.
    Correction(Box<Correction>),
    /// A request for information.
    Request(Box<Request>),
    /// A step in a request.
    Step(Box<RequestStep>),
}

impl Drafted {
    /// The kind of the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Drafted::Report(_) => Report::KIND,
            Drafted::Correction(_) => Correction::KIND,
            Drafted::Request(_) => Request::KIND,
            Drafted::Step(_) => RequestStep::KIND,
        }
    }

    /// One line that tells it from others: its title, or the name of the step.
    pub fn title(&self) -> &str {
        match self {
            Drafted::Report(report) => &report.title,
            Drafted::Correction(correction) => &correction.report.title,
            Drafted::Request(request) => &request.title,
            Drafted::Step(step) => step.step.name(),
        }
    }

    /// How the record refers to the draft's target.
    fn relation(kind: &str) -> Option<Relation> {
        match kind {
            Correction::KIND => Some(Relation::Corrects),
            RequestStep::KIND => Some(Relation::Answers),
            _ => None,
        }
    }
}

impl Draft {
    /// What it is to become, checked as far as that can be before it has an audience.
    pub fn drafted(&self, own: &Header) -> Option<Drafted> {
        let reference = match (Drafted::relation(&self.kind), self.target) {
            (Some(relation), Some(record)) => Some(Reference { relation, record }),
            (None, None) => None,
            _ => return None,
        };
        let (references, mut audience) = (reference.into_iter().collect(), self.to.clone());
        audience.sort();
        let header = Header { kind: self.kind.clone(), audience, references, ..own.clone() };
        fn read<B: Body>(header: &Header, body: &[u8]) -> Option<Box<B>> {
            B::from_body(header, body).ok().map(Box::new)
        }
        match self.kind.as_str() {
            Report::KIND => read(&header, &self.body).map(Drafted::Report),
            Correction::KIND => read(&header, &self.body).map(Drafted::Correction),
            Request::KIND => read(&header, &self.body).map(Drafted::Request),
            RequestStep::KIND => read(&header, &self.body).map(Drafted::Step),
            _ => None,
        }
    }
}

impl Body for Draft {
    const KIND: &'static str = "draft";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        let within = |length: Option<usize>, max: usize| length.is_none_or(|length| (1..=max).contains(&length));
        let ascending = |codes: &[crate::Code]| codes.windows(2).all(|pair| pair[0] < pair[1]);
        self.drafted(header).is_some()
            && (1..=AUDIENCE_MAX).contains(&self.to.len())
            && self.handling.codes.as_deref().is_none_or(ascending)
            && within(self.handling.eyes.as_ref().map(Vec::len), EYES_MAX)
            && within(self.attachments.as_ref().map(Vec::len), DRAFT_ATTACHMENTS_MAX)
            && self.attachments.iter().flatten().all(|attachment| attachment.is_sound(header))
            && within(self.about.as_ref().map(Vec::len), DRAFT_ABOUT_MAX)
    }
}
