//! An answer that is known already and given later.

use super::Inner;
use super::hub::Hub;
use crate::error::{Error, Result};
use crate::journal::{Guard, Ticket};
use crate::types::{Durability, Lsn};

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
    /// An answer that refuses was drawn from what is noted, so it is given only once that is durable.
    pub(super) fn refusal<T>(&self, guard: Guard<'_, Hub>, error: Error) -> Promise<T> {
        let lsn = guard.last_lsn();
        drop(guard);
        self.log_refusal(&error);
        Promise { lsn, level: Durability::Disk, answer: Err(error) }
    }

    /// Waits until a refusal may be given, and gives it.
    pub(super) fn refuse<T>(&self, guard: Guard<'_, Hub>, error: Error) -> Result<T> {
        let Promise { lsn, answer, .. } = self.refusal(guard, error);
        self.journal.reach(lsn, Durability::Disk, None)?;
        answer
    }

    /// The same where the lock was held to look only.
    pub(super) fn refuse_at<T>(&self, depends_on: Lsn, error: Error) -> Result<T> {
        self.log_refusal(&error);
        self.journal.reach(depends_on, Durability::Disk, None)?;
        Err(error)
    }
}
