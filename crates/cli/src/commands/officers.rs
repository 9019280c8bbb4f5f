//! `officer`, `token` and `session`: who works at the desk.

use mufakat_record::OfficerId;
use serde_json::{Value, json};

use crate::args::{GrantArgs, Officer, Session, Token};
use crate::client::{Client, escape};
use crate::failure::usage;
use crate::output::{Output, Table, facts, join, short, text_of};
use crate::when::show_s;

/// How many officers are asked for at a time.
const PAGE: usize = 500;

/// Runs a command about officers.
pub(crate) async fn officer(client: &Client, what: Officer, output: Output) -> anyhow::Result<()> {
    match what {
        Officer::Invite { officer, grant, valid } => {
            if let Some(body) = new_grant(&grant)? {
                client.put(&path(&officer), &body).await?;
            }
            let asked = json!({ "valid_s": valid.as_secs() });
            let answer = client.post(&format!("{}/invitations", path(&officer)), &asked).await?;
            Ok(output.show(&answer, || invitation_words(&answer))?)
        }
        Officer::List { officer: Some(officer) } => {
            let answer = client.get(&path(&officer)).await?;
            Ok(output.show(&answer, || officer_words(&answer))?)
        }
        Officer::List { officer: None } => {
            let answer = json!({ "officers": all(client).await? });
            Ok(output.show(&answer, || officers_words(&answer))?)
        }
        Officer::Change { officer, grant, suspend, resume } => {
            let before = client.get(&path(&officer)).await?;
            let body = changed(&before, &grant, suspend, resume);
            let answer = client.put(&path(&officer), &body).await?;
            Ok(output.show(&answer, || format!("{officer} has a new grant; open sessions have ended"))?)
        }
        Officer::Revoke { officer, credential, reason } => {
            let path = match &credential {
                Some(credential) => format!("{}/credentials/{}/revoke", path(&officer), escape(credential)),
                None => format!("{}/revoke", path(&officer)),
            };
            let answer = client.post(&path, &json!({ "reason": reason })).await?;
            Ok(output.show(&answer, || format!("revoked; on record as {}", text_of(&answer["id"])))?)
        }
    }
}

/// Runs a command about tokens.
pub(crate) async fn token(client: &Client, what: Token, output: Output) -> anyhow::Result<()> {
    match what {
        Token::Create { officer, label, scope, valid } => {
            let asked = json!({ "officer": officer, "label": label, "scopes": scope, "valid_s": valid.as_secs() });
            let answer = client.post("/api/v1/tokens", &asked).await?;
            Ok(output.show(&answer, || {
                let until = answer["expires"].as_u64().map(show_s).unwrap_or_default();
                let [id, officer, token] = ["id", "officer", "token"].map(|name| text_of(&answer[name]));
                facts(&[("token", token), ("id", id), ("officer", officer), ("until", until)])
            })?)
        }
        Token::List => {
            let answer = client.get("/api/v1/tokens").await?;
            Ok(output.show(&answer, || {
                let mut table = Table::new(&["id", "officer", "label", "operations", "until"]);
                for token in answer["tokens"].as_array().into_iter().flatten() {
                    let until = token["expires"].as_u64().map(show_s).unwrap_or_default();
                    let [id, officer, label] = ["id", "officer", "label"].map(|name| text_of(&token[name]));
                    table.row([id, officer, label, join(&token["scopes"]), until]);
                }
                table.text("no tokens")
            })?)
        }
        Token::Revoke { token, reason } => {
            let path = format!("/api/v1/tokens/{}/revoke", escape(&token));
            let answer = client.post(&path, &json!({ "reason": reason })).await?;
            Ok(output.show(&answer, || format!("revoked; on record as {}", text_of(&answer["id"])))?)
        }
    }
}

/// Runs a command about sessions.
pub(crate) async fn session(client: &Client, what: Session, output: Output) -> anyhow::Result<()> {
    match what {
        Session::List => {
            let answer = client.get("/api/v1/sessions").await?;
            Ok(output.show(&answer, || {
                let mut table = Table::new(&["officer", "since", "idle", "ends in"]);
                for session in answer["sessions"].as_array().into_iter().flatten() {
                    let since = session["opened_ms"].as_u64().map(|ms| show_s(ms / 1000)).unwrap_or_default();
                    let seconds = |name: &str| format!("{} s", text_of(&session[name]));
                    table.row([text_of(&session["officer"]), since, seconds("idle_s"), seconds("ends_in_s")]);
                }
                table.text("nobody is signed in")
            })?)
        }
        Session::End { officer, reason } => {
            let path = format!("{}/sessions/end", path(&officer));
            let answer = client.post(&path, &json!({ "reason": reason })).await?;
            Ok(output.show(&answer, || format!("ended; on record as {}", text_of(&answer["id"])))?)
        }
    }
}

fn path(officer: &OfficerId) -> String {
    format!("/api/v1/officers/{officer}")
}

async fn all(client: &Client) -> anyhow::Result<Vec<Value>> {
    let (mut officers, mut after) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/api/v1/officers?limit={PAGE}{after}")).await?;
        officers.extend(page["officers"].as_array().into_iter().flatten().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", escape(next)),
            None => return Ok(officers),
        }
    }
}

/// The grant of an officer who is invited for the first time; nothing when there is to be none.
fn new_grant(grant: &GrantArgs) -> anyhow::Result<Option<Value>> {
    match (&grant.name, &grant.role[..], grant.clearance) {
        (None, [], None) if grant.purpose.is_empty() => Ok(None),
        (Some(name), roles @ [_, ..], Some(clearance)) => Ok(Some(json!({
            "name": name, "roles": roles, "clearance": clearance, "purposes": grant.purpose,
        }))),
        _ => Err(usage("a new officer takes --name, --role and --clearance; without any of them only a link is made")),
    }
}

/// The grant before, with what is to be otherwise.
fn changed(before: &Value, grant: &GrantArgs, suspend: bool, resume: bool) -> Value {
    let mut body = json!({
        "name": before["name"], "roles": before["roles"], "clearance": before["clearance"], "purposes": before["purposes"],
        "active": (before["state"] != "suspended" || resume) && !suspend,
    });
    if let Some(name) = &grant.name {
        body["name"] = json!(name);
    }
    if !grant.role.is_empty() {
        body["roles"] = json!(grant.role);
    }
    if let Some(clearance) = grant.clearance {
        body["clearance"] = json!(clearance);
    }
    if !grant.purpose.is_empty() {
        body["purposes"] = json!(grant.purpose);
    }
    body
}

fn invitation_words(answer: &Value) -> String {
    let until = answer["expires"].as_u64().map(show_s).unwrap_or_default();
    let [officer, link, secret] = ["officer", "link", "secret"].map(|name| text_of(&answer[name]));
    let secret = if link.is_empty() { secret } else { String::new() };
    facts(&[("officer", officer), ("link", link), ("secret", secret), ("until", until)])
}

fn officers_words(answer: &Value) -> String {
    let mut table = Table::new(&["officer", "state", "name", "roles", "clearance", "last sign-in"]);
    for officer in answer["officers"].as_array().into_iter().flatten() {
        let last = officer["last_sign_in_ms"].as_u64().map(|ms| show_s(ms / 1000)).unwrap_or_default();
        let [id, state, name, clearance] =
            ["officer", "state", "name", "clearance"].map(|name| text_of(&officer[name]));
        table.row([id, state, name, join(&officer["roles"]), clearance, last]);
    }
    table.text("no officers")
}

fn officer_words(officer: &Value) -> String {
    let last = officer["last_sign_in_ms"].as_u64().map(|ms| show_s(ms / 1000)).unwrap_or_default();
    let [id, name, state, clearance, by, grant] =
        ["officer", "name", "state", "clearance", "by", "grant"].map(|name| text_of(&officer[name]));
    let mut text = facts(&[
        ("officer", id),
        ("name", name),
        ("state", state),
        ("roles", join(&officer["roles"])),
        ("clearance", clearance),
        ("purposes", join(&officer["purposes"])),
        ("grant", short(&grant).to_owned()),
        ("granted by", if by.is_empty() { "the operator".to_owned() } else { by }),
        ("last sign-in", last),
    ]);
    let mut table = Table::new(&["credential", "type", "label", "last used"]);
    for credential in officer["credentials"].as_array().into_iter().flatten() {
        let used = credential["last_used_ms"].as_u64().map(|ms| show_s(ms / 1000)).unwrap_or_default();
        let label = if credential["label"].is_null() { &credential["issuer"] } else { &credential["label"] };
        table.row([text_of(&credential["id"]), text_of(&credential["type"]), text_of(label), used]);
    }
    text.push_str(&format!("\n{}", table.text("no credentials")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: Option<&str>, roles: &[&str], clearance: Option<&str>) -> GrantArgs {
        GrantArgs {
            name: name.map(str::to_owned),
            role: roles.iter().map(|role| role.parse().unwrap()).collect(),
            clearance: clearance.map(|label| label.parse().unwrap()),
            purpose: Vec::new(),
        }
    }

    #[test]
    fn a_new_grant_is_whole_or_none() {
        assert_eq!(new_grant(&args(None, &[], None)).unwrap(), None);
        let whole = new_grant(&args(Some("EXERCISE"), &["analyst"], Some("amber"))).unwrap();
        let expect = json!({ "name": "EXERCISE", "roles": ["analyst"], "clearance": "AMBER", "purposes": [] });
        assert_eq!(whole, Some(expect));
        assert!(new_grant(&args(Some("EXERCISE"), &[], Some("AMBER"))).is_err());
        assert!(new_grant(&args(None, &["analyst"], None)).is_err());
    }

    #[test]
    fn what_is_not_named_stays() {
        let before = json!({
            "name": "EXERCISE", "roles": ["analyst"], "clearance": "GREEN", "purposes": ["piracy"], "state": "suspended",
        });
        let stays = changed(&before, &args(None, &[], None), false, false);
        let expect = json!({
            "name": "EXERCISE", "roles": ["analyst"], "clearance": "GREEN", "purposes": ["piracy"], "active": false,
        });
        assert_eq!(stays, expect);
        let other = changed(&before, &args(None, &["auditor"], Some("RED")), false, true);
        assert_eq!(
            (&other["roles"], &other["clearance"], &other["active"]),
            (&json!(["auditor"]), &json!("RED"), &json!(true))
        );
        let active = json!({ "state": "active" });
        assert_eq!(changed(&active, &args(None, &[], None), true, false)["active"], false);
        assert_eq!(changed(&json!({ "state": "revoked" }), &args(None, &[], None), false, false)["active"], true);
    }
}
