//! Private matching: agencies list identifiers and tell partners of them, officers ask and watch, and nodes answer each other.
//!
//! What a node does is done here as the real one does it: by the rows of the view, with the real file of lists and the real
//! functions of the pure crate. Attachments are not simulated: the bytes of a filter are found by their hash, at a node to which
//! the record that tells of it has come, and there a while later. Epochs are short, so that clocks that are set come into others.

mod answer;
mod ask;
mod check;
mod look;
mod publish;
mod unsound;

use std::collections::{BTreeMap, BTreeSet};

use mufakat_exchange::{Change, Submission};
use mufakat_record::identifier::{Identifier, IdentifierType};
use mufakat_record::kinds::match_ask::Item;
use mufakat_record::kinds::match_list::MatchBudget;
use mufakat_record::matching::{Category, Subject};
use mufakat_record::{AgencyId, Digest, RecordId, Tlp, Verified, sha256};
use mufakat_store::Queries;
use mufakat_store::lists::{self, Lists, NewEntry};
use mufakat_views::matching::{NAME, Question};
use mufakat_views::{Row, Rows};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use crate::acts::Act;
use crate::invariant::{Invariant, Stop};
use crate::node::Role;
use crate::world::World;

use self::unsound::LiarsList;

/// What is asked about and listed.
const SUBJECT: Subject = Subject::Identifier(IdentifierType::SerialNumber);
/// With what every identifier of a run begins, and nothing else does.
const IDENTIFIER: &str = "EXERCISE-M";
/// How many identifiers there are in a run.
const IDENTIFIERS: u64 = 10;
/// The length of an epoch in seconds: a clock that is set comes into another one now and then.
const EPOCH_S: u64 = 10 * DAY_S;
/// For how long a key is good after its epoch, in seconds.
const GRACE_S: u64 = 7 * DAY_S;
const DAY_S: u64 = 86_400;
/// How long a watch waits before it asks a partner once more, in milliseconds.
const ASK_AGAIN_MS: u64 = DAY_S * 1000;
/// How long it takes at least from one filter to the next, in seconds.
const DELTA_S: u64 = 20;
/// After how many milliseconds at most a node sees to what has come.
const SOON_MS: u64 = 1_500;
/// After how long a node sees to it again when its disk was full.
const AGAIN_MS: u64 = 15_000;
/// In how many of a thousand runs anybody matches.
const MATCHING_PER_MILLE: u64 = 650;
/// How many honest agencies match at most, so that a run stays short.
const MATCHERS_MAX: usize = 3;

/// Something that has to do with matching and happens at some time.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    /// A node sees to what there is to do.
    Look { node: usize },
    /// People put something on a list, or take it off.
    List { node: usize },
    /// A supervisor says how much a partner may ask.
    Budget { node: usize, partner: usize },
    /// An officer asks partners.
    Ask { node: usize },
    /// An officer ends a watch.
    End { node: usize },
    /// A clock is set to another epoch.
    Epoch { node: usize },
    /// A liar asks, answers, or tells of a list.
    Lie,
}

/// The run's own account of matching, and what stands outside of records.
#[derive(Default)]
pub(crate) struct Matching {
    /// The open file of lists of each node.
    lists: BTreeMap<usize, Lists>,
    /// The nodes that will see to what there is to do.
    soon: BTreeSet<usize>,
    /// The epoch before which each node has erased.
    erased: BTreeMap<usize, u32>,
    /// The bytes of each filter.
    filters: BTreeMap<Digest, Vec<u8>>,
    /// When those have come to a node.
    comes: BTreeMap<(usize, Digest), u64>,
    /// What was listed, with its label, when a filter was made, by the record that tells of it.
    truth: BTreeMap<RecordId, BTreeMap<String, u32>>,
    /// The limit and the days of each budget.
    budgets: BTreeMap<(usize, AgencyId), (u64, u64)>,
    /// What was evaluated for a partner: when, and how many elements.
    evaluated: BTreeMap<(usize, AgencyId), Vec<(u64, u64)>>,
    /// All elements that honest nodes asked for.
    elements: BTreeSet<[u8; 32]>,
    liars: LiarsList,
}

/// A deed of a node, towards a partner where there is one.
type DeedOf = fn(usize, usize) -> Deed;

impl World {
    /// Draws who matches, and when; in some runs nobody does.
    pub(crate) fn plan_matching(&mut self) {
        if !self.dice.chance(MATCHING_PER_MILLE) {
            return;
        }
        let end = self.plan.chaos_ms;
        let honest = self.honest();
        let mut matchers = self.dice.some(&honest, MATCHERS_MAX);
        if matchers.len() < 2 {
            matchers = honest.into_iter().take(2).collect();
        }
        let partners: Vec<usize> = matchers.iter().copied().chain(self.liar.as_ref().map(|liar| liar.node)).collect();
        for node in matchers.clone() {
            let at = self.dice.below(end / 4);
            self.deed_after(at, Deed::List { node });
            for partner in partners.iter().copied().filter(|partner| *partner != node) {
                if self.dice.chance(800) {
                    let at = self.dice.below(end / 4);
                    self.deed_after(at, Deed::Budget { node, partner });
                }
            }
        }
        let deeds: [(u64, DeedOf); 4] = [
            (7, |node, _| Deed::Ask { node }),
            (5, |node, _| Deed::List { node }),
            (2, |node, partner| Deed::Budget { node, partner }),
            (2, |node, _| Deed::End { node }),
        ];
        for (most, deed) in deeds {
            for _ in 0..self.dice.between(most / 2, most) {
                let node = self.dice.pick(&matchers).unwrap_or_default();
                let partner = self.dice.pick(&partners).unwrap_or_default();
                let at = self.dice.between(end / 5, end);
                self.deed_after(at, deed(node, partner));
            }
        }
        for _ in 0..self.dice.below(3) {
            let (at, node) = (self.dice.below(end), self.dice.pick(&matchers).unwrap_or_default());
            self.deed_after(at, Deed::Epoch { node });
        }
        if self.liar.is_some() {
            for _ in 0..self.dice.between(6, 18) {
                let at = self.dice.between(end / 8, end);
                self.deed_after(at, Deed::Lie);
            }
        }
    }

    fn deed_after(&mut self, delay: u64, deed: Deed) {
        self.act_after(delay, Act::Matching(deed));
    }

    /// Does something about matching. What a node that is down would do it does when it has started.
    pub(crate) fn match_deed(&mut self, deed: Deed) -> Result<(), Stop> {
        if let Deed::Look { node } = deed {
            self.matching.soon.remove(&node);
            return match self.look_after_matching(node) {
                Err(Stop::Full) => {
                    self.look_in(node, AGAIN_MS);
                    Ok(())
                }
                done => done,
            };
        }
        let done = match deed {
            Deed::Look { .. } => Ok(()),
            Deed::List { node } => self.change_list(node),
            Deed::Budget { node, partner } => self.set_budget(node, partner),
            Deed::Ask { node } => self.ask_by_matching(node),
            Deed::End { node } => self.end_some_watch(node),
            Deed::Epoch { node } => {
                let by = self.dice.pick(&[1, 1, 2, -1, -2]).unwrap_or(1);
                self.nodes[node].clock_off_ms += by * EPOCH_S as i64 * 1000;
                self.tell(|_| format!("{node}: its clock is set by {by} epochs"));
                self.look_soon(node);
                Ok(())
            }
            Deed::Lie => self.lie_in_matching(),
        };
        match done {
            Err(Stop::Down | Stop::Full) => Ok(()),
            done => done,
        }
    }

    /// Has a node see soon to what there is to do.
    pub(crate) fn look_soon(&mut self, node: usize) {
        if self.options.without_matching {
            return;
        }
        let delay = self.dice.between(20, SOON_MS);
        self.look_in(node, delay);
    }

    fn look_in(&mut self, node: usize, delay: u64) {
        if self.matching.soon.insert(node) {
            self.deed_after(delay, Deed::Look { node });
        }
    }

    /// One look at everything, as the rows say that it is still to be done.
    fn look_after_matching(&mut self, node: usize) -> Result<(), Stop> {
        if !self.matches(node)? {
            return Ok(());
        }
        self.answer_all(node)?;
        self.take_answers(node)?;
        self.keep_watches(node)?;
        self.publish_all(node)
    }

    /// Whether a node is in the register, as it knows it.
    fn matches(&mut self, node: usize) -> Result<bool, Stop> {
        let me = self.nodes[node].id.clone();
        Ok(self.nodes[node].role == Role::Honest && self.directory(node)?.chain().member(&me).is_some())
    }

    /// Works with the file of lists of a node.
    fn with_lists<T>(
        &mut self,
        node: usize,
        work: impl FnOnce(&mut Lists, &mut ChaCha20Rng) -> Result<T, lists::Error>,
    ) -> Result<T, Stop> {
        let mut random = self.dice.fork();
        let path = self.lists_path(node);
        let held = self.matching.lists.remove(&node).map_or_else(|| Lists::open(&path), Ok);
        let worked = held.and_then(|mut held| {
            let worked = work(&mut held, &mut random);
            self.matching.lists.insert(node, held);
            worked
        });
        worked.map_err(|error| {
            self.failure(Invariant::WorksAlone, &[node], format!("the file of lists failed: {error}")).into()
        })
    }

    fn lists_path(&self, node: usize) -> std::path::PathBuf {
        self.folder.join(format!("{}.matching", self.nodes[node].id))
    }

    /// A node loses power: the file of lists is opened anew when it is needed again.
    pub(crate) fn close_lists(&mut self, node: usize) {
        self.matching.lists.remove(&node);
    }

    /// A disk is lost, and the file of lists is in no backup: the list is imported again from where it comes from. Sometimes it was
    /// on another disk.
    pub(crate) fn lose_lists(&mut self, node: usize) -> Result<(), Stop> {
        self.liar_tells_again(node);
        if self.options.without_matching || self.dice.chance(400) {
            return Ok(());
        }
        let listed = self.listed(node)?;
        self.close_lists(node);
        let path = self.lists_path(node);
        for suffix in ["", "-wal", "-shm"] {
            // Not each of them need be there.
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
        self.matching.erased.remove(&node);
        self.put(node, &listed.into_keys().collect::<Vec<_>>())
    }

    fn put(&mut self, node: usize, wanted: &[String]) -> Result<(), Stop> {
        self.with_lists(node, |lists, random| {
            let entry = |canonical| NewEntry {
                subject: SUBJECT.name(),
                canonical,
                category: Category::Stolen as u8,
                tlp: Tlp::Amber as u8,
                note: None,
                expires_s: None,
            };
            let entries: Vec<_> = wanted.iter().map(|canonical| entry(canonical.as_str())).collect();
            lists.put(&entries, &mut fill(random)).map(drop)
        })
    }

    /// Some identifiers come onto a list, and some are taken off it.
    fn change_list(&mut self, node: usize) -> Result<(), Stop> {
        if !self.is_up(node) {
            return Err(Stop::Down);
        }
        let listed: Vec<String> = self.listed(node)?.into_keys().collect();
        let all: Vec<u64> = (0..IDENTIFIERS).collect();
        let wanted: Vec<String> = self.dice.some(&all, 4).into_iter().map(identifier).collect();
        let gone = if listed.is_empty() { Vec::new() } else { self.dice.some(&listed, 3) };
        self.put(node, &wanted)?;
        let about: Vec<_> = gone.iter().map(|canonical| (SUBJECT.name(), canonical.as_str())).collect();
        self.with_lists(node, |lists, _| lists.remove(&about))?;
        self.tell(|_| format!("{node}: lists {wanted:?}, and no more {gone:?}"));
        self.look_soon(node);
        Ok(())
    }

    /// A supervisor gives a partner a budget that is soon used.
    fn set_budget(&mut self, node: usize, partner: usize) -> Result<(), Stop> {
        if partner == node || !self.matches(node)? {
            return Ok(());
        }
        let limit = self.dice.pick(&[0, 16, 40, 96, 400, 400]).unwrap_or_default();
        let window_days = self.dice.pick(&[1, 10]).unwrap_or(10);
        let budget = MatchBudget { by: None, partner: self.nodes[partner].id.clone(), limit, window_days };
        let record = self.home(node, &budget, &[])?;
        self.say(node, vec![record])
    }

    /// What a node lists now, with what partners are told of it.
    fn listed(&mut self, node: usize) -> Result<BTreeMap<String, u32>, Stop> {
        let mut listed = BTreeMap::new();
        self.with_lists(node, |lists, _| {
            lists.each(SUBJECT.name(), 0, |entry| {
                if !entry.removed {
                    listed.insert(entry.canonical.clone(), publish::label(entry).to_bits());
                }
            })
        })?;
        Ok(listed)
    }

    /// Rows of the view with a facet, in the order of their keys.
    fn matched(&mut self, node: usize, facet: (&'static str, &str)) -> Result<Vec<Row>, Stop> {
        let rows = self.core(node)?.store.rows(NAME, &[], Some(facet));
        rows.map_err(|e| self.failure(Invariant::WorksAlone, &[node], format!("rows cannot be read: {}", e.0)).into())
    }

    /// The first row with a facet that reads as what is wanted.
    fn matched_one<T>(
        &mut self,
        node: usize,
        facet: (&'static str, &str),
        read: impl Fn(&Row) -> Option<T>,
    ) -> Result<Option<(Row, T)>, Stop> {
        let rows = self.matched(node, facet)?;
        Ok(rows.into_iter().find_map(|row| read(&row).map(|said| (row, said))))
    }

    /// A record that a node holds.
    fn held_record(&mut self, node: usize, id: &RecordId) -> Result<Option<Verified>, Stop> {
        let bytes = self.core(node)?.store.record_bytes(id);
        let bytes = bytes
            .map_err(|e| self.failure(Invariant::WorksAlone, &[node], format!("record {id} cannot be read: {e}")))?;
        Ok(bytes.and_then(|bytes| Verified::from_own_store(bytes).ok()))
    }

    /// Puts one record on record, and on its way, once under its name.
    fn say_once(&mut self, node: usize, record: Verified, name: &str) -> Result<(), Stop> {
        self.stats.records += 1;
        self.submit_all(node, vec![Submission { record, key: Some(submission(name)) }])
    }

    /// What of a change has to do with matching, and what must hold of it.
    pub(crate) fn note_matched(&mut self, node: usize, change: &Change) -> Result<(), Stop> {
        let Change::Keep { record, .. } = change else { return Ok(()) };
        if self.options.without_matching || !record.header().kind.starts_with("match-") {
            return Ok(());
        }
        self.look_soon(node);
        self.check_kept(node, record)
    }

    /// Whether anything is left to do about matching between honest agencies that lost nothing.
    pub(crate) fn unmatched(&mut self) -> Result<Option<(Invariant, Vec<usize>, String)>, Stop> {
        if self.options.without_matching {
            return Ok(None);
        }
        for node in self.honest().into_iter().filter(|node| self.is_sound(*node)).collect::<Vec<_>>() {
            let left = |what: String| Ok(Some((Invariant::QuestionsEnd, vec![node], what)));
            if self.matching.soon.contains(&node) {
                return left("it has not seen to what there is to do".to_owned());
            }
            for state in ["waiting", "answered", "open"] {
                for row in self.matched(node, ("state", state))? {
                    // What this agency answered is in the state `answered`, too.
                    let question = Question::of(&row);
                    let partner = publish::partner_of(&row).and_then(|id| self.index(&id));
                    let partner = partner.filter(|partner| self.is_sound(*partner));
                    if partner.is_some() && (question.is_some() || state == "open") {
                        return left(format!("a question stays {state}: {}", row.body));
                    }
                }
            }
            if let Some(what) = self.untold(node)? {
                return left(what);
            }
        }
        Ok(None)
    }
}

/// The canonical form of one of the run's identifiers.
fn identifier(number: u64) -> String {
    format!("{IDENTIFIER}{number:03}")
}

/// What is compared of an item, as an asker makes it.
fn input_of(item: &Item) -> Option<(String, Vec<u8>)> {
    let identifier = Identifier { identifier_type: IdentifierType::SerialNumber, value: item.value.clone() };
    let canonical = identifier.canonical().ok()?;
    let input = input(&canonical);
    Some((canonical, input))
}

/// What is compared of a canonical form.
fn input(canonical: &str) -> Vec<u8> {
    [SUBJECT.name().as_bytes(), &[0x1f], canonical.as_bytes()].concat()
}

/// By what the same is not put on record twice.
fn submission(name: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&sha256(name.as_bytes())[..16]);
    key
}

/// Fills what it is given with random bytes.
fn fill(random: &mut ChaCha20Rng) -> impl FnMut(&mut [u8]) {
    move |bytes| random.fill_bytes(bytes)
}
