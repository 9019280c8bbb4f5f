//! `init` and `serve`.

use std::path::Path;

use anyhow::Context;
use mufakat_node::config::{self, Config};
use serde_json::json;

use crate::args::InitArgs;
use crate::output::Output;

/// Makes a node.
pub(super) fn init(dir: &Path, args: InitArgs, output: Output) -> anyhow::Result<()> {
    let mut config = Config::new(config::Agency {
        id: args.agency,
        party: args.party,
        name: args.name,
        party_name: args.party_name,
        endpoint: args.endpoint,
        relay: args.relay,
    });
    if let Some(listen) = args.listen {
        config.listen.peers = listen;
    }
    config.listen.ops = args.ops;
    let made = mufakat_node::init(dir, &config)?;
    if let Some(file) = &args.card {
        std::fs::write(file, format!("{}\n", made.card)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let answer = json!({ "agency": config.agency.id, "dir": dir, "card": made.card, "fingerprint": made.words });
    output.show(&answer, || {
        let shown = dir.display();
        format!(
            "The node of {} is in {shown}; its settings are in {shown}/{}.\n\nIts card:\n{}\n\nThe words of its key:\n  {}\n\n\
             Start it with: mufakat --dir {shown} serve",
            config.agency.id,
            config::FILE_NAME,
            made.card,
            made.words
        )
    })?;
    Ok(())
}

/// Runs the node until a signal ends it.
pub(super) fn serve(dir: &Path) -> anyhow::Result<()> {
    let config = Config::load(dir)
        .with_context(|| format!("{} holds no node that can be started (see `mufakat init --help`)", dir.display()))?;
    mufakat_node::logs::init(&config.log)?;
    Ok(mufakat_node::serve(dir, config)?)
}
