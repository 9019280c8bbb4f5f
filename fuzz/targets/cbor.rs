//! The strict form against the decoder behind it: what passes the check is one whole item for the decoder too, and what a
//! type takes from it encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use minicbor::{Decode, Decoder, Encode};
use mufakat_record::cbor;
use mufakat_record::kinds::{
    answer::Answer, attachment::Attachment, correction::Correction, key_set::KeySet, receipt::Receipt,
    register_approval::RegisterApproval, register_version::RegisterVersion, report::Report, retraction::Retraction,
    witness_alarm::WitnessAlarm,
};

fn as_body<T: for<'b> Decode<'b, ()> + Encode<()>>(data: &[u8], strict: bool) {
    if let Ok(value) = cbor::decode::<T>(data) {
        assert!(strict, "nothing is decoded that is not in strict form");
        assert_eq!(cbor::encode(&value), data, "a structure has one form");
    }
}

fuzz_target!(|data: &[u8]| {
    let strict = cbor::check(data).is_ok();
    if strict {
        let mut decoder = Decoder::new(data);
        decoder.skip().expect("an item in strict form is an item");
        assert_eq!(decoder.position(), data.len(), "and it is the whole");
    }
    as_body::<Answer>(data, strict);
    as_body::<Attachment>(data, strict);
    as_body::<Correction>(data, strict);
    as_body::<KeySet>(data, strict);
    as_body::<Receipt>(data, strict);
    as_body::<RegisterApproval>(data, strict);
    as_body::<RegisterVersion>(data, strict);
    as_body::<Report>(data, strict);
    as_body::<Retraction>(data, strict);
    as_body::<WitnessAlarm>(data, strict);
});
