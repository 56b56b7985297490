//! What is said of records that a walk cannot give out: to whoever walks, and to the log.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::records::{Share, Stretch};
use crate::error::{Error, ErrorKind};
use crate::format::files::SegmentHeader;
use crate::io::branches::branch;
use crate::journal::{Gap, Lsns};
use crate::types::Offset;

/// Hears of every record that a walk could not give out, each time it is walked over, and knows which frames lie where
/// it should.
pub trait Witness: Send + Sync {
    /// These are lost. May be called with any lock held.
    fn lost(&self, loss: &Loss<'_>);
    /// Which frames of a segment are damaged, said of some bytes that are and, if `until` lies behind them, of frames
    /// that no index knows of and that lay before it. Reads the segment; `None` if there is no log any more that could.
    fn damaged(&self, segment: u64, bytes: Range<u64>, until: u64) -> Option<Gap>;
}

/// Records that cannot be read.
pub struct Loss<'a> {
    pub topic: &'a Arc<str>,
    pub partition: u32,
    pub offsets: Range<Offset>,
    /// The file and the byte in it where their bytes should lie.
    pub file: &'a str,
    pub position: u64,
    /// The frames that held them are among these.
    pub lsns: Lsns,
}

/// As errors end with it.
impl fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss { topic, partition, offsets: Range { start, end }, file, position, lsns } = self;
        write!(
            f,
            "topic={topic} partition={partition} offsets={start}..{end} segment={file} position={position} {lsns}"
        )
    }
}

impl Share {
    /// Some bytes of the first of these stretches are not what was written, or what the index does not know of is lost
    /// behind it.
    #[cold]
    pub(super) fn damaged(&self, stretches: &[Stretch], bytes: Range<usize>, lost: Range<Offset>) -> Error {
        let text = "records are damaged; read on behind them, and restore them from where they came";
        branch("corruption_below_checkpoint");
        let Some(stretch) = stretches.first() else { return Error::new(ErrorKind::Corrupt, text) };
        let next = stretches.get(1).filter(|next| next.segment == stretch.segment && next.position > stretch.position);
        let next = next.map_or(u64::MAX, |next| next.position);
        let until = if bytes.end < stretch.bytes.len() { 0 } else { next };
        Error::new(ErrorKind::Corrupt, format!("{text}, {}", self.lose(stretch, bytes, until, lost)))
    }

    /// A batch that reaches up to offset `end` is what was written and cannot be decoded.
    #[cold]
    pub(super) fn unreadable(
        &self,
        stretch: &Stretch,
        bytes: Range<usize>,
        (lost, end): (Range<Offset>, Offset),
        error: &Error,
    ) -> Error {
        let (topic, partition, what) = (&self.topic, self.partition, error.message());
        let text = format!("{what}; read on at the end of the batch");
        // Nothing is wrong with a batch whose codec this build lacks.
        if error.kind() == ErrorKind::UnsupportedVersion {
            let values = format!("topic={topic} partition={partition} batch_end={end}");
            return Error::new(ErrorKind::UnsupportedVersion, format!("{text}, {values}"));
        }
        let values = self.lose(stretch, bytes, 0, lost);
        Error::new(ErrorKind::Corrupt, format!("{text}, {values} batch_end={end}"))
    }

    /// Tells the log; answers what the error ends with.
    fn lose(&self, stretch: &Stretch, bytes: Range<usize>, until: u64, offsets: Range<Offset>) -> String {
        let place = |at: usize| stretch.position + at as u64;
        let bounds = Lsns { first: stretch.first_lsn.max(1), last: stretch.lsn };
        // Where there is nothing to look at, the place is a guess and the bounds are all that is known.
        let known = (!stretch.bytes.is_empty()).then(|| place(bytes.start)..place(bytes.end));
        let found = known.and_then(|bytes| self.witness.damaged(stretch.segment, bytes, until));
        let (position, lsns) = match found {
            Some(found) => (found.position, found.lsns.within(bounds)),
            None => (place(bytes.start), bounds),
        };
        let file = match stretch.segment {
            0 => "none".to_owned(),
            segment => SegmentHeader::name(segment, stretch.generation),
        };
        let loss = Loss { topic: &self.topic, partition: self.partition, offsets, file: &file, position, lsns };
        self.witness.lost(&loss);
        loss.to_string()
    }
}
