//! Workloads with deaths and failing disks in them.

use oncelog::Durability::{Disk, Os};
use oncelog::sim::{Call, Fault};

use super::Check;
use super::tape::Tape;

fn some_work(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 2, Disk)?;
    tape.create("b", 1, Os)?;
    let producer = tape.producer("name")?;
    tape.gather(&producer, "name", 1, &[("a", 0, 700), ("a", 1, 700)])?;
    tape.append("b", 0, &[300, 900], Os)?;
    tape.append("a", 0, &[300], Disk)
}

/// The process dies; the next one finds an unsynced tail in the page cache, and what it serves must stay.
pub fn killed(tape: &mut Tape) -> Check {
    some_work(tape)?;
    tape.close()?;
    tape.open()?;
    for n in 0..5 {
        tape.append("b", 0, &[800 + n * 300], Os)?;
    }
    tape.kill_and_reopen()?;
    tape.append("b", 0, &[800], Os)?;
    tape.append("a", 1, &[800], Os)?;
    // A frame that was placed and never written dies with the process.
    tape.place("a", 1, &[100], Os)?;
    tape.kill_and_reopen()?;
    tape.append("a", 0, &[100], Disk)
}

/// Dies with two unsynced files, and once more right behind the recovery of that.
pub fn killed_in_recovery(tape: &mut Tape) -> Check {
    some_work(tape)?;
    for n in 0..20 {
        tape.append("b", 0, &[3000, 800 + n * 7], Os)?;
    }
    tape.kill_and_reopen()?;
    tape.kill_and_reopen()?;
    tape.append("b", 0, &[900], Os)?;
    tape.append("a", 0, &[900], Disk)?;
    tape.kill_and_reopen()?;
    tape.append("a", 0, &[100], Disk)
}

/// A power cut by chance, then recovery, call by call; the seed says what the cut did.
pub fn cut_off(tape: &mut Tape) -> Check {
    some_work(tape)?;
    for n in 0..6 {
        tape.append("b", 0, &[1300, 800 + n * 100], Os)?;
        tape.rest(5)?;
    }
    tape.place("a", 1, &[2000], Disk)?;
    tape.crash_and_reopen()?;
    tape.append("b", 0, &[900], Os)?;
    tape.append("a", 0, &[400], Disk)?;
    tape.kill_and_reopen()?;
    tape.append("a", 0, &[100], Disk)
}

/// A flush fails: the pages that did not get through count as clean. Nothing of it may be acknowledged, and the next
/// opening must write anew what it serves.
pub fn failed_flush(tape: &mut Tape) -> Check {
    some_work(tape)?;
    tape.close()?;
    tape.open()?;
    tape.append("a", 0, &[300], Disk)?;
    tape.faulty = true;
    tape.append("b", 0, &[5000, 300], Os)?;
    tape.world.fail(Call::Sync, 0, Fault::Eio, false);
    tape.append("a", 0, &[400, 4000], Disk)?;
    tape.append("a", 1, &[400], Disk)?;
    tape.drop_and_reopen()?;
    tape.append("a", 0, &[300], Disk)?;
    tape.append("b", 0, &[300], Os)?;
    tape.kill_and_reopen()?;
    tape.append("a", 0, &[100], Disk)
}

/// The flush of the older of two files fails, or that of the newer one.
pub fn failed_flush_at_roll(tape: &mut Tape) -> Check {
    some_work(tape)?;
    for round in 0..2 {
        tape.faulty = true;
        for n in 0..14 {
            tape.append("b", 0, &[3000, 800 + n * 7], Os)?;
        }
        tape.world.fail(Call::Sync, round, Fault::Eio, false);
        tape.append("a", 0, &[400, 4000], Disk)?;
        tape.kill_and_reopen()?;
        tape.append("a", 0, &[300], Disk)?;
    }
    Ok(())
}

/// Writes fail, whole or in their middle.
pub fn failed_write(tape: &mut Tape) -> Check {
    some_work(tape)?;
    for fault in [Fault::ShortWrite, Fault::Enospc, Fault::Eio] {
        tape.faulty = true;
        tape.append("b", 0, &[600], Os)?;
        tape.world.fail(Call::Write, 1, fault, false);
        tape.append("a", 0, &[400], Disk)?;
        tape.append("a", 1, &[900, 2000], Disk)?;
        tape.append("a", 1, &[900], Disk)?;
        tape.drop_and_reopen()?;
        tape.append("a", 0, &[300], Disk)?;
    }
    Ok(())
}

/// The opening itself fails, at each of its calls in turn, until one succeeds.
pub fn failed_opening(tape: &mut Tape) -> Check {
    some_work(tape)?;
    tape.append("b", 0, &[600], Os)?;
    tape.faulty = true;
    for call in [Call::Create, Call::Write, Call::Sync, Call::SyncDirectory] {
        for after in 0..4 {
            tape.fail_opening(call, after)?;
        }
    }
    tape.kill_and_reopen()?;
    tape.append("a", 0, &[300], Disk)
}

/// Somebody fills the disk: nothing is left of what is refused, and offsets go on from the reserve.
fn fill_up(tape: &mut Tape) -> Check {
    let used: u64 = tape.world.files().values().map(|image| image.len() as u64).sum();
    tape.faulty = true;
    tape.world.set_capacity(Some(used));
    for n in 0..8 {
        tape.append("b", 0, &[4000, 900 + n * 70], Os)?;
    }
    for n in 0..4 {
        tape.commit("readers", &[("b", 0, n)])?;
        tape.append("a", 0, &[4000], Disk)?;
    }
    Ok(())
}

/// The disk fills up and is freed, twice: once the same life goes on, once there is a close between.
pub fn full_disk(tape: &mut Tape) -> Check {
    some_work(tape)?;
    fill_up(tape)?;
    tape.rest(60)?;
    tape.world.set_capacity(None);
    tape.append("a", 0, &[300], Disk)?;
    tape.append("b", 0, &[9000], Os)?;
    fill_up(tape)?;
    tape.close()?;
    tape.open()?;
    tape.commit("readers", &[("a", 0, 1)])?;
    tape.append("b", 0, &[9000], Os)?;
    tape.world.set_capacity(None);
    tape.append("a", 0, &[300], Disk)
}

/// Dies on a full disk.
pub fn full_disk_at_death(tape: &mut Tape) -> Check {
    some_work(tape)?;
    fill_up(tape)?;
    tape.world.set_capacity(None);
    tape.kill_and_reopen()?;
    tape.append("a", 0, &[300], Disk)?;
    tape.append("b", 0, &[300], Os)
}
