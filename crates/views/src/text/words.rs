//! From folded text to tokens. Where a script has spaces a token is a word. Thai, Lao, Khmer, Burmese, Chinese and Japanese have
//! none: there each letter with its neighbour is a token, and the last letter of a run alone, so that any part of what is
//! written is found by the pairs that it consists of, in their order, and a single letter as the beginning of a pair.

use unicode_normalization::char::is_combining_mark;

/// The longest token, in bytes; what is longer is found by its beginning of this length.
pub const TOKEN_BYTES_MAX: usize = 128;

/// A part of a text between two separators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A word.
    Word(String),
    /// Letters of a script without spaces.
    Run(Vec<char>),
}

/// The tokens of folded text.
pub fn words(folded: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for piece in pieces(folded) {
        match piece {
            Piece::Word(word) => tokens.push(word),
            Piece::Run(run) => {
                pairs(&run, &mut tokens);
                tokens.extend(run.last().map(char::to_string));
            }
        }
    }
    tokens
}

/// Each letter with the one behind it.
pub(super) fn pairs(run: &[char], tokens: &mut Vec<String>) {
    tokens.extend(run.windows(2).map(|pair| pair.iter().collect::<String>()));
}

pub(super) fn pieces(folded: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut word, mut run) = (String::new(), Vec::new());
    for c in folded.chars() {
        let (in_run, in_word) = (is_without_spaces(c), is_of_words(c));
        if !in_run {
            end_run(&mut run, &mut pieces);
        }
        if in_run || !in_word {
            end_word(&mut word, &mut pieces);
        }
        if in_run {
            run.push(c);
        } else if in_word {
            word.push(c);
        }
    }
    end_run(&mut run, &mut pieces);
    end_word(&mut word, &mut pieces);
    pieces
}

fn end_run(run: &mut Vec<char>, pieces: &mut Vec<Piece>) {
    if !run.is_empty() {
        pieces.push(Piece::Run(std::mem::take(run)));
    }
}

fn end_word(word: &mut String, pieces: &mut Vec<Piece>) {
    if !word.is_empty() {
        let mut word = std::mem::take(word);
        let end = (0..=TOKEN_BYTES_MAX.min(word.len())).rev().find(|end| word.is_char_boundary(*end)).unwrap_or(0);
        word.truncate(end);
        pieces.push(Piece::Word(word));
    }
}

fn is_of_words(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Letters and vowel signs, without digits and punctuation, of the scripts that are written without spaces between words
/// (Unicode Standard Annex 29, and its blocks).
fn is_without_spaces(c: char) -> bool {
    let of_a_block = matches!(c,
        // Thai and Lao.
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' | '\u{e81}'..='\u{ecf}' | '\u{edc}'..='\u{edf}'
        // Burmese with its extensions, and Khmer.
        | '\u{1000}'..='\u{103f}' | '\u{1050}'..='\u{109f}' | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aa7f}'
        | '\u{1780}'..='\u{17d3}' | '\u{17dc}'..='\u{17dd}'
        // Japanese syllables and Chinese characters.
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}');
    of_a_block && (is_of_words(c) || is_combining_mark(c))
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
            let tokens: Vec<_> = tokens.split_whitespace().map(str::to_owned).collect();
            assert_eq!(words(&fold(text)), tokens, "{text}");
        }
    }

    #[test]
    fn a_long_word_is_its_beginning() {
        let word = words(&"đ".repeat(100)).pop().unwrap();
        assert_eq!(word.len(), TOKEN_BYTES_MAX);
        let word = words(&format!("a{}", "я".repeat(100))).pop().unwrap();
        assert_eq!(word.len(), TOKEN_BYTES_MAX - 1);
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
