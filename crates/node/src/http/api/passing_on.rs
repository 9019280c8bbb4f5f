//! Passing a partner's record on, and permitting it for one's own.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use mufakat_record::kinds::permission::Permission;
use mufakat_record::{AgencyId, RecordId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Id, Json, Problem};
use super::records::may_read;
use crate::desk::Caller;
use crate::follow_up;
use crate::node::Node;
use crate::passing_on;
use crate::share::Shared;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(forward_record)).routes(routes!(permit_record))
}

/// To whom a record is passed on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Forward {
    /// Agencies, parties or forums. Whoever has it already is left out.
    to: Vec<AgencyId>,
    /// Why, in words that they read.
    #[serde(default)]
    note: Option<String>,
}

/// What was passed on.
#[derive(Serialize, ToSchema)]
struct Forwarded {
    /// The record that carries the original, and one for each attachment.
    records: Vec<Shared>,
}

/// Passes a partner's record on, with its attachments. The originator's signed bytes go unchanged.
#[utoipa::path(
    post, path = "/api/v1/records/{id}/forward", operation_id = "forward_record", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")), request_body = Forward,
    responses((status = 201, description = "It is on its way.", body = Forwarded))
)]
async fn forward_record(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Json(asked): Json<Forward>,
) -> Result<(StatusCode, axum::Json<Forwarded>), Problem> {
    may_read(&node, &caller, id).await?;
    let records = passing_on::forward(&node, &caller, id, asked.to, asked.note).await??;
    Ok((StatusCode::CREATED, axum::Json(Forwarded { records })))
}

/// What is permitted. All of it is said each time: the latest permission counts, and one that permits nothing withdraws.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Permit {
    /// The agencies to whom recipients may pass the record on.
    #[serde(default)]
    forward_to: Vec<AgencyId>,
    /// Whether it may be used as evidence.
    #[serde(default)]
    evidence: bool,
    /// Under which conditions.
    #[serde(default)]
    note: Option<String>,
}

/// The record that says so.
#[derive(Serialize, ToSchema)]
struct Permitted {
    id: RecordId,
}

/// Says what recipients may do with a record of this agency beyond its handling.
#[utoipa::path(
    post, path = "/api/v1/records/{id}/permit", operation_id = "permit_record", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")), request_body = Permit,
    responses((status = 201, description = "Its recipients will know.", body = Permitted))
)]
async fn permit_record(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Json(asked): Json<Permit>,
) -> Result<(StatusCode, axum::Json<Permitted>), Problem> {
    let Permit { mut forward_to, evidence, note } = asked;
    forward_to.sort();
    forward_to.dedup();
    may_read(&node, &caller, id).await?;
    let directory = node.directory();
    if let Some(stranger) = forward_to.iter().find(|to| directory.chain().member(to).is_none()) {
        return Err(Problem::refused("unknown-recipient", format!("{stranger} is no agency of the register")));
    }
    let permission = Permission { evidence, forward_to: (!forward_to.is_empty()).then_some(forward_to), note };
    let id = follow_up::permit(&node, &caller, id, permission).await??;
    Ok((StatusCode::CREATED, axum::Json(Permitted { id })))
}
