//! What partners can ask of our ledger and of our witness.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use mufakat_ledger::hash::HASH_BYTES;
use mufakat_ledger::witness::{Refusal, Request, SIZE_CONTENT_TYPE, decide};
use mufakat_ledger::{Place, Signer, TileSource as _, VerifierKey, proof};
use mufakat_record::kinds::witness_alarm::{Finding, WitnessAlarm};
use mufakat_record::{AgencyId, Digest, Reason, cbor};
use mufakat_store::{Queries, Store};
use serde::Deserialize;

use super::gossip::{self, Case, Desk, TOLD_MAX, Told};
use super::{alarm, log_key};
use crate::clock;
use crate::http::peer::{No, agency, trouble};
use crate::net::Caller;
use crate::node::Node;
use crate::wire::Problem;
use crate::writer::Fault;

/// The largest request for a cosignature, in bytes: a proof of at most 63 hashes and a note. What is kept of the note, with our
/// cosignature, stays below what fits into an alarm.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// The largest message of what was witnessed, in bytes.
const TOLD_BYTES_MAX: usize = 1024 * 1024;

/// The routes of ledger and witness.
pub(crate) fn routes() -> Router<Arc<Node>> {
    let limited = |bytes_max| DefaultBodyLimit::max(bytes_max);
    Router::new()
        .route("/peer/v1/checkpoint", get(checkpoint))
        .route("/peer/v1/tile/{*path}", get(tile))
        .route("/peer/v1/consistency", get(consistency))
        .route("/peer/v1/witness/add-checkpoint", post(add_checkpoint).layer(limited(REQUEST_BYTES_MAX)))
        .route("/peer/v1/witness/seen", post(seen).layer(limited(TOLD_BYTES_MAX)))
        .layer(Extension(Desk::default()))
}

fn not_found() -> Response {
    No(Reason::NotFound, None).into_response()
}

fn text(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// Our latest checkpoint with its cosignatures.
async fn checkpoint(State(node): State<Arc<Node>>) -> Response {
    match node.read(|reader| reader.own_checkpoint()).await {
        Ok(Some(note)) => text(StatusCode::OK, note),
        Ok(None) => not_found(),
        Err(fault) => trouble(&fault),
    }
}

/// A tile of our ledger: hashes of salted commitments, and nothing else.
async fn tile(State(node): State<Arc<Node>>, Path(path): Path<String>) -> Response {
    let Ok(place) = Place::parse(&format!("tile/{path}")) else { return not_found() };
    let stored = node.read(move |reader| {
        reader.tile(place.level, place.index).map_err(|e| mufakat_store::Error::Unavailable(e.to_string()))
    });
    match stored.await {
        Ok(stored) => match stored.and_then(|bytes| as_wide_as(place, bytes)) {
            Some(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
            None => not_found(),
        },
        Err(fault) => trouble(&fault),
    }
}

/// As many hashes of a stored tile as the path names, if there are so many.
pub(super) fn as_wide_as(place: Place, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let wanted = usize::from(place.width) * HASH_BYTES;
    let enough = bytes.len() >= wanted;
    bytes.truncate(wanted);
    enough.then_some(bytes)
}

#[derive(Deserialize)]
struct ConsistencyQuery {
    from: u64,
    to: u64,
}

/// The proof that our ledger of one size begins with that of another.
async fn consistency(State(node): State<Arc<Node>>, Query(query): Query<ConsistencyQuery>) -> Response {
    let ConsistencyQuery { from, to } = query;
    if from > to || to > *node.ledger_size.borrow() {
        return not_found();
    }
    let proof = node.read(move |reader| {
        proof::consistency(reader, from, to).map_err(|e| mufakat_store::Error::Unavailable(e.to_string()))
    });
    match proof.await {
        Ok(hashes) => {
            let hashes: Vec<Digest> = hashes.iter().map(|hash| Digest(*hash.as_bytes())).collect();
            ([(header::CONTENT_TYPE, "application/cbor")], cbor::encode(&hashes)).into_response()
        }
        Err(fault) => trouble(&fault),
    }
}

/// A partner asks for a cosignature on a checkpoint of its ledger (C2SP tlog-witness).
async fn add_checkpoint(
    State(node): State<Arc<Node>>,
    Extension(desk): Extension<Desk>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Response {
    let caller = match agency(&caller) {
        Ok(caller) => caller,
        Err(no) => return no.into_response(),
    };
    if !node.config.witness.enabled {
        return not_found();
    }
    node.heard_of(&caller);
    match cosign(&node, &desk, &caller, &body).await {
        Ok(response) => response,
        Err(fault) => trouble(&fault),
    }
}

async fn cosign(node: &Arc<Node>, desk: &Desk, caller: &AgencyId, body: &Bytes) -> Result<Response, Fault> {
    let request = match Request::parse(body) {
        Ok(request) => request,
        Err(error) => return Ok(text(StatusCode::BAD_REQUEST, format!("{error}\n"))),
    };
    let log = log_key(&node.directory(), caller).filter(|log| log.name() == request.origin());
    let signer = node.keyring.load().witness_signer(&node.me).map_err(|e| Fault::Store(e.to_string()))?;
    let (of, key) = (caller.clone(), log.clone());
    let decided =
        node.writer.call(move |core| judge(&mut core.store, &of, request, key.as_ref(), &signer, clock::now_s()));
    match decided.await? {
        Ok((line, restarted)) => {
            if let Some(restarted) = restarted {
                alarm::raise(node, restarted).await?;
            }
            Ok(text(StatusCode::OK, line))
        }
        Err(refusal) => {
            tracing::info!(partner = %caller, %refusal, "a checkpoint is not cosigned");
            follow_up(node, desk, caller, body, &refusal).await?;
            Ok(refuse(&refusal))
        }
    }
}

/// Decides, and remembers what was decided; both become durable before anybody is answered.
pub(super) fn judge(
    store: &mut impl Store,
    of: &AgencyId,
    request: Request,
    log: Option<&VerifierKey>,
    signer: &Signer,
    now_s: u64,
) -> Result<Result<(String, Option<WitnessAlarm>), Refusal>, Fault> {
    let origin = request.origin().to_owned();
    // Only what has a key is looked up: nobody's text becomes a name in our store.
    let seen = if log.is_some() { store.seen(&origin)? } else { None };
    match decide(seen.as_ref(), request, log, signer, now_s) {
        Ok((seen, line)) => {
            store.set_seen(&origin, &seen)?;
            let restarted = gossip::note_origin(store, of, &seen)?;
            Ok(Ok((line, restarted)))
        }
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Does what a refusal calls for beyond the answer.
async fn follow_up(
    node: &Arc<Node>,
    desk: &Desk,
    caller: &AgencyId,
    body: &Bytes,
    refusal: &Refusal,
) -> Result<(), Fault> {
    match refusal {
        Refusal::Split(view) => {
            node.metrics.rejected(Reason::ForkedCheckpoint);
            let (first, second) = (view.first.clone(), view.second.clone());
            let found = WitnessAlarm { agency: caller.clone(), finding: Finding::SplitView, first, second };
            alarm::raise(node, found).await
        }
        Refusal::Inconsistent(_) => {
            // The ledger signed it, so it must have a proof: a wrong one may be a mistake, none at all is not.
            let Some(case) = case(node, body).await? else { return Ok(()) };
            desk.look_into(node, caller, case);
            Ok(())
        }
        Refusal::OwnFault(error) => {
            tracing::error!(%error, "this node cannot cosign");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The checkpoint of a request beside the one that we have seen.
async fn case(node: &Arc<Node>, body: &Bytes) -> Result<Option<Case>, Fault> {
    let note = std::str::from_utf8(body).ok().and_then(|body| body.split_once("\n\n")).map(|(_, note)| note);
    let Some(told) = note.and_then(|note| Told::read(note, &node.directory(), &node.me)) else { return Ok(None) };
    let origin = told.log.name().to_owned();
    let seen = node.read(move |reader| reader.seen(&origin)).await?;
    Ok(match gossip::weigh(seen.as_ref(), told) {
        gossip::Weighed::Open(case) => Some(*case),
        gossip::Weighed::Nothing | gossip::Weighed::Alarm(_) => None,
    })
}

/// The answer that the specification gives a refusal.
pub(super) fn refuse(refusal: &Refusal) -> Response {
    // Every status is one of the specification's, so the conversion holds.
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match refusal {
        Refusal::Split(_) => {
            let problem = Problem { reason: Reason::ForkedCheckpoint.name().to_owned(), expected: None };
            (status, [(header::CONTENT_TYPE, "application/cbor")], cbor::encode(&problem)).into_response()
        }
        refusal => match refusal.size_body() {
            Some(size) => (status, [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)], size).into_response(),
            None => text(status, format!("{refusal}\n")),
        },
    }
}

/// A partner tells what it has cosigned of others.
async fn seen(
    State(node): State<Arc<Node>>,
    Extension(desk): Extension<Desk>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Response {
    let caller = match agency(&caller) {
        Ok(caller) => caller,
        Err(no) => return no.into_response(),
    };
    let notes: Vec<String> = match cbor::decode(&body) {
        Ok(notes) => notes,
        Err(reason) => return No(reason, None).into_response(),
    };
    if notes.len() > TOLD_MAX {
        return No(Reason::ListTooLong, None).into_response();
    }
    node.heard_of(&caller);
    match gossip::hear(&node, &desk, &caller, notes).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(fault) => trouble(&fault),
    }
}
