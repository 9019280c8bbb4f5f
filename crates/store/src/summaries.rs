//! Summaries of use: what is to be told to originators of how their records were used here, as the ledger says.
//!
//! One run covers the leaves since the run before it, for all originators in one transaction; so the furthest leaf that any
//! summary covers is where the next run begins, also after a restart. An originator whose records nobody used gets none, and
//! its next one begins where its last one ended.
//!
//! What was passed on is its originator's and not its bearer's: the use is told to the originator, by the id that it gave the
//! record. Once such a copy is deleted nothing here says whose it was, and what was done with it in that stretch is told to nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use mufakat_exchange::{What, ledger_origin};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::onward::{Onward, original_of};
use mufakat_record::kinds::use_summary::{PURPOSE_BYTES_MAX, USES_MAX, Use, UseSummary};
use mufakat_record::{Act, AgencyId, How, RecordId, Role, Verified, sha256};
use mufakat_views::{used_by, uses};

use crate::{ClassNumber, Error, NO_CLASS, Page, Queries};

/// How many acts one piece of a run covers at most.
const ACTS_MAX: usize = 10_000;
/// How many rows are read at once.
const ROWS_AT_ONCE: usize = 500;

/// By what the lines of a summary are told apart.
type Way = (RecordId, How, Option<Role>, Option<String>);

/// What a run has to tell.
pub struct Gathered {
    /// The origin of the ledger in which the uses stand.
    ledger: String,
    /// The first leaf that is not covered.
    pub until: u64,
    /// Whether nothing more is to be told of now.
    pub done: bool,
    /// For each originator from which leaf on its summary covers, and the uses.
    told: BTreeMap<AgencyId, (u64, BTreeMap<Way, Use>)>,
}

/// Gathers what was done, within the first `size` leaves, up to the first use that is to be told of later: one in `later_ms`, from the
/// beginning of the present stretch of time to now, in milliseconds since 1970. A use in the future was noted under a clock that was
/// set back since; it keeps nothing waiting. `mark` is how far earlier runs came, as far as that is known.
pub fn gather(
    reader: &impl Queries,
    mark: Option<u64>,
    size: u64,
    later_ms: RangeInclusive<u64>,
) -> Result<Gathered, Error> {
    let unavailable = |e: mufakat_views::RowsUnavailable| Error::Unavailable(e.0);
    let state = reader.state()?;
    let me = &state.me;
    let sent = reader.rows(used_by::NAME, &[], Some(("row", "to"))).map_err(unavailable)?;
    let until_of = |row: &mufakat_views::Row| row.body["until"].as_u64().unwrap_or_default();
    let from = mark.unwrap_or_else(|| sent.iter().map(until_of).max().unwrap_or_default());
    let covered = |agency: &AgencyId| {
        let row = sent.iter().find(|row| row.body["agency"] == agency.as_str());
        row.map(until_of).unwrap_or_default()
    };
    let mut gathered =
        Gathered { ledger: ledger_origin(me, state.epoch), until: from, done: false, told: BTreeMap::new() };
    let mut originators = Originators::default();
    let mut after = from.checked_sub(1).map(|last| last.to_be_bytes().to_vec());
    let mut acts = 0;
    loop {
        let page = Page {
            view: uses::NAME,
            after: after.as_deref(),
            limit: ROWS_AT_ONCE,
            facets: &[],
            newest_first: false,
            classes: None,
        };
        let rows = reader.view_page(&page)?;
        let last = rows.len() < ROWS_AT_ONCE;
        for row in &rows {
            // The key of a row is its leaf.
            let leaf = row.key.as_slice().try_into().map(u64::from_be_bytes).unwrap_or(size);
            if leaf >= size || later_ms.contains(&row.time_ms) {
                gathered.until = leaf.min(size).max(from);
                gathered.done = true;
                return Ok(gathered);
            }
            let lines = lines_of(reader, me, leaf, &mut originators)?;
            if acts == ACTS_MAX || !gathered.takes(&lines) {
                gathered.until = leaf;
                return Ok(gathered);
            }
            lines.into_iter().for_each(|(originator, line)| gathered.add(originator, line, &covered));
            acts += 1;
        }
        if last {
            gathered.until = size.max(from);
            gathered.done = true;
            return Ok(gathered);
        }
        after = rows.last().map(|row| row.key.clone());
    }
}

/// What one leaf has to tell to whom.
fn lines_of(
    reader: &impl Queries,
    me: &AgencyId,
    index: u64,
    originators: &mut Originators,
) -> Result<Vec<(AgencyId, Use)>, Error> {
    let Some(leaf) = reader.leaf(index)?.filter(|leaf| leaf.what == What::Use) else { return Ok(Vec::new()) };
    let Some(act) = Act::from_detail(&leaf.detail).filter(|act| act.refused.is_none()) else { return Ok(Vec::new()) };
    let at = leaf.at_ms / 1000;
    let records: BTreeSet<RecordId> =
        std::iter::once(RecordId(leaf.subject.0)).chain(act.records.unwrap_or_default()).collect();
    let mut lines = Vec::with_capacity(records.len());
    for record in records {
        let found = originators.of(reader, &record)?.filter(|(originator, _)| originator != me);
        let Some((originator, record)) = found else { continue };
        let purpose = act.purpose.as_deref().map(within).filter(|purpose| !purpose.is_empty());
        lines.push((originator, Use { record, how: act.how, role: act.role, purpose, count: 1, first: at, last: at }));
    }
    Ok(lines)
}

/// Whose records are, as far as a run has asked.
#[derive(Default)]
struct Originators {
    known: HashMap<RecordId, Option<(AgencyId, RecordId)>>,
    /// The author and kind of each class; read when a deleted record is asked about.
    classes: Option<HashMap<ClassNumber, (AgencyId, String)>>,
}

impl Originators {
    /// Who wrote a record, and what it is called there. Nobody of a record that was passed on and is deleted.
    fn of(&mut self, reader: &impl Queries, record: &RecordId) -> Result<Option<(AgencyId, RecordId)>, Error> {
        if let Some(known) = self.known.get(record) {
            return Ok(known.clone());
        }
        let found = match reader.record_bytes(record)? {
            Some(bytes) => {
                let held = Verified::from_own_store(bytes).ok();
                let original = held.and_then(|held| original_of(&held).ok());
                original.map(|(id, header, _)| (header.author, id))
            }
            None => self.of_deleted(reader, record)?.map(|author| (author, *record)),
        };
        self.known.insert(*record, found.clone());
        Ok(found)
    }

    /// The author of a record whose content is gone: its class outlives it.
    fn of_deleted(&mut self, reader: &impl Queries, record: &RecordId) -> Result<Option<AgencyId>, Error> {
        if self.classes.is_none() {
            let all = reader.classes(NO_CLASS)?.into_iter();
            self.classes = Some(all.map(|(number, class)| (number, (class.author, class.kind))).collect());
        }
        let class = reader.class_of(record)?;
        let class = self.classes.as_ref().and_then(|classes| classes.get(&class));
        Ok(class.filter(|(_, kind)| kind != Onward::KIND).map(|(author, _)| author.clone()))
    }
}

/// A purpose as long as a summary takes it.
fn within(purpose: &str) -> String {
    let mut end = purpose.len().min(PURPOSE_BYTES_MAX);
    while !purpose.is_char_boundary(end) {
        end -= 1;
    }
    purpose[..end].to_owned()
}

impl Gathered {
    /// The summaries, each with its originator and with what it is called when it is submitted, so that a stretch of the ledger is
    /// told of once.
    pub fn summaries(&self) -> impl Iterator<Item = (&AgencyId, UseSummary, [u8; 16])> {
        self.told.iter().map(|(originator, (from, uses))| {
            let (ledger, uses) = (self.ledger.clone(), uses.values().cloned().collect());
            let summary = UseSummary { ledger, from: *from, until: self.until, uses };
            (originator, summary, key(&self.ledger, originator, *from))
        })
    }

    /// Whether every originator's summary has room for these lines. One that holds nothing yet has room for any leaf's.
    fn takes(&self, lines: &[(AgencyId, Use)]) -> bool {
        let room = |originator: &AgencyId| {
            let held = self.told.get(originator).map_or(0, |(_, uses)| uses.len());
            let more = lines.iter().filter(|(to, _)| to == originator).count();
            held == 0 || held + more <= USES_MAX
        };
        lines.iter().all(|(originator, _)| room(originator))
    }

    fn add(&mut self, originator: AgencyId, line: Use, covered: &impl Fn(&AgencyId) -> u64) {
        let from = covered(&originator);
        let (_, uses) = self.told.entry(originator).or_insert_with(|| (from, BTreeMap::new()));
        let way = (line.record, line.how, line.role, line.purpose.clone());
        uses.entry(way)
            .and_modify(|known| {
                known.count += 1;
                // The clock may have been set back between two uses.
                known.first = known.first.min(line.first);
                known.last = known.last.max(line.last);
            })
            .or_insert(line);
    }
}

fn key(ledger: &str, originator: &AgencyId, from: u64) -> [u8; 16] {
    let hash = sha256(format!("use-summary\0{ledger}\0{originator}\0{from}").as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: u64, at: u64) -> (AgencyId, Use) {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&record.to_be_bytes());
        let used =
            Use { record: RecordId(id), how: How::Read, role: None, purpose: None, count: 1, first: at, last: at };
        ("ru-police".parse().unwrap(), used)
    }

    #[test]
    fn lines_add_up_within_what_a_summary_holds() {
        let mut gathered = Gathered { ledger: "mufakat/vn-mps/1".into(), until: 0, done: false, told: BTreeMap::new() };
        for (record, at) in [(1, 50), (2, 60), (1, 40), (1, 70)] {
            let (originator, line) = line(record, at);
            gathered.add(originator, line, &|_| 7);
        }
        let (from, uses) = &gathered.told[&"ru-police".parse().unwrap()];
        let shown: Vec<_> = uses.values().map(|one| (one.count, one.first, one.last)).collect();
        assert_eq!((*from, shown), (7, vec![(3, 40, 70), (1, 60, 60)]));
        let many = |count: u64| (10..10 + count).map(|record| line(record, 1)).collect::<Vec<_>>();
        assert!(gathered.takes(&many(USES_MAX as u64 - 2)));
        assert!(!gathered.takes(&many(USES_MAX as u64 - 1)));
        // No leaf is so large that it fits into no summary at all.
        const { assert!(mufakat_record::ACT_RECORDS_MAX < USES_MAX) };
    }

    #[test]
    fn a_long_purpose_is_cut_between_characters() {
        assert_eq!(within("piracy"), "piracy");
        let long = "ở".repeat(PURPOSE_BYTES_MAX);
        assert!(within(&long).len() <= PURPOSE_BYTES_MAX && long.starts_with(&within(&long)));
    }
}
