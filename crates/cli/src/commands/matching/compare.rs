//! `match compare`: how well people agree with the one who was asked for, once both sides have disclosed what they hold. It is worked
//! out here, and nobody is told of it.

use mufakat_matching::names::{Birth, Disclosed, score};
use serde_json::{Value, json};

use crate::args::{CompareArgs, Person};
use crate::commands::input;
use crate::failure::{refused, usage};
use crate::output::{Output, clean, text_of};

/// Ranks the candidates.
pub(in crate::commands) fn run(args: &CompareArgs, output: Output) -> anyhow::Result<()> {
    let mut people = args.people.clone();
    if let Some(file) = &args.file {
        for (number, line) in (1..).zip(input(file)?.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let person = line.trim().parse().map_err(|what| refused("malformed", format!("line {number}: {what}")))?;
            people.push(person);
        }
    }
    let Some((asked, candidates)) = people.split_first().filter(|(_, candidates)| !candidates.is_empty()) else {
        return Err(usage("whom was asked for and at least one candidate are needed".to_owned()));
    };
    let ranked = ranked(asked, candidates);
    Ok(output.show(&ranked, || words(&ranked))?)
}

fn disclosed(person: &Person) -> Disclosed<'_> {
    let birth = person.born.map(|(year, month_day)| Birth { year, month_day });
    Disclosed { name: &person.name, birth, nationality: person.nationality.as_deref() }
}

/// The candidates, those that agree best first.
fn ranked(asked: &Person, candidates: &[Person]) -> Value {
    let mut scored: Vec<_> =
        candidates.iter().map(|candidate| (score(&disclosed(asked), &disclosed(candidate)), candidate)).collect();
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(score.value));
    let shown = scored.into_iter().map(|(score, candidate)| {
        let reasons: Vec<String> = score.reasons.iter().map(ToString::to_string).collect();
        json!({ "score": score.value, "name": candidate.name, "reasons": reasons })
    });
    json!({ "asked": asked.name, "candidates": shown.collect::<Vec<_>>() })
}

fn words(ranked: &Value) -> String {
    let mut text = String::new();
    for candidate in ranked["candidates"].as_array().into_iter().flatten() {
        text.push_str(&format!("{:>3}  {}\n", text_of(&candidate["score"]), clean(&text_of(&candidate["name"]))));
        for reason in candidate["reasons"].as_array().into_iter().flatten() {
            text.push_str(&format!("       {}\n", clean(&text_of(reason))));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_agrees_best_comes_first_and_it_is_said_why() {
        let person = |text: &str| text.parse::<Person>().unwrap();
        let asked = person("EXERCISE Nikita Khrushchev:1954-04-07:RUS");
        let candidates = [person("王小明:1980"), person("EXERCISE Хрущёв Никита:1954-07-04:RUS")];
        let text = words(&ranked(&asked, &candidates));
        let (first, second) = text.split_once("  0  王小明\n").unwrap();
        assert!(
            first.contains("  EXERCISE Хрущёв Никита\n") && first.contains("       the nationalities are the same\n"),
            "{text}"
        );
        assert!(
            first.contains("when day and month are exchanged\n") && second.contains("the dates of birth differ\n"),
            "{text}"
        );
    }

    #[test]
    fn people_are_read_as_they_are_written() {
        let person = |text: &str| text.parse::<Person>();
        let full = person("EXERCISE Nguyen Van An:1980-04-07:vnm").unwrap();
        assert_eq!((full.born, full.nationality.as_deref()), (Some((1980, Some((4, 7)))), Some("VNM")));
        let year = person("EXERCISE Nguyen Van An:1980").unwrap();
        assert_eq!(
            (year.name.as_str(), year.born, year.nationality),
            ("EXERCISE Nguyen Van An", Some((1980, None)), None)
        );
        assert_eq!(person("EXERCISE An::VNM").unwrap().born, None);
        for bad in [
            "",
            ":1980",
            "An:80",
            "An:1980-13-01",
            "An:1980-02-30",
            "An:1980-4-7",
            "An:1980:",
            "An:1980:Viet Nam",
            "An:1:2:3",
        ] {
            assert!(person(bad).is_err(), "{bad}");
        }
    }
}
