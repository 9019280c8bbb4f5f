//! People's names across scripts: candidates only. Both sides turn a person into a few exact keys, each of two parts of the name
//! and the year of birth; whoever shares a key is a candidate. After people have disclosed what they hold, [`score`] ranks the
//! candidates and says why. `docs/matching-names.md` gives the rules, what they reach by script, and their limits.

mod keys;
mod latin;
mod parts;
mod romanise;
mod score;
mod sounds;

pub use keys::{KEYS_ASKED_MAX, KEYS_LISTED_MAX, Key, Level, Person, asked_keys, listed_keys};
pub use score::{Birth, Disclosed, Reason, Score, score};

/// The longest name in bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// Why a person has no keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// No part of the name is left, or there never was a letter in it.
    #[error("the name has no letters")]
    NoName,
    /// A single part, from which anybody could be asked after.
    #[error("the name has one part only; names are matched by two and the year of birth")]
    OneName,
    /// The year of birth is missing.
    #[error("names are matched only with the year of birth")]
    NoBirthYear,
    /// The year of birth cannot be one.
    #[error("{year} is no year of birth: it must be from 1850 to 2200")]
    BadBirthYear {
        /// What was given.
        year: u16,
    },
    /// More than [`NAME_BYTES_MAX`].
    #[error("the name has {bytes} bytes; at most 200 are matched")]
    NameTooLong {
        /// What was given.
        bytes: usize,
    },
}

impl Fault {
    /// The reason as a word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoName => "no-name",
            Self::OneName => "one-name",
            Self::NoBirthYear => "no-birth-year",
            Self::BadBirthYear { .. } => "bad-birth-year",
            Self::NameTooLong { .. } => "name-too-long",
        }
    }
}
