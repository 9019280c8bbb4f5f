//! Drafts and what becomes of them, and what a release would do. A draft and its content stay home until it is released.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use mufakat_record::kinds::approval::Decision;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::{Handling, How, OfficerId, RecordId, ThreadId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::Octets;
use super::problem::{Id, Json, Problem};
use super::records::{Correct, as_file, unreadable};
use super::views::only_seen;
use super::{Made, made};
use crate::chunks;
use crate::desk::drafts::{self, Opened, Proposed};
use crate::desk::preview::{self, Previewed};
use crate::desk::requests::{Move, Question};
use crate::desk::{self, Caller, four_eyes};
use crate::gate::Action;
use crate::node::Node;
use crate::share::{Envelope, Shared};
use crate::writer::Fault;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(write_draft))
        .routes(routes!(show_draft))
        .routes(routes!(show_draft_file))
        .routes(routes!(submit_draft))
        .routes(routes!(approve_draft))
        .routes(routes!(reject_draft))
        .routes(routes!(release_draft))
        .routes(routes!(discard_draft))
        .routes(routes!(preview_draft))
        .routes(routes!(preview_release))
}

/// A draft that is written: one of a report, a correction, a request and a step in a request, as it would be sent, without `key`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// A report that is to be released, as `POST /api/v1/records` takes it.
    #[serde(default)]
    envelope: Option<Envelope>,
    /// A correction of the record that `target` names, as `POST /api/v1/records/{id}/correct` takes it.
    #[serde(default)]
    correction: Option<Correct>,
    /// A request for information, as `POST /api/v1/requests` takes it.
    #[serde(default)]
    request: Option<Question>,
    /// A step in the request that `target` names, as `POST /api/v1/requests/{id}/steps` takes it.
    #[serde(default)]
    step: Option<Move>,
    /// The record that is corrected, or the request in which the step is taken.
    #[serde(default)]
    target: Option<RecordId>,
    /// The draft in whose place it stands.
    #[serde(default)]
    replaces: Option<RecordId>,
}

/// Writes a draft. Nothing of it leaves.
#[utoipa::path(
    post, path = "/api/v1/drafts", operation_id = "write_draft", tag = "drafts", request_body = Write,
    responses((status = 201, description = "It is on record at home.", body = Made))
)]
async fn write_draft(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(asked): Json<Write>,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    let (what, key) = match (asked.envelope, asked.correction, asked.request, asked.step, asked.target) {
        (Some(mut envelope), None, None, None, None) => {
            let key = envelope.key.take();
            (Proposed::Report(Box::new(envelope)), key)
        }
        (None, Some(Correct { reason, body: report }), None, None, Some(target)) => {
            (Proposed::Correction { target, correction: Box::new(Correction { reason, report }) }, None)
        }
        (None, None, Some(mut question), None, None) => {
            let key = question.key.take();
            (Proposed::Request(Box::new(question)), key)
        }
        (None, None, None, Some(mut moved), Some(target)) => {
            let key = moved.key.take();
            (Proposed::Step { target, moved: Box::new(moved) }, key)
        }
        _ => {
            let why = "one of `envelope` and `request`, or one of `correction` and `step` with a `target`, is drafted";
            return Err(Problem::malformed(why));
        }
    };
    if key.is_some() {
        return Err(Problem::malformed("`key`: a draft has none; the same draft is released once"));
    }
    let replaces = match asked.replaces {
        Some(id) => Some(open(&node, &caller, id).await?),
        None => None,
    };
    Ok(made(drafts::write(&node, &caller, what, replaces.as_ref()).await??))
}

/// A question that the second officer answers.
#[derive(Serialize, ToSchema)]
#[schema(as = CheckAsked)]
struct Asked {
    /// By which name the answer is given.
    check: &'static str,
    /// The question.
    question: &'static str,
}

/// A draft with what became of it.
#[derive(Serialize, ToSchema)]
struct ShownDraft {
    id: RecordId,
    /// Who wrote it; null when it was handed in at the socket.
    by: Option<OfficerId>,
    /// What it is to become.
    kind: String,
    /// The agencies, parties and forums that are to get it.
    to: Vec<mufakat_record::AgencyId>,
    handling: Handling,
    thread: ThreadId,
    expires: Option<u64>,
    hidden_audience: bool,
    /// Name, media type and size of each file.
    #[schema(value_type = Vec<Object>)]
    attachments: Vec<Value>,
    about: Vec<RecordId>,
    /// What it corrects, or the request in which it is a step.
    target: Option<RecordId>,
    /// The body of what it is to become, as `GET /api/v1/records/{id}` shows it.
    #[schema(value_type = Object)]
    body: Value,
    /// What became of it, as a row of the view `drafts`.
    #[schema(value_type = Object)]
    progress: Value,
    /// Whether an officer needs a second one to release it.
    four_eyes: bool,
    /// What the second officer is asked.
    checks: Vec<Asked>,
}

/// A draft, what became of it, and what the second officer is asked. The reading is noted.
#[utoipa::path(
    get, path = "/api/v1/drafts/{id}", operation_id = "show_draft", tag = "drafts",
    params(("id" = RecordId, Path, description = "The draft.")),
    responses((status = 200, description = "The draft.", body = ShownDraft))
)]
async fn show_draft(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
) -> Result<axum::Json<ShownDraft>, Problem> {
    let opened = open(&node, &caller, id).await?;
    let needed = four_eyes::needed(&node, &node.directory(), opened.leaving());
    let checks = four_eyes::questions(opened.notice).iter();
    let checks = checks.map(|question| Asked { check: question.name, question: question.words }).collect();
    let body = serde_json::to_value(&opened.drafted).map_err(|e| Fault::Store(e.to_string()))?;
    desk::note(&node, &caller, How::Read, id, Vec::new()).await?;
    let (reading, mut progress) = (Arc::clone(&node), opened.row);
    let progress = node.read(move |reader| {
        let classes = desk::classes(&reading, &caller, Action::List, reader)?;
        only_seen(&mut progress, "replaced_by", &classes, reader)?;
        Ok(progress)
    });
    let progress = progress.await?;
    let draft = opened.draft;
    Ok(axum::Json(ShownDraft {
        id,
        by: draft.by,
        kind: draft.kind,
        to: draft.to,
        handling: draft.handling,
        thread: draft.thread,
        expires: draft.expires,
        hidden_audience: draft.hidden_audience,
        attachments: draft.attachments.iter().flatten().map(drafts::described).collect(),
        about: draft.about.unwrap_or_default(),
        target: draft.target,
        body,
        progress,
        four_eyes: needed,
        checks,
    }))
}

/// The content of a file that goes with a draft, assembled and verified. The reading is noted as one of the draft.
#[utoipa::path(
    get, path = "/api/v1/drafts/{id}/attachments/{number}", operation_id = "show_draft_file", tag = "drafts",
    params(
        ("id" = RecordId, Path, description = "The draft."),
        ("number" = u32, Path, description = "Which of its `attachments`, from 0."),
    ),
    responses((status = 200, description = "The bytes.", body = Octets, content_type = "application/octet-stream"))
)]
async fn show_draft_file(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| Problem::malformed("a record's id is 64 hexadecimal digits"))?;
    let number: u32 = number.parse().map_err(|_| Problem::malformed("files are numbered from 0"))?;
    let opened = open(&node, &caller, id).await?;
    let attachment = opened.draft.attachments.into_iter().flatten().nth(number as usize);
    let attachment = attachment.ok_or_else(Problem::not_found)?;
    desk::note(&node, &caller, How::Read, id, Vec::new()).await?;
    chunks::content_of(&node, attachment).await.map(as_file).map_err(unreadable)
}

/// A draft that the caller may read. What it is to become is read under the same rules.
async fn open(node: &Arc<Node>, caller: &Caller, id: RecordId) -> Result<Opened, Problem> {
    let opened = drafts::open(node, id).await?.ok_or_else(Problem::not_found)?;
    if desk::may_read(node, caller, &opened.record).await? { Ok(opened) } else { Err(Problem::not_found()) }
}

/// Puts a draft before a second officer.
#[utoipa::path(
    post, path = "/api/v1/drafts/{id}/submit", operation_id = "submit_draft", tag = "drafts",
    params(("id" = RecordId, Path, description = "The draft.")),
    responses((status = 201, description = "It waits for a second officer.", body = Made))
)]
async fn submit_draft(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    let opened = open(&node, &caller, id).await?;
    Ok(made(drafts::submit(&node, &caller, &opened).await??))
}

/// An answer to a question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Answered {
    /// The name of the question.
    check: String,
    /// Yes or no.
    answer: bool,
}

/// A second officer's word.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Word {
    /// The answers to what is asked; of a notice all, and to approve it each in the way that lets it go.
    #[serde(default)]
    checks: Vec<Answered>,
    /// Why.
    #[serde(default)]
    words: Option<String>,
}

impl Word {
    fn answers(&self) -> Vec<(String, bool)> {
        self.checks.iter().map(|one| (one.check.clone(), one.answer)).collect()
    }
}

/// Approves a draft. The caller is another officer than its author.
#[utoipa::path(
    post, path = "/api/v1/drafts/{id}/approve", operation_id = "approve_draft", tag = "drafts", request_body = Word,
    params(("id" = RecordId, Path, description = "The draft.")),
    responses((status = 201, description = "It can be released.", body = Made))
)]
async fn approve_draft(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Json(word): Json<Word>,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    decide(&node, &caller, id, Decision::Approve, word).await
}

/// Rejects a draft. Its author can write another in its place.
#[utoipa::path(
    post, path = "/api/v1/drafts/{id}/reject", operation_id = "reject_draft", tag = "drafts", request_body = Word,
    params(("id" = RecordId, Path, description = "The draft.")),
    responses((status = 201, description = "It is not released.", body = Made))
)]
async fn reject_draft(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Json(word): Json<Word>,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    decide(&node, &caller, id, Decision::Reject, word).await
}

async fn decide(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    decision: Decision,
    word: Word,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    let opened = open(node, caller, id).await?;
    let answers = word.answers();
    Ok(made(drafts::decide(node, caller, &opened, decision, &answers, word.words).await??))
}

/// What a draft became.
#[derive(Serialize, ToSchema)]
struct Became {
    /// The records; one for each recipient, when the audience is hidden.
    records: Vec<Shared>,
}

/// Releases a draft: what it says goes to its audience. Where four eyes are demanded, a second officer approved it, and the
/// caller is not its author.
#[utoipa::path(
    post, path = "/api/v1/drafts/{id}/release", operation_id = "release_draft", tag = "drafts",
    params(("id" = RecordId, Path, description = "The draft.")),
    responses((status = 201, description = "It is on its way.", body = Became))
)]
async fn release_draft(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
) -> Result<(StatusCode, axum::Json<Became>), Problem> {
    let opened = open(&node, &caller, id).await?;
    let records = drafts::release(&node, &caller, &opened).await??;
    Ok((StatusCode::CREATED, axum::Json(Became { records })))
}

/// Gives a draft up.
#[utoipa::path(
    post, path = "/api/v1/drafts/{id}/discard", operation_id = "discard_draft", tag = "drafts",
    params(("id" = RecordId, Path, description = "The draft.")),
    responses((status = 201, description = "It is not released.", body = Made))
)]
async fn discard_draft(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    let opened = open(&node, &caller, id).await?;
    Ok(made(drafts::discard(&node, &caller, &opened).await??))
}

/// What releasing a draft would do.
#[utoipa::path(
    post, path = "/api/v1/drafts/{id}/preview", operation_id = "preview_draft", tag = "drafts",
    params(("id" = RecordId, Path, description = "The draft.")),
    responses((status = 200, description = "Who will read it, who will not, and by which rule.", body = Previewed))
)]
async fn preview_draft(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
) -> Result<axum::Json<Previewed>, Problem> {
    let opened = open(&node, &caller, id).await?;
    let apart = opened.draft.hidden_audience.then(|| opened.copies());
    Ok(axum::Json(preview::preview(&node, &caller, &node.directory(), opened.leaving(), apart)?))
}

/// What sharing an envelope would do. Nothing is sent and nothing is kept.
#[utoipa::path(
    post, path = "/api/v1/preview", operation_id = "preview_release", tag = "drafts",
    request_body = Envelope,
    responses((status = 200, description = "Who will read it, who will not, and by which rule.", body = Previewed))
)]
async fn preview_release(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(envelope): Json<Envelope>,
) -> Result<axum::Json<Previewed>, Problem> {
    Ok(axum::Json(preview::of_envelope(&node, &caller, &node.directory(), &envelope)?))
}
