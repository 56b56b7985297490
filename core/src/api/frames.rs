//! What a named producer gathers: batches of several partitions that go down as one frame, with the last position.

use std::sync::Arc;

use super::gather::{Bytes, Gather, Spot};
use super::pending::{Outcome, Pending, duplicate};
use super::positions::Positions;
use super::sender::{Added, Context, Effects};
use crate::engine::{Gathered, GivenOffsets, Judged, Refused};
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::Record;
use crate::io::sync::Mutex;
use crate::journal::{Entry, Seat};
use crate::limits::TRANSACTION_BUFFER;
use crate::partition::Partition;
use crate::types::{Durability, Identity, Instance, Lsn, Timestamp};

/// The open frame of a name, and the positions before it.
pub(super) struct Frames {
    name: String,
    identity: Identity,
    gather: Gather,
    /// Set while the gather is not empty.
    open: Option<Open>,
    /// Under a lock of their own, since closing may wait and how far the positions are is asked meanwhile.
    positions: Arc<Mutex<Positions>>,
    /// What they said when the last frame was placed: the position it holds with its number, and the strongest level
    /// that any frame waited for.
    last: Option<(u64, Lsn)>,
    strongest: Option<Durability>,
    /// Why this holder may place nothing more.
    finished: Option<Refused>,
}

struct Open {
    pending: Arc<Pending>,
    deadline: u64,
    position: u64,
}

impl Frames {
    pub(super) fn new(name: String, identity: Identity, reached: Option<u64>) -> Self {
        let positions = Positions::new(reached);
        let (last, strongest) = (positions.last(), positions.strongest());
        let (gather, positions) = (Gather::default(), Arc::new(Mutex::new(positions)));
        Self { name, identity, gather, open: None, positions, last, strongest, finished: None }
    }

    pub(super) fn holds(&self, instance: Instance) -> bool {
        self.gather.holds(instance)
    }
    /// How far they are is known there, whoever closes a frame meanwhile.
    pub(super) fn positions(&self) -> &Arc<Mutex<Positions>> {
        &self.positions
    }
    /// What a flush waits for, and what it answers then.
    pub(super) fn flushed(&self) -> (Option<(Lsn, Durability)>, Judged<()>) {
        (self.last.map(|(_, lsn)| lsn).zip(self.strongest), self.check())
    }
    /// Answers why this holder is finished, if it is.
    pub(super) fn check(&self) -> Judged<()> {
        self.finished.clone().map_or(Ok(()), Err)
    }

    /// The position of a record that is to be sent.
    pub(super) fn position_of(&self, record: &Record<'_>) -> Result<u64> {
        record.position.ok_or_else(|| {
            let text = "a record of a named producer needs a position above the last one; set the record's position";
            Error::new(ErrorKind::InvalidArgument, format!("{text}, producer={}", self.name))
        })
    }

    /// The answer to a position that was sent already; `None` if it is new. It is given no earlier than everything up
    /// to that position has met its own level and the one asked now.
    pub(super) fn repeated(
        &self,
        context: &Context,
        position: u64,
        asked: Durability,
        effects: &mut Effects,
    ) -> Option<Added> {
        let level = self.strongest.map_or(asked, |strongest| strongest.max(asked));
        if let Some((placed, lsn)) = self.last
            && position <= placed
        {
            context.engine.duplicate_met();
            return Some(Added::Known(duplicate(lsn, context.engine.incarnation()), level));
        }
        let open = self.open.as_ref().filter(|open| position <= open.position)?;
        context.engine.duplicate_met();
        effects.join(&open.pending);
        Some(Added::Seat(Seat { timestamp: -1, repeats: Some(level), ..Seat::default() }))
    }

    /// Adds a record with a new position. Everything that can refuse it comes before the position is taken: after an
    /// error the position is free.
    #[inline]
    pub(super) fn add(
        &mut self,
        context: &Context,
        partition: &Arc<Partition>,
        record: &Record<'_>,
        (position, timestamp): (u64, Timestamp),
        effects: &mut Effects,
    ) -> Judged<Seat> {
        let most = Bytes { own: context.batch_bytes, all: TRANSACTION_BUFFER };
        let Spot { slot, index } = match self.gather.try_push(partition, record, timestamp, most)? {
            Ok(spot) => spot,
            Err(_) => {
                self.close(context, effects);
                effects.check_room()?;
                self.check()?;
                self.gather.push(partition, record, timestamp)?
            }
        };
        let open = self.open.get_or_insert_with(|| {
            let deadline = effects.begin(context);
            Open { pending: Pending::new(context), deadline, position }
        });
        open.position = position;
        effects.join(&open.pending);
        if context.linger == 0 || self.gather.bytes_of(partition.instance()) >= context.batch_bytes {
            self.close(context, effects);
        }
        Ok(Seat { slot, index, partition: partition.number(), timestamp, repeats: None })
    }

    /// Closes the frame of some tickets, if it is still open.
    pub(super) fn close_pending(&mut self, context: &Context, pending: &Pending, effects: &mut Effects) {
        if self.open.as_ref().is_some_and(|open| std::ptr::eq(&*open.pending, pending)) {
            self.close(context, effects);
        }
    }

    /// Closes the frame if its time has come; answers when it comes otherwise, or when it came if there was no room.
    pub(super) fn close_due(&mut self, context: &Context, now: u64, effects: &mut Effects) -> Option<u64> {
        let open = self.open.as_ref()?;
        if !open.pending.is_due(now, open.deadline) {
            return Some(open.deadline);
        }
        self.close(context, effects);
        self.open.as_ref().map(|open| open.deadline)
    }

    fn close(&mut self, context: &Context, effects: &mut Effects) {
        if effects.waits_for(context, self.gather.tried()) {
            return;
        }
        let Some(open) = self.open.take() else { return };
        let parts = self.gather.parts(context.compression);
        let bytes = parts.iter().map(|part| part.framed.len()).sum();
        let placed = context.engine.append_gathered(Gathered {
            producer: (self.identity.producer_id, self.identity.epoch),
            number: 0,
            position: Some(open.position),
            parts: &parts,
            offsets: GivenOffsets::NONE,
            durability: context.durability,
            entry: Entry::waiting(effects.may_wait()),
        });
        if effects.held_up(&open.pending, &placed) {
            self.gather.found_no_room(bytes);
            self.open = Some(open);
            return;
        }
        self.gather.clear();
        match &placed {
            Ok(placed) => self.place(context, open.position, placed.lsn, placed.level),
            Err(Refused { lsn, error }) => self.finished = Some(Refused { lsn: *lsn, error: self.finish(error) }),
        }
        effects.close(
            &open.pending,
            placed.map(|placed| Outcome {
                lsn: placed.lsn,
                level: placed.level,
                incarnation: placed.incarnation,
                firsts: placed.firsts,
                duplicate: placed.duplicate,
            }),
        );
    }

    /// A frame with this position has its place.
    fn place(&mut self, context: &Context, position: u64, lsn: Lsn, level: Durability) {
        let mut positions = self.positions.lock();
        positions.place(position, lsn, level, &*context.waits);
        (self.last, self.strongest) = (positions.last(), positions.strongest());
    }

    /// A refused frame ends this holder: whatever came behind it would get ahead of what it held, and the position
    /// would promise records that are not there.
    fn finish(&self, error: &Error) -> Error {
        if error.is_fatal() {
            return error.clone();
        }
        let text = "an earlier send of this producer was refused; open it again and send what follows its position";
        Error::with_source(ErrorKind::Closed, format!("{text}, producer={} cause={error}", self.name), error.clone())
    }
}
