//! Load for a node: reports of 2 KiB, handed in as a program would, over the node's socket.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use bytes::Bytes;
use http::Method;
use mufakat_node::net::local_client;
use serde_json::{Value, json};

/// The largest answer that is read whole, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A report whose encoded body has 2 KiB.
fn report(number: usize) -> Value {
    let title = format!("EXERCISE {number:08}");
    // Title, text and their entries in the map take 2,048 bytes together.
    let text = "EXERCISE text of a report. ".repeat(80);
    json!({"title": title, "text": &text[..2048 - title.len() - 10]})
}

/// A line of a bulk submission.
pub(crate) fn envelope(number: usize, to: &[&str]) -> String {
    json!({"to": to, "tlp": "AMBER", "body": report(number)}).to_string()
}

/// Lines of a bulk submission, ready to be sent.
pub(crate) fn lines(count: usize, to: &[&str]) -> Vec<Bytes> {
    let mut blocks = Vec::new();
    let mut block = Vec::with_capacity(70 * 1024);
    for number in 0..count {
        block.extend_from_slice(envelope(number, to).as_bytes());
        block.push(b'\n');
        if block.len() > 64 * 1024 {
            blocks.push(Bytes::from(std::mem::take(&mut block)));
        }
    }
    blocks.push(Bytes::from(block));
    blocks
}

/// Hands everything in, and returns when all of it is durable. Any refusal is an error.
pub(crate) async fn submit(socket: &Path, blocks: Vec<Bytes>, count: usize) -> Result<()> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let feed = tokio::spawn(async move {
        for block in blocks {
            if sender.send(block).await.is_err() {
                break;
            }
        }
    });
    let body = local_client::body_from_channel(receiver);
    let kind = Some("application/x-ndjson");
    let mut answer = local_client::request(socket, Method::POST, "/api/v1/records/bulk", kind, body).await?;
    ensure!(answer.status.is_success(), "the node answers {}", answer.status);
    let mut acknowledged = 0;
    while let Some(line) = answer.line(64 * 1024).await? {
        ensure!(!line.windows(7).any(|w| w == b"\"error\""), "refused: {}", String::from_utf8_lossy(&line));
        acknowledged += 1;
    }
    feed.await?;
    ensure!(acknowledged == count, "{acknowledged} of {count} lines were acknowledged");
    Ok(())
}

/// Shares one report.
pub(crate) async fn share_one(socket: &Path, number: usize, to: &[&str]) -> Result<String> {
    let answer = post(socket, "/api/v1/records", "application/json", envelope(number, to)).await?;
    Ok(answer["records"][0]["id"].as_str().context("no id")?.to_owned())
}

/// Hands the node something.
pub(crate) async fn post(socket: &Path, path: &str, kind: &str, body: String) -> Result<Value> {
    let answer = local_client::request(socket, Method::POST, path, Some(kind), Body::from(body)).await?;
    let status = answer.status;
    let bytes = answer.bytes(ANSWER_BYTES_MAX).await?;
    ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&bytes));
    Ok(serde_json::from_slice(&bytes)?)
}

/// Asks the node something.
pub(crate) async fn get(socket: &Path, path: &str) -> Result<Value> {
    let answer = local_client::request(socket, Method::GET, path, None, Body::empty()).await?;
    ensure!(answer.status.is_success(), "{path}: {}", answer.status);
    Ok(serde_json::from_slice(&answer.bytes(ANSWER_BYTES_MAX).await?)?)
}

/// How many records wait for a receipt, at all partners together.
pub(crate) async fn backlog(socket: &Path) -> Result<u64> {
    let status = get(socket, "/api/v1/status").await?;
    let partners = status["partners"].as_array().context("no partners")?;
    Ok(partners.iter().filter_map(|partner| partner["backlog"].as_u64()).sum())
}
