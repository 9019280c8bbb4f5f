//! `status`, `alarms` and `keys`.

use serde_json::{Value, json};

use crate::args::Keys;
use crate::client::Client;
use crate::output::{Output, Table, bytes_shown, facts, join, text_of};
use crate::when::{show_length, show_ms, show_s};

/// Shows how the node does, or only its card.
pub(super) async fn status(client: &Client, card: bool, output: Output) -> anyhow::Result<()> {
    let status = client.get("/api/v1/status").await?;
    if card {
        let answer = json!({ "card": status["card"] });
        return Ok(output.show(&answer, || text_of(&status["card"]))?);
    }
    Ok(output.show(&status, || status_words(&status))?)
}

fn status_words(status: &Value) -> String {
    let checkpoint = status["checkpoint_size"].as_u64().map(|size| {
        let by = join(&status["cosigned_by"]);
        format!("{size} leaves, cosigned by {}", if by.is_empty() { "nobody" } else { &by })
    });
    let register = status["register_version"].as_u64().map(|version| {
        let expires = status["register_expires"].as_u64().map(show_s).unwrap_or_default();
        format!("version {version}, expires {expires}")
    });
    let ledger =
        status["leaves"].as_u64().map(|leaves| format!("{leaves} leaves, epoch {}", text_of(&status["epoch"])));
    let mut text = facts(&[
        (
            "agency",
            format!(
                "{} ({}), party {}",
                text_of(&status["agency"]),
                text_of(&status["name"]),
                text_of(&status["party"])
            ),
        ),
        ("phase", text_of(&status["phase"])),
        ("community", text_of(&status["community"])),
        ("register", register.unwrap_or_default()),
        ("its key's words", text_of(&status["fingerprint"])),
        ("records", text_of(&status["records"])),
        ("ledger", ledger.unwrap_or_default()),
        ("checkpoint", checkpoint.unwrap_or_default()),
        (
            "last witnessed",
            status["witness_age_s"].as_u64().map(|age| format!("{} ago", show_length(age))).unwrap_or_default(),
        ),
        ("on disk", status["disk_bytes"].as_u64().map(bytes_shown).unwrap_or_default()),
        ("open proposals", text_of(&status["proposals_open"])),
        ("alarms", alarms_shown(status["alarms"].as_u64())),
        ("program", text_of(&status["version"])),
    ]);
    let mut table = Table::new(&["partner", "waiting", "failures", "way", "last contact"]);
    for partner in status["partners"].as_array().into_iter().flatten() {
        table.row([
            text_of(&partner["agency"]),
            text_of(&partner["backlog"]),
            text_of(&partner["failures"]),
            if partner["relayed"] == true { "by relay".to_owned() } else { "direct".to_owned() },
            partner["last_contact_ms"].as_u64().map_or("never".to_owned(), show_ms),
        ]);
    }
    text.push_str(&format!("\n{}", table.text("no partners")));
    text
}

fn alarms_shown(alarms: Option<u64>) -> String {
    match alarms {
        Some(0) => "none".to_owned(),
        Some(number) => format!("{number}: see `mufakat alarms`"),
        None => String::new(),
    }
}

/// Shows what the operator should look at.
pub(super) async fn alarms(client: &Client, output: Output) -> anyhow::Result<()> {
    let answer = client.get("/api/v1/alarms").await?;
    output.show(&answer, || {
        let alarms = answer["alarms"].as_array().into_iter().flatten();
        let lines: Vec<String> = alarms.map(alarm_words).collect();
        if lines.is_empty() { "no alarms".to_owned() } else { lines.join("\n") }
    })?;
    Ok(())
}

/// An alarm, field by field: alarms differ in what they have to say, and nothing of it is left out.
fn alarm_words(alarm: &Value) -> String {
    let Some(fields) = alarm.as_object() else { return crate::output::clean(&text_of(alarm)) };
    let shown = |(name, value): (&String, &Value)| {
        let value = match value.as_u64() {
            Some(at) if name.ends_with("_ms") => show_ms(at),
            _ => text_of(value),
        };
        (name.trim_end_matches("_ms").replace('_', " "), value)
    };
    let fields: Vec<(String, String)> = fields.iter().map(shown).collect();
    let borrowed: Vec<(&str, String)> = fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    facts(&borrowed)
}

/// Shows or rotates the keys.
pub(super) async fn keys(client: &Client, what: Keys, output: Output) -> anyhow::Result<()> {
    let answer = match what {
        Keys::Show => client.get("/api/v1/keys").await?,
        Keys::Revoke { key } => client.post("/api/v1/keys/revoke", &json!({ "key": key })).await?,
        Keys::Rotate { what } => client.post("/api/v1/keys/rotate", &json!({ "what": what.name() })).await?,
    };
    output.show(&answer, || keys_words(&answer))?;
    Ok(())
}

fn keys_words(keys: &Value) -> String {
    let mut text = facts(&[
        ("identity", text_of(&keys["identity"]["id"])),
        ("its words", text_of(&keys["identity"]["words"])),
        ("ledger", key_id(&keys["ledger"])),
        ("witness", key_id(&keys["witness"])),
    ]);
    let mut table = Table::new(&["key", "id", "from", "until", "state"]);
    for name in ["signing", "sealing", "tls"] {
        // The transport has one key, the others a list of them.
        let one = std::slice::from_ref(&keys[name]);
        for key in keys[name].as_array().map_or(one, Vec::as_slice) {
            if key.is_null() {
                continue;
            }
            let state = match (key["revoked"].as_u64(), key["current"].as_bool()) {
                (Some(since), _) => format!("revoked {}", show_s(since)),
                (None, Some(true)) => "current".to_owned(),
                (None, _) if key["over"] == true => "over".to_owned(),
                (None, _) => String::new(),
            };
            let at = |name: &str| key[name].as_u64().map(show_s).unwrap_or_default();
            table.row([name.to_owned(), key_id(key), at("from"), at("until"), state]);
        }
    }
    text.push_str(&format!("\n{}", table.text("no keys")));
    text
}

/// The id of a key that is given as an object or by the id alone.
fn key_id(key: &Value) -> String {
    if key.is_object() { text_of(&key["id"]) } else { text_of(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_in_either_form() {
        let text = keys_words(&json!({
            "identity": {"id": "0a", "words": "one two"}, "ledger": "0b", "witness": {"id": "0c"},
            "signing": [{"id": "01", "from": 0, "until": 60, "current": false}, {"id": "02", "from": 60, "until": 120, "current": true}],
            "sealing": [], "tls": {"id": "03", "until": 120},
        }));
        for part in [
            "ledger     0b",
            "witness    0c",
            "signing  02  1970-01-01T00:01:00Z  1970-01-01T00:02:00Z  current",
            "tls      03",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_node_that_waits_has_a_status_too() {
        let text = status_words(&json!({"agency": "vn-police", "phase": "waiting", "alarms": 0, "partners": []}));
        assert!(text.contains("phase") && text.contains("waiting") && text.contains("no partners"), "{text}");
        assert!(!text.contains("checkpoint") && !text.contains("leaves"), "{text}");
    }

    #[test]
    fn alarms_are_told_whole() {
        let text = alarm_words(&json!({"at_ms": 0, "what": "fork\u{1b}", "agency": "ru-police"}));
        assert!(text.contains("at      1970-01-01T00:00:00Z"), "{text}");
        assert!(text.contains("what    fork\u{fffd}"), "{text}");
    }
}
