//! `register`: the community's root of trust.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::Method;
use mufakat_node::net::local_client::Response;
use serde_json::{Map, Value, json};

use crate::args::{FoundArgs, Founding, ProposeArgs, Register, RulesArgs};
use crate::client::{Client, OCTETS, save};
use crate::failure::{refused, usage};
use crate::output::{Output, Table, clean, facts, join, short, text_of};
use crate::when::show_s;

/// The largest founding file, in bytes.
const FOUNDING_BYTES_MAX: u64 = 16 << 20;
/// The field in which the node says that a founding file is complete.
const ENACTED: &str = "mufakat-enacted";
/// How long a node may take to begin running once it has a register.
const START_MAX: Duration = Duration::from_secs(20);
/// How often it is asked.
const ASK_PAUSE: Duration = Duration::from_millis(100);
/// The fewest characters of a proposal's hash that are taken for it.
const PREFIX_CHARS_MIN: usize = 8;

/// Does one of the commands.
pub(super) async fn run(client: &Client, what: Register, output: Output) -> anyhow::Result<()> {
    match what {
        Register::Found(args) => found(client, &args, output).await,
        Register::Propose(args) => propose(client, &args, output).await,
        Register::Approve(Founding { proposal: Some(proposal), .. }) => approve(client, &proposal, output).await,
        Register::Approve(Founding { founding: Some(file), output: to, .. }) => {
            approve_founding(client, &file, to.as_deref().unwrap_or(&file), output).await
        }
        Register::Approve(_) => Err(usage("name a proposal or a founding file")),
        Register::Show => {
            let answer = client.get("/api/v1/register").await?;
            Ok(output.show(&answer, || register_words(&answer))?)
        }
        Register::Log => {
            let answer = client.get("/api/v1/register/log").await?;
            Ok(output.show(&answer, || log_words(&answer))?)
        }
        Register::Pending => pending(client, output).await,
    }
}

fn forums(args: &[crate::args::Forum]) -> Vec<Value> {
    args.iter().map(|forum| json!({ "id": forum.id, "name": forum.name, "members": forum.members })).collect()
}

async fn found(client: &Client, args: &FoundArgs, output: Output) -> anyhow::Result<()> {
    let mut cards = Vec::new();
    for file in &args.card {
        cards.push(super::input(file)?.trim().to_owned());
    }
    let mut asked = json!({
        "community": args.community,
        "cards": cards,
        "threshold": args.threshold,
        "relays": args.relay,
        "forums": forums(&args.forum),
        "valid_days": args.valid_days,
    });
    if let Some(rules) = rules(&args.rules, None)? {
        asked["rules"] = rules;
    }
    if args.output.exists() {
        return Err(refused("exists", format!("{} exists; name another file", args.output.display())));
    }
    let response = client.post_for_bytes("/api/v1/register/found", &asked).await?;
    founding_written(client, response, &args.output, output).await
}

async fn approve_founding(client: &Client, file: &Path, to: &Path, output: Output) -> anyhow::Result<()> {
    let founding = super::input_bytes(file, FOUNDING_BYTES_MAX)?;
    let request = client.request(Method::POST, "/api/v1/register/approve", Some(OCTETS), Body::from(founding));
    founding_written(client, request.await?, to, output).await
}

/// Writes a founding file, and says whether it is complete. When it is, the node begins to run with it; only then is the
/// command done, so that the next one finds it running.
async fn founding_written(client: &Client, response: Response, file: &Path, output: Output) -> anyhow::Result<()> {
    let enacted = response.headers.get(ENACTED).is_some_and(|value| value == "true");
    let bytes = save(response, file, true, |_| ()).await?;
    let register = if enacted { await_register(client).await? } else { Value::Null };
    let answer =
        json!({ "file": file.display().to_string(), "bytes": bytes, "enacted": enacted, "register": register });
    output.show(&answer, || {
        let shown = file.display();
        if enacted {
            format!("The register is in force.\n\n{}", register_words(&register))
        } else {
            format!(
                "{shown} holds this agency's approval.\nIt needs those of the other founding parties: \
                 `mufakat register approve --founding {shown}` at each, then once more here."
            )
        }
    })?;
    Ok(())
}

/// The register, as soon as the node runs with it.
async fn await_register(client: &Client) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        match client.get("/api/v1/register").await {
            Err(error) if client.is_starting(&error) && began.elapsed() < START_MAX => {}
            other => return other,
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
}

/// The rules as the options change them. A founding has no rules yet, so all or none are given there.
fn rules(args: &RulesArgs, present: Option<&Value>) -> anyhow::Result<Option<Value>> {
    let given = [
        ("witness_quorum", args.witness_quorum),
        ("witness_interval_s", args.witness_interval_s),
        ("relay_max_s", args.relay_max_s),
    ];
    if given.iter().all(|(_, value)| value.is_none()) {
        return Ok(None);
    }
    let mut rules = Map::new();
    for (name, value) in given {
        let value = value.map(Value::from).or_else(|| present.map(|rules| rules[name].clone()));
        let value = value.ok_or_else(|| {
            usage("--witness-quorum, --witness-interval-s and --relay-max-s are given together or not at all here")
        })?;
        rules.insert(name.to_owned(), value);
    }
    Ok(Some(Value::Object(rules)))
}

async fn propose(client: &Client, args: &ProposeArgs, output: Output) -> anyhow::Result<()> {
    let mut asked = Map::new();
    let mut put = |name: &str, given: bool, value: Value| {
        if given {
            asked.insert(name.to_owned(), value);
        }
    };
    put("admit", !args.admit.is_empty(), json!(args.admit));
    put("remove", !args.remove.is_empty(), json!(args.remove));
    put("threshold", args.threshold.is_some(), json!(args.threshold));
    let relay: Map<String, Value> = args.relay.iter().map(|(a, relay)| (a.to_string(), json!(relay))).collect();
    put("relay", !relay.is_empty(), Value::Object(relay));
    let endpoint: Map<String, Value> =
        args.endpoint.iter().map(|(a, endpoint)| (a.to_string(), json!(endpoint))).collect();
    put("endpoint", !endpoint.is_empty(), Value::Object(endpoint));
    put("forums", !args.forum.is_empty(), json!(forums(&args.forum)));
    put("valid_days", args.valid_days.is_some(), json!(args.valid_days));
    let all_rules = args.rules.witness_quorum.is_some()
        || args.rules.witness_interval_s.is_some()
        || args.rules.relay_max_s.is_some();
    if all_rules {
        let present = client.get("/api/v1/register").await?;
        put("rules", true, rules(&args.rules, Some(&present["rules"]))?.unwrap_or_default());
    }
    if asked.is_empty() {
        return Err(usage("say what the next version is to change; see `mufakat register propose --help`"));
    }
    let answer = client.post("/api/v1/register/propose", &Value::Object(asked)).await?;
    output.show(&answer, || standing_words(&answer))?;
    Ok(())
}

async fn approve(client: &Client, proposal: &str, output: Output) -> anyhow::Result<()> {
    let proposal = proposal.to_ascii_lowercase();
    let hash = if proposal.len() == 64 { proposal } else { proposal_hash(client, &proposal).await? };
    let answer = client.post("/api/v1/register/approve", &json!({ "hash": hash })).await?;
    output.show(&answer, || standing_words(&answer))?;
    Ok(())
}

/// The whole hash of the one open proposal that begins so.
async fn proposal_hash(client: &Client, given: &str) -> anyhow::Result<String> {
    if given.len() < PREFIX_CHARS_MIN {
        return Err(usage(format!(
            "`{given}` is too short: at least {PREFIX_CHARS_MIN} characters of the hash are needed"
        )));
    }
    let register = client.get("/api/v1/register").await?;
    let open = register["proposals"].as_array().into_iter().flatten().filter_map(|proposal| proposal["hash"].as_str());
    let found: Vec<&str> = open.filter(|hash| hash.starts_with(given)).collect();
    match found.as_slice() {
        [hash] => Ok((*hash).to_owned()),
        [] => Err(refused("not-found", format!("no open proposal begins with {given}"))),
        _ => Err(refused("ambiguous", format!("several proposals begin with {given}: {}", found.join(", ")))),
    }
}

/// What has become of a proposal.
fn standing_words(standing: &Value) -> String {
    let mut text = facts(&[
        ("version", text_of(&standing["version"])),
        ("hash", text_of(&standing["hash"])),
        ("approved by", join(&standing["approvals"])),
        ("needed", text_of(&standing["needs"])),
    ]);
    text.push_str(&summary_words(&standing["summary"]));
    if standing["enacted"] == true {
        text.push_str("It is in force.\n");
    }
    text
}

fn summary_words(summary: &Value) -> String {
    let lines = summary.as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.map(|line| format!("  {}\n", clean(line))).collect()
}

async fn pending(client: &Client, output: Output) -> anyhow::Result<()> {
    let mut answer = client.get("/api/v1/invitations").await?;
    let register = client.get("/api/v1/register").await?;
    answer["proposals"] = register["proposals"].clone();
    output.show(&answer, || {
        let mut table = Table::new(&["agency", "party", "name", "endpoint"]);
        let mut words = String::new();
        for one in answer["pending"].as_array().into_iter().flatten() {
            table.row(["agency", "party", "name", "endpoint"].map(|name| text_of(&one[name])));
            words.push_str(&format!(
                "  {}: {}\n",
                clean(&text_of(&one["agency"])),
                clean(&text_of(&one["fingerprint"]))
            ));
        }
        let mut text = table.text("No agency waits to be admitted.");
        if !words.is_empty() {
            text.push_str(&format!("\nCompare by voice before you propose to admit them:\n{words}"));
        }
        text.push_str(&format!("{} invitations are open.\n", text_of(&answer["open"])));
        text.push_str(&proposals_words(&answer["proposals"]));
        text
    })?;
    Ok(())
}

fn proposals_words(proposals: &Value) -> String {
    let mut text = String::new();
    for proposal in proposals.as_array().into_iter().flatten() {
        let hash = text_of(&proposal["hash"]);
        text.push_str(&format!(
            "\nProposal {} for version {}, approved by {} of {} needed ({})\n{}",
            short(&hash),
            text_of(&proposal["version"]),
            proposal["approvals"].as_array().map_or(0, Vec::len),
            text_of(&proposal["needs"]),
            join(&proposal["approvals"]),
            summary_words(&proposal["summary"]),
        ));
    }
    text
}

fn register_words(register: &Value) -> String {
    let rules = &register["rules"];
    let mut text = facts(&[
        ("community", text_of(&register["community"])),
        ("version", text_of(&register["version"])),
        ("hash", text_of(&register["hash"])),
        ("words", text_of(&register["fingerprint"])),
        ("root", text_of(&register["root"])),
        ("threshold", format!("{} of {} parties", text_of(&register["threshold"]), count(&register["parties"]))),
        ("expires", register["expires"].as_u64().map(show_s).unwrap_or_default()),
        (
            "rules",
            format!(
                "{} witnesses, asked every {} s; relays hold for {} s",
                text_of(&rules["witness_quorum"]),
                text_of(&rules["witness_interval_s"]),
                text_of(&rules["relay_max_s"])
            ),
        ),
    ]);
    let mut parties = Table::new(&["party", "name", "speaker"]);
    for party in register["parties"].as_array().into_iter().flatten() {
        parties.row(["id", "name", "speaker"].map(|name| text_of(&party[name])));
    }
    let mut agencies = Table::new(&["agency", "party", "name", "endpoint", "relay", "removed"]);
    for agency in register["agencies"].as_array().into_iter().flatten() {
        let relay = if agency["relay"] == true { "relay" } else { "" };
        let removed = agency["removed"].as_u64().map(show_s).unwrap_or_default();
        let [id, party, name, endpoint] = ["id", "party", "name", "endpoint"].map(|name| text_of(&agency[name]));
        agencies.row([id, party, name, endpoint, relay.to_owned(), removed]);
    }
    let mut forums = Table::new(&["forum", "name", "parties"]);
    for forum in register["forums"].as_array().into_iter().flatten() {
        forums.row([text_of(&forum["id"]), text_of(&forum["name"]), join(&forum["members"])]);
    }
    text.push_str(&format!("\n{}\n{}", parties.text("no parties"), agencies.text("no agencies")));
    text.push_str(&format!("\n{}", forums.text("no forums")));
    text.push_str(&proposals_words(&register["proposals"]));
    text
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

fn log_words(log: &Value) -> String {
    let mut text = String::new();
    for version in log["versions"].as_array().into_iter().flatten() {
        let issued = version["issued_at"].as_u64().map(show_s).unwrap_or_default();
        text.push_str(&format!(
            "version {}  {issued}  approved by {}\n",
            text_of(&version["version"]),
            join(&version["approvals"])
        ));
        text.push_str(&format!("  {}\n", text_of(&version["hash"])));
        text.push_str(&summary_words(&version["summary"]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_whole() {
        let given = |quorum, interval, relay| RulesArgs {
            witness_quorum: quorum,
            witness_interval_s: interval,
            relay_max_s: relay,
        };
        let present = json!({"witness_quorum": 1, "witness_interval_s": 10, "relay_max_s": 60});
        assert_eq!(rules(&given(None, None, None), Some(&present)).unwrap(), None);
        assert_eq!(
            rules(&given(Some(3), None, None), Some(&present)).unwrap().unwrap(),
            json!({"witness_quorum": 3, "witness_interval_s": 10, "relay_max_s": 60})
        );
        assert!(rules(&given(Some(3), None, None), None).is_err());
        assert!(rules(&given(Some(3), Some(1), Some(60)), None).unwrap().is_some());
    }

    #[test]
    fn the_register_is_shown_in_tables() {
        let text = register_words(&json!({
            "community": "EXERCISE", "version": 2, "threshold": 2, "parties": [{"id": "vn", "name": "V", "speaker": "vn-police"}],
            "agencies": [{"id": "vn-police", "party": "vn", "name": "P", "endpoint": "h:1", "relay": true, "removed": 0}],
            "forums": [], "rules": {}, "proposals": [
                {"hash": "ab".repeat(32), "version": 3, "approvals": ["vn"], "needs": 2, "summary": ["admits ru-police"]}],
        }));
        for part in [
            "2 of 1 parties",
            "vn     V     vn-police",
            "relay  1970-01-01T00:00:00Z",
            "Proposal abababababab for version 3, approved by 1 of 2",
            "  admits ru-police\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
