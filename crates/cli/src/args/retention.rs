//! Options of the commands that pass records on, keep them and delete them.

use std::path::PathBuf;

use clap::Subcommand;
use mufakat_record::AgencyId;

use crate::when;

/// Passing on, keeping and deleting.
#[derive(Debug, Subcommand)]
pub(crate) enum Keeping {
    /// Pass a partner's record on to agencies outside its audience
    #[command(after_help = "\
Examples:
  mufakat forward 3f2a9c51d07e --to id-coastguard
  mufakat forward 3f2a9c51d07e --to sg --note 'they hold the vessel'

Where the handling asks for it, the originator must have permitted it (`mufakat permit`). The originator's signed bytes go \
unchanged; when it takes the record back, what was passed on is taken back, too.")]
    Forward {
        /// The record
        record: String,
        /// An agency, party or forum
        #[arg(long, required = true, value_name = "NAME")]
        to: Vec<AgencyId>,
        /// Why, in words that they read
        #[arg(long)]
        note: Option<String>,
    },
    /// Say what recipients may do with a record of this agency beyond its handling
    #[command(after_help = "\
Examples:
  mufakat permit 3f2a9c51d07e --forward-to id-coastguard
  mufakat permit 3f2a9c51d07e --evidence --note 'in the case of 12 March only'
  mufakat permit 3f2a9c51d07e --nothing

The latest permission counts, and says all that is permitted.")]
    Permit {
        /// The record
        record: String,
        /// An agency to whom it may be passed on
        #[arg(long, value_name = "AGENCY")]
        forward_to: Vec<AgencyId>,
        /// It may be used as evidence
        #[arg(long)]
        evidence: bool,
        /// Under which conditions
        #[arg(long)]
        note: Option<String>,
        /// Withdraw what was permitted before
        #[arg(long, conflicts_with_all = ["forward_to", "evidence"], required_unless_present_any = ["forward_to", "evidence"])]
        nothing: bool,
    },
    /// Legal holds, which keep records from being deleted
    #[command(subcommand)]
    Hold(Hold),
    /// What is due to be deleted or looked at again
    #[command(subcommand)]
    Retention(Retention),
    /// Everything that is held on an identifier, in one file
    #[command(after_help = "\
Examples:
  mufakat subject-file phone '+84 24 1234 5678' -o subject.json
  mufakat subject-file passport VNM:C1234567 -o subject.json --force

Beside the JSON stands the same for people, with `.txt` at its end. Each record in it is noted as exported.")]
    SubjectFile {
        /// The type of identifier, such as phone, passport, imo, iban
        kind: String,
        /// The identifier
        value: String,
        /// The file (`-`: standard output, JSON only)
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Replace the files if they exist
        #[arg(long)]
        force: bool,
    },
}

/// What to do about legal holds.
#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// Place a hold on records, with what they carry, or on a thread
    #[command(after_help = "\
Examples:
  mufakat hold place 3f2a9c51d07e --reason 'case 17/2026'
  mufakat hold place --thread 07070707070707070707070707070707 --reason 'case 17/2026' --until 2027-06-30")]
    Place {
        /// The records
        #[arg(required_unless_present = "thread")]
        records: Vec<String>,
        /// All records of a thread, those to come included
        #[arg(long)]
        thread: Option<String>,
        /// Why; it stays at this agency
        #[arg(long)]
        reason: String,
        /// Until when; otherwise until it is lifted
        #[arg(long, value_parser = when::parse_expiry, value_name = "TIME")]
        until: Option<when::Expiry>,
    },
    /// Lift a hold; what was taken back meanwhile is deleted
    #[command(after_help = "\
Example:
  mufakat hold lift 5be0a1c2d3f4 --reason 'the case is closed'")]
    Lift {
        /// The hold
        hold: String,
        /// Why; it stays at this agency
        #[arg(long)]
        reason: String,
    },
    /// The holds there are
    #[command(after_help = "\
Examples:
  mufakat hold list
  mufakat hold list --all")]
    List {
        /// Those that were lifted, too
        #[arg(long)]
        all: bool,
    },
}

/// What to do about what is due.
#[derive(Debug, Subcommand)]
pub(crate) enum Retention {
    /// What would be deleted now, what is to be looked at again, and what legal holds keep
    #[command(after_help = "\
Example:
  mufakat retention preview")]
    Preview,
    /// Delete what is past its expiry, and what was taken back and had to wait
    #[command(after_help = "\
Example:
  mufakat retention run")]
    Run,
    /// Delete the content of one record by order
    #[command(after_help = "\
Examples:
  mufakat retention delete 3f2a9c51d07e8b41...(64 characters) --reason 'not needed any more' --review
  mufakat retention delete 3f2a9c51d07e8b41...(64 characters) --reason 'order of the data protection officer'

This cannot be undone, so the whole id has to be given.")]
    Delete {
        /// The record, by its whole id
        record: String,
        /// Why; it stays at this agency
        #[arg(long)]
        reason: String,
        /// It was looked at again, and is needed no longer
        #[arg(long)]
        review: bool,
    },
    /// Retractions and corrections that recipients have not answered in time
    #[command(after_help = "\
Example:
  mufakat retention overdue")]
    Overdue,
}
