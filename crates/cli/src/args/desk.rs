//! Commands of the desk: drafts, and who knew what.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ShareArgs;
use crate::when;

/// How many rows a node gives at once.
const ROWS_MAX: i64 = 500;

/// What to do with drafts.
#[derive(Debug, Subcommand)]
pub(crate) enum Draft {
    /// Write a draft of a report; nothing of it leaves
    #[command(after_help = "\
Examples:
  mufakat draft new --to ru-police --tlp RED --attach x.pdf report.txt
  mufakat draft new --replaces 3f2a9c51d07e --to ru-police --tlp RED report.txt

It takes the options of `share`, without --ndjson, --batch and --key. An edited draft is another one: approvals are of one text.")]
    New(Box<NewArgs>),
    /// Write a draft of a correction
    #[command(after_help = "\
Example:
  mufakat draft correct 3f2a9c51d07e --reason 'position was wrong' report.json")]
    Correct {
        /// The record
        record: String,
        /// The report as it should have been: text or JSON (`-` or nothing: standard input)
        file: Option<PathBuf>,
        /// Why, in words that every recipient will read
        #[arg(long)]
        reason: String,
        /// The title, in place of the first line or of what the JSON says
        #[arg(long)]
        title: Option<String>,
        /// The draft in whose place it stands
        #[arg(long, value_name = "DRAFT")]
        replaces: Option<String>,
    },
    /// Write a draft of a request, or of a step in one
    #[command(after_help = "\
Examples:
  mufakat draft request ask --to ru-police --tlp RED request.json
  mufakat draft request answer 3f2a9c51d07e --text 'EXERCISE: the vessel is registered in Batam' --code H1

It takes what `mufakat request` takes, but `list`, `show` and --key.")]
    Request {
        /// The draft in whose place it stands
        #[arg(long, value_name = "DRAFT")]
        replaces: Option<String>,
        /// What is drafted
        #[command(subcommand)]
        what: super::Request,
    },
    /// The drafts and where they stand
    #[command(after_help = "\
Examples:
  mufakat draft list
  mufakat draft list --facet state:submitted")]
    List {
        /// How many rows
        #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
        limit: u32,
        /// Only rows that have this: `state:STATE`, `by:OFFICER` or `kind:KIND`; repeat for more
        #[arg(long, value_name = "NAME:VALUE")]
        facet: Vec<String>,
    },
    /// One draft, and what a second officer is asked
    #[command(after_help = "\
Example:
  mufakat draft show 3f2a9c51d07e")]
    Show {
        /// The draft
        draft: String,
    },
    /// Write a file that goes with a draft to disk
    #[command(after_help = "\
Examples:
  mufakat draft get 3f2a9c51d07e
  mufakat draft get 3f2a9c51d07e --number 1 -o photo.jpg")]
    Get {
        /// The draft
        draft: String,
        /// Which of its files, from 0
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        number: u32,
        /// The file (`-`: standard output). Otherwise the name that it was given, in the current folder
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Who would read it if it were released, who would not, and by which rule
    #[command(after_help = "\
Example:
  mufakat draft preview 3f2a9c51d07e")]
    Preview {
        /// The draft
        draft: String,
    },
    /// Put a draft before a second officer
    #[command(after_help = "\
Example:
  mufakat draft submit 3f2a9c51d07e")]
    Submit {
        /// The draft
        draft: String,
    },
    /// Approve what another officer wrote
    #[command(after_help = "\
Examples:
  mufakat draft approve 3f2a9c51d07e --words 'checked against the file'
  mufakat draft approve 3f2a9c51d07e --check neutrality=yes --check torture=no --check death-penalty=no \\
      --check refugee-status=no

`draft show` tells what is asked; a notice is approved only with every answer.")]
    Approve(WordArgs),
    /// Reject what another officer wrote
    #[command(after_help = "\
Example:
  mufakat draft reject 3f2a9c51d07e --words 'the source is named'")]
    Reject(WordArgs),
    /// Release a draft: it becomes a record on its way to its audience
    #[command(after_help = "\
Example:
  mufakat draft release 3f2a9c51d07e")]
    Release {
        /// The draft
        draft: String,
    },
    /// Give a draft up
    #[command(after_help = "\
Example:
  mufakat draft discard 3f2a9c51d07e")]
    Discard {
        /// The draft
        draft: String,
    },
}

/// Options of `draft new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The draft in whose place it stands
    #[arg(long, value_name = "DRAFT")]
    pub(crate) replaces: Option<String>,
    /// What is to be released.
    #[command(flatten)]
    pub(crate) share: ShareArgs,
}

/// Options of `draft approve` and `draft reject`.
#[derive(Debug, Args)]
pub(crate) struct WordArgs {
    /// The draft
    pub(crate) draft: String,
    /// An answer to what is asked; repeat for more
    #[arg(long, value_name = "NAME=yes|no", value_parser = parse_check)]
    pub(crate) check: Vec<(String, bool)>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) words: Option<String>,
}

/// Options of `uses` and `who-knew`.
#[derive(Debug, Args)]
pub(crate) struct KnownArgs {
    /// The record
    pub(crate) record: String,
    /// How many acts
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
    pub(crate) limit: u32,
    /// Go on behind the act with this leaf
    #[arg(long, value_name = "LEAF")]
    pub(crate) after: Option<u64>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The view: inbox, track, drafts, uses, …
    pub(crate) view: String,
    /// The instant: a time (RFC 3339), or a date (its end, UTC)
    #[arg(long, value_parser = when::parse_instant, value_name = "TIME")]
    pub(crate) at: u64,
    /// How many rows
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
    pub(crate) limit: u32,
    /// Go on where an earlier call ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    /// Only rows that have this, as the view offers it; repeat for more
    #[arg(long, value_name = "NAME:VALUE")]
    pub(crate) facet: Vec<String>,
}

fn parse_check(text: &str) -> Result<(String, bool), String> {
    let wrong = || format!("`{text}` is not of the form NAME=yes or NAME=no");
    let (name, answer) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    match answer {
        "yes" => Ok((name.to_owned(), true)),
        "no" => Ok((name.to_owned(), false)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_yes_or_no() {
        assert_eq!(parse_check("torture=no"), Ok(("torture".to_owned(), false)));
        assert_eq!(parse_check("neutrality=yes"), Ok(("neutrality".to_owned(), true)));
        for bad in ["", "torture", "=yes", "torture=", "torture=maybe"] {
            assert!(parse_check(bad).is_err(), "{bad}");
        }
    }
}
