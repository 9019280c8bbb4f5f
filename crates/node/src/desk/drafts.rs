//! Drafts: written, put before a second officer, approved or rejected, and released as records. Until then they are home
//! records, whose audience is the agency alone.

use std::sync::Arc;

use mufakat_exchange::{Directory, Submission};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::{Approval, Decision};
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::draft::{DRAFT_ABOUT_MAX, DRAFT_ATTACHMENTS_MAX, Draft};
use mufakat_record::kinds::draft_step::{DraftStep, Step};
use mufakat_record::kinds::report::Report;
use mufakat_record::{AUDIENCE_MAX, Header, RecordId, Reference, Relation, SigningKey, Verified};
use mufakat_store::{Queries, Sqlite};
use mufakat_views::Rows;
use mufakat_views::drafts::{self as view, State};
use serde_json::Value;

use super::{Caller, four_eyes, together};
use crate::node::Node;
use crate::share::{self, Envelope, NotShared, Shared, Together};
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
    /// The report that it holds.
    pub(crate) report: Report,
    /// What became of it, as its row says.
    pub(crate) row: Value,
}

type Done<T> = Result<Result<T, NotShared>, Fault>;

/// Puts a draft on record, in the place of an earlier one if that is named. Gives its id.
pub(crate) async fn write(
    node: &Arc<Node>,
    caller: &Caller,
    envelope: Envelope,
    replaces: Option<&Opened>,
) -> Done<RecordId> {
    if replaces.is_some_and(|before| !may_dispose(node, caller, before)) {
        return Ok(Err(not_the_author("replaces a draft")));
    }
    let replaces = replaces.map(|before| before.record.id());
    if let Some(id) = share::not_found(node, caller, std::slice::from_ref(&envelope)).await?.first() {
        let why = format!("`about` names {id}, and there is no such record here");
        return Ok(Err(NotShared::new("unknown-record", why)));
    }
    let mut attachments = Vec::with_capacity(envelope.attachments.len());
    for upload in &envelope.attachments {
        match chunks::uploaded(node, upload) {
            Some(attachment) => attachments.push(attachment),
            None => return Ok(Err(NotShared::new("unknown-upload", format!("there is no upload called {upload}")))),
        }
    }
    let bounds = [
        ("to", envelope.to.len(), AUDIENCE_MAX),
        ("attachments", attachments.len(), DRAFT_ATTACHMENTS_MAX),
        ("about", envelope.about.len(), DRAFT_ABOUT_MAX),
    ];
    if let Some((field, _, max)) = bounds.into_iter().find(|(_, count, max)| count > max) {
        return Ok(Err(NotShared::new("oversize", format!("`{field}` has at most {max} entries"))));
    }
    chunks::hold_for_us(node, &attachments, clock::now_s() + DRAFT_FILES_HELD_S).await?;
    let by = caller.officer.clone();
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        directory.chain().resolve(&envelope.to).map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
        let handling = share::handling_of(&envelope);
        // For the agency alone, under the handling of what it is to become: who may not read that does not read this.
        let mut header = share::header_for(
            node,
            directory,
            Draft::KIND,
            vec![node.me.clone()],
            handling.clone(),
            share::new_thread(),
        );
        header.references = replaces.iter().map(|id| Reference { relation: Relation::Corrects, record: *id }).collect();
        // What the report lacks is told in the words in which a share would tell it.
        share::sign(Header { kind: Report::KIND.to_owned(), ..header.clone() }, &envelope.body, signer)?;
        let draft = Draft {
            by: by.clone(),
            kind: Report::KIND.to_owned(),
            body: envelope.body.to_body(),
            to: envelope.to.clone(),
            handling,
            thread: envelope.thread.unwrap_or_else(share::new_thread),
            expires: envelope.expires,
            hidden_audience: envelope.hidden_audience,
            attachments: (!attachments.is_empty()).then(|| attachments.clone()),
            about: (!envelope.about.is_empty()).then(|| envelope.about.clone()),
        };
        let record = share::sign(header, &draft, signer)?;
        Ok(Together::one(record))
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
    let checks = match four_eyes::checks(four_eyes::questions(&opened.report), answers, approving) {
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
    let needed = four_eyes::needed(node, &node.directory(), &envelope(opened));
    if needed && !four_eyes::is_another(caller, opened.draft.by.as_ref()) {
        return Ok(Err(same_officer()));
    }
    let is_officer = caller.officer.is_some();
    // What was approved stays so; whether it is still to be released is asked once more below.
    let second = before == Some(State::Approved);
    let (who, draft) = (caller.clone(), opened.clone());
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        let attachments = draft.draft.attachments.as_deref().unwrap_or_default();
        if !chunks::are_here(node, attachments) {
            let why = "its files are no longer held here; upload them again with another draft";
            return Err(NotShared::new("attachment-gone", why));
        }
        let mut whole = share::compose(node, &who, directory, signer, &envelope(&draft), attachments, second)?;
        let reports = whole.records.iter().filter(|s| s.record.header().kind == Report::KIND);
        let reports: Vec<RecordId> = reports.map(|s| s.record.id()).collect();
        let step = DraftStep { by: who.officer.clone(), step: Step::Released, records: Some(reports) };
        let record = share::sign(about(node, directory, DraftStep::KIND, &draft.record), &step, signer)?;
        whole.records.push(Submission { record, key: None });
        Ok(whole)
    };
    let fits = move |store: &Sqlite| {
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
    let shown = node.read(move |reader| {
        let mut shared = Vec::new();
        for id in ids {
            let record = reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok());
            let report = record.filter(|record| record.header().kind == Report::KIND);
            shared.extend(report.map(|report| Shared { id, audience: report.header().audience.clone() }));
        }
        Ok(shared)
    });
    Ok(Ok(shown.await?))
}

/// A draft, if there is one with this id.
pub(crate) async fn open(node: &Arc<Node>, id: RecordId) -> Result<Option<Opened>, Fault> {
    node.read(move |reader| {
        let Some(bytes) = reader.record_bytes(&id)? else { return Ok(None) };
        let Some(record) = Verified::from_own_store(bytes).ok() else { return Ok(None) };
        let Ok(draft) = Draft::from_body(record.header(), record.body()) else { return Ok(None) };
        let Some(report) = draft.report(record.header()) else { return Ok(None) };
        let row = row(reader, &id)?;
        Ok(row.map(|row| Opened { record, draft, report, row }))
    })
    .await
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

/// The envelope that a draft would have been.
pub(crate) fn envelope(opened: &Opened) -> Envelope {
    let draft = &opened.draft;
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
        body: opened.report.clone(),
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

fn same_officer() -> NotShared {
    NotShared::new("same-officer", "the second officer is another one than who wrote it")
}

fn wrong_state(state: State, what: &str) -> NotShared {
    NotShared::new("wrong-state", format!("what is {} {what}", state.name()))
}
