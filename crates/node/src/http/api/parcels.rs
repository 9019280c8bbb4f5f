//! Parcels in a file, for a gap of air: the same parcels that the network carries, the chunks of attachments, and receipts.
//!
//! The file begins with the line `mufakat parcels 1`. Then come frames, each of one byte that says what it is (1: a parcel, 2:
//! a sealed chunk of an attachment), four bytes for the length, big-endian, and as many bytes. A chunk stands before the
//! parcel with the attachment that lists it. Nothing in the file can be read by anyone but the recipient.
//!
//! Receipts for what came in a file are owed to its sender. They go out over the network if there is one, and otherwise into
//! the next file. What is owed is not kept over a restart: a sender without a receipt exports again, and the import gives the
//! receipt again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, BufMut, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::{Method, header};
use mufakat_record::attachment::{CHUNK_BYTES, CHUNK_OVERHEAD};
use mufakat_record::kinds::Body as _;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::parcel::PARCEL_BYTES_MAX;
use mufakat_record::{AgencyId, Digest, RecordId, Verified};
use mufakat_store::{Queries, Queued};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::Octets;
use super::problem::{Json, Problem};
use crate::chunks;
use crate::delivery::receive::{Taken, Untaken};
use crate::delivery::{Undelivered, Via, call, sealed_for, take_parcel};
use crate::node::Node;
use crate::writer::Fault;

/// What the file begins with.
const HEAD: &[u8] = b"mufakat parcels 1\n";
/// A frame's kind and length, in bytes.
const FRAME_HEAD_BYTES: usize = 5;
/// The largest frame.
const FRAME_BYTES_MAX: usize =
    if PARCEL_BYTES_MAX > CHUNK_BYTES + CHUNK_OVERHEAD { PARCEL_BYTES_MAX } else { CHUNK_BYTES + CHUNK_OVERHEAD };
/// How many receipts may be owed to one agency; beyond that the oldest are left to be asked for again.
const OWED_MAX: usize = 65_536;
/// How many receipts go into one parcel.
const RECEIPTS_MAX: usize = 16;
/// How many rejected records one answer lists.
const REJECTED_LISTED_MAX: usize = 10_000;
/// How long an import waits when the writer has too much to do, before it tries again.
const RETRY_WAIT: Duration = Duration::from_millis(50);

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    let import = OpenApiRouter::new().routes(routes!(import_parcels)).layer(DefaultBodyLimit::disable());
    OpenApiRouter::new().routes(routes!(export_parcels)).merge(import).layer(Extension(Owed::default()))
}

/// Receipts by the agencies that they are owed to, oldest first.
type Owed = Arc<Mutex<BTreeMap<AgencyId, VecDeque<RecordId>>>>;

/// Where files of parcels go out and come in.
struct Desk {
    node: Arc<Node>,
    owed: Owed,
}

impl Desk {
    fn owe(&self, to: &AgencyId, receipt: RecordId) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = owed.entry(to.clone()).or_default();
        queue.push_back(receipt);
        if queue.len() > OWED_MAX {
            queue.pop_front();
        }
    }

    /// The oldest receipts that are owed. They stay so until they are [settled](Self::settle).
    fn owed(&self, to: &AgencyId) -> Vec<RecordId> {
        let owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.get(to).map(|queue| queue.iter().take(RECEIPTS_MAX).copied().collect()).unwrap_or_default()
    }

    fn settle(&self, to: &AgencyId, given: &[RecordId]) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = owed.get_mut(to) {
            queue.retain(|receipt| !given.contains(receipt));
        }
    }

    /// The oldest owed receipts as a parcel; nothing when none are owed.
    async fn receipts(&self, to: &AgencyId) -> Result<Option<(Vec<RecordId>, Vec<u8>)>, Undelivered> {
        let ids = self.owed(to);
        if ids.is_empty() {
            return Ok(None);
        }
        let wanted = ids.clone();
        let read = self.node.read(move |reader| {
            let bytes = |id: &RecordId| Ok(reader.record_bytes(id)?.map(|bytes| (*id, bytes)));
            wanted.iter().filter_map(|id| bytes(id).transpose()).collect::<Result<Vec<_>, _>>()
        });
        let held = read.await?;
        let records: Vec<(RecordId, &[u8])> = held.iter().map(|(id, bytes)| (*id, bytes.as_slice())).collect();
        // First 0: receipts have no positions.
        Ok(Some((ids, sealed_for(&self.node, to, 0, 0, &records)?)))
    }
}

/// For whom a file of parcels is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ParcelsTo)]
struct Asked {
    to: AgencyId,
}

/// A file with the sealed parcels of everything that an agency has not settled, and the receipts owed to it.
#[utoipa::path(
    post, path = "/api/v1/parcels/export", operation_id = "export_parcels", tag = "parcels", request_body = Asked,
    responses((status = 200, description = "The file.", body = Octets, content_type = "application/octet-stream"))
)]
async fn export_parcels(
    State(node): State<Arc<Node>>,
    Extension(owed): Extension<Owed>,
    Json(asked): Json<Asked>,
) -> Result<Response, Problem> {
    let desk = Arc::new(Desk { node, owed });
    if asked.to == desk.node.me || desk.node.directory().chain().member(&asked.to).is_none() {
        return Err(Problem::refused("unknown-recipient", format!("{} is not a partner", asked.to)));
    }
    let mut export = Export { desk, to: asked.to, next: 1, step: Step::Receipts };
    // The first piece comes before the answer begins, so that what is wrong from the start is told as a problem.
    let mut first = BytesMut::from(HEAD);
    export.piece(&mut first).await.map_err(problem_of)?;
    let rest = stream::try_unfold(export, |mut export| async {
        let mut piece = BytesMut::new();
        export.piece(&mut piece).await.map_err(io::Error::other)?;
        Ok::<_, io::Error>((!piece.is_empty()).then(|| (piece.freeze(), export)))
    });
    let file = stream::iter([Ok(first.freeze())]).chain(rest);
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(file)).into_response())
}

fn problem_of(error: Undelivered) -> Problem {
    match error {
        Undelivered::Fault(fault) => fault.into(),
        Undelivered::Unknown(_) => Problem::conflict("no-sealing-key", "no sealing key of this agency is known yet"),
        other => Problem::conflict("not-exported", other.to_string()),
    }
}

/// What an export does next.
enum Step {
    Receipts,
    Load,
    /// Chunks that go before a parcel, and that parcel.
    Chunks(VecDeque<Digest>, Vec<u8>),
}

struct Export {
    desk: Arc<Desk>,
    to: AgencyId,
    /// The position on the channel from which to go on.
    next: u64,
    step: Step,
}

impl Export {
    /// Adds the next frames; none at the end.
    async fn piece(&mut self, out: &mut BytesMut) -> Result<(), Undelivered> {
        loop {
            match &mut self.step {
                Step::Receipts => match self.desk.receipts(&self.to).await? {
                    Some((receipts, parcel)) => {
                        put_frame(out, Kind::Parcel, &parcel);
                        self.desk.settle(&self.to, &receipts);
                        return Ok(());
                    }
                    None => self.step = Step::Load,
                },
                Step::Load => match self.load().await? {
                    Some(step) => self.step = step,
                    None => return Ok(()),
                },
                Step::Chunks(names, parcel) => match names.pop_front() {
                    Some(name) => {
                        // One that is missing here is fetched, or comes another time; the records must not wait for it.
                        if let Some(chunk) = chunks::read_for(&self.desk.node, &self.to, name).await? {
                            put_frame(out, Kind::Chunk, &chunk);
                            return Ok(());
                        }
                    }
                    None => {
                        put_frame(out, Kind::Parcel, parcel);
                        self.step = Step::Load;
                        return Ok(());
                    }
                },
            }
        }
    }

    /// The next parcel of what the recipient has not settled, with the chunks that go before it.
    async fn load(&mut self) -> Result<Option<Step>, Undelivered> {
        let node = &self.desk.node;
        let (to, delivery, from) = (self.to.clone(), node.config.delivery.clone(), self.next);
        let load = node.writer.call(move |core| {
            let Some(channel) = core.exchange.outbound(&to) else { return Ok((Vec::new(), 0)) };
            let first = from.max(channel.settled_through() + 1);
            Ok((core.store.outbox(&to, first, delivery.count_max, delivery.bytes_max)?, core.exchange.epoch()))
        });
        let (load, epoch) = load.await?;
        let (Some(first), Some(last)) = (load.first(), load.last()) else { return Ok(None) };
        self.next = last.position + 1;
        let records: Vec<(RecordId, &[u8])> = load.iter().map(|q| (q.record, q.bytes.as_slice())).collect();
        let parcel = sealed_for(node, &self.to, epoch, first.position, &records)?;
        Ok(Some(Step::Chunks(chunks_of(&load), parcel)))
    }
}

/// The chunks of all attachments in a load.
fn chunks_of(load: &[Queued]) -> VecDeque<Digest> {
    let attachment = |queued: &Queued| {
        // Records in the outbox are our own.
        let record = Verified::from_own_store(queued.bytes.clone()).ok()?;
        Attachment::from_body(record.header(), record.body()).ok()
    };
    load.iter().filter_map(attachment).flat_map(|a| a.chunk_names().collect::<Vec<_>>()).collect()
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parcel = 1,
    Chunk = 2,
}

fn put_frame(out: &mut BytesMut, kind: Kind, bytes: &[u8]) {
    out.reserve(FRAME_HEAD_BYTES + bytes.len());
    out.put_u8(kind as u8);
    // A frame is far below 4 GiB.
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

/// Reads frames from a stream of bytes.
struct Frames<S> {
    bytes: S,
    buffer: BytesMut,
    left: u64,
}

impl<E, S: Stream<Item = Result<Bytes, E>> + Unpin> Frames<S> {
    /// Begins with a file of at most so many bytes.
    async fn begin(bytes: S, bytes_max: u64) -> Result<Self, Problem> {
        let mut frames = Self { bytes, buffer: BytesMut::new(), left: bytes_max };
        let is_ours = frames.fill(HEAD.len()).await? && frames.buffer.starts_with(HEAD);
        if !is_ours {
            return Err(Problem::malformed("this is no file of parcels"));
        }
        frames.buffer.advance(HEAD.len());
        Ok(frames)
    }

    /// The next frame; nothing at the end of the file.
    async fn next(&mut self) -> Result<Option<(Kind, Bytes)>, Problem> {
        if !self.fill(FRAME_HEAD_BYTES).await? {
            return if self.buffer.is_empty() { Ok(None) } else { Err(cut_off()) };
        }
        let kind = match self.buffer.get_u8() {
            1 => Kind::Parcel,
            2 => Kind::Chunk,
            _ => return Err(Problem::malformed("a frame of the file is of no known kind")),
        };
        let length = self.buffer.get_u32() as usize;
        if length > FRAME_BYTES_MAX {
            return Err(Problem::oversize("a frame of the file is larger than any parcel"));
        }
        if !self.fill(length).await? {
            return Err(cut_off());
        }
        Ok(Some((kind, self.buffer.split_to(length).freeze())))
    }

    /// Reads until so many bytes are there; false when the file ends before that.
    async fn fill(&mut self, wanted: usize) -> Result<bool, Problem> {
        while self.buffer.len() < wanted {
            let Some(chunk) = self.bytes.next().await else { return Ok(false) };
            let chunk = chunk.map_err(|_| cut_off())?;
            let left = self.left.checked_sub(chunk.len() as u64);
            self.left = left.ok_or_else(|| Problem::oversize("the file is larger than this node takes"))?;
            self.buffer.extend_from_slice(&chunk);
        }
        Ok(true)
    }
}

fn cut_off() -> Problem {
    Problem::new(http::StatusCode::BAD_REQUEST, "truncated", "the file ends before it is complete")
}

/// What came of an import. What it took before something went wrong is taken; importing again does no harm.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Imported {
    accepted: u64,
    rejected: Vec<Rejected>,
    /// Rejected and not listed.
    rejected_more: u64,
    receipts_taken: usize,
    chunks_taken: u64,
}

/// A record, or a whole parcel, that was rejected.
#[derive(Debug, Serialize, ToSchema)]
struct Rejected {
    /// Absent for a whole parcel.
    record: Option<RecordId>,
    reason: String,
}

impl Imported {
    fn reject(&mut self, record: Option<RecordId>, reason: &str) {
        if self.rejected.len() < REJECTED_LISTED_MAX {
            self.rejected.push(Rejected { record, reason: reason.to_owned() });
        } else {
            self.rejected_more += 1;
        }
    }

    fn receipt(&mut self, receipt: &Receipt) {
        for entry in &receipt.entries {
            match &entry.rejected {
                None => self.accepted += 1,
                Some(reason) => self.reject(Some(entry.record), reason),
            }
        }
    }
}

/// Takes a file of parcels in.
#[utoipa::path(
    post, path = "/api/v1/parcels/import", operation_id = "import_parcels", tag = "parcels",
    request_body(content = Octets, content_type = "application/octet-stream"),
    responses((status = 200, description = "What came of it.", body = Imported))
)]
async fn import_parcels(
    State(node): State<Arc<Node>>,
    Extension(owed): Extension<Owed>,
    file: Body,
) -> Result<axum::Json<Imported>, Problem> {
    let desk = Arc::new(Desk { node, owed });
    let mut frames = Frames::begin(file.into_data_stream(), desk.node.config.limits.api_import_bytes_max).await?;
    let (mut imported, mut senders) = (Imported::default(), BTreeSet::new());
    let outcome = loop {
        match frames.next().await {
            Ok(Some((kind, bytes))) => {
                if let Err(fault) = take(&desk, kind, bytes, &mut imported, &mut senders).await {
                    break Err(fault.into());
                }
            }
            Ok(None) => break Ok(imported),
            Err(problem) => break Err(problem),
        }
    };
    for sender in senders {
        tokio::spawn(give_back(Arc::clone(&desk), sender));
    }
    outcome.map(axum::Json)
}

/// Takes one frame in, however long the writer lets it wait.
async fn take(
    desk: &Desk,
    kind: Kind,
    bytes: Bytes,
    imported: &mut Imported,
    senders: &mut BTreeSet<AgencyId>,
) -> Result<(), Fault> {
    loop {
        let taken = match kind {
            Kind::Parcel => take_one(desk, &bytes, imported, senders).await,
            // Kept as if somebody had left it here for us; the attachment that lists it makes it ours.
            Kind::Chunk => chunks::keep_for(&desk.node, Digest::of(&bytes), desk.node.me.clone(), bytes.clone()).await,
        };
        match taken {
            Err(Fault::Overloaded) => tokio::time::sleep(RETRY_WAIT).await,
            Err(fault) => return Err(fault),
            Ok(()) => {
                imported.chunks_taken += u64::from(kind == Kind::Chunk);
                return Ok(());
            }
        }
    }
}

async fn take_one(
    desk: &Desk,
    bytes: &[u8],
    imported: &mut Imported,
    senders: &mut BTreeSet<AgencyId>,
) -> Result<(), Fault> {
    match take_parcel(&desk.node, bytes, Via::Carried).await {
        Ok(Taken::Receipts(taken)) => imported.receipts_taken += taken,
        Ok(Taken::Records { sender, receipt }) => {
            // The node has just made it.
            if let Ok(body) = Receipt::from_body(receipt.header(), receipt.body()) {
                imported.receipt(&body);
            }
            desk.owe(&sender, receipt.id());
            senders.insert(sender);
        }
        Err(Untaken::Refused { reason, .. }) => {
            desk.node.metrics.rejected(reason);
            imported.reject(None, reason.name());
        }
        Err(Untaken::Fault(fault)) => return Err(fault),
    }
    Ok(())
}

/// Sends what is owed over the network, until it is all sent or there is no way. Then the next export has it.
async fn give_back(desk: Arc<Desk>, to: AgencyId) {
    while !desk.node.is_stopping() {
        match desk.receipts(&to).await {
            Ok(None) => return,
            Ok(Some((receipts, parcel))) => {
                if !send(&desk.node, &to, parcel.into()).await {
                    tracing::info!(partner = %to, "receipts find no way now; the next export has them");
                    return;
                }
                desk.settle(&to, &receipts);
            }
            Err(error) => {
                tracing::info!(partner = %to, %error, "receipts could not be sealed now; the next export has them");
                return;
            }
        }
    }
}

/// Brings a parcel to its recipient, or to a relay.
async fn send(node: &Node, to: &AgencyId, parcel: Bytes) -> bool {
    if let Some(peer) = node.peer(to)
        && call(node, &peer, Method::POST, "/peer/v1/parcel", parcel.clone()).await.is_ok()
    {
        return true;
    }
    for relay in node.relays(to) {
        let Some(peer) = node.peer(&relay) else { continue };
        if call(node, &peer, Method::POST, "/peer/v1/relay", parcel.clone()).await.is_ok() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn read(file: &[u8], chunk: usize, bytes_max: u64) -> Result<Vec<(Kind, Bytes)>, &'static str> {
        let chunks: Vec<_> = file.chunks(chunk).map(|c| Ok::<_, Infallible>(Bytes::copy_from_slice(c))).collect();
        let read = async {
            let mut frames = Frames::begin(stream::iter(chunks), bytes_max).await?;
            let mut found = Vec::new();
            while let Some(frame) = frames.next().await? {
                found.push(frame);
            }
            Ok(found)
        };
        read.await.map_err(|problem: Problem| problem.reason())
    }

    fn file() -> BytesMut {
        let mut file = BytesMut::from(HEAD);
        put_frame(&mut file, Kind::Chunk, b"chunk");
        put_frame(&mut file, Kind::Parcel, b"");
        put_frame(&mut file, Kind::Parcel, b"parcel");
        file
    }

    #[tokio::test]
    async fn frames_are_read_wherever_the_chunks_end() {
        let file = file();
        let expect = vec![
            (Kind::Chunk, Bytes::from_static(b"chunk")),
            (Kind::Parcel, Bytes::new()),
            (Kind::Parcel, Bytes::from_static(b"parcel")),
        ];
        for chunk in 1..=file.len() {
            assert_eq!(read(&file, chunk, 1000).await, Ok(expect.clone()), "chunks of {chunk}");
        }
        assert_eq!(read(HEAD, 3, 1000).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn what_is_no_file_of_parcels_is_refused() {
        let file = file();
        // Cut anywhere but between frames, it is noticed.
        let ends = [HEAD.len(), HEAD.len() + 10, HEAD.len() + 15, file.len()];
        for end in 0..=file.len() {
            let expect = match end {
                end if end < HEAD.len() => Some("malformed"),
                end if ends.contains(&end) => None,
                _ => Some("truncated"),
            };
            assert_eq!(read(&file[..end], 4, 1000).await.err(), expect, "cut at {end}");
        }
        let with = |kind: u8, length: u32| [HEAD, &[kind], &length.to_be_bytes(), b"x"].concat();
        assert_eq!(read(&with(3, 1), 4, 1000).await, Err("malformed"));
        assert_eq!(read(&with(1, FRAME_BYTES_MAX as u32 + 1), 4, 1000).await, Err("oversize"));
        assert_eq!(read(&with(1, 2), 4, 1000).await, Err("truncated"));
        assert_eq!(read(&file, 4, file.len() as u64 - 1).await, Err("oversize"));
        assert_eq!(read(b"mufakat parcels 2\n", 4, 1000).await, Err("malformed"));
    }

    #[test]
    fn an_import_tells_what_was_rejected() {
        let entry = |number: u8, rejected: Option<&str>| mufakat_record::kinds::receipt::Entry {
            position: u64::from(number),
            record: RecordId([number; 32]),
            rejected: rejected.map(str::to_owned),
            at_ms: 0,
            index: 0,
            salt: [0; 16],
        };
        let entries = vec![entry(1, None), entry(2, Some("expired")), entry(3, None)];
        let mut imported = Imported::default();
        imported.receipt(&Receipt { epoch: 1, ledger: "mufakat/vn-police/1".into(), entries });
        imported.reject(None, "gap");
        let shown = serde_json::to_value(&imported).unwrap();
        assert_eq!(shown["accepted"], 2);
        let expect = serde_json::json!([
            { "record": RecordId([2; 32]), "reason": "expired" },
            { "record": null, "reason": "gap" },
        ]);
        assert_eq!(shown["rejected"], expect);
        for _ in 0..REJECTED_LISTED_MAX {
            imported.reject(None, "gap");
        }
        assert_eq!((imported.rejected.len(), imported.rejected_more), (REJECTED_LISTED_MAX, 2));
    }
}
