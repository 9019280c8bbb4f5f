//! Vectors for what officers put on record, at home and to the originators of what they used.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::draft::Draft;
use mufakat_record::kinds::draft_step::{DraftStep, Step};
use mufakat_record::kinds::policy_set::{PolicyFile, PolicySet};
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
    };
    let step = DraftStep { by: officer(), step: Step::Submitted, records: None };
    let files = vec![PolicyFile { name: "evenings.cedar".into(), text: "// EXERCISE".into() }];
    let policies = PolicySet { by: officer(), name: "evenings".into(), files, tests: None };
    vec![
        good("draft", &vn.sign(home(vn), &draft)),
        good("step of a draft", &vn.sign(about("a draft", home(vn)), &step)),
        good("set of policies", &vn.sign(home(vn), &policies)),
        good("summary of uses", &vn.sign(to_ru(vn), &summary(vn))),
    ]
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
    vec![
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
