//! What nodes say to each other, and the network between them, which loses, repeats, delays and reorders.

use mufakat_ledger::Hash;
use mufakat_ledger::SignedCheckpoint;
use mufakat_record::Reason;

use crate::acts::Act;
use crate::invariant::Stop;
use crate::world::World;

/// After how long a call that is not answered has failed, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;
/// Delays on a good day, in milliseconds.
const DELAY_MS_MAX: u64 = 80;
/// Delays on a bad day.
const BAD_DELAY_MS_MAX: u64 = 2_500;

/// A register as it travels: bodies with their approvals.
pub(crate) type Parts = Vec<(Vec<u8>, Vec<Vec<u8>>)>;

/// What one node asks of another.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// Take this parcel.
    Parcel(Vec<u8>),
    /// Keep this parcel for its recipient.
    Relay(Vec<u8>),
    /// What waits for me after this cursor?
    Mailbox(u64),
    /// Here is where I stand.
    Greet(Greeting),
    /// Your register, please.
    Register,
    /// Here is a longer register.
    TakeRegister(Parts),
    /// An agency's key set, please.
    KeySet(usize),
    /// Cosign this (C2SP `add-checkpoint`).
    Cosign(String),
    /// These checkpoints of others I have seen.
    Seen(Vec<String>),
    /// A consistency proof of your ledger, please.
    Proof(u64, u64),
}

/// Where a node stands, as it tells a partner.
#[derive(Debug, Clone)]
pub(crate) struct Greeting {
    pub(crate) channel_epoch: u64,
    pub(crate) expected: u64,
    pub(crate) register_version: u64,
    pub(crate) key_set: Vec<u8>,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Done,
    Receipt(Vec<u8>),
    Refused(Reason, u64),
    Mail(Vec<(u64, Vec<u8>)>),
    Greeting(Greeting),
    Register(Parts),
    KeySet(Option<Vec<u8>>),
    Cosignature(String),
    SeenSize(u64),
    Proof(Vec<Hash>),
    /// The partner has its own trouble.
    Trouble,
}

/// What a node waits for. Forgotten when it crashes.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Direct { to: usize, departed: mufakat_exchange::Departed },
    HandOver { to: usize, through: u64 },
    Greet { to: usize },
    Fetch,
    Mailbox { relay: usize },
    GiveBack { sender: usize, parcel: Vec<u8> },
    Told,
    Cosign { witness: usize, checkpoint: Box<SignedCheckpoint>, asks: u8 },
    Compare { log: usize, mine: Box<SignedCheckpoint>, theirs: Box<SignedCheckpoint> },
}

/// What happens at some time.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A question arrives.
    Asked { from: usize, to: usize, life: u32, call: u64, ask: Ask },
    /// An answer arrives.
    Answered { node: usize, from: usize, life: u32, call: u64, reply: Reply },
    /// An answer has not arrived.
    TimedOut { node: usize, life: u32, call: u64 },
    /// A sender is to look at its channel.
    Wake { node: usize, life: u32, to: usize },
    /// A mailbox is to be looked at.
    Poll { node: usize, life: u32, relay: usize },
    /// A partner is to be greeted, unless it has been.
    Greet { node: usize, life: u32, to: usize },
    /// A witness round.
    Round { node: usize, life: u32 },
    /// Something that people, faults or liars do.
    Act(Act),
}

impl World {
    /// Asks a partner something.
    pub(crate) fn ask(&mut self, node: usize, to: usize, ask: Ask, call: Call) -> Result<(), Stop> {
        self.may_send(node, to, &ask)?;
        self.calls += 1;
        let number = self.calls;
        let life = self.nodes[node].life;
        self.core(node)?.pending.insert(number, call);
        self.after(TIMEOUT_MS, Event::TimedOut { node, life, call: number });
        self.transmit(node, to, Event::Asked { from: node, to, life, call: number, ask });
        Ok(())
    }

    /// Answers a call.
    pub(crate) fn reply(&mut self, from: usize, to: usize, life: u32, call: u64, reply: Reply) {
        self.transmit(from, to, Event::Answered { node: to, from, life, call, reply });
    }

    fn transmit(&mut self, from: usize, to: usize, event: Event) {
        if self.is_cut(from, to) {
            return;
        }
        if !self.chaos {
            let delay = self.dice.between(1, DELAY_MS_MAX);
            return self.after(delay, event);
        }
        if self.dice.chance(self.plan.loss) {
            return;
        }
        if self.dice.chance(self.plan.duplication) {
            let delay = self.dice.between(1, 2 * BAD_DELAY_MS_MAX);
            self.after(delay, event.clone());
        }
        // Each message has its own delay, so later ones overtake earlier ones; a few are very late.
        let late = if self.dice.chance(20) { 20 } else { 1 };
        let delay = self.dice.between(1, if self.plan.slow { BAD_DELAY_MS_MAX } else { DELAY_MS_MAX }) * late;
        self.after(delay, event);
    }

    /// Whether two nodes cannot reach each other.
    pub(crate) fn is_cut(&self, a: usize, b: usize) -> bool {
        let pair = (a.min(b), a.max(b));
        self.nodes[a].island != self.nodes[b].island || self.without_way.contains(&pair)
    }
}
