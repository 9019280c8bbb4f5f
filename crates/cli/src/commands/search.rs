//! `search`.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use crate::args::SearchArgs;
use crate::client::{Client, escape};
use crate::output::{Output, Table, clean, short, text_of};
use crate::when::show_ms;

/// How many of the records that a saved search found last are shown.
const FOUND_SHOWN: usize = 3;

/// Finds records, the newest first; or saves, lists and ends searches.
pub(super) async fn run(client: &Client, args: &SearchArgs, output: Output) -> anyhow::Result<()> {
    if args.saved {
        let saved = client.get("/api/v1/searches").await?;
        output.show(&saved, || saved_words(&saved))?;
    } else if let Some(name) = &args.end {
        let path = format!("/api/v1/searches/{}", escape(name));
        client.request(Method::DELETE, &path, None, Body::empty()).await?;
        let answer = json!({ "ended": name });
        output.show(&answer, || format!("the search {} has ended\n", clean(name)))?;
    } else if let Some(name) = &args.save {
        let asked = json!({ "name": name, "question": question(args) });
        let answer = client.post("/api/v1/searches", &asked).await?;
        output.show(&answer, || "saved; what it finds: mufakat search --saved\n".to_owned())?;
    } else {
        let after = args.after.iter().map(|after| format!("&after={}", escape(after))).collect::<String>();
        let path = format!("/api/v1/search?limit={}&{}{after}", args.limit, question(args));
        let page = client.get(path.trim_end_matches('&')).await?;
        output.show(&page, || words(&page))?;
    }
    Ok(())
}

/// The question as the query of a URL.
fn question(args: &SearchArgs) -> String {
    let mut parts = Vec::new();
    let mut say = |name: &str, value: &str| parts.push(format!("{name}={}", escape(value)));
    if !args.words.is_empty() {
        say("q", &args.words.join(" "));
    }
    for (name, values) in [
        ("kind", &args.kind),
        ("type", &args.report_type),
        ("author", &args.author),
        ("party", &args.party),
        ("identifier", &args.identifier),
    ] {
        values.iter().for_each(|value| say(name, value));
    }
    args.tlp.iter().for_each(|tlp| say("tlp", tlp.name()));
    args.code.iter().for_each(|code| say("code", &format!("{code:?}")));
    for (name, value) in [("thread", &args.thread), ("about", &args.about), ("box", &args.area), ("near", &args.near)] {
        value.iter().for_each(|value| say(name, value));
    }
    for (name, value) in [("from", args.from), ("until", args.until)] {
        value.iter().for_each(|value| say(name, &value.to_string()));
    }
    parts.join("&")
}

fn saved_words(saved: &Value) -> String {
    let mut table = Table::new(&["name", "saved", "alerts", "last", "found", "question"]);
    for search in saved["searches"].as_array().into_iter().flatten() {
        let last = &search["last"];
        let found = last["records"].as_array().into_iter().flatten().filter_map(Value::as_str).map(short);
        table.row([
            text_of(&search["name"]),
            search["saved_ms"].as_u64().map(show_ms).unwrap_or_default(),
            text_of(&search["alerts"]),
            last["at_ms"].as_u64().map(show_ms).unwrap_or_default(),
            found.take(FOUND_SHOWN).collect::<Vec<_>>().join(" "),
            text_of(&search["question"]),
        ]);
    }
    table.text("no search is saved")
}

fn words(page: &Value) -> String {
    let mut table = Table::new(&["received", "record", "from", "kind", "label", "state", "title"]);
    for hit in page["hits"].as_array().into_iter().flatten() {
        table.row([
            hit["received_at_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short(hit["record"].as_str().unwrap_or_default()).to_owned(),
            text_of(&hit["author"]),
            text_of(&hit["kind"]),
            format!("TLP:{}", text_of(&hit["tlp"])),
            text_of(&hit["state"]),
            text_of(&hit["title"]),
        ]);
    }
    let mut text = table.text("nothing was found");
    if let Some(number) = page["count"]["number"].as_u64() {
        let more = if page["count"]["more"] == true { "+" } else { "" };
        text.push_str(&format!("\nfound: {number}{more}\n"));
    }
    if let Some(next) = page["next"].as_str() {
        text.push_str(&format!("more with: --after {next}\n"));
    }
    if page["complete"] == false {
        text.push_str("not everything is listed for searching yet; ask again in a while\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    #[test]
    fn options_become_a_question() {
        let line =
            "mufakat search tàu \"laut natuna\" --kind report --tlp RED --code H1 --near 1.2,103.8,5000 --limit 7";
        // As a shell splits it.
        let words = line
            .replace("\"laut natuna\"", "\u{1}")
            .split(' ')
            .map(|word| word.replace('\u{1}', "\"laut natuna\""))
            .collect::<Vec<_>>();
        let Command::Search(args) = Args::try_parse_from(words).unwrap().command else { panic!("another command") };
        let question = question(&args);
        assert!(
            question.starts_with("q=t%C3%A0u%20%22laut%20natuna%22&kind=report&tlp=RED&code=H1&near="),
            "{question}"
        );
    }

    #[test]
    fn what_was_found_is_a_table() {
        let hit = json!({ "record": "ab".repeat(32), "author": "vn-police", "kind": "report", "tlp": "RED", "state": "corrected",
            "received_at_ms": 1_795_294_800_000_u64, "title": "EXERCISE\u{1b}" });
        let text =
            words(&json!({ "hits": [hit], "count": { "number": 1000, "more": true }, "next": "x", "complete": false }));
        for part in [
            "abababababab  vn-police  report  TLP:RED  corrected  EXERCISE\u{fffd}",
            "found: 1000+",
            "--after x",
            "not everything",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(
            words(&json!({ "hits": [], "count": { "number": 0, "more": false } })).starts_with("nothing was found")
        );
    }
}
