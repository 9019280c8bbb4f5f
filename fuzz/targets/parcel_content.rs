//! What is inside a parcel: whoever knows the recipient's public key can seal any bytes to it.
#![no_main]

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeS, Serializable};
use libfuzzer_sys::fuzz_target;
use mufakat_record::parcel::{Outer, Parcel};
use mufakat_record::{KeyBook, KeyId, KeyState, Reason, SealingKey, SigningKey, Suite, cbor};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const INFO: &[u8] = b"mufakat parcel 1";

struct OneKey(SigningKey);

impl KeyBook for OneKey {
    fn key(&self, _agency: &mufakat_record::AgencyId, key: &KeyId) -> Option<KeyState> {
        let public = self.0.public();
        (public.id() == *key).then(|| KeyState { key: public, from: 0, until: u64::MAX, revoked: None, grace_s: 0 })
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((count, content)) = data.split_first() else { return };
    let (sender, recipient) = (SigningKey::from_seed(&[1; 32]), SealingKey::from_seed(&[2; 32]));
    let outer = Outer {
        suite: Suite::XWingChaCha.number(),
        sender: "vn-police".parse().expect("a name"),
        recipient: "ru-police".parse().expect("a name"),
        epoch: 1,
        first: 1,
        count: u64::from(*count).max(1),
        sealing_key: recipient.public().id(),
        signing_key: sender.public().id(),
        register_version: 1,
        expires: u64::MAX,
    };
    let outer = cbor::encode(&outer);
    let key = <XWing as Kem>::PrivateKey::from_bytes(recipient.seed()).expect("a seed");
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &XWing::sk_to_pk(&key),
        INFO,
        content,
        &outer,
        &mut ChaCha20Rng::from_seed([3; 32]),
    )
    .expect("sealing into memory");
    let bytes = |bytes: &[u8]| minicbor::bytes::ByteVec::from(bytes.to_vec());
    let parcel = cbor::encode(&(bytes(&outer), bytes(&encapsulated.to_bytes()), bytes(&ciphertext)));
    let Ok(parcel) = Parcel::parse(&parcel) else { return };
    let opened = parcel.open(&recipient, &OneKey(sender), 0);
    let expected = [Reason::Malformed, Reason::CountMismatch, Reason::WrongSignature];
    assert!(opened.as_ref().is_err_and(|reason| expected.contains(reason)), "nobody signed this: {opened:?}");
});
