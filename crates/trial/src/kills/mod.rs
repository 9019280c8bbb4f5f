//! Killing real nodes at random moments, and what must hold all the same: under load, and during deletions.

mod deletions;
mod load;
mod pieces;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use clap::ValueEnum;
use http::{Method, StatusCode};
use mufakat_node::net::local_client;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use crate::community::{Agency, Community, Node, binary};

/// The two agencies.
const VN: &str = "vn-police";
const RU: &str = "ru-police";
/// When a node is killed, in milliseconds after it answered: from, and until.
const KILL_MS: [u64; 2] = [50, 600];
/// After so many kills the folder of the node that was killed is checked before it starts again.
const CHECK_EVERY: usize = 6;
/// How many rows of a view are asked for at once; a node gives no more.
const ROWS_MAX: usize = 500;
/// The largest answer that is read whole, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What goes on while nodes are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum During {
    /// A bulk share that resumes by itself
    Load,
    /// Records are taken back, expire, and are deleted by order
    Deletions,
}

/// How often to kill, and during what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What goes on meanwhile
    #[arg(long, value_enum, default_value_t = During::Load)]
    during: During,
    /// How many times a node is killed
    #[arg(long, default_value_t = 30)]
    times: usize,
    /// Where chance begins: the same seed kills the same nodes after the same times
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object at the end
    #[arg(long)]
    json: bool,
}

/// Runs the trial.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = tempfile::tempdir()?;
    let told = match args.during {
        During::Load => load::trial(args, root.path()),
        During::Deletions => deletions::trial(args, root.path()),
    };
    if told.is_err() {
        // What the nodes said and kept is the only way to find out why.
        eprintln!("seed {}; the folders and logs of the nodes are kept in {}", args.seed, root.keep().display());
    }
    let (told, words) = told?;
    println!("{}", if args.json { told.to_string() } else { words });
    Ok(ExitCode::SUCCESS)
}

/// The two agencies, with a register and running.
fn founded(root: &Path) -> Result<Community> {
    let agency = |id| Agency { id, party: id, name: "EXERCISE agency", party_name: "EXERCISE party", relay: false };
    Community::founded(&binary()?, root, &[agency(VN), agency(RU)], 60)
}

/// When to kill next, and whom.
struct Chance(ChaCha20Rng);

impl Chance {
    fn from(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    fn wait(&mut self) -> Duration {
        Duration::from_millis(KILL_MS[0] + self.0.next_u64() % (KILL_MS[1] - KILL_MS[0]))
    }

    /// True once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.0.next_u64().is_multiple_of(times)
    }
}

fn check_folder(node: &Node) -> Result<()> {
    let told = node.cli(&["fsck"])?;
    ensure!(told["clean"] == true, "fsck of {} finds {told}", node.agency.id);
    Ok(())
}

/// Asks a node at its socket, as its operator.
async fn ask(socket: &Path, method: Method, path: &str, body: impl Into<Body>) -> Result<(StatusCode, Vec<u8>)> {
    let answer = local_client::request(socket, method, path, Some("application/json"), body.into()).await?;
    let status = answer.status;
    Ok((status, answer.bytes(ANSWER_BYTES_MAX).await?.to_vec()))
}

async fn get(socket: &Path, path: &str) -> Result<Value> {
    let (status, bytes) = ask(socket, Method::GET, path, Body::empty()).await?;
    ensure!(status.is_success(), "{path}: {status}");
    Ok(serde_json::from_slice(&bytes)?)
}

/// Every row of a view.
async fn rows(socket: &Path, view: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/views/{view}?order=oldest&limit={ROWS_MAX}{after}");
        let mut page = get(socket, &path).await?;
        all.append(page["rows"].as_array_mut().context("no rows")?);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(all),
        }
    }
}

/// How many records of a node have no receipt yet.
async fn backlog(socket: &Path) -> Result<u64> {
    let status = get(socket, "/api/v1/status").await?;
    let partners = status["partners"].as_array().context("no partners")?;
    Ok(partners.iter().filter_map(|partner| partner["backlog"].as_u64()).sum())
}
