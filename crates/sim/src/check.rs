//! What must hold at the end of a run, when the network has been whole for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use mufakat_exchange::{Facts, Leaf, Said, What};
use mufakat_ledger::{Hash, proof, verify_inclusion};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::onward::{Carried, Onward};
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::request_step::RequestStep;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, Digest, Reason, RecordId, Relation, Verified};
use mufakat_store::{Queries, Store};
use mufakat_views::registry::VIEWS;
use mufakat_views::{Row, Rows};

use crate::invariant::{Invariant, Stop};
use crate::node::Role;
use crate::world::World;

/// What a node's ledger tells of records.
struct Account {
    /// Its own records, with their leaves.
    authored: Vec<(u64, Verified)>,
    /// How often each record was accepted.
    accepted: BTreeMap<RecordId, u64>,
    /// Those of its own that it deleted.
    deleted: BTreeSet<RecordId>,
}

impl World {
    /// What has not settled yet, if anything.
    pub(crate) fn unsettled(&mut self) -> Option<(Invariant, Vec<usize>, String)> {
        let honest = self.honest();
        let open = |o: &&crate::acts::Order| !o.acknowledged && honest.contains(&o.node);
        if let Some(order) = self.orders.iter().find(open) {
            return Some((Invariant::WorksAlone, vec![order.node], format!("{order:?} was not taken")));
        }
        let mut version = self.proposing.map_or(1, |(version, _)| version);
        // A proposal that its proposer lost with the disk may have reached too few: then nobody goes by it, or everybody.
        let lost = |(_, by): &(u64, usize)| self.orders.iter().any(|order| order.marker == *by && order.lost);
        if self.proposing.as_ref().is_some_and(lost) {
            let cores = honest.iter().filter_map(|node| self.nodes[*node].core.as_ref());
            let versions = cores.map(|core| core.exchange.directory().chain().current().version);
            version = versions.max().unwrap_or(version);
        }
        for a in &honest {
            let Some(core) = &self.nodes[*a].core else {
                return Some((Invariant::WorksAlone, vec![*a], "down".into()));
            };
            let chain = core.exchange.directory().chain();
            if chain.current().version != version {
                let what = format!("it goes by register version {} and not {version}", chain.current().version);
                return Some((Invariant::RegisterHolds, vec![*a], what));
            }
            for b in honest.iter().filter(|b| *b != a) {
                let channel = core.exchange.channels().find(|(to, _)| **to == self.nodes[*b].id);
                let Some((_, channel)) = channel else {
                    return Some((Invariant::NoSilentLoss, vec![*a, *b], "no channel".into()));
                };
                let inbound = self.nodes[*b].core.as_ref().map(|core| core.exchange.inbound(&self.nodes[*a].id));
                let next = channel.settled_through() + 1;
                let arrived = inbound.is_none_or(|inbound| {
                    if inbound.epoch == core.exchange.epoch() { inbound.expected == next } else { next == 1 }
                });
                if channel.backlog() > 0 || !arrived {
                    let what = format!("{channel:?} towards {inbound:?}");
                    return Some((Invariant::NoSilentLoss, vec![*a, *b], what));
                }
            }
        }
        None
    }

    /// Everything that must hold at the end.
    pub(crate) fn check_end(&mut self) -> Result<(), Stop> {
        self.check_witnesses()?;
        let honest = self.honest();
        let mut accounts = BTreeMap::new();
        for node in &honest {
            accounts.insert(*node, self.account(*node)?);
        }
        for order in self.orders.iter().filter(|o| o.acknowledged && !o.lost && honest.contains(&o.node)) {
            let account = &accounts[&order.node];
            let held = |id: &RecordId| {
                account.deleted.contains(id) || account.authored.iter().any(|(_, record)| record.id() == *id)
            };
            if !order.ids.iter().all(held) {
                let what = format!("a record that was acknowledged is lost: {order:?}");
                return Err(self.failure(Invariant::NoSilentLoss, &[order.node], what).into());
            }
        }
        for node in &honest {
            self.check_recipient(*node, &accounts[node])?;
            self.check_third_hands(*node, &accounts)?;
            let authored: Vec<_> = accounts[node].authored.clone();
            for (leaf, record) in &authored {
                self.check_author(*node, *leaf, record, &accounts)?;
            }
        }
        // After the rest: what was lost shows in all that is made of it.
        for node in &honest {
            if self.is_sound(*node) {
                self.check_requests(*node)?;
                self.check_uses(*node)?;
            }
        }
        self.check_matching()?;
        self.check_homes()?;
        for node in (0..self.nodes.len()).filter(|n| self.nodes[*n].role == Role::Honest).collect::<Vec<_>>() {
            self.check_store(node)?;
        }
        let rebuilt = self.dice.pick(&honest).unwrap_or_default();
        self.check_rebuild(rebuilt)?;
        if self.plan.search_files { self.search_files() } else { Ok(()) }
    }

    /// Each honest witness cosigned one history of each ledger, and of honest ledgers the one there is.
    fn check_witnesses(&mut self) -> Result<(), Stop> {
        for ((witness, origin), cosigned) in &self.cosigned {
            if self.nodes[*witness].restored {
                // What it had seen went with its disk.
                continue;
            }
            let fine = cosigned.windows(2).all(|p| p[0].0 < p[1].0 || p[0] == p[1]);
            if !fine {
                let what = format!("it cosigned two histories of {origin}: {cosigned:?}");
                return Err(self.failure(Invariant::HistoryHolds, &[*witness], what).into());
            }
        }
        let found = !self.splits.is_empty();
        if self.liar.as_ref().is_some_and(|liar| liar.to_be_found) && !found {
            let what = "a split view was not found within the interval".to_owned();
            return Err(self.failure(Invariant::HistoryHolds, &[], what).into());
        }
        Ok(())
    }

    fn account(&mut self, node: usize) -> Result<Account, Stop> {
        let me = self.nodes[node].id.clone();
        let core = self.core(node)?;
        let (size, _) = core.exchange.ledger();
        let mut account = Account { authored: Vec::new(), accepted: BTreeMap::new(), deleted: BTreeSet::new() };
        for index in 0..size {
            let leaf = match core.store.leaf(index) {
                Ok(Some(leaf)) => leaf,
                other => {
                    let what = format!("leaf {index} of {me} is not there: {other:?}");
                    return Err(self.failure(Invariant::HistoryHolds, &[node], what).into());
                }
            };
            let id = RecordId(leaf.subject.0);
            match leaf.what {
                What::Received if leaf.detail.is_empty() => *account.accepted.entry(id).or_default() += 1,
                What::Authored => {
                    let record = core.store.record_bytes(&id).ok().flatten();
                    let record = record.and_then(|bytes| Verified::from_own_store(bytes).ok());
                    match record {
                        Some(record) => account.authored.push((index, record)),
                        // What it passed on goes when it is taken back.
                        None if core.store.held(&id).is_ok_and(|held| held.is_some_and(|h| h.record.is_none())) => {
                            account.deleted.insert(id);
                        }
                        None => {
                            let what = format!("record {id} that it authored is not there");
                            return Err(self.failure(Invariant::NoSilentLoss, &[node], what).into());
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(account)
    }

    /// What came to a node came once, and is what its author made.
    fn check_recipient(&mut self, node: usize, account: &Account) -> Result<(), Stop> {
        for (id, count) in &account.accepted {
            if *count != 1 {
                let what = format!("record {id} was taken {count} times");
                return Err(self.failure(Invariant::NoSilentLoss, &[node], what).into());
            }
            let held = self.core(node)?.store.record_bytes(id).ok().flatten();
            let Some(minted) = self.minted.get(id) else { continue };
            if held.is_some_and(|held| held != minted.bytes) {
                let what = format!("record {id} has other bytes than its author gave it");
                return Err(self.failure(Invariant::BytesUnchanged, &[node], what).into());
            }
            if !minted.audience.contains(&self.nodes[node].id) {
                let what = format!("record {id} came to an agency outside its audience");
                return Err(self.failure(Invariant::AudienceOnly, &[node], what).into());
            }
        }
        Ok(())
    }

    /// Each recipient of a record has given its word on it, and the word is true.
    fn check_author(
        &mut self,
        node: usize,
        leaf: u64,
        record: &Verified,
        accounts: &BTreeMap<usize, Account>,
    ) -> Result<(), Stop> {
        let me = self.nodes[node].id.clone();
        let rows = self.core(node)?.store.rows("track", &leaf.to_be_bytes(), None).unwrap_or_default();
        for to in record.header().audience.iter().filter(|to| **to != me) {
            // Audiences are made of the run's agencies.
            let Some(recipient) = self.index(to) else { continue };
            let row = rows.iter().find(|row| row.body["to"].as_str() == Some(to.as_str()));
            let state = row.and_then(|row| row.body["state"].as_str()).unwrap_or("missing");
            let says = |what: String| format!("record {} ({}): {what}", record.id(), record.header().kind);
            let removed = self.removing.contains(&recipient);
            if removed && matches!(state, "failed" | "accepted" | "rejected")
                || self.nodes[recipient].role == Role::Liar
            {
                continue;
            }
            let Some(row) = row.filter(|_| matches!(state, "accepted" | "rejected")) else {
                let what = says(format!("it ends as {state}"));
                return Err(self.failure(Invariant::NoSilentLoss, &[node, recipient], what).into());
            };
            let accepted = accounts.get(&recipient).is_some_and(|a| a.accepted.contains_key(&record.id()));
            let reason = row.body["reason"].as_str().and_then(|reason| reason.parse::<Reason>().ok());
            let kinds = [Onward::KIND, RequestStep::KIND];
            let judged_anew = record.header().expires.is_some() || kinds.contains(&record.header().kind.as_str());
            if self.nodes[recipient].restored && judged_anew {
                // What was accepted and lost with the disk may have expired when it came again, or have been passed on under a
                // key of its originator that the recipient does not know yet since then, or be a step in a request of its own that
                // it lost.
                continue;
            }
            // A recipient that has not heard of the originator's newest key refuses what is passed on under it.
            let passed_on = record.header().kind == Onward::KIND && reason == Some(Reason::UnknownKey);
            // A step comes too late where the request is not held, or no longer.
            let gone = reason == Some(Reason::NoSuchRequest) && !self.knows_of(recipient, record)?;
            let may_reject = reason == Some(Reason::Expired) && record.header().expires.is_some() || passed_on || gone;
            if accepted != (state == "accepted") || state == "rejected" && !may_reject {
                let what =
                    says(format!("its author says {state} for {reason:?}, and the recipient holds it: {accepted}"));
                return Err(self.failure(Invariant::NoSilentLoss, &[node, recipient], what).into());
            }
            self.check_receipt(node, recipient, record, row)?;
            if accepted {
                self.check_held(node, recipient, record, row)?;
            }
        }
        Ok(())
    }

    /// The receipt names a leaf that is in the recipient's ledger.
    fn check_receipt(&mut self, node: usize, recipient: usize, record: &Verified, row: &Row) -> Result<(), Stop> {
        let receipt = row.body["receipt"].as_str().and_then(|id| id.parse::<RecordId>().ok());
        let bytes = receipt.and_then(|id| self.nodes[node].core.as_ref()?.store.record_bytes(&id).ok().flatten());
        let body = bytes.and_then(|bytes| {
            let receipt = Verified::from_own_store(bytes).ok()?;
            Receipt::from_body(receipt.header(), receipt.body()).ok()
        });
        let entry =
            body.and_then(|body| Some((body.entries.into_iter().find(|e| e.record == record.id())?, body.ledger)));
        let Some((entry, ledger)) = entry else {
            let what = format!("there is no receipt on record {}", record.id());
            return Err(self.failure(Invariant::NoSilentLoss, &[node, recipient], what).into());
        };
        let proven = self.leaf_of(&entry);
        let told = self.shadow.get(&ledger).and_then(|leaves| leaves.get(entry.index as usize)).copied();
        // Of a record that was deleted meanwhile the salt is gone, and only the place can be compared.
        if entry.salt != [0; 16] && told != Some(proven) {
            let what = format!(
                "the receipt on record {} names leaf {} of {ledger}, which is another",
                record.id(),
                entry.index
            );
            return Err(self.failure(Invariant::NoSilentLoss, &[node, recipient], what).into());
        }
        let core = self.core(recipient)?;
        let (size, root) = core.exchange.ledger();
        if ledger != core.exchange.ledger_origin() || entry.salt == [0; 16] {
            return Ok(());
        }
        let proof = proof::inclusion(&core.store, entry.index, size);
        if !proof.is_ok_and(|proof| verify_inclusion(&proven, entry.index, size, &proof, &root).is_ok()) {
            let what = format!("leaf {} of record {} is not proven", entry.index, record.id());
            return Err(self.failure(Invariant::HistoryHolds, &[node, recipient], what).into());
        }
        Ok(())
    }

    fn leaf_of(&self, entry: &Entry) -> Hash {
        let detail = entry.rejected.clone().unwrap_or_default().into_bytes();
        let (at_ms, subject, salt) = (entry.at_ms, Digest(entry.record.0), entry.salt);
        Leaf { what: What::Received, at_ms, subject, detail, salt }.hash()
    }

    /// The recipient holds the record, unless its author took it back; and it said what it did about that.
    fn check_held(&mut self, node: usize, recipient: usize, record: &Verified, row: &Row) -> Result<(), Stop> {
        let author = record.header().author.clone();
        let retracted = self.retracted_by(recipient, &author)?;
        let held = self.holds(recipient, &record.id())?;
        let ordered = |world: &Self, id: RecordId| world.desks.ordered.contains(&(recipient, id));
        if !held && !retracted.contains(&record.id()) && !ordered(self, record.id()) {
            let what = format!("record {} was accepted, and is gone", record.id());
            return Err(self.failure(Invariant::NoSilentLoss, &[node, recipient], what).into());
        }
        if record.header().kind != Retraction::KIND {
            return Ok(());
        }
        let Some(target) = record.header().the_one(Relation::Retracts) else { return Ok(()) };
        let action = row.body["answer"]["action"].as_str().unwrap_or("none").to_owned();
        let held = self.holds(recipient, &target)?;
        if matches!(action.as_str(), "marked" | "kept") == held && action != "none" || ordered(self, target) {
            return Ok(());
        }
        let what = format!("the answer to retraction {} is {action}, and the record is held: {held}", record.id());
        Err(self.failure(Invariant::NoSilentLoss, &[node, recipient], what).into())
    }

    /// Whether a node holds the request that a step is about, and never lost it.
    fn knows_of(&mut self, node: usize, step: &Verified) -> Result<bool, Stop> {
        let request = step.header().the_one(Relation::Answers);
        Ok(!self.nodes[node].restored && request.map_or(Ok(false), |request| self.has(node, &request))?)
    }

    fn holds(&mut self, node: usize, id: &RecordId) -> Result<bool, Stop> {
        let held = self.core(node)?.store.record_bytes(id);
        match held {
            Ok(held) => Ok(held.is_some()),
            Err(error) => {
                let what = format!("record {id} cannot be read: {error}");
                Err(self.failure(Invariant::NoSilentLoss, &[node], what).into())
            }
        }
    }

    /// What an author took back from a node.
    fn retracted_by(&mut self, node: usize, author: &AgencyId) -> Result<BTreeSet<RecordId>, Stop> {
        let me = self.nodes[node].id.clone();
        let of = self.minted.values().filter(|m| m.author == *author && m.audience.contains(&me));
        let records = of.filter_map(|m| Verified::from_own_store(m.bytes.clone()).ok());
        Ok(records.filter_map(|record| record.header().the_one(Relation::Retracts)).collect())
    }

    /// A retraction reaches everyone who holds the record: whoever came by it through agencies that kept their state holds it
    /// no longer, or has heard that it is taken back.
    fn check_third_hands(&mut self, node: usize, accounts: &BTreeMap<usize, Account>) -> Result<(), Stop> {
        let sound = |world: &Self, id: &AgencyId| {
            let index = world.index(id);
            index.is_some_and(|n| {
                world.nodes[n].role == Role::Honest && !world.nodes[n].restored && !world.removing.contains(&n)
            })
        };
        if self.nodes[node].restored || self.removing.contains(&node) {
            return Ok(());
        }
        let retracted: BTreeSet<RecordId> = accounts
            .values()
            .flat_map(|account| &account.authored)
            .filter(|(_, record)| record.header().kind == Retraction::KIND)
            .filter_map(|(_, record)| record.header().the_one(Relation::Retracts))
            .collect();
        let me = self.nodes[node].id.clone();
        let of = self.minted.values().filter(|m| m.audience.contains(&me) || m.author == me);
        let records: Vec<_> = of.filter_map(|m| Verified::from_own_store(m.bytes.clone()).ok()).collect();
        for record in records.into_iter().filter(|record| record.header().kind == Onward::KIND) {
            let Ok(carried) = Carried::read(record.header(), record.body()) else { continue };
            let original = carried.original();
            let mut hands = carried.bearers();
            hands.extend([original.header().author.clone(), record.header().author.clone()]);
            if !retracted.contains(&original.id()) || !hands.iter().all(|hand| sound(self, hand)) {
                continue;
            }
            let store = &self.core(node)?.store;
            let said =
                Said { relation: Relation::Retracts, by: &record.header().author, kind: Retraction::KIND, latest: 1 };
            let heard = store.referring(&record.id(), said).is_ok_and(|by| !by.is_empty());
            let held = matches!(store.record_bytes(&record.id()), Ok(Some(_)));
            if held && !heard {
                let what = format!("record {} was taken back, and {} still carries it", original.id(), record.id());
                return Err(self.failure(Invariant::NoSilentLoss, &[node], what).into());
            }
        }
        Ok(())
    }

    fn check_store(&mut self, node: usize) -> Result<(), Stop> {
        match self.core(node)?.store.fsck() {
            Ok(findings) if findings.is_empty() => Ok(()),
            other => {
                let what = format!("fsck finds {other:?}");
                Err(self.failure(Invariant::ViewsRebuild, &[node], what).into())
            }
        }
    }

    /// Views that are thrown away come back with the same rows.
    fn check_rebuild(&mut self, node: usize) -> Result<(), Stop> {
        let core = self.core(node)?;
        let rows = |store: &mufakat_store::Sqlite| {
            VIEWS.iter().map(|view| store.rows(view.name(), &[], None).map_err(|e| e.to_string())).collect::<Vec<_>>()
        };
        let before = rows(&core.store);
        let rebuilt = core.store.rebuild_views();
        let after = rows(&core.store);
        if rebuilt.is_ok() && before == after {
            return Ok(());
        }
        let what = format!("rebuilding the views: {rebuilt:?}, the same rows: {}", before == after);
        Err(self.failure(Invariant::ViewsRebuild, &[node], what).into())
    }

    /// No state file holds a marker of a record that is not for its agency.
    fn search_files(&mut self) -> Result<(), Stop> {
        for node in 0..self.nodes.len() {
            let path = self.nodes[node].path.display().to_string();
            for suffix in ["", "-wal"] {
                // The log of writes need not be there.
                let Ok(bytes) = fs::read(format!("{path}{suffix}")) else { continue };
                self.search(node, &bytes, "a state file")?;
            }
        }
        Ok(())
    }
}
