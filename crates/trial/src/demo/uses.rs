//! Step 8: what is released, how it is used, who knew of it, and the desk as it was.

use anyhow::{Context, Result};
use serde_json::json;

use super::{Demo, HUB, ID, RU, VN, recipient};
use crate::community;

/// How long to wait for a recipient.
const TIMEOUT: &str = "60s";
/// In which stretches of time the originator is told, so that nobody has to wait until midnight.
const STRETCH_S: &str = "2";

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    demo.stop(RU)?;
    demo.community.node_mut(RU).set("MUFAKAT_DESK__USE_SUMMARY_S", STRETCH_S);
    demo.start(RU)?;
    let record = release(demo)?;
    used(demo, &record)?;
    as_it_was(demo, &record)
}

/// A draft stays home; a preview says who would read it; released, it is a record.
fn release(demo: &mut Demo) -> Result<String> {
    let title = "EXERCISE a report that is drafted first";
    let file = demo.file("draft.json");
    std::fs::write(&file, json!({ "title": title, "text": "EXERCISE" }).to_string())?;
    let vn = demo.node(VN);
    let draft = vn.cli(&["draft", "new", "--to", RU, "--tlp", "RED", &file])?;
    let draft = draft["id"].as_str().context("the draft has no id")?.to_owned();
    let preview = vn.cli(&["draft", "preview", &draft])?;
    let reads = |agency: &str| {
        let agencies = preview["agencies"].as_array().into_iter().flatten();
        agencies.filter(|one| one["agency"] == agency).any(|one| one["reads"] == true)
    };
    let as_meant = reads(RU) && !reads(ID) && !reads(HUB);
    let shown = vn.cli(&["draft", "show", &draft])?;
    let four_eyes = shown["four_eyes"] == true && preview["four_eyes"] == true;
    let tracked = vn.cli(&["track", &draft])?;
    let home = tracked["recipients"].as_array().is_some_and(Vec::is_empty);
    let released = vn.cli(&["draft", "release", &draft])?;
    let record = released["records"][0]["id"].as_str().context("release gives no record")?.to_owned();
    let track = vn.cli(&["track", &record, "--wait", "--timeout", TIMEOUT])?;
    let accepted = recipient(&track, RU)["state"] == "accepted";
    let what = format!("{VN} drafts a TLP:RED report; the preview names {RU} and nobody else");
    demo.report.check(what, as_meant, &preview);
    demo.report.check("the draft stays home, and an officer would need a second one", home && four_eyes, &shown);
    demo.report.check(format!("released, it is at {RU}"), accepted, &track);
    Ok(record)
}

/// The recipient reads it twice and exports it once; the originator is told so, and not by whom.
fn used(demo: &mut Demo, record: &str) -> Result<()> {
    let raw = demo.file("exported.cose");
    let ru = demo.node(RU);
    for _ in 0..2 {
        ru.cli(&["show", record])?;
    }
    ru.cli(&["show", record, "--raw", &raw])?;
    let told = community::until("the summary of use", || {
        let known = demo.node(VN).cli(&["uses", record])?;
        let count = known["used_by"][0]["count"].as_u64();
        anyhow::ensure!(count == Some(3), "{count:?} uses are told of where 3 are due");
        Ok(known)
    })?;
    let ways = told["used_by"][0]["uses"].as_array().context("no uses")?;
    let counted = |how: &str, times: u64| ways.iter().any(|way| way["how"] == how && way["count"] == times);
    let what = format!("{RU} reads it twice and exports it once; its signed summary says so to {VN}");
    demo.report.check(what, counted("read", 2) && counted("export", 1), &told);
    let known = demo.node(RU).cli(&["who-knew", record])?;
    let acts = known["acts"].as_array().map_or(0, Vec::len);
    demo.report.check(format!("{RU} itself knows of each use, with its place in the ledger"), acts == 3, &known);
    demo.report.figure("uses told to the originator", 3.0, "");
    Ok(())
}

/// The record is taken back; the desk as it was before shows that it was there, and no more of its content.
fn as_it_was(demo: &mut Demo, record: &str) -> Result<()> {
    let row = |page: &serde_json::Value| {
        let rows = page["rows"].as_array().into_iter().flatten();
        rows.filter(|row| row["record"] == record).map(|row| row["body"].clone()).next().unwrap_or_default()
    };
    // Times on the command line are whole seconds.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let at = now()?;
    let before = row(&demo.node(RU).cli(&["replay", "--at", &at, "inbox", "--limit", "500"])?);
    demo.report.check(format!("{RU}'s inbox as it was shows it"), before["state"] == "current", &before);
    let retraction = demo.node(VN).cli(&["retract", record, "--reason", "EXERCISE over"])?;
    let retraction = retraction["id"].as_str().context("the retraction has no id")?.to_owned();
    demo.node(VN).cli(&["track", &retraction, "--wait", "--timeout", TIMEOUT])?;
    let after = row(&demo.node(RU).cli(&["replay", "--at", &at, "inbox", "--limit", "500"])?);
    let erased = after["state"] == "deleted" && after["title"].is_null();
    demo.report.check("taken back, it is shown there as deleted, without a word of it", erased, &after);
    let known = demo.node(RU).cli(&["who-knew", record])?;
    let last = known["acts"].as_array().and_then(|acts| acts.last()).cloned().unwrap_or_default();
    demo.report.check("who knew of it, and when it was deleted, is still told", last["how"] == "deleted", &known);
    Ok(())
}

/// Now, as the command line reads it.
fn now() -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let (days, second) = (now / 86_400, now % 86_400);
    // Days since the first of March of the year 0, in the Gregorian calendar.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carried) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carried;
    let (hour, minute, second) = (second / 3_600, second % 3_600 / 60, second % 60);
    Ok(format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}Z"))
}
