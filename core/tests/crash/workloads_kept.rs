//! Workloads whose raw transactions stay open over lives of the log.

use oncelog::Durability::{Disk, Os};
use oncelog::Outcome::{Abort, Commit};

use super::Check;
use super::tape::Tape;

/// Two transactions, one of records and offsets, one of an offset alone: they go on in a life that keeps nothing
/// itself, and one of them in the next again, over rolls and checkpoints. The last one is never decided.
pub fn kept(tape: &mut Tape) -> Check {
    tape.keeps = true;
    tape.open()?;
    tape.create("left", 2, Disk)?;
    tape.create("right", 1, Os)?;
    tape.hold("gateway")?;
    tape.hold("bridge")?;
    tape.stream_kept("gateway", ("left", 0, 700), Disk)?;
    tape.stream_kept("gateway", ("right", 0, 120), Os)?;
    tape.pend_kept("gateway", ("movers", "left", 7))?;
    tape.pend_kept("bridge", ("readers", "right", 3))?;
    tape.pend_kept("gateway", ("readers", "left", 5))?;
    tape.commit("readers", &[("left", 0, 4)])?;
    tape.append("left", 0, &[90], Os)?;
    tape.close()?;
    tape.keeps = false;
    tape.open()?;
    tape.stream_kept("gateway", ("left", 1, 300), Disk)?;
    tape.stream_kept("gateway", ("left", 0, 1_500), Os)?;
    tape.pend_kept("gateway", ("movers", "left", 9))?;
    tape.end_kept("gateway", Commit)?;
    tape.append("right", 0, &[70], Os)?;
    tape.keeps = true;
    tape.kill_and_reopen()?;
    tape.stream_kept("bridge", ("left", 0, 200), Disk)?;
    tape.stream_kept("gateway", ("right", 0, 150), Os)?;
    for n in 0..8 {
        tape.append("right", 0, &[9_000 + n], Os)?;
        tape.rest(20)?;
    }
    tape.close()?;
    tape.open()?;
    tape.end_kept("bridge", Abort)?;
    tape.append("left", 0, &[80], Disk)?;
    tape.rest(60)?;
    tape.end_kept("gateway", Commit)?;
    tape.stream_kept("bridge", ("left", 1, 400), Disk)?;
    tape.rest(60)
}

/// A power cut by chance takes some of what an open transaction has; it goes on with what is left, or begins anew.
pub fn kept_cut_off(tape: &mut Tape) -> Check {
    tape.keeps = true;
    tape.open()?;
    tape.create("a", 2, Os)?;
    tape.create("b", 1, Disk)?;
    tape.hold("gateway")?;
    tape.hold("bridge")?;
    tape.stream_kept("bridge", ("b", 0, 300), Disk)?;
    for n in 0..3 {
        tape.stream_kept("gateway", ("a", 0, 1_300), Os)?;
        tape.stream_kept("bridge", ("a", 1, 800 + n * 100), Os)?;
        tape.append("a", 0, &[60], Os)?;
        tape.rest(5)?;
    }
    tape.crash_and_reopen()?;
    tape.stream_kept("gateway", ("a", 0, 200), Os)?;
    tape.stream_kept("bridge", ("b", 0, 100), Disk)?;
    tape.kill_and_reopen()?;
    tape.end_kept("bridge", Commit)?;
    tape.append("b", 0, &[100], Disk)?;
    tape.kill_and_reopen()?;
    tape.end_kept("gateway", Abort)
}
