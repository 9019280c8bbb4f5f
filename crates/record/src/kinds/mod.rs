//! The kinds of records. A new kind is one file with its type, its checks and its documentation, and one line in [`KINDS`].

pub mod answer;
pub mod approval;
pub mod attachment;
pub mod correction;
pub mod credential;
pub mod deletion_order;
pub mod deletion_receipt;
pub mod draft;
pub mod draft_step;
pub mod escalation;
pub mod hold;
pub mod key_set;
pub mod match_answer;
pub mod match_ask;
pub mod match_filter;
pub mod match_key;
pub mod match_list;
pub mod match_question;
pub mod match_result;
pub mod officer;
pub mod onward;
pub mod permission;
pub mod policy_set;
pub mod receipt;
pub mod register_approval;
pub mod register_version;
pub mod report;
pub mod request;
pub mod request_step;
pub mod retraction;
pub mod revocation;
pub mod saved_search;
pub mod use_summary;
pub mod witness_alarm;

use minicbor::{Decode, Encode};

use crate::{Header, Reason, Relation, cbor};

/// The body of a kind.
pub trait Body: Encode<()> + for<'b> Decode<'b, ()> + Sized {
    /// The kind's name, as it stands in the header.
    const KIND: &'static str;

    /// Whether the kind is for the author alone: what an agency puts on record for itself, such as a grant or a draft. Its
    /// audience is then the author and nobody else, and no partner can send one.
    const HOME: bool = false;

    /// What must hold beyond the structure: lengths, ranges, references in the header.
    fn is_sound(&self, header: &Header) -> bool;

    /// What does not hold, in words for its author, where the kind can tell more than that something does not.
    fn fault(&self) -> Option<&'static str> {
        None
    }

    /// What its author has to mend before it is signed, in words that name the place. An author may ask more of a record than
    /// every reader does.
    fn shortcoming(&self) -> Option<String> {
        self.fault().map(str::to_owned)
    }

    /// The encoded body.
    fn to_body(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads a body strictly and checks it.
    fn from_body(header: &Header, body: &[u8]) -> Result<Self, Reason> {
        let value: Self = cbor::decode(body).map_err(|_| Reason::BodyNotOfKind)?;
        let at_home = !Self::HOME || header.audience == [header.author.clone()];
        if header.kind == Self::KIND && at_home && value.is_sound(header) {
            Ok(value)
        } else {
            Err(Reason::BodyNotOfKind)
        }
    }
}

/// What this node makes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Understanding {
    /// It is of a kind that this node knows, and sound.
    Understood,
    /// Its kind is not known here: it is kept and passed on, and shown as not understood.
    UnknownKind,
}

type Check = fn(&Header, &[u8]) -> Result<(), Reason>;

fn check_as<B: Body>(header: &Header, body: &[u8]) -> Result<(), Reason> {
    B::from_body(header, body).map(drop)
}

/// Every kind that this node knows, with its check.
pub const KINDS: &[(&str, Check)] = &[
    (answer::Answer::KIND, check_as::<answer::Answer>),
    (approval::Approval::KIND, check_as::<approval::Approval>),
    (attachment::Attachment::KIND, check_as::<attachment::Attachment>),
    (correction::Correction::KIND, check_as::<correction::Correction>),
    (credential::Credential::KIND, check_as::<credential::Credential>),
    (draft::Draft::KIND, check_as::<draft::Draft>),
    (draft_step::DraftStep::KIND, check_as::<draft_step::DraftStep>),
    (escalation::Escalation::KIND, check_as::<escalation::Escalation>),
    (deletion_order::DeletionOrder::KIND, check_as::<deletion_order::DeletionOrder>),
    (deletion_receipt::DeletionReceipt::KIND, check_as::<deletion_receipt::DeletionReceipt>),
    (hold::Hold::KIND, check_as::<hold::Hold>),
    (hold::HoldLifted::KIND, check_as::<hold::HoldLifted>),
    (key_set::KeySet::KIND, check_as::<key_set::KeySet>),
    (match_list::MatchAlarm::KIND, check_as::<match_list::MatchAlarm>),
    (match_answer::MatchAnswer::KIND, check_as::<match_answer::MatchAnswer>),
    (match_ask::MatchAsk::KIND, check_as::<match_ask::MatchAsk>),
    (match_list::MatchBudget::KIND, check_as::<match_list::MatchBudget>),
    (match_ask::MatchEnd::KIND, check_as::<match_ask::MatchEnd>),
    (match_filter::MatchFilter::KIND, check_as::<match_filter::MatchFilter>),
    (match_key::MatchKey::KIND, check_as::<match_key::MatchKey>),
    (match_list::MatchList::KIND, check_as::<match_list::MatchList>),
    (match_question::MatchQuestion::KIND, check_as::<match_question::MatchQuestion>),
    (match_result::MatchResult::KIND, check_as::<match_result::MatchResult>),
    (match_ask::MatchSent::KIND, check_as::<match_ask::MatchSent>),
    (officer::Officer::KIND, check_as::<officer::Officer>),
    (policy_set::PolicySet::KIND, check_as::<policy_set::PolicySet>),
    (onward::Onward::KIND, check_as::<onward::Onward>),
    (permission::Permission::KIND, check_as::<permission::Permission>),
    (receipt::Receipt::KIND, check_as::<receipt::Receipt>),
    (register_approval::RegisterApproval::KIND, check_as::<register_approval::RegisterApproval>),
    (register_version::RegisterVersion::KIND, check_as::<register_version::RegisterVersion>),
    (report::Report::KIND, check_as::<report::Report>),
    (request::Request::KIND, check_as::<request::Request>),
    (request_step::RequestStep::KIND, check_as::<request_step::RequestStep>),
    (retraction::Retraction::KIND, check_as::<retraction::Retraction>),
    (revocation::Revocation::KIND, check_as::<revocation::Revocation>),
    (saved_search::SavedSearch::KIND, check_as::<saved_search::SavedSearch>),
    (use_summary::UseSummary::KIND, check_as::<use_summary::UseSummary>),
    (witness_alarm::WitnessAlarm::KIND, check_as::<witness_alarm::WitnessAlarm>),
];

/// Whether the content of a record of this kind can be deleted: what people share can, what they drafted, what they asked by private
/// matching, and what is not known here. On all others the register, evidence and the views of others rest. A step of a request can be deleted after the
/// request; before that the request's state rests on it.
pub fn deletable(kind: &str) -> bool {
    onward::PASSED_ON.contains(&kind)
        || [request::Request::KIND, draft::Draft::KIND, match_ask::MatchAsk::KIND].contains(&kind)
        || !KINDS.iter().any(|(known, _)| *known == kind)
}

/// Checks a body against its kind.
pub fn check(header: &Header, body: &[u8]) -> Result<Understanding, Reason> {
    match KINDS.iter().find(|(name, _)| *name == header.kind) {
        Some((_, check)) => check(header, body).map(|()| Understanding::Understood),
        None => {
            let sound = (1..=60).contains(&header.kind.len())
                && header.kind.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-/.".contains(&c));
            // A body of an unknown kind must still be strict CBOR, so that it can be shown safely.
            if sound && cbor::check(body).is_ok() { Ok(Understanding::UnknownKind) } else { Err(Reason::BodyNotOfKind) }
        }
    }
}

/// Whether a ledger's origin line is one of the author's own, `mufakat/<agency>/<epoch>`: nobody speaks for another's ledger.
fn is_own_origin(header: &Header, origin: &str) -> bool {
    let epoch = origin.strip_prefix("mufakat/").and_then(|rest| rest.strip_prefix(header.author.as_str()));
    let epoch = epoch.and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    epoch.parse::<u64>().is_ok_and(|number| number.to_string() == epoch)
}

/// Whether it is for one agency that is not the author.
fn to_one_partner(header: &Header) -> bool {
    matches!(header.audience.as_slice(), [partner] if *partner != header.author)
}

/// Whether the header refers to exactly one record in this way.
fn refers_once(header: &Header, relation: Relation) -> bool {
    header.the_one(relation).is_some()
}
