//! The clock of a request: from its receipt to the instant at which it is due, through everything that moves that instant.
//!
//! How long there is (Directive (EU) 2023/977, article 5(1)): eight hours for what is urgent and directly accessible, three
//! calendar days for what is urgent and indirectly accessible, seven calendar days for the rest. The asked side may promise
//! less. Longer it may take only to await a judge, if it says so before the time is over, with how long and why (article 5(2)).
//!
//! - Hours run by the instant. Days are calendar days where the asked side is: the day of the receipt does not count, and the
//!   period ends with the last hour of its last day (Regulation (EEC, Euratom) No 1182/71, article 3(1) and 3(2)(b)). Weekends
//!   and holidays count like all days.
//! - While a clarification is awaited the clock stands still (article 6(3) of the directive), and its end moves by exactly as
//!   long. So nobody gains or loses the rest of a day.
//! - What comes after the end does not move it: who was late stays late.

#[cfg(test)]
mod tests;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use mufakat_record::kinds::escalation::Level;
use mufakat_record::kinds::request::Urgency;
use serde::{Deserialize, Serialize};

/// For what is urgent and directly accessible, in hours (Directive (EU) 2023/977, article 5(1)(a)).
pub const URGENT_DIRECT_HOURS: u32 = 8;
/// For what is urgent and not directly accessible, in calendar days (article 5(1)(b)).
pub const URGENT_INDIRECT_DAYS: u32 = 3;
/// For everything else, in calendar days (article 5(1)(c)).
pub const ORDINARY_DAYS: u32 = 7;
/// The part of the time after which the deputy is told, in percent \[practice\].
pub const DEPUTY_PERCENT: u8 = 75;
/// The part of the time after which the supervisor is told, in percent: its end \[practice\].
pub const SUPERVISOR_PERCENT: u8 = 100;
/// How many pauses and extensions a clock remembers; later ones move it like the others.
pub const REMEMBERED_MAX: usize = 32;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How long there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// So many hours, to the instant.
    Hours(u32),
    /// So many calendar days.
    Days(u32),
}

impl Term {
    /// The term of a request of this urgency.
    pub fn of(urgency: Option<Urgency>) -> Self {
        match urgency {
            Some(Urgency { directly_accessible: true, .. }) => Term::Hours(URGENT_DIRECT_HOURS),
            Some(_) => Term::Days(URGENT_INDIRECT_DAYS),
            None => Term::Days(ORDINARY_DAYS),
        }
    }

    /// When a term that begins at `start_ms` ends, where the asked side is.
    fn end_ms(self, start_ms: u64, zone: &TimeZone) -> u64 {
        match self {
            Term::Hours(hours) => start_ms.saturating_add(u64::from(hours) * HOUR_MS),
            // Beyond the calendar, where only a clock that lies can be, days have 24 hours.
            Term::Days(days) => end_of_days(start_ms, days, zone)
                .unwrap_or_else(|| start_ms.saturating_add(u64::from(days + 1) * DAY_MS)),
        }
    }
}

/// The first instant after the last of so many days that follow the day of an instant.
fn end_of_days(start_ms: u64, days: u32, zone: &TimeZone) -> Option<u64> {
    let start = Timestamp::from_millisecond(i64::try_from(start_ms).ok()?).ok()?;
    let day: Date = start.to_zoned(zone.clone()).date();
    let after = day.checked_add(Span::new().try_days(i64::from(days) + 1).ok()?).ok()?;
    // Midnight, or what the clocks there show first on that day if they leap over midnight.
    let end = zone.to_ambiguous_timestamp(after.at(0, 0, 0, 0)).compatible().ok()?;
    u64::try_from(end.as_millisecond()).ok()
}

/// The time zone of this name; UTC where there is none of it, which is told apart.
pub fn zone(name: &str) -> (TimeZone, bool) {
    // The database is part of the program, so that both sides reckon alike whatever their machines have.
    match TimeZoneDatabase::bundled().get(name) {
        Ok(zone) => (zone, true),
        Err(_) => (TimeZone::UTC, false),
    }
}

/// An instant as the clocks in a time zone show it, such as `2026-11-29T00:00:00+07:00`.
pub fn local(at_ms: u64, zone_name: &str) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
    let (zone, _) = zone(zone_name);
    let offset = zone.to_offset(at);
    Some(at.display_with_offset(offset).to_string())
}

/// The calendar year of an instant in a time zone.
pub fn year(at_ms: u64, zone_name: &str) -> Option<i16> {
    let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
    Some(at.to_zoned(zone(zone_name).0).year())
}

/// A stretch for which a clock stood still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when, in milliseconds since 1970.
    pub from_ms: u64,
    /// Until when; absent while it stands still.
    pub until_ms: Option<u64>,
    /// Why.
    pub why: String,
}

/// A longer time, given by the asked side for a judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// When it was told, in milliseconds since 1970.
    pub at_ms: u64,
    /// Until when, in milliseconds since 1970.
    pub until_ms: u64,
    /// Why.
    pub why: String,
}

/// A clock: when it is due, and what it has been through. All times are those of the asked side, in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// When it started.
    pub start_ms: u64,
    /// When it is due; while it stands still, when it was due before it stopped.
    pub due_ms: u64,
    /// How long it stood still until now, without a pause that goes on.
    pub paused_ms: u64,
    /// The time zone in which its days are counted.
    pub time_zone: String,
    /// Whether that zone is one that this program knows; days are counted in UTC if it is not.
    pub zone_known: bool,
    /// The pauses.
    pub pauses: Vec<Pause>,
    /// The extensions.
    pub extensions: Vec<Extension>,
    /// Since when it stands still.
    pub still_since_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Whether it ended after it was due; absent while it runs.
    pub late: Option<bool>,
}

impl Clock {
    /// A clock that starts with a receipt. `within_s` is what the asked side promises, which only counts if it is less.
    pub fn start(start_ms: u64, term: Term, time_zone: &str, within_s: Option<u64>) -> Self {
        let (zone, zone_known) = zone(time_zone);
        let end_ms = term.end_ms(start_ms, &zone);
        let promised_ms = within_s.map(|s| start_ms.saturating_add(s.saturating_mul(1000)));
        Self {
            start_ms,
            due_ms: promised_ms.map_or(end_ms, |promised| promised.min(end_ms)),
            paused_ms: 0,
            time_zone: time_zone.to_owned(),
            zone_known,
            pauses: Vec::new(),
            extensions: Vec::new(),
            still_since_ms: None,
            ended_ms: None,
            late: None,
        }
    }

    /// Stops the clock. After its end it does not stop any more.
    pub fn pause(&mut self, at_ms: u64, why: &str) {
        if self.ended_ms.is_some() || self.still_since_ms.is_some() || at_ms >= self.due_ms {
            return;
        }
        self.still_since_ms = Some(at_ms);
        if self.pauses.len() < REMEMBERED_MAX {
            self.pauses.push(Pause { from_ms: at_ms, until_ms: None, why: why.to_owned() });
        }
    }

    /// Lets the clock go on.
    pub fn resume(&mut self, at_ms: u64) {
        let Some(since) = self.still_since_ms.take() else { return };
        let stood = at_ms.saturating_sub(since);
        self.due_ms = self.due_ms.saturating_add(stood);
        self.paused_ms = self.paused_ms.saturating_add(stood);
        if let Some(pause) = self.pauses.last_mut().filter(|pause| pause.until_ms.is_none()) {
            pause.until_ms = Some(at_ms);
        }
    }

    /// Gives more time. It never takes any away, and it comes too late after the end.
    pub fn extend(&mut self, at_ms: u64, until_ms: u64, why: &str) {
        if self.ended_ms.is_some() || self.still_since_ms.is_some() || at_ms >= self.due_ms || until_ms <= self.due_ms {
            return;
        }
        self.due_ms = until_ms;
        if self.extensions.len() < REMEMBERED_MAX {
            self.extensions.push(Extension { at_ms, until_ms, why: why.to_owned() });
        }
    }

    /// Ends the clock.
    pub fn end(&mut self, at_ms: u64) {
        if self.ended_ms.is_none() {
            self.resume(at_ms);
            self.ended_ms = Some(at_ms);
            self.late = Some(at_ms > self.due_ms);
        }
    }

    /// Whether the time was over at an instant, if nothing more had come until then.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.late.unwrap_or_else(|| self.still_since_ms.is_none() && now_ms > self.due_ms)
    }

    /// How much time was left at an instant; none when it was over or the clock had ended.
    pub fn left_ms(&self, now_ms: u64) -> u64 {
        if self.ended_ms.is_some() {
            return 0;
        }
        self.due_ms.saturating_sub(self.still_since_ms.unwrap_or(now_ms))
    }

    /// The instants at which somebody is to be told that it runs out; none while it stands still and after it ended.
    pub fn marks(&self, shares: Shares) -> Vec<(Level, u64)> {
        if self.ended_ms.is_some() || self.still_since_ms.is_some() {
            return Vec::new();
        }
        let running_ms = self.due_ms.saturating_sub(self.start_ms).saturating_sub(self.paused_ms);
        shares.marks(running_ms, self.due_ms).to_vec()
    }
}

/// After which parts of the time deputy and supervisor are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// The deputy, in percent.
    pub deputy_percent: u8,
    /// The supervisor, in percent.
    pub supervisor_percent: u8,
}

impl Shares {
    /// The marks of a time that is so long and due then.
    pub fn marks(self, length_ms: u64, due_ms: u64) -> [(Level, u64); 2] {
        // So much of the time is left at the mark. Products of this size stay far below the limit of 128 bits.
        let mark = |percent: u8| {
            let left = u128::from(length_ms) * u128::from(100 - percent.min(100)) / 100;
            due_ms.saturating_sub(u64::try_from(left).unwrap_or(u64::MAX))
        };
        [(Level::Deputy, mark(self.deputy_percent)), (Level::Supervisor, mark(self.supervisor_percent))]
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self { deputy_percent: DEPUTY_PERCENT, supervisor_percent: SUPERVISOR_PERCENT }
    }
}
