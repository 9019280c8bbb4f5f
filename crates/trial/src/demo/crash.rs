//! Step 6: SIGKILL in mid-transfer, for the recipient and for the sender.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mufakat_store::{Queries, Reader};
use serde_json::{Value, json};

use super::{Demo, HUB, ID, RU, SG, VN, titles};
use crate::community::{PATIENCE, finish, spawn, until};

/// How many records are shared.
const RECORDS: usize = 6_000;
/// After how many acknowledged records the recipient is killed, and after how many the sender.
const KILLS: [usize; 2] = [RECORDS / 4, RECORDS / 2];
/// What their titles begin with.
const TITLE: &str = "EXERCISE bulk";

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    let file = demo.file("bulk.ndjson");
    let mut lines = String::new();
    for number in 0..RECORDS {
        let report = json!({ "title": format!("{TITLE} {number:05}"), "text": "EXERCISE text. ".repeat(60) });
        writeln!(lines, "{report}")?;
    }
    fs::write(&file, lines)?;
    let recipients = [VN, RU, HUB];
    let began = Instant::now();
    let before = records(demo, RU)?;
    let mut sharing = Sharing::begin(demo, &file, &recipients)?;

    sharing.wait_for(KILLS[0])?;
    until("the first records to arrive", || {
        ensure!(records(demo, RU)? > before, "nothing has arrived");
        Ok(())
    })?;
    demo.community.node_mut(RU).kill()?;
    let (told, arrived) = (sharing.acknowledged(), records(demo, RU)? - before);
    let what = format!("{RU} is killed when {told} of {RECORDS} are shared and some have arrived there");
    demo.report.check(what, (KILLS[0]..RECORDS).contains(&told), format!("{told} shared, {arrived} arrived"));
    sharing.wait_for(KILLS[1])?;
    demo.community.node_mut(ID).kill()?;
    let told = sharing.acknowledged();
    let running = sharing.child.try_wait()?.is_none();
    let what = format!("the sender {ID} is killed when {told} of {RECORDS} are shared");
    demo.report.check(what, (KILLS[1]..RECORDS).contains(&told) && running, told);
    demo.start(ID)?;
    let summary = sharing.end()?;
    let what = format!("{ID} is started again; `share --batch` goes on by itself and ends with {RECORDS} shared");
    demo.report.check(what, summary["summary"]["shared"] == RECORDS && summary["summary"]["refused"] == 0, &summary);
    demo.start(RU)?;
    demo.node(ID).wait("all receipts", &["status"], |status| {
        let partners = status["partners"].as_array();
        partners.is_some_and(|partners| partners.iter().all(|partner| partner["backlog"] == 0))
    })?;
    let seconds = began.elapsed().as_secs_f64();
    demo.report.check(format!("{RU} is started again; every delivery has its receipt"), true, 0);

    let (mut lost, mut twice) = (0, 0);
    for agency in recipients {
        let all = titles(demo.node(agency), ID)?;
        let bulk: Vec<&String> = all.iter().filter(|title| title.starts_with(TITLE)).collect();
        let different = bulk.iter().collect::<BTreeSet<_>>().len();
        lost += RECORDS.saturating_sub(different);
        twice += bulk.len() - different;
        let found = format!("{} records, {different} different", bulk.len());
        let what = format!("{agency} has {} of {RECORDS}, none lost, none twice", bulk.len());
        demo.report.check(what, bulk.len() == RECORDS && different == RECORDS, found);
    }
    fsck(demo)?;
    demo.report.figure("kills", KILLS.len() as f64, "");
    demo.report.figure("records", RECORDS as f64, "");
    demo.report.figure("lost", lost as f64, "");
    demo.report.figure("twice", twice as f64, "");
    demo.report.figure("with both kills", RECORDS as f64 / seconds, "records/s");
    Ok(())
}

/// Checks every folder, of nodes that run and of one that does not.
fn fsck(demo: &mut Demo) -> Result<()> {
    let agencies = [VN, RU, ID, SG, HUB];
    let nodes = agencies.map(|agency| demo.node(agency));
    let answers: Vec<Result<Value>> = std::thread::scope(|scope| {
        let checks = nodes.map(|node| scope.spawn(|| node.cli(&["fsck"])));
        // A check that panics is a fault of this program.
        checks.into_iter().map(|check| check.join().expect("a check that ends")).collect()
    });
    let (mut clean, mut leaves, mut found) = (0, 0, Vec::new());
    for answer in answers {
        match answer {
            Ok(answer) => {
                clean += usize::from(answer["clean"] == true);
                leaves += answer["leaves"].as_u64().unwrap_or_default();
            }
            Err(error) => found.push(format!("{error:#}")),
        }
    }
    let what = format!("`mufakat fsck` is clean at {clean} of {}: {leaves} leaves and their records", agencies.len());
    demo.report.check(what, clean == agencies.len(), found.join("; "));
    Ok(())
}

/// How many records a node has, whether it runs or not.
fn records(demo: &Demo, agency: &str) -> Result<u64> {
    let state = demo.node(agency).dir.join(mufakat_node::DATABASE);
    Ok(Reader::open_to_read(&state)?.counts()?.records)
}

/// A bulk run of `mufakat share` that goes on meanwhile.
struct Sharing {
    child: Child,
    told: Arc<AtomicUsize>,
    reader: std::thread::JoinHandle<Option<String>>,
}

impl Sharing {
    fn begin(demo: &Demo, file: &str, recipients: &[&str]) -> Result<Self> {
        let mut arguments = vec!["share", "--ndjson", "--batch", "bulk"];
        for agency in recipients {
            arguments.extend(["--to", agency]);
        }
        arguments.push(file);
        let mut command = demo.node(ID).command(&arguments);
        let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let answers = child.stdout.take().context("no output")?;
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let reader = std::thread::spawn(move || {
            let mut last = None;
            for line in BufReader::new(answers).lines().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                last = Some(line);
            }
            last
        });
        Ok(Self { child, told, reader })
    }

    /// How many lines were acknowledged.
    fn acknowledged(&self) -> usize {
        self.told.load(Ordering::Relaxed)
    }

    fn wait_for(&mut self, count: usize) -> Result<()> {
        let began = Instant::now();
        while self.acknowledged() < count {
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none(), "`mufakat share` ended too early, with {ended:?}");
            ensure!(began.elapsed() < PATIENCE, "`mufakat share` does not get on");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Waits for the end, and gives the last line.
    fn end(mut self) -> Result<Value> {
        let status = self.child.wait()?;
        finish(&mut self.child)?;
        let last = self.reader.join().ok().flatten().context("`mufakat share` said nothing")?;
        ensure!(status.success(), "`mufakat share` ended with {status}: {last}");
        Ok(serde_json::from_str(&last)?)
    }
}
