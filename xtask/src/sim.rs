//! `cargo xtask sim`: many nodes in one process, with loss, crashes and liars, from one seed after the other.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::nodes::{self, Progress, What};
use crate::step::Log;
use crate::{Run, tools};

/// The simulator's program.
const SIM: &str = "mufakat-sim";
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
        let mut command = tools::cargo(&root);
        command.args(["run", "--quiet", "-p", "mufakat-sim", "--bin", SIM, "--"]);
        let status = seeds(&mut command, self.seeds, self.from).status().context("cannot start the simulator")?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn seeds(command: &mut Command, seeds: u64, from: u64) -> &mut Command {
    command.args(["--seeds", &seeds.to_string(), "--from", &from.to_string()])
}

/// Runs the seeds of the test command, and says in short what they did.
pub(crate) fn part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    let trial = nodes::build(root, What::Everything, log, Progress::hidden())?;
    log.run(seeds(&mut Command::new(trial.with_file_name(SIM)), SEEDS, 0))?;
    let text = log.text()?;
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).context("the simulator says nothing")?;
    anyhow::ensure!(last.contains(&SEEDS.to_string()), "not all seeds ran: {last}");
    Ok(last.trim().to_owned())
}
