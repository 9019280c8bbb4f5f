//! `init` and `serve`.

use std::net::SocketAddr;
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
    config.listen.peers = args.listen.unwrap_or_else(|| listens_for(&config.agency.endpoint, config.listen.peers));
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

/// Where a node listens of which only the endpoint is known: on that port; of this machine alone if the endpoint is.
fn listens_for(endpoint: &str, unsaid: SocketAddr) -> SocketAddr {
    let address = endpoint.replacen("localhost:", "127.0.0.1:", 1);
    if let Ok(address) = address.parse::<SocketAddr>()
        && address.ip().is_loopback()
    {
        return address;
    }
    let port = endpoint.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.map_or(unsaid, |port| SocketAddr::new(unsaid.ip(), port))
}

/// Runs the node until a signal ends it.
pub(super) fn serve(dir: &Path) -> anyhow::Result<()> {
    let config = Config::load(dir).with_context(|| format!("the node in {} cannot be started", dir.display()))?;
    mufakat_node::logs::init(&config.log)?;
    Ok(mufakat_node::serve(dir, config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_listens_where_its_endpoint_says() {
        let unsaid: SocketAddr = "0.0.0.0:7443".parse().unwrap();
        for (endpoint, listens) in [
            ("node.example:7445", "0.0.0.0:7445"),
            ("10.0.0.1:80", "0.0.0.0:80"),
            ("127.0.0.1:7441", "127.0.0.1:7441"),
            ("localhost:7441", "127.0.0.1:7441"),
            ("[::1]:7441", "[::1]:7441"),
            ("no port", "0.0.0.0:7443"),
        ] {
            assert_eq!(listens_for(endpoint, unsaid).to_string(), listens, "{endpoint}");
        }
    }
}
