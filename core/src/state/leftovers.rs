//! What is gone and still takes room. A frame that forgets a producer or a topic does so in one step, however many
//! entries are theirs: who is not held, and what belongs to no topic, is there for no look-up from then on. The entries
//! are swept up afterwards, a few at a time, and before a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::State;
use super::topic::Topic;
use crate::types::TopicId;

/// Whose entries are to be swept up.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Ids that nobody holds.
    producers: BTreeSet<i64>,
    /// Topics that are deleted.
    topics: BTreeMap<TopicId, Gone>,
}

/// A deleted topic.
#[derive(Debug)]
struct Gone {
    topic: Arc<Topic>,
    /// Slots of the offsets committed for it.
    offsets: Vec<u32>,
    /// The place of the block that is swept next.
    block: u32,
}

impl Leftovers {
    /// True if nothing is to be swept up.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.topics.is_empty()
    }
}

impl State {
    /// Forgets a topic with all that is its.
    pub(super) fn lose_topic(&mut self, id: TopicId) {
        let Some(topic) = self.catalog.delete(id) else { return };
        self.transactions.lose_topic(id);
        let offsets = self.offsets.take_topic(id);
        self.leftovers.topics.insert(id, Gone { topic, offsets, block: 0 });
    }

    /// Forgets what a producer wrote, whose id was taken from it.
    pub(super) fn lose_producer(&mut self, producer_id: i64) {
        if self.producers.is_known(producer_id) {
            // Somebody else has the id by the same frame, which no engine writes.
            self.sequences.remove_producer(producer_id, usize::MAX);
        } else if self.sequences.has(producer_id) {
            self.leftovers.producers.insert(producer_id);
        }
    }

    /// Somebody gets a producer id. No engine gives one twice; where a log does, its next holder inherits nothing.
    #[inline]
    pub(super) fn settle_producer(&mut self, producer_id: i64) {
        if self.leftovers.producers.remove(&producer_id) {
            self.sequences.remove_producer(producer_id, usize::MAX);
        }
    }

    /// The same for a topic's id.
    pub(super) fn settle_topic(&mut self, id: TopicId) {
        while self.leftovers.topics.contains_key(&id) {
            self.sweep_topic(id, usize::MAX);
        }
    }

    /// True if nothing is left of what is gone.
    pub fn is_swept(&self) -> bool {
        self.leftovers.is_empty()
    }

    /// Takes at most `most` entries of what is gone out of the tables. True if nothing of it is left.
    pub fn sweep(&mut self, most: usize) -> bool {
        let mut left = most;
        while left > 0 && !self.leftovers.is_empty() {
            left -= match self.leftovers.producers.first().copied() {
                Some(producer_id) => self.sweep_producer(producer_id, left),
                None => match self.leftovers.topics.first_key_value().map(|(id, _)| *id) {
                    Some(id) => self.sweep_topic(id, left),
                    None => 0,
                },
            };
        }
        self.leftovers.is_empty()
    }

    fn sweep_producer(&mut self, producer_id: i64, most: usize) -> usize {
        let gone = self.sequences.remove_producer(producer_id, most);
        if gone < most {
            self.leftovers.producers.remove(&producer_id);
        }
        gone
    }

    /// Whatever takes a step counts as an entry.
    fn sweep_topic(&mut self, id: TopicId, most: usize) -> usize {
        let Some(gone) = self.leftovers.topics.get_mut(&id) else { return 0 };
        let mut left = most - self.transactions.sweep_pending(id, most);
        let offsets = gone.offsets.len().saturating_sub(left)..;
        for slot in gone.offsets.drain(offsets) {
            self.offsets.remove(slot);
            left -= 1;
        }
        while left > 0 {
            let Some(block) = gone.topic.block(gone.block) else {
                self.leftovers.topics.remove(&id);
                self.catalog.swept();
                break;
            };
            left -= self.sequences.remove_partitions((block.first, block.last), left);
            left -= self.transactions.sweep_partitions((block.first, block.last), left);
            if left > 0 {
                let gone_here = self.catalog.sweep(block, left);
                gone.block += u32::from(gone_here < left);
                left -= gone_here.max(1);
            }
        }
        most - left
    }
}
