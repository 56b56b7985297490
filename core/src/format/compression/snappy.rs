//! Snappy as Kafka's clients write it, which is snappy-java's stream: a magic, two numbers, then blocks with their
//! lengths in front, big-endian. librdkafka writes one bare block instead, and Kafka's clients read that too.

use std::cell::Cell;
use std::ops::Range;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{Fault, with_kept};
use crate::format::bytes::{get_i32_be, put_i32_be};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic, version, lowest version that can read it.
const HEADER: usize = 16;
const VERSION: i32 = 1;
/// Bytes of a block before it is packed, snappy-java's own choice.
const BLOCK: usize = 32 << 10;
/// The most that one packed byte stands for: three make a copy of 64.
const RATIO: usize = 22;

thread_local! {
    static ENCODER: Cell<Option<Box<Encoder>>> = const { Cell::new(None) };
}

pub(super) fn room(len: usize) -> usize {
    HEADER + len / BLOCK * (4 + max_compress_len(BLOCK)) + 4 + max_compress_len(len % BLOCK)
}

pub(super) fn pack(records: &[u8], out: &mut [u8]) -> Option<usize> {
    let header = out.get_mut(..HEADER)?;
    header[..8].copy_from_slice(&MAGIC);
    put_i32_be(header, 8, VERSION);
    put_i32_be(header, 12, VERSION);
    let mut at = HEADER;
    let packed = with_kept(
        &ENCODER,
        || Some(Box::new(Encoder::new())),
        |encoder| {
            for block in records.chunks(BLOCK) {
                let len = encoder.compress(block, out.get_mut(at + 4..)?).ok()?;
                // A block is packed to little more than its 32 KiB at most.
                put_i32_be(out, at, len as i32);
                at += 4 + len;
            }
            Some(at)
        },
    );
    packed.flatten()
}

pub(super) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Fault> {
    let mut size = 0usize;
    let mut walk = Blocks::new(packed);
    while let Some(block) = walk.next(packed)? {
        let len = decompress_len(&packed[block.clone()]).map_err(|_| Fault::Damaged("a block has no length"))?;
        if len > block.len() * RATIO {
            return Err(Fault::Damaged("a block claims more than it can hold"));
        }
        size = size.checked_add(len).filter(|size| *size <= most).ok_or(Fault::TooLarge(most))?;
    }
    let mut out = vec![0; size];
    let (mut decoder, mut at) = (Decoder::new(), 0);
    let mut walk = Blocks::new(packed);
    while let Some(block) = walk.next(packed)? {
        let room = out.get_mut(at..).unwrap_or_default();
        at += decoder.decompress(&packed[block], room).map_err(|_| Fault::Damaged("a block is damaged"))?;
    }
    out.truncate(at);
    Ok(out)
}

/// A walk over the blocks. Each step goes on by four bytes at least, or is the last.
struct Blocks {
    at: usize,
    /// All of it, where there are no frames and it was not given yet.
    bare: Option<Range<usize>>,
}

impl Blocks {
    fn new(packed: &[u8]) -> Self {
        match packed.starts_with(&MAGIC) {
            true => Blocks { at: 0, bare: None },
            false => Blocks { at: packed.len(), bare: Some(0..packed.len()) },
        }
    }

    fn next(&mut self, packed: &[u8]) -> Result<Option<Range<usize>>, Fault> {
        if let Some(bare) = self.bare.take() {
            return Ok(Some(bare));
        }
        // A stream may follow another one, as where files were joined.
        while packed[self.at..].starts_with(&MAGIC) {
            let header = packed.get(self.at..self.at + HEADER).ok_or(Fault::Damaged("its header is cut"))?;
            if get_i32_be(header, 8) < VERSION {
                return Err(Fault::Damaged("its version is not known"));
            }
            self.at += HEADER;
        }
        if self.at == packed.len() {
            return Ok(None);
        }
        let start = self.at + 4;
        let len = packed.get(self.at..start).ok_or(Fault::Damaged("a block's length is cut"))?;
        let len = usize::try_from(get_i32_be(len, 0)).map_err(|_| Fault::Damaged("a block's length is negative"))?;
        if len > packed.len() - start {
            return Err(Fault::Damaged("a block reaches past the end"));
        }
        self.at = start + len;
        Ok(Some(start..self.at))
    }
}
