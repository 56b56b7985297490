//! What a producer without a name gathers: a batch per partition, each placed for itself.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::pending::{Outcome, Pending};
use super::sender::{Context, Effects};
use super::spares::Spares;
use crate::engine::{Judged, Refused};
use crate::error::Result;
use crate::format::batch::BatchBuilder;
use crate::format::frame::FRAME_HEADER;
use crate::format::record::Record;
use crate::journal::Entry;
use crate::limits::PRODUCER_MEMORY;
use crate::partition::Partition;
use crate::types::{Durability, Instance, Lsn, Timestamp};

/// The open batches, by partition.
#[derive(Default)]
pub(super) struct Batches {
    open: BTreeMap<Instance, Open>,
    /// Bytes of the open batches.
    bytes: usize,
    spares: Spares,
    /// The last frame placed, and the strongest level asked for.
    last: Option<(Lsn, Durability)>,
    /// Why the first batch since the last flush was refused, if one was.
    refused: Option<Refused>,
    /// The frame that the last refusal hangs on, as long as that may not be told; 0 for none.
    behind: Lsn,
}

struct Open {
    partition: Arc<Partition>,
    builder: BatchBuilder,
    pending: Arc<Pending>,
    /// Monotonic nanoseconds at which the batch is closed.
    deadline: u64,
    /// Its bytes, compressed, when it found no room; `None` once it has grown.
    tried: Option<usize>,
}

impl Batches {
    pub(super) fn holds(&self, instance: Instance) -> bool {
        self.open.contains_key(&instance)
    }

    /// Adds a record to its partition's batch; closes the batch before if the record does not fit, and behind it if it
    /// is full then. Answers the record's number in its batch. After an error the record is nowhere.
    #[inline(always)]
    pub(super) fn add(
        &mut self,
        context: &Context,
        partition: &Arc<Partition>,
        record: &Record<'_>,
        timestamp: Timestamp,
        effects: &mut Effects,
    ) -> Result<u32> {
        let instance = partition.instance();
        if self.bytes > PRODUCER_MEMORY {
            self.close_oldest(context, effects);
            effects.check_room()?;
        }
        if let Some(open) = self.open.get_mut(&instance)
            && let before = open.builder.size()
            && open.builder.try_push(record, timestamp, context.batch_bytes)?.is_ok()
        {
            self.bytes += open.builder.size() - before;
            open.tried = None;
            // A batch has fewer than 2^31 records.
            let index = (open.builder.count() - 1) as u32;
            effects.join(&open.pending);
            if open.builder.size() >= context.batch_bytes {
                self.close_one(context, instance, effects);
            }
            return Ok(index);
        }
        self.begin(context, partition, record, timestamp, effects).map(|()| 0)
    }

    /// Adds records of one time to the open batch of a partition, as long as they are `alike` and it takes them;
    /// answers how many, and the record behind them, if it was looked at. What `add` does once for each is done once
    /// for all.
    pub(super) fn add_alike<'a, R: Borrow<Record<'a>>>(
        &mut self,
        context: &Context,
        partition: &Partition,
        timestamp: Timestamp,
        records: &mut impl Iterator<Item = R>,
        alike: impl Fn(&Record<'a>) -> bool,
        effects: &mut Effects,
    ) -> (u32, Option<R>) {
        let (instance, most) = (partition.instance(), context.batch_bytes);
        let Self { open, bytes, .. } = self;
        let Some(open) = open.get_mut(&instance) else { return (0, None) };
        let others = *bytes - open.builder.size();
        let mut count = 0;
        let behind = loop {
            if open.builder.size() >= most || *bytes > PRODUCER_MEMORY {
                break None;
            }
            let Some(given) = records.next() else { break None };
            let record = given.borrow();
            if !alike(record) || !matches!(open.builder.try_push(record, timestamp, most), Ok(Ok(()))) {
                break Some(given);
            }
            // Each time: the caller's iterator may panic.
            (*bytes, open.tried) = (others + open.builder.size(), None);
            count += 1;
        };
        if open.builder.size() >= most {
            self.close_one(context, instance, effects);
        }
        (count, behind)
    }

    /// Closes the batch that is open and begins one with a record; however large the record is, it is the batch's only
    /// one then.
    #[inline(never)]
    fn begin(
        &mut self,
        context: &Context,
        partition: &Arc<Partition>,
        record: &Record<'_>,
        timestamp: Timestamp,
        effects: &mut Effects,
    ) -> Result<()> {
        self.close_one(context, partition.instance(), effects);
        effects.check_room()?;
        let mut builder = self.spares.take();
        if let Err(error) = builder.push(record, timestamp) {
            self.spares.give(builder);
            return Err(error);
        }
        self.bytes += builder.size();
        let (deadline, pending) = (effects.begin(context), Pending::new(context));
        effects.join(&pending);
        let open = Open { partition: partition.clone(), builder, pending, deadline, tried: None };
        let full = open.builder.size() >= context.batch_bytes;
        let instance = partition.instance();
        self.open.insert(instance, open);
        if context.linger == 0 || full {
            self.close_one(context, instance, effects);
        }
        Ok(())
    }

    /// Closes the batch of some tickets, if it is still open.
    pub(super) fn close(&mut self, context: &Context, pending: &Pending, effects: &mut Effects) {
        let found = self.open.iter().find(|(_, open)| std::ptr::eq(&*open.pending, pending));
        if let Some(instance) = found.map(|(instance, _)| *instance) {
            self.close_one(context, instance, effects);
        }
    }

    /// Closes the batches whose time has come; answers when the next one's comes.
    pub(super) fn close_due(&mut self, context: &Context, now: u64, effects: &mut Effects) -> Option<u64> {
        let due: Vec<Instance> =
            self.open.iter().filter(|(_, o)| o.pending.is_due(now, o.deadline)).map(|(i, _)| *i).collect();
        due.into_iter().for_each(|instance| self.close_one(context, instance, effects));
        self.open.values().map(|open| open.deadline).min()
    }

    /// Closes batches until half of the memory is free, those first whose time comes first: one look at all of them
    /// serves many.
    #[cold]
    fn close_oldest(&mut self, context: &Context, effects: &mut Effects) {
        let mut all: Vec<(u64, Instance)> = self.open.iter().map(|(instance, o)| (o.deadline, *instance)).collect();
        all.sort_unstable();
        for (_, instance) in all {
            if self.bytes <= PRODUCER_MEMORY / 2 || effects.check_room().is_err() {
                return;
            }
            self.close_one(context, instance, effects);
        }
    }

    /// The frame that must be flushed before anything more is sent; 0 for none. What comes behind a refusal would be
    /// answered before it otherwise.
    pub(super) fn behind(&mut self, context: &Context) -> Lsn {
        if self.behind > 0 && context.waits.reached(self.behind, Durability::Disk).is_some() {
            self.behind = 0;
        }
        self.behind
    }

    /// What a flush waits for, and what it answers then.
    pub(super) fn flushed(&mut self) -> (Option<(Lsn, Durability)>, Judged<()>) {
        (self.last, self.refused.take().map_or(Ok(()), Err))
    }

    fn close_one(&mut self, context: &Context, instance: Instance, effects: &mut Effects) {
        let Some(tried) = self.open.get(&instance).map(|open| open.tried) else { return };
        if effects.waits_for(context, tried) {
            return;
        }
        let Some(mut open) = self.open.remove(&instance) else { return };
        let bytes = open.builder.size();
        let (header, framed) = open.builder.compression(context.compression).finish_with_header();
        let (level, entry) = (context.durability, Entry::waiting(effects.may_wait()));
        let placed = context.engine.append(&open.partition, &header, framed, level, entry);
        if effects.held_up(&open.pending, &placed) {
            open.tried = Some(framed.len() - FRAME_HEADER);
            self.open.insert(instance, open);
            return;
        }
        let Open { builder, pending, partition, .. } = open;
        self.bytes -= bytes;
        let stamps = partition.stamps();
        match &placed {
            Ok(placed) => {
                let level = self.last.map_or(placed.level, |(_, level)| level.max(placed.level));
                self.last = Some((placed.lsn, level));
            }
            Err(refused) => {
                self.behind = self.behind.max(refused.lsn);
                if refused.lsn > 0 {
                    context.waits.want(refused.lsn);
                }
                self.refused = self.refused.take().or_else(|| Some(refused.clone()));
            }
        }
        effects.close(
            &pending,
            placed.map(|placed| Outcome {
                lsn: placed.lsn,
                level: placed.level,
                incarnation: placed.incarnation,
                firsts: vec![(placed.first, stamps.then_some(placed.timestamp))],
                duplicate: placed.duplicate,
            }),
        );
        self.spares.give(builder);
    }
}
