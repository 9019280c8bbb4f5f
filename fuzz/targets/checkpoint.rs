//! The text of a checkpoint (C2SP).
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_ledger::Checkpoint;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.encode().as_deref(), Ok(text), "a checkpoint has one form");
    }
});
