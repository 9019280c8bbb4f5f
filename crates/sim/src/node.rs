//! A node of a run: the exchange and the store of one agency, its crashes and its starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use mufakat_exchange::{Batch, Change, Directory, Exchange, OnRetraction, Unavailable};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::MatchAnswer;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::kinds::report::Report;
use mufakat_record::kinds::request_step::RequestStep;
use mufakat_record::{AgencyId, RecordId};
use mufakat_store::{Error, Options, Queries, Sqlite, Store};
use rand_chacha::ChaCha20Rng;

use crate::Sabotage;
use crate::acts::Act;
use crate::community::{BEGIN_S, Keys};
use crate::invariant::{Invariant, Stop};
use crate::network::{Call, Event};
use crate::world::{Minted, World};

/// What an agency is in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It does what it should.
    Honest,
    /// Its keys are in the hands of a liar.
    Liar,
    /// It is honest, and not in the register yet.
    Outsider,
}

/// One agency.
pub(crate) struct Node {
    pub(crate) id: AgencyId,
    pub(crate) role: Role,
    pub(crate) keys: Keys,
    pub(crate) path: PathBuf,
    /// What is lost in a crash; nothing while the node is down.
    pub(crate) core: Option<Core>,
    /// How often it has started.
    pub(crate) life: u32,
    /// How far its clock is off, in milliseconds.
    pub(crate) clock_off_ms: i64,
    /// Nodes on different islands cannot reach each other.
    pub(crate) island: u8,
    /// Its disk is full.
    pub(crate) full: bool,
    /// It was restored from a backup.
    pub(crate) restored: bool,
    /// The highest register version that it has gone by.
    pub(crate) register_version: u64,
    pub(crate) on_retraction: OnRetraction,
    /// A backup of its state.
    pub(crate) backup: Option<PathBuf>,
}

/// A running node.
pub(crate) struct Core {
    pub(crate) exchange: Exchange,
    pub(crate) store: Sqlite,
    random: ChaCha20Rng,
    pub(crate) pending: BTreeMap<u64, Call>,
    /// How far each relay's mailbox has been taken.
    pub(crate) cursors: BTreeMap<usize, u64>,
    pub(crate) greeted: BTreeSet<usize>,
    /// When each sender wakes next.
    pub(crate) wakes: BTreeMap<usize, u64>,
    /// How far this process has told originators of uses.
    pub(crate) told: Option<u64>,
    /// The filter up to which this process has looked into each question of matching that is watched.
    pub(crate) looked: BTreeMap<RecordId, RecordId>,
}

/// At which moment a node loses power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    BeforeWork,
    BeforeCommit,
    AfterCommit,
    AfterAnswer,
}

impl World {
    /// The running node, or that it is down.
    pub(crate) fn core(&mut self, node: usize) -> Result<&mut Core, Stop> {
        self.nodes[node].core.as_mut().ok_or(Stop::Down)
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.nodes[node].core.is_some()
    }

    /// The node's own time, in milliseconds since 1970.
    pub(crate) fn clock_ms(&self, node: usize) -> u64 {
        (BEGIN_S * 1000 + self.now).saturating_add_signed(self.nodes[node].clock_off_ms)
    }

    pub(crate) fn directory(&mut self, node: usize) -> Result<Arc<Directory>, Stop> {
        Ok(Arc::clone(self.core(node)?.exchange.directory()))
    }

    /// Does one piece of work in a transaction, and gives its value once that is durable. On the way the node may crash.
    pub(crate) fn transact<T>(
        &mut self,
        node: usize,
        work: impl FnOnce(&mut Exchange, &mut Sqlite, &mut ChaCha20Rng, u64) -> Result<(Batch, T), Error>,
    ) -> Result<T, Stop> {
        let moment = self.moment(node);
        if moment == Some(Moment::BeforeWork) {
            return Err(self.crash(node));
        }
        let now_ms = self.clock_ms(node);
        let unfolded = self.unfolded();
        let core = self.core(node)?;
        let before = Arc::clone(core.exchange.directory());
        let done = core.store.begin().and_then(|()| {
            let (batch, value) = work(&mut core.exchange, &mut core.store, &mut core.random, now_ms)?;
            match unfolded {
                None => core.store.apply(&batch.changes)?,
                Some(kind) => apply_unfolded(core, kind, &batch.changes)?,
            }
            Ok((batch, value))
        });
        let (batch, value) = match done {
            Ok(done) => done,
            Err(error) => return Err(self.give_up(node, &error)),
        };
        if moment == Some(Moment::BeforeCommit) {
            return Err(self.crash(node));
        }
        if self.sabotage(Sabotage::ForgetOnCrash, 100)
            && batch.changes.iter().any(|c| matches!(c, Change::Arrived { .. }))
        {
            // The answer is given; what it speaks of is lost with the power.
            let _ = self.crash(node);
            return Ok(value);
        }
        if let Err(error) = self.core(node)?.store.commit() {
            return Err(self.give_up(node, &error));
        }
        self.committed(node, &before, &batch)?;
        match moment {
            Some(Moment::AfterCommit) => return Err(self.crash(node)),
            Some(Moment::AfterAnswer) => self.doomed = Some(node),
            _ => {}
        }
        Ok(value)
    }

    /// The kind of record of which the views do not hear this time.
    fn unfolded(&mut self) -> Option<&'static str> {
        if self.sabotage(Sabotage::UnfoldedStep, 500) {
            Some(RequestStep::KIND)
        } else if self.sabotage(Sabotage::UnfoldedReport, 500) {
            Some(Report::KIND)
        } else if self.sabotage(Sabotage::UnfoldedAnswer, 500) {
            Some(MatchAnswer::KIND)
        } else {
            None
        }
    }

    /// Does some work of the store alone in a transaction.
    pub(crate) fn store<T>(
        &mut self,
        node: usize,
        work: impl FnOnce(&mut Sqlite) -> Result<T, Error>,
    ) -> Result<T, Stop> {
        self.transact(node, |_, store, _, _| Ok((Batch::default(), work(store)?)))
    }

    /// Nothing of a transaction happened; the exchange forgets it, too.
    fn give_up(&mut self, node: usize, error: &Error) -> Stop {
        if !matches!(error, Error::Full) || !self.nodes[node].full {
            return self.failure(Invariant::WorksAlone, &[node], format!("the store failed: {error}")).into();
        }
        self.tell(|_| format!("{node}: the disk is full"));
        match self.reload(node) {
            Ok(()) => Stop::Full,
            Err(stop) => stop,
        }
    }

    fn reload(&mut self, node: usize) -> Result<(), Stop> {
        let on_retraction = self.nodes[node].on_retraction.clone();
        let core = self.core(node)?;
        let reload = |core: &mut Core| -> Result<Exchange, Error> {
            core.store.rollback()?;
            let snapshot = core.store.snapshot()?.ok_or(Error::NoTransaction)?;
            let signer = core.exchange.signer();
            Exchange::load(snapshot, &core.store, signer, on_retraction).map_err(|e| Error::Unavailable(e.to_string()))
        };
        match reload(core) {
            Ok(exchange) => {
                core.exchange = exchange;
                core.pending.clear();
                core.wakes.clear();
                self.wake_all(node);
                Ok(())
            }
            Err(error) => {
                let what = format!("a failed transaction cannot be recovered from: {error}");
                Err(self.failure(Invariant::WorksAlone, &[node], what).into())
            }
        }
    }

    /// What became durable: the run's own account of it, and what must hold of each change.
    fn committed(&mut self, node: usize, before: &Directory, batch: &Batch) -> Result<(), Stop> {
        let me = self.nodes[node].id.clone();
        let origin = self.core(node)?.exchange.ledger_origin();
        for change in &batch.changes {
            self.note_at_desk(node, change)?;
            self.note_matched(node, change)?;
            match change {
                Change::Leaf { index, leaf } => {
                    let shadow = self.shadow.entry(origin.clone()).or_default();
                    if *index != shadow.len() as u64 {
                        let what = format!("leaf {index} was written when the ledger had {} leaves", shadow.len());
                        return Err(self.failure(Invariant::HistoryHolds, &[node], what).into());
                    }
                    shadow.push(leaf.hash());
                }
                Change::Keep { record, .. } if record.header().author == me => {
                    let header = record.header();
                    let (author, audience) = (me.clone(), header.audience.clone());
                    let minted = Minted { author, audience, bytes: record.bytes().to_vec() };
                    self.minted.insert(record.id(), minted);
                }
                Change::Keep { record, .. } => self.may_keep(node, before, record)?,
                Change::Register(enacted) => {
                    let highest = self.nodes[node].register_version;
                    let version = enacted.version.version;
                    if version <= highest && !self.nodes[node].restored {
                        let what = format!("the register went from version {highest} to {version}");
                        return Err(self.failure(Invariant::RegisterHolds, &[node], what).into());
                    }
                    self.nodes[node].register_version = highest.max(version);
                    self.tell(|_| format!("{node}: register version {version}"));
                }
                _ => {}
            }
        }
        self.follow_up(node, before, batch)
    }

    /// A record came from a partner and is kept.
    fn may_keep(&mut self, node: usize, before: &Directory, record: &mufakat_record::Verified) -> Result<(), Stop> {
        let header = record.header();
        let (author, me) = (self.index(&header.author), self.nodes[node].id.clone());
        let concerned: Vec<usize> = [node].into_iter().chain(author).collect();
        if !header.reaches(&me) {
            let what = format!("record {} is kept by an agency outside its audience", record.id());
            return Err(self.failure(Invariant::AudienceOnly, &concerned, what).into());
        }
        if before.chain().member(&header.author).is_none() {
            let what = format!("record {} of an agency outside the register is taken", record.id());
            return Err(self.failure(Invariant::RegisterHolds, &concerned, what).into());
        }
        let honest = author.is_some_and(|author| self.nodes[author].role != Role::Liar);
        if honest && !self.minted.contains_key(&record.id()) {
            if header.kind == Receipt::KIND {
                let what = format!("{} gave a receipt of which it has nothing", header.author);
                return Err(self.failure(Invariant::NoSilentLoss, &concerned, what).into());
            }
            let what = format!("record {} is taken as {}'s, who never made it", record.id(), header.author);
            return Err(self.failure(Invariant::BadInputIsAnswer, &concerned, what).into());
        }
        self.stats.deliveries += 1;
        Ok(())
    }

    fn follow_up(&mut self, node: usize, before: &Directory, batch: &Batch) -> Result<(), Stop> {
        let life = self.nodes[node].life;
        for to in &batch.wake {
            if let Some(to) = self.index(to) {
                self.wake_at(node, to, self.now + 1);
            }
        }
        let proposal =
            |c: &Change| matches!(c, Change::Keep { record, .. } if record.header().kind == RegisterVersion::KIND);
        if batch.changes.iter().any(proposal) {
            let delay = self.dice.between(500, 15_000);
            self.after(delay, Event::Act(Act::Approve { node }));
        }
        if !batch.directory_changed {
            return Ok(());
        }
        let now = self.directory(node)?;
        for gone in before.chain().current().members().filter(|a| now.chain().member(&a.id).is_none()) {
            let gone = gone.id.clone();
            let core = self.core(node)?;
            if let Err(error) = core.store.mailbox_drop(&gone) {
                // On a full disk this is done again with the next start.
                self.tell(|_| format!("{node}: mailbox of {gone}: {error}"));
            }
            if self.sabotage(Sabotage::DeliverToRemoved, 1000)
                && let Some(to) = self.index(&gone)
            {
                self.send_regardless(node, to)?;
            }
        }
        let partners: Vec<usize> = now.partners(&self.nodes[node].id.clone()).filter_map(|id| self.index(id)).collect();
        for to in partners {
            if before.chain().member(&self.nodes[to].id).is_none() {
                self.after(1, Event::Greet { node, life, to });
            }
            self.wake_at(node, to, self.now + 1);
        }
        self.admit(&now)?;
        let delay = self.dice.between(500, 15_000);
        self.after(delay, Event::Act(Act::Approve { node }));
        Ok(())
    }

    /// Whether, and when, the node loses power in the work that it is about to do.
    fn moment(&mut self, node: usize) -> Option<Moment> {
        if !self.chaos
            || self.plan.crashes == 0
            || self.nodes[node].core.is_none()
            || !self.dice.chance(self.plan.crashes)
        {
            return None;
        }
        use Moment::{AfterAnswer, AfterCommit, BeforeCommit, BeforeWork};
        self.dice.pick(&[BeforeWork, BeforeCommit, AfterCommit, AfterAnswer])
    }

    /// The node loses power: all that was not committed is gone.
    pub(crate) fn crash(&mut self, node: usize) -> Stop {
        let Some(core) = self.nodes[node].core.take() else { return Stop::Down };
        self.stats.crashes += 1;
        self.tell(|_| format!("{node}: crash"));
        self.close_lists(node);
        let path = self.nodes[node].path.clone();
        if self.dice.chance(500) {
            // A connection that is closed tidies up. So that recovery is met, too, the files come back as they were before.
            let kept: Vec<_> = ["", "-wal"]
                .into_iter()
                .filter_map(|suffix| {
                    let file = PathBuf::from(format!("{}{suffix}", path.display()));
                    fs::read(&file).ok().map(|bytes| (file, bytes))
                })
                .collect();
            drop(core);
            for suffix in ["-wal", "-shm"] {
                // They are often gone with the connection.
                let _ = fs::remove_file(format!("{}{suffix}", path.display()));
            }
            for (file, bytes) in kept {
                fs::write(file, bytes).expect("room for a state file");
            }
        } else {
            drop(core);
        }
        let delay = self.dice.between(500, 45_000);
        self.after(delay, Event::Act(Act::Start { node }));
        Stop::Down
    }

    /// Starts a node on what its store has.
    pub(crate) fn start(&mut self, node: usize) -> Result<(), Stop> {
        if self.is_up(node) {
            return Ok(());
        }
        let bytes_max = self.nodes[node].full.then_some(1);
        let options = Options { bytes_max: None, ..Options::default() };
        let opened = Sqlite::open(&self.nodes[node].path, options).and_then(|mut store| {
            store.set_bytes_max(bytes_max)?;
            let snapshot = store.snapshot()?.ok_or(Error::NoTransaction)?;
            Ok((store, snapshot))
        });
        let (store, snapshot) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let what = format!("the store cannot be opened after a crash: {error}");
                return Err(self.failure(Invariant::NoSilentLoss, &[node], what).into());
            }
        };
        let size = snapshot.ledger_size;
        let signer = self.signer(node, &snapshot.directory);
        let on_retraction = self.nodes[node].on_retraction.clone();
        let exchange = match Exchange::load(snapshot, &store, signer, on_retraction) {
            Ok(exchange) => exchange,
            Err(error) => {
                let what = format!("the exchange cannot be loaded: {error}");
                return Err(self.failure(Invariant::NoSilentLoss, &[node], what).into());
            }
        };
        let told = self.shadow.get(&exchange.ledger_origin()).map_or(0, Vec::len);
        if told as u64 != size {
            let what = format!("{told} leaves were durable, and {size} are there after a crash");
            return Err(self.failure(Invariant::NoSilentLoss, &[node], what).into());
        }
        let version = exchange.directory().chain().current().version;
        if version < self.nodes[node].register_version && !self.nodes[node].restored {
            let what = format!("it comes back with register version {version}");
            return Err(self.failure(Invariant::RegisterHolds, &[node], what).into());
        }
        self.nodes[node].register_version = self.nodes[node].register_version.max(version);
        let random = self.dice.fork();
        let (pending, cursors, wakes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (greeted, looked) = (BTreeSet::new(), BTreeMap::new());
        let core = Core { exchange, store, random, pending, cursors, greeted, wakes, told: None, looked };
        self.nodes[node].core = Some(core);
        self.nodes[node].life += 1;
        self.tell(|_| format!("{node}: start with {size} leaves, register version {version}"));
        self.set_out(node);
        Ok(())
    }

    /// What a node does when it comes up: greets everyone, looks at its channels and mailboxes, and witnesses.
    fn set_out(&mut self, node: usize) {
        let life = self.nodes[node].life;
        for to in self.partners(node) {
            self.after(1, Event::Greet { node, life, to });
        }
        self.wake_all(node);
        for relay in self.relays(node) {
            self.after(5, Event::Poll { node, life, relay });
        }
        let delay = self.dice.between(1_000, self.plan.witness_interval_ms);
        self.after(delay, Event::Round { node, life });
        self.after(1_000, Event::Act(Act::Approve { node }));
        self.look_soon(node);
    }

    fn wake_all(&mut self, node: usize) {
        for to in self.partners(node) {
            self.wake_at(node, to, self.now + 1);
        }
    }

    /// The key with which a node signs: the newest that its own published key set names.
    pub(crate) fn signer(&self, node: usize, directory: &Directory) -> Arc<mufakat_record::SigningKey> {
        let keys = &self.nodes[node].keys;
        let set = directory.key_set(&self.nodes[node].id);
        let named = |key: &&Arc<mufakat_record::SigningKey>| {
            set.is_none_or(|set| set.signing.iter().any(|known| known.key == *key.public().as_bytes()))
        };
        keys.signing.iter().rev().find(named).map_or_else(|| keys.newest(), Arc::clone)
    }
}

/// Keeps partners' records of a kind apart from the leaves that tell of them, so that the views do not hear of them.
fn apply_unfolded(core: &mut Core, kind: &str, changes: &[Change]) -> Result<(), Error> {
    let me = core.exchange.me().clone();
    let apart = |change: &Change| matches!(change, Change::Keep { record, .. } if record.header().kind == kind && record.header().author != me);
    let (late, now): (Vec<Change>, Vec<Change>) = changes.iter().cloned().partition(apart);
    core.store.apply(&now)?;
    core.store.apply(&late)
}

/// What the exchange could not find out, as the store's own word.
pub(crate) fn unavailable(error: Unavailable) -> Error {
    Error::Unavailable(error.0)
}
