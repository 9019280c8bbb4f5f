//! Sharing: from what an officer or a program hands in to signed records on their way. The policy gate stands here.

use std::collections::BTreeSet;
use std::sync::Arc;

use mufakat_exchange::{Directory, Leaf, Refusal, Submission, What};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::report::Report;
use mufakat_record::kinds::request_step::RequestStep;
use mufakat_record::{
    Act, AgencyId, Code, Digest, Draft, Eyes, Handling, Header, How, KeyId, Reason, RecordId, Reference, Relation,
    SigningKey, ThreadId, Tlp, Verified, sha256,
};
use mufakat_store::Queries;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::desk::four_eyes::Leaving;
use crate::desk::{self, Caller, four_eyes};
use crate::gate::{Action, Decision, Request};
use crate::node::Node;
use crate::writer::{Core, Fault, entropy, refusal};
use crate::{chunks, clock};

/// How often a share is signed again when the register changes under it.
const TRIES: usize = 3;
/// The longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 200;

/// What is handed in to be shared.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    /// Agencies, parties or forums.
    pub(crate) to: Vec<AgencyId>,
    /// The TLP label.
    pub(crate) tlp: Tlp,
    /// Handling codes.
    #[serde(default)]
    pub(crate) codes: Vec<Code>,
    /// Purposes for which it may be used.
    #[serde(default)]
    pub(crate) purposes: Vec<String>,
    /// Originator control.
    #[serde(default)]
    pub(crate) orcon: bool,
    /// A caveat in words.
    #[serde(default)]
    pub(crate) caveat: Option<String>,
    /// The officers for whose eyes it is.
    #[serde(default)]
    pub(crate) eyes: Vec<Eyes>,
    /// By when recipients are to look again whether they still need it, in seconds since 1970.
    #[serde(default)]
    pub(crate) review: Option<u64>,
    /// When it expires, in seconds since 1970.
    #[serde(default)]
    pub(crate) expires: Option<u64>,
    /// One record for each recipient, so that none learns of the others.
    #[serde(default)]
    pub(crate) hidden_audience: bool,
    /// Uploads that go with it.
    #[serde(default)]
    pub(crate) attachments: Vec<String>,
    /// The matter that it belongs to; a new one when absent.
    #[serde(default)]
    pub(crate) thread: Option<ThreadId>,
    /// Records that it is about.
    #[serde(default)]
    pub(crate) about: Vec<RecordId>,
    /// What the submitter calls it: the same key is carried out once.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// The report.
    pub(crate) body: Report,
}

impl Envelope {
    /// Keeps the keys of officers apart: what one calls something says nothing of what another calls so.
    pub(crate) fn own_key(&mut self, caller: &Caller) {
        if let (Some(officer), Some(key)) = (&caller.officer, &self.key)
            && key.len() <= KEY_BYTES_MAX
        {
            self.key = Some(Digest::of(format!("{officer}\n{key}").as_bytes()).to_string());
        }
    }
}

/// A record that is on its way.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Shared {
    /// Its id.
    pub(crate) id: RecordId,
    /// The agencies that may read it.
    pub(crate) audience: Vec<AgencyId>,
}

/// Why something was not shared. Nothing of it has left.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NotShared {
    /// The name of the reason.
    pub(crate) reason: &'static str,
    /// What to do about it, in words.
    pub(crate) detail: String,
}

impl NotShared {
    /// With the name of the reason, and what to do about it.
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// What the gate refused. Whether a record that is not for the caller exists is not for the caller either.
    pub(crate) fn of(decision: Decision) -> Self {
        if decision.hidden {
            Self::new(Reason::NotFound.name(), "there is no such thing here")
        } else {
            Self::new(decision.rule, decision.why)
        }
    }
}

impl From<Reason> for NotShared {
    fn from(reason: Reason) -> Self {
        Self::new(reason.name(), "the record does not pass the checks that its recipients would make")
    }
}

/// What one envelope became.
pub(crate) type Outcome = Result<Vec<Shared>, NotShared>;

/// Shares several reports together. Each succeeds or fails by itself; what succeeds is durable when this returns.
pub(crate) async fn share(node: &Arc<Node>, caller: &Caller, envelopes: Vec<Envelope>) -> Result<Vec<Outcome>, Fault> {
    let mut drafts = Vec::with_capacity(envelopes.len());
    let unknown = not_found(node, caller, &envelopes).await?;
    for envelope in envelopes {
        let mut attachments = Vec::with_capacity(envelope.attachments.len());
        let mut missing = envelope.about.iter().find(|id| unknown.contains(*id)).map(|id| {
            NotShared::new("unknown-record", format!("`about` names {id}, and there is no such record here"))
        });
        for upload in &envelope.attachments {
            match chunks::uploaded(node, upload) {
                Some(attachment) => attachments.push(attachment),
                None => missing = Some(NotShared::new("unknown-upload", format!("there is no upload called {upload}"))),
            }
        }
        drafts.push(missing.map_or(Ok((envelope, attachments)), Err));
    }
    let who = caller.clone();
    let outcomes = submit_signed(node, move |node, directory, signer| {
        drafts
            .iter()
            .map(|draft| match draft {
                Ok((envelope, attachments)) => compose(node, &who, directory, signer, envelope, attachments, false),
                Err(error) => Err(error.clone()),
            })
            .collect()
    })
    .await?;
    for no in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        note_refusal(node, caller, None, no).await?;
    }
    Ok(outcomes)
}

/// Notes what the gate refused to release.
pub(crate) async fn note_refusal(
    node: &Arc<Node>,
    caller: &Caller,
    about: Option<RecordId>,
    no: &NotShared,
) -> Result<(), Fault> {
    if node.gate.policies().refuses_by(no.reason) {
        desk::note_refusal(node, caller, How::Release, about, no.reason).await?;
    }
    Ok(())
}

/// The records that envelopes are about and that are not here for the caller: most likely an id was mistyped, and nobody could
/// follow it. What is not for the caller is not here.
pub(crate) async fn not_found(
    node: &Arc<Node>,
    caller: &Caller,
    envelopes: &[Envelope],
) -> Result<BTreeSet<RecordId>, Fault> {
    let mut about: BTreeSet<_> = envelopes.iter().flat_map(|envelope| &envelope.about).copied().collect();
    if about.is_empty() {
        return Ok(about);
    }
    let (looking, caller) = (Arc::clone(node), caller.clone());
    let looked_up = node.read(move |reader| {
        let (directory, now_s) = (looking.directory(), clock::now_s());
        for id in about.clone() {
            let record = reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok());
            let found = record.is_some_and(|record| {
                let register = directory.chain().current();
                let read = Request::about(&caller, record.header(), Action::Read, &looking.me, register, now_s);
                !looking.gate.decide(&read).hidden
            });
            if found {
                about.remove(&id);
            }
        }
        Ok(about)
    });
    looked_up.await
}

/// Shares a record that the node itself has to say: key sets, register proposals and approvals, alarms.
pub(crate) async fn say<B: Body + Clone + Send + Sync + 'static>(
    node: &Arc<Node>,
    body: B,
    by_identity: bool,
) -> Result<Result<RecordId, NotShared>, Fault> {
    submit_one(node, move |node, directory, signer| {
        let identity = by_identity.then(|| node.keyring.load().identity());
        let signer = identity.as_deref().unwrap_or(signer);
        let header =
            header_for(node, directory, B::KIND, everyone(node, directory), Handling::community(), new_thread());
        sign(header, &body, signer)
    })
    .await
}

/// Puts something on record for this agency alone: a grant, a draft, a hold. Such a record is never queued to anybody.
pub(crate) async fn keep<B: Body + Clone + Send + Sync + 'static>(
    node: &Arc<Node>,
    body: B,
    references: Vec<Reference>,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let thread = new_thread();
    submit_one(node, move |node, directory, signer| {
        // Nobody else ever sees it, so its label is the narrowest.
        let handling = Handling::with(Tlp::Red);
        let header = header_for(node, directory, B::KIND, vec![node.me.clone()], handling, thread);
        sign(Header { references: references.clone(), ..header }, &body, signer)
    })
    .await
}

/// The same with other handling and under a key: what was put on record under it before is not put there again.
pub(crate) async fn keep_once<B: Body + Clone + Send + Sync + 'static>(
    node: &Arc<Node>,
    body: B,
    references: Vec<Reference>,
    key: [u8; 16],
) -> Result<Result<RecordId, NotShared>, Fault> {
    let thread = new_thread();
    let outcomes = submit_signed(node, move |node, directory, signer| {
        let header = header_for(node, directory, B::KIND, vec![node.me.clone()], handling.clone(), thread);
        let record = sign(Header { references: references.clone(), ..header }, &body, signer);
        vec![record.map(|record| Together { records: vec![Submission { record, key: Some(key) }], decided: None })]
    handling: Handling,
    });
    let outcome = outcomes.await?.into_iter().next().unwrap_or_else(|| Err(Reason::Malformed.into()));
    Ok(outcome.and_then(|shared| shared.first().map(|s| s.id).ok_or_else(|| Reason::Malformed.into())))
}

/// Signs and submits one record.
async fn submit_one(
    node: &Arc<Node>,
    compose: impl Fn(&Node, &Directory, &SigningKey) -> Result<Verified, NotShared> + Send + Sync + 'static,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let outcomes =
        submit_signed(node, move |node, directory, signer| vec![compose(node, directory, signer).map(Together::one)]);
    let outcome = outcomes.await?.into_iter().next().unwrap_or_else(|| Err(Reason::Malformed.into()));
    Ok(outcome.and_then(|shared| shared.first().map(|s| s.id).ok_or_else(|| Reason::Malformed.into())))
}

/// All other members; a community of one speaks to itself.
fn everyone(node: &Node, directory: &Directory) -> Vec<AgencyId> {
    let all: Vec<_> = directory.partners(&node.me).cloned().collect();
    if all.is_empty() { vec![node.me.clone()] } else { all }
}

/// Records that stand or fall together.
pub(crate) struct Together {
    /// The records, in the order in which they get their leaves.
    pub(crate) records: Vec<Submission>,
    /// What the ledger says of who released them, and of which record. It stands behind them, in the same transaction.
    pub(crate) decided: Option<(RecordId, Act)>,
}

impl Together {
    /// One record, of which the ledger says nothing but that it was authored.
    pub(crate) fn one(record: Verified) -> Self {
        Self { records: vec![Submission { record, key: None }], decided: None }
    }

    /// What a caller releases, of which the ledger says by whom when it is an officer. The first record stands for all.
    pub(crate) fn by(node: &Node, caller: &Caller, records: Vec<Submission>) -> Self {
        let act = caller.officer.is_some().then(|| caller.act(How::Release, node.gate.hash()));
        let decided = records.first().map(|first| first.record.id()).zip(act);
        Self { records, decided }
    }

    /// What is released, with what the ledger says of it. The first record stands for all, and with it are named those of its
    /// kind, of which there are several if the audience is hidden.
    pub(crate) fn released(records: Vec<Submission>, act: Option<Act>) -> Self {
        let mut like_first = records.iter().map(|submission| &submission.record);
        let first = like_first.next();
        let others: Vec<_> = like_first
            .filter(|record| first.is_some_and(|first| first.header().kind == record.header().kind))
            .map(Verified::id)
            .collect();
        let decided = first.map(Verified::id).zip(act).map(|(first, mut act)| {
            act.records = (!others.is_empty()).then_some(others);
            (first, act)
        });
        Self { records, decided }
    }
}

pub(crate) type Composed = Result<Together, NotShared>;

/// Signs away from the asynchronous threads and submits, again if the register changes meanwhile.
pub(crate) async fn submit_signed(
    node: &Arc<Node>,
    compose: impl Fn(&Node, &Directory, &SigningKey) -> Vec<Composed> + Send + Sync + 'static,
) -> Result<Vec<Outcome>, Fault> {
    let compose = Arc::new(compose);
    for _ in 0..TRIES {
        let (work_node, work) = (Arc::clone(node), Arc::clone(&compose));
        let signed = tokio::task::spawn_blocking(move || {
            work(&work_node, &work_node.directory(), &work_node.keyring.load().signer())
        });
        let signed = signed.await.map_err(|e| Fault::Store(e.to_string()))?;
        if let Some(outcomes) = submit(node, signed).await? {
            return Ok(outcomes);
        }
    }
    let again = NotShared::new("register-changed", "the register keeps changing; try again");
    Ok(vec![Err(again)])
}

/// Submits what was signed; nothing when the register has changed and all must be signed again.
async fn submit(node: &Arc<Node>, signed: Vec<Composed>) -> Result<Option<Vec<Outcome>>, Fault> {
    let (mut submissions, mut decided) = (Vec::with_capacity(signed.len()), Vec::new());
    let mut pending: Vec<Result<Vec<Vec<AgencyId>>, NotShared>> = Vec::with_capacity(signed.len());
    for composed in signed {
        pending.push(composed.map(|together| {
            let audiences = together.records.iter().map(|s| s.record.header().audience.clone()).collect();
            submissions.extend(together.records);
            decided.extend(together.decided);
            audiences
        }));
    }
    let count = submissions.len();
    let keyed: Vec<_> = submissions.iter().map(|s| s.key.is_some().then(|| s.record.clone())).collect();
    let policy = node.gate.hash();
    let submitted = node.writer.call(move |core| {
        let at_ms = clock::now_ms();
        let result = core.exchange.submit(submissions, &policy, at_ms, &mut core.random, &core.store);
        match refusal(result)? {
            Ok((batch, ids)) => {
                core.apply(batch)?;
                // What was submitted before under the same key is not released once more.
                decided.retain(|(record, _)| ids.contains(record));
                note_decisions(core, &decided, at_ms)?;
                Ok(Ok(ids))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    });
    let ids = match submitted.await? {
        Ok(ids) => ids,
        Err(Refusal::RegisterChanged) => return Ok(None),
        Err(Refusal::Unfit(reason)) => {
            // Each record passed the same checks when it was composed.
            let failed = |p: Result<_, NotShared>| Err(p.err().unwrap_or_else(|| reason.into()));
            return Ok(Some(pending.into_iter().map(failed).collect()));
        }
        Err(Refusal::Unavailable(e)) => return Err(e.into()),
    };
    node.metrics.records_submitted.inc_by(count as u64);
    let taken = taken_keys(node, keyed, &ids).await?;
    let mut ids = ids.into_iter().enumerate();
    let mut outcome = |audiences: Vec<Vec<AgencyId>>| -> Outcome {
        let mut shared = Vec::with_capacity(audiences.len());
        let mut other = None;
        for (audience, (place, id)) in audiences.into_iter().zip(ids.by_ref()) {
            other = other.or_else(|| taken.contains(&place).then_some(id));
            shared.push(Shared { id, audience });
        }
        let Some(other) = other else { return Ok(shared) };
        let detail = format!("the key names another record, {other}, which was shared before; this one was not");
        Err(NotShared::new("key-taken", detail))
    };
    Ok(Some(pending.into_iter().map(|p| p.and_then(&mut outcome)).collect()))
}

/// Notes who released what, in the transaction in which it is released.
pub(crate) fn note_decisions(core: &mut Core, decided: &[(RecordId, Act)], at_ms: u64) -> Result<(), Fault> {
    for (record, act) in decided {
        let mut salt = [0; 16];
        core.random.fill_bytes(&mut salt);
        let batch = core.exchange.note(Leaf::about(What::Decision, record, at_ms, &act.to_detail(), salt));
        core.apply(batch)?;
    }
    Ok(())
}

/// The places of records whose key came before with something else. Whoever hands the same in again gets its id again; what is new
/// under an old key must not be taken for shared.
async fn taken_keys(
    node: &Arc<Node>,
    keyed: Vec<Option<Verified>>,
    ids: &[RecordId],
) -> Result<BTreeSet<usize>, Fault> {
    let again = keyed.into_iter().zip(ids).enumerate().filter_map(|(place, (record, id))| Some((place, record?, *id)));
    let again: Vec<_> =
        again.filter(|(_, record, id)| record.id() != *id && record.header().kind != Attachment::KIND).collect();
    if again.is_empty() {
        return Ok(BTreeSet::new());
    }
    let differing = node.read(move |reader| {
        let mut taken = BTreeSet::new();
        for (place, record, id) in again {
            let earlier = reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok());
            if earlier.is_some_and(|earlier| !says_the_same(&earlier, &record)) {
                taken.insert(place);
            }
        }
        Ok(taken)
    });
    differing.await
}

/// Whether two records under one key are the same to who hands them in. A step has the time of each signing in it, and by when to
/// look again is often said as a length of time.
fn says_the_same(one: &Verified, other: &Verified) -> bool {
    let handling = |record: &Verified| Handling { review: None, ..record.header().handling.clone() };
    let step = |record: &Verified| RequestStep::from_body(record.header(), record.body()).ok().map(|said| said.step);
    one.header().kind == other.header().kind
        && handling(one) == handling(other)
        && (one.body() == other.body() || step(one).is_some_and(|said| step(other) == Some(said)))
}

/// Makes the records of one envelope: attachments, the report, and one set for each recipient if the audience is hidden.
/// `second` says whether a second officer approved it.
pub(crate) fn compose(
    node: &Node,
    caller: &Caller,
    directory: &Directory,
    signer: &SigningKey,
    envelope: &Envelope,
    attachments: &[Attachment],
    second: bool,
) -> Composed {
    let chain = directory.chain();
    let mut audience = chain.resolve(&envelope.to).map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
    audience.retain(|to| *to != node.me);
    if audience.is_empty() {
        return Err(NotShared::new(Reason::EmptyAudience.name(), "nobody but this agency itself is named"));
    }
    let handling = handling_of(envelope);
    check_handling(&handling, &audience, &node.me)?;
    let leaving = Leaving::of(envelope, &handling);
    let decision = node.gate.decide(&leaving.request(node, caller, chain.current(), &audience, second));
    if !decision.allow {
        return Err(NotShared::new(decision.rule, decision.why));
    }
    let key = submission_key(envelope.key.as_deref())?;
    let thread = envelope.thread.unwrap_or_else(new_thread);
    let audiences =
        if envelope.hidden_audience { audience.into_iter().map(|one| vec![one]).collect() } else { vec![audience] };
    let mut submissions = Vec::new();
    for (number, audience) in audiences.into_iter().enumerate() {
        let mut handling = handling.clone();
        if envelope.hidden_audience {
            handling = for_one(handling, &audience, &node.me);
        }
        let base = Header {
            expires: envelope.expires,
            ..header_for(node, directory, Report::KIND, audience, handling, thread)
        };
        let mut references: Vec<_> =
            envelope.about.iter().map(|id| Reference { relation: Relation::About, record: *id }).collect();
        for (which, attachment) in attachments.iter().enumerate() {
            let header = Header { kind: Attachment::KIND.to_owned(), ..base.clone() };
            let record = sign(header, attachment, signer)?;
            references.push(Reference { relation: Relation::Attaches, record: record.id() });
            submissions.push(Submission { record, key: key.map(|key| sub_key(key, number, which + 1)) });
        }
        references.sort();
        references.dedup();
        let record = sign(Header { references, ..base }, &envelope.body, signer)?;
        submissions.push(Submission { record, key: key.map(|key| sub_key(key, number, 0)) });
    }
    // The report stands first in what is told of the envelope.
    submissions.reverse();
    Ok(Together::released(submissions, four_eyes::released(node, caller, directory, leaving, second)))
}

pub(crate) fn handling_of(envelope: &Envelope) -> Handling {
    Handling {
        tlp: envelope.tlp,
        codes: ascending(&envelope.codes),
        purposes: (!envelope.purposes.is_empty()).then(|| envelope.purposes.clone()),
        orcon: envelope.orcon.then_some(true),
        caveat: envelope.caveat.clone(),
        eyes: ascending(&envelope.eyes),
        review: envelope.review,
    }
}

/// A list as handling has it: ascending, without repetition, and absent when nothing is in it.
pub(crate) fn ascending<T: Ord + Clone>(list: &[T]) -> Option<Vec<T>> {
    let items: BTreeSet<T> = list.iter().cloned().collect();
    (!items.is_empty()).then(|| items.into_iter().collect())
}

/// What must hold of the handling of anything that goes to an audience, beyond what a record's header shows.
pub(crate) fn check_handling(handling: &Handling, audience: &[AgencyId], me: &AgencyId) -> Result<(), NotShared> {
    if let Some(fault) = handling.fault() {
        return Err(NotShared::new(Reason::Malformed.name(), fault));
    }
    // A misspelt agency would leave the record to everybody at the one that was meant.
    let elsewhere = |eyes: &&Eyes| eyes.agency != *me && !audience.contains(&eyes.agency);
    match handling.eyes.iter().flatten().find(elsewhere) {
        None => Ok(()),
        Some(eyes) => {
            let detail = format!("`eyes` names {eyes}, whose agency is not in the audience");
            Err(NotShared::new("eyes-not-in-audience", detail))
        }
    }
}

/// The handling as one recipient of a hidden audience gets it: without the officers of the others, who would give them away.
pub(crate) fn for_one(mut handling: Handling, audience: &[AgencyId], me: &AgencyId) -> Handling {
    let told = |eyes: &Eyes| eyes.agency == *me || audience.contains(&eyes.agency);
    handling.eyes =
        handling.eyes.map(|eyes| eyes.into_iter().filter(told).collect()).filter(|eyes: &Vec<_>| !eyes.is_empty());
    handling
}

/// What a submitter calls something, hashed.
fn submission_key(key: Option<&str>) -> Result<Option<[u8; 32]>, NotShared> {
    match key {
        None => Ok(None),
        Some(key) if key.len() <= KEY_BYTES_MAX => Ok(Some(sha256(key.as_bytes()))),
        Some(_) => Err(NotShared::new("key-too-long", format!("a key has at most {KEY_BYTES_MAX} bytes"))),
    }
}

/// What a caller calls something that an operation does, about another record or about none, hashed: what one calls a step says
/// nothing of what another calls so, or of what the same one calls a report or a step in another request.
pub(crate) fn key_of(
    caller: &Caller,
    operation: &str,
    target: Option<&RecordId>,
    key: Option<&str>,
) -> Result<Option<[u8; 32]>, NotShared> {
    let officer = caller.officer.as_ref().map(ToString::to_string).unwrap_or_default();
    let target = target.map(ToString::to_string).unwrap_or_default();
    let apart = |key: [u8; 32]| sha256(&[format!("{officer}\n{operation}\n{target}\n").as_bytes(), &key].concat());
    Ok(submission_key(key)?.map(apart))
}

/// The key of one record among those that come of one envelope.
pub(crate) fn sub_key(key: [u8; 32], recipient: usize, part: usize) -> [u8; 16] {
    let hash = sha256(&[&key[..], &recipient.to_be_bytes(), &part.to_be_bytes()].concat());
    let mut out = [0; 16];
    out.copy_from_slice(&hash[..16]);
    out
}

pub(crate) fn new_thread() -> ThreadId {
    let mut thread = [0; 16];
    thread.copy_from_slice(&entropy()[..16]);
    ThreadId(thread)
}

/// The header of a record of ours, under the register in force.
pub(crate) fn header_for(
    node: &Node,
    directory: &Directory,
    kind: &str,
    audience: Vec<AgencyId>,
    handling: Handling,
    thread: ThreadId,
) -> Header {
    Header {
        key: KeyId([0; 16]),
        author: node.me.clone(),
        issued_at: clock::now_s(),
        thread,
        kind: kind.to_owned(),
        audience,
        register: directory.chain().hash(),
        handling,
        references: Vec::new(),
        expires: None,
    }
}

/// Signs a record that its author need not mend.
pub(crate) fn sign<B: Body>(header: Header, body: &B, signer: &SigningKey) -> Result<Verified, NotShared> {
    let encoded = body_of(body)?;
    if !body.is_sound(&header) {
        let detail = "a length, range, identifier or reference in it is not allowed";
        return Err(NotShared::new(Reason::BodyNotOfKind.name(), detail));
    }
    Draft { header, body: encoded }.sign(signer).map_err(NotShared::from)
}

/// A body in its encoding, unless its author has to mend it.
pub(crate) fn body_of<B: Body>(body: &B) -> Result<Vec<u8>, NotShared> {
    match body.shortcoming() {
        Some(detail) => Err(NotShared::new(Reason::BodyNotOfKind.name(), detail)),
        None => Ok(body.to_body()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_audience_is_not_given_away_by_eyes() {
        let eyes = |text: &str| text.parse::<Eyes>().unwrap();
        let all = vec![eyes("id-police/d1"), eyes("ru-police/d2"), eyes("vn-police/d3")];
        let handling = Handling { eyes: Some(all), ..Handling::with(Tlp::Amber) };
        let me = "vn-police".parse().unwrap();
        let to = |agency: &str| for_one(handling.clone(), &[agency.parse().unwrap()], &me).eyes;
        assert_eq!(to("ru-police"), Some(vec![eyes("ru-police/d2"), eyes("vn-police/d3")]));
        assert_eq!(to("th-police"), Some(vec![eyes("vn-police/d3")]));
        let others = Handling { eyes: Some(vec![eyes("id-police/d1")]), ..Handling::with(Tlp::Amber) };
        // An empty list would be no handling at all.
        assert_eq!(for_one(others, &["ru-police".parse().unwrap()], &me).eyes, None);
    }
}
