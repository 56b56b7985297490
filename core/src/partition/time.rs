//! Looking records up by their timestamps, through the greatest timestamps that runs keep.

use std::ops::Range;

use super::Partition;
use super::index::Footers;
use super::records::Records;
use crate::error::Result;
use crate::format::footer::{Run, before, seek_time};
use crate::journal::Segments;
use crate::types::{Bounds, Isolation, Offset, Timestamp};

/// Bytes of one read while a stretch is searched.
const READ: usize = 256 << 10;
/// As in Kafka, what was aborted is found too; what is undecided lies behind the end of a search that leaves it out.
const ISOLATION: Isolation = Isolation::ReadUncommitted;

/// What live segments say to a question about times.
pub(super) struct Live<T> {
    /// Older segments have numbers below this one.
    pub(super) below: u64,
    /// Per live segment, oldest first.
    pub(super) segments: Vec<T>,
}

/// The greatest timestamp of the runs that can be seen, and the first offset of the run that can be seen in part.
pub(super) type Greatest = (Timestamp, Option<Offset>);

/// Where a segment's runs, which end at `end`, may hold a record with such a timestamp or a greater one.
pub(super) fn at_time(runs: &[Run], end: Offset, timestamp: Timestamp) -> Option<Range<Offset>> {
    let first = seek_time(runs.len(), |i| runs[i], timestamp);
    runs.get(first).map(|run| run.first_offset..end)
}

/// The greatest timestamp of a segment's `len` runs, which end at `end`, as far as they lie below `seen`.
pub(super) fn greatest(len: usize, run: impl Fn(usize) -> Run, end: Offset, seen: Offset) -> Greatest {
    let whole = match end <= seen {
        true => len,
        // The last run that begins there reaches further.
        false => before(len, |i| run(i).first_offset < seen).saturating_sub(1),
    };
    let known = whole.checked_sub(1).map_or(-1, |last| run(last).max_timestamp);
    let rest = (whole < len).then(|| run(whole).first_offset);
    (known, rest.filter(|first| *first < seen))
}

impl Partition {
    /// The offset of the first record with such a timestamp or a greater one, below the end that a reader of that
    /// isolation sees.
    ///
    /// # Errors
    /// As `read`; `Corrupt` if records are damaged that may be the ones.
    pub fn offset_at(
        &self,
        segments: &Segments,
        footers: &Footers,
        timestamp: Timestamp,
        isolation: Isolation,
    ) -> Result<Option<Offset>> {
        let search = Search::new(self, segments, footers, isolation)?;
        // The live runs first: what is settled after this look is found by its offsets all the same.
        let live = self.live_at_time(timestamp);
        let below = live.below.min(footers.unsettled());
        let mut number = segments.after(0);
        while let Some(settled) = number.filter(|number| *number < below) {
            if let Some(held) = footers.at_time(segments, self.instance(), settled, timestamp)?
                && let Some(found) = search.first(held, timestamp)?
            {
                return Ok(Some(found));
            }
            number = segments.after(settled);
        }
        for held in live.segments.into_iter().flatten() {
            if let Some(found) = search.first(held, timestamp)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The greatest timestamp, and the first record that has it, below the end that a reader of that isolation sees.
    /// `None` if no record has a timestamp.
    ///
    /// # Errors
    /// As `offset_at`.
    pub fn max_timestamp(
        &self,
        segments: &Segments,
        footers: &Footers,
        isolation: Isolation,
    ) -> Result<Option<(Offset, Timestamp)>> {
        let search = Search::new(self, segments, footers, isolation)?;
        let live = self.live_greatest(search.end);
        let below = live.below.min(footers.unsettled());
        let mut found = Vec::new();
        let mut number = segments.after(0);
        while let Some(settled) = number.filter(|number| *number < below) {
            found.extend(footers.greatest_time(segments, self.instance(), settled, search.end)?);
            number = segments.after(settled);
        }
        found.extend(live.segments);
        let mut greatest = found.iter().map(|(known, _)| *known).fold(-1, Timestamp::max);
        // Of the one run that is seen in part only what is greater is decoded.
        for rest in found.into_iter().filter_map(|(_, rest)| rest) {
            greatest = search.greatest(rest, greatest)?;
        }
        if greatest < 0 {
            return Ok(None);
        }
        Ok(self.offset_at(segments, footers, greatest, isolation)?.map(|offset| (offset, greatest)))
    }
}

/// A search among the records of a partition from `start` up to `end`.
struct Search<'a> {
    partition: &'a Partition,
    segments: &'a Segments,
    footers: &'a Footers,
    start: Offset,
    end: Offset,
}

impl<'a> Search<'a> {
    fn new(
        partition: &'a Partition,
        segments: &'a Segments,
        footers: &'a Footers,
        isolation: Isolation,
    ) -> Result<Self> {
        let Bounds { start, stable, end } = partition.bounds();
        if partition.is_deleted() {
            return Err(partition.gone());
        }
        let end = match isolation {
            Isolation::ReadCommitted => stable,
            Isolation::ReadUncommitted => end,
        };
        Ok(Self { partition, segments, footers, start, end })
    }

    /// The first record of a range with such a timestamp or a greater one. Only batches that have one are decoded.
    fn first(&self, within: Range<Offset>, timestamp: Timestamp) -> Result<Option<Offset>> {
        let mut at = within.start.max(self.start);
        while at < within.end.min(self.end) {
            let records = self.read(at, timestamp)?;
            for record in records.iter().at_least(timestamp) {
                let record = record?;
                if record.timestamp() >= timestamp {
                    return Ok((record.offset() < self.end).then_some(record.offset()));
                }
            }
            match self.behind(&records) {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(None)
    }

    /// The greatest timestamp from an offset on, if it is greater than what is `known`.
    fn greatest(&self, from: Offset, known: Timestamp) -> Result<Timestamp> {
        let (mut at, mut greatest) = (from.max(self.start), known);
        while at < self.end {
            let least = greatest.saturating_add(1);
            let records = self.read(at, least)?;
            for record in records.iter().at_least(least) {
                let record = record?;
                if record.offset() < self.end {
                    greatest = record.timestamp().max(greatest);
                }
            }
            match self.behind(&records) {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(greatest)
    }

    /// A read for a walk over batches that have such a timestamp or a greater one.
    fn read(&self, at: Offset, least: Timestamp) -> Result<Records> {
        let mut records = self.partition.read(self.segments, self.footers, at, READ, ISOLATION)?;
        records.unpack_up_to(READ, least);
        Ok(records)
    }

    /// Where to read on; `None` if nothing was read.
    fn behind(&self, records: &Records) -> Option<Offset> {
        let next = records.next_offset(self.partition.topic(), self.partition.number());
        next.filter(|_| !records.is_empty())
    }
}
