//! The footer of a sealed segment: where each partition's records lie. Derived: missing or damaged, it is rebuilt by
//! scanning. It begins at the segment's declared size, past every frame. Byte table: FORMAT.md section 7.
//!
//! ```text
//!  0 magic 8   8 checksum u32   12 directory entries u32   16 segment u64   24 generation u32   28 flags u32
//! 32 salt u64  40 end u64       48 first lsn u64           56 last lsn u64  64 live bytes u64   72 length u64
//! 80 partitions with decisions u32   84 aborted ranges u32
//! 88 + 48 n   instance u32, runs u32, first run u64, previous segment u64, first offset u64, end offset u64,
//!             greatest timestamp i64, by instance
//!    + 24 k   instance u32, aborted ranges u32, first of them u64, last stable offset u64, by instance
//!    + 24 a   producer id i64, first offset u64, end offset u64
//!    + 24 m   position u32, length u32 (bit 31: bare batches), first offset u64, greatest timestamp so far i64
//! ```

use std::ops::Range;
use std::sync::OnceLock;

use super::bytes::{Put, get_u32, get_u64, put_u32, put_u64};
use super::spans::Spans;

const MAGIC: [u8; 8] = *b"onceftr\x02";
/// Bytes before the entries: as many must be read to know a footer's length.
pub const FOOTER_HEADER: usize = 88;
const ENTRY: usize = 48;
const DECISIONS: usize = 24;
const ABORTED: usize = 24;
const RUN: usize = 24;
/// Flag: in a partition without decisions here nothing is undecided below its end offset.
const COMPLETE: u32 = 1;
/// Flag: frames were missing when this was made from the others; there may have been decisions among them.
const GAPS: u32 = 2;
const BARE: u32 = 1 << 31;
/// A run is cut at this many bytes, so that a look-up never steps over more than that.
pub const RUN_MAX: u32 = 32 << 10;

/// A stretch of one segment that holds one partition's records only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Byte where it begins: a frame, or a batch if `bare`.
    pub position: u32,
    /// Bytes.
    pub len: u32,
    /// True: record batches one behind the other, parts of a transaction frame. False: whole records frames.
    pub bare: bool,
    /// Offset of its first record.
    pub first_offset: u64,
    /// Greatest timestamp of the partition in this segment up to the end of this run.
    pub max_timestamp: i64,
}

/// What a segment holds of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The partition.
    pub instance: u32,
    /// The segment before this one that holds the partition; 0 for none.
    pub previous: u64,
    /// Offset behind its last record here.
    pub end_offset: u64,
    /// Its runs, in order; never empty.
    pub runs: Vec<Run>,
}

/// Records of an aborted transaction in a partition: the batches of one producer between two offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aborted {
    /// The producer id of its batches.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first: u64,
    /// Offset behind its last record.
    pub end: u64,
}

impl Aborted {
    /// Nobody knows how transactions with these offsets were decided, unless something else says so: frames are lost.
    pub fn doubt(first: u64, end: u64) -> Aborted {
        Aborted { producer_id: i64::MIN, first, end }
    }

    /// The same of one producer's.
    pub fn doubt_of(producer_id: i64, first: u64, end: u64) -> Aborted {
        // Ids of producers are not negative.
        Aborted { producer_id: i64::MIN.saturating_add(1).wrapping_add(producer_id), first, end }
    }

    /// True if records of it may lie there.
    pub fn touches(&self, offsets: &Range<u64>) -> bool {
        self.first < offsets.end && offsets.start < self.end
    }

    /// True if nobody knows how a producer's transaction with these offsets was decided.
    pub fn doubts(&self, producer_id: i64, offsets: Range<u64>) -> bool {
        let whose = [i64::MIN, Self::doubt_of(producer_id, 0, 0).producer_id];
        whose.contains(&self.producer_id) && self.touches(&offsets)
    }
}

/// What the decisions in a segment, or the lack of them, mean to one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// The partition.
    pub instance: u32,
    /// Every transaction with a record below is decided in this segment or before. 0 where that is not known.
    pub stable: u64,
    /// What was aborted by a decision in this segment, wherever the records lie.
    pub aborted: Vec<Aborted>,
}

/// What the footer says of the segment as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct FooterHead {
    pub segment: u64,
    pub generation: u32,
    pub salt: u64,
    /// The byte behind the last frame.
    pub end: u64,
    pub first_lsn: u64,
    pub last_lsn: u64,
}

/// Says of a footer that frames were missing when it was made from the others.
pub fn mark_gaps(footer: &mut [u8]) {
    let flags = get_u32(footer, 28) | GAPS;
    put_u32(footer, 28, flags);
    let sum = checksum(footer);
    put_u32(footer, 8, sum);
}

/// Encodes a footer; `holdings` and `decisions` must be sorted by instance. `complete`: partitions that `decisions`
/// leaves out have nothing undecided below their end offset.
pub fn encode(head: &FooterHead, holdings: &[Holding], decisions: &[Decisions], complete: bool) -> Vec<u8> {
    let runs: usize = holdings.iter().map(|h| h.runs.len()).sum();
    let aborted: usize = decisions.iter().map(|d| d.aborted.len()).sum();
    let tables = holdings.len() * ENTRY + decisions.len() * DECISIONS;
    let mut out = Vec::with_capacity(FOOTER_HEADER + tables + aborted * ABORTED + runs * RUN);
    out.raw(&MAGIC).u32(0).u32(holdings.len() as u32);
    out.u64(head.segment).u32(head.generation).u32(if complete { COMPLETE } else { 0 }).u64(head.salt);
    out.u64(head.end).u64(head.first_lsn).u64(head.last_lsn);
    out.u64(head.end).u64(0);
    out.u32(decisions.len() as u32).u32(aborted as u32);
    let mut first_run = 0u64;
    for h in holdings {
        let first_offset = h.runs.first().map_or(h.end_offset, |r| r.first_offset);
        let timestamp = h.runs.last().map_or(-1, |r| r.max_timestamp);
        out.u32(h.instance).u32(h.runs.len() as u32).u64(first_run).u64(h.previous);
        out.u64(first_offset).u64(h.end_offset).u64(timestamp as u64);
        first_run += h.runs.len() as u64;
    }
    let mut first_aborted = 0u64;
    for d in decisions {
        out.u32(d.instance).u32(d.aborted.len() as u32).u64(first_aborted).u64(d.stable);
        first_aborted += d.aborted.len() as u64;
    }
    for range in decisions.iter().flat_map(|d| &d.aborted) {
        out.u64(range.producer_id as u64).u64(range.first).u64(range.end);
    }
    for run in holdings.iter().flat_map(|h| &h.runs) {
        let len = run.len | if run.bare { BARE } else { 0 };
        out.u32(run.position).u32(len).u64(run.first_offset).u64(run.max_timestamp as u64);
    }
    let len = out.len() as u64;
    put_u64(&mut out, 72, len);
    let sum = checksum(&out);
    put_u32(&mut out, 8, sum);
    out
}

/// Length of the footer that begins with these bytes; at least 88 of them.
pub fn length(bytes: &[u8]) -> Option<u64> {
    (bytes.len() >= FOOTER_HEADER && bytes[..8] == MAGIC).then(|| get_u64(bytes, 72))
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), &bytes[12..])
}

/// A verified footer, read in place.
pub struct Footer<B> {
    bytes: B,
    entries: usize,
    decisions: usize,
    /// Where the decisions, the aborted ranges and the runs begin.
    at: [usize; 3],
    /// Of the aborted ranges, once somebody asks for some of them.
    spans: OnceLock<Spans>,
}

impl<B: AsRef<[u8]>> Footer<B> {
    /// Takes a footer if it is whole and belongs to that file as it was sealed.
    pub fn read(bytes: B, expected: &FooterHead) -> Option<Footer<B>> {
        let b = bytes.as_ref();
        if length(b) != Some(b.len() as u64) || get_u32(b, 8) != checksum(b) {
            return None;
        }
        let head = FooterHead {
            segment: get_u64(b, 16),
            generation: get_u32(b, 24),
            salt: get_u64(b, 32),
            end: get_u64(b, 40),
            first_lsn: get_u64(b, 48),
            last_lsn: get_u64(b, 56),
        };
        let (entries, decisions) = (get_u32(b, 12) as usize, get_u32(b, 80) as usize);
        let aborted = get_u32(b, 84) as usize;
        let decisions_at = FOOTER_HEADER.checked_add(entries.checked_mul(ENTRY)?)?;
        let aborted_at = decisions_at.checked_add(decisions.checked_mul(DECISIONS)?)?;
        let runs_at = aborted_at.checked_add(aborted.checked_mul(ABORTED)?)?;
        let runs = b.len().checked_sub(runs_at)?;
        if head != *expected || runs % RUN != 0 {
            return None;
        }
        let footer =
            Footer { bytes, entries, decisions, at: [decisions_at, aborted_at, runs_at], spans: OnceLock::new() };
        // Each begins where the one before ends, as `encode` writes them: none is said twice, so that all of them
        // together are no more than the bytes hold.
        let in_turn = |due: u64, (first, n): (u64, u64)| (first == due).then(|| due.checked_add(n)).flatten();
        let last_run = (0..entries).try_fold(0, |due, i| {
            let range = footer.range(i);
            in_turn(due, range).filter(|_| range.1 > 0)
        });
        let last_aborted = (0..decisions).try_fold(0, |due, i| {
            let d = footer.decision(i);
            in_turn(due, (get_u64(d, 8), u64::from(get_u32(d, 4))))
        });
        let fits = last_run == Some((runs / RUN) as u64) && last_aborted == Some(aborted as u64);
        fits.then_some(footer)
    }

    /// True if in a partition without decisions here nothing is undecided below its end offset.
    pub fn is_complete(&self) -> bool {
        get_u32(self.bytes.as_ref(), 28) & COMPLETE != 0
    }

    /// True if frames were missing when it was made from the others.
    pub fn has_gaps(&self) -> bool {
        get_u32(self.bytes.as_ref(), 28) & GAPS != 0
    }

    fn decision(&self, i: usize) -> &[u8] {
        let at = self.at[0] + i * DECISIONS;
        &self.bytes.as_ref()[at..at + DECISIONS]
    }

    /// What the decisions here mean to a partition, if anything.
    pub fn decisions_of(&self, instance: u32) -> Option<Decisions> {
        self.decision_of(instance).map(|i| self.decisions_at(i))
    }

    fn decision_of(&self, instance: u32) -> Option<usize> {
        let found = before(self.decisions, |i| get_u32(self.decision(i), 0) < instance);
        (found < self.decisions && get_u32(self.decision(found), 0) == instance).then_some(found)
    }

    /// Adds what was aborted of a partition between two offsets by a decision here. Answers its stable offset, if
    /// anything is said of it.
    pub fn aborted_within(&self, instance: u32, offsets: Range<u64>, found: &mut Vec<Aborted>) -> Option<u64> {
        let d = self.decision(self.decision_of(instance)?);
        let (first, count) = (get_u64(d, 8) as usize, get_u32(d, 4) as usize);
        let spans = self.spans.get_or_init(|| {
            let mut spans = Spans::default();
            (0..(self.at[2] - self.at[1]) / ABORTED).for_each(|i| spans.push(&self.aborted_at(i)));
            spans
        });
        let near = spans.near(first..first + count, offsets.clone()).map(|i| self.aborted_at(i));
        found.extend(near.filter(|range| range.touches(&offsets)));
        Some(get_u64(d, 16))
    }

    fn aborted_at(&self, i: usize) -> Aborted {
        let r = &self.bytes.as_ref()[self.at[1] + i * ABORTED..][..ABORTED];
        Aborted { producer_id: get_u64(r, 0) as i64, first: get_u64(r, 8), end: get_u64(r, 16) }
    }

    /// The decisions of all partitions that have some.
    pub fn decisions(&self) -> Vec<Decisions> {
        (0..self.decisions).map(|i| self.decisions_at(i)).collect()
    }

    fn decisions_at(&self, i: usize) -> Decisions {
        let d = self.decision(i);
        let (first, count) = (get_u64(d, 8) as usize, get_u32(d, 4) as usize);
        let aborted = (first..first + count).map(|i| self.aborted_at(i));
        Decisions { instance: get_u32(d, 0), stable: get_u64(d, 16), aborted: aborted.collect() }
    }

    fn entry(&self, i: usize) -> &[u8] {
        let at = FOOTER_HEADER + i * ENTRY;
        &self.bytes.as_ref()[at..at + ENTRY]
    }

    fn range(&self, i: usize) -> (u64, u64) {
        let e = self.entry(i);
        (get_u64(e, 8), u64::from(get_u32(e, 4)))
    }

    /// What the segment holds of a partition, read in place.
    pub fn find(&self, instance: u32) -> Option<Held<'_, B>> {
        let entry = before(self.entries, |i| get_u32(self.entry(i), 0) < instance);
        let found = entry < self.entries && get_u32(self.entry(entry), 0) == instance;
        found.then_some(Held { footer: self, entry })
    }

    /// All that the segment holds, in full.
    pub fn holdings(&self) -> Vec<Holding> {
        (0..self.entries)
            .map(|entry| {
                let held = Held { footer: self, entry };
                let runs = (0..held.len()).map(|i| held.run(i)).collect();
                let instance = get_u32(self.entry(entry), 0);
                Holding { instance, previous: held.previous(), end_offset: held.end_offset(), runs }
            })
            .collect()
    }
}

/// One partition's entry of a footer.
#[derive(Clone, Copy)]
pub struct Held<'a, B> {
    footer: &'a Footer<B>,
    entry: usize,
}

impl<B: AsRef<[u8]>> Held<'_, B> {
    /// Number of runs, at least one.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.footer.range(self.entry).1 as usize
    }
    /// The segment before that holds the partition, 0 for none.
    pub fn previous(&self) -> u64 {
        get_u64(self.footer.entry(self.entry), 16)
    }
    /// Offset of its first record here.
    pub fn first_offset(&self) -> u64 {
        get_u64(self.footer.entry(self.entry), 24)
    }
    /// Offset behind its last record here.
    pub fn end_offset(&self) -> u64 {
        get_u64(self.footer.entry(self.entry), 32)
    }
    /// The run of that number.
    pub fn run(&self, i: usize) -> Run {
        let first = self.footer.range(self.entry).0 as usize;
        let b = self.footer.bytes.as_ref();
        let at = self.footer.at[2] + (first + i) * RUN;
        let len = get_u32(b, at + 4);
        Run {
            position: get_u32(b, at),
            len: len & !BARE,
            bare: len & BARE != 0,
            first_offset: get_u64(b, at + 8),
            max_timestamp: get_u64(b, at + 16) as i64,
        }
    }
    /// The number of the run that holds `offset`, or of the first run behind it.
    pub fn seek(&self, offset: u64) -> usize {
        before(self.len(), |i| self.run(i).first_offset <= offset).saturating_sub(1)
    }
}

/// The number of the first of a partition's runs in a segment that may hold a record with such a timestamp or a greater
/// one: `run` answers runs by number, whose greatest timestamps only grow. `len` if none does.
pub fn seek_time(len: usize, run: impl Fn(usize) -> Run, timestamp: i64) -> usize {
    before(len, |i| run(i).max_timestamp < timestamp)
}

/// How many of the first runs are `early`, where none is behind one that is not: halving, as runs are read in place.
pub fn before(len: usize, early: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if early(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The runs of one partition as they grow with each frame or part.
pub fn extend(runs: &mut Vec<Run>, next: Run) {
    let before = runs.last().map_or(i64::MIN, |r| r.max_timestamp);
    let next = Run { max_timestamp: next.max_timestamp.max(before), ..next };
    if let Some(last) = runs.last_mut() {
        let adjacent = last.bare == next.bare && last.position.checked_add(last.len) == Some(next.position);
        if let Some(len) = last.len.checked_add(next.len).filter(|len| adjacent && *len <= RUN_MAX) {
            (last.len, last.max_timestamp) = (len, next.max_timestamp);
            return;
        }
    }
    runs.push(next);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (FooterHead, Vec<Holding>, Vec<Decisions>) {
        let head = FooterHead { segment: 3, generation: 0, salt: 9, end: 70_000, first_lsn: 5, last_lsn: 99 };
        let run = |position, first_offset| Run {
            position,
            len: 100,
            bare: position % 8 != 0,
            first_offset,
            max_timestamp: first_offset as i64,
        };
        let holdings = vec![
            Holding {
                instance: 1,
                previous: 0,
                end_offset: 30,
                runs: vec![run(8192, 0), run(9000, 10), run(9901, 20)],
            },
            Holding { instance: 7, previous: 2, end_offset: 6, runs: vec![run(10_000, 5)] },
        ];
        let range = |producer_id, first| Aborted { producer_id, first, end: first + 10 };
        let decisions = vec![
            Decisions { instance: 1, stable: 25, aborted: vec![range(3, 0), range(4, 5)] },
            Decisions { instance: 5, stable: 9, aborted: vec![range(3, 1)] },
            Decisions { instance: 9, stable: 0, aborted: vec![] },
        ];
        (head, holdings, decisions)
    }

    #[test]
    fn a_footer_reads_back_and_finds_runs_by_offset() {
        let (head, holdings, decisions) = sample();
        let footer = Footer::read(encode(&head, &holdings, &decisions, true), &head).expect("whole");
        assert_eq!((footer.holdings(), footer.decisions()), (holdings, decisions.clone()));
        assert_eq!([1, 5, 9, 2].map(|i| footer.decisions_of(i)), [0, 1, 2, 3].map(|i| decisions.get(i).cloned()));
        assert!(footer.is_complete());
        let held = footer.find(1).expect("held");
        assert_eq!([0, 9, 10, 19, 20, 500].map(|o| held.seek(o)), [0, 0, 1, 1, 2, 2]);
        assert_eq!(footer.find(7).map(|h| (h.previous(), h.first_offset(), h.end_offset())), Some((2, 5, 6)));
        assert!(footer.find(2).is_none());
    }

    #[test]
    fn a_damaged_cut_or_foreign_footer_is_refused() {
        let (head, holdings, decisions) = sample();
        let bytes = encode(&head, &holdings, &decisions, false);
        assert!(Footer::read(bytes.clone(), &head).is_some_and(|footer| !footer.is_complete()));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            assert!(Footer::read(bad, &head).is_none(), "byte {at}");
            assert!(Footer::read(&bytes[..at], &head).is_none(), "cut at {at}");
        }
        assert!(Footer::read(&bytes, &FooterHead { end: 70_008, ..head }).is_none());
    }

    #[test]
    fn neighbouring_frames_join_into_one_run_up_to_its_bound() {
        let mut runs = vec![];
        let frame = |i: u32| Run {
            position: 8192 + i * 16_384,
            len: 16_384,
            bare: false,
            first_offset: u64::from(i),
            max_timestamp: 50 - i64::from(i),
        };
        (0..3).for_each(|i| extend(&mut runs, frame(i)));
        assert_eq!(runs.iter().map(|r| (r.first_offset, r.len)).collect::<Vec<_>>(), [(0, 32_768), (2, 16_384)]);
        assert!(runs.iter().all(|r| r.max_timestamp == 50), "the greatest timestamp so far goes on");
        extend(&mut runs, Run { max_timestamp: 70, ..frame(9) });
        assert_eq!([-1, 50, 51, 70, 71].map(|time| seek_time(runs.len(), |i| runs[i], time)), [0, 0, 2, 2, 3]);
    }
}
