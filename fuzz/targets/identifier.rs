//! The value of an identifier, behind a byte that chooses its type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_record::identifier::{Identifier, IdentifierType};

fuzz_target!(|data: &[u8]| {
    let Some((choice, value)) = data.split_first() else { return };
    let Ok(value) = std::str::from_utf8(value) else { return };
    let (identifier_type, _) = IdentifierType::ALL[usize::from(*choice) % IdentifierType::ALL.len()];
    let given = Identifier { identifier_type, value: value.to_owned() };
    let Ok(canonical) = given.canonical() else { return };
    assert!(given.is_sound(), "what has a canonical form is taken by every reader");
    let again = Identifier { value: canonical.clone(), ..given };
    assert_eq!(again.canonical(), Ok(canonical), "what is canonical is its own canonical form");
});
