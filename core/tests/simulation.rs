//! The whole engine on a simulated machine against the reference model: thousands of seeds, each a few lives of random
//! operations with faults, power cuts and kills between them.
//!
//! A failure prints the seed and one line that repeats it.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod driver;
mod model;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Branches of recovery that a run of all seeds must have taken. Chance rarely tears a part of a transaction: the crash
/// states do so by the hundred, and ask for it.
const BRANCHES: [&str; 9] = [
    "torn_frame",
    "zeros_inside_durable",
    "corruption_above_checkpoint",
    "corruption_below_checkpoint",
    "tail_copied",
    "crash_in_copy",
    "roll_with_two_unsynced",
    "older_checkpoint_used",
    "poison",
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")))
}

/// What a run leaves: how often everything happened, and a hash over all that changed the disk.
type Outcome = (BTreeMap<&'static str, u64>, u64);

/// Runs a seed; a panic of the engine is a failure like any other.
fn run(seed: u64) -> Result<Outcome, String> {
    let play = || driver::run(seed).map(|driver| (driver.hits(), driver.world.digest()));
    let answer = catch_unwind(AssertUnwindSafe(play));
    let fault = match answer {
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(fault)) => fault,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            format!("panic: {}", text.unwrap_or_default())
        }
    };
    Err(format!(
        "seed {seed}: {fault}\nrepeat: SEED={seed} \
         cargo test --release --features sim --test simulation -- one_seed --nocapture"
    ))
}

#[test]
fn one_seed_on_demand() {
    let seed = number("SEED").unwrap_or(1);
    if let Err(fault) = run(seed) {
        panic!("{fault}");
    }
}

#[test]
fn two_thousand_seeds() {
    if number("SEED").is_some() {
        return;
    }
    let (first, count) = (number("FIRST").unwrap_or(1), number("SEEDS").unwrap_or(2_000));
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let hits = Mutex::new(BTreeMap::<&'static str, u64>::new());
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failures.lock().unwrap().len() >= 5 {
                        return;
                    }
                    match run(seed) {
                        Ok((more, digest)) => {
                            // A seed is worth something only if it repeats: one in a hundred is played twice.
                            if seed.is_multiple_of(100) && run(seed).map(|again| again.1) != Ok(digest) {
                                failures.lock().unwrap().push(format!("seed {seed} did not repeat"));
                            }
                            let mut hits = hits.lock().unwrap();
                            more.into_iter().for_each(|(name, times)| *hits.entry(name).or_default() += times);
                        }
                        Err(fault) => failures.lock().unwrap().push(fault),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let (hits, branches) = (hits.into_inner().unwrap(), oncelog::sim::branches());
    hits.iter().chain(&branches).for_each(|(name, times)| println!("{times:10} {name}"));
    assert!(
        failures.is_empty(),
        "{} of {} seeds failed:\n{}",
        failures.len(),
        done.into_inner(),
        failures.join("\n\n")
    );
    // A few seeds cannot reach everything.
    if count >= 1_000 {
        let missed: Vec<&&str> = BRANCHES.iter().filter(|name| !branches.contains_key(**name)).collect();
        assert!(missed.is_empty(), "no seed took these branches of recovery: {missed:?}");
        let missed: Vec<_> = faults().into_iter().filter(|name| !hits.contains_key(&**name)).collect();
        assert!(missed.is_empty(), "no seed met these faults: {missed:?}");
    }
}

/// Every kind of fault at every kind of call that can fail, by the simulator's names.
fn faults() -> Vec<String> {
    let calls = ["create", "open", "write", "sync", "sync_directory", "read", "list", "lock"];
    let kinds = ["eio", "enospc", "emfile", "short write"];
    let mut all: Vec<String> =
        calls.iter().flat_map(|call| kinds.map(|kind| format!("fault: {kind} at {call}"))).collect();
    all.extend(["crash", "kill", "damage", "page that lies after a failed sync"].map(str::to_owned));
    all.push("raw transaction that outlives a life".to_owned());
    let hints = ["footer", "first slot of head", "second slot of head", "header", "checkpoint"];
    all.extend(hints.map(|hint| format!("{hint} that is lost")));
    all
}
