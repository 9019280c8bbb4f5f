//! The policy gate: the one function that every release, read, listing, search, forward and export passes, and every operation
//! of the API.
//!
//! The rules are [Cedar](https://www.cedarpolicy.com) policies: the default set in `default/`, and what the agency adds. Each has a
//! name (`@id`), a sentence for people (`@why`) and where it comes from (`@source`). What no rule permits is refused, and nothing
//! permits what one rule forbids. The hash of the set goes into the ledger with every decision, so that it can be shown later by
//! which rules somebody decided.

mod ask;
pub mod cases;
mod classes;
mod explain;
mod kept;
mod policies;
mod preview;
mod shadow;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{AgencyId, Code, Digest, Handling, Header};

use crate::desk::Caller;

pub(crate) use classes::Standing;
pub(crate) use explain::{Explanation, explain};
pub use mufakat_record::kinds::policy_set::PolicyFile;
pub(crate) use policies::Rule;
#[cfg(test)]
pub(crate) use policies::operations;
pub use policies::{Flaw, Policies, SCHEMA};
pub(crate) use preview::{Preview, preview};
pub use shadow::{Remark, remarks};

/// The name that stands in a decision that allows.
const NO_RULE: &str = "none";
/// The name that stands where no rule permits.
const NOTHING_PERMITS: &str = "nothing-permits";
/// The name that stands where the schema does not know what is asked for.
pub(crate) const UNKNOWN_OPERATION: &str = "unknown-operation";
/// The name that stands where a rule could not be evaluated. Cedar passes over such a rule; here it refuses.
const RULE_FAILED: &str = "rule-failed";

/// What somebody wants to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    /// Share it with its audience for the first time.
    Release {
        /// The names from which the audience was worked out: agencies, parties, forums.
        named: &'a [AgencyId],
    },
    /// See that it is there, in a list.
    List,
    /// Find it by a search.
    Search,
    /// Show it at this agency.
    Read,
    /// Share it with others than its audience.
    Forward {
        /// The agencies that are to get it.
        to: &'a [AgencyId],
    },
    /// Answer a partner's question of private matching, which the node does by itself.
    Answer,
    /// Take it out of the system: a file, another format, an evidence bundle.
    Export,
}

impl Action<'_> {
    /// The action's name in the rules.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Release { .. } => "release",
            Self::List => "list",
            Self::Search => "search",
            Self::Read => "read",
            Self::Forward { .. } => "forward",
            Self::Answer => "answer",
            Self::Export => "export",
        }
    }
}

/// How one name of an audience was meant by whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// One agency.
    Agency,
    /// A party: all its agencies.
    Party,
    /// A forum: all agencies of all its parties.
    Forum,
}

impl Named {
    /// What a name means under a register version; nothing if nobody has it. An agency comes before a party of the same
    /// name, and a party before a forum, as when the audience is worked out.
    pub(crate) fn find(name: &AgencyId, register: &RegisterVersion) -> Option<Self> {
        if register.members().any(|agency| agency.id == *name) {
            Some(Self::Agency)
        } else if register.parties.iter().any(|party| party.id == *name) {
            Some(Self::Party)
        } else if register.forums.iter().any(|forum| forum.id == *name) {
            Some(Self::Forum)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Agency => "agency",
            Self::Party => "party",
            Self::Forum => "forum",
        }
    }
}

/// What the gate decides on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Who asks.
    pub(crate) caller: &'a Caller,
    /// What is to be done.
    pub(crate) action: Action<'a>,
    /// What the record is.
    pub(crate) kind: &'a str,
    /// The record's handling rules.
    pub(crate) handling: &'a Handling,
    /// The record's audience.
    pub(crate) audience: &'a [AgencyId],
    /// The record's author.
    pub(crate) author: &'a AgencyId,
    /// The record's expiry, in seconds since 1970.
    pub(crate) expires: Option<u64>,
    /// The agencies to which the record's originator permitted more than its handling says.
    pub(crate) permitted_to: &'a [AgencyId],
    /// Whether it is a notice, of which a second officer answers for neutrality and rights.
    pub(crate) notice: bool,
    /// Whether a second officer approved the release.
    pub(crate) second: bool,
    /// This agency, which is to do it.
    pub(crate) me: &'a AgencyId,
    /// The register version in force.
    pub(crate) register: &'a RegisterVersion,
    /// The time, in seconds since 1970.
    pub(crate) now_s: u64,
}

impl<'a> Request<'a> {
    /// A request about a record with this header; nothing was permitted beyond its handling, and nobody approved it.
    pub(crate) fn about(
        caller: &'a Caller,
        header: &'a Header,
        action: Action<'a>,
        me: &'a AgencyId,
        register: &'a RegisterVersion,
        now_s: u64,
    ) -> Self {
        Self {
            caller,
            action,
            kind: &header.kind,
            handling: &header.handling,
            audience: &header.audience,
            author: &header.author,
            expires: header.expires,
            permitted_to: &[],
            notice: false,
            second: false,
            me,
            register,
            now_s,
        }
    }

    /// What it takes first: who passes a record on or takes it out of the system reads it.
    pub(crate) fn presupposes(&self) -> Option<Self> {
        let reads = matches!(self.action, Action::Forward { .. } | Action::Export);
        reads.then_some(Self { action: Action::Read, ..*self })
    }

    fn has(&self, code: Code) -> bool {
        self.handling.codes.as_ref().is_some_and(|codes| codes.contains(&code))
    }

    fn is_member(&self, id: &AgencyId) -> bool {
        self.register.agency(id).is_some_and(|agency| agency.removed.is_none())
    }

    fn party_of(&self, id: &AgencyId) -> Option<&'a AgencyId> {
        self.register.agency(id).map(|agency| &agency.party)
    }

    /// Those between whom it passes that are not members of the register.
    fn strangers(&self) -> Vec<&'a AgencyId> {
        let recipients = match self.action {
            Action::Release { .. } => self.audience,
            Action::Forward { to } => to,
            _ => return Vec::new(),
        };
        std::iter::once(self.me).chain(recipients).filter(|id| !self.is_member(id)).collect()
    }

    /// Those to whom it is forwarded that are of another party.
    fn outside(&self) -> Vec<&'a AgencyId> {
        let Action::Forward { to } = self.action else { return Vec::new() };
        let own = self.party_of(self.me);
        to.iter().filter(|id| own.is_none() || self.party_of(id) != own).collect()
    }

    /// The forums to which it is released and of which this agency's party is no member.
    fn foreign_forums(&self) -> Vec<&'a AgencyId> {
        let Action::Release { named } = self.action else { return Vec::new() };
        let forums = named.iter().filter(|name| Named::find(name, self.register) == Some(Named::Forum));
        let forums = forums.filter_map(|name| self.register.forums.iter().find(|forum| forum.id == *name));
        let own = self.party_of(self.me);
        forums.filter(|forum| own.is_none_or(|own| !forum.members.contains(own))).map(|forum| &forum.id).collect()
    }
}

/// What the gate decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub allow: bool,
    /// The name of the rule that refuses; `none` when allowed.
    pub rule: &'static str,
    /// Why it is refused, for people; it names handling and agencies, never content. Empty when allowed.
    pub why: String,
    /// Whether the record may not even be read: to this caller it is as if it did not exist.
    pub hidden: bool,
}

impl Decision {
    fn allowed() -> Self {
        Self { allow: true, rule: NO_RULE, why: String::new(), hidden: false }
    }
}

/// The gate. One for the whole node.
#[derive(Debug)]
pub struct Gate {
    policies: ArcSwap<Policies>,
    cache: classes::Cache,
    kept: kept::Kept,
    /// Held by whoever changes the policy.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Held by whoever compares two policies.
    pub(crate) comparing: tokio::sync::Mutex<()>,
}

impl Gate {
    /// The gate with the default rules.
    pub fn new() -> Self {
        Self {
            policies: ArcSwap::new(Policies::default_set()),
            cache: classes::Cache::default(),
            kept: kept::Kept::default(),
            changing: tokio::sync::Mutex::default(),
            comparing: tokio::sync::Mutex::default(),
        }
    }

    /// Puts a policy set into force. What is asked from now on is decided by it.
    pub(crate) fn enforce(&self, policies: Policies) {
        self.policies.store(Arc::new(policies));
    }

    /// The policy set in force.
    pub(crate) fn policies(&self) -> Arc<Policies> {
        self.policies.load_full()
    }

    /// Whether a policy set is in force now, without a change since it was taken.
    pub(crate) fn is_in_force(&self, policies: &Arc<Policies>) -> bool {
        Arc::ptr_eq(policies, &self.policies())
    }

    /// The hash of the rules in force.
    pub fn hash(&self) -> Digest {
        self.policies.load().hash()
    }

    /// Decides whether a caller may have an operation of the API carried out, by its name in the API's description. Whoever has not
    /// signed in is nobody, and may do what signing in takes.
    pub(crate) fn decide_operation(&self, caller: Option<&Caller>, me: &AgencyId, operation: &str) -> Decision {
        ask::operation(&self.policies.load(), caller, me, operation)
    }

    /// Decides whether a caller may page through a view.
    pub(crate) fn decide_view(&self, caller: &Caller, me: &AgencyId, view: &str) -> Decision {
        ask::view(&self.policies.load(), caller, me, view)
    }

    /// Decides. The same request under the same rules always gets the same decision.
    pub(crate) fn decide(&self, request: &Request<'_>) -> Decision {
        self.kept.decide(&self.policies.load(), request)
    }
}

/// Decides under a policy set, which need not be the one in force.
pub(crate) fn decide(policies: &Policies, request: &Request<'_>) -> Decision {
    // What one may not read does not exist for one, whatever one wants to do with it. What is not yet released has no reader.
    if let Some(reading) = request.presupposes() {
        let read = decide(policies, &reading);
        if !read.allow {
            return read;
        }
    }
    let decision = on_record(policies, request);
    let seeing = matches!(request.action, Action::List | Action::Search | Action::Read);
    Decision { hidden: seeing && !decision.allow, ..decision }
}

fn on_record(policies: &Policies, request: &Request<'_>) -> Decision {
    match ask::Question::about_record(request).and_then(|question| question.ask(policies)) {
        Ok(found) => found.decision(request.action.name(), |name| ask::fact(request, name)),
        Err(why) => ask::refused(RULE_FAILED, why),
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
