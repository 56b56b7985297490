//! Which frames lie where a segment is damaged: their LSNs, as near as the whole frames around them tell. For whoever
//! is told of damage; nobody else comes here.

use std::fmt;
use std::io;
use std::ops::Range;

use super::scan::{FIRST, Found, Scanner};
use super::segments::Segments;
use crate::error::Result;
use crate::format::frame::Seal;
use crate::io::File;
use crate::types::Lsn;

/// How far around damage the next whole frame is looked for. Where more than that is destroyed, each of the records in
/// it is told of, and to look through all of it for each would take the square of the time.
const REACH: u64 = 1 << 20;
/// How far at first.
const NEAR: u64 = 4 << 10;
/// So many segments are looked through from either side for frames that no index knows of.
const SEGMENTS: usize = 3;

/// The LSNs that damaged frames can have, from the first to the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lsns {
    /// No frame in question has a smaller one.
    pub first: Lsn,
    /// Nor a greater one.
    pub last: Lsn,
}

impl Lsns {
    /// Nothing is known.
    pub const ANY: Lsns = Lsns { first: 1, last: Lsn::MAX };

    /// What both allow; if that is nothing, `bounds`.
    pub fn within(self, bounds: Lsns) -> Lsns {
        let (first, last) = (self.first.max(bounds.first), self.last.min(bounds.last));
        if first <= last { Lsns { first, last } } else { bounds }
    }
}

impl fmt::Display for Lsns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "first_lsn={} last_lsn={}", self.first, self.last)
    }
}

/// A place where frames are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// 0: not known.
    pub segment: u64,
    /// The byte where the frames are interrupted first.
    pub position: u64,
    /// Of the frames that are missing, from there on.
    pub lsns: Lsns,
}

impl Gap {
    /// Nowhere in particular.
    pub const NOWHERE: Gap = Gap { segment: 0, position: 0, lsns: Lsns::ANY };
}

impl Segments {
    /// Where the frames of a segment are interrupted, if they are. One whose body is bad counts as missing: where a
    /// file was cut its end was not there when the index was made, and zeros are since a footer was put behind it. No
    /// LSN is missing between the two that it gives if only its link is, which has none of its own.
    pub fn gap(&self, number: u64) -> Result<Option<Gap>> {
        let Some(info) = self.info(number) else { return Ok(None) };
        let (mut due, mut next, mut gap) = (FIRST, info.first_lsn, None);
        let missing = |position, first, last| Gap { segment: number, position, lsns: Lsns { first, last } };
        self.scan(number, &mut |position, frame| {
            let good = frame.verify_body(&[]).is_ok();
            if position != due || !good {
                let found: &mut Gap = gap.get_or_insert(missing(due, next, 0));
                found.lsns.last = frame.header.lsn.saturating_sub(u64::from(good));
            }
            (due, next) = (position + frame.header.len(), frame.header.lsn.saturating_add(1));
        })?;
        if due < info.end {
            let gap = gap.get_or_insert(missing(due, next, 0));
            gap.lsns.last = info.last_lsn;
            // Where a file was cut, a frame that ended in zeros has them back by now; the index has missed it.
            let mut head = [1; 8];
            let zeros = self.file(number)?.read_at(&mut head, due).is_ok() && head == [0; 8];
            if zeros && gap.position == due {
                gap.lsns.first = next.saturating_sub(1).max(info.first_lsn);
            }
        }
        Ok(gap)
    }

    /// Where frames are missing that lay behind some of segment `under` (0: anywhere) and before some of segment
    /// `above`. There may be several such places: the one named is the first of its segment, the LSNs are those of all.
    pub fn gap_between(&self, under: u64, above: u64) -> Gap {
        let (lower, first) = self.first_missing(under);
        let (upper, last) = self.last_missing(above);
        let whole = Lsns { first: self.info(under).map_or(1, |info| info.first_lsn), last: Lsn::MAX };
        Gap { lsns: Lsns { first, last }.within(whole), ..upper.or(lower).unwrap_or(Gap::NOWHERE) }
    }

    /// The first place at or behind a segment where frames are missing, if it is near; none before that LSN is.
    fn first_missing(&self, under: u64) -> (Option<Gap>, Lsn) {
        let mut due = self.info(under).map_or(1, |info| info.first_lsn);
        let start = if under > 0 { Some(under) } else { self.after(0) };
        for number in std::iter::successors(start, |at| self.after(*at)).take(SEGMENTS) {
            let Some(info) = self.info(number).filter(|info| info.first_lsn <= due) else { break };
            match self.gap(number) {
                Ok(Some(gap)) => return (Some(gap), gap.lsns.first),
                Ok(None) => due = due.max(info.last_lsn.saturating_add(1)),
                Err(_) => break,
            }
        }
        (None, due)
    }

    /// The last place in or before a segment where frames are missing, if it is near; none behind that LSN is.
    fn last_missing(&self, above: u64) -> (Option<Gap>, Lsn) {
        let mut last = Lsn::MAX;
        let start = self.before(above.saturating_add(1));
        for number in std::iter::successors(start, |at| self.before(*at)).take(SEGMENTS) {
            let Some(info) = self.info(number).filter(|info| last == Lsn::MAX || info.last_lsn >= last) else { break };
            match self.gap(number) {
                Ok(Some(gap)) => return (Some(gap), gap.lsns.last),
                Ok(None) => last = info.first_lsn.saturating_sub(1),
                Err(_) => break,
            }
        }
        (None, last)
    }

    /// Which frames of a segment are damaged, said of some bytes that are and, if `until` lies behind them, of frames
    /// that no index knows of and that lay before it. Exact where the head of one frame is whole, or where the frames
    /// before and behind are and only one was between them; at worst all of the segment. Reads what lies around.
    pub fn damaged(&self, number: u64, bytes: Range<u64>, until: u64) -> Option<Gap> {
        let info = self.info(number)?;
        let (end, last) = if info.sealed { (info.end, info.last_lsn) } else { (info.size, Lsn::MAX) };
        let bounds = Lsns { first: info.first_lsn, last };
        let whole = Gap { segment: number, position: bytes.start, lsns: bounds };
        // What cannot be read tells nothing; the answer is about damage and must come.
        let Ok(file) = self.file(number) else { return Some(whole) };
        let place = Place { file: &*file, seal: Seal::new(info.salt, number), end, open: !info.sealed };
        let hit = if bytes.is_empty() { None } else { place.hit(&bytes).ok() };
        let missing = if until > bytes.end { place.missing(bytes.end, until).ok().flatten() } else { None };
        let (position, lsns) = match (hit, missing) {
            (Some(hit), Some((_, missing))) => (bytes.start, Lsns { last: hit.last.max(missing.last), ..hit }),
            (Some(hit), None) => (bytes.start, hit),
            (None, Some(missing)) => missing,
            (None, None) => return Some(whole),
        };
        Some(Gap { position, lsns: lsns.within(bounds), ..whole })
    }
}

/// A segment that is damaged somewhere.
struct Place<'a> {
    file: &'a dyn File,
    seal: Seal,
    /// Behind its last frame.
    end: u64,
    /// More frames may follow.
    open: bool,
}

impl Place<'_> {
    /// What the frames at, before and behind some bytes say of those that these held.
    fn hit(&self, bytes: &Range<u64>) -> io::Result<Lsns> {
        let before = self.before(bytes.start)?;
        let own = match self.at(bytes.start)? {
            None => self.around(before, bytes.start)?,
            own => own,
        };
        let first = match own.or(before) {
            Some(found) => found.header.lsn.saturating_add(u64::from(own.is_none())),
            None => 1,
        };
        if own.is_some_and(|own| own.end() >= bytes.end) {
            return Ok(Lsns { first, last: first });
        }
        let from = bytes.end.next_multiple_of(8);
        let mut scanner = Scanner::glance(self.file, self.seal, from, self.end.min(from.saturating_add(REACH)));
        let last = scanner.next_valid()?.map_or(Lsn::MAX, |behind| behind.header.lsn.saturating_sub(1));
        Ok(Lsns { first, last })
    }

    /// Where frames are missing between two bytes, and which.
    fn missing(&self, from: u64, until: u64) -> io::Result<Option<(u64, Lsns)>> {
        // The frame that `from` lies in the middle of may be damaged itself, so the first to look at is that one.
        let (mut due, mut next) = match self.before(from)? {
            Some(before) => (before.end(), before.header.lsn.saturating_add(1)),
            None => (from.next_multiple_of(8), 1),
        };
        let mut scanner = Scanner::new(self.file, self.seal, due, self.end);
        let mut gap = None;
        while due < until.min(self.end) {
            let found = scanner.next_valid()?;
            if found.is_none() && self.open && until == u64::MAX {
                break;
            }
            let good = found.is_some_and(|found| scanner.body_is_good(found));
            if found.is_none_or(|found| found.position != due) || !good {
                let last = found.map_or(Lsn::MAX, |found| found.header.lsn.saturating_sub(u64::from(good)));
                gap.get_or_insert((due, Lsns { first: next, last })).1.last = last;
            }
            let Some(found) = found else { break };
            (due, next) = (found.end(), found.header.lsn.saturating_add(1));
        }
        Ok(gap)
    }

    fn at(&self, position: u64) -> io::Result<Option<Found>> {
        Ok(Scanner::glance(self.file, self.seal, position, self.end).next_frame()?.ok())
    }

    /// The frame that a byte lies in the middle of, if it follows `before`.
    fn around(&self, before: Option<Found>, byte: u64) -> io::Result<Option<Found>> {
        let Some(before) = before else { return Ok(None) };
        Ok(self.at(before.end())?.filter(|found| found.position < byte && byte < found.end()))
    }

    /// The last whole frame that ends at a byte or before it, if it is near.
    fn before(&self, end: u64) -> io::Result<Option<Found>> {
        let mut reach = NEAR;
        loop {
            let from = end.saturating_sub(reach).max(FIRST);
            let mut scanner = Scanner::glance(self.file, self.seal, from, end.min(self.end));
            let mut last = None;
            while let Some(found) = scanner.next_valid()? {
                last = Some(found);
            }
            if last.is_some() || from == FIRST || reach >= REACH {
                return Ok(last);
            }
            reach *= 16;
        }
    }
}
