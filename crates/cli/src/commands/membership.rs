//! `invite` and `join`: how an agency comes into the community.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::client::Client;
use crate::failure::refused;
use crate::output::{Output, facts, text_of};
use crate::when::show_length;

/// How often a node that waits to be admitted is asked.
const ASK_PAUSE: Duration = Duration::from_millis(500);

/// How long it may be away while it changes over to running.
const AWAY_MAX: Duration = Duration::from_secs(20);

/// Makes an invitation.
pub(super) async fn invite(
    client: &Client,
    agency: &str,
    party: &str,
    valid: Duration,
    file: Option<&Path>,
    output: Output,
) -> anyhow::Result<()> {
    let asked = json!({ "agency": agency, "party": party, "valid_s": valid.as_secs() });
    let answer = client.post("/api/v1/invitations", &asked).await?;
    let invitation = answer["invitation"].as_str().context("the node gave no invitation")?;
    if let Some(file) = file {
        std::fs::write(file, format!("{invitation}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    }
    output.show(&answer, || {
        let mut text = match file {
            Some(file) => format!("Invitation for {agency} in {}.\n", file.display()),
            None => format!("{invitation}\n\n"),
        };
        text.push_str(&format!(
            "It can be used for {}. {agency} must be shown these words when it joins:\n",
            show_length(valid.as_secs())
        ));
        text.push_str(&format!("  {}\n", text_of(&answer["words"])));
        text
    })?;
    Ok(())
}

/// Uses an invitation, and waits to be admitted if that is wanted.
pub(super) async fn join(
    client: &Client,
    invitation: &str,
    wait: bool,
    timeout: Option<Duration>,
    output: Output,
) -> anyhow::Result<()> {
    let mut answer = client.post("/api/v1/join", &json!({ "invitation": invitation })).await?;
    if !output.json {
        output.line(&asked_words(&answer))?;
    }
    if !wait {
        return if output.json { Ok(output.line(&answer.to_string())?) } else { Ok(()) };
    }
    if !output.json {
        eprintln!("waiting to be admitted");
    }
    let began = Instant::now();
    let mut answered_at = began;
    loop {
        let status = match client.get("/api/v1/status").await {
            // The node changes over when it is admitted; longer than that it must not be away.
            Err(error) if client.is_starting(&error) && answered_at.elapsed() < AWAY_MAX => Value::Null,
            other => {
                answered_at = Instant::now();
                other?
            }
        };
        if status["phase"] == "running" {
            answer["status"] = status.clone();
            output.show(&answer, || {
                format!(
                    "Admitted to {}, register version {}.",
                    crate::output::clean(&text_of(&status["community"])),
                    text_of(&status["register_version"])
                )
            })?;
            return Ok(());
        }
        if timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
            return Err(refused("timeout", "the community has not admitted this agency yet; the node goes on waiting"));
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
}

fn asked_words(answer: &Value) -> String {
    let mut text = format!("{} was asked. Compare by voice:\n", text_of(&answer["inviter"]));
    text.push_str(&facts(&[
        ("  the community's words", text_of(&answer["community_root_words"])),
        ("  its key's words", text_of(&answer["inviter_words"])),
        ("  this agency's words", text_of(&answer["own_words"])),
    ]));
    text
}
