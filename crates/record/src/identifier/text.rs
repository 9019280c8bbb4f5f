//! What is written in letters and digits of any script: number plates, call signs, serial numbers, and whatever else.

use unicode_normalization::UnicodeNormalization;

use super::Fault;

/// The most characters of a number plate.
const PLATE_CHARS_MAX: usize = 20;
/// How many characters a call sign has. Those that ITU's Radio Regulations form (19.45 to 19.73) have up to seven, some of which
/// are followed by what tells boats of one ship apart.
const CALL_SIGN_CHARS: std::ops::RangeInclusive<usize> = 3..=10;

/// Folds a text in Unicode's compatibility form (UAX #15, NFKC). What is folded may be composed anew, so it is brought into that
/// form again; folding the outcome once more changes nothing.
pub(super) fn folded(text: &str, fold: impl Fn(&str) -> String) -> String {
    fold(&text.nfkc().collect::<String>()).nfkc().collect()
}

fn without(text: &str, separator: impl Fn(char) -> bool) -> String {
    text.chars().filter(|c| !separator(*c)).collect()
}

/// Capitals and digits without what stands between them, and before them the country's letters and a colon, if they are given.
/// The country is that of the distinguishing sign (Convention on Road Traffic, Vienna 1968, annex 3) or of ISO 3166. Letters of
/// other scripts stay: no plate is spelt with letters that only look like its own.
pub(super) fn number_plate(value: &str) -> Result<String, Fault> {
    let separator =
        |c: char| c.is_whitespace() || "-./·•・\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2212}".contains(c);
    let plate = folded(value, |text| without(&text.to_uppercase(), separator));
    let (country, own) = plate.split_once(':').map_or((None, plate.as_str()), |(country, own)| (Some(country), own));
    let is_country = |c: &str| (1..=3).contains(&c.len()) && c.bytes().all(|b| b.is_ascii_uppercase());
    let written =
        own.chars().all(|c| c.is_ascii_alphanumeric() || !c.is_ascii()) && own.chars().any(char::is_alphanumeric);
    let sound = country.is_none_or(is_country) && written && own.chars().count() <= PLATE_CHARS_MAX;
    if sound { Ok(plate) } else { Err(Fault::NumberPlate) }
}

/// Capitals and digits without what stands between them (ITU Radio Regulations, article 19).
pub(super) fn call_sign(value: &str) -> Result<String, Fault> {
    let sign = without(value, |c| c.is_whitespace() || c == '-').to_ascii_uppercase();
    let written = sign.bytes().all(|b| b.is_ascii_alphanumeric()) && sign.bytes().any(|b| b.is_ascii_alphabetic());
    if written && CALL_SIGN_CHARS.contains(&sign.len()) { Ok(sign) } else { Err(Fault::CallSign) }
}

/// Capitals without blanks; hyphens and the like may tell two of one maker apart.
pub(super) fn serial_number(value: &str) -> Result<String, Fault> {
    Ok(folded(value, |text| without(&text.to_uppercase(), char::is_whitespace)))
}

/// The text with single blanks. Its case may matter.
pub(super) fn other(value: &str) -> Result<String, Fault> {
    Ok(folded(value, |text| text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_every_character_again_changes_nothing() {
        let bare = |text: &str| without(&text.to_uppercase(), |c| c.is_whitespace() || c == '-');
        let single = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let folds: [&dyn Fn(&str) -> String; 3] = [&bare, &single, &str::to_lowercase];
        // After a letter, before marks that compose with it or whose capital is a letter, and with something to take out between
        // letter and mark.
        let among = |c: char| format!("{c}a{c}\u{301}\u{3b1}{c}\u{345}{c} -\u{308}");
        // Beyond these no character has another form or case.
        for text in (char::MIN..'\u{20000}').chain('\u{2f800}'..'\u{2fa20}').map(among) {
            for fold in folds {
                let once = folded(&text, fold);
                assert_eq!(folded(&once, fold), once, "{}", text.escape_unicode());
            }
        }
    }
}
