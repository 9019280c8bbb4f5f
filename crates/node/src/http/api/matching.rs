//! Private matching: asking partners whether they list an identifier, what comes of it, this agency's own lists, who may ask how
//! much, and audits. What was asked and what came of it stands in the view `matching`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use http::StatusCode;
use mufakat_record::kinds::match_ask::Item;
use mufakat_record::kinds::match_result::Confidence;
use mufakat_record::matching::{Category, Subject};
use mufakat_record::{AgencyId, OfficerId, RecordId, Tlp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Id, Json, Problem, Query};
use super::{Made, made};
use crate::desk::{self, Caller};
use crate::matching::ask::{self, Asked, Envelope};
use crate::matching::audit::{self, Audit, Disclosure};
use crate::matching::budget::{self, OfficerBudget, PartnerBudget};
use crate::matching::list::{self, Counted, Shown, Taken};
use crate::matching::{hit, look};
use crate::node::Node;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .routes(routes!(ask_match))
        .routes(routes!(show_match))
        .routes(routes!(end_match))
        .routes(routes!(draft_from_hit))
        .routes(routes!(put_match_entries))
        .routes(routes!(count_match_entries))
        .routes(routes!(show_match_entry))
        .routes(routes!(set_match_budget, list_match_budgets))
        .routes(routes!(disclose_match))
        .routes(routes!(audit_match))
}

/// Asks partners by private matching. Nobody but the partner's filter, here, says whether something is listed: the partner does not
/// learn what was asked, nor whether it was a hit.
#[utoipa::path(
    post, path = "/api/v1/matching/asks", operation_id = "ask_match", tag = "matching", request_body = Envelope,
    responses((status = 201, description = "It is asked.", body = Asked))
)]
async fn ask_match(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(envelope): Json<Envelope>,
) -> Result<(StatusCode, axum::Json<Asked>), Problem> {
    Ok((StatusCode::CREATED, axum::Json(ask::ask(&node, &caller, envelope).await??)))
}

/// What was asked, and what came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchShown)]
struct Ask {
    /// The ask.
    id: RecordId,
    /// Who asks; nobody when it was handed in at the node's socket.
    by: Option<OfficerId>,
    purpose: String,
    case: String,
    basis: String,
    partners: Vec<AgencyId>,
    /// What is asked about.
    items: Vec<Item>,
    /// Until when it is watched, in seconds since 1970.
    watch_until: Option<u64>,
    /// When the watching was ended, in milliseconds since 1970.
    ended_ms: Option<u64>,
    /// Each question, with what became of it: `waiting`, `answered`, `hit`, `miss`, `refused` or `fault`.
    questions: Vec<Question>,
}

/// One question to one partner.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchQuestionShown)]
struct Question {
    question: RecordId,
    partner: AgencyId,
    subject: Subject,
    /// Whether there are so few of these that a list of them is accounted for and not secret.
    enumerable: bool,
    /// How many identifiers; of a name each key by which it is compared counts.
    count: u32,
    state: &'static str,
    /// Why it was refused, or what is not sound.
    reason: Option<String>,
    /// In milliseconds since 1970.
    answered_ms: Option<u64>,
    /// In milliseconds since 1970.
    looked_ms: Option<u64>,
    /// When the partner told of the list, or of its last change, that was looked into: in milliseconds since 1970.
    list_at_ms: Option<u64>,
    /// Whether the partner has told of changes that were not looked into: nobody watches it, or they have not come whole.
    list_changed: bool,
    hits: Vec<Hit>,
}

/// An identifier that a partner lists, or a name that may be one that it lists.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchHitShown)]
struct Hit {
    /// Which item, counted from 0.
    item: u32,
    confidence: Confidence,
    category: Category,
    tlp: Tlp,
    /// The partner's number for its entry.
    handle: u32,
}

/// Shows an ask: its identifiers, and what each partner's answer and filters say of them.
#[utoipa::path(
    get, path = "/api/v1/matching/asks/{id}", operation_id = "show_match", tag = "matching",
    params(("id" = RecordId, Path, description = "The ask.")),
    responses((status = 200, description = "The ask.", body = Ask))
)]
async fn show_match(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<axum::Json<Ask>, Problem> {
    super::records::may_read(&node, &caller, id).await?;
    let asked = ask::read_ask(&node, id).await?.ok_or_else(Problem::not_found)?;
    desk::note(&node, &caller, mufakat_record::How::Read, id, Vec::new()).await?;
    let ended_ms = ask::row_of(&node, id).await?.and_then(|row| row.ended_ms);
    let mut questions = Vec::new();
    for row in look::questions_of(&node, id).await? {
        let (list_at_ms, list_changed) = look::list_of(&node, &row).await?;
        questions.push(Question {
            question: row.question,
            partner: row.partner,
            subject: row.subject,
            enumerable: row.subject.is_enumerable(),
            count: row.count,
            state: row.state.name(),
            reason: row.reason,
            answered_ms: row.answered_ms,
            looked_ms: row.looked_ms,
            list_at_ms,
            list_changed,
            hits: row.hits.into_iter().map(shown).collect(),
        });
    }
    Ok(axum::Json(Ask {
        id,
        by: asked.by.clone(),
        purpose: asked.purpose.clone(),
        case: asked.case.clone(),
        basis: asked.basis.clone(),
        partners: asked.partners.clone(),
        items: asked.items.clone(),
        watch_until: asked.watch_until,
        ended_ms,
        questions,
    }))
}

fn shown(hit: mufakat_views::matching::Hit) -> Hit {
    let mufakat_views::matching::Hit { item, confidence, category, tlp, handle } = hit;
    Hit { item, confidence, category, tlp, handle }
}

/// Ends the watching of an ask: partners' filters are not looked into any more, and what they answered is erased.
#[utoipa::path(
    post, path = "/api/v1/matching/asks/{id}/end", operation_id = "end_match", tag = "matching",
    params(("id" = RecordId, Path, description = "The ask.")),
    responses((status = 201, description = "It is watched no more.", body = Made))
)]
async fn end_match(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    super::records::may_read(&node, &caller, id).await?;
    let ended = ask::end(&node, caller.officer, id).await??;
    Ok(made(ended))
}

/// Which hit a request is to be about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MatchHitChosen)]
struct Chosen {
    /// The question.
    question: RecordId,
    /// Which item of the ask, counted from 0.
    item: u32,
}

/// Drafts a request for information to the partner that has the hit, under the desk's rules. The draft stays home: the identifier
/// goes to the partner when an officer releases the request, and not before.
#[utoipa::path(
    post, path = "/api/v1/matching/asks/{id}/draft", operation_id = "draft_from_hit", tag = "matching",
    params(("id" = RecordId, Path, description = "The ask.")), request_body = Chosen,
    responses((status = 201, description = "The draft is kept.", body = Made))
)]
async fn draft_from_hit(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Json(chosen): Json<Chosen>,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    super::records::may_read(&node, &caller, id).await?;
    Ok(made(hit::draft(&node, &caller, id, chosen.question, chosen.item).await??))
}

/// Lists identifiers and names for matching, or takes them off: one JSON object a line, each taken or refused by itself. They stay in a
/// file of the node's own; partners that have a budget get filters from which nobody reads them.
#[utoipa::path(
    post, path = "/api/v1/matching/entries", operation_id = "put_match_entries", tag = "matching",
    request_body(
        content_type = "application/x-ndjson",
        description = "An entry on each line, at most 10,000 lines: `subject`, `value`, `birth_year` (of a `name`), `category`, `tlp`, `note`, `expires` (in seconds since 1970), `remove`."
    ),
    responses((status = 200, description = "What became of each.", body = Taken))
)]
async fn put_match_entries(
    State(node): State<Arc<Node>>,
    caller: Caller,
    body: Bytes,
) -> Result<axum::Json<Taken>, Problem> {
    Ok(axum::Json(list::take_in(&node, caller.officer, body.to_vec()).await??))
}

/// How much this agency lists.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchCounts)]
struct Counts {
    counts: Vec<Counted>,
}

/// How much this agency lists, by subject and category. Keys and filters, by which partners are told of it, are rows of the view
/// `matching`.
#[utoipa::path(
    get, path = "/api/v1/matching/entries", operation_id = "count_match_entries", tag = "matching",
    responses((status = 200, description = "The numbers.", body = Counts))
)]
async fn count_match_entries(State(node): State<Arc<Node>>) -> Result<axum::Json<Counts>, Problem> {
    Ok(axum::Json(Counts { counts: list::counts(&node).await? }))
}

/// The entry of this agency's lists that a partner names by its number.
#[utoipa::path(
    get, path = "/api/v1/matching/entries/{handle}", operation_id = "show_match_entry", tag = "matching",
    params(("handle" = u32, Path, description = "The number.", minimum = 0, maximum = 16777215)),
    responses((status = 200, description = "The entry.", body = Shown))
)]
async fn show_match_entry(
    State(node): State<Arc<Node>>,
    handle: Result<axum::extract::Path<u32>, axum::extract::rejection::PathRejection>,
) -> Result<axum::Json<Shown>, Problem> {
    let axum::extract::Path(handle) = handle.map_err(|_| Problem::not_found())?;
    list::by_handle(&node, handle).await?.map(axum::Json).ok_or_else(Problem::not_found)
}

/// How much a partner may ask.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MatchBudgetIn)]
struct Budget {
    /// Whose it is.
    partner: AgencyId,
    /// How many elements of its questions are evaluated within the window; 20,000 when nothing is said, and 0 to stop.
    #[serde(default = "default_limit")]
    #[schema(maximum = 4294967295_u64)]
    limit: u32,
    /// Within how many days; 10 when nothing is said.
    #[serde(default = "default_window")]
    #[schema(minimum = 1, maximum = 366)]
    window_days: u32,
}

fn default_limit() -> u32 {
    budget::LIMIT
}

fn default_window() -> u32 {
    budget::WINDOW_DAYS
}

/// Says how much a partner may ask. A partner without a budget is told of no list and gets no answer.
#[utoipa::path(
    post, path = "/api/v1/matching/budgets", operation_id = "set_match_budget", tag = "matching", request_body = Budget,
    responses((status = 201, description = "The budget is in force.", body = Made))
)]
async fn set_match_budget(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(asked): Json<Budget>,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    let Budget { partner, limit, window_days } = asked;
    Ok(made(budget::set(&node, caller.officer, partner, limit, window_days).await??))
}

/// Budgets on both sides.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchBudgets)]
struct Budgets {
    /// What partners may ask of this agency.
    partners: Vec<PartnerBudget>,
    /// What this agency's officers asked of partners.
    officers: Vec<OfficerBudget>,
}

/// How much partners may ask and asked, and how much this agency's officers asked.
#[utoipa::path(
    get, path = "/api/v1/matching/budgets", operation_id = "list_match_budgets", tag = "matching",
    responses((status = 200, description = "The budgets.", body = Budgets))
)]
async fn list_match_budgets(State(node): State<Arc<Node>>) -> Result<axum::Json<Budgets>, Problem> {
    let (partners, officers) = (budget::of_partners(&node).await?, budget::of_officers(&node).await?);
    Ok(axum::Json(Budgets { partners, officers }))
}

/// Why a question is disclosed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Ordered {
    /// The inspector's order, in words; it is noted in the ledger.
    #[param(min_length = 1, max_length = 200)]
    order: String,
}

/// Discloses a question of this agency's, by an inspector's order: its secret and what was asked. With these the partner, or anybody
/// who has the question, recomputes it.
#[utoipa::path(
    get, path = "/api/v1/matching/questions/{id}/disclosure", operation_id = "disclose_match", tag = "matching",
    params(("id" = RecordId, Path, description = "The question."), Ordered),
    responses((status = 200, description = "The disclosure.", body = Disclosure))
)]
async fn disclose_match(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    Query(Ordered { order }): Query<Ordered>,
) -> Result<axum::Json<Disclosure>, Problem> {
    if !(1..=200).contains(&order.len()) || order.chars().any(char::is_control) {
        return Err(Problem::malformed("`order` has 1 to 200 bytes, without control characters"));
    }
    let (ask, disclosure) = audit::disclose(&node, id).await?.ok_or_else(Problem::not_found)?;
    super::records::may_read(&node, &caller, ask).await?;
    let caller = Caller { purpose: Some(order), ..caller };
    desk::note(&node, &caller, mufakat_record::How::Export, ask, Vec::new()).await?;
    Ok(axum::Json(disclosure))
}

/// Recomputes a question that is held here, this agency's or a partner's, from what was disclosed.
#[utoipa::path(
    post, path = "/api/v1/matching/audits", operation_id = "audit_match", tag = "matching", request_body = Disclosure,
    responses((status = 200, description = "What it came to.", body = Audit))
)]
async fn audit_match(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Json(disclosure): Json<Disclosure>,
) -> Result<axum::Json<Audit>, Problem> {
    super::records::may_read(&node, &caller, disclosure.question).await?;
    Ok(axum::Json(audit::audit(&node, disclosure).await??))
}
