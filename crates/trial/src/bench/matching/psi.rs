//! The library openmined-psi on the same list and query, when it can be had.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::answers::List;
use super::{QUERY, inputs, queries};
use crate::bench::Figures;

/// How many of the query's identifiers are listed.
const LISTED: usize = QUERY / 2;
/// How many queries of ours are measured; the middle one counts.
const TURNS: usize = 5;

/// What the program says.
#[derive(Deserialize)]
struct Said {
    version: String,
    setup_s: f64,
    query_s: f64,
    found: Vec<usize>,
}

/// Measures both.
pub(super) fn measure(figures: &Figures, list: &List, psi: Result<(&Path, &Path), &str>) -> Result<()> {
    if !figures.wants(&["matching.openmined", "matching.query_1000_of_100k"]) {
        return Ok(());
    }
    figures.say("queries, and openmined-psi beside them");
    let mut asked = inputs(0..LISTED);
    asked.extend(inputs(list.inputs.len()..list.inputs.len() + QUERY - LISTED));
    let cost = queries(TURNS, &list.key, &list.filter, &asked, LISTED)?;
    let ours_s = cost.asker_s + cost.holder_s;
    figures.put("matching.query_1000_of_100k_cpu_ms", ours_s * 1e3, "ms");
    let (ratio, unit) = ("matching.openmined_psi_ratio", "of the time of openmined-psi");
    let (python, program) = match psi {
        Ok(found) => found,
        Err(why) => {
            figures.lacks(ratio, unit, &format!("openmined-psi 2.0.6 cannot be had: {why}"));
            return Ok(());
        }
    };
    let said = run(python, program, &list.inputs, &asked)?;
    ensure!(said.found.iter().copied().collect::<BTreeSet<_>>() == (0..LISTED).collect(), "it finds something else");
    let note = format!("openmined-psi {}, both sides, without a proof", said.version);
    figures.put_noted("matching.openmined_psi_query_cpu_ms", said.query_s * 1e3, "ms", &note);
    let setup_us = said.setup_s * 1e6 / list.inputs.len() as f64;
    figures.put("matching.openmined_psi_setup_us_per_id", setup_us, "us");
    figures.put_noted(ratio, ours_s / said.query_s, unit, "ours proves its answers; the same list and query");
    Ok(())
}

fn run(python: &Path, program: &Path, list: &[String], query: &[String]) -> Result<Said> {
    let mut child = Command::new(python)
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", python.display()))?;
    let given = json!({"list": list, "query": query}).to_string();
    child.stdin.take().context("no standard input")?.write_all(given.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{} ended with {}", program.display(), output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
