//! Sharing: from what an officer or a program hands in to signed records on their way. The policy gate stands here.

use std::collections::BTreeSet;
use std::sync::Arc;

use mufakat_exchange::{Directory, Leaf, Refusal, Submission, What};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::report::Report;
use mufakat_record::{
    Act, AgencyId, Code, Digest, Draft, Eyes, Handling, Header, How, KeyId, Reason, RecordId, Reference, Relation,
    SigningKey, ThreadId, Tlp, Verified, sha256,
};
use mufakat_store::Queries;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::desk::four_eyes::Leaving;
use crate::desk::{self, Caller, four_eyes};
use crate::gate::{Action, Decision, Policies, Request};
use crate::node::Node;
use crate::submitted::{self, Sorted};
use crate::writer::{Core, Fault, entropy};
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
    let about: Vec<RecordId> = envelopes.iter().flat_map(|envelope| &envelope.about).copied().collect();
    let unknown = not_found(node, caller, &about).await?;
    for envelope in envelopes {
        let mut attachments = Vec::with_capacity(envelope.attachments.len());
        let mut missing = envelope.about.iter().find(|id| unknown.contains(*id)).map(unknown_record);
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

/// Refuses what is about a record that is not here for the caller.
pub(crate) async fn all_known(
    node: &Arc<Node>,
    caller: &Caller,
    about: &[RecordId],
) -> Result<Result<(), NotShared>, Fault> {
    Ok(not_found(node, caller, about).await?.first().map_or(Ok(()), |id| Err(unknown_record(id))))
}

fn unknown_record(id: &RecordId) -> NotShared {
    NotShared::new("unknown-record", format!("`about` names {id}, and there is no such record here"))
}

/// Those of some records that something is to be about and that are not here for the caller: most likely an id was mistyped, and
/// nobody could follow it. What is not for the caller is not here.
async fn not_found(node: &Arc<Node>, caller: &Caller, about: &[RecordId]) -> Result<BTreeSet<RecordId>, Fault> {
    let mut about: BTreeSet<_> = about.iter().copied().collect();
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
    handling: Handling,
    references: Vec<Reference>,
    key: [u8; 16],
) -> Result<Result<RecordId, NotShared>, Fault> {
    let thread = new_thread();
    let outcomes = submit_signed(node, move |node, directory, signer| {
        let header = header_for(node, directory, B::KIND, vec![node.me.clone()], handling.clone(), thread);
        let record = sign(Header { references: references.clone(), ..header }, &body, signer);
        vec![record.map(|record| Together::of(vec![Submission { record, key: Some(key) }]))]
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
    /// The matter to which who hands them in says that they belong.
    pub(crate) thread: Option<ThreadId>,
}

impl Together {
    /// One record, of which the ledger says nothing but that it was authored.
    pub(crate) fn one(record: Verified) -> Self {
        Self::of(vec![Submission { record, key: None }])
    }

    /// Records of which the ledger says nothing but that they were authored.
    pub(crate) fn of(records: Vec<Submission>) -> Self {
        Self { records, decided: None, thread: None }
    }

    /// What a caller releases, of which the ledger says by whom when it is an officer. The first record stands for all.
    pub(crate) fn by(node: &Node, caller: &Caller, records: Vec<Submission>) -> Self {
        let act = caller.officer.is_some().then(|| caller.act(How::Release, node.gate.hash()));
        let decided = records.first().map(|first| first.record.id()).zip(act);
        Self { decided, ..Self::of(records) }
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
        Self { decided, ..Self::of(records) }
    }
}

pub(crate) type Composed = Result<Together, NotShared>;

/// What is told when the register or the policy changed each time that something was signed.
pub(crate) fn keeps_changing() -> NotShared {
    NotShared::new("register-changed", "the register or the policy keeps changing; try again")
}

/// Signs away from the asynchronous threads and submits, again if the register or the policy changes meanwhile.
pub(crate) async fn submit_signed(
    node: &Arc<Node>,
    compose: impl Fn(&Node, &Directory, &SigningKey) -> Vec<Composed> + Send + Sync + 'static,
) -> Result<Vec<Outcome>, Fault> {
    let compose = Arc::new(compose);
    for _ in 0..TRIES {
        // What the gate decides from here on it decides by these rules, or all is signed again.
        let policies = node.gate.policies();
        let (work_node, work) = (Arc::clone(node), Arc::clone(&compose));
        let signed = tokio::task::spawn_blocking(move || {
            work(&work_node, &work_node.directory(), &work_node.keyring.load().signer())
        });
        let signed = signed.await.map_err(|e| Fault::Store(e.to_string()))?;
        if let Some(outcomes) = submit(node, signed, policies).await? {
            return Ok(outcomes);
        }
    }
    Ok(vec![Err(keeps_changing())])
}

/// Submits what was signed; nothing when the register or the policy has changed and all must be signed again.
async fn submit(
    node: &Arc<Node>,
    signed: Vec<Composed>,
    policies: Arc<Policies>,
) -> Result<Option<Vec<Outcome>>, Fault> {
    let shared = Arc::clone(node);
    let submitted = node.writer.call(move |core| {
        if !shared.gate.is_in_force(&policies) {
            return Ok(None);
        }
        let Sorted { outcomes, submissions, decided } = submitted::sort(core, signed)?;
        let (at_ms, count) = (clock::now_ms(), submissions.len());
        let result = core.exchange.submit(submissions, &policies.hash(), at_ms, &mut core.random, &core.store);
        match result {
            Ok((batch, _)) => {
                core.apply(batch)?;
                note_decisions(core, &decided, at_ms)?;
                shared.metrics.records_submitted.inc_by(count as u64);
                Ok(Some(outcomes))
            }
            Err(Refusal::RegisterChanged) => Ok(None),
            // Each record passed the same checks when it was composed.
            Err(Refusal::Unfit(reason)) => {
                let failed = |outcome: Outcome| Err(outcome.err().unwrap_or_else(|| reason.into()));
                Ok(Some(outcomes.into_iter().map(failed).collect()))
            }
            Err(Refusal::Unavailable(e)) => Err(e.into()),
        }
    });
    submitted.await
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

/// The agencies to which names lead; others than this one, or it is refused.
pub(crate) fn others(node: &Node, directory: &Directory, to: &[AgencyId]) -> Result<Vec<AgencyId>, NotShared> {
    let named = directory.chain().resolve(to);
    let mut audience = named.map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
    audience.retain(|to| *to != node.me);
    if audience.is_empty() {
        return Err(NotShared::new(Reason::EmptyAudience.name(), "nobody but this agency itself is named"));
    }
    Ok(audience)
}

/// To whom an envelope goes, and under which handling, both checked.
pub(crate) fn addressed(
    node: &Node,
    directory: &Directory,
    envelope: &Envelope,
) -> Result<(Vec<AgencyId>, Handling), NotShared> {
    let (audience, handling) = (others(node, directory, &envelope.to)?, handling_of(envelope));
    check_handling(&handling, &audience, &node.me)?;
    Ok((audience, handling))
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
    let (audience, handling) = addressed(node, directory, envelope)?;
    let leaving = Leaving::of(envelope, &handling);
    let register = directory.chain().current();
    let decision = node.gate.decide(&leaving.request(node, caller, register, &audience, second));
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
    let together = Together::released(submissions, four_eyes::released(node, caller, directory, leaving, second));
    Ok(Together { thread: envelope.thread, ..together })
}

fn handling_of(envelope: &Envelope) -> Handling {
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
