//! Making a node, and running one: the order in which its parts start and stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mufakat_exchange::{Directory, Exchange, Facts as _};
use mufakat_record::{AgencyId, Digest};
use mufakat_store::{Options, Queries, Reader, Sqlite, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{self, Config};
use crate::http::ops::Health;
use crate::keyring::{Keyring, Schedule};
use crate::metrics::Metrics;
use crate::net::listen::{PeerCounters, PeerLimits, PeerServer, bind_local};
use crate::net::{
    ClientTls, Flood, LeafSlot, PeerClient, ServerTls, serve_desk, serve_http, serve_local, serve_peers, tls,
};
use crate::node::{Bells, Node, Parts};
use crate::wire::{CARD_PREFIX, Card, to_text};
use crate::writer::{After, Conduct, Fault, Listener, Writer, entropy};
use crate::{DATABASE, SOCKET, chunks, clock, delivery, desk, http, keys, witness};

/// How often gauges, keys and mailboxes are looked after.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(2);
/// How many rounds of upkeep lie between two looks at keys and mailboxes.
const KEY_ROUNDS: u64 = 15;
/// How long tasks may take to end.
const END_MAX: Duration = Duration::from_secs(15);

/// Why a node could not be made or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is not sound.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] mufakat_store::Error),
    /// Something in the folder cannot be read or written.
    #[error("{0}: {1}")]
    Folder(PathBuf, std::io::Error),
    /// An address or the socket cannot be listened on.
    #[error("cannot listen on {1} (setting {0}): {2}; another process may have it, see `ss -ltnp`")]
    Listen(&'static str, SocketAddr, std::io::Error),
    /// The socket for the agency's own commands cannot be made.
    #[error("cannot listen on the socket in {0}: {1}")]
    Socket(PathBuf, std::io::Error),
    /// The secret keys are damaged.
    #[error(transparent)]
    Keyring(#[from] crate::keyring::Error),
    /// The certificate could not be made.
    #[error("cannot make the certificate: {0}")]
    Certificate(String),
    /// The node has been made for another agency than the configuration says.
    #[error("the folder belongs to {found}, and {FILE} says {wanted}", FILE = config::FILE_NAME)]
    OtherAgency {
        /// The agency of the state file.
        found: AgencyId,
        /// The agency of the configuration.
        wanted: AgencyId,
    },
    /// The desk cannot be set up.
    #[error(transparent)]
    Desk(#[from] desk::Error),
    /// The node's own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What a new node tells of itself.
#[derive(Debug, Clone)]
pub struct Made {
    /// The card with which others found a community with it.
    pub card: String,
    /// The fingerprint of its identity key, in words.
    pub words: String,
}

/// Makes a node: its folder, configuration, state file and keys.
pub fn init(dir: &Path, config: &Config) -> Result<Made, Error> {
    config.check()?;
    let failed = |e| Error::Folder(dir.to_owned(), e);
    std::fs::create_dir_all(dir).map_err(failed)?;
    restrict(dir).map_err(failed)?;
    let file = dir.join(config::FILE_NAME);
    if file.exists() {
        return Err(mufakat_store::Error::Exists(file).into());
    }
    let mut store = Sqlite::create(&dir.join(DATABASE), &config.agency.id, Options::default())?;
    let relay_max_s = crate::governance::default_rules().relay_max_s;
    let schedule = Schedule::new(&config.keys, relay_max_s);
    let keyring = Keyring::generate(clock::now_s(), &schedule, &mut entropy);
    store.begin()?;
    for secret in keyring.secrets() {
        store.put_secret(&secret)?;
    }
    store.commit()?;
    std::fs::write(&file, config.to_toml_commented()).map_err(|e| Error::Folder(file, e))?;
    let card = card(config, &keyring);
    Ok(Made { words: crate::join::words_of(&card.identity), card: to_text(CARD_PREFIX, &card) })
}

fn restrict(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
}

/// What others need to name this agency in a register.
pub(crate) fn card(config: &Config, keyring: &Keyring) -> Card {
    Card {
        agency: config.agency.id.clone(),
        name: config.agency.name.clone(),
        party: config.agency.party.clone(),
        party_name: config.agency.party_name().to_owned(),
        endpoint: config.agency.endpoint.clone(),
        identity: Digest(*keyring.identity().public().as_bytes()),
        relay: config.agency.relay,
    }
}

/// Runs the node in a folder until it is told to stop by a signal.
pub fn serve(dir: &Path, config: Config) -> Result<(), Error> {
    config.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::Folder(dir.to_owned(), e))?;
    runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            signal().await;
            tracing::info!("stopping");
            stop.send_replace(true);
            // The sender lives as long as the process, so that nobody takes its end for a signal.
            std::future::pending::<()>().await;
        });
        run(dir, config, stopped).await
    })
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

/// Runs the node in a folder until `stop` becomes true.
pub async fn run(dir: &Path, config: Config, stop: watch::Receiver<bool>) -> Result<(), Error> {
    let options = Options { bytes_max: config.store.max_bytes, ..Options::default() };
    let mut store = Sqlite::open(&dir.join(DATABASE), options)?;
    let state = store.state()?;
    if state.me != config.agency.id {
        return Err(Error::OtherAgency { found: state.me, wanted: config.agency.id.clone() });
    }
    let keyring = Keyring::load(&store.secrets()?)?;
    let (health, metrics) = (Arc::new(Health::new()), Arc::new(Metrics::new()));
    if let Some(ops) = config.listen.ops {
        // The operator can look from the start on, also while the node waits for a register.
        let listener = listen("listen.ops", ops).await?;
        let routes = http::ops::router(Arc::clone(&health), Arc::clone(&metrics));
        tokio::spawn(serve_http(listener, routes, stop.clone()));
    }
    // A taken port is told of now, not when the register comes into force; partners are not served before that.
    drop(listen(PEERS, config.listen.peers).await?);
    if store.snapshot()?.is_none()
        && !crate::waiting::wait(dir, &config, &mut store, &keyring, &health, stop.clone()).await?
    {
        return Ok(());
    }
    running(dir, config, store, keyring, (health, metrics), stop).await
}

/// The setting of the address for partners.
const PEERS: &str = "listen.peers";

pub(crate) async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| Error::Listen(setting, address, error))
}

/// The register as the transport asks it: members and their identity keys.
struct Members(Arc<ArcSwapOption<Directory>>);

impl crate::net::Directory for Members {
    fn identity_key(&self, agency: &str) -> Option<[u8; 32]> {
        let directory = self.0.load();
        directory.as_ref()?.chain().member(&agency.parse().ok()?).map(|a| a.identity.0)
    }
}

async fn running(
    dir: &Path,
    config: Config,
    store: Sqlite,
    keyring: Keyring,
    (health, metrics): (Arc<Health>, Arc<Metrics>),
    stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let peers = listen(PEERS, config.listen.peers).await?;
    let (desk_door, the_desk) = (desk::listen(&config.desk).await?, desk::Desk::new(&config, store.state()?.epoch)?);
    let local = bind_local(&dir.join(SOCKET)).map_err(|e| Error::Socket(dir.to_owned(), e))?;
    let directory: Arc<ArcSwapOption<Directory>> = Arc::default();
    let certificate = |e: &dyn std::fmt::Display| Error::Certificate(e.to_string());
    let identity = tls::Identity::from_seed(config.agency.id.as_str(), keyring.identity().seed());
    let identity = identity.map_err(|e| certificate(&e))?;
    let leaf = LeafSlot::new(tls::issue_leaf(&identity, clock::now_s()).map_err(|e| certificate(&e))?);
    let members = Arc::new(Members(Arc::clone(&directory)));
    let server_tls = ServerTls::new(Arc::clone(&leaf), members.clone()).map_err(|e| certificate(&e))?;
    let client_tls = ClientTls::new(Arc::clone(&leaf), members).map_err(|e| certificate(&e))?;
    let bells = Bells::default();
    let (ledger_size, _) = watch::channel(0);
    let listener = Told {
        me: config.agency.id.clone(),
        directory: Arc::clone(&directory),
        bells: bells.clone(),
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        ledger_size: ledger_size.clone(),
    };
    let path = store.path().to_owned();
    let open_reader = Box::new(move || Reader::open_to_read(&path));
    let conduct = Conduct { on_retraction: config.retraction.on_retraction(), answering: config.desk.answering() };
    let (writer, thread) = Writer::start(store, keyring.signer(), conduct, listener)?;
    let node = Node::new(Parts {
        me: config.agency.id.clone(),
        dir: dir.to_owned(),
        config,
        writer,
        open_reader,
        directory,
        keyring,
        desk: the_desk,
        metrics,
        client: PeerClient::new(client_tls),
        leaf,
        bells,
        ledger_size,
        stop: stop.clone(),
    });
    crate::policy::enforce(&node).await?;
    if let Err(no) = keys::publish(&node, Keyring::clone(&node.keyring.load())).await? {
        return Err(Fault::Store(format!("the key set could not be made: {}", no.detail)).into());
    }
    desk::load(&node).await?;
    let told = Arc::clone(&node.metrics);
    let flood = Flood::telling(node.config.limits.flood(), move |caller| told.flood_refused(caller));
    let server = PeerServer {
        tls: server_tls,
        routes: http::peer::routes(&node, &flood),
        limits: PeerLimits::default(),
        counters: Arc::new(PeerCounters::default()),
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(serve_peers(peers, server, stop.clone()));
    tasks.spawn(serve_local(local, http::api::local_routes(&node), stop.clone()));
    if let Some((listener, acceptor)) = desk_door {
        tasks.spawn(serve_desk(listener, acceptor, http::api::desk_routes(&node), desk::know, stop.clone()));
    }
    tasks.spawn(desk::run(Arc::clone(&node)));
    tasks.spawn(delivery::run(Arc::clone(&node)));
    tasks.spawn(chunks::run(Arc::clone(&node)));
    tasks.spawn(crate::retention::keep_up(Arc::clone(&node)));
    tasks.spawn(desk::tell_uses(Arc::clone(&node)));
    tasks.spawn(crate::search::run(Arc::clone(&node)));
    if node.config.witness.enabled {
        tasks.spawn(witness::run(Arc::clone(&node)));
    }
    tasks.spawn(desk::escalations::run(Arc::clone(&node)));
    tasks.spawn(crate::matching::run(Arc::clone(&node)));
    tasks.spawn(crate::matching::run_publishing(Arc::clone(&node)));
    tasks.spawn(upkeep(Arc::clone(&node), health));
    tracing::info!(agency = %node.me, peers = %node.config.listen.peers, "serving");
    // A part that ends by itself has failed; a node without it would look alive and not be.
    let failed = tokio::select! {
        () = node.stopping() => false,
        _ = tasks.join_next() => !node.is_stopping(),
        () = node.writer.ended() => !node.is_stopping(),
    };
    if failed {
        tracing::error!("a part of the node has ended by itself; the node ends with it");
        return Err(Fault::Stopping.into());
    }
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(END_MAX, ended).await.is_err() {
        tracing::warn!("some tasks did not end in time");
        tasks.shutdown().await;
    }
    // The last handle of the writer goes with the node; then its thread finishes what was queued and closes the store.
    drop(node);
    let joined = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(END_MAX, joined).await.is_err() {
        tracing::warn!("the writer did not end in time");
    }
    Ok(())
}

/// Looks after gauges often, and after keys and mailboxes now and then.
async fn upkeep(node: Arc<Node>, health: Arc<Health>) {
    let mut round = 0_u64;
    let mut scarce = false;
    let changed = Arc::clone(&node.bells.directory);
    loop {
        gauges(&node, &health).await;
        scarce = watch_room(&node, scarce).await;
        if round.is_multiple_of(KEY_ROUNDS)
            && let Err(fault) = seldom(&node).await
        {
            tracing::warn!(%fault, "upkeep failed");
        }
        round += 1;
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_INTERVAL) => {}
            // An agency that is removed must be out of the mailboxes at once.
            () = changed.notified() => {
                if let Err(fault) = drop_removed(&node).await {
                    tracing::warn!(%fault, "mailboxes could not be cleared");
                }
            }
            () = node.stopping() => return,
        }
    }
}

/// When the disk runs out of room, the state file is kept from growing: records are refused, and what is there stays readable.
/// Gives whether room is scarce now.
async fn watch_room(node: &Arc<Node>, was_scarce: bool) -> bool {
    let Ok(disk) = rustix::fs::statvfs(&node.dir) else { return was_scarce };
    let scarce = disk.f_bavail.saturating_mul(disk.f_frsize) < node.config.store.min_free_bytes;
    if scarce == was_scarce {
        return scarce;
    }
    let cap = if scarce {
        std::fs::metadata(node.dir.join(DATABASE)).map(|file| file.len()).ok()
    } else {
        node.config.store.max_bytes
    };
    match node.writer.alone(move |core| Ok(core.store.set_bytes_max(cap)?)).await {
        Ok(()) => {
            tracing::warn!(scarce, "room on the disk");
            scarce
        }
        Err(fault) => {
            tracing::warn!(%fault, "the state file could not be capped");
            was_scarce
        }
    }
}

async fn seldom(node: &Arc<Node>) -> Result<(), Fault> {
    drop_removed(node).await?;
    let waiting = node.writer.call(|core| {
        core.store.mailbox_expire(clock::now_s())?;
        Ok(core.store.counts()?.mailbox)
    });
    node.metrics.mailbox_parcels.set(i64::try_from(waiting.await?).unwrap_or(i64::MAX));
    keys::upkeep(node).await
}

async fn drop_removed(node: &Arc<Node>) -> Result<(), Fault> {
    let directory = node.directory();
    let removed = directory.chain().current().agencies.iter().filter(|a| a.removed.is_some());
    let removed: Vec<_> = removed.map(|a| a.id.clone()).collect();
    if removed.is_empty() {
        return Ok(());
    }
    node.writer
        .call(move |core| {
            for agency in &removed {
                core.store.mailbox_drop(agency)?;
            }
            Ok(())
        })
        .await
}

async fn gauges(node: &Arc<Node>, health: &Health) {
    let channels = node.writer.call(|core| {
        let mut channels = Vec::new();
        for (to, channel) in core.exchange.channels() {
            let backlog = channel.backlog();
            let oldest =
                if backlog == 0 { None } else { core.store.outbox(to, channel.settled_through() + 1, 1, 1)?.pop() };
            let since_ms = oldest.map_or(Ok(None), |queued| core.store.held(&queued.record))?.map(|held| held.at_ms);
            channels.push((to.clone(), backlog, since_ms));
        }
        Ok(channels)
    });
    let Ok(channels) = channels.await else { return };
    health.writer_answered();
    let now_ms = clock::now_ms();
    for (to, backlog, since_ms) in channels {
        let lag_s = since_ms.map_or(0.0, |since| now_ms.saturating_sub(since) as f64 / 1000.0);
        node.metrics.set_backlog(&to, backlog, lag_s);
    }
}

/// Tells the rest of the node what the writer did.
struct Told {
    me: AgencyId,
    directory: Arc<ArcSwapOption<Directory>>,
    bells: Bells,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    ledger_size: watch::Sender<u64>,
}

impl Listener for Told {
    fn loaded(&mut self, exchange: &Exchange) {
        let directory = exchange.directory();
        self.metrics.set_partners(directory.partners(&self.me));
        self.directory.store(Some(Arc::clone(directory)));
        self.health.set_register(true);
        self.health.set_writable(true);
        self.ledger_size.send_replace(exchange.ledger().0);
        self.bells.directory.notify_waiters();
    }

    fn committed(&mut self, after: After, exchange: &Exchange, took: Duration, pieces: usize) {
        self.metrics.commit(pieces, took.as_secs_f64());
        self.health.writer_answered();
        if after.directory_changed {
            self.loaded(exchange);
        }
        if after.grew {
            let size = exchange.ledger().0;
            self.metrics.ledger_size.set(i64::try_from(size).unwrap_or(i64::MAX));
            self.ledger_size.send_replace(size);
            self.metrics.storage_full.set(0);
            self.health.set_writable(true);
        }
        if after.erased {
            self.bells.erased();
        }
        if after.settled {
            self.bells.settled.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        for to in &after.wake {
            self.bells.channel(to).notify_one();
        }
        self.bells.want(after.attachments);
    }

    fn failed(&mut self, fault: &Fault) {
        tracing::error!(%fault, "a transaction failed");
        if *fault == Fault::Full {
            self.metrics.storage_full.set(1);
        }
        self.health.set_writable(false);
    }
}
