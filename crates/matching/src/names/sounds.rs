//! The sounds of a token and what is made of them for keys: the fold (all sounds of the likeliest reading), the skeleton (its
//! consonants in fine classes) and the coarse skeletons (the consonants of its likeliest readings in classes that survive a
//! change of script).

use super::romanise::{self, Unit};

/// How many readings of a token are followed while they are spelt out; the least likely are dropped first.
const READINGS_FOLLOWED_MAX: usize = 48;
/// How many coarse skeletons a token has at most.
pub(crate) const COARSE_MAX: usize = 4;

/// A coarse skeleton of so many signs is short.
const SHORT: usize = 2;

/// What a token sounds like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sounds {
    /// The likeliest reading, simplified so that national transcriptions meet.
    pub(crate) fold: String,
    /// Its consonants.
    pub(crate) skeleton: String,
    /// The consonants of the likeliest readings in coarse classes, the likeliest first, none twice.
    pub(crate) coarse: Vec<String>,
}

impl Sounds {
    /// The sounds of a token, or nothing when none of its characters has any.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let readings = readings(&romanise::units(token));
        let first = readings.first()?;
        let fold = fold(first);
        if fold.is_empty() {
            return None;
        }
        let mut coarse: Vec<String> = Vec::new();
        for reading in &readings {
            for code in skeletons(reading, coarse_class) {
                // An unlikely reading may leave every sound out; an empty form would be shared by all who have one.
                if coarse.len() < COARSE_MAX && !code.is_empty() && !coarse.contains(&code) {
                    coarse.push(code);
                }
            }
        }
        // Without consonants and vowels, as in an initial W, the sounds themselves are all there is.
        if coarse.is_empty() {
            coarse.push(fold.clone());
        }
        let skeleton = Some(skeletons(first, fine_class).swap_remove(0)).filter(|code| !code.is_empty());
        Some(Self { skeleton: skeleton.unwrap_or_else(|| fold.clone()), fold, coarse })
    }

    /// Whether it is spoken as one syllable, as the parts of Chinese, Korean and Vietnamese names are.
    pub(crate) fn is_syllable(&self) -> bool {
        groups(&self.fold).len() == 1 && self.fold.len() <= 6
    }
}

/// The readings of a chain of units, the likeliest first: those in which the fewest units are read otherwise than first.
fn readings(units: &[Unit]) -> Vec<String> {
    let mut followed: Vec<(usize, String)> = vec![(0, String::new())];
    for unit in units {
        let mut longer = Vec::with_capacity(followed.len() * unit.len());
        for (cost, reading) in &followed {
            for (more, sounds) in unit.iter().enumerate() {
                longer.push((cost + more, format!("{reading}{sounds}")));
            }
        }
        // The sort is stable, so that equals stay in the order in which they were made.
        longer.sort_by_key(|(cost, _)| *cost);
        longer.truncate(READINGS_FOLLOWED_MAX);
        followed = longer;
    }
    followed.into_iter().map(|(_, reading)| reading).collect()
}

/// The likeliest reading without what transcriptions differ in: doubled letters, h except at the beginning, marks of silence.
fn fold(reading: &str) -> String {
    let mut folded = String::new();
    for sound in reading.chars() {
        let keep = match sound {
            '-' => false,
            'h' => folded.is_empty(),
            other => !folded.ends_with(other),
        };
        if keep {
            folded.push(sound);
        }
    }
    folded.replace("ou", "u")
}

/// The vowels that stand together, each group as text.
fn groups(sounds: &str) -> Vec<&str> {
    sounds.split(|sound| !is_vowel(sound)).filter(|group| !group.is_empty()).collect()
}

fn is_vowel(sound: char) -> bool {
    matches!(sound, 'a' | 'e' | 'i' | 'o' | 'u')
}

fn fine_class(sound: char) -> Option<char> {
    Some(match sound {
        'p' | 'b' => 'P',
        'f' | 'v' => 'F',
        't' | 'd' => 'T',
        's' | 'z' | 'c' => 'S',
        'C' | 'S' | 'Z' | 'j' => 'J',
        'k' | 'g' => 'K',
        'l' => 'L',
        'r' => 'R',
        'm' => 'M',
        'n' => 'N',
        _ => return None,
    })
}

/// The class of a consonant that survives a change of script.
pub(crate) fn coarse_class(sound: char) -> Option<char> {
    Some(match fine_class(sound)? {
        'F' => 'P',
        'J' => 'S',
        'R' => 'L',
        other => other,
    })
}

/// The classes of the consonants of a reading: equal ones that touch are one, a nasal takes the place of the lip sound that
/// follows it, and ng is one nasal unless a vowel follows. A beginning without a consonant is marked.
fn classes(reading: &str, class: fn(char) -> Option<char>) -> String {
    let sounds: Vec<char> = reading.chars().collect();
    let mut code = String::new();
    let mut touching = None;
    for (at, sound) in sounds.iter().enumerate() {
        let Some(mut this) = class(*sound) else {
            touching = None;
            if code.is_empty() && (is_vowel(*sound) || *sound == 'h') {
                code.push('A');
            }
            continue;
        };
        let after = sounds.get(at + 1).copied();
        let swallowed = *sound == 'g' && touching == Some('N') && after.is_none_or(|next| !is_vowel(next));
        if *sound == 'n' && matches!(after, Some('p' | 'b' | 'm')) {
            this = 'M';
        }
        if touching != Some(this) && !swallowed {
            code.push(this);
        }
        touching = Some(this);
    }
    code
}

/// The skeletons of a reading in the given classes. A short one keeps its first vowel, because its consonants alone would be shared
/// by too many; where the script does not write it, it may be any.
fn skeletons(reading: &str, class: fn(char) -> Option<char>) -> Vec<String> {
    let code = classes(reading, class);
    if code.len() > SHORT {
        return vec![code];
    }
    match groups(reading).first() {
        _ if reading.contains('-') => ['a', 'i', 'u'].iter().map(|vowel| format!("{code}{vowel}")).collect(),
        Some(group) => vec![format!("{code}{}", nucleus(group))],
        None => vec![code],
    }
}

/// The vowel that carries a syllable: the most open one, in three classes.
fn nucleus(group: &str) -> char {
    if group.contains('a') {
        'a'
    } else if group.contains('o') || group.ends_with('u') {
        'u'
    } else {
        'i'
    }
}
