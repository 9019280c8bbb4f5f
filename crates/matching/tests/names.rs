//! Names across scripts: that the rules hold for any name, that no key is made of a name alone, and what the keys reach on real
//! spellings, with a floor for each pair of scripts. `cargo test -p mufakat-matching --test names -- --nocapture` prints the table of
//! `docs/matching-names.md`.

use std::collections::BTreeSet;

use mufakat_matching::names::{
    Birth, Disclosed, Fault, KEYS_ASKED_MAX, KEYS_LISTED_MAX, Key, Level, NAME_BYTES_MAX, Person, Reason, asked_keys,
    listed_keys, score,
};
use proptest::prelude::*;

#[path = "names/measure.rs"]
mod measure;

fn listed(name: &str) -> Vec<Key> {
    listed_keys(&Person { name, birth_year: Some(1970) }).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

fn texts(name: &str) -> BTreeSet<String> {
    listed(name).into_iter().map(|key| key.text).collect()
}

/// The best level at which two names meet.
fn meet(one: &str, other: &str) -> Option<Level> {
    let others = listed(other);
    listed(one).into_iter().filter(|key| others.contains(key)).map(|key| key.level).max()
}

/// The least part of the pairs of people that must share a key, of 100, by pair of scripts: a little below what is measured.
const FLOORS: &[(&str, f64)] = &[
    ("Latin–Latin", 46.0),
    ("Latin–Cyrillic", 78.0),
    ("Latin–Arabic", 81.0),
    ("Latin–Hebrew", 78.0),
    ("Latin–Greek", 74.0),
    ("Latin–Georgian", 83.0),
    ("Latin–Armenian", 76.0),
    ("Latin–kana", 80.0),
    ("Latin–Han", 31.0),
    ("Latin–Hangul", 61.0),
    ("Latin–Thai", 43.0),
    ("Latin–Indian", 73.0),
    ("Cyrillic–Cyrillic", 70.0),
    ("Cyrillic–Arabic", 77.0),
];

/// The most strangers that may share a key, of all pairs of one birth year, by the script in which both are written. Names in Han and
/// Hangul are short, and one Arabic spelling stands in many lines of the source.
const COLLISIONS_MAX: &[(&str, f64)] = &[
    ("any", 2e-5),
    ("Latin", 2.5e-5),
    ("Cyrillic", 1e-5),
    ("Arabic", 5.5e-5),
    ("Han", 6e-5),
    ("kana", 1.5e-5),
    ("Hangul", 6e-5),
];

#[test]
fn keys_meet_across_scripts_as_measured() {
    let lines = measure::lines();
    let rows = measure::recall(&lines, 2_000);
    let collisions: Vec<_> = COLLISIONS_MAX
        .iter()
        .map(|(script, most)| {
            (*script, *most, measure::collision(&lines, 10_000, Some(*script).filter(|script| *script != "any")))
        })
        .collect();
    println!("{}", measure::markdown(&rows, &collisions));
    for (scripts, row) in &rows {
        let floor =
            FLOORS.iter().find(|(known, _)| known == scripts).unwrap_or_else(|| panic!("{scripts} has no floor")).1;
        assert!(
            100.0 * row.recall() >= floor,
            "{scripts}: {:.1} of 100 meet, at least {floor} must",
            100.0 * row.recall()
        );
    }
    for (script, most, one) in &collisions {
        assert!(one.all <= *most, "{script}: {:.1e} of the strangers share a key, at most {most:.1e} may", one.all);
    }
}

#[test]
fn known_ways_of_writing_meet() {
    for (one, other) in [
        ("EXERCISE Sergei", "ЕКСЕРСИСЕ Сергей"),
        ("Nikita Khrushchev", "Никита Хрущёв"),
        ("Nikita Chruschtschow", "Никита Сергеевич Хрущёв"),
        ("Boris Schtscherbakow", "Boris Shcherbakov"),
        ("Wang Xiaoming", "王小明"),
        ("Wang Xiao Ming", "王小明"),
        ("Wang Xiao-Ming", "Xiaoming Wang"),
        ("Kim Jong-un", "김종은"),
        ("Nguyễn Văn An", "NGUYEN AN"),
        ("Mohd Ali bin Ahmad", "Muhammad Ali Ahmad"),
        ("Md. Ali Haji Ahmad", "محمد علي أحمد"),
        ("Siti binti Rahman", "Siti Rahman"),
        ("Abd al-Rahman Qasim", "عبدالرحمن قاسم"),
        ("Abdurrahman Qasim", "Abdul Rahman Qasim"),
        ("Shamsuddin Haidar", "Shams al-Din Haidar"),
        ("Georgios Papadopoulos", "Γεώργιος Παπαδόπουλος"),
        ("Giorgi Beridze", "გიორგი ბერიძე"),
        ("Tigran Petrosyan", "Տիգրան Պետրոսյան"),
        ("Yamada Tarō", "やまだ たろう"),
        ("Yitzhak Rabin", "יצחק רבין"),
        ("Sean O'Brien", "Sean O Brien"),
    ] {
        assert!(meet(one, other).is_some(), "{one} and {other} do not meet: {:?} {:?}", texts(one), texts(other));
    }
}

#[test]
fn a_name_alone_has_no_keys() {
    for name in ["Ahmad", "Haji Ahmad", "al-Ahmad", "ibn Sina", "الحاج أحمد", "Madonna!", "克里斯托瓦尔"]
    {
        assert_eq!(listed_keys(&Person { name, birth_year: Some(1970) }), Err(Fault::OneName), "{name}");
        assert_eq!(asked_keys(&Person { name, birth_year: Some(1970) }), Err(Fault::OneName), "{name}");
    }
    for (person, reason) in [
        (Person { name: "Ali Ahmad", birth_year: None }, "no-birth-year"),
        (Person { name: "Ali Ahmad", birth_year: Some(70) }, "bad-birth-year"),
        (Person { name: "12 -- 7", birth_year: Some(1970) }, "no-name"),
        (Person { name: &"Ali Ahmad ".repeat(21), birth_year: Some(1970) }, "name-too-long"),
    ] {
        assert_eq!(listed_keys(&person).unwrap_err().reason(), reason);
    }
}

#[test]
fn the_asker_asks_for_the_years_beside() {
    let asked = asked_keys(&Person { name: "Ali Ahmad", birth_year: Some(1971) }).unwrap();
    let year = |year| listed_keys(&Person { name: "Ahmad, ALI", birth_year: Some(year) }).unwrap();
    for near in [1970, 1971, 1972] {
        assert!(year(near).iter().all(|key| asked.contains(key)));
    }
    for far in [1969, 1973] {
        assert!(!year(far).iter().any(|key| asked.contains(key)));
    }
}

#[test]
fn scores_rank_and_say_why() {
    let person = |name, year, month_day, nationality| Disclosed {
        name,
        birth: Some(Birth { year, month_day }),
        nationality: Some(nationality),
    };
    let asked = person("Nikita Sergeevich Khrushchev", 1954, Some((4, 7)), "RU");
    let same = score(&asked, &person("Хрущёв Никита", 1954, Some((4, 7)), "RU"));
    let swapped = score(&asked, &person("Хрущёв Никита", 1954, Some((7, 4)), "RU"));
    let other = score(&asked, &person("Никита Хрусталёв", 1955, Some((1, 1)), "KZ"));
    let none = score(&asked, &person("王小明", 1980, None, "CN"));
    assert!(
        same.value >= 85 && same.value > swapped.value && swapped.value > other.value && other.value > none.value,
        "{same:?} {swapped:?} {other:?} {none:?}"
    );
    assert!(none.value <= 10 && swapped.reasons.contains(&Reason::DayAndMonthExchanged));
    let said: Vec<String> = same.reasons.iter().map(Reason::to_string).collect();
    assert!(said.contains(&"“sergeevich” is in one name only".to_owned()), "{said:?}");
    assert!(said.contains(&"the dates of birth are the same".to_owned()), "{said:?}");
    assert_eq!(score(&asked, &asked).value, 100);
}

#[test]
fn no_key_has_an_empty_form() {
    // Every letter of the scripts that are read, alone: an initial may have readings without any sound.
    let letters = (0x41..0x3000).chain(0x3041..0x3100).chain(0xac00..0xad00).filter_map(char::from_u32);
    let mut seen = 0;
    for letter in letters.filter(|letter| letter.is_alphabetic()) {
        let name = format!("{letter}:A");
        for key in listed_keys(&Person { name: &name, birth_year: Some(1850) }).unwrap_or_default() {
            assert!(key.text.split(' ').count() == 4 && !key.text.contains("  "), "{name}: {:?}", key.text);
            seen += 1;
        }
    }
    assert!(seen > 1_000, "{seen}");
}

proptest! {
    #[test]
    fn order_case_and_separators_do_not_matter(one in "[a-z]{3,12}", other in "[а-я]{3,12}", third in "[a-z]{3,12}") {
        let plain = listed_keys(&Person { name: &format!("{one} {other}"), birth_year: Some(1970) });
        for way in [format!("{other} {one}"), format!("{other}, {one}"), format!("{}-{}", one.to_uppercase(), other.to_uppercase())] {
            let keys = listed_keys(&Person { name: &way, birth_year: Some(1970) });
            prop_assert_eq!(keys.map(|keys| keys.into_iter().collect::<BTreeSet<_>>()), plain.clone().map(|keys| keys.into_iter().collect()), "{}", way);
        }
        let spaced = listed_keys(&Person { name: &format!("{one} {other} {third}"), birth_year: Some(1970) });
        prop_assert_eq!(listed_keys(&Person { name: &format!(" {one}-{other}  {third}."), birth_year: Some(1970) }), spaced);
    }

    #[test]
    fn accents_do_not_matter(base in "[b-dk-t][aeiou][k-t][aeiou][a-z]{1,6}", mark in "[\u{300}\u{301}\u{302}\u{304}\u{308}]") {
        let marked: String = base.chars().flat_map(|letter| if "aeiou".contains(letter) { vec![letter, mark.chars().next().unwrap()] } else { vec![letter] }).collect();
        prop_assert_eq!(texts(&format!("{marked} Tamini")), texts(&format!("{base} Tamini")));
    }

    #[test]
    fn any_text_is_bounded(name in "\\PC{0,60}|[\\u{0}-\\u{ffff}]{0,60}|[a-zа-я王小明ا-يก-ฮ \\-']{0,100}", year in proptest::option::of(0u16..)) {
        let person = Person { name: &name, birth_year: year };
        let listed = listed_keys(&person);
        let asked = asked_keys(&person);
        prop_assert_eq!(listed.is_ok(), asked.is_ok());
        if let (Ok(listed), Ok(asked)) = (listed, asked) {
            prop_assert!(name.len() <= NAME_BYTES_MAX && year.is_some());
            prop_assert!(!listed.is_empty() && listed.len() <= KEYS_LISTED_MAX);
            prop_assert!(asked.len() == 3 * listed.len() && asked.len() <= KEYS_ASKED_MAX);
            prop_assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len());
            let year = year.unwrap().to_string();
            for key in &listed {
                // The level, two forms that are not empty, the year.
                let forms: Vec<_> = key.text.split(' ').collect();
                prop_assert!(forms.len() == 4 && forms.iter().all(|form| !form.is_empty()) && forms[3] == year, "{}", key.text);
            }
        }
        let disclosed = Disclosed { name: &name, birth: None, nationality: None };
        let value = score(&disclosed, &Disclosed { name: "Ali Ahmad", ..disclosed }).value;
        prop_assert!(value <= 100);
    }
}
