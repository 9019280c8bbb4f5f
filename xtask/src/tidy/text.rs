//! Rules about single files: header, length, size, and what must not be left in them.

use super::{File, Finding, numbered, rust_text};

/// Source files longer than [`LINES_MAX`] that wait to be split. The list only shrinks: an entry that is no longer
/// needed is a finding.
const LONG_FILES: &[&str] = &[];

const LINES_MAX: usize = 800;
const BYTES_MAX: u64 = 1024 * 1024;

/// Languages that we write by hand; generated locks and data have whatever length they have.
const SOURCES: &[&str] = &["rs", "py", "sh", "ts", "js", "svelte", "css"];

/// Files that people write and read, in which a leftover would be found years later.
const WRITTEN: &[&str] = &["rs", "py", "sh", "ts", "js", "svelte", "css", "toml", "md"];

/// Macros and attributes that stand for work not done. The needles are joined here so that this file has none.
const LEFTOVER_CODE: &[&str] =
    &[concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("db", "g!("), concat!("#[", "ignore")];
const LEFTOVER_WORDS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")];

/// Folders of the machine on which something was written; a clone elsewhere does not have them.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/tmp/", "bash"), concat!("/ho", "me/"), concat!("/ro", "ot/")];

pub(super) fn headers(files: &[File]) -> Vec<Finding> {
    let rust = files.iter().filter(|file| file.has_extension(&["rs"]));
    let bare = rust.filter(|file| !file.text.as_deref().is_some_and(|text| text.starts_with("//!")));
    bare.map(|file| Finding::new(&file.path, 1, "header", "a Rust file opens with `//!` and what it is for")).collect()
}

/// How a file of the console begins: with a comment that says what it is for.
const OPENINGS: &[(&str, &str)] = &[("ts", "// "), ("js", "// "), ("svelte", "<!-- "), ("css", "/* ")];

pub(super) fn web_headers(files: &[File]) -> Vec<Finding> {
    let bare = files.iter().filter(|file| file.path.starts_with("web/")).filter_map(|file| {
        let (extension, opening) = OPENINGS.iter().find(|(extension, _)| file.has_extension(&[extension]))?;
        let opens = file.text.as_deref().is_some_and(|text| text.starts_with(opening));
        (!opens).then(|| {
            Finding::new(
                &file.path,
                1,
                "header",
                format!("a {extension} file opens with `{opening}` and what it is for"),
            )
        })
    });
    bare.collect()
}

pub(super) fn lengths(files: &[File]) -> Vec<Finding> {
    lengths_with(files, LONG_FILES)
}

fn lengths_with(files: &[File], exceptions: &[&str]) -> Vec<Finding> {
    let long = |file: &&File| file.has_extension(SOURCES) && file.lines().count() > LINES_MAX;
    let long: Vec<&str> = files.iter().filter(long).map(|file| file.path.as_str()).collect();
    let mut findings = Vec::new();
    for path in long.iter().filter(|path| !exceptions.contains(path)) {
        let message = format!("longer than {LINES_MAX} lines; split it");
        findings.push(Finding::new(path, LINES_MAX + 1, "length", message));
    }
    for path in exceptions.iter().filter(|path| !long.contains(path)) {
        let message = "no longer needs its exception; remove it from LONG_FILES";
        findings.push(Finding::new(path, 1, "length", message));
    }
    findings
}

pub(super) fn sizes(files: &[File]) -> Vec<Finding> {
    let large = files.iter().filter(|file| file.size > BYTES_MAX);
    large.map(|file| Finding::new(&file.path, 1, "size", format!("{} bytes; at most 1 MiB", file.size))).collect()
}

pub(super) fn machine_paths(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            for needle in MACHINE_PATHS.iter().filter(|needle| begins_a_path(line, needle)) {
                let message = format!("names a folder of one machine ({needle})");
                findings.push(Finding::new(&file.path, number, "machine-path", message));
            }
        }
    }
    findings
}

/// Whether `needle` occurs at the start of an absolute path, and not in the middle of a relative one or of data.
fn begins_a_path(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let inside = |c: char| c.is_alphanumeric() || "_-.+/}*".contains(c);
        !before.is_some_and(inside) || line[..at].ends_with("file://")
    })
}

pub(super) fn leftovers(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |file: &File, number, needle| {
        findings.push(Finding::new(&file.path, number, "leftover", format!("{needle} stands for work not done")));
    };
    for file in files {
        if let Some(source) = file.text.as_deref().filter(|_| file.has_extension(&["rs"])) {
            for (number, line) in numbered(&rust_text::code(source)) {
                LEFTOVER_CODE.iter().filter(|needle| line.contains(**needle)).for_each(|n| found(file, number, n));
            }
        }
        if file.has_extension(WRITTEN) {
            for (number, line) in file.lines() {
                LEFTOVER_WORDS.iter().filter(|word| has_word(line, word)).for_each(|n| found(file, number, n));
            }
        }
    }
    findings
}

/// Whether `word` occurs with nothing of a longer word on either side.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{check, files, places};
    use super::*;

    #[test]
    fn rust_files_open_with_a_header() {
        check(headers, &[("a.rs", "//! Why.\n"), ("a.py", "import x\n")], &[]);
        check(
            headers,
            &[("a.rs", "use x;\n"), ("b.rs", "\n//! Late.\n"), ("c.rs", "")],
            &["a.rs:1", "b.rs:1", "c.rs:1"],
        );
    }

    #[test]
    fn files_of_the_console_open_with_a_comment() {
        let good =
            [("web/a.ts", "// Why.\n"), ("web/b.svelte", "<!-- Why. -->"), ("web/c.css", "/* Why. */"), ("d.ts", "x")];
        check(web_headers, &good, &[]);
        let bad = [("web/a.ts", "import x;"), ("web/b.svelte", "<p>"), ("web/c.css", "a {}"), ("web/d.js", "")];
        check(web_headers, &bad, &["web/a.ts:1", "web/b.svelte:1", "web/c.css:1", "web/d.js:1"]);
    }

    #[test]
    fn sources_have_at_most_800_lines_and_exceptions_are_needed() {
        let (most, over) = ("x\n".repeat(800), "x\n".repeat(801));
        let tree = files(&[("a.rs", &most), ("b.rs", &over), ("c.py", &over), ("d.lock", &over)]);
        assert_eq!(places(&lengths_with(&tree, &[])), ["b.rs:801", "c.py:801"]);
        assert_eq!(places(&lengths_with(&tree, &["b.rs"])), ["c.py:801"]);
        assert_eq!(places(&lengths_with(&tree, &["b.rs", "c.py", "a.rs", "gone.rs"])), ["a.rs:1", "gone.rs:1"]);
    }

    #[test]
    fn files_have_at_most_one_mebibyte() {
        let mut tree = files(&[("a.bin", ""), ("b.bin", "")]);
        tree[0].size = BYTES_MAX;
        tree[1].size = BYTES_MAX + 1;
        assert_eq!(places(&sizes(&tree)), ["b.bin:1"]);
    }

    #[test]
    fn folders_of_one_machine_are_found_and_relative_paths_are_not() {
        for needle in MACHINE_PATHS {
            for good in [format!("a{needle}b"), format!("..{needle}"), format!("https://example.org{needle}")] {
                check(machine_paths, &[("a.md", &good)], &[]);
            }
            for bad in [format!("{needle}b"), format!("see `{needle}b`"), format!("\nx=file://{needle}b")] {
                let line = bad.lines().count();
                check(machine_paths, &[("a.md", &bad)], &[&format!("a.md:{line}")]);
            }
        }
    }

    #[test]
    fn leftovers_are_found_in_code_and_words_anywhere() {
        for needle in LEFTOVER_CODE {
            check(leftovers, &[("a.rs", &format!("//! {needle}\nlet x = \"{needle}\";")), ("a.md", needle)], &[]);
            check(leftovers, &[("a.rs", &format!("//! Why.\n    {needle}"))], &["a.rs:2"]);
        }
        for word in LEFTOVER_WORDS {
            check(leftovers, &[("a.rs", &format!("//! mktemp {word}{word}")), ("a.json", word)], &[]);
            check(leftovers, &[("a.rs", &format!("//! {word}: later")), ("b.md", word)], &["a.rs:1", "b.md:1"]);
        }
    }
}
