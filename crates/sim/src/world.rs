//! The world of a run: its nodes, its time, what is due when, and the run's own account of what was done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use mufakat_exchange::{Change, Exchange, OnRetraction};
use mufakat_ledger::Hash;
use mufakat_ledger::witness::SplitView;
use mufakat_record::{AgencyId, RecordId};
use mufakat_store::{Queries, Sqlite, Store};

use crate::acts::{Act, Order};
use crate::community::{Keys, found};
use crate::desk::Desks;
use crate::dice::Dice;
use crate::invariant::{Failure, Invariant, Stop};
use crate::liar::Liar;
use crate::matching::Matching;
use crate::network::Event;
use crate::node::{Core, Node, Role};
use crate::{Options, Sabotage, Stats};

/// How many of the last events a failure tells.
const TRAIL_MAX: usize = 30;
/// How long everything may take to settle once the network is whole, in milliseconds.
const SETTLE_MS_MAX: u64 = 2 * 3_600_000;
/// How long what is under way takes to arrive at most, once the network is whole.
const ARRIVE_MS: u64 = 20_000;
/// How often it is looked whether everything has settled.
const LOOK_MS: u64 = 15_000;
/// Something that never ends has more events than this.
const STEPS_MAX: u64 = 400_000;

/// What kind of run this is, drawn from the seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How long faults last, in milliseconds.
    pub(crate) chaos_ms: u64,
    /// Of a thousand messages, how many are lost.
    pub(crate) loss: u64,
    /// Of a thousand messages, how many come twice.
    pub(crate) duplication: u64,
    /// Messages take long.
    pub(crate) slow: bool,
    /// Of a thousand pieces of work, in how many the node crashes.
    pub(crate) crashes: u64,
    pub(crate) witness_interval_ms: u64,
    pub(crate) witness_quorum: u64,
    /// The agency that relays.
    pub(crate) relay: Option<usize>,
    /// It lies about what it relays.
    pub(crate) relay_lies: bool,
    /// The agencies that speak for the parties.
    pub(crate) speakers: Vec<usize>,
    /// All state files are searched at the end.
    pub(crate) search_files: bool,
}

/// A record that an honest node made.
pub(crate) struct Minted {
    pub(crate) author: AgencyId,
    pub(crate) audience: Vec<AgencyId>,
    pub(crate) bytes: Vec<u8>,
}

/// The world of a run.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) dice: Dice,
    pub(crate) plan: Plan,
    pub(crate) folder: PathBuf,
    /// Milliseconds since the beginning, by no clock that a node can see.
    pub(crate) now: u64,
    pub(crate) step: u64,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(crate) calls: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) chaos: bool,
    /// Pairs that cannot reach each other directly, ever.
    pub(crate) without_way: BTreeSet<(usize, usize)>,
    /// This node loses power when the event at hand is done.
    pub(crate) doomed: Option<usize>,
    pub(crate) orders: Vec<Order>,
    pub(crate) minted: BTreeMap<RecordId, Minted>,
    /// For each marker, the nodes that may see it.
    pub(crate) markers: Vec<BTreeSet<usize>>,
    /// The parcels that honest nodes sealed, by their hash.
    pub(crate) genuine: BTreeSet<[u8; 32]>,
    /// All leaves that ever became durable, by ledger.
    pub(crate) shadow: BTreeMap<String, Vec<Hash>>,
    /// The latest checkpoint that each ledger's node signed.
    pub(crate) signed: BTreeMap<String, (u64, Hash)>,
    /// What each honest witness cosigned, in order: witness and ledger, size, root.
    pub(crate) cosigned: BTreeMap<(usize, String), Vec<(u64, Hash)>>,
    pub(crate) splits: Vec<(usize, SplitView)>,
    pub(crate) liar: Option<Liar>,
    /// What a lying relay remembers.
    pub(crate) relayed: Vec<Vec<u8>>,
    /// The agencies of which the register's removal is under way or done.
    pub(crate) removing: BTreeSet<usize>,
    /// The latest register version that was proposed, and the order that did.
    pub(crate) proposing: Option<(u64, usize)>,
    pub(crate) desks: Desks,
    pub(crate) matching: Matching,
    pub(crate) stats: Stats,
    trail: VecDeque<String>,
}

impl World {
    pub(crate) fn new(seed: u64, mut options: Options, folder: &Path) -> Self {
        options.without_matching |= options.without_desks;
        let mut dice = Dice::new(seed);
        let count = match dice.below(40) {
            0..27 => dice.between(5, 7),
            27..37 => dice.between(8, 12),
            37..39 => dice.between(13, 20),
            _ => dice.between(21, 30),
        } as usize;
        let liar = dice.chance(600).then(|| dice.below(count as u64) as usize);
        let mut honest: Vec<usize> = (0..count).filter(|node| Some(*node) != liar).collect();
        let outsider = if count > 5 && dice.chance(400) { dice.pick(&honest) } else { None };
        honest.retain(|node| Some(*node) != outsider);
        let most = honest.len().min(5);
        let mut speakers = dice.some(&honest, most);
        if speakers.len() < 2 {
            speakers = honest[..2].to_vec();
        }
        let relay = if dice.chance(700) { dice.pick(&honest) } else { None };
        let plan = Plan {
            chaos_ms: dice.between(4, 9) * 60_000,
            loss: dice.pick(&[0, 20, 100, 300]).unwrap_or_default(),
            duplication: dice.pick(&[0, 30, 150]).unwrap_or_default(),
            slow: dice.chance(500),
            crashes: dice.pick(&[0, 3, 10, 30]).unwrap_or_default(),
            witness_interval_ms: 120_000,
            // More than half of the honest ones and the liar together: two histories cannot both have it.
            witness_quorum: ((honest.len() + usize::from(outsider.is_some())) / 2 + 2).min(count - 1) as u64,
            relay,
            relay_lies: relay.is_some() && dice.chance(450),
            speakers: speakers.clone(),
            search_files: dice.chance(250),
        };
        let ids: Vec<AgencyId> = (0..count).map(|n| format!("agency-{n:02}").parse().expect("a sound name")).collect();
        let nodes = ids.iter().enumerate().map(|(n, id)| Node {
            id: id.clone(),
            role: match n {
                n if Some(n) == liar => Role::Liar,
                n if Some(n) == outsider => Role::Outsider,
                _ => Role::Honest,
            },
            keys: Keys::new(id),
            path: folder.join(format!("{id}.db")),
            core: None,
            life: 0,
            clock_off_ms: 0,
            island: 0,
            full: false,
            restored: false,
            register_version: 0,
            on_retraction: OnRetraction::Delete,
            backup: None,
        });
        let mut world = Self {
            seed,
            options,
            plan,
            folder: folder.to_owned(),
            now: 0,
            step: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            calls: 0,
            nodes: nodes.collect(),
            chaos: true,
            without_way: BTreeSet::new(),
            doomed: None,
            orders: Vec::new(),
            minted: BTreeMap::new(),
            markers: Vec::new(),
            genuine: BTreeSet::new(),
            shadow: BTreeMap::new(),
            signed: BTreeMap::new(),
            cosigned: BTreeMap::new(),
            splits: Vec::new(),
            liar: liar.map(|node| Liar::new(node, &ids[node])),
            relayed: Vec::new(),
            removing: BTreeSet::new(),
            proposing: None,
            desks: Desks::default(),
            matching: Matching::default(),
            stats: Stats { nodes: count as u64, ..Stats::default() },
            trail: VecDeque::new(),
            dice,
        };
        world.draw_habits();
        world
    }

    fn draw_habits(&mut self) {
        for node in 0..self.nodes.len() {
            if self.dice.chance(400) {
                let off = self.dice.between(0, 6 * 86_400_000);
                self.nodes[node].clock_off_ms = off as i64 - 3 * 86_400_000;
            }
            self.nodes[node].on_retraction = match self.dice.below(4) {
                0 => OnRetraction::Mark,
                1 => OnRetraction::Keep("EXERCISE law".to_owned()),
                _ => OnRetraction::Delete,
            };
        }
    }

    /// Founds the community and starts its nodes.
    fn found(&mut self) -> Result<(), Stop> {
        let relay = self.plan.relay;
        let members: Vec<usize> = (0..self.nodes.len()).filter(|n| self.nodes[*n].role != Role::Outsider).collect();
        let agencies: Vec<_> = members.iter().map(|n| (&self.nodes[*n].keys, Some(*n) == relay)).collect();
        let speakers: Vec<_> = self.plan.speakers.iter().map(|n| self.nodes[*n].id.clone()).collect();
        let chain = found(&agencies, &speakers, self.plan.witness_quorum);
        let ids: Vec<_> = members.iter().map(|n| self.nodes[*n].id.clone()).collect();
        let mut key_sets = Vec::new();
        for member in &members {
            let node = &mut self.nodes[*member];
            let audience: Vec<_> = ids.iter().filter(|id| **id != node.id).cloned().collect();
            let record = node.keys.key_set(1, chain.hash(), audience).into_bytes();
            key_sets.push(Change::KeySet { agency: node.id.clone(), record });
        }
        for member in members {
            if self.nodes[member].role != Role::Honest {
                continue;
            }
            let node = &self.nodes[member];
            let made = Sqlite::create(&node.path, &node.id, mufakat_store::Options::default()).and_then(|mut store| {
                store.begin()?;
                store.adopt_register(chain.versions())?;
                store.apply(&key_sets)?;
                store.commit()
            });
            made.map_err(|e| self.failure(Invariant::WorksAlone, &[member], format!("no state file: {e}")))?;
            self.start(member)?;
        }
        if let Some(liar) = &mut self.liar {
            liar.learn(chain);
        }
        Ok(())
    }

    pub(crate) fn run(&mut self) -> Result<(), Box<Failure>> {
        let ended = self.found().and_then(|()| {
            self.plan_acts();
            self.run_until(self.plan.chaos_ms)?;
            self.heal()?;
            self.settle()?;
            self.check_end()
        });
        match ended {
            Ok(()) => {
                self.stats.steps = self.step;
                Ok(())
            }
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::Down | Stop::Full) => {
                Err(self.failure(Invariant::WorksAlone, &[], "a node is down or full that should not be".to_owned()))
            }
        }
    }

    /// Lets everything happen that is due before `end`.
    pub(crate) fn run_until(&mut self, end: u64) -> Result<(), Stop> {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 >= end {
                break;
            }
            self.now = entry.key().0;
            let event = entry.remove();
            self.step += 1;
            if self.step > STEPS_MAX {
                return Err(self.failure(Invariant::NoSilentLoss, &[], "it never ends".to_owned()).into());
            }
            match self.happen(event) {
                Ok(()) | Err(Stop::Down | Stop::Full) => {}
                Err(failed) => return Err(failed),
            }
            if let Some(doomed) = self.doomed.take() {
                let _ = self.crash(doomed);
            }
        }
        self.now = end;
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Stop> {
        let end = self.now + SETTLE_MS_MAX;
        let mut deleted = false;
        loop {
            self.run_until(self.now + LOOK_MS)?;
            let left = self.unsettled().map_or_else(|| self.unmatched(), |left| Ok(Some(left)))?;
            let Some((invariant, nodes, what)) = left else {
                if deleted {
                    break;
                }
                // Every channel has come through; what waited for that goes now, and is told of.
                deleted = true;
                for node in self.honest() {
                    self.delete_waiting(node)?;
                    self.tell_of_uses(node, u64::MAX)?;
                }
                continue;
            };
            if self.now > end {
                return Err(self.failure(invariant, &nodes, format!("it does not settle: {what}")).into());
            }
        }
        // What is under way arrives, and the witnesses tell each other what they have seen.
        self.fork_for_the_last_time()?;
        self.run_until(self.now + self.plan.witness_interval_ms + ARRIVE_MS)
    }

    /// Something happens after so many milliseconds.
    pub(crate) fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    pub(crate) fn act_after(&mut self, delay: u64, act: Act) {
        self.after(delay, Event::Act(act));
    }

    fn happen(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            Event::Asked { from, to, life, call, ask } => self.asked(from, to, life, call, ask),
            Event::Answered { node, from, life, call, reply } if self.lives(node, life) => {
                let Some(call) = self.core(node)?.pending.remove(&call) else { return Ok(()) };
                self.answered(node, from, call, reply)
            }
            Event::TimedOut { node, life, call } if self.lives(node, life) => {
                let Some(call) = self.core(node)?.pending.remove(&call) else { return Ok(()) };
                self.timed_out(node, call)
            }
            Event::Wake { node, life, to } if self.lives(node, life) => {
                let now = self.now;
                if self.core(node)?.wakes.get(&to) != Some(&now) {
                    // It was woken earlier meanwhile.
                    return Ok(());
                }
                self.core(node)?.wakes.remove(&to);
                self.look_at_channel(node, to)
            }
            Event::Poll { node, life, relay } if self.lives(node, life) => self.poll(node, relay),
            Event::Greet { node, life, to } if self.lives(node, life) => self.greet(node, to),
            Event::Round { node, life } if self.lives(node, life) => self.witness_round(node),
            Event::Act(act) => self.act(act),
            _ => Ok(()),
        }
    }

    pub(crate) fn lives(&self, node: usize, life: u32) -> bool {
        self.nodes[node].life == life && self.nodes[node].core.is_some()
    }

    /// Has a sender look at its channel at this time, or earlier if that was settled already.
    pub(crate) fn wake_at(&mut self, node: usize, to: usize, at: u64) {
        let life = self.nodes[node].life;
        let Some(core) = self.nodes[node].core.as_mut() else { return };
        if core.wakes.get(&to).is_some_and(|earlier| *earlier <= at) {
            return;
        }
        core.wakes.insert(to, at);
        self.after(at.saturating_sub(self.now), Event::Wake { node, life, to });
    }

    pub(crate) fn index(&self, id: &AgencyId) -> Option<usize> {
        self.nodes.binary_search_by(|node| node.id.cmp(id)).ok()
    }

    /// The partners of a node, as it knows them.
    pub(crate) fn partners(&self, node: usize) -> Vec<usize> {
        let Some(Core { exchange, .. }) = &self.nodes[node].core else { return Vec::new() };
        let directory = Exchange::directory(exchange);
        directory.partners(&self.nodes[node].id).filter_map(|id| self.index(id)).collect()
    }

    /// The relays that a node knows of, other than itself.
    pub(crate) fn relays(&self, node: usize) -> Vec<usize> {
        let Some(core) = &self.nodes[node].core else { return Vec::new() };
        let members = core.exchange.directory().chain().current().members();
        let relays = members.filter(|agency| agency.relay && agency.id != self.nodes[node].id);
        relays.filter_map(|agency| self.index(&agency.id)).collect()
    }

    /// Honest nodes that are in the register that the whole community goes by at the end.
    pub(crate) fn honest(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|n| self.nodes[*n].role == Role::Honest && !self.removing.contains(n)).collect()
    }

    pub(crate) fn sabotage(&mut self, sabotage: Sabotage, per_mille: u64) -> bool {
        self.options.sabotage == Some(sabotage) && self.dice.chance(per_mille)
    }

    /// Takes note of what happens, for the case that the run fails.
    pub(crate) fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trail.len() == TRAIL_MAX {
            self.trail.pop_front();
        }
        let line = format!("{:>9} ms  {}", self.now, line(self));
        self.trail.push_back(line);
    }

    pub(crate) fn failure(&self, invariant: Invariant, nodes: &[usize], what: String) -> Box<Failure> {
        let agencies = nodes.iter().map(|n| format!("{n} = {}", self.nodes[*n].id)).collect();
        let trail = self.trail.iter().cloned().collect();
        Box::new(Failure { seed: self.seed, step: self.step, invariant, agencies, what, trail })
    }

    /// The ledger that a node writes now.
    pub(crate) fn state_of(&mut self, node: usize) -> Result<mufakat_store::State, Stop> {
        let state = self.core(node)?.store.state();
        state.map_err(|e| self.failure(Invariant::WorksAlone, &[node], format!("the state cannot be read: {e}")).into())
    }
}
