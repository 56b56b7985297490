//! Batches of several partitions that go down as one frame: a transaction, or what a named producer gathered.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::engine::GatheredPart;
use crate::error::Result;
use crate::format::batch::BatchBuilder;
use crate::format::record::Record;
use crate::partition::Partition;
use crate::types::{Compression, Identity, Instance, Timestamp};

/// Batches that are being filled, one per partition, in the order in which the partitions came.
#[derive(Default)]
pub(super) struct Gather {
    slots: Vec<(Arc<Partition>, BatchBuilder)>,
    index: FxHashMap<Instance, usize>,
    bytes: usize,
    /// Builders whose buffers have grown, to be used again.
    spare: Vec<BatchBuilder>,
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
    /// True if there is a batch for that partition.
    pub(super) fn holds(&self, instance: Instance) -> bool {
        self.index.contains_key(&instance)
    }
    /// Bytes of a partition's batch.
    pub(super) fn bytes_of(&self, instance: Instance) -> usize {
        self.index.get(&instance).map_or(0, |slot| self.slots[*slot].1.size())
    }

    /// Bytes of the partition's batch, and of all batches, if the record were added.
    pub(super) fn bytes_with(&self, instance: Instance, record: &Record<'_>, timestamp: Timestamp) -> (usize, usize) {
        match self.index.get(&instance) {
            Some(slot) => {
                let builder = &self.slots[*slot].1;
                let own = builder.len_with(record, timestamp);
                (own, self.bytes.saturating_sub(builder.size()).saturating_add(own))
            }
            None => {
                let own = BatchBuilder::new().len_with(record, timestamp);
                (own, self.bytes.saturating_add(own))
            }
        }
    }

    /// Adds a record to its partition's batch. After an error nothing has changed.
    pub(super) fn push(
        &mut self,
        partition: &Arc<Partition>,
        record: &Record<'_>,
        timestamp: Timestamp,
    ) -> Result<Spot> {
        if let Some(slot) = self.index.get(&partition.instance()).copied() {
            let builder = &mut self.slots[slot].1;
            let before = builder.size();
            builder.push(record, timestamp)?;
            self.bytes += builder.size() - before;
            return Ok(spot(slot, builder));
        }
        let mut builder = self.spare.pop().unwrap_or_default();
        if let Err(error) = builder.push(record, timestamp) {
            self.spare.push(builder);
            return Err(error);
        }
        let slot = self.slots.len();
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
        mut take: impl FnMut(GatheredPart<'_>) -> Result<()>,
    ) -> Result<()> {
        while let Some((partition, builder)) = self.slots.last_mut() {
            // Nobody sends such a batch again, so it needs no sequence.
            builder.producer(identity, -1).transactional(true);
            let taken = take(GatheredPart { partition, framed: builder.compression(compression).finish() });
            if taken.is_err() {
                builder.producer(Identity { producer_id: -1, epoch: -1 }, -1).transactional(false);
                return taken;
            }
            if let Some((partition, mut builder)) = self.slots.pop() {
                self.index.remove(&partition.instance());
                self.bytes = self.bytes.saturating_sub(builder.size());
                builder.reset();
                self.spare.push(builder);
            }
        }
        Ok(())
    }

    /// Empty again; the buffers are kept.
    pub(super) fn clear(&mut self) {
        self.index.clear();
        self.bytes = 0;
        for (_, mut builder) in self.slots.drain(..) {
            builder.reset();
            self.spare.push(builder);
        }
    }
}

fn spot(slot: usize, builder: &BatchBuilder) -> Spot {
    // Both are far below 2^32: a frame has fewer parts, a batch fewer records.
    Spot { slot: slot as u32, index: (builder.count() - 1) as u32 }
}
