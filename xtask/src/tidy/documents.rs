//! Rules about Markdown: decision pages, links that lead somewhere, words that do not belong.

use std::collections::BTreeMap;

use super::text::has_word;
use super::{File, Finding};

const DECISIONS: &str = "docs/decisions/";

/// Words about how the documents came about, which is no reader's concern. Joined here so that this file has none.
const UNWANTED_WORDS: &[&str] = &[concat!("sess", "ion"), concat!("sess", "ions"), concat!("helper ", "agent")];

/// The documents that tell of officers who sign in, for whom the first two of these words have a meaning of their own.
const OF_OFFICERS: &[&str] =
    &["ARCHITECTURE.md", "SECURITY.md", "docs/api.md", "docs/operations.md", "docs/protocol.md"];

/// A decision page is `NNNN-title.md` with a number of its own, and opens with its title.
pub(super) fn decisions(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for file in files {
        let Some(name) = file.path.strip_prefix(DECISIONS).filter(|name| *name != "README.md") else { continue };
        let mut found = |message: String| findings.push(Finding::new(&file.path, 1, "decision", message));
        let Some(number) = decision_number(name) else {
            found("the name is not of the form NNNN-title.md".to_owned());
            continue;
        };
        if let Some(first) = numbers.insert(number, name) {
            found(format!("{first} has the number {number} too"));
        }
        if !file.text.as_deref().is_some_and(|text| text.starts_with("# ")) {
            found("the page does not open with its title (`# `)".to_owned());
        }
    }
    findings
}

fn decision_number(name: &str) -> Option<&str> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let digits = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (digits && title.split('-').all(word)).then_some(number)
}

/// A link to a file of the tree leads to one that git has or would have.
pub(super) fn links(files: &[File]) -> Vec<Finding> {
    let exists = |path: &str| {
        let folder = format!("{path}/");
        path.is_empty() || files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    };
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.has_extension(&["md"])) {
        for (number, line) in prose(file) {
            for target in targets(&line) {
                if !resolve(&file.path, target).is_some_and(|path| exists(&path)) {
                    findings.push(Finding::new(&file.path, number, "link", format!("{target} leads to no file")));
                }
            }
        }
    }
    findings
}

/// The lines of a document outside code, with their numbers.
fn prose(file: &File) -> Vec<(usize, String)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (number, line) in file.lines() {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            // Every second piece between back-quotes is code.
            (None, None) => lines.push((number, line.split('`').step_by(2).collect::<Vec<_>>().join("`"))),
        }
    }
    lines
}

/// The local files that a line links to, inline `[text](target)` or by reference `[name]: target`.
fn targets(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    for (at, open) in line.match_indices("](") {
        let inside = &line[at + open.len()..];
        let mut depth = 1_usize;
        let end = inside.find(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        targets.push(&inside[..end.unwrap_or(inside.len())]);
    }
    if let Some((_, target)) = line.trim_start().strip_prefix('[').and_then(|line| line.split_once("]: ")) {
        targets.push(target);
    }
    // A title may follow the target, and a place within the file is not checked.
    let path = |target: &'_ str| target.split_whitespace().next().unwrap_or_default().len();
    let bare = targets.into_iter().map(|target| {
        let target = target.trim();
        let target = target[..path(target)].trim_start_matches('<').trim_end_matches('>');
        target.split('#').next().unwrap_or_default()
    });
    bare.filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The path from the root that `target` means in the document `from`; none when it leads out of the tree.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

pub(super) fn words(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.has_extension(&["md"])) {
        let unwanted = if OF_OFFICERS.contains(&file.path.as_str()) { &UNWANTED_WORDS[2..] } else { UNWANTED_WORDS };
        for (number, line) in file.lines() {
            let line = line.to_lowercase();
            for word in unwanted.iter().filter(|word| has_word(&line, word)) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    "words",
                    format!("the word {word:?} does not belong here"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::*;

    #[test]
    fn decision_pages_have_a_name_a_number_of_their_own_and_a_title() {
        let page = |name: &str| format!("docs/decisions/{name}");
        let good = [(page("0001-some-words.md"), "# A"), (page("0002-b2.md"), "# B"), (page("README.md"), "Text")];
        let good: Vec<(&str, &str)> = good.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        check(decisions, &good, &[]);
        for bad in ["1-a.md", "0001.md", "0001-.md", "0001-A.md", "0001-a.txt", "000x-a.md", "0001-a--b.md"] {
            check(decisions, &[(&page(bad), "# A")], &[&format!("docs/decisions/{bad}:1")]);
        }
        check(decisions, &[(&page("0001-a.md"), "# A"), (&page("0001-b.md"), "# B")], &["docs/decisions/0001-b.md:1"]);
        check(decisions, &[(&page("0001-a.md"), "## A")], &["docs/decisions/0001-a.md:1"]);
    }

    #[test]
    fn links_lead_to_files_and_folders_of_the_tree() {
        let check_link = |line: &str, expect: &[&str]| {
            check(links, &[("docs/a.md", line), ("docs/b(1).md", ""), ("crates/c/x.rs", "")], expect);
        };
        for good in [
            "[x](a.md), [x](./a.md#part), [x](../crates/c/x.rs \"title\")",
            "[x](<a.md>) [x](b(1).md) [x](/docs/a.md) [x](..) [x](../crates/)",
            "[x](#part) [x](https://example.org/no) [x](mailto:a@example.org)",
            "`[x](no.md)` and ``` [x](no.md)",
            "```\n[x](no.md)\n~~~\n[x]: no.md\n```",
            "[x]: ../crates/c",
        ] {
            check_link(good, &[]);
        }
        for bad in ["[x](no.md)", "![x](a.md) [x](no.md#a)", "[x](../../docs/a.md)", "[x]: no.md", "`a` [x](a) `b`"] {
            check_link(bad, &["docs/a.md:1"]);
        }
        check_link("```\n```\n[x](crates/c/x.rs)", &["docs/a.md:3"]);
    }

    #[test]
    fn unwanted_words_are_found_in_documents_only() {
        for word in UNWANTED_WORDS {
            check(words, &[("a.rs", word), ("a.md", &format!("ob{word}"))], &[]);
            check(words, &[("a.md", &format!("Text.\nA {}.", word.to_uppercase()))], &["a.md:2"]);
        }
        check(words, &[("docs/api.md", UNWANTED_WORDS[0])], &[]);
        check(words, &[("docs/api.md", UNWANTED_WORDS[2])], &["docs/api.md:1"]);
    }
}
