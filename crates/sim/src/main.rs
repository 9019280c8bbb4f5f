//! Runs seeds of the simulator and stops at the first that breaks an invariant.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use mufakat_sim::{Failure, Options, Stats, run};

/// How often the progress line is written.
const PROGRESS: Duration = Duration::from_secs(5);

/// Runs simulated communities, each from one seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let (next, end) = (AtomicU64::new(arguments.from), arguments.from.saturating_add(arguments.seeds));
    let state = Mutex::new((Stats::default(), 0u64, started));
    let failed: Mutex<Option<Failure>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    match run(seed, &Options::default()) {
                        Ok(stats) => progress(&state, &stats, arguments.seeds),
                        Err(failure) => {
                            next.store(end, Ordering::Relaxed);
                            failed.lock().expect("no panic while it is held").get_or_insert(failure);
                        }
                    }
                }
            });
        }
    });
    let (stats, seeds, _) = *state.lock().expect("no panic while it is held");
    if let Some(failure) = failed.into_inner().expect("no panic while it is held") {
        eprintln!("{failure}");
        return ExitCode::FAILURE;
    }
    println!(
        "{seeds} seeds in {:.0} s: {} nodes, {} records, {} deliveries, {} parcels, {} crashes, {} lies, {} questions of matching with {} results, \
         {} cosignatures, {} split views found; every invariant held",
        started.elapsed().as_secs_f64(),
        stats.nodes,
        stats.records,
        stats.deliveries,
        stats.parcels,
        stats.crashes,
        stats.lies,
        stats.questions,
        stats.results,
        stats.cosignatures,
        stats.splits,
    );
    ExitCode::SUCCESS
}

fn progress(state: &Mutex<(Stats, u64, Instant)>, stats: &Stats, seeds: u64) {
    let mut state = state.lock().expect("no panic while it is held");
    state.0.add(stats);
    state.1 += 1;
    if state.2.elapsed() >= PROGRESS {
        state.2 = Instant::now();
        println!(
            "{} of {seeds} seeds: {} records, {} deliveries, {} crashes",
            state.1, state.0.records, state.0.deliveries, state.0.crashes
        );
    }
}
