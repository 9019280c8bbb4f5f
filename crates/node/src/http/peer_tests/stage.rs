//! What the tests play with: whole nodes, and members of the register who hold their own keys and say what the test wants.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{Method, StatusCode};
use mufakat_exchange::Chain;
use mufakat_record::kinds::Body as _;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{self, Party, RegisterVersion, Rules};
use mufakat_record::parcel::{self, Outer};
use mufakat_record::{
    AgencyId, Digest, Draft, Handling, Header, KeyId, RecordId, SealingPublic, SigningKey, ThreadId, Unverified,
    Verified, cbor,
};
use mufakat_store::{Options, Queries as _, Sqlite, Store as _};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{self, Config};
use crate::keyring::{Keyring, Schedule};
use crate::net::peer_client::{CallLimits, Response};
use crate::net::{ClientTls, LeafSlot, Peer, PeerClient, free_address, local_client, tls};
use crate::wire::{Problem, Sync, chain_parts};
use crate::writer::entropy;
use crate::{DATABASE, Error, SOCKET, clock, init, run};

/// How long anything may take that ought to happen within a moment.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer at the local socket that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The node that is attacked.
pub(super) const VICTIM: &str = "id-coastguard";
/// The member that attacks it.
pub(super) const ATTACKER: &str = "ru-police";
/// The member that has nothing to do with it.
pub(super) const OTHER: &str = "sg-fusion";

/// Three agencies in one register, none of them running yet.
pub(super) struct Stage {
    root: tempfile::TempDir,
    configs: [Config; 3],
    keyrings: [Keyring; 3],
    /// The register.
    pub(super) chain: Chain,
}

impl Stage {
    /// Makes the folders and founds the register, in which only the victim may relay.
    pub(super) fn set(relay: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let configs = [VICTIM, ATTACKER, OTHER].map(|id| {
            let (peers, ops) = (free_address().unwrap(), free_address().unwrap());
            let mut config = Config::new(config::Agency {
                id: id.parse().unwrap(),
                party: party(&id.parse().unwrap()),
                name: format!("EXERCISE {id}"),
                party_name: None,
                endpoint: peers.to_string(),
                relay: relay && id == VICTIM,
            });
            (config.listen.peers, config.listen.ops) = (peers, Some(ops));
            config.witness.enabled = false;
            config
        });
        let keyrings = configs.each_ref().map(|config| {
            if config.agency.id.as_str() == ATTACKER {
                // It has no node; and its clock may be wrong, but not so far that its keys are younger than its records.
                let schedule = Schedule::new(&config.keys, 86_400);
                return Keyring::generate(clock::now_s() - 2 * 86_400, &schedule, &mut entropy);
            }
            let dir = root.path().join(config.agency.id.as_str());
            init(&dir, config).unwrap();
            Keyring::load(&Sqlite::open(&dir.join(DATABASE), Options::default()).unwrap().secrets().unwrap()).unwrap()
        });
        let chain = found(&configs, &keyrings);
        for id in [VICTIM, OTHER] {
            let file = root.path().join(id).join(DATABASE);
            let mut store = Sqlite::open(&file, Options::default()).unwrap();
            store.adopt_register(chain.versions()).unwrap();
        }
        Self { root, configs, keyrings, chain }
    }

    pub(super) fn dir(&self, id: &str) -> PathBuf {
        self.root.path().join(id)
    }

    pub(super) fn config(&mut self, id: &str) -> &mut Config {
        self.configs.iter_mut().find(|config| config.agency.id.as_str() == id).unwrap()
    }

    fn keyring(&self, id: &str) -> Keyring {
        let at = self.configs.iter().position(|config| config.agency.id.as_str() == id).unwrap();
        self.keyrings[at].clone()
    }

    /// The register with one version more, in which an agency is removed. The other member's party approves it.
    pub(super) fn without(&self, id: &str) -> Chain {
        let mut version = self.chain.current().clone();
        (version.version, version.previous) = (version.version + 1, Some(self.chain.hash()));
        version.issued_at = clock::now_s();
        for agency in version.agencies.iter_mut().filter(|agency| agency.id.as_str() == id) {
            agency.removed = Some(clock::now_s());
        }
        // It was its party's only agency, so that nobody speaks for the party any more.
        version.parties.retain(|party| party.speaker.as_str() != id);
        let approval = approval(&OTHER.parse().unwrap(), &self.keyring(OTHER), &version, self.chain.hash());
        let mut chain = self.chain.clone();
        chain.extend(version, vec![approval]).unwrap();
        chain
    }

    /// Starts a node, as `mufakat serve` does, and waits until it answers.
    pub(super) async fn serve(&self, id: &str) -> Served {
        let config = self.configs.iter().find(|config| config.agency.id.as_str() == id).unwrap().clone();
        let (dir, ops) = (self.dir(id), config.listen.ops.unwrap());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn({
            let dir = dir.clone();
            async move { run(&dir, config, stopped).await }
        });
        let served = Served { dir, ops: ops.to_string(), stop, task };
        served.until("/api/v1/status", |status| status["phase"] == "running").await;
        served
    }

    /// A member that has its keys and its own mind. Its node does not run.
    pub(super) fn member(&self, id: &str) -> Member {
        let keyring = self.keyring(id);
        let victim = self.configs.iter().find(|config| config.agency.id.as_str() == VICTIM).unwrap();
        let identity = tls::Identity::from_seed(id, keyring.identity().seed()).unwrap();
        let leaf = LeafSlot::new(tls::issue_leaf(&identity, clock::now_s()).unwrap());
        let client = PeerClient::new(ClientTls::new(leaf, Arc::new(Members(self.chain.clone()))).unwrap());
        let peer = Peer { agency: VICTIM.into(), host_port: victim.agency.endpoint.clone() };
        Member { id: id.parse().unwrap(), keyring, client, peer, chain: self.chain.clone() }
    }

    /// Somebody whose certificate holds and who is not in the register, under this name.
    pub(super) fn stranger(&self, id: &str) -> Member {
        let schedule = Schedule::new(&config::Keys::default(), 86_400);
        let keyring = Keyring::generate(clock::now_s(), &schedule, &mut entropy);
        let identity = tls::Identity::from_seed(id, keyring.identity().seed()).unwrap();
        let leaf = LeafSlot::new(tls::issue_leaf(&identity, clock::now_s()).unwrap());
        let client = PeerClient::new(ClientTls::new(leaf, Arc::new(Members(self.chain.clone()))).unwrap());
        Member { id: id.parse().unwrap(), keyring, client, ..self.member(OTHER) }
    }
}

/// An agency's approval of a version; `under` is the version before it, or itself if it is the first.
fn approval(me: &AgencyId, keyring: &Keyring, version: &RegisterVersion, under: Digest) -> Vec<u8> {
    let approval = RegisterApproval { version: version.version, hash: version.hash() };
    let header = header(me, RegisterApproval::KIND, vec![me.clone()], under, clock::now_s());
    signed(header, approval.to_body(), &keyring.identity()).into_bytes()
}

fn found(configs: &[Config], keyrings: &[Keyring]) -> Chain {
    let now_s = clock::now_s();
    let agency = |(config, keyring): (&Config, &Keyring)| register_version::Agency {
        id: config.agency.id.clone(),
        party: config.agency.party.clone(),
        name: config.agency.name.clone(),
        identity: Digest(*keyring.identity().public().as_bytes()),
        endpoint: config.agency.endpoint.clone(),
        relay: config.agency.relay,
        removed: None,
    };
    let speaker = |config: &Config| Party {
        id: config.agency.party.clone(),
        name: "EXERCISE".into(),
        speaker: config.agency.id.clone(),
    };
    let version = RegisterVersion {
        community: "EXERCISE".into(),
        version: 1,
        previous: None,
        issued_at: now_s - 60,
        expires: now_s + 86_400,
        threshold: 1,
        parties: configs.iter().map(speaker).collect(),
        agencies: configs.iter().zip(keyrings).map(agency).collect(),
        forums: Vec::new(),
        rules: Rules { witness_quorum: 1, witness_interval_s: 60, relay_max_s: 86_400 },
    };
    let (hash, both) = (version.hash(), configs.iter().zip(keyrings));
    let approvals = both.map(|(config, keyring)| approval(&config.agency.id, keyring, &version, hash)).collect();
    Chain::found(version, approvals).unwrap()
}

fn party(id: &AgencyId) -> AgencyId {
    format!("p-{id}").parse().unwrap()
}

pub(super) struct Members(pub(super) Chain);

impl crate::net::Directory for Members {
    fn identity_key(&self, agency: &str) -> Option<[u8; 32]> {
        self.0.member(&agency.parse().ok()?).map(|agency| agency.identity.0)
    }
}

fn header(author: &AgencyId, kind: &str, mut audience: Vec<AgencyId>, register: Digest, issued_at: u64) -> Header {
    audience.sort();
    Header {
        key: KeyId([0; 16]),
        author: author.clone(),
        issued_at,
        thread: ThreadId([7; 16]),
        kind: kind.into(),
        audience,
        register,
        handling: Handling::community(),
        references: Vec::new(),
        expires: None,
    }
}

fn signed(header: Header, body: Vec<u8>, key: &SigningKey) -> Verified {
    Draft { header, body }.sign(key).unwrap()
}

/// A node that runs as it would in a process of its own.
pub(super) struct Served {
    pub(super) dir: PathBuf,
    ops: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), Error>>,
}

impl Served {
    /// Asks at the agency's own socket.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, Value) {
        let answer = local_client::request(&self.dir.join(SOCKET), method, path, Some(kind), body.into()).await;
        let Ok(answer) = answer else { return (StatusCode::BAD_GATEWAY, Value::Null) };
        let status = answer.status;
        let body = answer.bytes(ANSWER_BYTES_MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, "application/json", Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, "application/json", body.to_string()).await
    }

    pub(super) async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let began = std::time::Instant::now();
        loop {
            let (_, answer) = self.get(path).await;
            if holds(&answer) {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE && !self.task.is_finished(), "{path} stays {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A figure of `/metrics`; 0 if there is none.
    pub(super) async fn metric(&self, series: &str) -> f64 {
        let mut tcp = TcpStream::connect(&self.ops).await.unwrap();
        tcp.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("mufakat_ledger_size "), "{text}");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    pub(super) async fn rejected(&self, reason: &str) -> f64 {
        self.metric(&format!("mufakat_rejected_total{{reason=\"{reason}\"}}")).await
    }

    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// Somebody who calls the victim with a certificate of their own.
pub(super) struct Member {
    pub(super) id: AgencyId,
    pub(super) keyring: Keyring,
    pub(super) client: PeerClient,
    pub(super) peer: Peer,
    pub(super) chain: Chain,
}

impl Member {
    pub(super) async fn call(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Response {
        let path = format!("/peer/v1/{path}");
        self.client.request(&self.peer, method, &path, body.into(), &CallLimits::default()).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Response {
        self.call(Method::POST, path, body).await
    }

    fn key_set(&self) -> Vec<u8> {
        let origin = mufakat_exchange::ledger_origin(&self.id, 1);
        let body = self.keyring.key_set(None, &origin).unwrap();
        let header = header(&self.id, KeySet::KIND, vec![self.id.clone()], self.chain.hash(), clock::now_s());
        signed(header, body.to_body(), &self.keyring.identity()).into_bytes()
    }

    /// Tells the victim the keys of this member, and gives the key to which parcels for the victim are sealed.
    pub(super) async fn greet(&self) -> SealingPublic {
        self.greet_later(1).await
    }

    /// The same under a register version that came meanwhile.
    pub(super) async fn greet_later(&self, register_version: u64) -> SealingPublic {
        let (epoch, expected) = (1, 1);
        let key_set = self.key_set().into();
        let ours = Sync { epoch, channel_epoch: epoch, expected, register_version, key_set };
        let answer = self.post("sync", cbor::encode(&ours)).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", problem(&answer));
        let theirs: Sync = cbor::decode(&answer.body).unwrap();
        let record = Unverified::parse(theirs.key_set.to_vec()).unwrap();
        let identity = self.chain.identity(&VICTIM.parse().unwrap()).unwrap();
        let record = record.verify_with(&identity).unwrap();
        let set = KeySet::from_body(record.header(), record.body()).unwrap();
        SealingPublic::from_bytes(&set.sealing.last().unwrap().key).unwrap()
    }

    /// A record of this member, of a kind that nobody knows.
    pub(super) fn record(&self, to: &str, number: u32) -> Vec<u8> {
        self.record_with(to, number, |_| {})
    }

    /// The same with a header that the test changes before it is signed.
    pub(super) fn record_with(&self, to: &str, number: u32, change: impl FnOnce(&mut Header)) -> Vec<u8> {
        let audience = vec![to.parse().unwrap()];
        let mut header = header(&self.id, "exercise", audience, self.chain.hash(), clock::now_s());
        change(&mut header);
        signed(header, cbor::encode(&number), &self.keyring.signer()).into_bytes()
    }

    pub(super) fn outer(&self, recipient: &str, first: u64) -> Outer {
        Outer {
            suite: 0,
            sender: self.id.clone(),
            recipient: recipient.parse().unwrap(),
            epoch: 1,
            first,
            count: 0,
            sealing_key: KeyId([0; 16]),
            signing_key: KeyId([0; 16]),
            register_version: 1,
            expires: clock::now_s() + 3600,
        }
    }

    pub(super) fn seal(&self, outer: Outer, records: &[Vec<u8>], to: &SealingPublic) -> Vec<u8> {
        let records: Vec<_> = records.iter().map(|record| (RecordId::of(record), record.as_slice())).collect();
        parcel::seal(outer, &records, to, &self.keyring.signer(), entropy()).unwrap().to_bytes()
    }

    /// A sound parcel with one record for the victim.
    pub(super) fn parcel(&self, first: u64, number: u32, to: &SealingPublic) -> Vec<u8> {
        self.seal(self.outer(VICTIM, first), &[self.record(VICTIM, number)], to)
    }

    pub(super) async fn show(&self, chain: &Chain) -> Response {
        self.post("register", cbor::encode(&chain_parts(chain))).await
    }
}

/// What stands between a member and the victim, and counts connections.
pub(super) struct Tap(Arc<AtomicUsize>);

impl Tap {
    /// Puts the tap into the way of a member.
    pub(super) async fn before(member: &mut Member) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let behind = std::mem::replace(&mut member.peer.host_port, address);
        let count = Arc::<AtomicUsize>::default();
        tokio::spawn({
            let count = Arc::clone(&count);
            async move {
                while let Ok((mut near, _)) = listener.accept().await {
                    count.fetch_add(1, Ordering::Relaxed);
                    let mut far = TcpStream::connect(&behind).await.unwrap();
                    // However it ends, it has ended for both sides.
                    tokio::spawn(async move { drop(tokio::io::copy_bidirectional(&mut near, &mut far).await) });
                }
            }
        });
        Self(count)
    }

    pub(super) fn connections(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Status, named reason and expected position of a refusal.
pub(super) fn problem(answer: &Response) -> (u16, String, Option<u64>) {
    match cbor::decode::<Problem>(&answer.body) {
        Ok(problem) => {
            assert_eq!(answer.headers[http::header::CONTENT_TYPE], "application/cbor");
            (answer.status.as_u16(), problem.reason, problem.expected)
        }
        Err(_) => (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned(), None),
    }
}
