//! Bank accounts.

use iban::{Iban, IbanLike, ParseBaseIbanError, ParseIbanError};

use super::Fault;

/// An IBAN in its electronic form, without blanks (ISO 13616-1). The check digits are those of ISO 7064, MOD 97-10; the
/// structure is that of the country in SWIFT's registry.
pub(super) fn iban(value: &str) -> Result<String, Fault> {
    let separator = |c: char| c.is_whitespace() || c == '-';
    let compact: String = value.chars().filter(|c| !separator(*c)).collect::<String>().to_ascii_uppercase();
    // The letters IBAN often stand before the number; no country has the letters IB.
    let compact = compact.strip_prefix("IBAN").unwrap_or(&compact);
    match compact.parse::<Iban>() {
        Ok(iban) => Ok(iban.electronic_str().to_owned()),
        Err(ParseIbanError::InvalidBaseIban { source: ParseBaseIbanError::InvalidFormat }) => Err(Fault::IbanForm),
        Err(ParseIbanError::InvalidBaseIban { source: ParseBaseIbanError::InvalidChecksum }) => {
            Err(Fault::IbanCheckDigits)
        }
        Err(ParseIbanError::UnknownCountry(_)) => Err(Fault::IbanCountry),
        Err(ParseIbanError::InvalidBban(_)) => Err(Fault::IbanStructure),
    }
}
