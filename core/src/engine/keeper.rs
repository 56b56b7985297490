//! The keeper: one thread, or the caller of `drive`, that does what nobody waits for.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Inner;
use crate::error::{Error, ErrorKind, Result};

/// How soon a round is tried again that met another one, nanoseconds.
const LOOK_AGAIN: u64 = 1_000_000;

/// Something that gathers and must let go in time: a producer with a linger.
pub trait Lingering: Send + Sync {
    /// Closes what is due at `now` (monotonic nanoseconds; `u64::MAX` closes all) and says when the next is due.
    fn linger(&self, now: u64) -> Option<u64>;
}

impl Inner {
    pub(super) fn start_keeper(self: &Arc<Self>) -> Result<()> {
        let weak = Arc::downgrade(self);
        let journal = self.journal.clone();
        let run = move || {
            loop {
                let seen = journal.bell();
                // Between rounds the thread holds no engine, so that the last handle can go.
                let due = match weak.upgrade() {
                    Some(inner) if !inner.closed.load(Ordering::Acquire) => inner.round(),
                    _ => return,
                };
                journal.sleep(seen, due);
            }
        };
        let thread = std::thread::Builder::new().name("oncelog-keeper".into()).spawn(run).map_err(|e| {
            Error::with_source(
                ErrorKind::Io,
                "the keeper thread could not be started; free some or open with threads(false)",
                e,
            )
        })?;
        let _ = self.keeper_id.set(thread.thread().id());
        *self.keeper.lock() = Some(thread);
        Ok(())
    }

    /// Does what is due and says when the next round is, in monotonic nanoseconds.
    pub fn drive(&self) -> Result<Option<u64>> {
        self.check_open()?;
        Ok(self.round())
    }

    fn round(&self) -> Option<u64> {
        let Some(_one) = self.rounds.try_lock() else {
            // Somebody else is at it; what that round leaves due is not known here, so look again soon.
            return Some(self.machine.clock.monotonic() + LOOK_AGAIN);
        };
        if self.refused.is_some() {
            self.journal.tend_callbacks();
            self.attend();
            return None;
        }
        let lingering = self.linger(self.machine.clock.monotonic());
        let due = self.journal.tend();
        // Behind the writes and flushes, so that what they have shown is seen in the same round.
        self.attend();
        self.settle_footers();
        if self.journal.checkpoint_is_due() {
            // A failure to write poisons; one for lack of space is tried again next round.
            let _ = self.journal.checkpoint();
        }
        // A look that fails is repeated with the next round.
        let expiry = self.expire().ok();
        let next = [lingering, due, expiry].into_iter().flatten().min();
        self.awake_at.store(next.unwrap_or(u64::MAX), Ordering::SeqCst);
        next
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
        // The list is copied: closing a gathering appends, and no lock is held across that.
        let all: Vec<_> = self.lingering.lock().iter().filter_map(Weak::upgrade).collect();
        all.iter().filter_map(|l| l.linger(now)).min()
    }
}
