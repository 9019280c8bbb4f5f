//! Facets: what can be said of a record exactly, as tokens. Each begins with an equals sign, which no word of a text contains.

use mufakat_record::identifier::Identifier;
use mufakat_record::kinds::report::ReportType;
use mufakat_record::{AgencyId, Code, Header, RecordId, ThreadId, Tlp, sha256};

use super::fold;

/// Of this kind.
pub fn kind(kind: &str) -> String {
    hashed('k', kind)
}

/// By this agency.
pub fn author(author: &AgencyId) -> String {
    format!("=a{author}")
}

/// With this label.
pub fn tlp(tlp: Tlp) -> String {
    format!("=t{}", tlp as u8)
}

/// With this handling code.
pub fn code(code: Code) -> String {
    format!("=c{}", code as u8)
}

/// Under originator control.
pub fn orcon() -> String {
    "=o".to_owned()
}

/// A report of this type.
pub fn report_type(report_type: ReportType) -> String {
    format!("=r{}", report_type as u8)
}

/// Of this matter.
pub fn thread(thread: ThreadId) -> String {
    format!("=m{thread}")
}

/// Refers to this record.
pub fn refers_to(record: &RecordId) -> String {
    format!("=n{record}")
}

/// Has this identifier, however it was written.
pub fn identifier(identifier: &Identifier) -> String {
    // One that an older node took in may have no canonical form; it is found as it was given.
    let canonical = identifier.canonical().unwrap_or_else(|_| fold(&identifier.value));
    hashed('i', &format!("{}:{canonical}", identifier.identifier_type as u8))
}

/// Of this handling class, by its number.
pub fn class(number: u32) -> String {
    format!("=h{number}")
}

/// Of a class of this group, by the number of the group's first class.
pub fn group(first: u32) -> String {
    format!("=g{first}")
}

/// A value that may be any text: its hash stands for it.
fn hashed(name: char, value: &str) -> String {
    let digits: String = sha256(value.as_bytes())[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("={name}{digits}")
}

/// What the header says.
pub(super) fn of_header(header: &Header) -> Vec<String> {
    let handling = &header.handling;
    let mut facets = vec![kind(&header.kind), author(&header.author), tlp(handling.tlp), thread(header.thread)];
    facets.extend(handling.codes.iter().flatten().map(|of| code(*of)));
    facets.extend((handling.orcon == Some(true)).then(orcon));
    facets.extend(header.references.iter().map(|reference| refers_to(&reference.record)));
    facets
}

#[cfg(test)]
mod tests {
    use mufakat_record::identifier::IdentifierType;

    use super::*;

    #[test]
    fn identifiers_are_compared_in_their_canonical_form() {
        let of = |identifier_type, value: &str| identifier(&Identifier { identifier_type, value: value.to_owned() });
        let phone = |value| of(IdentifierType::Phone, value);
        assert_eq!(phone("+84 912-345 678"), phone("0084912345678"));
        assert_ne!(phone("+84912345678"), phone("+84912345679"));
        assert_ne!(of(IdentifierType::SerialNumber, "9074729"), of(IdentifierType::Imo, "9074729"));
        // No IMO number, and found all the same as it was given.
        assert_eq!(of(IdentifierType::Imo, "907472X"), of(IdentifierType::Imo, "907472x"));
    }

    #[test]
    fn a_facet_is_one_token_of_plain_characters() {
        for facet in [kind("not a \"kind\""), author(&"vn-police".parse().unwrap()), tlp(Tlp::AmberStrict), class(7)] {
            let rest = facet.strip_prefix('=').unwrap();
            assert!(rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{facet}");
        }
    }
}
