//! The benchmark of private matching. What is said to be of one core is counted in that core's own time, so that whatever else
//! runs on the machine changes it little; the machine's limits are taken in turn with what they are compared with.

mod answers;
mod filters;
mod leak;
mod limits;
mod partners;
mod psi;
mod wire;

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use mufakat_matching::filter::Filter;
use mufakat_matching::question::{self, Secret};
use mufakat_matching::voprf::SecretKey;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustix::time::{ClockId, clock_gettime};

use super::Figures;

/// How many identifiers a query has.
const QUERY: usize = 1_000;

/// How much work each measurement does.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// How often what is quick is measured; the middle one counts.
    turns: usize,
    /// Identifiers of the list that is evaluated, and on which openmined-psi is measured as well.
    list: usize,
    /// Identifiers of the largest filter.
    filter: usize,
    /// Tags that are tested again, and identifiers of the change against which they are.
    cached: usize,
    changed: usize,
    /// Holders that are asked together.
    partners: usize,
}

const FULL: Sizes =
    Sizes { turns: 9, list: 100_000, filter: 10_000_000, cached: 1_000_000, changed: 10_000, partners: 30 };
const QUICK: Sizes = Sizes { turns: 3, list: 10_000, filter: 1_000_000, cached: 100_000, changed: 1_000, partners: 3 };

/// Measures all of it. `psi` is the Python and the program for openmined-psi, or why there is none.
pub(super) fn measure(figures: &Figures, quick: bool, psi: Result<(&Path, &Path), &str>) -> Result<()> {
    let sizes = if quick { QUICK } else { FULL };
    figures.say("the machine's own limits, and answers");
    let limits = answers::measure(figures, sizes)?;
    leak::measure(figures, sizes)?;
    wire::measure(figures)?;
    if figures.wants(&["matching.setup", "matching.openmined", "matching.query_1000_of_100k"]) {
        figures.say(&format!("a list of {} is evaluated", sizes.list));
        let list = answers::set_up(figures, sizes.list)?;
        psi::measure(figures, &list, psi)?;
    }
    filters::measure(figures, sizes, &limits)?;
    partners::measure(figures, sizes)
}

/// The key under which everything here is evaluated.
fn key() -> Result<SecretKey> {
    SecretKey::derive(&[7; 32], b"EXERCISE").map_err(|fault| anyhow!("no key: {fault}"))
}

/// Randomness that is the same in every run.
fn random(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// The value of a passport that nobody has.
fn passport(number: usize) -> String {
    format!("IDN:E{number:08}")
}

/// Inputs of the VOPRF as a node makes them.
fn inputs(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("passport\x1f{}", passport(number))).collect()
}

/// What some work gives, and how many seconds of processors this program used for it.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let now = || {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
    };
    let before = now();
    let done = work();
    (done, now() - before)
}

/// What a query costs, in seconds of one core.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// The question, its answer's proof, taking the blinds off, and looking up.
    asker_s: f64,
    /// Decoding, evaluating and proving.
    holder_s: f64,
}

/// Asks, answers, takes the answer and looks it up. The first `listed` inputs are listed, each with its place as its label, and
/// the others are not.
fn query(key: &SecretKey, filter: &Filter, inputs: &[String], listed: usize, random: &mut ChaCha20Rng) -> Result<Cost> {
    let failed = |fault: question::Fault| anyhow!("the query failed: {fault}");
    let (mut secret, mut fresh) = ([0; 32], [0; 64]);
    random.fill_bytes(&mut secret);
    random.fill_bytes(&mut fresh);
    let secret = Secret::from_bytes(secret);
    let (question, ask_s) = timed(|| question::ask(&secret, inputs));
    let question = question.map_err(failed)?;
    let (answer, holder_s) = timed(|| question::answer(key, &question, &fresh));
    let answer = answer.map_err(failed)?;
    let (labels, take_s) = timed(|| {
        let tags = question::take(&secret, inputs, &question, key.public(), &answer.evaluated, &answer.proof);
        tags.map(|tags| filter.look_up_all(&tags))
    });
    let labels = labels.map_err(failed)?;
    let right = (0..).zip(&labels).all(|(place, label)| *label == (place < listed).then_some(place as u32));
    ensure!(right && labels.len() == inputs.len(), "the filter does not say what is listed");
    Ok(Cost { asker_s: ask_s + take_s, holder_s })
}

/// What the middle one of some queries costs; each has a secret of its own.
fn queries(turns: usize, key: &SecretKey, filter: &Filter, inputs: &[String], listed: usize) -> Result<Cost> {
    let mut random = random(3);
    let costs = (0..turns).map(|_| query(key, filter, inputs, listed, &mut random));
    let mut costs = costs.collect::<Result<Vec<_>>>()?;
    costs.sort_by(|one, other| (one.asker_s + one.holder_s).total_cmp(&(other.asker_s + other.holder_s)));
    Ok(costs[costs.len() / 2])
}
