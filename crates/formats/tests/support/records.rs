//! Vectors for records: good ones of every kind, and each way in which one can be refused.

use minicbor::Encoder;
use minicbor::data::Tag;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::approval::{Approval, Decision};
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::deletion_order::DeletionOrder;
use mufakat_record::kinds::deletion_receipt::{DeletionReceipt, Why};
use mufakat_record::kinds::escalation::{Escalation, Level};
use mufakat_record::kinds::hold::{Hold, HoldLifted};
use mufakat_record::kinds::onward::Onward;
use mufakat_record::kinds::permission::Permission;
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::kinds::report::{Class, Entity, Identifier, IdentifierType, Period, Place, Report, ReportType};
use mufakat_record::kinds::request::{By, Request, Urgency, UrgencyReason};
use mufakat_record::kinds::request_step::{Ground, RequestStep, Step};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::kinds::witness_alarm::{Finding, WitnessAlarm};
use mufakat_record::kinds::{self, Body, Understanding};
use mufakat_record::{
    Code, Draft, Evaluation, Eyes, Handling, Header, RecordId, Reference, Relation, Role, SigningKey, Tlp, Unverified,
};
use serde_json::{Value, json};

use super::community::{Agency, NOW, RELAY_MAX_S, name, refers, salt, seed, version_2};
use super::{desk, flipped, match_records};

/// A report without anything that can be left out.
pub(crate) fn plain_report(title: &str) -> Report {
    Report {
        report_type: ReportType::Incident,
        title: format!("EXERCISE {title}"),
        text: String::new(),
        entities: None,
        place: None,
        time: None,
        evaluation: None,
        language: None,
        source: None,
    }
}

fn full_report() -> Report {
    let identifier = |identifier_type, value: &str| Identifier { identifier_type, value: value.into() };
    Report {
        report_type: ReportType::Intelligence,
        text: "EXERCISE Bản tin thử nghiệm. Учебное сообщение.".into(),
        entities: Some(vec![
            Entity {
                class: Class::Vessel,
                name: Some("EXERCISE LADY".into()),
                identifiers: Some(vec![
                    identifier(IdentifierType::Imo, "IMO\u{a0}9074729"),
                    identifier(IdentifierType::Mmsi, "525700804"),
                    identifier(IdentifierType::CallSign, "EXER1"),
                ]),
                role: Some("attacked vessel".into()),
            },
            Entity {
                class: Class::Aircraft,
                name: None,
                identifiers: Some(vec![identifier(IdentifierType::Icao24, "7C6B2F")]),
                role: None,
            },
        ]),
        place: Some(Place {
            latitude_e7: Some(12_345_678),
            longitude_e7: Some(-1_039_876_543),
            name: Some("EXERCISE strait".into()),
        }),
        time: Some(Period { from: -1, until: Some(NOW as i64) }),
        evaluation: Some(Evaluation { system: "4x4".into(), source: "B".into(), information: "2".into() }),
        language: Some("vi".into()),
        source: Some("EXERCISE open source".into()),
        ..plain_report("a report with everything")
    }
}

/// The keys that the vectors are checked with.
struct Keys {
    vn: Agency,
    /// Name, key, from, until, revoked.
    known: Vec<(&'static str, SigningKey, u64, u64, Option<u64>)>,
}

impl Keys {
    fn new() -> Self {
        let vn = Agency::new("vn-police");
        let key = |label: &str| SigningKey::from_seed(&seed(label));
        let known = vec![
            ("signing", key("vn-police signing"), NOW - 1_000_000, NOW + 1_000_000, None),
            ("identity", key("vn-police identity"), 0, u64::MAX, None),
            ("past", key("vn-police past"), NOW - 2_000_000, NOW - 1_000_000, None),
            ("next", key("vn-police next"), NOW + 100, NOW + 2_000_000, None),
            ("revoked", key("vn-police revoked"), NOW - 1_000_000, NOW + 1_000_000, Some(NOW + 5)),
        ];
        Self { vn, known }
    }

    fn get(&self, label: &str) -> &SigningKey {
        &self.known.iter().find(|(known, ..)| *known == label).expect("a known key").1
    }

    fn json(&self) -> Value {
        let entry = |(_, key, from, until, revoked): &(_, SigningKey, u64, u64, Option<u64>)| {
            json!({
                "agency": self.vn.id.as_str(), "key": hex::encode(key.public().as_bytes()),
                "from": from, "until": until, "revoked": revoked,
            })
        };
        self.known.iter().map(entry).collect()
    }
}

/// One vector that is to be refused.
pub(super) fn bad(name: &str, bytes: &[u8], expect: &str) -> Value {
    json!({"name": name, "now": NOW + 10, "bytes": hex::encode(bytes), "expect": expect})
}

/// One vector that is to be taken, with what it says.
pub(super) fn good(name: &str, bytes: &[u8]) -> Value {
    let record = Unverified::parse(bytes.to_vec()).expect("a record in form");
    let record = mufakat_record::Verified::from_own_store(record.bytes().to_vec()).expect("a record in form");
    let header = record.header();
    let understood = kinds::check(header, record.body()).expect("a sound body") == Understanding::Understood;
    let mut vector = bad(name, bytes, "ok");
    vector["id"] = json!(record.id().to_string());
    vector["header"] = json!({
        "kid": header.key, "author": header.author, "thread": header.thread, "signed_at": header.issued_at,
        "kind": header.kind, "audience": header.audience, "register": header.register, "handling": header.handling,
        "references": header.references.iter()
            .map(|r| json!({"relation": r.relation, "record": r.record.to_string()})).collect::<Vec<_>>(),
        "expires": header.expires,
    });
    vector["body"] = json!(hex::encode(record.body()));
    vector["understood"] = json!(understood);
    vector
}

/// Signs whatever is given, sound or not.
pub(crate) fn sign_raw(protected: &[u8], body: &[u8], key: &SigningKey) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.array(4).unwrap().str("Signature1").unwrap().bytes(protected).unwrap().bytes(&[]).unwrap().bytes(body).unwrap();
    let signature = key.sign(&e.into_writer());
    message(protected, body, &signature)
}

fn message(protected: &[u8], body: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(protected).unwrap().map(0).unwrap();
    e.bytes(body).unwrap().bytes(signature).unwrap();
    e.into_writer()
}

pub(crate) fn records() -> Value {
    let keys = Keys::new();
    let vn = &keys.vn;
    let mut vectors = good_records(vn);
    vectors.extend(desk::good_ones(vn));
    vectors.extend(match_records::good_ones(vn));
    vectors.extend(bad_forms(&keys));
    vectors.extend(bad_headers(&keys));
    vectors.extend(bad_signatures(&keys));
    vectors.extend(bad_bodies(&keys));
    vectors.extend(desk::bad_ones(vn));
    vectors.extend(match_records::bad_ones(vn));
    json!({
        "about": "Records (sections 5 and 6), checked with these keys as of `now`. `zeros`: so many zero bytes follow. \
                  Keys that sign everything from 0 on are identity keys.",
        "relay_max_s": RELAY_MAX_S,
        "keys": keys.json(),
        "vectors": vectors,
    })
}

/// A record that an agency makes for itself alone.
fn approval() -> Approval {
    Approval { by: None, decision: Decision::Approve, checks: vec![], words: Some("EXERCISE".into()) }
}

fn at_home(agency: &Agency, about: RecordId) -> Header {
    let references = vec![Reference { relation: Relation::About, record: about }];
    Header { audience: vec![agency.id.clone()], references, ..agency.header(Approval::KIND) }
}

fn eyes(text: &str) -> Eyes {
    text.parse().expect("an agency and an officer")
}

fn good_records(vn: &Agency) -> Vec<Value> {
    let report = vn.sign(vn.header(""), &plain_report("a plain report"));
    let mut everything = vn.header("");
    everything.handling = Handling {
        tlp: Tlp::AmberStrict,
        codes: Some(vec![Code::H1, Code::H3]),
        purposes: Some(vec!["piracy".into(), "search-and-rescue".into()]),
        orcon: Some(true),
        caveat: Some("EXERCISE not for the press".into()),
        eyes: Some(vec![eyes("ru-police/d3-night"), eyes("ru-police/d4"), eyes("vn-police/d1")]),
        review: Some(NOW + 7_776_000),
    };
    let other = |relation, label: &str| Reference { relation, record: RecordId(seed(label)) };
    everything.references =
        vec![other(Relation::About, "a"), other(Relation::Attaches, "b"), other(Relation::Attaches, "c")];
    everything.references.sort();
    everything.expires = Some(NOW + 86_400);
    let attachment = Attachment {
        name: "EXERCISE tệp.json".into(),
        media_type: "application/stix+json".into(),
        size: 1_048_577,
        digest: seed("content"),
        key: seed("chunks"),
        chunks: [seed("chunk 0"), seed("chunk 1")].concat(),
    };
    let with = |references| Header { references, ..vn.header("") };
    let retraction = Retraction { reason: "EXERCISE mistaken".into(), carries: None };
    let correction = Correction { reason: String::new(), report: plain_report("as it should have been") };
    let answer = |action, reason: Option<&str>| Answer { action, reason: reason.map(Into::into), at: NOW };
    let alarm = WitnessAlarm {
        agency: name("ru-police"),
        finding: Finding::SplitView,
        first: "EXERCISE one".into(),
        second: "EXERCISE other".into(),
    };
    // Each is sound for every reader, whatever its author's desk would say.
    let given = |identifier_type, value: &str| Identifier { identifier_type, value: value.into() };
    let notice = Report {
        report_type: ReportType::Notice,
        entities: Some(vec![Entity {
            class: Class::Person,
            name: None,
            identifiers: Some(vec![
                given(IdentifierType::Imo, "imo9074729"),
                given(IdentifierType::Mmsi, "000000000"),
                given(IdentifierType::Icao24, "ffffff"),
                given(IdentifierType::Passport, "EXERCISE 1"),
                given(IdentifierType::Phone, "024 3825 0000"),
                given(IdentifierType::Iban, "DE88 3704 0044 0532 0130 00"),
                given(IdentifierType::Wallet, "EXERCISE 2"),
                given(IdentifierType::NumberPlate, "51F-123.45"),
                given(IdentifierType::Email, "EXERCISE 3"),
                given(IdentifierType::Url, "EXERCISE 4"),
                given(IdentifierType::SerialNumber, &"x".repeat(400)),
                given(IdentifierType::Other, "\u{a0}EXERCISE 5\n"),
            ]),
            role: None,
        }]),
        ..plain_report("a notice")
    };
    let unknown = Draft { header: vn.header("request/v2"), body: vec![0xa1, 0x01, 0x80] };
    let unknown = unknown.sign(&vn.signing).expect("a record").into_bytes();
    let many = (0..256).map(|i| name(&format!("agency-{i:03}"))).collect();
    let widest = vn.sign(Header { audience: many, ..vn.header("") }, &plain_report("to 256 agencies"));
    vec![
        good("report, as little as there can be", &report),
        good("report with everything", &vn.sign(everything, &full_report())),
        good("a notice with identifiers of every form", &vn.sign(vn.header(""), &notice)),
        good("attachment", &vn.sign(vn.header(""), &attachment)),
        good("retraction", &vn.sign(with(refers(Relation::Retracts, &report)), &retraction)),
        good("correction", &vn.sign(with(refers(Relation::Corrects, &report)), &correction)),
        good("answer: deleted", &vn.sign(with(refers(Relation::Answers, &report)), &answer(Action::Deleted, None))),
        good(
            "answer: kept",
            &vn.sign(with(refers(Relation::Answers, &report)), &answer(Action::Kept, Some("EXERCISE archives act"))),
        ),
        good("key set", &vn.key_set(&vn.keys())),
        good("register version", &vn.sign(vn.header(""), &version_2())),
        good("register approval", &vn.approve(&version_2())),
        good("witness alarm", &vn.sign(vn.header(""), &alarm)),
        good("approval, which stays at home", &vn.sign(at_home(vn, RecordId(seed("a"))), &approval())),
        good("request", &vn.sign(vn.header(""), &request())),
        good(
            "request step: refused",
            &vn.sign(with(refers(Relation::Answers, &report)), &request_step(vn.header("").issued_at)),
        ),
        good(
            "escalation, for its author alone",
            &vn.sign(
                Header { audience: vec![name("vn-police")], ..with(refers(Relation::About, &report)) },
                &escalation(),
            ),
        ),
        good("kind that is not known", &unknown),
        good("audience of 256", &widest),
    ]
    .into_iter()
    .chain(good_deletions(vn, &report))
    .collect()
}

/// What passes on, permits, holds and deletes.
fn good_deletions(vn: &Agency, report: &[u8]) -> Vec<Value> {
    let about = RecordId::of(report);
    let to_partners =
        || Header { references: vec![Reference { relation: Relation::About, record: about }], ..vn.header("") };
    let permission = Permission { evidence: true, forward_to: Some(vec![name("ru-police")]), note: None };
    let onward = Onward { record: report.to_vec(), permission: None, note: Some("EXERCISE".into()) };
    let receipt = DeletionReceipt { why: Why::Expired, at: NOW, copies: 1, attachments: 0, through: None };
    let order = DeletionOrder { by: None, why: Why::Review, reason: "EXERCISE".into() };
    let hold = Hold { by: None, thread: None, reason: "EXERCISE case".into(), until: Some(NOW + 60) };
    let lifted = HoldLifted { by: None, reason: "EXERCISE closed".into() };
    vec![
        good("permission", &vn.sign(to_partners(), &permission)),
        good("onward", &vn.sign(to_partners(), &onward)),
        good("deletion receipt", &vn.sign(to_partners(), &receipt)),
        good("deletion order, which stays at home", &vn.sign(at_home(vn, about), &order)),
        good("hold, which stays at home", &vn.sign(at_home(vn, about), &hold)),
        good("hold lifted, which stays at home", &vn.sign(at_home(vn, about), &lifted)),
    ]
}

fn request() -> Request {
    let text = |what: &str| format!("EXERCISE {what}");
    Request {
        by: By { role: Role::Liaison, officer: Some("d3-night".parse().expect("a pseudonym")) },
        title: text("whose vessel"),
        text: text("who owns the vessel"),
        offence: text("armed robbery at sea"),
        purpose: text("to find the crew"),
        link: text("the vessel was seen there"),
        necessity: text("there is no other source"),
        holding: text("it is on their registry"),
        urgency: Some(Urgency { reason: UrgencyReason::LifeOrLimb, directly_accessible: true }),
        restrictions: None,
        language: "en".to_owned(),
        legal_basis: text("treaty"),
        judge_needed: false,
        subjects: None,
        copied: None,
        not_copied: None,
    }
}

fn request_step(issued_at: u64) -> RequestStep {
    let step = Step::Refused { grounds: vec![Ground::NotHeld, Ground::Security], words: "EXERCISE".to_owned() };
    RequestStep { at_ms: issued_at * 1000 + 7, by: Some(By::default()), step }
}

fn escalation() -> Escalation {
    Escalation { level: Level::Supervisor, mark_ms: 1_800_000_000_000, due_ms: 1_800_000_000_000 }
}

fn bad_forms(keys: &Keys) -> Vec<Value> {
    let vn = &keys.vn;
    let report = vn.sign(vn.header(""), &plain_report("a plain report"));
    let parsed = mufakat_record::Verified::from_own_store(report.clone()).expect("a record");
    let protected = parsed.header().encode();
    let (body, signature) = (parsed.body().to_vec(), report[report.len() - 64..].to_vec());
    let mut tag_17 = report.clone();
    tag_17[0] = 0xd1;
    // The array's head is the second byte; 0x9f opens one of indefinite length.
    let mut indefinite = report.clone();
    indefinite[1] = 0x9f;
    indefinite.push(0xff);
    let mut long_tag = vec![0xd8, 0x12];
    long_tag.extend(&report[1..]);
    let mut unprotected = Encoder::new(Vec::new());
    unprotected.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(&protected).unwrap();
    unprotected.map(1).unwrap().u8(4).unwrap().bytes(b"x").unwrap().bytes(&body).unwrap().bytes(&signature).unwrap();
    let mut three = Encoder::new(Vec::new());
    three.tag(Tag::new(18)).unwrap().array(3).unwrap().bytes(&protected).unwrap().bytes(&body).unwrap();
    three.bytes(&signature).unwrap();
    let mut oversize = bad("262,145 bytes", &report, "oversize");
    oversize["zeros"] = json!(262_145 - report.len());
    let mut trailing = bad("zeros up to 262,144 bytes", &report, "trailing-bytes");
    trailing["zeros"] = json!(262_144 - report.len());
    vec![
        oversize,
        trailing,
        bad("nothing", b"", "truncated"),
        bad("one byte too few", &report[..report.len() - 1], "truncated"),
        bad("one byte too many", &[&report[..], b"\0"].concat(), "trailing-bytes"),
        bad("array of indefinite length", &indefinite, "indefinite-length"),
        bad("tag in two bytes", &long_tag, "non-canonical"),
        bad("arrays in arrays", &[&[0x81; 13][..], b"\0"].concat(), "too-deep"),
        bad("5,000 items", &[&[0x99, 0x13, 0x88][..], &report].concat(), "list-too-long"),
        bad("untagged", &report[1..], "malformed"),
        bad("another tag", &tag_17, "malformed"),
        bad("three items", &three.into_writer(), "malformed"),
        bad("an unprotected header", &unprotected.into_writer(), "malformed"),
        bad("a signature of 63 bytes", &message(&protected, &body, &signature[1..]), "malformed"),
        bad("a signature of 65 bytes", &message(&protected, &body, &[&signature[..], b"\0"].concat()), "malformed"),
        bad("JSON", br#"{"kind":"report"}"#, "truncated"),
    ]
}

fn bad_headers(keys: &Keys) -> Vec<Value> {
    let vn = &keys.vn;
    let body = plain_report("a plain report").to_body();
    let kind = Report::KIND;
    let sound = Header { key: vn.signing.id(), ..vn.header(kind) };
    let whole = sound.encode();
    let signed = |protected: &[u8]| sign_raw(protected, &body, &vn.signing);
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = sound.clone();
        change(&mut header);
        signed(&header.encode())
    };
    // Puts other bytes in the place of some that stand in the header once.
    let edited = |from: &[u8], to: &[u8]| {
        let at = super::position(&whole, from);
        signed(&[&whole[..at], to, &whole[at + from.len()..]].concat())
    };
    let content_type = [b"\x03\x70".as_slice(), b"application/cbor"].concat();
    let twice = [&content_type[..], &content_type].concat();
    let private = [0x3a, 0x00, 0x01, 0x11, 0x70];
    let thread = sound.thread.to_string();
    // The map's last entry is the handling, {1: 1}.
    let handling = [0x04, 0xa1, 0x01, 0x01];
    let one_more = |entry: &[u8]| {
        let at = super::position(&whole, &private) + private.len();
        let mut bytes = [&whole[..], entry].concat();
        bytes[at] += 1;
        signed(&bytes)
    };
    let head = |count: u8| [&[0xa0 + count][..], &whole[1..]].concat();
    let deep = [&[0x04, 0xa2, 0x01, 0x01, 0x03][..], &[0x81; 13], &[0]].concat();
    let issued = [&[0x06, 0x1a][..], &(NOW as u32).to_be_bytes()].concat();
    let issued_long = [&[0x06, 0x1b][..], &NOW.to_be_bytes()].concat();
    let reference = |label: &str| Reference { relation: Relation::About, record: RecordId(seed(label)) };
    let (a, b) = if seed("a") < seed("b") { ("a", "b") } else { ("b", "a") };
    // ML-DSA-65 and a signature of its length.
    let longer = {
        let at = super::position(&whole, &[0x01, 0x32, 0x03]);
        let other = [&whole[..at], &[0x01, 0x38, 0x30], &whole[at + 2..]].concat();
        message(&other, &body, &[7; 3309])
    };
    let many = |n: usize| (0..n).map(|i| name(&format!("agency-{i:03}"))).collect::<Vec<_>>();
    let caveat = |n: usize| Some("x".repeat(n));
    let officers = |n: usize| (0..n).map(|i| eyes(&format!("vn-police/d{i:02}"))).collect::<Vec<_>>();
    vec![
        bad("header over 16,384 bytes", &with(&|h| h.handling.caveat = caveat(16_384)), "oversize"),
        bad("header cut short", &signed(&whole[..whole.len() - 1]), "truncated"),
        bad("header with a byte behind", &signed(&[&whole[..], b"\0"].concat()), "trailing-bytes"),
        bad(
            "content type twice",
            &signed(&{
                let at = super::position(&whole, &content_type);
                let mut bytes = [&whole[..at], &twice, &whole[at + content_type.len()..]].concat();
                bytes[0] += 1;
                bytes
            }),
            "duplicate-key",
        ),
        bad("time in nine bytes", &edited(&issued, &issued_long), "non-canonical"),
        bad("time as a float", &edited(&issued, &[0x06, 0xfb, 0x41, 0xda, 0xbf, 0x5b, 0xd0, 0, 0, 0]), "malformed"),
        bad("time as null", &edited(&issued, &[0x06, 0xf6]), "malformed"),
        bad("purposes nested too deep", &edited(&handling, &deep), "too-deep"),
        bad("algorithm EdDSA (-8)", &edited(&[0x01, 0x32, 0x03], &[0x01, 0x27, 0x03]), "unknown-algorithm"),
        bad("algorithm ML-DSA-65 (-49)", &edited(&[0x01, 0x32, 0x03], &[0x01, 0x38, 0x30, 0x03]), "unknown-algorithm"),
        bad("algorithm as text", &edited(&[0x01, 0x32, 0x03], &[0x01, 0x61, 0x61, 0x03]), "unknown-algorithm"),
        bad("algorithm as bytes", &edited(&[0x01, 0x32, 0x03], &[0x01, 0x41, 0x61, 0x03]), "malformed"),
        bad("another algorithm's signature", &longer, "unknown-algorithm"),
        bad("handling codes out of order", &with(&|h| h.handling.codes = Some(vec![Code::H1, Code::H0])), "malformed"),
        bad("a handling code twice", &with(&|h| h.handling.codes = Some(vec![Code::H1, Code::H1])), "malformed"),
        bad("no algorithm", &signed(&[&[0xa4][..], &whole[3..]].concat()), "malformed"),
        bad("unknown algorithm and nothing else", &signed(&[0xa1, 0x01, 0x26]), "unknown-algorithm"),
        bad("another content type", &edited(b"application/cbor", b"application/json"), "malformed"),
        bad(
            "key id of 15 bytes",
            &edited(&[&[0x04, 0x50][..], &sound.key.0].concat(), &[&[0x04, 0x4f][..], &sound.key.0[..15]].concat()),
            "malformed",
        ),
        bad("thread in capitals", &edited(thread.as_bytes(), thread.to_uppercase().as_bytes()), "malformed"),
        bad("author that is no name", &edited(b"vn-police", b"vn.police"), "malformed"),
        bad("an entry more in the private map", &one_more(&[0x07, 0x01]), "malformed"),
        bad("an entry more in the header", &signed(&[&head(6)[..], &[0x61, 0x78, 0x01]].concat()), "malformed"),
        bad("an empty list of references", &one_more(&[0x05, 0x80]), "malformed"),
        bad("expiry null", &one_more(&[0x06, 0xf6]), "malformed"),
        bad("unknown label", &edited(&handling, &[0x04, 0xa1, 0x01, 0x05]), "malformed"),
        bad("originator control as a number", &edited(&handling, &[0x04, 0xa2, 0x01, 0x01, 0x04, 0x01]), "malformed"),
        bad("unknown handling", &edited(&handling, &[0x04, 0xa2, 0x01, 0x01, 0x08, 0xf5]), "malformed"),
        bad("handling codes that are none", &with(&|h| h.handling.codes = Some(vec![])), "malformed"),
        bad("purposes that are none", &with(&|h| h.handling.purposes = Some(vec![])), "malformed"),
        bad("17 purposes", &with(&|h| h.handling.purposes = Some(vec!["x".into(); 17])), "malformed"),
        bad("a blank purpose", &with(&|h| h.handling.purposes = Some(vec!["\u{2003}".into()])), "malformed"),
        bad("a purpose of 101 bytes", &with(&|h| h.handling.purposes = Some(vec!["x".repeat(101)])), "malformed"),
        bad("a blank caveat", &with(&|h| h.handling.caveat = Some(String::new())), "malformed"),
        bad("a caveat of 2,001 bytes", &with(&|h| h.handling.caveat = caveat(2001)), "malformed"),
        bad("eyes that are none", &with(&|h| h.handling.eyes = Some(vec![])), "malformed"),
        bad("eyes of 65 officers", &with(&|h| h.handling.eyes = Some(officers(65))), "malformed"),
        bad(
            "eyes out of order",
            &with(&|h| h.handling.eyes = Some(vec![eyes("vn-police/d2"), eyes("vn-police/d1")])),
            "malformed",
        ),
        bad(
            "an officer twice among the eyes",
            &with(&|h| h.handling.eyes = Some(vec![eyes("vn-police/d1"); 2])),
            "malformed",
        ),
        bad(
            "eyes of an agency without an officer",
            &edited(&handling, &[&[0x04, 0xa2, 0x01, 0x01, 0x06, 0x81, 0x81, 0x62], &b"vn"[..]].concat()),
            "malformed",
        ),
        bad(
            "eyes of an officer in capitals",
            &edited(&handling, &[&[0x04, 0xa2, 0x01, 0x01, 0x06, 0x81, 0x82, 0x62], &b"vn\x62D1"[..]].concat()),
            "malformed",
        ),
        bad("a review at no time", &edited(&handling, &[0x04, 0xa2, 0x01, 0x01, 0x07, 0xf6]), "malformed"),
        bad(
            "unknown relation",
            &one_more(&[&[0x05, 0x81, 0x82, 0x05, 0x58, 0x20][..], &seed("a")].concat()),
            "malformed",
        ),
        bad("references out of order", &with(&|h| h.references = vec![reference(b), reference(a)]), "malformed"),
        bad("a reference twice", &with(&|h| h.references = vec![reference(a), reference(a)]), "malformed"),
        bad(
            "65 references",
            &with(&|h| h.references = (0..65).map(|i| reference(&i.to_string())).collect()),
            "list-too-long",
        ),
        bad("audience out of order", &with(&|h| h.audience.reverse()), "malformed"),
        bad("an agency twice in the audience", &with(&|h| h.audience[1] = h.audience[0].clone()), "malformed"),
        bad("audience of 257", &with(&|h| h.audience = many(257)), "list-too-long"),
        bad("nobody in the audience", &with(&|h| h.audience.clear()), "empty-audience"),
    ]
}

fn bad_signatures(keys: &Keys) -> Vec<Value> {
    let vn = &keys.vn;
    let body = plain_report("a plain report").to_body();
    let by = |label: &str, issued_at: u64| {
        let key = keys.get(label);
        let header = Header { key: key.id(), issued_at, ..vn.header(Report::KIND) };
        sign_raw(&header.encode(), &body, key)
    };
    let report = by("signing", NOW);
    let header = Header { key: vn.signing.id(), ..vn.header(Report::KIND) };
    let other_body = plain_report("another report").to_body();
    let others = sign_raw(&header.encode(), &other_body, &vn.signing);
    let moved = message(&header.encode(), &body, &others[others.len() - 64..]);
    let stranger = SigningKey::from_seed(&seed("stranger"));
    let strange = sign_raw(&Header { key: stranger.id(), ..header.clone() }.encode(), &body, &stranger);
    let other_author = Header { author: name("ru-police"), ..header.clone() };
    let late = |name: &str, now: u64, bytes: &[u8], expect: &str| {
        let mut vector = bad(name, bytes, expect);
        vector["now"] = json!(now);
        vector
    };
    vec![
        bad("unknown key", &strange, "unknown-key"),
        bad("the key of another agency", &sign_raw(&other_author.encode(), &body, &vn.signing), "unknown-key"),
        bad("signed by another key than it names", &sign_raw(&header.encode(), &body, &stranger), "wrong-signature"),
        bad("a bit of the signature changed", &flipped(&report, report.len() - 1), "wrong-signature"),
        bad("a bit of the body changed", &flipped(&report, super::position(&report, b"plain")), "wrong-signature"),
        bad(
            "a bit of the header changed",
            &flipped(&report, super::position(&report, b"ru-police") + 3),
            "wrong-signature",
        ),
        bad("the signature of another record", &moved, "wrong-signature"),
        bad("S not below the group order", &malleated(&report), "wrong-signature"),
        bad("signed before the key was valid", &by("next", NOW), "key-not-yet-valid"),
        bad("signed after the key's time", &by("past", NOW), "key-expired"),
        late(
            "signed in time and on its way too long",
            NOW - 1_000_000 + RELAY_MAX_S + 1,
            &by("past", NOW - 1_000_001),
            "key-expired",
        ),
        late("signed in time and long on its way", NOW - 1_000_000 + RELAY_MAX_S, &by("past", NOW - 1_000_001), "ok"),
        bad("revoked key", &by("revoked", NOW), "key-revoked"),
        bad("revoked key and wrong signature", &flipped(&by("revoked", NOW), 260), "wrong-signature"),
    ]
}

/// The same signature with the group order added to its scalar: it solves the equation, and must be refused all the same.
fn malleated(record: &[u8]) -> Vec<u8> {
    // The order of the base point of edwards25519 (RFC 8032 §5.1), little-endian.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").expect("hexadecimal");
    let mut bytes = record.to_vec();
    let start = bytes.len() - 32;
    let mut carry = 0u16;
    for (byte, add) in bytes[start..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "the sum fits");
    bytes
}

fn bad_bodies(keys: &Keys) -> Vec<Value> {
    let vn = &keys.vn;
    let refused = |name: &str, kind: &str, references: Vec<Reference>, body: Vec<u8>| {
        let header = Header { key: vn.signing.id(), references, ..vn.header(kind) };
        bad(name, &sign_raw(&header.encode(), &body, &vn.signing), "body-not-of-kind")
    };
    let report = |name: &str, change: &dyn Fn(&mut Report)| {
        let mut body = plain_report("a report");
        change(&mut body);
        refused(name, "report", Vec::new(), body.to_body())
    };
    let sound = plain_report("a report").to_body();
    let entity = |identifier_type, value: &str| {
        let identifiers = Some(vec![Identifier { identifier_type, value: value.into() }]);
        Some(vec![Entity { class: Class::Vessel, name: None, identifiers, role: None }])
    };
    let place = |latitude_e7, longitude_e7, name| Some(Place { latitude_e7, longitude_e7, name });
    let evaluation = |system: &str, source: &str| {
        Some(Evaluation { system: system.into(), source: source.into(), information: "1".into() })
    };
    let to = |relation, label: &str| Reference { relation, record: RecordId(seed(label)) };
    let retraction = Retraction { reason: String::new(), carries: None }.to_body();
    let kept = Answer { action: Action::Kept, reason: Some(" ".into()), at: NOW }.to_body();
    let file = |name: &str, size: u64, chunks: usize| {
        let (digest, key) = (seed("content"), seed("chunks"));
        let chunks = vec![7; 32 * chunks];
        let body = Attachment { name: name.into(), media_type: "text/plain".into(), size, digest, key, chunks };
        body.to_body()
    };
    let version = |change: &dyn Fn(&mut RegisterVersion)| {
        let mut version = version_2();
        change(&mut version);
        version.to_body()
    };
    let away = |name: &str, audience| {
        let header = Header { key: vn.signing.id(), audience, ..at_home(vn, RecordId(seed("a"))) };
        bad(name, &sign_raw(&header.encode(), &approval().to_body(), &vn.signing), "body-not-of-kind")
    };
    vec![
        report("blank title", &|r| r.title = " \u{a0}\u{3000}".into()),
        report("title of 401 bytes", &|r| r.title = "x".repeat(401)),
        report("IMO number with a wrong check digit", &|r| r.entities = entity(IdentifierType::Imo, "9074728")),
        report("IMO with a hyphen before the number", &|r| r.entities = entity(IdentifierType::Imo, "IMO-9074729")),
        report("IMO in other letters", &|r| r.entities = entity(IdentifierType::Imo, "\u{131}MO 9074729")),
        report("an identifier of 401 bytes", &|r| r.entities = entity(IdentifierType::Other, &"x".repeat(401))),
        report("MMSI of eight digits", &|r| r.entities = entity(IdentifierType::Mmsi, "52570080")),
        report("MMSI in other digits", &|r| r.entities = entity(IdentifierType::Mmsi, "٥٢٥٧٠٠٨٠٤")),
        report("address that is not hexadecimal", &|r| r.entities = entity(IdentifierType::Icao24, "7C6B2G")),
        report("empty passport number", &|r| r.entities = entity(IdentifierType::Passport, " ")),
        report("latitude without longitude", &|r| r.place = place(Some(1), None, Some("x".into()))),
        report("beyond the pole", &|r| r.place = place(Some(900_000_001), Some(0), None)),
        report("a place that is nowhere", &|r| r.place = place(None, None, None)),
        report("ends before it begins", &|r| r.time = Some(Period { from: 2, until: Some(1) })),
        report("4x4 without such a code", &|r| r.evaluation = evaluation("4x4", "D")),
        report("language of one letter", &|r| r.language = Some("v".into())),
        refused("a report with a byte behind", "report", vec![], [&sound[..], b"\0"].concat()),
        refused("a report with an entry more", "report", vec![], {
            let mut body = [&sound[..], &[0x0a, 0x01]].concat();
            body[0] += 1;
            body
        }),
        refused("a report of an unknown type", "report", vec![], {
            let mut body = sound.clone();
            // The first entry is the type.
            body[2] = 0x06;
            body
        }),
        refused("no report at all", "report", vec![], vec![0x80]),
        refused("an empty body", "report", vec![], Vec::new()),
        refused("retraction of nothing", "retraction", vec![], retraction.clone()),
        refused(
            "retraction of two",
            "retraction",
            {
                let mut two = vec![to(Relation::Retracts, "a"), to(Relation::Retracts, "b")];
                two.sort();
                two
            },
            retraction.clone(),
        ),
        refused("retraction that only is about", "retraction", vec![to(Relation::About, "a")], retraction),
        refused("kept without a reason", "answer", vec![to(Relation::Answers, "a")], kept),
        refused("file name with a folder", "attachment", vec![], file("a/b", 1, 1)),
        refused("file name of two dots", "attachment", vec![], file("..", 1, 1)),
        refused("a chunk too few", "attachment", vec![], file("a", 1_048_577, 1)),
        refused("an empty file without a chunk", "attachment", vec![], file("a", 0, 0)),
        refused("threshold above the parties", "register-version", vec![], version(&|v| v.threshold = 4)),
        refused(
            "speaker of another party",
            "register-version",
            vec![],
            version(&|v| v.parties[0].speaker = name("sg-fusion")),
        ),
        refused(
            "one identity key for two",
            "register-version",
            vec![],
            version(&|v| v.agencies[0].identity = v.agencies[1].identity),
        ),
        refused("parties out of order", "register-version", vec![], version(&|v| v.parties.reverse())),
        refused("version 2 without the one before", "register-version", vec![], version(&|v| v.previous = None)),
        away("home kind that goes to a partner", vec![name("ru-police")]),
        away("home kind that also goes to a partner", vec![name("ru-police"), vn.id.clone()]),
        refused("kind that is not known, with a float in it", "not-a-kind", vec![], vec![0xf9, 0x3c, 0x00]),
        refused("kind with a capital letter", "Request", vec![], vec![0x80]),
        refused("kind without a name", "", vec![], vec![0x80]),
    ]
}

pub(crate) fn receipts() -> Value {
    let keys = Keys::new();
    let vn = &keys.vn;
    let to_ru = || Header { audience: vec![name("ru-police")], ..vn.header(Receipt::KIND) };
    let entry = |position: u64, rejected: Option<&str>| Entry {
        position,
        record: RecordId(seed(&format!("record {position}"))),
        rejected: rejected.map(Into::into),
        at_ms: NOW * 1000 + position,
        index: 40 + position,
        salt: salt(&format!("leaf {position}")),
    };
    let receipt = |entries| Receipt { epoch: 1, ledger: vn.origin(), entries };
    let taken = |name: &str, body: &Receipt| {
        let mut vector = good(name, &vn.sign(to_ru(), body));
        let entries: Vec<_> = body
            .entries
            .iter()
            .map(|e| {
                json!({
                    "position": e.position, "record": e.record, "rejected": e.rejected, "at_ms": e.at_ms,
                    "index": e.index, "salt": hex::encode(e.salt),
                })
            })
            .collect();
        vector["receipt"] = json!({"epoch": body.epoch, "ledger": body.ledger, "entries": entries});
        vector
    };
    let refused = |name: &str, header: Header, body: Vec<u8>| {
        let header = Header { key: vn.signing.id(), ..header };
        bad(name, &sign_raw(&header.encode(), &body, &vn.signing), "body-not-of-kind")
    };
    let one = receipt(vec![entry(1, None)]).to_body();
    let short_salt = {
        // The salt is the last thing in the body: a head of one byte, then 16 bytes.
        let mut body = one[..one.len() - 1].to_vec();
        let at = body.len() - 16;
        body[at] = 0x4f;
        body
    };
    let null = super::position(&one, &[0xf6]);
    let without_rejected = {
        let mut body = [&one[..null], &one[null + 1..]].concat();
        let at = super::position(&body, &[0x81, 0x86]) + 1;
        body[at] = 0x85;
        body
    };
    json!({
        "about": "Receipts (sections 6.5 and 9): records as in records.json, with what they say.",
        "relay_max_s": RELAY_MAX_S,
        "keys": keys.json(),
        "vectors": [
            taken("one record accepted", &receipt(vec![entry(1, None)])),
            taken("one accepted, one not", &receipt(vec![entry(7, None), entry(8, Some("unknown-register"))])),
            taken("a reason of a later version", &receipt(vec![entry(1, Some("some-later-reason"))])),
            refused("nothing in it", to_ru(), receipt(vec![]).to_body()),
            refused("positions out of order", to_ru(), receipt(vec![entry(2, None), entry(1, None)]).to_body()),
            refused("a position twice", to_ru(), receipt(vec![entry(1, None), entry(1, None)]).to_body()),
            refused("for two agencies", vn.header(Receipt::KIND), one.clone()),
            refused("rejected for an empty reason", to_ru(), receipt(vec![entry(1, Some(""))]).to_body()),
            refused("another agency's ledger", to_ru(), Receipt { ledger: "mufakat/ru-police/1".into(), ..receipt(vec![entry(1, None)]) }.to_body()),
            refused("a ledger without a number", to_ru(), Receipt { ledger: "mufakat/vn-police/".into(), ..receipt(vec![entry(1, None)]) }.to_body()),
            refused("a salt of 15 bytes", to_ru(), short_salt),
            refused("nothing where null belongs", to_ru(), without_rejected),
        ],
    })
}
