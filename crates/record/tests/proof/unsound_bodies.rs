//! Bodies that are not what their kind says, for every kind.

use ciborium::Value;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::approval::{Approval, CHECKS_MAX, QUESTION_BYTES_MAX, WORDS_BYTES_MAX};
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::draft::{DRAFT_ABOUT_MAX, DRAFT_ATTACHMENTS_MAX, Draft as DraftBody};
use mufakat_record::kinds::draft_step::{DraftStep, Step};
use mufakat_record::kinds::key_set::{KeySet, SEALING_KEYS_MAX, SIGNING_KEYS_MAX, Signing};
use mufakat_record::kinds::match_ask::MatchEnd;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::kinds::report::{
    Class, ENTITIES_MAX, Entity, IdentifierType, Period, Place, Report, TEXT_BYTES_MAX, TITLE_BYTES_MAX,
};
use mufakat_record::kinds::request::{By, COPIES_MAX, GROUNDS_BYTES_MAX, NotCopied, Request};
use mufakat_record::kinds::request_step::{Ground, REFUSED_PARTS_MAX, RequestStep, Step as Says, WAIT_S_MAX};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::kinds::use_summary::{PURPOSE_BYTES_MAX, USES_MAX, Use, UseSummary};
use mufakat_record::kinds::witness_alarm::WitnessAlarm;
use mufakat_record::kinds::{self, Body};
use mufakat_record::{
    AUDIENCE_MAX, Code, Digest, Evaluation, Header, How, Reason, RecordId, Reference, Relation, SigningKey, sha256,
};

use crate::samples::*;

type Entries = Vec<(Value, Value)>;

/// Faults of the form, which every kind must refuse alike.
#[test]
fn not_the_structure() {
    for (header, body) in bodies() {
        let kind = &header.kind;
        let refused = |body: &[u8], what: &str| {
            assert_eq!(kinds::check(&header, body), Err(Reason::BodyNotOfKind), "{kind}: {what}");
        };
        assert!(kinds::check(&header, &body).is_ok(), "{kind}");
        let entries = decoded(&body).into_map().unwrap();
        let with = |change: &dyn Fn(&mut Entries)| {
            let mut entries = entries.clone();
            change(&mut entries);
            encoded(&Value::Map(entries))
        };
        for length in 0..body.len() {
            refused(&body[..length], "cut");
        }
        refused(&[&body[..], b"\0"].concat(), "trailing byte");
        // That nobody in particular ended something is said by an empty map.
        if kind != MatchEnd::KIND {
            refused(b"\xa0", "empty map");
        }
        refused(b"\x80", "list");
        refused(b"\xf6", "null");
        refused(b"EXERCISE", "text");
        refused(&[b"\xc4", &body[..]].concat(), "tag");
        refused(&with(&|e| e.push((99.into(), 0.into()))), "unknown key");
        refused(&with(&|e| e.push(("more".into(), 0.into()))), "unknown text key");
        refused(&with(&|e| e.insert(0, (0.into(), Value::Null))), "unknown key with null");
        refused(&with(&|e| e.insert(0, e[0].clone())), "duplicate key");
        refused(&[&[0xb8, entries.len() as u8], &body[1..]].concat(), "long map length");
        refused(&[b"\xbf", &body[1..], b"\xff"].concat(), "indefinite map");
        if entries.len() > 1 {
            refused(&with(&|e| e.reverse()), "unsorted");
        }
        for i in 0..entries.len() {
            refused(&with(&|e| e[i].1 = Value::Null), "null instead of a value");
            refused(&with(&|e| e[i].1 = Value::Map(vec![])), "a map instead of a value");
            refused(&with(&|e| e[i].1 = Value::Tag(9, Box::new(e[i].1.clone()))), "a tag around a value");
        }
        // A retraction says one text, and so does the end of an ask. Which is meant stands in the signed header.
        let reads_alike = |other: &Header| kind == Retraction::KIND && other.kind == MatchEnd::KIND;
        for (other, body) in bodies().into_iter().filter(|(other, _)| other.kind != *kind && !reads_alike(other)) {
            refused(&body, &format!("body of {}", other.kind));
        }
    }
}

/// A type asked for under the header of another kind gives nothing, even when the body would fit.
#[test]
fn not_the_kind_of_the_header() {
    let body = Retraction { reason: String::new(), carries: None }.to_body();
    assert!(Retraction::from_body(&referring("retraction", Relation::Retracts), &body).is_ok());
    let other = referring("report", Relation::Retracts);
    assert_eq!(Retraction::from_body(&other, &body), Err(Reason::BodyNotOfKind));
}

/// Whether a body is refused, or taken, under a header of its kind.
#[track_caller]
pub(crate) fn expect<B: Body>(taken: bool, header: Header, body: &B) {
    let header = Header { kind: B::KIND.to_owned(), ..header };
    let expected = if taken { Ok(()) } else { Err(Reason::BodyNotOfKind) };
    assert_eq!(B::from_body(&header, &body.to_body()).map(drop), expected);
}

#[test]
fn reports() {
    let check = |taken: bool, change: &dyn Fn(&mut Report)| {
        let mut changed = report();
        change(&mut changed);
        expect(taken, header(""), &changed);
        // A correction's report is held to the same.
        expect(taken, referring("", Relation::Corrects), &Correction { reason: String::new(), report: changed });
    };
    let with_identifier = |taken, kind: IdentifierType, value: &str| {
        check(taken, &|r| r.entities.as_mut().unwrap()[0].identifiers = Some(vec![identifier(kind, value)]));
    };
    let with_place = |taken, latitude_e7, longitude_e7, name: Option<&str>| {
        check(taken, &|r| r.place = Some(Place { latitude_e7, longitude_e7, name: name.map(str::to_owned) }));
    };
    let entity = || Entity { class: Class::Person, name: None, identifiers: None, role: None };
    check(false, &|r| r.title = String::new());
    check(false, &|r| r.title = " \t".to_owned());
    check(true, &|r| r.title = "x".repeat(TITLE_BYTES_MAX));
    check(false, &|r| r.title = "x".repeat(TITLE_BYTES_MAX + 1));
    check(true, &|r| r.text = "x".repeat(TEXT_BYTES_MAX));
    check(false, &|r| r.text = "x".repeat(TEXT_BYTES_MAX + 1));
    check(true, &|r| r.entities = Some(vec![entity(); ENTITIES_MAX]));
    check(false, &|r| r.entities = Some(vec![entity(); ENTITIES_MAX + 1]));
    with_identifier(false, IdentifierType::Imo, "9074728");
    with_identifier(false, IdentifierType::Imo, "907472");
    with_identifier(false, IdentifierType::Imo, "90747290");
    with_identifier(false, IdentifierType::Imo, "907472\u{1d7ef}");
    with_identifier(false, IdentifierType::Mmsi, "52570080");
    with_identifier(false, IdentifierType::Icao24, "7C6B2G");
    with_identifier(true, IdentifierType::Icao24, "7c6b2f");
    with_identifier(false, IdentifierType::Passport, "");
    with_identifier(false, IdentifierType::Email, &"x".repeat(401));
    with_place(true, Some(900_000_000), Some(-1_800_000_000), None);
    with_place(false, Some(900_000_001), Some(0), None);
    with_place(false, Some(-900_000_001), Some(0), None);
    with_place(false, Some(i32::MIN), Some(0), None);
    with_place(false, Some(0), Some(1_800_000_001), None);
    with_place(false, Some(0), Some(i32::MIN), None);
    with_place(false, Some(0), None, None);
    with_place(false, None, Some(0), Some("Batam"));
    with_place(false, None, None, None);
    with_place(false, None, None, Some(""));
    with_place(true, None, None, Some("Batam"));
    check(false, &|r| r.time = Some(Period { from: 1, until: Some(0) }));
    check(true, &|r| r.time = Some(Period { from: i64::MIN, until: Some(i64::MAX) }));
    check(false, &|r| {
        r.evaluation = Some(Evaluation { system: "4x4".into(), source: "E".into(), information: "1".into() })
    });
    check(false, &|r| {
        r.evaluation = Some(Evaluation { system: "4x4".into(), source: "A".into(), information: "5".into() })
    });
    check(false, &|r| {
        r.evaluation = Some(Evaluation { system: "3x5x2".into(), source: "A".into(), information: "1".into() })
    });
    check(false, &|r| {
        r.evaluation = Some(Evaluation { system: String::new(), source: "A".into(), information: "1".into() })
    });
    check(true, &|r| {
        r.evaluation = Some(Evaluation { system: "own".into(), source: "A".into(), information: "1".into() })
    });
    check(false, &|r| r.language = Some("v".to_owned()));
    check(false, &|r| r.source = Some("x".repeat(401)));
}

#[test]
fn references_of_answers_retractions_and_corrections() {
    let correction = Correction { reason: "EXERCISE".into(), report: report() };
    let retraction = Retraction { reason: "EXERCISE".into(), carries: None };
    for relation in [Relation::About, Relation::Attaches, Relation::Retracts, Relation::Corrects, Relation::Answers] {
        expect(relation == Relation::Answers, referring("", relation), &answer());
        expect(relation == Relation::Retracts, referring("", relation), &retraction);
        expect(relation == Relation::Corrects, referring("", relation), &correction);
        let twice =
            vec![Reference { relation, record: RecordId([1; 32]) }, Reference { relation, record: RecordId([2; 32]) }];
        let header = Header { references: twice, ..header("") };
        expect(false, header.clone(), &answer());
        expect(false, header.clone(), &retraction);
        expect(false, header, &correction);
    }
    let nothing = Header { references: vec![], ..header("") };
    expect(false, nothing.clone(), &answer());
    expect(false, nothing.clone(), &retraction);
    expect(false, nothing, &correction);
    expect(false, referring("", Relation::Retracts), &Retraction { reason: "x".repeat(2001), carries: None });
    expect(false, referring("", Relation::Corrects), &Correction { reason: "x".repeat(2001), ..correction });
}

#[test]
fn answers() {
    let with = |taken, action, reason: Option<&str>| {
        expect(taken, referring("", Relation::Answers), &Answer { action, reason: reason.map(str::to_owned), at: NOW });
    };
    with(false, Action::Kept, None);
    with(false, Action::Kept, Some(""));
    with(false, Action::Kept, Some(" \n"));
    with(true, Action::Kept, Some("EXERCISE: by law"));
    with(true, Action::Deleted, None);
    with(true, Action::NotHeld, None);
    with(false, Action::Marked, Some(&"x".repeat(2001)));
}

#[test]
fn attachments() {
    let check = |taken: bool, change: &dyn Fn(&mut Attachment)| {
        let mut changed = attachment();
        change(&mut changed);
        expect(taken, header(""), &changed);
    };
    for name in ["", ".", "..", "a/b", "/etc/passwd", "..\\b", "C:\\b", "a\0b", "a\nb", "a\u{85}b", "a\u{1b}[2Jb"] {
        check(false, &|a| a.name = name.to_owned());
    }
    check(true, &|a| a.name = "x".repeat(255));
    check(false, &|a| a.name = "x".repeat(256));
    check(true, &|a| a.name = "b\u{e1}o c\u{e1}o.pdf".to_owned());
    check(false, &|a| a.media_type = "x".to_owned());
    check(false, &|a| a.media_type = "text/plain\r\nX: y".to_owned());
    check(false, &|a| a.media_type = "x".repeat(128));
    check(false, &|a| a.chunks = vec![]);
    check(false, &|a| a.chunks = vec![0; 32]);
    check(false, &|a| a.chunks = vec![0; 63]);
    check(false, &|a| a.chunks = vec![0; 96]);
    check(false, &|a| a.size = 1024 * 1024);
    let sized = |size: u64, chunks: usize| move |a: &mut Attachment| (a.size, a.chunks) = (size, vec![0; 32 * chunks]);
    check(true, &sized(0, 1));
    check(false, &sized(0, 0));
    check(true, &sized(1024 * 1024, 1));
    check(true, &sized(2 << 30, 2048));
    check(false, &sized((2 << 30) + 1, 2049));
    check(false, &sized(u64::MAX, 0));
}

#[test]
fn key_sets() {
    let check = |taken: bool, change: &dyn Fn(&mut KeySet)| {
        let mut changed = key_set();
        change(&mut changed);
        expect(taken, header(""), &changed);
    };
    let identity_point = std::array::from_fn(|i| u8::from(i == 0));
    check(false, &|k| k.signing.clear());
    let distinct = |count: usize, like: &Signing| -> Vec<Signing> {
        let key = |n: usize| *SigningKey::from_seed(&sha256(&n.to_be_bytes())).public().as_bytes();
        (0..count).map(|n| Signing { key: key(n), ..like.clone() }).collect()
    };
    check(true, &|k| k.signing = distinct(SIGNING_KEYS_MAX, &k.signing[0]));
    check(false, &|k| k.signing = distinct(SIGNING_KEYS_MAX + 1, &k.signing[0]));
    // The same key twice, whatever else is said of it: next to itself, and apart.
    check(false, &|k| k.signing = vec![k.signing[0].clone(); 2]);
    check(false, &|k| {
        let twice = Signing { from: 5, until: 6, revoked: None, ..k.signing[0].clone() };
        k.signing = [distinct(3, &twice), vec![twice], distinct(1, &k.signing[0])].concat();
    });
    check(false, &|k| k.signing[0].key = identity_point);
    check(false, &|k| k.signing[0].from = 3);
    check(false, &|k| k.sealing.clear());
    check(true, &|k| k.sealing = vec![k.sealing[0].clone(); SEALING_KEYS_MAX]);
    check(false, &|k| k.sealing = vec![k.sealing[0].clone(); SEALING_KEYS_MAX + 1]);
    check(false, &|k| k.sealing[0].from = 3);
    check(false, &|k| k.sealing[0].key.truncate(1215));
    check(false, &|k| k.sealing[0].key[..2].copy_from_slice(&[0xff; 2]));
    // A suite to come has keys that we cannot judge.
    check(true, &|k| (k.sealing[0].suite, k.sealing[0].key) = (2, vec![1]));
    check(false, &|k| k.ledger_key = [0; 32]);
    check(false, &|k| k.witness_key = [0; 32]);
    for origin in OTHERS_ORIGINS {
        check(false, &|k| k.ledger_origin = (*origin).to_owned());
    }
    check(true, &|k| k.ledger_origin = format!("mufakat/vn-police/{}", u64::MAX));
}

/// Origins that are not the sample author's own, or not in their one form.
const OTHERS_ORIGINS: &[&str] = &[
    "",
    "mufakat/vn-police/",
    "mufakat/vn-police",
    "mufakat/ru-police/1",
    "mufakat/vn-police-2/1",
    "mufakat/vn-police/witness",
    "mufakat/vn-police/01",
    "mufakat/vn-police/+1",
    "mufakat/vn-police/-1",
    "mufakat/vn-police/1 ",
    "mufakat/vn-police/1\n5",
    "mufakat/vn-police/18446744073709551616",
];

#[test]
fn receipts() {
    let one = || Header { audience: vec![agency("ru-police")], ..header("") };
    let check = |taken: bool, change: &dyn Fn(&mut Receipt)| {
        let mut changed = receipt();
        change(&mut changed);
        expect(taken, one(), &changed);
    };
    expect(false, header(""), &receipt());
    check(false, &|r| r.entries.clear());
    check(false, &|r| r.entries.reverse());
    check(false, &|r| r.entries[1].position = 1);
    check(false, &|r| r.entries[0].rejected = Some(String::new()));
    check(false, &|r| r.entries[0].rejected = Some("x".repeat(61)));
    let many = |n: u64| {
        move |r: &mut Receipt| {
            let entry = r.entries[0].clone();
            r.entries =
                (0..n).map(|position| mufakat_record::kinds::receipt::Entry { position, ..entry.clone() }).collect();
        }
    };
    check(true, &many(512));
    check(false, &many(513));
    for origin in OTHERS_ORIGINS {
        check(false, &|r| r.ledger = (*origin).to_owned());
    }
    // An entry is a list of six: not five, not seven.
    let header = Header { kind: Receipt::KIND.to_owned(), ..one() };
    for change in [|entry: &mut Vec<Value>| drop(entry.pop()), |entry: &mut Vec<Value>| entry.push(Value::Null)] {
        let mut body = decoded(&receipt().to_body());
        change(body.as_map_mut().unwrap()[2].1.as_array_mut().unwrap()[0].as_array_mut().unwrap());
        assert_eq!(kinds::check(&header, &encoded(&body)), Err(Reason::BodyNotOfKind));
    }
}

#[test]
fn registers() {
    expect(false, header(""), &RegisterApproval { version: 0, hash: Digest([0; 32]) });
    let check = |taken: bool, change: &dyn Fn(&mut RegisterVersion)| {
        let mut changed = register_version();
        change(&mut changed);
        expect(taken, header(""), &changed);
    };
    check(false, &|r| r.community.clear());
    check(false, &|r| r.community = "x".repeat(201));
    check(false, &|r| r.version = 0);
    check(false, &|r| r.version = 1);
    check(false, &|r| r.previous = None);
    check(true, &|r| (r.version, r.previous) = (1, None));
    check(false, &|r| r.expires = r.issued_at);
    check(false, &|r| r.threshold = 0);
    check(false, &|r| r.threshold = 3);
    check(false, &|r| r.parties.clear());
    check(false, &|r| r.parties.reverse());
    check(false, &|r| r.parties[1] = r.parties[0].clone());
    check(false, &|r| r.parties[0].name.clear());
    check(false, &|r| r.parties[0].speaker = agency("vn-police"));
    check(false, &|r| r.parties[1].speaker = agency("vn-navy"));
    check(false, &|r| r.parties[0].speaker = agency("nobody"));
    check(false, &|r| r.agencies.reverse());
    check(false, &|r| r.agencies[1] = r.agencies[0].clone());
    check(false, &|r| r.agencies[2].identity = r.agencies[0].identity);
    check(false, &|r| r.agencies[2].identity = Digest([0; 32]));
    check(false, &|r| r.agencies[2].endpoint.clear());
    check(false, &|r| (r.agencies[1].removed, r.agencies[1].party) = (None, agency("nobody")));
    check(true, &|r| r.agencies[1].party = agency("nobody"));
    check(false, &|r| r.forums[0].members.reverse());
    check(false, &|r| r.forums[0].members = vec![agency("vn"), agency("vn")]);
    check(false, &|r| r.forums[0].members = vec![agency("nobody")]);
    check(false, &|r| r.forums.push(r.forums[0].clone()));
    check(false, &|r| r.rules.witness_interval_s = 0);
    check(false, &|r| r.rules.witness_interval_s = 86_401);
    check(false, &|r| r.rules.relay_max_s = 59);
}

#[test]
fn alarms() {
    expect(false, header(""), &WitnessAlarm { first: "x".repeat(16 * 1024 + 1), ..witness_alarm() });
    expect(false, header(""), &WitnessAlarm { second: "x".repeat(16 * 1024 + 1), ..witness_alarm() });
}

#[test]
fn drafts() {
    let check = |taken: bool, change: &dyn Fn(&mut DraftBody)| {
        let mut changed = draft();
        change(&mut changed);
        expect(taken, at_home(header("")), &changed);
    };
    check(true, &|_| ());
    check(true, &|d| (d.by, d.attachments, d.about) = (None, None, None));
    // It is for the author alone.
    expect(false, header(""), &draft());
    check(false, &|d| d.kind = "retraction".to_owned());
    check(false, &|d| d.body.clear());
    check(false, &|d| d.to.clear());
    check(true, &|d| d.to = vec![agency("ru-police"); AUDIENCE_MAX]);
    check(false, &|d| d.to = vec![agency("ru-police"); AUDIENCE_MAX + 1]);
    check(false, &|d| d.handling.codes = Some(vec![Code::H3, Code::H1]));
    check(false, &|d| d.handling.eyes = Some(Vec::new()));
    check(true, &|d| d.attachments = Some(vec![attachment(); DRAFT_ATTACHMENTS_MAX]));
    check(false, &|d| d.attachments = Some(vec![attachment(); DRAFT_ATTACHMENTS_MAX + 1]));
    check(false, &|d| d.attachments = Some(Vec::new()));
    check(false, &|d| d.attachments = Some(vec![Attachment { name: "../EXERCISE".to_owned(), ..attachment() }]));
    check(false, &|d| d.about = Some(vec![RecordId([1; 32]); DRAFT_ABOUT_MAX + 1]));
    check(false, &|d| d.about = Some(Vec::new()));
    // What refers to something else says to what, and nothing else does.
    check(false, &|d| d.target = Some(RecordId([1; 32])));
    let target = Some(RecordId([1; 32]));
    let others: [(&str, Vec<u8>, Option<RecordId>); 3] = [
        (Correction::KIND, Correction { reason: String::new(), report: report() }.to_body(), target),
        (Request::KIND, Request { copied: None, ..request() }.to_body(), None),
        (RequestStep::KIND, request_step(Says::Closed).to_body(), target),
    ];
    for (kind, body, target) in others {
        let become_it = |d: &mut DraftBody| (d.kind, d.body, d.target) = (kind.to_owned(), body.clone(), target);
        check(true, &become_it);
        let other = target.is_none().then_some(RecordId([1; 32]));
        check(false, &|d| {
            become_it(d);
            d.target = other;
        });
        check(false, &|d| {
            become_it(d);
            d.kind = Report::KIND.to_owned();
        });
    }
    // Somebody is asked: a copy goes to one of those whom it is for, and not to all of them.
    let asked = |copied: &[&str]| Request { copied: Some(copied.iter().map(|a| agency(a)).collect()), ..request() };
    check(true, &|d| (d.kind, d.body) = (Request::KIND.to_owned(), asked(&["id"]).to_body()));
    check(false, &|d| (d.kind, d.body) = (Request::KIND.to_owned(), asked(&["id", "ru-police"]).to_body()));
}

#[test]
fn steps_and_approvals_of_drafts() {
    let about = || at_home(referring("", Relation::About));
    for step in [Step::Submitted, Step::Discarded, Step::Released] {
        expect(true, about(), &draft_step(step));
        expect(false, at_home(Header { references: Vec::new(), ..header("") }), &draft_step(step));
        expect(false, referring("", Relation::About), &draft_step(step));
        let mut other = draft_step(step);
        other.records = other.records.is_none().then(|| vec![RecordId([1; 32])]);
        expect(false, about(), &other);
    }
    let released = |count| DraftStep { records: Some(vec![RecordId([1; 32]); count]), ..draft_step(Step::Released) };
    expect(false, about(), &released(0));
    expect(true, about(), &released(AUDIENCE_MAX));
    expect(false, about(), &released(AUDIENCE_MAX + 1));

    let check = |taken: bool, change: &dyn Fn(&mut Approval)| {
        let mut changed = approval();
        change(&mut changed);
        expect(taken, about(), &changed);
    };
    check(true, &|_| ());
    check(true, &|a| (a.by, a.words) = (None, None));
    check(true, &|a| a.checks.clear());
    check(false, &|a| a.checks[0].question.clear());
    check(false, &|a| a.checks[0].question = "x".repeat(QUESTION_BYTES_MAX + 1));
    check(true, &|a| a.checks = vec![a.checks[0].clone(); CHECKS_MAX]);
    check(false, &|a| a.checks = vec![a.checks[0].clone(); CHECKS_MAX + 1]);
    check(false, &|a| a.words = Some(String::new()));
    check(false, &|a| a.words = Some("x".repeat(WORDS_BYTES_MAX + 1)));
    expect(false, referring("", Relation::About), &approval());
    expect(false, at_home(referring("", Relation::Answers)), &approval());
}

#[test]
fn use_summaries() {
    let to_one = || Header { audience: vec![agency("ru-police")], ..header("") };
    let check = |taken: bool, change: &dyn Fn(&mut UseSummary)| {
        let mut changed = use_summary();
        change(&mut changed);
        expect(taken, to_one(), &changed);
    };
    check(true, &|_| ());
    // How one agency's records were used is nobody else's business.
    expect(false, header(""), &use_summary());
    check(false, &|s| s.ledger = "mufakat/ru-police/1".to_owned());
    check(false, &|s| s.until = s.from);
    check(false, &|s| s.uses.clear());
    check(false, &|s| s.uses.reverse());
    check(false, &|s| s.uses[1] = s.uses[0].clone());
    check(false, &|s| s.uses[0].count = 0);
    check(false, &|s| s.uses[0].first = s.uses[0].last + 1);
    check(false, &|s| s.uses[1].purpose = Some(String::new()));
    check(true, &|s| s.uses[1].purpose = Some("x".repeat(PURPOSE_BYTES_MAX)));
    check(false, &|s| s.uses[1].purpose = Some("x".repeat(PURPOSE_BYTES_MAX + 1)));
    // Only what is done with a record is a use of it.
    for how in [How::Release, How::SignIn, How::SignInFailed, How::SignOut] {
        check(false, &|s| s.uses[1].how = how);
    }
    let many = |count: usize| {
        move |s: &mut UseSummary| {
            let numbered = |n: usize| {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&(n as u64).to_be_bytes());
                Use { record: RecordId(id), ..s.uses[0].clone() }
            };
            s.uses = (0..count).map(numbered).collect();
        }
    };
    check(true, &many(USES_MAX));
    check(false, &many(USES_MAX + 1));
}

#[test]
fn requests() {
    let check = |taken: bool, change: &dyn Fn(&mut Request)| {
        let mut changed = request();
        change(&mut changed);
        expect(taken, header(""), &changed);
    };
    type Field = fn(&mut Request) -> &mut String;
    let texts: [(&str, Field); 6] = [
        ("offence", |r| &mut r.offence),
        ("purpose", |r| &mut r.purpose),
        ("link", |r| &mut r.link),
        ("necessity", |r| &mut r.necessity),
        ("holding", |r| &mut r.holding),
        ("legal_basis", |r| &mut r.legal_basis),
    ];
    for (name, field) in texts {
        check(false, &|r| *field(r) = " ".to_owned());
        check(true, &|r| *field(r) = "x".repeat(GROUNDS_BYTES_MAX));
        check(false, &|r| *field(r) = "x".repeat(GROUNDS_BYTES_MAX + 1));
        // The fault names the field.
        let mut changed = request();
        field(&mut changed).clear();
        assert!(changed.fault().unwrap().contains(&format!("`{name}`")));
    }
    check(true, &|_| {});
    check(false, &|r| r.title = String::new());
    check(false, &|r| r.text = "\n".to_owned());
    check(false, &|r| r.text = "x".repeat(TEXT_BYTES_MAX + 1));
    check(false, &|r| r.restrictions = Some(String::new()));
    check(false, &|r| r.language = "e".to_owned());
    check(false, &|r| {
        r.subjects.as_mut().unwrap()[0].identifiers = Some(vec![identifier(IdentifierType::Imo, "9074728")])
    });
    // Who has a copy is in the audience, and somebody is asked.
    check(true, &|r| r.copied = None);
    check(true, &|r| (r.copied, r.not_copied) = (None, Some(NotCopied::Safety)));
    check(false, &|r| r.not_copied = Some(NotCopied::Safety));
    check(false, &|r| r.copied = Some(vec![]));
    check(false, &|r| r.copied = Some(vec![agency("sg-fusion")]));
    check(false, &|r| r.copied = Some(vec![agency("vn-police")]));
    check(false, &|r| r.copied = Some(vec![agency("id-coastguard"), agency("ru-police")]));
    check(false, &|r| r.copied = Some(vec![agency("id-coastguard"); 2]));
    check(false, &|r| r.copied = Some((0..=COPIES_MAX).map(|i| agency(&format!("agency-{i}"))).collect()));
}

#[test]
fn request_steps() {
    let check = |taken: bool, step: Says| expect(taken, referring("", Relation::Answers), &request_step(step));
    steps().into_iter().for_each(|step| check(true, step));
    let text = || "EXERCISE".to_owned();
    check(false, Says::Received { time_zone: "../UTC".to_owned(), within_s: None });
    check(false, Says::Received { time_zone: "UTC".to_owned(), within_s: Some(0) });
    check(false, Says::Routed { to: String::new() });
    check(false, Says::ClarificationAsked { text: " ".to_owned() });
    check(false, Says::ClarificationGiven { text: "x".repeat(GROUNDS_BYTES_MAX + 1) });
    for until in [0, ISSUED_AT, ISSUED_AT + WAIT_S_MAX + 1, u64::MAX] {
        check(false, Says::AwaitingJudge { until, why: text() });
        check(false, Says::Extended { until, why: text() });
    }
    check(true, Says::Extended { until: ISSUED_AT + WAIT_S_MAX, why: text() });
    check(false, Says::Extended { until: ISSUED_AT + 1, why: String::new() });
    check(false, Says::Refused { grounds: vec![], words: text() });
    check(false, Says::Refused { grounds: vec![Ground::NotHeld; 2], words: text() });
    check(false, Says::Refused { grounds: vec![Ground::ThirdParty, Ground::NotHeld], words: text() });
    check(false, Says::Refused { grounds: vec![Ground::NotHeld], words: String::new() });
    let Says::Answered { refused: Some(parts), .. } = steps().swap_remove(6) else { panic!("the answer") };
    let answered =
        |text: &str, refused| Says::Answered { text: text.to_owned(), entities: None, refused, evidence: false };
    check(true, answered("EXERCISE", None));
    check(false, answered("", None));
    check(false, answered(&"x".repeat(TEXT_BYTES_MAX + 1), None));
    check(false, answered("EXERCISE", Some(vec![])));
    check(true, answered("EXERCISE", Some(vec![parts[0].clone(); REFUSED_PARTS_MAX])));
    check(false, answered("EXERCISE", Some(vec![parts[0].clone(); REFUSED_PARTS_MAX + 1])));
    // The time is that of the header, and only the node itself takes a step without an officer.
    let sound = request_step(Says::Closed);
    expect(true, referring("", Relation::Answers), &sound);
    expect(false, referring("", Relation::About), &sound);
    expect(false, header(""), &sound);
    expect(false, referring("", Relation::Answers), &RequestStep { at_ms: sound.at_ms + 1, ..sound.clone() });
    expect(false, referring("", Relation::Answers), &RequestStep { at_ms: ISSUED_AT * 1000 - 1, ..sound.clone() });
    expect(false, referring("", Relation::Answers), &RequestStep { by: None, ..sound });
    let received = Says::Received { time_zone: "UTC".to_owned(), within_s: None };
    expect(true, referring("", Relation::Answers), &RequestStep { by: None, ..request_step(received.clone()) });
    expect(true, referring("", Relation::Answers), &RequestStep { by: Some(By::default()), ..request_step(received) });
}

#[test]
fn escalations() {
    let alone = Header { audience: vec![agency("vn-police")], ..header("") };
    expect(true, alone.clone(), &escalation());
    expect(false, header(""), &escalation());
    expect(false, Header { references: vec![], ..alone.clone() }, &escalation());
    let mut late = escalation();
    late.mark_ms = late.due_ms + 1;
    expect(false, alone, &late);
}
