//! `share --ndjson`: many reports on one request, each acknowledged on a line of its own, and with a batch resumed by itself
//! when the node was away.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mufakat_node::net::local_client::{self, Response, body_from_channel};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client::{Client, accepted};
use crate::envelope::Lines;
use crate::failure::{Failure, refused};
use crate::output::Output;

const PATH: &str = "/api/v1/records/bulk";
/// How many lines may be with the node unacknowledged.
const UNACKNOWLEDGED_LINES_MAX: usize = 4_096;
/// How many bytes they may have together; one line at least is always sent.
const UNACKNOWLEDGED_BYTES_MAX: usize = 32 << 20;
/// The longest line of input, in bytes. A node takes no record that large.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// The longest line of the answer, in bytes.
const ANSWER_LINE_BYTES_MAX: usize = 64 << 10;
/// How many refused lines are told of on standard error; the number of all is told at the end.
const REFUSALS_TOLD_MAX: u64 = 20;
/// How many lines are taken from the reader at a time, to be sent together.
const TAKEN_LINES_MAX: usize = 64;
/// How long to wait between two attempts to reach a node that went away.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How often progress is told where there is no terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Shares the lines of a file or of standard input. `patience` says how long to wait for a node that went away; without it
/// its going away is the end, because nobody could tell which of the lines in flight it had taken.
pub(super) async fn run(
    client: &Client,
    source: &Path,
    lines: Lines,
    patience: Option<Duration>,
    output: Output,
) -> anyhow::Result<()> {
    let (reader, total) = open(source)?;
    let (sender, receiver) = mpsc::channel(TAKEN_LINES_MAX * 4);
    // A thread of its own, because standard input cannot be read without blocking. It ends with the input or the receiver.
    std::thread::spawn(move || read_lines(reader, &lines, &sender));
    let mut run = Run {
        source: receiver,
        ended: false,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        told: Told::new(total, output),
    };
    let mut progress_at = Instant::now();
    let mut away = false;
    loop {
        let before = run.told.acknowledged();
        let broken = match run.attempt(client).await {
            Ok(()) => break,
            Err(error) => error,
        };
        if run.told.acknowledged() > before {
            (progress_at, away) = (Instant::now(), false);
        }
        if !is_temporary(&broken) || patience.is_none_or(|patience| progress_at.elapsed() >= patience) {
            run.told.bar.abandon();
            let told = &run.told;
            return Err(broken.context(format!(
                "broken off: {} shared, {} refused, {} unknown",
                told.shared,
                told.refused,
                run.waiting.len()
            )));
        }
        if !std::mem::replace(&mut away, true) {
            run.told.note("the node went away; waiting for it");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    run.told.finish()
}

/// Whether the node may answer when it is asked again: it is away, went away, or has too much to do.
pub(super) fn is_temporary(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(Failure::NotRunning { .. }) => return true,
        Some(Failure::Problem(problem)) => return problem["status"] == StatusCode::SERVICE_UNAVAILABLE.as_u16(),
        _ => {}
    }
    matches!(error.downcast_ref(), Some(local_client::Error::Exchange(_)))
        || error.downcast_ref::<EndedEarly>().is_some()
}

/// The answer ended before every line was acknowledged.
#[derive(Debug, thiserror::Error)]
#[error("the node ended its answer early")]
struct EndedEarly;

/// A line on its way.
struct Line {
    /// Its number in the input, from 1.
    number: u64,
    /// Its envelope, or why it has none.
    envelope: Result<Bytes, anyhow::Error>,
}

type Input = Box<dyn Read + Send>;

/// The input, and how many lines it has if that can be known beforehand.
fn open(source: &Path) -> anyhow::Result<(Input, Option<u64>)> {
    if source == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let cannot = || format!("cannot read {}", source.display());
    let file = std::fs::File::open(source).with_context(cannot)?;
    if !file.metadata().with_context(cannot)?.is_file() {
        return Ok((Box::new(file), None));
    }
    let mut lines = 0;
    let mut counted = BufReader::with_capacity(1 << 20, std::fs::File::open(source).with_context(cannot)?);
    loop {
        let buffer = counted.fill_buf().with_context(cannot)?;
        if buffer.is_empty() {
            break;
        }
        lines += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        let read = buffer.len();
        counted.consume(read);
    }
    Ok((Box::new(file), Some(lines)))
}

/// Reads lines until the input ends, cannot be read, or nobody wants more. Empty lines are passed over.
fn read_lines(input: Input, lines: &Lines, sender: &mpsc::Sender<Line>) {
    let mut input = BufReader::with_capacity(1 << 18, input);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let envelope = match read {
            Ok(0) => return,
            Ok(_) if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") => {
                let why = refused("oversize", format!("the line is longer than {LINE_BYTES_MAX} bytes"));
                if skip_line(&mut input).is_err() {
                    Err(why.context("the input cannot be read further"))
                } else {
                    Err(why)
                }
            }
            Ok(_) if line.trim_ascii().is_empty() => continue,
            Ok(_) => lines.envelope(&line).map(Bytes::from),
            Err(error) => {
                let why = Err(anyhow::Error::new(error).context("the input cannot be read further"));
                // Whether it was wanted or not: this was the last line.
                let _ = sender.blocking_send(Line { number, envelope: why });
                return;
            }
        };
        if sender.blocking_send(Line { number, envelope }).is_err() {
            return;
        }
    }
}

/// Passes over the rest of a line.
pub(super) fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let skipped = end.map_or(buffer.len(), |end| end + 1);
        input.consume(skipped);
        if end.is_some() || skipped == 0 {
            return Ok(());
        }
    }
}

/// A bulk submission, over as many requests as it takes.
struct Run {
    source: mpsc::Receiver<Line>,
    /// Whether the source has ended.
    ended: bool,
    /// Lines that were read and not acknowledged, in order.
    waiting: VecDeque<(u64, Bytes)>,
    waiting_bytes: usize,
    told: Told,
}

impl Run {
    /// One request: sends what waits and what comes, and takes the acknowledgements, until everything is acknowledged.
    async fn attempt(&mut self, client: &Client) -> anyhow::Result<()> {
        let (to_node, body) = mpsc::channel::<Bytes>(4);
        let mut to_node = Some(to_node);
        let request = client.send(Method::POST, PATH, Some("application/x-ndjson"), body_from_channel(body));
        tokio::pin!(request);
        let mut response: Option<Response> = None;
        // How many of the waiting lines this request has sent, and how many of its lines were acknowledged.
        let (mut sent, mut acknowledged) = (0, 0);
        let mut closed = false;
        loop {
            if closed || (self.ended && sent == self.waiting.len()) {
                // The end of the request's body tells the node that nothing follows.
                to_node = None;
            }
            let may_take = !self.ended
                && sent == self.waiting.len()
                && sent < UNACKNOWLEDGED_LINES_MAX
                && self.waiting_bytes < UNACKNOWLEDGED_BYTES_MAX;
            tokio::select! {
                permit = reserve(to_node.as_ref()), if sent < self.waiting.len() => {
                    // A closed channel means that the request is over; its answer tells why.
                    let Some(permit) = permit else { closed = true; continue };
                    let mut chunk = BytesMut::new();
                    for (_, envelope) in self.waiting.iter().skip(sent).take(TAKEN_LINES_MAX) {
                        chunk.extend_from_slice(envelope);
                        sent += 1;
                    }
                    permit.send(chunk.freeze());
                }
                taken = self.source.recv(), if may_take => self.take(taken),
                answer = &mut request, if response.is_none() => response = Some(accepted(answer?).await?),
                line = next_line(response.as_mut()), if response.is_some() => match line? {
                    Some(line) => {
                        acknowledged += 1;
                        self.acknowledge(acknowledged, &line)?;
                        sent = sent.checked_sub(1).context("the node acknowledged a line that was not sent")?;
                    }
                    None if self.ended && self.waiting.is_empty() => return Ok(()),
                    None => return Err(EndedEarly.into()),
                },
            }
        }
    }

    /// Takes over a line from the source, and those that are there already.
    fn take(&mut self, first: Option<Line>) {
        let mut next = first;
        for last in (0..TAKEN_LINES_MAX).rev() {
            match next {
                Some(Line { number, envelope: Ok(envelope) }) => {
                    self.waiting_bytes += envelope.len();
                    self.waiting.push_back((number, envelope));
                }
                Some(Line { number, envelope: Err(error) }) => self.told.unsent(number, &error),
                None => self.ended = true,
            }
            if self.ended || last == 0 {
                return;
            }
            next = match self.source.try_recv() {
                Ok(line) => Some(line),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            };
        }
    }

    /// The node's word on the line that has waited longest.
    fn acknowledge(&mut self, position: u64, answer: &[u8]) -> anyhow::Result<()> {
        let answer: Value = serde_json::from_slice(answer).context("the node's answer is not JSON")?;
        if answer["line"] != position {
            anyhow::bail!("the node answered out of order: line {} where {position} was due", answer["line"]);
        }
        let (number, envelope) = self.waiting.pop_front().context("the node acknowledged a line that was not sent")?;
        self.waiting_bytes -= envelope.len();
        match answer["id"].as_str() {
            Some(id) => self.told.sharing(number, id),
            None => self.told.refusal(number, &answer["error"]),
        }
        Ok(())
    }
}

async fn reserve(to_node: Option<&mpsc::Sender<Bytes>>) -> Option<mpsc::Permit<'_, Bytes>> {
    match to_node {
        Some(to_node) => to_node.reserve().await.ok(),
        // Nothing can be sent any more; only the answer is waited for.
        None => std::future::pending().await,
    }
}

async fn next_line(response: Option<&mut Response>) -> anyhow::Result<Option<Bytes>> {
    match response {
        Some(response) => Ok(response.line(ANSWER_LINE_BYTES_MAX).await?),
        None => std::future::pending().await,
    }
}

/// What the user is told while it goes on and at the end.
struct Told {
    output: Output,
    bar: ProgressBar,
    began: Instant,
    told_at: Instant,
    terminal: bool,
    shared: u64,
    refused: u64,
}

impl Told {
    fn new(total: Option<u64>, output: Output) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let template = match total {
            Some(_) => "{wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
            None => "{spinner} {human_pos} {per_sec}",
        };
        // The template is part of the program; a mistake in it leaves the bar in its usual form.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !terminal {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { output, bar, began: Instant::now(), told_at: Instant::now(), terminal, shared: 0, refused: 0 }
    }

    fn acknowledged(&self) -> u64 {
        self.shared + self.refused
    }

    fn sharing(&mut self, number: u64, id: &str) {
        self.shared += 1;
        self.line(json!({ "line": number, "id": id }));
    }

    /// A line that never went to the node.
    fn unsent(&mut self, number: u64, error: &anyhow::Error) {
        let reason = match error.downcast_ref() {
            Some(Failure::Refused { reason, .. }) => reason,
            _ => "unreadable",
        };
        self.refusal(number, &json!({ "reason": reason, "detail": format!("{error:#}") }));
    }

    fn refusal(&mut self, number: u64, error: &Value) {
        self.refused += 1;
        if !self.output.json && self.refused <= REFUSALS_TOLD_MAX {
            let word = |name: &str| error[name].as_str().unwrap_or_default();
            self.note(&format!("line {number} refused: {} ({})", word("detail"), word("reason")));
        }
        self.line(json!({ "line": number, "error": error }));
    }

    fn line(&mut self, line: Value) {
        self.bar.set_position(self.acknowledged());
        if self.output.json {
            // Should nobody be able to read it, the records are shared all the same; the end of the command will tell.
            let _ = self.output.line(&line.to_string());
        }
        if !self.terminal && self.told_at.elapsed() >= PROGRESS_INTERVAL {
            self.told_at = Instant::now();
            self.note(&format!("{} records, {}/s", HumanCount(self.acknowledged()), self.per_second()));
        }
    }

    fn note(&self, text: &str) {
        let text = crate::output::clean(text);
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn per_second(&self) -> u64 {
        (self.shared as f64 / self.began.elapsed().as_secs_f64().max(0.001)) as u64
    }

    fn finish(self) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        let (shared, refused_count) = (self.shared, self.refused);
        let seconds = self.began.elapsed().as_secs_f64();
        let per_second = self.per_second();
        let summary = json!({ "summary": {
            "shared": shared, "refused": refused_count, "seconds": seconds, "records_per_s": per_second,
        } });
        self.output.show(&summary, || {
            let tail =
                if refused_count == 0 { String::new() } else { format!("; {} refused", HumanCount(refused_count)) };
            format!("{} records shared in {seconds:.1} s ({per_second}/s){tail}", HumanCount(shared))
        })?;
        if refused_count > 0 {
            return Err(refused("lines-refused", format!("{refused_count} lines were refused")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Body;
    use axum::extract::State;
    use axum::response::IntoResponse;
    use axum::routing::post;
    use clap::Parser;
    use mufakat_node::net::listen::{bind_local, serve_local};
    use tokio::sync::watch;

    use super::*;

    /// A node that breaks off: what each request brought, and how many lines it acknowledges before its answer ends.
    #[derive(Default)]
    struct Fake {
        requests: Vec<Vec<Value>>,
        acknowledges: VecDeque<usize>,
    }

    type Shared = Arc<Mutex<Fake>>;

    async fn take_in(State(fake): State<Shared>, body: String) -> impl IntoResponse {
        let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut fake = fake.lock().unwrap();
        let count = fake.acknowledges.pop_front().unwrap_or(usize::MAX).min(lines.len());
        let answer = |(n, line): (usize, &Value)| match line["body"]["title"].as_str() {
            Some("bad") => json!({"line": n + 1, "error": {"reason": "body-not-of-kind", "detail": "no"}}),
            title => json!({"line": n + 1, "id": format!("id of {}", title.unwrap_or_default())}),
        };
        let answers: String = lines.iter().enumerate().take(count).map(answer).map(|a| format!("{a}\n")).collect();
        fake.requests.push(lines);
        answers
    }

    struct Node {
        dir: PathBuf,
        fake: Shared,
        _stop: watch::Sender<bool>,
    }

    impl Node {
        fn new(test: &str, acknowledges: &[usize]) -> Self {
            let dir = std::env::temp_dir().join(format!("mufakat-bulk-{}-{test}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(&dir).unwrap();
            let fake = Shared::default();
            fake.lock().unwrap().acknowledges = acknowledges.iter().copied().collect();
            let router = Router::new()
                .route(PATH, post(take_in))
                .layer(axum::extract::DefaultBodyLimit::disable())
                .with_state(Arc::clone(&fake));
            let (stop, stopped) = watch::channel(false);
            tokio::spawn(serve_local(bind_local(&dir.join(mufakat_node::SOCKET)).unwrap(), router, stopped));
            Self { dir, fake, _stop: stop }
        }

        async fn share(&self, input: &str, options: &str) -> anyhow::Result<()> {
            let file = self.dir.join("in.ndjson");
            std::fs::write(&file, input).unwrap();
            let line = format!("mufakat share --ndjson {options}");
            let crate::args::Command::Share(args) = crate::args::Args::parse_from(line.split_whitespace()).command
            else {
                panic!("share was asked for")
            };
            let handling = crate::envelope::Handling::new(&args.to, &args.handling, vec![], 0);
            let lines = Lines::new(&handling, args.batch.clone()).unwrap();
            let patience = args.batch.is_some().then_some(args.retry);
            run(&Client::new(&self.dir), &file, lines, patience, Output::new(true)).await
        }

        fn titles(&self) -> Vec<Vec<String>> {
            let title = |line: &Value| line["body"]["title"].as_str().unwrap_or_default().to_owned();
            self.fake.lock().unwrap().requests.iter().map(|lines| lines.iter().map(title).collect()).collect()
        }
    }

    impl Drop for Node {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }

    fn input(titles: &[&str]) -> String {
        titles.iter().map(|title| format!("{{\"title\":\"{title}\"}}\n")).collect()
    }

    #[tokio::test]
    async fn a_batch_goes_on_where_it_was_broken_off() {
        let node = Node::new("resume", &[2, 0, 1]);
        node.share(&input(&["a", "b", "c", "d", "e"]), "--to ru-police --batch x --retry 10s").await.unwrap();
        let expect: [&[&str]; 4] = [&["a", "b", "c", "d", "e"], &["c", "d", "e"], &["c", "d", "e"], &["d", "e"]];
        assert_eq!(node.titles(), expect);
        // A line that is sent again has the key that it had.
        let requests = &node.fake.lock().unwrap().requests;
        assert_eq!(requests[0][2]["key"], requests[1][0]["key"]);
        assert_eq!(requests[0][2]["key"].as_str().unwrap().len(), 64);
    }

    #[tokio::test]
    async fn without_a_batch_a_break_is_the_end() {
        let node = Node::new("end", &[2]);
        let error = node.share(&input(&["a", "b", "c"]), "--to ru-police").await.unwrap_err();
        assert_eq!(error.to_string(), "broken off: 2 shared, 0 refused, 1 unknown");
        assert_eq!(node.titles().len(), 1);
    }

    #[tokio::test]
    async fn patience_ends_when_nothing_goes_on() {
        let node = Node::new("patience", &[0; 20]);
        let error = node.share(&input(&["a"]), "--to ru-police --batch x --retry 1s").await.unwrap_err();
        assert_eq!(error.to_string(), "broken off: 0 shared, 0 refused, 1 unknown");
        assert!((2..20).contains(&node.titles().len()));
    }

    #[tokio::test]
    async fn refused_lines_fail_the_command_and_keep_nothing_back() {
        let node = Node::new("refused", &[]);
        let error = node
            .share(&format!("{}\n \nnonsense\n{}", input(&["a", "bad"]), input(&["b"])), "--to vn")
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "2 lines were refused");
        assert_eq!(node.titles(), [["a", "bad", "b"]]);
    }

    #[tokio::test]
    async fn many_lines_and_long_ones_go_through() {
        let node = Node::new("many", &[]);
        let mut text = input(&["a"]).repeat(3 * UNACKNOWLEDGED_LINES_MAX / 4);
        text.push_str(&input(&[&"x".repeat(LINE_BYTES_MAX as usize)]));
        text.push_str("{\"title\":\"last\"}");
        let error = node.share(&text, "--to vn").await.unwrap_err();
        assert_eq!(error.to_string(), "1 lines were refused");
        let titles = node.titles();
        assert_eq!(titles[0].len(), 3 * UNACKNOWLEDGED_LINES_MAX / 4 + 1);
        assert_eq!(titles[0].last().unwrap(), "last");
    }

    #[tokio::test]
    async fn an_answer_out_of_order_is_not_believed() {
        let dir = std::env::temp_dir().join(format!("mufakat-bulk-{}-order", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let router = Router::new().route(PATH, post(|_: Body| async { "{\"line\":2,\"id\":\"00\"}\n" }));
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(serve_local(bind_local(&dir.join(mufakat_node::SOCKET)).unwrap(), router, stopped));
        let file = dir.join("in.ndjson");
        std::fs::write(&file, r#"{"to":["vn"],"body":{}}"#).unwrap();
        let crate::args::Command::Share(args) = crate::args::Args::parse_from(["mufakat", "share", "--ndjson"]).command
        else {
            panic!("share was asked for")
        };
        let lines =
            Lines::new(&crate::envelope::Handling::new(&args.to, &args.handling, vec![], 0), Some("x".into())).unwrap();
        let result = run(&Client::new(&dir), &file, lines, Some(Duration::from_secs(5)), Output::new(true)).await;
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(format!("{:#}", result.unwrap_err()).contains("out of order"));
    }
}
