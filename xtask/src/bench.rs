//! `cargo xtask bench`: figures of real nodes, beside the machine's own limits.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::builder::PossibleValuesParser;

use crate::nodes::{self, Progress, What};
use crate::step::Log;
use crate::{Run, tools};

/// The part that is measured beside a library in Python.
const MATCHING: &str = "matching";

/// Measure; builds with optimisation first.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure.
    #[arg(value_parser = PossibleValuesParser::new(["exchange", "desk", MATCHING]))]
    part: String,
    /// One JSON line for each figure.
    #[arg(long)]
    json: bool,
    /// A tenth of the work, under a minute.
    #[arg(long)]
    quick: bool,
    /// Only figures whose name begins so.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

impl Run for Args {
    fn run(self) -> anyhow::Result<ExitCode> {
        let root = tools::root();
        let mut log = Log::create(&root, "bench-build")?;
        let trial = nodes::build(&root, What::Both { release: true }, &mut log, Progress::shown())?;
        let mut command = Command::new(trial);
        command.arg("bench").arg(&self.part);
        if self.part == MATCHING {
            let folder = root.join("tools/openmined-psi");
            let python = tools::python_env_called("psi-venv", &root, &folder.join("requirements.txt"), &mut log);
            match python {
                Ok(python) => command.arg("--psi-python").arg(python),
                // The figure is then missing by name, and the others are measured.
                Err(error) => command.args(["--psi-missing", &format!("{error:#}")]),
            };
            command.arg("--psi-program").arg(folder.join("measure.py"));
        }
        let options = [("--json", self.json), ("--quick", self.quick)];
        command.args(options.iter().filter(|(_, given)| *given).map(|(option, _)| option));
        if let Some(only) = self.only {
            command.args(["--only", &only]);
        }
        // In place of this program, so that Ctrl-C has one process to end.
        Err(command.exec()).context("cannot start the measurement")
    }
}
