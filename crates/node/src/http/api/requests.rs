//! Requests for information: asked, taken a step further, and counted. Who asks whom for what stands in the view `requests`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use mufakat_record::RecordId;
use mufakat_store::{Page, Queries};
use mufakat_views::clock;
use mufakat_views::requests::table::{Measure, Table};
use mufakat_views::requests::{Entry, NAME};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Id, Json, Problem, Query};
use crate::desk::Caller;
use crate::desk::requests::{self, Move, Question};
use crate::node::Node;
use crate::share::Shared;
use crate::writer::Fault;

/// How many rows are counted at a time, so that nobody else waits long for a reader.
const ROWS_MAX: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(ask_request))
        .routes(routes!(take_request_step))
        .routes(routes!(show_requests_table))
}

/// A request that is on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = RequestAsked)]
struct Asked {
    /// The requests; one for each agency that is asked, when none is to learn of the others.
    records: Vec<Shared>,
    /// Earlier requests of this agency on the same subject, of those that the caller may list.
    duplicates: Vec<RecordId>,
}

/// Asks one or several agencies for information.
#[utoipa::path(
    post, path = "/api/v1/requests", operation_id = "ask_request", tag = "requests", request_body = Question,
    responses((status = 201, description = "It is on its way.", body = Asked))
)]
async fn ask_request(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(question): Json<Question>,
) -> Result<(StatusCode, axum::Json<Asked>), Problem> {
    let records = requests::ask(&node, &caller, question).await??;
    let duplicates = requests::duplicates(&node, &caller, records.first().map(|shared| shared.id)).await?;
    Ok((StatusCode::CREATED, axum::Json(Asked { records, duplicates })))
}

/// A step that is on its way.
#[derive(Serialize, ToSchema)]
struct Taken {
    /// The record.
    id: RecordId,
}

/// Takes a step in a request that this agency asks or is asked.
#[utoipa::path(
    post, path = "/api/v1/requests/{id}/steps", operation_id = "take_request_step", tag = "requests",
    params(("id" = RecordId, Path, description = "The request.")), request_body = Move,
    responses((status = 201, description = "It is on its way.", body = Taken))
)]
async fn take_request_step(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Json(moved): Json<Move>,
) -> Result<(StatusCode, axum::Json<Taken>), Problem> {
    let id = requests::take(&node, &caller, id, moved).await??;
    Ok((StatusCode::CREATED, axum::Json(Taken { id })))
}

/// Which table is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The calendar year, where this agency is.
    #[param(minimum = 1970, maximum = 9999)]
    year: i16,
    /// In which form; JSON if nothing is said.
    #[serde(default)]
    #[param(inline)]
    format: Form,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// The numbers with series for charts.
    #[default]
    Json,
    /// Comma-separated values.
    Csv,
}

/// The table of a year.
#[derive(Serialize, ToSchema)]
#[schema(as = RequestsTable)]
struct Counted {
    year: i16,
    /// The time zone in which the year is reckoned.
    time_zone: String,
    /// Each number that is not zero.
    rows: Vec<Number>,
    /// Series for charts, for each side and measure: `side`, `measure`, `categories` (parties), `series` (`name`, `data`).
    #[schema(value_type = Vec<Object>)]
    charts: Value,
}

/// One number of the table.
#[derive(Serialize, ToSchema)]
struct Number {
    /// `asking` or `asked`.
    side: &'static str,
    /// `requests`, `answered`, `late`, `refused` or `judicial-delay`.
    measure: &'static str,
    /// The party on the other side.
    party: String,
    urgency: &'static str,
    /// The ground of a refusal.
    ground: Option<&'static str>,
    count: u64,
}

/// The yearly table: requests made, received, answered and refused, by party, urgency and ground, and judicial delays. It counts
/// every request, whoever may read it, and so is for those who oversee.
#[utoipa::path(
    get, path = "/api/v1/tables/requests", operation_id = "show_requests_table", tag = "requests", params(Wanted),
    responses((
        status = 200, description = "The table.",
        content((Counted = "application/json"), (String = "text/csv"))
    ))
)]
async fn show_requests_table(
    State(node): State<Arc<Node>>,
    Query(Wanted { year, format }): Query<Wanted>,
) -> Result<Response, Problem> {
    if !(1970..=9999).contains(&year) {
        return Err(Problem::malformed("`year` is a number from 1970 to 9999"));
    }
    let table = count(&node, year).await?;
    if matches!(format, Form::Csv) {
        return Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], table.to_csv()).into_response());
    }
    let rows = table.cells().map(|(cell, count)| Number {
        side: cell.side,
        measure: Measure::name(cell.measure),
        party: cell.party.clone(),
        urgency: cell.urgency,
        ground: cell.ground,
        count,
    });
    let (rows, charts) = (rows.collect(), table.charts());
    Ok(axum::Json(Counted { year, time_zone: node.config.desk.time_zone.clone(), rows, charts }).into_response())
}

/// Counts the rows of a year. Of content the table shows nothing.
async fn count(node: &Arc<Node>, year: i16) -> Result<Table, Fault> {
    let directory = node.directory();
    let register = directory.chain().current();
    let party_of = |agency: &mufakat_record::AgencyId| {
        register.agency(agency).map_or_else(|| agency.to_string(), |found| found.party.to_string())
    };
    let (mut table, mut after) = (Table::default(), None::<Vec<u8>>);
    loop {
        let from = after.take();
        let rows = node.read(move |reader| {
            let (limit, newest_first, classes) = (ROWS_MAX, false, None);
            reader.view_page(&Page { view: NAME, after: from.as_deref(), limit, facets: &[], newest_first, classes })
        });
        let rows = rows.await?;
        for row in &rows {
            if clock::year(row.time_ms, &node.config.desk.time_zone) == Some(year)
                && let Some(entry) = Entry::of(&row.body)
            {
                table.count(&entry, &party_of);
            }
        }
        match rows.last() {
            Some(last) if rows.len() == ROWS_MAX => after = Some(last.key.clone()),
            _ => return Ok(table),
        }
    }
}
