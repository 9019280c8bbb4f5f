//! Requests for information: asked, and taken a step further, by the officers of either side.

use std::sync::Arc;

use mufakat_exchange::{Directory, Facts, Submission};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::draft::Draft;
use mufakat_record::kinds::request::{By, Request};
use mufakat_record::kinds::request_step::{Ground, RequestStep, Step};
use mufakat_record::{
    AgencyId, Code, Eyes, Handling, Header, Reason, RecordId, Reference, Relation, Role, SigningKey, ThreadId, Tlp,
    Verified, sha256,
};
use mufakat_store::Queries;
use mufakat_views::requests::{Entry, NAME, STEPS_MAX, Side};
use mufakat_views::{Row, Rows};
use serde::Deserialize;
use utoipa::ToSchema;

use super::four_eyes::Leaving;
use super::{Caller, four_eyes, may_read};
use crate::gate::Action;
use crate::node::Node;
use crate::share::{
    Composed, NotShared, Outcome, Together, all_known, ascending, body_of, check_handling, for_one, header_for, key_of,
    new_thread, note_refusal, others, sign, sub_key, submit_signed,
};
use crate::writer::Fault;
use crate::{chunks, clock};

/// A request as it is handed in.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RequestEnvelope)]
pub(crate) struct Question {
    /// Agencies, parties or forums that are asked.
    to: Vec<AgencyId>,
    /// The TLP label.
    tlp: Tlp,
    /// Handling codes.
    #[serde(default)]
    codes: Vec<Code>,
    /// Purposes for which it may be used.
    #[serde(default)]
    purposes: Vec<String>,
    /// Originator control.
    #[serde(default)]
    orcon: bool,
    /// A caveat in words.
    #[serde(default)]
    caveat: Option<String>,
    /// The officers for whose eyes it is.
    #[serde(default)]
    eyes: Vec<Eyes>,
    /// By when those who are asked are to look again whether they still need it, in seconds since 1970.
    #[serde(default)]
    review: Option<u64>,
    /// When it expires, in seconds since 1970.
    #[serde(default)]
    expires: Option<u64>,
    /// One request for each agency, so that none learns of the others.
    #[serde(default)]
    hidden_audience: bool,
    /// Uploads that go with it.
    #[serde(default)]
    pub(super) attachments: Vec<String>,
    /// The matter that it belongs to; a new one when absent.
    #[serde(default)]
    thread: Option<ThreadId>,
    /// Records that it is about.
    #[serde(default)]
    about: Vec<RecordId>,
    /// What the submitter calls it: the same key is carried out once.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// The request.
    body: Request,
}

impl Question {
    /// The records that it is about.
    pub(super) fn about(&self) -> &[RecordId] {
        &self.about
    }

    /// With what the node fills in: who asks, and who has a copy.
    fn filled(mut self, node: &Node, directory: &Directory, caller: &Caller) -> Result<Self, NotShared> {
        let chain = directory.chain();
        let asked = chain.resolve(&self.to).map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
        // The single point of contact has a copy, unless it is asked itself or a sensitive case forbids it (Directive (EU)
        // 2023/977, article 4(1)).
        let contact = node.config.desk.single_point_of_contact.clone().filter(|contact| {
            *contact != node.me
                && !asked.contains(contact)
                && chain.member(contact).is_some()
                && self.body.not_copied.is_none()
        });
        self.body.by = by(caller);
        self.body.copied = contact.map(|contact| vec![contact]);
        Ok(self)
    }

    /// The draft that it is, filled in.
    pub(super) fn draft(
        self,
        node: &Node,
        directory: &Directory,
        caller: &Caller,
        attachments: Vec<Attachment>,
    ) -> Result<Draft, NotShared> {
        let asked = self.filled(node, directory, caller)?;
        let (handling, body) = (handling_of(&asked), body_of(&asked.body)?);
        others(node, directory, &asked.to)?;
        let to: Vec<AgencyId> = asked.to.iter().chain(asked.body.copied.iter().flatten()).cloned().collect();
        let named = directory.chain().resolve(&to);
        let audience = named.map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
        check_handling(&handling, &audience, &node.me)?;
        Ok(Draft {
            by: caller.officer.clone(),
            kind: Request::KIND.to_owned(),
            body,
            to,
            handling,
            thread: asked.thread.unwrap_or_else(new_thread),
            expires: asked.expires,
            hidden_audience: asked.hidden_audience,
            attachments: (!attachments.is_empty()).then_some(attachments),
            about: (!asked.about.is_empty()).then_some(asked.about),
            target: None,
        })
    }

    /// What a draft of a request asks.
    pub(super) fn of(draft: &Draft, body: &Request) -> Self {
        let (handling, copied) = (draft.handling.clone(), body.copied.clone().unwrap_or_default());
        Self {
            to: draft.to.iter().filter(|to| !copied.contains(to)).cloned().collect(),
            tlp: handling.tlp,
            codes: handling.codes.unwrap_or_default(),
            purposes: handling.purposes.unwrap_or_default(),
            orcon: handling.orcon == Some(true),
            caveat: handling.caveat,
            eyes: handling.eyes.unwrap_or_default(),
            review: handling.review,
            expires: draft.expires,
            hidden_audience: draft.hidden_audience,
            attachments: Vec::new(),
            thread: Some(draft.thread),
            about: draft.about.clone().unwrap_or_default(),
            key: None,
            body: body.clone(),
        }
    }
}

/// A step as it is handed in.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RequestStepEnvelope)]
pub(crate) struct Move {
    /// For the side that asks several agencies: to which of them it goes; to all that it fits when absent.
    #[serde(default)]
    to: Option<AgencyId>,
    /// The step.
    step: Step,
    /// The TLP label, where it is to be narrower than the request's. What is said of handling here stands in the place of what
    /// the request says, and allows nothing that the request does not.
    #[serde(default)]
    tlp: Option<Tlp>,
    /// Handling codes.
    #[serde(default)]
    codes: Option<Vec<Code>>,
    /// Purposes for which it may be used.
    #[serde(default)]
    purposes: Option<Vec<String>>,
    /// Originator control.
    #[serde(default)]
    orcon: Option<bool>,
    /// A caveat in words, which holds the request's.
    #[serde(default)]
    caveat: Option<String>,
    /// The officers for whose eyes it is.
    #[serde(default)]
    eyes: Option<Vec<Eyes>>,
    /// Records that it cites.
    #[serde(default)]
    about: Vec<RecordId>,
    /// Uploads that go with it.
    #[serde(default)]
    pub(super) attachments: Vec<String>,
    /// What the submitter calls it: the same key is carried out once.
    #[serde(default)]
    pub(crate) key: Option<String>,
}

impl Move {
    /// The handling of the step: the request's, where nothing else is said.
    fn handling(&self, request: &Handling, audience: &[AgencyId], me: &AgencyId) -> Result<Handling, NotShared> {
        let own = self.clone();
        let handling = Handling {
            tlp: own.tlp.unwrap_or(request.tlp),
            codes: own.codes.map_or_else(|| request.codes.clone(), |codes| ascending(&codes)),
            purposes: own.purposes.map_or_else(|| request.purposes.clone(), |all| (!all.is_empty()).then_some(all)),
            orcon: own.orcon.map_or(request.orcon, |orcon| orcon.then_some(true)),
            caveat: own.caveat.or_else(|| request.caveat.clone()),
            eyes: own.eyes.map_or_else(|| request.eyes.clone(), |eyes| ascending(&eyes)),
            review: request.review,
        };
        if !handling.is_at_least(request) {
            return Err(NotShared::new("wider-handling", "a step is handled no more freely than its request"));
        }
        // Of the officers whom the request names some may be of agencies that do not get the step.
        let asked = request.eyes.as_deref().unwrap_or_default();
        let new: Vec<_> = handling.eyes.iter().flatten().filter(|eyes| !asked.contains(eyes)).cloned().collect();
        check_handling(&Handling { eyes: ascending(&new), ..handling.clone() }, audience, me)?;
        Ok(handling)
    }
}

/// Asks.
pub(crate) async fn ask(node: &Arc<Node>, caller: &Caller, question: Question) -> Result<Outcome, Fault> {
    let known = all_known(node, caller, question.about()).await?;
    let attachments = match known.and_then(|()| uploads(node, &question.attachments)) {
        Ok(attachments) => attachments,
        Err(missing) => return Ok(Err(missing)),
    };
    let who = caller.clone();
    let outcome = one(submit_signed(node, move |node, directory, signer| {
        let filled = question.clone().filled(node, directory, &who);
        vec![filled.and_then(|filled| compose(node, &who, directory, signer, &filled, &attachments, false))]
    }))
    .await?;
    if let Err(no) = &outcome {
        note_refusal(node, caller, None, no).await?;
    }
    Ok(outcome)
}

async fn one(outcomes: impl Future<Output = Result<Vec<Outcome>, Fault>>) -> Result<Outcome, Fault> {
    Ok(outcomes.await?.into_iter().next().unwrap_or_else(|| Err(Reason::Malformed.into())))
}

pub(super) fn uploads(node: &Node, names: &[String]) -> Result<Vec<Attachment>, NotShared> {
    let find = |name: &String| {
        let missing = || NotShared::new("unknown-upload", format!("there is no upload called {name}"));
        chunks::uploaded(node, name).ok_or_else(missing)
    };
    names.iter().map(find).collect()
}

/// An officer as partners see one.
pub(crate) fn by(caller: &Caller) -> By {
    // The operator, who has every role, stands for the duty officer.
    By { role: caller.roles.first().copied().unwrap_or(Role::DutyOfficer), officer: caller.officer.clone() }
}

fn handling_of(question: &Question) -> Handling {
    Handling {
        tlp: question.tlp,
        codes: ascending(&question.codes),
        purposes: (!question.purposes.is_empty()).then(|| question.purposes.clone()),
        orcon: question.orcon.then_some(true),
        caveat: question.caveat.clone(),
        eyes: ascending(&question.eyes),
        review: question.review,
    }
}

/// Makes the records of one request that is filled in: attachments, the request, and one set for each agency if none is to learn
/// of the others. `second` says whether a second officer approved it.
pub(super) fn compose(
    node: &Node,
    caller: &Caller,
    directory: &Directory,
    signer: &SigningKey,
    question: &Question,
    attachments: &[Attachment],
    second: bool,
) -> Composed {
    let chain = directory.chain();
    let asked = others(node, directory, &question.to)?;
    let body = &question.body;
    let copied = body.copied.as_deref().unwrap_or_default();
    let named: Vec<AgencyId> = question.to.iter().chain(copied).cloned().collect();
    let with_contact = |mut audience: Vec<AgencyId>| {
        audience.extend_from_slice(copied);
        audience.sort();
        audience.dedup();
        audience
    };
    let all_handling = handling_of(question);
    let expires = question.expires;
    let leaving = Leaving { kind: Request::KIND, to: &named, handling: &all_handling, expires, notice: false };
    check_handling(&all_handling, &with_contact(asked.clone()), &node.me)?;
    let audiences: Vec<_> = if question.hidden_audience {
        asked.into_iter().map(|one| with_contact(vec![one])).collect()
    } else {
        vec![with_contact(asked)]
    };
    let key = key_of(caller, "ask_request", None, question.key.as_deref())?;
    let thread = question.thread.unwrap_or_else(new_thread);
    let mut submissions = Vec::new();
    for (number, audience) in audiences.into_iter().enumerate() {
        let mut handling = all_handling.clone();
        if question.hidden_audience {
            handling = for_one(handling, &audience, &node.me);
        }
        let header = header_for(node, directory, Request::KIND, audience, handling, thread);
        let header = Header { expires, ..header };
        let register = chain.current();
        let leaving = Leaving { handling: &header.handling, ..leaving };
        let decision = node.gate.decide(&leaving.request(node, caller, register, &header.audience, second));
        if !decision.allow {
            return Err(NotShared::new(decision.rule, decision.why));
        }
        let key = key.map(|key| (key, number));
        submissions.extend(signed(header, body, &question.about, attachments, key, signer)?);
    }
    // The request stands first in what is told of it.
    submissions.reverse();
    let together = Together::released(submissions, four_eyes::released(node, caller, directory, leaving, second));
    Ok(Together { thread: question.thread, ..together })
}

/// The records of one set: attachments first, then what carries them.
fn signed<B: Body>(
    header: Header,
    body: &B,
    about: &[RecordId],
    attachments: &[Attachment],
    key: Option<([u8; 32], usize)>,
    signer: &SigningKey,
) -> Result<Vec<Submission>, NotShared> {
    let mut submissions = Vec::new();
    let mut references = header.references.clone();
    references.extend(about.iter().map(|id| Reference { relation: Relation::About, record: *id }));
    for (which, attachment) in attachments.iter().enumerate() {
        let base = Header { kind: Attachment::KIND.to_owned(), references: Vec::new(), ..header.clone() };
        let record = sign(base, attachment, signer)?;
        references.push(Reference { relation: Relation::Attaches, record: record.id() });
        submissions.push(Submission { record, key: key.map(|(key, number)| sub_key(key, number, which + 1)) });
    }
    references.sort();
    references.dedup();
    let record = sign(Header { references, ..header }, body, signer)?;
    submissions.push(Submission { record, key: key.map(|(key, number)| sub_key(key, number, 0)) });
    Ok(submissions)
}

/// A step with all that it takes to make its record.
#[derive(Debug, Clone)]
pub(super) struct Taking {
    /// The request.
    request: RecordId,
    thread: ThreadId,
    handling: Handling,
    /// The agencies to which it goes.
    partners: Vec<AgencyId>,
    by: By,
    step: Step,
    about: Vec<RecordId>,
    key: Option<[u8; 32]>,
}

impl Taking {
    /// The draft that it is at an instant.
    pub(super) fn draft(self, at_ms: u64, caller: &Caller, attachments: Vec<Attachment>) -> Result<Draft, NotShared> {
        Ok(Draft {
            by: caller.officer.clone(),
            kind: RequestStep::KIND.to_owned(),
            body: body_of(&RequestStep { at_ms, by: Some(self.by), step: self.step })?,
            to: self.partners,
            handling: self.handling,
            thread: self.thread,
            expires: None,
            hidden_audience: false,
            attachments: (!attachments.is_empty()).then_some(attachments),
            about: (!self.about.is_empty()).then_some(self.about),
            target: Some(self.request),
        })
    }

    /// What a draft of a step does, if it still fits what became of the request, for those of its recipients whom it fits. Who
    /// releases it may read the request too, which may be for other purposes than the draft.
    pub(super) async fn of(
        node: &Arc<Node>,
        caller: &Caller,
        draft: &Draft,
        said: &RequestStep,
    ) -> Result<Result<Self, NotShared>, Fault> {
        let Some(request) = draft.target else { return Ok(Err(no_request())) };
        let Some((record, rows)) = find(node, request).await? else { return Ok(Err(no_request())) };
        if !may_read(node, caller, &record).await? {
            return Ok(Err(no_request()));
        }
        Ok(addressees(&rows, &draft.to, &said.step).map(|partners| Self {
            request,
            thread: draft.thread,
            handling: draft.handling.clone(),
            partners,
            by: said.by.clone().unwrap_or_default(),
            step: said.step.clone(),
            about: draft.about.clone().unwrap_or_default(),
            key: None,
        }))
    }
}

/// Takes a step in a request that this agency asks or is asked.
pub(crate) async fn take(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    moved: Move,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let attachments = moved.attachments.clone();
    let taking = match prepare(node, caller, id, moved).await? {
        Ok(taking) => taking,
        Err(no) => return Ok(Err(no)),
    };
    let attachments = match uploads(node, &attachments) {
        Ok(attachments) => attachments,
        Err(missing) => return Ok(Err(missing)),
    };
    let who = caller.clone();
    let outcome = one(submit_signed(node, move |node, directory, signer| {
        vec![compose_step(node, &who, directory, signer, &taking, &attachments, false)]
    }))
    .await?;
    if let Err(no) = &outcome {
        note_refusal(node, caller, Some(id), no).await?;
    }
    Ok(outcome.and_then(|shared| shared.first().map(|shared| shared.id).ok_or_else(|| Reason::Malformed.into())))
}

/// Looks up what a step rests on: the request, which the caller may read, and who is to get the step.
pub(super) async fn prepare(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    moved: Move,
) -> Result<Result<Taking, NotShared>, Fault> {
    let Some((request, rows)) = find(node, id).await? else { return Ok(Err(no_request())) };
    // Where a request stands is told to those who may read it.
    if !may_read(node, caller, &request).await? {
        return Ok(Err(no_request()));
    }
    if let Err(no) = all_known(node, caller, &moved.about).await? {
        return Ok(Err(no));
    }
    let key = match key_of(caller, "take_request_step", Some(&id), moved.key.as_deref()) {
        Ok(key) => key,
        Err(no) => return Ok(Err(no)),
    };
    // A step that was taken before under its key goes where it went, and no longer fits what became of the request since.
    let before = match key {
        Some(key) => taken(node, sub_key(key, 0, 0)).await?,
        None => None,
    };
    let fitting = || {
        let partners = match before {
            Some(step) => step.header().audience.clone(),
            None => addressees(&rows, moved.to.as_slice(), &moved.step)?,
        };
        let header = request.header();
        Ok(Taking {
            request: id,
            thread: header.thread,
            handling: moved.handling(&header.handling, &partners, &node.me)?,
            partners,
            by: by(caller),
            step: moved.step,
            about: moved.about,
            key,
        })
    };
    Ok(fitting())
}

/// Makes the records of a step: attachments and the step. `second` says whether a second officer approved it.
pub(super) fn compose_step(
    node: &Node,
    caller: &Caller,
    directory: &Directory,
    signer: &SigningKey,
    taking: &Taking,
    attachments: &[Attachment],
    second: bool,
) -> Composed {
    let (to, handling) = (&taking.partners, &taking.handling);
    let mut audience = to.clone();
    audience.retain(|to| directory.chain().member(to).is_some());
    let leaving = Leaving { kind: RequestStep::KIND, to, handling, expires: None, notice: false };
    let register = directory.chain().current();
    let decision = node.gate.decide(&leaving.request(node, caller, register, &audience, second));
    if !decision.allow {
        return Err(NotShared::new(decision.rule, decision.why));
    }
    let at_ms = clock::now_ms();
    let header = header_for(node, directory, RequestStep::KIND, audience, handling.clone(), taking.thread);
    let references = vec![Reference { relation: Relation::Answers, record: taking.request }];
    let header = Header { issued_at: at_ms / 1000, references, ..header };
    let body = RequestStep { at_ms, by: Some(taking.by.clone()), step: taking.step.clone() };
    let key = taking.key.map(|key| (key, 0));
    let mut submissions = signed(header, &body, &taking.about, attachments, key, signer)?;
    // The step stands first in what is told of it.
    submissions.reverse();
    Ok(Together::released(submissions, four_eyes::released(node, caller, directory, leaving, second)))
}

fn no_request() -> NotShared {
    NotShared::new(Reason::NotFound.name(), "there is no such thing here")
}

/// The record that was submitted under a key.
async fn taken(node: &Arc<Node>, key: [u8; 16]) -> Result<Option<Verified>, Fault> {
    node.read(move |reader| {
        let unavailable = |e: mufakat_exchange::Unavailable| mufakat_store::Error::Unavailable(e.0);
        let Some(id) = reader.submitted(&key).map_err(unavailable)? else { return Ok(None) };
        Ok(reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok()))
    })
    .await
}

/// A request with its rows.
async fn find(node: &Arc<Node>, id: RecordId) -> Result<Option<(Verified, Vec<Entry>)>, Fault> {
    node.read(move |reader| {
        let unavailable = |e: mufakat_views::RowsUnavailable| mufakat_store::Error::Unavailable(e.0);
        let Some(leaf) = reader.leaf_of(&id).map_err(unavailable)? else { return Ok(None) };
        let rows = reader.rows(NAME, &leaf.to_be_bytes(), None).map_err(unavailable)?;
        let request = reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok());
        let entries: Vec<Entry> = rows.iter().filter_map(|row: &Row| Entry::of(&row.body)).collect();
        Ok(request.filter(|_| !entries.is_empty()).map(|request| (request, entries)))
    })
    .await
}

/// The agencies to which a step goes: those of whose rows it fits, among those that are named if any is.
fn addressees(rows: &[Entry], to: &[AgencyId], step: &Step) -> Result<Vec<AgencyId>, NotShared> {
    let no = |reason, why: String| Err(NotShared::new(reason, why));
    if matches!(step, Step::Received { .. }) {
        return no("not-yours", "`received` is said by the node itself".to_owned());
    }
    let wanted: Vec<_> = rows.iter().filter(|row| to.is_empty() || to.contains(&row.partner)).collect();
    let Some(first) = wanted.first() else {
        return no("not-a-side", "the agency in `to` is neither asked nor asks here".to_owned());
    };
    let own_side = match first.side {
        Side::Asking => step.is_askers(),
        Side::Asked => !step.is_askers(),
        Side::Copy => return no("not-a-side", "this agency has a copy of the request and is not asked".to_owned()),
    };
    if !own_side {
        return no("not-yours", format!("`{}` is a step of the other side", step.name()));
    }
    let open =
        |row: &&&Entry| row.partner_removed_ms.is_none() && row.rejected.is_none() && row.has_room(step.is_askers());
    let fitting: Vec<_> = wanted.iter().filter(open).filter(|row| row.matter().would_take(step)).collect();
    if !fitting.is_empty() {
        return Ok(fitting.into_iter().map(|row| row.partner.clone()).collect());
    }
    if !first.has_room(step.is_askers()) {
        return no("too-many-steps", format!("each side of a request takes at most {STEPS_MAX} steps"));
    }
    if refuses_unasked(first, step) {
        let why = "before a request is refused as invalid, a clarification is asked".to_owned();
        return no("clarify-first", why);
    }
    no("out-of-turn", format!("`{}` does not go with the state `{}` of the request", step.name(), first.state))
}

/// Whether a refusal waits for a clarification to be asked.
fn refuses_unasked(entry: &Entry, step: &Step) -> bool {
    let invalid = match step {
        Step::Refused { grounds, .. } => grounds.contains(&Ground::InvalidRequest),
        Step::Answered { refused, .. } => refused.iter().flatten().any(|part| part.ground == Ground::InvalidRequest),
        _ => false,
    };
    invalid && entry.is_open() && !entry.steps.iter().any(|line| matches!(line.says, Step::ClarificationAsked { .. }))
}

/// Earlier requests of this agency on the same subject as this one, of those that the caller may list.
pub(crate) async fn duplicates(
    node: &Arc<Node>,
    caller: &Caller,
    request: Option<RecordId>,
) -> Result<Vec<RecordId>, Fault> {
    let Some(id) = request else { return Ok(Vec::new()) };
    let found = find(node, id).await?.and_then(|(_, entries)| entries.into_iter().next());
    let (reading, caller) = (Arc::clone(node), caller.clone());
    let earlier = found.map(|entry| entry.duplicates).unwrap_or_default();
    node.read(move |reader| super::seen(reader, &super::classes(&reading, &caller, Action::List, reader)?, &earlier))
        .await
}

/// The key under which an escalation is submitted, so that it is made once whatever happens between two looks.
pub(super) fn escalation_key(request: &RecordId, partner: &AgencyId, level: &str, due_ms: u64) -> [u8; 16] {
    let text = format!("escalation {request} {partner} {level} {due_ms}");
    let mut key = [0; 16];
    key.copy_from_slice(&sha256(text.as_bytes())[..16]);
    key
}
