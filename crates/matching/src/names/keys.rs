//! The keys of a person: exact text, so that two agencies that never saw each other's spelling can still meet in one. A key is made
//! of two parts of the name, in whichever order they stand, and the year of birth; never of one part alone.

use std::fmt::Write as _;

use super::{
    Fault,
    parts::{Part, parts},
    sounds::Sounds,
};

/// The most keys that a listed person has.
pub const KEYS_LISTED_MAX: usize = 20;
/// The most keys that are asked for a person: those of three years.
pub const KEYS_ASKED_MAX: usize = 3 * KEYS_LISTED_MAX;
/// The most pairs of parts of one name.
const PAIRS_MAX: usize = 6;
/// How unlikely the readings of the two parts may be together: the sum of their places among the readings of each.
const UNLIKELY_MAX: usize = 3;
/// The weight of the less telling of two parts against the sum of both.
const TELLING_BOTH: usize = 16;

/// A person as far as keys need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Person<'a> {
    /// The whole name in any script, its parts in any order.
    pub name: &'a str,
    /// The year of birth (Gregorian); there are no keys without it.
    pub birth_year: Option<u16>,
}

/// How near two names are that share a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Some reading of both has the same consonants in coarse classes.
    Coarse,
    /// The likeliest reading of both has the same consonants.
    Skeleton,
    /// The likeliest reading of both is the same but for doubled letters and the like.
    Fold,
}

impl Level {
    /// The level as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coarse => "coarse",
            Self::Skeleton => "skeleton",
            Self::Fold => "fold",
        }
    }
}

/// One key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    /// What both sides compare, the level included.
    pub text: String,
    /// How near names are that share it.
    pub level: Level,
}

/// The keys under which a holder lists a person: at most [`KEYS_LISTED_MAX`], none twice.
pub fn listed_keys(person: &Person<'_>) -> Result<Vec<Key>, Fault> {
    let year = birth_year(person)?;
    Ok(pair_keys(&parts(person.name)?).into_iter().map(|key| key.in_year(year)).collect())
}

/// The keys that an asker asks for: those of the year of birth and of the years beside it, at most [`KEYS_ASKED_MAX`].
pub fn asked_keys(person: &Person<'_>) -> Result<Vec<Key>, Fault> {
    let year = birth_year(person)?;
    let keys = pair_keys(&parts(person.name)?);
    Ok([year, year - 1, year + 1].iter().flat_map(|year| keys.iter().map(|key| key.in_year(*year))).collect())
}

fn birth_year(person: &Person<'_>) -> Result<u16, Fault> {
    match person.birth_year {
        None => Err(Fault::NoBirthYear),
        Some(year @ 1850..=2200) => Ok(year),
        Some(year) => Err(Fault::BadBirthYear { year }),
    }
}

impl Key {
    /// Two forms in one order, whichever they came in.
    fn of(level: Level, one: &str, other: &str) -> Self {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        Self { text: format!("{} {first} {second}", level.as_str()), level }
    }

    fn in_year(&self, year: u16) -> Self {
        let mut text = self.text.clone();
        // Writing to a string does not fail.
        let _ = write!(text, " {year}");
        Self { text, level: self.level }
    }
}

/// Two parts that are keyed together.
struct Pair {
    one: Sounds,
    other: Sounds,
    /// How much the two tell of their bearer.
    telling: usize,
    /// Whether they meet only when all their sounds are the same.
    whole: bool,
}

/// The keys of all pairs without the year. Every pair has its fold, its skeleton and its likeliest coarse skeleton before any has
/// its less likely ones, so that the limit cuts off what tells least; two unlikely readings are not taken together.
fn pair_keys(parts: &[Part]) -> Vec<Key> {
    let mut ranked: Vec<(usize, usize, Key)> = Vec::new();
    for (at, Pair { one, other, whole, .. }) in pairs(parts).iter().enumerate() {
        ranked.push((0, at, Key::of(Level::Fold, &one.fold, &other.fold)));
        if *whole {
            continue;
        }
        ranked.push((0, at, Key::of(Level::Skeleton, &one.skeleton, &other.skeleton)));
        for (rank, first) in one.coarse.iter().enumerate() {
            for (other_rank, second) in
                other.coarse.iter().enumerate().filter(|(other_rank, _)| rank + other_rank <= UNLIKELY_MAX)
            {
                ranked.push((rank + other_rank, at, Key::of(Level::Coarse, first, second)));
            }
        }
    }
    ranked.sort_by_key(|(unlikely, at, _)| (*unlikely, *at));
    let mut keys: Vec<Key> = Vec::new();
    for (.., key) in ranked {
        if keys.len() < KEYS_LISTED_MAX && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The pairs of parts, the most telling first. Of three parts, two syllables that stand together are also taken as one part,
/// because Chinese and Korean given names are written either way; syllables by themselves then meet only as a whole.
fn pairs(parts: &[Part]) -> Vec<Pair> {
    let syllable = |part: &Part| part.sounds.is_syllable();
    let mut pairs = Vec::new();
    for (at, one) in parts.iter().enumerate() {
        for other in &parts[at + 1..] {
            // What both tell counts less than that neither tells nothing.
            let telling = one.telling().min(other.telling()) * TELLING_BOTH + one.telling() + other.telling();
            let whole = parts.len() > 2 && syllable(one) && syllable(other);
            pairs.push(Pair { one: one.sounds.clone(), other: other.sounds.clone(), telling, whole });
        }
    }
    if let [a, b, c] = parts {
        for (one, other, third) in [(b, c, a), (a, b, c)] {
            let joined =
                Sounds::of(&format!("{}{}", one.written, other.written)).filter(|_| syllable(one) && syllable(other));
            pairs.extend(joined.map(|joined| Pair {
                one: joined,
                other: third.sounds.clone(),
                telling: usize::MAX,
                whole: false,
            }));
        }
    }
    pairs.sort_by(|a, b| b.telling.cmp(&a.telling).then_with(|| a.folds().cmp(&b.folds())));
    pairs.truncate(PAIRS_MAX);
    pairs
}

impl Pair {
    /// Its folds in the order of a key, so that equally telling pairs stand in one order whatever the order of the name.
    fn folds(&self) -> (&str, &str) {
        (self.one.fold.as_str().min(&self.other.fold), self.one.fold.as_str().max(&self.other.fold))
    }
}
