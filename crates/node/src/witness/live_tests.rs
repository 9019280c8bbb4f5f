//! Tests of witnessing between nodes that reach each other over TLS on loopback.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mufakat_exchange::{Answering, Directory, Exchange, OnRetraction};
use mufakat_ledger::witness::Request;
use mufakat_ledger::{Hash, SignedCheckpoint};
use mufakat_record::AgencyId;
use mufakat_record::kinds::witness_alarm::Finding;
use mufakat_store::{Queries, Reader};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::testing::{Agency, community_at};
use super::{Rounds, alarms, checkpoint_now, gossip, log_key, routes, standing};
use crate::clock;
use crate::config::{self, Config};
use crate::desk::Desk;
use crate::http::peer;
use crate::metrics::Metrics;
use crate::net::listen::{PeerCounters, PeerLimits};
use crate::net::{ClientTls, Flood, LeafSlot, PeerClient, PeerServer, ServerTls, serve_peers, tls};
use crate::node::{Bells, Node, Parts};
use crate::writer::{After, Conduct, Fault, Listener, Writer};

/// A node that serves its partners and does nothing of itself.
pub(crate) struct Live {
    /// The node.
    pub(crate) node: Arc<Node>,
    _stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

/// Keeps what the node looks up in step with the writer.
struct Follow {
    directory: Arc<ArcSwapOption<Directory>>,
    ledger_size: watch::Sender<u64>,
}

impl Listener for Follow {
    fn loaded(&mut self, exchange: &Exchange) {
        self.directory.store(Some(Arc::clone(exchange.directory())));
        self.ledger_size.send_replace(exchange.ledger().0);
    }

    fn committed(&mut self, _: After, exchange: &Exchange, _: Duration, _: usize) {
        self.loaded(exchange);
    }

    fn failed(&mut self, fault: &Fault) {
        panic!("{fault}");
    }
}

struct Members(Arc<ArcSwapOption<Directory>>);

impl crate::net::Directory for Members {
    fn identity_key(&self, agency: &str) -> Option<[u8; 32]> {
        let directory = self.0.load();
        directory.as_ref()?.chain().member(&agency.parse().ok()?).map(|agency| agency.identity.0)
    }
}

impl Live {
    fn start(agency: Agency, listener: TcpListener) -> Self {
        let Agency { id, keyring, store, dir, .. } = agency;
        let directory: Arc<ArcSwapOption<Directory>> = Arc::default();
        let identity = tls::Identity::from_seed(id.as_str(), keyring.identity().seed()).unwrap();
        let leaf = LeafSlot::new(tls::issue_leaf(&identity, clock::now_s()).unwrap());
        let members = Arc::new(Members(Arc::clone(&directory)));
        let server_tls = ServerTls::new(Arc::clone(&leaf), members.clone()).unwrap();
        let client = PeerClient::new(ClientTls::new(Arc::clone(&leaf), members).unwrap());
        let (ledger_size, _) = watch::channel(0);
        let (stop_sender, stop) = watch::channel(false);
        let path = store.path().to_owned();
        let follow = Follow { directory: Arc::clone(&directory), ledger_size: ledger_size.clone() };
        let conduct = Conduct { on_retraction: OnRetraction::Mark, answering: Answering::default() };
        let (writer, _) = Writer::start(store, keyring.signer(), conduct, follow).unwrap();
        let config = Config::new(config::Agency {
            id: id.clone(),
            party: id.clone(),
            name: "EXERCISE".into(),
            party_name: None,
            endpoint: listener.local_addr().unwrap().to_string(),
            relay: false,
        });
        let node = Node::new(Parts {
            desk: Desk::new(&config, 1).unwrap(),
            config,
            me: id,
            dir: dir.path().to_owned(),
            writer,
            open_reader: Box::new(move || Reader::open_to_read(&path)),
            directory,
            keyring,
            metrics: Arc::new(Metrics::new()),
            client,
            leaf,
            bells: Bells::default(),
            ledger_size,
            stop: stop.clone(),
        });
        let flood = Flood::new(node.config.limits.flood());
        let server = PeerServer {
            tls: server_tls,
            routes: peer::routes(&node, &flood),
            limits: PeerLimits::default(),
            counters: Arc::new(PeerCounters::default()),
        };
        tokio::spawn(serve_peers(listener, server, stop));
        Self { node, _stop: stop_sender, _dir: dir }
    }

    /// One round, as at the end of an interval.
    async fn round(&self) {
        let mut rounds = Rounds { since_ms: clock::now_ms(), quiet: 0, made_ms: None, witnessed_ms: None };
        rounds.round(&self.node).await;
    }

    async fn grow(&self, leaves: u64) {
        for number in 0..leaves {
            let grown = self.node.writer.call(move |core| {
                let about = mufakat_record::RecordId([9; 32]);
                let salt = [number as u8; 16];
                let batch = core.exchange.note(mufakat_exchange::Leaf::about(
                    mufakat_exchange::What::Use,
                    &about,
                    1,
                    b"read",
                    salt,
                ));
                core.apply(batch)
            });
            grown.await.unwrap();
        }
    }

    /// Makes this witness see a checkpoint that the ledger's node showed to nobody else.
    async fn shown(&self, of: &AgencyId, checkpoint: SignedCheckpoint) {
        let (of, log) = (of.clone(), log_key(&self.node.directory(), of).unwrap());
        let signer = self.node.keyring.load().witness_signer(&self.node.me).unwrap();
        let seen = self.node.writer.call(move |core| {
            let request = Request::new(0, Vec::new(), &checkpoint);
            routes::judge(&mut core.store, &of, request, Some(&log), &signer, clock::now_s())
        });
        seen.await.unwrap().unwrap();
    }

    async fn findings(&self) -> Vec<Finding> {
        alarms(&self.node).await.unwrap().into_iter().map(|on_file| on_file.alarm.finding).collect()
    }

    /// The size that this witness has seen of a ledger's first epoch.
    async fn seen(&self, of: &AgencyId) -> Option<u64> {
        let origin = mufakat_exchange::ledger_origin(of, 1);
        self.node.read(move |reader| reader.seen(&origin)).await.unwrap().map(|seen| seen.size)
    }
}

/// Three nodes; and checkpoints of the first one's ledger with another root, of 7 and of 700 leaves.
pub(crate) async fn three() -> ([Live; 3], [SignedCheckpoint; 2]) {
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let at = |index: usize| listeners[index].local_addr().unwrap().to_string();
    let members = [("id-coastguard", at(0)), ("ru-police", at(1)), ("sg-fusion", at(2))];
    let agencies = community_at(clock::now_s(), members);
    let forks = [7, 700].map(|size| agencies[0].checkpoint_of(1, size, Hash::from([8; 32])));
    let mut listeners = listeners.into_iter();
    (agencies.map(|agency| Live::start(agency, listeners.next().unwrap())), forks)
}

/// Waits for what other tasks bring about.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come about: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_brings_cosignatures_and_nobody_is_suspected() {
    let ([id, ru, sg], _) = three().await;
    id.grow(5).await;
    id.round().await;
    let standing = || async { standing(&id.node).await.unwrap().unwrap() };
    assert_eq!(
        (standing().await.size, standing().await.cosigned_by),
        (5, vec![ru.node.me.clone(), sg.node.me.clone()])
    );
    // One witness goes on alone, after which the two know different sizes of one history.
    id.grow(300).await;
    let note = checkpoint_now(&id.node, 305).await.unwrap();
    assert!(note.starts_with("mufakat/id-coastguard/1\n305\n"));
    assert_eq!(checkpoint_now(&id.node, 300).await.unwrap(), note, "it covers fewer leaves as well");
    let (ru_seen, sg_seen) = (ru.seen(&id.node.me).await, sg.seen(&id.node.me).await);
    assert_eq!((ru_seen, sg_seen), (Some(305), Some(305)));
    gossip::tell(&ru.node).await;
    gossip::tell(&sg.node).await;
    // A witness that has lost count of our answers is asked again with the size that it names.
    let note = note.into_bytes();
    let forgotten = move |core: &mut crate::writer::Core| {
        let plain = String::from_utf8(note).unwrap();
        let (text, lines) = plain.split_once("\n\n").unwrap();
        let own = lines.lines().next().unwrap();
        Ok(mufakat_store::Store::set_own_checkpoint(&mut core.store, &format!("{text}\n\n{own}\n"))?)
    };
    id.node.writer.call(forgotten).await.unwrap();
    assert!(standing().await.cosigned_by.is_empty());
    id.grow(1).await;
    id.round().await;
    assert_eq!(standing().await.size, 306);
    assert_eq!(standing().await.cosigned_by.len(), 2);
    for live in [&id, &ru, &sg] {
        assert_eq!(live.findings().await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_view_is_found_when_both_witnesses_have_spoken() {
    let ([id, ru, sg], [fork, _]) = three().await;
    sg.shown(&id.node.me, fork).await;
    id.grow(7).await;
    id.round().await;
    assert_eq!(standing(&id.node).await.unwrap().unwrap().cosigned_by, std::slice::from_ref(&ru.node.me));
    // The deceived witness was asked to cosign what contradicts what it has seen.
    assert_eq!(sg.findings().await, [Finding::SplitView]);
    assert_eq!(ru.findings().await, []);
    gossip::tell(&sg.node).await;
    assert_eq!(ru.findings().await, [Finding::SplitView]);
    gossip::tell(&sg.node).await;
    id.round().await;
    assert_eq!((ru.findings().await.len(), sg.findings().await.len()), (1, 1), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn different_sizes_need_a_proof_from_the_ledgers_node() {
    let ([id, ru, sg], [_, fork]) = three().await;
    id.grow(7).await;
    // The witnesses see two sizes of one history: its node can prove it.
    let made = super::log::make(&id.node).await.unwrap();
    ru.shown(&id.node.me, made.signed).await;
    id.grow(3).await;
    let made = super::log::make(&id.node).await.unwrap();
    let honest = made.signed.encode();
    let desk = gossip::Desk::default();
    let told = vec![honest];
    gossip::hear(&ru.node, &desk, &sg.node.me, told).await.unwrap();
    until("the case is closed", || async { desk.is_empty() }).await;
    assert_eq!(ru.findings().await, []);
    // Of another history it cannot.
    gossip::hear(&ru.node, &desk, &sg.node.me, vec![fork.encode()]).await.unwrap();
    until("the case is closed", || async { desk.is_empty() }).await;
    until("the alarm", || async { ru.findings().await == [Finding::NoConsistencyProof] }).await;
}
