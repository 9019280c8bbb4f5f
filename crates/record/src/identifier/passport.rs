//! Passports and identity cards: issuing state and number, or the machine-readable zone of ICAO Doc 9303.

use super::Fault;

/// The most characters of a document's number: nine, and what the zone of a card has room for beyond them (Doc 9303-5, 4.2.2).
const NUMBER_CHARS_MAX: usize = 22;

/// `STATE:NUMBER`, with the state's code of Doc 9303-3, section 5 (three letters of ISO 3166 or of the special ones there, and D
/// for Germany).
pub(super) fn passport(value: &str) -> Result<String, Fault> {
    let upper = value.to_ascii_uppercase();
    match upper.split_once(':') {
        Some((state, number)) => named(state.trim(), number),
        None => zone(&upper),
    }
}

/// State and number without fillers and what else stands between letters and digits.
fn named(state: &str, number: &str) -> Result<String, Fault> {
    let number: String = number.chars().filter(|c| !c.is_whitespace() && !"<-./".contains(*c)).collect();
    let is_state = (state.len() == 3 && state.bytes().all(|b| b.is_ascii_uppercase())) || state == "D";
    let is_number = (1..=NUMBER_CHARS_MAX).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_state && is_number { Ok(format!("{state}:{number}")) } else { Err(Fault::PassportForm) }
}

/// Reads a machine-readable zone with all its check digits.
fn zone(value: &str) -> Result<String, Fault> {
    let zone: Vec<u8> = value.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let written = zone.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'<');
    if !zone.contains(&b'<') {
        return Err(Fault::PassportForm);
    }
    // Visas have the same lines and other fields; they begin with V (Doc 9303-7).
    if !written || !matches!(zone[0], b'P' | b'A' | b'C' | b'I') {
        return Err(Fault::MrzForm);
    }
    match zone.len() {
        88 => passport_book(&zone[..44], &zone[44..]),
        72 => card_of_two_lines(&zone[..36], &zone[36..]),
        90 => card_of_three_lines(&zone[..30], &zone[30..60]),
        _ => Err(Fault::MrzForm),
    }
}

/// TD3 (Doc 9303-4, 4.2.2): two lines of 44.
fn passport_book(upper: &[u8], lower: &[u8]) -> Result<String, Fault> {
    demand("document number", &[&lower[..9]], lower[9])?;
    dates(&lower[13..])?;
    // Where there is no personal number its check digit may be a filler.
    let (personal, check) = (&lower[28..42], lower[42]);
    if check != b'<' || personal.iter().any(|b| *b != b'<') {
        demand("personal number", &[personal], check)?;
    }
    demand("whole", &[&lower[..10], &lower[13..20], &lower[21..43]], lower[43])?;
    document(&upper[2..5], &lower[..9])
}

/// TD2 (Doc 9303-6, 4.2.2): two lines of 36.
fn card_of_two_lines(upper: &[u8], lower: &[u8]) -> Result<String, Fault> {
    let number = number(&lower[..9], lower[9], &lower[28..35])?;
    dates(&lower[13..])?;
    demand("whole", &[&lower[..10], &lower[13..20], &lower[21..35]], lower[35])?;
    document(&upper[2..5], &number)
}

/// TD1 (Doc 9303-5, 4.2.2): three lines of 30, the last with names.
fn card_of_three_lines(upper: &[u8], middle: &[u8]) -> Result<String, Fault> {
    let number = number(&upper[5..14], upper[14], &upper[15..30])?;
    dates(middle)?;
    demand("whole", &[&upper[5..30], &middle[..7], &middle[8..15], &middle[18..29]], middle[29])?;
    document(&upper[2..5], &number)
}

/// A number whose check digit fits. Where that is a filler, the number goes on in the optional data, up to the last character
/// before the next filler, which is the check digit of the whole (Doc 9303-5, 4.2.2, note on long numbers).
fn number(principal: &[u8], check: u8, optional: &[u8]) -> Result<Vec<u8>, Fault> {
    if check != b'<' {
        demand("document number", &[principal], check)?;
        return Ok(principal.to_vec());
    }
    let rest = optional.split(|b| *b == b'<').next().unwrap_or_default();
    let Some((check, rest)) = rest.split_last() else { return Err(Fault::MrzCheckDigit("document number")) };
    demand("document number", &[principal, rest], *check)?;
    Ok([principal, rest].concat())
}

/// Birth, its check digit, sex, expiry, its check digit.
fn dates(fields: &[u8]) -> Result<(), Fault> {
    demand("date of birth", &[&fields[..6]], fields[6])?;
    demand("date of expiry", &[&fields[8..14]], fields[14])
}

fn document(state: &[u8], number: &[u8]) -> Result<String, Fault> {
    // The zone is in ASCII, so nothing is replaced.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('<', "");
    named(&text(state), &text(number))
}

/// The check digit of Doc 9303-3, 4.9: the sum of the characters times 7, 3, 1, 7, 3, 1 and so on, modulo 10, where A to Z are 10 to
/// 35 and a filler is 0.
fn demand(name: &'static str, fields: &[&[u8]], check: u8) -> Result<(), Fault> {
    let value = |b: u8| match b {
        b'0'..=b'9' => u32::from(b - b'0'),
        b'A'..=b'Z' => u32::from(b - b'A') + 10,
        _ => 0,
    };
    let characters = fields.iter().copied().flatten();
    let sum: u32 = characters.zip([7, 3, 1].into_iter().cycle()).map(|(b, weight)| value(*b) * weight).sum();
    let fits = check.is_ascii_digit() && sum % 10 == value(check);
    if fits { Ok(()) } else { Err(Fault::MrzCheckDigit(name)) }
}
