//! Records: shared, read, followed, taken back, corrected and proved.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use mufakat_exchange::Facts;
use mufakat_record::kinds::report::Report;
use mufakat_record::{AgencyId, Digest, How, RecordId, Relation, Verified};
use mufakat_store::{Queries, Reader};
use mufakat_views::{Rows, inbox, track};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::{Id, Json, Problem, Query};
use super::{body, bulk};
use crate::chunks::{self, NotTaken, Unreadable};
use crate::clock;
use crate::desk::{self, Caller};
use crate::evidence::{self, EvidenceError};
use crate::gate::{Action, Request};
use crate::node::Node;
use crate::share::{self, Envelope};
use crate::writer::Fault;

pub(super) fn routes() -> Router<Arc<Node>> {
    // Bulk submissions and uploads are read as they come, and have limits of their own.
    let streamed = Router::new()
        .route("/api/v1/records/bulk", post(bulk::bulk))
        .route("/api/v1/attachments", post(attach))
        .layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/api/v1/records", post(submit))
        .route("/api/v1/records/{id}", get(show))
        .route("/api/v1/records/{id}/raw", get(raw))
        .route("/api/v1/records/{id}/content", get(content))
        .route("/api/v1/records/{id}/evidence", get(prove))
        .route("/api/v1/records/{id}/proof", get(place))
        .route("/api/v1/records/{id}/track", get(follow))
        .route("/api/v1/records/{id}/retract", post(retract))
        .route("/api/v1/records/{id}/correct", post(correct))
        .merge(streamed)
}

async fn submit(State(node): State<Arc<Node>>, Json(envelope): Json<Envelope>) -> Result<Response, Problem> {
    let outcome = share::share(&node, vec![envelope]).await?.into_iter().next();
    let records = outcome.ok_or_else(|| Fault::Store("a share without an outcome".to_owned()))??;
    Ok((StatusCode::CREATED, axum::Json(json!({ "records": records, "refused": null }))).into_response())
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
        Some(record) if record.header().author == *me => own_state(reader, id, me)?.to_owned(),
        Some(_) => {
            let row = reader.row(inbox::NAME, &held.leaf.to_be_bytes());
            let row = row.map_err(|e| mufakat_store::Error::Unavailable(e.0))?;
            let state = row.as_ref().and_then(|row| row.body["state"].as_str());
            state.unwrap_or("current").to_owned()
        }
    };
    Ok(Some(Found { record: held.record, leaf: held.leaf, at_ms: held.at_ms, state }))
}

/// The state of a record of ours: what we said about it later.
fn own_state(reader: &Reader, id: &RecordId, me: &AgencyId) -> Result<&'static str, mufakat_store::Error> {
    let mut state = "current";
    for related in reader.related(id)? {
        let marks = matches!(related.relation, Relation::Retracts | Relation::Corrects);
        // What others say about our records changes nothing.
        if !marks || Verified::from_own_store(related.bytes).is_ok_and(|record| record.header().author != *me) {
            continue;
        }
        if related.relation == Relation::Retracts {
            return Ok("retracted");
        }
        state = "corrected";
    }
    Ok(state)
}

/// A record that is held with its content, let through by the gate, its use noted in the ledger.
async fn open(node: &Arc<Node>, caller: &Caller, id: RecordId, intent: Use) -> Result<(Verified, Found), Problem> {
    let mut found = look_up(node, id).await?;
    let record = found.record.take().ok_or_else(deleted)?;
    decide(node, &record, intent)?;
    desk::note(node, caller, intent.how(), id, Vec::new()).await?;
    Ok((record, found))
}

async fn look_up(node: &Arc<Node>, id: RecordId) -> Result<Found, Problem> {
    let me = node.me.clone();
    node.read(move |reader| find(reader, &id, &me)).await?.ok_or_else(Problem::not_found)
}

fn deleted() -> Problem {
    Problem::new(StatusCode::GONE, "deleted", "the content of this record was deleted")
}

fn decide(node: &Node, record: &Verified, intent: Use) -> Result<(), Problem> {
    let directory = node.directory();
    let register = directory.chain().current();
    let request = Request::about(record.header(), intent.action(), &node.me, register, clock::now_s());
    let decision = node.gate.decide(&request);
    if decision.allow { Ok(()) } else { Err(refused_by(decision.rule, decision.why)) }
}

fn refused_by(rule: &'static str, why: String) -> Problem {
    match rule {
        // Whether a record that is not for us exists is not for us either.
        "not-for-this-agency" | "empty-audience" => Problem::not_found(),
        _ => Problem::new(StatusCode::FORBIDDEN, rule, why),
    }
}

async fn show(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<axum::Json<Value>, Problem> {
    let found = look_up(&node, id).await?;
    let Some(record) = &found.record else { return Ok(axum::Json(tombstone(id, &found))) };
    decide(&node, record, Use::Read)?;
    desk::note(&node, &caller, How::Read, id, Vec::new()).await?;
    describe(id, record, &found).map(axum::Json)
}

/// What remains of a record whose content was deleted.
fn tombstone(id: RecordId, found: &Found) -> Value {
    json!({
        "id": id, "kind": null, "body": null, "state": found.state, "received_at_ms": found.at_ms,
        "leaf": { "index": found.leaf },
    })
}

fn describe(id: RecordId, record: &Verified, found: &Found) -> Result<Value, Problem> {
    let header = record.header();
    let shown = body::as_json(header, record.body()).transpose();
    // It was checked when it came; if it is not what it was, the store is damaged.
    let shown = shown.map_err(|reason| Fault::Store(format!("the body of {id} cannot be read: {reason}")))?;
    let mut value = json!({
        "id": id,
        "kind": header.kind,
        "understood": shown.is_some(),
        "author": header.author,
        "issued_at": header.issued_at,
        "received_at_ms": found.at_ms,
        "thread": header.thread,
        "audience": header.audience,
        "handling": header.handling,
        "references": header.references,
        "expires": header.expires,
        "register": header.register,
        "leaf": { "index": found.leaf },
        "state": found.state,
        "size": record.bytes().len(),
    });
    if shown.is_none() {
        let body = record.body();
        value["body_hex"] = hex::encode(&body[..body.len().min(body::UNKNOWN_BYTES_SHOWN)]).into();
    }
    value["body"] = shown.unwrap_or_default();
    Ok(value)
}

async fn raw(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let (record, _) = open(&node, &caller, id, Use::Export).await?;
    Ok(([(header::CONTENT_TYPE, "application/cose; cose-type=\"cose-sign1\"")], record.into_bytes()).into_response())
}

async fn content(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    open(&node, &caller, id, Use::Read).await?;
    let content = chunks::content(&node, id).await.map_err(|unreadable| match unreadable {
        Unreadable::NotFound => Problem::conflict("not-an-attachment", "this record is not an attachment"),
        Unreadable::Incomplete { have, of } => {
            Problem::conflict("incomplete", format!("{have} of {of} chunks are here")).with("have", have).with("of", of)
        }
        Unreadable::Damaged(what) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", what),
        Unreadable::Fault(fault) => fault.into(),
    })?;
    // The author's word on the media type is not to be trusted; whoever wants it finds it in the record.
    let length = content.attachment.size.to_string();
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_LENGTH, length.as_str())];
    Ok((headers, Body::from_stream(content.stream)).into_response())
}

async fn prove(State(node): State<Arc<Node>>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let bundle = evidence::bundle(&node, &caller, id).await.map_err(unproven)?;
    Ok(([(header::CONTENT_TYPE, "application/cbor")], bundle).into_response())
}

/// The proof that the record stands in our ledger (C2SP tlog-proof). It tells nothing of the record.
async fn place(State(node): State<Arc<Node>>, Id(id): Id) -> Result<Response, Problem> {
    let proof = evidence::proof(&node, id).await.map_err(unproven)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], proof).into_response())
}

fn unproven(error: EvidenceError) -> Problem {
    match error {
        EvidenceError::NotFound => Problem::not_found(),
        EvidenceError::NotAllowed { rule, why } => refused_by(rule, why),
        EvidenceError::NotWitnessedYet(_) => Problem::conflict("not-witnessed-yet", error.to_string()),
        EvidenceError::DoesNotHold(_) => Problem::conflict("does-not-hold", error.to_string()),
        EvidenceError::Fault(fault) => fault.into(),
    }
}

async fn follow(State(node): State<Arc<Node>>, Id(id): Id) -> Result<axum::Json<Value>, Problem> {
    let rows = node.read(move |reader| {
        let unavailable = |e: mufakat_views::RowsUnavailable| mufakat_store::Error::Unavailable(e.0);
        let Some(leaf) = reader.leaf_of(&id).map_err(unavailable)? else { return Ok(None) };
        reader.rows(track::NAME, &leaf.to_be_bytes(), None).map(Some).map_err(unavailable)
    });
    let rows = rows.await?.ok_or_else(Problem::not_found)?;
    let recipients: Vec<Value> = rows.into_iter().map(|row| recipient(&row.body)).collect();
    Ok(axum::Json(json!({ "id": id, "recipients": recipients })))
}

fn recipient(row: &Value) -> Value {
    json!({
        "agency": row["to"], "state": row["state"], "reason": row["reason"], "index": row["index"],
        "at_ms": row["at_ms"], "answer": row["answer"],
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retract {
    reason: String,
}

async fn retract(State(node): State<Arc<Node>>, Id(id): Id, Json(asked): Json<Retract>) -> Result<Response, Problem> {
    let id = share::retract(&node, id, asked.reason).await??;
    Ok((StatusCode::CREATED, axum::Json(json!({ "id": id }))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Correct {
    reason: String,
    body: Report,
}

async fn correct(State(node): State<Arc<Node>>, Id(id): Id, Json(asked): Json<Correct>) -> Result<Response, Problem> {
    let id = share::correct(&node, id, asked.reason, asked.body).await??;
    Ok((StatusCode::CREATED, axum::Json(json!({ "id": id }))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attach {
    name: String,
    #[serde(default = "Attach::octets")]
    media_type: String,
}

impl Attach {
    fn octets() -> String {
        "application/octet-stream".to_owned()
    }
}

async fn attach(State(node): State<Arc<Node>>, Query(named): Query<Attach>, file: Body) -> Result<Response, Problem> {
    let taken = chunks::take_in(&node, file.into_data_stream(), named.name, named.media_type).await;
    let upload = taken.map_err(|not_taken| match not_taken {
        NotTaken::Oversize { .. } => Problem::oversize(not_taken.to_string()),
        NotTaken::BadName | NotTaken::CutOff => Problem::malformed(not_taken.to_string()),
        NotTaken::TooMany => Problem::conflict("too-many-uploads", not_taken.to_string()),
        NotTaken::Fault(fault) => fault.into(),
    })?;
    let answer = json!({
        "upload": upload.id,
        "size": upload.attachment.size,
        "digest": Digest(upload.attachment.digest),
        "chunks": upload.attachment.chunk_names().len(),
    });
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

#[cfg(test)]
mod tests {
    use mufakat_record::kinds::Body;
    use mufakat_record::{Draft, Handling, Header, KeyId, SigningKey, ThreadId};

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
        let shown = describe(record.id(), &record, &found()).unwrap();
        assert_eq!((&shown["understood"], &shown["body"]["title"]), (&json!(true), &json!("EXERCISE")));
        assert_eq!((&shown["leaf"]["index"], &shown["expires"]), (&json!(7), &json!(9)));
        assert_eq!(shown["audience"], json!(["ru-police"]));
        assert_eq!(shown["size"], record.bytes().len());
        assert!(shown.get("body_hex").is_none());
    }

    #[test]
    fn an_unknown_kind_is_shown_as_its_first_bytes() {
        let body = mufakat_record::cbor::encode(&"x".repeat(3 * body::UNKNOWN_BYTES_SHOWN));
        let record = record("not-a-kind", body.clone());
        let shown = describe(record.id(), &record, &found()).unwrap();
        assert_eq!((&shown["understood"], &shown["body"]), (&json!(false), &Value::Null));
        assert_eq!(shown["body_hex"], hex::encode(&body[..body::UNKNOWN_BYTES_SHOWN]));
    }

    #[test]
    fn a_body_that_is_damaged_is_the_stores_fault() {
        let record = record(Report::KIND, b"\xa0".to_vec());
        assert_eq!(describe(record.id(), &record, &found()).unwrap_err().reason(), "store-failed");
    }

    #[test]
    fn what_is_not_for_us_is_not_there() {
        for rule in ["not-for-this-agency", "empty-audience"] {
            assert_eq!(refused_by(rule, "why".into()), Problem::not_found());
        }
        let expired = refused_by("expired", "it is past its expiry".into());
        assert_eq!((expired.reason(), expired.into_response().status()), ("expired", StatusCode::FORBIDDEN));
    }

    #[test]
    fn a_recipient_has_all_its_fields() {
        let shown = recipient(&json!({ "to": "ru-police", "kind": "report", "state": "queued" }));
        let expect = json!({
            "agency": "ru-police", "state": "queued", "reason": null, "index": null, "at_ms": null, "answer": null,
        });
        assert_eq!(shown, expect);
    }
}
