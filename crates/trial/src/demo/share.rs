//! Step 2: real incidents for everybody.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use super::incidents;
use super::{Demo, HUB, ID, RU, SG, VN, titles};
use crate::community::{finish, spawn};

/// How often the sender is asked how far it is.
const LOOK_PAUSE: Duration = Duration::from_millis(150);
/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    let incidents = incidents::load()?;
    demo.report.say(&format!("   {}", incidents.told));
    let (file, answers) = (demo.file("incidents.ndjson"), demo.file("incidents.answers"));
    fs::write(&file, &incidents.ndjson)?;
    let recipients = [VN, RU, SG, HUB];
    let mut arguments = vec!["share", "--ndjson", "--batch", "incidents", "--tlp", "GREEN"];
    for agency in recipients {
        arguments.extend(["--to", agency]);
    }
    arguments.push(&file);
    let began = Instant::now();
    // Its progress bar is for whoever watches.
    let mut command = demo.node(ID).command(&arguments);
    let mut sharing = spawn(command.stdin(Stdio::null()).stdout(File::create(&answers)?))?;
    let status = sharing.wait()?;
    finish(&mut sharing)?;
    ensure!(status.success(), "`mufakat share` ended with {status}");
    let answers = fs::read_to_string(&answers)?;
    let summary: serde_json::Value = serde_json::from_str(answers.lines().last().context("no answer")?)?;
    let shared = summary["summary"]["shared"] == incidents.count && summary["summary"]["refused"] == 0;
    demo.report.check(format!("{ID} shares {} incidents, each a signed record", incidents.count), shared, &summary);

    let deliveries = (incidents.count * recipients.len()) as u64;
    receipts(demo, deliveries)?;
    let seconds = began.elapsed().as_secs_f64();
    let rate = incidents.count as f64 / seconds;
    let what =
        format!("{} recipients accepted each: {deliveries} signed receipts, {rate:.0} records/s", recipients.len());
    demo.report.check(what, true, deliveries);

    for agency in recipients {
        let titles = titles(demo.node(agency), ID)?;
        let different = titles.iter().collect::<BTreeSet<_>>().len();
        let held = titles.len() == incidents.count && different == incidents.count;
        let found = format!("{} records, {different} different", titles.len());
        demo.report.check(format!("{agency} holds {} incidents, all different", titles.len()), held, found);
    }
    demo.report.figure("records", incidents.count as f64, "");
    demo.report.figure("to durable and receipted everywhere", rate, "records/s");
    Ok(())
}

/// Waits until every delivery has its receipt.
fn receipts(demo: &Demo, deliveries: u64) -> Result<()> {
    let bar = ProgressBar::new(deliveries);
    // The template is part of the program; a mistake in it leaves the bar in its usual form.
    if let Ok(style) = ProgressStyle::with_template("receipts {wide_bar} {human_pos}/{human_len}") {
        bar.set_style(style);
    }
    let began = Instant::now();
    loop {
        let left = demo.backlog(ID)?;
        bar.set_position(deliveries.saturating_sub(left));
        if left == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{left} deliveries have no receipt");
        std::thread::sleep(LOOK_PAUSE);
    }
}
