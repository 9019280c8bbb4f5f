//! The benchmarks: each figure is one JSON line, and the machine's own limits are measured in the same run.

mod crypto;
mod desk;
mod flow;
mod ledger;
mod load;
mod matching;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to measure
    part: Part,
    /// One JSON line for each figure
    #[arg(long)]
    json: bool,
    /// A tenth of the work, under a minute
    #[arg(long)]
    quick: bool,
    /// Only figures whose name begins so
    #[arg(long)]
    only: Option<String>,
    /// The Python that has openmined-psi, for `matching`
    #[arg(long)]
    psi_python: Option<PathBuf>,
    /// The program that measures openmined-psi, for `matching`
    #[arg(long)]
    psi_program: Option<PathBuf>,
    /// Why there is no such Python
    #[arg(long)]
    psi_missing: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// Records between nodes, the ledger, and the node itself
    Exchange,
    /// Pages, searches, policy decisions, and what the desk costs the exchange
    Desk,
    /// Private matching: its cryptography, its filters, and a question to thirty partners
    Matching,
}

/// How much work each measurement does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Records of the steady flow.
    pub(crate) steady: usize,
    /// Seconds of the flow at 100 records a second.
    pub(crate) paced_s: u64,
    /// Records to ten recipients.
    pub(crate) fanout: usize,
    /// Records that wait for a partner that is away.
    pub(crate) backlog: usize,
    /// Records of the large store.
    pub(crate) large: u64,
}

const FULL: Size = Size { steady: 40_000, paced_s: 10, fanout: 4_000, backlog: 100_000, large: 1_000_000 };
const QUICK: Size = Size { steady: 8_000, paced_s: 4, fanout: 600, backlog: 10_000, large: 100_000 };

/// Prints figures as they are measured.
pub(crate) struct Figures {
    json: bool,
    quick: bool,
    only: Option<String>,
}

impl Figures {
    /// Whether any of these figures is wanted.
    pub(crate) fn wants(&self, names: &[&str]) -> bool {
        self.only.as_ref().is_none_or(|only| names.iter().any(|name| name.starts_with(only.as_str())))
    }

    /// One figure.
    pub(crate) fn put(&self, name: &str, value: f64, unit: &str) {
        self.show(name, Some(value), unit, None);
    }

    /// One figure with what has to be known of it.
    pub(crate) fn put_noted(&self, name: &str, value: f64, unit: &str, note: &str) {
        self.show(name, Some(value), unit, Some(note));
    }

    /// A figure that cannot be had here, and why.
    pub(crate) fn lacks(&self, name: &str, unit: &str, why: &str) {
        self.show(name, None, unit, Some(why));
    }

    fn show(&self, name: &str, value: Option<f64>, unit: &str, note: Option<&str>) {
        let value = value.map(rounded);
        if self.json {
            let mut line = json!({"name": name, "value": value, "unit": unit, "quick": self.quick});
            if let Some(note) = note {
                line["note"] = json!(note);
            }
            println!("{line}");
        } else {
            let value = value.map_or_else(|| "-".to_owned(), |value| value.to_string());
            let line = format!("{name:<38} {value:>14} {unit:<12} {}", note.unwrap_or_default());
            println!("{}", line.trim_end());
        }
    }

    /// A word on what happens, for people.
    pub(crate) fn say(&self, text: &str) {
        eprintln!("  {text}");
    }
}

fn rounded(value: f64) -> f64 {
    let scale = if value.abs() >= 100.0 { 1.0 } else { 1000.0 };
    (value * scale).round() / scale
}

/// The value below which `share` of the values lie. The values need not be sorted.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let figures = Figures { json: args.json, quick: args.quick, only: args.only.clone() };
    let size = if args.quick { QUICK } else { FULL };
    match args.part {
        Part::Exchange => {
            figures.say("the machine's own limits");
            crypto::measure(&figures, args.quick)?;
            flow::measure(&figures, size)?;
            ledger::measure(&figures, size)?;
        }
        Part::Desk => desk::measure(&figures, size)?,
        Part::Matching => {
            let missing = args.psi_missing.as_deref().unwrap_or("no Python with it was given");
            let psi = args.psi_python.as_deref().zip(args.psi_program.as_deref()).ok_or(missing);
            matching::measure(&figures, args.quick, psi)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
