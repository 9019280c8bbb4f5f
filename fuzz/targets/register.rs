//! A register chain as a partner sends it: versions with their approvals.
#![no_main]

use libfuzzer_sys::fuzz_target;
use minicbor::bytes::ByteVec;
use mufakat_exchange::Chain;
use mufakat_record::cbor;

fuzz_target!(|data: &[u8]| {
    let Ok(parts) = cbor::decode::<Vec<(ByteVec, Vec<ByteVec>)>>(data) else { return };
    let bytes = |list: Vec<ByteVec>| list.into_iter().map(Vec::from).collect();
    let parts: Vec<(Vec<u8>, Vec<Vec<u8>>)> =
        parts.into_iter().map(|(version, approvals)| (version.into(), bytes(approvals))).collect();
    if let Ok(chain) = Chain::verify(&parts) {
        assert_eq!(chain.versions().len(), parts.len());
        assert_eq!(chain.current().version, parts.len() as u64, "versions are counted from one");
    }
});
