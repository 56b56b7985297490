//! What the journal does besides appends: on the keeper's thread groups nobody waits for, callbacks and zeros ahead, on
//! the flusher's flushes, marks and the next segment; all of it in `drive`.

use super::core::{Draft, Placed};
use super::flow::{Call, Enlisted, FLUSH_BYTES};
use super::reserve::Claim;
use super::segment::ZERO_PIECE;
use super::{Fold, Journal};
use crate::error::Result;
use crate::format::control::Place;
use crate::format::frame::{self, Kind};
use crate::io::bugs::{Bug, planted};
use crate::io::sync::atomic::Ordering;
use crate::types::{Durability, Lsn};

const MS: u64 = 1_000_000;
/// A frame nobody waits for is written this soon.
const WRITE_WITHIN: u64 = 5 * MS;
/// So long after a flush with nothing behind it a mark states the durable LSN.
const MARK_AFTER: u64 = 50 * MS;
/// Zeros are kept ready for what was written in the last tick, within these bounds.
const ZEROS_MIN: u64 = 256 << 10;
const ZEROS_MAX: u64 = 4 << 20;
/// A small state is written whenever so much was placed: an open after a crash folds no more than that, and what a
/// flush has left.
const CHECKPOINT_BYTES: u64 = 16 << 20;
/// A load of more than this in one round is looked after again this soon.
const BUSY: u64 = 256 << 10;
const LOOK_AGAIN: u64 = MS;

/// What the keeper remembers between two rounds.
#[derive(Debug)]
pub struct Upkeep {
    /// When the oldest unflushed frame was first seen.
    dirty_since: Option<u64>,
    /// When everything was first seen flushed.
    quiet_since: u64,
    last_written: Lsn,
    /// Bytes of zeros to keep ready; follows the load.
    ahead: u64,
    /// What had been asked of the device when it last looked: up to where frames were wanted there when they were
    /// placed, how many threads had ever waited for a flush, and up to where somebody enlisted wanted one.
    asked: (Lsn, u64, Lsn),
    /// Where the log ended when it last looked; none before the first look, since what earlier lives wrote is no load.
    looked: Option<Place>,
    /// Only for a planted bug: the label of the checkpoint before.
    stale: Option<(Lsn, Place)>,
}

impl Upkeep {
    pub fn new(now: u64) -> Upkeep {
        Upkeep {
            dirty_since: None,
            quiet_since: now,
            last_written: 0,
            ahead: 0,
            asked: (0, 0, 0),
            looked: None,
            stale: None,
        }
    }

    /// What a checkpoint is labelled with: the LSN its state is as of.
    pub fn label(&mut self, lsn: Lsn, next: Place) -> (Lsn, Place) {
        if !planted(Bug::CheckpointNewerThanLsn) {
            return (lsn, next);
        }
        self.stale.replace((lsn, next)).unwrap_or((lsn, next))
    }
}

impl<F: Fold> Journal<F> {
    /// The keeper's part: groups nobody waits for. Returns when the next round is due.
    pub fn tend_writes(&self) -> Option<u64> {
        if self.check().is_err() {
            return None;
        }
        let now = self.machine.clock.monotonic();
        let (last, marked) = {
            let core = self.core.lock();
            (core.next_lsn - 1, core.marked)
        };
        // A failure poisons the journal and reaches every caller by that; the keeper has nobody to tell.
        if self.written_lsn() < last && self.lead_write(false).is_err() {
            return None;
        }
        let durable = self.durable_lsn();
        // A mark is not flushed for itself.
        let dirty = durable < last && !(marked && durable + 1 == last);
        if dirty && self.rested.swap(false, Ordering::Relaxed) {
            self.segments.flusher_bell.happen();
        }
        dirty.then_some(now + WRITE_WITHIN)
    }

    /// The keeper's part that nobody waits for: zeros ahead of the load. Once the bell has left `seen`, somebody does
    /// wait for the keeper: then no more of them are written than the load has used up. Returns when the next round is
    /// due.
    pub fn tend_zeros(&self, seen: u64) -> Option<u64> {
        if self.check().is_err() {
            return None;
        }
        let busy = self.zeros_ahead(seen).unwrap_or(false);
        busy.then(|| self.machine.clock.monotonic() + LOOK_AGAIN)
    }

    /// The flusher's part: flushes that somebody wants or that are due, marks, the next segment. A flush holds up no
    /// write, if this runs on a thread of its own.
    pub fn tend_flushes(&self) -> Option<u64> {
        if self.check().is_err() {
            return None;
        }
        let due = self.tend_groups().unwrap_or(None);
        if self.head_due.swap(false, Ordering::Relaxed) {
            self.write_head(false);
            // Nothing of the newest segment is flushed, so of a loss of all of it that told nothing.
            let newest = self.segments.info(self.segments.newest());
            if newest.is_some_and(|newest| self.durable_lsn() < newest.first_lsn) {
                self.head_due.store(true, Ordering::Relaxed);
            }
        }
        self.give_back();
        let (wanted, needed) = {
            let mut core = self.core.lock();
            (core.wants_spare(), std::mem::take(&mut core.spare_needed))
        };
        if wanted || needed > 0 {
            // For lack of space it is tried again when somebody needs it.
            let _ = self.prepare_spare(needed);
        }
        due
    }

    fn tend_groups(&self) -> Result<Option<u64>> {
        let now = self.machine.clock.monotonic();
        let (last, wanted, stated, marked, due) = {
            let core = self.core.lock();
            let due = core.unsynced.len() > 1 || core.since_flush >= FLUSH_BYTES;
            (core.next_lsn - 1, core.wanted, core.stated, core.marked, due)
        };
        // An answer may be drawn from a frame that nobody wanted on the device when it was placed.
        let wanted = wanted.max(self.asked_durable().min(last));
        if self.written_lsn() < wanted {
            self.lead_write(false)?;
        }
        // The older of two unsynced segments is flushed before the newer one is full, or appends would have to wait.
        if self.durable_lsn() < wanted || due {
            self.lead_flush(false)?;
        }
        let durable = self.durable_lsn();
        // A mark is not flushed for itself, unless somebody waits for it.
        let only_mark = marked && durable + 1 == last && durable >= wanted;
        let mut upkeep = self.upkeep.lock();
        if durable < last && !only_mark {
            let since = *upkeep.dirty_since.get_or_insert(now);
            upkeep.quiet_since = now;
            drop(upkeep);
            if now >= since + self.options.flush_every {
                self.lead_flush(false)?;
                self.upkeep.lock().dirty_since = None;
            }
            // Who holds the baton flushes what was written before it began; what is wanted may have come since.
            let again = self.durable_lsn() < wanted;
            return Ok(Some(if again { now + LOOK_AGAIN } else { since + self.options.flush_every }));
        }
        upkeep.dirty_since = None;
        if upkeep.last_written != last {
            upkeep.last_written = last;
            upkeep.quiet_since = now;
        }
        let quiet = upkeep.quiet_since;
        drop(upkeep);
        if marked || stated >= last {
            return Ok(None);
        }
        if now >= quiet + MARK_AFTER {
            self.mark(Claim::Decision)?;
            // Says the same where the mark's segment is lost as a whole.
            self.head_due.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        Ok(Some(quiet + MARK_AFTER))
    }

    /// The last frame of which somebody enlisted wants to hear that it is durable.
    fn asked_durable(&self) -> Lsn {
        let enlisted = self.enlisted.lock();
        let durable = enlisted.iter().filter(|one| one.level == Durability::Disk);
        durable.map(|one| one.lsn).max().unwrap_or(0)
    }

    /// Places an empty frame that states the durable LSN, and writes it; it is not flushed for itself.
    pub(super) fn mark(&self, claim: Claim) -> Result<Placed> {
        let mut bytes = Vec::with_capacity(frame::FRAME_HEADER);
        frame::encode(&mut bytes, Kind::Mark, 0, &[], &[]);
        let mut guard = self.enter_inside(bytes.len(), claim)?;
        let placed = guard.place(Draft::Copied(&bytes), Durability::Os, |_| (), |_, _| ());
        drop(guard);
        self.reach(placed.lsn, Durability::Os, None)?;
        Ok(placed)
    }

    /// Has zeros ahead of a load for which somebody waits to have it flushed, in the next segment too: a flush of what
    /// was written over zeros that are on the device changes nothing of the file but its bytes. What is flushed by the
    /// second does not need them. Returns whether the load is such that it should look again soon.
    fn zeros_ahead(&self, seen: u64) -> Result<bool> {
        let (segment, position, wanted) = {
            let core = self.core.lock();
            (core.segment.clone(), core.position, core.wanted)
        };
        let asked = (wanted, self.crowd.count(), self.asked_durable());
        let (distance, moved) = {
            let mut upkeep = self.upkeep.lock();
            let here = Place { segment: segment.header.number, position };
            let moved = match upkeep.looked.replace(here) {
                Some(last) if last.segment == here.segment => position.saturating_sub(last.position),
                // What it wrote into the segment before is left out.
                Some(_) => position,
                None => 0,
            };
            let flushed = std::mem::replace(&mut upkeep.asked, asked) != asked;
            let moved = if flushed { moved.min(ZEROS_MAX) } else { 0 };
            // An idle log writes no zeros; a busy one has several rounds' bytes ready.
            upkeep.ahead = if moved == 0 { 0 } else { (4 * moved).max(upkeep.ahead / 2).clamp(ZEROS_MIN, ZEROS_MAX) };
            (upkeep.ahead, moved)
        };
        let wrote =
            |zeros: std::io::Result<bool>| zeros.map_err(|error| self.poison("writing zeros ahead failed", error));
        let mut done = 0;
        let mut more = || {
            done += ZERO_PIECE;
            done <= moved + ZERO_PIECE || (done <= ZEROS_MAX && self.bell.seen() == seen)
        };
        while more() && wrote(segment.zero_ahead(distance))? {}
        let room = segment.header.size - position;
        if room < distance {
            let spare = self.core.lock().spare.clone();
            while let Some(spare) = &spare
                && more()
                && wrote(spare.zero_ahead(distance - room))?
            {}
        }
        Ok(moved > BUSY)
    }

    /// Takes what was enlisted and has met its level, or never will, in the order in which it came.
    fn take_ready(&self) -> Vec<(Call, Result<()>)> {
        let mut ready = Vec::new();
        let mut enlisted = self.enlisted.lock();
        // One moment for all: with what is written meanwhile, the second could be ready when the first was not. After
        // the end nothing moves any more.
        let ended = self.is_ended();
        let (durable, written) = (self.durable_lsn(), self.written_lsn());
        let at = |level| if level == Durability::Disk { durable } else { written };
        let reached = |e: &Enlisted| match planted(Bug::CallsOfManyMoments) {
            true => self.reached(e.lsn, e.level),
            false => self.reached_by(at(e.level), e.lsn, e.level).or_else(|| ended.then_some(Ok(()))),
        };
        let waiting = enlisted.drain(..).filter_map(|e| match reached(&e) {
            Some(result) => {
                ready.push((e.call, result));
                None
            }
            None => Some(e),
        });
        *enlisted = waiting.collect();
        ready
    }

    fn has_ready(&self) -> bool {
        self.enlisted.lock().iter().any(|e| self.reached(e.lsn, e.level).is_some())
    }

    /// True if as much was placed since the newest checkpoint as a segment holds, at most 16 MiB, or eight times the
    /// state if that is more.
    pub fn checkpoint_is_due(&self) -> bool {
        let core = self.core.lock();
        let least = core.segment.header.size.min(CHECKPOINT_BYTES);
        self.check().is_ok() && core.since_checkpoint > least.max(8 * core.state_bytes)
    }

    /// Answers whoever enlisted, as far as the answer is known, unless somebody does that right now: calls of two
    /// threads would overtake each other.
    pub fn tend_callbacks(&self) {
        loop {
            let Some(calling) = self.calling.take() else { return };
            for (call, result) in self.take_ready() {
                // A caller's panic is its own: the keeper goes on.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || call(result)));
            }
            drop(calling);
            // After the close nobody comes again for those who found the baton taken.
            if !self.is_shut() || !self.has_ready() {
                return;
            }
        }
    }

    /// Waits, on the keeper's thread, until there is something to do.
    pub fn sleep(&self, seen: u64, due: Option<u64>) {
        // Idle is whoever means to sleep longer than a frame may lie unwritten: then a frame rings the bell.
        let soon = self.machine.clock.monotonic() + WRITE_WITHIN;
        let idle = due.is_none_or(|due| due > soon);
        self.idle.store(idle, Ordering::Relaxed);
        // What was placed before the flag went up rang no bell. What a failure has left there nobody writes any more.
        let busy = idle && !self.is_poisoned() && !self.core.lock().group.chunks.is_empty();
        if !busy {
            self.machine.park.park(&self.bell, seen, due);
        }
        self.idle.store(false, Ordering::Relaxed);
    }

    /// The same for the flusher, which hears from the keeper of what was written since it rested.
    pub fn rest(&self, seen: u64, due: Option<u64>) {
        self.rested.store(self.upkeep.lock().dirty_since.is_none(), Ordering::Relaxed);
        self.machine.park.park(&self.segments.flusher_bell, seen, due);
        self.rested.store(false, Ordering::Relaxed);
    }

    /// The keeper's bell as it stands; taken before a round, so that no ring is lost.
    pub fn bell(&self) -> u64 {
        self.bell.seen()
    }

    /// The flusher's bell as it stands.
    pub fn flusher_bell(&self) -> u64 {
        self.segments.flusher_bell.seen()
    }

    /// True if somebody waits for a call back.
    pub fn has_enlisted(&self) -> bool {
        !self.enlisted.lock().is_empty()
    }

    /// Wakes the keeper.
    pub fn ring(&self) {
        self.bell.happen();
    }

    /// Wakes the flusher.
    pub fn ring_flusher(&self) {
        self.segments.flusher_bell.happen();
    }
}
