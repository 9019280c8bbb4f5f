//! `used-by`: how other agencies used what this agency authored, as they say in their summaries; and how far their summaries,
//! and this agency's own, reach.
//!
//! Two sorts of rows, told apart by the facet `row`:
//!
//! - `record`: one for each record and agency. Key: 1, the index of the record's leaf, 8 bytes, big-endian, and the agency's id.
//!   Facets: `row`, `on` (the record), `agency`. Body: `record`, `agency`, `count`, `first` and `last` (seconds, by that agency's
//!   clock), and `uses`, what of it was done how, in which role and for which purpose.
//! - `from` and `to`: one for each agency, for the summaries that came from it and those that went to it. Key: 0, the agency's id,
//!   and `<` or `>`. Facets: `row`, `agency`. Body: `agency`, `ledger`, `from` and `until`, the leaves that are covered without a
//!   gap, `summaries`, how many there were, and `gaps`, how often one did not begin where the one before it ended.
//!
//! Agencies are taken at their word: a summary that names a record that is not held here counts for nothing.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::use_summary::{Use, UseSummary};
use mufakat_record::{AgencyId, RecordId, Verified};
use serde_json::{Value, json};

use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "used-by";
/// How many ways in which one agency used one record are told apart. What is more is added up without role and purpose.
pub const WAYS_MAX: usize = 64;

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct UsedBy;

impl View for UsedBy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["row", "on", "agency"]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        match event.happening {
            Happening::Received(record) if record.header().kind == UseSummary::KIND => received(event, record, rows),
            Happening::Authored(record) if record.header().kind == UseSummary::KIND => {
                // A summary goes to one agency.
                let Some((summary, to)) = read(record).zip(record.header().audience.first()) else {
                    return Ok(Vec::new());
                };
                Ok(vec![covered(event, record, &summary, to, Way::To, rows)?])
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// The key of the row that says how far the summaries reach that went to an agency.
pub fn sent_key(to: &AgencyId) -> Vec<u8> {
    covered_key(to, Way::To)
}

/// What the keys of the rows of one record begin with, by its leaf.
pub fn record_prefix(leaf: u64) -> Vec<u8> {
    [&[1], &leaf.to_be_bytes()[..]].concat()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    From,
    To,
}

fn covered_key(agency: &AgencyId, way: Way) -> Vec<u8> {
    let mark: &[u8] = if way == Way::From { b"<" } else { b">" };
    [&[0], agency.as_str().as_bytes(), mark].concat()
}

/// The body was checked when the record was accepted; one that cannot be read all the same says nothing.
fn read(record: &Verified) -> Option<UseSummary> {
    UseSummary::from_body(record.header(), record.body()).ok()
}

fn received(event: &Event<'_>, record: &Verified, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
    let Some(summary) = read(record) else { return Ok(Vec::new()) };
    let author = &record.header().author;
    let mut changes = vec![covered(event, record, &summary, author, Way::From, rows)?];
    for of_one in summary.uses.chunk_by(|a, b| a.record == b.record) {
        let id = of_one[0].record;
        let Some(leaf) = rows.leaf_of(&id)? else { continue };
        let key = [&record_prefix(leaf), author.as_str().as_bytes()].concat();
        let mut row = rows.row(NAME, &key)?.unwrap_or_else(|| unused(event, key, id, author));
        of_one.iter().for_each(|one| add(&mut row.body, one));
        row.time_ms = event.at_ms;
        changes.push(RowChange::Put(row));
    }
    Ok(changes)
}

fn unused(event: &Event<'_>, key: Vec<u8>, record: RecordId, agency: &AgencyId) -> Row {
    Row {
        view: NAME,
        key,
        time_ms: event.at_ms,
        record,
        facets: vec![("row", "record".to_owned()), ("on", record.to_string()), ("agency", agency.to_string())],
        body: json!({ "record": record, "agency": agency, "count": 0, "uses": [] }),
    }
}

/// Adds one line of a summary to what is known of the record.
fn add(body: &mut Value, one: &Use) {
    merge(body, one);
    let Some(uses) = body["uses"].as_array_mut() else { return };
    let (how, mut role, mut purpose) = (json!(one.how), json!(one.role), json!(one.purpose));
    let same = |known: &Value, role: &Value, purpose: &Value| {
        known["how"] == how && known["role"] == *role && known["purpose"] == *purpose
    };
    let mut place = uses.iter().position(|known| same(known, &role, &purpose));
    if place.is_none() && uses.len() >= WAYS_MAX {
        (role, purpose) = (Value::Null, Value::Null);
        place = uses.iter().position(|known| same(known, &role, &purpose));
    }
    let place = place.unwrap_or_else(|| {
        uses.push(json!({ "how": how, "role": role, "purpose": purpose, "count": 0 }));
        uses.len() - 1
    });
    merge(&mut uses[place], one);
}

fn merge(known: &mut Value, one: &Use) {
    known["count"] = known["count"].as_u64().unwrap_or_default().saturating_add(one.count).into();
    known["first"] = known["first"].as_u64().map_or(one.first, |first| first.min(one.first)).into();
    known["last"] = known["last"].as_u64().map_or(one.last, |last| last.max(one.last)).into();
}

/// How far the summaries of one way reach, with one more.
fn covered(
    event: &Event<'_>,
    record: &Verified,
    summary: &UseSummary,
    agency: &AgencyId,
    way: Way,
    rows: &dyn Rows,
) -> Result<RowChange, RowsUnavailable> {
    let key = covered_key(agency, way);
    let before = rows.row(NAME, &key)?.map(|row| row.body);
    let number = |field: &str| before.as_ref().and_then(|body| body[field].as_u64());
    // A node that was restored from a backup says some of it again, from an earlier leaf on and with another ledger's name.
    let gap = number("until").map_or(summary.from > 0, |until| summary.from > until);
    let body = json!({
        "agency": agency,
        "ledger": summary.ledger,
        "from": number("from").unwrap_or(summary.from),
        "until": number("until").map_or(summary.until, |until| until.max(summary.until)),
        "summaries": number("summaries").unwrap_or_default() + 1,
        "gaps": number("gaps").unwrap_or_default() + u64::from(gap),
    });
    let sort = if way == Way::From { "from" } else { "to" };
    let facets = vec![("row", sort.to_owned()), ("agency", agency.to_string())];
    Ok(RowChange::Put(Row { view: NAME, key, time_ms: event.at_ms, record: record.id(), facets, body }))
}

#[cfg(test)]
mod tests {
    use mufakat_record::{How, Role};

    use super::*;
    use crate::testing::{ME, MemoryRows, Step, header, report, sign};

    fn one(record: RecordId, how: How, purpose: Option<&str>, at: u64) -> Use {
        let purpose = purpose.map(str::to_owned);
        Use { record, how, role: Some(Role::Analyst), purpose, count: 2, first: at, last: at + 5 }
    }

    fn summary(author: &str, to: &str, from: u64, until: u64, uses: Vec<Use>) -> Verified {
        let body = UseSummary { ledger: format!("mufakat/{author}/1"), from, until, uses };
        assert!(body.is_sound(&header(author, &[to], UseSummary::KIND)));
        sign(header(author, &[to], UseSummary::KIND), body.to_body())
    }

    #[test]
    fn what_partners_say_is_added_up_for_each_record() {
        let ours = report(ME, &["ru-police"], "EXERCISE");
        let id = ours.id();
        let unknown = RecordId([255; 32]);
        let steps = [
            Step::Authored(ours),
            Step::Received(summary(
                "ru-police",
                ME,
                0,
                40,
                vec![one(id, How::Read, Some("piracy"), 100), one(id, How::Export, None, 90)],
            )),
            Step::Received(summary(
                "ru-police",
                ME,
                40,
                60,
                vec![one(id, How::Read, Some("piracy"), 300), one(unknown, How::Read, None, 1)],
            )),
            Step::Received(summary("sg-fusion", ME, 7, 9, vec![one(id, How::Hit, None, 50)])),
        ];
        let rows = MemoryRows::of(&steps);
        let of = |row: &str| rows.rows(NAME, &[], Some(("row", row))).unwrap();
        let records = of("record");
        assert_eq!(records.iter().map(|row| &row.body["agency"]).collect::<Vec<_>>(), ["ru-police", "sg-fusion"]);
        let body = &records[0].body;
        assert_eq!((&body["count"], &body["first"], &body["last"]), (&json!(6), &json!(90), &json!(305)));
        let read = json!({
            "how": "read", "role": "analyst", "purpose": "piracy", "count": 4, "first": 100, "last": 305,
        });
        assert_eq!(body["uses"][0], read);
        let came: Vec<_> = of("from").into_iter().map(|row| row.body).collect();
        assert_eq!((&came[0]["until"], &came[0]["gaps"], &came[0]["summaries"]), (&json!(60), &json!(0), &json!(2)));
        // The first of this one is missing.
        assert_eq!((&came[1]["from"], &came[1]["gaps"]), (&json!(7), &json!(1)));
    }

    #[test]
    fn too_many_ways_are_added_up_together() {
        let ours = report(ME, &["ru-police"], "EXERCISE");
        let id = ours.id();
        let mut uses: Vec<_> = (0..100).map(|n| one(id, How::Read, Some(&format!("{n:03}")), 1)).collect();
        uses.sort_by(|a, b| a.key().cmp(&b.key()));
        let rows = MemoryRows::of(&[Step::Authored(ours), Step::Received(summary("ru-police", ME, 0, 9, uses))]);
        let row = &rows.rows(NAME, &[], Some(("row", "record"))).unwrap()[0];
        let ways = row.body["uses"].as_array().unwrap();
        assert_eq!((ways.len(), &row.body["count"]), (WAYS_MAX + 1, &json!(200)));
        let told: u64 = ways.iter().filter_map(|way| way["count"].as_u64()).sum();
        assert_eq!(told, 200);
    }

    #[test]
    fn our_own_summaries_say_how_far_they_reach() {
        let theirs = report("ru-police", &[ME], "EXERCISE");
        let id = theirs.id();
        let steps = [
            Step::Received(theirs),
            Step::Authored(summary(ME, "ru-police", 0, 5, vec![one(id, How::Read, None, 1)])),
            Step::Authored(summary(ME, "ru-police", 5, 9, vec![one(id, How::Read, None, 2)])),
        ];
        let rows = MemoryRows::of(&steps);
        let row = rows.row(NAME, &sent_key(&"ru-police".parse().unwrap())).unwrap().unwrap();
        assert_eq!((&row.body["from"], &row.body["until"], &row.body["gaps"]), (&json!(0), &json!(9), &json!(0)));
        assert!(rows.rows(NAME, &[], Some(("row", "record"))).unwrap().is_empty());
    }
}
