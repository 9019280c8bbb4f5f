//! Records: shared, read, followed, taken back, corrected and proved.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use mufakat_exchange::{Facts, SAID_MAX, Said};
use mufakat_record::kinds::Body as _;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::report::Report;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, Digest, Handling, How, RecordId, Reference, Relation, ThreadId, Verified};
use mufakat_store::{Queries, Reader};
use mufakat_views::{Rows, inbox, track};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::Octets;
use super::problem::{Id, Json, Problem, Query};
use super::tags::IfMatch;
use super::{Made, body, bulk, made, once};
use crate::chunks::{self, Content, NotTaken, Unreadable};
use crate::clock;
use crate::desk::{self, Caller};
use crate::evidence::{self, EvidenceError};
use crate::follow_up;
use crate::gate::{Action, Decision, Request};
use crate::node::Node;
use crate::share::{self, Envelope, Shared};
use crate::writer::Fault;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    // Bulk submissions and uploads are read as they come, and have limits of their own.
    let streamed = OpenApiRouter::new()
        .routes(routes!(bulk::share_records))
        .routes(routes!(attach_file))
        .layer(DefaultBodyLimit::disable());
    OpenApiRouter::new()
        .routes(routes!(share_record))
        .routes(routes!(show_record))
        .routes(routes!(export_record))
        .routes(routes!(show_content))
        .routes(routes!(export_evidence))
        .routes(routes!(show_proof))
        .routes(routes!(follow_record))
        .routes(routes!(retract_record))
        .routes(routes!(correct_record))
        .merge(streamed)
}

/// What was shared.
#[derive(Serialize, ToSchema)]
struct Released {
    /// The records; one for each recipient, when the audience is hidden.
    records: Vec<Shared>,
}

/// Shares a report with its audience.
#[utoipa::path(
    post, path = "/api/v1/records", operation_id = "share_record", tag = "records", request_body = Envelope,
    responses((status = 201, description = "It is on its way.", body = Released))
)]
async fn share_record(
    State(node): State<Arc<Node>>,
    caller: Caller,
    key: once::Key,
    Json(mut envelope): Json<Envelope>,
) -> Result<(StatusCode, axum::Json<Released>), Problem> {
    envelope.key = envelope.key.or(key.0);
    envelope.own_key(&caller);
    let outcome = share::share(&node, &caller, vec![envelope]).await?.into_iter().next();
    let records = outcome.ok_or_else(|| Fault::Store("a share without an outcome".to_owned()))??;
    Ok((StatusCode::CREATED, axum::Json(Released { records })))
}

/// What somebody does with a record, as the gate and the ledger know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is shown.
    Read,
    /// It is taken out of the system.
    Export,
}

impl Use {
    fn action(self) -> Action<'static> {
        match self {
            Use::Read => Action::Read,
            Use::Export => Action::Export,
        }
    }

    fn how(self) -> How {
        match self {
            Use::Read => How::Read,
            Use::Export => How::Export,
        }
    }
}

/// A record that is held here.
struct Found {
    /// Absent when its content was deleted.
    record: Option<Verified>,
    leaf: u64,
    at_ms: u64,
    state: String,
}

fn find(reader: &Reader, id: &RecordId, me: &AgencyId) -> Result<Option<Found>, mufakat_store::Error> {
    let unavailable = |e: mufakat_exchange::Unavailable| mufakat_store::Error::Unavailable(e.0);
    let Some(held) = reader.held(id).map_err(unavailable)? else { return Ok(None) };
    let state = match &held.record {
        None => "deleted".to_owned(),
        Some(record) => state_of(reader, record, held.leaf, me)?,
    };
    Ok(Some(Found { record: held.record, leaf: held.leaf, at_ms: held.at_ms, state }))
}

/// The state of a record that is held with its content: what its author said about it later.
pub(super) fn state_of(
    reader: &Reader,
    record: &Verified,
    leaf: u64,
    me: &AgencyId,
) -> Result<String, mufakat_store::Error> {
    if record.header().author == *me {
        return Ok(own_state(reader, &record.id(), me)?.to_owned());
    }
    let row = reader.row(inbox::NAME, &leaf.to_be_bytes()).map_err(|e| mufakat_store::Error::Unavailable(e.0))?;
    let state = row.as_ref().and_then(|row| row.body["state"].as_str());
    Ok(state.unwrap_or("current").to_owned())
}

/// The state of a record of ours: what we said about it later.
fn own_state(reader: &Reader, id: &RecordId, me: &AgencyId) -> Result<&'static str, mufakat_store::Error> {
    let retracted = |id: &RecordId| -> Result<bool, mufakat_store::Error> {
        let said = Said { relation: Relation::Retracts, by: me, kind: Retraction::KIND, latest: 1 };
        Ok(!reader.said_of(id, said)?.is_empty())
    };
    if retracted(id)? {
        return Ok("retracted");
    }
    let said = Said { relation: Relation::Corrects, by: me, kind: Correction::KIND, latest: SAID_MAX };
    for correction in reader.said_of(id, said)? {
        // Recipients show what a correction replaced once that is taken back; no node of this program takes one back any more.
        if !retracted(&correction.record)? {
            return Ok("corrected");
        }
    }
    Ok("current")
}

/// A record that is held with its content, let through by the gate, its use noted in the ledger.
async fn open(node: &Arc<Node>, caller: &Caller, id: RecordId, intent: Use) -> Result<(Verified, Found), Problem> {
    let mut found = look_up(node, caller, id).await?;
    let record = found.record.take().ok_or_else(deleted)?;
    decide(node, caller, id, &record, intent).await?;
    desk::note(node, caller, intent.how(), id, Vec::new()).await?;
    Ok((record, found))
}

/// A record that the caller may read, or may know to be deleted. For every other the answer is the one for what is not there.
async fn readable(node: &Arc<Node>, caller: &Caller, id: RecordId) -> Result<Found, Problem> {
    let found = look_up(node, caller, id).await?;
    if let Some(record) = &found.record {
        decide(node, caller, id, record, Use::Read).await?;
    }
    Ok(found)
}

/// Refuses, with the answer for what is not there, whoever may not read a record, before anything else about it is looked at.
pub(super) async fn may_read(node: &Arc<Node>, caller: &Caller, id: RecordId) -> Result<(), Problem> {
    readable(node, caller, id).await.map(drop)
}

/// Refuses when the record is no longer as the caller has seen it.
fn unchanged(found: &Found, id: RecordId, state: &IfMatch) -> Result<(), Problem> {
    match &found.record {
        Some(record) if state.is_said() => state.check(&describe(id, record, found)?),
        _ => Ok(()),
    }
}

/// A record that is held. Of one whose content was deleted no header is left to ask the gate about; that it was there is told to
/// those who may list records of its class.
async fn look_up(node: &Arc<Node>, caller: &Caller, id: RecordId) -> Result<Found, Problem> {
    let (reading, caller) = (Arc::clone(node), caller.clone());
    let found = node.read(move |reader| {
        let found = find(reader, &id, &reading.me)?;
        let deleted = found.as_ref().is_some_and(|found| found.record.is_none());
        let told = !deleted || {
            let class = reader.class_of(&id)?;
            desk::classes(&reading, &caller, Action::List, reader)?.contains(&class)
        };
        Ok(found.filter(|_| told))
    });
    found.await?.ok_or_else(Problem::not_found)
}

fn deleted() -> Problem {
    Problem::new(StatusCode::GONE, "deleted", "the content of this record was deleted")
}

/// Asks the gate. A refusal is noted, and told so that it tells nothing of what the caller may not read.
async fn decide(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    record: &Verified,
    intent: Use,
) -> Result<(), Problem> {
    let directory = node.directory();
    let register = directory.chain().current();
    let request = Request::about(caller, record.header(), intent.action(), &node.me, register, clock::now_s());
    let decision = node.gate.decide(&request);
    if decision.allow {
        return Ok(());
    }
    desk::note_refusal(node, caller, intent.how(), Some(id), decision.rule).await?;
    Err(refused_by(decision))
}

fn refused_by(decision: Decision) -> Problem {
    // Whether a record that is not for the caller exists is not for the caller either.
    if decision.hidden {
        Problem::not_found()
    } else {
        Problem::new(StatusCode::FORBIDDEN, decision.rule, decision.why)
    }
}

/// A record that is held here. Of one whose content was deleted `id`, `kind` (null), `body` (null), `state`, `received_at_ms`
/// and `leaf` remain.
#[derive(Debug, Serialize, ToSchema)]
struct Shown {
    id: RecordId,
    kind: Option<String>,
    /// Whether this node knows the kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    understood: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<AgencyId>,
    /// When the author says it signed, in seconds since 1970. A claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<u64>,
    received_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<ThreadId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<Vec<AgencyId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handling: Option<Handling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<Vec<Reference>>,
    /// When it ceases to be of use, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    /// The register version under which the audience was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    register: Option<Digest>,
    leaf: Leaf,
    /// `current`, `retracted`, `corrected` or `deleted`.
    state: String,
    /// The bytes of the signed message.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    /// Of the kind's own form; null when this node does not know the kind.
    body: Option<Value>,
    /// The beginning of a body of an unknown kind, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

/// The leaf of our ledger with which a record came or was authored.
#[derive(Debug, Serialize, ToSchema)]
struct Leaf {
    index: u64,
}

/// A record with its body. The reading is noted.
#[utoipa::path(
    get, path = "/api/v1/records/{id}", operation_id = "show_record", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")),
    responses((status = 200, description = "The record.", body = Shown))
)]
async fn show_record(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<axum::Json<Shown>, Problem> {
    let found = look_up(&node, &caller, id).await?;
    let Some(record) = &found.record else { return Ok(axum::Json(tombstone(id, &found))) };
    decide(&node, &caller, id, record, Use::Read).await?;
    desk::note(&node, &caller, How::Read, id, Vec::new()).await?;
    describe(id, record, &found).map(axum::Json)
}

/// What remains of a record whose content was deleted.
fn tombstone(id: RecordId, found: &Found) -> Shown {
    Shown {
        id,
        kind: None,
        understood: None,
        author: None,
        issued_at: None,
        received_at_ms: found.at_ms,
        thread: None,
        audience: None,
        handling: None,
        references: None,
        expires: None,
        register: None,
        leaf: Leaf { index: found.leaf },
        state: found.state.clone(),
        size: None,
        body: None,
        body_hex: None,
    }
}

fn describe(id: RecordId, record: &Verified, found: &Found) -> Result<Shown, Problem> {
    let header = record.header().clone();
    let body = body::as_json(&header, record.body()).transpose();
    // It was checked when it came; if it is not what it was, the store is damaged.
    let body = body.map_err(|reason| Fault::Store(format!("the body of {id} cannot be read: {reason}")))?;
    let unknown = body.is_none().then(|| &record.body()[..record.body().len().min(body::UNKNOWN_BYTES_SHOWN)]);
    Ok(Shown {
        kind: Some(header.kind),
        understood: Some(body.is_some()),
        author: Some(header.author),
        issued_at: Some(header.issued_at),
        thread: Some(header.thread),
        audience: Some(header.audience),
        handling: Some(header.handling),
        references: Some(header.references),
        expires: header.expires,
        register: Some(header.register),
        size: Some(record.bytes().len()),
        body_hex: unknown.map(hex::encode),
        body,
        ..tombstone(id, found)
    })
}

/// The signed message as it came, byte for byte (COSE_Sign1). The export is noted.
#[utoipa::path(
    get, path = "/api/v1/records/{id}/raw", operation_id = "export_record", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")),
    responses((status = 200, description = "The bytes.", body = Octets, content_type = "application/cose"))
)]
async fn export_record(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let (record, _) = open(&node, &caller, id, Use::Export).await?;
    Ok(([(header::CONTENT_TYPE, "application/cose; cose-type=\"cose-sign1\"")], record.into_bytes()).into_response())
}

/// The content of an attachment, assembled and verified. The reading is noted.
#[utoipa::path(
    get, path = "/api/v1/records/{id}/content", operation_id = "show_content", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")),
    responses((status = 200, description = "The bytes.", body = Octets, content_type = "application/octet-stream"))
)]
async fn show_content(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    open(&node, &caller, id, Use::Read).await?;
    chunks::content(&node, id).await.map(as_file).map_err(unreadable)
}

/// Why a file is not shown.
pub(super) fn unreadable(unreadable: Unreadable) -> Problem {
    match unreadable {
        Unreadable::NotFound => Problem::conflict("not-an-attachment", "this record is not an attachment"),
        Unreadable::Incomplete { have, of } => {
            Problem::conflict("incomplete", format!("{have} of {of} chunks are here")).with("have", have).with("of", of)
        }
        Unreadable::Damaged(what) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", what),
        Unreadable::Fault(fault) => fault.into(),
    }
}

/// A file as it is served.
pub(super) fn as_file(content: Content) -> Response {
    // The author's word on the media type is not to be trusted; whoever wants it finds it in the record.
    let mut response = Body::from_stream(content.stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.attachment.size));
    headers.insert(header::CONTENT_DISPOSITION, disposition(&content.attachment.name));
    for (name, value) in NOT_TO_RUN {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What keeps a browser from running, showing, guessing at, embedding or keeping what others hand in.
const NOT_TO_RUN: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// A file is saved and never shown (RFC 6266). Its name is given in the form that takes any characters (RFC 8187).
fn disposition(name: &str) -> HeaderValue {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let name: String = name
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let value = format!("attachment; filename*=UTF-8''{name}");
    // Only letters, digits and percent signs are left of the name.
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

/// The evidence bundle of a record, which anybody can check offline. The export is noted.
#[utoipa::path(
    get, path = "/api/v1/records/{id}/evidence", operation_id = "export_evidence", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")),
    responses((status = 200, description = "The bundle.", body = Octets, content_type = "application/cbor"))
)]
async fn export_evidence(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let bundle = evidence::bundle(&node, &caller, id).await.map_err(unproven)?;
    Ok(([(header::CONTENT_TYPE, "application/cbor")], bundle).into_response())
}

/// The proof that the record stands in our ledger (C2SP tlog-proof). It tells nothing of the record.
#[utoipa::path(
    get, path = "/api/v1/records/{id}/proof", operation_id = "show_proof", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")),
    responses((status = 200, description = "The proof.", body = String, content_type = "text/plain"))
)]
async fn show_proof(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    readable(&node, &caller, id).await?;
    let proof = evidence::proof(&node, id).await.map_err(unproven)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], proof).into_response())
}

fn unproven(error: EvidenceError) -> Problem {
    match error {
        EvidenceError::NotFound => Problem::not_found(),
        EvidenceError::NotAllowed(decision) => refused_by(decision),
        EvidenceError::NotWitnessedYet(_) => Problem::conflict("not-witnessed-yet", error.to_string()),
        EvidenceError::DoesNotHold(_) => Problem::conflict("does-not-hold", error.to_string()),
        EvidenceError::Fault(fault) => fault.into(),
    }
}

/// What became of a record of ours.
#[derive(Serialize, ToSchema)]
struct Followed {
    id: RecordId,
    recipients: Vec<Recipient>,
}

/// What became of a record at one recipient.
#[derive(Serialize, ToSchema)]
struct Recipient {
    #[schema(value_type = AgencyId)]
    agency: Value,
    /// `queued`, `accepted`, `rejected` or `cancelled`.
    #[schema(value_type = String)]
    state: Value,
    /// Why it was rejected.
    #[schema(value_type = Option<String>)]
    reason: Value,
    /// The index of its leaf in the recipient's ledger.
    #[schema(value_type = Option<u64>)]
    index: Value,
    #[schema(value_type = Option<u64>)]
    at_ms: Value,
    /// What the recipient did about a retraction.
    #[schema(value_type = Option<Object>)]
    answer: Value,
    /// What it deleted of the record: `why`, `at` (seconds), `copies`, `attachments`.
    #[schema(value_type = Option<Object>)]
    deletion: Value,
    /// The recipient that passed the record on to it; then `state` is `through`.
    #[schema(value_type = Option<AgencyId>)]
    through: Value,
}

/// What became of a record of ours at each of its recipients.
#[utoipa::path(
    get, path = "/api/v1/records/{id}/track", operation_id = "follow_record", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")),
    responses((status = 200, description = "The recipients.", body = Followed))
)]
async fn follow_record(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
) -> Result<axum::Json<Followed>, Problem> {
    readable(&node, &caller, id).await?;
    let rows = node.read(move |reader| {
        let unavailable = |e: mufakat_views::RowsUnavailable| mufakat_store::Error::Unavailable(e.0);
        let Some(leaf) = reader.leaf_of(&id).map_err(unavailable)? else { return Ok(None) };
        reader.rows(track::NAME, &leaf.to_be_bytes(), None).map(Some).map_err(unavailable)
    });
    let rows = rows.await?.ok_or_else(Problem::not_found)?;
    let recipients = rows.into_iter().map(|row| recipient(row.body)).collect();
    Ok(axum::Json(Followed { id, recipients }))
}

fn recipient(mut row: Value) -> Recipient {
    let mut member = |name: &str| row.get_mut(name).map(Value::take).unwrap_or_default();
    Recipient {
        agency: member("to"),
        deletion: member("deletion"),
        through: member("through"),
        state: member("state"),
        reason: member("reason"),
        index: member("index"),
        at_ms: member("at_ms"),
        answer: member("answer"),
    }
}

/// Why a record is taken back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Retract {
    reason: String,
}

/// Takes a record of ours back.
#[utoipa::path(
    post, path = "/api/v1/records/{id}/retract", operation_id = "retract_record", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")),
    request_body = Retract, responses((status = 201, description = "The retraction is on its way.", body = Made))
)]
async fn retract_record(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    state: IfMatch,
    Json(asked): Json<Retract>,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    unchanged(&readable(&node, &caller, id).await?, id, &state)?;
    Ok(made(follow_up::retract(&node, &caller, id, asked.reason).await??))
}

/// A report in the place of an earlier one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Correct {
    pub(super) reason: String,
    pub(super) body: Report,
}

/// Puts another report in the place of an earlier one of ours.
#[utoipa::path(
    post, path = "/api/v1/records/{id}/correct", operation_id = "correct_record", tag = "records",
    params(("id" = RecordId, Path, description = "The record.")),
    request_body = Correct, responses((status = 201, description = "The correction is on its way.", body = Made))
)]
async fn correct_record(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Id(id): Id,
    state: IfMatch,
    Json(asked): Json<Correct>,
) -> Result<(StatusCode, axum::Json<Made>), Problem> {
    unchanged(&readable(&node, &caller, id).await?, id, &state)?;
    Ok(made(follow_up::correct(&node, &caller, id, asked.reason, asked.body).await??))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Attach {
    /// The file's name.
    name: String,
    /// Its media type.
    #[serde(default = "Attach::octets")]
    media_type: String,
}

impl Attach {
    fn octets() -> String {
        "application/octet-stream".to_owned()
    }
}

/// A file that was taken in, and can go with a report.
#[derive(Serialize, ToSchema)]
struct Attached {
    /// What a report calls it in `attachments`.
    upload: String,
    size: u64,
    digest: Digest,
    /// Of how many chunks it is.
    chunks: usize,
}

/// Takes in a file that is to go with a report.
#[utoipa::path(
    post, path = "/api/v1/attachments", operation_id = "attach_file", tag = "records", params(Attach),
    request_body(content = Octets, content_type = "application/octet-stream"),
    responses((status = 201, description = "The file is here.", body = Attached))
)]
async fn attach_file(
    State(node): State<Arc<Node>>,
    Query(named): Query<Attach>,
    file: Body,
) -> Result<(StatusCode, axum::Json<Attached>), Problem> {
    let taken = chunks::take_in(&node, file.into_data_stream(), named.name, named.media_type).await;
    let upload = taken.map_err(|not_taken| match not_taken {
        NotTaken::Oversize { .. } => Problem::oversize(not_taken.to_string()),
        NotTaken::BadName | NotTaken::CutOff => Problem::malformed(not_taken.to_string()),
        NotTaken::Active(_) => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "active-content", not_taken.to_string())
        }
        NotTaken::OtherType { .. } => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "type-mismatch", not_taken.to_string())
        }
        NotTaken::Stalled => Problem::new(StatusCode::REQUEST_TIMEOUT, "stalled", not_taken.to_string()),
        NotTaken::TooMany => Problem::conflict("too-many-uploads", not_taken.to_string()),
        NotTaken::Fault(fault) => fault.into(),
    })?;
    let attached = Attached {
        size: upload.attachment.size,
        digest: Digest(upload.attachment.digest),
        chunks: upload.attachment.chunk_names().len(),
        upload: upload.id,
    };
    Ok((StatusCode::CREATED, axum::Json(attached)))
}

#[cfg(test)]
mod tests {
    use mufakat_record::kinds::Body;
    use mufakat_record::{Draft, Header, KeyId, SigningKey};
    use serde_json::json;

    use super::*;

    fn record(kind: &str, body: Vec<u8>) -> Verified {
        let header = Header {
            key: KeyId([0; 16]),
            author: "vn-police".parse().unwrap(),
            issued_at: 1,
            thread: ThreadId([2; 16]),
            kind: kind.to_owned(),
            audience: vec!["ru-police".parse().unwrap()],
            register: Digest([3; 32]),
            handling: Handling::community(),
            references: Vec::new(),
            expires: Some(9),
        };
        Draft { header, body }.sign(&SigningKey::from_seed(&[4; 32])).unwrap()
    }

    fn found() -> Found {
        Found { record: None, leaf: 7, at_ms: 8, state: "current".to_owned() }
    }

    #[test]
    fn a_report_is_shown_with_its_body() {
        let report: Report = serde_json::from_str(r#"{"title":"EXERCISE","text":"one"}"#).unwrap();
        let record = record(Report::KIND, report.to_body());
        let shown = json!(describe(record.id(), &record, &found()).unwrap());
        assert_eq!((&shown["understood"], &shown["body"]["title"]), (&json!(true), &json!("EXERCISE")));
        assert_eq!((&shown["leaf"]["index"], &shown["expires"]), (&json!(7), &json!(9)));
        assert_eq!(shown["audience"], json!(["ru-police"]));
        assert_eq!(shown["size"], record.bytes().len());
        assert!(shown.get("body_hex").is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_correction_that_was_taken_back_corrects_nothing() {
        let ([id, _ru, _sg], _) = crate::witness::live_tests::three().await;
        let (node, operator) = (&id.node, Caller::operator());
        let envelope = json!({ "to": ["ru-police"], "tlp": "GREEN", "body": { "title": "EXERCISE" } });
        let shared = share::share(node, &operator, vec![serde_json::from_value(envelope).unwrap()]).await.unwrap();
        let report = shared[0].as_ref().unwrap()[0].id;
        let state = async || {
            let me = node.me.clone();
            node.read(move |reader| own_state(reader, &report, &me)).await.unwrap()
        };
        let mut corrections = Vec::new();
        for (title, before) in [("EXERCISE second", "current"), ("EXERCISE third", "corrected")] {
            assert_eq!(state().await, before);
            let again: Report = serde_json::from_value(json!({ "title": title })).unwrap();
            let made = follow_up::correct(node, &operator, report, "EXERCISE".into(), again).await;
            corrections.push(made.unwrap().unwrap());
        }
        // As nodes of earlier versions let officers do.
        for (correction, then) in corrections.into_iter().zip(["corrected", "current"]) {
            let original = follow_up::original(node, correction, false).await.unwrap().unwrap();
            let body = Retraction { reason: "EXERCISE".into(), carries: None };
            let (operator, retracts) = (operator.clone(), Relation::Retracts);
            let made = share::submit_signed(node, move |node, directory, signer| {
                vec![follow_up::compose(node, &operator, directory, signer, &original, retracts, &body, false)]
            });
            assert!(made.await.unwrap()[0].is_ok());
            assert_eq!(state().await, then);
        }
    }

    #[test]
    fn an_unknown_kind_is_shown_as_its_first_bytes() {
        let body = mufakat_record::cbor::encode(&"x".repeat(3 * body::UNKNOWN_BYTES_SHOWN));
        let record = record("not-a-kind", body.clone());
        let shown = json!(describe(record.id(), &record, &found()).unwrap());
        assert_eq!((&shown["understood"], &shown["body"]), (&json!(false), &Value::Null));
        assert_eq!(shown["body_hex"], hex::encode(&body[..body::UNKNOWN_BYTES_SHOWN]));
    }

    #[test]
    fn a_body_that_is_damaged_is_the_stores_fault() {
        let record = record(Report::KIND, b"\xa0".to_vec());
        assert_eq!(describe(record.id(), &record, &found()).unwrap_err().reason(), "store-failed");
    }

    #[test]
    fn what_may_not_be_read_is_told_as_not_there() {
        let refused = |hidden| refused_by(Decision { allow: false, rule: "clearance", why: "why".into(), hidden });
        assert_eq!(refused(true), Problem::not_found());
        assert_eq!(refused(false), Problem::new(StatusCode::FORBIDDEN, "clearance", "why"));
    }

    #[test]
    fn a_recipient_has_all_its_fields() {
        let shown = json!(recipient(json!({ "to": "ru-police", "kind": "report", "state": "queued" })));
        let expect = json!({
            "agency": "ru-police", "state": "queued", "reason": null, "index": null, "at_ms": null, "answer": null,
            "deletion": null, "through": null,
        });
        assert_eq!(shown, expect);
    }
}
