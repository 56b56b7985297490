//! Opening a journal: making a new one, going on behind a clean close, or recovering. Nothing is served before what is
//! served is durable.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::core::{CheckpointRef, Core, Group, Placed, Unsynced};
use super::flow::JournalOptions;
use super::found::{FoundSegment, chain, last_incarnation};
use super::handles::Handles;
use super::recovery::{Hole, Walk};
use super::refusals::{beside, check_room, damaged, head_error, missing};
use super::resume::{Recovery, ended, put_opened, write_out};
use super::roll::{begun, creation_error};
use super::scan::{FIRST, Found};
use super::segment::Segment;
use super::segments::{SegmentInfo, Segments, read_error};
use super::{Fold, Journal, checkpoint, head};
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{Link, Opened, Place};
use crate::format::files::{FORMAT_VERSION, HEAD_FILE, Head, ID_FILE, Identity, RECORD, Refused, SegmentHeader};
use crate::format::frame::{Frame, Payload};
use crate::io::Machine;
use crate::io::branches::branch;
use crate::io::bugs::{Bug, planted};
use crate::limits::SEGMENT_FIRST;
use crate::types::{Incarnation, Lsn};

/// Builds the state while the journal opens.
pub trait Restore<F: Fold> {
    /// One part of the state of a checkpoint as of `lsn`, in order. `None`: it cannot be read.
    fn part(&mut self, lsn: Lsn, body: &[u8]) -> Option<()>;
    /// All parts were given.
    fn load(&mut self) -> Option<()>;
    /// The checkpoint is no good: back to the empty state.
    fn clear(&mut self);
    /// The fold.
    fn frame(&mut self, lsn: Lsn, payload: &Payload<'_>);
    /// The life that the state knows of.
    fn incarnation(&self) -> Incarnation;
    /// What the next life's `opened` frame says.
    fn opened(&self, incarnation: Incarnation, wall_ms: u64) -> Opened;
    /// Hands the state over.
    fn finish(&mut self) -> F::State;
    /// The notes of a frame that was copied to a new place; called after `finish`.
    fn notes(&self, placed: Placed, frame: &Frame<'_>, notes: &mut F::Notes);
}

/// How to open.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// The journal's options.
    pub options: JournalOptions,
    /// Nothing is written; what is not known durable is not served.
    pub read_only: bool,
    /// Go on although frames behind the newest checkpoint are lost.
    pub accept_loss: bool,
}

/// What opening found and did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The log was made.
    pub created: bool,
    /// Frames copied because they were not known durable.
    pub copied: u64,
    /// Last LSN kept, greatest LSN seen behind it, bytes behind it: a torn tail was cut.
    pub cut: Option<(Lsn, Lsn, u64)>,
    /// Durable frames that are damaged.
    pub holes: Vec<Hole>,
    /// Nanoseconds that the newest checkpoint took.
    pub loading: u64,
    /// Nanoseconds that the frames behind it took.
    pub folding: u64,
    /// Those frames, and their bytes.
    pub folded: (u64, u64),
    /// The segment that goes on behind a clean close.
    pub continued: Option<u64>,
    /// Set if the log was opened for reading only because of damage: what appends answer.
    pub refused: Option<Error>,
}

impl<F: Fold> Journal<F> {
    /// Opens the journal in the machine's directory.
    pub fn open(
        machine: Machine,
        opening: Opening,
        fold: Arc<F>,
        restore: &mut dyn Restore<F>,
    ) -> Result<(Journal<F>, Report)> {
        let names = machine.storage.list().map_err(|e| Error::with_source(ErrorKind::Io, "listing failed", e))?;
        // This version writes no other generation, and knows none.
        let first = |(number, generation)| (generation == 0).then_some(number);
        let mut numbers: Vec<u64> =
            names.iter().filter_map(|n| SegmentHeader::parse_name(n)).filter_map(first).collect();
        numbers.sort_unstable();
        check_room(numbers.last().copied().unwrap_or(0))?;
        let handles = Handles::new(machine.storage.clone());
        let opener = Opener { machine, opening, fold, numbers, handles };
        match opener.identity(&names)? {
            Some(identity) => opener.recover(identity, restore),
            None => opener.create(&names, restore),
        }
    }
}

fn has_head(names: &[String]) -> bool {
    names.iter().any(|name| name == HEAD_FILE)
}

/// A journal about to be opened.
pub struct Opener<F: Fold> {
    pub machine: Machine,
    pub opening: Opening,
    pub fold: Arc<F>,
    /// Numbers of the segment files that are there, in order.
    pub numbers: Vec<u64>,
    /// Opens them.
    pub handles: Arc<Handles>,
}

/// What recovery is based on.
pub struct Base {
    pub reference: CheckpointRef,
    pub older: CheckpointRef,
    pub next: Place,
    /// Of the checkpoint.
    pub bytes: u64,
    pub segments: Vec<SegmentInfo>,
    /// Where the checkpoint's parts lie.
    pub parts: Vec<(u64, Found)>,
}

impl<F: Fold> Opener<F> {
    /// Reads `oncelog.id`, the gate. `None`: there is no log, or one whose making never ended.
    fn identity(&self, names: &[String]) -> Result<Option<Identity>> {
        let read = || -> std::io::Result<Vec<u8>> {
            let file = self.machine.storage.open(ID_FILE)?;
            let mut bytes = vec![0; RECORD];
            let got = file.read_at(&mut bytes, 0)?;
            bytes.truncate(got);
            Ok(bytes)
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(Error::with_source(ErrorKind::Io, "reading oncelog.id failed; try again", e)),
        };
        match Identity::read(&bytes) {
            Ok(identity) if self.numbers.is_empty() => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "oncelog.id is here but no segment is; restore them from a backup; uuid={:02x?}",
                    identity.uuid
                ),
            )),
            Ok(identity) if !self.just_made(names)? => Ok(Some(identity)),
            Ok(_) => self.unfinished(names).map(|()| None),
            Err(Refused::Newer) => Err(Error::new(
                ErrorKind::UnsupportedVersion,
                format!(
                    "this log was written by a newer oncelog; open it with that version; newest known={FORMAT_VERSION}"
                ),
            )),
            Err(Refused::Damaged) => self.unfinished(names).map(|()| None),
        }
    }

    /// True if this may be a log whose making ended before its identity was on the device, although the system still
    /// has it: no `head`, which comes behind that, and in its only segment nothing but what its making put there. What
    /// is written into it could be lost with its identity; since it holds nothing, it is made again.
    fn just_made(&self, names: &[String]) -> Result<bool> {
        let [number] = self.numbers[..] else { return Ok(false) };
        if has_head(names) {
            return Ok(false);
        }
        let Some(found) = FoundSegment::open(&self.handles, number, None)? else { return Ok(false) };
        let fail = |e| read_error(number, e);
        let mut scanner = super::scan::Scanner::new(&*found.file, found.seal(), FIRST, found.header.size);
        let mut last = 0;
        while let Ok(frame) = scanner.next_frame().map_err(fail)? {
            last = frame.header.lsn;
            if last > 1 {
                return Ok(false);
            }
        }
        Ok(last == 1 && scanner.last_byte().map_err(fail)? <= scanner.position)
    }

    /// Without its identity a log is either one whose making never ended, which holds nothing, or damaged.
    fn unfinished(&self, names: &[String]) -> Result<()> {
        let damaged = || {
            let message = "oncelog.id is missing or damaged, other files of the log are here; restore it from a backup";
            Error::new(ErrorKind::Corrupt, message)
        };
        // It comes last when a log is made: where it is there was a whole one, whatever has become of the rest.
        if has_head(names) {
            return Err(damaged());
        }
        for number in &self.numbers {
            let Some(found) = FoundSegment::open(&self.handles, *number, None)? else { continue };
            let mut scanner = super::scan::Scanner::new(&*found.file, found.seal(), FIRST, found.header.size);
            while let Some(valid) = scanner.next_valid().map_err(|e| read_error(*number, e))? {
                if valid.header.lsn > 1 {
                    return Err(damaged());
                }
            }
        }
        if self.opening.read_only {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "there is no log in this directory; open it for writing once",
            ));
        }
        Ok(())
    }

    /// Makes a log with four flushes: the names, the segment's header, its first life, and last the identity. Until
    /// that is whole the log was never made. One more if a segment of one whose making never ended is in the way.
    fn create(self, names: &[String], restore: &mut dyn Restore<F>) -> Result<(Journal<F>, Report)> {
        let storage = &self.machine.storage;
        if names.iter().any(|name| name == ID_FILE) {
            storage.remove(ID_FILE).map_err(creation_error)?;
        }
        let mut segments = names.iter().filter(|name| SegmentHeader::parse_name(name).is_some()).peekable();
        if segments.peek().is_some() {
            // The identity is gone for good before its segment goes, whoever removed it: left alone by a power cut it
            // would speak of a loss.
            storage.sync_directory().map_err(creation_error)?;
        }
        for name in segments {
            storage.remove(name).map_err(creation_error)?;
        }
        let mut uuid = [0; 16];
        self.machine.random.fill(&mut uuid);
        let number = self.numbers.last().map_or(1, |n| n + 1);
        let size = SEGMENT_FIRST.min(self.opening.options.segment_bytes);
        let segment = Segment::create(&self.machine, uuid, number, size).map_err(creation_error)?;
        let created_ms = self.machine.clock.wall_ms().max(0) as u64;
        let opened = restore.opened(1, created_ms);
        restore.frame(1, &Payload::Opened(opened));
        // Names first: from here on an identity without its segment is a loss, not a log that was never finished.
        let id = storage.create(ID_FILE, RECORD as u64).map_err(creation_error)?;
        storage.sync_directory().map_err(creation_error)?;
        segment.file.sync().map_err(creation_error)?;
        let mut core = self.core(restore.finish(), segment.clone(), 1, 1, [CheckpointRef::default(); 2]);
        core.place_link(&Link { incarnation: 1, ..Link::default() }, 0);
        put_opened(&mut core, &opened, 0);
        write_out(&mut core).and_then(|()| segment.file.sync()).map_err(creation_error)?;
        let identity =
            Identity { uuid, format: FORMAT_VERSION, compatible: 0, read_compatible: 0, incompatible: 0, created_ms };
        id.write_at(&identity.write(), 0).and_then(|()| id.sync()).map_err(creation_error)?;
        let segments = Arc::new(Segments::new(self.machine.clone(), []));
        segments.begin(begun(&segment.header, 1), segment.file.clone());
        let report = Report { created: true, ..Report::default() };
        let journal = self.journal(uuid, core, segments, number + 1, 1);
        // Made while there is room for it: without it no close is known to have been clean.
        journal.write_head(false);
        Ok((journal, report))
    }

    pub fn core(
        &self,
        state: F::State,
        segment: Arc<Segment>,
        next_lsn: Lsn,
        incarnation: Incarnation,
        checkpoints: [CheckpointRef; 2],
    ) -> Core<F> {
        Core {
            state,
            incarnation,
            next_lsn,
            position: FIRST,
            last_checksum: 0,
            stated: 0,
            marked: false,
            wanted: 0,
            spare: None,
            spare_asked: false,
            spare_needed: 0,
            rolled: false,
            group: Group::default(),
            unsynced: vec![Unsynced { segment: segment.clone(), sealed_at: None }],
            checkpoints,
            since_checkpoint: 0,
            since_flush: 0,
            flush_asked: false,
            state_bytes: 0,
            segment,
        }
    }

    pub fn journal(
        self,
        uuid: [u8; 16],
        core: Core<F>,
        segments: Arc<Segments>,
        next: u64,
        durable: Lsn,
    ) -> Journal<F> {
        Journal::assemble(self, uuid, core, segments, next, durable)
    }

    fn recover(self, identity: Identity, restore: &mut dyn Restore<F>) -> Result<(Journal<F>, Report)> {
        let heads = head::read(&self.machine, identity.uuid).map_err(head_error)?;
        let began = self.machine.clock.monotonic();
        let mut base = self.base(&heads, restore)?;
        let loaded = self.machine.clock.monotonic();
        let known: BTreeMap<u64, SegmentInfo> = base.segments.iter().map(|i| (i.number, *i)).collect();
        self.check_listed(&base)?;
        let start = if base.next.segment == 0 { self.numbers[0] } else { base.next.segment };
        let found = self.open_segments(start, &known, identity.uuid)?;
        let first = found.get(&start).ok_or_else(|| missing(start))?;
        if base.next.segment == 0 && first.link.is_none_or(|l| l.segment != 0) && first.header.number != 1 {
            return Err(missing(1));
        }
        let chain = chain(start, &found)?;
        let next = if base.next.segment == 0 { Place { segment: start, position: FIRST } } else { base.next };
        if !(FIRST..=first.header.size).contains(&next.position) {
            return Err(beside(next, first.header.size));
        }
        let parts = std::mem::take(&mut base.parts);
        let from = checkpoint::Start { reference: base.reference, next, parts: &parts };
        // A segment that is gone or cut short takes along the frames that would speak for it; `head` still does.
        let stated = heads.iter().map(Head::stated).max().unwrap_or(0);
        let careful = self.opening.read_only;
        let mut walked = if careful {
            let declared = Walk::new(&found, &chain, from, stated, 0, &mut |_, _| ()).run()?.declared;
            Walk::new(&found, &chain, from, stated, declared, &mut |lsn, p| restore.frame(lsn, p)).run()?
        } else {
            Walk::new(&found, &chain, from, stated, Lsn::MAX, &mut |lsn, p| restore.frame(lsn, p)).run()?
        };
        if let Some((kind, lsn)) = walked.unknown {
            let message =
                format!("another version wrote this log; open it with that version; frame kind={kind} lsn={lsn}");
            return Err(Error::new(ErrorKind::UnsupportedVersion, message));
        }
        let opened = restore.opened(last_incarnation(&found), 0);
        check_room(walked.last_lsn.max(restore.incarnation()).max(opened.incarnation).max(opened.first_number))?;
        let mut report = Report {
            holes: walked.holes.clone(),
            loading: loaded - began,
            folding: self.machine.clock.monotonic() - loaded,
            folded: walked.folded,
            ..Report::default()
        };
        report.cut = walked.cut().filter(|_| !heads.first().is_some_and(|head| ended(head, &walked)));
        let lost = walked.holes.iter().find(|h| h.refuses()).copied();
        if let Some(hole) = lost
            && !self.opening.accept_loss
        {
            report.refused = Some(damaged(&hole));
            // Nothing is written from here on, so nothing may be served that is not known durable.
            restore.clear();
            base = self.base(&heads, restore)?;
            walked =
                Walk::new(&found, &chain, from, stated, walked.declared, &mut |lsn, p| restore.frame(lsn, p)).run()?;
        }
        let recovery = Recovery { opener: self, identity, base, found, chain, walked, known };
        if recovery.opener.opening.read_only || report.refused.is_some() {
            return recovery.read_only(restore, report);
        }
        if let Some(head) = heads.first().copied()
            && (recovery.is_clean(&head) || planted(Bug::TailServedUncopied))
        {
            return recovery.go_on(restore, report);
        }
        recovery.copy_tail(restore, report)
    }

    /// Every segment that the checkpoint lists must be there.
    fn check_listed(&self, base: &Base) -> Result<()> {
        match base.segments.iter().find(|i| self.numbers.binary_search(&i.number).is_err()) {
            Some(info) => Err(missing(info.number)),
            None => Ok(()),
        }
    }

    fn open_segments(
        &self,
        start: u64,
        known: &BTreeMap<u64, SegmentInfo>,
        uuid: [u8; 16],
    ) -> Result<BTreeMap<u64, FoundSegment>> {
        let mut found = BTreeMap::new();
        for number in self.numbers.iter().filter(|n| **n >= start) {
            if let Some(segment) = FoundSegment::open(&self.handles, *number, known.get(number))? {
                if segment.header.uuid != uuid && segment.header.uuid != [0; 16] {
                    let name = SegmentHeader::name(*number, 0);
                    let message = format!("a segment belongs to another log; restore the right file; file={name}");
                    return Err(Error::new(ErrorKind::Corrupt, message));
                }
                found.insert(*number, segment);
            }
        }
        Ok(found)
    }

    /// The newest checkpoint that is whole, looked for where `head` says, then where the segments' links say.
    fn base(&self, heads: &[Head], restore: &mut dyn Restore<F>) -> Result<Base> {
        let hints = heads.iter().flat_map(|h| [(h.checkpoint_lsn, h.checkpoint), (h.older_lsn, h.older)]);
        let mut references: Vec<CheckpointRef> =
            hints.map(|(lsn, last_part)| CheckpointRef { lsn, last_part }).collect();
        for pass in 0..2 {
            references.retain(|r| r.last_part.segment != 0);
            references.sort_by_key(|r| std::cmp::Reverse(r.lsn));
            references.dedup();
            for (i, reference) in references.iter().enumerate() {
                if let Some(loaded) = self.load(*reference, restore)? {
                    if i > 0 {
                        branch("older_checkpoint_used");
                    }
                    let older = references.get(i + 1).copied().unwrap_or_default();
                    return Ok(Base {
                        reference: *reference,
                        older,
                        next: loaded.next,
                        bytes: loaded.bytes,
                        segments: loaded.segments,
                        parts: loaded.parts,
                    });
                }
                restore.clear();
            }
            if pass == 0 {
                for number in self.numbers.iter().rev() {
                    if let Some(FoundSegment { link: Some(link), .. }) = self.segment(*number)? {
                        references.push(CheckpointRef { lsn: link.checkpoint_lsn, last_part: link.checkpoint });
                        references.push(CheckpointRef { lsn: link.older_lsn, last_part: link.older });
                    }
                }
            }
        }
        let none = CheckpointRef::default();
        let (segments, parts) = (Vec::new(), Vec::new());
        Ok(Base { reference: none, older: none, next: Place::default(), bytes: 0, segments, parts })
    }

    /// The checkpoint at `reference`; `None` if it is not whole.
    fn load(&self, reference: CheckpointRef, restore: &mut dyn Restore<F>) -> Result<Option<checkpoint::Loaded>> {
        let mut files: BTreeMap<u64, Option<checkpoint::Sealed>> = BTreeMap::new();
        let mut open = |number: u64| {
            Ok(match files.entry(number) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.segment(number)?.map(|s| (s.file.clone(), s.seal()))),
            }
            .clone())
        };
        let loaded = checkpoint::load(reference, &mut open, &mut |body| restore.part(reference.lsn, body))?;
        Ok(loaded.filter(|_| restore.load().is_some()))
    }

    /// A segment that may help to find or read a checkpoint; `None` if it is not there or damaged. An error of the
    /// system is not taken for either: the log would go on from less than it holds.
    fn segment(&self, number: u64) -> Result<Option<FoundSegment>> {
        if self.numbers.binary_search(&number).is_err() {
            return Ok(None);
        }
        match FoundSegment::open(&self.handles, number, None) {
            Err(e) if e.kind() == ErrorKind::Corrupt => Ok(None),
            found => found,
        }
    }
}
