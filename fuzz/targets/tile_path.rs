//! The path of a tile (C2SP), and the bytes of a tile at that place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_ledger::tile::{Place, Tile};

fuzz_target!(|data: &[u8]| {
    let (path, rest) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let Some(place) = std::str::from_utf8(path).ok().and_then(|path| Place::parse(path).ok()) else { return };
    assert_eq!(place.path().as_bytes(), path, "a place has one path");
    let bytes = rest.get(1..).unwrap_or_default();
    if let Ok(tile) = Tile::from_bytes(place.level, place.index, bytes) {
        assert_eq!(tile.to_bytes(), bytes, "a tile has one form");
    }
});
