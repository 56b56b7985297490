//! The test of the tests: each known mistake is planted in turn, and the simulation must catch it, and so must the
//! workload of the crash states that was made for it, if one was. A mistake that is not caught is a hole in the tests.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod crash;
mod damage;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod driver;
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crash::cuts::QUICK;
use crash::sweep::hunt;
use crash::workloads::{WORKLOADS, Workload};
use damage::{Hit, Sound};
use oncelog::sim::{Bug, plant};

/// Seeds of the simulation that are tried for each mistake.
const SEEDS: usize = 400;

/// The workload that was written with a mistake in mind.
fn made_for(bug: Bug) -> Option<&'static str> {
    Some(match bug {
        Bug::AckBeforeFlush | Bug::TailBodyUnchecked => "append-disk",
        Bug::DurableCountedAtFlushEnd => "unwritten-behind-a-flush",
        Bug::FailedFlushRetried | Bug::TailServedUncopied => "failed-flush-lies",
        Bug::NoDirectorySync | Bug::OlderFileNotFlushedAtRoll => "roll-unsynced",
        // Rot is no crash state.
        Bug::RotCutAsTorn => return None,
        Bug::FenceNotDurable => "fence",
        Bug::DuplicateBeforeOriginal => "raw",
        Bug::PositionApartFromRecords => "named",
        Bug::CheckpointNewerThanLsn => "raw-between-checkpoints",
        Bug::WeakestTopicCounts => "memory",
        // What a power cut leaves is read behind an opening, where all is written.
        Bug::ReadWithoutWriting => return None,
        // Who loses a footer is no power cut.
        Bug::SilentAboutOpen | Bug::AnewSaysAll => return None,
        // What its owner is told is the same; that the old epoch writes on only the simulation tries.
        Bug::EpochKeptAtTimeout => return None,
        // Their tests are models: tests/models.
        Bug::EventBeforeBaton
        | Bug::NotifiedWithoutLock
        | Bug::SettledByFlusherOnly
        | Bug::EnlistedBehindClose
        | Bug::CallsOfManyMoments
        | Bug::CloseUnheard
        | Bug::LingerBehindLook
        | Bug::WrittenBeforeCounted
        | Bug::EndBeforeUndecided
        | Bug::BoundsOfTwoMoments
        | Bug::ZerosOverFrames => return None,
        Bug::StableNotHeldBack | Bug::AbortedLostAtRoll | Bug::OpenLeftOnReopen => "streamed",
        Bug::PendingNotWaitedFor | Bug::PendingKeptAtAbort | Bug::PendingOverLater => "kept",
        Bug::RepeatedEndRaises | Bug::KeptForEver => "kept",
    })
}

/// The first state of some workloads that shows the mistake.
fn crash_states(mut workloads: impl Iterator<Item = &'static Workload>) -> Option<String> {
    let failure = workloads.find_map(|workload| hunt(workload, QUICK).err())?;
    Some(format!("crash state {}", failure.lines().next().unwrap_or_default()))
}

/// The first flipped byte of a log that died that shows the mistake.
fn damaged(sound: &Sound) -> Option<String> {
    let (file, image) = sound.files.iter().find(|(name, _)| name.ends_with(".seg"))?;
    let end = image.iter().rposition(|byte| *byte != 0)?;
    (8192..end).step_by(211).find_map(|at| {
        let files = sound.with(file, |image| image[at] ^= 0x40);
        let hit = Hit { file: file.clone(), from: at, to: at + 1 };
        let judged = catch_unwind(AssertUnwindSafe(|| sound.judge(&files, &hit, false)));
        let fault = judged.unwrap_or_else(|_| Err("a panic".to_owned())).err()?;
        Some(format!("damaged directory, byte {at} of {file} flipped: {fault}"))
    })
}

/// The first seed that shows the mistake, and passes without it.
fn simulation(bug: Bug) -> Option<String> {
    let (first, step) = match bug {
        // Those that keep raw transactions open and lose hints.
        Bug::SilentAboutOpen => (3, 6),
        _ => (1, 1),
    };
    (first..).step_by(step).take(SEEDS).find_map(|seed| {
        let fault = {
            let _planted = plant(bug);
            run(seed).err()?
        };
        run(seed).ok()?;
        Some(format!("simulation seed {seed}: {fault}"))
    })
}

fn run(seed: u64) -> Result<(), String> {
    let answer = catch_unwind(AssertUnwindSafe(|| driver::run(seed))).unwrap_or_else(|_| Err("a panic".to_owned()));
    answer.map(drop).map_err(|fault| fault.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    let died = damage::sound(false);
    // The others take a model of threads: tests/models.
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| !Bug::BETWEEN_THREADS.contains(bug)).collect();
    for bug in &bugs {
        let begun = Instant::now();
        let mut layers = Vec::new();
        {
            let _planted = plant(*bug);
            if let Some(name) = made_for(*bug) {
                let shown = crash_states(WORKLOADS.iter().filter(|workload| workload.name == name));
                layers.push(shown.ok_or_else(|| format!("no crash state of {name}")));
            }
            layers.extend(damaged(&died).map(Ok));
        }
        layers.push(simulation(*bug).ok_or_else(|| format!("none of {SEEDS} seeds")));
        println!("{bug:?}, {} ms:", begun.elapsed().as_millis());
        for layer in layers {
            match layer {
                Ok(shown) => println!("    {shown}"),
                Err(silent) => missed.push(format!("{bug:?}: {silent}")),
            }
        }
    }
    assert!(missed.is_empty(), "these layers should show these planted bugs, and do not: {missed:#?}");
    // What COVERAGE.md counts is what was counted here.
    let by_crash_states = bugs.iter().filter(|bug| made_for(**bug).is_some()).count();
    for said in [
        format!("{} mistakes can be planted", Bug::ALL.len()),
        format!("{} of them show on one thread", bugs.len()),
        format!("catches each within {SEEDS} seeds"),
        format!("{by_crash_states} show in the crash states"),
        format!("{} take a model of threads", Bug::BETWEEN_THREADS.len()),
    ] {
        assert!(include_str!("COVERAGE.md").contains(&said), "COVERAGE.md does not say: {said}");
    }
}

#[test]
fn without_a_planted_bug_no_layer_cries() {
    let failure = crash_states(WORKLOADS.iter().filter(|workload| made_for_any(workload.name)));
    assert!(failure.is_none(), "{failure:?}");
    let failure = damaged(&damage::sound(false));
    assert!(failure.is_none(), "{failure:?}");
}

fn made_for_any(name: &str) -> bool {
    Bug::ALL.iter().any(|bug| made_for(*bug) == Some(name))
}
