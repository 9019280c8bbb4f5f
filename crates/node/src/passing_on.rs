//! Passing on: a partner's record goes to agencies outside its audience, as far as its originator and the gate allow; and what
//! this agency, as originator, permits of its own.

use std::sync::Arc;

use mufakat_exchange::{Facts, Said, Submission};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::onward::{Carried, Onward, PASSED_ON, attachment_of, original_of};
use mufakat_record::kinds::permission::Permission;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::{AgencyId, Header, How, Reason, RecordId, Reference, Relation, Verified};
use mufakat_store::{Queries, Reader};
use mufakat_views::{Rows, track};

use crate::clock;
use crate::desk::{self, Caller};
use crate::gate::{Action, Request};
use crate::node::Node;
use crate::share::{self, NotShared, Shared, Together};
use crate::writer::Fault;

/// A record that may be passed on, and what goes with it.
struct Found {
    record: Verified,
    /// The attachments that it carries.
    attachments: Vec<Verified>,
    /// The originator's latest permission.
    permission: Option<(Vec<u8>, Permission)>,
    original: Header,
    /// To whom this agency passed it on and did not take it back.
    passed_to: Vec<AgencyId>,
}

/// Passes a record on to agencies, parties or forums. What is told of it begins with the record; its attachments follow.
pub(crate) async fn forward(
    node: &Arc<Node>,
    caller: &Caller,
    id: RecordId,
    to: Vec<AgencyId>,
    note: Option<String>,
) -> Result<Result<Vec<Shared>, NotShared>, Fault> {
    let me = node.me.clone();
    let found = match node.read(move |reader| find(reader, &me, &id)).await? {
        Ok(found) => Arc::new(found),
        Err(no) => return Ok(Err(no)),
    };
    let who = caller.clone();
    let outcomes = share::submit_signed(node, move |node, directory, signer| {
        let compose = || {
            let register = directory.chain().current();
            let resolved = directory.chain().resolve(&to);
            let mut audience = resolved.map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
            let has_it = |to: &AgencyId| {
                *to == node.me
                    || *to == found.original.author
                    || found.original.reaches(to)
                    || found.passed_to.contains(to)
            };
            audience.retain(|to| !has_it(to));
            if audience.is_empty() {
                return Err(NotShared::new(Reason::EmptyAudience.name(), "all whom this names have it already"));
            }
            let permitted_to: Vec<AgencyId> =
                found.permission.iter().flat_map(|(_, p)| p.forward_to.clone()).flatten().collect();
            let action = Action::Forward { to: &audience };
            let request = Request::about(&who, found.record.header(), action, &node.me, register, clock::now_s());
            let decision = node.gate.decide(&Request { permitted_to: &permitted_to, ..request });
            if !decision.allow {
                return Err(NotShared::of(decision));
            }
            let mut submissions = Vec::new();
            let mut attached = Vec::new();
            for attachment in &found.attachments {
                let record = wrap(node, directory, signer, attachment, &found, &audience, (Vec::new(), None))?;
                attached.push(Reference { relation: Relation::Attaches, record: record.id() });
                submissions.push(Submission { record, key: None });
            }
            let record = wrap(node, directory, signer, &found.record, &found, &audience, (attached, note.clone()))?;
            submissions.push(Submission { record, key: None });
            submissions.reverse();
            Ok(Together::by(node, &who, submissions))
        };
        vec![compose()]
    })
    .await?;
    let outcome = outcomes.into_iter().next().unwrap_or_else(|| Err(Reason::Malformed.into()));
    match &outcome {
        Ok(shared) => {
            let others = shared.iter().map(|shared| shared.id).collect();
            desk::note(node, caller, How::Forward, id, others).await?;
        }
        Err(no) if node.gate.policies().refuses_by(no.reason) => {
            desk::note_refusal(node, caller, How::Forward, Some(id), no.reason).await?;
        }
        Err(_) => {}
    }
    Ok(outcome)
}

/// An onward record around another.
fn wrap(
    node: &Node,
    directory: &mufakat_exchange::Directory,
    signer: &mufakat_record::SigningKey,
    carried: &Verified,
    found: &Found,
    audience: &[AgencyId],
    (mut references, note): (Vec<Reference>, Option<String>),
) -> Result<Verified, NotShared> {
    let header = carried.header();
    references.push(Reference { relation: Relation::About, record: carried.id() });
    references.sort();
    let body = Onward {
        record: carried.bytes().to_vec(),
        permission: found.permission.as_ref().map(|(bytes, _)| bytes.clone()),
        note,
    };
    let (handling, thread) = (header.handling.clone(), header.thread);
    let base = share::header_for(node, directory, Onward::KIND, audience.to_vec(), handling, thread);
    let record = share::sign(Header { references, expires: header.expires, ..base }, &body, signer)?;
    mufakat_exchange::check_onward(directory, &record)?;
    Ok(record)
}

/// Looks a record up with all that must be known before it is passed on.
fn find(reader: &Reader, me: &AgencyId, id: &RecordId) -> Result<Result<Found, NotShared>, mufakat_store::Error> {
    let unavailable = |e: mufakat_exchange::Unavailable| mufakat_store::Error::Unavailable(e.0);
    let no = |reason, detail: &str| Ok(Err(NotShared::new(reason, detail)));
    let read = |id: &RecordId| -> Result<Option<Verified>, mufakat_store::Error> {
        Ok(reader.record_bytes(id)?.and_then(|bytes| Verified::from_own_store(bytes).ok()))
    };
    let Some(record) = read(id)? else { return no("not-found", "there is no such thing here") };
    let header = record.header();
    if header.author == *me {
        return no("own-record", "this agency wrote it: share it, and say there who else is to get it");
    }
    if !PASSED_ON.contains(&header.kind.as_str()) {
        return no(Reason::CarriedMismatch.name(), "records of this kind are not passed on");
    }
    let said = |id: &RecordId, relation, by: &AgencyId, kind, latest| {
        reader.referring(id, Said { relation, by, kind, latest }).map_err(unavailable)
    };
    for (relation, kind, reason) in
        [(Relation::Retracts, Retraction::KIND, "retracted"), (Relation::Corrects, Correction::KIND, "corrected")]
    {
        if !said(id, relation, &header.author, kind, 1)?.is_empty() {
            return no(reason, "its author took it back, or put another in its place");
        }
    }
    let incomplete = reader.attachments_incomplete()?;
    let mut attachments = Vec::new();
    for reference in header.references.iter().filter(|r| r.relation == Relation::Attaches) {
        let attached =
            read(&reference.record)?.filter(|a| a.header().author == header.author && attachment_of(a).is_some());
        let Some(attached) = attached else { continue };
        if incomplete.contains(&reference.record) {
            return no("incomplete", "an attachment of it has not come as a whole yet");
        }
        attachments.push(attached);
    }
    let Ok((original_id, original, _)) = original_of(&record) else { return no("malformed", "it cannot be read") };
    let permission = permission_for(reader, &record, &original_id, &original)?;
    let mut passed_to = Vec::new();
    for onward in said(id, Relation::About, me, Onward::KIND, usize::MAX)? {
        if said(&onward.id(), Relation::Retracts, me, Retraction::KIND, 1)?.is_empty() {
            let refused = refused_by(reader, &onward.id())?;
            let took = onward.header().audience.iter().filter(|to| !refused.contains(&to.to_string()));
            passed_to.extend(took.cloned());
        }
    }
    Ok(Ok(Found { record, attachments, permission, original, passed_to }))
}

/// The agencies that did not take a record of ours: they can be given it again.
fn refused_by(reader: &Reader, id: &RecordId) -> Result<Vec<String>, mufakat_store::Error> {
    let unavailable = |e: mufakat_views::RowsUnavailable| mufakat_store::Error::Unavailable(e.0);
    let Some(leaf) = reader.leaf_of(id).map_err(unavailable)? else { return Ok(Vec::new()) };
    let rows = reader.rows(track::NAME, &leaf.to_be_bytes(), None).map_err(unavailable)?;
    let refused = rows.into_iter().filter(|row| row.body["state"] == "rejected");
    Ok(refused.filter_map(|row| row.body["to"].as_str().map(str::to_owned)).collect())
}

/// The originator's latest permission: as it came from the originator, or else as it came with the record.
fn permission_for(
    reader: &Reader,
    record: &Verified,
    original_id: &RecordId,
    original: &Header,
) -> Result<Option<(Vec<u8>, Permission)>, mufakat_store::Error> {
    let unavailable = |e: mufakat_exchange::Unavailable| mufakat_store::Error::Unavailable(e.0);
    let said = Said { relation: Relation::About, by: &original.author, kind: Permission::KIND, latest: 1 };
    if let Some(latest) = reader.referring(original_id, said).map_err(unavailable)?.pop() {
        let permission = Permission::from_body(latest.header(), latest.body()).ok();
        return Ok(permission.map(|permission| (latest.bytes().to_vec(), permission)));
    }
    if record.header().kind != Onward::KIND {
        return Ok(None);
    }
    let carried = Carried::read(record.header(), record.body()).ok();
    let bytes = Onward::from_body(record.header(), record.body()).ok().and_then(|onward| onward.permission);
    Ok(carried.and_then(|carried| Some((bytes?, carried.permission()?.clone()))))
}
