//! The receiving end of a node: what it does when it is asked something, and what it takes from mailboxes.

use std::collections::BTreeSet;
use std::io::BufRead;

use mufakat_exchange::{Batch, Chain, Change, Delivery, Item, Refused};
use mufakat_record::parcel::Parcel;
use mufakat_record::{Reason, RecordId, Unverified, sha256};
use mufakat_store::{Error, Queries, Store};

use crate::Sabotage;
use crate::community::parts;
use crate::invariant::{Invariant, Stop};
use crate::network::{Ask, Call, Parts, Reply};
use crate::node::{Role, unavailable};
use crate::world::World;

/// Parcels that a relay gives at once.
const MAIL_COUNT_MAX: usize = 16;
/// Bytes that a relay gives at once.
const MAIL_BYTES_MAX: usize = 256 * 1024;
/// What stands around a marker in the text of a record.
pub(crate) const MARK: u8 = b'~';

/// What came of a parcel.
#[derive(Debug)]
pub(crate) enum Taken {
    Records { sender: usize, receipt: Vec<u8> },
    Receipts,
    Refused { reason: Reason, expected: u64 },
}

/// The reason for which a whole delivery was refused, with the position expected.
pub(crate) fn because(refused: Refused) -> Result<(Reason, u64), Error> {
    match refused {
        Refused::Because { reason, expected } => Ok((reason, expected)),
        Refused::Unavailable(error) => Err(unavailable(error)),
    }
}

impl World {
    /// A question arrives at a node.
    pub(crate) fn asked(&mut self, from: usize, to: usize, life: u32, call: u64, ask: Ask) -> Result<(), Stop> {
        if self.is_cut(from, to) {
            return Ok(());
        }
        self.search_wire(to, &ask)?;
        if self.nodes[to].role == Role::Liar {
            let reply = self.liar_answers(from, ask)?;
            if let Some(reply) = reply {
                self.reply(to, from, life, call, reply);
            }
            return Ok(());
        }
        if !self.is_up(to) {
            return Ok(());
        }
        let reply = match self.answer(from, to, ask) {
            Ok(reply) => reply,
            Err(Stop::Full) => Reply::Refused(Reason::StorageFull, 0),
            Err(stop) => return Err(stop),
        };
        self.reply(to, from, life, call, reply);
        Ok(())
    }

    fn answer(&mut self, from: usize, to: usize, ask: Ask) -> Result<Reply, Stop> {
        let directory = self.directory(to)?;
        // The listener lets nobody through who is not in the register.
        match directory.chain().current().agency(&self.nodes[from].id) {
            None => return Ok(Reply::Refused(Reason::AuthorNotInRegister, 0)),
            Some(agency) if agency.removed.is_some() => return Ok(Reply::Refused(Reason::AuthorRemoved, 0)),
            Some(_) => {}
        }
        match ask {
            Ask::Parcel(bytes) => Ok(match self.take_parcel(to, &bytes, Some(from))? {
                Taken::Records { receipt, .. } => Reply::Receipt(receipt),
                Taken::Receipts => Reply::Done,
                Taken::Refused { reason, expected } => Reply::Refused(reason, expected),
            }),
            Ask::Relay(bytes) => self.keep_for(from, to, bytes),
            Ask::Mailbox(cursor) => self.give_mail(from, to, cursor),
            Ask::Greet(greeting) => {
                self.hear(to, from, &greeting)?;
                Ok(Reply::Greeting(self.greeting(to, from)?))
            }
            Ask::Register => Ok(Reply::Register(parts(directory.chain()))),
            Ask::TakeRegister(parts) => {
                self.adopt_register(to, parts)?;
                Ok(Reply::Done)
            }
            Ask::KeySet(of) => Ok(Reply::KeySet(directory.key_set_record(&self.nodes[of].id).map(<[u8]>::to_vec))),
            Ask::Cosign(request) => self.asked_to_cosign(from, to, &request),
            Ask::Seen(notes) => {
                self.compare_seen(to, &notes)?;
                Ok(Reply::Done)
            }
            Ask::Proof(old, new) => {
                let proof = mufakat_ledger::proof::consistency(&self.core(to)?.store, old, new);
                Ok(proof.map_or(Reply::Trouble, Reply::Proof))
            }
        }
    }

    /// Takes a parcel that came from `direct`, or from whomever.
    pub(crate) fn take_parcel(&mut self, node: usize, bytes: &[u8], direct: Option<usize>) -> Result<Taken, Stop> {
        let no = |reason| Ok(Taken::Refused { reason, expected: 0 });
        let parcel = match Parcel::parse(bytes) {
            Ok(parcel) => parcel,
            Err(reason) => return no(reason),
        };
        let outer = parcel.outer.clone();
        if outer.recipient != self.nodes[node].id {
            return no(Reason::WrongRecipient);
        }
        if direct.is_some_and(|direct| self.nodes[direct].id != outer.sender) {
            return no(Reason::SenderNotAuthor);
        }
        let directory = self.directory(node)?;
        match directory.chain().current().agency(&outer.sender) {
            None => return no(Reason::AuthorNotInRegister),
            Some(agency) if agency.removed.is_some() => return no(Reason::AuthorRemoved),
            Some(_) => {}
        }
        if outer.register_version > directory.chain().current().version {
            return no(Reason::UnknownRegister);
        }
        let Some(key) = self.nodes[node].keys.sealing(&outer.sealing_key) else { return no(Reason::UnknownSealingKey) };
        let now_s = self.clock_ms(node) / 1000;
        let records = match parcel.open(&key, &*directory, now_s) {
            Ok(records) => records,
            Err(reason) => return no(reason),
        };
        self.stats.parcels += 1;
        // Whoever is in the directory has a name of ours.
        let Some(sender) = self.index(&outer.sender) else { return no(Reason::AuthorNotInRegister) };
        if self.nodes[sender].role != Role::Liar && !self.genuine.contains(&sha256(bytes)) {
            let what = "a parcel is opened as a sender's that did not seal it".to_owned();
            return Err(self.failure(Invariant::BadInputIsAnswer, &[node, sender], what).into());
        }
        for record in &records {
            self.search(node, record, "an opened parcel")?;
            self.check_brought(sender, node, record)?;
        }
        let item = |bytes: Vec<u8>| Item {
            id: RecordId::of(&bytes),
            record: Unverified::parse(bytes).and_then(|record| record.verify(&*directory, now_s)),
        };
        let items: Vec<Item> = records.into_iter().map(item).collect();
        if outer.first == 0 {
            for item in items {
                if let Ok(record) = item.record {
                    self.take_receipt(node, sender, record.into_bytes())?;
                }
            }
            self.wake_at(node, sender, self.now + 1);
            return Ok(Taken::Receipts);
        }
        let delivery = Delivery { sender: outer.sender, epoch: outer.epoch, first: outer.first, items };
        self.deliver(node, sender, delivery)
    }

    fn deliver(&mut self, node: usize, sender: usize, delivery: Delivery) -> Result<Taken, Stop> {
        let honest = self.nodes[sender].role != Role::Liar;
        let skips = honest && self.sabotage(Sabotage::SkipGap, 1000);
        let drops = honest && self.sabotage(Sabotage::DropReceipt, 200);
        let (first, count) = (delivery.first, delivery.items.len());
        let taken = self.transact(node, |exchange, store, random, now_ms| {
            let again = skips.then(|| delivery.clone());
            let mut delivered = exchange.deliver(delivery, now_ms, random, store);
            if let (Err(Refused::Because { reason: Reason::Gap, expected }), Some(mut again)) = (&delivered, again) {
                again.first = *expected;
                delivered = exchange.deliver(again, now_ms, random, store);
            }
            match delivered {
                Ok((mut batch, receipt)) => {
                    if drops {
                        let me = exchange.me();
                        batch
                            .changes
                            .retain(|c| !matches!(c, Change::Keep { record, .. } if record.header().author != *me));
                    }
                    Ok((batch, Ok(receipt)))
                }
                Err(refused) => Ok((Batch::default(), Err(because(refused)?))),
            }
        })?;
        let said = taken.as_ref().map(|_| "taken").map_err(|(reason, _)| reason);
        self.tell(|_| format!("{node}: {count} from {sender} at {first}: {said:?}"));
        Ok(match taken {
            Ok(receipt) => Taken::Records { sender, receipt: receipt.into_bytes() },
            Err((reason, expected)) => Taken::Refused { reason, expected },
        })
    }

    /// Takes what a relay had. What cannot be taken is left to its sender, who sends it again.
    pub(crate) fn take_mail(&mut self, node: usize, relay: usize, mail: Vec<(u64, Vec<u8>)>) -> Result<(), Stop> {
        let more = !mail.is_empty();
        for (cursor, bytes) in mail {
            match self.take_parcel(node, &bytes, None)? {
                Taken::Records { sender, receipt } => {
                    let id = RecordId::of(&receipt);
                    // A receipt has no place on a channel.
                    if let Some(parcel) = self.sealed_for(node, sender, 0, 0, &[(id, &receipt)])? {
                        let call = Call::GiveBack { sender, parcel: parcel.clone() };
                        self.ask(node, sender, Ask::Parcel(parcel), call)?;
                    }
                }
                Taken::Refused { reason: Reason::UnknownKey | Reason::UnknownRegister, .. } => {
                    self.ask(node, relay, Ask::Register, Call::Fetch)?;
                    if let Some(sender) = Parcel::parse(&bytes).ok().and_then(|p| self.index(&p.outer.sender)) {
                        self.ask(node, relay, Ask::KeySet(sender), Call::Fetch)?;
                    }
                }
                Taken::Receipts | Taken::Refused { .. } => {}
            }
            self.core(node)?.cursors.insert(relay, cursor);
        }
        if more {
            self.tell(|_| format!("{node}: mail at relay {relay} taken"));
        }
        Ok(())
    }

    /// A receipt that could not be brought to its recipient goes to a relay; if that fails the sender asks again.
    pub(crate) fn give_to_relay(&mut self, node: usize, sender: usize, parcel: Vec<u8>) -> Result<(), Stop> {
        let member = self.directory(node)?.chain().member(&self.nodes[sender].id).is_some();
        match self.relays(node).into_iter().find(|relay| *relay != sender) {
            Some(relay) if member => self.ask(node, relay, Ask::Relay(parcel), Call::Told),
            _ => Ok(()),
        }
    }

    /// Keeps a parcel for somebody else. Only its outer header is read.
    fn keep_for(&mut self, from: usize, node: usize, bytes: Vec<u8>) -> Result<Reply, Stop> {
        let directory = self.directory(node)?;
        let no = |reason| Ok(Reply::Refused(reason, 0));
        if !directory.chain().member(&self.nodes[node].id).is_some_and(|me| me.relay) {
            return no(Reason::NotFound);
        }
        let outer = match Parcel::parse(&bytes) {
            Ok(parcel) => parcel.outer,
            Err(reason) => return no(reason),
        };
        if outer.sender != self.nodes[from].id {
            return no(Reason::SenderNotAuthor);
        }
        if directory.chain().member(&outer.recipient).is_none() {
            return no(Reason::RecipientRemoved);
        }
        let now_s = self.clock_ms(node) / 1000;
        if outer.expires <= now_s {
            return no(Reason::Expired);
        }
        let kept = self.lie_about_mail(&outer.recipient, bytes)?;
        for (recipient, bytes) in kept {
            let (sender, expires) = (outer.sender.clone(), outer.expires);
            self.store(node, |store| store.mailbox_put(&sender, &recipient, &bytes, expires))?;
        }
        Ok(Reply::Done)
    }

    fn give_mail(&mut self, from: usize, node: usize, cursor: u64) -> Result<Reply, Stop> {
        let owner = self.nodes[from].id.clone();
        let now_s = self.clock_ms(node) / 1000;
        if cursor > 0 {
            self.store(node, |store| store.mailbox_drop_through(&owner, cursor))?;
        }
        if self.dice.chance(50) {
            self.store(node, |store| store.mailbox_expire(now_s))?;
        }
        let mail = self.core(node)?.store.mailbox_take_after(&owner, cursor, MAIL_COUNT_MAX, MAIL_BYTES_MAX);
        match mail {
            Ok(mail) => Ok(Reply::Mail(self.forge_mail(node, from, mail))),
            Err(error) => {
                let what = format!("a mailbox cannot be read: {error}");
                Err(self.failure(Invariant::WorksAlone, &[node], what).into())
            }
        }
    }

    pub(crate) fn adopt_key_set(&mut self, node: usize, record: Vec<u8>) -> Result<(), Stop> {
        self.transact(node, |exchange, _, _, _| {
            // A stale or forged one says nothing.
            Ok((exchange.adopt_key_set(&record).unwrap_or_default(), ()))
        })
    }

    pub(crate) fn adopt_register(&mut self, node: usize, parts: Parts) -> Result<(), Stop> {
        let Ok(chain) = Chain::verify(&parts) else { return Ok(()) };
        self.transact(node, |exchange, _, random, now_ms| {
            Ok((exchange.adopt_chain(chain, now_ms, random).unwrap_or_default(), ()))
        })
    }

    /// Searches what crosses the wire to a node.
    fn search_wire(&mut self, at: usize, ask: &Ask) -> Result<(), Stop> {
        match ask {
            Ask::Parcel(bytes) | Ask::Relay(bytes) => self.search(at, bytes, "what crossed the wire"),
            _ => Ok(()),
        }
    }

    /// No marker stands where an agency outside its audience can read it.
    pub(crate) fn search(&mut self, at: usize, bytes: &[u8], place: &str) -> Result<(), Stop> {
        for marker in markers(bytes) {
            if !self.markers.get(marker).is_some_and(|may: &BTreeSet<usize>| may.contains(&at)) {
                let what = format!("marker {marker} stands in {place}, outside its audience");
                return Err(self.failure(Invariant::AudienceOnly, &[at], what).into());
            }
        }
        Ok(())
    }
}

/// The text of a marker.
pub(crate) fn marker_text(number: usize) -> String {
    format!("~MK{number:06}~")
}

/// The numbers of the markers in some bytes.
pub(crate) fn markers(mut bytes: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut piece = Vec::new();
    // Reading from memory cannot fail.
    while let Ok(1..) = bytes.read_until(MARK, &mut piece) {
        let number =
            piece.strip_prefix(b"MK").and_then(|rest| rest.strip_suffix(&[MARK])).filter(|rest| rest.len() == 6);
        found.extend(
            number.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse::<usize>().ok()),
        );
        piece.clear();
    }
    found
}
