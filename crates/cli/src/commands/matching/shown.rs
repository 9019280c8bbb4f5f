//! `match show`, `asks`, `hits` and `watch list`: what was asked, and what partners' answers and filters say of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{by_shown, counted, more, page, questions_of, rows_of, short_of, subject_shown, whose};
use crate::args::PageArgs;
use crate::client::Client;
use crate::output::{Output, Table, facts, join, short, text_of};
use crate::when::{show_ms, show_s};

/// The subject of names.
const NAME: &str = "name";
/// Stands under every table with a candidate in it.
const CANDIDATES: &str = "\
A candidate is a name written alike, with the same year of birth or one beside it: it may be another person.
";

/// That there are so few of some subjects that a list of them cannot be kept secret.
pub(super) fn not_secret(subjects: &str) -> String {
    format!(
        "{subjects}: auditable, not secret: there are so few that a list can be found out by asking for all of them\n"
    )
}

/// What became of a question, in the order in which people want to see it: a name is never more than a candidate.
fn outcome(question: &Value) -> (u8, String) {
    let state = text_of(&question["state"]);
    let reason = text_of(&question["reason"]);
    let with_reason = if reason.is_empty() { state.clone() } else { format!("{state}: {reason}") };
    match state.as_str() {
        "hit" if question["subject"] == NAME => (1, "candidate".to_owned()),
        "hit" => (0, state),
        "fault" => (2, with_reason),
        "refused" => (3, with_reason),
        "waiting" => (4, state),
        // The answer is here, and the filter into which it is to be looked is not.
        "answered" => (5, "answered, no filter yet".to_owned()),
        _ => (6, with_reason),
    }
}

/// Of when the list is that was looked into, and whether the partner has told of another since.
fn list_of(question: &Value) -> String {
    let at = question["list_at_ms"].as_u64().map(show_ms).unwrap_or_default();
    match question["list_changed"] == true {
        true if at.is_empty() => "changed since".to_owned(),
        true => format!("{at}, changed since"),
        false => at,
    }
}

fn confidence(hit: &Value) -> String {
    match hit["confidence"].as_str() {
        Some("name-folded") => "candidate, spelt alike".to_owned(),
        Some("name-skeleton") => "candidate, same consonants".to_owned(),
        Some("name-coarse") => "candidate, like consonants".to_owned(),
        _ => text_of(&hit["confidence"]),
    }
}

fn item_shown(items: &Value, number: &Value) -> String {
    let item = number.as_u64().and_then(|number| items.get(number as usize));
    let value = item.map(|item| match item["birth_year"].as_u64() {
        Some(year) => format!("{}, born {year}", text_of(&item["value"])),
        None => text_of(&item["value"]),
    });
    format!("{number} {}", value.unwrap_or_default())
}

/// One ask, with everything that came of it.
pub(super) fn ask_words(ask: &Value) -> String {
    let id = text_of(&ask["id"]);
    let items = ask["items"].as_array().map_or(0, |items| items.len() as u64);
    let until = ask["watch_until"].as_u64().map(show_s);
    let watched = match ask["ended_ms"].as_u64() {
        Some(ended) => until.map(|_| format!("no more, ended {}", show_ms(ended))),
        None => until.map(|until| format!("until {until}")),
    };
    let mut text = facts(&[
        ("ask", id.clone()),
        ("asked by", by_shown(&ask["by"])),
        ("purpose", text_of(&ask["purpose"])),
        ("case", text_of(&ask["case"])),
        ("legal basis", text_of(&ask["basis"])),
        ("about", counted(items, "item", "items")),
        ("watched", watched.unwrap_or_default()),
    ]);
    let mut table = Table::new(&[
        "partner",
        "subject",
        "state",
        "list of",
        "item",
        "confidence",
        "category",
        "label",
        "partner's no.",
        "question",
    ]);
    let mut questions: Vec<&Value> = ask["questions"].as_array().into_iter().flatten().collect();
    questions.sort_by_cached_key(|question| (outcome(question).0, text_of(&question["partner"])));
    for question in &questions {
        let first = [
            text_of(&question["partner"]),
            subject_shown(&question["subject"], &question["enumerable"]),
            outcome(question).1,
            list_of(question),
        ];
        let hits = question["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
        for hit in hits {
            let [partner, subject, state, list] = first.clone();
            table.row([
                partner,
                subject,
                state,
                list,
                item_shown(&ask["items"], &hit["item"]),
                confidence(hit),
                text_of(&hit["category"]),
                format!("TLP:{}", text_of(&hit["tlp"])),
                text_of(&hit["handle"]),
                short_of(&question["question"]),
            ]);
        }
        if hits.is_empty() {
            let ([partner, subject, state, list], none) = (first, String::new);
            let question = short_of(&question["question"]);
            table.row([partner, subject, state, list, none(), none(), none(), none(), none(), question]);
        }
    }
    for (partner, subject) in unasked(ask) {
        let none = String::new;
        let state = "not asked: no-list".into();
        table.row([partner, subject, state, none(), none(), none(), none(), none(), none(), none()]);
    }
    text.push('\n');
    text.push_str(&table.text("nobody was asked yet"));
    text.push('\n');
    text.push_str(&told(&questions, items));
    if questions.iter().any(|question| question["enumerable"] == true) {
        let enumerable = questions.iter().filter(|question| question["enumerable"] == true);
        let subjects: BTreeSet<_> = enumerable.map(|question| text_of(&question["subject"])).collect();
        text.push_str(&not_secret(&subjects.into_iter().collect::<Vec<_>>().join(", ")));
    }
    if questions.iter().any(|question| question["state"] == "hit") {
        let hits: usize = questions.iter().map(|question| question["hits"].as_array().map_or(0, Vec::len)).sum();
        let which = if hits > 1 { " --question QUESTION --item ITEM, both as in the row" } else { "" };
        text.push_str(&format!("to ask what stands behind it: mufakat match request {}{which}\n", short(&id)));
    }
    text
}

/// The partners and subjects of an ask about which nothing was asked.
fn unasked(ask: &Value) -> Vec<(String, String)> {
    let list = |name: &str| ask[name].as_array().into_iter().flatten();
    let subjects: BTreeSet<String> = list("items").map(|item| text_of(&item["subject"])).collect();
    let asked: BTreeSet<(String, String)> =
        list("questions").map(|question| (text_of(&question["partner"]), text_of(&question["subject"]))).collect();
    let pairs = list("partners").flat_map(|partner| subjects.iter().map(|subject| (text_of(partner), subject.clone())));
    pairs.filter(|pair| !asked.contains(pair)).collect()
}

/// What it comes to, in a sentence; and that names are candidates.
fn told(questions: &[&Value], items: u64) -> String {
    let hits = |name: bool| -> u64 {
        let of = questions.iter().filter(|question| (question["subject"] == NAME) == name);
        of.map(|question| question["hits"].as_array().map_or(0, |hits| hits.len() as u64)).sum()
    };
    let open = questions.iter().filter(|question| matches!(question["state"].as_str(), Some("waiting" | "answered")));
    let unsaid = questions.iter().filter(|question| matches!(question["state"].as_str(), Some("refused" | "fault")));
    let (exact, candidates) = (hits(false), hits(true));
    let mut parts = vec![counted(exact, "hit", "hits"), counted(candidates, "candidate", "candidates")];
    for (number, one, many) in [
        (open.count() as u64, "question is open", "questions are open"),
        (unsaid.count() as u64, "question got no sound answer", "questions got no sound answer"),
    ] {
        if number > 0 {
            parts.push(counted(number, one, many));
        }
    }
    let listed: BTreeSet<u64> = questions
        .iter()
        .flat_map(|question| question["hits"].as_array().into_iter().flatten())
        .filter_map(|hit| hit["item"].as_u64())
        .collect();
    let unlisted = items.saturating_sub(listed.len() as u64);
    if unlisted > 0 && questions.iter().any(|question| matches!(question["state"].as_str(), Some("hit" | "miss"))) {
        parts.push(format!("{} with no hit", counted(unlisted, "item", "items")));
    }
    let candidates = if candidates > 0 { CANDIDATES } else { "" };
    format!("{}\n{candidates}", parts.join("; "))
}

/// Asks with these facets, and what became of their questions.
pub(super) async fn asks(
    client: &Client,
    args: &PageArgs,
    only: &[(&str, &str)],
    output: Output,
) -> anyhow::Result<()> {
    let by = whose(client, args).await?;
    let mut pairs = vec![("row", "ask")];
    pairs.extend(by.as_deref().map(|by| ("by", by)));
    pairs.extend(only);
    let mut page = page(client, &pairs, &args.rows).await?;
    for row in page["rows"].as_array_mut().into_iter().flatten() {
        let questions = questions_of(client, row["record"].as_str().unwrap_or_default()).await?;
        row["body"]["states"] = states(&questions);
    }
    Ok(output.show(&page, || asks_words(&page))?)
}

/// How many questions came to what.
fn states(questions: &[Value]) -> Value {
    let mut states = json!({});
    for question in questions.iter().map(|row| &row["body"]) {
        // One that is a hit counts by what is listed, the others by themselves.
        let (name, number) = match question["state"].as_str() {
            Some("hit") => {
                let name = if question["subject"] == NAME { "candidates" } else { "hits" };
                (name, question["hits"].as_array().map_or(0, |hits| hits.len() as u64))
            }
            Some(state) => (state, 1),
            None => continue,
        };
        states[name] = (states[name].as_u64().unwrap_or_default() + number).into();
    }
    states
}

fn asks_words(page: &Value) -> String {
    let mut rows: Vec<&Value> = rows_of(page).iter().collect();
    let number = |row: &Value, name: &str| row["body"]["states"][name].as_u64().unwrap_or_default();
    // The newest come first already; of these, those with hits, then those with candidates.
    rows.sort_by_key(|row| (number(row, "hits") == 0, number(row, "candidates") == 0));
    let mut table =
        Table::new(&["asked", "ask", "by", "case", "purpose", "of", "items", "what came of it", "watched until"]);
    for row in rows {
        let body = &row["body"];
        let one_or_many = [
            ("hits", "hit", "hits"),
            ("candidates", "candidate", "candidates"),
            ("fault", "fault", "faults"),
            ("refused", "refused", "refused"),
            ("waiting", "waiting", "waiting"),
            ("answered", "answered", "answered"),
            ("miss", "miss", "misses"),
        ];
        let came = one_or_many.iter().map(|(name, one, many)| (number(row, name), one, many));
        let came = came.filter(|(number, ..)| *number > 0).map(|(number, one, many)| counted(number, one, many));
        let came = came.collect::<Vec<_>>().join(", ");
        let watched = match body["ended_ms"].is_null() {
            true => body["watch_until"].as_u64().map(show_s).unwrap_or_default(),
            false => "ended".to_owned(),
        };
        table.row([
            row["time_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short_of(&row["record"]),
            by_shown(&body["by"]),
            text_of(&body["case"]),
            text_of(&body["purpose"]),
            join(&body["partners"]),
            text_of(&body["items"]),
            if came.is_empty() { "nobody was asked yet".to_owned() } else { came },
            watched,
        ]);
    }
    format!("{}{}", table.text("nothing was asked"), more(page))
}

/// What partners list of what was asked.
pub(super) async fn hits(client: &Client, args: &PageArgs, output: Output) -> anyhow::Result<()> {
    let by = whose(client, args).await?;
    let mut pairs = vec![("row", "question"), ("state", "hit")];
    pairs.extend(by.as_deref().map(|by| ("by", by)));
    let page = page(client, &pairs, &args.rows).await?;
    Ok(output.show(&page, || hits_words(&page))?)
}

fn hits_words(page: &Value) -> String {
    let headings =
        ["seen", "ask", "partner", "subject", "item", "confidence", "category", "label", "partner's no.", "question"];
    let mut table = Table::new(&headings);
    let mut candidates = false;
    for body in rows_of(page).iter().map(|row| &row["body"]) {
        candidates |= body["subject"] == NAME;
        for hit in body["hits"].as_array().into_iter().flatten() {
            table.row([
                body["looked_ms"].as_u64().map(show_ms).unwrap_or_default(),
                short_of(&body["ask"]),
                text_of(&body["partner"]),
                text_of(&body["subject"]),
                text_of(&hit["item"]),
                confidence(hit),
                text_of(&hit["category"]),
                format!("TLP:{}", text_of(&hit["tlp"])),
                text_of(&hit["handle"]),
                short_of(&body["question"]),
            ]);
        }
    }
    let candidates = if candidates { CANDIDATES } else { "" };
    format!("{}{}{candidates}", table.text("there are no hits"), more(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    fn hit(item: u32, confidence: &str, handle: u32) -> Value {
        json!({ "item": item, "confidence": confidence, "category": "stolen", "tlp": "AMBER", "handle": handle })
    }

    fn question(partner: &str, subject: &str, state: &str, hits: &[Value]) -> Value {
        json!({ "question": "cd".repeat(32), "partner": partner, "subject": subject, "state": state, "hits": hits,
            "enumerable": subject == "imo", "reason": (state == "refused").then_some("budget-exhausted"), "looked_ms": 0 })
    }

    #[test]
    fn hits_come_first_and_names_are_candidates() {
        let ask = json!({
            "id": "ab".repeat(32), "by": "d3-night", "purpose": "EXERCISE p", "case": "EXERCISE c", "basis": "EXERCISE b",
            "partners": ["hub", "id-navy", "ru-police", "th-police", "vn-navy"], "watch_until": 1_795_294_800,
            "items": [{ "subject": "imo", "value": "9074729" },
                { "subject": "name", "value": "EXERCISE An\u{202e}", "birth_year": 1980 }],
            "questions": [
                question("hub", "imo", "miss", &[]),
                question("hub", "name", "refused", &[]),
                question("id-navy", "imo", "waiting", &[]),
                question("id-navy", "name", "answered", &[]),
                question("ru-police", "name", "hit", &[hit(1, "name-folded", 7)]),
                question("ru-police", "imo", "miss", &[]),
                question("th-police", "imo", "hit", &[hit(0, "exact", 0)]),
                question("th-police", "name", "miss", &[]),
                question("vn-navy", "name", "miss", &[]),
            ],
        });
        let text = ask_words(&ask);
        contains(
            &text,
            &[
                "watched      until 2026-11-21T21:00:00Z",
                "0 9074729",
                "exact",
                "stolen",
                "TLP:AMBER",
                "1 EXERCISE An\u{fffd}, born 1980",
                "candidate, spelt alike",
                "refused: budget-exhausted",
                "answered, no filter yet",
                "not asked: no-list",
                "1 hit; 1 candidate; 2 questions are open; 1 question got no sound answer\n",
                "it may be another person",
                "imo: auditable, not secret",
                "mufakat match request abababababab --question QUESTION --item ITEM, both as in the row\n",
            ],
        );
        let order: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let from = order.iter().position(|first| *first == "PARTNER").unwrap();
        let partners = ["th-police", "ru-police", "hub", "id-navy", "id-navy", "hub", "ru-police", "th-police"];
        assert_eq!(order[from + 1..from + 9], partners, "{text}");
    }

    #[test]
    fn a_name_alone_is_never_called_a_hit() {
        let ask = json!({ "id": "ab".repeat(32), "items": [{ "subject": "name", "value": "EXERCISE An", "birth_year": 1980 }],
            "partners": ["ru-police"], "questions": [question("ru-police", "name", "hit", &[hit(0, "name-coarse", 7)])] });
        let text = ask_words(&ask);
        contains(&text, &["ru-police  name     candidate", "0 EXERCISE An, born 1980", "0 hits; 1 candidate\n"]);
        assert!(!text.contains("not secret"), "{text}");
    }

    #[test]
    fn how_old_the_list_is_stands_beside_what_it_says() {
        for (list_at_ms, list_changed, expect) in [
            (json!(0), false, "1970-01-01T00:00:00Z"),
            (json!(0), true, "1970-01-01T00:00:00Z, changed since"),
            (Value::Null, true, "changed since"),
            (Value::Null, false, ""),
        ] {
            assert_eq!(list_of(&json!({ "list_at_ms": list_at_ms, "list_changed": list_changed })), expect);
        }
    }

    #[test]
    fn an_ask_that_only_watches_says_so() {
        let ask = json!({ "id": "ab".repeat(32), "items": [{ "subject": "imo", "value": "9074729" }], "partners": [],
            "questions": [], "watch_until": 1, "ended_ms": 2_000 });
        contains(
            &ask_words(&ask),
            &["no more, ended 1970-01-01T00:00:02Z", "nobody was asked yet", "0 hits; 0 candidates"],
        );
    }

    #[test]
    fn asks_with_hits_come_before_newer_ones() {
        let row = |id: &str, states: Value| {
            json!({ "record": id, "time_ms": 0, "body": { "case": id, "partners": ["ru-police", "hub"], "items": 3,
                "states": states, "by": null, "watch_until": 1, "ended_ms": null } })
        };
        let rows = [
            row("aaaa", json!({ "miss": 2 })),
            row("bbbb", json!({ "candidates": 1, "waiting": 1 })),
            row("cccc", json!({})),
            row("dddd", json!({ "hits": 2, "miss": 1 })),
        ];
        let text = asks_words(&json!({ "rows": rows, "next": "x" }));
        let order: Vec<_> = text.lines().filter_map(|line| line.split("  ").nth(1)).collect();
        assert_eq!(order[1..5], ["dddd", "bbbb", "aaaa", "cccc"].map(str::trim), "{text}");
        contains(
            &text,
            &[
                "2 hits, 1 miss ",
                "1 candidate, 1 waiting",
                "2 misses",
                "nobody was asked yet",
                "at the socket",
                "--after x",
            ],
        );
    }

    #[test]
    fn states_are_counted_by_what_is_listed() {
        let rows: Vec<_> = [
            question("a", "imo", "hit", &[hit(0, "exact", 1), hit(1, "exact", 2)]),
            question("b", "name", "hit", &[hit(2, "name-folded", 1)]),
            question("c", "imo", "miss", &[]),
            question("d", "imo", "miss", &[]),
        ]
        .into_iter()
        .map(|body| json!({ "body": body }))
        .collect();
        assert_eq!(states(&rows), json!({ "hits": 2, "candidates": 1, "miss": 2 }));
    }

    #[test]
    fn hits_are_a_table() {
        let row = |body: Value| json!({ "record": "ab".repeat(32), "body": body });
        let rows = [
            row(question("ru-police", "passport", "hit", &[hit(3, "exact", 4711)])),
            row(question("hub", "name", "hit", &[hit(0, "name-skeleton", 9)])),
        ];
        let text = hits_words(&json!({ "rows": rows }));
        contains(&text, &["4711", "candidate, same consonants", "another person"]);
        assert_eq!(hits_words(&json!({ "rows": [] })), "there are no hits\n");
    }
}
