//! The test of the tests: each known mistake is planted in turn, and some layer must catch it. A mistake that nothing
//! catches is a hole in the tests.
#![cfg(feature = "sim")]

mod crash;
mod driver;
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crash::cuts::QUICK;
use crash::sweep::hunt;
use crash::workloads::{WORKLOADS, Workload};
use oncelog::sim::{Bug, plant};

/// Seeds of the simulation that are tried for each mistake.
const SEEDS: u64 = 400;

/// The workload that was written with a mistake in mind; the others are asked only if it fails to show it. Rot is no
/// crash state: only the simulation has it.
fn made_for(bug: Bug) -> Option<&'static str> {
    Some(match bug {
        Bug::AckBeforeFlush | Bug::TailBodyUnchecked => "append-disk",
        Bug::DurableCountedAtFlushEnd => "unwritten-behind-a-flush",
        Bug::FailedFlushRetried | Bug::TailServedUncopied => "failed-flush-lies",
        Bug::NoDirectorySync | Bug::OlderFileNotFlushedAtRoll => "roll-unsynced",
        Bug::RotCutAsTorn => return None,
        Bug::FenceNotDurable => "fence",
        Bug::DuplicateBeforeOriginal => "raw",
        Bug::PositionApartFromRecords => "named",
        Bug::CheckpointNewerThanLsn => "raw-between-checkpoints",
    })
}

/// The first state of some workloads that shows the mistake.
fn crash_states(mut workloads: impl Iterator<Item = &'static Workload>) -> Option<String> {
    let failure = workloads.find_map(|workload| hunt(workload, QUICK).err())?;
    Some(format!("crash state {}", failure.lines().next().unwrap_or_default()))
}

fn simulation() -> Option<String> {
    (1..=SEEDS).find_map(|seed| match catch_unwind(AssertUnwindSafe(|| driver::run(seed))) {
        Ok(Ok(_)) => None,
        Ok(Err(fault)) => Some(format!("simulation seed {seed}: {}", fault.lines().next().unwrap_or_default())),
        Err(_) => Some(format!("simulation seed {seed}: a panic")),
    })
}

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let _planted = plant(*bug);
        let begun = Instant::now();
        let mut layers = Vec::new();
        if let Some(name) = made_for(*bug) {
            layers.extend(crash_states(WORKLOADS.iter().filter(|workload| workload.name == name)));
        }
        layers.extend(simulation());
        if layers.is_empty() {
            layers.extend(crash_states(WORKLOADS.iter()));
        }
        println!("{bug:?}, {} ms:", begun.elapsed().as_millis());
        layers.iter().for_each(|layer| println!("    {layer}"));
        if layers.is_empty() {
            missed.push(*bug);
        }
    }
    assert!(missed.is_empty(), "nothing caught these planted bugs: {missed:?}");
}

#[test]
fn without_a_planted_bug_no_layer_cries() {
    let failure = crash_states(WORKLOADS.iter().filter(|workload| made_for_any(workload.name)));
    assert!(failure.is_none(), "{failure:?}");
}

fn made_for_any(name: &str) -> bool {
    Bug::ALL.iter().any(|bug| made_for(*bug) == Some(name))
}
