//! What one read is going to fetch: pieces of segments in the order of their offsets.

use std::ops::Range;
use std::sync::Arc;

use super::Partition;
use super::hidden::Hidden;
use super::records::{Candidate, Records, Share, Stretch};
use super::unpacked::Chain;
use crate::error::{ErrorKind, Result};
use crate::format::footer::Run;
use crate::format::frame::Seal;
use crate::journal::{Bytes, Gap, Segments};
use crate::types::{Lsn, Offset};

/// Most bytes of one read, whatever the caller asks for.
pub(super) const READ_MAX: usize = 32 << 20;

/// Most bytes between two pieces that are read along: copying more takes longer than another system call. And never
/// more between pieces than in them.
const NEAR: u64 = 4 << 10;

/// A read as it is planned.
pub(super) struct Plan {
    from: Offset,
    /// What is planned so far reaches up to here.
    at: Offset,
    /// The visible end when the read began.
    end: Offset,
    max_bytes: usize,
    bytes: usize,
    full: bool,
    pieces: Vec<Piece>,
}

/// Adjacent runs of one kind.
struct Piece {
    /// 0: no segment is known to hold these offsets.
    segment: u64,
    position: u64,
    len: usize,
    bare: bool,
    first: Offset,
    end: Offset,
    /// Its last frame, or one behind it.
    lsn: Lsn,
    /// Its first frame, or one before it; 0: any of the segment.
    first_lsn: Lsn,
}

impl Plan {
    pub(super) fn new(from: Offset, end: Offset, max_bytes: usize) -> Self {
        let max_bytes = max_bytes.clamp(1, READ_MAX);
        Self { from, at: from, end, max_bytes, bytes: 0, full: false, pieces: Vec::new() }
    }

    /// The offset to plan next.
    pub(super) fn at(&self) -> Offset {
        self.at
    }
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
    /// The offsets that are planned.
    pub(super) fn range(&self) -> Range<Offset> {
        self.from..self.at.min(self.end)
    }
    /// The first segment that is read.
    pub(super) fn first_segment(&self) -> Option<u64> {
        self.pieces.iter().map(|piece| piece.segment).find(|segment| *segment > 0)
    }
    pub(super) fn wants_more(&self) -> bool {
        !self.full && self.at < self.end && self.bytes < self.max_bytes
    }

    /// Takes a run that reaches up to offset `end`, unless the read is full: false.
    pub(super) fn add(&mut self, (segment, lsn): (u64, Lsn), run: Run, end: Offset) -> bool {
        let len = run.len as usize;
        if run.first_offset >= self.end || (self.bytes > 0 && self.bytes + len > self.max_bytes) {
            self.full = true;
            return false;
        }
        let position = u64::from(run.position);
        self.bytes += len;
        // Never back, or a damaged index could make a read endless.
        self.at = end.max(self.at + 1);
        match self.pieces.last_mut() {
            Some(last)
                if last.segment == segment
                    && last.position + last.len as u64 == position
                    && !(last.bare || run.bare) =>
            {
                last.len += len;
                last.end = end;
                last.lsn = lsn;
            }
            _ => {
                let (bare, first) = (run.bare, run.first_offset);
                self.pieces.push(Piece { segment, position, len, bare, first, end, lsn, first_lsn: 0 });
            }
        }
        self.wants_more()
    }

    /// No segment holds the next offsets: their frames' heads are destroyed, at `gap` if that is known. The next known
    /// offset is `next`.
    pub(super) fn lose(&mut self, next: Option<Offset>, gap: Gap) {
        let end = next.filter(|next| *next > self.at).unwrap_or(self.end);
        let Gap { segment, position, lsns } = gap;
        let (first, lsn, first_lsn) = (self.at, lsns.last, lsns.first);
        self.pieces.push(Piece { segment, position, len: 0, bare: true, first, end, lsn, first_lsn });
        self.at = end;
    }

    /// Fetches what is planned.
    pub(super) fn read(
        self,
        partition: &Partition,
        segments: &Segments,
        before: Lsn,
        hidden: Hidden,
    ) -> Result<Records> {
        let mut stretches = Vec::with_capacity(self.pieces.len());
        let mut at = self.from;
        let mut near = None;
        for (i, piece) in self.pieces.iter().enumerate() {
            let mut bytes = near.as_ref().and_then(|near| piece.of(near));
            if bytes.is_none() {
                near = Near::read(segments, &self.pieces[i..]);
                bytes = near.as_ref().and_then(|near| piece.of(near));
            }
            match piece.read(segments, bytes) {
                Ok(stretch) => stretches.push(stretch),
                Err(error) if stretches.is_empty() => return Err(error),
                Err(_) => break,
            }
            at = piece.end;
        }
        let mut share = Share {
            topic: partition.topic().clone(),
            partition: partition.number(),
            instance: partition.instance(),
            from: self.from,
            end: at.clamp(self.from, self.end),
            stretches,
            hidden,
            witness: partition.witness().clone(),
            seen: (0, before),
        };
        if self.bytes > self.max_bytes {
            share.cut(self.max_bytes);
        }
        Ok(Records::of(share))
    }
}

/// Pieces that lie near each other, fetched by one read with what lies between them: a few frames of others, as
/// decisions and beginnings of transactions are.
struct Near {
    segment: u64,
    position: u64,
    bytes: Bytes,
}

impl Near {
    /// Reads the first pieces, if several lie near; `None` also if not all of it can be read: then each is tried alone.
    fn read(segments: &Segments, pieces: &[Piece]) -> Option<Near> {
        let (count, len) = near(pieces);
        if count < 2 {
            return None;
        }
        let Piece { segment, position, .. } = pieces[0];
        let bytes = segments.read(segment, position, len).ok()?;
        Some(Near { segment, position, bytes })
    }
}

/// How many of the first pieces lie near each other, and how many bytes that is with what lies between them.
fn near(pieces: &[Piece]) -> (usize, usize) {
    let Some(first) = pieces.first().filter(|first| first.segment > 0) else { return (0, 0) };
    let mut end = first.position + first.len as u64;
    let (mut count, mut wanted, mut between) = (1, first.len as u64, 0);
    for piece in &pieces[1..] {
        let gap = piece.position.checked_sub(end).filter(|gap| *gap <= NEAR && between + gap <= wanted);
        let Some(gap) = gap.filter(|_| piece.segment == first.segment && piece.len > 0) else { break };
        end = piece.position + piece.len as u64;
        (count, wanted, between) = (count + 1, wanted + piece.len as u64, between + gap);
    }
    (count, (wanted + between) as usize)
}

impl Piece {
    /// Its bytes, if they are among those read together.
    fn of(&self, near: &Near) -> Option<Bytes> {
        let start = self.position.checked_sub(near.position).filter(|_| self.segment == near.segment)?;
        near.bytes.part(usize::try_from(start).ok()?, self.len)
    }

    /// `bytes`: those that it was read with, if it was.
    fn read(&self, segments: &Segments, bytes: Option<Bytes>) -> Result<Stretch> {
        let info = segments.info(self.segment);
        let bytes = match (bytes, info) {
            (Some(bytes), _) => bytes,
            (None, Some(_)) => readable(segments, self.segment, self.position, self.len)?,
            (None, None) => Bytes::heap(Arc::default(), 0, 0),
        };
        Ok(Stretch {
            bytes,
            bare: self.bare,
            segment: self.segment,
            generation: info.map_or(0, |info| info.generation),
            seal: Seal::new(info.map_or(0, |info| info.salt), self.segment),
            position: self.position,
            first: self.first,
            end: self.end,
            unpacked: Chain::new(),
            lsn: self.lsn,
            first_lsn: match self.first_lsn {
                0 => info.map_or(0, |info| info.first_lsn),
                known => known,
            },
        })
    }
}

impl Share {
    /// Hides what lies past `max_bytes` of the first stretch, keeping at least the batch with the first offset.
    pub(super) fn cut(&mut self, max_bytes: usize) {
        let Some(stretch) = self.stretches.first() else { return };
        let (mut at, mut expected, mut used) = (0, stretch.first, 0);
        while let Some(batch) = Candidate::read(&stretch.bytes, stretch.bare, at, expected) {
            if batch.end > self.from {
                used += batch.next - at;
                if used > max_bytes && expected > self.from {
                    self.end = self.end.min(expected);
                    return;
                }
            }
            (at, expected) = (batch.next, batch.end);
        }
    }
}

/// Reads a range, or as much from its beginning as the file still has: a file cut short loses only what was cut.
fn readable(segments: &Segments, segment: u64, position: u64, len: usize) -> Result<Bytes> {
    let error = match segments.read(segment, position, len) {
        Ok(bytes) => return Ok(bytes),
        Err(error) => error,
    };
    if error.kind() != ErrorKind::Corrupt {
        return Err(error);
    }
    let mut best = Bytes::heap(Arc::default(), 0, 0);
    let mut too_much = len;
    while too_much - best.len() > 1 {
        let middle = best.len() + (too_much - best.len()) / 2;
        match segments.read(segment, position, middle) {
            Ok(bytes) => best = bytes,
            Err(error) if error.kind() == ErrorKind::Corrupt => too_much = middle,
            Err(error) => return Err(error),
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(places: &[(u64, u64, usize)]) -> Vec<Piece> {
        let (bare, first, end, lsn, first_lsn) = (false, 0, 0, 0, 0);
        let piece = |&(segment, position, len)| Piece { segment, position, len, bare, first, end, lsn, first_lsn };
        places.iter().map(piece).collect()
    }

    #[test]
    fn pieces_with_little_between_them_are_read_together() {
        assert_eq!(near(&pieces(&[(1, 100, 1000), (1, 1100, 50), (1, 1200, 10)])), (3, 1110));
        assert_eq!(near(&pieces(&[(1, 100, 9000), (1, 9100 + NEAR, 50), (1, 9151 + 2 * NEAR, 50)])), (2, 9050 + 4096));
    }

    #[test]
    fn pieces_are_read_alone_if_more_lies_between_them_than_in_them() {
        assert_eq!(near(&pieces(&[(1, 100, 50), (1, 200, 60), (1, 320, 1), (1, 323, 9)])), (3, 221));
        assert_eq!(near(&pieces(&[(1, 100, 50), (1, 201, 50)])), (1, 50));
    }

    #[test]
    fn pieces_of_other_segments_before_it_or_of_none_are_read_alone() {
        for other in [(2, 150, 50), (1, 90, 10), (1, 150, 0), (0, 150, 0)] {
            assert_eq!(near(&pieces(&[(1, 100, 50), other])), (1, 50), "{other:?}");
        }
        assert_eq!(near(&pieces(&[(0, 0, 0), (0, 0, 0)])), (0, 0));
        assert_eq!(near(&[]), (0, 0));
    }
}
