//! What is inside a parcel: whoever knows the recipient's public key can seal any bytes to it.
#![no_main]

use std::sync::LazyLock;

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

/// Making keys would take most of the time of a run.
static SENDER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_seed(&[1; 32]));
static RECIPIENT: LazyLock<SealingKey> = LazyLock::new(|| SealingKey::from_seed(&[2; 32]));
static RECIPIENT_PUBLIC: LazyLock<<XWing as Kem>::PublicKey> = LazyLock::new(|| {
    let secret = <XWing as Kem>::PrivateKey::from_bytes(RECIPIENT.seed()).expect("a seed");
    XWing::sk_to_pk(&secret)
});

struct OneKey;

impl KeyBook for OneKey {
    fn key(&self, _agency: &mufakat_record::AgencyId, key: &KeyId) -> Option<KeyState> {
        let public = SENDER.public();
        (public.id() == *key).then(|| KeyState { key: public, from: 0, until: u64::MAX, revoked: None, grace_s: 0 })
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((count, content)) = data.split_first() else { return };
    let outer = Outer {
        suite: Suite::XWingChaCha.number(),
        sender: "vn-police".parse().expect("a name"),
        recipient: "ru-police".parse().expect("a name"),
        epoch: 1,
        first: 1,
        count: u64::from(*count).max(1),
        sealing_key: RECIPIENT.public().id(),
        signing_key: SENDER.public().id(),
        register_version: 1,
        expires: u64::MAX,
    };
    let outer = cbor::encode(&outer);
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &RECIPIENT_PUBLIC,
        INFO,
        content,
        &outer,
        &mut ChaCha20Rng::from_seed([3; 32]),
    )
    .expect("sealing into memory");
    let bytes = |bytes: &[u8]| minicbor::bytes::ByteVec::from(bytes.to_vec());
    let parcel = cbor::encode(&(bytes(&outer), bytes(&encapsulated.to_bytes()), bytes(&ciphertext)));
    let Ok(parcel) = Parcel::parse(&parcel) else { return };
    let opened = parcel.open(&RECIPIENT, &OneKey, 0);
    let expected = [Reason::Malformed, Reason::CountMismatch, Reason::WrongSignature];
    assert!(opened.as_ref().is_err_and(|reason| expected.contains(reason)), "nobody signed this: {opened:?}");
});
