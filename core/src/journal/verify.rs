//! Reads what is durable and says what is damaged, for whoever asks. Nothing is written, and no lock is held while it
//! reads.

use super::recovery::{Hole, without_its_body};
use super::scan::{FIRST, Found, Scanner};
use super::segments::{SegmentInfo, Segments, read_error};
use crate::error::Result;
use crate::format::control::Place;
use crate::format::frame::{Kind, Seal};
use crate::types::{Lsn, Verification};

impl Segments {
    /// Verifies head and body of each frame of a segment up to an LSN that is known durable. A segment that is gone
    /// holds nothing.
    pub fn verify(&self, number: u64, durable: Lsn, found: &mut Verification) -> Result<()> {
        let Some(info) = self.info(number) else { return Ok(()) };
        let file = self.file(number)?;
        found.segments += 1;
        let (end, last) = if info.end > 0 { (info.end, info.last_lsn.min(durable)) } else { (info.size, durable) };
        let scanner = Scanner::new(&*file, Seal::new(info.salt, number), FIRST, end);
        Pass { scanner, info, last, found }.run().map_err(|e| read_error(number, e))
    }
}

/// One way through a segment.
struct Pass<'a> {
    scanner: Scanner<'a>,
    info: SegmentInfo,
    /// The last frame that is due.
    last: Lsn,
    found: &'a mut Verification,
}

impl Pass<'_> {
    fn run(mut self) -> std::io::Result<()> {
        let mut due = self.info.first_lsn;
        if due <= self.last {
            self.link(due)?;
        }
        while due <= self.last {
            let at = self.scanner.position;
            match self.scanner.next_frame()? {
                Ok(found) if found.header.lsn == due => self.frame(found),
                _ => {
                    due = self.resume(at, due)?;
                    continue;
                }
            }
            due += 1;
        }
        Ok(())
    }

    /// The link that a segment begins with: it has no LSN of its own, but the one of the frame before it.
    fn link(&mut self, due: Lsn) -> std::io::Result<()> {
        match self.scanner.next_frame()? {
            Ok(found) if found.header.kind == Kind::Link as u8 => self.frame(found),
            _ => {
                self.scanner.position = FIRST;
                // A checkpoint may name no first frame.
                let before = due.saturating_sub(1);
                self.damaged(FIRST, (before, before), false);
            }
        }
        Ok(())
    }

    /// A frame whose head is whole.
    fn frame(&mut self, found: Found) {
        if self.scanner.body_is_good(found) {
            self.found.frames += 1;
            self.found.bytes += found.header.len();
            return;
        }
        let records_only = without_its_body(&self.scanner.frame(found)).is_some();
        self.damaged(found.position, (found.header.lsn, found.header.lsn), records_only);
    }

    /// Where the frame that is due should lie, at `at`, there is none: goes on at the next one. Answers the LSN that is
    /// due then.
    fn resume(&mut self, at: u64, due: Lsn) -> std::io::Result<Lsn> {
        self.scanner.position = at + 8;
        let mut next = self.last + 1;
        while let Some(found) = self.scanner.next_valid()? {
            if (due..=self.last).contains(&found.header.lsn) && found.header.kind != Kind::Link as u8 {
                next = found.header.lsn;
                self.scanner.position = found.position;
                break;
            }
        }
        // The next one is due itself: what lies between belongs to nobody.
        if next > due {
            self.damaged(at, (due, next - 1), false);
        }
        Ok(next)
    }

    fn damaged(&mut self, position: u64, (first, last): (Lsn, Lsn), records_only: bool) {
        let place = Place { segment: self.info.number, position };
        self.found.damage.push((&Hole { first, last, place, records_only, accepted: false }).into());
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;
    use crate::format::frame;
    use crate::io::sim::{Rng, World};
    use crate::journal::segment::Segment;
    use crate::limits::COUNT_MAX;

    /// A segment whose first frames, a link and two marks, may each be damaged.
    fn segment(rng: &mut Rng) -> std::io::Result<Segments> {
        let machine = World::new(rng.next_u64()).machine();
        let segment = Segment::create(&machine, [7; 16], 1, 64 << 10)?;
        let mut at = FIRST;
        for (kind, lsn) in [(Kind::Link, 0), (Kind::Mark, 1), (Kind::Mark, 2)] {
            let mut bytes = Vec::new();
            frame::encode(&mut bytes, kind, 0, &[0; 96][..if kind == Kind::Link { 96 } else { 0 }], &[]);
            frame::stamp(&mut bytes, segment.seal, at, lsn, 0);
            let len = bytes.len();
            bytes[rng.index(len)] ^= u8::from(rng.below(2) == 0);
            segment.file.write_at(&bytes, at)?;
            at += len as u64;
        }
        let mut number = || [0, 1, 2, 3, rng.below(COUNT_MAX), COUNT_MAX][rng.index(6)];
        let (first_lsn, last_lsn, end) = (number(), number(), number().min(64 << 10));
        let info =
            SegmentInfo { first_lsn, last_lsn, end, sealed: true, ..crate::journal::roll::begun(&segment.header, 1) };
        Ok(Segments::new(machine, [info]))
    }

    #[test]
    fn whatever_a_checkpoint_says_of_a_segment_verifying_it_ends_and_names_what_is_damaged() {
        let mut rng = Rng::new(1);
        for _ in 0..5_000 {
            let segments = segment(&mut rng).unwrap();
            let mut found = Verification::default();
            segments.verify(1, [0, 1, 2, COUNT_MAX][rng.index(4)], &mut found).unwrap();
            assert!(found.damage.iter().all(|damage| damage.first_lsn <= damage.last_lsn), "{found:?}");
        }
    }
}
