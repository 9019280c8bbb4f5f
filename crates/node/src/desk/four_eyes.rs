//! Four eyes: when a record may leave only after a second officer approved it, and what that officer must answer.
//!
//! A second officer is another one than the author. Whoever is at the node's socket is the agency itself and may do without;
//! the ledger then says so.

use mufakat_exchange::Directory;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::Check;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::kinds::report::{Report, ReportType};
use mufakat_record::{Act, AgencyId, Code, Handling, How, OfficerId, Tlp};

use super::{Caller, Via};
use crate::clock;
use crate::gate::{Action, Request};
use crate::node::Node;
use crate::share::Envelope;

/// The rule of the gate that demands a second officer.
pub(crate) const RULE: &str = "four-eyes";

/// Whether a report is a notice, of which a second officer answers for neutrality and rights.
pub(crate) fn is_notice(report: &Report) -> bool {
    report.report_type == ReportType::Notice
}

/// What is to leave, as far as the gate asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving<'a> {
    /// Its kind.
    pub(crate) kind: &'a str,
    /// The agencies, parties and forums that are to get it.
    pub(crate) to: &'a [AgencyId],
    /// Its handling.
    pub(crate) handling: &'a Handling,
    /// Its expiry, in seconds since 1970.
    pub(crate) expires: Option<u64>,
    /// Whether it is a notice, or replaces one.
    pub(crate) notice: bool,
}

impl<'a> Leaving<'a> {
    /// What an envelope says; `handling` is its own.
    pub(crate) fn of(envelope: &'a Envelope, handling: &'a Handling) -> Self {
        let notice = is_notice(&envelope.body);
        Self { kind: Report::KIND, to: &envelope.to, handling, expires: envelope.expires, notice }
    }

    /// The question whether a caller may release it to those whom its names mean.
    pub(crate) fn request(
        self,
        node: &'a Node,
        caller: &'a Caller,
        register: &'a RegisterVersion,
        audience: &'a [AgencyId],
        second: bool,
    ) -> Request<'a> {
        Request {
            caller,
            action: Action::Release { named: self.to },
            kind: self.kind,
            handling: self.handling,
            audience,
            author: &node.me,
            expires: self.expires,
            permitted_to: &[],
            notice: self.notice,
            second,
            me: &node.me,
            register,
            now_s: clock::now_s(),
        }
    }
}

/// Whether an officer needs a second one to release this: whether the gate would refuse it to any officer for that reason.
pub(crate) fn needed(node: &Node, directory: &Directory, leaving: Leaving<'_>) -> bool {
    // A name that nobody has is refused by a share in its own words; until then nobody goes by it alone.
    let Ok(mut audience) = directory.chain().resolve(leaving.to) else { return true };
    audience.retain(|to| *to != node.me);
    // An officer with every role, cleared for everything, for any purpose: what is refused to this one is refused to all.
    let any_officer = Caller { officer: "any-officer".parse().ok(), via: Via::Session, ..Caller::operator() };
    let request = leaving.request(node, &any_officer, directory.chain().current(), &audience, false);
    node.gate.decide(&request).rule == RULE
}

/// What the ledger says of a release beside the policy's hash: by which officer, and where the agency itself did without the
/// second officer whom it demands of others, that.
pub(crate) fn released(
    node: &Node,
    caller: &Caller,
    directory: &Directory,
    leaving: Leaving<'_>,
    second: bool,
) -> Option<Act> {
    let act = || caller.act(How::Release, node.gate.hash());
    if caller.officer.is_some() {
        return Some(Act { note: second.then(|| format!("{RULE}: approved")), ..act() });
    }
    // Asked only where the default rules demand one: everything that programs share by the thousand passes here.
    let mut codes = leaving.handling.codes.iter().flatten();
    let narrow = leaving.handling.tlp == Tlp::Red || codes.any(|code| *code != Code::H0) || leaving.notice;
    let alone = narrow && !second && needed(node, directory, leaving);
    alone.then(|| Act { note: Some(format!("{RULE}: at the socket")), ..act() })
}

/// Whether a caller can be the second officer for what somebody wrote.
pub(crate) fn is_another(caller: &Caller, author: Option<&OfficerId>) -> bool {
    match (&caller.officer, author) {
        // The agency itself, at the socket.
        (None, _) => true,
        // Whoever wrote at the socket cannot be told apart from the officer.
        (Some(_), None) => false,
        (Some(officer), Some(author)) => officer != author,
    }
}

/// A question that the second officer answers before a notice is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    /// By which name the answer is given.
    pub(crate) name: &'static str,
    /// The question.
    pub(crate) words: &'static str,
    /// The answer with which the notice may go.
    pub(crate) right: bool,
}

/// The neutrality and rights check. The first question is article 3 of INTERPOL's constitution; the others are what its rules
/// and those of the Council of Europe keep notices from serving: torture (UN Convention against Torture, article 3), the death
/// penalty without assurances (UN model treaty on extradition, article 4(d)), and the pursuit of refugees (INTERPOL General
/// Assembly, resolution GA-2017-86-RES-09).
pub(crate) const QUESTIONS: [Question; 4] = [
    Question {
        name: "neutrality",
        words: "Is the matter one of ordinary law, and not predominantly of a political, military, religious or racial character?",
        right: true,
    },
    Question {
        name: "torture",
        words: "Are there grounds to believe that somebody named in it would be in danger of torture because of it?",
        right: false,
    },
    Question {
        name: "death-penalty",
        words: "Can it lead to a sentence of death without sufficient assurances that none is carried out?",
        right: false,
    },
    Question {
        name: "refugee-status",
        words: "Is somebody named in it a refugee, or seeking asylum, from the state on whose behalf it is issued?",
        right: false,
    },
];

/// What the second officer is asked of what is a notice, and of what is not.
pub(crate) fn questions(notice: bool) -> &'static [Question] {
    if notice { &QUESTIONS } else { &[] }
}

/// The answers in the order of the questions and in their words. An error names what is wrong; `approving` demands every answer,
/// and the right one.
pub(crate) fn checks(
    questions: &[Question],
    answers: &[(String, bool)],
    approving: bool,
) -> Result<Vec<Check>, (&'static str, String)> {
    let unknown = answers.iter().find(|(name, _)| !questions.iter().any(|question| question.name == name));
    if let Some((name, _)) = unknown {
        return Err(("unknown-check", format!("`{name}` is not asked here")));
    }
    let mut checks = Vec::with_capacity(questions.len());
    for question in questions {
        let mut given = answers.iter().filter(|(name, _)| name == question.name);
        let answer = match (given.next(), given.next()) {
            (Some((_, answer)), None) => *answer,
            (Some(_), Some(_)) => return Err(("check-twice", format!("`{}` is answered twice", question.name))),
            (None, _) if approving => {
                return Err(("check-missing", format!("`{}` is not answered: {}", question.name, question.words)));
            }
            (None, _) => continue,
        };
        if approving && answer != question.right {
            let why = format!("with this answer to `{}` a notice is not released: {}", question.name, question.words);
            return Err(("check-failed", why));
        }
        checks.push(Check { question: question.words.to_owned(), answer });
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_second_to_oneself() {
        let officer =
            |name: &str| Caller { officer: Some(name.parse().unwrap()), via: Via::Session, ..Caller::operator() };
        let author = "d3-night".parse().ok();
        assert!(!is_another(&officer("d3-night"), author.as_ref()));
        assert!(is_another(&officer("s1-day"), author.as_ref()));
        assert!(!is_another(&officer("s1-day"), None));
        assert!(is_another(&Caller::operator(), author.as_ref()) && is_another(&Caller::operator(), None));
    }

    #[test]
    fn a_notice_goes_with_every_answer_and_the_right_ones_only() {
        let right: Vec<_> = QUESTIONS.iter().map(|question| (question.name.to_owned(), question.right)).collect();
        let taken = checks(&QUESTIONS, &right, true).unwrap();
        assert_eq!(taken.len(), QUESTIONS.len());
        assert_eq!((taken[0].question.as_str(), taken[0].answer), (QUESTIONS[0].words, true));
        for place in 0..right.len() {
            let name = |answers: &[(String, bool)]| checks(&QUESTIONS, answers, true).unwrap_err().0;
            let (mut wrong, mut fewer, mut more) = (right.clone(), right.clone(), right.clone());
            wrong[place].1 = !wrong[place].1;
            assert_eq!(name(&wrong), "check-failed");
            // Whoever rejects may answer as it is, and need not answer all.
            assert!(checks(&QUESTIONS, &wrong, false).is_ok());
            fewer.remove(place);
            assert_eq!(name(&fewer), "check-missing");
            assert_eq!(checks(&QUESTIONS, &fewer, false).unwrap().len(), QUESTIONS.len() - 1);
            more.push(right[place].clone());
            assert_eq!(name(&more), "check-twice");
        }
        let other = [("weather".to_owned(), true)];
        assert_eq!(checks(&QUESTIONS, &other, false).unwrap_err().0, "unknown-check");
        assert!(checks(&[], &[], true).unwrap().is_empty());
    }
}
