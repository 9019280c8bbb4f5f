//! Many submissions on one request: a line in, a line out, in order. Memory stays the same for any number of lines.
//!
//! Lines are gathered into groups. A few groups are under way at a time, each signed and made durable by itself, and a
//! group is answered when it and all before it are durable. So records of neighbouring groups may stand in the ledger in
//! another order than their lines. When the writer has too much to do its word is waited for here, and reading stops:
//! whoever sends is slowed down, not refused.
//!
//! The node reads no further while its answers are not read, so a sender reads them while it sends.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures_util::{StreamExt, stream};
use http::header;
use mufakat_record::Reason;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::problem::{Problem, wrong_json};
use crate::desk::{Caller, Ticket};
use crate::node::Node;
use crate::share::{Envelope, NotShared, share};
use crate::writer::Fault;

/// How many lines one group holds at most.
const GROUP_LINES_MAX: usize = 256;
/// After how many bytes a group takes no further line.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// How long a group waits for more lines while others are under way.
const GROUP_LINGER: Duration = Duration::from_millis(2);
/// How many groups are under way at once.
const GROUPS_MAX: usize = 4;
/// The first wait when the writer has too much to do; it doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_MIN: Duration = Duration::from_millis(5);
/// The longest wait between two attempts.
const RETRY_WAIT_MAX: Duration = Duration::from_millis(250);
/// About how many bytes the answer to one line has.
const ANSWER_BYTES: usize = 96;

/// Shares many reports: a line of JSON in (`Envelope`), a line out, in the same order.
#[utoipa::path(
    post, path = "/api/v1/records/bulk", operation_id = "share_records", tag = "records",
    // Whatever bytes come are lines, and each is answered for itself: no schema could be broken.
    request_body(content_type = "application/x-ndjson", description = "A report on each line; no bytes are no lines."),
    responses((status = 200, description = "A line for each: its number and the record's id, or an error.",
        body = String, content_type = "application/x-ndjson"))
)]
pub(super) async fn share_records(
    State(node): State<Arc<Node>>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
    body: Body,
) -> Response {
    let (answers, answered) = mpsc::channel(GROUPS_MAX);
    let lines = Lines::new(node.config.limits.api_body_bytes_max);
    let caller = LetIn { caller, ticket: ticket.map(|Extension(ticket)| ticket) };
    tokio::spawn(run(node, caller, body.into_data_stream(), lines, answers));
    let answers = stream::unfold(answered, async |mut answered| answered.recv().await.map(|next| (next, answered)));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(answers)).into_response()
}

/// Who shares, and by what that one was let in; by nothing at the socket.
#[derive(Clone)]
struct LetIn {
    caller: Caller,
    ticket: Option<Ticket>,
}

impl LetIn {
    /// Whether what let the request in still does.
    fn stands(&self, node: &Node) -> bool {
        self.ticket.as_ref().is_none_or(|ticket| node.desk.still(ticket))
    }
}

/// The node stops, or what let the request in has ended, before everything was answered. The answer is broken off, so that nobody takes it for the whole; who
/// sends with keys sends the rest again.
#[derive(Debug, thiserror::Error)]
#[error("the node is stopping, or the caller is no longer let in")]
struct BrokenOff;

type Answers = mpsc::Sender<io::Result<Bytes>>;
type Groups = VecDeque<JoinHandle<Result<Vec<u8>, BrokenOff>>>;

/// Reads lines, starts groups and answers them, until all is answered, the caller goes away, or the node stops.
async fn run(node: Arc<Node>, caller: LetIn, mut body: BodyDataStream, mut lines: Lines, answers: Answers) {
    let (mut group, mut under_way) = (Group::first(), Groups::new());
    let (mut ended, mut stopping) = (false, false);
    loop {
        group.fill(&mut lines, ended);
        let lingered = under_way.is_empty() || group.since.elapsed() >= GROUP_LINGER;
        let due = group.is_full() || (!group.lines.is_empty() && (ended || lingered));
        if due && !stopping && under_way.len() < GROUPS_MAX {
            let next = group.next();
            let started = std::mem::replace(&mut group, next);
            under_way.push_back(tokio::spawn(share_group(Arc::clone(&node), caller.clone(), started)));
            continue;
        }
        if under_way.is_empty() && (stopping || (ended && group.lines.is_empty())) {
            break;
        }
        tokio::select! {
            chunk = body.next(), if !ended && !stopping && !group.is_full() => match chunk {
                Some(Ok(chunk)) => lines.push(&chunk),
                // The caller went away; what it sent of an unfinished line is not a line.
                Some(Err(_)) => return,
                None => ended = true,
            },
            () = tokio::time::sleep_until(group.since + GROUP_LINGER), if !due && !group.lines.is_empty() => {}
            answer = first_of(&mut under_way) => {
                under_way.pop_front();
                let answer = answer.map(Bytes::from).map_err(io::Error::other);
                let broken = answer.is_err();
                if answers.send(answer).await.is_err() || broken {
                    return;
                }
            }
            () = node.stopping(), if !stopping => stopping = true,
        }
    }
    if stopping && !(ended && group.lines.is_empty()) {
        // The receiver may be gone by now; then there is nobody to tell.
        drop(answers.send(Err(io::Error::other(BrokenOff))).await);
    }
}

async fn first_of(under_way: &mut Groups) -> Result<Vec<u8>, BrokenOff> {
    match under_way.front_mut() {
        // A group that panics is a bug of ours; nobody knows what became of it, so nothing is said.
        Some(group) => group.await.unwrap_or(Err(BrokenOff)),
        None => std::future::pending().await,
    }
}

/// Shares a group, and gives the lines of the answer.
async fn share_group(node: Arc<Node>, let_in: LetIn, group: Group) -> Result<Vec<u8>, BrokenOff> {
    let mut wait = RETRY_WAIT_MIN;
    loop {
        // Nothing is shared any more for whom the door is shut, however much was sent before.
        if !let_in.stands(&node) {
            return Err(BrokenOff);
        }
        let caller = &let_in.caller;
        // The lines are kept, not the envelopes: reading them again is rare, and cheaper than a copy of each.
        let (mut envelopes, unread) = group.read();
        envelopes.iter_mut().for_each(|envelope| envelope.own_key(caller));
        let shared = if envelopes.is_empty() { Ok(Vec::new()) } else { share(&node, caller, envelopes).await };
        let mut outcomes = match shared {
            Ok(outcomes) => outcomes.into_iter(),
            Err(Fault::Overloaded) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_WAIT_MAX);
                continue;
            }
            Err(Fault::Stopping) => return Err(BrokenOff),
            Err(fault) => {
                let problem = Problem::from(fault);
                return Ok(group.answer(unread, || Err(not_shared(&problem))));
            }
        };
        // Sharing gives one outcome for each envelope, or fewer when it gave all of them up for one reason.
        let mut last = None;
        return Ok(group.answer(unread, || {
            let outcome =
                outcomes.next().or_else(|| last.clone().map(Err)).unwrap_or_else(|| Err(Reason::Malformed.into()));
            last = outcome.as_ref().err().cloned();
            let first = outcome?.into_iter().next();
            first.map(|shared| shared.id).ok_or_else(|| Reason::EmptyAudience.into())
        }));
    }
}

fn not_shared(problem: &Problem) -> NotShared {
    NotShared { reason: problem.reason(), detail: problem.detail().to_owned() }
}

/// One line of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    /// The line without its end.
    Whole(Bytes),
    /// A line that is longer than allowed.
    TooLong,
}

impl Line {
    fn read(&self) -> Result<Envelope, NotShared> {
        match self {
            Line::Whole(bytes) => serde_json::from_slice(bytes)
                .map_err(|error| NotShared { reason: Reason::Malformed.name(), detail: wrong_json(&error) }),
            Line::TooLong => Err(NotShared {
                reason: Reason::Oversize.name(),
                detail: "the line is longer than this node takes".into(),
            }),
        }
    }
}

/// Consecutive lines that are shared together.
struct Group {
    /// The number of the first line, from 1.
    first: u64,
    lines: Vec<Line>,
    bytes: usize,
    /// When the first line came.
    since: Instant,
}

impl Group {
    fn first() -> Self {
        Self { first: 1, lines: Vec::new(), bytes: 0, since: Instant::now() }
    }

    fn next(&self) -> Self {
        Self { first: self.first + self.lines.len() as u64, ..Self::first() }
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= GROUP_LINES_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    /// Takes as many lines as there are and as it may; at the end of the input also one that has no end.
    fn fill(&mut self, lines: &mut Lines, ended: bool) {
        while !self.is_full() {
            let next = lines.next().or_else(|| if ended { lines.rest() } else { None });
            let Some(line) = next else { return };
            if self.lines.is_empty() {
                self.since = Instant::now();
                self.lines.reserve(GROUP_LINES_MAX);
            }
            self.bytes += if let Line::Whole(bytes) = &line { bytes.len() } else { 0 };
            self.lines.push(line);
        }
    }

    /// The envelopes, and for each line why it has none.
    fn read(&self) -> (Vec<Envelope>, Vec<Option<NotShared>>) {
        let mut envelopes = Vec::with_capacity(self.lines.len());
        let mut read = |line: &Line| line.read().map(|envelope| envelopes.push(envelope)).err();
        let unread = self.lines.iter().map(&mut read).collect();
        (envelopes, unread)
    }

    /// The lines of the answer. `outcome` gives what became of the next envelope.
    fn answer(
        &self,
        unread: Vec<Option<NotShared>>,
        mut outcome: impl FnMut() -> Result<mufakat_record::RecordId, NotShared>,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(unread.len() * ANSWER_BYTES);
        for (line, unread) in (self.first..).zip(unread) {
            match unread.map_or_else(&mut outcome, Err) {
                Ok(id) => writeln!(out, "{{\"line\":{line},\"id\":\"{id}\"}}").expect("writing into memory"),
                Err(error) => {
                    // Two strings and a number are always JSON.
                    serde_json::to_writer(&mut out, &Refusal { line, error: &error }).expect("writing into memory");
                    out.push(b'\n');
                }
            }
        }
        out
    }
}

#[derive(Serialize)]
struct Refusal<'a> {
    line: u64,
    error: &'a NotShared,
}

/// Cuts a stream of bytes into lines. It holds at most one unfinished line, and of one that is too long nothing.
struct Lines {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of a line.
    searched: usize,
    /// Whether what comes up to the next end belongs to a line that is too long.
    skipping: bool,
    line_bytes_max: usize,
}

impl Lines {
    fn new(line_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, skipping: false, line_bytes_max }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next line that has an end.
    fn next(&mut self) -> Option<Line> {
        let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            if self.searched > self.line_bytes_max {
                self.buffer.clear();
                (self.searched, self.skipping) = (0, true);
            }
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + at + 1);
        self.searched = 0;
        line.truncate(line.len() - 1);
        Some(self.finish(line))
    }

    /// What is left at the end of the input, if it is a line without an end.
    fn rest(&mut self) -> Option<Line> {
        let line = self.buffer.split();
        self.searched = 0;
        (self.skipping || !line.is_empty()).then(|| self.finish(line))
    }

    fn finish(&mut self, line: BytesMut) -> Line {
        let too_long = std::mem::take(&mut self.skipping) || line.len() > self.line_bytes_max;
        if too_long { Line::TooLong } else { Line::Whole(line.freeze()) }
    }
}

#[cfg(test)]
mod tests {
    use mufakat_record::RecordId;

    use super::*;

    fn split(input: &[u8], chunk: usize, line_bytes_max: usize) -> Vec<Line> {
        let mut lines = Lines::new(line_bytes_max);
        let mut found = Vec::new();
        for chunk in input.chunks(chunk) {
            lines.push(chunk);
            found.extend(std::iter::from_fn(|| lines.next()));
            assert!(lines.buffer.len() <= line_bytes_max, "a line that is too long is not held");
        }
        found.extend(lines.rest());
        assert_eq!(lines.rest(), None);
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines_are_cut_wherever_the_chunks_end() {
        let input = b"one\n\ntwo\r\n0123456789x\n0123456789\nlast";
        let expect = [whole("one"), whole(""), whole("two\r"), Line::TooLong, whole("0123456789"), whole("last")];
        for chunk in 1..=input.len() {
            assert_eq!(split(input, chunk, 10), expect, "chunks of {chunk}");
        }
        assert_eq!(split(b"", 1, 10), []);
        assert_eq!(split(b"\n", 1, 10), [whole("")]);
        for chunk in [1, 7, 100] {
            assert_eq!(split(&[b'x'; 100], chunk, 10), [Line::TooLong]);
            assert_eq!(split(&[&[b'x'; 100][..], b"\nab"].concat(), chunk, 10), [Line::TooLong, whole("ab")]);
        }
    }

    #[test]
    fn a_group_has_its_limits() {
        let mut lines = Lines::new(GROUP_BYTES_MAX);
        lines.push("{}\n".repeat(GROUP_LINES_MAX + 3).as_bytes());
        lines.push(b"unfinished");
        let mut group = Group::first();
        group.fill(&mut lines, false);
        assert!(group.is_full());
        let mut next = group.next();
        assert_eq!(next.first, GROUP_LINES_MAX as u64 + 1);
        next.fill(&mut lines, false);
        assert_eq!((next.lines.len(), next.is_full()), (3, false));
        next.fill(&mut lines, true);
        assert_eq!(next.lines.last(), Some(&whole("unfinished")));

        lines.push(&[&[b' '; GROUP_BYTES_MAX][..], b"\n{}\n"].concat());
        let mut large = next.next();
        large.fill(&mut lines, false);
        assert_eq!((large.lines.len(), large.is_full()), (1, true));
    }

    const GOOD: &str = r#"{"to":["ru-police"],"tlp":"GREEN","body":{"title":"EXERCISE"}}"#;

    #[test]
    fn a_line_is_a_whole_envelope_or_an_error() {
        let envelope = whole(GOOD).read().unwrap();
        assert_eq!((envelope.to[0].as_str(), envelope.body.title.as_str()), ("ru-police", "EXERCISE"));
        assert!(whole(&format!(" {GOOD}\r")).read().is_ok());
        let check = |line: Line, reason: &str, named: &str| {
            let error = line.read().unwrap_err();
            assert_eq!(error.reason, reason, "{line:?}");
            assert!(error.detail.contains(named), "{}", error.detail);
        };
        check(Line::TooLong, "oversize", "");
        check(whole(""), "malformed", "");
        check(whole("[]"), "malformed", "");
        check(whole(&format!("{GOOD}{GOOD}")), "malformed", "");
        check(whole(&GOOD.replace("\"tlp\"", "\"colour\":1,\"tlp\"")), "malformed", "`colour`");
        check(whole(&GOOD.replace("\"title\"", "\"secret\":1,\"title\"")), "malformed", "`secret`");
        check(whole(&GOOD.replace("GREEN", "PURPLE")), "malformed", "`PURPLE`");
        check(whole(r#"{"to":[],"body":{"title":"EXERCISE"}}"#), "malformed", "`tlp`");
    }

    #[test]
    fn answers_stand_in_the_order_of_the_lines() {
        let mut lines = Lines::new(1000);
        lines.push(format!("{GOOD}\nno\n{GOOD}\n{GOOD}\n").as_bytes());
        let mut group = Group { first: 8, ..Group::first() };
        group.fill(&mut lines, false);
        let (envelopes, unread) = group.read();
        assert_eq!(envelopes.len(), 3);
        let id = RecordId([7; 32]);
        let mut outcomes =
            [Ok(id), Err(NotShared { reason: "tlp-named", detail: "say \"who\"".into() }), Ok(id)].into_iter();
        let answer = String::from_utf8(group.answer(unread, || outcomes.next().unwrap())).unwrap();
        let answer: Vec<serde_json::Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answer[0], serde_json::json!({ "line": 8, "id": id }));
        assert_eq!((&answer[1]["line"], &answer[1]["error"]["reason"]), (&9.into(), &"malformed".into()));
        assert_eq!(
            answer[2],
            serde_json::json!({ "line": 10, "error": { "reason": "tlp-named", "detail": "say \"who\"" } })
        );
        assert_eq!(answer[3], serde_json::json!({ "line": 11, "id": id }));
        assert_eq!(answer.len(), 4);
    }
}
