//! Options of the commands about the node's place in its community.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mufakat_record::AgencyId;

/// Options of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The agency: 2 to 40 of a-z, 0-9 and inner hyphens
    #[arg(long)]
    pub(crate) agency: AgencyId,
    /// The party (state or organisation) it belongs to
    #[arg(long)]
    pub(crate) party: AgencyId,
    /// The agency's name in words
    #[arg(long)]
    pub(crate) name: String,
    /// The party's name in words
    #[arg(long, value_name = "NAME")]
    pub(crate) party_name: Option<String>,
    /// Where partners reach the node
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) endpoint: String,
    /// Where the node listens for them, if not on the endpoint's port of all addresses (of loopback, if the endpoint is there)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// This node is to hold parcels for agencies that cannot reach each other
    #[arg(long)]
    pub(crate) relay: bool,
    /// Where the node answers /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) ops: Option<std::net::SocketAddr>,
    /// Write the card to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) card: Option<PathBuf>,
}

/// What to do with the register.
#[derive(Debug, Subcommand)]
pub(crate) enum Register {
    /// Draw up the first version with the cards of the other founders, and approve it
    #[command(after_help = "\
Example:
  mufakat register found --community 'EXERCISE Straits' --card ru-police.card --threshold 2 \\
      --forum maritime='Maritime forum:vn,ru' -o founding.register

Hand the file to the speakers of the other founding parties, who `register approve --founding` it in turn; the last one \
hands it back to all, and each runs the same command once more.")]
    Found(FoundArgs),
    /// Propose the next version; proposing approves too
    #[command(after_help = "\
Examples:
  mufakat register propose --admit id-coastguard --admit sg-fusion
  mufakat register propose --remove ru-police
  mufakat register propose --relay asean-secretariat=true --witness-quorum 2 --valid-days 365")]
    Propose(Box<ProposeArgs>),
    /// Approve a proposal, or a founding file
    #[command(after_help = "\
Examples:
  mufakat register approve 5d0c12ab90ff
  mufakat register approve --founding founding.register

`mufakat register pending` lists the proposals with what they change.")]
    Approve(Founding),
    /// The version in force
    #[command(after_help = "\
Example:
  mufakat register show")]
    Show,
    /// All versions, with what each changed and who approved it
    #[command(after_help = "\
Example:
  mufakat register log")]
    Log,
    /// Agencies that wait to be admitted, and proposals that wait for approval
    #[command(after_help = "\
Example:
  mufakat register pending")]
    Pending,
}

/// Options of `register found`.
#[derive(Debug, Args)]
pub(crate) struct FoundArgs {
    /// The community's name
    #[arg(long, value_name = "NAME")]
    pub(crate) community: String,
    /// The card of another founding agency; repeat for more
    #[arg(long, value_name = "FILE")]
    pub(crate) card: Vec<PathBuf>,
    /// How many parties must approve each later version
    #[arg(long, value_name = "NUMBER")]
    pub(crate) threshold: u64,
    /// An agency that holds parcels for others; repeat for more
    #[arg(long, value_name = "AGENCY")]
    pub(crate) relay: Vec<AgencyId>,
    /// A forum: its id, its name, and the parties in it; repeat for more
    #[arg(long, value_name = "ID=NAME:PARTY,...", value_parser = parse_forum)]
    pub(crate) forum: Vec<Forum>,
    /// The community's rules.
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
    /// After how many days the version must have been renewed
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    pub(crate) valid_days: u64,
    /// The founding file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Options of `register propose`.
#[derive(Debug, Args)]
pub(crate) struct ProposeArgs {
    /// Admit an agency that used its invitation; repeat for more
    #[arg(long, value_name = "AGENCY")]
    pub(crate) admit: Vec<AgencyId>,
    /// Remove an agency; repeat for more
    #[arg(long, value_name = "AGENCY")]
    pub(crate) remove: Vec<AgencyId>,
    /// How many parties must approve each later version
    #[arg(long, value_name = "NUMBER")]
    pub(crate) threshold: Option<u64>,
    /// Whether an agency holds parcels for others; repeat for more
    #[arg(long, value_name = "AGENCY=true|false", value_parser = parse_relay)]
    pub(crate) relay: Vec<(AgencyId, bool)>,
    /// Where an agency is reached; repeat for more
    #[arg(long, value_name = "AGENCY=HOST:PORT", value_parser = parse_endpoint)]
    pub(crate) endpoint: Vec<(AgencyId, String)>,
    /// A forum, new or in place of the one with this id; repeat for more
    #[arg(long, value_name = "ID=NAME:PARTY,...", value_parser = parse_forum)]
    pub(crate) forum: Vec<Forum>,
    /// The community's rules.
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
    /// After how many days the version must have been renewed
    #[arg(long, value_name = "DAYS")]
    pub(crate) valid_days: Option<u64>,
}

/// Changes of the rules.
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// How many witnesses should cosign a checkpoint
    #[arg(long, value_name = "NUMBER")]
    pub(crate) witness_quorum: Option<u64>,
    /// How often a node asks its witnesses
    #[arg(long, value_name = "SECONDS")]
    pub(crate) witness_interval_s: Option<u64>,
    /// How long a relay holds a parcel
    #[arg(long, value_name = "SECONDS")]
    pub(crate) relay_max_s: Option<u64>,
}

/// Options of `register approve`.
#[derive(Debug, Args)]
pub(crate) struct Founding {
    /// The proposal, by the first characters of its hash
    #[arg(required_unless_present = "founding", conflicts_with = "founding")]
    pub(crate) proposal: Option<String>,
    /// Approve this founding file; it then holds the approval too
    #[arg(long, value_name = "FILE")]
    pub(crate) founding: Option<PathBuf>,
    /// Leave the founding file as it is, and write the approved one here
    #[arg(short, long, value_name = "FILE", requires = "founding")]
    pub(crate) output: Option<PathBuf>,
}

/// A forum as it stands on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forum {
    /// Its id.
    pub(crate) id: AgencyId,
    /// Its name.
    pub(crate) name: String,
    /// The parties in it.
    pub(crate) members: Vec<AgencyId>,
}

fn parse_forum(text: &str) -> Result<Forum, String> {
    let wrong = || format!("`{text}` is not a forum such as maritime='Maritime forum:vn,ru'");
    let (id, rest) = text.split_once('=').ok_or_else(wrong)?;
    // The name may have a colon in it; ids of parties cannot.
    let (name, members) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let id = id.parse().map_err(|_| wrong())?;
    let members: Result<Vec<AgencyId>, _> = members.split(',').map(str::parse).collect();
    let members = members.map_err(|_| wrong())?;
    if name.is_empty() { Err(wrong()) } else { Ok(Forum { id, name: name.to_owned(), members }) }
}

fn parse_relay(text: &str) -> Result<(AgencyId, bool), String> {
    let wrong = || format!("`{text}` is not of the form AGENCY=true or AGENCY=false");
    let (agency, relay) = text.split_once('=').ok_or_else(wrong)?;
    Ok((agency.parse().map_err(|_| wrong())?, relay.parse().map_err(|_| wrong())?))
}

fn parse_endpoint(text: &str) -> Result<(AgencyId, String), String> {
    let wrong = || format!("`{text}` is not of the form AGENCY=HOST:PORT");
    let (agency, endpoint) = text.split_once('=').ok_or_else(wrong)?;
    let (host, port) = endpoint.rsplit_once(':').ok_or_else(wrong)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(wrong());
    }
    Ok((agency.parse().map_err(|_| wrong())?, endpoint.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forums_relays_and_endpoints_parse() {
        let forum = parse_forum("maritime=Forum: of the sea:vn,ru").unwrap();
        assert_eq!((forum.id.as_str(), forum.name.as_str()), ("maritime", "Forum: of the sea"));
        assert_eq!(forum.members.iter().map(AgencyId::as_str).collect::<Vec<_>>(), ["vn", "ru"]);
        for bad in
            ["maritime", "maritime=Forum", "maritime=:vn", "maritime=Forum:", "maritime=Forum:vn,,ru", "M=Forum:vn"]
        {
            assert!(parse_forum(bad).is_err(), "{bad}");
        }
        assert!(parse_relay("hub=true").unwrap().1);
        assert!(!parse_relay("hub=false").unwrap().1);
        for bad in ["hub", "hub=yes", "=true"] {
            assert!(parse_relay(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_endpoint("hub=[::1]:7410").unwrap().1, "[::1]:7410");
        for bad in ["hub", "hub=host", "hub=host:0x1", "hub=:1", "hub=host:99999"] {
            assert!(parse_endpoint(bad).is_err(), "{bad}");
        }
    }
}
