//! The API against its own description: two real nodes with something of everything, and Schemathesis, which knows nothing but the
//! OpenAPI document, at the desk of one of them.
//!
//! Whatever it sends, no answer is a 500, and each has a status, a type, and a content that the document names. What the document
//! does not allow is refused; who shows no credentials, or wrong ones, is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use http::{Request, header};
use mufakat_node::net::web::{self, Web};
use mufakat_record::Role;
use serde_json::{Value, json};

use crate::community::{self, Agency, Community, Node, free_port};

/// The operations that are not asked, and why.
const LEFT_OUT: [(&str, &str); 1] =
    [("back_up", "writes a copy of the whole node to wherever the caller says, once for each call")];
/// What is not checked, and why: that whatever fits the document is accepted. Many rules stand between the members of a request,
/// or between it and what the node holds; they are answered with 422, and no schema can say them.
const NOT_CHECKED: &str = "positive_data_acceptance";
/// Beside those that Schemathesis takes for a refusal by itself: gone, changed meanwhile, too large.
const REFUSALS: &str =
    r#"["400", "401", "403", "404", "405", "406", "409", "410", "412", "413", "415", "422", "428", "5xx"]"#;
/// What the cases are made from; the same in every run.
const SEED: &str = "20261122";
/// How many cases each operation gets in each phase that makes them up.
const EXAMPLES_MAX: &str = "8";
/// How long one request may take, in seconds: the node is built without optimisation, and the machine may be busy.
const REQUEST_S_MAX: &str = "30";
/// How long setting up the content may wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer that is read here, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

const DESK: Agency =
    Agency { id: "vn-police", party: "vn", name: "EXERCISE police", party_name: "EXERCISE Viet Nam", relay: false };
const PARTNER: Agency =
    Agency { id: "ru-police", party: "ru", name: "EXERCISE police", party_name: "EXERCISE Russia", relay: false };
/// Who asks, with every role.
const OFFICER: &str = "d3-night";
/// Another, to whom anything may happen.
const OTHER: &str = "d4-day";
/// Options of the trial.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// The Python in which Schemathesis is installed
    #[arg(long)]
    python: PathBuf,
    /// What is added to it
    #[arg(long)]
    hooks: PathBuf,
}

/// Runs the trial; an error is a step that did not hold.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stage = Stage::start(folder.path())?;
    let document = runtime.block_on(stage.get("/api/v1/openapi.json"))?;
    let described = operations(&document);
    ensure!(described > 50, "the document describes {described} operations");
    let report = stage.ask_everything(args, &document)?;
    let held = judge(&report, described);
    // Whoever revoked the token of the trial, or ended the node, made every later answer worthless.
    let me = runtime.block_on(stage.get("/api/v1/session")).context("the token no longer holds at the end")?;
    ensure!(me["officer"] == OFFICER, "at the end the token is another's: {me}");
    println!("{}", held?);
    Ok(ExitCode::SUCCESS)
}

/// How many operations a document describes.
fn operations(document: &Value) -> usize {
    let items = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    items.filter_map(Value::as_object).flat_map(|item| item.values()).filter(|o| o["operationId"].is_string()).count()
}

/// Whether everything was asked and nothing was found; what to say of it.
fn judge(report: &Value, described: usize) -> Result<String> {
    let count = |value: &Value| value.as_u64().unwrap_or_default() as usize;
    let (asked, cases) = (count(&report["operations"]["tested"]), count(&report["test_cases"]["generated"]));
    let empty = |name: &str| report[name].as_array().is_some_and(Vec::is_empty);
    ensure!(report["complete"] == true, "the run is not complete: {}", report["stop_reason"]);
    ensure!(empty("failures"), "findings: {}", report["failures"]);
    ensure!(empty("errors"), "errors: {}", report["errors"]);
    ensure!(asked == described - LEFT_OUT.len(), "{asked} operations were asked of {described}");
    for phase in ["examples", "coverage", "fuzzing", "stateful"] {
        ensure!(report["phases"][phase]["status"] == "success", "{phase}: {}", report["phases"][phase]);
    }
    // Of each operation at least a request that fits and one that does not.
    ensure!(cases > 10 * asked, "only {cases} requests");
    Ok(format!("{asked} of {described} operations, {cases} requests"))
}

/// The nodes, and what is known to be there.
struct Stage {
    community: Community,
    desk: String,
    origin: String,
    token: String,
    known: Vec<Known>,
}

/// Real values of a parameter.
struct Known {
    /// The paths of the operations, as a regular expression; of all, when there is none.
    paths: Option<&'static str>,
    /// Its place and its name.
    parameter: &'static str,
    values: Value,
}

impl Stage {
    fn start(root: &Path) -> Result<Self> {
        let binary = community::binary()?;
        let port = free_port()?;
        let origin = format!("http://localhost:{port}");
        let mut desk = Node::init(&binary, root, DESK, None)?;
        for (name, value) in [
            ("MUFAKAT_DESK__LISTEN", format!("127.0.0.1:{port}")),
            ("MUFAKAT_DESK__ORIGIN", origin.clone()),
            // What an officer may ask in a second is not what this is about.
            ("MUFAKAT_LIMITS__OFFICER_REQUESTS_PER_S", "100000".to_owned()),
            ("MUFAKAT_LIMITS__OFFICER_BURST", "100000".to_owned()),
        ] {
            desk.set(name, &value);
        }
        desk.start()?;
        let mut partner = Node::init(&binary, root, PARTNER, None)?;
        partner.start()?;
        let community = Community { nodes: vec![desk, partner], root: root.to_owned() };
        community.found(&community.nodes.iter().collect::<Vec<_>>(), 60)?;
        let desk = format!("http://127.0.0.1:{port}");
        let mut stage = Self { community, desk, origin, token: String::new(), known: Vec::new() };
        stage.fill()?;
        Ok(stage)
    }

    /// Puts something of everything there.
    fn fill(&mut self) -> Result<()> {
        let (desk, partner) = (self.community.node(DESK.id), self.community.node(PARTNER.id));
        let file = |name: &str, content: &str| -> Result<String> {
            let path = self.community.root.join(name);
            fs::write(&path, content)?;
            Ok(path.display().to_string())
        };
        let report = file("report.txt", "EXERCISE report\nEXERCISE: IMO 9074729 was boarded\n")?;
        let attached = file("attached.txt", "EXERCISE attachment\n")?;
        let request = file("request.json", &request().to_string())?;
        let id = |answer: &Value| Ok::<_, anyhow::Error>(answer.as_str().context("no id")?.to_owned());
        let record = |node: &Node, arguments: &[&str]| id(&node.cli(arguments)?["records"][0]["id"]);

        let mut grant = vec!["officer", "invite", OFFICER, "--name", "EXERCISE", "--clearance", "RED"];
        grant.extend(Role::ALL.iter().flat_map(|(_, role)| ["--role", role]));
        desk.cli(&grant)?;
        let name = ["--name", "EXERCISE", "--clearance", "AMBER", "--role", "analyst"];
        desk.cli(&[&["officer", "invite", OTHER][..], &name].concat())?;
        let token = |officer| {
            desk.cli(&["token", "create", "--officer", officer, "--label", "EXERCISE trial", "--valid", "1d"])
        };
        self.token = id(&token(OFFICER)?["token"])?;
        let other = id(&token(OTHER)?["id"])?;

        let attaching = ["--attach", attached.as_str(), report.as_str()];
        let theirs = [
            record(partner, &[&["share", "--to", DESK.id][..], &attaching].concat())?,
            record(partner, &["share", "--to", DESK.id, &report])?,
        ];
        let asked = record(partner, &["request", "ask", "--to", DESK.id, &request])?;
        for arrives in theirs.iter().chain([&asked]) {
            desk.wait("the record", &["show", arrives], |shown| shown["id"] == json!(arrives))?;
        }
        partner.cli(&["retract", &theirs[1], "--reason", "EXERCISE"])?;
        let own = record(desk, &[&["share", "--to", PARTNER.id][..], &attaching].concat())?;
        let asking = record(desk, &["request", "ask", "--to", PARTNER.id, &request])?;
        let mut drafts = Vec::new();
        for _ in 0..4 {
            drafts.push(id(&desk.cli(&["draft", "new", "--to", PARTNER.id, "--tlp", "RED", &report])?["id"])?);
        }
        desk.cli(&["draft", "submit", &drafts[0]])?;
        desk.cli(&["draft", "submit", &drafts[1]])?;
        let hold = id(&desk.cli(&["hold", "place", &theirs[0], "--reason", "EXERCISE"])?["id"])?;
        let attachment = |of: &str| id(&desk.cli(&["show", of])?["references"][0]["record"]);
        let records = json!([theirs[0], theirs[1], own, attachment(&theirs[0])?, attachment(&own)?, asked]);

        let views = json!(["inbox", "track", "drafts", "requests", "uses", "sign-ins", "alarms"]);
        let known = |paths, parameter, values| Known { paths, parameter, values };
        self.known = vec![
            known(Some("/records/.id"), "path.id", records.clone()),
            known(Some("/drafts/"), "path.id", json!(drafts)),
            known(Some("/holds/"), "path.id", json!([hold])),
            known(Some("/requests/"), "path.id", json!([asked, asking])),
            known(None, "body.records[*]", records.clone()),
            known(None, "body.record", records),
            known(None, "path.leaf", json!([1, 2, 3, 5, 8, 13, 21])),
            known(None, "path.view", views.clone()),
            known(None, "query.view", views),
            // Whatever happens to somebody happens to another than the one who asks.
            known(None, "path.officer", json!([OTHER])),
            known(None, "path.credential", json!([other])),
            known(None, "path.token", json!([other])),
            known(None, "body.to[*]", json!([PARTNER.id])),
        ];
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let request = Request::get(format!("{}{path}", self.desk));
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token)).body(Vec::new())?;
        let response = web::call(&Web::plain(), request, PATIENCE, ANSWER_BYTES_MAX).await?;
        ensure!(response.status() == 200, "{path}: {}", response.status());
        Ok(serde_json::from_slice(response.body())?)
    }

    /// Lets Schemathesis ask; gives its report.
    fn ask_everything(&self, args: &Args, document: &Value) -> Result<Value> {
        let folder = self.community.root.join("schemathesis");
        fs::create_dir(&folder)?;
        fs::write(folder.join("openapi.json"), document.to_string())?;
        fs::write(folder.join("schemathesis.toml"), self.settings())?;
        fs::copy(&args.hooks, folder.join("hooks.py"))?;
        let mut command = Command::new(&args.python);
        command.current_dir(&folder).env("PYTHONPATH", &folder).env("MUFAKAT_TOKEN", &self.token);
        command.args(["-m", "schemathesis.cli", "run", "openapi.json", "--url", &self.desk, "--no-color"]);
        command.args(["--checks", "all", "--exclude-checks", NOT_CHECKED, "--seed", SEED, "--workers", "1"]);
        command.args(["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", EXAMPLES_MAX]);
        command.args(["--generation-database", "none", "--request-timeout", REQUEST_S_MAX]);
        command.args(["--suppress-health-check", "all", "--report", "json", "--report-json-path", "report.json"]);
        for (operation, _) in LEFT_OUT {
            command.args(["--exclude-operation-id", operation]);
        }
        let mut child = community::spawn(&mut command)?;
        let status = child.wait();
        community::finish(&mut child)?;
        let report = fs::read(folder.join("report.json"));
        let report = report.with_context(|| format!("Schemathesis ended with {status:?} and says nothing"))?;
        Ok(serde_json::from_slice(&report)?)
    }

    /// The settings of Schemathesis that are not options.
    fn settings(&self) -> String {
        let mut text = String::from("hooks = \"hooks.py\"\nmax-stream-events = 3\n");
        text.push_str("[cache]\nenabled = false\n[auth.openapi.token]\nbearer = \"${MUFAKAT_TOKEN}\"\n");
        text.push_str(&format!("[checks.negative_data_rejection]\nexpected-statuses = {REFUSALS}\n"));
        text.push_str(&format!("[headers]\nOrigin = \"{}\"\n", self.origin));
        for (number, known) in self.known.iter().enumerate() {
            text.push_str(&format!("[dictionaries.known{number}]\nvalues = {}\n", known.values));
        }
        let binding = |number: usize| {
            let parameter = self.known[number].parameter;
            format!("\"{parameter}\" = {{ dictionary = \"known{number}\", probability = 0.8 }}\n")
        };
        let (all, some): (Vec<_>, Vec<_>) = (0..self.known.len()).partition(|n| self.known[*n].paths.is_none());
        text.push_str("[parameters]\n");
        text.extend(all.into_iter().map(binding));
        for number in some {
            let paths = self.known[number].paths.unwrap_or_default();
            text.push_str(&format!("[[operations]]\ninclude-path-regex = \"{paths}\"\n[operations.parameters]\n"));
            text.push_str(&binding(number));
        }
        text
    }
}

fn request() -> Value {
    json!({
        "title": "EXERCISE: whose number", "text": "EXERCISE: who holds the number +62 21 5500 0000",
        "offence": "EXERCISE: armed robbery at sea", "purpose": "EXERCISE: to find the crew",
        "link": "EXERCISE: the number called the vessel", "necessity": "EXERCISE: there is no other source",
        "holding": "EXERCISE: it is on a registry there", "language": "en", "legal_basis": "EXERCISE: treaty",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Value {
        let phase = json!({ "status": "success" });
        json!({
            "complete": true, "stop_reason": "completed", "failures": [], "errors": [],
            "operations": { "tested": 9 }, "test_cases": { "generated": 900 },
            "phases": { "examples": phase, "coverage": phase, "fuzzing": phase, "stateful": phase },
        })
    }

    #[test]
    fn whatever_is_found_or_left_out_fails() {
        assert_eq!(judge(&report(), 10).unwrap(), "9 of 10 operations, 900 requests");
        assert!(judge(&report(), 11).is_err(), "an operation that nobody named was left out");
        for (at, value) in [
            ("/complete", json!(false)),
            ("/failures", json!([{ "check": "EXERCISE" }])),
            ("/failures", Value::Null),
            ("/errors", json!([{ "title": "EXERCISE" }])),
            ("/operations/tested", json!(8)),
            ("/test_cases/generated", json!(9)),
            ("/phases/fuzzing/status", json!("skip")),
        ] {
            let mut changed = report();
            *changed.pointer_mut(at).unwrap() = value;
            assert!(judge(&changed, 10).is_err(), "{at}");
        }
    }

    #[test]
    fn operations_are_counted() {
        let document = json!({ "paths": { "/a": { "get": { "operationId": "a" }, "summary": "x" }, "/b": { "put": {
            "operationId": "b" } } } });
        assert_eq!(operations(&document), 2);
    }
}
