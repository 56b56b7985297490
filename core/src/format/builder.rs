//! Builds a batch record by record, in a buffer that is kept from batch to batch.

use super::batch::{BATCH_HEADER, Batch, BatchHeader, TRANSACTIONAL, seal};
use super::batch_checks::too_large;
use super::compression::{left_out, pack, packed_room};
use super::frame::FRAME_HEADER;
use super::record::Record;
use super::varint;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::BATCH_MAX;
use crate::types::{Compression, Identity, Timestamp};

const RECORDS_AT: usize = FRAME_HEADER + BATCH_HEADER;
/// What the buffer starts with, for one small record: there may be a batch for each of many partitions.
const FIRST_ROOM: usize = 256;
/// And what it has next.
const SECOND_ROOM: usize = 1024;

/// Builds batches; nothing is allocated per record, and nothing per batch once the buffer has grown.
///
/// ```
/// use oncelog::{BatchBuilder, Record};
/// let mut builder = BatchBuilder::new();
/// for day in 0..2 {
///     builder.reset();
///     builder.push(&Record::new(b"open"), day * 86_400_000)?;
///     assert_eq!(builder.count(), 1);
///     assert_eq!(builder.finish().len(), 40 + builder.size());
/// }
/// # Ok::<(), oncelog::Error>(())
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    /// Written up to `end`; what lies behind is room. The first 40 bytes stay zero.
    buf: Vec<u8>,
    end: usize,
    count: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    producer: Identity,
    base_sequence: i32,
    transactional: bool,
    compression: Compression,
    /// Where a compressed batch is put together, in the same form; nothing before the first one.
    packed: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    const NOBODY: Identity = Identity { producer_id: -1, epoch: -1 };

    /// An empty builder without a producer.
    pub fn new() -> Self {
        Self::with_buffer(Vec::new())
    }

    /// An empty builder on a buffer that was a batch's: its 40 free bytes are zero.
    #[inline]
    pub(super) fn with_buffer(buf: Vec<u8>) -> Self {
        Self {
            buf,
            end: RECORDS_AT,
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            producer: Self::NOBODY,
            base_sequence: -1,
            transactional: false,
            compression: Compression::None,
            packed: Vec::new(),
        }
    }

    /// As new, but the buffers are kept.
    pub fn reset(&mut self) {
        let (buf, packed) = (std::mem::take(&mut self.buf), std::mem::take(&mut self.packed));
        *self = Self { buf, packed, ..Self::new() };
    }

    /// Says how the batch is to be compressed when it is finished. It stays uncompressed where compressing would not
    /// make it smaller. Bounds and sizes count what is not compressed yet. Default: not at all.
    pub fn compression(&mut self, compression: Compression) -> &mut Self {
        self.compression = compression;
        self
    }

    /// Sets who sends the batch and the sequence number of its first record.
    pub fn producer(&mut self, producer: Identity, base_sequence: i32) -> &mut Self {
        (self.producer, self.base_sequence) = (producer, base_sequence);
        self
    }

    /// Says whether the batch belongs to a transaction.
    pub fn transactional(&mut self, transactional: bool) -> &mut Self {
        self.transactional = transactional;
        self
    }

    /// Adds a record with its own timestamp, or else with `timestamp`, in milliseconds.
    ///
    /// # Errors
    /// `RecordTooLarge` if the batch would pass `limits::BATCH_MAX`; `InvalidRecord` if the record's timestamp is below
    /// -1 or too far from the first one's. The builder is unchanged.
    #[inline(always)]
    pub fn push(&mut self, record: &Record<'_>, timestamp: Timestamp) -> Result<()> {
        self.try_push(record, timestamp, BATCH_MAX)?.map_err(too_large)
    }

    /// The same, if the batch has at most `most` bytes then; else answers how many it would have, unchanged.
    #[inline(always)]
    pub(crate) fn try_push(
        &mut self,
        record: &Record<'_>,
        timestamp: Timestamp,
        most: usize,
    ) -> Result<std::result::Result<(), u64>> {
        let timestamp = record.timestamp.unwrap_or(timestamp);
        let base = if self.count == 0 { timestamp } else { self.base_timestamp };
        let delta = match timestamp.checked_sub(base) {
            Some(delta) if timestamp >= -1 => delta,
            _ => return Err(bad_timestamp(timestamp, base)),
        };
        let body = record.body_len(delta, self.count);
        let size = self.size() as u64 + varint::size_len(body) as u64 + body;
        if size > most.min(BATCH_MAX) as u64 {
            return Ok(Err(size));
        }
        let end = FRAME_HEADER + size as usize;
        if end > self.buf.len() {
            self.grow(end);
        }
        record.put(&mut self.buf[self.end..end], body, delta, self.count);
        self.end = end;
        // A record takes 7 bytes at least, so the count stays far below its type's end.
        self.count += 1;
        self.base_timestamp = base;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(Ok(()))
    }

    /// Bytes that the batch would have with this record too; `push` takes it up to `limits::BATCH_MAX`.
    #[inline]
    pub fn len_with(&self, record: &Record<'_>, timestamp: Timestamp) -> usize {
        let timestamp = record.timestamp.unwrap_or(timestamp);
        let base = if self.count == 0 { timestamp } else { self.base_timestamp };
        let body = record.body_len(timestamp.wrapping_sub(base), self.count);
        let size = self.size() as u64 + varint::size_len(body) as u64 + body;
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// Bytes of the batch so far, its header included.
    #[inline]
    pub fn size(&self) -> usize {
        self.end - FRAME_HEADER
    }

    /// Bytes of its buffers.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.buf.capacity() + self.packed.capacity()
    }

    /// Records so far.
    #[inline]
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// The greatest timestamp so far, -1 for none.
    #[inline]
    pub fn max_timestamp(&self) -> Timestamp {
        self.max_timestamp
    }

    /// Writes the header, with base offset and leader epoch 0, and returns 40 free bytes and the batch, compressed if
    /// it is to be. More records may follow; then finish again. Without a record it is a batch that no append takes.
    pub fn finish(&mut self) -> &[u8] {
        self.finish_with_header().1
    }

    /// The same with the header that was written.
    pub(crate) fn finish_with_header(&mut self) -> (BatchHeader, &[u8]) {
        match self.pack() {
            Some((header, end)) => (header, &self.packed[..end]),
            None => (self.seal(), &self.buf[..self.end]),
        }
    }

    /// The batch.
    ///
    /// # Errors
    /// `InvalidRecord` without a record, or if the producer's id, epoch and sequence do not go together;
    /// `UnsupportedVersion` if this build lacks the codec.
    #[inline(always)]
    pub fn build(self) -> Result<Batch> {
        if self.count == 0 || self.producer != Self::NOBODY || self.transactional {
            self.header().check_append()?;
        }
        if self.compression != Compression::None {
            return self.build_packed();
        }
        Ok(self.build_as_it_is())
    }

    /// The batch compressed, where that makes it smaller.
    #[inline(never)]
    fn build_packed(mut self) -> Result<Batch> {
        if !self.compression.is_available() {
            return Err(left_out(self.compression));
        }
        match self.pack() {
            Some((header, end)) => {
                self.packed.truncate(end);
                Ok(Batch::from_framed(self.packed, header))
            }
            None => Ok(self.build_as_it_is()),
        }
    }

    #[inline(always)]
    fn build_as_it_is(mut self) -> Batch {
        let header = self.seal();
        self.buf.truncate(self.end);
        Batch::from_framed(self.buf, header)
    }

    /// Writes the header in front of the records; returns what it wrote.
    #[inline(always)]
    fn seal(&mut self) -> BatchHeader {
        if self.buf.len() < RECORDS_AT {
            self.grow(RECORDS_AT);
        }
        let header = self.header();
        let crc = seal(&header, &mut self.buf[FRAME_HEADER..self.end]);
        BatchHeader { crc, ..header }
    }

    /// Puts the compressed batch together, if it is to be compressed and is smaller then; answers its header and where
    /// it ends.
    fn pack(&mut self) -> Option<(BatchHeader, usize)> {
        if self.compression == Compression::None || self.count == 0 {
            return None;
        }
        let records = &self.buf[RECORDS_AT..self.end];
        let room = RECORDS_AT + packed_room(self.compression, records.len());
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let end = RECORDS_AT + pack(self.compression, records, &mut self.packed[RECORDS_AT..room])?;
        let header = self.header();
        let attributes = header.attributes | self.compression as i16;
        let header = BatchHeader { batch_len: (end - FRAME_HEADER - 12) as i32, attributes, ..header };
        let crc = seal(&header, &mut self.packed[FRAME_HEADER..end]);
        Some((BatchHeader { crc, ..header }, end))
    }

    /// The header but for its crc.
    #[inline]
    fn header(&self) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            // At most BATCH_MAX, which push watches.
            batch_len: (self.size() - 12) as i32,
            leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: if self.transactional { TRANSACTIONAL } else { 0 },
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer.producer_id,
            epoch: self.producer.epoch,
            base_sequence: self.base_sequence,
            count: self.count,
        }
    }

    #[cold]
    fn grow(&mut self, end: usize) {
        let more = if self.buf.len() == FIRST_ROOM { SECOND_ROOM } else { self.buf.len() * 2 };
        let room = end.max(more).clamp(FIRST_ROOM, FRAME_HEADER + BATCH_MAX);
        self.buf.resize(room, 0);
    }
}

#[cold]
fn bad_timestamp(timestamp: Timestamp, base: Timestamp) -> Error {
    let text = "a timestamp must be -1 for none or milliseconds since 1970, and near the batch's first one; correct it";
    Error::new(ErrorKind::InvalidRecord, format!("{text}, timestamp={timestamp} first={base}"))
}

#[cfg(test)]
mod tests {
    use super::super::record::Header;
    use super::*;

    fn batch_of(records: &[Record<'_>]) -> Batch {
        let mut builder = BatchBuilder::new();
        records.iter().for_each(|record| builder.push(record, 5).unwrap());
        builder.build().unwrap()
    }

    #[test]
    fn what_is_built_passes_the_checks_of_a_client_batch() {
        let headers = [Header { key: "h", value: None }];
        let batch =
            batch_of(&[Record::new(b"v"), Record::tombstone(b"k").timestamp(3), Record::default().headers(&headers)]);
        assert_eq!(Batch::from_bytes(batch.as_bytes()).unwrap(), batch);
        let header = batch.header();
        assert_eq!((header.count, header.base_timestamp, header.max_timestamp), (3, 5, 5));
        let timestamps = batch.records().map(|record| record.unwrap().timestamp);
        assert_eq!(timestamps.collect::<Vec<_>>(), [5, 3, 5]);
    }

    #[test]
    fn a_builder_used_again_builds_what_a_new_one_builds_in_the_same_memory() {
        let mut builder = BatchBuilder::new();
        let producer = Identity { producer_id: 1, epoch: 0 };
        let long = [3; 5000];
        builder.producer(producer, 17).transactional(true).push(&Record::new(&long), 9).unwrap();
        builder.finish();
        let (place, room) = (builder.buf.as_ptr(), builder.buf.len());
        for n in 1..10 {
            builder.reset();
            let records = vec![Record::new(b"v").key(b"k"); n];
            records.iter().for_each(|record| builder.push(record, 5).unwrap());
            assert_eq!(builder.finish(), batch_of(&records).framed());
        }
        assert_eq!((builder.buf.as_ptr(), builder.buf.len()), (place, room));
    }

    #[test]
    fn a_batch_grows_after_finish() {
        let mut builder = BatchBuilder::new();
        builder.push(&Record::new(b"v"), 5).unwrap();
        builder.finish();
        builder.push(&Record::new(b"w"), 5).unwrap();
        assert_eq!(builder.finish(), batch_of(&[Record::new(b"v"), Record::new(b"w")]).framed());
    }

    #[test]
    fn the_size_is_known_before_a_record_is_pushed() {
        let mut builder = BatchBuilder::new();
        assert_eq!((builder.size(), builder.count(), builder.max_timestamp()), (BATCH_HEADER, 0, -1));
        let headers = [Header { key: "name", value: Some(b"value") }; 70];
        for n in 0..200 {
            let value = vec![1; n * n];
            let record = Record::new(&value).headers(&headers[..n % 70]);
            let timestamp = (n as i64) << (n % 40);
            let size = builder.len_with(&record, timestamp);
            if size > BATCH_MAX {
                builder.reset();
                continue;
            }
            builder.push(&record, timestamp).unwrap();
            assert_eq!((builder.size(), builder.finish().len()), (size, FRAME_HEADER + size));
        }
    }

    #[test]
    fn a_record_that_does_not_fit_leaves_the_builder_as_it_was() {
        let mut builder = BatchBuilder::new();
        builder.push(&Record::new(b"v"), 5).unwrap();
        let before = builder.finish().to_vec();
        let value = vec![0; BATCH_MAX];
        // The second record's length takes 3 bytes, its other numbers 8.
        let fits = BATCH_MAX - builder.size() - 11;
        for len in [fits + 1, BATCH_MAX] {
            let record = Record::new(&value[..len]);
            assert!(builder.len_with(&record, 5) > BATCH_MAX);
            assert_eq!(builder.push(&record, 5).unwrap_err().kind(), ErrorKind::RecordTooLarge);
        }
        for timestamp in [-2, i64::MIN] {
            let record = Record::new(b"v").timestamp(timestamp);
            assert_eq!(builder.push(&record, 5).unwrap_err().kind(), ErrorKind::InvalidRecord);
        }
        assert_eq!(builder.finish(), before);
        builder.push(&Record::new(&value[..fits]), 5).unwrap();
        assert_eq!(builder.size(), BATCH_MAX);
        assert!(Batch::from_bytes(builder.build().unwrap().as_bytes()).is_ok());
    }

    #[test]
    fn timestamps_may_be_absent_and_as_far_apart_as_their_type_allows() {
        let mut builder = BatchBuilder::new();
        builder.push(&Record::new(b"v"), -1).unwrap();
        assert!(builder.push(&Record::new(b"v"), i64::MAX).is_err(), "one more than a delta can say");
        builder.push(&Record::new(b"v"), i64::MAX - 1).unwrap();
        assert_eq!(builder.max_timestamp(), i64::MAX - 1);
        let batch = builder.build().unwrap();
        let timestamps = batch.records().map(|record| record.unwrap().timestamp);
        assert_eq!(timestamps.collect::<Vec<_>>(), [-1, i64::MAX - 1]);
    }

    #[test]
    fn a_batch_that_no_append_takes_is_not_built() {
        let build = |edit: fn(&mut BatchBuilder)| {
            let mut builder = BatchBuilder::new();
            builder.push(&Record::new(b"v"), 5).unwrap();
            edit(&mut builder);
            builder.build().map_err(|error| error.kind())
        };
        assert!(build(|_| ()).is_ok());
        for edit in [
            BatchBuilder::reset,
            |b: &mut BatchBuilder| _ = b.transactional(true),
            |b: &mut BatchBuilder| _ = b.producer(Identity { producer_id: 0, epoch: 0 }, -1),
        ] {
            assert_eq!(build(edit), Err(ErrorKind::InvalidRecord));
        }
        assert_eq!(BatchBuilder::new().finish().len(), FRAME_HEADER + BATCH_HEADER);
    }
}
