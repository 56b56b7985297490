//! Walks the frames of a segment file: one behind the other while they validate, byte by byte over damage.

use std::io;

use crate::format::batch::BATCH_HEADER;
use crate::format::bytes::{get_u32, get_u64};
use crate::format::files::FRAMES;
use crate::format::frame::{Bad, FRAME_HEADER, Frame, FrameHeader, Kind, Seal};
use crate::io::File;
use crate::limits::FRAME_MAX;

/// The byte where a segment's first frame lies.
pub const FIRST: u64 = FRAMES;
/// Read at once: as much as stays in the processor's cache until it is looked at.
const WINDOW: usize = 256 << 10;
/// Zeros are stepped over in blocks of this size.
const BLOCK: usize = 4 << 10;
static ZEROS: [u8; BLOCK] = [0; BLOCK];
/// Enough for a link.
const GLANCE: usize = 4 << 10;
/// Kinds past this one are nobody's, so a byte past it begins no frame.
const KIND_MAX: u8 = 63;

/// Heads up to this size are always looked at; all but those of transactions and their decisions are smaller.
const SMALL_HEAD: usize = 256;

/// Whether a head of that length can belong to that kind.
fn plausible(header: &FrameHeader) -> bool {
    match Kind::of(header.kind) {
        Some(Kind::Records) => header.head_len as usize == BATCH_HEADER,
        // A kind of a newer version may have any head: it must be seen, to be refused, not taken for a tear.
        Some(Kind::Transaction | Kind::Decision) | None => true,
        Some(_) => header.head_len as usize <= SMALL_HEAD,
    }
}

/// A frame whose head validates.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub position: u64,
    pub header: FrameHeader,
}

impl Found {
    /// The byte behind the frame.
    pub fn end(&self) -> u64 {
        self.position + self.header.len()
    }
}

/// Reads frames of one file between two positions.
pub struct Scanner<'a> {
    file: &'a dyn File,
    seal: Seal,
    /// Where the next frame is looked for.
    pub position: u64,
    end: u64,
    /// From here on nothing was ever written.
    data_end: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Bytes read at once, at least.
    ahead: usize,
    /// Bytes summed for nothing: what looks like a large head everywhere must not cost the square of the file.
    wasted: u64,
}

impl<'a> Scanner<'a> {
    pub fn new(file: &'a dyn File, seal: Seal, position: u64, end: u64) -> Self {
        // Behind the file's end lies nothing, whatever its header says.
        let end = file.len().map_or(end, |len| end.min(len));
        let data_end = file.data_end(position.min(end), end);
        Scanner { file, seal, position, end, data_end, window: Vec::new(), window_at: 0, ahead: WINDOW, wasted: 0 }
    }

    /// The same for who looks at one small frame only.
    pub fn glance(file: &'a dyn File, seal: Seal, position: u64, end: u64) -> Self {
        Scanner { ahead: GLANCE, ..Self::new(file, seal, position, end) }
    }

    /// Makes `len` bytes from `position` on present in the window; what lies behind the file's end reads as zeros.
    fn load(&mut self, position: u64, len: usize) -> io::Result<()> {
        let have = self.window_at + self.window.len() as u64;
        if position >= self.window_at && position + len as u64 <= have {
            return Ok(());
        }
        let ahead = self.data_end.saturating_sub(position).min(self.ahead as u64);
        let want = (self.end - position).min(ahead.max(len as u64)) as usize;
        // What the window has of it is moved, not read again.
        let mut got = 0;
        if (self.window_at..have).contains(&position) {
            let from = (position - self.window_at) as usize;
            self.window.copy_within(from.., 0);
            got = (self.window.len() - from).min(want);
        }
        self.window.resize(want.max(len), 0);
        self.window_at = position;
        got += self.file.read_at(&mut self.window[got..want], position + got as u64)?;
        self.window[got..].fill(0);
        Ok(())
    }

    fn bytes(&self, position: u64, len: usize) -> &[u8] {
        let from = (position - self.window_at) as usize;
        &self.window[from..from + len]
    }

    /// The frame at `position`, if its head validates. Advances only then.
    pub fn next_frame(&mut self) -> io::Result<Result<Found, Bad>> {
        let found = self.at(self.position)?;
        if let Ok(found) = &found {
            self.position = found.end();
        }
        Ok(found)
    }

    fn at(&mut self, position: u64) -> io::Result<Result<Found, Bad>> {
        let left = self.end.saturating_sub(position);
        if left < FRAME_HEADER as u64 {
            return Ok(Err(Bad::Head));
        }
        self.load(position, FRAME_HEADER)?;
        let header = FrameHeader::read(self.bytes(position, FRAME_HEADER));
        if header.kind == 0 || header.kind > KIND_MAX || header.len() > left || header.len() > FRAME_MAX as u64 {
            return Ok(Err(Bad::Head));
        }
        let head_end = FRAME_HEADER + header.head_len as usize;
        let spent = self.wasted > self.end.saturating_mul(16);
        if !plausible(&header) || (spent && head_end > SMALL_HEAD) {
            return Ok(Err(Bad::Head));
        }
        self.load(position, head_end)?;
        if self.seal.checksum(position, &self.bytes(position, head_end)[4..]) != header.checksum {
            self.wasted += head_end as u64;
            return Ok(Err(Bad::Head));
        }
        let len = header.len() as usize;
        self.load(position, len)?;
        let frame = Frame::read(self.bytes(position, len), self.seal, position);
        Ok(frame.map(|frame| Found { position, header: frame.header }))
    }

    /// A frame just found, whole. Valid until the scanner moves.
    pub fn frame(&self, found: Found) -> Frame<'_> {
        let bytes = self.bytes(found.position, found.header.len() as usize);
        let head_end = FRAME_HEADER + found.header.head_len as usize;
        let body_end = head_end + found.header.body_len as usize;
        Frame { header: found.header, head: &bytes[FRAME_HEADER..head_end], body: &bytes[head_end..body_end] }
    }

    /// The bytes of a frame just found, padding included.
    pub fn raw(&self, found: Found) -> &[u8] {
        self.bytes(found.position, found.header.len() as usize)
    }

    /// True if the body of a frame just found is what its head says.
    pub fn body_is_good(&self, found: Found) -> bool {
        let used = FRAME_HEADER + found.header.head_len as usize + found.header.body_len as usize;
        self.frame(found).verify_body(&self.raw(found)[used..]).is_ok()
    }

    /// The next valid frame at or behind `position`, stepping over whatever lies between.
    pub fn next_valid(&mut self) -> io::Result<Option<Found>> {
        loop {
            if let Ok(found) = self.next_frame()? {
                return Ok(Some(found));
            }
            if !self.step()? {
                return Ok(None);
            }
        }
    }

    /// Moves to the next aligned place that could be a frame's header. Zeros, the common case behind the journal's
    /// end, cost one comparison for eight bytes.
    pub fn step(&mut self) -> io::Result<bool> {
        self.position = (self.position + 8).next_multiple_of(8);
        while self.position + FRAME_HEADER as u64 <= self.end {
            if self.position + FRAME_HEADER as u64 > self.window_at + self.window.len() as u64 {
                // Nothing to read where nothing was ever written.
                let written = self.position < self.data_end;
                let data = if written { self.file.data_from(self.position) } else { u64::MAX };
                if data >= self.end {
                    self.position = self.end;
                    return Ok(false);
                }
                // A frame that begins in zeros is none, but for the byte that holds its kind.
                self.position = self.position.max((data & !7).saturating_sub(8));
            }
            self.load(self.position, FRAME_HEADER)?;
            let last = self.window_at + self.window.len() as u64 - FRAME_HEADER as u64;
            while self.position <= last {
                if self.position + BLOCK as u64 <= last && self.bytes(self.position, BLOCK) == ZEROS {
                    self.position += BLOCK as u64;
                    continue;
                }
                let bytes = self.bytes(self.position, FRAME_HEADER);
                if get_u64(bytes, 0) != 0 && bytes[4] != 0 && bytes[4] <= KIND_MAX && get_u32(bytes, 8) != u32::MAX {
                    return Ok(true);
                }
                self.position += 8;
            }
        }
        Ok(false)
    }

    /// The byte behind the last one that is not zero, from `position` on; `position` itself if there is none. The
    /// scanner stays where it is.
    pub fn last_byte(&mut self) -> io::Result<u64> {
        let (mut at, mut last) = (self.position, self.position);
        while at < self.data_end {
            at = at.max(self.file.data_from(at));
            if at >= self.data_end {
                break;
            }
            let len = ((self.data_end - at) as usize).min(WINDOW);
            self.load(at, len)?;
            let bytes = self.bytes(at, len);
            // Mostly all of it is zeros, written ahead.
            let zeros: usize =
                bytes.rchunks(BLOCK).take_while(|block| **block == ZEROS[..block.len()]).map(<[u8]>::len).sum();
            if let Some(i) = bytes[..len - zeros].iter().rposition(|b| *b != 0) {
                last = at + i as u64 + 1;
            }
            at += len as u64;
        }
        Ok(last)
    }
}
