//! Evaluating: answers with proof, and a list for its filter.

use std::time::Instant;

use anyhow::{Result, anyhow};
use mufakat_matching::filter::{Class, Filter};
use mufakat_matching::tag::Tag;
use mufakat_matching::voprf::{self, Blind, Elements, SecretKey};
use rand_chacha::rand_core::Rng;

use super::limits::{self, Multiplications};
use super::{QUERY, Sizes, inputs, key, random, timed};
use crate::bench::{Figures, percentile};

/// How many inputs are evaluated together, as in the node.
const TOGETHER: usize = 512;

/// Measures the bare curve and answers in turn; gives the curve's limits.
pub(super) fn measure(figures: &Figures, sizes: Sizes) -> Result<Multiplications> {
    let failed = |fault: voprf::Fault| anyhow!("an answer failed: {fault}");
    let (key, mut random) = (key()?, random(1));
    let mut fresh = || {
        let mut bytes = [0; 64];
        random.fill_bytes(&mut bytes);
        bytes
    };
    let blinds: Vec<_> = (0..QUERY).map(|_| Blind::from_random(&fresh())).collect::<Result<_, _>>().map_err(failed)?;
    let blinded = voprf::blind(&inputs(0..QUERY), &blinds).map_err(failed)?;
    let (mut variable, mut fixed, mut rates, mut shares) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..sizes.turns {
        let limits = limits::multiplications();
        let fresh = fresh();
        let (answer, took_s) = timed(|| voprf::evaluate(&key, &Elements::decode(&blinded)?, &fresh));
        answer.map_err(failed)?;
        variable.push(limits.variable_s);
        fixed.push(limits.fixed_s);
        rates.push(QUERY as f64 / took_s);
        shares.push(limits.variable_s * QUERY as f64 / took_s);
    }
    let limits = Multiplications { variable_s: percentile(&mut variable, 0.5), fixed_s: percentile(&mut fixed, 0.5) };
    figures.put_noted("machine.ristretto_per_s", 1.0 / limits.variable_s, "1/s", limits::backend());
    figures.put("machine.ristretto_base_per_s", 1.0 / limits.fixed_s, "1/s");
    figures.put("matching.answers_per_s", percentile(&mut rates, 0.5), "1/s");
    figures.put("matching.answers_of_limit", percentile(&mut shares, 0.5), "of the bare multiplications");
    Ok(limits)
}

/// A list that was evaluated, and its filter, in which each entry's label is its place.
pub(super) struct List {
    /// The key.
    pub(super) key: SecretKey,
    /// What is listed.
    pub(super) inputs: Vec<String>,
    /// Its filter.
    pub(super) filter: Filter,
}

/// Measures how long a list takes, on one core and on all.
pub(super) fn set_up(figures: &Figures, count: usize) -> Result<List> {
    let (key, inputs, mut random) = (key()?, inputs(0..count), random(2));
    let before = limits::multiplications();
    let (filter, one_s) = timed(|| build(evaluated(&key, &inputs)?, &mut random));
    let bare_s = (before.variable_s + limits::multiplications().variable_s) / 2.0;
    let filter = filter?;
    figures.put("matching.setup_us_per_id", one_s * 1e6 / count as f64, "us");
    figures.put("matching.setup_of_limit", bare_s * count as f64 / one_s, "of the bare multiplications");
    let cores = std::thread::available_parallelism()?.get();
    let started = Instant::now();
    let tags = std::thread::scope(|scope| {
        let parts = inputs.chunks(count.div_ceil(cores));
        let threads: Vec<_> = parts.map(|part| scope.spawn(|| evaluated(&key, part))).collect();
        threads.into_iter().try_fold(Vec::with_capacity(count), |mut tags, thread| {
            tags.extend(thread.join().map_err(|_| anyhow!("a thread panicked"))??);
            anyhow::Ok(tags)
        })
    })?;
    build(tags, &mut random)?;
    let all_us = started.elapsed().as_secs_f64() * 1e6 / count as f64;
    let note = format!("{cores} cores, by the clock on the wall");
    figures.put_noted("matching.setup_us_per_id_all_cores", all_us, "us", &note);
    Ok(List { key, inputs, filter })
}

fn evaluated(key: &SecretKey, inputs: &[String]) -> Result<Vec<Tag>> {
    let mut tags = Vec::with_capacity(inputs.len());
    for some in inputs.chunks(TOGETHER) {
        let outputs = voprf::outputs(key, some).map_err(|fault| anyhow!("a list failed: {fault}"))?;
        tags.extend(outputs.iter().map(Tag::of));
    }
    Ok(tags)
}

fn build(tags: Vec<Tag>, random: &mut impl Rng) -> Result<Filter> {
    let class = Class::holding(tags.len()).ok_or_else(|| anyhow!("no filter is so large"))?;
    let entries: Vec<_> = tags.into_iter().zip(0..).collect();
    Filter::build(class, &entries, &mut |bytes| random.fill_bytes(bytes)).map_err(|fault| anyhow!("no filter: {fault}"))
}
