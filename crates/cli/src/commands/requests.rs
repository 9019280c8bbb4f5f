//! `request` and `table`: requests for information with their clocks, and what they add up to in a year.

use std::path::{Path, PathBuf};

use mufakat_record::AgencyId;
use mufakat_record::kinds::request_step::Ground;
use serde_json::{Value, json};

use super::share::upload;
use crate::args::{AnswerArgs, AskArgs, ListArgs, NarrowerArgs, Request, SideArg, TableOf, WaitArgs};
use crate::client::{Client, escape};
use crate::envelope::Handling;
use crate::failure::{refused, usage};
use crate::output::{Output, Table, clean, facts, join, short, text_of};
use crate::when::{now_s, show_length, show_ms};

/// The largest table that is taken, in bytes.
const TABLE_BYTES_MAX: usize = 16 << 20;

/// Carries out one of the commands about requests.
pub(super) async fn run(client: &Client, what: Request, output: Output) -> anyhow::Result<()> {
    match what {
        Request::Ask(args) => ask(client, &args, output).await,
        Request::List(args) => list(client, &args, output).await,
        Request::Show { record } => show(client, &record, output).await,
        other => take(client, step(client, other).await?, output).await,
    }
}

/// What a draft of it says in place of sending it.
pub(super) async fn proposed(client: &Client, what: Request) -> anyhow::Result<Value> {
    if let Request::Ask(args) = what {
        return Ok(json!({ "request": question(client, &args).await? }));
    }
    let step = step(client, what).await?;
    Ok(json!({ "step": step.body(), "target": client.record_id(&step.record).await? }))
}

async fn step(client: &Client, what: Request) -> anyhow::Result<Step> {
    let step =
        |record, to, step: Value| Step { record, to, step, about: Vec::new(), attachments: Vec::new(), narrower: None };
    Ok(match what {
        Request::Ask(_) | Request::List(_) | Request::Show { .. } => {
            return Err(usage("only requests and steps in them are drafted"));
        }
        Request::Answer(args) => answer(client, *args).await?,
        Request::Route { record, to } => step(record, None, json!({ "step": "routed", "to": to })),
        Request::Clarify { record, text } => step(record, None, json!({ "step": "clarification-asked", "text": text })),
        Request::ReplyClarification { record, text, to } => {
            step(record, to, json!({ "step": "clarification-given", "text": text }))
        }
        Request::Judge(wait) => waiting("awaiting-judge", wait),
        Request::Extend(wait) => waiting("extended", wait),
        Request::Refuse { record, mut ground, words } => {
            ground.sort_unstable();
            ground.dedup();
            step(record, None, json!({ "step": "refused", "grounds": ground, "words": words }))
        }
        Request::Withdraw { record, why, to } => step(record, to, json!({ "step": "withdrawn", "why": why })),
        Request::Feedback { record, text, not_useful, to } => {
            step(record, to, json!({ "step": "feedback", "text": text, "useful": !not_useful }))
        }
        Request::PermitEvidence { record, words } => {
            step(record, None, json!({ "step": "evidence-permitted", "words": words }))
        }
        Request::Close { record, to } => step(record, to, json!({ "step": "closed" })),
    })
}

/// A step before it is sent.
struct Step {
    record: String,
    to: Option<AgencyId>,
    step: Value,
    about: Vec<String>,
    attachments: Vec<String>,
    narrower: Option<NarrowerArgs>,
}

impl Step {
    /// As the node takes it.
    fn body(&self) -> Value {
        let mut body = json!({ "step": self.step, "about": self.about, "attachments": self.attachments });
        if let Some(to) = &self.to {
            body["to"] = json!(to);
        }
        if let Some(narrower) = &self.narrower {
            let lists = [
                ("codes", json!(narrower.code)),
                ("purposes", json!(narrower.purpose)),
                ("eyes", json!(narrower.eyes)),
            ];
            let lists = lists.into_iter().filter(|(_, list)| list.as_array().is_some_and(|list| !list.is_empty()));
            let orcon = narrower.orcon.then_some(true);
            let others = [("tlp", json!(narrower.tlp)), ("caveat", json!(narrower.caveat)), ("orcon", json!(orcon))];
            for (name, value) in lists.chain(others.into_iter().filter(|(_, value)| !value.is_null())) {
                body[name] = value;
            }
        }
        body
    }
}

fn waiting(name: &str, wait: WaitArgs) -> Step {
    let step = json!({ "step": name, "until": wait.until.at(now_s()), "why": wait.why });
    Step { record: wait.record, to: None, step, about: Vec::new(), attachments: Vec::new(), narrower: None }
}

async fn answer(client: &Client, args: AnswerArgs) -> anyhow::Result<Step> {
    let text = match (args.text, args.file) {
        (Some(text), _) => text,
        (None, file) => super::input(file.as_deref().unwrap_or(Path::new("-")))?,
    };
    let mut parts = Vec::new();
    // The command line takes three values at a time.
    for part in args.refuse.chunks_exact(3) {
        let ground: Ground = part[1].parse().map_err(|wrong: String| usage(format!("`{}` is not {wrong}", part[1])))?;
        parts.push(json!({ "part": part[0], "ground": ground, "words": part[2] }));
    }
    let mut step = json!({ "step": "answered", "text": text, "evidence": args.evidence });
    if !parts.is_empty() {
        step["refused"] = parts.into();
    }
    let about = ids(client, &args.about).await?;
    let (attachments, narrower) = (uploads(client, &args.attach).await?, Some(args.narrower));
    Ok(Step { record: args.record, to: None, step, about, attachments, narrower })
}

async fn ids(client: &Client, records: &[String]) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for record in records {
        found.push(client.record_id(record).await?);
    }
    Ok(found)
}

async fn uploads(client: &Client, files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files {
        found.push(upload(client, file).await?);
    }
    Ok(found)
}

async fn take(client: &Client, step: Step, output: Output) -> anyhow::Result<()> {
    let id = client.record_id(&step.record).await?;
    let answer = client.post(&format!("/api/v1/requests/{id}/steps"), &step.body()).await?;
    output.show(&answer, || format!("{}\n", text_of(&answer["id"])))?;
    Ok(())
}

async fn question(client: &Client, args: &AskArgs) -> anyhow::Result<Value> {
    let text = super::input(args.file.as_deref().unwrap_or(Path::new("-")))?;
    let request: Value = serde_json::from_str(&text).map_err(|e| refused("malformed", format!("no JSON: {e}")))?;
    let about = ids(client, &args.handling.about).await?;
    let handling = Handling::new(&args.to, &args.handling, about, now_s());
    let attachments = uploads(client, &args.attach).await?;
    Ok(serde_json::to_value(handling.envelope(&request, &attachments, args.key.as_deref()))?)
}

async fn ask(client: &Client, args: &AskArgs, output: Output) -> anyhow::Result<()> {
    let answer = client.post("/api/v1/requests", &question(client, args).await?).await?;
    output.show(&answer, || {
        let mut table = Table::new(&["request", "audience"]);
        for record in answer["records"].as_array().into_iter().flatten() {
            table.row([text_of(&record["id"]), join(&record["audience"])]);
        }
        let mut text = table.text("nothing was asked");
        for earlier in answer["duplicates"].as_array().into_iter().flatten() {
            text.push_str(&format!("this agency asked about the same subject before: {}\n", text_of(earlier)));
        }
        text
    })?;
    Ok(())
}

async fn list(client: &Client, args: &ListArgs, output: Output) -> anyhow::Result<()> {
    let mut path = format!("/api/v1/views/requests?limit={}", args.limit);
    let side = args.side.map(|side| match side {
        SideArg::Asking => "asking".to_owned(),
        SideArg::Asked => "asked".to_owned(),
        SideArg::Copy => "copy".to_owned(),
    });
    let partner = args.partner.as_ref().map(ToString::to_string);
    for (name, value) in [("side", side), ("state", args.state.clone()), ("partner", partner)] {
        if let Some(value) = value {
            path.push_str(&format!("&facet={}", escape(&format!("{name}:{value}"))));
        }
    }
    if let Some(after) = &args.after {
        path.push_str(&format!("&after={}", escape(after)));
    }
    let page = client.get(&path).await?;
    output.show(&page, || {
        let mut table = Table::new(&["request", "side", "partner", "urgency", "state", "clock", "title"]);
        for row in page["rows"].as_array().into_iter().flatten() {
            let body = &row["body"];
            table.row([
                short(row["record"].as_str().unwrap_or_default()).to_owned(),
                text_of(&body["side"]),
                text_of(&body["partner"]),
                urgency(body).to_owned(),
                text_of(&body["state"]),
                clock_shown(body, now_s().saturating_mul(1000)),
                text_of(&body["title"]),
            ]);
        }
        let table = table.text("no requests");
        match page["next"].as_str() {
            Some(next) => format!("{table}\nmore with: --after {next}\n"),
            None => table,
        }
    })?;
    Ok(())
}

async fn show(client: &Client, record: &str, output: Output) -> anyhow::Result<()> {
    let id = client.record_id(record).await?;
    let page = client.get(&format!("/api/v1/views/requests?limit=500&facet=on:{id}")).await?;
    let rows = page["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return Err(refused("not-found", "there is no such request here"));
    }
    let record = client.get(&format!("/api/v1/records/{id}")).await?;
    output.show(&page, || {
        let mut shown: Vec<String> = rows.iter().map(|row| words(row, now_s().saturating_mul(1000))).collect();
        shown.push(asked(&record["body"]));
        shown.join("\n")
    })?;
    Ok(())
}

/// What is asked, as its author wrote it; nothing once that was deleted.
pub(super) fn asked(body: &Value) -> String {
    let identifier = |one: &Value| format!("{} {}", text_of(&one["type"]), text_of(&one["value"]));
    let subject = |subject: &Value| {
        let identifiers = subject["identifiers"].as_array().into_iter().flatten().map(identifier);
        let parts = [text_of(&subject["class"]), text_of(&subject["name"])].into_iter().chain(identifiers);
        parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let subjects: Vec<String> = body["subjects"].as_array().into_iter().flatten().map(subject).collect();
    let field = |name: &'static str, shown: &'static str| (shown, text_of(&body[name]));
    facts(&[
        field("text", "asked"),
        ("about", subjects.join("; ")),
        field("offence", "offence"),
        field("purpose", "purpose"),
        field("link", "link"),
        field("necessity", "necessary"),
        field("holding", "may hold it"),
        field("legal_basis", "legal basis"),
        field("restrictions", "restricted"),
        field("language", "language"),
    ])
}

fn urgency(body: &Value) -> &'static str {
    match &body["urgency"] {
        Value::Null => "ordinary",
        urgency if urgency["directly_accessible"] == true => "urgent, direct",
        _ => "urgent",
    }
}

/// A clock as time left, with the instant where the asked side is.
fn clock_shown(body: &Value, now_ms: u64) -> String {
    let clock = &body["clock"];
    let Some(due_ms) = clock["due_ms"].as_u64() else { return String::new() };
    let due = body["due_local"].as_str().map_or_else(|| show_ms(due_ms), str::to_owned);
    if let Some(ended_ms) = clock["ended_ms"].as_u64() {
        let late = if clock["late"] == true { "late" } else { "in time" };
        return format!("ended {late}, {}", show_ms(ended_ms));
    }
    if let Some(since_ms) = clock["still_since_ms"].as_u64() {
        let left = show_length(due_ms.saturating_sub(since_ms) / 1000);
        return format!("stands still with {left} left");
    }
    match due_ms.checked_sub(now_ms) {
        Some(left_ms) => format!("{} left, due {due}", show_length(left_ms / 1000)),
        None => format!("over for {}, was due {due}", show_length((now_ms - due_ms) / 1000)),
    }
}

fn words(row: &Value, now_ms: u64) -> String {
    let body = &row["body"];
    let told = |told: &Value| format!("{} {}", text_of(&told["level"]), show_ms(told["at_ms"].as_u64().unwrap_or(0)));
    let list = |name: &str| body[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let escalated: Vec<String> = list("escalated").iter().map(told).collect();
    let pauses: Vec<String> = body["clock"]["pauses"].as_array().into_iter().flatten().map(pause).collect();
    let judge = body["clock"]["extensions"].as_array().and_then(|all| all.last());
    let mut text = facts(&[
        ("request", text_of(&row["record"])),
        ("title", text_of(&body["title"])),
        (if body["side"] == "asking" { "asked of" } else { "asked by" }, text_of(&body["partner"])),
        ("urgency", urgency(body).to_owned()),
        ("label", text_of(&body["tlp"])),
        ("state", text_of(&body["state"])),
        ("reason", text_of(&body["rejected"])),
        ("clock", clock_shown(body, now_ms)),
        ("days in", text_of(&body["clock"]["time_zone"])),
        ("stood still", pauses.join("; ")),
        ("longer for", judge.map(|longer| text_of(&longer["why"])).unwrap_or_default()),
        ("told", escalated.join(", ")),
        ("grounds", join(&body["grounds"])),
        ("evidence", evidence(body)),
        ("asked before", join(&body["duplicates"])),
    ]);
    let mut table = Table::new(&["when", "side", "step", "by", "record", "in words"]);
    for line in list("steps") {
        let at = line["at_ms"].as_u64().map(show_ms);
        let rejected = line["rejected"].as_str().map(|reason| format!("rejected: {reason}"));
        let name = text_of(&line["says"]["step"]);
        table.row([
            at.or(rejected).unwrap_or_else(|| "under way".to_owned()),
            if line["by_asker"] == true { "asking" } else { "asked" }.to_owned(),
            if line["out_of_turn"] == true { format!("{name} (out of turn)") } else { name },
            officer(&line["by"]),
            short(line["record"].as_str().unwrap_or_default()).to_owned(),
            said(&line["says"]),
        ]);
    }
    text.push_str(&table.text("no steps yet"));
    if let Some(more) = body["steps_left_out"].as_u64().filter(|more| *more > 0) {
        text.push_str(&format!("and {more} more steps, which have no effect\n"));
    }
    text
}

fn pause(pause: &Value) -> String {
    let length = pause["until_ms"].as_u64().zip(pause["from_ms"].as_u64());
    let length =
        length.map_or_else(|| "still".to_owned(), |(until, from)| show_length(until.saturating_sub(from) / 1000));
    format!("{length} ({})", clean(pause["why"].as_str().unwrap_or_default()))
}

fn evidence(body: &Value) -> String {
    match (&body["outcome"], body["evidence"] == true) {
        (Value::Null, _) => String::new(),
        (Value::String(outcome), _) if outcome == "refused" => String::new(),
        (_, true) => "may be used".to_owned(),
        (_, false) => "may not be used".to_owned(),
    }
}

fn officer(by: &Value) -> String {
    match (by["officer"].as_str(), by["role"].as_str()) {
        (Some(officer), Some(role)) => format!("{officer} ({role})"),
        (None, Some(role)) => role.to_owned(),
        _ => "the node".to_owned(),
    }
}

/// What a step says, in one line.
pub(super) fn said(says: &Value) -> String {
    let texts = ["text", "why", "words", "to"].map(|name| text_of(&says[name]));
    let mut said = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    for part in says["refused"].as_array().into_iter().flatten() {
        said.push_str(&format!(" [{} refused: {}]", text_of(&part["part"]), text_of(&part["ground"])));
    }
    if !says["grounds"].is_null() {
        said = format!("{}: {said}", join(&says["grounds"]));
    }
    said
}

/// Shows a table of a year.
pub(super) async fn table(client: &Client, what: TableOf, output: Output) -> anyhow::Result<()> {
    let TableOf::Requests { year, csv } = what;
    if csv {
        let path = format!("/api/v1/tables/requests?year={year}&format=csv");
        let table = client.download(&path).await?.bytes(TABLE_BYTES_MAX).await?;
        return Ok(output.bytes(&table)?);
    }
    let answer = client.get(&format!("/api/v1/tables/requests?year={year}")).await?;
    output.show(&answer, || {
        let mut table = Table::new(&["side", "measure", "party", "urgency", "ground", "count"]);
        for row in answer["rows"].as_array().into_iter().flatten() {
            table.row(["side", "measure", "party", "urgency", "ground", "count"].map(|name| text_of(&row[name])));
        }
        table.text("no requests in that year")
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_shown_as_time_left() {
        let body = |clock: Value| json!({ "clock": clock, "due_local": "2026-11-30T00:00:00+07:00" });
        let check = |clock: Value, now_ms, shown: &str| assert_eq!(clock_shown(&body(clock), now_ms), shown);
        check(Value::Null, 0, "");
        check(json!({ "due_ms": 7_200_000 }), 0, "2 h left, due 2026-11-30T00:00:00+07:00");
        check(json!({ "due_ms": 1_000 }), 61_000, "over for 1 min, was due 2026-11-30T00:00:00+07:00");
        check(json!({ "due_ms": 61_000, "still_since_ms": 1_000 }), 99_000, "stands still with 1 min left");
        check(json!({ "due_ms": 1, "ended_ms": 0, "late": false }), 9, "ended in time, 1970-01-01T00:00:00Z");
        check(json!({ "due_ms": 1, "ended_ms": 2_000, "late": true }), 9, "ended late, 1970-01-01T00:00:02Z");
    }

    #[test]
    fn steps_are_told_in_a_line() {
        let refused = json!({ "step": "refused", "grounds": ["not-held", "security"], "words": "EXERCISE" });
        assert_eq!(said(&refused), "not-held, security: EXERCISE");
        let part = json!({ "text": "EXERCISE", "refused": [{ "part": "crew", "ground": "security", "words": "x" }] });
        assert_eq!(said(&part), "EXERCISE [crew refused: security]");
    }
}
