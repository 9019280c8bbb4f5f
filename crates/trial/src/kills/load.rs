//! Killing nodes under load: sender and recipient in turn, at random moments, while a bulk share goes on and resumes by itself.
//!
//! At the end every line that was acknowledged is at the recipient under the id that the sender was told, once, with its
//! receipt; nothing else is there; and both folders pass `mufakat fsck`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Args, CHECK_EVERY, Chance, RU as RECIPIENT, VN as SENDER, backlog, check_folder, founded, rows};
use crate::community::{Node, finish, spawn};

/// How many lines are handed in at a time, and how long to rest before the next: about 1,200 a second.
const LINES_AT_ONCE: usize = 24;
const LINES_PAUSE: Duration = Duration::from_millis(20);
/// How long the last records may take to get through.
const DRAIN_MAX: Duration = Duration::from_secs(180);

/// Runs it; gives what it came to, for programs and for people.
pub(super) fn trial(args: &Args, root: &Path) -> Result<(Value, String)> {
    let runtime = Runtime::new()?;
    let mut chance = Chance::from(args.seed);
    let mut community = founded(root)?;
    let began = Instant::now();
    let sharing = Sharing::begin(community.node(SENDER))?;
    let mut least = usize::MAX;
    for number in 0..args.times {
        let victim = if number % 2 == 0 { SENDER } else { RECIPIENT };
        let before = sharing.acknowledged();
        let wait = chance.wait();
        std::thread::sleep(wait);
        community.node_mut(victim).kill()?;
        least = least.min(sharing.acknowledged() - before);
        if !args.json {
            eprintln!("  kill {:>2} of {}: {victim} after {} ms", number + 1, args.times, wait.as_millis());
        }
        if (number + 1).is_multiple_of(CHECK_EVERY) {
            check_folder(community.node(victim))?;
        }
        community.node_mut(victim).start()?;
    }
    let acknowledged = sharing.end()?;
    drained(&runtime, community.node(SENDER))?;
    let received = received(&runtime, community.node(RECIPIENT))?;
    let receipts = receipts(&runtime, community.node(SENDER))?;
    compare(&acknowledged, &received, &receipts)?;
    for node in &mut community.nodes {
        node.stop()?;
        check_folder(node)?;
    }
    let words = format!(
        "{} kills: {} records shared, {} at the recipient, {} receipts; nothing lost, nothing twice, fsck clean",
        args.times,
        acknowledged.len(),
        received.len(),
        receipts.len()
    );
    let told = json!({
        "ok": true,
        "during": "load",
        "kills": args.times,
        "seed": args.seed,
        "records": acknowledged.len(),
        "received": received.len(),
        "receipts": receipts.len(),
        "least_acknowledged_before_a_kill": least,
        "seconds": began.elapsed().as_secs_f64(),
    });
    Ok((told, words))
}

/// The title of a line, by its number from 1.
fn title(line: usize) -> String {
    format!("EXERCISE line {line:07}")
}

/// Whether what was acknowledged, what arrived and what was receipted are the same. All three go by the record's id; the
/// first two also by the title, which is of one line alone.
fn compare(
    acknowledged: &HashMap<String, String>,
    received: &[(String, String)],
    receipts: &HashMap<String, String>,
) -> Result<()> {
    let mut there: HashMap<&str, &str> = HashMap::new();
    for (title, record) in received {
        ensure!(there.insert(title, record).is_none(), "`{title}` is at the recipient twice");
        ensure!(
            acknowledged.get(title) == Some(record),
            "`{title}` is at the recipient as {record}, and the sender was told {:?}",
            acknowledged.get(title)
        );
    }
    for (title, record) in acknowledged {
        ensure!(there.contains_key(title.as_str()), "`{title}` was acknowledged and is lost");
        let state = receipts.get(record);
        ensure!(state.is_some_and(|state| state == "accepted"), "the receipt for `{title}` says {state:?}");
    }
    ensure!(receipts.len() == acknowledged.len(), "{} records have a receipt", receipts.len());
    Ok(())
}

fn drained(runtime: &Runtime, sender: &Node) -> Result<()> {
    let began = Instant::now();
    loop {
        let left = runtime.block_on(backlog(&sender.socket()))?;
        if left == 0 {
            return Ok(());
        }
        ensure!(began.elapsed() < DRAIN_MAX, "{left} records do not get through");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The titles of the reports at the recipient, each with its id.
fn received(runtime: &Runtime, recipient: &Node) -> Result<Vec<(String, String)>> {
    let rows = runtime.block_on(rows(&recipient.socket(), "inbox"))?;
    let text = |value: &Value| anyhow::Ok(value.as_str().context("not text")?.to_owned());
    rows.iter().map(|row| Ok((text(&row["body"]["title"])?, text(&row["record"])?))).collect()
}

/// What the recipient said of each report, by the report's id.
fn receipts(runtime: &Runtime, sender: &Node) -> Result<HashMap<String, String>> {
    let rows = runtime.block_on(rows(&sender.socket(), "track"))?;
    let reports = rows.iter().filter(|row| row["body"]["kind"] == "report");
    let text = |value: &Value| anyhow::Ok(value.as_str().context("not text")?.to_owned());
    reports.map(|row| Ok((text(&row["record"])?, text(&row["body"]["state"])?))).collect()
}

/// `mufakat share --ndjson --batch`, fed until it is told that no more follows.
struct Sharing {
    child: Child,
    acknowledged: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    feeder: JoinHandle<Result<usize>>,
    reader: JoinHandle<Result<HashMap<String, String>>>,
}

impl Sharing {
    fn begin(sender: &Node) -> Result<Self> {
        let arguments = ["share", "--ndjson", "--batch", "kills", "--to", RECIPIENT, "-"];
        let mut command = sender.command(&arguments);
        let log = std::fs::File::create(sender.dir.with_extension("share.log"))?;
        let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log))?;
        let (input, answers) = (child.stdin.take().context("no input")?, child.stdout.take().context("no output")?);
        let (acknowledged, enough) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let feeder = std::thread::spawn({
            let enough = Arc::clone(&enough);
            move || feed(input, &enough)
        });
        let reader = std::thread::spawn({
            let acknowledged = Arc::clone(&acknowledged);
            move || {
                let mut ids = HashMap::new();
                for line in BufReader::new(answers).lines() {
                    let answer: Value = serde_json::from_str(&line?)?;
                    if answer["summary"].is_object() {
                        break;
                    }
                    let (line, id) = (answer["line"].as_u64(), answer["id"].as_str());
                    let (Some(line), Some(id)) = (line, id) else { anyhow::bail!("a line was refused: {answer}") };
                    let before = ids.insert(title(line as usize), id.to_owned());
                    ensure!(before.is_none(), "line {line} was acknowledged twice");
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Ok(ids)
            }
        });
        Ok(Self { child, acknowledged, enough, feeder, reader })
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Feeds no more, waits for the end, and gives the id of each title.
    fn end(mut self) -> Result<HashMap<String, String>> {
        self.enough.store(true, Ordering::Relaxed);
        // A panic in one of these threads is a defect of this program and ends it.
        let handed_in = self.feeder.join().expect("the thread that feeds");
        let acknowledged = self.reader.join().expect("the thread that reads");
        let status = self.child.wait()?;
        finish(&mut self.child)?;
        let (handed_in, acknowledged) = (handed_in?, acknowledged?);
        ensure!(status.success(), "`mufakat share` ended with {status}");
        ensure!(acknowledged.len() == handed_in, "{} of {handed_in} lines were acknowledged", acknowledged.len());
        Ok(acknowledged)
    }
}

fn feed(mut input: ChildStdin, enough: &AtomicBool) -> Result<usize> {
    let text = "EXERCISE text of a report. ".repeat(40);
    let mut lines = 0;
    while !enough.load(Ordering::Relaxed) {
        let mut block = String::new();
        for _ in 0..LINES_AT_ONCE {
            lines += 1;
            block.push_str(&json!({ "title": title(lines), "text": text }).to_string());
            block.push('\n');
        }
        input.write_all(block.as_bytes()).context("`mufakat share` takes no more")?;
        std::thread::sleep(LINES_PAUSE);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    fn verdict(received: &[(&str, &str)], receipts: &[(&str, &str)]) -> String {
        let acknowledged = pairs(&[("one", "id1"), ("two", "id2")]).into_iter().collect();
        match compare(&acknowledged, &pairs(received), &pairs(receipts).into_iter().collect()) {
            Ok(()) => "sound".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_lost_doubled_or_without_a_receipt_is_noticed() {
        let both = [("one", "id1"), ("two", "id2")];
        let receipts = [("id1", "accepted"), ("id2", "accepted")];
        assert_eq!(verdict(&both, &receipts), "sound");
        assert!(verdict(&both[..1], &receipts).contains("is lost"));
        assert!(verdict(&[both[0], both[1], both[0]], &receipts).contains("twice"));
        assert!(verdict(&[both[0], both[1], ("one", "id3")], &receipts).contains("twice"));
        assert!(verdict(&[both[0], ("two", "id3")], &receipts).contains("was told"));
        assert!(verdict(&[both[0], both[1], ("three", "id3")], &receipts).contains("was told"));
        assert!(verdict(&both, &receipts[..1]).contains("the receipt for `two`"));
        assert!(verdict(&both, &[receipts[0], ("id2", "queued")]).contains("queued"));
        assert!(verdict(&both, &[receipts[0], receipts[1], ("id3", "accepted")]).contains("3 records have"));
    }
}
