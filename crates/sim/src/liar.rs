//! The liars of a run: an agency whose keys are in the wrong hands, as sender, recipient, ledger and witness; and a relay that
//! does with parcels what it likes.

use std::collections::BTreeMap;

use mufakat_exchange::{Chain, ledger_origin};
use mufakat_ledger::witness::Request;
use mufakat_ledger::{Checkpoint, Edge, Note, SignedCheckpoint, SourceError, TileSource, cosign, leaf_hash, proof};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::report::Report;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::parcel::{self, Outer, Parcel};
use mufakat_record::{
    AgencyId, Digest, Draft, KeyId, Reason, RecordId, Reference, Relation, SigningKey, Unverified, Verified, sha256,
};

use crate::acts::plain_report;
use crate::community::{BEGIN_S, Keys, header, parts, sign};
use crate::invariant::{Invariant, Stop};
use crate::liar_steps::STEP_LIES_MORE;
use crate::network::{Ask, Greeting, Reply};
use crate::receive::Taken;
use crate::world::World;

/// How many parcels a lying relay remembers.
const REMEMBERED_MAX: usize = 40;

/// From this lie on they are about requests.
const STEP_LIES: u64 = 20;

/// A liar's memory.
pub(crate) struct Liar {
    pub(crate) node: usize,
    chain: Option<Chain>,
    histories: [History; 2],
    origin: String,
    /// The last parcel that it sent, with its recipient.
    last: Option<(usize, Vec<u8>)>,
    /// Both histories were cosigned at one size, and nobody was asked for both: witnesses have to find out.
    pub(crate) to_be_found: bool,
}

/// One of the histories that the liar's ledger shows.
#[derive(Default)]
struct History {
    edge: Edge,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
}

impl TileSource for History {
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.tiles.get(&(level, index)).cloned())
    }
}

impl History {
    fn push(&mut self, entry: &[u8]) {
        self.edge.push(leaf_hash(entry));
        for tile in self.edge.take_changed() {
            self.tiles.insert((tile.level, tile.index), tile.to_bytes());
        }
    }
}

/// What must come of a lie.
pub(crate) enum Expect {
    /// The whole parcel is refused for this reason.
    Whole(Reason),
    /// Every record is rejected for one of these reasons; with none named, for any.
    Rejected(&'static [Reason]),
    /// Every record is accepted.
    Accepted,
    /// Nothing in particular but an answer.
    Anything,
}

impl Liar {
    pub(crate) fn new(node: usize, id: &AgencyId) -> Self {
        let mut histories = [History::default(), History::default()];
        for history in &mut histories {
            history.push(b"the same for all");
        }
        let origin = ledger_origin(id, 1);
        Self { node, chain: None, histories, origin, last: None, to_be_found: false }
    }

    pub(crate) fn learn(&mut self, chain: Chain) {
        self.chain = Some(chain);
    }
}

impl World {
    /// An honest node asked the liar something.
    pub(crate) fn liar_answers(&mut self, from: usize, ask: Ask) -> Result<Option<Reply>, Stop> {
        let Some(node) = self.liar.as_ref().map(|liar| liar.node) else { return Ok(None) };
        self.stats.lies += 1;
        let garbage = self.dice.bytes::<40>().to_vec();
        Ok(match ask {
            Ask::Parcel(bytes) => self.liar_receipts(from, node, &bytes)?,
            Ask::Relay(_) | Ask::TakeRegister(_) | Ask::Seen(_) => Some(Reply::Done),
            Ask::Mailbox(cursor) => Some(Reply::Mail(vec![(cursor + 1, garbage)])),
            Ask::Greet(_) => {
                let key_set = if self.dice.chance(500) { garbage } else { self.liar_key_set() };
                let expected = self.dice.pick(&[0, 1, 2, 5, 1000, u64::MAX]).unwrap_or_default();
                let (channel_epoch, register_version) = (self.dice.below(3), self.dice.below(4));
                Some(Reply::Greeting(Greeting { channel_epoch, expected, register_version, key_set }))
            }
            Ask::Register => {
                let mut register = self.liar.as_ref().and_then(|l| l.chain.as_ref()).map(parts).unwrap_or_default();
                match (self.dice.below(3), register.first_mut()) {
                    // Too few approvals, and a body that nobody approved.
                    (0, Some((_, approvals))) => approvals.truncate(1),
                    (1, Some((body, _))) => body[10] ^= 1,
                    _ => {}
                }
                Some(Reply::Register(register))
            }
            Ask::KeySet(_) => Some(Reply::KeySet(Some(self.liar_key_set()))),
            Ask::Cosign(request) => {
                // It cosigns what it has not looked at.
                let note = request.split_once("\n\n").and_then(|(_, note)| Note::parse(note).ok());
                let signed = note.map(|note| cosign::sign(&self.nodes[node].keys.witness, &note.text, BEGIN_S));
                signed.and_then(Result::ok).map(|signature| Reply::Cosignature(signature.line()))
            }
            Ask::Proof(..) => Some(Reply::Proof(vec![leaf_hash(&garbage); 3])),
        })
    }

    fn liar_key_set(&mut self) -> Vec<u8> {
        let Some(liar) = &self.liar else { return Vec::new() };
        let Some(register) = liar.chain.as_ref().map(Chain::hash) else { return Vec::new() };
        let mut old = Keys::new(&self.nodes[liar.node].id);
        // An agency of its own choosing is its audience; the set is the founding one's serial again.
        old.key_set(1, register, vec![self.nodes[0].id.clone()]).into_bytes()
    }

    /// What the liar says about records that it was sent.
    fn liar_receipts(&mut self, from: usize, node: usize, bytes: &[u8]) -> Result<Option<Reply>, Stop> {
        let Ok(directory) = self.directory(from) else { return Ok(None) };
        let Ok(parcel) = Parcel::parse(bytes) else { return Ok(None) };
        let opened =
            self.nodes[node].keys.sealing(&parcel.outer.sealing_key).map(|key| parcel.open(&key, &*directory, 0));
        let Some(Ok(records)) = opened else { return Ok(Some(Reply::Refused(Reason::UnknownSealingKey, 0))) };
        for record in &records {
            self.check_brought(from, node, record)?;
            self.search(node, record, "what the liar opened")?;
        }
        let wrong = self.dice.below(9);
        let garbage = self.dice.bytes::<16>();
        if wrong < 5 {
            return Ok(match wrong {
                0 => None,
                1 => Some(Reply::Refused(Reason::Gap, self.dice.below(6))),
                2 => Some(Reply::Refused(self.dice.pick(Reason::ALL).unwrap_or(Reason::Gap), u64::MAX)),
                3 => Some(Reply::Receipt(garbage.to_vec())),
                _ => Some(Reply::Done),
            });
        }
        let shift = if wrong == 5 { 1 } else { 0 };
        let entry = |(position, record): (u64, &Vec<u8>)| Entry {
            position: position + shift,
            record: if wrong == 6 { RecordId(sha256(&garbage)) } else { RecordId::of(record) },
            rejected: (wrong == 7).then(|| "no-such-reason".to_owned()),
            at_ms: 1,
            index: 0,
            salt: garbage,
        };
        let entries = (parcel.outer.first.max(1)..).zip(&records).map(entry).collect();
        let me = self.nodes[node].id.clone();
        let body = Receipt { epoch: parcel.outer.epoch, ledger: ledger_origin(&me, 1), entries };
        let to = vec![parcel.outer.sender.clone()];
        let header = header(&me, to, directory.chain().hash(), Receipt::KIND, BEGIN_S);
        let signer = self.nodes[node].keys.newest();
        Ok(Some(Reply::Receipt(sign(header, &body, &signer).into_bytes())))
    }

    /// The liar sends something to an honest node, and the answer must be the right one.
    pub(crate) fn lie(&mut self) -> Result<(), Stop> {
        let Some(node) = self.liar.as_ref().map(|liar| liar.node) else { return Ok(()) };
        let honest = self.honest();
        let Some(victim) = self.dice.pick(&honest).filter(|victim| self.is_up(*victim)) else { return Ok(()) };
        let directory = self.directory(victim)?;
        let me = self.nodes[node].id.clone();
        let inbound = self.core(victim)?.exchange.inbound(&me);
        let (mut epoch, mut first) = (inbound.epoch.max(1), if inbound.epoch == 0 { 1 } else { inbound.expected });
        let lie = self.dice.below(if self.options.without_desks { STEP_LIES } else { STEP_LIES + STEP_LIES_MORE });
        let (records, expect) = self.lie_of(lie, node, victim)?;
        let mut expect = expect;
        match lie {
            0 => {
                first += self.dice.between(1, 5);
                expect = Expect::Whole(Reason::Gap);
            }
            1 if inbound.epoch > 0 => {
                epoch = inbound.epoch - 1;
                expect = Expect::Whole(Reason::StaleEpoch);
            }
            // An epoch that no later one follows spoils nobody's channel but its own.
            2 if inbound.epoch != u64::MAX && self.dice.chance(200) => (epoch, first) = (u64::MAX, 1),
            _ => {}
        }
        let Some(mut bytes) = self.liars_parcel(node, victim, (epoch, first), &records)? else { return Ok(()) };
        let last = self.liar.as_mut().and_then(|liar| liar.last.replace((victim, bytes.clone())));
        match lie {
            3 => {
                let at = self.dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << self.dice.below(8);
                expect = Expect::Anything;
            }
            4 => {
                if let Some((to, again)) = last.filter(|(to, _)| *to == victim) {
                    debug_assert_eq!(to, victim);
                    (bytes, expect) = (again, Expect::Anything);
                }
            }
            _ => {}
        }
        if directory.chain().member(&me).is_none() {
            expect = if matches!(expect, Expect::Anything) { expect } else { Expect::Whole(Reason::AuthorRemoved) };
        }
        self.stats.lies += 1;
        self.tell(|_| format!("{victim}: lie {lie} of {node}"));
        let before = self.standing(victim)?;
        match self.take_parcel(victim, &bytes, Some(node)) {
            Ok(taken) => {
                self.as_expected(victim, node, lie, &taken, &expect)?;
                self.nothing_changed(victim, node, lie, &before)
            }
            Err(Stop::Full | Stop::Down) => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    /// A parcel of the liar's, from a place on its channel on.
    pub(crate) fn liars_parcel(
        &mut self,
        node: usize,
        victim: usize,
        (epoch, first): (u64, u64),
        records: &[Vec<u8>],
    ) -> Result<Option<Vec<u8>>, Stop> {
        let directory = self.directory(victim)?;
        let (sender, recipient) = (self.nodes[node].id.clone(), self.nodes[victim].id.clone());
        let records: Vec<(RecordId, &[u8])> = records.iter().map(|r| (RecordId::of(r), r.as_slice())).collect();
        let Some(key) = directory.sealing_key(&recipient, BEGIN_S) else { return Ok(None) };
        let outer = Outer {
            suite: 0,
            sender,
            recipient,
            epoch,
            first,
            count: 0,
            sealing_key: KeyId([0; 16]),
            signing_key: KeyId([0; 16]),
            register_version: 1,
            expires: u64::MAX,
        };
        let signer = self.nodes[node].keys.newest();
        let sealed = parcel::seal(outer, &records, &key, &signer, self.dice.bytes());
        Ok(sealed.ok().map(|sealed| sealed.to_bytes()))
    }

    /// The records of a lie, and what must come of them.
    fn lie_of(&mut self, lie: u64, node: usize, victim: usize) -> Result<(Vec<Vec<u8>>, Expect), Stop> {
        let (me, target) = (self.nodes[node].id.clone(), self.nodes[victim].id.clone());
        let register = self.directory(victim)?.chain().hash();
        let signer = self.nodes[node].keys.newest();
        let words: [u8; 8] = self.dice.bytes();
        let body = plain_report(&format!("EXERCISE {words:?}"), "lie");
        let now_s = self.clock_ms(victim) / 1000;
        let head = |author: &AgencyId, to: &AgencyId| header(author, vec![to.clone()], register, Report::KIND, now_s);
        let plain = |key: &SigningKey| sign(head(&me, &target), &body, key).into_bytes();
        let others: Vec<_> = self.honest().into_iter().filter(|other| *other != victim).collect();
        let other = self.dice.pick(&others).map_or_else(|| me.clone(), |other| self.nodes[other].id.clone());
        use Reason::{
            BodyNotOfKind, Expired, KeyExpired, KeyNotYetValid, NotInAudience, SenderNotAuthor, UnknownKey,
            UnknownRegister, WrongSignature,
        };
        let one = |record: Verified| vec![record.into_bytes()];
        Ok(match lie {
            5 => (one(sign(head(&other, &target), &body, &signer)), Expect::Rejected(&[UnknownKey, SenderNotAuthor])),
            6 => (one(sign(head(&me, &other), &body, &signer)), Expect::Rejected(&[NotInAudience])),
            7 => {
                let mut bytes = plain(&signer);
                let end = bytes.len() - 1;
                bytes[end] ^= 1;
                (vec![bytes], Expect::Rejected(&[WrongSignature]))
            }
            8 => {
                let bytes = plain(&signer);
                let cut = self.dice.below(bytes.len() as u64) as usize;
                (vec![bytes[..cut].to_vec()], Expect::Rejected(&[]))
            }
            9 => (vec![plain(&signer), plain(&signer)], Expect::Accepted),
            10 => {
                let mut header = head(&me, &target);
                header.expires = Some(1);
                (one(sign(header, &body, &signer)), Expect::Rejected(&[Expired]))
            }
            11 => {
                let draft = Draft { header: head(&me, &target), body: vec![0x80] };
                (one(draft.sign(&signer).expect("the right form")), Expect::Rejected(&[BodyNotOfKind]))
            }
            12 => {
                let mut header = head(&me, &target);
                header.register = Digest([9; 32]);
                (one(sign(header, &body, &signer)), Expect::Rejected(&[UnknownRegister]))
            }
            13 => {
                let mut header = head(&me, &target);
                header.kind = "exercise/lie".to_owned();
                let draft = Draft { header, body: body.to_body() };
                (one(draft.sign(&signer).expect("the right form")), Expect::Accepted)
            }
            14 => {
                let issued_at = self.dice.pick(&[0, 1 << 40]).unwrap_or_default();
                let header = header(&me, vec![target], register, Report::KIND, issued_at);
                (one(sign(header, &body, &signer)), Expect::Rejected(&[KeyNotYetValid, KeyExpired]))
            }
            15 => {
                (one(sign(head(&me, &target), &body, &self.nodes[node].keys.identity)), Expect::Rejected(&[UnknownKey]))
            }
            16 => {
                // Somebody else's record, genuine, which the victim may hold: whether it does is nobody's business.
                let may =
                    |m: &&crate::world::Minted| m.author != me && (m.author == target || m.audience.contains(&target));
                let known: Vec<_> = self.minted.values().filter(may).map(|m| m.bytes.clone()).collect();
                match self.dice.pick(&known) {
                    // Its author may just have a new key, of which the victim does not know yet.
                    Some(bytes) => (vec![bytes], Expect::Rejected(&[SenderNotAuthor, UnknownKey])),
                    None => (vec![plain(&signer)], Expect::Accepted),
                }
            }
            17 => {
                let theirs = self.minted.iter().filter(|(_, m)| m.audience.contains(&target)).map(|(id, _)| *id);
                let theirs: Vec<_> = theirs.collect();
                let record = self.dice.pick(&theirs).unwrap_or(RecordId([1; 32]));
                let mut header = header(&me, vec![target], register, Retraction::KIND, now_s);
                header.references = vec![Reference { relation: Relation::Retracts, record }];
                (
                    one(sign(header, &Retraction { reason: "EXERCISE".to_owned(), carries: None }, &signer)),
                    Expect::Accepted,
                )
            }
            18 => {
                let entries = vec![Entry {
                    position: 1,
                    record: RecordId([1; 32]),
                    rejected: None,
                    at_ms: 1,
                    index: 1,
                    salt: [0; 16],
                }];
                let receipt = Receipt { epoch: 1, ledger: ledger_origin(&me, 1), entries };
                let header = header(&me, vec![target], register, Receipt::KIND, now_s);
                (one(sign(header, &receipt, &signer)), Expect::Rejected(&[BodyNotOfKind]))
            }
            19 => (vec![self.dice.bytes::<64>().to_vec()], Expect::Rejected(&[])),
            STEP_LIES.. => self.lie_of_step(lie - STEP_LIES, node, victim)?,
            _ => (vec![plain(&signer)], Expect::Accepted),
        })
    }

    fn as_expected(
        &mut self,
        victim: usize,
        node: usize,
        lie: u64,
        taken: &Taken,
        expect: &Expect,
    ) -> Result<(), Stop> {
        let reasons = match taken {
            Taken::Records { receipt, .. } => {
                let receipt = Unverified::parse(receipt.clone());
                receipt.and_then(|r| Verified::from_own_store(r.bytes().to_vec())).and_then(|receipt| {
                    let body = Receipt::from_body(receipt.header(), receipt.body())?;
                    Ok(body.entries.into_iter().map(|entry| entry.rejected).collect::<Vec<_>>())
                })
            }
            _ => Ok(Vec::new()),
        };
        let right = match (expect, taken, &reasons) {
            (Expect::Anything, _, Ok(_)) => true,
            (Expect::Whole(wanted), Taken::Refused { reason, .. }, _) => reason == wanted,
            (Expect::Accepted, Taken::Records { .. }, Ok(reasons)) => reasons.iter().all(Option::is_none),
            (Expect::Rejected(wanted), Taken::Records { .. }, Ok(reasons)) => reasons.iter().all(|reason| {
                let named = reason.as_deref().and_then(|name| name.parse::<Reason>().ok());
                named.is_some_and(|reason| wanted.is_empty() || wanted.contains(&reason))
            }),
            _ => false,
        };
        if right {
            return Ok(());
        }
        let taken = if let Taken::Refused { reason, .. } = taken {
            format!("refused with {reason}")
        } else {
            "taken".to_owned()
        };
        let what = format!("lie {lie}: the parcel is {taken}, the records are {reasons:?}");
        Err(self.failure(Invariant::BadInputIsAnswer, &[victim, node], what).into())
    }

    /// The liar's ledger grows, differently for some witnesses than for others.
    pub(crate) fn fork(&mut self, both: bool) -> Result<(), Stop> {
        let Some(mut liar) = self.liar.take() else { return Ok(()) };
        let done = self.fork_of(&mut liar, both);
        self.liar = Some(liar);
        done
    }

    fn fork_of(&mut self, liar: &mut Liar, both: bool) -> Result<(), Stop> {
        self.stats.lies += 1;
        for _ in 0..self.dice.between(1, 3) {
            let entry: [u8; 8] = self.dice.bytes();
            liar.histories[0].push(&entry);
            liar.histories[1].push(&[entry, [0; 8]].concat());
        }
        let log = self.nodes[liar.node].keys.ledger(1);
        let mut cosigned = [0; 2];
        for witness in self.honest().into_iter().filter(|witness| self.is_up(*witness)).collect::<Vec<_>>() {
            let side = witness % 2;
            if !self.is_up(witness) || !self.shows(liar, &log, witness, side)? {
                continue;
            }
            cosigned[side] += 1;
            if both && self.is_up(witness) && self.shows(liar, &log, witness, 1 - side)? {
                let what = "one witness cosigned two histories".to_owned();
                return Err(self.failure(Invariant::HistoryHolds, &[witness, liar.node], what).into());
            }
        }
        // The lying witness cosigns both.
        if cosigned.iter().all(|count| count + 1 >= self.plan.witness_quorum) {
            let what = format!("both histories have a quorum: {cosigned:?}");
            return Err(self.failure(Invariant::HistoryHolds, &[liar.node], what).into());
        }
        liar.to_be_found = !both && cosigned.iter().all(|count| *count > 0);
        Ok(())
    }

    /// Shows one history to a witness; true when it cosigned.
    fn shows(&mut self, liar: &Liar, log: &mufakat_ledger::Signer, witness: usize, side: usize) -> Result<bool, Stop> {
        let history = &liar.histories[side];
        let (size, root) = (history.edge.size(), history.edge.root());
        let checkpoint = Checkpoint { origin: liar.origin.clone(), size, root, extensions: Vec::new() };
        let Ok(signed) = SignedCheckpoint::sign(checkpoint, log) else { return Ok(false) };
        let mut old = 0;
        for _ in 0..2 {
            let Ok(proof) = proof::consistency(history, old, size) else { return Ok(false) };
            let request = Request::new(old, proof, &signed).encode();
            match self.asked_to_cosign(liar.node, witness, &request) {
                Ok(Reply::Cosignature(_)) => return Ok(true),
                Ok(Reply::SeenSize(seen)) => old = seen,
                Ok(_) | Err(Stop::Down | Stop::Full) => return Ok(false),
                Err(failed) => return Err(failed),
            }
        }
        Ok(false)
    }

    /// When all is quiet the liar's ledger is split once more. Then only the witnesses among themselves can find it.
    pub(crate) fn fork_for_the_last_time(&mut self) -> Result<(), Stop> {
        self.splits.clear();
        self.fork(false)
    }

    /// What a relay keeps of a parcel that it was given; one that lies keeps what it likes, for whom it likes.
    pub(crate) fn lie_about_mail(
        &mut self,
        recipient: &AgencyId,
        bytes: Vec<u8>,
    ) -> Result<Vec<(AgencyId, Vec<u8>)>, Stop> {
        if !self.plan.relay_lies {
            return Ok(vec![(recipient.clone(), bytes)]);
        }
        if self.relayed.len() < REMEMBERED_MAX {
            self.relayed.push(bytes.clone());
        }
        let lie = self.dice.below(10);
        self.stats.lies += u64::from(lie < 5);
        let other = self.nodes[self.dice.below(self.nodes.len() as u64) as usize].id.clone();
        Ok(match lie {
            0 => Vec::new(),
            1 => vec![(recipient.clone(), bytes.clone()), (recipient.clone(), bytes)],
            2 => {
                let mut changed = bytes;
                let at = self.dice.below(changed.len() as u64) as usize;
                changed[at] ^= 1 << self.dice.below(8);
                vec![(recipient.clone(), changed)]
            }
            3 => vec![(other, bytes)],
            4 => vec![(other, bytes.clone()), (recipient.clone(), bytes)],
            _ => vec![(recipient.clone(), bytes)],
        })
    }

    /// What a relay gives to the owner of a mailbox; one that lies adds old parcels and ones of its own making.
    pub(crate) fn forge_mail(
        &mut self,
        relay: usize,
        owner: usize,
        mut mail: Vec<(u64, Vec<u8>)>,
    ) -> Vec<(u64, Vec<u8>)> {
        if !self.plan.relay_lies || !self.chaos || !self.dice.chance(300) {
            return mail;
        }
        self.stats.lies += 1;
        let cursor = mail.last().map_or(0, |(cursor, _)| *cursor);
        let old = self.dice.pick(&self.relayed.clone());
        mail.extend(old.map(|old| (cursor, old)));
        let others: Vec<_> = self.honest().into_iter().filter(|other| ![relay, owner].contains(other)).collect();
        let (Some(other), Ok(directory)) = (self.dice.pick(&others), self.directory(relay)) else { return mail };
        let (sender, recipient) = (self.nodes[other].id.clone(), self.nodes[owner].id.clone());
        let Some(key) = directory.sealing_key(&recipient, BEGIN_S) else { return mail };
        let signer = self.nodes[relay].keys.newest();
        let head = header(&sender, vec![recipient.clone()], directory.chain().hash(), Report::KIND, BEGIN_S);
        let record = sign(head, &plain_report("EXERCISE", "forged"), &signer);
        let outer = Outer {
            suite: 0,
            sender,
            recipient,
            epoch: 1,
            first: self.dice.between(1, 4),
            count: 0,
            sealing_key: KeyId([0; 16]),
            signing_key: KeyId([0; 16]),
            register_version: 1,
            expires: u64::MAX,
        };
        let forged = parcel::seal(outer, &[(record.id(), record.bytes())], &key, &signer, self.dice.bytes());
        mail.extend(forged.map(|forged| (cursor, forged.to_bytes())));
        mail
    }
}
