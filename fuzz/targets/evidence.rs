//! An evidence bundle, as anyone may be handed one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_formats::{Bundle, verify};

fuzz_target!(|data: &[u8]| {
    if let Ok(bundle) = Bundle::decode(data) {
        assert_eq!(bundle.encode(), data, "a bundle has one form");
    }
    if let Err(fault) = verify(data, None) {
        assert!(!fault.part.is_empty(), "a refusal names the part");
    }
});
