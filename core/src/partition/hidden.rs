//! Batches of aborted transactions: a read at read_committed steps over them.

use super::Partition;
use super::index::Footers;
use super::plan::Plan;
use super::records::{Candidate, Share};
use super::written::Shown;
use crate::error::Result;
use crate::format::batch::BatchHeader;
use crate::format::footer::Aborted;
use crate::journal::Segments;
use crate::types::{Durability, Offset};

impl Share {
    /// True for a batch of an aborted transaction.
    #[inline]
    pub(super) fn hides(&self, batch: &BatchHeader) -> bool {
        batch.is_transactional() && !self.aborted.is_empty() && self.is_aborted(batch)
    }

    #[cold]
    fn is_aborted(&self, batch: &BatchHeader) -> bool {
        let at = batch.base_offset.max(0).unsigned_abs();
        // A producer's transactions follow each other: the last that begins at or before the batch is the one.
        let next = self.aborted.partition_point(|range| (range.producer_id, range.first) <= (batch.producer_id, at));
        let before = next.checked_sub(1).and_then(|before| self.aborted.get(before));
        before.is_some_and(|range| range.producer_id == batch.producer_id && at < range.end)
    }

    pub(super) fn count(&self) -> u64 {
        if self.aborted.is_empty() {
            return self.end - self.from;
        }
        let mut hidden = 0;
        self.each_hidden(|batch| {
            hidden += batch.end.min(self.end).saturating_sub(batch.start.max(self.from));
            true
        });
        (self.end - self.from).saturating_sub(hidden)
    }

    /// The offset behind the first `records` that are not hidden.
    pub(super) fn offset_behind(&self, records: u64) -> Offset {
        let mut behind = self.from.saturating_add(records);
        if !self.aborted.is_empty() {
            self.each_hidden(|batch| {
                let start = batch.start.max(self.from);
                let met = start < behind;
                behind = if met { behind.saturating_add(batch.end.saturating_sub(start)) } else { behind };
                met
            });
        }
        self.end.min(behind)
    }

    /// Calls `f` with the offsets of hidden batches, in order, until it says no.
    fn each_hidden(&self, mut f: impl FnMut(std::ops::Range<Offset>) -> bool) {
        for stretch in &self.stretches {
            let (mut at, mut expected) = (0, stretch.first);
            while at < stretch.bytes.len() && expected < self.end {
                let Some(batch) = Candidate::read(&stretch.bytes, stretch.bare, at, expected) else {
                    (at, expected) = stretch.resume(self.instance, at, expected);
                    continue;
                };
                if batch.end > self.from && self.hides(&batch.header) && !f(expected..batch.end) {
                    return;
                }
                (at, expected) = (batch.next, batch.end);
            }
        }
    }
}

impl Partition {
    /// Records of an open transaction are placed, under the journal's lock: nobody shows what comes behind them
    /// before they are known to be undecided.
    pub fn placed_undecided(&self, producer_id: i64, first: Offset, end: Offset) {
        if self.shown() == Durability::Memory {
            self.show_all(Shown::Undecided(producer_id, first, end));
        }
    }

    /// A decision is placed, under the journal's lock.
    pub fn placed_decision(&self, range: Aborted, aborted: bool) {
        if self.shown() == Durability::Memory {
            if aborted {
                self.live.lock().early.push(range);
            }
            self.show_all(Shown::Decided(range.producer_id));
        }
    }

    /// What is aborted of a read, by producer and offset.
    pub(super) fn aborted(&self, segments: &Segments, footers: &Footers, plan: &Plan) -> Result<Vec<Aborted>> {
        let Some(first) = plan.first_segment() else { return Ok(Vec::new()) };
        let (from, end) = plan.range();
        let mut aborted: Vec<Aborted> = Vec::new();
        {
            let live = self.live.lock();
            let ranges = live.decided.iter().flat_map(|(_, decisions)| &decisions.aborted).chain(&live.early);
            aborted.extend(ranges.filter(|range| range.first < end && range.end > from));
        }
        // After the live ones were seen: a segment is settled before they are forgotten.
        footers.aborted(segments, self.instance(), first, (from, end), &mut aborted)?;
        aborted.sort_unstable();
        aborted.dedup();
        Ok(aborted)
    }
}
