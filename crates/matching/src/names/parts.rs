//! The parts of a name: split, without what is no name (bin, al, haji), with the many spellings of Muhammad as one.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::{Fault, NAME_BYTES_MAX, romanise::Script, sounds::Sounds};

/// A part of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// As it was written, in lower case.
    pub(crate) written: String,
    /// What it sounds like.
    pub(crate) sounds: Sounds,
}

impl Part {
    fn of(written: &str) -> Option<Self> {
        let read = if is_muhammad(written) { "muhammad" } else { written };
        Some(Self { written: written.to_owned(), sounds: Sounds::of(read)? })
    }

    /// How much it tells of its bearer: long names more than short ones; Muhammad and patronymics, of which a bearer may leave
    /// out either, least.
    pub(crate) fn telling(&self) -> usize {
        if self.sounds.fold == "muhamad" || is_patronymic(&self.sounds.fold) {
            0
        } else {
            self.sounds.coarse.first().map_or(0, String::len)
        }
    }
}

/// Words that are never a name of their own: "son of", "daughter of", the Arabic article, and titles of pilgrims.
const DROPPED: &[&str] = &[
    "binti",
    "binte",
    "bint",
    "bt",
    "bte",
    "ibn",
    "ibnu",
    "al",
    "el",
    "ul",
    "haji",
    "hajji",
    "hadji",
    "haj",
    "hajj",
    "hadj",
    "hajjah",
    "hajah",
    "hj",
    "hjh",
    "بنت",
    "ابن",
    "إبن",
    "ال",
    "حاج",
    "حاجي",
    "الحاج",
    "الحاجة",
    "حاجی",
    "хаджи",
    "аль",
    "эль",
    "ибн",
    "бинт",
    "бинти",
    "ハジ",
    "אל",
    "אבן",
];

/// Words that may be a name of their own too (Li Bin, Ben, Lê Thị), dropped while two others remain.
const DROPPED_BESIDE_TWO: &[&str] =
    &["bin", "ben", "van", "von", "thi", "thị", "văn", "бин", "бен", "ван", "фон", "بن", "בן", "بین", "ビン", "フォン"];

/// Little words of European names, dropped likewise unless all parts are syllables.
const DROPPED_FROM_LONGER: &[&str] = &[
    "der", "den", "de", "da", "di", "do", "du", "dos", "das", "del", "della", "la", "le", "y", "де", "デ", "ди", "да",
];

/// Ends of names of the form "… of the faith", written together with what stands before them.
const ENDINGS: &[&str] = &["din", "deen", "eddin", "eddine", "uddin", "الدين", "дин", "уддин"];

/// Beginnings that are written apart or together with what follows them.
const JOINED: &[&str] =
    &["mc", "mac", "o", "abd", "abdu", "abdul", "abdel", "abdal", "abdoul", "абд", "абдул", "абдель", "عبد", "אבו"];

/// The parts of a name that can be matched: two at least.
pub(crate) fn parts(name: &str) -> Result<Vec<Part>, Fault> {
    let parts = all_parts(name)?;
    if parts.len() < 2 { Err(Fault::OneName) } else { Ok(parts) }
}

/// The parts of a name in their order, if only one.
pub(crate) fn all_parts(name: &str) -> Result<Vec<Part>, Fault> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Fault::NameTooLong { bytes: name.len() });
    }
    let mut words = words(name);
    if words.is_empty() {
        return Err(Fault::NoName);
    }
    if let [only] = &words[..] {
        words = native_parts(only);
    }
    words = without_articles(words);
    words.retain(|word| !DROPPED.contains(&word.as_str()));
    words = join_beginnings(&words);
    // Initials and the little words go only as long as two parts remain; those that are also syllables of Chinese and Korean
    // names, only from names of other shapes.
    let syllables = words.iter().filter_map(|word| Sounds::of(word)).all(|sounds| sounds.is_syllable());
    let little = |word: &str| DROPPED_BESIDE_TWO.contains(&word) || !syllables && DROPPED_FROM_LONGER.contains(&word);
    let named = |word: &String| !little(word) && !is_initial(word);
    if words.iter().filter(|word| named(word)).count() >= 2 {
        words.retain(named);
    }
    Ok(words.iter().filter_map(|word| Part::of(word)).collect())
}

/// Drops the Arabic article in the form in which it takes the consonant of its noun: abd az zahra, ibn ar rashid.
fn without_articles(words: Vec<String>) -> Vec<String> {
    let article = |word: &str, noun: &str| {
        let consonants = word.strip_prefix(['a', 'e', 'u']).unwrap_or_default();
        !consonants.is_empty()
            && consonants.len() <= 2
            && noun.starts_with(consonants)
            && noun.len() > consonants.len()
            && words.len() > 2
            && !consonants.starts_with(['a', 'e', 'i', 'o', 'u', 'y'])
    };
    let keep: Vec<bool> =
        (0..words.len()).map(|at| !words.get(at + 1).is_some_and(|noun| article(&words[at], noun))).collect();
    words.iter().zip(keep).filter(|(_, keep)| *keep).map(|(word, _)| word.clone()).collect()
}

/// The words of a name: compatibility forms and case are folded; all but letters, their marks and apostrophes separates.
fn words(name: &str) -> Vec<String> {
    let folded: String = name.nfkc().collect::<String>().to_lowercase().nfkc().collect();
    let inside = |letter: char| letter.is_alphanumeric() || is_combining_mark(letter) || is_apostrophe(letter);
    folded
        .split(|letter| !inside(letter))
        .map(|word| {
            word.chars()
                .filter(|letter| !letter.is_numeric() || Script::of(*letter) == Some(Script::Han))
                .collect::<String>()
        })
        .filter(|word| word.chars().any(char::is_alphabetic))
        .collect()
}

fn is_apostrophe(letter: char) -> bool {
    matches!(letter, '\'' | '’' | '‘' | 'ʼ' | '`' | '´' | '׳' | '״')
}

/// A single Latin, Greek or Cyrillic letter stands for a name that is not written out.
fn is_initial(word: &str) -> bool {
    let mut letters = word.chars();
    let first = letters.next().and_then(Script::of);
    letters.next().is_none() && matches!(first, Some(Script::Latin | Script::Cyrillic | Script::Greek))
}

/// Surnames of two characters, before which a Chinese or Korean name without spaces is not cut.
const DOUBLE_SURNAMES: &[&str] = &[
    "欧阳", "歐陽", "司马", "司馬", "上官", "诸葛", "諸葛", "东方", "東方", "皇甫", "尉迟", "尉遲", "公孙", "公孫",
    "慕容", "令狐", "夏侯", "南宫", "南宮", "남궁", "황보", "제갈", "선우", "독고", "사공",
];

/// A Chinese or Korean name that is written without a space: surname, then given name. Four characters are two and two.
fn native_parts(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let native = |script| letters.iter().all(|letter| Script::of(*letter) == Some(script));
    if !(2..=4).contains(&letters.len()) || !(native(Script::Han) || native(Script::Hangul)) {
        return vec![word.to_owned()];
    }
    let double =
        letters.len() == 4 || letters.len() == 3 && DOUBLE_SURNAMES.iter().any(|surname| word.starts_with(surname));
    let (surname, given) = letters.split_at(if double { 2 } else { 1 });
    vec![surname.iter().collect(), given.iter().collect()]
}

/// Joins what is written apart or together: O Brien, Mac Donald, Abd al Rahman, Shams al Din. Two parts remain at least.
fn join_beginnings(words: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut begun = String::new();
    for (at, word) in words.iter().enumerate() {
        if JOINED.contains(&word.as_str()) && at + 1 < words.len() {
            begun.push_str(word);
        } else if ENDINGS.contains(&word.as_str()) && words.len() > 2 && begun.is_empty() && at > 0 {
            let noun =
                word.strip_prefix("ال").unwrap_or(word).trim_start_matches(['e', 'u', 'у']).trim_start_matches("dd");
            let noun = if noun == "in" || noun == "ine" { "din" } else { noun };
            if let Some(last) = joined.last_mut() {
                last.push_str(noun);
            }
        } else {
            joined.push(servant(&format!("{begun}{word}")));
            begun.clear();
        }
    }
    joined
}

/// A name of the form "servant of the …" in one spelling, without the article, whose consonant is often that of what follows.
fn servant(word: &str) -> String {
    let arabic = word.strip_prefix("عبدال").map(|rest| format!("عبد{rest}"));
    let latin = || {
        let rest = word.strip_prefix("abd")?;
        let rest = rest.trim_start_matches(['a', 'e', 'i', 'o', 'u']);
        let mut letters = rest.chars();
        let (first, second) = (letters.next()?, letters.next()?);
        let article = first == second || first == 'l' && !matches!(second, 'a' | 'e' | 'i' | 'o' | 'u' | 'y');
        article.then(|| format!("abd{}", &rest[first.len_utf8()..]))
    };
    let cyrillic = || {
        let rest = word.strip_prefix("абд")?.trim_start_matches(['а', 'е', 'и', 'о', 'у', 'э']);
        let rest =
            rest.strip_prefix("ль").or_else(|| rest.strip_prefix('л')).filter(|rest| rest.chars().count() > 2)?;
        Some(format!("абд{rest}"))
    };
    arabic.or_else(latin).or_else(cyrillic).unwrap_or_else(|| word.to_owned())
}

/// Whether a word is a spelling of Muhammad, or what it is shortened to.
fn is_muhammad(word: &str) -> bool {
    let mut plain = String::new();
    for letter in word.replace("kh", "h").chars() {
        if !plain.ends_with(letter) {
            plain.push(letter);
        }
    }
    matches!(
        plain.as_str(),
        "md" | "mhd"
            | "mohd"
            | "muhd"
            | "mohamad"
            | "mohamed"
            | "mohamid"
            | "mohamod"
            | "muhamad"
            | "muhamed"
            | "muhamet"
            | "mohamet"
            | "muhamat"
            | "mohamat"
            | "mohmed"
            | "mehmed"
            | "mehmet"
            | "mhamed"
            | "محمد"
            | "мухамад"
            | "мухамед"
            | "мохамед"
            | "мохамад"
            | "магомед"
            | "магомет"
            | "ムハマド"
            | "モハメド"
            | "מוחמד"
            | "穆罕默德"
    )
}

/// Whether a folded part has the ending of a Russian, Ukrainian or Belarusian patronymic.
fn is_patronymic(fold: &str) -> bool {
    ["oviC", "eviC", "ovic", "evic", "ovna", "evna", "iCna", "ovits", "iniCna"]
        .iter()
        .any(|ending| fold.len() > ending.len() && fold.ends_with(ending))
}
