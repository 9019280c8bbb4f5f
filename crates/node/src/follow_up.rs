//! What this agency says about an earlier record of its own, to the same audience: retractions, corrections and permissions.

use std::sync::Arc;

use mufakat_exchange::{Directory, SAID_MAX, Said, Submission};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::permission::Permission;
use mufakat_record::kinds::report::Report;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, Header, Reason, RecordId, Reference, Relation, SigningKey, Verified};
use mufakat_store::Queries;

use crate::desk::four_eyes::Leaving;
use crate::desk::{Caller, four_eyes};
use crate::node::Node;
use crate::share::{self, Composed, NotShared, Together};
use crate::writer::Fault;

/// A record of ours that something is said about.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    /// The record.
    pub(crate) record: Verified,
    /// Whether it is a notice, or a correction made it one, or what is to stand in its place is one.
    pub(crate) notice: bool,
}

/// Takes a record of this agency back.
pub(crate) async fn retract(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    reason: String,
) -> Result<Result<RecordId, NotShared>, Fault> {
    follow_up(node, caller, id, Relation::Retracts, Retraction { reason, carries: None }, false).await
}

/// Puts another report in the place of an earlier one of this agency.
pub(crate) async fn correct(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    reason: String,
    report: Report,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let notice = four_eyes::is_notice(&report);
    follow_up(node, caller, id, Relation::Corrects, Correction { reason, report }, notice).await
}

/// Says what may be done with a record of this agency beyond its handling.
pub(crate) async fn permit(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    permission: Permission,
) -> Result<Result<RecordId, NotShared>, Fault> {
    follow_up(node, caller, id, Relation::About, permission, false).await
}

async fn follow_up<B: Body + Clone + Send + Sync + 'static>(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    relation: Relation,
    body: B,
    notice: bool,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let original = match original(node, id, notice).await? {
        Ok(original) => original,
        Err(no) => return Ok(Err(no)),
    };
    if relation == Relation::Retracts && original.record.header().kind == Correction::KIND {
        // Recipients would show what it replaced again, and nobody would have approved that a second time.
        let detail = "a correction is not taken back: correct the record once more, or retract that";
        return Ok(Err(NotShared::new("is-a-correction", detail)));
    }
    let who = caller.clone();
    let outcomes = share::submit_signed(node, move |node, directory, signer| {
        vec![compose(node, &who, directory, signer, &original, relation, &body, false)]
    })
    .await?;
    let outcome = outcomes.into_iter().next().unwrap_or_else(|| Err(Reason::Malformed.into()));
    if let Err(no) = &outcome {
        share::note_refusal(node, caller, Some(id), no).await?;
    }
    Ok(outcome.map(|shared| shared.first().map_or(id, |shared| shared.id)))
}

/// A record of this agency that it has not taken back. `notice` says whether what is to stand in its place is a notice.
pub(crate) async fn original(
    node: &Arc<Node>,
    id: RecordId,
    notice: bool,
) -> Result<Result<Original, NotShared>, Fault> {
    let me = node.me.clone();
    node.read(move |reader| standing(reader, &me, id, notice)).await
}

/// The same of a store, be it within a transaction.
pub(crate) fn standing(
    store: &impl Queries,
    me: &AgencyId,
    id: RecordId,
    notice: bool,
) -> Result<Result<Original, NotShared>, mufakat_store::Error> {
    // What others say about our records changes nothing.
    let said = |relation, kind, latest| store.said_of(&id, Said { relation, by: me, kind, latest });
    let retractions = said(Relation::Retracts, Retraction::KIND, 1)?;
    let corrections = said(Relation::Corrects, Correction::KIND, SAID_MAX)?;
    let own = |bytes| Verified::from_own_store(bytes).ok().filter(|record| record.header().author == *me);
    let Some(record) = store.record_bytes(&id)?.and_then(own) else {
        return Ok(Err(NotShared::new("not-found", "this agency has not authored such a record")));
    };
    if let Some(retraction) = retractions.first() {
        let detail = format!("it was retracted before, by the record {}", retraction.record);
        return Ok(Err(NotShared::new("already-retracted", detail)));
    }
    let notice =
        notice || is_notice(&record) || corrections.into_iter().filter_map(|c| own(c.bytes)).any(|c| is_notice(&c));
    Ok(Ok(Original { record, notice }))
}

/// Whether a record is a notice, or makes another one a notice.
fn is_notice(record: &Verified) -> bool {
    let (header, body) = (record.header(), record.body());
    let report = match header.kind.as_str() {
        Report::KIND => Report::from_body(header, body).ok(),
        Correction::KIND => Correction::from_body(header, body).ok().map(|correction| correction.report),
        _ => None,
    };
    report.is_some_and(|report| four_eyes::is_notice(&report))
}

/// Makes the record, let through by the gate. `second` says whether a second officer approved it.
#[allow(clippy::too_many_arguments)]
pub(crate) fn compose<B: Body>(
    node: &Node,
    caller: &Caller,
    directory: &Directory,
    signer: &SigningKey,
    original: &Original,
    relation: Relation,
    body: &B,
    second: bool,
) -> Composed {
    let record = &original.record;
    // Those removed since then are out of reach; everybody else who got the record gets this.
    let mut audience = record.header().audience.clone();
    audience.retain(|to| directory.chain().member(to).is_some());
    let (handling, thread) = (record.header().handling.clone(), record.header().thread);
    let header = Header {
        references: about(record, relation),
        ..share::header_for(node, directory, B::KIND, audience, handling, thread)
    };
    // Taking something back says nothing new, and waits for nobody; a permission is given by those who may. A correction is as
    // much of a notice as what it says and what it replaces.
    let corrects = relation == Relation::Corrects;
    let (kind, notice) = (B::KIND, corrects && original.notice);
    // Every recipient got the original by name.
    let leaving = Leaving { kind, to: &header.audience, handling: &header.handling, expires: None, notice };
    let register = directory.chain().current();
    let decision = node.gate.decide(&leaving.request(node, caller, register, &header.audience, second || !corrects));
    if !decision.allow {
        return Err(NotShared::new(decision.rule, decision.why));
    }
    let act = corrects.then(|| four_eyes::released(node, caller, directory, leaving, second));
    let submissions = vec![Submission { record: share::sign(header, body, signer)?, key: None }];
    Ok(match act {
        Some(act) => Together::released(submissions, act),
        None => Together::by(node, caller, submissions),
    })
}

/// What a record about an earlier one refers to. A permission is for what the record carries, too.
fn about(original: &Verified, relation: Relation) -> Vec<Reference> {
    let attached = original.header().references.iter().filter(|r| r.relation == Relation::Attaches);
    let attached = attached.filter(|_| relation == Relation::About).map(|r| r.record);
    let mut references: Vec<_> = attached.chain([original.id()]).map(|record| Reference { relation, record }).collect();
    references.sort();
    references.dedup();
    references
}
