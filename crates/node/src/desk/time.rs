//! The time by which invitations and tokens expire.

use std::time::{Duration, Instant};

use crate::clock;

/// A clock that may jump ahead of the machine's and is never set back by it while the node runs: a clock that is set back
/// revives nothing that has expired since the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    start_s: u64,
    start: Instant,
}

impl Time {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        Self { start_s: clock::now_s(), start: Instant::now() }
    }

    /// Seconds since 1970.
    pub(crate) fn now_s(self) -> u64 {
        self.later_of(clock::now_s(), self.start.elapsed())
    }

    fn later_of(self, clock_s: u64, since_start: Duration) -> u64 {
        clock_s.max(self.start_s.saturating_add(since_start.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_revives_nothing() {
        let time = Time { start_s: 1_000_000, start: Instant::now() };
        let check = |clock_s, since_start_s, expect| {
            assert_eq!(time.later_of(clock_s, Duration::from_secs(since_start_s)), expect);
        };
        check(1_000_010, 10, 1_000_010);
        check(900_000, 10, 1_000_010);
        check(0, 86_400, 1_086_400);
        // Set ahead, it goes ahead; mended, it is right again.
        check(2_000_000, 10, 2_000_000);
        check(1_000_020, 20, 1_000_020);
    }
}
