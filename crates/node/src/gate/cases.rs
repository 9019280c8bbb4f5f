//! Cases: questions with the decisions that are expected, as files in which an agency writes down what its policy is to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use mufakat_record::kinds::register_version::{Agency, Forum, Party, RegisterVersion, Rules};
use mufakat_record::{AgencyId, Code, Digest, Eyes, Handling, OfficerId, Role, Tlp};
use serde::{Deserialize, Serialize};

use super::{Action, Decision, Gate, Policies, Request, ask, decide};
use crate::desk::{Caller, Via};

/// What the default policy decides, as a file of cases.
pub const DEFAULT: &str = include_str!("default/cases.toml");

/// How many cases one file may have.
pub const CASES_MAX: usize = 2000;
/// The time in every case, in seconds since 1970: 2026-01-01. A case says of a record that it expired.
const NOW_S: u64 = 1_767_225_600;

/// A file of cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// The agencies of the register, each with its party.
    #[serde(default)]
    agencies: BTreeMap<AgencyId, AgencyId>,
    /// Its forums, each with the parties that are members.
    #[serde(default)]
    forums: BTreeMap<AgencyId, Vec<AgencyId>>,
    /// The agency whose gate decides, where a case says no other.
    me: AgencyId,
    /// The cases.
    #[serde(rename = "case", default)]
    cases: Vec<Case>,
}

/// A case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it shows.
    name: String,
    /// The roles of whoever asks; `operator` for the node's socket.
    #[serde(rename = "as")]
    roles: Vec<String>,
    #[serde(default)]
    officer: Option<OfficerId>,
    /// The officer's clearance; RED when nothing is said.
    #[serde(default)]
    clearance: Option<Tlp>,
    #[serde(default)]
    purposes: Vec<String>,
    #[serde(default)]
    purpose: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    me: Option<AgencyId>,
    /// What is asked: an action on a record, `open` for a view, or an operation.
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    view: Option<String>,
    #[serde(default)]
    operation: Option<String>,
    /// To whom it is forwarded, or how the recipients were named in a release.
    #[serde(default)]
    to: Vec<AgencyId>,
    #[serde(default)]
    permitted_to: Vec<AgencyId>,
    #[serde(default)]
    second: bool,
    #[serde(default)]
    notice: bool,
    #[serde(default)]
    record: Option<Record>,
    /// `allow`, or the name of the rule that refuses.
    expect: String,
}

/// A record, by its handling.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    author: AgencyId,
    audience: Vec<AgencyId>,
    #[serde(default = "Record::report")]
    kind: String,
    tlp: Tlp,
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    purposes: Vec<String>,
    #[serde(default)]
    orcon: bool,
    #[serde(default)]
    caveat: Option<String>,
    /// `agency/officer`.
    #[serde(default)]
    eyes: Vec<String>,
    #[serde(default)]
    expired: bool,
}

impl Record {
    fn report() -> String {
        "report".to_owned()
    }
}

/// What became of a case.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// What it expects.
    pub expect: String,
    /// What was decided.
    pub decided: String,
    /// Why, when it was refused.
    pub why: String,
    /// Whether it was decided as expected.
    pub as_expected: bool,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` expects {} and gets {}", self.name, self.expect, self.decided)
    }
}

/// What is wrong with a file of cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is not of the form of cases.
    #[error("{0}")]
    Form(String),
    /// A case asks for what cannot be asked.
    #[error("case `{0}`: {1}")]
    Case(String, String),
}

impl Cases {
    /// Reads a file of cases (TOML).
    pub fn read(text: &str) -> Result<Self, Wrong> {
        let cases: Self = toml::from_str(text).map_err(|error| Wrong::Form(error.to_string().trim().to_owned()))?;
        if cases.cases.len() > CASES_MAX {
            return Err(Wrong::Form(format!("there are more than {CASES_MAX} cases")));
        }
        for case in &cases.cases {
            case.prepare(&cases.me).map_err(|what| Wrong::Case(case.name.clone(), what))?;
        }
        Ok(cases)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    pub(super) fn register(&self) -> RegisterVersion {
        let agency = |(id, party): (&AgencyId, &AgencyId)| Agency {
            id: id.clone(),
            party: party.clone(),
            name: id.to_string(),
            identity: Digest([0; 32]),
            endpoint: String::new(),
            relay: false,
            removed: None,
        };
        let forum = |(id, members): (&AgencyId, &Vec<AgencyId>)| Forum {
            id: id.clone(),
            name: id.to_string(),
            members: members.clone(),
            chair_rule: String::new(),
        };
        let party = |(agency, party): (&AgencyId, &AgencyId)| Party {
            id: party.clone(),
            name: party.to_string(),
            speaker: agency.clone(),
        };
        RegisterVersion {
            community: "EXERCISE".to_owned(),
            version: 1,
            previous: None,
            issued_at: 0,
            expires: u64::MAX,
            threshold: 1,
            parties: self.agencies.iter().map(party).collect(),
            agencies: self.agencies.iter().map(agency).collect(),
            forums: self.forums.iter().map(forum).collect(),
            rules: Rules { witness_quorum: 0, witness_interval_s: 60, relay_max_s: 60 },
        }
    }
}

/// What a case asks about.
#[derive(Debug)]
enum Asked {
    Operation(String),
    View(String),
    Record { action: String, record: Box<Record>, handling: Handling },
}

/// A case made ready.
#[derive(Debug)]
struct Prepared {
    caller: Caller,
    me: AgencyId,
    asked: Asked,
}

impl Case {
    fn prepare(&self, me: &AgencyId) -> Result<Prepared, String> {
        let caller = self.caller()?;
        let me = self.me.clone().unwrap_or_else(|| me.clone());
        let asked = match (&self.operation, &self.view, &self.action, &self.record) {
            (Some(operation), None, None, None) => Asked::Operation(operation.clone()),
            (None, Some(view), None, None) => Asked::View(view.clone()),
            (None, None, Some(action), Some(record)) => {
                action_of(action, &[]).ok_or_else(|| format!("there is no action `{action}`"))?;
                let handling = record.handling()?;
                Asked::Record { action: action.clone(), record: Box::new(record.clone()), handling }
            }
            _ => return Err("it asks for `operation`, or `view`, or `action` and `record`".to_owned()),
        };
        Ok(Prepared { caller, me, asked })
    }

    fn caller(&self) -> Result<Caller, String> {
        if self.roles == ["operator"] {
            return Ok(Caller::operator());
        }
        let roles: Result<Vec<Role>, String> = self.roles.iter().map(|role| role.parse()).collect();
        // A pseudonym that no record names.
        let officer = self.officer.clone().map_or_else(|| "somebody".parse(), Ok);
        Ok(Caller {
            officer: Some(officer.map_err(|_| "no name for an officer".to_owned())?),
            grant: None,
            roles: roles?,
            clearance: self.clearance.unwrap_or(Tlp::Red),
            purposes: self.purposes.clone(),
            purpose: self.purpose.clone(),
            via: if self.scopes.is_empty() { Via::Session } else { Via::Token { scopes: self.scopes.clone() } },
        })
    }

    fn decide(&self, policies: &Policies, prepared: &Prepared, register: &RegisterVersion) -> Decision {
        let Prepared { caller, me, asked } = prepared;
        match asked {
            Asked::Operation(operation) => ask::operation(policies, Some(caller), me, operation),
            Asked::View(view) => ask::view(policies, caller, me, view),
            Asked::Record { .. } => match self.request(prepared, register) {
                Some(request) => decide(policies, &request),
                None => ask::refused(super::UNKNOWN_OPERATION, "there is no such action".to_owned()),
            },
        }
    }

    /// What it asks about a record, if it is about one.
    fn request<'a>(&'a self, prepared: &'a Prepared, register: &'a RegisterVersion) -> Option<Request<'a>> {
        let Asked::Record { action, record, handling } = &prepared.asked else { return None };
        Some(Request {
            caller: &prepared.caller,
            action: action_of(action, &self.to)?,
            kind: &record.kind,
            handling,
            audience: &record.audience,
            author: &record.author,
            expires: record.expired.then_some(NOW_S - 1),
            permitted_to: &self.permitted_to,
            notice: self.notice,
            second: self.second,
            me: &prepared.me,
            register,
            now_s: NOW_S,
        })
    }
}

/// An action by its name.
pub(crate) fn action_of<'a>(name: &str, to: &'a [AgencyId]) -> Option<Action<'a>> {
    let all = [
        Action::Release { named: to },
        Action::List,
        Action::Search,
        Action::Read,
        Action::Forward { to },
        Action::Answer,
        Action::Export,
    ];
    all.into_iter().find(|action| action.name() == name)
}

impl Record {
    fn handling(&self) -> Result<Handling, String> {
        let codes: Result<Vec<Code>, String> = self.codes.iter().map(|code| code.parse()).collect();
        let eyes = |text: &String| {
            let both = text.split_once('/').and_then(|(agency, officer)| {
                Some(Eyes { agency: agency.parse().ok()?, officer: officer.parse().ok()? })
            });
            both.ok_or_else(|| format!("`{text}` is not agency/officer"))
        };
        let eyes: Result<Vec<Eyes>, String> = self.eyes.iter().map(eyes).collect();
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        Ok(Handling {
            codes: Some(codes?).filter(|codes| !codes.is_empty()),
            purposes: some(self.purposes.clone()),
            orcon: self.orcon.then_some(true),
            caveat: self.caveat.clone(),
            eyes: Some(eyes?).filter(|eyes| !eyes.is_empty()),
            ..Handling::with(self.tlp)
        })
    }
}

/// Cases that are decided again and again, to see how many a second there are.
pub struct Workload {
    gate: Gate,
    policies: Arc<Policies>,
    register: RegisterVersion,
    cases: Vec<(Case, Prepared)>,
    laid_out: Vec<(cedar_policy::Request, cedar_policy::Entities)>,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workload({} cases)", self.cases.len())
    }
}

impl Workload {
    /// The cases that are about records.
    pub fn new(gate: Gate, cases: &Cases) -> Self {
        let policies = gate.policies();
        let register = cases.register();
        let prepared = cases.cases.iter().filter(|case| case.record.is_some());
        let prepared: Vec<_> =
            prepared.filter_map(|case| Some((case.clone(), case.prepare(&cases.me).ok()?))).collect();
        let laid_out = prepared.iter().filter_map(|(case, prepared)| {
            let question = case.request(prepared, &register).map(|request| ask::Question::about_record(&request))?;
            question.ok()?.laid_out(&policies)
        });
        let laid_out = laid_out.collect();
        Self { gate, policies, register, cases: prepared, laid_out }
    }

    /// How many cases there are.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Decides every case once, as the gate does it, which keeps its decisions. Gives how many are allowed.
    pub fn decide(&self) -> usize {
        let requests = self.cases.iter().filter_map(|(case, prepared)| case.request(prepared, &self.register));
        requests.filter(|request| self.gate.decide(request).allow).count()
    }

    /// Decides every case once as if it had never been asked. Gives how many are allowed.
    pub fn decide_anew(&self) -> usize {
        let requests = self.cases.iter().filter_map(|(case, prepared)| case.request(prepared, &self.register));
        requests.filter(|request| decide(&self.policies, request).allow).count()
    }

    /// Has Cedar decide every case once by all rules, out of what was laid out before. Gives how many are allowed.
    pub fn decide_by_cedar_alone(&self) -> usize {
        let laid_out = self.laid_out.iter();
        laid_out.filter(|(request, entities)| ask::ask_all(&self.policies, request, entities)).count()
    }
}

/// Decides every case.
pub fn run(policies: &Policies, cases: &Cases) -> Vec<Outcome> {
    let register = cases.register();
    let outcome = |case: &Case| {
        let (decided, why) = match case.prepare(&cases.me) {
            Ok(prepared) => {
                let decision = case.decide(policies, &prepared, &register);
                (if decision.allow { "allow".to_owned() } else { decision.rule.to_owned() }, decision.why)
            }
            Err(what) => ("nothing".to_owned(), what),
        };
        let as_expected = decided == case.expect;
        Outcome { name: case.name.clone(), expect: case.expect.clone(), decided, why, as_expected }
    };
    cases.cases.iter().map(outcome).collect()
}
