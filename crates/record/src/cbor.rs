//! The strict form that every message has: deterministic CBOR (RFC 8949 §4.2.1), without floats, within named limits.
//!
//! [`check`] walks the bytes once and allocates nothing; what has passed it is decoded by `minicbor`. Map keys are integers
//! or text, and each key's encoding must be greater than the one before, which excludes duplicates and disorder at once.

use minicbor::{Decode, Encode};

use crate::Reason;

/// How deep arrays, maps and tags may nest.
pub const DEPTH_MAX: usize = 12;
/// How many entries one array or map may have.
pub const ENTRIES_MAX: u64 = 4096;

/// Checks that `bytes` are exactly one item in strict form.
pub fn check(bytes: &[u8]) -> Result<(), Reason> {
    let mut walk = Walk { rest: bytes };
    walk.item(0)?;
    if walk.rest.is_empty() { Ok(()) } else { Err(Reason::TrailingBytes) }
}

/// Checks the strict form and decodes; what decodes must encode to the same bytes again, so a structure has exactly one
/// form and no entries that its type does not know.
pub fn decode<T>(bytes: &[u8]) -> Result<T, Reason>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    check(bytes)?;
    let value: T = minicbor::decode(bytes).map_err(|_| Reason::Malformed)?;
    if encode(&value) == bytes { Ok(value) } else { Err(Reason::Malformed) }
}

/// Encodes a value; types of this project encode their map keys in ascending order, which [`decode`] relies on.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    // Writing into a Vec cannot fail, and our Encode impls raise no errors of their own.
    minicbor::to_vec(value).expect("encoding into memory")
}

/// All text in an item in strict form, in its order; of anything else nothing.
pub fn texts(bytes: &[u8]) -> Vec<&str> {
    let mut texts = Vec::new();
    if check(bytes).is_err() {
        return texts;
    }
    // What is in strict form is one item after the other, whatever they are part of.
    let mut walk = Walk { rest: bytes };
    while let Ok((major, argument)) = walk.head() {
        match major {
            2 => drop(walk.take(argument)),
            3 => texts.extend(walk.take(argument).ok().and_then(|text| std::str::from_utf8(text).ok())),
            _ => {}
        }
    }
    texts
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8], Reason> {
        let n = usize::try_from(n).map_err(|_| Reason::Truncated)?;
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Reason::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Reads an initial byte and its argument, which must be in its shortest form.
    fn head(&mut self) -> Result<(u8, u64), Reason> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        if major == 7 {
            // Only false, true and null; floats and other simple values have no place in the protocol.
            return if matches!(info, 20..=22) { Ok((7, u64::from(info))) } else { Err(Reason::Malformed) };
        }
        let argument = match info {
            0..=23 => return Ok((major, u64::from(info))),
            24 => u64::from(self.take(1)?[0]),
            25..=27 => self.take(1 << (info - 24))?.iter().fold(0, |sum, b| (sum << 8) | u64::from(*b)),
            31 => return Err(Reason::IndefiniteLength),
            _ => return Err(Reason::Malformed),
        };
        let smallest = match info {
            24 => 24,
            25 => 0x100,
            26 => 0x1_0000,
            _ => 0x1_0000_0000,
        };
        if argument < smallest { Err(Reason::NonCanonical) } else { Ok((major, argument)) }
    }

    fn item(&mut self, depth: usize) -> Result<(), Reason> {
        if depth > DEPTH_MAX {
            return Err(Reason::TooDeep);
        }
        let (major, argument) = self.head()?;
        match major {
            0 | 1 | 7 => Ok(()),
            2 => self.take(argument).map(drop),
            3 => std::str::from_utf8(self.take(argument)?).map(drop).map_err(|_| Reason::Malformed),
            4 => {
                self.entries(argument)?;
                (0..argument).try_for_each(|_| self.item(depth + 1))
            }
            5 => {
                self.entries(argument)?;
                self.map(argument, depth)
            }
            // Big numbers (tags 2 and 3, RFC 8949 §3.4.3) would give small integers a second form.
            6 if matches!(argument, 2 | 3) => Err(Reason::NonCanonical),
            _ => self.item(depth + 1),
        }
    }

    fn entries(&self, n: u64) -> Result<(), Reason> {
        if n > ENTRIES_MAX { Err(Reason::ListTooLong) } else { Ok(()) }
    }

    fn map(&mut self, entries: u64, depth: usize) -> Result<(), Reason> {
        let mut last: &[u8] = &[];
        for _ in 0..entries {
            let before = self.rest;
            let (major, argument) = self.head()?;
            match major {
                0 | 1 => {}
                3 => std::str::from_utf8(self.take(argument)?).map(drop).map_err(|_| Reason::Malformed)?,
                _ => return Err(Reason::Malformed),
            }
            let key = &before[..before.len() - self.rest.len()];
            match key.cmp(last) {
                std::cmp::Ordering::Less => return Err(Reason::NonCanonical),
                std::cmp::Ordering::Equal => return Err(Reason::DuplicateKey),
                std::cmp::Ordering::Greater => last = key,
            }
            self.item(depth + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(hex_text: &str, reason: Reason) {
        assert_eq!(check(&hex::decode(hex_text).unwrap()), Err(reason), "{hex_text}");
    }

    #[test]
    fn strict_form() {
        for good in ["00", "1818", "20", "40", "6161", "80", "a0", "a201020304", "a2010261610a", "d28440a04040", "f6"] {
            assert_eq!(check(&hex::decode(good).unwrap()), Ok(()), "{good}");
        }
        refused("", Reason::Truncated);
        refused("4261", Reason::Truncated);
        refused("82", Reason::Truncated);
        refused("0000", Reason::TrailingBytes);
        refused("1817", Reason::NonCanonical);
        refused("190001", Reason::NonCanonical);
        refused("1a0000ffff", Reason::NonCanonical);
        refused("1b00000000ffffffff", Reason::NonCanonical);
        refused("580161", Reason::NonCanonical);
        refused("c24101", Reason::NonCanonical);
        refused("c349010000000000000000", Reason::NonCanonical);
        refused("a203040102", Reason::NonCanonical);
        refused("a201020103", Reason::DuplicateKey);
        refused("5f4161ff", Reason::IndefiniteLength);
        refused("9f00ff", Reason::IndefiniteLength);
        refused("bf0000ff", Reason::IndefiniteLength);
        refused("f93c00", Reason::Malformed);
        refused("f7", Reason::Malformed);
        refused("61ff", Reason::Malformed);
        refused("a1400 0".replace(' ', "").as_str(), Reason::Malformed);
        refused("1c", Reason::Malformed);
        refused("991001", Reason::ListTooLong);
        refused("9b7fffffffffffffff", Reason::ListTooLong);
        refused("5b7fffffffffffffff", Reason::Truncated);
        refused(&format!("{}00", "81".repeat(DEPTH_MAX + 1)), Reason::TooDeep);
    }

    #[test]
    fn texts_are_found_wherever_they_stand() {
        // {1: "ab", 2: [h'6363', "d", {"k": "e"}], 3: 7}
        let item = hex::decode("a301626162028342636361 64a1616b6165 0307".replace(' ', "")).unwrap();
        assert_eq!(texts(&item), ["ab", "d", "k", "e"]);
        assert_eq!(texts(&item[..item.len() - 1]), [""; 0]);
        assert_eq!(texts(b"\x00"), [""; 0]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = check(&bytes);
            let _ = texts(&bytes);
        }
    }
}
