//! The project's own build and check commands, run as `cargo xtask <subcommand>`.
//!
//! To add a subcommand, write a module with an `Args` type that implements [`Run`], declare the module here and add
//! one line to [`SUBCOMMANDS`].

use std::process::ExitCode;

use clap::{ArgMatches, Command};

mod api;
mod bench;
mod console;
mod demo;
mod fuzz;
mod guide;
mod nodes;
mod oidc;
mod sim;
mod step;
mod test;
mod tidy;
mod tools;
mod verifier;
mod web;

/// Every subcommand: the type of its arguments, and the name it is called by.
const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand::of::<bench::Args>("bench"),
    Subcommand::of::<demo::Args>("demo"),
    Subcommand::of::<fuzz::Args>("fuzz"),
    Subcommand::of::<sim::Args>("sim"),
    Subcommand::of::<test::Args>("test"),
    Subcommand::of::<tidy::Args>("tidy"),
    Subcommand::of::<web::Args>("web"),
];

/// What a subcommand's arguments can do: the help text comes from the doc comment on the implementing type.
pub(crate) trait Run: clap::Args {
    /// Does the work. An `Err` is printed on one line; a command that has already reported its failure returns
    /// [`ExitCode::FAILURE`] instead.
    fn run(self) -> anyhow::Result<ExitCode>;
}

struct Subcommand {
    name: &'static str,
    augment: fn(Command) -> Command,
    run: fn(&ArgMatches) -> anyhow::Result<ExitCode>,
}

impl Subcommand {
    const fn of<A: Run>(name: &'static str) -> Self {
        Self { name, augment: A::augment_args, run: |matches| A::from_arg_matches(matches)?.run() }
    }
}

fn command() -> Command {
    let command = Command::new("cargo xtask")
        .about("The project's own build and check commands")
        .subcommand_required(true)
        .arg_required_else_help(true);
    SUBCOMMANDS.iter().fold(command, |command, sub| command.subcommand((sub.augment)(Command::new(sub.name))))
}

fn main() -> ExitCode {
    let matches = command().get_matches();
    let chosen = matches
        .subcommand()
        .and_then(|(name, matches)| Some((SUBCOMMANDS.iter().find(|sub| sub.name == name)?, matches)))
        .expect("clap accepts only the subcommands of the table, and requires one");
    match (chosen.0.run)(chosen.1) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_subcommand_explains_itself() {
        let command = command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{} has no help text", sub.get_name());
        }
    }
}
