//! The console as officers use it: built, then worked at in a real browser against real nodes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::nodes::{self, Progress, What};
use crate::step::Log;
use crate::tools::{self, Tool};
use crate::web;

/// Builds the pages, the node with them in it, and the trial, and runs it; says how much held and where its pictures are.
pub(crate) fn part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    tools::need(Tool::Chromium, log)?;
    web::build(root, log)?;
    let trial = nodes::build(root, What::Everything, log, Progress::hidden())?;
    let pictures = root.join("target/console");
    let mut command = Command::new(trial);
    command.arg("console").arg("--program").arg(root.join("web/tests/console.js"));
    command.arg("--chromium").arg(tools::CHROMIUM).arg("--pictures").arg(&pictures);
    let output = command.stderr(log.file()?).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    log.line(&said)?;
    if !output.status.success() {
        bail!("the console does not hold in a browser; pictures of it are in target/console");
    }
    let told = said.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).context("nothing is told")?;
    let held = told["held"].as_u64().filter(|held| *held > 10).with_context(|| format!("too little held: {told}"))?;
    Ok(format!("{held} things held, {} requests, pictures in target/console", told["asked"]))
}
