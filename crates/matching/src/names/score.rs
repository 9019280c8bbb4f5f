//! The score of a candidate, once both sides have disclosed what they hold: how well the parts of the names align, the dates and
//! the nationalities, as a number and in words. It ranks what people look at; it decides nothing.

use std::fmt;

use super::parts::{Part, all_parts};

/// The most parts of a name that are aligned; further ones count as unmatched.
const ALIGNED_MAX: usize = 8;
/// The weights of name, birth and nationality. What one side does not say has no weight.
const WEIGHTS: [u32; 3] = [70, 20, 10];
/// Two parts below this similarity (of 100) are not the same part of a name.
const SIMILAR_MIN: u32 = 55;
/// What a part that the other side does not have costs, of 100, against what one that does not match costs.
const UNMATCHED: u32 = 25;

/// A date of birth, as exact as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Birth {
    /// The year (Gregorian).
    pub year: u16,
    /// The month, 1 to 12, and the day, 1 to 31.
    pub month_day: Option<(u8, u8)>,
}

/// A person as disclosed by one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disclosed<'a> {
    /// The whole name in any script.
    pub name: &'a str,
    /// The date of birth.
    pub birth: Option<Birth>,
    /// The nationality, as a country code; both sides use the same code.
    pub nationality: Option<&'a str>,
}

/// How well two people agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Score {
    /// From 0, nothing agrees, to 100, everything does.
    pub value: u8,
    /// Why, the name first.
    pub reasons: Vec<Reason>,
}

/// One thing that agrees or differs; displayed as a sentence for an officer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A part of both names, as each side writes it, and how alike they sound, of 100.
    Part {
        /// As the first side writes it.
        one: String,
        /// As the second side writes it.
        other: String,
        /// How alike they sound.
        alike: u8,
    },
    /// A part that only one side has.
    Unmatched {
        /// As that side writes it.
        part: String,
    },
    /// One of the names has no letters or is too long.
    NameNotCompared,
    /// The dates of birth are the same.
    SameBirth,
    /// The years of birth are the same, and one side knows no more.
    SameYear,
    /// Day and month are exchanged.
    DayAndMonthExchanged,
    /// Day and month are the same, the years are one apart.
    YearBeside,
    /// The years are one apart, and one side knows no more.
    YearBesideOnly,
    /// The years are the same, day or month differ.
    OtherDay,
    /// The dates of birth differ.
    OtherBirth,
    /// The nationalities are the same.
    SameNationality,
    /// The nationalities differ; people can have several.
    OtherNationality,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part { one, other, alike: 100 } if one == other => write!(f, "“{one}” is in both names"),
            Self::Part { one, other, alike: 100 } => write!(f, "“{one}” and “{other}” sound the same"),
            Self::Part { one, other, alike } => write!(f, "“{one}” and “{other}” sound alike ({alike} of 100)"),
            Self::Unmatched { part } => write!(f, "“{part}” is in one name only"),
            Self::NameNotCompared => f.write_str("the names could not be compared"),
            Self::SameBirth => f.write_str("the dates of birth are the same"),
            Self::SameYear => f.write_str("the years of birth are the same; one side does not know the day"),
            Self::DayAndMonthExchanged => {
                f.write_str("the dates of birth are the same when day and month are exchanged")
            }
            Self::YearBeside => f.write_str("the days of birth are the same, one year apart"),
            Self::YearBesideOnly => f.write_str("the years of birth are one apart; one side does not know the day"),
            Self::OtherDay => f.write_str("the years of birth are the same, the days differ"),
            Self::OtherBirth => f.write_str("the dates of birth differ"),
            Self::SameNationality => f.write_str("the nationalities are the same"),
            Self::OtherNationality => f.write_str("the nationalities differ"),
        }
    }
}

/// Scores two disclosed people against each other. The same whichever comes first, but for the order of the reasons' words.
pub fn score(a: &Disclosed<'_>, b: &Disclosed<'_>) -> Score {
    let mut reasons = Vec::new();
    let name = name(a.name, b.name, &mut reasons);
    let birth = a.birth.zip(b.birth).map(|(a, b)| birth(a, b));
    let nationality = a.nationality.zip(b.nationality).map(|(a, b)| {
        if a.eq_ignore_ascii_case(b) { (100, Reason::SameNationality) } else { (0, Reason::OtherNationality) }
    });
    let (mut total, mut weight) = (name * WEIGHTS[0], WEIGHTS[0]);
    for ((value, reason), own) in
        birth.into_iter().map(|one| (one, WEIGHTS[1])).chain(nationality.map(|one| (one, WEIGHTS[2])))
    {
        total += value * own;
        weight += own;
        reasons.push(reason);
    }
    Score { value: u8::try_from(total / weight).unwrap_or(100), reasons }
}

/// How well two dates agree, of 100.
fn birth(a: Birth, b: Birth) -> (u32, Reason) {
    let beside = a.year.abs_diff(b.year) == 1;
    match a.month_day.zip(b.month_day) {
        Some((one, other)) if a.year == b.year && one == other => (100, Reason::SameBirth),
        Some(((month, day), other)) if a.year == b.year && (day, month) == other => (85, Reason::DayAndMonthExchanged),
        Some(_) if a.year == b.year => (40, Reason::OtherDay),
        Some((one, other)) if beside && one == other => (70, Reason::YearBeside),
        None if a.year == b.year => (80, Reason::SameYear),
        None if beside => (50, Reason::YearBesideOnly),
        _ => (0, Reason::OtherBirth),
    }
}

/// How well two names agree, of 100: the best alignment of their parts, each weighted by its length.
fn name(a: &str, b: &str, reasons: &mut Vec<Reason>) -> u32 {
    let (Ok(a), Ok(b)) = (all_parts(a), all_parts(b)) else {
        reasons.push(Reason::NameNotCompared);
        return 0;
    };
    let pairs = align(&a, &b);
    let weight = |part: &Part| u32::try_from(part.sounds.fold.len()).unwrap_or(u32::MAX).min(12);
    let (mut total, mut most) = (0, 0);
    for (one, other, alike) in &pairs {
        let both = weight(&a[*one]).max(weight(&b[*other]));
        total += alike * both;
        most += 100 * both;
        let (one, other) = (a[*one].written.clone(), b[*other].written.clone());
        reasons.push(Reason::Part { one, other, alike: u8::try_from(*alike).unwrap_or(100) });
    }
    let alone = a.iter().enumerate().filter(|(at, _)| pairs.iter().all(|pair| pair.0 != *at));
    let others = b.iter().enumerate().filter(|(at, _)| pairs.iter().all(|pair| pair.1 != *at));
    for (_, part) in alone.chain(others) {
        most += UNMATCHED * weight(part);
        reasons.push(Reason::Unmatched { part: part.written.clone() });
    }
    // A name of which a single part agrees is the name of a family, not of a person.
    let single = pairs.len() < 2 && a.len().max(b.len()) > 1;
    let value = if most == 0 { 0 } else { total / most.div_ceil(100) };
    value.min(if single { 50 } else { 100 })
}

/// The places of two parts in their names, and how alike they are.
type Aligned = (usize, usize, u32);

/// The pairs of parts with the greatest sum of similarities; no part is in two. Over subsets of the second name's parts.
fn align(a: &[Part], b: &[Part]) -> Vec<Aligned> {
    let (a, b) = (&a[..a.len().min(ALIGNED_MAX)], &b[..b.len().min(ALIGNED_MAX)]);
    let mut best: Vec<Option<(u32, Vec<Aligned>)>> = vec![None; 1 << b.len()];
    best[0] = Some((0, Vec::new()));
    for (at, one) in a.iter().enumerate() {
        let similar: Vec<u32> = b.iter().map(|other| alike(one, other)).collect();
        for taken in (0..best.len()).rev() {
            let Some((sum, pairs)) = best[taken].clone() else { continue };
            for (place, alike) in
                similar.iter().enumerate().filter(|(place, alike)| taken & (1 << place) == 0 && **alike >= SIMILAR_MIN)
            {
                let next = &mut best[taken | 1 << place];
                if next.as_ref().is_none_or(|(other, _)| *other < sum + alike) {
                    let longer = pairs.iter().copied().chain([(at, place, *alike)]).collect();
                    *next = Some((sum + alike, longer));
                }
            }
        }
    }
    best.into_iter().flatten().max_by_key(|(sum, _)| *sum).map(|(_, pairs)| pairs).unwrap_or_default()
}

/// How alike two parts sound, of 100. Parts of which some reading has the same consonants are alike even where one script does not
/// write the vowels.
fn alike(a: &Part, b: &Part) -> u32 {
    let distance = distance(&a.sounds.fold, &b.sounds.fold);
    let longest = u32::try_from(a.sounds.fold.len().max(b.sounds.fold.len())).unwrap_or(u32::MAX).max(1);
    let spelt = 100 - (100 * distance / (CHANGE * longest)).min(100);
    let sounded = if a.sounds.skeleton == b.sounds.skeleton {
        90
    } else if a.sounds.coarse.iter().any(|code| b.sounds.coarse.contains(code)) {
        80
    } else {
        0
    };
    spelt.max(sounded)
}

/// The cost of a change of one sound to another of no kinship.
const CHANGE: u32 = 4;

/// The weighted edit distance of two folds: vowels cost least, sounds of one class little, all others [`CHANGE`].
fn distance(a: &str, b: &str) -> u32 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<u32> = vec![0];
    row.extend(b.iter().scan(0, |sum, sound| {
        *sum += loss(*sound);
        Some(*sum)
    }));
    for one in &a {
        let mut diagonal = row[0];
        row[0] += loss(*one);
        for (at, other) in b.iter().enumerate() {
            let least = (diagonal + change(*one, *other)).min(row[at + 1] + loss(*one)).min(row[at] + loss(*other));
            diagonal = std::mem::replace(&mut row[at + 1], least);
        }
    }
    row[b.len()]
}

fn loss(sound: char) -> u32 {
    if kind(sound) == 'A' { 2 } else { CHANGE }
}

fn change(one: char, other: char) -> u32 {
    match (one == other, kind(one) == kind(other)) {
        (true, _) => 0,
        (false, true) => 1,
        _ => CHANGE,
    }
}

/// The class of a sound for changes: all vowels are one.
fn kind(sound: char) -> char {
    super::sounds::coarse_class(sound).unwrap_or(if sound == 'h' { 'H' } else { 'A' })
}
