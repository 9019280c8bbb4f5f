//! Records between nodes: steady flow, latency, many recipients, a backlog, and what it costs in bytes and memory.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use http::Method;
use mufakat_node::net::local_client;

use super::{Figures, Size, crypto, load, percentile};
use crate::community::{Agency, Community, Node, binary, free_port};
use crate::tap::Tap;

/// How long any flow may take.
const FLOW_MAX: Duration = Duration::from_secs(240);
/// How long a node rests before its idle memory is read.
const REST: Duration = Duration::from_secs(3);
/// How many records cross the tapped wire.
const TAPPED: usize = 4_000;

const SENDER: &str = "vn-police";
const RECIPIENT: &str = "ru-police";

fn agency(id: &'static str) -> Agency {
    Agency { id, party: id, name: "EXERCISE agency", party_name: "EXERCISE party", relay: false }
}

/// Measures all of it.
pub(crate) fn measure(figures: &Figures, size: Size) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let binary = binary()?;
    let two =
        ["exchange.records", "exchange.of_limit", "exchange.latency", "exchange.backlog", "exchange.wire", "node.idle"];
    if figures.wants(&two) {
        let root = tempfile::tempdir()?;
        let mut community = two_nodes(&binary, root.path(), None)?;
        figures.say("two nodes at rest");
        std::thread::sleep(REST);
        figures.put("node.idle_rss_mb", community.node(SENDER).resident_bytes()? as f64 / 1e6, "MB");
        figures.say(&format!("{} records of 2 KiB from one node to another", size.steady));
        // The speed of a shared machine changes within seconds: the limit is taken on both sides of the flow.
        let before_s = crypto::record_s()?;
        let used = |name: &str| community.node(name).processor_s();
        let before = (used(SENDER)?, used(RECIPIENT)?);
        let rate = runtime.block_on(steady(community.node(SENDER), &[RECIPIENT], size.steady))?;
        let bare_s = (before_s + crypto::record_s()?) / 2.0;
        figures.put("exchange.records_per_s", rate, "records/s");
        let each_us = 1e6 / size.steady as f64;
        figures.put("exchange.sender_cpu_us", (used(SENDER)? - before.0) * each_us, "us a record");
        figures.put("exchange.recipient_cpu_us", (used(RECIPIENT)? - before.1) * each_us, "us a record");
        let cores = std::thread::available_parallelism()?.get() as f64;
        figures.put("exchange.of_limit", rate * bare_s / cores, "of the bare cryptography");
        figures.say(&format!("100 records a second for {} s", size.paced_s));
        let mut latencies = runtime.block_on(paced(&community, size.paced_s))?;
        figures.put("exchange.latency_ms_p50", percentile(&mut latencies, 0.5), "ms");
        figures.put("exchange.latency_ms_p99", percentile(&mut latencies, 0.99), "ms");
        figures.say(&format!("a backlog of {} records", size.backlog));
        let (rate, resident) = backlog(&runtime, &mut community, size.backlog)?;
        figures.put("exchange.backlog_records_per_s", rate, "records/s");
        figures.put("exchange.backlog_rss_mb", resident as f64 / 1e6, "MB");
        drop(community);
        figures.say("bytes on the wire, TLS and HTTP included");
        figures.put("exchange.wire_bytes_per_record", wire_bytes(&runtime, &binary)?, "bytes");
    }
    if figures.wants(&["exchange.fanout"]) {
        figures.say(&format!("{} records to ten recipients", size.fanout));
        figures.put("exchange.fanout_deliveries_per_s", fanout(&runtime, &binary, size.fanout)?, "deliveries/s");
    }
    Ok(())
}

fn two_nodes(binary: &Path, root: &Path, tapped: Option<u16>) -> Result<Community> {
    let mut nodes = Vec::new();
    for (id, tapped) in [(SENDER, None), (RECIPIENT, tapped)] {
        let mut node = Node::init(binary, root, agency(id), tapped)?;
        node.set("MUFAKAT_LOG__LEVEL", "warn");
        node.start()?;
        nodes.push(node);
    }
    let community = Community { nodes, root: root.to_owned() };
    community.found(&community.nodes.iter().collect::<Vec<_>>(), 60)?;
    Ok(community)
}

/// Records a second from the first line handed in to the last receipt at the sender.
async fn steady(sender: &Node, to: &[&str], count: usize) -> Result<f64> {
    let socket = sender.socket();
    // The first exchange of keys and connections is not part of the flow.
    load::submit(&socket, load::lines(64, to), 64).await?;
    drained(&socket).await?;
    let blocks = load::lines(count, to);
    let started = Instant::now();
    load::submit(&socket, blocks, count).await?;
    drained(&socket).await?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Waits until every record has its receipt.
async fn drained(socket: &Path) -> Result<()> {
    let started = Instant::now();
    while load::backlog(socket).await? > 0 {
        ensure!(started.elapsed() < FLOW_MAX, "the records do not get through");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Milliseconds from handing a report in to seeing it in the partner's stream of events, at 100 reports a second.
async fn paced(community: &Community, seconds: u64) -> Result<Vec<f64>> {
    let (sender, recipient) = (community.node(SENDER).socket(), community.node(RECIPIENT).socket());
    let leaves = load::get(&recipient, "/api/v1/status").await?["leaves"].as_u64().context("no leaves")?;
    let path = format!("/api/v1/events?after={}", leaves.saturating_sub(1));
    let mut events = local_client::request(&recipient, Method::GET, &path, None, Body::empty()).await?;
    ensure!(events.status.is_success(), "the stream of events answers {}", events.status);
    let count = (seconds * 100) as usize;
    let seen = tokio::spawn(async move {
        let mut seen: HashMap<String, Instant> = HashMap::new();
        while seen.len() < count {
            let Some(line) = events.line(64 * 1024).await? else { break };
            let now = Instant::now();
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let event: serde_json::Value = serde_json::from_slice(data)?;
            if event["what"] == "received"
                && let Some(record) = event["record"].as_str()
            {
                seen.insert(record.to_owned(), now);
            }
        }
        anyhow::Ok(seen)
    });
    let mut beat = tokio::time::interval(Duration::from_millis(10));
    let mut sent = Vec::with_capacity(count);
    for number in 0..count {
        beat.tick().await;
        let sender = sender.clone();
        sent.push(tokio::spawn(async move {
            let started = Instant::now();
            load::share_one(&sender, number, &[RECIPIENT]).await.map(|id| (id, started))
        }));
    }
    let mut shared = HashMap::new();
    for one in sent {
        let (id, started) = one.await??;
        shared.insert(id, started);
    }
    let seen = tokio::time::timeout(Duration::from_secs(30), seen).await.context("not all were seen")???;
    let latency = |(id, started): (&String, &Instant)| {
        seen.get(id).map(|at| at.saturating_duration_since(*started).as_secs_f64() * 1e3)
    };
    let latencies: Vec<f64> = shared.iter().filter_map(latency).collect();
    ensure!(latencies.len() == count, "{} of {count} were seen at the partner", latencies.len());
    Ok(latencies)
}

/// Records a second once a partner is back, and the most memory that the sender held meanwhile.
fn backlog(runtime: &tokio::runtime::Runtime, community: &mut Community, count: usize) -> Result<(f64, u64)> {
    community.node_mut(RECIPIENT).stop()?;
    let socket = community.node(SENDER).socket();
    runtime.block_on(load::submit(&socket, load::lines(count, &[RECIPIENT]), count))?;
    let waiting = runtime.block_on(load::backlog(&socket))?;
    ensure!(waiting == count as u64, "{waiting} of {count} records wait");
    community.node_mut(RECIPIENT).start()?;
    let mut most = 0;
    // The time in which the first record gets through belongs to finding the partner again, not to the flow.
    let (mut started, mut begun_at) = (Instant::now(), waiting);
    let begun = Instant::now();
    loop {
        let left = runtime.block_on(load::backlog(&socket))?;
        most = most.max(community.node(SENDER).resident_bytes()?);
        if begun_at == waiting && left < waiting {
            (started, begun_at) = (Instant::now(), left);
        }
        if left == 0 {
            return Ok((begun_at as f64 / started.elapsed().as_secs_f64(), most));
        }
        ensure!(begun.elapsed() < FLOW_MAX, "the backlog does not get through: {left} left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Bytes for each record that crossed the recipient's wire, both ways.
fn wire_bytes(runtime: &tokio::runtime::Runtime, binary: &Path) -> Result<f64> {
    let root = tempfile::tempdir()?;
    let port = free_port()?;
    let community = two_nodes(binary, root.path(), Some(port))?;
    let tap = Tap::counting();
    runtime.block_on(tap.clone().run(port, community.node(RECIPIENT).peers_port))?;
    runtime.block_on(async {
        let socket = community.node(SENDER).socket();
        load::submit(&socket, load::lines(64, &[RECIPIENT]), 64).await?;
        drained(&socket).await?;
        let before = tap.passed();
        load::submit(&socket, load::lines(TAPPED, &[RECIPIENT]), TAPPED).await?;
        drained(&socket).await?;
        Ok((tap.passed() - before) as f64 / TAPPED as f64)
    })
}

/// Deliveries a second when every record goes to ten agencies.
fn fanout(runtime: &tokio::runtime::Runtime, binary: &Path, count: usize) -> Result<f64> {
    const RECIPIENTS: [&str; 10] = ["aa-1", "aa-2", "aa-3", "aa-4", "aa-5", "aa-6", "aa-7", "aa-8", "aa-9", "aa-10"];
    let root = tempfile::tempdir()?;
    let agencies: Vec<Agency> = std::iter::once(SENDER).chain(RECIPIENTS).map(agency).collect();
    let community = Community::founded(binary, root.path(), &agencies, 3600)?;
    let rate = runtime.block_on(steady(community.node(SENDER), &RECIPIENTS, count))?;
    Ok(rate * RECIPIENTS.len() as f64)
}
