//! What is played. Each workload is a page of calls that leads the journal through one thing it must survive.

use oncelog::Durability::{Disk, Memory, Os};

use super::Check;
use super::tape::Tape;
use super::workloads_failing::*;
use super::workloads_kept::*;
use super::workloads_names::*;

/// One workload. The seed decides values, salts and what a failed flush leaves.
pub struct Workload {
    pub name: &'static str,
    pub seed: u64,
    pub play: fn(&mut Tape) -> Check,
}

macro_rules! workloads {
    ($($name:literal $seed:literal $play:ident,)*) => {
        /// All of them.
        pub const WORKLOADS: &[Workload] = &[$(Workload { name: $name, seed: $seed, play: $play },)*];
    };
}

workloads! {
    "first-open" 1 first_open,
    "memory" 30 memory,
    "append-disk" 2 append_disk,
    "unwritten-behind-a-flush" 3 unwritten_behind_a_flush,
    "roll-unsynced" 4 roll_unsynced,
    "roll-often" 5 roll_often,
    "checkpoints" 6 checkpoints,
    "checkpoint-in-parts" 7 checkpoint_in_parts,
    "grow-between-checkpoints" 8 grow_between_checkpoints,
    "transactions" 9 transactions,
    "streamed" 30 streamed,
    "kept" 33 kept,
    "kept-cut-off" 2035 kept_cut_off,
    "kept-cut-off-again" 5035 kept_cut_off,
    "large-frame" 10 large_frame,
    "fence" 11 fence,
    "named" 12 named,
    "raw" 13 raw,
    "raw-between-checkpoints" 29 raw_between_checkpoints,
    "topics" 14 topics,
    "offsets" 15 offsets,
    "close-and-reopen" 16 close_and_reopen,
    "zeros-ahead" 17 zeros_ahead,
    "killed" 18 killed,
    "killed-in-recovery" 19 killed_in_recovery,
    "cut-off" 20 cut_off,
    "cut-off-twice" 21 cut_off,
    "cut-off-with-tail" 22 cut_off,
    "failed-flush" 23 failed_flush,
    "failed-flush-lies" 24 failed_flush,
    "failed-flush-half" 25 failed_flush,
    "failed-flush-at-roll" 26 failed_flush_at_roll,
    "failed-write" 27 failed_write,
    "failed-opening" 28 failed_opening,
    "full-disk" 31 full_disk,
    "full-disk-at-death" 32 full_disk_at_death,
}

/// An empty directory becomes a log.
fn first_open(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("first", 2, Disk)?;
    tape.append("first", 1, &[100, 200], Disk)
}

/// One append after the other, each flushed; then several under one flush.
fn append_disk(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 1, Disk)?;
    tape.create("b", 2, Disk)?;
    for n in 0..8 {
        tape.append("a", 0, &[90 + n * 400], Disk)?;
    }
    for n in 0..3 {
        let first = tape.place("a", 0, &[700], Disk)?;
        let second = tape.place("b", 1, &[50, 1200], Disk)?;
        let third = tape.place("b", 0, &[1 + n * 900, 40, 500], Os)?;
        for waiting in [third, first, second].into_iter().flatten() {
            tape.wait(waiting)?;
        }
        tape.rest(60)?;
    }
    Ok(())
}

/// A flush must not speak for what was placed and not yet written when it began.
fn unwritten_behind_a_flush(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 1, Disk)?;
    for n in 0..6 {
        let early = tape.place("a", 0, &[300 + n * 200], Disk)?;
        tape.drive_write_only()?;
        let late = tape.place("a", 0, &[900], Disk)?;
        for waiting in [early, late].into_iter().flatten() {
            tape.wait(waiting)?;
        }
    }
    Ok(())
}

/// Level `memory`: of topics, of single appends, mixed with the others in transactions; written by the keeper, by a
/// reader, and by whoever wants more.
fn memory(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("m", 2, Memory)?;
    tape.create("d", 1, Disk)?;
    let producer = tape.transactional("name")?;
    for n in 0..4 {
        tape.append("m", 0, &[300, 200 + n * 90], Memory)?;
        tape.append("d", 0, &[100], Memory)?;
        tape.append("m", 1, &[250], if n == 1 { Disk } else { Memory })?;
        match n {
            0 => tape.rest(20)?,
            1 => tape.read("m", 0)?,
            2 => tape.append("m", 0, &[90], Os)?,
            _ => tape.transact(&producer, &[("m", 0, 120), ("d", 0, 130)], None, None)?,
        }
        tape.append("m", 0, &[400], Memory)?;
        tape.transact(&producer, &[("m", 0, 120), ("m", 1, 70)], Some(("readers", "m", n as u64)), None)?;
    }
    tape.append("m", 1, &[100], Memory)?;
    tape.kill_and_reopen()?;
    tape.append("m", 0, &[100], Memory)?;
    tape.append("d", 0, &[100], Disk)
}

/// At level `os` nothing is flushed, so the journal rolls with the older file unsynced; then one flush for all.
fn roll_unsynced(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 1, Os)?;
    tape.create("d", 1, Disk)?;
    for n in 0..22 {
        tape.append("a", 0, &[2600, 700 + n * 60], Os)?;
    }
    tape.append("d", 0, &[500], Disk)?;
    tape.append("a", 0, &[500], Os)?;
    tape.rest(60)?;
    tape.append("d", 0, &[500], Disk)
}

/// Several rolls, with a flush now and then, and marks.
fn roll_often(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 3, Os)?;
    for n in 0..44_usize {
        let level = if n % 5 == 4 { Disk } else { Os };
        tape.append("a", (n % 3) as u32, &[3000 + (n % 7) * 600, 900], level)?;
        if n % 4 == 1 {
            tape.rest(60)?;
        }
    }
    Ok(())
}

/// Enough data for the keeper to write several checkpoints, with other frames between them.
fn checkpoints(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 2, Disk)?;
    tape.create("b", 1, Os)?;
    for n in 0..30_usize {
        tape.append("a", (n % 2) as u32, &[4000, 3000 + n * 10], Disk)?;
        tape.append("b", 0, &[600], Os)?;
        if n % 3 == 0 {
            tape.commit("readers", &[("a", 0, n as u64 / 2)])?;
        }
        tape.rest(20)?;
    }
    tape.append("b", 0, &[600], Disk)
}

/// A state of several parts: more committed offsets than one part holds.
fn checkpoint_in_parts(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("wide", 250, Disk)?;
    for group in ["one", "two", "three", "four", "five"] {
        let offsets: Vec<(&str, u32, u64)> = (0..250).map(|n| ("wide", n, u64::from(n) + 7)).collect();
        tape.commit_some(group, &offsets, 25)?;
    }
    for n in 0..5 {
        tape.append("wide", n, &[14_000, 900], Disk)?;
        tape.append("wide", 9, &[300], Disk)?;
        tape.rest(60)?;
    }
    tape.append("wide", 0, &[200], Disk)
}

/// Partitions are added between two checkpoints of one life: to fold that twice would show.
fn grow_between_checkpoints(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 1, Disk)?;
    for n in 0..9 {
        tape.append("a", 0, &[9000], Disk)?;
        tape.rest(1)?;
        if n % 2 == 0 {
            tape.grow("a", 2 + n)?;
        }
    }
    for n in 0..16_u32 {
        tape.append("a", n % 3, &[9000], Disk)?;
        if n == 4 || n == 11 {
            tape.grow("a", 12 + n)?;
        }
        tape.rest(1)?;
    }
    tape.append("a", 1, &[100], Disk)
}

/// Topics come, go and come again under their name; offsets go with them.
fn topics(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("lasting", 1, Disk)?;
    for round in 0..3 {
        tape.create("passing", 2 + round, Disk)?;
        tape.append("passing", 1, &[600, 500], Disk)?;
        tape.append("lasting", 0, &[400], Os)?;
        tape.commit("readers", &[("passing", 1, 2), ("lasting", 0, 1)])?;
        tape.delete("passing")?;
        tape.rest(60)?;
    }
    tape.create("passing", 1, Disk)?;
    tape.append("passing", 0, &[300], Disk)?;
    tape.grow("passing", 3)?;
    tape.append("passing", 2, &[300], Disk)?;
    tape.grow("lasting", 2)
}

/// Offsets of several groups, forward and back, between appends.
fn offsets(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 2, Disk)?;
    tape.create("b", 1, Os)?;
    for n in 0..10_u64 {
        tape.append("a", (n % 2) as u32, &[150], Os)?;
        tape.commit("one", &[("a", 0, n), ("a", 1, n / 2), ("b", 0, 10 - n)])?;
        tape.append("b", 0, &[100], Os)?;
        if n % 3 == 2 {
            tape.commit("two", &[("b", 0, n)])?;
            tape.rest(60)?;
        }
    }
    Ok(())
}

/// Clean closes, and lives that go on in the last one's segment; one does nothing at all.
fn close_and_reopen(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 1, Disk)?;
    for n in 0..5 {
        tape.append("a", 0, &[500 + n * 1500, 80], Os)?;
        let producer = tape.producer("name")?;
        tape.gather(&producer, "name", n as u64 * 10, &[("a", 0, 300), ("a", 0, 30)])?;
        drop(producer);
        tape.close()?;
        tape.open()?;
        if n == 2 {
            tape.close()?;
            tape.open()?;
        }
    }
    tape.append("a", 0, &[60], Disk)
}

/// Under load zeros are written ahead of the frames, by the keeper where it is flushed, by the writer elsewhere; a
/// power cut may keep them and lose the frames.
fn zeros_ahead(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 2, Os)?;
    for n in 0..14_usize {
        tape.append("a", (n % 2) as u32, &[1900, 2000 + n * 90], if n % 7 == 6 { Disk } else { Os })?;
        tape.rest(5)?;
        tape.append("a", 0, &[700], Os)?;
    }
    tape.append("a", 1, &[100], Disk)
}

/// A frame of many sectors, and one that needs a segment larger than usual.
fn large_frame(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 2, Disk)?;
    tape.append("a", 0, &[300], Disk)?;
    tape.append("a", 0, &[12_000, 9000], Disk)?;
    let large = tape.place("a", 1, &[90_000], Disk)?;
    tape.append("a", 0, &[300], Os)?;
    if let Some(large) = large {
        tape.wait(large)?;
    }
    tape.append("a", 1, &[40_000, 30_000], Disk)?;
    tape.append("a", 0, &[300], Disk)
}
