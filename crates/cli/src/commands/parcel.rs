//! `parcel`: what goes over a gap of air, in a file.

use std::path::Path;

use axum::body::Body;
use http::Method;
use mufakat_node::net::local_client::body_from_reader;
use serde_json::{Value, json};

use crate::args::Parcel;
use crate::client::{Client, OCTETS, json_of, save};
use crate::output::{Output, Table, bytes_shown, short, text_of};

/// Exports or imports parcels.
pub(super) async fn run(client: &Client, what: Parcel, output: Output) -> anyhow::Result<()> {
    match what {
        Parcel::Export { to, output: file, force } => {
            let response = client.post_for_bytes("/api/v1/parcels/export", &json!({ "to": to })).await?;
            let bytes = save(response, &file, force, |_| ()).await?;
            if file == Path::new("-") {
                return Ok(());
            }
            let answer = json!({ "to": to, "file": file.display().to_string(), "bytes": bytes });
            output.show(&answer, || format!("{}: parcels for {to}, {}", file.display(), bytes_shown(bytes)))?;
        }
        Parcel::Import { file } => {
            let body = body_of(&file).await?;
            let response = client.request(Method::POST, "/api/v1/parcels/import", Some(OCTETS), body).await?;
            let answer = json_of(response).await?;
            output.show(&answer, || imported(&answer))?;
        }
    }
    Ok(())
}

/// A file as the body of a request, read while it is sent.
async fn body_of(path: &Path) -> anyhow::Result<Body> {
    use anyhow::Context;
    if path == Path::new("-") {
        return Ok(body_from_reader(tokio::io::stdin()));
    }
    let file = tokio::fs::File::open(path).await.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(body_from_reader(file))
}

fn imported(answer: &Value) -> String {
    let rejected: Vec<&Value> = answer["rejected"].as_array().into_iter().flatten().collect();
    let mut text = format!(
        "{} records accepted, {} rejected; {} receipts taken\n",
        text_of(&answer["accepted"]),
        rejected.len(),
        text_of(&answer["receipts_taken"])
    );
    if !rejected.is_empty() {
        let mut table = Table::new(&["rejected", "reason"]);
        for one in rejected {
            table.row([short(one["record"].as_str().unwrap_or_default()).to_owned(), text_of(&one["reason"])]);
        }
        text.push_str(&table.text(""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_imported_is_told() {
        let answer =
            json!({"accepted": 2, "rejected": [{"record": "ab".repeat(32), "reason": "expired"}], "receipts_taken": 1});
        assert_eq!(
            imported(&answer),
            "2 records accepted, 1 rejected; 1 receipts taken\nREJECTED      REASON\nabababababab  expired\n"
        );
    }
}
