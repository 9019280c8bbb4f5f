//! Who knew what, and when: what was done with a record here, what its recipients say of it, and what became of it. No content
//! is shown.

use std::sync::Arc;

use axum::extract::{Path, State};
use mufakat_exchange::What;
use mufakat_record::{Act, AgencyId, RecordId, Verified};
use mufakat_store::{Page, Queries, Reader};
use mufakat_views::{Rows, track, used_by, uses};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Id, Problem, Query};
use crate::node::Node;

/// How many acts a page has when nothing is said.
const LIMIT_DEFAULT: usize = 50;
/// How many acts a page can have.
const LIMIT_MAX: usize = 500;
/// How many records that refer to it are shown of a record: the latest.
const ABOUT_MAX: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(show_knowledge)).routes(routes!(show_act))
}

/// Which acts are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Go on behind the act with this leaf, as an earlier page says in `next`.
    after: Option<u64>,
    /// How many acts at most: 1 to 500, 50 when nothing is said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Everything that is known about who knew of a record.
#[derive(Serialize, ToSchema)]
struct Knowledge {
    id: RecordId,
    /// The leaf with which it came or was authored.
    leaf: u64,
    /// When.
    at_ms: u64,
    /// Who authored it; null when its content was deleted.
    author: Option<AgencyId>,
    /// To whom it was released, and what each said of it.
    #[schema(value_type = Vec<Object>)]
    released: Vec<Value>,
    /// How each recipient says that it used it.
    #[schema(value_type = Vec<Object>)]
    used_by: Vec<Value>,
    /// What was said about it later: retractions, corrections, answers.
    #[schema(value_type = Vec<Object>)]
    about: Vec<Value>,
    /// What was done with it here, the oldest first; deletion included.
    #[schema(value_type = Vec<Object>)]
    acts: Vec<Value>,
    /// Where the next page of acts begins.
    next: Option<u64>,
}

/// Who knew a record, what they did with it, and when; oldest first.
#[utoipa::path(
    get, path = "/api/v1/records/{id}/knowledge", operation_id = "show_knowledge", tag = "audit",
    params(("id" = RecordId, Path, description = "The record."), Wanted),
    responses((status = 200, description = "Who knew of it.", body = Knowledge))
)]
async fn show_knowledge(
    State(node): State<Arc<Node>>,
    Id(id): Id,
    Query(wanted): Query<Wanted>,
) -> Result<axum::Json<Knowledge>, Problem> {
    let limit = wanted.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::malformed(format!("`limit` is a number from 1 to {LIMIT_MAX}")));
    }
    let me = node.me.clone();
    let found = node.read(move |reader| knowledge(reader, &me, id, wanted.after, limit));
    found.await?.map(axum::Json).ok_or_else(Problem::not_found)
}

fn knowledge(
    reader: &Reader,
    me: &AgencyId,
    id: RecordId,
    after: Option<u64>,
    limit: usize,
) -> Result<Option<Knowledge>, mufakat_store::Error> {
    let unavailable = |e: mufakat_views::RowsUnavailable| mufakat_store::Error::Unavailable(e.0);
    let Some((leaf, place)) = reader.record_leaf(&id)? else { return Ok(None) };
    let record = reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok());
    let ours = place.what == What::Authored;
    let rows_of = |view, prefix: &[u8]| -> Result<Vec<Value>, mufakat_store::Error> {
        // What others were told, or say, of a record is about ours only.
        let rows = if ours { reader.rows(view, prefix, None).map_err(unavailable)? } else { Vec::new() };
        Ok(rows.into_iter().map(|row| row.body).collect())
    };
    let released = rows_of(track::NAME, &leaf.to_be_bytes())?;
    let used_by = rows_of(used_by::NAME, &used_by::record_prefix(leaf))?;
    let (on, after) = (id.to_string(), after.map(|leaf| leaf.to_be_bytes().to_vec()));
    let page = Page {
        view: uses::NAME,
        after: after.as_deref(),
        // One more tells whether there is a next page.
        limit: limit + 1,
        facets: &[("on", &on)],
        newest_first: false,
        classes: None,
    };
    let mut rows = reader.view_page(&page)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).and_then(|row| row.body["leaf"].as_u64());
    let acts = rows.into_iter().map(|mut row| {
        row.body["at_ms"] = row.time_ms.into();
        row.body
    });
    Ok(Some(Knowledge {
        id,
        leaf,
        at_ms: place.at_ms,
        author: record.map(|record| record.header().author.clone()).or_else(|| ours.then(|| me.clone())),
        released,
        used_by,
        about: about(reader, &id)?,
        acts: acts.collect(),
        next,
    }))
}

fn about(reader: &Reader, id: &RecordId) -> Result<Vec<Value>, mufakat_store::Error> {
    let mentions = reader.related(id, ABOUT_MAX)?.into_iter();
    let shown = mentions.map(|mention| {
        json!({
            "record": RecordId(mention.leaf.subject.0), "relation": mention.relation, "kind": mention.kind,
            "author": mention.author, "leaf": mention.index, "at_ms": mention.leaf.at_ms,
        })
    });
    Ok(shown.collect())
}

/// One act, with every record that it was done to.
#[derive(Serialize, ToSchema)]
struct ShownAct {
    leaf: u64,
    at_ms: u64,
    /// `use` or `decision`.
    what: &'static str,
    how: &'static str,
    officer: Option<mufakat_record::OfficerId>,
    role: Option<mufakat_record::Role>,
    purpose: Option<String>,
    /// The rule that refused.
    refused: Option<String>,
    note: Option<String>,
    /// The hash of the policy set that decided.
    policy: mufakat_record::Digest,
    records: Vec<RecordId>,
}

/// An act by its leaf, with every record that it was done to, such as the hits of a search.
#[utoipa::path(
    get, path = "/api/v1/acts/{leaf}", operation_id = "show_act", tag = "audit",
    params(("leaf" = u64, Path, description = "The index of the leaf, as the view `uses` gives it.")),
    responses((status = 200, description = "The act.", body = ShownAct))
)]
async fn show_act(State(node): State<Arc<Node>>, Path(leaf): Path<String>) -> Result<axum::Json<ShownAct>, Problem> {
    let index = leaf.parse().map_err(|_| Problem::malformed("the index of a leaf is a number"))?;
    let leaf = node.read(move |reader| reader.leaf(index)).await?;
    let leaf = leaf.ok_or_else(Problem::not_found)?;
    let what = match leaf.what {
        What::Use => "use",
        What::Decision => "decision",
        _ => return Err(Problem::not_found()),
    };
    let act = Act::from_detail(&leaf.detail).ok_or_else(Problem::not_found)?;
    let records = std::iter::once(RecordId(leaf.subject.0)).chain(act.records.unwrap_or_default());
    Ok(axum::Json(ShownAct {
        leaf: index,
        at_ms: leaf.at_ms,
        what,
        how: act.how.name(),
        officer: act.officer,
        role: act.role,
        purpose: act.purpose,
        refused: act.refused,
        note: act.note,
        policy: act.policy,
        records: records.collect(),
    }))
}
