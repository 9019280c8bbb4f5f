//! Step 3: a bundle for an agency that is down, from one that goes down too: the hub holds it meanwhile.

use std::fs;

use anyhow::Result;

use super::{Demo, HUB, RU, SG, VN, blind, titles};
use crate::community;

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    let (bundle, told) = demo.marker.bundle()?;
    let file = demo.file("bundle.json");
    fs::write(&file, &bundle)?;
    demo.report.say(&format!("   {told}, with one object more that holds a mark"));

    demo.stop(RU)?;
    demo.report.check(format!("{RU} goes down"), demo.node(RU).process().is_none(), "it runs");
    let title = "EXERCISE indicators for one agency alone";
    let text = format!("EXERCISE {}", demo.marker.text());
    let handling = ["--tlp", "AMBER+STRICT", "--code", "H1", "--attach", &file];
    demo.secret = demo.share(VN, &[RU], title, &text, &handling)?;
    community::until("the hub to hold the parcels", || {
        let held = demo.mailbox()?;
        let status = demo.node(VN).cli(&["status"])?;
        let relayed = status["partners"].as_array().into_iter().flatten();
        let relayed = relayed.filter(|partner| partner["agency"] == RU).any(|partner| partner["relayed"] == true);
        anyhow::ensure!(held > 0 && relayed, "the hub holds {held} parcels");
        Ok(())
    })?;
    let parcels = demo.mailbox()?;
    let what = format!("{VN} shares the bundle with {RU} alone, TLP:AMBER+STRICT; {HUB} holds the parcel");
    demo.report.check(what, parcels == 1, parcels);
    // Where somebody would look for it while it is there.
    demo.at_hub = blind::search_hub(demo)?;
    demo.stop(VN)?;
    demo.report.check(format!("{VN} goes down too"), demo.node(VN).process().is_none(), "it runs");

    demo.start(RU)?;
    let came = format!("{}.received", file);
    community::until("the bundle", || {
        let rows = titles(demo.node(RU), VN)?;
        anyhow::ensure!(rows.iter().any(|row| row == title), "no report from {VN}");
        demo.node(RU).cli(&["get", &demo.secret, "-o", &came, "--force"])
    })?;
    let same = fs::read(&came)? == bundle;
    let what = format!("{RU} comes back and gets it from {HUB}: {} bytes, each the same", bundle.len());
    demo.report.check(what, same && demo.node(VN).process().is_none(), format!("the same: {same}"));
    let shown = demo.node(RU).cli(&["show", &demo.secret])?;
    let handling = &shown["handling"];
    let held =
        handling["tlp"] == "AMBER+STRICT" && shown["author"] == VN && shown["audience"] == serde_json::json!([RU]);
    demo.report.check(format!("it is signed by {VN}, for {RU} alone, TLP:AMBER+STRICT"), held, &shown);
    let others = [HUB, SG].map(|agency| titles(demo.node(agency), VN).map(|titles| titles.len()));
    let others: usize = others.into_iter().sum::<Result<usize>>()?;
    demo.report.check(format!("neither {HUB} nor {SG} has a report of it"), others == 0, others);

    demo.start(VN)?;
    let track = demo.node(VN).cli(&["track", &demo.secret, "--wait", "--timeout", "60s"])?;
    let receipt = super::recipient(&track, RU);
    let what = format!("{VN} comes back and gets the receipt that waited at {HUB}");
    demo.report.check(what, receipt["state"] == "accepted", receipt);
    let (sent, got) = (&receipt["index"], &shown["leaf"]["index"]);
    demo.report.check(format!("it names leaf {sent} of {RU}'s ledger, where the record is"), sent == got, got);
    demo.wait_mailbox(0)?;
    demo.report.check(format!("{HUB} holds nothing any more"), true, 0);
    demo.report.figure("bundle", bundle.len() as f64, "bytes");
    demo.report.figure("parcels held", parcels as f64, "");
    Ok(())
}
