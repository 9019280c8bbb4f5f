//! `search`.

use serde_json::Value;

use crate::args::SearchArgs;
use crate::client::{Client, escape};
use crate::output::{Output, Table, short, text_of};
use crate::when::show_ms;

/// Finds records, the newest first.
pub(super) async fn run(client: &Client, args: &SearchArgs, output: Output) -> anyhow::Result<()> {
    let page = client.get(&path(args)).await?;
    output.show(&page, || words(&page))?;
    Ok(())
}

fn path(args: &SearchArgs) -> String {
    let mut path = format!("/api/v1/search?limit={}", args.limit);
    let mut say = |name: &str, value: &str| path.push_str(&format!("&{name}={}", escape(value)));
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
    for (name, value) in [
        ("thread", &args.thread),
        ("about", &args.about),
        ("box", &args.area),
        ("near", &args.near),
        ("after", &args.after),
    ] {
        value.iter().for_each(|value| say(name, value));
    }
    for (name, value) in [("from", args.from), ("until", args.until)] {
        value.iter().for_each(|value| say(name, &value.to_string()));
    }
    path
}

fn words(page: &Value) -> String {
    let mut table = Table::new(&["received", "record", "from", "kind", "label", "title"]);
    for hit in page["hits"].as_array().into_iter().flatten() {
        table.row([
            hit["received_at_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short(hit["record"].as_str().unwrap_or_default()).to_owned(),
            text_of(&hit["author"]),
            text_of(&hit["kind"]),
            format!("TLP:{}", text_of(&hit["tlp"])),
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
    use serde_json::json;

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
        let question = path(&args);
        assert!(
            question.starts_with(
                "/api/v1/search?limit=7&q=t%C3%A0u%20%22laut%20natuna%22&kind=report&tlp=RED&code=H1&near="
            ),
            "{question}"
        );
    }

    #[test]
    fn what_was_found_is_a_table() {
        let hit = json!({ "record": "ab".repeat(32), "author": "vn-police", "kind": "report", "tlp": "RED",
            "received_at_ms": 1_795_294_800_000_u64, "title": "EXERCISE\u{1b}" });
        let text =
            words(&json!({ "hits": [hit], "count": { "number": 1000, "more": true }, "next": "x", "complete": false }));
        for part in [
            "abababababab  vn-police  report  TLP:RED  EXERCISE\u{fffd}",
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
