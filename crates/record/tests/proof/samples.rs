//! Sound examples of everything, and the tools with which the tests forge unsound ones. What is written here by hand is
//! written from the protocol document, not with the crate's own encoders, so that the two check each other.

use ciborium::Value;
use hpke::{Deserializable, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::XWing};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::approval::{Approval, Check, Decision};
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::credential::{Credential, Means};
use mufakat_record::kinds::deletion_order::DeletionOrder;
use mufakat_record::kinds::deletion_receipt::{DeletionReceipt, Why};
use mufakat_record::kinds::draft::Draft as DraftBody;
use mufakat_record::kinds::draft_step::{DraftStep, Step};
use mufakat_record::kinds::escalation::{Escalation, Level};
use mufakat_record::kinds::hold::{Hold, HoldLifted};
use mufakat_record::kinds::key_set::{KeySet, Sealing, Signing};
use mufakat_record::kinds::officer::Officer;
use mufakat_record::kinds::onward::Onward;
use mufakat_record::kinds::permission::Permission;
use mufakat_record::kinds::policy_set::{PolicyFile, PolicySet};
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{Agency, Forum, Party, RegisterVersion, Rules};
use mufakat_record::kinds::report::{Class, Entity, Identifier, IdentifierType, Period, Place, Report, ReportType};
use mufakat_record::kinds::request::{By, Request, Urgency, UrgencyReason};
use mufakat_record::kinds::request_step::{Ground, RefusedPart, RequestStep, Step as Says};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::kinds::revocation::{Revocation, Revoked};
use mufakat_record::kinds::saved_search::SavedSearch;
use mufakat_record::kinds::use_summary::{Use, UseSummary};
use mufakat_record::kinds::witness_alarm::{Finding, WitnessAlarm};
use mufakat_record::parcel::Outer;
use mufakat_record::{
    AgencyId, Code, Digest, Draft, Evaluation, Eyes, Handling, Header, How, KeyBook, KeyId, KeyState, Reason, RecordId,
    Reference, Relation, Role, SealingKey, SealingPublic, SigningKey, ThreadId, Tlp, Unverified, Verified, sha256,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub(crate) mod matching;

/// When the sample records are issued.
pub(crate) const ISSUED_AT: u64 = 1_800_000_000;
/// When they arrive.
pub(crate) const NOW: u64 = ISSUED_AT + 5;
/// The sample key is valid this long before and after [`ISSUED_AT`].
pub(crate) const VALIDITY_S: u64 = 1000;
/// What was signed in time may arrive this much later.
pub(crate) const GRACE_S: u64 = 100;

pub(crate) fn agency(name: &str) -> AgencyId {
    name.parse().unwrap()
}

/// The author's key.
pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

/// A key that nobody has announced.
pub(crate) fn stranger_key() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

/// The recipient's key.
pub(crate) fn sealing_key() -> SealingKey {
    SealingKey::from_seed(&[3; 32])
}

/// The keys of agencies, as a node would look them up.
#[derive(Clone)]
pub(crate) struct Book(pub(crate) Vec<(AgencyId, KeyState)>);

impl KeyBook for Book {
    fn key(&self, agency: &AgencyId, id: &KeyId) -> Option<KeyState> {
        self.0.iter().find(|(name, state)| name == agency && state.key.id() == *id).map(|(_, state)| *state)
    }
}

/// The state of a key that is valid around the sample time.
pub(crate) fn valid(key: &SigningKey) -> KeyState {
    KeyState {
        key: key.public(),
        from: ISSUED_AT - VALIDITY_S,
        until: ISSUED_AT + VALIDITY_S,
        revoked: None,
        grace_s: GRACE_S,
    }
}

/// A book that holds the author's key and nothing else.
pub(crate) fn book() -> Book {
    Book(vec![(agency("vn-police"), valid(&signing_key()))])
}

/// A header with every optional part.
pub(crate) fn header(kind: &str) -> Header {
    Header {
        key: signing_key().id(),
        author: agency("vn-police"),
        issued_at: ISSUED_AT,
        thread: ThreadId([5; 16]),
        kind: kind.to_owned(),
        audience: vec![agency("id-coastguard"), agency("ru-police")],
        register: Digest([6; 32]),
        handling: Handling {
            tlp: Tlp::AmberStrict,
            codes: Some(vec![Code::H1, Code::H3]),
            purposes: Some(vec!["EXERCISE".to_owned()]),
            orcon: Some(true),
            caveat: Some("EXERCISE: not for court".to_owned()),
            eyes: Some(vec![Eyes { agency: agency("ru-police"), officer: "d3-night".parse().unwrap() }]),
            review: Some(ISSUED_AT + 3600),
        },
        references: vec![Reference { relation: Relation::About, record: RecordId([7; 32]) }],
        expires: Some(ISSUED_AT + 86_400),
    }
}

/// A header whose one reference has the given relation.
pub(crate) fn referring(kind: &str, relation: Relation) -> Header {
    Header { references: vec![Reference { relation, record: RecordId([7; 32]) }], ..header(kind) }
}

pub(crate) fn report() -> Report {
    Report {
        report_type: ReportType::Incident,
        title: "EXERCISE: boarding off Batam".to_owned(),
        text: "EXERCISE: four persons in a small boat.".to_owned(),
        entities: Some(vec![Entity {
            class: Class::Vessel,
            name: Some("EXERCISE STAR".to_owned()),
            identifiers: Some(vec![identifier(IdentifierType::Imo, "9074729")]),
            role: Some("attacked vessel".to_owned()),
        }]),
        place: Some(Place { latitude_e7: Some(11_000_000), longitude_e7: Some(1_040_000_000), name: None }),
        time: Some(Period { from: 1_799_990_000, until: Some(1_799_993_600) }),
        evaluation: Some(Evaluation { system: "4x4".into(), source: "B".into(), information: "2".into() }),
        language: Some("en".to_owned()),
        source: Some("EXERCISE desk".to_owned()),
    }
}

pub(crate) fn identifier(identifier_type: IdentifierType, value: &str) -> Identifier {
    Identifier { identifier_type, value: value.to_owned() }
}

pub(crate) fn attachment() -> Attachment {
    Attachment {
        name: "EXERCISE.json".to_owned(),
        media_type: "application/json".to_owned(),
        size: 1024 * 1024 + 1,
        digest: [8; 32],
        key: [9; 32],
        chunks: vec![10; 64],
    }
}

pub(crate) fn key_set() -> KeySet {
    let key = *signing_key().public().as_bytes();
    KeySet {
        serial: 3,
        signing: vec![Signing { key, from: 1, until: 2, revoked: Some(2) }],
        sealing: vec![Sealing { suite: 1, key: sealing_key().public().to_bytes(), from: 1, until: 2 }],
        ledger_origin: "mufakat/vn-police/1".to_owned(),
        ledger_key: key,
        witness_key: key,
    }
}

pub(crate) fn receipt() -> Receipt {
    let entry = |position, rejected: Option<&str>| Entry {
        position,
        record: RecordId([11; 32]),
        rejected: rejected.map(str::to_owned),
        at_ms: NOW * 1000,
        index: 4,
        salt: [12; 16],
    };
    Receipt {
        epoch: 1,
        ledger: "mufakat/vn-police/1".to_owned(),
        entries: vec![entry(1, None), entry(2, Some("wrong-signature"))],
    }
}

pub(crate) fn register_version() -> RegisterVersion {
    let party = |id: &str, speaker: &str| Party { id: agency(id), name: "EXERCISE".into(), speaker: agency(speaker) };
    let member = |id: &str, party: &str, seed: u8| Agency {
        id: agency(id),
        party: agency(party),
        name: "EXERCISE".into(),
        identity: Digest(*SigningKey::from_seed(&[seed; 32]).public().as_bytes()),
        endpoint: "127.0.0.1:7000".into(),
        relay: seed == 20,
        removed: (seed == 22).then_some(ISSUED_AT),
    };
    RegisterVersion {
        community: "EXERCISE".into(),
        version: 2,
        previous: Some(Digest([13; 32])),
        issued_at: ISSUED_AT,
        expires: ISSUED_AT + 1,
        threshold: 2,
        parties: vec![party("ru", "ru-police"), party("vn", "vn-police")],
        agencies: vec![member("ru-police", "ru", 20), member("vn-navy", "vn", 22), member("vn-police", "vn", 21)],
        forums: vec![Forum {
            id: agency("exercise"),
            name: "EXERCISE".into(),
            members: vec![agency("ru"), agency("vn")],
            chair_rule: "yearly".into(),
        }],
        rules: Rules { witness_quorum: 2, witness_interval_s: 60, relay_max_s: 86_400 },
    }
}

pub(crate) fn answer() -> Answer {
    Answer { action: Action::Kept, reason: Some("EXERCISE: by law".into()), at: NOW }
}

pub(crate) fn witness_alarm() -> WitnessAlarm {
    let note = "EXERCISE\n".to_owned();
    WitnessAlarm { agency: agency("ru-police"), finding: Finding::SplitView, first: note.clone(), second: note }
}

/// A header of what an agency puts on record for itself.
pub(crate) fn at_home(header: Header) -> Header {
    Header { audience: vec![header.author.clone()], ..header }
}

pub(crate) fn draft() -> DraftBody {
    DraftBody {
        by: Some("d3-night".parse().unwrap()),
        kind: "report".to_owned(),
        body: report().to_body(),
        to: vec![agency("ru-police"), agency("id")],
        handling: header("").handling,
        thread: ThreadId([5; 16]),
        expires: Some(NOW + 1),
        hidden_audience: true,
        attachments: Some(vec![attachment()]),
        about: Some(vec![RecordId([7; 32])]),
        target: None,
    }
}

pub(crate) fn draft_step(step: Step) -> DraftStep {
    let records = (step == Step::Released).then(|| vec![RecordId([16; 32])]);
    DraftStep { by: Some("d3-night".parse().unwrap()), step, records }
}

pub(crate) fn approval() -> Approval {
    Approval {
        by: Some("s1-day".parse().unwrap()),
        decision: Decision::Approve,
        checks: vec![Check { question: "EXERCISE?".to_owned(), answer: true }],
        words: Some("EXERCISE".to_owned()),
    }
}

pub(crate) fn use_summary() -> UseSummary {
    let one = |how, role, purpose: Option<&str>| Use {
        record: RecordId([7; 32]),
        how,
        role,
        purpose: purpose.map(str::to_owned),
        count: 3,
        first: NOW - 10,
        last: NOW,
    };
    let uses = vec![one(How::Read, None, None), one(How::Hit, Some(Role::Analyst), Some("EXERCISE"))];
    UseSummary { ledger: "mufakat/vn-police/1".to_owned(), from: 0, until: 40, uses }
}

pub(crate) fn saved_search() -> SavedSearch {
    SavedSearch { by: Some("d3-night".parse().unwrap()), name: "EXERCISE boats".into(), question: "q=kapal".into() }
}

pub(crate) fn policy_set() -> PolicySet {
    let text =
        "@id(\"exercise\") @why(\"EXERCISE\") forbid (principal, action == Action::\"export\", resource);".to_owned();
    PolicySet {
        by: Some("d3-night".parse().unwrap()),
        name: "exercise".to_owned(),
        files: vec![PolicyFile { name: "exercise.cedar".to_owned(), text }],
        tests: Some("EXERCISE".to_owned()),
    }
}

pub(crate) fn request() -> Request {
    let text = || "EXERCISE".to_owned();
    Request {
        by: By { role: Role::Liaison, officer: Some("d3-night".parse().unwrap()) },
        title: text(),
        text: text(),
        offence: text(),
        purpose: text(),
        link: text(),
        necessity: text(),
        holding: text(),
        urgency: Some(Urgency { reason: UrgencyReason::LifeOrLimb, directly_accessible: true }),
        restrictions: Some(text()),
        language: "en".to_owned(),
        legal_basis: text(),
        judge_needed: true,
        subjects: report().entities,
        copied: Some(vec![agency("id-coastguard")]),
        not_copied: None,
    }
}

/// A step that was taken when the sample records are issued.
pub(crate) fn request_step(step: Says) -> RequestStep {
    RequestStep { at_ms: ISSUED_AT * 1000 + 999, by: Some(By::default()), step }
}

/// A step of each form.
pub(crate) fn steps() -> Vec<Says> {
    let text = || "EXERCISE".to_owned();
    let part = RefusedPart { part: text(), ground: Ground::Security, words: text() };
    vec![
        Says::Received { time_zone: "Asia/Jakarta".to_owned(), within_s: Some(5) },
        Says::Routed { to: text() },
        Says::ClarificationAsked { text: text() },
        Says::ClarificationGiven { text: text() },
        Says::AwaitingJudge { until: ISSUED_AT + 60, why: text() },
        Says::Extended { until: ISSUED_AT + 1, why: text() },
        Says::Answered { text: text(), entities: report().entities, refused: Some(vec![part]), evidence: true },
        Says::Refused { grounds: vec![Ground::NotHeld, Ground::ThirdParty], words: text() },
        Says::Withdrawn { why: text() },
        Says::Feedback { text: text(), useful: false },
        Says::EvidencePermitted { words: text() },
        Says::Closed,
    ]
}

pub(crate) fn escalation() -> Escalation {
    Escalation { level: Level::Deputy, mark_ms: NOW * 1000, due_ms: NOW * 1000 + 1 }
}

pub(crate) fn deletion_order() -> DeletionOrder {
    DeletionOrder { by: Some("d3-night".parse().unwrap()), why: Why::Order, reason: "EXERCISE".into() }
}

pub(crate) fn deletion_receipt() -> DeletionReceipt {
    let through = Some(agency("vn-navy"));
    DeletionReceipt { why: Why::Retracted, at: NOW, copies: 2, attachments: 1, through }
}

pub(crate) fn hold() -> Hold {
    Hold { by: None, thread: None, reason: "EXERCISE case 7".into(), until: Some(NOW + 60) }
}

pub(crate) fn onward() -> Onward {
    Onward { record: record().into_bytes(), permission: None, note: Some("EXERCISE".into()) }
}

pub(crate) fn permission() -> Permission {
    Permission { evidence: true, forward_to: Some(vec![agency("vn-navy")]), note: None }
}

pub(crate) fn officer() -> Officer {
    Officer {
        officer: "d3-night".parse().unwrap(),
        name: "EXERCISE".into(),
        roles: vec![Role::DutyOfficer, Role::Analyst],
        clearance: Tlp::Amber,
        purposes: Some(vec!["EXERCISE".into()]),
        active: true,
        by: Some("chief".parse().unwrap()),
    }
}

pub(crate) fn credential() -> Credential {
    let means = Means::Passkey { label: "EXERCISE".into(), passkey: vec![1, 2], invitation: RecordId([8; 32]) };
    Credential { officer: "d3-night".parse().unwrap(), means, by: None }
}

pub(crate) fn revocation() -> Revocation {
    let what = Revoked::Credential { credential: RecordId([8; 32]) };
    Revocation { officer: "d3-night".parse().unwrap(), what, reason: "EXERCISE".into(), by: None }
}

/// A body with a header of its kind.
fn of<B: Body>(header: Header, body: &B) -> (Header, Vec<u8>) {
    (Header { kind: B::KIND.to_owned(), ..header }, body.to_body())
}

/// One sound body of each kind, with a header that goes with it.
pub(crate) fn bodies() -> Vec<(Header, Vec<u8>)> {
    let correction = Correction { reason: "EXERCISE".into(), report: report() };
    let others = vec![
        of(referring("", Relation::Answers), &answer()),
        of(at_home(referring("", Relation::About)), &approval()),
        of(header(""), &attachment()),
        of(referring("", Relation::Corrects), &correction),
        of(at_home(header("")), &credential()),
        of(at_home(header("")), &draft()),
        of(at_home(header("")), &officer()),
        of(at_home(header("")), &revocation()),
        of(at_home(referring("", Relation::About)), &draft_step(Step::Released)),
        of(at_home(referring("", Relation::About)), &escalation()),
        of(at_home(referring("", Relation::About)), &deletion_order()),
        of(referring("", Relation::About), &deletion_receipt()),
        of(at_home(referring("", Relation::About)), &hold()),
        of(at_home(referring("", Relation::About)), &HoldLifted { by: None, reason: "EXERCISE".into() }),
        of(header(""), &key_set()),
        of(at_home(header("")), &policy_set()),
        of(at_home(header("")), &saved_search()),
        of(referring("", Relation::About), &onward()),
        of(referring("", Relation::About), &permission()),
        of(Header { audience: vec![agency("ru-police")], ..header("") }, &receipt()),
        of(header(""), &RegisterApproval { version: 2, hash: Digest([14; 32]) }),
        of(header(""), &register_version()),
        of(header(""), &report()),
        of(header(""), &request()),
        of(referring("", Relation::Answers), &request_step(steps().swap_remove(6))),
        of(referring("", Relation::Retracts), &Retraction { reason: "EXERCISE".into(), carries: None }),
        of(Header { audience: vec![agency("ru-police")], ..header("") }, &use_summary()),
        of(header(""), &witness_alarm()),
    ];
    others.into_iter().chain(matching::bodies()).collect()
}

/// A signed report.
pub(crate) fn record() -> Verified {
    Draft { header: header(Report::KIND), body: report().to_body() }.sign(&signing_key()).unwrap()
}

/// Encodes a value as it stands: maps keep the order in which the test put the entries.
pub(crate) fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

pub(crate) fn decoded(bytes: &[u8]) -> Value {
    ciborium::from_reader(bytes).unwrap()
}

/// RFC 9052 §4.4.
pub(crate) fn sig_structure(protected: &[u8], external: &[u8], payload: &[u8]) -> Vec<u8> {
    let parts = [protected, external, payload].map(|bytes| Value::Bytes(bytes.to_vec()));
    let context = [Value::Text("Signature1".to_owned())];
    encoded(&Value::Array(context.into_iter().chain(parts).collect()))
}

/// A COSE_Sign1 of any parts.
pub(crate) fn message(protected: &[u8], unprotected: Value, payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let [protected, payload, signature] = [protected, payload, signature].map(|bytes| Value::Bytes(bytes.to_vec()));
    encoded(&Value::Tag(18, Box::new(Value::Array(vec![protected, unprotected, payload, signature]))))
}

/// A message whose header may be anything, signed by the author's own key.
pub(crate) fn signed(protected: &[u8], body: &[u8]) -> Vec<u8> {
    let signature = signing_key().sign(&sig_structure(protected, &[], body));
    message(protected, Value::Map(vec![]), body, &signature)
}

/// What a node makes of bytes from outside.
pub(crate) fn judge(bytes: &[u8]) -> Result<Verified, Reason> {
    Unverified::parse(bytes.to_vec())?.verify(&book(), NOW)
}

/// The outer header of the sample parcel, as the sender fills it.
pub(crate) fn outer(count: u64) -> Outer {
    Outer {
        suite: 1,
        sender: agency("vn-police"),
        recipient: agency("ru-police"),
        epoch: 1,
        first: 7,
        count,
        sealing_key: sealing_key().public().id(),
        signing_key: signing_key().id(),
        register_version: 2,
        expires: NOW + 86_400,
    }
}

/// The content of a parcel, signed by `key` over `outer_bytes` and `signed`, which carries `carried`.
pub(crate) fn content(outer_bytes: &[u8], signed: &[&[u8]], carried: &[&[u8]], key: &SigningKey) -> Vec<u8> {
    let ids: Vec<u8> = signed.iter().flat_map(|record| sha256(record)).collect();
    let text = [b"mufakat parcel signature 1\0".as_slice(), &sha256(outer_bytes), &sha256(&ids)].concat();
    content_of(&key.sign(&text), carried)
}

/// The content of a parcel with any signature.
pub(crate) fn content_of(signature: &[u8], records: &[&[u8]]) -> Vec<u8> {
    let records = records.iter().map(|record| Value::Bytes(record.to_vec())).collect();
    encoded(&Value::Array(vec![Value::Bytes(signature.to_vec()), Value::Array(records)]))
}

/// Seals any content under any outer header, as everyone can who knows the recipient's public key.
pub(crate) fn sealed(outer_bytes: &[u8], content: &[u8], to: &SealingPublic) -> Vec<u8> {
    let to = <XWing as hpke::Kem>::PublicKey::from_bytes(&to.to_bytes()).unwrap();
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &to,
        b"mufakat parcel 1",
        content,
        outer_bytes,
        &mut ChaCha20Rng::from_seed([15; 32]),
    )
    .unwrap();
    parts(outer_bytes, &encapsulated.to_bytes(), &ciphertext)
}

/// A parcel of any parts.
pub(crate) fn parts(outer: &[u8], encapsulated: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    encoded(&Value::Array([outer, encapsulated, ciphertext].map(|part| Value::Bytes(part.to_vec())).to_vec()))
}
