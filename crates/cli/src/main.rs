//! The `mufakat` command: everything that people and scripts of an agency do with their node.
//!
//! All but a few commands are requests to the running node over the socket in its folder. `verify`, `fsck`, `restore` and
//! `init` need no node. What goes to standard output is the answer, for people or, with `--json`, for programs; progress and
//! errors go to standard error.

mod args;
mod client;
mod commands;
mod envelope;
mod failure;
mod output;
mod templates;
mod when;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() && wants_json => {
            return failure::report(&Failure::Usage(error.to_string().trim_end().to_owned()).into(), true);
        }
        Err(error) => {
            // What clap prints here is the help that was asked for, or the error; a closed pipe is nobody's concern.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::USAGE } else { failure::OK });
        }
    };
    let output = Output::new(args.json);
    match commands::run(args, output) {
        Ok(()) => ExitCode::from(failure::OK),
        Err(error) => failure::report(&error, output.json),
    }
}
