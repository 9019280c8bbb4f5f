//! Step 1: founding the register, joining by invitation, and versions that k of n parties sign.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Demo, HUB, ID, RU, SG, VN};
use crate::community::{Agency, Node, free_port};

const AGENCIES: [Agency; 5] = [
    agency(VN, "vn", "EXERCISE police of Viet Nam", "EXERCISE Viet Nam"),
    agency(RU, "ru", "EXERCISE police of Russia", "EXERCISE Russia"),
    agency(ID, "id", "EXERCISE coastguard of Indonesia", "EXERCISE Indonesia"),
    agency(SG, "sg", "EXERCISE fusion centre of Singapore", "EXERCISE Singapore"),
    Agency { relay: true, ..agency(HUB, "asean", "EXERCISE secretariat of ASEAN", "EXERCISE ASEAN") },
];

/// How often nodes ask their witnesses, in seconds.
const WITNESS_INTERVAL_S: u64 = 2;

const fn agency(id: &'static str, party: &'static str, name: &'static str, party_name: &'static str) -> Agency {
    Agency { id, party, name, party_name, relay: false }
}

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    for agency in AGENCIES {
        // Whatever partners say to each other crosses a tap.
        let tapped = free_port()?;
        let mut node = Node::init(&demo.binary, &demo.community.root, agency, Some(tapped))?;
        demo.runtime.block_on(demo.tap.clone().run(tapped, node.peers_port))?;
        node.start()?;
        demo.community.nodes.push(node);
    }
    let waiting = demo.community.nodes.iter().filter(|node| phase(node).is_ok_and(|phase| phase == "waiting")).count();
    demo.report.check("five nodes are up and wait for a register", waiting == 5, waiting);

    demo.community.found(&[demo.node(VN), demo.node(HUB)], WITNESS_INTERVAL_S)?;
    let (at_vn, at_hub) = (register(demo, VN)?, register(demo, HUB)?);
    let words = at_vn["fingerprint"].as_str().context("the register has no words")?.to_owned();
    let same = at_vn["fingerprint"] == at_hub["fingerprint"] && at_vn["root"] == at_hub["root"];
    demo.report.check(format!("{VN} and {HUB} found the register, and read out the same words:"), same, &at_hub);
    demo.report.say(&format!("      {words}"));

    join(demo, VN, &[RU, ID])?;
    version(demo, VN, &["--admit", RU, "--admit", ID, "--threshold", "3"], &[HUB], 2)?;
    admitted(demo, &[RU, ID])?;
    join(demo, HUB, &[SG])?;
    version(demo, HUB, &["--admit", SG], &[VN, RU], 3)?;
    admitted(demo, &[SG])?;

    for node in &demo.community.nodes {
        node.wait("version 3", &["status"], |status| status["register_version"] == 3)?;
    }
    demo.report.check("all five go by version 3", true, 3);
    log(demo)?;
    Ok(())
}

fn phase(node: &Node) -> Result<Value> {
    Ok(node.cli(&["status"])?["phase"].clone())
}

fn register(demo: &Demo, agency: &str) -> Result<Value> {
    demo.node(agency).cli(&["register", "show"])
}

/// Invites agencies, has them join, and compares what each side reads out.
fn join(demo: &mut Demo, inviter: &str, invited: &[&str]) -> Result<()> {
    let inviter_words = demo.node(inviter).cli(&["status"])?["fingerprint"].clone();
    for agency in invited {
        let (file, party) = (demo.file(&format!("{agency}.invitation")), demo.node(agency).agency.party);
        let invitation = demo.node(inviter).cli(&["invite", agency, "--party", party, "-o", &file])?;
        let joined = demo.node(agency).cli(&["join", "--file", &file])?;
        let here = |pending: &Value| pending["pending"].as_array().is_some_and(|list| waits(list, agency).is_some());
        let pending = demo.node(inviter).wait("the joining agency", &["register", "pending"], here)?;
        let seen = pending["pending"].as_array().and_then(|list| waits(list, agency)).cloned().unwrap_or_default();
        let same = [
            (&invitation["words"], &joined["community_root_words"]),
            (&seen["fingerprint"], &joined["own_words"]),
            (&inviter_words, &joined["inviter_words"]),
        ];
        let agrees = same.iter().all(|(one, other)| one == other && one.as_str().is_some_and(is_words));
        let what = format!("{agency} joins with {inviter}'s invitation; both read out the same words of each key:");
        let read = |word: &Value| word.as_str().unwrap_or("nothing").to_owned();
        let seen = same.map(|(one, other)| format!("{} | {}", read(one), read(other)));
        demo.report.check(what, agrees, seen.join("; "));
        demo.report.say(&format!("      {}", joined["own_words"].as_str().unwrap_or_default()));
    }
    Ok(())
}

fn waits<'a>(list: &'a [Value], agency: &str) -> Option<&'a Value> {
    list.iter().find(|one| one["agency"] == agency)
}

/// Whether these are the twelve words of a fingerprint.
fn is_words(text: &str) -> bool {
    text.split(' ').count() == 12
}

/// Proposes a version and has others approve it: before the last of them it is not in force, after it is.
pub(super) fn version(
    demo: &mut Demo,
    proposer: &str,
    changes: &[&str],
    approvers: &[&str],
    number: u64,
) -> Result<()> {
    let proposal = demo.node(proposer).cli(&[&["register", "propose"], changes].concat())?;
    let hash = proposal["hash"].as_str().context("the proposal has no hash")?.to_owned();
    let open = |register: &Value| register["proposals"].as_array().is_some_and(|l| l.iter().any(|p| p["hash"] == hash));
    let mut in_force_early = proposal["enacted"] == true;
    let mut last = Value::Null;
    for approver in approvers {
        let register = demo.node(approver).wait("the proposal", &["register", "show"], open)?;
        in_force_early |= register["version"] == number;
        last = demo.node(approver).cli(&["register", "approve", &hash])?;
    }
    let needs = last["needs"].as_u64().unwrap_or_default();
    let held = !in_force_early && last["enacted"] == true && needs == approvers.len() as u64 + 1;
    let by = [&[proposer], approvers].concat().join(", ");
    demo.report.check(format!("version {number} is in force with the last of {needs} signatures: {by}"), held, &last);
    Ok(())
}

fn admitted(demo: &mut Demo, agencies: &[&str]) -> Result<()> {
    for agency in agencies {
        demo.node(agency).wait("being admitted", &["status"], |status| status["phase"] == "running")?;
    }
    demo.report.check(format!("admitted and running: {}", agencies.join(" and ")), true, "running");
    Ok(())
}

/// Shows the register's history, as every agency has it.
fn log(demo: &mut Demo) -> Result<()> {
    let logs: Result<Vec<Value>> = demo.community.nodes.iter().map(|node| node.cli(&["register", "log"])).collect();
    let logs = logs?;
    let versions = logs[0]["versions"].as_array().context("the register has no log")?.clone();
    let same = logs.iter().all(|log| *log == logs[0]) && versions.len() == 3;
    demo.report.check("all five have the same log of the register:", same, &logs[0]);
    demo.report.figure("agencies", logs.len() as f64, "");
    demo.report.figure("versions", versions.len() as f64, "");
    for version in versions {
        let names = |list: &Value| {
            let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let hash = version["hash"].as_str().unwrap_or_default().get(..12).unwrap_or_default().to_owned();
        let (by, summary) = (names(&version["approvals"]).join(", "), names(&version["summary"]));
        let changes = summary.first().cloned().unwrap_or_default();
        let more = summary.len().saturating_sub(1);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        demo.report.say(&format!("      version {} {hash}  by {by}: {changes}{more}", version["version"]));
    }
    Ok(())
}
