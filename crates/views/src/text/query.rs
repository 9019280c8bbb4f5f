//! What a question means: phrases that must all be in a record.
//!
//! Words are separated by spaces and must all be there, in any order. What stands between two quotation marks must be there as
//! it stands. A star at the end of a word stands for any ending.

use super::words::{Piece, pairs, pieces, whole};
use super::{TOKEN_BYTES_MAX, fold};

/// The longest question, in bytes.
pub const QUERY_BYTES_MAX: usize = 1_000;
/// How many words and phrases one question may have.
pub const ITEMS_MAX: usize = 32;
/// The fewest letters before a star. Fewer begin so many words that the answer says nothing.
pub const PREFIX_CHARS_MIN: usize = 3;

/// Tokens that must stand behind each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// The tokens; never none.
    pub tokens: Vec<String>,
    /// Whether the last token may go on.
    pub prefix: bool,
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// It is longer than [`QUERY_BYTES_MAX`].
    #[error("it has more than {QUERY_BYTES_MAX} bytes")]
    TooLong,
    /// It has more than [`ITEMS_MAX`] words and phrases.
    #[error("it has more than {ITEMS_MAX} words and phrases")]
    TooMany,
    /// Some part of it has neither letters nor digits.
    #[error("it has a word without letters and digits")]
    NoWord,
    /// A quotation mark has no partner.
    #[error("a quotation mark has no partner")]
    Unclosed,
    /// A star is not at the end of a word.
    #[error("a star stands only at the end of a word, outside of quotation marks")]
    Star,
    /// Too little stands before a star.
    #[error("before a star stand at least {PREFIX_CHARS_MIN} letters or digits")]
    ShortPrefix,
}

/// Reads a question.
pub fn phrases(query: &str) -> Result<Vec<Phrase>, Unclear> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(Unclear::TooLong);
    }
    let mut phrases = Vec::new();
    // Every second part stands between quotation marks; those that typographers prefer count as well.
    let parts: Vec<&str> = query.split(['"', '“', '”', '„', '«', '»']).collect();
    if parts.len().is_multiple_of(2) {
        return Err(Unclear::Unclosed);
    }
    for (number, part) in parts.into_iter().enumerate() {
        if number % 2 == 1 {
            if part.contains('*') {
                return Err(Unclear::Star);
            }
            phrases.push(phrase(part, false)?);
        } else {
            for item in part.split_whitespace() {
                let (word, prefix) = item.strip_suffix('*').map_or((item, false), |word| (word, true));
                if word.contains('*') {
                    return Err(Unclear::Star);
                }
                phrases.push(phrase(word, prefix)?);
            }
        }
    }
    if phrases.len() > ITEMS_MAX { Err(Unclear::TooMany) } else { Ok(phrases) }
}

fn phrase(text: &str, star: bool) -> Result<Phrase, Unclear> {
    let folded = fold(text);
    let mut pieces = pieces(&folded);
    let last = pieces.pop().ok_or(Unclear::NoWord)?;
    let mut tokens = Vec::new();
    for piece in pieces {
        whole(piece, &mut tokens);
    }
    let prefix = match last {
        Piece::Word(word) => {
            if star && word.chars().count() < PREFIX_CHARS_MIN {
                return Err(Unclear::ShortPrefix);
            }
            tokens.push(word);
            // A token that was cut goes on by itself.
            star && word.len() < TOKEN_BYTES_MAX
        }
        // In a record more may follow, so the last letter is sought as a part of its pair; one letter alone begins one.
        Piece::Run(run) => {
            let before = tokens.len();
            pairs(run, &mut tokens);
            let alone = tokens.len() == before;
            if alone {
                tokens.push(run);
            }
            alone
        }
    };
    Ok(Phrase { tokens: tokens.into_iter().map(str::to_owned).collect(), prefix })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words;
    use super::*;

    fn shown(query: &str) -> Result<String, Unclear> {
        let shown = |phrase: Phrase| phrase.tokens.join(" ") + if phrase.prefix { "*" } else { "" };
        Ok(phrases(query)?.into_iter().map(shown).collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn questions_become_phrases() {
        for (query, phrases) in [
            ("", ""),
            ("Nguyễn  văn", "nguyen|van"),
            ("\"Nguyễn văn\" duc", "nguyen van|duc"),
            ("“al-Qasim”", "al qasim"),
            ("al-Qasim", "al qasim"),
            ("kapa*", "kapa*"),
            ("\"中国 海警\"", "中国 国 海警"),
            ("中国海警", "中国 国海 海警"),
            ("海", "海*"),
            ("海警*", "海警"),
            ("\"海 2303\"", "海 2303"),
            ("ตร", "ตร"),
            ("محمّد", "محمد"),
        ] {
            assert_eq!(shown(query).as_deref(), Ok(phrases), "{query}");
        }
        for (query, unclear) in [
            ("a \"b", Unclear::Unclosed),
            ("- a", Unclear::NoWord),
            ("\"\"", Unclear::NoWord),
            ("a*b", Unclear::Star),
            ("\"ab*\"", Unclear::Star),
            ("ab*", Unclear::ShortPrefix),
            ("*", Unclear::NoWord),
            (&"a ".repeat(ITEMS_MAX + 1), Unclear::TooMany),
            (&"a".repeat(QUERY_BYTES_MAX + 1), Unclear::TooLong),
        ] {
            assert_eq!(shown(query), Err(unclear), "{query}");
        }
    }

    /// Whether a record with these tokens is found.
    fn finds(tokens: &[&str], phrase: &Phrase) -> bool {
        let (last, before) = phrase.tokens.split_last().unwrap();
        tokens.windows(phrase.tokens.len()).any(|window| {
            let (end, begin) = window.split_last().unwrap();
            begin == before && if phrase.prefix { end.starts_with(last.as_str()) } else { end == last }
        })
    }

    proptest! {
        #[test]
        fn any_part_of_a_run_is_found(text in "[ก-ฮ一-龥]{1,12}", cut in any::<(prop::sample::Index, prop::sample::Index)>()) {
            let letters: Vec<char> = text.chars().collect();
            let (a, b) = (cut.0.index(letters.len()), cut.1.index(letters.len()));
            let part: String = letters[a.min(b)..=a.max(b)].iter().collect();
            let folded = fold(&text);
            let tokens = words(&folded);
            prop_assert!(phrases(&part).unwrap().iter().all(|phrase| finds(&tokens, phrase)), "{part} in {text}");
        }

        #[test]
        fn whole_words_are_found_as_they_stand(parts in prop::collection::vec("[a-zỳ-ỹа-я]{1,6}|[一-龥]{1,4}", 1..6)) {
            let text = parts.join(" ");
            let folded = fold(&text);
            let tokens = words(&folded);
            let phrases = phrases(&format!("\"{text}\"")).unwrap();
            prop_assert!(finds(&tokens, &phrases[0]), "{text}");
        }

        #[test]
        fn never_panics(query in any::<String>()) {
            let _ = phrases(&query);
        }
    }
}
