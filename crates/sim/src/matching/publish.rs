//! Telling partners of lists: keys, filters of the whole list, and filters of what changed.

use std::collections::BTreeMap;

use mufakat_matching::filter::{Class, Filter};
use mufakat_matching::key::EpochSecret;
use mufakat_matching::tag::Tag;
use mufakat_matching::voprf::{self, SecretKey};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_filter::{DELTAS_MAX, MatchFilter};
use mufakat_record::kinds::match_key::MatchKey;
use mufakat_record::matching::{Category, Label};
use mufakat_record::{AgencyId, Digest, RecordId, Reference, Relation, Tlp};
use mufakat_store::lists::{Entry, Published};
use mufakat_views::Row;
use mufakat_views::matching::Key;

use super::{DAY_S, DELTA_S, EPOCH_S, GRACE_S, SUBJECT, fill, input};
use crate::community::sign;
use crate::invariant::{Invariant, Stop};
use crate::world::World;

impl World {
    /// Tells every partner that has a budget of the list.
    pub(super) fn publish_all(&mut self, node: usize) -> Result<(), Stop> {
        let budgets = self.matched(node, ("row", "budget"))?;
        if budgets.is_empty() {
            // Most nodes of a run list nothing and let nobody ask, and need no file of lists.
            return Ok(());
        }
        let last_change = self.with_lists(node, |lists, _| lists.last_change())?;
        let mut told = false;
        for row in budgets {
            let (Some(partner), Some(limit)) = (partner_of(&row), row.body["limit"].as_u64()) else {
                continue;
            };
            if limit == 0 || self.directory(node)?.chain().member(&partner).is_none() {
                self.with_lists(node, |lists, _| lists.forget_partner(&partner))?;
                continue;
            }
            told = true;
            if last_change > 0 {
                self.publish(node, &partner)?;
            }
        }
        self.with_lists(node, |lists, _| {
            let through = if told { lists.told_through()? } else { Some(lists.last_change()?) };
            through.map_or(Ok(0), |through| lists.purge_removed(through))
        })?;
        let first_kept = epoch_of((self.clock_ms(node) / 1000).saturating_sub(GRACE_S));
        if self.matching.erased.insert(node, first_kept) == Some(first_kept) {
            return Ok(());
        }
        self.with_lists(node, |lists, _| match lists.erase_before(first_kept)? {
            0 => Ok(()),
            _ => lists.compact(),
        })
    }

    /// Tells one partner of the list, if there is anything new.
    fn publish(&mut self, node: usize, partner: &AgencyId) -> Result<(), Stop> {
        let Some((id, key)) = self.own_key(node, partner)? else { return Ok(()) };
        let now_s = self.clock_ms(node) / 1000;
        let (told, last_change) =
            self.with_lists(node, |lists, _| Ok((lists.published(partner, SUBJECT.name())?, lists.last_change()?)))?;
        // What the file says and the ledger does not, or the other way round, is from before the one or the other was restored.
        let told = told.filter(|told| {
            told.key == id
                && key.filters.last().is_some_and(|last| (last.number, last.digest) == (told.number, told.filter))
        });
        let (number, since) = match &told {
            None => (0, None),
            Some(told) if told.through == last_change => return Ok(()),
            Some(told) if (told.at_s..told.at_s.saturating_add(DELTA_S)).contains(&now_s) => {
                self.look_in(node, DELTA_S * 1000);
                return Ok(());
            }
            // A real one is whole again after so many; here that may be at any time.
            Some(told) if told.number >= DELTAS_MAX || self.dice.chance(150) => (0, None),
            Some(told) => (told.number + 1, Some(told.through)),
        };
        let Some((filter, through)) = self.make_filter(node, partner, key.epoch, since)? else { return Ok(()) };
        let digest = Digest::of(filter.as_bytes());
        let body = MatchFilter { number, class: filter.class().capacity() as u32, digest };
        let (mut header, signer) = self.head(node, vec![partner.clone()], MatchFilter::KIND)?;
        if header.audience.is_empty() {
            return Ok(());
        }
        // The attachment is not simulated; the record names one all the same.
        let attachment = Reference { relation: Relation::Attaches, record: RecordId(digest.0) };
        header.references = vec![Reference { relation: Relation::About, record: id }, attachment];
        header.references.sort();
        let record = sign(header, &body, &signer);
        let listed = self.listed(node)?;
        self.tell(|_| format!("{node}: tells {partner} of filter {number}, a list of {:?}", listed.keys()));
        self.matching.truth.insert(record.id(), listed);
        self.matching.filters.insert(digest, filter.into_bytes());
        self.say_once(node, record, &format!("match-filter\n{id}\n{digest}"))?;
        let told = Published { epoch: key.epoch, key: id, number, through, at_s: now_s, filter: digest };
        self.with_lists(node, |lists, _| lists.note_published(partner, SUBJECT.name(), &told))
    }

    /// The key for a partner in this epoch; it is made and put on record if there is none.
    fn own_key(&mut self, node: usize, partner: &AgencyId) -> Result<Option<(RecordId, Key)>, Stop> {
        let epoch = epoch_of(self.clock_ms(node) / 1000);
        let secret = self.with_lists(node, |lists, random| lists.secret(epoch, &mut fill(random)))?;
        let secret = self.derived(node, *secret, partner, epoch)?;
        let public = *secret.public().as_bytes();
        if let Some(found) = self.given(node, partner, epoch, &public)? {
            return Ok(Some(found));
        }
        let from = u64::from(epoch) * DAY_S;
        let body = MatchKey { subject: SUBJECT, epoch, key: public, from, until: from + EPOCH_S + GRACE_S };
        let (header, signer) = self.head(node, vec![partner.clone()], MatchKey::KIND)?;
        if header.audience.is_empty() {
            return Ok(None);
        }
        let record = sign(header, &body, &signer);
        self.say_once(node, record, &format!("match-key\n{partner}\n{SUBJECT}\n{public:?}"))?;
        self.given(node, partner, epoch, &public)
    }

    /// A key that a node gave to a partner. After a clock was set back it is not the latest one.
    fn given(
        &mut self,
        node: usize,
        partner: &AgencyId,
        epoch: u32,
        public: &[u8; 32],
    ) -> Result<Option<(RecordId, Key)>, Stop> {
        let wanted = |key: &Key| key.side == "given" && key.epoch == epoch && key.key.0 == *public;
        let found = self.matched_one(node, ("partner", partner.as_str()), |row| Key::of(row).filter(wanted))?;
        Ok(found.map(|(row, key)| (row.record, key)))
    }

    pub(super) fn derived(
        &self,
        node: usize,
        secret: [u8; 32],
        partner: &AgencyId,
        epoch: u32,
    ) -> Result<SecretKey, Stop> {
        let key = EpochSecret::from_bytes(secret).key(partner, SUBJECT.name(), epoch);
        key.map_err(|fault| self.failure(Invariant::WorksAlone, &[node], format!("no key: {fault}")).into())
    }

    /// The filter of the whole list, or of what changed after a change of it, with the last change that it has in it.
    fn make_filter(
        &mut self,
        node: usize,
        partner: &AgencyId,
        epoch: u32,
        since: Option<u64>,
    ) -> Result<Option<(Filter, u64)>, Stop> {
        let mut labels = BTreeMap::new();
        let (through, secret) = self.with_lists(node, |lists, _| {
            lists.each(SUBJECT.name(), since.unwrap_or_default(), |entry| {
                if since.is_some() || !entry.removed {
                    labels.insert(input(&entry.canonical), label(entry).to_bits());
                }
            })?;
            Ok((lists.last_change()?, lists.secret_if_there(epoch)?))
        })?;
        let Some(secret) = secret else { return Ok(None) };
        let key = self.derived(node, *secret, partner, epoch)?;
        let mut random = self.dice.fork();
        match filter_of(&key, &labels, &mut fill(&mut random)) {
            Ok(filter) => Ok(Some((filter, through))),
            Err(why) => Err(self.failure(Invariant::WorksAlone, &[node], format!("no filter: {why}")).into()),
        }
    }

    /// What a partner is not told of, though nothing is in the way.
    pub(super) fn untold(&mut self, node: usize) -> Result<Option<String>, Stop> {
        let budgets = self.matched(node, ("row", "budget"))?;
        if budgets.is_empty() {
            return Ok(None);
        }
        let last_change = self.with_lists(node, |lists, _| lists.last_change())?;
        for row in budgets {
            let Some(partner) = partner_of(&row) else { continue };
            let sound = self.index(&partner).is_some_and(|partner| self.is_sound(partner));
            if !sound || row.body["limit"] == 0 || last_change == 0 {
                continue;
            }
            let told = self.with_lists(node, |lists, _| lists.published(&partner, SUBJECT.name()))?;
            if told.is_none_or(|told| told.through != last_change) {
                return Ok(Some(format!("{partner} was told of {told:?} where the last change is {last_change}")));
            }
        }
        Ok(None)
    }
}

/// The epoch in which an instant lies: the day on which it began.
fn epoch_of(now_s: u64) -> u32 {
    (now_s / EPOCH_S * EPOCH_S / DAY_S) as u32
}

/// A filter with these inputs and labels.
pub(super) fn filter_of(
    key: &SecretKey,
    labels: &BTreeMap<Vec<u8>, u32>,
    random: &mut impl FnMut(&mut [u8]),
) -> Result<Filter, String> {
    let inputs: Vec<_> = labels.keys().collect();
    let outputs = voprf::outputs(key, &inputs).map_err(|fault| fault.to_string())?;
    let entries: Vec<_> = outputs.iter().map(Tag::of).zip(labels.values().copied()).collect();
    let class = Class::holding(entries.len()).ok_or("too long")?;
    Filter::build(class, &entries, random).map_err(|fault| fault.to_string())
}

/// What partners are told of an entry.
pub(super) fn label(entry: &Entry) -> Label {
    if entry.removed {
        return Label::Removed;
    }
    Label::Listed { category: Category::Stolen, tlp: Tlp::Amber, handle: entry.handle }
}

/// Whose row it is.
pub(super) fn partner_of(row: &Row) -> Option<AgencyId> {
    row.body["partner"].as_str().and_then(|name| name.parse().ok())
}
