//! What nobody waits for: two threads, the keeper, who writes and calls back, and the flusher, so that a flush holds up
//! neither; or the caller of `drive`.

use std::sync::{Arc, Weak};

use super::Inner;
use crate::error::Result;
use crate::io::bugs::{Bug, planted};
use crate::io::sync::atomic::Ordering;

/// How soon a round is tried again that met another one, nanoseconds.
const LOOK_AGAIN: u64 = 1_000_000;

/// Something that gathers and must let go in time: a producer with a linger.
pub trait Lingering: Send + Sync {
    /// Closes what is due at `now` (monotonic nanoseconds; `u64::MAX` closes all) and says when the next is due.
    fn linger(&self, now: u64) -> Option<u64>;
    /// Closes everything if that takes no waiting; false if it would have to.
    fn close_now(&self) -> bool;
}

impl Inner {
    /// Starts the two threads. Between rounds neither holds the engine, so that the last handle can go.
    pub(super) fn start_threads(self: &Arc<Self>) -> Result<()> {
        let (weak, journal) = (Arc::downgrade(self), self.journal.clone());
        self.keeper.start("oncelog-keeper", move || {
            loop {
                let seen = journal.bell();
                let due = match weak.upgrade() {
                    Some(inner) if !inner.door.closed.load(Ordering::Acquire) => inner.keep(true),
                    _ => return,
                };
                journal.sleep(seen, due);
            }
        })?;
        let (weak, journal) = (Arc::downgrade(self), self.journal.clone());
        self.flusher.start("oncelog-flusher", move || {
            loop {
                let seen = journal.flusher_bell();
                let due = match weak.upgrade() {
                    Some(inner) if !inner.door.closed.load(Ordering::Acquire) => inner.flush_and_tidy(),
                    _ => return,
                };
                journal.rest(seen, due);
            }
        })
    }

    /// Does what is due and says when the next round is, in monotonic nanoseconds.
    pub fn drive(&self) -> Result<Option<u64>> {
        self.check_open()?;
        let keep = self.keep(!self.threads());
        let tidy = self.flush_and_tidy();
        // What the flushes have shown and settled is seen in the same round.
        if let Some(_one) = self.rounds.try_lock() {
            self.journal.tend_callbacks();
            self.attend();
        }
        Ok(keep.into_iter().chain(tidy).min())
    }

    /// The keeper's round: gathered batches and transactions whose time has come, writes, callbacks, looks, then zeros.
    /// `wakes`: the caller comes again when this says; who drives beside the keeper promises nothing of it.
    fn keep(&self, wakes: bool) -> Option<u64> {
        let Some(_one) = self.rounds.try_lock() else {
            // Somebody else is at it; what that round leaves due is not known here, so look again soon.
            return Some(self.machine.clock.monotonic() + LOOK_AGAIN);
        };
        let mut next = None;
        let rung = self.journal.bell();
        if self.refused.is_none() {
            // Whoever begins something behind the looks below rings: by the time that the last round told, it would
            // come early enough to be seen by this one.
            if wakes && !planted(Bug::LingerBehindLook) {
                self.awake_at.store(u64::MAX, Ordering::SeqCst);
            }
            let lingering = self.linger(self.machine.clock.monotonic());
            let overdue = self.abort_overdue();
            let due = self.journal.tend_writes();
            next = lingering.into_iter().chain(overdue).chain(due).min();
            if wakes {
                self.awake_at.store(next.unwrap_or(u64::MAX), Ordering::SeqCst);
            }
        }
        self.tell_of_poison();
        // Behind the writes, so that what they have shown is seen in the same round.
        self.journal.tend_callbacks();
        self.attend();
        if self.refused.is_some() {
            return next;
        }
        // Behind the answers, for which somebody waits.
        next.into_iter().chain(self.journal.tend_zeros(rung)).min()
    }

    /// Nothing is added to any partition once the disk has failed: whoever waits for that looks again, and hears why.
    fn tell_of_poison(&self) {
        if self.journal.is_poisoned() && !self.told_of_poison.swap(true, Ordering::Relaxed) {
            self.hub.partitions().iter().for_each(|partition| partition.wake());
        }
    }

    /// The flusher's round: flushes, footers, what is left of what is gone, checkpoints, expiry.
    fn flush_and_tidy(&self) -> Option<u64> {
        self.journal.segments().unmap();
        if self.refused.is_some() {
            return None;
        }
        let Some(_one) = self.chores.try_lock() else {
            return Some(self.machine.clock.monotonic() + LOOK_AGAIN);
        };
        let due = self.journal.tend_flushes();
        if self.journal.has_enlisted() {
            self.journal.ring();
        }
        self.settle_footers();
        self.journal.sweep();
        if self.journal.checkpoint_is_due() {
            // A failure to write poisons; one for lack of space is tried again next round.
            let _ = self.journal.checkpoint();
        }
        // One that fails is made again when the next is due.
        let expiry = self.expire().ok();
        due.into_iter().chain(expiry).min()
    }

    /// Segments that never change again get their footers.
    pub(super) fn settle_footers(&self) {
        let segments = self.journal.segments();
        loop {
            let first = self.footers.unsettled();
            let number = if segments.info(first).is_some() { Some(first) } else { segments.after(first) };
            match number {
                Some(number) if segments.is_settled(number) => {
                    self.footers.settle(segments, number, &self.hub.partitions());
                }
                _ => return,
            }
        }
    }

    /// Keeps a producer's gatherings from lingering too long.
    pub fn on_linger(&self, lingering: Weak<dyn Lingering>) {
        let mut all = self.lingering.lock();
        all.retain(|l| l.strong_count() > 0);
        all.push(lingering);
    }

    /// Something was begun that must close by `deadline`: wakes the keeper if it means to sleep longer.
    pub fn linger_by(&self, deadline: u64) {
        if deadline < self.awake_at.load(Ordering::SeqCst) {
            self.awake_at.store(deadline, Ordering::SeqCst);
            self.journal.ring();
        }
    }

    pub(super) fn linger(&self, now: u64) -> Option<u64> {
        self.gathering().iter().filter_map(|l| l.linger(now)).min()
    }

    /// Closes what is gathered if that takes no waiting; false if some of it would have to.
    pub(super) fn close_gathered_now(&self) -> bool {
        self.gathering().iter().filter(|l| !l.close_now()).count() == 0
    }

    /// The list is copied: closing a gathering appends, and no lock is held across that.
    fn gathering(&self) -> Vec<Arc<dyn Lingering>> {
        self.lingering.lock().iter().filter_map(Weak::upgrade).collect()
    }
}
