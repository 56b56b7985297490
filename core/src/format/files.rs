//! The fixed bytes outside frames: `oncelog.id`, the segment header, `head`. Byte tables: FORMAT.md sections 1, 2, 6.

use super::bytes::{Reader, get_u32, put_u32};
use super::control::Place;
use crate::limits::{COUNT_MAX, SEGMENT_MAX};

/// Version of the format; a reader refuses a newer one untouched.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes of `oncelog.id`, of a segment header and of a slot of `head`.
pub const RECORD: usize = 128;
/// Where the second copy of the segment header, and the second slot of `head`, lie.
pub const SECOND: u64 = 4096;
/// Where a segment's frames begin: no header shares a sector with a frame.
pub const FRAMES: u64 = 8192;
/// Greatest number of a segment.
const NUMBER_MAX: u64 = COUNT_MAX;
/// Name of the identity file.
pub const ID_FILE: &str = "oncelog.id";
/// Name of the hint file.
pub const HEAD_FILE: &str = "head";

const ID_MAGIC: [u8; 8] = *b"oncelog\x01";
const SEGMENT_MAGIC: [u8; 8] = *b"onceseg\x01";
const HEAD_MAGIC: [u8; 8] = *b"oncehed\x01";

/// Why fixed bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not ours, or damaged.
    Damaged,
    /// A newer version wrote them, or one with features that this version does not know.
    Newer,
}

/// Starts a record: magic, then the checksum's place. The checksum covers all other bytes.
fn begin(magic: [u8; 8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD);
    out.extend_from_slice(&magic);
    out.extend_from_slice(&[0; 4]);
    out
}

fn end(mut out: Vec<u8>) -> [u8; RECORD] {
    out.resize(RECORD, 0);
    let sum = sum(&out);
    put_u32(&mut out, 8, sum);
    let mut record = [0; RECORD];
    record.copy_from_slice(&out);
    record
}

fn sum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..8]), &record[12..RECORD])
}

fn open(bytes: &[u8], magic: [u8; 8]) -> Result<Reader<'_>, Refused> {
    let record = bytes.get(..RECORD).ok_or(Refused::Damaged)?;
    if record[..8] != magic || get_u32(record, 8) != sum(record) {
        return Err(Refused::Damaged);
    }
    Ok(Reader::new(&record[12..]))
}

/// What the log is: written once, when the log is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The log's uuid: in every segment header and in `head`.
    pub uuid: [u8; 16],
    /// Version of the format.
    pub format: u32,
    /// Features that a reader and a writer may ignore.
    pub compatible: u32,
    /// Features that a reader may ignore and a writer must know.
    pub read_compatible: u32,
    /// Features that everybody must know.
    pub incompatible: u32,
    /// Wall clock at creation, milliseconds.
    pub created_ms: u64,
}

impl Identity {
    /// The bytes of `oncelog.id`.
    pub fn write(&self) -> [u8; RECORD] {
        use super::bytes::Put;
        let mut out = begin(ID_MAGIC);
        out.u32(self.format).raw(&self.uuid);
        out.u32(self.compatible).u32(self.read_compatible).u32(self.incompatible).u64(self.created_ms);
        end(out)
    }

    /// Reads `oncelog.id`; the version gate of the whole directory.
    pub fn read(bytes: &[u8]) -> Result<Identity, Refused> {
        let mut from = open(bytes, ID_MAGIC)?;
        let identity = Self::fields(&mut from).ok_or(Refused::Damaged)?;
        if identity.format > FORMAT_VERSION || identity.incompatible != 0 || identity.read_compatible != 0 {
            return Err(Refused::Newer);
        }
        Ok(identity)
    }

    fn fields(from: &mut Reader<'_>) -> Option<Identity> {
        Some(Identity {
            format: from.u32()?,
            uuid: from.id()?,
            compatible: from.u32()?,
            read_compatible: from.u32()?,
            incompatible: from.u32()?,
            created_ms: from.u64()?,
        })
    }
}

/// What a segment is: written at its creation, twice, never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The log.
    pub uuid: [u8; 16],
    /// Number of the segment, from 1; the order of creation, never used again.
    pub number: u64,
    /// 0 as written by the journal, raised by each rewriting.
    pub generation: u32,
    /// Version of the format.
    pub format: u32,
    /// Bytes that frames may fill, headers included.
    pub size: u64,
    /// Random; in every frame's checksum.
    pub salt: u64,
    /// Wall clock at creation, milliseconds.
    pub created_ms: u64,
}

impl SegmentHeader {
    /// The bytes, for byte 0 and byte 4096.
    pub fn write(&self) -> [u8; RECORD] {
        use super::bytes::Put;
        let mut out = begin(SEGMENT_MAGIC);
        out.u32(self.format).raw(&self.uuid).u64(self.number).u32(self.generation);
        out.u64(self.size).u64(self.salt).u64(self.created_ms);
        end(out)
    }

    /// Reads one copy.
    pub fn read(bytes: &[u8]) -> Result<SegmentHeader, Refused> {
        let mut from = open(bytes, SEGMENT_MAGIC)?;
        let header = Self::fields(&mut from).ok_or(Refused::Damaged)?;
        if header.format > FORMAT_VERSION {
            return Err(Refused::Newer);
        }
        if Self::may_be(header.number, header.size) { Ok(header) } else { Err(Refused::Damaged) }
    }

    /// True if there may be a segment of that number and size.
    pub fn may_be(number: u64, size: u64) -> bool {
        (1..=NUMBER_MAX).contains(&number) && (FRAMES..=SEGMENT_MAX).contains(&size)
    }

    fn fields(from: &mut Reader<'_>) -> Option<SegmentHeader> {
        let (format, uuid, number, generation) = (from.u32()?, from.id()?, from.u64()?, from.u32()?);
        let (size, salt, created_ms) = (from.u64()?, from.u64()?, from.u64()?);
        Some(SegmentHeader { uuid, number, generation, format, size, salt, created_ms })
    }

    /// The file's name: `<number, 20 digits>.<generation>.seg`.
    pub fn name(number: u64, generation: u32) -> String {
        format!("{number:020}.{generation}.seg")
    }

    /// Number and generation of a segment's file name.
    pub fn parse_name(name: &str) -> Option<(u64, u32)> {
        let (number, generation) = name.strip_suffix(".seg")?.split_once('.')?;
        let parsed: (u64, u32) = (number.parse().ok()?, generation.parse().ok()?);
        // One that leaves no room to count on is nobody's.
        ((1..=NUMBER_MAX).contains(&parsed.0) && Self::name(parsed.0, parsed.1) == name).then_some(parsed)
    }
}

/// A slot of `head`: a hint where recovery may start, checked against the frames and never needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub uuid: [u8; 16],
    /// Raised by one at each write; the greater valid slot counts.
    pub sequence: u64,
    /// True if the journal was closed cleanly behind this.
    pub clean: bool,
    /// Where the next frame would lie.
    pub end: Place,
    /// LSN of the last frame.
    pub last_lsn: u64,
    /// LSN of the newest durable checkpoint, 0 for none.
    pub checkpoint_lsn: u64,
    /// Its last part.
    pub checkpoint: Place,
    /// LSN of the checkpoint before.
    pub older_lsn: u64,
    /// Its last part.
    pub older: Place,
    /// LSN up to which frames were durable when this was written; 0 from a version that did not say.
    pub durable_lsn: u64,
}

impl Head {
    /// The bytes of a slot.
    pub fn write(&self) -> [u8; RECORD] {
        use super::bytes::Put;
        let mut out = begin(HEAD_MAGIC);
        out.raw(&self.uuid).u64(self.sequence).u32(u32::from(self.clean));
        self.end.write(&mut out);
        out.u64(self.last_lsn).u64(self.checkpoint_lsn);
        self.checkpoint.write(&mut out);
        out.u64(self.older_lsn);
        self.older.write(&mut out);
        out.u64(self.durable_lsn);
        end(out)
    }

    /// Reads a slot.
    pub fn read(bytes: &[u8]) -> Option<Head> {
        let mut from = open(bytes, HEAD_MAGIC).ok()?;
        Some(Head {
            uuid: from.id()?,
            sequence: from.count()?,
            clean: from.u32()? != 0,
            end: Place::read(&mut from)?,
            last_lsn: from.count()?,
            checkpoint_lsn: from.count()?,
            checkpoint: Place::read(&mut from)?,
            older_lsn: from.count()?,
            older: Place::read(&mut from)?,
            durable_lsn: from.count()?,
        })
    }

    /// The LSN up to which frames are known durable by this. Behind a clean close only the last frame, a mark, was not
    /// flushed.
    pub fn stated(&self) -> u64 {
        let closed = if self.clean { self.last_lsn.saturating_sub(1) } else { 0 };
        self.durable_lsn.max(self.checkpoint_lsn).max(closed)
    }

    /// The byte where the slot of `sequence` lies.
    pub fn slot(sequence: u64) -> u64 {
        (sequence % 2) * SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { uuid: [7; 16], format: 1, compatible: 1, read_compatible: 0, incompatible: 0, created_ms: 99 }
    }

    #[test]
    fn an_identity_reads_back_and_every_flipped_bit_is_seen() {
        let bytes = identity().write();
        assert_eq!(Identity::read(&bytes), Ok(identity()));
        for bit in 0..RECORD * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Identity::read(&bytes), Err(Refused::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_and_an_unknown_feature_are_refused() {
        for newer in [Identity { format: 2, ..identity() }, Identity { incompatible: 1, ..identity() }] {
            assert_eq!(Identity::read(&newer.write()), Err(Refused::Newer));
        }
    }

    #[test]
    fn a_segment_header_and_its_name_read_back() {
        let header = SegmentHeader {
            uuid: [1; 16],
            number: 42,
            generation: 3,
            format: 1,
            size: 1 << 20,
            salt: u64::MAX,
            created_ms: 5,
        };
        assert_eq!(SegmentHeader::read(&header.write()), Ok(header));
        assert_eq!(SegmentHeader::read(&header.write()[..100]), Err(Refused::Damaged));
        assert_eq!(SegmentHeader::parse_name(&SegmentHeader::name(42, 3)), Some((42, 3)));
        for bad in
            ["42.3.seg", "00000000000000000042.3", "x.seg", "00000000000000000042.+3.seg", "00000000000000000000.0.seg"]
        {
            assert_eq!(SegmentHeader::parse_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_head_slot_reads_back_and_a_torn_one_does_not() {
        let place = Place { segment: 2, position: 9000 };
        let head = Head {
            uuid: [9; 16],
            sequence: 8,
            clean: true,
            end: place,
            last_lsn: 77,
            checkpoint_lsn: 70,
            checkpoint: place,
            older_lsn: 60,
            older: place,
            durable_lsn: 75,
        };
        let mut bytes = head.write();
        assert_eq!(Head::read(&bytes), Some(head));
        bytes[60] ^= 1;
        assert_eq!(Head::read(&bytes), None);
    }
}
