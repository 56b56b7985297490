//! One segment file while it is written: its header, its seal, and the zeros written ahead of its frames.

use std::io;
use std::sync::Arc;

use super::roll::is_full;
use crate::format::files::{FORMAT_VERSION, FRAMES, RECORD, SECOND, SegmentHeader};
use crate::format::frame::Seal;
use crate::io::bugs::{Bug, planted};
use crate::io::sync::atomic::{AtomicU64, Ordering};
use crate::io::sync::{Condvar, Mutex};
use crate::io::{File, Machine, Mapping};

/// Zeros are written in pieces that end at multiples of this: the page cache takes each but the first as one folio.
/// Larger folios make a small write twice as dear, smaller ones the zeros, and pieces that begin anywhere are many.
pub const ZERO_PIECE: u64 = 64 << 10;
/// At most so much of the zeros ahead is kept at a close: what is written there needs no change of the file's extents,
/// and an open reads it, more than once.
const ZEROS_KEPT: u64 = 16 << 10;
/// So much in small writes to a segment is a load.
const LOAD: u64 = 16 << 10;
static ZEROS: [u8; ZERO_PIECE as usize] = [0; ZERO_PIECE as usize];

/// A segment that this life writes.
pub struct Segment {
    pub header: SegmentHeader,
    pub seal: Seal,
    pub file: Arc<dyn File>,
    /// Zeros are written up to here, or no more are tried. Only ever grows, under the lock.
    zeros: AtomicU64,
    /// Frames are written up to here. Moved by the holder of the write baton alone, past `zeros` only under the lock.
    written: AtomicU64,
    /// Bytes of small writes that went where no zeros were. Only the holder of the write baton looks at it.
    bare: AtomicU64,
    ahead: Mutex<Ahead>,
    zeroed: Condvar,
}

/// Who writes zeros where: they must never land on a frame.
#[derive(Default)]
struct Ahead {
    /// A piece that is being written now begins here, at `zeros` or behind.
    busy_from: Option<u64>,
    /// No more zeros are written.
    ended: bool,
}

impl Segment {
    /// Makes a segment file and writes its header, twice. Nothing is durable yet.
    pub fn create(machine: &Machine, uuid: [u8; 16], number: u64, size: u64) -> io::Result<Arc<Segment>> {
        let created_ms = machine.clock.wall_ms().max(0) as u64;
        let salt = machine.random.next_u64();
        let header = SegmentHeader { uuid, number, generation: 0, format: FORMAT_VERSION, size, salt, created_ms };
        let file = machine.storage.create(&SegmentHeader::name(number, 0), size)?;
        file.write_at(&header.write(), 0)?;
        file.write_at(&header.write(), SECOND)?;
        Ok(Self::of(header, file))
    }

    /// Takes a segment that exists.
    pub fn of(header: SegmentHeader, file: Arc<dyn File>) -> Arc<Segment> {
        let seal = Seal::new(header.salt, header.number);
        let (zeros, written, bare) = (AtomicU64::new(FRAMES), AtomicU64::new(FRAMES), AtomicU64::new(0));
        Arc::new(Segment { header, seal, file, zeros, written, bare, ahead: Mutex::default(), zeroed: Condvar::new() })
    }

    /// Reads the header of a segment file; the second copy serves if the first is damaged.
    pub fn read_header(file: &dyn File) -> io::Result<Option<SegmentHeader>> {
        let mut failed = None;
        for at in [0, SECOND] {
            let mut bytes = [0; RECORD];
            match file.read_at(&mut bytes, at).map(|got| SegmentHeader::read(&bytes[..got])) {
                Ok(Ok(header)) => return Ok(Some(header)),
                Ok(Err(_)) => {}
                // A place that the disk has lost: the other one says the same.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Writes frames. Only the holder of the write baton calls it. Waits for a piece of zeros that is being written
    /// over the same bytes right now; a load of small writes has a piece written first, where there are no zeros.
    pub fn write(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let end = position + bytes.len() as u64;
        // Below the zeros there no piece is written, now or later.
        if end <= self.zeros.load(Ordering::Acquire) || planted(Bug::ZerosOverFrames) {
            self.written.store(end, Ordering::Release);
        } else {
            self.zero_first(bytes.len() as u64, end)?;
            self.pass_zeros(end);
        }
        self.file.write_at(bytes, position)
    }

    /// New memory of the page cache costs the least by the piece, and a small write where zeros are half of one where
    /// nothing is. The writer has them written itself: a thread that did so meanwhile would hold the file's lock as
    /// long. Not for what is large, nor before there is a load.
    #[cold]
    fn zero_first(&self, len: u64, end: u64) -> io::Result<()> {
        if len >= ZERO_PIECE {
            return Ok(());
        }
        // The first write of a life says where it goes on, and is below this.
        let bare = self.bare.load(Ordering::Relaxed);
        if bare < LOAD {
            self.bare.store(bare + len, Ordering::Relaxed);
            return Ok(());
        }
        debug_assert!(self.written.load(Ordering::Acquire) + len == end, "zeros may land on frames");
        while self.zeros.load(Ordering::Acquire) < end && self.zero_ahead(len)? {}
        Ok(())
    }

    #[cold]
    fn pass_zeros(&self, end: u64) {
        let mut ahead = self.ahead.lock();
        while ahead.busy_from.is_some_and(|from| from < end) {
            ahead = self.zeroed.wait(ahead);
        }
        // Under the lock: whoever begins a piece behind this begins it behind the frames.
        self.written.store(end, Ordering::Release);
    }

    /// Writes one piece of zeros if less than `distance` bytes are ready ahead of the frames. Returns whether it wrote.
    pub fn zero_ahead(&self, distance: u64) -> io::Result<bool> {
        let (from, to) = {
            let mut ahead = self.ahead.lock();
            let written = self.written.load(Ordering::Acquire);
            let from = self.zeros.load(Ordering::Acquire).max(written.next_multiple_of(4096));
            let to = ((from / ZERO_PIECE + 1) * ZERO_PIECE).min(self.header.size);
            if from >= to || from >= written + distance || ahead.busy_from.is_some() || ahead.ended {
                return Ok(false);
            }
            ahead.busy_from = Some(from);
            (from, to)
        };
        let result = self.file.write_at(&ZEROS[..(to - from) as usize], from);
        let mut ahead = self.ahead.lock();
        ahead.busy_from = None;
        self.zeros.store(to, Ordering::Release);
        drop(ahead);
        self.zeroed.notify_all();
        match result {
            // Space is promised, but not by every file system: then a full disk ends the zeros and nothing else.
            Err(error) if is_full(&error) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// The same without its file, which is dropped with the last of those who have it.
    pub fn without_file(&self) -> Arc<Segment> {
        let closed = Segment::of(self.header, Arc::new(NoFile));
        closed.end_zeros();
        closed
    }

    /// No zeros are written after this returns.
    pub fn end_zeros(&self) {
        let mut ahead = self.ahead.lock();
        while ahead.busy_from.is_some() {
            ahead = self.zeroed.wait(ahead);
        }
        ahead.ended = true;
    }

    /// Ends the writing of zeros and forgets those ahead of `end`, the last frame's, of this life or an earlier one, so
    /// that the next open need not read them; but for some, in which last words find room. What was only read there is
    /// forgotten too, which the system takes for data. Nobody may write meanwhile.
    pub fn forget_zeros(&self, end: u64) -> io::Result<()> {
        self.end_zeros();
        let from = (end + ZEROS_KEPT).next_multiple_of(4096);
        if from >= self.header.size || self.file.data_from(from) >= self.header.size {
            return Ok(());
        }
        self.file.blank(from, self.header.size - from)
    }
}

/// Stands where a file was that is let go.
struct NoFile;

fn closed<T>() -> io::Result<T> {
    Err(io::Error::other("the log is closed; open it again"))
}

impl File for NoFile {
    fn read_at(&self, _buffer: &mut [u8], _position: u64) -> io::Result<usize> {
        closed()
    }
    fn write_at(&self, _bytes: &[u8], _position: u64) -> io::Result<()> {
        closed()
    }
    fn sync(&self) -> io::Result<()> {
        closed()
    }
    fn len(&self) -> io::Result<u64> {
        closed()
    }
    fn punch(&self, _position: u64, _length: u64) -> io::Result<()> {
        closed()
    }
    fn blank(&self, _position: u64, _length: u64) -> io::Result<()> {
        closed()
    }
    fn map(&self) -> io::Result<Option<Mapping>> {
        closed()
    }
}
