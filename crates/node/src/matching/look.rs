//! Taking answers: the proof is verified, the blinds are taken off, and what comes of it is looked up in the holder's filters, here
//! and without traffic. What that says is put on record.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use futures_util::{StreamExt, stream};
use mufakat_matching::filter::Filter;
use mufakat_matching::question::{self, Question as Asked};
use mufakat_matching::tag::Tag;
use mufakat_matching::voprf::PublicKey;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_ask::MatchAsk;
use mufakat_record::kinds::match_key::ELEMENT_BYTES;
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::match_result::{Confidence, Hit, MatchResult};
use mufakat_record::matching::Label;
use mufakat_record::{RecordId, Reference, Relation, Verified};
use mufakat_store::Queries;
use mufakat_views::matching::{Ask, Key, Question, State};

use super::ask::{first_of, inputs, part, read_ask, secret_of};
use super::filters::{self, Unusable};
use super::{blocking, each_row, find_row, with_lists};
use crate::node::Node;
use crate::writer::Fault;
use crate::{clock, share};

/// How many answers are looked into side by side.
const TAKEN_AT_ONCE: usize = 8;

/// The tags of a question's inputs.
pub(super) struct Tags {
    tags: Vec<Tag>,
    /// Whether they stand in the file.
    kept: bool,
}

/// Takes every answer that has come and was not looked into.
pub(super) async fn take_answers(node: &Arc<Node>) -> Result<(), Fault> {
    let waiting = node.read(|reader| {
        let mut waiting = Vec::new();
        let facets = [("row", Question::ROW), ("state", State::Answered.name())];
        each_row(reader, &facets, |row| waiting.extend(Question::of(&row)))?;
        Ok(waiting)
    });
    // Side by side, so that what comes of them is made durable together.
    let waiting = stream::iter(waiting.await?);
    waiting
        .for_each_concurrent(TAKEN_AT_ONCE, |question| async move {
            if let Err(fault) = take(node, &question).await {
                tracing::warn!(question = %question.question, %fault, "an answer of matching is not looked into yet");
            }
        })
        .await;
    Ok(())
}

/// Every question of an ask.
pub(crate) async fn questions_of(node: &Arc<Node>, ask: RecordId) -> Result<Vec<Question>, Fault> {
    node.read(move |reader| {
        let mut found = Vec::new();
        each_row(reader, &[("row", Question::ROW), ("ask", &ask.to_string())], |row| found.extend(Question::of(&row)))?;
        Ok(found)
    })
    .await
}

/// When the holder told of the list, or of its last change, that a question was looked up in, in milliseconds since 1970; and whether
/// it has told of any since.
pub(crate) async fn list_of(node: &Arc<Node>, question: &Question) -> Result<(Option<u64>, bool), Fault> {
    let key = question.key;
    let key = node.read(move |reader| find_row(reader, &[("key", &key.to_string())], Key::of)).await?;
    let looked = node.matching.looked.lock().unwrap_or_else(PoisonError::into_inner).get(&question.question).copied();
    let last = key.as_ref().and_then(|(_, key)| key.filters.last());
    Ok(told(question, last.map(|last| (last.at_ms, looked == Some(last.record)))))
}

/// The same, by when the holder told of its last filter and whether that was looked into without anything new to put on record.
fn told(question: &Question, last: Option<(u64, bool)>) -> (Option<u64>, bool) {
    match (question.looked_ms, last) {
        (None, _) => (None, false),
        (Some(_), Some((at_ms, true))) => (Some(at_ms), false),
        (Some(looked_ms), last) => (question.list_at_ms, last.is_some_and(|(at_ms, _)| at_ms > looked_ms)),
    }
}

/// Takes one answer.
async fn take(node: &Arc<Node>, question: &Question) -> Result<(), Fault> {
    let Some(asked) = read_ask(node, question.ask).await? else { return Ok(()) };
    match tags_of(node, question, &asked).await? {
        Ok(tags) => look(node, question, &asked, tags).await,
        Err(fault) => say(node, question, Found { through: 0, hits: Vec::new(), fault: Some(fault) }).await,
    }
}

/// The tags of a question's inputs: kept from before, or worked out from the answer.
pub(super) async fn tags_of(
    node: &Arc<Node>,
    question: &Question,
    asked: &MatchAsk,
) -> Result<Result<Tags, &'static str>, Fault> {
    let id = question.question;
    let kept = with_lists(node, move |lists| lists.tags(&id)).await?;
    let found = if kept.len() == question.count as usize {
        // Kept by place: by other rules for names the places are other people's.
        let tags = kept.iter().map(|(_, tag)| Tag::from_bytes(tag)).collect();
        still_asks(node, question, asked).await?.map(|()| Tags { tags, kept: true })
    } else {
        open(node, question, asked).await?.map(|tags| Tags { tags, kept: false })
    };
    match found {
        Ok(tags) => Ok(Ok(tags)),
        Err(fault) => {
            tracing::warn!(partner = %question.partner, question = %id, fault, "an answer of matching is not sound");
            Ok(Err(fault))
        }
    }
}

/// Keeps tags that are looked up again: when the rest of a filter comes, or of a watch in each later one. The proof is verified once.
async fn keep(node: &Arc<Node>, question: &Question, found: &Tags) -> Result<(), Fault> {
    if found.kept {
        return Ok(());
    }
    let (id, tags): (_, Vec<_>) = (question.question, (0..).zip(found.tags.iter().map(Tag::to_bytes)).collect());
    with_lists(node, move |lists| lists.keep_tags(&id, &tags)).await
}

/// Whether the inputs that the ask has by the rules of this program are those that the question was made of.
async fn still_asks(
    node: &Arc<Node>,
    question: &Question,
    asked: &MatchAsk,
) -> Result<Result<(), &'static str>, Fault> {
    let id = question.question;
    let sent = node.read(move |reader| reader.record_bytes(&id)).await?;
    let Some(sent) = sent.and_then(|bytes| Verified::from_own_store(bytes).ok()) else { return Ok(Err("not-found")) };
    let thread = sent.header().thread;
    let Ok(sent) = MatchQuestion::from_body(sent.header(), sent.body()) else { return Ok(Err("malformed")) };
    let (asked, row) = (asked.clone(), question.clone());
    blocking(move || {
        let subjects = inputs(&asked.items).map_err(|no| no.reason)?;
        let inputs = part(&subjects.get(&row.subject).ok_or("malformed")?.bytes, row.part);
        let secret = secret_of(&asked.secret, &row.partner, &row.key, row.part, &thread);
        question::same_identifiers(&secret, inputs, &of_body(&sent)).map_err(|fault| fault.reason())
    })
    .await
}

fn of_body(sent: &MatchQuestion) -> Asked {
    Asked {
        elements: sent.elements.as_chunks::<ELEMENT_BYTES>().0.to_vec(),
        count: sent.count,
        commitment: sent.commitment.0,
    }
}

/// Verifies an answer and takes the blinds off.
async fn open(
    node: &Arc<Node>,
    question: &Question,
    asked: &MatchAsk,
) -> Result<Result<Vec<Tag>, &'static str>, Fault> {
    let (id, answer, key) = (question.question, question.answer, question.key);
    let read = node.read(move |reader| {
        let record = |id: RecordId| -> Result<_, mufakat_store::Error> {
            Ok(reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok()))
        };
        let answer = answer.map(record).transpose()?.flatten();
        Ok((record(id)?, answer, find_row(reader, &[("key", &key.to_string())], Key::of)?))
    });
    let (Some(sent), Some(answer), Some((_, key))) = read.await? else { return Ok(Err("not-found")) };
    // The key is the one of the holder's witnessed record that the question named: an answer under another one has no proof.
    if key.side != "got" || key.partner != question.partner {
        return Ok(Err("unknown-key"));
    }
    let thread = sent.header().thread;
    let (Ok(sent), Ok(answer)) =
        (MatchQuestion::from_body(sent.header(), sent.body()), MatchAnswer::from_body(answer.header(), answer.body()))
    else {
        return Ok(Err("malformed"));
    };
    let Outcome::Evaluated { elements, proof } = answer.outcome else { return Ok(Err("malformed")) };
    let (asked, question) = (asked.clone(), question.clone());
    blocking(move || {
        let subjects = inputs(&asked.items).map_err(|no| no.reason)?;
        let inputs = subjects.get(&question.subject).ok_or("malformed")?;
        let inputs = part(&inputs.bytes, question.part);
        let secret = secret_of(&asked.secret, &question.partner, &question.key, question.part, &thread);
        let public = PublicKey::from_bytes(&key.key.0).map_err(|fault| fault.reason())?;
        question::take(&secret, inputs, &of_body(&sent), &public, elements.as_chunks::<ELEMENT_BYTES>().0, &proof)
            .map_err(|fault| fault.reason())
    })
    .await
}

/// What the filters say of a question.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    through: u32,
    hits: Vec<Hit>,
    fault: Option<&'static str>,
}

/// Looks tags up in the filters that are there, and puts on record what that says, if it is anything new.
pub(super) async fn look(node: &Arc<Node>, question: &Question, asked: &MatchAsk, tags: Tags) -> Result<(), Fault> {
    let key = question.key;
    let key = node.read(move |reader| find_row(reader, &[("key", &key.to_string())], Key::of)).await?;
    let Some((_, key)) = key else { return Ok(()) };
    let Some(last) = key.filters.last().cloned() else { return Ok(()) };
    let watched = is_watched(node, question.ask).await?;
    if watched {
        keep(node, question, &tags).await?;
    }
    let found = match labels(node, &key, &tags.tags).await? {
        Ok(labels) => {
            let (asked, subject, first) = (asked.clone(), question.subject, first_of(question.part));
            blocking(move || {
                let subjects = inputs(&asked.items).map_err(|no| no.reason)?;
                let of = &subjects.get(&subject).ok_or("malformed")?.of;
                hits(&labels, of.get(first..).unwrap_or_default())
            })
            .await?
        }
        // The rest comes, and then it is looked up; not longer than the holder answers under this key.
        Err(Unusable::NotHere) if clock::now_s() < key.until => return keep(node, question, &tags).await,
        Err(Unusable::NotHere) if question.state == State::Answered => Err("filter-missing"),
        // What was found while it was there stands.
        Err(Unusable::NotHere) => return Ok(()),
        Err(Unusable::Unsound(fault)) => Err(fault),
    };
    let found = match found {
        Ok(hits) => Found { through: last.number, hits, fault: None },
        Err(fault) => {
            tracing::warn!(partner = %question.partner, filter = %last.record, fault, "a filter of matching is not sound");
            Found { through: last.number, hits: Vec::new(), fault: Some(fault) }
        }
    };
    say(node, question, found).await?;
    if watched {
        has_looked(node, question, last.record);
    }
    Ok(())
}

/// Notes that a question was looked up in the filters up to this one, whatever came of it.
pub(super) fn has_looked(node: &Node, question: &Question, filter: RecordId) {
    let mut looked = node.matching.looked.lock().unwrap_or_else(PoisonError::into_inner);
    looked.insert(question.question, filter);
}

/// Whether an ask is watched now. What its record says may be over, ended or deleted.
async fn is_watched(node: &Arc<Node>, ask: RecordId) -> Result<bool, Fault> {
    let facets = move |reader: &mufakat_store::Reader| {
        find_row(reader, &[("ask", &ask.to_string()), ("watch", "open")], Ask::of)
    };
    let found = node.read(facets).await?;
    Ok(found.is_some_and(|(_, row)| row.watch_until.is_some_and(|until| clock::now_s() < until)))
}

/// What the newest filter that knows each tag says of it. None is read before all of them are here.
async fn labels(node: &Arc<Node>, key: &Key, tags: &[Tag]) -> Result<Result<Vec<Option<u32>>, Unusable>, Fault> {
    for told in &key.filters {
        if !filters::is_here(node, told).await? {
            return Ok(Err(Unusable::NotHere));
        }
    }
    let (tags, mut labels) = (Arc::new(tags.to_vec()), vec![None; tags.len()]);
    for told in key.filters.iter().rev() {
        let filter = match filters::load(node, told).await? {
            Ok(filter) => filter,
            Err(unusable) => return Ok(Err(unusable)),
        };
        let (all, known) = (Arc::clone(&tags), labels);
        labels = blocking(move || older(&filter, &all, known)).await?;
    }
    Ok(Ok(labels))
}

/// The labels that newer filters gave, and of what they do not know those of this one.
fn older(filter: &Filter, tags: &[Tag], labels: Vec<Option<u32>>) -> Vec<Option<u32>> {
    labels.into_iter().zip(filter.look_up_all(tags)).map(|(known, found)| known.or(found)).collect()
}

/// The items that are listed, each by the surest of its inputs. `of` says to which items each input belongs.
fn hits(labels: &[Option<u32>], of: &[Vec<(u32, Confidence)>]) -> Result<Vec<Hit>, &'static str> {
    let mut items: BTreeMap<u32, Hit> = BTreeMap::new();
    for (bits, items_of) in labels.iter().zip(of) {
        let Some(bits) = bits else { continue };
        match Label::from_bits(*bits) {
            Some(Label::Removed) => {}
            // Nobody who keeps to the protocol makes such a label, so nothing in this filter can be trusted.
            None => return Err("label-without-meaning"),
            Some(Label::Listed { .. }) => {
                for (item, confidence) in items_of {
                    let hit = Hit { item: *item, confidence: *confidence, label: *bits };
                    let known = items.entry(*item).or_insert_with(|| hit.clone());
                    if hit.confidence < known.confidence {
                        *known = hit;
                    }
                }
            }
        }
    }
    Ok(items.into_values().collect())
}

/// Puts on record what was found, unless the row says so already.
async fn say(node: &Arc<Node>, question: &Question, found: Found) -> Result<(), Fault> {
    let known = question.hits.iter().map(|hit| (hit.item, hit.confidence, hit.handle, hit.category, hit.tlp));
    let new = found.hits.iter().filter_map(|hit| match Label::from_bits(hit.label) {
        Some(Label::Listed { category, tlp, handle }) => Some((hit.item, hit.confidence, handle, category, tlp)),
        _ => None,
    });
    let looked_into = matches!(question.state, State::Hit | State::Miss | State::Fault);
    if looked_into && known.eq(new) && question.reason.as_deref() == found.fault {
        return Ok(());
    }
    let references = vec![Reference { relation: Relation::About, record: question.question }];
    let result = MatchResult { through: found.through, hits: found.hits, fault: found.fault.map(str::to_owned) };
    match share::keep(node, result, references).await? {
        Ok(_) => Ok(()),
        Err(no) => Err(Fault::Store(format!("a result of matching could not be kept: {}", no.detail))),
    }
}

#[cfg(test)]
mod tests {
    use mufakat_record::Tlp;
    use mufakat_record::matching::Category;

    use super::*;

    fn listed(handle: u32) -> u32 {
        Label::Listed { category: Category::Stolen, tlp: Tlp::Amber, handle }.to_bits()
    }

    #[test]
    fn the_surest_hit_of_an_item_counts() {
        use Confidence::{NameCoarse, NameFolded, NameSkeleton};
        let of =
            [(0, NameCoarse), (0, NameFolded), (0, NameSkeleton), (1, NameCoarse), (2, NameFolded)].map(|of| vec![of]);
        let labels = [Some(listed(1)), Some(listed(2)), Some(listed(3)), None, Some(Label::Removed.to_bits())];
        let found = hits(&labels, &of).unwrap();
        assert_eq!(found, [Hit { item: 0, confidence: NameFolded, label: listed(2) }]);
        // What two items have in common is a hit on both.
        let both = [vec![(0, NameCoarse), (1, NameFolded)]];
        let items: Vec<_> = hits(&[Some(listed(1))], &both).unwrap().into_iter().map(|hit| hit.item).collect();
        assert_eq!(items, [0, 1]);
    }

    #[test]
    fn a_label_without_meaning_says_nothing_of_anything() {
        let of = [vec![(0, Confidence::Exact)], vec![(1, Confidence::Exact)]];
        assert_eq!(hits(&[Some(listed(1)), Some(u32::MAX)], &of), Err("label-without-meaning"));
    }

    #[test]
    fn it_is_said_of_when_the_list_is_and_whether_it_changed() {
        let question = |looked_ms, list_at_ms| Question {
            row: Question::ROW.to_owned(),
            ask: RecordId([1; 32]),
            question: RecordId([2; 32]),
            partner: "ru-police".parse().unwrap(),
            subject: "passport".parse().unwrap(),
            key: RecordId([3; 32]),
            part: 0,
            count: 1,
            asked_ms: 0,
            state: State::Miss,
            answer: None,
            answered_ms: None,
            reason: None,
            through: Some(0),
            looked_ms,
            list_at_ms,
            hits: Vec::new(),
        };
        let looked = question(Some(250), Some(200));
        for (last, expect) in [
            (Some((200, false)), (Some(200), false)),
            (Some((300, false)), (Some(200), true)),
            // Looked into, with nothing new.
            (Some((300, true)), (Some(300), false)),
            (None, (Some(200), false)),
        ] {
            assert_eq!(told(&looked, last), expect, "{last:?}");
        }
        assert_eq!(told(&question(None, None), Some((300, false))), (None, false));
    }

    #[test]
    fn the_newest_filter_counts() {
        use mufakat_matching::filter::Class;
        let tag = |byte: u8| Tag::of(&[byte; 64]);
        let build = |entries: &[(Tag, u32)]| {
            Filter::build(Class::holding(9).unwrap(), entries, &mut super::super::random).unwrap()
        };
        let removed = Label::Removed.to_bits();
        let whole = build(&[(tag(1), listed(1)), (tag(2), listed(2))]);
        let delta = build(&[(tag(2), removed), (tag(3), listed(3))]);
        let again = build(&[(tag(2), listed(4))]);
        let tags = [1, 2, 3, 4].map(tag);
        let labels = |filters: &[&Filter]| {
            filters.iter().rev().fold(vec![None; tags.len()], |known, filter| older(filter, &tags, known))
        };
        assert_eq!(labels(&[&whole]), [Some(listed(1)), Some(listed(2)), None, None]);
        assert_eq!(labels(&[&whole, &delta]), [Some(listed(1)), Some(removed), Some(listed(3)), None]);
        assert_eq!(labels(&[&whole, &delta, &again])[1], Some(listed(4)));
    }
}
