//! Views: pages of rows, filtered by facets, from the newest or from the oldest.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mufakat_record::RecordId;
use mufakat_store::{ClassNumber, NO_CLASS, Page, Queries, Reader};
use mufakat_views::{Row, View, drafts, registry, requests};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cursor::Cursors;
use super::problem::{Problem, Query};
use crate::desk::{self, Caller};
use crate::gate::Action;
use crate::node::Node;

/// How many rows a page has when nothing is said.
const LIMIT_DEFAULT: usize = 50;
/// How many rows a page can have.
const LIMIT_MAX: usize = 500;
/// How many facets one question can name.
const FACETS_MAX: usize = 8;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(list_view))
}

/// A page of a view's rows.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Rows {
    rows: Vec<ShownRow>,
    /// What to ask for as `after`; null on the last page.
    next: Option<String>,
}

/// A row of a view.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct ShownRow {
    /// What tells the row from others of its view.
    key: String,
    /// The record that the row is about.
    record: RecordId,
    /// The time by which the view is ordered, in milliseconds since 1970.
    time_ms: u64,
    /// Of the view's own form.
    #[schema(value_type = Object)]
    body: Value,
}

/// A page of the rows of a view, filtered by facets.
#[utoipa::path(
    get, path = "/api/v1/views/{view}", operation_id = "list_view", tag = "views",
    params(
        ("view" = String, Path, description = "The view's name.", example = "inbox"),
        ("after" = Option<String>, Query, description = "What an earlier page gave as `next`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many rows at most; 50 if nothing is said."),
        ("order" = inline(Option<Order>), Query, description = "From which end; the newest first if nothing is said."),
        ("facet" = Option<Vec<String>>, Query, max_items = 8, description = "`name:value`; may be repeated, and all must hold."),
    ),
    responses((status = 200, description = "The page.", body = Rows))
)]
async fn list_view(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path(view): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<axum::Json<Rows>, Problem> {
    let view = registry::view(&view).ok_or_else(Problem::not_found)?;
    let decision = node.gate.decide_view(&caller, &node.me, view.name());
    if !decision.allow {
        desk::note_operation(&node, &caller, view.name(), decision.rule).await?;
        return Err(Problem::not_found());
    }
    let asked = Asked::read(query)?;
    asked.check_facets(view)?;
    let view = view.name();
    let limit = asked.limit;
    let reading = Arc::clone(&node);
    let cursors = Cursors::of(&node, &caller, &asked.question(view));
    let after = asked.after.as_deref().map(|cursor| cursors.open(cursor)).transpose()?;
    let rows = node.read(move |reader| {
        let classes = desk::classes(&reading, &caller, Action::List, reader)?;
        let classes = with_rows_of_no_record(view, &classes);
        let facets: Vec<_> = asked.facets.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (after, newest_first) = (after.as_deref(), asked.newest_first);
        // One row more than asked for tells whether there is a next page.
        let rows = reader.view_page(&Page {
            view,
            after,
            limit: limit + 1,
            facets: &facets,
            newest_first,
            classes: Some(&classes),
        })?;
        as_seen(rows, &classes, reader)
    });
    Ok(axum::Json(shown(rows.await?, limit, &cursors)))
}

/// Views whose rows are about no record that is held, or tell nothing of one but its id: whoever may page through such a view sees
/// those rows.
const OF_NO_RECORD: [&str; 3] = ["refused", "sign-ins", "uses"];

pub(super) fn with_rows_of_no_record<'a>(view: &str, classes: &'a [ClassNumber]) -> Cow<'a, [ClassNumber]> {
    if OF_NO_RECORD.contains(&view) && classes.first() != Some(&NO_CLASS) {
        Cow::Owned([&[NO_CLASS], classes].concat())
    } else {
        Cow::Borrowed(classes)
    }
}

/// From which end rows come.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described; `read_order` reads it, with a word on what is allowed")]
enum Order {
    Newest,
    Oldest,
}

/// Rows as a caller sees them who may list these classes: of the earlier requests that the row of a request names, and of the
/// drafts that were made from the one of a row, those of them.
pub(super) fn as_seen(
    mut rows: Vec<Row>,
    classes: &[ClassNumber],
    reader: &Reader,
) -> Result<Vec<Row>, mufakat_store::Error> {
    for row in &mut rows {
        match row.view {
            requests::NAME => only_seen(&mut row.body, "duplicates", classes, reader)?,
            drafts::NAME => only_seen(&mut row.body, "replaced_by", classes, reader)?,
            _ => {}
        }
    }
    Ok(rows)
}

/// Leaves of the records that a field names those of these classes.
pub(super) fn only_seen(
    body: &mut Value,
    field: &str,
    classes: &[ClassNumber],
    reader: &Reader,
) -> Result<(), mufakat_store::Error> {
    if let Some(named) = body.get_mut(field) {
        // What is no id names nothing.
        let ids = serde_json::from_value::<Vec<RecordId>>(named.take()).unwrap_or_default();
        *named = json!(desk::seen(reader, classes, &ids)?);
    }
    Ok(())
}

/// What is asked of a view.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) after: Option<String>,
    pub(super) limit: usize,
    pub(super) facets: Vec<(String, String)>,
    pub(super) newest_first: bool,
}

impl Asked {
    /// Whether the view has the facets by which its rows are to be filtered.
    pub(super) fn check_facets(&self, view: &dyn View) -> Result<(), Problem> {
        let Some((name, _)) = self.facets.iter().find(|(name, _)| !view.facets().contains(&name.as_str())) else {
            return Ok(());
        };
        let known = view.facets().join("`, `");
        Err(Problem::malformed(format!("`{}` has no facet `{name}`; it has `{known}`", view.name())))
    }

    /// Reads the parameters. All but `facet` can stand once.
    pub(super) fn read(query: Vec<(String, String)>) -> Result<Self, Problem> {
        let (mut after, mut limit, mut order, mut facets) = (None, None, None, Vec::new());
        for (name, value) in query {
            let twice = match name.as_str() {
                "after" => after.replace(value).is_some(),
                "limit" => limit.replace(read_limit(&value)?).is_some(),
                "order" => order.replace(read_order(&value)?).is_some(),
                "facet" => {
                    facets.push(read_facet(&value)?);
                    facets.len() > FACETS_MAX
                }
                _ => return Err(Problem::malformed(format!("there is no parameter `{name}`"))),
            };
            if twice {
                return Err(Problem::malformed(format!("`{name}` stands here too often")));
            }
        }
        let (limit, newest_first) = (limit.unwrap_or(LIMIT_DEFAULT), order.unwrap_or(true));
        Ok(Self { after, limit, facets, newest_first })
    }

    /// What must be the same from one page to the next; the length of a page may change.
    pub(super) fn question<'a>(&'a self, view: &'a str) -> Vec<&'a str> {
        let order = if self.newest_first { "newest" } else { "oldest" };
        let facets = self.facets.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        ["views", view, order].into_iter().chain(facets).collect()
    }
}

fn read_limit(text: &str) -> Result<usize, Problem> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Problem::malformed(format!("`limit` is a number from 1 to {LIMIT_MAX}")))
}

/// True for the newest first.
fn read_order(text: &str) -> Result<bool, Problem> {
    match text {
        "newest" => Ok(true),
        "oldest" => Ok(false),
        _ => Err(Problem::malformed("`order` is `newest` or `oldest`")),
    }
}

fn read_facet(text: &str) -> Result<(String, String), Problem> {
    let facet = text.split_once(':').filter(|(name, value)| !name.is_empty() && !value.is_empty());
    let facet = facet.map(|(name, value)| (name.to_owned(), value.to_owned()));
    facet.ok_or_else(|| Problem::malformed("`facet` is of the form name:value"))
}

/// A page of at most `limit` rows, out of one more if there is one.
pub(super) fn shown(mut rows: Vec<Row>, limit: usize, cursors: &Cursors) -> Rows {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| cursors.seal(&row.key));
    Rows { rows: rows.into_iter().map(shown_row).collect(), next }
}

fn shown_row(row: Row) -> ShownRow {
    ShownRow { key: URL_SAFE_NO_PAD.encode(&row.key), record: row.record, time_ms: row.time_ms, body: row.body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &[(&str, &str)]) -> Result<Asked, Problem> {
        Asked::read(query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn questions_are_read() {
        let plain = Asked { after: None, limit: 50, facets: Vec::new(), newest_first: true };
        assert_eq!(asked(&[]), Ok(plain));
        let all =
            [("limit", "500"), ("facet", "on:a:b"), ("order", "oldest"), ("after", "_w"), ("facet", "kind:report")];
        let facets = vec![("on".into(), "a:b".into()), ("kind".into(), "report".into())];
        assert_eq!(asked(&all), Ok(Asked { after: Some("_w".into()), limit: 500, facets, newest_first: false }));
        for (name, value) in [
            ("limit", "0"),
            ("limit", "501"),
            ("limit", "-1"),
            ("order", "Newest"),
            ("facet", "kind"),
            ("facet", ":report"),
            ("facet", "kind:"),
            ("colour", "blue"),
        ] {
            let problem = asked(&[(name, value)]).unwrap_err();
            assert_eq!(problem.reason(), "malformed");
            assert!(problem.detail().contains(name), "{}", problem.detail());
        }
        assert!(asked(&[("limit", "1"), ("limit", "1")]).is_err());
        assert!(asked(&[("facet", "a:b"); FACETS_MAX]).is_ok());
        assert!(asked(&[("facet", "a:b"); FACETS_MAX + 1]).is_err());
    }

    #[test]
    fn a_page_goes_on_after_its_last_row() {
        let row = |number: u8| Row {
            view: "inbox",
            key: vec![0, number],
            time_ms: 5,
            record: RecordId([number; 32]),
            facets: Vec::new(),
            body: json!({ "title": "EXERCISE" }),
        };
        let cursors = Cursors::for_test();
        let shown = |rows, limit| shown(rows, limit, &cursors);
        let page = shown(vec![row(1), row(2), row(3)], 2);
        assert_eq!(page.rows.len(), 2);
        assert_eq!(page.rows[0].body["title"], "EXERCISE");
        assert_eq!(cursors.open(&page.next.unwrap()), Ok(vec![0, 2]));
        assert_eq!(shown(vec![row(1), row(2)], 2).next, None);
        assert_eq!(shown(Vec::new(), 2), Rows { rows: Vec::new(), next: None });
    }
}
