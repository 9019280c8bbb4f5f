//! Legal holds, what is due, deletions, overdue answers, and files on a person or thing.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use mufakat_record::kinds::deletion_receipt::Why;
use mufakat_record::kinds::report::Identifier;
use mufakat_record::{RecordId, ThreadId};
use mufakat_views::{Rows, drafts};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Id, Json, Problem};
use super::records::may_read;
use super::{Made, made};
use crate::desk::{self, Caller};
use crate::gate::Action;
use crate::node::Node;
use crate::retention::{self, Done, Overdue, Preview};
use crate::subject::{self, SubjectFile};

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(place_hold))
        .routes(routes!(lift_hold))
        .routes(routes!(preview_retention))
        .routes(routes!(run_retention))
        .routes(routes!(delete_record))
        .routes(routes!(list_overdue_answers))
        .routes(routes!(make_subject_file))
}

/// A legal hold, on records with what they carry, on a thread, or on both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewHold)]
struct Place {
    #[serde(default)]
    records: Vec<RecordId>,
    #[serde(default)]
    thread: Option<ThreadId>,
    /// Why; it stays at home.
    reason: String,
    /// Until when, in seconds since 1970; otherwise until it is lifted.
    #[serde(default)]
    until: Option<u64>,
}

/// Places a legal hold. Nothing that it is on is deleted while it is in force.
#[utoipa::path(
    post, path = "/api/v1/holds", operation_id = "place_hold", tag = "retention", request_body = Place,
    responses((status = 201, description = "The hold is in force.", body = Made))
)]
async fn place_hold(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(asked): Json<Place>,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    let Place { records, thread, reason, until } = asked;
    if records.is_empty() && thread.is_none() {
        return Err(Problem::malformed("`records` or `thread` says what the hold is on"));
    }
    for record in &records {
        may_read(&node, &caller, *record).await?;
    }
    let id = retention::place_hold(&node, &caller, records, thread, reason, until).await??;
    Ok(made(id))
}

/// Why a hold is lifted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Lift {
    reason: String,
}

/// A hold that was lifted.
#[derive(Serialize, ToSchema)]
struct Lifted {
    id: RecordId,
    /// What had waited for that.
    done: Done,
}

/// Lifts a legal hold, and deletes what was taken back meanwhile.
#[utoipa::path(
    post, path = "/api/v1/holds/{id}/lift", operation_id = "lift_hold", tag = "retention",
    params(("id" = RecordId, Path, description = "The hold.")), request_body = Lift,
    responses((status = 201, description = "The hold is lifted.", body = Lifted))
)]
async fn lift_hold(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Json(asked): Json<Lift>,
) -> Result<(StatusCode, axum::Json<Lifted>), Problem> {
    may_read(&node, &caller, id).await?;
    let (id, done) = retention::lift_hold(&node, &caller, id, asked.reason).await??;
    Ok((StatusCode::CREATED, axum::Json(Lifted { id, done })))
}

/// What would be deleted now, what is to be looked at again, and what legal holds keep, of what the caller may list.
#[utoipa::path(
    get, path = "/api/v1/retention/preview", operation_id = "preview_retention", tag = "retention",
    responses((status = 200, description = "What is due.", body = Preview))
)]
async fn preview_retention(State(node): State<Arc<Node>>, caller: Caller) -> Result<axum::Json<Preview>, Problem> {
    Ok(axum::Json(retention::preview(&node, &caller).await?))
}

/// Deletes what is past its expiry, and what was taken back and had to wait; tells of what the caller may list.
#[utoipa::path(
    post, path = "/api/v1/retention/run", operation_id = "run_retention", tag = "retention",
    responses((status = 200, description = "What was done.", body = Done))
)]
async fn run_retention(State(node): State<Arc<Node>>, caller: Caller) -> Result<axum::Json<Done>, Problem> {
    Ok(axum::Json(retention::run(&node, Some(&caller)).await?))
}

/// An order to delete.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// Why; it stays at home.
    reason: String,
    /// `review` after looking at it again, `order` otherwise.
    #[serde(default = "Delete::order")]
    why: Why,
}

impl Delete {
    fn order() -> Why {
        Why::Order
    }
}

/// What came of an order to delete.
#[derive(Serialize, ToSchema)]
#[schema(as = DeletedByOrder)]
struct Deleted {
    /// The order.
    id: RecordId,
    /// The drafts from which it was released and that are still held here, of those that the caller may list: they have its
    /// content, and each is deleted by an order of its own.
    drafts: Vec<RecordId>,
}

/// Deletes the content of a record, its attachments with it. What this agency passed on of it is taken back.
#[utoipa::path(
    post, path = "/api/v1/records/{id}/delete", operation_id = "delete_record", tag = "retention",
    params(("id" = RecordId, Path, description = "The record.")), request_body = Delete,
    responses((status = 201, description = "It is deleted; this is the order, and what it leaves.", body = Deleted))
)]
async fn delete_record(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Json(asked): Json<Delete>,
) -> Result<(StatusCode, axum::Json<Deleted>), Problem> {
    if !matches!(asked.why, Why::Review | Why::Order) {
        return Err(Problem::malformed("`why` is `review` or `order`"));
    }
    may_read(&node, &caller, id).await?;
    let order = retention::delete_by_order(&node, &caller, id, asked.why, asked.reason).await??;
    let reading = Arc::clone(&node);
    let drafts = node.read(move |reader| {
        let rows = reader.rows(drafts::NAME, &[], Some((drafts::BECAME, &id.to_string())));
        let rows = rows.map_err(|e| mufakat_store::Error::Unavailable(e.0))?;
        let classes = desk::classes(&reading, &caller, Action::List, reader)?;
        desk::seen(reader, &classes, &rows.into_iter().map(|row| row.record).collect::<Vec<_>>())
    });
    Ok((StatusCode::CREATED, axum::Json(Deleted { id: order, drafts: drafts.await? })))
}

/// Answers that are overdue.
#[derive(Serialize, ToSchema)]
struct OverdueAnswers {
    overdue: Vec<Overdue>,
}

/// Retractions and corrections that a recipient has not answered in time, of those that the caller may list.
#[utoipa::path(
    get, path = "/api/v1/retention/overdue", operation_id = "list_overdue_answers", tag = "retention",
    responses((status = 200, description = "The oldest first.", body = OverdueAnswers))
)]
async fn list_overdue_answers(
    State(node): State<Arc<Node>>,
    caller: Caller,
) -> Result<axum::Json<OverdueAnswers>, Problem> {
    Ok(axum::Json(OverdueAnswers { overdue: retention::overdue(&node, Some(&caller), crate::clock::now_ms()).await? }))
}

/// Everything that is held on an identifier, with its handling. Each record in it is noted as exported.
#[utoipa::path(
    post, path = "/api/v1/subject-file", operation_id = "make_subject_file", tag = "retention",
    request_body = Identifier, responses((status = 200, description = "The file.", body = SubjectFile))
)]
async fn make_subject_file(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(identifier): Json<Identifier>,
) -> Result<axum::Json<SubjectFile>, Problem> {
    Ok(axum::Json(subject::file_on(&node, &caller, identifier).await??))
}
