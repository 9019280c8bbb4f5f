//! Options of the commands about private matching.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use mufakat_record::kinds::match_ask::Item;
use mufakat_record::matching::{Category, Subject};
use mufakat_record::{AgencyId, Tlp};

use crate::when::{self, Expiry};

/// How many rows a node gives at once.
const ROWS_MAX: i64 = 500;

/// What to do with private matching.
#[derive(Debug, Subcommand)]
pub(crate) enum Match {
    /// Ask partners whether they list an identifier or a name; they do not learn which, nor whether it was a hit
    #[command(after_help = "\
Examples:
  mufakat match ask --to ru-police,th-police --purpose 'EXERCISE border check' --case 'EXERCISE 7' \\
      --basis 'EXERCISE treaty, article 3' --wait 20s passport:VNM:C1234567 'phone:+84 912 345 678'
  mufakat match ask --to maritime --purpose 'EXERCISE border check' --case 'EXERCISE 7' --basis 'EXERCISE' \\
      --watch 30d --name 'EXERCISE Nguyen Van An' --born 1980
  mufakat match ask --to ru-police --purpose P --case C --basis B --file asked.csv

TYPE is passport, phone, imo, iban, … (`mufakat identifier --help` names all) or name, as in 'name:Nguyen Van An:1980'. A file \
holds one a line: as CSV, whose first line names the columns (subject, value, birth_year), or as one JSON object a line. Other \
people of this machine can see the command line; --file - reads from standard input.")]
    Ask(Box<MatchAskArgs>),
    /// One ask: what each partner's answer and filters say, hits first
    #[command(after_help = "\
Example:
  mufakat match show 3f2a9c51d07e")]
    Show {
        /// The ask
        ask: String,
    },
    /// What was asked, with hits first
    #[command(after_help = "\
Examples:
  mufakat match asks
  mufakat match asks --all --limit 200")]
    Asks(PageArgs),
    /// What partners list of what was asked, the newest first
    #[command(after_help = "\
Example:
  mufakat match hits --all")]
    Hits(PageArgs),
    /// Draft a request to the partner that has a hit; nothing leaves until the draft is released
    #[command(after_help = "\
Examples:
  mufakat match request 3f2a9c51d07e
  mufakat match request 3f2a9c51d07e --question 77b0c3e9a142 --item 0

Which hit is meant has to be said only where the ask has several; `match show` gives the numbers of both.")]
    Request {
        /// The ask
        ask: String,
        /// The question
        #[arg(long, value_name = "QUESTION")]
        question: Option<String>,
        /// The item, counted from 0
        #[arg(long, value_name = "NUMBER")]
        item: Option<u32>,
    },
    /// Asks that are looked up again in every filter that comes
    #[command(subcommand)]
    Watch(Watch),
    /// This agency's own lists, and what partners were told of them
    #[command(subcommand)]
    List(MatchList),
    /// How much partners may ask, and how much this agency's officers asked
    #[command(subcommand)]
    Budget(MatchBudget),
    /// What partners asked: by whom, for what and how much, and never about whom
    #[command(after_help = "\
Examples:
  mufakat match asked
  mufakat match asked --partner ru-police --state refused")]
    Asked {
        /// Only by this agency
        #[arg(long, value_name = "AGENCY")]
        partner: Option<AgencyId>,
        /// Only in this state: open, answered or refused
        #[arg(long, value_name = "STATE", value_parser = ["open", "answered", "refused"])]
        state: Option<String>,
        /// Which rows.
        #[command(flatten)]
        rows: RowsArgs,
    },
    /// Partners whose budget came to its end, or nearly
    #[command(after_help = "\
Example:
  mufakat match alarms")]
    Alarms(RowsArgs),
    /// Disclosing a question under an inspector's order, and recomputing one
    #[command(subcommand)]
    Audit(Audit),
    /// Rank people whom a partner disclosed by how well they agree with the one asked for, and say why; no node is asked
    #[command(after_help = "\
Examples:
  mufakat match compare 'EXERCISE Nikita Khrushchev:1954-04-07:RUS' 'EXERCISE Хрущёв Никита:1954:RUS' 'EXERCISE Nikolai Chrusov:1955'
  mufakat match compare --file disclosed.txt

A file has one person a line, the one asked for first. A score is from 0 to 100; it ranks what people look at, and decides nothing.")]
    Compare(CompareArgs),
}

/// Whom to compare.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The person asked for, then the candidates: born is a year or a date, the nationality a code of three letters
    #[arg(value_name = "NAME[:BORN[:NATIONALITY]]", required_unless_present = "file")]
    pub(crate) people: Vec<Person>,
    /// More of them from a file, or from standard input for -
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// A person as disclosed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The whole name in any script.
    pub(crate) name: String,
    /// The year of birth, with month and day where they are known.
    pub(crate) born: Option<(u16, Option<(u8, u8)>)>,
    /// In capitals (ISO 3166-1 alpha-3, as in passports).
    pub(crate) nationality: Option<String>,
}

impl FromStr for Person {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default().trim().to_owned();
        let (born, nationality) = (parts.next(), parts.next());
        if name.is_empty() || parts.next().is_some() {
            return Err("a person is NAME, NAME:BORN or NAME:BORN:NATIONALITY".to_owned());
        }
        let born = born.filter(|born| !born.is_empty()).map(birth).transpose()?;
        let nationality =
            nationality.map(|code| match code.len() == 3 && code.bytes().all(|c| c.is_ascii_alphabetic()) {
                true => Ok(code.to_ascii_uppercase()),
                false => Err(format!("{code:?} is no code of three letters (ISO 3166-1 alpha-3)")),
            });
        Ok(Self { name, born, nationality: nationality.transpose()? })
    }
}

/// A year, or a date with its month and day.
fn birth(text: &str) -> Result<(u16, Option<(u8, u8)>), String> {
    let no = || format!("{text:?} is neither a year nor a date such as 1954-04-07");
    let year = |text: &str| Some(text).filter(|text| text.len() == 4).and_then(|text| text.parse().ok());
    match text.split_once('-') {
        None => Ok((year(text).ok_or_else(no)?, None)),
        Some((begin, _)) => {
            let date =
                time::Date::parse(text, &time::format_description::well_known::Iso8601::DATE).map_err(|_| no())?;
            Ok((year(begin).ok_or_else(no)?, Some((date.month().into(), date.day()))))
        }
    }
}

/// What to do with watches.
#[derive(Debug, Subcommand)]
pub(crate) enum Watch {
    /// The asks that are watched
    #[command(after_help = "\
Example:
  mufakat match watch list")]
    List(PageArgs),
    /// Stop watching; what partners answered is erased
    #[command(after_help = "\
Example:
  mufakat match watch end 3f2a9c51d07e")]
    End {
        /// The ask
        ask: String,
    },
}

/// What to do with this agency's own lists.
#[derive(Debug, Subcommand)]
pub(crate) enum MatchList {
    /// List many identifiers and names, or take them off
    #[command(after_help = "\
Examples:
  mufakat match list import stolen.csv --category stolen --tlp GREEN
  mufakat match list import changes.ndjson --report refused.csv

A CSV file has one entry a line, and its first line names the columns; all but subject and value may be missing:
  subject,value,birth_year,category,tlp,note,expires,remove
  passport,VNM:C1234567,,stolen,AMBER,EXERCISE note,2027-01-31,
  name,EXERCISE Nguyen Van An,1980,wanted,,,,
  phone,+84912345678,,,,,,yes
NDJSON has one object a line, with the same names. What is refused is told by its line, its reason and never its value, keeps \
no other line from being taken, and makes the command end with 1. To repeat an import does nothing twice.")]
    Import(ImportArgs),
    /// How much is listed, by subject and category
    #[command(after_help = "\
Example:
  mufakat match list counts")]
    Counts,
    /// The entry that a partner names by its number
    #[command(after_help = "\
Example:
  mufakat match list entry 4711")]
    Entry {
        /// The number
        #[arg(value_parser = clap::value_parser!(u32).range(..i64::from(mufakat_record::matching::HANDLES)))]
        number: u32,
    },
    /// Take an entry off the list
    #[command(after_help = "\
Examples:
  mufakat match list remove passport:VNM:C1234567
  mufakat match list remove 'name:EXERCISE Nguyen Van An:1980'

A name is taken off as it was listed, letter by letter.")]
    Remove {
        /// The entry
        #[arg(value_name = "TYPE:VALUE", value_parser = parse_item)]
        entry: Item,
    },
    /// The keys and filters by which partners know of lists, here and there, and what is wrong with them
    #[command(after_help = "\
Example:
  mufakat match list health --all")]
    Health {
        /// Those that are over, too
        #[arg(long)]
        all: bool,
    },
}

/// What to do with budgets.
#[derive(Debug, Subcommand)]
pub(crate) enum MatchBudget {
    /// Say how much a partner may ask; from then on it is told of the lists
    #[command(after_help = "\
Examples:
  mufakat match budget set ru-police
  mufakat match budget set ru-police --limit 5000 --days 7")]
    Set {
        /// The partner
        partner: AgencyId,
        /// How many elements of its questions are answered within the window [default: 20000]
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
        /// How many days the window has [default: 10]
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=366))]
        days: Option<u32>,
    },
    /// How much partners may ask and asked, and how much this agency's officers asked
    #[command(after_help = "\
Example:
  mufakat match budget list")]
    List,
    /// Answer no more questions of a partner, and tell it of no more lists
    #[command(after_help = "\
Example:
  mufakat match budget stop ru-police")]
    Stop {
        /// The partner
        partner: AgencyId,
    },
}

/// What to do about audits.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Disclose a question of this agency's: its secret and what was asked. The order is noted in the ledger
    #[command(after_help = "\
Example:
  mufakat match audit disclose 77b0c3e9a142 --order 'EXERCISE order 12/2026' > question.json

Keep the file as you keep the identifiers that stand in it.")]
    Disclose {
        /// The question
        question: String,
        /// The inspector's order, in words
        #[arg(long, value_name = "TEXT")]
        order: String,
    },
    /// Recompute a question that is held here from what was disclosed of it
    #[command(after_help = "\
Example:
  mufakat match audit check question.json")]
    Check {
        /// The disclosure (`-`: standard input)
        file: PathBuf,
    },
}

/// Options of `match ask`.
#[derive(Debug, Args)]
pub(crate) struct MatchAskArgs {
    /// What is asked about, such as passport:VNM:C1234567; repeat for more
    #[arg(value_name = "TYPE:VALUE", value_parser = parse_item)]
    pub(crate) items: Vec<Item>,
    /// An agency, party or forum that is asked; repeat for more, or part by commas
    #[arg(long, value_name = "NAME", required = true, value_delimiter = ',')]
    pub(crate) to: Vec<AgencyId>,
    /// For which purpose; partners see it
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: String,
    /// The case; partners see a hash of it from which they learn nothing
    #[arg(long, value_name = "TEXT")]
    pub(crate) case: String,
    /// The legal basis; partners see it
    #[arg(long, value_name = "TEXT")]
    pub(crate) basis: String,
    /// A person's name, with --born; repeat both for more
    #[arg(long, value_name = "NAME", requires = "born")]
    pub(crate) name: Vec<String>,
    /// The year of birth that goes with --name
    #[arg(long, value_name = "YEAR", requires = "name")]
    pub(crate) born: Vec<u16>,
    /// Ask about what stands in this file (`-`: standard input), CSV or NDJSON
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Watch until then whether one of them comes to be listed: a length of time (30d), a date or a time
    #[arg(long, value_parser = when::parse_expiry, value_name = "WHEN")]
    pub(crate) watch: Option<Expiry>,
    /// Wait so long for the answers, and show what came of it
    #[arg(long, value_parser = when::parse_duration, value_name = "TIME")]
    pub(crate) wait: Option<Duration>,
}

/// Options of `match list import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file (`-`: standard input)
    pub(crate) file: PathBuf,
    /// How the file is written; without it the file's first character tells
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Why an entry is listed whose line does not say it
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<Category>,
    /// How a hit on an entry is to be handled whose line does not say it
    #[arg(long, value_name = "LABEL")]
    pub(crate) tlp: Option<Tlp>,
    /// Write all refused lines to this file, as CSV
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Replace the report if it exists
    #[arg(long, requires = "report")]
    pub(crate) force: bool,
}

/// How a file of entries is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values
    Csv,
    /// One JSON object a line
    Ndjson,
}

/// Which rows are wanted.
#[derive(Debug, Args)]
pub(crate) struct RowsArgs {
    /// How many rows
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
    pub(crate) limit: u32,
    /// Go on where an earlier call ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
}

/// Whose rows are wanted, and which.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// Of every officer, and not only one's own
    #[arg(long)]
    pub(crate) all: bool,
    /// Which rows.
    #[command(flatten)]
    pub(crate) rows: RowsArgs,
}

/// Reads `TYPE:VALUE`, and `name:NAME:YEAR`. What the identifier has to look like the node says.
fn parse_item(text: &str) -> Result<Item, String> {
    // The text is a person's, so it is not repeated.
    let (subject, value) = text.split_once(':').ok_or("it is written TYPE:VALUE, such as passport:VNM:C1234567")?;
    let subject: Subject = subject.trim().parse().map_err(|names| format!("the type before the colon is {names}"))?;
    let (value, birth_year) = match subject {
        Subject::Identifier(_) => (value, None),
        Subject::Name => {
            let named = value.rsplit_once(':').and_then(|(name, year)| Some((name, year.trim().parse().ok()?)));
            let (name, year) = named.ok_or("a name goes with the year of birth: name:Nguyen Van An:1980")?;
            (name, Some(year))
        }
    };
    if value.trim().is_empty() {
        return Err("there is nothing behind the colon".to_owned());
    }
    Ok(Item { subject, value: value.trim().to_owned(), birth_year })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read() {
        for (text, subject, value, year) in [
            ("passport:VNM:C1234567", "passport", "VNM:C1234567", None),
            ("phone:+84 912 345 678", "phone", "+84 912 345 678", None),
            ("url:https://example.org:8443/a", "url", "https://example.org:8443/a", None),
            ("name:EXERCISE Nguyen Van An:1980", "name", "EXERCISE Nguyen Van An", Some(1980)),
            ("name: EXERCISE: An : 1980 ", "name", "EXERCISE: An", Some(1980)),
        ] {
            let item = Item { subject: subject.parse().unwrap(), value: value.to_owned(), birth_year: year };
            assert_eq!(parse_item(text), Ok(item), "{text}");
        }
        for (text, told) in [
            ("C1234567", "TYPE:VALUE"),
            ("ship:9074729", "passport"),
            ("other:x", "passport"),
            ("imo: ", "nothing"),
            ("name:EXERCISE An", "year of birth"),
            ("name:EXERCISE An:80s", "year of birth"),
            ("name::1980", "nothing"),
        ] {
            let error = parse_item(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
