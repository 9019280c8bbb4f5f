//! Policy sets: texts that are read, checked against the schema, and made ready to decide by.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cedar_policy::{Effect, Entities, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use mufakat_record::Digest;
use mufakat_record::kinds::policy_set::PolicyFile;
use serde::Serialize;

/// How many rules an agency may add.
pub(super) const RULES_MAX: usize = 500;
/// The longest name of a rule, in bytes.
const NAME_BYTES_MAX: usize = 60;
/// The longest sentence of a rule, in bytes.
const WHY_BYTES_MAX: usize = 500;

/// Names that a decision has without any rule.
const RESERVED: [&str; 4] = [super::NO_RULE, super::NOTHING_PERMITS, super::UNKNOWN_OPERATION, super::RULE_FAILED];

/// The default rules in their order.
const DEFAULT: [(&str, &str); 3] = [
    ("default/content.cedar", include_str!("default/content.cedar")),
    ("default/desk.cedar", include_str!("default/desk.cedar")),
    ("default/operations.cedar", include_str!("default/operations.cedar")),
];

/// What the rules can speak of.
pub const SCHEMA: &str = include_str!("default/schema.cedarschema");

/// The schema, read.
pub(super) static READ_SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    // The text is part of the program; a test reads it.
    Schema::from_cedarschema_str(SCHEMA).expect("the schema of the program").0
});

static DEFAULT_SET: LazyLock<Arc<Policies>> = LazyLock::new(|| {
    // The texts are part of the program; a test reads them.
    Arc::new(Policies::read(&[]).expect("the default policy set of the program"))
});

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct Flaw {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

/// A rule of a policy set.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Its name.
    pub(crate) name: &'static str,
    /// The sentence for people.
    pub(crate) why: String,
    /// Where the rule comes from.
    pub(crate) source: String,
    /// Whether it forbids; otherwise it permits.
    pub(crate) forbids: bool,
    /// Whether it is one of the default set.
    pub(crate) default: bool,
    /// The rule itself.
    pub(crate) text: String,
}

/// The rules that can matter for one action.
pub(super) struct Slice {
    pub(super) policies: PolicySet,
    /// The action with its groups.
    pub(super) action: Entities,
}

/// A policy set: the default rules and those of the agency.
pub struct Policies {
    rules: Vec<Rule>,
    /// The place of each rule.
    places: HashMap<PolicyId, usize>,
    slices: HashMap<EntityUid, Slice>,
    /// The actions on records of which some rule looks at the time.
    timed: BTreeSet<String>,
    /// Every rule, for whoever measures what slices save.
    all: PolicySet,
    hash: Digest,
    /// Whether it stands for one that cannot be read.
    locked: bool,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Policies({} rules, {})", self.rules.len(), self.hash)
    }
}

impl Policies {
    /// The default set.
    pub fn default_set() -> Arc<Self> {
        Arc::clone(&DEFAULT_SET)
    }

    /// The default set with what an agency adds; or all that is wrong with what it adds.
    pub fn read(files: &[PolicyFile]) -> Result<Self, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let mut found = Vec::new();
        let default = DEFAULT.iter().map(|(name, text)| (*name, *text, true));
        let added = files.iter().map(|file| (file.name.as_str(), file.text.as_str(), false));
        let mut names = BTreeSet::new();
        for (file, text, default) in default.chain(added) {
            match read_file(file, text) {
                Ok(policies) => {
                    for (policy, at) in policies {
                        match named(&policy, default) {
                            Ok(rule) if names.insert(rule.name) => found.push((policy, rule, file, text)),
                            Ok(rule) => {
                                flaws.push(flaw(file, text, at, format!("there is another rule `{}`", rule.name)))
                            }
                            Err(what) => flaws.push(flaw(file, text, at, what)),
                        }
                    }
                }
                Err(wrong) => flaws.extend(wrong),
            }
        }
        let added = found.iter().filter(|(_, rule, ..)| !rule.default).count();
        if added > RULES_MAX {
            flaws.push(flaw("the set", "", 0, format!("{added} rules, more than {RULES_MAX}")));
        }
        if flaws.is_empty() { Self::put_together(found, files) } else { Err(flaws) }
    }

    /// The default set and a prohibition of everything for everybody but the operator: what a node goes by whose own policy cannot
    /// be read.
    pub(crate) fn locked() -> Self {
        let text = include_str!("default/locked.cedar").to_owned();
        // The text is part of the program; a test reads it.
        let set = Self::read(&[PolicyFile { name: "locked.cedar".to_owned(), text }]);
        Self { locked: true, ..set.expect("the locked policy set of the program") }
    }

    /// Whether it is what a node goes by whose own policy cannot be read.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    fn put_together(found: Vec<(Policy, Rule, &str, &str)>, files: &[PolicyFile]) -> Result<Self, Vec<Flaw>> {
        let mut all = PolicySet::new();
        let (mut rules, mut places, mut texts) = (Vec::new(), HashMap::new(), Vec::new());
        for (policy, rule, file, text) in found {
            let policy = policy.new_id(PolicyId::new(rule.name));
            places.insert(policy.id().clone(), rules.len());
            rules.push(rule);
            texts.push((file, text));
            // No two have one name.
            all.add(policy).map_err(|e| vec![flaw(file, text, 0, e.to_string())])?;
        }
        let validator = Validator::new(READ_SCHEMA.clone());
        let checked = validator.validate(&all, ValidationMode::Strict);
        let flaws: Vec<Flaw> = checked
            .validation_errors()
            .map(|error| {
                let (file, text) = places.get(error.policy_id()).map_or(("", ""), |place| texts[*place]);
                flaw(file, text, offset(error).unwrap_or(0), said(error))
            })
            .collect();
        if !flaws.is_empty() {
            return Err(flaws);
        }
        let slices = slices(&all);
        Ok(Self { timed: timed(&slices), slices, rules, places, all, hash: hash(files), locked: false })
    }

    /// The hash of the whole set: SHA-256 over the schema and the texts in their order, each with its length before it.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The rules in their order.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a refusal under this name is one by this set.
    pub(crate) fn refuses_by(&self, name: &str) -> bool {
        RESERVED.contains(&name) || self.places.contains_key(&PolicyId::new(name))
    }

    /// The place of a rule in the order.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(&PolicyId::new(name)).copied()
    }

    /// The place of a rule in the order, and the rule.
    pub(super) fn rule(&self, id: &PolicyId) -> Option<(usize, &Rule)> {
        let place = *self.places.get(id)?;
        Some((place, &self.rules[place]))
    }

    /// Whether no rule about an action looks at the time.
    pub(super) fn is_timeless(&self, action: &str) -> bool {
        !self.timed.contains(action)
    }

    /// What is needed to decide on an action; nothing when the schema does not know it.
    pub(super) fn slice(&self, action: &EntityUid) -> Option<&Slice> {
        self.slices.get(action)
    }

    /// Every rule, as one set for Cedar.
    pub(super) fn all(&self) -> &PolicySet {
        &self.all
    }
}

/// The rules of one text, each with the offset at which it begins.
fn read_file(file: &str, text: &str) -> Result<Vec<(Policy, usize)>, Vec<Flaw>> {
    let set: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        let one = |error: &cedar_policy::ParseError| flaw(file, text, offset(error).unwrap_or(0), said(error));
        errors.iter().map(one).collect::<Vec<_>>()
    })?;
    if set.templates().next().is_some() {
        return Err(vec![flaw(
            file,
            text,
            0,
            "a rule with a slot (`?principal`, `?resource`) is not a rule yet".to_owned(),
        )]);
    }
    let begins = |policy: &Policy| policy.as_ref().loc().map_or(0, |loc| loc.start());
    let mut policies: Vec<_> = set.policies().map(|policy| (policy.clone(), begins(policy))).collect();
    policies.sort_by_key(|(_, at)| *at);
    Ok(policies)
}

/// What a rule says of itself; or what it lacks.
fn named(policy: &Policy, default: bool) -> Result<Rule, String> {
    let said = |key: &str| policy.annotation(key).map(str::trim).filter(|text| !text.is_empty());
    let id = said("id").ok_or("a rule needs a name: @id(\"…\")")?;
    let sound = id.len() <= NAME_BYTES_MAX
        && id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && !RESERVED.contains(&id);
    if !sound {
        let most = format!("at most {NAME_BYTES_MAX} of a-z, 0-9 and hyphens");
        return Err(format!("`{id}` is no name for a rule: {most}, and none of {}", RESERVED.join(", ")));
    }
    let why = said("why").ok_or_else(|| format!("rule `{id}` needs a sentence for people: @why(\"…\")"))?;
    if why.len() > WHY_BYTES_MAX {
        return Err(format!("the sentence of rule `{id}` has more than {WHY_BYTES_MAX} bytes"));
    }
    Ok(Rule {
        name: kept(id),
        why: why.to_owned(),
        source: said("source").unwrap_or_default().to_owned(),
        forbids: policy.effect() == Effect::Forbid,
        default,
        text: policy.to_string(),
    })
}

/// The name of a rule for the rest of the process's life, so that a refusal can carry it like any other reason. There are few:
/// only rules that were read have names, and reading one again keeps nothing new.
fn kept(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = names.get(name) {
        return kept;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    kept
}

/// For each action the rules that can matter for it. A rule that its types keep from ever applying to an action is left out,
/// which changes no decision and spares most of the work.
fn slices(all: &PolicySet) -> HashMap<EntityUid, Slice> {
    let schema = &*READ_SCHEMA;
    let entities = schema.action_entities().unwrap_or_else(|_| Entities::empty());
    let mut sets: HashMap<EntityUid, PolicySet> = HashMap::new();
    for policy in all.policies() {
        let of: BTreeSet<_> = policy.get_valid_request_envs(schema).map(|env| env.action().clone()).collect();
        for action in of {
            // Its name is its own within the whole set.
            let _ = sets.entry(action).or_default().add(policy.clone());
        }
    }
    let slice = |uid: &EntityUid| {
        let groups = entities.ancestors(uid).into_iter().flatten().chain([uid]);
        let known = groups.filter_map(|uid| entities.get(uid).cloned());
        let action = Entities::from_entities(known, None).unwrap_or_else(|_| Entities::empty());
        (uid.clone(), Slice { policies: sets.remove(uid).unwrap_or_default(), action })
    };
    // A group applies to nothing by itself.
    let actions: BTreeSet<_> = schema.request_envs().map(|env| env.action().clone()).collect();
    actions.iter().map(slice).collect()
}

/// The actions of which some rule may look at the time: its text has the word in which the time comes. That some have it for another
/// reason costs a little time and nothing else.
fn timed(slices: &HashMap<EntityUid, Slice>) -> BTreeSet<String> {
    let looks = |slice: &Slice| slice.policies.policies().any(|policy| policy.to_string().contains("now"));
    slices.iter().filter(|(_, slice)| looks(slice)).map(|(uid, _)| uid.id().unescaped().to_owned()).collect()
}

/// The names of all operations of the API that the schema knows.
#[cfg(test)]
pub(crate) fn operations() -> impl Iterator<Item = String> {
    let set = Policies::default_set();
    let of_api: Vec<_> = set.slices.keys().filter(|uid| uid.type_name().namespace() == "Api").cloned().collect();
    of_api.into_iter().map(|uid| uid.id().unescaped().to_owned())
}

fn hash(files: &[PolicyFile]) -> Digest {
    let default = DEFAULT.iter().map(|(_, text)| *text);
    let texts = [SCHEMA].into_iter().chain(default).chain(files.iter().map(|file| file.text.as_str()));
    let mut whole = Vec::new();
    for text in texts {
        whole.extend((text.len() as u64).to_be_bytes());
        whole.extend(text.as_bytes());
    }
    Digest::of(&whole)
}

fn flaw(file: &str, text: &str, offset: usize, what: String) -> Flaw {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Flaw { file: file.to_owned(), line, column, what }
}

/// Where in its text an error is.
fn offset(error: &dyn Diagnostic) -> Option<usize> {
    error.labels()?.next().map(|label| label.offset())
}

/// An error in words, with what helps if it says so.
fn said(error: &dyn Diagnostic) -> String {
    let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("{error}{help}")
}
