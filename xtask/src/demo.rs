//! `cargo xtask demo`: five agencies on this machine do what Mufakat is for, step by step.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::nodes::{self, Progress, What};
use crate::step::{Log, TAIL_LINES, tail};
use crate::{Run, tools};

/// Show the main job with five agencies on this machine, step by step.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Do not stay up at the end; exit with 0 only if every step held.
    #[arg(long)]
    check: bool,
    /// Print one JSON object at the end; the progress goes to standard error.
    #[arg(long)]
    json: bool,
    /// Keep the folder with everything in it.
    #[arg(long)]
    keep: bool,
    /// Build with optimisation, which takes longer.
    #[arg(long)]
    release: bool,
}

impl Run for Args {
    fn run(self) -> anyhow::Result<ExitCode> {
        let root = tools::root();
        let mut log = Log::create(&root, "demo-build")?;
        let trial = nodes::build(&root, What::Both { release: self.release }, &mut log, Progress::shown())?;
        let mut command = command(&root, &trial, &mut log)?;
        let options = [("--check", self.check), ("--json", self.json), ("--keep", self.keep)];
        command.args(options.iter().filter(|(_, given)| *given).map(|(option, _)| option));
        // In place of this program, so that Ctrl-C has one process to end.
        Err(command.exec()).context("cannot start the demonstration")
    }
}

/// The demonstration with the second verifier that it needs.
fn command(root: &Path, trial: &Path, log: &mut Log) -> anyhow::Result<Command> {
    let verifier = root.join("tools/verify-py");
    let python = tools::python_env(root, &verifier.join("requirements.txt"), log)?;
    let mut command = Command::new(trial);
    let options: [(&str, PathBuf); 2] = [("--python", python), ("--verifier", verifier.join("verify.py"))];
    command.arg("demo").args(options.into_iter().flat_map(|(name, path)| [OsString::from(name), path.into()]));
    Ok(command)
}

/// Builds and runs it as a check, and says in short what held.
pub(crate) fn check(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    let trial = nodes::build(root, What::Everything, log, Progress::hidden())?;
    let output = command(root, &trial, log)?.args(["--check", "--json"]).stderr(log.file()?).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    log.line(&said)?;
    if !output.status.success() {
        bail!("the demonstration ended with {}\n{}", output.status, tail(&log.text()?, TAIL_LINES));
    }
    summary(&serde_json::from_str(&said).context("the demonstration's report is not JSON")?)
}

/// How many steps and checks held; anything else than all of them is an error.
fn summary(report: &Value) -> anyhow::Result<String> {
    let steps = report["steps"].as_array().context("the report has no steps")?;
    let checks = steps.iter().flat_map(|step| step["checks"].as_array().into_iter().flatten());
    let (mut all, mut held) = (0, 0);
    for check in checks {
        all += 1;
        held += usize::from(check["held"] == true);
    }
    if report["held"] != true || all == 0 || held < all {
        bail!("{held} of {all} checks held");
    }
    Ok(format!("{} steps, {all} checks", steps.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_report_in_which_everything_held_is_good() {
        let report = |held: bool, checks: &[bool]| {
            let checks: Vec<Value> = checks.iter().map(|held| json!({ "held": held })).collect();
            summary(&json!({ "held": held, "steps": [{ "checks": checks }, { "checks": [] }] }))
        };
        assert_eq!(report(true, &[true, true]).unwrap(), "2 steps, 2 checks");
        for bad in [report(false, &[true]), report(true, &[true, false]), report(true, &[]), summary(&json!({}))] {
            assert!(bad.is_err());
        }
    }
}
