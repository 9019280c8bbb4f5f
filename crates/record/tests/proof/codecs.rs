//! Every codec: what is written is read back the same, whatever is changed on the way is refused, and nothing panics.

use std::collections::BTreeSet;

use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::key_set::{KeySet, Sealing, Signing};
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{Agency, Forum, Party, RegisterVersion, Rules};
use mufakat_record::kinds::report::{Class, Entity, Identifier, IdentifierType, Period, Place, Report, ReportType};
use mufakat_record::kinds::request_step::{Ground, RefusedPart, Step};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::kinds::witness_alarm::{Finding, WitnessAlarm};
use mufakat_record::kinds::{self, Body, KINDS, Understanding};
use mufakat_record::parcel::{self, Outer, Parcel};
use mufakat_record::{
    AgencyId, Code, Digest, Draft, Evaluation, Eyes, Handling, Header, Reason, RecordId, Reference, Relation, ThreadId,
    Tlp, Unverified, cbor,
};
use proptest::collection::{btree_set, vec};
use proptest::option::of as maybe;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::samples::*;

const RELATIONS: [Relation; 5] =
    [Relation::About, Relation::Attaches, Relation::Retracts, Relation::Corrects, Relation::Answers];

fn name() -> impl Strategy<Value = AgencyId> {
    "[a-z0-9][a-z0-9-]{0,38}[a-z0-9]".prop_map(|text| text.parse().unwrap())
}

/// Text of any script, with quotes, controls and the like.
fn text(bytes_max: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=bytes_max / 4).prop_map(|chars| chars.into_iter().collect())
}

fn line() -> impl Strategy<Value = String> {
    text(40).prop_map(|text| format!("E{text}"))
}

fn handling() -> impl Strategy<Value = Handling> {
    let codes = btree_set(select(&[Code::H0, Code::H1, Code::H2, Code::H3][..]), 1..4);
    let codes = codes.prop_map(|codes| codes.into_iter().collect());
    let officer =
        (name(), "[a-z0-9]{2,8}").prop_map(|(agency, officer)| Eyes { agency, officer: officer.parse().unwrap() });
    let eyes = btree_set(officer, 1..4).prop_map(|eyes| eyes.into_iter().collect());
    let restricted = (maybe(any::<bool>()), maybe(line()), maybe(eyes), maybe(any::<u64>()));
    (select(&Tlp::ALL[..]), maybe(codes), maybe(vec(line(), 1..4)), restricted).prop_map(
        |((tlp, _), codes, purposes, (orcon, caveat, eyes, review))| Handling {
            tlp,
            codes,
            purposes,
            orcon,
            caveat,
            eyes,
            review,
        },
    )
}

fn headers() -> impl Strategy<Value = Header> {
    let reference = (select(&RELATIONS[..]), any::<[u8; 32]>())
        .prop_map(|(relation, record)| Reference { relation, record: RecordId(record) });
    let names = (name(), btree_set(name(), 1..20), text(40));
    let bytes = (any::<[u8; 16]>(), any::<[u8; 32]>(), btree_set(reference, 0..6));
    (names, bytes, handling(), any::<u64>(), maybe(any::<u64>())).prop_map(
        |((author, audience, kind), (thread, register, references), handling, issued_at, expires)| Header {
            key: signing_key().id(),
            author,
            issued_at,
            thread: ThreadId(thread),
            kind,
            audience: audience.into_iter().collect(),
            register: Digest(register),
            handling,
            references: references.into_iter().collect(),
            expires,
        },
    )
}

fn identifiers() -> impl Strategy<Value = Identifier> {
    prop_oneof![
        "[0-9]{6}".prop_map(|six| {
            let check: u32 =
                six.bytes().zip((2..=7).rev()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
            identifier(IdentifierType::Imo, &format!("{six}{}", check % 10))
        }),
        "[0-9]{9}".prop_map(|value| identifier(IdentifierType::Mmsi, &value)),
        "[0-9a-fA-F]{6}".prop_map(|value| identifier(IdentifierType::Icao24, &value)),
        line().prop_map(|value| identifier(IdentifierType::Other, &value)),
    ]
}

fn reports() -> impl Strategy<Value = Report> {
    let entity = (maybe(text(40)), maybe(vec(identifiers(), 0..3)), maybe(text(20)))
        .prop_map(|(name, identifiers, role)| Entity { class: Class::Vessel, name, identifiers, role });
    let place = prop_oneof![
        line().prop_map(|name| Place { latitude_e7: None, longitude_e7: None, name: Some(name) }),
        (-900_000_000..=900_000_000, -1_800_000_000..=1_800_000_000, maybe(line())).prop_map(
            |(latitude, longitude, name)| Place { latitude_e7: Some(latitude), longitude_e7: Some(longitude), name }
        ),
    ];
    let time = (any::<i64>(), maybe(any::<u32>()))
        .prop_map(|(from, more)| Period { from, until: more.map(|more| from.saturating_add(more.into())) });
    let types = [
        ReportType::Information,
        ReportType::Intelligence,
        ReportType::Incident,
        ReportType::Seizure,
        ReportType::Warning,
        ReportType::Notice,
    ];
    let evaluation =
        Just(Evaluation { system: "admiralty".to_owned(), source: "F".to_owned(), information: "6".to_owned() });
    let head = (prop::sample::select(types.to_vec()), line(), text(400));
    let rest = (
        maybe(vec(entity, 0..5)),
        maybe(place),
        maybe(time),
        maybe(evaluation),
        maybe(Just("vi".to_owned())),
        maybe(text(40)),
    );
    (head, rest).prop_map(|((report_type, title, text), (entities, place, time, evaluation, language, source))| {
        Report { report_type, title, text, entities, place, time, evaluation, language, source }
    })
}

fn actions() -> impl Strategy<Value = Action> {
    prop::sample::select(vec![Action::Deleted, Action::Marked, Action::Kept, Action::Corrected, Action::NotHeld])
}

fn answers() -> impl Strategy<Value = Answer> {
    (actions(), maybe(line()), any::<u64>()).prop_map(|(action, reason, at)| {
        let reason = if action == Action::Kept { reason.or(Some("EXERCISE".to_owned())) } else { reason };
        Answer { action, reason, at }
    })
}

fn attachments() -> impl Strategy<Value = Attachment> {
    ("[a-zA-Z0-9 ._-]{1,40}", "[a-z]{1,20}/[a-z]{1,20}", any::<[u8; 32]>(), any::<[u8; 32]>(), 0..20u64 << 20).prop_map(
        |(name, media_type, digest, key, size)| Attachment {
            name: format!("E{name}"),
            media_type,
            size,
            digest,
            key,
            chunks: vec![7; 32 * size.div_ceil(1 << 20).max(1) as usize],
        },
    )
}

fn key_sets() -> impl Strategy<Value = KeySet> {
    let key = any::<[u8; 32]>().prop_map(|seed| *mufakat_record::SigningKey::from_seed(&seed).public().as_bytes());
    let signing = (key, 0..u64::MAX / 2, any::<u32>(), maybe(any::<u64>()))
        .prop_map(|(key, from, more, revoked)| Signing { key, from, until: from + u64::from(more), revoked });
    let unknown_suite = (2..=u8::MAX, vec(any::<u8>(), 0..50), any::<u64>()).prop_map(|(suite, key, from)| Sealing {
        suite,
        key,
        from,
        until: from,
    });
    (vec(signing, 1..6), vec(unknown_suite, 0..3), any::<u64>(), any::<u64>()).prop_map(
        |(signing, mut sealing, serial, epoch)| {
            sealing.extend(key_set().sealing);
            KeySet { serial, signing, sealing, ledger_origin: format!("mufakat/vn-police/{epoch}"), ..key_set() }
        },
    )
}

fn receipts() -> impl Strategy<Value = Receipt> {
    let reasons = prop::sample::select(Reason::ALL.to_vec());
    let entry = (any::<[u8; 32]>(), maybe(reasons), any::<u64>(), any::<u64>(), any::<[u8; 16]>());
    (vec(entry, 1..8), btree_set(any::<u64>(), 8), any::<u64>(), any::<u64>()).prop_map(
        |(entries, places, epoch, own)| {
            let entry =
                |((record, rejected, at_ms, index, salt), position): (([u8; 32], Option<Reason>, _, _, _), u64)| {
                    Entry {
                        position,
                        record: RecordId(record),
                        rejected: rejected.map(|reason| reason.name().to_owned()),
                        at_ms,
                        index,
                        salt,
                    }
                };
            let entries = entries.into_iter().zip(places).map(entry).collect();
            Receipt { epoch, ledger: format!("mufakat/vn-police/{own}"), entries }
        },
    )
}

fn register_versions() -> impl Strategy<Value = RegisterVersion> {
    (btree_set(name(), 1..6), 1..u64::MAX, 0..u64::MAX, any::<Index>(), any::<[u8; 32]>(), 1..=86_400u64).prop_map(
        |(names, version, issued_at, threshold, hash, interval)| {
            // Each party has one agency with the party's own name.
            let one = |(i, id): (usize, &AgencyId)| Agency {
                id: id.clone(),
                party: id.clone(),
                name: format!("EXERCISE {i}"),
                identity: Digest(*mufakat_record::SigningKey::from_seed(&[i as u8; 32]).public().as_bytes()),
                endpoint: format!("host{i}:7000"),
                relay: i == 0,
                removed: None,
            };
            let party = |id: &AgencyId| Party { id: id.clone(), name: "EXERCISE".to_owned(), speaker: id.clone() };
            RegisterVersion {
                community: "EXERCISE".to_owned(),
                version,
                previous: (version > 1).then_some(Digest(hash)),
                issued_at,
                expires: u64::MAX,
                threshold: threshold.index(names.len()) as u64 + 1,
                parties: names.iter().map(party).collect(),
                agencies: names.iter().enumerate().map(one).collect(),
                forums: vec![Forum {
                    id: agency("forum"),
                    name: "EXERCISE".to_owned(),
                    members: names.into_iter().collect(),
                    chair_rule: String::new(),
                }],
                rules: Rules { witness_quorum: 1, witness_interval_s: interval, relay_max_s: 60 },
            }
        },
    )
}

/// What is written is read back the same, is understood, and has one form only.
fn comes_back<B: Body + PartialEq + std::fmt::Debug>(header: Header, body: &B) -> Result<(), TestCaseError> {
    let header = Header { kind: B::KIND.to_owned(), ..header };
    let bytes = body.to_body();
    prop_assert_eq!(&B::from_body(&header, &bytes).unwrap(), body);
    prop_assert_eq!(kinds::check(&header, &bytes), Ok(Understanding::Understood));
    prop_assert_eq!(B::from_body(&header, &[&bytes[..], b"\0"].concat()).err(), Some(Reason::BodyNotOfKind));
    prop_assert_eq!(B::from_body(&header, &bytes[..bytes.len() - 1]).err(), Some(Reason::BodyNotOfKind));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn headers_come_back(header in headers()) {
        let bytes = header.encode();
        prop_assert_eq!(cbor::check(&bytes), Ok(()));
        prop_assert_eq!(Header::decode(&bytes), Ok(header));
        prop_assert_eq!(Header::decode(&[&bytes[..], b"\0"].concat()), Err(Reason::TrailingBytes));
    }

    #[test]
    fn bodies_come_back(
        bodies in (answers(), attachments(), reports(), text(200), key_sets(), receipts(), register_versions()),
        approval in (1..u64::MAX, any::<[u8; 32]>()),
        findings in prop::sample::select(vec![Finding::SplitView, Finding::NoConsistencyProof, Finding::Restarted]),
    ) {
        let (answer, attachment, report, reason, key_set, receipt, register_version) = bodies;
        comes_back(referring("", Relation::Answers), &answer)?;
        comes_back(header(""), &attachment)?;
        comes_back(header(""), &report)?;
        let report_entities = report.entities.clone();
        let mut asked = request();
        asked.subjects = report_entities.clone();
        comes_back(header(""), &asked)?;
        comes_back(referring("", Relation::Corrects), &Correction { reason: reason.clone(), report })?;
        comes_back(referring("", Relation::Retracts), &Retraction { reason: reason.clone(), carries: None })?;
        comes_back(header(""), &key_set)?;
        comes_back(Header { audience: vec![agency("ru-police")], ..header("") }, &receipt)?;
        comes_back(header(""), &register_version)?;
        comes_back(header(""), &RegisterApproval { version: approval.0, hash: Digest(approval.1) })?;
        let alarm = WitnessAlarm { agency: agency("vn-navy"), finding: findings, first: reason.clone(), second: reason };
        comes_back(header(""), &alarm)?;
        let ground = Ground::ALL[usize::from(approval.1[0] % 8)].0;
        let part = RefusedPart { part: "EXERCISE".into(), ground, words: "EXERCISE".into() };
        let answered = Step::Answered { text: "EXERCISE".into(), entities: report_entities, refused: Some(vec![part]), evidence: approval.1[1] > 99 };
        for step in steps().into_iter().chain([answered]) {
            comes_back(referring("", Relation::Answers), &request_step(step))?;
        }
    }

    #[test]
    fn records_come_back(header in headers(), body in vec(any::<u8>(), 0..2000)) {
        let record = Draft { header: header.clone(), body: body.clone() }.sign(&signing_key()).unwrap();
        let read = Unverified::parse(record.bytes().to_vec()).unwrap();
        prop_assert_eq!(read.header(), &header);
        prop_assert_eq!(read.bytes(), record.bytes());
        let read = read.verify_with(&signing_key().public()).unwrap();
        prop_assert_eq!(read.body(), &body[..]);
        prop_assert_eq!(read, record);
    }

    #[test]
    fn parcels_come_back(
        records in vec(vec(any::<u8>(), 0..300), 1..20),
        (sender, recipient) in (name(), name()),
        (epoch, first, register_version, expires) in (any::<u64>(), 0..u64::MAX / 2, any::<u64>(), any::<u64>()),
        entropy in any::<[u8; 32]>(),
    ) {
        let wanted = Outer { sender: sender.clone(), recipient, epoch, first, register_version, expires, ..outer(0) };
        let named: Vec<_> = records.iter().map(|bytes| (RecordId::of(bytes), &bytes[..])).collect();
        let sealed = parcel::seal(wanted.clone(), &named, sealing_key().public(), &signing_key(), entropy).unwrap();
        let read = Parcel::parse(&sealed.to_bytes()).unwrap();
        prop_assert_eq!(&read, &sealed);
        prop_assert_eq!(&read.outer, &Outer { count: records.len() as u64, ..wanted });
        prop_assert_eq!(read.to_bytes(), sealed.to_bytes());
        let keys = Book(vec![(sender, valid(&signing_key()))]);
        prop_assert_eq!(read.open(&sealing_key(), &keys, NOW), Ok(records));
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(judge(&bytes).is_err());
        prop_assert!(Parcel::parse(&bytes).is_err());
        prop_assert!(Header::decode(&bytes).is_err());
        for (header, _) in bodies() {
            let _ = kinds::check(&header, &bytes);
        }
    }

    /// Sound messages with a few bytes changed come further than random ones.
    #[test]
    fn damaged_bytes_never_panic(
        which in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let damaged = |mut bytes: Vec<u8>| {
            for (index, byte, how) in &changes {
                let place = index.index(bytes.len());
                match how {
                    0 => bytes[place] = *byte,
                    1 => bytes.insert(place, *byte),
                    _ if bytes.len() > 1 => drop(bytes.remove(place)),
                    _ => {}
                }
            }
            bytes
        };
        let samples = bodies();
        let (header, body) = &samples[which.index(samples.len())];
        let changed = damaged(body.clone());
        if kinds::check(header, &changed).is_ok() {
            // What is still taken is in the one form that it has.
            prop_assert_eq!(cbor::check(&changed), Ok(()));
        }
        let encoded = header.encode();
        let changed = damaged(encoded.clone());
        if let Ok(read) = Header::decode(&changed) {
            prop_assert_eq!(read.encode(), changed);
        }
        // The same damage to a header that its author signed, so that the signature does not hide it.
        let _ = judge(&signed(&damaged(encoded), body));
    }
}

#[test]
fn every_kind_has_a_sample() {
    let sampled: BTreeSet<_> = bodies().into_iter().map(|(header, _)| header.kind).collect();
    assert_eq!(sampled, KINDS.iter().map(|(kind, _)| (*kind).to_owned()).collect());
}

/// Each bit of a record on its own. A header that is still well formed is refused for its signature, or for naming another
/// key or author; nothing is accepted.
#[test]
fn every_flipped_bit_of_a_record_is_refused() {
    let good = record().into_bytes();
    let mut wrong_signatures = 0;
    for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        let reason = judge(&bytes).expect_err("a flipped bit is accepted");
        wrong_signatures += usize::from(reason == Reason::WrongSignature);
        // In body and signature there is nothing else to find.
        if at >= good.len() - 64 {
            assert_eq!(reason, Reason::WrongSignature, "byte {at}, bit {bit}");
        }
    }
    assert!(wrong_signatures > 8 * report().to_body().len());
}

#[test]
fn every_truncation_of_a_record_is_refused() {
    let good = record().into_bytes();
    for length in 0..good.len() {
        assert_eq!(judge(&good[..length]), Err(Reason::Truncated), "{length}");
    }
    for byte in 0..=u8::MAX {
        assert_eq!(judge(&[&good[..], &[byte]].concat()), Err(Reason::TrailingBytes), "{byte}");
    }
}

fn parcel_bytes() -> Vec<u8> {
    let record = record();
    let records = [(record.id(), record.bytes()), (RecordId::of(b"EXERCISE"), b"EXERCISE")];
    parcel::seal(outer(2), &records, sealing_key().public(), &signing_key(), [4; 32]).unwrap().to_bytes()
}

fn opened(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Reason> {
    Parcel::parse(bytes)?.open(&sealing_key(), &book(), NOW)
}

#[test]
fn every_flipped_bit_of_a_parcel_is_refused() {
    let good = parcel_bytes();
    assert_eq!(opened(&good).map(|records| records.len()), Ok(2));
    let outer_end = good.len() - to_ciphertext(&good);
    for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        let reason = opened(&bytes).expect_err("a flipped bit is accepted");
        if at >= outer_end {
            assert_eq!(reason, Reason::CannotOpen, "byte {at}, bit {bit}");
        }
    }
}

/// The length of the last part.
fn to_ciphertext(parcel: &[u8]) -> usize {
    decoded(parcel).into_array().unwrap().pop().unwrap().into_bytes().unwrap().len()
}

#[test]
fn every_truncation_of_a_parcel_is_refused() {
    let good = parcel_bytes();
    for length in 0..good.len() {
        assert_eq!(opened(&good[..length]), Err(Reason::Truncated), "{length}");
    }
    for byte in 0..=u8::MAX {
        assert_eq!(opened(&[&good[..], &[byte]].concat()), Err(Reason::TrailingBytes), "{byte}");
    }
}

/// A name of the header that is not a kind, and a kind to come.
#[test]
fn an_unknown_kind_is_kept() {
    for kind in ["proposal", "x", "org.example/track-2", &"k".repeat(60)] {
        let record = Draft { header: header(kind), body: b"\xa1\x01\x02".to_vec() }.sign(&signing_key()).unwrap();
        let read = judge(record.bytes()).unwrap();
        assert_eq!(kinds::check(read.header(), read.body()), Ok(Understanding::UnknownKind), "{kind}");
    }
    for kind in ["", "Report", "report ", "r\u{e9}port", "report\n", &"k".repeat(61)] {
        assert_eq!(kinds::check(&header(kind), b"\xa0"), Err(Reason::BodyNotOfKind), "{kind:?}");
    }
    for body in [&b""[..], b"EXERCISE", b"\xa1\x01", b"\xbf\xff", b"\xa2\x01\0\x01\0", b"\x18\x01", b"\0\0"] {
        assert_eq!(kinds::check(&header("proposal"), body), Err(Reason::BodyNotOfKind), "{body:?}");
    }
}
