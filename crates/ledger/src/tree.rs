//! The growing tree: its right edge in memory, and the checks that stored tiles still say what they said.

use crate::hash::{Hash, empty_root, node_hash};
use crate::tile::{self, Place, ReadError, SourceError, TILE_HEIGHT, TILE_WIDTH, Tile, TileSource};

/// Tile levels of a tree with up to 2^64 - 1 leaves.
const LEVELS_MAX: u8 = 8;

/// The right edge of the tree, which is all that appending and computing the root need.
///
/// For each tile level it holds the hashes of the incomplete tile (fewer than 256), so a ledger of any size costs a few kilobytes. The caller
/// writes what [`Edge::take_changed`] gives durably, in one transaction, before it signs a checkpoint; when that write fails the edge is ahead of
/// the store and must be thrown away and loaded again.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    size: u64,
    levels: Vec<Level>,
    /// Roots of the complete subtrees that make up the tree, the largest first: one for each bit that is set in `size`.
    peaks: Vec<Hash>,
    /// Tiles that filled up since the last [`Edge::take_changed`].
    filled: Vec<Tile>,
}

/// The incomplete tile of one level.
#[derive(Clone, Debug, Default)]
struct Level {
    hashes: Vec<Hash>,
    changed: bool,
}

impl Edge {
    /// The edge of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the edge of a tree of `size` leaves from stored tiles. The caller compares [`Edge::root`] with its latest checkpoint, since a
    /// damaged tile gives another root.
    pub fn load(size: u64, source: &dyn TileSource) -> Result<Self, ReadError> {
        let mut edge = Self { size, ..Self::default() };
        for level in 0..LEVELS_MAX {
            let hashes = tile::hashes_at(level, size);
            if hashes == 0 {
                break;
            }
            let hashes = match hashes % TILE_WIDTH as u64 {
                0 => Vec::new(),
                // A remainder of 256 is below 256, so the narrowing is exact.
                width => tile::read(source, Place { level, index: hashes / TILE_WIDTH as u64, width: width as u16 })?,
            };
            edge.levels.push(Level { hashes, changed: false });
        }
        edge.peaks = edge.levels.iter().rev().flat_map(|level| peaks(&level.hashes)).collect();
        Ok(edge)
    }

    /// Appends one leaf and gives its index.
    pub fn push(&mut self, leaf: Hash) -> u64 {
        let index = self.size;
        self.put(0, leaf);
        let mut carry = leaf;
        let mut height = 0;
        // Adding a leaf is adding one to a binary counter: each set bit is a peak that merges with what is carried.
        while (index >> height) & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            carry = node_hash(&left, &carry);
            height += 1;
            if height % TILE_HEIGHT == 0 {
                self.fill(height / TILE_HEIGHT - 1, index);
                self.put((height / TILE_HEIGHT) as usize, carry);
            }
        }
        self.peaks.push(carry);
        self.size += 1;
        index
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree (RFC 6962, section 2.1).
    pub fn root(&self) -> Hash {
        self.peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }

    /// Every tile that changed since the last call: those that filled up, in the order in which they did, and then the partial ones as they are now,
    /// lowest level first. A partial tile replaces the narrower one that was stored at its place.
    pub fn take_changed(&mut self) -> Vec<Tile> {
        let mut changed = std::mem::take(&mut self.filled);
        for (level, state) in (0u8..).zip(&mut self.levels) {
            if std::mem::take(&mut state.changed) && !state.hashes.is_empty() {
                let index = tile::hashes_at(level, self.size) / TILE_WIDTH as u64;
                changed.push(Tile { level, index, hashes: state.hashes.clone() });
            }
        }
        changed
    }

    /// The same tiles as `source`, except that the partial tiles of the right edge come from memory. Proofs for the newest checkpoints read
    /// several of those, so this saves up to one read of the store for each level. Tiles that filled up must have been written first.
    pub fn over<'a>(&'a self, source: &'a dyn TileSource) -> EdgeSource<'a> {
        EdgeSource { edge: self, source }
    }

    fn put(&mut self, level: usize, hash: Hash) {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Level::default);
        }
        self.levels[level].hashes.push(hash);
        self.levels[level].changed = true;
    }

    /// Moves the tile of `level`, which the leaf at `index` completed, to those that wait to be written.
    fn fill(&mut self, level: u32, index: u64) {
        let state = &mut self.levels[level as usize];
        let hashes = std::mem::take(&mut state.hashes);
        state.changed = false;
        let index = index.checked_shr(TILE_HEIGHT * (level + 1)).unwrap_or(0);
        // There are eight levels at most, so the narrowing is exact.
        self.filled.push(Tile { level: level as u8, index, hashes });
    }
}

/// Stored tiles with the right edge in front of them; see [`Edge::over`].
#[derive(Clone, Copy)]
pub struct EdgeSource<'a> {
    edge: &'a Edge,
    source: &'a dyn TileSource,
}

impl TileSource for EdgeSource<'_> {
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let at_edge = tile::hashes_at(level, self.edge.size) / TILE_WIDTH as u64 == index;
        match self.edge.levels.get(usize::from(level)) {
            Some(state) if at_edge && !state.hashes.is_empty() => Ok(Some(tile::to_bytes(&state.hashes))),
            _ => self.source.tile(level, index),
        }
    }
}

/// What is wrong with stored tiles. Each variant names the tile or the leaf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A tile cannot be read, is missing, too narrow or no tile at all.
    #[error(transparent)]
    Tile(#[from] ReadError),
    /// A hash of a tile above level 0 is not the hash of the tile below it.
    #[error("{place} is damaged: its hash {position} is not the hash of the tile below it")]
    Wrong {
        /// The damaged tile.
        place: Place,
        /// The hash within the tile, from 0.
        position: u16,
    },
    /// A leaf hash in a level-0 tile is not that of its entry.
    #[error("{place} is damaged: leaf {index} is not the hash of its entry")]
    Leaf {
        /// The damaged tile.
        place: Place,
        /// Index of the leaf in the ledger.
        index: u64,
    },
    /// There are fewer leaves than the tree has.
    #[error("the tree has {size} leaves, but only {have} were given to compare")]
    LeavesEnd {
        /// Leaves that were given.
        have: u64,
        /// Leaves of the tree.
        size: u64,
    },
}

/// Recomputes every tile above level 0 from those below it and names the first that is damaged; gives the root for comparison with a signed
/// checkpoint. Level 0 is taken as the truth here, so [`check_leaves`] comes first.
pub fn check(source: &dyn TileSource, size: u64) -> Result<Hash, Damage> {
    let mut edge = Edge::new();
    for index in 0..Place::count(0, size) {
        let Some(place) = Place::within(0, index, size) else { break };
        for leaf in tile::read(source, place)? {
            edge.push(leaf);
        }
        for filled in std::mem::take(&mut edge.filled) {
            compare(source, &filled)?;
        }
    }
    for partial in edge.take_changed() {
        compare(source, &partial)?;
    }
    Ok(edge.root())
}

/// Checks that level-0 tiles hold the given leaf hashes, and names the first index that differs. Takes the first `size` leaves.
pub fn check_leaves(
    source: &dyn TileSource,
    size: u64,
    leaves: impl IntoIterator<Item = Result<Hash, SourceError>>,
) -> Result<(), Damage> {
    let mut leaves = leaves.into_iter();
    let mut have = 0;
    for tile_index in 0..Place::count(0, size) {
        let Some(place) = Place::within(0, tile_index, size) else { break };
        for stored in tile::read(source, place)? {
            let leaf = leaves.next().ok_or(Damage::LeavesEnd { have, size })?.map_err(ReadError::Source)?;
            if leaf != stored {
                return Err(Damage::Leaf { place, index: have });
            }
            have += 1;
        }
    }
    Ok(())
}

fn compare(source: &dyn TileSource, expect: &Tile) -> Result<(), Damage> {
    if expect.level == 0 {
        return Ok(());
    }
    let place = expect.place();
    let stored = tile::read(source, place)?;
    match (0u16..).zip(stored.iter().zip(&expect.hashes)).find(|(_, (stored, expect))| stored != expect) {
        Some((position, _)) => Err(Damage::Wrong { place, position }),
        None => Ok(()),
    }
}

/// Roots of the complete subtrees over the hashes of a partial tile, the largest first.
fn peaks(hashes: &[Hash]) -> Vec<Hash> {
    let mut peaks = Vec::new();
    let mut rest = hashes;
    while !rest.is_empty() {
        let (complete, behind) = rest.split_at(1 << rest.len().ilog2());
        peaks.push(subtree(complete));
        rest = behind;
    }
    peaks
}

/// The root over a number of hashes that is a power of two.
fn subtree(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&subtree(left), &subtree(right))
        }
    }
}
