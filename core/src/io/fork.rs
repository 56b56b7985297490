//! What a fork does to an open log. One of the six files with unsafe code.
//!
//! A forked child shares its parent's open files, and a lock taken with flock belongs to the open file: a child that
//! merely inherits it keeps the directory locked after its parent is dead. So every lock is noted in a static table,
//! and a hook that runs in the child closes what the table names. The hooks use atomics, close and sched_yield only,
//! because after a fork of a process with threads nothing else is safe: no lock, no allocation, no thread-local.
//!
//! Hooks run for fork(2) as the C library offers it. A process spawned to run another program needs none: all
//! descriptors close on exec. A raw clone system call passes them by; so does fork in a signal handler, which must
//! not interrupt a thread that opens or closes a log.
//!
//! Where there is no fork there are no hooks, and the generation stands still.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Directories that one process can hold at the same time.
pub(super) const LOCKS_MAX: usize = 1024;

/// Forks between the first process that used the library and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// Closed (true) while the table changes, and from before a fork until it has returned: the child gets a whole table.
static GATE: AtomicBool = AtomicBool::new(false);
static INSTALLED: AtomicBool = AtomicBool::new(false);
static TABLE: [Slot; LOCKS_MAX] = [const { Slot::free() }; LOCKS_MAX];

/// A lock this process holds. Guarded by the gate; atomics because a static must be.
struct Slot {
    /// The lock's descriptor plus one, so that a free slot is all zeros.
    descriptor: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
    writer: AtomicBool,
}

impl Slot {
    const fn free() -> Self {
        Self {
            descriptor: AtomicI32::new(0),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
            writer: AtomicBool::new(false),
        }
    }
}

/// A number that changes in a forked child: whoever noted another one belongs to the parent. One relaxed load. It
/// counts from the first open of a log in the process.
#[inline]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Registers the hooks, the first time it is called.
pub(super) fn install() -> io::Result<()> {
    let _gate = Gate::close();
    if INSTALLED.load(Ordering::Relaxed) {
        return Ok(());
    }
    #[cfg(unix)]
    hook()?;
    INSTALLED.store(true, Ordering::Relaxed);
    Ok(())
}

#[cfg(unix)]
fn hook() -> io::Result<()> {
    // SAFETY: the three functions live as long as the program and do only what is allowed around a fork.
    let code = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

#[cfg(unix)]
extern "C" fn before() {
    while GATE.swap(true, Ordering::Acquire) {
        // SAFETY: takes nothing, changes nothing. Whoever closed the gate opens it soon: it does not fork in between.
        unsafe { libc::sched_yield() };
    }
}

#[cfg(unix)]
extern "C" fn in_parent() {
    GATE.store(false, Ordering::Release);
}

#[cfg(unix)]
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    for slot in &TABLE {
        let descriptor = slot.descriptor.swap(0, Ordering::Relaxed);
        if descriptor != 0 {
            // SAFETY: the gate was closed over the fork, so the table names exactly the descriptors that locks own.
            // The child's copies of those locks see the new generation and leave the number alone.
            unsafe { libc::close(descriptor - 1) };
        }
    }
    GATE.store(false, Ordering::Release);
}

/// While it lives no fork happens and nobody else changes the table.
pub(super) struct Gate(());

impl Gate {
    /// Waits for its turn.
    pub(super) fn close() -> Gate {
        while GATE.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        Gate(())
    }

    /// Whether this process holds that directory: Some(true) for writing, Some(false) for reading.
    pub(super) fn holds(&self, device: u64, inode: u64) -> Option<bool> {
        let mut found = None;
        for slot in &TABLE {
            if slot.descriptor.load(Ordering::Relaxed) != 0
                && slot.device.load(Ordering::Relaxed) == device
                && slot.inode.load(Ordering::Relaxed) == inode
            {
                found = Some(found == Some(true) || slot.writer.load(Ordering::Relaxed));
            }
        }
        found
    }

    /// Notes a lock and answers its slot; None if the table is full. The descriptor must stay open until `clear`.
    pub(super) fn note(&self, descriptor: i32, device: u64, inode: u64, writer: bool) -> Option<usize> {
        let free = TABLE.iter().position(|slot| slot.descriptor.load(Ordering::Relaxed) == 0)?;
        let slot = &TABLE[free];
        slot.device.store(device, Ordering::Relaxed);
        slot.inode.store(inode, Ordering::Relaxed);
        slot.writer.store(writer, Ordering::Relaxed);
        slot.descriptor.store(descriptor.checked_add(1)?, Ordering::Relaxed);
        Some(free)
    }

    /// Frees a slot that `note` answered in this generation.
    pub(super) fn clear(&self, slot: usize) {
        TABLE[slot].descriptor.store(0, Ordering::Relaxed);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        GATE.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_what_is_held_until_it_is_cleared() {
        // Device and inode of no real directory; the descriptor is never used because this test does not fork.
        let (device, inode) = (u64::MAX, u64::MAX - 1);
        let gate = Gate::close();
        assert_eq!(gate.holds(device, inode), None);
        let reader = gate.note(1_000_000, device, inode, false).unwrap();
        assert_eq!(gate.holds(device, inode), Some(false));
        let writer = gate.note(1_000_001, device, inode, true).unwrap();
        assert_eq!(gate.holds(device, inode), Some(true));
        gate.clear(reader);
        assert_eq!(gate.holds(device, inode), Some(true));
        gate.clear(writer);
        assert_eq!(gate.holds(device, inode), None);
    }

    #[test]
    fn the_hooks_are_installed_once_and_the_generation_stands_still_without_a_fork() {
        let before = generation();
        install().unwrap();
        install().unwrap();
        assert_eq!(generation(), before);
    }
}
