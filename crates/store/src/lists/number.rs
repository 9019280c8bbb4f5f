//! Numbers whose stored length does not depend on their value, so that a row is overwritten where it stands.
//!
//! SQLite stores an integer in as few bytes as it needs, and 0 and 1 in none
//! ([record format](https://www.sqlite.org/fileformat2.html#record_format)).

use super::{Error, damaged};

/// What is added to a number of up to 61 bits, so that it is stored in 8 bytes.
pub(super) const WIDE: i64 = 1 << 62;
/// Stands for a time that never comes; it is stored in 8 bytes, too.
pub(super) const NEVER: i64 = i64::MAX;
/// The greatest number that keeps its place among others.
const WIDE_MAX: u64 = (1 << 61) - 1;
/// What is added to a number of up to 125, so that it is stored in 1 byte.
const SMALL: u8 = 2;

/// What an entry is; stored in 1 byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    /// On the list.
    Listed = 2,
    /// Taken off the list, and not all partners may know yet.
    Removed = 3,
    /// Overwritten with zeroes.
    Blank = 4,
}

/// A number as it is stored in 8 bytes; the greatest one stands for all above it.
pub(super) fn wide(number: u64) -> i64 {
    WIDE + number.min(WIDE_MAX).cast_signed()
}

/// The number that was stored in 8 bytes.
pub(super) fn from_wide(stored: i64) -> Result<u64, Error> {
    let number = stored.checked_sub(WIDE).and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| damaged("a number is out of its range"))
}

/// A time that may not be, as it is stored in 8 bytes.
pub(super) fn wide_or_never(time: Option<u64>) -> i64 {
    time.map_or(NEVER, wide)
}

/// The time that was stored in 8 bytes.
pub(super) fn from_wide_or_never(stored: i64) -> Result<Option<u64>, Error> {
    if stored == NEVER { Ok(None) } else { from_wide(stored).map(Some) }
}

/// A number as it is stored in 1 byte.
pub(super) fn small(number: u8) -> u8 {
    number + SMALL
}

/// The number that was stored in 1 byte.
pub(super) fn from_small(stored: u8) -> Result<u8, Error> {
    stored.checked_sub(SMALL).ok_or_else(|| damaged("a number is out of its range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_numbers_come_back_in_order() {
        let numbers = [0, 1, 127, 1 << 31, 1 << 47, WIDE_MAX];
        assert!(numbers.iter().all(|number| from_wide(wide(*number)).unwrap() == *number));
        assert!(numbers.is_sorted_by_key(|number| wide(*number)));
        // Below 2^47 SQLite would take fewer bytes.
        assert!(numbers.iter().all(|number| wide(*number) > 1 << 47 && wide(*number) < NEVER));
        assert_eq!(from_wide(wide(u64::MAX)).unwrap(), WIDE_MAX);
        assert_eq!(from_wide_or_never(wide_or_never(None)).unwrap(), None);
        assert!(from_wide(7).is_err());
    }

    #[test]
    fn small_numbers_come_back() {
        assert!((0..=125).all(|number| from_small(small(number)).unwrap() == number));
        assert!((0..=125).all(|number| (2..=127).contains(&small(number))));
        assert!(from_small(1).is_err());
    }
}
