//! Keeping a promise: whoever waits for a frame leads the write and the flush that it needs, or waits for who does.

use super::core::{Core, NoRoom};
use super::reserve::Claim;
use super::{Fold, Journal};
use crate::error::Result;
use crate::io::bugs::{Bug, planted};
use crate::limits::FRAME_MAX;
use crate::types::{Durability, Lsn};

/// So often who waits for a write gives way to other threads before it sleeps.
const TURNS: u32 = 3;

impl<F: Fold> Journal<F> {
    /// Whether a frame has met its level; an error if it never will.
    #[inline]
    pub fn reached(&self, lsn: Lsn, level: Durability) -> Option<Result<()>> {
        self.reached_by(self.met(level), lsn, level).or_else(|| {
            // Looked at again: it may have been flushed since, or have failed.
            self.is_ended().then(|| self.reached_by(self.met(level), lsn, level).unwrap_or(Ok(())))
        })
    }

    /// The last frame that has met a level.
    #[inline]
    pub(super) fn met(&self, level: Durability) -> Lsn {
        match level {
            Durability::Disk => self.durable_lsn(),
            Durability::Os | Durability::Memory => self.written_lsn(),
        }
    }

    /// The same at a moment when everything up to `at` had met the level.
    #[inline]
    pub(super) fn reached_by(&self, at: Lsn, lsn: Lsn, level: Durability) -> Option<Result<()>> {
        if at >= lsn {
            return Some(Ok(()));
        }
        if self.is_poisoned() {
            return Some(Err(self.indeterminate()));
        }
        // A frame that is placed is in the buffer. Once nothing is written any more that is worth nothing, see above.
        (level == Durability::Memory).then_some(Ok(()))
    }

    /// Keeps a promise to a caller: waits until a frame has met its level. False: the deadline passed.
    pub fn keep(&self, lsn: Lsn, level: Durability, deadline: Option<u64>) -> Result<bool> {
        let level = if planted(Bug::AckBeforeFlush) { level.min(Durability::Os) } else { level };
        if level == Durability::Os && deadline.is_none() && self.turns.are_taken() {
            return self.keep_in_turn(lsn);
        }
        self.reach(lsn, level, deadline)
    }

    /// Keeps it to one who takes part in turns by that. A call of its own: there is nothing to save for it elsewhere.
    #[cold]
    fn keep_in_turn(&self, lsn: Lsn) -> Result<bool> {
        self.turns.waits();
        self.reach(lsn, Durability::Os, None)
    }

    /// True if a frame of `len` bytes would find room right now. If not the room is made: who asks comes again.
    pub fn has_room(&self, len: usize) -> bool {
        let mut core = self.core.lock();
        let room = core.room(len, Claim::Growth, &mut false);
        if let Err(missing) = room
            && len <= FRAME_MAX
        {
            self.make_room_later(&mut core, missing);
        }
        room.is_ok()
    }

    /// For who may not wait: has the flusher do what others would do themselves before they look again.
    pub(super) fn make_room_later(&self, core: &mut Core<F>, missing: NoRoom) {
        let (needed, wanted) = (core.spare_needed, core.wanted);
        match missing {
            // The keeper was woken to write it.
            NoRoom::Group => {}
            NoRoom::Spare(bytes) => core.spare_needed = needed.max(bytes),
            NoRoom::Unsynced => core.wanted = wanted.max(core.due_before_roll()),
        }
        if (core.spare_needed, core.wanted) != (needed, wanted) {
            self.segments.flusher_bell.happen();
        }
    }

    /// Waits for a write, a flush, or a segment that somebody makes, if that is what room for a frame of `len` bytes is
    /// missing for. True: whoever comes now finds room, or hears what else is missing. False: the deadline passed.
    pub fn room_within(&self, len: usize, deadline: u64) -> Result<bool> {
        loop {
            let seen = self.progress.seen();
            self.check()?;
            let (missing, last, oldest) = {
                let mut core = self.core.lock();
                self.check_door(false)?;
                let missing = match core.room(len, Claim::Growth, &mut false) {
                    Ok(()) => return Ok(true),
                    // The file that is made for it helps nothing before the older one is flushed.
                    Err(NoRoom::Spare(_)) if core.unsynced.len() >= 2 => NoRoom::Unsynced,
                    Err(missing) => missing,
                };
                (missing, core.next_lsn - 1, core.due_before_roll())
            };
            let (lsn, level) = match missing {
                NoRoom::Group => (last, Durability::Os),
                NoRoom::Unsynced => (oldest, Durability::Disk),
                NoRoom::Spare(_) if self.nobody_prepares() => return Ok(true),
                NoRoom::Spare(_) => {
                    if !self.machine.park.park(&self.progress, seen, Some(deadline)) {
                        return Ok(false);
                    }
                    continue;
                }
            };
            if !self.reach(lsn, level, Some(deadline))? {
                return Ok(false);
            }
            if missing == NoRoom::Unsynced {
                self.settle(oldest);
            }
        }
    }

    /// True if nobody is making a segment right now.
    fn nobody_prepares(&self) -> bool {
        let free = self.prepare.take().is_some();
        if free {
            // Whoever came to make one meanwhile found the baton taken, and waits.
            self.progress.happen();
        }
        free
    }

    /// Waits until a frame has met its level; leads the write and the flush if nobody does. False: the deadline passed.
    pub fn reach(&self, lsn: Lsn, level: Durability, deadline: Option<u64>) -> Result<bool> {
        self.check_process()?;
        let (mut joined, mut waited) = (false, false);
        loop {
            let seen = self.progress.seen();
            if let Some(reached) = self.reached(lsn, level) {
                return reached.map(|()| true);
            }
            if self.written_lsn() >= lsn {
                return self.reach_device(lsn, deadline);
            }
            // Once the door is shut only the end leads, and wakes whoever parked.
            if !self.is_shut() && self.lead_write(true)? {
                continue;
            }
            if !joined {
                joined = true;
                self.writers.join();
            }
            // Somebody else is writing, which takes a moment. If this frame is not in that group he is about to come
            // back with his next and will take it along: to lead at once would have two threads write in turns.
            if self.machine.park.spin(&mut || self.progress.seen() != seen) {
                if !waited && self.written_lsn() < lsn {
                    waited = true;
                    let seen = self.progress.seen();
                    self.machine.park.spin(&mut || self.progress.seen() != seen);
                }
                continue;
            }
            // With more threads than processors whoever writes may be waiting for this one, as are those who are about
            // to place: a turn for them costs less than to sleep and be woken.
            if (0..TURNS).any(|_| self.machine.park.give_way() && self.progress.seen() != seen) {
                continue;
            }
            if !self.machine.park.park(&self.progress, seen, deadline) {
                return Ok(false);
            }
        }
    }

    /// The same for a frame that is written and shall be flushed.
    fn reach_device(&self, lsn: Lsn, deadline: Option<u64>) -> Result<bool> {
        self.crowd.join();
        loop {
            let seen = self.flushed.seen();
            if let Some(reached) = self.reached(lsn, Durability::Disk) {
                return reached.map(|()| true);
            }
            if !self.is_shut() && self.lead_flush(true)? {
                continue;
            }
            if !self.machine.park.park(&self.flushed, seen, deadline) {
                return Ok(false);
            }
        }
    }
}
