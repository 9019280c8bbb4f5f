//! `report`: intelligence, an incident, a seizure or a warning, with what it is about by person, object, location and event.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::{Evaluation, Header};

/// The longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 400;
/// The longest text, in bytes; longer matter belongs in an attachment.
pub const TEXT_BYTES_MAX: usize = 128 * 1024;
/// The most entities in one report.
pub const ENTITIES_MAX: usize = 256;

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Report {
    /// What kind of report.
    #[n(1)]
    #[serde(default = "ReportType::information")]
    pub report_type: ReportType,
    /// One line.
    #[n(2)]
    pub title: String,
    /// The text.
    #[n(3)]
    #[serde(default)]
    pub text: String,
    /// What it is about.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entities: Option<Vec<Entity>>,
    /// Where.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// When.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Period>,
    /// How far source and information are to be trusted.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// The language of the text (BCP 47).
    #[n(8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Where the content comes from, when it is not the author's own.
    #[n(9)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What kind of report it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum ReportType {
    /// Professional information without further classification.
    #[n(0)]
    Information,
    /// Evaluated intelligence.
    #[n(1)]
    Intelligence,
    /// Something that happened.
    #[n(2)]
    Incident,
    /// A seizure.
    #[n(3)]
    Seizure,
    /// A warning.
    #[n(4)]
    Warning,
}

impl ReportType {
    fn information() -> Self {
        ReportType::Information
    }
}

/// A class of entity: person, object, location, event (POLE), and organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
#[allow(missing_docs)] // The names are the documentation.
pub enum Class {
    #[n(0)]
    Person,
    #[n(1)]
    Organisation,
    #[n(2)]
    Location,
    #[n(3)]
    Event,
    #[n(4)]
    Vehicle,
    #[n(5)]
    Vessel,
    #[n(6)]
    Aircraft,
    #[n(7)]
    Document,
    #[n(8)]
    Phone,
    #[n(9)]
    Account,
    #[n(10)]
    Wallet,
    #[n(11)]
    Firearm,
    #[n(12)]
    Drug,
    #[n(13)]
    OtherObject,
}

/// Something that the report is about.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Entity {
    /// What it is.
    #[n(1)]
    pub class: Class,
    /// Its name as given.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// By what it can be told from others.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifiers: Option<Vec<Identifier>>,
    /// Its part in the matter, such as `suspect`, `victim`, `attacked vessel`.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// A typed identifier, as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Identifier {
    /// What it is.
    #[n(1)]
    #[serde(rename = "type")]
    pub identifier_type: IdentifierType,
    /// As given.
    #[n(2)]
    pub value: String,
}

/// The types of identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
#[allow(missing_docs)] // The names are the documentation.
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
    #[n(3)]
    Passport,
    /// Telephone number, international form (ITU-T E.164).
    #[n(4)]
    Phone,
    /// International bank account number (ISO 13616).
    #[n(5)]
    Iban,
    #[n(6)]
    Wallet,
    #[n(7)]
    NumberPlate,
    #[n(8)]
    Email,
    #[n(9)]
    Url,
    #[n(10)]
    CallSign,
    #[n(11)]
    SerialNumber,
    #[n(12)]
    Other,
}

impl Identifier {
    /// Whether the value can be what it says it is, as far as its digits tell.
    pub fn is_sound(&self) -> bool {
        let value = self.value.trim();
        let digits = |n: usize| value.len() == n && value.bytes().all(|b| b.is_ascii_digit());
        match self.identifier_type {
            IdentifierType::Imo => {
                let check: u32 = value.bytes().take(6).zip((2..=7).rev()).map(|(b, w)| u32::from(b & 15) * w).sum();
                digits(7) && check % 10 == u32::from(value.as_bytes()[6] & 15)
            }
            IdentifierType::Mmsi => digits(9),
            IdentifierType::Icao24 => value.len() == 6 && value.bytes().all(|b| b.is_ascii_hexdigit()),
            _ => !value.is_empty() && value.len() <= 400,
        }
    }
}

/// A place: a point on WGS 84, a name, or both.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Place {
    /// Latitude in units of 10⁻⁷ degrees, north positive.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude_e7: Option<i32>,
    /// Longitude in units of 10⁻⁷ degrees, east positive.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude_e7: Option<i32>,
    /// The place in words.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Place {
    fn is_sound(&self) -> bool {
        let named = self.name.as_ref().is_some_and(|name| !name.is_empty() && name.len() <= 400);
        match (self.latitude_e7, self.longitude_e7) {
            (Some(latitude), Some(longitude)) => {
                latitude.unsigned_abs() <= 900_000_000 && longitude.unsigned_abs() <= 1_800_000_000
            }
            (None, None) => named,
            _ => false,
        }
    }
}

/// A stretch of time, in seconds since 1970; years before that are negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Period {
    /// The beginning.
    #[n(1)]
    pub from: i64,
    /// The end, when it is not the beginning.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

impl Body for Report {
    const KIND: &'static str = "report";

    fn is_sound(&self, _: &Header) -> bool {
        self.fault().is_none()
    }

    fn fault(&self) -> Option<&'static str> {
        let entities = self.entities.as_deref().unwrap_or_default();
        let mut identifiers = entities.iter().flat_map(|e| e.identifiers.iter().flatten());
        let checks = [
            (!self.title.trim().is_empty(), "`title` is empty"),
            (self.title.len() <= TITLE_BYTES_MAX, "`title` has more than 400 bytes"),
            (self.text.len() <= TEXT_BYTES_MAX, "`text` has more than 128 KiB; longer matter belongs in an attachment"),
            (entities.len() <= ENTITIES_MAX, "`entities` are more than 256"),
            (
                identifiers.all(Identifier::is_sound),
                "an identifier in `entities` is not one of its type, or its check digit is wrong",
            ),
            (
                self.place.as_ref().is_none_or(Place::is_sound),
                "`place` has no name and no point, half a point, or one off the globe",
            ),
            (self.time.is_none_or(|t| t.until.is_none_or(|until| until >= t.from)), "`time` ends before it begins"),
            (self.evaluation.as_ref().is_none_or(Evaluation::is_sound), "`evaluation` is outside of its scales"),
            (
                self.language.as_ref().is_none_or(|l| (2..=35).contains(&l.len())),
                "`language` is no language tag (BCP 47)",
            ),
            (self.source.as_ref().is_none_or(|s| s.len() <= 400), "`source` has more than 400 bytes"),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map(|(_, fault)| fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_checked() {
        let sound = |identifier_type, value: &str| Identifier { identifier_type, value: value.into() }.is_sound();
        assert!(sound(IdentifierType::Imo, "9074729"));
        assert!(!sound(IdentifierType::Imo, "9074728"));
        assert!(!sound(IdentifierType::Imo, "907472"));
        assert!(!sound(IdentifierType::Imo, ""));
        assert!(sound(IdentifierType::Mmsi, "525700804"));
        assert!(!sound(IdentifierType::Mmsi, "52570080"));
        assert!(sound(IdentifierType::Icao24, "7C6B2F"));
        assert!(!sound(IdentifierType::Icao24, "7C6B2G"));
        assert!(!sound(IdentifierType::Passport, " "));
    }
}
