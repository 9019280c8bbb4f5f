//! The yearly table: how many requests were made, received, answered and refused, by party, urgency and ground, and how often a
//! judge delayed an answer (the statistics of Directive (EU) 2023/977, article 18(1)). It is counted from rows, so it holds what
//! the records say, without those that were deleted.

use std::collections::BTreeMap;

use mufakat_record::AgencyId;
use mufakat_record::kinds::request::Urgency;
use serde::Serialize;

use super::{Entry, Side};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Requests: made on the asking side, received on the asked side.
    Requests,
    /// Requests that were answered, in full or in part.
    Answered,
    /// Of those and of the refusals, what came after the clock's end.
    Late,
    /// Requests that were refused, in whole or in part, on a ground.
    Refused,
    /// Requests for which the asked side waited for a judge.
    JudicialDelay,
}

impl Measure {
    /// The measure's name.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Requests => "requests",
            Measure::Answered => "answered",
            Measure::Late => "late",
            Measure::Refused => "refused",
            Measure::JudicialDelay => "judicial-delay",
        }
    }
}

/// One number of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cell {
    /// On which side this agency stands: `asking` or `asked`.
    pub side: &'static str,
    /// What is counted.
    pub measure: Measure,
    /// The party on the other side.
    pub party: String,
    /// `urgent-direct`, `urgent-indirect` or `ordinary`.
    pub urgency: &'static str,
    /// The ground of a refusal.
    pub ground: Option<&'static str>,
}

/// The table of one year: each number that is not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    counts: BTreeMap<Cell, u64>,
}

impl Table {
    /// Counts a row. `party_of` knows to which party an agency belongs. A request that its recipient never took counts as made.
    pub fn count(&mut self, entry: &Entry, party_of: &dyn Fn(&AgencyId) -> String) {
        if entry.side == Side::Copy {
            return;
        }
        let urgency = Urgency::name_of(entry.urgency);
        let mut add = |measure, ground| {
            let party = party_of(&entry.partner);
            *self.counts.entry(Cell { side: entry.side.name(), measure, party, urgency, ground }).or_default() += 1;
        };
        add(Measure::Requests, None);
        if entry.outcome.as_deref().is_some_and(|outcome| outcome != "refused") {
            add(Measure::Answered, None);
        }
        if entry.outcome.is_some() && entry.clock.as_ref().and_then(|clock| clock.late) == Some(true) {
            add(Measure::Late, None);
        }
        for ground in &entry.grounds {
            add(Measure::Refused, Some(ground.name()));
        }
        if entry.judicial_delay {
            add(Measure::JudicialDelay, None);
        }
    }

    /// The numbers in order.
    pub fn cells(&self) -> impl Iterator<Item = (&Cell, u64)> {
        self.counts.iter().map(|(cell, count)| (cell, *count))
    }

    /// The table as CSV (RFC 4180). No field holds what would need quoting: names are of letters, digits and hyphens.
    pub fn to_csv(&self) -> String {
        let mut text = String::from("side,measure,party,urgency,ground,count\r\n");
        for (cell, count) in self.cells() {
            let Cell { side, measure, party, urgency, ground } = cell;
            let ground = ground.unwrap_or_default();
            text.push_str(&format!("{side},{},{party},{urgency},{ground},{count}\r\n", measure.name()));
        }
        text
    }

    /// Series for charts: for each side and measure a list of parties, and for each urgency or ground the numbers in the order of
    /// that list.
    pub fn charts(&self) -> serde_json::Value {
        let mut groups: BTreeMap<(&str, Measure), Vec<(&Cell, u64)>> = BTreeMap::new();
        for (cell, count) in self.cells() {
            groups.entry((cell.side, cell.measure)).or_default().push((cell, count));
        }
        let chart = |((side, measure), cells): (&(&str, Measure), &Vec<(&Cell, u64)>)| {
            let parties: std::collections::BTreeSet<&str> = cells.iter().map(|(cell, _)| cell.party.as_str()).collect();
            let mut series: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
            for (cell, count) in cells {
                let name = cell.ground.unwrap_or(cell.urgency);
                *series.entry(name).or_default().entry(cell.party.as_str()).or_default() += count;
            }
            let series = series.into_iter().map(|(name, by_party)| {
                let data: Vec<u64> = parties.iter().map(|party| by_party.get(party).copied().unwrap_or(0)).collect();
                serde_json::json!({ "name": name, "data": data })
            });
            serde_json::json!({
                "side": side, "measure": measure, "categories": parties, "series": series.collect::<Vec<_>>(),
            })
        };
        groups.iter().map(chart).collect()
    }
}
