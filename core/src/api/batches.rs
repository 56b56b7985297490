//! What a producer without a name gathers: a batch per partition, each placed for itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gather::Spot;
use super::pending::{Outcome, Pending, Sent};
use super::producer::{Context, Effects};
use crate::error::{Error, Result};
use crate::format::batch::BatchBuilder;
use crate::format::record::Record;
use crate::partition::Partition;
use crate::types::{Durability, Instance, Lsn, Timestamp};

/// The open batches, by partition.
#[derive(Default)]
pub(super) struct Batches {
    open: BTreeMap<Instance, Open>,
    spare: Vec<BatchBuilder>,
    /// The last frame placed, and the strongest level asked for.
    last: Option<(Lsn, Durability)>,
    /// Why the first batch since the last flush was refused, if one was.
    refused: Option<Error>,
}

struct Open {
    partition: Arc<Partition>,
    builder: BatchBuilder,
    pending: Arc<Pending>,
    /// Monotonic nanoseconds at which the batch is closed.
    deadline: u64,
}

impl Batches {
    pub(super) fn holds(&self, instance: Instance) -> bool {
        self.open.contains_key(&instance)
    }

    /// Adds a record to its partition's batch; closes the batch before if the record does not fit, and behind it if it
    /// is full then. After an error the record is nowhere.
    pub(super) fn add(
        &mut self,
        context: &Context,
        partition: &Arc<Partition>,
        record: &Record<'_>,
        timestamp: Timestamp,
        effects: &mut Effects,
    ) -> Result<Sent> {
        let instance = partition.instance();
        let full =
            self.open.get(&instance).is_some_and(|o| o.builder.len_with(record, timestamp) > context.batch_bytes);
        if full {
            self.close_one(context, instance, effects);
        }
        let open = match self.open.get_mut(&instance) {
            Some(open) => {
                open.builder.push(record, timestamp)?;
                open
            }
            None => {
                let mut builder = self.spare.pop().unwrap_or_default();
                if let Err(error) = builder.push(record, timestamp) {
                    self.spare.push(builder);
                    return Err(error);
                }
                let deadline = effects.begin(context);
                let open = Open { partition: partition.clone(), builder, pending: Pending::new(), deadline };
                self.open.entry(instance).or_insert(open)
            }
        };
        let index = open.builder.count() - 1;
        let sent = Sent {
            pending: open.pending.clone(),
            // A batch has fewer than 2^31 records.
            spot: Spot { slot: 0, index: index as u32 },
            partition: partition.number(),
            timestamp,
            duplicate: None,
        };
        if context.linger == 0 || open.builder.size() >= context.batch_bytes {
            self.close_one(context, instance, effects);
        }
        Ok(sent)
    }

    /// Closes the batch of some tickets, if it is still open.
    pub(super) fn close(&mut self, context: &Context, pending: &Arc<Pending>, effects: &mut Effects) {
        let found = self.open.iter().find(|(_, open)| Arc::ptr_eq(&open.pending, pending));
        if let Some(instance) = found.map(|(instance, _)| *instance) {
            self.close_one(context, instance, effects);
        }
    }

    /// Closes the batches whose time has come; answers when the next one's comes.
    pub(super) fn close_due(&mut self, context: &Context, now: u64, effects: &mut Effects) -> Option<u64> {
        let due: Vec<Instance> = self.open.iter().filter(|(_, o)| o.deadline <= now).map(|(i, _)| *i).collect();
        due.into_iter().for_each(|instance| self.close_one(context, instance, effects));
        self.open.values().map(|open| open.deadline).min()
    }

    /// What a flush waits for, and what it answers then.
    pub(super) fn flushed(&mut self) -> (Option<(Lsn, Durability)>, Result<()>) {
        (self.last, self.refused.take().map_or(Ok(()), Err))
    }

    fn close_one(&mut self, context: &Context, instance: Instance, effects: &mut Effects) {
        let Some(Open { partition, mut builder, pending, .. }) = self.open.remove(&instance) else { return };
        let placed = context.engine.append(&partition, builder.finish(), context.durability);
        match &placed {
            Ok(placed) => {
                let level = self.last.map_or(placed.level, |(_, level)| level.max(placed.level));
                self.last = Some((placed.lsn, level));
            }
            Err(error) => self.refused = self.refused.take().or_else(|| Some(error.clone())),
        }
        effects.close(
            &pending,
            placed.map(|placed| Outcome {
                lsn: placed.lsn,
                level: placed.level,
                incarnation: placed.incarnation,
                firsts: vec![placed.first],
                duplicate: placed.duplicate,
            }),
        );
        builder.reset();
        self.spare.push(builder);
    }
}
