//! A record batch of Kafka's format 2, byte for byte: its header, and the whole batch in memory.
//!
//! ```text
//!  0 base offset i64       8 batch length i32 (size - 12)   12 leader epoch i32     16 magic i8 = 2   17 crc u32
//! 21 attributes i16       23 last offset delta i32          27 base timestamp i64   35 max timestamp i64
//! 43 producer id i64      51 epoch i16                      53 base sequence i32    57 count i32      61 records
//! ```
//! All big-endian. The crc is crc32c of byte 21 to the end, so that offset and leader epoch can be set at the append.
//! Attributes: 0-2 compression, 3 append time, 4 transactional, 5 control, 6 base timestamp is a delete horizon.

use std::fmt;
use std::sync::OnceLock;

pub(crate) use super::batch_checks::too_large;
use super::batch_checks::{check_envelope, check_records};
pub use super::builder::BatchBuilder;
use super::bytes::{get_i16_be, get_i32_be, get_i64_be, get_u32_be};
use super::bytes::{put_i16_be, put_i32_be, put_i64_be, put_u32_be};
use super::compression::unpack_records;
use super::frame::FRAME_HEADER;
use super::record_iter::RecordIter;
use crate::error::Result;
use crate::types::Timestamp;

/// Bytes before the records.
pub const BATCH_HEADER: usize = 61;
/// Where the bytes begin that the crc covers.
pub(super) const CRC_FROM: usize = 21;
pub(super) const CRC_AT: usize = 17;
/// The batch length does not count itself and the base offset.
const LENGTH_FROM: usize = 12;

pub(super) const COMPRESSION: i16 = 0b111;
pub(super) const APPEND_TIME: i16 = 1 << 3;
pub(super) const TRANSACTIONAL: i16 = 1 << 4;
pub(super) const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// The fields before the records. Reading verifies nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record as the batch was first written.
    pub base_offset: i64,
    /// Bytes of the batch less 12.
    pub batch_len: i32,
    /// The partition's leader epoch at the append; -1 unknown. Not covered by the crc.
    pub leader_epoch: i32,
    /// 2.
    pub magic: i8,
    /// crc32c of the bytes from 21 on.
    pub crc: u32,
    /// See the module.
    pub attributes: i16,
    /// Offset of the last record less the base offset; survives compaction.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to, milliseconds.
    pub base_timestamp: i64,
    /// The greatest timestamp of the records, or the time of the append.
    pub max_timestamp: i64,
    /// -1 none.
    pub producer_id: i64,
    /// The producer's epoch; -1 none.
    pub epoch: i16,
    /// Sequence number of the first record; -1 none.
    pub base_sequence: i32,
    /// Records in the batch now: less than last offset delta + 1 if compaction took some.
    pub count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; `None` if they are fewer than 61.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<BatchHeader> {
        let b = bytes.first_chunk::<BATCH_HEADER>()?;
        Some(BatchHeader {
            base_offset: get_i64_be(b, 0),
            batch_len: get_i32_be(b, 8),
            leader_epoch: get_i32_be(b, 12),
            magic: b[16] as i8,
            crc: get_u32_be(b, CRC_AT),
            attributes: get_i16_be(b, 21),
            last_offset_delta: get_i32_be(b, 23),
            base_timestamp: get_i64_be(b, 27),
            max_timestamp: get_i64_be(b, 35),
            producer_id: get_i64_be(b, 43),
            epoch: get_i16_be(b, 51),
            base_sequence: get_i32_be(b, 53),
            count: get_i32_be(b, 57),
        })
    }

    /// Writes the header, its crc as it stands, over the first 61 bytes of `out`, which must be there.
    #[inline(always)]
    pub fn write(&self, out: &mut [u8]) {
        let b = &mut out[..BATCH_HEADER];
        put_i64_be(b, 0, self.base_offset);
        put_i32_be(b, 8, self.batch_len);
        put_i32_be(b, 12, self.leader_epoch);
        b[16] = self.magic as u8;
        put_u32_be(b, CRC_AT, self.crc);
        put_i16_be(b, 21, self.attributes);
        put_i32_be(b, 23, self.last_offset_delta);
        put_i64_be(b, 27, self.base_timestamp);
        put_i64_be(b, 35, self.max_timestamp);
        put_i64_be(b, 43, self.producer_id);
        put_i16_be(b, 51, self.epoch);
        put_i32_be(b, 53, self.base_sequence);
        put_i32_be(b, 57, self.count);
    }

    /// Bytes of the whole batch as the header declares them. At least 12, so that a walk over hostile bytes ends.
    #[inline]
    pub fn size(&self) -> usize {
        usize::try_from(self.batch_len).unwrap_or(0).saturating_add(LENGTH_FROM)
    }

    /// True if `head`, the 61 bytes this was read from, and `body`, the records, are a batch of the declared length
    /// whose crc is right. The records are not looked into.
    pub fn covers(&self, head: &[u8], body: &[u8]) -> bool {
        head.len() == BATCH_HEADER
            && self.magic == 2
            && self.batch_len >= 0
            && self.size() == BATCH_HEADER.saturating_add(body.len())
            && crc32c::crc32c_append(crc32c::crc32c(&head[CRC_FROM..]), body) == self.crc
    }

    /// Gives every record of the batch the time of its append. `body` is what follows the header: the crc is computed
    /// again.
    pub fn stamp(&mut self, body: &[u8], append_time: Timestamp) {
        (self.attributes, self.max_timestamp) = (self.attributes | APPEND_TIME, append_time);
        let mut head = [0; BATCH_HEADER];
        self.write(&mut head);
        self.crc = crc32c::crc32c_append(crc32c::crc32c(&head[CRC_FROM..]), body);
    }

    /// Compression codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd, others unknown.
    #[inline]
    pub fn compression(&self) -> u8 {
        (self.attributes & COMPRESSION) as u8
    }
    /// True if every record has the time of the append, `max_timestamp`.
    #[inline]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & APPEND_TIME != 0
    }
    /// True if the batch belongs to a transaction.
    #[inline]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }
    /// True if the records are not data but markers.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }
    /// True if the base timestamp says when tombstones may go. The records' deltas are relative to it all the same.
    #[inline]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }
    /// Sequence number of the last record: after 2^31 - 1 comes 0. -1 without sequence numbers.
    #[inline]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
    /// Offset of the last record as the batch was first written; at most 2^63 - 1.
    #[inline]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }
}

/// A whole batch, checked, ready to append.
///
/// ```
/// use oncelog::{Batch, Record};
/// let mut builder = Batch::builder();
/// builder.push(&Record::new(b"first"), 1_700_000_000_000)?;
/// builder.push(&Record::new(b"second").key(b"k"), 1_700_000_000_001)?;
/// let batch = builder.build()?;
/// assert_eq!(batch, Batch::from_bytes(batch.as_bytes())?);
/// let values = batch.records().map(|record| Ok(record?.value)).collect::<oncelog::Result<Vec<_>>>()?;
/// assert_eq!(values, [Some(&b"first"[..]), Some(b"second")]);
/// # Ok::<(), oncelog::Error>(())
/// ```
#[derive(Clone)]
pub struct Batch {
    /// Room for a frame's header, then the batch: it becomes a frame without a copy.
    buf: Vec<u8>,
    header: BatchHeader,
    /// Its sender had set the append time bit, which is not set any more.
    claims_append_time: bool,
    /// The records of a compressed batch, once somebody asked for them.
    unpacked: OnceLock<Vec<u8>>,
}

impl PartialEq for Batch {
    /// The same bytes.
    fn eq(&self, other: &Self) -> bool {
        self.buf == other.buf
    }
}

impl Eq for Batch {}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Batch {
    /// A builder; see `BatchBuilder`.
    pub fn builder() -> BatchBuilder {
        BatchBuilder::new()
    }

    /// Takes one batch as a Kafka client encodes it, and checks everything that does not depend on the log. A wrong
    /// maximal timestamp is set right, and the append time bit cleared, as Kafka does; a topic whose timestamps are
    /// those of the append refuses a batch that came with that bit.
    ///
    /// # Errors
    /// `RecordTooLarge` past `limits::BATCH_MAX`, or if it unpacks to more than `limits::UNPACKED_MAX`. `Corrupt` if
    /// the bytes were damaged on the way and may be sent again: cut, a wrong crc. `InvalidRecord` if their sender made
    /// them so: an unknown codec, records that do not unpack or cannot be read or whose offsets do not count 0, 1,
    /// 2..., bytes behind the batch, an old format, a base offset, a count that does not fit, a control bit, a producer
    /// id without a sequence. `UnsupportedVersion` if this build lacks the codec.
    pub fn from_bytes(bytes: &[u8]) -> Result<Batch> {
        let sent = check_envelope(bytes)?;
        sent.check_append()?;
        let header = BatchHeader { attributes: sent.attributes & !APPEND_TIME, ..sent };
        let max_timestamp = check_records(&header, &bytes[BATCH_HEADER..])?;
        let mut buf = Vec::with_capacity(FRAME_HEADER + bytes.len());
        buf.resize(FRAME_HEADER, 0);
        buf.extend_from_slice(bytes);
        let mut batch = Batch::from_framed(buf, header);
        batch.claims_append_time = sent.is_log_append_time();
        if max_timestamp != header.max_timestamp || batch.claims_append_time {
            batch.header.max_timestamp = max_timestamp;
            batch.header.crc = seal(&BatchHeader { max_timestamp, ..header }, &mut batch.buf[FRAME_HEADER..]);
        }
        Ok(batch)
    }

    /// The batch's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf[FRAME_HEADER..]
    }
    /// True if its sender had set the append time bit.
    pub(crate) fn claims_append_time(&self) -> bool {
        self.claims_append_time
    }
    /// The batch's bytes behind 40 free ones.
    pub fn framed(&self) -> &[u8] {
        &self.buf
    }
    /// The fields before the records.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }
    /// The records, with offsets from 0. Those of a compressed batch are unpacked once, and kept with the batch.
    pub fn records(&self) -> RecordIter<'_> {
        let body = &self.buf[FRAME_HEADER + BATCH_HEADER..];
        if self.header.compression() == 0 {
            return RecordIter::new(&self.header, body);
        }
        // It was unpacked to be checked, or packed here.
        let unpacked = self.unpacked.get_or_init(|| unpack_records(&self.header, body).unwrap_or_default());
        RecordIter::unpacked(&self.header, unpacked)
    }

    /// An empty builder that goes on with this batch's buffer, so that a loop of batches allocates once.
    #[inline]
    pub fn into_builder(self) -> BatchBuilder {
        BatchBuilder::with_buffer(self.buf)
    }

    /// A batch from a builder's buffer: the free bytes and a batch that `check_append` passes.
    #[inline]
    pub(super) fn from_framed(buf: Vec<u8>, header: BatchHeader) -> Batch {
        Batch { buf, header, claims_append_time: false, unpacked: OnceLock::new() }
    }
}

/// Writes `header` over the start of `batch`, sums the whole, and returns the crc it wrote.
#[inline(always)]
pub(super) fn seal(header: &BatchHeader, batch: &mut [u8]) -> u32 {
    header.write(batch);
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    put_u32_be(batch, CRC_AT, crc);
    crc
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::*;

    /// A batch of one record.
    fn one() -> Vec<u8> {
        let mut builder = Batch::builder();
        builder.push(&Record::new(b"v").key(b"k"), 1000).unwrap();
        builder.build().unwrap().as_bytes().to_vec()
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let header = BatchHeader {
            base_offset: 1 << 60,
            batch_len: 49,
            leader_epoch: -1,
            magic: 2,
            crc: 0xdead_beef,
            attributes: 0x7f,
            last_offset_delta: 12,
            base_timestamp: -1,
            max_timestamp: i64::MAX,
            producer_id: 9,
            epoch: 32_767,
            base_sequence: i32::MAX,
            count: 13,
        };
        let mut bytes = [0; BATCH_HEADER];
        header.write(&mut bytes);
        assert_eq!(BatchHeader::read(&bytes), Some(header));
        assert_eq!(BatchHeader::read(&bytes[..60]), None);
        assert_eq!((header.size(), header.last_offset(), header.last_sequence()), (61, (1 << 60) + 12, 11));
        assert_eq!(BatchHeader { batch_len: -5, ..header }.size(), 12);
        assert_eq!(BatchHeader { base_sequence: -1, ..header }.last_sequence(), -1);
    }

    #[test]
    fn a_header_covers_its_own_bytes_and_no_others() {
        let bytes = one();
        let header = BatchHeader::read(&bytes).unwrap();
        let (head, body) = bytes.split_at(BATCH_HEADER);
        assert!(header.covers(head, body));
        assert!(!header.covers(head, &body[1..]) && !header.covers(&head[1..], body) && !header.covers(&bytes, &[]));
        assert!(!BatchHeader { magic: 1, ..header }.covers(head, body));
        assert!(!BatchHeader { batch_len: i32::MIN, ..header }.covers(head, body));
    }
}
