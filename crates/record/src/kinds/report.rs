//! `report`: intelligence, an incident, a seizure, a warning or a notice, with what it is about by person, object, location and
//! event.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
pub use crate::identifier::{Identifier, IdentifierType};
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
    #[serde(default, deserialize_with = "crate::json::object", skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// When.
    #[n(6)]
    #[serde(default, deserialize_with = "crate::json::object", skip_serializing_if = "Option::is_none")]
    pub time: Option<Period>,
    /// How far source and information are to be trusted.
    #[n(7)]
    #[serde(default, deserialize_with = "crate::json::object", skip_serializing_if = "Option::is_none")]
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
    /// A notice: who or what is looked for, and why.
    #[n(5)]
    Notice,
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

impl Class {
    /// Whether it is a thing that can be held, seized or looked for.
    pub fn is_object(self) -> bool {
        !matches!(self, Class::Person | Class::Organisation | Class::Location | Class::Event)
    }
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

impl Entity {
    /// Whether anything tells it from others of its class.
    fn can_be_told(&self) -> bool {
        let named = self.name.as_ref().is_some_and(|name| !name.trim().is_empty());
        named || self.identifiers.as_ref().is_some_and(|identifiers| !identifiers.is_empty())
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

    fn shortcoming(&self) -> Option<String> {
        let entities = self.entities.as_deref().unwrap_or_default();
        without_canonical_form("entities", entities)
            .or_else(|| self.fault().or_else(|| self.missing()).map(str::to_owned))
    }
}

/// The first identifier that has no canonical form, with its place and the rule that it breaks. The value is not repeated.
pub(super) fn without_canonical_form(field: &str, entities: &[Entity]) -> Option<String> {
    let entities = entities.iter().enumerate();
    let mut identifiers =
        entities.flat_map(|(of, entity)| entity.identifiers.iter().flatten().enumerate().map(move |one| (of, one)));
    identifiers.find_map(|(of, (at, identifier))| {
        let fault = identifier.canonical().err()?;
        let way_out = match identifier.identifier_type {
            IdentifierType::Other => "",
            _ => "; if it was found so, give it the type other",
        };
        let name = identifier.identifier_type.name();
        Some(format!("`{field}[{of}].identifiers[{at}]` ({name}): {fault}{way_out}"))
    })
}

impl Report {
    /// What a report of this type is of no use without. Recipients take it all the same: it is the author's practice.
    fn missing(&self) -> Option<&'static str> {
        let (placed, timed) = (self.place.is_some(), self.time.is_some());
        let about = |wanted: &dyn Fn(&Entity) -> bool| self.entities.iter().flatten().any(wanted);
        let object = || about(&|entity| entity.class.is_object());
        let sought = |class: Class| matches!(class, Class::Person | Class::Organisation) || class.is_object();
        match self.report_type {
            ReportType::Incident if !timed => Some("an incident needs its `time`"),
            ReportType::Incident if !placed => Some("an incident needs its `place`"),
            ReportType::Seizure if !timed => Some("a seizure needs its `time`"),
            ReportType::Seizure if !placed => Some("a seizure needs its `place`"),
            ReportType::Seizure if !object() => {
                Some("a seizure needs in `entities` what was seized: a vehicle, vessel, drug or another object")
            }
            ReportType::Intelligence if self.evaluation.is_none() => {
                Some("intelligence needs its `evaluation`; without one it is information")
            }
            ReportType::Notice if !about(&|entity| sought(entity.class) && entity.can_be_told()) => Some(
                "a notice needs in `entities` whom or what it is about: a person, an organisation or an object, with a name \
                 or an identifier",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(report_type: ReportType) -> Report {
        let title = "EXERCISE".to_owned();
        let (entities, place, time, evaluation, language, source) = (None, None, None, None, None, None);
        Report { report_type, title, text: String::new(), entities, place, time, evaluation, language, source }
    }

    fn entity(class: Class, identifiers: &[(IdentifierType, &str)]) -> Entity {
        let identifier = |(identifier_type, value): &(IdentifierType, &str)| Identifier {
            identifier_type: *identifier_type,
            value: (*value).to_owned(),
        };
        let identifiers = (!identifiers.is_empty()).then(|| identifiers.iter().map(identifier).collect());
        Entity { class, name: None, identifiers, role: None }
    }

    #[track_caller]
    fn wants(report: &Report, part: &str) {
        let found = report.shortcoming().unwrap_or_default();
        assert!(found.contains(part) && found.is_empty() == part.is_empty(), "{found}");
    }

    #[test]
    fn the_faulty_identifier_and_its_rule_are_named() {
        let with = |entities: Vec<Entity>| Report { entities: Some(entities), ..report(ReportType::Information) };
        let good =
            || entity(Class::Vessel, &[(IdentifierType::Imo, "IMO 9074729"), (IdentifierType::Mmsi, "525700804")]);
        wants(&with(vec![good()]), "");
        let phone = entity(Class::Phone, &[(IdentifierType::Other, "x"), (IdentifierType::Phone, "024 3825 0000")]);
        wants(&with(vec![good(), phone]), "`entities[1].identifiers[1]` (phone): a telephone number has + or 00");
        let imo = entity(Class::Vessel, &[(IdentifierType::Imo, "9074728")]);
        wants(&with(vec![imo.clone()]), "check digit, and it does not fit the other six; if it was found so, give");
        // What every reader demands is less: lists of countries change, and a partner's may be newer.
        let structure = with(vec![entity(Class::Account, &[(IdentifierType::Iban, "EXERCISE")])]);
        assert!(structure.fault().is_none() && structure.shortcoming().is_some());
        assert!(with(vec![imo]).fault().is_some());
        let found = with(vec![entity(Class::Account, &[(IdentifierType::Other, "EXERCISE")])]);
        wants(&found, "");
    }

    #[test]
    fn each_type_has_what_it_is_of_no_use_without() {
        let place = Some(Place { latitude_e7: Some(0), longitude_e7: Some(0), name: None });
        let time = Some(Period { from: 0, until: None });
        let settled = |report_type| Report { place: place.clone(), time, ..report(report_type) };
        let about = |report_type, entity: Entity| Report { entities: Some(vec![entity]), ..settled(report_type) };
        let named = |class| Entity { name: Some("EXERCISE".to_owned()), ..entity(class, &[]) };
        wants(&report(ReportType::Information), "");
        wants(&report(ReportType::Warning), "");
        wants(&report(ReportType::Incident), "`time`");
        wants(&Report { time, ..report(ReportType::Incident) }, "`place`");
        wants(&settled(ReportType::Incident), "");
        wants(&report(ReportType::Seizure), "`time`");
        wants(&Report { time, ..report(ReportType::Seizure) }, "`place`");
        wants(&about(ReportType::Seizure, named(Class::Person)), "what was seized");
        wants(&about(ReportType::Seizure, entity(Class::Drug, &[])), "");
        wants(&report(ReportType::Intelligence), "`evaluation`");
        let evaluation = Evaluation { system: "4x4".into(), source: "B".into(), information: "2".into() };
        wants(&Report { evaluation: Some(evaluation), ..report(ReportType::Intelligence) }, "");
        wants(&settled(ReportType::Notice), "whom or what");
        wants(&about(ReportType::Notice, entity(Class::Vessel, &[])), "whom or what");
        wants(&about(ReportType::Notice, named(Class::Event)), "whom or what");
        wants(&about(ReportType::Notice, Entity { name: Some(" ".into()), ..named(Class::Person) }), "whom or what");
        wants(&about(ReportType::Notice, named(Class::Person)), "");
        wants(&about(ReportType::Notice, entity(Class::Vessel, &[(IdentifierType::Imo, "9074729")])), "");
        // All of them are taken from a partner.
        for of in [ReportType::Incident, ReportType::Seizure, ReportType::Intelligence, ReportType::Notice] {
            assert!(report(of).fault().is_none() && report(of).shortcoming().is_some());
        }
    }
}
