//! From a record to what is listed of it.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::Answer;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::onward::{Onward, original_of};
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::kinds::report::Report;
use mufakat_record::kinds::saved_search::SavedSearch;
use mufakat_record::{Header, Verified, cbor};

use super::{Point, facets, fold, words};
use crate::matching;

/// Kinds that nodes exchange among themselves, and questions; nobody searches for them, nor for what is asked by private matching.
const NOT_FOR_PEOPLE: [&str; 6] =
    [Answer::KIND, KeySet::KIND, Receipt::KIND, RegisterApproval::KIND, RegisterVersion::KIND, SavedSearch::KIND];
/// Stands between the words of two fields, so that no phrase goes over from one into the other.
const BETWEEN: &str = "=";

/// What is listed of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its words and facets, separated by spaces.
    pub tokens: String,
    /// Where it is about.
    pub point: Option<Point>,
}

impl Document {
    /// Adds a facet.
    pub fn add(&mut self, facet: &str) {
        self.tokens.push(' ');
        self.tokens.push_str(facet);
    }
}

/// What is listed of a record; nothing of kinds that nobody reads. All text in its body counts, whatever its kind, and of a record
/// that was passed on what it carries.
pub fn document(record: &Verified) -> Option<Document> {
    let header = record.header();
    let kind = header.kind.as_str();
    if NOT_FOR_PEOPLE.contains(&kind) || matching::KINDS.contains(&kind) {
        return None;
    }
    let carried = if header.kind == Onward::KIND { original_of(record).ok() } else { None };
    let (said, body) = carried.as_ref().map_or((header, record.body()), |(_, said, body)| (said, body.as_slice()));
    let mut tokens = String::with_capacity(2 * body.len());
    for text in cbor::texts(body).into_iter().chain(said.handling.caveat.as_deref()) {
        for word in words(&fold(text)) {
            tokens.push_str(word);
            tokens.push(' ');
        }
        tokens.push_str(BETWEEN);
        tokens.push(' ');
    }
    let mut document = Document { tokens, point: None };
    for facet in facets::of_header(header).into_iter().chain(carried.iter().flat_map(|_| facets::of_header(said))) {
        document.add(&facet);
    }
    if let Some(report) = report(said, body) {
        document.add(&facets::report_type(report.report_type));
        let identifiers = report.entities.iter().flatten().flat_map(|entity| entity.identifiers.iter().flatten());
        for identifier in identifiers {
            document.add(&facets::identifier(identifier));
        }
        document.point = report.place.as_ref().and_then(Point::of);
        for cell in document.point.into_iter().flat_map(Point::cells) {
            document.add(&cell);
        }
    }
    Some(document)
}

fn report(header: &Header, body: &[u8]) -> Option<Report> {
    match header.kind.as_str() {
        Report::KIND => Report::from_body(header, body).ok(),
        Correction::KIND => Correction::from_body(header, body).ok().map(|correction| correction.report),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mufakat_record::identifier::{Identifier, IdentifierType};
    use mufakat_record::kinds::report::{Class, Entity, Place};
    use mufakat_record::{Code, Handling, RecordId, Reference, Relation, Tlp};

    use super::*;
    use crate::testing::{header, of_unknown_kind, receipt, report_body, sign};

    #[test]
    fn everything_that_is_said_is_listed() {
        let imo = Identifier { identifier_type: IdentifierType::Imo, value: "9074729".into() };
        let body = Report {
            text: "Tàu cá bị giữ".into(),
            entities: Some(vec![Entity {
                class: Class::Vessel,
                name: Some("Bình Minh 02".into()),
                identifiers: Some(vec![Identifier { identifier_type: IdentifierType::Imo, value: "9074729".into() }]),
                role: None,
            }]),
            place: Some(Place { latitude_e7: Some(12_500_000), longitude_e7: Some(1_040_000_000), name: None }),
            ..report_body("EXERCISE one")
        };
        let on = RecordId([8; 32]);
        let header = mufakat_record::Header {
            handling: Handling { codes: Some(vec![Code::H1]), orcon: Some(true), ..Handling::with(Tlp::Amber) },
            references: vec![Reference { relation: Relation::About, record: on }],
            ..header("ru-police", &["vn-police"], "report")
        };
        let document = document(&sign(header, body.to_body())).unwrap();
        assert!(
            document.tokens.starts_with("exercise one = tau ca bi giu = binh minh 02 = 9074729 = "),
            "{}",
            document.tokens
        );
        let has = |facet: String| document.tokens.split(' ').any(|token| token == facet);
        for facet in [
            facets::kind("report"),
            facets::author(&"ru-police".parse().unwrap()),
            facets::tlp(Tlp::Amber),
            facets::code(Code::H1),
            facets::orcon(),
            facets::identifier(&imo),
            facets::refers_to(&on),
            facets::report_type(body.report_type),
        ] {
            assert!(has(facet.clone()), "{facet}");
        }
        assert!(!has(facets::tlp(Tlp::Red)));
        assert_eq!(document.tokens.matches("=q").count(), 7);
        assert_eq!(document.point, Some(Point { latitude_e7: 12_500_000, longitude_e7: 1_040_000_000 }));
    }

    #[test]
    fn kinds_that_are_not_known_are_listed_and_those_for_nodes_are_not() {
        let unknown = document(&of_unknown_kind("ru-police", "EXERCISE a question")).unwrap();
        assert!(unknown.tokens.starts_with("exercise a question = "));
        assert_eq!(document(&receipt("ru-police", "vn-police", &[])), None);
    }
}
