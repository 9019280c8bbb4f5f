//! Points in time and lengths of time, as people write and read them. All times are UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now, in seconds since 1970.
pub(crate) fn now_s() -> u64 {
    // A clock before 1970 is not one that a record could be signed by; zero makes the node refuse it.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Reads a length of time: a number with `s`, `m`, `h`, `d` or `w`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a length of time such as 90s, 15m, 12h, 30d or 2w");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit_s = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_s).map(Duration::from_secs).ok_or_else(wrong)
}

/// When something ends, as it stands on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// At a point in time, in seconds since 1970.
    At(u64),
    /// So many seconds from now.
    In(u64),
}

impl Expiry {
    /// The point in time, in seconds since 1970.
    pub(crate) fn at(self, now_s: u64) -> u64 {
        match self {
            Expiry::At(at) => at,
            Expiry::In(seconds) => now_s.saturating_add(seconds),
        }
    }
}

/// Reads a date (its last second, UTC), a time after RFC 3339, or a length of time from now.
pub(crate) fn parse_expiry(text: &str) -> Result<Expiry, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => return Err(format!("`{text}` would be over at once; give a longer time, such as 30d")),
        Ok(duration) => return Ok(Expiry::In(duration.as_secs())),
        Err(_) => {}
    }
    if text.strip_prefix('-').is_some_and(|rest| parse_duration(rest).is_ok()) {
        return Err(format!("`{text}` is in the past; give a length of time from now, without the minus, such as 30d"));
    }
    let at = parse_time(text, Edge::End).ok_or_else(|| {
        format!("`{text}` is neither a date (2027-01-31), a time (2027-01-31T12:00:00Z) nor a length of time (30d)")
    })?;
    u64::try_from(at).map(Expiry::At).map_err(|_| format!("`{text}` is before 1970"))
}

/// Which second a date without a time means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edge {
    /// The first of the day, UTC.
    Start,
    /// The last of the day, UTC.
    End,
}

/// Reads a date or a time after RFC 3339, in seconds since 1970; those before are negative.
pub(crate) fn parse_time(text: &str, edge: Edge) -> Option<i64> {
    let whole = match (text.len(), edge) {
        (10, Edge::Start) => format!("{text}T00:00:00Z"),
        (10, Edge::End) => format!("{text}T23:59:59Z"),
        _ => text.to_owned(),
    };
    OffsetDateTime::parse(&whole, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

/// Reads an instant in the past, a time after RFC 3339 or a date (its last second, UTC), as milliseconds since 1970.
pub(crate) fn parse_instant(text: &str) -> Result<u64, String> {
    match parse_expiry(text)? {
        Expiry::At(seconds) => seconds.checked_mul(1000).ok_or_else(|| format!("`{text}` is too far away")),
        Expiry::In(_) => Err(format!("`{text}` is neither a time (2026-11-21T21:00:00Z) nor a date (2026-11-21)")),
    }
}

/// Reads a date (its first second, UTC) or a time after RFC 3339, as the beginning of something.
pub(crate) fn parse_from(text: &str) -> Result<u64, String> {
    parse_edge(text, Edge::Start)
}

/// Reads a date (its last second, UTC) or a time after RFC 3339, as the end of something.
pub(crate) fn parse_until(text: &str) -> Result<u64, String> {
    parse_edge(text, Edge::End)
}

fn parse_edge(text: &str, edge: Edge) -> Result<u64, String> {
    let at = parse_time(text, edge)
        .ok_or_else(|| format!("`{text}` is neither a date (2027-01-31) nor a time (2027-01-31T12:00:00Z)"))?;
    u64::try_from(at).map_err(|_| format!("`{text}` is before 1970"))
}

/// A point in time in seconds since 1970, as `2026-11-21T21:00:00Z`.
pub(crate) fn show_s(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let shown = time.and_then(|time| time.format(&Rfc3339).ok());
    // A partner may claim any number; one that is no date is shown as it is.
    shown.unwrap_or_else(|| format!("{seconds} s"))
}

/// The same from milliseconds, to the second.
pub(crate) fn show_ms(milliseconds: u64) -> String {
    show_s(milliseconds / 1000)
}

/// A length of time in seconds, in its two largest units: `2 d 3 h`, `15 min`, `40 s`.
pub(crate) fn show_length(seconds: u64) -> String {
    let pair = |first: u64, unit: &str, second: u64, lesser: &str| match second {
        0 => format!("{first} {unit}"),
        _ => format!("{first} {unit} {second} {lesser}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "d", "1y", "-1d", "1.5h", "1d2h", "30 d", "99999999999999999999", "18446744073709551615w"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn expiries_are_read() {
        assert_eq!(parse_expiry("30d"), Ok(Expiry::In(2_592_000)));
        assert_eq!(parse_expiry("1970-01-02"), Ok(Expiry::At(2 * 86_400 - 1)));
        assert_eq!(parse_expiry("2026-11-21T21:00:00Z"), Ok(Expiry::At(1_795_294_800)));
        assert_eq!(parse_expiry("2026-11-22T04:00:00+07:00"), Ok(Expiry::At(1_795_294_800)));
        for text in [
            "2026-02-30",
            "2026-11-21T21:00:00",
            "tomorrow",
            "21/11/2026",
            "1969-12-31T00:00:00Z",
            "0000000000x",
            "0s",
            "0",
            "-3d",
        ] {
            assert!(parse_expiry(text).is_err(), "{text}");
        }
        assert_eq!(parse_time("1970-01-02", Edge::Start), Some(86_400));
        assert_eq!(parse_time("1969-12-31", Edge::End), Some(-1));
        assert_eq!(Expiry::In(10).at(100), 110);
        assert_eq!(Expiry::At(10).at(100), 10);
    }

    #[test]
    fn times_are_shown() {
        assert_eq!(show_s(1_795_294_800), "2026-11-21T21:00:00Z");
        assert_eq!(show_ms(1_795_294_800_999), "2026-11-21T21:00:00Z");
        assert_eq!(show_s(u64::MAX), "18446744073709551615 s");
        for (seconds, shown) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (7_200, "2 h"), (187_200, "2 d 4 h")]
        {
            assert_eq!(show_length(seconds), shown);
        }
    }
}
