//! After the walk: serving what is durable only, going on behind a clean close, or copying the tail.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::core::{CheckpointRef, Core, Draft, Placed};
use super::found::{FoundSegment, last_incarnation};
use super::open::{Base, Opener, Report, Restore};
use super::recovery::{TailFrame, Walked};
use super::refusals::check_room;
use super::reserve::with_reserve;
use super::roll::{begun, creation_error, is_full};
use super::scan::{FIRST, Scanner};
use super::segment::{Segment, ZERO_PIECE};
use super::segments::{SegmentInfo, Segments, read_error};
use super::{Fold, Journal};
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{Link, Opened, Place, Recovered};
use crate::format::files::{Head, Identity, SegmentHeader};
use crate::format::frame::{self, FRAME_HEADER, Kind, Payload};
use crate::io::File;
use crate::io::branches::branch;
use crate::io::bugs::{Bug, planted};
use crate::limits::LAST_WORDS;
use crate::types::Lsn;

/// Bytes of a mark: a frame without content.
const MARK: u64 = FRAME_HEADER as u64;
/// The device begins with the copy of a tail whenever so much more of it is written.
const BEGIN_BYTES: u64 = 1 << 20;
/// So many bytes may be folded again and again.
const FEW_BYTES: u64 = 16 << 10;
/// More lives are not taken to have begun in frames that are lost: a checkpoint would lie between them. Each has a
/// block of numbers, and there are no more than 2^28 of those.
const LIVES_LOST: u64 = 1 << 20;

pub fn put_opened<F: Fold>(core: &mut Core<F>, opened: &Opened, durable: Lsn) {
    let (mut head, mut bytes) = (Vec::new(), Vec::new());
    opened.write(&mut head);
    frame::encode(&mut bytes, Kind::Opened, 0, &head, &[]);
    core.put(Draft::Copied(&bytes), core.next_lsn, durable, |_| ());
    core.next_lsn += 1;
}

/// Writes what was placed while nobody else can.
pub fn write_out<F: Fold>(core: &mut Core<F>) -> std::io::Result<()> {
    for chunk in core.group.chunks.drain(..) {
        core.segment.write(&chunk.data, chunk.position)?;
    }
    core.group.bytes = 0;
    Ok(())
}

/// True if nothing can have been cut, whatever lies behind the frames: `head` says that the log was closed cleanly
/// where they end, or behind one frame more, the mark of the close, which says nothing.
pub fn ended(head: &Head, walked: &Walked) -> bool {
    let behind = |mark: u64| {
        let end = Place { position: walked.end.position + mark, ..walked.end };
        head.end == end && head.last_lsn == walked.last_lsn + mark / MARK
    };
    head.clean && walked.holes.is_empty() && walked.cut_lsn <= walked.last_lsn && (behind(0) || behind(MARK))
}

/// A journal whose frames were walked.
pub struct Recovery<F: Fold> {
    pub opener: Opener<F>,
    pub identity: Identity,
    pub base: Base,
    pub found: BTreeMap<u64, FoundSegment>,
    pub chain: Vec<u64>,
    pub walked: Walked,
    pub known: BTreeMap<u64, SegmentInfo>,
}

impl<F: Fold> Recovery<F> {
    /// The table of segments up to and with the one where the durable part ends.
    fn infos(&self, last: u64) -> Vec<SegmentInfo> {
        let first = self.chain[0];
        let mut infos: Vec<SegmentInfo> = self.known.values().filter(|i| i.number < first).copied().collect();
        for number in self.chain.iter().filter(|n| **n <= last) {
            let Some((first_lsn, last_lsn, end)) = self.walked.bounds.get(number).copied() else { continue };
            let first_lsn = self.known.get(number).map_or(first_lsn, |i| i.first_lsn);
            let header = &self.found[number].header;
            infos.push(SegmentInfo { last_lsn, end, sealed: true, ..begun(header, first_lsn) });
        }
        infos
    }

    fn checkpoints(&self) -> [CheckpointRef; 2] {
        [self.base.reference, self.base.older]
    }

    /// The life that begins now. Each frame that is lost may have begun a life, or named a producer: what it may have
    /// given is stepped over, also where an earlier life has accepted the loss: its own first frame may be gone since.
    fn opened(&self, restore: &dyn Restore<F>) -> Result<Opened> {
        let lost = self.walked.holes.iter().filter(|hole| !hole.records_only);
        let lost = lost.fold(0u64, |sum, hole| sum.saturating_add(hole.last - hole.first).saturating_add(1));
        let lives = lost.min(LIVES_LOST);
        let incarnation = restore.incarnation().max(last_incarnation(&self.found)) + 1 + lives;
        let wall_ms = self.opener.machine.clock.wall_ms().max(0) as u64;
        let next = restore.opened(incarnation, wall_ms);
        let opened = Opened {
            first_number: next.first_number.saturating_add(lives.saturating_mul(next.numbers)),
            first_producer_id: next.first_producer_id.saturating_add(lost),
            ..next
        };
        check_room(opened.incarnation.max(opened.first_number))?;
        Ok(opened)
    }

    /// A segment that was found, with its file for good.
    fn segment(&self, number: u64) -> Result<Arc<Segment>> {
        let file = self.opener.handles.open(number).map_err(|e| read_error(number, e))?;
        Ok(Segment::of(self.found[&number].header, file))
    }

    fn last_number(&self) -> u64 {
        self.opener.numbers.last().copied().unwrap_or(0)
    }

    /// Serves what is known durable and writes nothing.
    pub fn read_only(self, restore: &mut dyn Restore<F>, report: Report) -> Result<(Journal<F>, Report)> {
        let last = self.walked.end.segment;
        let segments = Arc::new(Segments::untouched(self.opener.machine.clone(), self.infos(last)));
        let segment = self.segment(last)?;
        let incarnation = restore.incarnation();
        let state = restore.finish();
        let lsn = self.walked.last_lsn.min(self.walked.declared);
        let checkpoints = self.checkpoints();
        let mut core = self.opener.core(state, segment, lsn + 1, incarnation, checkpoints);
        core.position = self.walked.end.position;
        core.unsynced.clear();
        let next = self.last_number() + 1;
        Ok((self.opener.journal(self.identity.uuid, core, segments, next, lsn), report))
    }

    /// True if the log was closed cleanly: `head` and the frames agree, and at most a mark is not known durable.
    pub fn is_clean(&self, head: &Head) -> bool {
        let tail = &self.walked.tail;
        let quiet = tail.iter().all(|t| t.kind == Kind::Mark as u8) && tail.len() <= 1;
        let room = self.found[&self.walked.end.segment].header.size.saturating_sub(self.walked.end.position);
        head.clean
            && quiet
            && self.walked.cut_bytes == 0
            && self.walked.holes.is_empty()
            && head.last_lsn == self.walked.last_lsn
            && room > 4096
            && self.last_number() == self.walked.end.segment
    }

    /// Goes on in the segment that the last life closed. Its last mark, which nobody flushed, is written over.
    pub fn go_on(self, restore: &mut dyn Restore<F>, mut report: Report) -> Result<(Journal<F>, Report)> {
        let opened = self.opened(restore)?;
        let incarnation = opened.incarnation;
        let machine = self.opener.machine.clone();
        let mark = self.walked.tail.front().filter(|_| !planted(Bug::TailServedUncopied));
        let lsn = mark.map_or(self.walked.last_lsn, |mark| mark.lsn - 1);
        let end = mark.map_or(self.walked.end, |mark| mark.place);
        restore.frame(lsn + 1, &Payload::Opened(opened));
        let segment = self.segment(end.segment)?;
        let checkpoints = self.checkpoints();
        let mut core = self.opener.core(restore.finish(), segment.clone(), lsn + 1, incarnation, checkpoints);
        core.position = end.position;
        core.state_bytes = self.base.bytes;
        put_opened(&mut core, &opened, lsn);
        // Lives that only began and ended need no checkpoint, until there are many of them.
        let folded = self.walked.folded.1;
        core.since_checkpoint = if folded > FEW_BYTES { folded } else { 0 };
        let result = write_out(&mut core).and_then(|()| segment.file.sync());
        result.map_err(|e| Error::with_source(ErrorKind::Io, "the first write of this life failed; open again", e))?;
        let mut infos = self.infos(end.segment);
        let first_lsn = infos.pop().map_or(1, |i| i.first_lsn);
        let segments = Arc::new(Segments::new(machine, infos));
        let going_on = SegmentInfo { last_lsn: lsn, end: end.position, ..begun(&segment.header, first_lsn) };
        segments.begin(going_on, segment.file.clone());
        report.continued = Some(end.segment);
        let next = self.last_number() + 1;
        Ok((self.opener.journal(self.identity.uuid, core, segments, next, lsn + 1), report))
    }

    /// Copies what is not known durable into a fresh segment; only when that is durable does anything count.
    pub fn copy_tail(self, restore: &mut dyn Restore<F>, mut report: Report) -> Result<(Journal<F>, Report)> {
        let opened = self.opened(restore)?;
        let incarnation = opened.incarnation;
        let machine = self.opener.machine.clone();
        let walked = &self.walked;
        let durable_lsn = walked.tail.front().map_or(walked.last_lsn, |t| t.lsn - 1);
        let durable_end = if walked.tail.is_empty() { walked.end } else { walked.durable_end };
        let mut lost = walked.holes.iter().filter(|h| h.refuses());
        let lost_first = lost.next();
        let lost_last = lost.next_back().or(lost_first);
        let recovered = Recovered {
            incarnation,
            durable_lsn,
            last_lsn: walked.last_lsn,
            cut_bytes: walked.cut_bytes,
            cut_lsn: walked.cut_lsn,
            lost_first: lost_first.map_or(0, |h| h.first),
            lost_last: lost_last.map_or(0, |h| h.last),
        };
        let lsn = walked.last_lsn + 1;
        restore.frame(lsn, &Payload::Recovered(recovered));
        restore.frame(lsn + 1, &Payload::Opened(opened));
        let tail_bytes: u64 = walked.tail.iter().map(|t| t.len).sum();
        let number = self.last_number() + 1;
        let segment = self.make_copy(number, durable_end.segment, tail_bytes).map_err(creation_error)?;
        let io = |e| Error::with_source(ErrorKind::Io, "recovery could not write; nothing is lost, open again", e);
        // A header is durable before the first frame: a file with frames and no header is damaged, not unfinished.
        segment.file.sync().map_err(io)?;
        let state = restore.finish();
        let mut core = self.opener.core(state, segment.clone(), durable_lsn + 1, incarnation, self.checkpoints());
        let link = Link {
            segment: durable_end.segment,
            generation: 0,
            recovery: 1,
            end: durable_end.position,
            lsn: durable_lsn,
            checksum: walked.durable_checksum,
            incarnation,
            // The state is the tail's end; what was open before it is decided there, or open still.
            undecided: core
                .link(1)
                .undecided
                .max(u32::from(walked.tail.iter().any(|t| t.kind == Kind::Decision as u8))),
            ..core.link(1)
        };
        core.state_bytes = self.base.bytes;
        core.since_checkpoint = self.walked.folded.1;
        core.place_link(&link, durable_lsn);
        let mut notes = F::Notes::default();
        self.place_tail(&mut core, restore, durable_lsn, &mut notes)?;
        put_recovered(&mut core, &recovered, durable_lsn);
        write_out(&mut core).map_err(io)?;
        segment.file.sync().map_err(io)?;
        machine.storage.sync_directory().map_err(io)?;
        put_opened(&mut core, &opened, lsn);
        write_out(&mut core).and_then(|()| segment.file.sync()).map_err(io)?;
        report.copied = walked.tail.len() as u64;
        branch(if walked.tail.is_empty() { "nothing_to_copy" } else { "tail_copied" });
        let leftover = self.sweep(durable_end);
        let segments = Arc::new(Segments::new(machine, self.cut_infos(durable_end, durable_lsn)));
        segments.begin(begun(&segment.header, durable_lsn + 1), segment.file.clone());
        let fold = self.opener.fold.clone();
        let journal = self.opener.journal(self.identity.uuid, core, segments, number + 1, lsn + 1);
        *journal.leftover.lock() = leftover;
        fold.written(&mut notes);
        fold.durable(lsn + 1);
        // Of the copy nothing else speaks yet, should it be lost as a whole.
        journal.write_head(false);
        Ok((journal, report))
    }

    /// The segment that the tail is copied into: as large as any, or, on a disk that is nearly full, as large as it
    /// must be with its reserve, or without.
    fn make_copy(&self, number: u64, old: u64, tail_bytes: u64) -> std::io::Result<Arc<Segment>> {
        let least = FIRST + tail_bytes + 8192;
        let usual = (self.found[&old].header.size.max(FIRST + tail_bytes * 2 + 8192))
            .min(self.opener.opening.options.segment_bytes.max(least));
        let machine = &self.opener.machine;
        let mut sizes = [with_reserve(usual.max(least)), with_reserve(least + LAST_WORDS), least].into_iter();
        loop {
            let size = sizes.next().unwrap_or(least).next_multiple_of(4096);
            match Segment::create(machine, self.identity.uuid, number, size) {
                Err(error) if is_full(&error) && size > least.next_multiple_of(4096) => {
                    branch("full_disk_in_recovery");
                    let _ = machine.storage.remove(&SegmentHeader::name(number, 0));
                    self.sweep_unused();
                }
                made => return made,
            }
        }
    }

    /// Gives back segments that were prepared and never written: on a full disk they are in the way.
    fn sweep_unused(&self) {
        for (number, segment) in self.found.iter().filter(|(n, s)| s.link.is_none() && !self.chain.contains(n)) {
            let mut scanner = Scanner::new(&*segment.file, segment.seal(), FIRST, segment.header.size);
            if matches!(scanner.last_byte(), Ok(FIRST)) {
                let _ = self.opener.machine.storage.remove(&SegmentHeader::name(*number, 0));
            }
        }
    }

    fn place_tail(
        &self,
        core: &mut Core<F>,
        restore: &dyn Restore<F>,
        durable: Lsn,
        notes: &mut F::Notes,
    ) -> Result<()> {
        let mut mark = Vec::new();
        frame::encode(&mut mark, Kind::Mark, 0, &[], &[]);
        let mut reader = TailReader::new(&self.found);
        let mut begun = core.position;
        let io = |e| Error::with_source(ErrorKind::Io, "recovery could not write; open again", e);
        for tail in &self.walked.tail {
            // A checkpoint's parts name each other by place, so a copy would be of no use: a mark keeps the number.
            let bytes = if tail.kind == Kind::Checkpoint as u8 { &mark } else { reader.read(tail)? };
            let place = core.put(Draft::Copied(bytes), tail.lsn, durable, |_| ());
            restore.notes(Placed { lsn: tail.lsn, place }, &whole(bytes), notes);
            core.next_lsn = tail.lsn + 1;
            if core.group.bytes as u64 >= ZERO_PIECE {
                write_out(core).map_err(io)?;
            }
            // The device writes while the rest is read.
            let written = core.position - core.group.bytes as u64;
            if written >= begun + BEGIN_BYTES {
                core.segment.file.begin_sync(begun, written - begun).map_err(io)?;
                begun = written;
            }
        }
        core.next_lsn = self.walked.last_lsn + 1;
        Ok(())
    }

    /// The table with the durable end where it is.
    fn cut_infos(&self, durable_end: Place, durable_lsn: Lsn) -> Vec<SegmentInfo> {
        let mut infos = self.infos(durable_end.segment);
        if let Some(last) = infos.last_mut() {
            last.last_lsn = durable_lsn;
            last.end = durable_end.position;
        }
        infos
    }

    /// Gives back what counts no more: files that nothing links to, and, when there is time for it, the old tail's
    /// space. Failures are harmless: the next open finds the same files and sweeps again.
    fn sweep(&self, durable_end: Place) -> Option<Leftover> {
        let old = self.found.get(&durable_end.segment)?;
        let kept: Vec<u64> = self.infos(durable_end.segment).iter().map(|i| i.number).collect();
        for number in self.opener.numbers.iter().filter(|n| !kept.contains(n)) {
            let _ = self.opener.machine.storage.remove(&SegmentHeader::name(*number, 0));
        }
        // The link stays where not even a frame behind it is durable: a first segment is known by it.
        let from = durable_end.position.max(old.behind_link);
        let file = self.opener.handles.open(durable_end.segment).ok()?;
        Some(Leftover { file, from, len: old.header.size - from })
    }
}

/// The old place of a tail that was copied.
pub struct Leftover {
    file: Arc<dyn File>,
    from: u64,
    len: u64,
}

impl<F: Fold> Journal<F> {
    /// Gives back the space of a tail that the opening copied. Not while opening: a system that punches a hole writes
    /// first what lies in it, if it has not yet.
    pub(super) fn give_back(&self) {
        let leftover = self.leftover.lock().take();
        if let Some(Leftover { file, from, len }) = leftover {
            let _ = file.punch(from, len);
        }
    }
}

fn put_recovered<F: Fold>(core: &mut Core<F>, recovered: &Recovered, durable: Lsn) {
    let (mut head, mut bytes) = (Vec::new(), Vec::new());
    recovered.write(&mut head);
    frame::encode(&mut bytes, Kind::Recovered, 0, &head, &[]);
    core.put(Draft::Copied(&bytes), core.next_lsn, durable, |_| ());
    core.next_lsn += 1;
}

/// Reads the frames of the tail again, in their order, many at once.
struct TailReader<'a> {
    found: &'a BTreeMap<u64, FoundSegment>,
    at: Option<(u64, Scanner<'a>)>,
}

impl<'a> TailReader<'a> {
    fn new(found: &'a BTreeMap<u64, FoundSegment>) -> Self {
        TailReader { found, at: None }
    }

    /// One frame, whole, padding included.
    fn read(&mut self, tail: &TailFrame) -> Result<&[u8]> {
        let Place { segment: number, position } = tail.place;
        if self.at.as_ref().is_none_or(|(segment, _)| *segment != number) {
            let segment = &self.found[&number];
            self.at = Some((number, Scanner::new(&*segment.file, segment.seal(), position, segment.header.size)));
        }
        let changed = || {
            let message = "a frame changed while it was being recovered; try to open again";
            Error::new(ErrorKind::Io, message)
        };
        let (_, scanner) = self.at.as_mut().ok_or_else(changed)?;
        scanner.position = position;
        match scanner.next_frame().map_err(|e| read_error(number, e))? {
            Ok(frame) if frame.header.lsn == tail.lsn && scanner.body_is_good(frame) => Ok(scanner.raw(frame)),
            _ => Err(changed()),
        }
    }
}

/// The frame in whole bytes that were verified before.
fn whole(bytes: &[u8]) -> frame::Frame<'_> {
    let header = frame::FrameHeader::read(bytes);
    let head_end = frame::FRAME_HEADER + header.head_len as usize;
    let body_end = head_end + header.body_len as usize;
    frame::Frame { header, head: &bytes[frame::FRAME_HEADER..head_end], body: &bytes[head_end..body_end] }
}
