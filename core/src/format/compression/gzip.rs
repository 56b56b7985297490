//! Gzip: members one behind the other, each a header, a deflate stream, crc and length. Only the stream is the
//! library's: its state is kept from batch to batch, which its own reader of members does not allow.

use std::cell::Cell;

use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Fault, with_kept};
use crate::format::bytes::{Reader, get_u32};

const WINDOW_BITS: u8 = 15;
/// The most that one packed byte stands for: deflate's own bound, 1032, and a little.
const RATIO: usize = 1040;
const TRAILER: usize = 8;

thread_local! {
    static PACKER: Cell<Option<Compress>> = const { Cell::new(None) };
    static UNPACKER: Cell<Option<Decompress>> = const { Cell::new(None) };
}

pub(super) fn pack(records: &[u8], out: &mut [u8]) -> Option<usize> {
    let make = || Some(Compress::new_gzip(flate2::Compression::default(), WINDOW_BITS));
    let packed = with_kept(&PACKER, make, |packer| {
        packer.reset();
        match packer.compress(records, out, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => usize::try_from(packer.total_out()).ok(),
            _ => None,
        }
    });
    packed.flatten()
}

pub(super) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Fault> {
    // The last four bytes say how long the last member's content is: a hint. One byte more, so that the end is seen.
    let hint = if packed.len() < 4 { 0 } else { get_u32(packed, packed.len() - 4) as usize };
    let mut out = Vec::with_capacity(hint.min(packed.len() * RATIO).min(most) + 1);
    let unpacked = with_kept(
        &UNPACKER,
        || Some(Decompress::new(false)),
        |unpacker| {
            let mut from = Reader::new(packed);
            loop {
                skip_header(&mut from)?;
                let start = out.len();
                unpack_member(unpacker, &mut from, &mut out, most)?;
                check_trailer(&mut from, &out[start..])?;
                if from.rest().is_empty() {
                    return Ok(());
                }
            }
        },
    );
    unpacked.unwrap_or(Err(Fault::NoMemory)).map(|()| out)
}

fn unpack_member(
    unpacker: &mut Decompress,
    from: &mut Reader<'_>,
    out: &mut Vec<u8>,
    most: usize,
) -> Result<(), Fault> {
    unpacker.reset(false);
    loop {
        let (taken, given) = (unpacker.total_in(), unpacker.total_out());
        let status = unpacker.decompress_vec(from.rest(), out, FlushDecompress::None);
        let status = status.map_err(|_| Fault::Damaged("its stream is damaged"))?;
        // No more was taken than there is.
        from.bytes((unpacker.total_in() - taken) as usize);
        if out.len() > most {
            return Err(Fault::TooLarge(most));
        }
        match status {
            Status::StreamEnd => return Ok(()),
            // One byte more than is allowed, so that it is seen where that is not enough.
            _ if out.len() == out.capacity() => out.reserve_exact(out.len().max(256).min(most + 1 - out.len())),
            _ if (unpacker.total_in(), unpacker.total_out()) == (taken, given) => {
                return Err(Fault::Damaged("its stream is cut"));
            }
            _ => {}
        }
    }
}

fn skip_header(from: &mut Reader<'_>) -> Result<(), Fault> {
    const CUT: Fault = Fault::Damaged("a member's header is cut");
    const CHECKSUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let start = from.rest();
    let fixed = from.bytes(10).ok_or(CUT)?;
    let flags = fixed[3];
    if fixed[..3] != [0x1f, 0x8b, 8] || flags & 0xe0 != 0 {
        return Err(Fault::Damaged("it is no gzip"));
    }
    if flags & EXTRA != 0 {
        let len = from.u16().ok_or(CUT)?;
        from.bytes(usize::from(len)).ok_or(CUT)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = from.rest().iter().position(|byte| *byte == 0).ok_or(CUT)?;
            from.bytes(end + 1);
        }
    }
    if flags & CHECKSUM != 0 {
        let mut crc = Crc::new();
        crc.update(&start[..start.len() - from.rest().len()]);
        if from.u16().ok_or(CUT)? != crc.sum() as u16 {
            return Err(Fault::Damaged("a member's header is damaged"));
        }
    }
    Ok(())
}

fn check_trailer(from: &mut Reader<'_>, content: &[u8]) -> Result<(), Fault> {
    let trailer = from.bytes(TRAILER).ok_or(Fault::Damaged("a member's trailer is cut"))?;
    let mut crc = Crc::new();
    crc.update(content);
    if get_u32(trailer, 0) != crc.sum() || get_u32(trailer, 4) != content.len() as u32 {
        return Err(Fault::Damaged("a member's checksum or length is wrong"));
    }
    Ok(())
}
