//! Drafts: written, put before a second officer, approved or rejected, and released as records. Until then they are home
//! records, whose audience is the agency alone.

use std::sync::Arc;

use mufakat_exchange::{Directory, Submission};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::{Approval, Decision};
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::draft::{DRAFT_ABOUT_MAX, DRAFT_ATTACHMENTS_MAX, Draft, Drafted};
use mufakat_record::kinds::draft_step::{DraftStep, Step};
use mufakat_record::kinds::report::Report;
use mufakat_record::{AUDIENCE_MAX, AgencyId, Header, Reason, RecordId, Reference, Relation, SigningKey, Verified};
use mufakat_store::{Queries, Sqlite};
use mufakat_views::Rows;
use mufakat_views::drafts::{self as view, State};
use serde_json::Value;

use super::four_eyes::Leaving;
use super::requests::{self, Move, Question, Taking};
use super::{Caller, four_eyes, may_read, together};
use crate::follow_up::{self, Original};
use crate::node::Node;
use crate::share::{self, Composed, Envelope, NotShared, Shared, Together};
use crate::writer::Fault;
use crate::{chunks, clock};

/// How long the files of a draft are held, in seconds. A draft that is older goes without them, or is written again.
pub(crate) const DRAFT_FILES_HELD_S: u64 = 90 * 86_400;

/// A draft that is held here.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    /// The home record in which it stands.
    pub(crate) record: Verified,
    /// The draft.
    pub(crate) draft: Draft,
    /// What it is to become.
    pub(crate) drafted: Drafted,
    /// To whom that would go now: of what is said to those who have a record already, without those removed since.
    pub(crate) to: Vec<AgencyId>,
    /// Whether that is a notice, or replaces one.
    pub(crate) notice: bool,
    /// What became of it, as its row says.
    pub(crate) row: Value,
}

impl Opened {
    /// What is to leave, as far as the gate asks.
    pub(crate) fn leaving(&self) -> Leaving<'_> {
        let draft = &self.draft;
        let (kind, notice) = (self.drafted.kind(), self.notice);
        Leaving { kind, to: &self.to, handling: &draft.handling, expires: draft.expires, notice }
    }

    /// How many agencies get a copy of what others are asked.
    pub(crate) fn copies(&self) -> usize {
        match &self.drafted {
            Drafted::Request(request) => request.copied.as_ref().map_or(0, Vec::len),
            _ => 0,
        }
    }
}

/// What somebody wants to draft, as it would be handed in to be sent.
#[derive(Debug, Clone)]
pub(crate) enum Proposed {
    /// A report.
    Report(Box<Envelope>),
    /// A report in the place of an earlier one.
    Correction {
        /// The earlier one.
        target: RecordId,
        /// What takes its place.
        correction: Box<Correction>,
    },
    /// A request for information.
    Request(Box<Question>),
    /// A step in a request.
    Step {
        /// The request.
        target: RecordId,
        /// The step.
        moved: Box<Move>,
    },
}

type Done<T> = Result<Result<T, NotShared>, Fault>;

/// Puts a draft on record, in the place of an earlier one if that is named. Gives its id.
pub(crate) async fn write(
    node: &Arc<Node>,
    caller: &Caller,
    proposed: Proposed,
    replaces: Option<&Opened>,
) -> Done<RecordId> {
    if replaces.is_some_and(|before| !may_dispose(node, caller, before)) {
        return Ok(Err(not_the_author("replaces a draft")));
    }
    let replaces = replaces.map(|before| before.record.id());
    let at_ms = clock::now_ms();
    let draft = match written(node, caller, proposed, at_ms).await? {
        Ok(draft) => draft,
        Err(no) => return Ok(Err(no)),
    };
    let attachments = draft.attachments.as_deref().unwrap_or_default();
    let bounds = [
        ("to", draft.to.len(), AUDIENCE_MAX),
        ("attachments", attachments.len(), DRAFT_ATTACHMENTS_MAX),
        ("about", draft.about.as_ref().map_or(0, Vec::len), DRAFT_ABOUT_MAX),
    ];
    if let Some((field, _, max)) = bounds.into_iter().find(|(_, count, max)| count > max) {
        return Ok(Err(NotShared::new("oversize", format!("`{field}` has at most {max} entries"))));
    }
    chunks::hold_for_us(node, attachments, clock::now_s() + DRAFT_FILES_HELD_S).await?;
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        directory.chain().resolve(&draft.to).map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
        // For the agency alone, under the handling of what it is to become: who may not read that does not read this.
        let (handling, thread) = (draft.handling.clone(), share::new_thread());
        let mut header = share::header_for(node, directory, Draft::KIND, vec![node.me.clone()], handling, thread);
        header.issued_at = at_ms / 1000;
        header.references = replaces.iter().map(|id| Reference { relation: Relation::Corrects, record: *id }).collect();
        Ok(Together::one(share::sign(header, &draft, signer)?))
    };
    let fits = move |store: &Sqlite| match replaces {
        Some(id) => fits(store, &id, |state, _| {
            let open = state != State::Released && state != State::Discarded;
            if open { Ok(()) } else { Err(wrong_state(state, "is not edited any more")) }
        }),
        None => Ok(Ok(())),
    };
    one(together::submit(node, compose, fits).await)
}

/// The draft that something is, checked as it would be if it were sent, but for the gate's leave.
async fn written(node: &Arc<Node>, caller: &Caller, proposed: Proposed, at_ms: u64) -> Done<Draft> {
    match proposed {
        Proposed::Report(envelope) => report(node, caller, *envelope).await,
        Proposed::Correction { target, correction } => {
            // Whatever else is to be told of the record is told to those who may read it.
            let nothing = || NotShared::new(Reason::NotFound.name(), "there is no such thing here");
            let held = node.read(move |reader| reader.record_bytes(&target)).await?;
            let Some(held) = held.and_then(|bytes| Verified::from_own_store(bytes).ok()) else {
                return Ok(Err(nothing()));
            };
            if !may_read(node, caller, &held).await? {
                return Ok(Err(nothing()));
            }
            let notice = four_eyes::is_notice(&correction.report);
            let original = match follow_up::original(node, target, notice).await? {
                Ok(original) => original.record,
                Err(no) => return Ok(Err(no)),
            };
            let to = still_members(&node.directory(), &original.header().audience);
            Ok(share::body_of(correction.as_ref()).map(|body| Draft {
                by: caller.officer.clone(),
                kind: Correction::KIND.to_owned(),
                body,
                to,
                handling: original.header().handling.clone(),
                thread: original.header().thread,
                expires: None,
                hidden_audience: false,
                attachments: None,
                about: None,
                target: Some(target),
            }))
        }
        Proposed::Request(question) => {
            if let Err(no) = share::all_known(node, caller, question.about()).await? {
                return Ok(Err(no));
            }
            Ok(requests::uploads(node, &question.attachments)
                .and_then(|attachments| question.draft(node, &node.directory(), caller, attachments)))
        }
        Proposed::Step { target, moved } => {
            let uploads = moved.attachments.clone();
            let taking = requests::prepare(node, caller, target, *moved).await?;
            Ok(taking.and_then(|taking| taking.draft(at_ms, caller, requests::uploads(node, &uploads)?)))
        }
    }
}

async fn report(node: &Arc<Node>, caller: &Caller, envelope: Envelope) -> Done<Draft> {
    if let Err(no) = share::all_known(node, caller, &envelope.about).await? {
        return Ok(Err(no));
    }
    let parts = share::body_of(&envelope.body).and_then(|body| {
        let (_, handling) = share::addressed(node, &node.directory(), &envelope)?;
        Ok((body, handling, requests::uploads(node, &envelope.attachments)?))
    });
    Ok(parts.map(|(body, handling, attachments)| Draft {
        by: caller.officer.clone(),
        kind: Report::KIND.to_owned(),
        body,
        to: envelope.to.clone(),
        handling,
        thread: envelope.thread.unwrap_or_else(share::new_thread),
        expires: envelope.expires,
        hidden_audience: envelope.hidden_audience,
        attachments: (!attachments.is_empty()).then_some(attachments),
        about: (!envelope.about.is_empty()).then_some(envelope.about),
        target: None,
    }))
}

/// Puts a draft before a second officer.
pub(crate) async fn submit(node: &Arc<Node>, caller: &Caller, opened: &Opened) -> Done<RecordId> {
    if caller.officer.is_some() && caller.officer != opened.draft.by {
        return Ok(Err(NotShared::new("not-the-author", "only who wrote a draft puts it before a second officer")));
    }
    step(node, caller, opened, Step::Submitted, |state, _| match state {
        State::Draft => Ok(()),
        other => Err(wrong_state(other, "is not submitted again")),
    })
    .await
}

/// Whether a caller may put a draft out of use: its author, whoever may approve drafts, and the agency itself.
fn may_dispose(node: &Node, caller: &Caller, opened: &Opened) -> bool {
    caller.officer.is_none()
        || caller.officer == opened.draft.by
        || node.gate.decide_operation(Some(caller), &node.me, "approve_draft").allow
}

fn not_the_author(what: &str) -> NotShared {
    NotShared::new("not-the-author", format!("only its author, or who approves drafts, {what}"))
}

/// Gives a draft up.
pub(crate) async fn discard(node: &Arc<Node>, caller: &Caller, opened: &Opened) -> Done<RecordId> {
    if !may_dispose(node, caller, opened) {
        return Ok(Err(not_the_author("discards a draft")));
    }
    step(node, caller, opened, Step::Discarded, |state, _| match state {
        State::Released | State::Discarded => Err(wrong_state(state, "is not discarded")),
        _ => Ok(()),
    })
    .await
}

/// A second officer's word on a draft.
pub(crate) async fn decide(
    node: &Arc<Node>,
    caller: &Caller,
    opened: &Opened,
    decision: Decision,
    answers: &[(String, bool)],
    words: Option<String>,
) -> Done<RecordId> {
    if !four_eyes::is_another(caller, opened.draft.by.as_ref()) {
        return Ok(Err(same_officer()));
    }
    let approving = decision == Decision::Approve;
    let checks = match four_eyes::checks(four_eyes::questions(opened.notice), answers, approving) {
        Ok(checks) => checks,
        Err((rule, why)) => return Ok(Err(NotShared::new(rule, why))),
    };
    let approval = Approval { by: caller.officer.clone(), decision, checks, words };
    let draft = opened.record.clone();
    let id = draft.id();
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        let record = share::sign(about(node, directory, Approval::KIND, &draft), &approval, signer)?;
        Ok(Together::one(record))
    };
    let fits = move |store: &Sqlite| {
        fits(store, &id, |state, _| match state {
            State::Submitted => Ok(()),
            other => Err(wrong_state(other, "waits for nobody's approval")),
        })
    };
    one(together::submit(node, compose, fits).await)
}

/// Releases a draft: its records go to their audience in the transaction that says so.
pub(crate) async fn release(node: &Arc<Node>, caller: &Caller, opened: &Opened) -> Done<Vec<Shared>> {
    let id = opened.record.id();
    let before = State::of(&opened.row);
    if let Some(Err(no)) = before.map(|state| still_open(state, &opened.row)) {
        return Ok(Err(no));
    }
    let footing = match Footing::of(node, caller, opened).await? {
        Ok(footing) => footing,
        Err(no) => return Ok(Err(no)),
    };
    let corrected = footing.original().map(|original| original.record.id());
    // What it corrects may have become a notice since the draft was opened.
    let notice = footing.original().map_or(opened.notice, |original| original.notice);
    let opened = &Opened { notice, ..opened.clone() };
    let needed = four_eyes::needed(node, &node.directory(), opened.leaving());
    if needed && !four_eyes::is_another(caller, opened.draft.by.as_ref()) {
        return Ok(Err(same_officer()));
    }
    let is_officer = caller.officer.is_some();
    // What was approved stays so; whether it is still to be released is asked once more below.
    let second = before == Some(State::Approved);
    if second && is_officer && !was_asked(opened) {
        return Ok(Err(became_a_notice()));
    }
    let me = node.me.clone();
    let (who, draft) = (caller.clone(), opened.clone());
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        let attachments = draft.draft.attachments.as_deref().unwrap_or_default();
        if !chunks::are_here(node, attachments) {
            let why = "its files are no longer held here; upload them again with another draft";
            return Err(NotShared::new("attachment-gone", why));
        }
        let mut whole = footing.compose(node, &who, directory, signer, &draft, second)?;
        let records = whole.records.iter().filter(|s| s.record.header().kind == draft.drafted.kind());
        let records: Vec<RecordId> = records.map(|s| s.record.id()).collect();
        let step = DraftStep { by: who.officer.clone(), step: Step::Released, records: Some(records) };
        let record = share::sign(about(node, directory, DraftStep::KIND, &draft.record), &step, signer)?;
        whole.records.push(Submission { record, key: None });
        Ok(whole)
    };
    let fits = move |store: &Sqlite| {
        if let Some(corrected) = corrected {
            match follow_up::standing(store, &me, corrected, notice)? {
                Ok(original) if original.notice == notice => {}
                Ok(_) => return Ok(Err(became_a_notice())),
                Err(no) => return Ok(Err(no)),
            }
        }
        fits(store, &id, |state, row| {
            still_open(state, row)?;
            let alone = !is_officer || (state == State::Draft && !needed);
            if state == State::Approved || alone {
                Ok(())
            } else {
                Err(wrong_state(state, "waits for a second officer"))
            }
        })
    };
    let ids = match together::submit(node, compose, fits).await? {
        Ok(ids) => ids,
        Err(no) => {
            share::note_refusal(node, caller, Some(id), &no).await?;
            return Ok(Err(no));
        }
    };
    let kind = opened.drafted.kind();
    let shown = node.read(move |reader| {
        let mut shared = Vec::new();
        for id in ids {
            let record = reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok());
            let released = record.filter(|record| record.header().kind == kind);
            shared.extend(released.map(|released| Shared { id, audience: released.header().audience.clone() }));
        }
        Ok(shared)
    });
    Ok(Ok(shown.await?))
}

/// Whether the second officer was asked all that is asked now: a report that is to be corrected may have become a notice since.
fn was_asked(opened: &Opened) -> bool {
    let last = opened.row["decisions"].as_array().and_then(|decisions| decisions.last());
    let answered = last.and_then(|decision| decision["checks"].as_u64()).unwrap_or_default();
    answered >= four_eyes::questions(opened.notice).len() as u64
}

/// What a draft rests on besides itself, as that stands when it is released.
enum Footing {
    /// Nothing.
    Itself,
    /// The record that it corrects.
    Original(Original),
    /// What became of the request in which it is a step.
    Taking(Taking),
}

impl Footing {
    async fn of(node: &Arc<Node>, caller: &Caller, opened: &Opened) -> Done<Self> {
        Ok(match (&opened.drafted, opened.draft.target) {
            (Drafted::Correction(_), Some(target)) => {
                follow_up::original(node, target, opened.notice).await?.map(Self::Original)
            }
            (Drafted::Step(step), _) => Taking::of(node, caller, &opened.draft, step).await?.map(Self::Taking),
            _ => Ok(Self::Itself),
        })
    }

    fn original(&self) -> Option<&Original> {
        match self {
            Self::Original(original) => Some(original),
            _ => None,
        }
    }

    /// Makes the records of a draft as they would be made without one.
    fn compose(
        &self,
        node: &Node,
        caller: &Caller,
        directory: &Directory,
        signer: &SigningKey,
        opened: &Opened,
        second: bool,
    ) -> Composed {
        let draft = &opened.draft;
        let attachments = draft.attachments.as_deref().unwrap_or_default();
        match (&opened.drafted, self) {
            (Drafted::Report(report), _) => {
                share::compose(node, caller, directory, signer, &envelope(draft, report), attachments, second)
            }
            (Drafted::Request(request), _) => {
                let question = Question::of(draft, request);
                requests::compose(node, caller, directory, signer, &question, attachments, second)
            }
            (Drafted::Correction(correction), Self::Original(original)) => {
                let (corrects, body) = (Relation::Corrects, correction.as_ref());
                follow_up::compose(node, caller, directory, signer, original, corrects, body, second)
            }
            (Drafted::Step(_), Self::Taking(taking)) => {
                requests::compose_step(node, caller, directory, signer, taking, attachments, second)
            }
            // `of` gives each of these two its footing, or an error.
            (Drafted::Correction(_) | Drafted::Step(_), _) => Err(Reason::Malformed.into()),
        }
    }
}

/// A draft, if there is one with this id.
pub(crate) async fn open(node: &Arc<Node>, id: RecordId) -> Result<Option<Opened>, Fault> {
    let found = node.read(move |reader| {
        let Some(bytes) = reader.record_bytes(&id)? else { return Ok(None) };
        let Some(record) = Verified::from_own_store(bytes).ok() else { return Ok(None) };
        let Ok(draft) = Draft::from_body(record.header(), record.body()) else { return Ok(None) };
        let Some(drafted) = draft.drafted(record.header()) else { return Ok(None) };
        let row = row(reader, &id)?;
        Ok(row.map(|row| (record, draft, drafted, row)))
    });
    let Some((record, draft, drafted, row)) = found.await? else { return Ok(None) };
    let mut notice = match &drafted {
        Drafted::Report(report) => four_eyes::is_notice(report),
        Drafted::Correction(correction) => four_eyes::is_notice(&correction.report),
        Drafted::Request(_) | Drafted::Step(_) => false,
    };
    if let (Drafted::Correction(_), Some(target)) = (&drafted, draft.target) {
        // What was taken back since is corrected no more, and its draft is still shown.
        notice = follow_up::original(node, target, notice).await?.map_or(notice, |original| original.notice);
    }
    let to = match draft.target {
        Some(_) => still_members(&node.directory(), &draft.to),
        None => draft.to.clone(),
    };
    Ok(Some(Opened { record, draft, drafted, to, notice, row }))
}

fn row(rows: &impl Rows, id: &RecordId) -> Result<Option<Value>, mufakat_store::Error> {
    let unavailable = |e: mufakat_views::RowsUnavailable| mufakat_store::Error::Unavailable(e.0);
    let Some(leaf) = rows.leaf_of(id).map_err(unavailable)? else { return Ok(None) };
    Ok(rows.row(view::NAME, &leaf.to_be_bytes()).map_err(unavailable)?.map(|row| row.body))
}

/// Asks, within a transaction, where a draft stands.
fn fits(
    store: &Sqlite,
    id: &RecordId,
    ask: impl Fn(State, &Value) -> Result<(), NotShared>,
) -> Result<Result<(), NotShared>, Fault> {
    let row = row(store, id)?;
    let state = row.as_ref().and_then(State::of);
    Ok(match row.zip(state) {
        Some((row, state)) => ask(state, &row),
        None => Err(NotShared::new("not-found", "there is no such draft here")),
    })
}

async fn step(
    node: &Arc<Node>,
    caller: &Caller,
    opened: &Opened,
    step: Step,
    ask: impl Fn(State, &Value) -> Result<(), NotShared> + Send + Sync + 'static,
) -> Done<RecordId> {
    let body = DraftStep { by: caller.officer.clone(), step, records: None };
    let draft = opened.record.clone();
    let id = draft.id();
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        let record = share::sign(about(node, directory, DraftStep::KIND, &draft), &body, signer)?;
        Ok(Together::one(record))
    };
    one(together::submit(node, compose, move |store| fits(store, &id, &ask)).await)
}

/// The header of what is said at home about a draft, under the draft's own handling.
fn about(node: &Node, directory: &Directory, kind: &str, draft: &Verified) -> Header {
    let handling = draft.header().handling.clone();
    let header = share::header_for(node, directory, kind, vec![node.me.clone()], handling, draft.header().thread);
    Header { references: vec![Reference { relation: Relation::About, record: draft.id() }], ..header }
}

/// The envelope that a draft of a report would have been.
fn envelope(draft: &Draft, report: &Report) -> Envelope {
    let handling = draft.handling.clone();
    Envelope {
        to: draft.to.clone(),
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
        body: report.clone(),
    }
}

/// What can be told of a file without opening it.
pub(crate) fn described(attachment: &Attachment) -> Value {
    serde_json::json!({ "name": attachment.name, "media_type": attachment.media_type, "size": attachment.size })
}

fn one(outcome: Result<Result<Vec<RecordId>, NotShared>, Fault>) -> Done<RecordId> {
    let ids = outcome?;
    // One record was submitted.
    Ok(ids.and_then(|ids| ids.first().copied().ok_or_else(|| NotShared::from(mufakat_record::Reason::Malformed))))
}

/// Whether a draft can still be released, if whoever has to approves it.
fn still_open(state: State, row: &Value) -> Result<(), NotShared> {
    if !row["replaced_by"].is_null() {
        return Err(NotShared::new("wrong-state", "another draft was made from this one; release that"));
    }
    match state {
        State::Draft | State::Submitted | State::Approved => Ok(()),
        State::Rejected | State::Released | State::Discarded => Err(wrong_state(state, "is not released")),
    }
}

/// Those of some agencies that are in the register and not removed.
fn still_members(directory: &Directory, agencies: &[AgencyId]) -> Vec<AgencyId> {
    agencies.iter().filter(|to| directory.chain().member(to).is_some()).cloned().collect()
}

fn became_a_notice() -> NotShared {
    NotShared::new("wrong-state", "what it corrects became a notice since it was approved")
}

fn same_officer() -> NotShared {
    NotShared::new("same-officer", "the second officer is another one than who wrote it")
}

fn wrong_state(state: State, what: &str) -> NotShared {
    NotShared::new("wrong-state", format!("what is {} {what}", state.name()))
}
