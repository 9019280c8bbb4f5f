//! Telephone numbers.

use std::ops::RangeInclusive;

use super::Fault;

/// The fewest digits of a number, calling code included: those of the smallest networks (+683 and four digits).
const DIGITS_MIN: usize = 7;
/// The most digits of a number (ITU-T E.164, 6.1).
const DIGITS_MAX: usize = 15;

/// The calling codes of countries and global services (ITU-T, List of Recommendation E.164 assigned country codes). No code is
/// the beginning of another.
const CALLING_CODES: &[RangeInclusive<u16>] = &[
    1..=1,
    7..=7, // North America; Russia and Kazakhstan
    20..=20,
    27..=27,
    211..=213,
    216..=216,
    218..=218,
    220..=258,
    260..=269,
    290..=291,
    297..=299,
    30..=34,
    36..=36,
    39..=41,
    43..=49,
    350..=359,
    370..=383,
    385..=387,
    389..=389,
    420..=421,
    423..=423,
    51..=58,
    500..=509,
    590..=599,
    60..=66,
    670..=670,
    672..=683,
    685..=692,
    81..=82,
    84..=84,
    86..=86,
    800..=800,
    808..=808,
    850..=850,
    852..=853,
    855..=856,
    870..=870,
    878..=878,
    880..=883,
    886..=886,
    888..=888,
    90..=95,
    98..=98,
    960..=968,
    970..=977,
    979..=979,
    992..=996,
    998..=998,
];

/// `+` and 7 to 15 digits, of which the first are a calling code (ITU-T E.164). Blanks, hyphens, dots, slashes and brackets are
/// taken out, and with them a zero in brackets that is dialled only within the country (ITU-T E.123, 7).
pub(super) fn phone(value: &str) -> Result<String, Fault> {
    let dialled = value.strip_prefix("tel:").unwrap_or(value).replace("(0)", "");
    let separator = |c: char| c.is_whitespace() || "-.()/\u{2010}\u{2011}\u{2013}".contains(c);
    let compact: String = dialled.chars().filter(|c| !separator(*c)).collect();
    let digits = compact.strip_prefix('+').or_else(|| compact.strip_prefix("00")).ok_or(Fault::PhoneForm)?;
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::PhoneForm);
    }
    // Three digits never exceed the type.
    let code_of = |length: usize| digits[..length].parse::<u16>().unwrap_or_default();
    // A leading zero would read as a shorter number.
    let assigned = (1..=3).any(|length| CALLING_CODES.iter().any(|codes| codes.contains(&code_of(length))));
    if assigned && !digits.starts_with('0') { Ok(format!("+{digits}")) } else { Err(Fault::PhoneCountry) }
}
