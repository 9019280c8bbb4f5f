//! Building a filter: choosing the slots so that the four of each listed tag XOR to its word.
//!
//! Each entry is an equation in four slots. A slot that stands in one equation only can be chosen last, so that equation is
//! peeled off, which leaves others alone, until none is left; the slots are then chosen in the opposite order. The segments
//! make peeling run through the filter from its beginning like a wave (Graf and Lemire), so that with the entries in order of
//! their first slots, all memory at work is that of a few segments and stays in the processor's cache.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::class::{self, Layout};
use super::{Class, Fault};
use crate::tag::Tag;

/// How many seeds are tried. One fails for fewer than one full list in thirty, so all do for fewer than one in 10^23.
pub(super) const TRIES_MAX: usize = 16;

/// An entry: the hash of its place, and the word that is to be found there.
#[derive(Clone, Copy, Default)]
struct Equation {
    hash: u64,
    word: u64,
}

/// The seed and the slots of a filter with these entries.
pub(super) fn solve(
    class: Class,
    entries: &[(Tag, u32)],
    random: &mut impl FnMut(&mut [u8]),
) -> Result<(u64, Vec<u64>), Fault> {
    if entries.len() > class.capacity() {
        return Err(Fault::TooManyEntries { entries: entries.len(), capacity: class.capacity() });
    }
    for attempt in 0..TRIES_MAX {
        let mut seed = [0; 8];
        random(&mut seed);
        let seed = u64::from_le_bytes(seed);
        let mut system = System::new(class);
        if system.peel(&equations(class, entries, seed)) {
            let mut filling = [0; 32];
            random(&mut filling);
            return Ok((seed, system.choose(ChaCha8Rng::from_seed(filling))));
        }
        // What has two entries has no seed at all, and nothing else that fails often has; so it is enough to look now.
        if attempt == 0 && repeats(entries) {
            return Err(Fault::Repeated);
        }
    }
    Err(Fault::Unplaceable)
}

/// The equations, ordered by the segments of their first slots, and where those of each segment end.
fn equations(class: Class, entries: &[(Tag, u32)], seed: u64) -> (Vec<Equation>, Vec<usize>) {
    let layout = class.layout();
    let segment = |hash| layout.first_slot(hash) >> layout.segment_bits;
    let mut ends = vec![0; class.slots() >> layout.segment_bits];
    for (tag, _) in entries {
        ends[segment(class::hash(tag.place, seed))] += 1;
    }
    let mut sum = 0;
    for end in &mut ends {
        // First each is where its segment begins; it moves to the end as the segment fills.
        sum += std::mem::replace(end, sum);
    }
    let mut ordered = vec![Equation::default(); entries.len()];
    for (tag, label) in entries {
        let hash = class::hash(tag.place, seed);
        let end = &mut ends[segment(hash)];
        ordered[*end] = Equation { hash, word: word(tag, *label) };
        *end += 1;
    }
    (ordered, ends)
}

/// What the slots of a tag XOR to: its check, and its label under its mask.
pub(super) fn word(tag: &Tag, label: u32) -> u64 {
    u64::from(tag.check) << 32 | u64::from(label ^ tag.mask)
}

fn repeats(entries: &[(Tag, u32)]) -> bool {
    let mut places: Vec<u128> = entries.iter().map(|(tag, _)| tag.place).collect();
    places.sort_unstable();
    places.array_windows().any(|[one, next]| one == next)
}

/// The most equations that one slot may stand in. In full classes they are four on average, so that only repeats come near.
const DEGREE_MAX: u8 = 254;
/// In the place of the degree: the slot is the one that is chosen for an equation.
const CHOSEN: u8 = 255;

struct System {
    layout: Layout,
    /// For each slot, the XOR of the equations that it stands in.
    sums: Vec<Equation>,
    degrees: Vec<u8>,
    /// The slots that were at some time alone, in that order: the queue, and then the order of peeling.
    alone: Vec<u32>,
}

impl System {
    fn new(class: Class) -> Self {
        let slots = class.slots();
        Self {
            layout: class.layout(),
            sums: vec![Equation::default(); slots],
            degrees: vec![0; slots],
            alone: Vec::with_capacity(slots),
        }
    }

    /// Peels off all equations, if this order of slots allows it.
    fn peel(&mut self, (equations, ends): &(Vec<Equation>, Vec<usize>)) -> bool {
        let (mut from, mut done, mut peeled) = (0, 0, 0);
        for (segment, &end) in ends.iter().enumerate() {
            for equation in &equations[from..end] {
                for slot in self.layout.slots(equation.hash) {
                    add(&mut self.sums[slot], equation);
                    if self.degrees[slot] == DEGREE_MAX {
                        return false;
                    }
                    self.degrees[slot] += 1;
                }
            }
            from = end;
            // From here on no equation comes to this segment, so that what is alone in it stays alone.
            let (first, behind) = (segment << self.layout.segment_bits, (segment + 1) << self.layout.segment_bits);
            for slot in first..behind {
                if self.degrees[slot] == 1 {
                    self.alone.push(slot as u32);
                }
            }
            while let Some(&slot) = self.alone.get(done) {
                done += 1;
                peeled += usize::from(self.take(slot as usize, behind));
            }
        }
        peeled == equations.len()
    }

    /// Peels off the equation of a slot that is alone, and queues the slots below `behind` that this leaves alone. It may have gone
    /// with another of its slots already; then this slot is free.
    fn take(&mut self, slot: usize, behind: usize) -> bool {
        if self.degrees[slot] != 1 {
            return false;
        }
        let equation = self.sums[slot];
        for other in self.layout.slots(equation.hash) {
            add(&mut self.sums[other], &equation);
            self.degrees[other] -= 1;
            if self.degrees[other] == 1 && other < behind {
                self.alone.push(other as u32);
            }
        }
        // Nothing touches the slot any more: it keeps its equation until its word is chosen.
        self.sums[slot] = equation;
        self.degrees[slot] = CHOSEN;
        true
    }

    /// The slots: random ones, and those that are chosen for the equations, the last that was peeled off first.
    fn choose(mut self, mut random: ChaCha8Rng) -> Vec<u64> {
        for (sum, &degree) in self.sums.iter_mut().zip(&self.degrees) {
            if degree != CHOSEN {
                sum.word = random.next_u64();
            }
        }
        for &slot in self.alone.iter().rev() {
            let slot = slot as usize;
            if self.degrees[slot] == CHOSEN {
                // Its own word is that of the equation until now.
                let four = self.layout.slots(self.sums[slot].hash);
                self.sums[slot].word = four.iter().fold(0, |sum, &slot| sum ^ self.sums[slot].word);
            }
        }
        self.sums.iter().map(|sum| sum.word).collect()
    }
}

fn add(sum: &mut Equation, equation: &Equation) {
    sum.hash ^= equation.hash;
    sum.word ^= equation.word;
}
