//! The transaction frame: everything a transaction, or a named producer's gathered sends, leaves in the log, whole
//! or absent by construction. Byte table: FORMAT.md section 4.
//!
//! ```text
//! head:  0 producer id i64   8 epoch i16   10 decision u8   11 flags u8   12 parts u32   16 number u64
//!       24 position u64     32 offsets block length u32    36 offsets block crc u32
//!       40 + 32 n  part: instance u32, length u32, base offset u64, batch crc u32, leader epoch i32,
//!                  last offset delta u32, zero u32
//! body: the batches in the order of the parts, then the offsets block
//! ```

use super::batch::{BATCH_HEADER, BatchHeader};
use super::bytes::{get_u16, get_u32, get_u64, put_u16, put_u32, put_u64};
use super::control::OffsetsBlock;
use crate::limits::COUNT_MAX;

/// Bytes of the head before the part table.
pub const TRANSACTION_HEAD: usize = 40;
/// Bytes of one part's entry.
pub const PART: usize = 32;
const HAS_POSITION: u8 = 1;

/// How a transaction ended. A named producer's gathered sends carry `None`: they are no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Decision {
    None = 0,
    Commit = 1,
}

/// One batch of a transaction frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Part {
    pub instance: u32,
    /// Bytes of the batch, its header included.
    pub len: u32,
    pub base_offset: u64,
    pub batch_crc: u32,
    pub leader_epoch: i32,
    /// Offset of the batch's last record less its base offset, so that the fold needs no body.
    pub last_offset_delta: u32,
}

impl Part {
    fn read(entry: &[u8]) -> Part {
        Part {
            instance: get_u32(entry, 0),
            len: get_u32(entry, 4),
            base_offset: get_u64(entry, 8),
            batch_crc: get_u32(entry, 16),
            leader_epoch: get_u32(entry, 20) as i32,
            last_offset_delta: get_u32(entry, 24),
        }
    }

    /// Writes the entry in place.
    pub fn write(&self, entry: &mut [u8]) {
        put_u32(entry, 0, self.instance);
        put_u32(entry, 4, self.len);
        put_u64(entry, 8, self.base_offset);
        put_u32(entry, 16, self.batch_crc);
        put_u32(entry, 20, self.leader_epoch as u32);
        put_u32(entry, 24, self.last_offset_delta);
        put_u32(entry, 28, 0);
    }
}

/// The head of a transaction frame.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct TransactionHead<'a> {
    pub producer_id: i64,
    pub epoch: i16,
    pub decision: Decision,
    /// 0: no transaction, a named producer's gathered sends.
    pub number: u64,
    pub position: Option<u64>,
    pub offsets_len: u32,
    pub offsets_crc: u32,
    table: &'a [u8],
}

impl<'a> TransactionHead<'a> {
    /// Reads a head; `None` if its lengths do not agree.
    pub fn read(head: &'a [u8]) -> Option<TransactionHead<'a>> {
        if head.len() < TRANSACTION_HEAD {
            return None;
        }
        let table = &head[TRANSACTION_HEAD..];
        if table.len() as u64 != u64::from(get_u32(head, 12)) * PART as u64 || head[11] & !HAS_POSITION != 0 {
            return None;
        }
        if get_u64(head, 16) > COUNT_MAX {
            return None;
        }
        let decision = match head[10] {
            0 => Decision::None,
            1 => Decision::Commit,
            _ => return None,
        };
        Some(TransactionHead {
            producer_id: get_u64(head, 0) as i64,
            epoch: get_u16(head, 8) as i16,
            decision,
            number: get_u64(head, 16),
            position: (head[11] & HAS_POSITION != 0).then(|| get_u64(head, 24)),
            offsets_len: get_u32(head, 32),
            offsets_crc: get_u32(head, 36),
            table,
        })
    }

    /// Appends a head with room for `parts` entries, which `Part::write` fills.
    #[allow(clippy::too_many_arguments)]
    pub fn encode(
        out: &mut Vec<u8>,
        producer: (i64, i16),
        decision: Decision,
        number: u64,
        position: Option<u64>,
        offsets: &[u8],
        parts: usize,
    ) {
        let start = out.len();
        out.resize(start + TRANSACTION_HEAD + parts * PART, 0);
        let head = &mut out[start..];
        put_u64(head, 0, producer.0 as u64);
        put_u16(head, 8, producer.1 as u16);
        head[10] = decision as u8;
        head[11] = if position.is_some() { HAS_POSITION } else { 0 };
        put_u32(head, 12, parts as u32);
        put_u64(head, 16, number);
        put_u64(head, 24, position.unwrap_or(0));
        put_u32(head, 32, offsets.len() as u32);
        put_u32(head, 36, crc32c::crc32c(offsets));
    }

    /// Number of parts.
    pub fn parts_len(&self) -> usize {
        self.table.len() / PART
    }

    /// The parts, in the body's order.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = Part> + 'a {
        self.table.chunks_exact(PART).map(Part::read)
    }

    /// Parts with their batches' headers and byte ranges in the body; `None` where one does not fit.
    pub fn batches(&self, body: &'a [u8]) -> impl Iterator<Item = Option<(Part, BatchHeader, &'a [u8])>> + 'a {
        let mut at = 0usize;
        self.parts().map(move |part| {
            let bytes = body.get(at..at.checked_add(part.len as usize)?)?;
            at += part.len as usize;
            Some((part, BatchHeader::read(bytes)?, bytes))
        })
    }

    /// True if the body is exactly what this head covers: each batch by its crc and its entry, the offsets by theirs.
    pub fn covers(&self, body: &[u8]) -> bool {
        let mut used = 0u64;
        for item in self.batches(body) {
            let Some((part, header, bytes)) = item else { return false };
            let same = header.crc == part.batch_crc
                && header.base_offset as u64 == part.base_offset
                && header.leader_epoch == part.leader_epoch
                && header.last_offset_delta == part.last_offset_delta as i32
                && header.covers(&bytes[..BATCH_HEADER], &bytes[BATCH_HEADER..]);
            if !same {
                return false;
            }
            used += u64::from(part.len);
        }
        used + u64::from(self.offsets_len) == body.len() as u64
            && crc32c::crc32c(&body[used as usize..]) == self.offsets_crc
    }

    /// The offsets block at the end of the body.
    pub fn offsets(&self, body: &'a [u8]) -> Option<OffsetsBlock<'a>> {
        if self.offsets_len == 0 {
            return Some(OffsetsBlock::EMPTY);
        }
        let start = body.len().checked_sub(self.offsets_len as usize)?;
        let block = &body[start..];
        if crc32c::crc32c(block) != self.offsets_crc {
            return None;
        }
        OffsetsBlock::read(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::batch::BatchBuilder;
    use crate::format::bytes::{put_i32_be, put_i64_be};
    use crate::format::frame::FRAME_HEADER;
    use crate::format::record::Record;

    fn batch(value: &[u8], base_offset: u64) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.push(&Record::new(value), 5).expect("fits");
        builder.push(&Record::new(b"second"), 6).expect("fits");
        let mut bytes = builder.finish()[FRAME_HEADER..].to_vec();
        put_i64_be(&mut bytes, 0, base_offset as i64);
        put_i32_be(&mut bytes, 12, 0);
        bytes
    }

    /// A head and a body of two parts and a block of offsets.
    fn sample() -> (Vec<u8>, Vec<u8>) {
        let mut offsets = Vec::new();
        let entry = crate::format::control::OffsetEntry {
            group: "g",
            topic: [5; 16],
            partition: 1,
            offset: 99,
            leader_epoch: -1,
            metadata: "m",
        };
        OffsetsBlock::write(&mut offsets, 77, &[("g", vec![entry])]);
        let (mut head, mut body) = (Vec::new(), Vec::new());
        TransactionHead::encode(&mut head, (8, 2), Decision::Commit, 1234, Some(50), &offsets, 2);
        for (i, (instance, base_offset, value)) in [(3, 10, &b"one"[..]), (4, 20, b"two")].iter().enumerate() {
            let bytes = batch(value, *base_offset);
            let part = Part {
                instance: *instance,
                len: bytes.len() as u32,
                base_offset: *base_offset,
                batch_crc: BatchHeader::read(&bytes).expect("whole").crc,
                leader_epoch: 0,
                last_offset_delta: 1,
            };
            let at = TRANSACTION_HEAD + i * PART;
            part.write(&mut head[at..at + PART]);
            body.extend_from_slice(&bytes);
        }
        body.extend_from_slice(&offsets);
        (head, body)
    }

    #[test]
    fn a_transaction_comes_back_as_it_was_written() {
        let (head, body) = sample();
        let read = TransactionHead::read(&head).expect("valid");
        assert_eq!((read.producer_id, read.epoch, read.number), (8, 2, 1234));
        assert_eq!((read.decision, read.position), (Decision::Commit, Some(50)));
        assert!(read.covers(&body));
        let parts: Vec<_> = read.parts().map(|p| (p.instance, p.base_offset, p.last_offset_delta)).collect();
        assert_eq!(parts, [(3, 10, 1), (4, 20, 1)]);
        assert_eq!(read.batches(&body).flatten().map(|(_, header, _)| header.count).collect::<Vec<_>>(), [2, 2]);
        let mut committed = Vec::new();
        read.offsets(&body).expect("valid").for_each(|e| committed.push((e.group, e.partition, e.offset, e.metadata)));
        assert_eq!(committed, [("g", 1, 99, "m")]);
    }

    #[test]
    fn every_flipped_bit_of_the_body_is_seen() {
        let (head, body) = sample();
        let read = TransactionHead::read(&head).expect("valid");
        for bit in 0..body.len() * 8 {
            let mut bad = body.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!read.covers(&bad), "bit {bit}");
        }
        for end in 0..body.len() {
            assert!(!read.covers(&body[..end]), "cut at {end}");
        }
    }

    #[test]
    fn an_entry_that_contradicts_its_batch_is_seen() {
        let (head, body) = sample();
        // Offset, crc, leader epoch, last offset delta and length of each part; the instance is the head's alone.
        for part in [0, 1] {
            for field in [4, 8, 16, 20, 24] {
                let mut bad = head.clone();
                bad[TRANSACTION_HEAD + part * PART + field] ^= 1;
                assert!(!TransactionHead::read(&bad).is_some_and(|t| t.covers(&body)), "part {part} field {field}");
            }
        }
    }

    #[test]
    fn a_head_whose_lengths_or_flags_do_not_fit_is_refused() {
        let (head, _) = sample();
        for end in 0..head.len() {
            assert!(TransactionHead::read(&head[..end]).is_none(), "cut at {end}");
        }
        for (at, value) in [(10, 2), (11, 3), (12, 3), (15, 0xff)] {
            let mut bad = head.clone();
            bad[at] = value;
            assert!(TransactionHead::read(&bad).is_none(), "byte {at}");
        }
    }

    #[test]
    fn gathered_sends_are_no_transaction_and_may_hold_nothing_but_a_position() {
        let mut head = Vec::new();
        TransactionHead::encode(&mut head, (1, 0), Decision::None, 0, Some(0), &[], 0);
        let read = TransactionHead::read(&head).expect("valid");
        assert_eq!((read.decision, read.number, read.position), (Decision::None, 0, Some(0)));
        assert!(read.covers(&[]) && read.offsets(&[]).is_some_and(|o| o.is_empty()));
        assert!(!read.covers(&[0]), "nothing may lie behind the parts");
    }
}
