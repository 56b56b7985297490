//! An answer that is known already and given later.

use std::sync::Arc;

use super::Inner;
use super::event::Event;
use super::hub::Hub;
use crate::error::{Error, ErrorKind, Result};
use crate::io::sync::atomic::Ordering;
use crate::journal::{Guard, Ticket};
use crate::partition::Partition;
use crate::types::{Durability, Lsn, Offset};

/// What a call will answer once a frame has met its level: a success once it is safe, a refusal once that is which it
/// was drawn from.
pub struct Promise<T> {
    /// The frame; 0 for an answer that hangs on none.
    pub lsn: Lsn,
    /// Its level.
    pub level: Durability,
    /// What is answered then.
    pub answer: Result<T>,
}

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
    /// Whether everything up to a frame survives a power cut.
    pub fn is_flushed(&self, lsn: Lsn) -> bool {
        self.journal.durable_lsn() >= lsn
    }

    /// Waits until everything up to a frame survives a power cut.
    pub fn flushed(&self, lsn: Lsn) -> Result<()> {
        self.journal.reach(lsn, Durability::Disk, None).map(drop)
    }

    /// An answer that refuses was drawn from what is noted, so it is given only once that is durable.
    pub(super) fn refusal<T>(&self, guard: Guard<'_, Hub>, refusal: impl Into<Refusal>) -> Promise<T> {
        let lsn = guard.last_lsn();
        drop(guard);
        let error = self.told(refusal.into());
        Promise { lsn, level: Durability::Disk, answer: Err(error) }
    }

    /// Waits until a refusal may be given, and gives it.
    pub(super) fn refuse<T>(&self, guard: Guard<'_, Hub>, refusal: impl Into<Refusal>) -> Result<T> {
        let Promise { lsn, answer, .. } = self.refusal(guard, refusal);
        self.flushed(lsn)?;
        answer
    }

    /// The same where the lock was held to look only.
    pub(super) fn refuse_at<T>(&self, depends_on: Lsn, refusal: impl Into<Refusal>) -> Result<T> {
        let error = self.told(refusal.into());
        self.flushed(depends_on)?;
        Err(error)
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
