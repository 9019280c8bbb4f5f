//! A node that has no register yet: it can found a community with others, or join one with an invitation.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use mufakat_exchange::Chain;
use mufakat_record::{AgencyId, Reason, cbor};
use mufakat_store::{Sqlite, Store};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::config::Config;
use crate::governance::{self, Founding};
use crate::http::api::problem::{Json, Problem};
use crate::http::api::register::Joining;
use crate::http::ops::Health;
use crate::join::words_of;
use crate::keyring::Keyring;
use crate::net::{Peer, PeerClient, tls};
use crate::serve::{Error, card};
use crate::wire::{Card, INVITATION_PREFIX, Invitation, Join, Welcome, from_text, read_chain};

/// How often an invited node asks whether it has been admitted.
const KNOCK_INTERVAL: Duration = Duration::from_secs(1);

/// What a register brings with it: the chain, and the key sets that are known.
struct Adopted {
    chain: Chain,
    key_sets: Vec<Vec<u8>>,
}

struct Waiting {
    me: AgencyId,
    config: Config,
    keyring: Keyring,
    adopted: mpsc::Sender<Adopted>,
    joining: Mutex<Option<Invitation>>,
}

/// Serves the local API of a waiting node until it has a register. False when it was told to stop before that.
pub(crate) async fn wait(
    dir: &Path,
    config: &Config,
    store: &mut Sqlite,
    keyring: &Keyring,
    health: &Health,
    mut stop: watch::Receiver<bool>,
) -> Result<bool, Error> {
    let (adopted, mut adoption) = mpsc::channel(1);
    let waiting = Arc::new(Waiting {
        me: config.agency.id.clone(),
        config: config.clone(),
        keyring: keyring.clone(),
        adopted,
        joining: Mutex::default(),
    });
    let routes = axum::Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/keys", get(keys))
        .route("/api/v1/register/found", post(found))
        .route("/api/v1/register/approve", post(approve))
        .route("/api/v1/join", post(join))
        .fallback(no_register)
        .with_state(Arc::clone(&waiting));
    let (close, closed) = watch::channel(false);
    let listener =
        crate::net::listen::bind_local(&dir.join(crate::SOCKET)).map_err(|e| Error::Socket(dir.to_owned(), e))?;
    let served = tokio::spawn(crate::net::serve_local(listener, routes, closed));
    let knocking = tokio::spawn(knock(Arc::clone(&waiting)));
    tracing::info!(agency = %waiting.me, "waiting for a register: found a community, or join one");
    // A node that waits is well; there is no writer yet that could say so.
    let alive = async {
        loop {
            health.writer_answered();
            tokio::time::sleep(KNOCK_INTERVAL).await;
        }
    };
    let outcome = tokio::select! {
        adopted = adoption.recv() => adopted,
        _ = stop.wait_for(|stop| *stop) => None,
        () = alive => None,
    };
    knocking.abort();
    // The answer to the request that brought the register is still on its way.
    close.send_replace(true);
    let _ = served.await;
    let Some(Adopted { chain, key_sets }) = outcome else { return Ok(false) };
    store.adopt_register(chain.versions())?;
    let mut directory = mufakat_exchange::Directory::new(chain);
    store.begin()?;
    for record in key_sets {
        if directory.take_key_set(&record) == Ok(true) {
            // It was parsed and checked just now.
            if let Ok(parsed) = mufakat_record::Unverified::parse(record.clone()) {
                let agency = parsed.header().author.clone();
                store.apply(&[mufakat_exchange::Change::KeySet { agency, record }])?;
            }
        }
    }
    store.commit()?;
    Ok(true)
}

async fn status(State(waiting): State<Arc<Waiting>>) -> Response {
    let card = card(&waiting.config, &waiting.keyring);
    let inviter = waiting.joining.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|i| i.inviter.clone());
    axum::Json(json!({
        "agency": waiting.me,
        "party": waiting.config.agency.party,
        "name": waiting.config.agency.name,
        "phase": "waiting",
        "joining_by": inviter,
        "fingerprint": words_of(&card.identity),
        "card": crate::wire::to_text(crate::wire::CARD_PREFIX, &card),
        "version": env!("CARGO_PKG_VERSION"),
    }))
    .into_response()
}

async fn keys(State(waiting): State<Arc<Waiting>>) -> Response {
    axum::Json(crate::keys::describe(&waiting.keyring, None)).into_response()
}

async fn found(State(waiting): State<Arc<Waiting>>, Json(founding): Json<Founding>) -> Response {
    let own = card(&waiting.config, &waiting.keyring);
    let version = match governance::draw_up(own, founding) {
        Ok(version) => version,
        Err(no) => return Problem::refused(no.reason, no.detail).into_response(),
    };
    let parts: crate::wire::ChainParts = vec![(cbor::encode(&version).into(), Vec::new())];
    answer_founding(&waiting, &cbor::encode(&parts)).await
}

async fn approve(State(waiting): State<Arc<Waiting>>, body: Bytes) -> Response {
    answer_founding(&waiting, &body).await
}

async fn answer_founding(waiting: &Waiting, file: &[u8]) -> Response {
    match governance::approve_founding(&waiting.me, &waiting.keyring.identity(), file) {
        Ok((file, standing, chain)) => {
            let enacted = standing.enacted.to_string();
            if let Some(chain) = chain {
                // The channel holds one; a second founding finds the first one under way.
                let _ = waiting.adopted.try_send(Adopted { chain, key_sets: Vec::new() });
            }
            ([(header::CONTENT_TYPE, "application/octet-stream"), (ENACTED, enacted.as_str())], file).into_response()
        }
        Err(reason) => {
            Problem::refused(reason.name(), "this is no founding file that this agency can approve").into_response()
        }
    }
}

/// Whether the founding file in the answer is complete and in force.
const ENACTED: header::HeaderName = header::HeaderName::from_static("mufakat-enacted");

async fn join(State(waiting): State<Arc<Waiting>>, Json(request): Json<Joining>) -> Response {
    let Some(invitation) = from_text::<Invitation>(INVITATION_PREFIX, &request.invitation) else {
        return Problem::refused(Reason::Malformed.name(), "this is no invitation").into_response();
    };
    if invitation.agency != waiting.me || invitation.party != waiting.config.agency.party {
        let detail = format!("the invitation is for {} of party {}", invitation.agency, invitation.party);
        return Problem::refused(Reason::WrongRecipient.name(), detail).into_response();
    }
    if invitation.expires <= clock::now_s() {
        return Problem::refused(Reason::Expired.name(), "the invitation has expired").into_response();
    }
    let answer = json!({
        "inviter": invitation.inviter,
        "inviter_words": words_of(&invitation.identity),
        "community_root_words": words_of(&invitation.root),
        "own_words": words_of(&card(&waiting.config, &waiting.keyring).identity),
    });
    *waiting.joining.lock().unwrap_or_else(PoisonError::into_inner) = Some(invitation);
    (StatusCode::ACCEPTED, axum::Json(answer)).into_response()
}

async fn no_register() -> Response {
    Problem::conflict("no-register", "this node has no register yet: found a community or join one").into_response()
}

/// Only the inviter is known, by the key in the invitation.
struct OnlyInviter {
    agency: String,
    key: [u8; 32],
}

impl crate::net::Directory for OnlyInviter {
    fn identity_key(&self, agency: &str) -> Option<[u8; 32]> {
        (agency == self.agency).then_some(self.key)
    }
}

/// Knocks at the inviter's node until it lets us in.
async fn knock(waiting: Arc<Waiting>) {
    loop {
        tokio::time::sleep(KNOCK_INTERVAL).await;
        let invitation = waiting.joining.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(invitation) = invitation else { continue };
        match knock_once(&waiting, &invitation).await {
            Ok(None) => {}
            Ok(Some(adopted)) => {
                // Nobody waits for a second one.
                let _ = waiting.adopted.send(adopted).await;
                return;
            }
            Err(why) => tracing::info!(inviter = %invitation.inviter, why, "not admitted yet"),
        }
    }
}

async fn knock_once(waiting: &Waiting, invitation: &Invitation) -> Result<Option<Adopted>, String> {
    let inviter = invitation.inviter.to_string();
    let only = OnlyInviter { agency: inviter.clone(), key: invitation.identity.0 };
    let identity = tls::Identity::from_seed(waiting.me.as_str(), waiting.keyring.identity().seed());
    let leaf = identity.and_then(|identity| tls::issue_leaf(&identity, clock::now_s())).map_err(|e| e.to_string())?;
    let tls = tls::ClientTls::new(tls::LeafSlot::new(leaf), Arc::new(only)).map_err(|e| e.to_string())?;
    let card: Card = card(&waiting.config, &waiting.keyring);
    let body = cbor::encode(&Join { token: invitation.token, card });
    let peer = Peer { agency: inviter, host_port: invitation.endpoint.clone() };
    let limits = waiting.config.delivery.call(8 * 1024 * 1024);
    let client = PeerClient::new(tls);
    let answer = client.request(&peer, http::Method::POST, "/peer/v1/join", body.into(), &limits).await;
    let answer = answer.map_err(|e| e.to_string())?;
    match answer.status {
        StatusCode::ACCEPTED => Ok(None),
        StatusCode::OK => {
            let welcome: Welcome = cbor::decode(&answer.body).map_err(|r| format!("an answer that is {r}"))?;
            let chain = read_chain(welcome.chain).map_err(|r| format!("a register that is refused: {r}"))?;
            let me = chain.member(&waiting.me).map(|a| a.identity.0);
            if chain.root() != invitation.root || me != Some(*waiting.keyring.identity().public().as_bytes()) {
                return Err("the register is not the one of the invitation".to_owned());
            }
            Ok(Some(Adopted { chain, key_sets: welcome.key_sets.into_iter().map(Into::into).collect() }))
        }
        status => Err(format!("the inviter answers {status}")),
    }
}
