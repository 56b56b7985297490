//! Segment files as an opening finds them, and which of them hold the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::handles::Handles;
use super::scan::{FIRST, Scanner};
use super::segment::Segment;
use super::segments::{SegmentInfo, read_error};
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::Link;
use crate::format::files::SegmentHeader;
use crate::format::frame::{FRAME_HEADER, Kind, Payload, Seal};
use crate::io::File;
use crate::io::branches::branch;
use crate::types::{Incarnation, Lsn};

/// A segment file as found.
pub struct FoundSegment {
    pub header: SegmentHeader,
    /// For reading.
    pub file: Arc<dyn File>,
    /// `None`: the first frame does not validate.
    pub link: Option<Link>,
    /// The byte behind its link; where frames begin, if that does not validate.
    pub behind_link: u64,
}

impl FoundSegment {
    pub fn seal(&self) -> Seal {
        Seal::new(self.header.salt, self.header.number)
    }

    /// Opens a segment file. `None`: it has no valid header and no frames, so it was never used.
    pub fn open(handles: &Arc<Handles>, number: u64, known: Option<&SegmentInfo>) -> Result<Option<FoundSegment>> {
        let file = handles.reader(number).map_err(|e| read_error(number, e))?;
        let header = match (Segment::read_header(&*file).map_err(|e| read_error(number, e))?, known) {
            (Some(header), _) if (header.number, header.generation) == (number, 0) => header,
            (_, Some(info)) => of_info(info),
            _ => return Self::headless(&*file, number).map(|()| None),
        };
        let mut found = FoundSegment { header, file, link: None, behind_link: FIRST };
        found.read_link().map_err(|e| read_error(number, e))?;
        Ok(Some(found))
    }

    /// A header that is gone matters only if frames lie behind it: a header is durable before the first of them.
    fn headless(file: &dyn File, number: u64) -> Result<()> {
        let size = file.len().map_err(|e| read_error(number, e))?;
        let mut scanner = Scanner::new(file, Seal::new(0, 0), FIRST, size.max(FIRST));
        if scanner.last_byte().map_err(|e| read_error(number, e))? == FIRST {
            return Ok(());
        }
        let name = SegmentHeader::name(number, 0);
        let message = format!("a segment's header is damaged, twice; restore the file from a backup; file={name}");
        Err(Error::new(ErrorKind::Corrupt, message))
    }

    /// A segment has its whole length before its first frame counts. A shorter file was cut, and if not even room for
    /// the next frame is left at `at`, or not all of it is, at least that frame is lost.
    pub fn was_cut_short(&self, at: u64) -> std::io::Result<bool> {
        if self.file.len()? >= self.header.size {
            return Ok(false);
        }
        let mut next = [0; FRAME_HEADER];
        let got = self.file.read_at(&mut next, at)?;
        Ok(got < next.len() || next.iter().any(|byte| *byte != 0))
    }

    fn read_link(&mut self) -> std::io::Result<()> {
        let mut scanner = Scanner::glance(&*self.file, self.seal(), FIRST, self.header.size);
        if let Ok(found) = scanner.next_frame()?
            && found.header.kind == Kind::Link as u8
            && let Ok(Payload::Link(link)) = scanner.frame(found).payload()
        {
            (self.link, self.behind_link) = (Some(link), found.end());
        }
        Ok(())
    }

    /// True if a recovery's segment has every frame up to its `recovered`.
    fn is_whole(&self) -> Result<bool> {
        let Some(link) = self.link else { return Ok(false) };
        if link.recovery == 0 {
            return Ok(true);
        }
        let mut scanner = Scanner::new(&*self.file, self.seal(), FIRST, self.header.size);
        let mut expected = link.lsn;
        while let Ok(found) = scanner.next_frame().map_err(|e| read_error(self.header.number, e))? {
            if found.header.lsn != expected || !scanner.body_is_good(found) {
                break;
            }
            // The copy ends with the `recovered` frame of this segment's own life; older ones may have been copied.
            if let Ok(Payload::Recovered(r)) = scanner.frame(found).payload()
                && r.incarnation == link.incarnation
            {
                return Ok(true);
            }
            expected += 1;
        }
        branch("crash_in_copy");
        Ok(false)
    }

    /// True if a frame of it says that frames of it are durable.
    fn declares_itself(&self) -> Result<bool> {
        let mut scanner = Scanner::new(&*self.file, self.seal(), FIRST, self.header.size);
        let mut first = None;
        while let Some(valid) = scanner.next_valid().map_err(|e| read_error(self.header.number, e))? {
            if valid.header.kind == Kind::Link as u8 {
                continue;
            }
            if valid.header.durable_lsn >= *first.get_or_insert(valid.header.lsn) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn of_info(info: &SegmentInfo) -> SegmentHeader {
    SegmentHeader {
        uuid: [0; 16],
        number: info.number,
        generation: info.generation,
        format: 1,
        size: info.size,
        salt: info.salt,
        created_ms: 0,
    }
}

/// The segments that hold the journal from `start` on, in order: each links to the one before. Of several that link
/// to the same place the newest that was finished counts: it is the copy that a recovery made.
pub fn chain(start: u64, found: &BTreeMap<u64, FoundSegment>) -> Result<Vec<u64>> {
    let followed = followed(start, found)?;
    let mut chain = vec![start];
    let mut current = start;
    loop {
        let next = followed.get(&current).copied();
        let Some(number) = next.map_or_else(|| behind_damage(current, found, &followed), |next| Ok(Some(next)))? else {
            return Ok(chain);
        };
        chain.push(number);
        current = number;
    }
}

/// By which segment each is followed. A recovery's copy counts only if it was finished. That its frames are whole shows
/// it, or what was written once it was: a segment behind it, frames that call its own durable. For they may be damaged
/// since, and a later recovery may have copied the end of it and given back its space.
fn followed(start: u64, found: &BTreeMap<u64, FoundSegment>) -> Result<BTreeMap<u64, u64>> {
    let mut followed = BTreeMap::new();
    for (number, segment) in found.range(start + 1..).rev() {
        let Some(link) = segment.link.filter(|link| link.segment < *number) else { continue };
        // The newest comes first and stays.
        if !followed.contains_key(&link.segment)
            && (followed.contains_key(number) || segment.is_whole()? || segment.declares_itself()?)
        {
            followed.insert(link.segment, *number);
        }
    }
    Ok(followed)
}

/// Behind a segment that none links to there is nothing, or damage: if a segment further on is followed by a finished
/// one, or its frames call themselves durable, then all before it was, and a link rotted or a segment is lost.
fn behind_damage(
    current: u64,
    found: &BTreeMap<u64, FoundSegment>,
    followed: &BTreeMap<u64, u64>,
) -> Result<Option<u64>> {
    for (number, segment) in found.range(current + 1..) {
        if followed.contains_key(number) || segment.declares_itself()? {
            branch("segment_behind_damage");
            return Ok(Some(*number));
        }
    }
    Ok(None)
}

/// LSN of the first valid frame of a segment, its link aside.
pub fn first_lsn(segment: &FoundSegment) -> Result<Option<Lsn>> {
    let mut scanner = Scanner::new(&*segment.file, segment.seal(), FIRST, segment.header.size);
    while let Some(valid) = scanner.next_valid().map_err(|e| read_error(segment.header.number, e))? {
        if valid.header.kind != Kind::Link as u8 {
            return Ok(Some(valid.header.lsn));
        }
    }
    Ok(None)
}

/// The life that the found segments speak of.
pub fn last_incarnation(found: &BTreeMap<u64, FoundSegment>) -> Incarnation {
    found.values().filter_map(|s| s.link).map(|l| l.incarnation).max().unwrap_or(0)
}
