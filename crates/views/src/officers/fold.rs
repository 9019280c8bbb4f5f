//! The fold of `officers`.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::credential::{Credential, Means};
use mufakat_record::kinds::officer::Officer;
use mufakat_record::kinds::revocation::{Revocation, Revoked};
use mufakat_record::{Act, How, OfficerId, RecordId, Verified};
use serde_json::{Map, Value, json};

use super::{NAME, SignInNote};
use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable};

type Changes = Result<Vec<RowChange>, RowsUnavailable>;

pub(super) fn fold(event: &Event<'_>, rows: &dyn Rows) -> Changes {
    match event.happening {
        Happening::Authored(record) => authored(record, event.at_ms, rows),
        Happening::Session(act) if act.how == How::SignIn => signed_in(act, event.at_ms, rows),
        _ => Ok(Vec::new()),
    }
}

fn authored(record: &Verified, at_ms: u64, rows: &dyn Rows) -> Changes {
    let (header, body) = (record.header(), record.body());
    match header.kind.as_str() {
        Officer::KIND => match Officer::from_body(header, body) {
            Ok(grant) => granted(record.id(), &grant, at_ms, rows),
            Err(_) => Ok(Vec::new()),
        },
        Credential::KIND => match Credential::from_body(header, body) {
            Ok(credential) => change(rows, &credential.officer, |row| {
                // Who was revoked needs a grant first.
                if row.body["state"] == "revoked" {
                    return;
                }
                let credentials = credentials_of(&mut row.body);
                if let Some(used) = credential.means.invitation() {
                    credentials.retain(|other| !is(other, &used));
                }
                credentials.push(shown(record.id(), &credential, at_ms));
            }),
            Err(_) => Ok(Vec::new()),
        },
        Revocation::KIND => match Revocation::from_body(header, body) {
            Ok(revocation) => revoked(&revocation, rows),
            Err(_) => Ok(Vec::new()),
        },
        _ => Ok(Vec::new()),
    }
}

fn granted(id: RecordId, grant: &Officer, at_ms: u64, rows: &dyn Rows) -> Changes {
    let before = rows.row(NAME, grant.officer.as_str().as_bytes())?;
    let kept = |name: &str| before.as_ref().map(|row| row.body[name].clone()).unwrap_or_default();
    let credentials = kept("credentials");
    let state = if grant.active { "active" } else { "suspended" };
    let mut facets: Vec<_> = grant.roles.iter().map(|role| ("role", role.name().to_owned())).collect();
    facets.push(("state", state.to_owned()));
    let body = json!({
        "officer": grant.officer,
        "name": grant.name,
        "roles": grant.roles,
        "clearance": grant.clearance,
        "purposes": grant.purposes.clone().unwrap_or_default(),
        "state": state,
        "by": grant.by,
        "at_ms": at_ms,
        "last_sign_in_ms": kept("last_sign_in_ms"),
        "credentials": if credentials.is_null() { json!([]) } else { credentials },
    });
    let key = grant.officer.as_str().as_bytes().to_vec();
    Ok(vec![RowChange::Put(Row { view: NAME, key, time_ms: at_ms, record: id, facets, body })])
}

fn revoked(revocation: &Revocation, rows: &dyn Rows) -> Changes {
    change(rows, &revocation.officer, |row| match revocation.what {
        Revoked::Officer => {
            credentials_of(&mut row.body).clear();
            row.body["state"] = json!("revoked");
            row.facets.retain(|(name, _)| *name != "state");
            row.facets.push(("state", "revoked".to_owned()));
        }
        Revoked::Credential { credential } => credentials_of(&mut row.body).retain(|other| !is(other, &credential)),
        // Sessions live in the memory of the node, and are no state of the officer.
        Revoked::Sessions => {}
    })
}

fn signed_in(act: &Act, at_ms: u64, rows: &dyn Rows) -> Changes {
    let Some(officer) = &act.officer else { return Ok(Vec::new()) };
    let note = act.note.as_deref().and_then(SignInNote::read);
    change(rows, officer, |row| {
        row.body["last_sign_in_ms"] = json!(at_ms);
        let Some(note) = note else { return };
        for credential in credentials_of(&mut row.body).iter_mut().filter(|other| is(other, &note.credential)) {
            credential["last_used_ms"] = json!(at_ms);
            if let Some(counter) = note.counter {
                credential["counter"] = json!(counter);
            }
        }
    })
}

/// Changes the row of an officer, if there is one. What is said of a pseudonym that was never granted changes nothing.
fn change(rows: &dyn Rows, officer: &OfficerId, change: impl FnOnce(&mut Row)) -> Changes {
    let Some(mut row) = rows.row(NAME, officer.as_str().as_bytes())? else { return Ok(Vec::new()) };
    change(&mut row);
    Ok(vec![RowChange::Put(row)])
}

fn credentials_of(body: &mut Value) -> &mut Vec<Value> {
    let list = &mut body["credentials"];
    if !list.is_array() {
        *list = json!([]);
    }
    // It was made a list just now if it was none.
    list.as_array_mut().expect("a list")
}

fn is(credential: &Value, id: &RecordId) -> bool {
    credential["id"] == id.to_string()
}

fn shown(id: RecordId, credential: &Credential, at_ms: u64) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    put("id", json!(id));
    put("type", json!(credential.means.name()));
    put("by", json!(credential.by));
    put("at_ms", json!(at_ms));
    match &credential.means {
        Means::Invitation { expires, .. } => put("expires", json!(expires)),
        Means::Passkey { label, .. } => put("label", json!(label)),
        Means::Oidc { issuer, subject, .. } => {
            put("issuer", json!(issuer));
            put("subject", json!(subject));
        }
        Means::Token { label, scopes, expires, .. } => {
            put("label", json!(label));
            put("scopes", json!(scopes));
            put("expires", json!(expires));
        }
    }
    Value::Object(shown)
}
