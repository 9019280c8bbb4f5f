//! Witnessing in a run: checkpoints, cosignatures, and what witnesses tell each other.

use mufakat_exchange::Directory;
use mufakat_ledger::witness::{Comparison, Refusal, Request, compare, decide};
use mufakat_ledger::{
    Algorithm, Checkpoint, Hash, SignedCheckpoint, VerifierKey, empty_root, proof, verify_consistency,
};
use mufakat_record::AgencyId;
use mufakat_store::{Queries, Store};

use crate::Sabotage;
use crate::invariant::{Invariant, Stop};
use crate::network::{Ask, Call, Event, Reply};
use crate::node::Role;
use crate::world::World;

/// How many witnesses an honest node asks in a round.
const WITNESSES: usize = 3;
/// How often one witness is asked in one round.
const ASKS_MAX: u8 = 3;

impl World {
    /// One round: a checkpoint, cosignatures for it, and what was seen of others.
    pub(crate) fn witness_round(&mut self, node: usize) -> Result<(), Stop> {
        let life = self.nodes[node].life;
        self.after(self.plan.witness_interval_ms, Event::Round { node, life });
        if let Some(signed) = self.checkpoint(node)? {
            let partners = self.partners(node);
            for step in 0..WITNESSES.min(partners.len()) {
                let witness = partners[(node + step) % partners.len()];
                self.ask_to_cosign(node, witness, &signed, 0, 0)?;
            }
        }
        self.gossip(node)
    }

    /// Makes and keeps a checkpoint, and sees that it extends the one before.
    fn checkpoint(&mut self, node: usize) -> Result<Option<SignedCheckpoint>, Stop> {
        let rewrites = self.sabotage(Sabotage::RewriteLedger, 300);
        let core = self.core(node)?;
        let (size, mut root) = core.exchange.ledger();
        let (origin, epoch) = (core.exchange.ledger_origin(), core.exchange.epoch());
        if size == 0 {
            return Ok(None);
        }
        if rewrites {
            root = mufakat_ledger::node_hash(&root, &root);
        }
        let (old_size, old_root) = self.signed.get(&origin).copied().unwrap_or_else(|| (0, empty_root()));
        let consistent = if old_size > size {
            Err(format!("{old_size} leaves were signed, and there are {size}"))
        } else {
            let proof = proof::consistency(&self.core(node)?.store, old_size, size).map_err(|e| e.to_string());
            proof.and_then(|p| verify_consistency(old_size, &old_root, size, &root, &p).map_err(|e| e.to_string()))
        };
        if let Err(why) = consistent {
            let what = format!("the checkpoint of {size} leaves does not extend the one of {old_size}: {why}");
            return Err(self.failure(Invariant::HistoryHolds, &[node], what).into());
        }
        let checkpoint = Checkpoint { origin: origin.clone(), size, root, extensions: Vec::new() };
        let log = self.nodes[node].keys.ledger(epoch);
        let signed = SignedCheckpoint::sign(checkpoint, &log).map_err(|e| {
            self.failure(Invariant::HistoryHolds, &[node], format!("a checkpoint cannot be signed: {e}"))
        })?;
        let note = signed.encode();
        self.store(node, |store| store.set_own_checkpoint(&note))?;
        self.signed.insert(origin, (size, root));
        Ok(Some(signed))
    }

    fn ask_to_cosign(
        &mut self,
        node: usize,
        witness: usize,
        signed: &SignedCheckpoint,
        old: u64,
        asks: u8,
    ) -> Result<(), Stop> {
        let size = signed.checkpoint().size;
        let Ok(proof) = proof::consistency(&self.core(node)?.store, old, size) else { return Ok(()) };
        let request = Request::new(old, proof, signed).encode();
        let call = Call::Cosign { witness, checkpoint: Box::new(signed.clone()), asks: asks + 1 };
        self.ask(node, witness, Ask::Cosign(request), call)
    }

    /// What a witness answered.
    pub(crate) fn cosignature_came(
        &mut self,
        node: usize,
        witness: usize,
        mut signed: SignedCheckpoint,
        asks: u8,
        reply: Reply,
    ) -> Result<(), Stop> {
        match reply {
            Reply::SeenSize(seen) if seen <= signed.checkpoint().size && asks < ASKS_MAX => {
                self.ask_to_cosign(node, witness, &signed, seen, asks)
            }
            Reply::Cosignature(line) => {
                let directory = self.directory(node)?;
                let key = witness_key(&directory, &self.nodes[witness].id);
                let added = key.map(|key| signed.add(&line, &[key]));
                // The key of an agency that is new may not have come yet.
                let holds = added.as_ref().is_none_or(|added| added.as_ref().is_ok_and(|added| added.len() == 1));
                if self.nodes[witness].role == Role::Honest && !holds {
                    let what = format!("an honest cosignature does not hold: {added:?}");
                    return Err(self.failure(Invariant::HistoryHolds, &[node, witness], what).into());
                }
                let note = signed.encode();
                self.store(node, |store| store.set_own_checkpoint(&note))
            }
            _ => Ok(()),
        }
    }

    /// A witness is asked. It answers only when what it has seen is durable.
    pub(crate) fn asked_to_cosign(&mut self, from: usize, node: usize, request: &str) -> Result<Reply, Stop> {
        let Ok(request) = Request::parse(request) else { return Ok(Reply::Trouble) };
        let origin = request.origin().to_owned();
        let directory = self.directory(node)?;
        let log = agency_of(&origin).and_then(|agency| log_key(&directory, &agency)).filter(|key| key.name() == origin);
        let now_s = self.clock_ms(node) / 1000;
        let seen = self.seen(node, &origin)?;
        match decide(seen.as_ref(), request, log.as_ref(), &self.nodes[node].keys.witness, now_s) {
            Ok((seen, line)) => {
                self.store(node, |store| store.set_seen(&origin, &seen))?;
                self.stats.cosignatures += 1;
                self.cosigned.entry((node, origin)).or_default().push((seen.size, seen.root));
                Ok(Reply::Cosignature(line))
            }
            Err(Refusal::Conflict { size }) => Ok(Reply::SeenSize(size)),
            Err(Refusal::Split(split)) => {
                self.found_split(node, split)?;
                Ok(Reply::Trouble)
            }
            Err(refusal) => {
                // A witness that was restored, or that does not know the key set yet, refuses; nothing else may happen.
                let fine = matches!(refusal, Refusal::UnknownLog(_));
                if self.nodes[from].role == Role::Liar || fine {
                    return Ok(Reply::Trouble);
                }
                let what = format!("an honest checkpoint is refused: {refusal}");
                Err(self.failure(Invariant::HistoryHolds, &[node, from], what).into())
            }
        }
    }

    fn seen(&mut self, node: usize, origin: &str) -> Result<Option<mufakat_ledger::witness::Seen>, Stop> {
        let seen = self.core(node)?.store.seen(origin);
        seen.map_err(|e| {
            let what = format!("what the witness has seen cannot be read: {e}");
            self.failure(Invariant::WorksAlone, &[node], what).into()
        })
    }

    /// Tells partners what was seen: of the liar's ledger all of them, of one other ledger one of them.
    fn gossip(&mut self, node: usize) -> Result<(), Stop> {
        let directory = self.directory(node)?;
        let partners = self.partners(node);
        let origin = |n: usize| directory.key_set(&self.nodes[n].id).map(|set| set.ledger_origin.clone());
        let suspect = self.liar.as_ref().and_then(|liar| origin(liar.node));
        let other = self
            .dice
            .pick(&partners)
            .and_then(|of| Some((of, directory.key_set(&self.nodes[of].id)?.ledger_origin.clone())));
        if let Some(seen) = suspect.map(|origin| self.seen(node, &origin)).transpose()?.flatten() {
            for to in &partners {
                self.ask(node, *to, Ask::Seen(vec![seen.note_text.clone()]), Call::Told)?;
            }
        }
        if let Some((of, origin)) = other
            && let Some(seen) = self.seen(node, &origin)?
        {
            let others: Vec<_> = partners.into_iter().filter(|to| *to != of).collect();
            if let Some(to) = self.dice.pick(&others) {
                self.ask(node, to, Ask::Seen(vec![seen.note_text]), Call::Told)?;
            }
        }
        Ok(())
    }

    /// Compares what another witness has seen with what this one has.
    pub(crate) fn compare_seen(&mut self, node: usize, notes: &[String]) -> Result<(), Stop> {
        let directory = self.directory(node)?;
        for note in notes {
            let Some((origin, _)) = note.split_once('\n') else { continue };
            let Some(agency) = agency_of(origin) else { continue };
            let Some(key) = log_key(&directory, &agency).filter(|key| key.name() == origin) else { continue };
            let Some(seen) = self.seen(node, origin)? else { continue };
            let opened = (SignedCheckpoint::open(&seen.note_text, &key), SignedCheckpoint::open(note, &key));
            let (Ok(mine), Ok(theirs)) = opened else { continue };
            match compare(&mine, &theirs, None) {
                Comparison::Split(split) => self.found_split(node, split)?,
                Comparison::NeedProof { from, to } => {
                    if let Some(log) = self.index(&agency).filter(|log| *log != node) {
                        let call = Call::Compare { log, mine: Box::new(mine), theirs: Box::new(theirs) };
                        self.ask(node, log, Ask::Proof(from, to), call)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A ledger's node gave a proof that two checkpoints belong together.
    pub(crate) fn proof_came(
        &mut self,
        node: usize,
        log: usize,
        mine: &SignedCheckpoint,
        theirs: &SignedCheckpoint,
        proof: &[Hash],
        from: usize,
    ) -> Result<(), Stop> {
        let comparison = compare(mine, theirs, Some(proof));
        if comparison == Comparison::Extends || self.nodes[log].role == Role::Liar {
            return Ok(());
        }
        let what = format!("two checkpoints of an honest ledger do not go together: {comparison:?}");
        Err(self.failure(Invariant::HistoryHolds, &[node, log, from], what).into())
    }

    /// A split view was found: the evidence holds by itself, and no honest ledger is ever shown to be split.
    fn found_split(&mut self, node: usize, split: mufakat_ledger::witness::SplitView) -> Result<(), Stop> {
        let directory = self.directory(node)?;
        let agency = agency_of(&split.origin);
        let log = agency.as_ref().and_then(|agency| self.index(agency));
        let holds =
            agency.and_then(|agency| log_key(&directory, &agency)).is_some_and(|key| split.verify(&key).is_ok());
        let honest = log.is_none_or(|log| self.nodes[log].role != Role::Liar);
        if !holds || honest {
            let what = format!("a split view of {}: its evidence holds: {holds}", split.origin);
            return Err(self.failure(Invariant::HistoryHolds, &[node], what).into());
        }
        self.tell(|_| format!("{node}: split view of {}", split.origin));
        self.stats.splits += 1;
        self.splits.push((node, split));
        Ok(())
    }
}

/// The key that signs an agency's checkpoints.
pub(crate) fn log_key(directory: &Directory, agency: &AgencyId) -> Option<VerifierKey> {
    let keys = directory.key_set(agency)?;
    VerifierKey::new(&keys.ledger_origin, Algorithm::Ed25519, keys.ledger_key).ok()
}

/// The key with which an agency cosigns.
fn witness_key(directory: &Directory, agency: &AgencyId) -> Option<VerifierKey> {
    let keys = directory.key_set(agency)?;
    VerifierKey::new(&format!("mufakat/{agency}/witness"), Algorithm::Cosignature, keys.witness_key).ok()
}

/// The agency whose ledger has this origin.
pub(crate) fn agency_of(origin: &str) -> Option<AgencyId> {
    origin.strip_prefix("mufakat/")?.rsplit_once('/')?.0.parse().ok()
}
