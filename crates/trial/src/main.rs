//! Trials with real nodes: the demonstration, the benchmark, killing nodes in mid-transfer, signing in, the API as it is
//! described, and the console in a browser.

mod api;
mod bench;
mod community;
mod console;
mod demo;
mod kills;
mod oidc;
mod tap;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Trials of Mufakat with real nodes on loopback")]
struct Args {
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Subcommand)]
enum Trial {
    /// Ask the API as its description says, and as it does not
    Api(api::Args),
    /// Measure, beside the machine's own limits
    Bench(bench::Args),
    /// Work at the console in a browser, as officers do
    Console(console::Args),
    /// Show the main job with five agencies, step by step
    Demo(demo::Args),
    /// Kill two nodes in turn under load, and see that nothing is lost or doubled
    Kills(kills::Args),
    /// Sign in by an identity provider
    Oidc(oidc::Args),
}

fn main() -> Result<ExitCode> {
    match Args::parse().trial {
        Trial::Api(args) => api::run(&args),
        Trial::Bench(args) => bench::run(&args),
        Trial::Console(args) => console::run(&args),
        Trial::Demo(args) => demo::run(args),
        Trial::Kills(args) => kills::run(&args),
        Trial::Oidc(args) => oidc::run(&args),
    }
}
