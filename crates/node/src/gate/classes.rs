//! Which records a caller may see in lists and searches, decided once for all records of one handling.
//!
//! Records with the same author, audience, handling and kind are of one class. The store knows the class of every row, and gives
//! only rows of classes that are allowed here; so what may not be seen is neither visited nor counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mufakat_record::{AgencyId, Digest, Tlp};
use mufakat_store::{Class, ClassNumber, NO_CLASS};

use super::{Action, Gate, Request};
use crate::desk::{Caller, Via};

/// For how many callers and actions decisions are kept.
const CALLERS_KEPT: usize = 512;

/// For whom and under what decisions were made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    policy: Digest,
    register: Digest,
    action: &'static str,
    operator: bool,
    officer: Option<String>,
    roles: Vec<mufakat_record::Role>,
    clearance: Tlp,
    purposes: Vec<String>,
    purpose: Option<String>,
}

/// What was decided so far for one caller.
#[derive(Debug, Clone, Default)]
struct Decided {
    /// The highest number that was decided on.
    through: ClassNumber,
    allowed: Arc<Vec<ClassNumber>>,
}

/// Decisions on classes.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<Key, Decided>>);

/// What a list or a search stands under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing<'a> {
    /// This agency.
    pub(crate) me: &'a AgencyId,
    /// The register version in force.
    pub(crate) register: &'a mufakat_record::kinds::register_version::RegisterVersion,
    /// Its hash.
    pub(crate) register_hash: Digest,
}

impl Gate {
    /// The numbers of the classes whose records the caller may see by an action, which is to list or to search; ascending. `new` gives the store's classes after a number; those decided on before are not asked for again.
    pub(crate) fn classes<E>(
        &self,
        caller: &Caller,
        action: Action<'_>,
        standing: Standing<'_>,
        new: impl FnOnce(ClassNumber) -> Result<Vec<(ClassNumber, Class)>, E>,
    ) -> Result<Arc<Vec<ClassNumber>>, E> {
        let policies = self.policies();
        let key = Key {
            policy: policies.hash(),
            register: standing.register_hash,
            action: action.name(),
            operator: caller.via == Via::Socket,
            officer: caller.officer.as_ref().map(|officer| officer.as_str().to_owned()),
            roles: caller.roles.clone(),
            clearance: caller.clearance,
            purposes: caller.purposes.clone(),
            purpose: caller.purpose.clone(),
        };
        let known = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let fresh = known.is_none();
        let mut decided = known.unwrap_or_default();
        if fresh && key.operator {
            // Rows of no class are for whoever may see everything.
            Arc::make_mut(&mut decided.allowed).push(NO_CLASS);
        }
        let new = new(decided.through)?;
        if new.is_empty() && !fresh {
            return Ok(decided.allowed);
        }
        for (number, class) in &new {
            let request = Request {
                caller,
                action,
                kind: &class.kind,
                handling: &class.handling,
                audience: &class.audience,
                author: &class.author,
                expires: None,
                permitted_to: &[],
                notice: false,
                second: false,
                me: standing.me,
                register: standing.register,
                now_s: 0,
            };
            if super::decide(&policies, &request).allow {
                Arc::make_mut(&mut decided.allowed).push(*number);
            }
            decided.through = decided.through.max(*number);
        }
        let mut cache = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CALLERS_KEPT && !cache.contains_key(&key) {
            // Under a new policy or register every key is new, and what is kept is of no more use.
            cache.clear();
        }
        cache.insert(key, decided.clone());
        Ok(decided.allowed)
    }
}
