//! The sending end of a node: what it does about its channels, and what it makes of the answers.

use std::cmp::Ordering;

use mufakat_exchange::{Departed, Plan, WAIT_MS_MAX};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::parcel::{self, Outer, Parcel};
use mufakat_record::{KeyId, Reason, RecordId, Unverified, sha256};
use mufakat_store::{Queries, Queued};

use crate::Sabotage;
use crate::invariant::{Invariant, Stop};
use crate::network::{Ask, Call, Event, Greeting, Reply};
use crate::node::Role;
use crate::world::World;

/// How long a sender sleeps at most.
const NAP_MS: u64 = 30_000;
/// How long a node waits before it greets again a partner that did not answer.
const GREET_AGAIN_MS: u64 = 40_000;
/// How long a sender rests after a gap.
const GAP_PAUSE_MS: u64 = 10_000;
/// How often a mailbox is looked at.
const POLL_MS: u64 = 20_000;
/// Records in a parcel at most, so that there are several.
const COUNT_MAX: usize = 8;
/// Bytes in a parcel at most.
const BYTES_MAX: usize = 12 * 1024;

/// How an attempt to bring something failed.
pub(crate) enum Undelivered {
    NoAnswer,
    Refused(Reason, u64),
    Nonsense,
    NoKey,
}

impl World {
    /// What a sender does when it wakes.
    pub(crate) fn look_at_channel(&mut self, node: usize, to: usize) -> Result<(), Stop> {
        let has_relay = self.relays(node).iter().any(|relay| *relay != to);
        let (id, now_ms) = (self.nodes[to].id.clone(), self.clock_ms(node));
        let core = self.core(node)?;
        let epoch = core.exchange.epoch();
        let Some(channel) = core.exchange.outbound(&id) else { return Ok(()) };
        let plan = channel.plan_on(now_ms, has_relay, COUNT_MAX as u64);
        let load = match plan {
            Plan::Direct(first) | Plan::Relay(first) => core.store.outbox(&id, first, COUNT_MAX, BYTES_MAX),
            Plan::Idle | Plan::Wait(_) => Ok(Vec::new()),
        };
        let departed = match (plan, &load, core.exchange.outbound(&id)) {
            (Plan::Direct(first), Ok(load), Some(channel)) => {
                Some(channel.departs(first, load.last().map_or(0, |queued| queued.position)))
            }
            _ => None,
        };
        let load = load
            .map_err(|e| self.failure(Invariant::WorksAlone, &[node, to], format!("the outbox cannot be read: {e}")))?;
        match plan {
            Plan::Idle => Ok(()),
            // An attempt is under way, and its end wakes the sender.
            Plan::Wait(u64::MAX) => Ok(()),
            Plan::Wait(until_ms) => {
                let wait = until_ms.saturating_sub(now_ms);
                if wait > WAIT_MS_MAX {
                    let what = format!("a sender waits {wait} ms, because its clock was set");
                    return Err(self.failure(Invariant::ClocksLie, &[node, to], what).into());
                }
                self.wake_at(node, to, self.now + wait.clamp(1, NAP_MS));
                Ok(())
            }
            Plan::Direct(_) => match (self.sealed(node, to, epoch, &load)?, departed) {
                (Some(bytes), Some(departed)) => {
                    self.tell(|_| format!("{node}: {} records to {to}", load.len()));
                    self.leak(node, to, epoch, &load)?;
                    // Another may follow before this one is answered.
                    self.wake_at(node, to, self.now + 1);
                    self.ask(node, to, Ask::Parcel(bytes), Call::Direct { to, departed })
                }
                _ => self.not_brought(node, to, departed, Undelivered::NoKey),
            },
            Plan::Relay(_) => {
                let through = load.last().map_or(0, |queued| queued.position);
                let relay = self.relays(node).into_iter().find(|relay| *relay != to);
                match (self.sealed(node, to, epoch, &load)?, relay) {
                    (Some(bytes), Some(relay)) => {
                        self.tell(|_| format!("{node}: {} records for {to} to relay {relay}", load.len()));
                        self.ask(node, relay, Ask::Relay(bytes), Call::HandOver { to, through })
                    }
                    _ => self.not_relayed(node, to),
                }
            }
        }
    }

    fn leak(&mut self, node: usize, to: usize, epoch: u64, load: &[Queued]) -> Result<(), Stop> {
        if self.sabotage(Sabotage::LeakToOutsider, 150) {
            let others: Vec<_> = self.partners(node).into_iter().filter(|other| *other != to).collect();
            if let Some(other) = self.dice.pick(&others)
                && let Some(bytes) = self.sealed(node, other, epoch, load)?
            {
                return self.ask(node, other, Ask::Parcel(bytes), Call::Told);
            }
        }
        if self.sabotage(Sabotage::SendHome, 150) {
            let me = self.nodes[node].id.clone();
            let home = self.minted.iter().find(|(_, m)| m.author == me && m.audience == [me.clone()]);
            let home = home.map(|(id, m)| Queued { position: 1, record: *id, bytes: m.bytes.clone() });
            if let Some(load) = home
                && let Some(bytes) = self.sealed(node, to, epoch, &[load])?
            {
                return self.ask(node, to, Ask::Parcel(bytes), Call::Told);
            }
        }
        Ok(())
    }

    /// What a node that has gone mad does: it sends to an agency that is removed.
    pub(crate) fn send_regardless(&mut self, node: usize, to: usize) -> Result<(), Stop> {
        let Some(record) = self.minted.iter().find(|(_, m)| m.author == self.nodes[node].id) else { return Ok(()) };
        let load = [Queued { position: 1, record: *record.0, bytes: record.1.bytes.clone() }];
        match self.sealed(node, to, 1, &load)? {
            Some(bytes) => self.ask(node, to, Ask::Parcel(bytes), Call::Told),
            None => Ok(()),
        }
    }

    /// Seals records to a partner's newest sealing key, as far as the node knows it.
    fn sealed(&mut self, node: usize, to: usize, epoch: u64, load: &[Queued]) -> Result<Option<Vec<u8>>, Stop> {
        let records: Vec<(RecordId, &[u8])> = load.iter().map(|q| (q.record, q.bytes.as_slice())).collect();
        self.sealed_for(node, to, epoch, load.first().map_or(0, |q| q.position), &records)
    }

    pub(crate) fn sealed_for(
        &mut self,
        node: usize,
        to: usize,
        epoch: u64,
        first: u64,
        records: &[(RecordId, &[u8])],
    ) -> Result<Option<Vec<u8>>, Stop> {
        let directory = self.directory(node)?;
        let now_s = self.clock_ms(node) / 1000;
        let (sender, recipient) = (self.nodes[node].id.clone(), self.nodes[to].id.clone());
        let Some(key) = directory.sealing_key(&recipient, now_s) else { return Ok(None) };
        let register = directory.chain().current();
        let outer = Outer {
            suite: 0,
            sender,
            recipient,
            epoch,
            first,
            count: 0,
            sealing_key: KeyId([0; 16]),
            signing_key: KeyId([0; 16]),
            register_version: register.version,
            expires: now_s + register.rules.relay_max_s,
        };
        let signer = self.core(node)?.exchange.signer();
        let sealed = parcel::seal(outer, records, &key, &signer, self.dice.bytes());
        let sealed = sealed.map_err(|reason| {
            self.failure(
                Invariant::WorksAlone,
                &[node, to],
                format!("a load of {} cannot be sealed: {reason}", records.len()),
            )
        })?;
        let bytes = sealed.to_bytes();
        self.genuine.insert(sha256(&bytes));
        Ok(Some(bytes))
    }

    /// An honest node sends no parcel to an agency that its register has removed.
    pub(crate) fn may_send(&mut self, node: usize, to: usize, ask: &Ask) -> Result<(), Stop> {
        let (Ask::Parcel(bytes) | Ask::Relay(bytes)) = ask else { return Ok(()) };
        let directory = self.directory(node)?;
        let recipient = Parcel::parse(bytes).map(|parcel| parcel.outer.recipient);
        if recipient.is_ok_and(|recipient| directory.chain().member(&recipient).is_none()) {
            let what = "a parcel is sent to an agency that is removed".to_owned();
            return Err(self.failure(Invariant::RegisterHolds, &[node, to], what).into());
        }
        Ok(())
    }

    pub(crate) fn answered(&mut self, node: usize, from: usize, call: Call, reply: Reply) -> Result<(), Stop> {
        match (call, reply) {
            (Call::Direct { to, departed }, Reply::Receipt(bytes)) => {
                if self.take_receipt(node, to, bytes)? {
                    let jitter = self.dice.below(1 << 32) as u32;
                    self.note(node, to, |channel, now_ms| {
                        channel.answered(&departed, now_ms, jitter);
                    })?;
                    self.wake_at(node, to, self.now + 1);
                    Ok(())
                } else {
                    self.not_brought(node, to, None, Undelivered::Nonsense)
                }
            }
            (Call::Direct { to, departed }, Reply::Refused(reason, expected)) => {
                self.not_brought(node, to, Some(departed), Undelivered::Refused(reason, expected))
            }
            (Call::Direct { to, .. }, _) => self.not_brought(node, to, None, Undelivered::Nonsense),
            (Call::HandOver { to, through }, Reply::Done) => {
                self.note(node, to, |channel, now_ms| channel.relayed(through, now_ms))?;
                self.wake_at(node, to, self.now + 1);
                Ok(())
            }
            (Call::HandOver { to, .. }, _) => self.not_relayed(node, to),
            (Call::Greet { to }, Reply::Greeting(greeting)) => self.greeted(node, to, &greeting),
            (Call::Fetch, Reply::Register(parts)) => self.adopt_register(node, parts),
            (Call::Fetch, Reply::KeySet(Some(record))) => self.adopt_key_set(node, record),
            (Call::Mailbox { relay }, Reply::Mail(mail)) => self.take_mail(node, relay, mail),
            (Call::GiveBack { .. }, Reply::Done) => Ok(()),
            (Call::GiveBack { sender, parcel }, _) => self.give_to_relay(node, sender, parcel),
            (Call::Cosign { witness, checkpoint, asks }, reply) => {
                self.cosignature_came(node, witness, *checkpoint, asks, reply)
            }
            (Call::Compare { log, mine, theirs }, Reply::Proof(proof)) => {
                self.proof_came(node, log, &mine, &theirs, &proof, from)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn timed_out(&mut self, node: usize, call: Call) -> Result<(), Stop> {
        match call {
            Call::Direct { to, .. } => self.not_brought(node, to, None, Undelivered::NoAnswer),
            Call::HandOver { to, .. } => self.not_relayed(node, to),
            Call::GiveBack { sender, parcel } => self.give_to_relay(node, sender, parcel),
            _ => Ok(()),
        }
    }

    /// Checks a receipt and takes it; false when it makes no sense.
    pub(crate) fn take_receipt(&mut self, node: usize, from: usize, bytes: Vec<u8>) -> Result<bool, Stop> {
        let directory = self.directory(node)?;
        let now_s = self.clock_ms(node) / 1000;
        let receipt = Unverified::parse(bytes).and_then(|record| record.verify(&*directory, now_s));
        let Some(receipt) = receipt.ok().filter(|record| record.header().author == self.nodes[from].id) else {
            return Ok(false);
        };
        let entries = Receipt::from_body(receipt.header(), receipt.body()).map_or(0, |body| body.entries.len());
        let taken = self.transact(node, |exchange, store, random, now_ms| {
            match exchange.take_receipt(receipt, now_ms, random, store) {
                Ok(batch) => Ok((batch, Ok(()))),
                Err(refused) => Ok((Default::default(), Err(crate::receive::because(refused)?))),
            }
        })?;
        self.tell(|_| format!("{node}: receipt of {from} for {entries}: {taken:?}"));
        Ok(taken.is_ok())
    }

    fn not_brought(
        &mut self,
        node: usize,
        to: usize,
        departed: Option<Departed>,
        how: Undelivered,
    ) -> Result<(), Stop> {
        match (how, departed) {
            (Undelivered::Refused(Reason::Gap, expected), Some(departed)) => {
                self.note(node, to, |channel, now_ms| channel.gap(&departed, expected, now_ms, 0))?;
                // A partner that says this again and again is not to keep the sender busy.
                self.wake_at(node, to, self.now + GAP_PAUSE_MS);
                return Ok(());
            }
            (Undelivered::Refused(reason, _), _) => {
                self.tell(|_| format!("{node}: {to} refuses with {reason}"));
                self.expected_between_the_honest(node, to, reason)?;
                self.after_greeting(node, to, reason);
            }
            (Undelivered::NoKey, _) => self.learn_keys(node, to)?,
            (Undelivered::NoAnswer | Undelivered::Nonsense, _) => {}
        }
        let jitter = self.dice.below(1 << 32) as u32;
        self.note(node, to, |channel, now_ms| channel.failed(now_ms, jitter))?;
        self.wake_at(node, to, self.now + 1);
        Ok(())
    }

    /// One of the two does not know the other's latest keys or register yet.
    fn after_greeting(&mut self, node: usize, to: usize, reason: Reason) {
        use Reason::{CannotOpen, KeyRevoked, UnknownKey, UnknownRegister, UnknownSealingKey};
        if matches!(reason, UnknownKey | UnknownSealingKey | CannotOpen | UnknownRegister | KeyRevoked) {
            let life = self.nodes[node].life;
            if let Some(core) = self.nodes[node].core.as_mut() {
                core.greeted.remove(&to);
            }
            self.after(1, Event::Greet { node, life, to });
        }
    }

    /// Honest nodes refuse each other's parcels only while one of them is behind.
    fn expected_between_the_honest(&mut self, node: usize, to: usize, reason: Reason) -> Result<(), Stop> {
        use Reason::{
            AuthorNotInRegister, AuthorRemoved, Gap, StaleEpoch, StorageFull, UnknownKey, UnknownRegister,
            UnknownSealingKey,
        };
        let fine = [
            AuthorNotInRegister,
            AuthorRemoved,
            Gap,
            StaleEpoch,
            StorageFull,
            UnknownKey,
            UnknownRegister,
            UnknownSealingKey,
        ];
        if self.nodes[to].role == Role::Liar || fine.contains(&reason) {
            return Ok(());
        }
        let what = format!("an honest parcel is refused with {reason}");
        Err(self.failure(Invariant::BadInputIsAnswer, &[node, to], what).into())
    }

    fn not_relayed(&mut self, node: usize, to: usize) -> Result<(), Stop> {
        self.note(node, to, |channel, now_ms| channel.relay_failed(now_ms))?;
        self.wake_at(node, to, self.now + 1);
        Ok(())
    }

    fn note(
        &mut self,
        node: usize,
        to: usize,
        note: impl FnOnce(&mut mufakat_exchange::Outbound, u64),
    ) -> Result<(), Stop> {
        let (id, now_ms) = (self.nodes[to].id.clone(), self.clock_ms(node));
        if let Some(channel) = self.core(node)?.exchange.outbound(&id) {
            note(channel, now_ms);
        }
        Ok(())
    }

    /// Greets a partner until it has answered once.
    pub(crate) fn greet(&mut self, node: usize, to: usize) -> Result<(), Stop> {
        let life = self.nodes[node].life;
        if self.core(node)?.greeted.contains(&to) || !self.partners(node).contains(&to) {
            return Ok(());
        }
        self.after(GREET_AGAIN_MS, Event::Greet { node, life, to });
        let greeting = self.greeting(node, to)?;
        self.ask(node, to, Ask::Greet(greeting), Call::Greet { to })
    }

    pub(crate) fn greeting(&mut self, node: usize, to: usize) -> Result<Greeting, Stop> {
        let (me, id) = (self.nodes[node].id.clone(), self.nodes[to].id.clone());
        let exchange = &self.core(node)?.exchange;
        let directory = exchange.directory();
        let inbound = exchange.inbound(&id);
        Ok(Greeting {
            channel_epoch: inbound.epoch,
            expected: inbound.expected,
            register_version: directory.chain().current().version,
            key_set: directory.key_set_record(&me).unwrap_or_default().to_vec(),
        })
    }

    fn greeted(&mut self, node: usize, to: usize, greeting: &Greeting) -> Result<(), Stop> {
        self.hear(node, to, greeting)?;
        self.core(node)?.greeted.insert(to);
        let directory = self.directory(node)?;
        let ours = directory.chain().current().version;
        if greeting.register_version > ours {
            self.ask(node, to, Ask::Register, Call::Fetch)
        } else if greeting.register_version < ours {
            self.ask(node, to, Ask::TakeRegister(crate::community::parts(directory.chain())), Call::Told)
        } else {
            Ok(())
        }
    }

    /// Takes in what a partner says of itself, and sends what waits for it.
    pub(crate) fn hear(&mut self, node: usize, from: usize, greeting: &Greeting) -> Result<(), Stop> {
        self.adopt_key_set(node, greeting.key_set.clone())?;
        let epoch = self.core(node)?.exchange.epoch();
        let expected = match greeting.channel_epoch.cmp(&epoch) {
            // It has nothing of this epoch, be it that it never had or that it lost it.
            Ordering::Less => 1,
            Ordering::Equal => greeting.expected,
            // No such epoch of ours has been.
            Ordering::Greater => u64::MAX,
        };
        self.note(node, from, |channel, _| channel.synced(expected))?;
        self.wake_at(node, from, self.now + 1);
        Ok(())
    }

    fn learn_keys(&mut self, node: usize, of: usize) -> Result<(), Stop> {
        let life = self.nodes[node].life;
        self.core(node)?.greeted.remove(&of);
        self.after(1, Event::Greet { node, life, to: of });
        for relay in self.relays(node) {
            self.ask(node, relay, Ask::KeySet(of), Call::Fetch)?;
        }
        Ok(())
    }

    /// Looks into a mailbox.
    pub(crate) fn poll(&mut self, node: usize, relay: usize) -> Result<(), Stop> {
        let life = self.nodes[node].life;
        if !self.relays(node).contains(&relay) {
            return Ok(());
        }
        self.after(POLL_MS, Event::Poll { node, life, relay });
        let cursor = self.core(node)?.cursors.get(&relay).copied().unwrap_or_default();
        self.ask(node, relay, Ask::Mailbox(cursor), Call::Mailbox { relay })
    }
}
