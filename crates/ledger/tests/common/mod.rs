//! What the ledger's tests share: tiles in memory, and RFC 6962 written out naively as the oracle.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this module")]

use std::cell::Cell;
use std::collections::BTreeMap;

use mufakat_ledger::{Edge, Hash, SourceError, Tile, TileSource, empty_root, leaf_hash, node_hash};

/// Stored tiles in memory, which count how often they are read.
#[derive(Default)]
pub struct Memory {
    pub tiles: BTreeMap<(u8, u64), Vec<u8>>,
    pub reads: Cell<usize>,
}

impl Memory {
    pub fn write(&mut self, tiles: Vec<Tile>) {
        for tile in tiles {
            self.tiles.insert((tile.level, tile.index), tile.to_bytes());
        }
    }
}

impl TileSource for Memory {
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, SourceError> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.tiles.get(&(level, index)).cloned())
    }
}

pub fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

pub fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(leaf).collect()
}

/// A tree of `count` leaves, stored in one go.
pub fn grown(count: u64) -> (Edge, Memory) {
    let (mut edge, mut memory) = (Edge::new(), Memory::default());
    for index in 0..count {
        assert_eq!(edge.push(leaf(index)), index);
    }
    memory.write(edge.take_changed());
    (edge, memory)
}

/// MTH of RFC 6962, section 2.1.
pub fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962, section 2.1.1.
pub fn naive_inclusion(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, other) = match index.checked_sub(left.len()) {
        Some(index) => (naive_inclusion(index, right), left),
        None => (naive_inclusion(index, left), right),
    };
    proof.push(naive_root(other));
    proof
}

/// PROOF of RFC 6962, section 2.1.2.
pub fn naive_consistency(old: usize, leaves: &[Hash]) -> Vec<Hash> {
    if old == 0 { Vec::new() } else { naive_subproof(old, leaves, true) }
}

fn naive_subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, other) = match old.checked_sub(left.len()) {
        Some(old) if old > 0 => (naive_subproof(old, right, false), left),
        _ => (naive_subproof(old, left, whole), right),
    };
    proof.push(naive_root(other));
    proof
}

fn split(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}
