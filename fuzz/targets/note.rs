//! A signed note (C2SP).
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_ledger::note::Note;

fuzz_target!(|data: &[u8]| {
    let Ok(note) = Note::parse(data) else { return };
    let text = note.encode();
    assert_eq!(Note::parse(&text).as_ref(), Ok(&note), "{text}");
});
