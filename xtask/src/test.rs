//! `cargo xtask test`: every check of the project, in order, one progress line each.
//!
//! To add a part, write its function and add one line to [`PARTS`]. A part that lacks a tool fails; none is skipped.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::PossibleValuesParser;

use crate::nodes::{self, Progress, What};
use crate::step::{Log, Step, TAIL_LINES, seconds, tail};
use crate::{Run, api, console, demo, fuzz, guide, oidc, sim, tidy, tools, verifier, web};

/// Run every check; stops at the first failure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this part (may be repeated); the order stays that of the table.
    #[arg(long, value_name = "PART", value_parser = PossibleValuesParser::new(PARTS.iter().map(|part| part.name)))]
    only: Vec<String>,
    /// Go on with the next part after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Name the parts and what each proves, and run nothing.
    #[arg(long)]
    list: bool,
}

/// One check. Its function writes to the log and returns a note for the progress line, which may be empty.
struct Part {
    name: &'static str,
    proves: &'static str,
    run: fn(&Path, &mut Log) -> anyhow::Result<String>,
}

/// The parts, quick ones first.
const PARTS: &[Part] = &[
    Part { name: "fmt", proves: "the code is formatted as rustfmt.toml says", run: fmt },
    Part { name: "tidy", proves: "files, crates and documents keep the rules of the house", run: tidy_part },
    // Before what compiles the node, which takes the pages in.
    Part { name: "web", proves: "the console's calls fit the API, and its pages build", run: web::part },
    Part { name: "clippy", proves: "the code of every target compiles without a warning", run: clippy },
    Part { name: "unit", proves: "the tests of every crate hold", run: unit },
    Part { name: "docs", proves: "the API documentation builds without a warning", run: docs },
    Part {
        name: "vectors",
        proves: "a verifier in a second language agrees on every published vector",
        run: verifier::part,
    },
    Part { name: "guide", proves: "the examples of the documents work as they stand", run: guide::part },
    Part { name: "sim", proves: "the invariants hold over 500 seeds of loss, crashes, skew and liars", run: sim::part },
    Part { name: "demo", proves: "five agencies do what this is for, and every step of it holds", run: demo::check },
    Part {
        name: "oidc",
        proves: "an officer signs in by a real identity provider, and nobody else does",
        run: oidc::part,
    },
    Part {
        name: "api",
        proves: "Schemathesis over the OpenAPI document finds no 500 and no contract break",
        run: api::part,
    },
    Part {
        name: "console",
        proves: "officers enrol, ask, watch and see at the console, in a real browser against real nodes",
        run: console::part,
    },
    Part { name: "fuzz", proves: "no parser of a stranger's bytes breaks within a few seconds", run: fuzz::part },
    Part {
        name: "kills",
        proves: "30 SIGKILLs under load lose and double nothing, and 50 during deletions leave nothing by halves",
        run: kills,
    },
];

impl Run for Args {
    fn run(self) -> anyhow::Result<ExitCode> {
        let chosen = chosen(PARTS, &self.only);
        if self.list {
            for part in chosen {
                println!("{:<8} {}", part.name, part.proves);
            }
            return Ok(ExitCode::SUCCESS);
        }
        let report = run_parts(&tools::root(), &chosen, self.keep_going)?;
        print!("{}", report.text());
        Ok(if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn chosen<'a>(parts: &'a [Part], only: &[String]) -> Vec<&'a Part> {
    parts.iter().filter(|part| only.is_empty() || only.iter().any(|name| name == part.name)).collect()
}

/// How one part ended; a part that an earlier failure kept from running has no time.
struct Row {
    name: &'static str,
    result: &'static str,
    elapsed: Option<Duration>,
    note: String,
}

struct Report {
    rows: Vec<Row>,
}

const PASSED: &str = "ok";
const FAILED: &str = "FAILED";
const NOT_RUN: &str = "not run";

fn run_parts(root: &Path, parts: &[&Part], keep_going: bool) -> anyhow::Result<Report> {
    let mut rows: Vec<Row> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if !keep_going && rows.iter().any(|row| row.result == FAILED) {
            rows.push(Row { name: part.name, result: NOT_RUN, elapsed: None, note: String::new() });
            continue;
        }
        let mut log = Log::create(root, part.name)?;
        let step = Step::start(index + 1, parts.len(), part.name);
        let (result, note) = match (part.run)(root, &mut log) {
            Ok(note) => (PASSED, note),
            Err(error) => (FAILED, format!("{error:#}")),
        };
        let elapsed = step.finish(result, &note);
        if result == FAILED {
            println!("{}", tail(&log.text()?, TAIL_LINES));
            println!("The whole output is in {}", log.path().strip_prefix(root).unwrap_or(log.path()).display());
        }
        rows.push(Row { name: part.name, result, elapsed: Some(elapsed), note });
    }
    Ok(Report { rows })
}

impl Report {
    fn count(&self, result: &str) -> usize {
        self.rows.iter().filter(|row| row.result == result).count()
    }

    fn failed(&self) -> usize {
        self.count(FAILED)
    }

    /// The table, and the closing line that other programs read.
    fn text(&self) -> String {
        let mut text = String::from("\n");
        for row in &self.rows {
            let elapsed = row.elapsed.map(seconds).unwrap_or_default();
            let line = format!("{:<8} {:<8} {elapsed:>9}  {}", row.name, row.result, row.note);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push_str(&format!("{} passed, {} failed\n", self.count(PASSED), self.failed()));
        text
    }
}

fn fmt(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    tools::need_component(root, "fmt")?;
    log.run(tools::cargo(root).args(["fmt", "--all", "--check", "--", "--color", "never"]))?;
    Ok(String::new())
}

fn clippy(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    tools::need_component(root, "clippy")?;
    log.run(tools::cargo(root).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    Ok(String::new())
}

fn tidy_part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    let report = tidy::check(root, log)?;
    for finding in &report.findings {
        log.line(finding)?;
    }
    if !report.findings.is_empty() {
        bail!("findings: {}", report.findings.len());
    }
    Ok(format!("{} files", report.files))
}

fn unit(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    log.run(tools::cargo(root).args(["test", "--workspace"]))?;
    let ran = tests_run(&log.text()?).context("cannot read the test results")?;
    if ran == 0 {
        bail!("no test ran");
    }
    Ok(format!("{ran} tests"))
}

fn docs(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    log.run(tools::cargo(root).args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(String::new())
}

fn kills(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    let trial = nodes::build(root, What::Everything, log, Progress::hidden())?;
    let load = killed(&trial, log, "load", 30)?;
    let deletions = killed(&trial, log, "deletions", 50)?;
    // Each record that is there to be deleted is deleted once, and those that its holder deletes are receipted.
    let count = |name: &str| deletions[name].as_u64().unwrap_or_default();
    let few = count("under_way_at_a_kill") < 50 || count("deletions") < 50 || count("receipts") == 0;
    if few || load["received"] != load["records"] || load["receipts"] != load["records"] {
        bail!("the trials ended with {load} and {deletions}");
    }
    Ok(format!(
        "{} kills, {} records; {} kills, {} deletions",
        load["kills"], load["records"], deletions["kills"], deletions["deletions"]
    ))
}

/// Kills nodes so many times, and gives the trial's last word.
fn killed(trial: &Path, log: &mut Log, during: &str, times: u64) -> anyhow::Result<serde_json::Value> {
    let number = times.to_string();
    log.run(Command::new(trial).args(["kills", "--during", during, "--times", &number, "--json"]))?;
    let told = log.text()?;
    let last = told.lines().rev().find(|line| line.starts_with('{')).context("the trial says nothing")?;
    let told: serde_json::Value = serde_json::from_str(last).context("the trial's last word is not JSON")?;
    if told["ok"] != true || told["during"] != during || told["kills"] != times {
        bail!("the trial ended with {told}");
    }
    Ok(told)
}

/// How many tests ran, from the `test result: ok. 3 passed; 0 failed; …` line that each test binary ends with.
fn tests_run(output: &str) -> anyhow::Result<u64> {
    let mut ran = 0;
    for line in output.lines().filter(|line| line.starts_with("test result:")) {
        for wanted in [" passed", " failed"] {
            let before = line.split(wanted).next().filter(|before| before.len() < line.len());
            let number = before.and_then(|before| before.rsplit(' ').next()).and_then(|word| word.parse::<u64>().ok());
            ran += number.with_context(|| format!("no number of tests in: {line}"))?;
        }
    }
    Ok(ran)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Part = Part { name: "good", proves: "", run: |_, _| Ok("3 things".to_owned()) };
    const BAD: Part = Part { name: "bad", proves: "", run: |_, log| log.line("why").and_then(|()| bail!("broken")) };

    fn closing(parts: &[&Part], keep_going: bool) -> (String, usize) {
        let root = tools::scratch(&format!("test-{}-{keep_going}", parts.len()));
        let report = run_parts(&root, parts, keep_going).unwrap();
        std::fs::remove_dir_all(root).unwrap();
        (report.text().lines().last().unwrap().to_owned(), report.count(NOT_RUN))
    }

    #[test]
    fn a_failure_stops_the_run_unless_told_to_go_on() {
        assert_eq!(closing(&[&GOOD], false), ("1 passed, 0 failed".to_owned(), 0));
        assert_eq!(closing(&[&GOOD, &BAD, &GOOD], false), ("1 passed, 1 failed".to_owned(), 1));
        assert_eq!(closing(&[&GOOD, &BAD, &GOOD], true), ("2 passed, 1 failed".to_owned(), 0));
    }

    #[test]
    fn only_the_parts_asked_for_run_in_the_order_of_the_table() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            chosen(PARTS, &only).iter().map(|part| part.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&["unit", "fmt", "fmt"]), ["fmt", "unit"]);
        assert_eq!(names(&[]).len(), PARTS.len());
    }

    #[test]
    fn part_names_are_unique() {
        let names: std::collections::BTreeSet<_> = PARTS.iter().map(|part| part.name).collect();
        assert_eq!(names.len(), PARTS.len());
    }

    #[test]
    fn tests_are_counted_over_all_binaries() {
        let output = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 4 ignored; 0 measured; 0 filtered out\n\
                      test result: FAILED. 10 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(tests_run(output).unwrap(), 13);
        assert_eq!(tests_run("nothing ran\n").unwrap(), 0);
        assert!(tests_run("test result: ok. some passed; 0 failed\n").is_err());
        assert!(tests_run("test result: unreadable\n").is_err());
    }
}
