//! Which crate may depend on which, and what the pure crates may not depend on, checked against `cargo metadata`.
//!
//! Normal dependencies only: tests may use whatever helps them.

use anyhow::Context;
use serde_json::Value;

use super::{File, Finding};

/// Every crate of the workspace with the crates it may use, without the common `mufakat-` in front.
const ARROWS: &[(&str, &[&str])] = &[
    ("record", &[]),
    ("ledger", &["record"]),
    ("exchange", &["record", "ledger"]),
    ("matching", &["record"]),
    ("watch", &["record"]),
    ("views", &["record"]),
    ("formats", &["record", "ledger", "exchange"]),
    ("store", &["record", "ledger", "exchange", "views"]),
    ("store-postgres", &["store"]),
    ("node", &["record", "ledger", "exchange", "matching", "watch", "views", "formats", "store", "store-postgres"]),
    ("cli", &["node", "record", "ledger", "exchange", "matching", "store", "formats"]),
    ("sim", &["record", "ledger", "exchange", "matching", "views", "store"]),
    ("trial", &["record", "ledger", "exchange", "store", "node", "matching"]),
    ("xtask", &[]),
];

/// Crates that do no I/O and are given time and random bytes as arguments.
pub(super) const PURE: &[&str] = &["record", "ledger", "exchange", "matching", "watch", "views", "formats"];

/// What would bring a runtime, files, sockets, a clock or a random source into a pure crate.
const IMPURE_DEPENDENCIES: &[&str] = &[
    "async-std",
    "axum",
    "chrono",
    "figment",
    "fs-err",
    "getrandom",
    "hyper",
    "hyper-util",
    "mio",
    "rand",
    "reqwest",
    "rusqlite",
    "smol",
    "socket2",
    "sqlx",
    "tempfile",
    "tokio",
    "tokio-postgres",
    "tokio-rustls",
    "tower-http",
    "ureq",
];

pub(super) fn check(metadata: &Value, files: &[File]) -> anyhow::Result<Vec<Finding>> {
    let root = field(metadata, "workspace_root")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut crates = Vec::new();
    for package in packages {
        crates.push(short(field(package, "name")?));
    }
    let mut findings = Vec::new();
    for (package, name) in packages.iter().zip(&crates) {
        let manifest = field(package, "manifest_path")?;
        let manifest = manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/');
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
            let message = format!("the crate {name} is not in the table of arrows");
            findings.push(Finding::new(manifest, 1, "arrow", message));
            continue;
        };
        for dependency in package["dependencies"].as_array().context("a package has no list of dependencies")? {
            if !dependency["kind"].is_null() {
                continue;
            }
            let full = field(dependency, "name")?;
            let used = short(full);
            let line = line_of(files, manifest, full);
            if crates.contains(&used) && !allowed.contains(&used) {
                let message = format!("{name} may not depend on {used}");
                findings.push(Finding::new(manifest, line, "arrow", message));
            }
            if PURE.contains(name) && IMPURE_DEPENDENCIES.contains(&full) {
                let message = format!("{name} is pure and may not depend on {full}");
                findings.push(Finding::new(manifest, line, "pure", message));
            }
        }
    }
    Ok(findings)
}

fn short(package: &str) -> &str {
    package.strip_prefix("mufakat-").unwrap_or(package)
}

fn field<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name].as_str().with_context(|| format!("cargo metadata lacks {name}"))
}

/// Where the manifest names the dependency; the first line when it is renamed or written in some other way.
fn line_of(files: &[File], manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let rest = line.strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    let manifest = files.iter().find(|file| file.path == manifest);
    manifest.and_then(|file| file.lines().find(|(_, line)| names(line))).map_or(1, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::files;
    use super::*;
    use serde_json::json;

    /// A workspace of crates, each with its dependencies and their kinds.
    fn messages(crates: &[(&str, &[(&str, Value)])]) -> Vec<String> {
        let package = |(name, dependencies): &(&str, &[(&str, Value)])| {
            let dependencies: Vec<Value> =
                dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
            json!({ "name": name, "manifest_path": format!("/r/{name}/Cargo.toml"), "dependencies": dependencies })
        };
        let packages: Vec<Value> = crates.iter().map(package).collect();
        let manifests =
            files(&[("mufakat-ledger/Cargo.toml", "[dependencies]\ntokio-x = 1\ntokio.workspace = true\n")]);
        let metadata = json!({ "workspace_root": "/r", "packages": packages });
        check(&metadata, &manifests).unwrap().iter().map(ToString::to_string).collect()
    }

    const NORMAL: Value = Value::Null;

    #[test]
    fn allowed_arrows_pass_and_others_are_found() {
        let record = ("mufakat-record", [].as_slice());
        assert!(messages(&[record, ("mufakat-ledger", &[("mufakat-record", NORMAL), ("hex", NORMAL)])]).is_empty());
        assert_eq!(
            messages(&[("mufakat-record", &[("mufakat-ledger", NORMAL)]), ("mufakat-ledger", &[])]),
            ["mufakat-record/Cargo.toml:1: arrow: record may not depend on ledger"]
        );
        assert_eq!(
            messages(&[record, ("xtask", &[("mufakat-record", NORMAL)])]),
            ["xtask/Cargo.toml:1: arrow: xtask may not depend on record"]
        );
        let node = [("mufakat-sim", NORMAL), ("mufakat-cli", NORMAL)];
        assert_eq!(messages(&[("mufakat-node", &node), ("mufakat-sim", &[]), ("mufakat-cli", &[])]).len(), 2);
    }

    #[test]
    fn tests_may_use_what_they_like() {
        let dev = [("mufakat-sim", json!("dev")), ("tokio", json!("dev"))];
        assert!(messages(&[("mufakat-record", &dev), ("mufakat-sim", &[])]).is_empty());
    }

    #[test]
    fn a_crate_outside_the_table_is_found() {
        assert_eq!(
            messages(&[("mufakat-extra", &[])]),
            ["mufakat-extra/Cargo.toml:1: arrow: the crate extra is not in the table of arrows"]
        );
    }

    #[test]
    fn pure_crates_have_no_runtime() {
        assert_eq!(
            messages(&[("mufakat-ledger", &[("tokio", NORMAL)])]),
            ["mufakat-ledger/Cargo.toml:3: pure: ledger is pure and may not depend on tokio"]
        );
        assert!(messages(&[("mufakat-node", &[("tokio", NORMAL)])]).is_empty());
    }

    #[test]
    fn every_crate_that_the_table_mentions_is_in_it() {
        let known = |name: &str| ARROWS.iter().any(|(known, _)| *known == name);
        assert!(PURE.iter().all(|name| known(name)));
        assert!(ARROWS.iter().flat_map(|(_, allowed)| *allowed).all(|name| known(name)));
    }

    #[test]
    fn metadata_of_another_shape_is_an_error_and_not_a_pass() {
        assert!(check(&json!({}), &[]).is_err());
        assert!(check(&json!({ "workspace_root": "/r" }), &[]).is_err());
        assert!(check(&json!({ "workspace_root": "/r", "packages": [{}] }), &[]).is_err());
    }
}
