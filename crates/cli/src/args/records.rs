//! Options of the commands about records.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mufakat_record::identifier::IdentifierType;
use mufakat_record::{AgencyId, Code, Eyes, Tlp};

use crate::when::{self, Expiry};

/// How many rows a node gives at once.
const ROWS_MAX: i64 = 500;

/// What may be done with a record, and what it belongs to.
#[derive(Debug, Args)]
pub(crate) struct HandlingArgs {
    /// Traffic Light Protocol label: CLEAR, GREEN, AMBER, AMBER+STRICT or RED
    #[arg(long, default_value = "AMBER", value_name = "LABEL")]
    pub(crate) tlp: Tlp,
    /// Handling code H0, H1, H2 or H3; repeat for more
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Vec<Code>,
    /// A purpose for which it may be used; repeat for more
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Vec<String>,
    /// Originator control: nothing goes onward without the originator
    #[arg(long)]
    pub(crate) orcon: bool,
    /// Further restrictions in words
    #[arg(long, value_name = "TEXT")]
    pub(crate) caveat: Option<String>,
    /// An officer for whose eyes it is; at that agency nobody else reads it. Repeat for more
    #[arg(long, value_name = "AGENCY/OFFICER")]
    pub(crate) eyes: Vec<Eyes>,
    /// By when recipients look again whether they still need it: a date, a time or a length of time (180d)
    #[arg(long, value_parser = when::parse_expiry, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) review: Option<Expiry>,
    /// When it ceases to be of use: a date (its end, UTC), a time (RFC 3339) or a length of time (30d)
    #[arg(long, value_parser = when::parse_expiry, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) expires: Option<Expiry>,
    /// No recipient learns who else got it: one record for each
    #[arg(long)]
    pub(crate) hidden_audience: bool,
    /// The matter it belongs to (32 hexadecimal digits)
    #[arg(long, value_name = "THREAD")]
    pub(crate) thread: Option<mufakat_record::ThreadId>,
    /// A record that it is about; repeat for more
    #[arg(long, value_name = "RECORD")]
    pub(crate) about: Vec<String>,
}

/// Options of `share`.
#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// The report: text or JSON; with --ndjson one on each line (`-` or nothing: standard input)
    pub(crate) file: Option<PathBuf>,
    /// An agency, party or forum that may read it; repeat for more
    #[arg(long, value_name = "NAME", required_unless_present = "ndjson")]
    pub(crate) to: Vec<AgencyId>,
    /// Its handling.
    #[command(flatten)]
    pub(crate) handling: HandlingArgs,
    /// The title, in place of the first line or of what the JSON says
    #[arg(long, conflicts_with = "ndjson")]
    pub(crate) title: Option<String>,
    /// A file to go with it; repeat for more
    #[arg(long, value_name = "FILE", conflicts_with = "ndjson")]
    pub(crate) attach: Vec<PathBuf>,
    /// A name of your own for this report: sharing it again under the same name does nothing
    #[arg(long, value_name = "TEXT", conflicts_with = "ndjson")]
    pub(crate) key: Option<String>,
    /// Many reports, one on each line
    #[arg(long)]
    pub(crate) ndjson: bool,
    /// A name for this run: lines that were shared under it before are not shared again
    #[arg(long, value_name = "NAME", requires = "ndjson")]
    pub(crate) batch: Option<String>,
    /// With --batch: how long to wait for a node that went away
    #[arg(long, value_parser = when::parse_duration, value_name = "TIME", default_value = "60s")]
    pub(crate) retry: Duration,
}

/// Options of `inbox`.
#[derive(Debug, Args)]
pub(crate) struct InboxArgs {
    /// How many rows
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
    pub(crate) limit: u32,
    /// Go on where an earlier call ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    /// Only rows that have this: `author:AGENCY`, `kind:KIND`, or `on:ID` for what retracts or corrects; repeat for more
    #[arg(long, value_name = "NAME:VALUE")]
    pub(crate) facet: Vec<String>,
    /// The oldest first
    #[arg(long)]
    pub(crate) oldest: bool,
    /// What was refused instead, with the reasons
    #[arg(long)]
    pub(crate) refused: bool,
}

/// How many records a node finds at once.
const HITS_MAX: i64 = 200;

/// Options of `search`.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words and phrases, all of which must be there
    pub(crate) words: Vec<String>,
    /// Only of this kind; of each filter that is repeated one must hold
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Vec<String>,
    /// Only reports of this type: information, intelligence, incident, seizure, warning, notice
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) report_type: Vec<String>,
    /// Only by this agency
    #[arg(long, value_name = "AGENCY")]
    pub(crate) author: Vec<String>,
    /// Only by agencies of this party
    #[arg(long, value_name = "PARTY")]
    pub(crate) party: Vec<String>,
    /// Only with this label
    #[arg(long, value_name = "LABEL")]
    pub(crate) tlp: Vec<Tlp>,
    /// Only with this handling code
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Vec<Code>,
    /// Only with this identifier, however it was written
    #[arg(long, value_name = "TYPE:VALUE")]
    pub(crate) identifier: Vec<String>,
    /// Only of this matter
    #[arg(long, value_name = "THREAD")]
    pub(crate) thread: Option<String>,
    /// Only what refers to this record
    #[arg(long, value_name = "RECORD")]
    pub(crate) about: Option<String>,
    /// Only what came then or later: a date (UTC) or a time (RFC 3339)
    #[arg(long, value_parser = when::parse_from, value_name = "TIME")]
    pub(crate) from: Option<u64>,
    /// Only what came then or earlier
    #[arg(long, value_parser = when::parse_until, value_name = "TIME")]
    pub(crate) until: Option<u64>,
    /// Only about places between two parallels and two meridians, in degrees
    #[arg(long = "box", value_name = "SOUTH,WEST,NORTH,EAST", allow_hyphen_values = true, conflicts_with = "near")]
    pub(crate) area: Option<String>,
    /// Only about places around a point
    #[arg(long, value_name = "LATITUDE,LONGITUDE,METRES", allow_hyphen_values = true)]
    pub(crate) near: Option<String>,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=HITS_MAX))]
    pub(crate) limit: u32,
    /// Go on where an earlier call ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    /// Save the search under this name instead: whatever comes and answers it becomes an alert
    #[arg(long, value_name = "NAME", conflicts_with = "after")]
    pub(crate) save: Option<String>,
    /// List the saved searches with what they last found
    #[arg(long, conflicts_with_all = ["words", "save", "end", "after"])]
    pub(crate) saved: bool,
    /// End the saved search of this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["words", "save", "after"])]
    pub(crate) end: Option<String>,
}

/// Options of `track`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("waits").args(["wait", "watch"]))]
pub(crate) struct TrackArgs {
    /// The record; without it, the newest that were sent
    pub(crate) record: Option<String>,
    /// Wait until every recipient has settled, then show
    #[arg(long, requires = "record")]
    pub(crate) wait: bool,
    /// The same, showing each change
    #[arg(long, requires = "record")]
    pub(crate) watch: bool,
    /// How long to wait; then the command fails
    #[arg(long, value_parser = when::parse_duration, value_name = "TIME", requires = "waits")]
    pub(crate) timeout: Option<Duration>,
    /// How many rows, without a record
    #[arg(long, default_value_t = 50, value_name = "NUMBER", conflicts_with = "record",
        value_parser = clap::value_parser!(u32).range(1..=ROWS_MAX))]
    pub(crate) limit: u32,
}

/// Options of `template`.
#[derive(Debug, Args)]
pub(crate) struct TemplateArgs {
    /// For which report: report, warning, seizure, notice or incident
    #[arg(value_name = "REPORT", value_parser = crate::templates::names())]
    pub(crate) name: String,
}

/// Options of `identifier`.
#[derive(Debug, Args)]
pub(crate) struct IdentifierArgs {
    /// What it is: imo, mmsi, icao24, passport, phone, iban, wallet, number-plate, email, url, call-sign, serial-number or other
    #[arg(value_name = "TYPE")]
    pub(crate) identifier_type: IdentifierType,
    /// The value as given
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
}
