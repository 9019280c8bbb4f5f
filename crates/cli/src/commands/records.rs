//! `inbox`, `show`, `retract` and `correct`.

use std::path::Path;

use serde_json::{Value, json};

use crate::args::InboxArgs;
use crate::client::{Client, escape, save};
use crate::failure::usage;
use crate::output::{Output, Table, bytes_shown, clean, facts, join, short, text_of};
use crate::when::{now_s, show_ms, show_s};

/// The characters of a whole record id.
const ID_CHARS: usize = 64;

/// Shows what has come in, or what was refused.
pub(super) async fn inbox(client: &Client, args: &InboxArgs, output: Output) -> anyhow::Result<()> {
    let view = if args.refused { "refused" } else { "inbox" };
    let order = if args.oldest { "oldest" } else { "newest" };
    let mut path = format!("/api/v1/views/{view}?limit={}&order={order}", args.limit);
    let facets = args.facet.iter().map(|facet| ("facet", facet));
    for (name, value) in args.after.iter().map(|after| ("after", after)).chain(facets) {
        path.push_str(&format!("&{name}={}", escape(value)));
    }
    let page = client.get(&path).await?;
    output.show(&page, || {
        let rows = page["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let table = if args.refused { refused_table(rows) } else { inbox_table(rows) };
        match page["next"].as_str() {
            Some(next) => format!("{table}\nmore with: --after {next}\n"),
            None => table,
        }
    })?;
    Ok(())
}

fn inbox_table(rows: &[Value]) -> String {
    let mut table = Table::new(&["received", "record", "from", "kind", "label", "state", "title"]);
    for row in rows {
        let body = &row["body"];
        table.row([
            row["time_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short(row["record"].as_str().unwrap_or_default()).to_owned(),
            text_of(&body["author"]),
            text_of(&body["kind"]),
            label(&body["tlp"]),
            state(body),
            text_of(&body["title"]),
        ]);
    }
    table.text("nothing has come in")
}

/// The state, and that the record has expired: by its author's word it is not to be used any more.
fn state(record: &Value) -> String {
    let state = text_of(&record["state"]);
    let expired = record["expires"].as_u64().is_some_and(|expires| expires < now_s());
    if expired && record["state"] != "deleted" { format!("{state}, expired") } else { state }
}

fn refused_table(rows: &[Value]) -> String {
    let mut table = Table::new(&["received", "record", "reason"]);
    for row in rows {
        table.row([
            row["time_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short(row["record"].as_str().unwrap_or_default()).to_owned(),
            text_of(&row["body"]["reason"]),
        ]);
    }
    table.text("nothing was refused")
}

fn label(tlp: &Value) -> String {
    tlp.as_str().map(|tlp| format!("TLP:{tlp}")).unwrap_or_default()
}

/// Handling rules on one line, the label first.
pub(super) fn handling_words(handling: &Value) -> String {
    let mut words = vec![label(&handling["tlp"])];
    words.extend([join(&handling["codes"]), join(&handling["purposes"])]);
    if handling["orcon"] == true {
        words.push("originator control".to_owned());
    }
    words.push(text_of(&handling["caveat"]));
    let eyes = handling["eyes"].as_array().into_iter().flatten();
    let eyes: Vec<_> = eyes.map(|one| format!("{}/{}", text_of(&one["agency"]), text_of(&one["officer"]))).collect();
    if !eyes.is_empty() {
        words.push(format!("for the eyes of {}", eyes.join(", ")));
    }
    if let Some(review) = handling["review"].as_u64() {
        words.push(format!("review by {}", show_s(review)));
    }
    words.retain(|word| !word.is_empty());
    words.join("; ")
}

/// Shows a record, or writes its signed bytes to a file.
pub(super) async fn show(client: &Client, record: &str, raw: Option<&Path>, output: Output) -> anyhow::Result<()> {
    let id = client.record_id(record).await?;
    if let Some(file) = raw {
        let response = client.download(&format!("/api/v1/records/{id}/raw")).await?;
        let bytes = save(response, file, false, |_| ()).await?;
        if file == Path::new("-") {
            return Ok(());
        }
        let answer = json!({ "id": id, "file": file.display().to_string(), "bytes": bytes });
        output.show(&answer, || format!("{}: {}", file.display(), bytes_shown(bytes)))?;
        return Ok(());
    }
    let answer = client.get(&format!("/api/v1/records/{id}")).await?;
    output.show(&answer, || record_words(&answer))?;
    Ok(())
}

fn record_words(record: &Value) -> String {
    let kind = text_of(&record["kind"]);
    let kind = if record["understood"] == false { format!("{kind} (not understood here)") } else { kind };
    let mut text = facts(&[
        ("record", text_of(&record["id"])),
        ("kind", kind),
        ("state", state(record)),
        ("from", text_of(&record["author"])),
        ("signed", record["issued_at"].as_u64().map(show_s).unwrap_or_default()),
        ("received", record["received_at_ms"].as_u64().map(show_ms).unwrap_or_default()),
        ("handling", handling_words(&record["handling"])),
        ("expires", record["expires"].as_u64().map(show_s).unwrap_or_default()),
        ("audience", join(&record["audience"])),
        ("thread", text_of(&record["thread"])),
        ("leaf", text_of(&record["leaf"]["index"])),
        ("size", record["size"].as_u64().map(bytes_shown).unwrap_or_default()),
    ]);
    for reference in record["references"].as_array().into_iter().flatten() {
        text.push_str(&facts(&[(
            reference["relation"].as_str().unwrap_or("refers to"),
            text_of(&reference["record"]),
        )]));
    }
    text.push('\n');
    match record["body_hex"].as_str() {
        Some(hex) => text.push_str(&format!("Its body begins with these bytes:\n{}\n", clean(hex))),
        None => text.push_str(&body_words(&record["body"])),
    }
    text
}

/// A report as people read it; any other body as JSON.
pub(super) fn body_words(body: &Value) -> String {
    if body.is_null() {
        return "The content was deleted.\n".to_owned();
    }
    // A correction holds the report as it should have been.
    let (report, why) =
        if body["report"].is_object() { (&body["report"], &body["reason"]) } else { (body, &Value::Null) };
    let Some(title) = report["title"].as_str() else {
        let pretty = serde_json::to_string_pretty(body).unwrap_or_default();
        return format!("{}\n", clean(&pretty));
    };
    let mut text = format!("{}\n", clean(title));
    if let Some(why) = why.as_str() {
        text.push_str(&format!("(corrected: {})\n", clean(why)));
    }
    if let Some(said) = report["text"].as_str().filter(|said| !said.is_empty()) {
        text.push_str(&format!("\n{}\n", clean(said)));
    }
    let mut table = Table::new(&["entity", "name", "role", "identifiers"]);
    for entity in report["entities"].as_array().into_iter().flatten() {
        let identifiers = entity["identifiers"].as_array().into_iter().flatten();
        let identifiers: Vec<String> = identifiers.map(identifier_words).collect();
        table.row([
            text_of(&entity["class"]),
            text_of(&entity["name"]),
            text_of(&entity["role"]),
            identifiers.join(", "),
        ]);
    }
    let degrees = |name: &str| report["place"][name].as_i64().map(|e7| format!("{:.5}", e7 as f64 / 1e7));
    let position = degrees("latitude_e7").zip(degrees("longitude_e7")).map(|(lat, lon)| format!("{lat}, {lon}"));
    let place = [position.unwrap_or_default(), text_of(&report["place"]["name"])];
    let evaluation = &report["evaluation"];
    let about = facts(&[
        ("type", text_of(&report["report_type"])),
        ("when", period_words(&report["time"])),
        ("where", place.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(", ")),
        (
            "evaluation",
            ["source", "information", "system"].map(|name| text_of(&evaluation[name])).join(" ").trim().to_owned(),
        ),
        ("source", text_of(&report["source"])),
    ]);
    text.push_str(&format!("\n{about}"));
    if report["entities"].as_array().is_some_and(|entities| !entities.is_empty()) {
        text.push_str(&format!("\n{}", table.text("")));
    }
    text
}

/// An identifier as given, and what it is compared by if that is another text.
fn identifier_words(identifier: &Value) -> String {
    let given = format!("{} {}", text_of(&identifier["type"]), text_of(&identifier["value"]));
    match text_of(&identifier["canonical"]) {
        canonical if canonical.is_empty() || identifier["canonical"] == identifier["value"] => given,
        canonical => format!("{given} ({canonical})"),
    }
}

fn period_words(period: &Value) -> String {
    let shown = |name: &str| match period[name].as_i64() {
        Some(at) => u64::try_from(at).map_or_else(|_| format!("{at} s since 1970"), show_s),
        None => String::new(),
    };
    let (from, until) = (shown("from"), shown("until"));
    if until.is_empty() { from } else { format!("{from} to {until}") }
}

/// The id of a record that something is about to be done to which cannot be undone.
pub(super) fn whole_id(record: &str) -> anyhow::Result<String> {
    if record.len() == ID_CHARS && record.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(record.to_ascii_lowercase());
    }
    Err(usage(format!(
        "this cannot be undone, so the whole id of {ID_CHARS} hexadecimal digits is needed; `show` tells it"
    )))
}

/// Takes a record back.
pub(super) async fn retract(client: &Client, record: &str, reason: &str, output: Output) -> anyhow::Result<()> {
    let id = whole_id(record)?;
    let answer = client.post(&format!("/api/v1/records/{id}/retract"), &json!({ "reason": reason })).await?;
    output.show(&answer, || follow_words("retraction", &answer))?;
    Ok(())
}

/// Replaces the report of a record.
pub(super) async fn correct(
    client: &Client,
    record: &str,
    reason: &str,
    report: &Value,
    output: Output,
) -> anyhow::Result<()> {
    let id = whole_id(record)?;
    let asked = json!({ "reason": reason, "body": report });
    let answer = client.post(&format!("/api/v1/records/{id}/correct"), &asked).await?;
    output.show(&answer, || follow_words("correction", &answer))?;
    Ok(())
}

fn follow_words(what: &str, answer: &Value) -> String {
    let id = text_of(&answer["id"]);
    format!("{what} {id}\nsee what each recipient did with: mufakat track {} --wait\n", short(&id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_show_label_and_short_id() {
        let rows = [json!({"time_ms": 1_795_294_800_000_u64, "record": "ab".repeat(32), "body": {
            "author": "ru-police", "kind": "report", "tlp": "AMBER+STRICT", "state": "current", "title": "EXERCISE a\u{1b}[2J"}})];
        let text = inbox_table(&rows);
        let row = text.lines().nth(1).unwrap();
        assert_eq!(
            row,
            "2026-11-21T21:00:00Z  abababababab  ru-police  report  TLP:AMBER+STRICT  current  EXERCISE a\u{fffd}[2J"
        );
        assert_eq!(inbox_table(&[]), "nothing has come in\n");
    }

    #[test]
    fn handling_is_one_line() {
        let handling = json!({"tlp": "RED", "codes": ["H1", "H2"], "orcon": true, "caveat": "x"});
        assert_eq!(handling_words(&handling), "TLP:RED; H1, H2; originator control; x");
        assert_eq!(handling_words(&json!({"tlp": "CLEAR"})), "TLP:CLEAR");
        let eyes = [json!({"agency": "ru-police", "officer": "d3"}), json!({"agency": "vn-police", "officer": "d4"})];
        assert_eq!(
            handling_words(&json!({"tlp": "RED", "eyes": eyes, "review": 1_795_294_800})),
            "TLP:RED; for the eyes of ru-police/d3, vn-police/d4; review by 2026-11-21T21:00:00Z"
        );
    }

    #[test]
    fn reports_are_shown_in_words() {
        let text = body_words(&json!({
            "report_type": "incident", "title": "EXERCISE Boarding", "text": "Two lines\nof text\u{202e}",
            "place": {"latitude_e7": 12_345_678, "longitude_e7": -1_034_567_890, "name": "Straits"},
            "time": {"from": 1_795_294_800, "until": 1_795_298_400},
            "entities": [{"class": "vessel", "name": "A", "identifiers": [
                {"type": "imo", "value": "9074729", "canonical": "9074729"},
                {"type": "phone", "value": "+84 1", "canonical": "+841"}]}],
        }));
        for part in [
            "EXERCISE Boarding\n\nTwo lines\nof text\u{fffd}\n",
            "1.23457, -103.45679, Straits",
            "2026-11-21T21:00:00Z to 2026-11-21T22:00:00Z",
            "vessel  A           imo 9074729, phone +84 1 (+841)",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(body_words(&Value::Null).contains("deleted"));
        assert!(body_words(&json!({"reason": "x"})).contains("\"reason\": \"x\""));
        assert!(body_words(&json!({"reason": "why", "report": {"title": "a"}})).starts_with("a\n(corrected: why)\n"));
    }

    #[test]
    fn what_cannot_be_undone_wants_the_whole_id() {
        assert!(whole_id(&"ab".repeat(32)).is_ok());
        for bad in ["abababababab", &"zz".repeat(32), ""] {
            assert!(whole_id(bad).is_err(), "{bad}");
        }
    }
}
