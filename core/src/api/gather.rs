//! Batches of several partitions that go down as one frame: a transaction, or what a named producer gathered.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::spares::Spares;
use crate::engine::{GatheredPart, Judged};
use crate::error::Result;
use crate::format::batch::{BatchBuilder, too_large};
use crate::format::frame::FRAME_HEADER;
use crate::format::record::Record;
use crate::limits::BATCH_MAX;
use crate::partition::Partition;
use crate::types::{Compression, Identity, Instance, Timestamp};

/// As many partitions as are kept room for between two transactions.
const KEPT: usize = 1_000;

/// The partitions of a small topic, numbered one after the other, do not get in each other's way.
const RECENT: usize = 8;

/// Batches that are being filled, one per partition, in the order in which the partitions came.
#[derive(Default)]
pub(super) struct Gather {
    slots: Vec<(Arc<Partition>, BatchBuilder)>,
    index: FxHashMap<Instance, usize>,
    /// Of the partitions that records came for last, by the end of the instance's number: asked before the index.
    recent: [Option<(Instance, usize)>; RECENT],
    bytes: usize,
    /// What was to be placed came to so many bytes, compressed, when it found no room; `None` once it has grown.
    tried: Option<usize>,
    spares: Spares,
}

/// Bytes of a partition's batch, and of all batches together.
#[derive(Clone, Copy)]
pub(super) struct Bytes {
    pub(super) own: usize,
    pub(super) all: usize,
}

/// Where a record went.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    /// Number of its partition's batch.
    pub(super) slot: u32,
    /// Number of the record in it.
    pub(super) index: u32,
}

impl Gather {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
    /// Bytes of all batches.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
    /// Bytes that found no room when they were compressed: not again before there is room for so many.
    pub(super) fn tried(&self) -> Option<usize> {
        self.tried
    }
    /// All batches together found none, for so many bytes.
    pub(super) fn found_no_room(&mut self, bytes: usize) {
        self.tried = Some(bytes);
    }
    /// True if there is a batch for that partition.
    pub(super) fn holds(&self, instance: Instance) -> bool {
        self.slot(instance).is_some()
    }
    #[inline]
    fn slot(&self, instance: Instance) -> Option<usize> {
        match self.recent[instance as usize % RECENT] {
            Some((recent, slot)) if recent == instance => Some(slot),
            _ => self.index.get(&instance).copied(),
        }
    }
    /// Bytes of a partition's batch.
    pub(super) fn bytes_of(&self, instance: Instance) -> usize {
        self.slot(instance).map_or(0, |slot| self.slots[slot].1.size())
    }

    /// Adds a record, if its partition's batch, where there is one, has at most `most.own` bytes then and all batches
    /// together have at most `most.all`; else answers how many they would have. After an error nothing has changed.
    #[inline(always)]
    pub(super) fn try_push(
        &mut self,
        partition: &Arc<Partition>,
        record: &Record<'_>,
        timestamp: Timestamp,
        most: Bytes,
    ) -> Result<std::result::Result<Spot, Bytes>> {
        let instance = partition.instance();
        let Some(slot) = self.slot(instance) else {
            let own = BatchBuilder::new().len_with(record, timestamp);
            let all = self.bytes.saturating_add(own);
            if own > BATCH_MAX || all > most.all {
                return Ok(Err(Bytes { own, all }));
            }
            return self.begin(partition, record, timestamp).map(Ok);
        };
        let builder = &mut self.slots[slot].1;
        let others = self.bytes - builder.size();
        match builder.try_push(record, timestamp, most.own.min(most.all.saturating_sub(others)))? {
            Ok(()) => {
                (self.bytes, self.tried) = (others + builder.size(), None);
                self.recent[instance as usize % RECENT] = Some((instance, slot));
                Ok(Ok(spot(slot, builder)))
            }
            Err(size) => {
                let own = usize::try_from(size).unwrap_or(usize::MAX);
                Ok(Err(Bytes { own, all: others.saturating_add(own) }))
            }
        }
    }

    /// Adds a record however many bytes there are then, as long as it fits a batch. After an error nothing has changed.
    pub(super) fn push(
        &mut self,
        partition: &Arc<Partition>,
        record: &Record<'_>,
        timestamp: Timestamp,
    ) -> Result<Spot> {
        match self.try_push(partition, record, timestamp, Bytes { own: BATCH_MAX, all: usize::MAX })? {
            Ok(spot) => Ok(spot),
            Err(Bytes { own, .. }) => Err(too_large(own as u64)),
        }
    }

    /// Adds a record to a partition that has no batch.
    fn begin(&mut self, partition: &Arc<Partition>, record: &Record<'_>, timestamp: Timestamp) -> Result<Spot> {
        let mut builder = self.spares.take();
        if let Err(error) = builder.push(record, timestamp) {
            self.spares.give(builder);
            return Err(error);
        }
        let slot = self.slots.len();
        self.tried = None;
        self.bytes += builder.size();
        let spot = spot(slot, &builder);
        self.index.insert(partition.instance(), slot);
        self.slots.push((partition.clone(), builder));
        Ok(spot)
    }

    /// The finished batches, for the engine.
    pub(super) fn parts(&mut self, compression: Compression) -> Vec<GatheredPart<'_>> {
        let slots = self.slots.iter_mut().map(|(partition, builder)| {
            let framed = builder.compression(compression).finish();
            GatheredPart { partition, framed }
        });
        slots.collect()
    }

    /// Hands out the batches one by one, as batches of an open transaction of `identity`, and forgets each that was
    /// taken. After an error the others are still here.
    pub(super) fn stream(
        &mut self,
        identity: Identity,
        compression: Compression,
        mut take: impl FnMut(GatheredPart<'_>) -> Judged<()>,
    ) -> Judged<()> {
        self.recent = Default::default();
        while let Some((partition, builder)) = self.slots.last_mut() {
            // Nobody sends such a batch again, so it needs no sequence.
            builder.producer(identity, -1).transactional(true);
            let framed = builder.compression(compression).finish();
            let taken = take(GatheredPart { partition, framed });
            self.tried = taken.is_err().then(|| framed.len() - FRAME_HEADER);
            if taken.is_err() {
                builder.producer(Identity { producer_id: -1, epoch: -1 }, -1).transactional(false);
                return taken;
            }
            if let Some((partition, builder)) = self.slots.pop() {
                self.index.remove(&partition.instance());
                self.bytes = self.bytes.saturating_sub(builder.size());
                self.spares.give(builder);
            }
        }
        Ok(())
    }

    /// Empty again; a few buffers are kept.
    pub(super) fn clear(&mut self) {
        self.index.clear();
        self.recent = Default::default();
        (self.bytes, self.tried) = (0, None);
        self.slots.drain(..).for_each(|(_, builder)| self.spares.give(builder));
        self.slots.shrink_to(KEPT);
        self.index.shrink_to(KEPT);
    }
}

fn spot(slot: usize, builder: &BatchBuilder) -> Spot {
    // Both are far below 2^32: a frame has fewer parts, a batch fewer records.
    Spot { slot: slot as u32, index: (builder.count() - 1) as u32 }
}
