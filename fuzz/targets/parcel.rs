//! A parcel as a relay or its recipient reads it, before anything is opened.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_record::parcel::{COUNT_MAX, Parcel};

fuzz_target!(|data: &[u8]| {
    let Ok(parcel) = Parcel::parse(data) else { return };
    assert!((1..=COUNT_MAX as u64).contains(&parcel.outer.count));
    assert_eq!(parcel.to_bytes(), data, "a parcel has one form");
});
