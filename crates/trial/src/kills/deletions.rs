//! Killing nodes during deletions: records are taken back, expire and are deleted by order without end, while the node that
//! deletes them is killed at random moments, and sometimes the one that wrote them.
//!
//! At the end each record is wholly there or wholly gone: its bytes, its row, its file, what search finds, and its words in any
//! file of the node. The ledger has one leaf for each deletion, and the originator one receipt.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use http::Method;
use mufakat_exchange::What;
use mufakat_record::kinds::Body as _;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::deletion_receipt::DeletionReceipt;
use mufakat_record::{RecordId, Relation, Verified, sha256};
use mufakat_store::{Page, Queries, Reader};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::pieces::{Fate, Piece, Presence, Stage, persist, tail, tails_in};
use super::{Args, CHECK_EVERY, Chance, RU, VN, ask, backlog, check_folder, founded, get, rows};
use crate::community::{Community, Node, until};

const AGENCIES: [&str; 2] = [VN, RU];
/// How many records live at once, two to each.
const WORKERS: usize = 16;
/// One kill in so many hits the node that wrote most of the records, not the one that deletes them.
const AUTHOR_KILLED: u64 = 4;
/// How long to wait for a deletion to be under way before a kill.
const SUPPLY_MAX: Duration = Duration::from_secs(30);
/// How many rows are read at once.
const ROWS_AT_ONCE: usize = 1_000;
/// More than ever refers to one record here.
const RELATED_MAX: usize = 100;

/// Runs it; gives what it came to, for programs and for people.
pub(super) fn trial(args: &Args, root: &Path) -> Result<(Value, String)> {
    let mut community = founded(root)?;
    let began = Instant::now();
    let stage = Arc::new(Stage::new(AGENCIES.map(|agency| community.node(agency).socket()), args.seed));
    let workers: Vec<JoinHandle<Result<Vec<Piece>>>> = (0..WORKERS)
        .map(|_| {
            let stage = Arc::clone(&stage);
            std::thread::spawn(move || stage.work())
        })
        .collect();
    let under_way = kill(args, &mut community, &stage)?;
    stage.end();
    let mut pieces = Vec::new();
    for worker in workers {
        // A panic in one of these threads is a defect of this program and ends it.
        pieces.extend(worker.join().expect("a thread that deletes")?);
    }
    // The last kill of each: what was left undone is done at the start.
    for agency in AGENCIES {
        community.node_mut(agency).kill()?;
        community.node_mut(agency).start()?;
    }
    let receipts = Runtime::new()?.block_on(judge(&community, &stage, &pieces))?;
    for node in &mut community.nodes {
        node.stop()?;
        check_folder(node)?;
    }
    for (number, agency) in AGENCIES.into_iter().enumerate() {
        ledger(community.node(agency), number, &pieces)?;
        words(&files(community.node(agency)), number, &pieces)?;
    }
    Ok(told(args, &pieces, under_way, receipts, began.elapsed()))
}

fn told(args: &Args, pieces: &[Piece], under_way: usize, receipts: usize, elapsed: Duration) -> (Value, String) {
    let mut fates: BTreeMap<String, usize> = BTreeMap::new();
    for piece in pieces {
        *fates.entry(format!("{:?}", piece.fate)).or_default() += 1;
    }
    let deletions = deletions(pieces);
    let words = format!(
        "{} kills: {} records {fates:?}, {deletions} deletions, {receipts} receipts; each wholly there or wholly gone, fsck clean",
        args.times,
        pieces.len()
    );
    let told = json!({
        "ok": true,
        "during": "deletions",
        "kills": args.times,
        "seed": args.seed,
        "records": pieces.len(),
        "fates": fates,
        "deletions": deletions,
        "receipts": receipts,
        "under_way_at_a_kill": under_way,
        "seconds": elapsed.as_secs_f64(),
    });
    (told, words)
}

/// How many records were deleted, at both nodes together.
fn deletions(pieces: &[Piece]) -> usize {
    pieces.iter().flat_map(|piece| piece.fate.presence()).filter(|presence| *presence == Presence::Gone).count()
}

/// Kills one of the nodes again and again, each time while a deletion is under way; gives how many were, of all kills together.
fn kill(args: &Args, community: &mut Community, stage: &Stage) -> Result<usize> {
    let mut chance = Chance::from(args.seed);
    let mut hit = 0;
    for number in 0..args.times {
        let victim = if chance.once_in(AUTHOR_KILLED) { VN } else { RU };
        let wait = chance.wait();
        std::thread::sleep(wait);
        let waiting = Instant::now();
        while stage.under_way() == 0 {
            ensure!(waiting.elapsed() < SUPPLY_MAX, "nothing is deleted any more");
            std::thread::sleep(Duration::from_millis(1));
        }
        let under_way = stage.under_way();
        hit += under_way;
        community.node_mut(victim).kill()?;
        if !args.json {
            let after = wait.as_millis();
            eprintln!("  kill {:>2} of {}: {victim} after {after} ms, {under_way} under way", number + 1, args.times);
        }
        let node = community.node(victim);
        not_torn(node).with_context(|| format!("{victim} after kill {}", number + 1))?;
        if (number + 1).is_multiple_of(CHECK_EVERY) {
            check_folder(node)?;
        }
        community.node_mut(victim).start()?;
    }
    Ok(hit)
}

fn read(node: &Node) -> Result<Reader> {
    Ok(Reader::open_to_read(&node.dir.join(mufakat_node::DATABASE))?)
}

/// How often the ledger says of each record that it was deleted.
fn deleted(reader: &Reader) -> Result<HashMap<RecordId, usize>> {
    let mut deleted = HashMap::new();
    for index in 0..reader.counts()?.leaves {
        let leaf = reader.leaf(index)?.context("a leaf is missing")?;
        if leaf.what == What::Deletion {
            *deleted.entry(RecordId(leaf.subject.0)).or_default() += 1;
        }
    }
    Ok(deleted)
}

/// Whether in the state that a kill left behind each record that came is there with its row, or gone with it, and the ledger
/// says so once.
fn not_torn(node: &Node) -> Result<()> {
    let reader = read(node)?;
    let deleted = deleted(&reader)?;
    if let Some((record, times)) = deleted.iter().find(|(_, times)| **times > 1) {
        anyhow::bail!("{record} was deleted {times} times");
    }
    let mut after: Option<Vec<u8>> = None;
    loop {
        let (view, limit) = ("inbox", ROWS_AT_ONCE);
        let page = Page { view, after: after.as_deref(), limit, facets: &[], classes: None, newest_first: false };
        let page = reader.view_page(&page)?;
        for row in &page {
            let there = reader.record_bytes(&row.record)?.is_some();
            let (shown, noted) = (row.body["state"] != "deleted", deleted.contains_key(&row.record));
            let keys: Vec<&str> = row.body.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
            ensure!(
                there == shown && there != noted,
                "{}: bytes {there}, deleted {noted}, row {}",
                row.record,
                row.body
            );
            // Of what was deleted a row says that, and when it came; nothing else.
            let blank = keys.len() == 2 && keys.contains(&"state") && keys.contains(&"received_at_ms");
            ensure!(shown != blank, "{}: its row is {}", row.record, row.body);
        }
        match page.last() {
            Some(last) => after = Some(last.key.clone()),
            None => return Ok(()),
        }
    }
}

/// Judges the running nodes; gives how many deletion receipts there are.
async fn judge(community: &Community, stage: &Stage, pieces: &[Piece]) -> Result<usize> {
    for socket in &stage.sockets {
        persist("the backlog", async || {
            let left = backlog(socket).await?;
            ensure!(left == 0, "{left} records do not get through");
            Ok(())
        })
        .await?;
    }
    for (node, socket) in stage.sockets.iter().enumerate() {
        let mut titles: HashMap<String, Vec<Value>> = HashMap::new();
        for row in rows(socket, "inbox").await? {
            titles.entry(row["record"].as_str().unwrap_or_default().to_owned()).or_default().push(row["body"].clone());
        }
        for piece in pieces {
            let shown = shown(socket, piece, piece.presence_at(node)).await;
            shown.with_context(|| format!("{} at {}: {piece:?}", piece.record, AGENCIES[node]))?;
            if node != piece.author {
                let rows = titles.remove(&piece.record.to_string()).unwrap_or_default();
                row(piece, &rows).with_context(|| format!("{rows:?} at {}: {piece:?}", AGENCIES[node]))?;
            }
        }
    }
    let mut receipts = 0;
    for (author, agency) in AGENCIES.into_iter().enumerate() {
        let reader = read(community.node(agency))?;
        for piece in pieces.iter().filter(|piece| piece.author == author) {
            let holder = AGENCIES[1 - author];
            let told = receipted(&reader, piece, holder);
            receipts += told.with_context(|| format!("{} at {agency}: {piece:?}", piece.record))?;
        }
    }
    for (node, agency) in AGENCIES.into_iter().enumerate() {
        // Files follow at the next sweep, and the index is written anew within seconds.
        let dir = &community.node(agency).dir;
        until("the files of chunks", || chunks(dir, node, pieces))?;
        let index = ["", "-wal"].map(|end| dir.join(format!("{}{end}", mufakat_node::SEARCH)));
        until("the index to be written anew", || words(&index, node, pieces))?;
    }
    Ok(receipts)
}

/// Whether a node shows all of a record, or nothing of it.
async fn shown(socket: &Path, piece: &Piece, presence: Presence) -> Result<()> {
    let path = format!("/api/v1/records/{}", piece.record);
    let fetch = async |path: String| ask(socket, Method::GET, &path, Body::empty()).await;
    let (status, shown) = fetch(path.clone()).await?;
    let shown: Value = serde_json::from_slice(&shown)?;
    let (raw, bytes) = fetch(format!("{path}/raw")).await?;
    let (content, file) = fetch(format!("/api/v1/records/{}/content", piece.attachment)).await?;
    let search = format!("/api/v1/search?q={}", piece.word);
    let found = persist("the search index", async || {
        let found = get(socket, &search).await?;
        ensure!(found["complete"] == true, "it is behind");
        Ok(found["hits"].clone())
    });
    let hits = found.await?.as_array().map_or(0, Vec::len);
    let title = shown["body"]["title"].as_str().unwrap_or_default().to_owned();
    match presence {
        Presence::Whole => {
            ensure!(status.is_success() && title.ends_with(&piece.word), "it is shown as {shown}");
            ensure!(raw.is_success() && sha256(&bytes) == piece.record.0, "its bytes: {raw}");
            ensure!(content.is_success() && file == piece.file().into_bytes(), "its file: {content}");
            ensure!(hits == 1, "{hits} hits");
        }
        Presence::Gone => {
            ensure!(shown["state"] == "deleted" && shown["body"].is_null(), "it is shown as {shown}");
            ensure!((raw.as_u16(), content.as_u16(), hits) == (410, 410, 0), "{raw}, {content}, {hits} hits");
        }
        Presence::Never => {
            let all = (status.as_u16(), raw.as_u16(), hits);
            ensure!(all == (404, 404, 0), "{all:?}");
        }
    }
    Ok(())
}

/// Whether the holder's inbox has one row of it, with its title or without.
fn row(piece: &Piece, rows: &[Value]) -> Result<()> {
    let titled = |row: &Value| row["title"].as_str().is_some_and(|title| title.ends_with(&piece.word));
    let is_so = match (piece.fate.presence()[1], rows) {
        (Presence::Whole, [row]) => row["state"] != "deleted" && titled(row),
        (Presence::Gone, [row]) => row["state"] == "deleted" && !row.to_string().contains(tail(&piece.word)),
        (Presence::Never, []) => true,
        _ => false,
    };
    ensure!(is_so, "its rows are not as they must be");
    Ok(())
}

/// Whether the author has one deletion receipt for what its holder deleted, and one answer to its retraction; gives how many
/// receipts.
fn receipted(reader: &Reader, piece: &Piece, holder: &str) -> Result<usize> {
    let mut receipts = 0;
    let mut retractions = Vec::new();
    for by in reader.related(&piece.record, RELATED_MAX)? {
        if by.kind == DeletionReceipt::KIND {
            ensure!(by.author.as_str() == holder, "a receipt of {}", by.author);
            receipts += 1;
        }
        if by.relation == Relation::Retracts {
            retractions.push(RecordId(by.leaf.subject.0));
        }
    }
    let due = usize::from(piece.fate.presence()[1] == Presence::Gone);
    ensure!(receipts == due, "{receipts} receipts where {due} are due");
    ensure!(retractions.len() == usize::from(piece.fate == Fate::TakenBack), "{} retractions", retractions.len());
    for retraction in retractions {
        let mut answers = Vec::new();
        let related = reader.related(&retraction, RELATED_MAX)?.into_iter();
        for by in related.filter(|by| by.relation == Relation::Answers) {
            let bytes = reader.record_bytes(&RecordId(by.leaf.subject.0))?.context("an answer without content")?;
            let answer = Verified::from_own_store(bytes)?;
            answers.push(Answer::from_body(answer.header(), answer.body())?.action);
        }
        ensure!(answers == [Action::Deleted], "the answers are {answers:?}");
    }
    Ok(receipts)
}

/// Whether the chunks of what is there are files, and those of what is gone are none.
fn chunks(dir: &Path, node: usize, pieces: &[Piece]) -> Result<()> {
    let mut needed: HashMap<String, bool> = HashMap::new();
    for piece in pieces {
        for chunk in &piece.chunks {
            *needed.entry(chunk.to_string()).or_default() |= piece.presence_at(node) == Presence::Whole;
        }
    }
    for (name, needed) in needed {
        let there = dir.join("chunks").join(&name[..2]).join(&name).exists();
        ensure!(there == needed, "chunk {name} at {}: needed {needed}, there {there}", AGENCIES[node]);
    }
    Ok(())
}

/// Whether the ledger has one leaf for each record and attachment that is gone, and none for others.
fn ledger(node: &Node, number: usize, pieces: &[Piece]) -> Result<()> {
    let deleted = deleted(&read(node)?)?;
    let due: HashSet<RecordId> = pieces
        .iter()
        .filter(|piece| piece.presence_at(number) == Presence::Gone)
        .flat_map(|piece| [piece.record, piece.attachment])
        .collect();
    let once: HashSet<RecordId> = deleted.iter().filter(|(_, times)| **times == 1).map(|(id, _)| *id).collect();
    ensure!(once == due && deleted.len() == once.len(), "{}: the leaves are {deleted:?}", node.agency.id);
    Ok(())
}

/// Everything that a node writes: its folder and its log.
fn files(node: &Node) -> [PathBuf; 2] {
    [node.dir.clone(), node.log_file()]
}

/// Whether the words of what is there stand in these files, and those of what is gone in none.
fn words(files: &[PathBuf], node: usize, pieces: &[Piece]) -> Result<()> {
    let mut found = HashMap::new();
    for path in files.iter().filter(|path| path.exists()) {
        tails_in(path, &mut found)?;
    }
    let whole = |piece: &&Piece| piece.presence_at(node) == Presence::Whole;
    let there: HashSet<&str> =
        pieces.iter().filter(whole).flat_map(|p| [&p.word, &p.file_word]).map(|w| tail(w)).collect();
    for tail in &there {
        ensure!(found.contains_key(*tail), "{tail} is nowhere at {} and is of a record that is there", AGENCIES[node]);
    }
    let stray = found.iter().find(|(tail, _)| !there.contains(tail.as_str()));
    ensure!(stray.is_none(), "{stray:?} at {} is of no record that is there", AGENCIES[node]);
    Ok(())
}
