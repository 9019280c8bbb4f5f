//! `policy`: the rules by which the node decides.

use std::path::{Path, PathBuf};

use mufakat_node::gate::cases::{self, Cases};
use mufakat_node::gate::{Flaw, Policies, PolicyFile, remarks};
use serde_json::{Value, json};

use super::input;
use crate::args::Policy;
use crate::client::Client;
use crate::failure::refused;
use crate::output::{Output, Table, facts, join, text_of};
use crate::when::show_ms;

/// The commands that ask the node.
pub(super) async fn run(client: &Client, what: Policy, output: Output) -> anyhow::Result<()> {
    match what {
        Policy::Show { rule } => show(client, rule.as_deref(), output).await,
        Policy::Explain { record, roles, action, officer, clearance, purposes, to } => {
            let asked = json!({
                "record": client.record_id(&record).await?, "action": action.name(), "as": roles, "officer": officer,
                "clearance": clearance, "purposes": purposes, "to": to,
            });
            let explained = client.post("/api/v1/policy/explain", &asked).await?;
            Ok(output.show(&explained, || explained_words(&explained))?)
        }
        Policy::Diff { files, name, newest } => {
            let mut asked = json!({ "files": read(&files)?, "newest": newest });
            if let Some(name) = name {
                asked["name"] = name.into();
            }
            let differences = client.post("/api/v1/policy/diff", &asked).await?;
            Ok(output.show(&differences, || difference_words(&differences))?)
        }
        Policy::Propose { name, files, tests, end: _ } => {
            let tests = tests.map(|file| input(&file)).transpose()?;
            let asked = json!({ "name": name, "files": read(&files)?, "tests": tests });
            let proposed = client.post("/api/v1/policy/sets", &asked).await?;
            Ok(output.show(&proposed, || {
                let id = text_of(&proposed["id"]);
                format!("proposed: {id}\nAnother officer approves it with\n  mufakat policy approve {id}")
            })?)
        }
        Policy::Approve { set, reject, words } => {
            let asked = json!({ "decision": if reject { "reject" } else { "approve" }, "words": words });
            let path = format!("/api/v1/policy/sets/{}/decision", crate::client::escape(&set));
            let decided = client.post(&path, &asked).await?;
            let done = if reject { "rejected" } else { "in force" };
            Ok(output.show(&decided, || format!("{done}; the node decides by {}", text_of(&decided["in_force"])))?)
        }
        Policy::List => {
            let page = client.get("/api/v1/views/policies?limit=500").await?;
            Ok(output.show(&page, || list_words(&page))?)
        }
        Policy::Check { .. } | Policy::Test { .. } => unreachable!("`offline` does these"),
    }
}

/// The commands that need no node. Gives back what is none of them.
pub(super) fn offline(what: Policy, output: Output) -> Result<anyhow::Result<()>, Policy> {
    match what {
        Policy::Check { files } => Ok(check(&files, output)),
        Policy::Test { cases, files } => Ok(test(&cases, &files, output)),
        other => Err(other),
    }
}

fn read(files: &[PathBuf]) -> anyhow::Result<Vec<PolicyFile>> {
    let named = |path: &PathBuf| {
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        Ok(PolicyFile { name, text: input(path)? })
    };
    files.iter().map(named).collect()
}

/// The default rules with those of some files. What is wrong with them is shown before the command fails.
fn policies(files: &[PathBuf], output: Output) -> anyhow::Result<Policies> {
    match Policies::read(&read(files)?) {
        Ok(policies) => Ok(policies),
        Err(flaws) => {
            let answer = json!({ "flaws": flaws });
            output.show(&answer, || flaws.iter().map(|flaw: &Flaw| format!("{flaw}\n")).collect())?;
            Err(refused("policy-flawed", format!("{} places in the rules are wrong", flaws.len())))
        }
    }
}

fn check(files: &[PathBuf], output: Output) -> anyhow::Result<()> {
    let policies = policies(files, output)?;
    let remarks = remarks(&policies);
    let answer = json!({ "hash": policies.hash(), "remarks": remarks });
    Ok(output.show(&answer, || {
        let said: String = remarks.iter().map(|remark| format!("{}: {}\n", remark.rule, remark.what)).collect();
        format!("{said}sound; with the default rules the set has the hash {}", policies.hash())
    })?)
}

fn test(file: &Path, files: &[PathBuf], output: Output) -> anyhow::Result<()> {
    let policies = policies(files, output)?;
    let cases = Cases::read(&input(file)?).map_err(|wrong| refused("cases-flawed", wrong.to_string()))?;
    let outcomes = cases::run(&policies, &cases);
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.as_expected).collect();
    let answer = json!({ "cases": outcomes, "wrong": wrong.len() });
    output.show(&answer, || {
        let said: String = wrong.iter().map(|outcome| format!("{outcome}: {}\n", outcome.why)).collect();
        format!("{said}{} of {} cases come out as they say", outcomes.len() - wrong.len(), outcomes.len())
    })?;
    if wrong.is_empty() { Ok(()) } else { Err(refused("policy-untrue", format!("{} cases do not", wrong.len()))) }
}

async fn show(client: &Client, rule: Option<&str>, output: Output) -> anyhow::Result<()> {
    let policy = client.get("/api/v1/policy").await?;
    let Some(name) = rule else { return Ok(output.show(&policy, || policy_words(&policy))?) };
    let rules = policy["rules"].as_array().into_iter().flatten();
    let found = rules.into_iter().find(|rule| rule["name"] == name);
    let found = found.ok_or_else(|| refused("not-found", format!("there is no rule called {name}")))?;
    Ok(output.show(found, || rule_words(found))?)
}

fn effect(rule: &Value) -> String {
    if rule["forbids"] == true { "forbids" } else { "permits" }.to_owned()
}

fn policy_words(policy: &Value) -> String {
    let mut table = Table::new(&["rule", "", "why"]);
    for rule in policy["rules"].as_array().into_iter().flatten() {
        table.row([text_of(&rule["name"]), effect(rule), text_of(&rule["why"])]);
    }
    format!("{}\nhash {}", table.text("no rules"), text_of(&policy["hash"]))
}

fn rule_words(rule: &Value) -> String {
    let of = if rule["default"] == true { "the default set" } else { "the agency" };
    let told = facts(&[
        ("rule", text_of(&rule["name"])),
        ("of", of.to_owned()),
        ("why", text_of(&rule["why"])),
        ("source", text_of(&rule["source"])),
    ]);
    format!("{told}\n{}", text_of(&rule["text"]))
}

fn explained_words(explained: &Value) -> String {
    let decision = match (explained["allow"] == true, explained["hidden"] == true) {
        (true, _) => "allowed".to_owned(),
        (false, true) => format!(
            "refused by {}, as if it did not exist: {}",
            text_of(&explained["rule"]),
            text_of(&explained["why"])
        ),
        (false, false) => format!("refused by {}: {}", text_of(&explained["rule"]), text_of(&explained["why"])),
    };
    let mut table = Table::new(&["rule", "", "why", "source"]);
    for rule in explained["rules"].as_array().into_iter().flatten() {
        table.row([text_of(&rule["name"]), effect(rule), text_of(&rule["why"]), text_of(&rule["source"])]);
    }
    format!("{decision}\n\n{}", table.text("no rule permits it"))
}

fn difference_words(differences: &Value) -> String {
    let mut table = Table::new(&["record", "role", "action", "now", "then"]);
    let allowed = |rule: &Value| if rule == "none" { "allowed".to_owned() } else { text_of(rule) };
    for one in differences["differences"].as_array().into_iter().flatten() {
        let id = text_of(&one["record"]);
        table.row([
            crate::output::short(&id).to_owned(),
            text_of(&one["role"]),
            text_of(&one["action"]),
            allowed(&one["now"]),
            allowed(&one["then"]),
        ]);
    }
    let (changed, of) = (text_of(&differences["changed"]), text_of(&differences["decisions"]));
    format!("{}\n{changed} of {of} decisions would change", table.text("nothing would change"))
}

fn list_words(page: &Value) -> String {
    let mut table = Table::new(&["set", "state", "proposed", "by", "decided by", "files"]);
    let mut ids = String::new();
    for row in page["rows"].as_array().into_iter().flatten() {
        let body = &row["body"];
        let by = |value: &Value| if value.is_null() { "the operator".to_owned() } else { text_of(value) };
        let decided = body["decisions"].get(0).map(|decision| by(&decision["by"])).unwrap_or_default();
        table.row([
            text_of(&body["name"]),
            text_of(&body["state"]),
            body["proposed_ms"].as_u64().map(show_ms).unwrap_or_default(),
            by(&body["by"]),
            decided,
            join(&body["files"]),
        ]);
        if body["state"] == "proposed" {
            ids.push_str(&format!("\n  mufakat policy approve {}", text_of(&row["record"])));
        }
    }
    let waiting = if ids.is_empty() { String::new() } else { format!("\nWaiting for another officer:{ids}\n") };
    format!("{}{waiting}", table.text("no sets: the default policy is in force"))
}
