//! The frame: what the journal is made of. Byte tables: FORMAT.md section 3.
//!
//! ```text
//!  0  checksum u32   4 kind u8   5 flags u8   6 key id u16   8 head length u32   12 body length u32
//! 16  lsn u64       24 durable lsn u64       32 instance u32      36 body crc u32      40 head, body, zeros to 8
//! ```
//! checksum = crc32c(salt, segment number, byte position, bytes 4.. to the end of the head). The head holds what
//! covers the body, so no byte lies outside.

use super::batch::{BATCH_HEADER, BatchHeader};
use super::bytes::{Reader, align8, get_u16, get_u32, get_u64, put_u32, put_u64};
use super::control::*;
use super::decision::DecisionHead;
use super::transaction::TransactionHead;
use crate::limits::COUNT_MAX;

/// Bytes before the head.
pub const FRAME_HEADER: usize = 40;
/// A reader that does not know the kind may step over the frame.
pub const FLAG_SKIPPABLE: u8 = 1;

/// What a frame is. Numbers are fixed for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    Records = 1,
    Transaction = 2,
    Mark = 3,
    Link = 4,
    Opened = 5,
    Recovered = 6,
    Replaced = 7,
    Retired = 8,
    Checkpoint = 9,
    TopicCreated = 10,
    TopicDeleted = 11,
    PartitionsAdded = 12,
    ProducerOpened = 13,
    ProducerDeleted = 14,
    ProducerExpired = 15,
    Offsets = 16,
    Decision = 19,
    Begun = 23,
    PendingOffsets = 24,
    // 17 pad, 18 prepared, 20 group, 21 part, 22 start moved: reserved, see FORMAT.md
}

impl Kind {
    /// The kind of a number, if this version knows it.
    pub fn of(number: u8) -> Option<Kind> {
        use Kind::*;
        const KNOWN: [Kind; 16] = [
            Records,
            Transaction,
            Mark,
            Link,
            Opened,
            Recovered,
            Replaced,
            Retired,
            Checkpoint,
            TopicCreated,
            TopicDeleted,
            PartitionsAdded,
            ProducerOpened,
            ProducerDeleted,
            ProducerExpired,
            Offsets,
        ];
        match number {
            19 => Some(Decision),
            23 => Some(Begun),
            24 => Some(PendingOffsets),
            _ => number.checked_sub(1).and_then(|n| KNOWN.get(n as usize)).copied(),
        }
    }
}

/// Bytes that the checksum of a records frame covers.
const RECORDS_COVERED: usize = FRAME_HEADER - 4 + BATCH_HEADER;

/// A position and what is covered, aligned as the sum reads it.
#[repr(align(8))]
struct Joined([u8; 8 + RECORDS_COVERED]);

/// Where a frame lies: its checksum depends on it, so no copy of it validates elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// crc32c over the segment's salt and number.
    pub seed: u32,
}

impl Seal {
    /// The seal of a segment.
    pub fn new(salt: u64, segment: u64) -> Self {
        let seed = crc32c::crc32c(&salt.to_le_bytes());
        Self { seed: crc32c::crc32c_append(seed, &segment.to_le_bytes()) }
    }

    /// The checksum of the frame that starts with `covered` (bytes 4.. up to the end of its head) at `position`.
    #[inline]
    pub fn checksum(self, position: u64, covered: &[u8]) -> u32 {
        if let Ok(covered) = <&[u8; RECORDS_COVERED]>::try_from(covered) {
            // Most frames by far: one sum over a copy takes half as long as two short ones.
            let mut joined = Joined([0; 8 + RECORDS_COVERED]);
            joined.0[..8].copy_from_slice(&position.to_le_bytes());
            joined.0[8..].copy_from_slice(covered);
            return crc32c::crc32c_append(self.seed, &joined.0);
        }
        crc32c::crc32c_append(crc32c::crc32c_append(self.seed, &position.to_le_bytes()), covered)
    }
}

/// The 40 bytes before the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct FrameHeader {
    pub checksum: u32,
    pub kind: u8,
    pub flags: u8,
    pub key_id: u16,
    pub head_len: u32,
    pub body_len: u32,
    pub lsn: u64,
    pub durable_lsn: u64,
    pub instance: u32,
    pub body_crc: u32,
}

impl FrameHeader {
    /// Reads a header from at least 40 bytes. Nothing is verified.
    #[inline]
    pub fn read(bytes: &[u8]) -> FrameHeader {
        FrameHeader {
            checksum: get_u32(bytes, 0),
            kind: bytes[4],
            flags: bytes[5],
            key_id: get_u16(bytes, 6),
            head_len: get_u32(bytes, 8),
            body_len: get_u32(bytes, 12),
            lsn: get_u64(bytes, 16),
            durable_lsn: get_u64(bytes, 24),
            instance: get_u32(bytes, 32),
            body_crc: get_u32(bytes, 36),
        }
    }

    /// Length of the whole frame, padding included; 64-bit, so that hostile lengths cannot wrap.
    #[inline]
    pub fn len(&self) -> u64 {
        (FRAME_HEADER as u64 + u64::from(self.head_len) + u64::from(self.body_len)).next_multiple_of(8)
    }

    /// A frame is never empty; here for the habit's sake.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// The header or head does not validate: nothing at all is known.
    Head,
    /// The head is right, the body is not: the frame's place and length are known.
    Body,
    /// A valid frame of a kind that this version does not know and may not skip.
    Unknown(u8),
}

/// A frame read from bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// Its head.
    pub head: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame at the start of `bytes`, which lies at `position` of the segment; verifies the checksum over
    /// header and head, not the body.
    #[inline]
    pub fn read(bytes: &'a [u8], seal: Seal, position: u64) -> Result<Frame<'a>, Bad> {
        if bytes.len() < FRAME_HEADER {
            return Err(Bad::Head);
        }
        let header = FrameHeader::read(bytes);
        let head_end = FRAME_HEADER as u64 + u64::from(header.head_len);
        let numbered = header.lsn <= COUNT_MAX && header.durable_lsn <= COUNT_MAX;
        if header.kind == 0 || header.len() > bytes.len() as u64 || !numbered {
            return Err(Bad::Head);
        }
        let head_end = head_end as usize;
        if seal.checksum(position, &bytes[4..head_end]) != header.checksum {
            return Err(Bad::Head);
        }
        let body_end = head_end + header.body_len as usize;
        Ok(Frame { header, head: &bytes[FRAME_HEADER..head_end], body: &bytes[head_end..body_end] })
    }

    /// Verifies the body by what the head says of it, and the zeros behind it.
    pub fn verify_body(&self, padding: &[u8]) -> Result<(), Bad> {
        let good = padding.iter().all(|b| *b == 0)
            && match Kind::of(self.header.kind) {
                Some(Kind::Records) => BatchHeader::read(self.head).is_some_and(|h| h.covers(self.head, self.body)),
                Some(Kind::Transaction) => TransactionHead::read(self.head).is_some_and(|t| t.covers(self.body)),
                _ => crc32c::crc32c(self.body) == self.header.body_crc,
            };
        if good { Ok(()) } else { Err(Bad::Body) }
    }

    /// The frame's meaning. Call after `verify_body`, unless the body's rot must not matter (records).
    pub fn payload(&self) -> Result<Payload<'a>, Bad> {
        let Some(kind) = Kind::of(self.header.kind) else {
            let skippable = self.header.flags & FLAG_SKIPPABLE != 0;
            return if skippable { Ok(Payload::Skipped) } else { Err(Bad::Unknown(self.header.kind)) };
        };
        let mut head = Reader::new(self.head);
        let mut body = Reader::new(self.body);
        let payload = match kind {
            Kind::Records => {
                BatchHeader::read(self.head).map(|batch| Payload::Records { instance: self.header.instance, batch })
            }
            Kind::Transaction => TransactionHead::read(self.head)
                .and_then(|head| Some(Payload::Transaction { offsets: head.offsets(self.body)?, head })),
            Kind::Mark => Some(Payload::Mark),
            Kind::Link => Link::read(&mut head).map(Payload::Link),
            Kind::Opened => Opened::read(&mut head).map(Payload::Opened),
            Kind::Recovered => Recovered::read(&mut head).map(Payload::Recovered),
            Kind::Replaced => Replaced::read(&mut head).map(Payload::Replaced),
            Kind::Retired => Retired::read(&mut head).map(Payload::Retired),
            Kind::Checkpoint => CheckpointHead::read(&mut head).map(Payload::Checkpoint),
            Kind::TopicCreated => TopicCreated::read(&mut head, &mut body).map(Payload::TopicCreated),
            Kind::TopicDeleted => TopicDeleted::read(&mut head).map(Payload::TopicDeleted),
            Kind::PartitionsAdded => PartitionsAdded::read(&mut head).map(Payload::PartitionsAdded),
            Kind::ProducerOpened => ProducerOpened::read(&mut head, &mut body).map(Payload::ProducerOpened),
            Kind::ProducerDeleted => ProducerDeleted::read(&mut head).map(Payload::ProducerDeleted),
            Kind::ProducerExpired => ProducerDeleted::read(&mut head).map(Payload::ProducerExpired),
            Kind::Offsets => OffsetsBlock::read(self.body).map(Payload::Offsets),
            Kind::Decision => DecisionHead::read(self.head)
                .and_then(|head| Some(Payload::Decision { offsets: OffsetsBlock::read(self.body)?, head })),
            Kind::Begun => Begun::read(&mut head).map(Payload::Begun),
            Kind::PendingOffsets => PendingHead::read(&mut head)
                .and_then(|head| Some(Payload::PendingOffsets { head, offsets: OffsetsBlock::read(self.body)? })),
        };
        payload.ok_or(Bad::Body)
    }
}

/// What a frame means: the argument of the fold, live and in recovery.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Payload<'a> {
    Records { instance: u32, batch: BatchHeader },
    Transaction { head: TransactionHead<'a>, offsets: OffsetsBlock<'a> },
    Mark,
    Link(Link),
    Opened(Opened),
    Recovered(Recovered),
    Replaced(Replaced),
    Retired(Retired),
    Checkpoint(CheckpointHead),
    TopicCreated(TopicCreated<'a>),
    TopicDeleted(TopicDeleted),
    PartitionsAdded(PartitionsAdded),
    ProducerOpened(ProducerOpened<'a>),
    ProducerDeleted(ProducerDeleted),
    ProducerExpired(ProducerDeleted),
    Offsets(OffsetsBlock<'a>),
    Decision { head: DecisionHead<'a>, offsets: OffsetsBlock<'a> },
    Begun(Begun),
    PendingOffsets { head: PendingHead, offsets: OffsetsBlock<'a> },
    Skipped,
}

/// Appends a frame to `out`: header with kind, instance, lengths and body crc, head, body, padding. LSN, durable LSN
/// and checksum are still zero; `stamp` sets them when the frame gets its place.
pub fn encode(out: &mut Vec<u8>, kind: Kind, instance: u32, head: &[u8], body: &[u8]) {
    let start = out.len();
    let flags = if kind == Kind::Mark { FLAG_SKIPPABLE } else { 0 };
    out.resize(start + FRAME_HEADER, 0);
    let body_crc = match kind {
        Kind::Records | Kind::Transaction => 0,
        _ => crc32c::crc32c(body),
    };
    write_header(&mut out[start..], kind, flags, head.len(), body.len(), instance, body_crc);
    out.extend_from_slice(head);
    out.extend_from_slice(body);
    out.resize(start + align8(out.len() - start), 0);
}

/// Writes the fixed fields of a header in place.
#[inline]
pub fn write_header(
    out: &mut [u8],
    kind: Kind,
    flags: u8,
    head_len: usize,
    body_len: usize,
    instance: u32,
    body_crc: u32,
) {
    out[..FRAME_HEADER].fill(0);
    out[4] = kind as u8;
    out[5] = flags;
    put_u32(out, 8, head_len as u32);
    put_u32(out, 12, body_len as u32);
    put_u32(out, 32, instance);
    put_u32(out, 36, body_crc);
}

/// Gives a whole frame its place: LSN, durable LSN, checksum. Offsets inside the head must be patched before.
#[inline]
pub fn stamp(frame: &mut [u8], seal: Seal, position: u64, lsn: u64, durable_lsn: u64) {
    put_u64(frame, 16, lsn);
    put_u64(frame, 24, durable_lsn);
    let head_end = FRAME_HEADER + get_u32(frame, 8) as usize;
    let checksum = seal.checksum(position, &frame[4..head_end]);
    put_u32(frame, 0, checksum);
}

/// Bytes of a records frame that holds a batch of `batch_len` bytes.
pub fn records_len(batch_len: usize) -> usize {
    debug_assert!(batch_len >= BATCH_HEADER);
    align8(FRAME_HEADER + batch_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal { seed: 0x1234_5678 };

    fn mark_with_body(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, Kind::Mark, 7, &[1, 2, 3], body);
        stamp(&mut out, SEAL, 8192, 42, 40);
        out
    }

    /// The checks of a reader, one behind the other.
    fn whole(bytes: &[u8], seal: Seal, position: u64) -> Result<Frame<'_>, Bad> {
        let frame = Frame::read(bytes, seal, position)?;
        let used = FRAME_HEADER + frame.head.len() + frame.body.len();
        frame.verify_body(&bytes[used..frame.header.len() as usize])?;
        Ok(frame)
    }

    #[test]
    fn a_frame_comes_back_as_it_was_written() {
        let bytes = mark_with_body(b"body");
        let frame = whole(&bytes, SEAL, 8192).expect("valid");
        assert_eq!((frame.head, frame.body), (&[1, 2, 3][..], &b"body"[..]));
        let header = frame.header;
        assert_eq!((header.kind, header.flags, header.key_id), (Kind::Mark as u8, FLAG_SKIPPABLE, 0));
        assert_eq!((header.lsn, header.durable_lsn, header.instance), (42, 40, 7));
        assert_eq!((bytes.len() as u64, bytes.len() % 8), (header.len(), 0));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_seen() {
        let bytes = mark_with_body(b"some body");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(whole(&bad, SEAL, 8192).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused() {
        let bytes = mark_with_body(b"some body");
        for end in 0..bytes.len() {
            assert_eq!(Frame::read(&bytes[..end], SEAL, 8192).err(), Some(Bad::Head), "cut at {end}");
        }
    }

    #[test]
    fn a_frame_validates_in_its_own_place_only() {
        let bytes = mark_with_body(b"");
        let home = Seal::new(9, 1);
        let mut there = bytes.clone();
        stamp(&mut there, home, 8192, 42, 40);
        assert!(whole(&there, home, 8192).is_ok());
        for (seal, position) in [(home, 8200), (Seal::new(9, 2), 8192), (Seal::new(8, 1), 8192)] {
            assert_eq!(whole(&there, seal, position).err(), Some(Bad::Head));
        }
        assert_eq!(whole(&[0; 64], Seal::new(0, 0), 0).err(), Some(Bad::Head), "zeros are no frame");
    }

    #[test]
    fn hostile_lengths_neither_wrap_nor_read_past_the_end() {
        for (head, body) in [(u32::MAX, u32::MAX), (u32::MAX, 0), (0, u32::MAX), (100, 0)] {
            let mut bytes = mark_with_body(b"");
            put_u32(&mut bytes, 8, head);
            put_u32(&mut bytes, 12, body);
            assert!(FrameHeader::read(&bytes).len() >= u64::from(head) + u64::from(body));
            assert_eq!(Frame::read(&bytes, SEAL, 8192).err(), Some(Bad::Head));
        }
    }

    #[test]
    fn a_kind_that_is_not_known_is_skipped_only_if_it_says_so() {
        let mut bytes = mark_with_body(b"news");
        for (kind, flags, expected) in [(17, 0, Some(Bad::Unknown(17))), (63, FLAG_SKIPPABLE, None)] {
            (bytes[4], bytes[5]) = (kind, flags);
            stamp(&mut bytes, SEAL, 8192, 42, 40);
            let frame = whole(&bytes, SEAL, 8192).expect("its checksums are right");
            assert_eq!(frame.payload().err(), expected);
        }
    }

    #[test]
    fn numbers_of_kinds_are_fixed_for_ever() {
        assert_eq!(Kind::of(0), None);
        for number in 1..=16 {
            assert_eq!(Kind::of(number).map(|kind| kind as u8), Some(number));
        }
        let later: Vec<u8> = (17..=255).filter(|number| Kind::of(*number).is_some()).collect();
        assert_eq!(later, [19, 23, 24], "the others are reserved or free");
        assert!(later.iter().all(|number| Kind::of(*number).map(|kind| kind as u8) == Some(*number)));
    }

    #[test]
    fn a_records_frame_is_covered_by_its_batch() {
        let mut builder = crate::format::batch::BatchBuilder::new();
        builder.push(&crate::format::record::Record::new(b"value"), 1).expect("fits");
        let mut bytes = builder.finish().to_vec();
        let body = bytes.len() - FRAME_HEADER - BATCH_HEADER;
        bytes.resize(align8(bytes.len()), 0);
        assert_eq!(bytes.len(), records_len(FRAME_HEADER.max(BATCH_HEADER + body)));
        write_header(&mut bytes, Kind::Records, 0, BATCH_HEADER, body, 3, 0);
        stamp(&mut bytes, SEAL, 8192, 1, 0);
        let frame = whole(&bytes, SEAL, 8192).expect("valid");
        assert!(matches!(frame.payload(), Ok(Payload::Records { instance: 3, batch }) if batch.count == 1));
        let last = FRAME_HEADER + BATCH_HEADER + body - 1;
        for at in FRAME_HEADER + BATCH_HEADER..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(whole(&bad, SEAL, 8192).err(), Some(Bad::Body), "byte {at}, the batch ends at {last}");
        }
    }
}
