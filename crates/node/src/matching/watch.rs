//! Watches: what was asked is looked up again in each filter that comes, without traffic, and asked again under each new key of a
//! partner, until the watch ends.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use mufakat_record::kinds::match_ask::MatchAsk;
use mufakat_record::{AgencyId, RecordId};
use mufakat_views::matching::{Ask, Key, Question, State};

use super::ask::{self, Told, inputs, paid, read_ask, refused, send, usable_key};
use super::{TRY_AGAIN_S, each_row, find_row, is_recent, look, with_lists};
use crate::desk::Caller;
use crate::desk::requests::by;
use crate::node::Node;
use crate::writer::Fault;
use crate::{alerts, clock};

/// How long a watch waits before it asks a partner once more about a subject, in milliseconds.
const AGAIN_MS: u64 = 86_400_000;

/// Looks after every watch. What one cannot do keeps no other from its turn.
pub(super) async fn keep(node: &Arc<Node>) -> Result<(), Fault> {
    let open = node.read(|reader| {
        let mut open = Vec::new();
        each_row(reader, &[("watch", "open")], |row| open.extend(Ask::of(&row).map(|ask| (row.record, ask))))?;
        Ok(open)
    });
    let open = open.await?;
    let mut watched = HashSet::new();
    for (id, row) in &open {
        match keep_one(node, *id, row, &mut watched).await {
            Ok(()) => {}
            Err(Fault::Stopping) => return Err(Fault::Stopping),
            Err(fault) => tracing::warn!(ask = %id, %fault, "a watch could not be looked after"),
        }
    }
    node.matching.looked.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| watched.contains(id));
    node.matching.not_asked.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, at_s| {
        // Those that are over say nothing any more.
        is_recent(*at_s, TRY_AGAIN_S, clock::now_s())
    });
    forget(node).await
}

/// Looks after one watch, or ends it: at its time, and when whoever asked is no officer any more. What the officer may not ask of a
/// partner now is neither asked nor looked up; the watch goes on with the others, and with that one when it may be asked again.
async fn keep_one(node: &Arc<Node>, id: RecordId, row: &Ask, watched: &mut HashSet<RecordId>) -> Result<(), Fault> {
    let Some(asked) = read_ask(node, id).await? else { return Ok(()) };
    let caller = alerts::owner(node, row.by.clone());
    let (Some(caller), true) = (caller, row.watch_until.is_some_and(|until| clock::now_s() < until)) else {
        tracing::info!(ask = %id, "a watch is over");
        if let Err(no) = ask::end(node, None, id).await? {
            tracing::warn!(ask = %id, reason = no.reason, "a watch that is over could not be ended");
        }
        return Ok(());
    };
    let questions = look::questions_of(node, id).await?;
    watched.extend(questions.iter().map(|question| question.question));
    for partner in &asked.partners {
        if let Some(no) = refused(node, &caller, &asked, std::slice::from_ref(partner)) {
            tracing::debug!(ask = %id, %partner, reason = no.reason, "a watch rests");
            continue;
        }
        let of_partner: Vec<_> = questions.iter().filter(|question| question.partner == *partner).collect();
        for question in &of_partner {
            look_again(node, question, &asked).await?;
        }
        ask_again(node, id, &caller, &asked, partner, &of_partner).await?;
    }
    Ok(())
}

/// Looks a question up again if its holder has told of a filter since.
async fn look_again(node: &Arc<Node>, question: &Question, asked: &MatchAsk) -> Result<(), Fault> {
    if !matches!(question.state, State::Hit | State::Miss | State::Fault) || question.answer.is_none() {
        return Ok(());
    }
    let key = question.key;
    let key = node.read(move |reader| find_row(reader, &[("key", &key.to_string())], Key::of)).await?;
    // When its key is over nothing new comes under it, and what came is not kept for ever.
    let key = key.map(|(_, key)| key).filter(|key| clock::now_s() < key.until);
    let Some(last) = key.and_then(|key| key.filters.last().cloned()) else { return Ok(()) };
    let looked = node.matching.looked.lock().unwrap_or_else(PoisonError::into_inner).get(&question.question).copied();
    // After a restart everything is looked up once more; what comes to nothing new is not put on record again.
    if looked == Some(last.record) {
        return Ok(());
    }
    match look::tags_of(node, question, asked).await? {
        Ok(tags) => look::look(node, question, asked, tags).await,
        Err(_) => {
            look::has_looked(node, question, last.record);
            Ok(())
        }
    }
}

/// Asks a partner again that has a key under which it was not asked: of a new epoch, or because it had no list before. One that makes
/// one key after the other is asked once a day, by this node's clock; what cannot be asked now is tried again after a while.
async fn ask_again(
    node: &Arc<Node>,
    id: RecordId,
    caller: &Caller,
    asked: &MatchAsk,
    partner: &AgencyId,
    questions: &[&Question],
) -> Result<(), Fault> {
    let name = (id, partner.clone());
    let not_asked = node.matching.not_asked.lock().unwrap_or_else(PoisonError::into_inner).get(&name).copied();
    if not_asked.is_some_and(|at_s| is_recent(at_s, TRY_AGAIN_S, clock::now_s())) {
        return Ok(());
    }
    let Ok(subjects) = inputs(&asked.items) else { return Ok(()) };
    let mut targets = Vec::new();
    for subject in subjects.keys() {
        let before: Vec<_> = questions.iter().copied().filter(|one| one.subject == *subject).collect();
        if asked_lately(&before, clock::now_ms()) {
            continue;
        }
        let key = usable_key(node, partner, *subject).await?;
        if let Some(key) = key.filter(|key| before.iter().all(|one| one.key != *key)) {
            targets.push((partner.clone(), *subject, key));
        }
    }
    if targets.is_empty() {
        return Ok(());
    }
    let sent = match paid(node, asked, subjects, targets).await? {
        Ok(questions) => send(node, caller, Told::Again(id, asked.clone(), by(caller)), questions).await?,
        Err(no) => Err(no),
    };
    if let Err(no) = sent {
        tracing::warn!(ask = %id, %partner, reason = no.reason, "a watch could not be asked again");
        node.matching.not_asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name, clock::now_s());
    }
    Ok(())
}

/// Whether a partner was asked about a subject so lately that it is not asked again, whatever keys it makes.
fn asked_lately(before: &[&Question], now_ms: u64) -> bool {
    before.iter().any(|one| is_recent(one.asked_ms, AGAIN_MS, now_ms))
}

/// Erases the tags that nothing needs any more: of asks that are not watched, not watched any more, or deleted.
async fn forget(node: &Arc<Node>) -> Result<(), Fault> {
    let tagged = with_lists(node, |lists| lists.tagged()).await?;
    if tagged.is_empty() {
        return Ok(());
    }
    let unneeded = node.read(move |reader| {
        let mut unneeded = Vec::new();
        for question in tagged {
            let row = find_row(reader, &[("question", &question.to_string())], Question::of)?;
            let needed = match row {
                None => false,
                Some((_, row)) if row.state == State::Answered => true,
                Some((_, row)) => {
                    find_row(reader, &[("ask", &row.ask.to_string()), ("watch", "open")], Ask::of)?.is_some()
                }
            };
            if !needed {
                unneeded.push(question);
            }
        }
        Ok(unneeded)
    });
    let unneeded = unneeded.await?;
    with_lists(node, move |lists| unneeded.iter().try_for_each(|question| lists.drop_tags(question))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_is_asked_again_once_a_day_and_never_less_for_a_clock() {
        let asked = |asked_ms: u64| Question {
            row: Question::ROW.to_owned(),
            ask: RecordId([1; 32]),
            question: RecordId([2; 32]),
            partner: "ru-police".parse().unwrap(),
            subject: "passport".parse().unwrap(),
            key: RecordId([3; 32]),
            part: 0,
            count: 1,
            asked_ms,
            state: State::Miss,
            answer: None,
            answered_ms: None,
            reason: None,
            through: None,
            looked_ms: None,
            list_at_ms: None,
            hits: Vec::new(),
        };
        let (first, second) = (asked(1_000), asked(1_000 + AGAIN_MS));
        for (before, now_ms, expect) in [
            (vec![], 1_000, false),
            (vec![&first], 1_000, true),
            (vec![&first], 999 + AGAIN_MS, true),
            (vec![&first], 1_000 + AGAIN_MS, false),
            (vec![&first, &second], 1_001 + AGAIN_MS, true),
            // Asked in the future: the clock was set back since.
            (vec![&second], 1_000, false),
        ] {
            assert_eq!(asked_lately(&before, now_ms), expect, "{} before, at {now_ms}", before.len());
        }
    }
}
