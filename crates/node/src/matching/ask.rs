//! Asking: from what an officer hands in to questions to partners.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use mufakat_exchange::{Directory, Submission};
use mufakat_matching::question::{self, Secret};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_ask::{Item, MatchAsk, MatchEnd, MatchSent, QUESTIONS_MAX, Sent};
use mufakat_record::kinds::match_question::{COUNT_MAX, MatchQuestion};
use mufakat_record::kinds::match_result::Confidence;
use mufakat_record::matching::Subject;
use mufakat_record::{
    AgencyId, Digest, Handling, Header, OfficerId, RecordId, Reference, Relation, SigningKey, ThreadId, Tlp, sha256,
};
use mufakat_store::Queries;
use mufakat_views::matching::{Ask, Key, current};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{blocking, budget, find_row, random, subject};
use crate::clock;
use crate::desk::requests::by;
use crate::desk::{Caller, together};
use crate::gate::{Action, Request};
use crate::node::Node;
use crate::share::{self, NotShared, Together};
use crate::writer::Fault;

/// The longest time for which an ask may be watched, in seconds.
pub(crate) const WATCH_S_MAX: u64 = 366 * 86_400;
/// The label of a question: it holds nothing that can be read, but tells that somebody asks.
const TLP: Tlp = Tlp::Amber;

/// What an officer asks.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MatchEnvelope)]
pub(crate) struct Envelope {
    /// Agencies, parties or forums.
    pub(crate) to: Vec<AgencyId>,
    /// What is asked about.
    pub(crate) items: Vec<Item>,
    /// For which purpose. Partners see it.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) purpose: String,
    /// The case. Partners see a salted hash of it.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) case: String,
    /// The legal basis. Partners see it.
    #[schema(min_length = 1, max_length = 400)]
    pub(crate) basis: String,
    /// Until when it is watched whether one of them comes to be listed, in seconds since 1970; nothing to ask once.
    #[serde(default)]
    pub(crate) watch_until: Option<u64>,
}

/// What was asked.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MatchAsked)]
pub(crate) struct Asked {
    /// The ask.
    pub(crate) id: RecordId,
    /// How many questions went out.
    pub(crate) questions: usize,
    /// Whom nothing was asked of what, and why.
    pub(crate) unasked: Vec<Unasked>,
    /// The subjects of which a partner's list can be found out by asking for all there are.
    pub(crate) enumerable: Vec<Subject>,
}

/// Somebody who was not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MatchUnasked)]
pub(crate) struct Unasked {
    /// The partner.
    pub(crate) partner: AgencyId,
    /// What it was not asked about.
    pub(crate) subject: Subject,
    /// `no-list`: it has told this agency of no list of these.
    pub(crate) reason: &'static str,
}

/// The inputs of one subject, in the order in which the items give them, with the items of each and how sure a hit on these is.
pub(super) struct Inputs {
    pub(super) bytes: Vec<Vec<u8>>,
    pub(super) of: Vec<Vec<(u32, Confidence)>>,
}

/// The inputs of an ask by subject. One that several items have in common is asked once, for all of them.
pub(super) fn inputs(items: &[Item]) -> Result<BTreeMap<Subject, Inputs>, NotShared> {
    let mut subjects: BTreeMap<Subject, Inputs> = BTreeMap::new();
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    for (number, item) in (0_u32..).zip(items) {
        let asked = subject::asked(item)
            .map_err(|no| NotShared::new(no.reason, format!("`items[{number}]`, {}: {}", item.subject, no.detail)))?;
        for (input, confidence) in asked {
            let inputs = subjects.entry(item.subject);
            let inputs = inputs.or_insert_with(|| Inputs { bytes: Vec::new(), of: Vec::new() });
            // An input begins with its subject, so its place is among those of one subject.
            let place = *seen.entry(input).or_insert_with_key(|input| {
                inputs.bytes.push(input.clone());
                inputs.of.push(Vec::new());
                inputs.bytes.len() - 1
            });
            inputs.of[place].push((number, confidence));
        }
    }
    Ok(subjects)
}

/// The part of a subject's inputs that one question asks for.
pub(super) fn part(inputs: &[Vec<u8>], part: u32) -> &[Vec<u8>] {
    inputs.chunks(COUNT_MAX).nth(part as usize).unwrap_or_default()
}

/// Where the first input of a part stands among all of its subject.
pub(super) fn first_of(part: u32) -> usize {
    part as usize * COUNT_MAX
}

/// The secret of one question: it follows from the ask's and from the question's own thread, so that whoever has both can recompute
/// it, from one of them nobody learns of another, and no two are the same: an asker that was restored from a backup does not know
/// what it asked since, and asks again.
pub(super) fn secret_of(ask: &[u8; 32], partner: &AgencyId, key: &RecordId, part: u32, thread: &ThreadId) -> Secret {
    Secret::from_bytes(sha256(&own(b"mufakat match question 1", ask, partner, key, part, thread)))
}

/// The salted hash of a case, as one question has it: neither two partners nor one partner sees by it that two questions are of one
/// case.
pub(super) fn case_of(
    ask: &[u8; 32],
    partner: &AgencyId,
    key: &RecordId,
    part: u32,
    thread: &ThreadId,
    case: &str,
) -> Digest {
    Digest::of(&[own(b"mufakat match case 1", ask, partner, key, part, thread).as_slice(), case.as_bytes()].concat())
}

/// What no other question has, and nobody knows who has not the ask.
fn own(what: &[u8], ask: &[u8; 32], partner: &AgencyId, key: &RecordId, part: u32, thread: &ThreadId) -> Vec<u8> {
    let parts: [&[u8]; 7] = [ask, what, &key.0, &part.to_be_bytes(), &thread.0, partner.as_str().as_bytes(), b"\0"];
    parts.concat()
}

/// Asks partners what an officer wants to know.
pub(crate) async fn ask(
    node: &Arc<Node>,
    caller: &Caller,
    envelope: Envelope,
) -> Result<Result<Asked, NotShared>, Fault> {
    let (ask, subjects) = match composed(node, caller, envelope) {
        Ok(composed) => composed,
        Err(no) => return Ok(Err(no)),
    };
    if let Some(no) = refused(node, caller, &ask, &ask.partners) {
        share::note_refusal(node, caller, None, &no).await?;
        return Ok(Err(no));
    }
    let mut targets = Vec::new();
    let mut unasked = Vec::new();
    for partner in &ask.partners {
        for subject in subjects.keys() {
            match usable_key(node, partner, *subject).await? {
                Some(key) => targets.push((partner.clone(), *subject, key)),
                None => unasked.push(Unasked { partner: partner.clone(), subject: *subject, reason: "no-list" }),
            }
        }
    }
    if targets.is_empty() && ask.watch_until.is_none() {
        let detail = "none of these partners has told this agency of a list of what is asked about";
        return Ok(Err(NotShared::new("no-list", detail)));
    }
    let enumerable = subjects.keys().copied().filter(|subject| subject.is_enumerable()).collect();
    let questions = match paid(node, &ask, subjects, targets).await? {
        Ok(questions) => questions,
        Err(no) => return Ok(Err(no)),
    };
    let count = questions.len();
    let sent = send(node, caller, Told::First(ask, by(caller)), questions).await?;
    Ok(sent.map(|id| Asked { id, questions: count, unasked, enumerable }))
}

/// The questions to these partners, which are charged to the budget of whoever asks when they can be made.
pub(super) async fn paid(
    node: &Arc<Node>,
    ask: &MatchAsk,
    subjects: BTreeMap<Subject, Inputs>,
    targets: Vec<(AgencyId, Subject, RecordId)>,
) -> Result<Result<Vec<Ready>, NotShared>, Fault> {
    let subjects = Arc::new(subjects);
    let questions = match make_questions(ask.clone(), Arc::clone(&subjects), targets.clone()).await? {
        Ok(questions) => questions,
        Err(no) => return Ok(Err(no)),
    };
    let counts = targets.iter().map(|(partner, subject, _)| (partner, &subjects[subject]));
    Ok(budget::spend(node, ask.by.as_ref(), &ask.purpose, counts).await?.map(|()| questions))
}

/// Reads what was handed in.
fn composed(
    node: &Node,
    caller: &Caller,
    envelope: Envelope,
) -> Result<(MatchAsk, BTreeMap<Subject, Inputs>), NotShared> {
    let directory = node.directory();
    let resolved = directory.chain().resolve(&envelope.to);
    let mut partners = resolved.map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
    partners.retain(|partner| *partner != node.me);
    let mut secret = [0; 32];
    random(&mut secret);
    let ask = MatchAsk {
        by: caller.officer.clone(),
        purpose: envelope.purpose,
        case: envelope.case,
        basis: envelope.basis,
        partners,
        items: envelope.items,
        secret,
        watch_until: envelope.watch_until,
    };
    if let Some(fault) = ask.fault() {
        return Err(NotShared::new("malformed", fault));
    }
    let now_s = clock::now_s();
    if ask.watch_until.is_some_and(|until| !(now_s..=now_s + WATCH_S_MAX).contains(&until)) {
        return Err(NotShared::new("malformed", "`watch_until` is within a year from now"));
    }
    let subjects = inputs(&ask.items)?;
    Ok((ask, subjects))
}

/// Why a caller may not ask this of these partners: for another purpose, or by the gate.
pub(super) fn refused(node: &Node, caller: &Caller, ask: &MatchAsk, partners: &[AgencyId]) -> Option<NotShared> {
    if !caller.purposes.is_empty() && !caller.purposes.contains(&ask.purpose) {
        let detail = format!("this officer does not act for the purpose {}", ask.purpose);
        return Some(NotShared::new("other-purpose", detail));
    }
    let directory = node.directory();
    let handling = handling(&ask.purpose);
    let decision = node.gate.decide(&Request {
        caller,
        action: Action::Release { named: partners },
        kind: MatchQuestion::KIND,
        handling: &handling,
        audience: partners,
        author: &node.me,
        expires: None,
        permitted_to: &[],
        notice: false,
        second: false,
        me: &node.me,
        register: directory.chain().current(),
        now_s: clock::now_s(),
    });
    (!decision.allow).then(|| NotShared::new(decision.rule, decision.why))
}

fn handling(purpose: &str) -> Handling {
    Handling { purposes: Some(vec![purpose.to_owned()]), ..Handling::with(TLP) }
}

/// The key under which a partner answers about a subject now: the latest one that has a filter.
pub(super) async fn usable_key(
    node: &Arc<Node>,
    partner: &AgencyId,
    subject: Subject,
) -> Result<Option<RecordId>, Fault> {
    let (partner, name, now_s) = (partner.clone(), subject.to_string(), clock::now_s());
    let found = node.read(move |reader| {
        let latest = current("got", &partner, subject);
        let usable = |key: &Key| !key.filters.is_empty() && (key.from..key.until).contains(&now_s);
        let find = |facets: &[(&str, &str)]| find_row(reader, facets, |row| Key::of(row).filter(&usable));
        if let Some((row, _)) = find(&[("current", &latest)])? {
            return Ok(Some(row.record));
        }
        // Between a new key and its filter the earlier one still serves.
        let facets = [("partner", partner.as_str()), ("subject", name.as_str()), ("side", "got")];
        let mut newest = None;
        super::each_row(reader, &facets, |row| newest = Key::of(&row).filter(&usable).map(|_| row.record).or(newest))?;
        Ok(newest)
    });
    found.await
}

/// A question that is ready to be signed.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    partner: AgencyId,
    subject: Subject,
    key: RecordId,
    part: u32,
    thread: ThreadId,
    made: question::Question,
    case: Digest,
}

/// Blinds what is asked, for each partner and subject, away from the asynchronous threads and on all cores.
pub(super) async fn make_questions(
    ask: MatchAsk,
    subjects: Arc<BTreeMap<Subject, Inputs>>,
    targets: Vec<(AgencyId, Subject, RecordId)>,
) -> Result<Result<Vec<Ready>, NotShared>, Fault> {
    let parts = targets.into_iter().flat_map(|(partner, subject, key)| {
        let count = subjects[&subject].bytes.len().div_ceil(COUNT_MAX);
        (0..count as u32).map(move |part| (partner.clone(), subject, key, part))
    });
    let parts: Vec<_> = parts.collect();
    if parts.len() > QUESTIONS_MAX {
        let detail =
            format!("this makes {} questions, of {QUESTIONS_MAX} that go out together; ask for less", parts.len());
        return Ok(Err(NotShared::new("too-many-questions", detail)));
    }
    let made = blocking(move || {
        let blind = |(partner, subject, key, number): &(AgencyId, Subject, RecordId, u32)| {
            let thread = share::new_thread();
            let secret = secret_of(&ask.secret, partner, key, *number, &thread);
            let made = question::ask(&secret, part(&subjects[subject].bytes, *number))?;
            let case = case_of(&ask.secret, partner, key, *number, &thread, &ask.case);
            let (partner, subject, key, part) = (partner.clone(), *subject, *key, *number);
            Ok::<_, question::Fault>(Ready { partner, subject, key, part, thread, made, case })
        };
        super::on_all_cores(&parts, blind)
    });
    let made: Result<Vec<_>, _> = made.await?.into_iter().collect();
    Ok(made.map_err(|fault| NotShared::new(fault.reason(), fault.to_string())))
}

/// For what questions go out.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// For a new ask, by whom partners see it asked.
    First(MatchAsk, mufakat_record::kinds::request::By),
    /// For one that is watched, once more.
    Again(RecordId, MatchAsk, mufakat_record::kinds::request::By),
}

/// Signs and submits an ask and its questions, all or none. Gives the ask's id.
pub(super) async fn send(
    node: &Arc<Node>,
    caller: &Caller,
    told: Told,
    questions: Vec<Ready>,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let caller = caller.clone();
    let again = match &told {
        Told::Again(id, ..) => Some(*id),
        Told::First(..) => None,
    };
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        let mut records = Vec::with_capacity(questions.len() + 2);
        let home = |kind: &str| {
            share::header_for(
                node,
                directory,
                kind,
                vec![node.me.clone()],
                Handling::with(Tlp::Red),
                share::new_thread(),
            )
        };
        let (id, ask, by) = match &told {
            Told::First(ask, by) => {
                let record = share::sign(home(MatchAsk::KIND), ask, signer)?;
                let id = record.id();
                records.push(Submission { record, key: None });
                (id, ask, by)
            }
            Told::Again(id, ask, by) => (*id, ask, by),
        };
        // Blinding takes seconds, and the policy may have become another meanwhile.
        let asked: BTreeSet<_> = questions.iter().map(|ready| ready.partner.clone()).collect();
        if let Some(no) = refused(node, &caller, ask, &asked.into_iter().collect::<Vec<_>>()) {
            return Err(no);
        }
        let mut sent = Vec::with_capacity(questions.len());
        for ready in &questions {
            let body = MatchQuestion {
                by: by.clone(),
                case: ready.case,
                basis: ask.basis.clone(),
                count: ready.made.count,
                commitment: Digest(ready.made.commitment),
                elements: ready.made.elements.concat(),
            };
            let audience = vec![ready.partner.clone()];
            let handling = handling(&ask.purpose);
            let header = share::header_for(node, directory, MatchQuestion::KIND, audience, handling, ready.thread);
            let references = vec![Reference { relation: Relation::About, record: ready.key }];
            let record = share::sign(Header { references, ..header }, &body, signer)?;
            let Ready { partner, subject, key, part, made, .. } = ready.clone();
            sent.push(Sent { question: record.id(), partner, subject, key, part, count: made.count });
            records.push(Submission { record, key: None });
        }
        if !sent.is_empty() {
            let references = vec![Reference { relation: Relation::About, record: id }];
            let header = Header { references, ..home(MatchSent::KIND) };
            let record = share::sign(header, &MatchSent { questions: sent }, signer)?;
            records.push(Submission { record, key: None });
        }
        Ok(Together::by(node, &caller, records))
    };
    let ids = together::submit(node, compose, |_| Ok(Ok(()))).await?;
    Ok(ids
        .map(|ids| again.or_else(|| ids.first().copied()))
        .and_then(|id| id.ok_or_else(|| NotShared::new("malformed", "there is nothing to ask"))))
}

/// An ask of this agency that was not deleted.
pub(crate) async fn read_ask(node: &Arc<Node>, id: RecordId) -> Result<Option<MatchAsk>, Fault> {
    let bytes = node.read(move |reader| reader.record_bytes(&id)).await?;
    let record = bytes.and_then(|bytes| mufakat_record::Verified::from_own_store(bytes).ok());
    let own = record.filter(|record| record.header().author == node.me);
    Ok(own.and_then(|record| MatchAsk::from_body(record.header(), record.body()).ok()))
}

/// What the view tells of an ask.
pub(crate) async fn row_of(node: &Arc<Node>, id: RecordId) -> Result<Option<Ask>, Fault> {
    let found = node.read(move |reader| find_row(reader, &[("row", Ask::ROW), ("ask", &id.to_string())], Ask::of));
    Ok(found.await?.map(|(_, row)| row))
}

/// Ends the watching of an ask. Its tags are erased when watches are looked after next.
pub(crate) async fn end(
    node: &Arc<Node>,
    by: Option<OfficerId>,
    id: RecordId,
) -> Result<Result<RecordId, NotShared>, Fault> {
    let open = node.read(move |reader| {
        find_row(reader, &[("ask", &id.to_string()), ("watch", "open")], Ask::of).map(|found| found.is_some())
    });
    if !open.await? {
        return Ok(Err(NotShared::new("not-watched", "it is not watched, or not any more")));
    }
    let references = vec![Reference { relation: Relation::About, record: id }];
    share::keep(node, MatchEnd { by }, references).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_items_have_in_common_is_asked_once_for_both() {
        let item = |birth_year| Item {
            subject: Subject::Name,
            value: "EXERCISE Tran Van Ba".into(),
            birth_year: Some(birth_year),
        };
        let subjects = inputs(&[item(1980), item(1981), item(1980)]).unwrap();
        let Inputs { bytes, of } = &subjects[&Subject::Name];
        let alone = inputs(&[item(1980)]).unwrap()[&Subject::Name].bytes.len();
        assert!(bytes.len() > alone && bytes.len() < 2 * alone, "{} of {alone}", bytes.len());
        assert_eq!(bytes.len(), of.len());
        for number in 0..3 {
            let own = of.iter().filter(|items| items.iter().any(|(item, _)| *item == number)).count();
            assert_eq!(own, alone, "item {number}");
        }
    }

    #[test]
    fn nothing_hidden_is_the_same_in_two_questions() {
        let (one, two): (AgencyId, AgencyId) = ("ru-police".parse().unwrap(), "th-police".parse().unwrap());
        let (key, other) = (RecordId([1; 32]), RecordId([2; 32]));
        let (thread, later) = (ThreadId([3; 16]), ThreadId([4; 16]));
        let of = [
            (&one, &key, 0, &thread),
            (&two, &key, 0, &thread),
            (&one, &other, 0, &thread),
            (&one, &key, 1, &thread),
            (&one, &key, 0, &later),
        ];
        let secrets = of.map(|(partner, key, part, thread)| secret_of(&[7; 32], partner, key, part, thread));
        let cases = of.map(|(partner, key, part, thread)| case_of(&[7; 32], partner, key, part, thread, "x"));
        for first in 0..of.len() {
            for second in first + 1..of.len() {
                assert!(secrets[first] != secrets[second] && cases[first] != cases[second], "{first} {second}");
            }
        }
    }
}
