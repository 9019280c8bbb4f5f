//! Tests of the policy gate: every rule broken once and kept once.

use mufakat_record::kinds::register_version::{Agency, Forum, Party, Rules};

use super::*;

fn id(name: &str) -> AgencyId {
    name.parse().unwrap()
}

fn ids(names: &[&str]) -> Vec<AgencyId> {
    names.iter().map(|name| id(name)).collect()
}

/// A register in which `vn` has two agencies and `kh-police` is removed.
fn register() -> RegisterVersion {
    let agency = |name: &str, party: &str, removed| Agency {
        id: id(name),
        party: id(party),
        name: name.into(),
        identity: Digest([7; 32]),
        endpoint: "127.0.0.1:1".into(),
        relay: false,
        removed,
    };
    let party = |name: &str, speaker: &str| Party { id: id(name), name: name.into(), speaker: id(speaker) };
    RegisterVersion {
        community: "EXERCISE".into(),
        version: 1,
        previous: None,
        issued_at: 0,
        expires: 1,
        threshold: 1,
        parties: vec![party("id", "id-coastguard"), party("ru", "ru-police"), party("vn", "vn-police")],
        agencies: vec![
            agency("id-coastguard", "id", None),
            agency("kh-police", "kh", Some(5)),
            agency("ru-police", "ru", None),
            agency("vn-navy", "vn", None),
            agency("vn-police", "vn", None),
        ],
        forums: vec![Forum {
            id: id("sea"),
            name: "sea".into(),
            members: ids(&["id", "vn"]),
            chair_rule: "none".into(),
        }],
        rules: Rules { witness_quorum: 1, witness_interval_s: 60, relay_max_s: 60 },
    }
}

/// A case; what it does not say is a GREEN record of `vn-police` for `ru-police` and `vn-navy`, at time 1000.
struct Case {
    handling: Handling,
    audience: Vec<AgencyId>,
    expires: Option<u64>,
    me: &'static str,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            handling: Handling::with(Tlp::Green),
            audience: ids(&["ru-police", "vn-navy"]),
            expires: None,
            me: "vn-police",
        }
    }
}

impl Case {
    fn tlp(tlp: Tlp) -> Self {
        Self { handling: Handling::with(tlp), ..Self::default() }
    }

    fn code(code: Code) -> Self {
        Self { handling: Handling { codes: Some(vec![Code::H0, code]), ..Handling::community() }, ..Self::default() }
    }

    fn at(self, me: &'static str) -> Self {
        Self { me, ..self }
    }

    /// The name of the rule that refuses, or `none`.
    #[track_caller]
    fn check(&self, action: Action<'_>, expect: &str) {
        let (author, me, register) = (id("vn-police"), id(self.me), register());
        let request = Request {
            action,
            handling: &self.handling,
            audience: &self.audience,
            author: &author,
            expires: self.expires,
            me: &me,
            register: &register,
            now_s: 1000,
        };
        let decision = Gate::new().decide(&request);
        assert_eq!(decision.rule, expect, "{}", decision.why);
        assert_eq!(decision.allow, expect == "none");
        assert_eq!(decision.why.is_empty(), decision.allow);
    }

    #[track_caller]
    fn forward(&self, to: &[&str], expect: &str) {
        self.check(Action::Forward { to: &ids(to) }, expect);
    }
}

const RELEASE: Action<'static> = Action::Release { named: &[Named::Agency, Named::Agency] };

#[test]
fn rule_1_an_empty_audience_means_nobody() {
    let nobody = Case { audience: vec![], ..Case::default() };
    for action in [RELEASE, Action::Read, Action::Export] {
        nobody.check(action, "empty-audience");
        Case::default().check(action, "none");
    }
    nobody.forward(&["ru-police"], "empty-audience");
    Case::default().forward(&[], "empty-audience");
    Case::default().forward(&["ru-police"], "none");
}

#[test]
fn rule_2_only_author_and_audience() {
    for (me, inside) in [("vn-police", true), ("ru-police", true), ("vn-navy", true), ("id-coastguard", false)] {
        let expect = if inside { "none" } else { "not-for-this-agency" };
        let case = Case::default().at(me);
        case.check(Action::Read, expect);
        case.check(Action::Export, expect);
        case.forward(&["id-coastguard"], expect);
        case.check(RELEASE, if me == "vn-police" { "none" } else { "not-for-this-agency" });
    }
}

#[test]
fn rule_3_expired_records_stay_where_they_are() {
    for (expires, expect) in [(None, "none"), (Some(1001), "none"), (Some(1000), "none"), (Some(999), "expired")] {
        let case = Case { expires, ..Case::default() };
        case.check(RELEASE, expect);
        case.forward(&["id-coastguard"], expect);
        case.check(Action::Read, "none");
        case.check(Action::Export, "none");
    }
}

#[test]
fn rule_4_between_members_only() {
    for (names, expect) in [
        (["ru-police", "vn-navy"], "none"),
        (["kh-police", "ru-police"], "not-a-member"),
        (["ru-police", "us-police"], "not-a-member"),
    ] {
        let case = Case { audience: ids(&names), ..Case::default() };
        case.check(RELEASE, expect);
        // An agency that left later does not take the record away from those who have it.
        case.check(Action::Read, "none");
        case.check(Action::Export, "none");
        case.forward(&["ru-police"], "none");
        Case::default().forward(&names, expect);
    }
    let removed = Case { audience: ids(&["kh-police", "ru-police"]), ..Case::default() }.at("kh-police");
    removed.forward(&["ru-police"], "not-a-member");
    removed.check(Action::Read, "none");
}

#[test]
fn rule_5_narrow_labels_go_to_who_was_named() {
    for (tlp, agencies, party, forum) in [
        (Tlp::Clear, "none", "none", "none"),
        (Tlp::Green, "none", "none", "none"),
        (Tlp::Amber, "none", "none", "none"),
        (Tlp::AmberStrict, "none", "none", "tlp-named"),
        (Tlp::Red, "none", "tlp-named", "tlp-named"),
    ] {
        let case = Case::tlp(tlp);
        case.check(Action::Release { named: &[Named::Agency, Named::Agency] }, agencies);
        case.check(Action::Release { named: &[Named::Agency, Named::Party] }, party);
        case.check(Action::Release { named: &[Named::Agency, Named::Forum] }, forum);
        case.check(Action::Release { named: &[] }, forum);
        // The rule is about releasing.
        case.check(Action::Read, "none");
        case.check(Action::Export, "none");
        case.forward(&["id-coastguard"], "none");
    }
}

#[test]
fn rule_6_h3_needs_its_caveat() {
    let with = |caveat: Option<&str>| {
        let mut case = Case::code(Code::H3);
        case.handling.caveat = caveat.map(str::to_owned);
        case
    };
    with(None).check(RELEASE, "caveat-missing");
    with(Some(" ")).check(RELEASE, "caveat-missing");
    with(Some("not for refugee proceedings")).check(RELEASE, "none");
    with(None).check(Action::Read, "none");
    Case::code(Code::H1).check(RELEASE, "none");
}

#[test]
fn rule_7_onward_sharing_is_the_originators() {
    for (code, expect) in [(Code::H1, "none"), (Code::H2, "originator-consent"), (Code::H3, "none")] {
        Case::code(code).at("ru-police").forward(&["id-coastguard"], expect);
        Case::code(code).forward(&["id-coastguard"], "none");
        Case::code(code).at("ru-police").check(Action::Export, "none");
    }
    for (orcon, expect) in [(None, "none"), (Some(false), "none"), (Some(true), "originator-consent")] {
        let case = || Case { handling: Handling { orcon, ..Handling::community() }, ..Case::default() };
        case().at("ru-police").forward(&["id-coastguard"], expect);
        case().forward(&["id-coastguard"], "none");
    }
}

#[test]
fn rule_8_labels_limit_forwarding() {
    for (tlp, outside, inside) in [
        (Tlp::Clear, "none", "none"),
        (Tlp::Green, "none", "none"),
        (Tlp::Amber, "tlp-forward", "none"),
        (Tlp::AmberStrict, "tlp-forward", "tlp-forward"),
        (Tlp::Red, "tlp-forward", "tlp-forward"),
    ] {
        Case::tlp(tlp).at("vn-navy").forward(&["id-coastguard", "vn-police"], outside);
        Case::tlp(tlp).at("vn-navy").forward(&["vn-police"], inside);
        // Taking it out for one's own use is not sharing it, and the author may share its own record as it likes.
        Case::tlp(tlp).at("vn-navy").check(Action::Export, "none");
        Case::tlp(tlp).forward(&["id-coastguard", "vn-navy"], "none");
    }
}

#[test]
fn the_text_names_every_rule_in_its_order() {
    for (number, (name, _)) in (1..).zip(CHECKS) {
        assert!(RULES.contains(&format!("\n{number} {name}. ")), "{number} {name}");
    }
    assert_eq!(RULES.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count(), CHECKS.len());
}

#[test]
fn the_hash_is_that_of_the_text() {
    // It stands in ledgers: who changes the rules sees it change.
    let expect = "cc65f85ed28dfca5b9c9fe04f7f1f00200bdfe95d6b8440cc6adb0c532011589";
    assert_eq!(Gate::new().hash().to_string(), expect);
    assert_eq!(Gate::new().hash(), Digest::of(RULES.as_bytes()));
}

#[test]
fn names_mean_what_the_audience_makes_of_them() {
    for (name, expect) in [
        ("vn-police", Some(Named::Agency)),
        ("vn", Some(Named::Party)),
        ("sea", Some(Named::Forum)),
        ("kh-police", None),
        ("nobody", None),
    ] {
        assert_eq!(Named::find(&id(name), &register()), expect, "{name}");
    }
}
