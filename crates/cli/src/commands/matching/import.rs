//! `match list import`: many entries for this agency's lists, in batches that the node takes each as a whole, and a report of what
//! was refused. To import a file twice changes nothing, so a batch whose answer was lost is sent again.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, IsTerminal, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::body::Body;
use bytes::Bytes;
use http::Method;
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use serde_json::{Value, json};

use super::counted;
use super::rows::{self, Line, Wrong};
use crate::args::ImportArgs;
use crate::client::{Client, json_of};
use crate::commands::bulk::is_temporary;
use crate::commands::share::bytes_bar;
use crate::failure::refused;
use crate::output::{Output, clean};

/// Where entries are handed in.
pub(super) const PATH: &str = "/api/v1/matching/entries";
/// How they are written there.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// The columns of a file.
const COLUMNS: [&str; 8] = ["subject", "value", "birth_year", "category", "tlp", "note", "expires", "remove"];
/// How many entries are handed in at once.
const BATCH_LINES_MAX: usize = 5_000;
/// How many bytes of them.
const BATCH_BYTES_MAX: usize = 900_000;
/// How many refused lines are told of on standard error; all are counted, and stand in the report.
const REFUSALS_TOLD_MAX: usize = 20;
/// How many are in the answer for programs.
const REFUSALS_KEPT_MAX: usize = 1_000;
/// How long a node that goes away in mid-run is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How often progress is told where there is no terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Imports a file.
pub(super) async fn run(client: &Client, args: &ImportArgs, output: Output) -> anyhow::Result<()> {
    let (mut lines, size) = rows::open(&args.file, args.format, &COLUMNS)?;
    let mut told = Told::new(size, args, output)?;
    let mut batch = Batch::default();
    while let Some(Line { number, fields }) = lines.next()? {
        told.lines += 1;
        let entry = fields.and_then(|fields| rows::entry(&fields)).map(|mut entry| {
            entry.category = entry.category.or(args.category);
            entry.tlp = entry.tlp.or(args.tlp);
            entry
        });
        match entry {
            Ok(entry) => {
                let entry = serde_json::to_string(&entry)?;
                if !batch.has_room(entry.len()) {
                    batch = send(client, batch, &mut told).await?;
                }
                batch.push(number, &entry);
            }
            Err(wrong) => batch.refused.push((number, wrong)),
        }
        told.progress(lines.bytes);
    }
    send(client, batch, &mut told).await?;
    told.finish(args.report.as_deref())
}

/// Entries that are handed in together, and lines among them that are not.
#[derive(Default)]
struct Batch {
    text: String,
    /// In which line of the file each entry stands.
    numbers: Vec<u64>,
    refused: Vec<(u64, Wrong)>,
}

impl Batch {
    fn has_room(&self, entry_bytes: usize) -> bool {
        self.numbers.len() < BATCH_LINES_MAX && self.text.len() + entry_bytes < BATCH_BYTES_MAX
    }

    fn push(&mut self, number: u64, entry: &str) {
        self.text.push_str(entry);
        self.text.push('\n');
        self.numbers.push(number);
    }
}

/// Hands a batch in, and gives an empty one.
async fn send(client: &Client, batch: Batch, told: &mut Told) -> anyhow::Result<Batch> {
    let mut refusals: Vec<(u64, String, String)> =
        batch.refused.into_iter().map(|(number, wrong)| (number, wrong.reason.to_owned(), wrong.detail)).collect();
    if !batch.numbers.is_empty() {
        let answer = hand_in(client, Bytes::from(batch.text), told).await?;
        for refusal in answer["refusals"].as_array().into_iter().flatten() {
            let place = refusal["line"].as_u64().and_then(|line| line.checked_sub(1));
            let number = place.and_then(|place| batch.numbers.get(place as usize));
            let number = *number.context("the node refused a line that was not handed in")?;
            let word = |name: &str| refusal[name].as_str().unwrap_or_default().to_owned();
            refusals.push((number, word("reason"), word("detail")));
        }
        told.taken(&answer);
    }
    refusals.sort();
    for (number, reason, detail) in refusals {
        told.refusal(number, &reason, &detail)?;
    }
    Ok(Batch::default())
}

async fn hand_in(client: &Client, text: Bytes, told: &mut Told) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        let sent = client.request(Method::POST, PATH, Some(NDJSON), Body::from(text.clone())).await;
        let answer = match sent {
            Ok(response) => json_of(response).await,
            Err(error) => Err(error),
        };
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if told.batches == 0 || !is_temporary(&error) || began.elapsed() >= PATIENCE {
            told.bar.abandon();
            return Err(
                error.context(format!("broken off, {}; to import the file again does nothing twice", told.so_far()))
            );
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// What the user is told while it goes on and at the end.
struct Told {
    output: Output,
    bar: ProgressBar,
    size: Option<u64>,
    began: Instant,
    told_at: Instant,
    report: Option<BufWriter<File>>,
    lines: u64,
    batches: u64,
    /// New, changed, same and removed.
    counts: [u64; 4],
    refused: u64,
    kept: Vec<Value>,
}

const COUNTS: [&str; 4] = ["new", "changed", "same", "removed"];

impl Told {
    fn new(size: Option<u64>, args: &ImportArgs, output: Output) -> anyhow::Result<Self> {
        let mut report = match &args.report {
            Some(path) => Some(BufWriter::new(create(path, args.force)?)),
            None => None,
        };
        if let Some(report) = &mut report {
            writeln!(report, "line,reason,detail")?;
        }
        let bar = size.map_or_else(ProgressBar::hidden, |size| bytes_bar(size, "import"));
        let now = Instant::now();
        let (counts, kept) = ([0; 4], Vec::new());
        Ok(Self { output, bar, size, began: now, told_at: now, report, lines: 0, batches: 0, counts, refused: 0, kept })
    }

    fn taken(&mut self, answer: &Value) {
        self.batches += 1;
        for (count, name) in self.counts.iter_mut().zip(COUNTS) {
            *count += answer[name].as_u64().unwrap_or_default();
        }
    }

    fn refusal(&mut self, number: u64, reason: &str, detail: &str) -> anyhow::Result<()> {
        if !self.output.json && self.refused < REFUSALS_TOLD_MAX as u64 {
            self.note(&format!("line {number} refused: {detail} ({reason})"));
        }
        self.refused += 1;
        if self.kept.len() < REFUSALS_KEPT_MAX {
            self.kept.push(json!({ "line": number, "reason": reason, "detail": detail }));
        }
        if let Some(report) = &mut self.report {
            let detail = detail.replace('"', "\"\"");
            writeln!(report, "{number},{reason},\"{detail}\"").context("the report cannot be written")?;
        }
        Ok(())
    }

    fn progress(&mut self, bytes: u64) {
        self.bar.set_position(bytes);
        if self.told_at.elapsed() >= PROGRESS_INTERVAL && !std::io::stderr().is_terminal() {
            self.told_at = Instant::now();
            let of = self.size.map(|size| format!(" of {}", HumanBytes(size))).unwrap_or_default();
            self.note(&format!("{} lines, {}{of}", HumanCount(self.lines), HumanBytes(bytes)));
        }
    }

    fn note(&self, text: &str) {
        let text = clean(text);
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn so_far(&self) -> String {
        let counts = COUNTS.iter().zip(self.counts).map(|(name, count)| format!("{} {name}", HumanCount(count)));
        format!("{}, {} refused", counts.collect::<Vec<_>>().join(", "), HumanCount(self.refused))
    }

    /// How many lines take off what is not listed.
    fn not_listed(&self) -> u64 {
        self.lines.saturating_sub(self.counts.iter().sum::<u64>() + self.refused)
    }

    fn finish(mut self, report: Option<&Path>) -> anyhow::Result<()> {
        if let Some(report) = &mut self.report {
            report.flush().context("the report cannot be written")?;
        }
        self.bar.finish_and_clear();
        let (seconds, [new, changed, same, removed]) = (self.began.elapsed().as_secs_f64(), self.counts);
        let answer = json!({
            "lines": self.lines, "new": new, "changed": changed, "same": same, "removed": removed, "refused": self.refused,
            "not_listed": self.not_listed(), "refusals": self.kept, "seconds": seconds,
        });
        self.output.show(&answer, || {
            let lines = if self.lines == 1 { "line" } else { "lines" };
            let mut text = format!("{} {lines} in {seconds:.1} s: {}\n", HumanCount(self.lines), self.so_far());
            if self.not_listed() > 0 {
                let lines = counted(self.not_listed(), "line takes", "lines take");
                text.push_str(&format!("{lines} off what was not listed\n"));
            }
            match report.filter(|_| self.refused > 0) {
                Some(report) => {
                    text.push_str(&format!("every refused line stands in {}\n", clean(&report.display().to_string())))
                }
                None if self.refused > REFUSALS_TOLD_MAX as u64 => {
                    text.push_str("the first of the refused lines are told above; --report FILE names all\n");
                }
                None => {}
            }
            text
        })?;
        if self.refused > 0 {
            return Err(refused("lines-refused", counted(self.refused, "line was refused", "lines were refused")));
        }
        Ok(())
    }
}

fn create(path: &Path, replace: bool) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    if replace {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(refused("exists", format!("{} exists; name another file, or add --force", path.display())))
        }
        other => other.with_context(|| format!("cannot write {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::State;
    use axum::response::IntoResponse;
    use axum::routing::post;
    use clap::Parser;
    use http::StatusCode;
    use mufakat_node::net::listen::{bind_local, serve_local};
    use tokio::sync::watch;

    use super::*;
    use crate::args::{Args, Command, Match, MatchList};

    /// A node: what each request brought, and with which status it answers the next ones.
    #[derive(Default)]
    struct Fake {
        requests: Vec<Vec<Value>>,
        statuses: VecDeque<StatusCode>,
    }

    type Shared = Arc<Mutex<Fake>>;

    /// Refuses what has the value `bad`.
    async fn take_in(State(fake): State<Shared>, body: String) -> impl IntoResponse {
        let mut fake = fake.lock().unwrap();
        let status = fake.statuses.pop_front().unwrap_or(StatusCode::OK);
        let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let bad = lines.iter().enumerate().filter(|(_, line)| line["value"] == "bad");
        let refusals: Vec<_> = bad
            .map(|(place, _)| json!({ "line": place + 1, "reason": "bad-identifier", "detail": "a \"digit\"" }))
            .collect();
        let removed = lines.iter().filter(|line| line["remove"] == true).count();
        let answer = json!({ "new": lines.len() - refusals.len() - removed, "changed": 0, "same": 0, "removed": removed,
            "refused": refusals.len(), "refusals": refusals });
        fake.requests.push(lines);
        let answer =
            if status.is_success() { answer } else { json!({ "status": status.as_u16(), "reason": "EXERCISE" }) };
        (status, axum::Json(answer))
    }

    struct Node {
        dir: tempfile::TempDir,
        fake: Shared,
        _stop: watch::Sender<bool>,
    }

    impl Node {
        fn new(statuses: &[StatusCode]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let fake = Shared::default();
            fake.lock().unwrap().statuses = statuses.iter().copied().collect();
            let router = Router::new().route(PATH, post(take_in)).with_state(Arc::clone(&fake));
            let (stop, stopped) = watch::channel(false);
            tokio::spawn(serve_local(bind_local(&dir.path().join(mufakat_node::SOCKET)).unwrap(), router, stopped));
            Self { dir, fake, _stop: stop }
        }

        async fn import(&self, input: &str, options: &[&str]) -> anyhow::Result<()> {
            let file = self.dir.path().join("in");
            std::fs::write(&file, input).unwrap();
            let words = ["mufakat", "match", "list", "import", file.to_str().unwrap()];
            let args = Args::parse_from(words.iter().chain(options));
            let Command::Match(Match::List(MatchList::Import(args))) = args.command else { panic!("another command") };
            run(&Client::new(self.dir.path()), &args, Output::new(true)).await
        }

        fn requests(&self) -> Vec<Vec<Value>> {
            self.fake.lock().unwrap().requests.clone()
        }
    }

    #[tokio::test]
    async fn refused_lines_are_named_by_their_place_in_the_file() {
        let node = Node::new(&[]);
        let report = node.dir.path().join("refused.csv");
        let input =
            "subject,value,tlp,remove\n\nimo,9074729,RED,\nship,SECRET,,\nphone,bad,,\n\nphone,+84912345678,,yes\n";
        let options = ["--category", "stolen", "--tlp", "GREEN", "--report", report.to_str().unwrap()];
        let error = node.import(input, &options).await.unwrap_err();
        assert_eq!(error.to_string(), "2 lines were refused");
        assert_eq!(
            node.requests(),
            [[
                json!({ "subject": "imo", "value": "9074729", "category": "stolen", "tlp": "RED" }),
                json!({ "subject": "phone", "value": "bad", "category": "stolen", "tlp": "GREEN" }),
                json!({ "subject": "phone", "value": "+84912345678", "category": "stolen", "tlp": "GREEN", "remove": true }),
            ]]
        );
        let told = std::fs::read_to_string(&report).unwrap();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], "line,reason,detail");
        assert!(lines[1].starts_with("4,malformed,\"`subject` is not one of imo, "), "{told}");
        assert_eq!(lines[2..], ["5,bad-identifier,\"a \"\"digit\"\"\""]);
        assert!(!told.contains("SECRET"), "{told}");
        // The report of an earlier run is not lost by mistake.
        let error = node.import(input, &options).await.unwrap_err().to_string();
        assert!(error.contains("exists"), "{error}");
        assert_eq!(node.requests().len(), 1);
        let options = [&options[..], &["--force"]].concat();
        assert_eq!(node.import(input, &options).await.unwrap_err().to_string(), "2 lines were refused");
    }

    #[tokio::test]
    async fn batches_keep_to_their_limits() {
        let node = Node::new(&[]);
        let many = format!("subject,value\n{}", "imo,9074729\n".repeat(BATCH_LINES_MAX + 1));
        node.import(&many, &[]).await.unwrap();
        let note = "x".repeat(1_000);
        let line = format!("{{\"subject\":\"imo\",\"value\":\"9074729\",\"note\":\"{note}\"}}\n");
        node.import(&line.repeat(1_000), &[]).await.unwrap();
        let sizes: Vec<_> = node.requests().iter().map(Vec::len).collect();
        assert_eq!(sizes[..2], [BATCH_LINES_MAX, 1]);
        assert_eq!(sizes[2..], [BATCH_BYTES_MAX / line.len(), 1_000 - BATCH_BYTES_MAX / line.len()]);
    }

    #[tokio::test]
    async fn a_batch_is_sent_again_when_the_node_has_too_much_to_do() {
        let node = Node::new(&[StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK]);
        let many = format!("subject,value\n{}imo,bad\n", "imo,9074729\n".repeat(BATCH_LINES_MAX));
        let error = node.import(&many, &[]).await.unwrap_err();
        assert_eq!(error.to_string(), "1 line was refused");
        assert_eq!(node.requests().iter().map(Vec::len).collect::<Vec<_>>(), [BATCH_LINES_MAX, 1, 1]);
    }

    #[tokio::test]
    async fn what_was_taken_before_a_failure_is_told() {
        let node = Node::new(&[StatusCode::OK, StatusCode::INSUFFICIENT_STORAGE]);
        let many = format!("subject,value\n{}", "imo,9074729\n".repeat(BATCH_LINES_MAX + 1));
        let error = node.import(&many, &[]).await.unwrap_err();
        assert!(error.to_string().starts_with("broken off, 5,000 new, 0 changed"), "{error}");
    }

    #[test]
    fn every_line_is_accounted_for() {
        let args = Args::parse_from(["mufakat", "match", "list", "import", "x"]);
        let Command::Match(Match::List(MatchList::Import(args))) = args.command else { panic!("another command") };
        let mut told = Told::new(None, &args, Output::new(true)).unwrap();
        told.lines = 9;
        told.taken(&json!({ "new": 2, "changed": 1, "same": 1, "removed": 2 }));
        told.refusal(3, "malformed", "EXERCISE").unwrap();
        assert_eq!(told.so_far(), "2 new, 1 changed, 1 same, 2 removed, 1 refused");
        assert_eq!(told.not_listed(), 2);
    }

    #[tokio::test]
    async fn an_empty_file_is_no_mistake() {
        let node = Node::new(&[]);
        node.import("subject,value\n", &[]).await.unwrap();
        assert!(node.requests().is_empty());
    }
}
