//! The policy gate: the one function that every release, read, forward and export passes.
//!
//! The rules of this step are built in. They stand in [`RULES`] as numbered sentences; the hash of that text goes into the
//! ledger with every decision, so that it can be shown later by which rules somebody decided. Whoever changes a rule changes
//! the text with it. Their sources: FIRST, "Traffic Light Protocol (TLP), version 2.0" (2022), for rules 5 and 8; the police
//! handling codes H0 to H3 and originator control for rules 6 and 7.

use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{AgencyId, Code, Digest, Handling, Header, Tlp};

/// The rules, as people read them and as they are hashed.
pub const RULES: &str = "\
mufakat policy 1
A request is refused by the first rule that it breaks, and allowed when it breaks none.

1 empty-audience. An empty audience means nobody: such a record is not released, read, forwarded or exported.
2 not-for-this-agency. Only its author releases a record. Only its author and the agencies of its audience read, forward or export it.
3 expired. A record past its expiry is not released or forwarded. It may be read, which shows that it expired, and exported, so \
that what was said can still be proven.
4 not-a-member. A record is released or forwarded by members of the register to members of the register, and to no one who is removed.
5 tlp-named. A TLP:RED record is released only to agencies that were named one by one. A TLP:AMBER+STRICT record is released only to \
agencies and parties that were named, and to no forum.
6 caveat-missing. A record with code H3 is not released without a caveat that says what H3 restricts.
7 originator-consent. A record with code H2 or under originator control is forwarded by nobody but its author.
8 tlp-forward. By others than its author a TLP:RED or TLP:AMBER+STRICT record is not forwarded at all, and a TLP:AMBER record only to \
agencies of the forwarding agency's own party.
";

/// The name that stands in a decision that allows.
const NO_RULE: &str = "none";

/// What somebody wants to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Share it with its audience for the first time.
    Release {
        /// How each name was meant from which the audience was worked out.
        named: &'a [Named],
    },
    /// Show it at this agency.
    Read,
    /// Share it with others than its audience.
    Forward {
        /// The agencies that are to get it.
        to: &'a [AgencyId],
    },
    /// Take it out of the system: a file, another format, an evidence bundle.
    Export,
}

/// How one name of an audience was meant by whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
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
    pub fn find(name: &AgencyId, register: &RegisterVersion) -> Option<Self> {
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
}

/// What the gate decides on.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is to be done.
    pub action: Action<'a>,
    /// The record's handling rules.
    pub handling: &'a Handling,
    /// The record's audience.
    pub audience: &'a [AgencyId],
    /// The record's author.
    pub author: &'a AgencyId,
    /// The record's expiry, in seconds since 1970.
    pub expires: Option<u64>,
    /// This agency, which is to do it.
    pub me: &'a AgencyId,
    /// The register version in force.
    pub register: &'a RegisterVersion,
    /// The time, in seconds since 1970.
    pub now_s: u64,
}

impl<'a> Request<'a> {
    /// A request about a record with this header.
    pub fn about(
        header: &'a Header,
        action: Action<'a>,
        me: &'a AgencyId,
        register: &'a RegisterVersion,
        now_s: u64,
    ) -> Self {
        Self {
            action,
            handling: &header.handling,
            audience: &header.audience,
            author: &header.author,
            expires: header.expires,
            me,
            register,
            now_s,
        }
    }

    fn by_author(&self) -> bool {
        self.author == self.me
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
}

/// The gate. One for the whole node.
#[derive(Debug, Clone)]
pub struct Gate {
    hash: Digest,
}

impl Gate {
    /// The gate with the built-in rules.
    pub fn new() -> Self {
        Self { hash: Digest::of(RULES.as_bytes()) }
    }

    /// The hash of the rules in force.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Decides. The same request under the same rules always gets the same decision.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        for (rule, breaks) in CHECKS {
            if let Some(why) = breaks(request) {
                return Decision { allow: false, rule, why };
            }
        }
        Decision { allow: true, rule: NO_RULE, why: String::new() }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// Says why a request breaks the rule, if it does.
type Check = fn(&Request<'_>) -> Option<String>;

/// The rules in their order, each with its name in [`RULES`].
const CHECKS: [(&str, Check); 8] = [
    ("empty-audience", empty_audience),
    ("not-for-this-agency", not_for_this_agency),
    ("expired", expired),
    ("not-a-member", not_a_member),
    ("tlp-named", tlp_named),
    ("caveat-missing", caveat_missing),
    ("originator-consent", originator_consent),
    ("tlp-forward", tlp_forward),
];

fn empty_audience(request: &Request<'_>) -> Option<String> {
    let forward_to_nobody = matches!(request.action, Action::Forward { to: [] });
    (request.audience.is_empty() || forward_to_nobody).then(|| "an empty audience means nobody".to_owned())
}

fn not_for_this_agency(request: &Request<'_>) -> Option<String> {
    if request.by_author() {
        return None;
    }
    if matches!(request.action, Action::Release { .. }) {
        return Some(format!("only the author, {}, releases it", request.author));
    }
    (!request.audience.contains(request.me))
        .then(|| format!("{} is neither its author nor in its audience", request.me))
}

fn expired(request: &Request<'_>) -> Option<String> {
    let past = request.expires.is_some_and(|expires| expires < request.now_s);
    (past && !matches!(request.action, Action::Read | Action::Export)).then(|| "it is past its expiry".to_owned())
}

fn not_a_member(request: &Request<'_>) -> Option<String> {
    let recipients = match request.action {
        Action::Release { .. } => request.audience,
        Action::Forward { to } => to,
        Action::Read | Action::Export => return None,
    };
    let outsider = std::iter::once(request.me).chain(recipients).find(|id| !request.is_member(id))?;
    Some(format!("{outsider} is not in the register, or is removed"))
}

fn tlp_named(request: &Request<'_>) -> Option<String> {
    let Action::Release { named } = request.action else { return None };
    // Where it is not known how the audience was named, nobody was named.
    let one_by_one = !named.is_empty() && named.iter().all(|named| *named == Named::Agency);
    let without_forum = !named.is_empty() && !named.contains(&Named::Forum);
    match request.handling.tlp {
        Tlp::Red if !one_by_one => {
            Some("TLP:RED goes to agencies named one by one, not to a party or forum".to_owned())
        }
        Tlp::AmberStrict if !without_forum => {
            Some("TLP:AMBER+STRICT goes to agencies and parties that are named, not to a forum".to_owned())
        }
        _ => None,
    }
}

fn caveat_missing(request: &Request<'_>) -> Option<String> {
    let said = request.handling.caveat.as_ref().is_some_and(|caveat| !caveat.trim().is_empty());
    let release = matches!(request.action, Action::Release { .. });
    (release && request.has(Code::H3) && !said).then(|| "H3 needs a caveat that says what it restricts".to_owned())
}

fn originator_consent(request: &Request<'_>) -> Option<String> {
    let controlled = request.has(Code::H2) || request.handling.orcon == Some(true);
    let forward = matches!(request.action, Action::Forward { .. });
    (forward && controlled && !request.by_author())
        .then(|| format!("only its author, {}, may share it onward", request.author))
}

fn tlp_forward(request: &Request<'_>) -> Option<String> {
    let Action::Forward { to } = request.action else { return None };
    if request.by_author() {
        return None;
    }
    match request.handling.tlp {
        tlp @ (Tlp::Red | Tlp::AmberStrict) => Some(format!("TLP:{tlp} is not forwarded")),
        // TLP 2.0 lets AMBER go to the recipient's organisation and its clients: here, the agencies of its party.
        Tlp::Amber => {
            let own = request.party_of(request.me)?;
            let outside = to.iter().find(|id| request.party_of(id) != Some(own))?;
            Some(format!("TLP:AMBER stays within the party, and {outside} is of another"))
        }
        Tlp::Green | Tlp::Clear => None,
    }
}

#[cfg(test)]
mod tests;
