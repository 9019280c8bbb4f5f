//! Data-subject files: everything that is held on an identifier, with its handling, for those who may export it.
//!
//! What names people is looked at: reports, corrections, what was passed on, requests with their steps, and drafts. The few words
//! of reasons, notes and approvals, and the names of files and what stands in them, are not.
//!
//! Every record is looked at, in batches and beside the writer: an index could only say what it was fed. On the machine that
//! the measurements of this project were made on it takes about twenty seconds for a million records.

use std::sync::Arc;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::draft::{Draft, Drafted};
use mufakat_record::kinds::onward::{Carried, Onward, original_of};
use mufakat_record::kinds::report::{Entity, Identifier, Report};
use mufakat_record::kinds::request::Request as Asked;
use mufakat_record::kinds::request_step::{RequestStep, Step};
use mufakat_record::{ACT_RECORDS_MAX, AgencyId, Handling, Header, How, RecordId, Verified};
use mufakat_store::Queries;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock;
use crate::desk::{self, Caller};
use crate::gate::{Action, Request};
use crate::node::Node;
use crate::share::NotShared;
use crate::writer::Fault;

/// How many records are read at once.
const RECORDS_AT_ONCE: usize = 1_000;
/// How many records one file can hold. With more, something that stands everywhere was asked for.
const RECORDS_MAX: usize = 2_000;
/// The shortest canonical form that is looked for in running text; shorter ones stand in everything.
const TEXT_CHARS_MIN: usize = 5;

/// Everything that is held on an identifier.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SubjectFile {
    /// The agency that holds it.
    agency: AgencyId,
    /// As it was asked for.
    identifier: Identifier,
    /// The form in which it was compared.
    canonical: String,
    /// When the file was made, in seconds since 1970.
    made_at: u64,
    /// The records, the oldest first.
    records: Vec<Held>,
}

/// A record that names the subject.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Held {
    id: RecordId,
    /// Whose record it is: the originator, when it was passed on.
    author: AgencyId,
    kind: String,
    /// When its author signed it, in seconds since 1970.
    issued_at: u64,
    /// The agencies through which it came, when it was passed on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    through: Vec<AgencyId>,
    handling: Handling,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    /// `identifier` when it stands there as one, `text` when it stands only in the text.
    found: &'static str,
    body: Content,
}

/// What a record says.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
enum Content {
    /// A report, also as a correction puts it or a draft has it.
    Report(Box<Report>),
    /// A request for information.
    Request(Box<Asked>),
    /// A step of a request, such as an answer.
    Step(Box<RequestStep>),
}

impl Content {
    fn of(header: &Header, body: &[u8]) -> Option<Self> {
        let report = |report| Self::Report(Box::new(report));
        match header.kind.as_str() {
            Report::KIND => Report::from_body(header, body).ok().map(report),
            Correction::KIND => Correction::from_body(header, body).ok().map(|correction| report(correction.report)),
            Draft::KIND => Some(match Draft::from_body(header, body).ok()?.drafted(header)? {
                Drafted::Report(report) => Self::Report(report),
                Drafted::Correction(correction) => report(correction.report),
                Drafted::Request(asked) => Self::Request(asked),
                Drafted::Step(step) => Self::Step(step),
            }),
            Asked::KIND => Asked::from_body(header, body).ok().map(|asked| Self::Request(Box::new(asked))),
            RequestStep::KIND => RequestStep::from_body(header, body).ok().map(|step| Self::Step(Box::new(step))),
            _ => None,
        }
    }

    /// The persons and things that it names as such.
    fn entities(&self) -> &[Entity] {
        let entities = match self {
            Self::Report(report) => &report.entities,
            Self::Request(asked) => &asked.subjects,
            Self::Step(step) => match &step.step {
                Step::Answered { entities, .. } => entities,
                _ => &None,
            },
        };
        entities.as_deref().unwrap_or_default()
    }

    /// What is said in words.
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Report(report) => vec![report.title.as_str(), report.text.as_str()],
            Self::Request(asked) => {
                let said = [&asked.title, &asked.text, &asked.offence, &asked.purpose, &asked.link, &asked.necessity];
                let said = said.into_iter().chain([&asked.holding, &asked.legal_basis]).chain(&asked.restrictions);
                said.map(String::as_str).collect()
            }
            Self::Step(step) => words_of(&step.step),
        }
    }
}

fn words_of(step: &Step) -> Vec<&str> {
    match step {
        Step::Received { .. } | Step::Closed => Vec::new(),
        Step::Routed { to: words }
        | Step::ClarificationAsked { text: words }
        | Step::ClarificationGiven { text: words }
        | Step::AwaitingJudge { why: words, .. }
        | Step::Extended { why: words, .. }
        | Step::Refused { words, .. }
        | Step::Withdrawn { why: words }
        | Step::Feedback { text: words, .. }
        | Step::EvidencePermitted { words } => vec![words.as_str()],
        Step::Answered { text, refused, .. } => {
            let parts = refused.iter().flatten().flat_map(|refused| [refused.part.as_str(), refused.words.as_str()]);
            std::iter::once(text.as_str()).chain(parts).collect()
        }
    }
}

/// Letters and digits alone, in upper case: the form in which running text is compared.
fn plain(value: &str) -> String {
    value.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

/// Makes the file, and notes the export of each record in it.
pub(crate) async fn file_on(
    node: &Arc<Node>,
    caller: &Caller,
    identifier: Identifier,
) -> Result<Result<SubjectFile, NotShared>, Fault> {
    let wanted = match identifier.canonical() {
        Ok(wanted) => wanted,
        Err(fault) => return Ok(Err(NotShared::new("identifier-invalid", format!("`value`: {fault}")))),
    };
    let (shared, who, looked_for) = (Arc::clone(node), caller.clone(), identifier.clone());
    let canonical_form = wanted.clone();
    let found = node.read(move |reader| {
        let directory = shared.directory();
        let may_export = |record: &Verified| {
            let register = directory.chain().current();
            let request = Request::about(&who, record.header(), Action::Export, &shared.me, register, clock::now_s());
            shared.gate.decide(&request).allow
        };
        let (mut found, mut from) = (Vec::new(), 0);
        loop {
            let batch = reader.records_from(from, RECORDS_AT_ONCE)?;
            let Some((last, _)) = batch.last() else { return Ok(Some(found)) };
            from = last + 1;
            for (_, bytes) in batch {
                let Ok(record) = Verified::from_own_store(bytes) else { continue };
                let Some(held) = names(&record, &looked_for, &canonical_form) else { continue };
                // What may not be exported is not in the file, and nothing in the file tells of it.
                if may_export(&record) {
                    if found.len() == RECORDS_MAX {
                        return Ok(None);
                    }
                    found.push(held);
                }
            }
        }
    });
    let Some(records) = found.await? else {
        let detail = format!("more than {RECORDS_MAX} records name it; ask for something that is one subject's alone");
        return Ok(Err(NotShared::new("too-many-records", detail)));
    };
    let ids: Vec<RecordId> = records.iter().map(|held| held.id).collect();
    for some in ids.chunks(ACT_RECORDS_MAX) {
        desk::note(node, caller, How::Export, some[0], some[1..].to_vec()).await?;
    }
    let agency = node.me.clone();
    Ok(Ok(SubjectFile { agency, identifier, canonical: wanted, made_at: clock::now_s(), records }))
}

/// What a record holds on the subject, if it names it.
fn names(record: &Verified, identifier: &Identifier, wanted: &str) -> Option<Held> {
    const KINDS: [&str; 6] =
        [Report::KIND, Correction::KIND, Onward::KIND, Asked::KIND, RequestStep::KIND, Draft::KIND];
    if !KINDS.contains(&record.header().kind.as_str()) {
        return None;
    }
    let (_, header, body) = original_of(record).ok()?;
    let content = Content::of(&header, &body)?;
    let found = how_named(&content, identifier, wanted)?;
    let carried = Carried::read(record.header(), record.body()).ok();
    let mut through = carried.map(|carried| carried.bearers()).unwrap_or_default();
    if record.header().kind == Onward::KIND {
        through.push(record.header().author.clone());
    }
    Some(Held {
        id: record.id(),
        author: header.author,
        kind: header.kind,
        issued_at: header.issued_at,
        through,
        handling: record.header().handling.clone(),
        expires: record.header().expires,
        found,
        body: content,
    })
}

fn how_named(content: &Content, identifier: &Identifier, wanted: &str) -> Option<&'static str> {
    let identifiers = content.entities().iter().flat_map(|entity| entity.identifiers.iter().flatten());
    let mut same = identifiers.filter(|one| one.identifier_type == identifier.identifier_type);
    // One that was taken in under older rules may have no canonical form; then it is compared as text is.
    let form = |one: &Identifier| one.canonical().unwrap_or_else(|_| plain(&one.value));
    if same.any(|one| form(one) == wanted) {
        return Some("identifier");
    }
    let mut forms = [plain(wanted), plain(&identifier.value)].into_iter();
    let in_text = forms.any(|form| {
        form.chars().count() >= TEXT_CHARS_MIN && content.texts().into_iter().any(|text| plain(text).contains(&form))
    });
    in_text.then_some("text")
}

#[cfg(test)]
mod tests {
    use mufakat_record::kinds::report::{Class, IdentifierType, ReportType};

    use super::*;

    #[test]
    fn a_subject_is_found_however_it_is_written() {
        let identifier = |value: &str| Identifier { identifier_type: IdentifierType::Phone, value: value.to_owned() };
        let report = |value: Option<&str>, text: &str| {
            Content::Report(Box::new(Report {
                report_type: ReportType::Information,
                title: "EXERCISE".into(),
                text: text.into(),
                entities: value.map(|value| {
                    let identifiers = Some(vec![identifier(value)]);
                    vec![Entity { class: Class::Person, name: None, identifiers, role: None }]
                }),
                place: None,
                time: None,
                evaluation: None,
                language: None,
                source: None,
            }))
        };
        let asked = identifier("+84 24 1234-5678");
        let wanted = asked.canonical().unwrap();
        let check = |content: Content| how_named(&content, &asked, &wanted);
        assert_eq!(check(report(Some("+842412345678"), "")), Some("identifier"));
        assert_eq!(check(report(Some("+842412345679"), "")), None);
        assert_eq!(check(report(None, "EXERCISE call +84-24-1234 5678 at night")), Some("text"));
        assert_eq!(check(report(None, "EXERCISE nothing")), None);
        // Another type of identifier with the same digits is another thing.
        let other = Identifier { identifier_type: IdentifierType::SerialNumber, value: asked.value.clone() };
        assert_eq!(how_named(&report(Some("+842412345678"), ""), &other, &wanted), None);
        // What is short stands in everything.
        assert_eq!(how_named(&report(None, "EXERCISE 1234"), &identifier("1234"), "1234"), None);
    }
}
