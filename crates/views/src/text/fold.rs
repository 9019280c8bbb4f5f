//! Folding: the form in which letters are compared, without what people leave out when they are in a hurry or have no key for.

use std::sync::LazyLock;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Text without case, accents, and the differences between forms of one letter; the same for a record and for a question.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    // Nothing composes with a space, and no mark passes over one.
    for (number, part) in text.split(' ').enumerate() {
        if number > 0 {
            folded.push(' ');
        }
        let begin = folded.len();
        let alone = part.chars().map(|c| ALONE.get(c as usize).copied().flatten());
        if !alone.into_iter().all(|c| c.map(|c| folded.push(c)).is_some()) {
            folded.truncate(begin);
            folded.extend(worked_out(part));
        }
    }
    folded
}

/// What becomes of each character below U+10000 that becomes one character whatever stands beside it; nothing for others. Most text
/// consists of such characters, and to decompose and compose all of it takes longer than to list its words.
static ALONE: LazyLock<Vec<Option<char>>> = LazyLock::new(|| (0..=0xffff).map(|n| alone(char::from_u32(n)?)).collect());

fn alone(c: char) -> Option<char> {
    let is_mark = |c| canonical_combining_class(c) != 0;
    if c.nfkd().any(|c| is_mark(c) && !is_left_out(c)) {
        return None;
    }
    let folded: Vec<char> = worked_out(c.encode_utf8(&mut [0; 4])).collect();
    let [one] = folded[..] else { return None };
    let composes_with_none = is_nfc_quick(std::iter::once(one)) == IsNormalized::Yes;
    (!is_mark(one) && composes_with_none).then_some(one)
}

fn worked_out(text: &str) -> impl Iterator<Item = char> {
    let mut last = '\0';
    // Decomposing gives capitals in other forms their plain one, and small letters may be decomposed again.
    let stripped = text.nfkd().flat_map(char::to_lowercase).nfkd().filter(move |c| {
        let before = std::mem::replace(&mut last, *c);
        // The short i of Russian is a letter of its own (и and a breve, decomposed).
        !is_left_out(*c) || (*c == '\u{306}' && before == 'и')
    });
    stripped.flat_map(|c| unified(c).into_iter().flatten()).nfc()
}

/// Marks that say how something is pronounced, and characters that nobody sees.
fn is_left_out(c: char) -> bool {
    matches!(c,
        // Accents over and under Latin, Greek and Cyrillic letters; those of Vietnamese are among them.
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}'
        // Arabic vowel signs and the stroke that only stretches a word; Hebrew points.
        | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}'
        | '\u{6df}'..='\u{6e8}' | '\u{6ea}'..='\u{6ed}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}'
        // Soft hyphens, joiners, spaces without width, marks of direction, byte order marks.
        | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
        // Selectors of a glyph's form.
        | '\u{fe00}'..='\u{fe0f}')
}

/// One letter for those that stand for each other, and ASCII digits for all.
fn unified(c: char) -> [Option<char>; 2] {
    let one = |c| [Some(c), None];
    match c {
        'đ' | 'ð' => one('d'),
        'ø' => one('o'),
        'ł' => one('l'),
        'ħ' => one('h'),
        'ı' => one('i'),
        'ŧ' => one('t'),
        'ß' => [Some('s'), Some('s')],
        'æ' => [Some('a'), Some('e')],
        'œ' => [Some('o'), Some('e')],
        'þ' => [Some('t'), Some('h')],
        'ς' => one('σ'),
        // Alef with wasla; alef maksura and the Persian yeh; ta marbuta; the Persian kaf and heh.
        'ٱ' => one('ا'),
        'ى' | 'ی' => one('ي'),
        'ة' | 'ہ' => one('ه'),
        'ک' => one('ك'),
        c => one(digit(c).unwrap_or(c)),
    }
}

/// The first digits of the scripts of the region and its partners; nine more follow each.
const ZEROS: [char; 12] = ['٠', '۰', '०', '০', '௦', '๐', '໐', '༠', '၀', '႐', '០', '᠐'];

fn digit(c: char) -> Option<char> {
    let value = ZEROS.iter().find_map(|zero| u32::from(c).checked_sub(u32::from(*zero)).filter(|value| *value < 10))?;
    char::from_digit(value, 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_are_compared_without_what_is_left_out() {
        for (text, folded) in [
            ("Nguyễn Văn Đức", "nguyen van duc"),
            ("NGUYỄN", "nguyen"),
            ("Nguye\u{302}\u{303}n", "nguyen"),
            ("Ёлка Андрей", "елка андрей"),
            ("İstanbul ISPARTA", "istanbul isparta"),
            ("Straße Ærø Łódź", "strasse aero lodz"),
            ("ΟΔΥΣΣΕΥΣ Ὀδυσσεύς", "οδυσσευσ οδυσσευσ"),
            ("مُحَمَّد", "محمد"),
            ("أحمد إبراهيم آمال ٱلله", "احمد ابراهيم امال الله"),
            ("مـــحـمـد", "محمد"),
            ("مدرسة مستشفى", "مدرسه مستشفي"),
            ("کراچی", "كراچي"),
            ("٠١٢٣ ۴۵ ๑๒ ၃၄ ៥៦ ໗໘", "0123 45 12 34 56 78"),
            ("ＡＢＣ１２３", "abc123"),
            ("ｶﾞｿﾘﾝ が", "ガソリン が"),
            ("ตำรวจ", "ต\u{e4d}\u{e32}รวจ"),
            ("한국", "한국"),
            ("ﬁne", "fine"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_stands_beside_a_letter_makes_no_difference_to_those_folded_alone(
            text in prop_oneof![any::<String>(), "[ A-Cа-йЙё\u{300}-\u{309}ắđ각ᄀ-다-ᅣᆨ-ᆫกำุ้أا\u{654}か\u{3099}が\u{9c7}\u{9be}]{0,12}"]
        ) {
            prop_assert_eq!(fold(&text), worked_out(&text).collect::<String>());
        }

        #[test]
        fn what_is_folded_stays_so(text in any::<String>()) {
            // A capital whose small letter is composed of others may take a second turn; no letter of a living script does.
            let twice = fold(&fold(&text));
            prop_assert_eq!(fold(&twice), twice);
        }

        #[test]
        fn case_and_form_make_no_difference(text in "[a-zA-ZÀ-ỹĐđЁёА-я0-9 ]{0,40}") {
            let folded = fold(&text);
            prop_assert_eq!(fold(&text.nfd().collect::<String>()), folded.clone());
            prop_assert_eq!(fold(&text.to_lowercase()), folded);
        }
    }
}
