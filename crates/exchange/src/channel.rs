//! Channels: the numbered, gap-free flow of records from one agency to another, as seen from each end. No I/O: the caller
//! says what happened and when, and gets told what to do next.

use std::collections::BTreeSet;

/// The first wait after a failed delivery, in milliseconds; it doubles up to [`WAIT_MS_MAX`].
pub const WAIT_MS_MIN: u64 = 500;
/// The longest wait between attempts, in milliseconds.
pub const WAIT_MS_MAX: u64 = 5 * 60 * 1000;
/// After how many failures in a row records are handed to a relay.
pub const FAILURES_BEFORE_RELAY: u32 = 1;
/// How many parcels of one channel may be under way at once.
pub const UNDER_WAY_MAX: u32 = 3;
/// How many parcels get through one by one, after one failed with others beside it, before some are side by side again: on a
/// slow line they would only take each other's time.
pub const ALONE_FOR: u32 = 64;
/// How long records that a relay holds may stay without a receipt before they are sent again, in milliseconds.
pub const RELAY_PATIENCE_MS: u64 = 15 * 60 * 1000;

/// The sending end of a channel.
#[derive(Debug, Clone)]
pub struct Outbound {
    next: u64,
    settled_through: u64,
    settled_above: BTreeSet<u64>,
    relayed_through: u64,
    relayed_at_ms: u64,
    failures: u32,
    wait_until_ms: u64,
    /// Whether the relays refused since the recipient itself was last tried.
    relay_refused: bool,
    /// Attempts that are under way.
    under_way: u32,
    /// Up to which position records have left for the recipient itself.
    departed_through: u64,
    /// Something that has departed must be sent again: what is under way must end before that.
    draining: bool,
    /// How many parcels must get through one by one before another may follow.
    alone_for: u32,
}

/// Records that have left for the recipient itself, and how things stood then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departed {
    /// The first position.
    first: u64,
    /// The last.
    last: u64,
    /// Up to which position everything was settled.
    settled_through: u64,
}

/// What to do now about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Nothing to send.
    Idle,
    /// An attempt is under way, or must wait until the given time in milliseconds.
    Wait(u64),
    /// Send the records from this position on to the recipient itself.
    Direct(u64),
    /// Hand the records from this position on to a relay.
    Relay(u64),
}

impl Outbound {
    /// A channel on which everything up to `settled_through` has its receipt and `next` is the next position to give out.
    pub fn new(settled_through: u64, next: u64) -> Self {
        Self {
            next,
            settled_through,
            settled_above: BTreeSet::new(),
            relayed_through: 0,
            relayed_at_ms: 0,
            failures: 0,
            wait_until_ms: 0,
            relay_refused: false,
            under_way: 0,
            departed_through: settled_through,
            draining: false,
            alone_for: 0,
        }
    }

    /// Gives out the next position.
    pub fn assign(&mut self) -> u64 {
        let position = self.next;
        self.next += 1;
        position
    }

    /// How many records have no receipt yet.
    pub fn backlog(&self) -> u64 {
        self.next - 1 - self.settled_through - self.settled_above.len() as u64
    }

    /// Up to which position every record has its receipt.
    pub fn settled_through(&self) -> u64 {
        self.settled_through
    }

    /// How many attempts have failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Up to which position a relay holds the records.
    pub fn relayed_through(&self) -> u64 {
        self.relayed_through
    }

    /// Whether the record at this position has its receipt, or will never get one.
    pub fn is_settled(&self, position: u64) -> bool {
        position <= self.settled_through || self.settled_above.contains(&position)
    }

    /// Says what to do, and takes note that it is being done: [`Self::answered`], [`Self::gap`], [`Self::failed`],
    /// [`Self::relayed`] or [`Self::relay_failed`] follows.
    pub fn plan(&mut self, now_ms: u64, has_relay: bool) -> Plan {
        let plan = self.look(now_ms, has_relay);
        if let Plan::Direct(_) | Plan::Relay(_) = plan {
            self.under_way = 1;
            self.draining = false;
            self.departed_through = self.settled_through;
        }
        plan
    }

    /// What to do next, with a parcel that follows those under way counted in; see [`Self::plan`] and [`Self::follow`].
    pub fn plan_on(&mut self, now_ms: u64, has_relay: bool, full: u64) -> Plan {
        match self.plan(now_ms, has_relay) {
            Plan::Wait(u64::MAX) => self.follow(full).map_or(Plan::Wait(u64::MAX), Plan::Direct),
            plan => plan,
        }
    }

    /// Says from which position another parcel may follow those under way, and takes note that it does. It must be worth it:
    /// `full` records must wait that have not left yet. Fewer are cheaper together, once the answer is there.
    pub fn follow(&mut self, full: u64) -> Option<u64> {
        let calm = self.failures == 0 && self.alone_for == 0 && !self.draining;
        if !calm || !(1..UNDER_WAY_MAX).contains(&self.under_way) || self.waiting() < full {
            return None;
        }
        self.under_way += 1;
        Some(self.departed_through.max(self.settled_through) + 1)
    }

    /// How many records have not left yet.
    pub fn waiting(&self) -> u64 {
        self.next - 1 - self.departed_through.max(self.settled_through)
    }

    /// The records of these positions leave for the recipient itself.
    pub fn departs(&mut self, first: u64, last: u64) -> Departed {
        self.departed_through = self.departed_through.max(last);
        Departed { first, last, settled_through: self.settled_through }
    }

    /// Whoever made the attempts under way is gone, and will not tell how they end.
    pub fn abandoned(&mut self) {
        self.under_way = 0;
        self.draining = true;
    }

    fn look(&mut self, now_ms: u64, has_relay: bool) -> Plan {
        if self.under_way > 0 {
            return Plan::Wait(u64::MAX);
        }
        if self.settled_through + 1 >= self.next {
            return Plan::Idle;
        }
        // A clock that was set back leaves times behind that lie far ahead; so may a partner that asks for patience.
        self.wait_until_ms = self.wait_until_ms.min(now_ms.saturating_add(WAIT_MS_MAX));
        self.relayed_at_ms = self.relayed_at_ms.min(now_ms);
        if self.relayed_through > self.settled_through && now_ms > self.relayed_at_ms + RELAY_PATIENCE_MS {
            self.relayed_through = 0;
        }
        if now_ms >= self.wait_until_ms {
            return Plan::Direct(self.settled_through + 1);
        }
        let unrelayed = self.settled_through.max(self.relayed_through) + 1;
        let may_relay = has_relay && !self.relay_refused && self.failures >= FAILURES_BEFORE_RELAY;
        if may_relay && unrelayed < self.next {
            return Plan::Relay(unrelayed);
        }
        Plan::Wait(self.wait_until_ms)
    }

    /// The recipient answered with a receipt, whose entries were told by [`Self::settle`]; says whether it was for these records.
    /// One for something else does not bring the channel on: answered with it again and again, a sender would neither wait nor
    /// turn to a relay.
    pub fn answered(&mut self, departed: &Departed, now_ms: u64, jitter: u32) -> bool {
        let fits = (departed.first..=departed.last).all(|position| self.is_settled(position));
        if fits {
            self.sent();
        } else {
            self.failed(now_ms, jitter);
        }
        fits
    }

    fn sent(&mut self) {
        self.ended();
        // What failed beside it stays a failure, with the wait that the recipient may have asked for.
        if !self.draining {
            self.alone_for = self.alone_for.saturating_sub(1);
            self.relay_refused = false;
            self.failures = 0;
            self.wait_until_ms = 0;
        }
    }

    /// A relay took the records up to this position.
    pub fn relayed(&mut self, through: u64, now_ms: u64) {
        self.ended();
        self.relayed_through = self.relayed_through.max(through);
        self.relayed_at_ms = now_ms;
    }

    /// The recipient could not be reached or would not answer. `jitter` is a random number that spreads the attempts.
    pub fn failed(&mut self, now_ms: u64, jitter: u32) {
        let beside_others = self.under_way > 1 || self.draining;
        self.ended();
        if beside_others {
            self.alone_for = ALONE_FOR;
        }
        // Those that fail together fail for one reason.
        if !std::mem::replace(&mut self.draining, true) || self.failures == 0 {
            self.failures = self.failures.saturating_add(1);
        }
        self.relay_refused = false;
        let wait = (WAIT_MS_MIN << (self.failures - 1).min(16)).min(WAIT_MS_MAX);
        // Between half and the whole of the wait, so that a thousand nodes do not come back in one moment.
        self.wait_until_ms = now_ms + wait / 2 + u64::from(jitter) % (wait / 2 + 1);
    }

    /// The recipient would not take these records, because it expects another position.
    pub fn gap(&mut self, departed: &Departed, expected: u64, now_ms: u64, jitter: u32) {
        if (1..=departed.settled_through).contains(&expected) {
            // It has lost what it had confirmed, and says from where to go on.
            self.ended();
            self.synced(expected);
        } else if departed.first > departed.settled_through + 1 {
            // They came before those that left earlier, or those were refused.
            self.ended();
            self.draining = true;
        } else {
            self.failed(now_ms, jitter);
        }
    }

    /// The recipient asks not to be tried before this time. It is tried after [`WAIT_MS_MAX`] at the latest.
    pub fn wait_at_least(&mut self, until_ms: u64) {
        self.wait_until_ms = self.wait_until_ms.max(until_ms);
    }

    /// The relay would not take them. It is asked again after the next attempt with the recipient itself, which waits as after
    /// any failure; so a relay that refuses is not asked again and again.
    pub fn relay_failed(&mut self, now_ms: u64) {
        self.ended();
        self.relay_refused = true;
        self.wait_until_ms = self.wait_until_ms.max(now_ms + WAIT_MS_MIN);
        self.failures = self.failures.max(FAILURES_BEFORE_RELAY);
    }

    /// The record at this position has its receipt, or will never get one.
    pub fn settle(&mut self, position: u64) {
        if position > self.settled_through && position < self.next {
            self.settled_above.insert(position);
            while self.settled_above.remove(&(self.settled_through + 1)) {
                self.settled_through += 1;
            }
        }
    }

    /// The recipient is back and says which position it expects next: try at once, from there.
    pub fn synced(&mut self, expected: u64) {
        self.relay_refused = false;
        self.failures = 0;
        self.wait_until_ms = 0;
        self.relayed_through = 0;
        if expected >= 1 && expected <= self.settled_through {
            // It has lost what it had confirmed, as after a restore from a backup; we still have it.
            self.settled_through = expected - 1;
            self.settled_above.clear();
            self.draining = true;
        }
    }

    fn ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

/// The receiving end of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    /// The sender's epoch.
    pub epoch: u64,
    /// The position that comes next.
    pub expected: u64,
}

impl Inbound {
    /// Before anything has come.
    pub fn fresh() -> Self {
        Self { epoch: 0, expected: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut channel = Outbound::new(0, 2);
        let mut now = 0;
        let mut last_wait = 0;
        for attempt in 0..30 {
            assert_eq!(channel.plan(now, false), Plan::Direct(1), "attempt {attempt}");
            channel.failed(now, u32::MAX);
            let Plan::Wait(until) = channel.plan(now, false) else { panic!("a wait was due") };
            assert!(until > now && until - now <= WAIT_MS_MAX);
            assert!(until - now >= last_wait / 2);
            last_wait = until - now;
            now = until;
        }
        assert_eq!(channel.plan(now, false), Plan::Direct(1));
        channel.settle(1);
        channel.sent();
        assert_eq!(channel.plan(now, false), Plan::Idle);
    }

    #[test]
    fn a_relay_takes_what_cannot_be_delivered_once() {
        let mut channel = Outbound::new(0, 4);
        assert_eq!(channel.plan(0, true), Plan::Direct(1));
        channel.failed(0, 0);
        assert_eq!(channel.plan(1, true), Plan::Relay(1));
        channel.relayed(3, 1);
        assert!(matches!(channel.plan(2, true), Plan::Wait(_)));
        channel.assign();
        assert_eq!(channel.plan(3, true), Plan::Relay(4));
        channel.relayed(4, 3);
        for position in 1..=4 {
            channel.settle(position);
        }
        assert_eq!(channel.plan(4, true), Plan::Idle);
    }

    #[test]
    fn a_relay_that_refuses_is_asked_once_for_each_attempt() {
        let mut channel = Outbound::new(0, 2);
        let (mut now, mut asked) = (0, 0);
        for attempt in 1..12 {
            assert_eq!(channel.plan(now, true), Plan::Direct(1), "attempt {attempt}");
            channel.failed(now, u32::MAX);
            while channel.plan(now, true) == Plan::Relay(1) {
                asked += 1;
                channel.relay_failed(now);
            }
            assert_eq!(asked, attempt);
            let Plan::Wait(until) = channel.plan(now, true) else { panic!("a wait was due") };
            now = until;
        }
    }

    #[test]
    fn full_parcels_follow_each_other() {
        let mut channel = Outbound::new(0, 46);
        assert_eq!(channel.follow(10), None, "there is nothing to follow");
        assert_eq!(channel.plan(0, true), Plan::Direct(1));
        let first = channel.departs(1, 10);
        assert_eq!(channel.plan(0, true), Plan::Wait(u64::MAX));
        assert_eq!(channel.follow(36), None, "the rest would not fill a parcel");
        let mut others = Vec::new();
        for parcel in 1..u64::from(UNDER_WAY_MAX) {
            assert_eq!(channel.follow(10), Some(parcel * 10 + 1));
            others.push(channel.departs(parcel * 10 + 1, parcel * 10 + 10));
        }
        assert_eq!(channel.follow(1), None, "enough is under way");
        // The receipt for the second comes first.
        (11..=20).for_each(|position| channel.settle(position));
        assert!(channel.answered(&others[0], 0, 0));
        assert_eq!(channel.follow(15), Some(31));
        let last = channel.departs(31, 45);
        (1..=10).chain(21..=30).for_each(|position| channel.settle(position));
        assert!(channel.answered(&first, 0, 0) && channel.answered(&others[1], 0, 0));
        assert_eq!((channel.settled_through(), channel.plan(0, true)), (30, Plan::Wait(u64::MAX)));
        // A receipt that leaves one of them out is none.
        (31..45).for_each(|position| channel.settle(position));
        assert!(!channel.answered(&last, 0, 0));
        // A failure ends this until the recipient has answered again.
        for _ in 0..20 {
            channel.assign();
        }
        assert_eq!(channel.plan(WAIT_MS_MAX, false), Plan::Direct(45));
        assert_eq!(channel.follow(1), None);
    }

    #[test]
    fn those_that_fail_together_fail_once_and_then_go_one_by_one() {
        let mut channel = Outbound::new(0, 1001);
        assert_eq!(channel.plan(0, true), Plan::Direct(1));
        let first = channel.departs(1, 10);
        assert_eq!(channel.follow(10), Some(11));
        channel.departs(11, 20);
        channel.failed(0, u32::MAX);
        channel.wait_at_least(60_000);
        // The other one got through, which does not end the wait that was asked for.
        (1..=10).for_each(|position| channel.settle(position));
        assert!(channel.answered(&first, 0, 0));
        assert_eq!((channel.failures(), channel.plan(0, false)), (1, Plan::Wait(60_000)));
        for parcel in 1..=u64::from(ALONE_FOR) {
            assert_eq!(channel.plan(60_000, false), Plan::Direct(parcel * 10 + 1));
            let alone = channel.departs(parcel * 10 + 1, parcel * 10 + 10);
            assert_eq!(channel.follow(1), None, "after {parcel}");
            (parcel * 10 + 1..=parcel * 10 + 10).for_each(|position| channel.settle(position));
            assert!(channel.answered(&alone, 0, 0));
        }
        assert!(matches!(channel.plan(60_000, false), Plan::Direct(_)));
        channel.departs(651, 660);
        assert_eq!(channel.follow(1), Some(661));
        // All of them fail, which is one failure.
        channel.failed(60_000, 0);
        channel.failed(60_000, 0);
        assert_eq!(channel.failures(), 1);
    }

    #[test]
    fn what_came_out_of_order_is_sent_again() {
        let mut channel = Outbound::new(0, 31);
        assert_eq!(channel.plan(0, true), Plan::Direct(1));
        let first = channel.departs(1, 10);
        assert_eq!(channel.follow(10), Some(11));
        let second = channel.departs(11, 20);
        channel.gap(&second, 1, 0, 0);
        assert_eq!(
            (channel.follow(10), channel.plan(0, true)),
            (None, Plan::Wait(u64::MAX)),
            "the first has no answer"
        );
        (1..=10).for_each(|position| channel.settle(position));
        assert!(channel.answered(&first, 0, 0));
        assert_eq!((channel.failures(), channel.plan(0, true)), (0, Plan::Direct(11)));
        // The answer to a later one may come after that to an earlier one: nothing was lost.
        let first = channel.departs(11, 20);
        assert_eq!(channel.follow(10), Some(21));
        let second = channel.departs(21, 30);
        (11..=20).for_each(|position| channel.settle(position));
        assert!(channel.answered(&first, 0, 0));
        channel.gap(&second, 11, 0, 0);
        assert_eq!((channel.failures(), channel.settled_through()), (0, 20));
        // A gap before the first of all is a failure like any other, unless the recipient has lost something.
        assert_eq!(channel.plan(0, true), Plan::Direct(21));
        let alone = channel.departs(21, 30);
        channel.gap(&alone, 31, 0, 0);
        assert_eq!(channel.failures(), 1);
        assert_eq!(channel.plan(WAIT_MS_MAX, false), Plan::Direct(21));
        let alone = channel.departs(21, 30);
        channel.gap(&alone, 4, WAIT_MS_MAX, 0);
        assert_eq!((channel.failures(), channel.plan(WAIT_MS_MAX, false)), (0, Plan::Direct(4)));
    }

    #[test]
    fn attempts_that_nobody_ends_do_not_hold_the_channel_up() {
        let mut channel = Outbound::new(0, 31);
        assert_eq!(channel.plan(0, true), Plan::Direct(1));
        channel.departs(1, 10);
        assert_eq!(channel.follow(10), Some(11));
        channel.abandoned();
        assert_eq!(channel.plan(0, true), Plan::Direct(1));
    }

    #[test]
    fn a_clock_that_is_set_back_blocks_nothing() {
        let day = 24 * 3_600_000;
        let mut channel = Outbound::new(0, 2);
        assert_eq!(channel.plan(9 * day, true), Plan::Direct(1));
        channel.failed(9 * day, u32::MAX);
        assert_eq!(channel.plan(9 * day, true), Plan::Relay(1));
        channel.relayed(1, 9 * day);
        assert_eq!(channel.plan(day, true), Plan::Wait(day + WAIT_MS_MAX));
        assert_eq!(channel.plan(day + WAIT_MS_MAX, true), Plan::Direct(1));
        channel.failed(day + WAIT_MS_MAX, u32::MAX);
        channel.wait_at_least(u64::MAX);
        assert_eq!(channel.plan(day + RELAY_PATIENCE_MS + 1, true), Plan::Relay(1));
    }

    #[test]
    fn receipts_in_any_order_settle_the_channel() {
        let mut channel = Outbound::new(0, 5);
        for position in [3, 4, 1, 9, 0] {
            channel.settle(position);
        }
        assert_eq!(channel.plan(0, false), Plan::Direct(2));
        assert_eq!(channel.backlog(), 1);
        channel.sent();
        channel.settle(2);
        assert_eq!(channel.plan(0, false), Plan::Idle);
    }

    #[test]
    fn a_recipient_that_lost_its_memory_gets_all_again() {
        let mut channel = Outbound::new(9, 10);
        channel.synced(4);
        assert_eq!(channel.plan(0, false), Plan::Direct(4));
        let mut channel = Outbound::new(9, 10);
        channel.synced(10);
        assert_eq!(channel.plan(0, false), Plan::Idle);
    }
}
