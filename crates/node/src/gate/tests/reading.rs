//! Taking a record out and passing it on presuppose reading it.

use super::super::explain::explain;
use super::*;

/// Kinds that some role may take out and that not everybody at the desk may read.
const NARROW: [&str; 4] = ["saved-search", "hold", "hold-lifted", "deletion-order"];

#[test]
fn what_may_not_be_read_is_neither_exported_nor_passed_on() {
    let to = ids(&["id-coastguard"]);
    let mut refused = 0;
    for kind in NARROW.into_iter().chain(["report", "draft", "officer"]) {
        for (role, _) in Role::ALL {
            for home in [true, false] {
                let audience = if home { ids(&["vn-police"]) } else { Case::default().audience };
                let case = Case { kind, audience, caller: officer(role), ..Case::default() };
                let read = case.decide(Action::Read);
                for action in [Action::Export, Action::Forward { to: &to }] {
                    let decision = case.decide(action);
                    assert!(read.allow || decision == read, "{kind} {role:?} {action:?}: {decision:?}");
                }
                refused += usize::from(!read.allow);
            }
        }
    }
    assert!(refused > 20, "{refused}");
    let supervisor = Case { kind: "hold", audience: ids(&["vn-police"]), ..Case::default() };
    Case { caller: officer(Role::Supervisor), ..supervisor }.check(Action::Export, "none");
}

#[test]
fn what_was_said_at_home_of_a_record_takes_the_clearance_for_it() {
    for kind in ["draft", "draft-step", "approval", "escalation"] {
        let case = |clearance| Case {
            kind,
            audience: ids(&["vn-police"]),
            handling: Handling::with(Tlp::Red),
            caller: Caller { clearance, ..officer(Role::Analyst) },
            ..Case::default()
        };
        for action in [Action::List, Action::Search, Action::Read] {
            case(Tlp::Green).check(action, "clearance");
            case(Tlp::AmberStrict).check(action, "clearance");
            case(Tlp::Red).check(action, "none");
        }
    }
}

#[test]
fn a_rule_on_reading_holds_for_what_presupposes_it() {
    let policies = added(
        r#"@id("nights") @why("nobody reads at night")
           forbid (principal, action == Action::"read", resource) when { context.now < 2000 };"#,
    )
    .unwrap();
    let case = Case::default();
    let decision = case.decide_under(&policies, Action::Export);
    assert_eq!((decision.allow, decision.rule, decision.hidden), (false, "nights", true));
    assert!(case.decide_under(&policies, Action::List).allow);
    // The rule looks at the time, and so does every decision that rests on it.
    let (author, me, register) = (id("vn-police"), id("vn-police"), register());
    let at = |now_s| Request {
        caller: &case.caller,
        action: Action::Export,
        kind: case.kind,
        handling: &case.handling,
        audience: &case.audience,
        author: &author,
        expires: None,
        permitted_to: &[],
        notice: false,
        second: false,
        me: &me,
        register: &register,
        now_s,
    };
    let gate = Gate::new();
    gate.enforce(policies);
    assert!(!gate.decide(&at(1000)).allow);
    assert!(gate.decide(&at(3000)).allow);
    let explained = serde_json::to_value(explain(&gate.policies(), &at(1000))).unwrap();
    assert_eq!((&explained["hidden"], &explained["rules"][0]["name"]), (&true.into(), &"nights".into()));
}
