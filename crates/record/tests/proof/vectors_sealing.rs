//! Published vectors for sealing: HPKE as a whole, and the parts of it that the hpke crate calls.
//!
//! `rfc9497_voprf.json` is not used: nothing in this crate evaluates a VOPRF.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use hpke::aead::{AeadTag, ChaCha20Poly1305};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable, kdf::HkdfSha256, kem::XWing};
use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::{FromSeed, MlKem768};
use mufakat_record::{SealingKey, SealingPublic};
use rand_chacha::rand_core::{TryCryptoRng, TryRng};

use crate::vectors::{bytes, load, wycheproof};

/// The HPKE vectors for just our suite (KEM 0x647A, KDF 1, AEAD 3): key pair from seed, encapsulation from the given
/// randomness, and the first encryption both ways in one shot, which is all that a parcel ever does.
#[test]
fn hpke_xwing() {
    let file = load("hpke_pq.json");
    let ours = |v: &&serde_json::Value| v["kem_id"] == 25722 && v["kdf_id"] == 1 && v["aead_id"] == 3 && v["mode"] == 0;
    let vectors: Vec<_> = file.as_array().unwrap().iter().filter(ours).collect();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let seed: [u8; 32] = bytes(vector, "skRm").try_into().unwrap();
        let key = SealingKey::from_seed(&seed);
        assert_eq!(key.public().to_bytes(), bytes(vector, "pkRm"));
        assert_eq!(SealingPublic::from_bytes(&bytes(vector, "pkRm")).unwrap().id(), key.public().id());

        let secret = <XWing as hpke::Kem>::PrivateKey::from_bytes(&seed).unwrap();
        let public = <XWing as hpke::Kem>::PublicKey::from_bytes(&bytes(vector, "pkRm")).unwrap();
        let encapsulated = <XWing as hpke::Kem>::EncappedKey::from_bytes(&bytes(vector, "enc")).unwrap();
        let first = &vector["encryptions"][0];
        let (info, aad, plain, cipher) =
            (bytes(vector, "info"), bytes(first, "aad"), bytes(first, "pt"), bytes(first, "ct"));
        let open = |aad: &[u8], cipher: &[u8]| {
            hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
                &OpModeR::Base,
                &secret,
                &encapsulated,
                &info,
                cipher,
                aad,
            )
        };
        assert_eq!(open(&aad, &cipher).unwrap(), plain);
        assert!(open(b"another", &cipher).is_err());
        assert!(open(&aad, &cipher[..cipher.len() - 1]).is_err());

        let (enc, sealed) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &public,
            &info,
            &plain,
            &aad,
            &mut Given(&bytes(vector, "ikmE")),
        )
        .unwrap();
        assert_eq!(enc.to_bytes().to_vec(), bytes(vector, "enc"));
        assert_eq!(sealed, cipher);
    }
}

/// A source that gives just the bytes of a vector, and panics when more is asked for.
struct Given<'a>(&'a [u8]);

impl TryRng for Given<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        panic!("encapsulation asks for bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        panic!("encapsulation asks for bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        let (head, rest) = self.0.split_at(out.len());
        out.copy_from_slice(head);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Given<'_> {}

/// ChaCha20-Poly1305 as chunks of attachments use it: the same calls of aws-lc-rs, with the vectors' nonces and associated
/// data, which `ChunkKey` chooses itself. Parcels reach the cipher only through HPKE, whose vectors are above.
#[test]
fn wycheproof_chacha20_poly1305() {
    let file = load("wycheproof_chacha20_poly1305_test.json");
    for (_, test) in wycheproof(&file) {
        let valid = test["result"] == "valid";
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &bytes(test, "key")).unwrap());
        let nonce = || Nonce::try_assume_unique_for_key(&bytes(test, "iv"));
        let sealed = [bytes(test, "ct"), bytes(test, "tag")].concat();
        let Ok(opening) = nonce() else {
            assert!(!valid, "{test}");
            continue;
        };
        let mut opened = sealed.clone();
        let opened = key.open_in_place(opening, Aad::from(bytes(test, "aad")), &mut opened);
        assert_eq!(opened.ok().map(|o| o.to_vec()), valid.then(|| bytes(test, "msg")), "{test}");
        if valid {
            let mut out = bytes(test, "msg");
            key.seal_in_place_append_tag(nonce().unwrap(), Aad::from(bytes(test, "aad")), &mut out).unwrap();
            assert_eq!(out, sealed, "{test}");
        }
    }
    // The tag is as long as the overhead that a chunk is said to have.
    assert_eq!(AeadTag::<ChaCha20Poly1305>::size(), mufakat_record::attachment::CHUNK_OVERHEAD);
}

/// X25519 as X-Wing computes it, in the crate and version that hpke calls. X-Wing hashes whatever comes out, so the vectors
/// that others merely may accept (twist, low order, non-canonical) must give the listed result too.
#[test]
fn wycheproof_x25519() {
    let file = load("wycheproof_x25519_test.json");
    for (_, test) in wycheproof(&file) {
        let secret: [u8; 32] = bytes(test, "private").try_into().unwrap();
        let public: [u8; 32] = bytes(test, "public").try_into().unwrap();
        let shared = x25519_dalek::StaticSecret::from(secret).diffie_hellman(&public.into());
        assert_eq!(shared.as_bytes().to_vec(), bytes(test, "shared"), "{test}");
    }
}

/// ML-KEM-768 key generation and decapsulation, in the crate and version that hpke calls. Seeds and ciphertexts of a wrong
/// length, which the invalid vectors have, cannot even be passed in.
#[test]
fn wycheproof_ml_kem_768() {
    let file = load("wycheproof_mlkem_768_test.json");
    let mut valid = 0;
    for (_, test) in wycheproof(&file) {
        let (seed, cipher) = (bytes(test, "seed"), bytes(test, "c"));
        let fits = seed.len() == 64 && cipher.len() == 1088;
        assert_eq!(fits, test["result"] == "valid", "{test}");
        if fits {
            let (secret, public) = MlKem768::from_seed(&seed.as_slice().try_into().unwrap());
            assert_eq!(public.to_bytes().to_vec(), bytes(test, "ek"), "{test}");
            let shared = secret.decapsulate(&cipher.as_slice().try_into().unwrap());
            assert_eq!(shared.to_vec(), bytes(test, "K"), "{test}");
            valid += 1;
        }
    }
    assert_eq!(valid, 153);
}

/// FIPS 203 §7.2: an encapsulation key with a coefficient that is not below the modulus is no key. The vectors above have
/// none, so one is made: the first 12-bit coefficient becomes 0xFFF.
#[test]
fn sealing_keys_are_checked() {
    let mut public = SealingKey::from_seed(&[3; 32]).public().to_bytes();
    assert!(SealingPublic::from_bytes(&public).is_ok());
    assert!(SealingPublic::from_bytes(&public[1..]).is_err());
    public[0] = 0xff;
    public[1] |= 0x0f;
    assert!(SealingPublic::from_bytes(&public).is_err());
}
