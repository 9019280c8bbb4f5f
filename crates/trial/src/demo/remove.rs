//! Step 5: a record is taken back, and an agency is removed from the register.

use anyhow::{Context, Result, ensure};

use super::{Demo, HUB, ID, RU, SG, VN, found, in_state, recipient, titles};
use crate::community;

/// How long to wait for everybody's answer.
const TIMEOUT: &str = "60s";

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    retract(demo)?;
    remove(demo)
}

/// A record goes to all, is accepted, and is retracted; each recipient says what it did.
fn retract(demo: &mut Demo) -> Result<()> {
    let all = [RU, ID, SG, HUB];
    let record = demo.share(VN, &all, "EXERCISE a report sent in error", "EXERCISE text to be taken back", &[])?;
    let track = demo.node(VN).cli(&["track", &record, "--wait", "--timeout", TIMEOUT])?;
    demo.report.check(format!("{VN} shares a report; all four accept it"), in_state(&track, "accepted") == 4, &track);
    let retraction = demo.node(VN).cli(&["retract", &record, "--reason", "EXERCISE sent in error"])?;
    let retraction = retraction["id"].as_str().context("the retraction has no id")?.to_owned();
    let track = demo.node(VN).cli(&["track", &retraction, "--wait", "--timeout", TIMEOUT])?;
    let deleted = all.iter().filter(|agency| recipient(&track, agency)["answer"]["action"] == "deleted").count();
    demo.report.check(format!("{VN} takes it back; {deleted} of 4 answer that they deleted it"), deleted == 4, &track);
    let gone = |agency: &&&str| {
        let shown = demo.node(agency).cli(&["show", &record]);
        shown.is_ok_and(|shown| shown["state"] == "deleted" && shown["body"].is_null())
    };
    let gone = all.iter().filter(gone).count();
    demo.report.check(format!("its content is gone at {gone} of 4"), gone == 4, gone);
    demo.report.figure("deleted when taken back", deleted as f64, "");
    demo.retracted = record;
    Ok(())
}

/// An agency is removed while records for it wait at a sender and at the hub.
fn remove(demo: &mut Demo) -> Result<()> {
    let before = inbox(demo)?;
    demo.stop(SG)?;
    let by_hub = demo.share(VN, &[SG, RU], "EXERCISE queued at the hub", "EXERCISE", &[])?;
    demo.wait_mailbox(1)?;
    let at_sender = demo.share(HUB, &[SG], "EXERCISE queued at its sender", "EXERCISE", &[])?;
    let track = demo.node(HUB).cli(&["track", &at_sender])?;
    let queued = recipient(&track, SG)["state"] == "queued";
    let what = format!("{SG} is down; a report of {VN} waits for it at the hub, and one of {HUB} at its sender");
    demo.report.check(what, queued, &track);

    found::version(demo, VN, &["--remove", SG], &[HUB, ID], 4)?;
    for agency in [VN, RU, ID, HUB] {
        demo.node(agency).wait("version 4", &["status"], |status| status["register_version"] == 4)?;
    }
    demo.report.check(format!("{SG} is removed: all others go by version 4"), true, 4);
    for (sender, record, accepted) in [(VN, &by_hub, 1), (HUB, &at_sender, 0)] {
        let track = demo.node(sender).cli(&["track", record, "--wait", "--timeout", TIMEOUT])?;
        let failed = recipient(&track, SG);
        let held = failed["state"] == "failed" && failed["reason"] == "recipient-removed";
        let others = if accepted > 0 { format!(", {RU} accepted") } else { String::new() };
        let what = format!("{sender}'s track says: {SG} failed, recipient-removed{others}");
        demo.report.check(what, held && in_state(&track, "accepted") == accepted, &track);
    }
    demo.wait_mailbox(0)?;
    demo.report.check(format!("{HUB} has thrown away what it held for {SG}"), true, 0);
    refused(demo, before)
}

/// The removed agency comes back: nothing reaches it, nothing is taken from it, and the others go on.
fn refused(demo: &mut Demo, before: usize) -> Result<()> {
    demo.start(SG)?;
    let others = [VN, RU, ID, HUB];
    let title = "EXERCISE signed after the removal";
    let record = demo.share(SG, &others, title, "EXERCISE", &[])?;
    community::until("the removed agency's attempts", || {
        let status = demo.node(SG).cli(&["status"])?;
        let partners = status["partners"].as_array().context("no partners")?;
        let tried = partners.iter().filter(|partner| partner["failures"].as_u64().is_some_and(|failures| failures > 1));
        let tried = tried.count();
        ensure!(tried == others.len(), "{tried} were tried twice");
        Ok(())
    })?;
    let track = demo.node(SG).cli(&["track", &record])?;
    let arrived: Result<Vec<usize>> = others.iter().map(|agency| Ok(titles(demo.node(agency), SG)?.len())).collect();
    let arrived: usize = arrived?.into_iter().sum();
    let what = format!("{SG} is up again, shares, and tries each of the four twice: nobody has its report");
    demo.report.check(what, arrived == 0 && in_state(&track, "accepted") == 0, &track);

    let file = demo.file("from-the-removed.parcels");
    demo.node(SG).cli(&["parcel", "export", "--to", VN, "-o", &file])?;
    let imported = demo.node(VN).cli(&["parcel", "import", &file])?;
    let rejected = imported["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = !rejected.is_empty() && rejected.iter().all(|one| one["reason"] == "author-removed");
    let what = format!("in a file, carried to {VN} by hand, it is refused too: author-removed");
    demo.report.check(what, named && imported["accepted"] == 0, &imported);
    let after = inbox(demo)?;
    demo.report.check(format!("nothing has reached {SG}: {after} records as before"), after == before, after);
    demo.stop(SG)?;

    let record = demo.share(ID, &[VN, RU, HUB], "EXERCISE life goes on", "EXERCISE", &[])?;
    let track = demo.node(ID).cli(&["track", &record, "--wait", "--timeout", TIMEOUT])?;
    let accepted = in_state(&track, "accepted");
    demo.report.check(format!("{ID} shares with the rest: {accepted} of 3 accept"), accepted == 3, &track);
    demo.report.figure("reached the removed agency", after.saturating_sub(before) as f64, "");
    Ok(())
}

/// How many reports the agency that is to be removed has.
fn inbox(demo: &Demo) -> Result<usize> {
    let counts: Result<Vec<usize>> =
        [VN, RU, ID, HUB].iter().map(|author| Ok(titles(demo.node(SG), author)?.len())).collect();
    Ok(counts?.into_iter().sum())
}
