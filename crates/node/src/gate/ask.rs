//! From what is asked to a question in Cedar's terms, and from its answer to a decision.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use cedar_policy::{
    Authorizer, Context, Decision as Answer, Entities, Entity, EntityId, EntityTypeName, EntityUid, Response,
    RestrictedExpression as Value,
};
use mufakat_record::{AgencyId, Code, Tlp};

use super::policies::{Policies, Rule};
use super::{Action, Decision, NOTHING_PERMITS, RULE_FAILED, Request, UNKNOWN_OPERATION};
use crate::desk::{Caller, Via};

/// The operator among officers; no pseudonym has parentheses.
const OPERATOR: &str = "(operator)";
/// The operator's role.
const OPERATOR_ROLE: &str = "operator";
/// Whoever has not signed in, among officers.
const NOBODY: &str = "(nobody)";
/// The role of every officer who is signed in.
const OFFICER_ROLE: &str = "officer";

macro_rules! types {
    ($($name:ident = $text:literal;)*) => {
        $(static $name: LazyLock<EntityTypeName> =
            // A name of the schema; a test asks with each.
            LazyLock::new(|| $text.parse().expect("the name of a type"));)*
    };
}

types! {
    OFFICER = "Officer";
    ROLE = "Role";
    RECORD = "Record";
    VIEW = "View";
    NODE = "Node";
    ACTION = "Action";
    OPERATION = "Api::Action";
}

static AUTHORIZER: LazyLock<Authorizer> = LazyLock::new(Authorizer::new);

/// A question in Cedar's terms.
pub(super) struct Question {
    principal: Entity,
    action: EntityUid,
    resource: Entity,
    request: cedar_policy::Request,
}

impl Question {
    fn new(principal: Entity, action: EntityUid, resource: Entity, context: Attributes) -> Result<Self, String> {
        let context = Context::from_pairs(context).map_err(|e| e.to_string())?;
        let request = cedar_policy::Request::new(principal.uid(), action.clone(), resource.uid(), context, None);
        Ok(Self { principal, action, resource, request: request.map_err(|e| e.to_string())? })
    }

    /// What a caller wants to do with a record.
    pub(super) fn about_record(request: &Request<'_>) -> Result<Self, String> {
        let principal = officer(request.caller)?;
        let action = uid(&ACTION, request.action.name());
        Self::new(principal, action, record(request)?, context(request))
    }

    /// Whether a caller may page through a view.
    pub(super) fn about_view(caller: &Caller, me: &AgencyId, view: &str) -> Result<Self, String> {
        let view = Entity::with_uid(uid(&VIEW, view));
        Self::new(officer(caller)?, uid(&ACTION, "open"), view, asked(caller, me).into())
    }

    /// Whether a caller may have an operation of the API carried out.
    pub(super) fn about_operation(caller: Option<&Caller>, me: &AgencyId, operation: &str) -> Result<Self, String> {
        let action = uid(&OPERATION, operation);
        let node = Entity::with_uid(uid(&NODE, me.as_str()));
        let Some(caller) = caller else {
            let me = ("me".to_owned(), text(me.as_str()));
            let context = [me, ("purposes".into(), Value::new_set([])), ("any_purpose".into(), Value::new_bool(false))];
            let in_scope = ("in_scope".to_owned(), Value::new_bool(true));
            return Self::new(nobody()?, action, node, context.into_iter().chain([in_scope]).collect());
        };
        let in_scope = match &caller.via {
            Via::Token { scopes } if !scopes.is_empty() => scopes.iter().any(|scope| scope == operation),
            _ => true,
        };
        let mut context: Attributes = asked(caller, me).into();
        context.push(("in_scope".into(), Value::new_bool(in_scope)));
        Self::new(officer(caller)?, action, node, context)
    }

    /// Asks the rules that can matter.
    pub(super) fn ask<'p>(&self, policies: &'p Policies) -> Result<Found<'p>, String> {
        let Some(slice) = policies.slice(&self.action) else { return Ok(Found::unknown()) };
        let entities = slice.action.clone().add_entities([self.principal.clone(), self.resource.clone()], None);
        let entities = entities.map_err(|e| e.to_string())?;
        Ok(Found::read(policies, &AUTHORIZER.is_authorized(&self.request, &slice.policies, &entities)))
    }

    /// The question with everything that Cedar needs to answer it, for whoever measures Cedar by itself.
    pub(super) fn laid_out(self, policies: &Policies) -> Option<(cedar_policy::Request, Entities)> {
        let entities = policies.slice(&self.action)?.action.clone().add_entities([self.principal, self.resource], None);
        Some((self.request, entities.ok()?))
    }
}

/// Asks every rule of a set.
pub(super) fn ask_all(policies: &Policies, request: &cedar_policy::Request, entities: &Entities) -> bool {
    AUTHORIZER.is_authorized(request, policies.all(), entities).decision() == Answer::Allow
}

/// Decides whether a caller may have an operation of the API carried out.
pub(super) fn operation(policies: &Policies, caller: Option<&Caller>, me: &AgencyId, operation: &str) -> Decision {
    match Question::about_operation(caller, me, operation).and_then(|question| question.ask(policies)) {
        Ok(found) => found.decision(operation, |_| None),
        Err(why) => refused(RULE_FAILED, why),
    }
}

/// Decides whether a caller may page through a view.
pub(super) fn view(policies: &Policies, caller: &Caller, me: &AgencyId, view: &str) -> Decision {
    match Question::about_view(caller, me, view).and_then(|question| question.ask(policies)) {
        Ok(found) => found.decision(view, |_| None),
        Err(why) => refused(RULE_FAILED, why),
    }
}

/// What the rules answered.
pub(super) struct Found<'p> {
    /// Whether it may be done.
    pub(super) allow: bool,
    /// The rules that decided, in the order of the set.
    pub(super) rules: Vec<&'p Rule>,
    /// A rule that could not be evaluated, and why.
    failed: Option<String>,
    unknown: bool,
}

impl<'p> Found<'p> {
    fn unknown() -> Self {
        Self { allow: false, rules: Vec::new(), failed: None, unknown: true }
    }

    fn read(policies: &'p Policies, response: &Response) -> Self {
        let failed = response.diagnostics().errors().next().map(ToString::to_string);
        let reasons = response.diagnostics().reason();
        let mut rules: Vec<_> = reasons.filter_map(|id| policies.rule(id)).collect();
        rules.sort_by_key(|(place, _)| *place);
        let allow = response.decision() == Answer::Allow && failed.is_none();
        Self { allow, rules: rules.into_iter().map(|(_, rule)| rule).collect(), failed, unknown: false }
    }

    /// The decision, in words. `fact` gives what stands for a word in braces.
    pub(super) fn decision(&self, what: &str, fact: impl Fn(&str) -> Option<String>) -> Decision {
        if self.allow {
            return Decision::allowed();
        }
        if self.unknown {
            return refused(UNKNOWN_OPERATION, format!("the policy does not know `{what}`"));
        }
        if let Some(failed) = &self.failed {
            return refused(RULE_FAILED, failed.clone());
        }
        match self.rules.first() {
            Some(rule) => refused(rule.name, filled(&rule.why, fact)),
            None => refused(NOTHING_PERMITS, format!("no rule permits `{what}` to a caller in this role")),
        }
    }
}

/// A refusal.
pub(super) fn refused(rule: &'static str, why: String) -> Decision {
    Decision { allow: false, rule, why, hidden: false }
}

type Attributes = Vec<(String, Value)>;

fn uid(of: &EntityTypeName, name: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(name))
}

fn text(value: impl ToString) -> Value {
    Value::new_string(value.to_string())
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Value {
    Value::new_set(values.into_iter().map(text))
}

fn level(tlp: Tlp) -> Value {
    Value::new_long(tlp as i64)
}

fn officer(caller: &Caller) -> Result<Entity, String> {
    let operator = caller.via == Via::Socket;
    let name = match &caller.officer {
        Some(officer) if !operator => officer.as_str(),
        _ => OPERATOR,
    };
    let roles: HashSet<_> = if operator {
        HashSet::from([uid(&ROLE, OPERATOR_ROLE)])
    } else {
        caller.roles.iter().map(|role| role.name()).chain([OFFICER_ROLE]).map(|role| uid(&ROLE, role)).collect()
    };
    principal(name, caller.clearance, roles)
}

/// Whoever has not signed in.
fn nobody() -> Result<Entity, String> {
    principal(NOBODY, Tlp::Clear, HashSet::new())
}

fn principal(name: &str, clearance: Tlp, roles: HashSet<EntityUid>) -> Result<Entity, String> {
    let attributes = HashMap::from([("name".to_owned(), text(name)), ("clearance".to_owned(), level(clearance))]);
    Entity::new(uid(&OFFICER, name), attributes, roles).map_err(|e| e.to_string())
}

fn record(request: &Request<'_>) -> Result<Entity, String> {
    let handling = request.handling;
    let named = |flag: &Option<Vec<mufakat_record::Eyes>>| {
        let eyes = flag.iter().flatten().filter(|eyes| eyes.agency == *request.me);
        texts(eyes.map(|eyes| eyes.officer.as_str().to_owned()).collect::<Vec<_>>())
    };
    let controlled = request.has(Code::H2) || handling.orcon == Some(true);
    // Of a class of records it is only known that there is a caveat; whether it says something matters when it is released.
    let released = matches!(request.action, Action::Release { .. });
    let caveat = handling.caveat.as_ref().is_some_and(|caveat| !released || !caveat.trim().is_empty());
    let attributes: HashMap<_, _> = [
        ("author", text(request.author.as_str())),
        ("party", text(request.party_of(request.author).map_or("", AgencyId::as_str))),
        ("audience", texts(request.audience.iter().map(AgencyId::as_str))),
        ("kind", text(request.kind)),
        ("home", Value::new_bool(request.audience == std::slice::from_ref(request.author))),
        ("tlp", text(handling.tlp.name())),
        ("level", level(handling.tlp)),
        ("codes", texts(handling.codes.iter().flatten().map(|code| format!("{code:?}")))),
        ("purposes", texts(handling.purposes.iter().flatten())),
        ("controlled", Value::new_bool(controlled)),
        ("caveat", Value::new_bool(caveat)),
        ("eyes", named(&handling.eyes)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    // A rule sees a record by its handling; which one it is it does not see.
    Entity::new(uid(&RECORD, "it"), attributes, HashSet::new()).map_err(|e| e.to_string())
}

/// What holds for every request.
fn asked(caller: &Caller, me: &AgencyId) -> [(String, Value); 3] {
    let purposes = match &caller.purpose {
        Some(purpose) => texts([purpose]),
        None => texts(&caller.purposes),
    };
    let any = caller.purpose.is_none() && caller.purposes.is_empty();
    [("me".into(), text(me.as_str())), ("purposes".into(), purposes), ("any_purpose".into(), Value::new_bool(any))]
}

fn context(request: &Request<'_>) -> Attributes {
    let mut context: Attributes = asked(request.caller, request.me).into();
    let mut say = |name: &str, value: Value| context.push((name.to_owned(), value));
    if matches!(request.action, Action::List | Action::Search | Action::Answer) {
        return context;
    }
    // The schema's numbers are signed; no time that matters is so late.
    say("now", Value::new_long(i64::try_from(request.now_s).unwrap_or(i64::MAX)));
    say("expired", Value::new_bool(request.expires.is_some_and(|expires| expires < request.now_s)));
    let names = |agencies: Vec<&AgencyId>| texts(agencies.into_iter().map(AgencyId::as_str));
    match request.action {
        Action::Release { named } => {
            let how = named.iter().filter_map(|name| super::Named::find(name, request.register));
            say("named", texts(how.map(super::Named::name)));
            say("foreign_forums", names(request.foreign_forums()));
            say("strangers", names(request.strangers()));
            say("notice", Value::new_bool(request.notice));
            say("second", Value::new_bool(request.second));
        }
        Action::Forward { to } => {
            say("to", texts(to.iter().map(AgencyId::as_str)));
            say("outside", names(request.outside()));
            say("strangers", names(request.strangers()));
            say("permitted", texts(request.permitted_to.iter().map(AgencyId::as_str)));
        }
        _ => say("permitted", texts(request.permitted_to.iter().map(AgencyId::as_str))),
    }
    context
}

/// What stands for a word in braces in the sentence of a rule about a record.
pub(super) fn fact(request: &Request<'_>, name: &str) -> Option<String> {
    let list = |agencies: Vec<&AgencyId>| agencies.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
    Some(match name {
        "me" => request.me.to_string(),
        "author" => request.author.to_string(),
        "tlp" => request.handling.tlp.to_string(),
        "strangers" => list(request.strangers()),
        "foreign_forums" => list(request.foreign_forums()),
        _ => return None,
    })
}

/// A sentence with its words in braces filled in; a word that stands for nothing stays as it is.
fn filled(why: &str, fact: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = why;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}').and_then(|(name, after)| Some((fact(name)?, after))) {
            Some((said, after)) => {
                out.push_str(&said);
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}
