//! Why the gate decides as it does, and what another policy set would change.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Decision, Policies, RULE_FAILED, Request, ask};

/// A rule that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Determining {
    /// Its name.
    name: &'static str,
    /// The sentence for people.
    why: String,
    /// Where the rule comes from.
    source: String,
    /// Whether it forbids; otherwise it permits.
    forbids: bool,
    /// Whether it is one of the default set.
    default: bool,
}

/// A decision with the rules that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// Whether it may be done.
    pub(crate) allow: bool,
    /// The rule that refuses; `none` when allowed.
    pub(crate) rule: &'static str,
    /// Why it is refused, in words.
    pub(crate) why: String,
    /// Whether the record is as if it did not exist.
    pub(crate) hidden: bool,
    /// Every rule that decided. For a refusal those that forbid, and none when nothing permits.
    pub(crate) rules: Vec<Determining>,
}

/// Explains a decision.
pub(crate) fn explain(policies: &Policies, request: &Request<'_>) -> Explanation {
    let Decision { allow, rule, why, hidden } = super::decide(policies, request);
    // Whoever may not read is refused by the rules on reading.
    let asked = request.presupposes().filter(|_| hidden).unwrap_or(*request);
    let found = ask::Question::about_record(&asked).and_then(|question| question.ask(policies));
    let rules = match &found {
        Ok(found) if rule != RULE_FAILED => found.rules.iter(),
        _ => [].iter(),
    };
    let told = |rule: &&super::policies::Rule| Determining {
        name: rule.name,
        why: rule.why.clone(),
        source: rule.source.clone(),
        forbids: rule.forbids,
        default: rule.default,
    };
    Explanation { allow, rule, why, hidden, rules: rules.map(told).collect() }
}
