//! A baton: held by one thread at a time, never waited for inside. Who does not get it parks on the journal's
//! progress and looks again.

use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub struct Baton(AtomicBool);

/// Holding it. Given back when dropped.
pub struct Held<'a>(&'a Baton);

impl Baton {
    /// Takes the baton if it is free.
    pub fn take(&self) -> Option<Held<'_>> {
        let free = self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        free.then(|| Held(self))
    }

    /// Takes the baton for good, if it is free.
    pub fn retire(&self) -> bool {
        self.take().map(std::mem::forget).is_some()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}
