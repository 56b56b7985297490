//! The entries of the state's tables as bytes; the parts they lie in are drawn in `snapshot`.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::catalog::PartitionState;
use super::cuts::Cut;
use super::offsets::CommittedOffset;
use super::producers::{Decision, Fate, Last, Named, Registration};
use super::sequences::{CachedBatch, Sequence};
use super::topic::Topic;
use super::transactions::{OpenSpan, OpenTransaction, PendingOffset};
use crate::format::bytes::{Put, Reader, put_u32};
use crate::format::topic_config::TopicConfig;
use crate::limits::{CACHED_BATCHES, DECISIONS_KEPT};
use crate::types::{Lsn, TopicId};

/// One entry of a table, as bytes.
pub trait Entry: Clone {
    /// The table's number.
    const TABLE: u32;
    /// About how many bytes `write` appends.
    fn weight(&self) -> usize;
    fn write(&self, to: &mut Vec<u8>);
    fn read(from: &mut Reader<'_>, slot: u32, aside: &mut Aside) -> Option<Self>;
}

/// What entries say beside themselves, to be compared when all are there.
#[derive(Debug, Default)]
pub struct Aside {
    /// Partitions of each topic, by the topic's slot.
    pub counts: FxHashMap<u32, u32>,
    /// The version of the part that is read.
    pub version: u32,
    /// What the state is as of: no frame behind it was folded.
    pub lsn: Lsn,
}

impl Aside {
    /// Takes the LSN of a frame. Answers wait for the frames they depend on: one that is not there must not be named.
    fn lsn(&self, from: &mut Reader<'_>) -> Option<Lsn> {
        from.u64().map(|lsn| lsn.min(self.lsn))
    }
}

impl Entry for Arc<Topic> {
    const TABLE: u32 = 1;
    fn weight(&self) -> usize {
        28 + self.name.len()
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.raw(&self.id.0).u32(self.partitions).u8(self.durability).u8(self.partition_kind).text(&self.name);
    }
    fn read(from: &mut Reader<'_>, slot: u32, aside: &mut Aside) -> Option<Self> {
        let id = TopicId(from.id()?);
        aside.counts.insert(slot, from.u32()?);
        let (durability, partition_kind, name) = (from.u8()?, from.u8()?, from.text()?.into());
        Some(Arc::new(Topic::new(name, id, durability, partition_kind)))
    }
}

impl Entry for TopicConfig {
    const TABLE: u32 = 12;
    fn weight(&self) -> usize {
        48
    }
    fn write(&self, to: &mut Vec<u8>) {
        let head = to.len();
        to.u32(0);
        TopicConfig::write(self, to);
        // A few short texts.
        let len = (to.len() - head - 4) as u32;
        put_u32(to, head, len);
    }
    fn read(from: &mut Reader<'_>, _slot: u32, _aside: &mut Aside) -> Option<Self> {
        let len = from.u32()? as usize;
        TopicConfig::read(&mut Reader::new(from.bytes(len)?))
    }
}

impl Entry for Cut {
    const TABLE: u32 = 13;
    fn weight(&self) -> usize {
        20
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.u64(self.incarnation).u64(self.kept);
    }
    fn read(from: &mut Reader<'_>, _slot: u32, _aside: &mut Aside) -> Option<Self> {
        Some(Self { incarnation: from.u64()?, kept: from.u64()? })
    }
}

/// The weight of every partition.
pub const PARTITION_WEIGHT: usize = 28;

impl Entry for PartitionState {
    const TABLE: u32 = 2;
    fn weight(&self) -> usize {
        PARTITION_WEIGHT
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.u64(self.start).u64(self.end).u32(self.topic).u32(self.number);
    }
    fn read(from: &mut Reader<'_>, _slot: u32, _aside: &mut Aside) -> Option<Self> {
        Some(Self { start: from.u64()?, end: from.u64()?, topic: from.u32()?, number: from.u32()? })
    }
}

impl Entry for Registration {
    const TABLE: u32 = 3;
    fn weight(&self) -> usize {
        26
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.u64(self.producer_id.cast_unsigned()).u16(self.epoch.cast_unsigned());
        to.u32(self.timeout_ms).u64(self.opened_lsn);
    }
    fn read(from: &mut Reader<'_>, _slot: u32, aside: &mut Aside) -> Option<Self> {
        Some(Self {
            producer_id: from.u64()?.cast_signed(),
            epoch: from.u16()?.cast_signed(),
            timeout_ms: from.u32()?,
            opened_lsn: aside.lsn(from)?,
        })
    }
}

impl Entry for Arc<Named> {
    const TABLE: u32 = 4;
    fn weight(&self) -> usize {
        64 + 16 * self.decisions.len() + self.name.len()
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.u64(self.producer_id.cast_unsigned()).u64(self.previous_id.cast_unsigned());
        to.u16(self.epoch.cast_unsigned()).u32(self.timeout_ms).u64(self.opened_lsn).u64(self.position_lsn);
        to.u8(u8::from(self.position.is_some())).u64(self.position.unwrap_or(0));
        to.u16(self.last_epoch.cast_unsigned()).u8(self.last as u8);
        // Never more than limits::DECISIONS_KEPT.
        to.u32(u32::try_from(self.decisions.len()).unwrap_or(u32::MAX));
        for decision in &self.decisions {
            to.u64(decision.number).u64(decision.lsn | (decision.fate as u64) << FATE);
        }
        to.text(&self.name);
    }
    fn read(from: &mut Reader<'_>, _slot: u32, aside: &mut Aside) -> Option<Self> {
        let (producer_id, previous_id) = (from.u64()?.cast_signed(), from.u64()?.cast_signed());
        let (epoch, timeout_ms, opened_lsn) = (from.u16()?.cast_signed(), from.u32()?, aside.lsn(from)?);
        let position_lsn = aside.lsn(from)?;
        let position = match (from.u8()?, from.u64()?) {
            (0, 0) => None,
            (1, position) => Some(position),
            _ => return None,
        };
        let (last_epoch, last) = match aside.version {
            1 => (-1, Last::Nothing),
            _ => (from.u16()?.cast_signed(), last_of(from.u8()?)?),
        };
        let mut decisions = VecDeque::new();
        for _ in 0..bounded(from.u32()?, DECISIONS_KEPT)? {
            let (number, lsn) = (from.u64()?, from.u64()?);
            let fate = fate_of(lsn >> FATE)?;
            decisions.push_back(Decision { number, lsn: (lsn & ((1 << FATE) - 1)).min(aside.lsn), fate });
        }
        let name = from.text()?.into();
        Some(Arc::new(Named {
            name,
            producer_id,
            previous_id,
            epoch,
            last_epoch,
            last,
            timeout_ms,
            opened_lsn,
            position,
            position_lsn,
            decisions,
        }))
    }
}

/// The bit of a decision's LSN where its fate begins: LSNs stay below.
const FATE: u32 = 62;

fn fate_of(number: u64) -> Option<Fate> {
    [Fate::Committed, Fate::Aborted, Fate::TimedOut].into_iter().find(|fate| *fate as u64 == number)
}

fn last_of(number: u8) -> Option<Last> {
    [Last::Nothing, Last::Commit, Last::Abort].into_iter().find(|last| *last as u8 == number)
}

impl Entry for Sequence {
    const TABLE: u32 = 5;
    fn weight(&self) -> usize {
        22 + 32 * self.batches().len()
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.u64(self.producer_id.cast_unsigned()).u32(self.instance).u16(self.epoch.cast_unsigned());
        // Never more than limits::CACHED_BATCHES.
        to.u32(u32::try_from(self.batches().len()).unwrap_or(u32::MAX));
        for batch in self.batches() {
            to.u32(batch.first_sequence.cast_unsigned()).u32(batch.last_sequence.cast_unsigned());
            to.u64(batch.first).u64(batch.timestamp.cast_unsigned()).u64(batch.lsn);
        }
    }
    fn read(from: &mut Reader<'_>, _slot: u32, aside: &mut Aside) -> Option<Self> {
        let (producer_id, instance) = (from.u64()?.cast_signed(), from.u32()?);
        let mut sequence = Sequence::new(producer_id, instance, from.u16()?.cast_signed());
        for _ in 0..bounded(from.u32()?, CACHED_BATCHES)? {
            sequence.push(CachedBatch {
                first_sequence: from.u32()?.cast_signed(),
                last_sequence: from.u32()?.cast_signed(),
                first: from.u64()?,
                timestamp: from.u64()?.cast_signed(),
                lsn: aside.lsn(from)?,
            });
        }
        Some(sequence)
    }
}

impl Entry for CommittedOffset {
    const TABLE: u32 = 6;
    fn weight(&self) -> usize {
        56 + self.group.len() + self.metadata.len()
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.raw(&self.topic.0).u32(self.partition).u64(self.offset).u32(self.leader_epoch.cast_unsigned());
        to.u64(self.lsn).u64(self.sent_lsn).text(&self.group).text(&self.metadata);
    }
    fn read(from: &mut Reader<'_>, _slot: u32, aside: &mut Aside) -> Option<Self> {
        let (topic, partition, offset) = (TopicId(from.id()?), from.u32()?, from.u64()?);
        let (leader_epoch, lsn) = (from.u32()?.cast_signed(), aside.lsn(from)?);
        let sent_lsn = if aside.version == 1 { lsn } else { aside.lsn(from)? };
        let (group, metadata) = (from.text()?.into(), from.text()?.into());
        Some(Self { group, topic, partition, offset, leader_epoch, metadata, lsn, sent_lsn })
    }
}

impl Entry for OpenTransaction {
    const TABLE: u32 = 9;
    fn weight(&self) -> usize {
        36
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.u64(self.number).u64(self.producer_id.cast_unsigned()).u16(self.epoch.cast_unsigned());
        to.u16(self.flags).u32(self.timeout_ms).u64(self.since.cast_unsigned());
    }
    fn read(from: &mut Reader<'_>, _slot: u32, _aside: &mut Aside) -> Option<Self> {
        Some(Self {
            number: from.u64()?,
            producer_id: from.u64()?.cast_signed(),
            epoch: from.u16()?.cast_signed(),
            flags: from.u16()?,
            timeout_ms: from.u32()?,
            since: from.u64()?.cast_signed(),
        })
    }
}

impl Entry for OpenSpan {
    const TABLE: u32 = 10;
    fn weight(&self) -> usize {
        32
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.u64(self.number).u32(self.instance).u64(self.first).u64(self.end);
    }
    fn read(from: &mut Reader<'_>, _slot: u32, _aside: &mut Aside) -> Option<Self> {
        let (number, instance) = (from.u64()?, from.u32()?);
        // The topic is its partition's.
        Some(Self { number, instance, first: from.u64()?, end: from.u64()?, topic: TopicId::default() })
    }
}

impl Entry for PendingOffset {
    const TABLE: u32 = 11;
    fn weight(&self) -> usize {
        56 + self.group.len() + self.metadata.len()
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.u64(self.number).raw(&self.topic.0).u32(self.partition).u64(self.offset);
        to.u32(self.leader_epoch.cast_unsigned()).u64(self.lsn).text(&self.group).text(&self.metadata);
    }
    fn read(from: &mut Reader<'_>, _slot: u32, aside: &mut Aside) -> Option<Self> {
        Some(Self {
            number: from.u64()?,
            topic: TopicId(from.id()?),
            partition: from.u32()?,
            offset: from.u64()?,
            leader_epoch: from.u32()?.cast_signed(),
            lsn: aside.lsn(from)?,
            group: from.text()?.into(),
            metadata: from.text()?.into(),
        })
    }
}

/// A number of items that a file claims, if there may be so many.
fn bounded(count: u32, greatest: usize) -> Option<u32> {
    (count as usize <= greatest).then_some(count)
}
