//! What each command does.

mod bulk;
mod drafts;
mod evidence;
mod get;
mod identifier;
mod matching;
mod membership;
mod node;
mod officers;
mod parcel;
mod policy;
mod records;
mod register;
mod requests;
mod retention;
mod search;
mod share;
mod status;
mod store;
mod track;
mod uses;

use std::io::{IsTerminal, Read};
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use crate::args::{Args, Command, Match};
use crate::client::Client;
use crate::output::Output;

/// The largest text or report that is read at once, in bytes. A node takes no record that large.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// Runs a command.
pub(crate) fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let dir = args.dir;
    match args.command {
        Command::Init(options) => node::init(&dir, options, output),
        Command::Serve => node::serve(&dir),
        Command::Verify(options) => evidence::verify(&options, output),
        Command::Fsck => store::fsck(&dir, output),
        Command::Restore { path, replace, epoch } => store::restore(&dir, &path, replace, epoch, output),
        Command::Completions { shell } => completions(shell, output),
        Command::Template(options) => identifier::template(&options, output),
        Command::Identifier(options) => identifier::identifier(&options, output),
        Command::Match(Match::Compare(options)) => matching::compare::run(&options, output),
        command => {
            let command = match command {
                Command::Policy(what) => match policy::offline(what, output) {
                    Ok(done) => return done,
                    Err(what) => Command::Policy(what),
                },
                command => command,
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let client = match args.node {
                Some(node) => Client::at_desk(&node, &args.certificates)?,
                None => Client::new(&dir),
            };
            runtime.block_on(ask(&client, command, output))
        }
    }
}

/// The commands that are requests to the running node.
async fn ask(client: &Client, command: Command, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Register(what) => register::run(client, what, output).await,
        Command::Invite { agency, party, valid, output: file } => {
            membership::invite(client, &agency, &party, valid, file.as_deref(), output).await
        }
        Command::Join { invitation, file, wait, timeout } => {
            let invitation = match (invitation, file) {
                (Some(invitation), _) => invitation,
                (None, Some(file)) => input(&file)?,
                (None, None) => return Err(crate::failure::usage("an invitation is needed")),
            };
            membership::join(client, invitation.trim(), wait, timeout, output).await
        }
        Command::Share(options) => share::run(client, *options, output).await,
        Command::Draft(what) => drafts::run(client, what, output).await,
        Command::Preview(options) => drafts::preview(client, *options, output).await,
        Command::Uses(options) => uses::uses(client, &options, output).await,
        Command::WhoKnew(options) => uses::who_knew(client, &options, output).await,
        Command::Replay(options) => uses::replay(client, &options, output).await,
        Command::Inbox(options) => records::inbox(client, &options, output).await,
        Command::Search(options) => search::run(client, &options, output).await,
        Command::Show { record, raw } => records::show(client, &record, raw.as_deref(), output).await,
        Command::Track(options) => track::run(client, &options, output).await,
        Command::Request(what) => requests::run(client, what, output).await,
        Command::Match(what) => matching::run(client, what, output).await,
        Command::Table(what) => requests::table(client, what, output).await,
        Command::Retract { record, reason } => records::retract(client, &record, &reason, output).await,
        Command::Correct { record, file, reason, title } => {
            let report = crate::envelope::report(&input(file.as_deref().unwrap_or(Path::new("-")))?, title.as_deref())?;
            records::correct(client, &record, &reason, &report, output).await
        }
        Command::Keeping(what) => retention::run(client, what, output).await,
        Command::Get { record, output: file, force } => get::run(client, &record, file, force, output).await,
        Command::Evidence { record, output: file, force } => {
            evidence::write(client, &record, &file, force, output).await
        }
        Command::Officer(what) => officers::officer(client, what, output).await,
        Command::Token(what) => officers::token(client, what, output).await,
        Command::Session(what) => officers::session(client, what, output).await,
        Command::Parcel(what) => parcel::run(client, what, output).await,
        Command::Policy(what) => policy::run(client, what, output).await,
        Command::Keys(what) => status::keys(client, what, output).await,
        Command::Backup { path } => store::backup(client, &path, output).await,
        Command::Rebuild => store::rebuild(client, output).await,
        Command::Status { card } => status::status(client, card, output).await,
        Command::Alarms => status::alarms(client, output).await,
        Command::Init(_)
        | Command::Serve
        | Command::Verify(_)
        | Command::Fsck
        | Command::Restore { .. }
        | Command::Template(_)
        | Command::Identifier(_)
        | Command::Completions { .. } => unreachable!("`run` does these without a client"),
    }
}

fn completions(shell: clap_complete::Shell, output: Output) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "mufakat", &mut script);
    if output.json {
        let script = String::from_utf8(script).context("the completions are not text")?;
        return Ok(output.line(&serde_json::json!({ "completions": script }).to_string())?);
    }
    Ok(output.bytes(&script)?)
}

/// The text of a file, or of standard input for `-`.
fn input(path: &Path) -> anyhow::Result<String> {
    let shown = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let bytes = input_bytes(path, INPUT_BYTES_MAX)?;
    String::from_utf8(bytes).with_context(|| format!("{shown} is not text in UTF-8"))
}

/// The bytes of a file, or of standard input for `-`; never more than `bytes_max`.
fn input_bytes(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let shown = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let limit = bytes_max.saturating_add(1);
    if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            eprintln!("reading from the terminal; Ctrl-D on a line of its own ends it");
        }
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    }
    .with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(crate::failure::refused("oversize", format!("{shown} is larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}
