//! Who would be able to read a record if it were released: asked before anything is sent.

use mufakat_record::{AgencyId, Role, Tlp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Action, Decision, Named, Policies, Request, decide};
use crate::desk::{Caller, Via};

/// What would come of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ReleasePreview)]
pub(crate) struct Preview {
    /// Whether the caller may release it.
    pub(crate) release: Verdict,
    /// Every agency of the register but this one, and whether it will be able to read it.
    pub(crate) agencies: Vec<AgencyVerdict>,
    /// Every role at this agency, of officers with the clearance that the label asks for.
    pub(crate) roles: Vec<RoleVerdict>,
}

/// A decision with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Verdict {
    /// Whether it may be done.
    pub(crate) allow: bool,
    /// The rule that refuses; `none` when allowed.
    pub(crate) rule: &'static str,
    /// Why, in words.
    pub(crate) why: String,
}

/// What becomes of it at another agency. Which of its officers may read it that agency's own policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AgencyVerdict {
    /// The agency.
    pub(crate) agency: AgencyId,
    /// Whether it gets it.
    pub(crate) reads: bool,
    /// The names through which it is in the audience: itself, its party, a forum.
    pub(crate) through: Vec<AgencyId>,
    /// The officers for whose eyes it is there; anybody's, when none is named.
    pub(crate) eyes: Vec<String>,
    /// The rule by which it does not; `none` when it does.
    pub(crate) rule: &'static str,
}

/// What an officer in a role may do here once it is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RoleVerdict {
    /// The role.
    pub(crate) role: Role,
    /// Whether it may be read.
    pub(crate) reads: bool,
    /// The rule by which it may not; `none` when it may.
    pub(crate) rule: &'static str,
    /// Why not, in words.
    pub(crate) why: String,
}

/// What would come of a release. The request is one to release.
pub(crate) fn preview(policies: &Policies, request: &Request<'_>) -> Preview {
    let others = request.register.members().filter(|agency| agency.id != *request.me);
    let others = others.map(|agency| of_agency(policies, request, &agency.id));
    let roles = Role::ALL.iter().map(|(role, _)| of_role(policies, request, *role));
    Preview { release: decide(policies, request).into(), agencies: others.collect(), roles: roles.collect() }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        Self { allow: decision.allow, rule: decision.rule, why: decision.why }
    }
}

fn of_agency(policies: &Policies, request: &Request<'_>, agency: &AgencyId) -> AgencyVerdict {
    // The agency as such: what its own officers may is its own policy's.
    let as_such = Caller::operator();
    let decision = decide(policies, &Request { caller: &as_such, action: Action::Read, me: agency, ..*request });
    let eyes = request.handling.eyes.iter().flatten().filter(|eyes| eyes.agency == *agency);
    AgencyVerdict {
        agency: agency.clone(),
        reads: decision.allow,
        through: if decision.allow { through(request, agency) } else { Vec::new() },
        eyes: eyes.map(|eyes| eyes.officer.as_str().to_owned()).collect(),
        rule: decision.rule,
    }
}

/// The names of the release in which an agency is.
fn through(request: &Request<'_>, agency: &AgencyId) -> Vec<AgencyId> {
    let Action::Release { named } = request.action else { return Vec::new() };
    let party = request.party_of(agency);
    let is_in = |name: &&AgencyId| match Named::find(name, request.register) {
        Some(Named::Agency) => *name == agency,
        Some(Named::Party) => Some(*name) == party,
        Some(Named::Forum) => {
            let forum = request.register.forums.iter().find(|forum| forum.id == **name);
            forum.zip(party).is_some_and(|(forum, party)| forum.members.contains(party))
        }
        None => false,
    };
    named.iter().filter(is_in).cloned().collect()
}

fn of_role(policies: &Policies, request: &Request<'_>, role: Role) -> RoleVerdict {
    let officer = Caller {
        // No purpose is said and any may be acted for; what an officer's own grant adds is not known here.
        officer: None,
        grant: None,
        roles: vec![role],
        clearance: Tlp::Red,
        purposes: Vec::new(),
        purpose: None,
        via: Via::Session,
    };
    let decision = decide(policies, &Request { caller: &officer, action: Action::Read, ..*request });
    RoleVerdict { role, reads: decision.allow, rule: decision.rule, why: decision.why }
}
