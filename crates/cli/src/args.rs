//! The command line: commands, options, and their help with examples.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

mod desk;
mod matching;
mod membership;
mod officers;
mod policy;
mod records;
mod requests;
mod retention;
mod upkeep;

pub(crate) use desk::{Draft, KnownArgs, NewArgs, ReplayArgs, WordArgs};
pub(crate) use matching::{
    Audit, CompareArgs, Format, ImportArgs, Match, MatchAskArgs, MatchBudget, MatchList, PageArgs, Person, RowsArgs,
    Watch,
};
pub(crate) use membership::{Forum, FoundArgs, Founding, InitArgs, ProposeArgs, Register, RulesArgs};
pub(crate) use officers::{GrantArgs, Officer, Session, Token};
pub(crate) use policy::Policy;
pub(crate) use records::{HandlingArgs, IdentifierArgs, InboxArgs, SearchArgs, ShareArgs, TemplateArgs, TrackArgs};
pub(crate) use requests::{AnswerArgs, AskArgs, ListArgs, NarrowerArgs, Request, SideArg, TableOf, WaitArgs};
pub(crate) use retention::{Hold, Keeping, Retention};
pub(crate) use upkeep::{Keys, Parcel, VerifyArgs};

use crate::when;

/// Under which heading the options stand that every command has.
const GLOBAL: &str = "Options of every command";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "mufakat",
    version,
    about = "Share signed, sealed records with partner agencies, and prove it later",
    max_term_width = 100,
    after_help = "\
First steps:
  mufakat init --agency vn-police --party vn --name 'Police' --endpoint node.example:7443
  mufakat serve
  mufakat join --file invitation.txt --wait
  echo 'Title of the report' | mufakat share --to ru-police --tlp AMBER
  mufakat inbox

`mufakat help COMMAND` tells more of each and gives examples.
Exit codes: 0 done; 1 refused or failed; 2 wrong command line; 3 no node is running."
)]
pub(crate) struct Args {
    /// The folder of the node
    #[arg(long, global = true, help_heading = GLOBAL, env = "MUFAKAT_DIR", value_name = "FOLDER", default_value = "mufakat-node")]
    pub(crate) dir: PathBuf,
    /// Ask a node at its desk, as the officer whose token stands in MUFAKAT_TOKEN, and not at the socket in the folder
    #[arg(long, global = true, help_heading = GLOBAL, env = "MUFAKAT_NODE", value_name = "URL")]
    pub(crate) node: Option<url::Url>,
    /// The certificates (PEM) with which the node at the desk is verified
    #[arg(long, global = true, help_heading = GLOBAL, env = "MUFAKAT_CERTIFICATES", value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt")]
    pub(crate) certificates: PathBuf,
    /// Print JSON for programs: the answer on standard output, errors on standard error
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the folder of a new node with its configuration and keys
    #[command(after_help = "\
Examples:
  mufakat init --agency vn-police --party vn --name 'Police' --endpoint node.example:7443
  mufakat init --agency hub --party asec --name Hub --endpoint hub.example:7443 --relay \\
      --card hub.card

The card is what others need to found a register with this agency; its twelve words are compared by voice.")]
    Init(InitArgs),
    /// Run the node of the folder until it is told to stop
    #[command(after_help = "\
Examples:
  mufakat serve
  mufakat --dir /srv/mufakat serve
  MUFAKAT_LOG__LEVEL=debug mufakat serve

Settings stand in node.toml in the folder; environment variables such as MUFAKAT_LOG__LEVEL override them.")]
    Serve,
    /// The register of the community: found it, change it, look at it
    #[command(subcommand)]
    Register(Register),
    /// Invite an agency to join the community
    #[command(after_help = "\
Examples:
  mufakat invite ru-police --party ru
  mufakat invite ru-police --party ru --valid 2d -o invitation.txt

Send the invitation by a way that you trust. When the agency has used it, `mufakat register pending` shows the twelve words \
of its key; compare them by voice before you propose to admit it.")]
    Invite {
        /// The agency to be
        agency: String,
        /// The party it belongs to
        #[arg(long)]
        party: String,
        /// How long the invitation can be used
        #[arg(long, value_parser = when::parse_duration, default_value = "7d", value_name = "TIME")]
        valid: Duration,
        /// Write the invitation to this file instead of showing it
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Join the community with an invitation
    #[command(after_help = "\
Examples:
  mufakat join --file invitation.txt --wait
  mufakat join \"$(cat invitation.txt)\"

Compare the words that it shows with those of the inviting agency, by voice.")]
    Join {
        /// The invitation
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        invitation: Option<String>,
        /// Read the invitation from this file (`-`: standard input)
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Wait until the community has admitted this agency
        #[arg(long)]
        wait: bool,
        /// How long to wait
        #[arg(long, requires = "wait", value_parser = when::parse_duration, value_name = "TIME")]
        timeout: Option<Duration>,
    },
    /// Share a report, or many
    #[command(after_help = "\
Examples:
  mufakat share --to ru-police --to vn --tlp AMBER+STRICT --code H1 --attach x.json report.txt
  echo '{\"title\":\"EXERCISE Boarding\"}' | mufakat share --to maritime --expires 30d
  mufakat share --ndjson --to maritime --tlp GREEN --batch incidents-2026 incidents.ndjson

Input is text (its first line is the title) or a report as a JSON object; `mufakat template` prints one to fill in. With --ndjson each line is a report, to which the \
options here apply, or an envelope with its own audience and handling (an object with `body`), which goes as it is. \
With --batch a line that has been shared before under the same batch is not shared again, so an interrupted run can be \
repeated; and if the node goes away in mid-run, the command waits for it and goes on.")]
    Share(Box<ShareArgs>),
    /// A report to fill in and share, as JSON
    #[command(after_help = "\
Examples:
  mufakat template seizure > seizure.json
  mufakat share --to maritime --tlp AMBER seizure.json

Replace each value by what is so, and leave out what is not known. Times are written as 2026-11-21T21:00:00Z, places in degrees.")]
    Template(TemplateArgs),
    /// Whether an identifier can be what it says it is, and its canonical form; needs no node
    #[command(after_help = "\
Examples:
  mufakat identifier imo 'IMO 9074729'
  mufakat identifier phone '+44 (0)20 7946 0958'
  mufakat identifier passport \"$(cat zone.txt)\"

Records carry the value as it was given; what is compared is the canonical form.")]
    Identifier(IdentifierArgs),
    /// Drafts: write, put before a second officer, approve, release
    #[command(subcommand)]
    Draft(Draft),
    /// Who would read a report if it were shared, who would not, and by which rule
    #[command(after_help = "\
Example:
  mufakat preview --to maritime --tlp AMBER+STRICT report.txt

It takes the options of `share`. Nothing is sent and nothing is kept.")]
    Preview(Box<ShareArgs>),
    /// How a record was used: here, and by those who got it
    #[command(after_help = "\
Example:
  mufakat uses 3f2a9c51d07e

Recipients tell in summaries which role used it for what, and never which officer.")]
    Uses(KnownArgs),
    /// Who knew of a record, what they did with it, and when
    #[command(after_help = "\
Example:
  mufakat who-knew 3f2a9c51d07e")]
    WhoKnew(KnownArgs),
    /// A view of the desk as it was at an instant
    #[command(after_help = "\
Examples:
  mufakat replay --at 2026-11-21T21:00:00Z inbox
  mufakat replay --at 2026-11-21 drafts --facet state:submitted

The first question about an instant folds the view again from the ledger, which takes a while in a large one. What was \
deleted since then is shown as deleted.")]
    Replay(ReplayArgs),
    /// What has come in
    #[command(after_help = "\
Examples:
  mufakat inbox
  mufakat inbox --limit 200 --facet kind:report
  mufakat inbox --refused")]
    Inbox(InboxArgs),
    /// Find records by words and filters, the newest first
    #[command(after_help = "\
Examples:
  mufakat search nguyen 'tàu cá'
  mufakat search '\"laut natuna\"' --kind report --from 2026-11-01 --near 1.25,103.9,50000
  mufakat search --identifier imo:9074729 --party vn
  mufakat search kapal --kind report --save boats
  mufakat search --saved
  mufakat search --end boats

All words must be there, in any order, with or without their marks (nguyen finds Nguyễn). What stands in quotation marks must \
be there as it stands; a star at the end of a word stands for any ending.")]
    Search(Box<SearchArgs>),
    /// One record with its handling, or its signed bytes
    #[command(after_help = "\
Examples:
  mufakat show 3f2a9c51d07e
  mufakat show 3f2a9c51d07e --raw record.cose

An id may be given by its first characters (8 or more) when it is among the newest 1,000 that came or were sent.")]
    Show {
        /// The record
        record: String,
        /// Write the signed bytes as they came to this file (`-`: standard output)
        #[arg(long, value_name = "FILE")]
        raw: Option<PathBuf>,
    },
    /// What each recipient said about a record that was sent
    #[command(after_help = "\
Examples:
  mufakat track
  mufakat track 3f2a9c51d07e
  mufakat track 3f2a9c51d07e --wait --timeout 60s

Without a record: the newest that were sent. A recipient has settled when it accepted or refused, or can never be reached.")]
    Track(TrackArgs),
    /// Requests for information: ask, answer, refuse, and see their clocks
    #[command(subcommand)]
    Request(Request),
    /// Private matching: ask whether partners list somebody or something, and keep one's own lists
    #[command(subcommand)]
    Match(Match),
    /// What records add up to in a year
    #[command(subcommand)]
    Table(TableOf),
    /// Take a record back; every recipient answers with what it did
    #[command(after_help = "\
Example:
  mufakat retract 3f2a9c51d07e8b41...(64 characters) --reason 'sent to the wrong forum'

This cannot be undone, so the whole id has to be given.")]
    Retract {
        /// The record, by its whole id
        record: String,
        /// Why, in words that every recipient will read
        #[arg(long)]
        reason: String,
    },
    /// Replace the report of a record; every recipient answers with what it did
    #[command(after_help = "\
Examples:
  mufakat correct 3f2a9c51d07e8b41...(64 characters) --reason 'position was wrong' report.json
  mufakat correct 3f2a9c51d07e8b41...(64 characters) --reason 'typing error' --title 'Boarding off Bintan' < text.txt

This cannot be undone, so the whole id has to be given.")]
    Correct {
        /// The record, by its whole id
        record: String,
        /// The report as it should have been: text or JSON (`-` or nothing: standard input)
        file: Option<PathBuf>,
        /// Why, in words that every recipient will read
        #[arg(long)]
        reason: String,
        /// The title, in place of the first line or of what the JSON says
        #[arg(long)]
        title: Option<String>,
    },
    #[command(flatten)]
    Keeping(Keeping),
    /// Write an attachment's content to a file
    #[command(after_help = "\
Examples:
  mufakat get 91bb0c6d2e4f
  mufakat get 91bb0c6d2e4f -o bundle.json

The record is the attachment, or a report that carries just one.")]
    Get {
        /// The attachment, or the report that carries it
        record: String,
        /// The file (`-`: standard output). Otherwise the attachment's own name, in the current folder
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Write a file that proves, offline and to anyone, who said what to whom and when
    #[command(after_help = "\
Example:
  mufakat evidence 3f2a9c51d07e -o case-17.evidence")]
    Evidence {
        /// The record
        record: String,
        /// The file (`-`: standard output)
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Check an evidence file; needs neither node nor network
    #[command(after_help = "\
Examples:
  mufakat verify case-17.evidence --root 'twelve words of the community that you were given'
  mufakat verify case-17.evidence

Without --root the answer names the community on which the evidence rests; compare its words with those that you know.")]
    Verify(VerifyArgs),
    /// Officers: who works at the desk, and what they may do
    #[command(subcommand)]
    Officer(Officer),
    /// Tokens, with which programs ask as an officer
    #[command(subcommand)]
    Token(Token),
    /// Sessions: who is signed in
    #[command(subcommand)]
    Session(Session),
    /// Carry parcels in a file, over a gap of air
    #[command(subcommand)]
    Parcel(Parcel),
    /// The policy by which the node decides: look at it, try it, change it
    #[command(subcommand)]
    Policy(Policy),
    /// The keys of this agency
    #[command(subcommand)]
    Keys(Keys),
    /// Write a copy of the running node's state
    #[command(after_help = "\
Example:
  mufakat backup /media/safe/mufakat-2026-11-21

The copy holds the secret keys: keep it as safe as the node.")]
    Backup {
        /// Where to; it must not exist yet
        path: PathBuf,
    },
    /// Make a folder from a backup, with a new epoch for the ledger
    #[command(after_help = "\
Examples:
  mufakat --dir /srv/mufakat-new restore /media/safe/mufakat-2026-11-21
  mufakat --dir /srv/mufakat restore /media/safe/mufakat-2026-11-21 --replace
  mufakat --dir /srv/mufakat-new restore /media/safe/mufakat-2026-11-21 --epoch 4

The node of the folder must not be running. What it did after the backup is not in it; partners see by the new epoch that \
the ledger began again. Two ledgers of one epoch would look to them like a split view, so give --epoch if the same backup was \
restored before in another folder.")]
    Restore {
        /// The backup
        path: PathBuf,
        /// Replace the state that the folder holds; it is set aside, not deleted
        #[arg(long)]
        replace: bool,
        /// The lowest epoch to begin; it must be above every one that the node has had
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        epoch: u64,
    },
    /// Throw all views away and fold them again from the records
    #[command(after_help = "\
Example:
  mufakat rebuild")]
    Rebuild,
    /// Check everything that a folder holds; needs no running node
    #[command(after_help = "\
Examples:
  mufakat fsck
  mufakat --dir /srv/mufakat --json fsck")]
    Fsck,
    /// How the node does
    #[command(after_help = "\
Examples:
  mufakat status
  mufakat status --card > vn-police.card
  mufakat --json status")]
    Status {
        /// Only this agency's card, which others use to found a register with it
        #[arg(long)]
        card: bool,
    },
    /// What the operator should look at
    #[command(after_help = "\
Example:
  mufakat alarms")]
    Alarms,
    /// Completions for a shell
    #[command(after_help = "\
Examples:
  mufakat completions bash > /etc/bash_completion.d/mufakat
  mufakat completions zsh > ~/.zfunc/_mufakat")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                command.get_subcommands().for_each(|inner| check(inner, &path));
            } else {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.starts_with("Example"), "{path} has no example");
                assert!(
                    help.contains(&format!("{} ", path.trim_start())) || help.contains(command.get_name()),
                    "{path}"
                );
                assert!(command.get_about().is_some(), "{path} does not say what it does");
            }
        }
        Args::command().get_subcommands().for_each(|command| check(command, ""));
    }

    #[test]
    fn a_time_that_has_passed_is_explained() {
        let told = |line: &str| parse(line).unwrap_err().to_string();
        let negative = told("mufakat share --to ru-police --expires -3d");
        assert!(negative.contains("`-3d` is in the past") && negative.contains("30d"), "{negative}");
        assert!(told("mufakat share --to ru-police --expires 0s").contains("would be over at once"));
    }

    #[test]
    fn lines_parse_or_do_not() {
        for line in [
            "mufakat --dir x --json status",
            "mufakat status --json --dir x",
            "mufakat share --to ru-police --to vn --tlp tlp:amber+strict --code h1 --code H2 --expires 30d",
            "mufakat share --ndjson --batch one --retry 60s in.ndjson",
            "mufakat share --to ru-police --attach a --attach b --hidden-audience --orcon -",
            "mufakat share --to ru-police --eyes ru-police/d3 --eyes vn-police/d4 --review 180d",
            "mufakat template seizure",
            "mufakat identifier imo 9074729",
            "mufakat track",
            "mufakat track 0011223344 --wait --timeout 5s",
            "mufakat join abc --wait",
            "mufakat register found --community c --threshold 2 --card a --card b --forum ff=Forum:vn,ru -o f",
            "mufakat register approve --founding f",
            "mufakat register approve 0011",
            "mufakat register propose --admit ru-police --relay hub=false --endpoint ru-police=host:1",
            "mufakat keys rotate signing",
            "mufakat parcel export --to ru-police -o f",
            "mufakat completions bash",
            "mufakat policy show tlp-named",
            "mufakat policy check a.cedar b.cedar",
            "mufakat policy explain 0011223344 --as analyst --as auditor --action forward --to vn-navy",
            "mufakat policy test cases.toml --with a.cedar",
            "mufakat policy propose nights a.cedar --tests cases.toml",
            "mufakat policy propose nights --end",
            "mufakat officer invite d3-night --name N --role analyst --role auditor --clearance amber --valid 2h",
            "mufakat officer list",
            "mufakat officer change d3-night --suspend",
            "mufakat officer revoke d3-night --reason left",
            "mufakat match ask --to ru-police,th-police --purpose p --case c --basis b passport:VNM:C1234567 imo:9074729",
            "mufakat match ask --to ru --purpose p --case c --basis b --name An --born 1980 --watch 30d --wait 20s",
            "mufakat match ask --to ru --purpose p --case c --basis b --file - --watch 2027-01-31",
            "mufakat match request 0011223344 --question 0011223344 --item 0",
            "mufakat match watch end 0011223344",
            "mufakat match list import a.csv --format csv --category stolen --tlp AMBER --report r.csv --force",
            "mufakat match list remove name:An:1980",
            "mufakat match list entry 16777215",
            "mufakat match budget set ru-police --limit 1 --days 366",
            "mufakat match asked --partner ru-police --state refused --limit 5",
            "mufakat match audit disclose 0011223344 --order o",
            "mufakat --node https://desk.example token create --label feed --scope share_records --valid 90d",
            "mufakat token create --officer feed --label feed --valid 90d --node http://localhost:1",
            "mufakat session end d3-night --reason away",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
        for line in [
            "mufakat",
            "mufakat share --to ru-police --tlp purple",
            "mufakat share --to RU",
            "mufakat share --to ru-police --code H9",
            "mufakat share --to ru-police --expires soon",
            "mufakat share --to ru-police --expires 0s",
            "mufakat share --to ru-police --expires -3d",
            "mufakat share --to ru-police --review -3d",
            "mufakat share --to ru-police --eyes ru-police",
            "mufakat template letter",
            "mufakat identifier ship 9074729",
            "mufakat share --to ru-police --batch x",
            "mufakat share --to ru-police --ndjson --attach a",
            "mufakat share --to ru-police --ndjson --title t",
            "mufakat share",
            "mufakat join",
            "mufakat join abc --file f",
            "mufakat join abc --timeout 5s",
            "mufakat policy explain 0011223344",
            "mufakat policy explain 0011223344 --as king",
            "mufakat policy propose nights",
            "mufakat policy propose nights a.cedar --end",
            "mufakat track --wait",
            "mufakat track 0011223344 --timeout 5s",
            "mufakat register approve",
            "mufakat register approve 0011 --founding f",
            "mufakat register found --community c --threshold 2 --forum nonsense -o f",
            "mufakat inbox --limit 501",
            "mufakat inbox --limit 0",
            "mufakat keys rotate identity",
            "mufakat retract 00",
            "mufakat officer invite D3",
            "mufakat officer invite d3-night --role king",
            "mufakat officer change d3-night --suspend --resume",
            "mufakat officer revoke d3-night",
            "mufakat token create --label feed",
            "mufakat match ask --to ru --purpose p --case c imo:9074729",
            "mufakat match ask --to ru --purpose p --case c --basis b 9074729",
            "mufakat match ask --to ru --purpose p --case c --basis b --name An",
            "mufakat match ask --to ru --purpose p --case c --basis b name:An",
            "mufakat match list import a.csv --category king",
            "mufakat match list import a.csv --force",
            "mufakat match list entry 16777216",
            "mufakat match budget set ru-police --limit 0",
            "mufakat match budget set ru-police --days 367",
            "mufakat match audit disclose 0011223344",
            "mufakat --node nowhere status",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
