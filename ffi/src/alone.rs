//! What one thread may be busy with while others are told so, instead of waiting for it.

use std::ops::Deref;

use engine::ErrorKind;
use engine::io::fork;

use crate::error::Fault;

/// A lock that is tried, never waited for, of the process that made it.
pub struct Alone<L> {
    lock: L,
    forks: u32,
}

impl<L> Alone<L> {
    pub fn new(lock: L) -> Self {
        Self { lock, forks: fork::generation() }
    }

    /// Why it is not free. In a forked child whoever had it is not there, and it will never be.
    #[cold]
    pub fn busy(&self, text: &'static str) -> Fault {
        if fork::generation() == self.forks {
            return Fault::new(ErrorKind::Busy, text);
        }
        let text = "this process was forked while a thread of its parent was busy with this; it is the parent's";
        Fault::new(ErrorKind::Forked, text)
    }
}

impl<L> Deref for Alone<L> {
    type Target = L;
    fn deref(&self) -> &L {
        &self.lock
    }
}
