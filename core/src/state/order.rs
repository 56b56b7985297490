//! The order in which a snapshot writes entries whose slots are chance: what is gone gives its slot up some time later,
//! and what comes takes the lowest that is free then. The same state gives the same bytes in the order of the keys.

use super::entries::Entry;
use super::offsets::CommittedOffset;
use super::paged::Paged;
use super::sequences::Sequence;
use super::transactions::{OpenSpan, PendingOffset};
use crate::types::{Instance, TopicId, TransactionNumber};

/// Slots in the order of the entries' keys.
#[derive(Debug, Default)]
pub struct Orders {
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
