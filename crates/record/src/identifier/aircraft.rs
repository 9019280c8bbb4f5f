//! Aircraft: the 24-bit address of the transponder.

use super::Fault;

/// Six hexadecimal digits (ICAO Annex 10, volume III, part I, chapter 9).
pub(super) fn six_digits(value: &str) -> Result<&str, Fault> {
    let six = value.len() == 6 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if six { Ok(value) } else { Err(Fault::Icao24Form) }
}

/// Six hexadecimal digits in capitals. All zeros and all ones are never assigned (same chapter, appendix, 9.2).
pub(super) fn icao24(value: &str) -> Result<String, Fault> {
    let address = six_digits(value)?.to_ascii_uppercase();
    if address == "000000" || address == "FFFFFF" { Err(Fault::Icao24Unassigned) } else { Ok(address) }
}
