//! The demonstration: five agencies of five parties, each a process of its own with its own folder, and steps that say
//! what they prove. Every invented text begins with EXERCISE.

mod blind;
mod breaks;
mod comply;
mod crash;
mod eyes;
mod found;
mod incidents;
mod marker;
mod matching;
mod proof;
mod relay;
mod remove;
mod report;
mod requests;
mod share;
mod uses;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use mufakat_store::{Queries, Reader};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use self::marker::{Found, Marker};
use self::report::Report;
use crate::community::{self, Community, Node, binary, interrupt};
use crate::tap::Tap;

const VN: &str = "vn-police";
const RU: &str = "ru-police";
const ID: &str = "id-coastguard";
const SG: &str = "sg-fusion";
const HUB: &str = "asean-secretariat";

/// The most rows that one call of `inbox` gives.
const ROWS_MAX: usize = 500;

/// How to run the demonstration.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not stay up at the end; exit with 0 only if every step held
    #[arg(long)]
    check: bool,
    /// Print one JSON object at the end; the progress goes to standard error
    #[arg(long)]
    json: bool,
    /// Keep the folder with everything in it
    #[arg(long)]
    keep: bool,
    /// The Python that runs the second verifier
    #[arg(long, value_name = "FILE")]
    python: PathBuf,
    /// The second verifier
    #[arg(long, value_name = "FILE")]
    verifier: PathBuf,
}

/// What the steps work on, and what they hand on to later ones.
struct Demo {
    report: Report,
    community: Community,
    runtime: Runtime,
    /// Where files of the people go that play the agencies.
    desk: PathBuf,
    binary: PathBuf,
    python: PathBuf,
    verifier: PathBuf,
    tap: Tap,
    marker: Marker,
    /// What was found of the mark at the hub while it held the parcels with it.
    at_hub: Found,
    /// The record with the mark.
    secret: String,
    /// The record that was retracted.
    retracted: String,
}

type Action = fn(&mut Demo) -> Result<()>;

/// The steps: their names, what they prove, and what they do.
const STEPS: [(&str, &str, Action); 12] = [
    ("register", "two parties found the register, three join by invitation, k of n sign each version", found::run),
    ("share", "real incidents go to every agency", share::run),
    (
        "requests",
        "requests run against one clock on both sides: answered in time, refused in part, overdue and escalated",
        requests::run,
    ),
    ("relay", "a STIX bundle for one agency that is down waits at the hub, and its sender need not be up", relay::run),
    ("blind hub", "nothing of that report is on the hub's disk or on any wire", blind::run),
    ("take back", "a record is retracted; an agency is removed, and nothing reaches it or comes from it", remove::run),
    ("crash", "sender and recipient are killed in mid-transfer: nothing lost, nothing twice", crash::run),
    ("evidence", "anyone can check, offline; whatever is changed is found by two verifiers", proof::run),
    (
        "use log",
        "a draft is previewed and released; its originator learns how it is used; the desk as it was",
        uses::run,
    ),
    (
        "compliance",
        "a report that was passed on is taken back to the third hand; each holder says what it did and when",
        comply::run,
    ),
    (
        "one's eyes",
        "a record for the eyes of one officer is nowhere in what all others can ask, see or read",
        eyes::run,
    ),
    (
        "matching",
        "three agencies are asked about a passport and a name: one hit, and nobody is shown anything; a budget ends an enumeration",
        matching::run,
    ),
];

/// Runs the demonstration.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("mufakat-demo-").tempdir()?;
    let root = folder.path().to_owned();
    let desk = root.join("desk");
    fs::create_dir(&desk)?;
    let runtime = Runtime::new()?;
    let interrupted = runtime.spawn(async {
        end_asked().await;
        interrupt();
    });
    let mut demo = Demo {
        report: Report::new(args.json),
        community: Community { nodes: Vec::new(), root: root.clone() },
        runtime,
        desk,
        binary: binary()?,
        python: args.python,
        verifier: args.verifier,
        tap: Tap::keeping(),
        marker: Marker::new(),
        at_hub: Found::default(),
        secret: String::new(),
        retracted: String::new(),
    };
    demo.report.say(&format!("EXERCISE. Five agencies of five parties on loopback, in {}", root.display()));
    demo.steps();
    demo.report.say(&demo.report.table());
    if args.json {
        println!("{}", demo.report.to_json());
    }
    let held = demo.report.held();
    let was_interrupted = interrupted.is_finished();
    if !args.check && !was_interrupted {
        demo.stay_up(&root, interrupted)?;
    }
    // Whoever has to find out why something did not hold needs the logs.
    if args.keep || (!held && !was_interrupted) {
        demo.report.say(&format!("Everything is kept in {}", folder.keep().display()));
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns when the person or the system asks this program to end.
async fn end_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without these the system ends the program in its own way.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

impl Demo {
    fn steps(&mut self) {
        for (name, proves, _) in STEPS {
            self.report.plan(name, proves);
        }
        for (_, _, action) in STEPS {
            self.report.begin();
            let result = action(self);
            if !self.report.end(result) {
                break;
            }
        }
    }

    fn stay_up(&mut self, root: &Path, interrupted: tokio::task::JoinHandle<()>) -> Result<()> {
        let up = self.community.nodes.iter().filter(|node| node.process().is_some()).map(|node| node.agency.id);
        let up = up.collect::<Vec<_>>().join(", ");
        self.report.say(&format!("Still up: {up}. Look around in another terminal, for example:"));
        let (command, root) = (self.binary.display(), root.display());
        for (agency, what) in [(RU, "inbox"), (VN, "track"), (HUB, "register log"), (ID, "status")] {
            self.report.say(&format!("  {command} --dir {root}/{agency} {what}"));
        }
        self.report.say(&format!("  curl http://127.0.0.1:{}/metrics", self.node(HUB).ops_port));
        self.report.say("Ctrl-C ends it.");
        self.runtime.block_on(interrupted).context("cannot wait for Ctrl-C")
    }

    fn node(&self, agency: &str) -> &Node {
        self.community.node(agency)
    }

    fn start(&mut self, agency: &str) -> Result<()> {
        self.community.node_mut(agency).start()
    }

    fn stop(&mut self, agency: &str) -> Result<()> {
        self.community.node_mut(agency).stop()
    }

    /// Shares a report, and gives the record's id.
    fn share(&self, from: &str, to: &[&str], title: &str, text: &str, more: &[&str]) -> Result<String> {
        let file = self.file("report.json");
        fs::write(&file, json!({ "title": title, "text": text, "language": "en" }).to_string())?;
        let mut arguments = vec!["share"];
        for agency in to {
            arguments.extend(["--to", agency]);
        }
        arguments.extend(more);
        arguments.push(&file);
        let answer = self.node(from).cli(&arguments)?;
        Ok(answer["records"][0]["id"].as_str().context("share gives no record")?.to_owned())
    }

    /// The path of a file of the people.
    fn file(&self, name: &str) -> String {
        self.desk.join(name).display().to_string()
    }

    /// How many parcels the hub holds for others.
    fn mailbox(&self) -> Result<u64> {
        let state = self.node(HUB).dir.join(mufakat_node::DATABASE);
        Ok(Reader::open_to_read(&state)?.counts()?.mailbox)
    }

    /// Waits until the hub holds so many parcels for others.
    fn wait_mailbox(&self, parcels: u64) -> Result<()> {
        community::until("the hub's mailboxes", || {
            let held = self.mailbox()?;
            anyhow::ensure!(held == parcels, "the hub holds {held} parcels where {parcels} are due");
            Ok(())
        })
    }

    /// How many records of an agency have no receipt yet, at all partners together.
    fn backlog(&self, agency: &str) -> Result<u64> {
        let status = self.node(agency).cli(&["status"])?;
        let partners = status["partners"].as_array().context("no partners")?;
        Ok(partners.iter().filter_map(|partner| partner["backlog"].as_u64()).sum())
    }
}

/// The titles of the reports from an agency in an inbox, as often as they stand there.
fn titles(node: &Node, author: &str) -> Result<Vec<String>> {
    let (author, limit) = (format!("author:{author}"), ROWS_MAX.to_string());
    let (mut titles, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut arguments = vec!["inbox", "--oldest", "--limit", &limit, "--facet", &author, "--facet", "kind:report"];
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let page = node.cli(&arguments)?;
        let rows = page["rows"].as_array().context("no rows")?;
        titles.extend(rows.iter().filter_map(|row| row["body"]["title"].as_str()).map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(titles),
        }
    }
}

/// The recipient's line in what `track` says.
fn recipient<'a>(track: &'a Value, agency: &str) -> &'a Value {
    let recipients = track["recipients"].as_array().map(Vec::as_slice).unwrap_or_default();
    recipients.iter().find(|recipient| recipient["agency"] == agency).unwrap_or(&Value::Null)
}

/// How many recipients are in a state.
fn in_state(track: &Value, state: &str) -> usize {
    track["recipients"].as_array().map_or(0, |list| list.iter().filter(|one| one["state"] == state).count())
}

/// A file of the shared data, which stands beside the repository.
fn data_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name)
}
