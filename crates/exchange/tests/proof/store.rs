//! A store in memory, stricter than a real one: a change that does not fit what is there stops the test.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use mufakat_exchange::{
    Change, Directory, Enacted, Facts, Held, Inbound, Leaf, Said, Snapshot, Unavailable, What, needs_identity_key,
};
use mufakat_ledger::{Edge, Hash, SourceError, TileSource};
use mufakat_record::kinds::receipt::Entry;
use mufakat_record::{AgencyId, RecordId, ThreadId, Verified};

/// Where a record on a channel of ours stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Queued,
    Accepted,
    Rejected,
    Cancelled,
}

#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Absent once it is erased.
    pub(crate) record: Option<Verified>,
    pub(crate) leaf: u64,
    at_ms: u64,
}

/// What became durable.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) me: AgencyId,
    pub(crate) epoch: u64,
    pub(crate) directory: Directory,
    pub(crate) records: BTreeMap<RecordId, Kept>,
    pub(crate) leaves: Vec<Leaf>,
    /// The hashes of the leaves, of which erasing takes nothing away.
    pub(crate) hashes: Vec<Hash>,
    pub(crate) queue: BTreeMap<(AgencyId, u64), (RecordId, State)>,
    pub(crate) arrived: BTreeMap<(AgencyId, u64, u64), u64>,
    pub(crate) inbound: BTreeMap<AgencyId, Inbound>,
    pub(crate) submitted: BTreeMap<[u8; 16], RecordId>,
    pub(crate) enacted: Vec<Enacted>,
    /// The records that a legal hold is on, and until when, in milliseconds since 1970.
    pub(crate) holds: BTreeMap<RecordId, u64>,
    /// How often was asked what refers to a record.
    pub(crate) asked: Cell<usize>,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
    governance: Vec<Verified>,
    removed: BTreeSet<AgencyId>,
}

impl Store {
    pub(crate) fn new(me: &AgencyId, directory: Directory) -> Self {
        Self {
            me: me.clone(),
            epoch: 1,
            enacted: directory.chain().versions().to_vec(),
            directory,
            records: BTreeMap::new(),
            leaves: Vec::new(),
            hashes: Vec::new(),
            queue: BTreeMap::new(),
            arrived: BTreeMap::new(),
            inbound: BTreeMap::new(),
            submitted: BTreeMap::new(),
            holds: BTreeMap::new(),
            asked: Cell::new(0),
            tiles: BTreeMap::new(),
            governance: Vec::new(),
            removed: BTreeSet::new(),
        }
    }

    /// Makes changes durable, and checks each against what is there.
    pub(crate) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.make(change);
        }
        // The tree that the tiles hold is the tree over the leaves.
        let loaded = Edge::load(self.hashes.len() as u64, self).expect("every tile that the tree needs");
        assert_eq!(loaded.root(), root_of(&self.hashes));
    }

    /// Makes one change durable.
    pub(crate) fn make(&mut self, change: &Change) {
        match change {
            Change::Keep { record, leaf, at_ms } => {
                let told = &self.leaves[*leaf as usize];
                assert_eq!((told.subject.0, told.at_ms), (record.id().0, *at_ms), "a leaf about another record");
                if record.header().kind == "register-version" || needs_identity_key(&record.header().kind) {
                    self.governance.push(record.clone());
                }
                let kept = Kept { record: Some(record.clone()), leaf: *leaf, at_ms: *at_ms };
                assert!(self.records.insert(record.id(), kept).is_none(), "a record is kept twice");
            }
            Change::Submitted { key, record } => {
                assert!(self.submitted.insert(*key, *record).is_none(), "a submission is carried out twice");
            }
            Change::Leaf { index, leaf } => {
                assert_eq!(*index, self.leaves.len() as u64, "a leaf out of its place");
                self.hashes.push(leaf.hash());
                self.leaves.push(leaf.clone());
            }
            Change::Tile(tile) => drop(self.tiles.insert((tile.level, tile.index), tile.to_bytes())),
            Change::Queue { to, position, leaf } => {
                assert_eq!(*position, self.next(to), "a channel with a gap");
                assert!(!self.removed.contains(to), "something is queued to a removed agency");
                let record = RecordId(self.leaves[*leaf as usize].subject.0);
                let kept = &self.records[&record];
                assert_eq!(kept.leaf, *leaf, "the leaf is not that of the record's authoring");
                assert!(kept.record.as_ref().is_some_and(|record| record.header().reaches(to)));
                self.queue.insert((to.clone(), *position), (record, State::Queued));
            }
            Change::Settle { to, first, last, accepted } => {
                for position in *first..=*last {
                    let (_, state) = self.queue.get_mut(&(to.clone(), position)).expect("a record on the channel");
                    assert_eq!(*state, State::Queued, "a record is settled twice");
                    *state = if *accepted { State::Accepted } else { State::Rejected };
                }
            }
            Change::Cancel { to } => {
                assert!(self.removed.insert(to.clone()), "an agency is removed twice");
                for (_, (_, state)) in self.queue.iter_mut().filter(|((agency, _), _)| agency == to) {
                    *state = if *state == State::Queued { State::Cancelled } else { *state };
                }
            }
            Change::Arrived { from, epoch, position, leaf } => {
                assert!((*leaf as usize) < self.leaves.len());
                let place = (from.clone(), *epoch, *position);
                assert!(self.arrived.insert(place, *leaf).is_none(), "a position is taken twice");
            }
            Change::Expect { from, epoch, next } => {
                let before = self.inbound.insert(from.clone(), Inbound { epoch: *epoch, expected: *next });
                let before = before.unwrap_or_else(Inbound::fresh);
                let onward = (before.epoch, before.expected) <= (*epoch, *next);
                assert!(onward, "a channel goes back");
                let taken = |position| self.arrived.contains_key(&(from.clone(), *epoch, position));
                assert!((1..*next).all(taken), "a gap is passed over");
            }
            Change::Erase { record } => {
                assert_eq!(self.on_its_way(record), Ok(false), "a channel still needs it");
                assert!(self.records[record].record.is_some(), "a record is erased twice");
                let kept = self.records.get_mut(record).expect("a record to erase");
                kept.record = None;
                self.leaves[kept.leaf as usize].salt = [0; 16];
            }
            Change::Register(enacted) => {
                assert_eq!(
                    enacted.version.version,
                    self.enacted.len() as u64 + 1,
                    "a register version out of its turn"
                );
                self.enacted.push((**enacted).clone());
                let part = |e: &Enacted| (mufakat_record::cbor::encode(&e.version), e.approvals.clone());
                let parts: Vec<_> = self.enacted.iter().map(part).collect();
                // What is enacted can be verified by anyone from its founding.
                self.directory.set_chain(mufakat_exchange::Chain::verify(&parts).expect("a sound chain"));
            }
            Change::KeySet { agency, record } => {
                assert_eq!(self.directory.take_key_set(record), Ok(true));
                assert_eq!(self.directory.key_set_record(agency), Some(record.as_slice()));
            }
        }
    }

    /// The next position on the channel to a partner.
    pub(crate) fn next(&self, to: &AgencyId) -> u64 {
        self.queue.keys().filter(|(agency, _)| agency == to).count() as u64 + 1
    }

    /// What an exchange starts from after a crash.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let settled = |to: &AgencyId| {
            let open = |position: &u64| self.queue[&(to.clone(), *position)].1 == State::Queued;
            (1..self.next(to)).find(open).unwrap_or(self.next(to)) - 1
        };
        let recipients: BTreeSet<&AgencyId> = self.queue.keys().map(|(to, _)| to).collect();
        Snapshot {
            me: self.me.clone(),
            epoch: self.epoch,
            directory: self.directory.clone(),
            governance: self.governance.clone(),
            ledger_size: self.leaves.len() as u64,
            outbound: recipients.into_iter().map(|to| (to.clone(), settled(to), self.next(to))).collect(),
            inbound: self.inbound.iter().map(|(from, inbound)| (from.clone(), *inbound)).collect(),
        }
    }

    /// The bytes of the records on the channel to a partner from a position on.
    pub(crate) fn outbox(&self, to: &AgencyId, first: u64, count: usize) -> Vec<Vec<u8>> {
        let at = |position| self.queue.get(&(to.clone(), position));
        let found = (first..).map_while(at).take(count);
        found.filter_map(|(id, _)| self.records[id].record.as_ref()).map(|record| record.bytes().to_vec()).collect()
    }

    /// How many records of a kind are kept.
    pub(crate) fn kept(&self, kind: &str) -> usize {
        let of_kind = |kept: &&Kept| kept.record.as_ref().is_some_and(|record| record.header().kind == kind);
        self.records.values().filter(of_kind).count()
    }

    /// How many leaves tell of something.
    pub(crate) fn told(&self, what: What) -> usize {
        self.leaves.iter().filter(|leaf| leaf.what == what).count()
    }
}

/// The root of a tree over leaf hashes, by its definition (RFC 6962 §2.1).
pub(crate) fn root_of(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => mufakat_ledger::empty_root(),
        1 => leaves[0],
        count => {
            let (left, right) = leaves.split_at(count.next_power_of_two() / 2);
            mufakat_ledger::node_hash(&root_of(left), &root_of(right))
        }
    }
}

impl Facts for Store {
    fn held(&self, id: &RecordId) -> Result<Option<Held>, Unavailable> {
        Ok(self.records.get(id).map(|kept| Held {
            record: kept.record.clone(),
            leaf: kept.leaf,
            at_ms: kept.at_ms,
            salt: self.leaves[kept.leaf as usize].salt,
        }))
    }

    fn arrival(&self, from: &AgencyId, epoch: u64, position: u64) -> Result<Option<Entry>, Unavailable> {
        Ok(self.arrived.get(&(from.clone(), epoch, position)).map(|index| {
            let leaf = &self.leaves[*index as usize];
            let reason = String::from_utf8(leaf.detail.clone()).expect("the name of a reason");
            Entry {
                position,
                record: RecordId(leaf.subject.0),
                rejected: Some(reason).filter(|reason| !reason.is_empty()),
                at_ms: leaf.at_ms,
                index: *index,
                salt: leaf.salt,
            }
        }))
    }

    fn queued(&self, to: &AgencyId, first: u64, count: usize) -> Result<Vec<(RecordId, bool)>, Unavailable> {
        let places = self.queue.range((to.clone(), first)..(to.clone(), first.saturating_add(count as u64)));
        Ok(places.map(|(_, (id, state))| (*id, *state != State::Queued)).collect())
    }

    fn referring(&self, id: &RecordId, said: Said<'_>) -> Result<Vec<Verified>, Unavailable> {
        self.asked.set(self.asked.get() + 1);
        let refers = |record: &Verified| {
            let header = record.header();
            header.author == *said.by
                && header.kind == said.kind
                && header.references.iter().any(|r| r.relation == said.relation && r.record == *id)
        };
        let kept = self.records.values().filter_map(|kept| Some((kept.leaf, kept.record.as_ref()?)));
        let mut found: Vec<_> = kept.filter(|(_, record)| refers(record)).collect();
        found.sort_by_key(|(leaf, _)| *leaf);
        let found = found.split_off(found.len().saturating_sub(said.latest));
        Ok(found.into_iter().map(|(_, record)| record.clone()).collect())
    }

    fn on_its_way(&self, id: &RecordId) -> Result<bool, Unavailable> {
        let places = self.queue.iter().filter(|(_, (record, _))| record == id).map(|(place, _)| place);
        let open = |(to, position): &(AgencyId, u64)| {
            (1..=*position).any(|before| self.queue[&(to.clone(), before)].1 == State::Queued)
        };
        Ok(places.into_iter().any(open))
    }

    fn on_hold(&self, record: &RecordId, _: &ThreadId, at_ms: u64) -> Result<bool, Unavailable> {
        Ok(self.holds.get(record).is_some_and(|until| at_ms < *until))
    }

    fn submitted(&self, key: &[u8; 16]) -> Result<Option<RecordId>, Unavailable> {
        Ok(self.submitted.get(key).copied())
    }
}

impl TileSource for Store {
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.tiles.get(&(level, index)).cloned())
    }
}

/// A store that cannot answer.
pub(crate) struct Broken;

impl Facts for Broken {
    fn held(&self, _: &RecordId) -> Result<Option<Held>, Unavailable> {
        Err(Unavailable("EXERCISE".into()))
    }
    fn arrival(&self, _: &AgencyId, _: u64, _: u64) -> Result<Option<Entry>, Unavailable> {
        Err(Unavailable("EXERCISE".into()))
    }
    fn queued(&self, _: &AgencyId, _: u64, _: usize) -> Result<Vec<(RecordId, bool)>, Unavailable> {
        Err(Unavailable("EXERCISE".into()))
    }
    fn referring(&self, _: &RecordId, _: Said<'_>) -> Result<Vec<Verified>, Unavailable> {
        Err(Unavailable("EXERCISE".into()))
    }
    fn on_its_way(&self, _: &RecordId) -> Result<bool, Unavailable> {
        Err(Unavailable("EXERCISE".into()))
    }
    fn on_hold(&self, _: &RecordId, _: &ThreadId, _: u64) -> Result<bool, Unavailable> {
        Err(Unavailable("EXERCISE".into()))
    }
    fn submitted(&self, _: &[u8; 16]) -> Result<Option<RecordId>, Unavailable> {
        Err(Unavailable("EXERCISE".into()))
    }
}
