//! Batches of aborted transactions: a read at read_committed steps over them.

use std::ops::Range;

use super::Partition;
use super::index::Footers;
use super::losses::Loss;
use super::plan::Plan;
use super::records::{Candidate, Share};
use super::written::Shown;
use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::BatchHeader;
use crate::format::files::SegmentHeader;
use crate::format::footer::{Aborted, Decisions};
use crate::format::spans::Spans;
use crate::journal::{Gap, Lsns, Segments};
use crate::types::{Durability, Offset};

/// What a read at read_committed does not show.
#[derive(Default)]
pub(super) struct Hidden {
    /// Batches whose transaction was aborted, or may have been; sorted.
    aborted: Vec<Aborted>,
    /// Where frames are missing, if some may have been.
    gap: Option<Gap>,
}

/// What the decisions in a segment without a footer mean.
pub(super) struct Decided {
    pub(super) segment: u64,
    pub(super) decisions: Decisions,
    /// Of what was aborted: readers look for some of it under the lock that the leader of a write takes.
    spans: Spans,
}

impl Decided {
    pub(super) fn new(segment: u64, decisions: Decisions) -> Self {
        let mut spans = Spans::default();
        spans.extend(&decisions.aborted);
        Self { segment, decisions, spans }
    }

    /// Behind a frame of it, what is stable, and what more is aborted.
    pub(super) fn note(&mut self, stable: Offset, aborted: Option<Aborted>) {
        self.decisions.stable = stable;
        self.spans.extend(&aborted);
        self.decisions.aborted.extend(aborted);
    }

    /// What was aborted of some offsets, and a little more.
    fn near(&self, offsets: Range<Offset>) -> impl Iterator<Item = &Aborted> {
        let aborted = &self.decisions.aborted;
        self.spans.near(0..aborted.len(), offsets).filter_map(|i| aborted.get(i))
    }
}

impl Share {
    /// True for a batch of an aborted transaction.
    #[inline]
    pub(super) fn hides(&self, batch: &BatchHeader) -> bool {
        batch.is_transactional() && !self.hidden.aborted.is_empty() && self.is_aborted(batch)
    }

    /// True for a batch of a transaction whose decision may be lost.
    #[inline]
    pub(super) fn doubts(&self, batch: &BatchHeader) -> bool {
        batch.is_transactional() && !self.hidden.aborted.is_empty() && self.is_doubtful(batch)
    }

    #[cold]
    fn is_doubtful(&self, batch: &BatchHeader) -> bool {
        let offset = |offset: i64| offset.max(0).unsigned_abs();
        let offsets = offset(batch.base_offset)..offset(batch.last_offset()) + 1;
        // They sort before all others.
        let mut doubts = self.hidden.aborted.iter().take_while(|range| range.producer_id < 0);
        doubts.any(|range| range.doubts(batch.producer_id, offsets.clone()))
    }

    /// What is said of such a batch.
    #[cold]
    pub(super) fn undecided(&self, offsets: Range<Offset>) -> Error {
        let (topic, partition) = (&self.topic, self.partition);
        let Gap { segment, position, lsns } = self.hidden.gap.unwrap_or(Gap::NOWHERE);
        let file = SegmentHeader::name(segment, 0);
        let loss = Loss { topic, partition, offsets, file: &file, position, lsns };
        self.witness.lost(&loss);
        let text = "the decision on a transaction is damaged, and nobody knows whether its records were committed; \
                    read them at read_uncommitted, or read on";
        Error::new(ErrorKind::Corrupt, format!("{text}, {loss}"))
    }

    #[cold]
    fn is_aborted(&self, batch: &BatchHeader) -> bool {
        let at = batch.base_offset.max(0).unsigned_abs();
        // A producer's transactions follow each other: the last that begins at or before the batch is the one.
        let next =
            self.hidden.aborted.partition_point(|range| (range.producer_id, range.first) <= (batch.producer_id, at));
        let before = next.checked_sub(1).and_then(|before| self.hidden.aborted.get(before));
        before.is_some_and(|range| range.producer_id == batch.producer_id && at < range.end)
    }

    pub(super) fn count(&self) -> u64 {
        if self.hidden.aborted.is_empty() {
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
        if !self.hidden.aborted.is_empty() {
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
    fn each_hidden(&self, mut f: impl FnMut(Range<Offset>) -> bool) {
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

    /// What is aborted of a read, by producer and offset; and where frames are missing, if there is doubt.
    pub(super) fn aborted(&self, segments: &Segments, footers: &Footers, plan: &Plan) -> Result<Hidden> {
        let Some(first) = plan.first_segment() else { return Ok(Hidden::default()) };
        let offsets = plan.range();
        let (gapped, mut aborted) = (footers.gapped(), Vec::new());
        let holds = {
            let live = self.live.lock();
            let ranges = live.decided.iter().flat_map(|decided| decided.near(offsets.clone())).chain(&live.early);
            aborted.extend(ranges.filter(|range| range.touches(&offsets)));
            live.segments.iter().find(|segment| segment.number == gapped).map(|segment| segment.first())
        };
        // After the live ones were seen: a segment is settled before they are forgotten.
        let mut sought = footers.aborted(segments, self.instance(), first, offsets, &mut aborted)?;
        if gapped > sought.gap && sought.decided.is_some() {
            sought.meet(gapped, first, holds, &mut aborted);
        }
        aborted.sort_unstable();
        aborted.dedup();
        let doubt = aborted.first().is_some_and(|range| range.producer_id < 0);
        // Doubt that no settled segment gave is about the one that goes on.
        let at = |number| if number > 0 { number } else { gapped };
        let gap = doubt.then(|| lost_decision(segments, at(sought.first_gap), at(sought.gap)));
        Ok(Hidden { aborted, gap })
    }
}

/// Where a decision may have been, if segments miss frames, from `first` to `last`.
#[cold]
fn lost_decision(segments: &Segments, first: u64, last: u64) -> Gap {
    let gap = |number| {
        let info = segments.info(number);
        let lsns = info.map_or(Lsns::ANY, |info| Lsns { first: info.first_lsn, last: info.last_lsn });
        let found = segments.gap(number).ok().flatten();
        found.unwrap_or(Gap { segment: number, position: 0, lsns })
    };
    let last = gap(last);
    let lsns = Lsns { first: gap(first).lsns.first, last: last.lsns.last };
    Gap { lsns, ..last }
}
