//! The tree and its proofs: published answers, the naive oracle, damaged tiles, and what a proof costs.

mod common;

use common::{Memory, grown, leaf, leaves, naive_consistency, naive_inclusion, naive_root};
use mufakat_ledger::proof::{self, Invalid, Prover};
use mufakat_ledger::tile::ReadError;
use mufakat_ledger::tree::{self, Damage};
use mufakat_ledger::{
    Edge, Hash, Place, SourceError, Tile, TileSource, empty_root, leaf_hash, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

/// Entries of the tree that the Certificate Transparency implementations test with.
const ENTRIES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

/// Roots of the trees of its first 0 to 8 entries.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hex(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| format!("{hash:?}")).collect()
}

#[test]
fn certificate_transparency_roots() {
    let mut edge = Edge::new();
    for (size, expect) in ROOTS.iter().enumerate() {
        assert_eq!(hex(&[edge.root()]), [*expect], "size {size}");
        if let Some(entry) = ENTRIES.get(size) {
            edge.push(leaf_hash(entry));
        }
    }
}

#[test]
fn certificate_transparency_proofs() {
    let (mut edge, mut memory) = (Edge::new(), Memory::default());
    ENTRIES.iter().for_each(|entry| {
        edge.push(leaf_hash(entry));
    });
    memory.write(edge.take_changed());
    let inclusion = |index, size, expect: &[&str]| {
        assert_eq!(hex(&proof::inclusion(&memory, index, size).unwrap()), expect, "leaf {index} of {size}");
    };
    inclusion(0, 1, &[]);
    inclusion(
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    );
    inclusion(
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    );
    inclusion(2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]);
    let consistency = |old, new, expect: &[&str]| {
        assert_eq!(hex(&proof::consistency(&memory, old, new).unwrap()), expect, "from {old} to {new}");
    };
    consistency(1, 1, &[]);
    consistency(
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    );
    consistency(
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    );
    consistency(
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    );
}

/// Every pair of small sizes against the oracle: there the shape of the tree is most varied.
#[test]
fn all_small_trees_agree_with_the_oracle() {
    let all = leaves(40);
    let (_, memory) = grown(40);
    for size in 0..=40u64 {
        let now = &all[..size as usize];
        let root = naive_root(now);
        assert_eq!(proof::root(&memory, size), Ok(root));
        for index in 0..size {
            let made = proof::inclusion(&memory, index, size).unwrap();
            assert_eq!(made, naive_inclusion(index as usize, now), "leaf {index} of {size}");
            assert_eq!(verify_inclusion(&leaf(index), index, size, &made, &root), Ok(()));
        }
        for old in 0..=size {
            let made = proof::consistency(&memory, old, size).unwrap();
            assert_eq!(made, naive_consistency(old as usize, now), "from {old} to {size}");
            let old_root = naive_root(&now[..old as usize]);
            assert_eq!(verify_consistency(old, &old_root, size, &root, &made), Ok(()));
        }
    }
}

/// Sizes where tiles begin, end and reach the next level.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..600,
        65_000u64..66_500,
        prop::sample::select(vec![255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792, 70_000])
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_edge_that_is_loaded_goes_on_as_the_one_that_grew(size in size(), batches in prop::collection::vec(0u64..400, 1..5)) {
        let (mut grew, mut memory) = grown(size);
        for batch in batches {
            let mut loaded = Edge::load(grew.size(), &memory).unwrap();
            prop_assert_eq!(loaded.root(), grew.root());
            prop_assert_eq!(loaded.take_changed(), vec![]);
            for index in grew.size()..grew.size() + batch {
                loaded.push(leaf(index));
                grew.push(leaf(index));
            }
            let changed = grew.take_changed();
            prop_assert_eq!(&loaded.take_changed(), &changed);
            prop_assert_eq!(loaded.root(), grew.root());
            memory.write(changed);
        }
        prop_assert_eq!(tree::check(&memory, grew.size()), Ok(grew.root()));
        prop_assert_eq!(tree::check_leaves(&memory, grew.size(), leaves(grew.size()).into_iter().map(Ok)), Ok(()));
        prop_assert_eq!(proof::root(&memory, grew.size()), Ok(naive_root(&leaves(grew.size()))));
    }

    #[test]
    fn proofs_of_large_trees_agree_with_the_oracle(new in size(), old: prop::sample::Index, at: prop::sample::Index) {
        let new = new + 1;
        let (old, at) = (old.index(new as usize + 1), at.index(new as usize));
        let all = leaves(new);
        // More was written since, so tiles are wider than this size needs.
        let (edge, memory) = grown(new + 77);
        let mut prover = Prover::new();
        for _ in 0..2 {
            let source = edge.over(&memory);
            prop_assert_eq!(prover.inclusion(&source, at as u64, new).unwrap(), naive_inclusion(at, &all));
            prop_assert_eq!(prover.consistency(&memory, old as u64, new).unwrap(), naive_consistency(old, &all));
            prop_assert_eq!(prover.root(&memory, new).unwrap(), naive_root(&all));
        }
    }

    #[test]
    fn verification_of_anything_ends(
        index: u64, size: u64, new_size: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70)
    ) {
        let hashes: Vec<Hash> = hashes.into_iter().map(Hash::from).collect();
        prop_assert!(verify_inclusion(&leaf(0), index, size, &hashes, &leaf(1)).is_err());
        let checked = verify_consistency(size, &leaf(0), new_size, &leaf(1), &hashes);
        prop_assert!(checked.is_err());
    }
}

/// Each argument of a valid inclusion proof, changed on its own, makes it invalid.
#[test]
fn inclusion_refuses_each_changed_field() {
    let (edge, memory) = grown(300);
    let (index, size, root, wrong) = (137, 300, edge.root(), leaf(9999));
    let good = proof::inclusion(&memory, index, size).unwrap();
    let check = |leaf: &Hash, index, size, proof: &[Hash], root: &Hash, expect| {
        assert_eq!(verify_inclusion(leaf, index, size, proof, root), expect);
    };
    check(&leaf(index), index, size, &good, &root, Ok(()));
    check(&leaf(index + 1), index, size, &good, &root, Err(Invalid::Root));
    check(&leaf(index), index + 1, size, &good, &root, Err(Invalid::Root));
    check(&leaf(index), size, size, &good, &root, Err(Invalid::NoSuchLeaf));
    check(&leaf(index), index, 0, &good, &root, Err(Invalid::NoSuchLeaf));
    check(&leaf(index), index, size * 2, &good, &root, Err(Invalid::Length));
    check(&leaf(index), index, size / 2, &good, &root, Err(Invalid::Length));
    check(&leaf(index), index, size, &good, &wrong, Err(Invalid::Root));
    check(&leaf(index), index, size, &good[1..], &root, Err(Invalid::Length));
    check(&leaf(index), index, size, &[], &root, Err(Invalid::Length));
    check(&leaf(index), index, size, &[good.as_slice(), &[wrong]].concat(), &root, Err(Invalid::Length));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] = wrong;
        check(&leaf(index), index, size, &bad, &root, Err(Invalid::Root));
    }
}

/// Each argument of a valid consistency proof, changed on its own, makes it invalid.
#[test]
fn consistency_refuses_each_changed_field() {
    let (edge, memory) = grown(300);
    let (new, root, wrong) = (300, edge.root(), leaf(9999));
    for old in [137u64, 256] {
        let old_root = naive_root(&leaves(old));
        let good = proof::consistency(&memory, old, new).unwrap();
        let check = |old, old_root: &Hash, new, root: &Hash, proof: &[Hash], expect: Result<(), Invalid>| {
            assert_eq!(verify_consistency(old, old_root, new, root, proof), expect);
        };
        check(old, &old_root, new, &root, &good, Ok(()));
        check(new + 1, &old_root, new, &root, &good, Err(Invalid::NotOlder));
        check(old, &old_root, new * 4, &root, &good, Err(Invalid::Length));
        check(old, &old_root, new, &wrong, &good, Err(Invalid::Root));
        check(old, &old_root, new, &root, &good[1..], Err(Invalid::Length));
        check(old, &old_root, new, &root, &[], Err(Invalid::Length));
        check(old, &old_root, new, &root, &[good.as_slice(), &[wrong]].concat(), Err(Invalid::Length));
        check(new, &root, new, &root, &good, Err(Invalid::Length));
        assert!(verify_consistency(old, &wrong, new, &root, &good).is_err());
        assert!(verify_consistency(old + 1, &old_root, new, &root, &good).is_err());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] = wrong;
            assert!(verify_consistency(old, &old_root, new, &root, &bad).is_err(), "hash {at}");
        }
    }
    assert_eq!(verify_consistency(0, &wrong, new, &root, &[]), Err(Invalid::OldRoot));
    assert_eq!(verify_consistency(0, &empty_root(), new, &root, &[wrong]), Err(Invalid::Length));
    assert_eq!(verify_consistency(0, &empty_root(), new, &root, &[]), Ok(()));
    assert_eq!(verify_consistency(new, &root, new, &wrong, &[]), Err(Invalid::Root));
    assert_eq!(verify_consistency(new, &root, new, &root, &[]), Ok(()));
    let good = proof::consistency(&memory, 137, new).unwrap();
    assert_eq!(verify_consistency(137, &wrong, new, &root, &good), Err(Invalid::OldRoot));
}

#[test]
fn proofs_outside_the_tree_are_refused() {
    let (_, memory) = grown(10);
    assert_eq!(proof::inclusion(&memory, 10, 10), Err(proof::Error::NoSuchLeaf { index: 10, size: 10 }));
    assert_eq!(proof::consistency(&memory, 11, 10), Err(proof::Error::NotOlder { old: 11, new: 10 }));
    let beyond = Place { level: 0, index: 0, width: 20 };
    assert_eq!(proof::root(&memory, 20), Err(proof::Error::Tile(ReadError::Narrow { place: beyond, have: 10 })));
    assert!(proof::root(&memory, u64::MAX).is_err());
    assert!(proof::inclusion(&memory, u64::MAX - 1, u64::MAX).is_err());
    assert!(Edge::load(u64::MAX, &memory).is_err());
}

#[test]
fn changed_tiles_are_each_given_once() {
    let mut edge = Edge::new();
    let paths = |edge: &mut Edge| edge.take_changed().iter().map(Tile::path).collect::<Vec<_>>();
    assert_eq!(paths(&mut edge), [""; 0]);
    (0..300).for_each(|index| {
        edge.push(leaf(index));
    });
    assert_eq!(paths(&mut edge), ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"]);
    assert_eq!(paths(&mut edge), [""; 0]);
    edge.push(leaf(300));
    assert_eq!(paths(&mut edge), ["tile/0/001.p/45"]);
    (301..65_536).for_each(|index| {
        edge.push(leaf(index));
    });
    let filled = paths(&mut edge);
    assert_eq!(filled.len(), 257);
    assert_eq!(filled[254..], ["tile/0/255", "tile/1/000", "tile/2/000.p/1"]);
}

/// Flips one bit of each stored tile in turn: the check of the leaves names level-0 tiles and the exact leaf, the check of the tree names
/// those above it.
#[test]
fn each_damaged_tile_is_named() {
    let size = 66_000;
    let (edge, mut memory) = grown(size);
    let given = || leaves(size).into_iter().map(Ok);
    assert_eq!(tree::check(&memory, size), Ok(edge.root()));
    let places: Vec<_> = memory.tiles.keys().copied().collect();
    for (level, index) in places.into_iter().filter(|(level, index)| *level > 0 || index % 100 == 57) {
        let good = memory.tiles[&(level, index)].clone();
        let position = good.len() / 32 / 2;
        memory.tiles.get_mut(&(level, index)).unwrap()[position * 32 + 5] ^= 0x10;
        let place = Place { level, index, width: (good.len() / 32) as u16 };
        if level == 0 {
            let expect = Damage::Leaf { place, index: index * 256 + position as u64 };
            assert_eq!(tree::check_leaves(&memory, size, given()), Err(expect));
            assert_ne!(tree::check(&memory, size), Ok(edge.root()));
        } else {
            let expect = Damage::Wrong { place, position: position as u16 };
            assert_eq!(tree::check(&memory, size), Err(expect));
        }
        memory.tiles.insert((level, index), good[..good.len() - 1].to_vec());
        let expect = ReadError::Malformed { place, bytes: good.len() - 1 };
        assert_eq!(tree::check(&memory, size), Err(Damage::Tile(expect)));
        memory.tiles.insert((level, index), good[..good.len() - 32].to_vec());
        assert!(matches!(tree::check(&memory, size), Err(Damage::Tile(_))));
        memory.tiles.remove(&(level, index));
        assert_eq!(tree::check(&memory, size), Err(Damage::Tile(ReadError::Missing(place))));
        memory.tiles.insert((level, index), good);
    }
    let short = leaves(size - 1).into_iter().map(Ok);
    assert_eq!(tree::check_leaves(&memory, size, short), Err(Damage::LeavesEnd { have: size - 1, size }));
    let failing = [Err(SourceError("gone".into()))];
    let expect = Damage::Tile(ReadError::Source(SourceError("gone".into())));
    assert_eq!(tree::check_leaves(&memory, size, failing), Err(expect));
}

/// A million leaves have three tile levels. A proof reads the three tiles above its leaf; those at the right edge are in memory, and a prover
/// reads the upper ones only once.
#[test]
fn a_proof_among_a_million_leaves_reads_few_tiles() {
    let size = 1_000_000;
    let (mut edge, mut memory) = (Edge::new(), Memory::default());
    for index in 0..size {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&u64::to_be_bytes(index));
        edge.push(Hash::from(bytes));
    }
    memory.write(edge.take_changed());
    let root = edge.root();
    let mut prover = Prover::new();
    for index in [0, 255, 256, 65_535, 65_536, 500_000, 777_777, 999_935, 999_936, size - 1] {
        let source = edge.over(&memory);
        memory.reads.set(0);
        let made = proof::inclusion(&source, index, size).unwrap();
        assert!(memory.reads.get() <= 3, "{} reads", memory.reads.get());
        let stored = memory.tiles[&(0, index / 256)][(index % 256) as usize * 32..][..32].to_vec();
        let stored: [u8; 32] = stored.try_into().unwrap();
        assert_eq!(verify_inclusion(&Hash::from(stored), index, size, &made, &root), Ok(()));
        memory.reads.set(0);
        assert_eq!(prover.inclusion(&source, index, size), Ok(made.clone()));
        assert_eq!(prover.inclusion(&memory, index, size), Ok(made));
        assert!(memory.reads.get() <= 5, "{} reads", memory.reads.get());
        memory.reads.set(0);
        prover.inclusion(&source, index, size).unwrap();
        assert!(memory.reads.get() <= 1, "{} reads of a tile that the prover has", memory.reads.get());
    }
    memory.reads.set(0);
    proof::consistency(&memory, 999_000, size).unwrap();
    assert!(memory.reads.get() <= 5, "{} reads", memory.reads.get());
}

/// The prover forgets the oldest tiles rather than growing, and still gives the same proofs.
#[test]
fn a_prover_stays_bounded() {
    let size = 300;
    let (_, memory) = grown(size);
    let mut prover = Prover::new();
    for width in 1..=size {
        prover.root(&memory, width).unwrap();
    }
    memory.reads.set(0);
    prover.root(&memory, size).unwrap();
    assert_eq!(memory.reads.get(), 0, "the newest tiles are remembered");
    prover.root(&memory, 1).unwrap();
    assert_eq!(memory.reads.get(), 1, "the oldest tile was forgotten");
}

/// Proofs for leaves all over a ledger do not push out the upper tiles that they share.
#[test]
fn a_prover_keeps_the_upper_tiles() {
    let size = 80_000;
    let (_, memory) = grown(size);
    let mut prover = Prover::new();
    for index in (0..size).step_by(256) {
        prover.inclusion(&memory, index, size).unwrap();
    }
    memory.reads.set(0);
    prover.inclusion(&memory, 70_000, size).unwrap();
    assert_eq!(memory.reads.get(), 1, "only the leaf's own tile is read");
}

#[test]
fn a_source_that_fails_is_named() {
    struct Failing;
    impl TileSource for Failing {
        fn tile(&self, _: u8, _: u64) -> Result<Option<Vec<u8>>, SourceError> {
            Err(SourceError("disk".into()))
        }
    }
    let expect = ReadError::Source(SourceError("disk".into()));
    assert_eq!(proof::root(&Failing, 3), Err(proof::Error::Tile(expect.clone())));
    assert_eq!(tree::check(&Failing, 3), Err(Damage::Tile(expect.clone())));
    assert_eq!(Edge::load(3, &Failing).map(|edge| edge.size()), Err(expect));
}
