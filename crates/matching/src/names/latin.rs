//! Latin letters, which every language reads its own way: what a spelling may stand for, the likeliest first, decided only by the
//! letters beside it. The rules are those that more than one language shares; none is about one name.

use super::romanise::{Unit, bare, romanised, single};

/// The letters as ASCII. Where the mark makes another consonant it is spelt out; all other marks are dropped.
pub(crate) fn letters(run: &[char]) -> String {
    run.iter().fold(String::new(), |mut text, letter| {
        match letter {
            'č' | 'ć' | 'ĉ' => text.push_str("ch"),
            'š' | 'ś' | 'ş' | 'ș' | 'ŝ' => text.push_str("sh"),
            'ž' | 'ź' | 'ż' => text.push_str("zh"),
            'ğ' => text.push_str("gh"),
            'ç' => text.push('c'),
            other => text.push_str(&romanised(&[bare(*other)])),
        }
        text
    })
}

/// What stands after a spelling.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// At the beginning of the token.
    First,
    /// At the end of the token.
    Last,
    /// Before e, i or y.
    Front,
    /// Before any vowel.
    Vowel,
    /// Before a consonant.
    Consonant,
    /// Between two vowels, or after none.
    Open,
    /// At the end or before a consonant.
    Closed,
}

/// The spellings; the first that fits is taken, so longer ones stand before shorter ones.
const SPELLINGS: &[(&str, When, Unit)] = &[
    ("schtsch", When::Always, &["S"]),
    ("shch", When::Always, &["S"]),
    ("stsch", When::Always, &["S"]),
    ("szcz", When::Always, &["S"]),
    ("tsch", When::Always, &["C"]),
    ("dsch", When::Always, &["j"]),
    ("sch", When::Consonant, &["S"]),
    ("sch", When::Always, &["S", "sk"]),
    ("tch", When::Always, &["C"]),
    ("dzh", When::Always, &["j"]),
    ("sh", When::Always, &["S"]),
    ("sz", When::Always, &["S"]),
    ("sj", When::Always, &["S"]),
    ("sc", When::Front, &["S", "sk"]),
    ("zh", When::Always, &["Z"]),
    ("cs", When::Always, &["C"]),
    ("cz", When::Always, &["C"]),
    ("ch", When::Consonant, &["k", "C"]),
    ("ch", When::Always, &["C", "k", "h"]),
    ("cc", When::Front, &["C"]),
    ("cc", When::Always, &["k"]),
    ("ck", When::Always, &["k"]),
    ("c", When::Front, &["s"]),
    ("c", When::Last, &["c", "k"]),
    ("c", When::Consonant, &["k"]),
    ("c", When::Open, &["k", "c"]),
    ("c", When::Always, &["k"]),
    ("dj", When::Always, &["j"]),
    ("dz", When::Always, &["z"]),
    ("dt", When::Always, &["t"]),
    ("gh", When::Vowel, &["g", "h"]),
    ("gh", When::Always, &["h", "g"]),
    ("gn", When::First, &["gn"]),
    ("gn", When::Always, &["n", "gn"]),
    ("gia", When::Always, &["ja", "gia"]),
    ("gio", When::Always, &["jo", "gio"]),
    ("giu", When::Always, &["ju", "giu"]),
    ("gu", When::Front, &["g"]),
    ("g", When::Front, &["g", "j", "h"]),
    ("h", When::First, &["h"]),
    ("h", When::Vowel, &["h"]),
    ("h", When::Always, &[""]),
    ("tj", When::Always, &["C", "ti"]),
    ("lj", When::Vowel, &["l"]),
    ("nj", When::Vowel, &["nj", "n"]),
    ("j", When::Closed, &["i"]),
    ("j", When::First, &["j", "i", "h"]),
    ("j", When::Open, &["j", "i", "h"]),
    ("j", When::Always, &["i", "j"]),
    ("kn", When::First, &["kn", "n"]),
    ("kh", When::Always, &["h", "k"]),
    ("ph", When::Always, &["f"]),
    ("qu", When::Vowel, &["k", "kv"]),
    ("q", When::Always, &["k", "C"]),
    ("rh", When::Always, &["r"]),
    // Named twice, because it is less likely than another reading of another letter.
    ("r", When::Closed, &["r", "r", ""]),
    ("th", When::Always, &["t", "s"]),
    ("ts", When::Always, &["c"]),
    ("tz", When::Always, &["c"]),
    ("wr", When::First, &["r"]),
    ("wh", When::Always, &["v", "u"]),
    ("wsk", When::Always, &["vsk"]),
    ("w", When::Closed, &["u", "v"]),
    ("w", When::Always, &["v", "u"]),
    ("x", When::First, &["S", "h"]),
    ("x", When::Last, &["ks"]),
    ("x", When::Always, &["ks", "S", "h"]),
];

/// The units of a token in ASCII letters.
pub(crate) fn units(text: &str, units: &mut Vec<Unit>) {
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let fits = |&&(spelling, when, _): &&(&str, When, Unit)| {
            text[at..].starts_with(spelling) && holds(when, text, at, spelling.len())
        };
        let (length, unit) = SPELLINGS
            .iter()
            .find(fits)
            .map_or_else(|| (letter.len_utf8(), single(letter)), |(spelling, _, unit)| (spelling.len(), Some(*unit)));
        units.extend(unit);
        at += length;
    }
}

fn holds(when: When, text: &str, at: usize, length: usize) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at + length..].chars().next();
    let vowel = |letter: Option<char>| matches!(letter, Some('a' | 'e' | 'i' | 'o' | 'u' | 'y'));
    match when {
        When::Always => true,
        When::First => before.is_none(),
        When::Last => after.is_none(),
        When::Front => matches!(after, Some('e' | 'i' | 'y')),
        When::Vowel => vowel(after),
        When::Consonant => after.is_some() && !vowel(after),
        When::Open => vowel(after) && (before.is_none() || vowel(before)),
        When::Closed => !vowel(after),
    }
}
