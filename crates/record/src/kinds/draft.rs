//! `draft`: what an officer wrote and has not been released. It stays home: only what is made of it leaves.

use minicbor::{Decode, Encode};

use super::Body;
use super::attachment::Attachment;
use super::report::Report;
use crate::{AUDIENCE_MAX, AgencyId, EYES_MAX, Handling, Header, OfficerId, RecordId, ThreadId};

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
    /// The body of that record.
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
}

impl Draft {
    /// The header of the record that it becomes, as far as a body is checked against one.
    fn header_of_result(&self, own: &Header) -> Header {
        Header { kind: self.kind.clone(), references: Vec::new(), ..own.clone() }
    }

    /// The report that it holds, if it is one.
    pub fn report(&self, own: &Header) -> Option<Report> {
        Report::from_body(&self.header_of_result(own), &self.body).ok()
    }
}

impl Body for Draft {
    const KIND: &'static str = "draft";
    const HOME: bool = true;

    fn is_sound(&self, header: &Header) -> bool {
        let within = |length: Option<usize>, max: usize| length.is_none_or(|length| (1..=max).contains(&length));
        let ascending = |codes: &[crate::Code]| codes.windows(2).all(|pair| pair[0] < pair[1]);
        self.report(header).is_some()
            && (1..=AUDIENCE_MAX).contains(&self.to.len())
            && self.handling.codes.as_deref().is_none_or(ascending)
            && within(self.handling.eyes.as_ref().map(Vec::len), EYES_MAX)
            && within(self.attachments.as_ref().map(Vec::len), DRAFT_ATTACHMENTS_MAX)
            && self.attachments.iter().flatten().all(|attachment| attachment.is_sound(header))
            && within(self.about.as_ref().map(Vec::len), DRAFT_ABOUT_MAX)
    }
}
