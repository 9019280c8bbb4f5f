//! Large filters: building one, looking up in it, a query against it, and testing again what is cached.

use anyhow::{Context, Result, anyhow, ensure};
use mufakat_matching::filter::{Class, Filter};
use mufakat_matching::tag::{TAG_BYTES, Tag};
use mufakat_matching::voprf;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use super::limits::{Memory, Multiplications};
use super::{QUERY, Sizes, inputs, key, queries, random, timed};
use crate::bench::{Figures, percentile};

/// How many of the query's identifiers are listed.
const LISTED: usize = QUERY / 2;
/// How many tags are looked up at once: those of a full question.
const LOOKED_UP: usize = QUERY;
/// How many tags lookups are measured with.
const LOOKUPS: usize = 1_000_000;
/// How many of the cached tags are among what changed.
const CHANGED_CACHED: usize = 100;
/// How many slots a lookup reads.
const READS_PER_LOOKUP: f64 = 4.0;
/// The bits of a slot, and those of them that are the label's.
const SLOT_BITS: f64 = 64.0;
const LABEL_BITS: f64 = 32.0;

/// Measures on filters that are made for it.
pub(super) fn measure(figures: &Figures, sizes: Sizes, limits: &Multiplications) -> Result<()> {
    let large =
        ["matching.filter_bits", "matching.lookup", "matching.build", "matching.query_1000_of_10m", "machine.read"];
    if figures.wants(&large) {
        largest(figures, sizes, limits)?;
    }
    if figures.wants(&["matching.retest"]) {
        figures.say(&format!("{} cached tags against a change of {}", sizes.cached, sizes.changed));
        retest(figures, sizes)?;
    }
    Ok(())
}

fn largest(figures: &Figures, sizes: Sizes, limits: &Multiplications) -> Result<()> {
    figures.say(&format!("a filter of {}", sizes.filter));
    let (key, inputs, mut random) = (key()?, inputs(0..QUERY), random(4));
    let outputs = voprf::outputs(&key, &inputs[..LISTED]).map_err(|fault| anyhow!("no tags: {fault}"))?;
    let mut entries: Vec<(Tag, u32)> = outputs.iter().map(Tag::of).zip(0..).collect();
    // Tags that are evaluated look random; to evaluate so many takes minutes, and is measured on its own.
    entries.extend((LISTED..sizes.filter).map(|place| (tag(&mut random), place as u32)));
    let class = Class::holding(sizes.filter).context("no filter is so large")?;
    let (filter, build_s) = timed(|| build(class, &entries, &mut random));
    let filter = filter?;
    let made_up = format!("but for {LISTED} tags that are evaluated, the tags of the list are random bytes");
    figures.put_noted("matching.build_10m_s", build_s, "s", &made_up);
    let slots_per_id = class.slots() as f64 / sizes.filter as f64;
    let note = format!("with the label {:.2}", slots_per_id * SLOT_BITS);
    figures.put_noted("matching.filter_bits_per_id", slots_per_id * (SLOT_BITS - LABEL_BITS), "bits", &note);

    figures.say("lookups");
    let listed = |random: &mut ChaCha20Rng| entries[random.next_u64() as usize % entries.len()].0.clone();
    let tags: Vec<_> =
        (0..LOOKUPS).map(|turn| if turn % 2 == 0 { listed(&mut random) } else { tag(&mut random) }).collect();
    drop(entries);
    lookups(figures, sizes, &filter, &tags)?;

    figures.say("queries");
    let cost = queries(sizes.turns, &key, &filter, &inputs, LISTED)?;
    let whole_s = cost.asker_s + cost.holder_s;
    let note = format!("asker {:.1} ms, holder {:.1} ms; {made_up}", cost.asker_s * 1e3, cost.holder_s * 1e3);
    figures.put_noted("matching.query_1000_of_10m_cpu_ms", whole_s * 1e3, "ms", &note);
    // Each identifier is multiplied by its blind, by the key and by the blind's inverse.
    let bare_s = limits.variable_s * 3.0 * QUERY as f64;
    figures.put("matching.query_of_limit", bare_s / whole_s, "of the bare multiplications");
    Ok(())
}

/// Looks up, many tags at once and one by one, in turn with bare reads of as much memory.
fn lookups(figures: &Figures, sizes: Sizes, filter: &Filter, tags: &[Tag]) -> Result<()> {
    let memory = Memory::new(filter.as_bytes().len());
    let (mut reads, mut chained, mut together, mut alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..sizes.turns {
        reads.push(memory.read_ns());
        chained.push(memory.chained_read_ns());
        let (hits, took_s) = timed(|| {
            tags.chunks(LOOKED_UP).map(|some| filter.look_up_all(some).iter().flatten().count()).sum::<usize>()
        });
        ensure!(hits.abs_diff(tags.len() / 2) < 5, "{hits} of {} tags are found", tags.len());
        together.push(took_s * 1e9 / tags.len() as f64);
        let (hits, took_s) = timed(|| tags.iter().filter(|tag| filter.look_up(tag).is_some()).count());
        ensure!(hits.abs_diff(tags.len() / 2) < 5, "{hits} of {} tags are found", tags.len());
        alone.push(took_s * 1e9 / tags.len() as f64);
    }
    let (bare, whole) = (percentile(&mut reads, 0.5), percentile(&mut together, 0.5));
    figures.put_noted("machine.read_ns", bare, "ns", "8 bytes from anywhere in memory as large as the filter");
    figures.put("machine.chained_read_ns", percentile(&mut chained, 0.5), "ns");
    figures.put("matching.lookup_ns_10m", whole, "ns");
    figures.put("matching.lookup_of_limit", bare * READS_PER_LOOKUP / whole, "of the bare reads");
    figures.put("matching.lookup_alone_ns_10m", percentile(&mut alone, 0.5), "ns");
    Ok(())
}

/// Tests kept tags against a change of the list.
fn retest(figures: &Figures, sizes: Sizes) -> Result<()> {
    let mut random = random(5);
    let cached: Vec<[u8; TAG_BYTES]> = (0..sizes.cached).map(|_| tag(&mut random).to_bytes()).collect();
    let again = cached.iter().step_by(sizes.cached / CHANGED_CACHED).map(Tag::from_bytes);
    let mut changed: Vec<(Tag, u32)> = again.zip(0..).collect();
    changed.extend((CHANGED_CACHED..sizes.changed).map(|place| (tag(&mut random), place as u32)));
    let class = Class::holding(changed.len()).context("no filter is so large")?;
    let delta = build(class, &changed, &mut random)?;
    let memory = Memory::new(delta.as_bytes().len());
    let (mut reads, mut taken) = (Vec::new(), Vec::new());
    for _ in 0..sizes.turns {
        reads.push(memory.read_ns() * READS_PER_LOOKUP * sizes.cached as f64 / 1e9);
        let (hits, took_s) = timed(|| {
            let look_up = |some: &[[u8; TAG_BYTES]]| {
                let tags: Vec<_> = some.iter().map(Tag::from_bytes).collect();
                delta.look_up_all(&tags).iter().flatten().count()
            };
            cached.chunks(LOOKED_UP).map(look_up).sum::<usize>()
        });
        ensure!(hits == CHANGED_CACHED, "{hits} of {CHANGED_CACHED} cached tags are found");
        taken.push(took_s);
    }
    let (bare_s, whole_s) = (percentile(&mut reads, 0.5), percentile(&mut taken, 0.5));
    figures.put_noted("matching.retest_1m_s", whole_s, "s", "from the bytes in which tags are kept, in memory");
    figures.put("matching.retest_of_limit", bare_s / whole_s, "of the bare reads");
    Ok(())
}

fn build(class: Class, entries: &[(Tag, u32)], random: &mut impl Rng) -> Result<Filter> {
    Filter::build(class, entries, &mut |bytes| random.fill_bytes(bytes)).map_err(|fault| anyhow!("no filter: {fault}"))
}

fn tag(random: &mut impl Rng) -> Tag {
    let mut bytes = [0; TAG_BYTES];
    random.fill_bytes(&mut bytes);
    Tag::from_bytes(&bytes)
}
