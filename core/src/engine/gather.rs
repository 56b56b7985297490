//! One frame over any number of partitions: a transaction, or what a named producer gathered. Whole or absent.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::Inner;
use super::hub::note_part;
use super::offsets::{GivenOffsets, Resolved};
use super::promise::{Judged, Refusal};
use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::{BATCH_HEADER, BatchHeader};
use crate::format::bytes::{align8, put_i32_be, put_i64_be};
use crate::format::frame::{self, FRAME_HEADER, Kind, Payload};
use crate::format::transaction::{Decision, PART, Part, TRANSACTION_HEAD, TransactionHead};
use crate::io::bugs::{Bug, planted};
use crate::journal::{Claim, Draft, Entry, Guard};
use crate::partition::Partition;
use crate::types::{Durability, Incarnation, Instance, Lsn, Offset, Timestamp, TransactionNumber};

use super::hub::Hub;

/// What goes down as one frame.
pub struct Gathered<'a> {
    /// Id and epoch of the name it belongs to.
    pub producer: (i64, i16),
    /// The transaction's number; 0 for a named producer's plain sends.
    pub number: TransactionNumber,
    /// The position it carries.
    pub position: Option<u64>,
    /// Its batches.
    pub parts: &'a [GatheredPart<'a>],
    /// The offsets it commits.
    pub offsets: &'a GivenOffsets,
    /// Its level, if it names one.
    pub durability: Option<Durability>,
    /// What it may wait for.
    pub entry: Entry,
}

/// One batch of it.
pub struct GatheredPart<'a> {
    /// Where it goes.
    pub partition: &'a Arc<Partition>,
    /// 40 free bytes, then the batch.
    pub framed: &'a [u8],
}

/// Where it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedGroup {
    /// The frame.
    pub lsn: Lsn,
    /// The level at which it is acknowledged.
    pub level: Durability,
    /// The life that answers.
    pub incarnation: Incarnation,
    /// Offset of each part's first record, and the time of the append where it counts.
    pub firsts: Vec<(Offset, Option<Timestamp>)>,
    /// Its position was there already; nothing was written.
    pub duplicate: bool,
}

/// The frame while its place is not known.
struct Build {
    frame: Vec<u8>,
    parts: Vec<(Part, BatchHeader, usize)>,
}

impl Inner {
    /// Places all of it as one frame, or nothing. Refused if the name was fenced, a partition or its topic is gone, or
    /// the position does not follow; that is not waited for.
    pub fn append_gathered(&self, gathered: Gathered<'_>) -> Judged<PlacedGroup> {
        self.check_writable()?;
        if planted(Bug::PositionApartFromRecords) && gathered.position.is_some() && !gathered.parts.is_empty() {
            self.place_gathered(&Gathered { parts: &[], offsets: GivenOffsets::NONE, ..gathered })?;
            return self.place_gathered(&Gathered { position: None, ..gathered });
        }
        self.place_gathered(&gathered)
    }

    fn place_gathered(&self, gathered: &Gathered<'_>) -> Judged<PlacedGroup> {
        let resolved = self.resolve(gathered.offsets)?;
        let mut build = Build::new(gathered, &resolved, self.append_time())?;
        let topics = gathered.parts.iter().map(|part| part.partition.level()).chain(resolved.level);
        let topics = if planted(Bug::WeakestTopicCounts) { topics.min() } else { topics.max() };
        // What names no topic, a position alone, has the engine's level.
        let level = topics.unwrap_or(self.settings.durability).max(gathered.durability.unwrap_or(Durability::Memory));
        let mut guard = self.journal.enter_for(build.frame.len(), claim(gathered), gathered.entry.at(level))?;
        let incarnation = guard.incarnation();
        match self.check_gathered(&mut guard, gathered, &resolved) {
            Ok(None) => {}
            Ok(Some(lsn)) => {
                self.duplicate_met();
                return Ok(PlacedGroup { lsn, level, incarnation, firsts: Vec::new(), duplicate: true });
            }
            Err(error) => return Err(self.refuse(guard, Refusal::of(error, gathered.producer))),
        }
        if let Err(error) = build.assign(|instance| guard.state().end(instance).unwrap_or(0)) {
            return Err(self.refuse(guard, error));
        }
        let Build { mut frame, parts } = build;
        patch(&mut frame, &parts);
        let head_end = FRAME_HEADER + TRANSACTION_HEAD + parts.len() * PART;
        // The fold reads the head it will read in recovery; the draft takes the frame away, so a copy of the head.
        let head_bytes = frame[FRAME_HEADER..head_end].to_vec();
        let placed = guard.place(
            Draft::Owned(frame),
            level,
            |_| (),
            |placed, notes| {
                for ((_, batch, at), part) in parts.iter().zip(gathered.parts) {
                    note_part(notes, part.partition, placed, placed.place.position + *at as u64, batch);
                }
            },
        );
        if let Some(head) = TransactionHead::read(&head_bytes)
            && let Some(offsets) = crate::format::control::OffsetsBlock::read(&resolved.block)
        {
            guard.state().apply(placed.lsn, &Payload::Transaction { head, offsets });
        }
        drop(guard);
        for ((part, ..), gathered) in parts.iter().zip(gathered.parts) {
            gathered.partition.placed(part.base_offset + u64::from(part.last_offset_delta) + 1);
        }
        let time = |batch: &BatchHeader| batch.is_log_append_time().then_some(batch.max_timestamp);
        let firsts = parts.iter().map(|(part, batch, _)| (part.base_offset, time(batch))).collect();
        Ok(PlacedGroup { lsn: placed.lsn, level, incarnation, firsts, duplicate: false })
    }

    /// The verdict. `Some`: a position that was there already, with the frame that holds it.
    fn check_gathered(
        &self,
        guard: &mut Guard<'_, Hub>,
        gathered: &Gathered<'_>,
        resolved: &Resolved,
    ) -> Result<Option<Lsn>> {
        let state = guard.state();
        let (producer_id, epoch) = gathered.producer;
        state.check_producer(producer_id, epoch)?;
        if let Some(position) = gathered.position
            && let Some((stored, lsn)) = state.position(producer_id)
            && position <= stored
            && gathered.number == 0
        {
            return Ok(Some(lsn));
        }
        super::transactions::check_position(state, producer_id, gathered.position)?;
        for part in gathered.parts {
            state.check_place(part.partition.instance(), 0)?;
        }
        resolved.check(state, gathered.offsets)?;
        Ok(None)
    }
}

/// A commit ends something, so on a full disk it may use the reserve; plain sends may not.
fn claim(gathered: &Gathered<'_>) -> Claim {
    match (gathered.number, gathered.parts) {
        (0, _) => Claim::Growth,
        (_, []) => Claim::Decision,
        _ => Claim::Commit,
    }
}

impl Build {
    /// Everything but offsets, LSN and checksum, before any lock.
    fn new(gathered: &Gathered<'_>, resolved: &Resolved, append_time: Timestamp) -> Result<Build> {
        let n = gathered.parts.len();
        let bodies: usize = gathered.parts.iter().map(|p| p.framed.len().saturating_sub(FRAME_HEADER)).sum();
        let head_len = TRANSACTION_HEAD + n * PART;
        let body_len = bodies + resolved.block.len();
        let mut out = Vec::with_capacity(align8(FRAME_HEADER + head_len + body_len));
        out.resize(FRAME_HEADER, 0);
        let decision = if gathered.number == 0 { Decision::None } else { Decision::Commit };
        let (producer, number, position) = (gathered.producer, gathered.number, gathered.position);
        TransactionHead::encode(&mut out, producer, decision, number, position, &resolved.block, n);
        let mut parts = Vec::with_capacity(n);
        let mut seen = FxHashSet::default();
        for part in gathered.parts {
            let bytes = part.framed.get(FRAME_HEADER..).unwrap_or_default();
            let mut batch = BatchHeader::read(bytes)
                .ok_or_else(|| Error::new(ErrorKind::Internal, "a gathered batch is shorter than its header"))?;
            if n > 1 && !seen.insert(part.partition.instance()) {
                return Err(Error::new(ErrorKind::Internal, "two batches of one partition were gathered; report this"));
            }
            let at = out.len();
            out.extend_from_slice(bytes);
            if part.partition.stamps() {
                batch.stamp(&bytes[BATCH_HEADER..], append_time);
                batch.write(&mut out[at..]);
            }
            let entry = Part {
                instance: part.partition.instance(),
                len: bytes.len() as u32,
                base_offset: 0,
                batch_crc: batch.crc,
                leader_epoch: 0,
                last_offset_delta: batch.last_offset_delta.unsigned_abs(),
            };
            parts.push((entry, batch, at));
        }
        out.extend_from_slice(&resolved.block);
        frame::write_header(&mut out, Kind::Transaction, 0, head_len, body_len, 0, 0);
        out.resize(align8(out.len()), 0);
        Ok(Build { frame: out, parts })
    }

    /// Gives each part its first offset: the partition's end.
    fn assign(&mut self, mut end: impl FnMut(Instance) -> Offset) -> Result<()> {
        for i in 0..self.parts.len() {
            let (part, batch, _) = &mut self.parts[i];
            let first = end(part.instance);
            part.base_offset = first;
            batch.base_offset = first.cast_signed();
            batch.leader_epoch = 0;
            if first + u64::from(part.last_offset_delta) >= crate::limits::OFFSET_MAX {
                let message = format!("the partition's offsets are used up; go on in another topic, end={first}");
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
        }
        Ok(())
    }
}

/// Writes the offsets into the part table and into the batches.
fn patch(frame: &mut [u8], parts: &[(Part, BatchHeader, usize)]) {
    for (i, (part, _, at)) in parts.iter().enumerate() {
        let entry = FRAME_HEADER + TRANSACTION_HEAD + i * PART;
        part.write(&mut frame[entry..entry + PART]);
        let batch = &mut frame[*at..*at + BATCH_HEADER];
        put_i64_be(batch, 0, part.base_offset.cast_signed());
        put_i32_be(batch, 12, 0);
    }
}
