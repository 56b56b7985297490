//! Memory that all open transactions share.

use crate::io::sync::atomic::{AtomicUsize, Ordering};

/// Bytes, of which there are so many and no more.
pub struct Memory {
    taken: AtomicUsize,
    most: usize,
}

impl Memory {
    /// None is taken.
    pub fn new(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most }
    }

    /// Takes some, all of it or none.
    pub fn take(&self, bytes: usize) -> bool {
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.most;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    /// Gives some back.
    pub fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}
