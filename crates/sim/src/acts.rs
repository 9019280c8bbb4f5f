//! What people and faults do in a run: records are shared, keys rotated, agencies admitted and removed; networks part, disks
//! fill, clocks jump, nodes are restored from old backups.

use std::fs;
use std::path::PathBuf;

use mufakat_exchange::{Batch, Change, Directory, Facts, Refusal, Said, Submission};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::deletion_receipt::Why;
use mufakat_record::kinds::onward::{Onward, original_of};
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::kinds::report::{Report, ReportType};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, Draft, RecordId, Reference, Relation, SigningKey, ThreadId, Verified};
use mufakat_store::{Options, Page, Queries, Sqlite, Store};
use mufakat_views::{Rows, retention};

use crate::community::{approval, entry, header, party_of, sign};
use crate::desk::POLICY;
use crate::invariant::{Invariant, Stop};
use crate::matching::Deed;
use crate::network::Event;
use crate::node::{Role, unavailable};
use crate::receive::{marker_text, markers};
use crate::world::World;

/// How long somebody waits before submitting again what was not taken, in milliseconds.
const AGAIN_MS: u64 = 15_000;

/// Something that is done at some time.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Submit { order: usize },
    Start { node: usize },
    Approve { node: usize },
    Crash { node: usize },
    Clock { node: usize },
    Part,
    Join,
    DiskFull { node: usize },
    DiskFree { node: usize },
    Backup { node: usize },
    Delete { node: usize },
    Desk { node: usize },
    Step { node: usize, request: RecordId },
    Matching(Deed),
    Restore { node: usize },
    Lie,
    Fork,
}

/// Something that people at an agency want shared, until their node has said that it is.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) node: usize,
    /// The audience; those who are no longer members are left out.
    to: Vec<usize>,
    what: What,
    pub(crate) marker: usize,
    /// What the submitter calls it.
    key: [u8; 16],
    pub(crate) acknowledged: bool,
    /// It was acknowledged, and the node was restored from an older backup since.
    pub(crate) lost: bool,
    pub(crate) ids: Vec<RecordId>,
}

#[derive(Debug, Clone)]
enum What {
    Report,
    /// One record for each recipient.
    Hidden,
    UnknownKind,
    /// It expires in a day, which it has for some clocks already.
    Expiring,
    /// Passes on a record that its node holds of another's.
    Forward,
    /// Takes back what an earlier order shared.
    Retract(usize),
    NewKeys,
    Register {
        removed: Option<usize>,
        admitted: Option<usize>,
    },
}

impl World {
    /// Draws what will be done in the time of faults.
    pub(crate) fn plan_acts(&mut self) {
        let end = self.plan.chaos_ms;
        let honest = self.honest();
        let orders = self.dice.between(12, 34);
        for _ in 0..orders {
            self.plan_order(end);
        }
        for _ in 0..self.dice.below(5) {
            let (at, node) = (self.dice.below(end), self.dice.pick(&honest).unwrap_or_default());
            self.act_after(at, Act::Crash { node });
        }
        for _ in 0..self.dice.below(5) {
            let (at, node) = (self.dice.below(end), self.dice.pick(&honest).unwrap_or_default());
            self.act_after(at, Act::Clock { node });
        }
        for _ in 0..self.dice.below(4) {
            let at = self.dice.below(end);
            self.act_after(at, Act::Part);
        }
        for _ in 0..self.dice.below(3) {
            let (at, node) = (self.dice.below(end), self.dice.pick(&honest).unwrap_or_default());
            self.act_after(at, Act::DiskFull { node });
        }
        for _ in 0..self.dice.below(3) {
            let (at, node) = (self.dice.below(end), self.dice.pick(&honest).unwrap_or_default());
            self.order_at(at, node, Vec::new(), What::NewKeys);
        }
        if self.liar.is_some() {
            for _ in 0..self.dice.between(8, 30) {
                let at = self.dice.below(end);
                self.act_after(at, Act::Lie);
            }
            for _ in 0..self.dice.below(4) {
                let at = self.dice.below(end);
                self.act_after(at, Act::Fork);
            }
        }
        self.plan_register(end, &honest);
        if !self.options.without_desks {
            self.plan_desks();
        }
        if !self.options.without_matching {
            self.plan_matching();
        }
    }

    fn plan_register(&mut self, end: u64, honest: &[usize]) {
        if self.plan.relay.is_some() && !self.plan.relay_lies && self.dice.chance(400) {
            let pair = self.dice.some(honest, 2);
            if pair.len() == 2 && !pair.contains(&self.plan.relay.unwrap_or_default()) {
                self.without_way.insert((pair[0], pair[1]));
            }
        }
        let relay = self.plan.relay.filter(|_| !self.without_way.is_empty());
        let speakers = self.plan.speakers.clone();
        if self.dice.chance(400) {
            let mut may_go = honest.to_vec();
            may_go.extend(self.liar.as_ref().map(|liar| liar.node));
            may_go.retain(|n| !speakers.contains(n) && Some(*n) != relay);
            if let (Some(removed), Some(by)) = (self.dice.pick(&may_go), self.dice.pick(&speakers)) {
                let at = self.dice.below(end);
                self.order_at(at, by, Vec::new(), What::Register { removed: Some(removed), admitted: None });
            }
        }
        let outsider = (0..self.nodes.len()).find(|n| self.nodes[*n].role == Role::Outsider);
        if let (Some(admitted), Some(by)) = (outsider, self.dice.pick(&speakers)) {
            let at = self.dice.below(end / 2);
            self.order_at(at, by, Vec::new(), What::Register { removed: None, admitted: Some(admitted) });
        }
        if self.dice.chance(300)
            && let Some(node) = self.dice.pick(honest)
        {
            let backup = self.dice.below(end / 2);
            let restore = self.dice.between(backup + 1, end);
            self.act_after(backup, Act::Backup { node });
            self.act_after(restore, Act::Restore { node });
        }
    }

    fn plan_order(&mut self, end: u64) {
        let at = self.dice.below(end);
        let honest = self.honest();
        let node = self.dice.pick(&honest).unwrap_or_default();
        let others: Vec<usize> =
            (0..self.nodes.len()).filter(|n| *n != node && self.nodes[*n].role != Role::Outsider).collect();
        let to = self.dice.some(&others, 5);
        let what = match self.dice.below(20) {
            0..2 => What::Hidden,
            2 => What::UnknownKind,
            3..5 => What::Expiring,
            _ => What::Report,
        };
        let may_retract = matches!(what, What::Report | What::Hidden);
        self.order_at(at, node, to.clone(), what);
        if may_retract && self.dice.chance(200) {
            let target = self.orders.len() - 1;
            // Often so soon that both are under way together.
            let later = if self.dice.chance(500) { self.dice.below(2_000) } else { self.dice.below(end) };
            self.order_at(at + later, node, to.clone(), What::Retract(target));
        }
        if self.dice.chance(300)
            && let Some(by) = self.dice.pick(&to).filter(|by| honest.contains(by))
        {
            // Somebody who got it passes that, or something else, on a while later.
            let everyone: Vec<usize> =
                (0..self.nodes.len()).filter(|n| self.nodes[*n].role != Role::Outsider).collect();
            let next = self.dice.some(&everyone, 3).into_iter().filter(|n| *n != by).collect();
            let later = self.dice.between(500, end);
            self.order_at(at + later, by, next, What::Forward);
            self.act_after(at + later + 30_000, Act::Delete { node: by });
        }
        if self.dice.chance(200) {
            // A burst, so that parcels hold several records.
            for _ in 0..self.dice.between(3, 12) {
                let to = self.dice.some(&others, 3);
                self.order_at(at + 1, node, to, What::Report);
            }
        }
    }

    fn order_at(&mut self, at: u64, node: usize, to: Vec<usize>, what: What) {
        let marker = self.markers.len();
        self.markers.push(to.iter().copied().chain([node]).collect());
        let key = self.dice.bytes();
        self.orders.push(Order { node, to, what, marker, key, acknowledged: false, lost: false, ids: Vec::new() });
        self.act_after(at, Act::Submit { order: self.orders.len() - 1 });
    }

    pub(crate) fn act(&mut self, act: Act) -> Result<(), Stop> {
        match act {
            Act::Submit { order } => match self.submit(order) {
                Ok(true) => Ok(()),
                Ok(false) | Err(Stop::Down | Stop::Full) => {
                    self.act_after(AGAIN_MS, Act::Submit { order });
                    Ok(())
                }
                Err(failed) => Err(failed),
            },
            Act::Start { node } => self.start(node),
            Act::Approve { node } => match self.approve(node) {
                Err(Stop::Full) => {
                    self.act_after(AGAIN_MS, Act::Approve { node });
                    Ok(())
                }
                other => other,
            },
            Act::Crash { node } => Err(self.crash(node)),
            Act::Clock { node } => {
                let by = self.dice.below(10 * 86_400_000) as i64 - 5 * 86_400_000;
                self.nodes[node].clock_off_ms += by;
                self.tell(|_| format!("{node}: its clock is set by {} h", by / 3_600_000));
                self.look_soon(node);
                Ok(())
            }
            Act::Part => {
                let islands = self.dice.between(2, 3);
                for node in 0..self.nodes.len() {
                    self.nodes[node].island = self.dice.below(islands) as u8;
                }
                if self.dice.chance(300) {
                    // Everything is away from everything.
                    (0u8..).zip(&mut self.nodes).for_each(|(island, node)| node.island = island);
                }
                let delay = self.dice.between(10_000, 120_000);
                self.act_after(delay, Act::Join);
                self.tell(|_| "the network parts".to_owned());
                Ok(())
            }
            Act::Join => {
                self.nodes.iter_mut().for_each(|node| node.island = 0);
                self.tell(|_| "the network joins".to_owned());
                Ok(())
            }
            Act::DiskFull { node } => self.fill_disk(node),
            Act::DiskFree { node } => {
                self.nodes[node].full = false;
                let store = &mut self.core(node)?.store;
                store.set_bytes_max(None).map_err(|e| self.broken(node, &e))
            }
            Act::Delete { node } => match self.delete_waiting(node) {
                Err(Stop::Down | Stop::Full) => Ok(()),
                done => done,
            },
            Act::Desk { node } => match self.at_desk(node) {
                Err(Stop::Down | Stop::Full) => Ok(()),
                done => done,
            },
            Act::Step { node, request } => match self.take_step(node, request) {
                Err(Stop::Down | Stop::Full) => Ok(()),
                done => done,
            },
            Act::Matching(deed) => self.match_deed(deed),
            Act::Backup { node } => {
                let path = self.folder.join(format!("{node}.backup"));
                let made = self.core(node)?.store.backup_to(&path);
                made.map_err(|e| self.broken(node, &e))?;
                self.nodes[node].backup = Some(path);
                self.tell(|_| format!("{node}: backup"));
                Ok(())
            }
            Act::Restore { node } => self.restore(node),
            Act::Lie => self.lie(),
            Act::Fork => self.fork(true),
        }
    }

    fn broken(&self, node: usize, error: &mufakat_store::Error) -> Stop {
        self.failure(Invariant::WorksAlone, &[node], format!("the store failed: {error}")).into()
    }

    fn fill_disk(&mut self, node: usize) -> Result<(), Stop> {
        self.nodes[node].full = true;
        let delay = self.dice.between(5_000, 60_000);
        self.act_after(delay, Act::DiskFree { node });
        self.tell(|_| format!("{node}: its disk fills up"));
        let store = &mut self.core(node)?.store;
        let page = Page { view: "inbox", after: None, limit: 10, facets: &[], newest_first: true, classes: None };
        // What is there stays readable.
        let read = store.set_bytes_max(Some(1)).and_then(|()| store.view_page(&page));
        read.map(drop).map_err(|e| self.broken(node, &e))
    }

    /// Submits an order, unless its node has taken it already. False when it has to be tried again.
    fn submit(&mut self, index: usize) -> Result<bool, Stop> {
        let order = self.orders[index].clone();
        let node = order.node;
        let Some(records) = self.draw_up(&order)? else { return Ok(false) };
        if records.is_empty() {
            // Nobody is left to whom it could go.
            self.orders[index].acknowledged = true;
            return Ok(true);
        }
        let submissions = records.into_iter().enumerate().map(|(number, record)| {
            let mut key = order.key;
            key[0] = number as u8;
            Submission { record, key: Some(key) }
        });
        let submissions: Vec<_> = submissions.collect();
        let taken = self.transact(node, |exchange, store, random, now_ms| {
            match exchange.submit(submissions, &POLICY, now_ms, random, store) {
                Ok((batch, ids)) => Ok((batch, Ok(ids))),
                Err(Refusal::Unavailable(error)) => Err(unavailable(error)),
                Err(refusal) => Ok((Batch::default(), Err(refusal))),
            }
        })?;
        match taken {
            Ok(ids) => {
                self.tell(|_| format!("{node}: shared {} for order {index} to {:?}", ids.len(), order.to));
                self.stats.records += ids.len() as u64;
                self.orders[index].ids = ids;
                self.orders[index].acknowledged = true;
                if matches!(order.what, What::NewKeys) {
                    let directory = self.directory(node)?;
                    let signer = self.signer(node, &directory);
                    self.core(node)?.exchange.set_signer(signer);
                }
                Ok(true)
            }
            Err(refusal) => {
                let what = format!("an honest submission is refused: {refusal}");
                Err(self.failure(Invariant::WorksAlone, &[node], what).into())
            }
        }
    }

    /// The records of an order; none when it cannot be drawn up yet.
    fn draw_up(&mut self, order: &Order) -> Result<Option<Vec<Verified>>, Stop> {
        let node = order.node;
        let directory = self.directory(node)?;
        let me = self.nodes[node].id.clone();
        if directory.chain().member(&me).is_none() {
            return Ok(Some(Vec::new()));
        }
        let member = |n: &&usize| directory.chain().member(&self.nodes[**n].id).is_some();
        let to: Vec<AgencyId> = order.to.iter().filter(member).map(|n| self.nodes[*n].id.clone()).collect();
        let everyone: Vec<AgencyId> = directory.partners(&me).cloned().collect();
        let signer = self.core(node)?.exchange.signer();
        let (register, now_s) = (directory.chain().hash(), self.clock_ms(node) / 1000);
        let thread = ThreadId(order.key);
        let head = |to: Vec<AgencyId>, kind: &str| {
            let mut header = header(&me, to, register, kind, now_s);
            header.thread = thread;
            header
        };
        let body = report(order.marker);
        let records = match &order.what {
            What::NewKeys => {
                let epoch = self.state_of(node)?.epoch;
                let keys = &mut self.nodes[node].keys;
                let newest = *keys.newest().public().as_bytes();
                let published = directory.key_set(&me).is_some_and(|set| set.signing.iter().any(|k| k.key == newest));
                // Who tries again goes on with the keys that it has made: partners still seal to the ones before.
                if published && order.ids.is_empty() && keys.signing.len() < 4 {
                    keys.rotate();
                }
                vec![keys.key_set(epoch, register, everyone)]
            }
            What::Register { removed, admitted } => {
                return self.propose(order, &directory, everyone, *removed, *admitted);
            }
            _ if to.is_empty() => Vec::new(),
            What::Report => vec![sign(head(to, Report::KIND), &body, &signer)],
            What::Hidden => to.into_iter().map(|to| sign(head(vec![to], Report::KIND), &body, &signer)).collect(),
            What::Forward => self.pass_on(order, &directory, &to, &signer)?,
            What::Expiring => {
                let mut header = head(to, Report::KIND);
                header.expires = Some(now_s + 86_400);
                vec![sign(header, &body, &signer)]
            }
            What::UnknownKind => {
                let header = head(to, "exercise/unknown");
                vec![Draft { header, body: body.to_body() }.sign(&signer).expect("a record of the right form")]
            }
            What::Retract(target) => {
                let target = &self.orders[*target];
                if !target.acknowledged {
                    return Ok(None);
                }
                let retract = |id: &RecordId| {
                    let audience = self.minted.get(id).map(|minted| minted.audience.clone()).unwrap_or_default();
                    let audience: Vec<_> =
                        audience.into_iter().filter(|to| directory.chain().member(to).is_some()).collect();
                    let mut header = head(audience, Retraction::KIND);
                    header.references = vec![Reference { relation: Relation::Retracts, record: *id }];
                    let body = Retraction { reason: format!("EXERCISE {}", marker_text(order.marker)), carries: None };
                    (!header.audience.is_empty()).then(|| sign(header, &body, &signer))
                };
                target.ids.iter().filter_map(retract).collect()
            }
        };
        Ok(Some(records))
    }

    /// An onward record around one of those that a node holds of others, for those who may have it.
    fn pass_on(
        &mut self,
        order: &Order,
        directory: &Directory,
        to: &[AgencyId],
        signer: &SigningKey,
    ) -> Result<Vec<Verified>, Stop> {
        let me = self.nodes[order.node].id.clone();
        let (register, now_s) = (directory.chain().hash(), self.clock_ms(order.node) / 1000);
        let choice = self.held_of_others(order.node)?;
        let Some(carried) = self.dice.pick(&choice) else { return Ok(Vec::new()) };
        let Ok((original, claims, _)) = original_of(&carried) else { return Ok(Vec::new()) };
        let audience: Vec<_> = to.iter().filter(|to| **to != claims.author && !claims.reaches(to)).cloned().collect();
        if audience.is_empty() {
            return Ok(Vec::new());
        }
        let body = Onward { record: carried.bytes().to_vec(), permission: None, note: None };
        let mut head = header(&me, audience.clone(), register, Onward::KIND, now_s);
        head.references = vec![Reference { relation: Relation::About, record: carried.id() }];
        head.expires = carried.header().expires;
        head.handling = carried.header().handling.clone();
        head.thread = ThreadId(order.key);
        let record = sign(head, &body, signer);
        if mufakat_exchange::check_onward(directory, &record).is_err() {
            // It came from this agency, or a key of its originator's has gone since.
            return Ok(Vec::new());
        }
        self.may_see(carried.bytes(), &original, &audience);
        Ok(vec![record])
    }

    /// The reports that a node holds of others, also those that were passed on to it, and that nobody took back.
    fn held_of_others(&mut self, node: usize) -> Result<Vec<Verified>, Stop> {
        let me = self.nodes[node].id.clone();
        let others = self.minted.values().filter(|m| m.author != me && m.audience.contains(&me));
        let records = others.filter_map(|m| Verified::from_own_store(m.bytes.clone()).ok());
        let kinds = [Report::KIND, Onward::KIND];
        let mut records: Vec<_> = records.filter(|r| kinds.contains(&r.header().kind.as_str())).collect();
        let store = &self.core(node)?.store;
        records.retain(|record| {
            let said =
                Said { relation: Relation::Retracts, by: &record.header().author, kind: Retraction::KIND, latest: 1 };
            let taken_back = store.referring(&record.id(), said).is_ok_and(|by| !by.is_empty());
            !taken_back && matches!(store.record_bytes(&record.id()), Ok(Some(_)))
        });
        Ok(records)
    }

    /// Those to whom a record goes may see what is in it, and what its author says when it takes it back.
    fn may_see(&mut self, bytes: &[u8], original: &RecordId, audience: &[AgencyId]) {
        let nodes: Vec<usize> = audience.iter().filter_map(|to| self.index(to)).collect();
        let shared: Vec<usize> =
            (0..self.orders.len()).filter(|order| self.orders[*order].ids.contains(original)).collect();
        let taking_back = |order: &&Order| matches!(order.what, What::Retract(target) if shared.contains(&target));
        let mut seen = markers(bytes);
        seen.extend(self.orders.iter().filter(taking_back).map(|order| order.marker));
        for marker in seen {
            if let Some(may) = self.markers.get_mut(marker) {
                may.extend(&nodes);
            }
        }
    }

    /// Deletes what waited to be deleted.
    pub(crate) fn delete_waiting(&mut self, node: usize) -> Result<(), Stop> {
        self.transact(node, |exchange, store, random, now_ms| {
            let rows = store.rows(retention::NAME, &retention::WAITING, None);
            let rows = rows.map_err(|e| mufakat_store::Error::Unavailable(e.0))?;
            let wanted: Vec<_> = rows.into_iter().map(|row| (row.record, Why::Retracted)).collect();
            let (batch, _) = exchange.delete(&wanted, now_ms, random, store).map_err(unavailable)?;
            Ok((batch, ()))
        })
    }

    /// The next version of the register with the proposer's approval, once no other one is under way.
    fn propose(
        &mut self,
        order: &Order,
        directory: &Directory,
        everyone: Vec<AgencyId>,
        removed: Option<usize>,
        admitted: Option<usize>,
    ) -> Result<Option<Vec<Verified>>, Stop> {
        let (node, now) = (order.node, directory.chain().current());
        let (latest, by) = self.proposing.unwrap_or((1, order.marker));
        // Two versions with one number would both be approved by people who do not look: the register would fork for good.
        if now.version < latest && !(by == order.marker && latest == now.version + 1) {
            return Ok(None);
        }
        let mut next = RegisterVersion {
            version: now.version + 1,
            previous: Some(directory.chain().hash()),
            issued_at: now.issued_at + 1,
            ..now.clone()
        };
        if let Some(removed) = removed {
            let id = self.nodes[removed].id.clone();
            next.agencies.iter_mut().filter(|a| a.id == id).for_each(|a| a.removed = Some(now.issued_at + 1));
            self.removing.insert(removed);
        }
        if let Some(admitted) = admitted {
            let party = party_of(&self.nodes[self.plan.speakers[0]].id);
            next.agencies.push(entry(&self.nodes[admitted].keys, &party, false));
            next.agencies.sort_by(|a, b| a.id.cmp(&b.id));
        }
        // Who was killed between the commit and its answer submits once more under the same key, and that proposes nothing new
        // when the first proposal is in force by now.
        if self.proposing.is_none() || by != order.marker || latest > now.version {
            self.proposing = Some((next.version, order.marker));
        }
        let hash = next.hash();
        let register = directory.chain().hash();
        let signer = self.core(node)?.exchange.signer();
        let now_s = self.clock_ms(node) / 1000;
        let head = header(&self.nodes[node].id, everyone.clone(), register, RegisterVersion::KIND, now_s);
        let keys = &self.nodes[node].keys;
        let records = vec![sign(head, &next, &signer), approval(keys, next.version, hash, register, everyone)];
        self.tell(|_| {
            format!("{node}: proposes version {}, removing {removed:?}, admitting {admitted:?}", next.version)
        });
        Ok(Some(records))
    }

    /// A speaker approves what is proposed.
    fn approve(&mut self, node: usize) -> Result<(), Stop> {
        if !self.plan.speakers.contains(&node) {
            return Ok(());
        }
        let me = self.nodes[node].id.clone();
        let party = party_of(&me);
        let directory = self.directory(node)?;
        let open = self.core(node)?.exchange.governance().open();
        let open: Vec<_> =
            open.filter(|(_, _, by)| !by.contains(&&party)).map(|(hash, v, _)| (*hash, v.version)).collect();
        let everyone: Vec<AgencyId> = directory.partners(&me).cloned().collect();
        for (hash, version) in open {
            let register = self.directory(node)?.chain().hash();
            let record = approval(&self.nodes[node].keys, version, hash, register, everyone.clone());
            let submission = Submission { record, key: None };
            self.transact(node, |exchange, store, random, now_ms| {
                match exchange.submit(vec![submission], &POLICY, now_ms, random, store) {
                    Ok((batch, _)) => Ok((batch, ())),
                    Err(Refusal::Unavailable(error)) => Err(unavailable(error)),
                    // The register changed with the approval before this one.
                    Err(_) => Ok((Batch::default(), ())),
                }
            })?;
            self.tell(|_| format!("{node}: approves version {version}"));
        }
        Ok(())
    }

    /// An agency that has come into the register begins with what its inviter knows.
    pub(crate) fn admit(&mut self, directory: &Directory) -> Result<(), Stop> {
        let new =
            |n: &usize| self.nodes[*n].role == Role::Outsider && directory.chain().member(&self.nodes[*n].id).is_some();
        let Some(node) = (0..self.nodes.len()).find(new) else { return Ok(()) };
        self.nodes[node].role = Role::Honest;
        let members: Vec<AgencyId> = directory.chain().current().members().map(|a| a.id.clone()).collect();
        let known = members.iter().filter_map(|id| Some((id.clone(), directory.key_set_record(id)?.to_vec())));
        let mut key_sets: Vec<_> = known.map(|(agency, record)| Change::KeySet { agency, record }).collect();
        let id = self.nodes[node].id.clone();
        let others = members.into_iter().filter(|member| *member != id).collect();
        let record = self.nodes[node].keys.key_set(1, directory.chain().hash(), others).into_bytes();
        key_sets.push(Change::KeySet { agency: id.clone(), record });
        let made = Sqlite::create(&self.nodes[node].path, &id, Options::default()).and_then(|mut store| {
            store.begin()?;
            store.adopt_register(directory.chain().versions())?;
            store.apply(&key_sets)?;
            store.commit()
        });
        made.map_err(|e| self.broken(node, &e))?;
        self.start(node)?;
        let honest = self.honest();
        for _ in 0..4 {
            let to = self.dice.some(&honest, 4).into_iter().filter(|to| *to != node).collect();
            self.order_at(1_000, node, to, What::Report);
            let from = self.dice.pick(&honest).filter(|from| *from != node);
            if let Some(from) = from {
                self.order_at(20_000, from, vec![node], What::Report);
            }
        }
        Ok(())
    }

    /// A node's disk is lost, and an old backup takes its place.
    fn restore(&mut self, node: usize) -> Result<(), Stop> {
        let Some(backup) = self.nodes[node].backup.take() else { return Ok(()) };
        let _ = self.crash(node);
        let path = self.nodes[node].path.clone();
        for suffix in ["", "-wal", "-shm"] {
            // Not each of them need be there.
            let _ = fs::remove_file(PathBuf::from(format!("{}{suffix}", path.display())));
        }
        fs::copy(&backup, &path).expect("room for a state file");
        let restored = Sqlite::open(&path, Options::default()).and_then(|mut store| {
            let epoch = store.begin_epoch()?;
            let snapshot = store.snapshot()?.ok_or(mufakat_store::Error::NoTransaction)?;
            Ok((store, epoch, snapshot))
        });
        let (mut store, epoch, snapshot) = restored.map_err(|e| self.broken(node, &e))?;
        let me = self.nodes[node].id.clone();
        let chain = snapshot.directory.chain();
        let everyone = snapshot.directory.partners(&me).cloned().collect();
        let record = self.nodes[node].keys.key_set(epoch, chain.hash(), everyone).into_bytes();
        let kept = store.apply(&[Change::KeySet { agency: me.clone(), record }]);
        kept.map_err(|e| self.broken(node, &e))?;
        let origin = |epoch| mufakat_exchange::ledger_origin(&me, epoch);
        let mut leaves = self.shadow.get(&origin(epoch - 1)).cloned().unwrap_or_default();
        leaves.truncate(snapshot.ledger_size as usize);
        self.shadow.insert(origin(epoch), leaves);
        for order in self.orders.iter_mut().filter(|order| order.node == node && order.acknowledged) {
            order.lost = order.ids.iter().any(|id| !matches!(store.record_bytes(id), Ok(Some(_))));
        }
        self.forget_at_desk(node, snapshot.ledger_size, &store);
        drop(store);
        self.lose_lists(node)?;
        self.nodes[node].restored = true;
        // Only a greeting tells partners what a restored node lacks, and relays carry no greetings: it needs a way to each.
        self.without_way.retain(|(a, b)| *a != node && *b != node);
        self.tell(|_| format!("{node}: restored to {} leaves, epoch {epoch}", snapshot.ledger_size));
        self.start(node)
    }

    /// The faults end.
    pub(crate) fn heal(&mut self) -> Result<(), Stop> {
        self.chaos = false;
        self.tell(|_| "the faults end".to_owned());
        self.act(Act::Join)?;
        for node in 0..self.nodes.len() {
            if self.nodes[node].role != Role::Honest {
                continue;
            }
            self.nodes[node].full = false;
            self.start(node)?;
            self.act(Act::DiskFree { node })?;
            let life = self.nodes[node].life;
            self.core(node)?.greeted.clear();
            for to in self.partners(node) {
                self.after(1, Event::Greet { node, life, to });
            }
            self.act_after(1_000, Act::Approve { node });
            self.look_soon(node);
        }
        Ok(())
    }
}

fn report(marker: usize) -> Report {
    plain_report(&format!("EXERCISE {} ", marker_text(marker)).repeat(1 + marker % 12), &marker_text(marker))
}

/// A report.
pub(crate) fn plain_report(text: &str, title: &str) -> Report {
    Report {
        report_type: ReportType::Information,
        title: format!("EXERCISE {title}"),
        text: text.to_owned(),
        entities: None,
        place: None,
        time: None,
        evaluation: None,
        language: None,
        source: None,
    }
}
