//! Zstandard frames, unpacked in one call each batch: straight to where the records stay, without a window's buffer.

use std::cell::Cell;

use zstd_safe::{CCtx, DCtx, decompress_bound, find_frame_compressed_size, get_frame_content_size};

use super::{Fault, with_kept};
use crate::format::bytes::get_u32;
use crate::limits::ZSTD_WINDOW_MAX;

const MAGIC: u32 = 0xfd2f_b528;
/// The level of Kafka's clients.
const LEVEL: i32 = 3;
/// ZSTD_error_dstSize_tooSmall, as the library answers it.
const TOO_SMALL: usize = 70usize.wrapping_neg();

thread_local! {
    static PACKER: Cell<Option<CCtx<'static>>> = const { Cell::new(None) };
    static UNPACKER: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

pub(super) fn pack(records: &[u8], out: &mut [u8]) -> Option<usize> {
    with_kept(&PACKER, CCtx::try_create, |packer| packer.compress(out, records, LEVEL).ok()).flatten()
}

pub(super) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Fault> {
    let (mut rest, mut declared) = (packed, 0u64);
    while !rest.is_empty() {
        check_window(rest)?;
        let size = get_frame_content_size(rest).map_err(|_| Fault::Damaged("a frame is damaged"))?;
        declared = declared.saturating_add(size.unwrap_or(0));
        if declared > most as u64 {
            return Err(Fault::TooLarge(most));
        }
        let len = find_frame_compressed_size(rest).map_err(|_| Fault::Damaged("a frame is damaged or cut"))?;
        rest = rest.get(len..).filter(|_| len > 0).unwrap_or_default();
    }
    // From what frames declare, or else from the number of their blocks.
    let bound = decompress_bound(packed).map_err(|_| Fault::Damaged("a frame is damaged"))?;
    let bound = usize::try_from(bound).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(bound.min(most));
    match with_kept(&UNPACKER, DCtx::try_create, |unpacker| unpacker.decompress(&mut out, packed)) {
        Some(Ok(_)) => Ok(out),
        Some(Err(TOO_SMALL)) if bound > most => Err(Fault::TooLarge(most)),
        Some(Err(_)) => Err(Fault::Damaged("a frame is damaged")),
        None => Err(Fault::NoMemory),
    }
}

/// Refuses a frame that asks for a larger window than decoders have to have. A frame of a single segment has none.
fn check_window(frame: &[u8]) -> Result<(), Fault> {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    if frame.len() < 6 || get_u32(frame, 0) != MAGIC || frame[4] & SINGLE_SEGMENT != 0 {
        return Ok(());
    }
    let base = 1u64 << (10 + (frame[5] >> 3));
    if base + base / 8 * u64::from(frame[5] & 7) > ZSTD_WINDOW_MAX {
        return Err(Fault::Damaged("a frame's window is larger than 8 MiB"));
    }
    Ok(())
}
