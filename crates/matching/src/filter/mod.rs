//! Filters: how a holder publishes its list to one asker. Whoever has the tag of a listed identifier finds its label there; whoever
//! has none finds random bits.
//!
//! A filter is a static function (Dietzfelbinger and Pagh, "Succinct Data Structures for Retrieval and Approximate Membership",
//! ICALP 2008): the XOR of the four slots of a listed tag is its word of 64 bits, that is 32 bits of check, and the label under
//! a mask of 32 bits. Which four they are is laid out as in a 4-wise binary fuse filter (Graf and Lemire, "Binary Fuse Filters:
//! Fast and Smaller Than Xor Filters", JEA 2022), which has 7.6 % more slots than entries in the full class of ten million.
//!
//! # What it reveals
//!
//! - Its class, and so within what bounds the number of entries is. The number itself it does not reveal: slots that no entry
//!   fixes are random, and those that entries fix are too for whoever lacks their tags, because checks and masks are bits of
//!   the VOPRF. Deltas are filters of their own, and their class says about how much changed.
//! - To whoever has a tag: whether it is listed, and its label. For a tag that is not, four random slots are read; they show the
//!   check by chance once in 2^32 lookups, with a random label. Removals are entries too, of a label that says so.
//! - Nothing about identifiers whose tags one does not have; therefore nobody can try identifiers without either the key or one
//!   answer of the holder for each.
//!
//! # What it does not stand for
//!
//! - That it is whole and the holder's: that is the matter of the signed hash. A changed seed or slot is noticed by that only.
//! - That what is listed is on a list. A holder can list whatever it has the tags of, up to the number of slots. But no slots
//!   answer for everything: a tag's check does not depend on its place, so that for any slots at all one random tag in 2^32 hits.
//!   [`Filter::probe`] tests this, and with it the reader.
//!
//! # Timing
//!
//! A lookup reads memory at places that depend on the tag, and a hit may take another time than a miss. Both are seen by nobody
//! but programs on the asker's own machine, where the tags are. The check is compared as one word. Building touches memory in
//! an order that depends on the list, on the holder's own machine; the memory it works in holds hashes of places and masked labels,
//! none of which are of use without the key, and is not wiped.

mod build;
mod class;
#[cfg(test)]
mod tests;

pub use class::Class;

use self::class::Layout;
use crate::tag::{TAG_BYTES, Tag};

/// What every filter begins with; then follow, in little-endian order, the version and the capacity of the class in four bytes
/// each, the seed in eight, and the slots in eight each.
const MAGIC: [u8; 8] = *b"MUFILTER";
/// The one version there is.
const VERSION: u32 = 1;
/// The length of what stands before the slots. A multiple of 8, so that slots do not straddle the lines of the cache.
const HEADER_BYTES: usize = 24;
const SLOT_BYTES: usize = 8;

/// How many random tags [`Filter::probe`] looks up. One of so many hits by chance in one filter of four million.
pub const PROBES: usize = 1_000;
/// How many lookups run side by side: enough that the processor always has reads to wait for at the same time.
const ABREAST: usize = 32;

/// A filter, in the bytes in which it is published.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    bytes: Vec<u8>,
    class: Class,
    seed: u64,
}

/// Why there is no filter, or why it is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More entries than the class holds.
    #[error("{entries} entries in a class of {capacity}")]
    TooManyEntries {
        /// How many there are.
        entries: usize,
        /// How many the class holds.
        capacity: usize,
    },
    /// Two entries are of the same tag, or at least of the same place.
    #[error("two entries have the same place")]
    Repeated,
    /// No seed places the entries. By chance this does not happen.
    #[error("none of {} seeds places the entries", build::TRIES_MAX)]
    Unplaceable,
    /// The bytes are something else than a filter.
    #[error("not a filter")]
    WrongMagic,
    /// A version of the form that this program does not know.
    #[error("version {0} of filters is not known")]
    UnknownVersion(u32),
    /// A size that is none of the classes.
    #[error("there is no class of {0}")]
    UnknownClass(u32),
    /// Shorter or longer than filters of its class are.
    #[error("{actual} bytes where {expected} belong")]
    WrongSize {
        /// How many bytes its class has, or at least how many any filter has, if there are fewer.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// A random tag hits.
    #[error("a random tag hits")]
    HitsEverything,
}

impl Fault {
    /// The name of the fault, as it stands in records and answers.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooManyEntries { .. } => "too-many-entries",
            Self::Repeated => "repeated",
            Self::Unplaceable => "unplaceable",
            Self::WrongMagic => "wrong-magic",
            Self::UnknownVersion(_) => "unknown-version",
            Self::UnknownClass(_) => "unknown-class",
            Self::WrongSize { .. } => "wrong-size",
            Self::HitsEverything => "hits-everything",
        }
    }
}

impl Filter {
    /// A filter with these tags and labels, which has the size of its class whatever they are. `random` fills what it is given with
    /// secret random bytes: eight for each seed that is tried, and 32 from which the slots follow that no entry fixes.
    pub fn build(class: Class, entries: &[(Tag, u32)], random: &mut impl FnMut(&mut [u8])) -> Result<Self, Fault> {
        let (seed, solution) = build::solve(class, entries, random)?;
        let header = Header { magic: MAGIC, version: VERSION, capacity: class.capacity() as u32, seed };
        let mut bytes = vec![0; class.bytes()];
        bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        for (slot, word) in bytes[HEADER_BYTES..].as_chunks_mut().0.iter_mut().zip(solution) {
            *slot = word.to_le_bytes();
        }
        Ok(Self { bytes, class, seed })
    }

    /// The filter in these bytes, which it keeps as they are. They are refused unless they have the size of the class that they name.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Fault> {
        let actual = bytes.len();
        let Some(header) = Header::of(&bytes) else {
            return Err(Fault::WrongSize { expected: HEADER_BYTES, actual });
        };
        if header.magic != MAGIC {
            return Err(Fault::WrongMagic);
        }
        if header.version != VERSION {
            return Err(Fault::UnknownVersion(header.version));
        }
        let class = Class::of_capacity(header.capacity).ok_or(Fault::UnknownClass(header.capacity))?;
        if actual != class.bytes() {
            return Err(Fault::WrongSize { expected: class.bytes(), actual });
        }
        Ok(Self { bytes, class, seed: header.seed })
    }

    /// The bytes in which it is published.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes in which it is published.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its size class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The label of this tag, if it is listed; of one in 2^32 that are not, a random label.
    pub fn look_up(&self, tag: &Tag) -> Option<u32> {
        label(tag, self.reader().word(tag))
    }

    /// The labels of many tags, in their order: several times as fast as one after another, because the reads of memory overlap.
    pub fn look_up_all(&self, tags: &[Tag]) -> Vec<Option<u32>> {
        let reader = self.reader();
        let mut labels = Vec::with_capacity(tags.len());
        for tags in tags.chunks(ABREAST) {
            // All words are read before any is judged: where a branch waits for a word, later reads would wait too.
            let mut words = [0; ABREAST];
            for (word, tag) in words.iter_mut().zip(tags) {
                *word = reader.word(tag);
            }
            labels.extend(tags.iter().zip(words).map(|(tag, word)| label(tag, word)));
        }
        labels
    }

    /// Looks up random tags, made of what `random` fills in, none of which may hit.
    pub fn probe(&self, random: &mut impl FnMut(&mut [u8])) -> Result<(), Fault> {
        for _ in 0..PROBES {
            let mut bytes = [0; TAG_BYTES];
            random(&mut bytes);
            if self.look_up(&Tag::from_bytes(&bytes)).is_some() {
                return Err(Fault::HitsEverything);
            }
        }
        Ok(())
    }

    fn reader(&self) -> Reader<'_> {
        let (slots, _) = self.bytes[HEADER_BYTES..].as_chunks();
        Reader { layout: self.class.layout(), seed: self.seed, slots }
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("capacity", &self.class.capacity()).finish_non_exhaustive()
    }
}

/// What a word says about a tag.
fn label(tag: &Tag, word: u64) -> Option<u32> {
    ((word >> 32) as u32 == tag.check).then_some(word as u32 ^ tag.mask)
}

/// The slots of a filter, with what it takes to find those of a tag.
#[derive(Clone, Copy)]
struct Reader<'a> {
    layout: Layout,
    seed: u64,
    slots: &'a [[u8; SLOT_BYTES]],
}

impl Reader<'_> {
    /// The XOR of the slots of a tag.
    fn word(self, tag: &Tag) -> u64 {
        let four = self.layout.slots(class::hash(tag.place, self.seed));
        four.iter().fold(0, |sum, &slot| sum ^ u64::from_le_bytes(self.slots[slot]))
    }
}

/// What stands before the slots.
struct Header {
    magic: [u8; 8],
    version: u32,
    capacity: u32,
    seed: u64,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (magic, bytes) = bytes.split_first_chunk()?;
        let (version, bytes) = bytes.split_first_chunk()?;
        let (capacity, bytes) = bytes.split_first_chunk()?;
        let (seed, _) = bytes.split_first_chunk()?;
        let (version, capacity) = (u32::from_le_bytes(*version), u32::from_le_bytes(*capacity));
        Some(Self { magic: *magic, version, capacity, seed: u64::from_le_bytes(*seed) })
    }

    fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.magic);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[16..].copy_from_slice(&self.seed.to_le_bytes());
        bytes
    }
}
