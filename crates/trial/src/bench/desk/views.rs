//! Views of a long history: folding them again, pages of their rows, and events about new ones.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use http::Method;
use mufakat_node::net::local_client;
use mufakat_record::Verified;
use mufakat_store::{Queries, Store};
use serde_json::Value;

use super::super::{Figures, Size, load, percentile};
use super::filled::{Filled, PARTNER};
use super::search;

/// How many pages are asked for.
const PAGES: usize = 3_000;
/// How many events are waited for, and how far apart their causes are.
const EVENTS: usize = 500;
const EVENT_GAP: Duration = Duration::from_millis(10);
/// How long all of them may take.
const EVENTS_MAX: Duration = Duration::from_secs(60);
/// The questions of which pages are asked: each view, with and without facets, from both ends.
const QUESTIONS: [&str; 6] = [
    "inbox?limit=50",
    "inbox?limit=50&order=oldest",
    "inbox?limit=50&facet=kind:report",
    "inbox?limit=50&facet=kind:report&facet=author:ru-police",
    "track?limit=50",
    "refused?limit=50",
];

/// Measures on a store that is filled for it.
pub(crate) fn measure(figures: &Figures, size: Size) -> Result<()> {
    let names = ["views.rebuild", "desk.page", "desk.event", "machine.read", "machine.get", "desk.search", "search."];
    if !figures.wants(&names) {
        return Ok(());
    }
    figures.say(&format!("a store of {} records is filled", size.large));
    let mut filled = Filled::with(size.large)?;
    if figures.wants(&["views.rebuild", "machine.read"]) {
        rebuild(figures, &filled)?;
    }
    if figures.wants(&["desk.page", "desk.event", "machine.get", "desk.search", "search."]) {
        let records = filled.records;
        filled.node().start()?;
        let socket = filled.node().socket();
        let runtime = tokio::runtime::Runtime::new()?;
        // The others are measured once nothing is left to be listed.
        runtime.block_on(search::measure(figures, &socket, records))?;
        runtime.block_on(pages(figures, &socket))?;
        runtime.block_on(events(figures, &socket))?;
        filled.node().stop()?;
    }
    Ok(())
}

/// Folds all views again, beside reading every record and folding nothing.
fn rebuild(figures: &Figures, filled: &Filled) -> Result<()> {
    figures.say("all views are folded again");
    let mut store = filled.store()?;
    let leaves = store.counts()?.leaves;
    let started = Instant::now();
    for index in 0..leaves {
        let leaf = store.leaf(index)?.context("a leaf is missing")?;
        if let Some(bytes) = store.record_bytes(&mufakat_record::RecordId(leaf.subject.0))? {
            black_box(Verified::from_own_store(bytes).is_ok());
        }
    }
    figures.put("machine.read_records_per_s", filled.records as f64 / started.elapsed().as_secs_f64(), "records/s");
    let started = Instant::now();
    store.rebuild_views()?;
    figures.put("views.rebuild_records_per_s", filled.records as f64 / started.elapsed().as_secs_f64(), "records/s");
    Ok(())
}

/// Pages of 50 rows from anywhere in the history, beside an answer that reads nothing.
async fn pages(figures: &Figures, socket: &Path) -> Result<()> {
    figures.say("pages of 50 rows");
    let (mut nothing, mut taken) = (Vec::with_capacity(PAGES), Vec::with_capacity(PAGES));
    let mut after: HashMap<&str, String> = HashMap::new();
    for number in 0..PAGES {
        let started = Instant::now();
        load::get(socket, "/api/v1/keys").await?;
        nothing.push(started.elapsed().as_secs_f64() * 1e3);
        let question = QUESTIONS[number % QUESTIONS.len()];
        let go_on = after.get(question).map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let started = Instant::now();
        let page = load::get(socket, &format!("/api/v1/views/{question}{go_on}")).await?;
        taken.push(started.elapsed().as_secs_f64() * 1e3);
        match page["next"].as_str() {
            Some(next) => after.insert(question, next.to_owned()),
            None => after.remove(question),
        };
    }
    figures.put("machine.get_ms_p99", percentile(&mut nothing, 0.99), "ms");
    figures.put("desk.page_ms_p50", percentile(&mut taken, 0.5), "ms");
    figures.put("desk.page_ms_p99", percentile(&mut taken, 0.99), "ms");
    Ok(())
}

/// From handing a report in to its event at an open stream.
async fn events(figures: &Figures, socket: &Path) -> Result<()> {
    figures.say("events at an open stream");
    let mut stream = local_client::request(socket, Method::GET, "/api/v1/events", None, Body::empty()).await?;
    ensure!(stream.status.is_success(), "the stream of events answers {}", stream.status);
    let seen = tokio::spawn(async move {
        let mut seen: HashMap<String, Instant> = HashMap::new();
        while seen.len() < EVENTS {
            let line = stream.line(64 * 1024).await?.context("the stream ended")?;
            let now = Instant::now();
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let event: Value = serde_json::from_slice(data)?;
            if event["what"] == "authored" && event["kind"] == "report" {
                seen.insert(event["record"].as_str().context("no record")?.to_owned(), now);
            }
        }
        anyhow::Ok(seen)
    });
    let mut shared = Vec::with_capacity(EVENTS);
    for number in 0..EVENTS {
        let started = Instant::now();
        shared.push((load::share_one(socket, number, &[PARTNER]).await?, started));
        tokio::time::sleep(EVENT_GAP).await;
    }
    let seen = tokio::time::timeout(EVENTS_MAX, seen).await.context("not all events came")???;
    let mut taken = Vec::with_capacity(EVENTS);
    for (id, started) in shared {
        let at = seen.get(&id).context("an event did not come")?;
        taken.push(at.saturating_duration_since(started).as_secs_f64() * 1e3);
    }
    figures.put("desk.event_ms_p50", percentile(&mut taken, 0.5), "ms");
    figures.put("desk.event_ms_p99", percentile(&mut taken, 0.99), "ms");
    Ok(())
}
