//! Identifiers: what tells a person, a thing or an account from others, kept as it was given and compared in canonical form.
//!
//! There are two rules. [`Identifier::is_sound`] is the protocol's: every reader of a record demands it, so it is short and
//! never changes. [`Identifier::canonical`] is the author's: it knows lists that do change, such as calling codes and the
//! structures of account numbers. What it refuses is asked of the author again before anything is signed, and a partner whose
//! lists are newer is not refused. The canonical form follows from the value by a pure function, so it is never signed and
//! never travels; whoever compares identifiers works it out.

mod account;
mod aircraft;
mod network;
mod passport;
mod phone;
mod text;
mod vessel;
mod wallet;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// The longest value of an identifier, in bytes.
pub const VALUE_BYTES_MAX: usize = 400;

/// A typed identifier, as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(try_from = "InJson", into = "InJson")]
#[cbor(map)]
pub struct Identifier {
    /// What it is.
    #[n(1)]
    pub identifier_type: IdentifierType,
    /// As given.
    #[n(2)]
    pub value: String,
}

/// A typed identifier.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct InJson {
    /// What it is.
    #[serde(rename = "type")]
    identifier_type: IdentifierType,
    /// As given.
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 400))]
    value: String,
    /// The form in which it is compared, if it has one. It follows from the value, so it need not be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canonical: Option<String>,
}

#[cfg(feature = "schema")]
impl utoipa::PartialSchema for Identifier {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        InJson::schema()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for Identifier {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        InJson::schemas(schemas);
    }
}

impl From<Identifier> for InJson {
    fn from(identifier: Identifier) -> Self {
        let canonical = identifier.canonical().ok();
        Self { identifier_type: identifier.identifier_type, value: identifier.value, canonical }
    }
}

impl TryFrom<InJson> for Identifier {
    type Error = &'static str;
    fn try_from(given: InJson) -> Result<Self, Self::Error> {
        let identifier = Self { identifier_type: given.identifier_type, value: given.value };
        // What was shown may come back, but nobody says that a value stands for another one.
        match given.canonical {
            Some(canonical) if identifier.canonical().as_ref() != Ok(&canonical) => {
                Err("`canonical` is not the canonical form of `value`; leave it out")
            }
            _ => Ok(identifier),
        }
    }
}

/// The types of identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum IdentifierType {
    /// IMO ship identification number: seven digits, the last a check digit (IMO resolution A.1117(30)).
    #[n(0)]
    Imo,
    /// Maritime mobile service identity: nine digits (ITU-R M.585).
    #[n(1)]
    Mmsi,
    /// ICAO 24-bit aircraft address: six hexadecimal digits (ICAO Annex 10).
    #[n(2)]
    Icao24,
    /// Passport or identity card: issuing state and number, or the machine-readable zone (ICAO Doc 9303).
    #[n(3)]
    Passport,
    /// Telephone number, international form (ITU-T E.164).
    #[n(4)]
    Phone,
    /// International bank account number (ISO 13616).
    #[n(5)]
    Iban,
    /// Address of Bitcoin, Ethereum or Tron.
    #[n(6)]
    Wallet,
    /// Number plate of a vehicle, with or without its country before it.
    #[n(7)]
    NumberPlate,
    /// E-mail address (RFC 5321).
    #[n(8)]
    Email,
    /// URL (RFC 3986).
    #[n(9)]
    Url,
    /// Radio call sign (ITU Radio Regulations, article 19).
    #[n(10)]
    CallSign,
    /// A manufacturer's serial number.
    #[n(11)]
    SerialNumber,
    /// Anything else, or one of the above that was found in a form that it cannot have.
    #[n(12)]
    Other,
}

impl IdentifierType {
    /// Every type with its name.
    pub const ALL: [(Self, &str); 13] = [
        (Self::Imo, "imo"),
        (Self::Mmsi, "mmsi"),
        (Self::Icao24, "icao24"),
        (Self::Passport, "passport"),
        (Self::Phone, "phone"),
        (Self::Iban, "iban"),
        (Self::Wallet, "wallet"),
        (Self::NumberPlate, "number-plate"),
        (Self::Email, "email"),
        (Self::Url, "url"),
        (Self::CallSign, "call-sign"),
        (Self::SerialNumber, "serial-number"),
        (Self::Other, "other"),
    ];

    /// The type's name.
    pub fn name(self) -> &'static str {
        // The table holds every variant in the order of its discriminants.
        Self::ALL[self as usize].1
    }
}

impl std::str::FromStr for IdentifierType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text.trim()));
        found.map(|(found, _)| *found).ok_or_else(|| format!("one of {}", Self::ALL.map(|(_, name)| name).join(", ")))
    }
}

/// Why a value cannot be what its type says: the rule that it breaks, in words for the officer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The sentences are the documentation.
pub enum Fault {
    #[error("an identifier is not blank and has at most 400 bytes")]
    Length,
    #[error("it has a control character or an invisible one in it; write it anew")]
    Invisible,
    #[error("an IMO number has seven digits, the first not 0, with or without the letters IMO before them")]
    ImoForm,
    #[error("the seventh digit of an IMO number is a check digit, and it does not fit the other six")]
    ImoCheckDigit,
    #[error("an MMSI has nine digits")]
    MmsiForm,
    #[error(
        "an MMSI begins with a country's digits (the first of them 2 to 7), or with 0, 00, 111, 8, 98 or 99 and these, or with 970, 972, 974 or 979"
    )]
    MmsiStructure,
    #[error("an ICAO 24-bit address has six hexadecimal digits")]
    Icao24Form,
    #[error("000000 and FFFFFF are the addresses of no aircraft")]
    Icao24Unassigned,
    #[error(
        "a passport is given with its issuing state's letters, such as VNM:C1234567, or by its machine-readable zone"
    )]
    PassportForm,
    #[error(
        "a machine-readable zone has 2 lines of 44, 2 of 36 or 3 of 30 characters (A to Z, 0 to 9, <) and begins with P, A, C or I"
    )]
    MrzForm,
    #[error("the check digit of the {0} in the machine-readable zone does not fit")]
    MrzCheckDigit(&'static str),
    #[error("a telephone number has + or 00, the country's calling code and 7 to 15 digits in all")]
    PhoneForm,
    #[error("no country and no service has this calling code")]
    PhoneCountry,
    #[error("an IBAN has two letters for the country, two check digits and up to 30 letters and digits")]
    IbanForm,
    #[error("the third and fourth characters of an IBAN are check digits, and they do not fit the rest")]
    IbanCheckDigits,
    #[error("no country with these two letters is in the registry of IBANs")]
    IbanCountry,
    #[error("an IBAN of this country has another length, or letters and digits in other places")]
    IbanStructure,
    #[error(
        "a wallet is given by its address at Bitcoin (1…, 3…, bc1…), Ethereum (0x…) or Tron (T…); for others there is the type other"
    )]
    WalletForm,
    #[error("the checksum in the wallet's address does not fit the rest")]
    WalletChecksum,
    #[error(
        "a number plate has up to 20 letters and digits, and before them the country's one to three letters and a colon, if it is known"
    )]
    NumberPlate,
    #[error("an e-mail address has a name, one @ and a domain of two or more parts")]
    Email,
    #[error("a URL has a scheme, :// and a host, and no blank")]
    Url,
    #[error("a call sign has 3 to 10 letters and digits, one of them a letter")]
    CallSign,
}

impl Identifier {
    /// The one form in which equal identifiers are equal: what is canonical is its own canonical form.
    pub fn canonical(&self) -> Result<String, Fault> {
        let value = sized(&self.value)?;
        if value.chars().any(is_invisible) {
            return Err(Fault::Invisible);
        }
        let canonical = match self.identifier_type {
            IdentifierType::Imo => vessel::imo(value),
            IdentifierType::Mmsi => vessel::mmsi(value),
            IdentifierType::Icao24 => aircraft::icao24(value),
            IdentifierType::Passport => passport::passport(value),
            IdentifierType::Phone => phone::phone(value),
            IdentifierType::Iban => account::iban(value),
            IdentifierType::Wallet => wallet::wallet(value),
            IdentifierType::NumberPlate => text::number_plate(value),
            IdentifierType::Email => network::email(value),
            IdentifierType::Url => network::url(value),
            IdentifierType::CallSign => text::call_sign(value),
            IdentifierType::SerialNumber => text::serial_number(value),
            IdentifierType::Other => text::other(value),
        }?;
        // Unicode's compatibility forms can be many times as long.
        sized(&canonical).map(str::to_owned)
    }

    /// Whether every reader of a record takes it (docs/protocol.md, section 6.1). Whatever has a canonical form is sound.
    pub fn is_sound(&self) -> bool {
        let Ok(value) = sized(&self.value) else { return false };
        match self.identifier_type {
            IdentifierType::Imo => vessel::imo_number(value).is_ok(),
            IdentifierType::Mmsi => vessel::nine_digits(value).is_ok(),
            IdentifierType::Icao24 => aircraft::six_digits(value).is_ok(),
            _ => true,
        }
    }
}

/// The value without the blanks around it, if it is as long as one may be.
fn sized(value: &str) -> Result<&str, Fault> {
    let value = value.trim();
    if (1..=VALUE_BYTES_MAX).contains(&value.len()) { Ok(value) } else { Err(Fault::Length) }
}

/// Controls, and marks that nobody sees but that make two values differ: the directions of text, joins of width zero, soft
/// hyphens. The two joiners are left, because some scripts are written with them.
fn is_invisible(c: char) -> bool {
    let mark = matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    mark || (c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests;
