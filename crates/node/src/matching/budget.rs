//! How much may be asked: by this agency's officers, which its own node counts by identifier, and by partners, of whom only the
//! number of elements is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use mufakat_record::kinds::match_list::{Mark, MatchBudget};
use mufakat_record::kinds::match_question::SIZES;
use mufakat_record::{AgencyId, OfficerId, RecordId, sha256};
use mufakat_store::lists::Standing;
use mufakat_store::{Page, Queries, Reader};
use mufakat_views::Row;
use mufakat_views::matching::{Asked, NAME};
use serde::Serialize;
use utoipa::ToSchema;

use super::ask::Inputs;
use super::{ROWS_MAX, find_row, with_lists};
use crate::clock;
use crate::node::Node;
use crate::share::NotShared;
use crate::writer::Fault;

/// How many identifiers a partner may ask for, unless something else is said. It is some hundreds of times what a desk asks, and
/// a hundredth of what it takes to find out a list of passports.
pub(crate) const LIMIT: u32 = 20_000;
/// Within how many days.
pub(crate) const WINDOW_DAYS: u32 = 10;
/// From which part of a budget on people are told that it is nearly used, in percent.
const NEAR_PERCENT: u64 = 80;
/// Milliseconds in a day.
const DAY_MS: u64 = 86_400_000;
/// Who asks at the node's socket, among officers in accounts.
const AT_THE_SOCKET: &str = "operator";

/// How a budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = MatchBudgetState)]
pub(crate) enum Level {
    /// There is enough of it.
    Ok,
    /// Four fifths of it are used.
    Near,
    /// Nothing of it is left.
    Exhausted,
}

/// How much of a budget is used.
pub(crate) fn level(used: u64, limit: u32) -> Level {
    let limit = u64::from(limit);
    if used >= limit {
        Level::Exhausted
    } else if used * 100 >= limit * NEAR_PERCENT {
        Level::Near
    } else {
        Level::Ok
    }
}

/// What a partner may ask of this agency, and has asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MatchPartnerBudget)]
pub(crate) struct PartnerBudget {
    /// The partner.
    pub(crate) partner: AgencyId,
    /// How many elements of its questions may be evaluated.
    pub(crate) limit: u32,
    /// Within how many days.
    pub(crate) window_days: u32,
    /// How many were, within the window that ends now.
    pub(crate) used: u64,
    /// How that stands.
    pub(crate) state: Level,
    /// The record that says so.
    #[serde(skip)]
    pub(crate) record: RecordId,
}

impl PartnerBudget {
    /// The budget in a row, with what is used of it now.
    fn of(reader: &Reader, row: &Row, now_ms: u64, waited_ms: u64) -> Result<Option<Self>, mufakat_store::Error> {
        let Ok(Said { partner, limit, window_days }) = serde_json::from_value(row.body.clone()) else {
            return Ok(None);
        };
        let since_ms = now_ms.saturating_sub(u64::from(window_days) * DAY_MS);
        let used = used(reader, &partner, since_ms, waited_ms)?;
        let state = level(used, limit);
        Ok(Some(Self { partner, limit, window_days, used, state, record: row.record }))
    }

    /// The mark that it has come to when so many more are used.
    pub(super) fn mark(&self, more: u64) -> Option<Mark> {
        match level(self.used + more, self.limit) {
            Level::Ok => None,
            Level::Near | Level::Exhausted => Some(Mark::Near),
        }
    }
}

/// What a row of a budget says.
#[derive(serde::Deserialize)]
struct Said {
    partner: AgencyId,
    limit: u32,
    window_days: u32,
}

/// For how long a question may have waited and still be answered, in milliseconds: as long as its key is in force.
pub(super) fn waited_ms(node: &Node) -> u64 {
    u64::from(node.config.matching.epoch_days + node.config.matching.grace_days) * DAY_MS
}

/// How many elements of a partner's questions were evaluated since then.
fn used(reader: &Reader, partner: &AgencyId, since_ms: u64, waited_ms: u64) -> Result<u64, mufakat_store::Error> {
    let facets = [("row", Asked::ROW), ("partner", partner.as_str()), ("state", "answered")];
    let (mut used, mut after) = (0, None::<Vec<u8>>);
    loop {
        let (limit, newest_first, classes) = (ROWS_MAX, true, None);
        let page = Page { view: NAME, after: after.as_deref(), limit, facets: &facets, newest_first, classes };
        let rows = reader.view_page(&page)?;
        for row in &rows {
            // Rows come in the order in which the questions came, the newest first, and the clock may have been set meanwhile.
            // What counts is when they were answered.
            let spent = Asked::of(row).map_or(0, |asked| spent_since(&asked, since_ms));
            if spent == 0 && row.time_ms.saturating_add(waited_ms) < since_ms {
                return Ok(used);
            }
            used += spent;
        }
        match rows.last() {
            Some(last) if rows.len() == ROWS_MAX => after = Some(last.key.clone()),
            _ => return Ok(used),
        }
    }
}

/// What a question that was answered took of the budget. When it was asked and when it came do not matter: both are the partner's
/// to choose.
fn spent_since(asked: &Asked, since_ms: u64) -> u64 {
    let counts = asked.answered_ms.is_some_and(|answered_ms| answered_ms >= since_ms);
    if counts { u64::from(asked.size) } else { 0 }
}

/// What a partner may ask of this agency; nothing if nobody said that it may.
pub(super) fn of_partner(
    reader: &Reader,
    partner: &AgencyId,
    now_ms: u64,
    waited_ms: u64,
) -> Result<Option<PartnerBudget>, mufakat_store::Error> {
    let row = find_row(reader, &[("budget", partner.as_str())], |row| Some(row.clone()))?;
    row.map_or(Ok(None), |(row, _)| PartnerBudget::of(reader, &row, now_ms, waited_ms))
}

/// What partners may ask of this agency, and have asked.
pub(crate) async fn of_partners(node: &Arc<Node>) -> Result<Vec<PartnerBudget>, Fault> {
    let (now_ms, waited_ms) = (clock::now_ms(), waited_ms(node));
    node.read(move |reader| {
        let mut rows = Vec::new();
        super::each_row(reader, &[("row", "budget")], |row| rows.push(row))?;
        let budgets = rows.iter().map(|row| PartnerBudget::of(reader, row, now_ms, waited_ms));
        Ok(budgets.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    })
    .await
}

/// What an officer of this agency asked a partner for a purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MatchOfficerBudget)]
pub(crate) struct OfficerBudget {
    /// The partner.
    partner: AgencyId,
    /// The officer.
    officer: OfficerId,
    /// The purpose.
    purpose: String,
    /// How many different identifiers, within the window that ends now.
    used: u64,
    /// How many may be.
    limit: u32,
    /// How that stands.
    state: Level,
}

/// What the officers of this agency have asked within the window that ends now.
pub(crate) async fn of_officers(node: &Arc<Node>) -> Result<Vec<OfficerBudget>, Fault> {
    let (since_ms, limit) = (own_since_ms(node), node.config.matching.ask_limit);
    let standing = with_lists(node, move |lists| lists.standing(since_ms)).await?;
    let budget = |Standing { partner, officer, purpose, count }| OfficerBudget {
        partner,
        officer,
        purpose,
        used: count,
        limit,
        state: level(count, limit),
    };
    Ok(standing.into_iter().map(budget).collect())
}

fn own_since_ms(node: &Node) -> u64 {
    clock::now_ms().saturating_sub(u64::from(node.config.matching.ask_window_days) * DAY_MS)
}

/// Spends what an officer asks partners from his or her budgets, all or none. Only identifiers that were not asked of a partner
/// within the window count.
pub(super) async fn spend(
    node: &Arc<Node>,
    by: Option<&OfficerId>,
    purpose: &str,
    asked: impl Iterator<Item = (&AgencyId, &Inputs)>,
) -> Result<Result<(), NotShared>, Fault> {
    // A name of an account, which is a pseudonym's form.
    let officer = by.cloned().map_or_else(|| AT_THE_SOCKET.parse(), Ok);
    let Ok(officer) = officer else { return Err(Fault::Store("no account for who asks".to_owned())) };
    let fingerprints = asked.map(|(partner, inputs)| {
        let prints: Vec<[u8; 32]> = inputs.bytes.iter().map(|input| sha256(input)).collect();
        (partner.clone(), prints)
    });
    let fingerprints: Vec<_> = fingerprints.collect();
    let (since_ms, limit, now_ms) = (own_since_ms(node), node.config.matching.ask_limit, clock::now_ms());
    let purpose = purpose.to_owned();
    with_lists(node, move |lists| {
        let mut by_partner: BTreeMap<&AgencyId, Vec<[u8; 32]>> = BTreeMap::new();
        for (partner, prints) in &fingerprints {
            by_partner.entry(partner).or_default().extend(prints);
        }
        for (partner, prints) in &by_partner {
            let mut fresh = 0;
            for some in prints.chunks(mufakat_store::lists::FINGERPRINTS_MAX) {
                fresh += lists.fresh(partner, &officer, &purpose, since_ms, some)?;
            }
            let used = lists.spent(partner, &officer, &purpose, since_ms)?;
            if used + fresh > u64::from(limit) {
                let detail = format!(
                    "{partner} would be asked about {fresh} more identifiers for this purpose, and {used} of {limit} were asked \
                     within the window already"
                );
                return Ok(Err(NotShared::new("budget-exhausted", detail)));
            }
            if level(used + fresh, limit) != Level::Ok {
                tracing::warn!(%partner, used = used + fresh, limit, "an officer's budget for matching is nearly used");
            }
        }
        for (partner, prints) in &by_partner {
            for some in prints.chunks(mufakat_store::lists::FINGERPRINTS_MAX) {
                lists.spend(partner, &officer, &purpose, some, now_ms)?;
            }
        }
        lists.forget_spent_before(since_ms)?;
        Ok(Ok(()))
    })
    .await
}

/// Says how much a partner may ask. From then on it is told of lists.
pub(crate) async fn set(
    node: &Arc<Node>,
    by: Option<OfficerId>,
    partner: AgencyId,
    limit: u32,
    window_days: u32,
) -> Result<Result<RecordId, NotShared>, Fault> {
    if partner == node.me || node.directory().chain().member(&partner).is_none() {
        return Ok(Err(NotShared::new("unknown-recipient", format!("the register has no other member {partner}"))));
    }
    let smallest = SIZES[0] as u32;
    if (1..smallest).contains(&limit) {
        let detail = format!("the smallest question counts {smallest}; 0 stops the partner");
        return Ok(Err(NotShared::new("malformed", detail)));
    }
    let kept = crate::share::keep(node, MatchBudget { by, partner, limit, window_days }, Vec::new()).await?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use mufakat_record::Digest;
    use mufakat_record::Role;
    use mufakat_record::kinds::request::By;

    use super::*;

    #[test]
    fn a_budget_warns_before_it_ends() {
        for (used, limit, expect) in [
            (0, 20_000, Level::Ok),
            (15_999, 20_000, Level::Ok),
            (16_000, 20_000, Level::Near),
            (19_999, 20_000, Level::Near),
            (20_000, 20_000, Level::Exhausted),
            (0, 0, Level::Exhausted),
        ] {
            assert_eq!(level(used, limit), expect, "{used} of {limit}");
        }
    }

    #[test]
    fn a_question_takes_of_the_budget_when_it_is_answered() {
        let asked = |answered_ms| Asked {
            row: Asked::ROW.to_owned(),
            partner: "ru-police".parse().unwrap(),
            by: By { role: Role::Analyst, officer: None },
            purpose: "EXERCISE".to_owned(),
            case: Digest([1; 32]),
            basis: "EXERCISE".to_owned(),
            subject: None,
            key: RecordId([2; 32]),
            count: 3,
            size: 16,
            state: "answered".to_owned(),
            reason: None,
            answered_ms,
        };
        for (answered_ms, expect) in [(None, 0), (Some(999), 0), (Some(1_000), 16), (Some(u64::MAX), 16)] {
            assert_eq!(spent_since(&asked(answered_ms), 1_000), expect, "{answered_ms:?}");
        }
    }
}
