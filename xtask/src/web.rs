//! `cargo xtask web`: checks the console's types and builds its pages into `web/dist`, from where the next build of the node takes them.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::Run;
use crate::step::{Log, Step, TAIL_LINES, tail};
use crate::tools::{self, Tool};

/// Build the console's pages; the next build of the node has them.
#[derive(clap::Args)]
pub(crate) struct Args {}

impl Run for Args {
    fn run(self) -> anyhow::Result<ExitCode> {
        let root = tools::root();
        let mut log = Log::create(&root, "web")?;
        let step = Step::start(1, 1, "web");
        let built = build(&root, &mut log);
        step.finish(if built.is_ok() { "ok" } else { "FAILED" }, "");
        if built.is_err() {
            println!("{}", tail(&log.text()?, TAIL_LINES));
        }
        built.map(|()| ExitCode::SUCCESS)
    }
}

/// Checks and builds the pages, and says how large they are.
pub(crate) fn part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    build(root, log)?;
    let mut bytes = 0;
    for file in fs::read_dir(root.join("web/dist/assets")).context("no pages were built")? {
        bytes += file?.metadata()?.len();
    }
    Ok(format!("{} KiB", bytes / 1024))
}

/// Installs what the console is built with, exactly as its lock file says and without running any script of a package, and builds it.
/// Pages that were built from the very same sources stay as they are, so that nothing that takes them in is compiled again.
pub(crate) fn build(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    tools::need(Tool::Node, log)?;
    let web = root.join("web");
    let (made_from, now) = (root.join("target/xtask/web-made-from.txt"), sources(root, log)?);
    // The stamp is what the pages were made from, word for word, and is written last.
    if web.join("dist/index.html").exists() && fs::read_to_string(&made_from).is_ok_and(|made| made == now) {
        return Ok(());
    }
    let mut npm = |arguments: &[&str]| log.run(Command::new("npm").current_dir(&web).args(arguments));
    npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    npm(&["run", "check"])?;
    npm(&["run", "build"])?;
    fs::write(&made_from, now).with_context(|| format!("cannot write {}", made_from.display()))
}

/// Everything that the pages are made from, with the names of the files and the version of Node.js.
fn sources(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    tools::need(Tool::Git, log)?;
    let listed = ["ls-files", "--cached", "--others", "--exclude-standard", "--", "web", ":!web/tests", ":!web/dist"];
    let listed = output(Command::new("git").current_dir(root).args(listed))?;
    let mut all = output(Command::new("node").arg("--version"))?;
    for path in listed.lines() {
        // What git knows and is gone is no source.
        let Ok(text) = fs::read_to_string(root.join(path)) else { continue };
        all.push_str(&format!("{path} {}\n{text}", text.len()));
    }
    Ok(all)
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_made_of_what_is_built_and_not_of_what_tries_them() {
        let root = tools::scratch("web");
        let mut log = Log::create(&root, "web").unwrap();
        let all = sources(&tools::root(), &mut log).unwrap();
        for part in ["web/package-lock.json ", "web/openapi.json ", "web/src/main.ts ", "web/src/views/ask/Ask.svelte "]
        {
            assert!(all.contains(part), "{part}");
        }
        for part in ["web/tests/", "web/dist/", "node_modules/svelte/package.json"] {
            assert!(!all.contains(&format!("\n{part}")), "{part}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
