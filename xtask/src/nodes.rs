//! Builds the command line and the trials with real nodes, with progress that fits on one line.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::step::{Log, TAIL_LINES, seconds, tail};
use crate::tools;

/// The program with the trials. It expects the command line beside itself.
const TRIAL: &str = "mufakat-trial";
/// How often progress is told where there is no terminal.
const TOLD_INTERVAL: Duration = Duration::from_secs(30);

/// What is built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// Both, for whoever tries them or measures.
    Both { release: bool },
    /// Every program with every test. The features of dependencies are then those with which the unit tests were built; with fewer
    /// packages they are others, and some hundred crates would be built once more.
    Everything,
}

/// Builds, and gives the path of the trials; other programs stand beside it. What the compiler says goes to the log, and from there
/// to the error.
pub(crate) fn build(root: &Path, what: What, log: &mut Log, mut progress: Progress) -> anyhow::Result<PathBuf> {
    let mut command = tools::cargo(root);
    command.args(["build", "--message-format", "json-render-diagnostics"]);
    match what {
        What::Both { release } => {
            command.args(["-p", "mufakat-cli", "-p", TRIAL]).args(release.then_some("--release"));
        }
        What::Everything => {
            command.args(["--workspace", "--bins", "--tests"]);
        }
    }
    let errors = log.file()?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn()?;
    let messages = child.stdout.take().context("cargo has no output")?;
    let mut trial = None;
    for line in BufReader::new(messages).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        if message["reason"] == "compiler-artifact" {
            progress.step();
            if message["target"]["name"] == TRIAL && message["profile"]["test"] == false {
                trial = message["executable"].as_str().map(PathBuf::from).or(trial);
            }
        }
    }
    let status = child.wait()?;
    progress.finish();
    if !status.success() {
        bail!("the build ended with {status}\n{}", tail(&log.text()?, TAIL_LINES));
    }
    trial.with_context(|| format!("cargo did not say where {TRIAL} is"))
}

/// How far a build is, on standard error.
pub(crate) struct Progress {
    shown: bool,
    built: usize,
    began: Instant,
    told_at: Instant,
}

impl Progress {
    /// Progress for whoever watches.
    pub(crate) fn shown() -> Self {
        eprintln!("building (some minutes the first time)");
        Self { shown: true, ..Self::hidden() }
    }

    /// No progress.
    pub(crate) fn hidden() -> Self {
        let now = Instant::now();
        Self { shown: false, built: 0, began: now, told_at: now }
    }

    fn step(&mut self) {
        self.built += 1;
        if !self.shown {
        } else if std::io::stderr().is_terminal() {
            eprint!("\r{}", self.text());
            // A terminal that cannot be flushed loses a progress line; that is no reason to stop the work.
            let _ = std::io::stderr().flush();
        } else if self.told_at.elapsed() >= TOLD_INTERVAL {
            self.told_at = Instant::now();
            eprintln!("{}", self.text());
        }
    }

    fn text(&self) -> String {
        format!("built: {} units, {}", self.built, seconds(self.began.elapsed()))
    }

    fn finish(&self) {
        if self.shown {
            let begin = if std::io::stderr().is_terminal() { "\r" } else { "" };
            eprintln!("{begin}{}", self.text());
        }
    }
}
