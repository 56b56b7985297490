//! From a placed frame to the device: groups are written under one baton and flushed under another.

use std::sync::{Arc, OnceLock};

use super::baton::Baton;
use super::core::{Core, Guard, NoRoom};
use super::crowd::{Crowd, Habit};
use super::end::OPEN;
use super::head::Heads;
use super::hold::{Hold, Lock};
use super::open::Opener;
use super::reserve::Claim;
use super::resume::Leftover;
use super::segment::Segment;
use super::segments::Segments;
use super::turns::{Turn, Turns};
use super::upkeep::Upkeep;
use super::writing::Writing;
use super::{Counters, Fold};
use crate::error::{Error, ErrorKind, Result};
use crate::io::branches::branch;
use crate::io::bugs::{Bug, planted};
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use crate::io::{Event, Machine, fork};
use crate::limits::FRAME_MAX;
use crate::types::{Durability, Lsn};

/// As soon as so much is not flushed the flusher flushes, whoever waits for it: the next open copies what is not known
/// durable.
pub(super) const FLUSH_BYTES: u64 = 8 << 20;

/// Bytes of a group that the keeper is woken to write at once.
const LARGE: usize = 256 << 10;

/// What hears of the failure that ends a journal. Runs in the middle of the call that failed.
pub type Alarm = Box<dyn Fn(&Error) + Send + Sync>;

/// What runs when a frame has met its level, or cannot.
pub type Call = Box<dyn FnOnce(Result<()>) + Send>;

pub(super) struct Enlisted {
    pub lsn: Lsn,
    pub level: Durability,
    pub call: Call,
}

/// How a thread comes to the journal's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It waits for no room: `Busy` if there is none.
    Passes,
    /// It waits for room.
    Waits,
    /// For its turn too, if turns are taken and it is one of those who do: its frame is written then as the guard is
    /// let go of. For callers without a lock.
    InTurn,
    /// For a frame of the journal's own: it waits for room, and comes in when callers are shut out.
    Inside,
}

impl Entry {
    /// Of who may wait for room, or not.
    pub fn waiting(may_wait: bool) -> Self {
        if may_wait { Entry::Waits } else { Entry::Passes }
    }

    /// For a frame of this level: only what is waited for at `os` is worth a turn.
    pub fn at(self, level: Durability) -> Self {
        if self == Entry::InTurn && level != Durability::Os { Entry::Waits } else { self }
    }
}

/// How the journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// Size that segments grow to.
    pub segment_bytes: u64,
    /// How long written frames may stay unflushed at level `os`, nanoseconds.
    pub flush_every: u64,
}

/// The journal of one open log.
pub struct Journal<F: Fold> {
    pub(super) machine: Machine,
    pub(super) uuid: [u8; 16],
    pub(super) options: JournalOptions,
    /// The process that opened it: no other writes its files.
    forks: u32,
    pub(super) fold: Arc<F>,
    pub(super) core: Lock<Core<F>>,
    pub(super) written: AtomicU64,
    /// Readers see nothing behind it: ahead of `written` while the fold shows them what was written.
    pub(super) shown: AtomicU64,
    pub(super) durable: AtomicU64,
    poison: OnceLock<Error>,
    alarm: OnceLock<Alarm>,
    pub(super) write: Baton<Writing<F::Notes>>,
    pub(super) flush: Baton<Habit>,
    pub(super) prepare: Baton,
    /// Moves whenever a group was written or flushed, room was made, or the journal was poisoned.
    pub(super) progress: Event,
    /// Moves whenever a group was flushed, or the journal was poisoned: who waits for a flush is not woken by writes.
    pub(super) flushed: Event,
    pub(super) crowd: Crowd,
    /// Who waits for a write that somebody else leads.
    pub(super) writers: Crowd,
    pub(super) turns: Turns,
    pub(super) segments: Arc<Segments>,
    pub(super) counters: Counters,
    pub(super) enlisted: Mutex<Vec<Enlisted>>,
    /// Held by who calls back: one at a time, so that calls come in their order.
    pub(super) calling: Baton,
    pub(super) next_number: AtomicU64,
    /// The keeper's bell, and whether it sleeps without a deadline.
    pub(super) bell: Event,
    pub(super) idle: AtomicBool,
    /// Whether the flusher knows of nothing that is to be flushed. Its bell hangs at the segments.
    pub(super) rested: AtomicBool,
    pub(super) upkeep: Mutex<Upkeep>,
    /// Taken for the file's writing alone, so that nobody with another lock waits for that.
    pub(super) heads: Mutex<Heads>,
    /// The log goes on in another segment, or is marked: `head` is to speak of it.
    pub(super) head_due: AtomicBool,
    /// Space to give back in the first round.
    pub(super) leftover: Mutex<Option<Leftover>>,
    /// Who may still place frames; changes under the core's lock.
    pub(super) door: AtomicU8,
}

impl<F: Fold> Journal<F> {
    /// `next_number`: of the next segment. `durable`: everything up to it is.
    pub(super) fn assemble(
        opener: Opener<F>,
        uuid: [u8; 16],
        core: Core<F>,
        segments: Arc<Segments>,
        next_number: u64,
        durable: Lsn,
    ) -> Self {
        let Opener { machine, opening, fold, .. } = opener;
        let now = machine.clock.monotonic();
        Journal {
            forks: fork::generation(),
            written: AtomicU64::new(durable),
            shown: AtomicU64::new(durable),
            durable: AtomicU64::new(durable),
            poison: OnceLock::new(),
            alarm: OnceLock::new(),
            write: Baton::default(),
            flush: Baton::default(),
            prepare: Baton::default(),
            progress: Event::default(),
            flushed: Event::default(),
            crowd: Crowd::default(),
            writers: Crowd::default(),
            turns: Turns::new(machine.park.turns(false)),
            counters: Counters::default(),
            enlisted: Mutex::default(),
            calling: Baton::default(),
            next_number: AtomicU64::new(next_number),
            bell: Event::default(),
            idle: AtomicBool::new(false),
            rested: AtomicBool::new(false),
            upkeep: Mutex::new(Upkeep::new(now)),
            heads: Mutex::new(Heads::default()),
            head_due: AtomicBool::new(false),
            leftover: Mutex::default(),
            door: AtomicU8::new(OPEN),
            core: Lock::new(core),
            machine,
            uuid,
            options: opening.options,
            fold,
            segments,
        }
    }

    /// All segments, for readers.
    pub fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// True once a write or flush has failed.
    pub fn is_poisoned(&self) -> bool {
        self.poison.get().is_some()
    }

    /// Where the next frame will lie: the segment's number, and the byte.
    pub fn next_place(&self) -> (u64, u64) {
        let core = self.core.lock();
        (core.segment.header.number, core.position)
    }

    /// Everything up to here survives a power cut.
    #[inline]
    pub fn durable_lsn(&self) -> Lsn {
        self.durable.load(Ordering::Acquire)
    }

    /// Everything up to here is written to the operating system.
    #[inline]
    pub fn written_lsn(&self) -> Lsn {
        self.written.load(Ordering::Acquire)
    }

    /// Nothing that readers see at the level of writes lies behind this. Ask behind the read.
    pub fn shown_lsn(&self) -> Lsn {
        self.shown.load(Ordering::Acquire)
    }

    /// Takes the lock to look, not to place.
    pub fn look<R>(&self, f: impl FnOnce(&F::State, Lsn) -> R) -> R {
        let core = self.core.lock();
        f(&core.state, core.next_lsn - 1)
    }

    /// Takes the lock with room for a frame of `len` bytes. Waits, without the lock, for a full group to be written,
    /// the next segment, or a flush, whichever is missing; space is part of the check, so it may answer `Full`.
    pub fn enter(&self, len: usize) -> Result<Guard<'_, F>> {
        self.enter_for(len, Claim::Growth, Entry::Waits)
    }

    /// The same for the journal's own frames, which still come when callers are shut out.
    pub(super) fn enter_inside(&self, len: usize, claim: Claim) -> Result<Guard<'_, F>> {
        self.enter_for(len, claim, Entry::Inside)
    }

    /// The same for a frame that may use the reserve, and for who comes in otherwise.
    #[inline(always)]
    pub fn enter_for(&self, len: usize, claim: Claim, entry: Entry) -> Result<Guard<'_, F>> {
        if len > FRAME_MAX {
            return Err(frame_too_large(len));
        }
        loop {
            let turn = if entry == Entry::InTurn { self.turn() } else { None };
            // Behind that, for it takes a while.
            self.check()?;
            let mut core = self.core.lock();
            self.check_door(entry == Entry::Inside)?;
            let mut late = false;
            match core.room(len, claim, &mut late) {
                Ok(()) => return Ok(Guard { journal: self, core, _turn: turn }),
                Err(missing) => self.wait_for_room(core, turn, missing, late, entry)?,
            }
        }
    }

    /// Has room made, and waits for it if the caller does.
    #[cold]
    fn wait_for_room(
        &self,
        mut core: Hold<'_, Core<F>>,
        turn: Option<Turn<'_, F>>,
        missing: NoRoom,
        late: bool,
        entry: Entry,
    ) -> Result<()> {
        if entry == Entry::Passes {
            self.make_room_later(&mut core, missing);
            let message = "there is no room right now; wait for what was sent before, then send again";
            return Err(Error::new(ErrorKind::Busy, message));
        }
        let (last, oldest) = (core.next_lsn - 1, core.due_before_roll());
        drop(core);
        drop(turn);
        if late {
            self.counters.late_rolls.fetch_add(1, Ordering::Relaxed);
        }
        match missing {
            NoRoom::Group => self.reach(last, Durability::Os, None).map(drop)?,
            NoRoom::Spare(bytes) => self.prepare_spare(bytes)?,
            NoRoom::Unsynced => {
                self.reach(oldest, Durability::Disk, None)?;
                // Whoever flushed may be just about to: nothing would be left to wait for meanwhile.
                if !planted(Bug::SettledByFlusherOnly) {
                    self.settle(oldest);
                }
            }
        }
        Ok(())
    }

    /// Refuses work in a forked child, and once a write or flush has failed.
    pub fn check(&self) -> Result<()> {
        self.check_process()?;
        match self.poison.get() {
            None => Ok(()),
            Some(cause) => Err(Error::with_source(
                ErrorKind::Poisoned,
                "a write or flush failed earlier and must not be repeated; close the log, look after the disk, open it \
                 again",
                cause.clone(),
            )),
        }
    }

    /// Refuses work in a forked child: the files and the lock are its parent's.
    #[inline]
    pub fn check_process(&self) -> Result<()> {
        if fork::generation() == self.forks {
            return Ok(());
        }
        let message =
            "this process was forked from the one that opened the log; open it here once the parent closed it";
        Err(Error::new(ErrorKind::Forked, message))
    }

    /// Has somebody hear of the first failure; the first to ask.
    pub fn on_poison(&self, alarm: Alarm) {
        let _ = self.alarm.set(alarm);
    }

    /// The first failure stays; nothing is written after it.
    pub(super) fn poison(&self, what: &'static str, error: std::io::Error) -> Error {
        let error = Error::with_source(ErrorKind::Io, what, error);
        if self.poison.set(error).is_ok() {
            branch("poison");
            if let (Some(alarm), Some(cause)) = (self.alarm.get(), self.poison.get()) {
                alarm(cause);
            }
        }
        self.tell_all();
        self.bell.happen();
        self.segments.flusher_bell.happen();
        self.indeterminate()
    }

    /// Wakes whoever waits for a write or a flush.
    pub(super) fn tell_all(&self) {
        self.progress.happen();
        self.flushed.happen();
    }

    pub(super) fn indeterminate(&self) -> Error {
        let message = "the disk failed under this call: it may be there or not; open the log again to find out";
        match self.poison.get() {
            Some(cause) => Error::with_source(ErrorKind::Indeterminate, message, cause.clone()),
            None => Error::new(ErrorKind::Indeterminate, message),
        }
    }

    /// Flushes all that is written, unless somebody is flushing right now; `together` with those who are about to come.
    pub(super) fn lead_flush(&self, together: bool) -> Result<bool> {
        let Some(mut habit) = self.flush.take() else { return Ok(false) };
        self.check().map_err(|_| self.indeterminate())?;
        if together {
            habit.gather(&self.machine, &self.crowd);
        }
        let result = self.flush_written(&mut habit);
        drop(habit);
        self.tell_all();
        result.map(|()| true)
    }

    /// Durable is what was written before the first flush began, and only once every file that holds it is flushed,
    /// the older first.
    fn flush_written(&self, habit: &mut Habit) -> Result<()> {
        let came = self.crowd.count();
        let mut target = self.written_lsn();
        let files: Vec<Arc<Segment>> = {
            let mut core = self.core.lock();
            (core.since_flush, core.flush_asked) = (0, false);
            core.unsynced.iter().map(|u| u.segment.clone()).collect()
        };
        let newest = files.len() - 1;
        let began = self.machine.clock.monotonic();
        for (i, segment) in files.iter().enumerate() {
            if i < newest && planted(Bug::OlderFileNotFlushedAtRoll) {
                continue;
            }
            self.sync(segment)?;
        }
        if planted(Bug::DurableCountedAtFlushEnd) {
            target = self.core.lock().next_lsn - 1;
        }
        let took = self.machine.clock.monotonic().saturating_sub(began);
        self.counters.flushes.add(took);
        habit.ended(&self.crowd, came, took);
        // Shown first: who is told that a record is durable must be able to read it.
        self.fold.durable(target);
        self.durable.fetch_max(target, Ordering::AcqRel);
        // Only now: a roll settles the old segment by the durable LSN that it reads under the lock. Whichever comes
        // first, the roll or this, one of the two sees both.
        self.settle(target);
        Ok(())
    }

    /// Takes the segments off the list of those to flush that are sealed and durable to their last frame.
    pub(super) fn settle(&self, durable: Lsn) {
        let settled = self.core.lock().settle(durable);
        self.settled(settled);
        // Of the first flush in a new segment the flusher hears only here, where somebody else made it.
        if self.head_due.load(Ordering::Relaxed) {
            self.ring_flusher();
        }
    }

    /// Segments will be written no more, so the log goes on in another: the flusher has `head` say so.
    pub(super) fn settled(&self, numbers: Vec<u64>) {
        if !numbers.is_empty() {
            self.head_due.store(true, Ordering::Relaxed);
        }
        numbers.into_iter().for_each(|n| self.segments.settle(n));
    }

    fn sync(&self, segment: &Segment) -> Result<()> {
        let mut result = segment.file.sync();
        if result.is_err() && planted(Bug::FailedFlushRetried) {
            result = segment.file.sync();
        }
        result.map_err(|e| self.poison("a flush failed", e))
    }

    /// Everything placed so far is durable when this returns.
    pub fn flush_all(&self) -> Result<()> {
        let last = self.look(|_, last| last);
        self.reach(last, Durability::Disk, None).map(drop)
    }

    /// Has `call` called on the keeper, or in `drive`, once the frame has met its level.
    pub fn enlist(&self, lsn: Lsn, level: Durability, call: Call) {
        // In a forked child there is no keeper, and the list's lock may be held for ever.
        if self.check_process().is_err() {
            return;
        }
        self.enlisted.lock().push(Enlisted { lsn, level, call });
        if level == Durability::Disk {
            self.segments.flusher_bell.happen();
        }
        self.bell.happen();
    }

    /// Has the flusher, or the next `drive`, flush up to a frame that nobody waits for. Asking again adds nothing.
    pub fn want(&self, lsn: Lsn) {
        if self.check_process().is_err() {
            return;
        }
        {
            let mut core = self.core.lock();
            core.wanted = core.wanted.max(lsn);
        }
        self.segments.flusher_bell.happen();
    }

    /// Follows `enlist`, once no lock is held. The close sets the flag first and empties the list then: one of the two
    /// sees what was enlisted.
    pub fn call_back_if_shut(&self) {
        if self.is_shut() && !planted(Bug::EnlistedBehindClose) {
            self.tend_callbacks();
        }
    }

    /// Wakes the keeper if it sleeps without a deadline and there is something to write, or if there is so much that it
    /// should be written while it is still in the processor's cache; and the flusher if it is time to make the next
    /// segment, or to flush the one that is full.
    #[inline]
    pub(super) fn stir(&self, core: &mut Core<F>) {
        let large = core.group.bytes >= LARGE && !core.group.rung;
        if large || (self.idle.load(Ordering::Relaxed) && !core.group.chunks.is_empty()) {
            core.group.rung = true;
            self.idle.store(false, Ordering::Relaxed);
            self.bell.happen();
        }
        let many = core.since_flush >= FLUSH_BYTES && !core.flush_asked;
        if many || core.rolled || (!core.spare_asked && core.wants_spare()) {
            core.spare_asked |= core.wants_spare();
            (core.rolled, core.flush_asked) = (false, core.flush_asked || many);
            self.segments.flusher_bell.happen();
        }
    }
}

#[cold]
fn frame_too_large(len: usize) -> Error {
    let message = format!("a frame would be too large; write less at once; bytes={len} most={FRAME_MAX}");
    Error::new(ErrorKind::LimitExceeded, message)
}
