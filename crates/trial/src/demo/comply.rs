//! Step 10: a report that was passed on with its originator's permission is taken back, down to the third hand, and each holder
//! says what it did and when.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::marker::Marker;
use super::{Demo, ID, RU, VN};
use crate::community;

/// How long to wait for a recipient.
const TIMEOUT: &str = "60s";

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    let marker = Marker::new();
    let (record, onward) = pass_on(demo, &marker)?;
    take_back(demo, &record, &onward)?;
    gone(demo, &marker, &[(RU, &record), (RU, &onward), (ID, &onward)])
}

/// The report goes to a second agency, and from there to a third as soon as its originator permits it.
fn pass_on(demo: &mut Demo, marker: &Marker) -> Result<(String, String)> {
    let file = demo.file("EXERCISE-list.txt");
    fs::write(&file, format!("EXERCISE list {}", marker.text()))?;
    let (title, text) = ("EXERCISE a report that is passed on", format!("EXERCISE text {}", marker.text()));
    let record = demo.share(VN, &[RU], title, &text, &["--orcon", "--attach", &file])?;
    demo.node(VN).cli(&["track", &record, "--wait", "--timeout", TIMEOUT])?;
    let forward = ["forward", &record, "--to", ID, "--note", "EXERCISE they know the vessel"];
    let said = |what: &str| {
        let outcome = demo.node(RU).cli(&forward);
        (outcome.as_ref().is_err_and(|error| error.to_string().contains(what)), format!("{outcome:?}"))
    };
    let (refused, without) = community::until("the file at the second agency", || {
        ensure!(!said("incomplete").0, "it has not come as a whole");
        Ok(said("originator-consent"))
    })?;
    let what = format!("{VN} keeps control of a report; {RU} may not pass it on to {ID} without being permitted");
    demo.report.check(what, refused, without);
    demo.node(VN).cli(&["permit", &record, "--forward-to", ID, "--note", "EXERCISE once"])?;
    // The permission has to come, and the file as a whole.
    let passed_on = community::until("passing on", || demo.node(RU).cli(&forward))?;
    let onward = passed_on["records"][0]["id"].as_str().context("nothing was passed on")?.to_owned();
    let original = |shown: &Value| shown["body"]["original"]["author"] == VN;
    let shown = demo.node(ID).wait("the report", &["show", &onward], original)?;
    let same = shown["author"] == RU && shown["body"]["original"]["body"]["title"] == title;
    let came = demo.file("EXERCISE-list.received");
    community::until("the file", || demo.node(ID).cli(&["get", &onward, "-o", &came, "--force"]))?;
    let file = fs::read(&came)?;
    // A search that cannot find anything proves nothing.
    let there = [RU, ID].map(|agency| found(demo, agency, marker).map(|times| times > 0));
    let there = there.into_iter().collect::<Result<Vec<bool>>>()? == [true, true];
    let held = same && marker.count_in(&file) == 1 && there;
    demo.report.check(format!("{VN} permits it; {ID} reads {VN}'s words and file by way of {RU}"), held, &shown);
    Ok((record, onward))
}

/// The originator takes it back, and has everybody's answer and deletion receipt.
fn take_back(demo: &mut Demo, record: &str, onward: &str) -> Result<()> {
    let vn = demo.node(VN);
    let retraction = vn.cli(&["retract", record, "--reason", "EXERCISE it was wrong"])?;
    let retraction = retraction["id"].as_str().context("the retraction has no id")?.to_owned();
    let both = |track: &Value, holds: &dyn Fn(&Value) -> bool| {
        let recipients = track["recipients"].as_array().map(Vec::as_slice).unwrap_or_default();
        recipients.len() == 2 && recipients.iter().all(holds)
    };
    let answered = |one: &Value| one["answer"]["action"] == "deleted" && one["answer"]["at"].is_u64();
    let answers = vn.wait("both answers", &["track", &retraction], |track| both(track, &answered))?;
    let third = super::recipient(&answers, ID)["through"] == RU;
    let receipted = |one: &Value| {
        let deletion = &one["deletion"];
        let what = [&deletion["copies"], &deletion["attachments"]];
        deletion["why"] == "retracted" && deletion["at"].is_u64() && what.iter().all(|n| n.as_u64() >= Some(1))
    };
    let receipts = vn.wait("both receipts", &["track", record], |track| both(track, &receipted))?;
    let tables = [words(demo, &["track", &retraction])?, words(demo, &["track", record])?];
    let told = tables.iter().zip(["deleted 2", "retracted"]).all(|(table, did)| table.matches(did).count() == 2);
    demo.report.check(format!("{VN} takes it back; {RU} and, through it, {ID} answer: deleted"), third, &answers);
    demo.report.check("each sent a receipt: why, when, and how much; what people see of it:", told, &receipts);
    for line in tables.iter().flat_map(|table| table.lines()) {
        demo.report.say(&format!("      {line}"));
    }
    // What the second hand passed on goes there as well, when the third has confirmed it.
    let deleted = |shown: &Value| shown["state"] == "deleted";
    demo.node(RU).wait("its copy to go", &["show", onward], deleted)?;
    demo.report.figure("deleted down the chain", 2.0, "agencies");
    Ok(())
}

/// What a command says to people.
fn words(demo: &Demo, arguments: &[&str]) -> Result<String> {
    let mut command = std::process::Command::new(&demo.binary);
    let output = command.arg("--dir").arg(&demo.node(VN).dir).args(arguments).output()?;
    ensure!(output.status.success(), "`mufakat {}` failed", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// The text is nowhere at those who deleted it: not by its id, not by its words, not in any file or log.
fn gone(demo: &mut Demo, marker: &Marker, records: &[(&str, &str)]) -> Result<()> {
    for (agency, record) in records {
        let shown = demo.node(agency).cli(&["show", record])?;
        let file = demo.file("EXERCISE-list.gone");
        let fetched = demo.node(agency).cli(&["get", record, "-o", &file, "--force"]);
        let held = shown["state"] == "deleted" && shown["body"].is_null() && fetched.is_err();
        demo.report.check(format!("{agency} shows that a record was there, and nothing of it"), held, &shown);
    }
    for agency in [RU, ID] {
        let search = demo.node(agency).cli(&["search", marker.text()])?;
        let hits = search["hits"].as_array().map_or(usize::MAX, Vec::len);
        let index = demo.node(agency).dir.join(mufakat_node::SEARCH);
        community::until("the index to be written anew", || {
            ensure!(marker.count_in_files(&index)?.times == 0, "a word of it is in the index");
            Ok(())
        })?;
        // What was written lately stands in the log of the database as well, until that is moved into the file.
        demo.stop(agency)?;
        let times = found(demo, agency, marker)?;
        demo.start(agency)?;
        let what = format!("{agency}'s search does not find it, and it is in no file of {agency} and not in its log");
        demo.report.check(what, (hits, times) == (0, 0), format!("{hits} hits, {times} times"));
    }
    Ok(())
}

/// How often the mark stands in the folder and the log of an agency.
pub(super) fn found(demo: &Demo, agency: &str, marker: &Marker) -> Result<usize> {
    let node = demo.node(agency);
    let count = |path: &Path| Ok::<_, anyhow::Error>(marker.count_in_files(path)?.times);
    Ok(count(&node.dir)? + count(&node.log_file())?)
}
