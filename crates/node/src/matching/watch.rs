//! Watches: what was asked is looked up again in each filter that comes, without traffic, and asked again under each new key of a
//! partner, until the watch ends.

use std::sync::{Arc, PoisonError};

use mufakat_record::RecordId;
use mufakat_record::kinds::match_ask::MatchAsk;
use mufakat_views::matching::{Ask, Key, Question, State};

use super::ask::{self, Told, inputs, paid, read_ask, refused, send, usable_key};
use super::{each_row, find_row, look, with_lists};
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
    for (id, row) in &open {
        match keep_one(node, *id, row).await {
            Ok(()) => {}
            Err(Fault::Stopping) => return Err(Fault::Stopping),
            Err(fault) => tracing::warn!(ask = %id, %fault, "a watch could not be looked after"),
        }
    }
    forget(node).await
}

/// Looks after one watch, or ends it: at its time, and when whoever asked may not ask this any more.
async fn keep_one(node: &Arc<Node>, id: RecordId, row: &Ask) -> Result<(), Fault> {
    let Some(asked) = read_ask(node, id).await? else { return Ok(()) };
    let caller = alerts::owner(node, row.by.clone()).filter(|caller| refused(node, caller, &asked).is_none());
    let (Some(caller), true) = (caller, row.watch_until.is_some_and(|until| clock::now_s() < until)) else {
        if let Err(no) = ask::end(node, None, id).await? {
            tracing::warn!(ask = %id, reason = no.reason, "a watch that is over could not be ended");
        }
        return Ok(());
    };
    let questions = look::questions_of(node, id).await?;
    for question in &questions {
        look_again(node, question, &asked).await?;
    }
    ask_again(node, id, &caller, &asked, &questions).await
}

/// Looks a question up again if its holder has told of a filter since.
async fn look_again(node: &Arc<Node>, question: &Question, asked: &MatchAsk) -> Result<(), Fault> {
    if !matches!(question.state, State::Hit | State::Miss | State::Fault) || question.answer.is_none() {
        return Ok(());
    }
    let key = question.key;
    let key = node.read(move |reader| find_row(reader, &[("key", &key.to_string())], Key::of)).await?;
    let Some(last) = key.and_then(|(_, key)| key.filters.last().cloned()) else { return Ok(()) };
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

/// Asks again where a partner has a key under which it was not asked: of a new epoch, or because it had no list before. A partner that
/// makes one key after the other is asked once a day, by this node's clock.
async fn ask_again(
    node: &Arc<Node>,
    id: RecordId,
    caller: &Caller,
    asked: &MatchAsk,
    questions: &[Question],
) -> Result<(), Fault> {
    let Ok(subjects) = inputs(&asked.items) else { return Ok(()) };
    let mut targets = Vec::new();
    for partner in &asked.partners {
        for subject in subjects.keys() {
            let before: Vec<_> =
                questions.iter().filter(|one| one.partner == *partner && one.subject == *subject).collect();
            let last_ms = before.iter().map(|one| one.asked_ms).max();
            if last_ms.is_some_and(|last_ms| clock::now_ms() < last_ms.saturating_add(AGAIN_MS)) {
                continue;
            }
            let key = usable_key(node, partner, *subject).await?;
            if let Some(key) = key.filter(|key| before.iter().all(|one| one.key != *key)) {
                targets.push((partner.clone(), *subject, key));
            }
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
        tracing::warn!(ask = %id, reason = no.reason, "a watch could not be asked again");
    }
    Ok(())
}

/// Erases the tags that nothing needs: of asks that are not watched any more or were deleted, whatever came between that and erasing
/// them.
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
    node.matching.looked.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| !unneeded.contains(id));
    with_lists(node, move |lists| unneeded.iter().try_for_each(|question| lists.drop_tags(question))).await
}
