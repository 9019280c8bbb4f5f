//! The pure crates do no I/O and have no clock, random source, environment or threads of their own, outside tests.

use super::text::has_word;
use super::{File, Finding, arrows, numbered, rust_text};

/// Paths and names that pure code may not mention.
const FORBIDDEN: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "OsRng",
    "SystemRandom",
    "getrandom",
    "thread_rng",
];

pub(super) fn sources(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in arrows::PURE {
        let folder = format!("crates/{name}/src/");
        let mut kept = Vec::new();
        let mut test_modules = Vec::new();
        for file in files.iter().filter(|file| file.path.starts_with(&folder) && file.has_extension(&["rs"])) {
            let (code, modules) = rust_text::without_tests(&rust_text::code(file.text.as_deref().unwrap_or_default()));
            test_modules.extend(modules.iter().map(|module| format!("{}{module}", module_folder(&file.path))));
            kept.push((file, code));
        }
        for (file, code) in kept {
            let is_test = |module: &String| {
                let rest = file.path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            if !test_modules.iter().any(is_test) {
                findings.extend(mentions(&code).into_iter().map(|(line, what)| {
                    Finding::new(&file.path, line, "pure", format!("{name} is pure and may not mention {what}"))
                }));
            }
        }
    }
    findings
}

/// The folder in which the modules that a file declares live, with its final `/`.
fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{folder}/"),
        _ => format!("{}/", path.trim_end_matches(".rs")),
    }
}

fn mentions(code: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (number, line) in numbered(code) {
        found.extend(FORBIDDEN.iter().filter(|name| has_word(line, name)).map(|&name| (number, name)));
    }
    for (at, group) in std_groups(code) {
        let line = code[..at].matches('\n').count() + 1;
        let parts: Vec<&str> = group.split(['{', '}', ',']).map(|part| part.trim()).collect();
        let imports = |name: &&&str| {
            let module = name.strip_prefix("std::");
            module.is_some_and(|module| parts.iter().any(|part| part.split("::").next() == Some(module)))
        };
        found.extend(FORBIDDEN.iter().filter(imports).map(|&name| (line, name)));
    }
    found.sort_unstable();
    found
}

/// The inside of each `std::{…}`, and where it starts.
fn std_groups(code: &str) -> Vec<(usize, &str)> {
    let mut groups = Vec::new();
    for (start, open) in code.match_indices("std::{") {
        let inside = &code[start + open.len()..];
        let mut depth = 1_usize;
        let end = inside.find(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        groups.push((start, &inside[..end.unwrap_or(inside.len())]));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::*;

    #[test]
    fn pure_code_mentions_nothing_forbidden() {
        for name in FORBIDDEN {
            let bad = format!("//! Why.\nfn f() {{ {name}(); }}\n");
            check(sources, &[("crates/record/src/kinds/a.rs", &bad)], &["crates/record/src/kinds/a.rs:2"]);
            check(sources, &[("crates/node/src/a.rs", &bad), ("crates/record/tests/a.rs", &bad)], &[]);
            let prose = format!("//! Never {name}.\nconst A: &str = \"{name}\";\n");
            check(sources, &[("crates/record/src/a.rs", &prose)], &[]);
        }
        check(sources, &[("crates/record/src/a.rs", "use std::fmt; use std::net_x; env!(A)")], &[]);
    }

    #[test]
    fn grouped_imports_do_not_hide_a_module() {
        let check_use = |line: &str, expect: &[&str]| check(sources, &[("crates/views/src/a.rs", line)], expect);
        check_use("\nuse std::{fmt, fs};", &["crates/views/src/a.rs:2"]);
        check_use("use std::{collections::{BTreeMap, BTreeSet}, env::var};", &["crates/views/src/a.rs:1"]);
        check_use("use std::{fmt, collections::BTreeMap};", &[]);
        check_use("use std::{fmt}; use crate::{fs};", &[]);
    }

    #[test]
    fn tests_inside_and_in_files_of_their_own_are_left_out() {
        let lib = "//! Why.\n#[cfg(test)]\nmod tests;\nmod a;\n";
        let a = "//! Why.\n#[cfg(test)]\nmod tests { use std::fs; }\n#[cfg(test)]\nmod more;\n";
        let uses = "use std::fs;";
        let good = [
            ("crates/ledger/src/lib.rs", lib),
            ("crates/ledger/src/tests.rs", uses),
            ("crates/ledger/src/tests/deep.rs", uses),
            ("crates/ledger/src/a.rs", a),
            ("crates/ledger/src/a/more.rs", uses),
        ];
        check(sources, &good, &[]);
        let bad = [
            ("crates/ledger/src/lib.rs", lib),
            ("crates/ledger/src/tests_too.rs", uses),
            ("crates/ledger/src/a/tests.rs", uses),
        ];
        check(sources, &bad, &["crates/ledger/src/tests_too.rs:1", "crates/ledger/src/a/tests.rs:1"]);
    }
}
