//! Officers, their tokens and their sessions.

use std::time::Duration;

use clap::{Args, Subcommand};
use mufakat_record::{OfficerId, Role, Tlp};

use crate::when;

/// What to do about officers.
#[derive(Debug, Subcommand)]
pub(crate) enum Officer {
    /// Make a one-time link with which an officer enrols; with a name, grant too
    #[command(after_help = "\
Examples:
  mufakat officer invite d3-night --name 'EXERCISE Nguyễn' --role duty-officer --role analyst --clearance AMBER
  mufakat officer invite d3-night --valid 2h

The link is shown once and is good once. Hand it to the officer in person, or by a way that you trust.")]
    Invite {
        /// The pseudonym
        officer: OfficerId,
        /// What the officer is and may do.
        #[command(flatten)]
        grant: GrantArgs,
        /// How long the link can be used, at most 7 days
        #[arg(long, value_parser = when::parse_duration, default_value = "1d", value_name = "TIME")]
        valid: Duration,
    },
    /// Who the officers are
    #[command(after_help = "\
Examples:
  mufakat officer list
  mufakat officer list d3-night")]
    List {
        /// One officer, with the credentials
        officer: Option<OfficerId>,
    },
    /// Change what an officer is or may do; open sessions of the officer end
    #[command(after_help = "\
Examples:
  mufakat officer change d3-night --role supervisor --clearance RED
  mufakat officer change d3-night --suspend
  mufakat officer change d3-night --resume

What is not named stays as it is; roles and purposes that are named take the place of all before.")]
    Change {
        /// The pseudonym
        officer: OfficerId,
        /// What the officer is and may do.
        #[command(flatten)]
        grant: GrantArgs,
        /// The officer cannot sign in for now
        #[arg(long, conflicts_with = "resume")]
        suspend: bool,
        /// The officer can sign in again
        #[arg(long)]
        resume: bool,
    },
    /// Take back a grant with all that belongs to it, or one credential
    #[command(after_help = "\
Examples:
  mufakat officer revoke d3-night --reason 'left the service'
  mufakat officer revoke d3-night --credential 5d0c12ab...(64 characters) --reason 'lost the key'")]
    Revoke {
        /// The pseudonym
        officer: OfficerId,
        /// This credential only
        #[arg(long, value_name = "ID")]
        credential: Option<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// What an officer is and may do.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// The name for people at home; other agencies never see it
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A role; repeat for more
    #[arg(long)]
    pub(crate) role: Vec<Role>,
    /// The narrowest label that the officer is cleared for: CLEAR, GREEN, AMBER, AMBER+STRICT or RED
    #[arg(long, value_name = "TLP")]
    pub(crate) clearance: Option<Tlp>,
    /// A purpose that the officer may act for; repeat for more. None: any
    #[arg(long)]
    pub(crate) purpose: Vec<String>,
}

/// What to do about tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for a program
    #[command(after_help = "\
Examples:
  mufakat token create --officer feed-import --label 'EXERCISE feed' --scope share_records --valid 90d
  mufakat --node https://desk.police.example token list

The token is shown once. A program gives it as MUFAKAT_TOKEN, or in the header `Authorization: Bearer`.")]
    Create {
        /// Whose it is: an officer's own, who is signed in; the operator names the officer
        #[arg(long)]
        officer: Option<OfficerId>,
        /// What it is for
        #[arg(long)]
        label: String,
        /// An operation that it is good for, by its operation id; repeat for more. None: all that its officer may do
        #[arg(long, value_name = "OPERATION")]
        scope: Vec<String>,
        /// How long it is good, at most 366 days
        #[arg(long, value_parser = when::parse_duration, value_name = "TIME")]
        valid: Duration,
    },
    /// The tokens that there are
    #[command(after_help = "\
Example:
  mufakat token list")]
    List,
    /// Take a token back
    #[command(after_help = "\
Example:
  mufakat token revoke 5d0c12ab...(64 characters) --reason 'no longer used'")]
    Revoke {
        /// The token's id
        token: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// What to do about sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Who is signed in
    #[command(after_help = "\
Example:
  mufakat session list")]
    List,
    /// End every session of an officer
    #[command(after_help = "\
Example:
  mufakat session end d3-night --reason 'left the screen open'")]
    End {
        /// The pseudonym
        officer: OfficerId,
        /// Why
        #[arg(long)]
        reason: String,
    },
}
