//! The desk as it was at an instant, for auditors: a page of a view, folded again from the leaves up to then.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use mufakat_store::{Page, Queries};
use mufakat_views::registry;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cursor::Cursors;
use super::problem::{Problem, Query};
use super::views::{Asked, Rows, as_seen, shown, with_rows_of_no_record};
use crate::desk::replay::{self, NotReplayed};
use crate::desk::{self, Caller};
use crate::gate::Action;
use crate::node::Node;

/// When to ask again for a replay that is being made, in seconds.
const RETRY_S: u64 = 2;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(replay_view))
}

/// A page of a view as it was.
#[derive(Serialize, ToSchema)]
struct Replayed {
    #[serde(flatten)]
    page: Rows,
    /// `view`, `at_ms`, `leaves` (how many the ledger had then), and how long it took to fold them, in `took_ms`.
    #[schema(value_type = Object)]
    replay: Value,
}

/// A page of a view as it was at an instant.
///
/// The first question about an instant folds the view again from the ledger. When that takes longer than ten seconds the answer
/// is 202 with how far it has come; the same question later gives the page. Content that was deleted since then is shown as
/// deleted.
#[utoipa::path(
    get, path = "/api/v1/replay", operation_id = "replay_view", tag = "audit",
    params(
        ("view" = String, Query, description = "The view."),
        ("at" = u64, Query, description = "The instant, in milliseconds since 1970 by this node's clock."),
        ("facet" = Option<Vec<String>>, Query, description = "name:value; as of a view."),
        ("after" = Option<String>, Query, description = "As of a view."),
        ("limit" = Option<u32>, Query, description = "As of a view."),
        ("order" = Option<String>, Query, description = "As of a view."),
    ),
    responses(
        (status = 200, description = "The page.", body = Replayed),
        (status = 202, description = "It is being made.", body = Object),
    )
)]
async fn replay_view(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let (mut view, mut at, mut rest) = (None, None, Vec::new());
    for (name, value) in query {
        let twice = match name.as_str() {
            "view" => view.replace(value).is_some(),
            "at" => at.replace(read_time(&value)?).is_some(),
            _ => {
                rest.push((name, value));
                false
            }
        };
        if twice {
            return Err(Problem::malformed("`view` and `at` stand once"));
        }
    }
    let at_ms = at.ok_or_else(|| Problem::malformed("`at` is missing: an instant in milliseconds since 1970"))?;
    let view = view.ok_or_else(|| Problem::malformed("`view` is missing"))?;
    let view = registry::view(&view).ok_or_else(Problem::not_found)?;
    let decision = node.gate.decide_view(&caller, &node.me, view.name());
    if !decision.allow {
        desk::note_operation(&node, &caller, view.name(), decision.rule).await?;
        return Err(Problem::not_found());
    }
    let asked = Asked::read(rest)?;
    asked.check_facets(view)?;
    let instant = at_ms.to_string();
    let question = [&["replay", &instant], &asked.question(view.name())[..]].concat();
    let cursors = Cursors::of(&node, &caller, &question);
    let after = asked.after.as_deref().map(|cursor| cursors.open(cursor)).transpose()?;
    let reading = Arc::clone(&node);
    let looked_up = node.read(move |reader| {
        let classes = desk::classes(&reading, &caller, Action::List, reader)?;
        Ok((reader.leaves_at(at_ms)?, classes))
    });
    let (leaves, classes) = looked_up.await?;
    let listed = Arc::clone(&classes);
    let replay = replay::replay(&node, view, leaves).await.map_err(not_replayed)?;
    let reading = Arc::clone(&replay);
    let limit = asked.limit;
    let read = tokio::task::spawn_blocking(move || {
        reading.read(|reader| {
            let facets: Vec<_> = asked.facets.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let classes = with_rows_of_no_record(view.name(), &classes);
            reader.view_page(&Page {
                view: view.name(),
                after: after.as_deref(),
                limit: limit + 1,
                facets: &facets,
                newest_first: asked.newest_first,
                classes: Some(&classes),
            })
        })
    });
    let rows = read.await.map_err(|e| crate::writer::Fault::Store(e.to_string()))?;
    let how = json!({
        "at_ms": at_ms, "view": view.name(), "leaves": leaves, "folded": replay.folded(), "took_ms": replay.took_ms(),
    });
    let Some(rows) = rows else {
        let retry = [(header::RETRY_AFTER, HeaderValue::from(RETRY_S))];
        return Ok((StatusCode::ACCEPTED, retry, axum::Json(json!({ "replay": how }))).into_response());
    };
    let rows = rows.map_err(not_replayed)?;
    let rows = node.read(move |reader| as_seen(rows, &listed, reader)).await?;
    let page = shown(rows, limit, &cursors);
    Ok(axum::Json(Replayed { page, replay: how }).into_response())
}

fn read_time(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::malformed("`at` is an instant in milliseconds since 1970"))
}

fn not_replayed(error: NotReplayed) -> Problem {
    match error {
        NotReplayed::Busy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "replays-busy", error.to_string()),
        NotReplayed::TooLarge => Problem::refused("replay-too-large", error.to_string()),
        NotReplayed::Fault(fault) => fault.into(),
    }
}
