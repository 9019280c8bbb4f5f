//! From folded text to tokens. Where a script has spaces a token is a word. Thai, Lao, Khmer, Burmese, Chinese and Japanese have
//! none: there each letter with its neighbour is a token, and the last letter of a run alone, so that any part of what is
//! written is found by the pairs that it consists of, in their order, and a single letter as the beginning of a pair.

use std::sync::LazyLock;

use unicode_normalization::char::is_combining_mark;

/// The longest token, in bytes; what is longer is found by its beginning of this length.
pub const TOKEN_BYTES_MAX: usize = 128;

/// A part of a text between two separators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A word.
    Word(&'a str),
    /// Letters of a script without spaces.
    Run(&'a str),
}

/// The tokens of folded text.
pub fn words(folded: &str) -> Vec<&str> {
    let mut tokens = Vec::with_capacity(folded.len() / 3);
    for piece in pieces(folded) {
        whole(piece, &mut tokens);
    }
    tokens
}

/// All tokens of a piece.
pub(super) fn whole<'a>(piece: Piece<'a>, tokens: &mut Vec<&'a str>) {
    match piece {
        Piece::Word(word) => tokens.push(word),
        Piece::Run(run) => {
            pairs(run, tokens);
            tokens.extend(run.char_indices().next_back().map(|(last, _)| &run[last..]));
        }
    }
}

/// Each letter with the one behind it.
pub(super) fn pairs<'a>(run: &'a str, tokens: &mut Vec<&'a str>) {
    let ends = run.char_indices().skip(2).map(|(end, _)| end).chain([run.len()]);
    let begins = run.char_indices().map(|(begin, _)| begin);
    // A letter that stands alone has no pair.
    tokens.extend(begins.zip(ends).map(|(begin, end)| &run[begin..end]).filter(|pair| pair.chars().nth(1).is_some()));
}

pub(super) fn pieces(folded: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut begin, mut sort) = (0, Sort::Between);
    for (at, c) in folded.char_indices() {
        let next = Sort::of(c);
        if next != sort {
            pieces.extend(piece(&folded[begin..at], sort));
            (begin, sort) = (at, next);
        }
    }
    pieces.extend(piece(&folded[begin..], sort));
    pieces
}

fn piece(text: &str, sort: Sort) -> Option<Piece<'_>> {
    match sort {
        Sort::Between => None,
        Sort::OfRun => Some(Piece::Run(text)),
        Sort::OfWord => Some(Piece::Word(&text[..text.floor_char_boundary(TOKEN_BYTES_MAX)])),
    }
}

/// What a character does in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// It separates.
    Between,
    /// It belongs to a word.
    OfWord,
    /// It belongs to a run of letters without spaces.
    OfRun,
}

/// The sorts of all characters below U+10000. To work out one of them anew takes longer than all else that is done with it.
static SORTS: LazyLock<Vec<Sort>> =
    LazyLock::new(|| (0..=0xffff).map(|n| char::from_u32(n).map_or(Sort::Between, Sort::worked_out)).collect());

impl Sort {
    fn of(c: char) -> Self {
        SORTS.get(c as usize).copied().unwrap_or_else(|| Self::worked_out(c))
    }

    fn worked_out(c: char) -> Self {
        match c.is_alphanumeric() || is_combining_mark(c) {
            true if is_of_script_without_spaces(c) => Self::OfRun,
            true => Self::OfWord,
            false => Self::Between,
        }
    }
}

/// Letters and vowel signs, without digits and punctuation, of the scripts that are written without spaces between words
/// (Unicode Standard Annex 29, and its blocks).
fn is_of_script_without_spaces(c: char) -> bool {
    matches!(c,
        // Thai and Lao.
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' | '\u{e81}'..='\u{ecf}' | '\u{edc}'..='\u{edf}'
        // Burmese with its extensions, and Khmer.
        | '\u{1000}'..='\u{103f}' | '\u{1050}'..='\u{109f}' | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aa7f}'
        | '\u{1780}'..='\u{17d3}' | '\u{17dc}'..='\u{17dd}'
        // Japanese syllables and Chinese characters.
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fold;
    use super::*;

    #[test]
    fn each_script_has_its_tokens() {
        for (text, tokens) in [
            ("Kapal al-Qasim, IMO 9074729!", "kapal al qasim imo 9074729"),
            ("中国海警 2303", "中国 国海 海警 警 2303"),
            ("海", "海"),
            ("東京とNHK", "東京 京と と nhk"),
            ("เรือ ๑๒", "เร รื ือ อ 12"),
            ("ကမ်း", "ကမ မ် ်း း"),
            ("ខ្មែរ", "ខ្ ្ម មែ ែរ រ"),
            ("ລາວ", "ລາ າວ ວ"),
            ("हिन्दी", "हिन्दी"),
            ("a・b。c", "a b c"),
            ("…—!", ""),
        ] {
            let tokens: Vec<_> = tokens.split_whitespace().collect();
            assert_eq!(words(&fold(text)), tokens, "{text}");
        }
    }

    #[test]
    fn a_long_word_is_its_beginning() {
        for (text, bytes) in
            [("đ".repeat(100), TOKEN_BYTES_MAX), (format!("a{}", "я".repeat(100)), TOKEN_BYTES_MAX - 1)]
        {
            assert_eq!(words(&text).iter().map(|word| word.len()).collect::<Vec<_>>(), [bytes]);
        }
    }

    proptest! {
        #[test]
        fn tokens_hold_nothing_but_letters_and_digits(text in any::<String>()) {
            for token in words(&fold(&text)) {
                prop_assert!(!token.is_empty() && token.len() <= TOKEN_BYTES_MAX);
                prop_assert!(token.chars().all(|c| !c.is_ascii() || c.is_ascii_lowercase() || c.is_ascii_digit()), "{token}");
            }
        }
    }
}
