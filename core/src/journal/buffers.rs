//! Buffers for what is read from files, used again and again: a fresh one would be zeroed and faulted in page by page.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::io::sync::Mutex;

/// Buffers that are kept.
const KEPT: usize = 4;
/// Bytes of the largest that is kept: more than a read of the usual size takes.
const KEPT_MAX: usize = 2 << 20;

/// Those that nobody reads right now. A clone is the same pool.
#[derive(Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// A buffer of `len` bytes with anything in it.
    pub fn take(&self, len: usize) -> Buffer {
        let found = {
            let mut free = self.0.lock();
            free.iter().position(|data| data.len() >= len).map(|at| free.swap_remove(at))
        };
        let data = found.unwrap_or_else(|| vec![0; len]);
        Buffer { data, len, pool: self.clone() }
    }
}

/// A buffer out of the pool, which it goes back to when it is dropped.
pub struct Buffer {
    /// At least `len` bytes.
    data: Vec<u8>,
    len: usize,
    pool: Buffers,
}

impl Deref for Buffer {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.data[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.data[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.data.len() > KEPT_MAX {
            return;
        }
        // Tried only: whoever drops this may hold any lock, and in a forked child this one may be held for ever.
        let Some(mut free) = self.pool.0.try_lock() else { return };
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.data));
            return;
        }
        // The larger ones serve more reads.
        if let Some(smallest) = free.iter_mut().min_by_key(|data| data.len()).filter(|s| s.len() < self.data.len()) {
            std::mem::swap(smallest, &mut self.data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_given_back_is_taken_again_and_shows_no_more_than_was_asked_for() {
        let buffers = Buffers::default();
        let mut first = buffers.take(1000);
        first.fill(7);
        let place = first.as_ptr();
        drop(first);
        let again = buffers.take(10);
        assert_eq!((again.as_ptr(), again.len()), (place, 10));
        assert_ne!(buffers.take(10).as_ptr(), place, "one that is out is nobody else's");
        drop(again);
        assert_eq!(buffers.take(1001).len(), 1001, "one too small is not taken");
    }

    #[test]
    fn few_are_kept_and_none_that_is_huge() {
        let buffers = Buffers::default();
        let out: Vec<_> = (1..10).map(|n| buffers.take(n * 1000)).collect();
        drop(out);
        drop(buffers.take(KEPT_MAX + 1));
        let mut kept: Vec<usize> = buffers.0.lock().iter().map(Vec::len).collect();
        kept.sort_unstable();
        assert_eq!(kept, [6000, 7000, 8000, 9000]);
    }
}
