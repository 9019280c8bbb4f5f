//! The console in a real browser: two real nodes, one with a desk, and a program that works at the desk as officers do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::community::{self, Agency, Community, Node, free_port};

const DESK: Agency =
    Agency { id: "vn-police", party: "vn", name: "EXERCISE police", party_name: "EXERCISE Viet Nam", relay: false };
const PARTNER: Agency =
    Agency { id: "ru-police", party: "ru", name: "EXERCISE police", party_name: "EXERCISE Russia", relay: false };
/// Who works at the desk, each with a role.
const OFFICERS: [(&str, &str); 4] =
    [("d3-night", "duty-officer"), ("s1-chief", "supervisor"), ("x9-audit", "auditor"), ("x8-office", "secretariat")];
/// For what they may act.
const PURPOSES: [&str; 2] = ["EXERCISE border check", "EXERCISE piracy"];
/// The passport that the partner lists.
const LISTED: &str = "VNM:C1234567";
/// What the partner lists, and what the desk's agency does.
const LISTS: [(&str, &str); 2] = [
    (PARTNER.id, "passport,VNM:C1234567,,stolen\nname,Соколов Дмитрий Петрович,1975,wanted\nimo,9074729,,sanctioned\n"),
    (DESK.id, "phone,+84912345678,,warning\n"),
];
/// How many keys there are in the end: of three subjects from the partner, and of one for it.
const KEYS: usize = 4;

/// Options of the trial.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// The program that works at the desk
    #[arg(long)]
    program: PathBuf,
    /// The browser
    #[arg(long)]
    chromium: PathBuf,
    /// Where pictures of the pages go
    #[arg(long)]
    pictures: PathBuf,
}

/// Runs the trial; an error is a step that did not hold.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::start(folder.path())?;
    let links = OFFICERS.iter().map(|(officer, role)| Ok(((*officer).to_owned(), stage.invite(officer, role)?)));
    let links = links.collect::<Result<serde_json::Map<String, Value>>>()?;
    let told = json!({
        "origin": stage.origin, "chromium": args.chromium, "pictures": args.pictures, "links": links,
        "partner": PARTNER.id, "listed": format!("passport:{LISTED}"),
    });
    let mut browser = community::spawn(Command::new("node").arg(&args.program).arg(told.to_string()))?;
    let status = browser.wait()?;
    community::finish(&mut browser)?;
    ensure!(status.success(), "what was done in the browser ended with {status}");
    stage.see_what_is_left(&links)?;
    Ok(ExitCode::SUCCESS)
}

struct Stage {
    community: Community,
    origin: String,
}

impl Stage {
    /// Two agencies that tell each other of their lists; one has a desk.
    fn start(root: &Path) -> Result<Self> {
        let binary = community::binary()?;
        let port = free_port()?;
        let origin = format!("http://localhost:{port}");
        let mut desk = Node::init(&binary, root, DESK, None)?;
        desk.set("MUFAKAT_DESK__LISTEN", &format!("127.0.0.1:{port}"));
        desk.set("MUFAKAT_DESK__ORIGIN", &origin);
        desk.start()?;
        let mut partner = Node::init(&binary, root, PARTNER, None)?;
        partner.start()?;
        let community = Community { nodes: vec![desk, partner], root: root.to_owned() };
        community.found(&community.nodes.iter().collect::<Vec<_>>(), 60)?;
        for ((lister, lines), (other, limit)) in LISTS.iter().zip([(DESK.id, "20000"), (PARTNER.id, "5000")]) {
            let file = root.join(format!("EXERCISE-{lister}.csv"));
            fs::write(&file, format!("subject,value,birth_year,category\n{lines}"))?;
            let node = community.node(lister);
            node.cli(&["match", "list", "import", &file.display().to_string()])?;
            node.cli(&["match", "budget", "set", other, "--limit", limit])?;
        }
        let told = |health: &Value| {
            let keys = health["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
            keys.iter().filter(|key| key["body"]["filters"].as_array().is_some_and(|all| !all.is_empty())).count()
                == KEYS
        };
        community.node(DESK.id).wait("the filters", &["match", "list", "health"], told)?;
        Ok(Self { community, origin })
    }

    /// The one-time link of a new officer.
    fn invite(&self, officer: &str, role: &str) -> Result<Value> {
        let mut arguments =
            vec!["officer", "invite", officer, "--name", "EXERCISE", "--role", role, "--clearance", "RED"];
        arguments.extend(PURPOSES.iter().flat_map(|purpose| ["--purpose", purpose]));
        let link = self.community.node(DESK.id).cli(&arguments)?["link"].clone();
        let begins = format!("{}/#/enrol/", self.origin);
        ensure!(link.as_str().is_some_and(|link| link.starts_with(&begins)), "no link of the console: {link}");
        Ok(link)
    }

    /// What the nodes know of it in the end: the draft stayed at home, and no secret of a link came to a log.
    fn see_what_is_left(&self, links: &serde_json::Map<String, Value>) -> Result<()> {
        let (desk, partner) = (self.community.node(DESK.id), self.community.node(PARTNER.id));
        let rows = |node: &Node, arguments: &[&str]| -> Result<usize> {
            let answer = node.cli(arguments)?;
            Ok(answer["rows"].as_array().with_context(|| format!("no rows: {answer}"))?.len())
        };
        ensure!(rows(desk, &["draft", "list"])? == 1, "there is not one draft");
        ensure!(rows(partner, &["request", "list"])? == 0, "the partner was told of a hit");
        let asked = partner.cli(&["match", "asked"])?;
        ensure!(!asked.to_string().contains("C1234567"), "the partner learnt what was asked: {asked}");
        let log = fs::read_to_string(desk.log_file())?;
        ensure!(!log.is_empty(), "the node has no log");
        for link in links.values().filter_map(Value::as_str) {
            let secret = link.rsplit('/').next().unwrap_or_default();
            ensure!(secret.starts_with("mfi_") && !log.contains(secret), "a link's secret stands in the log");
        }
        println!("the draft is at home, the partner knows of no hit, and no link's secret is in a log");
        Ok(())
    }
}
