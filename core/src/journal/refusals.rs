//! Why a log does not open, or opens for reading only.

use super::recovery::Hole;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::Place;
use crate::format::files::SegmentHeader;
use crate::limits::COUNT_MAX;

/// `head` cannot be read: it may be all that speaks for the last frames.
pub fn head_error(error: std::io::Error) -> Error {
    let message = "reading the file head failed; try again; if the disk has lost it for good, remove it: the log opens \
                   without it, more slowly";
    Error::with_source(ErrorKind::Io, message, error)
}

/// Refuses what leaves no room for the numbers that this life will give: nobody would read them.
pub fn check_room(count: u64) -> Result<()> {
    if count <= COUNT_MAX / 2 {
        return Ok(());
    }
    let message = "frames or files are numbered past what a log can count to; restore the directory from a backup";
    Err(Error::new(ErrorKind::Corrupt, format!("{message}; number={count} greatest={}", COUNT_MAX / 2)))
}

/// A segment is not there that something refers to.
pub fn missing(number: u64) -> Error {
    let name = SegmentHeader::name(number, 0);
    Error::new(ErrorKind::Corrupt, format!("a segment is missing; restore the file from a backup; file={name}"))
}

/// A checkpoint that no engine writes.
pub fn beside(next: Place, size: u64) -> Error {
    let (file, position) = (SegmentHeader::name(next.segment, 0), next.position);
    let message =
        "the newest checkpoint speaks of a place that its segment does not have; restore the file from a backup";
    Error::new(ErrorKind::Corrupt, format!("{message}; file={file} position={position} size={size}"))
}

/// Frames are lost that may have held anything: what appends answer.
pub fn damaged(hole: &Hole) -> Error {
    let message = format!(
        "durable frames are damaged behind the newest checkpoint and may hide a decision or a fence; restore the \
         directory, or open it accepting the loss; first_lsn={} last_lsn={} file={} position={}",
        hole.first,
        hole.last,
        SegmentHeader::name(hole.place.segment, 0),
        hole.place.position
    );
    Error::new(ErrorKind::Corrupt, message)
}
