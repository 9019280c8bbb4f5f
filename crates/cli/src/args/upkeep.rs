//! Options of the commands about evidence, parcels in files, and keys.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mufakat_record::AgencyId;

/// Options of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The evidence file (`-`: standard input)
    pub(crate) file: PathBuf,
    /// The community that you trust: the twelve words, or the 64 hexadecimal digits, of its first register version
    #[arg(long, value_name = "WORDS|HASH")]
    pub(crate) root: Option<String>,
}

/// What to do with parcels in files.
#[derive(Debug, Subcommand)]
pub(crate) enum Parcel {
    /// Write a file with everything that an agency has not settled, and the receipts owed to it
    #[command(after_help = "\
Example:
  mufakat parcel export --to ru-police -o /media/stick/for-ru-police.parcels")]
    Export {
        /// The agency for which it is; nobody else can read it
        #[arg(long, value_name = "AGENCY")]
        to: AgencyId,
        /// The file (`-`: standard output)
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Take in a file that another agency exported for this one
    #[command(after_help = "\
Example:
  mufakat parcel import /media/stick/for-vn-police.parcels

The receipts go out by the usual ways, and in the next export.")]
    Import {
        /// The file (`-`: standard input)
        file: PathBuf,
    },
}

/// What to do with the keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// The keys, with the twelve words of the identity key
    #[command(after_help = "\
Example:
  mufakat keys show")]
    Show,
    /// Put new keys in place of the present ones; partners learn of them by themselves
    #[command(after_help = "\
Examples:
  mufakat keys rotate signing
  mufakat keys rotate all

The identity key stays; it changes only with a version of the register.")]
    Rotate {
        /// Which keys
        what: What,
    },
    /// Revoke a signing key, as when somebody else may have it; partners take nothing more that it signs
    #[command(after_help = "\
Example:
  mufakat keys revoke 5d0c12ab90ff3e1147a2c6d08b9f1e20

The ids stand in `mufakat keys show`. If it is the key that signs now, a new one takes its place at once. What it signed and
was accepted before stays. This cannot be undone.")]
    Revoke {
        /// The key, by its whole id
        key: mufakat_record::KeyId,
    },
}

/// Keys that can be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// The key that signs records
    Signing,
    /// The key to which partners seal
    Sealing,
    /// The key of the transport
    Tls,
    /// All of them
    All,
}

impl What {
    /// The name that the node knows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            What::Signing => "signing",
            What::Sealing => "sealing",
            What::Tls => "tls",
            What::All => "all",
        }
    }
}
