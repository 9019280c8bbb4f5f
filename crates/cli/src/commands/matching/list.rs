//! `match list`: what this agency lists, and by which keys and filters lists are known, here and there.

use axum::body::Body;
use http::Method;
use mufakat_record::kinds::match_ask::Item;
use serde_json::{Value, json};

use super::import::{self, NDJSON, PATH};
use super::{ROWS_MAX, VIEW, counted, facets, subject_shown};
use crate::args::MatchList;
use crate::client::{Client, json_of};
use crate::failure::refused;
use crate::output::{Output, Table, clean, facts, text_of};
use crate::when::{now_s, show_length, show_s};

/// Carries out one of the commands about lists.
pub(super) async fn run(client: &Client, what: MatchList, output: Output) -> anyhow::Result<()> {
    match what {
        MatchList::Import(args) => import::run(client, &args, output).await,
        MatchList::Counts => {
            let answer = client.get(PATH).await?;
            Ok(output.show(&answer, || counts_words(&answer))?)
        }
        MatchList::Entry { number } => {
            let entry = client.get(&format!("{PATH}/{number}")).await?;
            Ok(output.show(&entry, || entry_words(&entry))?)
        }
        MatchList::Remove { entry } => remove(client, &entry, output).await,
        MatchList::Health { all } => health(client, all, output).await,
    }
}

fn counts_words(answer: &Value) -> String {
    let mut table = Table::new(&["subject", "category", "entries"]);
    let counts = answer["counts"].as_array().map(Vec::as_slice).unwrap_or_default();
    for count in counts {
        table.row(["subject", "category", "count"].map(|name| text_of(&count[name])));
    }
    let total = counts.iter().filter_map(|count| count["count"].as_u64()).sum();
    let text = table.text("nothing is listed");
    if total == 0 { text } else { format!("{text}\n{}\n", counted(total, "entry", "entries")) }
}

fn entry_words(entry: &Value) -> String {
    let removed = if entry["removed"] == true { "taken off; some partner was not told yet" } else { "listed" };
    facts(&[
        ("number", text_of(&entry["handle"])),
        ("subject", text_of(&entry["subject"])),
        ("value", text_of(&entry["value"])),
        ("category", text_of(&entry["category"])),
        ("label", format!("TLP:{}", text_of(&entry["tlp"]))),
        ("note", text_of(&entry["note"])),
        ("expires", entry["expires"].as_u64().map(show_s).unwrap_or_default()),
        ("state", removed.to_owned()),
    ])
}

async fn remove(client: &Client, entry: &Item, output: Output) -> anyhow::Result<()> {
    let mut line = json!(entry);
    line["remove"] = true.into();
    let answer = client.request(Method::POST, PATH, Some(NDJSON), Body::from(line.to_string())).await?;
    let answer = json_of(answer).await?;
    if let Some(no) = answer["refusals"].get(0) {
        let detail = format!("{} ({})", clean(&text_of(&no["detail"])), clean(&text_of(&no["reason"])));
        return Err(refused("not-taken", detail));
    }
    if answer["removed"] == 0 {
        return Err(refused("not-listed", "this is not listed; nothing was taken off"));
    }
    Ok(output.show(&answer, || "taken off; partners are told with the next filter\n".to_owned())?)
}

async fn health(client: &Client, all: bool, output: Output) -> anyhow::Result<()> {
    let now_s = now_s();
    let mut rows = client.rows(VIEW, &facets(&[("row", "key")]), ROWS_MAX).await?;
    for row in &mut rows {
        let wrong = wrong(&row["body"], now_s);
        row["body"]["wrong"] = json!(wrong);
    }
    // What has a newer key in its place and is over is history.
    rows.retain(|row| all || row["body"]["replaced"] != true || row["body"]["until"].as_u64() > Some(now_s));
    let answer = json!({ "keys": rows });
    Ok(output.show(&answer, || health_words(&answer, now_s))?)
}

/// What people should look at in a key, if anything.
fn wrong(key: &Value, now_s: u64) -> Option<&'static str> {
    let over = key["until"].as_u64().is_some_and(|until| until <= now_s);
    let empty = key["filters"].as_array().is_none_or(Vec::is_empty);
    match (key["replaced"] == true, over, empty) {
        (true, ..) => Some("replaced"),
        (false, true, _) => Some("old: over, and there is no newer key"),
        (false, false, true) => Some("no filter yet"),
        (false, false, false) => None,
    }
}

fn health_words(answer: &Value, now_s: u64) -> String {
    let headings = ["list", "partner", "subject", "epoch", "until", "filters", "room for", "newest", "look at"];
    let mut table = Table::new(&headings);
    let rows = answer["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut keys: Vec<&Value> = rows.iter().map(|row| &row["body"]).collect();
    keys.sort_by_cached_key(|key| {
        (["side", "partner", "subject"].map(|name| text_of(&key[name])), std::cmp::Reverse(key["epoch"].as_u64()))
    });
    for key in &keys {
        let filters = key["filters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let newest = filters.last().and_then(|filter| filter["at_ms"].as_u64());
        let age = newest.map(|at_ms| format!("{} ago", show_length(now_s.saturating_sub(at_ms / 1000))));
        table.row([
            if key["side"] == "given" { "own, told to" } else { "got from" }.to_owned(),
            text_of(&key["partner"]),
            subject_shown(&key["subject"], &key["enumerable"]),
            text_of(&key["epoch"]),
            key["until"].as_u64().map(show_s).unwrap_or_default(),
            match filters.len() {
                0 => "none".to_owned(),
                1 => "whole".to_owned(),
                more => format!("whole + {}", more - 1),
            },
            filters.first().map(|filter| text_of(&filter["class"])).unwrap_or_default(),
            age.unwrap_or_default(),
            text_of(&key["wrong"]),
        ]);
    }
    let wrong = keys.iter().filter(|key| key["wrong"].as_str().is_some_and(|wrong| wrong != "replaced")).count();
    let text = table.text("no list is told of, here or there");
    match wrong as u64 {
        0 => text,
        wrong => format!("{text}\n{} a look\n", counted(wrong, "key needs", "keys need")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(side: &str, epoch: u32, until: u64, replaced: bool, filters: usize) -> Value {
        let filters: Vec<_> =
            (0..filters).map(|number| json!({ "class": 1000, "at_ms": 1_000 * number as u64 })).collect();
        json!({ "side": side, "partner": "ru-police", "subject": "imo", "enumerable": true, "epoch": epoch,
            "until": until, "replaced": replaced, "filters": filters })
    }

    #[test]
    fn keys_tell_what_is_wrong_with_them() {
        for (key, expect) in [
            (key("given", 1, 100, false, 1), None),
            (key("given", 1, 100, false, 0), Some("no filter yet")),
            (key("got", 1, 50, false, 3), Some("old: over, and there is no newer key")),
            (key("got", 1, 100, true, 1), Some("replaced")),
            (key("got", 1, 50, true, 1), Some("replaced")),
        ] {
            assert_eq!(wrong(&key, 50), expect, "{key}");
        }
    }

    #[test]
    fn health_is_a_table() {
        let row = |mut key: Value| {
            key["wrong"] = json!(wrong(&key, 62));
            json!({ "body": key })
        };
        let rows = [
            row(key("got", 7, 60, false, 3)),
            row(key("given", 7, 100, true, 1)),
            row(key("given", 8, 1_795_294_800, false, 0)),
        ];
        let text = health_words(&json!({ "keys": rows }), 62);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("own, told to  ru-police  imo (not secret)  8"), "{text}");
        assert!(lines[1].contains("2026-11-21T21:00:00Z  none") && lines[1].ends_with("no filter yet"), "{text}");
        assert!(lines[2].contains("whole ") && lines[2].ends_with("replaced"), "{text}");
        assert!(lines[3].starts_with("got from") && lines[3].contains("whole + 2  1000      1 min ago"), "{text}");
        assert!(text.ends_with("\n2 keys need a look\n"), "{text}");
    }

    #[test]
    fn counts_and_entries_are_shown() {
        let text = counts_words(&json!({ "counts": [{ "subject": "imo", "category": "stolen", "count": 1 }] }));
        assert_eq!(text, "SUBJECT  CATEGORY  ENTRIES\nimo      stolen    1\n\n1 entry\n");
        assert_eq!(counts_words(&json!({ "counts": [] })), "nothing is listed\n");
        let text =
            entry_words(&json!({ "handle": 0, "subject": "passport", "value": "VNM:C1234567", "category": "stolen",
            "tlp": "AMBER", "note": "EXERCISE\u{1b}", "expires": 60, "removed": true }));
        for part in ["number    0", "TLP:AMBER", "EXERCISE\u{fffd}", "1970-01-01T00:01:00Z", "taken off"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
