//! Options of the commands about requests for information.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mufakat_record::kinds::request_step::Ground;
use mufakat_record::{AgencyId, Code, Eyes, Tlp};

use super::HandlingArgs;
use crate::when::{self, Expiry};

/// How many rows a node gives at once.
const ROWS_MAX: i64 = 500;

/// What to do with requests.
#[derive(Debug, Subcommand)]
pub(crate) enum Request {
    /// Ask one or several agencies for information
    #[command(after_help = "\
Example:
  mufakat request ask --to ru-police request.json

The file holds title, text, offence, purpose, link, necessity, holding, language and legal_basis, and may hold
urgency, restrictions, judge_needed, subjects and not_copied; docs/requests.md says what they mean.")]
    Ask(Box<AskArgs>),
    /// Show requests with their clocks
    #[command(after_help = "\
Example:
  mufakat request list --side asked --state received")]
    List(ListArgs),
    /// Show one request with everything that was done about it
    #[command(after_help = "\
Example:
  mufakat request show 3f2a9c51d07e")]
    Show {
        /// The request
        record: String,
    },
    /// Say which desk or officer has it
    #[command(after_help = "\
Example:
  mufakat request route 3f2a9c51d07e --to 'maritime desk'")]
    Route {
        /// The request
        record: String,
        /// The desk or the officer
        #[arg(long, value_name = "TEXT")]
        to: String,
    },
    /// Ask back; the clock stands still until the answer comes
    #[command(after_help = "\
Example:
  mufakat request clarify 3f2a9c51d07e 'EXERCISE: which of the two vessels of this name?'")]
    Clarify {
        /// The request
        record: String,
        /// The question
        text: String,
    },
    /// Answer what the other side asked back
    #[command(after_help = "\
Example:
  mufakat request reply-clarification 3f2a9c51d07e 'EXERCISE: IMO 9074729'")]
    ReplyClarification {
        /// The request
        record: String,
        /// The answer
        text: String,
        /// To which of the agencies that were asked; to all that asked back if nothing is said
        #[arg(long, value_name = "AGENCY")]
        to: Option<AgencyId>,
    },
    /// Say that a judge must authorise the answer, until when that takes, and why
    #[command(after_help = "\
Example:
  mufakat request judge 3f2a9c51d07e --until 10d --why 'EXERCISE: a warrant is needed'")]
    Judge(WaitArgs),
    /// Say that the judge needs longer
    #[command(after_help = "\
Example:
  mufakat request extend 3f2a9c51d07e --until 2027-01-31 --why 'EXERCISE: a hearing'")]
    Extend(WaitArgs),
    /// Answer, in full or with parts refused
    #[command(after_help = "\
Examples:
  mufakat request answer 3f2a9c51d07e --text 'EXERCISE: the vessel is registered in Batam' --about 77b0c3e9a142
  mufakat request answer 3f2a9c51d07e --text 'EXERCISE: name attached' --attach owner.pdf \\
      --refuse 'crew list' f 'EXERCISE: an investigation'")]
    Answer(Box<AnswerArgs>),
    /// Refuse the whole
    #[command(after_help = "\
Example:
  mufakat request refuse 3f2a9c51d07e --ground a --words 'EXERCISE: not held here'")]
    Refuse {
        /// The request
        record: String,
        /// A ground, a to h or by its name; repeat for more
        #[arg(long, required = true, value_name = "GROUND")]
        ground: Vec<Ground>,
        /// In words
        #[arg(long, value_name = "TEXT")]
        words: String,
    },
    /// Take a request back
    #[command(after_help = "\
Example:
  mufakat request withdraw 3f2a9c51d07e --why 'EXERCISE: found elsewhere'")]
    Withdraw {
        /// The request
        record: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// From which of the agencies that were asked; from all if nothing is said
        #[arg(long, value_name = "AGENCY")]
        to: Option<AgencyId>,
    },
    /// Say what an answer was worth
    #[command(after_help = "\
Example:
  mufakat request feedback 3f2a9c51d07e 'EXERCISE: it led to the vessel'")]
    Feedback {
        /// The request
        record: String,
        /// In words
        text: String,
        /// It was of no use
        #[arg(long)]
        not_useful: bool,
        /// To which of the agencies that were asked; to all that replied if nothing is said
        #[arg(long, value_name = "AGENCY")]
        to: Option<AgencyId>,
    },
    /// Allow later that an answer be used as evidence
    #[command(after_help = "\
Example:
  mufakat request permit-evidence 3f2a9c51d07e 'EXERCISE: in case 7 only'")]
    PermitEvidence {
        /// The request
        record: String,
        /// In which proceedings and under which conditions
        words: String,
    },
    /// Close a request that was answered, refused or withdrawn
    #[command(after_help = "\
Example:
  mufakat request close 3f2a9c51d07e")]
    Close {
        /// The request
        record: String,
        /// For which of the agencies that were asked; for all that it fits if nothing is said
        #[arg(long, value_name = "AGENCY")]
        to: Option<AgencyId>,
    },
}

/// Options of `request ask`.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The request in JSON (`-` or nothing: standard input)
    pub(crate) file: Option<PathBuf>,
    /// An agency, party or forum that is asked; repeat for more
    #[arg(long, value_name = "NAME", required = true)]
    pub(crate) to: Vec<AgencyId>,
    /// Its handling.
    #[command(flatten)]
    pub(crate) handling: HandlingArgs,
    /// A file to go with it; repeat for more
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<PathBuf>,
    /// A name of your own for this request: asking again under the same name does nothing
    #[arg(long, value_name = "TEXT")]
    pub(crate) key: Option<String>,
}

/// Options of `request list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only on this side
    #[arg(long, value_name = "SIDE")]
    pub(crate) side: Option<SideArg>,
    /// Only in this state, such as `received` or `answered`
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    /// Only with this agency
    #[arg(long, value_name = "AGENCY")]
    pub(crate) partner: Option<AgencyId>,
    /// How many rows
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
    pub(crate) limit: u32,
    /// Go on where an earlier call ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
}

/// On which side this agency stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SideArg {
    /// It asks
    Asking,
    /// It is asked
    Asked,
    /// It has a copy
    Copy,
}

/// Options of `request judge` and `request extend`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The request
    pub(crate) record: String,
    /// Until when: a date (its end, UTC), a time (RFC 3339) or a length of time (10d)
    #[arg(long, value_parser = when::parse_expiry, value_name = "WHEN")]
    pub(crate) until: Expiry,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

/// Options of `request answer`.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The request
    pub(crate) record: String,
    /// The answer
    #[arg(long, value_name = "TEXT", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// The answer in a file (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A part that is refused, its ground (a to h, or its name) and words; repeat for more
    #[arg(long, num_args = 3, value_names = ["PART", "GROUND", "WORDS"], action = clap::ArgAction::Append)]
    pub(crate) refuse: Vec<String>,
    /// It may be used as evidence
    #[arg(long)]
    pub(crate) evidence: bool,
    /// A record that it cites; repeat for more
    #[arg(long, value_name = "RECORD")]
    pub(crate) about: Vec<String>,
    /// A file to go with it; repeat for more
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<PathBuf>,
    /// Its handling, where that is narrower than the request's.
    #[command(flatten)]
    pub(crate) narrower: NarrowerArgs,
}

/// How an answer is handled more narrowly than its request. What is not said is as the request has it.
#[derive(Debug, Args)]
pub(crate) struct NarrowerArgs {
    /// A label at least as narrow as the request's
    #[arg(long, value_name = "LABEL")]
    pub(crate) tlp: Option<Tlp>,
    /// Handling code H0, H1, H2 or H3, those of the request too; repeat for more
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Vec<Code>,
    /// A purpose, one of the request's if that names any; repeat for more
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Vec<String>,
    /// Originator control: nothing goes onward without the originator
    #[arg(long)]
    pub(crate) orcon: bool,
    /// Further restrictions in words, which hold the request's
    #[arg(long, value_name = "TEXT")]
    pub(crate) caveat: Option<String>,
    /// An officer for whose eyes it is, those of the request too; repeat for more
    #[arg(long, value_name = "AGENCY/OFFICER")]
    pub(crate) eyes: Vec<Eyes>,
}

/// Which table is wanted.
#[derive(Debug, Subcommand)]
pub(crate) enum TableOf {
    /// Requests made, received, answered and refused in a year, by party, urgency and ground
    #[command(after_help = "\
Example:
  mufakat table requests --year 2026 --csv")]
    Requests {
        /// The calendar year
        #[arg(long, value_name = "YEAR")]
        year: i16,
        /// As comma-separated values
        #[arg(long)]
        csv: bool,
    },
}
