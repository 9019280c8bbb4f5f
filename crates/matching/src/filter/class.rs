//! The size classes of filters, and where in a filter the slots of a tag are.

use super::{HEADER_BYTES, SLOT_BYTES};

/// The sizes in which filters are published. How many slots a filter has depends on its class alone, so that its size tells no
/// more about the list than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(u8);

/// What each class holds, how long its segments are (as a power of two) and how many it has.
///
/// Longer segments need fewer slots until the ends of the filter, which are sparse, weigh too much. Graf and Lemire give lengths
/// of segments and numbers of slots for lists of any size; these are theirs, with some segments more where measurement asked
/// for them. At least 97 of 100 seeds place a full list up to 20,000, and more than 99 place one of more than that.
const SIZES: [(u32, u8, u16); 14] = [
    (1_000, 5, 44),
    (2_000, 6, 41),
    (5_000, 7, 49),
    (10_000, 8, 47),
    (20_000, 8, 92),
    (50_000, 9, 112),
    (100_000, 10, 111),
    (200_000, 10, 217),
    (500_000, 11, 267),
    (1_000_000, 12, 263),
    (2_000_000, 13, 263),
    (5_000_000, 13, 657),
    (10_000_000, 14, 657),
    (16_777_216, 14, 1_101),
];

impl Class {
    /// The smallest class that holds so many entries; none when there are more than the largest holds.
    pub fn holding(entries: usize) -> Option<Self> {
        Self::all().find(|class| entries <= class.capacity())
    }

    /// Every class, the smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SIZES.len() as u8).map(Self)
    }

    /// The class that is known by this capacity.
    pub(super) fn of_capacity(capacity: u32) -> Option<Self> {
        Self::all().find(|class| class.size().0 == capacity)
    }

    /// How many entries a filter of this class can list.
    pub fn capacity(self) -> usize {
        self.size().0 as usize
    }

    /// How many slots a filter of this class has, whatever it lists.
    pub fn slots(self) -> usize {
        let (_, segment_bits, segments) = self.size();
        usize::from(segments) << segment_bits
    }

    /// How long a filter of this class is, in bytes.
    pub fn bytes(self) -> usize {
        HEADER_BYTES + self.slots() * SLOT_BYTES
    }

    pub(super) fn layout(self) -> Layout {
        let (_, segment_bits, segments) = self.size();
        let starts = u64::from(segments) - (SLOTS_PER_TAG as u64 - 1);
        Layout { segment_bits, starts: starts << segment_bits }
    }

    fn size(self) -> (u32, u8, u16) {
        SIZES[usize::from(self.0)]
    }
}

/// How many slots are read for a tag.
pub(super) const SLOTS_PER_TAG: usize = 4;

/// Where the slots of a tag are: one in each of four segments in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) segment_bits: u8,
    /// The slots in which the first of the four can be: all but those of the last three segments.
    starts: u64,
}

impl Layout {
    /// The first of the slots. It grows with the hash, so that hashes in order read the filter in order.
    pub(super) fn first_slot(self, hash: u64) -> usize {
        ((u128::from(hash) * u128::from(self.starts)) >> 64) as usize
    }

    /// All four: the high bits of the hash say which the first is, the low ones where in their segments the others are.
    pub(super) fn slots(self, hash: u64) -> [usize; SLOTS_PER_TAG] {
        let (first, bits) = (self.first_slot(hash), self.segment_bits);
        let segment = 1_usize << bits;
        let within = |turn: u8| (hash >> (turn * bits)) as usize & (segment - 1);
        [first, (first + segment) ^ within(0), (first + 2 * segment) ^ within(1), (first + 3 * segment) ^ within(2)]
    }
}

/// The hash of a tag's place under a filter's seed.
///
/// Half of the place goes through the finaliser of MurmurHash3 (Appleby, public domain), whose result is added to the other half.
/// A place is an output of the VOPRF and uniform, so the hash is uniform for every seed, and another seed scatters anew what
/// one could not place.
pub(super) fn hash(place: u128, seed: u64) -> u64 {
    let mut mixed = place as u64 ^ seed;
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (mixed ^ (mixed >> 33)).wrapping_add((place >> 64) as u64)
}
