//! All segments of the log, and which of them are open or mapped. Shared by readers and by the writer; knows nothing
//! of the lock under which frames are placed.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::buffers::{Buffer, Buffers};
use super::end::closed;
use super::scan;
use super::shelf::{Aside, Gone, OpenSegment, Shelf};
use super::tail::Tail;
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::SegmentHeader;
use crate::format::footer::{self, FOOTER_HEADER};
use crate::format::frame::{Frame, Seal};
use crate::io::sync::{Mutex, RwLock};
use crate::io::{Event, File, Machine, Mapping};
use crate::limits::{ALLOCATION_MAX, ENTRIES_PER_HOLD};

/// Unit in which a file is cached and grows.
const PAGE: usize = 4096;

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// Its generation.
    pub generation: u32,
    /// Its salt.
    pub salt: u64,
    /// Bytes that frames may fill; the footer lies behind.
    pub size: u64,
    /// LSN of its first frame.
    pub first_lsn: u64,
    /// LSN of its last frame, once sealed.
    pub last_lsn: u64,
    /// The byte behind its last frame, once sealed.
    pub end: u64,
    /// True once no frame will be added.
    pub sealed: bool,
}

/// Bytes with whoever owns them: a mapping or a buffer.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    start: usize,
    end: usize,
}

#[derive(Clone)]
enum Owner {
    Map(Arc<Mapping>),
    Heap(Arc<Vec<u8>>),
    Read(Arc<Buffer>),
}

impl Bytes {
    /// `len` bytes of a buffer, from `start`. The caller has checked that they exist.
    pub fn heap(data: Arc<Vec<u8>>, start: usize, len: usize) -> Bytes {
        debug_assert!(start + len <= data.len());
        Bytes { owner: Owner::Heap(data), start, end: start + len }
    }

    /// `len` of them from `start`, with the same owner; `None` if there are not so many.
    pub fn part(&self, start: usize, len: usize) -> Option<Bytes> {
        let (start, end) = (self.start.checked_add(start)?, self.start.checked_add(start)?.checked_add(len)?);
        (end <= self.end).then(|| Bytes { owner: self.owner.clone(), start, end })
    }
}

impl Deref for Bytes {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.owner {
            Owner::Map(map) => &map[self.start..self.end],
            Owner::Heap(data) => &data[self.start..self.end],
            Owner::Read(buffer) => &buffer[self.start..self.end],
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(data: Vec<u8>) -> Bytes {
        let len = data.len();
        Bytes::heap(Arc::new(data), 0, len)
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The segments of the log.
pub struct Segments {
    machine: Machine,
    table: RwLock<BTreeMap<u64, SegmentInfo>>,
    shelf: Mutex<Shelf>,
    aside: Mutex<Aside>,
    /// The flusher's bell: it has time to unmap what a reader would have to wait for.
    pub(super) flusher_bell: Event,
    /// Files this life writes: open as long as they are unsealed.
    writing: RwLock<BTreeMap<u64, Arc<dyn File>>>,
    pub(super) tail: Tail,
    buffers: Buffers,
    /// Nothing is written, no footer either.
    untouched: bool,
}

impl Segments {
    pub(super) fn new(machine: Machine, infos: impl IntoIterator<Item = SegmentInfo>) -> Segments {
        Segments {
            untouched: false,
            machine,
            table: RwLock::new(infos.into_iter().map(|i| (i.number, i)).collect()),
            shelf: Mutex::default(),
            aside: Mutex::default(),
            flusher_bell: Event::default(),
            writing: RwLock::default(),
            tail: Tail::default(),
            buffers: Buffers::default(),
        }
    }

    /// The same of a log that is only read. Where it was refused for damage the files are the evidence: a footer behind
    /// one that was cut short would give it its length back, and the next opening would take the loss for a tear.
    pub(super) fn untouched(machine: Machine, infos: impl IntoIterator<Item = SegmentInfo>) -> Segments {
        Segments { untouched: true, ..Self::new(machine, infos) }
    }

    /// A segment begins to be written.
    pub(super) fn begin(&self, info: SegmentInfo, file: Arc<dyn File>) {
        self.writing.write().insert(info.number, file);
        self.table.write().insert(info.number, info);
    }

    /// A segment got its last frame.
    pub(super) fn seal(&self, number: u64, last_lsn: u64, end: u64) {
        if let Some(info) = self.table.write().get_mut(&number) {
            *info = SegmentInfo { last_lsn, end, sealed: true, ..*info };
        }
    }

    /// A sealed segment needs no writer any more: from now on it may be mapped.
    pub(super) fn settle(&self, number: u64) {
        self.writing.write().remove(&number);
    }

    /// True once a segment is sealed, written and flushed: it never changes again.
    pub fn is_settled(&self, number: u64) -> bool {
        self.info(number).is_some_and(|i| i.sealed) && self.writing_file(number).is_none()
    }

    /// Everything that is known, in order.
    pub fn all(&self) -> Vec<SegmentInfo> {
        self.table.read().values().copied().collect()
    }

    /// What is known of the segments up to one that was being written, in order; of that one as it was then.
    pub(super) fn up_to(&self, last: u64) -> Vec<SegmentInfo> {
        let mut infos: Vec<SegmentInfo> = Vec::new();
        loop {
            // A roll waits for this lock with the journal's in its hand.
            let from = infos.last().map_or(0, |info| info.number + 1);
            let before = infos.len();
            infos.extend(self.table.read().range(from..=last).take(ENTRIES_PER_HOLD).map(|(_, info)| *info));
            if infos.len() < before + ENTRIES_PER_HOLD || infos.last().is_none_or(|info| info.number >= last) {
                break;
            }
        }
        if let Some(written) = infos.last_mut().filter(|info| info.number == last) {
            *written = SegmentInfo { last_lsn: 0, end: 0, sealed: false, ..*written };
        }
        infos
    }

    /// What is known of a segment.
    pub fn info(&self, number: u64) -> Option<SegmentInfo> {
        self.table.read().get(&number).copied()
    }

    /// The segment that is written now.
    pub fn newest(&self) -> u64 {
        self.table.read().last_key_value().map_or(0, |(n, _)| *n)
    }

    /// The segment before.
    pub fn before(&self, number: u64) -> Option<u64> {
        self.table.read().range(..number).next_back().map(|(n, _)| *n)
    }

    /// The segment behind.
    pub fn after(&self, number: u64) -> Option<u64> {
        self.table.read().range(number + 1..).next().map(|(n, _)| *n)
    }

    /// Reads bytes: from the mapping of a sealed segment, from what was just written, or from the file.
    pub fn read(&self, segment: u64, position: u64, len: usize) -> Result<Bytes> {
        if let Some(file) = self.writing_file(segment) {
            if let Some(bytes) = self.tail.get(segment, position, len) {
                return Ok(bytes);
            }
            return self.read_file(&*file, segment, position, len);
        }
        let (file, map) = self.shelved(segment, position, len)?;
        let Some(map) = map else { return self.read_file(&*file, segment, position, len) };
        match usize::try_from(position).ok().and_then(|p| Some((p, p.checked_add(len)?))) {
            Some((start, end)) if end <= map.len() => Ok(Bytes { owner: Owner::Map(map), start, end }),
            _ => Err(short(segment, position, len)),
        }
    }

    fn writing_file(&self, segment: u64) -> Option<Arc<dyn File>> {
        self.writing.read().get(&segment).cloned()
    }

    fn read_file(&self, file: &dyn File, segment: u64, position: u64, len: usize) -> Result<Bytes> {
        if len > ALLOCATION_MAX {
            let message = format!("a range is longer than one read may be; segment={segment} bytes={len}");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        let mut buffer = self.buffers.take(len);
        let got = file.read_at(&mut buffer, position).map_err(|e| read_error(segment, e))?;
        if got < len {
            return Err(short(segment, position, len));
        }
        Ok(Bytes { owner: Owner::Read(Arc::new(buffer)), start: 0, end: len })
    }

    /// Opens a sealed segment, or finds it open. The caller reads `len` bytes of its mapping from `position`.
    fn shelved(&self, segment: u64, position: u64, len: usize) -> Result<OpenSegment> {
        let found = {
            let mut shelf = self.shelf.lock();
            if shelf.is_closed() {
                return Err(closed());
            }
            shelf.find(segment, position, len)
        };
        if let Some((open, gone)) = found {
            self.set_aside(gone);
            return Ok(open);
        }
        // Outside the lock: who reads an open segment does not wait for one that is being opened.
        let info = self
            .info(segment)
            .ok_or_else(|| Error::new(ErrorKind::Truncated, format!("the segment is gone; segment={segment}")))?;
        let name = SegmentHeader::name(segment, info.generation);
        let file = match self.machine.storage.open(&name) {
            Ok(file) => file,
            // The directory is let go behind the shelf.
            Err(_) if self.shelf.lock().is_closed() => return Err(closed()),
            Err(error) => return Err(read_error(segment, error)),
        };
        let end = if info.end > 0 { info.end } else { info.size };
        let map = file.map().map_err(|e| read_error(segment, e))?.map(|map| Arc::new(map.up_to(end)));
        let open = (file, map);
        let gone = self.shelf.lock().put(segment, open.clone());
        self.set_aside(gone);
        let found = self.shelf.lock().find(segment, position, len);
        let Some((open, gone)) = found else { return Ok(open) };
        self.set_aside(gone);
        Ok(open)
    }

    fn set_aside(&self, gone: Gone) {
        let Some(gone) = gone else { return };
        // Bound to a name: it is dropped when the lock is free again.
        let late = self.aside.lock().put(gone);
        self.flusher_bell.happen();
        drop(late);
    }

    /// Drops what readers have left mapped; the flusher's work.
    pub fn unmap(&self) {
        let gone = self.aside.lock().take();
        drop(gone);
    }

    /// Lets go of all that is open and opens nothing more: who reads right now keeps what it has, who comes later hears
    /// that the log is closed. First the shelf: a segment that is written no more would be mapped from there.
    pub(super) fn let_go(&self) {
        let aside = self.aside.lock().close();
        let shelved = self.shelf.lock().close();
        let written = std::mem::take(&mut *self.writing.write());
        drop((aside, shelved, written));
    }

    pub(super) fn file(&self, segment: u64) -> Result<Arc<dyn File>> {
        match self.writing_file(segment) {
            Some(file) => Ok(file),
            None => self.shelved(segment, 0, 0).map(|(file, _)| file),
        }
    }

    /// What lies behind the frames' room, if it looks like a footer; not verified.
    pub fn footer_bytes(&self, number: u64) -> Result<Option<Bytes>> {
        let Some(info) = self.info(number) else { return Ok(None) };
        let file = self.file(number)?;
        let mut head = [0; FOOTER_HEADER];
        let got = file.read_at(&mut head, info.size).map_err(|e| read_error(number, e))?;
        match footer::length(&head[..got]) {
            Some(len) if len <= ALLOCATION_MAX as u64 => {
                let len = len as usize;
                let mut data = vec![0; len];
                let got = file.read_at(&mut data, info.size).map_err(|e| read_error(number, e))?;
                data.truncate(got);
                Ok(Some(Bytes::heap(Arc::new(data), 0, got)))
            }
            _ => Ok(None),
        }
    }

    /// Writes a footer behind the frames' room, and zeros up to a full page: if the file's length stays, the next flush
    /// need not write it. Not flushed: a footer is derived.
    pub fn put_footer(&self, number: u64, bytes: &[u8]) -> Result<()> {
        if self.untouched {
            return Ok(());
        }
        let info = self.info(number).ok_or_else(|| Error::new(ErrorKind::Internal, "a footer without its segment"))?;
        let file = self.file(number)?;
        let end = info.size + bytes.len() as u64;
        let rest = (end.next_multiple_of(PAGE as u64) - end) as usize;
        let written = file.write_at(bytes, info.size).and_then(|()| file.write_at(&[0; PAGE][..rest], end));
        written.map_err(|e| read_error(number, e))
    }

    /// Visits every valid frame of a segment, stepping over damage. Heads are verified, bodies are not.
    pub fn scan(&self, number: u64, visit: &mut dyn FnMut(u64, &Frame<'_>)) -> Result<()> {
        let Some(info) = self.info(number) else { return Ok(()) };
        let end = if info.end > 0 { info.end } else { info.size };
        let file = self.file(number)?;
        let mut scanner = scan::Scanner::new(&*file, Seal::new(info.salt, number), scan::FIRST, end);
        while let Some(found) = scanner.next_valid().map_err(|e| read_error(number, e))? {
            let frame = scanner.frame(found);
            if frame.header.lsn > info.last_lsn && info.end > 0 {
                break;
            }
            visit(found.position, &frame);
        }
        Ok(())
    }
}

fn short(segment: u64, position: u64, len: usize) -> Error {
    let message = format!(
        "a segment file is shorter than its index says; restore it from a backup, or open it accepting the loss; \
         segment={segment} position={position} bytes={len}"
    );
    Error::new(ErrorKind::Corrupt, message)
}

/// A failed read: the call fails, the engine goes on.
pub(super) fn read_error(segment: u64, error: std::io::Error) -> Error {
    Error::with_source(ErrorKind::Io, format!("reading a segment failed; try again; segment={segment}"), error)
}
