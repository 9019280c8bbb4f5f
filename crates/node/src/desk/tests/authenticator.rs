//! A passkey in software (W3C Web Authentication, Level 3): ES256, attestation "none".

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::Encoder;
use mufakat_record::sha256;
use serde_json::{Value, json};

/// The person was there (§6.1).
const PRESENT: u8 = 0x01;
/// The person was verified.
pub(super) const VERIFIED: u8 = 0x04;
/// A public key follows.
const ATTESTED: u8 = 0x40;

/// A passkey for one officer.
pub(super) struct Authenticator {
    pair: EcdsaKeyPair,
    /// The credential id.
    pub(super) id: Vec<u8>,
    /// The origin of the page.
    pub(super) origin: String,
    /// How often it was used; a passkey that does not count stays at 0.
    pub(super) counter: u32,
    /// What it says of the person.
    pub(super) flags: u8,
    handle: String,
}

impl Authenticator {
    pub(super) fn new(origin: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let id = sha256(pair.public_key().as_ref()).to_vec();
        let flags = PRESENT | VERIFIED;
        Self { pair, id, origin: origin.to_owned(), counter: 1, flags, handle: String::new() }
    }

    fn client_data(&self, what: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["publicKey"]["challenge"];
        json!({ "type": what, "challenge": challenge, "origin": self.origin, "crossOrigin": false })
            .to_string()
            .into_bytes()
    }

    fn data(&self, host: &str, flags: u8) -> Vec<u8> {
        [&sha256(host.as_bytes())[..], &[flags], &self.counter.to_be_bytes()].concat()
    }

    /// Makes the passkey: `navigator.credentials.create`.
    pub(super) fn create(&mut self, options: &Value) -> Value {
        let host = options["publicKey"]["rp"]["id"].as_str().unwrap();
        self.handle = options["publicKey"]["user"]["id"].as_str().unwrap().to_owned();
        let point = self.pair.public_key().as_ref();
        let mut key = Encoder::new(Vec::new());
        key.map(5).unwrap().u8(1).unwrap().u8(2).unwrap().u8(3).unwrap().i8(-7).unwrap();
        key.i8(-1).unwrap().u8(1).unwrap();
        key.i8(-2).unwrap().bytes(&point[1..33]).unwrap().i8(-3).unwrap().bytes(&point[33..]).unwrap();
        let length = (self.id.len() as u16).to_be_bytes();
        let mut data = self.data(host, self.flags | ATTESTED);
        for piece in [&[0; 16][..], &length, &self.id, &key.into_writer()] {
            data.extend_from_slice(piece);
        }
        let mut attestation = Encoder::new(Vec::new());
        attestation.map(3).unwrap().str("fmt").unwrap().str("none").unwrap();
        attestation.str("attStmt").unwrap().map(0).unwrap().str("authData").unwrap().bytes(&data).unwrap();
        let id = URL_SAFE_NO_PAD.encode(&self.id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {},
            "response": {
                "attestationObject": URL_SAFE_NO_PAD.encode(attestation.into_writer()),
                "clientDataJSON": URL_SAFE_NO_PAD.encode(self.client_data("webauthn.create", options)),
            },
        })
    }

    /// Uses the passkey: `navigator.credentials.get`. Each use counts.
    pub(super) fn get(&mut self, options: &Value) -> Value {
        if self.counter > 0 {
            self.counter += 1;
        }
        let host = options["publicKey"]["rpId"].as_str().unwrap();
        let (data, client_data) = (self.data(host, self.flags), self.client_data("webauthn.get", options));
        let signed = [&data[..], &sha256(&client_data)].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        let id = URL_SAFE_NO_PAD.encode(&self.id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {},
            "response": {
                "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
                "userHandle": self.handle,
            },
        })
    }
}
