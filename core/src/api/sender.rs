//! What a producer, its tickets and the keeper share: the batches that are being gathered, and who closes them.

use std::borrow::Borrow;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use super::batches::Batches;
use super::frames::Frames;
use super::pending::{Outcome, Pending, lost};
use super::router::{Looked, Router};
use crate::engine::{Inner, Judged, Lingering, TopicHandle};
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::Record;
use crate::io::sync::{Mutex, MutexGuard};
use crate::journal::{Seat, Waits};
use crate::limits::BATCH_MAX;
use crate::partition::Partition;
use crate::types::{Appended, Compression, Durability, Instance, Lsn, Timestamp};

/// What never changes for a producer.
pub(super) struct Context {
    pub(super) engine: Arc<Inner>,
    pub(super) waits: Arc<dyn Waits>,
    pub(super) sender: Weak<Sender>,
    pub(super) batch_bytes: usize,
    /// Nanoseconds.
    pub(super) linger: u64,
    pub(super) durability: Option<Durability>,
    pub(super) compression: Compression,
}

/// What became of a record.
pub(super) enum Added {
    /// It waits in the batch that the effects name.
    Seat(Seat),
    /// It is a duplicate of what has its place.
    Known(Appended, Durability),
}

/// What is to be done when the producer's lock is free again, and what the records of one call share.
#[derive(Default)]
pub(super) struct Effects {
    /// Somebody is to be called back.
    called: bool,
    deadline: Option<u64>,
    /// The batch of the last record.
    pub(super) pending: Option<Arc<Pending>>,
    /// The time of records that carry none.
    now: Option<Timestamp>,
    /// A batch that is full stays open rather than wait for room.
    impatient: bool,
    /// Then the keeper is to close it: the caller may not come again.
    leaves: bool,
    /// One did.
    pub(super) held_up: bool,
}

impl Effects {
    /// Of a call that may not wait.
    pub(super) fn impatient() -> Self {
        Self { leaves: true, ..Self::returning() }
    }

    /// Of one that may not wait, and comes again until it need not.
    pub(super) fn returning() -> Self {
        Self { impatient: true, ..Self::default() }
    }

    pub(super) fn may_wait(&self) -> bool {
        !self.impatient
    }

    /// True if a batch could not be placed without waiting: it stays open, for the next send or the keeper to close.
    pub(super) fn held_up<T>(&mut self, pending: &Pending, placed: &Judged<T>) -> bool {
        let busy = self.impatient && matches!(placed, Err(refused) if refused.error.kind() == ErrorKind::Busy);
        self.held_up |= busy;
        if busy && self.leaves && pending.leave() {
            self.deadline = Some(0);
        }
        busy
    }

    /// True if what came to so many bytes when it found no room has none now either: who may not wait comes again and
    /// again, and it is not compressed each time.
    #[inline]
    pub(super) fn waits_for(&mut self, context: &Context, tried: Option<usize>) -> bool {
        let waits = self.impatient && tried.is_some_and(|bytes| !context.engine.has_room(bytes));
        self.held_up |= waits;
        waits
    }

    /// Refuses a record behind a batch that has no room for it and could not be placed.
    pub(super) fn check_room(&self) -> Result<()> {
        match self.held_up {
            true => Err(Error::new(ErrorKind::Busy, "a batch waits for room; send again")),
            false => Ok(()),
        }
    }

    /// A batch is begun; answers when it is to be closed.
    pub(super) fn begin(&mut self, context: &Context) -> u64 {
        let deadline = context.engine.machine().clock.monotonic().saturating_add(context.linger);
        self.deadline = Some(deadline);
        deadline
    }

    /// A record went to this batch.
    #[inline]
    pub(super) fn join(&mut self, pending: &Arc<Pending>) {
        if !self.pending.as_ref().is_some_and(|last| Arc::ptr_eq(last, pending)) {
            self.pending = Some(pending.clone());
        }
    }

    fn now(&mut self, context: &Context) -> Timestamp {
        *self.now.get_or_insert_with(|| context.engine.machine().clock.wall_ms().max(-1))
    }

    /// A batch is closed.
    pub(super) fn close(&mut self, pending: &Pending, outcome: Judged<Outcome>) {
        self.called |= pending.close(outcome);
    }

    /// Has them run when what this answers goes, which must be behind the producer's lock.
    pub(super) fn running(self, context: &Context) -> Running<'_> {
        Running { effects: self, context }
    }

    pub(super) fn run(&self, context: &Context) {
        if let Some(deadline) = self.deadline {
            context.engine.linger_by(deadline);
        }
        if self.called {
            context.waits.attend();
        }
    }
}

/// A call's effects, which are run when this goes, also where code of the caller's panics in the call: what was sent
/// before is to be closed in time.
pub(super) struct Running<'c> {
    effects: Effects,
    context: &'c Context,
}

impl Deref for Running<'_> {
    type Target = Effects;
    fn deref(&self) -> &Effects {
        &self.effects
    }
}

impl DerefMut for Running<'_> {
    fn deref_mut(&mut self) -> &mut Effects {
        &mut self.effects
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        std::mem::take(&mut self.effects).run(self.context);
    }
}

/// What a producer, its tickets and the keeper share.
pub(super) struct Sender {
    pub(super) context: Context,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) router: Router,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Plain(Batches),
    Named(Box<Frames>),
}

impl Kind {
    /// The frame that must be flushed before anything more is sent; 0 for none.
    fn behind(&mut self, context: &Context) -> Lsn {
        match self {
            Kind::Plain(batches) => batches.behind(context),
            // Behind its refusal everything is refused for the same reason.
            Kind::Named(_) => 0,
        }
    }

    /// What a flush waits for, and what it answers then.
    pub(super) fn flushed(&mut self) -> (Option<(Lsn, Durability)>, Judged<()>) {
        match self {
            Kind::Plain(batches) => batches.flushed(),
            Kind::Named(frames) => frames.flushed(),
        }
    }
}

impl Sender {
    /// Sends a record to a topic, or to what looking for it answered.
    #[inline]
    pub(super) fn send(
        &self,
        kind: &mut Kind,
        topic: &mut Result<&mut Looked>,
        record: &Record<'_>,
        effects: &mut Effects,
    ) -> Judged<Added> {
        match kind {
            Kind::Plain(batches) => self.send_plain(batches, topic, record, effects).map(Added::Seat),
            Kind::Named(frames) => self.send_named(frames, topic, record, effects),
        }
    }

    /// The same for a producer without a name. In line, so that what it answers stays in registers: a copy of what was
    /// just written to memory waits for it.
    #[inline(always)]
    pub(super) fn send_plain(
        &self,
        batches: &mut Batches,
        topic: &mut Result<&mut Looked>,
        record: &Record<'_>,
        effects: &mut Effects,
    ) -> Judged<Seat> {
        no_position(record)?;
        let (partition, timestamp) = self.aim(topic, record, effects, |instance| batches.holds(instance))?;
        let index = batches.add(&self.context, partition, record, timestamp, effects)?;
        Ok(Seat { slot: 0, index, partition: partition.number(), timestamp, repeats: None })
    }

    /// The same for a named one.
    pub(super) fn send_named(
        &self,
        frames: &mut Frames,
        topic: &mut Result<&mut Looked>,
        record: &Record<'_>,
        effects: &mut Effects,
    ) -> Judged<Added> {
        let context = &self.context;
        frames.check()?;
        let position = frames.position_of(record)?;
        let level = level_asked(context, topic.as_ref().ok().map(|looked| &*looked.topic));
        if let Some(repeated) = frames.repeated(context, position, level, effects) {
            return Ok(repeated);
        }
        // Only now: a record that is in the log already is a duplicate even if its topic is gone.
        let (partition, timestamp) = self.aim(topic, record, effects, |instance| frames.holds(instance))?;
        Ok(Added::Seat(frames.add(context, partition, record, (position, timestamp), effects)?))
    }

    /// The partition that a record goes to, and its time.
    #[inline(always)]
    fn aim<'t>(
        &self,
        topic: &'t mut Result<&mut Looked>,
        record: &Record<'_>,
        effects: &mut Effects,
        holds: impl Fn(Instance) -> bool,
    ) -> Result<(&'t Arc<Partition>, Timestamp)> {
        let random = &*self.context.engine.machine().random;
        let topic = topic.as_mut().map_err(|error| error.clone())?;
        let partition = topic.choose(record, random, holds)?;
        Ok((partition, record.timestamp.unwrap_or_else(|| effects.now(&self.context))))
    }

    /// Sends the records that go where one went that has this seat, and have its time, as far as its batch takes them;
    /// answers how many, and the record behind them, if it was looked at. Of many records those are nearly all.
    pub(super) fn send_alike<'a, R: Borrow<Record<'a>>>(
        &self,
        kind: &mut Kind,
        topic: &Result<&mut Looked>,
        seat: &Seat,
        records: &mut impl Iterator<Item = R>,
        effects: &mut Effects,
    ) -> (u32, Option<R>) {
        let (Kind::Plain(batches), Ok(looked)) = (kind, topic) else { return (0, None) };
        let Some(partition) = looked.topic.partitions.get(seat.partition as usize) else { return (0, None) };
        let (sticks, now) = (looked.sticks_to(seat.partition), effects.now);
        let alike = |record: &Record<'a>| {
            let here = record.partition.map_or(sticks && record.key.is_none(), |number| number == seat.partition);
            here && record.timestamp.or(now) == Some(seat.timestamp) && record.position.is_none()
        };
        batches.add_alike(&self.context, partition, seat.timestamp, records, alike, effects)
    }

    /// The producer's lock for who sends: waits, without it, until nothing that was sent before waits to be refused.
    pub(super) fn state_to_send(&self) -> MutexGuard<'_, State> {
        loop {
            let mut state = self.state.lock();
            let behind = state.kind.behind(&self.context);
            if behind == 0 {
                return state;
            }
            drop(state);
            // Of a failure whoever was to be refused is told, and what is sent now.
            let _ = self.context.engine.flushed(behind);
        }
    }

    /// The same for who may not wait for it. The engine's own thread holds it for a moment now and then,
    /// which is worth a look or two: who does not get it comes again much later.
    pub(super) fn state_now(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = self.lock_now()?;
        (state.kind.behind(&self.context) == 0).then_some(state)
    }

    fn lock_now(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = self.state.try_lock();
        if state.is_none() {
            self.context.engine.machine().park.spin(&mut || {
                state = self.state.try_lock();
                state.is_some()
            });
        }
        state
    }

    /// The lock of a producer that has nothing gathered any more: for who may not wait, `None` if closing it would have
    /// to.
    pub(super) fn state_closed(&self) -> Option<MutexGuard<'_, State>> {
        let left = self.close_due_in(self.lock_now()?, u64::MAX, Effects::returning());
        // Whoever locks it meanwhile finds nothing to close.
        left.is_none().then(|| self.lock_now())?
    }

    /// Closes the batch of some tickets and answers where it went.
    pub(super) fn close(&self, pending: &Pending) -> Judged<Arc<Outcome>> {
        self.close_in(self.state.lock(), pending, Effects::default());
        pending.outcome().unwrap_or_else(|| Err(lost().into()))
    }

    /// The same for who may not wait for it and comes again: false if that would have to.
    pub(super) fn try_close(&self, pending: &Pending) -> bool {
        // The keeper may be at it, waiting for room with the lock: whoever asks for each record looks once.
        let state = if pending.is_left() { self.state.try_lock() } else { self.lock_now() };
        if let Some(state) = state {
            self.close_in(state, pending, Effects::returning());
        }
        pending.outcome().is_some()
    }

    /// The same for who may not come again: the keeper does it then.
    pub(super) fn hasten(&self, pending: &Pending) -> bool {
        let closed = self.try_close(pending);
        if !closed && pending.leave() {
            self.context.engine.linger_by(0);
        }
        closed
    }

    /// Waits until there is room to close a batch, or no use in waiting; false if the deadline (monotonic nanoseconds)
    /// passes before.
    pub(super) fn room_by(&self, deadline: u64) -> bool {
        self.context.engine.room_by(BATCH_MAX, deadline).unwrap_or(true)
    }

    fn close_in(&self, mut state: MutexGuard<'_, State>, pending: &Pending, mut effects: Effects) {
        match &mut state.kind {
            Kind::Plain(batches) => batches.close(&self.context, pending, &mut effects),
            Kind::Named(frames) => frames.close_pending(&self.context, pending, &mut effects),
        }
        drop(state);
        effects.run(&self.context);
    }

    /// Closes what is due at `now`; answers when the next is.
    pub(super) fn close_due(&self, now: u64) -> Option<u64> {
        self.close_due_in(self.state.lock(), now, Effects::default())
    }

    fn close_due_in(&self, mut state: MutexGuard<'_, State>, now: u64, mut effects: Effects) -> Option<u64> {
        let next = match &mut state.kind {
            Kind::Plain(batches) => batches.close_due(&self.context, now, &mut effects),
            Kind::Named(frames) => frames.close_due(&self.context, now, &mut effects),
        };
        drop(state);
        effects.run(&self.context);
        next
    }
}

impl Lingering for Sender {
    /// The keeper must not wait for a sender, who may be waiting for the keeper to make room.
    fn linger(&self, now: u64) -> Option<u64> {
        if now == u64::MAX {
            return self.close_due(now);
        }
        match self.state.try_lock() {
            Some(state) => self.close_due_in(state, now, Effects::default()),
            None => Some(now.saturating_add(1_000_000)),
        }
    }

    fn close_now(&self) -> bool {
        self.state_closed().is_some()
    }
}

/// The level that a send asks for; without options or a topic the strongest.
fn level_asked(context: &Context, topic: Option<&TopicHandle>) -> Durability {
    let partition = topic.and_then(|topic| topic.partitions.first());
    context.durability.unwrap_or(partition.map_or(Durability::Disk, |partition| partition.level()))
}

fn no_position(record: &Record<'_>) -> Result<()> {
    match record.position {
        None => Ok(()),
        Some(position) => {
            let text = "only a named producer keeps positions; give the producer a name when you open it";
            Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, position={position}")))
        }
    }
}
