//! `match budget`, `asked` and `alarms`: how much may be asked, what partners asked, and who came to the end of it.

use mufakat_record::AgencyId;
use serde_json::{Value, json};

use super::{more, page, rows_of, short_of};
use crate::args::{MatchBudget, RowsArgs};
use crate::client::Client;
use crate::output::{Output, Table, text_of};
use crate::when::show_ms;

const PATH: &str = "/api/v1/matching/budgets";

/// Carries out one of the commands about budgets.
pub(super) async fn run(client: &Client, what: MatchBudget, output: Output) -> anyhow::Result<()> {
    match what {
        MatchBudget::Set { partner, limit, days } => {
            let mut budget = json!({ "partner": partner });
            // What is not said is as the node has it.
            for (name, value) in [("limit", limit), ("window_days", days)] {
                if let Some(value) = value {
                    budget[name] = value.into();
                }
            }
            let answer = client.post(PATH, &budget).await?;
            Ok(output.show(&answer, || format!("the budget is in force; {partner} is told of the lists\n"))?)
        }
        MatchBudget::List => {
            let answer = client.get(PATH).await?;
            Ok(output.show(&answer, || budget_words(&answer))?)
        }
        MatchBudget::Stop { partner } => {
            let answer = client.post(PATH, &json!({ "partner": partner, "limit": 0 })).await?;
            Ok(output.show(&answer, || format!("no question of {partner} is answered any more\n"))?)
        }
    }
}

fn budget_words(answer: &Value) -> String {
    let mut partners = Table::new(&["partner", "asked of us", "may ask", "within", "state"]);
    for one in answer["partners"].as_array().into_iter().flatten() {
        let days = one["window_days"].as_u64().unwrap_or_default();
        partners.row([
            text_of(&one["partner"]),
            text_of(&one["used"]),
            text_of(&one["limit"]),
            super::counted(days, "day", "days"),
            if one["limit"] == 0 { "stopped".to_owned() } else { text_of(&one["state"]) },
        ]);
    }
    let mut officers = Table::new(&["officer", "purpose", "of partner", "asked", "may ask", "state"]);
    for one in answer["officers"].as_array().into_iter().flatten() {
        officers.row(["officer", "purpose", "partner", "used", "limit", "state"].map(|name| text_of(&one[name])));
    }
    format!(
        "{}\n{}",
        partners.text("no partner has a budget: nobody is told of a list, and no question is answered"),
        officers.text("no officer asked within the window")
    )
}

/// What partners asked.
pub(super) async fn asked(
    client: &Client,
    partner: Option<&AgencyId>,
    state: Option<&str>,
    rows: &RowsArgs,
    output: Output,
) -> anyhow::Result<()> {
    let mut pairs = vec![("row", "asked")];
    pairs.extend(partner.map(|partner| ("partner", partner.as_str())));
    pairs.extend(state.map(|state| ("state", state)));
    let page = page(client, &pairs, rows).await?;
    Ok(output.show(&page, || asked_words(&page))?)
}

fn asked_words(page: &Value) -> String {
    let headings =
        ["asked", "question", "partner", "by", "purpose", "legal basis", "about", "count", "size", "state", "reason"];
    let mut table = Table::new(&headings);
    for row in rows_of(page) {
        let body = &row["body"];
        let by = match body["by"]["officer"].as_str() {
            Some(officer) => format!("{officer} ({})", text_of(&body["by"]["role"])),
            None => text_of(&body["by"]["role"]),
        };
        table.row([
            row["time_ms"].as_u64().map(show_ms).unwrap_or_default(),
            short_of(&row["record"]),
            text_of(&body["partner"]),
            by,
            text_of(&body["purpose"]),
            text_of(&body["basis"]),
            text_of(&body["subject"]),
            text_of(&body["count"]),
            text_of(&body["size"]),
            text_of(&body["state"]),
            text_of(&body["reason"]),
        ]);
    }
    format!("{}{}", table.text("no partner asked"), more(page))
}

/// Budgets that came to their end, or nearly.
pub(super) async fn alarms(client: &Client, rows: &RowsArgs, output: Output) -> anyhow::Result<()> {
    let page = page(client, &[("row", "alarm")], rows).await?;
    Ok(output.show(&page, || alarm_words(&page))?)
}

fn alarm_words(page: &Value) -> String {
    let mut table = Table::new(&["at", "partner", "budget", "asked before", "may ask"]);
    for row in rows_of(page) {
        let body = &row["body"];
        table.row([
            row["time_ms"].as_u64().map(show_ms).unwrap_or_default(),
            text_of(&body["partner"]),
            text_of(&body["mark"]),
            text_of(&body["used"]),
            text_of(&body["limit"]),
        ]);
    }
    format!("{}{}", table.text("no budget came to its end"), more(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_shown_on_both_sides() {
        let text = budget_words(&json!({
            "partners": [{ "partner": "ru-police", "limit": 0, "window_days": 1, "used": 64, "state": "exhausted" },
                { "partner": "th-police", "limit": 20_000, "window_days": 10, "used": 16_000, "state": "near" }],
            "officers": [{ "partner": "hub", "officer": "d3-night", "purpose": "EXERCISE", "used": 3, "limit": 20_000, "state": "ok" }],
        }));
        for part in [
            "ru-police  64           0        1 day    stopped",
            "th-police  16000        20000    10 days  near",
            "d3-night  EXERCISE  hub         3      20000    ok",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let text = budget_words(&json!({ "partners": [], "officers": [] }));
        assert!(text.contains("no partner has a budget") && text.contains("no officer asked"), "{text}");
    }

    #[test]
    fn what_partners_asked_is_a_table() {
        let row = json!({ "time_ms": 0, "record": "ab".repeat(32), "body": { "partner": "ru-police", "purpose": "EXERCISE\u{1b}",
            "by": { "role": "duty-officer", "officer": "r7" }, "basis": "EXERCISE treaty", "subject": "imo", "count": 3, "size": 16,
            "state": "refused", "reason": "budget-exhausted" } });
        let text = asked_words(&json!({ "rows": [row] }));
        let expect = "1970-01-01T00:00:00Z  abababababab  ru-police  r7 (duty-officer)  EXERCISE\u{fffd}  EXERCISE treaty  imo    \
                      3      16    refused  budget-exhausted";
        assert!(text.contains(expect), "{text}");
        assert_eq!(asked_words(&json!({ "rows": [] })), "no partner asked\n");
    }

    #[test]
    fn alarms_are_a_table() {
        let row = json!({ "time_ms": 0, "body": { "partner": "ru-police", "mark": "near", "used": 16_000, "limit": 20_000 } });
        let text = alarm_words(&json!({ "rows": [row] }));
        assert!(text.contains("1970-01-01T00:00:00Z  ru-police  near    16000         20000"), "{text}");
    }
}
