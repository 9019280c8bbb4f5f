//! From letters to sounds. A token in any script becomes a chain of units; a unit lists how it may be read, the likeliest first,
//! in one small alphabet of sounds. Where a script leaves open what is spoken (Latin `ch`, `j` and `c`, the Arabic waw), the
//! unit says so, and the keys are made of the likeliest combinations.
//!
//! The sounds: vowels `a e i o u`; consonants `p b f v t d s z k g h l r m n`, `c` (ts), `C` (ch), `S` (sh), `Z` (zh), `j` (as in
//! James); and `-`, which is silent and keeps two equal consonants apart where a script does not write the vowel between them.

use any_ascii::any_ascii_char;

use super::latin;

/// How a letter, or a few together, may be read: the likeliest first.
pub(crate) type Unit = &'static [&'static str];

/// The writing systems that need rules of their own. All others are read as their library romanisation is spelt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Script {
    Latin,
    Cyrillic,
    Greek,
    Arabic,
    Hebrew,
    Thai,
    Kana,
    Han,
    Hangul,
    Other,
}

impl Script {
    /// The script of a letter; marks and apostrophes belong to whatever stands before them.
    pub(crate) fn of(letter: char) -> Option<Self> {
        Some(match u32::from(letter) {
            0x27 | 0x2b0..=0x36f | 0x2019 => return None,
            0x0..=0x24f | 0x1e00..=0x1eff | 0xa720..=0xa7ff => Self::Latin,
            0x370..=0x3ff | 0x1f00..=0x1fff => Self::Greek,
            0x400..=0x52f | 0x1c80..=0x1c8f | 0x2de0..=0x2dff | 0xa640..=0xa69f => Self::Cyrillic,
            0x590..=0x5ff | 0xfb1d..=0xfb4f => Self::Hebrew,
            0x600..=0x6ff | 0x750..=0x77f | 0x8a0..=0x8ff | 0xfb50..=0xfdff | 0xfe70..=0xfefe => Self::Arabic,
            0xe00..=0xe7f => Self::Thai,
            0x3040..=0x30ff | 0x31f0..=0x31ff => Self::Kana,
            0x3005..=0x3007 | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff => Self::Han,
            0xac00..=0xd7a3 => Self::Hangul,
            _ => Self::Other,
        })
    }
}

/// The units of a token, which is lower case and composed; each run of one script by its own rules.
pub(crate) fn units(token: &str) -> Vec<Unit> {
    let letters: Vec<char> = token.chars().collect();
    let mut units = Vec::new();
    let mut from = 0;
    while from < letters.len() {
        let script = Script::of(letters[from]).unwrap_or(Script::Other);
        let run =
            letters[from..].iter().take_while(|l| Script::of(**l).is_none_or(|other| other == script)).count().max(1);
        run_units(script, &letters[from..from + run], &mut units);
        from += run;
    }
    units
}

fn run_units(script: Script, run: &[char], units: &mut Vec<Unit>) {
    match script {
        Script::Latin => latin::units(&latin::letters(run), units),
        Script::Cyrillic => cyrillic(run, units),
        Script::Greek => greek(run, units),
        Script::Arabic => arabic(run, units),
        Script::Hebrew => hebrew(run, units),
        Script::Thai => thai(run, units),
        Script::Kana => kana(run, units),
        Script::Han => run.iter().for_each(|letter| han(*letter, units)),
        Script::Hangul => spoken(&romanised(run), units),
        Script::Other => run.iter().for_each(|letter| other(*letter, units)),
    }
}

/// The library's romanisation: ASCII letters only, lower case.
pub(crate) fn romanised(run: &[char]) -> String {
    let text = run.iter().flat_map(|letter| any_ascii_char(*letter).chars());
    text.filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// How a phonetic romanisation is read: each spelling is one sound. The longest spelling that fits is taken.
const SPOKEN: &[(&str, Unit)] = &[
    ("shch", &["S"]),
    ("dzh", &["j"]),
    ("sh", &["S"]),
    ("ch", &["C"]),
    ("zh", &["Z"]),
    ("kh", &["h", "k"]),
    ("gh", &["g", "h"]),
    ("ph", &["p", "f"]),
    ("bh", &["b"]),
    ("dh", &["d"]),
    ("jh", &["j"]),
    ("th", &["t", "s"]),
    ("ts", &["c"]),
    ("dz", &["z"]),
    ("c", &["C"]),
    ("q", &["k"]),
    ("w", &["v", "u"]),
    ("x", &["ks"]),
    ("y", &["i"]),
];

fn spoken(text: &str, units: &mut Vec<Unit>) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, unit) = SPOKEN
            .iter()
            .find(|(spelling, _)| rest.starts_with(spelling))
            .map_or_else(|| (first.len_utf8(), single(first)), |(spelling, unit)| (spelling.len(), Some(*unit)));
        units.extend(unit);
        rest = &rest[length..];
    }
}

/// A letter that is its own sound.
pub(crate) fn single(letter: char) -> Option<Unit> {
    Some(match letter {
        'a' => &["a"],
        'b' => &["b"],
        'd' => &["d"],
        'e' => &["e"],
        'f' => &["f"],
        'g' => &["g"],
        'h' => &["h"],
        'i' | 'y' => &["i"],
        'j' => &["j"],
        'k' | 'q' => &["k"],
        'l' => &["l"],
        'm' => &["m"],
        'n' => &["n"],
        'o' => &["o"],
        'p' => &["p"],
        'r' => &["r"],
        's' => &["s"],
        't' => &["t"],
        'u' => &["u"],
        'v' => &["v"],
        'z' => &["z"],
        _ => return None,
    })
}

/// The scripts of India write a nasal before a consonant as a mark of its own, which stands third in the block of each script.
fn other(letter: char, units: &mut Vec<Unit>) {
    match u32::from(letter) {
        code @ 0x900..=0xd7f if code % 0x80 == 2 => units.push(&["n"]),
        _ => spoken(&romanised(&[letter]), units),
    }
}

/// Cyrillic in the spellings of all its languages. The letter ge is an h in Ukrainian and Belarusian and stands for the h of other
/// languages in Russian; ha stands for kh and for h.
fn cyrillic(run: &[char], units: &mut Vec<Unit>) {
    let mut from = 0;
    while from < run.len() {
        let next = run.get(from + 1).copied();
        let (length, unit): (usize, Unit) = match (run[from], next) {
            ('д', Some('ж')) => (2, &["j"]),
            ('д', Some('з')) => (2, &["z"]),
            ('т', Some('с')) => (2, &["c"]),
            ('г', _) => (1, &["g", "h"]),
            ('х', _) => (1, &["h", "k"]),
            ('ћ' | 'ч', _) => (1, &["C"]),
            ('ђ' | 'џ', _) => (1, &["j"]),
            ('ј' | 'й' | 'ы' | 'і' | 'ї', _) => (1, &["i"]),
            ('ў', _) => (1, &["u", "v"]),
            ('ё', _) => (1, &["io"]),
            ('ю', _) => (1, &["iu"]),
            ('я', _) => (1, &["ia"]),
            ('э' | 'є', _) => (1, &["e"]),
            ('ь' | 'ъ', _) => (1, &[""]),
            ('љ', _) => (1, &["l"]),
            ('њ', _) => (1, &["n"]),
            (other, _) => {
                spoken(&romanised(&[other]), units);
                from += 1;
                continue;
            }
        };
        units.push(unit);
        from += length;
    }
}

/// Modern Greek: the two-letter spellings of b, d, g and the affricates, which older and newer romanisations write either way.
fn greek(run: &[char], units: &mut Vec<Unit>) {
    let plain: Vec<char> = run.iter().map(|letter| bare(*letter)).collect();
    let mut from = 0;
    while from < plain.len() {
        let first = from == 0;
        let next = plain.get(from + 1).copied();
        let front = |letter: Option<char>| matches!(letter, Some('ε' | 'ι' | 'η' | 'υ'));
        let (length, unit): (usize, Unit) = match (plain[from], next) {
            ('μ', Some('π')) if first => (2, &["b"]),
            ('μ', Some('π')) => (2, &["b", "mp"]),
            ('ν', Some('τ')) if first => (2, &["d"]),
            ('ν', Some('τ')) => (2, &["nt", "d"]),
            ('γ', Some('κ')) if first => (2, &["g"]),
            ('γ', Some('κ' | 'γ')) => (2, &["g", "ng"]),
            ('τ', Some('ζ')) => (2, &["j"]),
            ('τ', Some('σ')) => (2, &["c"]),
            ('ο', Some('υ')) => (2, &["u"]),
            ('α', Some('ι')) => (2, &["e", "ai"]),
            ('ε' | 'ο', Some('ι')) => (2, &["i"]),
            ('α', Some('υ')) => (2, &["av", "au"]),
            ('ε', Some('υ')) => (2, &["ev", "eu"]),
            ('γ', after) if front(after) => (1, &["g", "i"]),
            ('χ', _) => (1, &["h", "k"]),
            ('θ', _) => (1, &["t", "s"]),
            ('ξ', _) => (1, &["ks"]),
            ('ψ', _) => (1, &["ps"]),
            ('η' | 'υ', _) => (1, &["i"]),
            ('β', _) => (1, &["v", "b"]),
            (other, _) => {
                spoken(&romanised(&[other]), units);
                from += 1;
                continue;
            }
        };
        units.push(unit);
        from += length;
    }
}

/// A letter without its marks.
pub(crate) fn bare(letter: char) -> char {
    let mut first = None;
    unicode_normalization::char::decompose_canonical(letter, |part| {
        first.get_or_insert(part);
    });
    first.unwrap_or(letter)
}

/// Arabic letters as Arabic, Persian, Urdu and the Turkic languages of it use them. Short vowels are not written, so equal
/// consonants that follow each other are kept apart; waw and ya are vowels or consonants; ch and ts are written with two letters.
fn arabic(run: &[char], units: &mut Vec<Unit>) {
    // The article is written together with its noun; foreign names in Al begin with another alif.
    let run = match run {
        ['ا', 'ل', noun @ ..] if noun.len() >= 3 => noun,
        _ => run,
    };
    let mut from = 0;
    while from < run.len() {
        let (first, last) = (from == 0, from + 1 == run.len());
        let before = from.checked_sub(1).map(|at| run[at]);
        let vowel_next = matches!(run.get(from + 1), Some('ا' | 'آ' | 'ي' | 'ی' | 'ې' | 'ێ' | 'ە'));
        let (length, unit): (usize, Unit) = match (run[from], run.get(from + 1)) {
            ('ت', Some('ش')) => (2, &["-C"]),
            ('ت', Some('س')) => (2, &["-c"]),
            ('د', Some('ج')) => (2, &["-j"]),
            ('غ' | 'گ', None) if before == Some('ن') => (1, &[""]),
            ('ج', None) if before == Some('ن') => (1, &["", "-j"]),
            ('و' | 'ؤ', _) if first || vowel_next => (1, &["v", "u"]),
            ('و' | 'ؤ', _) if last => (1, &["u"]),
            (letter, _) => (1, arabic_letter(letter)),
        };
        units.push(unit);
        from += length;
    }
}

fn arabic_letter(letter: char) -> Unit {
    match letter {
        'ا' | 'آ' | 'أ' | 'إ' | 'ٱ' | 'ع' | 'ى' | 'ە' | 'ة' => &["a"],
        'و' | 'ؤ' => &["u", "v"],
        'ۆ' | 'ۇ' | 'ۈ' | 'ۉ' => &["u"],
        'ي' | 'ی' | 'ئ' | 'ې' | 'ێ' | 'ے' => &["i"],
        'ب' => &["-b"],
        'پ' => &["-p"],
        'ت' | 'ط' | 'ٹ' => &["-t"],
        'ث' => &["-t", "-s"],
        'ج' => &["-j", "-g"],
        'چ' => &["-C"],
        'ح' | 'ه' | 'ہ' | 'ھ' => &["-h"],
        'خ' => &["-h", "-k"],
        'د' | 'ڈ' => &["-d"],
        'ذ' | 'ض' => &["-d", "-z"],
        'ر' | 'ڑ' => &["-r"],
        'ز' => &["-z"],
        'ژ' => &["-Z"],
        'س' | 'ص' => &["-s"],
        'ش' => &["-S"],
        'ظ' => &["-z", "-d"],
        'غ' | 'گ' | 'ڭ' => &["-g"],
        'ف' => &["-f"],
        'ڤ' | 'ۋ' => &["-v"],
        'ق' | 'ك' | 'ک' => &["-k"],
        'ل' => &["-l"],
        'م' => &["-m"],
        'ن' | 'ں' => &["-n"],
        _ => &[""],
    }
}

/// Hebrew: bet, kaf and pe are stops or fricatives, shin is sh or s, vav and yod vowels or consonants; a geresh makes gimel, zayin
/// and tsadi the sounds of other languages.
fn hebrew(run: &[char], units: &mut Vec<Unit>) {
    for (at, letter) in run.iter().enumerate() {
        let next = run.get(at + 1).copied();
        let geresh = matches!(next, Some('\'' | '\u{5f3}' | '\u{2019}'));
        let unit: Unit = match letter {
            'א' | 'ע' => &["a"],
            'ה' if next.is_none() => &["a"],
            'ה' => &["-h"],
            'ב' => &["-b", "-v"],
            'ג' if geresh => &["-j"],
            'ג' if next.is_none() && at > 0 && run[at - 1] == 'נ' => &[""],
            'ג' => &["-g"],
            'ד' if next != Some('ז') => &["-d"],
            // Written twice, vav is a consonant.
            'ו' if next == Some('ו') => &[""],
            'ו' if at > 0 && run[at - 1] == 'ו' => &["v"],
            'ו' if at == 0 => &["v", "u"],
            'ו' if next.is_none() => &["u"],
            'ו' => &["u", "v"],
            'ז' if geresh => &["-Z"],
            'ז' => &["-z"],
            'ח' => &["-h", "-k"],
            'ט' | 'ד' if next == Some('ש') || next == Some('ס') || next == Some('ז') => &[""],
            'ט' | 'ת' => &["-t"],
            'י' => &["i"],
            'כ' | 'ך' => &["-k", "-h"],
            'ל' => &["-l"],
            'מ' | 'ם' => &["-m"],
            'נ' | 'ן' => &["-n"],
            'ס' => &["-s"],
            'פ' | 'ף' => &["-p", "-f"],
            'צ' | 'ץ' if geresh => &["-C"],
            'צ' | 'ץ' => &["-c"],
            'ק' => &["-k"],
            'ר' => &["-r"],
            'ש' => &["-S", "-s"],
            _ => continue,
        };
        units.push(unit);
    }
}

/// Thai: vowels written before their consonant are spoken after it, a letter under a thanthakhat is silent unless another language
/// speaks it, many letters end a word as t, n or p, and many vowels are not written at all.
fn thai(run: &[char], units: &mut Vec<Unit>) {
    let mut letters: Vec<char> =
        run.iter().copied().filter(|letter| !matches!(letter, '\u{e47}'..='\u{e4b}')).collect();
    let mut at = 0;
    while at + 1 < letters.len() {
        if matches!(letters[at], 'เ' | 'แ' | 'โ' | 'ไ' | 'ใ') {
            letters.swap(at, at + 1);
            at += 1;
        }
        at += 1;
    }
    let mut from = 0;
    while from < letters.len() {
        let next = letters.get(from + 1).copied();
        let (length, unit): (usize, Unit) = match (letters[from], next) {
            ('ส' | 'ซ' | 'ช' | 'ศ', Some('์')) => (2, &["-s", ""]),
            ('ด' | 'ต' | 'ท' | 'ธ', Some('์')) => (2, &["-t", ""]),
            (_, Some('์')) => (2, &[""]),
            ('ร', Some('ร')) if from + 2 < letters.len() => (2, &["a"]),
            ('ร', Some('ร')) => (2, &["an"]),
            ('ท', Some('ร')) => (2, &["-s", "-tr"]),
            ('ห', Some('ล' | 'น' | 'ม' | 'ง' | 'ว' | 'ย' | 'ร')) => (1, &[""]),
            ('ศ' | 'ษ' | 'ส' | 'ซ', None) => (1, &["-t", "-s"]),
            ('จ' | 'ช', None) => (1, &["-t", "-C"]),
            ('ร' | 'ล' | 'ฬ', None) => (1, &["-n", "-l"]),
            ('ว', None) => (1, &["u"]),
            ('ว', _) if from == 0 => (1, &["-v", "u"]),
            (letter, _) => (1, thai_letter(letter)),
        };
        units.push(unit);
        from += length;
    }
}

fn thai_letter(letter: char) -> Unit {
    match letter {
        'ก' | 'ข' | 'ฃ' | 'ค' | 'ฅ' | 'ฆ' => &["-k"],
        'ง' => &["-n"],
        'จ' | 'ฉ' | 'ช' | 'ฌ' => &["-C"],
        'ซ' | 'ศ' | 'ษ' | 'ส' => &["-s"],
        'ญ' => &["i", "-n"],
        'ย' => &["i"],
        'ด' | 'ฎ' | 'ต' | 'ฏ' | 'ฐ' | 'ฑ' | 'ฒ' | 'ถ' | 'ท' | 'ธ' => &["-t"],
        'น' | 'ณ' => &["-n"],
        'บ' | 'ป' | 'ผ' | 'พ' | 'ภ' => &["-p"],
        'ฝ' | 'ฟ' => &["-f"],
        'ม' => &["-m"],
        'ร' => &["-r"],
        'ล' | 'ฬ' => &["-l"],
        'ว' => &["u", "v"],
        'ห' | 'ฮ' => &["-h"],
        'ฤ' => &["-ri"],
        'อ' | 'โ' => &["o"],
        'ะ' | 'ั' | 'า' => &["a"],
        'ำ' => &["am"],
        'ิ' | 'ี' | 'เ' | 'แ' => &["i"],
        'ึ' | 'ื' | 'ุ' | 'ู' => &["u"],
        'ไ' | 'ใ' => &["ai"],
        _ => &[""],
    }
}

/// Kana, both kinds. A small vowel replaces the vowel before it; a small tsu and the long mark are silent.
fn kana(run: &[char], units: &mut Vec<Unit>) {
    for (at, letter) in run.iter().enumerate() {
        // Hiragana lie 0x60 below their katakana.
        let letter = match u32::from(*letter) {
            code @ 0x3041..=0x3096 => char::from_u32(code + 0x60).unwrap_or(*letter),
            _ => *letter,
        };
        let small_next = matches!(
            run.get(at + 1),
            Some(
                'ァ' | 'ィ'
                    | 'ゥ'
                    | 'ェ'
                    | 'ォ'
                    | 'ャ'
                    | 'ュ'
                    | 'ョ'
                    | 'ぁ'
                    | 'ぃ'
                    | 'ぅ'
                    | 'ぇ'
                    | 'ぉ'
                    | 'ゃ'
                    | 'ゅ'
                    | 'ょ'
            )
        );
        let unit: Unit = match letter {
            'ッ' | 'ー' => continue,
            // The velar nasal that ends syllables of other languages.
            'グ' if at > 0 && run[at - 1] == 'ン' => continue,
            'フ' if !small_next => &["fu", "hu"],
            'ヅ' => &["zu", "tu"],
            'チ' if small_next => &["C"],
            'チ' => &["Ci", "ti"],
            'ツ' if small_next => &["c"],
            'ツ' => &["cu", "tu"],
            'シ' if small_next => &["S"],
            'シ' => &["Si"],
            'ジ' | 'ヂ' if small_next => &["j"],
            'ジ' | 'ヂ' => &["ji"],
            'ウ' if small_next => &["v", "u"],
            'テ' if small_next => &["t"],
            'デ' if small_next => &["d"],
            'フ' if small_next => &["f"],
            'ヴ' if small_next => &["v"],
            'ヲ' => &["o"],
            'ワ' => &["va", "ua"],
            other => {
                spoken(&romanised(&[other]), units);
                continue;
            }
        };
        units.push(unit);
    }
}

/// A Han character by its Mandarin reading, of which some initials stand for two sounds of other languages; the er that ends
/// transcribed syllables is an l or r.
fn han(letter: char, units: &mut Vec<Unit>) {
    let reading = romanised(&[letter]);
    let initials: &[(&str, Unit)] = &[
        ("er", &["l"]),
        ("zh", &["j"]),
        ("ch", &["C"]),
        ("sh", &["S"]),
        ("j", &["j", "k"]),
        ("q", &["C", "k"]),
        ("x", &["S", "h"]),
        ("r", &["r", "Z"]),
        ("z", &["c"]),
        ("c", &["c"]),
        ("w", &["v", "u"]),
        ("h", &["h", "k"]),
    ];
    let initial = initials.iter().find(|(initial, _)| reading.starts_with(initial));
    units.extend(initial.map(|(_, unit)| *unit));
    let rest = &reading[initial.map_or(0, |(initial, _)| initial.len())..];
    match rest.strip_suffix('n') {
        Some(before) => {
            spoken(before, units);
            units.push(&["n", "m"]);
        }
        None => spoken(rest, units),
    }
}
