//! Where a partition's older records lie: the footers of sealed segments, looked up, kept, rebuilt where they are gone.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Partition;
use super::plan::Plan;
use super::rebuild::rebuild;
use super::time;
use crate::error::{Error, ErrorKind, Result};
use crate::format::footer::{self, Aborted, Decisions, Footer, FooterHead, Holding};
use crate::io::bugs::{Bug, planted};
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicU64, Ordering};
use crate::journal::{Bytes, Gap, SegmentInfo, Segments};
use crate::types::{Instance, Offset, Timestamp};

/// Verified footers that are kept.
const SHELF: usize = 64;
/// Segments behind the last look-up that are tried one by one, as a reader that goes forward needs them.
const SUCCESSORS: usize = 2;

type Kept = Arc<Footer<Bytes>>;

/// The footers of the log's sealed segments.
///
/// Only settled segments are looked at: those of earlier lives, and of this life those whose footer was written by
/// `settle`. What an unsettled segment holds is found in the live runs, so a footer is never built of a segment
/// whose last frames are still on their way to the file.
pub struct Footers {
    unsettled: AtomicU64,
    /// The segment that goes on, if frames of it are missing.
    gapped: AtomicU64,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    kept: FxHashMap<u64, Shelved>,
    clock: u64,
}

struct Shelved {
    generation: u32,
    footer: Kept,
    used: u64,
}

impl Footers {
    /// `first` is the number of the first segment that this life writes.
    pub fn new(first: u64) -> Self {
        Self { unsettled: AtomicU64::new(first), gapped: AtomicU64::new(0), shelf: Mutex::default() }
    }

    /// The first segment whose holdings are still live runs.
    pub fn unsettled(&self) -> u64 {
        self.unsettled.load(Ordering::SeqCst)
    }

    /// The segment that went on when the log was opened, if frames of it are missing; else 0.
    pub(super) fn gapped(&self) -> u64 {
        self.gapped.load(Ordering::SeqCst)
    }

    /// Writes the footer of a sealed segment all of whose frames are written, and frees the live runs. Segments come in
    /// order; `partitions` are all that exist, taken after the last frame was written. A footer that cannot be
    /// written is rebuilt when it is needed.
    pub fn settle(&self, segments: &Segments, number: u64, partitions: &[Arc<Partition>]) {
        let mut holdings: Vec<Holding> = partitions.iter().filter_map(|p| p.holding(number)).collect();
        holdings.sort_unstable_by_key(|h| h.instance);
        let mut decisions: Vec<Decisions> = partitions.iter().filter_map(|p| p.decisions(number)).collect();
        decisions.sort_unstable_by_key(|d| d.instance);
        if planted(Bug::AbortedLostAtRoll) {
            decisions.iter_mut().for_each(|d| d.aborted.clear());
        }
        if let Some(info) = segments.info(number) {
            let head = head(&info);
            let mut bytes = footer::encode(&head, &holdings, &decisions, true);
            if number == self.gapped() {
                footer::mark_gaps(&mut bytes);
            }
            let _ = segments.put_footer(number, &bytes);
            if let Some(footer) = whole(bytes, &head) {
                self.keep(&info, Arc::new(footer));
            }
        }
        self.unsettled.fetch_max(number.saturating_add(1), Ordering::SeqCst);
        // Only now: a reader that finds no live run looks at `unsettled` after that.
        partitions.iter().for_each(|p| p.forget(number));
    }

    /// All that a segment holds, settled or not, for one whose frames are all written: by its footer, if that was
    /// written behind its last frame, else by scanning. Nothing is kept, because more frames may follow.
    pub fn holdings(&self, segments: &Segments, number: u64) -> Result<(Vec<Holding>, Vec<Decisions>)> {
        let Some(info) = segments.info(number) else { return Ok((Vec::new(), Vec::new())) };
        let head = head(&info);
        let found = segments.footer_bytes(number).ok().flatten();
        let footer = match found.and_then(|bytes| Footer::read(bytes, &head)) {
            Some(footer) => footer,
            None => whole(rebuild(segments, &info)?, &head).ok_or_else(invalid)?,
        };
        if footer.has_gaps() {
            self.gapped.store(number, Ordering::SeqCst);
        }
        Ok((footer.holdings(), footer.decisions()))
    }

    /// Adds what is aborted of a partition between two offsets by decisions in settled segments from `first` on. The
    /// search ends with the segment at whose end everything below was decided: as many steps as transactions with
    /// records there stayed open for.
    pub(super) fn aborted(
        &self,
        segments: &Segments,
        instance: Instance,
        first: u64,
        offsets: Range<Offset>,
        found: &mut Vec<Aborted>,
    ) -> Result<Sought> {
        let mut sought = Sought { first_gap: 0, gap: 0, decided: Some(0) };
        let mut at = first;
        while at < self.unsettled() {
            if let Some(footer) = self.get(segments, at)? {
                let stable = match footer.aborted_within(instance, offsets.clone(), found) {
                    Some(stable) => stable,
                    None if footer.is_complete() => footer.find(instance).map_or(0, |held| held.end_offset()),
                    None => 0,
                };
                if footer.has_gaps() {
                    sought.meet(at, first, footer.find(instance).map(|held| held.first_offset()), found);
                }
                if stable >= offsets.end {
                    return Ok(Sought { decided: None, ..sought });
                }
                sought.decided = sought.decided.max(Some(stable));
            }
            match segments.after(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(sought)
    }

    /// Plans what one settled segment below `below` holds from the plan's offset on; returns its number. If none holds
    /// the offset, it is planned as lost up to the next one known.
    pub(super) fn plan(
        &self,
        segments: &Segments,
        instance: Instance,
        hint: u64,
        below: u64,
        next: Option<Offset>,
        plan: &mut Plan,
    ) -> Result<Option<u64>> {
        let offset = plan.at();
        let (low, high) = (0, below);
        let mut search = Search { footers: self, segments, instance, offset, low, high, under: 0, above: below, next };
        let Some((number, footer)) = search.run(hint)? else {
            plan.lose(search.next, search.gap());
            return Ok(None);
        };
        // All of a settled segment is durable.
        let lsn = segments.info(number).map_or(0, |info| info.last_lsn);
        if let Some(held) = footer.find(instance) {
            for i in held.seek(offset)..held.len() {
                let last = i + 1 == held.len();
                let end = if last { held.end_offset() } else { held.run(i + 1).first_offset };
                if !plan.add((number, lsn), held.run(i), end) {
                    break;
                }
            }
        }
        Ok(Some(number))
    }

    /// Where a settled segment holds records of a partition: from the run on that is the first to have a record with
    /// such a timestamp or a greater one, up to its end there. `None` if it has none.
    pub(super) fn at_time(
        &self,
        segments: &Segments,
        instance: Instance,
        number: u64,
        timestamp: Timestamp,
    ) -> Result<Option<Range<Offset>>> {
        let Some(footer) = self.get(segments, number)? else { return Ok(None) };
        let Some(held) = footer.find(instance) else { return Ok(None) };
        let run = footer::seek_time(held.len(), |i| held.run(i), timestamp);
        Ok((run < held.len()).then(|| held.run(run).first_offset..held.end_offset()))
    }

    /// The greatest timestamp that a settled segment holds of a partition below `seen`.
    pub(super) fn greatest_time(
        &self,
        segments: &Segments,
        instance: Instance,
        number: u64,
        seen: Offset,
    ) -> Result<Option<time::Greatest>> {
        let Some(footer) = self.get(segments, number)? else { return Ok(None) };
        Ok(footer.find(instance).map(|held| time::greatest(held.len(), |i| held.run(i), held.end_offset(), seen)))
    }

    /// The footer of a settled segment; `None` if the segment is gone.
    fn get(&self, segments: &Segments, number: u64) -> Result<Option<Kept>> {
        let Some(info) = segments.info(number) else { return Ok(None) };
        if let Some(footer) = self.kept(&info) {
            return Ok(Some(footer));
        }
        let head = head(&info);
        // A footer decides nothing: whatever keeps it from being read, the frames say the same.
        let found = segments.footer_bytes(number).ok().flatten();
        let footer = match found.and_then(|bytes| Footer::read(bytes, &head)) {
            Some(footer) => footer,
            None => {
                let bytes = rebuild(segments, &info)?;
                let _ = segments.put_footer(number, &bytes);
                whole(bytes, &head).ok_or_else(invalid)?
            }
        };
        let footer = Arc::new(footer);
        self.keep(&info, footer.clone());
        Ok(Some(footer))
    }

    fn kept(&self, info: &SegmentInfo) -> Option<Kept> {
        let mut shelf = self.shelf.lock();
        shelf.clock += 1;
        let clock = shelf.clock;
        let found = shelf.kept.get_mut(&info.number).filter(|s| s.generation == info.generation)?;
        found.used = clock;
        Some(found.footer.clone())
    }

    fn keep(&self, info: &SegmentInfo, footer: Kept) {
        let mut shelf = self.shelf.lock();
        shelf.clock += 1;
        let used = shelf.clock;
        if shelf.kept.len() >= SHELF
            && let Some(oldest) = shelf.kept.iter().min_by_key(|(_, s)| s.used).map(|(n, _)| *n)
        {
            shelf.kept.remove(&oldest);
        }
        shelf.kept.insert(info.number, Shelved { generation: info.generation, footer, used });
    }
}

/// How a search for aborted transactions ended.
pub(super) struct Sought {
    /// The first and the last segment it met that miss frames; 0: none.
    pub first_gap: u64,
    pub gap: u64,
    /// What is decided for sure; `None`: all that was asked about.
    pub decided: Option<Offset>,
}

impl Sought {
    /// Segment `at` misses frames: what earlier ones, from `first` on, left open may have been decided there. What it
    /// holds itself, from offset `holds` on, its own footer speaks of.
    pub(super) fn meet(&mut self, at: u64, first: u64, holds: Option<Offset>, found: &mut Vec<Aborted>) {
        (self.first_gap, self.gap) = (if self.first_gap > 0 { self.first_gap } else { at }, at);
        if let Some(decided) = self.decided.filter(|_| at > first) {
            found.push(Aborted::doubt(decided, holds.unwrap_or(Offset::MAX)));
        }
    }
}

pub(super) fn head(info: &SegmentInfo) -> FooterHead {
    FooterHead {
        segment: info.number,
        generation: info.generation,
        salt: info.salt,
        end: info.end,
        first_lsn: info.first_lsn,
        last_lsn: info.last_lsn,
    }
}

fn whole(bytes: Vec<u8>, head: &FooterHead) -> Option<Footer<Bytes>> {
    let len = bytes.len();
    Footer::read(Bytes::heap(Arc::new(bytes), 0, len), head)
}

fn invalid() -> Error {
    Error::new(ErrorKind::Internal, "a rebuilt footer is not valid; report this")
}

/// The search for the segment that holds an offset: the newest look-up and its successors, then halving. Segments that
/// do not hold the partition say nothing of the offset and are stepped over downwards.
struct Search<'a> {
    footers: &'a Footers,
    segments: &'a Segments,
    instance: Instance,
    offset: Offset,
    /// Segments up to this one end before the offset, or do not hold the partition.
    low: u64,
    /// Segments from this one on begin behind the offset, or do not hold the partition.
    high: u64,
    /// The nearest holder found before the offset.
    under: u64,
    /// The nearest one found behind it, and its first offset.
    above: u64,
    next: Option<Offset>,
}

enum Probe {
    Holds(Kept),
    Above,
    Below,
    Absent,
}

impl Search<'_> {
    fn run(&mut self, hint: u64) -> Result<Option<(u64, Kept)>> {
        if let Some(found) = self.near(hint)? {
            return Ok(Some(found));
        }
        while let Some(top) = self.segments.before(self.high).filter(|top| *top > self.low) {
            let middle = self.low + (top - self.low).div_ceil(2);
            let start = match self.segments.before(middle + 1).filter(|n| *n > self.low) {
                Some(start) => start,
                None => self.segments.after(middle).unwrap_or(top).min(top),
            };
            if let Some(found) = self.down(start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Where the frames with the offset may have been, for whoever is told that they are lost: where frames are
    /// interrupted, in or near the nearest holders.
    #[cold]
    fn gap(&self) -> Gap {
        self.segments.gap_between(self.under, self.above)
    }

    /// Tries the segment of the last look-up and those right behind it.
    fn near(&mut self, hint: u64) -> Result<Option<(u64, Kept)>> {
        if hint == 0 || hint >= self.high {
            return Ok(None);
        }
        let mut at = hint;
        for _ in 0..=SUCCESSORS {
            match self.probe(at)? {
                Probe::Holds(footer) => return Ok(Some((at, footer))),
                Probe::Above => break,
                Probe::Below => self.low = at,
                // Known to be too low only if the one before it is.
                Probe::Absent if self.low > 0 => self.low = at,
                Probe::Absent => break,
            }
            match self.segments.after(at).filter(|next| *next < self.high) {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(None)
    }

    /// Tries `start` and, as long as they do not hold the partition, the segments before it.
    fn down(&mut self, start: u64) -> Result<Option<(u64, Kept)>> {
        let mut at = start;
        loop {
            match self.probe(at)? {
                Probe::Holds(footer) => return Ok(Some((at, footer))),
                Probe::Above => return Ok(None),
                Probe::Below => break,
                Probe::Absent => match self.segments.before(at).filter(|n| *n > self.low) {
                    Some(before) => at = before,
                    None => break,
                },
            }
        }
        self.low = start;
        Ok(None)
    }

    fn probe(&mut self, number: u64) -> Result<Probe> {
        let Some(footer) = self.footers.get(self.segments, number)? else { return Ok(Probe::Absent) };
        let Some(held) = footer.find(self.instance) else { return Ok(Probe::Absent) };
        if self.offset < held.first_offset() {
            (self.next, self.above) = (Some(held.first_offset()), number);
            self.high = number.min(held.previous().saturating_add(1));
            return Ok(Probe::Above);
        }
        if self.offset >= held.end_offset() {
            self.under = self.under.max(number);
            return Ok(Probe::Below);
        }
        Ok(Probe::Holds(footer))
    }
}
