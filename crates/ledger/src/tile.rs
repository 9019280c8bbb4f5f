//! Tiles of the tree (C2SP tlog-tiles): up to 256 consecutive hashes of one tile level, their bytes, their paths, and where they are read from.

use std::fmt;

use crate::hash::{HASH_BYTES, Hash};
use crate::text;

/// Tree levels that one tile spans (C2SP tlog-tiles).
pub const TILE_HEIGHT: u32 = 8;
/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;
/// Bytes of a full tile.
pub const TILE_BYTES_MAX: usize = TILE_WIDTH * HASH_BYTES;
/// Highest tile level that a path may name (C2SP tlog-tiles).
pub const LEVEL_MAX: u8 = 63;
/// Longest path that is looked at: the longest real one has two level digits, seven index elements and a partial width.
pub const PATH_BYTES_MAX: usize = 64;

/// Each path element carries three decimal digits of the index.
const PATH_BASE: u64 = 1000;

/// Which tile: its level, its index within the level, and how many hashes of it are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Tile level; level 0 holds leaf hashes.
    pub level: u8,
    /// Index within the level, from the left, starting at 0.
    pub index: u64,
    /// Hashes meant, 1 to 256; 256 is the full tile.
    pub width: u16,
}

/// A tile with its hashes. Full tiles have 256 of them, partial ones fewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Tile level; level 0 holds leaf hashes.
    pub level: u8,
    /// Index within the level, from the left, starting at 0.
    pub index: u64,
    /// The hashes, leftmost first.
    pub hashes: Vec<Hash>,
}

/// Where tiles are kept. The implementation belongs to the caller: a table, a folder, a partner's HTTP server.
pub trait TileSource {
    /// The widest stored tile at this place as its concatenated hashes, or `None` when nothing is stored there. What is returned may be wider
    /// than the reader needs, because a tile at the right edge grows.
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, SourceError>;
}

/// The place where tiles are kept could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tiles cannot be read: {0}")]
pub struct SourceError(pub String);

/// Why bytes are not a tile, or text is not the path of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not between 1 and 256 whole hashes.
    #[error("{bytes} bytes are not between 1 and {TILE_WIDTH} hashes")]
    Length {
        /// Bytes that came.
        bytes: usize,
    },
    /// Not a canonical tile path.
    #[error("not the path of a tile")]
    Path,
}

/// Why a tile that the tree must have could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing is stored there.
    #[error("{0} is missing")]
    Missing(Place),
    /// What is stored holds fewer hashes than the tree size demands.
    #[error("{place} is stored with only {have} hashes")]
    Narrow {
        /// The tile that was needed.
        place: Place,
        /// Hashes that are stored.
        have: usize,
    },
    /// What is stored is not a whole number of hashes, or too many.
    #[error("{place} is stored with {bytes} bytes, which is no tile")]
    Malformed {
        /// The tile that was needed.
        place: Place,
        /// Bytes that are stored.
        bytes: usize,
    },
    /// The source itself failed.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Place {
    /// The C2SP path: `tile/0/x001/234` for a full tile, with `.p/W` behind it for a partial one.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Reads a C2SP tile path; only the canonical spelling is accepted.
    pub fn parse(path: &str) -> Result<Self, ParseError> {
        if path.len() > PATH_BYTES_MAX {
            return Err(ParseError::Path);
        }
        // The reader below is lenient about spelling; comparing with the one canonical spelling makes it strict.
        read_path(path).filter(|place| place.path() == path).ok_or(ParseError::Path)
    }

    /// Tiles of `level` that hold anything in a tree of `size` leaves; the last may be partial.
    pub(crate) fn count(level: u8, size: u64) -> u64 {
        hashes_at(level, size).div_ceil(TILE_WIDTH as u64)
    }

    /// The tile at `index` of `level` as wide as a tree of `size` leaves demands, or `None` when that tree has no hash in it.
    pub(crate) fn within(level: u8, index: u64, size: u64) -> Option<Self> {
        let start = index.checked_mul(TILE_WIDTH as u64)?;
        let left = hashes_at(level, size).checked_sub(start)?.min(TILE_WIDTH as u64);
        // `left` is at most 256, so the narrowing is exact.
        if left == 0 { None } else { Some(Self { level, index, width: left as u16 }) }
    }
}

/// Hashes at a tile level of a tree with `size` leaves: the complete subtrees of that height.
pub(crate) fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        let mut divisor = 1;
        while self.index / divisor >= PATH_BASE {
            divisor *= PATH_BASE;
        }
        while divisor > 1 {
            write!(f, "x{:03}/", self.index / divisor % PATH_BASE)?;
            divisor /= PATH_BASE;
        }
        write!(f, "{:03}", self.index % PATH_BASE)?;
        if usize::from(self.width) < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

fn read_path(path: &str) -> Option<Place> {
    let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let level = text::decimal(level).and_then(|level| u8::try_from(level).ok()).filter(|level| *level <= LEVEL_MAX)?;
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, text::decimal(width).filter(|width| (1..TILE_WIDTH as u64).contains(width))?),
        None => (rest, TILE_WIDTH as u64),
    };
    let mut sum = 0u64;
    for element in index.split('/') {
        let digits = element.strip_prefix('x').unwrap_or(element);
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        sum = sum.checked_mul(PATH_BASE)?.checked_add(digits.parse().ok()?)?;
    }
    // `width` is at most 256, so the narrowing is exact.
    Some(Place { level, index: sum, width: width as u16 })
}

impl Tile {
    /// Where this tile belongs.
    pub fn place(&self) -> Place {
        // Tiles are built with at most 256 hashes; a wider one made by hand is shown as full.
        Place { level: self.level, index: self.index, width: self.hashes.len().min(TILE_WIDTH) as u16 }
    }

    /// The C2SP path of this tile.
    pub fn path(&self) -> String {
        self.place().path()
    }

    /// The concatenated hashes, which is what is stored and served.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_bytes(&self.hashes)
    }

    /// Reads a stored or fetched tile: between 1 and 256 whole hashes.
    pub fn from_bytes(level: u8, index: u64, bytes: &[u8]) -> Result<Self, ParseError> {
        let hashes = hashes_from_bytes(bytes).ok_or(ParseError::Length { bytes: bytes.len() })?;
        Ok(Self { level, index, hashes })
    }
}

pub(crate) fn to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn hashes_from_bytes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    let whole = rest.is_empty() && (1..=TILE_WIDTH).contains(&hashes.len());
    whole.then(|| hashes.iter().copied().map(Hash::from).collect())
}

/// Reads the tile at `place` and gives exactly `place.width` hashes.
pub(crate) fn read(source: &dyn TileSource, place: Place) -> Result<Vec<Hash>, ReadError> {
    let bytes = source.tile(place.level, place.index)?.ok_or(ReadError::Missing(place))?;
    let mut hashes = hashes_from_bytes(&bytes).ok_or(ReadError::Malformed { place, bytes: bytes.len() })?;
    if hashes.len() < usize::from(place.width) {
        return Err(ReadError::Narrow { place, have: hashes.len() });
    }
    hashes.truncate(usize::from(place.width));
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_the_specification() {
        let check = |level, index, width, expect: &str| {
            let place = Place { level, index, width };
            assert_eq!(place.path(), expect);
            assert_eq!(Place::parse(expect), Ok(place));
        };
        check(0, 0, 256, "tile/0/000");
        check(0, 1_234_067, 256, "tile/0/x001/x234/067");
        check(1, 999, 255, "tile/1/999.p/255");
        check(2, 1000, 1, "tile/2/x001/000.p/1");
        check(63, u64::MAX, 256, "tile/63/x018/x446/x744/x073/x709/x551/615");
    }

    #[test]
    fn loose_paths_are_refused() {
        for bad in [
            "",
            "tile/0",
            "tile/0/",
            "tile/00/000",
            "tile/64/000",
            "tile/0/0",
            "tile/0/x000/001",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/+01",
            "tile/entries/000",
        ] {
            assert_eq!(Place::parse(bad), Err(ParseError::Path), "{bad:?}");
        }
    }

    #[test]
    fn the_example_tree_of_the_specification_has_its_tiles() {
        let size = 70_000;
        assert_eq!(Place::count(0, size), 274);
        assert_eq!(Place::within(0, 273, size).unwrap().width, 112);
        assert_eq!(Place::count(1, size), 2);
        assert_eq!(Place::within(1, 1, size).unwrap().width, 17);
        assert_eq!(Place::within(2, 0, size).unwrap().width, 1);
        assert_eq!(Place::within(2, 1, size), None);
        assert_eq!(Place::within(3, 0, size), None);
        assert_eq!(Place::within(63, 0, u64::MAX), None);
    }

    #[test]
    fn bytes_are_whole_hashes() {
        for bad in [0, 1, 31, 33, TILE_BYTES_MAX + HASH_BYTES] {
            assert_eq!(Tile::from_bytes(0, 0, &vec![0; bad]), Err(ParseError::Length { bytes: bad }));
        }
        let bytes: Vec<u8> = (0..64).collect();
        let tile = Tile::from_bytes(3, 7, &bytes).unwrap();
        assert_eq!(tile.to_bytes(), bytes);
        assert_eq!(tile.path(), "tile/3/007.p/2");
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "tile/[0-9]{1,2}/(x?[0-9]{3}/){0,8}[0-9]{3}(\\.p/[0-9]{1,3})?") {
            if let Ok(place) = Place::parse(&path) {
                prop_assert_eq!(place.path(), path);
            }
        }

        #[test]
        fn each_place_survives_its_path(level in 0..=LEVEL_MAX, index: u64, width in 1u16..=256) {
            let place = Place { level, index, width };
            prop_assert_eq!(Place::parse(&place.path()), Ok(place));
        }
    }
}
