//! How rows of private matching come about and change.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_ask::{MatchAsk, MatchSent};
use mufakat_record::kinds::match_filter::{DELTAS_MAX, MatchFilter};
use mufakat_record::kinds::match_key::MatchKey;
use mufakat_record::kinds::match_list::{MatchAlarm, MatchBudget, MatchList};
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::match_result::MatchResult;
use mufakat_record::matching::{HANDLES, Label};
use mufakat_record::{AgencyId, Digest, OfficerId, RecordId, Relation, Verified};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Ask, Asked, Filter, Hit, Key, NAME, Question, State, current};
use crate::{Event, Row, RowChange, Rows, RowsUnavailable};

/// For how many identifiers the filters under one key have room together: two of the largest class.
const ROOM_MAX: u64 = 2 * HANDLES as u64;

type Changes = Result<Vec<RowChange>, RowsUnavailable>;
type Facets = Vec<(&'static str, String)>;

/// The key of a row: its leaf and its place among those of one leaf.
fn row_key(leaf: u64, place: u16) -> Vec<u8> {
    let (leaf, place) = (leaf.to_be_bytes(), place.to_be_bytes());
    [leaf.as_slice(), &place].concat()
}

fn put(key: Vec<u8>, time_ms: u64, record: RecordId, facets: Facets, body: &impl Serialize) -> RowChange {
    RowChange::Put(Row { view: NAME, key, time_ms, record, facets, body: json!(body) })
}

fn whose(by: Option<&OfficerId>) -> String {
    by.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// The one row with a facet, as the sort that is wanted.
fn find<T>(
    rows: &dyn Rows,
    facet: &'static str,
    value: &str,
    read: impl Fn(&Row) -> Option<T>,
) -> Result<Option<(Row, T)>, RowsUnavailable> {
    let found = rows.rows(NAME, &[], Some((facet, value)))?;
    Ok(found.into_iter().find_map(|row| read(&row).map(|said| (row, said))))
}

fn of_ask(record: RecordId, ask: &Ask, watched: bool) -> Facets {
    let mut facets = vec![("row", Ask::ROW.to_owned()), ("ask", record.to_string()), ("by", whose(ask.by.as_ref()))];
    if watched && ask.watch_until.is_some() && ask.ended_ms.is_none() {
        facets.push(("watch", "open".to_owned()));
    }
    facets
}

pub(super) fn ask(event: &Event<'_>, record: &Verified) -> Vec<RowChange> {
    // Bodies were checked when the records were taken in; one that cannot be read all the same says nothing.
    let Ok(said) = MatchAsk::from_body(record.header(), record.body()) else { return Vec::new() };
    let ask = Ask {
        row: Ask::ROW.to_owned(),
        by: said.by,
        purpose: said.purpose,
        case: said.case,
        basis: said.basis,
        partners: said.partners,
        items: said.items.len() as u32,
        watch_until: said.watch_until,
        ended_ms: None,
        questions: 0,
    };
    vec![put(row_key(event.leaf, 0), event.at_ms, record.id(), of_ask(record.id(), &ask, true), &ask)]
}

/// The questions of an ask. Without the ask, which was deleted, nothing is told of them.
pub(super) fn sent(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let Ok(said) = MatchSent::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let Some(id) = record.header().the_one(Relation::About) else { return Ok(Vec::new()) };
    let Some((row, mut ask)) = find(rows, "ask", &id.to_string(), Ask::of)? else { return Ok(Vec::new()) };
    ask.questions += said.questions.len() as u32;
    let by = ask.by.clone();
    let mut changes = vec![RowChange::Put(Row { body: json!(ask), ..row })];
    for (place, one) in (1..).zip(said.questions) {
        let question = Question {
            row: Question::ROW.to_owned(),
            ask: id,
            question: one.question,
            partner: one.partner,
            subject: one.subject,
            key: one.key,
            part: one.part,
            count: one.count,
            asked_ms: event.at_ms,
            state: State::Waiting,
            answer: None,
            answered_ms: None,
            reason: None,
            through: None,
            looked_ms: None,
            list_at_ms: None,
            hits: Vec::new(),
        };
        let facets = of_question(&question, by.as_ref());
        changes.push(put(row_key(event.leaf, place), event.at_ms, id, facets, &question));
    }
    Ok(changes)
}

fn of_question(question: &Question, by: Option<&OfficerId>) -> Facets {
    vec![
        ("row", Question::ROW.to_owned()),
        ("ask", question.ask.to_string()),
        ("question", question.question.to_string()),
        ("partner", question.partner.to_string()),
        ("state", question.state.name().to_owned()),
        ("by", whose(by)),
    ]
}

/// The row of a question with another state.
fn with(row: Row, question: &Question) -> Vec<RowChange> {
    let facets = row.facets.into_iter().map(|(name, value)| match name {
        "state" => (name, question.state.name().to_owned()),
        _ => (name, value),
    });
    let facets = facets.collect();
    vec![RowChange::Put(Row { facets, body: json!(question), ..row })]
}

/// A partner's answer: the first one to a question counts.
pub(super) fn got(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let header = record.header();
    let Ok(said) = MatchAnswer::from_body(header, record.body()) else { return Ok(Vec::new()) };
    let Some(id) = header.the_one(Relation::Answers) else { return Ok(Vec::new()) };
    let Some((row, mut question)) = find(rows, "question", &id.to_string(), Question::of)? else {
        return Ok(Vec::new());
    };
    if question.partner != header.author || question.state != State::Waiting {
        return Ok(Vec::new());
    }
    question.answer = Some(record.id());
    question.answered_ms = Some(event.at_ms);
    match said.outcome {
        Outcome::Evaluated { .. } => question.state = State::Answered,
        Outcome::Refused { reason } => (question.state, question.reason) = (State::Refused, Some(reason)),
    }
    Ok(with(row, &question))
}

/// What an answer and the filters come to; again and again while it is watched.
pub(super) fn result(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let Ok(said) = MatchResult::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let Some(id) = record.header().the_one(Relation::About) else { return Ok(Vec::new()) };
    let Some((row, mut question)) = find(rows, "question", &id.to_string(), Question::of)? else {
        return Ok(Vec::new());
    };
    let hit = |hit: &mufakat_record::kinds::match_result::Hit| match Label::from_bits(hit.label) {
        Some(Label::Listed { category, tlp, handle }) => {
            Some(Hit { item: hit.item, confidence: hit.confidence, category, tlp, handle })
        }
        _ => None,
    };
    question.hits = said.hits.iter().filter_map(hit).collect();
    question.state = match (&said.fault, question.hits.is_empty()) {
        (Some(_), _) => State::Fault,
        (None, false) => State::Hit,
        (None, true) => State::Miss,
    };
    question.reason = said.fault;
    question.through = Some(said.through);
    question.looked_ms = Some(event.at_ms);
    let key = find(rows, "key", &question.key.to_string(), Key::of)?;
    let list = key.and_then(|(_, key)| key.filters.into_iter().find(|filter| filter.number == said.through));
    question.list_at_ms = list.map(|filter| filter.at_ms);
    Ok(with(row, &question))
}

pub(super) fn ended(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let Some(id) = record.header().the_one(Relation::About) else { return Ok(Vec::new()) };
    let Some((row, mut ask)) = find(rows, "ask", &id.to_string(), Ask::of)? else { return Ok(Vec::new()) };
    ask.ended_ms.get_or_insert(event.at_ms);
    let facets = of_ask(id, &ask, false);
    Ok(vec![RowChange::Put(Row { facets, body: json!(ask), ..row })])
}

/// A question of a partner.
pub(super) fn asked(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let header = record.header();
    let Ok(said) = MatchQuestion::from_body(header, record.body()) else { return Ok(Vec::new()) };
    let (Some(key), Some([purpose])) = (header.the_one(Relation::About), header.handling.purposes.as_deref()) else {
        return Ok(Vec::new());
    };
    let size = said.size() as u32;
    let own = find(rows, "key", &key.to_string(), Key::of)?.map(|(_, own)| own);
    let subject = own.filter(|own| own.side == "given" && own.partner == header.author).map(|own| own.subject);
    let asked = Asked {
        row: Asked::ROW.to_owned(),
        partner: header.author.clone(),
        by: said.by,
        purpose: purpose.clone(),
        case: said.case,
        basis: said.basis,
        subject,
        key,
        count: said.count,
        size,
        state: "open".to_owned(),
        reason: None,
        answered_ms: None,
    };
    let facets = vec![
        ("row", Asked::ROW.to_owned()),
        ("question", record.id().to_string()),
        ("partner", asked.partner.to_string()),
        ("state", asked.state.clone()),
        ("commitment", said.commitment.to_string()),
    ];
    Ok(vec![put(row_key(event.leaf, 0), event.at_ms, record.id(), facets, &asked)])
}

/// This agency's own answer.
pub(super) fn given(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let header = record.header();
    let Ok(said) = MatchAnswer::from_body(header, record.body()) else { return Ok(Vec::new()) };
    let Some(id) = header.the_one(Relation::Answers) else { return Ok(Vec::new()) };
    let Some((row, mut asked)) = find(rows, "question", &id.to_string(), Asked::of)? else { return Ok(Vec::new()) };
    (asked.state, asked.reason) = match said.outcome {
        Outcome::Evaluated { .. } => ("answered".to_owned(), None),
        Outcome::Refused { reason } => ("refused".to_owned(), Some(reason)),
    };
    asked.answered_ms = Some(event.at_ms);
    let facets = row.facets.iter().cloned();
    let facets = facets.map(|(name, value)| if name == "state" { (name, asked.state.clone()) } else { (name, value) });
    let facets = facets.collect();
    Ok(vec![RowChange::Put(Row { facets, body: json!(asked), ..row })])
}

/// A key, which takes the place of an earlier one of the same holder, partner and subject.
pub(super) fn key(
    event: &Event<'_>,
    record: &Verified,
    (side, partner): (&str, Option<&AgencyId>),
    rows: &dyn Rows,
) -> Changes {
    let (Ok(said), Some(partner)) = (MatchKey::from_body(record.header(), record.body()), partner) else {
        return Ok(Vec::new());
    };
    let place = current(side, partner, said.subject);
    let mut changes = Vec::new();
    for row in rows.rows(NAME, &[], Some(("current", &place)))? {
        let Some(mut earlier) = Key::of(&row) else { continue };
        earlier.replaced = true;
        let facets = row.facets.iter().filter(|(name, _)| *name != "current").cloned().collect();
        changes.push(RowChange::Put(Row { facets, body: json!(earlier), ..row }));
    }
    let key = Key {
        row: Key::ROW.to_owned(),
        side: side.to_owned(),
        partner: partner.clone(),
        subject: said.subject,
        enumerable: said.subject.is_enumerable(),
        epoch: said.epoch,
        key: Digest(said.key),
        from: said.from,
        until: said.until,
        replaced: false,
        filters: Vec::new(),
    };
    let facets = vec![
        ("row", Key::ROW.to_owned()),
        ("key", record.id().to_string()),
        ("side", side.to_owned()),
        ("partner", partner.to_string()),
        ("subject", said.subject.to_string()),
        ("current", place),
    ];
    changes.push(put(row_key(event.leaf, 0), event.at_ms, record.id(), facets, &key));
    Ok(changes)
}

/// A filter under a key. One of the whole list stands in the place of all before it.
pub(super) fn filter(event: &Event<'_>, record: &Verified, side: &str, rows: &dyn Rows) -> Changes {
    let header = record.header();
    let Ok(said) = MatchFilter::from_body(header, record.body()) else { return Ok(Vec::new()) };
    let (Some(key), Some(attachment)) = (header.the_one(Relation::About), header.the_one(Relation::Attaches)) else {
        return Ok(Vec::new());
    };
    let Some((row, mut key)) = find(rows, "key", &key.to_string(), Key::of)? else { return Ok(Vec::new()) };
    // Nobody publishes under the key of somebody else.
    if key.side != side || (side == "got" && key.partner != header.author) {
        return Ok(Vec::new());
    }
    let next = key.filters.last().map_or(0, |last| last.number + 1);
    if said.number == 0 {
        key.filters.clear();
    } else if said.number != next || next > DELTAS_MAX {
        // One that came twice, or after one that did not come: what it says cannot be read without the others.
        return Ok(Vec::new());
    }
    let room = key.filters.iter().map(|filter| u64::from(filter.class)).sum::<u64>() + u64::from(said.class);
    if room > ROOM_MAX {
        // Both sides leave it out. The holder sees that by its own row, and tells of its whole list.
        return Ok(Vec::new());
    }
    let (number, class, digest) = (said.number, said.class, said.digest);
    key.filters.push(Filter { number, class, digest, record: record.id(), attachment, at_ms: event.at_ms });
    Ok(vec![RowChange::Put(Row { body: json!(key), ..row })])
}

/// A body of a home record as it is, with the name of its sort.
fn plain(row: &str, body: &impl Serialize) -> Value {
    let mut body = json!(body);
    body["row"] = row.into();
    body
}

pub(super) fn list(event: &Event<'_>, record: &Verified) -> Vec<RowChange> {
    let Ok(said) = MatchList::from_body(record.header(), record.body()) else { return Vec::new() };
    let facets = vec![("row", "list".to_owned()), ("by", whose(said.by.as_ref()))];
    vec![put(row_key(event.leaf, 0), event.at_ms, record.id(), facets, &plain("list", &said))]
}

pub(super) fn alarm(event: &Event<'_>, record: &Verified) -> Vec<RowChange> {
    let Ok(said) = MatchAlarm::from_body(record.header(), record.body()) else { return Vec::new() };
    let facets = vec![("row", "alarm".to_owned()), ("partner", said.partner.to_string())];
    vec![put(row_key(event.leaf, 0), event.at_ms, record.id(), facets, &plain("alarm", &said))]
}

/// The budget of a partner, in the place of the one before.
pub(super) fn budget(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Changes {
    let Ok(said) = MatchBudget::from_body(record.header(), record.body()) else { return Ok(Vec::new()) };
    let partner = said.partner.to_string();
    let before = rows.rows(NAME, &[], Some(("budget", &partner)))?;
    let mut changes: Vec<_> = before.into_iter().map(|row| RowChange::Delete { view: NAME, key: row.key }).collect();
    let facets = vec![("row", "budget".to_owned()), ("budget", partner.clone()), ("partner", partner)];
    changes.push(put(row_key(event.leaf, 0), event.at_ms, record.id(), facets, &plain("budget", &said)));
    Ok(changes)
}

/// The rows of an ask that was deleted.
pub(super) fn deleted(record: &RecordId, rows: &dyn Rows) -> Changes {
    let gone = rows.rows(NAME, &[], Some(("ask", &record.to_string())))?;
    Ok(gone.into_iter().map(|row| RowChange::Delete { view: NAME, key: row.key }).collect())
}
