//! Bytes that somebody made to do harm: every checksum is right, the rest is not. No decoder panics, stands still or
//! takes more memory than `limits::ALLOCATION_MAX` at once, and what a directory of such bytes answers is typed.
//!
//! Every case has a seed of its own. A failure prints one line that repeats it; `CASES=n` runs so many of each.
#![cfg(all(feature = "sim", feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(unsafe_code, reason = "an allocator that counts")]

mod asking;
mod directories;
mod files;
mod footers;
mod frames;
mod held;
mod meter;
mod mutate;
mod packed;
mod sealing;
mod state;
#[path = "../story/mod.rs"]
#[allow(dead_code, reason = "others compare its answers")]
mod story;
mod walked;

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};

use oncelog::sim::Rng;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")))
}

/// Plays `cases` cases of a test, each with chance of its own; a case says whether the decoder took the bytes. Of many
/// some must be taken, and some must not.
fn fire(test: &str, cases: u64, case: impl Fn(&mut Rng) -> bool) {
    let first = number("HOSTILE").unwrap_or_else(|| RandomState::new().hash_one(test) >> 16);
    let cases = number("CASES").unwrap_or(cases);
    let repeat = |seed: u64| {
        format!("HOSTILE={seed} CASES=1 cargo test -p oncelog --features sim --test hostile {test} -- --nocapture")
    };
    let mut taken = 0;
    for seed in first..first + cases {
        match catch_unwind(AssertUnwindSafe(|| case(&mut Rng::new(seed)))) {
            Ok(took) => taken += u64::from(took),
            Err(panic) => {
                eprintln!("to repeat: {}", repeat(seed));
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{test}: {taken} of {cases} taken, from seed {first}");
    if cases >= 500 {
        assert!(taken > cases / 100 && taken < cases, "{taken} of {cases} taken: what was behind is not reached");
    }
}
