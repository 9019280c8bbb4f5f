//! What partners can call. Every route but joining is for agencies of the register only; a body is CBOR or a C2SP text.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::{StatusCode, header};
use mufakat_record::attachment::{CHUNK_BYTES, CHUNK_OVERHEAD};
use mufakat_record::parcel::{PARCEL_BYTES_MAX, Parcel};
use mufakat_record::{AgencyId, Digest, Reason, cbor};
use mufakat_store::{Queries, Store};
use serde::Deserialize;

use crate::delivery::{Via, adopt_chain, answer_sync, receive, take_parcel};
use crate::net::listen::PeerRoutes;
use crate::net::{Caller, Flood};
use crate::node::Node;
use crate::wire::{Problem, Sync, chain_parts};
use crate::writer::Fault;
use crate::{chunks, clock, join, witness};

/// How long a mailbox may keep its caller waiting, in seconds.
const WAIT_S_MAX: u64 = 25;
/// How many parcels one answer of a mailbox holds at most.
const MAILBOX_COUNT_MAX: usize = 16;
/// How many bytes of parcels one answer of a mailbox holds, if it holds more than one.
const MAILBOX_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The largest register that is taken from a partner, in bytes.
const REGISTER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The routes for partners, behind the flood limits.
pub(crate) fn routes(node: &Arc<Node>, flood: &Flood) -> PeerRoutes {
    let agencies = Router::new()
        .route("/peer/v1/parcel", post(parcel).layer(DefaultBodyLimit::max(PARCEL_BYTES_MAX + 1024)))
        .route("/peer/v1/sync", post(sync))
        .route("/peer/v1/register", get(register).post(take_register).layer(DefaultBodyLimit::max(REGISTER_BYTES_MAX)))
        .route("/peer/v1/keys/{agency}", get(keys))
        .route("/peer/v1/relay", post(relay).layer(DefaultBodyLimit::max(PARCEL_BYTES_MAX + 1024)))
        .route("/peer/v1/mailbox", get(mailbox))
        .route("/peer/v1/chunk/{name}", get(chunk))
        .route(
            "/peer/v1/relay/chunk/{name}",
            put(relay_chunk).layer(DefaultBodyLimit::max(CHUNK_BYTES + CHUNK_OVERHEAD)),
        )
        .merge(witness::routes())
        .with_state(Arc::clone(node));
    let open = Router::new().route("/peer/v1/join", post(knock)).fallback(elsewhere).with_state(Arc::clone(node));
    let counted = |router: Router| router.layer(from_fn_with_state(Arc::clone(node), counted));
    PeerRoutes { agencies: flood.guard(counted(agencies)), open: flood.guard(counted(open)) }
}

/// Every other path: a stranger is told what it is and gets no other answer; an agency, that there is nothing.
async fn elsewhere(Extension(caller): Extension<Caller>) -> No {
    No(if matches!(caller, Caller::Agency(_)) { Reason::NotFound } else { Reason::AuthorNotInRegister }, None)
}

/// Counts what is refused, whichever route refuses it.
async fn counted(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    // A body above its limit is refused before any handler sees it.
    let too_large = (response.status() == StatusCode::PAYLOAD_TOO_LARGE).then_some(Reason::Oversize);
    if let Some(reason) = response.extensions().get::<Reason>().copied().or(too_large) {
        node.metrics.rejected(reason);
    }
    response
}

/// An answer that says no, with the reason.
pub(crate) struct No(pub(crate) Reason, pub(crate) Option<u64>);

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let status = match self.0 {
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::Oversize => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::AuthorRemoved | Reason::AuthorNotInRegister => StatusCode::FORBIDDEN,
            Reason::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            Reason::Gap
            | Reason::StaleEpoch
            | Reason::Stale
            | Reason::UnknownKey
            | Reason::UnknownRegister
            | Reason::UnknownSealingKey => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let body = cbor::encode(&Problem { reason: self.0.name().to_owned(), expected: self.1 });
        // The reason goes with the answer, so that it is counted in one place.
        (status, Extension(self.0), [(header::CONTENT_TYPE, "application/cbor")], body).into_response()
    }
}

/// Our own trouble, told to a partner without detail.
pub(crate) fn trouble(fault: &Fault) -> Response {
    match fault {
        Fault::Full => No(Reason::StorageFull, None).into_response(),
        other => {
            tracing::warn!(fault = %other, "a partner's call could not be carried out");
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "2")]).into_response()
        }
    }
}

fn cbor_answer(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/cbor")], body).into_response()
}

/// The agency that calls. The listener lets no stranger through to these routes.
pub(crate) fn agency(caller: &Caller) -> Result<AgencyId, No> {
    match caller {
        Caller::Agency(name) => name.parse().map_err(|_| No(Reason::AuthorNotInRegister, None)),
        Caller::Stranger { .. } => Err(No(Reason::AuthorNotInRegister, None)),
    }
}

async fn parcel(State(node): State<Arc<Node>>, Extension(caller): Extension<Caller>, body: Bytes) -> Response {
    let caller = match agency(&caller) {
        Ok(caller) => caller,
        Err(no) => return no.into_response(),
    };
    match take_parcel(&node, &body, Via::Direct(caller.clone())).await {
        Ok(receive::Taken::Records { receipt, .. }) => cbor_answer(receipt.into_bytes()),
        Ok(receive::Taken::Receipts(_)) => StatusCode::NO_CONTENT.into_response(),
        Err(receive::Untaken::Refused { reason, expected, .. }) => {
            tracing::info!(partner = %caller, %reason, "a parcel was refused");
            No(reason, expected).into_response()
        }
        Err(receive::Untaken::Fault(fault)) => trouble(&fault),
    }
}

async fn sync(State(node): State<Arc<Node>>, Extension(caller): Extension<Caller>, body: Bytes) -> Response {
    let caller = match agency(&caller) {
        Ok(caller) => caller,
        Err(no) => return no.into_response(),
    };
    let theirs: Sync = match cbor::decode(&body) {
        Ok(theirs) => theirs,
        Err(reason) => return No(reason, None).into_response(),
    };
    node.heard_of(&caller);
    match answer_sync(&node, &caller, &theirs).await {
        Ok(ours) => cbor_answer(cbor::encode(&ours)),
        Err(Ok(reason)) => No(reason, None).into_response(),
        Err(Err(fault)) => trouble(&fault),
    }
}

async fn register(State(node): State<Arc<Node>>) -> Response {
    cbor_answer(cbor::encode(&chain_parts(node.directory().chain())))
}

async fn take_register(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    let parts = match cbor::decode(&body) {
        Ok(parts) => parts,
        Err(reason) => return No(reason, None).into_response(),
    };
    match adopt_chain(&node, parts).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(reason)) => No(reason, None).into_response(),
        Err(fault) => trouble(&fault),
    }
}

async fn keys(State(node): State<Arc<Node>>, Path(agency): Path<String>) -> Response {
    let directory = node.directory();
    let record = agency.parse().ok().and_then(|agency| directory.key_set_record(&agency).map(<[u8]>::to_vec));
    record.map_or_else(|| No(Reason::NotFound, None).into_response(), cbor_answer)
}

/// A parcel for somebody else, to be kept until they come. Only its outer header is read.
async fn relay(State(node): State<Arc<Node>>, Extension(caller): Extension<Caller>, body: Bytes) -> Response {
    match keep_for(&node, &caller, body).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(Ok(no)) => no.into_response(),
        Err(Err(fault)) => trouble(&fault),
    }
}

async fn keep_for(node: &Arc<Node>, caller: &Caller, body: Bytes) -> Result<(), Result<No, Fault>> {
    let no = |reason| Err(Ok(No(reason, None)));
    let caller = agency(caller).map_err(Ok)?;
    let directory = node.directory();
    if !directory.chain().member(&node.me).is_some_and(|me| me.relay) {
        return no(Reason::NotFound);
    }
    let outer = Parcel::parse(&body).map_err(|reason| Ok(No(reason, None)))?.outer;
    if outer.sender != caller {
        return no(Reason::SenderNotAuthor);
    }
    if outer.recipient == caller {
        return no(Reason::WrongRecipient);
    }
    if directory.chain().member(&outer.recipient).is_none() {
        return no(Reason::RecipientRemoved);
    }
    let latest = clock::now_s().saturating_add(directory.chain().current().rules.relay_max_s);
    let expires = outer.expires.min(latest);
    if expires <= clock::now_s() {
        return no(Reason::Expired);
    }
    let recipient = outer.recipient.clone();
    let kept = node.writer.call(move |core| match core.store.mailbox_put(&caller, &recipient, &body, expires) {
        Ok(()) => Ok(Ok(())),
        Err(mufakat_store::Error::MailboxFull(_)) => Ok(Err(Reason::Overloaded)),
        Err(error) => Err(error.into()),
    });
    match kept.await.map_err(Err)? {
        Ok(()) => {
            node.bells.mailbox(&outer.recipient).notify_waiters();
            Ok(())
        }
        Err(reason) => no(reason),
    }
}

#[derive(Deserialize)]
struct MailboxQuery {
    after: u64,
    #[serde(default)]
    wait: u64,
}

/// What waits for the caller after a cursor. Naming a cursor says that everything up to it has been taken.
async fn mailbox(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<MailboxQuery>,
) -> Response {
    let caller = match agency(&caller) {
        Ok(caller) => caller,
        Err(no) => return no.into_response(),
    };
    node.heard_of(&caller);
    match wait_for_mail(&node, &caller, &query).await {
        Ok(mail) => cbor_answer(cbor::encode(&mail)),
        Err(fault) => trouble(&fault),
    }
}

async fn wait_for_mail(node: &Arc<Node>, of: &AgencyId, query: &MailboxQuery) -> Result<crate::wire::Mailbox, Fault> {
    if query.after > 0 {
        let (owner, through) = (of.clone(), query.after);
        node.writer.call(move |core| Ok(core.store.mailbox_drop_through(&owner, through)?)).await?;
    }
    let until = tokio::time::Instant::now() + Duration::from_secs(query.wait.min(WAIT_S_MAX));
    let bell = node.bells.mailbox(of);
    loop {
        let rung = bell.notified();
        let (owner, after) = (of.clone(), query.after);
        let take = move |reader: &mufakat_store::Reader| {
            reader.mailbox_take_after(&owner, after, MAILBOX_COUNT_MAX, MAILBOX_BYTES_MAX)
        };
        let mail = node.read(take).await?;
        if !mail.is_empty() {
            return Ok(mail.into_iter().map(|(cursor, parcel)| (cursor, parcel.into())).collect());
        }
        tokio::select! {
            () = rung => {}
            () = tokio::time::sleep_until(until) => return Ok(Vec::new()),
            () = node.stopping() => return Ok(Vec::new()),
        }
    }
}

async fn chunk(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Response {
    let found = match (agency(&caller), name.parse::<Digest>()) {
        (Ok(caller), Ok(name)) => chunks::read_for(&node, &caller, name).await,
        _ => Ok(None),
    };
    match found {
        Ok(Some(bytes)) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        // The same answer for a chunk that is not there and for one that is not the caller's.
        Ok(None) => No(Reason::NotFound, None).into_response(),
        Err(fault) => trouble(&fault),
    }
}

#[derive(Deserialize)]
struct RelayChunkQuery {
    to: AgencyId,
}

async fn relay_chunk(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(query): Query<RelayChunkQuery>,
    body: Bytes,
) -> Response {
    let directory = node.directory();
    let relaying = directory.chain().member(&node.me).is_some_and(|me| me.relay);
    let Some(name) = name.parse::<Digest>().ok().filter(|_| relaying) else {
        return No(Reason::NotFound, None).into_response();
    };
    if Digest::of(&body) != name {
        return No(Reason::Malformed, None).into_response();
    }
    if directory.chain().member(&query.to).is_none() {
        return No(Reason::RecipientRemoved, None).into_response();
    }
    match chunks::keep_for(&node, name, query.to, body).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(fault) => trouble(&fault),
    }
}

/// Somebody who holds an invitation and is not in the register yet.
async fn knock(State(node): State<Arc<Node>>, Extension(caller): Extension<Caller>, body: Bytes) -> Response {
    match join::answer_knock(&node, &caller, &body).await {
        Ok(Some(welcome)) => cbor_answer(cbor::encode(&welcome)),
        Ok(None) => StatusCode::ACCEPTED.into_response(),
        Err(Ok(reason)) => No(reason, None).into_response(),
        Err(Err(fault)) => trouble(&fault),
    }
}
