//! What was done to the logs that are damaged: a bit of everything.

use oncelog::Compression::{self, Gzip, Lz4, Snappy, Zstd};
use oncelog::Durability::{Disk, Os};
use oncelog::{Outcome, ProducerOptions};

use super::committed::PENDING;
use crate::crash::tape::Tape;

const CODECS: [Compression; 4] = [Gzip, Snappy, Lz4, Zstd];

/// A log of several segments: plain records, transactions, gathered sends, offsets; `closed`, or its process died.
/// Answers from which operation on nothing declares durable what was done.
pub fn long(tape: &mut Tape, closed: bool) -> Result<usize, String> {
    tape.open()?;
    tape.create("a", 2, Disk)?;
    tape.create("b", 1, Os)?;
    let mover = tape.transactional("mover")?;
    let loader = tape.producer("loader")?;
    for n in 0..16_usize {
        tape.append("a", (n % 2) as u32, &[400, 900 + n * 30], Disk)?;
        tape.append("b", 0, &[4000 + n * 60], Os)?;
        tape.transact(&mover, &[("a", 0, 600), ("b", 0, 700), ("a", 1, 40)], Some(("g", "a", n as u64)), None)?;
        tape.gather(&loader, "loader", n as u64 * 2, &[("b", 0, 1500), ("a", 1, 900)])?;
        tape.append("b", 0, &[3000, 2000], Os)?;
        if n % 4 == 0 {
            tape.rest(60)?;
            tape.commit("h", &[("b", 0, n as u64 + 1)])?;
        }
    }
    drop((mover, loader));
    if closed {
        tape.close()?;
        return Ok(usize::MAX);
    }
    undeclared_end(tape)
}

/// A log whose process died: no checkpoint, and the last frames are not known durable.
pub fn short(tape: &mut Tape) -> Result<usize, String> {
    tape.open()?;
    tape.create("a", 2, Disk)?;
    tape.create("b", 1, Os)?;
    let mover = tape.transactional("mover")?;
    for n in 0..4_usize {
        tape.append("a", (n % 2) as u32, &[300, 700], Disk)?;
        tape.transact(&mover, &[("a", 0, 500), ("b", 0, 300)], Some(("g", "a", n as u64)), None)?;
        tape.append("b", 0, &[600], Os)?;
    }
    undeclared_end(tape)
}

/// A log whose process died again and again: each life begins with a copy of what the one before had not flushed.
pub fn revived(tape: &mut Tape) -> Result<usize, String> {
    tape.open()?;
    tape.create("a", 2, Disk)?;
    tape.create("b", 1, Os)?;
    for n in 0..4_usize {
        let mover = tape.transactional("mover")?;
        tape.append("a", (n % 2) as u32, &[300, 700], Disk)?;
        tape.append("b", 0, &[600], Os)?;
        tape.transact(&mover, &[("a", 0, 500), ("b", 0, 300)], Some(("g", "a", n as u64)), None)?;
        tape.append("b", 0, &[200, 100], Os)?;
        drop(mover);
        tape.kill_and_reopen()?;
    }
    undeclared_end(tape)
}

/// Compressed batches, and transactions that stream, native and raw: committed, aborted and left open, with offsets
/// pending. `closed`: over several segments and closed; else in one, and the process died.
pub fn streamed(tape: &mut Tape, closed: bool) -> Result<usize, String> {
    tape.keeps = true;
    tape.open()?;
    tape.create("a", 2, Disk)?;
    tape.create("b", 1, Os)?;
    let streams = || ProducerOptions::new().transaction_buffer(0);
    let (keeper, loser) = (tape.transactional_with("keeper", streams())?, tape.transactional_with("loser", streams())?);
    let mut raw = tape.identity("raw")?;
    let (rounds, more) = if closed { (10_usize, 2_500) } else { (3, 100) };
    for n in 0..rounds {
        tape.append_packed("a", (n % 2) as u32, &[more, 60, more], CODECS[n % 4], Disk)?;
        let (mut kept, mut lost) = (told(keeper.begin_transaction())?, told(loser.begin_transaction())?);
        let first = tape.stream(&mut kept, ("a", 0, 300 + more))?;
        tape.stream(&mut lost, ("a", 0, 200))?;
        tape.append("b", 0, &[400, 300], Os)?;
        let second = tape.stream(&mut kept, ("b", 0, more))?;
        tape.stream(&mut lost, ("b", 0, 250))?;
        let raws = [tape.stream_raw("a", 1, raw, 0, 350)?, tape.stream_raw("b", 0, raw, 0, 90)?];
        tape.send_pending(raw, ("h", "b", n as u64 + 40))?;
        told(lost.abort())?;
        let values = vec![first, second];
        tape.commit_streamed(kept, values, ("g", "a", n as u64 + 1), ("keeper", n as u64 * 3), Disk)?;
        let outcome = if n % 2 == 0 { Outcome::Commit } else { Outcome::Abort };
        raw = tape.end_raw(raw, outcome, raws.to_vec(), ("h", "b", n as u64 + 40))?;
        tape.append_packed("b", 0, &[500, 500, 500], CODECS[(n + 1) % 4], Os)?;
    }
    // Left open: one that the next life goes on with, and one that it aborts.
    tape.stream_raw("a", 1, raw, 0, 120)?;
    tape.send_pending(raw, (PENDING.0, "a", PENDING.1))?;
    let mut open = told(keeper.begin_transaction())?;
    tape.stream(&mut open, ("b", 0, 130))?;
    tape.append("b", 0, &[140], Os)?;
    // Neither is let go: that would decide it.
    std::mem::forget((open, keeper, loser));
    if closed {
        tape.close()?;
        return Ok(usize::MAX);
    }
    undeclared_end(tape)
}

/// Marks say that all of it is durable; what comes behind them only says so again.
fn undeclared_end(tape: &mut Tape) -> Result<usize, String> {
    tape.append("a", 0, &[200], Disk)?;
    tape.rest(1)?;
    tape.rest(60)?;
    tape.rest(60)?;
    let undeclared = tape.ops.len();
    tape.append("b", 0, &[500], Os)?;
    tape.append("b", 0, &[900], Os)?;
    Ok(undeclared)
}

fn told<T>(answer: oncelog::Result<T>) -> Result<T, String> {
    answer.map_err(|error| format!("a workload that meets no fault answers {error}"))
}
