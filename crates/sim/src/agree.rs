//! What must hold at the end of what was done at desks: summaries say what was done, and what is at home stayed there.

use mufakat_record::{RecordId, Verified};
use mufakat_views::Rows;
use mufakat_views::used_by::{NAME, record_prefix};

use crate::desk::is_home;
use crate::invariant::{Invariant, Stop};
use crate::world::World;

impl World {
    /// What partners said of their use of a node's records is what they did, and has no gap.
    pub(crate) fn check_uses(&mut self, node: usize) -> Result<(), Stop> {
        let users: Vec<usize> =
            self.honest().into_iter().filter(|user| *user != node && self.is_sound(*user)).collect();
        for user in users {
            let (sent, came) = (self.reach(user, node, "to")?, self.reach(node, user, "from")?);
            let gapless = came.as_ref().is_none_or(|came| came.gaps == 0 && came.from == 0);
            if sent != came || !gapless {
                let what = format!("summaries of use reach to {came:?}, and {sent:?} was said");
                return Err(self.failure(Invariant::UsesTold, &[node, user], what).into());
            }
            self.check_sums(node, user)?;
        }
        Ok(())
    }

    /// How far the summaries of one to another reach, as a node says.
    fn reach(&mut self, node: usize, other: usize, way: &'static str) -> Result<Option<Reach>, Stop> {
        let other = self.nodes[other].id.clone();
        let rows = self.core(node)?.store.rows(NAME, &[], Some(("row", way))).unwrap_or_default();
        let row = rows.into_iter().find(|row| row.body["agency"] == other.as_str());
        Ok(row.map(|row| {
            let number = |field: &str| row.body[field].as_u64().unwrap_or(u64::MAX);
            Reach { from: number("from"), until: number("until"), summaries: number("summaries"), gaps: number("gaps") }
        }))
    }

    fn check_sums(&mut self, node: usize, user: usize) -> Result<(), Stop> {
        let (me, by) = (self.nodes[node].id.clone(), self.nodes[user].id.clone());
        let mine: Vec<RecordId> =
            self.minted.iter().filter(|(_, m)| m.author == me && m.audience.contains(&by)).map(|(id, _)| *id).collect();
        for record in mine {
            // The use of what was passed on is told to whoever wrote what that carries.
            if self.carried_by(&record).is_some() {
                continue;
            }
            let used = self.desks.uses.get(&(user, record)).map_or(0, Vec::len) as u64;
            // The use of a copy that was passed on counts for the original, unless the copy went before it was told of.
            let passed_on = self.desks.uses_passed_on.get(&(user, record)).copied().unwrap_or_default();
            let store = &self.core(node)?.store;
            let leaf = store.leaf_of(&record).ok().flatten().unwrap_or(u64::MAX);
            let key = [&record_prefix(leaf), by.as_str().as_bytes()].concat();
            let row = store.row(NAME, &key).ok().flatten();
            let told = row.and_then(|row| row.body["count"].as_u64()).unwrap_or_default();
            if !(used..=used + passed_on).contains(&told) {
                let what = format!(
                    "record {record} was used {used} times and as a copy {passed_on} times, and its originator is told of {told}"
                );
                return Err(self.failure(Invariant::UsesTold, &[node, user], what).into());
            }
        }
        Ok(())
    }

    /// Drafts, approvals, holds and orders are nowhere but at home.
    pub(crate) fn check_homes(&mut self) -> Result<(), Stop> {
        let read = |m: &crate::world::Minted| Verified::from_own_store(m.bytes.clone()).ok();
        let homes = self.minted.values().filter_map(read).filter(|record| is_home(record.header()));
        let homes: Vec<_> = homes.map(|record| (record.id(), record.header().author.clone())).collect();
        for node in self.honest() {
            let me = self.nodes[node].id.clone();
            for (id, author) in homes.iter().filter(|(_, author)| *author != me) {
                if self.core(node)?.store.leaf_of(id).is_ok_and(|leaf| leaf.is_some()) {
                    let what = format!("the home record {id} of {author} is held");
                    return Err(self.failure(Invariant::AudienceOnly, &[node], what).into());
                }
            }
        }
        Ok(())
    }

    /// A home record that a parcel brought is a leak, whatever its recipient makes of it.
    pub(crate) fn check_brought(&mut self, from: usize, at: usize, bytes: &[u8]) -> Result<(), Stop> {
        let Some(minted) = self.minted.get(&RecordId::of(bytes)) else { return Ok(()) };
        if minted.author == self.nodes[from].id && minted.audience == [minted.author.clone()] {
            let what = "a home record left its home".to_owned();
            return Err(self.failure(Invariant::AudienceOnly, &[from, at], what).into());
        }
        Ok(())
    }
}

/// How far a row of sent or received summaries reaches.
#[derive(Debug, PartialEq, Eq)]
struct Reach {
    from: u64,
    until: u64,
    summaries: u64,
    gaps: u64,
}
