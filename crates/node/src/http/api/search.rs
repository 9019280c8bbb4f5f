//! Searching what is held, over what the caller may find: words and filters, the newest first, page by page.

use std::sync::Arc;

use axum::extract::State;
use mufakat_record::identifier::{Identifier, IdentifierType};
use mufakat_record::kinds::report::ReportType;
use mufakat_record::{AgencyId, Code, How, RecordId, ThreadId, Tlp, Verified};
use mufakat_store::search::{Count, Hit, Question};
use mufakat_store::{Queries, Reader};
use mufakat_views::inbox;
use mufakat_views::text::place::Area;
use mufakat_views::text::{Phrase, facets, phrases};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cursor::Cursors;
use super::problem::{Problem, Query};
use super::records::state_of;
use crate::desk::{self, Caller};
use crate::gate::Action;
use crate::node::Node;

/// How many records a page has when nothing is said.
const LIMIT_DEFAULT: usize = 50;
/// How many records a page can have; one leaf of the ledger names them all.
const LIMIT_MAX: usize = 200;
/// How many values one filter can have, of which one must hold.
const VALUES_MAX: usize = 16;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(search_records))
}

/// A page of what was found.
#[derive(Debug, Serialize, ToSchema)]
struct Page {
    hits: Vec<Shown>,
    /// How many there are in all; on the first page only.
    count: Option<Counted>,
    /// What to ask for as `after`; null on the last page.
    next: Option<String>,
    /// Whether everything that the ledger holds is listed already. After a start, or when the index is made anew, it takes a while.
    complete: bool,
}

/// How many records were found.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = FoundCount)]
struct Counted {
    number: usize,
    /// There are more than are counted.
    more: bool,
}

/// A record that was found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FoundRecord)]
struct Shown {
    record: RecordId,
    kind: String,
    author: AgencyId,
    #[schema(value_type = String)]
    tlp: Tlp,
    thread: ThreadId,
    /// When it came or was authored, in milliseconds since 1970.
    received_at_ms: u64,
    /// `current`, `retracted` or `corrected`.
    state: String,
    title: Option<String>,
}

/// Finds records by words and filters, the newest first.
#[utoipa::path(
    get, path = "/api/v1/search", operation_id = "search_records", tag = "records",
    params(
        ("q" = Option<String>, Query, max_length = 1000, description = "Words, all of which must be there; `\"a phrase\"`; `begin*`.", example = "kapal \"laut natuna\""),
        ("kind" = Option<Vec<String>>, Query, max_items = 16, description = "Kinds, one of which it is."),
        ("type" = Option<Vec<String>>, Query, max_items = 16, description = "Types of reports."),
        ("author" = Option<Vec<String>>, Query, max_items = 16, description = "Agencies, one of which is its author."),
        ("party" = Option<Vec<String>>, Query, max_items = 16, description = "Parties, of one of which its author is."),
        ("tlp" = Option<Vec<String>>, Query, max_items = 16, description = "Labels, one of which it has."),
        ("code" = Option<Vec<String>>, Query, max_items = 16, description = "Handling codes, one of which it has."),
        ("identifier" = Option<Vec<String>>, Query, max_items = 16, description = "`type:value`, such as `imo:9074729`; it has one of them."),
        ("thread" = Option<String>, Query, description = "The matter it belongs to."),
        ("about" = Option<String>, Query, description = "A record that it refers to."),
        ("from" = Option<u64>, Query, description = "Came then or later, in seconds since 1970 by this node's ledger."),
        ("until" = Option<u64>, Query, description = "Came then or earlier."),
        ("box" = Option<String>, Query, description = "`south,west,north,east` in degrees."),
        ("near" = Option<String>, Query, description = "`latitude,longitude,metres`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "How many at most; 50 if nothing is said."),
        ("after" = Option<String>, Query, description = "What an earlier page gave as `next`."),
    ),
    responses((status = 200, description = "The page.", body = Page))
)]
async fn search_records(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<axum::Json<Page>, Problem> {
    let mut asked = Asked::read(&query, &node)?;
    let bound = bound(&query);
    let cursors = Cursors::of(&node, &caller, &bound.iter().map(String::as_str).collect::<Vec<_>>());
    asked.before = asked.after.as_deref().map(|cursor| place(&cursors, cursor)).transpose()?;
    let size = *node.ledger_size.borrow();
    let (searching, who) = (Arc::clone(&node), caller.clone());
    let page = node.read(move |reader| {
        let classes = desk::classes(&searching, &who, Action::Search, reader)?;
        let scope = searching.search.scope(reader, &classes)?;
        let question = Question { scope: Some(&scope), ..asked.question() };
        let found = searching.search.find(reader, &question)?;
        let next = found.hits.last().filter(|_| found.more).map(|last| cursors.seal(&last.leaf.to_be_bytes()));
        let hits = found
            .hits
            .iter()
            .filter_map(|hit| shown(reader, hit, &searching.me).transpose())
            .collect::<Result<_, _>>()?;
        let count = found.count.map(|Count { number, more }| Counted { number, more });
        Ok(Page { hits, count, next, complete: found.next >= size })
    });
    let page = page.await?;
    let mut ids = page.hits.iter().map(|hit| hit.record);
    if let Some(first) = ids.next() {
        desk::note(&node, &caller, How::Hit, first, ids.collect()).await?;
    }
    Ok(axum::Json(page))
}

fn shown(reader: &Reader, hit: &Hit, me: &AgencyId) -> Result<Option<Shown>, mufakat_store::Error> {
    // What was deleted since it was found is not shown.
    let Some(bytes) = reader.record_bytes(&hit.record)? else { return Ok(None) };
    let Ok(record) = Verified::from_own_store(bytes) else { return Ok(None) };
    let Some(leaf) = reader.leaf(hit.leaf)? else { return Ok(None) };
    let header = record.header();
    Ok(Some(Shown {
        record: hit.record,
        kind: header.kind.clone(),
        author: header.author.clone(),
        tlp: header.handling.tlp,
        thread: header.thread,
        received_at_ms: leaf.at_ms,
        state: state_of(reader, &record, hit.leaf, me)?,
        title: inbox::title(&record),
    }))
}

/// What is asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    phrases: Vec<Phrase>,
    facets: Vec<Vec<String>>,
    area: Option<Area>,
    from_ms: Option<u64>,
    until_ms: Option<u64>,
    limit: usize,
    /// The cursor, and the leaf that it stands for.
    after: Option<String>,
    before: Option<u64>,
}

/// The parameters that can stand once, and those of which each value widens what is found.
const ONCE: [&str; 9] = ["q", "thread", "about", "from", "until", "box", "near", "limit", "after"];
const OFTEN: [&str; 7] = ["kind", "type", "author", "party", "tlp", "code", "identifier"];

impl Asked {
    fn read(query: &[(String, String)], node: &Node) -> Result<Self, Problem> {
        for (name, _) in query {
            let most = match name.as_str() {
                name if ONCE.contains(&name) => 1,
                name if OFTEN.contains(&name) => VALUES_MAX,
                _ => return Err(Problem::malformed(format!("there is no parameter `{name}`"))),
            };
            if query.iter().filter(|(other, _)| other == name).count() > most {
                return Err(Problem::malformed(format!("`{name}` stands here too often")));
            }
        }
        let one = |name: &str| query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let mut asked = Self { limit: LIMIT_DEFAULT, ..Self::default() };
        if let Some(q) = one("q") {
            asked.phrases = phrases(q).map_err(|unclear| Problem::malformed(format!("`q`: {unclear}")))?;
        }
        for name in OFTEN {
            let values: Vec<_> = query.iter().filter(|(other, _)| other == name).map(|(_, value)| &**value).collect();
            if !values.is_empty() {
                asked.facets.push(either(name, &values, node)?);
            }
        }
        if let Some(thread) = one("thread") {
            let thread: ThreadId = parsed("thread", thread, "32 hexadecimal digits")?;
            asked.facets.push(vec![facets::thread(thread)]);
        }
        if let Some(record) = one("about") {
            let record: RecordId = parsed("about", record, "a record's id of 64 hexadecimal digits")?;
            asked.facets.push(vec![facets::refers_to(&record)]);
        }
        let seconds = |name| one(name).map(|text| parsed::<u64>(name, text, "seconds since 1970")).transpose();
        asked.from_ms = seconds("from")?.map(|seconds| seconds.saturating_mul(1000));
        asked.until_ms = seconds("until")?.map(|seconds| seconds.saturating_mul(1000).saturating_add(999));
        asked.area = match (one("box"), one("near")) {
            (Some(_), Some(_)) => return Err(Problem::malformed("`box` and `near` do not go together")),
            (Some(text), None) => Some(area("box", text, "south,west,north,east", |[south, west, north, east]| {
                Area::Box { south, west, north, east }
            })?),
            (None, Some(text)) => {
                Some(area("near", text, "latitude,longitude,metres", |[latitude, longitude, metres]| Area::Circle {
                    latitude,
                    longitude,
                    metres,
                })?)
            }
            (None, None) => None,
        };
        if let Some(text) = one("limit") {
            let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            asked.limit =
                limit.ok_or_else(|| Problem::malformed(format!("`limit` is a number from 1 to {LIMIT_MAX}")))?;
        }
        asked.after = one("after").map(str::to_owned);
        Ok(asked)
    }

    /// Reads a question that is saved: it has no pages.
    pub(crate) fn saved(question: &str, node: &Node) -> Result<Self, Problem> {
        let query: Vec<_> = url::form_urlencoded::parse(question.as_bytes()).into_owned().collect();
        if let Some((name, _)) = query.iter().find(|(name, _)| matches!(name.as_str(), "after" | "limit")) {
            return Err(Problem::malformed(format!("`{name}` has no meaning in a saved search")));
        }
        Self::read(&query, node)
    }

    /// The question as it is asked of the index.
    pub(crate) fn question(&self) -> Question<'_> {
        Question {
            phrases: &self.phrases,
            facets: &self.facets,
            area: self.area,
            from_ms: self.from_ms,
            until_ms: self.until_ms,
            before: self.before,
            limit: self.limit,
            count: self.before.is_none(),
            ..Question::default()
        }
    }
}

/// All of a question but the page, for its cursors.
fn bound(query: &[(String, String)]) -> Vec<String> {
    let mut rest: Vec<_> = query.iter().filter(|(name, _)| !matches!(name.as_str(), "after" | "limit")).collect();
    rest.sort();
    let parts = rest.into_iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
    std::iter::once("search".to_owned()).chain(parts).collect()
}

/// The leaf that a cursor stands for.
fn place(cursors: &Cursors, cursor: &str) -> Result<u64, Problem> {
    let place = cursors.open(cursor)?;
    let leaf = place.try_into().map(u64::from_be_bytes);
    leaf.map_err(|_| Problem::malformed("`after` is not what an earlier page gave as `next`"))
}

/// The facets of a filter's values, of which one must hold.
fn either(name: &'static str, values: &[&str], node: &Node) -> Result<Vec<String>, Problem> {
    let mut tokens = Vec::with_capacity(values.len());
    for value in values {
        match name {
            "kind" => tokens.push(facets::kind(value)),
            "type" => tokens.push(facets::report_type(named::<ReportType>(name, value)?)),
            "author" => tokens.push(facets::author(&parsed(name, value, "an agency")?)),
            "party" => tokens.extend(of_party(&parsed(name, value, "a party")?, node)),
            "tlp" => tokens.push(facets::tlp(said::<Tlp>(name, value)?)),
            "code" => tokens.push(facets::code(said::<Code>(name, value)?)),
            _ => tokens.push(identifier(value)?),
        }
    }
    Ok(tokens)
}

/// The agencies of a party, those that were removed included.
fn of_party(party: &AgencyId, node: &Node) -> Vec<String> {
    let directory = node.directory();
    let agencies = directory.chain().current().agencies.iter().filter(|agency| agency.party == *party);
    agencies.map(|agency| facets::author(&agency.id)).collect()
}

fn identifier(text: &str) -> Result<String, Problem> {
    let form = || Problem::malformed("`identifier` is of the form type:value");
    let (identifier_type, value) = text.split_once(':').ok_or_else(form)?;
    let identifier_type: IdentifierType = named("identifier", identifier_type)?;
    let identifier = Identifier { identifier_type, value: value.to_owned() };
    // What could not be an identifier of its type would never be found.
    identifier.canonical().map_err(|fault| Problem::malformed(format!("`identifier`: {fault}")))?;
    Ok(facets::identifier(&identifier))
}

fn parsed<T: std::str::FromStr>(name: &str, text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::malformed(format!("`{name}` is {what}")))
}

fn said<T: std::str::FromStr<Err = String>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|known| Problem::malformed(format!("`{name}` is {known}")))
}

/// A name as it stands in JSON.
fn named<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Problem> {
    let deserializer = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(deserializer).map_err(|error| Problem::malformed(format!("`{name}`: {error}")))
}

fn area<const N: usize>(name: &str, text: &str, form: &str, of: impl Fn([f64; N]) -> Area) -> Result<Area, Problem> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let numbers: Option<[f64; N]> = numbers.and_then(|numbers| numbers.try_into().ok());
    let area = numbers.map(of).filter(Area::is_sound);
    area.ok_or_else(|| Problem::malformed(format!("`{name}` is {form}, in degrees on the globe")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_areas_are_read() {
        assert_eq!(named::<ReportType>("type", "seizure"), Ok(ReportType::Seizure));
        assert!(named::<ReportType>("type", "rumour").unwrap_err().detail().contains("`type`"));
        let circle = |text| {
            area("near", text, "latitude,longitude,metres", |[latitude, longitude, metres]| Area::Circle {
                latitude,
                longitude,
                metres,
            })
        };
        assert!(circle("1.2, 103.8, 5000").is_ok());
        for bad in ["", "1,2", "1,2,3,4", "a,b,c", "91,0,1", "NaN,0,1", "0,0,-1", "0,0,inf"] {
            assert!(circle(bad).unwrap_err().detail().contains("`near`"), "{bad}");
        }
        assert_eq!(identifier("imo:9074729"), identifier("imo:IMO 9074729"));
        for bad in ["imo", "imo:1", "hat:1", ":"] {
            assert_eq!(identifier(bad).unwrap_err().reason(), "malformed", "{bad}");
        }
    }

    #[test]
    fn cursors_go_with_the_question_and_not_with_the_page() {
        let query = |pairs: &[(&str, &str)]| {
            bound(&pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
        };
        let plain = query(&[("q", "kapal"), ("kind", "report")]);
        assert_eq!(query(&[("kind", "report"), ("q", "kapal"), ("limit", "2"), ("after", "x")]), plain);
        assert_ne!(query(&[("q", "kapal")]), plain);
        assert_ne!(query(&[("q", "kapal"), ("kind", "answer")]), plain);
        let cursors = Cursors::for_test();
        assert_eq!(place(&cursors, &cursors.seal(&7u64.to_be_bytes())), Ok(7));
        assert_eq!(place(&cursors, &cursors.seal(b"place")).unwrap_err().reason(), "malformed");
    }
}
