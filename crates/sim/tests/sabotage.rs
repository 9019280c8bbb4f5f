//! The checks can fail: for everything that is broken on purpose some seed breaks, and it breaks the invariant that it should.

use mufakat_sim::{Failure, Invariant, Options, Sabotage, run};

/// In how many seeds a break must show.
const SEEDS: u64 = 40;

/// The first failure that a break causes.
fn caught(sabotage: Sabotage) -> Option<Failure> {
    let options = Options { sabotage: Some(sabotage), ..Options::default() };
    (1..=SEEDS).find_map(|seed| run(seed, &options).err())
}

fn check(sabotage: Sabotage) {
    let (_, invariant) = Sabotage::ALL.into_iter().find(|(each, _)| *each == sabotage).unwrap();
    let failure = caught(sabotage).unwrap_or_else(|| panic!("{sabotage:?} is not caught in {SEEDS} seeds"));
    assert_eq!(failure.invariant, invariant, "{sabotage:?} shows as something else:\n{failure}");
    assert!(!failure.trail.is_empty() && failure.to_string().contains("--from"));
}

#[test]
fn a_dropped_record_is_caught() {
    check(Sabotage::DropReceipt);
}

#[test]
fn a_skipped_gap_is_caught() {
    check(Sabotage::SkipGap);
}

#[test]
fn a_leak_is_caught() {
    check(Sabotage::LeakToOutsider);
}

#[test]
fn a_receipt_before_the_commit_is_caught() {
    check(Sabotage::ForgetOnCrash);
}

#[test]
fn a_rewritten_ledger_is_caught() {
    check(Sabotage::RewriteLedger);
}

#[test]
fn a_delivery_to_a_removed_agency_is_caught() {
    check(Sabotage::DeliverToRemoved);
}

#[test]
fn a_step_that_the_views_never_heard_of_is_caught() {
    check(Sabotage::UnfoldedStep);
}

#[test]
fn a_report_that_the_views_never_heard_of_is_caught() {
    check(Sabotage::UnfoldedReport);
}

#[test]
fn a_use_that_never_was_is_caught() {
    check(Sabotage::MiscountUse);
}

#[test]
fn a_home_record_that_leaves_is_caught() {
    check(Sabotage::SendHome);
}

#[test]
fn a_deletion_of_what_is_held_is_caught() {
    check(Sabotage::DeleteHeld);
}

#[test]
fn an_answer_that_the_views_never_heard_of_is_caught() {
    check(Sabotage::UnfoldedAnswer);
}

#[test]
fn an_answer_and_a_refusal_of_one_question_is_caught() {
    check(Sabotage::AnswerTwice);
}

#[test]
fn a_filter_in_the_wrong_order_is_caught() {
    check(Sabotage::LookOldestFirst);
}

#[test]
fn a_question_in_clear_is_caught() {
    check(Sabotage::AskInClear);
}

#[test]
fn a_secret_that_is_used_again_is_caught() {
    check(Sabotage::ReuseBlinds);
}

#[test]
fn an_answered_replay_is_caught() {
    check(Sabotage::AnswerReplays);
}

#[test]
fn a_believed_lie_is_caught() {
    check(Sabotage::BelieveAnswer);
}

#[test]
fn a_forgotten_budget_is_caught() {
    check(Sabotage::ForgetBudget);
}

#[test]
fn each_break_has_its_invariant() {
    let invariants: std::collections::BTreeSet<Invariant> = Sabotage::ALL.into_iter().map(|(_, i)| i).collect();
    assert!(invariants.len() >= 14);
}
