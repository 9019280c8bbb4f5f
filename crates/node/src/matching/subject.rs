//! From what an officer or a list names to the inputs that are compared.

use mufakat_matching::names::{self, Level, Person};
use mufakat_record::identifier::Identifier;
use mufakat_record::kinds::match_ask::Item;
use mufakat_record::kinds::match_result::Confidence;
use mufakat_record::matching::Subject;

use crate::share::NotShared;

/// Stands between the parts of an input: no name of a subject and no canonical form has it in it.
const BETWEEN: u8 = 0x1f;
/// Stands between the year and the name in the canonical form of a person.
const YEAR_ENDS: char = ' ';

/// What is compared of one item, with how sure a hit on it is.
pub(crate) type Input = (Vec<u8>, Confidence);

/// The canonical form of an item, in which it is kept on a list.
pub(crate) fn canonical(item: &Item) -> Result<String, NotShared> {
    match item.subject {
        Subject::Identifier(identifier_type) => {
            let identifier = Identifier { identifier_type, value: item.value.clone() };
            identifier.canonical().map_err(|fault| NotShared::new("bad-identifier", fault.to_string()))
        }
        Subject::Name => {
            // Asked for here so that a name without keys is refused when it is handed in.
            names::listed_keys(&person(item)).map_err(refused)?;
            let year = item.birth_year.unwrap_or_default();
            Ok(format!("{year}{YEAR_ENDS}{}", item.value.trim()))
        }
    }
}

/// What an asker asks of an item: the identifier, or the keys of a name with the year of birth and those beside it.
pub(crate) fn asked(item: &Item) -> Result<Vec<Input>, NotShared> {
    match item.subject {
        Subject::Identifier(_) => Ok(vec![(input(item.subject, &canonical(item)?), Confidence::Exact)]),
        Subject::Name => Ok(keys(&names::asked_keys(&person(item)).map_err(refused)?)),
    }
}

/// What a holder lists of an entry that is kept in its canonical form; nothing of one that has no meaning any more.
pub(crate) fn listed(subject: Subject, canonical: &str) -> Vec<Input> {
    match subject {
        Subject::Identifier(_) => vec![(input(subject, canonical), Confidence::Exact)],
        Subject::Name => {
            let Some((year, name)) = canonical.split_once(YEAR_ENDS) else { return Vec::new() };
            let person = Person { name, birth_year: year.parse().ok() };
            names::listed_keys(&person).map(|found| keys(&found)).unwrap_or_default()
        }
    }
}

fn person(item: &Item) -> Person<'_> {
    Person { name: &item.value, birth_year: item.birth_year }
}

fn refused(fault: names::Fault) -> NotShared {
    NotShared::new(fault.reason(), fault.to_string())
}

fn keys(found: &[names::Key]) -> Vec<Input> {
    let confidence = |level| match level {
        Level::Fold => Confidence::NameFolded,
        Level::Skeleton => Confidence::NameSkeleton,
        Level::Coarse => Confidence::NameCoarse,
    };
    found.iter().map(|key| (input(Subject::Name, &key.text), confidence(key.level))).collect()
}

/// The type stands before the value, so that a number means nothing of another type.
fn input(subject: Subject, canonical: &str) -> Vec<u8> {
    [subject.name().as_bytes(), &[BETWEEN], canonical.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(subject: &str, value: &str, birth_year: Option<u16>) -> Item {
        Item { subject: subject.parse().unwrap(), value: value.into(), birth_year }
    }

    #[test]
    fn both_sides_compare_the_same() {
        for (subject, listed_as, asked_as) in [
            ("passport", "vnm:c1234567", "VNM: C1234567"),
            ("imo", "IMO 9074729", "9074729"),
            ("phone", "+84 912 345 678", "0084912345678"),
        ] {
            let canonical = canonical(&item(subject, listed_as, None)).unwrap();
            let listed = listed(subject.parse().unwrap(), &canonical);
            assert_eq!(listed, asked(&item(subject, asked_as, None)).unwrap(), "{subject}");
        }
        let canonical = canonical(&item("name", "Nguyễn Văn An", Some(1980))).unwrap();
        let listed = listed(Subject::Name, &canonical);
        let asked = asked(&item("name", "NGUYEN VAN AN", Some(1981))).unwrap();
        assert!(listed.iter().any(|key| asked.contains(key)), "{listed:?} {asked:?}");
    }

    #[test]
    fn a_check_digit_that_does_not_fit_is_told() {
        for (subject, value, year, reason) in [
            ("imo", "9074728", None, "bad-identifier"),
            ("iban", "DE00 3704 0044 0532 0130 00", None, "bad-identifier"),
            ("name", "Sukarno", Some(1980), "one-name"),
            ("name", "An Nguyen", None, "no-birth-year"),
        ] {
            let item = item(subject, value, year);
            assert_eq!(asked(&item).unwrap_err().reason, reason, "{subject}");
            assert_eq!(canonical(&item).unwrap_err().reason, reason, "{subject}");
        }
    }

    #[test]
    fn a_number_means_nothing_of_another_type() {
        let of = |subject| asked(&item(subject, "EX1234", None)).unwrap();
        assert_ne!(of("call-sign"), of("serial-number"));
    }
}
