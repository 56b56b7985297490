//! Recovery: the newest whole checkpoint, then every frame behind it, segment after segment, up to the first that does
//! not validate. What a later frame declares durable and is not there is corruption; the rest is a torn tail.

use std::collections::{BTreeMap, VecDeque};

use super::checkpoint::Start;
use super::found::{FoundSegment, first_lsn};
use super::scan::{FIRST, Found, Scanner};
use super::segments::read_error;
use crate::error::Result;
use crate::format::control::Place;
use crate::format::files::SegmentHeader;
use crate::format::frame::{Frame, Kind, Payload};
use crate::io::branches::branch;
use crate::io::bugs::{Bug, planted};
use crate::types::{Damage, Lsn};

/// Frames that were declared durable and are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// First LSN lost.
    pub first: Lsn,
    /// Last LSN lost.
    pub last: Lsn,
    /// Where the damage begins.
    pub place: Place,
    /// Only a body is bad, of records or of a part of a checkpoint: nothing but these records is lost.
    pub records_only: bool,
    /// An earlier life was told to go on without them, and its `recovered` frame says so.
    pub accepted: bool,
}

impl Hole {
    /// True if a decision may be lost that nobody has given up yet.
    pub fn refuses(&self) -> bool {
        !self.records_only && !self.accepted
    }
}

impl From<&Hole> for Damage {
    /// As users see it.
    fn from(hole: &Hole) -> Damage {
        Damage {
            first_lsn: hole.first,
            last_lsn: hole.last,
            file: SegmentHeader::name(hole.place.segment, 0),
            position: hole.place.position,
            records_only: hole.records_only,
        }
    }
}

/// What a frame whose body rotted says all the same. If it holds records only, its head says all that the state needs;
/// a part of a checkpoint says nothing that is not in the frames before it.
pub fn without_its_body<'a>(frame: &Frame<'a>) -> Option<Payload<'a>> {
    match Kind::of(frame.header.kind) {
        Some(Kind::Records | Kind::Transaction | Kind::Checkpoint) => frame.payload().ok(),
        _ => None,
    }
}

/// A frame past the last durable LSN: it will be copied.
#[derive(Clone, Copy, Debug)]
pub struct TailFrame {
    pub lsn: Lsn,
    pub place: Place,
    pub len: u64,
    pub kind: u8,
    pub checksum: u32,
}

/// What the walk found.
#[derive(Default)]
pub struct Walked {
    pub last_lsn: Lsn,
    /// The byte behind the last frame.
    pub end: Place,
    pub declared: Lsn,
    /// The byte behind the last durable frame, and that frame's checksum.
    pub durable_end: Place,
    pub durable_checksum: u32,
    pub tail: VecDeque<TailFrame>,
    pub holes: Vec<Hole>,
    /// First LSN of each segment of the chain, and where it ends.
    pub bounds: BTreeMap<u64, (Lsn, Lsn, u64)>,
    /// How far bytes that count no more reach behind the end.
    pub cut_bytes: u64,
    /// Greatest LSN seen behind the end.
    pub cut_lsn: Lsn,
    /// Frames, and their bytes.
    pub folded: (u64, u64),
    /// Kind and LSN of the first frame that this version cannot read and may not step over.
    pub unknown: Option<(u8, Lsn)>,
}

impl Walked {
    /// Last LSN kept, greatest LSN seen behind it, bytes behind it: what was cut.
    pub fn cut(&self) -> Option<(Lsn, Lsn, u64)> {
        (self.cut_bytes > 0).then_some((self.last_lsn, self.cut_lsn, self.cut_bytes))
    }
}

/// Walks the frames of a chain.
pub struct Walk<'a> {
    found: &'a BTreeMap<u64, FoundSegment>,
    chain: &'a [u64],
    /// Parts of the checkpoint that the walk has not come to.
    parts: &'a [(u64, Found)],
    /// Frames past it are not folded: what a reader without the right to write may serve.
    limit: Lsn,
    fold: &'a mut dyn FnMut(Lsn, &Payload<'_>),
    out: Walked,
    /// Greatest durable LSN declared behind the first damage; looked up once.
    ahead: Option<Lsn>,
}

enum Step {
    Next,
    Stop,
}

impl<'a> Walk<'a> {
    /// Starts behind a checkpoint. Everything up to `declared` is known to have been durable, whatever the frames say.
    pub fn new(
        found: &'a BTreeMap<u64, FoundSegment>,
        chain: &'a [u64],
        from: Start<'a>,
        declared: Lsn,
        limit: Lsn,
        fold: &'a mut dyn FnMut(Lsn, &Payload<'_>),
    ) -> Walk<'a> {
        let out = Walked {
            last_lsn: from.reference.lsn,
            end: from.next,
            declared: declared.max(from.reference.lsn),
            durable_end: from.next,
            ..Walked::default()
        };
        Walk { found, chain, parts: from.parts, limit, fold, out, ahead: None }
    }

    /// Walks to the journal's end.
    pub fn run(mut self) -> Result<Walked> {
        let superseded = self.superseded()?;
        for (i, number) in self.chain.iter().enumerate() {
            let segment = &self.found[number];
            let start = if i == 0 { self.out.end.position } else { FIRST };
            let first = self.out.last_lsn.saturating_add(1);
            let step = self.segment(segment, start, superseded[i], i)?;
            let end = if self.out.end.segment == *number { self.out.end.position } else { start };
            self.out.bounds.insert(*number, (first, self.out.last_lsn, end));
            if matches!(step, Step::Stop) {
                break;
            }
        }
        let cut = self.out.tail.iter().position(|t| t.lsn > self.out.last_lsn).unwrap_or(self.out.tail.len());
        self.out.tail.truncate(cut);
        Ok(self.out)
    }

    /// Up to which LSN the frames of each segment count: a recovery's copy takes over in the middle, and what lies
    /// behind that in any segment before it was copied or cut. Where its link rotted, its first frame says from where.
    fn superseded(&self) -> Result<Vec<Lsn>> {
        let mut least = Lsn::MAX;
        let mut superseded = vec![least; self.chain.len()];
        for i in (1..self.chain.len()).rev() {
            let segment = &self.found[&self.chain[i]];
            let before = match segment.link {
                Some(link) if link.recovery == 1 => link.lsn,
                Some(_) => Lsn::MAX,
                None => first_lsn(segment)?.map_or(Lsn::MAX, |lsn| lsn.saturating_sub(1)),
            };
            least = least.min(before);
            superseded[i - 1] = least;
        }
        Ok(superseded)
    }

    /// True if the segment behind one of the chain is lost. It may have held a copy, and nobody knows from where on:
    /// what lies behind a tear before it may have been cut.
    fn lost_behind(&self, index: usize) -> bool {
        let next = self.chain.get(index + 1).and_then(|next| self.found[next].link);
        next.is_some_and(|link| link.segment != self.chain[index])
    }

    fn segment(&mut self, segment: &FoundSegment, start: u64, superseded: Lsn, index: usize) -> Result<Step> {
        let number = segment.header.number;
        let fail = |e| read_error(number, e);
        let mut scanner = Scanner::new(&*segment.file, segment.seal(), start, segment.header.size);
        loop {
            if self.out.last_lsn >= superseded {
                return Ok(Step::Next);
            }
            let at = scanner.position;
            let expected = self.out.last_lsn.saturating_add(1);
            if let Some(part) = self.loaded(number, at, expected) {
                scanner.position = part.end();
                self.pass(part, number);
                continue;
            }
            match scanner.next_frame().map_err(fail)? {
                // The journal's end does not move for a link: until a frame behind it is durable, the link may not be.
                Ok(f) if f.header.kind == Kind::Link as u8 && at == FIRST => {
                    self.out.declared = self.out.declared.max(f.header.durable_lsn);
                }
                Ok(f) if f.header.lsn == expected && (scanner.body_is_good(f) || planted(Bug::TailBodyUnchecked)) => {
                    self.take(&scanner, f, number);
                }
                Ok(f) if f.header.lsn == expected && !self.lost_behind(index) => {
                    if self.declared_behind(index, f.end(), expected)? < expected {
                        if f.header.kind == Kind::Transaction as u8 {
                            branch("torn_transaction_part");
                        }
                        return self.cut(index, at);
                    }
                    self.bad_body(&scanner, f, number);
                }
                _ => match self.no_frame(&mut scanner, index, (at, superseded), expected)? {
                    Step::Next => {
                        if scanner.position >= segment.header.size {
                            return Ok(Step::Next);
                        }
                    }
                    Step::Stop => return Ok(Step::Stop),
                },
            }
        }
    }

    /// The part of the loaded checkpoint that lies there.
    fn loaded(&mut self, segment: u64, position: u64, lsn: Lsn) -> Option<Found> {
        let ((number, part), others) = self.parts.split_first()?;
        let here = (*number, part.position, part.header.lsn) == (segment, position, lsn);
        here.then(|| {
            self.parts = others;
            *part
        })
    }

    /// A good frame: fold it and remember where it lies until it is known durable.
    fn take(&mut self, scanner: &Scanner<'_>, found: Found, segment: u64) {
        let header = found.header;
        let payload = scanner.frame(found).payload();
        if let Ok(Payload::Recovered(recovered)) = &payload {
            let covers = |hole: &Hole| recovered.lost_first <= hole.first && hole.last <= recovered.lost_last;
            self.out.holes.iter_mut().for_each(|hole| hole.accepted |= covers(hole));
        }
        match payload {
            Ok(payload) if header.lsn <= self.limit => (self.fold)(header.lsn, &payload),
            Ok(_) => {}
            // Its bytes are right, so another version wrote it.
            Err(_) => self.out.unknown = self.out.unknown.or(Some((header.kind, header.lsn))),
        }
        self.pass(found, segment);
    }

    fn pass(&mut self, found: Found, segment: u64) {
        let header = found.header;
        if header.kind != Kind::Checkpoint as u8 {
            self.out.folded = (self.out.folded.0 + 1, self.out.folded.1 + header.len());
        }
        self.out.last_lsn = header.lsn;
        self.out.end = Place { segment, position: found.end() };
        self.out.declared = self.out.declared.max(header.durable_lsn);
        let place = Place { segment, position: found.position };
        let (lsn, len, kind, checksum) = (header.lsn, header.len(), header.kind, header.checksum);
        self.out.tail.push_back(TailFrame { lsn, place, len, kind, checksum });
        while let Some(first) = self.out.tail.front().copied()
            && first.lsn <= self.out.declared
        {
            self.out.tail.pop_front();
            let position = first.place.position + first.len;
            self.out.durable_end = Place { segment: first.place.segment, position };
            self.out.durable_checksum = first.checksum;
        }
    }

    /// A durable frame whose body rotted.
    fn bad_body(&mut self, scanner: &Scanner<'_>, found: Found, segment: u64) {
        branch("corruption_above_checkpoint");
        let frame = scanner.frame(found);
        let payload = without_its_body(&frame);
        if let Some(payload) = &payload
            && found.header.lsn <= self.limit
        {
            (self.fold)(found.header.lsn, payload);
        }
        let (lsn, place) = (found.header.lsn, Place { segment, position: found.position });
        self.out.holes.push(Hole { first: lsn, last: lsn, place, records_only: payload.is_some(), accepted: false });
        self.pass(found, segment);
    }

    /// No valid frame with the expected LSN lies at `at`: the journal's end, a torn tail, or corruption.
    /// Frames past `superseded` count no more where they lie.
    fn no_frame(
        &mut self,
        s: &mut Scanner<'_>,
        index: usize,
        (at, superseded): (u64, Lsn),
        expected: Lsn,
    ) -> Result<Step> {
        let number = self.chain[index];
        let fail = |e| read_error(number, e);
        let next = self.chain.get(index + 1).map(|n| &self.found[n]);
        let follows = next.and_then(|n| n.link).is_some_and(|l| l.lsn == self.out.last_lsn && l.end == at);
        if follows {
            s.position = u64::MAX;
            return Ok(Step::Next);
        }
        if self.declared_behind(index, at, expected)? < expected {
            return self.cut(index, at);
        }
        s.position = at;
        let zeros = !s.step().map_err(fail)? || s.position > at + 64;
        s.position = at + 8;
        let mut resumed = None;
        while !self.lost_behind(index)
            && let Some(valid) = s.next_valid().map_err(fail)?
        {
            if valid.header.lsn >= expected && valid.header.kind != Kind::Link as u8 {
                resumed = (valid.header.lsn <= superseded).then_some(valid);
                break;
            }
        }
        branch(if zeros { "zeros_inside_durable" } else { "corruption_above_checkpoint" });
        let last = match (resumed, next) {
            (Some(valid), _) => valid.header.lsn - 1,
            (None, Some(FoundSegment { link: Some(link), .. })) => link.lsn,
            (None, Some(next)) => first_lsn(next)?.map_or(expected, |lsn| lsn.saturating_sub(1)),
            (None, None) => self.ahead.unwrap_or(expected),
        }
        .min(superseded);
        let place = Place { segment: number, position: at };
        if last >= expected {
            self.out.holes.push(Hole { first: expected, last, place, records_only: false, accepted: false });
            self.out.last_lsn = last;
        }
        s.position = resumed.map_or(u64::MAX, |valid| valid.position);
        Ok(Step::Next)
    }

    /// The journal ends here. Counts what lies behind, in this segment and those that follow it.
    fn cut(&mut self, index: usize, at: u64) -> Result<Step> {
        self.out.cut_lsn = self.out.cut_lsn.max(self.out.last_lsn);
        for (i, number) in self.chain.iter().enumerate().skip(index) {
            let segment = &self.found[number];
            let start = if i == index { at } else { FIRST };
            let mut s = Scanner::new(&*segment.file, segment.seal(), start, segment.header.size);
            let last = s.last_byte().map_err(|e| read_error(*number, e))?;
            self.out.cut_bytes += last.saturating_sub(start);
        }
        if self.out.cut_bytes > 0 {
            branch("torn_frame");
        }
        Ok(Step::Stop)
    }

    /// The greatest durable LSN that any valid frame from `at` on declares. Looked up at the first damage only: it
    /// covers everything behind.
    fn declared_behind(&mut self, index: usize, at: u64, expected: Lsn) -> Result<Lsn> {
        if planted(Bug::RotCutAsTorn) {
            return Ok(0);
        }
        if let Some(known) = self.ahead {
            return Ok(known.max(self.out.declared));
        }
        let mut declared = self.out.declared;
        for (i, n) in self.chain.iter().enumerate().skip(index) {
            let segment = &self.found[n];
            let start = if i == index { at } else { FIRST };
            let mut s = Scanner::new(&*segment.file, segment.seal(), start, segment.header.size);
            while let Some(valid) = s.next_valid().map_err(|e| read_error(*n, e))? {
                if valid.header.lsn >= expected {
                    declared = declared.max(valid.header.durable_lsn);
                    self.out.cut_lsn = self.out.cut_lsn.max(valid.header.lsn);
                }
            }
        }
        let number = self.chain[index];
        if self.found[&number].was_cut_short(at).map_err(|e| read_error(number, e))? {
            declared = declared.max(expected);
        }
        self.ahead = Some(declared);
        // The frame that says so may lie behind a tear and never be reached.
        self.out.declared = declared;
        Ok(declared)
    }
}
