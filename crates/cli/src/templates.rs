//! Reports to fill in: what each type needs in the field, told by example. What is invented in them says so.

use clap::builder::PossibleValuesParser;

/// Each template, by its name.
const TEMPLATES: [(&str, &str); 5] = [
    ("report", include_str!("templates/report.json")),
    ("warning", include_str!("templates/warning.json")),
    ("seizure", include_str!("templates/seizure.json")),
    ("notice", include_str!("templates/notice.json")),
    ("incident", include_str!("templates/incident.json")),
];

/// The names, for the command line.
pub(crate) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(TEMPLATES.map(|(name, _)| name))
}

/// The template of a name.
pub(crate) fn of(name: &str) -> Option<&'static str> {
    TEMPLATES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use mufakat_record::kinds::Body;
    use mufakat_record::kinds::report::Report;

    use super::*;

    #[test]
    fn every_template_can_be_shared_as_it_is() {
        for (name, text) in TEMPLATES {
            let report = crate::envelope::report(text, None).unwrap();
            let report: Report = serde_json::from_value(report).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(report.shortcoming(), None, "{name}");
            assert!(report.title.starts_with("EXERCISE") && report.text.starts_with("EXERCISE"), "{name}");
            if name != "report" {
                assert_eq!(serde_json::to_value(report.report_type).unwrap(), name);
            }
        }
        assert_eq!(of("letter"), None);
    }

    #[test]
    fn a_template_without_what_its_type_needs_is_refused() {
        for (name, members) in [
            ("seizure", ["time", "place", "entities"].as_slice()),
            ("incident", &["time", "place"]),
            ("notice", &["entities"]),
        ] {
            for member in members {
                let mut report = crate::envelope::report(of(name).unwrap(), None).unwrap();
                report.as_object_mut().unwrap().remove(*member);
                let report: Report = serde_json::from_value(report).unwrap();
                assert!(report.shortcoming().is_some_and(|fault| fault.contains(member)), "{name} without {member}");
            }
        }
    }
}
