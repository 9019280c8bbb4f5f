//! Options of `mufakat policy`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use mufakat_record::{AgencyId, OfficerId, Role, Tlp};

/// What to do with the policy.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// The rules by which the node decides
    #[command(after_help = "\
Examples:
  mufakat policy show
  mufakat policy show tlp-forward")]
    Show {
        /// Only this rule, with its text
        rule: Option<String>,
    },
    /// Read rules and check them against the schema; needs no running node
    #[command(after_help = "\
Example:
  mufakat policy check evenings.cedar exports.cedar

What is wrong is told with file, line and column. Rules that change nothing, because others decide before them, are named.")]
    Check {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// What the gate decides on a record, by which rules, and why
    #[command(after_help = "\
Examples:
  mufakat policy explain 3f2a9c51d07e --as analyst
  mufakat policy explain 3f2a9c51d07e --as releaser --action forward --to id-coastguard --clearance AMBER")]
    Explain {
        /// The record
        record: String,
        /// The roles of whoever would ask
        #[arg(long = "as", required = true, value_name = "ROLE")]
        roles: Vec<Role>,
        /// What would be done
        #[arg(long, value_enum, default_value_t = Action::Read)]
        action: Action,
        /// The officer who would ask
        #[arg(long)]
        officer: Option<OfficerId>,
        /// The officer's clearance
        #[arg(long, value_name = "LABEL")]
        clearance: Option<Tlp>,
        /// A purpose of the officer
        #[arg(long = "purpose")]
        purposes: Vec<String>,
        /// To whom it would be forwarded or released
        #[arg(long, value_name = "AGENCY")]
        to: Vec<AgencyId>,
    },
    /// Which decisions on the newest records some rules would change
    #[command(after_help = "\
Example:
  mufakat policy diff evenings.cedar --newest 500")]
    Diff {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The set in whose place they would come
        #[arg(long)]
        name: Option<String>,
        /// Over how many records
        #[arg(long, value_name = "NUMBER")]
        newest: Option<usize>,
    },
    /// Decide cases and compare with what they expect; needs no running node
    #[command(after_help = "\
Examples:
  mufakat policy test cases.toml
  mufakat policy test cases.toml --with evenings.cedar")]
    Test {
        /// The cases (TOML)
        cases: PathBuf,
        /// Rules besides the default ones
        #[arg(long = "with", value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Propose a set of rules; another officer has to approve it
    #[command(after_help = "\
Examples:
  mufakat policy propose evenings evenings.cedar --tests cases.toml
  mufakat policy propose evenings --end

A set takes the place of the one of its name.")]
    Propose {
        /// The name of the set
        name: String,
        /// The files
        #[arg(required_unless_present = "end", conflicts_with = "end")]
        files: Vec<PathBuf>,
        /// Cases that have to come out as they say
        #[arg(long, value_name = "FILE")]
        tests: Option<PathBuf>,
        /// End what is in force under the name
        #[arg(long)]
        end: bool,
    },
    /// Approve a set of rules that another officer proposed; it is in force at once
    #[command(after_help = "\
Examples:
  mufakat policy approve 3f2a9c51d07e8b41...(64 characters)
  mufakat policy approve 3f2a9c51d07e8b41...(64 characters) --reject --words 'too wide'")]
    Approve {
        /// The set, by the whole id that `mufakat policy list` shows
        set: String,
        /// Reject it instead
        #[arg(long)]
        reject: bool,
        /// Why
        #[arg(long)]
        words: Option<String>,
    },
    /// The sets that were proposed, and what became of them
    #[command(after_help = "\
Example:
  mufakat policy list")]
    List,
}

/// What somebody may want to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// See that it is there
    List,
    /// Find it
    Search,
    /// Read it
    Read,
    /// Take it out of the system
    Export,
    /// Share it onward
    Forward,
    /// Share it with its audience
    Release,
}

impl Action {
    /// The name that the node knows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Search => "search",
            Self::Read => "read",
            Self::Export => "export",
            Self::Forward => "forward",
            Self::Release => "release",
        }
    }
}
