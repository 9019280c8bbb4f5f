//! A filter of private matching, as a partner may send one, and lookups in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_matching::filter::{Fault, Filter};
use mufakat_matching::tag::{TAG_BYTES, Tag};

/// Filters of the smallest classes are made of inputs that are too short for them, in memory that is soon filled.
const FILTER_BYTES_MAX: usize = 64 * 1024;
/// What stands before the slots.
const HEADER_BYTES: usize = 24;

fn read(bytes: Vec<u8>, data: &[u8]) -> Result<(), Fault> {
    let filter = Filter::from_bytes(bytes.clone())?;
    assert_eq!(filter.as_bytes(), bytes, "a filter has one form");
    let tags: Vec<Tag> = data.as_chunks::<TAG_BYTES>().0.iter().map(Tag::from_bytes).collect();
    let one_by_one: Vec<_> = tags.iter().map(|tag| filter.look_up(tag)).collect();
    assert_eq!(filter.look_up_all(&tags), one_by_one, "many lookups find what single ones find");
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    match read(data.to_vec(), data) {
        // A known header: the same with as many slots as it asks for.
        Err(Fault::WrongSize { expected, actual }) if (HEADER_BYTES..expected).contains(&actual) => {
            if expected <= FILTER_BYTES_MAX {
                let whole = data.iter().copied().cycle().take(expected).collect();
                assert_eq!(read(whole, data), Ok(()), "a known header with the right size is a filter");
            }
        }
        Err(fault) => assert!(!fault.reason().is_empty(), "a refusal has a name"),
        Ok(()) => {}
    }
});
