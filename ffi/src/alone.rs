//! What one thread may be busy with while others are told so, instead of waiting for it.

use engine::ErrorKind;
use engine::io::fork;
use engine::io::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::call::Answer;
use crate::error::Fault;

/// A value under a lock that is tried, never waited for.
pub struct Alone<T> {
    value: RwLock<T>,
    /// Of the process that made it.
    forks: u32,
}

impl<T> Alone<T> {
    pub fn new(value: T) -> Self {
        Self { value: RwLock::new(value), forks: fork::generation() }
    }

    /// The value, if no other thread has it; else `busy`.
    pub fn lock(&self, busy: &'static str) -> Answer<RwLockWriteGuard<'_, T>> {
        self.value.try_write().ok_or_else(|| self.taken(busy))
    }

    /// The same to look at it, which many threads may do at once.
    pub fn look(&self, busy: &'static str) -> Answer<RwLockReadGuard<'_, T>> {
        self.value.try_read().ok_or_else(|| self.taken(busy))
    }

    /// In a forked child whoever had it is not there, and it will never be free.
    #[cold]
    fn taken(&self, busy: &'static str) -> Fault {
        if fork::generation() == self.forks {
            return Fault::new(ErrorKind::Busy, busy);
        }
        let text = "this process was forked while a thread of its parent was busy with this; it is the parent's";
        Fault::new(ErrorKind::Forked, text)
    }
}
