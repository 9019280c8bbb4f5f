//! `forward`, `permit`, `hold`, `retention` and `subject-file`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::records::{body_words, handling_words, whole_id};
use crate::args::{Hold, Keeping, Retention};
use crate::client::Client;
use crate::output::{Output, Table, facts, join, short, text_of};
use crate::when::{now_s, show_ms, show_s};

/// The most rows of holds that are listed.
const HOLDS_MAX: u32 = 500;

/// Runs one of them.
pub(super) async fn run(client: &Client, what: Keeping, output: Output) -> anyhow::Result<()> {
    match what {
        Keeping::Forward { record, to, note } => {
            let id = client.record_id(&record).await?;
            let asked = json!({ "to": to, "note": note });
            let answer = client.post(&format!("/api/v1/records/{id}/forward"), &asked).await?;
            output.show(&answer, || forwarded_words(&answer))?;
        }
        Keeping::Permit { record, forward_to, evidence, note, nothing: _ } => {
            let id = client.record_id(&record).await?;
            let asked = json!({ "forward_to": forward_to, "evidence": evidence, "note": note });
            let answer = client.post(&format!("/api/v1/records/{id}/permit"), &asked).await?;
            output.show(&answer, || format!("permission {}\n", text_of(&answer["id"])))?;
        }
        Keeping::Hold(what) => hold(client, what, output).await?,
        Keeping::Retention(what) => retention(client, what, output).await?,
        Keeping::SubjectFile { kind, value, output: file, force } => {
            let asked = json!({ "type": kind, "value": value });
            let answer = client.post("/api/v1/subject-file", &asked).await?;
            write_subject(&answer, &file, force, output)?;
        }
    }
    Ok(())
}

fn forwarded_words(answer: &Value) -> String {
    let mut text = String::new();
    for record in answer["records"].as_array().into_iter().flatten() {
        text.push_str(&format!("record {} to {}\n", text_of(&record["id"]), join(&record["audience"])));
    }
    text
}

async fn hold(client: &Client, what: Hold, output: Output) -> anyhow::Result<()> {
    match what {
        Hold::Place { records, thread, reason, until } => {
            let mut ids = Vec::with_capacity(records.len());
            for record in &records {
                ids.push(client.record_id(record).await?);
            }
            let until = until.map(|until| until.at(now_s()));
            let asked = json!({ "records": ids, "thread": thread, "reason": reason, "until": until });
            let answer = client.post("/api/v1/holds", &asked).await?;
            output.show(&answer, || format!("hold {}\n", text_of(&answer["id"])))?;
        }
        Hold::Lift { hold, reason } => {
            let id = whole_hold(client, &hold).await?;
            let answer = client.post(&format!("/api/v1/holds/{id}/lift"), &json!({ "reason": reason })).await?;
            output.show(&answer, || done_words(&answer["done"]))?;
        }
        Hold::List { all } => {
            let page = holds(client, all).await?;
            output.show(&page, || holds_table(&page))?;
        }
    }
    Ok(())
}

async fn holds(client: &Client, all: bool) -> anyhow::Result<Value> {
    let facet = if all { "" } else { "&facet=state:in-force" };
    client.get(&format!("/api/v1/views/holds?limit={HOLDS_MAX}&order=oldest{facet}")).await
}

/// The hold that begins with these characters.
async fn whole_hold(client: &Client, given: &str) -> anyhow::Result<String> {
    let page = holds(client, true).await?;
    let rows = page["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found: Vec<&str> = rows.iter().filter_map(|row| row["record"].as_str()).collect();
    found.retain(|id| given.len() >= 8 && id.starts_with(given));
    found.dedup();
    match found[..] {
        [one] => Ok(one.to_owned()),
        // The node tells whether there is such a hold.
        _ => whole_id(given),
    }
}

fn holds_table(page: &Value) -> String {
    let mut table = Table::new(&["placed", "hold", "on", "state", "until", "by", "reason"]);
    for row in page["rows"].as_array().into_iter().flatten() {
        let body = &row["body"];
        table.row([
            body["placed_at_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short(body["hold"].as_str().unwrap_or_default()).to_owned(),
            short(body["on"].as_str().unwrap_or_default()).to_owned(),
            text_of(&body["state"]),
            body["until"].as_u64().map(show_s).unwrap_or_default(),
            text_of(&body["by"]),
            text_of(&body["reason"]),
        ]);
    }
    table.text("there are no holds")
}

async fn retention(client: &Client, what: Retention, output: Output) -> anyhow::Result<()> {
    match what {
        Retention::Preview => {
            let answer = client.get("/api/v1/retention/preview").await?;
            output.show(&answer, || preview_words(&answer))?;
        }
        Retention::Run => {
            let answer = client.post("/api/v1/retention/run", &json!({})).await?;
            output.show(&answer, || done_words(&answer))?;
        }
        Retention::Delete { record, reason, review } => {
            let id = whole_id(&record)?;
            let asked = json!({ "reason": reason, "why": if review { "review" } else { "order" } });
            let answer = client.post(&format!("/api/v1/records/{id}/delete"), &asked).await?;
            output.show(&answer, || deleted_words(&answer))?;
        }
        Retention::Overdue => {
            let answer = client.get("/api/v1/retention/overdue").await?;
            output.show(&answer, || overdue_table(&answer))?;
        }
    }
    Ok(())
}

fn deleted_words(answer: &Value) -> String {
    let mut words = format!("deleted by order {}\n", text_of(&answer["id"]));
    for draft in answer["drafts"].as_array().into_iter().flatten() {
        words += &format!("the draft from which it was released is still held: {}\n", text_of(draft));
    }
    words
}

fn preview_words(answer: &Value) -> String {
    let mut table = Table::new(&["since", "record", "from", "kind", "why", "held"]);
    for due in answer["due"].as_array().into_iter().flatten() {
        table.row([
            due["since"].as_u64().map(show_s).unwrap_or_default(),
            short(due["record"].as_str().unwrap_or_default()).to_owned(),
            text_of(&due["author"]),
            text_of(&due["kind"]),
            text_of(&due["why"]),
            if due["held"] == true { "held".to_owned() } else { String::new() },
        ]);
    }
    let number = |name: &str| text_of(&answer[name]);
    format!(
        "to delete {}, to look at again {}, held {}\n{}",
        number("to_delete"),
        number("to_review"),
        number("held"),
        table.text("nothing is due")
    )
}

fn done_words(done: &Value) -> String {
    let mut table = Table::new(&["record", "stays because"]);
    for stayed in done["kept"].as_array().into_iter().flatten() {
        table.row([short(stayed["record"].as_str().unwrap_or_default()).to_owned(), text_of(&stayed["reason"])]);
    }
    format!("deleted {}\n{}", text_of(&done["deleted"]), table.text(""))
}

fn overdue_table(answer: &Value) -> String {
    let mut table = Table::new(&["made", "record", "kind", "recipient", "state", "told"]);
    for late in answer["overdue"].as_array().into_iter().flatten() {
        let told = late["escalated"].as_array().into_iter().flatten().map(text_of);
        table.row([
            late["since_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short(late["record"].as_str().unwrap_or_default()).to_owned(),
            text_of(&late["kind"]),
            text_of(&late["agency"]),
            text_of(&late["state"]),
            told.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.text("no answer is overdue")
}

/// Writes the file for programs, and beside it the one for people.
fn write_subject(answer: &Value, file: &Path, force: bool, output: Output) -> anyhow::Result<()> {
    let pretty = serde_json::to_string_pretty(answer)?;
    if file == Path::new("-") {
        output.line(&pretty)?;
        return Ok(());
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".txt");
    for (path, text) in [(file, &pretty), (Path::new(&beside), &subject_words(answer))] {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).create_new(!force);
        // What stands in it is for whoever asked and for nobody else on the machine.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut written = options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
        written.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let records = answer["records"].as_array().map_or(0, Vec::len);
    let told = json!({ "file": file.display().to_string(), "records": records });
    output.show(&told, || format!("{}: {records} records\n", file.display()))?;
    Ok(())
}

fn subject_words(answer: &Value) -> String {
    let identifier = &answer["identifier"];
    let mut text = facts(&[
        ("held at", text_of(&answer["agency"])),
        ("on", format!("{} {}", text_of(&identifier["type"]), text_of(&identifier["value"]))),
        ("compared as", text_of(&answer["canonical"])),
        ("made", answer["made_at"].as_u64().map(show_s).unwrap_or_default()),
        ("records", answer["records"].as_array().map_or(0, Vec::len).to_string()),
    ]);
    for record in answer["records"].as_array().into_iter().flatten() {
        text.push('\n');
        text.push_str(&facts(&[
            ("record", text_of(&record["id"])),
            ("from", text_of(&record["author"])),
            ("through", join(&record["through"])),
            ("signed", record["issued_at"].as_u64().map(show_s).unwrap_or_default()),
            ("handling", handling_words(&record["handling"])),
            ("expires", record["expires"].as_u64().map(show_s).unwrap_or_default()),
            ("named as", text_of(&record["found"])),
        ]));
        text.push('\n');
        text.push_str(&body_words(&record["body"]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_shown() {
        let preview = json!({ "to_delete": 1, "to_review": 0, "held": 1, "due": [
            { "record": "ab".repeat(32), "author": "ru-police", "kind": "report", "why": "expired", "since": 1_795_294_800, "held": true },
        ]});
        let text = preview_words(&preview);
        assert!(text.starts_with("to delete 1, to look at again 0, held 1\n"), "{text}");
        assert!(text.contains("2026-11-21T21:00:00Z  abababababab  ru-police  report  expired  held"), "{text}");
        assert!(preview_words(&json!({ "due": [] })).contains("nothing is due"));
        let done = json!({ "deleted": 2, "kept": [{ "record": "cd".repeat(32), "reason": "legal-hold" }] });
        assert!(done_words(&done).contains("cdcdcdcdcdcd  legal-hold"));
    }

    #[test]
    fn a_subject_file_is_written_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("subject.json");
        let answer = json!({ "agency": "vn-police", "identifier": { "type": "imo", "value": "9074729" },
        "canonical": "9074729", "made_at": 1_795_294_800, "records": [
            { "id": "ab".repeat(32), "author": "ru-police", "through": ["id-coastguard"], "issued_at": 1_795_294_800,
              "handling": { "tlp": "AMBER" }, "found": "identifier", "body": { "title": "EXERCISE boarding" } },
        ]});
        let output = Output::new(true);
        write_subject(&answer, &file, false, output).unwrap();
        assert!(write_subject(&answer, &file, false, output).is_err());
        write_subject(&answer, &file, true, output).unwrap();
        let read: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(read, answer);
        let words = std::fs::read_to_string(folder.path().join("subject.json.txt")).unwrap();
        for part in ["TLP:AMBER", "id-coastguard", "EXERCISE boarding"] {
            assert!(words.contains(part), "{part} is not in\n{words}");
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o077, 0);
    }
}
