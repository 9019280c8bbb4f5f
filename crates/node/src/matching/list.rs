//! Lists: what is handed in to be listed or taken off, entry by entry; each is taken or refused with its reason.

use std::collections::HashMap;
use std::sync::Arc;

use mufakat_record::kinds::match_ask::Item;
use mufakat_record::kinds::match_list::MatchList;
use mufakat_record::matching::{Category, Subject};
use mufakat_record::{Digest, OfficerId, Tlp};
use mufakat_store::lists::{self, Entry, NewEntry};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{blocking, random, subject, with_lists};
use crate::node::Node;
use crate::share::{self, NotShared};
use crate::writer::Fault;

/// How many entries are handed in at once.
pub(crate) const LINES_MAX: usize = 10_000;

/// An entry as it is handed in, one to a line.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MatchEntryIn)]
pub(crate) struct Given {
    /// What it is.
    subject: Subject,
    /// The identifier, or the name.
    value: String,
    /// The year of birth, of a name.
    #[serde(default)]
    birth_year: Option<u16>,
    /// Why it is listed; AMBER and `other` when nothing is said.
    #[serde(default)]
    category: Option<Category>,
    /// How a hit is to be handled.
    #[serde(default)]
    tlp: Option<Tlp>,
    /// For the agency's own officers; no partner sees it.
    #[serde(default)]
    note: Option<String>,
    /// When it is to be taken off, in seconds since 1970.
    #[serde(default)]
    expires: Option<u64>,
    /// Whether it is to be taken off now.
    #[serde(default)]
    remove: bool,
}

/// What became of what was handed in.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = MatchListed)]
pub(crate) struct Taken {
    /// How many are new.
    new: u64,
    /// How many were listed otherwise before.
    changed: u64,
    /// How many were listed so before.
    same: u64,
    /// How many were taken off.
    removed: u64,
    /// How many lines were refused.
    refused: u64,
    /// Each of these, with its reason.
    refusals: Vec<Refusal>,
}

/// A line that was refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MatchRefusal)]
pub(crate) struct Refusal {
    /// Which line, counted from 1.
    line: usize,
    /// The name of the reason.
    reason: &'static str,
    /// What is wrong with it, in words. The value itself is not repeated.
    detail: String,
}

/// A line that can be taken.
struct Line {
    subject: String,
    canonical: String,
    given: Given,
}

impl Line {
    fn about(&self) -> (&str, &str) {
        (&self.subject, &self.canonical)
    }
}

/// Takes in lines of JSON, one entry each. What is taken is durable when this returns.
pub(crate) async fn take_in(
    node: &Arc<Node>,
    by: Option<OfficerId>,
    text: Vec<u8>,
) -> Result<Result<Taken, NotShared>, Fault> {
    let digest = Digest::of(&text);
    let read = blocking(move || read(&text)).await?;
    let (lines, mut taken) = match read {
        Ok(read) => read,
        Err(no) => return Ok(Err(no)),
    };
    let (put, removed) = with_lists(node, move |lists| {
        let (on, off) = in_order(&lines);
        let put = lists.put(&on, &mut random)?;
        Ok((put, lists.remove(&off)?))
    })
    .await?;
    (taken.new, taken.changed, taken.same) = (put.new as u64, put.changed as u64, put.same as u64);
    taken.removed = removed as u64;
    let Taken { new, changed, same, removed, refused, .. } = taken;
    let body = MatchList { by, new, changed, same, removed, refused, digest };
    if let Err(no) = share::keep(node, body, Vec::new()).await? {
        return Ok(Err(no));
    }
    Ok(Ok(taken))
}

/// Reads lines; a line that is wrong is refused and keeps no other from being taken.
fn read(text: &[u8]) -> Result<(Vec<Line>, Taken), NotShared> {
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').enumerate().collect();
    let lines: Vec<_> = lines.into_iter().filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    if lines.is_empty() {
        return Err(NotShared::new("malformed", "one entry stands on each line, and there is no line"));
    }
    if lines.len() > LINES_MAX {
        let detail = format!("at most {LINES_MAX} lines are taken at once; hand in the rest after these");
        return Err(NotShared::new("too-many-lines", detail));
    }
    let (mut good, mut taken) = (Vec::with_capacity(lines.len()), Taken::default());
    for (place, line) in lines {
        match entry(line) {
            Ok(line) => good.push(line),
            Err(no) => {
                taken.refused += 1;
                taken.refusals.push(Refusal { line: place + 1, reason: no.reason, detail: no.detail });
            }
        }
    }
    Ok((good, taken))
}

fn entry(line: &[u8]) -> Result<Line, NotShared> {
    let given: Given = serde_json::from_slice(line).map_err(|error| {
        // Where and what kind of mistake it is; serde's words may repeat the value.
        NotShared::new("malformed", format!("column {}: no entry of a list", error.column()))
    })?;
    let item = Item { subject: given.subject, value: given.value.clone(), birth_year: given.birth_year };
    if given.birth_year.is_some() != (given.subject == Subject::Name) {
        return Err(NotShared::new("malformed", "`birth_year` goes with a name, and with nothing else"));
    }
    let canonical = subject::canonical(&item)?;
    if canonical.len() > lists::CANONICAL_BYTES_MAX {
        return Err(NotShared::new("too-long", format!("`value` has at most {} bytes", lists::CANONICAL_BYTES_MAX)));
    }
    if given.note.as_ref().is_some_and(|note| !(1..=lists::NOTE_BYTES_MAX).contains(&note.len())) {
        return Err(NotShared::new("malformed", format!("`note` has 1 to {} bytes", lists::NOTE_BYTES_MAX)));
    }
    Ok(Line { subject: given.subject.to_string(), canonical, given })
}

/// What is to be put, and what is then to be taken off: that of which the last line says so.
fn in_order(lines: &[Line]) -> (Vec<NewEntry<'_>>, Vec<(&str, &str)>) {
    let last: HashMap<_, _> = lines.iter().map(|line| (line.about(), line.given.remove)).collect();
    let on = lines.iter().filter(|line| !line.given.remove).map(new_entry).collect();
    let off = lines.iter().filter(|line| line.given.remove && last[&line.about()]).map(Line::about).collect();
    (on, off)
}

fn new_entry(line: &Line) -> NewEntry<'_> {
    NewEntry {
        subject: &line.subject,
        canonical: &line.canonical,
        category: line.given.category.unwrap_or(Category::Other) as u8,
        tlp: line.given.tlp.unwrap_or(Tlp::Amber) as u8,
        note: line.given.note.as_deref(),
        expires_s: line.given.expires,
    }
}

/// An entry of this agency's lists, as its officers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MatchEntry)]
pub(crate) struct Shown {
    /// The number by which a partner that had a hit names it.
    handle: u32,
    subject: String,
    /// The canonical form.
    value: String,
    category: &'static str,
    tlp: &'static str,
    note: Option<String>,
    /// In seconds since 1970.
    expires: Option<u64>,
    /// Whether it was taken off, and some partner was not told yet.
    removed: bool,
}

impl From<Entry> for Shown {
    fn from(entry: Entry) -> Self {
        let category = Category::ALL.get(usize::from(entry.category)).map_or("", |(_, name)| name);
        let tlp = Tlp::ALL.get(usize::from(entry.tlp)).map_or("", |(_, name)| name);
        Self {
            handle: entry.handle,
            subject: entry.subject,
            value: entry.canonical,
            category,
            tlp,
            note: entry.note,
            expires: entry.expires_s,
            removed: entry.removed,
        }
    }
}

/// How much is listed of a subject and category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MatchCount)]
pub(crate) struct Counted {
    subject: String,
    category: &'static str,
    count: u64,
}

/// How much is listed.
pub(crate) async fn counts(node: &Arc<Node>) -> Result<Vec<Counted>, Fault> {
    let counts = with_lists(node, |lists| lists.counts()).await?;
    let counted = |count: lists::Count| {
        let category = Category::ALL.get(usize::from(count.category)).map_or("", |(_, name)| name);
        Counted { subject: count.subject, category, count: count.count }
    };
    Ok(counts.into_iter().map(counted).collect())
}

/// The entry that a partner names by its number.
pub(crate) async fn by_handle(node: &Arc<Node>, handle: u32) -> Result<Option<Shown>, Fault> {
    Ok(with_lists(node, move |lists| lists.by_handle(handle)).await?.map(Shown::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_taken_or_refused_with_its_reason() {
        let text = concat!(
            r#"{"subject":"imo","value":"9074729","category":"sanctioned","tlp":"GREEN"}"#,
            "\n",
            r#"{"subject":"imo","value":"9074728"}"#,
            "\n\n",
            r#"{"subject":"name","value":"Sukarno","birth_year":1970}"#,
            "\n",
            r#"{"subject":"email","value":"exercise@example.org","birth_year":1970}"#,
            "\n",
            "EXERCISE\n",
            r#"{"subject":"email","value":"EXERCISE@example.org","remove":true}"#,
        );
        let (lines, taken) = read(text.as_bytes()).unwrap();
        let refused: Vec<_> = taken.refusals.iter().map(|no| (no.line, no.reason)).collect();
        assert_eq!(refused, [(2, "bad-identifier"), (4, "one-name"), (5, "malformed"), (6, "malformed")]);
        assert_eq!((lines.len(), taken.refused), (2, 4));
        let entry = new_entry(&lines[0]);
        assert_eq!((entry.canonical, entry.category, entry.tlp), ("9074729", Category::Sanctioned as u8, 1));
        assert!(lines[1].given.remove);
        // What is refused may be a person's: the answer does not repeat it.
        assert!(!taken.refusals.iter().any(|no| no.detail.contains("Sukarno") || no.detail.contains("9074728")));
    }

    #[test]
    fn of_lines_about_one_entry_the_last_counts() {
        let line = |value: &str, remove: bool| {
            entry(format!(r#"{{"subject":"imo","value":"{value}","remove":{remove}}}"#).as_bytes()).unwrap()
        };
        let (moved, gone, unlisted) = ("9074729", "9176187", "9319466");
        let lines = [line(moved, true), line(gone, false), line(unlisted, true), line(moved, false), line(gone, true)];
        let (on, off) = in_order(&lines);
        assert_eq!(on.iter().map(|entry| entry.canonical).collect::<Vec<_>>(), [gone, moved]);
        assert_eq!(off, [("imo", unlisted), ("imo", gone)]);
    }

    #[test]
    fn too_many_lines_are_refused_together_and_so_are_none() {
        assert_eq!(read(b" \n\n").err().map(|no| no.reason), Some("malformed"));
        let text = "{}\n".repeat(LINES_MAX + 1);
        assert_eq!(read(text.as_bytes()).err().map(|no| no.reason), Some("too-many-lines"));
    }
}
