//! Whether the time that an answer takes tells of what is asked: Welch's t of the times of two sorts of questions, one that always
//! asks for the same identifiers and one that asks for others each time, in the manner of "dudect" (Reparaz, Balasch and
//! Verbauwhede, 2017). Blinds are fresh in both. There, a t beyond 4.5 is taken for a leak.

use std::time::Instant;

use anyhow::{Result, anyhow};
use mufakat_matching::question::{self, Secret};
use rand_chacha::rand_core::Rng;

use super::{Sizes, inputs, key, random};
use crate::bench::Figures;

/// How many identifiers a question has: the smallest size, whose time has the least noise.
const COUNT: usize = 16;
/// How many questions of each sort for each turn.
const EACH_TURN: usize = 200;
/// The share of times that is looked at, the shortest ones: the longest are those of interruptions.
const SHARE: f64 = 0.9;

/// Measures it.
pub(super) fn measure(figures: &Figures, sizes: Sizes) -> Result<()> {
    if !figures.wants(&["matching.answer_leak"]) {
        return Ok(());
    }
    let (key, mut random) = (key()?, random(5));
    let (mut same, mut other) = (Vec::new(), Vec::new());
    for turn in 0..2 * EACH_TURN * sizes.turns {
        // In an order that nothing else on the machine follows.
        let (times, first) = if random.next_u32() & 1 == 0 { (&mut same, 0) } else { (&mut other, (turn + 1) * COUNT) };
        let (mut secret, mut fresh) = ([0; 32], [0; 64]);
        random.fill_bytes(&mut secret);
        random.fill_bytes(&mut fresh);
        let failed = |fault: question::Fault| anyhow!("an answer failed: {fault}");
        let asked = question::ask(&Secret::from_bytes(secret), &inputs(first..first + COUNT)).map_err(failed)?;
        let began = Instant::now();
        question::answer(&key, &asked, &fresh).map_err(failed)?;
        times.push(began.elapsed().as_secs_f64());
    }
    let note = format!("{} and {} answers; beyond 4.5 there would be a leak", same.len(), other.len());
    figures.put_noted("matching.answer_leak_t", t(&mut same, &mut other).abs(), "Welch's t", &note);
    Ok(())
}

/// Welch's t of two lists of times without the longest of both together.
fn t(one: &mut Vec<f64>, other: &mut Vec<f64>) -> f64 {
    let mut all: Vec<f64> = one.iter().chain(other.iter()).copied().collect();
    let longest = crate::bench::percentile(&mut all, SHARE);
    let part = |times: &mut Vec<f64>| {
        times.retain(|time| *time <= longest);
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((mean, error), (other_mean, other_error)) = (part(one), part(other));
    (mean - other_mean) / (error + other_error).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_and_noise_does_not() {
        let noise = |shift: f64| (0..1_000).map(move |n: u32| f64::from(n * 7_919 % 1_000) + shift).collect::<Vec<_>>();
        assert!(t(&mut noise(0.0), &mut noise(0.0)).abs() < 0.1);
        assert!(t(&mut noise(0.0), &mut noise(300.0)).abs() > 4.5);
    }
}
