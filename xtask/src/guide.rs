//! The documents' shell examples, run as they stand: what a reader types must work.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::nodes::{self, Progress, What};
use crate::step::Log;

/// The document whose examples run.
const GUIDE: &str = "README.md";
/// The word that must stand in a block for it to run; the project's own commands run in parts of their own.
const PROGRAM: &str = "mufakat ";

/// Runs every `sh` block of the guide that uses the program, in order, in one shell that stops at the first failure.
pub(crate) fn part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    let trial = nodes::build(root, What::Everything, log, Progress::hidden())?;
    let programs = trial.parent().context("the programs are in no folder")?;
    let text = std::fs::read_to_string(root.join(GUIDE)).with_context(|| format!("cannot read {GUIDE}"))?;
    let blocks = blocks(&text);
    ensure!(!blocks.is_empty(), "{GUIDE} has no examples");
    for address in blocks.iter().flat_map(|block| addresses(block)) {
        // Otherwise the examples would wait for ever for a node that cannot start.
        TcpListener::bind(address)
            .with_context(|| format!("{address}, which the examples of {GUIDE} use, is taken"))?;
    }
    let folder = root.join("target/xtask/guide");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", programs.display());
    // Whatever the examples leave running ends with the shell.
    let script = format!("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{}", blocks.join("\n"));
    let mut command = Command::new("bash");
    command.current_dir(&folder).env("PATH", path).args(["-c", &script]);
    log.run(&mut command)?;
    Ok(format!("{} examples", blocks.len()))
}

/// The blocks fenced as `sh` that use the program.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "```sh" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks.retain(|block| block.contains(PROGRAM));
    blocks
}

/// The addresses of loopback in a block.
fn addresses(block: &str) -> impl Iterator<Item = &str> {
    let words = block.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
    words.filter(|word| word.starts_with("127.0.0.1:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_an_example_are_found() {
        let block = "mufakat init --endpoint 127.0.0.1:7441 \\\n --listen 127.0.0.1:7442\nmufakat status";
        assert_eq!(addresses(block).collect::<Vec<_>>(), ["127.0.0.1:7441", "127.0.0.1:7442"]);
    }

    #[test]
    fn only_shell_blocks_with_the_program_run() {
        let text = "a\n```sh\nmufakat status\nmufakat inbox\n```\n```\nmufakat no\n```\n```sh\ncargo xtask test\n```\n";
        assert_eq!(blocks(text), ["mufakat status\nmufakat inbox"]);
    }
}
