//! A record as it comes from a stranger: the message, its header, and a body against its kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_record::{Header, Reason, RecordId, Unverified, Verified, kinds};

fuzz_target!(|data: &[u8]| {
    let Ok(record) = Unverified::parse(data.to_vec()) else { return };
    assert_eq!(record.bytes(), data, "the signed bytes stay as they came");
    assert_eq!(record.id(), RecordId::of(data));
    let header = record.header().clone();
    assert_eq!(Header::decode(&header.encode()).as_ref(), Ok(&header), "a header has one form");
    // Not verified, as a signature would stop almost every input here.
    let record = Verified::from_own_store(data.to_vec()).expect("it was parsed a moment ago");
    if let Err(reason) = kinds::check(&header, record.body()) {
        assert_eq!(reason, Reason::BodyNotOfKind, "a body is refused for this reason alone");
    }
});
