//! How many decisions the policy gate makes a second, on one thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use mufakat_node::gate::Gate;
use mufakat_node::gate::cases::{Cases, DEFAULT, Workload};

use super::super::{Figures, Size, percentile};

/// How long one measurement takes.
const TAKES: Duration = Duration::from_millis(500);
/// How many measurements there are; the middle one counts.
const TURNS: usize = 5;

/// Measures the gate, which keeps what it decided; questions that were never asked before; and beside them Cedar alone: the same
/// questions by all rules, with everything laid out before.
pub(crate) fn measure(figures: &Figures, _: Size) -> Result<()> {
    if !figures.wants(&["policy.decisions_per_s", "policy.new_decisions_per_s", "policy.cedar_alone_per_s"]) {
        return Ok(());
    }
    figures.say("policy decisions on one thread");
    let cases = Cases::read(DEFAULT).map_err(|wrong| anyhow!("the default cases: {wrong}"))?;
    let workload = Workload::new(Gate::new(), &cases);
    ensure!(workload.decide() == workload.decide_by_cedar_alone(), "the gate and Cedar decide differently");
    let (mut gate, mut anew, mut cedar) = (Vec::new(), Vec::new(), Vec::new());
    // In turn, so that both meet the same machine.
    for _ in 0..TURNS {
        gate.push(rate(workload.len(), || workload.decide()));
        anew.push(rate(workload.len(), || workload.decide_anew()));
        cedar.push(rate(workload.len(), || workload.decide_by_cedar_alone()));
    }
    figures.put("policy.decisions_per_s", percentile(&mut gate, 0.5), "1/s");
    figures.put("policy.new_decisions_per_s", percentile(&mut anew, 0.5), "1/s");
    figures.put("policy.cedar_alone_per_s", percentile(&mut cedar, 0.5), "1/s");
    Ok(())
}

fn rate(each: usize, work: impl Fn() -> usize) -> f64 {
    let started = Instant::now();
    let mut decided = 0;
    while started.elapsed() < TAKES {
        black_box(work());
        decided += each;
    }
    decided as f64 / started.elapsed().as_secs_f64()
}
