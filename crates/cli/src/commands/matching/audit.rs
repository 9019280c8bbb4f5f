//! `match audit`: disclosing a question under an inspector's order, and recomputing one.

use serde_json::Value;

use super::{counted, question_id};
use crate::args::Audit;
use crate::client::{Client, escape};
use crate::commands::input;
use crate::failure::refused;
use crate::output::{Output, clean, text_of};

/// Carries out one of the commands about audits.
pub(super) async fn run(client: &Client, what: Audit, output: Output) -> anyhow::Result<()> {
    match what {
        Audit::Disclose { question, order } => {
            let id = question_id(client, &question).await?;
            let path = format!("/api/v1/matching/questions/{id}/disclosure?order={}", escape(&order));
            let disclosure = client.get(&path).await?;
            // It is a file for programs and inspectors alike.
            Ok(output.line(&serde_json::to_string_pretty(&disclosure)?)?)
        }
        Audit::Check { file } => {
            let disclosure: Value = serde_json::from_str(&input(&file)?)
                .map_err(|_| refused("malformed", format!("{} is no disclosure: it is not JSON", file.display())))?;
            let audit = client.post("/api/v1/matching/audits", &disclosure).await?;
            output.show(&audit, || words(&audit))?;
            match audit["fault"].as_str() {
                None if audit["holds"] == true => Ok(()),
                fault => Err(refused(
                    "audit-failed",
                    format!("the question was not made of this: {}", fault.unwrap_or_default()),
                )),
            }
        }
    }
}

fn words(audit: &Value) -> String {
    let count = counted(audit["count"].as_u64().unwrap_or_default(), "identifier", "identifiers");
    let mut text = match audit["fault"].as_str() {
        None => format!("it holds: every element and the commitment are made of this secret and {count}\n"),
        Some(fault) => format!("it does not hold ({fault}); disclosed: {count}\n"),
    };
    for one in audit["identifiers"].as_array().into_iter().flatten() {
        text.push_str(&format!("  {}\n", clean(&text_of(one)).replace('\n', " ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_audit_says_whether_it_holds() {
        let text = words(&json!({ "holds": true, "fault": null, "count": 1, "identifiers": ["imo 9074729\n\u{1b}"] }));
        assert_eq!(
            text,
            "it holds: every element and the commitment are made of this secret and 1 identifier\n  imo 9074729 \u{fffd}\n"
        );
        let text = words(&json!({ "holds": false, "fault": "other-element", "count": 2, "identifiers": [] }));
        assert_eq!(text, "it does not hold (other-element); disclosed: 2 identifiers\n");
    }
}
