//! `draft` and `preview`: what is to be released, and who would read it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{get, requests, share};
use crate::args::{Draft, NewArgs, ShareArgs, WordArgs};
use crate::client::{Client, escape};
use crate::envelope;
use crate::failure::{refused, usage};
use crate::output::{Output, Table, clean, facts, join, short, text_of};
use crate::when::{show_ms, show_s};

/// Does what is asked with drafts.
pub(super) async fn run(client: &Client, what: Draft, output: Output) -> anyhow::Result<()> {
    match what {
        Draft::New(args) => new(client, *args, output).await,
        Draft::Correct { record, file, reason, title, replaces } => {
            let report = super::input(file.as_deref().unwrap_or(Path::new("-")))?;
            let correction = json!({ "reason": reason, "body": envelope::report(&report, title.as_deref())? });
            let proposed = json!({ "correction": correction, "target": client.record_id(&record).await? });
            write(client, proposed, replaces.as_deref(), output).await
        }
        Draft::Request { replaces, what } => {
            write(client, requests::proposed(client, what).await?, replaces.as_deref(), output).await
        }
        Draft::List { limit, facet } => list(client, limit, &facet, output).await,
        Draft::Show { draft } => show(client, &draft, output).await,
        Draft::Get { draft, number, output: file, force } => {
            let id = id(client, &draft).await?;
            let shown = client.get(&format!("/api/v1/drafts/{id}")).await?;
            let Some(described) = shown["attachments"].get(number as usize) else {
                return Err(refused("not-found", format!("the draft has no file number {number}")));
            };
            let path = format!("/api/v1/drafts/{id}/attachments/{number}");
            get::fetch(client, &path, (&id, described), file, force, output).await
        }
        Draft::Preview { draft } => {
            let id = id(client, &draft).await?;
            let answer = client.post(&format!("/api/v1/drafts/{id}/preview"), &json!({})).await?;
            Ok(output.show(&answer, || preview_words(&answer))?)
        }
        Draft::Submit { draft } => step(client, &draft, "submit", "it waits for a second officer", output).await,
        Draft::Discard { draft } => step(client, &draft, "discard", "it is given up", output).await,
        Draft::Approve(args) => word(client, &args, "approve", "it can be released", output).await,
        Draft::Reject(args) => word(client, &args, "reject", "it is not released", output).await,
        Draft::Release { draft } => {
            let id = id(client, &draft).await?;
            let answer = client.post(&format!("/api/v1/drafts/{id}/release"), &json!({})).await?;
            Ok(output.show(&answer, || share::words(&answer))?)
        }
    }
}

/// Shows who would read what the options say.
pub(super) async fn preview(client: &Client, args: ShareArgs, output: Output) -> anyhow::Result<()> {
    alone(&args)?;
    let envelope = share::envelope(client, &ShareArgs { attach: Vec::new(), ..args }).await?;
    let answer = client.post("/api/v1/preview", &envelope).await?;
    Ok(output.show(&answer, || preview_words(&answer))?)
}

fn alone(args: &ShareArgs) -> anyhow::Result<()> {
    if args.ndjson || args.batch.is_some() || args.key.is_some() {
        return Err(usage("--ndjson, --batch and --key are for `share`; give one report"));
    }
    Ok(())
}

async fn new(client: &Client, args: NewArgs, output: Output) -> anyhow::Result<()> {
    alone(&args.share)?;
    let envelope = share::envelope(client, &args.share).await?;
    write(client, json!({ "envelope": envelope }), args.replaces.as_deref(), output).await
}

async fn write(client: &Client, mut proposed: Value, replaces: Option<&str>, output: Output) -> anyhow::Result<()> {
    if let Some(draft) = replaces {
        proposed["replaces"] = id(client, draft).await?.into();
    }
    let answer = client.post("/api/v1/drafts", &proposed).await?;
    output.show(&answer, || {
        let id = text_of(&answer["id"]);
        format!("draft {id}\nsee who would read it with: mufakat draft preview {}\n", short(&id))
    })?;
    Ok(())
}

/// The whole id of a draft that was given by its beginning.
async fn id(client: &Client, given: &str) -> anyhow::Result<String> {
    client.id_in(&["drafts"], given).await
}

async fn list(client: &Client, limit: u32, facets: &[String], output: Output) -> anyhow::Result<()> {
    let facets: String = facets.iter().map(|facet| format!("&facet={}", escape(facet))).collect();
    let page = client.get(&format!("/api/v1/views/drafts?limit={limit}{facets}")).await?;
    output.show(&page, || {
        let mut table = Table::new(&["written", "draft", "kind", "by", "label", "to", "state", "title"]);
        for row in page["rows"].as_array().into_iter().flatten() {
            let body = &row["body"];
            let replaced = body["replaced_by"].is_array();
            table.row([
                row["time_ms"].as_u64().map(show_ms).unwrap_or_default(),
                short(row["record"].as_str().unwrap_or_default()).to_owned(),
                text_of(&body["kind"]),
                text_of(&body["by"]),
                format!("TLP:{}", text_of(&body["tlp"])),
                join(&body["to"]),
                format!("{}{}", text_of(&body["state"]), if replaced { ", edited" } else { "" }),
                text_of(&body["title"]),
            ]);
        }
        table.text("there are no drafts")
    })?;
    Ok(())
}

async fn show(client: &Client, draft: &str, output: Output) -> anyhow::Result<()> {
    let id = id(client, draft).await?;
    let answer = client.get(&format!("/api/v1/drafts/{id}")).await?;
    Ok(output.show(&answer, || draft_words(&answer))?)
}

fn draft_words(draft: &Value) -> String {
    let progress = &draft["progress"];
    let said = |step: &str| match progress[step].as_object() {
        Some(step) => {
            let by = step["by"].as_str().unwrap_or("at the socket");
            format!("{by}, {}", step["at_ms"].as_u64().map(show_ms).unwrap_or_default())
        }
        None => String::new(),
    };
    let second = if draft["four_eyes"] == true { "needed" } else { "" };
    let mut text = facts(&[
        ("draft", text_of(&draft["id"])),
        ("kind", text_of(&draft["kind"])),
        ("about", text_of(&draft["target"])),
        ("by", text_of(&draft["by"])),
        ("state", text_of(&progress["state"])),
        ("to", join(&draft["to"])),
        ("label", format!("TLP:{}", text_of(&draft["handling"]["tlp"]))),
        ("codes", join(&draft["handling"]["codes"])),
        ("expires", draft["expires"].as_u64().map(show_s).unwrap_or_default()),
        ("second officer", second.to_owned()),
        ("submitted", said("submitted")),
        ("released", said("released")),
        ("discarded", said("discarded")),
        ("replaces", text_of(&progress["replaces"])),
        ("edited in", join(&progress["replaced_by"])),
        ("records", join(&progress["records"])),
    ]);
    for decision in progress["decisions"].as_array().into_iter().flatten() {
        let by = decision["by"].as_str().unwrap_or("at the socket");
        let words = decision["words"].as_str().map(|words| format!(": {}", clean(words))).unwrap_or_default();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}  by {by}{words}", text_of(&decision["decision"]));
    }
    for asked in draft["checks"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "asked: {}  {}", text_of(&asked["check"]), text_of(&asked["question"]));
    }
    let body = &draft["body"];
    let (title, said) = match draft["kind"].as_str() {
        Some("correction") => (text_of(&body["report"]["title"]), text_of(&body["report"]["text"])),
        Some("request") => (text_of(&body["title"]), requests::asked(body)),
        Some("request-step") => (text_of(&body["step"]["step"]), requests::said(&body["step"])),
        _ => (text_of(&body["title"]), text_of(&body["text"])),
    };
    let _ = write!(text, "\n{}\n\n{}\n", clean(&title), clean(&said));
    text
}

async fn step(client: &Client, draft: &str, step: &str, done: &str, output: Output) -> anyhow::Result<()> {
    let id = id(client, draft).await?;
    let answer = client.post(&format!("/api/v1/drafts/{id}/{step}"), &json!({})).await?;
    Ok(output.show(&answer, || format!("{done}\n"))?)
}

async fn word(client: &Client, args: &WordArgs, step: &str, done: &str, output: Output) -> anyhow::Result<()> {
    let id = id(client, &args.draft).await?;
    let checks = args.check.iter().map(|(check, answer)| json!({ "check": check, "answer": answer }));
    let word = json!({ "checks": checks.collect::<Vec<_>>(), "words": args.words });
    let answer = client.post(&format!("/api/v1/drafts/{id}/{step}"), &word).await?;
    Ok(output.show(&answer, || format!("{done}\n"))?)
}

fn preview_words(preview: &Value) -> String {
    let mut text = String::new();
    let release = &preview["release"];
    if release["allow"] != true {
        text.push_str(&format!("it would be refused: {}: {}\n\n", text_of(&release["rule"]), text_of(&release["why"])));
    }
    let mut agencies = Table::new(&["agency", "reads it", "named as", "eyes of", "rule"]);
    for one in preview["agencies"].as_array().into_iter().flatten() {
        let reads = one["reads"] == true;
        agencies.row([
            text_of(&one["agency"]),
            if reads { "yes" } else { "no" }.to_owned(),
            join(&one["through"]),
            join(&one["eyes"]),
            if reads { String::new() } else { text_of(&one["rule"]) },
        ]);
    }
    text.push_str(&agencies.text("there is no other agency"));
    let roles = |reads: bool| {
        let roles = preview["roles"].as_array().into_iter().flatten().filter(|one| (one["reads"] == true) == reads);
        let named = roles.map(|one| match reads {
            true => text_of(&one["role"]),
            false => format!("{} ({})", text_of(&one["role"]), text_of(&one["rule"])),
        });
        named.collect::<Vec<_>>().join(", ")
    };
    text.push('\n');
    text.push_str(&facts(&[
        ("read here by", roles(true)),
        ("not by", roles(false)),
        ("second officer", if preview["four_eyes"] == true { "needed".to_owned() } else { String::new() }),
    ]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_name_who_reads_and_by_which_rule_not() {
        let text = preview_words(&json!({
            "release": { "allow": false, "rule": "tlp-named", "why": "TLP:RED goes to agencies named one by one" },
            "agencies": [
                { "agency": "ru-police", "reads": true, "through": ["ru"], "eyes": [], "rule": "none" },
                { "agency": "hub", "reads": false, "through": [], "eyes": [], "rule": "not-for-this-agency" },
            ],
            "roles": [{ "role": "analyst", "reads": true, "rule": "none" },
                { "role": "secretariat", "reads": false, "rule": "nothing-permits" }],
            "four_eyes": true,
        }));
        for part in [
            "refused: tlp-named: TLP:RED",
            "ru-police  yes       ru",
            "hub        no                           not-for-this-agency",
            "read here by    analyst",
            "secretariat (nothing-permits)",
            "second officer  needed",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_draft_shows_who_did_what_and_what_is_asked() {
        let text = draft_words(&json!({
            "id": "ab".repeat(32), "by": "d3-night", "to": ["ru-police"], "handling": { "tlp": "RED" }, "four_eyes": true,
            "body": { "title": "EXERCISE\u{1b}[2J", "text": "EXERCISE text" },
            "checks": [{ "check": "neutrality", "question": "Is it?" }],
            "progress": { "state": "submitted", "submitted": { "by": null, "at_ms": 1_795_294_800_000_u64 },
                "decisions": [{ "by": "s1-day", "decision": "reject", "words": "EXERCISE no" }] },
        }));
        for part in [
            "d3-night",
            "TLP:RED",
            "at the socket, 2026-11-21T21:00:00Z",
            "reject  by s1-day: EXERCISE no",
            "asked: neutrality  Is it?",
            "EXERCISE text",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_drafted_request_shows_whom_it_is_about_and_on_which_basis() {
        let text = draft_words(&json!({
            "id": "ab".repeat(32), "kind": "request", "progress": { "state": "submitted" },
            "body": { "title": "EXERCISE title", "text": "EXERCISE question", "offence": "EXERCISE offence", "legal_basis": "EXERCISE basis",
                "subjects": [{ "class": "document", "identifiers": [{ "type": "passport", "value": "VNM:C1234567" }] }] },
        }));
        for part in [
            "EXERCISE title",
            "EXERCISE question",
            "EXERCISE offence",
            "EXERCISE basis",
            "document passport VNM:C1234567",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
