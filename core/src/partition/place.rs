//! Where a reader stands behind what it has read: the frame that holds the last record tells whether a later life of
//! the log still has it.

use super::records::{Candidate, Records, Share, Stretch};
use crate::format::frame::FrameHeader;
use crate::types::{Incarnation, Lsn, Offset, Place};

impl Records {
    /// Where a reader of a partition stands behind these records; `None` if this holds nothing of it. Read on from
    /// there, in this life of the log or a later one, with `ReadOptions::from`.
    pub fn next_place(&self, topic: &str, partition: u32) -> Option<Place> {
        let mut shares = self.shares.iter().rev();
        shares.find(|s| s.partition == partition && &*s.topic == topic).map(Share::place)
    }

    /// Notes which life read, and a frame that nothing shown lies behind.
    pub(crate) fn seen_by(&mut self, incarnation: Incarnation, most: Lsn) {
        for share in &mut self.shares {
            share.seen = (incarnation, share.seen.1.min(most));
            share.stretches.iter_mut().for_each(|stretch| stretch.lsn = stretch.lsn.min(most));
        }
    }
}

impl Share {
    pub(super) fn place(&self) -> Place {
        let (incarnation, before) = self.seen;
        let last = self.stretches.iter().rfind(|stretch| stretch.first < self.end);
        let lsn = last.map_or(before, |stretch| stretch.lsn_below(self.end));
        Place { incarnation, lsn, offset: self.end }
    }
}

impl Stretch {
    /// The frame that holds the record before an offset; where frames are damaged one behind it.
    fn lsn_below(&self, end: Offset) -> Lsn {
        let (mut at, mut expected, mut lsn) = (0, self.first, self.lsn);
        while !self.bare
            && expected < end
            && let Some(batch) = Candidate::read(&self.bytes, false, at, expected)
        {
            lsn = FrameHeader::read(&self.bytes[at..]).lsn.min(self.lsn);
            (at, expected) = (batch.next, batch.end);
        }
        if expected < end { self.lsn } else { lsn }
    }
}
