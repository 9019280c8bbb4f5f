//! Vessels: IMO numbers and maritime mobile service identities.

use super::Fault;

/// The digits of an IMO number whose check digit fits (IMO resolution A.1117(30), annex: the sum of the first six digits times
/// 7, 6, 5, 4, 3, 2 ends in the seventh). The letters IMO belong to the number as it is written on hulls.
pub(super) fn imo_number(value: &str) -> Result<&str, Fault> {
    let digits = match value.get(..3) {
        Some(letters) if letters.eq_ignore_ascii_case("imo") => value[3..].trim_start(),
        _ => value,
    };
    if digits.len() != 7 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::ImoForm);
    }
    let digit = |at: usize| u32::from(digits.as_bytes()[at] - b'0');
    let sum: u32 = (0..6).zip((2..=7).rev()).map(|(at, weight)| digit(at) * weight).sum();
    if sum % 10 == digit(6) { Ok(digits) } else { Err(Fault::ImoCheckDigit) }
}

/// Seven digits. Those below 1000000 are no ship's (ITU-R M.1371-5, annex 8, message 5: `IMO number`; 0 is "not available").
pub(super) fn imo(value: &str) -> Result<String, Fault> {
    let digits = imo_number(value)?;
    if digits.starts_with('0') { Err(Fault::ImoForm) } else { Ok(digits.to_owned()) }
}

/// The form of every MMSI (ITU-R M.585-9, annex 1).
pub(super) fn nine_digits(value: &str) -> Result<&str, Fault> {
    let nine = value.len() == 9 && value.bytes().all(|b| b.is_ascii_digit());
    if nine { Ok(value) } else { Err(Fault::MmsiForm) }
}

/// Nine digits with one of the structures of ITU-R M.585-9, annexes 1 and 2. M, the first of a country's three digits (MID), is
/// 2 to 7:
///
/// | digits | of |
/// |---|---|
/// | `MIDxxxxxx` | a ship |
/// | `0MIDxxxxx` | a group of ships |
/// | `00MIDxxxx`, `009990000` | a coast station; all of them |
/// | `111MIDxxx` | a search-and-rescue aircraft |
/// | `99MIDxxxx` | an aid to navigation |
/// | `98MIDxxxx` | a craft that belongs to a ship |
/// | `8MIDxxxxx` | a handheld radio |
/// | `970…`, `972…`, `974…`, `979…` | a search-and-rescue transmitter, a person overboard, an EPIRB, an autonomous device |
pub(super) fn mmsi(value: &str) -> Result<String, Fault> {
    let digits = nine_digits(value)?;
    let country_after = |prefix: &str| {
        let rest = digits.strip_prefix(prefix);
        rest.is_some_and(|rest| matches!(rest.as_bytes()[0], b'2'..=b'7'))
    };
    let with_country = ["", "0", "00", "111", "99", "98", "8"].into_iter().any(country_after);
    let free = ["970", "972", "974", "979", "009990000"].into_iter().any(|prefix| digits.starts_with(prefix));
    if with_country || free { Ok(digits.to_owned()) } else { Err(Fault::MmsiStructure) }
}
