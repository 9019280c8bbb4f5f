//! Random histories: whatever is lost, repeated, reordered or crashed, every record arrives once and every channel settles; and
//! the sending end of a channel against a plain model of it.

use std::collections::BTreeSet;

use mufakat_exchange::{
    Departed, Leaf, Outbound, Plan, RELAY_PATIENCE_MS, Refused, Submission, UNDER_WAY_MAX, WAIT_MS_MAX, WAIT_MS_MIN,
    What,
};
use mufakat_record::{Digest, Reason, RecordId, Verified, sha256};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::store::{State, root_of};
use crate::support::*;

const NODES: [&str; 3] = ["aa", "bb", "cc"];

/// One thing that happens. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// A node shares a report with some of the others; it may crash before that is durable.
    Share { node: usize, to: u8, crash: bool },
    /// A node sends some records of a channel, whichever; a parcel is then on its way.
    Send { node: usize, to: usize, first: Index, count: usize },
    /// Something that is on its way arrives: any of it, perhaps to arrive again, and the node may crash before it is durable.
    Arrive { which: Index, again: bool, crash: bool },
    /// Something that is on its way is lost.
    Lose { which: Index },
    /// A node loses its memory.
    Crash { node: usize },
}

fn steps(nodes: usize) -> impl Strategy<Value = Vec<Step>> {
    let node = 0..nodes;
    let crash = || prop::bool::weighted(0.15);
    let step = prop_oneof![
        4 => (node.clone(), 1u8..8, crash()).prop_map(|(node, to, crash)| Step::Share { node, to, crash }),
        5 => (node.clone(), node.clone(), any::<Index>(), 1..6usize)
            .prop_map(|(node, to, first, count)| Step::Send { node, to, first, count }),
        8 => (any::<Index>(), prop::bool::weighted(0.3), crash())
            .prop_map(|(which, again, crash)| Step::Arrive { which, again, crash }),
        1 => any::<Index>().prop_map(|which| Step::Lose { which }),
        1 => node.prop_map(|node| Step::Crash { node }),
    ];
    prop::collection::vec(step, 1..70)
}

#[derive(Clone)]
enum Message {
    Parcel { from: usize, to: usize, first: u64, records: Vec<Vec<u8>> },
    Receipt { to: usize, receipt: Box<Verified> },
}

struct World {
    nodes: Vec<Node>,
    on_the_way: Vec<Message>,
    /// What was durably shared, with its audience.
    shared: Vec<(RecordId, usize, Vec<usize>)>,
    tick: u64,
}

impl World {
    fn new(nodes: usize) -> Self {
        let nodes = NODES[..nodes].iter().map(|id| Node::new(id)).collect();
        Self { nodes, on_the_way: Vec::new(), shared: Vec::new(), tick: 0 }
    }

    fn run(&mut self, step: Step) {
        self.tick += 1;
        for node in &mut self.nodes {
            node.now_ms = NOW_S * 1000 + self.tick;
        }
        match step {
            Step::Share { node, to, crash } => self.share(node, to, crash),
            Step::Send { node, to, first, count } if node != to => {
                let queued = self.nodes[node].store.next(&name(NODES[to])) - 1;
                if queued > 0 {
                    self.send(node, to, 1 + first.index(queued as usize) as u64, count);
                }
            }
            Step::Send { .. } => {}
            Step::Arrive { which, again, crash } if !self.on_the_way.is_empty() => {
                let which = which.index(self.on_the_way.len());
                let message = if again { self.on_the_way[which].clone() } else { self.on_the_way.swap_remove(which) };
                self.arrive(message, crash);
            }
            Step::Lose { which } if !self.on_the_way.is_empty() => {
                self.on_the_way.swap_remove(which.index(self.on_the_way.len()));
            }
            Step::Arrive { .. } | Step::Lose { .. } => {}
            Step::Crash { node } => self.nodes[node].crash(),
        }
    }

    fn share(&mut self, node: usize, to: u8, crash: bool) {
        let others: Vec<usize> =
            (0..self.nodes.len()).filter(|to_node| *to_node != node && to >> to_node & 1 == 1).collect();
        if others.is_empty() {
            return;
        }
        let names: Vec<_> = others.iter().map(|to| NODES[*to]).collect();
        let sender = &mut self.nodes[node];
        let report = sender.report(&names);
        if crash {
            let submission = Submission { record: report, key: None };
            let (exchange, random) = (&mut sender.exchange, &mut sender.random);
            exchange.submit(vec![submission], &Digest([9; 32]), sender.now_ms, random, &sender.store).unwrap();
            sender.crash();
            return;
        }
        sender.share(&[&report]);
        self.shared.push((report.id(), node, others));
    }

    fn send(&mut self, from: usize, to: usize, first: u64, count: usize) {
        let records = self.nodes[from].store.outbox(&name(NODES[to]), first, count);
        self.on_the_way.push(Message::Parcel { from, to, first, records });
    }

    fn arrive(&mut self, message: Message, crash: bool) {
        match message {
            Message::Parcel { from, to, first, records } => {
                let node = &mut self.nodes[to];
                let items = node.items(records);
                if crash {
                    let delivery = mufakat_exchange::Delivery { sender: name(NODES[from]), epoch: 1, first, items };
                    let _ = node.exchange.deliver(delivery, node.now_ms, &mut node.random, &node.store);
                    return node.crash();
                }
                let expected = node.exchange.inbound(&name(NODES[from])).expected;
                match node.take_at(NODES[from], 1, first, items) {
                    Ok((_, receipt)) => {
                        assert!(first <= expected);
                        assert!(reasons(&entries(&receipt)).iter().all(Option::is_none));
                        self.on_the_way.push(Message::Receipt { to: from, receipt: Box::new(receipt) });
                    }
                    Err(Refused::Because { reason: Reason::Gap, expected: told }) => {
                        assert!(first > expected && told == expected);
                        self.nodes[from].exchange.outbound(&name(NODES[to])).unwrap().synced(told);
                    }
                    Err(refused) => panic!("{refused}"),
                }
            }
            Message::Receipt { to, receipt } => {
                let node = &mut self.nodes[to];
                if crash {
                    node.exchange.take_receipt(*receipt, node.now_ms, &mut node.random, &node.store).unwrap();
                    return node.crash();
                }
                node.take_receipt(&receipt).unwrap();
            }
        }
    }

    /// Lets every channel do what its plan says until all are idle.
    fn settle(&mut self) {
        self.on_the_way.clear();
        for from in 0..self.nodes.len() {
            for to in (0..self.nodes.len()).filter(|to| *to != from) {
                // A gap, a delivery, and the rest after it.
                for _ in 0..4 {
                    let now_ms = self.nodes[from].now_ms;
                    let Plan::Direct(first) = self.channel(from, to).plan(now_ms, false) else { break };
                    self.send(from, to, first, 512);
                    let parcel = self.on_the_way.pop().expect("the parcel");
                    self.arrive(parcel, false);
                    if let Some(receipt) = self.on_the_way.pop() {
                        self.arrive(receipt, false);
                    }
                    answered(self.channel(from, to), first);
                }
                assert_eq!(self.channel(from, to).plan(u64::MAX / 2, false), Plan::Idle);
                assert_eq!(self.channel(from, to).backlog(), 0);
            }
        }
    }

    fn channel(&mut self, from: usize, to: usize) -> &mut Outbound {
        self.nodes[from].exchange.outbound(&name(NODES[to])).expect("a channel")
    }

    fn check(&self) {
        for (id, author, audience) in &self.shared {
            for (number, node) in self.nodes.iter().enumerate() {
                let concerned = number == *author || audience.contains(&number);
                assert_eq!(node.store.records.contains_key(id), concerned);
                let what = if number == *author { What::Authored } else { What::Received };
                let told = node.store.leaves.iter().filter(|leaf| leaf.what == what && leaf.subject.0 == id.0).count();
                assert_eq!(told, usize::from(concerned));
            }
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let shared =
                self.shared.iter().filter(|(_, author, audience)| *author == number || audience.contains(&number));
            assert_eq!(node.store.kept("report"), shared.count());
            assert!(node.store.queue.values().all(|(_, state)| *state == State::Accepted));
            for (to, partner) in self.nodes.iter().enumerate().filter(|(to, _)| *to != number) {
                let next = node.store.next(&name(NODES[to]));
                assert_eq!(partner.exchange.inbound(&node.id()).expected, next);
            }
            assert_eq!(node.exchange.ledger(), (node.store.hashes.len() as u64, root_of(&node.store.hashes)));
        }
    }
}

fn history(nodes: usize, steps: Vec<Step>) {
    let mut world = World::new(nodes);
    for step in steps {
        world.run(step);
    }
    world.settle();
    world.check();
    // A crash at the very end loses nothing, and there is nothing left to do.
    for node in &mut world.nodes {
        node.crash();
    }
    world.settle();
    world.check();
}

/// The sending end of a channel in the plainest way.
struct Model {
    next: u64,
    settled: BTreeSet<u64>,
    relayed_through: u64,
    relayed_at_ms: u64,
    /// Attempts that failed since the recipient last answered.
    failures: u32,
    /// Attempts wait at least from one to the other; none do while nothing failed.
    wait: Option<(u64, u64)>,
    relay_refused: bool,
}

#[derive(Debug, Clone)]
enum Event {
    Assign,
    Settle(Index),
    Synced(Index),
    /// Time passes; then the plan is made and carried out, with this outcome.
    Attempt {
        after_ms: u64,
        has_relay: bool,
        outcome: Outcome,
    },
}

#[derive(Debug, Clone)]
enum Outcome {
    Success { settle: usize },
    Failure { jitter: u32 },
    Pending,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let outcome = prop_oneof![
        2 => (0..4usize).prop_map(|settle| Outcome::Success { settle }),
        3 => any::<u32>().prop_map(|jitter| Outcome::Failure { jitter }),
        1 => Just(Outcome::Pending),
    ];
    let after_ms =
        prop_oneof![2 => 0..50u64, 1 => 0..2_000u64, 1 => 0..WAIT_MS_MAX * 2, 1 => Just(RELAY_PATIENCE_MS + 1)];
    let event = prop_oneof![
        3 => Just(Event::Assign),
        2 => any::<Index>().prop_map(Event::Settle),
        1 => any::<Index>().prop_map(Event::Synced),
        5 => (after_ms, any::<bool>(), outcome)
            .prop_map(|(after_ms, has_relay, outcome)| Event::Attempt { after_ms, has_relay, outcome }),
    ];
    prop::collection::vec(event, 1..120)
}

impl Model {
    fn through(&self) -> u64 {
        (1..self.next).find(|position| !self.settled.contains(position)).unwrap_or(self.next) - 1
    }

    fn backlog(&self) -> u64 {
        (1..self.next).filter(|position| !self.settled.contains(position)).count() as u64
    }

    /// What the plan must be, when that is certain.
    fn judge(&mut self, plan: Plan, now_ms: u64, has_relay: bool) {
        let through = self.through();
        if self.backlog() == 0 {
            return assert_eq!(plan, Plan::Idle);
        }
        if self.relayed_through > through && now_ms > self.relayed_at_ms + RELAY_PATIENCE_MS {
            self.relayed_through = 0;
        }
        let (earliest, latest) = self.wait.unwrap_or((0, 0));
        let unrelayed = through.max(self.relayed_through) + 1;
        let relay = has_relay && self.failures > 0 && !self.relay_refused && unrelayed < self.next;
        match plan {
            Plan::Direct(first) => assert!(first == through + 1 && now_ms >= earliest, "{plan:?}"),
            Plan::Relay(first) => assert!(relay && first == unrelayed && now_ms < latest, "{plan:?}"),
            Plan::Wait(until) => {
                assert!(!relay && now_ms < latest && until > now_ms, "{plan:?}");
                assert!((earliest..=latest).contains(&until) && until <= now_ms + WAIT_MS_MAX, "{plan:?}");
            }
            Plan::Idle => panic!("there is something to send"),
        }
    }
}

fn against_the_model(events: Vec<Event>) {
    let mut channel = Outbound::new(0, 1);
    let mut model = Model {
        next: 1,
        settled: BTreeSet::new(),
        relayed_through: 0,
        relayed_at_ms: 0,
        failures: 0,
        wait: None,
        relay_refused: false,
    };
    let mut now_ms = NOW_S * 1000;
    for event in events {
        match event {
            Event::Assign => {
                assert_eq!(channel.assign(), model.next);
                model.next += 1;
            }
            Event::Settle(position) => {
                // Also positions that were never given out.
                let position = position.index(model.next as usize + 2) as u64;
                channel.settle(position);
                if (1..model.next).contains(&position) {
                    model.settled.insert(position);
                }
            }
            Event::Synced(expected) => {
                let expected = expected.index(model.next as usize + 2) as u64;
                channel.synced(expected);
                (model.failures, model.wait, model.relayed_through, model.relay_refused) = (0, None, 0, false);
                if (1..=model.through()).contains(&expected) {
                    model.settled = (1..expected).collect();
                }
            }
            Event::Attempt { after_ms, has_relay, outcome } => {
                now_ms += after_ms;
                let plan = channel.plan(now_ms, has_relay);
                model.judge(plan, now_ms, has_relay);
                if !matches!(plan, Plan::Direct(_) | Plan::Relay(_)) {
                    continue;
                }
                // While an attempt is under way there is no other.
                assert_eq!(channel.plan(now_ms, has_relay), Plan::Wait(u64::MAX));
                carry_out(&mut channel, &mut model, plan, &outcome, now_ms);
            }
        }
        assert_eq!((channel.settled_through(), channel.backlog()), (model.through(), model.backlog()));
        assert!(channel.failures() >= model.failures.min(1));
    }
}

fn carry_out(channel: &mut Outbound, model: &mut Model, plan: Plan, outcome: &Outcome, now_ms: u64) {
    match (plan, outcome) {
        (Plan::Direct(first), Outcome::Success { settle }) => {
            for position in (first..model.next).take(*settle) {
                channel.settle(position);
                model.settled.insert(position);
            }
            answered(channel, first);
            (model.failures, model.wait, model.relay_refused) = (0, None, false);
        }
        (Plan::Relay(first), Outcome::Success { settle }) => {
            let through = (first + *settle as u64).min(model.next - 1);
            channel.relayed(through, now_ms);
            (model.relayed_through, model.relayed_at_ms) = (model.relayed_through.max(through), now_ms);
        }
        (Plan::Direct(_), Outcome::Failure { jitter }) => {
            channel.failed(now_ms, *jitter);
            model.failures += 1;
            let wait = (0..model.failures).fold(WAIT_MS_MIN / 2, |wait, _| (wait * 2).min(WAIT_MS_MAX));
            (model.wait, model.relay_refused) = (Some((now_ms + wait / 2, now_ms + wait)), false);
        }
        (Plan::Relay(_), Outcome::Failure { .. }) => {
            channel.relay_failed(now_ms);
            let (earliest, latest) = model.wait.expect("a failure before the relay");
            let least = now_ms + WAIT_MS_MIN;
            (model.wait, model.relay_refused) = (Some((earliest.max(least), latest.max(least))), true);
        }
        // The process of the attempt dies, which is a failure like any other.
        _ => {
            channel.failed(now_ms, 0);
            model.failures += 1;
            let wait = (0..model.failures).fold(WAIT_MS_MIN / 2, |wait, _| (wait * 2).min(WAIT_MS_MAX));
            (model.wait, model.relay_refused) = (Some((now_ms + wait / 2, now_ms + wait)), false);
        }
    }
}

/// The recipient answers for what has been settled, however much that is.
fn answered(channel: &mut Outbound, first: u64) {
    let nothing = channel.departs(first, first - 1);
    assert!(channel.answered(&nothing, 0, 0));
}

/// What happens to a channel with several attempts under way.
#[derive(Debug, Clone)]
enum Happening {
    Assign(u64),
    /// Another parcel leaves, if the channel says so.
    Leave,
    /// One of those under way gets its receipt, in whatever order.
    Receipt(Index),
    /// One fails; nobody knows whether it arrived.
    Fail(Index),
    /// One came out of order.
    Gap(Index, Index),
    Synced(Index),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let happening = prop_oneof![
        3 => (1..30u64).prop_map(Happening::Assign),
        6 => Just(Happening::Leave),
        4 => any::<Index>().prop_map(Happening::Receipt),
        1 => any::<Index>().prop_map(Happening::Fail),
        1 => any::<(Index, Index)>().prop_map(|(which, expected)| Happening::Gap(which, expected)),
        1 => any::<Index>().prop_map(Happening::Synced),
    ];
    prop::collection::vec(happening, 1..150)
}

/// How many records fill a parcel here.
const FULL: u64 = 8;

/// Parcels that follow each other neither overlap nor leave a gap; there are never too many; and whatever goes wrong, once all
/// attempts have ended the channel goes on from the first record without a receipt.
fn side_by_side(happenings: Vec<Happening>) {
    let mut channel = Outbound::new(0, 1);
    let (mut next, mut now_ms, mut departed) = (1, 0, 0);
    let mut under_way: Vec<(u64, u64, Departed)> = Vec::new();
    // Something before the last departed record has to be sent again.
    let mut broken = false;
    for happening in happenings {
        now_ms += WAIT_MS_MAX;
        let pick = |index: Index| (!under_way.is_empty()).then(|| index.index(under_way.len()));
        match happening {
            Happening::Assign(count) => {
                for _ in 0..count {
                    channel.assign();
                }
                next += count;
            }
            Happening::Leave => {
                let first = match channel.plan(now_ms, false) {
                    Plan::Direct(first) => {
                        assert!(under_way.is_empty() && first == channel.settled_through() + 1);
                        broken = false;
                        first
                    }
                    Plan::Wait(u64::MAX) => match channel.follow(FULL) {
                        Some(first) => {
                            assert!(!broken && under_way.len() < UNDER_WAY_MAX as usize && next - first >= FULL);
                            assert_eq!(first, departed.max(channel.settled_through()) + 1);
                            first
                        }
                        None => continue,
                    },
                    _ => continue,
                };
                departed = (first + FULL).min(next) - 1;
                under_way.push((first, departed, channel.departs(first, departed)));
            }
            Happening::Receipt(index) => {
                let Some(at) = pick(index) else { continue };
                let (first, last, left) = under_way.remove(at);
                (first..=last).for_each(|position| channel.settle(position));
                assert!(channel.is_settled(first) && channel.is_settled(last));
                assert!(channel.answered(&left, now_ms, 0));
            }
            Happening::Fail(index) => {
                let Some(at) = pick(index) else { continue };
                under_way.remove(at);
                channel.failed(now_ms, 0);
                broken = true;
                assert_eq!(channel.follow(1), None);
            }
            Happening::Gap(index, expected) => {
                let Some(at) = pick(index) else { continue };
                let (_, _, left) = under_way.remove(at);
                let (through, lost) = (channel.settled_through(), expected.index(2) == 0);
                // Either what comes next, or something that was settled before all of these left.
                channel.gap(&left, if lost { 1 } else { through + 1 }, now_ms, 0);
                broken = true;
                assert_eq!(channel.follow(1), None);
            }
            Happening::Synced(expected) => {
                let expected = expected.index(next as usize + 1) as u64;
                broken |= (1..=channel.settled_through()).contains(&expected);
                channel.synced(expected);
            }
        }
    }
    for (first, last, left) in under_way.drain(..) {
        (first..=last).for_each(|position| channel.settle(position));
        assert!(channel.answered(&left, now_ms, 0));
    }
    while channel.settled_through() + 1 < next {
        now_ms += WAIT_MS_MAX;
        let first = channel.settled_through() + 1;
        assert_eq!(channel.plan(now_ms, false), Plan::Direct(first));
        channel.settle(first);
        answered(&mut channel, first);
    }
    assert_eq!((channel.plan(now_ms, false), channel.backlog()), (Plan::Idle, 0));
}

/// The head of a CBOR item (RFC 8949 §3), written here by hand.
fn head(major: u8, value: u64) -> Vec<u8> {
    let first = |info: u8| major << 5 | info;
    match value {
        0..24 => vec![first(value as u8)],
        24..0x100 => vec![first(24), value as u8],
        0x100..0x1_0000 => [&[first(25)][..], &(value as u16).to_be_bytes()].concat(),
        0x1_0000..0x1_0000_0000 => [&[first(26)][..], &(value as u32).to_be_bytes()].concat(),
        _ => [&[first(27)][..], &value.to_be_bytes()].concat(),
    }
}

fn leaves() -> impl Strategy<Value = Leaf> {
    let at_ms = prop_oneof![any::<u64>(), 0..300u64, 65_000..66_000u64];
    let detail = prop::collection::vec(any::<u8>(), 0..300);
    (1u8..8, at_ms, any::<[u8; 32]>(), detail, any::<[u8; 16]>()).prop_map(|(what, at_ms, subject, detail, salt)| {
        Leaf { what: What::from_number(what).expect("a type"), at_ms, subject: Digest(subject), detail, salt }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_record_arrives_once_between_two(steps in steps(2)) {
        history(2, steps);
    }

    #[test]
    fn every_record_arrives_once_among_three(steps in steps(3)) {
        history(3, steps);
    }

    /// Beyond one tile, with restarts in between.
    #[test]
    fn the_root_is_that_of_the_leaves_in_order(leaves in prop::collection::vec((leaves(), prop::bool::weighted(0.02)), 200..600)) {
        let mut node = Node::new("aa");
        let mut hashes = Vec::new();
        for (leaf, crash) in leaves {
            hashes.push(leaf.hash());
            let batch = node.exchange.note(leaf);
            for change in &batch.changes {
                node.store.make(change);
            }
            if crash {
                node.crash();
                prop_assert_eq!(node.exchange.ledger().1, root_of(&hashes));
            }
        }
        prop_assert_eq!(node.exchange.ledger(), (hashes.len() as u64, root_of(&hashes)));
        prop_assert_eq!(&node.store.hashes, &hashes);
    }
}

proptest! {
    #[test]
    fn a_channel_is_its_model(events in events()) {
        against_the_model(events);
    }

    #[test]
    fn parcels_side_by_side(happenings in happenings()) {
        side_by_side(happenings);
    }

    /// Section 12 of the protocol, encoded by hand.
    #[test]
    fn leaves_commit_to_what_the_protocol_says(leaf in leaves()) {
        let content = [
            vec![0x84],
            head(0, u64::from(leaf.what.number())),
            head(0, leaf.at_ms),
            [head(2, 32), leaf.subject.0.to_vec()].concat(),
            [head(2, leaf.detail.len() as u64), leaf.detail.clone()].concat(),
        ].concat();
        let entry = sha256(&[b"mufakat leaf 1\0", &leaf.salt[..], &content].concat());
        prop_assert_eq!(leaf.commitment(), entry);
        prop_assert_eq!(*leaf.hash().as_bytes(), sha256(&[&[0], &entry[..]].concat()));
    }
}
