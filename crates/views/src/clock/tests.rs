//! Tests of the clock: examples with their calendars, and a slow model that looks at every minute.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mufakat_record::kinds::request::UrgencyReason;
use proptest::prelude::*;

use super::*;

const MINUTE_MS: u64 = 60_000;

fn ms(text: &str) -> u64 {
    text.parse::<Timestamp>().unwrap().as_millisecond().try_into().unwrap()
}

#[test]
fn terms_follow_the_urgency() {
    let urgent = |directly_accessible| Some(Urgency { reason: UrgencyReason::LifeOrLimb, directly_accessible });
    assert_eq!(Term::of(urgent(true)), Term::Hours(8));
    assert_eq!(Term::of(urgent(false)), Term::Days(3));
    assert_eq!(Term::of(None), Term::Days(7));
}

#[test]
fn calendars() {
    let check = |term, zone: &str, start: &str, due: &str| {
        let clock = Clock::start(ms(start), term, zone, None);
        assert_eq!((clock.due_ms, clock.zone_known), (ms(due), true), "{zone} from {start}");
    };
    // The day of the receipt does not count, however early or late on it the request came.
    check(Term::Days(7), "Asia/Jakarta", "2026-11-22T00:00:00+07:00", "2026-11-30T00:00:00+07:00");
    check(Term::Days(7), "Asia/Jakarta", "2026-11-22T23:59:59.999+07:00", "2026-11-30T00:00:00+07:00");
    check(Term::Days(7), "Asia/Jakarta", "2026-11-23T00:00:00+07:00", "2026-12-01T00:00:00+07:00");
    // The same instant has another day elsewhere.
    check(Term::Days(3), "Pacific/Auckland", "2026-11-22T12:00:00Z", "2026-11-27T00:00:00+13:00");
    check(Term::Days(3), "America/New_York", "2026-11-22T12:00:00Z", "2026-11-26T00:00:00-05:00");
    // Leap days count, and 2100 has none.
    check(Term::Days(3), "UTC", "2028-02-26T10:00:00Z", "2028-03-01T00:00:00Z");
    check(Term::Days(3), "UTC", "2027-02-26T10:00:00Z", "2027-03-02T00:00:00Z");
    check(Term::Days(3), "UTC", "2100-02-26T10:00:00Z", "2100-03-02T00:00:00Z");
    // Days with 23 and 25 hours; hours are not touched by that.
    check(Term::Days(3), "America/New_York", "2026-03-06T10:00:00-05:00", "2026-03-10T00:00:00-04:00");
    check(Term::Days(3), "America/New_York", "2026-10-30T10:00:00-04:00", "2026-11-03T00:00:00-05:00");
    check(Term::Hours(8), "America/New_York", "2026-03-07T23:00:00-05:00", "2026-03-08T08:00:00-04:00");
    // Odd offsets, and half an hour of summer time.
    check(Term::Days(3), "Asia/Kathmandu", "2026-06-01T18:14:00Z", "2026-06-04T18:15:00Z");
    check(Term::Days(3), "Australia/Lord_Howe", "2026-10-02T12:00:00+10:30", "2026-10-06T00:00:00+11:00");
    // A midnight that there was not, one that there was twice, and a day that there was not.
    check(Term::Days(3), "America/Sao_Paulo", "2018-10-31T12:00:00-03:00", "2018-11-04T01:00:00-02:00");
    check(Term::Days(3), "America/Havana", "2026-10-28T12:00:00-04:00", "2026-11-01T00:00:00-04:00");
    check(Term::Days(3), "Pacific/Apia", "2011-12-27T12:00:00-10:00", "2011-12-31T00:00:00+14:00");
    check(Term::Days(3), "Pacific/Apia", "2011-12-26T12:00:00-10:00", "2011-12-31T00:00:00+14:00");
}

#[test]
fn a_promise_only_shortens() {
    let start = ms("2026-11-22T10:00:00Z");
    let due = |within_s| Clock::start(start, Term::Hours(8), "UTC", within_s).due_ms;
    assert_eq!(due(Some(60)), start + 60_000);
    assert_eq!(due(Some(9 * 3600)), due(None));
    assert_eq!(due(Some(u64::MAX)), due(None));
}

#[test]
fn what_no_calendar_knows_is_bounded() {
    let clock = Clock::start(ms("2026-11-22T10:00:00Z"), Term::Days(3), "Mars/Olympus", None);
    assert_eq!((clock.due_ms, clock.zone_known), (ms("2026-11-26T00:00:00Z"), false));
    for start in [0, i64::MAX as u64, u64::MAX] {
        assert!(Clock::start(start, Term::Days(7), "Asia/Tokyo", None).due_ms >= start);
    }
    let mut clock = Clock::start(0, Term::Days(7), "UTC", None);
    (0..100).for_each(|minute| {
        clock.pause(minute, "EXERCISE");
        clock.resume(minute + 1);
    });
    assert_eq!((clock.pauses.len(), clock.paused_ms), (REMEMBERED_MAX, 100));
}

#[test]
fn what_comes_after_the_end_does_not_move_it() {
    let start = ms("2026-11-22T10:00:00Z");
    let fresh = || Clock::start(start, Term::Hours(8), "UTC", None);
    let due = fresh().due_ms;
    for at in [due, due + 1] {
        let mut clock = fresh();
        clock.pause(at, "EXERCISE");
        clock.resume(at + 5);
        clock.extend(at + 6, at + MINUTE_MS, "EXERCISE");
        assert_eq!((clock.due_ms, clock.still_since_ms), (due, None));
    }
    let ended = |at| {
        let mut clock = fresh();
        clock.end(at);
        clock.end(at + 100);
        clock.extend(start, due * 2, "EXERCISE");
        assert_eq!(clock.ended_ms, Some(at));
        clock.late
    };
    assert_eq!((ended(due), ended(due + 1)), (Some(false), Some(true)));
    // Time is over after its last instant, and not while the clock stands still.
    let mut clock = fresh();
    assert!(!clock.is_over(due) && clock.is_over(due + 1));
    clock.pause(due - 1, "EXERCISE");
    assert!(!clock.is_over(due + MINUTE_MS));
    clock.end(due + MINUTE_MS);
    assert_eq!((clock.late, clock.due_ms), (Some(false), due + MINUTE_MS + 1));
}

#[test]
fn marks_are_parts_of_the_running_time() {
    let start = ms("2026-11-22T10:00:00Z");
    let mut clock = Clock::start(start, Term::Hours(8), "UTC", None);
    let hours = |clock: &Clock, shares| {
        clock.marks(shares).into_iter().map(|(_, at)| (at - start) / HOUR_MS).collect::<Vec<_>>()
    };
    assert_eq!(hours(&clock, Shares::default()), [6, 8]);
    assert_eq!(hours(&clock, Shares { deputy_percent: 50, supervisor_percent: 75 }), [4, 6]);
    // A pause moves both by its length.
    clock.pause(start + HOUR_MS, "EXERCISE");
    assert!(clock.marks(Shares::default()).is_empty());
    clock.resume(start + 11 * HOUR_MS);
    assert_eq!(hours(&clock, Shares::default()), [16, 18]);
    clock.end(start + 12 * HOUR_MS);
    assert!(clock.marks(Shares::default()).is_empty());
}

#[test]
fn instants_are_shown_as_the_clocks_there_show_them() {
    let at = ms("2026-11-29T17:00:00Z");
    assert_eq!(local(at, "Asia/Jakarta").as_deref(), Some("2026-11-30T00:00:00+07:00"));
    assert_eq!(local(u64::MAX, "Asia/Jakarta"), None);
    assert_eq!(year(ms("2026-12-31T17:00:00Z"), "Asia/Jakarta"), Some(2027));
    assert_eq!(year(ms("2026-12-31T17:00:00Z"), "UTC"), Some(2026));
}

/// What happens to a clock in the model, so many minutes after its start.
#[derive(Debug, Clone, Copy)]
enum Event {
    Pause,
    Resume,
    /// Until so many minutes after the start.
    Extend(u64),
}

/// The number of the day that the clocks of a zone show in a minute, since 1970.
fn day(minute: u64, zone: &TimeZone) -> i64 {
    let at_s = minute as i64 * 60;
    let offset_s = i64::from(zone.to_offset(Timestamp::from_second(at_s).unwrap()).seconds());
    (at_s + offset_s).div_euclid(86_400)
}

/// How many minutes are left at minute `now`, found by looking at each minute since the start.
fn model(term: Term, zone: &TimeZone, start: u64, events: &[(u64, Event)], now: u64) -> u64 {
    let mut due = start;
    match term {
        Term::Hours(hours) => (0..hours * 60).for_each(|_| due += 1),
        Term::Days(days) => {
            let last = day(start, zone) + i64::from(days);
            while day(due, zone) <= last {
                due += 1;
            }
        }
    }
    let mut still = false;
    for minute in start..=now {
        for (_, event) in events.iter().filter(|(at, _)| start + at == minute) {
            match event {
                Event::Pause if !still && minute < due => still = true,
                Event::Resume => still = false,
                Event::Extend(until) if !still && minute < due => due = due.max(start + until),
                _ => {}
            }
        }
        if still && minute < now {
            due += 1;
        }
    }
    due.saturating_sub(now)
}

const ZONES: [&str; 14] = [
    "UTC",
    "Asia/Jakarta",
    "Asia/Ho_Chi_Minh",
    "Europe/Moscow",
    "Asia/Kathmandu",
    "America/New_York",
    "America/Havana",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Tehran",
    "Europe/London",
];

/// Around these, in minutes since 1970, clocks were changed, a day was left out, or a leap day was near.
fn starts() -> impl Strategy<Value = u64> {
    let near = [
        "2011-12-29T00:00:00Z",
        "2018-11-03T00:00:00Z",
        "2026-03-07T00:00:00Z",
        "2026-10-31T00:00:00Z",
        "2028-02-27T00:00:00Z",
    ];
    let near = near.map(|text| ms(text) / MINUTE_MS).to_vec();
    prop_oneof![
        (prop::sample::select(near), 0..20_000_u64).prop_map(|(near, off)| near - 10_000 + off),
        (ms("2000-01-01T00:00:00Z") / MINUTE_MS)..(ms("2040-01-01T00:00:00Z") / MINUTE_MS),
    ]
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        3 => Just(Event::Pause),
        3 => Just(Event::Resume),
        1 => (0..40_000_u64).prop_map(Event::Extend),
    ];
    let event = (prop_oneof![0..600_u64, 0..20_000_u64], event);
    prop::collection::vec(event, 0..10).prop_map(|mut events| {
        events.sort_by_key(|(at, _)| *at);
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_clock_is_that_of_the_slow_model(
        term in prop::sample::select(vec![Term::Hours(8), Term::Days(3), Term::Days(7)]),
        zone_name in prop::sample::select(ZONES.to_vec()),
        start in starts(),
        events in events(),
        later in 0..3_000_u64,
    ) {
        let mut clock = Clock::start(start * MINUTE_MS, term, zone_name, None);
        prop_assert!(clock.zone_known);
        for (at, event) in &events {
            let at_ms = (start + at) * MINUTE_MS;
            match event {
                Event::Pause => clock.pause(at_ms, "EXERCISE"),
                Event::Resume => clock.resume(at_ms),
                Event::Extend(until) => clock.extend(at_ms, (start + until) * MINUTE_MS, "EXERCISE"),
            }
        }
        let now = start + events.last().map_or(0, |(at, _)| *at) + later;
        let (zone, _) = zone(zone_name);
        let left = model(term, &zone, start, &events, now);
        prop_assert_eq!(clock.left_ms(now * MINUTE_MS), left * MINUTE_MS);
        prop_assert_eq!(clock.is_over(now * MINUTE_MS + 1), left == 0 && clock.still_since_ms.is_none());
    }
}
