//! The test of the tests: each known mistake is planted in turn, and some layer must catch it. A mistake that nothing
//! catches is a hole in the tests.
#![cfg(feature = "sim")]

mod crash;
mod driver;
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crash::cuts::QUICK;
use crash::sweep::hunt;
use crash::workloads::WORKLOADS;
use oncelog::sim::{Bug, plant};

/// Seeds of the simulation that are tried for a mistake that no crash state shows.
const SEEDS: u64 = 400;

/// Which layer caught the mistake, and how to see it again.
fn caught(bug: Bug) -> Option<String> {
    let _planted = plant(bug);
    crash_states().map(|found| format!("crash states: {found}")).or_else(simulation)
}

fn crash_states() -> Option<String> {
    let failure = WORKLOADS.iter().find_map(|workload| hunt(workload, QUICK).err())?;
    failure.lines().next().map(str::to_owned)
}

fn simulation() -> Option<String> {
    (1..=SEEDS).find_map(|seed| match catch_unwind(AssertUnwindSafe(|| driver::run(seed))) {
        Ok(Ok(_)) => None,
        Ok(Err(fault)) => Some(format!("simulation: seed {seed}: {}", fault.lines().next().unwrap_or_default())),
        Err(_) => Some(format!("simulation: seed {seed}: panic")),
    })
}

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let begun = std::time::Instant::now();
        match caught(*bug) {
            Some(how) => println!("{bug:?}, after {} ms, by {how}", begun.elapsed().as_millis()),
            None => missed.push(*bug),
        }
    }
    assert!(missed.is_empty(), "nothing caught these planted bugs: {missed:?}");
}
