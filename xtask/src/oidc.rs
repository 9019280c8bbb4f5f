//! Signing in by an identity provider that runs in a process of its own.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::nodes::{self, Progress, What};
use crate::step::Log;
use crate::tools;

/// Installs the provider, builds the trial and runs it; says how many checks held.
pub(crate) fn part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    let requirements = root.join("tools/oidc-provider/requirements.txt");
    let python = tools::python_env_called("oidc-venv", root, &requirements, log)?;
    let trial = nodes::build(root, What::Everything, log, Progress::hidden())?;
    let output = Command::new(trial).arg("oidc").arg("--python").arg(python).stderr(log.file()?).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    log.line(&said)?;
    if !output.status.success() {
        bail!("signing in by a provider does not hold");
    }
    Ok(said.trim().to_owned())
}
