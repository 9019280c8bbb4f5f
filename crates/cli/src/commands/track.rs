//! `track`: what each recipient said about a record.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::args::TrackArgs;
use crate::client::Client;
use crate::failure::refused;
use crate::output::{Output, Table, clean, short, text_of};
use crate::when::{show_ms, show_s};

/// How often the node is asked while a command waits.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// Shows the recipients of a record, or the newest records that were sent.
pub(super) async fn run(client: &Client, args: &TrackArgs, output: Output) -> anyhow::Result<()> {
    let Some(record) = &args.record else { return newest(client, args.limit, output).await };
    let id = client.record_id(record).await?;
    let path = format!("/api/v1/records/{id}/track");
    let began = Instant::now();
    let mut shown = String::new();
    let wants_answers = (args.wait || args.watch) && wants_answers(client, &id).await?;
    loop {
        let answer = client.get(&path).await?;
        let settled = is_settled(&answer, wants_answers);
        let late = args.timeout.is_some_and(|timeout| began.elapsed() >= timeout);
        let last = settled || late || !(args.wait || args.watch);
        let text = words(&answer);
        if last && output.json {
            output.line(&answer.to_string())?;
        } else if !output.json && (last || args.watch) && text != shown {
            output.line(text.trim_end())?;
            shown = text;
        }
        if last {
            let waited_in_vain = (args.wait || args.watch) && !settled;
            return if waited_in_vain {
                Err(refused("timeout", "not every recipient has settled yet"))
            } else {
                Ok(())
            };
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
}

/// Whether recipients do more about this record than accept it: they answer what it asks of them.
async fn wants_answers(client: &Client, id: &str) -> anyhow::Result<bool> {
    let record = client.get(&format!("/api/v1/records/{id}")).await?;
    Ok(matches!(record["kind"].as_str(), Some("retraction" | "correction")))
}

/// Whether nothing more is to come from any recipient.
fn is_settled(answer: &Value, wants_answers: bool) -> bool {
    let done = |recipient: &Value| match recipient["state"].as_str() {
        Some("accepted") => !wants_answers || !recipient["answer"].is_null(),
        // One to whom a recipient passed it on has a line only because it said something.
        Some("rejected" | "failed" | "through") => true,
        _ => false,
    };
    answer["recipients"].as_array().is_some_and(|recipients| recipients.iter().all(done))
}

fn words(answer: &Value) -> String {
    let mut table = Table::new(&["recipient", "state", "reason", "when", "leaf", "answer", "deleted"]);
    for recipient in answer["recipients"].as_array().into_iter().flatten() {
        table.row([
            text_of(&recipient["agency"]),
            state_words(recipient),
            text_of(&recipient["reason"]),
            recipient["at_ms"].as_u64().map(show_ms).unwrap_or_default(),
            text_of(&recipient["index"]),
            answer_words(&recipient["answer"]),
            deletion_words(&recipient["deletion"]),
        ]);
    }
    format!("record {}\n{}", text_of(&answer["id"]), table.text("no recipients"))
}

fn state_words(recipient: &Value) -> String {
    match recipient["through"].as_str() {
        Some(through) => format!("through {}", clean(through)),
        None => text_of(&recipient["state"]),
    }
}

/// A recipient's answer to a retraction or correction: what it did, when by its own clock, and why if it says so.
fn answer_words(answer: &Value) -> String {
    let at = answer["at"].as_u64().map(|at| format!(" {}", show_s(at))).unwrap_or_default();
    let did = format!("{}{at}", text_of(&answer["action"]));
    match answer["reason"].as_str().filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{did}: {reason}"),
        None => did,
    }
}

/// What a recipient says that it deleted of a record: when by its own clock, why, and how much.
fn deletion_words(deletion: &Value) -> String {
    let Some(at) = deletion["at"].as_u64() else { return String::new() };
    let [why, copies, attachments] = ["why", "copies", "attachments"].map(|name| text_of(&deletion[name]));
    format!("{}: {why}; records {copies}, attachments {attachments}", show_s(at))
}

async fn newest(client: &Client, limit: u32, output: Output) -> anyhow::Result<()> {
    let page = client.get(&format!("/api/v1/views/track?limit={limit}&order=newest")).await?;
    output.show(&page, || {
        let mut table = Table::new(&["sent", "record", "kind", "recipient", "state", "reason"]);
        for row in page["rows"].as_array().into_iter().flatten() {
            let body = &row["body"];
            table.row([
                row["time_ms"].as_u64().map(show_ms).unwrap_or_default(),
                short(row["record"].as_str().unwrap_or_default()).to_owned(),
                text_of(&body["kind"]),
                text_of(&body["to"]),
                text_of(&body["state"]),
                text_of(&body["reason"]),
            ]);
        }
        table.text("nothing was sent")
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settled_is_when_nothing_more_is_to_come() {
        let with = |list: Value| json!({"id": "00", "recipients": list});
        let check = |list: Value, plain: bool, answers: bool| {
            let answer = with(list);
            assert_eq!((is_settled(&answer, false), is_settled(&answer, true)), (plain, answers), "{answer}");
        };
        check(json!([{"state": "accepted"}, {"state": "rejected"}, {"state": "failed"}]), true, false);
        check(json!([{"state": "accepted"}, {"state": "queued"}]), false, false);
        check(json!([{"state": "accepted", "answer": {"action": "deleted"}}]), true, true);
        check(json!([{"state": "accepted", "answer": null}]), true, false);
        check(json!([{"state": "something-new"}]), false, false);
        assert!(!is_settled(&json!({}), false));
    }

    #[test]
    fn recipients_are_shown_with_their_reasons() {
        let answer = json!({"id": "00", "recipients": [
            {"agency": "ru-police", "state": "accepted", "reason": null, "index": 7, "at_ms": 1_795_294_800_000_u64,
             "answer": {"action": "kept", "reason": "law"}},
            {"agency": "vn-police", "state": "rejected", "reason": "expired"},
            {"agency": "sg", "state": "through", "through": "ru-police", "answer": {"action": "deleted", "at": 1_795_294_800},
             "deletion": {"why": "retracted", "at": 1_795_294_801, "copies": 1, "attachments": 2}},
        ]});
        let text = words(&answer);
        assert!(text.contains("2026-11-21T21:00:00Z  7     kept: law"), "{text}");
        assert!(text.contains("vn-police  rejected"), "{text}");
        let told = ["deleted 2026-11-21T21:00:00Z", "2026-11-21T21:00:01Z: retracted; records 1, attachments 2"];
        assert!(told.iter().all(|words| text.contains(words)), "{text}");
    }
}
