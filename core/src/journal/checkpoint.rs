//! Checkpoints: the state as of one LSN, as frames between the others. Written by the keeper, loaded part by part.

use std::io;
use std::sync::Arc;

use crate::error::Result;
use crate::format::bytes::{Put, Reader};
use crate::format::control::{CheckpointHead, Place};
use crate::format::files::{Head, SegmentHeader};
use crate::format::frame::{self, Frame, Kind, Payload, Seal};
use crate::io::File;
use crate::io::sync::atomic::Ordering;
use crate::limits::{ALLOCATION_MAX, ENTRIES_PER_HOLD};
use crate::types::{Durability, Lsn};

use super::core::{CheckpointRef, Core, Draft};
use super::reserve::Claim;
use super::scan::Found;
use super::segments::{SegmentInfo, read_error};
use super::{Fold, Journal};

/// Bytes of a part's head.
const CHECKPOINT_HEAD: usize = 48;
/// First byte of a part's body: whose entries follow.
const SEGMENTS: u8 = 1;
const STATE: u8 = 2;

/// A state at one moment, encoded in parts while the live one goes on.
pub trait Parts: Send {
    /// How many parts there are, at least one.
    fn parts(&self) -> u32;
    /// Appends the entries of part `part`, counted from 1; at most `ENTRIES_PER_HOLD`.
    fn encode(&self, part: u32, out: &mut Vec<u8>);
}

impl<F: Fold> Journal<F> {
    /// Writes a checkpoint and waits until it is durable. Appends go on meanwhile.
    pub fn checkpoint(&self) -> Result<()> {
        let since = self.core.lock().since_checkpoint;
        let result = self.write_checkpoint();
        if result.is_err() {
            // It is still due.
            self.core.lock().since_checkpoint += since;
        }
        result
    }

    /// Takes out of the state what is there for no look-up any more, a few entries under each hold of the lock.
    pub fn sweep(&self) {
        self.swept(|_| ());
    }

    /// The same, with a look under the last hold, at whose end nothing of it is left.
    pub fn swept<R>(&self, look: impl FnOnce(&mut Core<F>) -> R) -> R {
        loop {
            let mut core = self.core.lock();
            if F::sweep(&mut core.state) {
                return look(&mut core);
            }
        }
    }

    fn write_checkpoint(&self) -> Result<()> {
        // A full disk is found before anything is done.
        drop(self.enter_inside(frame::FRAME_HEADER, Claim::Growth)?);
        let (snapshot, lsn, next) = self.swept(|core| {
            core.since_checkpoint = 0;
            let (next_lsn, next) = core.next();
            let (lsn, next) = self.upkeep.lock().label(next_lsn - 1, next);
            (F::snapshot(&core.state), lsn, next)
        });
        // Outside of the lock, for there may be many: what lies below the place never changes.
        let infos = self.segments.up_to(next.segment);
        let tables: Vec<&[SegmentInfo]> = infos.chunks(ENTRIES_PER_HOLD).collect();
        let parts = tables.len() as u32 + snapshot.parts();
        let mut previous = Place::default();
        let mut last = lsn;
        let mut body = Vec::new();
        let mut bytes = 0;
        for part in 1..=parts {
            body.clear();
            match tables.get(part as usize - 1) {
                Some(table) => encode_segments(table, &mut body),
                None => {
                    body.push(STATE);
                    snapshot.encode(part - tables.len() as u32, &mut body);
                }
            }
            let head = CheckpointHead { lsn, part, parts, next, previous };
            (last, previous) = self.place_part(&head, &body)?;
            bytes += body.len() as u64;
        }
        self.reach(last, Durability::Disk, None)?;
        {
            let mut core = self.core.lock();
            core.checkpoints = [CheckpointRef { lsn, last_part: previous }, core.checkpoints[0]];
            core.state_bytes = bytes;
        }
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.write_head(false);
        Ok(())
    }

    fn place_part(&self, head: &CheckpointHead, body: &[u8]) -> Result<(Lsn, Place)> {
        let mut head_bytes = Vec::with_capacity(64);
        head.write(&mut head_bytes);
        let mut bytes = Vec::with_capacity(128 + body.len());
        frame::encode(&mut bytes, Kind::Checkpoint, 0, &head_bytes, body);
        let mut guard = self.enter_inside(bytes.len(), Claim::Growth)?;
        let placed = guard.place(Draft::Owned(bytes), Durability::Os, |_| (), |_, _| ());
        Ok((placed.lsn, placed.place))
    }

    /// Writes the hint, unless the journal has ended. Neither flushed nor needed. What it calls durable is.
    pub fn write_head(&self, clean: bool) {
        let durable_lsn = self.durable_lsn();
        let head = {
            let core = self.core.lock();
            let (next_lsn, end) = core.next();
            let [newest, older] = core.checkpoints;
            Head {
                uuid: self.uuid,
                sequence: 0,
                clean,
                end,
                last_lsn: next_lsn - 1,
                checkpoint_lsn: newest.lsn,
                checkpoint: newest.last_part,
                older_lsn: older.lsn,
                older: older.last_part,
                durable_lsn,
            }
        };
        self.heads.lock().write(&self.machine, head);
    }
}

fn encode_segments(infos: &[SegmentInfo], out: &mut Vec<u8>) {
    out.push(SEGMENTS);
    for i in infos {
        out.u64(i.number).u32(i.generation).u32(u32::from(i.sealed)).u64(i.salt).u64(i.size);
        out.u64(i.first_lsn).u64(i.last_lsn).u64(i.end);
    }
}

fn decode_segments(body: &[u8], out: &mut Vec<SegmentInfo>) -> Option<()> {
    let mut from = Reader::new(body);
    while !from.rest().is_empty() {
        let (number, generation, sealed) = (from.u64()?, from.u32()?, from.u32()? != 0);
        let (salt, size, first_lsn) = (from.u64()?, from.u64()?, from.count()?);
        let (last_lsn, end) = (from.count()?, from.u64()?);
        // No other generation is known to this version.
        if generation != 0 || !SegmentHeader::may_be(number, size) || end > size {
            return None;
        }
        out.push(SegmentInfo { number, generation, salt, size, first_lsn, last_lsn, end, sealed });
    }
    Some(())
}

/// A checkpoint that was found whole.
pub struct Loaded {
    pub next: Place,
    /// Of its parts' bodies.
    pub bytes: u64,
    pub segments: Vec<SegmentInfo>,
    /// Its parts in order, each with its segment: verified, so they need not be read again.
    pub parts: Vec<(u64, Found)>,
}

/// Where a walk begins: behind a checkpoint, whose parts were read.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    pub reference: CheckpointRef,
    pub next: Place,
    pub parts: &'a [(u64, Found)],
}

/// Reads the frame at a place, whole and verified, whatever its kind. `None`: no such frame lies there.
fn frame_at(file: &dyn File, seal: Seal, position: u64) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; frame::FRAME_HEADER];
    if file.read_at(&mut header, position)? < header.len() {
        return Ok(None);
    }
    let len = frame::FrameHeader::read(&header).len();
    if len > ALLOCATION_MAX as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; len as usize];
    if file.read_at(&mut bytes, position)? < bytes.len() {
        return Ok(None);
    }
    let whole = Frame::read(&bytes, seal, position).is_ok_and(|frame| {
        let used = frame::FRAME_HEADER + frame.head.len() + frame.body.len();
        frame.verify_body(&bytes[used..]).is_ok()
    });
    Ok(whole.then_some(bytes))
}

/// The head of a checkpoint's part, without its body. `None`: no such part lies there.
fn head_at(file: &dyn File, seal: Seal, position: u64) -> io::Result<Option<CheckpointHead>> {
    let mut bytes = [0; frame::FRAME_HEADER + CHECKPOINT_HEAD];
    if file.read_at(&mut bytes, position)? < bytes.len() {
        return Ok(None);
    }
    let header = frame::FrameHeader::read(&bytes);
    if header.head_len as usize != CHECKPOINT_HEAD {
        return Ok(frame_at(file, seal, position)?.and_then(|bytes| head_of(&bytes)));
    }
    let good = seal.checksum(position, &bytes[4..]) == header.checksum;
    Ok(good.then(|| head_of(&bytes)).flatten())
}

/// A segment's file, and what its frames are sealed with.
pub type Sealed = (Arc<dyn File>, Seal);
/// Finds the file of a segment; `None` if it is not there or of no use.
pub type OpenSegment<'a> = dyn FnMut(u64) -> Result<Option<Sealed>> + 'a;

/// Loads the checkpoint whose last part lies at `reference`, feeding the state's parts to `part` in order. `None` if
/// any part is missing or damaged; an error of the system says nothing about the checkpoint and is an error here too.
pub fn load(
    reference: CheckpointRef,
    open: &mut OpenSegment<'_>,
    part: &mut dyn FnMut(&[u8]) -> Option<()>,
) -> Result<Option<Loaded>> {
    let Some((next, places)) = places(reference, open)? else { return Ok(None) };
    let mut loaded = Loaded { next, bytes: 0, segments: Vec::new(), parts: Vec::new() };
    for at in places.iter().rev() {
        let Some((file, seal)) = open(at.segment)? else { return Ok(None) };
        let bytes = frame_at(&*file, seal, at.position).map_err(|e| read_error(at.segment, e))?;
        if bytes.and_then(|bytes| loaded.add(*at, &bytes, part)).is_none() {
            return Ok(None);
        }
    }
    Ok(Some(loaded))
}

/// Where the walk behind a checkpoint begins, and the places of its parts, the last first.
fn places(reference: CheckpointRef, open: &mut OpenSegment<'_>) -> Result<Option<(Place, Vec<Place>)>> {
    let mut places = Vec::new();
    let mut at = reference.last_part;
    let mut expected: Option<CheckpointHead> = None;
    loop {
        let Some((file, seal)) = open(at.segment)? else { return Ok(None) };
        let Some(head) = head_at(&*file, seal, at.position).map_err(|e| read_error(at.segment, e))? else {
            return Ok(None);
        };
        let fits = match expected {
            None => head.part == head.parts,
            Some(e) => {
                head.part.checked_add(1) == Some(e.part)
                    && (head.lsn, head.parts, head.next) == (e.lsn, e.parts, e.next)
            }
        };
        if !fits || head.lsn != reference.lsn || head.part == 0 {
            return Ok(None);
        }
        places.push(at);
        if head.part == 1 {
            return Ok(Some((head.next, places)));
        }
        at = head.previous;
        expected = Some(head);
    }
}

impl Loaded {
    /// The next part, a whole frame. `None`: it cannot be read.
    fn add(&mut self, at: Place, bytes: &[u8], part: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<()> {
        let header = frame::FrameHeader::read(bytes);
        let body_at = frame::FRAME_HEADER + header.head_len as usize;
        let body = &bytes[body_at..body_at + header.body_len as usize];
        self.bytes += body.len() as u64;
        self.parts.push((at.segment, Found { position: at.position, header }));
        match body.split_first()? {
            (&SEGMENTS, rest) => decode_segments(rest, &mut self.segments),
            (&STATE, rest) => part(rest),
            _ => None,
        }
    }
}

fn head_of(bytes: &[u8]) -> Option<CheckpointHead> {
    let header = frame::FrameHeader::read(bytes);
    let head = &bytes[frame::FRAME_HEADER..frame::FRAME_HEADER + header.head_len as usize];
    match (Frame { header, head, body: &[] }).payload() {
        Ok(Payload::Checkpoint(head)) => Some(head),
        _ => None,
    }
}
