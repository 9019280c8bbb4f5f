//! Saved searches: kept, listed and ended by the officer whose they are.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mufakat_record::kinds::saved_search::SavedSearch;
use mufakat_record::{OfficerId, RecordId};
use mufakat_store::Reader;
use mufakat_views::{Row, Rows, searches};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Json, Problem};
use super::search::Asked;
use crate::desk::Caller;
use crate::node::Node;
use crate::share;

/// How many saved searches one officer may have: each is asked of everything that comes.
const SAVED_MAX: usize = 64;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(list_searches, save_search)).routes(routes!(end_search))
}

/// A question that is asked again of everything that comes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Save {
    /// A name, by which it replaces an earlier one of the same officer.
    #[schema(example = "boats")]
    name: String,
    /// The parameters of the search, as in the query of its URL, without `after` and `limit`.
    #[schema(example = "q=kapal&kind=report")]
    question: String,
}

/// The saved searches of the caller.
#[derive(Debug, Serialize, ToSchema)]
struct Listed {
    searches: Vec<Value>,
}

/// Which record was made.
#[derive(Debug, Serialize, ToSchema)]
struct Saved {
    id: RecordId,
}

/// The caller's saved searches with what they last found.
#[utoipa::path(
    get, path = "/api/v1/searches", operation_id = "list_searches", tag = "records",
    responses((status = 200, description = "The saved searches.", body = Listed))
)]
async fn list_searches(State(node): State<Arc<Node>>, caller: Caller) -> Result<axum::Json<Listed>, Problem> {
    let rows = node.read(move |reader| rows_of(reader, caller.officer.as_ref())).await?;
    Ok(axum::Json(Listed { searches: rows.into_iter().map(|row| row.body).collect() }))
}

/// Saves a search. What it finds from now on is an alert.
#[utoipa::path(
    post, path = "/api/v1/searches", operation_id = "save_search", tag = "records", request_body = Save,
    responses((status = 201, description = "It is saved.", body = Saved))
)]
async fn save_search(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(asked): Json<Save>,
) -> Result<Response, Problem> {
    if asked.question.is_empty() {
        return Err(Problem::malformed("`question` is empty: it would find everything"));
    }
    Asked::saved(&asked.question, &node)?;
    let by = caller.officer.clone();
    let rows = node.read(move |reader| rows_of(reader, by.as_ref())).await?;
    if rows.len() >= SAVED_MAX && !rows.iter().any(|row| row.body["name"] == asked.name.as_str()) {
        return Err(Problem::refused(
            "too-many-searches",
            format!("an officer has at most {SAVED_MAX} saved searches"),
        ));
    }
    let search = SavedSearch { by: caller.officer, name: asked.name, question: asked.question };
    let id = share::keep(&node, search, Vec::new()).await??;
    Ok((StatusCode::CREATED, axum::Json(Saved { id })).into_response())
}

/// Ends a saved search of the caller's.
#[utoipa::path(
    delete, path = "/api/v1/searches/{name}", operation_id = "end_search", tag = "records",
    params(("name" = String, Path, description = "Its name.")),
    responses((status = 204, description = "It has ended."))
)]
async fn end_search(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let by = caller.officer.clone();
    let rows = node.read(move |reader| rows_of(reader, by.as_ref())).await?;
    if !rows.iter().any(|row| row.body["name"] == name.as_str()) {
        return Err(Problem::not_found());
    }
    share::keep(&node, SavedSearch { by: caller.officer, name, question: String::new() }, Vec::new()).await??;
    Ok(StatusCode::NO_CONTENT)
}

fn rows_of(reader: &Reader, by: Option<&OfficerId>) -> Result<Vec<Row>, mufakat_store::Error> {
    let by = by.map_or_else(|| "-".to_owned(), ToString::to_string);
    let rows = reader.rows(searches::NAME, &[], Some(("by", &by)));
    rows.map_err(|error| mufakat_store::Error::Unavailable(error.0))
}
