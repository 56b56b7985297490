//! The end of a journal: first the door closes for callers, then what they placed is flushed, then come the last words.
//! After that nothing is written, whoever is in the middle of a call: the next life goes on in the same segment.

use super::reserve::Claim;
use super::{Fold, Journal};
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::Place;
use crate::format::files::SegmentHeader;
use crate::io::sync::atomic::Ordering;
use crate::types::{Durability, Lsn};

/// Frames are placed by callers and by the journal itself.
pub const OPEN: u8 = 0;
/// Only the journal itself places frames: its last checkpoint, its last mark.
pub const CLOSING: u8 = 1;
/// Nobody places, writes or flushes anything but what slipped in before.
pub const SHUT: u8 = 2;
/// That is flushed too, or never will be.
pub const ENDED: u8 = 3;

const LOOK_AGAIN: u64 = 1_000_000;

/// What every call answers once the log is closed.
pub fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the engine was closed; open the log again")
}

impl<F: Fold> Journal<F> {
    /// True once nothing is written any more. Who parks looks here after noting the event and before parking: the door
    /// is shut before the event happens for the last time.
    pub(super) fn is_shut(&self) -> bool {
        self.door.load(Ordering::SeqCst) >= SHUT
    }

    /// True once nothing comes any more: who finds a frame short of its level now need not wait for it. What callers
    /// placed was flushed before the door was shut, or a failure is known; what slipped in was flushed since. That
    /// leaves the journal's own last words, which hold nothing of anybody's: a flush that was asked for while the log
    /// closed may wait for them.
    pub(super) fn is_ended(&self) -> bool {
        self.door.load(Ordering::SeqCst) == ENDED
    }

    /// The answer to a frame that comes too late.
    pub(super) fn check_door(&self, inside: bool) -> Result<()> {
        match self.door.load(Ordering::SeqCst) {
            OPEN => Ok(()),
            CLOSING if inside => Ok(()),
            _ => Err(closed()),
        }
    }

    /// From here on callers place nothing; what they have placed is durable when this returns.
    pub fn close_door(&self) -> Result<()> {
        {
            // Under the lock: whoever has entered places before this, whoever enters after it is refused.
            let _core = self.core.lock();
            let _ = self.door.compare_exchange(OPEN, CLOSING, Ordering::SeqCst, Ordering::SeqCst);
        }
        self.check()?;
        self.flush_all()
    }

    /// The journal's last words on a clean close: a checkpoint if anything happened, a mark, no spare. Returns the
    /// segment that the next life may go on in, sealed for now.
    pub fn finish(&self) -> Result<u64> {
        self.forget_zeros();
        if self.core.lock().since_checkpoint > 0 {
            match self.checkpoint() {
                // On a full disk the next open folds instead. Parts that found room are flushed all the same: behind a
                // clean close nothing but its mark is not known durable.
                Err(error) if error.kind() == ErrorKind::Full => self.flush_all()?,
                other => other?,
            }
        }
        self.give_back();
        let mark = match self.mark(Claim::LastWords) {
            Err(error) if error.kind() == ErrorKind::Full => None,
            other => Some(other?),
        };
        if let Some(mark) = mark {
            // `head` will say so. Mostly it is; who drives beside this may have placed a mark of his own.
            self.reach(mark.lsn - 1, Durability::Disk, None)?;
        }
        let slipped_in = self.end(mark.map_or(0, |mark| mark.lsn))?;
        let (spare, segment, written) = {
            let mut core = self.core.lock();
            (core.spare.take(), core.segment.clone(), core.position)
        };
        if let Some(spare) = spare {
            // A file that stays is swept away at the next open.
            let _ = self.machine.storage.remove(&SegmentHeader::name(spare.header.number, 0));
        }
        let (last, end) = match (slipped_in, mark) {
            (Some(behind), _) => behind,
            // The next life writes over the mark, so the segment ends before it.
            (None, Some(mark)) => (mark.lsn - 1, mark.place),
            // Somebody else has ended it.
            (None, None) => {
                let core = self.core.lock();
                let (next_lsn, end) = core.next();
                (next_lsn - 1, end)
            }
        };
        // There are none, unless the last words began this segment.
        let _ = segment.forget_zeros(written);
        self.segments.seal(end.segment, last, end.position);
        Ok(end.segment)
    }

    /// Before the last flush, if there is one, which takes the change of the file's extents along: else the first flush
    /// of the next life has to. Without all of it the next open takes longer.
    fn forget_zeros(&self) {
        let Some(baton) = self.write.take() else { return };
        let (segment, placed) = {
            let core = self.core.lock();
            (core.segment.clone(), core.position)
        };
        let _ = segment.forget_zeros(placed);
        drop(baton);
        self.progress.happen();
    }

    /// After this nothing is written, flushed or made. The directory's lock may go only then. Answers the last LSN and
    /// the end if a keeper's round placed frames behind `known`; those are flushed. Ending again does nothing.
    pub fn end(&self, known: Lsn) -> Result<Option<(Lsn, Place)>> {
        let (segment, next_lsn, end) = {
            let core = self.core.lock();
            if self.is_shut() {
                return Ok(None);
            }
            self.door.store(SHUT, Ordering::SeqCst);
            let (next_lsn, end) = core.next();
            (core.segment.clone(), next_lsn, end)
        };
        let slipped_in = (next_lsn - 1 > known).then_some((next_lsn - 1, end));
        let result = match slipped_in {
            Some((last, _)) => self.reach_last(last),
            None => Ok(()),
        };
        segment.end_zeros();
        let batons: [&dyn Fn() -> bool; 3] =
            [&|| self.write.retire(), &|| self.flush.retire(), &|| self.prepare.retire()];
        for retire in batons {
            while !retire() {
                // Who gives a baton back after a failure tells nobody, so look again soon.
                let soon = self.machine.clock.monotonic() + LOOK_AGAIN;
                self.machine.park.park(&self.progress, self.progress.seen(), Some(soon));
            }
        }
        {
            let _core = self.core.lock();
            self.door.store(ENDED, Ordering::SeqCst);
        }
        self.tell_all();
        result.map(|()| slipped_in)
    }

    /// Lets go of what is open, but for what somebody is in the middle of reading, who has it for as long as that.
    /// Behind `end`; the directory's lock goes only then.
    pub fn let_go(&self) {
        self.heads.lock().end();
        self.segments.let_go();
        self.machine.storage.let_go();
        let files = {
            let mut core = self.core.lock();
            let closed = core.segment.without_file();
            // After a failure there are a next segment, and frames that nobody writes any more.
            let last = (std::mem::take(&mut core.group), core.spare.take(), std::mem::take(&mut core.unsynced));
            (std::mem::replace(&mut core.segment, closed), last)
        };
        if let (_, (_, Some(spare), _)) = &files {
            spare.end_zeros();
        }
        drop(files);
        drop(self.leftover.lock().take());
    }

    /// Flushes up to `last` while the door is shut already: the batons still go round.
    fn reach_last(&self, last: Lsn) -> Result<()> {
        loop {
            let seen = self.progress.seen();
            if let Some(reached) = self.reached_by(self.durable_lsn(), last, Durability::Disk) {
                return reached;
            }
            let led = if self.written_lsn() < last { self.lead_write(false)? } else { self.lead_flush(false)? };
            if !led {
                let soon = self.machine.clock.monotonic() + LOOK_AGAIN;
                self.machine.park.park(&self.progress, seen, Some(soon));
            }
        }
    }
}
