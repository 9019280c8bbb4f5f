//! `share`: one report with its attachments. Many at once are in `bulk`.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Context as _;
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use mufakat_node::net::local_client::body_from_reader;
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

use super::bulk;
use crate::args::ShareArgs;
use crate::client::{Client, OCTETS, escape, json_of};
use crate::envelope::{self, Handling};
use crate::failure::{Failure, refused};
use crate::output::{Output, Table, join};
use crate::when;

/// Files from this size on are sent with a progress bar, in bytes.
const PROGRESS_BYTES_MIN: u64 = 4 << 20;

/// Shares one report, or with `--ndjson` many.
pub(super) async fn run(client: &Client, args: ShareArgs, output: Output) -> anyhow::Result<()> {
    let handling = handling(client, &args).await?;
    let source = args.file.as_deref().unwrap_or(Path::new("-"));
    if args.ndjson {
        let lines = envelope::Lines::new(&handling, args.batch.clone())?;
        let patience = args.batch.is_some().then_some(args.retry);
        return bulk::run(client, source, lines, patience, output).await;
    }
    let envelope = envelope_of(client, &args, &handling).await?;
    let answer = client.post("/api/v1/records", &envelope).await?;
    if !answer["refused"].is_null() {
        return Err(Failure::Problem(answer["refused"].clone()).into());
    }
    output.show(&answer, || words(&answer))?;
    Ok(())
}

/// The envelope that the options for one report say. Its attachments are handed to the node.
pub(super) async fn envelope(client: &Client, args: &ShareArgs) -> anyhow::Result<Value> {
    let handling = handling(client, args).await?;
    envelope_of(client, args, &handling).await
}

async fn handling(client: &Client, args: &ShareArgs) -> anyhow::Result<Handling> {
    let mut about = Vec::new();
    for record in &args.handling.about {
        about.push(client.record_id(record).await?);
    }
    Ok(Handling::new(&args.to, &args.handling, about, when::now_s()))
}

async fn envelope_of(client: &Client, args: &ShareArgs, handling: &Handling) -> anyhow::Result<Value> {
    let source = args.file.as_deref().unwrap_or(Path::new("-"));
    let report = envelope::report(&super::input(source)?, args.title.as_deref())?;
    let mut attachments = Vec::new();
    for file in &args.attach {
        attachments.push(upload(client, file).await.with_context(|| format!("while attaching {}", file.display()))?);
    }
    Ok(serde_json::to_value(handling.envelope(&report, &attachments, args.key.as_deref()))?)
}

/// What was shared, in words.
pub(super) fn words(answer: &Value) -> String {
    let mut table = Table::new(&["record", "audience"]);
    for record in answer["records"].as_array().into_iter().flatten() {
        table.row([record["id"].as_str().unwrap_or_default().to_owned(), join(&record["audience"])]);
    }
    table.text("nothing was shared")
}

/// Hands a file to the node, and gives the name by which an envelope can refer to it.
pub(super) async fn upload(client: &Client, path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| refused("malformed", "the file's name is not text"))?;
    let file = File::open(path).await.context("cannot open it")?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Err(refused("malformed", "it is not a file"));
    }
    let bar =
        if metadata.len() >= PROGRESS_BYTES_MIN { bytes_bar(metadata.len(), name) } else { ProgressBar::hidden() };
    let query = format!("/api/v1/attachments?name={}&media_type={}", escape(name), escape(media_type(name)));
    let body = body_from_reader(Watched { file, bar: bar.clone() });
    let answer = json_of(client.request(Method::POST, &query, Some(OCTETS), body).await?).await?;
    bar.finish_and_clear();
    // Had the file shrunk or grown while it was read, something else than what the user saw would be shared.
    if answer["size"].as_u64().is_some_and(|size| size != metadata.len()) {
        return Err(refused("changed", "it changed while it was read"));
    }
    let upload = answer["upload"].as_str().context("the node did not say under which name it holds the file")?;
    Ok(upload.to_owned())
}

/// A bar for bytes, on standard error if that is a terminal.
pub(super) fn bytes_bar(bytes: u64, name: &str) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    // The template is part of the program; a mistake in it leaves the bar in its usual form.
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}") {
        bar.set_style(style);
    }
    bar.set_message(crate::output::clean(name));
    bar
}

/// A file whose reading moves a bar. An error while reading breaks the request off, so that half a file is never taken for
/// the whole.
struct Watched {
    file: File,
    bar: ProgressBar,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.file).poll_read(context, buffer);
        self.bar.inc((buffer.filled().len() - before) as u64);
        result
    }
}

/// The media type that a file's name suggests.
fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    match extension.as_str() {
        "csv" => "text/csv",
        "geojson" => "application/geo+json",
        "jpg" | "jpeg" => "image/jpeg",
        "json" => "application/json",
        "mp4" => "video/mp4",
        "ndjson" => "application/x-ndjson",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "txt" | "md" => "text/plain",
        "xml" => "application/xml",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_suggest_media_types() {
        for (name, expect) in
            [("a.JSON", "application/json"), ("a.b.pdf", "application/pdf"), ("json", "application/octet-stream")]
        {
            assert_eq!(media_type(name), expect, "{name}");
        }
    }

    #[test]
    fn what_was_shared_is_shown_with_whole_ids() {
        let id = "ab".repeat(32);
        let answer =
            serde_json::json!({"records": [{"id": id, "audience": ["ru-police", "vn-police"]}], "refused": null});
        assert!(words(&answer).contains(&format!("{id}  ru-police, vn-police")));
    }
}
