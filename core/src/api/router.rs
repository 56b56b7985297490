//! Which partition a record goes to.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::engine::unknown_partition;
use crate::engine::TopicHandle;
use crate::error::Result;
use crate::format::partitioner::partition_for_key;
use crate::format::record::Record;
use crate::io::Random;
use crate::partition::Partition;
use crate::types::{Instance, TopicId};

/// Chooses partitions as Kafka's producers do: the record's own, else by its key, else one that changes from batch to
/// batch (KIP-480), so that records without a key fill batches and still spread.
#[derive(Default)]
pub(super) struct Router {
    sticky: FxHashMap<TopicId, u32>,
}

impl Router {
    /// The partition of `record`. `gathering` says whether a batch for a partition is open now.
    pub(super) fn choose<'a>(
        &mut self,
        topic: &'a TopicHandle,
        record: &Record<'_>,
        random: &dyn Random,
        gathering: impl Fn(Instance) -> bool,
    ) -> Result<&'a Arc<Partition>> {
        let count = topic.partitions.len();
        let number = match (record.partition, record.key) {
            (Some(number), _) => number,
            (None, Some(key)) => partition_for_key(key, u32::try_from(count).unwrap_or(u32::MAX)),
            (None, None) => self.stick(topic, random, gathering),
        };
        let found = usize::try_from(number).ok().and_then(|n| topic.partitions.get(n));
        found.ok_or_else(|| unknown_partition(&topic.name, number, count))
    }

    fn stick(&mut self, topic: &TopicHandle, random: &dyn Random, gathering: impl Fn(Instance) -> bool) -> u32 {
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let last = self.sticky.get(&topic.id).copied();
        let partition = last.and_then(|last| topic.partitions.get(last as usize));
        if let (Some(last), Some(partition)) = (last, partition)
            && (count == 1 || gathering(partition.instance()))
        {
            return last;
        }
        let next = match last {
            // Any but the last one.
            Some(last) if count > 1 => {
                let drawn = below(random, count - 1);
                if drawn >= last { drawn + 1 } else { drawn }
            }
            _ => below(random, count),
        };
        self.sticky.insert(topic.id, next);
        next
    }
}

fn below(random: &dyn Random, end: u32) -> u32 {
    // The rest is less than `end`, which has 32 bits.
    (random.next_u64() % u64::from(end.max(1))) as u32
}
