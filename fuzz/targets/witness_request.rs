//! A request to cosign a checkpoint (C2SP).
#![no_main]

use libfuzzer_sys::fuzz_target;
use mufakat_ledger::witness::Request;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = Request::parse(data) else { return };
    let text = request.encode();
    assert_eq!(Request::parse(&text).as_ref(), Ok(&request), "{text}");
});
