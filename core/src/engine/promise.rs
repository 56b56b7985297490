//! An answer that is known already and given later.

use std::sync::Arc;

use super::Inner;
use super::event::Event;
use super::hub::Hub;
use crate::error::{Error, ErrorKind, Result};
use crate::io::sync::atomic::Ordering;
use crate::journal::{Guard, Promise, Ticket, Waits};
use crate::partition::Partition;
use crate::types::{Durability, Lsn, Offset};

impl<T> Promise<T> {
    /// Success as soon as the frame is flushed.
    pub fn durable(lsn: Lsn, value: T) -> Self {
        Promise { lsn, level: Durability::Disk, answer: Ok(value) }
    }

    /// An answer that waits for nothing.
    pub fn kept(value: T) -> Self {
        Promise { lsn: 0, level: Durability::Os, answer: Ok(value) }
    }

    /// The same promise of something made from the value.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Promise<U> {
        Promise { lsn: self.lsn, level: self.level, answer: self.answer.map(make) }
    }

    /// The promise in the caller's hands.
    pub fn ticket(self, engine: &Inner) -> Ticket<T> {
        match self.lsn {
            0 => Ticket::ready(engine.waits(), self.answer),
            lsn => Ticket::answer(engine.waits(), lsn, self.level, self.answer),
        }
    }
}

impl Inner {
    /// Whether everything up to a frame survives a power cut; what `flushed` would answer without waiting. The last
    /// words of a closed log count for it too, or who asks in turns would never come to an end.
    pub fn is_flushed(&self, lsn: Lsn) -> bool {
        matches!(self.journal.reached(lsn, Durability::Disk), Some(Ok(())))
    }

    /// Waits until everything up to a frame survives a power cut.
    pub fn flushed(&self, lsn: Lsn) -> Result<()> {
        self.journal.reach(lsn, Durability::Disk, None).map(drop)
    }

    /// What a reader hears of a write or flush that failed under it: it wrote nothing that may be there or not.
    pub fn as_read(&self, error: Error) -> Error {
        self.journal.check().err().unwrap_or(error)
    }

    /// An answer that refuses was drawn from what is noted, so it is given only once that is durable.
    pub(super) fn refusal<T>(&self, guard: Guard<'_, Hub>, refusal: impl Into<Refusal>) -> Promise<T> {
        self.refuse(guard, refusal).promise()
    }

    /// The same before it is a promise.
    pub(super) fn refuse(&self, guard: Guard<'_, Hub>, refusal: impl Into<Refusal>) -> Refused {
        let lsn = guard.last_lsn();
        drop(guard);
        self.refuse_at(lsn, refusal)
    }

    /// The same where the lock was held to look only.
    pub(super) fn refuse_at(&self, lsn: Lsn, refusal: impl Into<Refusal>) -> Refused {
        Refused { lsn, error: self.told(refusal.into()) }
    }

    /// Waits until a refusal may be given, and gives it; without any lock that others wait for.
    pub fn await_refusal(&self, refused: &Refused) -> Error {
        self.flushed(refused.lsn).err().unwrap_or_else(|| refused.error.clone())
    }

    /// A refusal is the caller's, but for a fence, which somebody ought to know of.
    fn told(&self, refusal: Refusal) -> Error {
        let Refusal { error, producer: (producer_id, epoch), place } = refusal;
        if matches!(error.kind(), ErrorKind::ProducerFenced | ErrorKind::StaleEpoch) {
            self.counts.fenced.fetch_add(1, Ordering::Relaxed);
            let message = || error.message().to_owned();
            self.teller.note(|| Event::Fenced { message: message(), producer_id, epoch, place });
        }
        error
    }
}

/// What the log says to a write: where it has its place, or why it is refused.
pub type Judged<T> = std::result::Result<T, Refused>;

/// A refusal before it is given.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The last frame that it may have been drawn from; it is given once that is durable. 0 if it hangs on none.
    pub lsn: Lsn,
    /// What is answered then.
    pub error: Error,
}

impl From<Error> for Refused {
    /// One that hangs on nothing.
    fn from(error: Error) -> Self {
        Refused { lsn: 0, error }
    }
}

impl Refused {
    /// The error, if it may be given already; or that it never may.
    pub fn given(&self, waits: &dyn Waits) -> Option<Error> {
        let reached = waits.reached(self.lsn, Durability::Disk)?;
        Some(reached.err().unwrap_or_else(|| self.error.clone()))
    }

    /// The promise to give it.
    pub fn promise<T>(self) -> Promise<T> {
        Promise { lsn: self.lsn, level: Durability::Disk, answer: Err(self.error) }
    }
}

/// An error that refuses, with whom and where it met.
pub(super) struct Refusal {
    error: Error,
    /// Producer id and epoch, -1 for none.
    producer: (i64, i16),
    place: Option<(Arc<str>, u32, Offset)>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { error, producer: (-1, -1), place: None }
    }
}

impl Refusal {
    /// It met this producer.
    #[cold]
    pub fn of(error: Error, producer: (i64, i16)) -> Self {
        Refusal { error, producer, place: None }
    }

    /// At the end of this partition.
    pub fn at(mut self, partition: &Partition, end: Option<Offset>) -> Self {
        self.place = Some((partition.topic().clone(), partition.number(), end.unwrap_or_default()));
        self
    }
}
