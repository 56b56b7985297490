//! What is counted, taken together as a snapshot.

use std::collections::BTreeMap;
use std::sync::Weak;

use super::Inner;
use super::event::Event;
use crate::error::{Error, ErrorKind};
use crate::format::files::FRAMES;
use crate::io::sync::atomic::{AtomicU64, Ordering};
use crate::journal::SegmentInfo;
use crate::types::{ConsumerLag, Identity, Metrics, Offset, TopicPartition, TransactionNumber};

/// Numbers of the engine's own. Each is raised where something rare or large happens, never for a plain append.
#[derive(Debug, Default)]
pub struct Counts {
    pub duplicates: AtomicU64,
    pub fenced: AtomicU64,
    pub committed: AtomicU64,
    pub aborted: AtomicU64,
    /// Open now; what is begun adds one, what ends takes it away.
    pub open: AtomicU64,
}

/// A consumer that can say how far it is behind, without waiting and without reading.
pub trait Lagging: Send + Sync {
    /// Tells `add` of each assigned partition that has a position: its name, the position, the lag.
    fn lags(&self, add: &mut dyn FnMut(&TopicPartition, Offset, u64));
    /// The group.
    fn group_name(&self) -> &str;
}

impl Inner {
    /// Something was sent that is there already.
    pub fn duplicate_met(&self) {
        self.counts.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    /// A transaction was begun. Once it is said how it ended: of one in memory by whoever ends it, of one in the log by
    /// its decision.
    pub fn transaction_begun(&self) {
        self.counts.open.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was memory only was committed.
    pub fn transaction_committed(&self) {
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
        self.counts.committed.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was memory only was aborted, by its owner or by an error; or, after `Indeterminate`, nobody knows.
    pub fn transaction_failed(&self, number: TransactionNumber, of: Identity, error: Option<&Error>) {
        if error.is_some_and(|error| error.kind() == ErrorKind::Indeterminate) {
            self.counts.open.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.transaction_doomed(number, of, error.map_or("owner", |error| error.kind().name()));
    }

    /// One that is memory only will never commit.
    pub(super) fn transaction_doomed(&self, number: TransactionNumber, of: Identity, cause: &'static str) {
        self.transaction_decided(false);
        let Identity { producer_id, epoch } = of;
        self.teller.note(|| Event::Aborted { number, producer_id, epoch, cause, place: None });
    }

    /// One that lies in the log was decided, whoever did it.
    pub(super) fn transaction_decided(&self, committed: bool) {
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
        let count = if committed { &self.counts.committed } else { &self.counts.aborted };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A consumer of a group is open.
    pub fn on_metrics(&self, consumer: Weak<dyn Lagging>) {
        let mut all = self.lagging.lock();
        all.retain(|l| l.strong_count() > 0);
        all.push(consumer);
    }

    /// A snapshot. Its cost does not depend on what the log holds, but on the number of segments and of partitions
    /// that consumers are assigned.
    pub fn metrics(&self) -> Metrics {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (counted, counts) = (self.journal.counters(), &self.counts);
        let (segments, disk_used, disk_live) = self.disk();
        Metrics {
            appends: of(&self.hub.batches),
            records: of(&self.hub.records),
            bytes: of(&counted.bytes),
            duplicates: of(&counts.duplicates),
            fenced: of(&counts.fenced),
            transactions_committed: of(&counts.committed),
            transactions_aborted: of(&counts.aborted),
            transactions_open: of(&counts.open),
            group_frames: counted.groups.histogram(),
            flush_nanos: counted.flushes.histogram(),
            late_rolls: of(&counted.late_rolls),
            checkpoints: of(&counted.checkpoints),
            segments,
            disk_used,
            disk_live,
            poisoned: self.journal.is_poisoned(),
            lags: self.lags(),
        }
    }

    /// Segments, what they hold on the disk, and what of it is frames.
    fn disk(&self) -> (u64, u64, u64) {
        if self.is_forked() {
            return (0, 0, 0);
        }
        let (newest, position) = self.journal.next_place();
        let mut sum = (0, 0, 0);
        for SegmentInfo { number, size, end, sealed, .. } in self.journal.segments().all() {
            let (used, frames) = match sealed {
                // What lies behind the last frame of a sealed segment is its footer, or was given back.
                true => (end.next_multiple_of(4096), end),
                false if number == newest => (size, position),
                false => (size, size),
            };
            sum = (sum.0 + 1, sum.1 + used, sum.2 + frames.saturating_sub(FRAMES));
        }
        sum
    }

    fn lags(&self) -> Vec<ConsumerLag> {
        if self.is_forked() {
            return Vec::new();
        }
        // The list is copied: a consumer's own lock is taken below, and the last handle of one may go here.
        let all: Vec<_> = self.lagging.lock().iter().filter_map(Weak::upgrade).collect();
        let mut found: BTreeMap<(String, TopicPartition), (Offset, u64)> = BTreeMap::new();
        for consumer in &all {
            consumer.lags(&mut |partition, position, lag| {
                let key = (consumer.group_name().to_owned(), partition.clone());
                let least = found.entry(key).or_insert((position, lag));
                *least = (least.0.min(position), least.1.max(lag));
            });
        }
        let lag = |((group, partition), (position, lag))| ConsumerLag { group, partition, position, lag };
        found.into_iter().map(lag).collect()
    }
}
