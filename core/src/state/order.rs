//! The order in which a snapshot writes entries whose slots are chance: what is gone gives its slot up some time later,
//! and what comes takes the lowest that is free then. The same state gives the same bytes in the order of the keys.

use std::sync::Arc;

use super::entries::Entry;
use super::offsets::CommittedOffset;
use super::paged::Paged;
use super::sequences::Sequence;
use super::topic::{Block, Topic};
use super::transactions::{OpenSpan, PendingOffset};
use crate::types::{Instance, TopicId, TransactionNumber};

/// Slots in the order of the entries' keys, and partitions in the order of their instances.
#[derive(Debug, Default)]
pub struct Orders {
    /// Each with the slot of its topic.
    pub blocks: Vec<(u32, Block)>,
    pub sequences: Vec<u32>,
    pub offsets: Vec<u32>,
    pub spans: Vec<u32>,
    pub pending: Vec<u32>,
}

/// An entry that its key tells from all others of its table.
pub trait Sorted: Entry {
    type Key<'e>: Ord
    where
        Self: 'e;
    fn key(&self) -> Self::Key<'_>;
}

/// The slots of a table in the order of their entries' keys.
pub fn ascending<T: Sorted>(table: &Paged<T>) -> Vec<u32> {
    let mut keys: Vec<_> = table.iter().map(|(slot, entry)| (entry.key(), slot)).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, slot)| slot).collect()
}

/// The partitions of all topics, in the order of their instances.
pub fn blocks_of(topics: &Paged<Arc<Topic>>) -> Vec<(u32, Block)> {
    let of = |(slot, topic): (u32, &'_ Arc<Topic>)| topic.blocks_from(0).map(|block| (slot, block)).collect::<Vec<_>>();
    let mut blocks: Vec<_> = topics.iter().flat_map(of).collect();
    blocks.sort_unstable_by_key(|(_, block)| block.first);
    blocks
}

impl Sorted for Sequence {
    type Key<'e> = (i64, Instance);
    fn key(&self) -> Self::Key<'_> {
        (self.producer_id, self.instance)
    }
}

impl Sorted for CommittedOffset {
    type Key<'e> = (TopicId, &'e str, u32);
    fn key(&self) -> Self::Key<'_> {
        (self.topic, &self.group, self.partition)
    }
}

impl Sorted for OpenSpan {
    type Key<'e> = (TransactionNumber, Instance);
    fn key(&self) -> Self::Key<'_> {
        (self.number, self.instance)
    }
}

impl Sorted for PendingOffset {
    type Key<'e> = (TransactionNumber, TopicId, &'e str, u32);
    fn key(&self) -> Self::Key<'_> {
        (self.number, self.topic, &self.group, self.partition)
    }
}
