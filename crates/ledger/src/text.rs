//! Small strict readers that the text formats share: decimals, base64, lines.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;

/// Standard base64 with padding (RFC 4648, section 4).
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads canonical standard base64 of at most `bytes_max` bytes; wrong padding, other alphabets and loose last bits give `None`.
pub(crate) fn decode_base64(encoded: &str, bytes_max: usize) -> Option<Vec<u8>> {
    if encoded.len() > bytes_max.div_ceil(3) * 4 {
        return None;
    }
    STANDARD.decode(encoded).ok().filter(|bytes| bytes.len() <= bytes_max)
}

/// Reads an ASCII decimal without sign and without leading zeroes.
pub(crate) fn decimal(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    if plain && canonical { digits.parse().ok() } else { None }
}

/// Takes one newline-terminated line off the front: the line without its newline, and the rest. `None` when no newline is left.
pub(crate) fn take_line(input: &str) -> Option<(&str, &str)> {
    input.split_once('\n')
}

/// One base64 line for each hash.
pub(crate) fn hash_lines(hashes: &[Hash]) -> String {
    hashes.iter().map(|hash| format!("{hash}\n")).collect()
}

/// Takes at most `hashes_max` lines of base64 hashes and the empty line behind them off the front: the hashes, and the rest.
pub(crate) fn take_hashes(input: &str, hashes_max: usize) -> Option<(Vec<Hash>, &str)> {
    let mut hashes = Vec::new();
    let mut rest = input;
    loop {
        let (line, behind) = take_line(rest)?;
        rest = behind;
        if line.is_empty() {
            return Some((hashes, rest));
        }
        if hashes.len() == hashes_max {
            return None;
        }
        hashes.push(Hash::from_base64(line)?);
    }
}

/// True for a line that a note's text may carry: not empty and without ASCII control characters.
pub(crate) fn is_plain_line(line: &str) -> bool {
    !line.is_empty() && !line.bytes().any(|byte| byte < 0x20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_strict() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "18446744073709551616", "٣"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }
}
