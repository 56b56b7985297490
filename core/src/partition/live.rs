//! A partition while the log is open: its ends, and the runs of the segments that have no footer yet.

use std::ops::Range;
use std::sync::Arc;

use super::hidden::Hidden;
use super::index::Footers;
use super::losses::Witness;
use super::plan::Plan;
use super::records::Records;
use super::runs::Live;
use super::time;
use super::undecided::Undecided;
use super::wait::{Signal, Watch, Watchers};
use super::written::{Shown, What, Written};
use crate::error::Result;
use crate::format::footer::{Decisions, Holding};
use crate::io::bugs::{Bug, planted};
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::journal::Segments;
use crate::types::{Bounds, Durability, Instance, Isolation, Lsn, Offset, Timestamp, TimestampType, TopicId};

/// One partition. The lock inside is taken by the leader of a write, by whoever writes a footer and by readers, each
/// for moments; an append under the journal's lock never takes it.
pub struct Partition {
    of: Arc<OfTopic>,
    number: u32,
    instance: Instance,
    level: Durability,
    timestamp_type: TimestampType,
    /// The level at which records become visible.
    shown: Durability,
    start: AtomicU64,
    /// Readers see what lies below. Only ever grows.
    visible: AtomicU64,
    /// What lies below is written, its runs known here or in a footer. Kept at level `memory` only: at the others all
    /// that can be seen is.
    written: AtomicU64,
    /// The first offset of the oldest transaction that readers see open; the greatest number if there is none.
    undecided_from: AtomicU64,
    /// The transactions that readers see open.
    open: Mutex<Undecided>,
    deleted: AtomicBool,
    /// The segment that the last look-up ended in, 0 for none: where the next one is likely to look.
    hint: AtomicU64,
    pub(super) live: Mutex<Live>,
    watchers: Watchers,
}

/// What partitions of a topic share. There may be many of them, and each page of memory that they fill when a log is
/// opened takes longer than all else that is done for the ten in it.
pub struct OfTopic {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Its id.
    pub id: TopicId,
    /// Hears of records that cannot be read.
    pub witness: Arc<dyn Witness>,
}

impl Partition {
    /// A partition as recovery or its creation found it; `level` is the topic's or else the engine's, `shown` the one
    /// at which records become visible.
    pub fn new(
        of: Arc<OfTopic>,
        number: u32,
        instance: Instance,
        (level, shown, timestamp_type): (Durability, Durability, TimestampType),
        (offsets, open): (Range<Offset>, impl Iterator<Item = (i64, Offset)>),
    ) -> Self {
        let (start, end) = (offsets.start, offsets.end);
        let older = (end == 0).then_some(0);
        let (mut undecided, mut seen) = (Undecided::default(), Undecided::default());
        for (producer_id, first) in open {
            undecided.begin(producer_id, first);
            seen.begin(producer_id, first);
        }
        let live = Live::new(older, undecided, end);
        Self {
            of,
            number,
            instance,
            level,
            timestamp_type,
            shown,
            start: AtomicU64::new(start),
            visible: AtomicU64::new(end),
            written: AtomicU64::new(end),
            undecided_from: AtomicU64::new(seen.from()),
            open: Mutex::new(seen),
            deleted: AtomicBool::new(false),
            hint: AtomicU64::new(0),
            live: Mutex::new(live),
            watchers: Watchers::default(),
        }
    }

    /// Who hears of records that cannot be read.
    pub(super) fn witness(&self) -> &Arc<dyn Witness> {
        &self.of.witness
    }

    /// The topic's name.
    pub fn topic(&self) -> &Arc<str> {
        &self.of.topic
    }

    /// The topic's id: of two topics that have had the same name each has its own.
    pub fn topic_id(&self) -> TopicId {
        self.of.id
    }

    /// The partition's number in its topic.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The partition's number in the journal.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// The level at which appends are acknowledged unless they say otherwise.
    pub fn level(&self) -> Durability {
        self.level
    }

    /// True if every batch gets the time of its append.
    #[inline]
    pub fn stamps(&self) -> bool {
        self.timestamp_type == TimestampType::LogAppendTime
    }

    /// The level at which records become visible.
    pub fn shown(&self) -> Durability {
        self.shown
    }

    /// What can be read now.
    pub fn bounds(&self) -> Bounds {
        // What is undecided below an end is known before the end moves there. Both as of one moment, at which the end
        // stood still: else half of a transaction that is decided in between would lie below the stable offset.
        let (end, undecided) = loop {
            let seen = (self.visible.load(Ordering::SeqCst), self.undecided_from.load(Ordering::SeqCst));
            if seen.0 == self.visible.load(Ordering::SeqCst) || planted(Bug::BoundsOfTwoMoments) {
                break seen;
            }
        };
        let start = self.start.load(Ordering::SeqCst).min(end);
        let stable = if planted(Bug::StableNotHeldBack) { end } else { undecided.clamp(start, end) };
        Bounds { start, stable, end }
    }

    /// Up to where a reader of that isolation sees records.
    pub fn visible(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadCommitted => self.bounds().stable,
            Isolation::ReadUncommitted => self.visible.load(Ordering::SeqCst),
        }
    }

    /// True once the topic is gone.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::SeqCst)
    }

    /// The topic is gone: reads answer so from here on, and who waits is told.
    pub fn delete(&self) {
        self.deleted.store(true, Ordering::SeqCst);
        self.watchers.wake();
    }

    /// Wakes who waits although nothing was added: the engine closes, or offsets of it are decided.
    pub fn wake(&self) {
        self.watchers.wake();
    }

    /// From now on the signal is given whenever the visible end moves. Register first, then look at `bounds`.
    pub fn watch(self: &Arc<Self>, signal: &Arc<Signal>) -> Watch {
        Watch::new(self, signal)
    }

    pub(super) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Frames, parts and decisions are written. Called by the leader of the write in journal order.
    pub fn written(&self, frames: impl Iterator<Item = Written> + Clone) {
        let (mut end, mut plain) = (0, true);
        {
            let mut live = self.live.lock();
            for frame in frames.clone() {
                live.note(self.instance, frame);
                end = end.max(if frame.what.is_decision() { 0 } else { frame.end });
                plain &= frame.what == What::Records;
            }
        }
        if self.shown == Durability::Memory {
            self.written.fetch_max(end, Ordering::SeqCst);
        }
        match self.shown {
            Durability::Os if !plain => frames.for_each(|frame| self.show_all(frame.shown())),
            // At level memory the rest was shown when it was placed.
            Durability::Os | Durability::Memory => self.show(end),
            Durability::Disk => {}
        }
    }

    /// Records up to `end` are placed. At level `memory` that shows them; who reads them has them written first. Called
    /// by whoever placed them, without the journal's lock.
    #[inline]
    pub fn placed(&self, end: Offset) {
        if self.shown == Durability::Memory {
            self.show(end);
        }
    }

    /// The offset up to which records are written, if some that are not written yet can be seen.
    #[inline]
    pub fn unwritten(&self) -> Option<Offset> {
        if self.shown != Durability::Memory {
            return None;
        }
        let written = self.written.load(Ordering::SeqCst);
        (written < self.visible.load(Ordering::SeqCst)).then_some(written)
    }

    /// A frame survives a power cut.
    pub fn durable(&self, shown: Shown) {
        if self.shown == Durability::Disk {
            self.show_all(shown);
        }
    }

    fn show(&self, end: Offset) {
        if self.visible.fetch_max(end, Ordering::SeqCst) < end {
            self.watchers.wake();
        }
    }

    pub(super) fn show_all(&self, shown: Shown) {
        match shown {
            Shown::Records(end) => self.show(end),
            Shown::Undecided(producer_id, first, end) => {
                let _ = planted(Bug::EndBeforeUndecided).then(|| self.show(end));
                let mut open = self.open.lock();
                open.begin(producer_id, first);
                // Before the end moves over it.
                self.undecided_from.store(open.from(), Ordering::SeqCst);
                drop(open);
                self.show(end);
            }
            Shown::Decided(producer_id) => {
                let mut open = self.open.lock();
                open.end(producer_id);
                self.undecided_from.store(open.from(), Ordering::SeqCst);
                drop(open);
                self.watchers.wake();
            }
            Shown::Nothing => {}
        }
    }

    /// What an earlier life left of this partition in the segment that goes on, all of it durable at `lsn`; before
    /// anything is written.
    pub fn seed(&self, (segment, lsn): (u64, Lsn), holding: Holding) {
        self.live.lock().seed((segment, lsn), holding);
    }

    /// What an earlier life decided in the segment that goes on; before its runs are seeded.
    pub fn seed_decisions(&self, segment: u64, decisions: Decisions) {
        self.live.lock().seed_decisions(segment, decisions);
    }

    /// What the decisions in the segment mean to this partition, for its footer; `None`: nothing is undecided here.
    pub fn decisions(&self, segment: u64) -> Option<Decisions> {
        self.live.lock().decisions(segment)
    }

    /// What the segment holds of this partition, for its footer.
    pub fn holding(&self, segment: u64) -> Option<Holding> {
        self.live.lock().holding(self.instance, segment)
    }

    /// The segment's footer can be read: its live runs are needed no more.
    pub fn forget(&self, segment: u64) {
        self.live.lock().forget(segment);
    }

    /// Reads records from `offset` on: whole runs up to about `max_bytes`, at least one batch.
    ///
    /// # Errors
    /// `OffsetOutOfRange` below the start or above the end (at the end the answer is empty);
    /// `UnknownTopicOrPartition` once deleted; `Io` if the first bytes cannot be read. Damaged records are no error
    /// here: the `Records` say so where they come to them.
    pub fn read(
        &self,
        segments: &Segments,
        footers: &Footers,
        offset: Offset,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Records> {
        // The ends first: whatever lies below has its runs here or in a footer by now, and, below the stable one, its
        // decision too.
        let Bounds { start, stable, end } = self.bounds();
        if self.is_deleted() {
            return Err(self.gone());
        }
        if offset < start || offset > end {
            return Err(self.out_of_range(offset));
        }
        let committed = isolation == Isolation::ReadCommitted;
        let visible = if committed { stable } else { end };
        // What was placed since the caller had all written out is for the next read.
        let visible = self.unwritten().map_or(visible, |written| visible.min(written)).max(offset);
        let mut plan = Plan::new(offset, visible, max_bytes);
        while plan.wants_more() {
            if let Err(error) = self.plan(segments, footers, &mut plan) {
                if plan.is_empty() {
                    return Err(error);
                }
                break;
            }
        }
        let before = match plan.is_empty() {
            true => self.lsn_below(segments, footers, offset),
            false => 0,
        };
        let hidden = if committed { self.aborted(segments, footers, &plan)? } else { Hidden::default() };
        plan.read(self, segments, before, hidden)
    }

    /// A frame at or behind the one that holds the record before an offset, as near as the index knows.
    fn lsn_below(&self, segments: &Segments, footers: &Footers, offset: Offset) -> Lsn {
        if offset == 0 {
            return 0;
        }
        let live = self.live.lock().lsn_below(offset);
        // Else it is older than all live runs, so it lies in a segment that is settled, and durable.
        live.or_else(|| segments.info(segments.before(footers.unsettled())?).map(|info| info.last_lsn)).unwrap_or(0)
    }

    /// Where the live segments may hold a record with such a timestamp or a greater one.
    pub(super) fn live_at_time(&self, timestamp: Timestamp) -> time::Live<Option<Range<Offset>>> {
        let live = self.live.lock();
        let segments = live.segments.iter().map(|s| time::at_time(&s.runs, s.end, timestamp)).collect();
        time::Live { below: live.below(), segments }
    }

    /// The greatest timestamps that the live segments hold below `seen`.
    pub(super) fn live_greatest(&self, seen: Offset) -> time::Live<time::Greatest> {
        let live = self.live.lock();
        let segments = live.segments.iter().map(|s| time::greatest(s.runs.len(), |i| s.runs[i], s.end, seen)).collect();
        time::Live { below: live.below(), segments }
    }

    /// Plans the next piece: from the live runs, or from the one sealed segment that holds it.
    fn plan(&self, segments: &Segments, footers: &Footers, plan: &mut Plan) -> Result<()> {
        let older = match self.live.lock().plan(plan) {
            Ok(()) => return Ok(()),
            Err(older) => older,
        };
        // After the live runs were seen: a segment is settled before its runs are forgotten.
        let below = older.below.min(footers.unsettled());
        let hint = self.hint.load(Ordering::Relaxed);
        let found = footers.plan(segments, self.instance, hint, below, older.next, plan)?;
        if let Some(found) = found {
            self.hint.store(found, Ordering::Relaxed);
        }
        Ok(())
    }
}
