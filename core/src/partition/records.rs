//! What a read answers: bytes as they lie in the log, decoded and verified as they are walked.

use std::ops::Range;
use std::sync::Arc;

use super::hidden::Hidden;
use super::losses::Witness;
use super::unpacked::Chain;
use crate::error::Result;
use crate::format::batch::{BATCH_HEADER, BatchHeader};
use crate::format::bytes::align8;
use crate::format::frame::{FRAME_HEADER, Frame, FrameHeader, Kind, Seal};
use crate::format::record::{Headers, RecordIter, RecordRef};
use crate::journal::Bytes;
use crate::types::{Incarnation, Instance, Lsn, Offset, Timestamp};

/// Records as a read or a poll answered them, of one partition or of several.
///
/// They own their bytes (or share the mapping of the file), so they may be kept, sent to another thread and walked as
/// often as needed. Each walk verifies every batch by its checksum before it gives out a record of it. Where bytes
/// are damaged the walk yields one `Corrupt` error that names the offsets, the file and the byte in it, and the LSNs
/// that their frames have or, where too little is left to tell, can have; and goes on behind them. What compressed
/// batches unpacked to is kept as long as this is: no more than `max_bytes` of the read or poll, and one batch.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use oncelog::{Engine, ProducerOptions, Record, ReadOptions, TopicOptions};
/// let engine = Engine::open(dir.path())?;
/// engine.create_topic("greetings", TopicOptions::new())?;
/// let producer = engine.producer(ProducerOptions::new())?;
/// producer.send("greetings", Record::new(b"hello"))?.wait()?;
///
/// let records = engine.partition("greetings", 0)?.read(0, ReadOptions::new())?;
/// for record in &records {
///     let record = record?;
///     println!("{} at {}: {:?}", record.topic(), record.offset(), record.value());
/// }
/// assert_eq!(records.next_offset("greetings", 0), Some(1));
/// # Ok::<(), oncelog::Error>(())
/// ```
#[derive(Default)]
pub struct Records {
    pub(super) shares: Vec<Share>,
}

/// What one partition gave.
pub(super) struct Share {
    pub(super) topic: Arc<str>,
    pub(super) partition: u32,
    pub(super) instance: Instance,
    /// Records below are hidden: the first batch may begin before the offset that was asked for.
    pub(super) from: Offset,
    /// Records from here on are hidden: they were not visible when the read began, or are past its bounds.
    pub(super) end: Offset,
    pub(super) stretches: Vec<Stretch>,
    pub(super) hidden: Hidden,
    pub(super) witness: Arc<dyn Witness>,
    /// The life that read, and, where nothing was read, a frame at or behind the record before `from`.
    pub(super) seen: (Incarnation, Lsn),
}

/// Adjacent bytes that hold only this partition's records.
pub(super) struct Stretch {
    pub(super) bytes: Bytes,
    /// True: batches one behind the other. False: whole records frames.
    pub(super) bare: bool,
    /// 0: no segment is known to hold these offsets.
    pub(super) segment: u64,
    pub(super) generation: u32,
    pub(super) seal: Seal,
    /// Where the bytes begin in the segment.
    pub(super) position: u64,
    /// Offset of the first record.
    pub(super) first: Offset,
    /// Offset of the first record behind, as the index knows it.
    pub(super) end: Offset,
    /// The compressed batches that walks came to.
    pub(super) unpacked: Chain,
    /// The last frame of them, or one behind it.
    pub(super) lsn: Lsn,
    /// The first frame of them, or one before it.
    pub(super) first_lsn: Lsn,
}

impl Records {
    pub(super) fn of(share: Share) -> Self {
        Self { shares: vec![share] }
    }

    /// Walks the records in the order of their offsets, one partition after the other.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter::over(&self.shares)
    }

    /// Number of records, damaged ones included. Costs nothing, or, where records of aborted transactions are hidden,
    /// one look at each batch: nothing is decoded.
    pub fn count(&self) -> u64 {
        self.shares.iter().map(Share::count).sum()
    }

    /// True if there is nothing to walk.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Bytes held as they lie in the log, those of hidden records included. What compressed batches unpacked to comes
    /// on top.
    pub fn bytes(&self) -> usize {
        self.shares.iter().flat_map(|share| &share.stretches).map(|stretch| stretch.bytes.len()).sum()
    }

    /// The offset to read next of a partition; `None` if this holds nothing of it. An answer to a read that has no
    /// record names the offset that was asked for, or the one behind what was aborted there.
    pub fn next_offset(&self, topic: &str, partition: u32) -> Option<Offset> {
        let mut shares = self.shares.iter().rev();
        shares.find(|s| s.partition == partition && &*s.topic == topic).map(|share| share.end)
    }

    /// The offset to read next of every partition that this holds something of, if only something damaged: topic,
    /// partition, offset.
    pub fn next_offsets(&self) -> impl Iterator<Item = (&str, u32, Offset)> {
        self.shares.iter().map(|share| (&*share.topic, share.partition, share.end))
    }

    /// Keeps the first `records` of what one read gave.
    pub(crate) fn truncate(&mut self, records: u64) {
        for share in &mut self.shares {
            share.end_at(share.offset_behind(records));
        }
    }

    /// Gives the bytes back where nothing of them is shown; where to read on stays known.
    pub(crate) fn hollow(&mut self) {
        for share in &mut self.shares {
            share.seen.1 = share.place().lsn;
            share.from = share.end;
            share.stretches.clear();
        }
    }

    /// From where to where each partition was read, in the order of the walk, under its name. Hidden, since it is for
    /// bindings that put a consumer back in the middle of a walk.
    #[doc(hidden)]
    pub fn reaches(&self) -> impl Iterator<Item = (&Arc<str>, u32, Range<Offset>)> {
        self.shares.iter().map(|share| (&share.topic, share.partition, share.from..share.end))
    }

    /// Adds what another read gave, behind what is here. What is here without a record, and was read on from, goes.
    /// Hidden, since it is for bindings that wait for a poll in pieces.
    #[doc(hidden)]
    pub fn join(&mut self, mut more: Records) {
        self.shares.retain(|old| old.from < old.end || !more.shares.iter().any(|new| new.instance == old.instance));
        self.shares.append(&mut more.shares);
    }

    /// Keeps what was read of the partitions for which `keep` says so: topic, partition, offset to read next. Hidden,
    /// since it is for bindings that tell later what a poll stepped over.
    #[doc(hidden)]
    pub fn retain(&mut self, mut keep: impl FnMut(&str, u32, Offset) -> bool) {
        self.shares.retain(|share| keep(&share.topic, share.partition, share.end));
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shares = self.shares.iter().map(|s| (format!("{}-{}", s.topic, s.partition), s.from..s.end));
        f.debug_map().entries(shares).finish()
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<RecordView<'a>>;
    type IntoIter = RecordsIter<'a>;
    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// A record in a `Records`. It borrows the bytes.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    share: &'a Share,
    record: RecordRef<'a>,
}

impl<'a> RecordView<'a> {
    /// The topic's name.
    #[inline]
    pub fn topic(&self) -> &'a str {
        &self.share.topic
    }
    /// The partition's number in its topic.
    #[inline]
    pub fn partition(&self) -> u32 {
        self.share.partition
    }
    /// The record's offset in its partition.
    #[inline]
    pub fn offset(&self) -> Offset {
        self.record.offset
    }
    /// Milliseconds since 1970, -1 for none.
    #[inline]
    pub fn timestamp(&self) -> Timestamp {
        self.record.timestamp
    }
    /// The key; null and empty are different things.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key
    }
    /// The value; null marks the key as deleted.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.record.value
    }
    /// The headers in the order they were sent.
    pub fn headers(&self) -> Headers<'a> {
        self.record.headers()
    }
}

impl std::fmt::Debug for RecordView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (topic, partition) = (self.topic(), self.partition());
        write!(f, "RecordView {{ topic: {topic:?}, partition: {partition}, record: {:?} }}", self.record)
    }
}

/// The walk over a `Records`.
pub struct RecordsIter<'a> {
    shares: std::slice::Iter<'a, Share>,
    share: Option<&'a Share>,
    /// The stretch that is walked, and those behind it.
    stretches: &'a [Stretch],
    /// The stretch's bytes.
    bytes: &'a [u8],
    /// Where what its next compressed batch unpacked to is kept.
    pub(super) unpacked: Option<&'a Chain>,
    /// Bytes that the batches so far unpacked to.
    pub(super) held: usize,
    /// Where the batch begins in them, and where the next one does.
    begin: usize,
    at: usize,
    /// The offset that it must begin with.
    pub(super) expected: Offset,
    /// The offset that the batch begins with.
    first: Offset,
    /// Its records; where there are any, one from `from` on was given out.
    batch: RecordIter<'a>,
    from: Offset,
    end: Offset,
    /// Batches whose records are all older are stepped over.
    least: Timestamp,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = Result<RecordView<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(share) = self.share
            && let Some(record) = self.batch.plain()
        {
            return Some(Ok(RecordView { share, record }));
        }
        self.find()
    }
}

impl std::iter::FusedIterator for RecordsIter<'_> {}

impl<'a> RecordsIter<'a> {
    pub(super) fn over(shares: &'a [Share]) -> Self {
        RecordsIter {
            shares: shares.iter(),
            stretches: &[],
            batch: RecordIter::empty(),
            bytes: &[],
            unpacked: None,
            held: 0,
            begin: 0,
            at: 0,
            expected: 0,
            first: 0,
            from: 0,
            end: 0,
            least: Timestamp::MIN,
            share: None,
        }
    }

    /// Steps over batches that hold no record with such a timestamp or a greater one. For a walk over records that
    /// nobody walks otherwise: walks come to the same batches, or their unpacked records are not found again.
    pub(super) fn at_least(mut self, timestamp: Timestamp) -> Self {
        self.least = timestamp;
        self
    }

    /// Fills places with what `next` would answer, as far as the batch goes that the walk is in, up to a record with
    /// headers; says how many. All are of the partition of the record that `next` answered last. Hidden, since it is
    /// for bindings that fill arrays: the walk's place is looked up once for all of them.
    #[doc(hidden)]
    #[inline]
    pub fn fill<T>(&mut self, places: &mut [T], mut show: impl FnMut(&mut T, RecordView<'a>)) -> usize {
        let Some(share) = self.share else { return 0 };
        let mut batch = self.batch.clone();
        let mut count = 0;
        for place in places {
            let Some(record) = batch.bare() else { break };
            show(place, RecordView { share, record });
            count += 1;
        }
        self.batch = batch;
        count
    }

    /// The next record, whatever it is like and wherever it lies.
    #[inline(never)]
    fn find(&mut self) -> Option<Result<RecordView<'a>>> {
        loop {
            match (self.batch.next(), self.share, self.stretches.first()) {
                (Some(Ok(record)), ..) if record.offset < self.from => {}
                (Some(Ok(record)), Some(share), _) if record.offset < self.end => {
                    return Some(Ok(RecordView { share, record }));
                }
                (Some(Err(error)), Some(share), Some(stretch)) => {
                    let lost = (self.lost(), self.expected);
                    return Some(Err(share.unreadable(stretch, self.begin..self.at, lost, &error)));
                }
                (Some(_), ..) => (self.batch, self.stretches) = (RecordIter::empty(), &[]),
                (None, ..) => {
                    if let Err(error) = self.advance()? {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// Steps to the next batch that is whole, or to what is damaged. `None` at the end.
    pub(super) fn advance(&mut self) -> Option<Result<()>> {
        loop {
            let (Some(share), Some(stretch)) = (self.share, self.stretches.first()) else {
                let share = self.shares.next()?;
                self.enter(share);
                continue;
            };
            if self.expected >= self.end {
                self.stretches = &[];
                continue;
            }
            let found = Candidate::read(self.bytes, stretch.bare, self.at, self.expected);
            if let Some(found) = found.filter(|found| found.header.covers(found.head, found.body)) {
                (self.begin, self.first) = (self.at, self.expected);
                (self.at, self.expected) = (found.next, found.end);
                if found.end > self.from && found.header.max_timestamp >= self.least && !share.hides(&found.header) {
                    return Some(self.open(share, stretch, &found));
                }
                continue;
            }
            // The stretch's end, or damage.
            let (at, next) = stretch.resume(share.instance, self.at, self.expected);
            let lost = self.expected.max(self.from)..next.min(self.end);
            let error = (!lost.is_empty()).then(|| share.damaged(self.stretches, self.at..at, lost));
            (self.at, self.expected) = (at, next);
            if at >= self.bytes.len() {
                self.stretches = &self.stretches[1..];
                self.begin();
            }
            if let Some(error) = error {
                return Some(Err(error));
            }
        }
    }

    /// Begins with the records of a batch that is whole.
    #[inline]
    fn open(&mut self, share: &Share, stretch: &Stretch, found: &Candidate<'a>) -> Result<()> {
        if share.doubts(&found.header) {
            return Err(share.undecided(self.lost()));
        }
        let position = stretch.position + self.begin as u64;
        let unpacked = match found.header.compression() {
            0 => Ok(found.body),
            _ => self.unpack(found, position),
        };
        let lost = |error| share.unreadable(stretch, self.begin..self.at, (self.lost(), found.end), &error);
        let records = unpacked.map_err(lost)?;
        self.batch = RecordIter::unpacked(&found.header, records).plain_until(self.end);
        Ok(())
    }

    /// The offsets that are due of the batch.
    fn lost(&self) -> Range<Offset> {
        self.first.max(self.from)..self.expected.min(self.end)
    }

    fn enter(&mut self, share: &'a Share) {
        self.share = Some(share);
        self.stretches = &share.stretches;
        (self.from, self.end, self.expected) = (share.from, share.end, 0);
        self.begin();
    }

    /// Goes to the start of the first stretch that is left.
    fn begin(&mut self) {
        if let Some(stretch) = self.stretches.first() {
            // What one stretch gave the next never gives again, whatever the index says.
            self.from = self.from.max(self.expected);
            (self.bytes, self.at, self.expected) = (&stretch.bytes, 0, stretch.first);
            self.unpacked = Some(&stretch.unpacked);
        }
    }
}

/// A batch of a stretch: header read, its place right, not yet verified.
pub(super) struct Candidate<'a> {
    pub(super) header: BatchHeader,
    head: &'a [u8],
    pub(super) body: &'a [u8],
    /// Offset behind its last record.
    pub(super) end: Offset,
    /// Byte of the stretch where the next one begins.
    pub(super) next: usize,
}

impl<'a> Candidate<'a> {
    /// The batch at byte `at`, if what lies there can be one that begins with offset `expected`.
    #[inline]
    pub(super) fn read(bytes: &'a [u8], bare: bool, at: usize, expected: Offset) -> Option<Candidate<'a>> {
        let start = if bare { at } else { at.checked_add(FRAME_HEADER)? };
        let rest = bytes.get(start..)?;
        let header = BatchHeader::read(rest)?;
        let size = header.size();
        if u64::try_from(header.base_offset) != Ok(expected) || size < BATCH_HEADER {
            return None;
        }
        let (head, body) = rest.get(..size)?.split_at(BATCH_HEADER);
        let end = expected.checked_add(u64::try_from(header.last_offset_delta).ok()?)?.checked_add(1)?;
        let next = if bare { start + size } else { at + align8(FRAME_HEADER + size) };
        Some(Candidate { header, head, body, end, next })
    }
}

impl Stretch {
    /// Where to go on behind damage, never back: the next frame whose head is right, or the stretch's end. Bare batches
    /// have no head of their own that could be told from a copy in somebody's value.
    #[cold]
    pub(super) fn resume(&self, instance: Instance, at: usize, expected: Offset) -> (usize, Offset) {
        let bytes = &*self.bytes;
        let mut at = at;
        while !self.bare && at + FRAME_HEADER + BATCH_HEADER <= bytes.len() {
            let header = FrameHeader::read(&bytes[at..]);
            // Only what claims to be one of ours is summed, so that no length in the garbage makes this slow.
            if header.kind == Kind::Records as u8
                && header.head_len as usize == BATCH_HEADER
                && header.instance == instance
                && let Ok(frame) = Frame::read(&bytes[at..], self.seal, self.position + at as u64)
                && let Some(first) = BatchHeader::read(frame.head).and_then(|b| u64::try_from(b.base_offset).ok())
                && first > expected
                && first < self.end
            {
                return (at, first);
            }
            at += 8;
        }
        (bytes.len(), self.end.max(expected))
    }
}

impl Share {
    /// Hides the records from an offset on, if there are any.
    pub(super) fn end_at(&mut self, end: Offset) {
        self.end = self.end.min(end);
        let end = self.end;
        self.stretches.retain(|stretch| stretch.first < end);
    }
}
