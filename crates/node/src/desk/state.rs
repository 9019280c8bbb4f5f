//! What the desk keeps in memory, and what changes it: officers as they are on record, sessions, ceremonies, and how often
//! somebody tried.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use mufakat_exchange::{Leaf, What};
use mufakat_record::kinds::Body;
use mufakat_record::{Act, Digest, How, OfficerId, RecordId, sha256};
use rand_chacha::rand_core::Rng;
use tokio::sync::watch;

use super::ceremonies::Ceremonies;
use super::measure::{self, Tried};
use super::officers::{self, Officer, Officers};
use super::secret::{Realm, Secret, Use};
use super::sessions::{Ended, Session, Sessions, Spans, Why};
use super::{oidc, passkeys, time};
use crate::clock;
use crate::config::Config;
use crate::node::Node;
use crate::share::{self, NotShared};
use crate::writer::Fault;

/// How often sessions are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// Why the desk could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The origin is none at which passkeys work.
    #[error("`desk.origin` does not do: {0}")]
    Origin(String),
    /// A file cannot be read, or holds something else.
    #[error("{0}: {1}")]
    File(std::path::PathBuf, String),
}

/// What the desk keeps in memory.
pub(crate) struct Desk {
    /// The origin that browsers know the desk by.
    pub(super) origin: Option<String>,
    pub(super) realm: Realm,
    pub(super) time: time::Time,
    pub(super) officers: RwLock<Officers>,
    pub(super) sessions: Mutex<Sessions>,
    pub(super) ceremonies: Mutex<Ceremonies<Ceremony>>,
    pub(super) failed_for: Mutex<Tried<OfficerId>>,
    pub(super) failed_from: Mutex<Tried<IpAddr>>,
    pub(super) begun_from: Mutex<Tried<IpAddr>>,
    pub(super) passkeys: Option<webauthn_rs::Webauthn>,
    pub(super) oidc: Option<oidc::Provider>,
    /// Rises with every change after which a request that is being answered may have lost its ground.
    pub(super) changed: watch::Sender<u64>,
    /// Whoever puts something about officers on record does so alone: checks, writes, reads again.
    pub(super) alone: tokio::sync::Mutex<()>,
}

/// What is remembered of a ceremony until it is finished.
pub(super) enum Ceremony {
    Registration { officer: OfficerId, invitation: RecordId, state: Box<webauthn_rs::prelude::PasskeyRegistration> },
    SignIn(Box<webauthn_rs::prelude::DiscoverableAuthentication>),
    Oidc(Box<oidc::Pending>),
}

impl Desk {
    /// A desk where nobody is known yet.
    pub(crate) fn new(config: &Config, epoch: u64) -> Result<Self, Error> {
        let desk = &config.desk;
        let spans =
            Spans { idle: Duration::from_secs(desk.session_idle_s), whole: Duration::from_secs(desk.session_max_s) };
        Ok(Self {
            origin: desk.origin.clone(),
            realm: Realm::new(config.agency.id.clone(), epoch),
            time: time::Time::begin(),
            officers: RwLock::default(),
            sessions: Mutex::new(Sessions::new(spans)),
            ceremonies: Mutex::default(),
            failed_for: Mutex::new(Tried::new(measure::OFFICER_FAILURES)),
            failed_from: Mutex::new(Tried::new(measure::ADDRESS_FAILURES)),
            begun_from: Mutex::new(Tried::new(measure::ADDRESS_BEGINNINGS)),
            passkeys: desk.origin.as_deref().map(passkeys::relying_party).transpose()?,
            oidc: oidc::Provider::of(config)?,
            changed: watch::channel(0).0,
            alone: tokio::sync::Mutex::default(),
        })
    }

    /// The officers as they are now.
    pub(crate) fn officers<T>(&self, look: impl FnOnce(&Officers) -> T) -> T {
        look(&self.officers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// An officer as the officer is now.
    pub(crate) fn officer(&self, id: &OfficerId) -> Option<Arc<Officer>> {
        self.officers(|officers| officers.find(id))
    }

    /// The open sessions.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }

    /// Seconds since 1970, by which invitations and tokens expire.
    pub(crate) fn now_s(&self) -> u64 {
        self.time.now_s()
    }

    /// What this node keeps of a secret.
    pub(crate) fn hash(&self, secret: &Secret) -> Digest {
        self.realm.hash(secret)
    }

    /// The origin that browsers know the desk by.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    pub(super) fn stands(&self, session: &Session) -> bool {
        let officer = self.officer(&session.officer);
        officer.is_some_and(|officer| {
            officer.active && officer.grant == session.grant && officer.credential(&session.credential).is_some()
        })
    }

    fn has_changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is sound between any two steps, so a panic elsewhere is no reason to give up.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads all officers, at the start.
pub(crate) async fn load(node: &Arc<Node>) -> Result<(), Fault> {
    let all = node.read(officers::read_all).await?;
    *node.desk.officers.write().unwrap_or_else(PoisonError::into_inner) = all;
    Ok(())
}

/// Ends sessions whose time is over, until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => sweep(&node).await,
            () = node.stopping() => return,
        }
    }
}

/// Ends the sessions that have lost their ground, and says so in the ledger.
pub(crate) async fn sweep(node: &Arc<Node>) {
    let ended = node.desk.sessions().sweep(Instant::now(), |session| node.desk.stands(session));
    end_of(node, ended).await;
}

/// Cuts what is still being answered for sessions that ended, and notes their end.
async fn end_of(node: &Arc<Node>, ended: Vec<Ended>) {
    if ended.is_empty() {
        return;
    }
    node.desk.has_changed();
    for (session, why) in ended {
        let noted = note_session(node, How::SignOut, &session.officer, why.name().to_owned()).await;
        if let Err(fault) = noted {
            tracing::warn!(%fault, officer = %session.officer, "the end of a session could not be noted");
        }
    }
}

/// Puts something about an officer on record and acts on it at once. Whoever calls holds the key to doing so alone.
pub(super) async fn put<B: Body + Clone + Send + Sync + 'static>(
    node: &Arc<Node>,
    _alone: &Alone<'_>,
    officer: &OfficerId,
    body: B,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let kept = share::keep(node, body, Vec::new()).await?;
    refresh(node, officer).await?;
    Ok(kept)
}

/// The right to change what is on record of officers, which one task has at a time.
pub(crate) struct Alone<'a>(#[expect(dead_code, reason = "held, not read")] tokio::sync::MutexGuard<'a, ()>);

/// Waits until nobody else changes anything about officers.
pub(crate) async fn alone(node: &Node) -> Alone<'_> {
    Alone(node.desk.alone.lock().await)
}

/// Puts a grant or a revocation on record and acts on it.
pub(crate) async fn decree<B: Body + Clone + Send + Sync + 'static>(
    node: &Arc<Node>,
    alone: &Alone<'_>,
    officer: &OfficerId,
    body: B,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let kept = put(node, alone, officer, body).await?;
    sweep(node).await;
    Ok(kept)
}

/// Reads again what is on record of an officer.
pub(super) async fn refresh(node: &Arc<Node>, officer: &OfficerId) -> Result<(), Fault> {
    let id = officer.clone();
    if let Some(officer) = node.read(move |reader| officers::read(reader, &id)).await? {
        node.desk.officers.write().unwrap_or_else(PoisonError::into_inner).put(officer);
        node.desk.has_changed();
    }
    Ok(())
}

/// Opens a session for an officer who has proved to be one, after that was noted in the ledger.
pub(super) async fn open_session(
    node: &Arc<Node>,
    officer: &Officer,
    credential: RecordId,
    note: String,
) -> Result<Option<Secret>, Fault> {
    note_session(node, How::SignIn, &officer.id, note).await?;
    let secret = Secret::fresh(Use::Session);
    let hash = node.desk.hash(&secret);
    let whose = (officer.id.clone(), officer.grant, credential);
    let opened = node.desk.sessions().open(hash, whose, Instant::now(), clock::now_ms());
    let Some(ended) = opened else { return Ok(None) };
    end_of(node, ended).await;
    lock(&node.desk.failed_for).clear(&officer.id);
    Ok(Some(secret))
}

/// Ends one session.
pub(crate) async fn sign_out(node: &Arc<Node>, session: &Digest) {
    let ended = node.desk.sessions().end(session, Why::SignedOut);
    end_of(node, ended.into_iter().collect()).await;
}

/// Ends all sessions of an officer.
pub(crate) async fn end_sessions(node: &Arc<Node>, officer: &OfficerId) {
    let ended = node.desk.sessions().sweep(Instant::now(), |session| session.officer != *officer);
    end_of(node, ended).await;
}

/// Notes in the ledger that an officer signed in or out, that somebody failed to, or was given another way to.
pub(super) async fn note_session(node: &Arc<Node>, how: How, officer: &OfficerId, note: String) -> Result<(), Fault> {
    let known = node.desk.officer(officer);
    let act = Act {
        officer: Some(officer.clone()),
        role: known.and_then(|officer| officer.roles.first().copied()),
        note: Some(note),
        ..Act::of_the_node(how, node.gate.hash())
    };
    let subject = RecordId(sha256(officer.as_str().as_bytes()));
    let noted = node.writer.call(move |core| {
        let mut salt = [0; 16];
        core.random.fill_bytes(&mut salt);
        let leaf = Leaf::about(What::Session, &subject, clock::now_ms(), &act.to_detail(), salt);
        let batch = core.exchange.note(leaf);
        core.apply(batch)
    });
    match noted.await {
        // A full disk must not keep officers from what the agency holds; the log has to do in the ledger's place.
        Err(Fault::Full) => {
            tracing::warn!(%officer, how = how.name(), "it could not be noted in the ledger: the disk is full");
            Ok(())
        }
        done => done,
    }
}
