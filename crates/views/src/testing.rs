//! What the tests of all views use: rows in memory, histories of things that happened, and random ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mufakat_record::kinds::answer::{Action, Answer};
use mufakat_record::kinds::approval::{Approval, Decision};
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::escalation::{Escalation, Level};
use mufakat_record::kinds::match_ask::{Item, MatchAsk, MatchSent, Sent};
use mufakat_record::kinds::match_result::MatchResult;
use mufakat_record::kinds::policy_set::{PolicyFile, PolicySet};
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::kinds::report::{Class, Entity, Identifier, IdentifierType, Report, ReportType};
use mufakat_record::kinds::request::{By, Request};
use mufakat_record::kinds::request_step::{self, RequestStep};
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::kinds::use_summary::{Use, UseSummary};
use mufakat_record::kinds::{Body, draft, draft_step};
use mufakat_record::{
    Act, AgencyId, Digest, Draft, Handling, Header, How, KeyId, RecordId, Reference, Relation, Role, SigningKey,
    ThreadId, Tlp, Verified, cbor,
};
use proptest::prelude::*;

use crate::registry::VIEWS;
use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable};

/// The time of leaf 0; each later leaf is a second later.
pub(crate) const START_S: u64 = 1_800_000_000;
/// The agency whose views these are.
pub(crate) const ME: &str = "vn-police";
/// Its partners.
pub(crate) const PARTNERS: [&str; 3] = ["id-coastguard", "ru-police", "sg-fusion"];

pub(crate) fn agency(name: &str) -> AgencyId {
    name.parse().unwrap()
}

/// A happening that owns what it tells of.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Authored(Verified),
    Received(Verified),
    Erased(RecordId),
    Rejected(RecordId, &'static str),
    Receipt(Verified),
    Deleted(RecordId),
    Removed(Vec<AgencyId>),
    Used(RecordId, Act),
    Decided(RecordId, Act),
    Session(Act),
    /// A leaf of which no view is told.
    Nothing,
}

/// Rows in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryRows {
    pub(crate) rows: BTreeMap<(&'static str, Vec<u8>), Row>,
    leaves: HashMap<RecordId, u64>,
}

impl MemoryRows {
    /// The rows of a whole history.
    pub(crate) fn of(steps: &[Step]) -> Self {
        let mut rows = Self::default();
        rows.fold(steps, 0);
        rows
    }

    /// The rows of the same history, folded again: deleted content is gone, and the store knows every leaf from the start.
    pub(crate) fn again(steps: &[Step]) -> Self {
        let deleted: BTreeSet<_> =
            steps.iter().filter_map(|step| if let Step::Deleted(id) = step { Some(*id) } else { None }).collect();
        let mut rows = Self::default();
        let again: Vec<_> = (0..)
            .zip(steps)
            .map(|(leaf, step)| {
                rows.learn(leaf, step);
                match step {
                    Step::Received(record) if deleted.contains(&record.id()) => Step::Erased(record.id()),
                    Step::Authored(record) if deleted.contains(&record.id()) => Step::Nothing,
                    other => other.clone(),
                }
            })
            .collect();
        rows.fold(&again, 0);
        rows
    }

    /// Folds more steps, the first of which has the leaf `first`, into every view.
    pub(crate) fn fold(&mut self, steps: &[Step], first: u64) {
        self.fold_at(ME, steps, first);
    }

    /// The same at another agency.
    pub(crate) fn fold_at(&mut self, me: &str, steps: &[Step], first: u64) {
        let me = agency(me);
        for (leaf, step) in (first..).zip(steps) {
            self.learn(leaf, step);
            let happening = match step {
                Step::Authored(record) => Happening::Authored(record),
                Step::Received(record) => Happening::Received(record),
                Step::Erased(id) => Happening::Erased(*id),
                Step::Rejected(record, reason) => Happening::Rejected { record: *record, reason },
                Step::Receipt(record) => Happening::Receipt(record),
                Step::Deleted(id) => Happening::Deleted(*id),
                Step::Removed(agencies) => Happening::Removed(agencies),
                Step::Used(record, act) => Happening::Used { record: *record, act },
                Step::Decided(record, act) => Happening::Decided { record: *record, act },
                Step::Session(act) => Happening::Session(act),
                Step::Nothing => continue,
            };
            let event = Event { me: &me, leaf, at_ms: (START_S + leaf) * 1000, happening };
            for view in VIEWS {
                let changes = view.fold(&event, self).unwrap();
                self.apply(view.name(), changes);
            }
        }
    }

    fn learn(&mut self, leaf: u64, step: &Step) {
        if let Step::Authored(record) | Step::Received(record) = step {
            self.leaves.insert(record.id(), leaf);
        }
    }

    fn apply(&mut self, of: &str, changes: Vec<RowChange>) {
        for change in changes {
            match change {
                RowChange::Put(row) => {
                    assert_eq!(row.view, of, "a view writes its own rows only");
                    let view = VIEWS.iter().find(|view| view.name() == of).expect("a view");
                    assert!(
                        row.facets.iter().all(|(name, _)| view.facets().contains(name)),
                        "a facet that nobody can ask for"
                    );
                    self.rows.insert((row.view, row.key.clone()), row);
                }
                RowChange::Delete { view, key } => {
                    assert_eq!(view, of, "a view deletes its own rows only");
                    assert!(self.rows.remove(&(view, key)).is_some(), "only a row that is there is deleted");
                }
            }
        }
    }

    /// Writes every body out and reads it back, as a store does.
    pub(crate) fn through_text(mut self) -> Self {
        for row in self.rows.values_mut() {
            row.body = serde_json::from_str(&row.body.to_string()).unwrap();
        }
        self
    }

    /// The rows of one view.
    pub(crate) fn of_view(&self, view: &str) -> Vec<&Row> {
        self.rows.values().filter(|row| row.view == view).collect()
    }
}

impl Rows for MemoryRows {
    fn row(&self, view: &'static str, key: &[u8]) -> Result<Option<Row>, RowsUnavailable> {
        Ok(self.rows.get(&(view, key.to_vec())).cloned())
    }

    fn leaf_of(&self, record: &RecordId) -> Result<Option<u64>, RowsUnavailable> {
        Ok(self.leaves.get(record).copied())
    }

    fn rows(
        &self,
        view: &'static str,
        prefix: &[u8],
        facet: Option<(&'static str, &str)>,
    ) -> Result<Vec<Row>, RowsUnavailable> {
        let has = |row: &&Row| match facet {
            Some((name, value)) => row.facets.iter().any(|(n, v)| *n == name && v == value),
            None => row.key.starts_with(prefix),
        };
        Ok(self.rows.values().filter(|row| row.view == view).filter(has).cloned().collect())
    }
}

/// A header that says little.
pub(crate) fn header(author: &str, audience: &[&str], kind: &str) -> Header {
    let mut audience: Vec<_> = audience.iter().map(|name| agency(name)).collect();
    audience.sort();
    audience.dedup();
    Header {
        key: KeyId([0; 16]),
        author: agency(author),
        issued_at: START_S,
        thread: ThreadId([7; 16]),
        kind: kind.to_owned(),
        audience,
        register: Digest([1; 32]),
        handling: Handling::with(Tlp::Amber),
        references: Vec::new(),
        expires: None,
    }
}

pub(crate) fn sign(header: Header, body: Vec<u8>) -> Verified {
    Draft { header, body }.sign(&SigningKey::from_seed(&[3; 32])).unwrap()
}

pub(crate) fn report_body(title: &str) -> Report {
    Report {
        report_type: ReportType::Information,
        title: title.to_owned(),
        text: String::new(),
        entities: None,
        place: None,
        time: None,
        evaluation: None,
        language: None,
        source: None,
    }
}

pub(crate) fn report(author: &str, audience: &[&str], title: &str) -> Verified {
    sign(header(author, audience, "report"), report_body(title).to_body())
}

fn about(author: &str, audience: &[&str], kind: &str, relation: Relation, record: RecordId) -> Header {
    Header { references: vec![Reference { relation, record }], ..header(author, audience, kind) }
}

pub(crate) fn retraction(author: &str, audience: &[&str], on: RecordId, reason: &str) -> Verified {
    let body = Retraction { reason: reason.to_owned(), carries: None };
    sign(about(author, audience, "retraction", Relation::Retracts, on), body.to_body())
}

pub(crate) fn correction(author: &str, audience: &[&str], on: RecordId, title: &str) -> Verified {
    let body = Correction { reason: String::new(), report: report_body(title) };
    sign(about(author, audience, "correction", Relation::Corrects, on), body.to_body())
}

pub(crate) fn answer(author: &str, on: RecordId, action: Action, reason: Option<&str>, at: u64) -> Verified {
    let body = Answer { action, reason: reason.map(str::to_owned), at };
    sign(about(author, &[ME], "answer", Relation::Answers, on), body.to_body())
}

/// A receipt of `author` to `to`; each record with the reason for which it was rejected, if it was.
pub(crate) fn receipt(author: &str, to: &str, records: &[(RecordId, Option<&str>)]) -> Verified {
    let entry = |(position, (record, rejected)): (u64, &(RecordId, Option<&str>))| Entry {
        position,
        record: *record,
        rejected: rejected.map(str::to_owned),
        at_ms: 9_000 + position,
        index: 500 + position,
        salt: [0; 16],
    };
    let entries = (1..).zip(records).map(entry).collect();
    let body = Receipt { epoch: 1, ledger: format!("mufakat/{author}/1"), entries };
    sign(header(author, &[to], "receipt"), body.to_body())
}

pub(crate) fn request_body(title: &str, phone: &str) -> Request {
    let text = || "EXERCISE".to_owned();
    let phone = Identifier { identifier_type: IdentifierType::Phone, value: phone.to_owned() };
    Request {
        by: By::default(),
        title: title.to_owned(),
        text: text(),
        offence: text(),
        purpose: text(),
        link: text(),
        necessity: text(),
        holding: text(),
        urgency: None,
        restrictions: None,
        language: "en".to_owned(),
        legal_basis: text(),
        judge_needed: false,
        subjects: Some(vec![Entity { class: Class::Phone, name: None, identifiers: Some(vec![phone]), role: None }]),
        copied: None,
        not_copied: None,
    }
}

pub(crate) fn request(author: &str, audience: &[&str], title: &str, phone: &str) -> Verified {
    sign(header(author, audience, "request"), request_body(title, phone).to_body())
}

pub(crate) fn request_step(
    author: &str,
    audience: &[&str],
    on: RecordId,
    at_ms: u64,
    step: request_step::Step,
) -> Verified {
    let header = Header { issued_at: at_ms / 1000, ..about(author, audience, "request-step", Relation::Answers, on) };
    sign(header, RequestStep { at_ms, by: Some(By::default()), step }.to_body())
}

pub(crate) fn of_unknown_kind(author: &str, title: &str) -> Verified {
    sign(header(author, &[ME], "not-a-kind"), cbor::encode(&title))
}

/// A step of any form.
pub(crate) fn any_step(text: &str, which: prop::sample::Index) -> request_step::Step {
    use request_step::{Ground, RefusedPart, Step};
    let text = || text.to_owned();
    let part = RefusedPart { part: text(), ground: Ground::Security, words: text() };
    let mut steps = vec![
        Step::Received { time_zone: "Asia/Jakarta".to_owned(), within_s: None },
        Step::Received { time_zone: "UTC".to_owned(), within_s: Some(30) },
        Step::Routed { to: text() },
        Step::ClarificationAsked { text: text() },
        Step::ClarificationGiven { text: text() },
        Step::AwaitingJudge { until: START_S + 1_000_000, why: text() },
        Step::Extended { until: START_S + 2_000_000, why: text() },
        Step::Answered { text: text(), entities: None, refused: None, evidence: false },
        Step::Answered { text: text(), entities: None, refused: Some(vec![part]), evidence: true },
        Step::Refused { grounds: vec![Ground::NotHeld, Ground::Security], words: text() },
        Step::Refused { grounds: vec![Ground::InvalidRequest], words: text() },
        Step::Withdrawn { why: text() },
        Step::Feedback { text: text(), useful: true },
        Step::EvidencePermitted { words: text() },
        Step::Closed,
    ];
    let at = which.index(steps.len());
    steps.swap_remove(at)
}

/// The node brings what it waits for before deputy or supervisor.
pub(crate) fn escalation(on: RecordId, level: Level, due_ms: u64) -> Verified {
    let body = Escalation { level, mark_ms: due_ms, due_ms };
    sign(about(ME, &[ME], Escalation::KIND, Relation::About, on), body.to_body())
}

/// What an officer did.
pub(crate) fn act(how: How) -> Act {
    Act {
        officer: Some("d3-night".parse().unwrap()),
        role: Some(Role::Analyst),
        purpose: Some("piracy".to_owned()),
        ..Act::of_the_node(how, Digest([1; 32]))
    }
}

/// A draft of a report, made from another one or not.
pub(crate) fn draft(title: &str, replaces: Option<RecordId>) -> Verified {
    let body = draft::Draft {
        by: Some("d3-night".parse().unwrap()),
        kind: "report".to_owned(),
        body: report_body(title).to_body(),
        to: vec![agency("ru-police")],
        handling: Handling::with(Tlp::Red),
        thread: ThreadId([9; 16]),
        expires: None,
        hidden_audience: false,
        attachments: None,
        about: None,
        target: None,
    };
    let header = match replaces {
        Some(id) => about(ME, &[ME], draft::Draft::KIND, Relation::Corrects, id),
        None => header(ME, &[ME], draft::Draft::KIND),
    };
    assert!(body.is_sound(&header));
    sign(header, body.to_body())
}

/// A draft is put before a second officer, or given up.
pub(crate) fn draft_step(on: RecordId, submitted: bool) -> Verified {
    let step = if submitted { draft_step::Step::Submitted } else { draft_step::Step::Discarded };
    let body = draft_step::DraftStep { by: Some("s1-day".parse().unwrap()), step, records: None };
    sign(about(ME, &[ME], draft_step::DraftStep::KIND, Relation::About, on), body.to_body())
}

/// A set of policies with a number of files.
pub(crate) fn policy_set(name: &str, by: Option<&str>, files: usize) -> Verified {
    let file = PolicyFile { name: "exercise.cedar".to_owned(), text: "// EXERCISE".to_owned() };
    let by = by.map(|by| by.parse().unwrap());
    let body = PolicySet { by, name: name.to_owned(), files: vec![file; files], tests: None };
    sign(header(ME, &[ME], PolicySet::KIND), body.to_body())
}

/// What an officer said about a draft or a set of policies.
pub(crate) fn approval(by: Option<&str>, decision: Decision, on: RecordId) -> Verified {
    let by = by.map(|by| by.parse().unwrap());
    let body = Approval { by, decision, checks: Vec::new(), words: None };
    sign(about(ME, &[ME], Approval::KIND, Relation::About, on), body.to_body())
}

/// A summary of one use.
pub(crate) fn summary(author: &str, to: &str, from: u64, record: RecordId) -> Verified {
    let used =
        Use { record, how: How::Read, role: Some(Role::Analyst), purpose: None, count: 2, first: from, last: from };
    let body = UseSummary { ledger: format!("mufakat/{author}/1"), from, until: from + 1, uses: vec![used] };
    sign(header(author, &[to], UseSummary::KIND), body.to_body())
}

fn match_ask(title: &str) -> Verified {
    let item = Item { subject: "email".parse().unwrap(), value: "exercise@example.org".into(), birth_year: None };
    let text = || title.to_owned();
    let body = MatchAsk {
        by: None,
        purpose: text(),
        case: text(),
        basis: text(),
        partners: vec![agency(PARTNERS[0])],
        items: vec![item],
        secret: [1; 32],
        watch_until: None,
    };
    sign(header(ME, &[ME], MatchAsk::KIND), body.to_body())
}

/// What is said about a record of this agency's own.
fn at_home<B: Body>(on: RecordId, body: &B) -> Verified {
    let references = vec![Reference { relation: Relation::About, record: on }];
    sign(Header { references, ..header(ME, &[ME], B::KIND) }, body.to_body())
}

fn match_sent(on: RecordId, question: RecordId) -> Verified {
    let (partner, subject) = (agency(PARTNERS[0]), "email".parse().unwrap());
    at_home(on, &MatchSent { questions: vec![Sent { question, partner, subject, key: on, part: 0, count: 1 }] })
}

fn match_result(on: RecordId, fault: bool) -> Verified {
    at_home(on, &MatchResult { through: 0, hits: Vec::new(), fault: fault.then(|| "exercise".to_owned()) })
}

/// A random history that a node can have: what it is about comes before what is said about it.
pub(crate) fn histories() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..30u8, any::<prop::sample::Index>(), 0..3usize, any::<bool>()), 1..60).prop_map(
        |choices| {
            let (mut received, mut authored, mut sets) = (Vec::new(), Vec::new(), Vec::new());
            let steps = choices.into_iter().enumerate().map(|(leaf, (what, which, partner, flag))| {
                let (from, title) = (PARTNERS[partner], format!("EXERCISE {leaf}"));
                let one_of = |ids: &[RecordId]| (!ids.is_empty()).then(|| *which.get(ids));
                let came = |received: &mut Vec<RecordId>, record: Verified| {
                    received.push(record.id());
                    Some(Step::Received(record))
                };
                let went = |authored: &mut Vec<RecordId>, record: Verified| {
                    authored.push(record.id());
                    Some(Step::Authored(record))
                };
                let audience = if flag { &PARTNERS[..=partner] } else { &[ME, from][..] };
                let step = match what {
                    0 => came(&mut received, report(from, &[ME], &title)),
                    1 | 2 => one_of(&received).and_then(|on| came(&mut received, retraction(from, &[ME], on, &title))),
                    3 | 4 => one_of(&received).and_then(|on| came(&mut received, correction(from, &[ME], on, &title))),
                    5 => came(&mut received, of_unknown_kind(from, &title)),
                    6 => went(&mut authored, report(ME, audience, &title)),
                    7 => one_of(&authored).and_then(|on| went(&mut authored, retraction(ME, audience, on, &title))),
                    8 => one_of(&authored).map(|on| {
                        let last = authored.last().copied().filter(|last| *last != on);
                        let entries: Vec<_> =
                            std::iter::once(on).chain(last).map(|id| (id, flag.then_some("expired"))).collect();
                        Step::Receipt(receipt(from, ME, &entries))
                    }),
                    9 => one_of(&authored).map(|on| {
                        let action = if flag { Action::Deleted } else { Action::Marked };
                        Step::Received(answer(from, on, action, None, leaf as u64))
                    }),
                    19 => came(&mut received, request(from, &[ME], &title, "+1")),
                    20 => went(&mut authored, request(ME, audience, &title, if flag { "+1" } else { "+2" })),
                    21 | 22 => one_of(&received).and_then(|on| {
                        let (at_ms, said) =
                            ((START_S + leaf as u64) * 1000 + which.index(900) as u64, any_step(&title, which));
                        if flag {
                            went(&mut authored, request_step(ME, &[from], on, at_ms, said))
                        } else {
                            came(&mut received, request_step(from, &[ME], on, at_ms, said))
                        }
                    }),
                    23 | 24 => one_of(&authored).and_then(|on| {
                        let (at_ms, said) = ((START_S + leaf as u64) * 1000, any_step(&title, which));
                        if flag {
                            went(&mut authored, request_step(ME, &PARTNERS[..=partner], on, at_ms, said))
                        } else {
                            came(&mut received, request_step(from, &[ME], on, at_ms, said))
                        }
                    }),
                    25 | 26 => one_of(if partner == 0 { &received } else { &authored }).map(|on| {
                        let level = if flag { Level::Deputy } else { Level::Supervisor };
                        Step::Authored(escalation(on, level, (START_S + leaf as u64) * 1000))
                    }),
                    27 => went(&mut authored, match_ask(&title)),
                    28 => one_of(&authored).map(|on| Step::Authored(match_sent(on, on))),
                    29 => one_of(&authored).map(|on| Step::Authored(match_result(on, flag))),
                    10 => one_of(if flag { &received } else { &authored }).map(Step::Deleted),
                    12 => one_of(if flag { &received } else { &authored }).map(|id| Step::Used(id, act(How::Read))),
                    13 => one_of(&received).map(|id| Step::Decided(id, act(How::Release))),
                    14 => {
                        let replaces = one_of(&authored).filter(|_| flag);
                        went(&mut authored, draft(&title, replaces))
                    }
                    15 => one_of(&authored).map(|on| Step::Authored(draft_step(on, flag))),
                    16 => one_of(if flag { &received } else { &authored }).map(|id| {
                        let (author, to) = if flag { (ME, from) } else { (from, ME) };
                        let summary = summary(author, to, leaf as u64, id);
                        if flag { Step::Authored(summary) } else { Step::Received(summary) }
                    }),
                    17 => {
                        let set = policy_set(["drugs", "nights"][usize::from(flag)], Some("one"), partner.min(1));
                        sets.push(set.id());
                        Some(Step::Authored(set))
                    }
                    18 => one_of(&sets).map(|on| {
                        let by = [None, Some("one"), Some("two")][partner];
                        let decision = if flag { Decision::Approve } else { Decision::Reject };
                        Step::Authored(approval(by, decision, on))
                    }),
                    _ if flag => Some(Step::Removed(vec![agency(from)])),
                    _ => Some(Step::Rejected(RecordId([leaf as u8; 32]), "wrong-signature")),
                };
                step.unwrap_or(Step::Nothing)
            });
            steps.collect()
        },
    )
}
