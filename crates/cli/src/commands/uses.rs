//! `uses`, `who-knew` and `replay`: who did what with a record, and the desk as it was.

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::args::{KnownArgs, ReplayArgs};
use crate::client::{Client, escape};
use crate::output::{Output, Table, short, text_of};
use crate::when::{show_ms, show_s};

/// How often the node is asked while it makes a replay.
const ASK_PAUSE: Duration = Duration::from_millis(500);

async fn knowledge(client: &Client, args: &KnownArgs) -> anyhow::Result<Value> {
    let id = client.record_id(&args.record).await?;
    let after = args.after.map(|leaf| format!("&after={leaf}")).unwrap_or_default();
    client.get(&format!("/api/v1/records/{id}/knowledge?limit={}{after}", args.limit)).await
}

/// Shows how a record was used here, and how its recipients say that they used it.
pub(super) async fn uses(client: &Client, args: &KnownArgs, output: Output) -> anyhow::Result<()> {
    let known = knowledge(client, args).await?;
    Ok(output.show(&known, || format!("{}\n{}", used_by_words(&known), acts_words(&known)))?)
}

/// Shows everything about who knew of a record, and when.
pub(super) async fn who_knew(client: &Client, args: &KnownArgs, output: Output) -> anyhow::Result<()> {
    let known = knowledge(client, args).await?;
    Ok(output.show(&known, || {
        let came = known["at_ms"].as_u64().map(show_ms).unwrap_or_default();
        let head = format!("record {}\nof {}, here since {came}\n", text_of(&known["id"]), author(&known));
        let parts = [head, released_words(&known), about_words(&known), used_by_words(&known), acts_words(&known)];
        parts.join("\n")
    })?)
}

fn author(known: &Value) -> String {
    known["author"].as_str().unwrap_or("an author who is deleted with it").to_owned()
}

fn released_words(known: &Value) -> String {
    let mut table = Table::new(&["released to", "state", "when", "leaf there"]);
    for row in known["released"].as_array().into_iter().flatten() {
        table.row([
            text_of(&row["to"]),
            text_of(&row["state"]),
            row["at_ms"].as_u64().map(show_ms).unwrap_or_default(),
            text_of(&row["index"]),
        ]);
    }
    table.text("this agency did not release it")
}

fn about_words(known: &Value) -> String {
    let mut table = Table::new(&["said later", "by", "when", "record"]);
    for row in known["about"].as_array().into_iter().flatten() {
        table.row([
            text_of(&row["kind"]),
            text_of(&row["author"]),
            row["at_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short(row["record"].as_str().unwrap_or_default()).to_owned(),
        ]);
    }
    table.text("nothing was said about it later")
}

fn used_by_words(known: &Value) -> String {
    let mut table = Table::new(&["used by", "how", "role", "purpose", "times", "first", "last"]);
    for row in known["used_by"].as_array().into_iter().flatten() {
        for one in row["uses"].as_array().into_iter().flatten() {
            table.row([
                text_of(&row["agency"]),
                text_of(&one["how"]),
                text_of(&one["role"]),
                text_of(&one["purpose"]),
                text_of(&one["count"]),
                one["first"].as_u64().map(show_s).unwrap_or_default(),
                one["last"].as_u64().map(show_s).unwrap_or_default(),
            ]);
        }
    }
    table.text("no recipient has said that it used it")
}

fn acts_words(known: &Value) -> String {
    let mut table = Table::new(&["when", "here", "officer", "role", "purpose", "refused by", "leaf"]);
    for act in known["acts"].as_array().into_iter().flatten() {
        let more = act["more"].as_u64().map(|more| format!(" (+{more} records)")).unwrap_or_default();
        table.row([
            act["at_ms"].as_u64().map(show_ms).unwrap_or_default(),
            format!("{}{more}", text_of(&act["how"])),
            text_of(&act["officer"]),
            text_of(&act["role"]),
            text_of(&act["purpose"]),
            text_of(&act["refused"]),
            text_of(&act["leaf"]),
        ]);
    }
    let text = table.text("nothing was done with it here");
    match known["next"].as_u64() {
        Some(next) => format!("{text}\nmore with: --after {next}\n"),
        None => text,
    }
}

/// Shows a view as it was.
pub(super) async fn replay(client: &Client, args: &ReplayArgs, output: Output) -> anyhow::Result<()> {
    let mut path = format!("/api/v1/replay?view={}&at={}&limit={}", escape(&args.view), args.at, args.limit);
    let facets = args.facet.iter().map(|facet| ("facet", facet));
    for (name, value) in args.after.iter().map(|after| ("after", after)).chain(facets) {
        path.push_str(&format!("&{name}={}", escape(value)));
    }
    let page = loop {
        let answer = client.get(&path).await?;
        if answer["rows"].is_array() {
            break answer;
        }
        let replay = &answer["replay"];
        let (folded, leaves) = (replay["folded"].as_u64(), replay["leaves"].as_u64());
        let (folded, leaves) = folded.zip(leaves).context("the node gives neither a page nor how far it is")?;
        eprintln!("{folded} of {leaves} leaves are folded again");
        tokio::time::sleep(ASK_PAUSE).await;
    };
    Ok(output.show(&page, || rows_words(&page))?)
}

fn rows_words(page: &Value) -> String {
    let replay = &page["replay"];
    let mut table = Table::new(&["time", "record", "row"]);
    for row in page["rows"].as_array().into_iter().flatten() {
        table.row([
            row["time_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short(row["record"].as_str().unwrap_or_default()).to_owned(),
            row_words(&row["body"]),
        ]);
    }
    let mut text = format!(
        "{} on {}, after {} leaves (folded in {} ms)\n{}",
        text_of(&replay["view"]),
        replay["at_ms"].as_u64().map(show_ms).unwrap_or_default(),
        text_of(&replay["leaves"]),
        text_of(&replay["took_ms"]),
        table.text("there was nothing")
    );
    if let Some(next) = page["next"].as_str() {
        text.push_str(&format!("\nmore with: --after {next}\n"));
    }
    text
}

/// What most rows have, the state first.
fn row_words(body: &Value) -> String {
    let fields = ["state", "to", "author", "by", "kind", "tlp", "how", "officer", "reason", "title"];
    let shown = fields.into_iter().map(|field| text_of(&body[field])).filter(|text| !text.is_empty());
    shown.collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_sides_are_shown() {
        let known = json!({
            "id": "ab".repeat(32), "author": "vn-police", "at_ms": 1_795_294_800_000_u64, "next": 9,
            "released": [{ "to": "ru-police", "state": "accepted", "at_ms": 1_795_294_801_000_u64, "index": 4 }],
            "about": [], "used_by": [{ "agency": "ru-police", "uses": [{ "how": "read", "role": "analyst", "purpose": null,
                "count": 3, "first": 1_795_294_800, "last": 1_795_294_900 }] }],
            "acts": [{ "leaf": 9, "how": "hit", "officer": "d3-night", "more": 49, "at_ms": 1_795_294_800_000_u64 }],
        });
        assert!(used_by_words(&known).contains("ru-police  read  analyst"));
        assert!(acts_words(&known).contains("hit (+49 records)  d3-night"));
        assert!(acts_words(&known).ends_with("more with: --after 9\n"));
        assert!(released_words(&known).contains("ru-police    accepted  2026-11-21T21:00:01Z  4"));
        assert_eq!(about_words(&known), "nothing was said about it later\n");
    }

    #[test]
    fn rows_of_the_past_are_shown_in_short() {
        let page = json!({ "rows": [{ "time_ms": 0, "record": "ab".repeat(32), "body": { "state": "deleted", "received_at_ms": 1 } }],
            "next": null, "replay": { "view": "inbox", "at_ms": 1_795_294_800_000_u64, "leaves": 7, "took_ms": 3 } });
        let text = rows_words(&page);
        assert!(text.starts_with("inbox on 2026-11-21T21:00:00Z, after 7 leaves"), "{text}");
        assert!(text.contains("deleted"));
    }
}
