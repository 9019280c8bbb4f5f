//! Why a command failed, what is said about it, and with which code it ends.

use std::path::PathBuf;
use std::process::ExitCode;

use mufakat_node::net::local_client;
use serde_json::{Value, json};

/// It was done.
pub(crate) const OK: u8 = 0;
/// It was refused, or failed.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// No node is running in the folder.
pub(crate) const NOT_RUNNING: u8 = 3;

/// The failures that have a name or an exit code of their own. All others are told in words and end with [`FAILED`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No node answers in the folder.
    #[error("no node is running in {dir}; {}", hint(dir))]
    NotRunning {
        /// The folder.
        dir: PathBuf,
    },
    /// The node refused, with a problem (RFC 9457).
    #[error("{}", words(.0))]
    Problem(Value),
    /// It was refused here, for a named reason.
    #[error("{detail}")]
    Refused {
        /// The name of the reason.
        reason: &'static str,
        /// The same in words.
        detail: String,
    },
}

/// A refusal with a reason that programs can tell from others.
pub(crate) fn refused(reason: &'static str, detail: impl Into<String>) -> anyhow::Error {
    Failure::Refused { reason, detail: detail.into() }.into()
}

/// A command line that makes no sense although it parses.
pub(crate) fn usage(detail: impl Into<String>) -> anyhow::Error {
    Failure::Usage(detail.into()).into()
}

/// Says why on standard error, in words or as JSON, and gives the exit code.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    if json {
        eprintln!("{}", problem(error));
    } else {
        eprintln!("mufakat: {}", crate::output::clean(&format!("{error:#}")));
    }
    ExitCode::from(exit_code(error))
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(Failure::Usage(_)) => USAGE,
        Some(Failure::NotRunning { .. }) => NOT_RUNNING,
        _ => FAILED,
    }
}

/// The error as a problem (RFC 9457): the node's own where it is one.
fn problem(error: &anyhow::Error) -> Value {
    let reason = match error.downcast_ref() {
        Some(Failure::Problem(problem)) => return problem.clone(),
        Some(Failure::Usage(_)) => "usage",
        Some(Failure::NotRunning { .. }) => "node-not-running",
        Some(Failure::Refused { reason, .. }) => reason,
        None if error.downcast_ref::<local_client::Error>().is_some() => "exchange-broken",
        None => "failed",
    };
    json!({ "type": "about:blank", "title": reason.replace('-', " "), "detail": format!("{error:#}"), "reason": reason })
}

fn hint(dir: &std::path::Path) -> String {
    let dir_shown = dir.display();
    if dir.join("node.toml").exists() {
        format!("start it with: mufakat --dir {dir_shown} serve")
    } else {
        format!("the folder holds none: create it with `mufakat --dir {dir_shown} init`, or name another with --dir")
    }
}

fn words(problem: &Value) -> String {
    let text = |name: &str| problem.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let said = text("detail").or(text("title")).unwrap_or("the node refused and did not say why");
    match text("reason") {
        Some(reason) if reason != said => format!("{said} ({reason})"),
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_code_and_its_problem() {
        let check = |error: anyhow::Error, code: u8, reason: &str| {
            assert_eq!(exit_code(&error), code, "{error}");
            assert_eq!(problem(&error)["reason"], reason, "{error}");
        };
        check(usage("x"), USAGE, "usage");
        check(Failure::NotRunning { dir: "nowhere".into() }.into(), NOT_RUNNING, "node-not-running");
        check(Failure::Problem(json!({"reason": "no-register"})).into(), FAILED, "no-register");
        check(refused("timeout", "x"), FAILED, "timeout");
        check(anyhow::anyhow!("x"), FAILED, "failed");
        // Context around a failure does not change its code.
        let wrapped = anyhow::Error::from(Failure::NotRunning { dir: "nowhere".into() }).context("while sharing");
        check(wrapped, NOT_RUNNING, "node-not-running");
    }

    #[test]
    fn a_problem_is_told_with_its_reason() {
        assert_eq!(
            words(&json!({"detail": "the audience is empty", "reason": "empty-audience"})),
            "the audience is empty (empty-audience)"
        );
        assert_eq!(words(&json!({"title": "Conflict"})), "Conflict");
        assert_eq!(words(&json!({})), "the node refused and did not say why");
    }
}
