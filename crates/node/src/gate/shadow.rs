//! Rules of an agency that stand in the shadow of others: they change no decision over a field of sample questions.

use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{AgencyId, Code, Handling, Role, Tlp};
use serde::Serialize;

use super::cases::Cases;
use super::{Action, Policies, Request, ask};
use crate::desk::{Caller, Via};

/// The register in which the sample questions are asked.
const REGISTER: &str = "me = \"exercise-here\"
[agencies]
exercise-away = \"exercise-b\"
exercise-here = \"exercise-a\"
exercise-near = \"exercise-a\"
";

/// A word on a rule of the agency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The rule.
    pub rule: &'static str,
    /// What is to be said of it.
    pub what: String,
}

/// What was seen of one rule.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// How often it was among the rules that decided.
    decided: usize,
    /// How often it was so while no rule before it would have decided in the same way.
    alone: usize,
}

/// What is to be said of the rules that an agency adds: those that decided nothing over some thousands of sample questions, and those
/// that only decided what another rule decides in the same way.
pub fn remarks(policies: &Policies) -> Vec<Remark> {
    let mut seen = vec![Seen::default(); policies.rules().len()];
    let mut questions = 0;
    // The text is part of the program; a test reads it.
    let register = Cases::read(REGISTER).expect("the register of the samples").register();
    each_question(&register, |request| {
        questions += 1;
        let Ok(found) = ask::Question::about_record(request).and_then(|question| question.ask(policies)) else {
            return;
        };
        let places: Vec<_> = found.rules.iter().filter_map(|rule| policies.place(rule.name)).collect();
        for place in &places {
            seen[*place].decided += 1;
            seen[*place].alone += usize::from(places.first() == Some(place));
        }
    });
    let added = policies.rules().iter().zip(seen).filter(|(rule, _)| !rule.default);
    let remark = |(rule, seen): (&super::Rule, Seen)| {
        let what = match (seen.decided, seen.alone, rule.forbids) {
            (0, ..) => format!(
                "decides none of {questions} sample questions: it never applies there, or others forbid all that it permits"
            ),
            (_, 0, true) => {
                format!("forbids nothing in {questions} sample questions that a rule before it does not forbid")
            }
            (_, 0, false) => {
                format!("permits nothing in {questions} sample questions that a rule before it does not permit")
            }
            _ => return None,
        };
        Some(Remark { rule: rule.name, what })
    };
    added.filter_map(remark).collect()
}

/// Asks each role and the operator for each action on records of every label, with each code, of this agency and of another.
fn each_question(register: &RegisterVersion, mut ask: impl FnMut(&Request<'_>)) {
    let agency = |name: &str| -> AgencyId {
        // Names of the samples; a test asks with each.
        name.parse().expect("the name of an agency")
    };
    let (me, near, away) = (agency("exercise-here"), agency("exercise-near"), agency("exercise-away"));
    let officer = |role| Caller { officer: None, roles: vec![role], via: Via::Session, ..Caller::operator() };
    let callers: Vec<_> = Role::ALL.iter().map(|(role, _)| officer(*role)).chain([Caller::operator()]).collect();
    let (to_near, to_away) = ([near.clone()], [away.clone()]);
    let others = [me.clone(), near];
    let actions = [
        Action::List,
        Action::Search,
        Action::Read,
        Action::Answer,
        Action::Export,
        Action::Forward { to: &to_near },
        Action::Forward { to: &to_away },
        Action::Release { named: &to_away },
    ];
    for caller in &callers {
        for (tlp, _) in Tlp::ALL {
            for code in [None, Some(Code::H0), Some(Code::H1), Some(Code::H2), Some(Code::H3)] {
                let handling = Handling {
                    codes: code.map(|code| vec![code]),
                    caveat: code.map(|_| "EXERCISE".to_owned()),
                    ..Handling::with(tlp)
                };
                for (author, audience) in [(&me, &to_away[..]), (&away, &others[..])] {
                    for action in actions {
                        ask(&Request {
                            caller,
                            action,
                            kind: "report",
                            handling: &handling,
                            audience,
                            author,
                            expires: None,
                            permitted_to: &[],
                            notice: false,
                            second: true,
                            me: &me,
                            register,
                            now_s: 0,
                        });
                    }
                }
            }
        }
    }
}
