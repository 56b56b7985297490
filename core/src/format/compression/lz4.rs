//! LZ4 frames as Kafka reads them: one frame, independent blocks, no dictionary. Blocks unpack straight into the place
//! that their records keep.
//!
//! ```text
//! magic u32   flags u8   block size u8   content size u64 (flag 8)   checksum u8
//! then blocks: length u32 (bit 31: not packed), bytes, checksum u32 (flag 16);   0 u32   checksum u32 (flag 4)
//! ```
//! Little-endian. Checksums are xxHash32; the header's is its second byte.

use std::cell::Cell;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use twox_hash::XxHash32;

use super::{Fault, with_kept};
use crate::format::bytes::{Reader, put_u32};

const MAGIC: u32 = 0x184d_2204;
/// Version 1, independent blocks, no checksums: what Kafka's own clients write.
const FLAGS: u8 = 0x60;
const BLOCK_64K: u8 = 4;
const BLOCK: usize = 64 << 10;
const HEADER: usize = 7;
const STORED: u32 = 1 << 31;
/// The most that one packed byte stands for.
const RATIO: usize = 255;

thread_local! {
    static TABLE: Cell<Option<CompressTable>> = const { Cell::new(None) };
}

pub(super) fn room(len: usize) -> usize {
    HEADER + len / BLOCK * (4 + get_maximum_output_size(BLOCK)) + 4 + get_maximum_output_size(len % BLOCK) + 4
}

pub(super) fn pack(records: &[u8], out: &mut [u8]) -> Option<usize> {
    let header = out.get_mut(..HEADER)?;
    put_u32(header, 0, MAGIC);
    (header[4], header[5]) = (FLAGS, BLOCK_64K << 4);
    header[6] = checksum(&header[4..6]);
    let mut at = HEADER;
    let packed = with_kept(
        &TABLE,
        || Some(CompressTable::large()),
        |table| {
            for block in records.chunks(BLOCK) {
                let packed = compress_into_with_table(block, out.get_mut(at + 4..)?, table).ok()?;
                let (len, stored) = if packed < block.len() { (packed, 0) } else { (block.len(), STORED) };
                if stored != 0 {
                    out.get_mut(at + 4..at + 4 + len)?.copy_from_slice(block);
                }
                put_u32(out, at, len as u32 | stored);
                at += 4 + len;
            }
            out.get_mut(at..at + 4)?.fill(0);
            Some(at + 4)
        },
    );
    packed.flatten()
}

fn checksum(descriptor: &[u8]) -> u8 {
    (XxHash32::oneshot(0, descriptor) >> 8) as u8
}

/// What the frame's header says.
struct Descriptor {
    block_max: usize,
    block_checksums: bool,
    content_checksum: bool,
    content_size: Option<u64>,
}

impl Descriptor {
    fn read(from: &mut Reader<'_>) -> Result<Descriptor, Fault> {
        const CUT: Fault = Fault::Damaged("its header is cut");
        if from.u32() != Some(MAGIC) {
            return Err(Fault::Damaged("it is no frame"));
        }
        let start = from.rest();
        let (flags, size) = (from.u8().ok_or(CUT)?, from.u8().ok_or(CUT)?);
        let content_size = if flags & 8 != 0 { Some(from.u64().ok_or(CUT)?) } else { None };
        let described = start.len() - from.rest().len();
        let version_1 = flags >> 6 == 1 && flags & 2 == 0 && size & 0x8f == 0 && (4..=7).contains(&(size >> 4));
        if !version_1 || flags & 1 != 0 || flags & 0x20 == 0 {
            return Err(Fault::Damaged("its blocks are of a kind that Kafka does not read"));
        }
        if from.u8().ok_or(CUT)? != checksum(&start[..described]) {
            return Err(Fault::Damaged("its header's checksum is wrong"));
        }
        Ok(Descriptor {
            block_max: 1 << (2 * (size >> 4) + 8),
            block_checksums: flags & 16 != 0,
            content_checksum: flags & 4 != 0,
            content_size,
        })
    }

    /// The next block, and whether it is packed; `None` behind the last.
    fn block<'a>(&self, from: &mut Reader<'a>) -> Result<Option<(&'a [u8], bool)>, Fault> {
        const CUT: Fault = Fault::Damaged("it ends before its end mark");
        let word = from.u32().ok_or(CUT)?;
        if word == 0 {
            return Ok(None);
        }
        let len = (word & !STORED) as usize;
        if len > self.block_max {
            return Err(Fault::Damaged("a block is larger than its frame allows"));
        }
        let block = from.bytes(len).ok_or(CUT)?;
        if self.block_checksums && from.u32().ok_or(CUT)? != XxHash32::oneshot(0, block) {
            return Err(Fault::Damaged("a block's checksum is wrong"));
        }
        Ok(Some((block, word & STORED == 0)))
    }
}

pub(super) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Fault> {
    let mut from = Reader::new(packed);
    let descriptor = Descriptor::read(&mut from)?;
    let mut ahead = from;
    let mut bound = 0usize;
    while let Some((block, packed)) = descriptor.block(&mut ahead)? {
        let grown = if packed { descriptor.block_max.min(block.len() * RATIO) } else { block.len() };
        bound = bound.saturating_add(grown);
    }
    if let Some(declared) = descriptor.content_size {
        if declared > most as u64 {
            return Err(Fault::TooLarge(most));
        }
        bound = bound.min(declared as usize);
    }
    let mut out = vec![0; bound.min(most)];
    let mut at = 0;
    while let Some((block, packed)) = descriptor.block(&mut from)? {
        let room = out.len() - at;
        let room = &mut out[at..at + room.min(descriptor.block_max)];
        let full = if room.len() < descriptor.block_max && bound > most {
            Fault::TooLarge(most)
        } else {
            Fault::Damaged("a block is damaged")
        };
        if packed {
            at += decompress_into(block, room).map_err(|_| full)?;
        } else {
            room.get_mut(..block.len()).ok_or(full)?.copy_from_slice(block);
            at += block.len();
        }
    }
    out.truncate(at);
    if descriptor.content_checksum && from.u32() != Some(XxHash32::oneshot(0, &out)) {
        return Err(Fault::Damaged("its content's checksum is wrong"));
    }
    if !from.rest().is_empty() || descriptor.content_size.is_some_and(|declared| declared != at as u64) {
        return Err(Fault::Damaged("its length is not what it declares"));
    }
    Ok(out)
}
