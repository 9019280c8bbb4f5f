//! `cargo xtask sim`: many nodes in one process, with loss, crashes and liars, from one seed after the other.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::step::Log;
use crate::{Run, tools};

/// How many seeds run within `cargo xtask test`.
const SEEDS: u64 = 500;

/// Run the simulator; a seed that breaks an invariant is printed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds.
    #[arg(long)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

impl Run for Args {
    fn run(self) -> anyhow::Result<ExitCode> {
        let root = tools::root();
        let status = command(&root, self.seeds, self.from).status().context("cannot start the simulator")?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn command(root: &Path, seeds: u64, from: u64) -> std::process::Command {
    let mut command = tools::cargo(root);
    command.args(["run", "--quiet", "-p", "mufakat-sim", "--bin", "mufakat-sim", "--"]);
    command.args(["--seeds", &seeds.to_string(), "--from", &from.to_string()]);
    command
}

/// Runs the seeds of the test command, and says in short what they did.
pub(crate) fn part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    log.run(&mut command(root, SEEDS, 0))?;
    let text = log.text()?;
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).context("the simulator says nothing")?;
    anyhow::ensure!(last.contains(&SEEDS.to_string()), "not all seeds ran: {last}");
    Ok(last.trim().to_owned())
}
