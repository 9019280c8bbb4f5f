//! Who may do what, whole: every operation of the API and every way of handling, for each role. What must come out stands in
//! `matrix.txt`, for people to read; an operation without a row, and a row that comes out in another way, fail here.
//!
//! A line of the file that changes is a change of who may do what, and is looked at as such. When the table differs the test says
//! where, and leaves the one that it came to beside the build.

use std::fmt::Write;
use std::path::Path;

use mufakat_record::kinds::register_version::{Agency, Party, RegisterVersion, Rules};
use mufakat_record::{AgencyId, Code, Digest, Eyes, Handling, Header, KeyId, Role, ThreadId, Tlp};

use super::openapi;
use crate::desk::{Caller, Via};
use crate::gate::{Action, Gate, Request};

const ME: &str = "vn-police";
const PARTNER: &str = "ru-police";
const OTHER: &str = "id-coastguard";
const OFFICER: &str = "d3-night";
/// When everything in the table happens, in seconds since 1970.
const NOW_S: u64 = 1_800_000_000;

pub(super) fn agency(name: &str) -> AgencyId {
    name.parse().unwrap()
}

/// An officer with one role, cleared for everything, acting for any purpose.
fn officer(role: Role) -> Caller {
    Caller {
        officer: Some(OFFICER.parse().unwrap()),
        grant: None,
        roles: vec![role],
        clearance: Tlp::Red,
        purposes: Vec::new(),
        purpose: None,
        via: Via::Session,
    }
}

/// The operator, and then each role.
fn callers() -> Vec<Caller> {
    std::iter::once(Caller::operator()).chain(Role::ALL.iter().map(|(role, _)| officer(*role))).collect()
}

pub(super) fn register() -> RegisterVersion {
    let member = |name: &str| Agency {
        id: agency(name),
        party: agency(name),
        name: "EXERCISE".to_owned(),
        identity: Digest([1; 32]),
        endpoint: "localhost:1".to_owned(),
        relay: false,
        removed: None,
    };
    let party = |name: &str| Party { id: agency(name), name: "EXERCISE".to_owned(), speaker: agency(name) };
    RegisterVersion {
        community: "EXERCISE".to_owned(),
        version: 1,
        previous: None,
        issued_at: 1,
        expires: u64::MAX,
        threshold: 1,
        parties: [OTHER, PARTNER, ME].map(party).to_vec(),
        agencies: [OTHER, PARTNER, ME].map(member).to_vec(),
        forums: Vec::new(),
        rules: Rules { witness_quorum: 1, witness_interval_s: 60, relay_max_s: 60 },
    }
}

/// Every way of handling that a rule speaks of.
fn handlings() -> Vec<(&'static str, Handling)> {
    let amber = || Handling::with(Tlp::Amber);
    let eyes = |officer: &str| Eyes { agency: agency(ME), officer: officer.parse().unwrap() };
    let mut handlings: Vec<_> = Tlp::ALL.iter().map(|(tlp, name)| (*name, Handling::with(*tlp))).collect();
    handlings.extend([
        ("H1", Handling { codes: Some(vec![Code::H1]), ..amber() }),
        ("H2", Handling { codes: Some(vec![Code::H2]), ..amber() }),
        ("H3", Handling { codes: Some(vec![Code::H3]), caveat: Some("EXERCISE".to_owned()), ..amber() }),
        ("orcon", Handling { orcon: Some(true), ..amber() }),
        ("a purpose", Handling { purposes: Some(vec!["EXERCISE".to_owned()]), ..amber() }),
        ("for its eyes", Handling { eyes: Some(vec![eyes(OFFICER)]), ..amber() }),
        ("for other eyes", Handling { eyes: Some(vec![eyes("d4-day")]), ..amber() }),
    ]);
    handlings
}

/// Where records come from and for whom they are: kind, author, audience.
const AUDIENCES: [(&str, &str, &str, &[&str]); 5] = [
    ("theirs for us", "report", PARTNER, &[ME]),
    ("theirs for others", "report", PARTNER, &[OTHER]),
    ("ours for them", "report", ME, &[PARTNER]),
    ("our draft", "draft", ME, &[ME]),
    ("our grant", "officer", ME, &[ME]),
];

fn marks(may: impl Fn(&Caller) -> bool) -> String {
    let mark = |caller: &Caller| if may(caller) { "  +" } else { "  ." };
    callers().iter().map(mark).collect()
}

fn operations(gate: &Gate, table: &mut String) {
    let described = openapi::description().to_json().unwrap();
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let items = described["paths"].as_object().unwrap().values();
    let served = items.flat_map(|item| item.as_object().unwrap().values());
    let mut names: Vec<_> = served.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    names.sort_unstable();
    for name in names {
        let may = |caller: &Caller| gate.decide_operation(Some(caller), &agency(ME), name).allow;
        let anybody = gate.decide_operation(None, &agency(ME), name).allow;
        writeln!(table, "{name:<61}{}{}", if anybody { "  +" } else { "  ." }, marks(may)).unwrap();
        if anybody {
            continue;
        }
        // A token does what it names and nothing else.
        for (role, _) in Role::ALL {
            let with = |scope: &str| Caller { via: Via::Token { scopes: vec![scope.to_owned()] }, ..officer(role) };
            assert!(!may(&with("another_operation")), "{name} by a token for another operation");
            assert_eq!(may(&with(name)), may(&officer(role)), "{name} by a token for it");
        }
    }
}

fn contents(gate: &Gate, table: &mut String) {
    let (me, register, to) = (agency(ME), register(), [agency(OTHER)]);
    let actions = [Action::List, Action::Search, Action::Read, Action::Export, Action::Forward { to: &to }];
    for (audience_name, kind, author, audience) in AUDIENCES {
        for (handling_name, handling) in handlings() {
            let header = Header {
                key: KeyId([0; 16]),
                author: agency(author),
                issued_at: 1,
                thread: ThreadId([2; 16]),
                kind: kind.to_owned(),
                audience: audience.iter().map(|name| agency(name)).collect(),
                register: Digest([3; 32]),
                handling,
                references: Vec::new(),
                expires: None,
            };
            let release = (author == ME).then_some(Action::Release { named: &header.audience });
            for action in actions.into_iter().chain(release) {
                let may = |caller: &Caller| {
                    gate.decide(&Request::about(caller, &header, action, &me, &register, NOW_S)).allow
                };
                let row = format!("{:<8} {audience_name}, {handling_name}", action.name());
                writeln!(table, "{row:<64}{}", marks(may)).unwrap();
            }
        }
    }
}

fn clearances(gate: &Gate, table: &mut String) {
    let (me, register) = (agency(ME), register());
    for (label, name) in Tlp::ALL {
        let header = Header {
            key: KeyId([0; 16]),
            author: agency(PARTNER),
            issued_at: 1,
            thread: ThreadId([2; 16]),
            kind: "report".to_owned(),
            audience: vec![agency(ME)],
            register: Digest([3; 32]),
            handling: Handling::with(label),
            references: Vec::new(),
            expires: None,
        };
        for (clearance, cleared) in Tlp::ALL {
            let may = |caller: &Caller| {
                let caller = Caller { clearance, ..caller.clone() };
                gate.decide(&Request::about(&caller, &header, Action::Read, &me, &register, NOW_S)).allow
            };
            let row = format!("read     theirs for us, {name}, by one cleared for {cleared}");
            writeln!(table, "{row:<64}{}", marks(may)).unwrap();
        }
    }
}

fn table() -> String {
    let gate = Gate::new();
    let mut table = String::from(
        "Who may do what (+) and what not (.) under the default policy.\nno: whoever has not signed in; op: the operator at the socket; then the roles: ",
    );
    let roles: Vec<String> = Role::ALL.iter().map(|(_, name)| format!("{} {name}", short(name))).collect();
    writeln!(table, "{}.\n", roles.join(", ")).unwrap();
    let heads: String = Role::ALL.iter().map(|(_, name)| format!(" {}", short(name))).collect();
    writeln!(table, "{:<61} no op{heads}", "operation").unwrap();
    operations(&gate, &mut table);
    writeln!(table, "\n{:<64} op{heads}", "with a record").unwrap();
    contents(&gate, &mut table);
    clearances(&gate, &mut table);
    table
}

/// Two letters of a role's name.
fn short(role: &str) -> &str {
    &role[..2]
}

#[test]
fn the_matrix_is_as_it_is_written_down() {
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/api/matrix.txt");
    let (expect, found) = (std::fs::read_to_string(&written).unwrap_or_default(), table());
    if expect == found {
        return;
    }
    let came_to = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/matrix.txt");
    std::fs::write(&came_to, &found).unwrap();
    let line = expect.lines().zip(found.lines()).find(|(expect, found)| expect != found);
    panic!("the table differs from {}, first in {line:?}; it came to {}", written.display(), came_to.display());
}
