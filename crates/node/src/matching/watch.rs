//! Watches: what was asked is looked up again in each filter that comes, without traffic, and asked again under each new key of a
//! partner, until the watch ends.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use mufakat_record::RecordId;
use mufakat_record::kinds::match_ask::MatchAsk;
use mufakat_record::kinds::request::By;
use mufakat_views::matching::{Ask, Key, Question, State};

use super::ask::{self, Told, inputs, make_questions, read_ask, send, usable_key};
use super::{budget, each_row, find_row, look};
use crate::clock;
use crate::desk::Caller;
use crate::node::Node;
use crate::writer::Fault;

/// Looks after every watch.
pub(super) async fn keep(node: &Arc<Node>) -> Result<(), Fault> {
    let open = node.read(|reader| {
        let mut open = Vec::new();
        each_row(reader, &[("watch", "open")], |row| open.extend(Ask::of(&row).map(|ask| (row.record, ask))))?;
        Ok(open)
    });
    for (id, row) in open.await? {
        // Whoever may not ask any more does not watch any more.
        let gone = row.by.as_ref().is_some_and(|by| node.desk.officer(by).is_none_or(|officer| !officer.active));
        if gone || row.watch_until.is_none_or(|until| until <= clock::now_s()) {
            if let Err(no) = ask::end(node, None, id).await? {
                tracing::warn!(ask = %id, reason = no.reason, "a watch that is over could not be ended");
            }
            continue;
        }
        let Some(asked) = read_ask(node, id).await? else { continue };
        let questions = look::questions_of(node, id).await?;
        for question in &questions {
            look_again(node, question, &asked).await?;
        }
        ask_again(node, id, &row, &asked, &questions).await?;
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
    let Some(last) = key.and_then(|(_, key)| key.filters.last().cloned()) else { return Ok(()) };
    let looked = node.matching.looked.lock().unwrap_or_else(PoisonError::into_inner).get(&question.question).copied();
    // After a restart everything is looked up once more; what comes to nothing new is not put on record again.
    if looked == Some(last.record) {
        return Ok(());
    }
    match look::tags_of(node, question, asked).await? {
        Ok(tags) => look::look(node, question, asked, tags).await,
        Err(_) => Ok(()),
    }
}

/// Asks again where a partner has a key under which it was not asked: of a new epoch, or because it had no list before.
async fn ask_again(
    node: &Arc<Node>,
    id: RecordId,
    row: &Ask,
    asked: &MatchAsk,
    questions: &[Question],
) -> Result<(), Fault> {
    let Ok(subjects) = inputs(&asked.items) else { return Ok(()) };
    let done: BTreeSet<_> = questions.iter().map(|question| question.key).collect();
    let mut targets = Vec::new();
    for partner in &row.partners {
        for subject in subjects.keys() {
            if let Some(key) = usable_key(node, partner, *subject).await?.filter(|key| !done.contains(key)) {
                targets.push((partner.clone(), *subject, key));
            }
        }
    }
    if targets.is_empty() {
        return Ok(());
    }
    let counts = targets.iter().map(|(partner, subject, _)| (partner, &subjects[subject]));
    if let Err(no) = budget::spend(node, asked.by.as_ref(), &asked.purpose, counts).await? {
        tracing::warn!(ask = %id, reason = no.reason, "a watch could not be asked again");
        return Ok(());
    }
    let made = make_questions(asked.clone(), Arc::new(subjects), targets).await?;
    let by = By { officer: asked.by.clone(), ..By::default() };
    let sent = match made {
        Ok(questions) => send(node, &Caller::operator(), Told::Again(id, asked.clone(), by), questions).await?,
        Err(no) => Err(no),
    };
    if let Err(no) = sent {
        tracing::warn!(ask = %id, reason = no.reason, "a watch could not be asked again");
    }
    Ok(())
}
