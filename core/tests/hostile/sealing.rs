//! Makes a frame's checksums right, whatever its fields say.

use oncelog::format::batch::{BATCH_HEADER, BatchHeader};
use oncelog::format::bytes::{get_u32, put_u32, put_u32_be};
use oncelog::format::frame::{FRAME_HEADER, FrameHeader, Kind, Seal};
use oncelog::format::transaction::{PART, TRANSACTION_HEAD};

/// Where a frame lies.
#[derive(Clone, Copy, Debug)]
pub struct Home {
    pub seal: Seal,
    pub position: u64,
}

/// The crc of a batch's bytes from its attributes on.
fn seal_batch(batch: &mut [u8]) -> u32 {
    if batch.len() < BATCH_HEADER {
        return 0;
    }
    let crc = crc32c::crc32c(&batch[21..]);
    put_u32_be(batch, 17, crc);
    crc
}

/// The batches of a transaction, as far as the table's lengths allow: their crcs, and with `agree` what the table says
/// of them; then the offsets' crc.
fn seal_transaction(head: &mut [u8], body: &mut [u8], agree: bool) {
    let mut at = 0usize;
    for entry in head.get_mut(TRANSACTION_HEAD..).unwrap_or_default().chunks_exact_mut(PART) {
        let len = get_u32(entry, 4) as usize;
        let Some(batch) = body.get_mut(at..at.saturating_add(len)) else { return };
        at += len;
        if agree && let Some(mut header) = BatchHeader::read(batch) {
            header.base_offset = i64::from_le_bytes(entry[8..16].try_into().unwrap());
            header.leader_epoch = get_u32(entry, 20) as i32;
            header.last_offset_delta = get_u32(entry, 24) as i32;
            (header.magic, header.batch_len) = (2, len.saturating_sub(12) as i32);
            header.write(batch);
        }
        put_u32(entry, 16, seal_batch(batch));
    }
    if head.len() >= TRANSACTION_HEAD {
        let offsets = &body[at..];
        put_u32(head, 36, crc32c::crc32c(offsets));
        if agree {
            put_u32(head, 32, offsets.len() as u32);
        }
    }
}

/// Seals what covers the body, if the lengths lie within the bytes; then the head.
pub fn seal_frame(bytes: &mut [u8], home: Home, agree: bool) {
    if bytes.len() < FRAME_HEADER {
        return;
    }
    let header = FrameHeader::read(bytes);
    if header.len() > bytes.len() as u64 {
        return;
    }
    let (front, rest) = bytes.split_at_mut(FRAME_HEADER);
    let (head, rest) = rest.split_at_mut(header.head_len as usize);
    let (body, padding) = rest.split_at_mut(header.body_len as usize);
    let used = header.len() as usize - FRAME_HEADER - head.len() - body.len();
    padding[..used].fill(0);
    match Kind::of(header.kind) {
        Some(Kind::Records) if head.len() == BATCH_HEADER => {
            let mut batch = [&*head, &*body].concat();
            if agree && let Some(mut header) = BatchHeader::read(&batch) {
                (header.magic, header.batch_len) = (2, batch.len() as i32 - 12);
                header.write(&mut batch);
            }
            seal_batch(&mut batch);
            head.copy_from_slice(&batch[..BATCH_HEADER]);
        }
        Some(Kind::Transaction) => seal_transaction(head, body, agree),
        _ => put_u32(front, 36, crc32c::crc32c(body)),
    }
    let head_end = FRAME_HEADER + header.head_len as usize;
    let checksum = home.seal.checksum(home.position, &bytes[4..head_end]);
    put_u32(bytes, 0, checksum);
}
