//! The API asked as its own description says, and as it does not, by a program that knows nothing else of it.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::nodes::{self, Progress, What};
use crate::step::Log;
use crate::tools;

/// Installs Schemathesis, builds the trial and runs it; says how much was asked.
pub(crate) fn part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    let schemathesis = root.join("tools/schemathesis");
    let python = tools::python_env_called("api-venv", root, &schemathesis.join("requirements.txt"), log)?;
    let trial = nodes::build(root, What::Everything, log, Progress::hidden())?;
    let mut command = Command::new(trial);
    command.arg("api").arg("--python").arg(python).arg("--hooks").arg(schemathesis.join("hooks.py"));
    let output = command.stderr(log.file()?).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    log.line(&said)?;
    if !output.status.success() {
        bail!("the API does not do what its description says");
    }
    // What Schemathesis says stands before.
    Ok(said.lines().last().unwrap_or_default().to_owned())
}
