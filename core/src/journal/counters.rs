//! What the journal counts. Nothing here costs an append more than its group: each number has one writer at a time, the
//! holder of a baton, so it is raised by a load and a store.

use crate::io::sync::atomic::{AtomicU64, Ordering};
use crate::types::{BOUNDS, FLUSH_NANOS, GROUP_FRAMES, Histogram, Lsn};

/// What the journal counts.
#[derive(Debug)]
pub struct Counters {
    /// Bytes of the groups written.
    pub bytes: AtomicU64,
    /// Frames of each group written.
    pub groups: Tally,
    /// Nanoseconds of each flush that succeeded.
    pub flushes: Tally,
    /// Rolls that had to wait for the next segment or for a flush.
    pub late_rolls: AtomicU64,
    /// Checkpoints completed.
    pub checkpoints: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            bytes: AtomicU64::new(0),
            groups: Tally::new(&GROUP_FRAMES),
            flushes: Tally::new(&FLUSH_NANOS),
            late_rolls: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// A group is written whose last frame is `last`; `before` is the last one of the group before. Under the write
    /// baton.
    pub(super) fn group(&self, before: Lsn, last: Lsn, bytes: usize) {
        raise(&self.bytes, bytes as u64);
        let frames = last.saturating_sub(before).max(1);
        // The bounds are the powers of two: no search where every append may come by.
        let bucket = (u64::BITS - (frames - 1).leading_zeros()) as usize;
        self.groups.count(bucket.min(BOUNDS), frames);
    }
}

/// Raises a number that nobody else raises meanwhile.
#[inline]
pub fn raise(number: &AtomicU64, by: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// A histogram that grows.
#[derive(Debug)]
pub struct Tally {
    bounds: &'static [u64; BOUNDS],
    counts: [AtomicU64; BOUNDS + 1],
    sum: AtomicU64,
}

impl Tally {
    fn new(bounds: &'static [u64; BOUNDS]) -> Tally {
        Tally { bounds, counts: [const { AtomicU64::new(0) }; BOUNDS + 1], sum: AtomicU64::new(0) }
    }

    /// Counts one value. One caller at a time.
    pub(super) fn add(&self, value: u64) {
        self.count(self.bounds.partition_point(|bound| *bound < value), value);
    }

    /// The sum first: whoever sees the count sees the sum that it is part of.
    #[inline]
    fn count(&self, bucket: usize, value: u64) {
        raise(&self.sum, value);
        let count = &self.counts[bucket];
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// As it stands; a value that is being counted may be in the sum already.
    pub fn histogram(&self) -> Histogram {
        let counts = std::array::from_fn(|i| self.counts[i].load(Ordering::Acquire));
        Histogram::new(self.bounds, counts, self.sum.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_bucket_whose_bound_it_does_not_pass() {
        let counters = Counters::default();
        let (mut before, sizes) = (0, [1, 2, 3, 4, 5, 32_769]);
        for frames in sizes {
            counters.group(before, before + frames, 10);
            before += frames;
        }
        let groups = counters.groups.histogram();
        assert_eq!(groups.counts()[..4], [1, 1, 2, 1]);
        assert_eq!((groups.counts()[BOUNDS], groups.count(), groups.sum()), (1, 6, sizes.iter().sum()));
        assert_eq!(counters.bytes.load(Ordering::Relaxed), 60);
        counters.group(0, 32_768, 0);
        assert_eq!(counters.groups.histogram().counts()[BOUNDS - 1], 1);
    }
}
