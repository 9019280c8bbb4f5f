//! The verifier in a second language, over the published vectors: two implementations that agree, or a document that is wrong.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::step::Log;
use crate::tools;

/// Runs the verifier over the vectors, and gives its total.
pub(crate) fn part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    let verifier = root.join("tools/verify-py");
    let python = tools::python_env(root, &verifier.join("requirements.txt"), log)?;
    let mut command = Command::new(python);
    command.current_dir(root).arg("-B").arg(verifier.join("verify.py")).arg("vectors").arg("docs/vectors");
    log.run(&mut command)?;
    let text = log.text()?;
    let total = text.lines().rev().find(|line| !line.trim().is_empty()).context("the verifier says nothing")?;
    Ok(total.trim().to_owned())
}
