//! Vectors for parcels, with the seed of the recipient's key, so that anyone can open them.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, OpModeS, Serializable};
use minicbor::Encoder;
use mufakat_record::parcel::{self, Outer};
use mufakat_record::{RecordId, SigningKey, cbor, sha256};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};

use super::community::{Agency, NOW, name, seed};
use super::records::plain_report;
use super::{flipped, position};

/// A parcel before it is sealed, every part of which can be other than it should.
struct Raw {
    outer: Outer,
    signer: SigningKey,
    signed: Vec<Vec<u8>>,
    content: Option<Vec<u8>>,
    records: Vec<Vec<u8>>,
}

impl Raw {
    fn content(&self, signature: &[u8]) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.array(2).unwrap().bytes(signature).unwrap().array(self.records.len() as u64).unwrap();
        for record in &self.records {
            e.bytes(record).unwrap();
        }
        e.into_writer()
    }

    fn seal(&self, to: &Agency) -> Vec<u8> {
        let outer = cbor::encode(&self.outer);
        let ids: Vec<u8> = self.signed.iter().flat_map(|record| sha256(record)).collect();
        let signed = [b"mufakat parcel signature 1\0".as_slice(), &sha256(&outer), &sha256(&ids)].concat();
        let content = self.content.clone().unwrap_or_else(|| self.content(&self.signer.sign(&signed)));
        let key = <XWing as hpke::Kem>::PublicKey::from_bytes(&to.sealing.public().to_bytes()).expect("a key");
        let mut random = ChaCha20Rng::from_seed(seed("raw parcel"));
        let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &key,
            b"mufakat parcel 1",
            &content,
            &outer,
            &mut random,
        )
        .expect("sealing");
        assemble(&outer, &encapsulated.to_bytes(), &ciphertext)
    }
}

fn assemble(outer: &[u8], encapsulated: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.array(3).unwrap().bytes(outer).unwrap().bytes(encapsulated).unwrap().bytes(ciphertext).unwrap();
    e.into_writer()
}

/// Outer header, encapsulated key, ciphertext.
fn split(parcel: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut d = minicbor::Decoder::new(parcel);
    d.array().unwrap();
    let mut part = || d.bytes().unwrap().to_vec();
    (part(), part(), part())
}

pub(crate) fn parcels() -> Value {
    let [vn, ru, sg] = ["vn-police", "ru-police", "sg-fusion"].map(Agency::new);
    let revoked = SigningKey::from_seed(&seed("vn-police revoked"));
    let records: Vec<Vec<u8>> =
        ["first", "second"].iter().map(|title| vn.sign(vn.header(""), &plain_report(title))).collect();
    let outer = |first: u64, count: usize| Outer {
        suite: 1,
        sender: vn.id.clone(),
        recipient: ru.id.clone(),
        epoch: 1,
        first,
        count: count as u64,
        sealing_key: ru.sealing.public().id(),
        signing_key: vn.signing.id(),
        register_version: 2,
        expires: NOW + 604_800,
    };
    let raw = |change: &dyn Fn(&mut Raw)| {
        let signer = SigningKey::from_seed(vn.signing.seed());
        let one = vec![records[0].clone()];
        let mut raw = Raw { outer: outer(1, 1), signer, signed: one.clone(), content: None, records: one };
        change(&mut raw);
        raw.seal(&ru)
    };
    let sealed = |first: u64, records: &[Vec<u8>], entropy: &str| {
        let list: Vec<_> = records.iter().map(|record| (RecordId::of(record), record.as_slice())).collect();
        let outer = outer(first, records.len());
        parcel::seal(outer, &list, ru.sealing.public(), &vn.signing, seed(entropy)).expect("a parcel").to_bytes()
    };
    let single = sealed(1, &records[..1], "parcel one");
    let pair = sealed(41, &records, "parcel two");
    let receipts = sealed(0, &records[..1], "parcel three");
    let not_a_record = sealed(2, &[b"EXERCISE no record".to_vec()], "parcel four");

    let good = |title: &str, bytes: &[u8], records: &[Vec<u8>]| {
        let (outer_bytes, ..) = split(bytes);
        let outer: Outer = cbor::decode(&outer_bytes).expect("an outer header");
        json!({
            "name": title, "bytes": hex::encode(bytes), "expect": "ok",
            "outer": {
                "suite": outer.suite, "sender": outer.sender, "recipient": outer.recipient, "epoch": outer.epoch,
                "first": outer.first, "count": outer.count, "sealing_key": outer.sealing_key,
                "signing_key": outer.signing_key, "register_version": outer.register_version,
                "expires": outer.expires,
            },
            "records": records.iter().map(hex::encode).collect::<Vec<_>>(),
        })
    };
    let bad =
        |title: &str, bytes: &[u8], expect: &str| json!({"name": title, "bytes": hex::encode(bytes), "expect": expect});

    let mut vectors = vec![
        good("one record", &single, &records[..1]),
        good("two records", &pair, &records),
        good("without positions", &receipts, &records[..1]),
        good("bytes that are no record", &not_a_record, &[b"EXERCISE no record".to_vec()]),
    ];
    let (outer_bytes, encapsulated, ciphertext) = split(&single);
    let with_outer = |outer: &[u8]| assemble(outer, &encapsulated, &ciphertext);
    let edited = |from: &[u8], to: &[u8]| {
        let at = position(&outer_bytes, from);
        with_outer(&[&outer_bytes[..at], to, &outer_bytes[at + from.len()..]].concat())
    };
    let with_count = |first: u64, count: u64| with_outer(&cbor::encode(&Outer { count, ..outer(first, 1) }));
    let mut one_more = [&outer_bytes[..], &[0x0b, 0x01]].concat();
    one_more[0] += 1;
    let mut oversize = bad("1,056,769 bytes", &single, "oversize");
    oversize["zeros"] = json!(1_056_769 - single.len());
    vectors.extend([
        oversize,
        bad("nothing", b"", "truncated"),
        bad("one byte too few", &single[..single.len() - 1], "truncated"),
        bad("one byte too many", &[&single[..], b"\0"].concat(), "trailing-bytes"),
        bad("four parts", &[&[0x84][..], &single[1..], &[0x40]].concat(), "malformed"),
        bad("an outer header with a byte behind", &with_outer(&[&outer_bytes[..], b"\0"].concat()), "trailing-bytes"),
        bad("suite 2", &edited(&[0xaa, 0x01, 0x01], &[0xaa, 0x01, 0x02]), "unknown-suite"),
        bad("suite 257", &edited(&[0xaa, 0x01, 0x01], &[0xaa, 0x01, 0x19, 0x01, 0x01]), "unknown-suite"),
        bad("suite 2 and nothing else", &with_outer(&[0xa1, 0x01, 0x02]), "unknown-suite"),
        bad("no suite", &with_outer(&[&[0xa9][..], &outer_bytes[3..]].concat()), "malformed"),
        bad("negative suite", &edited(&[0xaa, 0x01, 0x01], &[0xaa, 0x01, 0x20]), "malformed"),
        bad("an entry more", &with_outer(&one_more), "malformed"),
        bad("a recipient that is no name", &edited(b"ru-police", b"RU-POLICE"), "malformed"),
        bad("no records", &with_count(1, 0), "malformed"),
        bad("513 records", &with_count(1, 513), "malformed"),
        bad("positions beyond 64 bits", &with_count(u64::MAX, 1), "malformed"),
        bad("for another agency", &edited(b"ru-police", b"sg-fusion"), "wrong-recipient"),
        bad(
            "a key that the recipient does not have",
            &raw(&|p| p.outer.sealing_key = sg.sealing.public().id()),
            "unknown-sealing-key",
        ),
        bad(
            "sealed to another key than it names",
            &{
                let raw = Raw {
                    outer: outer(1, 1),
                    signer: SigningKey::from_seed(vn.signing.seed()),
                    signed: vec![records[0].clone()],
                    content: None,
                    records: vec![records[0].clone()],
                };
                raw.seal(&sg)
            },
            "cannot-open",
        ),
        bad("ciphertext changed", &assemble(&outer_bytes, &encapsulated, &flipped(&ciphertext, 9)), "cannot-open"),
        bad(
            "tag changed",
            &assemble(&outer_bytes, &encapsulated, &flipped(&ciphertext, ciphertext.len() - 1)),
            "cannot-open",
        ),
        bad("ciphertext shorter than a tag", &assemble(&outer_bytes, &encapsulated, &ciphertext[..15]), "cannot-open"),
        bad(
            "encapsulated key changed in ML-KEM",
            &assemble(&outer_bytes, &flipped(&encapsulated, 100), &ciphertext),
            "cannot-open",
        ),
        bad(
            "encapsulated key changed in X25519",
            &assemble(&outer_bytes, &flipped(&encapsulated, 1100), &ciphertext),
            "cannot-open",
        ),
        bad("encapsulated key cut short", &assemble(&outer_bytes, &encapsulated[1..], &ciphertext), "cannot-open"),
        bad("moved to another epoch", &with_outer(&cbor::encode(&Outer { epoch: 2, ..outer(1, 1) })), "cannot-open"),
        bad("moved to another position", &with_outer(&cbor::encode(&outer(2, 1))), "cannot-open"),
        bad("content that is no CBOR", &raw(&|p| p.content = Some(vec![0xff])), "malformed"),
        bad("content that ends early", &raw(&|p| p.content = Some(vec![0x82, 0x40])), "malformed"),
        bad("content that is one list", &raw(&|p| p.content = Some(vec![0x81, 0x40])), "malformed"),
        bad("records that are text", &raw(&|p| p.content = Some(vec![0x82, 0x40, 0x81, 0x61, 0x61])), "malformed"),
        bad("two records where one is said", &raw(&|p| p.records = records.clone()), "count-mismatch"),
        bad("one record where two are said", &raw(&|p| p.outer.count = 2), "count-mismatch"),
        bad(
            "signing key that the sender does not have",
            &raw(&|p| p.outer.signing_key = ru.signing.id()),
            "unknown-key",
        ),
        bad(
            "signed with another key than it names",
            &raw(&|p| p.signer = SigningKey::from_seed(&seed("thief"))),
            "wrong-signature",
        ),
        bad("signed for other records", &raw(&|p| p.signed = vec![records[1].clone()]), "wrong-signature"),
        bad(
            "records in another order than signed",
            &raw(&|p| {
                p.outer.count = 2;
                p.signed = records.clone();
                p.records = records.iter().rev().cloned().collect();
            }),
            "wrong-signature",
        ),
        bad(
            "signed for another recipient",
            &raw(&|p| {
                let other = cbor::encode(&Outer { recipient: name("sg-fusion"), ..p.outer.clone() });
                let ids = sha256(&sha256(&records[0]));
                let signed = [b"mufakat parcel signature 1\0".as_slice(), &sha256(&other), &ids].concat();
                p.content = Some(p.content(&p.signer.sign(&signed)));
            }),
            "wrong-signature",
        ),
        bad("signature of 63 bytes", &raw(&|p| p.content = Some(p.content(&[7; 63]))), "wrong-signature"),
        bad(
            "revoked key",
            &raw(&|p| {
                p.signer = SigningKey::from_seed(&seed("vn-police revoked"));
                p.outer.signing_key = p.signer.id();
            }),
            "key-revoked",
        ),
    ]);
    json!({
        "about": "Parcels (section 7) as their recipient reads them: steps 1 to 9 of section 7.3. `zeros`: so many zero bytes follow.",
        "recipient": {
            "agency": ru.id, "sealing_seed": hex::encode(ru.sealing.seed()), "sealing_key": ru.sealing.public().id(),
        },
        "keys": [
            {"agency": vn.id, "key": hex::encode(vn.signing.public().as_bytes()), "revoked": null},
            {"agency": vn.id, "key": hex::encode(revoked.public().as_bytes()), "revoked": NOW},
            {"agency": ru.id, "key": hex::encode(ru.signing.public().as_bytes()), "revoked": null},
        ],
        "vectors": vectors,
    })
}
