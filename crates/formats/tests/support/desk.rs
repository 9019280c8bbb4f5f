//! Vectors for what officers put on record, at home and to the originators of what they used.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::credential::{Credential, Means};
use mufakat_record::kinds::draft::Draft;
use mufakat_record::kinds::draft_step::{DraftStep, Step};
use mufakat_record::kinds::officer::Officer;
use mufakat_record::kinds::policy_set::{PolicyFile, PolicySet};
use mufakat_record::kinds::report::{Class, Entity};
use mufakat_record::kinds::request::{By, NotCopied, Request, Urgency, UrgencyReason};
use mufakat_record::kinds::request_step::{Ground, RefusedPart, RequestStep, Step as Taken, WAIT_S_MAX};
use mufakat_record::kinds::revocation::{Revocation, Revoked};
use mufakat_record::kinds::saved_search::SavedSearch;
use mufakat_record::kinds::use_summary::{Use, UseSummary};
use mufakat_record::{Handling, Header, How, RecordId, Reference, Relation, Role, ThreadId, Tlp};
use serde_json::Value;

use super::community::{Agency, NOW, name, seed};
use super::records::{bad, good, plain_report, sign_raw};

/// The header of what an agency puts on record for itself.
fn home(agency: &Agency) -> Header {
    Header { audience: vec![agency.id.clone()], handling: Handling::with(Tlp::Red), ..agency.header("") }
}

fn about(label: &str, header: Header) -> Header {
    Header { references: vec![Reference { relation: Relation::About, record: RecordId(seed(label)) }], ..header }
}

fn to_ru(agency: &Agency) -> Header {
    Header { audience: vec![name("ru-police")], ..agency.header(UseSummary::KIND) }
}

fn one(record: u8, how: How, role: Option<Role>, purpose: Option<&str>) -> Use {
    let purpose = purpose.map(Into::into);
    Use { record: RecordId([record; 32]), how, role, purpose, count: 3, first: NOW - 10, last: NOW }
}

fn summary(agency: &Agency) -> UseSummary {
    let uses = vec![
        one(1, How::Read, None, None),
        one(1, How::Read, Some(Role::DutyOfficer), None),
        one(1, How::Read, Some(Role::DutyOfficer), Some("EXERCISE piracy")),
        one(1, How::Hit, Some(Role::Analyst), None),
        one(2, How::Forward, Some(Role::Liaison), Some("EXERCISE piracy")),
    ];
    UseSummary { ledger: agency.origin(), from: 0, until: 40, uses }
}

fn request() -> Request {
    let said = || "EXERCISE".to_owned();
    Request {
        by: By::default(),
        title: said(),
        text: said(),
        offence: said(),
        purpose: said(),
        link: said(),
        necessity: said(),
        holding: said(),
        urgency: Some(Urgency { reason: UrgencyReason::LosingRelevance, directly_accessible: false }),
        restrictions: Some(said()),
        language: "vi".into(),
        legal_basis: said(),
        judge_needed: true,
        subjects: Some(vec![Entity { class: Class::Person, name: Some(said()), identifiers: None, role: None }]),
        copied: Some(vec![name("sg-fusion")]),
        not_copied: None,
    }
}

fn to_both(agency: &Agency) -> Header {
    Header { audience: vec![name("ru-police"), name("sg-fusion")], ..agency.header(Request::KIND) }
}

fn of_request(agency: &Agency) -> Header {
    let references = vec![Reference { relation: Relation::Answers, record: RecordId(seed("a request")) }];
    Header { references, ..to_ru(agency) }
}

fn taking(step: Taken) -> RequestStep {
    RequestStep { at_ms: NOW * 1000 + 999, by: Some(By::default()), step }
}

/// One step of each kind.
fn steps() -> Vec<(&'static str, Taken)> {
    let said = || "EXERCISE".to_owned();
    let refused = vec![RefusedPart { part: said(), ground: Ground::ThirdParty, words: said() }];
    let answered = |refused| Taken::Answered { text: said(), entities: request().subjects, refused, evidence: false };
    vec![
        ("received", Taken::Received { time_zone: "Asia/Ho_Chi_Minh".into(), within_s: Some(3600) }),
        ("routed", Taken::Routed { to: said() }),
        ("clarification asked", Taken::ClarificationAsked { text: said() }),
        ("clarification given", Taken::ClarificationGiven { text: said() }),
        ("awaiting a judge", Taken::AwaitingJudge { until: NOW + WAIT_S_MAX, why: said() }),
        ("extended", Taken::Extended { until: NOW + 1, why: said() }),
        ("answered", answered(None)),
        ("answered in part", answered(Some(refused))),
        ("withdrawn", Taken::Withdrawn { why: said() }),
        ("feedback", Taken::Feedback { text: said(), useful: true }),
        ("evidence permitted", Taken::EvidencePermitted { words: said() }),
        ("closed", Taken::Closed),
    ]
}

/// Records of each of these kinds.
pub(super) fn good_ones(vn: &Agency) -> Vec<Value> {
    let officer = || Some("d3-night".parse().expect("a pseudonym"));
    let draft = Draft {
        by: officer(),
        kind: "report".into(),
        body: plain_report("a draft").to_body(),
        to: vec![name("ru-police")],
        handling: Handling::with(Tlp::Amber),
        thread: ThreadId([5; 16]),
        expires: Some(NOW + 86_400),
        hidden_audience: false,
        attachments: None,
        about: None,
        target: None,
    };
    let of_step = Draft {
        kind: RequestStep::KIND.into(),
        body: taking(Taken::Closed).to_body(),
        target: Some(RecordId(seed("a request"))),
        ..draft.clone()
    };
    let step = DraftStep { by: officer(), step: Step::Submitted, records: None };
    let files = vec![PolicyFile { name: "evenings.cedar".into(), text: "// EXERCISE".into() }];
    let policies = PolicySet { by: officer(), name: "evenings".into(), files, tests: None };
    let steps = steps()
        .into_iter()
        .map(|(name, taken)| good(&format!("step of a request: {name}"), &vn.sign(of_request(vn), &taking(taken))));
    let d3 = || "d3-night".parse().expect("a pseudonym");
    let grant = Officer {
        officer: d3(),
        name: "EXERCISE officer".into(),
        roles: vec![Role::DutyOfficer, Role::Analyst],
        clearance: Tlp::Amber,
        purposes: Some(vec!["EXERCISE piracy".into()]),
        active: true,
        by: None,
    };
    let scopes = vec!["list_view".into(), "show_record".into()];
    let means = Means::Token {
        secret: mufakat_record::Digest(seed("token")),
        label: "EXERCISE feed".into(),
        scopes,
        expires: NOW + 60,
    };
    let token = Credential { officer: d3(), means, by: officer() };
    let left = Revocation { officer: d3(), what: Revoked::Officer, reason: "EXERCISE left".into(), by: None };
    let search = SavedSearch { by: officer(), name: "EXERCISE".into(), question: "q=EXERCISE".into() };
    let more = vec![
        good("saved search", &vn.sign(home(vn), &search)),
        good("grant to an officer", &vn.sign(home(vn), &grant)),
        good("credential: a token", &vn.sign(home(vn), &token)),
        good("revocation of an officer", &vn.sign(home(vn), &left)),
        good("request with a copy", &vn.sign(to_both(vn), &request())),
        good("draft", &vn.sign(home(vn), &draft)),
        good("draft of a step of a request", &vn.sign(home(vn), &of_step)),
        good("step of a draft", &vn.sign(about("a draft", home(vn)), &step)),
        good("set of policies", &vn.sign(home(vn), &policies)),
        good("summary of uses", &vn.sign(to_ru(vn), &summary(vn))),
    ];
    more.into_iter().chain(steps).collect()
}

/// Each way in which one of them can be refused that other records do not show.
pub(super) fn bad_ones(vn: &Agency) -> Vec<Value> {
    let refused = |name: &str, header: Header, change: &dyn Fn(&mut UseSummary)| {
        let mut body = summary(vn);
        change(&mut body);
        let header = Header { key: vn.signing.id(), ..header };
        bad(name, &sign_raw(&header.encode(), &body.to_body(), &vn.signing), "body-not-of-kind")
    };
    let summary = |name: &str, change: &dyn Fn(&mut UseSummary)| refused(name, to_ru(vn), change);
    let signed = |name: &str, header: Header, body: Vec<u8>| {
        let header = Header { key: vn.signing.id(), ..header };
        bad(name, &sign_raw(&header.encode(), &body, &vn.signing), "body-not-of-kind")
    };
    let asked = |name: &str, header: Header, change: &dyn Fn(&mut Request)| {
        let mut body = request();
        change(&mut body);
        signed(name, header, body.to_body())
    };
    let of_kind = |header: Header| Header { kind: RequestStep::KIND.into(), ..header };
    let taken = |name: &str, body: RequestStep| signed(name, of_kind(of_request(vn)), body.to_body());
    let closed = || taking(Taken::Closed);
    vec![
        asked("request with a blank field", to_both(vn), &|r| r.necessity = " ".into()),
        asked("request to nobody but a copy", to_both(vn), &|r| {
            r.copied = Some(vec![name("ru-police"), name("sg-fusion")])
        }),
        asked("copy for who does not get it", to_both(vn), &|r| r.copied = Some(vec![name("th-police")])),
        asked("copy, and why there is none", to_both(vn), &|r| r.not_copied = Some(NotCopied::Safety)),
        signed("step of no request", of_kind(to_ru(vn)), closed().to_body()),
        taken("step in another second", RequestStep { at_ms: NOW * 1000 + 1000, ..closed() }),
        taken("step by nobody", RequestStep { by: None, ..closed() }),
        taken("no time to wait", taking(Taken::Extended { until: NOW, why: "EXERCISE".into() })),
        taken("too long to wait", taking(Taken::AwaitingJudge { until: NOW + WAIT_S_MAX + 1, why: "EXERCISE".into() })),
        taken("refused on no ground", taking(Taken::Refused { grounds: vec![], words: "EXERCISE".into() })),
        taken("time zone that is none", taking(Taken::Received { time_zone: "/etc/passwd".into(), within_s: None })),
        refused("summary of uses for two", vn.header(UseSummary::KIND), &|_| ()),
        summary("summary of another's ledger", &|s| s.ledger = "mufakat/ru-police/1".into()),
        summary("summary of no leaves", &|s| s.until = 0),
        summary("summary of no uses", &|s| s.uses.clear()),
        summary("uses out of order", &|s| s.uses.swap(0, 1)),
        summary("a use twice", &|s| s.uses[1] = s.uses[0].clone()),
        summary("a use that never was", &|s| s.uses[0].count = 0),
        summary("a use that ended before it began", &|s| s.uses[0].last = NOW - 11),
        summary("a use that is a release", &|s| s.uses[4].how = How::Release),
        summary("a use for a purpose without a name", &|s| s.uses[4].purpose = Some(String::new())),
    ]
}
