//! What lies under the journal's lock: the noted state, the place of the next frame, the open group.

use std::sync::Arc;

use super::hold::Hold;
use super::reserve::Claim;
use super::segment::Segment;
use super::turns::Turn;
use super::{Fold, Journal};
use crate::format::batch::BATCH_HEADER;
use crate::format::bytes::{align8, get_u32};
use crate::format::control::{Link, Place};
use crate::format::frame::{self, FRAME_HEADER, Kind};
use crate::io::branches::branch;
use crate::limits::GROUP_MAX;
use crate::types::{Durability, Incarnation, Lsn};

/// Frames of at least this many bytes are handed over as they are; smaller ones are copied into the group.
const HAND_OVER: usize = 64 << 10;
/// One of at least so many that is the first of its chunk is taken as the chunk's buffer, and others follow in it.
const TAKE: usize = 4 << 10;

/// Emptied buffers that a group keeps; the large ones of a burst are given back.
const BUFFERS: usize = 4;
const BUFFER_MAX: usize = 1 << 20;

/// Bytes of one segment, one frame behind the other, to be written at once.
pub struct Chunk {
    /// Number of the segment, which is among the unsynced.
    pub segment: u64,
    pub position: u64,
    pub data: Vec<u8>,
    /// A frame handed over whole: nothing is added behind it.
    pub whole: bool,
}

/// What was placed and is not written yet.
pub struct Group<N> {
    pub chunks: Vec<Chunk>,
    pub notes: N,
    pub bytes: usize,
    /// LSN of its last frame.
    pub last_lsn: Lsn,
    /// The keeper was woken to write it, because it is large.
    pub rung: bool,
    /// Emptied buffers, used again.
    free: Vec<Vec<u8>>,
}

impl<N: Default> Default for Group<N> {
    fn default() -> Self {
        Group { chunks: Vec::new(), notes: N::default(), bytes: 0, last_lsn: 0, rung: false, free: Vec::new() }
    }
}

impl<N> Group<N> {
    /// Empty again, its notes being taken; its buffers serve the next frames.
    pub fn clear(&mut self) {
        for mut chunk in self.chunks.drain(..) {
            if !chunk.whole && self.free.len() < BUFFERS && chunk.data.capacity() <= BUFFER_MAX {
                chunk.data.clear();
                self.free.push(chunk.data);
            }
        }
        (self.bytes, self.last_lsn, self.rung) = (0, 0, false);
    }
}

/// A checkpoint that is whole and durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointRef {
    pub lsn: Lsn,
    pub last_part: Place,
}

/// A segment that is written and not yet flushed, or not wholly.
pub struct Unsynced {
    pub segment: Arc<Segment>,
    /// LSN of its last frame, once no frame will be added.
    pub sealed_at: Option<Lsn>,
}

/// Everything under the lock.
pub struct Core<F: Fold> {
    pub state: F::State,
    pub incarnation: Incarnation,
    pub next_lsn: Lsn,
    pub segment: Arc<Segment>,
    pub position: u64,
    pub last_checksum: u32,
    /// The durable LSN that the last frame states.
    pub stated: Lsn,
    /// The last frame is a mark.
    pub marked: bool,
    /// Greatest LSN that somebody wants on the device.
    pub wanted: Lsn,
    pub spare: Option<Arc<Segment>>,
    /// The flusher was woken to make the spare.
    pub spare_asked: bool,
    /// Bytes of the spare that somebody needs who does not wait for it; 0 for nobody.
    pub spare_needed: u64,
    /// The journal has rolled, and the flusher is to hear of it.
    pub rolled: bool,
    pub group: Group<F::Notes>,
    /// Oldest first; the last one is the segment that is placed in. What is placed and not written lies in these.
    pub unsynced: Vec<Unsynced>,
    /// Newest and older durable checkpoint.
    pub checkpoints: [CheckpointRef; 2],
    /// Bytes placed since the newest checkpoint began, of frames that the state is folded from.
    pub since_checkpoint: u64,
    /// Bytes placed since a flush began.
    pub since_flush: u64,
    /// The flusher was woken because they are many.
    pub flush_asked: bool,
    /// Bytes of the newest checkpoint.
    pub state_bytes: u64,
}

/// A frame without its place.
pub enum Draft<'a> {
    /// A whole frame, copied into the group.
    Copied(&'a [u8]),
    /// A whole frame, taken as it is if it is large or the first of its chunk.
    Owned(Vec<u8>),
    /// A record batch behind 40 free bytes, copied into the group as a records frame.
    Records { instance: u32, framed: &'a [u8] },
}

impl<'a> Draft<'a> {
    /// A records frame of a batch behind 40 free bytes. A large one is copied now, before any lock.
    pub fn records(instance: u32, framed: &'a [u8]) -> Draft<'a> {
        if framed.len() < HAND_OVER {
            return Draft::Records { instance, framed };
        }
        let mut frame = Vec::with_capacity(framed.len() + 8);
        records_frame(&mut frame, instance, framed);
        Draft::Owned(frame)
    }

    /// Bytes of the frame.
    pub fn frame_len(&self) -> usize {
        match self {
            Draft::Copied(bytes) => bytes.len(),
            Draft::Owned(data) => data.len(),
            Draft::Records { framed, .. } => align8(framed.len()),
        }
    }

    fn is_mark(&self) -> bool {
        matches!(self, Draft::Copied(bytes) if bytes[4] == Kind::Mark as u8)
    }
}

/// Appends a batch behind 40 free bytes as a whole frame.
#[inline]
fn records_frame(out: &mut Vec<u8>, instance: u32, framed: &[u8]) {
    let from = out.len();
    out.extend_from_slice(framed);
    out.resize(from + align8(framed.len()), 0);
    let body = framed.len() - FRAME_HEADER - BATCH_HEADER;
    frame::write_header(&mut out[from..], Kind::Records, 0, BATCH_HEADER, body, instance, 0);
}

/// Where a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its number.
    pub lsn: Lsn,
    /// Its byte.
    pub place: Place,
}

/// Why there is no room right now; the caller lets go of the lock, waits, and checks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The open group is full: somebody must write.
    Group,
    /// The next segment is not there, or not large enough for a frame of this many bytes.
    Spare(u64),
    /// Both segments are unsynced: the older one must be flushed.
    Unsynced,
}

impl<F: Fold> Core<F> {
    /// True if a frame of `len` bytes can be placed now; rolls to the next segment if that is what it takes. With the
    /// next segment ready all of this one may be used; without it each claim ends before the reserve of those above it.
    pub fn room(&mut self, len: usize, claim: Claim, late: &mut bool) -> Result<(), NoRoom> {
        if self.group.bytes > GROUP_MAX {
            return Err(NoRoom::Group);
        }
        let size = self.segment.header.size;
        let limit = if self.spare.is_some() { size } else { claim.limit(size) };
        if self.position + len as u64 <= limit {
            return Ok(());
        }
        let needed = super::roll::room_for(len);
        match &self.spare {
            Some(spare) if claim.limit(spare.header.size) >= needed => {}
            _ => {
                *late = true;
                return Err(NoRoom::Spare(super::reserve::with_reserve(needed)));
            }
        }
        if self.unsynced.len() >= 2 {
            *late = true;
            return Err(NoRoom::Unsynced);
        }
        Ok(())
    }

    /// Where the next frame will lie, and its LSN.
    pub fn next(&self) -> (Lsn, Place) {
        (self.next_lsn, Place { segment: self.segment.header.number, position: self.position })
    }

    /// Copies or takes a frame into the group, gives it its numbers, and returns it for a last look.
    pub fn put(&mut self, draft: Draft<'_>, lsn: Lsn, durable: Lsn, patch: impl FnOnce(&mut [u8])) -> Place {
        let position = self.position;
        let number = self.segment.header.number;
        let seal = self.segment.seal;
        let len = draft.frame_len();
        let bytes = self.append(draft);
        patch(bytes);
        frame::stamp(bytes, seal, position, lsn, durable);
        let (checksum, kind) = (get_u32(bytes, 0), bytes[4]);
        self.last_checksum = checksum;
        self.stated = durable;
        self.position += len as u64;
        self.group.bytes += len;
        self.group.last_lsn = lsn;
        // Marks and parts of checkpoints say nothing to the state.
        if ![Kind::Mark as u8, Kind::Checkpoint as u8].contains(&kind) {
            self.since_checkpoint += len as u64;
        }
        self.since_flush += len as u64;
        Place { segment: number, position }
    }

    fn append(&mut self, draft: Draft<'_>) -> &mut [u8] {
        let (number, position) = (self.segment.header.number, self.position);
        let len = draft.frame_len();
        let large = len >= HAND_OVER && matches!(draft, Draft::Owned(_));
        let extends = !large
            && self
                .group
                .chunks
                .last()
                .is_some_and(|c| !c.whole && c.segment == number && c.position + c.data.len() as u64 == position);
        let takes = !extends && len >= TAKE && matches!(draft, Draft::Owned(_));
        if !extends {
            let data = if takes { Vec::new() } else { self.group.free.pop().unwrap_or_default() };
            self.group.chunks.push(Chunk { segment: number, position, data, whole: large });
        }
        let last = self.group.chunks.len() - 1;
        let data = &mut self.group.chunks[last].data;
        let from = data.len();
        match draft {
            Draft::Owned(owned) if takes => *data = owned,
            Draft::Owned(owned) => data.extend_from_slice(&owned),
            Draft::Copied(bytes) => data.extend_from_slice(bytes),
            Draft::Records { instance, framed } => records_frame(data, instance, framed),
        }
        &mut data[from..]
    }

    /// Switches to the spare and places the link. The caller has checked that it may.
    pub fn roll(&mut self, spare: Arc<Segment>, durable: Lsn) {
        let link = self.link(0);
        let old = std::mem::replace(&mut self.segment, spare);
        if let Some(last) = self.unsynced.last_mut() {
            last.sealed_at = Some(link.lsn);
        }
        self.unsynced.push(Unsynced { segment: self.segment.clone(), sealed_at: None });
        drop(old);
        (self.spare_asked, self.rolled) = (false, true);
        self.position = super::scan::FIRST;
        self.place_link(&link, durable);
    }

    /// Takes the segments off the list that are sealed and durable to their last frame; returns their numbers.
    pub fn settle(&mut self, durable: Lsn) -> Vec<u64> {
        let mut settled = Vec::new();
        self.unsynced.retain(|u| {
            let done = u.sealed_at.is_some_and(|last| last <= durable);
            if done {
                settled.push(u.segment.header.number);
            }
            !done
        });
        settled
    }

    /// The frame up to which must be flushed before the journal may roll again: the last one of the older segment.
    pub fn due_before_roll(&self) -> Lsn {
        self.unsynced.first().and_then(|u| u.sealed_at).unwrap_or(self.next_lsn - 1)
    }

    /// True if the next segment should be made now: before this one is three quarters full it must be there.
    pub fn wants_spare(&self) -> bool {
        self.spare.is_none() && self.position > self.segment.header.size / 2
    }

    /// The link to what was placed so far.
    pub fn link(&self, recovery: u32) -> Link {
        let [newest, older] = self.checkpoints;
        Link {
            segment: self.segment.header.number,
            generation: self.segment.header.generation,
            recovery,
            end: self.position,
            lsn: self.next_lsn - 1,
            checksum: self.last_checksum,
            undecided: u32::from(F::undecided(&self.state)),
            incarnation: self.incarnation,
            checkpoint_lsn: newest.lsn,
            checkpoint: newest.last_part,
            older_lsn: older.lsn,
            older: older.last_part,
        }
    }

    /// Places a link at the start of the current segment.
    pub fn place_link(&mut self, link: &Link, durable: Lsn) {
        let mut head = Vec::with_capacity(128);
        link.write(&mut head);
        let mut bytes = Vec::with_capacity(192);
        frame::encode(&mut bytes, Kind::Link, 0, &head, &[]);
        self.put(Draft::Copied(&bytes), link.lsn, durable, |_| ());
    }
}

/// The journal's lock, held.
pub struct Guard<'a, F: Fold> {
    pub(super) journal: &'a Journal<F>,
    pub(super) core: Hold<'a, Core<F>>,
    /// Let go of last: it ends with a write of what was placed.
    pub(super) _turn: Option<Turn<'a, F>>,
}

impl<F: Fold> Guard<'_, F> {
    /// The noted state.
    pub fn state(&mut self) -> &mut F::State {
        &mut self.core.state
    }

    /// The life that writes.
    pub fn incarnation(&self) -> Incarnation {
        self.core.incarnation
    }

    /// LSN of the last frame placed.
    pub fn last_lsn(&self) -> Lsn {
        self.core.next_lsn - 1
    }

    /// Places one frame. `patch` sets what depends on the place in the frame's own bytes; `note` makes the notes for
    /// when it is written. Room was made by `Journal::enter`; after this only the device can fail.
    pub fn place(
        &mut self,
        draft: Draft<'_>,
        level: Durability,
        patch: impl FnOnce(&mut [u8]),
        note: impl FnOnce(Placed, &mut F::Notes),
    ) -> Placed {
        let durable = self.journal.durable_lsn();
        let core = &mut *self.core;
        let len = draft.frame_len() as u64;
        if core.position + len > core.segment.header.size
            && let Some(spare) = core.spare.take()
        {
            self.journal.rolled(core, &spare);
            core.roll(spare, durable);
            // Where all was flushed before the roll, no later flush will settle the old segment.
            self.journal.settled(core.settle(durable));
            if core.unsynced.len() == 2 {
                branch("roll_with_two_unsynced");
            }
        }
        let lsn = core.next_lsn;
        let marked = draft.is_mark();
        let place = core.put(draft, lsn, durable, patch);
        core.next_lsn += 1;
        core.marked = marked;
        if level == Durability::Disk {
            core.wanted = lsn;
        }
        let placed = Placed { lsn, place };
        note(placed, &mut core.group.notes);
        placed
    }
}

impl<F: Fold> Drop for Guard<'_, F> {
    fn drop(&mut self) {
        self.journal.stir(&mut self.core);
    }
}
