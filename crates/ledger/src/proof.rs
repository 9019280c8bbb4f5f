//! Inclusion and consistency proofs (RFC 6962, section 2.1): making them from tiles, and verifying them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::hash::{Hash, empty_root, node_hash};
use crate::tile::{self, Place, ReadError, TILE_HEIGHT, TILE_WIDTH, TileSource};

/// Hashes in the longest proof that a reader accepts: a tree of 2^63 leaves needs 63, and a consistency proof one more.
pub const PROOF_HASHES_MAX: usize = 64;
/// Tiles that a [`Prover`] remembers, at 16 KiB each.
pub const PROVER_TILES_MAX: usize = 256;

/// Why a proof cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The leaf is not in a tree of this size.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoSuchLeaf {
        /// Leaf that was asked for.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The older tree is larger than the newer one.
    #[error("a tree of {old} leaves does not come before one of {new}")]
    NotOlder {
        /// Size of the older tree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
    /// A tile is missing or damaged.
    #[error(transparent)]
    Tile(#[from] ReadError),
}

/// Why a proof does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The leaf is not in a tree of this size.
    #[error("the leaf's index is not below the tree's size")]
    NoSuchLeaf,
    /// The older tree is larger than the newer one.
    #[error("the older tree is larger than the newer one")]
    NotOlder,
    /// The proof has too few or too many hashes for these sizes.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The proof leads to another root than the one claimed for the older tree.
    #[error("the proof leads to another root for the older tree")]
    OldRoot,
    /// The proof leads to another root than the one claimed.
    #[error("the proof leads to another root")]
    Root,
}

/// Makes proofs and remembers tiles with their inner nodes worked out.
///
/// Working out a full tile takes 255 hashes, up to 0.1 ms, which is most of what a proof costs. Tiles above level 0 and partial tiles serve very
/// many proofs, so they are kept; full level-0 tiles serve 256 leaves each and would push the others out, so they are not. Stored tiles never
/// change except by growing, therefore nothing here becomes stale.
#[derive(Debug, Default)]
pub struct Prover {
    tiles: HashMap<Place, Arc<Worked>>,
    oldest_first: VecDeque<Place>,
}

impl Prover {
    /// A prover that remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The proof that the leaf at `index` is in the tree of `size` leaves, from the leaf's sibling up to the root's child.
    pub fn inclusion(&mut self, source: &dyn TileSource, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
        if index >= size {
            return Err(Error::NoSuchLeaf { index, size });
        }
        let mut nodes = Nodes::new(self, source, size);
        let mut proof = Vec::new();
        let (mut low, mut high) = (0, size);
        while high - low > 1 {
            let middle = low + split(high - low);
            if index < middle {
                proof.push(nodes.range(middle, high)?);
                high = middle;
            } else {
                proof.push(nodes.range(low, middle)?);
                low = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// The proof that the tree of `new` leaves begins with the tree of `old` leaves. It is empty when both are the same or the old one is empty.
    pub fn consistency(&mut self, source: &dyn TileSource, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
        if old > new {
            return Err(Error::NotOlder { old, new });
        }
        let mut proof = Vec::new();
        if old == 0 || old == new {
            return Ok(proof);
        }
        let mut nodes = Nodes::new(self, source, new);
        let (mut low, mut high) = (0, new);
        // Walk down to the subtree that ends where the old tree ends, and give the other half at each step.
        while high != old {
            let middle = low + split(high - low);
            if old <= middle {
                proof.push(nodes.range(middle, high)?);
                high = middle;
            } else {
                proof.push(nodes.range(low, middle)?);
                low = middle;
            }
        }
        // When that subtree is the whole old tree its hash is the old root, which the verifier has.
        if low != 0 {
            proof.push(nodes.range(low, high)?);
        }
        proof.reverse();
        Ok(proof)
    }

    /// The root of the tree of `size` leaves.
    pub fn root(&mut self, source: &dyn TileSource, size: u64) -> Result<Hash, Error> {
        if size == 0 {
            return Ok(empty_root());
        }
        Nodes::new(self, source, size).range(0, size)
    }

    fn tile(&mut self, source: &dyn TileSource, place: Place) -> Result<Arc<Worked>, ReadError> {
        if let Some(tile) = self.tiles.get(&place) {
            return Ok(Arc::clone(tile));
        }
        let tile = Arc::new(Worked::new(tile::read(source, place)?));
        if place.level > 0 || usize::from(place.width) < TILE_WIDTH {
            if self.oldest_first.len() >= PROVER_TILES_MAX
                && let Some(oldest) = self.oldest_first.pop_front()
            {
                self.tiles.remove(&oldest);
            }
            self.oldest_first.push_back(place);
            self.tiles.insert(place, Arc::clone(&tile));
        }
        Ok(tile)
    }
}

/// [`Prover::inclusion`] for a single proof.
pub fn inclusion(source: &dyn TileSource, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
    Prover::new().inclusion(source, index, size)
}

/// [`Prover::consistency`] for a single proof.
pub fn consistency(source: &dyn TileSource, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
    Prover::new().consistency(source, old, new)
}

/// [`Prover::root`] for a single root.
pub fn root(source: &dyn TileSource, size: u64) -> Result<Hash, Error> {
    Prover::new().root(source, size)
}

/// Verifies that `leaf` is the leaf at `index` of the tree of `size` leaves with this root (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), Invalid> {
    if index >= size {
        return Err(Invalid::NoSuchLeaf);
    }
    let mut walk = Walk { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        hash = match walk.up()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    if walk.last != 0 {
        return Err(Invalid::Length);
    }
    if hash == *root { Ok(()) } else { Err(Invalid::Root) }
}

/// Verifies that the tree of `new_size` leaves begins with the tree of `old_size` leaves (RFC 9162, section 2.1.4.2).
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), Invalid> {
    if old_size > new_size {
        return Err(Invalid::NotOlder);
    }
    if old_size == 0 || old_size == new_size {
        return verify_trivial(old_size, old_root, new_size, new_root, proof);
    }
    // The subtree that ends where the old tree ends; when it is the whole old tree the proof leaves its hash out.
    let mut walk = Walk { node: old_size - 1, last: new_size - 1 };
    walk.skip_right_children();
    let (first, proof) = match proof {
        rest if old_size.is_power_of_two() => (old_root, rest),
        [first, rest @ ..] => (first, rest),
        [] => return Err(Invalid::Length),
    };
    let (mut old, mut new) = (*first, *first);
    for sibling in proof {
        match walk.up()? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    if walk.last != 0 {
        return Err(Invalid::Length);
    }
    if old != *old_root {
        return Err(Invalid::OldRoot);
    }
    if new == *new_root { Ok(()) } else { Err(Invalid::Root) }
}

/// The cases without a proof: the old tree is empty, or both are the same.
fn verify_trivial(old_size: u64, old: &Hash, new_size: u64, new: &Hash, proof: &[Hash]) -> Result<(), Invalid> {
    if !proof.is_empty() {
        return Err(Invalid::Length);
    }
    if old_size == 0 && *old != empty_root() {
        return Err(Invalid::OldRoot);
    }
    if old_size == new_size && old != new { Err(Invalid::Root) } else { Ok(()) }
}

/// On which side of the node that is being proved the next hash of the proof stands.
enum Side {
    Left,
    Right,
}

/// The way from a node up to the root: its number at the present height, and that of the last node at that height.
struct Walk {
    node: u64,
    last: u64,
}

impl Walk {
    /// Goes up past one hash of the proof.
    fn up(&mut self) -> Result<Side, Invalid> {
        if self.last == 0 {
            return Err(Invalid::Length);
        }
        let side = if self.node & 1 == 1 || self.node == self.last { Side::Left } else { Side::Right };
        if self.node & 1 == 0 && self.node == self.last {
            // The last node has no sibling at these heights: it is its own parent until it is a right child.
            let alone = self.node.trailing_zeros();
            self.node >>= alone;
            self.last >>= alone;
        }
        self.node >>= 1;
        self.last >>= 1;
        Ok(side)
    }

    /// Goes up while the node is a right child, to the largest complete subtree that ends with it.
    fn skip_right_children(&mut self) {
        let height = self.node.trailing_ones();
        self.node = self.node.checked_shr(height).unwrap_or(0);
        self.last = self.last.checked_shr(height).unwrap_or(0);
    }
}

/// The nodes of a tree of one size, read from tiles. Each tile is read at most once for a proof.
struct Nodes<'a> {
    prover: &'a mut Prover,
    source: &'a dyn TileSource,
    size: u64,
    read: Vec<(Place, Arc<Worked>)>,
}

impl<'a> Nodes<'a> {
    fn new(prover: &'a mut Prover, source: &'a dyn TileSource, size: u64) -> Self {
        Self { prover, source, size, read: Vec::new() }
    }

    /// The hash over the leaves from `low` to before `high`, a range that the tree's own splits lead to.
    fn range(&mut self, low: u64, high: u64) -> Result<Hash, Error> {
        let leaves = high - low;
        if leaves.is_power_of_two() {
            return self.node(leaves.trailing_zeros(), low / leaves);
        }
        let middle = low + split(leaves);
        Ok(node_hash(&self.range(low, middle)?, &self.range(middle, high)?))
    }

    /// The root of the complete subtree of this height with this number.
    fn node(&mut self, height: u32, number: u64) -> Result<Hash, Error> {
        let (level, within) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let across = TILE_HEIGHT - within;
        let index = number >> across;
        // A height is below 64, so there are eight levels and the narrowing is exact.
        let level = level as u8;
        let place = Place::within(level, index, self.size).unwrap_or(Place { level, index, width: 1 });
        let tile = match self.read.iter().find(|(read, _)| *read == place) {
            Some((_, tile)) => Arc::clone(tile),
            None => {
                let tile = self.prover.tile(self.source, place)?;
                self.read.push((place, Arc::clone(&tile)));
                tile
            }
        };
        let position = number & ((1 << across) - 1);
        tile.node(within, position).ok_or(Error::Tile(ReadError::Missing(place)))
    }
}

/// A tile with every complete subtree in it worked out: `layers[k]` holds the roots of those with 2^k hashes.
#[derive(Debug)]
struct Worked {
    layers: Vec<Vec<Hash>>,
}

impl Worked {
    fn new(hashes: Vec<Hash>) -> Self {
        let mut layers = vec![hashes];
        while let Some(below) = layers.last().filter(|below| below.len() > 1) {
            let (pairs, _) = below.as_chunks::<2>();
            let above = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
            layers.push(above);
        }
        Self { layers }
    }

    fn node(&self, height: u32, position: u64) -> Option<Hash> {
        self.layers.get(height as usize)?.get(usize::try_from(position).ok()?).copied()
    }
}

/// The largest power of two below `leaves`, where RFC 6962 splits a tree. `leaves` is at least 2.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}
