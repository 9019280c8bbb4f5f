//! Events: what the ledger takes in, as it takes it in, as server-sent events (WHATWG HTML, "Server-sent events"). The cursor
//! is the place of a leaf, sealed to the caller, so that nobody who comes back misses anything or sees it twice.
//!
//! A caller learns of the leaves whose records it may list, and of its own acts. What others did, and who signed in, is for those
//! who oversee; so is the index of a leaf, as the gaps between indices count what was not shown.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use mufakat_exchange::{Leaf, What};
use mufakat_record::{Act, RecordId, Role, Verified};
use mufakat_store::{ClassNumber, Queries, Reader};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cursor::Cursors;
use super::problem::{Problem, Query};
use crate::desk::{self, Caller};
use crate::gate::Action;
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
    /// For those who oversee: the last leaf that was seen; -1 for none, so that everything comes. Without it comes what happens from now on.
    after: Option<i64>,
}

/// An event as the stream gives it.
enum Sent {}

impl PartialSchema for Sent {
    fn schema() -> RefOr<Schema> {
        let text = |what: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(what));
        let data = text("What happened, as JSON.").content_media_type("application/json");
        let event = ObjectBuilder::new().property("id", text("What to come back with.")).property("data", data);
        event.description(Some("One event of the stream.")).required("id").required("data").build().into()
    }
}

impl ToSchema for Sent {}

/// What the ledger takes in, as it takes it in: server-sent events that go on until the caller leaves.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "stream_events", tag = "events",
    params(Asked, ("last-event-id" = Option<String>, Header, description = "The `id` of the last event that was seen.")),
    responses((status = 200, description = "The events.", body = Sent, content_type = "text/event-stream"))
)]
async fn stream_events(
    State(node): State<Arc<Node>>,
    caller: Caller,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let size = node.ledger_size.subscribe();
    let cursors = cursors(&node, &caller);
    let next = match (headers.get(LAST_EVENT_ID), asked.after) {
        (Some(id), _) => read_id(&cursors, id)?,
        (None, Some(_)) if !oversees(&caller) => {
            return Err(Problem::malformed("`after` is for those who oversee; come back with `last-event-id`"));
        }
        (None, Some(seen)) => begin_after(seen)?,
        (None, None) => *size.borrow(),
    };
    let begun = Stream { node, caller: Arc::new(caller), size, next };
    let stream = stream::unfold(begun, |mut stream| async {
        let text = stream.more().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), stream))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn cursors(node: &Arc<Node>, caller: &Caller) -> Cursors {
    Cursors::of(node, caller, &["events"])
}

/// The next leaf after the event with this id.
fn read_id(cursors: &Cursors, id: &HeaderValue) -> Result<u64, Problem> {
    let place = cursors.open(id.to_str().unwrap_or_default())?;
    // What is sealed is what was written.
    let seen =
        place.try_into().map(u64::from_be_bytes).map_err(|_| Problem::malformed("`last-event-id` is of no event"))?;
    Ok(seen.saturating_add(1))
}

/// Whether the caller sees what others did.
fn oversees(caller: &Caller) -> bool {
    caller.officer.is_none() || caller.roles.contains(&Role::Auditor)
}

fn begin_after(seen: i64) -> Result<u64, Problem> {
    let next = seen.checked_add(1).and_then(|next| u64::try_from(next).ok());
    next.ok_or_else(|| Problem::malformed("`after` is the index of a leaf, or -1 for the beginning"))
}

struct Stream {
    node: Arc<Node>,
    caller: Arc<Caller>,
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
                let (node, caller) = (Arc::clone(&self.node), Arc::clone(&self.caller));
                let read = self.node.read(move |reader| read(&node, &caller, reader, from, through)).await;
                let text = read.inspect_err(|fault| tracing::warn!(%fault, "a stream of events ends")).ok()?;
                if text.is_empty() {
                    continue;
                }
                return Some(text);
            }
            tokio::select! {
                changed = self.size.changed() => changed.ok()?,
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(": still here\n\n".to_owned()),
                () = self.node.stopping() => return None,
            }
        }
    }
}

fn read(
    node: &Arc<Node>,
    caller: &Caller,
    reader: &Reader,
    from: u64,
    through: u64,
) -> Result<String, mufakat_store::Error> {
    let classes = desk::classes(node, caller, Action::List, reader)?;
    let cursors = cursors(node, caller);
    let mut text = String::new();
    for index in from..through {
        let Some(leaf) = reader.leaf(index)? else { continue };
        if !is_for(caller, &leaf, &classes, |record| reader.class_of(record))? {
            continue;
        }
        let id = RecordId(leaf.subject.0);
        let record = match leaf.what {
            // The subject is the hash of a register version.
            What::Register | What::Session => None,
            _ => reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok()),
        };
        let told = oversees(caller).then_some(index);
        write_event(&mut text, &cursors.seal(&index.to_be_bytes()), told, &leaf, record.as_ref());
    }
    Ok(text)
}

/// Whether a caller may learn of a leaf. A record that is not held has no class, and is for those who may see everything. What was
/// refused to the caller is told only of records that the caller may list: for every other it would tell that there is one.
fn is_for(
    caller: &Caller,
    leaf: &Leaf,
    classes: &[ClassNumber],
    class_of: impl FnOnce(&RecordId) -> Result<ClassNumber, mufakat_store::Error>,
) -> Result<bool, mufakat_store::Error> {
    Ok(match leaf.what {
        _ if caller.officer.is_none() => true,
        What::Register => true,
        What::Use | What::Decision | What::Session => {
            let own = |act: Act| act.officer.is_some() && act.officer == caller.officer;
            let listed = || Ok::<_, mufakat_store::Error>(classes.contains(&class_of(&RecordId(leaf.subject.0))?));
            let own = Act::from_detail(&leaf.detail).is_some_and(own);
            oversees(caller) || own && (leaf.what != What::Decision || listed()?)
        }
        _ => classes.contains(&class_of(&RecordId(leaf.subject.0))?),
    })
}

/// What one event says. Of content it says nothing.
#[derive(Serialize)]
struct Event<'a> {
    /// The index of the leaf, for those who oversee.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<u64>,
    what: &'static str,
    at_ms: u64,
    record: RecordId,
    kind: Option<&'a str>,
    author: Option<&'a str>,
    /// Why a record that came was rejected, or how one was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

fn write_event(text: &mut String, id: &str, index: Option<u64>, leaf: &Leaf, record: Option<&Verified>) {
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
    write!(text, "id: {id}\ndata: {data}\n\n").expect("writing into memory");
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
    use serde_json::{Value, json};

    use super::*;

    fn event(what: What, detail: &[u8]) -> (String, Value) {
        let leaf = Leaf::about(what, &RecordId([7; 32]), 5, detail, [1; 16]);
        let mut text = String::new();
        write_event(&mut text, "3", Some(3), &leaf, None);
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
    }

    #[test]
    fn the_id_of_an_event_is_opaque() {
        let cursors = Cursors::for_test();
        let id = |text: &str| HeaderValue::try_from(text).unwrap();
        assert_eq!(read_id(&cursors, &id(&cursors.seal(&7u64.to_be_bytes()))), Ok(8));
        for no in ["7", "x", &cursors.seal(b"7")] {
            assert!(read_id(&cursors, &id(no)).is_err(), "{no}");
        }
    }

    #[test]
    fn a_leaf_is_for_whom_its_record_is_and_an_act_for_whose_it_is() {
        let officer =
            |name: &str, role| Caller { officer: Some(name.parse().unwrap()), roles: vec![role], ..Caller::operator() };
        let (night, auditor) = (officer("d3-night", Role::Analyst), officer("d9-audit", Role::Auditor));
        let is_for = |caller: &Caller, what, detail: &[u8], class| {
            let leaf = Leaf::about(what, &RecordId([7; 32]), 5, detail, [1; 16]);
            is_for(caller, &leaf, &[2, 3], |_| Ok(class)).unwrap()
        };
        for what in [What::Authored, What::Received, What::Receipt, What::Deletion] {
            for caller in [&night, &auditor] {
                assert!(is_for(caller, what, b"", 3) && !is_for(caller, what, b"", 4), "{what:?}");
            }
            assert!(is_for(&Caller::operator(), what, b"", 4), "{what:?}");
        }
        assert!(is_for(&night, What::Register, b"", 4));
        let own = night.act(mufakat_record::How::Read, mufakat_record::Digest([0; 32])).to_detail();
        for what in [What::Use, What::Decision, What::Session] {
            let seen = |caller: &Caller| is_for(caller, what, &own, 3);
            assert!(seen(&night) && seen(&auditor) && seen(&Caller::operator()), "{what:?}");
            assert!(!seen(&officer("d4-day", Role::Analyst)), "{what:?}");
            assert!(!is_for(&night, what, b"no act", 3), "{what:?}");
            // That something was refused tells that there is something.
            assert_eq!(is_for(&night, what, &own, 4), what != What::Decision, "{what:?}");
            assert!(is_for(&auditor, what, &own, 4), "{what:?}");
        }
    }
}
