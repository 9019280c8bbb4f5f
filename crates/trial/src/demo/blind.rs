//! Step 4: what the hub and the wires have seen, searched for the mark; and the same search where it must succeed.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::marker::Found;
use super::{Demo, HUB, RU};

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    let shown = |found: &Found| format!("{} files, {:.1} MB", found.files, found.bytes as f64 / 1e6);
    let then = demo.at_hub;
    ensure!(then.files > 0, "the hub was not searched while it held the parcels");
    let what = format!("the mark is not at {HUB} while it holds the parcels ({}, its log included)", shown(&then));
    demo.report.check(what, then.times == 0, then.times);
    let now = search_hub(demo)?;
    demo.report.check(format!("nor afterwards ({})", shown(&now)), now.times == 0, now.times);

    let wires = demo.tap.kept();
    let times = demo.marker.count_in(&wires);
    let what = format!("nor on the wires of all five ({:.1} MB, both ways)", wires.len() as f64 / 1e6);
    demo.report.check(what, times == 0 && !wires.is_empty(), times);

    // A search that cannot find anything proves nothing.
    let export = demo.desk.join("export");
    fs::create_dir(&export)?;
    let path = |name: &str| export.join(name).display().to_string();
    demo.node(RU).cli(&["show", &demo.secret, "--raw", &path("report.cose")])?;
    demo.node(RU).cli(&["get", &demo.secret, "-o", &path("bundle.json")])?;
    let found = demo.marker.count_in_files(&export)?;
    let what = format!("the same search finds it in what {RU} exports: once in the record, once in the bundle");
    demo.report.check(what, found.times == 2, found.times);
    demo.report.figure("searched at the hub", (then.bytes + now.bytes) as f64 / 1e6, "MB");
    demo.report.figure("on the wires", wires.len() as f64 / 1e6, "MB");
    Ok(())
}

/// Searches every file of the hub, and its log.
pub(super) fn search_hub(demo: &Demo) -> Result<Found> {
    let hub = demo.node(HUB);
    let mut found = demo.marker.count_in_files(&hub.dir).context("cannot search the hub's folder")?;
    let log = demo.marker.count_in_files(&hub.log_file())?;
    found.times += log.times;
    found.files += log.files;
    found.bytes += log.bytes;
    Ok(found)
}
