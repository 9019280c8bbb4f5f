//! How often somebody may try. What was tried in the last while is counted by officer and by address; beyond the measure the
//! answer is to come back later.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How many addresses are remembered; beyond it the one that has been quiet for longest is forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// So many times within so long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// How many times.
    pub(crate) count: usize,
    /// Within how long.
    pub(crate) within: Duration,
}

/// Sign-ins that may fail for one officer.
pub(crate) const OFFICER_FAILURES: Rate = Rate { count: 10, within: Duration::from_secs(300) };
/// Sign-ins, registrations and tokens that may fail from one address.
pub(crate) const ADDRESS_FAILURES: Rate = Rate { count: 30, within: Duration::from_secs(300) };
/// Ceremonies that may be begun from one address.
pub(crate) const ADDRESS_BEGINNINGS: Rate = Rate { count: 60, within: Duration::from_secs(60) };

/// What was tried, by whom.
#[derive(Debug)]
pub(crate) struct Tried<K> {
    rate: Rate,
    times: HashMap<K, VecDeque<Instant>>,
}

impl<K: Hash + Eq + Clone> Tried<K> {
    /// Nothing was tried yet.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, times: HashMap::new() }
    }

    /// How long to wait, if the measure is full.
    pub(crate) fn wait(&mut self, who: &K, now: Instant) -> Option<Duration> {
        let within = self.rate.within;
        let times = self.times.get_mut(who)?;
        while times.front().is_some_and(|time| now.saturating_duration_since(*time) >= within) {
            times.pop_front();
        }
        let first = times.front().filter(|_| times.len() >= self.rate.count)?;
        Some(within.saturating_sub(now.saturating_duration_since(*first)))
    }

    /// Counts a try.
    pub(crate) fn count(&mut self, who: &K, now: Instant) {
        if self.times.len() >= ADDRESSES_MAX && !self.times.contains_key(who) {
            self.forget(now);
        }
        let times = self.times.entry(who.clone()).or_default();
        times.push_back(now);
        while times.len() > self.rate.count {
            times.pop_front();
        }
    }

    /// The tries of one no longer count.
    pub(crate) fn clear(&mut self, who: &K) {
        self.times.remove(who);
    }

    /// Forgets what is long ago; if that makes no room, whoever has been quiet for longest.
    fn forget(&mut self, now: Instant) {
        let within = self.rate.within;
        let quiet = |times: &VecDeque<Instant>| times.back().copied();
        self.times.retain(|_, times| quiet(times).is_some_and(|last| now.saturating_duration_since(last) < within));
        if self.times.len() >= ADDRESSES_MAX
            && let Some(oldest) = self.times.iter().min_by_key(|(_, times)| quiet(times)).map(|(who, _)| who.clone())
        {
            self.times.remove(&oldest);
        }
    }
}

/// An address as it is counted: of IPv6 the /64, of which one machine has as many addresses as it likes.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { count: 3, within: Duration::from_secs(10) };

    #[test]
    fn whoever_tries_too_often_waits() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut tried = Tried::new(RATE);
        for n in 0..3 {
            assert_eq!(tried.wait(&"a", start + second * n), None);
            tried.count(&"a", start + second * n);
        }
        assert_eq!(tried.wait(&"a", start + second * 4), Some(second * 6));
        assert_eq!(tried.wait(&"b", start + second * 4), None);
        // The first is long ago by now.
        assert_eq!(tried.wait(&"a", start + second * 10), None);
        tried.count(&"a", start + second * 10);
        assert_eq!(tried.wait(&"a", start + second * 10), Some(second));
        tried.clear(&"a");
        assert_eq!(tried.wait(&"a", start + second * 10), None);
    }

    #[test]
    fn memory_has_a_limit() {
        let start = Instant::now();
        let mut tried = Tried::new(RATE);
        for n in 0..ADDRESSES_MAX + 10 {
            tried.count(&n, start + Duration::from_micros(n as u64));
        }
        assert_eq!(tried.times.len(), ADDRESSES_MAX);
        assert!(!tried.times.contains_key(&0) && tried.times.contains_key(&(ADDRESSES_MAX + 9)));
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2::9"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
