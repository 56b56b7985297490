//! The next segment: made and synced before it is needed, so that a roll only switches files.

use std::io;
use std::sync::Arc;

use super::core::Core;
use super::scan::FIRST;
use super::segment::Segment;
use super::segments::SegmentInfo;
use super::{Fold, Journal};
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::SegmentHeader;
use crate::io::bugs::{Bug, planted};
use crate::io::sync::atomic::Ordering;
use crate::limits::SEGMENT_MAX;
use crate::types::Lsn;

/// Each segment is so many times as large as the one before, until they are as large as they may be: a small log takes
/// little space, and one that fills fast is soon through the sizes that fill in a millisecond.
const GROWTH: u64 = 4;

/// Room that a link takes at the start of a segment, generously.
const LINK_ROOM: u64 = 256;

/// Size of a segment that holds a link and a frame of `len` bytes.
pub fn room_for(len: usize) -> u64 {
    FIRST + LINK_ROOM + len as u64
}

/// What is known of a segment that begins to be written.
pub fn begun(header: &SegmentHeader, first_lsn: Lsn) -> SegmentInfo {
    SegmentInfo {
        number: header.number,
        generation: header.generation,
        salt: header.salt,
        size: header.size,
        first_lsn,
        last_lsn: 0,
        end: 0,
        sealed: false,
    }
}

/// True if a file cannot be made for want of space: the device's, the user's quota, or the greatest size of a file.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// An operating system's failure to make a file, as the caller can act on it.
pub fn creation_error(error: io::Error) -> Error {
    if is_full(&error) {
        let message = "no space for the next segment; free some and go on, the log stays open";
        return Error::with_source(ErrorKind::Full, message, error);
    }
    Error::with_source(ErrorKind::Io, "making the next segment failed; try again", error)
}

impl<F: Fold> Journal<F> {
    /// Tells the readers' table that the journal goes on in `spare`.
    pub(super) fn rolled(&self, core: &Core<F>, spare: &Arc<Segment>) {
        let last = core.next_lsn - 1;
        self.segments.seal(core.segment.header.number, last, core.position);
        self.segments.begin(begun(&spare.header, core.next_lsn), spare.file.clone());
    }

    /// Has a spare of at least `needed` bytes ready when it returns; if somebody else is making one, waits for it. Once
    /// the journal has ended it does nothing: who asks is refused at the door.
    pub(super) fn prepare_spare(&self, needed: u64) -> Result<()> {
        let seen = self.progress.seen();
        if self.is_shut() {
            return Ok(());
        }
        let Some(baton) = self.prepare.take() else {
            self.machine.park.park(&self.progress, seen, None);
            return Ok(());
        };
        let result = self.make_spare(needed);
        drop(baton);
        self.progress.happen();
        result
    }

    fn make_spare(&self, needed: u64) -> Result<()> {
        let size = {
            let core = self.core.lock();
            if core.spare.as_ref().is_some_and(|s| s.header.size >= needed) {
                return Ok(());
            }
            let next = core.segment.header.size.saturating_mul(GROWTH).min(self.options.segment_bytes);
            next.max(needed).next_multiple_of(4096)
        };
        if size > SEGMENT_MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, format!("a segment would be too large; bytes={size}")));
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        match self.create(number, size) {
            Ok(spare) => {
                // One that was too small stays until there is another: relying on it, frames may have used the reserve.
                let small = self.core.lock().spare.replace(spare);
                if let Some(small) = small {
                    let name = SegmentHeader::name(small.header.number, small.header.generation);
                    // A file that stays is swept away at the next open.
                    let _ = self.machine.storage.remove(&name);
                }
            }
            Err(error) => {
                // Nothing refers to it yet; what is left of it is swept away at the next open.
                let _ = self.machine.storage.remove(&SegmentHeader::name(number, 0));
                return Err(creation_error(error));
            }
        }
        Ok(())
    }

    /// Makes a segment whose header and name are durable.
    fn create(&self, number: u64, size: u64) -> io::Result<Arc<Segment>> {
        let segment = Segment::create(&self.machine, self.uuid, number, size)?;
        segment.file.sync()?;
        if !planted(Bug::NoDirectorySync) {
            self.machine.storage.sync_directory()?;
        }
        Ok(segment)
    }
}
