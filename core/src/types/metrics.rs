//! What an open log has done and how it stands, as numbers.

use super::{Offset, TopicPartition};

/// Bounds of the buckets of a histogram; one more bucket takes what lies above the last.
pub(crate) const BOUNDS: usize = 16;
/// Frames of a group: each bound twice the one before.
pub(crate) const GROUP_FRAMES: [u64; BOUNDS] =
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768];
/// Nanoseconds of a flush: from a fast device's to one that hangs.
pub(crate) const FLUSH_NANOS: [u64; BOUNDS] = [
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
];

/// How an open log stands and what it has done since it was opened: a snapshot, taken by `Engine::metrics`.
///
/// Counts begin with 0 at each open and only grow. What is counted as written has reached the operating system.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use oncelog::{Engine, ProducerOptions, Record, TopicOptions};
/// let engine = Engine::open(dir.path())?;
/// engine.create_topic("orders", TopicOptions::new())?;
/// engine.producer(ProducerOptions::new())?.send("orders", Record::new(b"42"))?.wait()?;
///
/// let metrics = engine.metrics();
/// assert_eq!((metrics.appends, metrics.records), (1, 1));
/// println!("{} flushes, half of them within {:?} ns", metrics.flush_nanos.count(), metrics.flush_nanos.quantile(0.5));
/// // What a scraper of Prometheus asks for.
/// assert!(metrics.to_openmetrics().contains("\noncelog_records_total 1\n"));
/// # Ok::<(), oncelog::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Batches written, those of transactions included.
    pub appends: u64,
    /// Records written.
    pub records: u64,
    /// Bytes of all frames written: batches and what the log keeps about them.
    pub bytes: u64,
    /// Appends and sends that were there already, so that nothing was written.
    pub duplicates: u64,
    /// Calls refused because a newer holder of their name or producer id had taken over.
    pub fenced: u64,
    /// Transactions committed.
    pub transactions_committed: u64,
    /// Transactions aborted, by their owner or by what befell them.
    pub transactions_aborted: u64,
    /// Transactions open now.
    pub transactions_open: u64,
    /// Frames of each group that was written: how many appends share a write. The number of groups is its `count`.
    pub group_frames: Histogram,
    /// How long each flush to the device took, nanoseconds. The number of flushes is its `count`.
    pub flush_nanos: Histogram,
    /// Rolls to the next segment that had to wait for it.
    pub late_rolls: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// Segment files now.
    pub segments: u64,
    /// Bytes that the segment files hold on the disk, with the room ahead of the frames.
    pub disk_used: u64,
    /// Bytes of it that are frames. Nothing is cleaned away in this version, so frames of deleted topics count too.
    pub disk_live: u64,
    /// A write or flush has failed: nothing is written until the log is opened again.
    pub poisoned: bool,
    /// How far the groups of open consumers are behind, by group, topic and partition: one entry for each partition
    /// that is assigned to a consumer with a group and has a position there.
    pub lags: Vec<ConsumerLag>,
}

/// How far a group is behind in a partition, by the position of its consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ConsumerLag {
    /// The group.
    pub group: String,
    /// The partition.
    pub partition: TopicPartition,
    /// The offset to read next. Of several consumers in one group, the least.
    pub position: Offset,
    /// Records between the position and the end that the consumer sees.
    pub lag: u64,
}

/// How often values fell into each of a few ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64; BOUNDS],
    counts: [u64; BOUNDS + 1],
    sum: u64,
}

impl Histogram {
    /// How many bounds there are.
    pub const BOUNDS: usize = BOUNDS;

    pub(crate) fn new(bounds: &'static [u64; BOUNDS], counts: [u64; BOUNDS + 1], sum: u64) -> Self {
        Self { bounds, counts, sum }
    }

    /// The greatest value of each bucket, growing. Values above the last lie in a bucket of their own.
    pub fn bounds(&self) -> &'static [u64; Self::BOUNDS] {
        self.bounds
    }

    /// How many values fell into each bucket: one number more than there are bounds.
    pub fn counts(&self) -> &[u64; Self::BOUNDS + 1] {
        &self.counts
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The bound of the bucket in which the share `q` of the values, from 0 to 1, is reached: no more than this share
    /// of them was greater. `None` if there were none, or if it lies above all bounds. A share beyond 0 or 1 is taken
    /// as that one, and what is no number as 0.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        Self::quantile_of(self.bounds, &self.counts, q)
    }

    /// The same of a histogram's numbers. Hidden, since it is for bindings whose users hold these.
    #[doc(hidden)]
    pub fn quantile_of(bounds: &[u64], counts: &[u64], q: f64) -> Option<u64> {
        let all = counts.iter().fold(0_u64, |all, count| all.saturating_add(*count));
        let wanted = (all as f64 * q.clamp(0.0, 1.0)).ceil().max(1.0);
        let mut below = 0_u64;
        bounds.iter().zip(counts).find_map(|(bound, count)| {
            below = below.saturating_add(*count);
            (below as f64 >= wanted).then_some(*bound)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_that_holds_its_share() {
        let mut counts = [0; BOUNDS + 1];
        (counts[0], counts[3], counts[BOUNDS]) = (5, 4, 1);
        let histogram = Histogram::new(&GROUP_FRAMES, counts, 77);
        assert_eq!((histogram.count(), histogram.sum()), (10, 77));
        let found = [0.0, 0.5, 0.51, 0.9, 0.91, 1.0].map(|q| histogram.quantile(q));
        assert_eq!(found, [Some(1), Some(1), Some(8), Some(8), None, None]);
        assert_eq!(Histogram::new(&GROUP_FRAMES, [0; BOUNDS + 1], 0).quantile(0.5), None);
        assert!([GROUP_FRAMES, FLUSH_NANOS].iter().all(|bounds| bounds.is_sorted()));
    }
}
