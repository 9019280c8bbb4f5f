//! Events: what the ledger takes in, as it takes it in, as server-sent events (WHATWG HTML, "Server-sent events"). The cursor
//! is the index of a leaf, so that nobody who comes back misses anything or sees it twice.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderMap, header};
use mufakat_exchange::{Leaf, What};
use mufakat_record::{Act, RecordId, Verified};
use mufakat_store::{Queries, Reader};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Problem, Query};
use crate::node::Node;

/// How many leaves are read at a time.
const LEAVES_MAX: u64 = 256;
/// After how much silence a comment tells that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The header with which a client that comes back says what it saw last.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(stream_events))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The last leaf that was seen; -1 for none, so that everything comes; nothing for what comes from now on.
    after: Option<i64>,
}

/// What the ledger takes in, as it takes it in: server-sent events that go on until the caller leaves.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "stream_events", tag = "events",
    params(Asked, ("last-event-id" = Option<String>, Header, description = "The `id` of the last event that was seen.")),
    responses((status = 200, description = "The events.", body = String, content_type = "text/event-stream"))
)]
async fn stream_events(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let size = node.ledger_size.subscribe();
    let next = match last_seen(&headers)?.or(asked.after) {
        Some(seen) => begin_after(seen)?,
        None => *size.borrow(),
    };
    let begun = Stream { node, size, next };
    let stream = stream::unfold(begun, |mut stream| async {
        let text = stream.more().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), stream))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn last_seen(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(id) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let seen = id.to_str().ok().and_then(|id| id.parse().ok());
    seen.map(Some).ok_or_else(|| Problem::malformed("`last-event-id` is the index of a leaf"))
}

fn begin_after(seen: i64) -> Result<u64, Problem> {
    let next = seen.checked_add(1).and_then(|next| u64::try_from(next).ok());
    next.ok_or_else(|| Problem::malformed("`after` is the index of a leaf, or -1 for the beginning"))
}

struct Stream {
    node: Arc<Node>,
    size: watch::Receiver<u64>,
    next: u64,
}

impl Stream {
    /// The next events, or a comment after a silence; nothing when the node stops or cannot read its store.
    async fn more(&mut self) -> Option<String> {
        loop {
            if self.node.is_stopping() {
                return None;
            }
            let size = *self.size.borrow_and_update();
            if self.next < size {
                let (from, through) = (self.next, size.min(self.next.saturating_add(LEAVES_MAX)));
                self.next = through;
                let read = self.node.read(move |reader| read(reader, from, through)).await;
                return read.inspect_err(|fault| tracing::warn!(%fault, "a stream of events ends")).ok();
            }
            tokio::select! {
                changed = self.size.changed() => changed.ok()?,
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(": still here\n\n".to_owned()),
                () = self.node.stopping() => return None,
            }
        }
    }
}

fn read(reader: &Reader, from: u64, through: u64) -> Result<String, mufakat_store::Error> {
    let mut text = String::new();
    for index in from..through {
        let Some(leaf) = reader.leaf(index)? else { continue };
        let id = RecordId(leaf.subject.0);
        let record = match leaf.what {
            // The subject is the hash of a register version.
            What::Register | What::Session => None,
            _ => reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok()),
        };
        write_event(&mut text, index, &leaf, record.as_ref());
    }
    Ok(text)
}

/// What one event says. Of content it says nothing.
#[derive(Serialize)]
struct Event<'a> {
    leaf: u64,
    what: &'static str,
    at_ms: u64,
    record: RecordId,
    kind: Option<&'a str>,
    author: Option<&'a str>,
    /// Why a record that came was rejected, or how one was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

fn write_event(text: &mut String, index: u64, leaf: &Leaf, record: Option<&Verified>) {
    let detail = match leaf.what {
        What::Received => std::str::from_utf8(&leaf.detail).ok().filter(|detail| !detail.is_empty()),
        What::Use => Act::from_detail(&leaf.detail).map(|act| act.how.name()),
        _ => None,
    };
    let header = record.map(Verified::header);
    let event = Event {
        leaf: index,
        what: name(leaf.what),
        at_ms: leaf.at_ms,
        record: RecordId(leaf.subject.0),
        kind: header.map(|header| header.kind.as_str()),
        author: header.map(|header| header.author.as_str()),
        detail,
    };
    // Numbers and strings are always JSON, and JSON of this form has no line break.
    let data = serde_json::to_string(&event).expect("an event as JSON");
    write!(text, "id: {index}\ndata: {data}\n\n").expect("writing into memory");
}

fn name(what: What) -> &'static str {
    match what {
        What::Authored => "authored",
        What::Received => "received",
        What::Receipt => "receipt",
        What::Use => "use",
        What::Decision => "decision",
        What::Deletion => "deletion",
        What::Register => "register",
        What::Session => "session",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;

    fn event(what: What, detail: &[u8]) -> (String, Value) {
        let leaf = Leaf::about(what, &RecordId([7; 32]), 5, detail, [1; 16]);
        let mut text = String::new();
        write_event(&mut text, 3, &leaf, None);
        let data = text.strip_prefix("id: 3\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
        (data.to_owned(), serde_json::from_str(data).unwrap())
    }

    #[test]
    fn an_event_is_one_line_of_data() {
        let (data, value) = event(What::Received, b"expired\nx");
        assert!(!data.contains('\n'));
        let expect = json!({
            "leaf": 3, "what": "received", "at_ms": 5, "record": RecordId([7; 32]), "kind": null, "author": null,
            "detail": "expired\nx",
        });
        assert_eq!(value, expect);
        assert!(event(What::Received, b"").1.get("detail").is_none());
        // The hash of a policy is no text for people.
        assert!(event(What::Authored, b"hash").1.get("detail").is_none());
        let act = Act::of_the_node(mufakat_record::How::Read, mufakat_record::Digest([0; 32]));
        assert_eq!(event(What::Use, &act.to_detail()).1["detail"], "read");
    }

    #[test]
    fn the_cursor_is_the_last_leaf_seen() {
        let check = |seen: i64, next: Option<u64>| assert_eq!(begin_after(seen).ok(), next);
        check(-1, Some(0));
        check(0, Some(1));
        check(41, Some(42));
        check(-2, None);
        check(i64::MAX, None);
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(LAST_EVENT_ID, HeaderValue::from_static(value));
            last_seen(&headers).map_err(|problem| problem.reason())
        };
        assert_eq!(last_seen(&HeaderMap::new()), Ok(None));
        assert_eq!(with("7"), Ok(Some(7)));
        assert_eq!(with("x"), Err("malformed"));
    }
}
