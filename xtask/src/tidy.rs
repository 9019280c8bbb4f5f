//! `cargo xtask tidy`: the rules of the house that no compiler checks, each finding as `path:line: rule: message`.
//!
//! A rule is a function from files to findings, with its tests beside it: one input that it lets pass and one that it
//! refuses. To add one, write the function and add one line to [`RULES`].

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::Run;
use crate::step::Log;
use crate::tools::{self, Tool};

mod arrows;
mod documents;
mod pure;
mod rust_text;
mod text;

/// Check the rules of the house: file headers and sizes, arrows between crates, pure crates, documents.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// What a rule finds in the files of the tree.
type Rule = fn(&[File]) -> Vec<Finding>;

/// The rules that need only the files; the arrows between crates need cargo's metadata too.
const RULES: &[Rule] = &[
    text::headers,
    text::web_headers,
    text::lengths,
    text::sizes,
    text::machine_paths,
    text::leftovers,
    pure::sources,
    documents::decisions,
    documents::links,
    documents::words,
];

/// One file of the tree.
pub(crate) struct File {
    /// From the workspace root, with `/` between its parts.
    path: String,
    /// In bytes.
    size: u64,
    /// The content, when it is text.
    text: Option<String>,
}

impl File {
    fn has_extension(&self, wanted: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| wanted.contains(&extension))
    }

    /// The lines of a text file with their numbers, which start at 1; no lines for other files.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(self.text.as_deref().unwrap_or_default())
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// One broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.message)
    }
}

/// What a check of the whole tree gave.
pub(crate) struct Report {
    /// How many files were looked at.
    pub(crate) files: usize,
    /// Ordered by path and line.
    pub(crate) findings: Vec<Finding>,
}

impl Run for Args {
    fn run(self) -> anyhow::Result<ExitCode> {
        let root = tools::root();
        let report = check(&root, &mut Log::create(&root, "tidy")?)?;
        for finding in &report.findings {
            println!("{finding}");
        }
        println!("findings: {}, files: {}", report.findings.len(), report.files);
        Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Checks every file that git tracks, or would track if it were added.
pub(crate) fn check(root: &Path, log: &mut Log) -> anyhow::Result<Report> {
    tools::need(Tool::Git, log)?;
    let files = files(root)?;
    if files.is_empty() {
        bail!("git lists no files in {}", root.display());
    }
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&files)).collect();
    findings.extend(arrows::check(&metadata(root)?, &files)?);
    findings.sort();
    Ok(Report { files: files.len(), findings })
}

fn files(root: &Path) -> anyhow::Result<Vec<File>> {
    let output = output(Command::new("git").current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    // A file in conflict is listed once for each of its versions.
    let paths: BTreeSet<&str> = output.split('\0').filter(|path| !path.is_empty()).collect();
    let mut files = Vec::new();
    for path in paths {
        // Git still lists a file that was deleted but not yet committed so; and a link has no text of its own.
        let Ok(metadata) = fs::symlink_metadata(root.join(path)) else { continue };
        if metadata.is_file() {
            let bytes = fs::read(root.join(path)).with_context(|| format!("cannot read {path}"))?;
            let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
            files.push(File { path: path.to_owned(), size: metadata.len(), text });
        }
    }
    Ok(files)
}

fn metadata(root: &Path) -> anyhow::Result<Value> {
    let json = output(tools::cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&json).context("cargo metadata is not JSON")
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed something other than UTF-8"))
}

/// Files made from strings, and findings as the strings that people see, for the tests of the rules.
#[cfg(test)]
mod fixture {
    use super::{File, Finding, Rule};

    pub(super) fn files(files: &[(&str, &str)]) -> Vec<File> {
        let file = |&(path, text): &(&str, &str)| File {
            path: path.to_owned(),
            size: text.len() as u64,
            text: Some(text.to_owned()),
        };
        files.iter().map(file).collect()
    }

    /// Where a rule finds something: `path:line` for each finding.
    pub(super) fn places(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
    }

    /// Checks that a rule finds exactly `expect` in the given files.
    pub(super) fn check(rule: Rule, given: &[(&str, &str)], expect: &[&str]) {
        assert_eq!(places(&rule(&files(given))), expect, "in {given:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_printed_so_that_editors_can_follow_it() {
        assert_eq!(Finding::new("a/b.rs", 7, "header", "message").to_string(), "a/b.rs:7: header: message");
    }

    #[test]
    fn the_tree_is_read_and_this_file_is_in_it() {
        let files = files(&tools::root()).unwrap();
        let this = files.iter().find(|file| file.path == "xtask/src/tidy.rs").expect("this file is listed");
        assert!(this.lines().next().unwrap().1.starts_with("//! `cargo xtask tidy`"));
        assert!(files.iter().all(|file| !file.path.starts_with("target/")), "ignored files are left out");
    }
}
