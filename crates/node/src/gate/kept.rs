//! Decisions that were made before. The same question under the same policy and register always gets the same decision, unless a
//! rule looks at the time; so it is asked once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mufakat_record::{AgencyId, cbor, sha256};

use super::{Action, Decision, Policies, Request};
use crate::desk::Via;

/// How many decisions are kept. At a few hundred bytes each that is some megabytes.
const KEPT_MAX: usize = 16_384;

/// Decisions by the hash of the question.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<[u8; 32], Decision>>);

impl Kept {
    /// The decision on a question, made now if it was not made before.
    pub(super) fn decide(&self, policies: &Policies, request: &Request<'_>) -> Decision {
        let actions = [Some(request.action), request.presupposes().map(|reading| reading.action)];
        if !actions.into_iter().flatten().all(|action| policies.is_timeless(action.name())) {
            return super::decide(policies, request);
        }
        let key = key(policies, request);
        if let Some(decision) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return decision.clone();
        }
        let decision = super::decide(policies, request);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            // Under a new policy or register every key is new, and what is kept is of no more use.
            kept.clear();
        }
        kept.insert(key, decision.clone());
        decision
    }
}

/// What a question is, but for the time. Whoever adds to the question adds here.
fn key(policies: &Policies, request: &Request<'_>) -> [u8; 32] {
    let Request {
        caller,
        action,
        kind,
        handling,
        audience,
        author,
        expires,
        permitted_to,
        notice,
        second,
        me,
        register,
        now_s,
    } = *request;
    let mut said = Said(Vec::with_capacity(512));
    said.bytes(policies.hash().as_bytes());
    // A node's register has one version of each number.
    said.bytes(&register.version.to_be_bytes());
    said.bytes(register.previous.map(|hash| hash.0).unwrap_or_default().as_slice());
    said.bytes(me.as_str().as_bytes());
    said.text(action.name());
    said.agencies(match action {
        Action::Release { named: agencies } | Action::Forward { to: agencies } => agencies,
        Action::List | Action::Search | Action::Read | Action::Answer | Action::Export => &[],
    });
    said.text(kind);
    said.bytes(&cbor::encode(handling));
    said.agencies(audience);
    said.text(author.as_str());
    said.agencies(permitted_to);
    let expired = expires.is_some_and(|expires| expires < now_s);
    said.bytes(&[u8::from(expired), u8::from(notice), u8::from(second), u8::from(caller.via == Via::Socket)]);
    said.text(caller.officer.as_ref().map_or("", |officer| officer.as_str()));
    said.bytes(&caller.roles.iter().map(|role| *role as u8).collect::<Vec<_>>());
    said.bytes(&[caller.clearance as u8]);
    said.texts(&caller.purposes);
    said.texts(caller.purpose.as_slice());
    sha256(&said.0)
}

/// Bytes in which each part has its length before it, so that no two questions are the same bytes.
struct Said(Vec<u8>);

impl Said {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.bytes(&(texts.len() as u64).to_be_bytes());
        texts.iter().for_each(|text| self.text(text));
    }

    fn agencies(&mut self, agencies: &[AgencyId]) {
        self.bytes(&(agencies.len() as u64).to_be_bytes());
        agencies.iter().for_each(|agency| self.text(agency.as_str()));
    }
}
