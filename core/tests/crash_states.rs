//! Every disk that a power cut can leave behind a workload, opened, checked against what was acknowledged, and crashed
//! again during its recovery.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod crash;

use crash::{cuts, sweep};
use oncelog::sim::branches;

/// Branches of recovery that power cuts lead to. Rot has its own tests.
const BRANCHES: [&str; 6] =
    ["torn_frame", "torn_transaction_part", "tail_copied", "crash_in_copy", "roll_with_two_unsynced", "poison"];

#[test]
fn whatever_a_power_cut_leaves_holds_what_was_acknowledged_and_nothing_torn() {
    if std::env::var_os("STATE").is_some() {
        return;
    }
    let counts = sweep::sweep(cuts::FULL).unwrap_or_else(|failures| panic!("{failures}"));
    let (mut states, mut again) = (0, 0);
    for (name, count) in &counts {
        println!("{:8} states, {:6} crashed again, {:4} calls: {name}", count.states, count.again, count.calls);
        (states, again) = (states + count.states, again + count.again);
    }
    println!("{states:8} states, {again:6} crashed again, {} workloads", counts.len());
    assert!(states > 50_000 && counts.len() >= 12, "too few states for the claim");
    let branches = branches();
    branches.iter().for_each(|(name, times)| println!("{times:8} {name}"));
    let missed: Vec<&&str> = BRANCHES.iter().filter(|name| !branches.contains_key(**name)).collect();
    assert!(missed.is_empty(), "no state took these branches of recovery: {missed:?}");
}

#[test]
fn one_state_on_demand() {
    let Ok(state) = std::env::var("STATE") else { return };
    if let Err(failure) = sweep::one(&state) {
        panic!("{failure}");
    }
}
